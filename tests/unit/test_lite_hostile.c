/* SPDX-License-Identifier: MIT */
/* Texts and schemas that somebody wrote to run code, to reach other files, or to damage this one. */
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

TestSuite(hostile, .init = setup, .fini = teardown);

static struct query *run_text(const char *sql) {
    struct query *query = bed_query(&bed, sql, NULL, 0);
    bed_run(&bed, query);
    return query;
}

/* It is refused in words, and the connection serves the next query. */
static void check_refused(struct query *query, const char *sql) {
    bed_run(&bed, query);
    cr_expect_eq(query->status, QURING_SERVER_ERROR, "%s: %d", sql, query->status);
    cr_expect_neq(query->error.view.message[0], 0, "%s", sql);
    cr_expect_neq(query->error.view.sqlstate[0], 0, "%s", sql);
    cr_assert_eq(bed_int(run_text("select 42"), 0, 0), 42, "after %s", sql);
}

/* As another program would leave it: SQLite's own defaults, and nothing that defends. */
static void make_file(const char *const *texts, size_t count) {
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &other), SQLITE_OK);
    for (size_t i = 0; i < count; i++) {
        int code = sqlite3_exec(other, texts[i], NULL, NULL, NULL);
        cr_assert_eq(code, SQLITE_OK, "%s: %s", texts[i], sqlite3_errmsg(other));
    }
    sqlite3_close(other);
}

static const enum lite_role roles[] = {LITE_WRITER, LITE_EXCLUSIVE};

static void for_each_role(const char *const *texts, size_t count) {
    for (size_t role = 0; role < 2; role++) {
        bed_open_conn(&bed, "a.db", roles[role]);
        for (size_t i = 0; i < count; i++)
            check_refused(bed_query(&bed, texts[i], NULL, 0), texts[i]);
        lite_conn_close(&bed.conn);
        lite_conn_free(&bed.conn);
    }
    bed.conn.config = NULL;
}

#define FOR_EACH_ROLE(texts) for_each_role(texts, sizeof(texts) / sizeof *(texts))

Test(hostile, texts) {
    static const char *const texts[] = {
        "select fts3_tokenizer('simple')",
        "select fts3_tokenizer('simple', x'4141414141414141')",
        "select \"FTS3_Tokenizer\"('mine', x'4141414141414141')",
        "create virtual table f using fts3(a, tokenize=mine)",
        "select load_extension('/lib/x86_64-linux-gnu/libm.so.6')",
        "select load_extension('x', 'y')",
        "select readfile('/etc/passwd')",
        "select writefile('/tmp/quring-hostile', 'x')",
        "select edit('x')",
        "select * from fsdir('/')",
        "select * from zipfile('/tmp/x.zip')",
        "create virtual table c using csv(filename='/etc/passwd')",
        "pragma temp_store_directory='/'",
        "pragma temp_store_directory('/')",
        "pragma data_store_directory='/'",
        "pragma soft_heap_limit=1",
        "pragma hard_heap_limit=1",
        "explain pragma hard_heap_limit=1",
        "select * from pragma_temp_store_directory('/')",
        "select * from pragma_hard_heap_limit(1)",
        "select * from pragma_writable_schema(1)",
        "update sqlite_schema set sql = 'x'",
        "delete from sqlite_schema",
        "insert into sqlite_schema values('table', 'x', 'x', 2, 'create table x(a)')",
        "create table sqlite_mine(a)",
        "select 'x' like printf('%.*c', 5000, '%')",
        "select 'x' glob printf('%.*c', 50000, '*')",
        "select ?65536",
    };
    make_file((const char *const[]){"create table t(a)"}, 1);
    FOR_EACH_ROLE(texts);
    cr_assert_neq(access("/tmp/quring-hostile", F_OK), 0);
}

/* SQLite allows addresses that come as parameters even where the switch is off. */
Test(hostile, an_address_as_a_parameter) {
    static const char address[8] = "AAAAAAAA";
    bed_open_conn(&bed, NULL, LITE_EXCLUSIVE);
    check_refused(bed_ask(&bed, "select fts3_tokenizer('mine', $1)", quring_bytes(address, 8)), "two parameters");
    check_refused(bed_ask(&bed, "select fts3_tokenizer($1)", quring_text("simple")), "one parameter");
}

Test(hostile, shared_handles_reach_no_other_file) {
    static const char *const texts[] = {
        "attach '/tmp/quring-hostile' as x", "explain attach '/tmp/quring-hostile' as x", "attach ':memory:' as x",
        "vacuum into '/tmp/quring-hostile'", "vacuum main into '/tmp/quring-hostile'",    "detach main",
    };
    make_file((const char *const[]){"create table t(a)"}, 1);
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_refused(bed_query(&bed, texts[i], NULL, 0), texts[i]);
    cr_assert_neq(access("/tmp/quring-hostile", F_OK), 0);
}

Test(hostile, schemas_that_call_what_is_dangerous) {
    static const char *const schema[] = {
        "create table t(a)",
        "insert into t values(1)",
        "create view v1 as select load_extension('x')",
        "create view v2 as select fts3_tokenizer('mine', x'4141414141414141')",
        "create view v3 as select * from pragma_journal_mode",
        "create table target(a)",
        "create trigger g1 after insert on target begin select load_extension('x'); end",
        "create table checked(a check (fts3_tokenizer(a) is not null))",
        "create table defaulted(a, b default (fts3_tokenizer('simple')))",
    };
    static const char *const texts[] = {
        "select * from v1",
        "select * from v2",
        "select * from v2 join t",
        "with x as (select * from v1) select * from x",
        "insert into target values(1)",
        "insert into checked values('simple')",
        "insert into defaulted(a) values(1)",
    };
    make_file(schema, sizeof schema / sizeof *schema);
    FOR_EACH_ROLE(texts);
}

/* SQLite says of the index that the file is corrupt, and of the others that the statement is wrong. */
Test(hostile, schemas_that_call_what_is_not_marked_as_harmless) {
    static const char *const view[] = {"create table t(a)", "create view v as select load_extension(a) from t"};
    static const char *const index[] = {"create table u(a)", "create index i on u(json_valid(a))"};
    make_file(view, 2);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    struct query *query = bed_submit(&bed, bed_query(&bed, "select * from v", NULL, 0));
    bed_drain(&bed);
    bed_check(query, QURING_SERVER_ERROR, "42501", "load_extension");
    cr_assert(strstr(query->error.view.hint, "harmless"));
    bed_close(&bed);
    make_file(index, 2);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    query = bed_submit(&bed, bed_query(&bed, "select * from u", NULL, 0));
    bed_drain(&bed);
    if (query->status == QURING_OK) /* a later SQLite marks it */
        return;
    bed_check(query, QURING_NOT_SENT, "42501", "json_valid");
    cr_assert(strstr(query->error.view.hint, "harmless"));
}

Test(hostile, shadow_tables) {
    static const char *const schema[] = {"create virtual table f using fts5(a)", "create virtual table g using fts4(a)",
                                         "create virtual table r using rtree(id, a, b)"};
    static const char *const texts[] = {
        "delete from f_data",
        "update f_data set block = x'ffffffffffffffff'",
        "insert into g_segdir values(0, 0, 0, 0, 0, x'ff')",
        "drop table g_content",
        "update r_node set data = x'ff'",
        "drop table f_config",
    };
    make_file(schema, 3);
    FOR_EACH_ROLE(texts);
}

/* What is in the shadow tables may be anything when another program wrote it: an answer, or an error. */
Test(hostile, shadow_tables_that_are_broken) {
    static const char *const schema[] = {
        "create virtual table f using fts5(a)",
        "create virtual table g using fts4(a)",
        "create virtual table r using rtree(id, a, b)",
        "insert into f values('some words here')",
        "insert into g values('some words here')",
        "insert into r values(1, 2, 3)",
        "update f_data set block = x'ffffffffffffffffffffffffffffffffffff'",
        "update g_segdir set root = x'ffffffffffffffffffffffffffffffff'",
        "update r_node set data = x'ffffffffffff'",
    };
    static const char *const texts[] = {"select * from f where f match 'words'",
                                        "select * from g where g match 'w*'",
                                        "select * from r where a > 1",
                                        "insert into f values('more')",
                                        "insert into g values('more')",
                                        "insert into r values(2, 3, 4)",
                                        "select snippet(f, 0, 'x', 'y', 'z', 3) from f where f match 'some'",
                                        "select rtreecheck('r')"};
    make_file(schema, sizeof schema / sizeof *schema);
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct query *query = run_text(texts[i]);
        cr_expect(query->status == QURING_OK || query->error.view.message[0], "%s", texts[i]);
    }
    cr_assert_eq(bed_int(run_text("select 42"), 0, 0), 42);
}

static void query_corrupt(const char *damage) {
    static const char *const texts[] = {"select * from t", "insert into t values(1)", "create index j on t(a)",
                                        "drop table t"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct query *query = run_text(texts[i]);
        cr_expect_eq(query->status, QURING_SERVER_ERROR, "%s; %s: %d", damage, texts[i], query->status);
        cr_expect_neq(query->error.view.message[0], 0);
    }
    cr_assert_eq(bed_int(run_text("select 42"), 0, 0), 42);
}

/* Such a file may not even open. */
static void check_corrupt(const char *damage) {
    const char *const schema[] = {"create table t(a)", "create index i on t(a)", "pragma writable_schema=on", damage};
    make_file(schema, 4);
    bed.config = (struct lite_config){.path = bed_path(&bed, "a.db"), .statement_count = 4, .closing = &bed.closing};
    cr_assert(lite_conn_init(&bed.conn, &bed.config, LITE_WRITER));
    if (lite_conn_open(&bed.conn)) {
        query_corrupt(damage);
        lite_conn_close(&bed.conn);
    } else {
        cr_expect_neq(bed.conn.open_error.view.message[0], 0);
    }
    lite_conn_free(&bed.conn);
    bed.conn.config = NULL;
    unlink(bed_path(&bed, "a.db"));
}

Test(hostile, schemas_that_are_no_sql) {
    check_corrupt("update sqlite_schema set sql = 'create table t('");
    check_corrupt("update sqlite_schema set sql = 'drop table t'");
    check_corrupt("update sqlite_schema set sql = 'create table t(a); attach ''/tmp/quring-hostile'' as x'");
    check_corrupt("update sqlite_schema set rootpage = 100000");
    check_corrupt("update sqlite_schema set rootpage = 0, sql = 'create virtual table t using nope'");
    cr_assert_neq(access("/tmp/quring-hostile", F_OK), 0);
}

Test(hostile, a_mistyped_name_in_double_quotes_is_no_text) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_exec(&bed, "create table t(name)");
    bed_exec(&bed, "insert into t values('x')");
    bed_check(run_text("select * from t where name = \"nope\""), QURING_SERVER_ERROR, "42703", "nope");
    bed_check(run_text("create table u(a check (a <> \"bad\"))"), QURING_SERVER_ERROR, "42703", "bad");
    cr_assert_eq(bed_int(run_text("select count(\"name\") from t"), 0, 0), 1);
}
