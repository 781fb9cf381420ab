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

/* What was refused took no effect, and all else did. */
static void check_written(struct query **inserts, int count) {
    int64_t written = 0;
    for (int i = 0; i < count; i++)
        written += inserts[i]->status == QURING_OK || inserts[i]->status == QURING_LIMIT;
    struct query *rows = submit("select count(*) + 0 * $1 from t", QURING_COMMIT_EACH);
    bed_drain(&bed);
    int64_t found = rows->status == QURING_OK ? bed_int(rows, 0, 0) : 0;
    cr_assert_eq(found, written, "%lld rows of %lld writes", (long long)found, (long long)written);
}

/* The file's texts have to be converted, for which SQLite needs memory at every value of a row. */
static void make_file(void) {
    sqlite3 *bare;
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &bare), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(bare, "pragma encoding = 'UTF-16'; create table u(a)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(bare);
}

static void one_run(long nth, bool all_after) {
    struct query *queries[40], *inserts[20];
    int count = 0, insert_count = 0;
    bed_begin(&bed);
    make_file();
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.durability = QURING_DURABILITY_OFF});
    failed = false;
    for_good = all_after;
    for (int round = 0; round < 2; round++) {
        queries[count++] =
            submit("create table if not exists t(a integer primary key, b default $1)", QURING_COMMIT_EACH);
        for (int i = 0; i < 3; i++)
            inserts[insert_count++] = submit("insert into t(b) values($1) returning a, b", QURING_COMMIT_GROUP);
        inserts[insert_count++] = submit("insert into t(b) values($1) returning 'text'", QURING_COMMIT_EACH);
        inserts[insert_count++] = submit("with x as (select $1) insert into t(b) select * from x", QURING_COMMIT_EACH);
        for (int i = 0; i < 3; i++)
            queries[count++] =
                submit("select a, b, 'text', x'00', 1.5 from t where b = $1 order by b, a", QURING_COMMIT_EACH);
        countdown = round ? countdown : nth;
        bed_drain(&bed);
    }
    countdown = -1;
    for (int i = 0; i < insert_count; i++)
        queries[count++] = inserts[i];
    for (int i = 0; i < count; i++)
        cr_assert_leq(queries[i]->status, QURING_LIMIT, "query %d: %u", i, queries[i]->status);
    if (!failed)
        for (int i = 1; i < count; i++)
            cr_assert(queries[i]->status == QURING_OK || queries[i]->error.view.message[0]);
    struct query *after = submit("select count(*) + 0 * $1 from sqlite_schema", QURING_COMMIT_EACH);
    bed_drain(&bed);
    bed_check(after, QURING_OK, "", "");
    check_written(inserts, insert_count);
    bed_end(&bed);
}

/* ---- What has to be undone by a ROLLBACK that needs memory ---- */

enum { WRITES = 6 };

static void must(const char *sql) {
    struct query *query = bed_submit(&bed, bed_query(&bed, sql, NULL, 0));
    bed_drain(&bed);
    bed_check(query, QURING_OK, "", "");
}

static struct query *write_row(const char *sql, quring_commit_mode commit) {
    struct query *query = bed_query(&bed, sql, NULL, 0);
    query->commit = (uint8_t)commit;
    return bed_submit(&bed, query);
}

static int64_t count_of(int id) {
    struct query *query = bed_ask(&bed, "select count(*) from t where id = $1", quring_int64(id));
    bed_submit(&bed, query);
    bed_drain(&bed);
    return bed_int(query, 0, 0);
}

static void write_rows(struct query *writes[], const char *const texts[], bool batch_first) {
    static const char *const batch_texts[] = {"insert into t values(90)", "insert into t values(1)"};
    struct query *members[2];
    if (batch_first)
        bed_submit_batch(&bed, members, batch_texts, 2);
    for (int i = 0; i < WRITES; i++)
        writes[i] = write_row(texts[i], i % 4 == 0 ? QURING_COMMIT_EACH : QURING_COMMIT_GROUP);
    if (!batch_first)
        bed_submit_batch(&bed, members, batch_texts, 2);
}

static void check_row(const struct query *write, const char *text, long nth) {
    int status = write->status;
    const quring_error *why = &write->error.view;
    cr_assert(status == QURING_OK || status == QURING_SERVER_ERROR || status == QURING_NOT_SENT, "%d", status);
    cr_assert_str_neq(why->sqlstate, "23505", "allocation %ld: %s met its own row", nth, text);
    cr_assert_eq(count_of(atoi(strchr(text, '(') + 1)), status == QURING_OK, "allocation %ld: %s: %s", nth, text,
                 why->message);
}

/* The batch and the group are undone, and behind them stand writes of the same run. `name` NULL: in memory. */
static void undone_run(const char *name, bool batch_first, long nth, bool all_after) {
    static const char keeps[] = "insert into u values(30), (1)"; /* ON CONFLICT FAIL, so the group can't stand */
    static const char *const texts[WRITES] = {
        "insert into t values(2)", "insert into t values(3)", keeps,
        "insert into t values(4)", "insert into t values(5)", "insert into t values(6)"};
    struct query *writes[WRITES];
    bed_begin(&bed);
    bed_open(&bed, name ? bed_url(&bed, name) : "sqlite://", NULL);
    must("create table t(id integer primary key)");
    must("create table u(id integer unique on conflict fail)");
    must("insert into t values(1)");
    must("insert into u values(1)");
    must("pragma foreign_keys = on"); /* every statement is prepared anew */
    for_good = all_after;
    countdown = nth;
    write_rows(writes, texts, batch_first);
    bed_drain(&bed);
    countdown = -1;
    if (name) {
        bed_close(&bed);
        bed_open(&bed, bed_url(&bed, name), NULL);
    }
    cr_assert_eq(count_of(90), 0, "allocation %ld: a member of a batch that failed is there", nth);
    for (int i = 0; i < WRITES; i++)
        if (texts[i] != keeps)
            check_row(writes[i], texts[i], nth);
    bed_end(&bed);
}

static void undone_in_a_file(long nth, bool all_after) {
    failed = false;
    undone_run("a.db", true, nth, all_after);
    undone_run("a.db", false, nth, all_after);
}

static void undone_in_memory(long nth, bool all_after) {
    failed = false;
    undone_run(NULL, true, nth, all_after);
    undone_run(NULL, false, nth, all_after);
}

/* Before a DETACH, a BEGIN and a ROLLBACK of ours show that its file can be written. */
static void detach_run(long nth, bool all_after) {
    failed = false;
    for_good = all_after;
    bed_begin(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.exclusive = true});
    must("create table t(id integer primary key)");
    must("attach 'file::memory:' as other");
    must("create table other.x(a)");
    countdown = nth;
    bed_submit(&bed, bed_query(&bed, "detach other", NULL, 0));
    bed_drain(&bed);
    countdown = -1;
    struct query *write = write_row("insert into t values(2)", QURING_COMMIT_EACH);
    bed_drain(&bed);
    bed_close(&bed);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    check_row(write, "insert into t values(2)", nth);
    bed_end(&bed);
}

/* ---- Each of them ---- */

static void fail_each(void (*run)(long nth, bool all_after), bool all_after, long least) {
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
        run(nth, all_after);
    }
    cr_assert_gt(nth, least, "only %ld allocations: nothing was tried", nth);
}

Test(memory, each_allocation_fails_once) {
    fail_each(one_run, false, 500);
}

Test(memory, all_fail_from_one_on) {
    fail_each(one_run, true, 500);
}

Test(memory, nothing_runs_in_what_could_not_be_undone) {
    fail_each(undone_in_a_file, false, 50);
}

Test(memory, nothing_runs_in_what_could_not_be_undone_any_more) {
    fail_each(undone_in_a_file, true, 50);
}

Test(memory, nothing_runs_in_what_could_not_be_undone_in_memory) {
    fail_each(undone_in_memory, false, 50);
}

Test(memory, nothing_runs_in_what_could_not_be_undone_in_memory_any_more) {
    fail_each(undone_in_memory, true, 50);
}

Test(memory, a_detach_leaves_no_transaction) {
    fail_each(detach_run, false, 5);
}

Test(memory, a_detach_leaves_no_transaction_where_all_fail) {
    fail_each(detach_run, true, 5);
}
