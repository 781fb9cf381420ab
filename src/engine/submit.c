/* SPDX-License-Identifier: MIT */
/* A query's slot: how it is taken and filled, alone or in a batch, and how it is given back. */
#include "engine/engine.h"

#include "core/batch.h"
#include "core/detach.h"
#include "core/trace.h"
#include "value/param.h"

#include <string.h>

int engine_refuse_closed(quring_engine *engine) {
    return hub_error(&engine->hub, QURING_ESHUTDOWN, "%s",
                     engine->shutting_down ? "the engine was shut down" : "the database handle was closed");
}

/* `sql_bytes` 0: the text ends with a NUL. */
__attribute__((noinline)) int engine_find_text(struct quring_db *db, const char *sql, size_t sql_bytes,
                                               struct quring_statement **out) {
    struct hub *hub = db->hub;
    size_t length = sql_bytes ? sql_bytes : strlen(sql);
    if (length > db->engine->options.inflight_bytes || length > ENGINE_MESSAGE_BYTES_MAX)
        return hub_error(hub, QURING_ETOOBIG, "the SQL has %zu bytes, over inflight_bytes or %d", length,
                         ENGINE_MESSAGE_BYTES_MAX);
    /* Both databases read a text up to its first NUL, and would run less than was looked at here. */
    if (sql_bytes && memchr(sql, 0, sql_bytes))
        return hub_error(hub, QURING_EINVAL, "the SQL has a NUL byte in it");
    struct quring_statement *statement = statement_find(db->statements, sql, length);
    if (!statement)
        return hub_error(hub, QURING_ENOMEM, "no memory for a statement of %zu bytes", length);
    *out = statement;
    return 0;
}

/*
 * An exclusive handle and a transaction take statements that change the state of their one connection; a shared handle
 * refuses them.
 */
static inline int submit_check_statement(const struct query *query) {
    const struct statement_traits *traits = &query->statement->traits;
    const struct queue *queue = query->queue;
    if (base_likely(traits->class == STATEMENT_PLAIN))
        return 0;
    const char *why = queue->tx ? statement_tx_refusal(traits)
                                : statement_refusal((enum statement_class)traits->class, queue->bound != NULL);
    return why ? hub_error(queue->db->hub, QURING_EUNSUPPORTED, "%s", why) : 0;
}

/*
 * `statement` is the query's, where its caller knows it; NULL: it is found by its text. The query holds it, also if it is
 * refused.
 */
static inline __attribute__((always_inline)) int submit_set_statement(struct quring_db *db, struct query *query,
                                                                      const quring_query *q,
                                                                      struct quring_statement *statement) {
    if (statement) {
        query->statement = statement_hold(statement);
    } else {
        int error = engine_find_text(db, q->sql, q->sql_bytes, &query->statement);
        if (base_unlikely(error))
            return error;
    }
    return submit_check_statement(query);
}

int engine_prepare(struct quring_db *db, const char *sql, struct quring_statement **out) {
    PRE(sql && out);
    quring_engine *engine = db->engine;
    if (engine->shutting_down || db->closing)
        return engine_refuse_closed(engine);
    return engine_find_text(db, sql, 0, out);
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
    if (query->queue->tx)
        return hub_error(db->hub, QURING_EINVAL,
                         "the queries of a transaction have no order_key: they run in their order");
    if (db->queue.bound)
        return 0;
    query->key = order_key_hold(&db->hub->keys, db, key);
    return query->key ? 0 : hub_error(db->hub, QURING_ENOMEM, "no memory for an order key");
}

/* Empties the slot of a query that is refused. It keeps a little memory, as that of one that is released. */
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
static void submit_give_up(quring_engine *engine, struct query *query, uint64_t token) {
    if (!query->inbox) {
        submit_undo(query);
        slots_give(&engine->queries, token);
        return;
    }
    if (query->statement)
        statement_drop(query->statement);
    query->statement = NULL;
}

/* AUTO goes by what the caller says of the query. */
static quring_commit_mode submit_commit_mode(const struct quring_db *db, const quring_query *q) {
    /* An exclusive handle is always EACH: a member of a group that ran again would fall behind later queries. */
    quring_commit_mode mode = q->commit && !db->queue.bound ? q->commit : db->options.commit;
    if (base_likely(mode != QURING_COMMIT_AUTO))
        return mode;
    return q->read_only ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH;
}

/* The query is in its queue, or about to be. */
static inline void submit_accept(struct query *query, uint64_t timeout_ns) {
    struct quring_db *db = query->queue->db;
    db->counters.submitted_count++;
    if (timeout_ns | query->traced)
        submit_watch(db->engine, query, timeout_ns);
}

/*
 * What is left to be told of a query that has its statement and its input. The slot's token is the public id: it has the
 * slot's generation in it, so an old id does not reach the next query.
 */
static inline void submit_fill(const struct quring_db *db, struct query *query, const quring_query *q,
                               quring_id token) {
    query->id = token;
    query->user_data = q->user_data;
    query->retried = query->struck = query->sent = query->parked = false;
    query->by_handle = q->statement != NULL;
    result_begin(&query->result, db->options.result_bytes, db->options.result_row_count);
}

void engine_tx_drop_reserve(struct quring_tx *tx) {
    if (!tx->reserve)
        return;
    slots_give(&tx->engine->queries, tx->reserve);
    tx->engine->charged_bytes -= TX_RESERVE_BYTES;
    tx->reserve = 0;
}

/* Of a transaction. What was kept for its end is given back with the end, unless it was used. */
static __attribute__((cold, noinline)) void submit_put_tx(quring_engine *engine, struct query *query) {
    struct quring_tx *tx = query->queue->tx;
    query->commit = QUERY_COMMIT_TX;
    if (tx->state == TX_NEW && tx->options.timeout_ns != QURING_FOREVER)
        tx_begin_time(tx, engine_now_ns(engine));
    tx_put(tx, query);
    if (tx->end_submitted)
        engine_tx_drop_reserve(tx);
}

/* It is one of the engine's own. */
static inline int submit_done(quring_engine *engine, struct query *query, uint64_t timeout_ns, quring_id *id) {
    engine->pending_count++;
    submit_accept(query, timeout_ns);
    if (id)
        *id = query->id;
    return 0;
}

int engine_submit_tx_end(struct quring_tx *tx, struct quring_statement *statement, const quring_query *q,
                         quring_id *id) {
    PRE(tx->reserve && !tx->end_submitted);
    quring_engine *engine = tx->engine;
    quring_id token = tx->reserve;
    struct query *query = slots_get(&engine->queries, token);
    tx->reserve = 0;
    query->queue = &tx->queue;
    query->statement = statement_hold(statement);
    query->params = NULL;
    query->param_count = 0;
    query->charged_bytes = TX_RESERVE_BYTES;
    submit_fill(tx->queue.db, query, q, token);
    submit_put_tx(engine, query);
    return submit_done(engine, query, q->timeout_ns, id);
}

static __attribute__((cold, noinline)) int submit_refuse_slot(quring_engine *engine) {
    return hub_error(&engine->hub, QURING_EFULL, "query_count: %u queries are submitted and not yet released",
                     engine->options.query_count);
}

/*
 * Takes a slot, and fills it; what is left is the commit mode, and the queue to put it into. `statement` as in
 * submit_set_statement().
 */
static inline __attribute__((always_inline)) int submit_begin(struct quring_db *db, const quring_query *q,
                                                              struct queue *queue, struct quring_statement *statement,
                                                              struct query **out) {
    quring_engine *engine = db->engine;
    uint64_t token;
    struct query *query = *out = slots_take(&engine->queries, &token);
    if (base_unlikely(!query))
        return submit_refuse_slot(engine);
    query->queue = queue;
    int error = submit_set_statement(db, query, q, statement);
    if (base_likely(!error))
        error = submit_copy_input(engine, query, q);
    if (base_unlikely(q->order_key != 0) && !error)
        error = submit_hold_key(query, q->order_key);
    if (base_unlikely(error)) {
        submit_undo(query);
        slots_give(&engine->queries, token);
        return error;
    }
    engine->charged_bytes += query->charged_bytes;
    submit_fill(db, query, q, token);
    return 0;
}

int engine_submit(quring_engine *engine, const quring_query *q, quring_id *id) {
    struct quring_db *db = q->db;
    struct query *query;
    if (base_unlikely(engine->shutting_down || db->closing))
        return engine_refuse_closed(engine);
    int error = submit_begin(db, q, &db->queue, q->statement, &query);
    if (base_unlikely(error))
        return error;
    query->commit = (uint8_t)submit_commit_mode(db, q);
    queue_put(query);
    return submit_done(engine, query, q->timeout_ns, id);
}

/* The same as submit_begin() for a query of an inbox. */
static int submit_begin_slot(struct queue *queue, const quring_query *q, struct query *query, quring_id id) {
    struct quring_db *db = queue->db;
    query->queue = queue;
    query->params = q->params;
    query->param_count = (uint16_t)q->param_count;
    query->charged_bytes = 0;
    int error = submit_set_statement(db, query, q, q->statement);
    if (base_unlikely(q->order_key != 0) && !error)
        error = submit_hold_key(query, q->order_key);
    if (base_unlikely(error)) {
        submit_give_up(db->engine, query, id);
        return error;
    }
    submit_fill(db, query, q, id);
    return 0;
}

int engine_submit_slot(quring_engine *engine, const quring_query *q, struct query *query, quring_id id) {
    PRE(!q->tx && query->inbox);
    struct quring_db *db = q->db;
    if (base_unlikely(engine->shutting_down || db->closing))
        return engine_refuse_closed(engine);
    int error = submit_begin_slot(&db->queue, q, query, id);
    if (base_unlikely(error))
        return error;
    query->commit = (uint8_t)submit_commit_mode(db, q);
    queue_put(query);
    submit_accept(query, q->timeout_ns);
    return 0;
}

/* For lack of slots or bytes: only the end of a transaction has some that were kept for it, also if it is written as SQL. */
static int submit_without_room(const quring_query *q, quring_id *id) {
    struct quring_statement *statement = q->statement ? statement_hold(q->statement) : NULL;
    int error = statement ? 0 : engine_find_text(q->tx->queue.db, q->sql, q->sql_bytes, &statement);
    if (error)
        return error;
    error = tx_is_end((enum statement_verb)statement->traits.verb) ? engine_submit_tx_end(q->tx, statement, q, id)
                                                                   : QURING_EFULL;
    statement_drop(statement);
    return error;
}

int engine_submit_tx(quring_engine *engine, const quring_query *q, quring_id *id) {
    PRE(q->tx);
    struct query *query;
    int error = submit_begin(q->tx->queue.db, q, &q->tx->queue, q->statement, &query);
    if (error == QURING_EFULL && !q->param_count && !q->order_key)
        return submit_without_room(q, id);
    if (error)
        return error;
    submit_put_tx(engine, query);
    return submit_done(engine, query, q->timeout_ns, id);
}

int engine_submit_tx_slot(quring_engine *engine, const quring_query *q, struct query *query, quring_id id) {
    PRE(q->tx && query->inbox);
    int error = submit_begin_slot(&q->tx->queue, q, query, id);
    if (error)
        return error;
    submit_put_tx(engine, query);
    submit_accept(query, q->timeout_ns);
    return 0;
}

/* ---- Batches ---- */

/*
 * The statement of the query before, where this one has the same text at the same place: all queries of a call are read at
 * once, so it is the same text. NULL: it has to be found.
 */
static struct quring_statement *batch_statement(const struct engine_batch *batch, const quring_query *q) {
    bool same = q->sql && q->sql == batch->last.sql && q->sql_bytes == batch->last.sql_bytes && q->db == batch->last.db;
    return same ? batch->statement : q->statement;
}

static int batch_check_member(quring_engine *engine, const struct engine_batch *batch, const struct query *query) {
    const struct quring_db *db = query->queue->db;
    if (batch->count && batch->last.db != db)
        return hub_error(&engine->hub, QURING_EINVAL, "the queries of an ATOMIC batch name several databases");
    if (db->queue.bound)
        return hub_error(
            &engine->hub, QURING_EUNSUPPORTED,
            "an exclusive handle runs no ATOMIC batch, because its caller may be in a transaction: use BEGIN "
            "and COMMIT");
    if (!query->statement->traits.groupable)
        return hub_error(&engine->hub, QURING_EUNSUPPORTED,
                         "query %u of an ATOMIC batch: SELECT, VALUES, TABLE, WITH, INSERT, UPDATE, DELETE, MERGE and "
                         "REPLACE alone can be in one, as in a GROUP. Use a transaction, quring_tx_open()",
                         batch->count + 1);
    return 0;
}

void engine_batch_take_back(quring_engine *engine, struct query *query) {
    list_remove(&query->link);
    heap_remove(&engine->deadlines, &query->deadline);
    engine->charged_bytes -= query->charged_bytes;
    submit_give_up(engine, query, query->id);
}

/*
 * Keeps the query among those that go to their queues together. Its statement is there as long as it waits, and no turn is
 * made before the end of the batch.
 */
static int batch_keep(quring_engine *engine, struct engine_batch *batch, const quring_query *q, struct query *query) {
    query->commit = (uint8_t)submit_commit_mode(q->db, q);
    int error = batch->atomic ? batch_check_member(engine, batch, query) : 0;
    if (base_unlikely(error)) {
        engine_batch_take_back(engine, query);
        return error;
    }
    list_push_back(&batch->members, &query->link);
    batch->count++;
    batch->bytes += query->charged_bytes;
    batch->last.db = q->db;
    batch->last.sql = q->statement ? NULL : q->sql;
    batch->last.sql_bytes = q->sql_bytes;
    batch->statement = query->statement;
    if (batch->atomic && q->timeout_ns)
        engine_deadline_set(engine, query, q->timeout_ns);
    return 0;
}

int engine_batch_put(quring_engine *engine, struct engine_batch *batch, const quring_query *q, quring_id *id) {
    PRE(!q->tx);
    struct query *query;
    if (base_unlikely(engine->shutting_down || q->db->closing))
        return engine_refuse_closed(engine);
    if (batch->atomic && q->order_key)
        return hub_error(&engine->hub, QURING_EINVAL,
                         "the members of an ATOMIC batch have no order_key: they run in their order");
    int error = submit_begin(q->db, q, &q->db->queue, batch_statement(batch, q), &query);
    if (base_likely(!error))
        error = batch_keep(engine, batch, q, query);
    return base_likely(!error && !batch->atomic) ? submit_done(engine, query, q->timeout_ns, id) : error;
}

int engine_batch_put_slot(quring_engine *engine, struct engine_batch *batch, const quring_query *q, struct query *query,
                          quring_id id) {
    PRE(!q->tx && !q->order_key && query->inbox && batch->atomic);
    if (base_unlikely(engine->shutting_down || q->db->closing))
        return engine_refuse_closed(engine);
    int error = submit_begin_slot(&q->db->queue, q, query, id);
    return error ? error : batch_keep(engine, batch, q, query);
}

/* One that is detached is released by its stand-in, and keeps its slot until it is RETURNED. */
static __attribute__((cold, noinline)) int release_detached(quring_engine *engine, struct query *query) {
    bool detached = query->state >= QUERY_DETACHED;
    if (detached && !query->stand_in)
        return engine_refuse_stale(engine);
    if (!detached || query->stand_in->state != QUERY_REAPED)
        return hub_error(&engine->hub, QURING_ENOTREADY, "the query was not reaped yet");
    stand_in_free(query->stand_in);
    query->stand_in = NULL;
    if (query->state == QUERY_RETURNED)
        engine_give_slot(engine, query);
    return 0;
}

/* The slot keeps a little memory, so that the next query of usual size allocates nothing. */
int engine_release(quring_engine *engine, quring_id id) {
    struct query *query = slots_get(&engine->queries, id);
    if (base_unlikely(!query))
        return engine_refuse_stale(engine);
    if (base_unlikely(query->state != QUERY_REAPED))
        return release_detached(engine, query);
    query_move(query, QUERY_FREE);
    if (query->status != QURING_OK)
        error_clear(&query->error);
    result_end(&query->result);
    buf_reset(&query->store, QUERY_KEEP_BYTES);
    engine->charged_bytes -= query->charged_bytes;
    slots_give(&engine->queries, id);
    return 0;
}
