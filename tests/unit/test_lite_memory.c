/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out: of a run through opening, writing alone and in groups, reading and closing, the n-th allocation of
 * SQLite fails, for every n until none is left to fail. And the same with all that come after it.
 */
#include "lib/lite_bed.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 16, EVERY_SANITIZED = 7 };

static long countdown = -1; /* allocations until one fails; negative: none does */
static bool for_good;       /* and all after it */
static bool failed;

static bool fails(void) {
    if (countdown < 0 || countdown-- > 0)
        return false;
    failed = true;
    if (for_good)
        countdown = 0;
    return true;
}

static void *memory_malloc(int size) {
    char *memory = fails() ? NULL : malloc((size_t)size + HEADER);
    if (!memory)
        return NULL;
    memcpy(memory, &size, sizeof size);
    return memory + HEADER;
}

static void memory_free(void *memory) {
    if (memory)
        free((char *)memory - HEADER);
}

static void *memory_realloc(void *memory, int size) {
    char *larger = fails() ? NULL : realloc((char *)memory - HEADER, (size_t)size + HEADER);
    if (!larger)
        return NULL;
    memcpy(larger, &size, sizeof size);
    return larger + HEADER;
}

static int memory_size(void *memory) {
    int size;
    memcpy(&size, (char *)memory - HEADER, sizeof size);
    return size;
}

static int memory_round(int size) {
    return (size + 7) & ~7;
}

static int memory_init(void *context) {
    (void)context;
    return SQLITE_OK;
}

static void memory_shutdown(void *context) {
    (void)context;
}

static struct lite_bed bed;

static struct query *submit(const char *sql, quring_commit_mode commit) {
    struct query *query = bed_ask(&bed, sql, quring_int64(7));
    query->commit = (uint8_t)commit;
    return bed_submit(&bed, query);
}

static void one_run(long nth, bool all_after) {
    struct query *queries[40];
    int count = 0;
    bed_begin(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.durability = QURING_DURABILITY_OFF});
    failed = false;
    for_good = all_after;
    for (int round = 0; round < 2; round++) {
        queries[count++] =
            submit("create table if not exists t(a integer primary key, b default $1)", QURING_COMMIT_EACH);
        for (int i = 0; i < 3; i++)
            queries[count++] = submit("insert into t(b) values($1) returning a, b", QURING_COMMIT_GROUP);
        queries[count++] = submit("insert into t(b) values($1)", QURING_COMMIT_EACH);
        queries[count++] = submit("with x as (select $1) insert into t(b) select * from x", QURING_COMMIT_EACH);
        for (int i = 0; i < 3; i++)
            queries[count++] =
                submit("select a, b, 'text', x'00', 1.5 from t where b = $1 order by b, a", QURING_COMMIT_EACH);
        countdown = round ? countdown : nth;
        bed_drain(&bed);
    }
    countdown = -1;
    for (int i = 0; i < count; i++)
        cr_assert_leq(queries[i]->status, QURING_LIMIT, "query %d: %u", i, queries[i]->status);
    if (!failed)
        for (int i = 1; i < count; i++)
            cr_assert(queries[i]->status == QURING_OK || queries[i]->error.view.message[0]);
    struct query *after = submit("select count(*) + 0 * $1 from sqlite_schema", QURING_COMMIT_EACH);
    bed_drain(&bed);
    bed_check(after, QURING_OK, "", "");
    bed_end(&bed);
}

static void fail_each(bool all_after) {
    static const sqlite3_mem_methods methods = {.xMalloc = memory_malloc,
                                                .xFree = memory_free,
                                                .xRealloc = memory_realloc,
                                                .xSize = memory_size,
                                                .xRoundup = memory_round,
                                                .xInit = memory_init,
                                                .xShutdown = memory_shutdown};
    cr_assert_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    long step = EVERY_SANITIZED;
#else
    long step = 1;
#endif
    long nth = 0;
    for (failed = true; failed; nth += step) {
        cr_assert_lt(nth, 100000);
        one_run(nth, all_after);
    }
    cr_assert_gt(nth, 500, "only %ld allocations: nothing was tried", nth);
}

Test(memory, each_allocation_fails_once) {
    fail_each(false);
}

Test(memory, all_fail_from_one_on) {
    fail_each(true);
}
