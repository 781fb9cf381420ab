/* SPDX-License-Identifier: MIT */
/* How queries end before their time: cancelled, with their database, or with the engine; and in which order all ends. */
#include "lib/engine_fixture.h"

TestSuite(engine_end, .init = engine_setup, .fini = engine_teardown);

/* ---- Cancelling ---- */

Test(engine_end, engine_cancel_ends_what_has_not_ended) {
    a->depth = 1;
    for (uint32_t i = 0; i < 3; i++)
        fake_ask(a, i);
    engine_turn();
    cr_assert_eq(engine_cancel(engine, fake_id(1)), 0, "it waits");
    fake_assert_text(fake_log(), "", "the backend has not seen it");
    cr_assert_eq(engine_cancel(engine, fake_id(0)), 0, "it runs");
    fake_assert_text(fake_log(), "abandon 0 CANCELLED", "the backend ends it");
    engine_turn();
    fake_end(a, 2, QURING_OK);
    cr_assert_eq(engine_cancel(engine, fake_id(2)), 0, "it is done");
    fake_assert_text(fake_log(), "", "and stays as it is");
    fake_assert_text(fake_reaped(engine), "1 CANCELLED, 0 CANCELLED, 2 OK", "as they ended");
    cr_assert_eq(engine_cancel(engine, fake_id(2)), QURING_ESTALE, "it is released");
}

/* ---- A database ---- */

Test(engine_end, engine_db_close_ends_its_queries_and_no_other) {
    a->depth = 1;
    a->close_ns = 5 * FAKE_MS;
    fake_ask(a, 0);
    fake_ask(a, 1);
    fake_ask(b, 2);
    engine_turn();
    engine_db_close(&a->base);
    engine_db_close(&a->base);
    fake_assert_text(fake_log(), "abandon 0 SHUTDOWN, close a", "once, and queries before connections");
    engine_turn();
    fake_assert_text(fake_log(), "", "it is not gone yet");
    fake_end(b, 2, QURING_OK);
    fake_assert_text(fake_reaped(engine), "1 SHUTDOWN, 0 SHUTDOWN, 2 OK", "the other handle goes on");
    engine_run(engine, 1, 10 * FAKE_MS);
    fake_assert_text(fake_log(), "destroy a", "once nothing of it is left");
}

Test(engine_end, engine_db_close_waits_for_lanes) {
    a->let_go_ns = 5 * FAKE_MS;
    fake_ask(a, 0);
    engine_turn();
    engine_db_close(&a->base);
    fake_assert_text(fake_log(), "abandon 0 SHUTDOWN, close a", "it is interrupted");
    engine_turn();
    cr_assert_eq(engine->hub.done_count, 0);
    cr_assert_eq(engine_run(engine, 1, QURING_FOREVER), 1);
    engine_turn();
    fake_assert_text(fake_log(), "destroy a", "after its query");
}

Test(engine_end, engine_db_open_leaves_nothing_of_what_is_refused) {
    quring_db *db = NULL;
    cr_assert_eq(engine_db_open(engine, "fake:!", NULL, &db), QURING_EUNSUPPORTED);
    cr_assert_eq(engine_db_open(engine, "nobody's", NULL, &db), QURING_EURL);
    cr_assert_eq(engine_db_open(engine, "fake:c", &(quring_db_options){.exclusive = true, .connection_count = 2}, &db),
                 QURING_EINVAL);
    cr_assert_null(db);
    cr_assert_eq(list_first(&engine->hub.databases), &a->base.link);
    cr_assert_eq(engine->hub.databases.prev, &b->base.link);
}

/* ---- Shutting down ---- */

Test(engine_end, engine_shutdown_gives_what_runs_its_grace) {
    static const struct {
        const char *what;
        uint64_t work_ms, let_go_ms, grace_ms;
        const char *log, *reaped;
        uint64_t took_ms;
    } rows[] = {
        {"no grace", 50, 0, 0, "abandon 0 SHUTDOWN", "1 SHUTDOWN, 0 SHUTDOWN", 0},
        {"enough", 50, 0, 100, "", "1 SHUTDOWN, 0 OK", 50},
        {"too little", 50, 0, 10, "abandon 0 SHUTDOWN", "1 SHUTDOWN, 0 SHUTDOWN", 10},
        {"without end", 50, 0, UINT64_MAX, "", "1 SHUTDOWN, 0 OK", 50},
        {"no grace, on a lane", 50, 20, 0, "abandon 0 SHUTDOWN", "1 SHUTDOWN, 0 SHUTDOWN", 20},
        {"too little, on a lane", 50, 20, 10, "abandon 0 SHUTDOWN", "1 SHUTDOWN, 0 SHUTDOWN", 30},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        engine_again();
        a->depth = 1;
        a->work_ns = rows[i].work_ms * FAKE_MS;
        a->let_go_ns = rows[i].let_go_ms * FAKE_MS;
        fake_ask(a, 0);
        fake_ask(a, 1);
        engine_turn();
        uint64_t start = sim_now_ns(fake_sim());
        uint64_t grace = rows[i].grace_ms == UINT64_MAX ? UINT64_MAX : rows[i].grace_ms * FAKE_MS;
        cr_assert_eq(engine_shutdown(engine, grace), 2, "%s", rows[i].what);
        uint64_t took = sim_now_ns(fake_sim()) - start;
        cr_assert(took >= rows[i].took_ms * FAKE_MS && took < (rows[i].took_ms + 1) * FAKE_MS, "%s: %lu us",
                  rows[i].what, (unsigned long)(took / 1000));
        fake_assert_text(fake_log(), rows[i].log, rows[i].what);
        fake_assert_text(fake_reaped(engine), rows[i].reaped, rows[i].what);
    }
}

static void put_back(struct timer *timer) {
    (void)timer;
    fake_put_back(a);
}

/* As when a connection is lost before it was sent: it is not sent again. */
Test(engine_end, engine_shutdown_ends_what_is_put_back_meanwhile) {
    struct timer timer = {.fire = put_back};
    b->work_ns = 10 * FAKE_MS;
    fake_ask(a, 0);
    fake_ask(b, 1);
    engine_turn();
    cr_assert(timer_set(engine->hub.ring, &timer, sim_now_ns(fake_sim()) + 5 * FAKE_MS));
    uint64_t start = sim_now_ns(fake_sim());
    cr_assert_eq(engine_shutdown(engine, 50 * FAKE_MS), 2);
    fake_assert_text(fake_reaped(engine), "0 SHUTDOWN, 1 OK", "each as it ended");
    cr_assert_lt(sim_now_ns(fake_sim()) - start, 11 * FAKE_MS, "nothing is waited for that does not run");
}

Test(engine_end, engine_shutdown_keeps_a_wake_for_the_programs_own_wait) {
    a->work_ns = 10 * FAKE_MS;
    fake_ask(a, 0);
    engine_turn();
    ring_wake(engine->hub.ring);
    uint64_t start = sim_now_ns(fake_sim());
    engine_shutdown(engine, 100 * FAKE_MS);
    cr_assert_geq(sim_now_ns(fake_sim()) - start, 10 * FAKE_MS, "it does not keep the grace from passing");
    fake_assert_text(fake_reaped(engine), "0 OK", "all had their time");
    start = sim_now_ns(fake_sim());
    engine_run(engine, 1, 100 * FAKE_MS);
    cr_assert_lt(sim_now_ns(fake_sim()) - start, FAKE_MS, "the program is woken");
}

/* ---- Closing ---- */

Test(engine_end, engine_close_ends_queries_then_handles_then_the_ring) {
    a->close_ns = 5 * FAKE_MS;
    fake_ask(a, 0);
    fake_ask(b, 1);
    engine_turn();
    fake_ask(b, 2);
    engine_close(engine);
    fake_assert_text(fake_log(), "abandon 0 SHUTDOWN, abandon 1 SHUTDOWN, close a, close b, destroy b, destroy a",
                     "in this order");
    sim_free(fake_sim());
    engine = NULL;
}

Test(engine_end, engine_close_after_a_shutdown_ends_handles_alone) {
    fake_ask(a, 0);
    engine_turn();
    engine_shutdown(engine, 0);
    (void)fake_log();
    engine_close(engine);
    fake_assert_text(fake_log(), "close a, close b, destroy a, destroy b", "no query is ended twice");
    sim_free(fake_sim());
    engine = NULL;
}
