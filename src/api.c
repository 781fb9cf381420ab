/* SPDX-License-Identifier: MIT */
/* The public functions that need an engine: they check their arguments and call it. */
#include "engine/engine.h"

#include "ring/port.h"

#include <string.h>

int quring_engine_open(const quring_options *options, quring_engine **engine) {
    return engine ? engine_open(options, engine) : QURING_EINVAL;
}

void quring_engine_close(quring_engine *engine) {
    if (engine)
        engine_close(engine);
}

int quring_shutdown(quring_engine *engine, uint64_t grace_ns) {
    return engine ? engine_shutdown(engine, grace_ns) : QURING_EINVAL;
}

int quring_run(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns) {
    return engine ? engine_run(engine, min_count, timeout_ns) : QURING_EINVAL;
}

uint32_t quring_pending(const quring_engine *engine) {
    return engine ? engine->pending_count : 0;
}

int quring_wake(quring_engine *engine) {
    if (!engine)
        return QURING_EINVAL;
    ring_wake(engine->host.ring);
    return 0;
}

int quring_fd(const quring_engine *engine) {
    return engine ? ring_poll_fd(engine->host.ring) : QURING_EINVAL;
}

uint64_t quring_timeout_ns(const quring_engine *engine) {
    if (!engine)
        return QURING_FOREVER;
    if (ring_wants_turn(engine->host.ring))
        return 0;
    uint64_t at = ring_next_timer_ns(engine->host.ring);
    if (at == UINT64_MAX)
        return QURING_FOREVER;
    struct port *port = ring_port(engine->host.ring);
    uint64_t now = port->methods->now_ns(port);
    return at > now ? at - now : 0;
}

const char *quring_errmsg(const quring_engine *engine) {
    return engine ? engine->host.message : "";
}

/* Calls that can fail with a text of their own start with none. */
static void forget_message(quring_engine *engine) {
    engine->host.message[0] = 0;
}

int quring_db_open(quring_engine *engine, const char *url, const quring_db_options *options, quring_db **db) {
    if (!engine || !url || !db)
        return QURING_EINVAL;
    forget_message(engine);
    return engine_db_open(engine, url, options, db);
}

void quring_db_close(quring_db *db) {
    if (db)
        engine_db_close(db);
}

const char *quring_db_backend(const quring_db *db) {
    return db ? db->backend->name : "";
}

int quring_prepare(quring_db *db, const char *sql, quring_statement **statement) {
    if (!db || !sql || !statement)
        return QURING_EINVAL;
    if (db->closing)
        return QURING_ESHUTDOWN;
    size_t length = strlen(sql);
    if (length > db->engine->options.inflight_bytes)
        return QURING_ETOOBIG;
    struct quring_statement *found = statement_find(db->statements, sql, length);
    if (!found)
        return QURING_ENOMEM;
    *statement = found;
    return 0;
}

void quring_statement_release(quring_statement *statement) {
    if (statement)
        statement_drop(statement);
}

int quring_submit(quring_engine *engine, const quring_query *query, quring_id *id) {
    if (!engine || !query || !query->db)
        return QURING_EINVAL;
    forget_message(engine);
    if (query->db->engine != engine)
        return host_error(&engine->host, QURING_EINVAL, "the database belongs to another engine");
    if (!query->sql == !query->statement)
        return host_error(&engine->host, QURING_EINVAL, "a query has either sql or a statement");
    if (query->statement && query->statement->table != query->db->statements)
        return host_error(&engine->host, QURING_EINVAL, "the statement belongs to another database handle");
    if (query->param_count > 65535 || (query->param_count && !query->params))
        return host_error(&engine->host, QURING_EINVAL, "%u parameters: at most 65535, and params must name them",
                          query->param_count);
    if (query->commit > QURING_COMMIT_GROUP)
        return host_error(&engine->host, QURING_EINVAL, "unknown commit mode %d", (int)query->commit);
    return engine_submit(engine, query, id);
}

int quring_cancel(quring_engine *engine, quring_id id) {
    return engine ? engine_cancel(engine, id) : QURING_EINVAL;
}

int quring_reap(quring_engine *engine, quring_done *done, uint32_t capacity) {
    return engine && (done || !capacity) ? engine_reap(engine, done, capacity) : QURING_EINVAL;
}

int quring_release(quring_engine *engine, quring_id id) {
    return engine ? engine_release(engine, id) : QURING_EINVAL;
}

void quring_stats_get(const quring_engine *engine, quring_stats *stats) {
    if (engine && stats)
        engine_stats(engine, stats);
}

void quring_ring_info_get(const quring_engine *engine, quring_ring_info *info) {
    if (engine && info)
        *info = ring_port(engine->host.ring)->info;
}
