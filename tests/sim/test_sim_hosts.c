/* SPDX-License-Identifier: MIT */
/* Lists of hosts that hang and refuse, of which one is the server: it is reached, and closing waits for none of them. */
#include "base/rng.h"
#include "lib/sim_situation.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(sim_hosts, .init = seeds_begin);

enum { HOSTS_MAX = 9, CLOSE_MS = 301 };

static struct rng rng;

/* "host=hang,down,sim,…" */
static const char *draw_list(void) {
    static const char *const others[] = {"hang", "down"};
    static char list[100];
    uint32_t count = 1 + (uint32_t)rng_below(&rng, HOSTS_MAX), good = (uint32_t)rng_below(&rng, count);
    snprintf(list, sizeof list, "user=x host=");
    for (uint32_t i = 0; i < count; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s%u", i ? "," : "",
                 i == good ? "sim" : others[rng_below(&rng, 2)], i);
    }
    return list;
}

static void open_list(uint64_t seed) {
    struct sim_options sim = {.seed = seed, .latency_ns = 10000};
    quring_options engine = {.query_count = 100, .connection_count = 32};
    quring_db_options options = {.connection_count = 1 + (uint32_t)rng_below(&rng, 8),
                                 .depth = 4,
                                 .connect_timeout_ns = 100 * MS + rng_below(&rng, 20 * SECOND)};
    world_open(&world, &sim, &engine, NULL, 1000);
    quring_db_close(world.db);
    int error = quring_db_open(world.engine, draw_list(), &options, &world.db);
    LAW(error == 0, "%s", quring_errmsg(world.engine));
}

/* No good host is ever more than one attempt away: queries end, and after each loss they are answered again. */
static void reach(uint64_t seed) {
    rng.state = seed;
    open_list(seed);
    for (int round = 0; round < 5; round++) {
        world.allowed = MAY_BE_LOST;
        for (uint32_t i = 0; i < 4; i++)
            ask("select", 0, NULL);
        world_pass(&world, rng_below(&rng, 30 * SECOND));
        sim_server_kill(&world.server, rng_below(&rng, 2));
        world_finish(&world);
        world_pass(&world, SECOND);
        world_connect(&world, 1);
        world.allowed = 0;
        int query = ask("select", 0, NULL);
        world_finish(&world);
        expect(query, QURING_OK, NULL);
    }
    world_close(&world);
}

Test(sim_hosts, the_good_host_is_reached) {
    seeds_run(300, reach);
}

/* At any moment of the journey. */
static void leave(uint64_t seed) {
    rng.state = seed;
    open_list(seed);
    world.allowed = MAY_BE_LOST | MAY(SHUTDOWN);
    for (uint32_t i = 0; i < 4; i++)
        ask("select", 0, NULL);
    world_pass(&world, rng_below(&rng, 10 * SECOND));
    uint64_t start = sim_now_ns(world.sim);
    quring_db_close(world.db);
    world_finish(&world);
    LAW(sim_now_ns(world.sim) - start <= CLOSE_MS * MS, "%lu ms",
        (unsigned long)((sim_now_ns(world.sim) - start) / MS));
    world_close(&world);
}

Test(sim_hosts, closing_waits_for_no_host) {
    seeds_run(300, leave);
}
