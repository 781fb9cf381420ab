/* SPDX-License-Identifier: MIT */
/* options.exclusive: one connection, strictly in order, whose state is the caller's. */
#include "lib/live.h"

#include <stdio.h>
#include <string.h>

static struct live live;

static void open_exclusive(void) {
    live_open(&live, &(quring_db_options){.exclusive = true, .depth = 32});
}

/* Submits all, then checks each against what is expected: "" for OK, or an SQLSTATE. */
static void check_pipeline(const char *const (*steps)[2], size_t count, quring_commit_mode commit) {
    for (size_t i = 0; i < count; i++)
        live_submit(&live, &(quring_query){.sql = steps[i][0], .user_data = i, .commit = commit});
    for (size_t i = 0; i < count; i++) {
        quring_done done = live_wait(&live);
        cr_assert_eq(done.user_data, i, "number %zu came as the %zu.", (size_t)done.user_data, i);
        const char *sqlstate = done.error ? done.error->sqlstate : "";
        cr_expect_str_eq(sqlstate, steps[i][1], "%zu. %s: %s %s", i, steps[i][0], sqlstate,
                         done.error ? done.error->message : "");
        live_release(&live, &done);
    }
}

#define CHECK_PIPELINE(steps) check_pipeline(steps, sizeof(steps) / sizeof *(steps), QURING_COMMIT_DEFAULT)

Test(pg_exclusive, transactions_in_one_flight) {
    open_exclusive();
    static const char *const steps[][2] = {
        {"drop table if exists live_tx", ""},
        {"create table live_tx (id int8 primary key)", ""},
        {"begin", ""},
        {"insert into live_tx values (1)", ""},
        {"commit", ""},
        {"begin", ""},
        {"insert into live_tx values (2)", ""},
        {"rollback", ""},
        {"begin", ""},
        {"insert into live_tx values (3)", ""},
        {"savepoint a", ""},
        {"insert into live_tx values (1)", "23505"},
        {"insert into live_tx values (4)", "25P02"},
        {"rollback to savepoint a", ""},
        {"insert into live_tx values (5)", ""},
        {"commit", ""},
        {"begin", ""},
        {"insert into live_tx values (6)", ""},
        {"select 1/0", "22012"},
        {"insert into live_tx values (7)", "25P02"},
        {"commit", "40000"}, /* carried out, but as ROLLBACK */
        {"rollback", ""},
        {"insert into live_tx values (8)", ""},
    };
    CHECK_PIPELINE(steps);
    cr_assert_eq(live_int(&live, "select sum(id * id) from live_tx"), 1 + 9 + 25 + 64);
    live_exec(&live, "drop table live_tx");
    live_close(&live);
}

Test(pg_exclusive, state_is_kept) {
    open_exclusive();
    static const char *const steps[][2] = {
        {"set application_name = 'live session'", ""},
        {"create temp table live_temp (a int4)", ""},
        {"insert into live_temp values (1), (2)", ""},
        {"prepare live_plan as select 5", ""},
        {"execute live_plan", ""},
        {"declare live_cursor cursor with hold for select generate_series(1, 10)", ""},
        {"fetch 3 from live_cursor", ""},
        {"close live_cursor", ""},
        {"notify live_channel, 'x'", ""},
        {"set search_path to nowhere", ""},
        {"select count(*) from live_temp", ""},
        {"reset search_path", ""},
        {"begin", ""},
        {"set local work_mem = '1MB'", ""},
        {"commit", ""},
    };
    CHECK_PIPELINE(steps);
    cr_assert_eq(live_int(&live, "select count(*) from live_temp"), 2);
    quring_done done = live_run(&live, &(quring_query){.sql = "select current_setting('application_name')"});
    const char *name = "";
    cr_assert_eq(quring_get_text(done.result, 0, 0, &name, NULL), 0);
    cr_assert_str_eq(name, "live session");
    live_release(&live, &done);
    live_close(&live);
}

/* Each sees what all before it did, and nothing of those behind. */
Test(pg_exclusive, thousands_in_order) {
    open_exclusive();
    live_exec(&live, "create temp table live_order (n int8)");
    for (int64_t i = 0; i < 2000; i++) {
        live_submit(&live, &(quring_query){.sql = "insert into live_order values ($1)",
                                           .params = QURING_PARAMS(quring_int64(i)),
                                           .user_data = UINT64_MAX});
        live_submit(&live, &(quring_query){.sql = "select count(*), max(n) from live_order where n > $1",
                                           .params = QURING_PARAMS(quring_int64(i - 100)),
                                           .user_data = (uint64_t)i});
    }
    int64_t expected = 0;
    while (quring_pending(live.engine)) {
        quring_done done = live_wait(&live);
        live_check_ok(&done, "in order");
        int64_t count = 0, max = 0;
        if (done.user_data != UINT64_MAX) {
            cr_assert_eq(done.user_data, (uint64_t)expected);
            cr_assert_eq(quring_get_int64(done.result, 0, 0, &count), 0);
            cr_assert_eq(quring_get_int64(done.result, 0, 1, &max), 0);
            cr_assert_eq(count, expected < 99 ? expected + 1 : 100);
            cr_assert_eq(max, expected);
            expected++;
        }
        live_release(&live, &done);
    }
    cr_assert_eq(expected, 2000);
    live_close(&live);
}

/* A text whose plan was forgotten is parsed again in its turn, not behind those that followed it. */
Test(pg_exclusive, order_holds_when_the_server_forgets_plans) {
    static const char *const forget[] = {"deallocate all", "discard all", "discard plans"};
    open_exclusive();
    live_script(&live, "drop table if exists live_turn;\ncreate table live_turn (n int8)");
    for (size_t f = 0; f < sizeof forget / sizeof *forget; f++) {
        const char *const steps[][2] = {
            {"insert into live_turn values (1)", ""},
            {"select count(*) from live_turn", ""},
            {forget[f], ""},
            {"insert into live_turn values (1)", ""},
            {"delete from live_turn", ""},
            {"insert into live_turn values (1)", ""},
            {"update live_turn set n = n + 1", ""},
        };
        for (int run = 0; run < 3; run++) {
            for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
                if (i != 2)
                    live_exec(&live, steps[i][0]); /* so that it is prepared */
            live_exec(&live, "delete from live_turn");
            CHECK_PIPELINE(steps);
            cr_expect_eq(live_int(&live, "select count(*) from live_turn"), 1, "%s, run %d", forget[f], run);
            cr_expect_eq(live_int(&live, "select max(n) from live_turn"), 2);
            live_exec(&live, "delete from live_turn");
        }
    }
    live_exec(&live, "drop table live_turn");
    live_close(&live);
}

/* A plan that a statement before it in the same flight makes stale. */
Test(pg_exclusive, order_holds_when_a_table_changes) {
    open_exclusive();
    live_script(&live, "drop table if exists live_shape;\ncreate table live_shape (n int8)");
    for (int run = 0; run < 4; run++) {
        live_exec(&live, "delete from live_shape");
        live_exec(&live, "insert into live_shape (n) values (7)");
        live_exec(&live, "select * from live_shape");
        static const char *const steps[] = {"alter table live_shape add column extra int4", "select * from live_shape",
                                            "delete from live_shape", "alter table live_shape drop column extra"};
        for (uint64_t i = 0; i < 4; i++)
            live_submit(&live, &(quring_query){.sql = steps[i], .user_data = i});
        for (uint64_t i = 0; i < 4; i++) {
            quring_done done = live_wait(&live);
            cr_expect_eq(done.user_data, i);
            live_check_ok(&done, steps[i]);
            if (done.user_data == 1)
                cr_expect_eq(quring_row_count(done.result), 1, "the SELECT ran behind the DELETE");
            live_release(&live, &done);
        }
    }
    live_exec(&live, "drop table live_shape");
    live_close(&live);
}

/* Nobody's statements run on half of a session: all that is queued ends with it, and a new one starts clean. */
/* One that nobody could foresee fails with the server's words; what was sent behind it has run, so it may not run now. */
Test(pg_exclusive, a_stale_plan_with_followers_is_not_run_out_of_order) {
    open_exclusive();
    live_script(&live, "drop table if exists live_shape;\n"
                       "create table live_shape (n int8);\n"
                       "insert into live_shape values (7);\n"
                       "select * from live_shape");
    live_exec(&live, "create or replace function live_widen() returns int language plpgsql as $$ begin "
                     "alter table live_shape add column extra int4; return 1; end $$");
    live_exec(&live, "select * from live_shape");
    static const char *const steps[][2] = {
        {"select live_widen()", ""},
        {"select * from live_shape", "0A000"},
        {"delete from live_shape", ""},
    };
    CHECK_PIPELINE(steps);
    live_exec(&live, "select * from live_shape");
    live_exec(&live, "do $$ begin alter table live_shape drop column extra; end $$");
    live_exec(&live, "select * from live_shape"); /* alone it is repaired */
    live_exec(&live, "drop table live_shape");
    live_exec(&live, "drop function live_widen");
    live_close(&live);
}

/* Whatever its queries say: groups run their members again, and exclusive handles are in order. */
Test(pg_exclusive, has_no_groups) {
    live_open(&live, &(quring_db_options){.exclusive = true, .depth = 32});
    static const char *const steps[][2] = {
        {"create temp table live_tx (id int8 primary key)", ""},
        {"insert into live_tx values (1)", ""},
        {"insert into live_tx values (1)", "23505"},
        {"insert into live_tx values (2)", ""},
        {"begin", ""},
        {"insert into live_tx values (3)", ""},
        {"insert into live_tx values (1)", "23505"},
        {"insert into live_tx values (4)", "25P02"},
        {"rollback", ""},
        {"insert into live_tx values (5)", ""},
    };
    check_pipeline(steps, sizeof steps / sizeof *steps, QURING_COMMIT_GROUP);
    cr_assert_eq(live_int(&live, "select sum(id) from live_tx"), 8);
    live_close(&live);
}

Test(pg_exclusive, lost_with_all_that_was_queued) {
    open_exclusive();
    quring_db *killer = live_open_db(&live, live_url(), &(quring_db_options){.connection_count = 1});
    live_exec(&live, "create temp table live_gone (n int8)");
    char kill[96];
    snprintf(kill, sizeof kill, "select pg_terminate_backend(%d)", (int)live_int(&live, "select pg_backend_pid()"));
    struct ledger ledger;
    ledger_init(&ledger, 500);
    live_submit(&live, &(quring_query){.sql = "select pg_sleep(600)", .user_data = 0});
    for (uint32_t i = 1; i < 499; i++)
        live_submit(&live, &(quring_query){.sql = "insert into live_gone values (1)", .user_data = i});
    quring_run(live.engine, 1, 50 * LIVE_MS);
    live_submit(&live, &(quring_query){.db = killer, .sql = kill, .user_data = 499});
    live_drain(&live, NULL, NULL);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_eq(stats.done_count[QURING_IN_DOUBT], 32, "%llu in doubt",
                 (unsigned long long)stats.done_count[QURING_IN_DOUBT]);
    cr_assert_eq(stats.done_count[QURING_NOT_SENT], 467, "%llu not sent",
                 (unsigned long long)stats.done_count[QURING_NOT_SENT]);
    quring_done done = live_run(&live, &(quring_query){.sql = "select * from live_gone"});
    live_check_error(&done, QURING_NOT_SENT, "57P01", "terminating connection");
    live_release(&live, &done);
    ledger_free(&ledger);
    live_close(&live);
}

Test(pg_exclusive, is_one_connection) {
    open_exclusive();
    quring_db *db = NULL;
    cr_assert_eq(
        quring_db_open(live.engine, live_url(), &(quring_db_options){.exclusive = true, .connection_count = 2}, &db),
        QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(live.engine), "connection_count"));
    live_close(&live);
}

/* Its notifications could not be handed out; texts that are no UTF-8 could not be read. */
Test(pg_exclusive, what_is_refused_here_too) {
    static const char *const refused[] = {"listen x", "set client_encoding to latin1", "set names 'win1252'"};
    open_exclusive();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cr_assert_eq(quring_submit(live.engine, &(quring_query){.db = live.db, .sql = refused[i]}, NULL),
                     QURING_EUNSUPPORTED);
        cr_expect_neq(*quring_errmsg(live.engine), 0);
    }
    live_exec(&live, "set client_encoding to 'utf-8'");
    live_exec(&live, "reset client_encoding");
    live_close(&live);
}

Test(pg_exclusive, copy_is_refused_here_too) {
    open_exclusive();
    cr_assert_eq(quring_submit(live.engine, &(quring_query){.db = live.db, .sql = "copy pg_class to stdout"}, NULL),
                 QURING_EUNSUPPORTED);
    cr_assert_eq(live_int(&live, "select 1"), 1);
    live_close(&live);
}

/* ---- The server's process ---- */

static void check_pid(const char *url, bool exclusive, bool direct) {
    live_open_url(&live, url, NULL, &(quring_db_options){.exclusive = exclusive, .connection_count = 1});
    cr_assert_eq(quring_db_server_pid(live.db), 0, "not connected yet");
    int64_t pid = live_int(&live, "select pg_backend_pid()");
    cr_assert_eq(pid == quring_db_server_pid(live.db), direct, "%s", url);
    live_close(&live);
}

Test(pg_exclusive, the_servers_process_is_known_where_no_pooler_stands_between) {
    check_pid(live_url(), true, true);
    check_pid(live_socket_url(), true, true);
    check_pid(live_env("QURING_TEST_PG_TLS_URL"), true, true);
    check_pid(live_url(), false, false);
    check_pid(live_env("QURING_TEST_PGBOUNCER_URL"), true, false);
}

Test(pg_exclusive, the_servers_process_is_forgotten_with_its_connection) {
    open_exclusive();
    int64_t pid = live_int(&live, "select pg_backend_pid()");
    cr_assert_eq(quring_db_server_pid(live.db), pid);
    quring_done done = live_run(&live, &(quring_query){.sql = "select pg_terminate_backend(pg_backend_pid())"});
    cr_assert_neq(done.status, QURING_OK);
    live_release(&live, &done);
    cr_assert_eq(quring_db_server_pid(live.db), 0);
    live_close(&live);
}
