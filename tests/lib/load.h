/* SPDX-License-Identifier: MIT */
/*
 * A stream of queries for tests that break things under it: selects that carry their identity, and inserts of unique ids.
 * So many are out at any time; each that ends is noted, and followed by the next one until `count` have been submitted.
 */
#ifndef QURING_TESTS_LIB_LOAD_H
#define QURING_TESTS_LIB_LOAD_H

#include "lib/live.h"

struct load {
    struct ledger ledger;
    uint32_t count;
    uint32_t window; /* out at a time */
    uint32_t submitted;
    bool inserts; /* every other one inserts its number into live_load */
    quring_commit_mode commit;
    quring_db *db;
    bool closed; /* submit no more */
};

/* Makes the table live_load anew, where there are inserts. */
void load_open(struct load *load, struct live *live);
void load_close(struct load *load);

/* Submits up to the window, runs for up to `wait_ns`, and notes what has ended. False: all have ended. */
bool load_step(struct load *load, struct live *live, uint64_t wait_ns);
/* Until `ended_count` of them have ended. */
void load_until(struct load *load, struct live *live, uint32_t ended_count);
/* To the end; then every one ended once, none with the rows of another, and the statuses hold what they promise. */
void load_finish(struct load *load, struct live *live);

/*
 * What the statuses promise of the inserts, looked up over `live`: OK is there, NOT_SENT and SERVER_ERROR are not, those
 * in doubt may be either; and none failed for being there already, which is how running twice would show.
 */
void load_check_inserts(const struct load *load, struct live *live);

#endif
