/* SPDX-License-Identifier: MIT */
/* ATOMIC batches on the writer's lane, whose jobs run here and now. What SELECT says afterwards is the oracle. */
#include "lib/lite_fixture.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 8 };

#define COUNT_OF(array) (uint32_t)(sizeof(array) / sizeof *(array))

TestSuite(lite_batch, .init = lite_setup, .fini = lite_teardown);

static void open_table(const quring_db_options *options) {
    bed_open(&bed, bed_url(&bed, "a.db"), options ? options : &(quring_db_options){.connection_count = 1, .depth = 16});
    must("create table t(id integer primary key, n integer not null default 0 check(n < 100))");
    must("insert into t values(1, 0)");
}

/* "OK; SKIPPED 23505 by 2": with the number of the member that is named as the reason. */
static const char *fates(struct query *const queries[], uint32_t count) {
    static char text[600];
    char *at = text;
    for (uint32_t i = 0; i < count; i++) {
        const struct query *query = queries[i];
        cr_assert_eq(query->state, QUERY_DONE, "query %u", i);
        at += snprintf(at, 60, "%s%s", i ? "; " : "", quring_status_name((quring_status)query->status));
        if (query->status != QURING_OK)
            at += snprintf(at, 60, " %s", query->error.view.sqlstate);
        if (query->status == QURING_SKIPPED)
            at += snprintf(at, 60, " by %u", (unsigned)(query->failed_id - queries[0]->id + 1));
    }
    return text;
}

static void assert_text(const char *actual, const char *expected, const char *what, int line) {
    cr_assert_str_eq(actual, expected, "line %d: %s:\n%s\ninstead of\n%s", line, what, actual, expected);
}

#define assert_fates(queries, count, expected, what) assert_text(fates(queries, count), expected, what, __LINE__)

static const char *const LONG = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000000) "
                                "select count(*) from n";

/* ---- Ends ---- */

static const struct row {
    const char *what;
    const char *texts[4];
    const char *fates;
    int64_t rows; /* in t afterwards */
} rows[] = {
    {"all is well",
     {"insert into t values(5, 0)", "update t set n = n + 1 where id = 5 returning n", "select 1"},
     "OK; OK; OK",
     2},
    {"the first breaks a constraint",
     {"insert into t values(1, 0)", "insert into t values(5, 0)"},
     "SERVER_ERROR 23505; SKIPPED 23505 by 1",
     1},
    {"the last does",
     {"insert into t values(5, 0)", "insert into t values(6, 0)", "insert into t values(7, 100)"},
     "SKIPPED 23514 by 3; SKIPPED 23514 by 3; SERVER_ERROR 23514",
     1},
    {"one does not parse",
     {"insert into t values(5, 0)", "insert into nowhere values(1)", "insert into t values(6, 0)"},
     "SKIPPED 42P01 by 2; SERVER_ERROR 42P01; SKIPPED 42P01 by 2",
     1},
    {"one ends the transaction by itself",
     {"insert into t values(5, 0)", "insert or rollback into t values(1, 0)", "insert into t values(6, 0)"},
     "SKIPPED 23505 by 2; SERVER_ERROR 23505; SKIPPED 23505 by 2",
     1},
    {"one keeps rows by itself",
     {"insert or fail into t values(5, 0), (1, 0)", "insert into t values(6, 0)"},
     "SERVER_ERROR 23505; SKIPPED 23505 by 1",
     1},
    {"one fails in its middle",
     {"insert into t values(5, 0)", "select abs(-9223372036854775808)"},
     "SKIPPED 22003 by 2; SERVER_ERROR 22003",
     1},
    {"reads alone", {"select 1", "select count(*) from t"}, "OK; OK", 1},
    {"reads, one of which fails", {"select 1", "select nope"}, "SKIPPED 42703 by 2; SERVER_ERROR 42703", 1},
    {"one alone", {"insert into t values(5, 0)"}, "OK", 2},
    {"one alone that fails", {"insert into t values(1, 0)"}, "SERVER_ERROR 23505", 1},
};

Test(lite_batch, all_or_none) {
    open_table(NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct query *queries[MOST], *behind;
        uint32_t count = 0;
        while (count < 4 && rows[i].texts[count])
            count++;
        bed_submit_batch(&bed, queries, rows[i].texts, count);
        behind = bed_submit(&bed, bed_query(&bed, "insert into t values(99, 0)", NULL, 0));
        bed_drain(&bed);
        assert_fates(queries, count, rows[i].fates, rows[i].what);
        bed_check(behind, QURING_OK, "", "");
        must("delete from t where id = 99");
        cr_assert_eq(number("select count(*) from t"), rows[i].rows, "%s", rows[i].what);
        must("delete from t where id > 1");
        cr_assert_not(lite_conn_in_transaction(&lane(0)->conn), "%s", rows[i].what);
        bed_reuse(&bed, 0);
    }
}

Test(lite_batch, results_and_errors_are_each_member_s_own) {
    static const char *const good[] = {"update t set n = n + 7 where id = 1 returning n", "select n * 2 from t"};
    static const char *const bad[] = {"select 1", "insert into t values(1, 0)"};
    struct query *queries[2];
    open_table(NULL);
    bed_submit_batch(&bed, queries, good, 2);
    bed_drain(&bed);
    cr_assert_eq(bed_int(queries[0], 0, 0), 7);
    cr_assert_eq(bed_int(queries[1], 0, 0), 14);
    cr_assert_eq(queries[0]->result.affected_count, 1);
    bed_submit_batch(&bed, queries, bad, 2);
    bed_drain(&bed);
    bed_check(queries[0], QURING_SKIPPED, "23505", "query 2 of its batch failed with 23505: UNIQUE");
    bed_check(queries[1], QURING_SERVER_ERROR, "23505", "UNIQUE");
    cr_assert_eq(queries[1]->error.view.backend_code, SQLITE_CONSTRAINT_PRIMARYKEY);
    cr_assert_eq(quring_row_count(&queries[0]->result), 0);
    cr_assert_not(queries[0]->sent);
}

/* A constraint that is judged at the commit is no member's error, and every member's end. */
Test(lite_batch, a_deferred_constraint_fails_all_of_them) {
    static const char *const bad[] = {"insert into child values(77)", "insert into t values(5, 0)"};
    static const char *const good[] = {"insert into child values(5)", "insert into t values(5, 0)"};
    struct query *queries[2];
    open_table(NULL);
    must("pragma foreign_keys = on");
    must("create table child(parent integer references t(id) deferrable initially deferred)");
    bed_submit_batch(&bed, queries, bad, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "SERVER_ERROR 23503; SERVER_ERROR 23503", "at the commit");
    cr_assert_eq(number("select count(*) from t"), 1);
    cr_assert_eq(number("select count(*) from child"), 0);
    bed_submit_batch(&bed, queries, good, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "OK; OK", "whichever comes first");
}

Test(lite_batch, a_foreign_lock_ends_all_of_them) {
    static const char *const texts[] = {"insert into t values(5, 0)", "insert into t values(6, 0)"};
    struct query *queries[2];
    sqlite3 *other;
    open_table(NULL);
    sqlite3_open(bed_path(&bed, "a.db"), &other);
    sqlite3_exec(other, "begin immediate", NULL, NULL, NULL);
    bed_submit_batch(&bed, queries, texts, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "SERVER_ERROR 55P03; SERVER_ERROR 55P03", "BEGIN failed");
    sqlite3_close(other);
    bed_submit_batch(&bed, queries, texts, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "OK; OK", "the lock is gone");
}

/* ---- Files ---- */

static int64_t is_wal(void) {
    return strcmp(bed_text(exec("pragma journal_mode"), 0, 0), "wal") == 0;
}

/* A new file, and one of another mode, are in WAL mode after their first batch that writes. */
Test(lite_batch, a_batch_changes_the_file_to_wal_mode) {
    static const char *const first[] = {"insert into t values(5)", "insert into t values(6)"};
    static const char *const reads[] = {"select count(*) from t", "select 1"};
    struct query *queries[2];
    sqlite3 *other;
    sqlite3_open(bed_path(&bed, "a.db"), &other);
    sqlite3_exec(other, "create table t(a)", NULL, NULL, NULL);
    sqlite3_close(other);
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.connection_count = 1, .depth = 16});
    bed_submit_batch(&bed, queries, reads, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "OK; OK", "reads");
    cr_assert_not(is_wal(), "who only reads leaves a file as it is");
    bed_submit_batch(&bed, queries, first, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "OK; OK", "writes");
    cr_assert(is_wal());
}

Test(lite_batch, reads_are_taken_where_nothing_can_be_written) {
    static const char *const reads[] = {"select count(*) from t", "select 1"};
    static const char *const writes[] = {"select 1", "insert into t values(5)"};
    struct query *queries[2];
    sqlite3 *other;
    sqlite3_open(bed_path(&bed, "a.db"), &other);
    sqlite3_exec(other, "create table t(a)", NULL, NULL, NULL);
    sqlite3_close(other);
    bed_open(&bed, bed_url_with(&bed, "a.db", "?mode=ro"), &(quring_db_options){.connection_count = 1, .depth = 16});
    bed_submit_batch(&bed, queries, reads, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "OK; OK", "reads");
    bed_submit_batch(&bed, queries, writes, 2);
    bed_drain(&bed);
    assert_fates(queries, 2, "SKIPPED 25006 by 2; SERVER_ERROR 25006", "the write is refused");
}

Test(lite_batch, a_file_that_cannot_be_opened_ends_all_not_sent) {
    static const char *const texts[] = {"select 1", "select 2"};
    struct query *queries[2];
    bed_open(&bed, bed_url_with(&bed, "none/a.db", ""), &(quring_db_options){.connection_count = 1, .depth = 16});
    bed_submit_batch(&bed, queries, texts, 2);
    bed_drain(&bed);
    cr_assert_eq(queries[0]->status, QURING_NOT_SENT);
    cr_assert_eq(queries[1]->status, QURING_NOT_SENT);
}

/* ---- Given up ---- */

static const char *const inserts[] = {"insert into t values(5, 0)", "insert into t values(6, 0)",
                                      "insert into t values(7, 0)"};

Test(lite_batch, what_no_lane_has_taken_ends_whole) {
    struct query *queries[3], *before, *behind;
    open_table(NULL);
    for (uint32_t given_up = 0; given_up < 3; given_up++) {
        static const char *const expected[] = {"TIMEOUT 57014; SKIPPED 57014 by 1; SKIPPED 57014 by 1",
                                               "SKIPPED 57014 by 2; TIMEOUT 57014; SKIPPED 57014 by 2",
                                               "SKIPPED 57014 by 3; SKIPPED 57014 by 3; TIMEOUT 57014"};
        before = bed_submit(&bed, bed_query(&bed, "insert into t values(10, 0)", NULL, 0));
        bed_submit_batch(&bed, queries, inserts, 3);
        behind = bed_submit(&bed, bed_query(&bed, "delete from t where id = 10", NULL, 0));
        lite_backend.advance(bed.db);
        lite_backend.abandon(queries[given_up], QURING_TIMEOUT);
        assert_fates(queries, 3, expected[given_up], "at once");
        bed_drain(&bed);
        bed_check(before, QURING_OK, "", "");
        bed_check(behind, QURING_OK, "", "");
        cr_assert_eq(number("select count(*) from t"), 1);
    }
}

static struct query *victim;
static void (*lane_pause)(struct lite_watch *watch);
static uint32_t pause_count;

static void give_up_and_pause(struct lite_watch *watch) {
    if (pause_count++ == 0)
        lite_backend.abandon(victim, QURING_CANCELLED);
    lane_pause(watch);
}

/* While the member `slow` is at work, one is given up. */
static const char *ends_when_given_up(uint32_t slow, uint32_t given_up) {
    static struct query *queries[3];
    const char *texts[3];
    open_table(NULL);
    lane_pause = lane(0)->conn.watch.pause;
    lane(0)->conn.watch.pause = give_up_and_pause;
    memcpy(texts, inserts, sizeof texts);
    texts[slow] = LONG;
    bed_submit_batch(&bed, queries, texts, 3);
    victim = queries[given_up];
    bed_drain(&bed);
    cr_assert_gt(pause_count, 0);
    cr_assert_not(lite_conn_in_transaction(&lane(0)->conn));
    return fates(queries, 3);
}

Test(lite_batch, one_that_is_at_work_ends_all) {
    assert_text(ends_when_given_up(1, 1), "SKIPPED 57014 by 2; CANCELLED 57014; SKIPPED 57014 by 2", "undone",
                __LINE__);
    cr_assert_eq(number("select count(*) from t"), 1);
}

Test(lite_batch, one_that_has_not_begun_ends_all) {
    assert_text(ends_when_given_up(0, 2), "SKIPPED 57014 by 3; SKIPPED 57014 by 3; CANCELLED 57014", "undone",
                __LINE__);
    cr_assert_eq(number("select count(*) from t"), 1);
}

Test(lite_batch, one_that_has_been_run_keeps_its_effect) {
    assert_text(ends_when_given_up(2, 0), "CANCELLED 57014; OK; OK", "committed", __LINE__);
    cr_assert_eq(number("select count(*) from t"), 3);
}

/* A batch that was taken with a long statement before it, and is given up meanwhile, is not begun. */
Test(lite_batch, a_batch_at_hand_that_has_not_begun_ends_whole) {
    struct query *queries[3], *slow;
    open_table(NULL);
    lane_pause = lane(0)->conn.watch.pause;
    lane(0)->conn.watch.pause = give_up_and_pause;
    slow = bed_query(&bed,
                     "create table big as with recursive n(i) as (select 1 union all select i + 1 from n where "
                     "i < 1000000) select count(*) from n",
                     NULL, 0);
    bed_submit(&bed, slow);
    bed_submit_batch(&bed, queries, inserts, 3);
    victim = queries[1];
    bed_drain(&bed);
    bed_check(slow, QURING_OK, "", "");
    assert_fates(queries, 3, "SKIPPED 57014 by 2; CANCELLED 57014; SKIPPED 57014 by 2", "none was run");
    cr_assert_eq(number("select count(*) from t"), 1);
}

/* ---- Among others ---- */

Test(lite_batch, batches_among_groups_and_others) {
    enum { ROUNDS = 20 };
    static struct query *queries[ROUNDS][3], *others[ROUNDS][2];
    open_table(&(quring_db_options){.connection_count = 1, .depth = 7});
    for (int round = 0; round < ROUNDS; round++) {
        static const char *const bad[] = {"update t set n = n + 1", "insert into t values(1, 0)",
                                          "update t set n = n + 1"};
        static const char *const good[] = {"update t set n = n + 1", "update t set n = n + 1", "select 1"};
        for (int i = 0; i < 2; i++) {
            others[round][i] = bed_query(&bed, "update t set n = n + 1", NULL, 0);
            others[round][i]->commit = QURING_COMMIT_GROUP;
            bed_submit(&bed, others[round][i]);
        }
        bed_submit_batch(&bed, queries[round], round % 2 ? bad : good, 3);
    }
    bed_drain(&bed);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 2; i++)
            bed_check(others[round][i], QURING_OK, "", "");
        assert_fates(queries[round], 3,
                     round % 2 ? "SKIPPED 23505 by 2; SERVER_ERROR 23505; SKIPPED 23505 by 2" : "OK; OK; OK",
                     "a round");
    }
    cr_assert_eq(number("select n from t"), 2 * ROUNDS + 2 * (ROUNDS / 2));
}

/* ---- Long ones ---- */

enum { LONG_COUNT = 100 };

/* `bad`: the number of the member that fails, from 1; 0: none does. */
static void submit_long(struct query *queries[], uint32_t bad) {
    const char *texts[LONG_COUNT];
    for (uint32_t i = 0; i < LONG_COUNT; i++)
        texts[i] = i + 1 == bad ? "insert into t values(1, 0)" : "update t set n = n + 1 where id = 1 and n < 99";
    bed_submit_batch(&bed, queries, texts, LONG_COUNT);
}

static void assert_long(struct query *const queries[], uint32_t bad) {
    for (uint32_t i = 0; i < LONG_COUNT; i++) {
        const struct query *query = queries[i];
        quring_status expected = !bad ? QURING_OK : i + 1 == bad ? QURING_SERVER_ERROR : QURING_SKIPPED;
        cr_assert_eq(query->state, QUERY_DONE);
        cr_assert_eq(query->status, expected, "query %u: %s", i, quring_status_name((quring_status)query->status));
        cr_assert(expected != QURING_SKIPPED || query->failed_id == queries[bad - 1]->id);
    }
}

/* They are one run of the lane, whose room grows with the longest that came. */
Test(lite_batch, one_of_more_than_the_depth_is_one_run) {
    static struct query *good[LONG_COUNT], *bad[LONG_COUNT], *mean[3];
    open_table(&(quring_db_options){.connection_count = 1, .depth = 3});
    submit_long(bad, 60);
    bed_submit_batch(&bed, mean, inserts, 3);
    submit_long(good, 0);
    struct query *other = bed_submit(&bed, bed_query(&bed, "select 1", NULL, 0));
    bed_drain(&bed);
    assert_long(bad, 60);
    assert_fates(mean, 3, "OK; OK; OK", "a short one between them");
    assert_long(good, 0);
    bed_check(other, QURING_OK, "", "");
    cr_assert_eq(number("select n from t where id = 1"), 99, "of the one that committed alone");
}

Test(lite_batch, one_of_more_than_the_depth_is_given_up_as_any_other) {
    static struct query *queries[LONG_COUNT];
    open_table(&(quring_db_options){.connection_count = 1, .depth = 3});
    submit_long(queries, 0);
    lite_backend.advance(bed.db);
    lite_backend.abandon(queries[77], QURING_CANCELLED);
    bed_drain(&bed);
    for (uint32_t i = 0; i < LONG_COUNT; i++)
        cr_assert_eq(queries[i]->status, i == 77 ? QURING_CANCELLED : QURING_SKIPPED, "query %u", i);
    cr_assert_eq(number("select n from t where id = 1"), 0);
}

Test(lite_batch, closing_ends_each_of_them) {
    struct query *queries[3];
    open_table(NULL);
    bed_submit_batch(&bed, queries, inserts, 3);
    lite_backend.advance(bed.db);
    lite_backend.abandon(queries[1], QURING_SHUTDOWN);
    assert_fates(queries, 3, "SHUTDOWN 57P01; SHUTDOWN 57P01; SHUTDOWN 57P01", "it is said to all of them");
}
