/* SPDX-License-Identifier: MIT
 *
 * Queries of other threads beside queries of the engine's own.
 *
 * What it measures: the CPU time that the engine's thread spends on a query, once when it submits and reaps all of them
 * itself, and once when --threads others do so through inboxes. Why it is fair: one engine, one handle and one statement
 * serve both, in turns; as many are in flight; and each side reads the row of each query. Run it against the null server,
 * on a core of its own (taskset): the engine's thread is the bottleneck then.
 */
#include "bench.h"

#include "quring/quring.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 5, REAP = 64, ACCOUNTS = 100000, THREADS_MAX = 256 };

static const char select_one[] = "select abalance from pgbench_accounts where aid = $1";

static quring_engine *engine;
static quring_db *db;
static quring_statement *statement;
static uint32_t inflight, thread_count, wake_count;
static double round_seconds;
static bool by_handle;

/* Threads wait here between rounds; `busy_count` is of those that are in one. */
static pthread_barrier_t round_begins, round_ends;
static atomic_uint busy_count;
static atomic_uint_fast64_t remote_count;
static atomic_bool stop;

static void check(int error, const char *words, const char *what) {
    if (error < 0)
        bench_die("%s: %s: %s", what, quring_strerror(error), words);
}

static quring_query next_query(struct bench_rng *rng, quring_param *key) {
    *key = quring_int32(bench_rng_key(rng, ACCOUNTS));
    quring_query query = {.db = db, .params = key, .param_count = 1};
    if (by_handle)
        query.statement = statement;
    else
        query.sql = select_one;
    return query;
}

static void read_row(const quring_done *done) {
    int32_t balance;
    if (done->status)
        bench_die("a query ended: %s", done->error->message);
    if (quring_get_int32(done->result, 0, 0, &balance))
        bench_die("%s", quring_result_error(done->result));
}

/* ---- The engine's own ---- */

static uint64_t run_local(struct bench_rng *rng) {
    uint64_t ended = 0, stop_ns = bench_now_ns() + (uint64_t)(round_seconds * 1e9);
    uint32_t out = 0;
    quring_done done[REAP];
    quring_param key;
    for (bool more = true; more || out; more = more && bench_now_ns() < stop_ns) {
        for (; more && out < inflight; out++) {
            quring_query query = next_query(rng, &key);
            check(quring_submit(engine, &query, NULL), quring_errmsg(engine), "quring_submit");
        }
        check(quring_run(engine, 1, QURING_FOREVER), quring_errmsg(engine), "quring_run");
        for (int count; (count = quring_reap(engine, done, REAP)) > 0; out -= (uint32_t)count, ended += (uint64_t)count)
            for (int i = 0; i < count; i++) {
                read_row(&done[i]);
                quring_release(engine, done[i].id);
            }
    }
    return ended;
}

/* ---- Other threads ---- */

static uint64_t run_thread(quring_inbox *inbox, struct bench_rng *rng) {
    uint64_t ended = 0, stop_ns = bench_now_ns() + (uint64_t)(round_seconds * 1e9);
    quring_done done[REAP];
    quring_param key;
    for (bool more = true; more || quring_inbox_pending(inbox); more = more && bench_now_ns() < stop_ns) {
        while (more && quring_inbox_pending(inbox) < inflight / thread_count) {
            quring_query query = next_query(rng, &key);
            check(quring_inbox_submit(inbox, &query, NULL), quring_inbox_errmsg(inbox), "quring_inbox_submit");
        }
        check(quring_inbox_wait(inbox, wake_count, QURING_FOREVER), quring_inbox_errmsg(inbox), "quring_inbox_wait");
        for (int count; (count = quring_inbox_reap(inbox, done, REAP)) > 0; ended += (uint64_t)count)
            for (int i = 0; i < count; i++) {
                read_row(&done[i]);
                quring_inbox_release(inbox, done[i].id);
            }
    }
    return ended;
}

static void *thread_main(void *argument) {
    struct bench_rng rng = {.state = 88172645463325252u + (uintptr_t)argument};
    quring_inbox *inbox;
    const quring_inbox_options options = {.query_count = inflight};
    check(quring_inbox_open(engine, &options, &inbox), quring_errmsg(NULL), "quring_inbox_open");
    while (pthread_barrier_wait(&round_begins), !atomic_load(&stop)) {
        atomic_fetch_add(&remote_count, run_thread(inbox, &rng));
        if (atomic_fetch_sub(&busy_count, 1) == 1)
            quring_wake(engine);
        pthread_barrier_wait(&round_ends);
    }
    quring_inbox_close(inbox);
    return NULL;
}

static uint64_t run_remote(void) {
    atomic_store(&remote_count, 0);
    atomic_store(&busy_count, thread_count);
    pthread_barrier_wait(&round_begins);
    while (atomic_load(&busy_count))
        check(quring_run(engine, 1, QURING_FOREVER), quring_errmsg(engine), "quring_run");
    pthread_barrier_wait(&round_ends);
    return atomic_load(&remote_count);
}

/* ---- All of it ---- */

struct figures {
    double cpu_ns[ROUNDS], rate[ROUNDS]; /* of the engine's thread a query; queries a second */
};

static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void measure(struct figures *figures, int round, bool remote, struct bench_rng *rng) {
    uint64_t start_ns = bench_now_ns(), cpu_start_ns = cpu_ns();
    uint64_t ended = remote ? run_remote() : run_local(rng);
    if (round < 0)
        return;
    figures->cpu_ns[round] = (double)(cpu_ns() - cpu_start_ns) / (double)ended;
    figures->rate[round] = (double)ended * 1e9 / (double)(bench_now_ns() - start_ns);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void report(bool json, struct figures *local, struct figures *remote) {
    double local_ns = median(local->cpu_ns), remote_ns = median(remote->cpu_ns);
    printf(json ? "{\"threads\": %u, \"inflight\": %u, \"local_cpu_ns\": %.0f, \"remote_cpu_ns\": %.0f, "
                  "\"local_per_second\": %.0f, \"remote_per_second\": %.0f, \"ratio\": %.3f}\n"
                : "%u threads, %u queries in flight: %.0f ns of the engine's thread a query of its own, %.0f ns one of "
                  "theirs (%.0f and %.0f queries/s): ratio %.2f\n",
           thread_count, inflight, local_ns, remote_ns, median(local->rate), median(remote->rate),
           remote_ns / local_ns);
}

int main(int argc, char **argv) {
    static pthread_t threads[THREADS_MAX];
    static struct figures local, remote;
    struct bench_args args = BENCH_ARGS;
    struct bench_rng rng = {.state = 88172645463325252u};
    int wanted = 4, wake = 0;
    const struct bench_flag flags[] = {
        {"--threads", BENCH_INT, &wanted, "threads with queries (4)", NULL},
        {"--wake", BENCH_INT, &wake, "completions that a thread sleeps for (half)", NULL},
        {"--prepared", BENCH_BOOL, &by_handle, "name the statement by its handle", NULL},
        {0}};
    args.depth = 64;
    args.seconds = 1;
    bench_args_parse(argc, argv, "queries of other threads; -T is of a round", &args, flags);
    if (wanted < 1 || wanted > THREADS_MAX)
        bench_die("want 1 to %d threads", THREADS_MAX);
    thread_count = (uint32_t)wanted;
    inflight = (uint32_t)(args.connections * args.depth);
    if (inflight < thread_count)
        bench_die("want a query in flight a thread at least");
    wake_count = wake > 0 ? (uint32_t)wake : (inflight / thread_count + 1) / 2;
    round_seconds = args.seconds;

    quring_db_options options = {.connection_count = (uint32_t)args.connections, .depth = (uint32_t)args.depth};
    const quring_options engine_options = {.query_count = inflight};
    check(quring_engine_open(&engine_options, &engine), quring_errmsg(NULL), "quring_engine_open");
    check(quring_db_open(engine, args.target, &options, &db), quring_errmsg(engine), "quring_db_open");
    check(quring_prepare(db, select_one, &statement), quring_errmsg(engine), "quring_prepare");
    if (quring_db_warm_up(db, 5000000000u) != 0)
        bench_die("not all connections came up: %s", quring_errmsg(engine));
    pthread_barrier_init(&round_begins, NULL, thread_count + 1);
    pthread_barrier_init(&round_ends, NULL, thread_count + 1);
    for (uint32_t i = 0; i < thread_count; i++)
        if (pthread_create(&threads[i], NULL, thread_main, (void *)(uintptr_t)i))
            bench_die("no thread");
    for (int round = -1; round < ROUNDS; round++) { /* the first one warms up */
        bool remote_first = round % 2 != 0;
        measure(remote_first ? &remote : &local, round, remote_first, &rng);
        measure(remote_first ? &local : &remote, round, !remote_first, &rng);
    }
    atomic_store(&stop, true);
    pthread_barrier_wait(&round_begins);
    for (uint32_t i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    report(args.json, &local, &remote);
    quring_engine_close(engine);
    return 0;
}
