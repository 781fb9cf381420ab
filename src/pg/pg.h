/* SPDX-License-Identifier: MIT */
/*
 * The PostgreSQL backend: libpq connects, then the ring carries the bytes.
 *
 *   pg.c        the database handle: URL, admission to connections, outages and reconnecting
 *   url.c       connection strings, of which no message quotes anything
 *   attempt.c   attempts to connect: when they begin, how long they may take, which are detached
 *   connect.c   a blocking job: libpq connects, authenticates, and gives the socket away
 *   conn.c      one connection: its states, what arrives on it, what it leaves behind when it is lost
 *   barrier.c   the first exchange on it
 *   settle.c    what replies mean for their queries
 *   request.c   a query as protocol messages; what is prepared on a connection
 *   info.c      what the server inferred of a statement
 *   tls.c       between the socket's bytes and the protocol's, on an encrypted connection
 *
 * Invariants: a RUNNING query is in exactly one connection's flights, at the ordinal of its request. Replies find their
 * query by that ordinal, never by guessing. A flight whose query was abandoned stays, without its query, until its reply
 * was consumed. Queries end only at their sync point (ReadyForQuery) or with their connection.
 */
#ifndef QURING_PG_PG_H
#define QURING_PG_PG_H

#include "base/rng.h"
#include "core/backend.h"
#include "ring/stream.h"
#include "ring/task.h"
#include "wire/encode.h"
#include "wire/session.h"

/* ---- What the server inferred of a statement (info.c) ---- */

struct pg_info {
    uint32_t references;
    size_t bytes;         /* of all of it, columns included */
    uint64_t *kept_bytes; /* counts them, once it is kept beyond its query; NULL before */
    uint16_t param_count;
    uint16_t format_count; /* of result formats in Bind: 0 all text, 1 for all columns, or one a column */
    int32_t column_count;  /* or WIRE_NO_ROWS */
    uint16_t *formats;
    struct columns *columns; /* held; NULL when the statement returns no rows */
    uint32_t param_oids[];
};

enum { PG_INFO_BYTES = 256 * 1024, PG_INFO_KEPT_BYTES = 16 << 20 }; /* kept: of one, and of a handle's together */

struct pg_info *pg_info_new(const struct wire_parameters *parameters);
/* Takes the columns of a RowDescription; NULL of NoData. False: no memory. */
bool pg_info_set_columns(struct pg_info *info, const struct wire_columns *columns);
struct pg_info *pg_info_hold(struct pg_info *info);
void pg_info_drop(struct pg_info *info); /* NULL is allowed */
/* Counts it in `kept_bytes` until it is freed. False: it is too large, or PG_INFO_KEPT_BYTES are there. */
bool pg_info_keep(struct pg_info *info, uint64_t *kept_bytes);
bool pg_info_equal(const struct pg_info *a, const struct pg_info *b);

/* ---- Connections ---- */

/*
 * What a connection holds of the statement with a given index:
 *
 *      ABSENT, READY --Parse sent--> PENDING --described, sync point--> READY
 *                                       |-----too large to keep------> READY, stale
 *                                       |-----failed-----------------> ABSENT
 *                                       \-----failed, it replaced----> READY, stale: its Close may have been skipped too
 *      READY --refused: is_stale()--> READY, stale
 *      any   --connection lost--> ABSENT
 *
 * Stale (serial 0, or another text's): closed by the request that takes its place.
 */
enum pg_prepared_state { PG_ABSENT, PG_PENDING, PG_READY };

struct pg_prepared {
    uint64_t serial;
    union {
        struct pg_info *info; /* held, while READY; may be NULL when it is stale */
        uint64_t replaces;    /* the name that this one's request closes, while PENDING; 0: none */
    };
    uint64_t name;  /* on the server: see pg_names_begin() */
    uint32_t shape; /* of the connection when it was parsed */
    uint8_t state;  /* enum pg_prepared_state */
};

enum pg_flight_kind {
    PG_BOUND,   /* Bind of a READY statement */
    PG_NAMED,   /* Parse under a name, which becomes READY */
    PG_UNNAMED, /* Parse without a name: nothing is kept */
    PG_BARRIER  /* the first exchange on a connection */
};

/* What there was too much of for a query, whose rows were dropped. */
enum pg_limit {
    PG_LIMIT_NONE,
    PG_LIMIT_RESULT_BYTES,
    PG_LIMIT_ROW_COUNT,
    PG_LIMIT_MESSAGE_BYTES,
    PG_LIMIT_NOTICE_BYTES,
    PG_LIMIT_MEMORY /* there was none for its rows */
};

/* A request that was encoded and whose sync point has not come. */
struct pg_flight {
    struct query *query;                /* NULL once abandoned, and for the barrier */
    struct quring_statement *statement; /* held; NULL for the barrier */
    struct pg_info *info;               /* held: what a Describe in this request said so far */
    uint64_t first_byte;  /* in the stream; under TLS, of the ciphertext it is in, shared by a turn's requests */
    uint64_t name;        /* NAMED: what it is prepared as */
    uint8_t kind;         /* enum pg_flight_kind */
    uint8_t limit;        /* enum pg_limit */
    uint16_t param_count; /* that were bound, where the request describes */
    bool described;       /* `info` is complete */
    bool completed;       /* the command was carried out */
    bool failed;          /* the server said so; query->error has its words */
    bool stale;           /* refused, and the plan may be to blame: it is not used any more */
    bool bound;           /* it failed behind its Bind, so something of it may have run */
    bool blameless;       /* failed only because it shares a transaction */
    bool in_doubt;        /* failed, and the server can't tell whether it took effect */
    bool unforeseen;      /* its command tag is of a statement that may have ended its transaction */
};

/*
 *      DOWN --job posted--> CONNECTING --socket--> BARRIER --its answer--> READY
 *        ^  \                   |                     |                      |
 *        |   +-<--- failed -----+                     +------ lost, broken --+
 *        |   backoff                                  v
 *        +---------- nothing left in the kernel --- DRAINING
 */
enum pg_conn_state { PG_DOWN, PG_CONNECTING, PG_BARRIER_SENT, PG_CONN_READY, PG_DRAINING };

enum { PG_MESSAGE_BYTES = 512, PG_NAME_PREFIX_BYTES = 17, PG_NAME_BYTES = PG_NAME_PREFIX_BYTES + 16 + 1 };

struct pg_tls;

/* How many detached attempts are inside libpq still: counted where these find it after their handle is gone. */
struct pg_detached {
    atomic_uint references;
    atomic_uint count;
};

/* One attempt to connect and its outcome (connect.c). Detached, it belongs to its own thread. */
struct pg_connect {
    struct task task;
    struct pg_conn *conn;
    struct pg_detached *detached; /* held */
    void (*run)(struct pg_connect *connect);
    uint64_t until_ns;  /* monotonic: the attempt's end, first exchange included */
    atomic_bool abort;  /* set by the reactor: give up soon */
    int fd;             /* -1: failed */
    int server_pid;     /* as the server named it; 0 when it did not */
    struct pg_tls *tls; /* NULL on a plain connection */
    char sqlstate[6];
    char message[PG_MESSAGE_BYTES];
    char conninfo[];
};

typedef void (*pg_connector)(struct pg_connect *connect);

struct pg_db;
struct pg_conn;

/* What is kept of a RUNNING query. */
struct pg_query {
    struct pg_conn *conn;
    uint64_t request; /* its ordinal on that connection */
};
_Static_assert(sizeof(struct pg_query) <= QUERY_BACKEND_BYTES, "it has its place in struct query");

static inline struct pg_query *pg_query(struct query *query) {
    return (struct pg_query *)query->backend;
}

struct pg_conn {
    struct pg_db *db;
    struct queue *source;       /* that it takes queries from */
    uint8_t state;              /* enum pg_conn_state */
    struct pg_connect *connect; /* the attempt, while CONNECTING */
    struct stream stream;
    struct pg_tls *tls; /* NULL on a plain connection; else the protocol's bytes are in the next two */
    struct buf plain_in, plain_out;
    struct wire_session session;
    struct pg_flight *flights; /* ring of flight_mask + 1, by ordinal */
    uint64_t flight_mask;
    struct pg_prepared *prepared; /* by statement index */
    uint64_t name_count;          /* names given out on this connection */
    char name[PG_NAME_BYTES];     /* begins with what all of them begin with */
    bool unnamed;                 /* nothing is prepared by name: options.prepared_statements, or a pooler */
    bool text_only;               /* results are in text: settings that say how may change */
    /* while bound, as told by the texts of what was sent, and by ParameterStatus */
    uint32_t shape;     /* counts what may change what Parse sees; plans from before are not used */
    uint32_t forgotten; /* the shape at which the server last forgot all that was prepared */
    bool changed;       /* something did, since the last transaction's end */
    uint64_t settled;   /* ordinal of the first request whose sync point has not come */
    bool group_open;    /* the last request has no Sync yet */
    uint64_t nonce;     /* of the barrier */
    bool nonce_seen;
    uint64_t barrier_row_count;
    int server_pid;        /* as libpq was told */
    bool pooled;           /* the server's process is another than the one that libpq connected to */
    uint64_t async_bytes;  /* of notices and their like since the last sync point, while requests are out */
    size_t unsent_bytes;   /* charged to the host for requests that were given up … */
    uint64_t unsent_until; /* … until the kernel has taken the stream up to here */
    /* why it went down */
    quring_status reason;
    char sqlstate[6];
    char message[PG_MESSAGE_BYTES];
    bool was_up;        /* it reached READY before it went down */
    struct timer timer; /* DOWN: when to try again; CONNECTING, BARRIER_SENT: when to give up */
    uint32_t attempts;  /* failed in a row */
};

struct pg_db {
    struct quring_db base;
    char *conninfo;
    uint32_t conn_count;
    uint32_t socket_count; /* set aside in the ring */
    struct pg_conn *conns;
    uint32_t *loads; /* requests out on each connection, | PG_LOAD_HELD_UP; PG_LOAD_NONE while it takes none */
    pg_connector connector;
    struct pg_detached *detached; /* held */
    uint32_t connecting_count;    /* in PG_CONNECTING: at most PG_CONNECTING_MAX */
    struct rng rng;
    uint32_t conns_up;   /* in PG_CONN_READY */
    uint64_t info_bytes; /* of descriptions that are kept */
    const struct pg_conn *last_down;
    struct timer outage; /* set when the last of them is lost: how long queries wait for another */
    bool impatient;      /* they have waited long enough, or never had one: a failed attempt ends them */
};

/* HELD_UP is a bit over any number of requests; NONE has all bits, so it stays what it is with that one. */
enum { PG_LOAD_HELD_UP = 1 << 16, PG_LOAD_NONE = INT32_MAX, PG_CONNECTING_MAX = 2, PG_DETACHED_MAX = 2 };

/* attempt.c */
void pg_attempt_start(struct pg_conn *conn); /* DOWN -> CONNECTING, or later */
void pg_attempt_end(struct pg_conn *conn);   /* gives it up, for good */
void pg_attempt_timer(struct timer *timer);  /* of a connection: to try again, or to give up */
struct pg_detached *pg_detached_new(void);   /* NULL: no memory */
void pg_detached_drop(struct pg_detached *detached);

/* connect.c */
void pg_connect_prepare(void);                   /* before any attempt; again does no harm */
void pg_connect_run(struct pg_connect *connect); /* a pg_connector: blocks */
/* For tests: databases that this thread opens next connect through `connector` instead of libpq; NULL: libpq again. */
void pg_use_connector(pg_connector connector);
pg_connector pg_current_connector(void);

/* conn.c */
bool pg_conn_init(struct pg_conn *conn, struct pg_db *db);
void pg_conn_free(struct pg_conn *conn);
/* CONNECTING -> BARRIER_SENT, with what the attempt made. False: no memory, and it stays the caller's. */
bool pg_conn_hand_over(struct pg_conn *conn, const struct pg_connect *connect);
void pg_conn_close(struct pg_conn *conn); /* towards DOWN, from any state */
/* Why it is down, or will be. */
void pg_conn_reason(struct pg_conn *conn, quring_status reason, const char *sqlstate, const char *message);
/* Terminate, and under TLS close_notify: what a server is told before its connection is closed. Initialises `out`. */
void pg_put_terminate(struct pg_tls *tls, struct buf *out);
/* CONNECTING -> DOWN */
void pg_conn_failed(struct pg_conn *conn, const char *sqlstate, const char *message);
void pg_conn_send(struct pg_conn *conn, struct query *query);
/* Ends the open group, and hands what was encoded since to the stream. */
void pg_conn_flush(struct pg_conn *conn);
void pg_conn_abandon(struct pg_conn *conn, struct query *query, quring_status status);
/* Along the diagram at enum pg_conn_state. */
void pg_conn_move(struct pg_conn *conn, enum pg_conn_state to);
/* Ends the connection from our side. What was in flight ends with its socket. */
void pg_conn_break(struct pg_conn *conn, quring_status reason, const char *sqlstate, const char *message);

/* Takes back what was charged for requests that were given up, once their bytes are gone. */
void pg_conn_settle_unsent(struct pg_conn *conn);

/* Its source is its alone: what is sent here may rely on what was sent before. */
static inline bool pg_conn_is_bound(const struct pg_conn *conn) {
    return conn->source->bound != NULL;
}

/* Where requests are encoded. */
static inline struct buf *pg_conn_out(struct pg_conn *conn) {
    return conn->tls ? &conn->plain_out : stream_out(&conn->stream);
}

static inline struct pg_flight *pg_conn_flight(const struct pg_conn *conn, uint64_t request) {
    return &conn->flights[request & conn->flight_mask];
}

/* pg.c: what connections report */
void pg_db_conn_up(struct pg_conn *conn);
void pg_db_conn_down(struct pg_conn *conn); /* now DOWN; why stands in it */
void pg_db_plan(struct pg_db *db);          /* an attempt more may begin */
void pg_db_postponed(struct pg_conn *conn); /* none may, while detached ones go on; why stands in it */

/* barrier.c */
bool pg_barrier_encode(struct pg_conn *conn); /* false: no memory */
void pg_barrier_row(struct pg_conn *conn, const struct wire_event *event);
void pg_barrier_ready(struct pg_conn *conn, const struct wire_event *event);

/* settle.c */
void pg_reply_complete(struct pg_conn *conn, struct pg_flight *flight, const struct wire_event *event);
void pg_reply_notice(struct query *query, const struct wire_error *notice);
void pg_reply_error(struct pg_conn *conn, struct pg_flight *flight, const struct wire_event *event);
void pg_reply_ready(struct pg_conn *conn, const struct wire_event *event);
/* Back to the front of the line, with nothing left of what it received. */
void pg_query_restart(struct query *query);

/* request.c */
/* What the names of statements on this connection begin with; its nonce is set. */
void pg_names_begin(struct pg_conn *conn);
/* Appends the query's messages and fills its flight. False, with everything undone: it does not fit one message. */
bool pg_request_encode(struct pg_conn *conn, struct query *query, struct pg_flight *flight, bool sync);
/* At the sync point of one that is NAMED or stale: what becomes of the statement it prepared or used. */
void pg_request_settle(struct pg_conn *conn, struct pg_flight *flight);
/* Lets go of what a flight holds, but for its query. */
void pg_flight_drop(struct pg_flight *flight);
/* On a bound connection, plans from before are not used any more, and again not those from before the transaction's end. */
void pg_prepared_outdate(struct pg_conn *conn);
void pg_prepared_forget_all(struct pg_conn *conn);

#endif
