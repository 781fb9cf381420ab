/* SPDX-License-Identifier: MIT */
/* One connection: what is prepared, bound, stepped into results, refused and reported. */
#include "lib/lite_bed.h"
#include "lib/naps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct lite_bed bed;

static void setup(void) {
    bed_begin(&bed);
}

static void teardown(void) {
    bed_end(&bed);
}

TestSuite(exec, .init = setup, .fini = teardown);

#define ask(...) bed_ask(&bed, __VA_ARGS__)

static struct query *run(struct query *query) {
    bed_run(&bed, query);
    return query;
}

static struct query *run_text(const char *sql) {
    return run(bed_query(&bed, sql, NULL, 0));
}

/* ---- Values ---- */

Test(exec, values_round_trip) {
    static const uint8_t uuid[16] = {0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3,
                                     0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0};
    static const int32_t small[] = {1, -2, 3};
    static const int64_t large[] = {INT64_MAX, INT64_MIN};
    static const char *const texts[] = {"a", "q\"\\\n", NULL, ""};
    struct sample {
        quring_param param;
        const char *kind; /* of typeof() */
        quring_type type;
        const char *text; /* NULL: SQL NULL */
    } samples[] = {
        {quring_null(), "null", QURING_NULL, NULL},
        {quring_text(NULL), "null", QURING_NULL, NULL},
        {quring_bool(true), "integer", QURING_INT8, "1"},
        {quring_int32(INT32_MIN), "integer", QURING_INT8, "-2147483648"},
        {quring_int64(INT64_MIN), "integer", QURING_INT8, "-9223372036854775808"},
        {quring_int64(INT64_MAX), "integer", QURING_INT8, "9223372036854775807"},
        {quring_float64(0.1), "real", QURING_FLOAT8, "0.1"},
        {quring_float64(-INFINITY), "real", QURING_FLOAT8, "-Infinity"},
        {quring_text("h\xc3\xa9llo"), "text", QURING_TEXT, "h\xc3\xa9llo"},
        {quring_text(""), "text", QURING_TEXT, ""},
        {quring_text_sized(NULL, 0), "text", QURING_TEXT, ""},
        {quring_bytes("\0\xff", 2), "blob", QURING_BYTES, "\\x00ff"},
        {quring_bytes(NULL, 0), "blob", QURING_BYTES, "\\x"},
        {quring_uuid(uuid), "text", QURING_TEXT, "123e4567-e89b-12d3-a456-426614174000"},
        {quring_numeric("123.4500"), "text", QURING_TEXT, "123.4500"},
        {quring_json("{\"a\": 1}"), "text", QURING_TEXT, "{\"a\": 1}"},
        {quring_date(19723), "text", QURING_TEXT, "2024-01-01"},
        {quring_int32_array(small, 3), "text", QURING_TEXT, "[1,-2,3]"},
        {quring_int32_array(NULL, 0), "text", QURING_TEXT, "[]"},
        {quring_int64_array(large, 2), "text", QURING_TEXT, "[9223372036854775807,-9223372036854775808]"},
        {quring_text_array(texts, 4), "text", QURING_TEXT, "[\"a\",\"q\\\"\\\\\\u000a\",null,\"\"]"},
    };
    bed_open_conn(&bed, NULL, LITE_WRITER);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct query *query = run(bed_query(&bed, "select $1, typeof($1)", &samples[i].param, 1));
        cr_expect_str_eq(bed_text(query, 0, 1), samples[i].kind, "sample %zu", i);
        cr_expect_eq(quring_value_type(&query->result, 0, 0), samples[i].type, "sample %zu", i);
        cr_expect_eq(quring_is_null(&query->result, 0, 0), samples[i].text == NULL, "sample %zu", i);
        if (samples[i].text)
            cr_expect_str_eq(bed_text(query, 0, 0), samples[i].text, "sample %zu", i);
    }
}

Test(exec, times_are_texts_that_sqlite_understands) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    int64_t micros = INT64_C(1704164645123456); /* 2024-01-02 03:04:05.123456 */
    struct query *query = run(ask("select julianday($1) - julianday('2024-01-02 03:04:05.123'), date($2), date($3)",
                                  quring_timestamp(micros), quring_timestamptz(micros), quring_date(-1)));
    double difference = 1;
    cr_assert_eq(quring_get_float64(&query->result, 0, 0, &difference), 0, "%s", query->error.view.message);
    cr_assert(fabs(difference) < 1e-7, "%g", difference);
    cr_assert_str_eq(bed_text(query, 0, 1), "2024-01-02");
    cr_assert_str_eq(bed_text(query, 0, 2), "1969-12-31");
}

Test(exec, arrays_serve_json_each) {
    static const int32_t ids[] = {3, 1, 99};
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_exec(&bed, "create table t(id integer primary key)");
    bed_exec(&bed, "insert into t values(1), (2), (3)");
    struct query *query = run(
        ask("select id from t where id in (select value from json_each($1)) order by id", quring_int32_array(ids, 3)));
    cr_assert_eq(query->result.row_count, 2);
    cr_assert_eq(bed_int(query, 0, 0), 1);
    cr_assert_eq(bed_int(query, 1, 0), 3);
}

Test(exec, text_with_nul_and_large_values_keep_their_length) {
    static char large[300000];
    bed_open_conn(&bed, NULL, LITE_WRITER);
    memset(large, 'x', sizeof large);
    struct query *query = run(ask("select $1, length(cast($1 as blob)), $2, length($2)", quring_text_sized("a\0b", 3),
                                  quring_bytes(large, sizeof large)));
    const void *data;
    size_t size;
    cr_assert_eq(quring_get_bytes(&query->result, 0, 0, &data, &size), 0);
    cr_assert(size == 3 && memcmp(data, "a\0b", 3) == 0);
    cr_assert_eq(bed_int(query, 0, 1), 3);
    cr_assert_eq(quring_get_bytes(&query->result, 0, 2, &data, &size), 0);
    cr_assert(size == sizeof large && memcmp(data, large, size) == 0);
    cr_assert_eq(bed_int(query, 0, 3), (int64_t)sizeof large);
}

Test(exec, nan_is_refused) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_check(run(ask("select $1, $2", quring_int64(1), quring_float64(NAN))), QURING_SERVER_ERROR, "22003", "$2");
}

/* ---- Parameters ---- */

Test(exec, parameters_go_by_number_whatever_their_order) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    struct query *query = run(ask("select $3, $1, $3, $2", quring_int64(10), quring_int64(20), quring_int64(30)));
    int64_t wanted[] = {30, 10, 30, 20};
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(bed_int(query, 0, i), wanted[i]);
    query = run(ask("select ?2, ?1", quring_int64(10), quring_int64(20)));
    cr_assert_eq(bed_int(query, 0, 0), 20);
    query = run(ask("select ?, ?", quring_int64(10), quring_int64(20)));
    cr_assert_eq(bed_int(query, 0, 1), 20);
    query = run(ask("select $2", quring_int64(10), quring_int64(20)));
    cr_assert_eq(bed_int(query, 0, 0), 20);
    cr_assert_eq(bed_int(run(ask("select $00001", quring_int64(10))), 0, 0), 10);
}

Test(exec, parameters_that_do_not_fit) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    struct query *query = run(ask("select 1", quring_int64(1)));
    bed_check(query, QURING_SERVER_ERROR, "08P01", "wants 0 parameters, and 1 was given");
    query = run_text("select $1, $2");
    bed_check(query, QURING_SERVER_ERROR, "08P01", "wants 2 parameters, and 0 were given");
    query = run(ask("select $1", quring_int64(1), quring_int64(2)));
    bed_check(query, QURING_SERVER_ERROR, "08P01", "wants 1 parameter, and 2 were given");
    query = run(ask("", quring_int64(1)));
    bed_check(query, QURING_SERVER_ERROR, "08P01", "wants 0 parameters");
    bed_check(run(ask("select $1::int", quring_int64(1))), QURING_SERVER_ERROR, "42601", "cast($1 as int)");
    bed_check(run(ask("select :a", quring_int64(1))), QURING_SERVER_ERROR, "42601", "\":a\"");
    bed_check(run(ask("select @a", quring_int64(1))), QURING_SERVER_ERROR, "42601", "\"@a\"");
    bed_check(run(ask("select $a", quring_int64(1))), QURING_SERVER_ERROR, "42601", "\"$a\"");
    bed_check(run(ask("select $0", quring_int64(1))), QURING_SERVER_ERROR, "42601", "\"$0\"");
    bed_check(run(ask("select $99999999999999999999", quring_int64(1))), QURING_SERVER_ERROR, "42601", "$1, $2");
    bed_check(run(ask("select $1, ?", quring_int64(1))), QURING_SERVER_ERROR, "42601", "not both");
    bed_check(run(ask("select $65535", quring_int64(1))), QURING_SERVER_ERROR, "08P01", "wants 65535 parameters");
}

/* ---- Results ---- */

Test(exec, commands_and_counts) {
    struct sample {
        const char *sql, *command;
        uint64_t affected, rows;
    } samples[] = {
        {"create table t(id integer primary key, a)", "CREATE TABLE", 0, 0},
        {"insert into t values(1, 'x'), (2, 'y'), (3, 'z')", "INSERT", 3, 0},
        {"update t set a = 'n' where id > 1", "UPDATE", 2, 0},
        {"select * from t", "SELECT", 0, 3},
        {"update t set a = a where id = 99", "UPDATE", 0, 0},
        {"insert into t(a) values('r'), ('s') returning id, a", "INSERT", 2, 2},
        {"replace into t values(1, 'again')", "REPLACE", 1, 0},
        {"with x as (select 3 as id) delete from t where id in (select id from x)", "DELETE", 1, 0},
        {"delete from t returning id", "DELETE", 4, 4},
        {"values (1), (2)", "SELECT", 0, 2},
        {"pragma user_version", "PRAGMA", 0, 1},
        {"explain query plan select 1", "EXPLAIN", 0, 1},
        {"drop table t", "DROP TABLE", 0, 0},
        {" ; ", "", 0, 0},
        {"/* nothing */", "", 0, 0},
    };
    bed_open_conn(&bed, NULL, LITE_WRITER);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const quring_result *result = bed_exec(&bed, samples[i].sql);
        cr_expect_str_eq(quring_command(result), samples[i].command, "%s", samples[i].sql);
        cr_expect_eq(quring_affected_count(result), samples[i].affected, "%s", samples[i].sql);
        cr_expect_eq(quring_row_count(result), samples[i].rows, "%s", samples[i].sql);
    }
}

Test(exec, columns_have_names_even_without_rows) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    const quring_result *result = bed_exec(&bed, "select 1 as one, 2 as \"t w o\", 3 as one where false");
    cr_assert_eq(quring_column_count(result), 3);
    cr_assert_str_eq(quring_column_name(result, 1), "t w o");
    cr_assert_eq(quring_column_index(result, "one"), 0);
    cr_assert_eq(quring_column_type(result, 0), QURING_OTHER);
    cr_assert_eq(quring_column_oid(result, 0), 0);
    cr_assert_eq(quring_column_count(bed_exec(&bed, "create table t(a)")), 0);
}

Test(exec, columns_are_shared_by_executions_and_follow_the_schema) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_exec(&bed, "create table t(a)");
    bed_exec(&bed, "insert into t values(1)");
    const quring_result *first = bed_exec(&bed, "select * from t");
    const quring_result *second = bed_exec(&bed, "select * from t");
    cr_assert_eq(first->columns, second->columns);
    bed_exec(&bed, "create table other(b)"); /* prepared anew, and the same */
    cr_assert_eq(bed_exec(&bed, "select * from t")->columns, first->columns);
    bed_exec(&bed, "alter table t rename column a to z");
    const quring_result *renamed = bed_exec(&bed, "select * from t");
    cr_assert_str_eq(quring_column_name(renamed, 0), "z");
    bed_exec(&bed, "alter table t add column b default 7");
    const quring_result *wider = bed_exec(&bed, "select * from t");
    cr_assert_eq(quring_column_count(wider), 2);
    cr_assert_str_eq(quring_column_name(wider, 1), "b");
    cr_assert_str_eq(quring_column_name(first, 0), "a", "what was handed out stays as it was");
    bed_exec(&bed, "drop table t");
    bed_check(run_text("select * from t"), QURING_SERVER_ERROR, "42P01", "no such table: t");
    bed_exec(&bed, "create table t(q)");
    cr_assert_str_eq(quring_column_name(bed_exec(&bed, "select * from t"), 0), "q");
}

Test(exec, limits) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    struct query *query = bed_query(&bed, "values (1), (2), (3)", NULL, 0);
    result_begin(&query->result, 1 << 20, 2);
    bed_check(run(query), QURING_LIMIT, "54000", "more than 2 rows: options.result_row_count");
    query = bed_query(&bed, "values (1), (2), (3)", NULL, 0);
    result_begin(&query->result, 1 << 20, 3);
    cr_assert_eq(run(query)->result.row_count, 3);
    query = bed_query(&bed, "select zeroblob(50000000)", NULL, 0);
    result_begin(&query->result, 1 << 16, UINT64_MAX);
    bed_check(run(query), QURING_LIMIT, "54000", "more than 65536 bytes: options.result_bytes");
    query = bed_query(&bed, "with recursive n(i) as (select 1 union all select i + 1 from n) select 'abc', i from n",
                      NULL, 0);
    result_begin(&query->result, 5000, UINT64_MAX);
    bed_check(run(query), QURING_LIMIT, "54000", "more than 5000 bytes");
    bed_exec(&bed, "create table t(a)");
    query = bed_query(&bed, "insert into t values(1), (2), (3) returning a", NULL, 0);
    result_begin(&query->result, 1 << 20, 1);
    bed_check(run(query), QURING_LIMIT, "54000", "more than 1 row");
    cr_assert_not(lite_conn_in_transaction(&bed.conn));
    cr_assert_eq(bed_int(run_text("select count(*) from t"), 0, 0), 3);
}

/* What ends with LIMIT may stand. This does not. */
Test(exec, a_write_over_its_limit_that_fails_with_its_end) {
    static const char *const keys[] = {"references p", "references p deferrable initially deferred"};
    char sql[128];
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_exec(&bed, "pragma foreign_keys=on");
    bed_exec(&bed, "create table p(id integer primary key)");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(sql, sizeof sql, "create table c%zu(a %s)", i, keys[i]);
        bed_exec(&bed, sql);
        snprintf(sql, sizeof sql, "insert into c%zu values(1), (2), (3) returning a", i);
        struct query *query = bed_query(&bed, sql, NULL, 0);
        result_begin(&query->result, 1 << 20, 1);
        bed_check(run(query), QURING_SERVER_ERROR, "23503", "FOREIGN KEY");
        snprintf(sql, sizeof sql, "select count(*) from c%zu", i);
        cr_assert_eq(bed_int(run_text(sql), 0, 0), 0);
    }
}

/* ---- Errors ---- */

Test(exec, errors_name_state_code_and_place) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_exec(&bed, "create table t(id integer primary key, a text not null unique, check (a <> 'bad'))");
    bed_exec(&bed, "insert into t values(1, 'x')");
    struct query *query = run_text("insert into t values(1, 'y')");
    bed_check(query, QURING_SERVER_ERROR, "23505", "UNIQUE constraint failed: t.id");
    cr_assert_eq(query->error.view.backend_code, SQLITE_CONSTRAINT_PRIMARYKEY);
    bed_check(run_text("insert into t(a) values(null)"), QURING_SERVER_ERROR, "23502", "t.a");
    bed_check(run_text("insert into t(a) values('bad')"), QURING_SERVER_ERROR, "23514", "CHECK");
    query = run_text(" ;/* \xc3\xa9 */ select 1 frm t");
    bed_check(query, QURING_SERVER_ERROR, "42601", "\"t\"");
    cr_assert_eq(query->error.view.position, 24, "%u", query->error.view.position);
    query = run_text("select 'never closed");
    bed_check(query, QURING_SERVER_ERROR, "42601", "unrecognized token");
    query = run_text("\n select nope from t");
    bed_check(query, QURING_SERVER_ERROR, "42703", "nope");
    cr_assert_eq(query->error.view.position, 10);
    cr_assert_not(lite_conn_in_transaction(&bed.conn));
}

Test(exec, one_statement_a_query) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_exec(&bed, "create table t(a)");
    struct query *query = run_text("insert into t values(1); insert into t values(2)");
    bed_check(query, QURING_SERVER_ERROR, "42601", "one statement");
    cr_assert_eq(query->error.view.position, 26);
    bed_check(run_text("select 1; x"), QURING_SERVER_ERROR, "42601", "one statement");
    bed_exec(&bed, "insert into t values(3) ; -- and no more\n /* really */ ;; ");
    cr_assert_eq(bed_int(run_text("select sum(a) from t"), 0, 0), 3);
}

Test(exec, rows_of_a_failing_statement_are_not_kept_open) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_check(run_text("select 1 union all select abs(-9223372036854775808)"), QURING_SERVER_ERROR, "22003",
              "overflow");
    bed_exec(&bed, "create table t(a)");
    bed_exec(&bed, "drop table t");
}

/* ---- Interrupting ---- */

static const char *const ENDLESS =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

static void abandon_soon(struct lite_watch *watch) {
    (void)watch;
    atomic_store(&lite_query(&bed.queries[0])->abandoned_as, QURING_TIMEOUT);
}

Test(exec, an_abandoned_statement_stops) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed.conn.watch.pause = abandon_soon;
    struct query *query = run_text(ENDLESS);
    bed_check(query, QURING_SERVER_ERROR, "57014", "interrupted");
    bed.conn.watch.pause = NULL;
    cr_assert_eq(bed_int(run_text("select 42"), 0, 0), 42, "the next is not hit");
}

static void close_soon(struct lite_watch *watch) {
    (void)watch;
    atomic_store(&bed.closing, true);
}

Test(exec, closing_stops_statements_and_waits) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed.conn.watch.pause = close_soon;
    bed_check(run_text(ENDLESS), QURING_SERVER_ERROR, "57014", "interrupted");
}

/* A transaction that can't be rolled back would take what comes next into itself. */
Test(exec, closing_does_not_stop_transaction_control) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed.conn.watch.step_count = 1;
    lite_watch_install(&bed.conn.watch, bed.conn.handle);
    atomic_store(&bed.closing, true);
    cr_assert_eq(lite_conn_control(&bed.conn, LITE_BEGIN_IMMEDIATE), SQLITE_OK);
    cr_assert_eq(lite_conn_control(&bed.conn, LITE_ROLLBACK), SQLITE_OK);
    cr_assert_not(lite_conn_in_transaction(&bed.conn));
}

static sqlite3 *lock_file(const char *name) {
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(bed_path(&bed, name), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "begin immediate", NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(other));
    return other;
}

Test(exec, a_lock_is_waited_for_and_no_longer) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table t(a)");
    sqlite3 *other = lock_file("a.db");
    bed.conn.watch.taken_ns = lite_now_ns();
    uint64_t start = lite_now_ns();
    struct query *query = run_text("insert into t values(1)");
    cr_assert_geq(lite_now_ns() - start, 100000000);
    uint64_t waited = naps_ns();
    bed_check(query, QURING_SERVER_ERROR, "55P03", "locked");
    cr_assert(strstr(query->error.view.hint, "busy_timeout_ns"));
    cr_assert(waited > 0 && waited <= 100000000, "%llu ns", (unsigned long long)waited);
    bed_check(run_text("insert into t values(1)"), QURING_SERVER_ERROR, "55P03", "locked");
    cr_assert_eq(naps_ns(), waited, "a neighbour that waited as long does not wait again");
    cr_assert_eq(bed_int(run_text("select count(*) from t"), 0, 0), 0, "reading goes on");
    sqlite3_exec(other, "rollback", NULL, NULL, NULL);
    bed_exec(&bed, "insert into t values(1)");
    sqlite3_close(other);
}

static sqlite3 *holder;
static uint32_t naps;

static void let_go_in_the_end(struct lite_watch *watch) {
    naps++;
    if (holder && lite_now_ns() - watch->locked_since_ns > 80000000)
        sqlite3_exec(holder, "rollback", NULL, NULL, NULL);
}

/* It was got, whatever became of the statement then; the next lock is another. */
Test(exec, a_wait_for_a_lock_does_not_count_for_the_next) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table t(a unique)");
    bed_exec(&bed, "insert into t values(1)");
    holder = lock_file("a.db");
    uint64_t limit_ns = bed.conn.watch.busy_timeout_ns;
    bed.conn.watch.taken_ns = 0;
    bed.conn.watch.busy_timeout_ns = UINT64_MAX; /* however long it takes until it is let go */
    bed.conn.watch.pause = let_go_in_the_end;
    bed_check(run_text("insert into t values(1)"), QURING_SERVER_ERROR, "23505", "UNIQUE");
    bed.conn.watch.busy_timeout_ns = limit_ns;
    cr_assert_gt(naps, 0);
    sqlite3_close(holder);
    holder = NULL;
    sqlite3 *other = lock_file("a.db");
    uint64_t start = lite_now_ns();
    bed_check(run_text("insert into t values(2)"), QURING_SERVER_ERROR, "55P03", "locked");
    cr_assert_geq(lite_now_ns() - start, 95000000);
    sqlite3_close(other);
}

Test(exec, a_wait_for_a_lock_is_interrupted) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table t(a)");
    sqlite3 *other = lock_file("a.db");
    bed.config.busy_timeout_ns = bed.conn.watch.busy_timeout_ns = UINT64_MAX;
    bed.conn.watch.pause = abandon_soon;
    bed_query(&bed, "not run", NULL, 0);
    struct query *query = &bed.queries[0];
    statement_drop(query->statement);
    query->statement = statement_find(bed.statements, "insert into t values(1)", strlen("insert into t values(1)"));
    error_clear(&query->error);
    bed_check(run(query), QURING_SERVER_ERROR, "55P03", "locked");
    sqlite3_close(other);
}

/* ---- The cache ---- */

Test(exec, statements_are_prepared_once_and_evicted) {
    bed_open_conn(&bed, NULL, LITE_WRITER);
    uint64_t before = bed.conn.prepare_count;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(bed_int(run(ask("select $1 + 1", quring_int64(i))), 0, 0), i + 1);
    cr_assert_eq(bed.conn.prepare_count - before, 1);
    char sql[32];
    for (int i = 0; i < 20; i++) { /* the table holds 4; those of the bed's queries stay referenced, and uncached */
        snprintf(sql, sizeof sql, "select %d", i);
        cr_assert_eq(bed_int(run_text(sql), 0, 0), i);
    }
    for (uint32_t i = 0; i < bed.query_count; i++) {
        statement_drop(bed.queries[i].statement);
        bed.queries[i].statement = NULL;
    }
    for (int i = 0; i < 20; i++) {
        snprintf(sql, sizeof sql, "select %d", 100 + i);
        struct query *query = run_text(sql);
        cr_assert_eq(bed_int(query, 0, 0), 100 + i);
        statement_drop(query->statement);
        query->statement = NULL;
    }
    cr_assert_eq(bed_int(run(ask("select $1 + 1", quring_int64(7))), 0, 0), 8);
}

static void assert_unbound(void) {
    for (int i = 0; i < 4; i++) {
        char *sql = bed.conn.cache[i].handle ? sqlite3_expanded_sql(bed.conn.cache[i].handle) : NULL;
        cr_assert(!sql || strstr(sql, "NULL"), "it still has its value: %.40s", sql);
        sqlite3_free(sql);
    }
}

/* What a query brought is gone with it, whether its statement is cached or not, and however it ended. */
Test(exec, cached_statements_hold_no_values) {
    enum { ELEMENTS = 300000 };
    static int64_t numbers[ELEMENTS];
    static char text[1 << 20];
    static const char *const texts[] = {"select count(*) from json_each($1)", "select length($1)",
                                        "select abs(-9223372036854775808), $1", "select zeroblob(1000), length($1)"};
    memset(text, 'x', sizeof text);
    bed_open_conn(&bed, NULL, LITE_WRITER);
    bed_exec(&bed, "create table t(a)");
    statement_drop(bed.queries[0].statement);
    bed.queries[0].statement = NULL;
    int64_t before = sqlite3_memory_used();
    run(ask(texts[0], quring_int64_array(numbers, ELEMENTS)));
    run(ask(texts[1], quring_text_sized(text, sizeof text)));
    run(ask(texts[2], quring_bytes(text, sizeof text)));
    struct query *limited = ask(texts[3], quring_text_sized(text, sizeof text));
    result_begin(&limited->result, 100, UINT64_MAX);
    bed_check(run(limited), QURING_LIMIT, "54000", "100 bytes");
    cr_assert_eq(bed_int(&bed.queries[1], 0, 0), ELEMENTS);
    assert_unbound();
    cr_assert_lt(sqlite3_memory_used() - before, 100000);
    cr_assert_leq(bed.conn.scratch.capacity, 1 << 16);
    bed_check(run(ask("select $1, $2", quring_text("x"), quring_float64(NAN))), QURING_SERVER_ERROR, "22003", "$2");
    assert_unbound();
}

/* A PRAGMA works while it is prepared; one that was kept would work once only. */
Test(exec, pragmas_work_each_time) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    for (int i = 0; i < 3; i++) {
        bed_exec(&bed, "pragma foreign_keys=on");
        cr_assert_eq(bed_int(run_text("pragma foreign_keys"), 0, 0), 1);
        bed_exec(&bed, "pragma foreign_keys=off");
        cr_assert_eq(bed_int(run_text("pragma foreign_keys"), 0, 0), 0);
    }
    bed_exec(&bed, "pragma user_version=42");
    cr_assert_eq(bed_int(run_text("pragma user_version"), 0, 0), 42);
}

/* ---- Rules ---- */

Test(exec, readers_send_writes_on) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table t(a)");
    lite_conn_close(&bed.conn);
    lite_conn_free(&bed.conn);
    bed_open_conn(&bed, "a.db", LITE_READER);
    static const char *const writes[] = {"insert into t values(1)",
                                         "with x as (select 1) delete from t",
                                         "create table u(a)",
                                         "pragma user_version=3",
                                         "pragma table_info(t)",
                                         "explain pragma query_only=0",
                                         "explain insert into t values(1)",
                                         "vacuum",
                                         "pragma query_only=0",
                                         "begin immediate"};
    for (size_t i = 0; i < sizeof writes / sizeof *writes - 1; i++)
        cr_expect_eq(bed_run(&bed, bed_query(&bed, writes[i], NULL, 0)), LITE_MOVED, "%s", writes[i]);
    cr_assert_eq(bed_int(run_text("select count(*) from t"), 0, 0), 0);
    cr_assert_eq(bed_int(run_text("select count(*) from pragma_table_info('t')"), 0, 0), 1);
    bed_check(run_text("begin"), QURING_SERVER_ERROR, "0A000", "options.exclusive");
}

Test(exec, what_concerns_one_connection_is_for_sessions) {
    static const char *const refused[] = {"explain begin",
                                          "explain commit",
                                          "explain savepoint s",
                                          "attach ':memory:' as x",
                                          "create temp table x(a)",
                                          "pragma query_only=1",
                                          "explain pragma query_only=1",
                                          "pragma locking_mode=exclusive",
                                          "pragma temp_store=2",
                                          "pragma journal_mode=delete",
                                          "pragma case_sensitive_like=1",
                                          "pragma busy_timeout=1",
                                          "pragma soft_heap_limit=1000000"};
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    bed_exec(&bed, "create table before(a)");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct query *query = run_text(refused[i]);
        cr_expect_eq(query->status, QURING_SERVER_ERROR, "%s", refused[i]);
        cr_expect_str_eq(query->error.view.sqlstate, "0A000", "%s: %s", refused[i], query->error.view.message);
    }
    cr_assert_str_eq(bed_text(run_text("pragma journal_mode"), 0, 0), "wal");
    bed_exec(&bed, "pragma journal_mode=wal");
    bed_exec(&bed, "create table t(a)");
    bed_exec(&bed, "vacuum");
    bed_exec(&bed, "analyze");
    bed_exec(&bed, "reindex");
    bed_exec(&bed, "pragma integrity_check");
}

Test(exec, sessions_may_do_that) {
    bed_open_conn(&bed, "a.db", LITE_EXCLUSIVE);
    static const char *const allowed[] = {"begin",
                                          "savepoint s",
                                          "create temp table x(a)",
                                          "rollback",
                                          "attach ':memory:' as y",
                                          "create table y.t(a)",
                                          "detach y",
                                          "pragma locking_mode=normal"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        bed_exec(&bed, allowed[i]);
    bed_check(run_text("pragma busy_timeout=1"), QURING_SERVER_ERROR, "0A000", "options.busy_timeout_ns");
}

Test(exec, hostile_schemas_and_functions_are_kept_out) {
    bed_open_conn(&bed, "a.db", LITE_EXCLUSIVE);
    bed_exec(&bed, "create table t(a)");
    bed_check(run_text("select load_extension('x')"), QURING_SERVER_ERROR, "42501", "not authorized");
    bed_exec(&bed, "pragma writable_schema=on");
    bed_check(run_text("update sqlite_schema set name = 'x'"), QURING_SERVER_ERROR, "42809", "may not be modified");
    bed_exec(&bed, "pragma journal_mode=off");
    cr_assert_str_eq(bed_text(run_text("pragma journal_mode"), 0, 0), "wal", "journal_mode=off is for the reckless");
}

/* ---- Opening ---- */

Test(exec, settings) {
    bed_open_conn(&bed, "a.db", LITE_WRITER);
    cr_assert_eq(bed_int(run_text("pragma synchronous"), 0, 0), 2);
    cr_assert_eq(bed_int(run_text("pragma trusted_schema"), 0, 0), 0);
    cr_assert_eq(bed_int(run_text("pragma cell_size_check"), 0, 0), 1);
    cr_assert_eq(bed_int(run_text("pragma journal_size_limit"), 0, 0), 64 << 20);
    cr_assert_eq(bed_int(run_text("pragma foreign_keys"), 0, 0), 0, "SQLite's default");
}

static void assert_not_opened(const char *name, int code, const char *sqlstate) {
    struct lite_config config = {.path = bed_path(&bed, name), .statement_count = 1, .closing = &bed.closing};
    struct lite_conn conn;
    cr_assert(lite_conn_init(&conn, &config, LITE_WRITER));
    for (int i = 0; i < 2; i++) {
        cr_assert_not(lite_conn_open(&conn));
        cr_assert_eq(conn.open_error.view.backend_code, code, "%d", conn.open_error.view.backend_code);
        cr_assert_str_eq(conn.open_error.view.sqlstate, sqlstate);
        cr_assert_neq(conn.open_error.view.message[0], 0);
    }
    lite_conn_free(&conn);
}

Test(exec, files_that_can_t_be_opened) {
    assert_not_opened("missing/a.db", SQLITE_CANTOPEN, "08001");
    cr_assert_eq(mkdir(bed_path(&bed, "folder"), 0700), 0);
    assert_not_opened("folder", SQLITE_CANTOPEN, "08001");
    rmdir(bed_path(&bed, "folder"));
    FILE *file = fopen(bed_path(&bed, "notes.txt"), "w");
    for (int i = 0; i < 100; i++)
        fputs("this is no database at all\n", file);
    fclose(file);
    assert_not_opened("notes.txt", SQLITE_NOTADB, "XX001");
}
