/* SPDX-License-Identifier: MIT */
/*
 * An inbox with room for six queries, and a transaction of it, that each test of a suite begins with and ends:
 * TestSuite(…, .init = inbox_tx_setup, .fini = inbox_teardown). Both sides are on one thread.
 */
#ifndef QURING_TESTS_INBOX_TX_FIXTURE_H
#define QURING_TESTS_INBOX_TX_FIXTURE_H

#include "lib/inbox_fixture.h"

extern quring_tx *tx; /* the test's to release */

void inbox_tx_setup(void);

/* Another transaction of the inbox. */
quring_tx *open_tx(const quring_tx_options *options);

/* Submit the query of that number, which becomes its user_data; a QURING_E*. The second one inserts. */
int ask_sql(quring_tx *of, uint32_t number, const char *sql);
int ask_tx(quring_tx *of, uint32_t number);
int commit(quring_tx *of, uint32_t number);

/* The first turn takes commands, and the second gives their queries to the backend. */
void run(void);

void log_is(const char *expected, const char *what);
void reaped_are(const char *expected, const char *what);

/* Neither side keeps anything. */
void assert_nothing_left(int line);

#endif
