/* SPDX-License-Identifier: MIT */
/*
 * ATOMIC batches over the simulated kernel and the scripted server, among single queries, with everything that goes wrong at
 * random from a seed. The laws are those of world_ask_batch(): the server's ledger is the oracle.
 */
#include "lib/sim_world.h"

#include <criterion/criterion.h>

enum { MS = 1000000, QUERIES = 200, MEMBERS = 10, LONG_MEMBERS = 40 };

/* What a storm has in it besides splits, delays and reordering. */
enum {
    FAILURES = 1,  /* members that fail, and commits that do */
    CONFLICTS = 2, /* which pass when all of it runs again */
    STALE = 4,
    LOSSES = 8,
    GIVING_UP = 16,
    LONG = 32 /* batches of more members than depth, among others */
};

static uint32_t any_depth(struct rng *rng, uint32_t in_it) {
    return in_it & LONG ? 1 + (uint32_t)rng_below(rng, 2 * MEMBERS) : MEMBERS + (uint32_t)rng_below(rng, 20);
}

static struct sim_options weather(uint64_t seed, uint32_t in_it) {
    struct rng rng = {seed * 1001};
    return (struct sim_options){
        .seed = seed,
        .start_ns = rng_next(&rng) >> (1 + rng_below(&rng, 40)),
        .socket_bytes = 1u << (6 + rng_below(&rng, 12)),
        .queue_count = 2 + (uint32_t)rng_below(&rng, 40),
        .latency_ns = rng_below(&rng, 4) ? rng_below(&rng, 300000) : 0,
        .split = (uint16_t)rng_below(&rng, 500),
        .short_send = (uint16_t)rng_below(&rng, 300),
        .short_delivery = (uint16_t)rng_below(&rng, 500),
        .withhold = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 300)),
        .reset = in_it & LOSSES && rng_below(&rng, 2) ? 3 : 0,
    };
}

static void storm_open(struct world *world, uint64_t seed, uint32_t in_it) {
    struct rng rng = {seed * 2002};
    struct sim_options sim = weather(seed, in_it);
    quring_options engine = {.query_count = 16 + (uint32_t)rng_below(&rng, 200),
                             .connection_count = 16,
                             .trace_count = seed % 2 ? 100000 : 0};
    quring_db_options db = {.connection_count = 1 + (uint32_t)rng_below(&rng, 4),
                            .depth = any_depth(&rng, in_it),
                            .statement_count = 1 + (uint32_t)rng_below(&rng, 20)};
    world_open(world, &sim, &engine, &db, QUERIES);
    world->late_release = seed % 3 == 0;
    if (in_it & LOSSES)
        world->allowed |= MAY_BE_LOST;
    if (in_it & GIVING_UP)
        world->allowed |= MAY(TIMEOUT) | MAY(CANCELLED);
    struct sim_server *server = &world->server;
    server->async = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 100));
    server->eager = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 500));
    if (in_it & CONFLICTS)
        server->conflict = (uint16_t)rng_below(&rng, 100);
    if (in_it & STALE) {
        server->stale = (uint16_t)rng_below(&rng, 100);
        server->forget = (uint16_t)rng_below(&rng, 100);
    }
    if (in_it & LOSSES)
        server->kill = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 30));
}

static struct ask any_member(struct world *world, uint32_t in_it) {
    static const char *const states[] = {"22012", "23505", "40001", "XX000", "57014"};
    struct ask ask = {.verb = "insert"};
    uint64_t kind = world_below(world, 100);
    uint32_t small = (uint32_t)world_below(world, 5);
    if (kind < 20) {
        ask.verb = (const char *[]){"select", "null"}[kind % 2];
    } else if (kind < 40) {
        ask.verb = (const char *[]){"rows", "big", "sleep"}[kind % 3];
        ask.number = 20 * small * small;
    } else if (kind < 44 && in_it & FAILURES) {
        ask.verb = (const char *[]){"error", "late", "refuse", "bad", "defer"}[small];
        ask.number = small;
        ask.sqlstate = states[world_below(world, 5)];
    }
    if (in_it & GIVING_UP && world_below(world, 30) == 0)
        ask.timeout_ns = 1 + world_below(world, 2 * MS);
    return ask;
}

/* Single queries go beside the batches only where the server has no conflicts, which would be theirs, too. */
static void storm_ask(struct world *world, uint32_t in_it) {
    struct ask asks[LONG_MEMBERS];
    bool is_long = in_it & LONG && world_below(world, 2);
    uint32_t count = 1 + (uint32_t)world_below(world, is_long ? LONG_MEMBERS : MEMBERS);
    if (world->asked_count + count > QUERIES)
        count = QUERIES - world->asked_count;
    bool single = !(in_it & CONFLICTS) && world_below(world, 3) == 0;
    for (uint32_t i = 0; i < count; i++)
        asks[i] = any_member(world, single ? in_it & ~(uint32_t)FAILURES : in_it);
    asks[0].commit = world_below(world, 2) ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH;
    int error = single ? world_ask(world, &asks[0]) : world_ask_batch(world, asks, count);
    LAW(error >= 0 || error == QURING_EFULL || error == QURING_ETOOBIG, "%s", quring_strerror(error));
}

static void something_happens(struct world *world, uint32_t in_it) {
    uint64_t what = world_below(world, 100);
    if (in_it & LOSSES && what == 0)
        sim_server_kill(&world->server, world_below(world, 2));
    if (in_it & GIVING_UP && what < 20 && world->asked_count)
        (void)quring_cancel(world->engine, world->asked[world_below(world, world->asked_count)].id);
}

static void storm_blow(struct world *world, uint32_t in_it) {
    while (world->asked_count < QUERIES) {
        for (uint64_t burst = world_below(world, 8); burst && world->asked_count < QUERIES; burst--)
            storm_ask(world, in_it);
        something_happens(world, in_it);
        world_run(world, (uint32_t)world_below(world, 30), world_below(world, 3) ? world_below(world, MS) : 0);
    }
}

static void storm_run(uint64_t seed, uint32_t in_it) {
    struct world world;
    storm_open(&world, seed, in_it);
    storm_blow(&world, in_it);
    world_finish(&world);
    world_close(&world);
}

static void calm_seed(uint64_t seed) {
    storm_run(seed, 0);
}

static void failing_seed(uint64_t seed) {
    storm_run(seed, FAILURES);
}

static void conflict_seed(uint64_t seed) {
    storm_run(seed, CONFLICTS);
}

static void stale_seed(uint64_t seed) {
    storm_run(seed, STALE);
}

static void loss_seed(uint64_t seed) {
    storm_run(seed, LOSSES);
}

static void giving_up_seed(uint64_t seed) {
    storm_run(seed, GIVING_UP | FAILURES);
}

static void long_seed(uint64_t seed) {
    static const uint32_t in_it[] = {LONG,
                                     LONG | FAILURES,
                                     LONG | CONFLICTS,
                                     LONG | STALE,
                                     LONG | LOSSES,
                                     LONG | GIVING_UP,
                                     LONG | GIVING_UP | FAILURES,
                                     LONG | GIVING_UP | LOSSES,
                                     LONG | CONFLICTS | LOSSES};
    storm_run(seed, in_it[seed % (sizeof in_it / sizeof *in_it)]);
}

static void any_seed(uint64_t seed) {
    storm_run(seed, (uint32_t)seed % 64);
}

TestSuite(sim_batch, .init = seeds_begin);

Test(sim_batch, all_members_commit) {
    seeds_run(200, calm_seed);
}

Test(sim_batch, a_failure_undoes_all_of_it) {
    seeds_run(200, failing_seed);
}

Test(sim_batch, conflicts_run_it_again) {
    seeds_run(200, conflict_seed);
}

Test(sim_batch, stale_plans_run_it_again) {
    seeds_run(200, stale_seed);
}

Test(sim_batch, losses_leave_all_or_none) {
    seeds_run(300, loss_seed);
}

Test(sim_batch, one_that_is_given_up_parts_no_batch) {
    seeds_run(300, giving_up_seed);
}

Test(sim_batch, long_ones_are_transactions) {
    seeds_run(450, long_seed);
}

Test(sim_batch, all_at_once) {
    seeds_run(600, any_seed);
}

/* ---- The end, in the middle of it ---- */

static void ending_seed(uint64_t seed) {
    struct world world;
    uint32_t in_it = (uint32_t)(seed / 3) % 64;
    storm_open(&world, seed, in_it);
    for (int i = 0; i < 10 && world.asked_count < QUERIES; i++) {
        storm_ask(&world, in_it);
        world_run(&world, 0, world_below(&world, MS));
    }
    world.allowed |= MAY(SHUTDOWN);
    if (seed % 3 == 0) {
        quring_db_close(world.db);
        world_finish(&world);
    } else {
        quring_shutdown(world.engine, seed % 3 == 1 ? 0 : world_below(&world, 5 * MS));
        world_reap(&world);
    }
    world_close(&world);
}

Test(sim_batch, an_end_in_mid_flight_parts_no_batch) {
    seeds_run(300, ending_seed);
}
