/* SPDX-License-Identifier: MIT
 *
 * The bare loop: bind, step, reset, on one thread, with nothing around sqlite3.
 *
 * What it measures: what SQLite itself does with a point select by primary key in a file database in WAL mode,
 * each in a transaction of its own (autocommit), as a program does that calls sqlite3 directly. --txn K puts
 * K of them in one transaction; --update does durable one-row updates (synchronous=FULL), with --txn between BEGIN
 * IMMEDIATE and COMMIT. Why it is a fair
 * baseline: the statement is prepared once, the connection is opened without mutexes, and the tables are
 * pgbench's, as `quring bench -i` makes them; both can run on one file. -c and -d do not apply.
 */
#include "bench.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { ACCOUNTS = 100000, TELLERS = 10, TIMED_EVERY = 16 };

static const char TABLES[] =
    "create table pgbench_branches(bid integer not null primary key, bbalance integer, filler char(88));"
    "create table pgbench_tellers(tid integer not null primary key, bid integer, tbalance integer, filler char(84));"
    "create table pgbench_accounts(aid integer not null primary key, bid integer, abalance integer, filler char(84));"
    "create table pgbench_history(tid integer, bid integer, aid integer, delta integer, mtime timestamp,"
    " filler char(22));";

/* One statement a table, in pgbench's numbering; ?1 is the number of rows, ?2 the rows to a branch. */
static const char *const ROWS[] = {
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)"
    " insert into pgbench_branches select i, 0, null from n",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)"
    " insert into pgbench_tellers select i, (i - 1) / ?2 + 1, 0, null from n",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)"
    " insert into pgbench_accounts select i, (i - 1) / ?2 + 1, 0, printf('%84s', '') from n",
};

static sqlite3 *db;

static void check(int code, int wanted) {
    if (code != wanted)
        bench_die("sqlite: %s", sqlite3_errmsg(db));
}

static void execute(const char *sql) {
    check(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3_stmt *prepare(const char *sql) {
    sqlite3_stmt *statement;
    check(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL), SQLITE_OK);
    return statement;
}

static int number(const char *sql) {
    sqlite3_stmt *statement = prepare(sql);
    check(sqlite3_step(statement), SQLITE_ROW);
    int n = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return n;
}

static void fill(int scale) {
    const int per_branch[] = {1, TELLERS, ACCOUNTS};

    execute("begin immediate");
    execute(TABLES);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        sqlite3_stmt *statement = prepare(ROWS[i]);
        sqlite3_bind_int(statement, 1, per_branch[i] * scale);
        sqlite3_bind_int(statement, 2, per_branch[i]);
        check(sqlite3_step(statement), SQLITE_DONE);
        sqlite3_finalize(statement);
    }
    execute("commit");
    execute("pragma wal_checkpoint(truncate)");
}

static uint32_t open_filled(const char *path, int scale) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    check(sqlite3_open_v2(path, &db, flags, NULL), SQLITE_OK);
    execute("pragma journal_mode = wal; pragma synchronous = full; pragma cache_size = -16384"); /* as quring's */
    if (number("select count(*) from sqlite_schema where name = 'pgbench_accounts'") == 0)
        fill(scale);
    int branches = number("select count(*) from pgbench_branches");
    if (branches < 1 || branches > 20000)
        bench_die("pgbench_branches has %d rows", branches);
    return (uint32_t)branches * ACCOUNTS;
}

static void one_select(sqlite3_stmt *statement, int key) {
    sqlite3_bind_int(statement, 1, key);
    check(sqlite3_step(statement), SQLITE_ROW);
    (void)sqlite3_column_int(statement, 0);
    check(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_reset(statement);
}

static void one_update(sqlite3_stmt *statement, int key) {
    sqlite3_bind_int(statement, 1, key);
    check(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_reset(statement);
}

static void loop(struct bench_run *run, bool update, int txn, uint32_t accounts) {
    struct bench_rng rng = {0x9e3779b97f4a7c15u};
    sqlite3_stmt *statement = prepare(update ? "update pgbench_accounts set abalance = abalance + 1 where aid = ?1"
                                             : "select abalance from pgbench_accounts where aid = ?1");
    sqlite3_stmt *begin = prepare(update ? "begin immediate" : "begin"), *commit = prepare("commit");
    uint64_t last_ns = run->start_ns;

    while (bench_run_take(run, 1)) {
        if (txn > 1 && run->queries % (unsigned)txn == 0) {
            check(sqlite3_step(begin), SQLITE_DONE);
            sqlite3_reset(begin);
        }
        (update ? one_update : one_select)(statement, bench_rng_key(&rng, accounts));
        run->queries++;
        if (txn > 1 && run->queries % (unsigned)txn == 0) {
            check(sqlite3_step(commit), SQLITE_DONE);
            sqlite3_reset(commit);
        }
        if (run->queries % TIMED_EVERY == 0 || update) { /* a clock read costs 2 % of a select */
            uint64_t now_ns = bench_now_ns(), per = update ? 1 : TIMED_EVERY;
            bench_latency_add(&run->latency, (now_ns - last_ns) / per, per);
            bench_run_tick(run, now_ns);
            last_ns = now_ns;
        }
    }
    if (!sqlite3_get_autocommit(db))
        execute("commit");
    sqlite3_finalize(statement);
    sqlite3_finalize(begin);
    sqlite3_finalize(commit);
}

int main(int argc, char **argv) {
    static struct bench_run run;
    struct bench_args args = BENCH_ARGS;
    bool update = false;
    int txn = 1, scale = 1;
    const struct bench_flag flags[] = {
        {"--txn", BENCH_INT, &txn, "queries in one transaction (default 1: autocommit)", NULL},
        {"--update", BENCH_BOOL, &update, "durable one-row updates instead of selects", NULL},
        {"--scale", BENCH_INT, &scale, "when the file is made: 100000 accounts each (default 1)", NULL},
        {0},
    };
    bench_args_parse(argc, argv, "point selects by the bare sqlite3 loop; TARGET is a file", &args, flags);
    if (scale < 1 || scale > 20000)
        bench_die("--scale must lie between 1 and 20000");
    args.connections = args.depth = 1;

    uint32_t accounts = open_filled(args.target, scale);
    bench_run_start(&run, &args);
    loop(&run, update, txn, accounts);
    bench_run_finish(&run);

    char commit[32];
    snprintf(commit, sizeof commit, txn > 1 ? "every %d" : "each", txn);
    bench_report(&args, &run, &(struct bench_label){"bare_sqlite", update ? "update" : "select", commit});
    sqlite3_close(db);
    return 0;
}
