/* SPDX-License-Identifier: MIT */
/*
 * Admission, turns, deadlines and shutdown over any number of databases. Knows backends only by core/backend.h.
 *
 *   open.c        options and their defaults; opening an engine and its databases
 *   batch.c       the end of a call that submits many: all of an ATOMIC batch, or none
 *   submit.c      a query's slot: taken and filled within the limits, alone or in a batch, and given back
 *   inbox.c       queries of other threads: the inbox that such a thread and the engine share, and the thread's calls
 *   inbox_tx.c    its transactions
 *   remote.c      the engine's side of an inbox
 *   tx.c          transactions: their handles, and the slot that is kept for their end
 *   deadline.c    the deadlines of queries and transactions, and cancelling
 *   end.c         shutting down, closing
 *   engine.c      turns, completions, statistics
 *   backends.c    the one list of backends
 *
 *      quring_submit -> engine_submit     a slot, copies, the limits; onto its database's waiting list
 *      quring_run    -> engine_run        turns: backends advance (admit, encode), the ring emits, submits, waits and
 *                                         collects (decode), deadlines pass
 *      quring_reap   -> engine_reap       from the hub's done list
 *
 * Invariants: a query is in exactly one of: free, its database's waiting list, a backend's hands, the done list (of an
 * inbox's queries the list remote_done), the caller's hands. One that is detached is in its backend's hands, and its stand-in in
 * the other places (core/detach.h). The bytes charged against inflight_bytes are those of queries not yet released.
 */
#ifndef QURING_ENGINE_ENGINE_H
#define QURING_ENGINE_ENGINE_H

#include "base/heap.h"
#include "base/owner.h"
#include "base/slots.h"
#include "core/backend.h"
#include "ring/port.h"
#include "ring/ring.h"
#include "value/value.h"

#include <stdatomic.h>

struct quring_inbox;
struct token_row;

enum { ENGINE_INBOXES_MAX = 1023 };

struct quring_engine {
    struct hub hub;
    quring_options options; /* defaults filled in */
    struct slots queries;
    size_t charged_bytes;
    struct heap deadlines;       /* of queries */
    struct timer deadline_timer; /* set for the first of them */
    struct timer tx_timer;       /* set for the first of hub.tx_deadlines */
    uint32_t tx_count;           /* of all databases, in hub.tx_over and in hub.tx_orphans */
    uint32_t pending_count;      /* submitted, not reaped */
    bool shutting_down;
    bool owes_wake;           /* quring_shutdown() took a wake that was meant for the program's own wait */
    struct owner_mark *owner; /* the thread and process that opened it */
    quring_db *known_db;      /* an open handle that a query of an inbox has named; NULL: none yet */
    uint32_t remote_count;    /* queries of inboxes that were taken and not completed */
    uint32_t inbox_room;      /* queries of inboxes that `deadlines` has room for */
    atomic_uint inbox_count;  /* open, also those that have no number yet */
    struct quring_inbox *inboxes[ENGINE_INBOXES_MAX + 1]; /* by their numbers, from 1 */
};

/* The functions from here on run on the engine's own thread alone; src/api refuses all others. */

int engine_open(const quring_options *options, quring_engine **engine, char *message, size_t message_bytes);
void engine_close(quring_engine *engine);
int engine_db_open(quring_engine *engine, const char *url, const quring_db_options *options, quring_db **db);
int engine_db_resize(quring_db *db, uint32_t connection_count);
int engine_db_drain(quring_db *db);
void engine_db_close(quring_db *db);

int engine_submit(quring_engine *engine, const quring_query *q, quring_id *id);

/* The same for a query of a transaction that engine_tx_refuse() does not refuse. */
int engine_submit_tx(quring_engine *engine, const quring_query *q, quring_id *id);

/* The same for a query of an inbox, in its slot, where its id and its input are. */
int engine_submit_slot(quring_engine *engine, const quring_query *q, struct query *query, quring_id id);
int engine_submit_tx_slot(quring_engine *engine, const quring_query *q, struct query *query, quring_id id);
int engine_tx_open(quring_db *db, const quring_tx_options *options, quring_tx **tx);

/* The same for an inbox, which keeps a slot of its own for the end, and has drawn the token. `row`: NULL, it has none. */
int engine_tx_open_bare(quring_db *db, const quring_tx_options *options, const struct token_row *row, quring_tx **tx);
void engine_tx_leave(quring_tx *tx);                                                           /* in a turn */
void engine_tx_release(quring_tx *tx);                                                         /* between two turns */
int engine_tx_refuse(quring_tx *tx);                                                           /* 0: it takes queries */
int engine_tx_end(quring_tx *tx, enum statement_verb verb, uint64_t user_data, quring_id *id); /* COMMITS, ROLLS_BACK */

/*
 * The queries of one quring_submit_batch(), which engine_batch_put() takes one by one until one is refused, or it was the last.
 * engine_batch_end() gets the error of that one, or 0, and returns how many were taken, or an error: of an ATOMIC batch all
 * are, or none. No turn is made in between.
 */
struct engine_batch {
    bool atomic;
    uint32_t count_wanted; /* the call has as many */
    uint32_t count;
    struct list members; /* taken, and in no queue yet */
    size_t bytes;        /* charged for them */
    struct {
        const struct quring_db *db;
        const char *sql;
        size_t sql_bytes;
    } last;                             /* the query before … */
    struct quring_statement *statement; /* … and its own, which the same text saves the look-up */
};

void engine_batch_begin(struct engine_batch *batch, uint32_t count, bool atomic);
int engine_batch_put(quring_engine *engine, struct engine_batch *batch, const quring_query *q, quring_id *id);
int engine_batch_put_slot(quring_engine *engine, struct engine_batch *batch, const quring_query *q, struct query *query,
                          quring_id id); /* of an ATOMIC one, as engine_submit_slot() */
int engine_batch_end(quring_engine *engine, struct engine_batch *batch, int error, quring_id *ids);

/* submit.c: gives the slot of a member back that was filled and is not accepted. */
void engine_batch_take_back(quring_engine *engine, struct query *query);

int engine_prepare(struct quring_db *db, const char *sql, struct quring_statement **statement);
int engine_run(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns);
int engine_warm_up(quring_db *db, uint64_t timeout_ns);
int engine_reap(quring_engine *engine, quring_done *done, uint32_t capacity);
int engine_release(quring_engine *engine, quring_id id);
int engine_cancel(quring_engine *engine, quring_id id);
int engine_shutdown(quring_engine *engine, uint64_t grace_ns);
void engine_stats(const quring_engine *engine, quring_stats *stats);

/* remote.c: any thread while the engine is open. `message` gets the reason of a failure. */
int engine_inbox_open(quring_engine *engine, const quring_inbox_options *options, struct quring_inbox **inbox,
                      char *message, size_t message_bytes);

/* remote.c: takes all that the threads of inboxes have submitted up to now, outside of a turn. */
void engine_inboxes_read(quring_engine *engine);

/* remote.c: inboxes refuse queries from now on, and end those that they have. */
void engine_inboxes_shut(quring_engine *engine);

/* remote.c: the engine looks at no inbox any more, and their threads come to know it. */
void engine_inboxes_leave(quring_engine *engine);
void engine_db_status(const quring_db *db, quring_db_info *info);

enum { ENGINE_MESSAGE_BYTES_MAX = 0x3ffffffe }; /* the longest message that PostgreSQL takes */

/* open.c: frees what engine_open() made, but for the ring. */
void engine_free(quring_engine *engine);

/* The error of an id without a query. */
static inline int engine_refuse_stale(quring_engine *engine) {
    return hub_error(&engine->hub, QURING_ESTALE, "no query has this id: it was released, or never given out");
}

/* Reads the clock, because the ring's own time is that of its last turn. */
static inline uint64_t engine_now_ns(const quring_engine *engine) {
    struct port *port = ring_port(engine->hub.ring);
    return port->methods->now_ns(port);
}

/* engine.c: the first half of a turn. Backends of due databases advance, and closed handles are freed. */
void engine_advance(quring_engine *engine);

/*
 * engine.c: hands the queries of inboxes that have ended to their threads, and wakes these: at once, or with the turn of the
 * ring that follows.
 */
void engine_deliver(quring_engine *engine, bool turn_follows);

/* Behind what the program asked for between two turns: what is to be sent goes out, and a foreign loop hears of what has ended. */
void engine_push(struct ring *ring);

/* engine.c: lets go of an inbox that its thread has closed, once nothing of it is out. */
void engine_forget_inbox(quring_engine *engine, struct quring_inbox *inbox);

/* engine.c: gives the slot of a query back that was detached, and what was charged for it. */
void engine_give_slot(quring_engine *engine, struct query *query);

/* deadline.c: sets a query's deadline, from now. The heap has room for all queries, so this cannot fail. */
void engine_deadline_set(quring_engine *engine, struct query *query, uint64_t timeout_ns);

/* Takes back what engine_deadline_set() has done, and what follows when a query is given up. */
static inline void engine_deadline_clear(quring_engine *engine, struct query *query) {
    heap_remove(&engine->deadlines, &query->deadline);
    query->given_up = false;
}

/* deadline.c: gives a query up, with an error that says `what`. */
void engine_give_up(struct query *query, quring_status status, const char *what);

/* Its backend was told that it is given up: its caller does not wait for what that is slow to end. */
void engine_watch(struct query *query);

/* deadline.c: ends the queries whose deadline has passed, and detaches those that were given up before. */
void engine_deadline_fire(struct timer *timer);

/* submit.c: finds the statement of a text, and holds it. `sql_bytes` 0: the text ends with a NUL. */
int engine_find_text(struct quring_db *db, const char *sql, size_t sql_bytes, struct quring_statement **out);

/* submit.c: the error of a handle that takes nothing more. */
int engine_refuse_closed(quring_engine *engine);

/* submit.c: the end of a transaction, in the slot that is kept for it: it is never refused. */
int engine_submit_tx_end(quring_tx *tx, struct quring_statement *statement, const quring_query *q, quring_id *id);

/* deadline.c: gives transactions up whose deadline has passed. */
void engine_tx_fire(struct timer *timer);

/* Gives up the transactions whose time has passed. */
void engine_tx_expire(quring_engine *engine, uint64_t now_ns);

/* deadline.c: tells the backend, unless it has nothing of the transaction: see tx_changed() in core/backend.h. */
void engine_tx_changed(struct quring_tx *tx, bool timed_out);

/* submit.c: gives back what a transaction keeps for its end, if it still does. */
void engine_tx_drop_reserve(quring_tx *tx);

/* tx.c: gives back what transactions of the handle keep for their end, because it is being closed. */
void engine_tx_close(struct quring_db *db);

/* tx.c: frees all memory of transactions. */
void engine_tx_free(quring_engine *engine);

/* backends.c: the backend that the URL belongs to; NULL: none. */
const struct backend *engine_backend_of(const char *url);

/* For tests: the next engine_open() of this thread runs on that port instead of Linux. */
void engine_use_port(struct port *port);

#endif
