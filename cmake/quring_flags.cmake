# quring_flags: our own standard and warnings, on a target that is never exported, so that a project
# that adds quring as a subdirectory keeps its own flags.
add_library(quring_flags INTERFACE)
target_compile_definitions(quring_flags INTERFACE _GNU_SOURCE)
target_compile_options(quring_flags INTERFACE
    -UNDEBUG # asserts state contracts; they stay on in every build
    -Wall -Wextra -Wshadow -Wvla -fno-common
    $<$<BOOL:${QURING_WERROR}>:-Werror>)
target_include_directories(quring_flags INTERFACE
    "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")

# quring_strict: what the library itself keeps on top of that (test macros could not).
add_library(quring_strict INTERFACE)
target_link_libraries(quring_strict INTERFACE quring_flags)
target_compile_options(quring_strict INTERFACE
    -Wpedantic -Wconversion -Wstrict-prototypes -Wmissing-prototypes -fvisibility=hidden)
if(QURING_SHARED)
    target_compile_options(quring_strict INTERFACE -include "${PROJECT_SOURCE_DIR}/cmake/quring_export.h")
endif()

# What is installed says nothing of where it was built: file names begin at the project's root.
set(QURING_MAP_FLAGS "")
if(QURING_INSTALL)
    foreach(root IN ITEMS "${PROJECT_SOURCE_DIR}" "${CMAKE_BINARY_DIR}") # the last that fits counts
        list(APPEND QURING_MAP_FLAGS "-ffile-prefix-map=${root}=.")
    endforeach()
    target_compile_options(quring_strict INTERFACE ${QURING_MAP_FLAGS})
    target_link_options(quring_strict INTERFACE ${QURING_MAP_FLAGS}) # the tool's, which is optimised there
endif()

# A fifth less time in user space per query: the hot path crosses every layer.
set(QURING_LTO OFF)
if("${PROJECT_SOURCE_DIR}${CMAKE_BINARY_DIR}" MATCHES "'") # gcc's lto-wrapper can't read such paths back
    message(STATUS "No link-time optimisation, because there is a ' in the path of the sources or the build")
elseif(CMAKE_C_COMPILER_ID STREQUAL GNU AND CMAKE_BUILD_TYPE MATCHES "^Rel" AND NOT QURING_SANITIZE)
    set(QURING_LTO ON)
    set(QURING_LTO_FLAGS -flto=auto -ffat-lto-objects) # fat, for the tests link the same objects without it
    target_compile_options(quring_strict INTERFACE ${QURING_LTO_FLAGS})
endif()
if(NOT QURING_LTO)
    target_compile_options(quring_strict INTERFACE -fno-lto) # even where the flags of the user have it
endif()

if(QURING_SANITIZE)
    add_compile_options(-fsanitize=${QURING_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${QURING_SANITIZE})
endif()
if(QURING_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
