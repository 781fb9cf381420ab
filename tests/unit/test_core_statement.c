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
    a->route = 9;
    statement_drop(a);
    statement_drop(b);
    find(table, "b");
    statement_drop(b); /* now a is the older one */
    struct quring_statement *c = find(table, "c");
    cr_assert_eq(dropped, 1);
    cr_assert_eq(c->index, index, "the place is reused");
    cr_assert_neq(c->serial, serial, "and says that it is another's");
    cr_assert_null(c->backend);
    cr_assert_eq(c->route, 0);
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
    {STATEMENT_LISTEN, "listen x"},
    {STATEMENT_LISTEN, "/* */ LISTEN \"x\""},
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
    {STATEMENT_SESSION, "set client_encoding to utf8"},
    {STATEMENT_SESSION, "SET SESSION Client_Encoding = 'UTF-8'"},
    {STATEMENT_SESSION, "set client_encoding to default"},
    {STATEMENT_SESSION, "set names 'utf8'"},
    {STATEMENT_SESSION, "set names default;"},
    {STATEMENT_SESSION, "reset client_encoding"},
    {STATEMENT_SESSION, "set search_path to latin1"},
    {STATEMENT_ENCODING, "set client_encoding to latin1"},
    {STATEMENT_ENCODING, "set local client_encoding='LATIN1'"},
    {STATEMENT_ENCODING, "set session \"client_encoding\" to 'sql_ascii'"},
    {STATEMENT_ENCODING, "SET NAMES 'win1252'"},
    {STATEMENT_ENCODING, "set names utf88"},
    {STATEMENT_SESSION, "select 1 into temp t"},
    {STATEMENT_SESSION, "select 1 INTO TEMPORARY TABLE t"},
    {STATEMENT_SESSION, "with x as (select 1) select * into /* */ temp t from x"},
    {STATEMENT_SESSION, "create table pg_temp.t (x int)"},
    {STATEMENT_SESSION, "insert into PG_TEMP_3.t values (1)"},
    {STATEMENT_SESSION, "select * from \"pg_temp\".t"},
    {STATEMENT_SESSION, "select 1 as a into local temp t"},
    {STATEMENT_SESSION, "select 1 as a into global temporary table t"},
    {STATEMENT_SESSION, "select 1 as insert into temp t"},
    {STATEMENT_SESSION, "select count(*) insert into temp t"},
    {STATEMENT_SESSION, "(select count(*) merge into temp t)"},
    {STATEMENT_SESSION, "select 1 as for into temp t"},
    {STATEMENT_SESSION, "with x as (select 1) select (1) insert into temp t"},
    {STATEMENT_SESSION, "with x as (select 1), y as (select 2) select (1) insert into temp t"},
    {STATEMENT_SESSION, "with materialized(insert) as (select 1) select (1) merge into temp t"},
    {STATEMENT_SESSION,
     "with recursive x(a) as (select 1 union all select a from x) search depth first by a set o select (1) insert "
     "into temp t"},
    {STATEMENT_SESSION,
     "with recursive x(a) as (select 1) search depth first by set, a set insert select (1) insert into temp t"},
    {STATEMENT_SESSION,
     "with recursive x(set, insert) as (select 1, 2) search depth first by set set search select 1 as set, insert into "
     "temp t from x"},
    {STATEMENT_SESSION,
     "with recursive x(set, cycle, insert) as (select 1, 2, 3) search depth first by set, cycle set o select 1 as "
     "using, insert into temp t from x"},
    {STATEMENT_SESSION, "with recursive x(by, insert) as (select 1, 2) search depth first by by set o select 1 as set, "
                        "insert into temp t"},
    {STATEMENT_SESSION,
     "with recursive x(a) as (select 1) cycle a set insert to 1 default 0 using merge select 1 insert into temp t"},
    {STATEMENT_SESSION, "explain analyze select 1 insert into temp t"},
    {STATEMENT_SESSION, "explain (analyze, verbose off) with x as (select 1) select (1) insert into temp t"},
    {STATEMENT_SESSION, "explain (analyze) (select (1) insert into temp t)"},
    {STATEMENT_SESSION, "select 1e5into temp x"},
    {STATEMENT_SESSION, "select 1.5e-5into temp x"},
    {STATEMENT_SESSION, "select 1 as \xef\xbb\xbf$a$ into temp t --$a$"},
    {STATEMENT_SESSION,
     "with recursive x(a) as (select 1) cycle a set c using \xef\xbb\xbf select insert into temp t from (select 1 as "
     "insert) y"},
    {STATEMENT_SESSION, "create table U&\"pg\\005ftemp\".t (x int)"},
    {STATEMENT_SESSION, "select 1 into U&\"pg\\005ftemp\".t"},
    {STATEMENT_PLAIN, "create table t (x text default U&'\\0061')"},
    {STATEMENT_SESSION, "explain analyze create table U&\"pg\\005ftemp\".t as select 1"},
    {STATEMENT_PLAIN, "select U&\"x\" from t"},
    {STATEMENT_PLAIN, "explain select U&\"x\" from t"},
    {STATEMENT_PLAIN, "explain insert into temp values (1)"},
    {STATEMENT_PLAIN, "explain analyze verbose insert into local values (1)"},
    {STATEMENT_PLAIN, "explain (analyze, costs off) with x as (select 1) insert into global select * from x"},
    {STATEMENT_PLAIN, "explain query plan replace into temp values (1)"},
    {STATEMENT_PLAIN, "create trigger g after insert on t begin insert into temp values (1); end"},
    {STATEMENT_PLAIN, "create rule r as on insert to t do also insert into temp values (1)"},
    {STATEMENT_SESSION, "-- x\rcreate table pg_temp.t (x int)"},
    {STATEMENT_SESSION, "-- x\rselect 0 as a into temp t"},
    {STATEMENT_PLAIN, "select 'pg_temp', 'into temp t', nspname like 'pg_temp%' from pg_namespace"},
    {STATEMENT_PLAIN, "insert into temp values (1)"},
    {STATEMENT_PLAIN, "merge into temp using x on true when matched then do nothing"},
    {STATEMENT_PLAIN, "select 1 into t"},
    {STATEMENT_PLAIN, "select pg_te"},
    {STATEMENT_PLAIN, "select \"pg_te\""},
    {STATEMENT_SESSION, "create temp table t (x int)"},
    {STATEMENT_SESSION, "explain analyze create temp table t as select 1"},
    {STATEMENT_SESSION, "explain (analyze, costs (off)) create temporary table t as select 1"},
    {STATEMENT_PLAIN, "explain analyze create table t as select 1"},
    {STATEMENT_PLAIN, "explain (analyze"},
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

static enum statement_class classify(const char *sql) {
    return (enum statement_class)statement_traits(sql, strlen(sql)).class;
}

Test(statement, classes) {
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        cr_expect_eq(classify(classes[i].sql), classes[i].class, "%s: %d", classes[i].sql, classify(classes[i].sql));
}

Test(statement, class_is_kept) {
    struct statement_table *table = statement_table_new(2, 1000, NULL);
    struct quring_statement *statement = find(table, "/**/ unlisten x");
    cr_assert_eq(statement->traits.class, STATEMENT_SESSION);
    statement_drop(statement);
    statement_table_free(table);
}

Test(statement, refusals) {
    for (enum statement_class class = STATEMENT_PLAIN; class <= STATEMENT_EMPTY; class ++) {
        bool never = class == STATEMENT_COPY || class == STATEMENT_LISTEN || class == STATEMENT_ENCODING;
        bool stateful = class == STATEMENT_SESSION || class == STATEMENT_TRANSACTION;
        cr_expect_eq(statement_refusal(class, false) != NULL, never || stateful, "%d", class);
        cr_expect_eq(statement_refusal(class, true) != NULL, never, "%d", class);
    }
}

/* ---- What may share a transaction -------------------------------------------------------------------------------- */

static const char *const groupable[] = {
    "select 1",
    "(select 1) union (select 2)",
    ";select 1",
    "((values (1)))",
    "table t",
    "TABLE t;",
    "with x as (delete from t returning *) select * from x",
    "with x as (select 1) insert into t select * from x",
    "insert into t values (1)",
    "insert /* */ into t values (1)",
    "INSERT\n--x\nINTO t default values",
    "insert into t select * from u on conflict do update set x = 1",
    "insert or ignore into t values (1)",
    "/* x */ replace into t values (1)",
    "with x as (select 1) replace into t select * from x",
    "with x as (select 1) insert or ignore into t select * from x",
    "with x(insert) as (select 1), y as (insert into t values (1) returning a) merge into t using x on false when "
    "matched then do "
    "nothing",
    "with update as (update t set a = a returning *) insert into t select 1 where not exists (select 1 from update)",
    "with values(a) as (select 1) insert into t select a from values",
    "with insert as materialized (insert into t values (1) returning a) insert into t select a from insert",
    "with materialized(a) as (select 1) insert into t select a from materialized",
    "with recursive x(a) as (select 1 union all select a from x) search depth first by a set o insert into t table x",
    "with recursive x(set) as (select 1) search depth first by set set o insert into t table x",
    "with recursive x(a) as (select 1) search breadth first by a, b set update cycle a, b set c to 'x' default 'y' "
    "using p, y as not materialized (select 2) merge into t using x on false when matched then do nothing",
    "with x as (with y as (select 1) insert into t select * from y returning a) select a from x",
    "update t set x = 1",
    "delete from t where x = $1",
    "merge into t using u on true when not matched then insert values (1)",
    "-- call p()\nselect 1",
    "/* call /* p */ () */ select 1",
    "select 'for update', 'into x', $$ for share $$, $a$into$a$, \"for\" from t",
    "select 'it''s for update'",
    "select substring(x from 1 for 3) from t",
    "select \"into\" from t",
    "select E'\\' for update' from t",
    "insert into t values ('\\x6465')",
    "select $1 for_update",
    "select forupdate",
    "select 'a'\n'for update'",
    "select '{}'::jsonb -> 'into'",
    "select x from t offset 1 fetch first row only",
    "select _config, config from t",
    "select advisory_lock(1)",
    "select time_slot, pg_logical, replication from slot_logical",
};

static const char *const alone[] = {
    "select 1 as insert into t",
    "select 1 as for into t",
    "select 1e5into t",
    "select 1 as \xef\xbb\xbf$a$ into t --$a$",
    "select 1 as \xef\xbb\xbf$a$ from t for update --$a$",
    "with x as (select 1) values (1) insert into t",
    "with insert as (select 1) select 1 insert into t",
    "with recursive x(a) as (select 1) cycle a set merge using insert select 1 merge into t",
    "select x replace into t from u",
    "select insert or x into t from u",
    "insert or into t values (1)",
    "",
    "--",
    "(",
    "call p()",
    "/* select */ call p()",
    "/* /* */ select */ call p()",
    "do $$ begin commit; end $$",
    "vacuum",
    "create index concurrently i on t (x)",
    "create database d",
    "explain analyze insert into t values (1)",
    "begin",
    "commit",
    "set x = 1",
    "fetch c",
    "execute p",
    "notify x",
    "lock t",
    "truncate t",
    "copy t from 'x'",
    "refresh materialized view concurrently v",
    "\"select\" 1",
    "selects 1",
    "'select' 1",
    "1 select",
    "show x",
    /* settings and locks that neighbours would see */
    "select set_config('app.tenant', 'A', true)",
    "select SET_CONFIG('a.b', 'c', true)",
    "select \"set_config\"('a', 'b', true)",
    "select pg_catalog.set_config('a', 'b', true)",
    "select 'set_config'",
    "update pg_settings set setting = 'UTC' where name = 'TimeZone'",
    "with x as (update pg_catalog.\"pg_settings\" set setting = 'b' returning 1) select 1",
    "select /* set_config */ 1",
    "with x as (select set_config('a.b', 'c', true)) select * from t, x",
    "select U&\"s\\0065t_config\"('a.b', 'c', true)",
    "select u&'x'",
    "select u&\"x\" from t",
    "select substring('abc' from 1 for U&\"set\\005fconfig\"('a.b', '1', false)::int)",
    "select pg_advisory_lock(1)",
    "select PG_ADVISORY_xact_lock(1)",
    "select pg_try_advisory_lock(1)",
    "select pg_try_ADVISORY_xact_lock_shared(1)",
    /* what is not undone with the transaction */
    "select * from pg_logical_slot_get_changes('s', null, null)",
    "select pg_logical_emit_message(false, 'a', 'b')",
    "select pg_create_physical_replication_slot('s')",
    "with s as (select pg_catalog.PG_DROP_REPLICATION_SLOT('s')) table s",
    "select pg_replication_origin_create('o')",
    "select * from t for update",
    "select * from t FOR no KEY update",
    "select * from t for/**/share",
    "select * from t for -- x\n key share of t",
    "(select * from t for update)",
    "select * from t where x = $1for update",
    "with x as (select * from t for update skip locked) delete from t using x where t.id = x.id",
    "select 1 into t",
    "select 1 INTO TEMP t",
    "select * into/**/t from u",
    "select 1into t",
    /* whether a backslash ends the literal is a setting of the server's */
    "select 'a\\' for update",
    "select 'a\\'' for update --'",
    "select E'a\\'' for update",
    "select E'a'\n'\\'' for update",
};

Test(statement, what_may_share_a_transaction) {
    for (size_t i = 0; i < sizeof groupable / sizeof *groupable; i++)
        cr_expect(statement_traits(groupable[i], strlen(groupable[i])).groupable, "%s", groupable[i]);
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        cr_expect_not(statement_traits(alone[i], strlen(alone[i])).groupable, "%s", alone[i]);
}

/* ---- What may be used again -------------------------------------------------------------------------------------- */

static const char *const reusable[] = {
    "select 1",
    "insert into t values ($1)",
    "select now(), 'know', 'snow', 'nowhere', 'todays', 'snow_'",
    "vacuum",
    "select x as now from t",
    "select \"now\" from t",
    "select 'I k' || 'nowt' -- 'now'",
    "select '_\\_%'",
    "select 'i know' as today",
    "select 'call', 'show'",
    "update t set today = 'x'",
    "with x as (select 1) table x",
};

static const char *const described_anew[] = {
    "fetch c",
    "FETCH all from c",
    "move c",
    "execute p",
    "show all",
    "explain select 1",
    "explain (analyze) select 1",
    "call p(1)",
    "/* x */ call p(1)",
    "select timestamp 'now'",
    "select 'NOW'::timestamptz",
    "select date ' today '",
    "select date 'tomorrow 12:00'",
    "select '{yesterday,today}'::date[]",
    "select '(\"now\",1)'::r",
    "select '[now,)'::tsrange",
    "select date $$today$$",
    "select date $d$ today$d$",
    "select timestamp E'now'",
    "select timestamp E'\\x6eow'",
    "select timestamp E'n\\157w'",
    "select timestamp U&'\\006eow'",
    "select timestamp 'no'\n'w'",
    "select timestamp 'no' -- x\n  'w'",
    "select '{n\\ow}'::timestamp[]",
    "select '(n\"o\"w)'::r",
    "select timestamp 'n\\x6fw'",
    "insert into t values ('today')",
    "select 'a\\', 'now'",
    "select E'a\\' ', 'now', E'\\''",
};

Test(statement, what_may_be_used_again) {
    for (size_t i = 0; i < sizeof reusable / sizeof *reusable; i++)
        cr_expect(statement_traits(reusable[i], strlen(reusable[i])).reusable, "%s", reusable[i]);
    for (size_t i = 0; i < sizeof described_anew / sizeof *described_anew; i++)
        cr_expect_not(statement_traits(described_anew[i], strlen(described_anew[i])).reusable, "%s", described_anew[i]);
}

static const struct {
    enum statement_effect effect;
    const char *sql;
} effects[] = {
    {EFFECT_NONE, "select 1"},
    {EFFECT_NONE, "select * from t for update"},
    {EFFECT_NONE, "insert into t values (1)"},
    {EFFECT_NONE, "savepoint a"},
    {EFFECT_NONE, "release a"},
    {EFFECT_NONE, "prepare p as select 1"},
    {EFFECT_NONE, "deallocate p"},
    {EFFECT_NONE, "deallocate prepare p"},
    {EFFECT_NONE, "declare c cursor for select 1"},
    {EFFECT_NONE, ""},
    {EFFECT_NONE, "begin"},
    {EFFECT_NONE, "start transaction"},
    {EFFECT_COMMITS, "commit"},
    {EFFECT_COMMITS, "END"},
    {EFFECT_COMMITS, "prepare transaction 'x'"},
    {EFFECT_ENDS, "rollback"},
    {EFFECT_ENDS, "rollback and chain"},
    {EFFECT_ENDS, "rollback work"},
    {EFFECT_ENDS, "abort"},
    {EFFECT_GOES_BACK, "rollback to a"},
    {EFFECT_GOES_BACK, "ROLLBACK /* */ work TO savepoint a"},
    {EFFECT_GOES_BACK, "rollback transaction to savepoint a"},
    {EFFECT_FORGETS, "discard all"},
    {EFFECT_FORGETS, "deallocate all"},
    {EFFECT_FORGETS, "deallocate prepare all"},
    {EFFECT_CHANGES, "discard plans"},
    {EFFECT_CHANGES, "set x = 1"},
    {EFFECT_CHANGES, "alter table t add x int"},
    {EFFECT_CHANGES, "do $$ begin end $$"},
    {EFFECT_CHANGES, "call p()"},
    {EFFECT_CHANGES, "fetch c"},
    {EFFECT_CHANGES, "execute p"},
    {EFFECT_CHANGES, "explain analyze select f()"},
    {EFFECT_CHANGES, "select set_config('a.b', 'c', true)"},
    {EFFECT_CHANGES, "declare c cursor for select set_config('a.b', 'c', true)"},
    {EFFECT_CHANGES, "update PG_SETTINGS set setting = 'UTC' where name = 'TimeZone'"},
    {EFFECT_CHANGES, "select 1 into t"},
    {EFFECT_CHANGES, "\"select\""},
};

Test(statement, effects) {
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        cr_expect_eq(statement_traits(effects[i].sql, strlen(effects[i].sql)).effect, effects[i].effect, "%s",
                     effects[i].sql);
}

/* ---- In a transaction -------------------------------------------------------------------------------------------- */

static const struct {
    enum statement_verb verb;
    const char *sql;
} verbs[] = {
    {VERB_NONE, "select 1"},
    {VERB_NONE, "set a = 1"},
    {VERB_NONE, "prepare p as select 1"},
    {VERB_NONE, ""},
    {VERB_COMMITS, "COMMIT"},
    {VERB_COMMITS, "/* a */ ; commit work;"},
    {VERB_COMMITS, "commit transaction"},
    {VERB_COMMITS, "end"},
    {VERB_COMMITS, "end transaction ;"},
    {VERB_COMMITS, "commit and no chain"},
    {VERB_COMMITS, "commit;; -- it's all\n;"},
    {VERB_AND_MORE, "commit; select 1"},
    {VERB_AND_MORE, "end;; -- x\n vacuum"},
    {VERB_AND_MORE, "commit; )"},
    {VERB_AND_MORE, "abort work and no chain; rollback"},
    {VERB_FOREIGN, "commit; /* /* */ select 1 -- */"}, /* PostgreSQL alone reads COMMIT, and nothing behind it */
    {VERB_FOREIGN, "commit -- \r ; select 1"},
    {VERB_FOREIGN, "(commit"},
    {VERB_FOREIGN, "commit and no"},
    {VERB_FOREIGN, "commit and no wait"},
    {VERB_FOREIGN, "commit and chain"},
    {VERB_FOREIGN, "end work and chain"},
    {VERB_FOREIGN, "commit prepared 'x'"},
    {VERB_FOREIGN, "commit to x"},
    {VERB_ROLLS_BACK, "rollback"},
    {VERB_ROLLS_BACK, "abort"},
    {VERB_ROLLS_BACK, "rollback transaction and no chain"},
    {VERB_FOREIGN, "rollback and chain"},
    {VERB_FOREIGN, "rollback prepared 'x'"},
    {VERB_GOES_BACK, "rollback to x"},
    {VERB_GOES_BACK, "ROLLBACK WORK TO SAVEPOINT x"},
    {VERB_GOES_BACK, "rollback transaction to savepoint \"to\""},
    {VERB_SAVES, "savepoint x"},
    {VERB_RELEASES, "release savepoint x"},
    {VERB_RELEASES, "release x"},
    {VERB_FOREIGN, "begin"},
    {VERB_FOREIGN, "start transaction"},
    {VERB_FOREIGN, "prepare transaction 'x'"},
    {VERB_FOREIGN, "/* /* */ commit -- */"}, /* SQLite alone reads COMMIT here */
};

Test(statement, verbs) {
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        struct statement_traits traits = statement_traits(verbs[i].sql, strlen(verbs[i].sql));
        cr_expect_eq(traits.verb, verbs[i].verb, "%s: %d", verbs[i].sql, traits.verb);
        cr_expect_eq(statement_tx_refusal(&traits) != NULL, verbs[i].verb >= VERB_AND_MORE, "%s", verbs[i].sql);
    }
}

static const char *const leaving_nothing[] = {
    "select * from t for update",
    "insert into t values (1)",
    "with a as (select 1) delete from t",
    "savepoint a",
    "rollback to a",
    "release a",
    "commit",
    "rollback",
    "table t",
    "merge into t using s on true when matched then do nothing",
};

static const char *const leaving_something[] = {
    "set a = 1",
    "set local a = 1",
    "create temp table t (a int)",
    "create table t (a int)",
    "select 1 into t",
    "select 1 into temp t",
    "select * from pg_temp.t",
    "select set_config('a.b', 'c', true)",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_xact_lock(1)",
    "update pg_settings set setting = 'UTC' where name = 'TimeZone'",
    "declare c cursor with hold for select 1",
    "prepare p as select 1",
    "do $$ begin end $$",
    "call p()",
    "unlisten *",
    "select u&'\\0041'",
};

Test(statement, leaves_nothing) {
    for (size_t i = 0; i < sizeof leaving_nothing / sizeof *leaving_nothing; i++)
        cr_expect(statement_traits(leaving_nothing[i], strlen(leaving_nothing[i])).leaves_nothing, "%s",
                  leaving_nothing[i]);
    for (size_t i = 0; i < sizeof leaving_something / sizeof *leaving_something; i++)
        cr_expect_not(statement_traits(leaving_something[i], strlen(leaving_something[i])).leaves_nothing, "%s",
                      leaving_something[i]);
}

/* ---- Any text ---------------------------------------------------------------------------------------------------- */

/* Every beginning of a text, in memory of exactly that size: nothing is read behind it. */
static void check_beginnings(const char *sql) {
    for (size_t length = 0; length <= strlen(sql); length++) {
        char *exact = malloc(length + !length);
        memcpy(exact, sql, length);
        (void)statement_traits(exact, length);
        free(exact);
    }
}

Test(statement, traits_read_no_further_than_the_text) {
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        check_beginnings(classes[i].sql);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        check_beginnings(verbs[i].sql);
    for (size_t i = 0; i < sizeof groupable / sizeof *groupable; i++)
        check_beginnings(groupable[i]);
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        check_beginnings(alone[i]);
    for (size_t i = 0; i < sizeof described_anew / sizeof *described_anew; i++)
        check_beginnings(described_anew[i]);
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        check_beginnings(effects[i].sql);
}
