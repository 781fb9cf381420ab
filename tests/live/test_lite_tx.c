/* SPDX-License-Identifier: MIT */
/* Transactions of quring_tx_open() on SQLite, with its threads. */
#include "lib/lite_files.h"
#include "lib/live_tx.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite_tx, .init = files_begin, .fini = teardown);

static void open_table(const quring_db_options *options) {
    files_open(&live, "a.db", options);
    live_exec(&live, "create table t(id integer primary key, n integer not null default 0)");
}

static int64_t row_count(void) {
    return live_int(&live, "select count(*) from t");
}

/* ---- From begin to end ---- */

Test(lite_tx, all_of_it_at_once) {
    open_table(NULL);
    quring_tx *tx = begin();
    quring_id ids[3] = {ask(tx, "insert into t values(1, 0)"), ask(tx, "insert into t values(2, 0)"), commit(tx)};
    quring_tx_release(tx);
    for (int i = 0; i < 3; i++)
        ends(ids[i], "");
    cr_assert_eq(row_count(), 2);
}

Test(lite_tx, one_that_is_rolled_back) {
    open_table(NULL);
    quring_tx *tx = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    cr_assert_eq(row_count(), 0, "others do not see it");
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1, "it does");
    quring_id id;
    cr_assert_eq(quring_rollback(tx, 0, &id), 0);
    ends(id, "");
    quring_tx_release(tx);
    tx = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    quring_tx_release(tx);
    tx = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    end_with_commit(tx, "");
    cr_assert_eq(row_count(), 1);
}

Test(lite_tx, one_without_queries) {
    open_table(NULL);
    end_with_commit(begin(), "");
    quring_tx_release(begin());
}

Test(lite_tx, a_failure_and_what_stands_behind_it) {
    open_table(NULL);
    for (int whole = 0; whole < 2; whole++) {
        quring_tx *tx = begin();
        quring_id ids[4] = {ask(tx, "insert into t values(1, 0)"), ask(tx, "select nope"),
                            ask(tx, "insert into t values(2, 0)")};
        if (whole)
            ids[3] = commit(tx);
        ends(ids[0], "");
        ends(ids[1], "SERVER_ERROR 42703");
        ends_behind(ids[2], ids[1]);
        if (!whole) {
            ends_behind(ask(tx, "insert into t values(3, 0)"), ids[1]);
            ids[3] = commit(tx);
        }
        ends(ids[3], "SERVER_ERROR 42703");
        quring_tx_release(tx);
        cr_assert_eq(row_count(), 0);
    }
}

Test(lite_tx, savepoints) {
    static const struct tx_step steps[] = {
        {"insert into t values(1, 0)", ""},
        {"savepoint a", ""},
        {"insert into t values(2, 0)", ""},
        {"savepoint b", ""},
        {"insert into t values(1, 0)", "SERVER_ERROR 23505"},
        {"insert into t values(3, 0)", "SKIPPED 23505"},
        {"release savepoint b", "SKIPPED 23505"},
        {"rollback to savepoint b", ""},
        {"insert into t values(4, 0)", ""},
        {"release b", ""},
        {"rollback to a", ""},
        {"insert into t values(5, 0)", ""},
        {"COMMIT", ""},
    };
    enum { COUNT = sizeof steps / sizeof *steps };
    open_table(NULL);
    for (int whole = 0; whole < 2; whole++) {
        take_steps(steps, COUNT, whole);
        cr_assert_eq(live_int(&live, "select group_concat(id, '') from t"), 15);
        live_exec(&live, "delete from t");
    }
}

Test(lite_tx, savepoints_that_are_not_there) {
    open_table(NULL);
    quring_tx *tx = begin();
    ends_as(tx, "savepoint a", "");
    ends_as(tx, "rollback to b", "SERVER_ERROR 3B001");
    ends_as(tx, "select 1", "SKIPPED 3B001");
    ends_as(tx, "rollback to a", "");
    ends_as(tx, "release c", "SERVER_ERROR 3B001");
    end_with_commit(tx, "SERVER_ERROR 3B001");
}

/* ON CONFLICT ROLLBACK takes the savepoints with it. */
Test(lite_tx, an_error_that_ends_all_of_it) {
    open_table(NULL);
    live_exec(&live, "insert into t values(1, 0)");
    for (int whole = 0; whole < 2; whole++) {
        quring_tx *tx = begin();
        quring_id ids[5] = {ask(tx, "savepoint a"), ask(tx, "insert into t values(2, 0)"),
                            ask(tx, "insert or rollback into t values(1, 0)"), ask(tx, "rollback to a")};
        ids[4] = whole ? commit(tx) : ask(tx, "insert into t values(3, 0)");
        ends(ids[0], "");
        ends(ids[1], "");
        ends(ids[2], "SERVER_ERROR 23505");
        ends(ids[3], "SERVER_ERROR 3B001");
        ends(ids[4], whole ? "SERVER_ERROR 23505" : "SKIPPED 23505");
        quring_tx_release(tx);
        cr_assert_eq(row_count(), 1);
    }
}

Test(lite_tx, a_commit_that_fails) {
    open_table(NULL);
    live_exec(&live, "pragma foreign_keys=on");
    live_exec(&live, "create table child(t integer references t(id) deferrable initially deferred)");
    for (int whole = 0; whole < 2; whole++) {
        quring_tx *tx = begin();
        quring_id first = ask(tx, "insert into child values(77)");
        if (!whole)
            ends(first, "");
        quring_id last = commit(tx);
        if (whole)
            ends(first, "");
        ends(last, "SERVER_ERROR 23503");
        quring_tx_release(tx);
        cr_assert_eq(live_int(&live, "select count(*) from child"), 0);
        live_exec(&live, "insert into t default values");
    }
}

/* ---- Who else runs ---- */

Test(lite_tx, others_wait_for_the_writer_and_reads_do_not) {
    open_table(NULL);
    quring_tx *tx = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    quring_id write = ask(NULL, "insert into t values(2, 0)");
    quring_tx *other = begin();
    quring_id insert = ask(other, "insert into t values(3, 0)");
    cr_assert_eq(row_count(), 0);
    ends_as(tx, "insert into t values(4, 0)", "");
    quring_id end = commit(tx);
    quring_tx_release(tx);
    ends(end, "");
    ends(write, "");
    ends(insert, "");
    end_with_commit(other, "");
    cr_assert_eq(row_count(), 4);
}

/* From its first turn on, though its lane gets the query when it is free. */
Test(lite_tx, the_wait_for_the_writer_counts) {
    open_table(NULL);
    quring_tx *tx = begin(), *other = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    quring_id waits[2] = {ask(other, "insert into t values(2, 0)")};
    quring_run(live.engine, 0, 0);
    waits[1] = ask(other, "insert into t values(3, 0)");
    quring_run(live.engine, 0, 0);
    usleep(40000);
    end_with_commit(tx, "");
    for (int i = 0; i < 2; i++)
        ends(waits[i], "");
    end_with_commit(other, "");
    quring_db_stats stats;
    quring_db_stats_get(live.db, &stats);
    uint64_t long_count = 0;
    for (uint32_t i = 16; i < QURING_WAIT_BUCKETS; i++) /* from 2^15 us on */
        long_count += stats.wait_count[i];
    cr_assert_geq(long_count, 2, "%u", (unsigned)long_count);
    cr_assert_eq(stats.retry_count, 0);
}

Test(lite_tx, many_that_hold_the_writer_and_shared_writes_take_turns) {
    enum { COUNT = 20 };
    quring_tx *txs[COUNT];
    open_table(&(quring_db_options){.durability = QURING_DURABILITY_OFF});
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < COUNT; i++) {
            txs[i] = begin();
            ask(txs[i], "insert into t(n) values(1)");
            live_submit(&live, &(quring_query){.sql = "insert into t(n) values(2)",
                                               .commit = i % 2 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH});
        }
        for (int i = 0; i < 2 * COUNT; i++) { /* each that holds the lane must commit before the next gets it */
            quring_done done = live_wait(&live);
            live_check_ok(&done, "insert");
            live_release(&live, &done);
            for (int j = 0; i == 0 && j < COUNT; j++) {
                commit(txs[j]);
                quring_tx_release(txs[j]);
            }
        }
        live_drain(&live, NULL, NULL);
    }
    cr_assert_eq(row_count(), 20 * 2 * COUNT);
}

Test(lite_tx, a_snapshot_stays) {
    open_table(&(quring_db_options){.connection_count = 1});
    quring_tx *txs[3];
    for (int i = 0; i < 3; i++) {
        txs[i] = begin_with(&(quring_tx_options){.read_only = true});
        cr_assert_eq(ask_int(txs[i], "select count(*) from t"), i);
        live_exec(&live, "insert into t default values");
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask_int(txs[i], "select count(*) from t"), i);
    cr_assert_eq(row_count(), 3);
    ends_as(txs[0], "insert into t default values", "SERVER_ERROR 25006");
    end_with_commit(txs[0], "SERVER_ERROR 25006");
    end_with_commit(txs[1], "");
    quring_tx_release(txs[2]);
    quring_tx *whole = begin_with(&(quring_tx_options){.read_only = true});
    quring_id read = ask(whole, "select 1"), write = ask(whole, "with x as (select 1) insert into t select 9, 9"),
              end = commit(whole);
    quring_tx_release(whole);
    ends(read, "");
    ends(write, "SERVER_ERROR 25006");
    ends(end, "SERVER_ERROR 25006");
    cr_assert_eq(row_count(), 3);
}

Test(lite_tx, as_many_that_only_read_as_the_limit_says) {
    open_table(&(quring_db_options){.connection_count = 1, .lease_count = 2});
    quring_tx *txs[4];
    quring_id ids[4];
    for (int i = 0; i < 4; i++) {
        txs[i] = begin_with(&(quring_tx_options){.read_only = true});
        ids[i] = ask(txs[i], "select count(*) from t");
        if (i < 2)
            ends(ids[i], "");
    }
    cr_assert_eq(row_count(), 0);
    end_with_commit(txs[1], "");
    ends(ids[2], "");
    quring_tx_release(txs[0]);
    ends(ids[3], "");
    end_with_commit(txs[2], "");
    end_with_commit(txs[3], "");
}

Test(lite_tx, those_that_only_read_have_lanes_beside_as_many_readers_as_may_be) {
    open_table(&(quring_db_options){.connection_count = 63});
    quring_tx *tx = begin_with(&(quring_tx_options){.read_only = true});
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 0);
    end_with_commit(tx, "");
}

Test(lite_tx, one_lane_suffices) {
    live_open_url(&live, "sqlite://", NULL, NULL);
    live_exec(&live, "create table t(id integer primary key, n integer not null default 0)");
    quring_tx *tx = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    quring_id read = ask(NULL, "select 1");
    quring_tx *reader = begin_with(&(quring_tx_options){.read_only = true});
    quring_id first = ask(reader, "select count(*) from t");
    end_with_commit(tx, "");
    ends(read, "");
    ends(first, "");
    ends_as(reader, "insert into t values(2, 0)", "SERVER_ERROR 25006");
    end_with_commit(reader, "SERVER_ERROR 25006");
    cr_assert_eq(row_count(), 1);
}

/* ---- What a transaction may not leave ---- */

Test(lite_tx, settings_stay_as_they_are) {
    open_table(NULL);
    quring_tx *tx = begin();
    ends_as(tx, "pragma foreign_keys=on", "SERVER_ERROR 0A000");
    quring_tx_release(tx);
    tx = begin();
    ends_as(tx, "pragma synchronous=off", "SERVER_ERROR 0A000");
    quring_tx_release(tx);
    tx = begin();
    ends_as(tx, "create temp table x(a)", "SERVER_ERROR 0A000");
    quring_tx_release(tx);
    tx = begin();
    ends_as(tx, "attach ':memory:' as b", "SERVER_ERROR 0A000");
    quring_tx_release(tx);
    tx = begin();
    ends_as(tx, "vacuum", "SERVER_ERROR 25001");
    quring_tx_release(tx);
    cr_assert_eq(live_int(&live, "pragma foreign_keys"), 0);
    tx = begin();
    ends_as(tx, "pragma defer_foreign_keys=on", "");
    ends_as(tx, "pragma user_version=5", "");
    ends_as(tx, "pragma table_info(t)", "");
    cr_assert_eq(ask_int(tx, "pragma user_version"), 5);
    quring_tx_release(tx);
    cr_assert_eq(live_int(&live, "pragma user_version"), 0);
    cr_assert_eq(live_int(&live, "pragma defer_foreign_keys"), 0);
    quring_id id;
    cr_assert_eq(quring_submit(live.engine, &(quring_query){.db = live.db, .sql = "savepoint a"}, &id),
                 QURING_EUNSUPPORTED);
}

/* ---- Giving up ---- */

static const char *const LONG =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

Test(lite_tx, a_query_that_is_cancelled) {
    open_table(NULL);
    for (int whole = 0; whole < 2; whole++) {
        quring_tx *tx = begin();
        quring_id ids[4] = {ask(tx, "insert into t values(1, 0)"), ask(tx, LONG), ask(tx, "select 1")};
        if (whole)
            ids[3] = commit(tx);
        ends(ids[0], "");
        cr_assert_eq(quring_cancel(live.engine, ids[1]), 0);
        ends(ids[1], "CANCELLED 57014");
        ends_behind(ids[2], ids[1]);
        if (!whole)
            ids[3] = commit(tx);
        ends(ids[3], "SERVER_ERROR 57014");
        quring_tx_release(tx);
        cr_assert_eq(row_count(), 0);
    }
}

Test(lite_tx, one_that_is_released_while_a_query_of_it_runs) {
    open_table(NULL);
    for (int reads = 0; reads < 2; reads++) {
        quring_tx *tx = begin_with(&(quring_tx_options){.read_only = reads});
        ends_as(tx, reads ? "select 1" : "insert into t values(1, 0)", "");
        quring_id endless = ask(tx, LONG);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
        quring_tx_release(tx);
        ends_behind(endless, 0);
        ends_as(NULL, "insert into t(n) values(1)", "");
    }
    cr_assert_eq(row_count(), 2);
}

/* Returns false if the time was over before its first query had ended. */
static bool times_out(uint64_t timeout_ns, bool whole) {
    quring_tx *tx = begin_with(&(quring_tx_options){.timeout_ns = timeout_ns});
    quring_id ids[3] = {ask(tx, "insert into t values(1, 0)"), ask(tx, LONG)};
    if (whole)
        ids[2] = commit(tx);
    quring_done done = live_wait(&live);
    bool in_time = done.status == QURING_OK;
    cr_assert(done.id == ids[0] || !in_time);
    live_release(&live, &done);
    if (in_time)
        ends(ids[1], "TIMEOUT 57014");
    else
        live_release(&live, (quring_done[]){live_wait(&live)});
    if (!whole)
        ids[2] = commit(tx);
    ends(ids[2], "SERVER_ERROR 25P04");
    quring_tx_release(tx);
    cr_assert_eq(row_count(), 0);
    return in_time;
}

Test(lite_tx, timeouts) {
    open_table(NULL);
    for (int whole = 0; whole < 2; whole++) {
        for (uint64_t timeout_ns = 30 * LIVE_MS; !times_out(timeout_ns, whole); timeout_ns *= 2) {
        }
    }
    quring_tx *holder = begin(), *waiter = begin_with(&(quring_tx_options){.timeout_ns = 30 * LIVE_MS});
    ends_as(holder, "insert into t values(1, 0)", "");
    ends_as(waiter, "insert into t values(2, 0)", "SKIPPED 25P04");
    quring_tx_release(waiter);
    end_with_commit(holder, "");
    quring_tx *idle = begin_with(&(quring_tx_options){.idle_timeout_ns = 10 * LIVE_MS});
    ends_as(idle, "insert into t values(3, 0)", "");
    live_exec(&live, "insert into t values(4, 0)");
    ends_as(idle, "select 1", "SKIPPED 25P03");
    end_with_commit(idle, "SERVER_ERROR 25P03");
    cr_assert_eq(live_int(&live, "select group_concat(id, '') from t"), 14);
}

Test(lite_tx, a_lock_of_another_program) {
    files_open(&live, "a.db", &(quring_db_options){.busy_timeout_ns = 20 * LIVE_MS});
    live_exec(&live, "create table t(id integer primary key, n integer not null default 0)");
    files_lock("a.db");
    for (int whole = 0; whole < 2; whole++) {
        quring_tx *tx = begin();
        quring_id id = ask(tx, "insert into t values(1, 0)"), end = whole ? commit(tx) : 0;
        ends_behind(id, 0);
        if (!whole)
            end = commit(tx);
        ends(end, "SERVER_ERROR 55P03");
        quring_tx_release(tx);
    }
    live.db = live_open_db(&live, files_url("a.db"), NULL); /* which waits until it is cancelled */
    quring_tx *tx = begin();
    quring_id id = ask(tx, "insert into t values(1, 0)");
    quring_run(live.engine, 0, 0);
    cr_assert_eq(quring_cancel(live.engine, id), 0);
    ends(id, "CANCELLED 57014");
    quring_tx_release(tx);
    files_unlock();
    tx = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    end_with_commit(tx, "");
}

Test(lite_tx, a_file_that_is_replaced_in_the_middle) {
    open_table(NULL);
    for (int reads = 0; reads < 2; reads++) {
        quring_tx *tx = begin_with(&(quring_tx_options){.read_only = reads});
        quring_id failed;
        ends_as(tx, reads ? "select count(*) from t" : "insert into t values(1, 0)", "");
        char to[300];
        snprintf(to, sizeof to, "%s.old%d", files_path("a.db"), reads);
        cr_assert_eq(rename(files_path("a.db"), to), 0);
        usleep(120000); /* a reader looks ten times a second */
        ends(failed = ask(tx, "select count(*) from t"), "SERVER_ERROR 58P01");
        ends_behind(ask(tx, "select count(*) from t"), failed);
        end_with_commit(tx, "SERVER_ERROR 58P01");
        quring_tx *next = begin();
        if (reads) { /* the writer has not noticed */
            ends_as(next, "select 1", "NOT_SENT 58P01");
            end_with_commit(next, "NOT_SENT 58P01");
            next = begin();
        }
        ends_as(next, "create table t(id integer primary key, n integer not null default 0)", "");
        end_with_commit(next, "");
        cr_assert_eq(row_count(), 0);
    }
}

Test(lite_tx, ends_with_the_handle) {
    open_table(NULL);
    quring_tx *held = begin(), *waits = begin(), *reads = begin_with(&(quring_tx_options){.read_only = true}),
              *idle = begin();
    ends_as(held, "insert into t values(1, 0)", "");
    ends_as(reads, "select 1", "");
    ask(held, LONG);
    ask(held, "select 1");
    ask(waits, "insert into t values(2, 0)");
    commit(waits);
    ask(reads, LONG);
    quring_run(live.engine, 0, 0);
    quring_db_close(live.db);
    for (int i = 0; i < 5; i++) {
        quring_done done = live_wait(&live);
        cr_assert_eq(done.status, QURING_SHUTDOWN, "%s", quring_status_name(done.status));
        live_release(&live, &done);
    }
    quring_id id;
    cr_assert_eq(quring_commit(held, 0, &id), QURING_ESHUTDOWN);
    quring_tx_release(held);
    quring_tx_release(waits);
    quring_tx_release(idle);
    live_close(&live);
    files_open(&live, "a.db", NULL);
    cr_assert_eq(row_count(), 0);
}

/* Another connection gets the write lock at once. */
static bool lock_is_free(void) {
    sqlite3 *handle;
    cr_assert_eq(sqlite3_open(files_path("a.db"), &handle), SQLITE_OK);
    bool is_free = sqlite3_exec(handle, "begin immediate; rollback", NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(handle);
    return is_free;
}

Test(lite_tx, shutdown_lets_go_of_the_lock) {
    open_table(NULL);
    for (int how = 0; how < 3; how++) { /* idle, failed behind a savepoint, at work */
        quring_tx *held = begin(), *reads = begin_with(&(quring_tx_options){.read_only = true}), *waits = begin();
        ends_as(held, how == 1 ? "savepoint a" : "insert into t values(1, 0)", "");
        ends_as(reads, "select count(*) from t", "");
        cr_assert(!lock_is_free());
        ask(waits, "insert into t values(2, 0)");
        if (how == 1)
            ends_as(held, "select nope", "SERVER_ERROR 42703");
        if (how == 2)
            ask(held, LONG);
        cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
        int waiting = quring_shutdown(live.engine, how == 0 ? LIVE_STALL_NS : 0);
        cr_assert_eq(waiting, how == 2 ? 2 : 1);
        cr_assert(lock_is_free(), "%d", how);
        for (int i = 0; i < waiting; i++) {
            quring_done done = live_wait(&live);
            cr_assert_eq(done.status, QURING_SHUTDOWN, "%s", quring_status_name(done.status));
            live_release(&live, &done);
        }
        cr_assert_eq(quring_commit(held, 0, NULL), QURING_ESHUTDOWN);
        quring_tx_release(held);
        quring_tx_release(waits);
        live_close(&live);
        files_open(&live, "a.db", NULL);
        cr_assert_eq(row_count(), 0);
    }
}

/* The query that is at work ends by the shutdown, and leaves a transaction that ROLLBACK TO could revive. */
Test(lite_tx, shutdown_lets_go_of_the_lock_behind_a_savepoint) {
    open_table(NULL);
    quring_tx *tx = begin();
    ends_as(tx, "insert into t values(1, 0)", "");
    ends_as(tx, "savepoint a", "");
    quring_id id = ask(tx, LONG);
    cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    cr_assert_eq(quring_shutdown(live.engine, 0), 1);
    cr_assert(lock_is_free());
    ends(id, "SHUTDOWN 57P01");
    quring_tx_release(tx);
    live_close(&live);
    files_open(&live, "a.db", NULL);
    cr_assert_eq(row_count(), 0);
}

/* ---- Tokens ---- */

Test(lite_tx, a_token_is_written_with_commit) {
    open_table(NULL);
    live_exec(&live, "create table commits(token text primary key, committed boolean not null, "
                     "at text not null default current_timestamp)");
    quring_tx_options options = {.resolve = QURING_RESOLVE_TOKEN, .token_table = "commits"};
    for (int whole = 0; whole < 2; whole++) {
        char sql[160];
        quring_tx *tx = begin_with(&options);
        snprintf(sql, sizeof sql, "select count(*) from commits where token = '%s' and committed", quring_tx_token(tx));
        quring_id id = ask(tx, "insert into t(n) values(0)");
        if (!whole)
            ends(id, "");
        quring_id end = commit(tx);
        quring_tx_release(tx);
        if (whole)
            ends(id, "");
        ends(end, "");
        cr_assert_eq(live_int(&live, sql), 1);
        tx = begin_with(&options);
        ends_as(tx, "insert into t(n) values(0)", "");
        quring_tx_release(tx);
    }
    cr_assert(row_count() == 2 && live_int(&live, "select count(*) from commits") == 2);
    options.read_only = true;
    quring_tx *tx = begin_with(&options);
    cr_assert_str_eq(quring_tx_token(tx), "");
    cr_assert_eq(ask_int(tx, "select count(*) from commits"), 2);
    end_with_commit(tx, "");
}

Test(lite_tx, a_token_that_can_not_be_written_fails_the_transaction) {
    open_table(NULL);
    for (int whole = 0; whole < 2; whole++) {
        quring_tx *tx =
            begin_with(&(quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = "main.\"no where\""});
        quring_id id = ask(tx, "insert into t(n) values(0)");
        if (!whole)
            ends(id, "");
        quring_id end = commit(tx);
        quring_tx_release(tx);
        if (whole)
            ends(id, "");
        quring_done done = live_wait(&live);
        cr_assert_eq(done.id, end);
        live_check_error(&done, QURING_SERVER_ERROR, "42P01", "no such table");
        cr_assert_str_eq(done.error->detail, "the row of token_table could not be written");
        const char *made = strstr(done.error->hint, "create table main.\"no where\" (");
        cr_assert(made, "%s", done.error->hint);
        live_release(&live, &done);
        cr_assert_eq(row_count(), 0);
    }
}

/* What the hint says makes the table that is missing. */
Test(lite_tx, a_token_that_can_not_be_written_tells_what_is_missing) {
    open_table(NULL);
    quring_tx_options options = {.resolve = QURING_RESOLVE_TOKEN, .token_table = "commits"};
    char sql[300];
    quring_tx *tx = begin_with(&options);
    ends_as(tx, "insert into t(n) values(0)", "");
    quring_id end = commit(tx);
    quring_tx_release(tx);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, end);
    snprintf(sql, sizeof sql, "%s", strstr(done.error->hint, "create table"));
    live_release(&live, &done);
    live_exec(&live, sql);
    tx = begin_with(&options);
    ends_as(tx, "insert into t(n) values(0)", "");
    end_with_commit(tx, "");
    cr_assert_eq(live_int(&live, "select count(*) from commits where committed"), 1);
    cr_assert_eq(row_count(), 1);
}
