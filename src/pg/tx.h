/* SPDX-License-Identifier: MIT */
/*
 * Transactions on a connection: when which part of one is sent (pg/tx_put.h says how), what the replies mean for its queries,
 * and what becomes of it when the connection is lost.
 *
 * While a cancel holds the connection (pg/cancel.h) nothing is sent there. One that was meant for a query of the transaction may
 * have hit its COMMIT or ROLLBACK instead, before the server began with that, which leaves a failed transaction: another
 * ROLLBACK follows, and the reset that was in vain is sent again.
 *
 * A transaction has its connection for itself (pg/lease.h), or goes between others as a whole, up to its end.
 */
#ifndef QURING_PG_TX_H
#define QURING_PG_TX_H

#include "pg/tx_state.h"

/* As many requests as a whole one has, but for its COMMIT, for which there is room. */
static inline uint32_t pg_tx_request_count(const struct quring_tx *tx) {
    return tx->query_count + 1 + (tx->writes_token != NULL);
}

/* True: all of it is here, nothing of it has to be cleaned up after, and it is not longer than `depth` with its BEGIN. */
bool pg_tx_is_whole(const struct quring_tx *tx, uint32_t depth);

/* WAITING: gives it a connection. If it does not go as a whole, conn->tx is set, and conn->events->freed() is called later. */
void pg_tx_place(struct quring_tx *tx, struct pg_conn *conn);

/* It has a place: sends what waits, as far as there is room, and rolls back what is doomed. */
void pg_tx_serve(struct quring_tx *tx);

/*
 * It was given up: its RUNNING queries end with TIMEOUT, or SKIPPED. False: there are none. `*last` is the ordinal of the last
 * one's request.
 */
bool pg_tx_stop(struct quring_tx *tx, bool timed_out, uint64_t *last);

/* True where the connection must not be closed because of this request of a transaction. */
bool pg_tx_is_awaited(const struct pg_request *request);

/* The connection that it holds is DOWN, and none of its requests was out. */
void pg_tx_lost_idle(struct quring_tx *tx);

#endif
