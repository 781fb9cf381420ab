/* SPDX-License-Identifier: MIT */
/* How many connections there are at any time, under load, while they come and go by themselves: and no query suffers. */
#include "lib/sim_situation.h"
#include "pg/pg.h"

#include <criterion/criterion.h>

TestSuite(sim_sizes, .init = seeds_begin);

static const struct pg_pool *pool_now(void) {
    return &((const struct pg_db *)world.db)->pool;
}

/* ---- Options that contradict each other ---- */

Test(sim_sizes, options_that_contradict_each_other) {
    static const struct {
        quring_db_options options;
        const char *words;
    } rows[] = {
        {{.connection_count = 4, .connection_min_count = 5}, "connection_min_count 5 is more than connection_count 4"},
        {{.connection_min_count = 9}, "connection_min_count 9 is more than connection_count 8"},
        {{.exclusive = true, .connection_min_count = 1}, "never replaced"},
        {{.exclusive = true, .connection_idle_ns = SECOND}, "never replaced"},
        {{.exclusive = true, .connection_lifetime_ns = SECOND}, "never replaced"},
        {{.exclusive = true, .health_check_ns = SECOND}, "never replaced"},
        {{.health_check_ns = SECOND, .silence_ns = QURING_FOREVER}, "without silence_ns"},
    };
    open_one(4);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        quring_db *db = NULL;
        int error = quring_db_open(world.engine, "postgresql://x@127.0.0.1/x", &rows[i].options, &db);
        cr_assert_eq(error, QURING_EINVAL, "row %zu: %d", i, error);
        cr_assert(strstr(quring_errmsg(world.engine), rows[i].words), "%s", quring_errmsg(world.engine));
    }
    const quring_db_options never = {.connection_count = 2,
                                     .connection_idle_ns = QURING_FOREVER,
                                     .connection_lifetime_ns = QURING_FOREVER,
                                     .health_check_ns = QURING_FOREVER};
    cr_assert_eq(world_open_db(&world, &never), 0);
    world_connect(&world, 3);
    world_pass(&world, 100000 * SECOND);
    cr_assert_eq(world.server.connects, 3, "nothing comes and goes");
    world_close(&world);
}

/* ---- A model of the counts that are allowed ---- */

struct bounds {
    uint32_t least, most;
    bool reached; /* the least number was up once */
};

static quring_db_options draw_options(void) {
    quring_db_options options = {.connection_count = 1 + (uint32_t)world_below(&world, 10)};
    options.connection_min_count = 1 + (uint32_t)world_below(&world, options.connection_count);
    options.depth = 1 + (uint32_t)world_below(&world, 8);
    options.connection_idle_ns = world_below(&world, 2) * (1 + world_below(&world, 5)) * SECOND;
    options.connection_lifetime_ns = world_below(&world, 4) ? (5 + world_below(&world, 15)) * SECOND : 0;
    options.health_check_ns = world_below(&world, 2) * (1 + world_below(&world, 2000)) * MS;
    return options;
}

/* What the server sees at its end may lag by connections of which one has just ended for another to begin. */
static void check(struct bounds *bounds) {
    const struct pg_pool *pool = pool_now();
    uint32_t there = sim_server_conn_count(&world.server);
    LAW(there <= bounds->most + 1, "%u connections, of %u at most", there, bounds->most);
    LAW(world_stats(&world).connection_count <= bounds->most, "%u", world_stats(&world).connection_count);
    bounds->reached |= pool->ready_count >= bounds->least;
    uint32_t missing = bounds->least == bounds->most;
    LAW(!bounds->reached || pool->ready_count + missing >= bounds->least, "%u are ready, of %u at least",
        pool->ready_count, bounds->least);
}

static void ask_some(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct ask what = {.verb = "select"};
        if (world_below(&world, 4) == 0)
            what = (struct ask){.verb = "sleep", .number = (uint32_t)world_below(&world, 400000)};
        else if (world_below(&world, 3) == 0)
            what = (struct ask){.verb = "insert", .commit = QURING_COMMIT_GROUP};
        world_ask(&world, &what);
    }
}

static void run_model(uint64_t seed) {
    struct sim_options sim = {.seed = seed, .latency_ns = 100000, .short_delivery = 50, .split = 50};
    quring_options engine = {.query_count = 500, .connection_count = 64};
    world_begin(&world, &sim, 4000);
    cr_assert_eq(world_open_engine(&world, &engine, NULL), 0);
    quring_db_options options = draw_options();
    cr_assert_eq(world_open_db(&world, &options), 0);
    struct bounds bounds = {.least = options.connection_min_count, .most = options.connection_count};
    uint64_t until = sim_now_ns(world.sim) + 60 * SECOND;
    while (sim_now_ns(world.sim) < until) {
        if (world.accepted_count < 3900 && world.accepted_count - world.ended_count < 400)
            ask_some((uint32_t)world_below(&world, world_below(&world, 10) ? 4 : 30));
        world_pass(&world, world_below(&world, world_below(&world, 20) ? 200 * MS : 4 * SECOND) + 1);
        check(&bounds);
    }
    world_finish(&world);
    quring_stats stats = world_stats(&world);
    LAW(stats.connection_lost_count == 0 && stats.connect_failure_count == 0, "%lu were lost",
        (unsigned long)stats.connection_lost_count);
    if (options.connection_lifetime_ns)
        LAW(stats.connect_count >= bounds.least * (60 * SECOND / (options.connection_lifetime_ns + SECOND)),
            "%lu connections in a minute", (unsigned long)stats.connect_count);
    world_pass(&world, 30 * SECOND);
    if (options.connection_idle_ns && !options.connection_lifetime_ns)
        LAW(pool_now()->ready_count <= bounds.least + 1, "%u are up, idle", pool_now()->ready_count);
    check(&bounds);
    world_close(&world);
}

Test(sim_sizes, connections_come_and_go_within_their_bounds) {
    seeds_run(150, run_model);
}
