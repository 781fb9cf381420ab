/* SPDX-License-Identifier: MIT */
/* quring_db_status() of SQLite's handles, and what it says before anything happened and at the end. */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static quring_engine *engine;
static char folder[] = "/tmp/quring_status_XXXXXX", file[64], url[100];

static void begin(void) {
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/a.db", folder);
    snprintf(url, sizeof url, "sqlite:///%s?mode=rwc", file);
    cr_assert_eq(quring_engine_open(NULL, &engine), 0);
}

static void end(void) {
    quring_engine_close(engine);
    static const char *const suffixes[] = {"", "-wal", "-shm", ".old"};
    for (size_t i = 0; i < 4; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", file, suffixes[i]);
        (void)unlink(name);
    }
    cr_assert_eq(rmdir(folder), 0);
}

TestSuite(api_status, .init = begin, .fini = end);

static quring_db *open_db(const char *db_url, const quring_db_options *options) {
    quring_db *db = NULL;
    cr_assert_eq(quring_db_open(engine, db_url, options, &db), 0, "%s", quring_errmsg(engine));
    return db;
}

static quring_status run(quring_db *db, const char *sql) {
    quring_done done;
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = sql}, NULL), 0);
    while (quring_reap(engine, &done, 1) == 0)
        cr_assert_geq(quring_run(engine, 1, QURING_FOREVER), 0);
    quring_status status = done.status;
    cr_assert_eq(quring_release(engine, done.id), 0);
    return status;
}

static quring_db_info look(const quring_db *db) {
    quring_db_info info;
    cr_assert_eq(quring_db_status(db, &info), 0);
    cr_assert_eq(info.up_count, info.idle_count + info.busy_count);
    cr_assert_eq(info.retry_ns, QURING_FOREVER, "only queries make a lane try");
    return info;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

Test(api_status, a_file_that_is_opened) {
    uint64_t from_ns = now_ns();
    quring_db *db = open_db(url, NULL);
    quring_db_info info = look(db);
    cr_assert(info.state == QURING_DB_TRYING && info.wanted_count == 3 && info.up_count == 0);
    cr_assert(info.state_at_ns >= from_ns && info.state_at_ns <= now_ns());
    cr_assert_str_eq(info.message, "");
    from_ns = now_ns();
    cr_assert_eq(run(db, "create table t(a)"), QURING_OK);
    info = look(db);
    cr_assert(info.state == QURING_DB_UP && info.up_count >= 1);
    cr_assert(info.state_at_ns >= from_ns && info.state_at_ns <= now_ns());
    cr_assert(info.reason_at_ns == 0 && info.failure_count == 0 && !*info.sqlstate);
}

Test(api_status, a_file_that_is_not_there) {
    char missing[100];
    snprintf(missing, sizeof missing, "sqlite:///%s", file);
    quring_db *db = open_db(missing, NULL);
    cr_assert_eq(run(db, "select 1"), QURING_NOT_SENT);
    quring_db_info info = look(db);
    cr_assert_eq(info.state, QURING_DB_TRYING);
    cr_assert_geq(info.failure_count, 1);
    cr_assert_eq(info.up_count, 0);
    cr_assert_gt(info.reason_at_ns, 0);
    cr_assert_str_eq(info.sqlstate, "08001");
    cr_assert(strstr(info.message, "unable to open"), "%s", info.message);
    cr_assert_eq(run(open_db(url, NULL), "create table t(a)"), QURING_OK);
    cr_assert_eq(run(db, "select 1"), QURING_OK);
    info = look(db);
    cr_assert_eq(info.state, QURING_DB_UP);
    cr_assert_eq(info.failure_count, 0);
    cr_assert(*info.message, "what was wrong last stays");
}

/* The exclusive handle's settings are gone with its file. */
Test(api_status, a_file_that_is_replaced) {
    char old[100];
    quring_db *db = open_db(url, &(quring_db_options){.exclusive = true});
    cr_assert_eq(run(db, "create table t(a)"), QURING_OK);
    cr_assert(look(db).state == QURING_DB_UP && look(db).idle_count + look(db).busy_count == 1);
    snprintf(old, sizeof old, "%s.old", file);
    cr_assert_eq(rename(file, old), 0);
    cr_assert_eq(run(db, "select 1"), QURING_NOT_SENT);
    quring_db_info info = look(db);
    cr_assert_eq(info.state, QURING_DB_LOST, "%s", quring_db_state_name(info.state));
    cr_assert_str_eq(info.sqlstate, "58P01");
    cr_assert_eq(info.up_count, 0);
    cr_assert_eq(run(db, "select 1"), QURING_NOT_SENT);
    cr_assert_eq(look(db).state, QURING_DB_LOST);
}

/* Reads don't need the writer's settings, but must not go on with another file while writes are refused. */
Test(api_status, a_shared_file_that_is_replaced) {
    char old[100];
    quring_db *db = open_db(url, NULL);
    cr_assert_eq(run(db, "create table t(a)"), QURING_OK);
    cr_assert_eq(run(db, "pragma foreign_keys = on"), QURING_OK);
    cr_assert_eq(run(db, "select * from t"), QURING_OK);
    snprintf(old, sizeof old, "%s.old", file);
    cr_assert_eq(rename(file, old), 0);
    cr_assert_eq(run(db, "insert into t values(1)"), QURING_NOT_SENT);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(run(db, "select 1"), QURING_NOT_SENT, "every query ends");
    cr_assert_eq(look(db).state, QURING_DB_LOST);
    cr_assert_geq(quring_db_warm_up(db, QURING_FOREVER), 1);
    cr_assert_eq(run(db, "select 1"), QURING_NOT_SENT);
    cr_assert_eq(look(db).state, QURING_DB_LOST);
}

Test(api_status, lanes_are_opened_before_there_are_queries) {
    quring_db *db = open_db(url, &(quring_db_options){.connection_count = 5});
    cr_assert_eq(quring_db_warm_up(db, QURING_FOREVER), 0);
    quring_db_info info = look(db);
    cr_assert(info.wanted_count == 6 && info.up_count == 6 && info.state == QURING_DB_UP);
    cr_assert_eq(quring_db_warm_up(db, QURING_FOREVER), 0);
    cr_assert_eq(quring_db_warm_up(open_db("sqlite://", NULL), QURING_FOREVER), 0);
    quring_stats stats;
    quring_stats_get(engine, &stats);
    cr_assert_eq(stats.connect_count, 7, "none is opened twice");
}

Test(api_status, lanes_that_can_not_open_the_file_try_again_when_they_are_asked) {
    char missing[100];
    snprintf(missing, sizeof missing, "sqlite:///%s", file);
    quring_db *db = open_db(missing, NULL);
    cr_assert_eq(quring_db_warm_up(db, QURING_FOREVER), 3);
    cr_assert_eq(look(db).state, QURING_DB_TRYING);
    cr_assert_eq(look(db).failure_count, 3);
    cr_assert_eq(quring_db_warm_up(open_db(url, NULL), QURING_FOREVER), 0);
    cr_assert_eq(quring_db_warm_up(db, QURING_FOREVER), 0);
    cr_assert_eq(look(db).up_count, 3);
}

/* What a lane has to say of an attempt before may come after warm_up() was called again, and is no attempt. */
Test(api_status, lanes_try_again_each_time_that_they_are_asked) {
    char missing[100];
    snprintf(missing, sizeof missing, "sqlite:///%s", file);
    for (int i = 0; i < 50; i++) {
        quring_db *db = open_db(missing, NULL);
        cr_assert_eq(quring_db_warm_up(db, QURING_FOREVER), 3);
        FILE *made = fopen(file, "w");
        cr_assert(made != NULL && fclose(made) == 0);
        cr_assert_eq(quring_db_warm_up(db, QURING_FOREVER), 0, "round %d", i);
        cr_assert_eq(look(db).up_count, 3);
        quring_db_close(db);
        cr_assert_eq(unlink(file), 0);
    }
}

Test(api_status, options_warm_up_opens_all_lanes) {
    quring_db *db = open_db(url, &(quring_db_options){.warm_up = true});
    while (look(db).up_count < 3)
        cr_assert_geq(quring_run(engine, 1, 1000000), 0);
    cr_assert_eq(run(db, "create table t(a)"), QURING_OK);
}

Test(api_status, an_engine_that_shuts_down) {
    quring_db *db = open_db("sqlite://", NULL);
    cr_assert_eq(run(db, "select 1"), QURING_OK);
    quring_shutdown(engine, 0);
    cr_assert_eq(look(db).state, QURING_DB_CLOSING);
}

Test(api_status, quring_db_status_refuses_what_is_missing) {
    quring_db_info info;
    cr_assert_eq(quring_db_status(NULL, &info), QURING_EINVAL);
    cr_assert_eq(quring_db_status(open_db("sqlite://", NULL), NULL), QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(engine), "info"));
}
