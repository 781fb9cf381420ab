/* SPDX-License-Identifier: MIT */
#include "lib/lite_gate.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/types.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum { OPEN, CLOSED, SOMEBODY_WAITS } state;
static enum lite_gate_kind where;

static void pass(enum lite_gate_kind kind) {
    pthread_mutex_lock(&lock);
    if (state == CLOSED && kind == where) {
        state = SOMEBODY_WAITS;
        while (state == SOMEBODY_WAITS)
            pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

void lite_gate_close(enum lite_gate_kind kind) {
    pthread_mutex_lock(&lock);
    state = CLOSED;
    where = kind;
    pthread_mutex_unlock(&lock);
}

bool lite_gate_is_reached(void) {
    pthread_mutex_lock(&lock);
    bool reached = state == SOMEBODY_WAITS;
    pthread_mutex_unlock(&lock);
    return reached;
}

void lite_gate_open(void) {
    pthread_mutex_lock(&lock);
    state = OPEN;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- In SQL ---- */

static void gate(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    pass(GATE_SQL);
    sqlite3_result_value(context, values[0]);
}

static void gather_step(sqlite3_context *context, int count, sqlite3_value **values) {
    int *n = sqlite3_aggregate_context(context, sizeof *n);
    (void)count, (void)values;
    if (n)
        ++*n;
}

static void gather_end(sqlite3_context *context) {
    int *n = sqlite3_aggregate_context(context, sizeof *n);
    pass(GATE_SQL);
    sqlite3_result_int(context, n ? *n : -1);
}

static int compare(void *argument, int length, const void *text, int other_length, const void *other) {
    (void)argument;
    pass(GATE_SQL);
    int order = memcmp(text, other, (size_t)(length < other_length ? length : other_length));
    return order ? order : length - other_length;
}

static int add_to(sqlite3 *handle, char **message, const void *api) {
    (void)message, (void)api;
    int code = sqlite3_create_function_v2(handle, "gate", 1, SQLITE_UTF8, NULL, gate, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function_v2(handle, "gather", 1, SQLITE_UTF8, NULL, NULL, gather_step, gather_end, NULL);
    return code ? code : sqlite3_create_collation_v2(handle, "gate", SQLITE_UTF8, NULL, compare, NULL);
}

/* ---- In files ---- */

static ssize_t (*real_write)(int fd, const void *bytes, size_t size);
static ssize_t (*real_write_at)(int fd, const void *bytes, size_t size, off_t at);

static ssize_t write_to(int fd, const void *bytes, size_t size) {
    pass(GATE_WRITE);
    return real_write(fd, bytes, size);
}

static ssize_t write_at(int fd, const void *bytes, size_t size, off_t at) {
    pass(GATE_WRITE);
    return real_write_at(fd, bytes, size, at);
}

/* SQLite writes by one of these, as it was compiled. */
static void add_to_files(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    static const char *const names[] = {"pwrite64", "pwrite"};
    real_write = (ssize_t(*)(int, const void *, size_t))vfs->xGetSystemCall(vfs, "write");
    cr_assert(real_write && vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)write_to) == SQLITE_OK);
    for (int i = 0; i < 2; i++) {
        sqlite3_syscall_ptr found = vfs->xGetSystemCall(vfs, names[i]);
        if (!found)
            continue;
        real_write_at = (ssize_t(*)(int, const void *, size_t, off_t))found;
        cr_assert_eq(vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)write_at), SQLITE_OK);
    }
}

void lite_gate_install(void) {
    add_to_files();
    cr_assert_eq(sqlite3_auto_extension((void (*)(void))add_to), SQLITE_OK);
}
