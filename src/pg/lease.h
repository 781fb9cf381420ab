/* SPDX-License-Identifier: MIT */
/*
 * Who has which connection. A transaction that is not whole holds one from its first query to its end: it leaves the heap of
 * placement.h, and takes queries of that transaction alone. Others' requests may still be out on it, and BEGIN goes behind
 * them. A transaction that is whole goes to any connection that has room for all of it, among others.
 *
 * Those that find no place wait in two lines, each in order: for a connection to hold, of which there is a limit, and for
 * room. A turn looks at the first of each alone, however many wait, and begins with the one that has waited for longer. Those
 * that have waited for longer than the first shared query come before these, and the others behind them. While a unit of shared
 * queries waits for room, a whole one that came later takes none: it would never find enough. One that becomes whole in line,
 * or ceases to be, goes to the other line. A whole one that others pass for a while holds a connection, too, and if as many as may
 * be are held, one at a time does so beside these.
 */
#ifndef QURING_PG_LEASE_H
#define QURING_PG_LEASE_H

#include "pg/pool_state.h"

void pg_lease_init(struct pg_pool *pool);

/* A query waits in the transaction's queue: gives it a place if it has none, and sends what may be sent. */
void pg_lease_admit(struct pg_pool *pool, struct quring_tx *tx);

/* The transaction was given up, or a query of it ended while it waited: ends what is not run, or rolls back. */
void pg_lease_changed(struct quring_tx *tx);

/* Gives the transaction a connection for itself, however many are held. NULL: none has room. */
struct pg_conn *pg_lease_hold(struct pg_pool *pool, struct quring_tx *tx);

/* Gives those a place that wait in line since before this time, as far as there are any. */
void pg_lease_admit_parked(struct pg_pool *pool, uint64_t before_ns);

/* True while a transaction waits for a connection or for room. */
static inline bool pg_lease_has_parked(const struct pg_pool *pool) {
    return !list_empty(&pool->leases.waiting) || !list_empty(&pool->leases.whole);
}

/* Those that wait for a connection, and are whole since the last turn, wait for room from now on. */
void pg_lease_joined(struct pg_pool *pool);

/* pg_conn_events.freed: the transaction has given the connection back. */
void pg_lease_freed(struct pg_conn *conn);

/* No connection comes for those that wait: their queries end NOT_SENT. */
void pg_lease_fail_waiting(struct pg_pool *pool, const char *sqlstate, const char *message);

#endif
