/* SPDX-License-Identifier: MIT */
/* Closing a database, and shutting down or closing the engine: ends of queries that their backend did not bring about. */
#include "engine/engine.h"

#include "engine/inbox.h"

#include "core/status.h"
#include "core/tx.h"

#include <errno.h>
#include <time.h>

enum { REFUSALS_MAX = 1000 }; /* so often may the kernel refuse a turn while the engine closes */

/* ---- Databases ---- */

/* No list holds the running queries of a database: closing is rare, and a list would cost every query some stores. */
static void end_running(struct quring_db *db, uint8_t *slots, size_t slot_bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct query *query = (struct query *)(void *)(slots + i * slot_bytes);
        if (query->state != QUERY_RUNNING || query->queue->db != db)
            continue;
        db->backend->abandon(query, QURING_SHUTDOWN);
        if (db->closing) /* quring_shutdown() waits for what is at work, and the close of a handle does not */
            engine_watch(query);
    }
}

/* Ends the database's queries: those that wait at once, and with `running_too` the others by way of their backend. */
static void end_db_queries(quring_engine *engine, struct quring_db *db, bool running_too) {
    static const char why[] = "the engine was shut down before this query was sent";
    list_for_each_safe(node, &db->ready)
        queue_fail(list_entry(node, struct queue, ready), QURING_SHUTDOWN, "57P01", why);
    list_for_each(node, &db->txs) /* their queues may be parked */
        queue_fail(&list_entry(node, struct quring_tx, link)->queue, QURING_SHUTDOWN, "57P01", why);
    if (!running_too || !db->running_count)
        return;
    end_running(db, engine->queries.objects, engine->queries.object_bytes, engine->queries.count);
    for (uint32_t number = 1; number <= ENGINE_INBOXES_MAX; number++) {
        const struct quring_inbox *inbox = engine->inboxes[number];
        if (inbox)
            end_running(db, inbox->slots, inbox->slot_bytes, inbox->query_count);
    }
}

void engine_db_close(quring_db *db) {
    if (db->closing)
        return;
    db->closing = true;
    status_closing(db, engine_now_ns(db->engine));
    end_db_queries(db->engine, db, true);
    engine_tx_close(db);
    db->backend->close(db);
    db_due(db); /* a turn frees the handle once its backend has closed */
    engine_deliver(db->engine, false);
    engine_push(db->engine->hub.ring);
}

/* ---- Shutdown and close ---- */

/* A query runs, or the place of a transaction is not free yet. */
static bool end_is_at_work(const quring_engine *engine) {
    uint32_t count = 0;
    list_for_each(node, &engine->hub.databases) {
        const struct quring_db *db = list_entry(node, struct quring_db, link);
        count += db->running_count + db->leaving_count;
    }
    return count != 0;
}

/* Those of a handle that is closed end with it. */
static bool end_is_open(const struct quring_tx *tx) {
    return tx_has_place(tx) && !tx->queue.db->closing;
}

static bool end_has_open_txs(const quring_engine *engine) {
    list_for_each(db, &engine->hub.databases)
        list_for_each(node, &list_entry(db, struct quring_db, link)->txs)
            if (end_is_open(list_entry(node, struct quring_tx, link)))
                return true;
    return false;
}

/* No COMMIT can come any more. What is out of it ends first; its backend says when nothing is. */
static void end_tx(struct quring_tx *tx) {
    if (end_is_open(tx))
        engine_tx_changed(tx, false);
    if (!end_is_open(tx) || !tx->idle)
        return;
    tx_give_up(tx, QURING_SHUTDOWN, "57P01", "the engine was shut down before the transaction's COMMIT");
    engine_tx_changed(tx, false);
}

static void end_txs(quring_engine *engine) {
    list_for_each(db, &engine->hub.databases)
        list_for_each_safe(node, &list_entry(db, struct quring_db, link)->txs)
            end_tx(list_entry(node, struct quring_tx, link));
}

static void end_queries(quring_engine *engine, bool running_too) {
    list_for_each(node, &engine->hub.databases)
        end_db_queries(engine, list_entry(node, struct quring_db, link), running_too);
}

/*
 * A turn while the engine shuts down or closes, where nobody could be told that the kernel refused it. A refusal may pass
 * (ENOMEM), so it is tried again after a millisecond. False: it was refused so often that the kernel refuses for good.
 */
static bool end_last_turn(quring_engine *engine, uint64_t timeout_ns, uint32_t *refusals) {
    engine->owes_wake |= ring_take_wake(engine->hub.ring); /* a wake that is left would keep every turn from sleeping */
    ring_gather_for(engine->hub.ring, 0);
    int error = ring_turn(engine->hub.ring, timeout_ns);
    if (error == 0 || error == -EINTR)
        return true;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return ++*refusals < REFUSALS_MAX;
}

static bool end_is_over(const quring_engine *engine, bool txs, uint64_t until) {
    return (!end_is_at_work(engine) && !(txs && end_has_open_txs(engine))) || engine_now_ns(engine) >= until;
}

/*
 * Makes turns until no query runs and, with `txs`, no transaction is open, or it is `until`. Each turn may leave a transaction
 * with nothing out of it, which is rolled back then, and a lane is free only once its backend has looked at it.
 */
static void end_drain(quring_engine *engine, bool txs, uint64_t until) {
    uint32_t refusals = 0;
    for (;;) {
        end_queries(engine, false); /* queries that were put back unsent, when their connection was lost */
        end_txs(engine);
        uint64_t now = engine_now_ns(engine);
        engine_advance(engine);
        engine_deliver(engine, false);
        if (end_is_over(engine, txs, until) || (now < until && !end_last_turn(engine, until - now, &refusals)))
            break;
    }
}

/* For servers, whose answers nobody waits for: closing would end their transactions, too, but may be long in coming. */
static void end_send_rollbacks(quring_engine *engine) {
    uint32_t refusals = 0;
    if (!end_has_open_txs(engine))
        return;
    end_txs(engine);
    engine_advance(engine);
    (void)end_last_turn(engine, 0, &refusals);
}

int engine_shutdown(quring_engine *engine, uint64_t grace_ns) {
    engine->shutting_down = true;
    engine_inboxes_shut(engine);
    uint64_t now = engine_now_ns(engine);
    list_for_each(node, &engine->hub.databases)
        status_closing(list_entry(node, struct quring_db, link), now);
    end_queries(engine, false);
    end_drain(engine, true, now + grace_ns < now ? UINT64_MAX : now + grace_ns);
    end_queries(engine, true);
    end_send_rollbacks(engine);
    /* Interrupted queries of SQLite come back when the present step of their lane ends, so there is no limit to wait for. */
    end_drain(engine, false, UINT64_MAX);
    engine_deliver(engine, false);
    /* A wake that one of these turns took was meant for the program's next quring_run(). */
    if (engine->owes_wake)
        ring_wake(engine->hub.ring);
    engine->owes_wake = false;
    return (int)engine->hub.done_count;
}

/* Turns go on until every backend has nothing left in the ring, since the kernel writes to buffers until then. */
void engine_close(quring_engine *engine) {
    if (!engine->shutting_down)
        (void)engine_shutdown(engine, 0);
    list_for_each(node, &engine->hub.databases)
        engine_db_close(list_entry(node, struct quring_db, link));
    uint32_t refusals = 0;
    for (;;) {
        engine_advance(engine);
        if (list_empty(&engine->hub.databases))
            break;
        if (end_last_turn(engine, UINT64_MAX, &refusals))
            continue;
        engine_inboxes_leave(engine);
        return; /* the kernel may still write to our buffers, so they are leaked rather than freed */
    }
    engine_inboxes_leave(engine);
    PRE(engine->pending_count == engine->hub.done_count);
    timer_clear(engine->hub.ring, &engine->deadline_timer);
    timer_clear(engine->hub.ring, &engine->tx_timer);
    ring_close(engine->hub.ring);
    engine_free(engine);
}
