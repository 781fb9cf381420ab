/* SPDX-License-Identifier: MIT */
/*
 * Queries that wait, and the way back from a backend. Every connection and lane has a source, the queue that it takes
 * from: the shared one of its database, or one that is bound to it. A query of a bound queue never runs anywhere else,
 * not even when it could not be sent, because the transaction and the settings that it relies on are on that connection.
 *
 *      queue_put --> waiting --queue_take--> in a backend's hands --query_finish--> the hub's done list
 *                       ^                        |
 *                       +-----queue_put_back-----+
 *
 * A queue stands on its database's list `ready` exactly while a query waits in it, so that a turn visits no other. A backend
 * that cannot serve a transaction's queue yet moves it to a list of its own, of which a turn sees the first: queue_set_aside().
 *
 * A query with an order key that may not run yet leaves the line, so that others pass by: it is parked on its key. It is
 * WAITING there as well, and older than all of its key that stand in the queue.
 *
 *      waiting --queue_park--> parked --queue_take_parked--> in a backend's hands
 *         ^                     |  ^                             |
 *         +---queue_unpark------+  +-----queue_put_back----------+
 *
 * A backend takes queries by *units*. A unit is a run of neighbours in the queue that goes to one connection, or into
 * one run of one lane, with no other query between its members, and comes back whole or not at all. Most queries are units
 * by themselves: the members of a GROUP happen to meet, and may be parted. Queries that commit together or not at all are
 * one unit of several, whose members say so (query->in_unit) and all but the last of them that another follows
 * (query->unit_goes_on). Such a unit asks of
 *
 *   submit     to make none of more than options.depth where the backend parts such batches (backend.h), since none of its
 *              connections would ever have room for it
 *   admission  to look for room for all of it before its first member is taken, and to route all members to the same place:
 *              without room it waits at the head of the queue, and what is behind it waits too, until answers make room
 *   a lane     to take and give back all of it
 *   a loss     to put it back only if no byte of any member was sent
 */
#ifndef QURING_CORE_QUEUE_H
#define QURING_CORE_QUEUE_H

#include "core/order_key.h"
#include "core/query.h"

struct queue {
    struct list waiting; /* queries in WAITING, oldest first, but for those that are parked */
    struct list ready;   /* db->ready or a list of its backend, while one waits */
    struct list joined;  /* db->joined, whose queues stand aside, so that no turn would see what came to them */
    struct quring_db *db;
    void *bound; /* the backend's connection or lane that alone serves it; NULL: any of the database's */
    uint32_t waiting_count;
    uint32_t parked_count; /* queries in WAITING that hang on their order keys */
    /* Those of waiting_count that are in units: none of the others needs a look at its neighbours. */
    uint32_t unit_waiting_count;
    struct quring_tx *tx; /* the transaction whose queue it is; NULL: none's */
    void (*failed)(
        struct query *query); /* called for each of its queries that ended, and not with OK; NULL: nobody cares */
};

void queue_init(struct queue *queue, struct quring_db *db);

/* Puts a query behind all others of query->queue. */
void queue_put(struct query *query);

/* The same for each of a list, which loses them. */
void queue_put_all(struct list *queries);

/*
 * Puts a unit behind all others: queries of one queue, linked in their order, which the list loses. Where there is only one, it
 * is in a unit of its own all the same.
 */
void queue_put_unit(struct list *members);

/* Returns how many queries the oldest waiting unit has; 0 when none waits. It visits each of them. */
uint32_t queue_unit_count(const struct queue *queue);

/* The query that queue_take(), in core/db.h, would take; NULL: none. */
static inline struct query *queue_first(const struct queue *queue) {
    struct list *node = list_first(&queue->waiting);
    return node ? list_entry(node, struct query, link) : NULL;
}

/* Ends every waiting query of the queue, parked or not, with this status and error. */
void queue_fail(struct queue *queue, quring_status status, const char *sqlstate, const char *message);

/*
 * Called at the end of each turn that leaves queries waiting: notes the time for those that no turn has left before, so that
 * queue_take() can tell how long they waited. Each query is visited once.
 */
void queue_leave_behind(struct queue *queue, uint64_t now_ns);

/*
 * Moves a queue in which queries wait from db->ready to a list of its backend, before a node of that or to its end, and leaves
 * them behind; and back. Its last query to leave takes it off either list.
 */
void queue_set_aside(struct queue *queue, struct list *before, uint64_t now_ns);
void queue_bring_back(struct queue *queue);

/*
 * Puts a running query before all others, because no byte of it was sent, or all of its effects were undone. One whose key is
 * at a place, or has others parked, is parked before these.
 */
void queue_put_back(struct query *query);

/* The same for one that its backend has not begun with: it counts as if it had never been taken. */
void queue_take_back(struct query *query);

/* Parks a waiting query behind others of its key: its turn comes with queue_take_parked(). */
void queue_park(struct query *query, uint64_t now_ns);

/* Has a waiting query count as left behind from here on, unless it does already. */
void queue_note_left(struct query *query, uint64_t now_ns);

/* The oldest query that is parked on the key; NULL: none is. */
static inline struct query *queue_first_parked(const struct order_key *key) {
    struct list *node = list_first(&key->parked);
    return node ? list_entry(node, struct query, link) : NULL;
}

/* Takes the oldest query that is parked on the key, for running. There has to be one. */
struct query *queue_take_parked(struct order_key *key);

/* All that are parked on the key wait before all others of their queue: they may go to any place. */
void queue_unpark(struct order_key *key, uint64_t now_ns);

/* Ends every query that is parked on the key. */
void queue_fail_parked(struct order_key *key, quring_status status, const char *sqlstate, const char *message);

/*
 * The one way for a query to end, from WAITING or RUNNING. The caller has set its result if the status is OK, and its error
 * if not; any status but OK empties the result. Drops the statement, and counts the query in the hub's done_count and in
 * the database's counters. One that is DETACHED has ended for its caller, and goes to the engine for its slot.
 */
void query_finish(struct query *query, quring_status status);

/* Sets the error and finishes the query; `sqlstate` as in error_set(). */
__attribute__((format(printf, 4, 5))) void query_fail(struct query *query, quring_status status, const char *sqlstate,
                                                      const char *format, ...);

#endif
