/* SPDX-License-Identifier: MIT */
/*
 * GROUP under all that a server is asked in a day, at random: what was acknowledged is there once, what failed is not, and
 * nobody sees a neighbour's settings. The tables say so, not the library: each row carries the number of its query.
 */
#include "base/rng.h"
#include "lib/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES = LIVE_SANITIZED ? 10000 : 100000, WINDOW = 2000, COUNTERS = 200, INDEXES = 6 };

enum kind {
    INSERT,
    WITH_INSERT,
    IDENTITY,
    COUNT,
    CHILD,
    TENANT_SET,
    TENANT_SET_AND_WRITE,
    TENANT_READ,
    CALL_ROLLS_BACK,
    CALL_COMMITS,
    DO_ROLLS_BACK,
    DO_COMMITS,
    VACUUM,
    INDEX,
    DATABASE,
    LOCK_ROW,
    /* these fail */
    NO_VALUE,
    NO_PARENT,
    NO_SYNTAX,
    BY_ZERO,
    CALL_COMMITS_AND_FAILS
};

static const struct {
    const char *sql;      /* with the query's number as $1 or for @ */
    const char *sqlstate; /* "": it succeeds */
    uint32_t share;       /* of a thousand; 0: see choose() */
    bool writes;          /* a row with its number in storm */
} kinds[] = {
    [INSERT] = {"insert into storm values ($1)", "", 0, true},
    [WITH_INSERT] = {"with x as (insert into storm values ($1) returning id) select id from x", "", 40, true},
    [IDENTITY] = {"select $1::int8", "", 150, false},
    [COUNT] = {"update storm_counter set n = n + 1 where id = $1 % 200", "", 60, false},
    [CHILD] = {"insert into storm_child values ($1, 1)", "", 40, false},
    [TENANT_SET] = {"select set_config('app.tenant', $1::int8::text, true)", "", 20, false},
    [TENANT_SET_AND_WRITE] = {"with s as (select set_config('app.tenant', 'x', true) as t) insert into storm select $1 "
                              "from s where t = 'x'",
                              "", 20, true},
    [TENANT_READ] = {"select coalesce(current_setting('app.tenant', true), '') || repeat('', $1::int4)", "", 150,
                     false},
    [CALL_ROLLS_BACK] = {"call storm_rolls_back($1)", "", 20, true},
    [CALL_COMMITS] = {"call storm_commits($1)", "", 20, true},
    [DO_ROLLS_BACK] = {"do $$ begin insert into storm values (@); rollback; end $$", "", 10, false},
    [DO_COMMITS] = {"do $$ begin insert into storm values (@); commit; end $$", "", 10, true},
    [VACUUM] = {"vacuum storm_vacuumed", "", 1, false},
    [INDEX] = {"create index concurrently storm_index_@ on storm_vacuumed (id)", "", 0, false},
    [DATABASE] = {"create database storm_database_@", "", 0, false},
    [LOCK_ROW] = {"select id from storm_counter where id = $1 % 200 for update", "", 10, false},
    [NO_VALUE] = {"insert into storm_child values ($1, null)", "23502", 15, false},
    [NO_PARENT] = {"insert into storm_child values ($1, 2)", "23503", 10, false},
    [NO_SYNTAX] = {"insert into storm valeus ($1)", "42601", 5, false},
    [BY_ZERO] = {"insert into storm select $1::int8 / ($1 - $1::int8)", "22012", 10, false},
    [CALL_COMMITS_AND_FAILS] = {"call storm_commits_and_fails($1)", "22012", 5, false},
};

static struct storm {
    struct live live;
    struct rng rng;
    uint8_t kind[QUERIES];
    uint8_t status[QUERIES];
    int64_t counted;
} storm;

static bool makes_index(uint32_t number) {
    return number % (QUERIES / INDEXES) == QUERIES / 20;
}

static enum kind choose(uint32_t number) {
    if (makes_index(number))
        return INDEX;
    if (number == QUERIES / 3 || number == QUERIES / 2)
        return DATABASE;
    uint64_t at = rng_below(&storm.rng, 1000);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (at < kinds[k].share)
            return (enum kind)k;
        at -= kinds[k].share;
    }
    return INSERT;
}

static void submit(uint32_t number) {
    enum kind kind = choose(number);
    char sql[256];
    const char *hole = strchr(kinds[kind].sql, '@');
    if (hole)
        snprintf(sql, sizeof sql, "%.*s%u%s", (int)(hole - kinds[kind].sql), kinds[kind].sql, number, hole + 1);
    bool has_param = strstr(kinds[kind].sql, "$1") != NULL;
    storm.kind[number] = (uint8_t)kind;
    live_submit(&storm.live, &(quring_query){.sql = hole ? sql : kinds[kind].sql,
                                             .params = &(quring_param){.type = QURING_INT8, .value.integer = number},
                                             .param_count = has_param,
                                             .user_data = number});
}

static void check_rows(enum kind kind, const quring_done *done) {
    int64_t value = -1;
    const char *text = "";
    if (kind == IDENTITY || kind == WITH_INSERT) {
        cr_assert_eq(quring_get_int64(done->result, 0, 0, &value), 0);
        cr_assert_eq((uint64_t)value, done->user_data);
    }
    if (kind == TENANT_READ) {
        cr_assert_eq(quring_get_text(done->result, 0, 0, &text, NULL), 0);
        cr_assert_str_eq(text, "", "a neighbour's tenant: %s", text);
    }
    if (kinds[kind].writes && strncmp(kinds[kind].sql, "insert", 6) == 0)
        cr_assert_eq(quring_affected_count(done->result), 1);
}

static void note(struct live *live, const quring_done *done, void *context) {
    (void)live;
    (void)context;
    enum kind kind = (enum kind)storm.kind[done->user_data];
    storm.status[done->user_data] = (uint8_t)(1 + done->status);
    if (kinds[kind].sqlstate[0]) {
        live_check_error(done, QURING_SERVER_ERROR, kinds[kind].sqlstate, "");
        return;
    }
    live_check_ok(done, kinds[kind].sql);
    storm.counted += kind == COUNT;
    check_rows(kind, done);
}

static void make_tables(void) {
    live_script(
        &storm.live,
        "drop table if exists storm, storm_counter, storm_child, storm_parent, storm_vacuumed, storm_expected;\n"
        "create table storm (id int8);\n"
        "create table storm_expected (id int8);\n"
        "create table storm_vacuumed (id int8);\n"
        "create table storm_counter (id int8 primary key, n int8 not null);\n"
        "insert into storm_counter select g, 0 from generate_series(0, 199) g;\n"
        "create table storm_parent (id int8 primary key);\n"
        "insert into storm_parent values (1);\n"
        "create table storm_child (id int8, parent int8 not null references storm_parent deferrable initially "
        "deferred)");
    live_exec(&storm.live, "create or replace procedure storm_rolls_back(id int8) language plpgsql as $$ begin "
                           "insert into storm values (-1); rollback; insert into storm values (id); end $$");
    live_exec(&storm.live, "create or replace procedure storm_commits(id int8) language plpgsql as $$ begin "
                           "insert into storm values (id); commit; perform 1; end $$");
    live_exec(&storm.live,
              "create or replace procedure storm_commits_and_fails(id int8) language plpgsql as $$ begin "
              "insert into storm values (-2); delete from storm where storm.id = -2; commit; perform 1 / 0; end $$");
}

/* The acknowledged numbers go to the server, which compares. */
static void expect_rows(void) {
    static int64_t numbers[QUERIES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < QUERIES; i++)
        if (storm.status[i] == 1 + QURING_OK && kinds[storm.kind[i]].writes)
            numbers[count++] = i;
    quring_done done = live_query(&storm.live, "insert into storm_expected select unnest($1::int8[])",
                                  quring_int64_array(numbers, count));
    live_check_ok(&done, "the expected numbers");
    live_release(&storm.live, &done);
    cr_assert_gt(count, QUERIES / 3);
}

static void check_tables(void) {
    struct live *l = &storm.live;
    cr_expect_eq(live_int(l, "select count(*) from (select id from storm_expected except all select id from storm) x"),
                 0, "acknowledged, but not there");
    cr_expect_eq(live_int(l, "select count(*) from (select id from storm except all select id from storm_expected) x"),
                 0, "there, but not acknowledged, or there twice");
    cr_expect_eq(live_int(l, "select sum(n)::int8 from storm_counter"), storm.counted);
    int64_t children = 0;
    for (uint32_t i = 0; i < QUERIES; i++)
        children += storm.kind[i] == CHILD;
    cr_expect_eq(live_int(l, "select count(*) from storm_child"), children);
    cr_expect_eq(live_int(l, "select count(distinct id) from storm_child"), children);
    cr_expect_eq(live_int(l, "select count(*) from pg_indexes where indexname like 'storm_index_%'"), INDEXES);
    cr_expect_eq(live_int(l, "select count(*) from pg_database where datname like 'storm_database_%'"), 2);
}

static void clean_up(void) {
    char sql[80];
    for (uint32_t i = 0; i < QUERIES; i++)
        if (storm.kind[i] == DATABASE) {
            snprintf(sql, sizeof sql, "drop database if exists storm_database_%u", i);
            live_exec(&storm.live, sql);
        }
    live_script(&storm.live,
                "drop table storm, storm_counter, storm_child, storm_parent, storm_vacuumed, storm_expected;\n"
                "drop procedure storm_rolls_back, storm_commits, storm_commits_and_fails");
}

static void go_on(void) {
    cr_assert_geq(quring_run(storm.live.engine, 1, LIVE_STALL_NS), 0);
    cr_assert_gt(live_reap(&storm.live, note, NULL), 0);
}

/* Two that make indexes of one table at once wait for each other: one's snapshot, the other's lock. */
static void await_index(uint32_t number) {
    for (uint32_t i = 0; i < number; i++)
        while (storm.kind[i] == INDEX && !storm.status[i])
            go_on();
}

Test(pg_group_storm, acknowledged_is_there_once) {
    live_open_url(&storm.live, live_url_with("options=-c%20deadlock_timeout%3D20ms"), NULL,
                  &(quring_db_options){.connection_count = 8, .commit = QURING_COMMIT_GROUP});
    storm.rng.state = 20260117;
    make_tables();
    for (uint32_t i = 0; i < QUERIES; i++) {
        if (makes_index(i))
            await_index(i);
        submit(i);
        while (quring_pending(storm.live.engine) >= WINDOW)
            go_on();
    }
    live_drain(&storm.live, note, NULL);
    for (uint32_t i = 0; i < QUERIES; i++)
        cr_assert_neq(storm.status[i], 0);
    expect_rows();
    check_tables();
    clean_up();
    live_close(&storm.live);
}
