/* SPDX-License-Identifier: MIT */
/* Transactions as the engine sees them: how they begin, fail and end, what is skipped, and what is kept for their end. */
#include "lib/fake_backend.h"

static quring_engine *engine;
static struct fake_db *db;
static quring_tx *tx;

static void begin(const quring_options *options) {
    engine = fake_engine_open(options);
    db = fake_open(engine, "fake:a", NULL);
}

static void setup(void) {
    begin(NULL);
    cr_assert_eq(engine_tx_open(&db->base, NULL, &tx), 0);
}

static void teardown(void) {
    fake_engine_close(engine);
}

TestSuite(engine_tx, .init = setup, .fini = teardown);

static void run(void) {
    cr_assert_geq(engine_run(engine, 0, 0), 0);
}

static void pass(uint64_t ns) {
    uint64_t until = engine_now_ns(engine) + ns;
    for (uint64_t now; (now = engine_now_ns(engine)) < until;)
        cr_assert_geq(engine_run(engine, 1000, until - now), 0);
    run();
}

static void log_is(const char *expected, const char *what) {
    fake_assert_text(fake_log(), expected, what);
}

static void reaped_are(const char *expected, const char *what) {
    fake_assert_text(fake_reaped(engine), expected, what);
}

static quring_tx *open_tx(const quring_tx_options *options) {
    quring_tx *other;
    cr_assert_eq(engine_tx_open(&db->base, options, &other), 0, "%s", engine->hub.message);
    return other;
}

/* ---- From begin to end ---- */

Test(engine_tx, engine_submit_tx_refuses_a_key) {
    quring_query query = {.db = &db->base, .tx = tx, .sql = "select 1", .order_key = 7};
    cr_assert_eq(engine_submit_tx(engine, &query, NULL), QURING_EINVAL);
    cr_assert_eq(engine->pending_count, 0);
    cr_assert_eq(tx->state, TX_NEW);
    query.order_key = 0;
    cr_assert_eq(engine_submit_tx(engine, &query, NULL), 0);
}

Test(engine_tx, engine_tx_runs_in_order_on_one_place) {
    fake_ask_tx(tx, 1, "insert into t values (1)");
    fake_ask_tx(tx, 2, "insert into t values (2)");
    fake_commit(tx, 3);
    run();
    log_is("begin, send 1, send 2, send 3", "all of it goes together");
    cr_assert_eq(tx->state, TX_ENDING);
    for (uint32_t i = 1; i <= 3; i++)
        fake_end(db, i, QURING_OK);
    reaped_are("1 OK, 2 OK, 3 OK", "and ends");
    cr_assert_eq(tx->state, TX_ENDED);
    engine_tx_release(tx);
    cr_assert_eq(slots_taken(&engine->queries), 0);
    cr_assert_eq(engine->charged_bytes, 0);
}

Test(engine_tx, engine_tx_without_queries_ends_without_a_place) {
    fake_commit(tx, 1);
    run();
    log_is("", "nothing was sent");
    reaped_are("1 OK", "COMMIT");
    engine_tx_release(tx);
    tx = open_tx(NULL);
    engine_tx_end(tx, VERB_ROLLS_BACK, 2, NULL);
    run();
    log_is("", "nothing was sent");
    reaped_are("2 OK", "ROLLBACK");
    engine_tx_release(tx);
    tx = open_tx(NULL);
    engine_tx_release(tx);
    cr_assert_eq(slots_taken(&engine->queries), 0);
}

Test(engine_tx, engine_tx_takes_nothing_behind_its_end) {
    fake_ask_tx(tx, 1, "select 1");
    fake_ask_tx(tx, 2, " /* now */ End ; ");
    cr_assert_eq(fake_ask_tx(tx, 3, "select 1"), QURING_EINVAL);
    cr_assert_eq(fake_commit(tx, 3), QURING_EINVAL);
    run();
    log_is("begin, send 1, send 2", "written as SQL");
    fake_end(db, 1, QURING_OK);
    fake_end(db, 2, QURING_OK);
    reaped_are("1 OK, 2 OK", "and ends");
    cr_assert_eq(fake_ask_tx(tx, 3, "select 1"), QURING_EINVAL);
}

Test(engine_tx, engine_tx_refuses_what_its_handle_says) {
    static const char *const refused[] = {
        "begin",
        "start transaction",
        "commit and chain",
        "rollback work and chain",
        "prepare transaction 'a'",
        "commit prepared 'a'",
        "rollback prepared 'a'",
        "commit; select 1",
        "rollback; select 1",
        "copy t from stdin",
        "listen a",
    };
    static const char *const taken[] = {"savepoint a", "release savepoint a", "rollback to a", "set local a = 1",
                                        "commit and no chain; "};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        cr_expect_eq(fake_ask_tx(tx, 1, refused[i]), QURING_EUNSUPPORTED, "%s", refused[i]);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        cr_expect_eq(fake_ask_tx(tx, 1, taken[i]), 0, "%s: %s", taken[i], engine->hub.message);
}

Test(engine_tx, engine_tx_waits_in_order_for_a_place) {
    quring_tx *second = open_tx(NULL), *third = open_tx(NULL);
    fake_ask_tx(tx, 1, "select 1");
    fake_ask_tx(second, 2, "select 1");
    fake_ask_tx(third, 3, "select 1");
    run();
    log_is("begin, send 1", "the first has the only place");
    cr_assert(list_empty(&db->base.ready), "no turn visits those that wait");
    cr_assert_eq(db->base.waiting_count, 2);
    fake_ask_tx(second, 4, "select 1");
    fake_end(db, 1, QURING_OK);
    fake_commit(tx, 5);
    run();
    fake_end(db, 5, QURING_OK);
    run();
    log_is("send 5, begin, send 2, send 4", "the second has its turn");
    engine_cancel(engine, fake_id(3));
    cr_assert_eq(third->state, TX_ENDED, "nothing of it is left");
    reaped_are("1 OK, 5 OK, 3 CANCELLED", "all that ended");
    cr_assert_eq(db->base.waiting_count, 0);
}

/* ---- Failure ---- */

Test(engine_tx, engine_tx_skips_what_stands_behind_a_failure) {
    for (uint32_t i = 1; i <= 3; i++)
        fake_ask_tx(tx, i, "select 1");
    run();
    fake_end(db, 1, QURING_OK);
    fake_end(db, 2, QURING_SERVER_ERROR);
    fake_end(db, 3, QURING_OK);
    log_is("begin, send 1, send 2, send 3, roll back", "nothing can revive it");
    fake_ask_tx(tx, 4, "select 1");
    fake_commit(tx, 5);
    run();
    log_is("", "what comes later is not sent");
    quring_done done[5];
    cr_assert_eq(engine_reap(engine, done, 5), 5);
    cr_assert_eq(done[2].status, QURING_SKIPPED);
    cr_assert_eq(done[2].failed_id, fake_id(2));
    cr_assert_str_eq(done[2].error->sqlstate, "57014");
    cr_assert(strstr(done[2].error->message, "ended by the test"), "%s", done[2].error->message);
    cr_assert_eq(done[3].status, QURING_SKIPPED);
    cr_assert_eq(done[3].failed_id, fake_id(2));
    cr_assert_not(done[3].sent);
    cr_assert_eq(done[4].status, QURING_SERVER_ERROR);
    cr_assert_eq(done[4].failed_id, 0);
    cr_assert_str_eq(done[4].error->message, "ended by the test");
}

Test(engine_tx, engine_tx_goes_on_behind_rollback_to) {
    fake_ask_tx(tx, 1, "savepoint a");
    fake_ask_tx(tx, 2, "select 1");
    run();
    fake_end(db, 1, QURING_OK);
    fake_end(db, 2, QURING_SERVER_ERROR);
    fake_ask_tx(tx, 3, "select 1");
    fake_ask_tx(tx, 4, "rollback to a");
    fake_ask_tx(tx, 5, "select 1");
    run();
    log_is("begin, send 1, send 2, send 4, send 5", "3 is not sent");
    fake_end(db, 4, QURING_OK);
    fake_end(db, 5, QURING_OK);
    fake_commit(tx, 6);
    run();
    fake_end(db, 6, QURING_OK);
    reaped_are("1 OK, 2 SERVER_ERROR, 3 SKIPPED, 4 OK, 5 OK, 6 OK", "only what stood between is skipped");
}

Test(engine_tx, engine_tx_stays_failed_where_rollback_to_fails) {
    fake_ask_tx(tx, 1, "savepoint a");
    fake_ask_tx(tx, 2, "select 1");
    fake_ask_tx(tx, 3, "rollback to b");
    fake_ask_tx(tx, 4, "select 1");
    fake_commit(tx, 5);
    run();
    fake_end(db, 1, QURING_OK);
    fake_end(db, 2, QURING_SERVER_ERROR);
    fake_end(db, 3, QURING_SERVER_ERROR);
    fake_end(db, 4, QURING_OK);
    fake_end(db, 5, QURING_OK);
    reaped_are("1 OK, 2 SERVER_ERROR, 3 SERVER_ERROR, 4 SKIPPED, 5 SERVER_ERROR", "COMMIT says what failed");
}

Test(engine_tx, engine_tx_is_not_revived_past_a_later_failure) {
    fake_ask_tx(tx, 1, "savepoint a");
    fake_ask_tx(tx, 2, "select 1");
    fake_ask_tx(tx, 3, "rollback to a");
    fake_ask_tx(tx, 4, "select 1");
    fake_ask_tx(tx, 5, "select 1");
    run();
    fake_end(db, 1, QURING_OK);
    engine_cancel(engine, fake_id(4));
    fake_end(db, 2, QURING_SERVER_ERROR);
    fake_end(db, 3, QURING_OK);
    fake_end(db, 5, QURING_OK);
    fake_commit(tx, 6);
    run();
    reaped_are("1 OK, 4 CANCELLED, 2 SERVER_ERROR, 3 OK, 5 SKIPPED, 6 SERVER_ERROR", "4 was given up behind it");
}

Test(engine_tx, engine_tx_runs_what_stands_before_a_failure) {
    db->place_count = 0;
    for (uint32_t i = 1; i <= 3; i++)
        fake_ask_tx(tx, i, "select 1");
    run();
    engine_cancel(engine, fake_id(2));
    run();
    reaped_are("2 CANCELLED", "3 stands behind 1, which waits");
    db->place_count = 1;
    queue_bring_back(&tx->queue);
    run();
    log_is("begin, send 1", "1 stood before it");
    fake_end(db, 1, QURING_OK);
    run();
    log_is("roll back", "then nothing is left");
    reaped_are("3 SKIPPED, 1 OK", "the others");
}

Test(engine_tx, engine_tx_fails_for_good_without_a_savepoint_before_it) {
    fake_ask_tx(tx, 1, "select 1");
    fake_ask_tx(tx, 2, "savepoint a");
    fake_ask_tx(tx, 3, "rollback to a");
    run();
    fake_end(db, 1, QURING_SERVER_ERROR);
    fake_end(db, 2, QURING_OK);
    fake_end(db, 3, QURING_SERVER_ERROR);
    run();
    fake_commit(tx, 4);
    run();
    cr_assert_eq(tx->state, TX_ENDED);
    reaped_are("1 SERVER_ERROR, 2 SKIPPED, 3 SERVER_ERROR, 4 SERVER_ERROR", "COMMIT");
}

/* What stands between two failures is run or not by what becomes of a ROLLBACK TO between them, which nobody knows yet. */
Test(engine_tx, engine_tx_fails_for_good_around_a_rollback_to_that_waits) {
    static const char *const texts[] = {"savepoint a",   "select 1", "rollback to a", "select 1",
                                        "rollback to a", "select 1", "savepoint c",   "rollback to c"};
    static const uint32_t given_up[][3] = {{2, 5, 8}, {8, 5, 2}, {5, 2, 8}, {2, 4, 7}, {2, 7, 4}, {7, 4, 2}, {2, 6, 7}};
    for (size_t i = 0; i < sizeof given_up / sizeof *given_up; i++) {
        quring_tx *other = open_tx(NULL);
        db->place_count = 0;
        for (uint32_t j = 0; j < 8; j++)
            fake_ask_tx(other, j + 1, texts[j]);
        fake_commit(other, 9);
        run();
        for (int j = 0; j < 3; j++)
            engine_cancel(engine, fake_id(given_up[i][j]));
        db->place_count = 1;
        if (other->state != TX_ENDED)
            queue_bring_back(&other->queue);
        run();
        log_is("", "nothing was sent");
        const char *reaped = fake_reaped(engine);
        cr_assert(strstr(reaped, "9 SERVER_ERROR") && !strstr(reaped, "OK"), "row %zu: %s", i, reaped);
        cr_assert(strstr(other->failure.hint, "ROLLBACK TO"), "it says why");
        cr_assert_eq(other->state, TX_ENDED);
        engine_tx_release(other);
    }
}

/* The one before both was carried out, and the one behind them takes back either. */
Test(engine_tx, engine_tx_goes_on_behind_two_failures_between_two_rollback_tos) {
    static const char *const texts[] = {"savepoint a", "rollback to a", "select 1", "select 1", "rollback to a"};
    for (uint32_t i = 0; i < 5; i++)
        fake_ask_tx(tx, i + 1, texts[i]);
    run();
    log_is("begin, send 1, send 2, send 3, send 4, send 5", "all of it");
    fake_end(db, 1, QURING_OK);
    fake_end(db, 2, QURING_OK);
    engine_cancel(engine, fake_id(3));
    engine_cancel(engine, fake_id(4));
    fake_commit(tx, 6);
    run();
    log_is("abandon 3 CANCELLED, abandon 4 CANCELLED, send 6", "COMMIT waits for none");
    fake_end(db, 5, QURING_OK);
    fake_end(db, 6, QURING_OK);
    reaped_are("1 OK, 2 OK, 3 CANCELLED, 4 CANCELLED, 5 OK, 6 OK", "each");
}

/* There is none between them that is still to be carried out. */
Test(engine_tx, engine_tx_goes_on_behind_two_rollback_tos_that_were_given_up) {
    static const uint32_t given_up[][3] = {{2, 3, 4}, {4, 3, 2}, {3, 4, 2}};
    for (size_t row = 0; row < sizeof given_up / sizeof *given_up; row++) {
        quring_tx *other = open_tx(NULL);
        db->place_count = 0;
        fake_ask_tx(other, 1, "savepoint a");
        for (uint32_t i = 2; i < 6; i++)
            fake_ask_tx(other, i, i == 2 ? "select 1" : "rollback to a");
        fake_commit(other, 6);
        run();
        for (int i = 0; i < 3; i++)
            engine_cancel(engine, fake_id(given_up[row][i]));
        db->place_count = 1;
        queue_bring_back(&other->queue);
        run();
        log_is("begin, send 1, send 5, send 6", "but for what was given up");
        fake_end(db, 1, QURING_OK);
        fake_end(db, 5, QURING_OK);
        fake_end(db, 6, QURING_OK);
        const char *reaped = fake_reaped(engine);
        cr_assert(strstr(reaped, "1 OK, 5 OK, 6 OK"), "row %zu: %s", row, reaped);
        engine_tx_release(other);
    }
}

/* 5 has failed already when 2 does, before a ROLLBACK TO that takes back 2 alone. */
Test(engine_tx, engine_tx_sends_no_commit_between_a_failure_and_a_rollback_to_before_it) {
    static const char *const texts[] = {"savepoint a", "select 1", "rollback to a",
                                        "select 1",    "select 1", "rollback to a"};
    for (int fails = 0; fails < 2; fails++) {
        quring_tx *other = open_tx(NULL);
        for (uint32_t i = 0; i < 6; i++)
            fake_ask_tx(other, i + 1, texts[i]);
        run();
        log_is("begin, send 1, send 2, send 3, send 4, send 5, send 6", "all of it");
        engine_cancel(engine, fake_id(5));
        fake_commit(other, 7);
        run();
        log_is("abandon 5 CANCELLED", "COMMIT waits");
        fake_end(db, 1, QURING_OK);
        fake_end(db, 2, fails ? QURING_SERVER_ERROR : QURING_OK);
        for (uint32_t i = 3; i < 7; i++)
            if (i != 5)
                fake_end(db, i, QURING_OK);
        run();
        log_is(fails ? "roll back" : "send 7", "once it is known");
        if (!fails)
            fake_end(db, 7, QURING_OK);
        reaped_are(fails ? "5 CANCELLED, 1 OK, 2 SERVER_ERROR, 3 OK, 4 SKIPPED, 6 OK, 7 SERVER_ERROR"
                         : "5 CANCELLED, 1 OK, 2 OK, 3 OK, 4 OK, 6 OK, 7 OK",
                   "each");
        engine_tx_release(other);
    }
}

Test(engine_tx, engine_tx_sends_a_rollback_at_once_there) {
    static const char *const texts[] = {"savepoint a", "rollback to a", "select 1", "rollback to a"};
    for (uint32_t i = 0; i < 4; i++)
        fake_ask_tx(tx, i + 1, texts[i]);
    run();
    log_is("begin, send 1, send 2, send 3, send 4", "all of it");
    engine_cancel(engine, fake_id(3));
    fake_ask_tx(tx, 5, "rollback");
    run();
    log_is("abandon 3 CANCELLED, send 5", "it takes all back");
}

Test(engine_tx, engine_tx_is_rolled_back_when_its_commit_is_given_up) {
    fake_ask_tx(tx, 1, "select 1");
    run();
    fake_commit(tx, 2);
    engine_cancel(engine, fake_id(2));
    run();
    fake_end(db, 1, QURING_OK);
    run();
    log_is("begin, send 1, roll back", "COMMIT was never sent");
    reaped_are("2 CANCELLED, 1 OK", "both");
    cr_assert_eq(tx->state, TX_ENDED);
}

/* ---- The reserve ---- */

Test(engine_tx, engine_tx_ends_where_all_slots_and_bytes_are_taken) {
    teardown();
    begin(&(quring_options){.query_count = 4, .inflight_bytes = 40});
    tx = open_tx(NULL);
    quring_tx *other = open_tx(NULL);
    fake_ask_tx(tx, 1, "select 1");
    cr_assert_eq(fake_ask_tx(other, 2, "select 1"), QURING_EFULL, "bytes");
    cr_assert_eq(fake_ask_tx(other, 2, ""), 0);
    quring_tx *none;
    cr_assert_eq(engine_tx_open(&db->base, NULL, &none), QURING_EFULL, "slots");
    cr_assert_eq(fake_ask_tx(tx, 3, ""), QURING_EFULL, "slots");
    cr_assert_eq(fake_commit(tx, 3), 0);
    cr_assert_eq(fake_ask_tx(other, 4, "rollback"), 0, "written as SQL");
    run();
    fake_end(db, 1, QURING_OK);
    fake_end(db, 3, QURING_OK);
    run();
    fake_end(db, 2, QURING_OK);
    fake_end(db, 4, QURING_OK);
    reaped_are("1 OK, 3 OK, 2 OK, 4 OK", "all");
    engine_tx_release(tx);
    engine_tx_release(other);
    cr_assert_eq(slots_taken(&engine->queries), 0);
    cr_assert_eq(engine->charged_bytes, 0);
}

Test(engine_tx, engine_tx_takes_no_memory_once_warm) {
    engine_tx_release(tx);
    for (uint32_t i = 0; i < 100; i++) {
        quring_tx *again = open_tx(NULL);
        cr_assert_eq(again, tx);
        fake_ask_tx(again, 1, "select 1");
        fake_commit(again, 2);
        engine_tx_release(again);
        run();
        fake_end(db, 1, QURING_OK);
        fake_end(db, 2, QURING_OK);
        reaped_are("1 OK, 2 OK", "as any");
    }
    cr_assert_eq(engine->tx_count, 1);
}

/* ---- Release, time, and the end of all ---- */

Test(engine_tx, engine_tx_release_rolls_back) {
    fake_ask_tx(tx, 1, "select 1");
    run();
    fake_end(db, 1, QURING_OK);
    engine_tx_release(tx);
    log_is("begin, send 1, roll back", "nothing is out");
    reaped_are("1 OK", "it had ended");
    tx = open_tx(NULL);
    fake_ask_tx(tx, 1, "select 1");
    run();
    fake_ask_tx(tx, 2, "select 1");
    engine_tx_release(tx);
    reaped_are("2 SKIPPED", "it waited");
    fake_end(db, 1, QURING_OK);
    run();
    log_is("begin, send 1, roll back", "what is out comes first");
    reaped_are("1 SKIPPED", "and is rolled back");
}

Test(engine_tx, engine_tx_release_lets_a_commit_go_on) {
    fake_ask_tx(tx, 1, "select 1");
    fake_commit(tx, 2);
    engine_tx_release(tx);
    run();
    log_is("begin, send 1, send 2", "all of it");
    fake_end(db, 1, QURING_OK);
    fake_end(db, 2, QURING_OK);
    reaped_are("1 OK, 2 OK", "and ends");
    cr_assert_eq(slots_taken(&engine->queries), 0);
}

Test(engine_tx, engine_tx_ends_when_it_was_idle_for_too_long) {
    tx = open_tx(&(quring_tx_options){.idle_timeout_ns = 10 * FAKE_MS});
    pass(50 * FAKE_MS);
    fake_ask_tx(tx, 1, "select 1");
    run();
    pass(50 * FAKE_MS);
    log_is("begin, send 1", "a query is out");
    fake_end(db, 1, QURING_OK);
    pass(8 * FAKE_MS);
    fake_ask_tx(tx, 2, "select 1");
    run();
    fake_end(db, 2, QURING_OK);
    pass(8 * FAKE_MS);
    log_is("send 2", "not yet");
    pass(4 * FAKE_MS);
    log_is("roll back", "it was");
    fake_ask_tx(tx, 3, "select 1");
    run();
    quring_done done[3];
    cr_assert_eq(engine_reap(engine, done, 3), 3);
    cr_assert_eq(done[2].status, QURING_SKIPPED);
    cr_assert_eq(done[2].failed_id, 0);
    cr_assert_str_eq(done[2].error->sqlstate, "25P03");
    cr_assert(strstr(done[2].error->message, "idle_timeout_ns"), "%s", done[2].error->message);
}

Test(engine_tx, engine_tx_ends_when_its_time_has_passed) {
    tx = open_tx(&(quring_tx_options){.timeout_ns = 10 * FAKE_MS});
    pass(50 * FAKE_MS);
    fake_ask_tx(tx, 1, "savepoint a");
    fake_ask_tx(tx, 2, "select 1");
    run();
    fake_end(db, 1, QURING_OK);
    pass(9 * FAKE_MS);
    reaped_are("1 OK", "there is time");
    pass(2 * FAKE_MS);
    reaped_are("2 TIMEOUT", "there is none");
    log_is("begin, send 1, send 2, roll back", "it is rolled back");
    fake_ask_tx(tx, 3, "rollback to a");
    fake_commit(tx, 4);
    run();
    reaped_are("3 SKIPPED, 4 SERVER_ERROR", "nothing revives it");
}

Test(engine_tx, engine_tx_waits_for_a_place_as_long_as_its_time) {
    db->place_count = 0;
    tx = open_tx(&(quring_tx_options){.timeout_ns = 10 * FAKE_MS});
    fake_ask_tx(tx, 1, "select 1");
    fake_commit(tx, 2);
    run();
    pass(11 * FAKE_MS);
    reaped_are("1 SKIPPED, 2 SERVER_ERROR", "none came");
    cr_assert_eq(tx->state, TX_ENDED);
    log_is("", "nothing was sent");
}

Test(engine_tx, engine_tx_outlives_its_handle) {
    quring_tx *other = open_tx(NULL), *idle = open_tx(NULL);
    fake_ask_tx(tx, 1, "select 1");
    fake_ask_tx(other, 2, "select 1");
    run();
    engine_db_close(&db->base);
    cr_assert_eq(fake_ask_tx(tx, 3, "select 1"), QURING_ESHUTDOWN);
    run();
    log_is("begin, send 1, abandon 1 SHUTDOWN, roll back, close a, destroy a", "all is over");
    reaped_are("2 SHUTDOWN, 1 SHUTDOWN", "all");
    cr_assert_eq(fake_ask_tx(tx, 3, "select 1"), QURING_ESHUTDOWN);
    cr_assert_eq(fake_commit(idle, 3), QURING_ESHUTDOWN);
    engine_tx_release(tx);
    engine_tx_release(idle);
    cr_assert_eq(slots_taken(&engine->queries), 0, "other is freed with the engine");
}

Test(engine_tx, engine_tx_is_not_for_exclusive_handles) {
    struct fake_db *bound = fake_open(engine, "fake:b", &(quring_db_options){.exclusive = true});
    quring_tx *none;
    cr_assert_eq(engine_tx_open(&bound->base, NULL, &none), QURING_EUNSUPPORTED);
}
