/* SPDX-License-Identifier: MIT */
/* The lanes of a handle: making them, waking them, and ending queries that one of them gave back. Reactor's thread. */
#ifndef QURING_LITE_LANES_H
#define QURING_LITE_LANES_H

#include "lite/db.h"
#include "lite/lane.h"

/* Makes the lanes of a handle that is being opened; 0 or a QURING_E*. What was made is freed by lite_free_lanes(). */
int lite_open_lanes(struct lite_db *lite);
void lite_free_lanes(struct lite_db *lite);

/* How many lanes apart there may be. */
uint32_t lite_apart_limit(const struct lite_db *lite);

/* Makes another lane apart, for one transaction at a time that only reads. NULL: no memory, or no thread. */
struct lite_lane *lite_add_lane_apart(struct lite_db *lite);

/*
 * Wakes idle lanes until as many attend as the queue is worth: one, and another for each 50 us that its queries will take.
 * `at_least` lanes attend to an empty queue, to open their connection. Lanes that have another queue now are left alone.
 * True: queries wait for lanes that are at work, and others are idle.
 */
bool lite_wake(struct lane_queue *queue, struct lite_lane *lanes, uint32_t count, uint64_t query_ns, uint32_t at_least);

/*
 * A lane whose statement takes long says so from its progress handler, which SQLite does not call within a single step: one call
 * of replace(), count(*) of a large table, a sort. So reads that wait while lanes are idle are looked at again: if none was taken
 * for some milliseconds, another lane is woken for them.
 */
void lite_relieve_later(struct lite_db *lite);

/*
 * That query is not let go of by its lane: what a lane of shared reads has taken with it, and not begun, goes back to the queue, for
 * the other lanes.
 */
void lite_take_back_behind(struct lite_db *lite, struct query *query);

/*
 * Has the writer's lane look after the log, if it is idle and no transaction holds it; one that is to have the log start over, only
 * as long as it has not tried.
 */
void lite_call_writer(struct lite_db *lite, enum lite_chore chore);

/* What SHUTDOWN is said to come from. */
const char *lite_why_closed(const struct quring_db *db);

/* Ends a query as what it was abandoned as. The first fills in the error alone. */
void lite_say_abandoned(struct query *query, quring_status status);
void lite_finish_abandoned(struct query *query, quring_status status);

/*
 * Ends a query for its caller that was given up, and that a lane of that queue still has (core/detach.h). The stand-in is a new
 * one.
 */
void lite_detach_with(struct lite_db *lite, struct lane_queue *queue, struct query *query, struct query *stand_in);

/*
 * Gives up a query that a lane of that queue has taken: first the one, under the queue's lock, then, without it, the other, which
 * interrupts what is at work for it.
 */
void lite_mark_abandoned(struct query *query, quring_status status);
void lite_interrupt(struct lite_db *lite, const struct lane_queue *queue, struct query *query);

#endif
