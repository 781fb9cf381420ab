/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include "base/utf8.h"
#include "core/batch.h"
#include "core/detach.h"
#include "core/status.h"
#include "core/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUERY_COUNT = 4096,
    QUERY_COUNT_MAX = 1 << 20,
    SOCKET_COUNT = 1024,
    SOCKET_COUNT_MAX = 32768, /* two operations each fill io_uring's largest completion queue: 65536 entries */
    TRACE_COUNT_MAX = 1 << 20,
    INFLIGHT_BYTES = 64 << 20
};

static const uint64_t WAIT_MAX_NS = (uint64_t)1 << 62;
static const uint64_t GATHER_NS_MAX = 100000000;

/* Tests hand the simulated kernel over beside the public API, which knows Linux alone. */
static _Thread_local struct port *next_port;

void engine_use_port(struct port *port) {
    next_port = port;
}

/* ---- The engine ---- */

/* The environment is the administrator's: it decides where the program leaves the choice open. False: it is no choice. */
static bool open_choose_port(quring_port *port) {
    const char *wanted = *port == QURING_PORT_AUTO ? getenv("QURING_PORT") : NULL;
    if (!wanted || !*wanted)
        return true;
    if (strcmp(wanted, "uring") == 0)
        *port = QURING_PORT_URING;
    else if (strcmp(wanted, "epoll") == 0)
        *port = QURING_PORT_EPOLL;
    return *port != QURING_PORT_AUTO;
}

/* Sets the defaults, and refuses what is over the limits. The message is the caller's, since no engine exists yet. */
static int open_fill_options(quring_options *options, char *message, size_t message_bytes) {
    if (!options->query_count)
        options->query_count = QUERY_COUNT;
    if (!options->connection_count)
        options->connection_count = SOCKET_COUNT;
    if (!options->inflight_bytes)
        options->inflight_bytes = INFLIGHT_BYTES;
    if (options->inflight_bytes > SIZE_MAX / 2)
        options->inflight_bytes = SIZE_MAX / 2;
    if (options->query_count > QUERY_COUNT_MAX || options->connection_count > SOCKET_COUNT_MAX)
        snprintf(message, message_bytes, "query_count %u or connection_count %u: at most %d and %d",
                 options->query_count, options->connection_count, QUERY_COUNT_MAX, SOCKET_COUNT_MAX);
    else if (options->trace_count > TRACE_COUNT_MAX)
        snprintf(message, message_bytes, "trace_count %u: at most %d", options->trace_count, TRACE_COUNT_MAX);
    else if (options->gather_ns > GATHER_NS_MAX)
        snprintf(message, message_bytes, "gather_ns %llu: at most %llu", (unsigned long long)options->gather_ns,
                 (unsigned long long)GATHER_NS_MAX);
    else if (options->port > QURING_PORT_EPOLL)
        snprintf(message, message_bytes, "options.port is %d: at most %d", (int)options->port, QURING_PORT_EPOLL);
    else if (!open_choose_port(&options->port))
        snprintf(message, message_bytes, "the environment's QURING_PORT is neither uring nor epoll");
    else
        return 0;
    return QURING_EINVAL;
}

/* Returns the limit of a query's copied parameters: a larger copy would be refused later, and is not made at all. */
static size_t open_params_limit_bytes(const quring_options *options) {
    uint64_t limit = options->inflight_bytes;
    return limit < ENGINE_MESSAGE_BYTES_MAX - QUERY_KEEP_BYTES ? (size_t)limit + QUERY_KEEP_BYTES
                                                               : ENGINE_MESSAGE_BYTES_MAX;
}

/* All slots and the heap of deadlines are allocated here, so that a submit fails by limits and hardly ever by memory. */
static bool open_queries(quring_engine *engine) {
    uint32_t count = engine->options.query_count;
    if (!slots_init(&engine->queries, count, sizeof(struct query), 64) || !heap_reserve(&engine->deadlines, count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct query *query = slots_at(&engine->queries, i);
        list_init(&query->link);
        buf_init(&query->store, open_params_limit_bytes(&engine->options));
        error_init(&query->error);
        result_init(&query->result);
        query->traced = engine->options.trace_count ? trace_number(0, i) : 0;
    }
    return true;
}

static uint64_t open_trace_now_ns(void *engine) {
    return engine_now_ns(engine);
}

/* Every slot has its number in the trace, and none has one where the program asked for no trace. */
static bool open_trace(quring_engine *engine) {
    const quring_options *options = &engine->options;
    struct trace_clock clock = {.now_ns = open_trace_now_ns, .context = engine};
    if (options->trace_count)
        engine->hub.trace = trace_new(options->trace_count, options->query_count, clock);
    return !options->trace_count || engine->hub.trace;
}

void engine_free(quring_engine *engine) {
    PRE(list_empty(&engine->hub.databases));
    for (uint32_t i = 0; i < engine->queries.count; i++) {
        struct query *query = slots_at(&engine->queries, i);
        if (query->stand_in)
            stand_in_free(query->stand_in);
        buf_free(&query->store);
        error_free(&query->error);
        result_free(&query->result);
    }
    slots_free(&engine->queries);
    heap_free(&engine->deadlines);
    batch_free_all(&engine->hub);
    engine_tx_free(engine);
    trace_free(engine->hub.trace);
    order_keys_free(&engine->hub.keys);
    owner_mark_free(engine->owner);
    db_numbers_drop(engine->hub.numbers);
    free(engine);
}

int engine_open(const quring_options *options, quring_engine **out, char *message, size_t message_bytes) {
    PRE(out && message_bytes);
    quring_engine *engine = calloc(1, sizeof *engine);
    struct port *port = next_port;
    next_port = NULL;
    if (!engine)
        return QURING_ENOMEM;
    if (options)
        engine->options = *options;
    engine->owner = owner_mark_new();
    engine->hub.numbers = db_numbers_new();
    list_init(&engine->hub.done);
    list_init(&engine->hub.remote_done);
    list_init(&engine->hub.databases);
    list_init(&engine->hub.due);
    list_init(&engine->hub.tx_over);
    list_init(&engine->hub.tx_orphans);
    engine->deadline_timer.fire = engine_deadline_fire;
    engine->tx_timer.fire = engine_tx_fire;
    engine->hub.watch = engine_watch;
    int error = engine->owner && engine->hub.numbers ? open_fill_options(&engine->options, message, message_bytes)
                                                     : QURING_ENOMEM;
    if (!error && (!open_queries(engine) || !open_trace(engine)))
        error = QURING_ENOMEM;
    if (!error) {
        struct ring_options ring = {.socket_count = engine->options.connection_count,
                                    .timer_count = 2, /* of deadlines: of queries, and of transactions */
                                    .spin_ns = engine->options.spin_ns,
                                    .no_defer_taskrun = engine->options.no_defer_taskrun,
                                    .choice = engine->options.port,
                                    .port = port};
        error = ring_open(&ring, &engine->hub.ring, message, message_bytes);
    }
    if (error) {
        engine_free(engine);
        return error;
    }
    *out = engine;
    return 0;
}

/* ---- Databases ---- */

/* Refuses options that are out of their range or contradict each other, and names them. */
static int open_check_db_options(struct hub *hub, const quring_db_options *options) {
    const struct {
        const char *name;
        uint64_t value, most;
    } ranges[] = {{"commit", options->commit, QURING_COMMIT_AUTO},
                  {"durability", options->durability, QURING_DURABILITY_EXTRA},
                  {"prepared_statements", options->prepared_statements, QURING_PREPARED_NEVER},
                  {"depth", options->depth, 65535},
                  {"statement_count", options->statement_count, 65536},
                  {"message_bytes", options->message_bytes, 0x3fffffff},
                  {"result_bytes", options->result_bytes, (uint64_t)1 << 40}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value > ranges[i].most)
            return hub_error(hub, QURING_EINVAL, "options.%s is %llu: at most %llu", ranges[i].name,
                             (unsigned long long)ranges[i].value, (unsigned long long)ranges[i].most);
    if (options->exclusive && options->connection_count > 1)
        return hub_error(hub, QURING_EINVAL,
                         "options.exclusive and options.connection_count %u: an exclusive handle has one connection",
                         options->connection_count);
    if (options->exclusive && options->commit == QURING_COMMIT_GROUP)
        return hub_error(
            hub, QURING_EINVAL,
            "options.exclusive and options.commit GROUP: what runs again would fall behind those after it");
    return 0;
}

/* Defaults that both backends share; their own they set themselves, as the number of connections. */
static void open_fill_db_options(quring_db_options *options) {
    if (options->exclusive)
        options->connection_count = 1;
    if (!options->commit || options->exclusive) /* of an exclusive handle, AUTO is EACH */
        options->commit = QURING_COMMIT_EACH;
    if (!options->durability)
        options->durability = QURING_DURABILITY_FULL;
    if (!options->reconnect_wait_ns)
        options->reconnect_wait_ns = 5000000000u;
    if (!options->busy_timeout_ns)
        options->busy_timeout_ns = 5000000000u;
    if (!options->statement_count)
        options->statement_count = 256;
    if (!options->result_bytes)
        options->result_bytes = 64 << 20;
    if (!options->result_row_count)
        options->result_row_count = UINT64_MAX;
    if (!options->message_bytes)
        options->message_bytes = 64 << 20;
    /* Waits are added to the clock, and the sum must not wrap: QURING_FOREVER becomes 146 years. */
    uint64_t *const waits[] = {&options->connect_timeout_ns, &options->reconnect_wait_ns, &options->busy_timeout_ns};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (*waits[i] > WAIT_MAX_NS)
            *waits[i] = WAIT_MAX_NS;
}

static int open_backend(struct quring_db *db, const char *url) {
    struct ring *ring = db->hub->ring;
    if (!ring_timers_take(ring, db->backend->timer_count))
        return hub_error(db->hub, QURING_ENOMEM, "no memory for the database handle");
    int error = db->backend->open(db, url);
    if (error)
        ring_timers_give(ring, db->backend->timer_count);
    return error;
}

int engine_db_open(quring_engine *engine, const char *url, const quring_db_options *options, quring_db **out) {
    PRE(url && out);
    if (engine->shutting_down)
        return hub_error(&engine->hub, QURING_ESHUTDOWN, "the engine was shut down");
    quring_db_options filled = options ? *options : (quring_db_options){0};
    int error = open_check_db_options(&engine->hub, &filled);
    if (error)
        return error;
    open_fill_db_options(&filled);
    const struct backend *backend = engine_backend_of(url);
    if (!backend)
        return hub_error(&engine->hub, QURING_EURL,
                         "this is not a URL of a database: write postgresql://user@host/db, \"host=… dbname=…\", "
                         "sqlite:///file.db, sqlite:////absolute/file.db or sqlite:// (in memory)");
    struct quring_db *db = calloc(1, backend->db_bytes);
    if (!db)
        return hub_error(&engine->hub, QURING_ENOMEM, "no memory for the database handle");
    db_init(db);
    db->hub = &engine->hub;
    db->engine = engine;
    db->backend = backend;
    db->options = filled;
    db->number = atomic_fetch_add(&engine->hub.numbers->newest, 1) + 1;
    status_begin(db, engine_now_ns(engine));
    error = open_backend(db, url);
    if (error) {
        free(db);
        utf8_tidy(engine->hub.message); /* the message may quote a URL in any encoding */
        return error;
    }
    PRE(db->statements);
    engine_inboxes_read(engine); /* those that name a closed handle which was at this address don't mean this one */
    list_push_back(&engine->hub.databases, &db->link);
    *out = db;
    return 0;
}

static int open_refuse_change(const quring_db *db, bool backend_can) {
    struct hub *hub = db->hub;
    if (db->engine->shutting_down || db->closing)
        return hub_error(hub, QURING_ESHUTDOWN, "the engine or the database handle was shut down");
    return backend_can ? 0 : hub_error(hub, QURING_EUNSUPPORTED, "not on SQLite: its lanes are made when it is opened");
}

int engine_db_resize(quring_db *db, uint32_t connection_count) {
    int error = open_refuse_change(db, db->backend->resize != NULL);
    return error ? error : db->backend->resize(db, connection_count);
}

int engine_db_drain(quring_db *db) {
    int error = open_refuse_change(db, db->backend->drain != NULL);
    return error ? error : db->backend->drain(db);
}
