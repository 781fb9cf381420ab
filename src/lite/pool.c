/* SPDX-License-Identifier: MIT */
#include "lite/pool.h"

#include <stdlib.h>

enum { POOL_CAPACITY_MIN = 1024 };

bool lite_pool_init(struct lite_pool *pool) {
    *pool = (struct lite_pool){0};
    return pthread_mutex_init(&pool->lock, NULL) == 0;
}

void lite_pool_free(struct lite_pool *pool) {
    free(pool->ring);
    pthread_mutex_destroy(&pool->lock);
}

static struct query **pool_slot(const struct lite_pool *pool, uint32_t position) {
    return &pool->ring[position & (pool->capacity - 1)];
}

static void pool_set(struct lite_pool *pool, uint32_t position, struct query *query) {
    *pool_slot(pool, position) = query;
    lite_query(query)->position = position;
}

static bool pool_grow(struct lite_pool *pool) {
    PRE(pool->capacity <= UINT32_MAX / 4);
    uint32_t capacity = pool->capacity ? 2 * pool->capacity : POOL_CAPACITY_MIN;
    struct query **ring = malloc(capacity * sizeof(struct query *));
    if (!ring)
        return false;
    for (uint32_t at = pool->head; at != pool->tail; at++)
        ring[at & (capacity - 1)] = *pool_slot(pool, at);
    free(pool->ring);
    pool->ring = ring;
    pool->capacity = capacity;
    return true;
}

bool lite_pool_put(struct lite_pool *pool, struct query *query) {
    if (lite_pool_queued(pool) + pool->held_count >= pool->capacity && !pool_grow(pool))
        return false;
    pool_set(pool, pool->tail++, query);
    return true;
}

uint32_t lite_pool_take(struct lite_pool *pool, struct query **taken, uint32_t count) {
    uint32_t n = 0;
    if (base_unlikely(lite_pool_barred(pool)))
        return 0;
    while (n < count && pool->head != pool->tail) {
        struct query *query = *pool_slot(pool, pool->head++);
        if (query)
            taken[n++] = query;
    }
    pool->held_count += n;
    return n;
}

void lite_pool_give_back(struct lite_pool *pool, struct query *const *taken, uint32_t count) {
    while (count--) {
        if (!taken[count])
            continue;
        lite_pool_let_go(pool, 1);
        pool_set(pool, --pool->head, taken[count]);
    }
}

/* Places of withdrawn queries at either end: nobody may come to take the last of them. */
static void pool_trim(struct lite_pool *pool) {
    while (pool->head != pool->tail && !*pool_slot(pool, pool->head))
        pool->head++;
    while (pool->head != pool->tail && !*pool_slot(pool, pool->tail - 1))
        pool->tail--;
}

bool lite_pool_withdraw(struct lite_pool *pool, struct query *query) {
    uint32_t position = lite_query(query)->position;
    if (position - pool->head >= lite_pool_queued(pool) || *pool_slot(pool, position) != query)
        return false;
    *pool_slot(pool, position) = NULL;
    pool_trim(pool);
    return true;
}
