/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include "ring/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REFUSALS_MAX = 1000 }; /* of the kernel to go on, while the engine closes */

/* ---- Databases ---- */

/* Ends what the database was asked for: the waiting at once, the running by way of the backend. */
static void db_end_queries(quring_engine *engine, struct quring_db *db, bool running_too) {
    list_for_each_safe(node, &db->ready)
        queue_fail(list_entry(node, struct queue, ready), QURING_SHUTDOWN, "57P01",
                   "the engine was shut down before this query was sent");
    if (!running_too || !db->running_count)
        return;
    for (uint32_t i = 0; i < engine->queries.count; i++) {
        struct query *query = slots_at(&engine->queries, i);
        if (query->state == QUERY_RUNNING && query->queue->db == db)
            db->backend->abandon(query, QURING_SHUTDOWN);
    }
}

void engine_db_close(quring_db *db) {
    if (db->closing)
        return;
    db->closing = true;
    db_end_queries(db->engine, db, true);
    db->backend->close(db);
}

/* Frees handles that have been closed to the end. */
static void sweep_databases(quring_engine *engine) {
    list_for_each_safe(node, &engine->host.databases) {
        struct quring_db *db = list_entry(node, struct quring_db, link);
        if (!db->closed)
            continue;
        PRE(db->closing && db->running_count == 0 && list_empty(&db->ready));
        list_remove(&db->link);
        db->backend->destroy(db);
        free(db);
    }
}

/* ---- Deadlines ---- */

static uint64_t now_ns(const quring_engine *engine) {
    struct port *port = ring_port(engine->host.ring);
    return port->methods->now_ns(port);
}

static void deadline_arm(quring_engine *engine) {
    const struct heap_node *first = heap_first(&engine->deadlines);
    if (!first)
        timer_clear(engine->host.ring, &engine->deadline_timer);
    else if (!heap_contains(&engine->deadline_timer.node) || engine->deadline_timer.node.key != first->key)
        (void)timer_set(engine->host.ring, &engine->deadline_timer, first->key);
}

static void query_end_early(struct query *query, quring_status status, const char *what) {
    if (query->state == QUERY_WAITING)
        query_fail(query, status, "57014", "%s before it was sent", what);
    else if (query->state == QUERY_RUNNING)
        query->queue->db->backend->abandon(query, status);
}

void engine_deadline_fire(struct timer *timer) {
    quring_engine *engine = base_container_of(timer, quring_engine, deadline_timer);
    uint64_t now = ring_now_ns(engine->host.ring);
    struct heap_node *first;
    while ((first = heap_first(&engine->deadlines)) && first->key <= now) {
        heap_remove(&engine->deadlines, first);
        query_end_early(base_container_of(first, struct query, deadline), QURING_TIMEOUT, "its timeout passed");
    }
    deadline_arm(engine);
}

static void deadline_set(quring_engine *engine, struct query *query, uint64_t timeout_ns) {
    uint64_t now = now_ns(engine);
    uint64_t at = now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
    heap_push(&engine->deadlines, &query->deadline, at); /* reserved at open for every slot */
    deadline_arm(engine);
}

/* ---- Submit ---- */

static int refuse_closed(quring_engine *engine) {
    return host_error(&engine->host, QURING_ESHUTDOWN, "%s",
                      engine->shutting_down ? "the engine was shut down" : "the database handle was closed");
}

/* The statement of a text, held; NULL with `error` set. `sql_bytes` 0: up to its NUL. */
static struct quring_statement *find_text(struct quring_db *db, const char *sql, size_t sql_bytes, int *error) {
    struct host *host = db->host;
    size_t length = sql_bytes ? sql_bytes : strlen(sql);
    if (length > db->engine->options.inflight_bytes || length > ENGINE_MESSAGE_BYTES_MAX) {
        *error = host_error(host, QURING_ETOOBIG, "the SQL has %zu bytes, over inflight_bytes or %d", length,
                            ENGINE_MESSAGE_BYTES_MAX);
        return NULL;
    }
    if (sql_bytes && memchr(sql, 0, sql_bytes)) {
        *error = host_error(host, QURING_EINVAL, "the SQL has a NUL byte in it");
        return NULL;
    }
    struct quring_statement *statement = statement_find(db->statements, sql, length);
    if (!statement)
        *error = host_error(host, QURING_ENOMEM, "no memory for a statement of %zu bytes", length);
    return statement;
}

static int statement_allowed(quring_engine *engine, const struct quring_db *db,
                             const struct quring_statement *statement) {
    if (base_likely(statement->traits.class == STATEMENT_PLAIN))
        return 0;
    const char *why = statement_refusal((enum statement_class)statement->traits.class, db->queue.bound != NULL);
    return why ? host_error(&engine->host, QURING_EUNSUPPORTED, "%s", why) : 0;
}

static int find_statement(quring_engine *engine, const quring_query *q, struct quring_statement **out) {
    int error = 0;
    struct quring_statement *statement =
        q->statement ? statement_hold(q->statement) : find_text(q->db, q->sql, q->sql_bytes, &error);
    if (!statement)
        return error;
    error = statement_allowed(engine, q->db, statement);
    if (error)
        statement_drop(statement);
    else
        *out = statement;
    return error;
}

int engine_prepare(struct quring_db *db, const char *sql, struct quring_statement **out) {
    quring_engine *engine = db->engine;
    if (engine->shutting_down || db->closing)
        return refuse_closed(engine);
    int error = 0;
    struct quring_statement *statement = find_text(db, sql, 0, &error);
    if (statement)
        *out = statement;
    return error;
}

static int refuse_charge(quring_engine *engine, size_t bytes) {
    uint64_t limit = engine->options.inflight_bytes;
    if (bytes > limit)
        return host_error(&engine->host, QURING_ETOOBIG, "SQL and parameters have %zu bytes, over inflight_bytes",
                          bytes);
    return host_error(&engine->host, QURING_EFULL,
                      "inflight_bytes: queries not yet released have %zu bytes of SQL and parameters, %zu of queries "
                      "that were given up wait for servers that do not read them, and %zu more go over %llu",
                      engine->charged_bytes, engine->host.unsent_bytes, bytes, (unsigned long long)limit);
}

/* Copies the parameters and charges the query against the limits. */
static int copy_input(quring_engine *engine, struct query *query, const quring_query *q) {
    query->params = NULL;
    query->param_count = q->param_count;
    if (q->param_count) {
        for (uint32_t i = 0; i < q->param_count; i++)
            if (!value_param_valid(&q->params[i]))
                return host_error(&engine->host, QURING_EINVAL, "parameter $%u is not well formed", i + 1);
        query->params = value_copy_params(&query->store, q->params, q->param_count);
        if (!query->params && buf_failed(&query->store))
            return host_error(&engine->host, QURING_ENOMEM, "no memory for the parameters");
        if (!query->params)
            return host_error(&engine->host, QURING_ETOOBIG, "the parameters have more bytes than inflight_bytes or %d",
                              ENGINE_MESSAGE_BYTES_MAX);
    }
    query->charged_bytes = buf_size(&query->store) + query->statement->length;
    /* No sum of bytes that are all in memory wraps. */
    uint64_t used = engine->charged_bytes + engine->host.unsent_bytes;
    return base_likely(used + query->charged_bytes <= engine->options.inflight_bytes)
               ? 0
               : refuse_charge(engine, query->charged_bytes);
}

static void query_reset(struct query *query) {
    buf_reset(&query->store, QUERY_KEEP_BYTES);
    if (query->statement)
        statement_drop(query->statement);
    query->statement = NULL;
}

int engine_submit(quring_engine *engine, const quring_query *q, quring_id *id) {
    struct quring_db *db = q->db;
    if (base_unlikely(engine->shutting_down || db->closing))
        return refuse_closed(engine);
    uint64_t token;
    struct query *query = slots_take(&engine->queries, &token);
    if (base_unlikely(!query))
        return host_error(&engine->host, QURING_EFULL, "query_count: %u queries are submitted and not yet released",
                          engine->options.query_count);
    query->queue = &db->queue;
    int error = find_statement(engine, q, &query->statement);
    if (!error)
        error = copy_input(engine, query, q);
    if (error) {
        query_reset(query);
        slots_give(&engine->queries, token);
        return error;
    }
    engine->charged_bytes += query->charged_bytes;
    query->id = token;
    query->user_data = q->user_data;
    query->commit = (uint8_t)(q->commit && !db->queue.bound ? q->commit : db->options.commit);
    query->retried = query->sent = false;
    query->by_handle = q->statement != NULL;
    result_begin(&query->result, db->options.result_bytes, db->options.result_row_count);
    queue_put(query);
    engine->pending_count++;
    engine->host.stats.submitted_count++;
    if (q->timeout_ns)
        deadline_set(engine, query, q->timeout_ns);
    if (id)
        *id = token;
    return 0;
}

/* ---- Run ---- */

static void advance(quring_engine *engine) {
    list_for_each(node, &engine->host.databases) {
        struct quring_db *db = list_entry(node, struct quring_db, link);
        db->backend->advance(db);
    }
    sweep_databases(engine);
}

/* All that is pending counts as enough, if that is anything: with nothing out, the program waits for something else. */
static bool has_enough(const quring_engine *engine, uint32_t min_count) {
    uint32_t done = engine->host.done_count;
    return done >= min_count || (done > 0 && done == engine->pending_count);
}

/*
 * Before the first queries of a run are sent. What lies in the socket of a connection with nothing out would be taken for
 * the answer to the next query. With nothing out at all it is looked for, however short a time it may have been there;
 * while other queries are out, the turns for these look at idle connections as well.
 */
static int look(quring_engine *engine) {
    uint32_t waiting = 0, running = 0;
    list_for_each(node, &engine->host.databases) {
        const struct quring_db *db = list_entry(node, struct quring_db, link);
        waiting += db_waiting_count(db);
        running += db->running_count;
    }
    return waiting ? ring_look(engine->host.ring, running == 0) : 0;
}

static int turn(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns) {
    advance(engine);
    return ring_turn(engine->host.ring, has_enough(engine, min_count) ? 0 : timeout_ns);
}

static int turn_error(quring_engine *engine, int error) {
    if (error == -EEXIST) /* in the kernel's eyes, at least */
        return host_error(&engine->host, QURING_EFORKED, "this engine was opened by another process");
    return host_error(&engine->host, QURING_ESYSTEM, "io_uring_enter: %s", strerror(-error));
}

int engine_run(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns) {
    uint64_t until = UINT64_MAX;
    if (timeout_ns && timeout_ns != QURING_FOREVER) {
        uint64_t now = now_ns(engine);
        until = now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
    }
    int error = look(engine);
    for (;;) {
        if (!error)
            error = turn(engine, min_count, timeout_ns);
        if (error && error != -EINTR)
            return turn_error(engine, error);
        if (error == -EINTR || ring_take_wake(engine->host.ring) || timeout_ns == 0 || has_enough(engine, min_count))
            break;
        if (until != UINT64_MAX) {
            uint64_t now = ring_now_ns(engine->host.ring);
            if (now >= until)
                break;
            timeout_ns = until - now;
        }
    }
    return (int)engine->host.done_count;
}

/* ---- Reap and release ---- */

int engine_reap(quring_engine *engine, quring_done *done, uint32_t capacity) {
    uint32_t count = 0;
    struct list *node;
    while (count < capacity && (node = list_pop_front(&engine->host.done))) {
        struct query *query = list_entry(node, struct query, link);
        query_move(query, QUERY_REAPED);
        heap_remove(&engine->deadlines, &query->deadline);
        done[count++] = (quring_done){.id = query->id,
                                      .user_data = query->user_data,
                                      .status = (quring_status)query->status,
                                      .result = &query->result,
                                      .error = query->status == QURING_OK ? NULL : &query->error.view,
                                      .sent = query->sent};
    }
    engine->host.done_count -= count;
    engine->pending_count -= count;
    return (int)count;
}

static int refuse_stale(quring_engine *engine) {
    return host_error(&engine->host, QURING_ESTALE, "no query has this id: it was released, or never given out");
}

int engine_release(quring_engine *engine, quring_id id) {
    struct query *query = slots_get(&engine->queries, id);
    if (base_unlikely(!query))
        return refuse_stale(engine);
    if (base_unlikely(query->state != QUERY_REAPED))
        return host_error(&engine->host, QURING_ENOTREADY, "the query was not reaped yet");
    if (query->status != QURING_OK)
        error_clear(&query->error);
    result_end(&query->result);
    query_reset(query);
    engine->charged_bytes -= query->charged_bytes;
    query_move(query, QUERY_FREE);
    slots_give(&engine->queries, id);
    return 0;
}

int engine_cancel(quring_engine *engine, quring_id id) {
    struct query *query = slots_get(&engine->queries, id);
    if (!query)
        return refuse_stale(engine);
    query_end_early(query, QURING_CANCELLED, "cancelled");
    return 0;
}

/* ---- Shutdown and close ---- */

static uint32_t running_count(const quring_engine *engine) {
    uint32_t count = 0;
    list_for_each(node, &engine->host.databases)
        count += list_entry(node, struct quring_db, link)->running_count;
    return count;
}

static void end_all_queries(quring_engine *engine, bool running_too) {
    list_for_each(node, &engine->host.databases)
        db_end_queries(engine, list_entry(node, struct quring_db, link), running_too);
}

/*
 * A turn on the way out, where there is nobody to tell that the kernel refused it. False: it has refused so often, a
 * millisecond apart, that it does so for good.
 */
static bool last_turn(quring_engine *engine, uint64_t timeout_ns, uint32_t *refusals) {
    engine->owes_wake |= ring_take_wake(engine->host.ring); /* it would keep every turn from sleeping */
    int error = ring_turn(engine->host.ring, timeout_ns);
    if (error == 0 || error == -EINTR)
        return true;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return ++*refusals < REFUSALS_MAX;
}

/* Turns until nothing runs, or the time has come. */
static void drain(quring_engine *engine, uint64_t until) {
    uint32_t refusals = 0;
    while (running_count(engine) && now_ns(engine) < until) {
        end_all_queries(engine, false); /* what was put back in line, for it had not been sent */
        uint64_t now = now_ns(engine);
        advance(engine);
        if (now < until && !last_turn(engine, until - now, &refusals))
            break;
    }
}

int engine_shutdown(quring_engine *engine, uint64_t grace_ns) {
    engine->shutting_down = true;
    uint64_t now = now_ns(engine);
    end_all_queries(engine, false);
    drain(engine, now + grace_ns < now ? UINT64_MAX : now + grace_ns);
    end_all_queries(engine, true);
    /* A lane gives an interrupted query back when its present step ends. */
    drain(engine, UINT64_MAX);
    if (engine->owes_wake)
        ring_wake(engine->host.ring);
    engine->owes_wake = false;
    return (int)engine->host.done_count;
}

void engine_close(quring_engine *engine) {
    if (!engine->shutting_down)
        (void)engine_shutdown(engine, 0);
    list_for_each(node, &engine->host.databases)
        engine_db_close(list_entry(node, struct quring_db, link));
    uint32_t refusals = 0;
    for (;;) {
        advance(engine);
        if (list_empty(&engine->host.databases))
            break;
        if (!last_turn(engine, UINT64_MAX, &refusals))
            return; /* the kernel may still write to our memory: leave it alone */
    }
    timer_clear(engine->host.ring, &engine->deadline_timer);
    ring_close(engine->host.ring);
    engine_free(engine);
}

/* ---- Statistics ---- */

void engine_stats(const quring_engine *engine, quring_stats *stats) {
    *stats = engine->host.stats;
    const struct ring_counters *ring = ring_counters(engine->host.ring);
    stats->sent_bytes = ring->sent_bytes;
    stats->received_bytes = ring->received_bytes;
    stats->enter_count = ring_port(engine->host.ring)->enter_count;
    stats->completion_count = ring->completions;
    stats->send_count = ring->sends;
    stats->receive_count = ring->receives;
    stats->offload_job_count = ring->jobs;
    stats->stale_count = ring->stale;
    list_for_each(node, &engine->host.databases) {
        const struct quring_db *db = list_entry(node, struct quring_db, link);
        stats->waiting_count += db_waiting_count(db);
        stats->inflight_count += db->running_count;
    }
}
