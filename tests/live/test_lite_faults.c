/* SPDX-License-Identifier: MIT */
/* SQLite when things go wrong: locks of others, runaways, shutdown, full and corrupt files, a killed process. */
#include "lib/lite_files.h"

#include "base/rng.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct live live;

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite_faults, .init = files_begin, .fini = teardown);

/* What is not interrupted never ends, so that no test has to say how soon it must. */
static const char *const ENDLESS =
    "with recursive n(i) as (values(1) union all select i + 1 from n) select count(*) from n";

static void open_table(const quring_db_options *options) {
    files_open(&live, "a.db", options);
    live_exec(&live, "create table t(id integer primary key, a)");
}

/* ---- Locks of other processes ---- */

Test(lite_faults, a_lock_is_waited_for) {
    open_table(&(quring_db_options){.busy_timeout_ns = LIVE_STALL_NS});
    files_lock("a.db");
    live_submit(&live, &(quring_query){.sql = "insert into t(a) values(1)"});
    cr_assert_eq(quring_run(live.engine, 1, 100 * LIVE_MS), 0);
    files_unlock();
    quring_done done = live_wait(&live);
    live_check_ok(&done, "insert");
    live_release(&live, &done);
}

/* Returns how long a hundred writes waited for the lock, each in vain. */
static uint64_t wait_for_lock(quring_db *db) {
    uint64_t start = live_now_ns();
    for (int i = 0; i < 100; i++)
        live_submit(&live, &(quring_query){.db = db, .sql = "insert into t(a) values(1)", .commit = 1 + (i / 10) % 2});
    for (int i = 0; i < 100; i++) {
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_SERVER_ERROR, "55P03", "locked");
        cr_assert_neq(done.error->hint[0], 0);
        live_release(&live, &done);
    }
    return live_now_ns() - start;
}

/* One by one they would wait 55 times as long. A machine that is busy for that long is asked again, with more time. */
Test(lite_faults, a_lock_is_waited_for_so_long_and_by_all_together) {
    open_table(NULL);
    files_lock("a.db");
    bool together = false;
    for (uint64_t limit_ns = 300 * LIVE_MS; !together; limit_ns *= 2) {
        cr_assert_lt(limit_ns, LIVE_STALL_NS / 20, "they wait one by one");
        quring_db *db = live_open_db(&live, files_url("a.db"), &(quring_db_options){.busy_timeout_ns = limit_ns});
        uint64_t took = wait_for_lock(db);
        quring_db_close(db);
        cr_assert_gt(took, limit_ns / 6 * 5);
        together = took < 40 * limit_ns;
    }
    cr_assert_eq(live_int(&live, "select count(*) from t"), 0, "reading goes on");
    files_unlock();
    live_exec(&live, "insert into t(a) values(1)");
}

Test(lite_faults, a_timeout_ends_a_wait_for_a_lock) {
    open_table(&(quring_db_options){.busy_timeout_ns = 10 * LIVE_STALL_NS});
    files_lock("a.db");
    for (int i = 0; i < 10; i++) /* the first is in the lane's hands, and so are some behind it */
        live_submit(&live, &(quring_query){.sql = "insert into t(a) values(1)", .timeout_ns = 100 * LIVE_MS});
    for (int i = 0; i < 10; i++) {
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_TIMEOUT, "57014", "timeout");
        live_release(&live, &done);
    }
    files_unlock();
    cr_assert_eq(live_int(&live, "select count(*) from t"), 0);
}

/* None of them is long, but there are many, and each waits for the disk. */
Test(lite_faults, a_timeout_ends_a_wait_behind_many_writes) {
    open_table(NULL);
    for (int i = 0; i < 256; i++)
        live_submit(&live, &(quring_query){.sql = "insert into t(a) values(1)"});
    quring_run(live.engine, 1, LIVE_SECOND);
    for (uint64_t i = 0; i < 100; i++)
        live_submit(&live, &(quring_query){.sql = "insert into t(a) values(2)", .timeout_ns = 1 + i * 1000});
    live_drain(&live, NULL, NULL);
    cr_assert_leq(live_int(&live, "select count(*) from t where a = 2"), 100);
    for (int i = 0; i < 256; i++)
        live_submit(&live, &(quring_query){.sql = "insert into t(a) values(3)", .timeout_ns = 2 * LIVE_MS});
    live_drain(&live, NULL, NULL);
    cr_assert_leq(live_int(&live, "select count(*) from t where a = 3"), 256);
}

/* ---- Runaways ---- */

Test(lite_faults, a_runaway_ends_with_its_timeout) {
    open_table(&(quring_db_options){.connection_count = 1});
    for (int round = 0; round < 20; round++) {
        live_submit(&live, &(quring_query){.sql = ENDLESS, .timeout_ns = 20 * LIVE_MS});
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_TIMEOUT, "57014", "timeout");
        live_release(&live, &done);
        cr_assert_eq(live_int(&live, "select 42"), 42);
    }
}

/* While one reader is busy for ever, all others are served by the second, and none waits for the first. */
Test(lite_faults, a_runaway_does_not_block_the_reads_beside_it) {
    open_table(&(quring_db_options){.connection_count = 2});
    quring_id id = live_submit(&live, &(quring_query){.sql = ENDLESS, .user_data = 1});
    for (int i = 0; i < 2000; i++)
        live_submit(&live, &(quring_query){.sql = "select count(*) from t"});
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    uint32_t count = 0;
    while (count < 2000 && live_now_ns() < until) {
        quring_run(live.engine, 1, LIVE_SECOND);
        count += live_reap(&live, NULL, NULL);
    }
    cr_assert_eq(count, 2000);
    cr_assert_eq(quring_cancel(live.engine, id), 0);
    quring_done done = live_wait(&live);
    live_check_error(&done, QURING_CANCELLED, "57014", "cancelled");
    live_release(&live, &done);
}

/* With one reader there is nobody else; but whoever gave up need not wait for it. */
Test(lite_faults, those_behind_a_runaway_can_give_up) {
    open_table(&(quring_db_options){.connection_count = 1});
    quring_id id = live_submit(&live, &(quring_query){.sql = ENDLESS});
    for (int i = 0; i < 500; i++)
        live_submit(&live, &(quring_query){.sql = "select 1", .timeout_ns = 50 * LIVE_MS});
    for (int i = 0; i < 500; i++) {
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_TIMEOUT, "57014", "timeout");
        live_release(&live, &done);
    }
    quring_cancel(live.engine, id);
    live_drain(&live, NULL, NULL);
}

Test(lite_faults, a_runaway_write_in_a_group) {
    struct ledger ledger;
    open_table(&(quring_db_options){.durability = QURING_DURABILITY_OFF});
    ledger_init(&ledger, 200);
    for (uint64_t i = 0; i < 200; i++)
        live_submit(&live,
                    &(quring_query){.sql = i == 100 ? "insert into t(a) with recursive n(i) as (values(1) union all "
                                                      "select i + 1 from n) select count(*) from n"
                                                    : "insert into t(a) values('x')",
                                    .user_data = i,
                                    .commit = QURING_COMMIT_GROUP,
                                    .timeout_ns = i == 100 ? 50 * LIVE_MS : 0});
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(ledger.by_status[QURING_OK], 199);
    cr_assert_eq(ledger.status[100], QURING_TIMEOUT);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 199);
    ledger_free(&ledger);
}

/* ---- Closing ---- */

static void submit_mixed(uint64_t number) {
    static const char *const texts[] = {
        "insert into t(a) values($1) returning a", "select $1", "select $1",
        "with recursive n(i) as (values(1) union all select i + 1 from n where i < 20000) "
        "select $1 from n limit 1"};
    live_submit(&live, &(quring_query){.sql = texts[number % 4],
                                       .params = QURING_PARAMS(quring_int64((int64_t)live_identity(number))),
                                       .user_data = number,
                                       .commit = number % 3 ? QURING_COMMIT_EACH : QURING_COMMIT_GROUP});
}

static void shut_down_after(uint64_t run_ns, uint64_t grace_ns, uint32_t count) {
    struct ledger ledger;
    ledger_init(&ledger, count);
    for (uint64_t i = 0; i < count - 1; i++)
        submit_mixed(i);
    live_submit(&live, &(quring_query){.sql = ENDLESS, .user_data = count - 1}); /* however fast the others are */
    quring_run(live.engine, count, run_ns);
    cr_assert_geq(quring_shutdown(live.engine, grace_ns), 0);
    live_reap(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(quring_pending(live.engine), 0);
    cr_assert_eq(ledger.by_status[QURING_OK] + ledger.by_status[QURING_SHUTDOWN], count);
    cr_assert_gt(ledger.by_status[QURING_SHUTDOWN], 0);
    ledger_free(&ledger);
}

Test(lite_faults, shutdown_ends_all_at_once) {
    open_table(&(quring_db_options){.durability = QURING_DURABILITY_OFF});
    live_submit(&live, &(quring_query){.sql = ENDLESS, .timeout_ns = 0});
    quring_run(live.engine, 1, 20 * LIVE_MS);
    cr_assert_eq(quring_shutdown(live.engine, 0), 1);
    quring_done done = live_wait(&live);
    live_check_error(&done, QURING_SHUTDOWN, "57P01", "");
    live_release(&live, &done);
}

Test(lite_faults, shutdown_with_thousands_out) {
    open_table(&(quring_db_options){.durability = QURING_DURABILITY_OFF});
    shut_down_after(3 * LIVE_MS, 0, 3000);
}

Test(lite_faults, shutdown_with_grace) {
    open_table(&(quring_db_options){.durability = QURING_DURABILITY_OFF});
    shut_down_after(3 * LIVE_MS, 5 * LIVE_MS, 3000);
}

Test(lite_faults, closing_while_others_lock_and_statements_run) {
    open_table(&(quring_db_options){.busy_timeout_ns = 10 * LIVE_STALL_NS});
    files_lock("a.db");
    live_submit(&live, &(quring_query){.sql = "insert into t(a) values(1)"});
    for (int i = 0; i < 5; i++)
        live_submit(&live, &(quring_query){.sql = ENDLESS});
    quring_run(live.engine, 1, 20 * LIVE_MS);
    quring_engine_close(live.engine);
    live.engine = NULL;
    files_unlock();
}

Test(lite_faults, closing_one_handle_leaves_the_other) {
    open_table(NULL);
    struct live other = {.engine = live.engine, .db = live_open_db(&live, files_url("b.db"), NULL)};
    for (int i = 0; i < 100; i++) {
        live_submit(&other,
                    &(quring_query){.sql = i % 2 ? ENDLESS : "create table if not exists x(a)", .user_data = 1});
        live_submit(&live, &(quring_query){.sql = "insert into t(a) values(1)", .commit = QURING_COMMIT_GROUP});
    }
    quring_run(live.engine, 1, 10 * LIVE_MS);
    quring_db_close(other.db);
    live_drain(&live, NULL, NULL);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 100);
}

/* ---- Files ---- */

Test(lite_faults, a_full_disk) {
    open_table(&(quring_db_options){.durability = QURING_DURABILITY_OFF});
    live_exec(&live, "pragma max_page_count=20");
    uint64_t good = 0, full = 0;
    for (int i = 0; i < 100; i++)
        live_submit(&live, &(quring_query){.sql = "insert into t(a) values(zeroblob(3000))", .commit = 1 + i % 2});
    for (int i = 0; i < 100; i++) {
        quring_done done = live_wait(&live);
        good += done.status == QURING_OK;
        if (done.status != QURING_OK) {
            live_check_error(&done, QURING_SERVER_ERROR, "53100", "full");
            full++;
        }
        live_release(&live, &done);
    }
    cr_assert(good > 5 && full > 50);
    cr_assert_eq(live_int(&live, "select count(*) from t"), (int64_t)good);
    cr_assert_eq(live_exec(&live, "delete from t"), good);
    live_exec(&live, "insert into t(a) values('room again')");
}

Test(lite_faults, read_only) {
    open_table(NULL);
    live_exec(&live, "insert into t(a) values(1)");
    live_close(&live);
    live_open_url(&live, files_url_with("a.db", "?mode=ro"), NULL, NULL);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 1);
    quring_done done = live_run(&live, &(quring_query){.sql = "delete from t"});
    live_check_error(&done, QURING_SERVER_ERROR, "25006", "readonly");
    live_release(&live, &done);
    live_close(&live);
    if (geteuid() != 0) { /* root writes to any file */
        cr_assert_eq(chmod(files_path("a.db"), 0400), 0);
        files_open(&live, "a.db", NULL);
        cr_assert_eq(live_int(&live, "select count(*) from t"), 1);
        done = live_run(&live, &(quring_query){.sql = "delete from t"});
        live_check_error(&done, QURING_SERVER_ERROR, "25006", "readonly");
        live_release(&live, &done);
    }
}

Test(lite_faults, no_such_directory) {
    files_open(&live, "missing/a.db", NULL);
    for (int i = 0; i < 10; i++)
        live_submit(&live, &(quring_query){.sql = i % 2 ? "select 1" : "create table t(a)"});
    for (int i = 0; i < 10; i++) {
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_NOT_SENT, "08001", "unable to open database file");
        live_release(&live, &done);
    }
}

/* Every query on a damaged file has an answer; which one depends on the damage. */
static void query_damaged(const char *name, uint32_t counts[QURING_SHUTDOWN + 1]) {
    static const char *const texts[] = {"select count(*), sum(length(a)) from t",
                                        "select * from t where id = 77",
                                        "select a from t order by a limit 5",
                                        "insert into t(a) values('new')",
                                        "update t set a = a || 'x' where id % 10 = 0",
                                        "delete from t where id > 150",
                                        "pragma integrity_check",
                                        "select count(*) from t_a_is_no_table"};
    files_open(&live, name, &(quring_db_options){.connection_count = 1, .durability = QURING_DURABILITY_OFF});
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        live_submit(&live, &(quring_query){.sql = texts[i], .timeout_ns = LIVE_STALL_NS});
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        quring_done done = live_wait(&live);
        counts[done.status]++;
        live_release(&live, &done);
    }
    live_close(&live);
}

static void write_file(const char *name, const uint8_t *bytes, size_t size) {
    FILE *file = fopen(files_path(name), "w");
    cr_assert(file && fwrite(bytes, 1, size, file) == size);
    fclose(file);
}

Test(lite_faults, damaged_files) {
    static uint8_t bytes[1 << 20], damaged[1 << 20];
    uint32_t counts[QURING_SHUTDOWN + 1] = {0};
    struct rng rng = {5};
    open_table(NULL);
    live_exec(&live, "create index t_a on t(a)");
    live_exec(&live, "with recursive n(i) as (values(1) union all select i + 1 from n where i < 200) "
                     "insert into t select i, printf('%.*c', i, 'x') from n");
    live_close(&live);
    FILE *file = fopen(files_path("a.db"), "r");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    cr_assert(size > 8 * 4096 && size < sizeof bytes);
    uint32_t total = LIVE_SANITIZED ? 100 : 400;
    for (uint32_t i = 0; i < total; i++) {
        memcpy(damaged, bytes, size);
        for (uint64_t flips = rng_below(&rng, 8) + 1; flips; flips--) {
            uint64_t page = rng_below(&rng, size / 4096);
            uint64_t at = rng_below(&rng, 2) ? rng_below(&rng, 100) : rng_below(&rng, 4096);
            damaged[page * 4096 + at] ^= (uint8_t)(1 + rng_below(&rng, 255));
        }
        write_file("damaged.db", damaged, i % 10 ? size : rng_below(&rng, size));
        query_damaged("damaged.db", counts);
        unlink(files_path("damaged.db-wal"));
        unlink(files_path("damaged.db-shm"));
    }
    cr_assert_gt(counts[QURING_OK], 0);
    cr_assert_gt(counts[QURING_SERVER_ERROR], total);
    cr_assert_gt(counts[QURING_NOT_SENT], 0);
    cr_assert_eq(counts[QURING_IN_DOUBT] + counts[QURING_PROTOCOL] + counts[QURING_SHUTDOWN], 0);
}

/* ---- A killed process ---- */

/* Writes numbers for ever, and tells those whose completion it saw. */
static void write_until_killed(int told) {
    quring_engine *engine;
    quring_db *db;
    quring_done done[64];
    if (quring_engine_open(NULL, &engine) || quring_db_open(engine, files_url("a.db"), NULL, &db))
        _exit(1);
    for (uint64_t next = 1;;) {
        while (quring_pending(engine) < 64) {
            quring_param number = quring_int64((int64_t)next);
            quring_query q = {.db = db,
                              .sql = "insert into t values($1, 'x')",
                              .params = &number,
                              .param_count = 1,
                              .user_data = next++,
                              .commit = next % 3 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH};
            quring_submit(engine, &q, NULL);
        }
        quring_run(engine, 1, LIVE_SECOND);
        int n = quring_reap(engine, done, 64);
        for (int i = 0; i < n; i++) {
            uint64_t number = done[i].user_data;
            if (done[i].status == QURING_OK && write(told, &number, sizeof number) != sizeof number)
                _exit(1);
            quring_release(engine, done[i].id);
        }
    }
}

Test(lite_faults, what_was_acknowledged_survives_a_kill) {
    struct rng rng = {3};
    for (int round = 0; round < (LIVE_SANITIZED ? 5 : 20); round++) {
        open_table(NULL);
        live_close(&live);
        int told[2];
        cr_assert_eq(pipe(told), 0);
        pid_t pid = fork();
        if (pid == 0)
            write_until_killed(told[1]);
        close(told[1]);
        usleep((useconds_t)(20000 + rng_below(&rng, 150000)));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        uint64_t number, count = 0;
        files_open(&live, "a.db", NULL);
        while (read(told[0], &number, sizeof number) == sizeof number) {
            quring_done done = live_query(&live, "select id from t where id = $1", quring_int64((int64_t)number));
            live_check_ok(&done, "select");
            cr_assert_eq(quring_row_count(done.result), 1, "%llu was lost", (unsigned long long)number);
            live_release(&live, &done);
            count++;
        }
        close(told[0]);
        cr_assert_eq(live_int(&live, "select count(*) = max(id) or count(*) = 0 from t"), 1, "no gaps");
        live_close(&live);
        unlink(files_path("a.db"));
        (void)count;
    }
}
