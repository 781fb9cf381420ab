# The libraries made of the layers' objects.
#
#   quring           libquring.a, what is installed: one pre-linked object in which only quring_*
#                    stays global, so that no internal name can meet one of the user's;
#                    or, with QURING_SHARED, libquring.so
#   quring_layers    the objects as they are, every symbol visible: what quring is pre-linked from
#   quring_internal  quring_layers and the tests' own objects (port_sim)
function(quring_libraries)
    get_property(objects GLOBAL PROPERTY QURING_OBJECTS)
    get_property(test_objects GLOBAL PROPERTY QURING_OBJECTS_test)
    if(NOT objects)
        message(FATAL_ERROR "no layer has any source")
    endif()
    set(libs Threads::Threads m)
    foreach(module IN LISTS QURING_PC_MODULES)
        list(APPEND libs PkgConfig::quring_${module})
    endforeach()

    add_library(quring_layers STATIC ${objects})
    set_target_properties(quring_layers PROPERTIES LINKER_LANGUAGE C)
    target_link_libraries(quring_layers PUBLIC quring_flags ${libs})

    if(QURING_SHARED)
        quring_shared("${objects}" "${libs}")
    else()
        quring_archive("${libs}")
    endif()
    add_library(quring::quring ALIAS quring)
    set_target_properties(quring PROPERTIES LINKER_LANGUAGE C)
    target_include_directories(quring INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

    add_library(quring_internal STATIC EXCLUDE_FROM_ALL ${test_objects})
    set_target_properties(quring_internal PROPERTIES LINKER_LANGUAGE C)
    target_link_libraries(quring_internal PUBLIC quring_layers)
endfunction()

# quring_archive(<libs>): libquring.a. Whoever links it links what it stands on.
function(quring_archive libs)
    set(whole "${PROJECT_BINARY_DIR}/$<CONFIG>/quring-whole.o")
    set(public "${PROJECT_BINARY_DIR}/$<CONFIG>/quring-public.o")
    set(list_names "")
    set(prelink "${CMAKE_LINKER}" -r --whole-archive)
    if(QURING_LTO)
        # The layers are optimised as one here, so whoever links the library needs no plugin for it: like a shared
        # object, of which hidden symbols are its own. Else anybody might call them, and what is called from one
        # place alone would not be inlined there. The file of names holds those that are called from outside.
        set(names "${PROJECT_BINARY_DIR}/$<CONFIG>/quring-public.names")
        set(list_names COMMAND "${CMAKE_COMMAND}" -DNM=${CMAKE_NM} -DARCHIVE=$<TARGET_FILE:quring_layers>
            -DNAMES=${names} -P "${PROJECT_SOURCE_DIR}/cmake/quring_names.cmake")
        set(prelink "${CMAKE_C_COMPILER}" -r -nostdlib -O2 ${QURING_LTO_FLAGS} -flinker-output=dyn "@${names}"
            ${QURING_MAP_FLAGS} -Wl,--whole-archive)
    endif()
    # The archive and not its objects: a command may depend on files of its own folder and on targets,
    # and Makefiles have no rule here for an object of another folder.
    add_custom_command(OUTPUT "${public}"
        COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/$<CONFIG>"
        ${list_names}
        COMMAND ${prelink} "$<TARGET_FILE:quring_layers>" -o "${whole}"
        COMMAND "${CMAKE_OBJCOPY}" --wildcard "--keep-global-symbol=quring_*" "${whole}" "${public}"
        DEPENDS quring_layers VERBATIM
        COMMENT "Pre-linking libquring, hiding all but quring_*")
    add_library(quring STATIC "${public}")
    target_link_libraries(quring INTERFACE ${libs})
endfunction()

# quring_shared(<objects> <libs>): libquring.so.<major>, which links what it stands on by itself. Its objects are compiled
# with cmake/quring_export.h (see quring_flags.cmake), or the linker would find nothing that it may export.
function(quring_shared objects libs)
    set(exports "${PROJECT_SOURCE_DIR}/cmake/quring.map")
    add_library(quring SHARED ${objects})
    set_target_properties(quring PROPERTIES
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS "${exports}")
    target_link_libraries(quring PRIVATE ${libs})
    target_link_options(quring PRIVATE
        "LINKER:--version-script=${exports}"
        LINKER:-Bsymbolic-functions # its own calls to what it exports reach itself, whatever else is loaded
        ${QURING_MAP_FLAGS})
    if(QURING_LTO)
        target_link_options(quring PRIVATE -O2 ${QURING_LTO_FLAGS})
    endif()
endfunction()
