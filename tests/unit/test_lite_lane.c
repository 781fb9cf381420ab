/* SPDX-License-Identifier: MIT */
/* The backend with its lanes, whose jobs run here and now: runs of reads, moving, giving back, abandoning. */
#include "lib/lite_fixture.h"
#include "lite/text.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(lane, .init = lite_setup, .fini = lite_teardown);

static const char *const LONG = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000000) "
                                "select count(*) from n";

/* ---- Reads ---- */

static atomic_bool writer_stop;

static void *write_on(void *path) {
    sqlite3 *other;
    sqlite3_open(path, &other);
    sqlite3_busy_timeout(other, 5000);
    sqlite3_exec(other, "pragma synchronous=off", NULL, NULL, NULL);
    while (!atomic_load(&writer_stop))
        sqlite3_exec(other, "insert into t values(1)", NULL, NULL, NULL);
    sqlite3_close(other);
    return NULL;
}

/* While somebody else writes on: the counts of one run are all the same, and go up from one run to the next. */
Test(lane, reads_of_one_run_see_one_snapshot) {
    open_file(&(quring_db_options){.connection_count = 1, .depth = 40});
    must("create table t(a)");
    pthread_t thread;
    pthread_create(&thread, NULL, write_on, (void *)bed_path(&bed, "a.db"));
    int64_t before = 0, changes = 0;
    uint32_t kept = bed.query_count;
    while (changes < 5) { /* as long as it takes for the writer to come between */
        struct query *queries[40];
        bed_reuse(&bed, kept);
        for (int i = 0; i < 40; i++)
            queries[i] = submit("select count(*) from t");
        bed_drain(&bed);
        int64_t count = bed_int(queries[0], 0, 0);
        for (int i = 1; i < 40; i++)
            cr_assert_eq(bed_int(queries[i], 0, 0), count);
        cr_assert_geq(count, before);
        changes += count != before;
        before = count;
        usleep(2000);
    }
    atomic_store(&writer_stop, true);
    pthread_join(thread, NULL);
}

Test(lane, one_error_spares_the_run) {
    open_file(NULL);
    must("create table t(a)");
    struct query *queries[30];
    for (int i = 0; i < 30; i++)
        queries[i] = submit(i % 3 == 1 ? "select abs(-9223372036854775808)" : i % 3 == 2 ? "select nope" : "select 7");
    bed_drain(&bed);
    for (int i = 0; i < 30; i++) {
        if (i % 3 == 0)
            cr_assert_eq(bed_int(queries[i], 0, 0), 7);
        else
            bed_check(queries[i], QURING_SERVER_ERROR, i % 3 == 1 ? "22003" : "42703", "");
    }
    cr_assert_not(lite_conn_in_transaction(&lane(1)->conn));
}

Test(lane, more_than_depth_and_reports) {
    open_file(&(quring_db_options){.connection_count = 1, .depth = 100});
    struct query *queries[400];
    for (int i = 0; i < 400; i++)
        queries[i] = bed_submit(&bed, bed_ask(&bed, "select $1", quring_int64(i)));
    bed_drain(&bed);
    for (int i = 0; i < 400; i++)
        cr_assert_eq(bed_int(queries[i], 0, 0), i);
    cr_assert_eq(lite()->reads_count, 0);
    cr_assert_eq(bed.db->counters.prepare_count, 1);
}

/* ---- Moving to the writer ---- */

/* Nobody knows such a text, but SQLite has the last word: one that was sent to a reader for a read is sent on. */
Test(lane, a_write_that_did_not_look_like_one_moves_once) {
    open_file(&(quring_db_options){.connection_count = 1});
    must("create table t(a)");
    uint64_t before = bed.db->counters.prepare_count;
    struct query *first = bed_query(&bed, "insert into t values(1)", NULL, 0);
    first->statement->route = LITE_TO_READER;
    bed_submit(&bed, first);
    bed_drain(&bed);
    bed_check(first, QURING_OK, "", "");
    cr_assert_eq(bed.db->counters.prepare_count - before, 2, "by the reader and by the writer");
    must("insert into t values(1)");
    cr_assert_eq(bed.db->counters.prepare_count - before, 2, "the hint remembers");
    cr_assert_eq(number("select count(*) from t"), 2);
}

/* At first use, too: nobody else may come between, and no reader be waited for. */
Test(lane, writes_run_in_order_whatever_they_begin_with) {
    open_file(&(quring_db_options){.connection_count = 1});
    must("create table t(id integer primary key, a)");
    uint64_t before = bed.db->counters.prepare_count;
    submit("with x(a) as (select 'first') insert into t(a) select a from x");
    submit("insert into t(a) values('second')");
    submit("/* WITH */ with x as (select 'third' as a) replace into t(a) select a from x");
    submit("insert into t(a) values('fourth')");
    submit("with x as (select 4 as id) update t set a = 'last' where id in (select id from x)");
    bed_drain(&bed);
    cr_assert_eq(bed.db->counters.prepare_count - before, 5, "none was prepared by a reader first");
    cr_assert_str_eq(bed_text(exec("select group_concat(a) from t"), 0, 0), "first,second,third,last");
}

Test(lane, statements_of_one_text_order_keep_it) {
    open_file(NULL);
    struct query *create = submit("create table t(a)"), *insert = submit("insert into t values(1)"),
                 *update = submit("update t set a = 2");
    bed_drain(&bed);
    bed_check(create, QURING_OK, "", "");
    bed_check(insert, QURING_OK, "", "");
    cr_assert_eq(update->result.affected_count, 1);
}

Test(lane, what_changes_the_file_runs_beside_readers) {
    open_file(&(quring_db_options){.connection_count = 2});
    must("create table t(a)");
    must("insert into t values(1)");
    cr_assert_eq(number("select count(*) from t"), 1);
    struct query *grouped = submit_group("insert into t values(2)"), *vacuum = submit_group("vacuum"),
                 *version = submit_group("pragma user_version=5"), *last = submit_group("insert into t values(3)");
    bed_drain(&bed);
    bed_check(grouped, QURING_OK, "", "");
    bed_check(vacuum, QURING_OK, "", "");
    bed_check(version, QURING_OK, "", "");
    bed_check(last, QURING_OK, "", "");
    cr_assert_eq(number("pragma user_version"), 5);
    cr_assert_eq(number("select count(*) from t"), 3);
}

/* ---- Long statements ---- */

static void (*lane_pause)(struct lite_watch *watch);
static struct query *victims[8];
static uint32_t seen_queued, seen_stuck, pauses;

static void look_and_pause(struct lite_watch *watch) {
    if (pauses++ == 0)
        for (int i = 0; i < 8 && victims[i]; i++)
            lite_backend.abandon(victims[i], QURING_TIMEOUT);
    lane_pause(watch);
    seen_queued = lane_queue_count(&lite()->reads);
    seen_stuck += lane(1)->shared.phase == LANE_STUCK;
}

static void look_at(uint32_t index) {
    lane_pause = lane(index)->conn.watch.pause;
    lane(index)->conn.watch.pause = look_and_pause;
}

Test(lane, a_long_read_gives_its_neighbours_away) {
    open_file(&(quring_db_options){.connection_count = 2, .depth = 64});
    must("create table t(a)");
    look_at(1);
    struct query *slow = submit(LONG), *quick[15];
    for (int i = 0; i < 15; i++)
        quick[i] = submit("select 5");
    bed_drain(&bed);
    cr_assert_gt(pauses, 0);
    cr_assert_gt(seen_stuck, 0);
    cr_assert_eq(seen_queued, 15);
    cr_assert_eq(lane(1)->shared.phase, LANE_IDLE);
    cr_assert_eq(bed_int(slow, 0, 0), 3000000);
    for (int i = 0; i < 15; i++)
        cr_assert_eq(bed_int(quick[i], 0, 0), 5);
    cr_assert_eq(lite()->reads.held_count, 0);
}

static sqlite3 *locking;

static void look_and_unlock(struct lite_watch *watch) {
    lane_pause(watch);
    pauses++;
    cr_assert_eq(lane(1)->shared.phase, LANE_LATE);
    cr_assert_not(lite_lane_holds(lane(1)));
    cr_assert_not(lite_lane_attends(lane(1)));
    sqlite3_exec(locking, "rollback", NULL, NULL, NULL);
}

Test(lane, a_reader_that_a_lock_keeps_from_opening_leaves_the_queue_to_others) {
    sqlite3_open(bed_path(&bed, "a.db"), &locking);
    sqlite3_exec(locking, "create table t(a)", NULL, NULL, NULL); /* in no WAL: a lock keeps all others out */
    open_file(&(quring_db_options){.connection_count = 2});
    struct query *query = submit("select count(*) from t");
    bed_turn(&bed); /* the writer opens */
    cr_assert_eq(lite()->state, LITE_OPEN);
    sqlite3_exec(locking, "begin exclusive", NULL, NULL, NULL);
    lane_pause = lane(1)->conn.watch.pause;
    lane(1)->conn.watch.pause = look_and_unlock;
    bed_drain(&bed);
    cr_assert_gt(pauses, 0);
    cr_assert_eq(bed_int(query, 0, 0), 0);
    cr_assert_eq(lane(1)->shared.phase, LANE_IDLE);
    sqlite3_close(locking);
}

/* Every step is looked at, also those of BEGIN and COMMIT, and the statement before was a long one. */
Test(lane, no_run_is_given_away_between_its_queries) {
    open_file(&(quring_db_options){.connection_count = 2});
    must("create table t(a)");
    must("select 1");
    struct lite_watch *watch = &lane(1)->conn.watch;
    watch->step_count = 1;
    lite_watch_install(watch, lane(1)->conn.handle);
    for (int round = 0; round < 3; round++) {
        struct query *queries[8];
        for (int i = 0; i < 8; i++)
            queries[i] = bed_submit(&bed, bed_ask(&bed, "select $1", quring_int64(i)));
        watch->statement_ns = 1;
        bed_drain(&bed);
        for (int i = 0; i < 8; i++)
            cr_assert_eq(bed_int(queries[i], 0, 0), i);
        cr_assert_eq(lite()->reads.held_count, 0);
        cr_assert_not(lite_conn_in_transaction(&lane(1)->conn));
    }
}

Test(lane, those_behind_a_long_read_end_when_abandoned) {
    open_file(&(quring_db_options){.connection_count = 1, .depth = 64});
    must("create table t(a)");
    look_at(1);
    struct query *slow = submit(LONG), *quick[6];
    for (int i = 0; i < 6; i++)
        quick[i] = submit("select 5");
    victims[0] = quick[1];
    victims[1] = quick[4];
    bed_drain(&bed);
    cr_assert_eq(bed_int(slow, 0, 0), 3000000);
    for (int i = 0; i < 6; i++)
        bed_check(quick[i], i == 1 || i == 4 ? QURING_TIMEOUT : QURING_OK, "57014", "timeout");
    struct list *first = list_first(&bed.hub.done)->next->next;
    cr_assert_eq(list_entry(first->prev, struct query, link)->status, QURING_TIMEOUT, "before the long one ended");
}

Test(lane, a_long_read_ends_when_abandoned_and_only_it) {
    open_file(&(quring_db_options){.connection_count = 1});
    must("create table t(a)");
    look_at(1);
    struct query *before = submit("select 4"), *slow = submit(LONG), *after = submit("select 5");
    victims[0] = slow;
    bed_drain(&bed);
    cr_assert_eq(bed_int(before, 0, 0), 4);
    bed_check(slow, QURING_TIMEOUT, "57014", "timeout");
    cr_assert_eq(bed_int(after, 0, 0), 5);
}

static void open_grouped(void) {
    open_file(&(quring_db_options){.depth = 200});
    must("create table t(id integer primary key, a)");
}

Test(lane, an_abandoned_member_harms_no_other) {
    open_grouped();
    look_at(0);
    struct query *before = submit_group("insert into t(a) values('x')"),
                 *slow =
                     submit_group("insert into t(a) with recursive n(i) as (select 1 union all select i + 1 from n) "
                                  "select count(*) from n"),
                 *after = submit_group("insert into t(a) values('y')");
    victims[0] = slow;
    bed_drain(&bed);
    bed_check(before, QURING_OK, "", "");
    bed_check(slow, QURING_TIMEOUT, "57014", "timeout");
    bed_check(after, QURING_OK, "", "");
    cr_assert_str_eq(bed_text(exec("select group_concat(a) from t"), 0, 0), "x,y");
}

/* Its transaction ends much later, and its caller does not wait for that; it may take effect. */
Test(lane, an_abandoned_member_does_not_wait_for_its_group) {
    open_grouped();
    look_at(0);
    struct query *first = submit_group("insert into t(a) values('w')"),
                 *early = submit_group("insert into t(a) values('x')"),
                 *slow = submit_group("insert into t(a) with recursive n(i) as (select 1 union all select i + 1 from n "
                                      "limit 3000000) select count(*) from n"),
                 *after = submit_group("insert into t(a) values('y')");
    victims[0] = early;
    bed_drain(&bed);
    bed_check(early, QURING_TIMEOUT, "57014", "timeout");
    bed_check(first, QURING_OK, "", "");
    bed_check(slow, QURING_OK, "", "");
    bed_check(after, QURING_OK, "", "");
    cr_assert_eq(early->link.next, &first->link, "it ended before the group");
    cr_assert_str_eq(bed_text(exec("select group_concat(a) from t"), 0, 0), "w,x,3000000,y");
}

/* The transaction fails later: the others run again, each alone, and nothing is left of it. */
Test(lane, an_abandoned_member_of_a_group_that_fails) {
    open_grouped();
    look_at(0);
    struct query *early = submit_group("insert into t(a) values('x')"),
                 *slow = submit_group("insert or rollback into t(id, a) with recursive n(i) as (select 1 union all "
                                      "select i + 1 from n limit 3000000) select 2 - (count(*) > 0), 'z' from n "
                                      "union all select 1, 'z'"),
                 *after = submit_group("insert into t(a) values('y')");
    victims[0] = early;
    bed_drain(&bed);
    bed_check(early, QURING_TIMEOUT, "57014", "timeout");
    bed_check(slow, QURING_SERVER_ERROR, "23505", "");
    bed_check(after, QURING_OK, "", "");
    cr_assert_str_eq(bed_text(exec("select group_concat(a) from t"), 0, 0), "y");
}

/* ---- Abandoning and closing ---- */

Test(lane, abandoning_what_no_lane_has) {
    open_file(NULL);
    must("create table t(a)");
    struct query *queries[5];
    for (int i = 0; i < 5; i++)
        queries[i] = submit("insert into t values(1)");
    lite_backend.advance(bed.db); /* queued; the lane's job runs with the next turn */
    lite_backend.abandon(queries[1], QURING_CANCELLED);
    cr_assert_eq(queries[1]->state, QUERY_DONE, "at once");
    bed_check(queries[1], QURING_CANCELLED, "57014", "cancelled");
    bed_drain(&bed);
    cr_assert_eq(number("select count(*) from t"), 4);
}

Test(lane, closing_ends_everything_once) {
    open_file(&(quring_db_options){.connection_count = 3});
    must("create table t(a)");
    struct query *queries[100];
    for (int i = 0; i < 100; i++)
        queries[i] = submit(i % 2 ? "insert into t values(1)" : "select count(*) from t");
    lite_backend.advance(bed.db);
    bed.db->closing = true;
    for (int i = 0; i < 100; i++)
        lite_backend.abandon(queries[i], QURING_SHUTDOWN);
    bed_close(&bed);
    for (int i = 0; i < 100; i++)
        bed_check(queries[i], QURING_SHUTDOWN, "57P01", "closed");
    cr_assert_eq(bed.hub.closed.connection_count, 0);
    cr_assert_neq(access(bed_path(&bed, "a.db-wal"), F_OK), 0, "the last to close is the writer, and it checkpoints");
}

Test(lane, closing_without_a_query) {
    open_file(NULL);
    bed_close(&bed);
    cr_assert_neq(access(bed_path(&bed, "a.db"), F_OK), 0, "nothing was opened");
}

Test(lane, closing_interrupts_a_long_statement) {
    open_file(&(quring_db_options){.connection_count = 1});
    must("select 1");
    struct query *slow = submit(LONG), *next = submit("select 1");
    lite_backend.advance(bed.db);
    atomic_store(&lite()->closing, true); /* as seen from within; close() itself can't run meanwhile */
    bed_turn(&bed);
    bed_check(slow, QURING_SERVER_ERROR, "57014", "interrupted");
    bed_check(next, QURING_OK, "", "");
}

Test(lane, closing_before_the_file_was_opened) {
    open_file(NULL);
    struct query *query = submit("select 1");
    lite_backend.advance(bed.db);
    atomic_store(&lite()->closing, true);
    bed_turn(&bed);
    bed_turn(&bed);
    bed_close(&bed);
    bed_check(query, QURING_SHUTDOWN, "57P01", "closed");
}

/* ---- Sessions and memory ---- */

Test(lane, a_session_keeps_order_and_transactions) {
    open_file(&(quring_db_options){.exclusive = true});
    struct query *q[9];
    static const char *const texts[] = {"create table t(a)",
                                        "begin",
                                        "insert into t values(1)",
                                        "select count(*) from t",
                                        "rollback",
                                        "select count(*) from t",
                                        "create temp table x(a)",
                                        "insert into x values(1)",
                                        "select count(*) from x"};
    for (int i = 0; i < 9; i++)
        q[i] = submit(texts[i]);
    bed_drain(&bed);
    cr_assert_eq(bed_int(q[3], 0, 0), 1);
    cr_assert_eq(bed_int(q[5], 0, 0), 0);
    cr_assert_eq(bed_int(q[8], 0, 0), 1);
}

Test(lane, a_session_whose_transaction_was_rolled_back_runs_nothing_until_it_knows) {
    open_file(&(quring_db_options){.exclusive = true});
    must("create table t(a unique)");
    must("insert into t values(1)");
    struct query *begin = submit("begin"), *insert = submit("insert into t values(2)"),
                 *fatal = submit("insert or rollback into t values(1)"), *next = submit("insert into t values(3)"),
                 *again = submit("begin"), *commit = submit("commit"), *later = submit("insert into t values(4)");
    bed_drain(&bed);
    bed_check(begin, QURING_OK, "", "");
    bed_check(insert, QURING_OK, "", "");
    bed_check(fatal, QURING_SERVER_ERROR, "23505", "UNIQUE");
    bed_check(next, QURING_SERVER_ERROR, "25P02", "rolled the transaction back");
    bed_check(again, QURING_SERVER_ERROR, "25P02", "ended");
    bed_check(commit, QURING_SERVER_ERROR, "40000", "nothing was committed");
    bed_check(later, QURING_OK, "", "");
    cr_assert_str_eq(bed_text(exec("select group_concat(a) from t"), 0, 0), "1,4");
}

Test(lane, a_session_may_roll_back_what_was_rolled_back) {
    static const char *const ends[] = {"rollback", "ROLLBACK transaction", "commit", "end",
                                       "/* x */ Commit Transaction"};
    open_file(&(quring_db_options){.exclusive = true});
    must("create table t(a unique)");
    must("insert into t values(1)");
    for (int i = 0; i < 5; i++) {
        must("begin");
        bed_check(exec("insert or rollback into t values(1)"), QURING_SERVER_ERROR, "23505", "UNIQUE");
        struct query *end = exec(ends[i]);
        bed_check(end, i < 2 ? QURING_OK : QURING_SERVER_ERROR, "40000", "nothing was committed");
        if (i < 2)
            cr_assert_str_eq(quring_command(&end->result), "ROLLBACK");
        must("select 1");
    }
}

Test(lane, a_session_s_ordinary_error_leaves_its_transaction) {
    open_file(&(quring_db_options){.exclusive = true});
    must("create table t(a unique)");
    must("begin");
    must("insert into t values(1)");
    bed_check(exec("insert into t values(1)"), QURING_SERVER_ERROR, "23505", "UNIQUE");
    must("insert into t values(2)");
    must("commit");
    bed_check(exec("commit"), QURING_SERVER_ERROR, "25P01", "no transaction");
    must("begin");
    must("commit");
    cr_assert_eq(number("select count(*) from t"), 2);
}

Test(lane, memory_is_one_lane) {
    bed_open(&bed, "sqlite://", &(quring_db_options){.connection_count = 4});
    cr_assert_eq(lite()->lane_count, 1);
    must("create table t(a)");
    struct query *queries[50];
    for (int i = 0; i < 50; i++)
        queries[i] = submit(i % 2 ? "select count(*) from t" : "insert into t values(1)");
    bed_drain(&bed);
    for (int i = 1; i < 50; i += 2)
        cr_assert_eq(bed_int(queries[i], 0, 0), i / 2 + 1, "in order");
}

/* ---- The file ---- */

Test(lane, a_file_that_can_t_be_opened_and_then_can) {
    char url[BED_URL_BYTES];
    snprintf(url, sizeof url, "sqlite:///%s/later/a.db?mode=rwc", bed.directory);
    /* One reader: of two, the second is woken as soon as a read was slow. */
    bed_open(&bed, url, &(quring_db_options){.connection_count = 1});
    struct query *write = submit("create table t(a)"), *read = submit("select 1");
    bed_drain(&bed);
    bed_check(write, QURING_NOT_SENT, "08001", "unable to open database file");
    cr_assert_eq(write->error.view.backend_code, SQLITE_CANTOPEN);
    cr_assert(strstr(write->error.view.hint, "directory"));
    bed_check(read, QURING_NOT_SENT, "08001", "unable to open database file");
    cr_assert_gt(bed.db->counters.connect_failure_count, 0);
    cr_assert_eq(mkdir(bed_path(&bed, "later"), 0700), 0);
    cr_assert_eq(number("select count(*) from sqlite_schema"), 0, "a read alone has the writer create it");
    must("create table t(a)");
    cr_assert_eq(number("select count(*) from t"), 0);
    cr_assert_eq(bed.db->counters.connection_count, 2);
    bed_close(&bed);
    unlink(bed_path(&bed, "later/a.db"));
    rmdir(bed_path(&bed, "later"));
}

Test(lane, mode_ro_and_rw) {
    bed_open(&bed, bed_url_with(&bed, "a.db", "?mode=rw"), NULL);
    bed_check(exec("select 1"), QURING_NOT_SENT, "08001", "unable to open");
    bed_close(&bed);
    open_file(NULL);
    must("create table t(a)");
    bed_close(&bed);
    bed_open(&bed, bed_url_with(&bed, "a.db", "?mode=ro"), NULL);
    cr_assert_eq(number("select count(*) from t"), 0);
    bed_check(exec("insert into t values(1)"), QURING_SERVER_ERROR, "25006", "readonly");
    struct query *a = submit_group("insert into t values(1)"), *b = submit_group("insert into t values(1)");
    bed_drain(&bed);
    bed_check(a, QURING_SERVER_ERROR, "25006", "readonly");
    bed_check(b, QURING_SERVER_ERROR, "25006", "readonly");
}

static off_t wal_bytes(void) {
    struct stat status;
    return stat(bed_path(&bed, "a.db-wal"), &status) ? 0 : status.st_size;
}

/* The writer checkpoints by itself, and the log starts over; also when a reader held it back for a while. */
Test(lane, the_log_stays_short) {
    open_file(&(quring_db_options){.durability = QURING_DURABILITY_OFF, .connection_count = 1});
    must("create table t(a)");
    sqlite3 *reader;
    sqlite3_open(bed_path(&bed, "a.db"), &reader);
    for (int round = 0; round < 100; round++) {
        if (round == 20)
            sqlite3_exec(reader, "begin; select count(*) from t", NULL, NULL, NULL);
        if (round == 50)
            sqlite3_exec(reader, "commit", NULL, NULL, NULL);
        must("insert into t values(zeroblob(400000))");
        if (round == 50)
            cr_assert_gt(wal_bytes(), 30 * 400000, "the reader held it");
    }
    must("delete from t");
    cr_assert_leq(wal_bytes(), 64 << 20);
    must("insert into t values(zeroblob(400000))");
    uint32_t frames = lane(0)->conn.wal_frame_count;
    cr_assert_lt(frames, 3000, "%u frames: it never started over", frames);
    sqlite3_close(reader);
}

static sqlite3 *overlapping;
static uint32_t waits, waits_barred;

static void end_overlap(struct lite_watch *watch) {
    (void)watch;
    waits++;
    waits_barred += lane_queue_barred(&lite()->reads);
    sqlite3_exec(overlapping, "rollback", NULL, NULL, NULL);
}

/* There is always a read at work when the writer looks, until no more are let in. */
Test(lane, reads_are_held_back_until_the_log_starts_over) {
    open_file(&(quring_db_options){.durability = QURING_DURABILITY_OFF});
    must("create table t(a)");
    must("insert into t values(1)");
    sqlite3_open(bed_path(&bed, "a.db"), &overlapping);
    sqlite3_exec(overlapping, "begin; select * from t", NULL, NULL, NULL);
    lane(0)->conn.watch.pause = end_overlap;
    for (int round = 0; round < 40; round++)
        must("update t set a = randomblob(4000000)");
    sqlite3_close(overlapping);
    cr_assert_gt(waits, 0);
    cr_assert_eq(waits_barred, waits);
    cr_assert_not(lane_queue_barred(&lite()->reads));
    uint32_t pages = (uint32_t)(wal_bytes() / 4096);
    cr_assert_lt(pages, 18000, "%u pages: it did not start over at 16000", pages);
    cr_assert_eq(number("select length(a) from t"), 4000000);
}

static void bar_once(struct lite_watch *watch) {
    (void)watch;
    if (pauses++ == 0)
        lane_queue_bar(&lite()->reads, true);
}

Test(lane, a_run_of_reads_ends_early_when_reads_are_held_back) {
    open_file(&(quring_db_options){.connection_count = 1, .depth = 64});
    must("create table t(a)");
    lane(1)->conn.watch.pause = bar_once;
    struct query *slow = submit(LONG), *quick[15];
    for (int i = 0; i < 15; i++)
        quick[i] = submit("select 5");
    for (int i = 0; i < 10; i++)
        bed_turn(&bed);
    cr_assert_eq(bed_int(slow, 0, 0), 3000000);
    cr_assert_eq(lane_queue_count(&lite()->reads), 15);
    cr_assert_eq(lane(1)->shared.phase, LANE_IDLE);
    cr_assert_not(lite_conn_in_transaction(&lane(1)->conn));
    lite_backend.abandon(quick[3], QURING_CANCELLED);
    lane_queue_bar(&lite()->reads, false);
    bed_drain(&bed);
    for (int i = 0; i < 15; i++)
        if (i == 3)
            bed_check(quick[i], QURING_CANCELLED, "57014", "cancelled");
        else
            cr_assert_eq(bed_int(quick[i], 0, 0), 5);
}
