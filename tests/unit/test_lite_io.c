/* SPDX-License-Identifier: MIT */
/*
 * The disk fails: of a run of single and grouped writes, the n-th write, sync or truncation of a file fails, for every n
 * until none is left to fail. What was answered with OK is in the file afterwards, once, what was refused is not, and what is in
 * doubt at most once; for who opens it when it was closed, and for who opens what a kill would have left.
 */
#include "lib/lite_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A file system between SQLite and the real one ---- */

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;
static long countdown = -1; /* operations until one fails; negative: none does */
static bool for_good;       /* and all after it */
static bool failed;
static bool sync_fails;

static bool fails(void) {
    if (countdown < 0 || countdown-- > 0)
        return false;
    failed = true;
    if (for_good)
        countdown = 0;
    return true;
}

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((struct shim_file *)file)->real;
}

#define PASS(method, ...) (real_of(file)->pMethods->method(real_of(file), ##__VA_ARGS__))

static int shim_close(sqlite3_file *file) {
    int code = PASS(xClose);
    free(real_of(file));
    return code;
}

static int shim_read(sqlite3_file *file, void *to, int size, sqlite3_int64 at) {
    return PASS(xRead, to, size, at);
}

static int shim_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 at) {
    if (!fails())
        return PASS(xWrite, from, size, at);
    if (countdown % 2 == 0 && size > 1) /* half of it comes through */
        (void)PASS(xWrite, from, size / 2, at);
    return SQLITE_IOERR_WRITE;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size) {
    return fails() ? SQLITE_IOERR_TRUNCATE : PASS(xTruncate, size);
}

static int shim_sync(sqlite3_file *file, int flags) {
    return sync_fails || fails() ? SQLITE_IOERR_FSYNC : PASS(xSync, flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size) {
    return PASS(xFileSize, size);
}

static int shim_lock(sqlite3_file *file, int level) {
    return PASS(xLock, level);
}

static int shim_unlock(sqlite3_file *file, int level) {
    return PASS(xUnlock, level);
}

static int shim_reserved(sqlite3_file *file, int *out) {
    return PASS(xCheckReservedLock, out);
}

static int shim_control(sqlite3_file *file, int what, void *argument) {
    return PASS(xFileControl, what, argument);
}

static int shim_sector(sqlite3_file *file) {
    return PASS(xSectorSize);
}

static int shim_traits(sqlite3_file *file) {
    return PASS(xDeviceCharacteristics);
}

static int shim_map(sqlite3_file *file, int page, int size, int extend, void volatile **out) {
    return PASS(xShmMap, page, size, extend, out);
}

static int shim_shm_lock(sqlite3_file *file, int at, int count, int flags) {
    return PASS(xShmLock, at, count, flags);
}

static void shim_barrier(sqlite3_file *file) {
    PASS(xShmBarrier);
}

static int shim_unmap(sqlite3_file *file, int remove) {
    return PASS(xShmUnmap, remove);
}

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    static const sqlite3_io_methods methods = {.iVersion = 2,
                                               .xClose = shim_close,
                                               .xRead = shim_read,
                                               .xWrite = shim_write,
                                               .xTruncate = shim_truncate,
                                               .xSync = shim_sync,
                                               .xFileSize = shim_size,
                                               .xLock = shim_lock,
                                               .xUnlock = shim_unlock,
                                               .xCheckReservedLock = shim_reserved,
                                               .xFileControl = shim_control,
                                               .xSectorSize = shim_sector,
                                               .xDeviceCharacteristics = shim_traits,
                                               .xShmMap = shim_map,
                                               .xShmLock = shim_shm_lock,
                                               .xShmBarrier = shim_barrier,
                                               .xShmUnmap = shim_unmap};
    struct shim_file *shim = (struct shim_file *)file;
    (void)vfs;
    shim->base.pMethods = NULL;
    shim->real = calloc(1, (size_t)real_vfs->szOsFile);
    int code = real_vfs->xOpen(real_vfs, name, shim->real, flags, out);
    if (code == SQLITE_OK)
        shim->base.pMethods = &methods;
    else
        free(shim->real);
    return code;
}

static void install_shim(void) {
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "shim";
    vfs.szOsFile = sizeof(struct shim_file);
    vfs.xOpen = shim_open;
    vfs.pNext = NULL;
    cr_assert_eq(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

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
    snprintf(command, sizeof command, "cd '%s' && cp a.db k.db && { [ ! -e a.db-wal ] || cp a.db-wal k.db-wal; }",
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
    failed = false;
    for_good = all_after;
    countdown = nth;
    for (int i = 0; i < WRITES; i++) {
        writes[i] = submit("insert into t values($1)", i, i % 10 < 7 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH);
        if (i % 10 == 9)
            bed_drain(&bed);
    }
    countdown = -1;
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
    sync_fails = true;
    struct query *query = submit("insert into t values($1)", 1, QURING_COMMIT_EACH);
    bed_drain(&bed);
    sync_fails = false;
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
    install_shim();
    long nth = 0;
    for (failed = true; failed; nth++) {
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

Test(io, what_is_in_doubt_is_decided_by_the_next_commit) {
    install_shim();
    doubt(false, 1);
    doubt(true, 0);
}
