/* SPDX-License-Identifier: MIT */
/* One connection at work: queries are sent on it, replies arrive, and its end settles all that was out on it. */
#ifndef QURING_PG_CONN_H
#define QURING_PG_CONN_H

#include "pg/conn_state.h"
#include "pg/connect.h"

/* Memory for requests and statements comes with the first of them. */
void pg_conn_init(struct pg_conn *conn, const struct pg_conn_config *config, const struct pg_conn_events *events,
                  struct queue *source, uint32_t index);
void pg_conn_free(struct pg_conn *conn);

/* CONNECTING -> BARRIER, with what the attempt made. False: no memory, and it stays the caller's. */
bool pg_conn_hand_over(struct pg_conn *conn, const struct pg_connect *connect, uint64_t nonce);

/*
 * Begins to close the connection, from any state but CONNECTING, which pg_attempt_end() ends. It goes DOWN in this turn or a
 * later one, and makes no other attempt.
 */
void pg_conn_close(struct pg_conn *conn);

/* CONNECTING -> DOWN */
void pg_conn_failed(struct pg_conn *conn, const char *sqlstate, const char *message);

/* True for a query that shares its transaction with the group that is open, or opens one; also in a transaction. */
static inline bool pg_conn_groups(const struct query *query) {
    return (query->commit == QURING_COMMIT_GROUP && query->statement->traits.groupable) ||
           query->commit == QUERY_COMMIT_TX;
}

/* Has a place for one more request. False: no memory. */
bool pg_conn_make_room(struct pg_conn *conn);

/* Ends a query whose request could not be encoded: NOT_SENT, for lack of memory or for its size. */
void pg_conn_refuse_query(struct pg_conn *conn, struct query *query);

/* Encodes a query's request. A group that it joins, or leaves open, ends with pg_conn_sync(). */
void pg_conn_send(struct pg_conn *conn, struct query *query);

/* Ends the open group with Sync. False: there was no memory for it, and the connection is broken. */
bool pg_conn_sync(struct pg_conn *conn);

/* Hands what was encoded to the socket. */
void pg_conn_flush(struct pg_conn *conn);

/* The caller ends a query of this connection. The request stays, and its replies are consumed and dropped. */
void pg_conn_let_go(struct pg_conn *conn, struct query *query);

/* Does the same, and ends the query with `status`. */
void pg_conn_abandon(struct pg_conn *conn, struct query *query, quring_status status);

/* Takes back what was charged for requests that were given up, once their bytes are gone. False: not yet. */
bool pg_conn_credit_unsent(struct pg_conn *conn);

#endif
