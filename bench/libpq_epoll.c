/* SPDX-License-Identifier: MIT
 *
 * The usual way: libpq's pipeline mode on non-blocking connections, driven by epoll, on one thread.
 *
 * What it measures: what a careful C program gets from libpq today. Why it is a fair baseline: the same
 * queries as raw_wire (named statement, binary parameter and result, one Sync per query, as many in flight),
 * level-triggered epoll, everything that has arrived is taken before anything is sent. libpq 15 flushes in
 * every PQpipelineSync, so each Sync costs a send; --sync-every K shows what fewer Syncs save, at the price
 * that K queries then share one implicit transaction.
 *
 * --batch N sends transactions of N inserts into pgbench_history instead, as such a program does that wants all of them or
 * none: BEGIN, the inserts and COMMIT, all prepared, and one Sync, which libpq sends in one piece. As many transactions are
 * behind each other on a connection as the depth has room for.
 */
#include "bench.h"
#include "bench_pg.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct conn {
    PGconn *pg;
    unsigned in_flight;   /* queries without a result */
    unsigned unsynced;    /* … of those, sent since the last Sync */
    unsigned syncs;       /* Syncs without an answer */
    bool writing;         /* epoll watches for room to write */
    unsigned oldest;      /* slot of the query whose result comes next */
    unsigned answered;    /* results that have come of a transaction, which are batch + 2 */
    uint64_t *started_ns; /* by slot, in [0, depth) */
};

struct bench {
    struct bench_args args;
    int sync_every;
    int batch; /* 0: selects */
    int epoll;
    uint64_t now_ns;
    uint32_t accounts;
    struct bench_rng rng;
    struct bench_run run;
    struct conn *conns;
};

static void conn_watch(const struct bench *bench, struct conn *conn, int how, bool writing) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = conn};
    if (epoll_ctl(bench->epoll, how, PQsocket(conn->pg), &event) != 0)
        bench_die("epoll_ctl: %s", strerror(errno));
    conn->writing = writing;
}

static void conn_prepare(struct conn *conn, const char *name, const char *sql) {
    PGresult *result = PQprepare(conn->pg, name, sql, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        bench_die("cannot prepare: %s", PQerrorMessage(conn->pg));
    PQclear(result);
}

static void conn_open(struct bench *bench, struct conn *conn) {
    conn->pg = bench_pg_open(bench->args.target);
    if (!bench->accounts)
        bench->accounts = bench_pg_accounts(conn->pg);
    if (bench->batch) {
        conn_prepare(conn, "b", "begin");
        conn_prepare(conn, "i", BENCH_INSERT);
        conn_prepare(conn, "c", "commit");
    }
    conn->started_ns = calloc((size_t)bench->args.depth, sizeof *conn->started_ns);
    if (!conn->started_ns || PQsetnonblocking(conn->pg, 1) != 0 || !PQenterPipelineMode(conn->pg))
        bench_die("cannot pipeline: %s", PQerrorMessage(conn->pg));
    conn_watch(bench, conn, EPOLL_CTL_ADD, false);
}

static void conn_sync(struct conn *conn) {
    if (!PQpipelineSync(conn->pg))
        bench_die("sync: %s", PQerrorMessage(conn->pg));
    conn->unsynced = 0;
    conn->syncs++;
}

static void conn_send(struct conn *conn, const char *statement, int count, const char *const *values) {
    static const int lengths[4] = {4, 4, 4, 4}, formats[4] = {1, 1, 1, 1};
    if (!PQsendQueryPrepared(conn->pg, statement, count, values, lengths, formats, 1))
        bench_die("send: %s", PQerrorMessage(conn->pg));
}

static void conn_query(struct bench *bench, struct conn *conn) {
    uint32_t key = htobe32((uint32_t)bench_rng_key(&bench->rng, bench->accounts)), one = htobe32(1);
    const char *const row[4] = {(const char *)&one, (const char *)&one, (const char *)&key, (const char *)&one};

    if (bench->batch)
        conn_send(conn, "i", 4, row);
    else
        conn_send(conn, BENCH_STATEMENT, 1, &row[2]);
    unsigned depth = (unsigned)bench->args.depth;
    conn->started_ns[(conn->oldest + conn->in_flight) % depth] = bench->now_ns;
    conn->in_flight++;
    conn->unsynced++;
}

/* Fills the connection up, in whole groups of `sync_every`, and pushes out what it can. */
static void conn_fill(struct bench *bench, struct conn *conn) {
    unsigned group = (unsigned)bench->sync_every;
    while (conn->in_flight + group <= (unsigned)bench->args.depth) {
        unsigned count = bench_run_take(&bench->run, group);
        if (bench->batch && count)
            conn_send(conn, "b", 0, NULL);
        for (unsigned i = 0; i < count; i++)
            conn_query(bench, conn);
        if (bench->batch && count)
            conn_send(conn, "c", 0, NULL);
        if (count)
            conn_sync(conn);
        if (count < group)
            break;
    }
    int left = PQflush(conn->pg);
    if (left < 0)
        bench_die("flush: %s", PQerrorMessage(conn->pg));
    if ((left == 1) != conn->writing)
        conn_watch(bench, conn, EPOLL_CTL_MOD, left == 1);
}

static void conn_ended(struct bench *bench, struct conn *conn) {
    bench->run.queries++;
    bench_latency_add(&bench->run.latency, bench->now_ns - conn->started_ns[conn->oldest], 1);
    conn->oldest = (conn->oldest + 1) % (unsigned)bench->args.depth;
    conn->in_flight--;
}

static void conn_row(struct bench *bench, struct conn *conn, const PGresult *result) {
    if (PQntuples(result) != 1 || PQgetlength(result, 0, 0) != 4)
        bench->run.errors++;
    conn_ended(bench, conn);
}

/* The inserts of a transaction have ended once it committed. */
static void conn_answer(struct bench *bench, struct conn *conn) {
    unsigned batch = (unsigned)bench->batch;
    if (++conn->answered < batch + 2)
        return;
    conn->answered = 0;
    for (unsigned i = 0; i < batch; i++)
        conn_ended(bench, conn);
}

/* Takes every result that is there. A query's results end with NULL, which a Sync's do not. */
static void conn_take(struct bench *bench, struct conn *conn) {
    if (!PQconsumeInput(conn->pg))
        bench_die("receive: %s", PQerrorMessage(conn->pg));
    while ((conn->in_flight || conn->syncs) && !PQisBusy(conn->pg)) {
        PGresult *result = PQgetResult(conn->pg);
        if (!result)
            continue;
        switch (PQresultStatus(result)) {
        case PGRES_TUPLES_OK:
            conn_row(bench, conn, result);
            break;
        case PGRES_COMMAND_OK:
            conn_answer(bench, conn);
            break;
        case PGRES_PIPELINE_SYNC:
            conn->syncs--;
            break;
        default:
            bench_die("query: %s", PQresultErrorMessage(result));
        }
        PQclear(result);
    }
}

static bool is_done(const struct bench *bench) {
    if (bench->run.left)
        return false;
    for (int i = 0; i < bench->args.connections; i++)
        if (bench->conns[i].in_flight || bench->conns[i].syncs)
            return false;
    return true;
}

static void turn(struct bench *bench) {
    struct epoll_event events[256];
    int n = epoll_wait(bench->epoll, events, 256, -1);
    if (n < 0 && errno != EINTR)
        bench_die("epoll_wait: %s", strerror(errno));
    bench->now_ns = bench_now_ns();
    bench_run_tick(&bench->run, bench->now_ns);
    for (int i = 0; i < n; i++) {
        struct conn *conn = events[i].data.ptr;
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            conn_take(bench, conn);
        conn_fill(bench, conn);
    }
}

int main(int argc, char **argv) {
    static struct bench bench = {.args = BENCH_ARGS, .sync_every = 1, .rng = {0x9e3779b97f4a7c15u}};
    const struct bench_flag flags[] = {
        {"--sync-every", BENCH_INT, &bench.sync_every, "queries to one Sync (default 1)", NULL},
        {"--batch", BENCH_INT, &bench.batch, "transactions of so many inserts instead of selects", NULL},
        {0},
    };
    bench_args_parse(argc, argv, "point selects through libpq's pipeline mode and epoll", &bench.args, flags);
    if (bench.batch)
        bench.sync_every = bench.batch;
    if (bench.sync_every < 1 || bench.sync_every > bench.args.depth)
        bench_die("--sync-every and --batch must lie between 1 and the depth");

    bench.epoll = epoll_create1(EPOLL_CLOEXEC);
    bench.conns = calloc((size_t)bench.args.connections, sizeof *bench.conns);
    for (int i = 0; i < bench.args.connections; i++)
        conn_open(&bench, &bench.conns[i]);

    bench_run_start(&bench.run, &bench.args);
    bench.now_ns = bench.run.start_ns;
    for (int i = 0; i < bench.args.connections; i++)
        conn_fill(&bench, &bench.conns[i]);
    while (!is_done(&bench))
        turn(&bench);
    bench_run_finish(&bench.run);

    for (int i = 0; i < bench.args.connections; i++)
        PQfinish(bench.conns[i].pg);
    char commit[32];
    snprintf(commit, sizeof commit, bench.sync_every == 1 ? "each" : "every %d", bench.sync_every);
    bench_report(&bench.args, &bench.run,
                 &(struct bench_label){"libpq_epoll", bench.batch ? "insert" : "select", commit});
    return 0;
}
