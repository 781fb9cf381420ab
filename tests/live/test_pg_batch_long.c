/* SPDX-License-Identifier: MIT */
/*
 * ATOMIC batches of more queries than options.depth on a real server: they are told as one, and take effect as one, whatever
 * becomes of their connection. What is in the tables afterwards is the oracle, read over another connection.
 */
#include "lib/pg_batches.h"

#include "base/rng.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 1000 };

/* ---- Batches ---- */

static const char insert[] = "insert into live_batch values ($1)";

/* Inserts of the IDs from `first` on, whose user_data these are, too; member `odd`, from 0, has `text` instead. */
static void submit_inserts(int64_t first, uint32_t count, uint32_t odd, const char *text, quring_id *ids) {
    static quring_query queries[MOST];
    static quring_param params[MOST];
    cr_assert_leq(count, MOST);
    for (uint32_t i = 0; i < count; i++) {
        params[i] = quring_int64(first + i);
        queries[i] =
            (quring_query){.db = live.db, .sql = insert, .params = &params[i], .param_count = 1, .user_data = i};
        queries[i].user_data += (uint64_t)first;
    }
    if (text) {
        queries[odd].sql = text;
        queries[odd].param_count = 0;
    }
    int taken = quring_submit_batch(live.engine, queries, count, QURING_BATCH_ATOMIC, ids);
    cr_assert_eq(taken, (int)count, "%s", quring_errmsg(live.engine));
}

/* Whose failure the members of the last batch are told of. */
struct told {
    uint32_t count, by_status[QURING_SHUTDOWN + 1];
    quring_id failed, named;
    bool names_several;
    char sqlstate[6], detail[200];
};

static void note_told(struct live *l, const quring_done *done, void *context) {
    struct told *told = context;
    (void)l;
    told->count++;
    told->by_status[done->status]++;
    if (done->status == QURING_SKIPPED) {
        told->names_several |= told->named && told->named != done->failed_id;
        told->named = done->failed_id;
    } else if (done->status != QURING_OK) {
        told->failed = done->id;
        memcpy(told->sqlstate, done->error->sqlstate, sizeof told->sqlstate);
        snprintf(told->detail, sizeof told->detail, "%s", done->error->detail);
    }
}

static struct told drain(void) {
    struct told told = {0};
    live_drain(&live, note_told, &told);
    return told;
}

Test(pg_batch_long, a_thousand_inserts_commit_together) {
    open_both(live_url(), &(quring_db_options){.connection_count = 2, .depth = 64});
    for (int round = 0; round < 3; round++) { /* parsed, then prepared */
        submit_inserts(10, MOST, 0, NULL, NULL);
        struct told told = drain();
        cr_assert_eq(told.by_status[QURING_OK], MOST);
        cr_assert_eq(rows(), MOST);
        live_exec(&other, "delete from live_batch where id > 2");
    }
    close_both();
}

/* Each member sees what those before it did, and its rows are its own. */
Test(pg_batch_long, members_run_in_their_order) {
    enum { COUNT = 300 };
    static quring_query queries[COUNT];
    static quring_param params[COUNT];
    open_both(live_url(), &(quring_db_options){.connection_count = 4, .depth = 7});
    for (int i = 0; i < COUNT; i++) {
        params[i] = quring_int64(i);
        queries[i] = (quring_query){.db = live.db,
                                    .sql = "update live_batch set n = n + $1 where id = 1 returning n",
                                    .params = &params[i],
                                    .param_count = 1,
                                    .user_data = (uint64_t)i};
    }
    cr_assert_eq(quring_submit_batch(live.engine, queries, COUNT, QURING_BATCH_ATOMIC, NULL), COUNT);
    int64_t expected = 0, n;
    for (int i = 0; i < COUNT; i++) {
        quring_done done = live_wait(&live);
        expected += i;
        live_check_ok(&done, "a member");
        cr_assert_eq(done.user_data, (uint64_t)i);
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &n), 0);
        cr_assert_eq(n, expected);
        live_release(&live, &done);
    }
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 1"), expected);
    close_both();
}

Test(pg_batch_long, a_culprit_in_the_middle_undoes_all) {
    static quring_id ids[MOST];
    open_both(live_url(), &(quring_db_options){.connection_count = 2, .depth = 64});
    submit_inserts(10, MOST, 500, "insert into live_batch values (1)", ids);
    struct told told = drain();
    cr_assert_eq(told.by_status[QURING_SERVER_ERROR], 1);
    cr_assert_eq(told.by_status[QURING_SKIPPED], MOST - 1);
    cr_assert(told.failed == ids[500] && told.named == ids[500] && !told.names_several);
    cr_assert_str_eq(told.sqlstate, "23505");
    cr_assert_eq(rows(), 0);
    submit_inserts(10, MOST, 0, NULL, NULL); /* and harms nobody behind it */
    cr_assert_eq(drain().by_status[QURING_OK], MOST);
    close_both();
}

/* The constraint is judged at the commit: it is no member's error, and every member's end. */
Test(pg_batch_long, a_deferred_constraint_fails_all_of_them) {
    enum { COUNT = 100 };
    open_both(live_url(), &(quring_db_options){.connection_count = 1, .depth = 8});
    live_exec(&other, "create table live_child (parent int8 references live_batch deferrable initially deferred)");
    submit_inserts(10, COUNT, 50, "insert into live_child values (7777)", NULL);
    struct told told = drain();
    cr_assert_eq(told.by_status[QURING_SERVER_ERROR], COUNT);
    cr_assert_str_eq(told.sqlstate, "23503");
    cr_assert(strstr(told.detail, "7777"), "%s", told.detail);
    cr_assert_eq(rows(), 0);
    close_both();
}

/* A plan that an ALTER made stale costs a run, and nobody is told. */
Test(pg_batch_long, a_stale_plan_harms_nobody) {
    enum { COUNT = 50 };
    open_both(live_url(), &(quring_db_options){.connection_count = 1, .depth = 8});
    for (int round = 0; round < 3; round++) {
        submit_inserts(10, COUNT, 40, "select * from live_batch where id = 1", NULL);
        cr_assert_eq(drain().by_status[QURING_OK], COUNT, "round %d", round);
        cr_assert_eq(rows(), COUNT - 1);
        live_exec(&other, "delete from live_batch where id > 2");
        if (round == 1)
            live_exec(&other, "alter table live_batch add column more text");
    }
    close_both();
}

/* ---- Conflicts ---- */

/* Another session changes the row under a snapshot that is older: 40001, and all of it runs again. */
Test(pg_batch_long, a_serialisation_failure_runs_it_again) {
    enum { COUNT = 200 };
    open_both(live_url_with("options=-c%20default_transaction_isolation%3Drepeatable%5C%20read"),
              &(quring_db_options){.connection_count = 2, .depth = 16});
    live_script(&other, "begin;\nupdate live_batch set n = 10 where id = 2");
    submit_inserts(10, COUNT, 100, "update live_batch set n = n + 1 where id = 2", NULL);
    run_until_blocked(1);
    live_exec(&other, "commit");
    cr_assert_eq(drain().by_status[QURING_OK], COUNT);
    cr_assert_eq(retry_count(), COUNT, "%u", (unsigned)retry_count());
    cr_assert_eq(rows(), COUNT - 1);
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 2"), 11);
    close_both();
}

/* Two that meet on two rows, in turns: one of them is the deadlock's victim, and runs again. */
Test(pg_batch_long, large_ones_that_conflict_all_commit) {
    enum { BATCHES = 6, COUNT = 60 };
    open_both(live_url_with("options=-c%20deadlock_timeout%3D10ms"),
              &(quring_db_options){.connection_count = 2, .depth = 4, .lease_count = 2});
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        static quring_query queries[COUNT];
        for (uint32_t i = 0; i < COUNT; i++) {
            bool first = (i < COUNT / 2) == (batch % 2 == 0);
            queries[i] = (quring_query){.db = live.db,
                                        .sql = first ? "update live_batch set n = n + 1 where id = 1"
                                                     : "update live_batch set n = n + 1 where id = 2"};
        }
        cr_assert_eq(quring_submit_batch(live.engine, queries, COUNT, QURING_BATCH_ATOMIC, NULL), COUNT);
    }
    cr_assert_eq(drain().by_status[QURING_OK], BATCHES * COUNT);
    cr_assert_eq(live_int(&other, "select sum(n)::int8 from live_batch"), BATCHES * COUNT);
    close_both();
}

/* ---- Given up ---- */

static const char at_gate[] = "insert into live_batch select 5 where " LIVE_AT_GATE " = 0";

/* Nothing is told and nothing is seen while a member waits; others go by on the connection that is left to them. */
Test(pg_batch_long, others_go_on_beside_one_that_waits) {
    enum { COUNT = 300, OTHERS = 200 };
    struct live_gate gate;
    open_both(live_url(), &(quring_db_options){.connection_count = 2, .depth = 16, .lease_count = 1});
    live_connect(&live, 2);
    live_gate_close(&gate);
    for (int batch = 0; batch < 12; batch++) /* one of them holds a connection, and the others wait for it */
        submit_inserts(10 + batch * COUNT, COUNT, 200, at_gate, NULL);
    run_until_blocked(1);
    for (int i = 0; i < OTHERS; i++)
        live_submit(&live, &(quring_query){.sql = "select 1", .user_data = UINT64_MAX});
    for (int i = 0; i < OTHERS; i++) {
        quring_done done = live_wait(&live);
        live_check_ok(&done, "beside it");
        cr_assert_eq(done.user_data, UINT64_MAX, "no member has ended");
        live_release(&live, &done);
    }
    cr_assert_eq(rows(), 0);
    live_gate_open(&gate);
    struct told told = drain();
    cr_assert_eq(told.count, 12 * COUNT);
    cr_assert_eq(told.by_status[QURING_OK], COUNT, "the rest of them find the first one's row");
    cr_assert_eq(told.by_status[QURING_SERVER_ERROR], 11);
    cr_assert_eq(told.by_status[QURING_SKIPPED], 11 * (COUNT - 1));
    cr_assert_eq(rows(), COUNT);
    close_both();
}

/* The others go on with its effect, as those of a short one do. */
Test(pg_batch_long, one_that_was_sent_is_given_up_alone) {
    enum { COUNT = 100 };
    quring_id ids[COUNT];
    struct live_gate gate;
    open_both(live_url(), &(quring_db_options){.connection_count = 1, .depth = 16});
    live_gate_close(&gate);
    submit_inserts(10, COUNT, 8, at_gate, ids);
    run_until_blocked(1);
    cr_assert_eq(quring_cancel(live.engine, ids[3]), 0);
    live_gate_open(&gate);
    struct told told = drain();
    cr_assert_eq(told.by_status[QURING_OK], COUNT - 1);
    cr_assert_eq(told.by_status[QURING_CANCELLED], 1);
    cr_assert_eq(rows(), COUNT);
    close_both();
}

/* The server is told to stop what is out, and rolls back, though nobody opens the gate. */
Test(pg_batch_long, one_that_waits_to_be_sent_ends_all_when_it_is_given_up) {
    enum { COUNT = 100 };
    quring_id ids[COUNT];
    struct live_gate gate;
    open_both(live_url(), &(quring_db_options){.connection_count = 1, .depth = 16});
    live_gate_close(&gate);
    submit_inserts(10, COUNT, 8, at_gate, ids);
    run_until_blocked(1);
    cr_assert_eq(quring_cancel(live.engine, ids[90]), 0);
    struct told told = {0};
    cr_assert_eq(live_reap(&live, note_told, &told), COUNT, "at once");
    cr_assert_eq(told.by_status[QURING_CANCELLED], 1);
    cr_assert_eq(told.by_status[QURING_SKIPPED], COUNT - 1);
    cr_assert(told.failed == ids[90] && told.named == ids[90] && !told.names_several);
    cr_assert_eq(live_int(&live, "select 1"), 1, "the only connection is given back");
    cr_assert_eq(rows(), 0);
    live_gate_open(&gate);
    close_both();
}

/* The server is told to stop the COMMIT of one that nobody waits for, though nothing ends that and no silence is too long. */
Test(pg_batch_long, one_that_is_given_up_at_its_commit_is_stopped) {
    enum { COUNT = 100 };
    quring_id ids[COUNT];
    open_both(live_url(), &(quring_db_options){.connection_count = 1, .depth = 16, .silence_ns = QURING_FOREVER});
    live_script(&other, "create table live_child (parent int8 references live_batch deferrable initially deferred);\n"
                        "begin;\ndelete from live_batch where id = 1");
    submit_inserts(10, COUNT, 8, "insert into live_child values (1)", ids);
    run_until_blocked(1);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(quring_cancel(live.engine, ids[i]), 0);
    cr_assert_eq(drain().by_status[QURING_CANCELLED], COUNT);
    cr_assert_eq(live_int(&live, "select 1"), 1, "the only connection is given back");
    live_exec(&other, "rollback");
    cr_assert_eq(rows(), 0);
    close_both();
}

/* ---- Losses ---- */

enum { BATCHES = 60, MEMBERS = 200 };

/* The connections are lost again and again: each batch is there as a whole or not at all. */
Test(pg_batch_long, connections_that_are_terminated_leave_all_or_none) {
    static struct fates fates = {.batch_count = BATCHES, .member_count = MEMBERS};
    quring_stats stats;
    open_both(live_url(), &(quring_db_options){.connection_count = 3, .depth = 16});
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        submit_inserts(1000 + (int64_t)batch * MEMBERS, MEMBERS, 0, NULL, NULL);
        cr_assert_geq(quring_run(live.engine, batch % 4 ? 0 : 1, LIVE_STALL_NS), 0);
        if (batch % 5 == 2)
            live_int(&other, "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                             "where pid <> pg_backend_pid() and backend_type = 'client backend'");
        live_reap(&live, note_fate, &fates);
    }
    live_drain(&live, note_fate, &fates);
    check_fates(&fates);
    cr_assert_gt(fates.by_status[QURING_OK], 0);
    quring_stats_get(live.engine, &stats);
    cr_assert_gt(stats.connection_lost_count, 0);
    close_both();
}

/* Runs until another session than that one waits for a lock. */
static int64_t run_until_blocked_anew(int64_t before) {
    for (;;) {
        int64_t pid = live_int(&other, "select coalesce(max(pid), 0)::int8 from pg_locks where not granted");
        if (pid && pid != before)
            return pid;
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
    }
}

static int64_t terminate(int64_t pid) {
    char text[80];
    snprintf(text, sizeof text, "select pg_terminate_backend(%d)::int4::int8", (int)pid);
    cr_assert_eq(live_int(&other, text), 1);
    return pid;
}

/* Before its COMMIT it is certain that nothing took effect, so one loss goes by unseen, and a second one does not. */
Test(pg_batch_long, a_loss_before_commit_is_made_good_once) {
    enum { COUNT = 100 };
    struct live_gate gate;
    open_both(live_url(), &(quring_db_options){.connection_count = 1, .depth = 16});
    live_gate_close(&gate);
    submit_inserts(10, COUNT, 50, at_gate, NULL);
    int64_t pid = terminate(run_until_blocked_anew(0));
    (void)run_until_blocked_anew(pid);
    live_gate_open(&gate);
    cr_assert_eq(drain().by_status[QURING_OK], COUNT);
    cr_assert_eq(rows(), COUNT);
    live_gate_close(&gate);
    submit_inserts(1010, COUNT, 50, at_gate, NULL);
    pid = terminate(run_until_blocked_anew(0));
    (void)terminate(run_until_blocked_anew(pid));
    struct told told = drain();
    cr_assert_eq(told.by_status[QURING_SERVER_ERROR], COUNT);
    cr_assert_str_eq(told.sqlstate, "57P01");
    cr_assert_eq(rows(), COUNT);
    live_gate_open(&gate);
    close_both();
}

/* ---- Shutdown ---- */

/* What waits can't be sent any more, so that all of it is rolled back, however long the rest may take. */
Test(pg_batch_long, a_shutdown_while_some_wait_rolls_back) {
    enum { COUNT = 300 };
    struct told told = {0};
    open_both(live_url(), &(quring_db_options){.connection_count = 1, .depth = 16});
    live_connect(&live, 1);
    submit_inserts(10, COUNT, 0, NULL, NULL);
    cr_assert_geq(quring_run(live.engine, 0, 0), 0);
    cr_assert_eq(quring_shutdown(live.engine, LIVE_STALL_NS), COUNT);
    cr_assert_eq(live_reap(&live, note_told, &told), COUNT);
    cr_assert_gt(told.by_status[QURING_SHUTDOWN], 0);
    cr_assert_gt(told.by_status[QURING_SKIPPED], 0);
    cr_assert_eq(told.by_status[QURING_SHUTDOWN] + told.by_status[QURING_SKIPPED], COUNT);
    cr_assert_eq(rows(), 0);
    close_both();
}

/* ---- Through PgBouncer ---- */

Test(pg_batch_long, through_a_pooler) {
    open_both(live_env("QURING_TEST_PGBOUNCER_URL"), &(quring_db_options){.connection_count = 8, .depth = 16});
    for (int batch = 0; batch < 10; batch++)
        submit_inserts(10 + batch * MEMBERS, MEMBERS, 150, batch % 5 == 4 ? "insert into live_batch values (1)" : NULL,
                       NULL);
    struct told told = drain();
    cr_assert_eq(told.by_status[QURING_OK], 8 * MEMBERS);
    cr_assert_eq(told.by_status[QURING_SERVER_ERROR], 2);
    cr_assert_eq(told.by_status[QURING_SKIPPED], 2 * (MEMBERS - 1));
    cr_assert_eq(rows(), 8 * MEMBERS);
    close_both();
}

/* ---- Many ---- */

/* Batches of every size, short and long, among single queries of both modes: nothing joins a batch that fails. */
Test(pg_batch_long, batches_of_every_size_among_others) {
    enum { ROUNDS = 200 };
    struct rng rng = {5};
    struct told told = {0};
    uint32_t failing = 0, members = 0;
    open_both(live_url(), &(quring_db_options){.connection_count = 3, .depth = 16});
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + (uint32_t)rng_below(&rng, 64), bad = (uint32_t)rng_below(&rng, 200);
        submit_inserts(10 + 100 * (int64_t)round, count, bad, bad < count ? "insert into live_batch values (1)" : NULL,
                       NULL);
        failing += bad < count;
        members += bad < count ? 0 : count;
        for (uint32_t i = 0; i < 3; i++)
            live_submit(&live, &(quring_query){.sql = "update live_batch set n = n + 1 where id = 2",
                                               .commit = i ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH});
        while (quring_pending(live.engine) > 1000) {
            cr_assert_gt(quring_run(live.engine, 1, LIVE_STALL_NS), 0);
            live_reap(&live, note_told, &told);
        }
    }
    live_drain(&live, note_told, &told);
    cr_assert_eq(told.by_status[QURING_SERVER_ERROR], failing);
    cr_assert_eq(told.by_status[QURING_OK], members + 3 * ROUNDS);
    cr_assert_eq(rows(), members);
    cr_assert_eq(live_int(&other, "select n from live_batch where id = 2"), 3 * ROUNDS);
    close_both();
}
