/* SPDX-License-Identifier: MIT */
/* How connections begin and end, and what becomes of the queries that were on them. */
#include "lib/replies.h"
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

TestSuite(sim_connect, .init = seeds_begin);

/* ---- Hand-over ---- */

/* The first connection gets stray bytes before its first answer; the second one none. Queries must not see a difference. */
static void hand_over(const void *stray, size_t size) {
    struct sim_options sim = {.seed = 1, .latency_ns = 10000};
    quring_options engine = {.query_count = 20};
    quring_db_options db = {.connection_count = 1, .depth = 16, .connect_timeout_ns = SECOND};
    world_open(&world, &sim, &engine, &db, 20);
    world.server.stray = stray;
    world.server.stray_bytes = size;
    (void)quring_run(world.engine, 0, 0);
    (void)quring_run(world.engine, 0, 0);
    LAW(world.server.connects == 1, "%u connections", world.server.connects);
    world.server.stray_bytes = 0;
    world_connect(&world, 1);
    for (int i = 0; i < 20; i++)
        ask("select", 0, NULL);
    world_finish(&world);
    LAW(world.by_status[QURING_OK] == 20 && world.server.connects <= 2, "%u connections", world.server.connects);
    world_close(&world);
}

static void stray_messages(struct buf *out, int kind) {
    static const struct reply_column column = {"?column?", 25, -1};
    static const char *const value = "0123456789abcdef";
    static const uint32_t text = 25;
    switch (kind) {
    case 0:
        reply_report(out, 'N', "NOTICE", "00000", "good morning", NULL);
        break;
    case 1:
        reply_status(out, "TimeZone", "UTC");
        break;
    case 2:
        reply_notification(out, 1, "a", "b");
        break;
    case 3:
        reply_ready(out, 'I');
        break;
    case 4:
        reply_report(out, 'E', "ERROR", "57014", "cancelled", NULL);
        break;
    case 5:
        reply_report(out, 'E', "FATAL", "57P01", "shutting down", NULL);
        break;
    case 6: /* what looks most like the answer: another one's, whole */
        reply_bare(out, '1');
        reply_parameters(out, 1, &text);
        reply_columns(out, 1, &column);
        reply_bare(out, '2');
        reply_row(out, 1, &value);
        reply_tag(out, "SELECT 1");
        reply_ready(out, 'I');
        break;
    default:
        reply_bare(out, "123Ins"[kind - 7]);
    }
}

/* Whole, and cut at each byte: a message that never ends swallows the answer. */
Test(sim_connect, stray_bytes_at_hand_over_never_shift_an_answer) {
    for (int kind = 0; kind < 13; kind++) {
        struct buf stray;
        buf_init(&stray, SIZE_MAX);
        stray_messages(&stray, kind);
        for (size_t size = 1; size <= buf_size(&stray); size++)
            hand_over(stray.data, size);
        buf_free(&stray);
    }
}

Test(sim_connect, another_ones_answer_is_refused) {
    open_one(1);
    world.server.wrong_nonce = true;
    int query = ask("select", 0, NULL);
    world.allowed = MAY(NOT_SENT);
    world_finish(&world);
    expect(query, QURING_NOT_SENT, "08P01");
    world_close(&world);
}

Test(sim_connect, an_error_in_the_first_exchange_ends_with_its_words) {
    open_one(1);
    world.server.barrier_error = "57P05";
    int query = ask("select", 0, NULL);
    world.allowed = MAY(NOT_SENT);
    world_finish(&world);
    expect(query, QURING_NOT_SENT, "57P05");
    world.server.barrier_error = NULL;
    world_connect(&world, 1);
    world_close(&world);
}

Test(sim_connect, a_server_that_does_not_answer_is_left) {
    quring_db_options db = {.connection_count = 1, .connect_timeout_ns = 3 * SECOND};
    open_world(&db);
    world.server.mute = true;
    int query = ask("select", 0, NULL);
    world.allowed = MAY(NOT_SENT);
    uint64_t start = sim_now_ns(world.sim);
    world_finish(&world);
    expect(query, QURING_NOT_SENT, "08001");
    uint64_t took = sim_now_ns(world.sim) - start;
    cr_assert(took >= 3 * SECOND && took < 4 * SECOND);
    world.server.mute = false;
    world_connect(&world, 1);
    world_close(&world);
}

/* All that connecting has is over when it comes back, and what came of it has yet to be looked at. */
Test(sim_connect, a_program_that_was_elsewhere_meanwhile_connects) {
    for (int turns = 1; turns < 4; turns++) {
        open_world(&(quring_db_options){.connection_count = 1, .connect_timeout_ns = 3 * SECOND});
        int query = ask("select", 0, NULL);
        for (int i = 0; i < turns; i++)
            (void)quring_run(world.engine, 0, 0);
        world_stay_away(&world, 5 * SECOND);
        world_finish(&world);
        expect(query, QURING_OK, NULL);
        world_close(&world);
    }
}

/* ---- Servers that are down ---- */

Test(sim_connect, a_server_that_never_was_there_ends_queries_with_its_words) {
    open_one(1);
    world.server.refusal = "28P01";
    world.server.refusals_left = UINT32_MAX;
    world.allowed = MAY(NOT_SENT);
    int first = ask("select", 0, NULL);
    world_finish(&world);
    expect(first, QURING_NOT_SENT, "28P01");
    int second = ask("select", 0, NULL); /* ends with the next attempt */
    uint64_t start = sim_now_ns(world.sim);
    world_finish(&world);
    expect(second, QURING_NOT_SENT, "28P01");
    cr_assert_lt(sim_now_ns(world.sim) - start, 3 * SECOND);
    world_close(&world);
}

Test(sim_connect, queries_wait_for_a_server_that_was_there) {
    quring_db_options db = {.connection_count = 4, .reconnect_wait_ns = 2 * SECOND};
    open_world(&db);
    world_connect(&world, 4);
    world.server.refusal = "57P03";
    world.server.refusals_left = 3;
    sim_server_kill(&world.server, true);
    world_pass(&world, MS);
    int patient = ask("select", 0, NULL);
    world_finish(&world);
    expect(patient, QURING_OK, NULL);
    world_connect(&world, 4);
    world.server.refusals_left = UINT32_MAX;
    sim_server_kill(&world.server, false);
    world_pass(&world, MS);
    world.allowed = MAY(NOT_SENT);
    int given_up = ask("select", 0, NULL);
    uint64_t start = sim_now_ns(world.sim);
    world_finish(&world);
    expect(given_up, QURING_NOT_SENT, "57P03");
    uint64_t took = sim_now_ns(world.sim) - start;
    cr_assert(took > SECOND && took < 5 * SECOND, "%llu ms", (unsigned long long)(took / MS));
    world_close(&world);
}

/* When it comes back the wait for the server is over, and nobody has asked the server yet. */
Test(sim_connect, queries_of_a_program_that_was_elsewhere_wait_for_an_attempt) {
    for (uint64_t i = 0; i < 60; i++) {
        open_world(&(quring_db_options){.connection_count = 2, .reconnect_wait_ns = 2 * SECOND});
        world_connect(&world, 2);
        sim_server_kill(&world.server, true);
        world_pass(&world, i / 2 * MS);
        world_stay_away(&world, 3 * SECOND);
        int query = ask("select", 0, NULL);
        if (i % 2) /* asks the server before a turn has looked at the clock */
            (void)quring_db_warm_up(world.db, SECOND);
        world_finish(&world);
        expect(query, QURING_OK, NULL);
        world_close(&world);
    }
}

/* The same where an attempt was under way when it left, after whichever turn: its thread has connected, or the server answered. */
Test(sim_connect, queries_of_a_program_that_was_elsewhere_wait_for_what_came_of_an_attempt) {
    for (int turns = 1; turns < 40; turns++) {
        open_world(&(quring_db_options){.connection_count = 1, .reconnect_wait_ns = 2 * SECOND});
        world_connect(&world, 1);
        sim_server_kill(&world.server, true);
        for (int i = 0; i < turns; i++) {
            uint64_t timer = quring_timeout_ns(world.engine);
            (void)sim_wait(world.sim, timer < 10 * MS ? timer : 10 * MS);
            (void)world_run(&world, 0, 0);
        }
        world_stay_away(&world, 3 * SECOND);
        int query = ask("select", 0, NULL);
        world_finish(&world);
        expect(query, QURING_OK, NULL);
        world_close(&world);
    }
}

/* The same where the next attempt was due behind the end of the wait. */
Test(sim_connect, queries_of_a_program_that_was_elsewhere_wait_for_an_attempt_that_was_due_meanwhile) {
    for (uint64_t seen_ns = SECOND; seen_ns < 2 * SECOND; seen_ns += 25 * MS) {
        open_world(&(quring_db_options){.connection_count = 1, .reconnect_wait_ns = 2 * SECOND});
        world_connect(&world, 1);
        world.server.refusal = "57P03";
        world.server.refusals_left = UINT32_MAX;
        sim_server_kill(&world.server, true);
        world_pass(&world, seen_ns);
        world.server.refusals_left = 0;
        world_stay_away(&world, 5 * SECOND);
        int query = ask("select", 0, NULL);
        world_finish(&world);
        expect(query, QURING_OK, NULL);
        world_close(&world);
    }
}

/* But not for one that hangs since before the end of the wait. */
Test(sim_connect, queries_of_a_program_that_was_elsewhere_do_not_wait_for_an_attempt_that_hangs) {
    open_world(&(quring_db_options){.connection_count = 1, .reconnect_wait_ns = 2 * SECOND});
    world_connect(&world, 1);
    sim_server_kill(&world.server, true);
    world.server.mute = true;
    world_pass(&world, SECOND);
    world_stay_away(&world, 3 * SECOND);
    world.allowed = MAY(NOT_SENT);
    int query = ask("select", 0, NULL);
    uint64_t start = sim_now_ns(world.sim);
    world_finish(&world);
    expect(query, QURING_NOT_SENT, NULL);
    cr_assert_lt(sim_now_ns(world.sim) - start, SECOND / 10);
    world_close(&world);
}

/* It takes each connection up and ends it in one breath, so no query is ever sent: they wait no longer than for one down. */
Test(sim_connect, queries_do_not_wait_for_ever_for_connections_that_are_ended_at_once) {
    quring_db_options db = {.connection_count = 2, .reconnect_wait_ns = 2 * SECOND};
    open_world(&db);
    world_connect(&world, 2);
    world.server.barrier_fatal = "57P01";
    sim_server_kill(&world.server, true);
    world_pass(&world, MS);
    world.allowed = MAY(NOT_SENT);
    int given_up = ask("select", 0, NULL);
    world_pass(&world, SECOND);
    cr_assert_eq(quring_pending(world.engine), 1);
    world_pass(&world, 4 * SECOND);
    cr_assert_eq(quring_pending(world.engine), 0);
    expect(given_up, QURING_NOT_SENT, "57P01");
    int next = ask("select", 0, NULL); /* ends with the next attempt */
    world_finish(&world);
    expect(next, QURING_NOT_SENT, "57P01");
    world.server.barrier_fatal = NULL;
    world_connect(&world, 2);
    int served = ask("select", 0, NULL);
    world_finish(&world);
    expect(served, QURING_OK, NULL);
    world_close(&world);
}

/* One connection at a time asks a server that is down, less and less often. */
Test(sim_connect, attempts_are_few_while_the_server_is_down) {
    quring_db_options db = {.connection_count = 50};
    open_world(&db);
    world_connect(&world, 50);
    world.server.refusal = "57P03";
    world.server.refusals_left = UINT32_MAX;
    sim_server_kill(&world.server, true);
    uint32_t before = world.server.attempts;
    world_pass(&world, SECOND);
    cr_assert_leq(world.server.attempts - before, 20);
    before = world.server.attempts;
    world_pass(&world, 60 * SECOND);
    uint32_t attempts = world.server.attempts - before;
    cr_assert(attempts >= 20 && attempts <= 80, "%u attempts in a minute", attempts);
    world.server.refusals_left = 0;
    world_pass(&world, 10 * SECOND);
    cr_assert_eq(world_stats(&world).connection_count, 50);
    world_close(&world);
}

Test(sim_connect, an_idle_connection_that_dies_is_replaced) {
    quring_db_options db = {.connection_count = 3};
    open_world(&db);
    world_connect(&world, 3);
    sim_server_kill(&world.server, false);
    world_pass(&world, 10 * SECOND);
    cr_assert_eq(world_stats(&world).connection_count, 3);
    cr_assert_eq(world_stats(&world).connection_lost_count, 3);
    ask("select", 0, NULL);
    world_finish(&world);
    world_close(&world);
}

/* ---- Cuts at every byte ---- */

/* False: it came to its end before the cut. */
static bool cut(uint64_t sent_at, uint64_t received_at) {
    quring_db_options db = {.connection_count = 1, .depth = 8};
    struct sim_options sim = {.seed = 1, .latency_ns = 5000, .short_delivery = 500, .split = 500};
    quring_options engine = {.query_count = 20};
    world_open(&world, &sim, &engine, &db, 20);
    world.allowed = MAY_BE_LOST;
    world.server.cut_sent = sent_at;
    world.server.cut_received = received_at;
    struct ask grouped = {.verb = "insert", .commit = QURING_COMMIT_GROUP};
    for (int round = 0; round < 2; round++) {
        ask("select", 0, NULL), ask("insert", 0, NULL), ask("error", 0, "22012"), ask("rows", 3, NULL);
        world_ask(&world, &grouped), world_ask(&world, &grouped), ask("big", 100, NULL);
        world_finish(&world);
    }
    bool was_cut = world.server.connects > 1 || world.by_status[QURING_NOT_SENT] || world.by_status[QURING_IN_DOUBT];
    world_close(&world);
    return was_cut;
}

Test(sim_connect, a_reset_after_any_byte_leaves_the_truth) {
    uint64_t sent_at = 1, received_at = 1;
    while (cut(sent_at, 0))
        sent_at += SEEDS_BYTE_STEP;
    while (cut(0, received_at))
        received_at += SEEDS_BYTE_STEP;
    cr_assert_gt(sent_at, 500u);
    cr_assert_gt(received_at, 500u);
}

/* One query was sent in part; of the others no byte had left, so they are sent on the next connection. */
Test(sim_connect, what_was_not_sent_goes_to_the_next_connection) {
    struct sim_options sim = {.seed = 1, .socket_bytes = 400};
    quring_options engine = {.query_count = 20};
    quring_db_options db = {.connection_count = 1, .depth = 16};
    world_open(&world, &sim, &engine, &db, 40);
    world_connect(&world, 1);
    world.allowed = MAY(IN_DOUBT);
    ask("silent", 0, NULL);
    (void)world_run(&world, 0, 0);
    world_pass(&world, MS); /* now the server reads, but does not answer */
    sim_server_deafen(&world.server);
    int queries[12];
    for (int i = 0; i < 12; i++) {
        queries[i] = ask("insert", 0, NULL);
        (void)world_run(&world, 0, 0);
    }
    world_pass(&world, MS);
    sim_server_kill(&world.server, true);
    world_finish(&world);
    int in_doubt = 0;
    for (int i = 0; i < 12; i++) {
        in_doubt += world.asked[queries[i]].status == QURING_IN_DOUBT;
        cr_expect(i == 0 || world.asked[queries[i]].status >= world.asked[queries[i - 1]].status || in_doubt);
    }
    cr_assert(in_doubt > 0 && in_doubt < 9, "%d in doubt", in_doubt);
    expect(queries[11], QURING_OK, NULL);
    world_close(&world);
}

/* Its state went with it, so nothing runs on that handle any more. */
Test(sim_connect, a_session_that_is_lost_ends_all_that_comes) {
    quring_db_options db = {.exclusive = true, .depth = 2};
    open_world(&db);
    world_connect(&world, 1);
    world.allowed = MAY_BE_LOST;
    int queries[6];
    for (int i = 0; i < 6; i++)
        queries[i] = ask("sleep", 1000, NULL);
    (void)world_run(&world, 0, 0);
    world_pass(&world, 100000);
    sim_server_kill(&world.server, true);
    world_finish(&world);
    for (int i = 0; i < 6; i++)
        expect(queries[i], i < 2 ? QURING_IN_DOUBT : QURING_NOT_SENT, NULL);
    int next = ask("select", 0, NULL);
    world_finish(&world);
    expect(next, QURING_NOT_SENT, NULL);
    quring_db_close(world.db);
    cr_assert_eq(world_open_db(&world, &db), 0);
    next = ask("select", 0, NULL);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    world_close(&world);
}
