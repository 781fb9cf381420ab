/* SPDX-License-Identifier: MIT */
/*
 * Storms: the whole engine over the simulated kernel and the scripted server, many connections and queries, everything
 * at random from a seed. Which statuses may come depends on what the storm has in it; the laws are those of sim_world.h.
 */
#include "lib/sim_world.h"

#include <criterion/criterion.h>

enum { MS = 1000000, SECOND = 1000000000 };

/* What a storm has in it besides splits, short sends, delays, reordering, -EINTR, -EAGAIN and -EBUSY. */
enum {
    STALE = 1,     /* plans that go stale, statements that are forgotten */
    GROUPS = 2,    /* members of groups */
    LOSSES = 4,    /* resets, kills, FATAL, refused connecting */
    GIVING_UP = 8, /* timeouts and cancels */
    HOSTILE = 16   /* a server that breaks the protocol */
};

struct storm {
    struct world world;
    uint32_t in_it;
    uint32_t prepared_most; /* on one connection */
};

static struct sim_options weather(uint64_t seed, uint32_t in_it) {
    struct rng rng = {seed * 1001};
    return (struct sim_options){
        .seed = seed,
        .start_ns = rng_next(&rng) >> (1 + rng_below(&rng, 40)),
        .socket_bytes = 1u << (6 + rng_below(&rng, 12)),
        .queue_count = 2 + (uint32_t)rng_below(&rng, 40),
        .latency_ns = rng_below(&rng, 4) ? rng_below(&rng, 300000) : 0,
        .bytewise = rng_below(&rng, 20) == 0,
        .split = (uint16_t)rng_below(&rng, 500),
        .short_send = (uint16_t)rng_below(&rng, 300),
        .short_delivery = (uint16_t)rng_below(&rng, 500),
        .again = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 100)),
        .cancelled = (uint16_t)(rng_below(&rng, 2) * 500),
        .busy = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 100)),
        .interrupt = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 100)),
        .withhold = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 300)),
        .reset = in_it & LOSSES && rng_below(&rng, 2) ? 3 : 0,
        .batch = (uint32_t)(rng_below(&rng, 2) * rng_below(&rng, 6)),
    };
}

static uint32_t allowed(uint32_t in_it) {
    uint32_t may = 0;
    if (in_it & LOSSES)
        may |= MAY_BE_LOST;
    if (in_it & GIVING_UP)
        may |= MAY(TIMEOUT) | MAY(CANCELLED);
    if (in_it & HOSTILE)
        may |= MAY(PROTOCOL);
    return may;
}

static void storm_open(struct storm *storm, uint64_t seed, uint32_t in_it, uint32_t query_count) {
    struct rng rng = {seed * 2002};
    struct sim_options sim = weather(seed, in_it);
    quring_options engine = {.query_count = 16 + (uint32_t)rng_below(&rng, 200),
                             .connection_count = 16,
                             .spin_ns = rng_below(&rng, 4) ? 0 : rng_below(&rng, 3000),
                             .trace_count = seed % 2 ? 100000 : 0};
    quring_db_options db = {
        .connection_count = 1 + (uint32_t)rng_below(&rng, 5),
        .depth = 1 + (uint32_t)rng_below(&rng, rng_below(&rng, 2) ? 4 : 40),
        .statement_count = 1 + (uint32_t)rng_below(&rng, 20),
        .commit = in_it & GROUPS && rng_below(&rng, 2) ? QURING_COMMIT_GROUP : QURING_COMMIT_DEFAULT,
        .prepared_statements = rng_below(&rng, 8) ? QURING_PREPARED_DEFAULT : QURING_PREPARED_NEVER,
    };
    /* One name for each place in the cache, and the unnamed statement. */
    *storm =
        (struct storm){.in_it = in_it,
                       .prepared_most = (db.prepared_statements == QURING_PREPARED_NEVER ? 0 : db.statement_count) + 1};
    world_open(&storm->world, &sim, &engine, &db, query_count);
    storm->world.allowed = allowed(in_it);
    storm->world.late_release = seed % 3 == 0;
    storm->world.grouped_by_default = db.commit == QURING_COMMIT_GROUP;
    struct sim_server *server = &storm->world.server;
    server->async = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 200));
    server->eager = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 500));
    if (in_it & STALE) {
        server->stale = (uint16_t)rng_below(&rng, 100);
        server->forget = (uint16_t)rng_below(&rng, 100);
    }
    if (in_it & GIVING_UP && seed % 2) {
        server->cancels = true;
        server->cancel_ns = rng_below(&rng, 4 * MS);
        server->cancel_hangs = in_it & LOSSES && rng_below(&rng, 8) == 0;
    }
    if (in_it & LOSSES)
        server->kill = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 30));
}

static struct ask any_ask(struct storm *storm) {
    static const char *const states[] = {"22012", "23505", "40001", "XX000", "57014"};
    struct world *world = &storm->world;
    struct ask ask = {.verb = "select", .by_handle = world_below(world, 5) == 0};
    uint64_t kind = world_below(world, 100);
    uint32_t small = (uint32_t)world_below(world, 5);
    if (kind < 40) {
        ask.verb = (const char *[]){"select", "insert", "null", "select"}[kind % 4];
    } else if (kind < 60) {
        ask.verb = "rows";
        ask.number = small * small;
    } else if (kind < 70) {
        ask.verb = (const char *[]){"big", "sleep"}[kind % 2];
        ask.number = (world->server.cancels ? 500 : 100) * small * small;
    } else if (kind < 72) {
        ask.verb = "call";
    } else if (kind < 75) {
        ask.verb = "notice";
        ask.number = small;
    } else if (kind < 92) {
        ask.verb = (const char *[]){"error", "late", "refuse", "bad", "defer"}[kind % 5];
        ask.number = small;
        ask.sqlstate = states[small];
    } else if (kind < 94 && storm->in_it & LOSSES) {
        ask.verb = (const char *[]){"fatal", "farewell"}[kind % 2];
        ask.sqlstate = "57P01";
    } else if (kind < 96 && storm->in_it & HOSTILE) {
        ask.verb = "hostile";
        ask.number = (uint32_t)world_below(world, SIM_HOSTILE_COUNT);
    }
    if (storm->in_it & GROUPS && world_below(world, 2))
        ask.commit = QURING_COMMIT_GROUP;
    if (storm->in_it & GIVING_UP && world_below(world, 8) == 0)
        ask.timeout_ns = 1 + world_below(world, 2 * MS);
    return ask;
}

static void something_happens(struct storm *storm) {
    struct world *world = &storm->world;
    uint64_t what = world_below(world, 300);
    if (storm->in_it & LOSSES && what == 0)
        sim_server_kill(&world->server, world_below(world, 2));
    if (storm->in_it & LOSSES && what == 1) {
        world->server.refusal = "57P03";
        world->server.refusals_left = (uint32_t)world_below(world, 5);
    }
    if (storm->in_it & GIVING_UP && what < 60 && world->asked_count)
        (void)quring_cancel(world->engine, world->asked[world_below(world, world->asked_count)].id);
    if (what == 299)
        quring_wake(world->engine);
}

static void storm_ask(struct storm *storm, uint32_t query_count) {
    struct world *world = &storm->world;
    for (uint64_t burst = world_below(world, 40); burst && world->asked_count < query_count; burst--) {
        struct ask ask = any_ask(storm);
        int error = world_ask(world, &ask);
        LAW(error >= 0 || error == QURING_EFULL, "quring_submit: %s", quring_strerror(error));
        if (error == QURING_EFULL)
            break;
    }
}

static void storm_blow(struct storm *storm, uint32_t query_count) {
    struct world *world = &storm->world;
    while (world->asked_count < query_count) {
        storm_ask(storm, query_count);
        something_happens(storm);
        uint64_t timeout_ns = world_below(world, 3) ? world_below(world, MS) : 0;
        world_run(world, (uint32_t)world_below(world, 30), timeout_ns);
    }
}

/* ---- A seed is a test case ---- */

struct record {
    uint64_t now_ns, messages, enters, received_bytes;
};

static struct record storm_record(uint64_t seed) {
    struct storm storm;
    storm_open(&storm, seed, LOSSES | GROUPS | STALE | GIVING_UP, 100);
    storm_blow(&storm, 100);
    world_finish(&storm.world);
    quring_stats stats = world_stats(&storm.world);
    struct record record = {sim_now_ns(storm.world.sim), storm.world.server.messages, stats.enter_count,
                            stats.received_bytes};
    world_close(&storm.world);
    return record;
}

static void replay_seed(uint64_t seed) {
    struct record once = storm_record(seed), again = storm_record(seed);
    LAW(memcmp(&once, &again, sizeof once) == 0, "the same seed does something else when it runs again");
}

Test(sim_engine, a_seed_replays) {
    seeds_run(20, replay_seed);
}

/* ---- Storms ---- */

static void storm_run(uint64_t seed, uint32_t in_it) {
    enum { QUERIES = 120 };
    struct storm storm;
    storm_open(&storm, seed, in_it, QUERIES);
    storm_blow(&storm, QUERIES);
    world_finish(&storm.world);
    LAW(storm.world.server.prepared_most <= storm.prepared_most, "%u statements on one connection, of %u",
        storm.world.server.prepared_most, storm.prepared_most);
    world_close(&storm.world);
}

static void calm_seed(uint64_t seed) {
    storm_run(seed, 0);
}

static void stale_seed(uint64_t seed) {
    storm_run(seed, STALE);
}

static void group_seed(uint64_t seed) {
    storm_run(seed, GROUPS);
}

static void loss_seed(uint64_t seed) {
    storm_run(seed, LOSSES);
}

static void giving_up_seed(uint64_t seed) {
    storm_run(seed, GIVING_UP);
}

static void hostile_seed(uint64_t seed) {
    storm_run(seed, HOSTILE);
}

static void any_seed(uint64_t seed) {
    storm_run(seed, (uint32_t)seed % 32);
}

Test(sim_engine, each_query_ends_as_its_statement_says) {
    seeds_run(200, calm_seed);
}

Test(sim_engine, stale_plans_are_repaired) {
    seeds_run(200, stale_seed);
}

Test(sim_engine, groups_take_effect_once) {
    seeds_run(200, group_seed);
}

Test(sim_engine, lost_connections_lose_no_query) {
    seeds_run(200, loss_seed);
}

Test(sim_engine, timeouts_and_cancels_disturb_no_other) {
    seeds_run(200, giving_up_seed);
}

Test(sim_engine, a_hostile_server_gets_protocol) {
    seeds_run(200, hostile_seed);
}

Test(sim_engine, all_at_once) {
    seeds_run(600, any_seed);
}

/* ---- The end, in the middle of it ---- */

static void end_engine(struct storm *storm, uint64_t how) {
    struct world *world = &storm->world;
    world->allowed |= MAY(SHUTDOWN);
    if (how < 2) {
        uint64_t grace_ns = how ? world_below(world, 5 * MS) : 0;
        int ready = quring_shutdown(world->engine, grace_ns);
        LAW(ready == (int)quring_pending(world->engine), "%d ready of %u pending", ready,
            quring_pending(world->engine));
        struct ask ask = {.verb = "select"};
        LAW(world_ask(world, &ask) == QURING_ESHUTDOWN, "a query was accepted after shutdown");
        world_reap(world);
        LAW(world->ended_count == world->accepted_count, "%u of %u queries ended", world->ended_count,
            world->accepted_count);
    } else if (how == 2) { /* closed with its queries out: nobody sees how they end */
        world->accepted_count = world->ended_count;
        for (uint32_t i = 0; i < world->asked_count; i++)
            if (!world->asked[i].ended)
                world->asked[i].status = QURING_SHUTDOWN;
    } else {
        quring_db_close(world->db);
        struct ask ask = {.verb = "select"};
        if (how == 3)
            LAW(world_ask(world, &ask) == QURING_ESHUTDOWN, "a query was accepted by a closed database");
        world_finish(world);
    }
}

static void ending_seed(uint64_t seed) {
    enum { QUERIES = 120 };
    struct storm storm;
    storm_open(&storm, seed, (uint32_t)(seed / 5) % 32, QUERIES + 1);
    storm_blow(&storm, 1 + (uint32_t)world_below(&storm.world, QUERIES));
    end_engine(&storm, seed % 5);
    world_close(&storm.world);
}

Test(sim_engine, an_end_in_mid_flight_ends_each_query_once) {
    seeds_run(500, ending_seed);
}
