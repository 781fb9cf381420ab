/* SPDX-License-Identifier: MIT */
/* Queries and transactions whose deadline has passed, and queries that the program cancels. */
#include "engine/engine.h"

#include "core/batch.h"

/* So long a query may be RUNNING that was given up. Most end meanwhile, and then it is certain what became of them. */
static const uint64_t DETACH_NS = 25000000;

/* ---- Queries ---- */

/* One timer of the ring serves all deadlines: it is set for the earliest. */
static void deadline_arm(quring_engine *engine) {
    const struct heap_node *first = heap_first(&engine->deadlines);
    if (!first)
        timer_clear(engine->hub.ring, &engine->deadline_timer);
    else if (!heap_contains(&engine->deadline_timer.node) || engine->deadline_timer.node.key != first->key)
        (void)timer_set(engine->hub.ring, &engine->deadline_timer, first->key); /* room was made */
}

void engine_tx_changed(struct quring_tx *tx, bool timed_out) {
    if (tx->state != TX_NEW && tx->state != TX_ENDED)
        tx->queue.db->backend->tx_changed(tx, timed_out);
}

void engine_watch(struct query *query) {
    struct quring_db *db = query->queue->db;
    if (query->state != QUERY_RUNNING || !db->backend->detach || query->given_up)
        return;
    engine_deadline_clear(db->engine, query);
    query->given_up = true;
    heap_push(&db->engine->deadlines, &query->deadline, engine_now_ns(db->engine) + DETACH_NS);
    deadline_arm(db->engine);
}

/* 57014 is PostgreSQL's query_canceled, which its statement_timeout gives as well. */
void engine_give_up(struct query *query, quring_status status, const char *what) {
    if (query->state == QUERY_WAITING && query->batch && !query->queue->tx) {
        error_format(&query->error, "57014", "%s before it was sent", what);
        batch_end_unsent(query, &query->queue->waiting, status);
    } else if (query->state == QUERY_WAITING) {
        struct quring_tx *tx = query->queue->tx;
        query_fail(query, status, "57014", "%s before it was sent", what);
        if (tx)
            engine_tx_changed(tx, false);
    } else if (query->state == QUERY_RUNNING) {
        query->queue->db->backend->abandon(query, status);
        engine_watch(query);
    }
}

static void deadline_pass(struct query *query, bool given_up) {
    if (!given_up) {
        engine_give_up(query, QURING_TIMEOUT, "its timeout passed");
    } else if (query->state == QUERY_RUNNING) {
        query->queue->db->backend->detach(query);
        engine_watch(query);
    }
}

/* The query leaves the heap first, so that each deadline passes once. */
void engine_deadline_fire(struct timer *timer) {
    quring_engine *engine = base_container_of(timer, quring_engine, deadline_timer);
    uint64_t now = ring_now_ns(engine->hub.ring);
    struct heap_node *first;
    while ((first = heap_first(&engine->deadlines)) && first->key <= now) {
        struct query *query = base_container_of(first, struct query, deadline);
        bool given_up = query->given_up;
        engine_deadline_clear(engine, query);
        deadline_pass(query, given_up);
    }
    deadline_arm(engine);
}

void engine_deadline_set(quring_engine *engine, struct query *query, uint64_t timeout_ns) {
    PRE(timeout_ns && !heap_contains(&query->deadline));
    uint64_t now = engine_now_ns(engine);
    uint64_t at = now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
    heap_push(&engine->deadlines, &query->deadline, at); /* reserved at open for every slot */
    deadline_arm(engine);
}

int engine_cancel(quring_engine *engine, quring_id id) {
    struct query *query = slots_get(&engine->queries, id);
    if (!query || (query->state >= QUERY_DETACHED && !query->stand_in))
        return engine_refuse_stale(engine);
    engine_give_up(query, QURING_CANCELLED, "cancelled");
    engine_push(engine->hub.ring);
    return 0;
}

/* ---- Transactions ---- */

void engine_tx_expire(quring_engine *engine, uint64_t now_ns) {
    struct heap_node *first;
    while ((first = heap_first(&engine->hub.tx_deadlines)) && first->key <= now_ns) {
        struct quring_tx *tx = base_container_of(first, struct quring_tx, deadline);
        heap_remove(&engine->hub.tx_deadlines, first);
        if (tx_expire(tx, now_ns))
            engine_tx_changed(tx, true);
    }
}

/* The turn that this is a part of sets the timer for the next. */
void engine_tx_fire(struct timer *timer) {
    quring_engine *engine = base_container_of(timer, quring_engine, tx_timer);
    engine_tx_expire(engine, ring_now_ns(engine->hub.ring));
}
