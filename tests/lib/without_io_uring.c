/* SPDX-License-Identifier: MIT */
/* Runs a command as a container would whose seccomp profile forbids io_uring: without_io_uring COMMAND [ARGUMENTS]. */
#include "lib/forbid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("usage: without_io_uring COMMAND [ARGUMENTS]\n", stderr);
        return 2;
    }
    if (!forbid_io_uring(EPERM)) {
        fprintf(stderr, "without_io_uring: no filter can be set: %s\n", strerror(errno));
        return 77;
    }
    execvp(argv[1], argv + 1);
    fprintf(stderr, "without_io_uring: %s: %s\n", argv[1], strerror(errno));
    return 127;
}
