/* SPDX-License-Identifier: MIT */
/* How often, and how many at once, connections are tried: over minutes and hours, against servers that count. */
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

TestSuite(sim_manners, .init = seeds_begin);

static void open_pool(uint64_t seed, uint32_t connections) {
    struct sim_options sim = {.seed = seed, .latency_ns = 100000};
    quring_options engine = {.query_count = 2000, .connection_count = connections};
    quring_db_options db = {.connection_count = connections};
    world_open(&world, &sim, &engine, &db, 5000);
}

static uint32_t up_count(void) {
    return world_stats(&world).connection_count;
}

/* Runs until all are up again. Returns how long that took. */
static uint64_t recover(uint32_t connections) {
    uint64_t start = sim_now_ns(world.sim);
    while (up_count() < connections) {
        world_pass(&world, 10 * MS);
        cr_assert_lt(sim_now_ns(world.sim) - start, 60 * SECOND, "%u are up", up_count());
    }
    return sim_now_ns(world.sim) - start;
}

/* A real server takes some milliseconds for each, and as many at once as come. */
Test(sim_manners, a_thousand_connections_are_back_soon_and_never_more_than_64_try) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
        open_pool(seed, 1000);
        world.server.barrier_ns = 5 * MS;
        recover(1000);
        cr_assert_leq(world.server.starting_most, 64, "%u at once", world.server.starting_most);
        world.server.refusal = "08001";
        world.server.refusals_left = UINT32_MAX;
        sim_server_kill(&world.server, true);
        uint32_t before = world.server.attempts;
        world_pass(&world, (3 + seed) * SECOND);
        cr_assert_leq(world.server.attempts - before, 20, "%u attempts at a server that is down",
                      world.server.attempts - before);
        world.server.refusals_left = 0;
        world.server.starting_most = 0;
        uint64_t took = recover(1000);
        cr_assert_leq(took, 3 * SECOND, "seed %lu: %lu ms", (unsigned long)seed, (unsigned long)(took / MS));
        cr_assert(world.server.starting_most <= 64 && world.server.starting_most > 32, "%u at once",
                  world.server.starting_most);
        world_close(&world);
    }
}

Test(sim_manners, an_idle_handle_that_was_refused_for_good_tries_once_in_an_hour) {
    static const char *const sqlstates[] = {"28P01", "28000", "3D000", "42501"};
    for (size_t i = 0; i < sizeof sqlstates / sizeof *sqlstates; i++) {
        open_pool(1, 20);
        world.server.refusal = sqlstates[i];
        world.server.refusals_left = UINT32_MAX;
        world_pass(&world, 3600 * SECOND);
        cr_assert_eq(world.server.attempts, 1, "%u attempts", world.server.attempts);
        world_close(&world);
    }
}

/* Ten queries a second for ten minutes: between ten and twenty attempts, and no query waits for one. */
Test(sim_manners, queries_of_a_handle_that_is_refused_for_good_end_at_once) {
    open_pool(1, 20);
    world.allowed = MAY(NOT_SENT);
    world.server.refusal = "28P01";
    world.server.refusals_left = UINT32_MAX;
    for (int i = 0; i < 2000; i++) {
        int query = ask("select", 0, NULL);
        uint64_t start = sim_now_ns(world.sim);
        world_finish(&world);
        expect(query, QURING_NOT_SENT, "28P01");
        cr_assert_lt(sim_now_ns(world.sim) - start, MS);
        world_pass(&world, 300 * MS);
    }
    cr_assert(world.server.attempts >= 10 && world.server.attempts <= 21, "%u attempts", world.server.attempts);
    world.server.refusals_left = 0;
    world_pass(&world, 60 * SECOND);
    int served = ask("select", 0, NULL);
    world_finish(&world);
    expect(served, QURING_OK, NULL);
    recover(20);
    world_close(&world);
}

/* The password is changed while all are up: they serve on, and no storm of attempts comes with each that is lost. */
Test(sim_manners, what_is_up_serves_on_when_new_ones_are_refused_for_good) {
    open_pool(1, 20);
    recover(20);
    world.server.refusal = "28P01";
    world.server.refusals_left = UINT32_MAX;
    uint32_t before = world.server.attempts;
    world.allowed = MAY(IN_DOUBT);
    ask("fatal", 0, "57P01");
    world_finish(&world);
    world.allowed = 0;
    for (int i = 0; i < 1000; i++) {
        ask("select", 0, NULL);
        world_finish(&world);
        world_pass(&world, 100 * MS);
    }
    cr_assert_eq(up_count(), 19);
    cr_assert_leq(world.server.attempts - before, 5, "%u attempts", world.server.attempts - before);
    world_close(&world);
}

/* Some of the connections find no place: the others serve, and it is asked for one more of them less and less often. */
Test(sim_manners, surplus_connections_try_one_at_a_time_up_to_a_minute_apart) {
    open_pool(1, 50);
    world.server.places = 20;
    world_pass(&world, 240 * SECOND);
    cr_assert_eq(up_count(), 20);
    uint32_t before = world.server.attempts;
    for (int i = 0; i < 100; i++) {
        ask("select", 0, NULL);
        world_finish(&world);
        world_pass(&world, 6 * SECOND);
    }
    uint32_t attempts = world.server.attempts - before;
    cr_assert(attempts >= 10 && attempts <= 21, "%u attempts in ten minutes", attempts);
    /* Five places become free: they are not all taken in one go. */
    world.server.places = 25;
    uint64_t start = sim_now_ns(world.sim);
    while (up_count() == 20)
        world_pass(&world, 100 * MS);
    world_pass(&world, 20 * MS);
    cr_assert_leq(up_count(), 21);
    world.server.places = 0;
    recover(50);
    cr_assert_leq(sim_now_ns(world.sim) - start, 120 * SECOND);
    world_close(&world);
}

/* All are lost, and its places are free: that is a restart, and they are back as soon as after any other. */
Test(sim_manners, a_server_that_was_crowded_and_restarts_is_tried_at_once) {
    open_pool(1, 50);
    world.server.places = 20;
    world_pass(&world, 240 * SECOND);
    sim_server_kill(&world.server, true);
    world_pass(&world, 3 * SECOND);
    cr_assert_eq(up_count(), 20);
    world_close(&world);
}

/* It ends each connection right behind its first exchange; by then two others have begun, as behind any success. */
Test(sim_manners, connections_that_are_ended_at_once_are_made_less_and_less_often) {
    open_pool(1, 50);
    world.server.barrier_fatal = "57P01";
    world_pass(&world, 20 * SECOND);
    uint32_t before = world.server.attempts;
    world_pass(&world, 100 * SECOND);
    uint32_t attempts = world.server.attempts - before;
    cr_assert(attempts >= 70 && attempts <= 400, "%u attempts in 100 s", attempts);
    world.server.barrier_fatal = NULL;
    cr_assert_leq(recover(50), 3 * SECOND);
    world_close(&world);
}
