/* SPDX-License-Identifier: MIT */
/* A statement is interrupted by another thread: it and no other, whatever it is in the middle of. */
#include "lib/lite_bed.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

static struct lite_bed bed;
static struct query *victim;
static atomic_bool stop;
static atomic_uint tries;

static void setup(void) {
    bed_begin(&bed);
}

static void teardown(void) {
    bed_end(&bed);
}

TestSuite(interrupt, .init = setup, .fini = teardown);

static void *hammer(void *argument) {
    (void)argument;
    while (!atomic_load(&stop)) {
        lite_conn_interrupt(&bed.conn, victim);
        atomic_fetch_add(&tries, 1);
    }
    return NULL;
}

/* No look of SQLite's own, as in the middle of a count(*). */
static void open_deaf(enum lite_role role) {
    bed_open_conn(&bed, "a.db", role);
    bed.conn.watch.step_count = INT_MAX;
    lite_watch_install(&bed.conn.watch, bed.conn.handle);
}

Test(interrupt, one_that_does_not_look) {
    pthread_t thread;
    open_deaf(LITE_WRITER);
    victim = bed_query(&bed, "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n",
                       NULL, 0);
    pthread_create(&thread, NULL, hammer, NULL);
    bed_run(&bed, victim);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    bed_check(victim, QURING_SERVER_ERROR, "57014", "interrupted");
}

static void again(struct query *query) {
    error_clear(&query->error);
    result_discard(&query->result);
    result_begin(&query->result, 1 << 26, UINT64_MAX);
    bed_run(&bed, query);
}

/* Each says who it is. What is ours to do, transactions and checkpoints, goes on around them. */
Test(interrupt, hits_no_other) {
    pthread_t thread;
    uint32_t hits = 0;
    open_deaf(LITE_WRITER);
    bed_exec(&bed, "create table t(a)");
    bed_exec(&bed, "insert into t values(1)");
    static const char sql[] = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300) "
                              "select $1 + max(i) from n";
    victim = bed_ask(&bed, sql, quring_int64(1000));
    struct query *bystander = bed_ask(&bed, sql, quring_int64(2000)),
                 *write = bed_query(&bed, "update t set a = a + 1", NULL, 0);
    pthread_create(&thread, NULL, hammer, NULL);
    for (int round = 0; round < 3000 || hits < 20; round++) {
        cr_assert_eq(lite_conn_control(&bed.conn, LITE_BEGIN), SQLITE_OK);
        again(victim);
        hits += victim->status != QURING_OK;
        if (victim->status == QURING_OK)
            cr_assert_eq(bed_int(victim, 0, 0), 1300);
        else
            bed_check(victim, QURING_SERVER_ERROR, "57014", "interrupted");
        again(bystander);
        cr_assert_eq(bed_int(bystander, 0, 0), 2300);
        again(write);
        bed_check(write, QURING_OK, "", "");
        cr_assert_eq(lite_conn_control(&bed.conn, LITE_COMMIT), SQLITE_OK);
        again(victim);
        hits += victim->status != QURING_OK;
        if (round % 10 == 0)
            cr_assert_eq(sqlite3_wal_checkpoint_v2(bed.conn.handle, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
                         SQLITE_OK);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    cr_assert_gt(atomic_load(&tries), 0);
}

Test(interrupt, what_was_abandoned_before_it_began_does_not_begin) {
    open_deaf(LITE_WRITER);
    struct query *query = bed_query(&bed, "create table t(a)", NULL, 0);
    atomic_store(&lite_query(query)->abandoned_as, QURING_CANCELLED);
    bed_run(&bed, query);
    bed_check(query, QURING_SERVER_ERROR, "57014", "interrupted");
    cr_assert_eq(quring_row_count(bed_exec(&bed, "select * from sqlite_schema")), 0);
}
