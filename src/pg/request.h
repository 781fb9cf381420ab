/* SPDX-License-Identifier: MIT */
/*
 * A request was encoded on a connection, and its sync point has not come. Most are users' queries, whose replies reply.c
 * handles directly, since that is the hot path. Requests of a transaction, and internal ones (the barrier, a health check),
 * have a table of operations for their replies.
 */
#ifndef QURING_PG_REQUEST_H
#define QURING_PG_REQUEST_H

#include "core/batch.h"
#include "pg/conn_state.h"

#include <string.h>

struct pg_request_ops {
    void (*row)(struct pg_conn *conn, const struct wire_event *event);
    void (*error)(struct pg_conn *conn, const struct wire_event *event);
    void (*ready)(struct pg_conn *conn, const struct wire_event *event); /* its sync point */
    /*
     * The connection is closed, and the request was still out; `sent`: a byte of it may have left. A query that it leaves in
     * the request goes back to its queue. NULL: there is nothing to do.
     */
    void (*lost)(struct pg_conn *conn, uint64_t ordinal, bool sent);
    struct quring_tx *tx; /* whose requests they are; NULL: no transaction's */
    bool asks;            /* whether the server is there: nothing else is out meanwhile */
};

/* The ways in which a request names its statement. */
enum pg_request_kind {
    PG_REQUEST_BOUND,  /* Bind of a READY statement */
    PG_REQUEST_NAMED,  /* Parse under a name, which becomes READY */
    PG_REQUEST_UNNAMED /* Parse without a name: nothing is kept */
};

/*
 *      RUNNING --CommandComplete--> COMPLETED --ErrorResponse--> FAILED_AT_COMMIT, FAILED_IN_DOUBT
 *         \--ErrorResponse--> FAILED, FAILED_STALE, FAILED_IN_CONFLICT, FAILED_IN_DOUBT
 *
 * and from RUNNING and COMPLETED to FAILED_BY_CANCEL.
 */
enum pg_outcome {
    PG_RUNNING,
    PG_COMPLETED,
    PG_FAILED,
    PG_FAILED_STALE,       /* before or at its Bind, perhaps because of its plan: nothing of it ran */
    PG_FAILED_IN_CONFLICT, /* a serialisation failure or a deadlock, which a neighbour in its group may have caused */
    PG_FAILED_AT_COMMIT,   /* an error after its CommandComplete: the commit failed */
    PG_FAILED_BY_CANCEL,   /* a cancel that was meant for a request before it */
    PG_FAILED_IN_DOUBT     /* the server can't tell whether it took effect */
};

/* The limit that a query went over; its rows were dropped. With a row the connection goes on, and the query still has its end. */
enum pg_limit {
    PG_LIMIT_NONE,
    PG_LIMIT_RESULT_BYTES,
    PG_LIMIT_ROW_COUNT,
    PG_LIMIT_MESSAGE_BYTES,
    PG_LIMIT_MEMORY, /* there was none for its rows */
    PG_LIMIT_CUT_OFF /* of other messages: the connection is closed for it */
};

struct pg_request {
    struct query *query;                /* NULL once abandoned, and in internal requests */
    const struct pg_request_ops *ops;   /* NULL: a user's query outside of a transaction */
    struct quring_statement *statement; /* held; NULL in internal requests */
    struct pg_description *description; /* held: what a Describe in this request said so far */
    uint64_t first_byte; /* in the stream; under TLS, of the ciphertext it is in, shared by a turn's requests */
    uint64_t name;       /* NAMED: what it is prepared as */
    union {
        uint32_t order_key;             /* of a query that was given up: its key's number; 0: none */
        struct tx_position tx_position; /* of a query of a transaction; those take no key */
    };
    uint16_t param_count;    /* that were bound, where the request describes */
    uint16_t unit_index;     /* of the unit that it is in (core/queue.h), from 0; else 0 */
    uint8_t kind;            /* enum pg_request_kind */
    uint8_t outcome;         /* enum pg_outcome */
    uint8_t limit;           /* enum pg_limit */
    bool opens : 1;          /* it is our BEGIN: nobody waits for its answer alone */
    bool own : 1;            /* it is ours in another way, and nobody gave it up: a token, or the question for one */
    bool atomic : 1;         /* its query is, or was, of an ATOMIC batch, which is all of its segment */
    bool described : 1;      /* `description` is complete */
    bool plan_refused : 1;   /* the plan may be to blame for the failure: it is not used any more */
    bool may_have_ended : 1; /* its command tag is one of a statement that may end a transaction */
    bool traced : 1;         /* its first row is an event of the trace */
    bool unreplicated : 1;   /* its commit was told not to wait for a standby any more */
};

_Static_assert(sizeof(struct pg_request) == 64, "a ring of them, which depth makes long, is indexed by a shift");

/* The request at this ordinal. */
static inline struct pg_request *pg_conn_request(const struct pg_conn *conn, uint64_t ordinal) {
    return &conn->requests[ordinal & conn->request_mask];
}

/* The transaction whose request it is; NULL: none's. */
static inline struct quring_tx *pg_request_tx(const struct pg_request *request) {
    return request->ops ? request->ops->tx : NULL;
}

/* The first request of the unit that this one is in: no byte of any was sent before a byte of it was. */
static inline const struct pg_request *pg_conn_unit_first(const struct pg_conn *conn, uint64_t ordinal) {
    return pg_conn_request(conn, ordinal - pg_conn_request(conn, ordinal)->unit_index);
}

/* Its query was given up, or it is one that we wait for no longer than for such a query. */
static inline bool pg_request_is_given_up(const struct pg_request *request) {
    return !request->query && !request->opens && !request->own;
}

/*
 * The request whose answer the server owes first, of those that somebody has asked for: from the head on, but for BEGIN and a
 * token, whose answers may come with that of the query that they were sent for.
 */
static inline uint64_t pg_conn_owed(const struct pg_conn *conn) {
    uint64_t ordinal = conn->session.head;
    while (ordinal + 1 < conn->session.next &&
           (pg_conn_request(conn, ordinal)->opens || pg_conn_request(conn, ordinal)->own))
        ordinal++;
    return ordinal;
}

/* The server is at work on a request that was given up, and what is behind it waits. */
static inline bool pg_conn_is_held_up(const struct pg_conn *conn) {
    if (!wire_session_outstanding(&conn->session))
        return false;
    const struct pg_request *head = pg_conn_request(conn, conn->session.head);
    return base_unlikely(!head->query) && pg_request_is_given_up(pg_conn_request(conn, pg_conn_owed(conn)));
}

/* The same, though it may be at one of the same transaction before that, which was not given up. */
bool pg_conn_is_held_up_by_tx(const struct pg_conn *conn);

/* Nothing but the question is out on the connection that asks whether it is there: see health.h. */
static inline bool pg_conn_is_asked(const struct pg_conn *conn) {
    if (!wire_session_outstanding(&conn->session))
        return false;
    const struct pg_request_ops *ops = pg_conn_request(conn, conn->session.head)->ops;
    return ops && ops->asks;
}

/* No query of its order key was sent after it: running again it would fall behind that. */
static inline bool pg_request_is_last_of_key(const struct query *query) {
    return !query->key || query->key->last == ((const struct pg_query *)query->backend)->request;
}

/* Its query was given up, or it can be run again unseen should a cancel hit it that is meant for one before it. */
static inline bool pg_request_may_be_struck(const struct pg_conn *conn, const struct pg_request *request) {
    const struct query *query = request->query;
    if (request->ops)
        return false;
    if (!query)
        return true;
    if (base_unlikely(request->atomic) && !batch_is_whole(query->batch))
        return false;
    return !pg_conn_is_bound(conn) && query->statement->traits.groupable && !query->struck &&
           pg_request_is_last_of_key(query);
}

/* A serialisation failure or a deadlock: the same may do well another time. */
static inline bool pg_is_conflict(const char *sqlstate) {
    return strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0;
}

static inline bool pg_request_failed(const struct pg_request *request) {
    return request->outcome >= PG_FAILED;
}

/* Appends the query's messages and fills its request. False, with everything undone: it does not fit one message. */
bool pg_request_encode(struct pg_conn *conn, struct query *query, struct pg_request *request, bool sync);

/*
 * The same without Sync, for what is rare: a second caller would keep pg_request_encode() from being a part of its first. `by_name`
 * false: on the unnamed statement, whatever is prepared; parameters and results are text then. The query's result learns
 * of no columns.
 */
bool pg_request_encode_in_tx(struct pg_conn *conn, struct query *query, struct pg_request *request, bool by_name);

/* At the sync point of a request that is NAMED or whose plan was refused: settles the place of its statement. */
void pg_request_settle(struct pg_conn *conn, struct pg_request *request);

/* Takes a request back of which no byte was sent: the server never hears of its statement. wire_session_undo() follows. */
void pg_request_undo(struct pg_conn *conn, struct pg_request *request);

/* Back to the front of its queue, with nothing left of what it received. */
void pg_query_restart(struct query *query);

/* Ends a query that was sent, because the program gave it up. */
void pg_query_give_up(struct query *query, quring_status status);

/* Drops the references of a request; its query is not one of them. */
static inline void pg_request_drop(struct pg_request *request) {
    if (base_unlikely(request->description != NULL))
        pg_description_drop(request->description);
    request->description = NULL;
    if (request->statement)
        statement_drop(request->statement);
    request->statement = NULL;
}

#endif
