# What quring stands on. The installed package reads the same list (see quring-config.cmake.in).
# GLOBAL, because a project that adds quring as a subdirectory links these through it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED GLOBAL)

set(QURING_PC_MODULES liburing libpq sqlite3 openssl)
foreach(module IN LISTS QURING_PC_MODULES)
    pkg_check_modules(quring_${module} REQUIRED IMPORTED_TARGET GLOBAL ${module})
endforeach()
