/* SPDX-License-Identifier: MIT */
/*
 * Asks whether transactions committed whose COMMIT was lost, and that have written a token (core/token.h) or read a note
 * (core/xid.h). Their queries that were out are held meanwhile:
 *
 *        the loss --> waiting --a connection--> being asked --the answer, or the deadline--> their queries end
 *                        ^                           |
 *                        +-----after a pause---------+ no answer
 *
 * A transaction holds the connection that it is asked over as one that runs does, because the server makes the question for a
 * token wait as long as the transaction may still commit; the question for a note is answered with "in progress" meanwhile,
 * and comes again. When the deadline passes while it is being asked its queries end, and the connection is given back with the
 * answer. At most half of the connections are used so at once, or the only one.
 */
#ifndef QURING_PG_RESOLVE_H
#define QURING_PG_RESOLVE_H

#include "pg/pool_state.h"
#include "pg/tx.h"

void pg_resolve_init(struct pg_pool *pool);
void pg_resolve_free(struct pg_pool *pool);

/* pg_conn_events.doubtful: pg_doubt.held has the queries that are to be told. */
void pg_resolve_begin(struct pg_conn *conn, struct quring_tx *tx);

/* In each turn while any waits: asks for them, as far as there are connections. */
void pg_resolve_admit(struct pg_pool *pool);

/* True from pg_resolve_begin() to the transaction's end. */
static inline bool pg_resolve_has(struct quring_tx *tx) {
    return tx->state == TX_ENDING && heap_contains(&pg_tx_of(tx)->doubt.due);
}

/* True while a transaction waits for a connection to be asked for. */
static inline bool pg_resolve_waits(const struct pg_pool *pool) {
    return !list_empty(&pool->resolves.waiting);
}

/* Ends a query of pg_doubt.held, because it was given up; all of them, for the transaction's timeout. */
void pg_resolve_abandon(struct query *query, quring_status status);
void pg_resolve_time_out(struct quring_tx *tx);

#endif
