/* SPDX-License-Identifier: MIT */
/*
 * The disk fails: of a run of single and grouped writes, the n-th write, sync, truncation, unlock or deletion of a file fails, for
 * every n until none is left to fail, with a log and with a journal. What was answered with OK is in the file afterwards, once,
 * what was refused is not, and what is in doubt at most once; for who opens it when it was closed, and for who opens what a kill
 * would have left.
 */
#include "lib/lite_bed.h"
#include "lib/lite_disk.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- One run ---- */

enum { WRITES = 30 };

static struct lite_bed bed;

static struct query *submit(const char *sql, int64_t number, quring_commit_mode commit) {
    struct query *query = bed_ask(&bed, sql, quring_int64(number));
    query->commit = (uint8_t)commit;
    return bed_submit(&bed, query);
}

static int64_t count_of(int64_t number) {
    struct query *query = submit("select count(*) from t where a = $1", number, QURING_COMMIT_EACH);
    bed_drain(&bed);
    return bed_int(query, 0, 0);
}

static void check_file(struct query *const *writes, const char *when) {
    for (int i = 0; i < WRITES; i++) {
        int64_t count = count_of(i);
        const char *message = writes[i]->error.view.message;
        if (writes[i]->status == QURING_OK)
            cr_assert_eq(count, 1, "%s: %d was said to be written, and is there %d times", when, i, (int)count);
        else if (writes[i]->status == QURING_IN_DOUBT)
            cr_assert(message[0] && count <= 1, "%s: %d: %s", when, i, message);
        else
            cr_assert(message[0] && count == 0, "%s: %d was refused, and is there: %s", when, i, message);
    }
    struct query *check = submit("select group_concat(integrity_check) from pragma_integrity_check where 0 * $1 = 0", 0,
                                 QURING_COMMIT_EACH);
    bed_drain(&bed);
    cr_assert_str_eq(bed_text(check, 0, 0), "ok");
}

/* What a process leaves that is killed now: the memory beside the file is made anew from the log. */
static void copy_files(void) {
    char command[3 * BED_URL_BYTES];
    snprintf(command, sizeof command,
             "cd '%s' && cp a.db k.db && for of in wal journal; do [ ! -e a.db-$of ] || cp a.db-$of k.db-$of; done",
             bed.directory);
    cr_assert_eq(system(command), 0);
}

static void one_run(long nth, bool all_after) {
    struct query *writes[WRITES];
    bed_begin(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    struct query *create = bed_submit(&bed, bed_query(&bed, "create table t(a integer)", NULL, 0));
    bed_drain(&bed);
    bed_check(create, QURING_OK, "", "");
    lite_disk.failed = false;
    lite_disk.for_good = all_after;
    lite_disk.countdown = nth;
    for (int i = 0; i < WRITES; i++) {
        writes[i] = submit("insert into t values($1)", i, i % 10 < 7 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH);
        if (i % 10 == 9)
            bed_drain(&bed);
    }
    lite_disk.countdown = -1;
    copy_files();
    bed_close(&bed); /* what the next process finds */
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    check_file(writes, "closed");
    bed_close(&bed);
    bed_open(&bed, bed_url(&bed, "k.db"), NULL);
    check_file(writes, "killed");
    bed_end(&bed);
}

/* As the header says of a look: before the next commit it proves nothing, and behind that it does. */
static void doubt(bool writes_more, int64_t expected) {
    bed_begin(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    for (int i = 0; i < 2; i++)
        bed_submit(&bed, bed_query(&bed, i ? "insert into t values(7)" : "create table t(a integer)", NULL, 0));
    bed_drain(&bed);
    lite_disk.sync_fails = true;
    struct query *query = submit("insert into t values($1)", 1, QURING_COMMIT_EACH);
    bed_drain(&bed);
    lite_disk.sync_fails = false;
    bed_check(query, QURING_IN_DOUBT, "58030", "");
    cr_assert_eq(count_of(1), 0);
    if (writes_more)
        submit("insert into t values($1)", 2, QURING_COMMIT_EACH);
    bed_drain(&bed);
    copy_files();
    bed_close(&bed);
    bed_open(&bed, bed_url(&bed, "k.db"), NULL);
    cr_assert_eq(count_of(1), expected);
    cr_assert_eq(count_of(2), writes_more);
    bed_end(&bed);
}

static void fail_each(bool all_after) {
    lite_disk_install();
    long nth = 0;
    for (lite_disk.failed = true; lite_disk.failed; nth++) {
        cr_assert_lt(nth, 10000);
        one_run(nth, all_after);
    }
    cr_assert_gt(nth, 30, "only %ld operations: nothing was tried", nth);
}

Test(io, each_operation_fails_once) {
    fail_each(false);
}

Test(io, all_fail_from_one_on) {
    fail_each(true);
}

Test(io, each_operation_fails_once_beside_a_journal) {
    lite_disk.no_shared_memory = true;
    fail_each(false);
}

Test(io, all_fail_from_one_on_beside_a_journal) {
    lite_disk.no_shared_memory = true;
    fail_each(true);
}

Test(io, what_is_in_doubt_is_decided_by_the_next_commit) {
    lite_disk_install();
    doubt(false, 1);
    doubt(true, 0);
}

/* What it keeps is a part of the group, whose commit is in doubt. */
Test(io, what_or_fail_keeps_is_told_of_as_its_commit) {
    lite_disk_install();
    bed_begin(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    bed_submit(&bed, bed_query(&bed, "create table t(a integer check(a < 10))", NULL, 0));
    bed_drain(&bed);
    lite_disk.sync_fails = true;
    struct query *partly = submit("insert or fail into t values($1), (11)", 1, QURING_COMMIT_GROUP),
                 *whole = submit("insert into t values($1)", 2, QURING_COMMIT_GROUP);
    bed_drain(&bed);
    lite_disk.sync_fails = false;
    bed_check(partly, QURING_IN_DOUBT, "58030", "");
    bed_check(whole, QURING_IN_DOUBT, "58030", "");
    bed_end(&bed);
}

/* ---- A savepoint outside of a transaction ---- */

static struct query *run(const char *text) {
    struct query *query = bed_submit(&bed, bed_query(&bed, text, NULL, 0));
    bed_drain(&bed);
    return query;
}

static void save(void) {
    lite_disk_install();
    bed_begin(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.exclusive = true});
    run("create table t(a integer)");
    run("savepoint a");
    bed_check(run("insert into t values(1)"), QURING_OK, "", "");
}

static void check_rows(const char *expected) {
    bed_close(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    cr_assert_str_eq(bed_text(run("select group_concat(a) from t"), 0, 0), expected);
    bed_end(&bed);
}

/* SQLite undoes all of it, and goes on with the savepoint as if a transaction were open. */
Test(io, a_release_in_doubt_leaves_no_transaction) {
    save();
    lite_disk.sync_fails = true;
    struct query *release = run("release a");
    lite_disk.sync_fails = false;
    bed_check(release, QURING_IN_DOUBT, "58030", "");
    bed_check(run("insert into t values(2)"), QURING_OK, "", "");
    check_rows("2");
}

Test(io, behind_a_release_that_fails_nothing_runs_until_the_program_knows) {
    save();
    lite_disk.countdown = 0;
    struct query *release = run("release a");
    bed_check(release, QURING_SERVER_ERROR, "58030", "");
    bed_check(run("release a"), QURING_SERVER_ERROR, "25P02", "ended");
    bed_check(run("insert into t values(2)"), QURING_SERVER_ERROR, "25P02", "ended");
    bed_check(run("commit"), QURING_SERVER_ERROR, "40000", "nothing was committed");
    bed_check(run("insert into t values(3)"), QURING_OK, "", "");
    check_rows("3");
}

/* Where the savepoint can't be undone either, what came next would be written in it, end well, and be gone. */
Test(io, a_release_whose_savepoint_stays_ends_the_connection) {
    save();
    struct lite_conn *conn = &base_container_of(bed.db, struct lite_db, base)->lanes[0].conn;
    sqlite3_finalize(conn->control[LITE_ROLLBACK]);
    cr_assert_eq(
        sqlite3_prepare_v2(conn->handle, "select abs(-9223372036854775808)", -1, &conn->control[LITE_ROLLBACK], NULL),
        SQLITE_OK);
    lite_disk.countdown = 0;
    struct query *release = bed_submit(&bed, bed_query(&bed, "release a", NULL, 0)),
                 *behind = bed_submit(&bed, bed_query(&bed, "insert into t values(2)", NULL, 0));
    bed_drain(&bed);
    bed_check(release, QURING_SERVER_ERROR, "58030", "");
    bed_check(behind, QURING_NOT_SENT, "58030", "could not be ended");
    bed_check(run("insert into t values(3)"), QURING_NOT_SENT, "58030", "could not be ended");
    bed_close(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    cr_assert_eq(bed_int(run("select count(*) from t"), 0, 0), 0);
    bed_end(&bed);
}
