/* SPDX-License-Identifier: MIT */
#include "lite/abandon.h"

#include "core/batch.h"
#include "core/detach.h"
#include "lite/lanes.h"
#include "lite/route.h"
#include "lite/tx.h"

/* Takes the batch of a query out of its lane queue, if no lane has taken it, and puts its members into a list. */
static bool abandon_withdraw_batch(struct lane_queue *queue, struct query *query, struct list *members) {
    list_init(members);
    struct query *first = lane_queue_unit_first(queue, query);
    for (struct query *member = first, *next; member; member = next) {
        next = lane_queue_unit_next(queue, member);
        (void)lane_queue_withdraw(queue, member);
        list_push_back(members, &member->link);
    }
    return first != NULL;
}

/* What no lane has taken was not begun, so the whole batch ends without an effect. */
static bool abandon_batch(struct lite_db *lite, struct query *query, quring_status status) {
    struct lane_queue *queue = lite_queue_of(lite, query);
    struct list members;
    lane_queue_lock(queue);
    bool queued = abandon_withdraw_batch(queue, query, &members);
    lane_queue_unlock(queue);
    if (!queued)
        return false;
    *lite_count_of(lite, query) -= query->batch->open_count;
    if (status == QURING_SHUTDOWN) { /* it is said to all of them */
        struct list *node;
        while ((node = list_pop_front(&members)))
            lite_finish_abandoned(list_entry(node, struct query, link), status);
        return true;
    }
    lite_say_abandoned(query, status);
    batch_end_unsent(query, &members, status);
    return true;
}

void lite_abandon(struct query *query, quring_status status) {
    PRE(query->state == QUERY_RUNNING && status != QURING_OK);
    struct lite_db *lite = lite_of(query->queue->db);
    if (base_unlikely(lite_in_tx(query))) {
        lite_tx_abandon(query, status);
        return;
    }
    struct lane_queue *queue = lite_queue_of(lite, query);
    if (base_unlikely(query->batch != NULL) && abandon_batch(lite, query, status))
        return;
    lane_queue_lock(queue);
    bool queued = !query->in_unit && lane_queue_withdraw(queue, query);
    if (!queued)
        lite_mark_abandoned(query, status);
    lane_queue_unlock(queue);
    if (queued) {
        lite_left(lite, query);
        lite_finish_abandoned(query, status);
        if (lite_tx_waits(lite)) /* for the end of its turn */
            db_due(&lite->base);
    } else {
        lite_interrupt(lite, queue, query);
    }
}

void lite_detach(struct query *query) {
    struct lite_db *lite = lite_of(query->queue->db);
    quring_status status = (quring_status)atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    lite_take_back_behind(lite, query);
    if (!status || (query->batch && abandon_batch(lite, query, status)))
        return;
    struct query *stand_in = stand_in_new(query);
    if (!stand_in)
        return;
    if (lite_in_tx(query))
        lite_tx_detach(query, stand_in);
    else
        lite_detach_with(lite, lite_queue_of(lite, query), query, stand_in);
}
