/* SPDX-License-Identifier: MIT */
/*
 * The parts of a connection, its states, and the reason for its end.
 *
 *      DOWN --attempt-----> CONNECTING --socket--> BARRIER --its answer--> READY --its owner ends it--> RETIRING
 *        ^  \                   |                     |                      |                             |
 *        |   +-<--- failed -----+                     +------ lost, broken --+------ or nothing is out ----+
 *        |                                            v
 *        +---------- nothing left in the kernel --- DRAINING
 *
 * A RETIRING connection is READY, but takes no more queries, and ends with the last of those that are out on it.
 *
 * A RUNNING query is in exactly one connection's requests, at its ordinal. Replies find their query by that ordinal, never
 * by guessing. A request whose query was abandoned stays, without its query, until its reply was consumed. Queries end
 * only at their sync point (ReadyForQuery) or with their connection.
 */
#ifndef QURING_PG_CONN_STATE_H
#define QURING_PG_CONN_STATE_H

#include "core/db.h"
#include "pg/connect.h"
#include "pg/prepared.h"
#include "ring/ring.h"
#include "ring/socket.h"
#include "wire/session.h"

struct batch;
struct pg_attempt;
struct pg_attempts;
struct pg_cancel_job;
struct pg_cancels;
struct pg_conn;
struct pg_request;

enum pg_conn_state {
    PG_CONN_DOWN,
    PG_CONN_CONNECTING,
    PG_CONN_BARRIER,
    PG_CONN_READY,
    PG_CONN_RETIRING,
    PG_CONN_DRAINING
};

/* The reports of a connection to its owner, which may start attempts from within. */
struct pg_conn_events {
    void (*up)(struct pg_conn *conn);         /* it is READY */
    void (*lost)(struct pg_conn *conn);       /* it is READY or RETIRING, and ends for conn->reason */
    void (*progressed)(struct pg_conn *conn); /* it was READY, and another request is at the head */
    void (*retiring)(struct pg_conn *conn);   /* it is RETIRING, and replies came */
    void (*gave_up)(struct pg_conn *conn);    /* a query that is out on it was abandoned */
    void (*let_go)(struct pg_conn *conn);     /* no cancel holds it any more */
    /* All of a batch was undone, and its members are in batch->members, for it to be run again; after a while, if so. */
    void (*undone)(struct pg_conn *conn, struct batch *batch, bool wait);
    void (*freed)(struct pg_conn *conn); /* its transaction has given it back: conn->tx is NULL */
    /* Whether this transaction committed has to be asked for; it has let go of the connection. */
    void (*doubtful)(struct pg_conn *conn, struct quring_tx *tx);
    void (*down)(struct pg_conn *conn);      /* it is DOWN, for conn->reason */
    void (*postponed)(struct pg_conn *conn); /* its attempt could not begin, for conn->reason */
    void (*timer)(struct timer *timer);      /* conn->timer fired: for pg_attempt_timer() */
};

/* The reason for which a connection is down, or will be. */
struct pg_reason {
    quring_status status; /* of the queries that were out on it */
    char sqlstate[6];
    char message[PG_MESSAGE_BYTES];
};

/* The first exchange (barrier.c). */
struct pg_barrier {
    uint64_t nonce;
    uint64_t row_count;
    bool nonce_seen;
    bool pooled;    /* the server's process is another than the one that libpq connected to */
    int server_pid; /* as libpq was told */
};

/* The watch over a connection whose server may have fallen silent (silence.c). */
struct pg_silence {
    struct timer timer;                 /* READY and watched: when to look */
    const struct socket_events *events; /* the socket's own, while it is watched */
    uint64_t heard_ns;                  /* when bytes last came */
    uint64_t given_up_ns;               /* when the query of the request at the head was last given up */
    uint64_t busy_ns;                   /* when requests were last seen out after none had been */
    bool idle;                          /* none was out when last looked */
};

/* How far a cancel is on the connection: see cancel.h. */
enum pg_cancel_state { PG_CANCEL_NONE, PG_CANCEL_WANTED, PG_CANCEL_OUT, PG_CANCEL_OVER };

struct pg_cancel {
    uint8_t state;             /* enum pg_cancel_state */
    uint32_t asked_count;      /* of cancels for `asked`, after the first */
    uint16_t client_port;      /* by which the server knows the session, on TLS */
    bool taken;                /* the server took the last one that was asked over another connection */
    bool cut;                  /* one was cut off, so that the connection ends when the state is NONE again */
    uint64_t server;           /* on TLS: names its address; 0: unknown */
    struct pg_cancel_key *key; /* of a plain connection, while no thread has it */
    struct pg_cancel_job *job; /* OUT, on a thread */
    struct pg_conn *carrier;   /* OUT, over this connection */
    struct pg_conn *target;    /* the connection whose cancel this one carries */
    uint64_t until;            /* ordinal behind the last request that was given up */
    uint64_t asked;            /* ordinal of the request that the last one was for; UINT64_MAX: none was */
    uint64_t closing;          /* ordinal of the request that the connection is to be closed for; UINT64_MAX: none */
    struct timer timer;
    struct list waiting; /* pg_cancels.waiting */
};

/* The owner's view of the connection: see placement.h. */
struct pg_place {
    struct heap_node node;
    struct list idle, changed, given;
    uint64_t progress_ns; /* when requests of it ended last, or, after a pause, when it was given the first */
    uint32_t index;       /* in the pool */
    bool asked;           /* whether it is there */
};

/* Health checks are no use of a connection: see pg_health_unused_ns(). */
struct pg_health {
    uint64_t next;      /* ordinal of the request behind the last one, or behind the first exchange */
    uint64_t unused_ns; /* since when no query had been out on the connection by then */
};

/* The part that all connections of a pool share. */
struct pg_conn_config {
    struct quring_db *db;
    struct pg_attempts *attempts;
    struct pg_cancels *cancels;
    uint64_t *kept_bytes; /* of descriptions that are kept */
    struct list *owing;   /* connections with requests that were given up and are not sent: of pg_conn.unsent */
};

struct pg_conn {
    const struct pg_conn_config *config;
    const struct pg_conn_events *events;
    struct queue *source;  /* that it takes queries from */
    struct quring_tx *tx;  /* the transaction that holds it, and whose queries alone it takes; NULL: none does */
    uint8_t state;         /* enum pg_conn_state */
    bool was_up;           /* it reached READY before it went down */
    bool group_open;       /* the last request has no Sync yet */
    bool settings_changed; /* the server has told of a new value since a transaction got its place here */
    bool text_only;        /* results are in text, because the settings that shape it may change */
    struct pg_attempt
        *attempt; /* one block, while CONNECTING and BARRIER; then freed, or gone on with, or left behind */
    struct pg_connect *connect; /* the attempt's visit, while CONNECTING */
    struct socket socket;
    struct trace *trace; /* the hub's; NULL: there is none */
    struct pg_tls *tls;  /* NULL on a plain connection; else the protocol's bytes are in the next two */
    struct buf plain_in, plain_out;
    struct wire_session session;
    struct pg_request *requests; /* ring of request_mask + 1, by ordinal; grows with what is out */
    uint64_t request_mask;
    uint32_t depth;   /* requests that may be out: the database's */
    uint64_t settled; /* ordinal of the first request whose sync point has not come */
    struct pg_place place;
    struct order_place order; /* the order keys whose queries are here */
    uint64_t group_count;     /* of groups that have ended */
    struct pg_prepared_table prepared;
    struct pg_barrier barrier;
    uint64_t async_bytes; /* of asynchronous messages since the last sync point, while requests are out */
    struct {
        struct list link; /* of config->owing, while `bytes` are charged */
        size_t bytes;     /* charged to the hub for requests that were given up … */
        uint64_t until;   /* … until the kernel has taken what was appended up to here */
    } unsent;
    struct pg_silence silence;
    struct pg_cancel cancel;
    struct pg_health health;
    struct pg_reason reason;
    struct timer timer;    /* CONNECTING, BARRIER: when to give up; READY: when the owner looks at it again */
    struct list link;      /* the owner's */
    uint32_t epoch;        /* of the owner's manners, when its attempt began */
    bool outdated;         /* the owner wants another in its place */
    struct heap_node turn; /* READY and outdated: when it ends, among the others */
    uint64_t until_ns;     /* READY: when it is outdated; UINT64_MAX: never */
    uint32_t number;       /* in its pool, from 1 */
    uint64_t told;         /* ordinal of the first request whose sending the trace does not have yet */
};

/*
 * Ends the connection from our side: BARRIER, READY or RETIRING -> DRAINING. Requests that are out end with `status` once the
 * socket is closed, unless no byte of them was sent. Does nothing if it is DRAINING already: the first reason holds.
 */
void pg_conn_break(struct pg_conn *conn, quring_status status, const char *sqlstate, const char *message);

/* Ends the session as its client does: BARRIER, READY or RETIRING -> DRAINING, with a reason of status SHUTDOWN. */
void pg_conn_end(struct pg_conn *conn, const char *why);

/* The last messages before a connection is closed: Terminate, and under TLS close_notify. Initialises `out`. */
void pg_put_terminate(struct pg_tls *tls, struct buf *out);

void pg_conn_set_reason(struct pg_conn *conn, quring_status status, const char *sqlstate, const char *message);

/* The one function that changes a connection's state, along the diagram above. */
void pg_conn_move(struct pg_conn *conn, enum pg_conn_state to);

static inline bool pg_conn_is_up(const struct pg_conn *conn) {
    return conn->state == PG_CONN_READY || conn->state == PG_CONN_RETIRING;
}

/* True where nothing is out on the connection, and no transaction holds it. */
static inline bool pg_conn_is_idle(const struct pg_conn *conn) {
    return conn->settled == conn->session.next && !conn->tx;
}

/* No other connection serves its source, so a request may rely on the state that earlier ones left on the connection. */
static inline bool pg_conn_is_bound(const struct pg_conn *conn) {
    return conn->source->bound != NULL;
}

/* Each request that was sent on it has its answer. */
static inline bool pg_conn_is_settled(const struct pg_conn *conn) {
    return conn->settled == conn->session.next;
}

/* A cancel may hit whatever is out on the connection, so nothing more is sent there. */
static inline bool pg_conn_is_cancelling(const struct pg_conn *conn) {
    return conn->cancel.state >= PG_CANCEL_OUT;
}

static inline struct ring *pg_conn_ring(const struct pg_conn *conn) {
    return conn->config->db->hub->ring;
}

/* The buffer that requests are encoded into. Under TLS the socket's own takes ciphertext, a record for many requests. */
static inline struct buf *pg_conn_out(struct pg_conn *conn) {
    return conn->tls ? &conn->plain_out : socket_out(&conn->socket);
}

/* The backend's part of a RUNNING query. */
struct pg_query {
    struct pg_conn *conn;
    uint64_t request; /* its ordinal on that connection */
};
_Static_assert(sizeof(struct pg_query) <= QUERY_BACKEND_BYTES, "it has its place in struct query");

static inline struct pg_query *pg_query(struct query *query) {
    return (struct pg_query *)query->backend;
}

#endif
