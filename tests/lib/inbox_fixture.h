/* SPDX-License-Identifier: MIT */
/*
 * An inbox on the engine of lib/engine_fixture.h, with both of its sides on one thread, that each test of a suite begins
 * with and ends: TestSuite(…, .init = inbox_setup, .fini = inbox_teardown). It has room for four queries.
 */
#ifndef QURING_TESTS_INBOX_FIXTURE_H
#define QURING_TESTS_INBOX_FIXTURE_H

#include "engine/inbox.h"
#include "lib/engine_fixture.h"

extern quring_inbox *inbox;               /* a test that closes it sets it to NULL: close_inbox() */
extern quring_id inbox_ids[FAKE_QUERIES]; /* of the queries that were asked, by number */

void inbox_setup(void);
void inbox_teardown(void);

void open_inbox(uint32_t query_count, uint64_t bytes);
void close_inbox(void);
void close_engine(void);

/* Submits the query of that number, which becomes its user_data; a QURING_E*. */
int ask_query(uint32_t number, const quring_query *query);

/* The same for "select 1". */
int ask(struct fake_db *db, uint32_t number);

/*
 * "1 OK, 2 TIMEOUT unsent, 3 SKIPPED unsent by 1": reaps and releases all that is there; or the error of the reap. Static.
 */
const char *reaped(void);

#endif
