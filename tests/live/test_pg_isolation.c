/* SPDX-License-Identifier: MIT */
/*
 * Many queries pipelined on few connections, of which some fail in every way that there is: each gets its own answer.
 * A query's rows carry its identity, and so do the messages of the errors that can.
 */
#include "lib/live.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct kind {
    const char *sql;
    const char *sqlstate;
    bool says_number; /* its message or detail quotes $1 */
};

/* In the order of what fails: Parse, Bind, Execute at once, Execute after rows, the commit. */
static const struct kind kinds[] = {
    {"selekt $1::int8", "42601", false},
    {"select $1::int8 from live_missing", "42P01", false},
    {"select nope + $1::int8", "42703", false},
    {"select $1::uuid", "22P02", true},
    {"select ($1::text || 'x')::int8", "22P02", true},
    {"select $1::int8 / ($1::int8 - $1::int8)", "22012", false},
    {"select g / ($1::int8 - $1::int8 + 50 - g) from generate_series(1, 100) g", "22012", false},
    {"insert into live_once values ($1::int8 - $1::int8)", "23505", false},
    {"select live_fail($1::int8)", "Q0042", true},
    {"insert into live_orphan values ($1::int8)", "23503", true},
    {"select (select g + $1::int8 from generate_series(1, 2) g)", "21000", false},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *const fine[] = {
    "select $1::int8",
    "select $1::int8, repeat('y', ($1::int8 & 2047)::int4)",
    "select $1::int8, g from generate_series(1, 7) g",
    "select $1::int8 where false",
};

static uint64_t failing_kind(uint32_t number, uint32_t one_in) {
    uint64_t x = live_identity(number);
    return x % one_in ? KINDS : (x / one_in) % KINDS;
}

static void set_up(struct live *live) {
    live_script(live, "drop table if exists live_once, live_orphan;\n"
                      "create table live_once (id int8 primary key);\n"
                      "insert into live_once values (0);\n"
                      "create table live_orphan (id int8 references live_once deferrable initially deferred);\n"
                      "create or replace function live_fail(n int8) returns int8 language plpgsql as $$ begin "
                      "raise exception 'failed %', n using errcode = 'Q0042'; end $$");
}

static void tear_down(struct live *live) {
    live_script(live, "drop table live_orphan, live_once;\ndrop function live_fail");
}

struct run {
    struct ledger ledger;
    uint32_t one_in;
    uint32_t submitted;
    uint32_t failed;
    uint32_t prepared; /* this many of the statements are handles */
    quring_statement *statements[4];
    quring_commit_mode commit;
};

static void submit_next(struct live *live, struct run *run) {
    uint32_t number = run->submitted++;
    uint64_t kind = failing_kind(number, run->one_in);
    quring_query q = {.user_data = number,
                      .commit = run->commit,
                      .params = QURING_PARAMS(quring_int64((int64_t)live_identity(number)))};
    if (kind < KINDS)
        q.sql = kinds[kind].sql;
    else if (number % 4 < run->prepared)
        q.statement = run->statements[number % 4];
    else
        q.sql = fine[number % 4];
    live_submit(live, &q);
}

static void check_failure(const struct run *run, const quring_done *done, uint64_t kind) {
    const struct kind *k = &kinds[kind];
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, (int64_t)live_identity(done->user_data));
    cr_assert_eq(done->status, QURING_SERVER_ERROR, "%s: %s %s", k->sql, quring_status_name(done->status),
                 done->error ? done->error->message : "");
    cr_assert_str_eq(done->error->sqlstate, k->sqlstate, "%s of %u: %s %s", k->sql, run->ledger.count,
                     done->error->sqlstate, done->error->message);
    if (k->says_number)
        cr_assert(strstr(done->error->message, number) || strstr(done->error->detail, number),
                  "the error of another: %s, %s: %s %s", number, k->sql, done->error->message, done->error->detail);
}

static void note(struct live *live, const quring_done *done, void *context) {
    struct run *run = context;
    uint64_t kind = failing_kind((uint32_t)done->user_data, run->one_in);
    ledger_note(live, done, &run->ledger);
    if (kind < KINDS) {
        check_failure(run, done, kind);
        run->failed++;
    } else {
        live_check_ok(done, "one that is fine");
        uint64_t rows = (const uint64_t[]){1, 1, 7, 0}[done->user_data % 4];
        cr_assert_eq(quring_row_count(done->result), rows);
    }
    if (run->submitted < run->ledger.count)
        submit_next(live, run);
}

static void run_all(const quring_db_options *options, struct run run, uint32_t count) {
    struct live live;
    live_open_url(&live, live_url(), &(quring_options){.query_count = 8192}, options);
    set_up(&live);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(quring_prepare(live.db, fine[i], &run.statements[i]), 0);
    ledger_init(&run.ledger, count);
    while (run.submitted < count && run.submitted < 3000)
        submit_next(&live, &run);
    live_drain(&live, note, &run);
    ledger_check(&run.ledger);
    cr_assert_eq(run.ledger.ended_count, count);
    cr_assert_gt(run.failed, KINDS);
    cr_assert_eq(live_int(&live, "select count(*) from live_once"), 1);
    cr_assert_eq(live_int(&live, "select count(*) from live_orphan"), 0);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_eq(stats.done_count[QURING_SERVER_ERROR], run.failed);
    cr_assert_eq(stats.connection_lost_count, 0);
    for (int i = 0; i < 4; i++)
        quring_statement_release(run.statements[i]);
    tear_down(&live);
    ledger_free(&run.ledger);
    live_close(&live);
}

Test(pg_isolation, one_in_a_hundred_fails) {
    run_all(&(quring_db_options){.connection_count = 4, .depth = 64}, (struct run){.one_in = 100, .prepared = 2},
            LIVE_SANITIZED ? 20000 : 60000);
}

Test(pg_isolation, every_third_fails) {
    run_all(&(quring_db_options){.connection_count = 2, .depth = 32}, (struct run){.one_in = 3}, 6000);
}

/* The cache has room for two of the fifteen statements. */
Test(pg_isolation, with_hardly_any_statement_cache) {
    run_all(&(quring_db_options){.connection_count = 2, .depth = 64, .statement_count = 2},
            (struct run){.one_in = 10, .prepared = 1}, 6000);
}

Test(pg_isolation, in_groups) {
    run_all(&(quring_db_options){.connection_count = 2, .depth = 64},
            (struct run){.one_in = 100, .commit = QURING_COMMIT_GROUP}, 10000);
}

/* ---- Engines on threads of their own share nothing ---- */

struct worker {
    pthread_t thread;
    const char *url;
    uint64_t first;
    uint32_t good, bad;
};

/* No assertions here: they belong to the test's own thread. */
static void *work(void *argument) {
    enum { QUERIES = 4000, WINDOW = 200 };
    struct worker *worker = argument;
    quring_engine *engine = NULL;
    quring_db *db = NULL;
    const quring_db_options patient = {.connect_timeout_ns = LIVE_STALL_NS};
    if (quring_engine_open(NULL, &engine) || quring_db_open(engine, worker->url, &patient, &db))
        return NULL;
    for (uint32_t submitted = 0; submitted < QUERIES || quring_pending(engine);) {
        for (; submitted < QUERIES && quring_pending(engine) < WINDOW; submitted++) {
            uint64_t number = worker->first + submitted;
            quring_query q = {.db = db,
                              .sql = fine[number % 3],
                              .params = QURING_PARAMS(quring_int64((int64_t)live_identity(number))),
                              .user_data = number};
            worker->bad += quring_submit(engine, &q, NULL) != 0;
        }
        quring_done done[64];
        quring_run(engine, 1, QURING_FOREVER);
        int n = quring_reap(engine, done, 64);
        for (int i = 0; i < n; i++) {
            int64_t value = 0;
            bool good = !done[i].status && !quring_get_int64(done[i].result, 0, 0, &value) &&
                        (uint64_t)value == live_identity(done[i].user_data);
            worker->good += good;
            worker->bad += !good;
            quring_release(engine, done[i].id);
        }
    }
    quring_engine_close(engine);
    return NULL;
}

Test(pg_isolation, engines_on_threads_of_their_own) {
    struct worker workers[4] = {0};
    for (int i = 0; i < 4; i++) {
        workers[i].url = live_url();
        workers[i].first = (uint64_t)i * 1000000;
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        cr_assert_eq(workers[i].good, 4000, "worker %d: %u good, %u bad", i, workers[i].good, workers[i].bad);
        cr_assert_eq(workers[i].bad, 0);
    }
}

/* ---- Given up ---- */

/* Four of eight connections wait for a lock that is not given back: what comes next goes to the other four. */
Test(pg_isolation, nothing_waits_behind_a_query_that_was_given_up) {
    struct live other, live;
    live_open(&other, &(quring_db_options){.exclusive = true});
    live_exec(&other, "select pg_advisory_lock(4711)");
    live_open(&live, &(quring_db_options){.connection_count = 8});
    for (quring_stats stats = {0}; stats.connection_count < 8; quring_stats_get(live.engine, &stats)) {
        live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.01)"});
        live_drain(&live, NULL, NULL);
    }
    for (int i = 0; i < 4; i++)
        live_submit(&live, &(quring_query){.sql = "select pg_advisory_xact_lock(4711)", .timeout_ns = 100 * LIVE_MS});
    live_drain(&live, NULL, NULL);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 100; i++)
            live_submit(&live, &(quring_query){.sql = "select 1"});
        live_drain(&live, NULL, NULL);
    }
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_eq(stats.done_count[QURING_TIMEOUT], 4);
    live_exec(&other, "select pg_advisory_unlock(4711)");
    live_close(&live);
    live_close(&other);
}
