/* SPDX-License-Identifier: MIT */
/*
 * Queries on SQLite that are given up while their lane is in the middle of a step that nothing stops. Each lane stands at a gate
 * (lib/lite_gate.h), which is opened only after the completion came: nothing here depends on time.
 */
#include "lib/lite_files.h"
#include "lib/lite_gate.h"
#include "lib/live_tx.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void setup(void) {
    files_begin();
    lite_gate_install();
}

static void teardown(void) {
    lite_gate_open();
    files_close(&live);
}

TestSuite(lite_detach, .init = setup, .fini = teardown);

static const quring_db_options few = {.connection_count = 1, .depth = 64};

static void open_table(const quring_db_options *options) {
    files_open(&live, "a.db", options ? options : &few);
    live_exec(&live, "create table t(id integer primary key, name text)");
    live_exec(&live, "insert into t with recursive n(i) as (select 1 union all select i + 1 from n where i < 100) "
                     "select i, 'row ' || i from n");
}

static quring_id submit(const quring_query *query) {
    return live_submit(&live, query);
}

/* Turns hand over what was submitted, until a lane has come to the gate with it. */
static void reach_gate(void) {
    while (!lite_gate_is_reached())
        cr_assert_geq(quring_run(live.engine, UINT32_MAX, LIVE_MS), 0);
}

static void give_up(quring_id id) {
    cr_assert_eq(quring_cancel(live.engine, id), 0);
}

struct outcome {
    quring_id id, failed_id;
    quring_status status;
    bool sent;
    char text[64]; /* "" for OK, else status and SQLSTATE */
};

enum { OUTCOMES = 16 };

/* Waits for the query's completion. Those that come before it are kept: what was carried out first may be told first or not. */
static struct outcome wait_for(quring_id id) {
    static struct outcome kept[OUTCOMES];
    for (int i = 0; i < OUTCOMES; i++) {
        struct outcome outcome = kept[i];
        kept[i].id = outcome.id == id ? 0 : outcome.id;
        if (outcome.id == id)
            return outcome;
    }
    for (;;) {
        quring_done done = live_wait(&live);
        struct outcome outcome = {done.id, done.failed_id, done.status, done.sent, ""};
        if (done.status != QURING_OK)
            snprintf(outcome.text, sizeof outcome.text, "%s %s", quring_status_name(done.status), done.error->sqlstate);
        live_release(&live, &done);
        if (outcome.id == id)
            return outcome;
        int free = 0;
        while (free < OUTCOMES && kept[free].id)
            free++;
        cr_assert_lt(free, OUTCOMES);
        kept[free] = outcome;
    }
}

static void is_given_up(quring_id id, quring_status status, bool sent) {
    struct outcome outcome = wait_for(id);
    cr_assert_eq(outcome.status, status, "%s", outcome.text);
    cr_assert_eq(outcome.sent, sent, "%s", outcome.text);
}

static void is(quring_id id, const char *expected) {
    cr_assert_str_eq(wait_for(id).text, expected);
}

static void is_behind(quring_id id, quring_id failed) {
    struct outcome outcome = wait_for(id);
    cr_assert_eq(outcome.status, QURING_SKIPPED, "%s", outcome.text);
    cr_assert_eq(outcome.failed_id, failed);
    cr_assert(!outcome.sent);
}

static void is_committed(quring_tx *tx, const char *expected) {
    is(commit(tx), expected);
    quring_tx_release(tx);
}

static uint32_t inflight_count(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats.inflight_count;
}

/* Lets the lane go on, and waits until all that is at work was handed back. */
static void let_go(void) {
    lite_gate_open();
    while (inflight_count())
        cr_assert_geq(quring_run(live.engine, 1, LIVE_MS), 0);
}

static int64_t row_count(void) {
    return live_int(&live, "select count(*) from t where id > 100");
}

/* ---- Each kind of step ---- */

static const struct {
    const char *what, *sql;
    enum lite_gate_kind gate;
    bool writes;
} kinds[] = {
    {"a function", "select gate(name) from t", GATE_SQL, false},
    {"a long text", "select length(replace(gate(hex(zeroblob(1000000))), '0', 'x'))", GATE_SQL, false},
    {"a sort", "select name from t order by name collate gate", GATE_SQL, false},
    {"a sort for groups", "select count(distinct name collate gate) from t", GATE_SQL, false},
    {"an aggregate", "select gather(name) from t", GATE_SQL, false},
    {"an index", "create index by_name on t(name collate gate)", GATE_SQL, true},
    {"an insert", "insert into t select 101, gate('x')", GATE_SQL, true},
    {"an update", "update t set name = gate(name)", GATE_SQL, true},
    {"a delete", "delete from t where gate(id) = 0", GATE_SQL, true},
    {"a commit", "insert into t values(101, 'x')", GATE_WRITE, true},
    {"VACUUM", "vacuum", GATE_WRITE, true},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

Test(lite_detach, the_completion_comes_while_the_lane_is_busy) {
    open_table(NULL);
    for (int i = 0; i < KINDS; i++) {
        for (int timed = 0; timed < 2; timed++) {
            lite_gate_close(kinds[i].gate);
            quring_id id = submit(&(quring_query){.sql = kinds[i].sql, .timeout_ns = timed ? LIVE_MS : 0});
            if (timed)
                cr_assert_geq(quring_run(live.engine, 0, 0), 0);
            else
                reach_gate();
            if (!timed)
                give_up(id);
            quring_done done = live_wait(&live);
            cr_assert_eq(done.id, id);
            cr_assert_eq(done.status, timed ? QURING_TIMEOUT : QURING_CANCELLED, "%s", kinds[i].what);
            cr_assert_str_eq(done.error->sqlstate, "57014");
            if (!timed) {
                cr_assert(done.sent, "%s: it may take effect", kinds[i].what);
                cr_assert_eq(inflight_count(), 1, "%s: its lane has it", kinds[i].what);
            }
            live_release(&live, &done);
            let_go();
            live_exec(&live, "drop index if exists by_name");
            live_exec(&live, "delete from t where id > 100");
            cr_assert_eq(live_int(&live, "select count(*) from t"), 100, "%s", kinds[i].what);
        }
    }
}

/* Its texts and its rows are read and written by the lane as long as that has it, whatever the caller does meanwhile. */
Test(lite_detach, what_the_lane_works_on_stays) {
    enum { SIZE = 1 << 20 };
    open_table(NULL);
    char *text = malloc(SIZE + 1);
    memset(text, 'x', SIZE);
    text[SIZE] = 0;
    for (int kept = 0; kept < 2; kept++) {
        lite_gate_close(GATE_SQL);
        quring_id id = submit(&(quring_query){.sql = "select $1, gate(name), length($1) from t",
                                              .params = QURING_PARAMS(quring_text(text))});
        memset(text, 'y', SIZE);
        reach_gate();
        give_up(id);
        quring_done done = live_wait(&live);
        if (!kept)
            live_release(&live, &done);
        for (int i = 0; i < 100; i++)
            submit(&(quring_query){.sql = "insert into t(name) values($1)", .params = QURING_PARAMS(quring_text("z"))});
        live_drain(&live, NULL, NULL);
        let_go();
        if (kept) {
            cr_assert_str_eq(done.error->message, "cancelled");
            live_release(&live, &done);
        }
    }
    free(text);
}

/* ---- Those beside it ---- */

/* What no lane has begun is certain not to be. */
Test(lite_detach, queries_behind_it_were_not_sent) {
    static const char *const texts[] = {"insert into t select 101, 'a'", "insert into t select 102, gate('b')",
                                        "insert into t select 103, 'c'", "insert into t select 104, 'd'"};
    open_table(NULL);
    for (int group = 0; group < 2; group++) {
        quring_id ids[4];
        lite_gate_close(GATE_SQL);
        for (int i = 0; i < 4; i++)
            ids[i] =
                submit(&(quring_query){.sql = texts[i], .commit = group ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH});
        reach_gate();
        give_up(ids[2]);
        give_up(ids[1]);
        is_given_up(ids[1], QURING_CANCELLED, true);
        is_given_up(ids[2], QURING_CANCELLED, false);
        lite_gate_open();
        is(ids[0], "");
        is(ids[3], "");
        let_go();
        cr_assert_eq(live_int(&live, "select count(*) from t where id in (101, 104)"), 2);
        cr_assert_eq(live_int(&live, "select count(*) from t where id = 103"), 0);
        live_exec(&live, "delete from t where id > 100");
    }
}

Test(lite_detach, members_of_an_atomic_batch) {
    open_table(NULL);
    for (uint32_t victim = 0; victim < 3; victim++) {
        const quring_query queries[] = {
            {.db = live.db, .sql = "insert into t values(101, 'a')"},
            {.db = live.db, .sql = "insert into t select 102, gate('b')"},
            {.db = live.db, .sql = "insert into t values(103, 'c')"},
        };
        quring_id ids[3];
        lite_gate_close(GATE_SQL);
        cr_assert_eq(quring_submit_batch(live.engine, queries, 3, QURING_BATCH_ATOMIC, ids), 3);
        reach_gate();
        give_up(ids[victim]);
        is_given_up(ids[victim], QURING_CANCELLED, victim < 2);
        lite_gate_open();
        int ok = 0, skipped = 0;
        for (int i = 0; i < 2; i++) {
            quring_done done = live_wait(&live);
            ok += done.status == QURING_OK;
            skipped += done.status == QURING_SKIPPED && done.failed_id == ids[victim];
            live_release(&live, &done);
        }
        cr_assert(ok == 2 || skipped == 2, "all or none");
        cr_assert(victim < 2 || skipped, "it was not begun");
        let_go();
        cr_assert_eq(row_count(), ok ? 3 : 0);
        live_exec(&live, "delete from t where id > 100");
    }
}

/* Others of its key come behind it, though its caller has its answer. */
Test(lite_detach, its_order_key_stays_out) {
    open_table(NULL);
    for (int round = 0; round < 2; round++) {
        lite_gate_close(GATE_SQL);
        quring_id slow = submit(&(quring_query){.sql = "insert into t select 101, gate('a')", .order_key = 7});
        reach_gate();
        give_up(slow);
        is_given_up(slow, QURING_CANCELLED, true);
        quring_id read = submit(&(quring_query){.sql = "select count(*) from t where id > 100", .order_key = 7});
        quring_id other = submit(&(quring_query){.sql = "select 1", .order_key = 8});
        is(other, "");
        lite_gate_open();
        quring_done done = live_wait(&live);
        cr_assert_eq(done.id, read);
        int64_t seen = -1;
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &seen), 0);
        live_release(&live, &done);
        let_go();
        cr_assert_eq(row_count(), seen, "it took effect, or it did not, before the read");
        live_exec(&live, "delete from t where id > 100");
    }
}

/* ---- Transactions ---- */

/* A limit of 0: the query is cancelled. Returns false if the limit had passed before the lane came to the gate. */
static bool give_up_in_transaction(uint64_t limit_ns) {
    quring_tx *tx = begin();
    is(ask(tx, "savepoint s"), "");
    is(ask(tx, "insert into t values(101, 'a')"), "");
    lite_gate_close(GATE_SQL);
    quring_id slow =
        submit(&(quring_query){.tx = tx, .sql = "insert into t select 102, gate('b')", .timeout_ns = limit_ns});
    quring_id behind = ask(tx, "insert into t values(103, 'c')");
    if (!limit_ns) {
        reach_gate();
        give_up(slow);
    }
    struct outcome outcome = wait_for(slow);
    cr_assert_eq(outcome.status, limit_ns ? QURING_TIMEOUT : QURING_CANCELLED, "%s", outcome.text);
    if (!lite_gate_is_reached()) {
        quring_tx_release(tx);
        wait_for(behind);
        let_go();
        return false;
    }
    cr_assert(outcome.sent);
    quring_id back = ask(tx, "rollback to s");
    is_behind(back, slow);
    is_behind(ask(tx, "insert into t values(104, 'd')"), slow);
    is_committed(tx, "SERVER_ERROR 57014");
    is_behind(behind, slow);
    let_go();
    cr_assert_eq(row_count(), 0);
    live_exec(&live, "insert into t values(101, 'the writer is free')");
    live_exec(&live, "delete from t where id > 100");
    return true;
}

Test(lite_detach, a_query_of_an_open_transaction) {
    open_table(NULL);
    give_up_in_transaction(0);
    for (uint64_t limit_ns = LIVE_MS; !give_up_in_transaction(limit_ns); limit_ns *= 2) {
    }
}

Test(lite_detach, a_query_of_a_whole_transaction) {
    open_table(NULL);
    for (int victim = 1; victim < 3; victim++) {
        quring_tx *tx = begin();
        lite_gate_close(GATE_SQL);
        quring_id ids[4] = {ask(tx, "insert into t values(101, 'a')"), ask(tx, "insert into t select 102, gate('b')"),
                            ask(tx, "insert into t values(103, 'c')"), commit(tx)};
        quring_tx_release(tx);
        reach_gate();
        give_up(ids[victim]);
        is_given_up(ids[victim], QURING_CANCELLED, victim == 1);
        if (victim == 1)
            is_behind(ids[2], ids[1]);
        is(ids[3], "SERVER_ERROR 57014");
        lite_gate_open();
        is(ids[0], "");
        if (victim == 2)
            is(ids[1], "");
        let_go();
        cr_assert_eq(row_count(), 0);
    }
}

/* What was to be taken back, and the rest, must not be taken back twice: the lane meets ROLLBACK TO and ROLLBACK behind it. */
Test(lite_detach, savepoints_behind_it) {
    open_table(NULL);
    quring_tx *tx = begin();
    lite_gate_close(GATE_SQL);
    quring_id ids[7] = {
        ask(tx, "insert into t values(101, 'a')"),
        ask(tx, "savepoint s"),
        ask(tx, "select gate(name) from t limit 1"),
        ask(tx, "insert into t values(103, 'c')"),
        ask(tx, "rollback to s"),
        ask(tx, "insert into t values(104, 'd')"),
    };
    ids[6] = commit(tx);
    reach_gate();
    give_up(ids[2]);
    is_given_up(ids[2], QURING_CANCELLED, true);
    for (int i = 3; i < 6; i++)
        is_behind(ids[i], ids[2]);
    is(ids[6], "SERVER_ERROR 57014");
    lite_gate_open();
    is(ids[0], "");
    is(ids[1], "");
    quring_tx_release(tx);
    let_go();
    cr_assert_eq(row_count(), 0);
}

Test(lite_detach, a_commit) {
    open_table(NULL);
    for (int victim = 0; victim < 2; victim++) {
        quring_tx *tx = begin();
        is(ask(tx, "insert into t values(101, 'a')"), "");
        quring_id insert = ask(tx, "insert into t values(102, 'b')");
        if (victim == 1)
            is(insert, "");
        lite_gate_close(GATE_WRITE);
        quring_id end = commit(tx);
        quring_tx_release(tx);
        reach_gate();
        if (victim == 0)
            give_up(insert);
        give_up(end);
        is_given_up(end, QURING_CANCELLED, true);
        lite_gate_open();
        if (victim == 0)
            is(insert, ""); /* it has been carried out, and ends with the commit */
        let_go();
        cr_assert_eq(row_count(), 2, "it was at its commit, which nothing stops");
        live_exec(&live, "delete from t where id > 100");
    }
}

/* Returns false if the limit had passed before the lane came to the gate. */
static bool outlast_transaction(uint64_t limit_ns, bool whole) {
    quring_tx *tx = begin_with(&(quring_tx_options){.timeout_ns = limit_ns});
    lite_gate_close(GATE_SQL);
    quring_id slow = ask(tx, "insert into t select 101, gate('a')");
    quring_id end = whole ? commit(tx) : 0;
    struct outcome outcome = wait_for(slow);
    bool at_gate = lite_gate_is_reached();
    if (at_gate)
        cr_assert(outcome.status == QURING_TIMEOUT && outcome.sent, "%s", outcome.text);
    is(whole ? end : commit(tx), "SERVER_ERROR 25P04");
    quring_tx_release(tx);
    let_go();
    cr_assert_eq(row_count(), 0);
    return at_gate;
}

Test(lite_detach, a_transaction_whose_time_is_over) {
    open_table(NULL);
    for (int whole = 0; whole < 2; whole++) {
        for (uint64_t limit_ns = LIVE_MS; !outlast_transaction(limit_ns, whole); limit_ns *= 2) {
        }
    }
}

/* What it has done is rolled back, so that nothing of it was sent, to its caller. */
Test(lite_detach, a_transaction_that_was_released) {
    open_table(NULL);
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        quring_tx *tx = begin();
        is(ask(tx, "insert into t values(101, 'a')"), "");
        lite_gate_close(GATE_SQL);
        quring_id slow = ask(tx, "insert into t select 102, gate('b')"), behind = ask(tx, "select 1");
        reach_gate();
        quring_tx_release(tx);
        if (cancelled)
            give_up(slow);
        struct outcome outcome = wait_for(slow);
        cr_assert_str_eq(outcome.text, "SKIPPED 57014");
        cr_assert(!outcome.sent && !outcome.failed_id);
        is(behind, "SKIPPED 57014");
        cr_assert_gt(inflight_count(), 0, "its lane has it");
        let_go();
        cr_assert_eq(row_count(), 0);
        live_exec(&live, "insert into t values(101, 'the writer is free')");
        live_exec(&live, "delete from t where id > 100");
    }
}

/* Its lane has carried them out, and the reactor has not heard of it: what is rolled back is not OK, given up by itself or not. */
Test(lite_detach, queries_that_ran_before_their_transaction_was_released) {
    open_table(NULL);
    quring_tx *tx = begin();
    is(ask(tx, "insert into t values(101, 'a')"), "");
    lite_gate_close(GATE_SQL);
    quring_id first = ask(tx, "insert into t values(102, 'b')"), second = ask(tx, "insert into t values(103, 'c')"),
              slow = ask(tx, "insert into t select 104, gate('d')");
    cr_assert_eq(quring_run(live.engine, 0, 0), 0);
    while (!lite_gate_is_reached())
        sched_yield();
    give_up(second);
    quring_tx_release(tx);
    lite_gate_open(); /* so that they come back, and are not left to the lane */
    is(first, "SKIPPED 57014");
    is(second, "CANCELLED 57014");
    is(slow, "SKIPPED 57014");
    let_go();
    cr_assert_eq(row_count(), 0);
}

Test(lite_detach, a_snapshot_that_is_too_old) {
    open_table(&(quring_db_options){.connection_count = 1, .durability = QURING_DURABILITY_OFF, .snapshot_ns = 1});
    quring_tx *tx = begin_with(&(quring_tx_options){.read_only = true});
    lite_gate_close(GATE_SQL);
    quring_id slow = ask(tx, "select gate(name) from t");
    reach_gate();
    quring_db_stats stats = {0};
    for (int i = 0; !stats.wal_held_count; i++) {
        cr_assert_lt(i, 100);
        is(ask(NULL, "with recursive i(i) as (select 101 union all select i + 1 from i where i < 1100) "
                     "insert or replace into t select i, randomblob(3500) from i"),
           "");
        quring_db_stats_get(live.db, &stats);
    }
    is_given_up(slow, QURING_TIMEOUT, true);
    is_committed(tx, "SERVER_ERROR 72000");
    let_go();
}

/* ---- Locks ---- */

/* The wait for another process's lock is another query's. */
Test(lite_detach, those_behind_one_that_waits_for_a_lock) {
    open_table(NULL);
    files_lock("a.db");
    quring_tx *tx = begin();
    quring_id first = ask(tx, "insert into t values(101, 'a')"), second = ask(tx, "insert into t values(102, 'b')");
    cr_assert_geq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    give_up(second);
    is(second, "CANCELLED 57014");
    quring_id end = commit(tx);
    quring_tx_release(tx);
    files_unlock();
    is(end, "SERVER_ERROR 57014");
    is(first, "");
    let_go();
    cr_assert_eq(row_count(), 0);
}

Test(lite_detach, a_batch_that_waits_for_a_lock) {
    open_table(NULL);
    files_lock("a.db");
    const quring_query queries[] = {{.db = live.db, .sql = "insert into t values(101, 'a')"},
                                    {.db = live.db, .sql = "insert into t values(102, 'b')"}};
    quring_id ids[2];
    cr_assert_eq(quring_submit_batch(live.engine, queries, 2, QURING_BATCH_ATOMIC, ids), 2);
    cr_assert_geq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    give_up(ids[1]);
    is(ids[1], "CANCELLED 57014");
    files_unlock();
    is_behind(ids[0], ids[1]);
    let_go();
    cr_assert_eq(row_count(), 0);
}

/* ---- Closing ---- */

Test(lite_detach, handles_and_engines_are_closed_around_it) {
    for (int released = 0; released < 2; released++) {
        open_table(NULL);
        quring_db *other = live_open_db(&live, "sqlite://", NULL);
        lite_gate_close(GATE_SQL);
        quring_id id = submit(&(quring_query){.sql = "select gate(name) from t"});
        reach_gate();
        give_up(id);
        quring_done done = live_wait(&live);
        if (released)
            live_release(&live, &done);
        quring_db_close(live.db);
        quring_id beside = submit(&(quring_query){.db = other, .sql = "select 1"});
        is(beside, "");
        cr_assert_eq(inflight_count(), 1);
        lite_gate_open();
        live_close(&live);
        live.engine = NULL;
        remove(files_path("a.db"));
        remove(files_path("a.db-wal"));
        remove(files_path("a.db-shm"));
    }
}

/* ---- Inboxes ---- */

static quring_done inbox_comes(quring_inbox *inbox, quring_id id) {
    quring_done done;
    while (quring_inbox_reap(inbox, &done, 1) == 0)
        cr_assert_geq(quring_run(live.engine, 1, LIVE_MS), 0);
    cr_assert_eq(done.id, id);
    return done;
}

Test(lite_detach, a_query_of_an_inbox) {
    open_table(NULL);
    for (int order = 0; order < 3; order++) {
        quring_inbox *inbox;
        quring_id id, next;
        const quring_query query = {.db = live.db,
                                    .sql = "select $1, gate(name) from t",
                                    .params = QURING_PARAMS(quring_text("a text of the program's own")),
                                    .order_key = 7};
        const quring_query simple = {.db = live.db, .sql = "select 1"};
        cr_assert_eq(quring_inbox_open(live.engine, &(quring_inbox_options){.query_count = 1}, &inbox), 0);
        lite_gate_close(GATE_SQL);
        cr_assert_eq(quring_inbox_submit(inbox, &query, &id), 0);
        cr_assert_geq(quring_run(live.engine, 0, 0), 0);
        reach_gate();
        cr_assert_eq(quring_inbox_cancel(inbox, id), 0);
        quring_done done = inbox_comes(inbox, id);
        cr_assert_eq(done.status, QURING_CANCELLED);
        cr_assert_str_eq(done.error->message, "cancelled");
        cr_assert(done.sent);
        if (order == 0) { /* closed as it is */
            quring_inbox_close(inbox);
            let_go();
            continue;
        }
        if (order == 1) {
            cr_assert_eq(quring_inbox_release(inbox, id), 0);
            cr_assert_eq(quring_inbox_release(inbox, id), QURING_ESTALE);
            cr_assert_eq(quring_inbox_cancel(inbox, id), QURING_ESTALE);
        }
        cr_assert_eq(quring_inbox_submit(inbox, &simple, &next), QURING_EFULL, "its slot is the lane's");
        let_go();
        if (order == 2)
            cr_assert_eq(quring_inbox_release(inbox, id), 0);
        cr_assert_eq(quring_inbox_submit(inbox, &simple, &next), 0);
        done = inbox_comes(inbox, next);
        live_check_ok(&done, "the slot is free");
        cr_assert_eq(quring_inbox_release(inbox, next), 0);
        quring_inbox_close(inbox);
    }
}
