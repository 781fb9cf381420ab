/* SPDX-License-Identifier: MIT */
/* What is prepared where: once per connection and text, evicted, failed, gone stale under us, and very large. */
#include "lib/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

static void open_with(quring_db_options options) {
    live_open(&live, &options);
}

static uint64_t prepare_count(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats.prepare_count;
}

static int64_t server_side_count(void) {
    return live_int(&live, "select count(*) from pg_prepared_statements where statement <> ''");
}

/* ---- Once ---- */

Test(pg_statements, parsed_once_per_connection) {
    open_with((quring_db_options){.connection_count = 1});
    live_exec(&live, "select 1");
    uint64_t before = prepare_count();
    for (int i = 0; i < 100; i++) {
        quring_done done = live_query(&live, "select $1::int8 + 5", quring_int64(i));
        live_check_ok(&done, "sum");
        live_release(&live, &done);
    }
    cr_assert_eq(prepare_count() - before, 1);
    quring_statement *one, *two;
    cr_assert_eq(quring_prepare(live.db, "select $1::int8 + 5", &one), 0);
    cr_assert_eq(quring_prepare(live.db, "select $1::int8 + 5", &two), 0);
    for (int i = 0; i < 100; i++) {
        quring_done done =
            live_run(&live, &(quring_query){.statement = i % 2 ? one : two, .params = QURING_PARAMS(quring_int64(i))});
        live_check_ok(&done, "sum");
        live_release(&live, &done);
    }
    quring_statement_release(one);
    quring_statement_release(two);
    cr_assert_eq(prepare_count() - before, 1);
    live_close(&live);
}

/* Parse, describe and execute travel together: the first use of each of many costs one round trip for all. */
Test(pg_statements, first_uses_are_pipelined) {
    open_with((quring_db_options){.connection_count = 1, .depth = 100});
    live_exec(&live, "select 1");
    quring_stats before, after;
    quring_stats_get(live.engine, &before);
    struct ledger ledger;
    ledger_init(&ledger, 100);
    for (uint32_t i = 0; i < 100; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "select $1::int8, %u", i);
        live_submit(&live, &(quring_query){.sql = sql,
                                           .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                           .user_data = i});
    }
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    ledger_free(&ledger);
    quring_stats_get(live.engine, &after);
    cr_assert_eq(after.prepare_count - before.prepare_count, 100);
    cr_assert_leq(after.send_count - before.send_count, 2, "%llu sends",
                  (unsigned long long)(after.send_count - before.send_count));
    live_close(&live);
}

/* ---- Evicted ---- */

static void check_many_texts(uint32_t texts, uint32_t count) {
    struct ledger ledger;
    ledger_init(&ledger, count);
    for (uint32_t i = 0; i < count; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "select $1::int8, %llu", (unsigned long long)(live_identity(i) % texts));
        live_submit(&live, &(quring_query){.sql = sql,
                                           .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                           .user_data = i});
        if (i % 1000 == 999)
            live_drain(&live, ledger_note, &ledger);
    }
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(ledger.by_status[QURING_OK], count);
    ledger_free(&ledger);
}

Test(pg_statements, one_place_for_many) {
    open_with((quring_db_options){.connection_count = 1, .depth = 64, .statement_count = 1});
    check_many_texts(1, 200);
    check_many_texts(2, 1000);
    check_many_texts(50, 5000);
    cr_assert_leq(server_side_count(), 2, "%lld are left on the server", (long long)server_side_count());
    live_close(&live);
}

Test(pg_statements, few_places_for_many) {
    open_with((quring_db_options){.connection_count = 2, .depth = 64, .statement_count = 8});
    check_many_texts(9, 3000);
    check_many_texts(100, 5000);
    cr_assert_leq(server_side_count(), 9);
    live_close(&live);
}

/* ---- Failed ---- */

Test(pg_statements, a_failing_parse_poisons_nobody) {
    open_with((quring_db_options){.connection_count = 1, .depth = 64});
    live_exec(&live, "drop table if exists live_late");
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 64; i++)
            live_submit(&live, &(quring_query){.sql = i % 2 ? "select a from live_late" : "select 7", .user_data = i});
        for (int i = 0; i < 64; i++) {
            quring_done done = live_wait(&live);
            if (done.user_data % 2)
                live_check_error(&done, QURING_SERVER_ERROR, "42P01", "live_late");
            else
                live_check_ok(&done, "its neighbour");
            live_release(&live, &done);
        }
    }
    live_exec(&live, "create table live_late as select 5 as a");
    cr_assert_eq(live_int(&live, "select a from live_late"), 5);
    cr_assert_eq(live_int(&live, "select a from live_late"), 5);
    live_exec(&live, "drop table live_late");
    live_close(&live);
}

/* ---- Gone stale ---- */

/* Readers of "select *" are under way when the table's columns change: 0A000 is repaired, nobody hears of it. */
Test(pg_statements, alter_table_under_pipelined_readers) {
    open_with((quring_db_options){.connection_count = 4, .depth = 64});
    live_script(&live, "drop table if exists live_wide;\n"
                       "create table live_wide (id int8, a int4);\n"
                       "insert into live_wide values (1, 10)");
    quring_db *other = live_open_db(&live, live_url(), &(quring_db_options){.connection_count = 1});
    uint32_t reads = 0, widest = 0;
    for (int round = 0; round < 12; round++) {
        char sql[96];
        snprintf(sql, sizeof sql,
                 round % 3 == 2 ? "alter table live_wide drop column c%d"
                                : "alter table live_wide add column c%d text default 'x'",
                 round % 3 == 2 ? round - 1 : round);
        for (int i = 0; i < 64; i++)
            live_submit(&live, &(quring_query){.sql = "select * from live_wide where id = $1",
                                               .params = QURING_PARAMS(quring_int64(1))});
        live_submit(&live, &(quring_query){.db = other, .sql = sql, .user_data = 1});
        for (int i = 0; i < 64; i++)
            live_submit(&live, &(quring_query){.sql = "select * from live_wide where id = $1",
                                               .params = QURING_PARAMS(quring_int64(1))});
        while (quring_pending(live.engine)) {
            quring_done done = live_wait(&live);
            live_check_ok(&done, "under ALTER");
            if (!done.user_data) {
                reads++;
                int32_t a = 0;
                uint32_t columns = quring_column_count(done.result);
                cr_assert_eq(quring_get_int32(done.result, 0, 1, &a), 0);
                cr_assert_eq(a, 10);
                for (uint32_t c = 2; c < columns; c++) {
                    const char *text = "";
                    cr_assert_eq(quring_get_text(done.result, 0, c, &text, NULL), 0);
                    cr_assert_str_eq(text, "x");
                }
                widest = columns > widest ? columns : widest;
            }
            live_release(&live, &done);
        }
    }
    cr_assert_eq(reads, 12 * 128);
    cr_assert_geq(widest, 5);
    live_exec(&live, "drop table live_wide");
    live_close(&live);
}

/* A column's type changes: binary results of the old type must not be read as the new one. */
Test(pg_statements, a_column_changes_its_type) {
    open_with((quring_db_options){.connection_count = 1});
    live_script(&live, "drop table if exists live_typed;\n"
                       "create table live_typed (v int4);\n"
                       "insert into live_typed values (42)");
    static const char *const types[] = {"int8", "text", "numeric", "float8", "int4"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (int run = 0; run < 3; run++)
            cr_assert_eq(live_int(&live, "select v from live_typed"), 42);
        char sql[128];
        snprintf(sql, sizeof sql, "alter table live_typed alter column v type %s using v::%s", types[i], types[i]);
        live_exec(&live, sql);
    }
    cr_assert_eq(live_int(&live, "select v from live_typed"), 42);
    live_exec(&live, "drop table live_typed");
    live_close(&live);
}

static const struct {
    const char *before, *after, *value;
} migrations[] = {
    {"int4", "alter table live_move alter v type int8", "5000000000"},
    {"int4", "alter table live_move alter v type text", "seven"},
    {"int4", "alter table live_move alter v type uuid using gen_random_uuid()", "00000000-0000-0000-0000-000000000007"},
    {"text", "alter table live_move alter v type jsonb using to_jsonb(v)", "{\"a\": 1}"},
    {"live_mood",
     "alter type live_mood rename to live_old;\ncreate type live_mood as enum ('7', 'sad');\n"
     "alter table live_move alter v type live_mood using v::text::live_mood;\ndrop type live_old",
     "sad"},
};

static void check_migration(size_t m, quring_commit_mode commit) {
    static const char insert[] = "insert into live_move values ($1)";
    char sql[128];
    snprintf(sql, sizeof sql, "create table live_move (v %s)", migrations[m].before);
    live_script(&live, "drop table if exists live_move;\ndrop type if exists live_mood, live_old;\n"
                       "create type live_mood as enum ('7')");
    live_exec(&live, sql);
    for (int i = 0; i < 2; i++) {
        quring_done done = live_query(&live, insert, quring_text("7"));
        live_check_ok(&done, insert);
        live_release(&live, &done);
    }
    live_script(&live, migrations[m].after);
    for (int i = 0; i < 4; i++)
        live_submit(&live, &(quring_query){.sql = insert,
                                           .commit = commit,
                                           .params = QURING_PARAMS(quring_text(migrations[m].value))});
    for (int i = 0; i < 4; i++) {
        quring_done done = live_wait(&live);
        live_check_ok(&done, migrations[m].after);
        live_release(&live, &done);
    }
    cr_expect_eq(live_int(&live, "select count(*) from live_move"), 6, "%s", migrations[m].after);
}

/* What was prepared keeps the parameters' types that were inferred first, and they no longer fit the column. */
Test(pg_statements, a_parameter_changes_its_type) {
    open_with((quring_db_options){.connection_count = 1});
    for (size_t m = 0; m < sizeof migrations / sizeof *migrations; m++) {
        check_migration(m, QURING_COMMIT_EACH);
        check_migration(m, QURING_COMMIT_GROUP);
    }
    live_script(&live, "drop table live_move;\ndrop type live_mood");
    live_close(&live);
}

/* A value that does not fit is refused as before, at every use, and costs no statement on the server. */
Test(pg_statements, values_that_fit_no_column) {
    open_with((quring_db_options){.connection_count = 1});
    for (int i = 0; i < 20; i++) {
        quring_done done = live_query(&live, "select $1::int4", quring_text(i % 2 ? "7" : "seven"));
        if (i % 2)
            live_check_ok(&done, "a number");
        else
            live_check_error(&done, QURING_SERVER_ERROR, "22P02", "seven");
        live_release(&live, &done);
    }
    cr_assert_leq(server_side_count(), 3);
    live_close(&live);
}

/* An enum's literal was turned into a number of the old type; that shows when it runs, and the next use parses anew. */
Test(pg_statements, a_type_is_made_again) {
    open_with((quring_db_options){.connection_count = 1});
    live_script(&live, "drop type if exists live_again");
    for (int round = 0; round < 3; round++) {
        live_exec(&live,
                  round % 2 ? "create type live_again as enum ('b', 'a')" : "create type live_again as enum ('a')");
        for (int i = 0; i < 5; i++) {
            quring_done done = live_run(&live, &(quring_query){.sql = "select 'a'::live_again"});
            if (round == 0 || i > 0 || done.status != QURING_SERVER_ERROR)
                live_check_ok(&done, "an enum");
            live_release(&live, &done);
        }
        live_exec(&live, "drop type live_again");
    }
    live_close(&live);
}

/* The server forgets what was prepared; nobody hears of it, and what takes effect does so once. */
static void check_forgotten(const char *forget) {
    open_with((quring_db_options){.exclusive = true, .depth = 64});
    live_script(&live, "drop table if exists live_forget;\ncreate table live_forget (n int8)");
    const char *insert = "insert into live_forget values ($1)";
    quring_done done = live_query(&live, insert, quring_int64(-1));
    live_release(&live, &done);
    int64_t next = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 40; i++) {
            if (i == 20)
                live_submit(&live, &(quring_query){.sql = forget});
            live_submit(&live, &(quring_query){.sql = insert, .params = QURING_PARAMS(quring_int64(next++))});
        }
        while (quring_pending(live.engine)) {
            done = live_wait(&live);
            live_check_ok(&done, forget);
            live_release(&live, &done);
        }
    }
    cr_assert_eq(live_int(&live, "select count(*) from live_forget where n >= 0"), next);
    cr_assert_eq(live_int(&live, "select count(distinct n) from live_forget where n >= 0"), next);
    live_exec(&live, "drop table live_forget");
    live_close(&live);
}

Test(pg_statements, deallocate_all) {
    check_forgotten("deallocate all");
}

Test(pg_statements, discard_all) {
    check_forgotten("discard all");
}

Test(pg_statements, discard_plans) {
    check_forgotten("discard plans");
}

/* ---- Large ---- */

Test(pg_statements, parameters_65535) {
    enum { COUNT = 65535 };
    open_with((quring_db_options){.connection_count = 1});
    quring_param *params = calloc(COUNT, sizeof *params);
    char *sql = malloc(COUNT * 8 + 100), *at = sql;
    at += sprintf(at, "select sum(v) from unnest(array[$1::int4");
    for (int i = 2; i <= COUNT; i++)
        at += sprintf(at, ",$%d", i);
    strcpy(at, "]) v");
    for (int i = 0; i < COUNT; i++)
        params[i] = quring_int32(i + 1);
    for (int run = 0; run < 2; run++) {
        quring_done done = live_run(&live, &(quring_query){.sql = sql, .params = params, .param_count = COUNT});
        live_check_ok(&done, "65535 parameters");
        int64_t sum = 0;
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &sum), 0);
        cr_assert_eq(sum, (int64_t)COUNT * (COUNT + 1) / 2);
        live_release(&live, &done);
    }
    free(sql);
    free(params);
    cr_assert_eq(live_int(&live, "select 3"), 3);
    live_close(&live);
}

Test(pg_statements, sql_of_several_megabytes) {
    open_with((quring_db_options){.connection_count = 2});
    size_t size = 5 << 20;
    char *sql = malloc(size + 64);
    strcpy(sql, "select length('");
    memset(sql + 15, 'x', size);
    strcpy(sql + 15 + size, "')");
    uint64_t before = prepare_count();
    for (int run = 0; run < 3; run++) {
        cr_assert_eq(live_int(&live, sql), (int64_t)size);
        cr_assert_eq(live_int(&live, "select 3"), 3);
    }
    cr_assert_geq(prepare_count() - before, 0);
    cr_assert_leq(server_side_count(), 3, "texts of megabytes are not kept");
    free(sql);
    live_close(&live);
}

/* Texts that differ only far behind, or in nothing but their length. */
Test(pg_statements, texts_that_are_nearly_the_same) {
    open_with((quring_db_options){.connection_count = 1});
    char sql[5000];
    for (int n = 0; n < 50; n++) {
        memset(sql, ' ', sizeof sql);
        memcpy(sql, "select 1000 +", 13);
        snprintf(sql + 4000, 900, "%d", n);
        cr_assert_eq(live_int(&live, sql), 1000 + n);
        cr_assert_eq(live_int(&live, sql), 1000 + n);
    }
    static const int64_t cut[] = {12, 123, 1234, 12345};
    for (size_t i = 0; i < 4; i++) {
        quring_done done = live_run(&live, &(quring_query){.sql = "select 12345", .sql_bytes = 9 + i});
        int64_t value = 0;
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &value), 0);
        cr_assert_eq(value, cut[i]);
        live_release(&live, &done);
    }
    live_close(&live);
}
