/* SPDX-License-Identifier: MIT */
/* `quring bench`: its options, and its steps: open, fill, prepare, measure, report. */
#include "cli/bench/init.h"
#include "cli/bench/load.h"
#include "cli/bench/report.h"
#include "cli/cli.h"
#include "cli/common/client.h"
#include "cli/common/failure.h"
#include "cli/common/options.h"
#include "cli/common/say.h"
#include "cli/common/stop.h"
#include "cli/common/text.h"
#include "cli/common/url.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char HELP[] =
    "usage: quring bench [URL] [options]\n"
    "\n"
    "Measures the throughput and latency of one thread. Without a URL: on an embedded SQLite database\n"
    "that it makes in a temporary directory, fills, and removes at the end. The URL is one of those\n"
    "that `quring run` takes, or the name of an SQLite file. DATABASE_URL is not looked at, since a\n"
    "benchmark makes and changes tables.\n"
    "\n"
    "  -b, --builtin NAME[@WEIGHT]   select   one account by its key                      (default)\n"
    "                                update   one account's balance\n"
    "                                tpcb     pgbench's transaction, as one statement: WITH on\n"
    "                                         PostgreSQL, a view's trigger on SQLite\n"
    "                                select-only, simple-update, tpcb-like\n"
    "                                         pgbench's scripts of these names: the last two have a\n"
    "                                         transaction of several statements\n"
    "  -f, --file SCRIPT[@WEIGHT]    a pgbench script: \\set x random(a, b), statements with :x\n"
    "                                Several -b and -f run as often as their weights say (1).\n"
    "  -i, --init                    make and fill pgbench's tables first; replaces those there are\n"
    "  -s, --scale N                 with -i: 100000 x N accounts; with -f: the value of :scale   (1)\n"
    "  -c, --connections N           connections (PostgreSQL: 8) or reader lanes (SQLite: 2)\n"
    "  -d, --depth N                 queries in flight per connection (PostgreSQL: 16, SQLite: 256)\n"
    "  -T, --time S                  for S seconds (5) …\n"
    "  -n, --queries N               … or until N queries were sent\n"
    "      --warmup S                run for S seconds first, which no figure counts\n"
    "  -R, --rate QPS                open loop: queries start by a schedule (random, QPS on average), and\n"
    "                                latency counts from there. Without it: as fast as they end\n"
    "      --commit each|group       each: every query commits alone; group: queries in flight may\n"
    "                                share a transaction, and are answered once it committed  (each)\n"
    "                                On PostgreSQL groups of writers that want the same rows deadlock,\n"
    "                                as tpcb's do at scales over 1\n"
    "  -P, --progress S              a line every S seconds. Without it: a live line on a terminal\n"
    "      --json                    one JSON object on standard output\n"
    "  -h, --help\n"
    "\n"
    "Scripts: \\set takes + - * / % and abs double exp greatest int least ln max min mod pi pow power\n"
    "random random_exponential random_gaussian random_zipfian sqrt, over integers and doubles; :scale\n"
    "and :client_id are set. :x in a statement is sent as a parameter. A script's statements run one\n"
    "after the other, each a query of its own, on connections that all scripts share. Where one of the\n"
    "scripts has BEGIN, SET or the like, each of the -c clients has a connection of its own, as in\n"
    "pgbench, with one statement in flight (-d 1). A transaction that has begun is brought to its end\n"
    "when the time is over; one whose statement failed is rolled back. Runs are whole scripts.\n"
    "\n"
    "Figures: latency is what a query took from its submission (with -R: its scheduled start) to the\n"
    "batch of completions it came in. CPU time is this process's, all of its threads; for SQLite that\n"
    "includes the database. Failures are counted by SQLSTATE, or status where there is none. Ctrl-C\n"
    "ends early with the figures so far; a second one ends at once. Exit status: 0; 1 when a query\n"
    "failed; 2 for wrong usage.\n";

/* Limits of the library, so that a message names the option of the tool that goes over one. */
enum { CONNECTIONS_MAX = 10000, DEPTH_MAX = 65535, QUERIES_MAX = 1048576 };
enum { WARM_UP_MS = 3000 };

static const char *const COMMIT_NAMES[] = {"each", "group", NULL};

struct bench {
    char *url; /* of the library; must stay until the client is closed */
    bool sqlite, embedded, init, json, scaled;
    uint64_t connections, depth, scale, queries;
    double seconds, warmup, rate, progress;
    int commit; /* in COMMIT_NAMES */
    struct cli_workload workload;
    struct cli_client client;
    quring_db **clients; /* exclusive handles, for scripts that need them */
    char server[64];     /* its version */
    struct cli_out out;
};

/* ---- Options ----------------------------------------------------------------------------------------------------- */

enum { OPTION_COMMIT = 256, OPTION_SYNC, OPTION_JSON, OPTION_WARMUP };

static int bench_take_number(struct bench *b, int option) {
    static const double YEAR_SECONDS = 31536000;
    bool ok;
    switch (option) {
    case 's':
        b->scaled = true;
        ok = cli_option_count("bench", "-s", optarg, 1, CLI_SCALE_MAX, &b->scale);
        break;
    case 'c':
        ok = cli_option_count("bench", "-c", optarg, 1, CONNECTIONS_MAX, &b->connections);
        break;
    case 'd':
        ok = cli_option_count("bench", "-d", optarg, 1, DEPTH_MAX, &b->depth);
        break;
    case 'n':
        ok = cli_option_count("bench", "-n", optarg, 1, UINT64_MAX / 2, &b->queries);
        break;
    case 'T':
        ok = cli_option_real("bench", "-T", optarg, 0.001, YEAR_SECONDS, &b->seconds);
        break;
    case OPTION_WARMUP:
        ok = cli_option_real("bench", "--warmup", optarg, 0.001, YEAR_SECONDS, &b->warmup);
        break;
    case 'R':
        ok = cli_option_real("bench", "-R", optarg, 0.001, 1e9, &b->rate);
        break;
    default:
        ok = cli_option_real("bench", "-P", optarg, 0.01, YEAR_SECONDS, &b->progress);
        break;
    }
    return ok ? CLI_EXIT_OK : CLI_EXIT_USAGE;
}

static int bench_take_option(struct bench *b, int option) {
    switch (option) {
    case 'b':
    case 'f':
        return cli_workload_add(&b->workload, optarg, option == 'b');
    case 'i':
        b->init = true;
        return CLI_EXIT_OK;
    case OPTION_COMMIT:
        return cli_option_word("bench", "--commit", optarg, COMMIT_NAMES, &b->commit) ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    case OPTION_SYNC:
        return cli_wrong("bench", "--sync is called --commit: write --commit each or --commit group");
    case OPTION_JSON:
        b->json = true;
        return CLI_EXIT_OK;
    case 'h':
        cli_out_text(&b->out, HELP);
        return -1;
    case '?':
        return CLI_EXIT_USAGE;
    default:
        return bench_take_number(b, option);
    }
}

static int bench_parse(struct bench *b, int argc, char **argv) {
    static const struct option table[] = {
        {"builtin", required_argument, NULL, 'b'},
        {"file", required_argument, NULL, 'f'},
        {"init", no_argument, NULL, 'i'},
        {"scale", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"time", required_argument, NULL, 'T'},
        {"queries", required_argument, NULL, 'n'},
        {"warmup", required_argument, NULL, OPTION_WARMUP},
        {"rate", required_argument, NULL, 'R'},
        {"commit", required_argument, NULL, OPTION_COMMIT},
        {"sync", optional_argument, NULL, OPTION_SYNC},
        {"progress", required_argument, NULL, 'P'},
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, status = CLI_EXIT_OK;
    while (status == CLI_EXIT_OK && (option = cli_option_next(argc, argv, ":b:f:is:c:d:T:n:R:P:h", table)) != -1)
        status = bench_take_option(b, option);
    if (status != CLI_EXIT_OK)
        return status;
    if (optind + 1 < argc)
        return cli_wrong("bench", "%s: one URL only", argv[optind + 1]);
    if (optind == argc)
        return CLI_EXIT_OK;
    b->url = cli_url_resolve(argv[optind]);
    return b->url ? CLI_EXIT_OK : cli_no_memory();
}

/* Fills in the defaults, and refuses options that contradict each other. */
static int bench_settle_options(struct bench *b) {
    b->embedded = !b->url;
    b->init |= b->embedded;
    b->sqlite = b->embedded || cli_client_url_is_sqlite(b->url);
    if (b->workload.count == 0 && cli_workload_add(&b->workload, "select", true) != CLI_EXIT_OK)
        return CLI_EXIT_FAILED;
    if (b->seconds > 0 && b->queries > 0)
        return cli_wrong("bench", "give -T or -n, not both");
    if (b->seconds == 0 && b->queries == 0)
        b->seconds = 5;
    if (b->scaled && !b->init && cli_workload_has_builtin(&b->workload, NULL))
        return cli_wrong("bench", "-s goes with -i: the scale of tables that are there is read from them");
    int status = cli_workload_parse(&b->workload, b->sqlite, (int64_t)b->scale);
    if (status != CLI_EXIT_OK)
        return status;
    bool exclusive = cli_workload_is_exclusive(&b->workload);
    if (exclusive && (b->depth > 1 || b->commit > 0))
        return cli_wrong("bench", "a script with transactions has connections of its own: leave out %s",
                         b->depth > 1 ? "-d, or say -d 1" : "--commit");
    if (!b->connections)
        b->connections = b->sqlite ? 2 : 8;
    if (!b->depth)
        b->depth = exclusive ? 1 : b->sqlite ? 256 : 16;
    if (b->connections * b->depth > QUERIES_MAX)
        return cli_wrong("bench", "-c %" PRIu64 " -d %" PRIu64 ": at most %d queries can be in flight", b->connections,
                         b->depth, QUERIES_MAX);
    return CLI_EXIT_OK;
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

static int bench_open_url(struct bench *b) {
    bool exclusive = cli_workload_is_exclusive(&b->workload);
    uint32_t connections = (uint32_t)b->connections;
    quring_options options = {
        .query_count = (uint32_t)(b->connections * b->depth) + 16, /* -i fills with several in flight at any depth */
        .inflight_bytes = (uint64_t)1 << 30,
        .connection_count = connections + exclusive, /* one more fills and looks */
    };
    quring_db_options db_options = {
        .connection_count = exclusive ? 1 : connections,
        .depth = (uint32_t)b->depth,
        .commit = b->commit == 0 ? QURING_COMMIT_EACH : QURING_COMMIT_GROUP,
    };
    if (options.query_count > QUERIES_MAX)
        options.query_count = QUERIES_MAX;
    return cli_client_open(&b->client, "bench", b->url, &options, &db_options);
}

/*
 * Opens the database. With -i its file is made, too: the library opens only what exists. A URL with parameters is left as it
 * is, since its user may have chosen a mode.
 */
static int bench_open(struct bench *b) {
    char *creating = NULL;
    if (b->init && b->sqlite && !strchr(b->url, '?')) {
        if (asprintf(&creating, "%s?mode=rwc", b->url) < 0)
            return cli_no_memory();
        free(b->url);
        b->url = creating;
    }
    return bench_open_url(b);
}

/*
 * Waits until all connections are up, WARM_UP_MS at most: the time that connecting takes is no query's latency. A server
 * that allows fewer connections is no failure, but the figures are then those of fewer, which must be said.
 */
static void bench_warm_up(struct bench *b) {
    quring_stats stats = {0};
    for (int ms = 0; ms < WARM_UP_MS && !b->sqlite && !cli_stop_wanted(); ms++) {
        quring_run(b->client.engine, 0, 0);
        quring_stats_get(b->client.engine, &stats);
        if (stats.connection_count >= b->connections + (b->clients != NULL))
            return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (!b->sqlite && !cli_stop_wanted())
        cli_error("%" PRIu32 " of %" PRIu64 " connections are up; going on with them", stats.connection_count,
                  b->connections);
}

/* Opens the clients' own connections, where a script needs them. The engine closes them. */
static int bench_open_clients(struct bench *b) {
    if (!cli_workload_is_exclusive(&b->workload))
        return CLI_EXIT_OK;
    b->clients = calloc(b->connections, sizeof *b->clients);
    if (!b->clients)
        return cli_no_memory();
    for (uint64_t i = 0; i < b->connections; i++) {
        int error =
            quring_db_open(b->client.engine, b->client.url, &(quring_db_options){.exclusive = true}, &b->clients[i]);
        if (error < 0) {
            cli_refusal_show(NULL, b->client.engine, error, NULL);
            return CLI_EXIT_FAILED;
        }
    }
    return CLI_EXIT_OK;
}

/* The version goes into the report: figures of two servers are none of one. */
static void bench_ask_server(struct bench *b) {
    const char *sql = b->sqlite ? "select sqlite_version()" : "select current_setting('server_version')", *version;
    quring_done done;
    if (cli_client_query(&b->client, &(quring_query){.db = b->client.db, .sql = sql}, &done) < 0)
        return;
    if (done.status == QURING_OK && quring_get_text(done.result, 0, 0, &version, NULL) == 0)
        snprintf(b->server, sizeof b->server, "%s %.40s", b->sqlite ? "SQLite" : "PostgreSQL", version);
    quring_release(b->client.engine, done.id);
}

/* The scale of existing tables is known only now, so the scripts are parsed again: :scale is a constant in them. */
static int bench_prepare(struct bench *b) {
    int64_t scale = (int64_t)b->scale;
    int status = CLI_EXIT_OK;
    if (b->init)
        status = cli_init_tables(&b->client, b->sqlite, (uint32_t)b->scale);
    else if (cli_workload_has_builtin(&b->workload, NULL))
        status = cli_init_look(&b->client, b->sqlite, cli_workload_has_builtin(&b->workload, "tpcb"), &scale);
    else
        status = cli_client_execute(&b->client, "select 1"); /* a server that is down is reported here, and once */
    if (status == CLI_EXIT_OK && scale != (int64_t)b->scale)
        status = cli_workload_parse(&b->workload, b->sqlite, scale);
    if (status == CLI_EXIT_OK)
        status = cli_workload_prepare(&b->workload, b->client.db);
    if (status == CLI_EXIT_OK)
        status = bench_open_clients(b);
    if (status == CLI_EXIT_OK) {
        bench_ask_server(b);
        bench_warm_up(b);
    }
    return status;
}

/*
 * Runs the load before it is measured: statements are then prepared, and caches filled. Returns false when there is nothing
 * to measure, since nothing succeeded or the user wants to stop; failures alone show in *status.
 */
static bool bench_run_warmup(const struct bench *b, struct cli_load *load, int *status) {
    struct cli_load_options options = load->options;
    if (b->warmup == 0)
        return true;
    load->options.seconds = b->warmup;
    load->options.query_limit = 0;
    load->options.progress_seconds = 0;
    *status = cli_load_run(load);
    load->options = options;
    if (cli_stop_wanted())
        *status = cli_stop_status();
    return !cli_stop_wanted() && load->figures.latency.count > 0;
}

/* The live line is for a person who waits: where standard error is a file or a pipe, lines come with -P alone. */
static int bench_measure(struct bench *b) {
    bool live = b->progress == 0 && isatty(STDERR_FILENO);
    struct cli_report report = {
        .backend = quring_db_backend(b->client.db),
        .server = b->server,
        .workload = &b->workload,
        .connections = (uint32_t)b->connections,
        .depth = (uint32_t)b->depth,
        .exclusive = b->clients != NULL,
        .commit = COMMIT_NAMES[b->commit],
        .rate = b->rate,
        .warmup_seconds = b->warmup,
        .live = live,
        .total_seconds = b->seconds,
        .total_queries = b->queries,
    };
    struct cli_load *load = calloc(1, sizeof *load); /* too large for the stack */
    if (!load)
        return cli_no_memory();
    load->options = (struct cli_load_options){
        .slot_count = (uint32_t)(b->connections * b->depth),
        .seconds = b->seconds,
        .query_limit = b->queries,
        .rate = b->rate,
        .progress_seconds = live ? 0.2 : b->progress,
    };
    load->client = &b->client;
    load->dbs = b->clients;
    load->workload = &b->workload;
    load->on_progress = cli_report_progress;
    load->arg = &report;

    int status = CLI_EXIT_OK;
    if (bench_run_warmup(b, load, &status)) {
        cli_error_wipes_line(live);
        int measured = cli_load_run(load);
        cli_error_wipes_line(false);
        cli_report_progress_end(&report);
        if (b->json)
            cli_report_json(&b->out, &report, &load->figures);
        else
            cli_report_summary(&b->out, &report, &load->figures, cli_text_is_utf8());
        status = measured != CLI_EXIT_OK ? measured : status;
    }
    cli_load_free(load);
    free(load);
    return status;
}

/* The temporary database is removed last, and by the signal handler at a second Ctrl-C, whatever failed before. */
static int bench_run(struct bench *b) {
    char url[PATH_MAX + 16];
    int status = bench_settle_options(b);
    if (status != CLI_EXIT_OK)
        return status;
    cli_stop_catch();
    if (b->embedded) {
        if (cli_temporary_make(url, sizeof url) < 0)
            return CLI_EXIT_FAILED;
        b->url = strdup(url);
        if (!b->url)
            status = cli_no_memory();
    }
    if (status == CLI_EXIT_OK)
        status = bench_open(b);
    if (status == CLI_EXIT_OK) {
        status = bench_prepare(b);
        if (status == CLI_EXIT_OK && cli_stop_wanted())
            status = cli_stop_status();
        if (status == CLI_EXIT_OK)
            status = bench_measure(b);
        cli_workload_free(&b->workload); /* its statements belong to the database */
        cli_client_close(&b->client);
    }
    cli_temporary_remove();
    return status;
}

int cli_bench(int argc, char **argv) {
    struct bench *b = calloc(1, sizeof *b);
    if (!b)
        return cli_no_memory();
    b->scale = 1;
    cli_out_init(&b->out, STDOUT_FILENO);
    int status = bench_parse(b, argc, argv);
    if (status == CLI_EXIT_OK)
        status = bench_run(b);
    cli_workload_free(&b->workload);
    free(b->clients);
    free(b->url);
    status = cli_finish(&b->out, status < 0 ? CLI_EXIT_OK : status);
    free(b);
    return status;
}
