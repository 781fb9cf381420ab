/* SPDX-License-Identifier: MIT */
/*
 * A file that loses its name to another one, by rename(), while handles have it open. Each test is a process of its own, so
 * one that a signal ends has failed.
 */
#include "lib/lite_files.h"

#include "lite/db.h"
#include "lite/lane.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct live live;
static quring_db *other; /* another handle on the file */

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite_replaced, .init = files_begin, .fini = teardown);

/* A row a page; every other version is in WAL mode, with nothing in the log. */
static void make_file(const char *name, int version, int rows) {
    char sql[400];
    sqlite3 *db;
    snprintf(sql, sizeof sql,
             "pragma synchronous=off; pragma journal_mode=%s; create table version(n); insert into version values(%d); "
             "create table t(a); with recursive n(i) as (values(1) union all select i + 1 from n where i < %d) "
             "insert into t select zeroblob(3500) from n",
             version % 2 ? "wal" : "delete", version, rows);
    cr_assert_eq(sqlite3_open(files_path(name), &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
}

static void rename_file(const char *from, const char *to) {
    char before[256];
    snprintf(before, sizeof before, "%s", files_path(from));
    cr_assert_eq(rename(before, files_path(to)), 0);
}

/* What SQLite keeps beside the old file stays there, which SQLite's manual warns of. */
static void replace(int version, int rows) {
    make_file("new.db", version, rows);
    rename_file("new.db", "a.db");
}

static void replace_all(int version) {
    make_file("new.db", version, 1);
    unlink(files_path("a.db-wal"));
    unlink(files_path("a.db-shm"));
    rename_file("new.db", "a.db");
}

static void open_handles(void) {
    const quring_db_options options = {.connection_count = 3, .durability = QURING_DURABILITY_OFF};
    files_open(&live, "a.db", &options);
    other = live_open_db(&live, files_url("a.db"), &options);
}

static quring_status run(quring_db *db, const char *sql) {
    quring_done done = live_run(&live, &(quring_query){.db = db, .sql = sql});
    quring_status status = done.status;
    live_release(&live, &done);
    return status;
}

static void check_gone(quring_db *db, const char *sql) {
    quring_done done = live_run(&live, &(quring_query){.db = db, .sql = sql});
    live_check_error(&done, QURING_NOT_SENT, "58P01", "deleted or replaced");
    live_release(&live, &done);
}

static int64_t version_of(quring_db *db) {
    return live_int(&(struct live){.engine = live.engine, .db = db}, "select n from version");
}

static uint32_t at_work_count(quring_db *db) {
    struct lite_db *lite = base_container_of(db, struct lite_db, base);
    uint32_t count = 0;
    for (uint32_t i = 0; i < lite->lane_count; i++)
        count += atomic_load(&lite->lanes[i].conn.watch.at_work) != 0;
    return count;
}

/* Reads pages for ever, each by way of the log's index, as they are more than the cache holds. */
static quring_id read_for_ever(void) {
    uint32_t before = at_work_count(live.db);
    quring_id id = live_submit(
        &live,
        &(quring_query){.sql = "with recursive n(i) as (values(1) union all select i + 1 from n) select count(*) "
                               "from n where (select length(a) from t where rowid = 1 + i * 7919 % 6000) = 0"});
    while (at_work_count(live.db) == before)
        quring_run(live.engine, 1, LIVE_MS);
    return id;
}

/*
 * Two reads are at work for ever. For the first one's sake nothing of what is written then leaves the log, so that the
 * second needs all of its index: two pieces of memory, where SQLite begins a new one with a single piece.
 */
static void begin_reads(quring_id reading[2]) {
    make_file("a.db", 1, 6000);
    open_handles();
    live_exec(&live, "update version set n = 2");
    reading[0] = read_for_ever();
    cr_assert_eq(live_exec(&live, "update t set a = zeroblob(3499)"), 6000);
    reading[1] = read_for_ever();
}

static void end_reads(const quring_id reading[2]) {
    cr_assert_eq(at_work_count(live.db), 2);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(quring_cancel(live.engine, reading[i]), 0);
    live_drain(&live, NULL, NULL);
}

/* Opening the new file would take the memory of the log's index away under the statements. */
Test(lite_replaced, statements_at_work_end_before_the_new_file_is_opened) {
    quring_id reading[2];
    begin_reads(reading);
    replace(3, 1);
    unlink(files_path("a.db-wal"));
    live_submit(&live, &(quring_query){.db = other, .sql = "select n from version"});
    live_submit(&live, &(quring_query){.db = other, .sql = "select n from version", .timeout_ns = LIVE_MS});
    quring_done done = live_wait(&live);
    cr_assert_eq(done.status, QURING_TIMEOUT, "those that wait can give up");
    live_release(&live, &done);
    cr_assert_eq(quring_run(live.engine, 1, 100 * LIVE_MS), 0);
    check_gone(live.db, "update version set n = 5");
    live_submit(&live, &(quring_query){.sql = "select n from version", .timeout_ns = LIVE_MS});
    done = live_wait(&live);
    cr_assert_eq(done.status, QURING_TIMEOUT);
    live_release(&live, &done);
    end_reads(reading);
    cr_assert_eq(version_of(live.db), 3);
    cr_assert_eq(version_of(other), 3);
}

Test(lite_replaced, a_handle_that_waits_for_another_one_s_statements_can_be_closed) {
    quring_id reading[2];
    begin_reads(reading);
    replace(3, 1);
    live_submit(&live, &(quring_query){.db = other, .sql = "select n from version"});
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    quring_db_close(other);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.status, QURING_SHUTDOWN);
    live_release(&live, &done);
    end_reads(reading);
}

/* One handle notices that the file was replaced. It closes what the others have open, and they say what they always said. */
Test(lite_replaced, all_handles_go_on_with_the_new_file) {
    make_file("a.db", 1, 1);
    open_handles();
    quring_db *session = live_open_db(&live, files_url("a.db"), &(quring_db_options){.exclusive = true});
    for (int version = 2; version < 6; version++) {
        cr_assert_eq(run(other, "update version set n = n"), QURING_OK);
        cr_assert_eq(version_of(other), version - 1);
        if (version == 2) {
            cr_assert_eq(run(session, "begin"), QURING_OK);
            cr_assert_eq(run(session, "insert into version values(7)"), QURING_OK);
        }
        replace_all(version);
        while (version_of(live.db) != version) /* a reader's look */
            ;
        cr_assert_eq(version_of(other), version);
        check_gone(other, "update version set n = 0");
    }
    check_gone(session, "commit");
    check_gone(session, "select 1");
}

static void count_ended(struct live *l, const quring_done *done, void *context) {
    (void)l;
    (void)done;
    ++*(uint32_t *)context;
}

/*
 * The log of one file is read as the next one's, so nothing is said of what the queries find, but that each ends; and with
 * files that belong together the handles are at work again.
 */
Test(lite_replaced, files_left_beside_end_no_process) {
    enum { ROUNDS = 20, WINDOW = 40, ROUND_COUNT = 60 };
    uint32_t submitted = 0, ended = 0;
    make_file("a.db", 1, 200);
    open_handles();
    for (int round = 0; round < ROUNDS; round++) {
        while (ended < (uint32_t)round * ROUND_COUNT) {
            for (; submitted - ended < WINDOW; submitted++)
                live_submit(&live, &(quring_query){.db = submitted % 2 ? other : live.db,
                                                   .sql = submitted % 5 ? "select sum(length(a)) from t"
                                                                        : "insert into t values(zeroblob(3500))",
                                                   .commit = QURING_COMMIT_GROUP});
            quring_run(live.engine, 1, LIVE_SECOND);
            live_reap(&live, count_ended, &ended);
        }
        replace(round, 200);
    }
    live_drain(&live, count_ended, &ended);
    cr_assert_eq(ended, submitted);
    replace_all(-1);
    while (run(live.db, "update version set n = -2") != QURING_OK ||
           run(other, "update version set n = -2") != QURING_OK)
        ;
    cr_assert_eq(version_of(live.db), -2);
    cr_assert_eq(version_of(other), -2);
}
