/* SPDX-License-Identifier: MIT */
/* Transactions in situations that are set up by hand; test_sim_tx has them in any weather. */
#include "lib/sim_leases.h"

#include <criterion/criterion.h>
#include <string.h>

Test(sim_leases, nothing_takes_effect_behind_a_begin_that_failed) {
    static const char *const errors[] = {"26000", "57014", "25006"};
    for (size_t i = 0; i < 6; i++) {
        bool whole = i % 2;
        int inserts[4];
        open_one(32);
        world_connect(&world, 1);
        world.allowed = MAY(SKIPPED) | MAY(SERVER_ERROR);
        world.server.begin_error = errors[i / 2];
        quring_tx *tx = open_tx(NULL);
        inserts[0] = ask_tx(tx, "insert", 0, NULL);
        inserts[1] = ask_tx(tx, "insert", 0, NULL);
        ask_tx(tx, "savepoint", 1, NULL);
        inserts[2] = ask_tx(tx, "insert", 0, NULL);
        ask_tx(tx, "rollback to", 1, NULL);
        inserts[3] = ask_tx(tx, "insert", 0, NULL);
        if (!whole)
            world_finish(&world);
        struct ask end = {.verb = "commit", .tx = tx, .in_block = true, .warns_with = "25P01"};
        int commit = world_ask(&world, &end);
        quring_tx_release(tx);
        world_finish(&world);
        expect(commit, QURING_SERVER_ERROR, errors[i / 2]);
        for (int j = 0; j < 4; j++) {
            expect(inserts[j], QURING_SKIPPED, errors[i / 2]);
            cr_assert_eq(world.asked[inserts[j]].failed_id, 0);
            cr_assert_eq(world.server.ledger[inserts[j]].executed, 0);
        }
        world.server.begin_error = NULL;
        int after = ask("insert", 0, NULL);
        world_finish(&world);
        expect(after, QURING_OK, NULL);
        world_close(&world);
    }
}

Test(sim_leases, a_setting_that_was_changed_earlier_costs_no_plans) {
    enum { TXS = 20 };
    static const char status[] = "S\0\0\0\x11TimeZone\0UTC";
    open_one(32);
    world_connect(&world, 1);
    ask("insert", 0, NULL);
    world_finish(&world);
    sim_server_say(&world.server, status, sizeof status);
    world_pass(&world, MS);
    uint64_t parses = world.server.parses;
    for (int i = 0; i < TXS; i++) {
        quring_tx *tx = open_tx(NULL);
        ask_tx(tx, "insert", 0, NULL);
        ask_tx(tx, "commit", 0, NULL);
        quring_tx_release(tx);
        ask("insert", 0, NULL);
        world_finish(&world);
    }
    cr_assert_eq(world.server.parses - parses, 2 * TXS, "but for BEGIN and COMMIT: %u",
                 (unsigned)(world.server.parses - parses - 2 * TXS));
    world_close(&world);
}

Test(sim_leases, a_timeout_of_the_whole_ends_what_runs) {
    open_one(32);
    world_connect(&world, 1);
    world.allowed = MAY(SKIPPED) | MAY(SERVER_ERROR) | MAY(TIMEOUT);
    quring_tx *tx = open_tx(&(quring_tx_options){.timeout_ns = 5 * MS});
    int first = ask_tx(tx, "insert", 0, NULL), slow = ask_tx(tx, "sleep", 50000, NULL);
    uint64_t began = sim_now_ns(world.sim);
    (void)world_run(&world, 2, QURING_FOREVER);
    cr_assert_lt(sim_now_ns(world.sim) - began, 10 * MS, "it does not wait for the server");
    int behind = ask_tx(tx, "insert", 0, NULL), commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    int after = ask("insert", 0, NULL);
    world_finish(&world);
    expect(slow, QURING_TIMEOUT, "57014");
    expect(behind, QURING_SKIPPED, "25P04");
    expect(commit, QURING_SERVER_ERROR, "25P04");
    expect(after, QURING_OK, NULL);
    cr_assert_eq(world.server.ledger[first].committed, 0);
    world_close(&world);
}

/* The program did other things until after the timeout, and submits the rest then. */
Test(sim_leases, no_commit_is_sent_once_the_timeout_has_passed) {
    open_one(32);
    world_connect(&world, 1);
    world.allowed = MAY(SKIPPED) | MAY(SERVER_ERROR) | MAY(TIMEOUT);
    quring_tx *tx = open_tx(&(quring_tx_options){.timeout_ns = 5 * MS});
    int first = ask_tx(tx, "insert", 0, NULL);
    world_finish(&world);
    expect(first, QURING_OK, NULL);
    for (uint64_t until = sim_now_ns(world.sim) + 20 * MS; sim_now_ns(world.sim) < until;)
        (void)sim_wait(world.sim, 1 * MS);
    int behind = ask_tx(tx, "insert", 0, NULL), commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    world_finish(&world);
    expect(behind, QURING_SKIPPED, "25P04");
    expect(commit, QURING_SERVER_ERROR, "25P04");
    cr_assert_eq(world.server.ledger[first].committed, 0);
    world_close(&world);
}

Test(sim_leases, an_idle_one_gives_its_connection_to_those_that_wait) {
    open_one(32);
    world_connect(&world, 1);
    world.allowed = MAY(SKIPPED) | MAY(SERVER_ERROR);
    quring_tx *idle = open_tx(&(quring_tx_options){.idle_timeout_ns = 5 * MS}), *next = open_tx(NULL);
    int first = ask_tx(idle, "insert", 0, NULL);
    world_finish(&world);
    int second = ask_tx(next, "insert", 0, NULL), outside = ask("insert", 0, NULL);
    world_pass(&world, 4 * MS);
    cr_assert_not(world.asked[second].ended || world.asked[outside].ended);
    world_pass(&world, 4 * MS);
    expect(second, QURING_OK, NULL);
    ask_tx(next, "commit", 0, NULL);
    quring_tx_release(next);
    int late = ask_tx(idle, "insert", 0, NULL);
    quring_tx_release(idle);
    world_finish(&world);
    expect(late, QURING_SKIPPED, "25P03");
    cr_assert(world.server.ledger[first].committed == 0 && world.server.ledger[second].committed == 1);
    cr_assert_eq(world.server.ledger[outside].committed, 1);
    world_close(&world);
}

/* Each is behind a savepoint that a ROLLBACK TO goes back to, but for the second one. */
Test(sim_leases, of_three_that_are_given_up_none_is_forgotten) {
    static const int orders[][3] = {{1, 3, 5}, {1, 5, 3}, {3, 1, 5}, {3, 5, 1}, {5, 1, 3}, {5, 3, 1}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        open_one(32);
        world_connect(&world, 1);
        world.allowed = MAY(CANCELLED) | MAY(SKIPPED) | MAY(SERVER_ERROR);
        quring_tx *tx = open_tx(NULL);
        int asked[8];
        asked[0] = ask_tx(tx, "savepoint", 1, NULL);
        asked[1] = ask_tx(tx, "insert", 0, NULL);
        asked[2] = ask_tx(tx, "rollback to", 1, NULL);
        asked[3] = ask_tx(tx, "insert", 0, NULL);
        asked[4] = ask_tx(tx, "savepoint", 2, NULL);
        asked[5] = ask_tx(tx, "insert", 0, NULL);
        asked[6] = ask_tx(tx, "rollback to", 2, NULL);
        asked[7] = ask_tx(tx, "commit", 0, NULL);
        quring_tx_release(tx);
        for (int j = 0; j < 3; j++)
            cr_assert_eq(quring_cancel(world.engine, world.asked[asked[orders[i][j]]].id), 0);
        world_finish(&world);
        expect(asked[7], QURING_SERVER_ERROR, "57014");
        check_leases();
        world_close(&world);
    }
}

/* Whether it took effect is the server's secret, unless the transaction has a token. */
static void commit_with(const char *tag, const char *error, const char *failure, bool token) {
    open_one(32);
    world_connect(&world, 1);
    world.allowed = MAY(IN_DOUBT) | MAY(SERVER_ERROR);
    quring_tx_options options = {0};
    if (token)
        options = (quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = "public.sim_tokens"};
    quring_tx *tx = open_tx(&options);
    int insert = ask_tx(tx, "insert", 0, NULL);
    if (failure)
        ask_tx(tx, "error", 0, failure);
    world.server.commit_tag = tag;
    world.server.late_error = error;
    int commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    world_pass(&world, MS);
    world.server.commit_tag = world.server.late_error = NULL;
    world_finish(&world);
    bool committed = world.server.ledger[insert].committed;
    cr_assert_neq(committed, failure != NULL);
    expect(commit, !token ? QURING_IN_DOUBT : committed ? QURING_OK : QURING_SERVER_ERROR, NULL);
    check_leases();
    world_close(&world);
}

Test(sim_leases, a_commit_that_is_answered_in_two_ways_is_in_doubt) {
    for (int token = 0; token < 2; token++) {
        commit_with("COMMIT", "57014", NULL, token);
        commit_with("SELECT 1", NULL, NULL, token);
        commit_with("", NULL, NULL, token);
        commit_with("COMMIT", NULL, "22012", token);
        commit_with("SELECT 1", NULL, "22012", token);
        commit_with("", NULL, "22012", token);
    }
}

Test(sim_leases, the_word_of_a_server_that_breaks_the_protocol_does_not_count) {
    open_one(32);
    world_connect(&world, 1);
    world.allowed = MAY(PROTOCOL) | MAY(SERVER_ERROR);
    world.server.hangs_at_commit = true;
    quring_tx *tx = open_tx(NULL);
    int insert = ask_tx(tx, "insert", 0, NULL), error = ask_tx(tx, "error", 0, "22012");
    int commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    world_pass(&world, MS);
    expect(insert, QURING_OK, NULL);
    expect(error, QURING_SERVER_ERROR, "22012");
    sim_server_say(&world.server, "3\0\0\0\4", 5);
    world_finish(&world);
    expect(commit, QURING_PROTOCOL, "08P01");
    check_leases();
    world_close(&world);
}

/* It is encoded, and lost before the kernel took a byte of it. */
static void lose_unsent(quring_lease_reset reset, int cancelled) {
    int asked[3];
    open_one(32);
    world_connect(&world, 1);
    world.allowed = MAY(CANCELLED) | MAY(SKIPPED) | MAY(SERVER_ERROR);
    quring_tx *tx = open_tx(&(quring_tx_options){.lease_reset = reset});
    for (int i = 0; i < 3; i++)
        asked[i] = ask_tx(tx, i < 2 ? "insert" : "commit", 0, NULL);
    quring_tx_release(tx);
    (void)world_run(&world, 0, 0);
    if (cancelled < 3)
        cr_assert_eq(quring_cancel(world.engine, world.asked[asked[cancelled]].id), 0);
    sim_server_kill(&world.server, true);
    world_finish(&world);
    expect(asked[2], cancelled == 2 ? QURING_CANCELLED : cancelled < 2 ? QURING_SERVER_ERROR : QURING_OK, NULL);
    for (int i = 0; i < 2; i++) {
        expect(asked[i], cancelled == i ? QURING_CANCELLED : cancelled < 3 ? QURING_SKIPPED : QURING_OK, NULL);
        cr_assert_eq(world.server.ledger[asked[i]].committed, cancelled == 3);
    }
    check_leases();
    world_close(&world);
}

Test(sim_leases, what_is_left_of_one_without_a_query_that_was_given_up_does_not_run) {
    for (int cancelled = 0; cancelled <= 3; cancelled++) {
        lose_unsent(QURING_LEASE_RESET_DEFAULT, cancelled);
        lose_unsent(QURING_LEASE_RESET_ALWAYS, cancelled);
    }
}

/* Nobody hears whether it was carried out, but COMMIT tells. */
Test(sim_leases, a_rollback_to_that_is_given_up_may_have_revived_it) {
    open_one(32);
    world_connect(&world, 1);
    world.allowed = MAY(CANCELLED);
    quring_tx *tx = open_tx(NULL);
    int first = ask_tx(tx, "insert", 0, NULL);
    (void)ask_tx(tx, "savepoint", 1, NULL);
    int undone = ask_tx(tx, "insert", 0, NULL), back = ask_tx(tx, "rollback to", 1, NULL);
    int end = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    cr_assert_eq(quring_cancel(world.engine, world.asked[undone].id), 0);
    (void)world_run(&world, 0, 0);
    cr_assert_eq(quring_cancel(world.engine, world.asked[back].id), 0);
    world_finish(&world);
    expect(first, QURING_OK, NULL);
    expect(end, QURING_OK, NULL);
    cr_assert(world.server.ledger[first].committed == 1 && world.server.ledger[undone].executed == 0);
    world_close(&world);
}

/* Its key is on a connection that a transaction takes behind it, because there is more to do on the other. */
Test(sim_leases, a_query_of_an_order_key_does_not_run_in_it) {
    open_world(&(quring_db_options){.connection_count = 2, .lease_count = 2});
    world_connect(&world, 2);
    struct ask slow = {.verb = "sleep", .number = 5000, .order_key = 7}, next = {.verb = "insert", .order_key = 7};
    struct ask other = {.verb = "sleep", .number = 5000, .order_key = 8};
    int before = world_ask(&world, &slow);
    (void)world_run(&world, 0, 0);
    (void)world_ask(&world, &other);
    (void)world_ask(&world, &other);
    (void)world_run(&world, 0, 0);
    quring_tx *tx = open_tx(NULL);
    int inside = ask_tx(tx, "insert", 0, NULL);
    (void)world_run(&world, 0, 0);
    int behind = world_ask(&world, &next);
    world_pass(&world, 20 * MS);
    expect(before, QURING_OK, NULL);
    expect(inside, QURING_OK, NULL);
    cr_assert_eq(world.server.ledger[inside].pid, world.server.ledger[before].pid);
    int end = ask_tx(tx, "rollback", 0, NULL);
    quring_tx_release(tx);
    world_finish(&world);
    expect(end, QURING_OK, NULL);
    expect(behind, QURING_OK, NULL);
    cr_assert_eq(world.server.ledger[behind].committed, 1);
    world_close(&world);
}
