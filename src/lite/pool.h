/* SPDX-License-Identifier: MIT */
/*
 * Queries that wait for a lane, and who serves them. Lanes take what they can carry; so work goes to whichever lane is
 * free, and a query that no lane has taken can still be withdrawn.
 *
 *      put (reactor)  --> | queue | --take (lane)--> in the lane's hands --> reported
 *                           |  ^                        |
 *          withdraw <-------+  +------give back---------+
 *
 * The queue is a ring of pointers, so that a lane copies a run of them without touching the queries; a withdrawn query
 * leaves a NULL. All of it is under `lock`, which is never held while SQLite works. What lanes hold keeps its room in the
 * ring (held_count), so giving back can't fail.
 */
#ifndef QURING_LITE_POOL_H
#define QURING_LITE_POOL_H

#include "lite/query.h"

#include <pthread.h>

struct lite_pool {
    pthread_mutex_t lock;
    struct query **ring;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t head;     /* positions; they wrap, and their low bits are the index in the ring */
    uint32_t tail;
    uint32_t held_count; /* in the hands of lanes */
    atomic_bool barred;  /* read without the lock, too */
};

bool lite_pool_init(struct lite_pool *pool);
void lite_pool_free(struct lite_pool *pool);

static inline void lite_pool_lock(struct lite_pool *pool) {
    pthread_mutex_lock(&pool->lock);
}

static inline void lite_pool_unlock(struct lite_pool *pool) {
    pthread_mutex_unlock(&pool->lock);
}

static inline bool lite_pool_barred(const struct lite_pool *pool) {
    return atomic_load_explicit(&pool->barred, memory_order_relaxed);
}

/* The rest needs the lock. */

static inline void lite_pool_bar(struct lite_pool *pool, bool barred) {
    atomic_store_explicit(&pool->barred, barred, memory_order_relaxed);
}

static inline uint32_t lite_pool_queued(const struct lite_pool *pool) {
    return pool->tail - pool->head;
}

/* Behind all others. False: out of memory. */
bool lite_pool_put(struct lite_pool *pool, struct query *query);

/* Moves up to `count` queries from the front into a lane's hands; returns how many: none while the pool is barred. */
uint32_t lite_pool_take(struct lite_pool *pool, struct query **taken, uint32_t count);

/* Puts queries that a lane took, and does not want after all, back to the front. NULLs are skipped. */
void lite_pool_give_back(struct lite_pool *pool, struct query *const *taken, uint32_t count);

/* The lane is done with `count` queries that it took and did not give back. */
static inline void lite_pool_let_go(struct lite_pool *pool, uint32_t count) {
    PRE(count <= pool->held_count);
    pool->held_count -= count;
}

/* Takes a query out of the queue. False when it is not in it: a lane has it. */
bool lite_pool_withdraw(struct lite_pool *pool, struct query *query);

#endif
