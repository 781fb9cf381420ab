/* SPDX-License-Identifier: MIT */
/* Which lane queue a query goes to, and how it gets there. Reactor's thread. */
#ifndef QURING_LITE_ROUTE_H
#define QURING_LITE_ROUTE_H

#include "lite/db.h"
#include "lite/order.h"
#include "lite/query.h"
#include "lite/text.h"

static inline struct lane_queue *lite_queue_of(struct lite_db *lite, struct query *query) {
    return lite_query(query)->route & LITE_TO_READER ? &lite->reads : &lite->writes;
}

static inline uint32_t *lite_count_of(struct lite_db *lite, struct query *query) {
    return lite_query(query)->route & LITE_TO_READER ? &lite->reads_count : &lite->writes_count;
}

/* A query is in no queue and with no lane any more. */
static inline void lite_left(struct lite_db *lite, struct query *query) {
    --*lite_count_of(lite, query);
    if (base_unlikely(query->key != NULL))
        lite_order_ended(query);
}

/* Gives all that waits to the lane queues, and to transactions. */
void lite_admit(struct lite_db *lite);

/* A reader found that the statement writes. It goes straight to the writer from then on. */
void lite_move_to_writer(struct lite_db *lite, struct query *query);

/* Ends a query that its lane has handed back, and that is of no transaction. */
void lite_finish(struct query *query);

#endif
