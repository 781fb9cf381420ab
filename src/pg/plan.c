/* SPDX-License-Identifier: MIT */
#include "pg/plan.h"

#include "ring/port.h"

static struct pg_situation plan_situation(const struct pg_pool *pool, uint64_t now_ns, bool asked) {
    return (struct pg_situation){
        .now_ns = now_ns, .any_up = pool->ready_count, .asked = asked, .trying_count = pool->trying_count};
}

/* Outdated connections get successors beside them where there is room: see sizes.h. */
static bool plan_wants_another(const struct pg_pool *pool) {
    uint32_t successors = pool->draining ? pool->manners.window : 1;
    if (successors > pool->outdated.count)
        successors = (uint32_t)pool->outdated.count;
    return !pool->db->closing && !list_empty(&pool->down) && pool->open_count < pool->most_count &&
           pool->trying_count + pool->ready_count < pool->wanted_count + successors;
}

/* False: it could not begin, which pg_plan_failed() was told. */
static bool plan_begin(struct pg_pool *pool) {
    struct pg_conn *conn = list_entry(list_pop_front(&pool->down), struct pg_conn, link);
    conn->epoch = pool->manners.epoch;
    conn->outdated = false;
    pg_attempt_start(conn);
    if (conn->state == PG_CONN_DOWN)
        return false;
    pool->trying_count++;
    pool->open_count++;
    return true;
}

static void plan(struct pg_pool *pool, uint64_t now_ns, bool asked) {
    struct ring *ring = pg_pool_ring(pool);
    for (bool begun = true; begun && plan_wants_another(pool);) {
        struct pg_situation situation = plan_situation(pool, now_ns, asked);
        begun = pg_manners_room(&pool->manners, &situation) && plan_begin(pool);
    }
    uint64_t next_ns = pg_manners_next_ns(&pool->manners);
    if (!plan_wants_another(pool) || next_ns == UINT64_MAX || next_ns <= now_ns)
        timer_clear(ring, &pool->next_attempt);
    else
        (void)timer_set(ring, &pool->next_attempt, next_ns);
}

static void plan_fired(struct timer *timer) {
    pg_plan_attempts(base_container_of(timer, struct pg_pool, next_attempt));
}

void pg_plan_init(struct pg_pool *pool) {
    list_init(&pool->down);
    pg_manners_init(&pool->manners, &pool->attempts.rng);
    pool->next_attempt.fire = plan_fired;
}

void pg_plan_attempts(struct pg_pool *pool) {
    plan(pool, ring_now_ns(pg_pool_ring(pool)), false);
}

/* The program may have been away since the last turn, and with it the ring's own time. */
void pg_plan_attempts_asked(struct pg_pool *pool) {
    struct port *port = ring_port(pg_pool_ring(pool));
    plan(pool, port->methods->now_ns(port), true);
}

void pg_plan_succeeded(struct pg_pool *pool, const struct pg_conn *conn) {
    pg_manners_succeeded(&pool->manners, conn->epoch, ring_now_ns(pg_pool_ring(pool)));
}

uint64_t pg_plan_failed(struct pg_pool *pool, struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_DOWN && list_empty(&conn->link));
    struct pg_situation situation = plan_situation(pool, ring_now_ns(pg_pool_ring(pool)), false);
    uint64_t wait_ns =
        pg_manners_failed(&pool->manners, conn->epoch, conn->reason.sqlstate, conn->reason.message, &situation);
    if (wait_ns)
        list_push_front(&pool->down, &conn->link); /* it is the one that is said to try next */
    else
        list_push_back(&pool->down, &conn->link);
    return wait_ns;
}
