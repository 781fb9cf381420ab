/* SPDX-License-Identifier: MIT */
/*
 * URLs and options into quring_db_open(), a query into what opens, and everything closed again. Input: the URL, a NUL,
 * and bytes that the options are drawn from.
 *
 * Nothing leaves the process: connecting fails at once, and of SQLite's URLs only those in memory are opened, while the
 * others are parsed.
 */
#include "base/assert.h"
#include "base/cursor.h"
#include "engine/engine.h"
#include "lite/url.h"
#include "pg/connect.h"
#include "ring/port_sim.h"

#include <stdlib.h>
#include <string.h>

enum { STATEMENTS_HELD_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refuse_to_connect(struct pg_connect *connect) {
    connect->fd = -1;
    strcpy(connect->sqlstate, "08001");
    strcpy(connect->message, "there is no network here");
}

/* Any value that is refused, and of those that are not only what this process has memory for. */
static quring_db_options draw_options(struct cursor *in) {
    quring_db_options options = {
        .connection_count = cursor_u8(in),
        .depth = cursor_u32(in),
        .exclusive = cursor_u8(in) & 1,
        .commit = (quring_commit_mode)(cursor_u8(in) % 5),
        .connect_timeout_ns = cursor_u32(in),
        .reconnect_wait_ns = cursor_u32(in),
        .statement_count = cursor_u32(in),
        .result_bytes = (uint64_t)cursor_u32(in) << (cursor_u8(in) % 32),
        .result_row_count = cursor_u32(in),
        .message_bytes = cursor_u32(in),
        .durability = (quring_durability)(cursor_u8(in) % 7),
        .busy_timeout_ns = cursor_u32(in),
    };
    if (options.statement_count > STATEMENTS_HELD_MAX && options.statement_count <= 65536)
        options.statement_count %= STATEMENTS_HELD_MAX;
    return options;
}

static bool stays_in_memory(const char *url) {
    if (!lite_url_accepts(url))
        return true;
    struct lite_url parsed = {0};
    char message[256] = "";
    int error = lite_url_parse(url, &parsed, message, sizeof message);
    PRE(error ? *message != 0 : parsed.path == NULL || parsed.path[0] == '/');
    bool in_memory = error || !parsed.path;
    if (!error)
        free(parsed.path);
    return in_memory;
}

/* Whatever was opened takes a query and ends it once. */
static void use(quring_engine *engine, quring_db *db) {
    bool lite = strcmp(quring_db_backend(db), "sqlite") == 0;
    PRE(lite || strcmp(quring_db_backend(db), "postgresql") == 0);
    quring_query q = {.db = db, .sql = "select 7", .timeout_ns = 1000000000};
    PRE(quring_submit(engine, &q, NULL) == 0);
    quring_done done;
    PRE(quring_run(engine, 1, QURING_FOREVER) == 1 && quring_reap(engine, &done, 1) == 1);
    if (lite) {
        PRE(done.status == QURING_OK || done.status == QURING_LIMIT);
    } else {
        PRE(done.status == QURING_NOT_SENT || done.status == QURING_TIMEOUT);
        PRE(*done.error->message);
    }
    PRE(quring_release(engine, done.id) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t length = strnlen((const char *)data, size);
    char *url = strndup((const char *)data, length);
    struct cursor in = cursor_over(data + length, size - length);
    cursor_u8(&in);
    quring_db_options options = draw_options(&in);
    if (!stays_in_memory(url)) {
        free(url);
        return 0;
    }
    struct sim *sim = sim_new(&(struct sim_options){.seed = 1});
    engine_use_port(sim_port(sim));
    pg_use_connector(refuse_to_connect, NULL);
    quring_engine *engine = NULL;
    PRE(quring_engine_open(&(quring_options){.query_count = 4, .connection_count = 300}, &engine) == 0);
    quring_db *db = NULL;
    int error = quring_db_open(engine, url, length == size ? NULL : &options, &db);
    if (error == 0) {
        use(engine, db);
    } else {
        PRE(db == NULL && error < 0 && *quring_errmsg(engine) && *quring_strerror(error));
    }
    quring_engine_close(engine);
    sim_free(sim);
    free(url);
    return 0;
}
