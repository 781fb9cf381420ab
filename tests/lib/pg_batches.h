/* SPDX-License-Identifier: MIT */
/*
 * ATOMIC batches on a server: a table, a second session that sees what is in it and stands in the way, and what became of many
 * batches that were lost with their connections.
 */
#ifndef QURING_TESTS_LIB_PG_BATCHES_H
#define QURING_TESTS_LIB_PG_BATCHES_H

#include "lib/live.h"

extern struct live live, other; /* `other`: an exclusive handle, for what a second session sees and does meanwhile */

/* Opens both, and makes live_batch (id, n default 0) with the rows 1 and 2; and back. */
void open_both(const char *url, const quring_db_options *options);
void close_both(void);

/* How many rows there are beside these two. */
int64_t rows(void);

uint64_t retry_count(void);

/* Runs until the server says that so many sessions wait for a lock. */
void run_until_blocked(int64_t count);

/* ---- Many ---- */

enum { FATES_MOST = 400 };

/* Batches of one size, each member of which inserts the row of its user_data: 1000 and on, batch by batch. */
struct fates {
    uint32_t batch_count, member_count;
    uint32_t ended[FATES_MOST], ok[FATES_MOST], doubtful[FATES_MOST];
    uint32_t by_status[QURING_SHUTDOWN + 1];
};

/* A live_each, for `struct fates`. */
void note_fate(struct live *live, const quring_done *done, void *fates);

/* All members of each have ended, and its rows are there as a whole or not at all, as its members were told. */
void check_fates(const struct fates *fates);

#endif
