# cmake -DNM=… -DARCHIVE=… -DNAMES=… -P quring_names.cmake
# Writes linker options that keep what libquring exports: all that begins with quring_.
execute_process(COMMAND "${NM}" --defined-only "${ARCHIVE}" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL " [A-Z] quring_[A-Za-z0-9_]+" public "${symbols}")
if(NOT public)
    message(FATAL_ERROR "${ARCHIVE} defines nothing that begins with quring_")
endif()
list(TRANSFORM public REPLACE "^ [A-Z] " "-u ")
list(JOIN public "\n" public)
file(WRITE "${NAMES}" "${public}\n")
