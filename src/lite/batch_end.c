/* SPDX-License-Identifier: MIT */
/*
 * How an ATOMIC batch ends of which a member failed, or was given up: batch.c calls it for one that was begun, work.c for
 * others.
 */
#include "core/batch.h"
#include "core/trace.h"
#include "lite/lane.h"

uint32_t lite_batch_count(const struct lite_lane *lane, uint32_t first) {
    uint32_t count = 1;
    while (lane->own.taken[first + count - 1]->unit_goes_on) {
        PRE(first + count < lane->own.taken_count); /* units are taken whole */
        count++;
    }
    return count;
}

static bool batch_is_given_up(struct query *query) {
    return atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed) != 0;
}

uint32_t lite_batch_find_given_up(const struct lite_lane *lane, uint32_t first, uint32_t count) {
    uint32_t i = 0;
    while (i < count && !batch_is_given_up(lane->own.taken[first + i]))
        i++;
    return i;
}

void lite_batch_forget(struct lite_lane *lane, struct query *query) {
    if (base_unlikely(query->traced && query->sent))
        trace_note_undone(lane->conn.trace, query);
    result_discard(&query->result);
    query->sent = false;
}

/* It has an error of its own, or was given up, or has ended the transaction that all share. */
static void batch_blame(struct query *query) {
    if (batch_is_given_up(query))
        error_set(&query->error, "57014", "it was given up", NULL, NULL, 0);
    else if (!query->error.set)
        error_set(&query->error, "40000", "it ended the transaction of its batch", NULL, NULL, 0);
    query->status = QURING_SERVER_ERROR;
}

/* The reactor says so of a member that was given up, and what became of the others: see lite_finish(). */
void lite_batch_end_failed(struct lite_lane *lane, uint32_t first, uint32_t count, uint32_t failed) {
    PRE(failed < count);
    struct query *culprit = lane->own.taken[first + failed];
    batch_blame(culprit);
    struct batch_failure why = {failed + 1, culprit->error.view.sqlstate, culprit->error.view.message};
    for (uint32_t i = 0; i < count; i++) {
        struct query *query = lane->own.taken[first + i];
        lite_batch_forget(lane, query);
        if (i != failed) {
            batch_say_skipped(query, &why);
            query->status = QURING_SKIPPED;
        }
        lite_chain_add(&lane->own.finished, query);
        lane->own.taken[first + i] = NULL;
    }
}
