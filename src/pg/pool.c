/* SPDX-License-Identifier: MIT */
#include "pg/pool.h"

#include "core/status.h"
#include "core/trace.h"
#include "pg/batch.h"
#include "pg/health.h"
#include "pg/lease.h"
#include "pg/order.h"
#include "pg/plan.h"
#include "pg/request.h"
#include "pg/rerun.h"
#include "pg/resolve.h"
#include "pg/silence.h"
#include "pg/sizes.h"
#include "pg/tx.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* An event of the connection, for its reason. CONNECTED has none. */
static void pool_trace(const struct pg_conn *conn, quring_event_kind kind, uint64_t wait_ns) {
    if (base_likely(!conn->trace))
        return;
    struct trace_report report = {.kind = kind, .connection = conn->number, .wait_ns = wait_ns};
    if (kind != QURING_EVENT_CONNECTED) {
        report.sqlstate = conn->reason.sqlstate;
        report.message = conn->reason.message;
    }
    trace_connection(conn->trace, conn->config->db, &report);
}

/* ---- Outages ---- */

/* The edges of the diagram in pool_state.h. */
static void pool_move(struct pg_pool *pool, enum pg_pool_state to) {
    static const uint8_t next[] = {
        [PG_POOL_TRYING] = 1 << PG_POOL_UP,
        [PG_POOL_UP] = 1 << PG_POOL_OUTAGE,
        [PG_POOL_OUTAGE] = 1 << PG_POOL_UP | 1 << PG_POOL_TRYING,
    };
    struct ring *ring = pg_pool_ring(pool);
    PRE(pool->state <= PG_POOL_OUTAGE && (next[pool->state] >> to & 1));
    pool->state = (uint8_t)to;
    if (to == PG_POOL_OUTAGE)
        (void)timer_set(ring, &pool->outage, ring_now_ns(ring) + pool->db->options.reconnect_wait_ns);
    else
        timer_clear(ring, &pool->outage);
}

static void pool_fail_waiting(struct pg_pool *pool, const struct pg_last_reason *why) {
    queue_fail(&pool->db->queue, QURING_NOT_SENT, why->sqlstate, why->message);
    pg_lease_fail_waiting(pool, why->sqlstate, why->message);
}

/*
 * A program that was elsewhere comes back to the end of the wait, and to a step of an attempt that was to be made meanwhile, and was
 * not: it has begun in this turn, or does so next.
 */
static bool pool_tries_late(const struct pg_pool *pool) {
    const struct timer *next = &pool->next_attempt;
    if (!pool->trying_count)
        return heap_contains(&next->node) && next->node.key <= ring_now_ns(pg_pool_ring(pool));
    return pool->attempts.stepped_ns > pool->outage.node.key;
}

static void pool_outage_fired(struct timer *timer) {
    struct pg_pool *pool = base_container_of(timer, struct pg_pool, outage);
    if (pool->ready_count) {
        pool_move(pool, PG_POOL_UP); /* a connection came up, but no turn has given it queries yet */
        return;
    }
    pool_move(pool, PG_POOL_TRYING);
    if (pool->last.at_ns && !pool_tries_late(pool))
        pool_fail_waiting(pool, &pool->last);
}

static void pool_keep_reason(struct pg_pool *pool, const struct pg_reason *reason) {
    struct pg_last_reason *last = &pool->last;
    last->at_ns = ring_now_ns(pg_pool_ring(pool));
    memcpy(last->sqlstate, reason->sqlstate, sizeof last->sqlstate);
    memcpy(last->message, reason->message, sizeof last->message);
    if (pg_manners_is_for_good(reason->sqlstate))
        pool->final = *last;
}

/* A connection is down, or could not try, for pool->last. If none is up, queries end now or wait, by the pool's state. */
static void pool_end_or_wait(struct pg_pool *pool) {
    if (pool->ready_count)
        return;
    if (pool->state == PG_POOL_TRYING || pg_manners_is_for_good(pool->last.sqlstate))
        pool_fail_waiting(pool, &pool->last);
    else if (pool->state == PG_POOL_UP)
        pool_move(pool, PG_POOL_OUTAGE);
}

/* Queries that come between two attempts at a server that refuses for good end at once, in its words. */
static void pool_ask_again(struct pg_pool *pool) {
    pg_plan_attempts_asked(pool);
    if (!pool->ready_count && !pool->trying_count)
        pool_fail_waiting(pool, &pool->final);
}

/* ---- Reports of connections ---- */

/* A bound connection was lost, and with it the state that its queries rely on, so it is not replaced. */
static bool pool_is_lost(const struct pg_conn *conn) {
    return conn->state == PG_CONN_DOWN && conn->was_up && pg_conn_is_bound(conn);
}

static void pool_conn_up(struct pg_conn *conn) {
    struct pg_pool *pool = pg_pool_of(conn);
    pg_silence_begin(conn);
    pool->trying_count--;
    pg_sizes_up(pool, conn);
    pool->db->counters.connect_count++;
    pool->db->counters.connection_count++;
    status_up(pool->db, ring_now_ns(pg_pool_ring(pool)));
    pg_placement_changed(&pool->placement, conn);
    pool_trace(conn, QURING_EVENT_CONNECTED, 0);
    db_due(pool->db);
    pg_plan_succeeded(pool, conn);
    pg_sizes_settle(pool);
    pg_plan_attempts(pool);
}

/* The end was our own will, and no failure. */
static bool pool_has_ended(const struct pg_conn *conn) {
    return conn->config->db->closing || conn->reason.status == QURING_SHUTDOWN;
}

static void pool_note_loss(struct pg_pool *pool, const struct pg_conn *conn) {
    pool_keep_reason(pool, &conn->reason);
    pool->complete = false;
    if (!pool->ready_count)
        status_none_up(pool->db, pg_conn_is_bound(conn), pool->last.at_ns);
}

static void pool_conn_lost(struct pg_conn *conn) {
    struct pg_pool *pool = pg_pool_of(conn);
    pg_silence_end(conn);
    pg_cancel_end(conn);
    pg_sizes_lost(pool, conn);
    if (!pool->ready_count)
        pg_manners_none_up(&pool->manners);
    if (!pool_has_ended(conn))
        pool_note_loss(pool, conn);
    pool_trace(conn, pool_has_ended(conn) ? QURING_EVENT_CLOSED : QURING_EVENT_LOST, 0);
}

static __attribute__((cold, noinline)) void pool_conn_progressed_rarer(struct pg_conn *conn) {
    if (order_place_is_used(&conn->order))
        pg_order_settle(pg_pool_of(conn), conn);
    if (conn->outdated)
        pg_sizes_progressed(pg_pool_of(conn), conn);
    if (conn->cancel.state != PG_CANCEL_NONE)
        pg_cancel_look(conn);
}

static void pool_conn_progressed(struct pg_conn *conn) {
    pg_placement_progressed(&pg_pool_of(conn)->placement, conn);
    if (base_unlikely(order_place_is_used(&conn->order) || conn->outdated || conn->cancel.state != PG_CANCEL_NONE))
        pool_conn_progressed_rarer(conn);
}

static void pool_conn_retiring(struct pg_conn *conn) {
    if (order_place_is_used(&conn->order))
        pg_order_settle(pg_pool_of(conn), conn);
    if (conn->cancel.state != PG_CANCEL_NONE)
        pg_cancel_look(conn);
    pg_sizes_retiring(conn);
}

static void pool_conn_gave_up(struct pg_conn *conn) {
    pg_placement_changed(&pg_pool_of(conn)->placement, conn);
    if (order_place_is_used(&conn->order))
        pg_order_settle(pg_pool_of(conn), conn);
}

static void pool_conn_let_go(struct pg_conn *conn) {
    pool_conn_gave_up(conn);
    if (conn->tx && pg_tx_of(conn->tx)->conn == conn) /* and not for a question that is asked for it */
        pg_tx_serve(conn->tx);
}

static void pool_conn_undone(struct pg_conn *conn, struct batch *batch, bool wait) {
    pg_rerun_batch(pg_pool_of(conn), batch, wait);
}

static void pool_try_later(struct pg_conn *conn) {
    uint64_t wait_ns = pg_plan_failed(pg_pool_of(conn), conn);
    if (wait_ns)
        pool_trace(conn, QURING_EVENT_RETRYING, wait_ns);
}

static void pool_note_failure(struct pg_pool *pool, const struct pg_conn *conn) {
    uint64_t now_ns = ring_now_ns(pg_pool_ring(pool));
    bool for_good = pg_manners_is_for_good(conn->reason.sqlstate);
    pool->complete = false;
    status_failed(pool->db, pool->ready_count != 0, for_good, now_ns);
}

static void pool_count_down(struct pg_pool *pool, const struct pg_conn *conn) {
    struct db_counters *counters = &pool->db->counters;
    pool->open_count--;
    if (conn->was_up) {
        counters->connection_count--;
        counters->connection_lost_count += !pool_has_ended(conn);
        return;
    }
    pool->trying_count--;
    if (pool->db->closing)
        return;
    counters->connect_failure_count++;
    pool_trace(conn, QURING_EVENT_REFUSED, 0);
    pool_note_failure(pool, conn);
}

static void pool_go_on_without(struct pg_pool *pool, struct pg_conn *conn) {
    if (pool->db->closing)
        return;
    conn->was_up = false;
    list_push_back(&pool->down, &conn->link);
    pg_sizes_settle(pool);
    pg_plan_attempts(pool);
}

static void pool_conn_down(struct pg_conn *conn) {
    struct pg_pool *pool = pg_pool_of(conn);
    struct quring_db *db = pool->db;
    if (conn->tx)
        pg_tx_lost_idle(conn->tx);
    if (pg_attempt_goes_on(conn))
        return;
    pool_count_down(pool, conn);
    db_due(db);
    if (pool_has_ended(conn)) {
        pool_go_on_without(pool, conn);
        return;
    }
    if (!conn->was_up) /* else it was kept when it was lost */
        pool_keep_reason(pool, &conn->reason);
    db->server_pid = 0;
    if (pool_is_lost(conn))
        return; /* the rest of a transaction must not run outside it: pool_admit_bound() ends what comes */
    pool_end_or_wait(pool);
    conn->was_up = false;
    pool_try_later(conn);
    pg_sizes_settle(pool);
    pg_plan_attempts(pool);
}

/* It comes from within pg_plan_attempts(), which goes on to set the time. */
static void pool_conn_postponed(struct pg_conn *conn) {
    struct pg_pool *pool = pg_pool_of(conn);
    pool_keep_reason(pool, &conn->reason);
    pool_trace(conn, QURING_EVENT_REFUSED, 0);
    pool_note_failure(pool, conn);
    pool_end_or_wait(pool);
    pool_try_later(conn);
}

static void pool_timer_fired(struct timer *timer) {
    struct pg_conn *conn = base_container_of(timer, struct pg_conn, timer);
    if (conn->state == PG_CONN_READY)
        pg_sizes_look(conn);
    else
        pg_attempt_timer(timer);
}

static const struct pg_conn_events pool_conn_events = {.up = pool_conn_up,
                                                       .lost = pool_conn_lost,
                                                       .progressed = pool_conn_progressed,
                                                       .retiring = pool_conn_retiring,
                                                       .gave_up = pool_conn_gave_up,
                                                       .let_go = pool_conn_let_go,
                                                       .undone = pool_conn_undone,
                                                       .freed = pg_lease_freed,
                                                       .doubtful = pg_resolve_begin,
                                                       .down = pool_conn_down,
                                                       .postponed = pool_conn_postponed,
                                                       .timer = pool_timer_fired};

/* ---- Admission ---- */

/* Gives the oldest unit to one connection. False: none has room for all of it. */
static __attribute__((noinline)) bool pool_admit_unit(struct pg_pool *pool) {
    struct queue *queue = &pool->db->queue;
    uint32_t count = queue_unit_count(queue);
    struct pg_conn *conn = pg_placement_take_unit(&pool->placement, count);
    if (!conn)
        return false;
    if (queue_first(queue)->batch)
        pg_batch_send(conn, queue, count);
    else if (queue_first(queue)->key)
        pg_order_admit(pool, conn);
    else
        while (count--)
            pg_conn_send(conn, queue_take(queue));
    pg_placement_gave(&pool->placement, conn);
    return true;
}

/* Gives a run of queries to one connection. It ends between two units (core/queue.h). False: no connection takes any. */
static bool pool_admit_run(struct pg_pool *pool) {
    struct queue *queue = &pool->db->queue;
    uint32_t count;
    if (base_unlikely(queue->unit_waiting_count))
        return pool_admit_unit(pool);
    struct pg_conn *conn = pg_placement_take(&pool->placement, queue->waiting_count, &count);
    if (!conn)
        return false;
    do {
        if (base_unlikely(queue_first(queue)->key != NULL))
            pg_order_admit(pool, conn);
        else
            pg_conn_send(conn, queue_take(queue));
    } while (--count && queue->waiting_count && pg_placement_has_room(conn));
    pg_placement_gave(&pool->placement, conn);
    return true;
}

static void pool_conn_sync_and_flush(struct pg_conn *conn) {
    if (buf_size(pg_conn_out(conn)) && pg_conn_sync(conn))
        pg_conn_flush(conn);
}

static void pool_admit_bound(struct queue *queue, struct pg_conn *conn) {
    struct query *query;
    if (base_unlikely(pool_is_lost(conn)))
        queue_fail(queue, QURING_NOT_SENT, conn->reason.sqlstate, conn->reason.message);
    while (pg_placement_has_room(conn) && !pg_cancel_holds(conn) && (query = queue_take(queue)))
        pg_conn_send(conn, query);
    pool_conn_sync_and_flush(conn);
}

static void pool_flush_given(struct pg_pool *pool) {
    struct pg_conn *conn;
    while ((conn = pg_placement_next_given(&pool->placement)))
        pool_conn_sync_and_flush(conn);
}

static void pool_admit_shared(struct pg_pool *pool) {
    bool checks = pool->db->options.health_check_ns != 0;
    pg_placement_begin(&pool->placement);
    if (base_unlikely(!list_empty(&pool->ordered)))
        pg_order_admit_parked(pool);
    do {
        if (base_unlikely(checks) && pool->db->queue.waiting_count)
            pg_health_check(&pool->placement, pool->db->queue.waiting_count);
    } while (pool->db->queue.waiting_count && pool_admit_run(pool));
    pool_flush_given(pool);
    if (base_unlikely(pool->wanted_count < pool->most_count))
        pg_sizes_grow(pool);
}

/*
 * Queries that are parked on their keys come first of all: they stood in the queue once, and none follows them there while
 * there is no room for whoever waits in line.
 */
void pg_pool_admit_older(struct pg_pool *pool) {
    const struct queue *queue = &pool->db->queue;
    pg_placement_begin(&pool->placement);
    pg_order_admit_parked(pool);
    pool_flush_given(pool);
    uint64_t since_ns = queue->waiting_count ? queue_first(queue)->left_ns : 0;
    pg_lease_admit_parked(pool, since_ns ? since_ns : UINT64_MAX);
}

void pg_pool_admit(struct pg_pool *pool, struct queue *queue) {
    PRE(queue->db == pool->db);
    if (base_unlikely(queue->tx != NULL))
        pg_lease_admit(pool, queue->tx);
    else if (queue->bound)
        pool_admit_bound(queue, queue->bound);
    else
        pool_admit_shared(pool);
}

/*
 * The pool is up when queries can be given to a connection. One that came up and went down again before that has served
 * none, and those that wait go on waiting as long as they did.
 */
void pg_pool_advance(struct pg_pool *pool) {
    list_for_each_safe(node, &pool->owing)
        if (!pg_conn_credit_unsent(list_entry(node, struct pg_conn, unsent.link)))
            db_due(pool->db);
    if (base_unlikely(pool->state != PG_POOL_UP && pool->ready_count))
        pool_move(pool, PG_POOL_UP);
    if (base_unlikely(pool->manners.state == PG_MANNERS_REFUSED && db_waiting_count(pool->db)))
        pool_ask_again(pool);
}

/* Counted are those that were made, because one that has come up may be replaced before the last is. */
bool pg_pool_holds(struct pg_pool *pool) {
    struct quring_db *db = pool->db;
    const struct db_counters *counters = &db->counters;
    bool failed = counters->connect_failure_count || counters->connection_lost_count || db->status.failure_count;
    db->warming = counters->connect_count < pool->least_count && !failed;
    return db->warming;
}

/* ---- Open and close ---- */

void pg_pool_free(struct pg_pool *pool) {
    PRE(pg_pool_is_closed(pool));
    pg_attempts_free(&pool->attempts);
    for (uint32_t i = 0; i < pool->conn_count; i++) {
        pg_conn_free(pool->conns[i]);
        free(pool->conns[i]);
    }
    ring_sockets_give(pg_pool_ring(pool), pool->socket_count);
    free(pool->conns);
    pg_placement_free(&pool->placement);
    pg_sizes_free(pool);
    pg_rerun_free(pool);
    pg_resolve_free(pool);
}

/* Differs from one process and pool to the next: equal seeds would make their retries coincide. */
static uint64_t pool_seed(const struct pg_pool *pool) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)now.tv_sec ^ (uint64_t)(uintptr_t)pool;
}

/* Makes connections until there are so many, all DOWN. False: no memory; those that were made will do for later. */
static bool pool_make_conns(struct pg_pool *pool, uint32_t count) {
    if (count <= pool->conn_count)
        return true;
    struct pg_conn **conns = realloc(pool->conns, count * sizeof(struct pg_conn *));
    if (!conns)
        return false;
    pool->conns = conns;
    if (!pg_placement_reserve(&pool->placement, count) || !pg_sizes_reserve(pool, count))
        return false;
    while (pool->conn_count < count) {
        uint32_t i = pool->conn_count;
        struct pg_conn *conn = calloc(1, sizeof *conn);
        if (!conn)
            return false;
        pg_conn_init(conn, &pool->config, &pool_conn_events, &pool->db->queue, i);
        conn->number = i + 1;
        list_push_back(&pool->down, &conn->link);
        pool->conns[pool->conn_count++] = conn;
    }
    return true;
}

static bool pool_init(struct pg_pool *pool, const char *url) {
    pg_placement_init(&pool->placement, pool->db->options.depth);
    if (!pg_attempts_init(&pool->attempts, url, pool_seed(pool)))
        return false;
    pg_cancels_init(&pool->cancels, pool->db, pool->attempts.hosts, &pool->placement);
    return pool_make_conns(pool, pool->socket_count);
}

static int pool_refuse_size(const struct pg_pool *pool, uint32_t count) {
    return hub_error(pool->db->hub, QURING_EFULL, "connection_count %u: the engine's own limit of sockets leaves fewer",
                     count);
}

int pg_pool_open(struct pg_pool *pool, struct quring_db *db, const char *url, uint64_t *kept_bytes) {
    PRE(db->options.connection_count && db->options.depth);
    uint32_t count = db->options.connection_count;
    *pool = (struct pg_pool){.db = db, .socket_count = count};
    pool->config = (struct pg_conn_config){.db = db,
                                           .attempts = &pool->attempts,
                                           .cancels = &pool->cancels,
                                           .kept_bytes = kept_bytes,
                                           .owing = &pool->owing};
    list_init(&pool->owing);
    pool->outage.fire = pool_outage_fired;
    list_init(&pool->ordered);
    pg_rerun_init(pool);
    pg_plan_init(pool);
    pg_sizes_init(pool);
    pg_lease_init(pool);
    pg_resolve_init(pool);
    if (!ring_sockets_take(pg_pool_ring(pool), count))
        return pool_refuse_size(pool, count);
    if (!pool_init(pool, url)) {
        pg_pool_free(pool);
        return hub_error(db->hub, QURING_ENOMEM, "no memory for the database handle");
    }
    if (db->options.exclusive)
        db->queue.bound = pool->conns[0];
    pg_plan_attempts(pool);
    return 0;
}

static void pool_settle_fired(struct timer *timer) {
    struct pg_pool *pool = base_container_of(timer, struct pg_pool, settle);
    pg_sizes_settle(pool);
    pg_plan_attempts(pool);
}

/* The next turn begins attempts, or ends connections, because here may be no I/O; quring_timeout_ns() knows of timers. */
static void pool_settle_soon(struct pg_pool *pool) {
    struct ring *ring = pg_pool_ring(pool);
    pool->settle.fire = pool_settle_fired;
    (void)timer_set(ring, &pool->settle, ring_now_ns(ring));
}

int pg_pool_resize(struct pg_pool *pool, uint32_t connection_count) {
    PRE(connection_count && !pool->db->queue.bound);
    struct ring *ring = pg_pool_ring(pool);
    uint32_t more = connection_count > pool->socket_count ? connection_count - pool->socket_count : 0;
    if (more && !ring_sockets_take(ring, more))
        return pool_refuse_size(pool, connection_count);
    if (!pool_make_conns(pool, connection_count)) {
        ring_sockets_give(ring, more);
        return hub_error(pool->db->hub, QURING_ENOMEM, "no memory for %u connections", connection_count);
    }
    pool->socket_count += more;
    pool->db->options.connection_count = connection_count;
    pg_sizes_changed(pool);
    pool_settle_soon(pool);
    return 0;
}

void pg_pool_drain(struct pg_pool *pool) {
    PRE(!pool->db->queue.bound);
    pg_sizes_drain(pool);
    pool_settle_soon(pool);
}

void pg_pool_close(struct pg_pool *pool) {
    PRE(pool->db->closing);
    timer_clear(pg_pool_ring(pool), &pool->outage);
    timer_clear(pg_pool_ring(pool), &pool->next_attempt);
    timer_clear(pg_pool_ring(pool), &pool->settle);
    timer_clear(pg_pool_ring(pool), &pool->rerun);
    timer_clear(pg_pool_ring(pool), &pool->resolves.timer);
    for (uint32_t i = 0; i < pool->conn_count; i++) {
        struct pg_conn *conn = pool->conns[i];
        if (conn->state == PG_CONN_CONNECTING)
            pg_attempt_end(conn);
        else
            pg_conn_close(conn);
    }
}

bool pg_pool_is_closed(const struct pg_pool *pool) {
    return pool->open_count == 0 && pg_cancels_are_over(&pool->cancels);
}
