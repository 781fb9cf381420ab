/* SPDX-License-Identifier: MIT */
#include "lib/lite_disk.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdlib.h>

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;
struct lite_disk lite_disk = {.countdown = -1};

static bool fails(void) {
    if (lite_disk.countdown < 0 || lite_disk.countdown-- > 0)
        return false;
    lite_disk.failed = true;
    if (lite_disk.for_good)
        lite_disk.countdown = 0;
    return true;
}

/* Some of what fails has been carried out. */
static bool does_half(void) {
    static unsigned count;
    return count++ % 2 == 0;
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
    if (does_half() && size > 1)
        (void)PASS(xWrite, from, size / 2, at);
    return SQLITE_IOERR_WRITE;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size) {
    return fails() ? SQLITE_IOERR_TRUNCATE : PASS(xTruncate, size);
}

static int shim_sync(sqlite3_file *file, int flags) {
    return lite_disk.sync_fails || fails() ? SQLITE_IOERR_FSYNC : PASS(xSync, flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size) {
    return PASS(xFileSize, size);
}

static int shim_lock(sqlite3_file *file, int level) {
    return PASS(xLock, level);
}

static int shim_unlock(sqlite3_file *file, int level) {
    return fails() ? SQLITE_IOERR_UNLOCK : PASS(xUnlock, level);
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

#define METHODS                                                                                                        \
    .xClose = shim_close, .xRead = shim_read, .xWrite = shim_write, .xTruncate = shim_truncate, .xSync = shim_sync,    \
    .xFileSize = shim_size, .xLock = shim_lock, .xUnlock = shim_unlock, .xCheckReservedLock = shim_reserved,           \
    .xFileControl = shim_control, .xSectorSize = shim_sector, .xDeviceCharacteristics = shim_traits

static const sqlite3_io_methods without_memory = {.iVersion = 1, METHODS};
static const sqlite3_io_methods methods = {.iVersion = 2,
                                           METHODS,
                                           .xShmMap = shim_map,
                                           .xShmLock = shim_shm_lock,
                                           .xShmBarrier = shim_barrier,
                                           .xShmUnmap = shim_unmap};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    struct shim_file *shim = (struct shim_file *)file;
    (void)vfs;
    shim->base.pMethods = NULL;
    shim->real = calloc(1, (size_t)real_vfs->szOsFile);
    int code = real_vfs->xOpen(real_vfs, name, shim->real, flags, out);
    if (code == SQLITE_OK)
        shim->base.pMethods = lite_disk.no_shared_memory ? &without_memory : &methods;
    else
        free(shim->real);
    return code;
}

/* As on a network: the file is gone, and the answer was lost. */
static int shim_delete(sqlite3_vfs *vfs, const char *name, int syncs) {
    (void)vfs;
    if (!fails())
        return real_vfs->xDelete(real_vfs, name, syncs);
    if (!does_half())
        return SQLITE_IOERR_DELETE;
    (void)real_vfs->xDelete(real_vfs, name, syncs);
    return SQLITE_IOERR_DELETE_NOENT;
}

void lite_disk_install(void) {
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "shim";
    vfs.szOsFile = sizeof(struct shim_file);
    vfs.xOpen = shim_open;
    vfs.xDelete = shim_delete;
    vfs.pNext = NULL;
    cr_assert_eq(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}
