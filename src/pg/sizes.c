/* SPDX-License-Identifier: MIT */
#include "pg/sizes.h"

#include "pg/health.h"
#include "pg/plan.h"
#include "pg/request.h"

static const uint64_t LOOK_NS = 10000000; /* from one look at a connection that stays to the next, at least */

static uint32_t sizes_smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void pg_sizes_changed(struct pg_pool *pool) {
    const quring_db_options *options = &pool->db->options;
    uint32_t most = options->connection_count, least = options->connection_min_count;
    pool->most_count = most;
    pool->least_count = least && least < most ? least : most;
    if (pool->wanted_count < pool->least_count) {
        pool->wanted_count = pool->least_count;
        pool->complete = false;
    }
    pool->wanted_count = sizes_smaller(pool->wanted_count, most);
}

void pg_sizes_init(struct pg_pool *pool) {
    pg_sizes_changed(pool);
}

bool pg_sizes_reserve(struct pg_pool *pool, uint32_t conn_count) {
    return heap_reserve(&pool->outdated, conn_count);
}

void pg_sizes_free(struct pg_pool *pool) {
    heap_free(&pool->outdated);
}

/* ---- Time ---- */

/* A tenth less at most, at random, so that connections that were made together do not end together. */
static uint64_t sizes_lifetime_end(struct pg_pool *pool, uint64_t now_ns) {
    uint64_t lifetime = pool->db->options.connection_lifetime_ns;
    return lifetime ? now_ns + lifetime - rng_below(&pool->attempts.rng, lifetime / 10 + 1) : UINT64_MAX;
}

/* When the connection will have been idle for long enough, should it stay so. */
static uint64_t sizes_idle_end(const struct pg_conn *conn, uint64_t now_ns) {
    uint64_t idle_ns = conn->config->db->options.connection_idle_ns;
    if (!idle_ns)
        return UINT64_MAX;
    return (pg_conn_is_idle(conn) ? pg_health_unused_ns(conn) : now_ns) + idle_ns;
}

/* A connection that stays, because it is busy or one of the least number, is looked at again. */
static uint64_t sizes_next_look(const struct pg_conn *conn, uint64_t now_ns) {
    uint64_t idle_ns = conn->config->db->options.connection_idle_ns, end_ns = sizes_idle_end(conn, now_ns);
    if (end_ns == UINT64_MAX || (pg_conn_is_idle(conn) && end_ns > now_ns))
        return end_ns;
    return now_ns + (idle_ns > LOOK_NS ? idle_ns : LOOK_NS);
}

static void sizes_look_later(struct pg_conn *conn, uint64_t now_ns) {
    uint64_t look_ns = sizes_next_look(conn, now_ns), at_ns = conn->outdated ? UINT64_MAX : conn->until_ns;
    at_ns = look_ns < at_ns ? look_ns : at_ns;
    if (at_ns != UINT64_MAX)
        (void)timer_set(pg_conn_ring(conn), &conn->timer, at_ns);
}

/* ---- Outdated connections ---- */

/*
 * The least is the next: an idle one, the one that was silent for longest, or the busy one whose last answer is the youngest:
 * a query that takes long ends late, and until then no successor comes up, so its connection must not be the first.
 */
static uint64_t sizes_turn(const struct pg_conn *conn) {
    uint64_t progress_ns = conn->place.progress_ns;
    return pg_conn_is_idle(conn) ? progress_ns : UINT64_MAX - progress_ns;
}

static void sizes_put_outdated(struct pg_pool *pool, struct pg_conn *conn) {
    heap_remove(&pool->outdated, &conn->turn);
    (void)heap_push(&pool->outdated, &conn->turn, sizes_turn(conn)); /* reserved for all */
}

static void sizes_set_outdated(struct pg_pool *pool, struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_READY && !heap_contains(&conn->turn));
    conn->outdated = true;
    sizes_put_outdated(pool, conn);
}

/* Without an answer its turn only comes later, so that is looked at when it is about to be chosen. */
static struct pg_conn *sizes_next_outdated(struct pg_pool *pool) {
    const struct heap_node *first;
    while ((first = heap_first(&pool->outdated))) {
        struct pg_conn *conn = base_container_of(first, struct pg_conn, turn);
        if (first->key == sizes_turn(conn))
            return conn;
        sizes_put_outdated(pool, conn);
    }
    return NULL;
}

/* ---- Ends ---- */

void pg_sizes_retiring(struct pg_conn *conn) {
    if (conn->state == PG_CONN_RETIRING && pg_conn_is_idle(conn))
        pg_conn_end(conn, "its pool has ended it");
}

static void sizes_leave(struct pg_pool *pool, struct pg_conn *conn) {
    pg_placement_lost(&pool->placement, conn);
    heap_remove(&pool->outdated, &conn->turn);
    if (!pool->outdated.count)
        pool->draining = false;
    pool->ready_count--;
}

static void sizes_retire(struct pg_pool *pool, struct pg_conn *conn) {
    sizes_leave(pool, conn);
    timer_clear(pg_conn_ring(conn), &conn->timer);
    pg_conn_move(conn, PG_CONN_RETIRING);
    pg_sizes_retiring(conn);
}

/* What was refused before may be taken up after what the drain is for. One successor is made first, to see whether it is. */
void pg_sizes_drain(struct pg_pool *pool) {
    pg_manners_begin_anew(&pool->manners);
    for (uint32_t i = 0; i < pool->conn_count; i++) {
        struct pg_conn *conn = pool->conns[i];
        if (conn->state == PG_CONN_READY && !conn->outdated)
            sizes_set_outdated(pool, conn);
        conn->outdated = true;
    }
    pool->draining = pool->outdated.count != 0;
    pool->complete = false;
}

/* ---- Whose turn it is ---- */

/*
 * A query that takes long keeps its connection from ending, and with it, where there is no room for successors, those whose
 * turn comes later. So the turn of such a connection comes when it has answered.
 */
static bool sizes_would_end_late(const struct pg_pool *pool, const struct pg_conn *conn) {
    return !pg_conn_is_idle(conn) && pg_placement_is_slow(&pool->placement, conn);
}

static bool sizes_may_replace(const struct pg_pool *pool, const struct pg_conn *conn) {
    if (pool->ready_count > pool->wanted_count)
        return true;
    if (pool->wanted_count < pool->most_count)
        return false; /* there is room for the successor, which comes first */
    if (pool->ready_count == 1 && pool->manners.state == PG_MANNERS_REFUSED)
        return false; /* no successor would come for the one that serves */
    if (sizes_would_end_late(pool, conn))
        return false;
    uint32_t missing = pool->wanted_count - pool->ready_count, most = 1;
    if (pool->draining && pool->wanted_count / 2 > 1)
        most = sizes_smaller(pool->wanted_count / 2, pool->manners.window);
    if (pool->least_count < pool->wanted_count)
        most = sizes_smaller(most, pool->wanted_count - pool->least_count);
    return missing < most;
}

/* Idle ones first: only they can end at once. */
static void sizes_retire_surplus(struct pg_pool *pool) {
    for (int busy_too = 0; busy_too < 2; busy_too++)
        for (uint32_t i = 0; i < pool->conn_count && pool->ready_count > pool->wanted_count; i++) {
            struct pg_conn *conn = pool->conns[i];
            if (conn->state == PG_CONN_READY && (busy_too || pg_conn_is_idle(conn)))
                sizes_retire(pool, conn);
        }
}

static void sizes_give_sockets(struct pg_pool *pool) {
    uint32_t keep = pool->open_count > pool->most_count ? pool->open_count : pool->most_count;
    if (pool->socket_count <= keep)
        return;
    ring_sockets_give(pg_pool_ring(pool), pool->socket_count - keep);
    pool->socket_count = keep;
}

void pg_sizes_settle(struct pg_pool *pool) {
    sizes_give_sockets(pool);
    for (struct pg_conn *next; (next = sizes_next_outdated(pool)) && sizes_may_replace(pool, next);)
        sizes_retire(pool, next);
    if (pool->ready_count > pool->wanted_count)
        sizes_retire_surplus(pool);
}

void pg_sizes_progressed(struct pg_pool *pool, struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_READY && conn->outdated);
    sizes_put_outdated(pool, conn);
    pg_sizes_settle(pool);
    pg_plan_attempts(pool);
}

void pg_sizes_up(struct pg_pool *pool, struct pg_conn *conn) {
    uint64_t now_ns = ring_now_ns(pg_pool_ring(pool));
    pool->ready_count++;
    pool->complete |= pool->ready_count >= pool->wanted_count;
    conn->place.progress_ns = now_ns;
    pg_health_begin(conn);
    conn->until_ns = sizes_lifetime_end(pool, now_ns);
    if (conn->outdated)
        sizes_set_outdated(pool, conn);
    sizes_look_later(conn, now_ns);
}

void pg_sizes_lost(struct pg_pool *pool, struct pg_conn *conn) {
    if (conn->state == PG_CONN_READY)
        sizes_leave(pool, conn);
    else
        pg_placement_lost(&pool->placement, conn); /* a query on it may have been given up meanwhile */
}

/* As many more as have no connection of their own, and no more at once than manners allow. */
void pg_sizes_grow(struct pg_pool *pool) {
    const struct quring_db *db = pool->db;
    if (pool->wanted_count == pool->most_count || pool->ready_count < pool->wanted_count || pool->trying_count ||
        pg_placement_idle(&pool->placement))
        return;
    uint32_t asked = pool->placement.asked_count + pool->placement.idle_count; /* or next to be */
    if (asked && db->queue.waiting_count <= asked)
        return; /* their answers will do */
    uint32_t out = db->running_count + db_waiting_count(db);
    uint32_t more = out > pool->ready_count ? out - pool->ready_count : 1;
    more = sizes_smaller(more, pool->manners.window);
    pool->complete = false;
    pool->wanted_count += sizes_smaller(more, pool->most_count - pool->wanted_count);
    pg_plan_attempts(pool);
}

void pg_sizes_look(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_READY);
    struct pg_pool *pool = pg_pool_of(conn);
    uint64_t now_ns = ring_now_ns(pg_conn_ring(conn));
    if (!conn->outdated && conn->until_ns <= now_ns)
        sizes_set_outdated(pool, conn);
    if (sizes_idle_end(conn, now_ns) <= now_ns && pool->wanted_count > pool->least_count) {
        pool->wanted_count--;
        if (pool->ready_count > pool->wanted_count)
            sizes_retire(pool, conn);
    }
    pg_sizes_settle(pool);
    pg_plan_attempts(pool);
    if (conn->state == PG_CONN_READY)
        sizes_look_later(conn, now_ns);
}
