/* SPDX-License-Identifier: MIT */
/*
 * Several handles of one program write one file. SQLite's lock has no line, so one that writes without a pause would keep the
 * others from it: they take turns all the same. Counted is what the one does while the others do their writes.
 */
#include "lib/lite_files.h"
#include "lib/live_tx.h"

#include <stdio.h>

enum { OUT = 128, DEPTH = 16, WRITES = 20, OTHERS = 3 };

/*
 * Each group of the busy handle holds the lock for some milliseconds, and leaves it alone for microseconds between two of them. Who
 * tries now and then meets that moment after hundreds of groups. In turns there is one between two writes of the others, and
 * more of them only where a thread waits for a processor: so not at every try.
 */
static const char busy_sql[] = "insert into t select $1, count(*) from (with recursive i(i) as (select 1 union all "
                               "select i + 1 from i where i < 10000) select i from i)";

enum { GROUPS_MAX = 20 * WRITES, TRIES = 20 };

static quring_db *others[OTHERS];

static void setup(void) {
    const quring_db_options options = {
        .durability = QURING_DURABILITY_OFF, .depth = DEPTH, .busy_timeout_ns = QURING_FOREVER};
    files_begin();
    files_open(&live, "a.db", &options);
    live_exec(&live, "create table t(who integer, n integer)");
    for (int i = 0; i < OTHERS; i++)
        others[i] = live_open_db(&live, files_url("a.db"), &options);
}

static void teardown(void) {
    live_close(&live);
    files_end();
}

TestSuite(lite_turns, .init = setup, .fini = teardown);

/* Of the busy handle, 0, in groups; of the others, from 1, one by one. */
static void write_one(uint64_t who) {
    (void)live_submit(&live, &(quring_query){.db = who ? others[who - 1] : live.db,
                                             .sql = who ? "insert into t values($1, 1)" : busy_sql,
                                             .params = QURING_PARAMS(quring_int64((int64_t)who)),
                                             .commit = who ? QURING_COMMIT_EACH : QURING_COMMIT_GROUP,
                                             .user_data = who});
}

static uint64_t wait_for_one(void) {
    quring_done done = live_wait(&live);
    uint64_t who = done.user_data;
    live_check_ok(&done, who ? "a write beside the busy handle" : "a write of the busy handle");
    live_release(&live, &done);
    return who;
}

/*
 * The busy handle has always OUT writes out, and each of `count` others one, until they have done WRITES each. Returns false if it
 * was more than in turns.
 */
static bool write_beside(uint64_t count) {
    uint64_t done_count[OTHERS + 1] = {0}, left = count * WRITES, out = OUT + count;
    live_exec(&live, "delete from t");
    for (uint64_t i = 0; i < OUT + count; i++)
        write_one(i < OUT ? 0 : i - OUT + 1);
    while (left && done_count[0] <= GROUPS_MAX * DEPTH) {
        uint64_t who = wait_for_one();
        out--;
        left -= who != 0;
        done_count[who]++;
        if (who && done_count[who] == WRITES)
            continue;
        write_one(who);
        out++;
    }
    while (out--)
        (void)wait_for_one();
    cr_assert(left || live_int(&live, "select count(*) from t where who > 0") == (int64_t)count * WRITES);
    return left == 0;
}

Test(lite_turns, one_that_never_stops_lets_another_pass) {
    for (int tries = 1; !write_beside(1); tries++)
        cr_assert_lt(tries, TRIES);
}

Test(lite_turns, and_more_of_them) {
    for (int tries = 1; !write_beside(OTHERS); tries++)
        cr_assert_lt(tries, TRIES);
}

Test(lite_turns, those_that_wait_for_a_transaction_go_on_behind_it) {
    quring_tx *tx = begin();
    ends_as(tx, "insert into t values(0, 1)", "");
    for (uint64_t i = 1; i <= OTHERS; i++)
        write_one(i);
    quring_run(live.engine, 1, 20 * LIVE_MS);
    quring_done done;
    cr_assert_eq(quring_reap(live.engine, &done, 1), 0, "the transaction has the lock");
    quring_id end = commit(tx);
    bool seen = false;
    for (int i = 0; i < OTHERS + 1; i++) {
        done = live_wait(&live);
        live_check_ok(&done, "a write behind the transaction");
        seen |= done.id == end;
        live_release(&live, &done);
    }
    cr_assert(seen);
    quring_tx_release(tx);
    cr_assert_eq(live_int(&live, "select count(*) from t"), OTHERS + 1);
}

static quring_db *open_session(void) {
    const quring_db_options options = {
        .exclusive = true, .durability = QURING_DURABILITY_OFF, .busy_timeout_ns = QURING_FOREVER};
    return live_open_db(&live, files_url("a.db"), &options);
}

static void exec_on(quring_db *db, const char *sql) {
    quring_done done = live_run(&live, &(quring_query){.db = db, .sql = sql});
    live_check_ok(&done, sql);
    live_release(&live, &done);
}

/* Its write waits for a file that is attached, and holds the one that another handle waits for. */
Test(lite_turns, who_has_the_lock_does_not_stand_behind_those_that_wait_for_it) {
    char attach[300];
    quring_db *session = open_session();
    snprintf(attach, sizeof attach, "attach '%s' as b", files_path("b.db"));
    exec_on(session, attach);
    exec_on(session, "create table b.u(a)");
    files_lock("b.db");
    exec_on(session, "begin");
    exec_on(session, "insert into main.t values(0, 1)");
    write_one(1);
    quring_run(live.engine, 1, 20 * LIVE_MS);
    (void)live_submit(&live, &(quring_query){.db = session, .sql = "insert into b.u values(1)", .user_data = 2});
    quring_run(live.engine, 1, 20 * LIVE_MS);
    files_unlock();
    cr_assert_eq(wait_for_one(), 2, "the write to the file that was attached");
    (void)live_submit(&live, &(quring_query){.db = session, .sql = "commit", .user_data = 1});
    cr_assert_eq(wait_for_one() + wait_for_one(), 2, "the commit, and the write behind it");
}

static void submit_batch_that_begins_with_a_read(void) {
    const quring_query members[] = {{.db = others[0], .sql = "select count(*) from t", .user_data = 2},
                                    {.db = others[0], .sql = "insert into t values(1, 1)", .user_data = 1}};
    cr_assert_eq(quring_submit_batch(live.engine, members, 2, QURING_BATCH_ATOMIC, NULL), 2);
}

static bool write_beside_batches(void) {
    enum { BATCHES = 3 * WRITES };
    uint32_t busy = 0, batches = 0, out = OUT + 2;
    live_exec(&live, "delete from t");
    for (int i = 0; i < OUT; i++)
        write_one(0);
    submit_batch_that_begins_with_a_read();
    while (out) {
        uint64_t who = wait_for_one();
        out--;
        busy += who == 0;
        batches += who == 1;
        if (who == 2 || batches == BATCHES || busy > 2 * BATCHES * DEPTH)
            continue;
        out += who ? 2 : 1;
        if (who)
            submit_batch_that_begins_with_a_read();
        else
            write_one(0);
    }
    cr_assert_eq(live_int(&live, "select count(*) from t where who > 0"), batches);
    return batches == BATCHES;
}

Test(lite_turns, a_batch_that_begins_with_a_read_has_its_turn) {
    for (int tries = 1; !write_beside_batches(); tries++)
        cr_assert_lt(tries, TRIES);
}

/* A session's statements, as three in a row: each transaction holds the lock for some milliseconds. */
static void submit_transaction(quring_db *session, uint64_t who) {
    const char *const statements[] = {"begin immediate", busy_sql, "commit"};
    const quring_param param = quring_int64((int64_t)who);
    for (int i = 0; i < 3; i++)
        (void)live_submit(&live, &(quring_query){.db = session,
                                                 .sql = statements[i],
                                                 .params = &param,
                                                 .param_count = i == 1,
                                                 .user_data = i == 2 ? who : 0});
}

static bool write_beside_session(quring_db *session) {
    enum { SESSION = OTHERS + 1, SESSION_OUT = 8 };
    uint32_t transactions = 0, writes = 0, out = 1;
    live_exec(&live, "delete from t");
    for (; out < 1 + SESSION_OUT; out++)
        submit_transaction(session, SESSION);
    write_one(1);
    while (out) {
        uint64_t who = wait_for_one();
        transactions += who == SESSION;
        writes += who == 1;
        out -= who != 0;
        if (!who || writes == WRITES || transactions > GROUPS_MAX)
            continue;
        out++;
        if (who == SESSION)
            submit_transaction(session, SESSION);
        else
            write_one(1);
    }
    cr_assert_eq(live_int(&live, "select count(*) from t where who = 1"), writes);
    return writes == WRITES;
}

Test(lite_turns, transactions_of_a_session_let_others_pass) {
    quring_db *session = open_session();
    for (int tries = 1; !write_beside_session(session); tries++)
        cr_assert_lt(tries, TRIES);
}
