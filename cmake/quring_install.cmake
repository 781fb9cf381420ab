include(CMakePackageConfigHelpers)

set(QURING_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/quring")
configure_package_config_file(cmake/quring-config.cmake.in quring-config.cmake
    INSTALL_DESTINATION "${QURING_CMAKE_DIR}")
write_basic_package_version_file(quring-config-version.cmake COMPATIBILITY SameMinorVersion)

# As seen from quring.pc, so that the installed tree can be moved.
set(pc_dir "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH to_prefix "${pc_dir}" "${CMAKE_INSTALL_PREFIX}/.")
file(RELATIVE_PATH to_include "${pc_dir}" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
set(QURING_PC_PREFIX "\${pcfiledir}/${to_prefix}")
set(QURING_PC_INCLUDEDIR "\${pcfiledir}/${to_include}")

# Where libquring.a is all there is, what it stands on belongs to every link and stands in Libs; libquring.so names what
# it needs by itself, so there Libs.private has it, for those who also install the archive. It never stands in Requires,
# whose private parts (pgcommon, gssapi, ldap) Debian does not even ship. libpq and OpenSSL are named as files, because a
# build system that prefers archives would take libpq.a, which is not whole without those; and quring works on the TLS
# sessions of libpq, so both need the same copy of OpenSSL.
set(QURING_PC_LIBS "")
foreach(module IN LISTS QURING_PC_MODULES)
    list(APPEND QURING_PC_LIBS ${quring_${module}_LDFLAGS})
endforeach()
list(TRANSFORM QURING_PC_LIBS REPLACE "^-l(pq|ssl|crypto)$" "-l:lib\\1.so")
list(REMOVE_DUPLICATES QURING_PC_LIBS)
list(JOIN QURING_PC_LIBS " " QURING_PC_LIBS)
string(APPEND QURING_PC_LIBS " -pthread -lm")
set(QURING_PC_PRIVATE_LIBS "")
if(QURING_SHARED)
    set(QURING_PC_PRIVATE_LIBS "${QURING_PC_LIBS}")
    set(QURING_PC_LIBS "")
endif()
configure_file(cmake/quring.pc.in quring.pc @ONLY)

install(TARGETS quring EXPORT quring-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT quring-targets NAMESPACE quring:: DESTINATION "${QURING_CMAKE_DIR}")
install(FILES include/quring/quring.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/quring")
install(FILES "${PROJECT_BINARY_DIR}/quring-config.cmake"
              "${PROJECT_BINARY_DIR}/quring-config-version.cmake"
    DESTINATION "${QURING_CMAKE_DIR}")
install(FILES "${PROJECT_BINARY_DIR}/quring.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(TARGET quring_cli)
    if(QURING_SHARED) # as seen from the tool
        file(RELATIVE_PATH to_lib "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
        set_target_properties(quring_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
    endif()
    install(TARGETS quring_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
