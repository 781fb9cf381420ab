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
 * A queue stands on its database's list `ready` exactly while a query waits in it, so that a turn visits no other.
 *
 * A backend takes queries by *units*. A unit is a run of neighbours in the queue that goes to one connection, or into
 * one run of one lane, with no other query between its members, and comes back whole or not at all. Here each query is a
 * unit by itself: the members of a GROUP happen to meet, and may be parted. Queries that commit together or not at all would
 * be one unit, and queue_take() the function that tells how many from the head belong to it. Such a unit asks of
 *
 *   submit     to refuse one that is longer than options.depth, since no connection and no lane would ever have room for it
 *   admission  to look for room for all of it before its first member is taken, and to route all members to the same place
 *   a lane     to take and give back all of it
 *   a loss     to put it back only if no byte of any member was sent
 */
#ifndef QURING_CORE_QUEUE_H
#define QURING_CORE_QUEUE_H

#include "core/query.h"

struct queue {
    struct list waiting; /* queries in WAITING, oldest first */
    struct list ready;   /* db->ready, while one waits */
    struct quring_db *db;
    void *bound; /* the backend's connection or lane that alone serves it; NULL: any of the database's */
    uint32_t waiting_count;
};

void queue_init(struct queue *queue, struct quring_db *db);

/* Puts a query behind all others of query->queue. */
void queue_put(struct query *query);

/* Takes the oldest waiting unit, which is one query, for running; NULL when none waits. */
struct query *queue_take(struct queue *queue);

/* Ends every waiting query of the queue with this status and error. */
void queue_fail(struct queue *queue, quring_status status, const char *sqlstate, const char *message);

/*
 * Called at the end of each turn that leaves queries waiting: notes the time for those that no turn has left before, so that
 * queue_take() can tell how long they waited. Each query is visited once.
 */
void queue_leave_behind(struct queue *queue, uint64_t now_ns);

/* Puts a running query before all others, because no byte of it was sent, or all of its effects were undone. */
void queue_put_back(struct query *query);

/*
 * The one way for a query to end, from WAITING or RUNNING. The caller has set its result if the status is OK, and its error
 * if not; any status but OK empties the result. Drops the statement, and counts the query in the hub's done_count and in
 * the database's counters.
 */
void query_finish(struct query *query, quring_status status);

/* Sets the error and finishes the query; `sqlstate` as in error_set(). */
__attribute__((format(printf, 4, 5))) void query_fail(struct query *query, quring_status status, const char *sqlstate,
                                                      const char *format, ...);

#endif
