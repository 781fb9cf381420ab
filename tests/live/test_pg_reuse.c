/* SPDX-License-Identifier: MIT */
/*
 * What may be used again of an earlier parse, and what may not: utility statements, constants of the time of day, plans
 * from before a SET. The first execution and the later ones give the same, whatever the server's settings are.
 */
#include "lib/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

static void open_exclusive(void) {
    live_open(&live, &(quring_db_options){.exclusive = true, .depth = 32});
}

static const char *text_of(const quring_done *done) {
    const char *text = "(none)";
    if (done->status != QURING_OK)
        return done->error->sqlstate;
    if (quring_row_count(done->result) && quring_column_count(done->result))
        cr_assert_eq(quring_get_text(done->result, 0, quring_column_count(done->result) - 1, &text, NULL), 0);
    return text;
}

/* All in one flight, and then one at a time; each with the last value of its first row, "(none)", or an SQLSTATE. */
static void check_values(const char *const (*steps)[2], size_t count) {
    for (int pipelined = 1; pipelined >= 0; pipelined--) {
        for (size_t i = 0; i < count && pipelined; i++)
            live_submit(&live, &(quring_query){.sql = steps[i][0], .user_data = i});
        for (size_t i = 0; i < count; i++) {
            quring_done done = pipelined ? live_wait(&live) : live_run(&live, &(quring_query){.sql = steps[i][0]});
            cr_expect_str_eq(text_of(&done), steps[i][1], "%zu. %s: %s", i, steps[i][0],
                             done.error ? done.error->message : text_of(&done));
            live_release(&live, &done);
        }
    }
}

#define CHECK_VALUES(steps) check_values(steps, sizeof(steps) / sizeof *(steps))

/* ---- Utility statements: their description is never looked at again by the server ---- */

Test(pg_reuse, fetch_of_another_cursor_by_the_same_text) {
    open_exclusive();
    static const char *const steps[][2] = {
        {"begin", "(none)"},
        {"declare c cursor for select 42::int8 as a", "(none)"},
        {"fetch c", "42"},
        {"close c", "(none)"},
        {"declare c cursor for select 1.5::float8 as b", "(none)"},
        {"fetch c", "1.5"},
        {"close c", "(none)"},
        {"declare c cursor for select 'a'::text, date '2026-01-02', 7", "(none)"},
        {"fetch c", "7"},
        {"close c", "(none)"},
        {"declare c cursor for select", "(none)"},
        {"fetch c", "(none)"},
        {"commit", "(none)"},
    };
    CHECK_VALUES(steps);
    live_close(&live);
}

Test(pg_reuse, execute_of_another_plan_by_the_same_text) {
    open_exclusive();
    static const char *const steps[][2] = {
        {"prepare p as select 42::int8", "(none)"},
        {"execute p", "42"},
        {"execute p", "42"},
        {"deallocate p", "(none)"},
        {"prepare p as select 1.5::float8", "(none)"},
        {"execute p", "1.5"},
        {"deallocate p", "(none)"},
        {"prepare p as select 1, true", "(none)"},
        {"execute p", "t"},
        {"deallocate p", "(none)"},
    };
    CHECK_VALUES(steps);
    live_close(&live);
}

Test(pg_reuse, call_of_another_procedure_by_the_same_text) {
    live_open(&live, &(quring_db_options){.connection_count = 1});
    static const char *const types[] = {"int8", "float8", "text", "bool", "int8"};
    static const char *const values[] = {"1", "1", "1", "t", "1"};
    live_exec(&live, "drop procedure if exists live_out");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char sql[160];
        snprintf(sql, sizeof sql, "create procedure live_out(out a %s) language plpgsql as $$ begin a := '1'; end $$",
                 types[i]);
        live_exec(&live, sql);
        for (int run = 0; run < 3; run++) {
            quring_done done = live_run(&live, &(quring_query){.sql = "call live_out(null)"});
            cr_expect_str_eq(text_of(&done), values[i], "%s: %s", types[i], text_of(&done));
            live_release(&live, &done);
        }
        live_exec(&live, "drop procedure live_out");
    }
    live_close(&live);
}

/* PostgreSQL turns such literals into constants when it parses; each execution has its own time. */
Test(pg_reuse, now_in_a_literal_is_not_frozen) {
    live_open(&live, &(quring_db_options){.connection_count = 1});
    static const char *const texts[] = {"select timestamptz 'now'", "select '[NOW,]'::tstzrange",
                                        "select timestamptz $$now$$"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char before[80] = "";
        for (int run = 0; run < 4; run++) {
            quring_done done = live_run(&live, &(quring_query){.sql = texts[i]});
            live_check_ok(&done, texts[i]);
            cr_expect_str_neq(text_of(&done), before, "%s", texts[i]);
            snprintf(before, sizeof before, "%s", text_of(&done));
            live_release(&live, &done);
            live_exec(&live, "select pg_sleep(0.002)");
        }
    }
    live_close(&live);
}

/* ---- Exclusive handles: what was seen when it was parsed ---- */

Test(pg_reuse, another_search_path) {
    open_exclusive();
    live_script(&live, "drop schema if exists live_a, live_b cascade;\n"
                       "create schema live_a;\ncreate schema live_b;\n"
                       "create table live_a.live_path (v int8);\ncreate table live_b.live_path (v text, w text);\n"
                       "insert into live_a.live_path values (1);\ninsert into live_b.live_path values ('b', 'bb')");
    static const char *const steps[][2] = {
        {"begin", "(none)"},
        {"set local search_path to live_a", "(none)"},
        {"select * from live_path", "1"},
        {"select * from live_path", "1"},
        {"set local search_path to live_b", "(none)"},
        {"select * from live_path", "bb"},
        {"savepoint s", "(none)"},
        {"set local search_path to live_a", "(none)"},
        {"select * from live_path", "1"},
        {"rollback to s", "(none)"},
        {"select * from live_path", "bb"},
        {"commit", "(none)"},
        {"select * from live_path", "42P01"},
        {"do $$ begin perform set_config('search_path', 'live_a', false); end $$", "(none)"},
        {"select * from live_path", "1"},
        {"select set_config('search_path', 'live_b', false)", "live_b"},
        {"select * from live_path", "bb"},
        {"reset search_path", "(none)"},
        {"select * from live_path", "42P01"},
    };
    CHECK_VALUES(steps);
    live_exec(&live, "drop schema live_a, live_b cascade");
    live_close(&live);
}

Test(pg_reuse, a_table_changes_and_changes_back) {
    open_exclusive();
    live_script(&live,
                "drop table if exists live_back;\ncreate table live_back (v int8);\ninsert into live_back values (5)");
    static const char *const steps[][2] = {
        {"select * from live_back", "5"},
        {"begin", "(none)"},
        {"alter table live_back add column w text default 'w'", "(none)"},
        {"select * from live_back", "w"},
        {"rollback", "(none)"},
        {"select * from live_back", "5"},
        {"begin", "(none)"},
        {"savepoint s", "(none)"},
        {"alter table live_back alter column v type text", "(none)"},
        {"select * from live_back", "5"},
        {"rollback to s", "(none)"},
        {"select * from live_back", "5"},
        {"begin", "(none)"}, /* a warning: the transaction goes on */
        {"rollback", "(none)"},
        {"select * from live_back", "5"},
    };
    CHECK_VALUES(steps);
    live_exec(&live, "drop table live_back");
    live_close(&live);
}

Test(pg_reuse, constants_follow_their_settings) {
    open_exclusive();
    static const char *const steps[][2] = {
        {"set timezone to 'UTC'", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
        {"set timezone to 'Asia/Tokyo'", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767193200"},
        {"begin", "(none)"},
        {"set local timezone to 'UTC'", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
        {"commit", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767193200"},
        {"set datestyle to 'iso, mdy'", "(none)"},
        {"select extract(month from date '02/03/2026')::int4", "2"},
        {"set datestyle to 'iso, dmy'", "(none)"},
        {"select extract(month from date '02/03/2026')::int4", "3"},
        {"discard all", "(none)"},
        {"select extract(month from date '02/03/2026')::int4", "2"},
    };
    CHECK_VALUES(steps);
    live_close(&live);
}

/* The view pg_settings has a rule that turns UPDATE into a SET. */
Test(pg_reuse, settings_changed_by_update) {
    open_exclusive();
    static const char *const steps[][2] = {
        {"set timezone to 'UTC'", "(none)"},
        {"set datestyle to 'iso, mdy'", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
        {"select extract(month from date '02/03/2026')::int4", "2"},
        {"update pg_settings set setting = 'Asia/Tokyo' where name = 'TimeZone'", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767193200"},
        {"update PG_CATALOG.\"pg_settings\" set setting = 'ISO, DMY' where name = 'DateStyle'", "(none)"},
        {"select extract(month from date '02/03/2026')::int4", "3"},
        {"discard all", "(none)"},
    };
    CHECK_VALUES(steps);
    live_close(&live);
}

/* BEGIN within a transaction that COMMIT AND CHAIN began is a warning, and what was SET in it still ends with it. */
Test(pg_reuse, settings_of_a_chained_transaction) {
    open_exclusive();
    static const char *const ends[] = {"commit", "rollback", "end", "abort"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char chain[64];
        snprintf(chain, sizeof chain, "%s and chain", ends[i]);
        const char *const steps[][2] = {
            {"set timezone to 'UTC'", "(none)"},
            {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
            {"begin", "(none)"},
            {chain, "(none)"},
            {"set local timezone to 'Asia/Tokyo'", "(none)"},
            {"begin", "(none)"},
            {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767193200"},
            {"commit", "(none)"},
            {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
        };
        CHECK_VALUES(steps);
    }
    live_close(&live);
}

/* What a function sets is in no text; of the settings that matter most the server tells, ahead of the next statement. */
Test(pg_reuse, settings_changed_by_a_function) {
    open_exclusive();
    live_exec(&live, "create or replace function live_zone(zone text) returns text language plpgsql as "
                     "$$ begin perform set_config('timezone', zone, true); return zone; end $$");
    static const char *const steps[][2] = {
        {"set timezone to 'UTC'", "(none)"},
        {"begin", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
        {"select live_zone('Asia/Tokyo')", "Asia/Tokyo"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767193200"},
        {"commit", "(none)"},
        {"select extract(epoch from timestamptz '2026-01-01 00:00')::int8", "1767225600"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        quring_done done = live_run(&live, &(quring_query){.sql = steps[i][0]});
        cr_expect_str_eq(text_of(&done), steps[i][1], "%zu. %s: %s", i, steps[i][0], text_of(&done));
        live_release(&live, &done);
    }
    live_exec(&live, "drop function live_zone(text)");
    live_close(&live);
}

/* One that was prepared by hand stays as it was parsed, until the server forgets it. */
Test(pg_reuse, prepared_by_hand) {
    open_exclusive();
    quring_statement *statement = NULL;
    cr_assert_eq(quring_prepare(live.db, "select extract(month from date '02/03/2026')::int4", &statement), 0);
    static const char *const before[] = {
        "set datestyle to 'iso, mdy'",       "select 1",      "set datestyle to 'iso, dmy'",
        "alter role current_user reset all", "discard plans", "deallocate all"};
    static const int32_t months[] = {2, 2, 2, 2, 3, 3}; /* DISCARD PLANS: the server itself looks again */
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        live_exec(&live, before[i]);
        quring_done done = live_run(&live, &(quring_query){.statement = statement});
        live_check_ok(&done, before[i]);
        int32_t month = 0;
        cr_assert_eq(quring_get_int32(done.result, 0, 0, &month), 0);
        cr_expect_eq(month, months[i], "after %s: %d", before[i], month);
        live_release(&live, &done);
    }
    quring_statement_release(statement);
    live_close(&live);
}

/* ---- Names ---- */

Test(pg_reuse, names_of_the_callers_own) {
    open_exclusive();
    for (int i = 0; i < 2000; i++) {
        live_exec(&live, "prepare q1 as select 1");
        live_exec(&live, "execute q1");
        live_exec(&live, "deallocate q1");
        live_exec(&live, "select 2");
    }
    cr_assert_leq(live_int(&live, "select count(*) from pg_prepared_statements"), 8);
    cr_assert_eq(live_int(&live, "select count(*) from pg_prepared_statements where name not like 'quring\\_%'"), 0);
    for (int i = 0; i < 50; i++) {
        live_exec(&live, i % 2 ? "deallocate all" : "discard all");
        live_exec(&live, "select 2");
    }
    cr_assert_leq(live_int(&live, "select count(*) from pg_prepared_statements"), 8);
    live_close(&live);
}

/* ---- First and later executions ---- */

static void check_floats(void) {
    static const char *const texts[] = {"select 1.0::float8 / 3", "select (1.0::float8 / 3)::float4::float8",
                                        "select 0.1::float8 + 0.2::float8", "select 1e-310::float8"};
    const double expected[] = {1.0 / 3, (double)(float)(1.0 / 3), 0.1 + 0.2, 1e-310};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char first[64] = "";
        for (int run = 0; run < 3; run++) {
            quring_done done = live_run(&live, &(quring_query){.sql = texts[i]});
            double value = 0;
            cr_assert_eq(quring_get_float64(done.result, 0, 0, &value), 0);
            cr_expect_eq(value, expected[i], "%s, run %d: %.17g", texts[i], run, value);
            if (run == 0)
                snprintf(first, sizeof first, "%s", text_of(&done));
            cr_expect_str_eq(text_of(&done), first, "%s, run %d: %s", texts[i], run, text_of(&done));
            live_release(&live, &done);
        }
    }
}

Test(pg_reuse, floats_have_all_their_digits_from_the_first_on) {
    static const char *const settings[] = {"0", "-15", "1", "3"};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char query[64];
        snprintf(query, sizeof query, "options=-c%%20extra_float_digits%%3D%s", settings[i]);
        live_open_url(&live, live_url_with(query), NULL, &(quring_db_options){.connection_count = 1});
        check_floats();
        live_close(&live);
    }
}

/* Returns when this connection has taken it up, which shows by a setting that does not matter. */
static void reload(const char *const statements[3], int64_t seq_page_cost) {
    for (int i = 0; i < 3; i++)
        live_exec(&live, statements[i]);
    live_exec(&live, "select pg_reload_conf()");
    while (live_int(&live, "select current_setting('seq_page_cost')::int8") != seq_page_cost)
        live_exec(&live, "select pg_sleep(0.01)");
}

/* What the server's administrator changes under a live connection does not change how values print. */
Test(pg_reuse, styles_outlive_a_reload) {
    static const char *const foreign[] = {"alter system set datestyle = 'german'",
                                          "alter system set extra_float_digits = -5",
                                          "alter system set seq_page_cost = 7"};
    static const char *const usual[] = {"alter system reset datestyle", "alter system reset extra_float_digits",
                                        "alter system reset seq_page_cost"};
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        live_open(&live, &(quring_db_options){.connection_count = 1, .exclusive = exclusive});
        reload(foreign, 7);
        quring_done done =
            live_run(&live, &(quring_query){.sql = "select make_date(2026, 2, 3)::text || ' ' || 1.0::float8 / 3"});
        cr_expect_str_eq(text_of(&done), "2026-02-03 0.3333333333333333", "exclusive %d: %s", exclusive,
                         text_of(&done));
        live_release(&live, &done);
        reload(usual, 1);
        live_close(&live);
    }
}

/* In an exclusive handle the caller may change how values print at any time: every execution prints as psql would. */
Test(pg_reuse, styles_hold_from_the_first_execution_on) {
    open_exclusive();
    static const char *const steps[][2] = {
        {"set datestyle to 'german'", "(none)"},
        {"select make_date(2026, 2, 3)", "03.02.2026"},
        {"select make_date(2026, 2, 3)", "03.02.2026"},
        {"set datestyle to 'sql, dmy'", "(none)"},
        {"select make_date(2026, 2, 3)", "03/02/2026"},
        {"select make_date(2026, 2, 3)", "03/02/2026"},
        {"set extra_float_digits to 0", "(none)"},
        {"select 1.0::float8 / 3", "0.333333333333333"},
        {"select 1.0::float8 / 3", "0.333333333333333"},
        {"set intervalstyle to 'iso_8601'", "(none)"},
        {"select make_interval(days => 3)", "P3D"},
        {"select make_interval(days => 3)", "P3D"},
        {"discard all", "(none)"},
    };
    CHECK_VALUES(steps);
    live_close(&live);
}

static void check_bytes(void) {
    static const uint8_t expected[] = {0, '\\', 'x', 0xff, '\'', 'a'};
    for (int run = 0; run < 3; run++) {
        quring_done done = live_run(&live, &(quring_query){.sql = "select decode('005c78ff2761', 'hex')"});
        const void *bytes = NULL;
        size_t size = 0;
        cr_assert_eq(quring_get_bytes(done.result, 0, 0, &bytes, &size), 0, "%s", quring_result_error(done.result));
        cr_expect_eq(size, sizeof expected, "run %d: %zu bytes", run, size);
        cr_expect_eq(memcmp(bytes, expected, sizeof expected), 0);
        cr_expect_str_eq(text_of(&done), "\\x005c78ff2761", "run %d: %s", run, text_of(&done));
        live_release(&live, &done);
    }
}

Test(pg_reuse, bytes_in_either_style) {
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        live_open_url(&live, live_url_with("options=-c%20bytea_output%3Descape"), NULL,
                      &(quring_db_options){.connection_count = 1, .exclusive = exclusive});
        check_bytes();
        live_close(&live);
    }
}

/* What the caller gets around the guard of words with ends the connection, and says why. */
Test(pg_reuse, texts_that_are_no_utf8) {
    open_exclusive();
    quring_done done = live_run(&live, &(quring_query){.sql = "select set_config('client_encoding', 'latin1', false)"});
    live_check_error(&done, QURING_IN_DOUBT, "22021", "client_encoding");
    live_release(&live, &done);
    live_close(&live);
}

/* ---- Descriptions ---- */

static uint64_t prepare_count(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats.prepare_count;
}

/* `columns` columns with names of 60 bytes that differ from other calls' by `number`. */
static void select_wide(char *sql, uint32_t columns, uint32_t number) {
    char *at = sql + sprintf(sql, "select ");
    for (uint32_t i = 0; i < columns; i++)
        at += sprintf(at, "%s%u as \"%058u_%u\"", i ? "," : "", i % 10, i, number % 10);
}

/* What a handle keeps of descriptions has a bound: past it statements are described again, and work. */
Test(pg_reuse, wide_descriptions) {
    enum { COLUMNS = 600, TEXTS = 400 };
    char *sql = malloc(COLUMNS * 80);
    live_open(&live, &(quring_db_options){.connection_count = 1, .statement_count = TEXTS});
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < TEXTS; i++) {
            select_wide(sql, COLUMNS, i);
            sprintf(sql + strlen(sql), " -- %u", i);
            cr_assert_eq(live_int(&live, sql), 0);
        }
    cr_assert_gt(prepare_count(), TEXTS + TEXTS / 10, "%llu parsed", (unsigned long long)prepare_count());
    cr_assert_lt(prepare_count(), TEXTS + TEXTS / 2, "%llu parsed", (unsigned long long)prepare_count());
    cr_assert_leq(live_int(&live, "select count(*) from pg_prepared_statements"), TEXTS);
    free(sql);
    live_close(&live);
}
