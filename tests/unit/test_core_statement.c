/* SPDX-License-Identifier: MIT */
#include "core/statement.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int dropped;

static void drop_backend(void *backend) {
    dropped++;
    free(backend);
}

static struct quring_statement *find(struct statement_table *table, const char *sql) {
    struct quring_statement *statement = statement_find(table, sql, strlen(sql));
    cr_assert_not_null(statement);
    cr_assert_str_eq(statement->sql, sql);
    cr_assert_eq(statement->length, strlen(sql));
    return statement;
}

Test(statement, same_text_is_the_same_statement) {
    struct statement_table *table = statement_table_new(4, 1000, drop_backend);
    struct quring_statement *a = find(table, "select 1"), *b = find(table, "select 2");
    cr_assert_neq(a, b);
    cr_assert_neq(a->index, b->index);
    cr_assert_neq(a->serial, b->serial);
    cr_assert_eq(find(table, "select 1"), a);
    cr_assert_eq(a->references, 2);
    cr_assert_eq(statement_hold(a), a);
    for (int i = 0; i < 3; i++)
        statement_drop(a);
    uint64_t serial = a->serial;
    cr_assert_eq(find(table, "select 1"), a, "cached while nothing refers to it");
    cr_assert_eq(a->serial, serial);
    statement_drop(a);
    statement_drop(b);
    statement_table_free(table);
}

Test(statement, texts_are_told_apart_by_length_and_case) {
    struct statement_table *table = statement_table_new(8, 1000, NULL);
    struct quring_statement *a = find(table, "a"), *b = find(table, "A"), *c = find(table, "a "), *d = find(table, "");
    cr_assert(a != b && a != c && a != d && b != c);
    cr_assert_eq(statement_find(table, "ab", 1), a, "the length says where it ends");
    statement_drop(a);
    statement_drop(a), statement_drop(b), statement_drop(c), statement_drop(d);
    statement_table_free(table);
}

Test(statement, least_recently_used_is_evicted) {
    dropped = 0;
    struct statement_table *table = statement_table_new(2, 1000, drop_backend);
    struct quring_statement *a = find(table, "a"), *b = find(table, "b");
    uint32_t index = a->index;
    uint64_t serial = a->serial;
    a->backend = malloc(1);
    a->hint = 9;
    statement_drop(a);
    statement_drop(b);
    find(table, "b");
    statement_drop(b); /* now a is the older one */
    struct quring_statement *c = find(table, "c");
    cr_assert_eq(dropped, 1);
    cr_assert_eq(c->index, index, "the place is reused");
    cr_assert_neq(c->serial, serial, "and says that it is another's");
    cr_assert_null(c->backend);
    cr_assert_eq(c->hint, 0);
    cr_assert_eq(find(table, "b"), b);
    struct quring_statement *again = find(table, "a");
    cr_assert_eq(again->index, STATEMENT_UNCACHED, "both places are in use");
    statement_drop(again);
    statement_drop(b), statement_drop(c);
    statement_table_free(table);
}

Test(statement, uncached_ones_live_as_long_as_their_references) {
    dropped = 0;
    struct statement_table *table = statement_table_new(2, 5, drop_backend);
    struct quring_statement *fits = find(table, "12345"), *one = find(table, "123456"), *two = find(table, "123456");
    cr_assert_neq(fits->index, STATEMENT_UNCACHED);
    cr_assert_eq(one->index, STATEMENT_UNCACHED);
    cr_assert_neq(one, two);
    cr_assert_neq(one->serial, two->serial);
    one->backend = malloc(1);
    statement_hold(one);
    statement_drop(one);
    cr_assert_eq(dropped, 0);
    statement_drop(one);
    cr_assert_eq(dropped, 1);
    statement_drop(two);
    statement_drop(fits);
    statement_table_free(table);
}

Test(statement, a_table_of_nothing_caches_nothing) {
    struct statement_table *table = statement_table_new(0, 1000, NULL);
    struct quring_statement *a = find(table, "a");
    cr_assert_eq(a->index, STATEMENT_UNCACHED);
    statement_drop(a);
    statement_table_free(table);
    statement_table_free(NULL);
}

Test(statement, handles_may_outlive_the_table) {
    dropped = 0;
    struct statement_table *table = statement_table_new(3, 5, drop_backend);
    struct quring_statement *cached = find(table, "a"), *uncached = find(table, "too long"), *idle = find(table, "b");
    cached->backend = malloc(1);
    uncached->backend = malloc(1);
    idle->backend = malloc(1);
    statement_drop(idle);
    statement_table_free(table);
    cr_assert_eq(dropped, 3);
    cr_assert_null(cached->backend);
    cr_assert_null(cached->table);
    cr_assert_str_eq(cached->sql, "a");
    statement_hold(cached);
    statement_drop(cached);
    statement_drop(cached);
    statement_drop(uncached);
}

/* Thousands of finds and drops over more texts than there is room for: no index is ever given out twice, serials are never
 * reused, and a text that is referenced is found again. */
Test(statement, random_use) {
    enum { TEXTS = 40, CAPACITY = 16 };
    struct rng rng = {42};
    struct quring_statement *held[TEXTS][4] = {0};
    int held_count[TEXTS] = {0};
    uint64_t last_serial = 0;
    struct statement_table *table = statement_table_new(CAPACITY, 10, drop_backend);
    for (int step = 0; step < 100000; step++) {
        int t = (int)rng_below(&rng, TEXTS);
        char sql[32];
        snprintf(sql, sizeof sql, t % 10 == 0 ? "text %d that is too long" : "text %d", t);
        if (held_count[t] < 4 && rng_below(&rng, 2)) {
            struct quring_statement *s = find(table, sql);
            if (held_count[t] && held[t][0]->index != STATEMENT_UNCACHED)
                cr_assert_eq(s, held[t][0]);
            if (s->serial > last_serial)
                last_serial = s->serial;
            else
                cr_assert_neq(s->index, STATEMENT_UNCACHED);
            cr_assert(t % 10 || s->index == STATEMENT_UNCACHED);
            held[t][held_count[t]++] = s;
        } else if (held_count[t]) {
            statement_drop(held[t][--held_count[t]]);
        }
        if (step % 100)
            continue;
        const struct quring_statement *owner[CAPACITY] = {0};
        for (int i = 0; i < TEXTS; i++)
            for (int j = 0; j < held_count[i]; j++) {
                const struct quring_statement *s = held[i][j];
                if (s->index == STATEMENT_UNCACHED)
                    continue;
                cr_assert_lt(s->index, CAPACITY);
                cr_assert(!owner[s->index] || owner[s->index] == s);
                owner[s->index] = s;
            }
    }
    statement_table_free(table);
    for (int t = 0; t < TEXTS; t++)
        while (held_count[t])
            statement_drop(held[t][--held_count[t]]);
}

/* ---- What kind of statement it is -------------------------------------------------------------------------------- */

static const struct {
    enum statement_class class;
    const char *sql;
} classes[] = {
    {STATEMENT_EMPTY, ""},
    {STATEMENT_EMPTY, " \t\r\n\f\v"},
    {STATEMENT_EMPTY, "-- only a comment"},
    {STATEMENT_EMPTY, "-- one\n-- two\n"},
    {STATEMENT_EMPTY, "/* a comment */ /**/"},
    {STATEMENT_PLAIN, "/* a /* nested */ comment */"}, /* not empty to SQLite */
    {STATEMENT_EMPTY, "/* never closed"},
    {STATEMENT_EMPTY, "/*"},
    {STATEMENT_EMPTY, "--"},
    {STATEMENT_EMPTY, " ; ;; -- x"},
    {STATEMENT_EMPTY, "\xef\xbb\xbf"},
    {STATEMENT_PLAIN, "select 1"},
    {STATEMENT_PLAIN, "(select 1) union (select 2)"},
    {STATEMENT_PLAIN, "((("},
    {STATEMENT_PLAIN, "insert into begin values (1)"},
    {STATEMENT_PLAIN, "update t set x = 1"},
    {STATEMENT_PLAIN, "with x as (select 1) select * from x"},
    {STATEMENT_PLAIN, "pragma user_version"},
    {STATEMENT_PLAIN, "beginning"},
    {STATEMENT_PLAIN, "begin_"},
    {STATEMENT_PLAIN, "begin1"},
    {STATEMENT_PLAIN, "\"begin\""},
    {STATEMENT_PLAIN, "'begin'"},
    {STATEMENT_PLAIN, "1 begin"},
    {STATEMENT_PLAIN, "- begin"},
    {STATEMENT_PLAIN, "/ begin"},
    {STATEMENT_PLAIN, "explain select 1"},
    {STATEMENT_PLAIN, "vacuum"},
    {STATEMENT_PLAIN, "notify x"},
    {STATEMENT_PLAIN, "show all"},
    {STATEMENT_PLAIN, "\xc3\xa9 begin"},
    {STATEMENT_PLAIN, "b\xc3\xa9gin"},
    {STATEMENT_TRANSACTION, "begin"},
    {STATEMENT_TRANSACTION, "BEGIN"},
    {STATEMENT_TRANSACTION, "BeGiN;"},
    {STATEMENT_TRANSACTION, " \n\tbegin immediate"},
    {STATEMENT_TRANSACTION, ";begin"},
    {STATEMENT_TRANSACTION, "-- x\nbegin"},
    {STATEMENT_TRANSACTION, "/* x */begin"},
    {STATEMENT_TRANSACTION, "/* /* x */ */begin"},
    {STATEMENT_TRANSACTION, "begin--"},
    {STATEMENT_TRANSACTION, "begin/**/"},
    {STATEMENT_TRANSACTION, "\xef\xbb\xbf"
                            "begin"},
    {STATEMENT_TRANSACTION, "start transaction"},
    {STATEMENT_TRANSACTION, "commit"},
    {STATEMENT_TRANSACTION, "commit prepared 'x'"},
    {STATEMENT_TRANSACTION, "end"},
    {STATEMENT_TRANSACTION, "rollback to x"},
    {STATEMENT_TRANSACTION, "abort"},
    {STATEMENT_TRANSACTION, "savepoint x"},
    {STATEMENT_TRANSACTION, "release x"},
    {STATEMENT_TRANSACTION, "prepare transaction 'x'"},
    {STATEMENT_TRANSACTION, "PREPARE /* */ TRANSACTION 'x'"},
    /* What is a comment to one database is none to the other. */
    {STATEMENT_TRANSACTION, "-- x\rbegin"},
    {STATEMENT_TRANSACTION, "-- x\r begin \n select 1"},
    {STATEMENT_TRANSACTION, "/* /* */ begin"},
    {STATEMENT_TRANSACTION, "/* /* */ begin --*/ */"},
    {STATEMENT_TRANSACTION, "/* /*/ begin"},
    {STATEMENT_PLAIN, "/*/ begin */ select 1"},
    {STATEMENT_TRANSACTION, "/* /* */ begin */ select 1"},
    {STATEMENT_SESSION, "prepare x as select 1"},
    {STATEMENT_SESSION, "prepare"},
    {STATEMENT_SESSION, "listen x"},
    {STATEMENT_SESSION, "unlisten *"},
    {STATEMENT_SESSION, "attach 'x' as y"},
    {STATEMENT_SESSION, "detach y"},
    {STATEMENT_SESSION, "declare c cursor for select 1"},
    {STATEMENT_SESSION, "fetch all from c"},
    {STATEMENT_SESSION, "move c"},
    {STATEMENT_SESSION, "close c"},
    {STATEMENT_SESSION, "discard all"},
    {STATEMENT_SESSION, "deallocate all"},
    {STATEMENT_SESSION, "execute x"},
    {STATEMENT_SESSION, "load 'x'"},
    {STATEMENT_SESSION, "set x = 1"},
    {STATEMENT_SESSION, "SET LOCAL x = 1"},
    {STATEMENT_SESSION, "reset x"},
    {STATEMENT_SESSION, "create temp table t (x int)"},
    {STATEMENT_SESSION, "CREATE TEMPORARY VIEW v AS SELECT 1"},
    {STATEMENT_SESSION, "create or replace temp view v as select 1"},
    {STATEMENT_SESSION, "create local temporary table t (x int)"},
    {STATEMENT_PLAIN, "create table temp (x int)"},
    {STATEMENT_PLAIN, "create unlogged table t (x int)"},
    {STATEMENT_PLAIN, "create"},
    {STATEMENT_COPY, "copy t from stdin"},
    {STATEMENT_COPY, "COPY t (a, b) FROM STDIN WITH (FORMAT csv)"},
    {STATEMENT_COPY, "copy t to stdout"},
    {STATEMENT_COPY, "copy t from stdout"},
    {STATEMENT_COPY, "copy (select * from t) to stdout"},
    {STATEMENT_COPY, "copy binary t from stdin"},
    {STATEMENT_COPY, "copy \"from\" to /* x */ stdout"},
    {STATEMENT_COPY, "copy (select ')', E'\\'', $$)$$, $a$ $$ ) $a$) to stdout"},
    {STATEMENT_PLAIN, "copy t from 'file'"},
    {STATEMENT_PLAIN, "copy t from program 'cat'"},
    {STATEMENT_PLAIN, "copy t to '/tmp/x'"},
    {STATEMENT_PLAIN, "copy stdin from 'x'"},
    {STATEMENT_PLAIN, "copy (select 'to stdout' from stdin) to 'x'"},
    {STATEMENT_PLAIN, "copy (select $$ to stdout $$, $1, a$b$ from stdin) to 'x' -- to stdout"},
    {STATEMENT_PLAIN, "copy t to \"stdout\""},
    {STATEMENT_PLAIN, "copy"},
    {STATEMENT_PLAIN, "copy t from"},
    {STATEMENT_PLAIN, "copy 'never closed to stdout"},
    {STATEMENT_PLAIN, "copy $x$ never closed to stdout"},
    {STATEMENT_PLAIN, "copy )) t"},
};

Test(statement, classes) {
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        cr_assert_eq(statement_classify(classes[i].sql, strlen(classes[i].sql)), classes[i].class, "%s: %d",
                     classes[i].sql, statement_classify(classes[i].sql, strlen(classes[i].sql)));
}

Test(statement, class_is_kept) {
    struct statement_table *table = statement_table_new(2, 1000, NULL);
    struct quring_statement *statement = find(table, "/**/ listen x");
    cr_assert_eq(statement->class, STATEMENT_SESSION);
    statement_drop(statement);
    statement_table_free(table);
}

/* Every beginning of every text, in memory of exactly that size: nothing is read behind it. */
Test(statement, classifying_reads_no_further_than_the_text) {
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        for (size_t length = 0; length <= strlen(classes[i].sql); length++) {
            char *exact = malloc(length + !length);
            memcpy(exact, classes[i].sql, length);
            (void)statement_classify(exact, length);
            free(exact);
        }
}
