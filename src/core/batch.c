/* SPDX-License-Identifier: MIT */
#include "core/batch.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 16 };

/* The newest of the list is large enough for most, so a warm program allocates none. */
struct batch *batch_take(struct hub *hub, uint32_t count) {
    PRE(count > 0);
    struct batch *batch = hub->batches;
    uint32_t capacity = CAPACITY_MIN;
    if (batch)
        hub->batches = batch->next;
    while (capacity < count)
        capacity *= 2;
    if (!batch || batch->capacity < count) {
        struct batch *larger = realloc(batch, sizeof *batch + capacity * sizeof batch->ids[0]);
        if (!larger) {
            if (batch)
                batch_give(hub, batch);
            return NULL;
        }
        batch = larger;
        batch->capacity = capacity;
    }
    capacity = batch->capacity;
    *batch = (struct batch){.capacity = capacity};
    list_init(&batch->members);
    return batch;
}

void batch_give(struct hub *hub, struct batch *batch) {
    PRE(batch->open_count == 0 && !heap_contains(&batch->again));
    batch->next = hub->batches;
    hub->batches = batch;
}

void batch_free_all(struct hub *hub) {
    struct batch *batch;
    while ((batch = hub->batches)) {
        hub->batches = batch->next;
        free(batch);
    }
}

void batch_join(struct batch *batch, struct query *query) {
    PRE(batch->count < batch->capacity && !query->batch);
    query->batch = batch;
    batch->ids[batch->count++] = query->id;
    batch->open_count++;
}

void batch_leave(struct query *query) {
    struct batch *batch = query->batch;
    PRE(batch->open_count > 0 && (query->state == QUERY_DONE || query->state == QUERY_RETURNED));
    if (query->status == QURING_SKIPPED) { /* the id has the place of what the backend kept of the query */
        PRE(batch->failed);
        query->failed_id = batch->ids[batch->failed - 1];
    }
    query->batch = NULL;
    if (--batch->open_count > 0)
        return;
    if (batch->holder)
        *batch->holder = NULL;
    batch_give(query->queue->db->hub, batch);
}

uint32_t batch_number_of(const struct query *query) {
    const struct batch *batch = query->batch;
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->ids[i] == query->id)
            return i + 1;
    UNREACHABLE("a member that never joined");
}

void batch_say_skipped(struct query *query, const struct batch_failure *why) {
    PRE(why->number > 0 && why->number <= query->batch->count);
    query->batch->failed = why->number;
    error_format(&query->error, why->sqlstate, "skipped, because query %u of its batch failed%s%s: %s", why->number,
                 *why->sqlstate ? " with " : "", why->sqlstate, why->message);
}

void batch_skip(struct query *query, const struct batch_failure *why) {
    batch_say_skipped(query, why);
    query_finish(query, QURING_SKIPPED);
}

void batch_end_unsent(struct query *query, const struct list *members, quring_status status) {
    PRE(status != QURING_OK && query->error.set);
    const struct batch *batch = query->batch;
    struct batch_failure why = {batch_number_of(query), query->error.view.sqlstate, query->error.view.message};
    struct list *node = &query->link;
    while (node->prev != members && list_entry(node->prev, struct query, link)->batch == batch)
        node = node->prev;
    for (uint32_t left = batch->open_count; left > 0; left--) {
        struct query *member = list_entry(node, struct query, link);
        node = node->next;
        if (member == query)
            query_finish(member, status);
        else
            batch_skip(member, &why);
    }
}
