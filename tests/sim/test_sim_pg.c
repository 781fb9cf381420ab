/* SPDX-License-Identifier: MIT */
/* One situation after the other, each with the outcome that is right for it: results, errors, limits, order, ends. */
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

static int ask_in_group(const char *verb, const char *sqlstate) {
    struct ask what = {.verb = verb, .sqlstate = sqlstate, .commit = QURING_COMMIT_GROUP};
    int index = world_ask(&world, &what);
    LAW(index >= 0, "quring_submit: %s", quring_strerror(index));
    return index;
}

static int submit_select(void) {
    struct ask what = {.verb = "select"};
    return world_ask(&world, &what);
}

TestSuite(sim_pg, .init = seeds_begin);

/* ---- Results and errors ---- */

Test(sim_pg, rows_of_every_kind) {
    open_one(4);
    for (int i = 0; i < 3; i++) { /* first as text, then in binary */
        ask("select", 0, NULL), ask("insert", 0, NULL), ask("null", 0, NULL), ask("rows", 0, NULL);
        ask("rows", 100, NULL), ask("big", 0, NULL), ask("big", 3000000, NULL), ask("notice", 20, NULL);
        world_finish(&world);
    }
    cr_assert_eq(world.by_status[QURING_OK], 24);
    world_close(&world);
}

Test(sim_pg, an_error_harms_no_neighbour) {
    static const char *const verbs[] = {"error", "late", "refuse", "bad", "defer"};
    open_one(64);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
            int before = ask("insert", 0, NULL), wrong = ask(verbs[i], 3, "23505"), after = ask("insert", 0, NULL);
            if (round) /* pipelined at first, then each alone */
                world_finish(&world);
            (void)before, (void)wrong, (void)after;
        }
    world_finish(&world);
    cr_assert_eq(world.by_status[QURING_OK], 30);
    cr_assert_eq(world.by_status[QURING_SERVER_ERROR], 15);
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
    world_close(&world);
}

Test(sim_pg, results_over_a_limit_end_with_limit) {
    quring_db_options db = {.connection_count = 1, .result_bytes = 1000, .result_row_count = 20};
    open_world(&db);
    world.allowed = MAY(LIMIT);
    int bytes = ask("big", 2000, NULL), rows = ask("rows", 21, NULL), fits = ask("rows", 20, NULL);
    world_finish(&world);
    expect(bytes, QURING_LIMIT, NULL);
    expect(rows, QURING_LIMIT, NULL);
    expect(fits, QURING_OK, NULL);
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
    world_close(&world);
}

/* The server was still at what the query shares its commit with. */
Test(sim_pg, a_query_over_a_limit_that_loses_its_connection_is_in_doubt) {
    open_world(&(quring_db_options){.connection_count = 1, .result_row_count = 4});
    world.allowed = MAY(LIMIT) | MAY_BE_LOST;
    struct ask rows = {.verb = "rows", .number = 5, .commit = QURING_COMMIT_GROUP},
               fatal = {.verb = "fatal", .sqlstate = "57P01", .commit = QURING_COMMIT_GROUP};
    int first = world_ask(&world, &rows), last = world_ask(&world, &fatal);
    world_finish(&world);
    expect(first, QURING_IN_DOUBT, "57P01");
    expect(last, QURING_IN_DOUBT, "57P01");
    int alone = ask("rows", 5, NULL);
    world_finish(&world);
    expect(alone, QURING_LIMIT, "54000");
    world_close(&world);
}

Test(sim_pg, a_row_over_the_message_limit_ends_its_query_alone) {
    quring_db_options db = {.connection_count = 1, .message_bytes = 4000};
    open_world(&db);
    world.allowed = MAY(LIMIT);
    for (int round = 0; round < 3; round++) {
        int before = ask("select", 0, NULL), big = ask("big", 5000, NULL), huge = ask("big", 3000000, NULL);
        int small = ask("big", 3000, NULL);
        world_finish(&world);
        expect(before, QURING_OK, NULL);
        expect(big, QURING_LIMIT, "54000");
        expect(huge, QURING_LIMIT, "54000");
        expect(small, QURING_OK, NULL);
    }
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
    world_close(&world);
}

Test(sim_pg, limits_of_the_engine_refuse_at_submit) {
    struct sim_options sim = {.seed = 1};
    quring_options engine = {.query_count = 10, .inflight_bytes = 400};
    quring_db_options db = {.connection_count = 1};
    world_open(&world, &sim, &engine, &db, 100);
    while (submit_select() >= 0)
        ;
    cr_assert_leq(world.asked_count, 10);
    cr_assert_eq(submit_select(), QURING_EFULL);
    world_finish(&world);
    cr_assert_geq(submit_select(), 0);
    world_finish(&world);
    world_close(&world);
}

/* ---- The statement cache ---- */

Test(sim_pg, each_connection_parses_a_statement_once) {
    quring_db_options db = {.connection_count = 3, .depth = 8};
    open_world(&db);
    world_connect(&world, 3);
    for (int i = 0; i < 300; i++) {
        ask("select", 0, NULL);
        if (i % 10 == 0)
            world_finish(&world);
    }
    world_finish(&world);
    cr_assert_eq(world_stats(&world).prepare_count, 3);
    cr_assert_leq(world.server.prepared_most, 2 + 1); /* the unnamed one too */
    world_close(&world);
}

Test(sim_pg, evicted_statements_are_closed) {
    quring_db_options db = {.connection_count = 2, .depth = 4, .statement_count = 4};
    open_world(&db);
    for (uint32_t i = 0; i < 600; i++) {
        ask("rows", i * 7 % 23, NULL);
        if (i % 5 == 0)
            world_finish(&world);
    }
    world_finish(&world);
    cr_assert_leq(world.server.prepared_most, 4 + 1, "%u statements", world.server.prepared_most);
    world_close(&world);
}

Test(sim_pg, a_stale_plan_is_repaired_once) {
    open_one(8);
    ask("select", 0, NULL);
    world_finish(&world);
    world.server.schema++;
    int repaired = ask("select", 0, NULL);
    world_finish(&world);
    expect(repaired, QURING_OK, NULL);
    cr_assert_eq(world.server.ledger[repaired].refused, 1);
    world.server.ever_stale = true;
    world.allowed = MAY(SERVER_ERROR);
    int given_up = ask("select", 0, NULL);
    world_finish(&world);
    expect(given_up, QURING_SERVER_ERROR, "0A000");
    cr_assert_eq(world.server.ledger[given_up].refused, 2);
    world.server.ever_stale = false;
    int after = ask("select", 0, NULL);
    world_finish(&world);
    expect(after, QURING_OK, NULL);
    world_close(&world);
}

/* ---- Poolers ---- */

/* Another process answers than the one that was connected to: nothing is prepared by name, unless the caller says so. */
Test(sim_pg, nothing_is_prepared_behind_a_pooler) {
    for (int always = 0; always < 2; always++)
        for (int pooled = 0; pooled < 2; pooled++) {
            quring_db_options db = {.connection_count = 1, .prepared_statements = always ? QURING_PREPARED_ALWAYS : 0};
            open_world(&db);
            world.server.pooled = pooled;
            for (int i = 0; i < 5; i++) {
                ask("select", 0, NULL), ask("rows", 3, NULL);
                world_finish(&world);
            }
            cr_expect_eq(world.by_status[QURING_OK], 10);
            cr_expect_eq(world_stats(&world).prepare_count, pooled && !always ? 0 : 2);
            world_close(&world);
        }
}

/* By an administrator, or a client that has its key: the server's error is the query's, and no other's. */
Test(sim_pg, a_statement_that_the_server_cancels) {
    open_one(8);
    world_connect(&world, 1);
    struct ask what = {.verb = "silent", .fails_with = "57014"};
    int before = ask("insert", 0, NULL), cancelled = world_ask(&world, &what), after = ask("insert", 0, NULL);
    (void)world_run(&world, 0, 0);
    world_pass(&world, MS);
    sim_server_cancel_nth(&world.server, 0);
    world_finish(&world);
    expect(before, QURING_OK, NULL);
    expect(cancelled, QURING_SERVER_ERROR, "57014");
    expect(after, QURING_OK, NULL);
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
    world_close(&world);
}

/* ---- Groups ---- */

Test(sim_pg, a_failing_member_reports_alone_and_the_others_take_effect) {
    static const char *const verbs[] = {"error", "late", "refuse", "bad", "defer"};
    for (int sick = 0; sick < 6; sick++)
        for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++) {
            open_one(16);
            world_connect(&world, 1);
            uint64_t syncs = world.server.syncs;
            int members[6];
            for (int i = 0; i < 6; i++)
                members[i] = i == sick ? ask_in_group(verbs[v], "22012") : ask_in_group("insert", NULL);
            (void)syncs;
            world_finish(&world);
            for (int i = 0; i < 6; i++)
                expect(members[i], i == sick ? QURING_SERVER_ERROR : QURING_OK, NULL);
            expect(members[sick], QURING_SERVER_ERROR, "22012");
            world_close(&world);
        }
}

Test(sim_pg, a_group_shares_one_sync) {
    open_one(32);
    world_connect(&world, 1);
    uint64_t before = world.server.syncs;
    for (int i = 0; i < 32; i++)
        ask_in_group("insert", NULL);
    world_finish(&world);
    cr_assert_eq(world.server.syncs - before, 1);
    world_close(&world);
}

Test(sim_pg, a_stale_member_of_a_group_is_repaired) {
    open_one(16);
    ask("select", 0, NULL), ask("insert", 0, NULL);
    world_finish(&world);
    world.server.schema++;
    for (int i = 0; i < 8; i++)
        ask_in_group(i == 5 ? "select" : "insert", NULL);
    world_finish(&world);
    cr_assert_eq(world.by_status[QURING_OK], 10);
    world_close(&world);
}

/* A CALL that rolls back takes what came before it in its transaction with it: so nothing shares one with it. */
Test(sim_pg, a_call_is_alone) {
    open_one(32);
    world_connect(&world, 1);
    uint64_t syncs = world.server.syncs;
    for (int i = 0; i < 30; i++)
        ask_in_group(i % 10 == 5 ? "call" : "insert", NULL);
    world_finish(&world);
    cr_assert_eq(world.by_status[QURING_OK], 30);
    cr_assert_eq(world.server.syncs - syncs, 7);
    world_close(&world);
}

/* The server's word that it can't tell: nobody is told that it took effect, nor that it did not, and nothing runs again. */
Test(sim_pg, what_the_server_cannot_tell_is_in_doubt) {
    static const char *const states[] = {"40003", "08007"};
    static const char *const verbs[] = {"error", "late", "refuse", "defer"};
    for (size_t s = 0; s < 2; s++)
        for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++) {
            open_one(16);
            world_connect(&world, 1);
            int each = ask(verbs[v], 2, states[s]), after = ask("insert", 0, NULL);
            world_finish(&world);
            expect(each, QURING_IN_DOUBT, states[s]);
            expect(after, QURING_OK, NULL);
            world.allowed = MAY(IN_DOUBT);
            int members[6];
            for (int i = 0; i < 6; i++)
                members[i] = i == 3 ? ask_in_group(verbs[v], states[s]) : ask_in_group("insert", NULL);
            world_finish(&world);
            for (int i = 0; i < 6; i++) {
                expect(members[i], QURING_IN_DOUBT, NULL);
                cr_expect_leq(world.server.ledger[members[i]].executed, 1);
            }
            world_close(&world);
        }
}

/* Only these two are of a conflict with others: any other failed by itself, and is not run again. */
Test(sim_pg, who_runs_again_with_its_group) {
    static const char *const states[] = {"40001", "40P01", "40000", "40002", "25001", "55P03", "57014"};
    for (size_t s = 0; s < sizeof states / sizeof *states; s++) {
        open_one(16);
        world_connect(&world, 1);
        int sick = -1;
        for (int i = 0; i < 6; i++) {
            int member = i == 3 ? ask_in_group("error", states[s]) : ask_in_group("insert", NULL);
            sick = i == 3 ? member : sick;
        }
        world_finish(&world);
        expect(sick, QURING_SERVER_ERROR, states[s]);
        cr_expect_eq(world.server.ledger[sick].executed, s < 2 ? 2 : 1, "%s", states[s]);
        cr_expect_eq(world.by_status[QURING_OK], 5);
        world_close(&world);
    }
}

/* A tag that no member can have: what came before may be gone or committed, so nothing is called OK or run again. */
Test(sim_pg, a_group_with_an_unforeseen_tag_is_in_doubt) {
    for (int sick = 0; sick < 2; sick++) {
        open_one(16);
        world_connect(&world, 1);
        world.allowed = MAY(IN_DOUBT);
        int first = ask_in_group("insert", NULL), tag = ask_in_group("tag", NULL);
        int third = ask_in_group(sick ? "error" : "insert", sick ? "22012" : NULL);
        world_finish(&world);
        expect(first, QURING_IN_DOUBT, "40003");
        expect(tag, QURING_IN_DOUBT, "40003");
        expect(third, sick ? QURING_SERVER_ERROR : QURING_IN_DOUBT, sick ? "22012" : "40003");
        int alone = ask("tag", 0, NULL);
        world_finish(&world);
        expect(alone, QURING_OK, NULL);
        world_close(&world);
    }
}

/* Such a statement makes the group's transaction an explicit one, which then ends with the connection. */
Test(sim_pg, a_group_that_is_left_open_is_in_doubt) {
    for (int sick = 0; sick < 2; sick++) {
        open_one(16);
        world_connect(&world, 1);
        world.allowed = MAY(IN_DOUBT); /* for those behind it */
        int first = ask_in_group("insert", NULL), open = ask_in_group("open", NULL);
        int third = ask_in_group(sick ? "error" : "insert", sick ? "22012" : NULL);
        (void)ask_in_group("select", NULL);
        world_finish(&world);
        expect(first, QURING_IN_DOUBT, "25001");
        expect(open, QURING_IN_DOUBT, "25001");
        expect(third, sick ? QURING_SERVER_ERROR : QURING_IN_DOUBT, NULL);
        world_close(&world);
    }
}

/* ---- Sessions ---- */

static void open_session(void) {
    quring_db_options db = {.exclusive = true, .depth = 16};
    open_world(&db);
    world.server.in_order = true;
    for (int i = 0; i < 4; i++) {
        ask("select", 0, NULL), ask("insert", 0, NULL), ask("rows", 2, NULL);
        world_finish(&world);
    }
}

Test(sim_pg, a_session_keeps_its_order) {
    open_session();
    for (int i = 0; i < 10; i++)
        ask("select", 0, NULL), ask("insert", 0, NULL), ask("error", 0, "22012"), ask_in_group("insert", NULL),
            ask_in_group("error", "22012"), ask_in_group("insert", NULL);
    world_finish(&world);
    cr_assert_eq(world.by_status[QURING_SERVER_ERROR], 20);
    world_close(&world);
}

/* A plan that went stale is repaired only where that changes no order. */
Test(sim_pg, a_session_keeps_its_order_when_plans_go_stale) {
    open_session();
    world.server.schema++;
    ask("select", 0, NULL);
    world_finish(&world);
    world.server.schema++;
    int stale = ask("rows", 2, NULL);
    ask("insert", 0, NULL), ask("insert", 0, NULL);
    world.allowed = MAY(SERVER_ERROR);
    world.lenient = true;
    world_finish(&world);
    expect(stale, QURING_SERVER_ERROR, "0A000");
    world_close(&world);
}

Test(sim_pg, a_session_prepares_anew_after_discard_all) {
    open_session();
    for (int i = 0; i < 5; i++)
        ask("select", 0, NULL), ask("discard all", 0, NULL), ask("select", 0, NULL), ask("insert", 0, NULL);
    world_finish(&world);
    ask("select", 0, NULL), ask("rows", 2, NULL), ask("insert", 0, NULL);
    world_finish(&world);
    cr_assert_eq(world.by_status[QURING_OK], world.asked_count);
    world_close(&world);
}

/* ---- The server ends it ---- */

Test(sim_pg, what_ended_before_a_fatal_error_stays_ended) {
    open_one(16);
    world.allowed = MAY(IN_DOUBT);
    int first = ask("insert", 0, NULL), fatal = ask("fatal", 0, "57P01"), after = ask("insert", 0, NULL);
    world_finish(&world);
    expect(first, QURING_OK, NULL);
    expect(fatal, QURING_IN_DOUBT, "57P01");
    expect(after, QURING_IN_DOUBT, NULL);
    int next = ask("select", 0, NULL);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    world_close(&world);
}

Test(sim_pg, complete_is_not_committed) {
    open_one(1);
    int farewell = ask("farewell", 0, "57P01");
    world_finish(&world);
    expect(farewell, QURING_IN_DOUBT, NULL);
    world_close(&world);
}

Test(sim_pg, a_copy_ends_its_connection) {
    open_one(1);
    int copy = ask("copy", 0, NULL);
    world_finish(&world);
    expect(copy, QURING_IN_DOUBT, "0A000");
    int after = ask("select", 0, NULL);
    world_finish(&world);
    expect(after, QURING_OK, NULL);
    world_close(&world);
}

Test(sim_pg, a_transaction_left_open_ends_its_connection) {
    open_one(16);
    world.allowed = MAY(IN_DOUBT);
    int open = ask("open", 0, NULL), inside = ask("insert", 0, NULL);
    world_finish(&world);
    expect(open, QURING_IN_DOUBT, "25001"); /* carried out, and rolled back when the connection is closed */
    expect(inside, QURING_IN_DOUBT, NULL);
    int after = ask("insert", 0, NULL);
    world_finish(&world);
    expect(after, QURING_OK, NULL);
    world_close(&world);
}

/* ---- A hostile server ---- */

Test(sim_pg, a_description_of_other_parameters_than_it_took) {
    open_one(4);
    world_connect(&world, 1);
    world.allowed = MAY(PROTOCOL);
    world.server.lies_of_params = true;
    int lied_to = ask("select", 0, NULL);
    world_finish(&world);
    expect(lied_to, QURING_PROTOCOL, "08P01");
    world.server.lies_of_params = false;
    int next = ask("select", 0, NULL);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    world_close(&world);
}

Test(sim_pg, each_break_of_the_protocol_is_seen) {
    for (uint32_t kind = 0; kind < SIM_HOSTILE_COUNT; kind++)
        for (uint32_t depth = 1; depth <= 16; depth += 15) {
            open_one(depth);
            world_connect(&world, 1);
            world.allowed = MAY(PROTOCOL);
            int before = ask("select", 0, NULL), hostile = ask("hostile", kind, NULL), after = ask("select", 0, NULL);
            world_finish(&world);
            expect(before, QURING_OK, NULL);
            if (kind < 24)
                expect(hostile, QURING_PROTOCOL, NULL);
            expect(after, depth > 1 ? QURING_PROTOCOL : QURING_OK, NULL);
            cr_expect_eq(world_stats(&world).connection_lost_count, 1, "kind %u, depth %u", kind, depth);
            int next = ask("select", 0, NULL);
            world_finish(&world);
            expect(next, QURING_OK, NULL);
            world_close(&world);
        }
}

/* Lawful, each of them; but a query's reply must come some day. */
Test(sim_pg, endless_notices_are_over_a_limit) {
    open_one(1);
    world_connect(&world, 1);
    int flood = ask("flood", 0, NULL);
    world_finish(&world);
    expect(flood, QURING_LIMIT, "54000");
    int next = ask("select", 0, NULL);
    world_finish(&world);
    expect(next, QURING_OK, NULL);
    world_close(&world);
}
