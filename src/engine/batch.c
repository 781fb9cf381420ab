/* SPDX-License-Identifier: MIT */
/* The end of a call that submits many queries: all of an ATOMIC batch are accepted, or given back. */
#include "core/batch.h"
#include "core/trace.h"
#include "engine/engine.h"

void engine_batch_begin(struct engine_batch *batch, uint32_t count, bool atomic) {
    *batch = (struct engine_batch){.count_wanted = count, .atomic = atomic};
    list_init(&batch->members);
}

/* What never fits is another mistake than what does not fit now. */
static int batch_refusal(quring_engine *engine, const struct engine_batch *batch, int error) {
    uint32_t slots = engine->options.query_count;
    if (error != QURING_EFULL)
        return error;
    if (batch->count_wanted > slots)
        return hub_error(&engine->hub, QURING_ETOOBIG, "%u queries in an ATOMIC batch: query_count is %u",
                         batch->count_wanted, slots);
    if (engine->charged_bytes > batch->bytes || engine->hub.unsent_bytes || slots_taken(&engine->queries) == slots)
        return error;
    return hub_error(&engine->hub, QURING_ETOOBIG,
                     "the queries of the batch have more bytes than inflight_bytes (%llu)",
                     (unsigned long long)engine->options.inflight_bytes);
}

static int batch_drop(quring_engine *engine, struct engine_batch *batch, int error) {
    struct list *node;
    error = batch_refusal(engine, batch, error);
    while ((node = list_first(&batch->members)))
        engine_batch_take_back(engine, list_entry(node, struct query, link));
    return error;
}

/* `*tx` is the transaction that a batch is which its backend does not take as a unit; NULL: it does. */
static int batch_open_tx(const struct engine_batch *batch, struct quring_tx **tx) {
    static const quring_tx_options bare = {0};
    struct quring_db *db = list_entry(batch->members.next, struct query, link)->queue->db;
    *tx = NULL;
    return db->backend->parts_batches && batch->count > db->options.depth ? engine_tx_open_bare(db, &bare, NULL, tx)
                                                                          : 0;
}

/* It is about to be in its queue, and has its deadline already. */
static void batch_note(struct query *query) {
    struct quring_db *db = query->queue->db;
    db->counters.submitted_count++;
    if (query->traced)
        trace_submitted(db->hub->trace, query, db);
}

static int batch_accept(quring_engine *engine, struct engine_batch *batch, quring_id *ids) {
    struct quring_tx *tx;
    int error = batch_open_tx(batch, &tx);
    if (error)
        return batch_drop(engine, batch, error);
    struct batch *atomic = batch_take(&engine->hub, batch->count);
    if (!atomic && tx)
        tx_release(tx);
    if (!atomic)
        return batch_drop(engine, batch, hub_error(&engine->hub, QURING_ENOMEM, "no memory for a batch"));
    uint32_t i = 0;
    list_for_each(node, &batch->members) {
        struct query *query = list_entry(node, struct query, link);
        query->commit = QURING_COMMIT_GROUP; /* on PostgreSQL it is sent as the member of a group of its own */
        batch_join(atomic, query);
        if (ids)
            ids[i++] = query->id;
        engine->pending_count += !query->inbox;
        batch_note(query);
    }
    if (tx)
        tx_put_batch(tx, atomic, &batch->members);
    else
        queue_put_unit(&batch->members);
    return (int)batch->count;
}

int engine_batch_end(quring_engine *engine, struct engine_batch *batch, int error, quring_id *ids) {
    if (batch->atomic && error)
        return batch_drop(engine, batch, error);
    if (batch->atomic && batch->count)
        return batch_accept(engine, batch, ids);
    queue_put_all(&batch->members);
    return batch->count || !error ? (int)batch->count : error;
}
