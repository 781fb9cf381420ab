/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include "core/stats.h"
#include "core/trace.h"
#include "ring/port.h"

#include <stdio.h>
#include <string.h>

/* ---- Structs of programs that were compiled with another version of the header ---- */

const char api_unknown_member[] =
    "a member is set that this version of the library does not know: the program was compiled with a newer quring.h";

bool api_struct_take(void *ours, size_t our_bytes, const void *theirs, size_t their_bytes) {
    memset(ours, 0, our_bytes);
    memcpy(ours, theirs, their_bytes < our_bytes ? their_bytes : our_bytes);
    for (size_t i = our_bytes; i < their_bytes; i++)
        if (((const uint8_t *)theirs)[i])
            return false;
    return true;
}

void api_struct_give(void *theirs, size_t their_bytes, const void *ours, size_t our_bytes) {
    memcpy(theirs, ours, their_bytes < our_bytes ? their_bytes : our_bytes);
    if (their_bytes > our_bytes)
        memset((uint8_t *)theirs + our_bytes, 0, their_bytes - our_bytes);
}

/* ---- The caller, and what was wrong with the call ---- */

_Thread_local char api_open_message[API_OPEN_MESSAGE_BYTES];

int api_refuse_open(int error, const char *why) {
    snprintf(api_open_message, sizeof api_open_message, "%s", why);
    return error;
}

/* For calls whose errors arise far below, where not each sets a message: the last one's must not remain. */
static void api_forget_message(quring_engine *engine) {
    engine->hub.message[0] = 0;
}

const char *quring_errmsg(const quring_engine *engine) {
    if (!engine)
        return api_open_message;
    return api_is_foreign(engine) ? "the engine belongs to the thread and process that opened it" : engine->hub.message;
}

/* ---- Engine ---- */

int quring_engine_open_sized(const quring_options *options, size_t options_bytes, quring_engine **engine) {
    quring_options known;
    if (!engine)
        return api_refuse_open(QURING_EINVAL, "engine is NULL: there is no place for it");
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return api_refuse_open(QURING_EINVAL, api_unknown_member);
    api_open_message[0] = 0;
    return engine_open(options ? &known : NULL, engine, api_open_message, sizeof api_open_message);
}

/* A child process inherits the pointer: to close would shut sockets down that its parent uses. */
void quring_engine_close(quring_engine *engine) {
    if (!api_refuse_caller(engine))
        engine_close(engine);
}

int quring_shutdown(quring_engine *engine, uint64_t grace_ns) {
    int error = api_refuse_caller(engine);
    return error ? error : engine_shutdown(engine, grace_ns);
}

/* Where the program comes late, a turn would send the COMMIT of a transaction whose timeout had passed, and look then. */
int quring_run(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (base_unlikely(engine->hub.tx_deadlines.count))
        engine_tx_expire(engine, engine_now_ns(engine));
    return engine_run(engine, min_count, timeout_ns);
}

uint32_t quring_pending(const quring_engine *engine) {
    return api_refuse_caller(engine) ? 0 : engine->pending_count;
}

/* Any thread of the process may call this, so it looks at the process alone. */
int quring_wake(quring_engine *engine) {
    if (!engine)
        return QURING_EINVAL;
    if (!owner_mark_in_process(engine->owner))
        return QURING_EFORKED;
    ring_wake(engine->hub.ring);
    return 0;
}

int quring_fd(const quring_engine *engine) {
    int error = api_refuse_caller(engine);
    return error ? error : ring_poll_fd(engine->hub.ring);
}

/* For a program that waits on quring_fd() itself. Timers go by the clock of the port, which a simulation replaces. */
uint64_t quring_timeout_ns(const quring_engine *engine) {
    if (api_refuse_caller(engine))
        return QURING_FOREVER;
    if (ring_wants_turn(engine->hub.ring)) /* work is left that no event of the kernel would announce */
        return 0;
    uint64_t at = ring_next_timer_ns(engine->hub.ring);
    if (at == UINT64_MAX)
        return QURING_FOREVER;
    struct port *port = ring_port(engine->hub.ring);
    uint64_t now = port->methods->now_ns(port);
    return at > now ? at - now : 0;
}

/* ---- Databases ---- */

int quring_db_open_sized(quring_engine *engine, const char *url, const quring_db_options *options, size_t options_bytes,
                         quring_db **db) {
    quring_db_options known;
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (!url || !db)
        return api_refuse(engine, QURING_EINVAL, "url or db is NULL");
    api_forget_message(engine);
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return api_refuse(engine, QURING_EINVAL, api_unknown_member);
    return engine_db_open(engine, url, options ? &known : NULL, db);
}

void quring_db_close(quring_db *db) {
    if (db && !api_is_foreign(db->engine))
        engine_db_close(db);
}

int quring_db_resize(quring_db *db, uint32_t connection_count) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    return error ? error : engine_db_resize(db, connection_count);
}

int quring_db_drain(quring_db *db) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    return error ? error : engine_db_drain(db);
}

/* The name is constant from open on, so no caller is refused. */
const char *quring_db_backend(const quring_db *db) {
    return db ? db->backend->name : "";
}

uint32_t quring_db_server_pid(const quring_db *db) {
    return db ? db->server_pid : 0;
}

int quring_db_status_sized(const quring_db *db, quring_db_info *info, size_t info_bytes) {
    quring_db_info known;
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    if (error)
        return error;
    if (!info)
        return api_refuse(db->engine, QURING_EINVAL, "info is NULL");
    engine_db_status(db, &known);
    api_struct_give(info, info_bytes, &known, sizeof known);
    return 0;
}

int quring_db_warm_up(quring_db *db, uint64_t timeout_ns) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    return error ? error : engine_warm_up(db, timeout_ns);
}

int quring_prepare(quring_db *db, const char *sql, quring_statement **statement) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL; /* no db, and so no engine to keep a message */
    if (error)
        return error;
    if (!sql || !statement)
        return api_refuse(db->engine, QURING_EINVAL, "sql or statement is NULL");
    return engine_prepare(db, sql, statement);
}

/* The statement remembers its thread, since its engine may be closed by now. */
void quring_statement_release(quring_statement *statement) {
    if (statement && statement->owner == owner_here)
        statement_drop(statement);
}

/* ---- Trace ---- */

static int api_trace(struct trace *trace, quring_event *events, size_t event_bytes, uint32_t capacity) {
    trace_take_back(trace);
    if (base_likely(event_bytes == sizeof *events))
        return (int)trace_take(trace, events, capacity);
    uint32_t count = 0;
    quring_event known; /* one at a time, for a program whose struct has another size */
    for (uint8_t *at = (uint8_t *)events; count < capacity && trace_take(trace, &known, 1); at += event_bytes, count++)
        api_struct_give(at, event_bytes, &known, sizeof known);
    return (int)count;
}

int quring_trace_sized(quring_engine *engine, quring_event *events, size_t event_bytes, uint32_t capacity) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (!events && capacity)
        return api_refuse(engine, QURING_EINVAL, "events is NULL");
    return engine->hub.trace ? api_trace(engine->hub.trace, events, event_bytes, capacity) : 0;
}

/* ---- Statistics ---- */

/* A caller who may not ask gets zeros: the function has no error to return, and may not leave the struct unset. */
void quring_stats_get_sized(const quring_engine *engine, quring_stats *stats, size_t stats_bytes) {
    quring_stats known = {0};
    if (!stats)
        return;
    if (!api_refuse_caller(engine))
        engine_stats(engine, &known);
    api_struct_give(stats, stats_bytes, &known, sizeof known);
}

void quring_db_stats_get_sized(const quring_db *db, quring_db_stats *stats, size_t stats_bytes) {
    quring_db_stats known = {0};
    if (!stats)
        return;
    if (db && !api_is_foreign(db->engine))
        stats_fill(db, &known);
    api_struct_give(stats, stats_bytes, &known, sizeof known);
}

/* The information is constant from open on, so no caller is refused. */
void quring_ring_info_get_sized(const quring_engine *engine, quring_ring_info *info, size_t info_bytes) {
    static const quring_ring_info none = {.setup = ""};
    if (info)
        api_struct_give(info, info_bytes, engine ? &ring_port(engine->hub.ring)->info : &none,
                        sizeof(quring_ring_info));
}
