/* SPDX-License-Identifier: MIT
 *
 * Batches of inserts that commit all together or not at all, by quring_submit_batch().
 *
 * What it measures: rows a second into pgbench_history, and the client's CPU for them, in ATOMIC batches of --batch rows.
 * Its peer is `libpq_epoll --batch`: the same rows by the same statement and binary parameters, as many transactions in
 * flight, and as many behind each other on a connection. With --wait the program sleeps until so many rows have ended, and
 * fills the connections up together; --gather is how late it may see that.
 */
#include "bench.h"

#include "quring/quring.h"

enum { REAP = 256, BATCH_MAX = 1024, ACCOUNTS = 100000 };

static const char insert[] =
    "insert into pgbench_history(tid, bid, aid, delta, mtime) values ($1, $2, $3, $4, current_timestamp)";

struct bench {
    struct bench_args args;
    int batch; /* rows */
    int wait;  /* completions that quring_run() waits for */
    int gather_us;
    uint32_t out;
    uint64_t now_ns;
    struct bench_rng rng;
    struct bench_run run;
    quring_engine *engine;
    quring_db *db;
    quring_statement *statement;
};

static void check(const struct bench *bench, int error, const char *what) {
    if (error < 0)
        bench_die("%s: %s: %s", what, quring_strerror(error), quring_errmsg(bench->engine));
}

static void open_all(struct bench *bench) {
    uint32_t connections = (uint32_t)bench->args.connections, depth = (uint32_t)bench->args.depth;
    quring_db_options options = {.connection_count = connections, .depth = depth};
    quring_options engine = {.query_count = connections * depth, .gather_ns = (uint64_t)bench->gather_us * 1000};
    check(bench, quring_engine_open(&engine, &bench->engine), "quring_engine_open");
    check(bench, quring_db_open(bench->engine, bench->args.target, &options, &bench->db), "quring_db_open");
    check(bench, quring_prepare(bench->db, insert, &bench->statement), "quring_prepare");
    if (quring_db_warm_up(bench->db, 30000000000u) != 0)
        bench_die("not all connections came up: %s", quring_errmsg(bench->engine));
}

static void submit_batch(struct bench *bench) {
    quring_query queries[BATCH_MAX];
    quring_param rows[BATCH_MAX][4];
    int count = bench->batch;
    for (int i = 0; i < count; i++) {
        quring_param *row = rows[i];
        row[0] = row[1] = row[3] = quring_int32(1);
        row[2] = quring_int32(bench_rng_key(&bench->rng, ACCOUNTS));
        queries[i] = (quring_query){.db = bench->db,
                                    .statement = bench->statement,
                                    .params = row,
                                    .param_count = 4,
                                    .user_data = bench->now_ns};
    }
    check(bench, quring_submit_batch(bench->engine, queries, (uint32_t)count, QURING_BATCH_ATOMIC, NULL),
          "quring_submit_batch");
    bench->out += (uint32_t)count;
}

static void fill(struct bench *bench) {
    uint32_t batch = (uint32_t)bench->batch, room = (uint32_t)(bench->args.connections * bench->args.depth);
    while (bench->out + batch <= room && bench->run.left >= batch) {
        (void)bench_run_take(&bench->run, batch);
        submit_batch(bench);
    }
}

static void reap(struct bench *bench) {
    quring_done done[REAP];
    int count;
    while ((count = quring_reap(bench->engine, done, REAP)) > 0) {
        for (int i = 0; i < count; i++) {
            if (done[i].status)
                bench_die("an insert ended: %s", done[i].error->message);
            bench_latency_add(&bench->run.latency, bench->now_ns - done[i].user_data, 1);
        }
        check(bench, quring_release_batch(bench->engine, done, (uint32_t)count), "quring_release_batch");
        bench->run.queries += (uint32_t)count;
        bench->out -= (uint32_t)count;
    }
}

static uint64_t enter_count(const struct bench *bench) {
    quring_stats stats;
    quring_stats_get(bench->engine, &stats);
    return stats.enter_count;
}

int main(int argc, char **argv) {
    static struct bench bench = {.args = BENCH_ARGS, .batch = 10, .rng = {0x9e3779b97f4a7c15u}};
    const struct bench_flag flags[] = {
        {"--batch", BENCH_INT, &bench.batch, "inserts in a batch (10)", NULL},
        {"--gather", BENCH_INT, &bench.gather_us, "microseconds for which it may sleep on then (0)", NULL},
        {"--wait", BENCH_INT, &bench.wait, "completions that it sleeps for (1)", NULL},
        {0},
    };
    bench.args.depth = 40;
    bench_args_parse(argc, argv, "ATOMIC batches of inserts", &bench.args, flags);
    int room = bench.args.connections * bench.args.depth;
    if (bench.batch < 1 || bench.batch > room || bench.batch > BATCH_MAX)
        bench_die("--batch must lie between 1 and connections x depth, and %d", BATCH_MAX);

    uint32_t wait = bench.wait > 0 ? (uint32_t)bench.wait : 1;
    open_all(&bench);
    uint64_t enters = enter_count(&bench);
    bench_run_start(&bench.run, &bench.args);
    bench.now_ns = bench.run.start_ns;
    for (fill(&bench); bench.out; fill(&bench)) {
        check(&bench, quring_run(bench.engine, bench.out < wait ? bench.out : wait, QURING_FOREVER), "quring_run");
        bench.now_ns = bench_now_ns();
        bench_run_tick(&bench.run, bench.now_ns);
        reap(&bench);
    }
    bench_run_finish(&bench.run);
    bench.run.enters = enter_count(&bench) - enters;
    bench_report(&bench.args, &bench.run, &(struct bench_label){"quring", "insert", "atomic batch"});
    quring_engine_close(bench.engine);
    return 0;
}
