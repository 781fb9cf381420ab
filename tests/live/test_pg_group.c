/* SPDX-License-Identifier: MIT */
/*
 * GROUP: many queries under one Sync, which is one transaction. A member that fails reports alone; the others are rolled
 * back with it and run again, and take effect once. No outcome is handed out before its transaction committed.
 */
#include "lib/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

static void open_groups(uint32_t connections, uint32_t depth) {
    live_open(&live,
              &(quring_db_options){.connection_count = connections, .depth = depth, .commit = QURING_COMMIT_GROUP});
}

static void make_table(void) {
    live_script(&live,
                "drop table if exists live_group;\ncreate table live_group (id int8 primary key, n int8 not null)");
}

/* They do share transactions: far fewer of these than of queries. */
Test(pg_group, members_share_a_transaction) {
    open_groups(1, 64);
    make_table();
    for (int64_t i = 0; i < 640; i++)
        live_submit(&live, &(quring_query){.sql = "insert into live_group values ($1, 0)",
                                           .params = QURING_PARAMS(quring_int64(i))});
    live_drain(&live, NULL, NULL);
    cr_assert_eq(live_int(&live, "select count(*) from live_group"), 640);
    int64_t transactions = live_int(&live, "select count(distinct xmin::text) from live_group");
    cr_assert_lt(transactions, 200, "%lld transactions", (long long)transactions);
    cr_assert_eq(live_int(&live, "select count(*) from live_group where n <> 0"), 0);
    live_exec(&live, "delete from live_group");
    for (int64_t i = 0; i < 100; i++) /* a query may ask for a Sync of its own */
        live_submit(&live, &(quring_query){.sql = "insert into live_group values ($1, 0)",
                                           .params = QURING_PARAMS(quring_int64(i)),
                                           .commit = QURING_COMMIT_EACH});
    live_drain(&live, NULL, NULL);
    cr_assert_eq(live_int(&live, "select count(distinct xmin::text) from live_group"), 100);
    live_close(&live);
}

struct outcome {
    uint32_t ok, failed;
    const char *sqlstate;
    uint32_t one_in;
};

static bool fails(const struct outcome *outcome, uint64_t number) {
    return live_identity(number) % outcome->one_in == 0;
}

static void note(struct live *l, const quring_done *done, void *context) {
    struct outcome *outcome = context;
    (void)l;
    if (fails(outcome, done->user_data)) {
        live_check_error(done, QURING_SERVER_ERROR, outcome->sqlstate, "");
        outcome->failed++;
    } else {
        live_check_ok(done, "a member that is fine");
        cr_assert_eq(quring_affected_count(done->result), 1);
        outcome->ok++;
    }
}

static void run_failing(const char *failing, const char *sqlstate, uint32_t one_in) {
    enum { COUNT = 1000 };
    struct outcome outcome = {.sqlstate = sqlstate, .one_in = one_in};
    open_groups(3, 64);
    make_table();
    live_exec(&live, "insert into live_group values (-1, -1)");
    for (uint64_t i = 0; i < COUNT; i++)
        live_submit(&live,
                    &(quring_query){.sql = fails(&outcome, i) ? failing : "insert into live_group values ($1, 1)",
                                    .params = QURING_PARAMS(quring_int64((int64_t)i)),
                                    .user_data = i});
    live_drain(&live, note, &outcome);
    cr_assert_eq(outcome.ok + outcome.failed, COUNT);
    cr_assert_gt(outcome.failed, 0);
    cr_assert_eq(live_int(&live, "select count(*) from live_group where id >= 0"), outcome.ok);
    live_exec(&live, "drop table live_group");
    live_close(&live);
}

Test(pg_group, one_in_a_hundred_breaks_a_constraint) {
    run_failing("insert into live_group values (-1, $1)", "23505", 100);
}

Test(pg_group, one_in_five_breaks_another) {
    run_failing("insert into live_group values ($1, null)", "23502", 5);
}

Test(pg_group, one_in_twenty_does_not_parse) {
    run_failing("insert into live_group valeus ($1, 1)", "42601", 20);
}

Test(pg_group, one_in_twenty_has_a_bad_parameter) {
    run_failing("insert into live_group values (($1::text || 'x')::int8, 1)", "22P02", 20);
}

/* Two members want the same place: one has it, the other reports why not. */
Test(pg_group, members_that_collide) {
    open_groups(2, 64);
    make_table();
    for (uint64_t i = 0; i < 600; i++)
        live_submit(&live, &(quring_query){.sql = "insert into live_group values ($1, 0)",
                                           .params = QURING_PARAMS(quring_int64((int64_t)i / 2)),
                                           .user_data = i});
    uint8_t ok[300] = {0};
    while (quring_pending(live.engine)) {
        quring_done done = live_wait(&live);
        if (done.status == QURING_OK)
            ok[done.user_data / 2]++;
        else
            live_check_error(&done, QURING_SERVER_ERROR, "23505", "duplicate key");
        live_release(&live, &done);
    }
    for (int i = 0; i < 300; i++)
        cr_assert_eq(ok[i], 1, "%d went in %u times", i, ok[i]);
    cr_assert_eq(live_int(&live, "select count(*) from live_group"), 300);
    live_close(&live);
}

/* Counters show what runs twice: each is raised once by each member. */
Test(pg_group, effects_take_place_once) {
    open_groups(2, 64);
    make_table();
    live_exec(&live, "insert into live_group select g, 0 from generate_series(0, 9) g");
    for (uint64_t i = 0; i < 1000; i++)
        live_submit(&live, &(quring_query){.sql = i % 50 == 49 ? "select 1 / ($1::int8 - $1::int8)"
                                                               : "update live_group set n = n + 1 where id = $1",
                                           .params = QURING_PARAMS(quring_int64((int64_t)i % 10)),
                                           .user_data = i});
    uint32_t ok = 0, failed = 0;
    while (quring_pending(live.engine)) {
        quring_done done = live_wait(&live);
        cr_assert(done.status == QURING_OK || done.user_data % 50 == 49, "%s", done.error->message);
        ok += done.status == QURING_OK;
        failed += done.status == QURING_SERVER_ERROR;
        live_release(&live, &done);
    }
    cr_assert_eq(ok + failed, 1000);
    cr_assert_eq(live_int(&live, "select sum(n)::int8 from live_group"), ok);
    live_close(&live);
}

/* A member that was carried out and rolled back for its neighbour's sake must not have done what no rollback undoes. */
Test(pg_group, what_no_rollback_undoes_happens_once) {
    static const char *const outside[] = {"select pg_try_advisory_lock(4712)",
                                          "select pg_create_physical_replication_slot('live_group')",
                                          "select pg_drop_replication_slot('live_group')"};
    open_groups(1, 64);
    live_exec(&live, "select 1");
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        live_submit(&live, &(quring_query){.sql = outside[i], .user_data = 1});
        live_submit(&live, &(quring_query){.sql = "select 1 / 0"});
        while (quring_pending(live.engine)) {
            quring_done done = live_wait(&live);
            if (done.user_data == 1)
                live_check_ok(&done, outside[i]);
            else
                live_check_error(&done, QURING_SERVER_ERROR, "22012", "");
            live_release(&live, &done);
        }
    }
    cr_expect_eq(live_int(&live, "select pg_advisory_unlock(4712)::int4::int8"), 1);
    cr_expect_eq(live_int(&live, "select count(*) from pg_locks where locktype = 'advisory' and objid = 4712"), 0);
    live_close(&live);
}

/* Two groups lock the same rows in opposite orders. No member would have had that deadlock alone; nobody hears of it. */
Test(pg_group, deadlocks_of_groups) {
    live_open_url(&live, live_url_with("options=-c%20deadlock_timeout%3D20ms"), NULL,
                  &(quring_db_options){.connection_count = 2, .depth = 32, .commit = QURING_COMMIT_GROUP});
    make_table();
    live_exec(&live, "insert into live_group select g, 0 from generate_series(0, 31) g");
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 64; i++)
            live_submit(&live, &(quring_query){.sql = "update live_group set n = n + 1 where id = $1 and "
                                                      "pg_sleep(0.001) is not null",
                                               .params = QURING_PARAMS(quring_int64(i < 32 ? i : 63 - i))});
        while (quring_pending(live.engine)) {
            quring_done done = live_wait(&live);
            live_check_ok(&done, "in the deadlock");
            live_release(&live, &done);
        }
    }
    cr_assert_eq(live_int(&live, "select min(n) from live_group"), 10);
    cr_assert_eq(live_int(&live, "select max(n) from live_group"), 10);
    live_close(&live);
}

/* Statements that refuse to share a transaction run again alone. */
Test(pg_group, statements_that_want_to_be_alone) {
    open_groups(1, 64);
    make_table();
    static const char *const alone[] = {"vacuum live_group", "create index concurrently live_index on live_group (n)",
                                        "drop index concurrently live_index", "alter system reset work_mem",
                                        "reindex table concurrently live_group"};
    int64_t id = 0;
    for (size_t a = 0; a < sizeof alone / sizeof *alone; a++) {
        for (int i = 0; i < 30; i++) {
            if (i == 15)
                live_submit(&live, &(quring_query){.sql = alone[a], .user_data = 1});
            live_submit(&live, &(quring_query){.sql = "insert into live_group values ($1, 0)",
                                               .params = QURING_PARAMS(quring_int64(id++))});
        }
        while (quring_pending(live.engine)) {
            quring_done done = live_wait(&live);
            live_check_ok(&done, alone[a]);
            live_release(&live, &done);
        }
    }
    cr_assert_eq(live_int(&live, "select count(*) from live_group"), id);
    live_close(&live);
}

/* The commit of the whole group fails for one: that one reports it, and nobody else. */
Test(pg_group, deferred_constraint) {
    open_groups(1, 64);
    live_script(&live, "drop table if exists live_child, live_parent;\n"
                       "create table live_parent (id int8 primary key);\n"
                       "insert into live_parent values (1);\n"
                       "create table live_child (id int8 primary key, parent int8 references live_parent "
                       "deferrable initially deferred)");
    for (int64_t i = 0; i < 300; i++)
        live_submit(&live, &(quring_query){.sql = "insert into live_child values ($1, $2)",
                                           .params = QURING_PARAMS(quring_int64(i), quring_int64(i % 37 == 36 ? 2 : 1)),
                                           .user_data = (uint64_t)i});
    uint32_t failed = 0;
    while (quring_pending(live.engine)) {
        quring_done done = live_wait(&live);
        if (done.user_data % 37 == 36) {
            live_check_error(&done, QURING_SERVER_ERROR, "23503", "live_child");
            failed++;
        } else {
            live_check_ok(&done, "a child with a parent");
        }
        live_release(&live, &done);
    }
    cr_assert_eq(failed, 8);
    cr_assert_eq(live_int(&live, "select count(*) from live_child"), 292);
    live_exec(&live, "drop table live_child, live_parent");
    live_close(&live);
}

/* Given up in the middle of its group: the others don't notice. */
Test(pg_group, timeouts_and_cancels_within_a_group) {
    struct ledger ledger;
    struct live_gate gate;
    open_groups(1, 64);
    live_exec(&live, "select 1");
    live_gate_close(&gate);
    ledger_init(&ledger, 300);
    for (uint32_t i = 0; i < 300; i++) {
        quring_id id =
            live_submit(&live, &(quring_query){.sql = i == 100 ? "select $1::int8, " LIVE_AT_GATE : "select $1::int8",
                                               .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                               .user_data = i,
                                               .timeout_ns = i == 100 ? 100 * LIVE_MS : 0});
        if (i % 50 == 30)
            quring_run(live.engine, 0, 0);
        if (i % 50 == 10)
            cr_assert_eq(quring_cancel(live.engine, id), 0);
    }
    while (!ledger.by_status[QURING_TIMEOUT]) {
        cr_assert_geq(quring_run(live.engine, 1, QURING_FOREVER), 0);
        live_reap(&live, ledger_note, &ledger);
    }
    live_gate_open(&gate);
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(ledger.by_status[QURING_TIMEOUT], 1);
    cr_assert_eq(ledger.by_status[QURING_CANCELLED], 6);
    cr_assert_eq(ledger.by_status[QURING_OK], 293);
    ledger_free(&ledger);
    live_close(&live);
}
