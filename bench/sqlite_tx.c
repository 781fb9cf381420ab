/* SPDX-License-Identifier: MIT
 *
 * Durable transactions on SQLite: --writes updates each (4), with their BEGIN IMMEDIATE and COMMIT.
 *
 * What it measures: updates a second in transactions of their own, -d of which are in flight. Each is submitted whole, up to
 * its COMMIT; with --leased statement by statement, the next one when the last has ended, as a program does that has to see
 * each outcome. Its peer is `bare_sqlite --update --txn 4` on the same file: the same updates, as many commits. -c does not
 * apply.
 */
#include "bench.h"

#include "quring/quring.h"

#include <stdio.h>

enum { REAP = 256, ACCOUNTS = 100000, WRITES_MAX = 32, IN_FLIGHT_MAX = 4096 };

static const char update[] = "update pgbench_accounts set abalance = abalance + 1 where aid = ?1";

/* One of those in flight. Its place and the step are the user data of its queries. */
struct tx {
    quring_tx *handle;
    uint64_t started_ns;
    uint32_t next; /* the step to submit: a write, from 0, or COMMIT */
};

struct bench {
    struct bench_args args;
    int writes;
    bool leased;
    uint32_t out; /* transactions */
    uint64_t now_ns;
    struct bench_rng rng;
    struct bench_run run;
    quring_engine *engine;
    quring_db *db;
    quring_statement *statement;
    struct tx txs[IN_FLIGHT_MAX];
};

static void check(const struct bench *bench, int error, const char *what) {
    if (error < 0)
        bench_die("%s: %s: %s", what, quring_strerror(error), quring_errmsg(bench->engine));
}

static void open_all(struct bench *bench) {
    char url[4096];
    snprintf(url, sizeof url, "sqlite:///%s", bench->args.target);
    check(bench, quring_engine_open(NULL, &bench->engine), "quring_engine_open");
    check(bench, quring_db_open(bench->engine, url, NULL, &bench->db), "quring_db_open");
    check(bench, quring_prepare(bench->db, update, &bench->statement), "quring_prepare");
    if (quring_db_warm_up(bench->db, 5000000000u) != 0)
        bench_die("the file was not opened: %s", quring_errmsg(bench->engine));
}

static void tx_step(struct bench *bench, struct tx *tx) {
    uint64_t user_data = (uint64_t)(tx - bench->txs) << 8 | tx->next;
    if (tx->next++ == (uint32_t)bench->writes) {
        check(bench, quring_commit(tx->handle, user_data, NULL), "quring_commit");
        quring_tx_release(tx->handle);
        return;
    }
    quring_param key = quring_int32(bench_rng_key(&bench->rng, ACCOUNTS));
    quring_query query = {
        .tx = tx->handle, .statement = bench->statement, .params = &key, .param_count = 1, .user_data = user_data};
    check(bench, quring_submit(bench->engine, &query, NULL), "quring_submit");
}

static void tx_begin(struct bench *bench, struct tx *tx) {
    uint32_t writes = (uint32_t)bench->writes;
    if (bench->run.left < writes)
        return;
    (void)bench_run_take(&bench->run, writes);
    *tx = (struct tx){.started_ns = bench->now_ns};
    check(bench, quring_tx_open(bench->db, NULL, &tx->handle), "quring_tx_open");
    bench->out++;
    do
        tx_step(bench, tx);
    while (!bench->leased && tx->next <= writes);
}

/* The writes of a transaction have ended once it committed; another one has its place then. */
static void tx_ended(struct bench *bench, const quring_done *done) {
    struct tx *tx = &bench->txs[done->user_data >> 8];
    if (done->status)
        bench_die("a query of a transaction ended: %s", done->error->message);
    if ((done->user_data & 0xff) < (uint32_t)bench->writes) {
        if (bench->leased)
            tx_step(bench, tx);
        return;
    }
    bench->run.queries += (uint32_t)bench->writes;
    bench_latency_add(&bench->run.latency, bench->now_ns - tx->started_ns, 1);
    bench->out--;
    tx_begin(bench, tx);
}

static void turn(struct bench *bench) {
    quring_done done[REAP];
    int count;
    check(bench, quring_run(bench->engine, 1, QURING_FOREVER), "quring_run");
    bench->now_ns = bench_now_ns();
    bench_run_tick(&bench->run, bench->now_ns);
    while ((count = quring_reap(bench->engine, done, REAP)) > 0) {
        for (int i = 0; i < count; i++)
            tx_ended(bench, &done[i]);
        check(bench, quring_release_batch(bench->engine, done, (uint32_t)count), "quring_release_batch");
    }
}

int main(int argc, char **argv) {
    static struct bench bench = {.args = BENCH_ARGS, .writes = 4, .rng = {0x9e3779b97f4a7c15u}};
    const struct bench_flag flags[] = {
        {"--writes", BENCH_INT, &bench.writes, "in a transaction (4)", NULL},
        {"--leased", BENCH_BOOL, &bench.leased, "statement by statement, each when the last has ended", NULL},
        {0},
    };
    bench.args.connections = 1;
    bench.args.depth = 64;
    bench_args_parse(argc, argv, "transactions on SQLite; TARGET is a file that bare_sqlite made", &bench.args, flags);
    if (bench.writes < 1 || bench.writes > WRITES_MAX)
        bench_die("--writes must lie between 1 and %d", WRITES_MAX);

    open_all(&bench);
    bench_run_start(&bench.run, &bench.args);
    bench.now_ns = bench.run.start_ns;
    for (int i = 0; i < bench.args.depth; i++)
        tx_begin(&bench, &bench.txs[i]);
    while (bench.out)
        turn(&bench);
    bench_run_finish(&bench.run);
    char commit[32];
    snprintf(commit, sizeof commit, "every %d, %s", bench.writes, bench.leased ? "leased" : "whole");
    bench_report(&bench.args, &bench.run, &(struct bench_label){"quring", "update", commit});
    quring_engine_close(bench.engine);
    return 0;
}
