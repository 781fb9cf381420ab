/* SPDX-License-Identifier: MIT */
#include "core/detach.h"

#include "core/trace.h"

#include <stdlib.h>

struct query *stand_in_new(const struct query *query) {
    PRE(query->state == QUERY_RUNNING);
    struct query *stand_in = calloc(1, sizeof *stand_in);
    if (!stand_in)
        return NULL;
    list_init(&stand_in->link);
    error_init(&stand_in->error);
    result_init(&stand_in->result);
    stand_in->stands_in = true;
    stand_in->id = query->id;
    stand_in->user_data = query->user_data;
    stand_in->inbox = query->inbox;
    stand_in->traced = query->traced;
    stand_in->queue = query->queue;
    stand_in->tx_position = query->tx_position;
    query_move(stand_in, QUERY_WAITING);
    query_move(stand_in, QUERY_RUNNING);
    return stand_in;
}

void stand_in_free(struct query *stand_in) {
    PRE(stand_in->stands_in && !stand_in->statement);
    list_remove(&stand_in->link);
    error_free(&stand_in->error);
    result_free(&stand_in->result);
    free(stand_in);
}

void query_detach(struct query *query, struct query *stand_in, quring_status status) {
    struct queue *queue = query->queue;
    struct hub *hub = queue->db->hub;
    PRE(status != QURING_OK && stand_in->error.set && !query->stand_in && stand_in->id == query->id);
    query_move(query, QUERY_DETACHED);
    query_move(stand_in, QUERY_DONE);
    query->stand_in = stand_in;
    stand_in->status = (uint8_t)status;
    if (stand_in->traced)
        trace_detached(hub->trace, stand_in);
    stand_in->statement = query->statement; /* the query holds it, as long as this call takes */
    if (queue->failed)
        queue->failed(stand_in);
    stand_in->statement = NULL;
    queue->db->counters.done_count[status]++;
    if (stand_in->inbox) {
        list_push_back(&hub->remote_done, &stand_in->link);
        return;
    }
    list_push_back(&hub->done, &stand_in->link);
    hub->done_count++;
}
