/* SPDX-License-Identifier: MIT */
/* A file system between SQLite and the real one, whose operations fail when a test says so. */
#ifndef QURING_TESTS_LITE_DISK_H
#define QURING_TESTS_LITE_DISK_H

#include <stdbool.h>

struct lite_disk {
    long countdown;        /* writes, syncs, truncations, unlocks and deletions until one fails; negative: none does */
    bool for_good;         /* and all after it */
    bool failed;           /* one did */
    bool sync_fails;       /* every sync */
    bool no_shared_memory; /* as where WAL mode can't work; for files that are opened from then on */
};

extern struct lite_disk lite_disk;

/* Puts it before the real one, for all that is opened from then on. */
void lite_disk_install(void);

#endif
