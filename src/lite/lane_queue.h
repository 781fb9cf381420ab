/* SPDX-License-Identifier: MIT */
/*
 * RUNNING queries that wait for a lane, between the reactor and the lanes' threads: core's struct queue holds what is
 * WAITING, and is the reactor's alone. Lanes take what they can carry; so work goes to whichever lane is free, and a query
 * that no lane has taken can still be withdrawn.
 *
 *      put (reactor)  --> | queue | --take (lane)--> in the lane's hands --> reported
 *                           |  ^                        |
 *          withdraw <-------+  +------give back---------+
 *
 * The queue is a ring of pointers, so that a lane copies a run of them without touching the queries; a withdrawn query
 * leaves a NULL. All of it is under `lock`, which is never held while SQLite works. What lanes hold keeps its room in the
 * ring (held_count), so giving back can't fail.
 */
#ifndef QURING_LITE_LANE_QUEUE_H
#define QURING_LITE_LANE_QUEUE_H

#include "lite/query.h"

#include <pthread.h>

struct lane_queue {
    pthread_mutex_t lock;
    struct query **ring;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t head;     /* positions; they wrap, and their low bits are the index in the ring */
    uint32_t tail;
    uint32_t held_count; /* in the hands of lanes */
    uint32_t unit_count; /* queries in it that are in units (core/queue.h): of the others a lane need not look at any */
    uint32_t unit_most;  /* there is none of more queries: the lane that takes them has room for so many … */
    struct query **room; /* … once it has taken this in place of what it had; NULL: it has */
    atomic_bool barred;  /* read without the lock, too */
};

bool lane_queue_init(struct lane_queue *queue);
void lane_queue_free(struct lane_queue *queue);

static inline void lane_queue_lock(struct lane_queue *queue) {
    pthread_mutex_lock(&queue->lock);
}

static inline void lane_queue_unlock(struct lane_queue *queue) {
    pthread_mutex_unlock(&queue->lock);
}

static inline bool lane_queue_barred(const struct lane_queue *queue) {
    return atomic_load_explicit(&queue->barred, memory_order_relaxed);
}

/* The rest needs the lock. */

static inline void lane_queue_bar(struct lane_queue *queue, bool barred) {
    atomic_store_explicit(&queue->barred, barred, memory_order_relaxed);
}

static inline uint32_t lane_queue_count(const struct lane_queue *queue) {
    return queue->tail - queue->head;
}

/* Behind all others. False: out of memory. */
bool lane_queue_put(struct lane_queue *queue, struct query *query);

/* Makes room for so many more, so that as many calls of lane_queue_put() can't fail. False: out of memory. */
bool lane_queue_reserve(struct lane_queue *queue, uint32_t count);

/* Makes room for a unit of so many, in a queue that one lane alone takes from. False: out of memory. */
bool lane_queue_reserve_unit(struct lane_queue *queue, uint32_t count);

/*
 * Moves up to `count` queries from the front into a lane's hands, and stops between two units (core/queue.h): if the first one
 * has more, all of it, for which `taken` has room, since none has more than unit_most. Returns how many: none while the
 * queue is barred.
 */
uint32_t lane_queue_take(struct lane_queue *queue, struct query **taken, uint32_t count);

/* Moves the first query into a lane's hands, whatever it belongs to; NULL: none is there. */
struct query *lane_queue_take_one(struct lane_queue *queue);

/* Puts queries that a lane took, and does not want after all, back to the front. NULLs are skipped. */
void lane_queue_give_back(struct lane_queue *queue, struct query *const *taken, uint32_t count);

/* The lane is done with `count` queries that it took and did not give back. */
static inline void lane_queue_let_go(struct lane_queue *queue, uint32_t count) {
    PRE(count <= queue->held_count);
    queue->held_count -= count;
}

/* False: a lane has it. */
bool lane_queue_has(const struct lane_queue *queue, struct query *query);

/*
 * Takes a query out of the queue. False when it is not in it: a lane has it. Who withdraws a member of a unit withdraws all of
 * them under the same lock, and finds each of them in it.
 */
bool lane_queue_withdraw(struct lane_queue *queue, struct query *query);

/* The first query of the unit that this one is in, and the one behind a query of it; NULL: a lane has it, there is none. */
struct query *lane_queue_unit_first(const struct lane_queue *queue, struct query *query);
struct query *lane_queue_unit_next(const struct lane_queue *queue, struct query *query);

#endif
