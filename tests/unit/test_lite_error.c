/* SPDX-License-Identifier: MIT */
#include "lite/lite_error.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <string.h>

static void assert_state(int code, const char *message, const char *sqlstate) {
    cr_expect_str_eq(lite_sqlstate(code, message), sqlstate, "%d %s: %s", code, message, lite_sqlstate(code, message));
}

Test(error, codes) {
    assert_state(SQLITE_CONSTRAINT_UNIQUE, "", "23505");
    assert_state(SQLITE_CONSTRAINT_PRIMARYKEY, "", "23505");
    assert_state(SQLITE_CONSTRAINT_NOTNULL, "", "23502");
    assert_state(SQLITE_CONSTRAINT_FOREIGNKEY, "", "23503");
    assert_state(SQLITE_CONSTRAINT_CHECK, "", "23514");
    assert_state(SQLITE_CONSTRAINT_VTAB, "", "23000");
    assert_state(SQLITE_BUSY, "", "55P03");
    assert_state(SQLITE_BUSY_SNAPSHOT, "", "40001");
    assert_state(SQLITE_BUSY_RECOVERY, "", "55P03");
    assert_state(SQLITE_IOERR_FSYNC, "", "58030");
    assert_state(SQLITE_IOERR_NOMEM, "", "53200");
    assert_state(SQLITE_READONLY_DBMOVED, "", "25006");
    assert_state(SQLITE_CORRUPT_INDEX, "", "XX002");
    assert_state(SQLITE_CORRUPT_VTAB, "", "XX001");
    assert_state(SQLITE_FULL, "", "53100");
    assert_state(SQLITE_INTERRUPT, "", "57014");
    assert_state(SQLITE_CANTOPEN_ISDIR, "", "08001");
    assert_state(SQLITE_NOTADB, "", "XX001");
}

Test(error, messages) {
    assert_state(SQLITE_ERROR, "near \"selct\": syntax error", "42601");
    assert_state(SQLITE_ERROR, "no such table: t", "42P01");
    assert_state(SQLITE_ERROR, "no such column: a", "42703");
    assert_state(SQLITE_ERROR, "no such function: f", "42883");
    assert_state(SQLITE_ERROR, "no such index: i", "42704");
    assert_state(SQLITE_ERROR, "table t already exists", "42P07");
    assert_state(SQLITE_ERROR, "integer overflow", "22003");
    assert_state(SQLITE_ERROR, "something new", "42000");
    assert_state(SQLITE_ERROR, "", "42000");
    assert_state(SQLITE_ERROR_MISSING_COLLSEQ, "no such collation sequence: x", "42704");
}

/* Said of a view when it is used, of an index when its table is, and, where it is there already, when the file is opened. */
Test(error, what_a_schema_may_not_call_is_no_syntax_error) {
    static const char *const texts[] = {"select * from v", "insert into t values(1)",
                                        "select * from \"unsafe use of x\""};
    static const char *const sqlstates[] = {"42501", "42501", "42P01"};
    sqlite3 *handle;
    sqlite3_stmt *statement = NULL;
    cr_assert_eq(sqlite3_open(":memory:", &handle), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(handle,
                              "create table t(a); create view v as select json_quote(1);"
                              "create trigger g after insert on t begin select json_quote(1); end;"
                              "pragma trusted_schema = off",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int code = sqlite3_prepare_v2(handle, texts[i], -1, &statement, NULL);
        assert_state(code, sqlite3_errmsg(handle), sqlstates[i]);
    }
    sqlite3_close(handle);
    assert_state(SQLITE_CORRUPT, "malformed database schema (i) - unsafe use of json_quote()", "42501");
    assert_state(SQLITE_ERROR, "error in view v: unsafe use of json_quote()", "42501");
    assert_state(SQLITE_CORRUPT, "malformed database schema (unsafe use of x) - near \"x\": syntax error", "XX001");
}

/*
 * After VACUUM SQLite answers a text that names no table, and a wrong column, with SQLITE_SCHEMA each time, and with the
 * words of the mistake: 40001 would have it sent again for ever.
 */
Test(error, a_mistake_after_vacuum_is_no_reason_to_run_it_again) {
    sqlite3 *handle;
    sqlite3_stmt *statement;
    cr_assert_eq(sqlite3_open(":memory:", &handle), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(handle, "vacuum", NULL, NULL, NULL), SQLITE_OK);
    int code = sqlite3_prepare_v2(handle, "select nope", -1, &statement, NULL);
    assert_state(code, sqlite3_errmsg(handle), "42703");
    sqlite3_close(handle);
    assert_state(SQLITE_SCHEMA, "no such column: nope", "42703");
    assert_state(SQLITE_SCHEMA, sqlite3_errstr(SQLITE_SCHEMA), "40001");
}

/* Every message that SQLite gives for these statements finds its state: the patterns are of the linked version. */
Test(error, the_library_s_own_messages) {
    static const char *const wrong[][2] = {
        {"selct 1", "42601"},
        {"select 'a", "42601"},
        {"select (", "42601"},
        {"select * from nope", "42P01"},
        {"select nope from t", "42703"},
        {"insert into t(nope) values(1)", "42703"},
        {"select nope(1)", "42883"},
        {"select abs()", "42883"},
        {"select id from t, t as u", "42702"},
        {"create table t(a)", "42P07"},
        {"create index i on t(id)", "42P07"},
        {"create table u(a, a)", "42701"},
        {"drop index nope", "42704"},
        {"drop view nope", "42704"},
        {"select 1 order by 1 collate nope", "42704"},
        {"create virtual table v using nope", "42704"},
        {"insert into t values(1)", "42601"},
        {"insert into t(id) values(1, 2)", "42601"},
        {"select 1 union select 1, 2", "42601"},
        {"select (select 1, 2)", "42601"},
        {"select 1 where count(*)", "42803"},
        {"select abs(-9223372036854775808)", "22003"},
        {"select json('{')", "22P02"},
        {"insert into v1 values(1)", "42809"},
        {"drop table v1", "42809"},
        {"update sqlite_schema set name = 1", "42809"},
        {"commit", "25P01"},
        {"rollback", "25P01"},
        {"release nope", "3B001"},
        {"insert into s values('x')", "42804"},
        {"insert into t(id) values('x')", "42804"},
        {"select zeroblob(2000000000)", "54000"},
    };
    sqlite3 *db;
    cr_assert_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    sqlite3_extended_result_codes(db, 1);
    cr_assert_eq(sqlite3_exec(db,
                              "create table t(id integer primary key, a); create index i on t(a);"
                              "create view v1 as select 1; create table s(a int) strict",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int code = sqlite3_exec(db, wrong[i][0], NULL, NULL, NULL);
        cr_expect_neq(code, SQLITE_OK, "%s", wrong[i][0]);
        assert_state(code, sqlite3_errmsg(db), wrong[i][1]);
    }
    sqlite3_close(db);
}

Test(error, positions) {
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    cr_assert_eq(lite_position(text, sizeof text - 1, -1), 0);
    cr_assert_eq(lite_position(text, sizeof text - 1, 0), 1);
    cr_assert_eq(lite_position(text, sizeof text - 1, 1), 2);
    cr_assert_eq(lite_position(text, sizeof text - 1, 3), 3);
    cr_assert_eq(lite_position(text, sizeof text - 1, 6), 4);
    cr_assert_eq(lite_position(text, sizeof text - 1, 10), 5);
    cr_assert_eq(lite_position(text, sizeof text - 1, 11), 6);
    cr_assert_eq(lite_position(text, sizeof text - 1, 12), 0);
}

Test(error, all_of_it) {
    struct query_error error;
    error_init(&error);
    lite_error_set(&error, SQLITE_BUSY, "database is locked", "why", 3);
    cr_assert_str_eq(error.view.sqlstate, "55P03");
    cr_assert_str_eq(error.view.message, "database is locked");
    cr_assert_str_eq(error.view.detail, "why");
    cr_assert(strstr(error.view.hint, "busy_timeout_ns"));
    cr_assert_eq(error.view.backend_code, SQLITE_BUSY);
    cr_assert_eq(error.view.position, 3);
    error_free(&error);
}
