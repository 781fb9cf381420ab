/* SPDX-License-Identifier: MIT */
/* What a connection refuses, whoever wrote the text or the schema: temporary objects, other files, code from SQL. */
#include "lib/lite_bed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct lite_bed bed;

static void setup(void) {
    bed_begin(&bed);
}

static void teardown(void) {
    bed_end(&bed);
}

TestSuite(rules, .init = setup, .fini = teardown);

static struct query *run(struct query *query) {
    bed_run(&bed, query);
    return query;
}

static struct query *run_text(const char *sql) {
    return run(bed_query(&bed, sql, NULL, 0));
}

static void reopen(enum lite_role role) {
    lite_conn_close(&bed.conn);
    lite_conn_free(&bed.conn);
    bed_open_conn(&bed, "a.db", role);
}

/* ---- Temporary objects ---- */

/* Each connection has a schema "temp" of its own, whose names come before main's. */
static const char *const temporary[] = {
    "create table temp.t(v)",
    "create table TEMP.t(v)",
    "create table \"temp\".t(v)",
    "create table [temp].t(v)",
    "create table if not exists temp.t as select 1 as v",
    "create temp table t(v)",
    "create temporary table t(v)",
    "create view temp.v as select 1",
    "create temp view v as select 1",
    "create virtual table temp.f using fts5(a)",
    "create virtual table temp.r using rtree(id, a, b)",
    "create trigger temp.g after insert on main.t begin select 1; end",
    "create temp trigger g after insert on main.t begin select 1; end",
    "create trigger temp.g after insert on t begin delete from t; end",
    "pragma temp.user_version=4",
    "pragma temp.cache_size=4",
};

Test(rules, nothing_is_made_in_temp_on_a_shared_handle) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table t(v)");
    for (size_t i = 0; i < sizeof temporary / sizeof *temporary; i++) {
        bed_check(run_text(temporary[i]), QURING_SERVER_ERROR, "0A000", "options.exclusive");
        bed_exec(&bed, "insert into t values(1)");
    }
    cr_assert_eq(bed_int(run_text("select count(*) from sqlite_temp_schema"), 0, 0), 0);
    cr_assert_eq(bed_int(run_text("select count(*) from main.t"), 0, 0), sizeof temporary / sizeof *temporary);
}

Test(rules, temp_s_own_table_is_not_written_either) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    cr_expect_eq(run_text("insert into sqlite_temp_schema values('table', 't', 't', 0, 'create table t(v)')")->status,
                 QURING_SERVER_ERROR);
    cr_expect_eq(run_text("update temp.sqlite_schema set sql = 'x'")->status, QURING_SERVER_ERROR);
    cr_expect_eq(run_text("delete from temp.sqlite_schema")->status, QURING_SERVER_ERROR);
}

/* ALTER TABLE looks at temporary objects as well, and what merely asks is harmless. */
Test(rules, what_looks_at_temp_works) {
    static const char *const allowed[] = {"alter table t rename to u",
                                          "alter table u rename column v to w",
                                          "alter table u add column x",
                                          "alter table u drop column x",
                                          "create table \"temp\"(a)",
                                          "create index main.i on u(w)",
                                          "create trigger g after insert on u begin delete from \"temp\"; end",
                                          "create view x as select * from u",
                                          "create virtual table f using fts5(a)",
                                          "insert into \"temp\" values(1)",
                                          "drop view x",
                                          "drop table u",
                                          "drop table f",
                                          "select * from temp.sqlite_schema",
                                          "pragma temp.user_version",
                                          "analyze",
                                          "reindex",
                                          "vacuum"};
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table t(v)");
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        bed_exec(&bed, allowed[i]);
}

Test(rules, an_exclusive_handle_has_its_own_temp) {
    bed_open_conn(&bed, "a.db", LITE_EXCLUSIVE);
    bed_exec(&bed, "create table main.t(v)");
    bed_exec(&bed, "create table temp.t(v)");
    bed_exec(&bed, "insert into t values(1)");
    cr_assert_eq(bed_int(run_text("select count(*) from main.t"), 0, 0), 0);
    bed_exec(&bed, "alter table temp.t add column w");
    bed_exec(&bed, "drop table temp.t");
}

/* ---- PRAGMAs ---- */

Test(rules, the_writer_s_checkpoints_are_not_replaced) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_check(run_text("pragma wal_autocheckpoint=0"), QURING_SERVER_ERROR, "0A000", "checkpoint");
    bed_check(run_text("pragma main.WAL_autocheckpoint(100)"), QURING_SERVER_ERROR, "0A000", "checkpoint");
    bed_exec(&bed, "create table t(v)");
    bed_exec(&bed, "insert into t values(1)");
    cr_assert_gt(bed.conn.wal_frame_count, 0, "commits are still counted");
    bed_exec(&bed, "pragma wal_checkpoint");
    reopen(LITE_EXCLUSIVE);
    bed_exec(&bed, "pragma wal_autocheckpoint=100");
}

/* Virtual tables prepare PRAGMAs of their own while a text that uses them is prepared. */
Test(rules, readers_search_virtual_tables_themselves) {
    static const char *const make[] = {"create virtual table f3 using fts3(a)", "create virtual table f4 using fts4(a)",
                                       "create virtual table f5 using fts5(a)",
                                       "create virtual table r using rtree(id, low, high)"};
    static const char *const reads[] = {
        "select count(*) from f3 where f3 match 'word'",
        "select count(*) from f4 where f4 match 'word'",
        "select count(*) from f5 where f5 match 'word'",
        "select count(*) from r where low <= 1 and high >= 1",
        "with x as (select * from f5) select count(*) from x",
        "select count(*) from f3 join f5 on f3.a = f5.a where f3 match 'word'",
    };
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    for (int i = 0; i < 4; i++)
        bed_exec(&bed, make[i]);
    bed_exec(&bed, "insert into f3 values('a word')");
    bed_exec(&bed, "insert into f4 values('a word')");
    bed_exec(&bed, "insert into f5 values('a word')");
    bed_exec(&bed, "insert into r values(1, 0, 2)");
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        reopen(LITE_READER);
        struct query *query = bed_query(&bed, reads[i], NULL, 0);
        cr_assert_neq(bed_run(&bed, query), LITE_MOVED, "%s", reads[i]);
        cr_assert_eq(bed_int(query, 0, 0), 1, "%s", reads[i]);
        cr_assert_not(bed.conn.verdict.pragma, "it could not be kept: %s", reads[i]);
    }
    cr_assert_eq(bed_run(&bed, bed_query(&bed, "explain query plan pragma page_size", NULL, 0)), LITE_MOVED);
}

/* ---- Other files ---- */

Test(rules, only_exclusive_handles_touch_other_files) {
    char sql[512];
    snprintf(sql, sizeof sql, "vacuum into '%s'", bed_path(&bed, "copy.db"));
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table t(v)");
    bed_check(run_text(sql), QURING_SERVER_ERROR, "0A000", "options.exclusive");
    quring_param path = quring_text(bed_path(&bed, "copy.db"));
    bed_check(run(bed_query(&bed, "vacuum into $1", &path, 1)), QURING_SERVER_ERROR, "0A000", "options.exclusive");
    cr_assert_neq(access(bed_path(&bed, "copy.db"), F_OK), 0);
    bed_check(run_text("select nope"), QURING_SERVER_ERROR, "42703", "nope");
    bed_exec(&bed, "vacuum");
    reopen(LITE_EXCLUSIVE);
    bed_exec(&bed, sql);
    cr_assert_eq(access(bed_path(&bed, "copy.db"), F_OK), 0);
}
