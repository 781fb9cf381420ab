/* SPDX-License-Identifier: MIT */
/* The public functions that need an engine: they check their arguments and call it. */
#include "engine/engine.h"

#include "ring/port.h"

#include <string.h>

/* ---- Structs of programs that were compiled with another version of the header ---- */

/* Copies what both know. False: members that this library does not know are in use. */
static bool struct_take(void *ours, size_t our_bytes, const void *theirs, size_t their_bytes) {
    memset(ours, 0, our_bytes);
    memcpy(ours, theirs, their_bytes < our_bytes ? their_bytes : our_bytes);
    for (size_t i = our_bytes; i < their_bytes; i++)
        if (((const uint8_t *)theirs)[i])
            return false;
    return true;
}

static void struct_give(void *theirs, size_t their_bytes, const void *ours, size_t our_bytes) {
    memcpy(theirs, ours, their_bytes < our_bytes ? their_bytes : our_bytes);
    if (their_bytes > our_bytes)
        memset((uint8_t *)theirs + our_bytes, 0, their_bytes - our_bytes);
}

/* ---- Engine ---- */

int quring_engine_open_sized(const quring_options *options, size_t options_bytes, quring_engine **engine) {
    quring_options known;
    if (!engine || (options && !struct_take(&known, sizeof known, options, options_bytes)))
        return QURING_EINVAL;
    return engine_open(options ? &known : NULL, engine);
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

static const char unknown_member[] =
    "a member is set that this version of the library does not know: the program was compiled with a newer quring.h";

int quring_db_open_sized(quring_engine *engine, const char *url, const quring_db_options *options, size_t options_bytes,
                         quring_db **db) {
    quring_db_options known;
    if (!engine || !url || !db)
        return QURING_EINVAL;
    forget_message(engine);
    if (options && !struct_take(&known, sizeof known, options, options_bytes))
        return host_error(&engine->host, QURING_EINVAL, "%s", unknown_member);
    return engine_db_open(engine, url, options ? &known : NULL, db);
}

void quring_db_close(quring_db *db) {
    if (db)
        engine_db_close(db);
}

const char *quring_db_backend(const quring_db *db) {
    return db ? db->backend->name : "";
}

uint32_t quring_db_server_pid(const quring_db *db) {
    return db ? db->server_pid : 0;
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

static int submit(quring_engine *engine, const quring_query *query, quring_id *id) {
    if (!query->db)
        return QURING_EINVAL;
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

int quring_submit_sized(quring_engine *engine, const quring_query *query, size_t query_bytes, quring_id *id) {
    if (!engine || !query)
        return QURING_EINVAL;
    forget_message(engine);
    if (base_likely(query_bytes == sizeof *query))
        return submit(engine, query, id);
    quring_query known;
    if (!struct_take(&known, sizeof known, query, query_bytes))
        return host_error(&engine->host, QURING_EINVAL, "%s", unknown_member);
    return submit(engine, &known, id);
}

int quring_cancel(quring_engine *engine, quring_id id) {
    return engine ? engine_cancel(engine, id) : QURING_EINVAL;
}

int quring_reap_sized(quring_engine *engine, quring_done *done, size_t done_bytes, uint32_t capacity) {
    if (!engine || (!done && capacity))
        return QURING_EINVAL;
    if (base_likely(done_bytes == sizeof *done))
        return engine_reap(engine, done, capacity);
    uint32_t count = 0;
    quring_done known;
    for (uint8_t *at = (uint8_t *)done; count < capacity && engine_reap(engine, &known, 1); at += done_bytes, count++)
        struct_give(at, done_bytes, &known, sizeof known);
    return (int)count;
}

int quring_release(quring_engine *engine, quring_id id) {
    return engine ? engine_release(engine, id) : QURING_EINVAL;
}

void quring_stats_get_sized(const quring_engine *engine, quring_stats *stats, size_t stats_bytes) {
    quring_stats known;
    if (!engine || !stats)
        return;
    engine_stats(engine, &known);
    struct_give(stats, stats_bytes, &known, sizeof known);
}

void quring_ring_info_get_sized(const quring_engine *engine, quring_ring_info *info, size_t info_bytes) {
    if (engine && info)
        struct_give(info, info_bytes, &ring_port(engine->host.ring)->info, sizeof(quring_ring_info));
}
