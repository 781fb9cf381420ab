/* SPDX-License-Identifier: MIT */
/*
 * A table of counters, and queries with order keys on it that nobody waits for: increments, and reads. What each has to give
 * follows from the order in which they were submitted alone, so the database itself tells whether it kept to it.
 */
#ifndef QURING_TESTS_LIB_COUNTERS_H
#define QURING_TESTS_LIB_COUNTERS_H

#include "lib/live.h"

struct counters {
    uint32_t count;     /* of queries */
    uint32_t key_count; /* each key has one counter */
    uint32_t window;    /* that are out at a time, at most */
    bool grouped;       /* half of them in groups */
    bool
        gives_up; /* some have a short timeout, or are cancelled, and no reads are asked: it is not known which took effect */
    uint64_t seed;
    /* of the test's own, from here on */
    uint64_t *expected;   /* by number */
    uint64_t *increments; /* by key */
    uint32_t ended_count;
    uint32_t by_status[QURING_SHUTDOWN + 1];
};

/* Makes the table and runs them all; each that is OK must give what it has to. */
void counters_run(struct counters *counters, struct live *live);

/* `insert`, then a read of it, each pair with its own key and without a wait: every read must find its row. */
void counters_read_own_writes(struct live *live, uint32_t pairs);

#endif
