/* SPDX-License-Identifier: MIT */
/* `quring bench`: its options, and its steps: open, measure, report. */
#include "cli/bench/init.h"
#include "cli/bench/report.h"
#include "cli/bench/target.h"
#include "cli/cli.h"
#include "cli/common/options.h"
#include "cli/common/say.h"
#include "cli/common/stop.h"
#include "cli/common/text.h"
#include "cli/common/url.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
enum { CONNECTIONS_MAX = 10000, DEPTH_MAX = 65535 };

static const char *const COMMIT_NAMES[] = {"each", "group", NULL};

struct bench {
    struct cli_target_options target_options;
    bool json, scaled;
    uint64_t queries;
    double seconds, warmup, progress;
    int commit; /* in COMMIT_NAMES */
    char *url;  /* of the library; NULL: embedded */
    struct cli_workload workload;
    struct cli_target *target;
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
        ok = cli_option_count("bench", "-s", optarg, 1, CLI_SCALE_MAX, &b->target_options.scale);
        break;
    case 'c':
        ok = cli_option_count("bench", "-c", optarg, 1, CONNECTIONS_MAX, &b->target_options.connections);
        break;
    case 'd':
        ok = cli_option_count("bench", "-d", optarg, 1, DEPTH_MAX, &b->target_options.depth);
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
        ok = cli_option_real("bench", "-R", optarg, 0.001, 1e9, &b->target_options.rate);
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
        b->target_options.init = true;
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
    b->target_options.init |= !b->url;
    b->target_options.group = b->commit > 0;
    if (b->workload.count == 0 && cli_workload_add(&b->workload, "select", true) != CLI_EXIT_OK)
        return CLI_EXIT_FAILED;
    if (b->seconds > 0 && b->queries > 0)
        return cli_wrong("bench", "give -T or -n, not both");
    if (b->seconds == 0 && b->queries == 0)
        b->seconds = 5;
    if (b->scaled && !b->target_options.init && cli_workload_has_builtin(&b->workload, NULL))
        return cli_wrong("bench", "-s goes with -i: the scale of tables that are there is read from them");
    return CLI_EXIT_OK;
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

static struct cli_report bench_make_report(const struct bench *b, const struct cli_target *target) {
    return (struct cli_report){
        .backend = quring_db_backend(target->client.db),
        .server = target->server,
        .workload = &target->workload,
        .connections = (uint32_t)target->connections,
        .depth = (uint32_t)target->depth,
        .exclusive = target->clients != NULL,
        .commit = COMMIT_NAMES[b->commit],
        .rate = b->target_options.rate,
        .warmup_seconds = b->warmup,
        /* The live line is for a person who waits: where standard error is no terminal, lines come with -P alone. */
        .live = b->progress == 0 && isatty(STDERR_FILENO),
        .total_seconds = b->seconds,
        .total_queries = b->queries,
    };
}

/* Measures for a while, with progress. The figures are the load's. */
static int bench_measure(const struct bench *b, struct cli_load *load, struct cli_report *report) {
    load->options.seconds = report->total_seconds;
    load->options.query_limit = report->total_queries;
    load->options.progress_seconds = report->live ? 0.2 : b->progress;
    load->on_progress = cli_report_progress;
    load->arg = report;
    report->last_seconds = 0;
    cli_error_wipes_line(report->live);
    int status = cli_load_run(load);
    cli_error_wipes_line(false);
    cli_report_progress_end(report);
    return status;
}

static int bench_one(struct bench *b) {
    struct cli_target *target = b->target;
    struct cli_report report = bench_make_report(b, target);
    int status = CLI_EXIT_OK;
    if (!cli_target_warm_up(target, b->warmup, &status))
        return status;
    int measured = bench_measure(b, &target->load, &report);
    if (b->json)
        cli_report_json(&b->out, &report, &target->load.figures);
    else
        cli_report_summary(&b->out, &report, &target->load.figures, cli_text_is_utf8());
    return measured != CLI_EXIT_OK ? measured : status;
}

/* The temporary database is removed last, and by the signal handler at a second Ctrl-C, whatever failed before. */
static int bench_run(struct bench *b) {
    char url[PATH_MAX + 16] = "sqlite:///";
    int status = bench_settle_options(b);
    if (status != CLI_EXIT_OK)
        return status;
    bool embedded = !b->url;
    if (embedded)
        b->url = strdup(url);
    b->target = calloc(1, sizeof *b->target); /* too large for the stack */
    if (!b->target || !b->url)
        return cli_no_memory();
    status = cli_target_settle(b->target, &b->target_options, &b->workload, b->url);
    b->url = NULL;
    cli_stop_catch();
    if (status == CLI_EXIT_OK && embedded) {
        free(b->target->url);
        status = cli_temporary_make(url, sizeof url) < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
        b->target->url = strdup(url);
        if (!b->target->url)
            status = cli_no_memory();
    }
    if (status == CLI_EXIT_OK)
        status = cli_target_open(b->target);
    if (status == CLI_EXIT_OK)
        status = bench_one(b);
    cli_target_close(b->target);
    cli_temporary_remove();
    return status;
}

int cli_bench(int argc, char **argv) {
    struct bench *b = calloc(1, sizeof *b);
    if (!b)
        return cli_no_memory();
    b->target_options.scale = 1;
    cli_out_init(&b->out, STDOUT_FILENO);
    int status = bench_parse(b, argc, argv);
    if (status == CLI_EXIT_OK)
        status = bench_run(b);
    cli_workload_free(&b->workload);
    free(b->target);
    free(b->url);
    status = cli_finish(&b->out, status < 0 ? CLI_EXIT_OK : status);
    free(b);
    return status;
}
