/* SPDX-License-Identifier: MIT */
#include "lite/lane_queue.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 1024 };

bool lane_queue_init(struct lane_queue *queue) {
    *queue = (struct lane_queue){0};
    return pthread_mutex_init(&queue->lock, NULL) == 0;
}

void lane_queue_free(struct lane_queue *queue) {
    PRE(queue->head == queue->tail);
    free(queue->ring);
    free(queue->room);
    pthread_mutex_destroy(&queue->lock);
}

static struct query **lane_queue_slot(const struct lane_queue *queue, uint32_t position) {
    return &queue->ring[position & (queue->capacity - 1)];
}

static void lane_queue_set(struct lane_queue *queue, uint32_t position, struct query *query) {
    *lane_queue_slot(queue, position) = query;
    lite_query(query)->position = position;
}

static bool lane_queue_grow(struct lane_queue *queue) {
    PRE(queue->capacity <= UINT32_MAX / 4);
    uint32_t capacity = queue->capacity ? 2 * queue->capacity : CAPACITY_MIN;
    struct query **ring = malloc(capacity * sizeof(struct query *));
    if (!ring)
        return false;
    for (uint32_t at = queue->head; at != queue->tail; at++)
        ring[at & (capacity - 1)] = *lane_queue_slot(queue, at);
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    return true;
}

bool lane_queue_reserve(struct lane_queue *queue, uint32_t count) {
    PRE(count > 0);
    while (queue->capacity < lane_queue_count(queue) + queue->held_count + count)
        if (!lane_queue_grow(queue))
            return false;
    return true;
}

bool lane_queue_reserve_unit(struct lane_queue *queue, uint32_t count) {
    PRE(count <= UINT32_MAX / 4);
    uint32_t most = queue->unit_most ? queue->unit_most : 1;
    while (most < count)
        most *= 2;
    if (most <= queue->unit_most)
        return true;
    struct query **room = malloc(most * sizeof(struct query *));
    if (!room)
        return false;
    free(queue->room);
    queue->room = room;
    queue->unit_most = most;
    return true;
}

bool lane_queue_put(struct lane_queue *queue, struct query *query) {
    if (lane_queue_count(queue) + queue->held_count >= queue->capacity && !lane_queue_grow(queue))
        return false;
    lane_queue_set(queue, queue->tail++, query);
    queue->unit_count += query->in_unit;
    return true;
}

struct query *lane_queue_take_one(struct lane_queue *queue) {
    while (queue->head != queue->tail) {
        struct query *query = *lane_queue_slot(queue, queue->head++);
        if (!query)
            continue;
        queue->unit_count -= query->in_unit;
        queue->held_count++;
        return query;
    }
    return NULL;
}

/*
 * The number of queries in the first unit; 0 when none is there. A unit is withdrawn whole, so it has no gaps. `*in_tx`: it is a
 * transaction.
 */
static uint32_t lane_queue_unit_count(const struct lane_queue *queue, bool *in_tx) {
    uint32_t count = 0;
    *in_tx = false;
    for (uint32_t at = queue->head; at != queue->tail; at++) {
        const struct query *query = *lane_queue_slot(queue, at);
        count += query != NULL;
        *in_tx |= query && lite_in_tx(query);
        if (query && !query->unit_goes_on)
            break;
    }
    return count;
}

static __attribute__((noinline)) uint32_t lane_queue_take_units(struct lane_queue *queue, struct query **taken,
                                                                uint32_t count) {
    uint32_t n = 0, unit;
    bool in_tx = false;
    while (!in_tx && (unit = lane_queue_unit_count(queue, &in_tx)) > 0 &&
           (n == 0 || (n < count && unit <= count - n && !in_tx)))
        while (unit--)
            taken[n++] = lane_queue_take_one(queue);
    return n;
}

uint32_t lane_queue_take(struct lane_queue *queue, struct query **taken, uint32_t count) {
    PRE(count > 0);
    uint32_t n = 0;
    if (base_unlikely(lane_queue_barred(queue)))
        return 0;
    if (base_unlikely(queue->unit_count))
        return lane_queue_take_units(queue, taken, count);
    while (n < count && queue->head != queue->tail) {
        struct query *query = *lane_queue_slot(queue, queue->head++);
        if (query)
            taken[n++] = query;
    }
    queue->held_count += n;
    return n;
}

/* Backwards, so that the first of them is at the front again. */
void lane_queue_give_back(struct lane_queue *queue, struct query *const *taken, uint32_t count) {
    while (count--) {
        if (!taken[count])
            continue;
        lane_queue_let_go(queue, 1);
        lane_queue_set(queue, --queue->head, taken[count]);
        queue->unit_count += taken[count]->in_unit;
    }
}

/* A queue of withdrawn queries alone must count as empty, since no lane may ever come to pass over their places. */
static void lane_queue_trim(struct lane_queue *queue) {
    while (queue->head != queue->tail && !*lane_queue_slot(queue, queue->head))
        queue->head++;
    while (queue->head != queue->tail && !*lane_queue_slot(queue, queue->tail - 1))
        queue->tail--;
}

/* The position is where the query was put last: only if it still stands there has no lane taken it. */
bool lane_queue_has(const struct lane_queue *queue, struct query *query) {
    uint32_t position = lite_query(query)->position;
    return position - queue->head < lane_queue_count(queue) && *lane_queue_slot(queue, position) == query;
}

bool lane_queue_withdraw(struct lane_queue *queue, struct query *query) {
    uint32_t position = lite_query(query)->position;
    if (!lane_queue_has(queue, query))
        return false;
    *lane_queue_slot(queue, position) = NULL;
    queue->unit_count -= query->in_unit;
    lane_queue_trim(queue);
    return true;
}

/* Neighbours in a unit stand side by side, since it is put whole. */
struct query *lane_queue_unit_first(const struct lane_queue *queue, struct query *query) {
    if (!lane_queue_has(queue, query))
        return NULL;
    uint32_t at = lite_query(query)->position;
    for (; at != queue->head; at--) {
        const struct query *before = *lane_queue_slot(queue, at - 1);
        if (!before || !before->unit_goes_on)
            break;
    }
    return *lane_queue_slot(queue, at);
}

struct query *lane_queue_unit_next(const struct lane_queue *queue, struct query *query) {
    PRE(lane_queue_has(queue, query));
    return query->unit_goes_on ? *lane_queue_slot(queue, lite_query(query)->position + 1) : NULL;
}
