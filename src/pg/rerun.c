/* SPDX-License-Identifier: MIT */
#include "pg/rerun.h"

#include "base/rng.h"
#include "core/batch.h"
#include "pg/request.h"

enum { DOUBLINGS_MAX = 6 };

static const uint64_t WAIT_NS = 1000000; /* the longest before the first rerun; twice as long before each further one */

/* Each goes to the front of the queue, so they go in backwards to keep their order. */
static void rerun_put_back(struct batch *batch) {
    while (!list_empty(&batch->members))
        pg_query_restart(list_entry(batch->members.prev, struct query, link));
}

static void rerun_arm(struct pg_pool *pool) {
    const struct heap_node *first = heap_first(&pool->reruns);
    if (first)
        (void)timer_set(pg_pool_ring(pool), &pool->rerun, first->key); /* room was made */
    else
        timer_clear(pg_pool_ring(pool), &pool->rerun);
}

static void rerun_fired(struct timer *timer) {
    struct pg_pool *pool = base_container_of(timer, struct pg_pool, rerun);
    uint64_t now_ns = ring_now_ns(pg_pool_ring(pool));
    struct heap_node *first;
    while ((first = heap_first(&pool->reruns)) && first->key <= now_ns) {
        heap_remove(&pool->reruns, first);
        rerun_put_back(base_container_of(first, struct batch, again));
    }
    rerun_arm(pool);
}

/* The waits are random, or batches that have met once would meet again. */
static uint64_t rerun_wait_ns(struct pg_pool *pool, const struct batch *batch) {
    uint32_t doublings = batch->rerun_count < DOUBLINGS_MAX ? batch->rerun_count : DOUBLINGS_MAX;
    return rng_below(&pool->attempts.rng, WAIT_NS << doublings);
}

void pg_rerun_batch(struct pg_pool *pool, struct batch *batch, bool wait) {
    PRE(!list_empty(&batch->members) && !heap_contains(&batch->again));
    list_for_each(node, &batch->members)
        pg_query(list_entry(node, struct query, link))->conn = NULL;
    uint64_t at_ns = ring_now_ns(pg_pool_ring(pool)) + rerun_wait_ns(pool, batch);
    if (wait && heap_push(&pool->reruns, &batch->again, at_ns))
        rerun_arm(pool);
    else
        rerun_put_back(batch);
}

void pg_rerun_abandon(struct pg_pool *pool, struct query *query, quring_status status) {
    PRE(pg_rerun_has(query));
    struct batch *batch = query->batch;
    heap_remove(&pool->reruns, &batch->again);
    if (status == QURING_SHUTDOWN) { /* it is said to each of them */
        query_fail(query, status, "57P01", "the engine or the database handle was closed");
        return;
    }
    error_format(&query->error, "57014", "%s while its batch waited to be run again",
                 status == QURING_TIMEOUT ? "its timeout passed" : "cancelled");
    batch_end_unsent(query, &batch->members, status);
}

void pg_rerun_init(struct pg_pool *pool) {
    pool->rerun.fire = rerun_fired;
}

/* All of them have ended with what else was RUNNING. */
void pg_rerun_free(struct pg_pool *pool) {
    PRE(!heap_first(&pool->reruns));
    heap_free(&pool->reruns);
}
