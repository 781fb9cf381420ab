/* SPDX-License-Identifier: MIT */
/* Connections that are made before there are queries, and queries that wait for them. */
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

TestSuite(sim_warm, .init = seeds_begin);

enum { CONNECTIONS = 8 };

static void open_many(bool warm_up) {
    struct sim_options sim = {.seed = 1, .latency_ns = 10000};
    quring_options engine = {.query_count = 200, .connection_count = 64, .trace_count = 1 << 12};
    quring_db_options db = {.connection_count = CONNECTIONS, .connect_timeout_ns = 3 * SECOND, .warm_up = warm_up};
    world_open(&world, &sim, &engine, &db, 200);
    world.events.engine = NULL; /* the events are taken here */
}

static void refuse(const char *sqlstate, uint32_t attempts) {
    world.server.refusal = sqlstate;
    world.server.refusals_left = attempts;
}

/* On how many connections queries were sent. */
static uint32_t spread(void) {
    bool seen[CONNECTIONS + 1] = {false};
    uint32_t count = 0;
    quring_event event;
    while (quring_trace(world.engine, &event, 1) == 1)
        if (event.kind == QURING_EVENT_SENT && !seen[event.connection]) {
            seen[event.connection] = true;
            count++;
        }
    return count;
}

/* ---- quring_db_warm_up() ---- */

Test(sim_warm, quring_db_warm_up_makes_all) {
    open_many(false);
    cr_assert_eq(quring_db_warm_up(world.db, 10 * SECOND), 0);
    cr_assert_eq(world.server.connects, CONNECTIONS);
    cr_assert_eq(sim_server_conn_count(&world.server), CONNECTIONS);
    uint64_t now_ns = sim_now_ns(world.sim);
    cr_assert_eq(quring_db_warm_up(world.db, 10 * SECOND), 0, "they are up");
    cr_assert_lt(sim_now_ns(world.sim) - now_ns, MS, "and it does not wait");
    world_close(&world);
}

Test(sim_warm, quring_db_warm_up_ends_where_the_server_refuses_for_good) {
    open_many(false);
    refuse("28P01", UINT32_MAX);
    uint64_t from_ns = sim_now_ns(world.sim);
    cr_assert_eq(quring_db_warm_up(world.db, QURING_FOREVER), CONNECTIONS);
    cr_assert_eq(world.server.attempts, 1);
    cr_assert_lt(sim_now_ns(world.sim) - from_ns, SECOND);
    cr_assert_eq(quring_db_warm_up(world.db, QURING_FOREVER), CONNECTIONS, "too early to ask again");
    cr_assert_eq(world.server.attempts, 1);
    world_pass(&world, 61 * SECOND);
    cr_assert_eq(world.server.attempts, 1, "nothing asked for one");
    refuse(NULL, 0);
    cr_assert_eq(quring_db_warm_up(world.db, 10 * SECOND), 0, "the call asks, as a query does");
    world_close(&world);
}

Test(sim_warm, quring_db_warm_up_goes_on_while_the_server_is_down) {
    open_many(false);
    refuse("57P03", 4);
    cr_assert_eq(quring_db_warm_up(world.db, QURING_FOREVER), 0);
    cr_assert_geq(world.server.attempts, CONNECTIONS + 4);
    world_close(&world);
}

Test(sim_warm, quring_db_warm_up_ends_with_its_time) {
    open_many(false);
    refuse("57P03", UINT32_MAX);
    uint64_t from_ns = sim_now_ns(world.sim);
    cr_assert_eq(quring_db_warm_up(world.db, 5 * SECOND), CONNECTIONS);
    uint64_t took_ns = sim_now_ns(world.sim) - from_ns;
    cr_assert(took_ns >= 5 * SECOND && took_ns < 6 * SECOND, "%lu ms", (unsigned long)(took_ns / MS));
    cr_assert_eq(quring_db_warm_up(world.db, 0), CONNECTIONS, "it never blocks");
    cr_assert_lt(sim_now_ns(world.sim) - from_ns - took_ns, MS);
    world_close(&world);
}

Test(sim_warm, quring_db_warm_up_ends_with_a_wake) {
    open_many(false);
    refuse("57P03", UINT32_MAX);
    quring_wake(world.engine);
    uint64_t from_ns = sim_now_ns(world.sim);
    cr_assert_eq(quring_db_warm_up(world.db, 5 * SECOND), CONNECTIONS);
    cr_assert_lt(sim_now_ns(world.sim) - from_ns, SECOND);
    world_close(&world);
}

/* The first connection has answered long before the server has had time to take all. */
Test(sim_warm, completions_gather_meanwhile) {
    open_many(false);
    int query = ask("select", 0, NULL);
    cr_assert_eq(quring_db_warm_up(world.db, 10 * SECOND), 0);
    world_reap(&world);
    expect(query, QURING_OK, NULL);
    world_close(&world);
}

Test(sim_warm, an_exclusive_handle_has_one) {
    open_world(&(quring_db_options){.exclusive = true});
    cr_assert_eq(quring_db_warm_up(world.db, 10 * SECOND), 0);
    sim_server_kill(&world.server, true);
    world_pass(&world, MS);
    cr_assert_eq(quring_db_warm_up(world.db, QURING_FOREVER), 1, "it is not replaced");
    world_close(&world);
}

Test(sim_warm, quring_db_warm_up_refuses_an_engine_that_shuts_down) {
    open_many(false);
    quring_shutdown(world.engine, 0);
    cr_assert_eq(quring_db_warm_up(world.db, SECOND), QURING_ESHUTDOWN);
    cr_assert_eq(quring_db_warm_up(NULL, SECOND), QURING_EINVAL);
    world_close(&world);
}

/* They come up by one, two and five, each a tenth of a second later, and the first is old before the last is there. */
Test(sim_warm, quring_db_warm_up_ends_though_connections_are_renewed) {
    quring_db_options db = {.connection_count = CONNECTIONS, .connection_lifetime_ns = SECOND / 6};
    open_world(&db);
    world.server.barrier_ns = SECOND / 10;
    cr_assert_eq(quring_db_warm_up(world.db, 60 * SECOND), 0);
    cr_assert_lt(sim_now_ns(world.sim), SECOND);
    world_pass(&world, 10 * SECOND);
    cr_assert_eq(quring_db_warm_up(world.db, 0), 0);
    world.server.barrier_ns = 0;
    refuse("57P03", UINT32_MAX);
    world_pass(&world, SECOND);
    cr_assert_eq(quring_db_warm_up(world.db, SECOND), 1, "no other comes for one");
    refuse(NULL, 0);
    cr_assert_eq(quring_db_warm_up(world.db, 10 * SECOND), 0);
    cr_assert_eq(quring_db_resize(world.db, 2 * CONNECTIONS), 0);
    cr_assert_geq(quring_db_warm_up(world.db, 0), CONNECTIONS, "they are wanted since the call");
    cr_assert_eq(quring_db_warm_up(world.db, 10 * SECOND), 0);
    cr_assert_geq(sim_server_conn_count(&world.server), 2 * CONNECTIONS - 1);
    sim_server_kill(&world.server, false);
    world_pass(&world, MS);
    cr_assert_geq(quring_db_warm_up(world.db, 0), CONNECTIONS, "they are lost");
    world_close(&world);
}

/* ---- options.warm_up ---- */

static void burst(int count) {
    uint32_t before = world.by_status[QURING_OK];
    for (int i = 0; i < count; i++)
        (void)ask("select", 0, NULL);
    world_finish(&world);
    cr_assert_eq(world.by_status[QURING_OK] - before, (uint32_t)count);
}

Test(sim_warm, the_first_burst_is_spread_over_all) {
    open_many(true);
    burst(3 * CONNECTIONS);
    cr_assert_eq(spread(), CONNECTIONS);
    world_close(&world);
    open_many(false);
    burst(3 * CONNECTIONS);
    cr_assert_lt(spread(), CONNECTIONS, "without it the first connection takes what it can");
    world_close(&world);
}

/* The server takes three: the others' failure ends the wait. */
Test(sim_warm, queries_wait_no_longer_than_until_an_attempt_fails) {
    open_many(true);
    while (world.server.connects < 3)
        world_run(&world, 0, MS);
    refuse("53300", UINT32_MAX);
    burst(2 * CONNECTIONS);
    uint32_t count = spread();
    cr_assert(count >= 1 && count < CONNECTIONS);
    world_close(&world);
}

Test(sim_warm, a_server_that_is_down_ends_queries_as_ever) {
    open_many(true);
    refuse("57P03", UINT32_MAX);
    world.allowed = MAY(NOT_SENT);
    int query = ask("select", 0, NULL);
    world_finish(&world);
    expect(query, QURING_NOT_SENT, "57P03");
    world_close(&world);
}

/* It answers no first exchange, and queries have timeouts. */
Test(sim_warm, queries_that_wait_have_their_timeouts) {
    open_many(true);
    world.server.mute = true;
    world.allowed = MAY(TIMEOUT);
    int query = world_ask(&world, &(struct ask){.verb = "select", .timeout_ns = SECOND});
    uint64_t from_ns = sim_now_ns(world.sim);
    world_finish(&world);
    expect(query, QURING_TIMEOUT, "57014");
    cr_assert_not(world.asked[query].sent);
    uint64_t took_ns = sim_now_ns(world.sim) - from_ns;
    cr_assert(took_ns >= SECOND && took_ns < 2 * SECOND);
    world_close(&world);
}

/* One or the other is always being replaced, so that not all are up at any time. */
static void come_and_go(uint64_t lifetime_ns, bool drains) {
    quring_db_options db = {.connection_count = CONNECTIONS, .connection_lifetime_ns = lifetime_ns, .warm_up = true};
    open_world(&db);
    for (int i = 0; i < 10; i++)
        (void)ask("select", 0, NULL);
    for (int i = 0; i < 5000; i++) {
        if (drains)
            cr_assert_eq(quring_db_drain(world.db), 0);
        world_run(&world, 0, MS / 100);
    }
    cr_assert_gt(world.server.connects, CONNECTIONS);
    cr_assert_eq(world.by_status[QURING_OK], 10);
    world_close(&world);
}

Test(sim_warm, queries_do_not_wait_for_connections_that_come_and_go) {
    come_and_go(MS / 100, false);
    come_and_go(0, true);
}

/* Once warm it never holds queries again. */
Test(sim_warm, an_outage_is_no_reason_to_wait_for_all) {
    open_many(true);
    burst(10);
    sim_server_kill(&world.server, false);
    world_pass(&world, MS);
    while (world.server.connects < CONNECTIONS + 1)
        world_run(&world, 0, MS);
    refuse("53300", UINT32_MAX);
    burst(10);
    world_close(&world);
}
