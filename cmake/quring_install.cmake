include(CMakePackageConfigHelpers)

set(QURING_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/quring")
configure_package_config_file(cmake/quring-config.cmake.in quring-config.cmake
    INSTALL_DESTINATION "${QURING_CMAKE_DIR}")
write_basic_package_version_file(quring-config-version.cmake COMPATIBILITY SameMinorVersion)

# libpq and sqlite3 are named in Libs.private, not in Requires.private: their own private libraries
# (pgcommon, gssapi, ldap, z) are for linking *them* statically, and Debian does not even ship all.
file(RELATIVE_PATH QURING_PC_TO_PREFIX
    "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
list(JOIN quring_libpq_LDFLAGS " " QURING_PQ_LIBS)
list(JOIN quring_sqlite3_LDFLAGS " " QURING_SQLITE_LIBS)
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
