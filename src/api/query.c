/* SPDX-License-Identifier: MIT */
/* Queries and batches of the engine's own thread. */
#include "api/api.h"

/* A query has either a text or a statement, which is of a handle; no `db`: it is closed, and has none any more. */
static inline int api_check_text(quring_engine *engine, const quring_query *query, const quring_db *db) {
    if (query->statement ? query->sql != NULL : !query->sql)
        return api_refuse(engine, QURING_EINVAL, "a query has either sql or a statement");
    if (query->statement && db && query->statement->table != db->statements)
        return api_refuse(engine, QURING_EINVAL, "the statement belongs to another database handle");
    return 0;
}

/* Bind has 16 bits for the number of parameters, and SQLite is given the same limit. */
static inline int api_check_values(quring_engine *engine, const quring_query *query) {
    if (base_unlikely(query->param_count > 65535 || (query->param_count && !query->params)))
        return hub_error(&engine->hub, QURING_EINVAL, "%u parameters: at most 65535, and params must name them",
                         query->param_count);
    if (base_unlikely(query->commit > QURING_COMMIT_AUTO))
        return hub_error(&engine->hub, QURING_EINVAL, "unknown commit mode %d", (int)query->commit);
    return 0;
}

/* Checks what a program can get wrong, so that the layers below may assert it. */
static inline int api_check_query(quring_engine *engine, const quring_query *query) {
    if (base_unlikely(!query->db))
        return api_refuse(engine, QURING_EINVAL, "the query has no db");
    if (base_unlikely(query->db->engine != engine))
        return api_refuse(engine, QURING_EINVAL, "the database belongs to another engine");
    int error = api_check_text(engine, query, query->db);
    return base_unlikely(error) ? error : api_check_values(engine, query);
}

static __attribute__((cold, noinline)) int api_submit_tx(quring_engine *engine, const quring_query *query,
                                                         quring_id *id) {
    const quring_tx *tx = query->tx;
    if (api_tx_inbox(tx))
        return api_refuse(engine, QURING_EINVAL, "the transaction is one of an inbox: quring_inbox_submit()");
    if (tx->engine != engine || (query->db && query->db != tx->queue.db))
        return api_refuse(engine, QURING_EINVAL, "the transaction belongs to another engine or database handle");
    if (query->commit == QURING_COMMIT_GROUP || query->order_key)
        return api_refuse(engine, QURING_EINVAL,
                          "a query of a transaction commits with it, in order: no GROUP, no key");
    int error = api_check_text(engine, query, tx->queue.db);
    if (!error)
        error = api_check_values(engine, query);
    if (!error)
        error = engine_tx_refuse(query->tx);
    return error ? error : engine_submit_tx(engine, query, id);
}

static inline int api_submit(quring_engine *engine, const quring_query *query, quring_id *id) {
    if (base_unlikely(query->tx != NULL))
        return api_submit_tx(engine, query, id);
    int error = api_check_query(engine, query);
    return base_unlikely(error) ? error : engine_submit(engine, query, id);
}

int quring_submit_sized(quring_engine *engine, const quring_query *query, size_t query_bytes, quring_id *id) {
    int error = api_refuse_caller(engine);
    if (base_unlikely(error))
        return error;
    if (base_unlikely(!query))
        return api_refuse(engine, QURING_EINVAL, "query is NULL");
    quring_query known; /* not filled for a program with this version's header: a copy would cost every submit */
    if (base_unlikely(query_bytes != sizeof *query)) {
        if (!api_struct_take(&known, sizeof known, query, query_bytes))
            return api_refuse(engine, QURING_EINVAL, api_unknown_member);
        query = &known;
    }
    return api_submit(engine, query, id);
}

/* Its queue is its own, so it need not wait for the others of the call. */
static __attribute__((cold, noinline)) int api_batch_put_tx(quring_engine *engine, struct engine_batch *batch,
                                                            const quring_query *query, quring_id *id) {
    if (batch->atomic)
        return api_refuse(engine, QURING_EINVAL, "a transaction commits by itself: its queries join no ATOMIC batch");
    int error = api_submit_tx(engine, query, id);
    batch->count += !error;
    return error;
}

static int api_batch_put(quring_engine *engine, struct engine_batch *batch, const quring_query *query,
                         size_t query_bytes, quring_id *id) {
    quring_query known;
    if (query_bytes != sizeof known) {
        if (!api_struct_take(&known, sizeof known, query, query_bytes))
            return api_refuse(engine, QURING_EINVAL, api_unknown_member);
        query = &known;
    }
    if (base_unlikely(query->tx != NULL))
        return api_batch_put_tx(engine, batch, query, id);
    int error = api_check_query(engine, query);
    return base_unlikely(error) ? error : engine_batch_put(engine, batch, query, id);
}

int quring_submit_batch_sized(quring_engine *engine, const quring_query *queries, size_t query_bytes, uint32_t count,
                              quring_batch_mode mode, quring_id *ids) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !queries) || mode > QURING_BATCH_ATOMIC)
        return api_refuse(engine, QURING_EINVAL, "queries is NULL, or mode is none that this library knows");
    struct engine_batch batch;
    engine_batch_begin(&batch, count, mode == QURING_BATCH_ATOMIC);
    for (uint32_t i = 0; i < count && !error; i++) {
        const uint8_t *query = (const uint8_t *)queries + i * query_bytes;
        error =
            api_batch_put(engine, &batch, (const quring_query *)(const void *)query, query_bytes, ids ? &ids[i] : NULL);
    }
    return engine_batch_end(engine, &batch, error, ids);
}

int quring_cancel(quring_engine *engine, quring_id id) {
    int error = api_refuse_caller(engine);
    return error ? error : engine_cancel(engine, id);
}

int quring_reap_sized(quring_engine *engine, quring_done *done, size_t done_bytes, uint32_t capacity) {
    int error = api_refuse_caller(engine);
    if (base_unlikely(error))
        return error;
    if (base_unlikely(!done && capacity))
        return api_refuse(engine, QURING_EINVAL, "done is NULL");
    if (base_likely(done_bytes == sizeof *done))
        return engine_reap(engine, done, capacity);
    uint32_t count = 0;
    quring_done known; /* one at a time, for a program whose struct has another size */
    for (uint8_t *at = (uint8_t *)done; count < capacity && engine_reap(engine, &known, 1); at += done_bytes, count++)
        api_struct_give(at, done_bytes, &known, sizeof known);
    return (int)count;
}

int quring_release(quring_engine *engine, quring_id id) {
    int error = api_refuse_caller(engine);
    return error ? error : engine_release(engine, id);
}

int quring_release_batch_sized(quring_engine *engine, const quring_done *done, size_t done_bytes, uint32_t count) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !done))
        return api_refuse(engine, QURING_EINVAL, "done is NULL");
    for (uint32_t i = 0; i < count; i++) {
        const quring_done *at = (const quring_done *)((const uint8_t *)done + i * done_bytes);
        error = engine_release(engine, at->id);
        if (base_unlikely(error))
            return i ? (int)i : error;
    }
    return (int)count;
}
