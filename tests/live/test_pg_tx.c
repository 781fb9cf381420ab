/* SPDX-License-Identifier: MIT */
/* Transactions of quring_tx_open() on the real server. */
#include "lib/live_tx.h"
#include "lib/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void open_many(uint32_t connections) {
    live_open(&live, &(quring_db_options){.connection_count = connections, .lease_count = connections});
}

static void make_table(void) {
    live_script(&live, "drop table if exists live_tx;\ncreate table live_tx (id int8 primary key, n int8 not null)");
}

static int64_t row_count(void) {
    return live_int(&live, "select count(*) from live_tx");
}

/* ---- As submitted ---- */

Test(pg_tx, a_whole_one) {
    open_many(2);
    make_table();
    quring_tx *tx = begin();
    quring_id ids[3] = {ask(tx, "insert into live_tx values (1, 0)"), ask(tx, "insert into live_tx values (2, 0)"),
                        commit(tx)};
    quring_tx_release(tx);
    for (int i = 0; i < 3; i++)
        ends(ids[i], "");
    cr_assert_eq(row_count(), 2);
    cr_assert_eq(live_int(&live, "select count(distinct xmin::text) from live_tx"), 1, "one transaction");
    live_close(&live);
}

Test(pg_tx, one_that_is_rolled_back) {
    open_many(2);
    make_table();
    quring_tx *tx = begin();
    ends(ask(tx, "insert into live_tx values (1, 0)"), "");
    cr_assert_eq(row_count(), 0, "others do not see it");
    quring_id id;
    cr_assert_eq(quring_rollback(tx, 0, &id), 0);
    ends(id, "");
    quring_tx_release(tx);
    cr_assert_eq(row_count(), 0);
    tx = begin();
    ends(ask(tx, "insert into live_tx values (1, 0)"), "");
    quring_tx_release(tx);
    tx = begin();
    ends(ask(tx, "insert into live_tx values (1, 0)"), "");
    end_with_commit(tx, "");
    cr_assert_eq(row_count(), 1, "a release without COMMIT took it back, so the next was no duplicate");
    live_close(&live);
}

Test(pg_tx, a_failure_and_what_stands_behind_it) {
    open_many(1);
    make_table();
    for (int whole = 0; whole < 2; whole++) {
        quring_tx *tx = begin();
        quring_id ids[4] = {ask(tx, "insert into live_tx values (1, 0)"), ask(tx, "select 1/0"),
                            ask(tx, "insert into live_tx values (2, 0)")};
        if (whole)
            ids[3] = commit(tx);
        ends(ids[0], "");
        ends(ids[1], "SERVER_ERROR 22012");
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_SKIPPED, "22012", "division by zero");
        cr_assert_eq(done.failed_id, ids[1]);
        live_release(&live, &done);
        if (!whole) {
            ends(ask(tx, "insert into live_tx values (3, 0)"), "SKIPPED 22012");
            ids[3] = commit(tx);
        }
        done = live_wait(&live);
        live_check_error(&done, QURING_SERVER_ERROR, "22012", "division by zero");
        live_release(&live, &done);
        quring_tx_release(tx);
        cr_assert_eq(row_count(), 0);
    }
    live_close(&live);
}

Test(pg_tx, savepoints) {
    open_many(1);
    make_table();
    for (int whole = 0; whole < 2; whole++) {
        static const struct tx_step steps[] = {
            {"insert into live_tx values (1, 0)", ""},
            {"savepoint a", ""},
            {"insert into live_tx values (2, 0)", ""},
            {"savepoint b", ""},
            {"insert into live_tx values (1, 0)", "SERVER_ERROR 23505"},
            {"insert into live_tx values (3, 0)", "SKIPPED 23505"},
            {"release savepoint b", "SKIPPED 23505"},
            {"rollback to savepoint b", ""},
            {"insert into live_tx values (4, 0)", ""},
            {"release b", ""},
            {"rollback to a", ""},
            {"insert into live_tx values (5, 0)", ""},
            {"COMMIT", ""},
        };
        enum { COUNT = sizeof steps / sizeof *steps };
        take_steps(steps, COUNT, whole);
        cr_assert_eq(live_int(&live, "select sum(id * id) from live_tx"), 1 + 25);
        live_exec(&live, "delete from live_tx");
    }
    live_close(&live);
}

/* The server carries out what stands behind a query that is over a limit, and goes back to the savepoint that it finds there. */
Test(pg_tx, nothing_is_revived_where_a_savepoint_was_moved_behind_the_failure) {
    static const struct {
        const char *behind, *back;
        bool revives;
    } rows[] = {
        {"savepoint a", "rollback to a", false},
        {"savepoint \"a\"", "rollback work to savepoint A;", false},
        {"savepoint U&\"\\0061\"", "rollback to a", false},
        {"release a", "rollback to a", false},
        {"savepoint b", "rollback to a", false},
        {"insert into live_tx values (2, 0)", "rollback to a", true},
    };
    live_open(&live, &(quring_db_options){.connection_count = 1, .result_row_count = 10});
    make_table();
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const char *behind = rows[i / 2].behind, *back = rows[i / 2].back;
        bool late = i % 2, revives = rows[i / 2].revives;
        quring_tx *tx = begin();
        ends_as(tx, "savepoint a", "");
        quring_id large = ask(tx, "select generate_series(1, 100)"), id = 0;
        quring_id skipped[] = {ask(tx, "insert into live_tx values (1, 0)"), ask(tx, behind)};
        if (!late)
            id = ask(tx, back);
        ends(large, "LIMIT 54000");
        ends(skipped[0], "SKIPPED 54000");
        ends(skipped[1], "SKIPPED 54000");
        if (late)
            id = ask(tx, back);
        ends(id, revives ? "" : "SKIPPED 54000");
        end_with_commit(tx, revives ? "" : "SERVER_ERROR 54000");
        cr_assert_eq(row_count(), 0, "%s, %s", behind, back);
    }
    live_close(&live);
}

/* The server has only the older savepoint of that name then, and would take back what was told as OK. */
Test(pg_tx, a_release_behind_the_failure_lets_nothing_be_revived) {
    live_open(&live, &(quring_db_options){.connection_count = 1, .result_row_count = 10});
    make_table();
    for (int late = 0; late < 2; late++) {
        quring_tx *tx = begin();
        ends_as(tx, "savepoint b", "");
        ends_as(tx, "insert into live_tx values (1, 0)", "");
        ends_as(tx, "savepoint a", "");
        ends_as(tx, "savepoint b", "");
        quring_id large = ask(tx, "select generate_series(1, 100)"), released = ask(tx, "release a");
        quring_id id = late ? 0 : ask(tx, "rollback to b");
        ends(large, "LIMIT 54000");
        ends(released, "SKIPPED 54000");
        ends(late ? ask(tx, "rollback to b") : id, "SKIPPED 54000");
        end_with_commit(tx, "SERVER_ERROR 54000");
        cr_assert_eq(row_count(), 0);
    }
    live_close(&live);
}

Test(pg_tx, options_are_the_servers) {
    open_many(1);
    make_table();
    quring_tx *tx = begin_with(&(quring_tx_options){.isolation = QURING_ISOLATION_SERIALIZABLE, .read_only = true});
    quring_done done =
        live_run(&live, &(quring_query){.tx = tx,
                                        .sql = "select current_setting('transaction_isolation') || ' ' || "
                                               "current_setting('transaction_read_only')"});
    const char *text = "";
    live_check_ok(&done, "settings");
    cr_assert_eq(quring_get_text(done.result, 0, 0, &text, NULL), 0);
    cr_assert_str_eq(text, "serializable on");
    live_release(&live, &done);
    ends(ask(tx, "insert into live_tx values (1, 0)"), "SERVER_ERROR 25006");
    end_with_commit(tx, "SERVER_ERROR 25006");
    tx = begin_with(&(quring_tx_options){.deferrable = true}); /* the server takes it, and it changes nothing */
    ends_as(tx, "insert into live_tx values (1, 0)", "");
    end_with_commit(tx, "");
    live_close(&live);
}

/* ---- BEGIN that fails ---- */

/* The relay makes "begin" a syntax error: what was pipelined behind it would commit by itself. */
Test(pg_tx, nothing_commits_behind_a_begin_that_failed) {
    live_open(&live, NULL);
    make_table();
    struct relay *relay = relay_open(live_port());
    relay_set(relay, &(struct relay_plan){
                         .cut_after_received = RELAY_NEVER, .cut_after_sent = RELAY_NEVER, .garbled = "begin"});
    quring_db *direct = live.db;
    live.db = live_open_db(&live, live_url_by_port(relay_port(relay)), &(quring_db_options){.connection_count = 1});
    for (int whole = 0; whole < 2; whole++) {
        quring_id ids[6];
        quring_tx *tx = begin();
        ids[0] = ask(tx, "insert into live_tx values (1, 0)");
        ids[1] = ask(tx, "savepoint a");
        ids[2] = ask(tx, "insert into live_tx values (2, 0)");
        ids[3] = ask(tx, "rollback to a");
        ids[4] = ask(tx, "insert into live_tx values (3, 0)");
        if (whole)
            ids[5] = commit(tx);
        for (int i = 0; i < 5; i++)
            ends(ids[i], "SKIPPED 42601");
        if (!whole)
            ids[5] = commit(tx);
        ends(ids[5], "SERVER_ERROR 42601");
        quring_tx_release(tx);
        ends(live_submit(&live, &(quring_query){.db = live.db, .sql = "select 1"}), "");
    }
    live.db = direct;
    cr_assert_eq(row_count(), 0);
    live_close(&live);
    relay_close(relay);
}

/* ---- Round trips ---- */

Test(pg_tx, what_is_submitted_together_is_one_round_trip) {
    enum { ROUNDS = 20 };
    live_open(&live, NULL);
    make_table();
    live_exec(&live, "insert into live_tx values (1, 0)");
    struct relay *relay = relay_open(live_port());
    live.db = live_open_db(&live, live_url_by_port(relay_port(relay)), &(quring_db_options){.connection_count = 1});
    live_connect(&live, 9);
    for (int reset = 0; reset < 2; reset++) {
        quring_tx_options options = {.lease_reset = reset ? QURING_LEASE_RESET_ALWAYS : QURING_LEASE_RESET_DEFAULT};
        ends(live_submit(&live, &(quring_query){.db = live.db, .sql = "select 1"}), "");
        uint32_t before = relay_flight_count(relay);
        for (int round = 0; round < ROUNDS; round++) {
            quring_id ids[4];
            quring_tx *tx = begin_with(&options);
            ids[0] = ask(tx, "update live_tx set n = n + 1 where id = 1");
            ids[1] = ask(tx, "savepoint a");
            ids[2] = ask(tx, "select n from live_tx where id = 1");
            ids[3] = commit(tx);
            quring_tx_release(tx);
            for (int i = 0; i < 4; i++)
                ends(ids[i], "");
        }
        cr_assert_eq(relay_flight_count(relay) - before, ROUNDS, "%u flights", relay_flight_count(relay) - before);
    }
    cr_assert_eq(live_int(&live, "select n from live_tx"), 2 * ROUNDS);
    live_close(&live);
    relay_close(relay);
}

/* ---- The reserve ---- */

Test(pg_tx, commit_comes_through_where_its_own_waiters_fill_all_slots) {
    enum { SLOTS = 65 };
    quring_options engine = {.query_count = SLOTS};
    live_open_url(&live, live_url(), &engine, &(quring_db_options){.connection_count = 4, .lease_count = 1});
    make_table();
    live_exec(&live, "insert into live_tx values (1, 0)");
    quring_tx *tx = begin();
    ends(ask(tx, "update live_tx set n = n + 1"), "");
    for (int i = 0; i < SLOTS - 1; i++)
        (void)live_submit(&live, &(quring_query){.sql = "update live_tx set n = n + 1", .user_data = 1});
    quring_query one = {.db = live.db, .sql = "select 1"};
    cr_assert_eq(quring_submit(live.engine, &one, NULL), QURING_EFULL);
    one.tx = tx;
    cr_assert_eq(quring_submit(live.engine, &one, NULL), QURING_EFULL);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0, "all of them wait for its row");
    cr_assert_eq(quring_commit(tx, 2, NULL), 0);
    quring_tx_release(tx);
    live_drain(&live, NULL, NULL);
    cr_assert_eq(live_int(&live, "select n from live_tx"), SLOTS);
    live_close(&live);
}

/* ---- The server's own reasons ---- */

Test(pg_tx, a_deferred_constraint_fails_at_commit) {
    open_many(1);
    make_table();
    live_script(&live, "drop table if exists live_tx_child;\n"
                       "create table live_tx_child (id int8 references live_tx deferrable initially deferred)");
    quring_tx *tx = begin();
    ends(ask(tx, "insert into live_tx_child values (7)"), "");
    end_with_commit(tx, "SERVER_ERROR 23503");
    cr_assert_eq(live_int(&live, "select count(*) from live_tx_child"), 0);
    live_exec(&live, "drop table live_tx_child");
    live_close(&live);
}

Test(pg_tx, a_serialization_failure) {
    open_many(2);
    make_table();
    live_script(&live, "insert into live_tx values (1, 0), (2, 0)");
    const quring_tx_options serializable = {.isolation = QURING_ISOLATION_SERIALIZABLE};
    quring_tx *a = begin_with(&serializable), *b = begin_with(&serializable);
    ends(ask(a, "select sum(n) from live_tx"), "");
    ends(ask(b, "select sum(n) from live_tx"), "");
    ends(ask(a, "update live_tx set n = n + 1 where id = 1"), "");
    ends(ask(b, "update live_tx set n = n + 1 where id = 2"), "");
    end_with_commit(a, "");
    end_with_commit(b, "SERVER_ERROR 40001");
    cr_assert_eq(live_int(&live, "select sum(n) from live_tx"), 1);
    live_close(&live);
}

Test(pg_tx, a_deadlock) {
    open_many(2);
    make_table();
    live_script(&live, "insert into live_tx values (1, 0), (2, 0)");
    quring_tx *txs[2] = {begin(), begin()};
    static const char *const own[] = {"update live_tx set n = n + 1 where id = 1",
                                      "update live_tx set n = n + 1 where id = 2"};
    for (int i = 0; i < 2; i++)
        ends(ask(txs[i], own[i]), "");
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    quring_id locks[2] = {ask(txs[0], own[1]), ask(txs[1], own[0])};
    int failed = -1;
    for (int i = 0; i < 2; i++) {
        quring_done done = live_wait(&live);
        by_status[done.status]++;
        if (done.status == QURING_SERVER_ERROR) {
            cr_assert_str_eq(done.error->sqlstate, "40P01");
            failed = done.id == locks[1];
        }
        live_release(&live, &done);
    }
    cr_assert(by_status[QURING_OK] == 1 && by_status[QURING_SERVER_ERROR] == 1);
    end_with_commit(txs[!failed], "");
    end_with_commit(txs[failed], "SERVER_ERROR 40P01");
    cr_assert_eq(live_int(&live, "select sum(n) from live_tx"), 2);
    live_close(&live);
}

Test(pg_tx, the_servers_timeouts) {
    open_many(2);
    make_table();
    quring_tx *tx = begin();
    ends(ask(tx, "insert into live_tx values (1, 0)"), "");
    ends(ask(tx, "set local statement_timeout = '50ms'"), "");
    ends(ask(tx, "select pg_sleep(60)"), "SERVER_ERROR 57014");
    end_with_commit(tx, "SERVER_ERROR 57014");
    tx = begin();
    ends(ask(tx, "insert into live_tx values (1, 0)"), "");
    ends(ask(tx, "set idle_in_transaction_session_timeout = '50ms'"), "");
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    quring_stats stats = {0};
    while (stats.connection_lost_count == 0) {
        cr_assert_lt(live_now_ns(), until);
        cr_assert_geq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
        quring_stats_get(live.engine, &stats);
    }
    ends(ask(tx, "insert into live_tx values (2, 0)"), "SKIPPED 25P03");
    end_with_commit(tx, "SERVER_ERROR 25P03");
    cr_assert_eq(row_count(), 0);
    live_close(&live);
}

/* ---- Our own reasons ---- */

/* By the transaction's time, by the query's, or by a cancel. Returns false if the time was over before the first had ended. */
static bool rolls_back(int how, uint64_t timeout_ns) {
    quring_tx *tx = begin_with(&(quring_tx_options){.timeout_ns = how == 0 ? timeout_ns : 0});
    ask(tx, "insert into live_tx values (1, 0)");
    quring_done done = live_wait(&live);
    bool in_time = done.status == QURING_OK;
    cr_assert(in_time || how == 0, "%s", quring_status_name(done.status));
    live_release(&live, &done);
    if (in_time) {
        quring_id held = live_submit(&live, &(quring_query){.db = live.db,
                                                            .tx = tx,
                                                            .sql = "select " LIVE_AT_GATE,
                                                            .timeout_ns = how == 1 ? timeout_ns : 0});
        cr_assert_geq(quring_run(live.engine, 1, 5 * LIVE_MS), 0);
        if (how == 2)
            cr_assert_eq(quring_cancel(live.engine, held), 0);
        ends(held, how == 2 ? "CANCELLED 57014" : "TIMEOUT 57014");
    }
    ends(ask(tx, "insert into live_tx values (2, 0)"), how == 0 ? "SKIPPED 25P04" : "SKIPPED 57014");
    end_with_commit(tx, how == 0 ? "SERVER_ERROR 25P04" : "SERVER_ERROR 57014");
    return in_time;
}

Test(pg_tx, timeouts_and_cancels_roll_back) {
    open_many(4);
    make_table();
    struct live_gate gate;
    live_gate_close(&gate);
    for (int how = 0; how < 3; how++) {
        for (uint64_t timeout_ns = 50 * LIVE_MS; !rolls_back(how, timeout_ns); timeout_ns *= 2) {
        }
    }
    live_gate_open(&gate);
    cr_assert_eq(row_count(), 0);
    live_close(&live);
}

Test(pg_tx, an_idle_one_lets_go) {
    open_many(1);
    make_table();
    quring_tx *tx = begin_with(&(quring_tx_options){.idle_timeout_ns = 50 * LIVE_MS});
    ends(ask(tx, "insert into live_tx values (1, 0)"), "");
    cr_assert_eq(row_count(), 0, "the only connection is free again, and the insert is undone");
    quring_done done = live_run(&live, &(quring_query){.tx = tx, .sql = "select 1"});
    live_check_error(&done, QURING_SKIPPED, "25P03", "idle_timeout_ns");
    cr_assert_eq(done.failed_id, 0);
    live_release(&live, &done);
    end_with_commit(tx, "SERVER_ERROR 25P03");
    live_close(&live);
}

/* Another session finds no transaction of this one: at once where there is time for the answer, else soon. */
Test(pg_tx, shutdown_rolls_back_what_is_idle) {
    struct live other;
    live_open(&other, &(quring_db_options){.exclusive = true});
    for (int grace = 0; grace < 2; grace++) {
        open_many(2);
        make_table();
        quring_tx *tx = begin(), *failed = begin();
        ends(ask(tx, "insert into live_tx values (1, 0)"), "");
        ends(ask(failed, "savepoint a"), "");
        ends(ask(failed, "select 1/0"), "SERVER_ERROR 22012");
        static const char in_tx[] = "select count(*) from pg_stat_activity where state like 'idle in transaction%'";
        cr_assert_eq(live_int(&other, in_tx), 2);
        cr_assert_eq(quring_shutdown(live.engine, grace ? LIVE_STALL_NS : 0), 0);
        uint64_t until = live_now_ns() + LIVE_STALL_NS;
        while (!grace && live_int(&other, in_tx))
            cr_assert_lt(live_now_ns(), until);
        cr_assert_eq(live_int(&other, in_tx), 0);
        cr_assert_eq(live_int(&other, "select count(*) from live_tx"), 0);
        cr_assert_eq(quring_commit(tx, 0, NULL), QURING_ESHUTDOWN);
        quring_tx_release(tx);
        live_close(&live);
    }
    live_close(&other);
}

/* ---- What must not leak ---- */

Test(pg_tx, nothing_is_left_for_the_next_user_of_the_connection) {
    static const struct {
        const char *leaves, *finds;
    } rows[] = {
        {"set application_name = 'left'", "select count(*) from (select current_setting('application_name') as a) s "
                                          "where a = 'left'"},
        {"select set_config('work_mem', '77kB', false)", "select count(*) from pg_settings where name = 'work_mem' "
                                                         "and setting = '77'"},
        {"create temp table live_left (a int)", "select count(*) from pg_class where relname = 'live_left'"},
        {"select 1 as a into temp live_left", "select count(*) from pg_class where relname = 'live_left'"},
        {"select 1 as a into local temp live_left", "select count(*) from pg_class where relname = 'live_left'"},
        {"select count(*) insert into temp live_left", "select count(*) from pg_class where relname = 'live_left'"},
        {"select 1 as merge into temp live_left", "select count(*) from pg_class where relname = 'live_left'"},
        {"select 1 as for into temp live_left", "select count(*) from pg_class where relname = 'live_left'"},
        {"-- x\rselect 1 as a into temp live_left", "select count(*) from pg_class where relname = 'live_left'"},
        {"select pg_advisory_lock(4711)", "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711"},
        {"select pg_try_advisory_lock(4711)",
         "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711"},
        {"declare live_left cursor with hold for select 1", "select count(*) from pg_cursors where name = 'live_left'"},
        {"prepare live_left as select 1", "select count(*) from pg_prepared_statements where name = 'live_left'"},
        {"set session characteristics as transaction read only", "select count(*) from pg_settings where "
                                                                 "name = 'default_transaction_read_only' and "
                                                                 "setting = 'on'"},
        {"set role pg_read_all_data", "select count(*) from (select 1) s where current_user = 'pg_read_all_data'"},
        {"do $$ begin perform set_config('a.left', 'x', false); end $$",
         "select count(*) from (select 1) s where current_setting('a.left', true) = 'x'"},
    };
    open_many(1);
    int64_t pid = live_int(&live, "select pg_backend_pid()");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        quring_tx *tx = begin();
        quring_done done = live_run(&live, &(quring_query){.tx = tx, .sql = rows[i].leaves});
        live_check_ok(&done, rows[i].leaves);
        live_release(&live, &done);
        done = live_run(&live, &(quring_query){.tx = tx, .sql = rows[i].finds});
        int64_t inside = 0;
        live_check_ok(&done, rows[i].finds);
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &inside), 0);
        cr_assert_eq(inside, 1, "%s: it is there inside", rows[i].leaves);
        live_release(&live, &done);
        end_with_commit(tx, "");
        cr_assert_eq(live_int(&live, rows[i].finds), 0, "%s: it was left", rows[i].leaves);
        if (strstr(rows[i].leaves, "into ")) { /* outside of transactions nothing takes it away */
            quring_query query = {.db = live.db, .sql = rows[i].leaves};
            cr_assert_eq(quring_submit(live.engine, &query, NULL), QURING_EUNSUPPORTED, "%s", rows[i].leaves);
            cr_assert_eq(quring_submit_batch(live.engine, &query, 1, QURING_BATCH_ATOMIC, NULL), QURING_EUNSUPPORTED);
        }
    }
    cr_assert_eq(live_int(&live, "select pg_backend_pid()"), pid, "on the same connection");
    live_close(&live);
}

Test(pg_tx, a_reset_leaves_the_style_of_results) {
    const char *url = live_url_with("options=-cDateStyle%3DGerman%20-cextra_float_digits%3D0");
    live_open_url(&live, url, NULL, &(quring_db_options){.connection_count = 1});
    static const char sql[] = "select count(*) from (select 1) s where array[date '2024-02-01']::text = '{2024-02-01}' "
                              "and array[0.1::float8 + 0.2]::text = '{0.30000000000000004}'";
    cr_assert_eq(live_int(&live, sql), 1);
    quring_tx *tx = begin();
    ends(ask(tx, "set local work_mem = '1MB'"), "");
    end_with_commit(tx, "");
    cr_assert_eq(live_int(&live, sql), 1, "as on a new connection");
    live_close(&live);
}

Test(pg_tx, a_reset_is_asked_for_where_a_function_hides_it) {
    open_many(1);
    live_exec(&live, "create or replace function live_hides() returns int language sql as "
                     "$$ select set_config('a.hidden', 'x', false); select 1 $$");
    for (int always = 0; always < 2; always++) {
        quring_tx *tx = begin_with(
            &(quring_tx_options){.lease_reset = always ? QURING_LEASE_RESET_ALWAYS : QURING_LEASE_RESET_DEFAULT});
        ends(ask(tx, "select live_hides()"), "");
        end_with_commit(tx, "");
        cr_assert_eq(live_int(&live, "select count(*) from (select 1) s where current_setting('a.hidden', true) = 'x'"),
                     !always);
    }
    live_exec(&live, "drop function live_hides()");
    live_close(&live);
}
