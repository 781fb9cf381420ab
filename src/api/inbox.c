/* SPDX-License-Identifier: MIT */
/* Queries, batches and transactions of other threads. */
#include "api/api.h"

const char *quring_inbox_errmsg(const quring_inbox *inbox) {
    int error = api_refuse_inbox_caller(inbox);
    return error == QURING_EFORKED ? "the inbox belongs to the thread and process that opened it"
           : error                 ? ""
                                   : inbox->message;
}

/* Any thread of the process may call this, as quring_wake(). */
int quring_inbox_open_sized(quring_engine *engine, const quring_inbox_options *options, size_t options_bytes,
                            quring_inbox **inbox) {
    quring_inbox_options known;
    if (!engine || !inbox)
        return api_refuse_open(QURING_EINVAL, "engine or inbox is NULL");
    if (!owner_mark_in_process(engine->owner))
        return api_refuse_open(QURING_EFORKED, "the engine belongs to another process");
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return api_refuse_open(QURING_EINVAL, api_unknown_member);
    api_open_message[0] = 0;
    return engine_inbox_open(engine, options ? &known : NULL, inbox, api_open_message, sizeof api_open_message);
}

void quring_inbox_close(quring_inbox *inbox) {
    if (!api_refuse_inbox_caller(inbox))
        inbox_close(inbox);
}

static int api_check_inbox_tx(quring_inbox *inbox, const quring_query *query) {
    if (api_tx_inbox(query->tx) != inbox || (query->db && query->db != api_inbox_tx(query->tx)->db))
        return inbox_error(inbox, QURING_EINVAL, "the transaction belongs to another thread or database handle");
    if (query->commit == QURING_COMMIT_GROUP || query->order_key)
        return inbox_error(inbox, QURING_EINVAL,
                           "a query of a transaction commits with it, in order: no GROUP, no key");
    return 0;
}

/* Checks what can be told without the handle and the statement, which belong to the engine's thread. */
static int api_check_inbox_query(quring_inbox *inbox, const quring_query *query) {
    int error = base_unlikely(query->tx != NULL) ? api_check_inbox_tx(inbox, query) : 0;
    if (error)
        return error;
    if (!query->db && !query->tx)
        return inbox_error(inbox, QURING_EINVAL, "the query has no db");
    if (query->statement ? query->sql != NULL : !query->sql)
        return inbox_error(inbox, QURING_EINVAL, "a query has either sql or a statement");
    if (query->param_count > 65535 || (query->param_count && !query->params))
        return inbox_error(inbox, QURING_EINVAL, "%u parameters: at most 65535, and params must name them",
                           query->param_count);
    if (query->commit > QURING_COMMIT_AUTO)
        return inbox_error(inbox, QURING_EINVAL, "unknown commit mode %d", (int)query->commit);
    return 0;
}

/* `*query`: of a program whose struct has another size; `known` gets a copy, which it points to. */
static int api_take_inbox_query(quring_inbox *inbox, const quring_query **query, size_t query_bytes,
                                quring_query *known) {
    if (base_unlikely(query_bytes != sizeof *known)) {
        if (!api_struct_take(known, sizeof *known, *query, query_bytes))
            return inbox_error(inbox, QURING_EINVAL, "%s", api_unknown_member);
        *query = known;
    }
    return api_check_inbox_query(inbox, *query);
}

int quring_inbox_submit_sized(quring_inbox *inbox, const quring_query *query, size_t query_bytes, quring_id *id) {
    quring_query known;
    int error = api_refuse_inbox_caller(inbox);
    if (base_unlikely(error))
        return error;
    if (!query)
        return inbox_error(inbox, QURING_EINVAL, "query is NULL");
    error = api_take_inbox_query(inbox, &query, query_bytes, &known);
    if (base_unlikely(error))
        return error;
    return base_unlikely(query->tx != NULL) ? inbox_tx_submit(api_inbox_tx(query->tx), query, id)
                                            : inbox_submit(inbox, query, id);
}

static int api_put_inbox_query(quring_inbox *inbox, const struct inbox_batch *batch, const quring_query *query,
                               quring_id *id) {
    if (batch->atomic)
        return inbox_put_member(inbox, batch, query, id);
    return query->tx ? inbox_tx_put(api_inbox_tx(query->tx), query, id) : inbox_put(inbox, query, id);
}

int quring_inbox_submit_batch_sized(quring_inbox *inbox, const quring_query *queries, size_t query_bytes,
                                    uint32_t count, quring_batch_mode mode, quring_id *ids) {
    struct inbox_batch batch;
    quring_query known;
    int error = api_refuse_inbox_caller(inbox);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !queries) || mode > QURING_BATCH_ATOMIC)
        return inbox_error(inbox, QURING_EINVAL, "queries is NULL, or mode is none that this library knows");
    inbox_begin_batch(inbox, &batch, count, mode == QURING_BATCH_ATOMIC);
    for (uint32_t i = 0; i < count && !error; i++) {
        const quring_query *query = (const void *)((const uint8_t *)queries + i * query_bytes);
        quring_id *id = ids ? &ids[i] : NULL;
        error = api_take_inbox_query(inbox, &query, query_bytes, &known);
        if (!error)
            error = api_put_inbox_query(inbox, &batch, query, id);
    }
    return inbox_end_batch(inbox, &batch, error);
}

int quring_inbox_cancel(quring_inbox *inbox, quring_id id) {
    int error = api_refuse_inbox_caller(inbox);
    return error ? error : inbox_cancel(inbox, id);
}

int quring_inbox_reap_sized(quring_inbox *inbox, quring_done *done, size_t done_bytes, uint32_t capacity) {
    int error = api_refuse_inbox_caller(inbox);
    if (base_unlikely(error))
        return error;
    if (base_unlikely(!done && capacity))
        return inbox_error(inbox, QURING_EINVAL, "done is NULL");
    if (base_likely(done_bytes == sizeof *done))
        return inbox_reap(inbox, done, capacity);
    int count = 0, last = 0;
    quring_done known; /* one at a time, for a program whose struct has another size */
    for (uint8_t *at = (uint8_t *)done; (uint32_t)count < capacity && (last = inbox_reap(inbox, &known, 1)) > 0;
         at += done_bytes, count++)
        api_struct_give(at, done_bytes, &known, sizeof known);
    return count ? count : last;
}

int quring_inbox_release(quring_inbox *inbox, quring_id id) {
    int error = api_refuse_inbox_caller(inbox);
    return error ? error : inbox_release(inbox, id);
}

int quring_inbox_release_batch_sized(quring_inbox *inbox, const quring_done *done, size_t done_bytes, uint32_t count) {
    int error = api_refuse_inbox_caller(inbox);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !done))
        return inbox_error(inbox, QURING_EINVAL, "done is NULL");
    for (uint32_t i = 0; i < count; i++) {
        const quring_done *at = (const quring_done *)((const uint8_t *)done + i * done_bytes);
        error = inbox_release(inbox, at->id);
        if (base_unlikely(error))
            return i ? (int)i : error;
    }
    return (int)count;
}

int quring_inbox_wait(quring_inbox *inbox, uint32_t min_count, uint64_t timeout_ns) {
    int error = api_refuse_inbox_caller(inbox);
    return error ? error : inbox_wait(inbox, min_count, timeout_ns);
}

int quring_inbox_fd(quring_inbox *inbox) {
    int error = api_refuse_inbox_caller(inbox);
    return error ? error : inbox_fd(inbox);
}

int quring_inbox_tx_open_sized(quring_inbox *inbox, quring_db *db, const quring_tx_options *options,
                               size_t options_bytes, quring_tx **tx) {
    quring_tx_options known;
    int error = api_refuse_inbox_caller(inbox);
    if (error)
        return error;
    if (!db || !tx)
        return inbox_error(inbox, QURING_EINVAL, "db or tx is NULL");
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return inbox_error(inbox, QURING_EINVAL, "%s", api_unknown_member);
    if (options && !api_tx_options_known(&known))
        return inbox_error(inbox, QURING_EINVAL, API_TX_OPTIONS_WORDS, (int)known.isolation, (int)known.lease_reset,
                           QURING_ISOLATION_SERIALIZABLE, QURING_LEASE_RESET_ALWAYS);
    const char *why = options ? api_refuse_resolve(db, &known) : NULL;
    if (why)
        return inbox_error(inbox, QURING_EINVAL, "%s", why);
    return inbox_tx_open(inbox, db, options ? &known : NULL, tx);
}

uint32_t quring_inbox_pending(const quring_inbox *inbox) {
    return api_refuse_inbox_caller(inbox) ? 0 : inbox->pending_count;
}
