/* SPDX-License-Identifier: MIT */
/* Connections that fall silent: when they are given up, when they are not, and that capacity comes back. */
#include "lib/replies.h"
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

TestSuite(sim_silence, .init = seeds_begin);

enum { QUERY_COUNT = 8 };

static const uint64_t NEVER = QURING_FOREVER;

static void open_silent(uint32_t connections, uint64_t silence_ns, uint64_t query_silence_ns) {
    quring_db_options db = {.connection_count = connections,
                            .connect_timeout_ns = SECOND,
                            .silence_ns = silence_ns,
                            .query_silence_ns = query_silence_ns};
    open_world(&db);
    world_connect(&world, connections);
    world.allowed = MAY(TIMEOUT) | MAY(CANCELLED) | MAY_BE_LOST;
}

static int ask_for(const char *verb, uint32_t number, uint64_t timeout_ns) {
    struct ask what = {.verb = verb, .number = number, .timeout_ns = timeout_ns};
    return world_ask(&world, &what);
}

static uint64_t lost_count(void) {
    return world_stats(&world).connection_lost_count;
}

/* The server says a notice on all its connections. */
static void say_something(void) {
    struct buf out;
    buf_init(&out, SIZE_MAX);
    reply_report(&out, 'N', "NOTICE", "00000", "still at it", NULL);
    sim_server_say(&world.server, out.data, buf_size(&out));
    buf_free(&out);
}

/* ---- Queries that were given up ---- */

/* False: the server said all that it had to say. */
static bool falls_silent_behind(uint64_t bytes) {
    quring_db_options db = {
        .connection_count = 1, .depth = QUERY_COUNT, .connect_timeout_ns = SECOND, .silence_ns = 2 * SECOND};
    open_world(&db);
    world.allowed = MAY(TIMEOUT) | MAY_BE_LOST;
    world.server.hush_received = bytes;
    uint64_t start = sim_now_ns(world.sim);
    for (int i = 0; i < QUERY_COUNT; i++) {
        struct ask what = {.verb = i % 2 ? "rows" : "insert", .number = i % 2 ? 3 : 0, .timeout_ns = 1100 * MS};
        what.commit = i > 5 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH;
        world_ask(&world, &what);
    }
    world_finish(&world);
    int after = 0;
    for (int tries = 0; tries == 0 || world.asked[after].status != QURING_OK; tries++) {
        cr_assert_lt(tries, 3, "%llu bytes: %s", (unsigned long long)bytes, world.asked[after].got_sqlstate);
        after = ask_for("select", 0, 1100 * MS);
        world_finish(&world);
    }
    uint64_t took = sim_now_ns(world.sim) - start;
    cr_assert_lt(took, (2 * 1100 + 2000 + 200) * MS, "%llu bytes: %llu ms", (unsigned long long)bytes,
                 (unsigned long long)(took / MS));
    bool silent = world.server.connects > 1;
    cr_assert(silent || world.by_status[QURING_OK] == QUERY_COUNT + 1);
    world_close(&world);
    return silent;
}

Test(sim_silence, capacity_comes_back_wherever_the_server_falls_silent) {
    uint64_t bytes = 1;
    while (falls_silent_behind(bytes))
        bytes += SEEDS_BYTE_STEP;
    cr_assert_gt(bytes, 700, "silent behind %llu bytes at most", (unsigned long long)bytes);
}

/* A transaction whose end is submitted with the others, or after them. True: the server fell silent. */
static bool falls_silent_in_transaction(const quring_tx_options *options, bool apart, uint64_t bytes) {
    open_world(&(quring_db_options){.connection_count = 1, .connect_timeout_ns = SECOND, .silence_ns = 2 * SECOND});
    world.allowed = MAY(TIMEOUT) | MAY(SERVER_ERROR) | MAY(SKIPPED) | MAY_BE_LOST;
    world.server.hush_received = bytes;
    quring_tx *tx;
    cr_assert_eq(quring_tx_open(world.db, options, &tx), 0);
    for (int i = 0; i < 3; i++) {
        struct ask what = {.verb = i < 2 ? "insert" : "commit", .tx = tx, .in_block = true};
        if (i == 2 && apart)
            world_finish(&world);
        world_ask(&world, &what);
    }
    quring_tx_release(tx);
    world_finish(&world);
    int after = 0;
    for (int tries = 0; tries == 0 || world.asked[after].status != QURING_OK; tries++) {
        cr_assert_lt(tries, 4, "%llu bytes: %s", (unsigned long long)bytes, world.asked[after].got_sqlstate);
        after = ask_for("select", 0, 1100 * MS);
        world_finish(&world);
    }
    bool silent = world.server.connects > 1;
    world_close(&world);
    return silent;
}

Test(sim_silence, a_connection_comes_back_wherever_the_server_falls_silent_in_a_transaction) {
    static const quring_tx_options options[] = {
        {.timeout_ns = 1100 * MS},
        {.timeout_ns = 1100 * MS, .lease_reset = QURING_LEASE_RESET_ALWAYS},
        {.timeout_ns = 1100 * MS, .resolve = QURING_RESOLVE_TOKEN, .token_table = "public.sim_tokens"}};
    for (int i = 0; i < 6; i++) {
        uint64_t bytes = 1;
        while (falls_silent_in_transaction(&options[i / 2], i % 2, bytes))
            bytes += SEEDS_BYTE_STEP;
        cr_assert_gt(bytes, 300, "%d: silent behind %llu bytes at most", i, (unsigned long long)bytes);
    }
}

Test(sim_silence, a_connection_has_the_whole_bound_from_when_its_query_is_given_up) {
    open_silent(1, 3 * SECOND, 0);
    int silent = ask_for("silent", 0, 20 * SECOND);
    world_pass(&world, 20 * SECOND + MS);
    expect(silent, QURING_TIMEOUT, "57014");
    world_pass(&world, 3 * SECOND - 2 * MS);
    cr_assert_eq(lost_count(), 0);
    world_pass(&world, 2 * MS);
    cr_assert_eq(lost_count(), 1);
    world_connect(&world, 1);
    world_close(&world);
}

/* The pool knows nothing of a cancel before its next turn, and the program may take its time until then. */
Test(sim_silence, the_bound_begins_with_the_cancel_and_not_with_the_turn_before) {
    open_silent(1, 3 * SECOND, 0);
    int slow = ask_for("sleep", 12000000, 0);
    world_pass(&world, MS);
    world_stay_away(&world, 10 * SECOND);
    cr_assert_eq(quring_cancel(world.engine, world.asked[slow].id), 0);
    world_pass(&world, 4 * SECOND);
    cr_assert_eq(lost_count(), 0);
    world_close(&world);
}

Test(sim_silence, every_byte_begins_the_bound_anew) {
    open_silent(1, 3 * SECOND, 0);
    ask_for("silent", 0, MS);
    world_pass(&world, SECOND);
    for (int i = 0; i < 20; i++) {
        say_something();
        world_pass(&world, 2900 * MS);
        cr_assert_eq(lost_count(), 0);
    }
    say_something();
    world_pass(&world, 3100 * MS);
    cr_assert_eq(lost_count(), 1);
    world_close(&world);
}

/* While it is away the time passes, and the bytes lie in the socket: they are read before the clock is looked at. */
Test(sim_silence, what_came_while_the_program_was_away_counts) {
    open_silent(2, SECOND, 0);
    for (int round = 0; round < 20; round++) {
        ask_for("sleep", 1500000, 100 * MS);
        ask_for("sleep", 1500000, 100 * MS);
        world_finish(&world);
        world_stay_away(&world, 20 * SECOND);
        world_pass(&world, MS);
    }
    cr_assert_eq(lost_count(), 0);
    world_close(&world);
}

/* The same where the kernel reports of one answer at a time, and there are as many as connections. */
Test(sim_silence, what_came_on_many_connections_while_it_was_away_counts) {
    enum { MANY = 40 };
    int asked[MANY];
    open_silent(MANY, SECOND, SECOND);
    sim_set_chances(world.sim, &(struct sim_options){.batch = 1});
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++)
            asked[i] = ask_for("sleep", 300000, i % 2 ? 500 * MS : 0);
        while (world_stats(&world).waiting_count)
            (void)world_run(&world, 0, 0);
        (void)world_run(&world, 0, 0);
        world_stay_away(&world, 20 * SECOND);
        (void)world_run(&world, 0, 0);
        for (int i = 0; i < MANY; i++)
            expect(asked[i], QURING_OK, NULL);
    }
    cr_assert_eq(lost_count(), 0);
    world_close(&world);
}

/* What a run has to say is with the kernel when it returns, and so is what a release has: the server answers meanwhile. */
Test(sim_silence, a_transaction_that_ends_while_the_program_is_away_keeps_its_connection) {
    for (int released = 0; released < 2; released++) {
        open_silent(1, SECOND, 0);
        quring_tx *tx;
        cr_assert_eq(quring_tx_open(world.db, NULL, &tx), 0);
        struct ask first = {.verb = "insert", .in_block = true, .tx = tx, .either = true},
                   fails = {.verb = "error", .sqlstate = "22012", .in_block = true, .tx = tx};
        world_ask(&world, &first);
        if (!released)
            world_ask(&world, &fails);
        world_finish(&world);
        if (released)
            quring_tx_release(tx);
        world_stay_away(&world, 10 * SECOND);
        if (!released)
            quring_tx_release(tx);
        world_pass(&world, 10 * SECOND);
        cr_assert_eq(lost_count(), 0);
        world_close(&world);
    }
}

/* COMMIT waits for the transaction's ID, which comes with the completion that the program goes away with. */
static void go_away_before_a_commit(uint64_t query_silence_ns, uint64_t timeout_ns) {
    open_silent(1, NEVER, query_silence_ns);
    quring_tx *tx;
    cr_assert_eq(quring_tx_open(world.db, &(quring_tx_options){.resolve = QURING_RESOLVE_XID}, &tx), 0);
    struct ask insert = {.verb = "insert", .in_block = true, .tx = tx},
               commit = {.verb = "commit", .in_block = true, .tx = tx, .timeout_ns = timeout_ns};
    int first = world_ask(&world, &insert), last = world_ask(&world, &commit);
    while (!world.asked[first].ended)
        (void)world_run(&world, 1, QURING_FOREVER);
    cr_assert(!world.asked[last].ended);
    world_stay_away(&world, 10 * SECOND);
    world_finish(&world);
    expect(last, QURING_OK, NULL);
    cr_assert_eq(lost_count(), 0);
    quring_tx_release(tx);
    world_close(&world);
}

Test(sim_silence, what_follows_an_answer_is_sent_before_the_program_goes_away) {
    go_away_before_a_commit(SECOND, 0);
    go_away_before_a_commit(NEVER, SECOND);
}

Test(sim_silence, a_tiny_bound_keeps_no_core_busy) {
    open_silent(1, NEVER, 1);
    uint64_t before = world_stats(&world).enter_count;
    world_pass(&world, SECOND);
    cr_assert_leq(world_stats(&world).enter_count - before, 300);
    world_close(&world);
}

/* The answer to its ROLLBACK takes longer than from one look to the next, and the transaction was idle for longer than the bound. */
Test(sim_silence, a_transaction_that_is_released_late_and_resets_keeps_its_connection) {
    struct sim_options sim = {.seed = 1, .latency_ns = 60 * MS};
    quring_options engine = {.query_count = 20, .connection_count = 4};
    quring_db_options db = {.connection_count = 1, .silence_ns = 400 * MS, .query_silence_ns = 400 * MS};
    world_open(&world, &sim, &engine, &db, 100);
    world_connect(&world, 1);
    quring_tx *tx;
    cr_assert_eq(quring_tx_open(world.db, &(quring_tx_options){.lease_reset = QURING_LEASE_RESET_ALWAYS}, &tx), 0);
    struct ask first = {.verb = "insert", .in_block = true, .tx = tx, .either = true};
    world_ask(&world, &first);
    world_finish(&world);
    world_pass(&world, SECOND);
    quring_tx_release(tx);
    world_pass(&world, SECOND);
    cr_assert_eq(lost_count(), 0);
    world_close(&world);
}

Test(sim_silence, a_long_query_is_no_silence) {
    open_silent(1, SECOND, 0);
    int given_up = ask_for("sleep", 500000, 100 * MS), slow = ask("sleep", 300000000, NULL);
    int behind = ask_for("silent", 0, 200 * MS);
    world_pass(&world, 300 * SECOND);
    expect(given_up, QURING_TIMEOUT, NULL);
    expect(behind, QURING_TIMEOUT, NULL);
    cr_assert_eq(lost_count(), 0, "the one behind is not what the server is at");
    world_pass(&world, SECOND);
    expect(slow, QURING_OK, NULL);
    world_pass(&world, SECOND);
    cr_assert_eq(lost_count(), 1, "now it is");
    world_close(&world);
}

/* One after the other is given up, and none of them puts the end off. */
Test(sim_silence, more_queries_that_are_given_up_do_not_put_it_off) {
    open_silent(1, 3 * SECOND, 0);
    ask_for("silent", 0, 100 * MS);
    for (int i = 0; i < 32; i++)
        ask_for("select", 0, (uint64_t)(200 + i * 100) * MS);
    world_pass(&world, 3100 * MS + 2 * MS);
    cr_assert_eq(lost_count(), 1);
    world_finish(&world);
    world_close(&world);
}

Test(sim_silence, queries_behind_it_end_in_doubt_and_later_ones_are_served) {
    open_silent(1, SECOND, 0);
    int silent = ask_for("silent", 0, 100 * MS), behind = ask("insert", 0, NULL);
    world_pass(&world, 200 * MS);
    int later = ask("insert", 0, NULL);
    world_pass(&world, MS);
    cr_assert_eq(world_stats(&world).waiting_count, 1, "it is not sent behind one that was given up");
    world_finish(&world);
    expect(silent, QURING_TIMEOUT, "57014");
    expect(behind, QURING_IN_DOUBT, "08006");
    expect(later, QURING_OK, NULL);
    world_close(&world);
}

/* Eight connections, each with a query that was given up and that the server is at for long. */
Test(sim_silence, a_handle_is_not_dead_for_as_long_as_its_slowest_query) {
    open_silent(8, 0, 0);
    for (int i = 0; i < 8; i++)
        ask_for("sleep", 120000000, 100 * MS);
    world_finish(&world);
    int queries[100];
    for (int i = 0; i < 100; i++)
        queries[i] = ask("select", 0, NULL);
    uint64_t start = sim_now_ns(world.sim);
    world_finish(&world);
    cr_assert_lt(sim_now_ns(world.sim) - start, 6 * SECOND, "the default is 5 s");
    for (int i = 0; i < 100; i++)
        expect(queries[i], QURING_OK, NULL);
    world_connect(&world, 8);
    world_close(&world);
}

/* Its state would be lost, so only a program that asked for it has it so. */
Test(sim_silence, an_exclusive_handle_waits) {
    for (int asked_for = 0; asked_for < 2; asked_for++) {
        quring_db_options db = {.exclusive = true, .silence_ns = asked_for ? SECOND : 0};
        open_world(&db);
        world_connect(&world, 1);
        world.allowed = MAY(TIMEOUT) | MAY_BE_LOST;
        ask_for("sleep", 60000000, 100 * MS);
        int next = ask("select", 0, NULL);
        world_finish(&world);
        expect(next, asked_for ? QURING_IN_DOUBT : QURING_OK, asked_for ? "08006" : NULL);
        cr_assert_eq(lost_count(), (uint64_t)asked_for);
        world_close(&world);
    }
}

/* Once nothing is awaited, no timer is left that would wake a foreign loop. */
Test(sim_silence, an_answer_ends_the_watch) {
    open_silent(2, 0, 0);
    ask_for("sleep", 200000, 100 * MS);
    world_finish(&world);
    cr_assert_neq(quring_timeout_ns(world.engine), NEVER);
    world_pass(&world, 200 * MS);
    cr_assert_eq(quring_timeout_ns(world.engine), NEVER);
    world_close(&world);
}

Test(sim_silence, forever_is_no_bound) {
    open_silent(1, NEVER, NEVER);
    ask_for("silent", 0, 100 * MS);
    world_pass(&world, 100000 * SECOND);
    cr_assert_eq(lost_count(), 0);
    cr_assert_eq(quring_timeout_ns(world.engine), NEVER);
    world_close(&world);
}

/* ---- Queries that were not given up ---- */

Test(sim_silence, query_silence_ends_what_was_not_given_up) {
    open_silent(1, 0, 8 * SECOND);
    world_pass(&world, 100 * SECOND);
    cr_assert_eq(lost_count(), 0, "nothing was out");
    uint64_t start = sim_now_ns(world.sim);
    int silent = ask("silent", 0, NULL), behind = ask("insert", 0, NULL);
    world_finish(&world);
    uint64_t took = sim_now_ns(world.sim) - start;
    expect(silent, QURING_IN_DOUBT, "08006");
    expect(behind, QURING_IN_DOUBT, "08006");
    cr_assert(took >= 8 * SECOND && took <= 9 * SECOND + MS, "%llu ms", (unsigned long long)(took / MS));
    world_connect(&world, 1);
    world_close(&world);
}

/* Whatever pauses there are between queries, each has the whole bound. */
Test(sim_silence, query_silence_begins_with_the_query) {
    open_silent(1, 0, 8 * SECOND);
    for (uint32_t i = 0; i < 200; i++) {
        world_pass(&world, 1 + world_below(&world, 20 * SECOND));
        int slow = ask("sleep", 7900000, NULL);
        if (i % 3 == 0)
            ask("sleep", 7900000, NULL);
        world_finish(&world);
        expect(slow, QURING_OK, NULL);
    }
    cr_assert_eq(lost_count(), 0);
    world_close(&world);
}

/* ---- By chance ---- */

/* Queries are given up at any moment, and all are answered within the bound: no connection is lost. */
static void answers_in_time(uint64_t seed) {
    struct sim_options sim = {
        .seed = seed, .latency_ns = 2 * MS, .split = 300, .short_delivery = 300, .again = 20, .withhold = 100};
    quring_options engine = {.query_count = 64};
    quring_db_options db = {.connection_count = 1 + (uint32_t)(seed % 4),
                            .depth = 16,
                            .silence_ns = 400 * MS,
                            .query_silence_ns = seed % 2 ? 400 * MS : 0};
    world_open(&world, &sim, &engine, &db, 200);
    world.allowed = MAY(TIMEOUT) | MAY(CANCELLED);
    for (int i = 0; i < 200; i++) {
        bool slow = world_below(&world, 8) == 0;
        int index = ask_for(slow ? "sleep" : "rows", slow ? 100000 : 3,
                            world_below(&world, 3) ? 0 : 1 + world_below(&world, 100 * MS));
        if (index == QURING_EFULL || world_below(&world, 4) == 0)
            world_pass(&world, world_below(&world, 200 * MS));
        if (index >= 0 && world_below(&world, 8) == 0)
            (void)quring_cancel(world.engine, world.asked[index].id);
    }
    world_finish(&world);
    LAW(lost_count() == 0, "%llu connections were lost", (unsigned long long)lost_count());
    world_close(&world);
}

Test(sim_silence, who_answers_in_time_is_never_lost) {
    seeds_run(100, answers_in_time);
}
