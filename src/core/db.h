/* SPDX-License-Identifier: MIT */
/*
 * The structures that engine and backends share: the hub (one per engine) and the database handle (one per URL).
 * A backend embeds struct quring_db as the first member of its own, and the engine makes and frees it.
 */
#ifndef QURING_CORE_DB_H
#define QURING_CORE_DB_H

#include "base/list.h"
#include "core/queue.h"
#include "quring/quring.h"

#include <stdatomic.h>

struct ring;
struct backend;
struct batch;
struct trace;

/* The counters of one database. Each counts its own, so that the engine's statistics are sums and no layer shares one. */
struct db_counters {
    uint64_t submitted_count;
    uint64_t done_count[QURING_SHUTDOWN + 1]; /* by quring_status */
    uint64_t row_count;
    uint64_t connect_count, connect_failure_count, connection_lost_count;
    uint64_t prepare_count;
    uint64_t notice_count;
    uint64_t retry_count;
    uint64_t cancel_count, cancel_stopped_count;
    uint32_t connection_count; /* now */
};

void db_counters_add(struct db_counters *sum, const struct db_counters *counters);

/*
 * The numbers of an engine's handles. The threads of its inboxes ask for the newest, whether the engine is there still or not, so
 * each inbox holds them, as the engine does.
 */
struct db_numbers {
    atomic_uint holder_count;
    atomic_uint_fast64_t newest;
};

/* One holder has them; NULL: no memory. The last to drop them frees them; NULL is allowed. */
struct db_numbers *db_numbers_new(void);
struct db_numbers *db_numbers_hold(struct db_numbers *numbers);
void db_numbers_drop(struct db_numbers *numbers);

/* One per engine. */
struct hub {
    struct ring *ring;
    struct list done; /* queries in DONE, oldest first */
    uint32_t done_count;
    struct list remote_done; /* queries in DONE that belong to inboxes, and those that are RETURNED */
    struct list databases;
    struct db_numbers *numbers; /* of all that were ever opened */
    struct list due;            /* databases whose backend advances in the next turn: see db_due() */
    uint64_t noted_ns;      /* a time of this turn, if one before it left queries behind; never before their left_ns */
    bool left_behind;       /* queries were, since the last turn noted its time */
    size_t unsent_bytes;    /* of requests that were given up and still lie in send buffers: count in inflight_bytes */
    struct trace *trace;    /* NULL: the program did not ask for one; constant from open on */
    struct order_keys keys; /* of all handles */
    struct batch *batches;  /* ATOMIC batches that nobody uses, for the next ones: see batch.h */
    struct db_counters closed;          /* sums over databases that were closed */
    struct heap tx_deadlines;           /* of transactions: quring_tx.deadline */
    struct list tx_orphans;             /* transactions whose database is closed, and whose handle was not released */
    struct list tx_over;                /* transactions that ended and were released: the next ones get their memory */
    void (*watch)(struct query *query); /* the engine's: see tx_changed() in backend.h */
    char message[512];                  /* quring_errmsg() */
};

struct db_status {
    uint8_t state;          /* quring_db_state: see status.h */
    uint64_t at_ns;         /* when it was entered */
    uint32_t failure_count; /* of attempts since a connection was made last */
};

struct quring_db {
    struct list link; /* hub->databases */
    struct list due;  /* hub->due, or linked to itself */
    struct hub *hub;
    struct quring_engine *engine;
    const struct backend *backend;
    struct statement_table *statements;
    struct queue queue; /* the shared one, or in an exclusive handle the one that is bound to its connection */
    struct list ready;  /* queues in which a query waits, but for those that are parked */
    uint32_t waiting_count, running_count;
    uint32_t leaving_count; /* transactions that have ended, and whose places a shutdown has to wait for */
    struct list txs;        /* transactions: quring_tx.link */
    struct list joined;     /* queues of transactions that wait for a place, and got queries since the last turn */
    struct quring_statement *tx_ends[2]; /* COMMIT and ROLLBACK, held, once the handle has had a transaction */
    struct db_counters counters;
    struct db_status status;
    uint64_t wait_count[QURING_WAIT_BUCKETS]; /* of queries that a turn left behind before they were given away */
    uint64_t ended_waiting_count;             /* queries that were never given away */
    uint32_t waiting_peak_count;
    bool warming;        /* its queries wait until it is warm: options.warm_up */
    bool closing;        /* takes no new queries */
    bool closed;         /* the backend has let go of everything: may be freed */
    uint64_t number;     /* from 1; no other handle of the engine has it, nor one that has the same memory later */
    uint32_t server_pid; /* as the server named it; 0 but for a connected exclusive handle */
    quring_db_options options; /* defaults filled in */
};

/* Makes a handle of zeroed memory; hub, engine, backend and options are for the caller to set. */
void db_init(struct quring_db *db);

/*
 * Has the backend advance in the next turn, and in that one only. A queue calls this when a query waits in it; a backend
 * calls it in every turn in which it can't yet finish something else that it has begun.
 */
static inline void db_due(struct quring_db *db) {
    if (list_empty(&db->due))
        list_push_back(&db->hub->due, &db->due);
}

/* Returns how many queries of the handle are WAITING. */
static inline uint32_t db_waiting_count(const struct quring_db *db) {
    return db->waiting_count;
}

/* At the end of a turn that leaves queries of the handle waiting. */
void db_leave_behind(struct quring_db *db, uint64_t now_ns);

/* Sets quring_errmsg() and returns `error`. */
__attribute__((format(printf, 3, 4))) int hub_error(struct hub *hub, int error, const char *format, ...);

/* The last query to leave takes its queue off the list that a turn visits. */
static inline void queue_left(struct queue *queue) {
    queue->db->waiting_count--;
    if (--queue->waiting_count == 0 && !queue->parked_count)
        list_remove(&queue->ready);
}

/* Most queries are taken in the first turn that sees them, and are counted by subtraction: stats_fill(). */
void queue_count_wait(const struct query *query);

/*
 * Takes the oldest waiting query for running; NULL when none waits. Who takes the first member of a unit takes all of them
 * before anything else is done with the queue.
 */
static inline struct query *queue_take(struct queue *queue) {
    struct list *node = list_pop_front(&queue->waiting);
    if (!node)
        return NULL;
    struct query *query = list_entry(node, struct query, link);
    query_move(query, QUERY_RUNNING);
    queue_left(queue);
    if (base_unlikely(query->in_unit))
        queue->unit_waiting_count--;
    queue->db->running_count++;
    if (base_unlikely(query->left_ns != 0))
        queue_count_wait(query);
    return query;
}

#endif
