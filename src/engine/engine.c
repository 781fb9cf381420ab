/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include "engine/inbox.h"

#include "core/status.h"
#include "core/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Inboxes ---- */

/*
 * The thread's last call may come back after its last command was read, when the command was seen before that. Whoever sets
 * `called` first decides: then nothing comes any more, or the call's own way back ends here again.
 */
void engine_forget_inbox(quring_engine *engine, struct quring_inbox *inbox) {
    PRE(inbox->closed && inbox->running_count == 0 && list_empty(&inbox->touched));
    if (atomic_exchange(&inbox->called, true))
        return;
    engine->inboxes[inbox->number] = NULL;
    engine->inbox_room -= inbox->has_room ? inbox->query_count : 0;
    if (engine->hub.trace)
        trace_drop_block(engine->hub.trace, inbox->number);
    atomic_fetch_sub(&engine->inbox_count, 1);
    inbox_let_go(inbox);
}

/* What the thread has closed gets no completions, and ends with its last query. */
static void engine_publish(quring_engine *engine, struct list *touched, bool turn_follows) {
    struct list *node;
    while ((node = list_pop_front(touched))) {
        struct quring_inbox *inbox = list_entry(node, struct quring_inbox, touched);
        if (base_likely(!inbox->closed))
            inbox_publish(inbox, turn_follows);
        else if (inbox->running_count == 0)
            engine_forget_inbox(engine, inbox);
    }
}

void engine_give_slot(quring_engine *engine, struct query *query) {
    PRE(query->state == QUERY_RETURNED && !query->stand_in && !query->statement);
    buf_reset(&query->store, QUERY_KEEP_BYTES);
    engine->charged_bytes -= query->charged_bytes;
    query_move(query, QUERY_FREE);
    slots_give(&engine->queries, query->id);
}

/* A detached query has come back from its backend. Its slot may be wanted for as long as its stand-in is. */
static void engine_take_returned(quring_engine *engine, struct query *query, struct list *touched) {
    engine_deadline_clear(engine, query);
    if (query->key)
        order_key_drop(query->key);
    query->key = NULL;
    if (query->inbox) {
        struct quring_inbox *inbox = engine->inboxes[query->inbox];
        inbox->running_count--;
        inbox_return(inbox, query);
        if (list_empty(&inbox->touched))
            list_push_back(touched, &inbox->touched);
    } else if (!query->stand_in) {
        engine_give_slot(engine, query);
    }
}

static __attribute__((noinline)) void engine_deliver_remote(quring_engine *engine, bool turn_follows) {
    struct list touched, *node;
    list_init(&touched);
    while ((node = list_pop_front(&engine->hub.remote_done))) {
        struct query *query = list_entry(node, struct query, link);
        if (base_unlikely(query->state == QUERY_RETURNED)) {
            engine_take_returned(engine, query, &touched);
            continue;
        }
        struct quring_inbox *inbox = engine->inboxes[query->inbox];
        query_move(query, QUERY_REAPED);
        if (base_unlikely(heap_contains(&query->deadline)))
            engine_deadline_clear(engine, query);
        engine->remote_count--;
        inbox->running_count -= !query->stands_in; /* what that stands in for is still out */
        if (base_unlikely(inbox->closed && query->key)) {
            order_key_drop(query->key);
            query->key = NULL;
        }
        inbox_complete(inbox, query);
        if (list_empty(&inbox->touched))
            list_push_back(&touched, &inbox->touched);
    }
    engine_publish(engine, &touched, turn_follows);
}

void engine_deliver(quring_engine *engine, bool turn_follows) {
    if (base_unlikely(!list_empty(&engine->hub.remote_done)))
        engine_deliver_remote(engine, turn_follows);
}

void engine_push(struct ring *ring) {
    ring_push(ring);
    ring_want_turn(ring);
}

/* ---- Run ---- */

/* The caller gave the handle up with quring_db_close(), so its memory is the engine's. */
static void engine_free_closed(struct quring_db *db) {
    PRE(db->closing && db->running_count == 0 && db->waiting_count == 0);
    db->engine->known_db = NULL;
    tx_forget(db);
    list_remove(&db->link);
    list_remove(&db->due);
    db_counters_add(&db->hub->closed, &db->counters);
    db->backend->destroy(db);
    ring_timers_give(db->hub->ring, db->backend->timer_count);
    order_keys_forget(&db->hub->keys, db);
    free(db);
}

/*
 * Notes the time, which is read in turns that leave queries waiting, and in those that may give such queries away. A
 * simulated clock may begin with 0, which stands for no time.
 */
static __attribute__((cold, noinline)) void engine_note_time(quring_engine *engine) {
    engine->hub.noted_ns = engine_now_ns(engine) | 1;
}

static __attribute__((cold, noinline)) void engine_leave_behind(quring_engine *engine, struct quring_db *db) {
    engine->hub.left_behind = true;
    db_leave_behind(db, engine->hub.noted_ns);
    db_due(db);
}

/* A database that becomes due while another advances is due in the next turn, so that this one ends. */
void engine_advance(quring_engine *engine) {
    struct list due, *node;
    list_init(&due);
    if (!list_empty(&engine->hub.due))
        ring_read_clock(engine->hub.ring); /* the program may have been elsewhere for long */
    bool timed = engine->hub.left_behind;
    if (base_unlikely(timed))
        engine_note_time(engine);
    engine->hub.left_behind = false;
    list_append_all(&due, &engine->hub.due);
    while ((node = list_pop_front(&due))) {
        struct quring_db *db = list_entry(node, struct quring_db, due);
        db->backend->advance(db);
        if (db_waiting_count(db)) {
            if (!timed)
                engine_note_time(engine);
            timed = true;
            engine_leave_behind(engine, db);
        }
        if (base_unlikely(db->closed))
            engine_free_closed(db);
    }
}

/*
 * Once all pending queries are done, waiting for more of them would never end. With none pending the program waits for a
 * wake.
 */
static bool engine_has_enough(const quring_engine *engine, uint32_t min_count) {
    uint32_t done = engine->hub.done_count;
    return done >= min_count || (done > 0 && done == engine->pending_count);
}

/*
 * Reads what arrived meanwhile before the first queries of a run are sent: bytes that lie unread in the socket of an idle
 * connection would be taken for the answer to its next query. With nothing out at all it always looks; while other queries
 * are out, the turns for these collect from idle connections as well.
 */
static int engine_look(quring_engine *engine) {
    uint32_t waiting = 0;
    list_for_each(node, &engine->hub.due)
        waiting += db_waiting_count(list_entry(node, struct quring_db, due));
    bool none_out = engine->pending_count + engine->remote_count == engine->hub.done_count + waiting;
    int error = waiting ? ring_look(engine->hub.ring, none_out) : 0;
    if (base_likely(error != -EINTR))
        return error;
    ring_wake(engine->hub.ring); /* the signal ends the run's wait, which has not begun */
    return 0;
}

/* One timer of the ring serves the deadlines of all transactions: it is set for the earliest. */
static void engine_arm_txs(quring_engine *engine) {
    const struct heap_node *first = heap_first(&engine->hub.tx_deadlines);
    if (!first)
        timer_clear(engine->hub.ring, &engine->tx_timer);
    else if (!heap_contains(&engine->tx_timer.node) || engine->tx_timer.node.key != first->key)
        (void)timer_set(engine->hub.ring, &engine->tx_timer, first->key);
}

/* A wait for one completion more ends with that. */
static void engine_gather(quring_engine *engine, uint32_t min_count) {
    uint32_t enough = min_count < engine->pending_count ? min_count : engine->pending_count;
    ring_gather_for(engine->hub.ring, engine->hub.done_count + 1 < enough ? engine->options.gather_ns : 0);
}

/* The wait is left out once there is enough to reap: backends may have ended queries without the kernel. */
static int engine_turn(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns) {
    engine_deliver(engine, true); /* of the last turn, or look */
    engine_advance(engine);
    engine_deliver(engine, true);
    if (base_unlikely(engine->hub.tx_deadlines.count))
        engine_arm_txs(engine);
    if (base_unlikely(engine->options.gather_ns))
        engine_gather(engine, min_count);
    int error = ring_turn(engine->hub.ring, engine_has_enough(engine, min_count) ? 0 : timeout_ns);
    if (base_unlikely(engine->hub.tx_deadlines.count)) /* of those that the turn left idle: quring_timeout_ns() */
        engine_arm_txs(engine);
    return error;
}

static int engine_turn_error(quring_engine *engine, int error) {
    if (error == -EEXIST) /* the kernel knows the ring's thread by itself, and refuses any other */
        return hub_error(&engine->hub, QURING_EFORKED, "this engine was opened by another process");
    return hub_error(&engine->hub, QURING_ESYSTEM, "the kernel refused to go on: %s", strerror(-error));
}

/* When a wait of `timeout_ns` ends that begins now; UINT64_MAX: never. */
static uint64_t engine_until(const quring_engine *engine, uint64_t timeout_ns) {
    if (!timeout_ns || timeout_ns == QURING_FOREVER)
        return UINT64_MAX;
    uint64_t now = engine_now_ns(engine);
    return now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
}

/* Takes what has passed since off `*timeout_ns`. False: nothing is left. */
static bool engine_has_time(const quring_engine *engine, uint64_t until, uint64_t *timeout_ns) {
    if (until == UINT64_MAX)
        return *timeout_ns != 0;
    uint64_t now = ring_now_ns(engine->hub.ring);
    *timeout_ns = until > now ? until - now : 0;
    return until > now;
}

/*
 * Turns until there is enough to reap, the time has passed, or a wake or a signal came. One turn is always made, so that a
 * program that never waits makes progress as well.
 */
int engine_run(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns) {
    uint64_t until = engine_until(engine, timeout_ns);
    int error = engine_look(engine);
    for (;;) {
        if (!error)
            error = engine_turn(engine, min_count, timeout_ns);
        if (error || ring_take_wake(engine->hub.ring) || engine_has_enough(engine, min_count) ||
            !engine_has_time(engine, until, &timeout_ns))
            break;
    }
    engine_deliver(engine, false);
    if (error && error != -EINTR)
        return engine_turn_error(engine, error);
    ring_push(engine->hub.ring);
    return (int)engine->hub.done_count;
}

static int engine_warm_turn(quring_db *db, uint64_t timeout_ns) {
    quring_engine *engine = db->engine;
    bool hopeless = false;
    engine_deliver(engine, true);
    engine_advance(engine);
    engine_deliver(engine, true);
    bool done = db->backend->missing(db, &hopeless) == 0 || hopeless;
    return ring_turn(engine->hub.ring, done ? 0 : timeout_ns);
}

/* The same until the handle has what it wants. */
int engine_warm_up(quring_db *db, uint64_t timeout_ns) {
    quring_engine *engine = db->engine;
    if (engine->shutting_down || db->closing)
        return hub_error(&engine->hub, QURING_ESHUTDOWN, "the engine or the handle was shut down");
    uint64_t until = engine_until(engine, timeout_ns);
    bool hopeless = false;
    ring_gather_for(engine->hub.ring, 0); /* the last run may have; each event leads to the next step here */
    db->backend->warm_up(db);
    int error = engine_look(engine);
    uint32_t missing;
    for (;;) {
        if (!error)
            error = engine_warm_turn(db, timeout_ns);
        missing = db->backend->missing(db, &hopeless);
        if (error || missing == 0 || hopeless || ring_take_wake(engine->hub.ring) ||
            !engine_has_time(engine, until, &timeout_ns))
            break;
    }
    engine_deliver(engine, false);
    if (error && error != -EINTR)
        return engine_turn_error(engine, error);
    ring_push(engine->hub.ring);
    return (int)missing;
}

/* ---- Reap ---- */

int engine_reap(quring_engine *engine, quring_done *done, uint32_t capacity) {
    uint32_t count = 0;
    struct list *node;
    while (count < capacity && (node = list_pop_front(&engine->hub.done))) {
        struct query *query = list_entry(node, struct query, link);
        query_move(query, QUERY_REAPED);
        /* Backends end queries without knowing of deadlines, so a deadline leaves the heap only here. */
        if (base_unlikely(heap_contains(&query->deadline)))
            engine_deadline_clear(engine, query);
        if (base_unlikely(query->key != NULL)) {
            order_key_drop(query->key);
            query->key = NULL;
        }
        done[count++] = (quring_done){.id = query->id,
                                      .user_data = query->user_data,
                                      .status = (quring_status)query->status,
                                      .result = &query->result,
                                      .error = query->status == QURING_OK ? NULL : &query->error.view,
                                      .sent = query->sent,
                                      .failed_id = query->status == QURING_SKIPPED ? query->failed_id : 0};
    }
    engine->hub.done_count -= count;
    engine->pending_count -= count;
    return (int)count;
}

/* ---- Statistics ---- */

void engine_stats(const quring_engine *engine, quring_stats *stats) {
    const struct ring_counters *ring = ring_counters(engine->hub.ring);
    struct db_counters sum = engine->hub.closed;
    uint32_t waiting = 0, running = 0;
    list_for_each(node, &engine->hub.databases) {
        const struct quring_db *db = list_entry(node, struct quring_db, link);
        db_counters_add(&sum, &db->counters);
        waiting += db_waiting_count(db);
        running += db->running_count;
    }
    *stats = (quring_stats){
        .submitted_count = sum.submitted_count,
        .row_count = sum.row_count,
        .sent_bytes = ring->sent_bytes,
        .received_bytes = ring->received_bytes,
        .enter_count = ring_port(engine->hub.ring)->enter_count,
        .completion_count = ring->completions,
        .send_count = ring->sends,
        .receive_count = ring->receives,
        .connect_count = sum.connect_count,
        .connect_failure_count = sum.connect_failure_count,
        .connection_lost_count = sum.connection_lost_count,
        .prepare_count = sum.prepare_count,
        .offload_job_count = ring->jobs,
        .waiting_count = waiting,
        .inflight_count = running,
        .connection_count = sum.connection_count,
        .stale_count = ring->stale,
        .notice_count = sum.notice_count,
        .trace_dropped_count = trace_dropped_count(engine->hub.trace),
        .cancel_count = sum.cancel_count,
        .cancel_stopped_count = sum.cancel_stopped_count,
    };
    memcpy(stats->done_count, sum.done_count, sizeof stats->done_count);
}

void engine_db_status(const quring_db *db, quring_db_info *info) {
    status_fill(db, engine_now_ns(db->engine), info);
}
