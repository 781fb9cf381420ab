/* SPDX-License-Identifier: MIT */
/*
 * The waits that quring_db_stats counts, beside those that the trace shows: from SUBMITTED or RETRIED to SENT. The trace's
 * are longer by what passes until the first turn of quring_run(), which is a few microseconds here.
 */
#include "lib/sim_world.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(sim_waits, .init = seeds_begin);

enum { QUERIES = 400, SLACK_CLASS = 8 /* 128 us and more are above what turns take */ };

static const uint64_t MS = 1000000;

static struct world world;
static uint64_t shown[QURING_WAIT_BUCKETS + 1]; /* by the trace: how many waited 2^(i - 1) us or longer; [0]: all */
static uint64_t given_ns[QUERIES];              /* when the query came to the queue last */

static void show(uint64_t wait_ns) {
    shown[0]++;
    for (uint32_t i = 1; i <= QURING_WAIT_BUCKETS; i++)
        shown[i] += wait_ns >= (UINT64_C(1000) << (i - 1));
}

static void take(void) {
    quring_event event;
    while (quring_trace(world.engine, &event, 1) == 1) {
        if (event.kind == QURING_EVENT_SUBMITTED || event.kind == QURING_EVENT_RETRIED)
            given_ns[event.user_data] = event.at_ns;
        if (event.kind == QURING_EVENT_SENT)
            show(event.at_ns - given_ns[event.user_data]);
    }
}

/* Each count of waits of at least some length lies between those of the trace, and all are there. */
static void compare(void) {
    quring_db_stats stats;
    quring_db_stats_get(world.db, &stats);
    uint64_t longer = 0;
    for (uint32_t i = QURING_WAIT_BUCKETS; i-- > 0;) {
        longer += stats.wait_count[i];
        LAW(longer <= shown[i], "%lu waits in class %u or above, and the trace has %lu", (unsigned long)longer, i,
            (unsigned long)shown[i]);
        LAW(i < SLACK_CLASS || longer >= shown[i + 1], "%lu waits in class %u or above, of %lu that were longer still",
            (unsigned long)longer, i, (unsigned long)shown[i + 1]);
    }
    LAW(longer == shown[0], "%lu queries were given away, and %lu sent", (unsigned long)longer,
        (unsigned long)shown[0]);
    LAW(stats.waiting_count + stats.inflight_count == quring_pending(world.engine), "another number is out");
}

static void one_seed(uint64_t seed) {
    struct sim_options sim = {.seed = seed, .start_ns = 1000 * MS, .latency_ns = 20000};
    quring_options engine = {.query_count = QUERIES, .trace_count = 1 << 14};
    quring_db_options db = {.connection_count = 1 + (uint32_t)(seed % 3), .depth = 1 + (uint32_t)(seed % 5)};
    memset(shown, 0, sizeof shown);
    world_open(&world, &sim, &engine, &db, QUERIES);
    world.events.engine = NULL; /* the events are taken here */
    world.allowed = MAY(TIMEOUT) | MAY(CANCELLED);
    world.server.stale = 50;
    world.lenient = seed % 2; /* what has others of its key behind it is not repaired */
    world.allowed |= seed % 2 ? MAY(SERVER_ERROR) : 0;
    for (int i = 0; i < QUERIES;) {
        for (uint64_t burst = world_below(&world, 12); burst-- && i < QUERIES; i++) {
            bool slow = world_below(&world, 10) == 0;
            struct ask asked = {.verb = slow ? "sleep" : "select",
                                .number = slow ? (uint32_t)world_below(&world, 3000) : 0,
                                .timeout_ns = world_below(&world, 5) ? 0 : 1 + world_below(&world, 40 * MS),
                                .order_key = seed % 2 ? world_below(&world, 6) : 0};
            (void)world_ask(&world, &asked);
        }
        world_run(&world, 0, 0);
        world_pass(&world, world_below(&world, 2 * MS));
        take();
        compare();
    }
    world_finish(&world);
    take();
    compare();
    world_close(&world);
}

Test(sim_waits, quring_db_stats_get_counts_the_waits_that_the_trace_shows) {
    seeds_run(100, one_seed);
}
