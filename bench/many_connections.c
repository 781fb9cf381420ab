/* SPDX-License-Identifier: MIT
 *
 * Many connections of one engine, most of them idle.
 *
 * What it measures: how long -c connections take to come up, the resident memory that each of them holds while nothing is
 * asked of it, and the throughput of --inflight queries over all of them beside as many queries over as many connections.
 * Why it is fair: both handles are open at once, in engines of their own, and take turns; one process pays for both. Against
 * the null server it is the client's cost, against PostgreSQL that of its idle back ends, too (max_connections).
 */
#include "bench.h"

#include "quring/quring.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROUNDS = 5, REAP = 64, ACCOUNTS = 100000 };

static const char select_one[] = "select abalance from pgbench_accounts where aid = $1";

struct pool {
    quring_engine *engine;
    quring_db *db;
    quring_statement *statement;
    uint64_t submitted, ended;
    double rates[ROUNDS]; /* queries a second */
};

static void check(const struct pool *pool, int error, const char *what) {
    if (error < 0)
        bench_die("%s: %s: %s", what, quring_strerror(error), pool->engine ? quring_errmsg(pool->engine) : "");
}

/* ---- One pool ---- */

static uint64_t resident_bytes(void) {
    unsigned long long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%llu %llu", &all, &resident) != 2)
        bench_die("/proc/self/statm cannot be read");
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t connections_up(const struct pool *pool) {
    quring_stats stats;
    quring_stats_get(pool->engine, &stats);
    return stats.connection_count;
}

/* Opens it, and waits until all of its connections are up. Returns the seconds that took. */
static double pool_open(struct pool *pool, const char *url, uint32_t connections) {
    uint64_t start_ns = bench_now_ns();
    quring_options engine = {.connection_count = connections};
    quring_db_options options = {.connection_count = connections};
    check(pool, quring_engine_open(&engine, &pool->engine), "quring_engine_open");
    check(pool, quring_db_open(pool->engine, url, &options, &pool->db), "quring_db_open");
    while (connections_up(pool) < connections) {
        check(pool, quring_run(pool->engine, 1, 10000000), "quring_run");
        quring_stats stats;
        quring_stats_get(pool->engine, &stats);
        if (stats.connect_failure_count)
            bench_die("%" PRIu64 " of %u connections are up, and one was refused", (uint64_t)stats.connection_count,
                      connections);
    }
    return (double)(bench_now_ns() - start_ns) / 1e9;
}

static void pool_submit(struct pool *pool, struct bench_rng *rng) {
    quring_param key = quring_int32(bench_rng_key(rng, ACCOUNTS));
    quring_query query = {.db = pool->db, .statement = pool->statement, .params = &key, .param_count = 1};
    check(pool, quring_submit(pool->engine, &query, NULL), "quring_submit");
    pool->submitted++;
}

static void pool_reap(struct pool *pool) {
    quring_done done[REAP];
    check(pool, quring_run(pool->engine, 1, QURING_FOREVER), "quring_run");
    int count = quring_reap(pool->engine, done, REAP);
    for (int i = 0; i < count; i++) {
        if (done[i].status)
            bench_die("a query ended: %s", done[i].error->message);
        quring_release(pool->engine, done[i].id);
    }
    pool->ended += (uint64_t)count;
}

/* Queries a second, with so many in flight, over so many seconds. */
static double pool_measure(struct pool *pool, uint32_t inflight, double seconds, struct bench_rng *rng) {
    uint64_t start_ns = bench_now_ns(), stop_ns = start_ns + (uint64_t)(seconds * 1e9), before = pool->ended;
    while (bench_now_ns() < stop_ns) {
        while (pool->submitted - pool->ended < inflight)
            pool_submit(pool, rng);
        pool_reap(pool);
    }
    double rate = (double)(pool->ended - before) * 1e9 / (double)(bench_now_ns() - start_ns);
    while (pool->ended < pool->submitted)
        pool_reap(pool);
    return rate;
}

/* ---- All of it ---- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const struct pool *pool) {
    double sorted[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        sorted[i] = pool->rates[i];
    qsort(sorted, ROUNDS, sizeof *sorted, compare);
    return sorted[ROUNDS / 2];
}

static void measure(struct pool *few, struct pool *many, uint32_t inflight, double seconds) {
    struct bench_rng rng = {.state = 88172645463325252u};
    for (int round = -1; round < ROUNDS; round++) { /* the first one warms up */
        double rate = pool_measure(few, inflight, seconds, &rng), beside = pool_measure(many, inflight, seconds, &rng);
        if (round >= 0) {
            few->rates[round] = rate;
            many->rates[round] = beside;
        }
    }
}

int main(int argc, char **argv) {
    struct bench_args args = BENCH_ARGS;
    int inflight = 64;
    const struct bench_flag flags[] = {{"--inflight", BENCH_INT, &inflight, "queries in flight in all (64)", NULL},
                                       {0}};
    args.connections = 5000;
    args.seconds = 1;
    bench_args_parse(argc, argv, "many connections, most of them idle; -d does not apply, -T is of a round", &args,
                     flags);
    if (args.connections < 2 || inflight < 1)
        bench_die("want two connections and one query in flight at least");

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct pool few = {0}, many = {0};
    (void)pool_open(&few, args.target, (uint32_t)inflight); /* before the memory is looked at: libpq's own is in it */
    uint64_t before = resident_bytes();
    double up_s = pool_open(&many, args.target, (uint32_t)args.connections);
    uint64_t after = resident_bytes();
    double idle_bytes = after > before ? (double)(after - before) / args.connections : 0;
    check(&few, quring_prepare(few.db, select_one, &few.statement), "quring_prepare");
    check(&many, quring_prepare(many.db, select_one, &many.statement), "quring_prepare");
    measure(&few, &many, (uint32_t)inflight, args.seconds);

    printf(args.json ? "{\"connections\": %d, \"up_seconds\": %.3f, \"idle_bytes\": %.0f, \"inflight\": %d, "
                       "\"few_per_second\": %.0f, \"many_per_second\": %.0f, \"ratio\": %.3f}\n"
                     : "%d connections up in %.2f s, %.0f bytes each while idle; with %d in flight over as many "
                       "connections %.0f queries/s, over all %.0f: ratio %.2f\n",
           args.connections, up_s, idle_bytes, inflight, median(&few), median(&many), median(&many) / median(&few));
    quring_engine_close(few.engine);
    quring_engine_close(many.engine);
    return 0;
}
