/* SPDX-License-Identifier: MIT */
/* `quring bench`: its options, and its steps: open, measure, report. */
#include "cli/bench/init.h"
#include "cli/bench/report.h"
#include "cli/bench/target.h"
#include "cli/cli.h"
#include "cli/common/options.h"
#include "cli/common/say.h"
#include "cli/common/secret.h"
#include "cli/common/stop.h"
#include "cli/common/text.h"
#include "cli/common/url.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char HELP_OPTIONS[] =
    "usage: quring bench [URL…] [options]\n"
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
    "  -d, --depth N                 queries in flight per connection (PostgreSQL: 16, SQLite: 256), or\n"
    "                                scripts, where one has a transaction (PostgreSQL: 4, SQLite: 16)\n"
    "  -T, --time S                  for S seconds (5) …\n"
    "  -n, --queries N               … or until N queries were sent, and have ended\n"
    "      --warmup S                run for S seconds first, which no figure counts\n"
    "  -R, --rate QPS                open loop: queries start by a schedule (random, QPS on average), and\n"
    "                                latency counts from there. Without it: as fast as they end\n"
    "      --commit each|group       each: every query commits alone; group: queries in flight may\n"
    "                                share a transaction, and are answered once it committed  (each)\n"
    "                                On PostgreSQL groups of writers that want the same rows deadlock,\n"
    "                                as tpcb's do at scales over 1\n"
    "      --gather US               sleep until half of what is in flight has ended, and up to US\n"
    "                                microseconds longer: less CPU, more latency\n"
    "      --rounds N                with several URLs: each is measured N times, in turns, for its part\n"
    "                                of -T or -n (5); ratios are those of its rounds to the first URL's\n"
    "      --slow MS                 show each query that took longer, from its submission, with its text\n"
    "  -P, --progress S              a line every S seconds. Without it: a live line on a terminal\n"
    "      --json                    one JSON object on standard output\n"
    "  -h, --help\n";

static const char HELP_NOTES[] =
    "\n"
    "Scripts: \\set takes + - * / % and abs double exp greatest int least ln max min mod pi pow power\n"
    "random random_exponential random_gaussian random_zipfian sqrt, over integers and doubles; :scale\n"
    "and :client_id are set. :x in a statement is sent as a parameter. A script's statements run one\n"
    "after the other, each a query of its own, on connections that all scripts share. From BEGIN to\n"
    "END they are a transaction, which is submitted as a whole and takes one round trip. BEGIN is no\n"
    "query of its own there, and a transaction that fails is one failure, with the reason of its first.\n"
    "Where one of the scripts has SET, or a transaction of another kind (AND CHAIN, READ WRITE, without\n"
    "END), each of the -c clients has a connection of its own, as in pgbench, with one statement in\n"
    "flight (-d 1); one that failed is followed by ROLLBACK. A transaction that has begun is brought to\n"
    "its end when the time is over. Runs are whole scripts.\n"
    "\n"
    "Figures: latency is what a query took from its submission (with -R: its scheduled start) to the\n"
    "batch of completions it came in; waits are the part of it before a connection or lane had room,\n"
    "and are known to powers of two. CPU time is this process's, all of its threads; for SQLite that\n"
    "includes the database. Failures are counted by SQLSTATE, or status where there is none. Ctrl-C\n"
    "ends early with the figures so far; a second one ends at once. Queries that are out at the end of\n"
    "-T, or at Ctrl-C, have 10 s to end. Exit status: 0; 1 when a query failed or was given up then;\n"
    "2 for wrong usage; 130 after Ctrl-C with no figures.\n";

/* Limits of the library, so that a message names the option of the tool that goes over one. */
enum { CONNECTIONS_MAX = 10000, DEPTH_MAX = 65535, GATHER_US_MAX = 100000 };

static const char *const COMMIT_NAMES[] = {"each", "group", NULL};

struct bench {
    struct cli_target_options target_options;
    bool json, scaled;
    uint64_t queries;
    double seconds, warmup, progress;
    uint64_t rounds;
    int commit;               /* in COMMIT_NAMES */
    const char *const *names; /* of the databases, as given */
    uint32_t target_count;    /* as many, and 1 without any: embedded */
    struct cli_target **targets;
    struct cli_workload workload;
    struct cli_out out;
};

/* ---- Options ----------------------------------------------------------------------------------------------------- */

enum { OPTION_COMMIT = 256, OPTION_SYNC, OPTION_JSON, OPTION_WARMUP, OPTION_ROUNDS, OPTION_SLOW, OPTION_GATHER };

enum { ROUNDS_MAX = 1000 };

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
    case OPTION_ROUNDS:
        ok = cli_option_count("bench", "--rounds", optarg, 1, ROUNDS_MAX, &b->rounds);
        break;
    case OPTION_WARMUP:
        ok = cli_option_real("bench", "--warmup", optarg, 0.001, YEAR_SECONDS, &b->warmup);
        break;
    case OPTION_GATHER:
        ok = cli_option_count("bench", "--gather", optarg, 1, GATHER_US_MAX, &b->target_options.gather_us);
        break;
    case OPTION_SLOW:
        ok = cli_option_real("bench", "--slow", optarg, 0.001, 1e9, &b->target_options.slow_ms);
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
        cli_out_text(&b->out, HELP_OPTIONS);
        cli_out_text(&b->out, HELP_NOTES);
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
        {"rounds", required_argument, NULL, OPTION_ROUNDS},
        {"warmup", required_argument, NULL, OPTION_WARMUP},
        {"slow", required_argument, NULL, OPTION_SLOW},
        {"gather", required_argument, NULL, OPTION_GATHER},
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
    b->names = (const char *const *)argv + optind;
    b->target_count = optind < argc ? (uint32_t)(argc - optind) : 1;
    b->target_options.init |= optind == argc;
    return CLI_EXIT_OK;
}

/* Fills in the defaults, and refuses options that contradict each other. */
static int bench_settle_options(struct bench *b) {
    b->target_options.group = b->commit > 0;
    if (b->workload.count == 0 && cli_workload_add(&b->workload, "select", true) != CLI_EXIT_OK)
        return CLI_EXIT_FAILED;
    if (b->seconds > 0 && b->queries > 0)
        return cli_wrong("bench", "give -T or -n, not both");
    if (b->seconds == 0 && b->queries == 0)
        b->seconds = 5;
    if (b->rounds && b->target_count == 1)
        return cli_wrong("bench", "--rounds goes with several URLs");
    b->rounds = b->rounds ? b->rounds : 5;
    if (b->target_count > 1 && b->queries > 0 && b->queries < b->rounds)
        return cli_wrong("bench", "-n %" PRIu64 ": fewer queries than rounds", b->queries);
    if (b->scaled && !b->target_options.init && cli_workload_has_builtin(&b->workload, NULL))
        return cli_wrong("bench", "-s goes with -i: the scale of tables that are there is read from them");
    return CLI_EXIT_OK;
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

static struct cli_report bench_make_report(const struct bench *b, const struct cli_target *target) {
    quring_ring_info ring;
    quring_ring_info_get(target->client.engine, &ring);
    return (struct cli_report){
        .backend = quring_db_backend(target->client.db),
        .server = target->server,
        .workload = &target->workload,
        .connections = (uint32_t)target->connections,
        .depth = (uint32_t)target->depth,
        .up_count = (uint32_t)target->up_count,
        .why_missing = target->why_missing,
        .exclusive = target->clients != NULL,
        .commit = COMMIT_NAMES[b->commit],
        .gather_us = b->target_options.gather_us,
        .port = ring.port,
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
    struct cli_target *target = b->targets[0];
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

/* ---- Several ----------------------------------------------------------------------------------------------------- */

struct contest {
    struct cli_compared *all;
    struct cli_load_figures *totals;
    double *qps; /* by round, then by target */
    uint32_t round_count;
};

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Both sides of a ratio are measured within a few seconds, since a machine's speed changes from hour to hour. */
static void contest_take_ratios(const struct bench *b, struct contest *contest) {
    double ratios[ROUNDS_MAX];
    for (uint32_t i = 0; i < b->target_count; i++) {
        struct cli_compared *one = &contest->all[i];
        one->ratio = one->least_ratio = one->greatest_ratio = NAN;
        if (contest->round_count == 0)
            continue;
        for (uint32_t round = 0; round < contest->round_count; round++) {
            const double *qps = contest->qps + (size_t)round * b->target_count;
            ratios[round] = qps[0] > 0 ? qps[i] / qps[0] : 0;
        }
        qsort(ratios, contest->round_count, sizeof *ratios, compare_doubles);
        uint32_t middle = contest->round_count / 2;
        one->ratio = contest->round_count % 2 ? ratios[middle] : (ratios[middle - 1] + ratios[middle]) / 2;
        one->least_ratio = ratios[0];
        one->greatest_ratio = ratios[contest->round_count - 1];
    }
}

static bool contest_round(const struct bench *b, struct contest *contest, int *status) {
    for (uint32_t i = 0; i < b->target_count; i++) {
        struct cli_load *load = &b->targets[i]->load;
        struct cli_report report = contest->all[i].report;
        report.total_seconds = b->seconds / (double)b->rounds;
        report.total_queries = b->queries / b->rounds;
        int measured = bench_measure(b, load, &report);
        *status = measured != CLI_EXIT_OK ? measured : *status;
        cli_load_add(&contest->totals[i], &load->figures, b->workload.count);
        const struct cli_load_figures *figures = &load->figures;
        contest->qps[(size_t)contest->round_count * b->target_count + i] =
            figures->seconds > 0 ? (double)figures->latency.count / figures->seconds : 0;
        if (cli_stop_wanted() || figures->latency.count == 0 || figures->over)
            return false;
    }
    contest->round_count++;
    return true;
}

static int contest_run(struct bench *b, struct contest *contest) {
    int status = CLI_EXIT_OK;
    for (uint32_t i = 0; i < b->target_count; i++) {
        contest->all[i].report = bench_make_report(b, b->targets[i]);
        contest->all[i].figures = &contest->totals[i];
        if (!cli_target_warm_up(b->targets[i], b->warmup, &status))
            return status;
    }
    for (uint64_t round = 0; round < b->rounds; round++)
        if (!contest_round(b, contest, &status))
            break;
    contest_take_ratios(b, contest);
    if (b->json)
        cli_report_compared_json(&b->out, contest->all, b->target_count, contest->round_count);
    else
        cli_report_compared(&b->out, contest->all, b->target_count, contest->round_count, cli_text_is_utf8());
    return status;
}

/* Returns a database's name without its password; NULL when memory ran out. */
static char *bench_harmless_name(const char *name) {
    struct cli_out out;
    cli_out_init(&out, CLI_OUT_MEMORY);
    cli_out_text(&out, name);
    cli_secret_hide(&out);
    cli_out_char(&out, 0);
    if (out.error)
        cli_out_free(&out);
    return out.data;
}

static int bench_several(struct bench *b) {
    size_t count = b->target_count;
    struct contest contest = {
        .all = calloc(count, sizeof *contest.all),
        .totals = calloc(count, sizeof *contest.totals),
        .qps = calloc(count * b->rounds, sizeof *contest.qps),
    };
    bool ok = contest.all && contest.totals && contest.qps;
    for (size_t i = 0; ok && i < count; i++) {
        contest.all[i].name = bench_harmless_name(b->names[i]);
        contest.totals[i].scripts = calloc(b->workload.count, sizeof *contest.totals[i].scripts);
        ok = contest.all[i].name && contest.totals[i].scripts;
    }
    int status = ok ? contest_run(b, &contest) : cli_no_memory();
    for (size_t i = 0; i < count; i++) {
        free(contest.all ? contest.all[i].name : NULL);
        free(contest.totals ? contest.totals[i].scripts : NULL);
    }
    free(contest.all);
    free(contest.totals);
    free(contest.qps);
    return status;
}

/* ---- All --------------------------------------------------------------------------------------------------------- */

/* Settles all targets before any is opened: wrong usage does nothing. */
static int bench_settle_targets(struct bench *b, bool embedded) {
    int status = CLI_EXIT_OK;
    b->targets = calloc(b->target_count, sizeof(struct cli_target *));
    for (uint32_t i = 0; b->targets && i < b->target_count && status == CLI_EXIT_OK; i++) {
        char *url = embedded ? strdup("sqlite:///") : cli_url_resolve(b->names[i]);
        b->targets[i] = url ? calloc(1, sizeof **b->targets) : NULL; /* too large for the stack */
        if (!b->targets[i]) {
            free(url);
            return cli_no_memory();
        }
        status = cli_target_settle(b->targets[i], &b->target_options, &b->workload, url);
    }
    return b->targets ? status : cli_no_memory();
}

static int bench_make_embedded(struct cli_target *target) {
    char url[PATH_MAX + 16];
    if (cli_temporary_make(url, sizeof url) < 0)
        return CLI_EXIT_FAILED;
    free(target->url);
    target->url = strdup(url);
    return target->url ? CLI_EXIT_OK : cli_no_memory();
}

/* The message of a failure need not say which of several databases it was. */
static int bench_do_all(struct bench *b, int (*step)(struct cli_target *target)) {
    int status = CLI_EXIT_OK;
    uint32_t i = 0;
    for (; i < b->target_count && status == CLI_EXIT_OK; i++)
        status = step(b->targets[i]);
    if (status == CLI_EXIT_FAILED && b->target_count > 1 && !cli_stop_wanted())
        cli_error("nothing was measured, because of %s", b->names[i - 1]);
    return status;
}

/* All URLs are known to be good before any database is filled. */
static int bench_run(struct bench *b) {
    bool embedded = !b->names[0];
    int status = bench_settle_options(b);
    if (status == CLI_EXIT_OK)
        status = bench_settle_targets(b, embedded);
    if (status != CLI_EXIT_OK)
        return status;
    cli_stop_catch();
    if (embedded)
        status = bench_make_embedded(b->targets[0]);
    if (status == CLI_EXIT_OK)
        status = bench_do_all(b, cli_target_open);
    if (status == CLI_EXIT_OK)
        status = bench_do_all(b, cli_target_prepare);
    if (status == CLI_EXIT_OK)
        status = b->target_count == 1 ? bench_one(b) : bench_several(b);
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
    for (uint32_t i = 0; b->targets && i < b->target_count; i++) {
        if (b->targets[i])
            cli_target_close(b->targets[i]);
        free(b->targets[i]);
    }
    cli_temporary_remove(); /* also done by the signal handler at a second Ctrl-C */
    free(b->targets);
    cli_workload_free(&b->workload);
    status = cli_finish(&b->out, status < 0 ? CLI_EXIT_OK : status);
    free(b);
    return status;
}
