/* SPDX-License-Identifier: MIT */
/*
 * Snapshots that keep SQLite's log from starting over: what is reported of them, and when they are ended. The number in the
 * log's own header that counts how often it started over is the oracle. And what they do to a file without a log.
 */
#include "lib/lite_files.h"
#include "lib/live_tx.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 16000, PAGE_BYTES = 4096 + 24, ROWS = 1000, ROUNDS_MAX = 200 };

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite_snapshot, .init = files_begin, .fini = teardown);

static void open_table(uint64_t snapshot_ns) {
    live_open_url(&live, files_url("a.db"), &(quring_options){.trace_count = 10000},
                  &(quring_db_options){.durability = QURING_DURABILITY_OFF, .snapshot_ns = snapshot_ns});
    live_exec(&live, "create table t(id integer primary key, data blob)");
    live_exec(&live, "insert into t values(-1, null)");
}

/* Each row has a page of its own. */
static void write_rows(void) {
    live_exec(&live, "with recursive i(i) as (select 1 union all select i + 1 from i where i < 1000) "
                     "insert or replace into t select i, randomblob(3500) from i");
}

/* How often the log has started over: sqlite.org/fileformat2.html, "The Write-Ahead Log". */
static uint32_t log_sequence(void) {
    char path[300];
    unsigned char header[32] = {0};
    snprintf(path, sizeof path, "%s-wal", files_path("a.db"));
    FILE *file = fopen(path, "rb");
    cr_assert(file);
    cr_assert_eq(fread(header, 1, sizeof header, file), sizeof header);
    fclose(file);
    return (uint32_t)header[12] << 24 | (uint32_t)header[13] << 16 | (uint32_t)header[14] << 8 | header[15];
}

static quring_db_stats stats_of(void) {
    quring_db_stats stats;
    quring_db_stats_get(live.db, &stats);
    return stats;
}

static void write_until_held(void) {
    uint64_t before = stats_of().wal_held_count;
    for (int i = 0; stats_of().wal_held_count == before; i++) {
        cr_assert_lt(i, ROUNDS_MAX, "%u pages", stats_of().wal_page_count);
        write_rows();
    }
}

static void write_until_over(uint32_t sequence) {
    for (int i = 0; log_sequence() == sequence; i++) {
        cr_assert_lt(i, ROUNDS_MAX, "%u pages", stats_of().wal_page_count);
        write_rows();
    }
}

static uint32_t held_events(void) {
    quring_event events[64];
    uint32_t count = 0;
    int taken;
    while ((taken = quring_trace(live.engine, events, 64)) > 0)
        for (int i = 0; i < taken; i++) {
            if (events[i].kind != QURING_EVENT_WAL_HELD)
                continue;
            count++;
            cr_assert_eq(events[i].connection, 1);
            cr_assert(strstr(events[i].message, "pages"), "%s", events[i].message);
        }
    return count;
}

Test(lite_snapshot, one_without_a_limit_is_reported) {
    open_table(QURING_FOREVER);
    quring_tx *tx = begin_with(&(quring_tx_options){.read_only = true});
    cr_assert_eq(stats_of().snapshot_ns, 0);
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1);
    uint32_t sequence = log_sequence();
    usleep(20000);
    write_until_held();
    quring_db_stats stats = stats_of();
    cr_assert_geq(stats.wal_page_count, PAGES);
    cr_assert_geq(stats.snapshot_ns, 20 * LIVE_MS);
    cr_assert_eq(held_events(), stats.wal_held_count);
    quring_db_info info;
    quring_db_status(live.db, &info);
    cr_assert_str_eq(info.message, "", "it is no reason of a failure");
    write_until_held();
    cr_assert_eq(log_sequence(), sequence);
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1);
    end_with_commit(tx, "");
    write_until_over(sequence);
    cr_assert_eq(stats_of().snapshot_ns, 0);
    cr_assert_lt(stats_of().wal_page_count, PAGES);
}

Test(lite_snapshot, one_that_is_too_old_is_ended) {
    open_table(5 * LIVE_MS);
    quring_tx *tx = begin_with(&(quring_tx_options){.read_only = true}),
              *busy = begin_with(&(quring_tx_options){.read_only = true});
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1);
    cr_assert_eq(ask_int(busy, "select count(*) from t"), 1);
    uint32_t sequence = log_sequence();
    usleep(10000);
    write_rows();
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1, "the log is short");
    write_until_held();
    ends_as(tx, "select 1", "SKIPPED 72000");
    end_with_commit(tx, "SERVER_ERROR 72000");
    end_with_commit(busy, "SERVER_ERROR 72000");
    write_until_over(sequence);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 1 + ROWS);
}

/* The handle that has the snapshot writes nothing itself. */
Test(lite_snapshot, one_that_is_too_old_is_ended_where_another_handle_writes) {
    open_table(0);
    quring_db *other = live_open_db(&live, files_url("a.db"), &(quring_db_options){.snapshot_ns = LIVE_MS});
    quring_tx *tx;
    cr_assert_eq(quring_tx_open(other, &(quring_tx_options){.read_only = true, .idle_timeout_ns = QURING_FOREVER}, &tx),
                 0);
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1);
    uint32_t sequence = log_sequence();
    write_until_held();
    quring_db_stats stats;
    do {
        quring_run(live.engine, 1, LIVE_MS);
        quring_db_stats_get(other, &stats);
    } while (stats.snapshot_ns);
    cr_assert_geq(stats.wal_held_count, 1);
    ends_as(tx, "select 1", "SKIPPED 72000");
    end_with_commit(tx, "SERVER_ERROR 72000");
    write_until_over(sequence);
}

/*
 * Another process takes the lock that who checkpoints has: sqlite.org/walformat.html, "WAL_CKPT_LOCK". It waits for it, because
 * the writer's lane may be about it. It ends with the pipe.
 */
static pid_t lock_checkpoints(int *told) {
    char path[300], byte = 0;
    int ready[2], ends[2];
    snprintf(path, sizeof path, "%s-shm", files_path("a.db"));
    cr_assert(pipe(ready) == 0 && pipe(ends) == 0);
    pid_t other = fork();
    if (other == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 121, .l_len = 1};
        close(ends[1]);
        bool locked = fcntl(open(path, O_RDWR | O_CLOEXEC), F_SETLKW, &lock) == 0 && write(ready[1], &byte, 1) == 1;
        _exit(locked && read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ready[1]);
    close(ends[0]);
    *told = ends[1];
    cr_assert(other > 0 && read(ready[0], &byte, 1) == 1, "the other process did not get the lock");
    close(ready[0]);
    return other;
}

Test(lite_snapshot, a_checkpoint_of_another_program_is_no_read) {
    open_table(1);
    quring_tx *tx = begin_with(&(quring_tx_options){.read_only = true});
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1);
    int told, status;
    pid_t other = lock_checkpoints(&told);
    for (int i = 0; stats_of().wal_page_count < PAGES + 2000; i++) {
        cr_assert_lt(i, ROUNDS_MAX, "%u pages", stats_of().wal_page_count);
        write_rows();
    }
    cr_assert_eq(stats_of().wal_held_count, 0);
    cr_assert_eq(held_events(), 0);
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 1, "it keeps nothing from starting over");
    close(told);
    cr_assert(waitpid(other, &status, 0) == other && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    write_until_held();
    end_with_commit(tx, "SERVER_ERROR 72000");
}

/* Which is later than its end for the program, where its lane has to wait for a processor. */
static void wait_until_handed_back(void) {
    quring_stats stats = {.inflight_count = 1};
    while (stats.inflight_count) {
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
        quring_stats_get(live.engine, &stats);
    }
}

/* What runs is interrupted; what it had is what the rule of failure says. */
Test(lite_snapshot, one_that_runs_is_ended) {
    open_table(1);
    quring_tx *tx = begin_with(&(quring_tx_options){.read_only = true});
    uint32_t sequence = log_sequence(), endings = 0;
    quring_id endless = 0;
    quring_query query = {.tx = tx,
                          .sql =
                              "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n, "
                              "(select count(*) from t)",
                          .user_data = 7};
    cr_assert_eq(quring_submit(live.engine, &query, &endless), 0);
    for (int i = 0; i < ROUNDS_MAX && (!endings || log_sequence() == sequence); i++) {
        uint32_t out = 1;
        if (endings)
            wait_until_handed_back();
        else if (log_sequence() != sequence) { /* its lane has not begun yet: nothing kept the log */
            sequence = log_sequence();
            i = 0;
        }
        live_submit(&live,
                    &(quring_query){.sql = "with recursive i(i) as (select 1 union all select i + 1 from i where "
                                           "i < 1000) insert or replace into t select i, randomblob(3500) from i"});
        while (out) {
            quring_done done = live_wait(&live);
            bool is_endless = done.id == endless;
            cr_assert_eq(done.status, is_endless ? QURING_TIMEOUT : QURING_OK, "%s", quring_status_name(done.status));
            endings += is_endless;
            out -= !is_endless;
            live_release(&live, &done);
        }
    }
    cr_assert_eq(endings, 1);
    cr_assert_neq(log_sequence(), sequence);
    end_with_commit(tx, "SERVER_ERROR 72000");
}

/* ---- Snapshots that overlap ---- */

static off_t log_bytes(void) {
    struct stat status;
    char path[300];
    snprintf(path, sizeof path, "%s-wal", files_path("a.db"));
    cr_assert_eq(stat(path, &status), 0);
    return status.st_size;
}

/* True: the query has ended, so its snapshot is there. False: it waits for the log. */
static bool has_begun(quring_id id, uint64_t wait_count) {
    quring_done done;
    while (quring_reap(live.engine, &done, 1) == 0) {
        if (stats_of().wal_wait_count != wait_count)
            return false;
        quring_run(live.engine, 1, LIVE_MS);
    }
    cr_assert_eq(done.id, id);
    live_check_ok(&done, "the first query of a snapshot");
    live_release(&live, &done);
    return true;
}

/* A snapshot ends when the next has begun, or waits, so there is one at each moment in which there may be one. */
Test(lite_snapshot, those_that_overlap_wait_for_a_long_log) {
    open_table(0);
    quring_tx *older = begin_with(&(quring_tx_options){.read_only = true});
    cr_assert_eq(ask_int(older, "select count(*) from t"), 1);
    uint32_t sequence = log_sequence();
    int started_over = 0;
    for (int i = 0; started_over < 3; i++) {
        cr_assert_lt(i, ROUNDS_MAX, "%u pages", stats_of().wal_page_count);
        write_rows();
        started_over += log_sequence() != sequence;
        sequence = log_sequence();
        cr_assert_lt(log_bytes(), 4 * PAGES * PAGE_BYTES);
        uint64_t wait_count = stats_of().wal_wait_count;
        quring_tx *younger = begin_with(&(quring_tx_options){.read_only = true});
        quring_id id = ask(younger, "select count(*) from t");
        bool begun = has_begun(id, wait_count);
        end_with_commit(older, "");
        if (!begun)
            ends(id, "");
        older = younger;
    }
    cr_assert_geq(stats_of().wal_wait_count, 3);
    end_with_commit(older, "");
}

/* ---- A file that is not in WAL mode ---- */

/* As another program leaves it. */
static void make_file_with_journal(void) {
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(files_path("a.db"), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "pragma journal_mode=delete; create table t(n)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
}

Test(lite_snapshot, one_keeps_writes_waiting_and_they_say_why) {
    make_file_with_journal();
    files_open(&live, "a.db", &(quring_db_options){.busy_timeout_ns = 20 * LIVE_MS});
    quring_tx *tx = begin_with(&(quring_tx_options){.read_only = true});
    cr_assert_eq(ask_int(tx, "select count(*) from t"), 0);
    for (int i = 0; i < 2; i++) {
        ask(NULL, "insert into t values(1)");
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_SERVER_ERROR, "55P03", "not in WAL mode");
        cr_assert(strstr(done.error->hint, "read_only"), "%s", done.error->hint);
        live_release(&live, &done);
    }
    quring_tx *writer = begin();
    ends_as(writer, "insert into t values(1)", "");
    quring_id end = commit(writer);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, end);
    live_check_error(&done, QURING_SERVER_ERROR, "55P03", "not in WAL mode");
    live_release(&live, &done);
    quring_tx_release(writer);
    end_with_commit(tx, "");
    live_exec(&live, "insert into t values(2)");
    cr_assert_eq(live_int(&live, "select count(*) from t"), 1);
    done = live_query(&live, "pragma journal_mode");
    const char *mode = NULL;
    cr_assert_eq(quring_get_text(done.result, 0, 0, &mode, NULL), 0);
    cr_assert_str_eq(mode, "wal");
    live_release(&live, &done);
}
