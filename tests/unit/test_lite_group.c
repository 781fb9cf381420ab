/* SPDX-License-Identifier: MIT */
/* Members of a GROUP on the writer's lane, whose jobs run here and now: what they share, and who is run again. */
#include "lib/lite_fixture.h"
#include "lib/naps.h"

#include <stdio.h>

TestSuite(lite_group, .init = lite_setup, .fini = lite_teardown);

static int commits;

static int count_commit(void *argument) {
    (void)argument;
    commits++;
    return 0;
}

static void open_grouped(void) {
    open_file(&(quring_db_options){.depth = 200});
    must("create table t(id integer primary key, a, check (a <> 'bad'))");
    sqlite3_commit_hook(lane(0)->conn.handle, count_commit, NULL);
}

Test(lite_group, a_group_is_one_commit) {
    open_grouped();
    struct query *queries[100];
    for (int i = 0; i < 100; i++)
        queries[i] = submit_group("insert into t(a) values('x') returning id");
    bed_drain(&bed);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(bed_int(queries[i], 0, 0), i + 1);
    cr_assert_eq(commits, 1);
    cr_assert_eq(number("select count(*) from t"), 100);
}

Test(lite_group, each_is_a_commit_of_its_own) {
    open_grouped();
    for (int i = 0; i < 10; i++)
        submit("insert into t(a) values('x')");
    bed_drain(&bed);
    cr_assert_eq(commits, 10);
}

Test(lite_group, a_failing_member_is_undone_alone) {
    open_grouped();
    struct query *good = submit_group("insert into t values(1, 'x')"),
                 *twice = submit_group("insert into t values(2, 'y'), (1, 'z')"),
                 *check = submit_group("insert into t values(3, 'bad')"), *syntax = submit_group("insert nonsense"),
                 *params = submit_group("insert into t values($1, 'x')"),
                 *last = submit_group("insert into t values(5, 'w')");
    bed_drain(&bed);
    bed_check(good, QURING_OK, "", "");
    bed_check(twice, QURING_SERVER_ERROR, "23505", "UNIQUE");
    bed_check(check, QURING_SERVER_ERROR, "23514", "CHECK");
    bed_check(syntax, QURING_SERVER_ERROR, "42601", "syntax");
    bed_check(params, QURING_SERVER_ERROR, "08P01", "1 parameter");
    bed_check(last, QURING_OK, "", "");
    cr_assert_eq(commits, 1);
    cr_assert_str_eq(bed_text(exec("select group_concat(id) from t"), 0, 0), "1,5");
}

/* A commit that fails would take it away from a member that has ended. */
Test(lite_group, a_failing_member_that_keeps_rows_runs_alone) {
    open_grouped();
    struct query *good = submit_group("insert into t values(1, 'x')"),
                 *partly = submit_group("insert or fail into t values(4, 'p'), (1, 'q')"),
                 *last = submit_group("insert into t values(5, 'w')");
    bed_drain(&bed);
    bed_check(good, QURING_OK, "", "");
    bed_check(partly, QURING_SERVER_ERROR, "23505", "UNIQUE");
    bed_check(last, QURING_OK, "", "");
    cr_assert_eq(commits, 3);
    cr_assert_str_eq(bed_text(exec("select group_concat(id) from t"), 0, 0), "1,4,5",
                     "what ON CONFLICT FAIL keeps stays");
}

Test(lite_group, an_error_that_ends_the_transaction_runs_all_again_alone) {
    open_grouped();
    struct query *queries[9];
    for (int i = 0; i < 9; i++)
        queries[i] = submit_group(i == 5 ? "insert or rollback into t values(1, 'again')"
                                         : "insert into t(a) values('x') returning (select count(*) from t)");
    bed_drain(&bed);
    for (int i = 0; i < 9; i++)
        if (i == 5)
            bed_check(queries[i], QURING_SERVER_ERROR, "23505", "UNIQUE");
        else
            bed_check(queries[i], QURING_OK, "", "");
    cr_assert_eq(number("select count(*) from t"), 8, "each took effect once");
    cr_assert_eq(queries[0]->result.row_count, 1, "and has one outcome");
}

Test(lite_group, a_commit_that_fails_runs_all_again_alone) {
    open_grouped();
    must("pragma foreign_keys=on");
    must("create table child(id references t deferrable initially deferred)");
    struct query *queries[10];
    for (int i = 0; i < 10; i++)
        queries[i] = submit_group(i == 3 ? "insert into child values(99)" : "insert into t(a) values('x')");
    bed_drain(&bed);
    for (int i = 0; i < 10; i++)
        if (i == 3)
            bed_check(queries[i], QURING_SERVER_ERROR, "23503", "FOREIGN KEY");
        else
            bed_check(queries[i], QURING_OK, "", "");
    cr_assert_eq(number("select count(*) from t"), 9);
    cr_assert_eq(number("select count(*) from child"), 0);
}

Test(lite_group, a_full_disk_in_a_group) {
    open_grouped();
    int64_t pages = number("pragma page_count");
    char sql[64];
    snprintf(sql, sizeof sql, "pragma max_page_count=%d", (int)pages + 5);
    must(sql);
    struct query *queries[20];
    for (int i = 0; i < 20; i++)
        queries[i] = submit_group(i % 2 ? "insert into t(a) values(zeroblob(9000))" : "insert into t(a) values('x')");
    bed_drain(&bed);
    int64_t good = 0;
    for (int i = 0; i < 20; i++) {
        if (queries[i]->status == QURING_OK)
            good++;
        else
            bed_check(queries[i], QURING_SERVER_ERROR, "53100", "full");
        if (i % 2 == 0)
            bed_check(queries[i], QURING_OK, "", "");
    }
    cr_assert(good >= 10 && good < 20, "%d", (int)good);
    cr_assert_eq(number("select count(*) from t"), good);
    cr_assert_str_eq(bed_text(exec("pragma integrity_check"), 0, 0), "ok");
}

Test(lite_group, a_group_under_a_foreign_lock) {
    open_grouped();
    sqlite3 *other;
    sqlite3_open(bed_path(&bed, "a.db"), &other);
    sqlite3_exec(other, "begin immediate", NULL, NULL, NULL);
    struct query *queries[20];
    for (int i = 0; i < 20; i++)
        queries[i] = submit_group("insert into t(a) values('x')");
    uint64_t before = naps_ns();
    bed_drain(&bed);
    for (int i = 0; i < 20; i++)
        bed_check(queries[i], QURING_SERVER_ERROR, "55P03", "locked");
    cr_assert_leq(naps_ns() - before, 100000000, "all of them wait together, and no longer than busy_timeout_ns");
    sqlite3_close(other);
    must("insert into t(a) values('y')");
}

Test(lite_group, groups_and_others_mix) {
    open_grouped();
    struct query *queries[60];
    for (int i = 0; i < 60; i++)
        queries[i] = i % 5 == 4 ? submit("insert into t(a) values('each') returning id")
                                : submit_group("insert into t(a) values('group') returning id");
    bed_drain(&bed);
    for (int i = 0; i < 60; i++)
        cr_assert_eq(bed_int(queries[i], 0, 0), i + 1, "in the order of submission");
    cr_assert_eq(commits, 24);
}
