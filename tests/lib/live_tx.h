/* SPDX-License-Identifier: MIT */
/*
 * Transactions of live tests, one step at a time: a test asks, and says how that ends. The names are short, because such a test
 * is a list of them.
 */
#ifndef QURING_TESTS_LIB_LIVE_TX_H
#define QURING_TESTS_LIB_LIVE_TX_H

#include "lib/live.h"

/* The engine and handle of the test. */
extern struct live live;

/* One that names no idle_timeout_ns has none, and is asked for as long as a test may take. */
quring_tx *begin_with(const quring_tx_options *options);
quring_tx *begin(void);

/* Submits; a transaction of NULL: on the handle. */
quring_id ask(quring_tx *tx, const char *sql);
quring_id commit(quring_tx *tx);

/* The next completion, which must be this query's: "" for OK, else its status and SQLSTATE, as "SKIPPED 23505". */
void ends(quring_id id, const char *expected);

/* The same for one that is skipped, and has to name the query that failed. */
void ends_behind(quring_id id, quring_id failed);

/* Asks, and the answer is this. */
void ends_as(quring_tx *tx, const char *sql, const char *expected);
int64_t ask_int(quring_tx *tx, const char *sql);

/* Makes a transaction of these, the last of which ends it: each when the one before it has ended, or all at once. */
struct tx_step {
    const char *sql, *ends;
};

void take_steps(const struct tx_step *steps, uint32_t count, bool at_once);

/* Commits, and releases the handle. */
void end_with_commit(quring_tx *tx, const char *expected);

#endif
