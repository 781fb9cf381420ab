/* SPDX-License-Identifier: MIT */
/* Every operation in turn fails, with each error that it may fail with, until the scenario comes to its end without it. */
#include "lib/sim_world.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct world world;

/* Results of 5 rows are over their limit. */
static void ask_all(void) {
    struct ask grouped = {.verb = "insert", .commit = QURING_COMMIT_GROUP},
               over = {.verb = "rows", .number = 5, .commit = QURING_COMMIT_GROUP};
    world_query(&world, "select", 0, NULL), world_query(&world, "rows", 5, NULL), world_ask(&world, &over);
    world_query(&world, "error", 0, "22012"), world_query(&world, "big", 3000, NULL);
    world_ask(&world, &grouped), world_ask(&world, &grouped);
    world_query(&world, "insert", 0, NULL), world_query(&world, "select", 0, NULL);
}

static bool scenario(enum sim_point point, uint64_t nth, int error, bool passes) {
    struct sim_options sim = {.seed = nth, .latency_ns = 3000, .split = 200, .short_send = 200, .socket_bytes = 200};
    quring_db_options db = {.connection_count = 2, .depth = 4, .result_row_count = 4};
    struct sim_fault fault = {.point = point, .nth = nth, .error = error};
    quring_options engine = {.query_count = 18};
    world_open(&world, &sim, &engine, &db, 30);
    sim_set_fault(world.sim, &fault);
    world.allowed = MAY(LIMIT) | (passes ? 0 : MAY_BE_LOST);
    ask_all();
    world_finish(&world);
    ask_all();
    world_finish(&world);
    bool hit = sim_fault(world.sim)->hit; /* then all is well again by now */
    int last = world_query(&world, "select", 0, NULL);
    world_finish(&world);
    if (hit)
        world_expect(&world, last, QURING_OK, NULL);
    world_close_engine(&world);
    hit |= sim_fault(world.sim)->hit;
    sim_settle(world.sim);
    world_check_ledger(&world);
    world_free(&world);
    return hit;
}

static void each(enum sim_point point, const int *errors) {
    for (; *errors; errors++) {
        int error = *errors;
        bool passes = error == -EINTR || error == -EAGAIN || error == -ETIME || error == -EBUSY || point == SIM_ENTER;
        uint64_t nth = 1;
        while (scenario(point, nth, error, passes))
            nth++;
        cr_expect_gt(nth, 8u);
    }
}

TestSuite(sim_faults, .init = seeds_begin);

Test(sim_faults, each_push) {
    each(SIM_PUSH, (const int[]){-EBUSY, -EAGAIN, -ENOMEM, 0});
}

Test(sim_faults, each_enter) {
    each(SIM_ENTER, (const int[]){-EINTR, -ETIME, -ENOMEM, 0});
}

Test(sim_faults, each_receive) {
    each(SIM_RECV, (const int[]){-EINTR, -EAGAIN, -ECONNRESET, -ECANCELED, -ETIMEDOUT, -ENOMEM, 0});
}

Test(sim_faults, each_send) {
    each(SIM_SEND, (const int[]){-EINTR, -EAGAIN, -ECONNRESET, -EPIPE, -ECANCELED, -ENOBUFS, 0});
}
