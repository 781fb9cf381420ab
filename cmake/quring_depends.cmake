# What quring stands on. The installed package reads the same list (see quring-config.cmake.in).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(QURING_PC_MODULES liburing libpq sqlite3 openssl)
foreach(module IN LISTS QURING_PC_MODULES)
    pkg_check_modules(quring_${module} REQUIRED IMPORTED_TARGET ${module})
endforeach()
