/* SPDX-License-Identifier: MIT */
/* What was given up is stopped on the server: when it is asked, whom a hit may meet, and what comes of a server that hangs. */
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

enum { CANCELS_MAX = 8 };

TestSuite(sim_cancel, .init = seeds_begin);

static uint64_t started_ns;

/* `count` connections that can be cancelled; a server that is silent without end is no concern of silence_ns here. */
static void open_cancelling(const quring_db_options *options) {
    open_world(options);
    world.server.cancels = true;
    world_connect(&world, options->connection_count ? options->connection_count : 1);
    world.allowed = MAY(TIMEOUT) | MAY(CANCELLED) | MAY_BE_LOST;
    started_ns = sim_now_ns(world.sim);
}

static void open_plain(uint32_t count, uint32_t depth) {
    open_cancelling(&(quring_db_options){.connection_count = count, .depth = depth, .silence_ns = QURING_FOREVER});
}

static uint64_t passed_ms(void) {
    return (sim_now_ns(world.sim) - started_ns) / MS;
}

static int ask_for(const char *verb, uint32_t number, uint64_t timeout_ns) {
    struct ask ask = {.verb = verb, .number = number, .timeout_ns = timeout_ns};
    int index = world_ask(&world, &ask);
    cr_assert_geq(index, 0);
    return index;
}

static uint64_t lost_count(void) {
    return world_stats(&world).connection_lost_count;
}

static const struct sim_entry *entry(int index) {
    return &world.server.ledger[index];
}

static void expect_counts(uint64_t asked, uint64_t stopped) {
    cr_assert_eq(world.server.asked_cancels, asked, "%u were asked", world.server.asked_cancels);
    cr_assert_eq(world_stats(&world).cancel_count, asked, "%llu", (unsigned long long)world_stats(&world).cancel_count);
    cr_assert_eq(world_stats(&world).cancel_stopped_count, stopped, "%llu",
                 (unsigned long long)world_stats(&world).cancel_stopped_count);
}

/* ---- A foreign loop ---- */

/* No event of the kernel tells of what the program itself has ended between two turns. */
Test(sim_cancel, a_foreign_loop_hears_of_what_was_given_up_in_line) {
    for (int how = 0; how < 3; how++) {
        open_plain(1, 1);
        quring_tx *tx;
        cr_assert_eq(quring_tx_open(world.db, NULL, &tx), 0);
        struct ask in_tx = {.verb = "insert", .in_block = true, .tx = tx, .skips = true};
        ask_for("silent", 0, 0);
        world_pass(&world, MS);
        int last = how == 1 ? world_ask(&world, &in_tx) : ask_for("select", 0, 0);
        world.allowed |= MAY(SHUTDOWN) | MAY(SKIPPED);
        (void)world_run(&world, 0, 0);
        cr_assert_gt(quring_timeout_ns(world.engine), 0);
        if (how == 0)
            cr_assert_eq(quring_cancel(world.engine, world.asked[last].id), 0);
        else if (how == 2)
            quring_db_close(world.db);
        else
            quring_tx_release(tx);
        cr_assert_eq(quring_timeout_ns(world.engine), 0, "%d", how);
        (void)world_run(&world, 0, 0);
        cr_assert(world.asked[last].ended, "%d", how);
        if (how != 1)
            quring_tx_release(tx);
        world_close_engine(&world);
        sim_settle(world.sim);
        world_free(&world);
    }
}

/* ---- When a server is asked ---- */

Test(sim_cancel, a_query_at_the_head_is_stopped) {
    open_plain(1, 4);
    int late = ask_for("sleep", 60000000, 100 * MS), cancelled = 0;
    world_finish(&world);
    expect(late, QURING_TIMEOUT, "57014");
    world_pass(&world, MS);
    cancelled = ask_for("silent", 0, 0);
    world_pass(&world, 10 * MS);
    cr_assert_eq(quring_cancel(world.engine, world.asked[cancelled].id), 0);
    int next = ask_for("select", 0, 0);
    world_finish(&world);
    expect(cancelled, QURING_CANCELLED, "57014");
    expect(next, QURING_OK, NULL);
    cr_assert_lt(passed_ms(), 130u);
    expect_counts(2, 2);
    cr_assert_eq(lost_count(), 0);
    world_close(&world);
}

/* One that has just come to the head may end before a cancel comes: most do. */
Test(sim_cancel, a_query_that_ends_at_once_costs_no_cancel) {
    open_plain(1, 8);
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 8; k++)
            ask_for("sleep", 1000, 500000);
        world_finish(&world);
        world_pass(&world, 20 * MS);
    }
    expect_counts(0, 0);
    world_close(&world);
}

Test(sim_cancel, a_query_behind_others_is_stopped_when_it_comes_to_the_head) {
    open_plain(1, 4);
    int before = ask_for("sleep", 500000, 0), late = ask_for("sleep", 60000000, 100 * MS);
    int behind = ask_for("rows", 3, 0);
    world_pass(&world, 400 * MS);
    expect(late, QURING_TIMEOUT, "57014");
    expect_counts(0, 0);
    world_finish(&world);
    expect(before, QURING_OK, NULL);
    expect(behind, QURING_OK, NULL);
    cr_assert_lt(passed_ms(), 510u);
    expect_counts(1, 1);
    world_close(&world);
}

Test(sim_cancel, one_after_the_other_of_many_is_stopped) {
    open_plain(1, 16);
    for (int i = 0; i < 16; i++)
        ask_for("sleep", 60000000, 100 * MS);
    world_finish(&world);
    int next = ask_for("select", 0, 0);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    expect_counts(16, 16);
    cr_assert_lt(passed_ms(), 200u, "%llu ms", (unsigned long long)passed_ms());
    world_close(&world);
}

/* A procedure may have committed, so that it can't be run again unseen. */
Test(sim_cancel, none_is_asked_for_where_it_could_harm_another) {
    open_plain(1, 4);
    int late = ask_for("sleep", 3000000, 100 * MS), behind = ask_for("call", 0, 0);
    world_pass(&world, 2 * SECOND);
    expect(late, QURING_TIMEOUT, "57014");
    expect_counts(0, 0);
    world_finish(&world);
    expect(behind, QURING_OK, NULL);
    world_close(&world);
}

/* The signal came between two messages, where the server forgets it. */
Test(sim_cancel, it_is_asked_for_again_ever_later) {
    open_plain(1, 4);
    world.server.cancel_misses = true;
    ask_for("sleep", 100000000, 100 * MS);
    world_pass(&world, 2 * SECOND);
    uint32_t asked = world.server.asked_cancels;
    cr_assert(asked >= 4 && asked <= 6, "%u", asked);
    world_pass(&world, 30 * SECOND);
    cr_assert(world.server.asked_cancels >= asked + 4 && world.server.asked_cancels < asked + 10, "%u",
              world.server.asked_cancels);
    world.server.cancel_misses = false;
    int next = ask_for("select", 0, 0);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    cr_assert_lt(passed_ms(), 45000u);
    world_close(&world);
}

Test(sim_cancel, a_server_that_takes_none_goes_on) {
    open_plain(1, 4);
    world.server.cancel_refused = true;
    ask_for("sleep", 1000000, 100 * MS);
    int next = ask_for("select", 0, 0);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    cr_assert_geq(passed_ms(), 1000u);
    cr_assert_gt(world.server.asked_cancels, 1);
    cr_assert_eq(world_stats(&world).cancel_count, 0);
    cr_assert_eq(lost_count(), 0);
    world_close(&world);
}

/* ---- Whom it hits ---- */

/* The given-up query ends by itself while the cancel is on its way. */
static bool hits_the_next(uint64_t seed) {
    struct sim_options sim = {.seed = seed, .latency_ns = 10000};
    quring_options engine = {.query_count = 64};
    quring_db_options db = {.connection_count = 1, .depth = 4, .commit = seed % 2 ? QURING_COMMIT_GROUP : 0};
    world_open(&world, &sim, &engine, &db, 20);
    world.grouped_by_default = seed % 2;
    world.server.cancels = true;
    world.server.cancel_ns = 6 * MS;
    world.allowed = MAY(TIMEOUT);
    world_connect(&world, 1);
    int late = ask_for("sleep", 5000, 3 * MS);
    (void)world_run(&world, 0, 0);
    int next = ask_for("sleep", 5000, 0), last = ask_for("insert", 0, 0);
    world_finish(&world);
    expect(late, QURING_TIMEOUT, "57014");
    expect(next, QURING_OK, NULL);
    expect(last, QURING_OK, NULL);
    bool hit = entry(next)->struck != 0;
    LAW(!hit || world_stats(&world).cancel_count, "a cancel that nobody asked for");
    world_close(&world);
    return hit;
}

static uint32_t hit_count;

static void hit_seed(uint64_t seed) {
    hit_count += hits_the_next(seed);
}

Test(sim_cancel, a_neighbour_that_is_hit_runs_again_unseen) {
    hit_count = 0;
    seeds_run(200, hit_seed);
    cr_assert_gt(hit_count, 0u);
}

/* What the server means by itself, such as its statement_timeout, comes again, and is told then. */
Test(sim_cancel, an_error_like_it_is_told_when_it_comes_again) {
    open_plain(1, 4);
    world.server.cancel_ns = 5 * MS;
    ask_for("sleep", 5000, 3 * MS);
    struct ask ask = {.verb = "error", .sqlstate = "57014"};
    int own = world_ask(&world, &ask);
    world_finish(&world);
    expect(own, QURING_SERVER_ERROR, "57014");
    cr_assert_leq(entry(own)->executed, 2);
    world_close(&world);
}

/* It ran again once, so that no cancel is asked for while it stands behind another that was given up. */
Test(sim_cancel, none_is_hit_twice) {
    open_plain(1, 4);
    for (uint64_t i = 0; i < 30; i++) {
        world.server.cancel_ns = 6 * MS;
        ask_for("sleep", 5000, 3 * MS);
        (void)world_run(&world, 0, 0);
        int next = ask_for("sleep", 6000, 0);
        ask_for("sleep", 5000, 4 * MS);
        world_finish(&world);
        expect(next, QURING_OK, NULL);
        cr_assert_leq(entry(next)->struck, 1);
        world_pass(&world, 50 * MS);
    }
    world_close(&world);
}

/* ---- What is sent meanwhile ---- */

Test(sim_cancel, nothing_is_sent_until_it_has_ended) {
    open_plain(1, 4);
    world.server.cancel_hangs = true;
    int late = ask_for("sleep", 60000000, 100 * MS);
    world_finish(&world);
    expect(late, QURING_TIMEOUT, "57014");
    world_pass(&world, SECOND);
    cr_assert_eq(world_stats(&world).cancel_stopped_count, 1, "it is hit, and answered");
    uint64_t messages = world.server.messages;
    int next = ask_for("select", 0, 0);
    world_pass(&world, SECOND);
    cr_assert_eq(world.server.messages, messages);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    cr_assert(passed_ms() >= 5100 && passed_ms() < 5300, "%llu ms", (unsigned long long)passed_ms());
    cr_assert_eq(lost_count(), 1, "the connection is broken when its time is over");
    world_close(&world);
}

/* The answer that is awaited behind the one that was given up is lost with the connection. */
Test(sim_cancel, a_server_that_never_ends_it_costs_the_connection) {
    open_plain(1, 4);
    world.server.cancel_hangs = world.server.cancel_misses = true;
    ask_for("sleep", 60000000, 100 * MS);
    int behind = ask_for("insert", 0, 0);
    world_finish(&world);
    expect(behind, QURING_IN_DOUBT, "08006");
    cr_assert(passed_ms() >= 5100 && passed_ms() < 5200, "%llu ms", (unsigned long long)passed_ms());
    world_close(&world);
}

Test(sim_cancel, no_more_than_a_few_are_out_at_once) {
    open_plain(20, 1);
    world.server.cancel_hangs = world.server.cancel_misses = true;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 20; i++)
            ask_for("sleep", 4000000, 100 * MS);
        world_pass(&world, 4 * SECOND + 200 * MS);
        if (round == 0)
            cr_assert_eq(world.server.asked_cancels, CANCELS_MAX);
    }
    uint64_t bounds = passed_ms() / 5000 + 1; /* each of the few takes so long */
    cr_assert_leq(world.server.asked_cancels, bounds * CANCELS_MAX, "%u", world.server.asked_cancels);
    world_finish(&world);
    world_close(&world);
}

Test(sim_cancel, closing_does_not_wait_for_it) {
    open_plain(4, 1);
    world.server.cancel_hangs = true;
    for (int i = 0; i < 4; i++)
        ask_for("sleep", 60000000, 100 * MS);
    world_finish(&world);
    world_pass(&world, 10 * MS);
    uint64_t before = sim_now_ns(world.sim);
    world_close_engine(&world);
    cr_assert_lt(sim_now_ns(world.sim) - before, 10 * MS);
    sim_settle(world.sim);
    world_free(&world);
}

/* ---- Exclusive handles ---- */

static int ask_in_block(const char *verb, const char *fails_with) {
    struct ask ask = {.verb = verb, .in_block = true, .fails_with = fails_with};
    return world_ask(&world, &ask);
}

Test(sim_cancel, an_exclusive_handle_goes_on_behind_it) {
    open_cancelling(&(quring_db_options){.exclusive = true});
    int begin = ask_in_block("begin", NULL);
    struct ask slow = {.verb = "sleep", .number = 60000000, .timeout_ns = 100 * MS, .in_block = true};
    int late = world_ask(&world, &slow);
    world_finish(&world);
    expect(begin, QURING_OK, NULL);
    expect(late, QURING_TIMEOUT, "57014");
    int inside = ask_in_block("select", "25P02"), end = ask_in_block("rollback", NULL), after = ask_for("select", 0, 0);
    world_finish(&world);
    expect(inside, QURING_SERVER_ERROR, "25P02");
    expect(end, QURING_OK, NULL);
    expect(after, QURING_OK, NULL);
    cr_assert_lt(passed_ms(), 120u);
    expect_counts(1, 1);
    world_close(&world);
}

/* What was sent behind it relies on it, and can't be run again. */
Test(sim_cancel, an_exclusive_handle_with_queries_behind_it_is_left_alone) {
    open_cancelling(&(quring_db_options){.exclusive = true, .depth = 8});
    int late = ask_for("sleep", 2000000, 100 * MS), behind = ask_for("sleep", 500000, 0);
    world_pass(&world, SECOND);
    int waiting = ask_for("insert", 0, 0);
    world_pass(&world, 500 * MS);
    cr_assert_eq(world_stats(&world).waiting_count, 1, "it is not sent behind the one that was given up");
    world_finish(&world);
    expect(late, QURING_TIMEOUT, NULL);
    expect(behind, QURING_OK, NULL);
    expect(waiting, QURING_OK, NULL);
    expect_counts(0, 0);
    world_close(&world);
}

/* ---- Behind a pooler ---- */

static void open_pooled(const quring_db_options *options) {
    open_world(options);
    world.server.cancels = world.server.pooled = true;
    world_connect(&world, 1);
    world.allowed = MAY(TIMEOUT);
    started_ns = sim_now_ns(world.sim);
}

Test(sim_cancel, behind_a_pooler_the_connection_is_closed) {
    open_pooled(&(quring_db_options){.connection_count = 1, .depth = 4});
    int late = ask_for("sleep", 60000000, 100 * MS);
    world_finish(&world);
    int next = ask_for("select", 0, 0);
    world_finish(&world);
    expect(late, QURING_TIMEOUT, "57014");
    expect(next, QURING_OK, NULL);
    cr_assert(passed_ms() >= 300 && passed_ms() < 500, "%llu ms", (unsigned long long)passed_ms());
    expect_counts(0, 0);
    cr_assert_eq(world.server.connects, 2);
    cr_assert_eq(lost_count(), 0, "it was closed, and not lost");
    world_close(&world);
}

Test(sim_cancel, behind_a_pooler_others_are_awaited) {
    open_pooled(&(quring_db_options){.connection_count = 1, .depth = 4});
    ask_for("sleep", 1000000, 100 * MS);
    int behind = ask_for("sleep", 1000000, 0);
    world_finish(&world);
    expect(behind, QURING_OK, NULL);
    cr_assert_eq(world.server.connects, 1);
    world_close(&world);
}

Test(sim_cancel, behind_a_pooler_an_exclusive_handle_is_left_alone) {
    open_pooled(&(quring_db_options){.exclusive = true});
    ask_for("sleep", 1000000, 100 * MS);
    int next = ask_for("select", 0, 0);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    cr_assert_eq(world.server.connects, 1);
    expect_counts(0, 0);
    world_close(&world);
}

/* ---- By chance ---- */

static void storm(uint64_t seed) {
    struct sim_options sim = {.seed = seed,
                              .start_ns = SECOND,
                              .latency_ns = 200000,
                              .split = 300,
                              .short_delivery = 300,
                              .again = 20,
                              .withhold = 100};
    quring_options engine = {.query_count = 64, .trace_count = seed % 3 ? 0 : 100000};
    quring_db_options db = {.connection_count = 1 + (uint32_t)(seed % 5),
                            .depth = 1 + (uint32_t)(seed % 9),
                            .commit = seed % 4 == 0 ? QURING_COMMIT_GROUP : 0};
    static const char *const verbs[] = {"select", "sleep", "insert", "sleep", "rows", "sleep", "sleep", "call"};
    world_open(&world, &sim, &engine, &db, 300);
    world.server.cancels = true;
    world.server.cancel_ns = seed % 3 * 3 * MS;
    world.grouped_by_default = seed % 4 == 0;
    world.allowed = MAY(TIMEOUT) | MAY(CANCELLED);
    for (int i = 0; i < 300; i++) {
        uint64_t kind = world_below(&world, 100);
        bool slow = kind % 7 % 2;
        struct ask ask = {.verb = verbs[kind % (kind < 95 ? 7 : 8)],
                          .number = slow ? (uint32_t)world_below(&world, 20000) : 3,
                          .timeout_ns = slow && kind < 60 ? 1 + world_below(&world, 20 * MS) : 0};
        int index = world_ask(&world, &ask);
        if (index == QURING_EFULL || world_below(&world, 4) == 0)
            (void)world_run(&world, 1, world_below(&world, 10 * MS));
        if (index >= 0 && world_below(&world, 8) == 0)
            (void)quring_cancel(world.engine, world.asked[index].id);
    }
    world_finish(&world);
    LAW(lost_count() == 0, "%llu connections were lost", (unsigned long long)lost_count());
    hit_count += (uint32_t)world_stats(&world).cancel_stopped_count;
    world_close(&world);
}

Test(sim_cancel, whatever_comes_together_no_other_query_fails) {
    hit_count = 0;
    seeds_run(200, storm);
    cr_assert_gt(hit_count, 0u);
}
