/* SPDX-License-Identifier: MIT */
/*
 * ATOMIC batches on SQLite files, with the lanes' threads. What another connection of SQLite's own finds in the file is the
 * oracle, and not what the batch's completions say.
 */
#include "lib/batches.h"
#include "lib/lite_files.h"
#include "lib/live_tx.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT_OF(array) (uint32_t)(sizeof(array) / sizeof *(array))

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite_atomic, .init = files_begin, .fini = teardown);

static void open_table(const quring_db_options *options) {
    files_open(&live, "a.db", options);
    live_script(&live, "create table t(id integer primary key, n integer not null default 0);\n"
                       "insert into t(id) values(1), (2)");
}

/* Of the file, as another connection sees it. */
static int64_t found(const char *sql) {
    sqlite3 *handle;
    sqlite3_stmt *statement;
    cr_assert_eq(sqlite3_open(files_path("a.db"), &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 60000);
    cr_assert_eq(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL), SQLITE_OK, "%s", sqlite3_errmsg(handle));
    cr_assert_eq(sqlite3_step(statement), SQLITE_ROW, "%s", sqlite3_errmsg(handle));
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return value;
}

static int64_t rows(void) {
    return found("select count(*) from t");
}

/* ---- Ends ---- */

Test(lite_atomic, all_or_none) {
    static const char *const good[] = {"insert into t values(10, 0)", "insert into t values(11, 0)",
                                       "update t set n = n + 1 where id = 10 returning n", "select count(*) from t"};
    static const char *const bad[] = {"insert into t values(20, 0)", "insert into t values(1, 0)",
                                      "insert into t values(21, 0)"};
    static const char *const fatal[] = {"insert into t values(20, 0)", "insert into t values(666, 0)",
                                        "insert into t values(21, 0)"};
    open_table(NULL);
    live_exec(&live, "create trigger fatal before insert on t when new.id = 666 begin "
                     "select raise(rollback, 'it ends SQLite''s transaction'); end");
    for (int round = 0; round < 3; round++) {
        batch_assert(batch_texts(&live, good, COUNT_OF(good)), "OK; OK; OK; OK");
        cr_assert_eq(rows(), 4);
        batch_assert(batch_texts(&live, bad, COUNT_OF(bad)),
                     "SKIPPED 23505 by 2; SERVER_ERROR 23505; SKIPPED 23505 by 2");
        batch_assert(batch_texts(&live, fatal, COUNT_OF(fatal)),
                     "SKIPPED P0001 by 2; SERVER_ERROR P0001; SKIPPED P0001 by 2");
        cr_assert_eq(rows(), 4);
        live_exec(&live, "delete from t where id >= 10");
    }
}

/* PostgreSQL has none of these. */
Test(lite_atomic, members_in_words_of_sqlite) {
    static const char *const texts[] = {"insert or ignore into t values(1, 7)", "replace into t values(2, 8)",
                                        "insert or replace into t values(30, 9)",
                                        "update or ignore t set id = 1 where id = 2"};
    static const char *const fails[] = {"insert or ignore into t values(40, 0)",
                                        "insert or fail into t values(41, 0), (1, 0)"};
    open_table(NULL);
    batch_assert(batch_texts(&live, texts, COUNT_OF(texts)), "OK; OK; OK; OK");
    cr_assert_eq(found("select sum(id * 100 + n) from t"), 3300 + 8 + 9);
    batch_assert(batch_texts(&live, fails, COUNT_OF(fails)), "SKIPPED 23505 by 2; SERVER_ERROR 23505");
    cr_assert_eq(rows(), 3);
}

Test(lite_atomic, members_run_in_their_order) {
    enum { COUNT = 10 };
    quring_query queries[COUNT] = {{0}};
    quring_param params[COUNT];
    struct batch_run run;
    open_table(NULL);
    for (int i = 0; i < COUNT; i++) {
        params[i] = quring_int64(i);
        queries[i] = (quring_query){
            .sql = "update t set n = n * 3 + $1 where id = 1 returning n", .params = &params[i], .param_count = 1};
    }
    batch_begin(&live, &run, queries, COUNT, 100);
    int64_t expected = 0, n;
    for (int i = 0; i < COUNT; i++) {
        quring_done done = live_wait(&live);
        expected = expected * 3 + i;
        live_check_ok(&done, "a member");
        cr_assert_eq(done.user_data, 100u + (unsigned)i);
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &n), 0);
        cr_assert_eq(n, expected);
        live_release(&live, &done);
    }
    cr_assert_eq(found("select n from t where id = 1"), expected);
}

/* The constraint is judged at the commit: it is no member's error, and every member's end. */
Test(lite_atomic, a_deferred_constraint_fails_all_of_them) {
    static const char *const texts[] = {"insert into child values(77)", "insert into t values(50, 0)", "select 1"};
    static const char *const mended[] = {"insert into child values(50)", "insert into t values(50, 0)"};
    open_table(NULL);
    live_exec(&live, "pragma foreign_keys=on");
    live_exec(&live, "create table child(t integer references t(id) deferrable initially deferred)");
    batch_assert(batch_texts(&live, texts, 3), "SERVER_ERROR 23503; SERVER_ERROR 23503; SERVER_ERROR 23503");
    cr_assert_eq(rows(), 2);
    cr_assert_eq(found("select count(*) from child"), 0);
    batch_assert(batch_texts(&live, mended, 2), "OK; OK");
    cr_assert_eq(found("select count(*) from child join t on t = id"), 1);
}

/* ---- Who else has the lock ---- */

static const char *const inserts[] = {"insert into t values(80, 0)", "insert into t values(81, 0)",
                                      "insert into t values(82, 0)"};
static const char *const later[] = {"insert into t values(90, 0)", "insert into t values(91, 0)"};

Test(lite_atomic, another_process_has_the_lock) {
    open_table(&(quring_db_options){.busy_timeout_ns = 20 * LIVE_MS});
    files_lock("a.db");
    batch_assert(batch_texts(&live, inserts, 3), "SERVER_ERROR 55P03; SERVER_ERROR 55P03; SERVER_ERROR 55P03");
    files_unlock();
    cr_assert_eq(rows(), 2);
    batch_assert(batch_texts(&live, inserts, 3), "OK; OK; OK");
    cr_assert_eq(rows(), 5);
}

Test(lite_atomic, it_waits_until_another_process_lets_go) {
    struct batch_run run;
    open_table(NULL);
    files_lock("a.db");
    batch_begin_texts(&live, &run, inserts, 3);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    files_unlock();
    batch_assert(batch_end(&live, &run), "OK; OK; OK");
    cr_assert_eq(rows(), 5);
}

/* The lane's hands are full of a write that waits for a lock, a transaction is next, and batches stand in the queue. */
Test(lite_atomic, a_member_is_cancelled_while_a_transaction_reserves_the_lane) {
    struct batch_run given_up, stays;
    open_table(&(quring_db_options){.busy_timeout_ns = 300 * LIVE_SECOND});
    files_lock("a.db");
    quring_id write = ask(NULL, "insert into t values(3, 0)");
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    quring_tx *tx = begin();
    quring_id first = ask(tx, "insert into t select 4, count(*) from t");
    cr_assert_eq(quring_run(live.engine, 0, 0), 0);
    batch_begin_texts(&live, &given_up, inserts, 3);
    batch_begin_texts(&live, &stays, later, 2);
    cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    cr_assert_eq(quring_cancel(live.engine, given_up.ids[1]), 0);
    batch_assert(batch_end(&live, &given_up), "SKIPPED 57014 by 2; CANCELLED 57014; SKIPPED 57014 by 2");
    files_unlock();
    ends(write, "");
    ends(first, "");
    cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0, "the transaction holds the lane");
    end_with_commit(tx, "");
    batch_assert(batch_end(&live, &stays), "OK; OK");
    cr_assert_eq(found("select sum(id) from t"), 1 + 2 + 3 + 4 + 90 + 91);
    cr_assert_eq(found("select n from t where id = 4"), 3, "before the batch, whose turn came later");
}

/* The same where a transaction holds it, and one where the batch itself waits for the lock, in the lane's hands. */
Test(lite_atomic, a_member_is_cancelled_behind_a_transaction_and_in_the_lanes_hands) {
    struct batch_run run;
    open_table(&(quring_db_options){.busy_timeout_ns = 300 * LIVE_SECOND});
    quring_tx *tx = begin();
    ends_as(tx, "insert into t values(3, 0)", "");
    batch_begin_texts(&live, &run, inserts, 3);
    cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    cr_assert_eq(quring_cancel(live.engine, run.ids[2]), 0);
    batch_assert(batch_end(&live, &run), "SKIPPED 57014 by 3; SKIPPED 57014 by 3; CANCELLED 57014");
    end_with_commit(tx, "");
    cr_assert_eq(rows(), 3);
    files_lock("a.db");
    batch_begin_texts(&live, &run, inserts, 3);
    cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    tx = begin();
    quring_id first = ask(tx, "insert into t values(4, 0)");
    cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    cr_assert_eq(quring_cancel(live.engine, run.ids[1]), 0);
    files_unlock();
    uint32_t ok = 0, ended = 0;
    for (bool began = false; ended < 3 || !began;) { /* the others may go on without it */
        quring_done done = live_wait(&live);
        began |= done.id == first;
        ok += done.id != first && done.status == QURING_OK;
        ended += done.id != first;
        live_release(&live, &done);
    }
    end_with_commit(tx, "");
    cr_assert_eq(rows(), ok ? 7 : 4);
}

/* The lane has it in its hands, and waits for the lock that another process does not let go of: for the batch, or for a group before it. */
static void begin_behind_the_lock(struct batch_run *run, bool behind_a_group) {
    open_table(&(quring_db_options){.busy_timeout_ns = QURING_FOREVER});
    files_lock("a.db");
    for (int i = 0; i < 2 && behind_a_group; i++)
        live_submit(&live, &(quring_query){.sql = later[i], .commit = QURING_COMMIT_GROUP});
    batch_begin_texts(&live, run, inserts, 3);
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
}

Test(lite_atomic, a_member_is_cancelled_while_another_process_has_the_lock) {
    struct batch_run run;
    for (int group = 0; group < 2; group++) {
        begin_behind_the_lock(&run, group);
        cr_assert_eq(quring_cancel(live.engine, run.ids[1]), 0);
        batch_assert(batch_end(&live, &run), "SKIPPED 57014 by 2; CANCELLED 57014; SKIPPED 57014 by 2");
        files_unlock();
        for (int i = 0; i < 2 && group; i++) {
            quring_done done = live_wait(&live);
            live_check_ok(&done, "of the group before it");
            live_release(&live, &done);
        }
        live_exec(&live, "insert into t values(3, 0)");
        cr_assert_eq(rows(), group ? 5 : 3);
        live_exec(&live, "drop table t");
        live_close(&live);
    }
}

/* What comes behind it and needs no lock need not wait for one. The batch behind that does. */
static void give_up_before_others(const struct batch_run *run) {
    struct batch_run stays;
    quring_id pragma = ask(NULL, "pragma user_version");
    batch_begin_texts(&live, &stays, later, 2);
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    cr_assert_eq(quring_cancel(live.engine, run->ids[2]), 0);
    batch_assert(batch_end(&live, run), "SKIPPED 57014 by 3; SKIPPED 57014 by 3; CANCELLED 57014");
    ends(pragma, "");
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0, "the other batch waits for the lock");
    files_unlock();
    batch_assert(batch_end(&live, &stays), "OK; OK");
    cr_assert_eq(rows(), 4);
}

Test(lite_atomic, a_batch_that_is_given_up_waits_for_no_lock) {
    struct batch_run run;
    begin_behind_the_lock(&run, false);
    give_up_before_others(&run);
}

/* The batch waits for a read to end, so that the file's mode can be changed before it begins. */
Test(lite_atomic, a_batch_that_is_given_up_does_not_wait_to_change_the_mode_of_the_file) {
    struct batch_run run;
    sqlite3 *handle;
    cr_assert_eq(sqlite3_open(files_path("a.db"), &handle), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(handle, "create table t(id integer primary key, n integer)", NULL, NULL, NULL),
                 SQLITE_OK);
    sqlite3_close(handle);
    files_open(&live, "a.db", &(quring_db_options){.busy_timeout_ns = QURING_FOREVER});
    quring_id read =
        ask(NULL, "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c");
    cr_assert_eq(quring_run(live.engine, 1, 50 * LIVE_MS), 0);
    batch_begin_texts(&live, &run, inserts, 3);
    quring_id pragma = ask(NULL, "pragma user_version");
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    cr_assert_eq(quring_cancel(live.engine, run.ids[0]), 0);
    batch_assert(batch_end(&live, &run), "CANCELLED 57014; SKIPPED 57014 by 1; SKIPPED 57014 by 1");
    ends(pragma, "");
    cr_assert_eq(quring_cancel(live.engine, read), 0);
    ends(read, "CANCELLED 57014");
    batch_assert(batch_texts(&live, inserts, 3), "OK; OK; OK");
    cr_assert_eq(rows(), 3);
}

Test(lite_atomic, the_engine_is_shut_down_while_another_process_has_the_lock) {
    struct batch_run run;
    for (int group = 0; group < 2; group++) {
        begin_behind_the_lock(&run, group);
        cr_assert_eq(quring_shutdown(live.engine, LIVE_MS), group ? 5 : 3);
        quring_done done;
        while (quring_reap(live.engine, &done, 1) == 1) {
            cr_assert(done.status == QURING_SHUTDOWN || done.status == QURING_SKIPPED, "%s",
                      quring_status_name(done.status));
            cr_assert_not(done.sent);
            live_release(&live, &done);
        }
        live_close(&live);
        files_unlock();
        cr_assert_eq(rows(), 2);
        files_open(&live, "a.db", NULL);
        live_exec(&live, "drop table t");
        live_close(&live);
    }
}

Test(lite_atomic, ends_with_the_handle) {
    struct batch_run run;
    open_table(&(quring_db_options){.busy_timeout_ns = 300 * LIVE_SECOND});
    for (int held = 0; held < 2; held++) {
        quring_tx *tx = held ? begin() : NULL;
        if (held)
            ends_as(tx, "insert into t values(3, 0)", "");
        else
            files_lock("a.db");
        batch_begin_texts(&live, &run, inserts, 3);
        cr_assert_eq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
        quring_db_close(live.db);
        for (int i = 0; i < 3; i++) {
            quring_done done = live_wait(&live);
            cr_assert(done.status == QURING_SHUTDOWN || done.status == QURING_SKIPPED, "%s",
                      quring_status_name(done.status));
            live_release(&live, &done);
        }
        if (held)
            quring_tx_release(tx);
        else
            files_unlock();
        live_close(&live);
        files_open(&live, "a.db", NULL);
        cr_assert_eq(rows(), 2);
    }
}

/* ---- Thousands, and a program that is killed among them ---- */

enum { BATCHES = 4000, MEMBERS = 8, AT_ONCE = 30, OTHERS = 7 };

/* Shared with the parent: what was acknowledged before the kill. */
struct told {
    uint32_t count;
    uint8_t as[BATCHES]; /* 0: nothing yet; 1: all members are OK; 2: none is */
};

struct running {
    uint32_t size, ended, ok;
    bool fails;
};

static uint32_t size_of(uint32_t batch) {
    return 1 + (uint32_t)(live_identity(batch) % MEMBERS);
}

/* The row of batch -1 is there already. */
static void begin_batch(uint32_t batch, struct running *running) {
    quring_query queries[MEMBERS] = {{0}};
    quring_param params[MEMBERS][2];
    *running = (struct running){.size = size_of(batch), .fails = live_identity(batch) / MEMBERS % 8 == 0};
    for (uint32_t i = 0; i < running->size; i++) {
        bool fails = running->fails && i == running->size / 2;
        params[i][0] = quring_int64(fails ? -1 : (int64_t)batch);
        params[i][1] = quring_int64(fails ? 0 : (int64_t)i);
        queries[i] = (quring_query){.db = live.db,
                                    .sql = "insert into log values($1, $2)",
                                    .params = params[i],
                                    .param_count = 2,
                                    .user_data = (uint64_t)batch * MEMBERS + i + 1};
    }
    int taken = quring_submit_batch(live.engine, queries, running->size, QURING_BATCH_ATOMIC, NULL);
    cr_assert_eq(taken, (int)running->size, "%s", quring_errmsg(live.engine));
}

static void open_log(void) {
    files_open(&live, "a.db", &(quring_db_options){.durability = QURING_DURABILITY_OFF});
    live_exec(&live, "create table if not exists log(batch integer, member integer, primary key(batch, member))");
    live_exec(&live, "create table if not exists other(n integer)");
    live_exec(&live, "insert or ignore into log values(-1, 0)");
}

static void begin_other(uint32_t number) {
    if (number % 2) {
        live_submit(&live, &(quring_query){.sql = "insert into other values(1)", .commit = QURING_COMMIT_GROUP});
        return;
    }
    quring_tx *tx = begin();
    for (int i = 0; i < 2; i++)
        live_submit(&live, &(quring_query){.db = live.db, .tx = tx, .sql = "insert into other values(2)"});
    cr_assert_eq(quring_commit(tx, 0, NULL), 0);
    quring_tx_release(tx);
}

static void note_member(const quring_done *done, struct running *all, struct told *told) {
    uint32_t batch = (uint32_t)((done->user_data - 1) / MEMBERS);
    struct running *running = &all[batch];
    running->ok += done->status == QURING_OK;
    if (++running->ended < running->size)
        return;
    cr_assert_eq(running->ok, running->fails ? 0 : running->size, "batch %u of %u members", batch, running->size);
    told->as[batch] = running->ok ? 1 : 2;
    __atomic_store_n(&told->count, told->count + 1, __ATOMIC_RELEASE);
}

static void run_batches(struct told *told) {
    static struct running all[BATCHES];
    uint32_t begun = 0;
    while (told->count < BATCHES) {
        quring_done done;
        for (; begun < BATCHES && begun - told->count < AT_ONCE; begun++) {
            begin_batch(begun, &all[begun]);
            if (begun % OTHERS == 0)
                begin_other(begun);
        }
        cr_assert_geq(quring_run(live.engine, 1, LIVE_SECOND), 0);
        while (quring_reap(live.engine, &done, 1) == 1) {
            if (done.user_data)
                note_member(&done, all, told);
            else
                live_check_ok(&done, "another write");
            live_release(&live, &done);
        }
    }
}

/* Each is there as a whole, or not at all, as the program was told; `whole`: the program was told of all. */
static void check_log(const struct told *told, bool whole) {
    sqlite3 *handle;
    sqlite3_stmt *statement;
    uint32_t present = 0;
    cr_assert_eq(sqlite3_open(files_path("a.db"), &handle), SQLITE_OK);
    int code = sqlite3_prepare_v2(handle, "select count(*) from log where batch = ?", -1, &statement, NULL);
    cr_assert_eq(code, SQLITE_OK);
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        sqlite3_bind_int64(statement, 1, batch);
        cr_assert_eq(sqlite3_step(statement), SQLITE_ROW, "%s", sqlite3_errmsg(handle));
        uint32_t count = (uint32_t)sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
        cr_assert(count == 0 || count == size_of(batch), "batch %u: %u of %u", batch, count, size_of(batch));
        cr_assert(told->as[batch] != 1 || count, "batch %u was acknowledged, and is lost", batch);
        cr_assert(told->as[batch] != 2 || !count, "batch %u failed, and is there", batch);
        cr_assert(told->as[batch] || !whole);
        present += count > 0;
    }
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    cr_assert_geq(present, told->count / 2);
}

Test(lite_atomic, thousands_of_a_program_that_is_killed) {
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(told, MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        open_log();
        run_batches(told);
        for (;;)
            pause();
    }
    while (__atomic_load_n(&told->count, __ATOMIC_ACQUIRE) < BATCHES / 2)
        usleep(100);
    int status;
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status));
    check_log(told, false);
    cr_assert_eq(found("select count(*) from other where n = 2") % 2, 0, "a transaction has two");
    munmap(told, sizeof *told);
}

Test(lite_atomic, thousands_to_their_end) {
    static struct told told;
    open_log();
    run_batches(&told);
    live_drain(&live, NULL, NULL);
    check_log(&told, true);
}
