/* SPDX-License-Identifier: MIT */
/* How queries are given up, how the engine comes to its end, and how programs wait for it. */
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

TestSuite(sim_life, .init = seeds_begin);

/* ---- Giving up ---- */

Test(sim_life, a_query_that_waits_is_cancelled_before_it_is_sent) {
    open_one(1);
    int query = ask("select", 0, NULL), other = ask("select", 0, NULL);
    world.allowed = MAY(CANCELLED);
    cr_assert_eq(quring_cancel(world.engine, world.asked[query].id), 0);
    world_finish(&world);
    expect(query, QURING_CANCELLED, NULL);
    expect(other, QURING_OK, NULL);
    cr_assert_eq(world.server.ledger[query].bound, 0);
    cr_assert_not(world.asked[query].sent);
    cr_assert_eq(quring_cancel(world.engine, world.asked[query].id), QURING_ESTALE);
    world_close(&world);
}

Test(sim_life, the_reply_to_a_cancelled_query_reaches_nobody) {
    open_one(16);
    world_connect(&world, 1);
    world.allowed = MAY(CANCELLED);
    int queries[10];
    for (int i = 0; i < 10; i++)
        queries[i] = ask(i % 3 ? "rows" : "select", 7, NULL);
    (void)world_run(&world, 0, 0);
    for (int i = 1; i < 10; i += 2)
        cr_assert_eq(quring_cancel(world.engine, world.asked[queries[i]].id), 0);
    world_finish(&world);
    for (int i = 0; i < 10; i++) {
        expect(queries[i], i % 2 ? QURING_CANCELLED : QURING_OK, NULL);
        cr_assert(world.asked[queries[i]].sent);
    }
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
    world_close(&world);
}

Test(sim_life, timeouts_come_in_time) {
    open_one(2);
    world_connect(&world, 1);
    world.allowed = MAY(TIMEOUT);
    struct ask silent = {.verb = "silent", .timeout_ns = 50 * MS}, behind = {.verb = "select", .timeout_ns = 70 * MS};
    int first = world_ask(&world, &silent), second = world_ask(&world, &behind), third = world_ask(&world, &behind);
    uint64_t start = sim_now_ns(world.sim);
    while (world.ended_count < 1)
        (void)world_run(&world, 1, QURING_FOREVER);
    cr_assert_lt(sim_now_ns(world.sim) - start, 51 * MS);
    world_finish(&world);
    uint64_t took = sim_now_ns(world.sim) - start;
    cr_assert(took >= 70 * MS && took < 71 * MS);
    expect(first, QURING_TIMEOUT, "57014");
    expect(second, QURING_TIMEOUT, "57014");
    expect(third, QURING_TIMEOUT, "57014");
    cr_assert_eq(world.server.ledger[third].bound, 0);
    cr_assert(world.asked[first].sent && world.asked[second].sent && !world.asked[third].sent);
    world_close(&world);
}

Test(sim_life, a_timeout_before_any_connection) {
    quring_db_options db = {.connection_count = 1, .connect_timeout_ns = 100 * SECOND};
    open_world(&db);
    world.server.mute = true;
    world.allowed = MAY(TIMEOUT);
    struct ask what = {.verb = "select", .timeout_ns = 5 * MS};
    int query = world_ask(&world, &what);
    world_finish(&world);
    expect(query, QURING_TIMEOUT, "57014");
    world_close(&world);
}

/* A group that was undone took no effect, so its members wait as if they had never been sent; and so they may end. */
Test(sim_life, a_member_that_was_undone_counts_as_not_sent) {
    open_one(2);
    world_connect(&world, 1);
    world.allowed = MAY(CANCELLED);
    struct ask good = {.verb = "insert", .commit = QURING_COMMIT_GROUP},
               bad = {.verb = "error", .sqlstate = "22012", .commit = QURING_COMMIT_GROUP};
    int undone = world_ask(&world, &good), failed = world_ask(&world, &bad);
    while (world.ended_count < 1)
        (void)world_run(&world, 1, QURING_FOREVER);
    expect(failed, QURING_SERVER_ERROR, "22012");
    cr_assert_eq(world.server.ledger[undone].executed, 1);
    cr_assert_eq(quring_cancel(world.engine, world.asked[undone].id), 0);
    world_finish(&world);
    expect(undone, QURING_CANCELLED, NULL);
    cr_assert_not(world.asked[undone].sent);
    world_close(&world);
}

/* ---- Shutdown ---- */

Test(sim_life, shutdown_without_grace_ends_all_at_once) {
    open_one(4);
    world_connect(&world, 1);
    world.allowed = MAY(SHUTDOWN);
    for (int i = 0; i < 10; i++)
        ask("sleep", 1000000, NULL);
    (void)world_run(&world, 0, 0);
    uint64_t start = sim_now_ns(world.sim);
    cr_assert_eq(quring_shutdown(world.engine, 0), 10);
    cr_assert_lt(sim_now_ns(world.sim) - start, MS);
    world_reap(&world);
    cr_assert_eq(world.by_status[QURING_SHUTDOWN], 10);
    world_close(&world);
}

Test(sim_life, shutdown_gives_grace_to_what_was_sent) {
    open_one(4);
    world_connect(&world, 1);
    world.allowed = MAY(SHUTDOWN);
    int sent[4], waiting[3];
    for (int i = 0; i < 4; i++)
        sent[i] = ask("sleep", 10000, NULL);
    for (int i = 0; i < 3; i++)
        waiting[i] = ask("select", 0, NULL);
    (void)world_run(&world, 0, 0);
    uint64_t start = sim_now_ns(world.sim);
    cr_assert_eq(quring_shutdown(world.engine, 25 * MS), 7);
    uint64_t took = sim_now_ns(world.sim) - start;
    cr_assert(took >= 25 * MS && took < 26 * MS);
    world_reap(&world);
    for (int i = 0; i < 4; i++) {
        expect(sent[i], i < 2 ? QURING_OK : QURING_SHUTDOWN, NULL);
        cr_assert(world.asked[sent[i]].sent);
    }
    for (int i = 0; i < 3; i++) {
        expect(waiting[i], QURING_SHUTDOWN, NULL);
        cr_assert_not(world.asked[waiting[i]].sent);
    }
    world_close(&world);
}

Test(sim_life, shutdown_returns_as_soon_as_all_have_ended) {
    open_one(4);
    world_connect(&world, 1);
    ask("sleep", 5000, NULL);
    (void)world_run(&world, 0, 0);
    uint64_t start = sim_now_ns(world.sim);
    cr_assert_eq(quring_shutdown(world.engine, 100 * SECOND), 1);
    cr_assert_lt(sim_now_ns(world.sim) - start, 6 * MS);
    world_reap(&world);
    world_close(&world);
}

Test(sim_life, an_engine_closes_in_any_state_of_its_connections) {
    for (int state = 0; state < 6; state++) {
        quring_db_options db = {.connection_count = 3};
        open_world(&db);
        world.server.mute = state == 2;
        world.server.refusal = state == 3 ? "57P03" : NULL;
        world.server.refusals_left = UINT32_MAX;
        if (state == 1)
            (void)quring_run(world.engine, 0, 0);
        else if (state == 4)
            world_connect(&world, 3);
        else if (state)
            world_pass(&world, 5 * MS);
        if (state == 5)
            sim_server_kill(&world.server, true);
        world_close(&world);
    }
}

Test(sim_life, a_database_closes_and_another_lives) {
    quring_db_options options = {.connection_count = 2, .depth = 4};
    open_world(&options);
    quring_db *first = world.db;
    world_connect(&world, 2);
    cr_assert_eq(world_open_db(&world, &options), 0);
    quring_db *second = world.db;
    world_connect(&world, 4);
    world.allowed = MAY(SHUTDOWN);
    int in_first[20], in_second[20];
    for (int i = 0; i < 20; i++) {
        world.db = first;
        in_first[i] = ask("select", 0, NULL);
        world.db = second;
        in_second[i] = ask("select", 0, NULL);
    }
    (void)world_run(&world, 0, 0);
    quring_db_close(first);
    world_finish(&world);
    for (int i = 0; i < 20; i++) {
        expect(in_first[i], QURING_SHUTDOWN, NULL);
        expect(in_second[i], QURING_OK, NULL);
    }
    world_pass(&world, MS);
    cr_assert_eq(world_stats(&world).connection_count, 2);
    cr_assert_eq(sim_open_count(world.sim), 2);
    world_close(&world);
}

/* Idle or at work: told, and in a place where a message may begin. A server that does not read is not waited for. */
Test(sim_life, a_server_is_told_before_its_connections_are_closed) {
    for (int deaf = 0; deaf < 2; deaf++) {
        struct sim_options sim = {.seed = 1, .latency_ns = 10000, .socket_bytes = 1000};
        quring_options engine = {.query_count = 200};
        quring_db_options db = {.connection_count = 3, .depth = 4};
        world_open(&world, &sim, &engine, &db, 200);
        world_connect(&world, 3);
        world.allowed = MAY(SHUTDOWN);
        ask("sleep", 5000, NULL);
        (void)world_run(&world, 0, 0);
        world_pass(&world, MS);
        if (deaf) {
            sim_server_deafen(&world.server);
            for (int i = 0; i < 30; i++) {
                ask("insert", 0, NULL);
                (void)world_run(&world, 0, 0);
            }
        }
        uint64_t start = sim_now_ns(world.sim);
        world_close_engine(&world);
        cr_assert_lt(sim_now_ns(world.sim) - start, MS);
        sim_settle(world.sim);
        cr_assert_eq(world.server.terminates, deaf ? 0 : 3);
        world_free(&world);
    }
}

/* ---- The loop ---- */

/* Waiting for many completions is waiting, not looking again and again. */
Test(sim_life, waiting_for_many_does_not_spin) {
    open_one(64);
    world_connect(&world, 1);
    for (int i = 0; i < 60; i++)
        ask("sleep", 1000, NULL);
    uint64_t before = world_stats(&world).enter_count;
    while (world.ended_count < 60)
        cr_assert_geq(world_run(&world, 60, QURING_FOREVER), 0);
    cr_assert_leq(world_stats(&world).enter_count - before, 60u * 4);
    world_close(&world);
}

Test(sim_life, run_returns_after_its_timeout) {
    open_one(4);
    world_connect(&world, 1);
    ask("sleep", 100000, NULL);
    uint64_t start = sim_now_ns(world.sim);
    cr_assert_eq(world_run(&world, 1, 10 * MS), 0);
    uint64_t took = sim_now_ns(world.sim) - start;
    cr_assert(took >= 10 * MS && took < 11 * MS);
    world_finish(&world);
    world_close(&world);
}

/* A program with a loop of its own: nothing but quring_run(0, 0), when it is told to. */
static void foreign_seed(uint64_t seed) {
    struct sim_options sim = {.seed = seed, .latency_ns = 20000, .split = 500, .short_send = 300, .busy = 20};
    quring_options engine = {.query_count = 200};
    quring_db_options db = {.connection_count = 3, .depth = 4};
    world_open(&world, &sim, &engine, &db, 200);
    while (world.asked_count < 200) {
        for (uint64_t burst = world_below(&world, 50); burst && world.asked_count < 200; burst--)
            ask("select", 0, NULL);
        (void)world_run(&world, 0, 0); /* after submitting */
        while (world.ended_count < world.accepted_count) {
            uint64_t timer = quring_timeout_ns(world.engine);
            if (timer)
                (void)sim_wait(world.sim, timer);
            (void)world_run(&world, 0, 0);
        }
    }
    world_close(&world);
}

Test(sim_life, a_foreign_loop_misses_nothing) {
    seeds_run(20, foreign_seed);
}

/* ---- Behind what was given up ---- */

/* Half of the connections are held up by queries that were given up: what comes next goes to the others. */
Test(sim_life, nothing_waits_behind_a_query_that_was_given_up) {
    quring_db_options db = {.connection_count = 8, .depth = 64};
    open_world(&db);
    world_connect(&world, 8);
    world.allowed = MAY(TIMEOUT);
    struct ask slow = {.verb = "sleep", .number = 5000000, .timeout_ns = 100 * MS};
    for (int i = 0; i < 4; i++)
        world_ask(&world, &slow);
    world_finish(&world);
    cr_assert_eq(world.by_status[QURING_TIMEOUT], 4);
    uint64_t start = sim_now_ns(world.sim);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++)
            ask("select", 0, NULL);
        world_finish(&world);
    }
    cr_assert_eq(world.by_status[QURING_OK], 600);
    cr_assert_lt(sim_now_ns(world.sim) - start, 1000 * MS);
    world_pass(&world, 6 * SECOND); /* and they are used again once they answer */
    uint64_t before = world_stats(&world).connection_count;
    cr_assert_eq(before, 8);
    world_close(&world);
}

/* A server that stopped reading: what was given up stays in memory, and is counted until it is gone. */
Test(sim_life, bytes_of_queries_that_were_given_up_are_bounded) {
    struct sim_options sim = {.seed = 1, .latency_ns = 10000, .socket_bytes = 200};
    quring_options engine = {.query_count = 200, .inflight_bytes = 3000};
    quring_db_options db = {.connection_count = 2, .depth = 64};
    struct ask ask_once = {.verb = "insert", .timeout_ns = MS};
    world_open(&world, &sim, &engine, &db, 600);
    world_connect(&world, 2);
    world.allowed = MAY(TIMEOUT);
    sim_server_deafen(&world.server);
    int accepted[2] = {0};
    for (int round = 0; round < 2; round++) {
        int index = 0;
        while ((index = world_ask(&world, &ask_once)) >= 0)
            accepted[round]++;
        cr_assert_eq(index, QURING_EFULL);
        (void)world_run(&world, 0, 0);
        world_finish(&world);
    }
    cr_assert(accepted[0] > 10 && accepted[1] < accepted[0] / 2, "%d, then %d", accepted[0], accepted[1]);
    sim_server_kill(&world.server, true);
    world_pass(&world, SECOND);
    world_connect(&world, 2);
    world.allowed = 0;
    for (int i = 0; i < 20; i++)
        ask("insert", 0, NULL);
    world_finish(&world);
    world_close(&world);
}

/* With nothing else there they wait, and are not sent. */
Test(sim_life, the_last_connection_takes_queries_once_it_has_answered_one_that_was_given_up) {
    open_one(4);
    world_connect(&world, 1);
    world.allowed = MAY(TIMEOUT);
    struct ask slow = {.verb = "sleep", .number = 200000, .timeout_ns = 100 * MS};
    world_ask(&world, &slow);
    world_finish(&world);
    int next = ask("select", 0, NULL);
    world_pass(&world, 50 * MS);
    cr_assert_eq(world_stats(&world).waiting_count, 1);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
    world_close(&world);
}
