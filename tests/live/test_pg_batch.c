/* SPDX-License-Identifier: MIT */
/*
 * ATOMIC batches on a real server: what is in the tables afterwards is the oracle, read over another connection, and not
 * what the batch's own completions say.
 */
#include "lib/batches.h"
#include "lib/pg_batches.h"

#include "base/rng.h"

#include <string.h>

#define COUNT_OF(array) (uint32_t)(sizeof(array) / sizeof *(array))

static void open_some(uint32_t connections, const char *settings) {
    open_both(settings ? live_url_with(settings) : live_url(), &(quring_db_options){.connection_count = connections});
}

/* ---- Ends ---- */

Test(pg_batch, all_or_none) {
    static const char *const good[] = {"insert into live_batch values (10)", "insert into live_batch values (11)",
                                       "update live_batch set n = n + 1 where id = 10 returning n",
                                       "select count(*) from live_batch"};
    static const char *const bad[] = {"insert into live_batch values (20)", "insert into live_batch values (1)",
                                      "insert into live_batch values (21)"};
    open_some(2, NULL);
    for (int round = 0; round < 3; round++) { /* parsed, then prepared */
        batch_assert(batch_texts(&live, good, COUNT_OF(good)), "OK; OK; OK; OK");
        cr_assert_eq(rows(), 2);
        batch_assert(batch_texts(&live, bad, COUNT_OF(bad)),
                     "SKIPPED 23505 by 2; SERVER_ERROR 23505; SKIPPED 23505 by 2");
        cr_assert_eq(rows(), 2);
        live_exec(&other, "delete from live_batch where id >= 10");
    }
    close_both();
}

/* Each member sees what those before it did, and its rows are its own. */
Test(pg_batch, members_run_in_their_order) {
    enum { COUNT = 10 };
    quring_query queries[COUNT] = {{0}};
    quring_param params[COUNT];
    struct batch_run run;
    open_some(4, NULL);
    for (int i = 0; i < COUNT; i++) {
        params[i] = quring_int64(i);
        queries[i] = (quring_query){.sql = "update live_batch set n = n * 3 + $1 where id = 1 returning n",
                                    .params = &params[i],
                                    .param_count = 1};
    }
    batch_begin(&live, &run, queries, COUNT, 100);
    int64_t expected = 0, n;
    for (int i = 0; i < COUNT; i++) {
        quring_done done = live_wait(&live);
        expected = expected * 3 + i;
        live_check_ok(&done, "a member");
        cr_assert_eq(done.user_data, 100u + (unsigned)i);
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &n), 0);
        cr_assert_eq(n, expected);
        live_release(&live, &done);
    }
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 1"), expected);
    close_both();
}

/* The constraint is judged at the commit: it is no member's error, and every member's end. */
Test(pg_batch, a_deferred_constraint_fails_all_of_them) {
    static const char *const texts[] = {"insert into live_child values (77)", "insert into live_batch values (50)",
                                        "select 1"};
    static const char *const mended[] = {"insert into live_child values (50)", "insert into live_batch values (50)"};
    open_some(1, NULL);
    live_exec(&other, "create table live_child (parent int8 references live_batch deferrable initially deferred)");
    batch_assert(batch_texts(&live, texts, 3), "SERVER_ERROR 23503; SERVER_ERROR 23503; SERVER_ERROR 23503");
    cr_assert_eq(rows(), 0);
    cr_assert_eq(live_int(&other, "select count(*) from live_child"), 0);
    batch_assert(batch_texts(&live, mended, 2), "OK; OK");
    close_both();
}

Test(pg_batch, what_may_not_be_in_one_is_refused) {
    open_some(1, NULL);
    quring_query queries[2] = {{.db = live.db, .sql = "insert into live_batch values (60)"},
                               {.db = live.db, .sql = "create table live_never (a int)"}};
    cr_assert_eq(quring_submit_batch(live.engine, queries, 2, QURING_BATCH_ATOMIC, NULL), QURING_EUNSUPPORTED);
    cr_assert(strstr(quring_errmsg(live.engine), "quring_tx_open"), "%s", quring_errmsg(live.engine));
    queries[0].db = queries[1].db = other.db;
    cr_assert_eq(quring_submit_batch(other.engine, queries, 1, QURING_BATCH_ATOMIC, NULL), QURING_EUNSUPPORTED);
    cr_assert_eq(quring_pending(live.engine), 0);
    cr_assert_eq(rows(), 0);
    close_both();
}

/* A plan that an ALTER made stale costs a run, and nobody is told. */
Test(pg_batch, a_stale_plan_harms_nobody) {
    static const char *const texts[] = {"insert into live_batch values (70)", "select * from live_batch",
                                        "delete from live_batch where id = 70"};
    open_some(1, NULL);
    batch_assert(batch_texts(&live, texts, 3), "OK; OK; OK");
    batch_assert(batch_texts(&live, texts, 3), "OK; OK; OK");
    live_exec(&other, "alter table live_batch add column more text");
    batch_assert(batch_texts(&live, texts, 3), "OK; OK; OK");
    cr_assert_eq(rows(), 0);
    close_both();
}

/* ---- Conflicts ---- */

static const char *const both_rows[] = {"update live_batch set n = n + 1 where id = 1",
                                        "insert into live_batch values (80)",
                                        "update live_batch set n = n + 1 where id = 2"};

/* Another session changes the row under a snapshot that is older: 40001, and all of it runs again. */
Test(pg_batch, a_serialisation_failure_runs_it_again) {
    struct batch_run run;
    open_some(2, "options=-c%20default_transaction_isolation%3Drepeatable%5C%20read");
    live_script(&other, "begin;\nupdate live_batch set n = 10 where id = 2");
    batch_begin_texts(&live, &run, both_rows, COUNT_OF(both_rows));
    run_until_blocked(1);
    live_exec(&other, "commit");
    batch_assert(batch_end(&live, &run), "OK; OK; OK");
    cr_assert_eq(retry_count(), 3, "%u", (unsigned)retry_count());
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 1"), 1);
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 2"), 11);
    close_both();
}

/*
 * The batch's own session finds the deadlock, because the other one would look for it only in an hour. A session looks once,
 * some time after it began to wait, so the batch comes to its lock last: the gate keeps it until the other one waits.
 */
Test(pg_batch, a_deadlock_runs_it_again) {
    static const char *const texts[] = {"update live_batch set n = n + 1 where id = 1",
                                        "insert into live_batch select 80 where " LIVE_AT_GATE " = 0",
                                        "update live_batch set n = n + 1 where id = 2"};
    struct batch_run run;
    struct live_gate gate;
    open_some(2, "options=-c%20deadlock_timeout%3D10ms");
    live_script(&other, "set deadlock_timeout = '1h';\nbegin;\nupdate live_batch set n = 10 where id = 2");
    live_gate_close(&gate);
    batch_begin_texts(&live, &run, texts, COUNT_OF(texts));
    run_until_blocked(1);
    const quring_query waits = {.db = other.db, .sql = "update live_batch set n = 20 where id = 1"};
    live_submit(&other, &waits);
    while (live_int(&gate.keeper, "select count(*) from pg_locks where not granted") < 2)
        cr_assert_geq(quring_run(other.engine, 0, LIVE_MS), 0);
    live_gate_open(&gate);
    while (!retry_count()) {
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
        cr_assert_geq(quring_run(other.engine, 0, 0), 0);
    }
    quring_done done = live_wait(&other);
    live_check_ok(&done, "the session that the batch had stood in the way of");
    live_release(&other, &done);
    live_exec(&other, "commit");
    batch_assert(batch_end(&live, &run), "OK; OK; OK");
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 1"), 21);
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 2"), 11);
    close_both();
}

static void note_transfer(struct live *l, const quring_done *done, void *ok) {
    (void)l;
    live_check_ok(done, "a transfer");
    ++*(uint32_t *)ok;
}

/* Transfers between few accounts, serialisable, on all connections: many conflicts, no failure, and a constant sum. */
Test(pg_batch, transfers_that_conflict_all_commit) {
    enum { TRANSFERS = 300, ACCOUNTS = 20 };
    struct rng rng = {11};
    uint32_t ok = 0;
    open_some(6, "options=-c%20default_transaction_isolation%3Dserializable");
    live_exec(&other, "insert into live_batch select i, 1000 from generate_series(101, 120) i");
    for (int i = 0; i < TRANSFERS; i++) {
        const quring_param from = quring_int64(101 + (int64_t)rng_below(&rng, ACCOUNTS)),
                           to = quring_int64(101 + (int64_t)rng_below(&rng, ACCOUNTS));
        quring_query queries[3] = {
            {.db = live.db, .sql = "update live_batch set n = n - 1 where id = $1", .params = &from, .param_count = 1},
            {.db = live.db, .sql = "update live_batch set n = n + 1 where id = $1", .params = &to, .param_count = 1},
            {.db = live.db, .sql = "update live_batch set n = n + 1 where id = 1"}};
        cr_assert_eq(quring_submit_batch(live.engine, queries, i % 10 ? 2 : 3, QURING_BATCH_ATOMIC, NULL),
                     i % 10 ? 2 : 3);
        live_reap(&live, note_transfer, &ok);
    }
    live_drain(&live, note_transfer, &ok);
    cr_assert_eq(ok, 2 * TRANSFERS + TRANSFERS / 10);
    cr_assert_eq(live_int(&other, "select sum(n)::int8 from live_batch where id > 100"), 1000 * ACCOUNTS);
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 1"), TRANSFERS / 10);
    close_both();
}

/* ---- Given up ---- */

/* Once it was sent, the others go on, with its effect. */
Test(pg_batch, one_that_is_given_up_after_it_was_sent_takes_effect) {
    static const char *const texts[] = {"insert into live_batch select 90 where " LIVE_AT_GATE " = 0",
                                        "insert into live_batch values (91)", "insert into live_batch values (92)"};
    struct live_gate gate;
    struct batch_run run;
    open_some(1, NULL);
    live_gate_close(&gate);
    batch_begin_texts(&live, &run, texts, 3);
    run_until_blocked(1);
    cr_assert_eq(quring_cancel(live.engine, run.ids[1]), 0);
    live_gate_open(&gate);
    batch_assert(batch_end(&live, &run), "OK; CANCELLED 57014; OK");
    cr_assert_eq(rows(), 3);
    close_both();
}

/* ---- Losses ---- */

enum { MEMBERS = 10, BATCHES = 400 };

static void submit_inserts(uint32_t batch) {
    quring_query queries[MEMBERS];
    quring_param params[MEMBERS];
    for (uint32_t i = 0; i < MEMBERS; i++) {
        params[i] = quring_int64(1000 + (int64_t)batch * MEMBERS + i);
        queries[i] = (quring_query){.db = live.db,
                                    .sql = "insert into live_batch values ($1)",
                                    .params = &params[i],
                                    .param_count = 1,
                                    .user_data = 1000 + batch * MEMBERS + i};
    }
    int taken = quring_submit_batch(live.engine, queries, MEMBERS, QURING_BATCH_ATOMIC, NULL);
    cr_assert_eq(taken, MEMBERS, "%s", quring_errmsg(live.engine));
}

/* The connections are lost again and again: each batch is there as a whole or not at all. */
Test(pg_batch, connections_that_are_terminated_leave_all_or_none) {
    static struct fates fates = {.batch_count = BATCHES, .member_count = MEMBERS};
    open_some(3, NULL);
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        submit_inserts(batch);
        cr_assert_geq(quring_run(live.engine, batch % 4 ? 0 : 1, LIVE_STALL_NS), 0);
        if (batch % 80 == 10)
            live_int(&other, "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                             "where pid <> pg_backend_pid() and backend_type = 'client backend'");
        live_reap(&live, note_fate, &fates);
    }
    live_drain(&live, note_fate, &fates);
    check_fates(&fates);
    cr_assert_gt(fates.by_status[QURING_OK], 0);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_gt(stats.connection_lost_count, 0);
    close_both();
}

/* ---- Many ---- */

static void note_status(struct live *l, const quring_done *done, void *by_status) {
    (void)l;
    ((uint32_t *)by_status)[done->status]++;
}

/* Batches of every size among single queries of both modes: each ends well, and nothing joins a batch that fails. */
Test(pg_batch, batches_among_others) {
    enum { ROUNDS = 500 };
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    struct rng rng = {5};
    uint32_t failing = 0, singles = 0;
    open_some(3, NULL);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        quring_query queries[MEMBERS];
        uint32_t count = 1 + (uint32_t)rng_below(&rng, MEMBERS), bad = (uint32_t)rng_below(&rng, 4 * MEMBERS);
        for (uint32_t i = 0; i < count; i++)
            queries[i] = (quring_query){.db = live.db,
                                        .sql = i == bad ? "insert into live_batch values (1)"
                                                        : "update live_batch set n = n + 1 where id = 2"};
        failing += bad < count;
        while (quring_pending(live.engine) > 1000) {
            cr_assert_gt(quring_run(live.engine, 1, LIVE_STALL_NS), 0);
            live_reap(&live, note_status, by_status);
        }
        cr_assert_eq(quring_submit_batch(live.engine, queries, count, QURING_BATCH_ATOMIC, NULL), (int)count);
        for (uint32_t i = 0; i < 3; i++, singles++)
            live_submit(&live, &(quring_query){.sql = "insert into live_batch values (1000 + $1)",
                                               .params = QURING_PARAMS(quring_int64(singles)),
                                               .commit = i ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH});
        live_reap(&live, note_status, by_status);
    }
    live_drain(&live, note_status, by_status);
    cr_assert_eq(by_status[QURING_SERVER_ERROR], failing);
    cr_assert_eq(live_int(&other, "select count(*) from live_batch"), 2 + singles);
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 2"), by_status[QURING_OK] - singles);
    close_both();
}
