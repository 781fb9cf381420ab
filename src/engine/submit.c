/* SPDX-License-Identifier: MIT */
/* A query's slot: how it is taken and filled, and how it is given back. */
#include "engine/engine.h"

#include "core/trace.h"

#include <string.h>

static int submit_refuse_closed(quring_engine *engine) {
    return hub_error(&engine->hub, QURING_ESHUTDOWN, "%s",
                     engine->shutting_down ? "the engine was shut down" : "the database handle was closed");
}

/* Finds the statement of a text, and holds it. `sql_bytes` 0: the text ends with a NUL. NULL: refused, `*error` is set. */
static __attribute__((noinline)) struct quring_statement *submit_find_text(struct quring_db *db, const char *sql,
                                                                           size_t sql_bytes, int *error) {
    struct hub *hub = db->hub;
    size_t length = sql_bytes ? sql_bytes : strlen(sql);
    if (length > db->engine->options.inflight_bytes || length > ENGINE_MESSAGE_BYTES_MAX) {
        *error = hub_error(hub, QURING_ETOOBIG, "the SQL has %zu bytes, over inflight_bytes or %d", length,
                           ENGINE_MESSAGE_BYTES_MAX);
        return NULL;
    }
    if (sql_bytes && memchr(sql, 0, sql_bytes)) {
        /* Both databases read a text up to its first NUL, and would run less than was looked at here. */
        *error = hub_error(hub, QURING_EINVAL, "the SQL has a NUL byte in it");
        return NULL;
    }
    struct quring_statement *statement = statement_find(db->statements, sql, length);
    if (!statement)
        *error = hub_error(hub, QURING_ENOMEM, "no memory for a statement of %zu bytes", length);
    return statement;
}

/* An exclusive handle takes statements that change the state of its one connection; others refuse them. */
static inline int submit_check_statement(quring_engine *engine, const struct quring_db *db,
                                         const struct quring_statement *statement) {
    if (base_likely(statement->traits.class == STATEMENT_PLAIN))
        return 0;
    const char *why = statement_refusal((enum statement_class)statement->traits.class, db->queue.bound != NULL);
    return why ? hub_error(&engine->hub, QURING_EUNSUPPORTED, "%s", why) : 0;
}

/* Finds the statement of a query, by its handle or by its text, and holds it. */
static inline __attribute__((always_inline)) int submit_find_statement(quring_engine *engine, const quring_query *q,
                                                                       struct quring_statement **out) {
    int error = 0;
    struct quring_statement *statement =
        q->statement ? statement_hold(q->statement) : submit_find_text(q->db, q->sql, q->sql_bytes, &error);
    if (!statement)
        return error;
    error = submit_check_statement(engine, q->db, statement);
    if (error)
        statement_drop(statement);
    else
        *out = statement;
    return error;
}

int engine_prepare(struct quring_db *db, const char *sql, struct quring_statement **out) {
    PRE(sql && out);
    quring_engine *engine = db->engine;
    if (engine->shutting_down || db->closing)
        return submit_refuse_closed(engine);
    int error = 0;
    struct quring_statement *statement = submit_find_text(db, sql, 0, &error);
    if (statement)
        *out = statement;
    return error;
}

/* A query that is over inflight_bytes alone never fits, and the caller must know; any other fits once some are released. */
static int submit_refuse_charge(quring_engine *engine, size_t bytes) {
    uint64_t limit = engine->options.inflight_bytes;
    if (bytes > limit)
        return hub_error(&engine->hub, QURING_ETOOBIG, "SQL and parameters have %zu bytes, over inflight_bytes", bytes);
    return hub_error(&engine->hub, QURING_EFULL,
                     "inflight_bytes: queries not yet released have %zu bytes of SQL and parameters, %zu of queries "
                     "that were given up wait for servers that do not read them, and %zu more go over %llu",
                     engine->charged_bytes, engine->hub.unsent_bytes, bytes, (unsigned long long)limit);
}

/* Copies the parameters, and checks what the query takes against inflight_bytes. */
static int submit_copy_input(quring_engine *engine, struct query *query, const quring_query *q) {
    query->params = NULL;
    query->param_count = (uint16_t)q->param_count;
    if (q->param_count) {
        for (uint32_t i = 0; i < q->param_count; i++)
            if (!value_param_valid(&q->params[i]))
                return hub_error(&engine->hub, QURING_EINVAL, "parameter $%u is not well formed", i + 1);
        query->params = value_copy_params(&query->store, q->params, q->param_count);
        if (!query->params && buf_failed(&query->store))
            return hub_error(&engine->hub, QURING_ENOMEM, "no memory for the parameters");
        if (!query->params)
            return hub_error(&engine->hub, QURING_ETOOBIG, "the parameters have more bytes than inflight_bytes or %d",
                             ENGINE_MESSAGE_BYTES_MAX);
    }
    query->charged_bytes = buf_size(&query->store) + query->statement->length;
    /* All of these bytes are in memory at once, so their sum does not wrap. */
    uint64_t used = engine->charged_bytes + engine->hub.unsent_bytes;
    return base_likely(used + query->charged_bytes <= engine->options.inflight_bytes)
               ? 0
               : submit_refuse_charge(engine, query->charged_bytes);
}

/* The one connection of an exclusive handle keeps all queries in order. */
static __attribute__((cold, noinline)) int submit_hold_key(struct query *query, uint64_t key) {
    struct quring_db *db = query->queue->db;
    if (db->queue.bound)
        return 0;
    query->key = order_key_hold(&db->hub->keys, db, key);
    return query->key ? 0 : hub_error(db->hub, QURING_ENOMEM, "no memory for an order key");
}

/*
 * Empties the slot of a query that is refused, and of one that is released. It keeps a little memory, so that the next query
 * of usual size allocates nothing.
 */
static void submit_undo(struct query *query) {
    buf_reset(&query->store, QUERY_KEEP_BYTES);
    if (query->statement)
        statement_drop(query->statement);
    query->statement = NULL;
}

static void submit_watch(quring_engine *engine, struct query *query, uint64_t timeout_ns) {
    if (query->traced)
        trace_submitted(engine->hub.trace, query, query->queue->db);
    if (timeout_ns)
        engine_deadline_set(engine, query, timeout_ns);
}

/* An inbox counts what its queries take, and gives their slots back by itself. */
static void submit_use_input(struct query *query, const quring_query *q) {
    query->params = q->params;
    query->param_count = (uint16_t)q->param_count;
    query->charged_bytes = 0;
}

static void submit_give_up(quring_engine *engine, struct query *query, uint64_t token) {
    if (query->inbox) {
        if (query->statement)
            statement_drop(query->statement);
        query->statement = NULL;
    } else {
        submit_undo(query);
        slots_give(&engine->queries, token);
    }
}

static inline __attribute__((always_inline)) int submit_any(quring_engine *engine, const quring_query *q,
                                                            struct query *slot, quring_id *id) {
    struct quring_db *db = q->db;
    if (base_unlikely(engine->shutting_down || db->closing))
        return submit_refuse_closed(engine);
    /* The slot's token is the public id. It has the slot's generation in it, so an old id does not reach the next query. */
    uint64_t token;
    struct query *query = slot;
    if (slot)
        token = *id;
    else if (base_unlikely(!(query = slots_take(&engine->queries, &token))))
        return hub_error(&engine->hub, QURING_EFULL, "query_count: %u queries are submitted and not yet released",
                         engine->options.query_count);
    query->queue = &db->queue;
    int error = submit_find_statement(engine, q, &query->statement);
    if (slot)
        submit_use_input(query, q);
    else if (!error)
        error = submit_copy_input(engine, query, q);
    if (base_unlikely(q->order_key != 0) && !error)
        error = submit_hold_key(query, q->order_key);
    if (base_unlikely(error)) {
        submit_give_up(engine, query, token);
        return error;
    }
    engine->charged_bytes += query->charged_bytes;
    query->id = token;
    query->user_data = q->user_data;
    /* An exclusive handle is always EACH: a member of a group that ran again would fall behind later queries. */
    query->commit = (uint8_t)(q->commit && !db->queue.bound ? q->commit : db->options.commit);
    query->retried = query->struck = query->sent = false;
    query->by_handle = q->statement != NULL;
    result_begin(&query->result, db->options.result_bytes, db->options.result_row_count);
    queue_put(query);
    engine->pending_count += !slot;
    db->counters.submitted_count++;
    if (q->timeout_ns | query->traced)
        submit_watch(engine, query, q->timeout_ns);
    if (id)
        *id = token;
    return 0;
}

int engine_submit(quring_engine *engine, const quring_query *q, quring_id *id) {
    return submit_any(engine, q, NULL, id);
}

int engine_submit_slot(quring_engine *engine, const quring_query *q, struct query *slot, quring_id *id) {
    PRE(slot && slot->inbox);
    return submit_any(engine, q, slot, id);
}

int engine_release(quring_engine *engine, quring_id id) {
    struct query *query = slots_get(&engine->queries, id);
    if (base_unlikely(!query))
        return engine_refuse_stale(engine);
    if (base_unlikely(query->state != QUERY_REAPED))
        return hub_error(&engine->hub, QURING_ENOTREADY, "the query was not reaped yet");
    if (query->status != QURING_OK)
        error_clear(&query->error);
    result_end(&query->result);
    submit_undo(query);
    engine->charged_bytes -= query->charged_bytes;
    query_move(query, QUERY_FREE);
    slots_give(&engine->queries, id);
    return 0;
}
