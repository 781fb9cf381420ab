/* SPDX-License-Identifier: MIT */
/*
 * Tells servers to stop what was given up. The query has ended for its program by then; its request is still out.
 *
 *      NONE --a query is given up--> WANTED --asked, by the rule--> OUT --it ended--> OVER
 *        ^                            |                              |   ^                | |
 *        +-- none given up is left ---+                              |   +--asked again---+ |
 *        +------------------------ nothing is out any more ----------+----------------------+
 *
 *   WANTED   the given-up request is behind others, or the rule forbids it
 *   OUT      a server was asked, or will be at any moment, and the hit may come at any moment
 *   OVER     no more hits come but for one that has come already, or one that was cut off: what was out then is awaited
 *
 * A cancel names a session and not a query, so whatever the server is at is hit. The rule is that the given-up request is at
 * the head of its connection, and that each one behind it can be run again unseen (pg_request_may_be_struck). Of a query of
 * quring_tx it is that all that is out is of the same transaction: which of them the server is at nobody knows, since it keeps
 * replies back until Sync, and a COMMIT that is hit may leave it within the transaction. While it is OUT or OVER nothing more
 * is sent on the connection. PostgreSQL has sent the signal before it closes the connection on
 * which it was asked, and forgets one that meets no query before it reads the next.
 *
 * How a server is asked depends on the link:
 *
 *   plain       by a cancel request over a connection of its own (connect.c), which blocks: on a thread, PG_CANCELS_MAX at once
 *               for a pool
 *   TLS         by pg_cancel_backend() over an idle connection to the same address, for libpq would ask in clear text. The
 *               server must know the process by the port of our socket, so no other process with its number is hit
 *   otherwise   the connection is closed once nothing but the given-up is out on it. A pooler's process number means nothing
 *               to the server, and its cancel may hit another client's query. A bound connection is left alone, because its
 *               state is the caller's, and so is that of a transaction that a savepoint can revive
 *
 * Where the asking is cut off, or takes longer than BOUND_NS, nobody can tell when its hit comes, and the connection is
 * broken: at once, or, if it was cut off, when what is out has its answers, since the hit may be among these. Until then it may be
 * asked again: the connection that carried it is lost, and another carries it.
 */
#ifndef QURING_PG_CANCEL_H
#define QURING_PG_CANCEL_H

#include "pg/placement.h"

enum { PG_CANCELS_MAX = 8 };

/* The part that the connections of a pool share. */
struct pg_cancels {
    struct quring_db *db;
    struct pg_hosts *hosts;         /* counts threads that were detached, and outlives the pool */
    struct pg_placement *placement; /* knows the connections that are idle */
    struct list waiting;            /* pg_cancel.waiting: for a thread */
    uint32_t count;                 /* threads, detached ones apart: at most PG_CANCELS_MAX */
    uint64_t closed_ns;             /* when a connection was closed last */
};

void pg_cancels_init(struct pg_cancels *cancels, struct quring_db *db, struct pg_hosts *hosts,
                     struct pg_placement *placement);

/* No thread is left that reports to the pool. */
static inline bool pg_cancels_are_over(const struct pg_cancels *cancels) {
    return cancels->count == 0;
}

/* The query of the request with this ordinal was given up. */
void pg_cancel_given_up(struct pg_conn *conn, uint64_t request);

/* Replies came on a connection whose state is not NONE. It may end. */
void pg_cancel_look(struct pg_conn *conn);

/* The connection is lost. */
void pg_cancel_end(struct pg_conn *conn);

/* Queries have to wait, so that they do not come behind what is to be cancelled. */
static inline bool pg_cancel_holds(const struct pg_conn *conn) {
    return pg_conn_is_cancelling(conn) || (conn->cancel.state == PG_CANCEL_WANTED && pg_conn_is_bound(conn));
}

#endif
