/* SPDX-License-Identifier: MIT */
/* Order keys on a real file, with its threads: the rows tell in which order queries of a key were carried out. */
#include "lib/counters.h"
#include "lib/lite_files.h"

enum { COUNT = LIVE_SANITIZED ? 4000 : 20000, KEYS = 16 };

static struct live live;

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite_order, .init = files_begin, .fini = teardown);

static void count(struct counters counters) {
    counters.count = COUNT;
    counters.key_count = KEYS;
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 4, .durability = QURING_DURABILITY_OFF});
    counters_run(&counters, &live);
    uint32_t ended = counters.by_status[QURING_OK];
    if (counters.gives_up)
        ended += counters.by_status[QURING_TIMEOUT] + counters.by_status[QURING_CANCELLED];
    cr_assert_eq(ended, COUNT);
}

Test(lite_order, counters_count_as_their_queries_were_submitted) {
    count((struct counters){.window = 2000, .seed = 1});
}

Test(lite_order, counters_in_groups) {
    count((struct counters){.window = 2000, .grouped = true, .seed = 2});
}

Test(lite_order, counters_with_few_queries_out) {
    count((struct counters){.window = 20, .grouped = true, .seed = 3});
}

Test(lite_order, counters_with_queries_that_are_given_up) {
    count((struct counters){.window = 500, .grouped = true, .gives_up = true, .seed = 4});
}

Test(lite_order, each_sees_its_own_writes_without_waiting) {
    files_open(&live, "a.db", &(quring_db_options){.durability = QURING_DURABILITY_OFF});
    counters_read_own_writes(&live, COUNT / 4);
}

/* Reads of a key that no write of the key is under way for run beside each other, and beside writes of other keys. */
Test(lite_order, reads_do_not_wait_for_writes_of_other_keys) {
    files_open(&live, "a.db", NULL);
    live_exec(&live, "create table t(id integer)");
    files_lock("a.db");
    live_submit(&live, &(quring_query){.sql = "insert into t values(1)", .order_key = 1, .user_data = 1});
    live_submit(&live, &(quring_query){.sql = "select count(*) from t", .order_key = 2, .user_data = 2});
    quring_done done = live_wait(&live);
    cr_assert_eq(done.user_data, 2);
    live_check_ok(&done, "the read");
    live_release(&live, &done);
    live_submit(&live, &(quring_query){.sql = "select count(*) from t", .order_key = 1, .user_data = 3});
    cr_assert_eq(quring_run(live.engine, 1, 50 * LIVE_MS), 0, "it waits for the write before it");
    files_unlock();
    for (uint64_t expected = 1; expected <= 3; expected += 2) {
        done = live_wait(&live);
        cr_assert_eq(done.user_data, expected);
        live_check_ok(&done, "of key 1");
        live_release(&live, &done);
    }
}

static int64_t count_of(const quring_done *done) {
    int64_t rows = -1;
    live_check_ok(done, "a count");
    cr_assert_eq(quring_get_int64(done->result, 0, 0, &rows), 0);
    return rows;
}

static void cancel(quring_id id) {
    cr_assert_eq(quring_cancel(live.engine, id), 0);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, id);
    live_check_error(&done, QURING_CANCELLED, "57014", "cancelled");
    live_release(&live, &done);
}

/* The group waits for a lock. The read behind it needs none. */
Test(lite_order, a_read_is_behind_a_group_that_was_given_up) {
    quring_query write = {.sql = "insert into t values(1)", .order_key = 1, .commit = QURING_COMMIT_GROUP};
    files_open(&live, "a.db", &(quring_db_options){.busy_timeout_ns = QURING_FOREVER});
    live_exec(&live, "create table t(id integer)");
    files_lock("a.db");
    quring_id first = live_submit(&live, &write), second = live_submit(&live, &write);
    quring_id read = live_submit(&live, &(quring_query){.sql = "select count(*) from t", .order_key = 1});
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    cancel(first);
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0, "the other of the group waits for the lock");
    cancel(second);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, read);
    cr_assert_eq(count_of(&done), 0);
    live_release(&live, &done);
    files_unlock();
}

/* A write that was given up takes effect with its group, and what is submitted then sees it. */
Test(lite_order, a_read_is_behind_a_write_that_was_given_up_in_its_group) {
    static const char slow[] = "with recursive c(n) as (select 1 union all select n + 1 from c where n < 2000000) "
                               "insert into t select 0 from c where n = 1";
    enum { GIVEN_UP, SLOW, READ };
    int64_t seen = -1;
    files_open(&live, "a.db", NULL);
    live_exec(&live, "create table t(id integer)");
    quring_id id = live_submit(&live, &(quring_query){.sql = "insert into t values(1)",
                                                      .order_key = 1,
                                                      .commit = QURING_COMMIT_GROUP,
                                                      .user_data = GIVEN_UP});
    live_submit(&live, &(quring_query){.sql = slow, .commit = QURING_COMMIT_GROUP, .user_data = SLOW});
    cr_assert_geq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    cr_assert_eq(quring_cancel(live.engine, id), 0);
    cr_assert_geq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    live_submit(&live,
                &(quring_query){.sql = "select count(*) from t where id = 1", .order_key = 1, .user_data = READ});
    for (int i = 0; i < 3; i++) {
        quring_done done = live_wait(&live);
        if (done.user_data == READ)
            seen = count_of(&done);
        live_release(&live, &done);
    }
    quring_done done = live_query(&live, "select count(*) from t where id = $1", quring_int64(1));
    cr_assert_eq(seen, count_of(&done));
    live_release(&live, &done);
}

/* The write waits for the read before it, and that for a lane that tries to open the file. */
Test(lite_order, of_a_file_that_can_not_be_opened_none_is_sent) {
    static const char *const texts[] = {"select 1", "insert into t values(1)", "select 2"};
    live_open_url(&live, files_url_with("none.db", "?mode=rw"), NULL, NULL);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            live_submit(&live, &(quring_query){.sql = texts[i], .order_key = 1});
        for (int i = 0; i < 3; i++) {
            quring_done done = live_wait(&live);
            cr_assert_eq(done.status, QURING_NOT_SENT, "%s", quring_status_name(done.status));
            live_release(&live, &done);
        }
    }
}
