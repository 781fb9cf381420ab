/* SPDX-License-Identifier: MIT */
/* What a killed process left in the log is there for all who come later, whoever of them closes the file last. */
#include "lib/lite_fixture.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(log, .init = lite_setup, .fini = lite_teardown);

enum { LEFT = 100 };

static void in_file(sqlite3 *file, const char *sql) {
    cr_assert_eq(sqlite3_exec(file, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(file));
}

static void make_file(const char *mode) {
    sqlite3 *file;
    char sql[64];
    snprintf(sql, sizeof sql, "pragma journal_mode=%s; create table t(a)", mode);
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &file), SQLITE_OK);
    in_file(file, sql);
    sqlite3_close(file);
}

/* Its connection is not closed, so no row is copied into the file. */
static void leave_log(void) {
    int status;
    pid_t writer = fork();
    if (writer == 0) {
        sqlite3 *file;
        bool done =
            sqlite3_open(bed_path(&bed, "a.db"), &file) == SQLITE_OK &&
            sqlite3_exec(file, "pragma journal_mode=wal; pragma synchronous=off", NULL, NULL, NULL) == SQLITE_OK;
        for (int i = 0; i < LEFT && done; i++)
            done = sqlite3_exec(file, "insert into t values(1)", NULL, NULL, NULL) == SQLITE_OK;
        _exit(!done);
    }
    cr_assert_eq(waitpid(writer, &status, 0), writer);
    cr_assert_eq(status, 0);
}

static bool log_is_there(void) {
    return access(bed_path(&bed, "a.db-wal"), F_OK) == 0;
}

/* By a connection that has nothing to do with the library. */
static int rows_left(void) {
    sqlite3 *file;
    sqlite3_stmt *count;
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &file), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(file, "select count(*) from t", -1, &count, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_step(count), SQLITE_ROW);
    int rows = sqlite3_column_int(count, 0);
    sqlite3_finalize(count);
    sqlite3_close(file);
    return rows;
}

/* ---- No descriptor for the memory beside the file, for a moment ---- */

static int refusals_left;
static int (*real_open)(const char *, int, int);

static int open_memory_refused(const char *name, int flags, int mode) {
    size_t length = strlen(name);
    if (refusals_left > 0 && length > 4 && strcmp(name + length - 4, "-shm") == 0) {
        refusals_left--;
        errno = EMFILE;
        return -1;
    }
    return real_open(name, flags, mode);
}

static void begin_refusing(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    refusals_left = 0;
    real_open = (int (*)(const char *, int, int))vfs->xGetSystemCall(vfs, "open");
    cr_assert_eq(vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)open_memory_refused), SQLITE_OK);
}

static void end_refusing(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    cr_assert_eq(vfs->xSetSystemCall(vfs, "open", NULL), SQLITE_OK);
}

/*
 * SQLite opens the memory for writing, then for reading; so three refusals are those of one use and the first of the next, which
 * finds that the memory can be opened for reading.
 */
enum { ONE_USE_AND_A_HALF = 3 };

static void check_failed_opening(const quring_db_options *options) {
    make_file("wal");
    leave_log();
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), options);
    begin_refusing();
    refusals_left = ONE_USE_AND_A_HALF;
    bed_check(exec("insert into t values(2)"), QURING_NOT_SENT, "08001", "unable to open database file");
    cr_assert(log_is_there());
    refusals_left = 0;
    cr_assert_eq(number("select count(*) from t"), LEFT);
    bed_close(&bed);
    end_refusing();
    cr_assert_eq(rows_left(), LEFT);
    unlink(bed_path(&bed, "a.db"));
}

Test(log, outlives_a_connection_that_could_not_be_opened) {
    check_failed_opening(NULL);
    check_failed_opening(&(quring_db_options){.exclusive = true});
}

/* It was opened before there was a log, and could write then. */
Test(log, outlives_a_connection_that_finds_no_memory_later) {
    make_file("delete");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.exclusive = true});
    cr_assert_eq(number("select count(*) from t"), 0);
    leave_log();
    begin_refusing();
    refusals_left = ONE_USE_AND_A_HALF;
    bed_check(exec("select count(*) from t"), QURING_SERVER_ERROR, "08001", "unable to open database file");
    bed_close(&bed);
    end_refusing();
    cr_assert_eq(rows_left(), LEFT);
}

/* ---- Files that are attached ---- */

/* The handle's own file is another, in WAL mode and at work; so what is refused from here on is the attached file's. */
static void open_main(void) {
    bed_open(&bed, bed_url(&bed, "main.db"), &(quring_db_options){.exclusive = true});
    must("create table m(a)");
    begin_refusing();
}

static void attach(int status, const char *sqlstate, const char *words) {
    char sql[PATH_MAX + 32];
    snprintf(sql, sizeof sql, "attach '%s' as b", bed_path(&bed, "a.db"));
    bed_check(exec(sql), status, sqlstate, words);
}

static void close_main(void) {
    bed_close(&bed);
    end_refusing();
    cr_assert_eq(rows_left(), LEFT);
}

/* A DETACH, which may end a log, comes before. */
Test(log, outlives_an_attach_that_fails) {
    make_file("wal");
    open_main();
    attach(QURING_OK, "", "");
    must("detach b");
    leave_log();
    refusals_left = ONE_USE_AND_A_HALF;
    attach(QURING_SERVER_ERROR, "08001", "unable to open database");
    cr_assert(log_is_there());
    close_main();
}

/* The file was attached before there was a log. */
Test(log, outlives_a_detach_that_finds_no_memory) {
    make_file("delete");
    open_main();
    attach(QURING_OK, "", "");
    cr_assert_eq(number("select count(*) from b.t"), 0);
    leave_log();
    refusals_left = ONE_USE_AND_A_HALF;
    bed_check(exec("select count(*) from b.t"), QURING_SERVER_ERROR, "08001", "unable to open database file");
    must("detach b");
    cr_assert(log_is_there());
    close_main();
}

Test(log, is_ended_by_a_detach_outside_of_a_transaction) {
    make_file("wal");
    leave_log();
    open_main();
    attach(QURING_OK, "", "");
    must("begin");
    must("detach b");
    must("commit");
    cr_assert(log_is_there());
    attach(QURING_OK, "", "");
    must("detach b");
    cr_assert_not(log_is_there());
    close_main();
}

Test(log, a_detach_leaves_the_page_size_of_a_new_file_to_the_program) {
    make_file("wal");
    leave_log();
    bed_open(&bed, bed_url(&bed, "main.db"), &(quring_db_options){.exclusive = true});
    attach(QURING_OK, "", "");
    must("detach b");
    must("pragma page_size=8192");
    must("create table m(a)");
    cr_assert_eq(number("pragma page_size"), 8192);
    bed_close(&bed);
    cr_assert_eq(rows_left(), LEFT);
}

/* ---- Without any failure ---- */

static void check_healthy(const quring_db_options *options, const char *sql) {
    make_file("wal");
    leave_log();
    cr_assert(log_is_there());
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), options);
    must(sql);
    bed_close(&bed);
    cr_assert_not(log_is_there(), "%s", sql);
    cr_assert_eq(rows_left(), LEFT);
    unlink(bed_path(&bed, "a.db"));
}

Test(log, is_ended_by_the_last_connection_that_can_write) {
    static const char *const texts[] = {"update t set a = 2", "begin immediate", "pragma locking_mode=exclusive"};
    check_healthy(NULL, texts[0]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_healthy(&(quring_db_options){.exclusive = true}, texts[i]);
}

/* The other one, which finds the lock taken by this one, leaves the log, and is closed first. */
static sqlite3 *rival;

int __real_nanosleep(const struct timespec *request, struct timespec *left);
int __wrap_nanosleep(const struct timespec *request, struct timespec *left);

int __wrap_nanosleep(const struct timespec *request, struct timespec *left) {
    sqlite3_close(rival);
    rival = NULL;
    return __real_nanosleep(request, left);
}

Test(log, is_ended_by_one_of_two_that_are_closed_at_once) {
    make_file("wal");
    leave_log();
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    must("update t set a = 2");
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &rival), SQLITE_OK);
    cr_assert_eq(sqlite3_db_config(rival, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    in_file(rival, "begin immediate");
    bed_close(&bed);
    cr_assert_not(rival || log_is_there());
    cr_assert_eq(rows_left(), LEFT);
}
