/* SPDX-License-Identifier: MIT */
/*
 * Order keys one situation at a time; all at once they are in test_sim_order_storm.c. Where and when a statement runs is
 * what the server says: it tells of each which connection it was executed on, and after which others.
 */
#include "engine/engine.h"
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

enum { PLACES = 3000, MANY_KEYS = 10000 };

TestSuite(sim_order, .init = seeds_begin);

static const void *place_of[PLACES]; /* the connection on which the query was executed last */
static uint32_t turn_of[PLACES];     /* as many were executed before */
static uint32_t turn_count;

static void on_executed(const void *conn, uint32_t index) {
    place_of[index] = conn;
    turn_of[index] = ++turn_count;
}

static void on_ended(uint32_t index, bool committed) {
    (void)index, (void)committed;
}

static const struct sim_watcher watcher = {.executed = on_executed, .ended = on_ended};

static void open_conns(uint32_t count, uint32_t depth) {
    quring_db_options db = {.connection_count = count, .depth = depth};
    open_world(&db);
    world.server.watcher = &watcher;
    memset(place_of, 0, sizeof place_of);
    memset(turn_of, 0, sizeof turn_of);
    turn_count = 0;
    world_connect(&world, count);
}

static int ask_ordered(const struct ask *what) {
    int index = world_ask(&world, what);
    LAW(index >= 0, "quring_submit: %s", quring_errmsg(world.engine));
    return index;
}

static int ask_key(uint64_t key, const char *verb, uint32_t number) {
    return ask_ordered(&(struct ask){.verb = verb, .number = number, .order_key = key});
}

static int ask_group(uint64_t key, const char *verb, const char *sqlstate) {
    return ask_ordered(
        &(struct ask){.verb = verb, .sqlstate = sqlstate, .order_key = key, .commit = QURING_COMMIT_GROUP});
}

static bool has_run(int index) {
    return turn_of[index] != 0;
}

static void expect_order(int first, int second) {
    cr_assert(has_run(first) && has_run(second));
    cr_assert_lt(turn_of[first], turn_of[second], "query %d was executed before query %d", second, first);
}

/* Turns without a reap, so the program has not seen what ended. */
static void run_unseen(uint64_t ns) {
    uint64_t until = sim_now_ns(world.sim) + ns;
    while (sim_now_ns(world.sim) < until)
        LAW(quring_run(world.engine, 100, until - sim_now_ns(world.sim)) >= 0, "quring_run");
}

/* ---- One connection, without waiting ---- */

Test(sim_order, a_key_is_pipelined_on_one_connection) {
    open_conns(4, 64);
    int first = ask_key(7, "insert", 0), last = first;
    for (int i = 0; i < 30; i++)
        last = ask_key(7, i % 2 ? "insert" : "select", 0);
    int other = ask("select", 0, NULL);
    uint64_t sends = world_stats(&world).send_count;
    world_finish(&world);
    for (int i = first; i < last; i++) {
        expect_order(i, i + 1);
        cr_assert_eq(place_of[i], place_of[last]);
    }
    cr_assert_neq(place_of[other], place_of[last]);
    cr_assert_leq(world_stats(&world).send_count - sends, 2, "all of them in one send of their connection");
    world_close(&world);
}

Test(sim_order, an_idle_key_goes_anywhere) {
    open_conns(2, 4);
    int sleep = ask("sleep", 5000, NULL), first = ask_key(7, "insert", 0);
    while (!world.asked[first].ended)
        (void)world_run(&world, 1, QURING_FOREVER);
    cr_assert(!world.asked[sleep].ended);
    world_finish(&world);
    int again = ask_key(8, "sleep", 5000);
    (void)world_run(&world, 0, 0);
    int second = ask_key(7, "select", 0);
    world_finish(&world);
    cr_assert(place_of[again] != place_of[second], "the connection that nothing was out on took it");
    world_close(&world);
}

Test(sim_order, it_stays_while_a_query_is_out_that_was_given_up) {
    open_conns(2, 8);
    int slow = ask_ordered(&(struct ask){.verb = "sleep", .number = 20000, .order_key = 7, .timeout_ns = 2 * MS});
    world.allowed = MAY(TIMEOUT);
    while (!world.asked[slow].ended)
        (void)world_run(&world, 1, QURING_FOREVER);
    expect(slow, QURING_TIMEOUT, "57014");
    int next = ask_key(7, "insert", 0), other = ask_key(8, "insert", 0);
    while (!world.asked[other].ended)
        (void)world_run(&world, 1, QURING_FOREVER);
    cr_assert(!has_run(next), "it overtook what still runs");
    world_finish(&world);
    cr_assert_eq(place_of[next], place_of[slow]);
    cr_assert_eq(world.engine->hub.keys.count, 0);
    world_close(&world);
}

/* ---- Waiting ---- */

Test(sim_order, a_full_connection_is_waited_for_and_blocks_nobody) {
    open_conns(2, 2);
    int slow = ask_key(7, "sleep", 20000), last = slow;
    for (int i = 0; i < 20; i++)
        last = ask_key(7, "insert", 0);
    int others[20];
    for (int i = 0; i < 20; i++)
        others[i] = i % 2 ? ask_key(100 + (uint64_t)i, "insert", 0) : ask("select", 0, NULL);
    while (!world.asked[others[19]].ended)
        (void)world_run(&world, 1, QURING_FOREVER);
    cr_assert(!world.asked[slow].ended);
    for (int i = 0; i < 20; i++)
        cr_assert(world.asked[others[i]].ended, "query %d waited for another's key", others[i]);
    cr_assert_eq(world_stats(&world).waiting_count, 19);
    world_finish(&world);
    for (int i = slow; i < last; i++)
        expect_order(i, i + 1);
    world_close(&world);
}

/* Keys that wait for one connection take turns. */
Test(sim_order, a_long_line_of_one_key_does_not_keep_another_from_its_turn) {
    open_conns(1, 2);
    ask_key(7, "sleep", 1000), ask_key(8, "select", 0);
    (void)world_run(&world, 0, 0);
    int of_7 = 0;
    for (int i = 0; i < 100; i++)
        of_7 = ask_key(7, "insert", 0);
    int of_8 = ask_key(8, "insert", 0);
    world_finish(&world);
    (void)of_7;
    cr_assert(has_run(of_8));
    world_close(&world);
}

/* The key's first query is out when a transaction takes its connection: what follows must not run within that. */
Test(sim_order, a_transaction_that_holds_the_connection_has_nothing_else_in_it) {
    open_conns(2, 64);
    int slow = ask_key(7, "sleep", 20000), crowd = ask_key(8, "sleep", 40000);
    for (int i = 0; i < 4; i++)
        ask_key(8, "insert", 0);
    (void)world_run(&world, 0, 0);
    quring_tx *tx;
    LAW(quring_tx_open(world.db, NULL, &tx) == 0, "quring_tx_open: %s", quring_errmsg(world.engine));
    int within = ask_ordered(&(struct ask){.verb = "insert", .tx = tx, .in_block = true});
    (void)world_run(&world, 0, 0);
    int next = ask_key(7, "insert", 0), last = ask_key(7, "insert", 0);
    while (!world.asked[next].ended)
        (void)world_run(&world, 1, QURING_FOREVER);
    cr_assert_eq(place_of[within], place_of[slow], "the transaction holds the connection of the key");
    cr_assert_eq(place_of[next], place_of[crowd], "nothing of the key was out, so it went elsewhere");
    quring_tx_release(tx);
    world.allowed = MAY(SKIPPED);
    world_finish(&world);
    expect_order(slow, next);
    expect_order(next, last);
    cr_assert(world.server.ledger[next].committed && !world.server.ledger[within].committed);
    world_close(&world);
}

Test(sim_order, a_query_that_is_parked_can_be_given_up) {
    open_conns(1, 1);
    int slow = ask_key(7, "sleep", 5000);
    (void)world_run(&world, 0, 0);
    int cancelled = ask_key(7, "insert", 0),
        late = ask_ordered(&(struct ask){.verb = "insert", .order_key = 7, .timeout_ns = MS});
    int last = ask_key(7, "select", 0);
    world.allowed = MAY(TIMEOUT) | MAY(CANCELLED);
    (void)world_run(&world, 0, 0);
    cr_assert_eq(quring_cancel(world.engine, world.asked[cancelled].id), 0);
    world_finish(&world);
    expect(slow, QURING_OK, NULL), expect(last, QURING_OK, NULL);
    expect(cancelled, QURING_CANCELLED, "57014"), expect(late, QURING_TIMEOUT, "57014");
    cr_assert(!world.asked[cancelled].sent && !world.asked[late].sent);
    cr_assert_eq(world.engine->hub.keys.count, 0);
    world_close(&world);
}

/* ---- What is run again ---- */

Test(sim_order, a_group_that_is_undone_is_followed_by_nothing_of_its_keys) {
    open_conns(1, 64);
    int first = ask_group(7, "insert", NULL), sick = ask_group(8, "error", "22012"),
        same = ask_group(7, "insert", NULL);
    int behind = ask_key(7, "select", 0), other = ask_key(9, "select", 0);
    world_finish(&world);
    expect(first, QURING_OK, NULL), expect(same, QURING_OK, NULL), expect(behind, QURING_OK, NULL);
    expect(sick, QURING_SERVER_ERROR, "22012");
    cr_assert_eq(world.server.ledger[first].executed, 2);
    expect_order(first, same), expect_order(same, behind), expect_order(other, first);
    world_close(&world);
}

/* A member that is alone in its group is not undone with another: what follows need not wait for it. */
Test(sim_order, a_group_of_one_is_followed_at_once) {
    open_conns(1, 64);
    int first = ask_group(7, "sleep", NULL), each = ask_key(7, "insert", 0), next = ask_group(7, "insert", NULL);
    uint64_t sends = world_stats(&world).send_count;
    world_finish(&world);
    expect_order(first, each), expect_order(each, next);
    cr_assert_eq(world_stats(&world).send_count - sends, 1);
    world_close(&world);
}

Test(sim_order, a_stale_plan_is_repaired_if_nothing_of_its_key_is_behind) {
    open_conns(1, 64);
    ask("select", 0, NULL);
    world_finish(&world);
    world.server.schema++;
    int alone = ask_key(7, "select", 0), other = ask_key(8, "insert", 0);
    world_finish(&world);
    expect(alone, QURING_OK, NULL), expect(other, QURING_OK, NULL);
    expect_order(other, alone);
    world.server.schema++;
    world.allowed = MAY(SERVER_ERROR);
    world.lenient = true;
    int stale = ask_key(7, "select", 0), behind = ask_key(7, "insert", 0);
    world_finish(&world);
    expect(stale, QURING_SERVER_ERROR, "0A000"), expect(behind, QURING_OK, NULL);
    cr_assert_eq(world.server.ledger[stale].executed, 0);
    world_close(&world);
}

/* ---- Losses ---- */

Test(sim_order, a_key_is_closed_until_all_of_it_was_reaped) {
    open_conns(2, 2);
    world.allowed = MAY_BE_LOST;
    int lost = ask_key(7, "sleep", 20000), out = ask_key(7, "insert", 0), parked = ask_key(7, "insert", 0);
    run_unseen(2 * MS);
    int other = ask_key(8, "insert", 0);
    sim_server_kill(&world.server, true);
    run_unseen(2 * MS);
    int unseen = ask_key(7, "insert", 0);
    run_unseen(50 * MS);
    world_reap(&world);
    world_finish(&world);
    expect(lost, QURING_IN_DOUBT, NULL), expect(out, QURING_IN_DOUBT, NULL);
    expect(parked, QURING_NOT_SENT, NULL), expect(unseen, QURING_NOT_SENT, "08006");
    cr_assert(!has_run(parked) && !has_run(unseen));
    int again = ask_key(7, "insert", 0);
    world_finish(&world);
    expect(again, QURING_OK, NULL);
    (void)other;
    world_close(&world);
}

/* The program knows what it gave up: but what it had asked behind that must not overtake it. */
Test(sim_order, a_loss_behind_what_was_given_up_ends_what_waits) {
    open_conns(1, 1);
    int given_up = ask_ordered(&(struct ask){.verb = "sleep", .number = 50000, .order_key = 7, .timeout_ns = MS});
    world.allowed = MAY_BE_LOST | MAY(TIMEOUT);
    (void)world_run(&world, 0, 0);
    int parked = ask_key(7, "insert", 0), other = ask("insert", 0, NULL);
    while (!world.asked[given_up].ended)
        (void)world_run(&world, 1, QURING_FOREVER);
    sim_server_kill(&world.server, false);
    world_finish(&world);
    expect(given_up, QURING_TIMEOUT, NULL), expect(other, QURING_OK, NULL);
    (void)parked;
    world_close(&world);
}

Test(sim_order, keys_of_a_closed_handle_are_gone) {
    open_conns(1, 2);
    world.allowed = MAY(SHUTDOWN);
    for (int i = 0; i < 6; i++)
        ask_key(7, "sleep", 20000);
    run_unseen(MS);
    quring_db_close(world.db);
    run_unseen(5 * MS);
    cr_assert(list_empty(&world.engine->hub.databases));
    cr_assert_eq(world.engine->hub.keys.count, 1);
    LAW(world_open_db(&world, NULL) == 0, "quring_db_open");
    int fresh = ask_key(7, "select", 0);
    cr_assert_eq(world.engine->hub.keys.count, 2, "another handle, another key");
    world_finish(&world);
    expect(fresh, QURING_OK, NULL);
    cr_assert_eq(world.engine->hub.keys.count, 0);
    world_close(&world);
}

Test(sim_order, an_exclusive_handle_takes_keys_for_nothing) {
    quring_db_options db = {.exclusive = true};
    open_world(&db);
    world.server.in_order = true;
    for (uint64_t i = 0; i < 20; i++)
        ask_key(i % 3, "insert", 0);
    cr_assert_eq(world.engine->hub.keys.count, 0);
    world_finish(&world);
    world_close(&world);
}

/* ---- Many keys ---- */

/* Each costs a few visits, whatever the number of the others; and they take no more memory the next time. */
Test(sim_order, ten_thousand_keys_are_as_cheap_as_one) {
    enum { ROUNDS = 3, EACH = 3 };
    struct sim_options sim = {.seed = 1, .latency_ns = 10000};
    quring_options engine = {.query_count = MANY_KEYS * EACH};
    quring_db_options db = {.connection_count = 4, .depth = 64};
    world_open(&world, &sim, &engine, &db, MANY_KEYS * EACH * ROUNDS);
    world_connect(&world, 4);
    const struct order_keys *keys = &world.engine->hub.keys;
    uint32_t blocks = 0, buckets = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t before = keys->visit_count;
        for (uint64_t i = 0; i < MANY_KEYS * EACH; i++)
            ask_key(1 + i % MANY_KEYS, i < MANY_KEYS ? "insert" : "select", 0);
        cr_assert_eq(keys->count, MANY_KEYS);
        world_finish(&world);
        uint64_t visits = keys->visit_count - before;
        cr_assert_leq(visits, 5 * MANY_KEYS * EACH, "%llu visits", (unsigned long long)visits);
        cr_assert_eq(keys->count, 0);
        cr_assert(round == 0 || (keys->block_count == blocks && keys->bucket_count == buckets));
        blocks = keys->block_count, buckets = keys->bucket_count;
    }
    world_close(&world);
}
