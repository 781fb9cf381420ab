/* SPDX-License-Identifier: MIT */
/* How connections begin and end, how queries are given up, and how the engine comes to its own end. */
#include "lib/replies.h"
#include "lib/sim_world.h"

#include <criterion/criterion.h>

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static struct world world;

static void open_world(const quring_db_options *db) {
    struct sim_options sim = {.seed = 1, .latency_ns = 10000};
    quring_options engine = {.query_count = 2000, .connection_count = 64};
    world_open(&world, &sim, &engine, db, 3000);
}

static void open_one(uint32_t depth) {
    quring_db_options db = {.connection_count = 1, .depth = depth};
    open_world(&db);
}

static int ask(const char *verb, uint32_t number, const char *sqlstate) {
    return world_query(&world, verb, number, sqlstate);
}

static void expect(int index, quring_status status, const char *sqlstate) {
    world_expect(&world, index, status, sqlstate);
}

TestSuite(sim_life, .init = seeds_begin);

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
Test(sim_life, stray_bytes_at_hand_over_never_shift_an_answer) {
    for (int kind = 0; kind < 13; kind++) {
        struct buf stray;
        buf_init(&stray, SIZE_MAX);
        stray_messages(&stray, kind);
        for (size_t size = 1; size <= buf_size(&stray); size++)
            hand_over(stray.data, size);
        buf_free(&stray);
    }
}

Test(sim_life, another_ones_answer_is_refused) {
    open_one(1);
    world.server.wrong_nonce = true;
    int query = ask("select", 0, NULL);
    world.allowed = MAY(NOT_SENT);
    world_finish(&world);
    expect(query, QURING_NOT_SENT, "08P01");
    world_close(&world);
}

Test(sim_life, an_error_in_the_first_exchange_ends_with_its_words) {
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

Test(sim_life, a_server_that_does_not_answer_is_left) {
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

/* ---- Servers that are down ---- */

Test(sim_life, a_server_that_never_was_there_ends_queries_with_its_words) {
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

Test(sim_life, queries_wait_for_a_server_that_was_there) {
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

/* One connection at a time asks a server that is down, less and less often. */
Test(sim_life, attempts_are_few_while_the_server_is_down) {
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

Test(sim_life, an_idle_connection_that_dies_is_replaced) {
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
    struct ask grouped = {.verb = "insert", .sync = QURING_SYNC_GROUP};
    for (int round = 0; round < 2; round++) {
        ask("select", 0, NULL), ask("insert", 0, NULL), ask("error", 0, "22012"), ask("rows", 3, NULL);
        world_ask(&world, &grouped), world_ask(&world, &grouped), ask("big", 100, NULL);
        world_finish(&world);
    }
    bool was_cut = world.server.connects > 1 || world.by_status[QURING_NOT_SENT] || world.by_status[QURING_IN_DOUBT];
    world_close(&world);
    return was_cut;
}

Test(sim_life, a_reset_after_any_byte_leaves_the_truth) {
    uint64_t sent_at = 1, received_at = 1;
    while (cut(sent_at, 0))
        sent_at++;
    while (cut(0, received_at))
        received_at++;
    cr_assert_gt(sent_at, 500u);
    cr_assert_gt(received_at, 500u);
}

/* One query was sent in part; of the others no byte had left, so they are sent on the next connection. */
Test(sim_life, what_was_not_sent_goes_to_the_next_connection) {
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

/* Its state went with it. */
Test(sim_life, a_session_that_is_lost_ends_all_that_is_queued) {
    quring_db_options db = {.session = true, .depth = 2};
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
    expect(next, QURING_OK, NULL);
    world_close(&world);
}

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
    for (int i = 0; i < 10; i++)
        expect(queries[i], i % 2 ? QURING_CANCELLED : QURING_OK, NULL);
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
    cr_assert_eq(world.server.ledger[third].bound, 0); /* never sent */
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
    for (int i = 0; i < 4; i++)
        expect(sent[i], i < 2 ? QURING_OK : QURING_SHUTDOWN, NULL);
    for (int i = 0; i < 3; i++)
        expect(waiting[i], QURING_SHUTDOWN, NULL);
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
