/* SPDX-License-Identifier: MIT */
#include "cli/bench/target.h"

#include "cli/bench/init.h"
#include "cli/cli.h"
#include "cli/common/failure.h"
#include "cli/common/say.h"
#include "cli/common/stop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { QUERIES_MAX = 1048576, TRACE_MAX = 1048576, DEPTH_MAX = 65535 }; /* limits of the library */
enum { EVENTS_A_QUERY = 8 };

/*
 * Transactions in flight per connection, unless the user says how many: enough for the next to be there when one ends. Each
 * more would stand behind one that waits for a row's lock.
 */
enum { TX_DEPTH = 4, TX_DEPTH_SQLITE = 16 };

static const uint64_t WARM_UP_NS = 3000000000;

/* Returns whether a URL of SQLite's names no file. */
static bool target_is_in_memory(const char *url) {
    static const char slashes[] = "//", memory[] = "/:memory:";
    const char *path = url + strlen("sqlite:");
    if (strncmp(path, slashes, strlen(slashes)) != 0)
        return false; /* which the library refuses */
    path += strlen(slashes);
    size_t size = strcspn(path, "?");
    return size == 0 || (size == strlen(memory) && memcmp(path, memory, size) == 0);
}

/* Returns CLI_EXIT_OK where the scripts, which were parsed, go together with the other options. */
static int target_check_scripts(const struct cli_target *target) {
    const struct cli_target_options *options = target->options;
    bool exclusive = cli_workload_is_exclusive(&target->workload);
    if (exclusive && (options->depth > 1 || options->group || options->gather_us))
        return cli_wrong("bench",
                         "a script with settings, or transactions such as these, has connections of its own: "
                         "leave out %s",
                         options->depth > 1 ? "-d, or say -d 1"
                         : options->group   ? "--commit"
                                            : "--gather");
    if (options->group && cli_workload_is_all_tx(&target->workload))
        return cli_wrong("bench",
                         "--commit is for statements outside of transactions, and there are none: leave it out");
    if (exclusive && target->sqlite && target_is_in_memory(target->url) &&
        (options->init || cli_workload_has_builtin(&target->workload, NULL)))
        return cli_wrong("bench",
                         "a script with settings, or transactions such as these, has connections of its own, and each "
                         "would have a database in memory of its own, without tables: name a file, such as bench.db");
    return CLI_EXIT_OK;
}

int cli_target_settle(struct cli_target *target, const struct cli_target_options *options,
                      const struct cli_workload *workload, char *url) {
    target->options = options;
    target->url = url;
    target->sqlite = cli_client_url_is_sqlite(url);
    int status = cli_workload_copy(&target->workload, workload);
    if (status == CLI_EXIT_OK)
        status = cli_workload_parse(&target->workload, target->sqlite, (int64_t)options->scale);
    if (status != CLI_EXIT_OK)
        return status;
    status = target_check_scripts(target);
    if (status != CLI_EXIT_OK)
        return status;
    bool exclusive = cli_workload_is_exclusive(&target->workload);
    target->unit = exclusive ? 1 : cli_workload_unit_count(&target->workload);
    uint64_t usual = target->unit == 1 ? 16 : TX_DEPTH;
    if (target->sqlite)
        usual = target->unit == 1 ? 256 : TX_DEPTH_SQLITE;
    target->connections = options->connections ? options->connections : target->sqlite ? 2 : 8;
    target->depth = options->depth ? options->depth : exclusive ? 1 : usual;
    if (target->connections * target->depth * target->unit > QUERIES_MAX)
        return cli_wrong("bench", "-c %" PRIu64 " -d %" PRIu64 "%s: at most %d queries can be in flight",
                         target->connections, target->depth, target->unit > 1 ? ", with transactions" : "",
                         QUERIES_MAX);
    return CLI_EXIT_OK;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/*
 * A connection takes a descriptor, and most systems begin with 1024 of them for the sake of select(2), of which a benchmark
 * makes no use. Where the limit can't be raised the connections that are missing are reported.
 */
static void target_raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int target_open_url(struct cli_target *target) {
    target_raise_file_limit();
    bool exclusive = cli_workload_is_exclusive(&target->workload);
    uint32_t connections = (uint32_t)target->connections;
    uint64_t depth = target->unit > 1 ? target->depth * (target->unit + 1) : target->depth; /* BEGIN takes a place */
    quring_options options = {
        .query_count = (uint32_t)(target->connections * target->depth * target->unit) +
                       16, /* -i fills with several in flight at any depth */
        .inflight_bytes = (uint64_t)1 << 30,
        .connection_count = connections + exclusive, /* one more fills and looks */
        .gather_ns = target->options->gather_us * 1000,
    };
    quring_db_options db_options = {
        .connection_count = exclusive ? 1 : connections,
        .depth = (uint32_t)(depth < DEPTH_MAX ? depth : DEPTH_MAX),
        .lease_count = exclusive ? 0 : connections,
        .commit = target->options->group ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH,
    };
    if (options.query_count > QUERIES_MAX)
        options.query_count = QUERIES_MAX;
    if (target->options->slow_ms > 0)
        options.trace_count =
            options.query_count < TRACE_MAX / EVENTS_A_QUERY ? EVENTS_A_QUERY * options.query_count : TRACE_MAX;
    return cli_client_open(&target->client, "bench", target->url, &options, &db_options);
}

/*
 * Opens the database. With -i its file is made, too: the library opens only what exists. A URL with parameters is left as it
 * is, since its user may have chosen a mode.
 */
int cli_target_open(struct cli_target *target) {
    char *creating = NULL;
    if (target->options->init && target->sqlite && !strchr(target->url, '?')) {
        if (asprintf(&creating, "%s?mode=rwc", target->url) < 0)
            return cli_no_memory();
        free(target->url);
        target->url = creating;
    }
    return target_open_url(target);
}

/* Opens the clients' own connections, where a script needs them. The engine closes them. */
static int target_open_clients(struct cli_target *target) {
    if (!cli_workload_is_exclusive(&target->workload))
        return CLI_EXIT_OK;
    target->clients = calloc(target->connections, sizeof *target->clients);
    if (!target->clients)
        return cli_no_memory();
    for (uint64_t i = 0; i < target->connections; i++) {
        int error = quring_db_open(target->client.engine, target->client.url, &(quring_db_options){.exclusive = true},
                                   &target->clients[i]);
        if (error < 0) {
            cli_refusal_show(NULL, target->client.engine, error, NULL);
            return CLI_EXIT_FAILED;
        }
    }
    return CLI_EXIT_OK;
}

/* Adds what one handle has, and keeps why it has not all. */
static void target_count_up(struct cli_target *target, const quring_db *db) {
    quring_db_info info;
    if (quring_db_status(db, &info) < 0)
        return;
    target->up_count += info.up_count;
    if (info.up_count < info.wanted_count && *info.message && !*target->why_missing)
        snprintf(target->why_missing, sizeof target->why_missing, "%.300s%s%s%s", info.message,
                 *info.sqlstate ? " (SQLSTATE " : "", info.sqlstate, *info.sqlstate ? ")" : "");
}

static uint64_t target_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void target_warm_handle(quring_db *db, uint64_t end_ns) {
    uint64_t now_ns = target_now_ns();
    if (!cli_stop_wanted())
        quring_db_warm_up(db, now_ns < end_ns ? end_ns - now_ns : 0);
}

/*
 * Waits until all connections are up, WARM_UP_NS at most: the time that connecting takes is no query's latency. A server
 * that allows fewer connections is no failure, but the figures are then those of fewer, which must be said.
 */
static void target_wait_up(struct cli_target *target) {
    uint64_t end_ns = target_now_ns() + WARM_UP_NS;
    target_warm_handle(target->client.db, end_ns);
    for (uint64_t i = 0; target->clients && i < target->connections; i++)
        target_warm_handle(target->clients[i], end_ns);
    target->up_count = target->connections;
    if (target->sqlite)
        return; /* its lanes are more than the readers that were asked for */
    target->up_count = 0;
    for (uint64_t i = 0; target->clients && i < target->connections; i++)
        target_count_up(target, target->clients[i]);
    if (!target->clients)
        target_count_up(target, target->client.db);
    if (target->up_count < target->connections && !cli_stop_wanted())
        cli_error("%" PRIu64 " of %" PRIu64 " connections are up; going on with them%s%s", target->up_count,
                  target->connections, *target->why_missing ? ": " : "", target->why_missing);
}

/* The version goes into the report: figures of two servers are none of one. */
static void target_ask_server(struct cli_target *target) {
    const char *sql = target->sqlite ? "select sqlite_version()" : "select current_setting('server_version')", *version;
    quring_done done;
    if (cli_client_query(&target->client, &(quring_query){.db = target->client.db, .sql = sql}, &done) < 0)
        return;
    if (done.status == QURING_OK && quring_get_text(done.result, 0, 0, &version, NULL) == 0)
        snprintf(target->server, sizeof target->server, "%s %.40s", target->sqlite ? "SQLite" : "PostgreSQL", version);
    quring_release(target->client.engine, done.id);
}

/* The scale of existing tables is known only now, so the scripts are parsed again: :scale is a constant in them. */
static int target_prepare(struct cli_target *target) {
    int64_t scale = (int64_t)target->options->scale;
    int status = CLI_EXIT_OK;
    if (target->options->init)
        status = cli_init_tables(&target->client, target->sqlite, (uint32_t)target->options->scale);
    else if (cli_workload_has_builtin(&target->workload, NULL))
        status =
            cli_init_look(&target->client, target->sqlite, cli_workload_has_builtin(&target->workload, "tpcb"), &scale);
    else
        status = cli_client_execute(&target->client, "select 1"); /* a server that is down is reported here, and once */
    if (status == CLI_EXIT_OK && scale != (int64_t)target->options->scale)
        status = cli_workload_parse(&target->workload, target->sqlite, scale);
    if (status == CLI_EXIT_OK)
        status = cli_workload_prepare(&target->workload, target->client.db);
    if (status == CLI_EXIT_OK)
        status = target_open_clients(target);
    if (status == CLI_EXIT_OK) {
        target_ask_server(target);
        target_wait_up(target);
    }
    return status;
}

int cli_target_prepare(struct cli_target *target) {
    int status = target_prepare(target);
    if (status == CLI_EXIT_OK && cli_stop_wanted())
        status = cli_stop_status();
    target->load.client = &target->client;
    target->load.dbs = target->clients;
    target->load.workload = &target->workload;
    target->load.options.slot_count = (uint32_t)(target->connections * target->depth);
    target->load.options.rate = target->options->rate;
    target->load.options.slow_ms = target->options->slow_ms;
    target->load.options.gathers = target->options->gather_us > 0;
    return status;
}

/* ---- Open -------------------------------------------------------------------------------------------------------- */

bool cli_target_warm_up(struct cli_target *target, double seconds, int *status) {
    struct cli_load *load = &target->load;
    struct cli_load_options options = load->options;
    if (seconds == 0)
        return true;
    load->options.seconds = seconds;
    load->options.query_limit = 0;
    load->options.progress_seconds = 0;
    int warmed = cli_load_run(load);
    load->options = options;
    if (cli_stop_wanted())
        *status = cli_stop_status();
    else if (warmed != CLI_EXIT_OK)
        *status = warmed;
    if (!cli_stop_wanted() && load->figures.unfinished_count > 0)
        cli_error("these were the warm-up's: nothing is measured after it; give --warmup more than a query takes");
    return !cli_stop_wanted() && load->figures.latency.count > 0 && !load->figures.over;
}

void cli_target_close(struct cli_target *target) {
    cli_workload_free(&target->workload); /* its statements belong to the database */
    cli_client_close(&target->client);
    cli_load_free(&target->load);
    free(target->clients);
    free(target->url);
    target->clients = NULL;
    target->url = NULL;
}
