/* SPDX-License-Identifier: MIT */
#include "lib/lite_bed.h"

#include "core/batch.h"
#include "ring/port.h"
#include "ring/ring.h"
#include "value/param.h"
#include "value/value.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- A port that has no events, and runs jobs where they are posted ---- */

static int port_push(struct port *port, const struct port_op *op) {
    (void)port;
    (void)op;
    return -EINVAL;
}

static int port_enter(struct port *port, uint32_t wait_count, uint64_t timeout_ns) {
    (void)port;
    (void)wait_count;
    (void)timeout_ns;
    return 0;
}

static uint32_t port_collect(struct port *port, struct port_event *events, uint32_t capacity) {
    (void)port;
    (void)events;
    (void)capacity;
    return 0;
}

static uint64_t port_now_ns(struct port *port) {
    (void)port;
    return lite_now_ns();
}

static void port_fd(struct port *port, int fd) {
    (void)port;
    (void)fd;
}

static void port_destroy(struct port *port) {
    free(port);
}

static struct port *inline_port(void) {
    static const struct port_methods methods = {.push = port_push,
                                                .enter = port_enter,
                                                .collect = port_collect,
                                                .now_ns = port_now_ns,
                                                .shutdown = port_fd,
                                                .close = port_fd,
                                                .destroy = port_destroy};
    struct port *port = calloc(1, sizeof *port);
    *port = (struct port){.methods = &methods, .poll_fd = -1, .inline_jobs = true};
    return port;
}

/* ---- Begin and end ---- */

void bed_begin(struct lite_bed *bed) {
    memset(bed, 0, sizeof *bed);
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; /* no disk to wait for */
    snprintf(bed->directory, sizeof bed->directory, "%s/quring-lite-XXXXXX", where);
    cr_assert(mkdtemp(bed->directory));
    list_init(&bed->hub.done);
    list_init(&bed->hub.databases);
    list_init(&bed->hub.due);
    db_init(&bed->plain);
    bed->plain.hub = &bed->hub;
    bed->statements = statement_table_new(4, 1 << 16, NULL);
    struct ring_options options = {.socket_count = 4, .port = inline_port()};
    cr_assert_eq(ring_open(&options, &bed->hub.ring, bed->hub.message, sizeof bed->hub.message), 0);
}

static void remove_directory(const char *path) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}

void bed_reuse(struct lite_bed *bed, uint32_t kept) {
    for (uint32_t i = kept; i < bed->query_count; i++) {
        struct query *query = &bed->queries[i];
        list_remove(&query->link);
        buf_free(&query->store);
        error_free(&query->error);
        result_free(&query->result);
        if (query->statement)
            statement_drop(query->statement);
        *query = (struct query){0};
    }
    bed->query_count = kept;
}

void bed_end(struct lite_bed *bed) {
    bed_reuse(bed, 0);
    if (bed->conn.handle)
        lite_conn_close(&bed->conn);
    if (bed->conn.config)
        lite_conn_free(&bed->conn);
    if (bed->db)
        bed_close(bed);
    batch_free_all(&bed->hub);
    statement_table_free(bed->statements);
    ring_close(bed->hub.ring);
    remove_directory(bed->directory);
}

const char *bed_path(const struct lite_bed *bed, const char *name) {
    static char path[BED_URL_BYTES];
    snprintf(path, sizeof path, "%s/%s", bed->directory, name);
    return path;
}

const char *bed_url_with(const struct lite_bed *bed, const char *name, const char *parameters) {
    static char url[BED_URL_BYTES];
    snprintf(url, sizeof url, "sqlite:///%s/%s%s", bed->directory, name, parameters);
    return url;
}

const char *bed_url(const struct lite_bed *bed, const char *name) {
    return bed_url_with(bed, name, "?mode=rwc");
}

struct query *bed_query(struct lite_bed *bed, const char *sql, const quring_param *params, uint32_t count) {
    cr_assert_lt(bed->query_count, BED_QUERIES);
    struct query *query = &bed->queries[bed->query_count++];
    struct quring_db *db = bed->db ? bed->db : &bed->plain;
    query->queue = &db->queue;
    list_init(&query->link);
    buf_init(&query->store, 1 << 24);
    error_init(&query->error);
    result_init(&query->result);
    result_begin(&query->result, db->options.result_bytes ? db->options.result_bytes : 1 << 26,
                 db->options.result_row_count ? db->options.result_row_count : UINT64_MAX);
    query->statement = statement_find(bed->db ? db->statements : bed->statements, sql, strlen(sql));
    query->param_count = count;
    query->params = count ? value_copy_params(&query->store, params, count) : NULL;
    query->commit = QURING_COMMIT_EACH;
    cr_assert(query->statement && (query->params || !count));
    return query;
}

/* ---- A bare connection ---- */

void bed_open_conn(struct lite_bed *bed, const char *name, enum lite_role role) {
    static char path[BED_URL_BYTES];
    if (name)
        snprintf(path, sizeof path, "%s", bed_path(bed, name));
    bed->config = (struct lite_config){.path = name ? path : NULL,
                                       .mode = LITE_CREATE,
                                       .busy_timeout_ns = 100000000,
                                       .statement_count = 4,
                                       .closing = &bed->closing};
    cr_assert(lite_conn_init(&bed->conn, &bed->config, role));
    bool opened = lite_conn_open(&bed->conn);
    cr_assert(opened, "%s", bed->conn.open_error.view.message);
}

int bed_run(struct lite_bed *bed, struct query *query) {
    int outcome = lite_conn_run(&bed->conn, query);
    query->status = (uint8_t)outcome;
    return outcome;
}

const quring_result *bed_exec(struct lite_bed *bed, const char *sql) {
    struct query *query = bed_query(bed, sql, NULL, 0);
    int outcome = bed_run(bed, query);
    cr_assert_eq(outcome, QURING_OK, "%s: %s", sql, query->error.view.message);
    return &query->result;
}

/* ---- The backend ---- */

void bed_open(struct lite_bed *bed, const char *url, const quring_db_options *options) {
    bed->db = calloc(1, lite_backend.db_bytes);
    db_init(bed->db);
    bed->db->hub = &bed->hub;
    bed->db->backend = &lite_backend;
    if (options)
        bed->db->options = *options;
    if (!bed->db->options.statement_count)
        bed->db->options.statement_count = 256;
    if (!bed->db->options.busy_timeout_ns)
        bed->db->options.busy_timeout_ns = 100000000;
    if (!bed->db->options.durability)
        bed->db->options.durability = QURING_DURABILITY_FULL;
    int error = lite_backend.open(bed->db, url);
    cr_assert_eq(error, 0, "%s: %s", url, bed->hub.message);
}

void bed_close(struct lite_bed *bed) {
    bed->db->closing = true;
    lite_backend.close(bed->db);
    for (int i = 0; i < 100 && !bed->db->closed; i++)
        bed_turn(bed);
    cr_assert(bed->db->closed);
    cr_assert_eq(bed->db->running_count, 0);
    db_counters_add(&bed->hub.closed, &bed->db->counters);
    lite_backend.destroy(bed->db);
    list_remove(&bed->db->due);
    free(bed->db);
    bed->db = NULL;
}

struct query *bed_submit(struct lite_bed *bed, struct query *query) {
    cr_assert_eq(query->queue, &bed->db->queue, "made before the database was opened");
    queue_put(query);
    return query;
}

void bed_submit_batch(struct lite_bed *bed, struct query *queries[], const char *const texts[], uint32_t count) {
    struct batch *batch = batch_take(&bed->hub, count);
    struct list members;
    list_init(&members);
    for (uint32_t i = 0; i < count; i++) {
        queries[i] = bed_query(bed, texts[i], NULL, 0);
        queries[i]->id = bed->query_count;
        queries[i]->commit = QURING_COMMIT_GROUP; /* as the engine does */
        batch_join(batch, queries[i]);
        list_push_back(&members, &queries[i]->link);
    }
    queue_put_unit(&members);
}

void bed_turn(struct lite_bed *bed) {
    lite_backend.advance(bed->db);
    cr_assert_eq(ring_turn(bed->hub.ring, 0), 0);
}

void bed_drain(struct lite_bed *bed) {
    for (int i = 0; i < 1000 && db_waiting_count(bed->db) + bed->db->running_count; i++)
        bed_turn(bed);
    cr_assert_eq(db_waiting_count(bed->db) + bed->db->running_count, 0, "%u queries are stuck", bed->db->running_count);
}

/* ---- Looking ---- */

/* It is let go of when the query is done. */
static const char *text_of(const struct query *query) {
    return query->statement ? query->statement->sql : "a query";
}

int64_t bed_int(const struct query *query, uint64_t row, uint32_t column) {
    int64_t value = INT64_MIN;
    cr_assert_eq(query->status, QURING_OK, "%s: %s", text_of(query), query->error.view.message);
    int error = quring_get_int64(&query->result, row, column, &value);
    cr_assert_eq(error, 0, "%s: %s", text_of(query), quring_result_error(&query->result));
    return value;
}

const char *bed_text(const struct query *query, uint64_t row, uint32_t column) {
    const char *text = NULL;
    cr_assert_eq(query->status, QURING_OK, "%s: %s", text_of(query), query->error.view.message);
    int error = quring_get_text(&query->result, row, column, &text, NULL);
    cr_assert_eq(error, 0, "%s: %s", text_of(query), quring_result_error(&query->result));
    return text;
}

void bed_check(const struct query *query, int status, const char *sqlstate, const char *words) {
    const quring_error *error = &query->error.view;
    cr_assert_eq(query->status, status, "%s: status %d: %s", text_of(query), query->status, error->message);
    if (status == QURING_OK)
        return;
    cr_assert_str_eq(error->sqlstate, sqlstate, "%s: %s %s", text_of(query), error->sqlstate, error->message);
    cr_assert(strstr(error->message, words), "%s: \"%s\" is not in: %s", text_of(query), words, error->message);
}
