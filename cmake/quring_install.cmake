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

# libquring.a is all there is, so what it stands on belongs to every link and stands in Libs; and not in
# Requires, whose private parts (pgcommon, gssapi, ldap) Debian does not even ship. libpq and OpenSSL are
# named as files, because a build system that prefers archives would take libpq.a, which is not whole
# without those; and quring works on the TLS sessions of libpq, so both need the same copy of OpenSSL.
set(QURING_PC_LIBS "")
foreach(module IN LISTS QURING_PC_MODULES)
    list(APPEND QURING_PC_LIBS ${quring_${module}_LDFLAGS})
endforeach()
list(TRANSFORM QURING_PC_LIBS REPLACE "^-l(pq|ssl|crypto)$" "-l:lib\\1.so")
list(REMOVE_DUPLICATES QURING_PC_LIBS)
list(JOIN QURING_PC_LIBS " " QURING_PC_LIBS)
configure_file(cmake/quring.pc.in quring.pc @ONLY)

install(TARGETS quring EXPORT quring-targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT quring-targets NAMESPACE quring:: DESTINATION "${QURING_CMAKE_DIR}")
install(FILES include/quring/quring.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/quring")
install(FILES "${PROJECT_BINARY_DIR}/quring-config.cmake"
              "${PROJECT_BINARY_DIR}/quring-config-version.cmake"
    DESTINATION "${QURING_CMAKE_DIR}")
install(FILES "${PROJECT_BINARY_DIR}/quring.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(TARGET quring_cli)
    install(TARGETS quring_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
