/* SPDX-License-Identifier: MIT */
/* Turns: which databases are visited, when a run ends, what passes with time, and the order of completions. */
#include "lib/engine_fixture.h"

TestSuite(engine_run, .init = engine_setup, .fini = engine_teardown);

static void assert_visits(uint32_t of_a, uint32_t of_b, const char *what) {
    cr_assert(a->advance_count == of_a && b->advance_count == of_b, "%s: %u and %u", what, a->advance_count,
              b->advance_count);
    a->advance_count = b->advance_count = 0;
}

/* ---- The due list ---- */

Test(engine_run, engine_advance_visits_what_is_due_and_no_other) {
    engine_turn();
    assert_visits(0, 0, "nothing was asked for");
    fake_ask(a, 0);
    engine_turn();
    assert_visits(1, 0, "a query waited");
    engine_turn();
    assert_visits(0, 0, "it runs");
    fake_end(a, 0, QURING_OK);
    engine_turn();
    assert_visits(0, 0, "it is done");
    db_due(&b->base);
    db_due(&b->base);
    engine_turn();
    assert_visits(0, 1, "its backend asked for a turn, twice");
}

Test(engine_run, engine_advance_comes_back_while_queries_wait) {
    a->depth = 1;
    for (uint32_t i = 0; i < 3; i++)
        fake_ask(a, i);
    for (int i = 0; i < 4; i++)
        engine_turn();
    assert_visits(4, 0, "two wait for the first");
    fake_end(a, 0, QURING_OK);
    engine_turn();
    fake_end(a, 1, QURING_OK);
    engine_turn();
    assert_visits(2, 0, "one waits for the second");
    engine_turn();
    assert_visits(0, 0, "none waits");
}

Test(engine_run, engine_advance_comes_back_for_what_was_put_back) {
    fake_ask(a, 0);
    engine_turn();
    a->advance_count = 0;
    fake_put_back(a);
    engine_turn();
    assert_visits(1, 0, "it waits again");
    cr_assert_eq(a->base.running_count, 1);
}

/* One that is freed in its turn takes nothing from the others. */
Test(engine_run, engine_advance_frees_what_is_closed) {
    fake_ask(b, 0);
    engine_db_close(&a->base);
    fake_assert_text(fake_log(), "close a", "it is asked to let go");
    engine_turn();
    fake_assert_text(fake_log(), "destroy a", "in the next turn");
    cr_assert_eq(b->advance_count, 1);
    cr_assert_eq(list_first(&engine->hub.databases), &b->base.link);
}

/* ---- When a run ends ---- */

Test(engine_run, engine_run_ends_with_enough_completions_or_with_time) {
    static const struct {
        const char *what;
        uint32_t asked;
        uint64_t work_ms, timeout_ms;
        uint32_t min_count;
        int done;
        uint64_t took_ms;
    } rows[] = {
        {"it never sleeps for none", 1, 5, 100, 0, 0, 0},
        {"it never sleeps without time", 1, 5, 0, 1, 0, 0},
        {"one is enough", 2, 5, 100, 1, 2, 5},
        {"all that is pending is enough", 2, 5, 100, 64, 2, 5},
        {"time passes first", 2, 50, 10, 1, 0, 10},
        {"with nothing pending time passes", 0, 0, 10, 1, 0, 10},
        {"for ever is long enough", 1, 3600000, UINT64_MAX, 1, 1, 3600000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        engine_again();
        a->work_ns = rows[i].work_ms * FAKE_MS;
        for (uint32_t n = 0; n < rows[i].asked; n++)
            fake_ask(a, n);
        uint64_t start = sim_now_ns(fake_sim());
        uint64_t timeout = rows[i].timeout_ms == UINT64_MAX ? QURING_FOREVER : rows[i].timeout_ms * FAKE_MS;
        cr_assert_eq(engine_run(engine, rows[i].min_count, timeout), rows[i].done, "%s", rows[i].what);
        uint64_t took = sim_now_ns(fake_sim()) - start;
        cr_assert(took >= rows[i].took_ms * FAKE_MS && took < (rows[i].took_ms + 1) * FAKE_MS, "%s: %lu us",
                  rows[i].what, (unsigned long)(took / 1000));
    }
}

Test(engine_run, engine_run_ends_with_a_wake_once) {
    ring_wake(engine->hub.ring);
    ring_wake(engine->hub.ring);
    uint64_t start = sim_now_ns(fake_sim());
    cr_assert_eq(engine_run(engine, 1, 100 * FAKE_MS), 0);
    cr_assert_lt(sim_now_ns(fake_sim()) - start, FAKE_MS);
    cr_assert_eq(engine_run(engine, 1, 100 * FAKE_MS), 0);
    cr_assert_geq(sim_now_ns(fake_sim()) - start, 100 * FAKE_MS, "two of them count as one");
}

/* ---- Warming up ---- */

Test(engine_run, engine_warm_up_ends_when_nothing_is_missing_or_nothing_will_come) {
    static const struct {
        const char *what;
        uint32_t missing;
        bool hopeless;
        uint64_t timeout_ms;
        int returned;
        uint64_t took_ms;
    } rows[] = {
        {"nothing is missing", 0, false, 100, 0, 0},
        {"time passes", 3, false, 100, 3, 100},
        {"there is no hope", 3, true, 100, 3, 0},
        {"it never sleeps without time", 3, false, 0, 3, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        engine_again();
        a->missing_count = rows[i].missing;
        a->hopeless = rows[i].hopeless;
        a->work_ns = 5 * FAKE_MS;
        fake_ask(a, 0);
        uint64_t start = sim_now_ns(fake_sim());
        cr_assert_eq(engine_warm_up(&a->base, rows[i].timeout_ms * FAKE_MS), rows[i].returned, "%s", rows[i].what);
        fake_assert_text(fake_log(), "warm up a", "its backend was asked once");
        uint64_t took = sim_now_ns(fake_sim()) - start;
        cr_assert(took >= rows[i].took_ms * FAKE_MS && took < (rows[i].took_ms + 1) * FAKE_MS, "%s", rows[i].what);
        fake_assert_text(fake_reaped(engine), took > 5 * FAKE_MS ? "0 OK" : "", "completions gather");
    }
}

Test(engine_run, engine_warm_up_ends_with_a_wake) {
    a->missing_count = 1;
    ring_wake(engine->hub.ring);
    cr_assert_eq(engine_warm_up(&a->base, QURING_FOREVER), 1);
}

/* Only a run waits for many completions: the turns of all other calls have one thing to do after the other. */
Test(engine_run, engine_run_alone_gathers) {
    engine->options.gather_ns = FAKE_MS;
    const uint64_t *gather_ns = &ring_port(engine->hub.ring)->gather_ns;
    for (int ends = 0; ends < 2; ends++) {
        for (uint32_t i = 0; i < 3; i++)
            fake_ask(a, 3 * (uint32_t)ends + i);
        cr_assert_eq(engine_run(engine, 3, FAKE_MS), 0);
        cr_assert_eq(*gather_ns, FAKE_MS);
        if (ends)
            cr_assert_eq(engine_shutdown(engine, FAKE_MS), 6);
        else
            cr_assert_eq(engine_warm_up(&a->base, 0), 0);
        cr_assert_eq(*gather_ns, 0);
    }
}

/* ---- Completions ---- */

Test(engine_run, engine_reap_gives_the_oldest_first_up_to_its_capacity) {
    quring_done done[2];
    for (uint32_t i = 0; i < 3; i++)
        fake_ask(i == 1 ? b : a, i);
    engine_turn();
    fake_end(a, 2, QURING_OK);
    fake_end(b, 1, QURING_SERVER_ERROR);
    fake_end(a, 0, QURING_OK);
    cr_assert_eq(engine_reap(engine, done, 2), 2);
    cr_assert(done[0].user_data == 2 && done[0].id == fake_id(2) && done[0].status == QURING_OK && !done[0].error);
    cr_assert(done[1].user_data == 1 && done[1].status == QURING_SERVER_ERROR && done[1].error);
    cr_assert(done[0].sent && done[1].sent && done[0].result && done[1].result);
    cr_assert(engine->hub.done_count == 1 && engine->pending_count == 1);
    cr_assert_eq(engine_reap(engine, done, 0), 0);
    cr_assert_eq(engine_reap(engine, done, 2), 1);
    cr_assert_eq(engine_reap(engine, done, 2), 0);
    cr_assert_eq(engine->pending_count, 0);
}

Test(engine_run, engine_stats_sums_up_databases_that_are_gone_too) {
    quring_stats stats;
    fake_ask(a, 0);
    engine_turn();
    fake_end(a, 0, QURING_OK);
    fake_ask(b, 1);
    engine_turn();
    b->depth = 1;
    fake_ask(b, 2);
    engine_db_close(&a->base);
    engine_turn();
    engine_stats(engine, &stats);
    cr_assert(stats.submitted_count == 3 && stats.done_count[QURING_OK] == 1);
    cr_assert(stats.waiting_count == 1 && stats.inflight_count == 1);
}

/* ---- Deadlines ---- */

Test(engine_run, engine_deadline_fire_ends_queries_wherever_they_are) {
    a->depth = 1;
    fake_ask_until(a, 0, 10 * FAKE_MS); /* runs */
    fake_ask_until(a, 1, 10 * FAKE_MS); /* waits */
    fake_ask_until(a, 2, 30 * FAKE_MS);
    fake_ask(a, 3);
    cr_assert_eq(engine_run(engine, 2, 100 * FAKE_MS), 2);
    fake_assert_text(fake_log(), "abandon 0 TIMEOUT", "the backend has one of them");
    quring_done done[2];
    cr_assert_eq(engine_reap(engine, done, 2), 2);
    cr_assert(done[0].user_data == 0 && done[0].sent && done[1].user_data == 1 && !done[1].sent);
    cr_assert(strstr(done[1].error->message, "before it was sent"));
    cr_assert_eq(engine_run(engine, 1, 100 * FAKE_MS), 1);
    fake_assert_text(fake_log(), "abandon 2 TIMEOUT", "the next one");
    cr_assert_geq(sim_now_ns(fake_sim()), 1030 * FAKE_MS);
    cr_assert_eq(engine->deadline_timer.node.key, 1030 * FAKE_MS);
    cr_assert_not(heap_contains(&engine->deadline_timer.node), "the last query has none");
}

Test(engine_run, engine_deadline_fire_leaves_what_has_ended) {
    quring_done done;
    fake_ask_until(a, 0, 10 * FAKE_MS);
    fake_ask_until(a, 1, 10 * FAKE_MS);
    engine_turn();
    fake_end(a, 0, QURING_OK);
    fake_end(a, 1, QURING_OK);
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    cr_assert_eq(engine->deadlines.count, 1, "of the one that is not reaped");
    (void)engine_run(engine, 5, 50 * FAKE_MS);
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    cr_assert_eq(done.status, QURING_OK);
    cr_assert_eq(engine->deadlines.count, 0);
}

Test(engine_run, engine_deadline_set_arms_the_timer_for_the_first_of_them) {
    fake_ask_until(a, 0, 30 * FAKE_MS);
    cr_assert_eq(ring_next_timer_ns(engine->hub.ring), 1030 * FAKE_MS);
    fake_ask_until(a, 1, 10 * FAKE_MS);
    cr_assert_eq(ring_next_timer_ns(engine->hub.ring), 1010 * FAKE_MS);
    fake_ask_until(a, 2, 20 * FAKE_MS);
    cr_assert_eq(ring_next_timer_ns(engine->hub.ring), 1010 * FAKE_MS);
    fake_ask_until(a, 3, QURING_FOREVER);
    cr_assert_eq(ring_next_timer_ns(engine->hub.ring), 1010 * FAKE_MS, "no sum with the clock wraps");
    engine_run(engine, 3, 100 * FAKE_MS);
    fake_assert_text(fake_reaped(engine), "1 TIMEOUT, 2 TIMEOUT, 0 TIMEOUT", "in the order of their deadlines");
}

/* Its backend ends it later, and may be asked again. */
Test(engine_run, engine_deadline_fire_waits_for_a_lane_to_let_go) {
    a->let_go_ns = 5 * FAKE_MS;
    fake_ask_until(a, 0, 10 * FAKE_MS);
    cr_assert_eq(engine_run(engine, 1, 12 * FAKE_MS), 0);
    engine_cancel(engine, fake_id(0));
    cr_assert_eq(engine_run(engine, 1, 12 * FAKE_MS), 1);
    fake_assert_text(fake_reaped(engine), "0 TIMEOUT", "the first status holds");
}
