/* SPDX-License-Identifier: MIT */
/*
 * Once warm, a query costs no allocation of ours, on no thread. malloc() and its kin are counted; SQLite, which allocates
 * for itself, gets an allocator that is not.
 */
#include "lib/lite_files.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static atomic_uint allocations; /* these have an allocator of their own: nothing is counted */
static void exempt_sqlite(void) {
}
#else
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static atomic_uint allocations;

void *malloc(size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_realloc(memory, size);
}

/* The size stands before the memory, aligned as malloc() aligns. */
enum { HEADER = 16 };

static void *lite_malloc(int size) {
    char *memory = __libc_malloc((size_t)size + HEADER);
    if (!memory)
        return NULL;
    memcpy(memory, &size, sizeof size);
    return memory + HEADER;
}

static void lite_free(void *memory) {
    if (memory)
        __libc_free((char *)memory - HEADER);
}

static void *lite_realloc(void *memory, int size) {
    char *larger = __libc_realloc((char *)memory - HEADER, (size_t)size + HEADER);
    if (!larger)
        return NULL;
    memcpy(larger, &size, sizeof size);
    return larger + HEADER;
}

static int lite_size(void *memory) {
    int size;
    memcpy(&size, (char *)memory - HEADER, sizeof size);
    return size;
}

static int lite_round(int size) {
    return (size + 7) & ~7;
}

static int lite_init(void *context) {
    (void)context;
    return SQLITE_OK;
}

static void lite_shutdown(void *context) {
    (void)context;
}

static void exempt_sqlite(void) {
    static const sqlite3_mem_methods methods = {.xMalloc = lite_malloc,
                                                .xFree = lite_free,
                                                .xRealloc = lite_realloc,
                                                .xSize = lite_size,
                                                .xRoundup = lite_round,
                                                .xInit = lite_init,
                                                .xShutdown = lite_shutdown};
    cr_assert_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
}
#endif

static void setup(void) {
    exempt_sqlite();
    files_begin();
    files_open(&live, "a.db", &(quring_db_options){.durability = QURING_DURABILITY_OFF, .connection_count = 2});
    live_exec(&live, "create table t(id integer primary key, a text)");
    live_exec(&live, "with recursive n(i) as (values(1) union all select i + 1 from n where i < 1000) "
                     "insert into t select i, 'row' from n");
}

static void teardown(void) {
    live_close(&live);
    files_end();
}

TestSuite(lite_alloc, .init = setup, .fini = teardown);

static void run_many(uint32_t count, quring_commit_mode commit) {
    static const char *const texts[] = {"select id, a from t where id = $1", "update t set a = $2 where id = $1",
                                        "select a from t where id = $1",
                                        "select * from t where id between $1 and $1 + 3"};
    quring_done done[64];
    for (uint32_t sent = 0; sent < count || quring_pending(live.engine);) {
        for (; sent < count && quring_pending(live.engine) < 200; sent++) {
            quring_param params[] = {quring_int64(sent % 1000 + 1), quring_text("new")};
            quring_query query = {.db = live.db,
                                  .sql = texts[sent % 4],
                                  .params = params,
                                  .param_count = sent % 4 == 1 ? 2 : 1,
                                  .commit = commit};
            quring_submit(live.engine, &query, NULL);
        }
        quring_run(live.engine, 1, LIVE_SECOND);
        for (int n; (n = quring_reap(live.engine, done, 64)) > 0;)
            for (int i = 0; i < n; i++) {
                if (done[i].status != QURING_OK)
                    abort();
                quring_release(live.engine, done[i].id);
            }
    }
}

static void assert_no_allocation(quring_commit_mode commit) {
    enum { TRIES = 10 }; /* a lane that has to wait for a processor is met late by some statements, and by some slots */
    unsigned count = 1;
    run_many(40000, commit); /* every slot that may be used again has met every statement */
    for (int tries = 0; count && tries < TRIES; tries++) {
        unsigned before = atomic_load(&allocations);
        run_many(20000, commit);
        count = atomic_load(&allocations) - before;
        cr_assert(before > 0 || LIVE_SANITIZED, "the counter counts");
    }
    cr_assert_eq(count, 0, "%u allocations for 20000 queries", count);
}

Test(lite_alloc, each) {
    assert_no_allocation(QURING_COMMIT_EACH);
}

Test(lite_alloc, group) {
    assert_no_allocation(QURING_COMMIT_GROUP);
}
