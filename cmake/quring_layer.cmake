# quring_layer(<name> SOURCES a.c b.c [LAYERS base ...] [LIBS libpq ...] [TEST_SOURCES sim.c])
#
# Declares one layer of the library as objects.
#   LAYERS        the layers whose headers it may include: all must have been declared before, and
#                 scripts/check_source fails on an #include of any other
#   LIBS          pkg-config modules it may use (see quring_depends.cmake)
#   TEST_SOURCES  compiled for tests only: part of quring_internal, not of libquring.a
function(quring_layer name)
    cmake_parse_arguments(ARG "" "" "SOURCES;TEST_SOURCES;LAYERS;LIBS" ${ARGN})
    get_property(declared GLOBAL PROPERTY QURING_LAYERS)
    foreach(below IN LISTS ARG_LAYERS)
        if(NOT below IN_LIST declared)
            message(FATAL_ERROR "layer ${name} names ${below}, which does not stand below it")
        endif()
    endforeach()
    set_property(GLOBAL APPEND PROPERTY QURING_LAYERS ${name})
    list(TRANSFORM ARG_LIBS PREPEND "PkgConfig::quring_")
    foreach(kind "" _test)
        set(sources "${ARG_SOURCES}")
        set(when "")
        if(kind)
            set(sources "${ARG_TEST_SOURCES}")
            set(when EXCLUDE_FROM_ALL) # nobody but a test needs it
        endif()
        if(sources)
            add_library(quring_${name}${kind} OBJECT ${when} ${sources})
            target_link_libraries(quring_${name}${kind}
                PRIVATE quring_strict Threads::Threads ${ARG_LIBS})
            set_property(GLOBAL APPEND PROPERTY QURING_OBJECTS${kind}
                $<TARGET_OBJECTS:quring_${name}${kind}>)
            set_property(GLOBAL APPEND PROPERTY QURING_UNDER_${name} quring_${name}${kind})
        endif()
    endforeach()
    foreach(below IN LISTS ARG_LAYERS) # what a unit test of this layer links
        get_property(under GLOBAL PROPERTY QURING_UNDER_${below})
        set_property(GLOBAL APPEND PROPERTY QURING_UNDER_${name} ${under})
    endforeach()
    get_property(under GLOBAL PROPERTY QURING_UNDER_${name})
    list(REMOVE_DUPLICATES under)
    set_property(GLOBAL PROPERTY QURING_UNDER_${name} ${under})
endfunction()
