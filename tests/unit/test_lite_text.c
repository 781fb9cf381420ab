/* SPDX-License-Identifier: MIT */
#include "lite/text.h"

#include "lib/guard.h"

#include <criterion/criterion.h>
#include <string.h>

struct sample {
    const char *sql;
    const char *command;
    uint8_t route;
};

enum { R = LITE_TO_READER, W = LITE_TO_WRITER, A = LITE_TO_WRITER | LITE_ALONE };

static const struct sample samples[] = {
    {"select 1", "SELECT", R},
    {"SELECT 1;", "SELECT", R},
    {" \t\r\n\f-- x\n/* y */select/**/1", "SELECT", R},
    {"\xef\xbb\xbfselect 1", "SELECT", R},
    {"; ;select 1", "SELECT", R},
    {"values (1)", "SELECT", R},
    {"insert into t values(1)", "INSERT", W},
    {"Insert Or Replace into t values(1)", "INSERT", W},
    {"replace into t values(1)", "REPLACE", W},
    {"update t set a=1", "UPDATE", W},
    {"delete from t", "DELETE", W},
    {"create table t(a)", "CREATE TABLE", W},
    {"create temp table t(a)", "CREATE TABLE", W},
    {"create virtual table t using fts5(a)", "CREATE TABLE", W},
    {"create unique index i on t(a)", "CREATE INDEX", W},
    {"create temporary view v as select 1", "CREATE VIEW", W},
    {"create trigger g after insert on t begin select 1; end", "CREATE TRIGGER", W},
    {"create nonsense", "", W},
    {"drop table t", "DROP TABLE", W},
    {"drop trigger g", "DROP TRIGGER", W},
    {"alter table t rename to u", "ALTER TABLE", W},
    {"pragma journal_mode", "PRAGMA", A},
    {"/**/PRAGMA user_version=3", "PRAGMA", A},
    {"explain pragma query_only=0", "EXPLAIN", A},
    {"explain query plan pragma query_only=0", "EXPLAIN", A},
    {"explain query plan select 1", "EXPLAIN", R},
    {"explain select 1", "EXPLAIN", R},
    {"explain delete from t", "EXPLAIN", W},
    {"vacuum", "VACUUM", A},
    {"vacuum into 'x'", "VACUUM", A},
    {"attach 'x' as y", "ATTACH", A},
    {"detach y", "DETACH", A},
    {"analyze", "ANALYZE", W},
    {"reindex", "REINDEX", W},
    {"begin immediate", "BEGIN", W},
    {"commit", "COMMIT", W},
    {"end transaction", "COMMIT", W},
    {"rollback to s", "ROLLBACK", W},
    {"savepoint s", "SAVEPOINT", W},
    {"release s", "RELEASE", W},
    {"with a as (select 1) select * from a", "SELECT", R},
    {"with a(x) as (insert) update t set x = 1", "UPDATE", W},
    {"with recursive \"select\"(x) as (values(1)) insert into t select x from \"select\"", "INSERT", W},
    {"with [delete] as (select ')', 'it''s', `insert`) delete from t", "DELETE", W},
    {"explain with a as (select 1) replace into t select 2", "EXPLAIN", W},
    {"explain query plan with a as (select 1) select 2", "EXPLAIN", R},
    {"with a as (select 1", "", R},
    {"with", "", R},
    {"nonsense", "", R},
    {"selectx", "", R},
    {"", "", R},
    {"-- nothing", "", R},
    {"/* open", "", R},
    {"'select'", "", R},
    {"(select 1)", "", R},
    {"123 insert", "", R},
};

Test(text, samples) {
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *s = &samples[i];
        size_t length = strlen(s->sql);
        cr_expect_str_eq(lite_text_command(s->sql, length), s->command, "%s: %s", s->sql,
                         lite_text_command(s->sql, length));
        cr_expect_eq(lite_text_route(s->sql, length), s->route, "%s: %u", s->sql, lite_text_route(s->sql, length));
    }
}

/* No cut of any text is read past its end. */
Test(text, every_cut_at_a_guard_page) {
    struct guard guard;
    guard_open(&guard, 256);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (size_t length = 0; length <= strlen(samples[i].sql); length++) {
            const char *cut = (const char *)guard_place(&guard, samples[i].sql, length);
            (void)lite_text_command(cut, length);
            (void)lite_text_route(cut, length);
            (void)lite_text_ends_transaction(cut, length);
            cr_assert_leq(lite_text_blank(cut, length), length);
        }
    guard_close(&guard);
}

static size_t blank(const char *sql) {
    return lite_text_blank(sql, strlen(sql));
}

Test(text, blank) {
    cr_assert_eq(blank(""), 0);
    cr_assert_eq(blank("x"), 0);
    cr_assert_eq(blank(" ; ;\n"), 5);
    cr_assert_eq(blank("-- a\n b"), 6);
    cr_assert_eq(blank("-- a"), 4);
    cr_assert_eq(blank("/* a */;/**/ b"), 13);
    cr_assert_eq(blank("/* a"), 4);
    cr_assert_eq(blank("/*/ a */b"), 8);
    cr_assert_eq(blank("- b"), 0);
    cr_assert_eq(blank("/ b"), 0);
    cr_assert_eq(blank("-- a\r b"), 7, "a carriage return ends no comment");
    cr_assert_eq(blank("/* /* */ b"), 9, "comments do not nest");
}

static bool ends(const char *sql) {
    return lite_text_ends_transaction(sql, strlen(sql));
}

Test(text, ends_of_transactions) {
    cr_assert(ends("commit"));
    cr_assert(ends("END;"));
    cr_assert(ends(" /**/ rollback transaction"));
    cr_assert(ends("commit transaction"));
    cr_assert_not(ends("rollback to s"));
    cr_assert_not(ends("rollback transaction to savepoint s"));
    cr_assert_not(ends("release s"));
    cr_assert_not(ends("begin"));
    cr_assert_not(ends(""));
}
