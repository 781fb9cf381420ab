/* SPDX-License-Identifier: MIT */
/*
 * What quring_db_status() says, beside what a model has that knows the handle's events and its server alone: who has been
 * connected and not lost since, whom the server has refused, and in which words.
 */
#include "lib/sim_world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(sim_status, .init = seeds_begin);

enum { CONNECTIONS = 5, QUERIES = 300 };

static const uint64_t MS = 1000000, SECOND = 1000000000;

static struct world world;

static struct {
    bool up[CONNECTIONS + 1]; /* by number */
    bool ever_up, refused, lost;
    uint32_t failure_count;
    char sqlstate[6], message[1024];
    uint64_t reason_at_ns;
    quring_db_state state;
    uint32_t visits[QURING_DB_CLOSING + 1];
} model;

static uint32_t model_up_count(void) {
    uint32_t count = 0;
    for (int i = 1; i <= CONNECTIONS; i++)
        count += model.up[i];
    return count;
}

static quring_db_state model_state(void) {
    return model_up_count() ? QURING_DB_UP
           : model.lost     ? QURING_DB_LOST
           : model.refused  ? QURING_DB_REFUSED
           : model.ever_up  ? QURING_DB_OUTAGE
                            : QURING_DB_TRYING;
}

static bool is_refusal(const char *sqlstate) {
    return strncmp(sqlstate, "28", 2) == 0 || strcmp(sqlstate, "3D000") == 0 || strcmp(sqlstate, "42501") == 0;
}

static void model_take(const quring_event *event, bool exclusive) {
    bool failed = event->kind == QURING_EVENT_REFUSED, lost = event->kind == QURING_EVENT_LOST;
    if (event->kind == QURING_EVENT_CONNECTED) {
        model.up[event->connection] = model.ever_up = true;
        model.refused = false;
        model.failure_count = 0;
    }
    if (lost) {
        model.up[event->connection] = false;
        model.lost |= exclusive;
    }
    if (failed) {
        model.failure_count++;
        if (!model_up_count())
            model.refused = is_refusal(event->sqlstate);
    }
    if (failed || lost) {
        memcpy(model.sqlstate, event->sqlstate, sizeof model.sqlstate);
        snprintf(model.message, sizeof model.message, "%s", event->message);
        model.reason_at_ns = event->at_ns;
    }
}

static void compare(bool exclusive) {
    quring_event event;
    quring_db_info info;
    while (quring_trace(world.engine, &event, 1) == 1)
        model_take(&event, exclusive);
    cr_assert_eq(quring_db_status(world.db, &info), 0);
    LAW(info.state == model_state(), "%s, not %s", quring_db_state_name(info.state),
        quring_db_state_name(model_state()));
    LAW(info.up_count == model_up_count() && info.up_count == info.idle_count + info.busy_count, "%u are up, not %u",
        info.up_count, model_up_count());
    LAW(info.busy_count <= quring_pending(world.engine), "%u are busy with %u queries", info.busy_count,
        quring_pending(world.engine));
    LAW(info.up_count + info.connecting_count + info.ending_count + info.retrying_count ==
            info.wanted_count - (model.lost && info.state == QURING_DB_LOST && !info.ending_count),
        "one is missing or counted twice");
    LAW(info.failure_count == model.failure_count, "%u failures, not %u", info.failure_count, model.failure_count);
    LAW(strcmp(info.sqlstate, model.sqlstate) == 0, "%s, not %s", info.sqlstate, model.sqlstate);
    LAW(strncmp(info.message, model.message, 500) == 0, "\"%s\", not \"%s\"", info.message, model.message);
    LAW(!model.reason_at_ns == !info.reason_at_ns, "it happened, or did not");
    LAW(info.reason_at_ns + MS > model.reason_at_ns && info.reason_at_ns <= sim_now_ns(world.sim), "another time");
    if (info.state != model.state) {
        LAW(info.state_at_ns <= sim_now_ns(world.sim), "it is in the future");
        model.visits[info.state]++;
        model.state = info.state;
    }
}

/* The server's day: it refuses, stops, loses connections, comes back. */
static void happen(void) {
    static const char *const refusals[] = {"57P03", "28P01", "3D000", "53300"};
    switch (world_below(&world, 12)) {
    case 0:
        world.server.refusal = refusals[world_below(&world, 4)];
        world.server.refusals_left = (uint32_t)world_below(&world, 6);
        break;
    case 1:
        world.server.refusals_left = 0;
        break;
    case 2:
        sim_server_kill(&world.server, world_below(&world, 2));
        break;
    case 3:
        world.server.kill = world_below(&world, 3) ? 0 : 300;
        break;
    default:
        break;
    }
}

static void one_seed(uint64_t seed) {
    struct sim_options sim = {.seed = seed, .start_ns = SECOND, .latency_ns = 20000};
    quring_options engine = {.query_count = QUERIES, .trace_count = 1 << 14};
    bool exclusive = seed % 5 == 0;
    quring_db_options db = {.connection_count = exclusive ? 1 : 1 + (uint32_t)(seed % CONNECTIONS),
                            .exclusive = exclusive,
                            .reconnect_wait_ns = SECOND};
    uint32_t visits[QURING_DB_CLOSING + 1];
    memcpy(visits, model.visits, sizeof visits);
    memset(&model, 0, sizeof model);
    memcpy(model.visits, visits, sizeof visits);
    world_open(&world, &sim, &engine, &db, QUERIES);
    world.events.engine = NULL; /* the events are taken here */
    world.allowed = MAY_BE_LOST;
    for (int i = 0; i < QUERIES; i++) {
        happen();
        if (world_below(&world, 2))
            (void)world_query(&world, "select", 0, NULL);
        world_run(&world, 0, 0);
        compare(exclusive);
        world_pass(&world, world_below(&world, 10) ? world_below(&world, 20 * MS) : world_below(&world, 5 * SECOND));
        compare(exclusive);
    }
    world.server.kill = 0;
    world.server.refusals_left = 0;
    world_finish(&world);
    compare(exclusive);
    world_close(&world);
}

Test(sim_status, quring_db_status_is_what_happened) {
    seeds_run(300, one_seed); /* a fifth of them under a sanitizer must meet all states, too */
    for (int i = QURING_DB_UP; i < QURING_DB_CLOSING && !getenv("QURING_SIM_SEED"); i++)
        cr_assert_gt(model.visits[i], 5, "%s is hardly ever met", quring_db_state_name((quring_db_state)i));
}
