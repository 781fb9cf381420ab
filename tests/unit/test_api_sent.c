/* SPDX-License-Identifier: MIT */
/* Whether a query that was given up may have reached SQLite. What begins is seen by its lock, from outside the library. */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENDLESS "with recursive n(i) as (select 1 union all select i + 1 from n) "

static char directory[] = "/tmp/quring-sent-XXXXXX", path[64];
static quring_engine *engine;
static quring_db *db;

static quring_done reap_one(void) {
    quring_done done;
    while (quring_reap(engine, &done, 1) == 0)
        cr_assert_geq(quring_run(engine, 1, QURING_FOREVER), 0);
    return done;
}

static quring_id submit(const char *sql, quring_commit_mode commit) {
    quring_id id;
    quring_query query = {.db = db, .sql = sql, .commit = commit};
    cr_assert_eq(quring_submit(engine, &query, &id), 0, "%s", quring_errmsg(engine));
    return id;
}

static void expect(quring_id id, quring_status status, bool sent) {
    quring_done done = reap_one();
    cr_assert_eq(done.id, id);
    cr_assert_eq(done.status, status, "%s", quring_status_name(done.status));
    cr_assert_eq(done.sent, sent, "%s, sent: %d", quring_status_name(status), done.sent);
    cr_assert_eq(quring_release(engine, id), 0);
}

static void begin(void) {
    char url[96];
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/a.db", directory);
    snprintf(url, sizeof url, "sqlite:///%s?mode=rwc", path);
    cr_assert_eq(quring_engine_open(NULL, &engine), 0);
    const quring_db_options options = {.busy_timeout_ns = QURING_FOREVER};
    cr_assert_eq(quring_db_open(engine, url, &options, &db), 0);
    expect(submit("create table t(a)", 0), QURING_OK, true);
}

static void end(void) {
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    quring_engine_close(engine);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    rmdir(directory);
}

TestSuite(api_sent, .init = begin, .fini = end);

/* Returns when a writer has the file's lock. */
static void wait_for_lock(void) {
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(path, &other), SQLITE_OK);
    for (;;) {
        cr_assert_geq(quring_run(engine, 0, 0), 0);
        int code = sqlite3_exec(other, "begin immediate", NULL, NULL, NULL);
        if (code == SQLITE_BUSY)
            break;
        cr_assert_eq(code, SQLITE_OK);
        cr_assert_eq(sqlite3_exec(other, "rollback", NULL, NULL, NULL), SQLITE_OK);
        usleep(1000);
    }
    sqlite3_close(other);
}

Test(api_sent, what_had_begun_and_what_waited_behind_it) {
    quring_id running = submit("insert into t " ENDLESS "select i from n", QURING_COMMIT_EACH);
    wait_for_lock();
    quring_id behind = submit("insert into t values (1)", QURING_COMMIT_EACH);
    cr_assert_geq(quring_run(engine, 0, 0), 0); /* it is in the writer's queue */
    cr_assert_eq(quring_cancel(engine, behind), 0);
    expect(behind, QURING_CANCELLED, false);
    quring_id late = submit("insert into t values (2)", QURING_COMMIT_EACH);
    cr_assert_eq(quring_cancel(engine, late), 0);
    expect(late, QURING_CANCELLED, false);
    cr_assert_eq(quring_cancel(engine, running), 0);
    expect(running, QURING_CANCELLED, true);
    expect(submit("insert into t values (3)", QURING_COMMIT_EACH), QURING_OK, true);
}

Test(api_sent, what_shutdown_ends) {
    quring_id running = submit("insert into t " ENDLESS "select i from n", QURING_COMMIT_EACH);
    wait_for_lock();
    quring_id waiting = submit("insert into t values (1)", QURING_COMMIT_GROUP);
    cr_assert_eq(quring_shutdown(engine, 0), 2);
    expect(waiting, QURING_SHUTDOWN, false);
    expect(running, QURING_SHUTDOWN, true);
}

Test(api_sent, what_the_database_refused_or_the_caller_limited) {
    expect(submit("select nothing", 0), QURING_SERVER_ERROR, true);
    quring_db *first = db;
    cr_assert_eq(quring_db_open(engine, "sqlite://", &(quring_db_options){.result_row_count = 2}, &db), 0);
    expect(submit(ENDLESS "select i from n", 0), QURING_LIMIT, true);
    expect(submit("-- nothing", 0), QURING_OK, true);
    db = first;
}
