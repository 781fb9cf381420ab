/* SPDX-License-Identifier: MIT */
/* Batches of another thread: what it is told at once, and what becomes an outcome. Both sides are on one thread. */
#include "core/batch.h"
#include "lib/alloc.h"
#include "lib/inbox_fixture.h"

enum { DEPTH = 3 };

#define ONE "select 1"

static struct fake_db *shallow; /* of a small depth */

static void setup(void) {
    inbox_setup();
    a = fake_open(engine, "fake:d", &(quring_db_options){.depth = 8});
    shallow = fake_open(engine, "fake:s", &(quring_db_options){.depth = DEPTH});
}

TestSuite(api_remote_batch, .init = setup, .fini = inbox_teardown);

static void fill(quring_query *queries, struct fake_db *db, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        queries[i] = (quring_query){.db = &db->base, .sql = ONE, .user_data = i};
}

static int submit_ones(struct fake_db *db, uint32_t count, quring_batch_mode mode) {
    quring_query queries[FAKE_QUERIES];
    fill(queries, db, count);
    return quring_inbox_submit_batch(inbox, queries, count, mode, inbox_ids);
}

static int submit_atomic(const quring_query *queries, uint32_t count) {
    return quring_inbox_submit_batch(inbox, queries, count, QURING_BATCH_ATOMIC, inbox_ids);
}

/* Nothing is left of a call that was refused. */
static void assert_untouched(int line) {
    cr_assert_eq(slots_taken(&inbox->queries), 0, "line %d", line);
    cr_assert_eq(inbox->pending_count, 0, "line %d", line);
    cr_assert_eq(inbox->charged_bytes, 0, "line %d", line);
    engine_turn();
    cr_assert_eq(inbox->commands_taken, inbox->commands_written, "line %d", line);
    cr_assert_str_eq(reaped(), "", "line %d", line);
}

/* ---- Independent ---- */

Test(api_remote_batch, independent_queries_are_taken_until_one_is_refused) {
    cr_assert_eq(submit_ones(a, 6, QURING_BATCH_INDEPENDENT), 4, "query_count is 4");
    cr_assert(strstr(quring_inbox_errmsg(inbox), "query_count: 4"));
    cr_assert_eq(submit_ones(a, 1, QURING_BATCH_INDEPENDENT), QURING_EFULL);
    cr_assert_eq(submit_ones(a, 0, QURING_BATCH_INDEPENDENT), 0);
    engine_turn();
    engine_turn();
    for (uint32_t i = 4; i > 0; i--)
        fake_end(a, i - 1, QURING_OK);
    engine_turn();
    fake_assert_text(reaped(), "3 OK, 2 OK, 1 OK, 0 OK", "each by itself");
}

Test(api_remote_batch, many_are_released_in_one_call) {
    quring_done done[4];
    submit_ones(a, 4, QURING_BATCH_INDEPENDENT);
    engine_turn();
    engine_turn();
    for (uint32_t i = 0; i < 3; i++)
        fake_end(a, i, QURING_OK);
    engine_turn();
    cr_assert_eq(quring_inbox_reap(inbox, done, 4), 3);
    done[3] = done[0];
    cr_assert_eq(quring_inbox_release_batch(inbox, done, 4), 3, "one of them twice");
    cr_assert_eq(quring_inbox_release_batch(inbox, done, 1), QURING_ESTALE);
    cr_assert_eq(quring_inbox_release_batch(inbox, NULL, 1), QURING_EINVAL);
    cr_assert_eq(quring_inbox_release_batch(inbox, NULL, 0), 0);
    cr_assert_eq(slots_taken(&inbox->queries), 1);
}

/* ---- ATOMIC ---- */

Test(api_remote_batch, an_atomic_batch_is_one_unit_of_its_queue) {
    ask(a, 3);
    cr_assert_eq(submit_ones(a, 3, QURING_BATCH_ATOMIC), 3);
    engine_turn();
    cr_assert_eq(a->base.queue.waiting_count, 4);
    const struct query *member = queue_first(&a->base.queue);
    cr_assert(!member->in_unit, "the query before it");
    for (uint32_t i = 0; i < 3; i++) {
        member = list_entry(member->link.next, struct query, link);
        cr_assert_eq(member->user_data, i);
        cr_assert(member->in_unit && member->unit_goes_on == (i < 2));
        cr_assert_eq(member->batch->ids[i], inbox_ids[i]);
    }
    engine_turn();
    for (uint32_t i = 0; i < 4; i++)
        fake_end(a, i, QURING_OK);
    engine_turn();
    inbox_ids[3] = inbox->completions[3].id;
    fake_assert_text(reaped(), "0 OK, 1 OK, 2 OK, 3 OK", "all");
    cr_assert_eq(inbox->charged_bytes, 0);
}

Test(api_remote_batch, one_that_is_given_up_before_it_was_sent_skips_the_others) {
    a->depth = 0;
    submit_ones(a, 3, QURING_BATCH_ATOMIC);
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[1]), 0);
    engine_turn();
    fake_assert_text(reaped(), "0 SKIPPED unsent by 1, 1 CANCELLED unsent, 2 SKIPPED unsent by 1", "all of it");
    cr_assert_eq(a->base.queue.waiting_count, 0);
}

Test(api_remote_batch, the_member_that_the_engine_refuses_skips_the_others) {
    static const struct {
        const char *sql, *sqlstate;
    } rows[] = {{"begin", "0A000"}, {"create table t (a int)", "0A000"}, {"copy t from stdin", "0A000"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        quring_query queries[4];
        fill(queries, a, 4);
        queries[2].sql = rows[i].sql;
        cr_assert_eq(submit_atomic(queries, 4), 4, "this thread can't tell");
        engine_turn();
        const struct query *culprit = inbox_query_of(inbox, inbox_ids[2]);
        cr_assert_str_eq(culprit->error.view.sqlstate, rows[i].sqlstate);
        cr_assert(strstr(inbox_query_of(inbox, inbox_ids[0])->error.view.message, "query 3 of its batch was refused"));
        fake_assert_text(reaped(),
                         "0 SKIPPED unsent by 2, 1 SKIPPED unsent by 2, 2 SERVER_ERROR unsent, 3 SKIPPED unsent by 2",
                         rows[i].sql);
        cr_assert_eq(a->base.queue.waiting_count, 0);
        cr_assert_eq(a->base.counters.submitted_count, 0);
        cr_assert_eq(slots_taken(&engine->queries), 0);
        cr_assert_eq(engine->deadlines.count, 0);
        cr_assert_str_eq(engine->hub.message, "", "the engine's own calls have not failed");
    }
}

Test(api_remote_batch, one_that_is_longer_than_the_depth_is_a_transaction) {
    quring_query queries[4];
    fill(queries, shallow, 4);
    queries[3].timeout_ns = FAKE_MS;
    shallow->place_count = 0;
    cr_assert_eq(submit_atomic(queries, 4), 4);
    engine_turn();
    const struct quring_tx *tx = inbox_query_of(inbox, inbox_ids[0])->queue->tx;
    cr_assert(tx && tx->atomic && tx->queue.waiting_count == 4);
    cr_assert_eq(slots_taken(&engine->queries), 0, "its end needs none of the engine's slots");
    cr_assert_eq(quring_inbox_cancel(inbox, inbox_ids[1]), 0);
    engine_turn();
    fake_assert_text(reaped(),
                     "1 CANCELLED unsent, 0 SKIPPED unsent by 1, 2 SKIPPED unsent by 1, 3 SKIPPED unsent by 1",
                     "before it was sent");
    cr_assert_eq(engine->deadlines.count, 0);
    cr_assert(list_empty(&shallow->base.txs));
}

Test(api_remote_batch, a_handle_that_is_closed_is_no_members_fault) {
    submit_ones(a, 2, QURING_BATCH_ATOMIC);
    engine_db_close(&a->base);
    engine_turn();
    fake_assert_text(reaped(), "0 SHUTDOWN unsent, 1 SHUTDOWN unsent", "both");
}

Test(api_remote_batch, what_a_thread_gets_wrong_leaves_nothing) {
    quring_query queries[4];
    const quring_param bad = {.type = (quring_type)99};
    fill(queries, a, 4);
    queries[2].db = &b->base;
    cr_assert_eq(submit_atomic(queries, 4), QURING_EINVAL);
    cr_assert(strstr(quring_inbox_errmsg(inbox), "several databases"));
    assert_untouched(__LINE__);
    fill(queries, a, 4);
    queries[3].order_key = 7;
    cr_assert_eq(submit_atomic(queries, 4), QURING_EINVAL);
    cr_assert(strstr(quring_inbox_errmsg(inbox), "order_key"));
    assert_untouched(__LINE__);
    fill(queries, a, 4);
    queries[1].params = &bad;
    queries[1].param_count = 1;
    cr_assert_eq(submit_atomic(queries, 4), QURING_EINVAL);
    assert_untouched(__LINE__);
    cr_assert_eq(quring_inbox_submit_batch(inbox, NULL, 1, QURING_BATCH_ATOMIC, NULL), QURING_EINVAL);
    cr_assert_eq(quring_inbox_submit_batch(inbox, queries, 1, (quring_batch_mode)2, NULL), QURING_EINVAL);
    cr_assert_eq(quring_inbox_submit_batch(NULL, queries, 1, QURING_BATCH_ATOMIC, NULL), QURING_EINVAL);
    cr_assert_eq(submit_atomic(queries, 0), 0);
    assert_untouched(__LINE__);
}

Test(api_remote_batch, what_never_fits_is_told_from_what_does_not_fit_now) {
    cr_assert_eq(submit_ones(a, 5, QURING_BATCH_ATOMIC), QURING_ETOOBIG);
    cr_assert(strstr(quring_inbox_errmsg(inbox), "options.query_count (4)"));
    assert_untouched(__LINE__);
    cr_assert_eq(ask(a, 0), 0);
    cr_assert_eq(submit_ones(a, 4, QURING_BATCH_ATOMIC), QURING_EFULL);
    cr_assert_eq(slots_taken(&inbox->queries), 1);
    cr_assert_eq(inbox->pending_count, 1);
    cr_assert_eq(submit_ones(a, 5, QURING_BATCH_ATOMIC), QURING_ETOOBIG);
    close_inbox();
    open_inbox(4, 30);
    cr_assert_eq(submit_ones(a, 4, QURING_BATCH_ATOMIC), QURING_ETOOBIG, "too many bytes");
    assert_untouched(__LINE__);
    cr_assert_eq(submit_ones(a, 3, QURING_BATCH_ATOMIC), 3);
}

/* ---- The engine's end ---- */

Test(api_remote_batch, a_batch_that_nobody_reads_ends_on_its_own_side) {
    uint64_t before = inbox->commands_written;
    submit_ones(a, 3, QURING_BATCH_ATOMIC);
    atomic_store(&inbox->commands_sent, before); /* written after the engine's last look */
    close_engine();
    fake_assert_text(reaped(), "0 SHUTDOWN unsent, 1 SHUTDOWN unsent, 2 SHUTDOWN unsent", "each once");
}

/* ---- No memory ---- */

Test(api_remote_batch, no_allocation_that_fails_parts_a_batch) {
    static const char *const texts[] = {"select 1, 'n'", "select 2, 'n'", "select 3, 'n'"};
    bool failed = true;
    for (uint32_t n = 1; failed; n++) {
        inbox_teardown();
        setup();
        engine_turn(); /* the inbox has its room */
        quring_query queries[3];
        fill(queries, a, 3);
        for (int i = 0; i < 3; i++)
            queries[i].sql = texts[i];
        alloc_watch(true);
        alloc_fail_at(n, 1);
        int count = submit_atomic(queries, 3);
        cr_assert(count == 3 || count == QURING_ENOMEM);
        engine_turn();
        engine_turn();
        alloc_watch(false);
        failed = alloc_has_failed();
        alloc_fail_no_more();
        uint32_t running = a->base.running_count;
        cr_assert(running == 0 || running == 3, "allocation %u: %u of 3 run", n, running);
        for (uint32_t i = 0; i < running; i++)
            fake_end(a, i, QURING_OK);
        engine_turn();
        if (count < 0)
            fake_assert_text(reaped(), "", "none was submitted");
        else if (running)
            fake_assert_text(reaped(), "0 OK, 1 OK, 2 OK", "all ran");
        else
            cr_assert(strstr(reaped(), "SERVER_ERROR unsent"), "one tells why");
        cr_assert_eq(inbox->pending_count, 0);
    }
}

/* All wait in one transaction, or none is left of it. */
Test(api_remote_batch, no_allocation_that_fails_parts_a_long_batch) {
    bool failed = true;
    for (uint32_t n = 1; failed; n++) {
        inbox_teardown();
        setup();
        engine_turn(); /* the inbox has its room */
        shallow->place_count = 0;
        alloc_watch(true);
        alloc_fail_at(n, 1);
        int count = submit_ones(shallow, 4, QURING_BATCH_ATOMIC);
        cr_assert(count == 4 || count == QURING_ENOMEM);
        engine_turn();
        alloc_watch(false);
        failed = alloc_has_failed();
        alloc_fail_no_more();
        uint32_t waiting = shallow->base.waiting_count;
        cr_assert(waiting == 0 || waiting == 4, "allocation %u: %u of 4 wait", n, waiting);
        cr_assert_eq(list_empty(&shallow->base.txs), waiting == 0);
        if (waiting)
            cr_assert_eq(quring_inbox_cancel(inbox, inbox_ids[0]), 0);
        engine_turn();
        const char *ends = reaped();
        if (waiting)
            cr_assert(strstr(ends, "0 CANCELLED unsent"), "%s", ends);
        else
            cr_assert_eq(count == 4, strstr(ends, "SERVER_ERROR unsent") != NULL, "%s", ends);
        cr_assert_eq(inbox->pending_count, 0);
    }
}
