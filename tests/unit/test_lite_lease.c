/* SPDX-License-Identifier: MIT */
/* Transactions on lanes whose jobs run here and now: in which run they go, who waits for whom, what is taken back. */
#include "lib/lite_bed.h"
#include "lite/lanes.h"
#include "lite/tx.h"

#include <stdlib.h>
#include <unistd.h>

static struct lite_bed bed;
static struct quring_tx *txs[8];
static uint32_t tx_count;
static int commits;

static struct lite_db *lite(void) {
    return base_container_of(bed.db, struct lite_db, base);
}

static struct lite_lane *writer(void) {
    return &lite()->lanes[0];
}

static int count_commit(void *argument) {
    (void)argument;
    commits++;
    return 0;
}

static void setup(void) {
    bed_begin(&bed);
    list_init(&bed.hub.tx_over);
    cr_assert(heap_reserve(&bed.hub.tx_deadlines, 8));
}

static void teardown(void) {
    if (bed.db)
        tx_forget(bed.db);
    bed_end(&bed);
    for (uint32_t i = 0; i < tx_count; i++) {
        tx_free(txs[i]);
        free(txs[i]);
    }
    heap_free(&bed.hub.tx_deadlines);
}

TestSuite(lite_lease, .init = setup, .fini = teardown);

static struct query *submit(const char *sql) {
    return bed_submit(&bed, bed_query(&bed, sql, NULL, 0));
}

static struct query *submit_group(const char *sql) {
    struct query *query = bed_query(&bed, sql, NULL, 0);
    query->commit = QURING_COMMIT_GROUP;
    return bed_submit(&bed, query);
}

static struct query *exec(const char *sql) {
    struct query *query = submit(sql);
    bed_drain(&bed);
    bed_check(query, QURING_OK, "", "");
    return query;
}

static void open_file(void) {
    list_init(&bed.hub.tx_orphans);
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.connection_count = 1, .depth = 8});
    exec("create table t(id integer primary key)");
    sqlite3_commit_hook(writer()->conn.handle, count_commit, NULL);
}

static struct quring_tx *open_tx(bool read_only) {
    struct quring_tx *tx = txs[tx_count++] = calloc(1, sizeof *tx);
    tx_init(
        tx, bed.db,
        &(quring_tx_options){.read_only = read_only, .timeout_ns = QURING_FOREVER, .idle_timeout_ns = QURING_FOREVER});
    return tx;
}

static struct query *ask(struct quring_tx *tx, const char *sql) {
    struct query *query = bed_query(&bed, sql, NULL, 0);
    query->queue = &tx->queue;
    query->commit = QUERY_COMMIT_TX;
    tx_put(tx, query);
    return query;
}

/* All of it in the one job that a turn posts, whose end brings all outcomes back. */
Test(lite_lease, lite_tx_that_is_whole_is_one_job) {
    open_file();
    struct quring_tx *tx = open_tx(false);
    struct query *queries[] = {ask(tx, "insert into t values(1)"), ask(tx, "insert into t values(2)"),
                               ask(tx, "insert into t values(3)"), ask(tx, "insert into t values(4)"),
                               ask(tx, "commit")};
    bed_turn(&bed);
    cr_assert_eq(commits, 1);
    for (int i = 0; i < 5; i++)
        bed_check(queries[i], QURING_OK, "", "");
    cr_assert_eq(tx->state, TX_ENDED);
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 4);
}

Test(lite_lease, lite_tx_goes_between_groups) {
    open_file();
    submit_group("insert into t values(10)");
    submit_group("insert into t values(11)");
    lane_queue_bar(&lite()->writes, true);
    bed_turn(&bed);
    struct quring_tx *tx = open_tx(false);
    struct query *first = ask(tx, "insert into t select count(*) from t"), *last = ask(tx, "commit");
    bed_turn(&bed);
    struct query *behind = submit_group("insert into t values(12)");
    submit_group("insert into t values(13)");
    bed_turn(&bed);
    cr_assert_eq(lane_queue_count(&lite()->writes), 6);
    lane_queue_bar(&lite()->writes, false);
    lite_backend.advance(bed.db);
    db_due(bed.db);
    bed_drain(&bed);
    cr_assert_eq(commits, 3, "the group, the transaction, and the group behind it");
    bed_check(first, QURING_OK, "", "");
    bed_check(last, QURING_OK, "", "");
    bed_check(behind, QURING_OK, "", "");
    cr_assert_str_eq(bed_text(exec("select group_concat(id) from t"), 0, 0), "2,10,11,12,13");
}

Test(lite_lease, lite_tx_that_holds_the_writer_gives_it_back) {
    open_file();
    struct quring_tx *tx = open_tx(false), *other = open_tx(false);
    struct query *first = ask(tx, "insert into t values(1)");
    bed_drain(&bed);
    bed_check(first, QURING_OK, "", "");
    cr_assert_eq(writer()->queue, &writer()->leased);
    cr_assert_eq(writer()->reactor.tx, tx);
    struct query *shared = submit("insert into t values(2)"), *second = ask(other, "insert into t values(3)");
    for (int i = 0; i < 10; i++)
        bed_turn(&bed);
    cr_assert(shared->state == QUERY_RUNNING && second->state == QUERY_WAITING);
    cr_assert_eq(commits, 0);
    struct query *read = submit("select count(*) from t");
    bed_turn(&bed);
    cr_assert_eq(bed_int(read, 0, 0), 0, "reads go on");
    struct query *end = ask(tx, "commit");
    bed_drain(&bed);
    bed_check(end, QURING_OK, "", "");
    bed_check(shared, QURING_OK, "", "");
    bed_check(second, QURING_OK, "", "");
    cr_assert_eq(writer()->reactor.tx, other, "the shared write had its turn before it");
    ask(other, "rollback");
    bed_drain(&bed);
    for (int i = 0; i < 3; i++)
        bed_turn(&bed);
    cr_assert_eq(writer()->queue, &lite()->writes);
    cr_assert_eq(lite()->tx.held_count, 0);
    cr_assert_str_eq(bed_text(exec("select group_concat(id) from t"), 0, 0), "1,2");
}

/* Nothing of it has begun: it comes back whole, and its failure is known before anything runs. */
Test(lite_lease, lite_tx_is_taken_back_from_the_queue) {
    open_file();
    lane_queue_bar(&lite()->writes, true);
    struct quring_tx *tx = open_tx(false);
    struct query *queries[] = {ask(tx, "insert into t values(1)"), ask(tx, "savepoint a"),
                               ask(tx, "insert into t values(2)"), ask(tx, "rollback to a"),
                               ask(tx, "insert into t values(3)"), ask(tx, "commit")};
    bed_turn(&bed);
    cr_assert_eq(lane_queue_count(&lite()->writes), 6);
    lite_backend.abandon(queries[2], QURING_CANCELLED);
    bed_check(queries[2], QURING_CANCELLED, "57014", "cancelled");
    cr_assert_eq(lane_queue_count(&lite()->writes), 0);
    lane_queue_bar(&lite()->writes, false);
    bed_drain(&bed);
    for (int i = 0; i < 6; i++)
        if (i != 2)
            bed_check(queries[i], QURING_OK, "", "");
    cr_assert_str_eq(bed_text(exec("select group_concat(id) from t"), 0, 0), "1,3", "ROLLBACK TO revived it");
    cr_assert_eq(bed.db->counters.retry_count, 0, "no lane had them");
}

Test(lite_lease, lite_tx_that_is_given_up_in_the_queue_leaves_nothing) {
    open_file();
    lane_queue_bar(&lite()->writes, true);
    struct quring_tx *tx = open_tx(false);
    struct query *first = ask(tx, "insert into t values(1)"), *end = ask(tx, "commit");
    bed_turn(&bed);
    tx_give_up(tx, QURING_TIMEOUT, "25P04", "late");
    lite_backend.tx_changed(tx, true);
    bed_check(first, QURING_SKIPPED, "25P04", "late");
    bed_check(end, QURING_SERVER_ERROR, "25P04", "late");
    cr_assert_eq(tx->state, TX_ENDED);
    lane_queue_bar(&lite()->writes, false);
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 0);
}

Test(lite_lease, lite_tx_that_only_reads_has_a_lane_apart) {
    open_file();
    struct quring_tx *tx = open_tx(true), *other = open_tx(true);
    struct query *before = ask(tx, "select count(*) from t");
    bed_drain(&bed);
    exec("insert into t values(1)");
    struct query *again = ask(tx, "select count(*) from t"), *later = ask(other, "select count(*) from t");
    bed_drain(&bed);
    cr_assert_eq(bed_int(before, 0, 0), 0);
    cr_assert_eq(bed_int(again, 0, 0), 0);
    cr_assert_eq(bed_int(later, 0, 0), 1);
    cr_assert_eq(lite()->made_count, lite()->lane_count + 2);
    ask(tx, "commit");
    ask(other, "commit");
    bed_drain(&bed);
    bed_turn(&bed);
    struct query *third = ask(open_tx(true), "select count(*) from t");
    bed_drain(&bed);
    cr_assert_eq(bed_int(third, 0, 0), 1);
    cr_assert_eq(lite()->made_count, lite()->lane_count + 2, "a lane serves one after the other");
}

struct stopped {
    const char *text;    /* of the statement at whose beginning … */
    struct query *query; /* … this one is given up */
};

static int give_up_at(unsigned event, void *argument, void *statement, void *text) {
    const struct stopped *stopped = argument;
    (void)event, (void)statement;
    if (sqlite3_strnicmp(text, stopped->text, (int)strlen(stopped->text)) == 0)
        lite_mark_abandoned(stopped->query, QURING_CANCELLED);
    return 0;
}

/* SQLite asks behind the last step, too, whether to interrupt a statement; here behind each. */
static void drain_stopped(const char *text, struct query *query) {
    struct stopped stopped = {text, query};
    struct lite_conn *conn = &writer()->conn;
    conn->watch.step_count = 1;
    lite_watch_install(&conn->watch, conn->handle);
    sqlite3_trace_v2(conn->handle, SQLITE_TRACE_STMT, give_up_at, &stopped);
    bed_drain(&bed);
    sqlite3_trace_v2(conn->handle, 0, NULL, NULL);
}

static void check_nothing_is_begun(void) {
    cr_assert_not(lite_conn_in_transaction(&writer()->conn), "it has the lock still");
}

Test(lite_lease, lite_tx_that_is_given_up_as_it_begins_leaves_nothing) {
    open_file();
    struct quring_tx *tx = open_tx(false);
    struct query *write = ask(tx, "insert into t values(1)"), *end = ask(tx, "commit");
    drain_stopped("begin", write);
    bed_check(write, QURING_CANCELLED, "57014", "cancelled");
    bed_check(end, QURING_SERVER_ERROR, "57014", "");
    check_nothing_is_begun();
}

Test(lite_lease, lite_tx_tells_of_control_statements_that_were_carried_out) {
    static const char *const texts[] = {"savepoint a", "rollback to a", "release a", "commit"};
    open_file();
    for (uint32_t i = 0; i < 4; i++) {
        struct quring_tx *tx = open_tx(false);
        struct query *queries[5];
        for (uint32_t k = 0; k < 3; k++)
            queries[k] = ask(tx, texts[k]);
        queries[3] = ask(tx, "insert into t values(null)");
        queries[4] = ask(tx, "commit");
        drain_stopped(texts[i], queries[i < 3 ? i : 4]);
        for (uint32_t k = 0; k < 5; k++)
            bed_check(queries[k], QURING_OK, "", "");
        check_nothing_is_begun();
    }
}

/* One that ends the transaction without saying so by its first word. */
Test(lite_lease, lite_exclusive_handle_goes_on_behind_a_release_that_was_given_up) {
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.exclusive = true});
    exec("create table t(id integer primary key)");
    exec("savepoint a");
    exec("insert into t values(1)");
    drain_stopped("release a", submit("release a"));
    check_nothing_is_begun();
    struct query *count = exec("select count(*) from t");
    bed_check(count, QURING_OK, "", "");
    cr_assert_eq(bed_int(count, 0, 0), 1, "it was carried out");
}

static void look_at_log(void) {
    lite()->wal.look.fire(&lite()->wal.look);
    bed_turn(&bed);
    bed_turn(&bed);
}

/* The connection of a writer that was closed is opened for a query, and not to ask how long the log is. */
Test(lite_lease, lite_snapshot_that_is_old_opens_no_connection) {
    list_init(&bed.hub.tx_orphans);
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.connection_count = 1, .depth = 8, .snapshot_ns = 1});
    exec("create table t(id integer primary key)");
    struct quring_tx *tx = open_tx(true);
    struct query *first = ask(tx, "select count(*) from t");
    bed_drain(&bed);
    cr_assert_eq(bed_int(first, 0, 0), 0);
    look_at_log();
    unlink(bed_path(&bed, "a.db"));
    struct query *write = submit("insert into t values(1)");
    bed_drain(&bed);
    bed_check(write, QURING_NOT_SENT, "58P01", "deleted or replaced");
    look_at_log();
    cr_assert_neq(access(bed_path(&bed, "a.db"), F_OK), 0, "another file was made");
    ask(tx, "commit");
    bed_drain(&bed);
}

/* More than a run can have: it holds the lane for as long as it takes. */
Test(lite_lease, lite_tx_that_is_longer_than_the_depth_holds_the_writer) {
    open_file();
    struct quring_tx *tx = open_tx(false);
    for (int i = 0; i < 20; i++)
        ask(tx, "insert into t default values");
    struct query *end = ask(tx, "commit");
    lite_backend.advance(bed.db);
    cr_assert_eq(lite_tx(tx)->lane, writer());
    bed_drain(&bed);
    bed_check(end, QURING_OK, "", "");
    cr_assert_eq(commits, 1);
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 20);
}

static int deny(void *control, int action, const char *what, const char *b, const char *c, const char *d) {
    (void)b, (void)c, (void)d;
    return action == SQLITE_TRANSACTION && strcmp(what, control) == 0 ? SQLITE_DENY : SQLITE_OK;
}

/* No query comes behind it, so the connection is ended there and then. */
Test(lite_lease, lite_lease_that_cant_be_rolled_back_keeps_no_lock) {
    static char control[] = "ROLLBACK";
    open_file();
    struct quring_tx *tx = open_tx(false);
    struct query *write = ask(tx, "insert into t values(1)");
    bed_drain(&bed);
    bed_check(write, QURING_OK, "", "");
    sqlite3_set_authorizer(writer()->conn.handle, deny, control);
    tx_give_up(tx, QURING_TIMEOUT, "25P03", "idle");
    lite_backend.tx_changed(tx, true);
    bed_turn(&bed);
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "begin immediate; commit", NULL, NULL, NULL), SQLITE_OK, "%s",
                 sqlite3_errmsg(other));
    sqlite3_close(other);
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 0);
}

/* Else the log could not be started over until that reader has another query. */
Test(lite_lease, lite_reads_whose_commit_fails_keep_no_snapshot) {
    static char control[] = "COMMIT";
    open_file();
    exec("select 1");
    struct lite_conn *reader = &lite()->lanes[1].conn;
    sqlite3_set_authorizer(reader->handle, deny, control);
    struct query *reads[] = {submit("select count(*) from t"), submit("select count(*) from t")};
    bed_drain(&bed);
    for (int i = 0; i < 2; i++)
        bed_check(reads[i], QURING_OK, "", "");
    cr_assert_not(lite_conn_in_transaction(reader));
}

/* ---- Memory ---- */

bool __real_lane_queue_reserve(struct lane_queue *queue, uint32_t count);
bool __wrap_lane_queue_reserve(struct lane_queue *queue, uint32_t count);

static uint32_t refused_count; /* there is no memory for so many, exactly */

bool __wrap_lane_queue_reserve(struct lane_queue *queue, uint32_t count) {
    return count != refused_count && __real_lane_queue_reserve(queue, count);
}

Test(lite_lease, lite_tx_without_memory_leaves_its_lane_to_the_next) {
    for (int reads = 0; reads < 2; reads++) {
        if (!reads)
            open_file();
        struct quring_tx *holder = open_tx(false), *first = open_tx(reads), *second = open_tx(reads);
        struct query *held = ask(holder, "insert into t default values");
        bed_drain(&bed);
        bed_check(held, QURING_OK, "", "");
        struct query *without[] = {ask(first, "select 1"), ask(first, "select 2"), ask(first, "select 3")},
                     *next = ask(second, "select 4");
        refused_count = 3;
        ask(holder, "commit");
        bed_drain(&bed);
        refused_count = 0;
        for (int i = 0; i < 3; i++)
            bed_check(without[i], QURING_NOT_SENT, "53200", "out of memory");
        bed_check(next, QURING_OK, "", "");
        struct query *end = ask(second, "commit");
        bed_drain(&bed);
        bed_check(end, QURING_OK, "", "");
        for (int i = 0; i < 3; i++)
            bed_turn(&bed);
        cr_assert_eq(lite()->tx.held_count, 0);
        exec("insert into t default values");
    }
}

/* ---- Waiting ---- */

/* The writer bars shared reads while it waits for the log to start over. */
Test(lite_lease, lite_tx_that_only_reads_does_not_begin_while_reads_are_held_back) {
    open_file();
    struct quring_tx *old = open_tx(true), *tx = open_tx(true);
    struct query *before = ask(old, "select 1");
    bed_drain(&bed);
    lane_queue_bar(&lite()->reads, true);
    struct query *query = ask(tx, "select 2");
    for (int i = 0; i < 3; i++)
        bed_turn(&bed);
    cr_assert_eq(query->state, QUERY_WAITING);
    struct query *again = ask(old, "select 3"), *end = ask(old, "commit");
    for (int i = 0; i < 3; i++)
        bed_turn(&bed);
    bed_check(before, QURING_OK, "", "");
    bed_check(again, QURING_OK, "", "");
    bed_check(end, QURING_OK, "", "");
    cr_assert_eq(query->state, QUERY_WAITING);
    lane_queue_bar(&lite()->reads, false);
    db_due(bed.db);
    bed_drain(&bed);
    bed_check(query, QURING_OK, "", "");
}

Test(lite_lease, lite_tx_that_ends_with_the_engine_says_so) {
    open_file();
    lane_queue_bar(&lite()->writes, true);
    struct quring_tx *tx = open_tx(false);
    struct query *first = ask(tx, "insert into t values(1)"), *end = ask(tx, "commit"),
                 *shared = submit("insert into t values(2)");
    bed_turn(&bed);
    lite_backend.abandon(first, QURING_SHUTDOWN);
    lite_backend.abandon(shared, QURING_SHUTDOWN);
    bed_check(first, QURING_SHUTDOWN, "57P01", "the engine was shut down");
    bed_check(end, QURING_SHUTDOWN, "57P01", "the engine was shut down");
    bed_check(shared, QURING_SHUTDOWN, "57P01", "the engine was shut down");
    lane_queue_bar(&lite()->writes, false);
}

/* ---- Texts ---- */

Test(lite_lease, lite_tx_ends_with_blanks_around_its_end) {
    open_file();
    struct quring_tx *tx = open_tx(false);
    ask(tx, "insert into t values(1)");
    struct query *end = ask(tx, " ; /* x */ commit ;; -- it's all\n;");
    bed_drain(&bed);
    bed_check(end, QURING_OK, "", "");
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 1);
}
