/* SPDX-License-Identifier: MIT */
/* Queries that their backend is slow to end when they are given up: what their callers get, and what is kept until then. */
#include "core/order_key.h"
#include "core/trace.h"
#include "lib/engine_fixture.h"

enum { GRACE_MS = 25, SLOW_MS = 100 };

static void setup(void) {
    engine_setup();
    a->let_go_ns = SLOW_MS * FAKE_MS;
}

TestSuite(engine_detach, .init = setup, .fini = engine_teardown);

static uint64_t now_ns(void) {
    return sim_now_ns(fake_sim());
}

/* Runs until so long after `since`. */
static void run_until(uint64_t since, uint64_t ms) {
    while (now_ns() < since + ms * FAKE_MS)
        engine_run(engine, UINT32_MAX, since + ms * FAKE_MS - now_ns());
}

static uint32_t free_count(void) {
    return engine->queries.free_count;
}

/* Has query `number` run, cancels it, and waits until it is detached. */
static quring_done detached(uint32_t number) {
    quring_done done;
    fake_ask(a, number);
    engine_turn();
    uint64_t start = now_ns();
    cr_assert_eq(engine_cancel(engine, fake_id(number)), 0);
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    cr_assert_lt(now_ns(), start + (GRACE_MS + 1) * FAKE_MS);
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    return done;
}

Test(engine_detach, its_caller_is_told_before_the_backend_lets_go) {
    uint64_t start = now_ns();
    quring_done done = detached(0);
    cr_assert_geq(now_ns(), start + GRACE_MS * FAKE_MS);
    fake_assert_text(fake_log(), "abandon 0 CANCELLED, detach 0", "once each");
    cr_assert_eq(done.id, fake_id(0));
    cr_assert_eq(done.user_data, 0);
    cr_assert_eq(done.status, QURING_CANCELLED);
    cr_assert_str_eq(done.error->sqlstate, "57014");
    cr_assert(done.sent, "it may take effect");
    cr_assert_eq(quring_row_count(done.result), 0);
    cr_assert_eq(quring_column_count(done.result), 0);
    cr_assert_str_eq(quring_command(done.result), "");
    cr_assert_eq(engine->pending_count, 0);
    cr_assert_eq(a->base.running_count, 1, "it is still at work");
    quring_stats stats;
    engine_stats(engine, &stats);
    cr_assert_eq(stats.done_count[QURING_CANCELLED], 1);
    cr_assert_eq(stats.inflight_count, 1);
    run_until(start, 2 * SLOW_MS);
    cr_assert_eq(a->base.running_count, 0);
    fake_assert_text(fake_reaped(engine), "", "it ends once");
    engine_stats(engine, &stats);
    cr_assert_eq(stats.done_count[QURING_CANCELLED], 1, "and counts once");
    cr_assert_eq(engine_release(engine, done.id), 0);
}

Test(engine_detach, a_timeout_does_the_same) {
    uint64_t start = now_ns();
    fake_ask_until(a, 0, 10 * FAKE_MS);
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    uint64_t took = now_ns() - start;
    cr_assert(took >= (10 + GRACE_MS) * FAKE_MS && took < (11 + GRACE_MS) * FAKE_MS);
    fake_assert_text(fake_reaped(engine), "0 TIMEOUT", "as it was given up");
}

Test(engine_detach, the_first_reason_holds) {
    fake_ask_until(a, 0, 10 * FAKE_MS);
    engine_turn();
    cr_assert_eq(engine_cancel(engine, fake_id(0)), 0);
    run_until(now_ns(), 5);
    cr_assert_eq(engine_cancel(engine, fake_id(0)), 0);
    run_until(now_ns(), GRACE_MS - 4);
    fake_assert_text(fake_reaped(engine), "0 CANCELLED", "and the time since then counts");
}

Test(engine_detach, what_ends_in_time_is_no_stand_in) {
    a->let_go_ns = (GRACE_MS - 5) * FAKE_MS;
    uint64_t start = now_ns();
    fake_ask(a, 0);
    engine_turn();
    engine_cancel(engine, fake_id(0));
    run_until(start, 2 * GRACE_MS);
    fake_assert_text(fake_log(), "abandon 0 CANCELLED", "it is not detached");
    fake_assert_text(fake_reaped(engine), "0 CANCELLED", "it is done");
}

Test(engine_detach, a_backend_that_will_not_is_asked_again) {
    a->keeps = true;
    uint64_t start = now_ns();
    fake_ask(a, 0);
    engine_turn();
    engine_cancel(engine, fake_id(0));
    run_until(start, SLOW_MS - 1);
    fake_assert_text(fake_log(), "abandon 0 CANCELLED, detach 0, detach 0, detach 0", "every 25 ms");
    fake_assert_text(fake_reaped(engine), "", "it is not done");
    run_until(start, SLOW_MS + 1);
    fake_assert_text(fake_reaped(engine), "0 CANCELLED", "it is");
}

/* ---- What is kept ---- */

Test(engine_detach, its_slot_is_kept_until_both_are_over) {
    for (int released_first = 0; released_first < 2; released_first++) {
        uint32_t slots = free_count();
        uint64_t start = now_ns();
        quring_done done = detached(0);
        size_t charged = engine->charged_bytes;
        cr_assert_gt(charged, 0);
        if (released_first)
            cr_assert_eq(engine_release(engine, done.id), 0);
        else
            run_until(start, 2 * SLOW_MS);
        cr_assert_eq(free_count(), slots - 1);
        cr_assert_eq(engine->charged_bytes, charged);
        if (released_first) {
            cr_assert_eq(engine_release(engine, done.id), QURING_ESTALE, "it was released");
            cr_assert_eq(engine_cancel(engine, done.id), QURING_ESTALE);
            run_until(start, 2 * SLOW_MS);
        } else {
            cr_assert_str_eq(done.error->message, "given up", "it is there as long as the caller wants it");
            cr_assert_eq(engine_cancel(engine, done.id), 0);
            cr_assert_eq(engine_release(engine, done.id), 0);
        }
        cr_assert_eq(free_count(), slots);
        cr_assert_eq(engine->charged_bytes, 0);
        cr_assert_eq(engine_release(engine, done.id), QURING_ESTALE);
        cr_assert_eq(engine_cancel(engine, done.id), QURING_ESTALE);
    }
}

Test(engine_detach, it_is_not_released_before_it_is_reaped) {
    fake_ask(a, 0);
    engine_turn();
    engine_cancel(engine, fake_id(0));
    run_until(now_ns(), GRACE_MS + 1);
    cr_assert_eq(engine->hub.done_count, 1);
    cr_assert_eq(engine_release(engine, fake_id(0)), QURING_ENOTREADY);
    run_until(now_ns(), SLOW_MS);
    cr_assert_eq(engine_release(engine, fake_id(0)), QURING_ENOTREADY, "also when the backend has let go");
    fake_assert_text(fake_reaped(engine), "0 CANCELLED", "reaped and released");
}

/* Without room for another, submit says so, until the backend has handed one back. */
Test(engine_detach, they_take_room_from_others) {
    engine_teardown();
    engine = fake_engine_open(&(quring_options){.query_count = 2});
    a = fake_open(engine, "fake:a", NULL);
    a->let_go_ns = SLOW_MS * FAKE_MS;
    uint64_t start = now_ns();
    for (uint32_t i = 0; i < 2; i++) {
        quring_done done = detached(i);
        cr_assert_eq(engine_release(engine, done.id), 0);
    }
    cr_assert_eq(engine->pending_count, 0);
    cr_assert_eq(fake_ask(a, 2), QURING_EFULL);
    run_until(start, 2 * SLOW_MS);
    cr_assert_eq(fake_ask(a, 2), 0);
    cr_assert_eq(fake_ask(a, 3), 0);
}

Test(engine_detach, its_order_key_is_held_until_it_comes_back) {
    const quring_query query = {.db = &a->base, .sql = "select 1", .order_key = 7};
    quring_id id;
    quring_done done;
    uint64_t start = now_ns();
    cr_assert_eq(engine_submit(engine, &query, &id), 0);
    engine_turn();
    engine_cancel(engine, id);
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    cr_assert_eq(engine_release(engine, id), 0);
    cr_assert_eq(engine->hub.keys.count, 1);
    run_until(start, 2 * SLOW_MS);
    cr_assert_eq(engine->hub.keys.count, 0);
}

/* ---- Members ---- */

/* The batch goes on without it. */
Test(engine_detach, a_member_of_a_batch) {
    struct engine_batch batch;
    quring_id ids[2];
    quring_done done;
    a->base.options.depth = 2;
    engine_batch_begin(&batch, 2, true);
    for (uint32_t i = 0; i < 2; i++) {
        const quring_query query = {.db = &a->base, .sql = "select 1", .user_data = i};
        cr_assert_eq(engine_batch_put(engine, &batch, &query, &ids[i]), 0);
    }
    cr_assert_eq(engine_batch_end(engine, &batch, 0, ids), 2);
    engine_turn();
    uint64_t start = now_ns();
    engine_cancel(engine, ids[0]);
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    fake_assert_text(fake_reaped(engine), "0 CANCELLED", "it alone");
    fake_end(a, 1, QURING_OK);
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    cr_assert_eq(done.status, QURING_OK);
    cr_assert_null(engine->hub.batches, "it is in use");
    run_until(start, 2 * SLOW_MS);
    cr_assert_not_null(engine->hub.batches, "its last member is back");
    cr_assert_eq(engine_release(engine, ids[1]), 0);
}

/* What is behind it is not run, and its COMMIT is refused, while the backend still has it. */
Test(engine_detach, a_query_of_a_transaction) {
    quring_tx *tx;
    cr_assert_eq(engine_tx_open(&a->base, NULL, &tx), 0);
    cr_assert_eq(fake_ask_tx(tx, 0, "select 1"), 0);
    engine_turn();
    uint64_t start = now_ns();
    engine_cancel(engine, fake_id(0));
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    cr_assert_eq(fake_ask_tx(tx, 1, "select 2"), 0);
    cr_assert_eq(fake_commit(tx, 2), 0);
    engine_turn();
    fake_assert_text(fake_reaped(engine), "0 CANCELLED, 1 SKIPPED, 2 SERVER_ERROR", "nothing of it is run");
    (void)fake_log();
    run_until(start, 2 * SLOW_MS);
    fake_assert_text(fake_log(), "roll back", "when the backend has it back");
    engine_tx_release(tx);
}

Test(engine_detach, a_transaction_whose_time_is_over) {
    quring_tx *tx;
    cr_assert_eq(engine_tx_open(&a->base, &(quring_tx_options){.timeout_ns = 10 * FAKE_MS}, &tx), 0);
    a->let_go_ns = SLOW_MS * FAKE_MS;
    a->tx_waits = true;
    uint64_t start = now_ns();
    cr_assert_eq(fake_ask_tx(tx, 0, "select 1"), 0);
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    uint64_t took = now_ns() - start;
    cr_assert(took >= (10 + GRACE_MS) * FAKE_MS && took < (11 + GRACE_MS) * FAKE_MS, "%lu us",
              (unsigned long)(took / 1000));
    fake_assert_text(fake_reaped(engine), "0 TIMEOUT", "it ran");
    run_until(start, 2 * SLOW_MS);
    engine_tx_release(tx);
}

/* ---- Closing ---- */

/* At each moment of what the caller does with it. */
Test(engine_detach, a_handle_is_closed_around_it) {
    for (int moment = 0; moment < 4; moment++) {
        engine_again();
        a->let_go_ns = SLOW_MS * FAKE_MS;
        fake_ask(a, 0);
        engine_turn();
        engine_cancel(engine, fake_id(0));
        run_until(now_ns(), moment ? GRACE_MS + 1 : 1);
        quring_done done = {0};
        if (moment > 1)
            cr_assert_eq(engine_reap(engine, &done, 1), 1);
        if (moment > 2)
            cr_assert_eq(engine_release(engine, done.id), 0);
        (void)fake_log();
        engine_db_close(&a->base);
        run_until(now_ns(), 2 * GRACE_MS);
        cr_assert_null(strstr(fake_log(), "destroy a"), "it waits for what is at work");
        run_until(now_ns(), 2 * SLOW_MS);
        fake_assert_text(fake_log(), "destroy a", "then it does not");
        if (moment < 2) {
            fake_assert_text(fake_reaped(engine), "0 CANCELLED", "what was done stays");
        } else if (moment == 2) {
            cr_assert_str_eq(done.error->message, "given up");
            cr_assert_eq(engine_release(engine, done.id), 0);
        }
        cr_assert_eq(engine->charged_bytes, 0);
        cr_assert_eq(slots_taken(&engine->queries), 0);
    }
}

/* Nobody gave it up before. */
Test(engine_detach, what_runs_does_not_wait_for_the_close_of_its_handle) {
    quring_done done;
    fake_ask(a, 0);
    engine_turn();
    uint64_t start = now_ns();
    engine_db_close(&a->base);
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    cr_assert_lt(now_ns(), start + (GRACE_MS + 1) * FAKE_MS);
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    cr_assert_eq(done.status, QURING_SHUTDOWN);
    cr_assert_eq(engine_release(engine, done.id), 0);
    cr_assert_eq(slots_taken(&engine->queries), 1, "the backend has it");
    run_until(start, 2 * SLOW_MS);
    fake_assert_text(fake_reaped(engine), "", "it ends once");
    cr_assert_eq(slots_taken(&engine->queries), 0);
    cr_assert_eq(engine->charged_bytes, 0);
}

Test(engine_detach, the_engine_is_closed_around_it) {
    for (int moment = 0; moment < 4; moment++) {
        engine_again();
        a->let_go_ns = SLOW_MS * FAKE_MS;
        uint64_t start = now_ns();
        fake_ask(a, 0);
        engine_turn();
        engine_cancel(engine, fake_id(0));
        run_until(now_ns(), GRACE_MS + 1);
        quring_done done;
        if (moment > 0)
            cr_assert_eq(engine_reap(engine, &done, 1), 1);
        if (moment > 1)
            cr_assert_eq(engine_release(engine, done.id), 0);
        if (moment > 2)
            run_until(start, 2 * SLOW_MS);
        engine_close(engine);
        cr_assert_geq(now_ns(), start + SLOW_MS * FAKE_MS, "it waits for what is at work");
        sim_free(fake_sim());
        engine = NULL;
    }
}

/* ---- The trace ---- */

Test(engine_detach, its_end_is_traced_once) {
    quring_event events[8];
    engine_teardown();
    engine = fake_engine_open(&(quring_options){.trace_count = 100});
    a = fake_open(engine, "fake:a", NULL);
    a->let_go_ns = SLOW_MS * FAKE_MS;
    for (int round = 0; round < 2; round++) {
        uint64_t start = now_ns();
        quring_done done = detached(0);
        cr_assert_eq(engine_release(engine, done.id), 0);
        run_until(start, 2 * SLOW_MS);
        cr_assert_eq(trace_take(engine->hub.trace, events, 8), 2);
        trace_take_back(engine->hub.trace);
        cr_assert_eq(events[0].kind, QURING_EVENT_SUBMITTED);
        cr_assert_eq(events[1].kind, QURING_EVENT_DONE);
        cr_assert_eq(events[1].id, done.id);
        cr_assert_eq(events[1].status, QURING_CANCELLED);
        cr_assert_eq(events[1].submitted_at_ns, events[0].at_ns);
        cr_assert_eq(events[1].sent_at_ns, 0, "what its lane notes is not known");
        cr_assert_str_eq(events[1].sqlstate, "57014");
    }
}
