/* SPDX-License-Identifier: MIT */
/* What an error carries, what is refused before it is sent, and that notices and the like disturb nobody. */
#include "lib/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

static void open_it(void) {
    live_open(&live, &(quring_db_options){.connection_count = 2});
}

static void close_it(void) {
    live_close(&live);
}

TestSuite(pg_errors, .init = open_it, .fini = close_it);

/* ---- Fields ------------------------------------------------------------------------------------------------------ */

Test(pg_errors, message_detail_hint_and_code) {
    for (int run = 0; run < 3; run++) {
        quring_done done =
            live_run(&live, &(quring_query){.sql = "do $$ begin raise exception 'the message %', 7 using "
                                                   "detail = 'the detail', hint = 'the hint ☃', "
                                                   "errcode = 'Q4242'; end $$",
                                            .user_data = 99});
        live_check_error(&done, QURING_SERVER_ERROR, "Q4242", "the message 7");
        cr_expect_str_eq(done.error->message, "the message 7");
        cr_expect_str_eq(done.error->detail, "the detail");
        cr_expect_str_eq(done.error->hint, "the hint ☃");
        cr_expect_eq(done.error->backend_code, 0);
        cr_expect_eq(done.user_data, 99);
        cr_expect_eq(quring_column_count(done.result), 0);
        cr_expect_eq(quring_affected_count(done.result), 0);
        live_release(&live, &done);
    }
}

Test(pg_errors, position_counts_characters) {
    static const struct {
        const char *sql, *sqlstate;
        uint32_t position;
    } cases[] = {
        {"selekt 1", "42601", 1},
        {"select nope", "42703", 8},
        {"select 'é☃𝄞', nope", "42703", 15},
        {"select 1 from missing", "42P01", 15},
        {"select 1 +", "42601", 11},
        {"select 1/0", "22012", 0},
        {"select 1; select 2", "42601", 0},
        {"insert into pg_class values (", "42601", 30},
    };
    for (int run = 0; run < 2; run++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            quring_done done = live_run(&live, &(quring_query){.sql = cases[i].sql});
            live_check_error(&done, QURING_SERVER_ERROR, cases[i].sqlstate, "");
            cr_expect_eq(done.error->position, cases[i].position, "%s: %u", cases[i].sql, done.error->position);
            cr_expect_str_eq(done.error->detail, "");
            live_release(&live, &done);
        }
}

/* Cut to a bound, at a character; the connection lives on. */
Test(pg_errors, a_message_of_a_megabyte) {
    quring_done done = live_run(
        &live, &(quring_query){.sql = "do $$ begin raise exception '%', repeat('é', 500000) using errcode = 'Q0001', "
                                      "hint = 'behind'; end $$"});
    live_check_error(&done, QURING_SERVER_ERROR, "Q0001", "ééé");
    size_t length = strlen(done.error->message);
    cr_assert(length >= 1000 && length < 100000, "%zu", length);
    cr_assert_eq((uint8_t)done.error->message[length - 2], 0xc3, "cut within a character");
    cr_assert_str_eq(done.error->hint, "behind");
    live_release(&live, &done);
    cr_assert_eq(live_int(&live, "select 5"), 5);
}

/* Rows that came before the error are not handed out. */
Test(pg_errors, error_after_a_thousand_rows) {
    for (int run = 0; run < 3; run++) {
        quring_done done =
            live_run(&live, &(quring_query){.sql = "select 1000 / (1000 - g) from generate_series(1, 2000) g"});
        live_check_error(&done, QURING_SERVER_ERROR, "22012", "division by zero");
        cr_assert_eq(quring_row_count(done.result), 0);
        live_release(&live, &done);
    }
}

Test(pg_errors, deferred_constraint_fails_at_commit) {
    live_script(&live, "drop table if exists live_child, live_parent;\n"
                       "create table live_parent (id int8 primary key);\n"
                       "create table live_child (id int8 primary key, parent int8 references live_parent "
                       "deferrable initially deferred);\n"
                       "insert into live_parent values (1)");
    for (int64_t run = 0; run < 3; run++) {
        quring_done done =
            live_query(&live, "insert into live_child values ($1, $2)", quring_int64(run), quring_int64(2));
        live_check_error(&done, QURING_SERVER_ERROR, "23503", "live_child");
        cr_assert(strstr(done.error->detail, "(2)"), "%s", done.error->detail);
        cr_assert_eq(quring_affected_count(done.result), 0);
        live_release(&live, &done);
        done = live_query(&live, "insert into live_child values ($1, $2)", quring_int64(run), quring_int64(1));
        live_check_ok(&done, "a child with a parent");
        cr_assert_eq(quring_affected_count(done.result), 1);
        live_release(&live, &done);
    }
    cr_assert_eq(live_int(&live, "select count(*) from live_child"), 3);
    live_exec(&live, "drop table live_child, live_parent");
}

/* ---- Statements that are refused --------------------------------------------------------------------------------- */

static void check_refused(const char *sql, int error, const char *words) {
    int got = quring_submit(live.engine, &(quring_query){.db = live.db, .sql = sql}, NULL);
    cr_expect_eq(got, error, "%s: %d", sql, got);
    cr_expect(strstr(quring_errmsg(live.engine), words), "%s: %s", sql, quring_errmsg(live.engine));
    cr_expect_eq(quring_pending(live.engine), 0);
}

Test(pg_errors, statements_that_belong_elsewhere) {
    static const char *const stateful[] = {"begin",
                                           "BEGIN ISOLATION LEVEL SERIALIZABLE",
                                           " start transaction",
                                           "commit",
                                           "end",
                                           "rollback",
                                           "abort",
                                           "savepoint a",
                                           "release a",
                                           "rollback to a",
                                           "prepare transaction 'x'",
                                           "set search_path to x",
                                           "set local work_mem = 1",
                                           "reset all",
                                           "unlisten *",
                                           "discard all",
                                           "deallocate all",
                                           "prepare a as select 1",
                                           "execute a",
                                           "declare c cursor with hold for select 1",
                                           "fetch c",
                                           "close c",
                                           "create temp table t (a int)",
                                           "create temporary view v as select 1",
                                           "load 'x'",
                                           "/* x */ begin",
                                           "-- x\nbegin",
                                           ";begin",
                                           "/* /* nested */ */ begin"};
    for (size_t i = 0; i < sizeof stateful / sizeof *stateful; i++)
        check_refused(stateful[i], QURING_EUNSUPPORTED, "exclusive");
    static const char *const copies[] = {"copy t from stdin", "COPY t (a, b) TO STDOUT",
                                         "copy (select 1) to stdout csv", "copy t from stdin with (format binary)"};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++)
        check_refused(copies[i], QURING_EUNSUPPORTED, "COPY");
    check_refused("listen x", QURING_EUNSUPPORTED, "LISTEN");
    check_refused("select 1 into temp t", QURING_EUNSUPPORTED, "exclusive");
    check_refused("create table pg_temp.t (a int)", QURING_EUNSUPPORTED, "exclusive");
    cr_assert_eq(live_int(&live, "select 1"), 1);
}

Test(pg_errors, calls_that_are_refused) {
    quring_id id = 7;
    static quring_param params[65536];
    cr_expect_eq(quring_submit(live.engine, &(quring_query){.db = live.db}, &id), QURING_EINVAL);
    cr_expect_eq(quring_submit(live.engine, &(quring_query){.sql = "select 1"}, &id), QURING_EINVAL);
    quring_query q = {.db = live.db, .sql = "select\0 1", .sql_bytes = 9};
    cr_expect_eq(quring_submit(live.engine, &q, &id), QURING_EINVAL);
    cr_expect(strstr(quring_errmsg(live.engine), "NUL"), "%s", quring_errmsg(live.engine));
    q = (quring_query){.db = live.db, .sql = "select 1", .params = params, .param_count = 65536};
    cr_expect_eq(quring_submit(live.engine, &q, &id), QURING_EINVAL);
    cr_expect(strstr(quring_errmsg(live.engine), "65535"), "%s", quring_errmsg(live.engine));
    q = (quring_query){.db = live.db, .sql = "select $1", .param_count = 1};
    cr_expect_eq(quring_submit(live.engine, &q, &id), QURING_EINVAL);
    quring_param strange = {.type = (quring_type)77};
    q = (quring_query){.db = live.db, .sql = "select $1", .params = &strange, .param_count = 1};
    cr_expect_eq(quring_submit(live.engine, &q, &id), QURING_EINVAL);
    q = (quring_query){.db = live.db, .sql = "select 1", .commit = (quring_commit_mode)9};
    cr_expect_eq(quring_submit(live.engine, &q, &id), QURING_EINVAL);
    cr_expect_eq(quring_pending(live.engine), 0);
    cr_expect_eq(quring_release(live.engine, 12345), QURING_ESTALE);
    id = live_submit(&live, &(quring_query){.sql = "select 1"});
    cr_expect_eq(quring_release(live.engine, id), QURING_ENOTREADY);
    live_drain(&live, NULL, NULL);
    cr_expect_eq(quring_release(live.engine, id), QURING_ESTALE);
}

Test(pg_errors, wrong_number_of_parameters_is_the_servers_word) {
    for (int run = 0; run < 3; run++) {
        quring_done done = live_run(&live, &(quring_query){.sql = "select $1::int4 + $2::int4"});
        live_check_error(&done, QURING_SERVER_ERROR, "08P01", "parameters");
        live_release(&live, &done);
        done = live_query(&live, "select $1::int4 + $2::int4", quring_int32(1), quring_int32(2), quring_int32(3));
        live_check_error(&done, QURING_SERVER_ERROR, "08P01", "parameters");
        live_release(&live, &done);
        done = live_query(&live, "select $1::int4 + $2::int4", quring_int32(1), quring_int32(2));
        live_check_ok(&done, "two");
        live_release(&live, &done);
    }
}

/* ---- Nothing, and more than asked for ---------------------------------------------------------------------------- */

Test(pg_errors, statements_of_nothing) {
    static const char *const empty[] = {" ", ";", "-- a comment", "/* one */ ;; -- two\n"};
    for (int run = 0; run < 3; run++)
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
            quring_done done = live_run(&live, &(quring_query){.sql = empty[i]});
            live_check_ok(&done, empty[i]);
            cr_expect_eq(quring_row_count(done.result), 0);
            cr_expect_eq(quring_column_count(done.result), 0);
            cr_expect_str_eq(quring_command(done.result), "");
            live_release(&live, &done);
        }
    quring_done done = live_run(&live, &(quring_query){.sql = "select from generate_series(1, 3)"});
    live_check_ok(&done, "rows without columns");
    cr_expect_eq(quring_row_count(done.result), 3);
    cr_expect_eq(quring_column_count(done.result), 0);
    live_release(&live, &done);
}

/* Notices amid rows, notifications, and parameters that the server reports: they may come anywhere. */
Test(pg_errors, asynchronous_messages_disturb_nobody) {
    live_exec(&live, "create or replace function live_chatter(n int8) returns int8 language plpgsql as $$ begin "
                     "raise notice 'row % %', n, repeat('x', 300); perform pg_notify('live', n::text); "
                     "perform set_config('application_name', 'q' || n, false); return n; end $$");
    for (uint64_t i = 0; i < 200; i++)
        live_submit(&live,
                    &(quring_query){.sql = "select live_chatter(g) from generate_series($1::int8, $1::int8 + 9) g",
                                    .params = QURING_PARAMS(quring_int64((int64_t)i)),
                                    .user_data = i});
    for (int i = 0; i < 200; i++) {
        quring_done done = live_wait(&live);
        live_check_ok(&done, "chatter");
        cr_assert_eq(quring_row_count(done.result), 10);
        int64_t value = -1;
        cr_assert_eq(quring_get_int64(done.result, 9, 0, &value), 0);
        cr_assert_eq(value, (int64_t)done.user_data + 9);
        live_release(&live, &done);
    }
    live_exec(&live, "drop function live_chatter");
}

struct counted {
    const char *sql, *command;
    uint64_t affected, rows;
};

static void check_counts(const struct counted *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        quring_done done = live_run(&live, &(quring_query){.sql = cases[i].sql});
        live_check_ok(&done, cases[i].sql);
        cr_expect_str_eq(quring_command(done.result), cases[i].command, "%s: %s", cases[i].sql,
                         quring_command(done.result));
        cr_expect_eq(quring_affected_count(done.result), cases[i].affected, "%s: %llu", cases[i].sql,
                     (unsigned long long)quring_affected_count(done.result));
        cr_expect_eq(quring_row_count(done.result), cases[i].rows, "%s", cases[i].sql);
        live_release(&live, &done);
    }
}

Test(pg_errors, commands_and_counts) {
    static const struct counted cases[] = {
        {"drop table if exists live_counts", "DROP TABLE", 0, 0},
        {"create table live_counts (a int4)", "CREATE TABLE", 0, 0},
        {"insert into live_counts select generate_series(1, 10)", "INSERT", 10, 0},
        {"update live_counts set a = a + 1 where a > 5 returning a", "UPDATE", 5, 5},
        {"delete from live_counts where a = 1", "DELETE", 1, 0},
        {"select * from live_counts", "SELECT", 0, 9},
        {"table live_counts", "SELECT", 0, 9},
        {"with gone as (delete from live_counts returning a) select count(*) from gone", "SELECT", 0, 1},
        {"update live_counts set a = 0", "UPDATE", 0, 0},
        {"create table live_copy as select generate_series(1, 4)", "SELECT", 0, 0},
        {"drop table live_copy", "DROP TABLE", 0, 0},
        {"drop table live_counts", "DROP TABLE", 0, 0},
    };
    check_counts(cases, sizeof cases / sizeof *cases);
}

Test(pg_errors, command_and_count_of_merge) {
    static const struct counted cases[] = {
        {"drop table if exists live_merge", "DROP TABLE", 0, 0},
        {"create table live_merge (a int4)", "CREATE TABLE", 0, 0},
        {"insert into live_merge values (1), (2)", "INSERT", 2, 0},
        {"merge into live_merge m using (values (2), (99), (100)) v(a) on m.a = v.a when matched then delete when not "
         "matched then insert values (v.a)",
         "MERGE", 3, 0},
        {"select * from live_merge where a in (1, 99, 100)", "SELECT", 0, 3},
        {"drop table live_merge", "DROP TABLE", 0, 0},
    };
    if (live_int(&live, "select current_setting('server_version_num')::int8") < 150000)
        cr_skip_test("MERGE came with PostgreSQL 15");
    check_counts(cases, sizeof cases / sizeof *cases);
}

/* ---- Notices ---- */

static void check_notice(const quring_done *done, uint32_t index, const char *severity, const char *sqlstate,
                         const char *message) {
    const quring_error *notice = quring_notice(done->result, index);
    cr_assert(notice, "no notice %u", index);
    cr_expect_str_eq(notice->severity, severity);
    cr_expect_str_eq(notice->sqlstate, sqlstate);
    cr_expect_str_eq(notice->message, message);
}

Test(pg_errors, notices_and_warnings_reach_the_caller) {
    live_exec(&live, "create or replace function live_talk(fail bool) returns int language plpgsql as $$ begin "
                     "raise notice 'one' using detail = 'more', hint = 'read on'; raise warning 'two'; "
                     "if fail then raise exception 'three'; end if; return 4; end $$");
    for (int run = 0; run < 3; run++) {
        quring_done done = live_run(&live, &(quring_query){.sql = "select live_talk(false)"});
        live_check_ok(&done, "live_talk");
        cr_assert_eq(quring_notice_count(done.result), 2u);
        check_notice(&done, 0, "NOTICE", "00000", "one");
        cr_expect_str_eq(quring_notice(done.result, 0)->detail, "more");
        cr_expect_str_eq(quring_notice(done.result, 0)->hint, "read on");
        check_notice(&done, 1, "WARNING", "01000", "two");
        live_release(&live, &done);
        done = live_run(&live, &(quring_query){.sql = "select live_talk(true)"});
        live_check_error(&done, QURING_SERVER_ERROR, "P0001", "three");
        cr_expect_str_eq(done.error->severity, "ERROR");
        cr_assert_eq(quring_notice_count(done.result), 2u);
        check_notice(&done, 1, "WARNING", "01000", "two");
        live_release(&live, &done);
    }
    quring_done done = live_run(&live, &(quring_query){.sql = "drop table if exists live_no_such_table"});
    check_notice(&done, 0, "NOTICE", "00000", "table \"live_no_such_table\" does not exist, skipping");
    live_release(&live, &done);
    done = live_run(&live, &(quring_query){.sql = "select 1"});
    cr_assert_eq(quring_notice_count(done.result), 0u);
    live_release(&live, &done);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_eq(stats.notice_count, 13u);
}

Test(pg_errors, notices_past_the_bounds_are_counted) {
    quring_done done = live_run(
        &live, &(quring_query){.sql = "do $$ begin for i in 1..1000 loop raise notice '%', i; end loop; end $$"});
    live_check_ok(&done, "a thousand notices");
    cr_assert_eq(quring_notice_count(done.result), 64u);
    cr_assert_eq(quring_notice_dropped_count(done.result), 936u);
    check_notice(&done, 63, "NOTICE", "00000", "64");
    live_release(&live, &done);
}
