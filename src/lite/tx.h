/* SPDX-License-Identifier: MIT */
/*
 * Transactions and their lanes, on the reactor's thread; tx_run.c has what a lane does with them. Each has one of these places:
 *
 *   whole    All of it was here when it came to its turn. Its queries are one unit of the queue of writes, or of reads if it only
 *            reads, and run in one go, between others
 *   writer   It holds the writer's lane. Those that wait for it have their turns in order, and between two of them the queue of
 *            writes has one, of what waited there when it began, up to options.depth
 *   apart    One that only reads holds a lane that serves nobody else, and that is made when it is first needed. So no
 *            transaction keeps shared reads waiting
 *
 * A database in memory has one lane for all of them.
 */
#ifndef QURING_LITE_TX_H
#define QURING_LITE_TX_H

#include "lite/db.h"
#include "lite/lane.h"

void lite_tx_init(struct lite_db *lite);

/* A query waits in its queue: hands over what may run, if it has a place, or can get one; else it waits for one in line. */
void lite_tx_serve(struct quring_tx *tx);

/* Gives lanes to those that wait for one, takes back those that were given back, and has the others look at their queues. */
void lite_tx_advance(struct lite_db *lite);

/* True while one waits for the handle's file to be opened. */
bool lite_tx_waits(const struct lite_db *lite);

/* A lane has handed back a query of a transaction. */
void lite_tx_finish(struct query *query);

/* For lite_abandon() and lite_detach(). */
void lite_tx_abandon(struct query *query, quring_status status);
void lite_tx_detach(struct query *query, struct query *stand_in);

/* The log is long, or the writer's lane has tried to have it start over because the gate was drained. */
void lite_tx_look_at_log(struct lite_db *lite, bool tried);

/* For struct backend. */
void lite_tx_changed(struct quring_tx *tx, bool timed_out);

#endif
