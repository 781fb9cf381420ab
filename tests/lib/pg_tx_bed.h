/* SPDX-License-Identifier: MIT */
/*
 * Transactions on a pool of the bed: TestSuite(…, .init = pg_setup, .fini = pg_tx_teardown). The names are short, because such a
 * test is a list of what is asked, sent and said.
 */
#ifndef QURING_TESTS_PG_TX_BED_H
#define QURING_TESTS_PG_TX_BED_H

#include "lib/pg_fixture.h"
#include "pg/backend.h"
#include "pg/conn.h"
#include "pg/tx.h"

enum { PG_TXS = 18 };

#define PG_TX_INSERT "insert into t values (1)"

extern struct pg_pool *pool;
extern struct quring_tx txs[PG_TXS];

void pg_tx_teardown(void);

/* A new bed with a pool whose connections are up. No engine notes the time of turns. */
void bring_up_with(const quring_db_options *options);
void bring_up(uint32_t connections, uint32_t depth);

/* Prepares PG_TX_INSERT on the first connection, so that queries bind to it there. */
void warm(void);

/* A turn of the backend, and what comes of it by itself. */
void advance(void);

/* A new transaction in this place, without timeouts unless the options have any; and the end of its handle. */
struct quring_tx *begin_with(uint32_t i, const quring_tx_options *options);
struct quring_tx *begin(uint32_t i);
void release(struct quring_tx *tx);

/* What a connection's server received since it was last asked, in short; and what it says: see pg_bed.h. */
const char *got(uint32_t conn);
void got_is(uint32_t conn, const char *expected, const char *what);
void say(uint32_t conn, const char *script);

#endif
