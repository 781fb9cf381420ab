/* SPDX-License-Identifier: MIT */
/* Transactions that write a token, which is asked for when their COMMIT was lost. */
#include "lib/sim_doubt.h"

static void begin(void) {
    seeds_begin();
    resolved = (quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = "public.sim_tokens"};
}

TestSuite(sim_resolve, .init = begin);

enum { CONNECTION_BYTES_MAX = 4000 };

Test(sim_resolve, a_loss_at_each_byte) {
    for (size_t i = 0; i < SHAPES; i++) {
        uint32_t asked_count = 0;
        bool whole = false;
        for (uint64_t bytes = 1; !whole && bytes < CONNECTION_BYTES_MAX; bytes++)
            asked_count += lose_at(&shapes[i], bytes, &whole);
        cr_assert(whole, "%s: it was cut at %d bytes still", shapes[i].name, CONNECTION_BYTES_MAX);
        cr_assert_geq(asked_count, 10, "%s: nobody was asked", shapes[i].name);
    }
}

/* ---- Situations ---- */

/* The old process is still at it when the new connection asks, so that the answer waits for it. */
Test(sim_resolve, a_commit_that_is_still_being_carried_out) {
    uint32_t wait_count = 0, undone_count = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_options sim = {.seed = seed, .latency_ns = 10000, .reset = 30};
        quring_db_options db = {.connection_count = 2};
        world_open(&world, &sim, NULL, &db, 3000);
        world.allowed = MAY(OK) | MAY_BE_LOST | MAY(SERVER_ERROR) | MAY(SKIPPED);
        world.server.commit_ns = 50 * MS;
        int inserts[20], commits[20];
        for (int i = 0; i < 20; i++) {
            quring_tx *tx = open_tx(&resolved);
            inserts[i] = ask_tx(tx, "insert", 0, NULL);
            commits[i] = ask_tx(tx, "commit", 0, NULL);
            quring_tx_release(tx);
        }
        world_finish(&world);
        world_pass(&world, SECOND);
        for (int i = 0; i < 20; i++) {
            quring_status status = status_of(commits[i]);
            LAW(status == QURING_OK || status == QURING_SERVER_ERROR || status == QURING_NOT_SENT, "%s",
                quring_status_name(status));
            LAW(took_effect(inserts[i]) == (status == QURING_OK), "%s", quring_status_name(status));
            undone_count += status == QURING_SERVER_ERROR;
        }
        wait_count += world.server.token_waits;
        close_world();
    }
    cr_assert_gt(wait_count, 0);
    cr_assert_gt(undone_count, 0);
}

Test(sim_resolve, it_stays_unknown_where_nobody_answers_in_time) {
    open_lossy(1);
    quring_tx_options options = resolved;
    options.resolve_timeout_ns = 3 * SECOND;
    quring_tx *tx = open_tx(&options);
    int insert, commit = lose_commit(tx, &insert);
    world.server.refusal = "57P03";
    world.server.refusals_left = UINT32_MAX;
    world_pass(&world, 2900 * MS);
    cr_assert_not(world.asked[commit].ended);
    world_pass(&world, 200 * MS);
    expect(commit, QURING_IN_DOUBT, NULL);
    quring_tx_release(tx);
    world.server.refusals_left = 0;
    close_world();
}

/* The question waits behind a whole transaction whose token the server is at work on, which nobody gave up. */
Test(sim_resolve, a_question_that_is_given_up_leaves_alone_what_is_ahead_of_it) {
    quring_db_options db = {.connection_count = 1, .depth = 16, .silence_ns = 50 * MS};
    open_world(&db);
    world.allowed = MAY(OK) | MAY_BE_LOST | MAY(SERVER_ERROR) | MAY(SKIPPED);
    world.server.claim_error = "25006";
    world.server.eager = 1000;
    quring_tx_options options = resolved;
    options.resolve_timeout_ns = 300 * MS;
    quring_tx *lost = open_tx(&options), *tx = open_tx(&resolved);
    int insert, commit = lose_commit(lost, &insert);
    quring_tx_release(lost);
    world_pass(&world, 100 * MS);
    uint32_t connects = world.server.connects;
    struct sim_token taken = {.writer = &taken};
    snprintf(taken.text, sizeof taken.text, "%s", quring_tx_token(tx));
    list_push_back(&world.server.tokens, &taken.link);
    int member = ask_tx(tx, "insert", 0, NULL), end = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    world_pass(&world, 100 * MS);
    const struct pg_db *pg = base_container_of(world.db, struct pg_db, base);
    cr_assert_eq(pg->pool.resolves.asking_count, 1);
    world_pass(&world, 500 * MS);
    expect(commit, QURING_IN_DOUBT, NULL);
    cr_assert_not(world.asked[end].ended);
    cr_assert_eq(world.server.connects, connects, "the connection was taken for one that awaits what was given up");
    list_remove(&taken.link);
    world_finish(&world);
    expect(end, QURING_OK, NULL);
    cr_assert(took_effect(member));
    close_world();
}

Test(sim_resolve, a_table_without_its_unique_key_is_of_no_use) {
    open_lossy(1);
    quring_tx *tx = open_tx(&resolved);
    world.server.claim_error = "42P10";
    int insert, commit = lose_commit(tx, &insert);
    quring_tx_release(tx);
    world_pass(&world, 500 * MS);
    expect(commit, QURING_IN_DOUBT, NULL);
    close_world();
}

Test(sim_resolve, a_standby_is_asked_until_it_is_the_primary) {
    open_lossy(1);
    quring_tx *tx = open_tx(&resolved);
    world.server.claim_error = "25006";
    int insert, commit = lose_commit(tx, &insert);
    quring_tx_release(tx);
    world_pass(&world, 2 * SECOND);
    cr_assert_not(world.asked[commit].ended);
    world.server.claim_error = NULL;
    world_finish(&world);
    expect(commit, QURING_SERVER_ERROR, NULL);
    cr_assert_not(took_effect(insert));
    close_world();
}

Test(sim_resolve, an_answer_within_a_transaction_does_not_count) {
    for (uint32_t connections = 1; connections < 3; connections++) {
        open_lossy(connections);
        quring_tx *tx = open_tx(&resolved);
        int insert, commit = lose_commit(tx, &insert);
        quring_tx_release(tx);
        world.server.told_in_block = true;
        world_finish(&world);
        expect(commit, QURING_SERVER_ERROR, NULL);
        cr_assert_not(took_effect(insert));
        cr_assert_not(world.server.told_in_block);
        close_world();
    }
}

/* Within the transaction it may mean another table than to who asks. */
Test(sim_resolve, a_table_without_its_schema_is_refused) {
    static const char *const names[] = {"sim_tokens", "pg_temp.sim_tokens"};
    quring_tx *tx;
    open_lossy(1);
    for (int i = 0; i < 2; i++) {
        quring_tx_options options = {.resolve = QURING_RESOLVE_TOKEN, .token_table = names[i]};
        cr_assert_eq(quring_tx_open(world.db, &options, &tx), QURING_EINVAL);
        cr_assert(strstr(quring_errmsg(world.engine), "needs its schema"));
        quring_inbox *inbox;
        cr_assert_eq(quring_inbox_open(world.engine, NULL, &inbox), 0);
        cr_assert_eq(quring_inbox_tx_open(inbox, world.db, &options, &tx), QURING_EINVAL);
        cr_assert(strstr(quring_inbox_errmsg(inbox), "needs its schema"));
        quring_inbox_close(inbox);
    }
    close_world();
}

Test(sim_resolve, two_answers_that_contradict_each_other_do_not_count) {
    open_lossy(2);
    quring_tx *tx = open_tx(&resolved);
    int insert, commit = lose_commit(tx, &insert);
    quring_tx_release(tx);
    world.server.told_both = true;
    world_finish(&world);
    expect(commit, QURING_IN_DOUBT, NULL);
    world.server.told_both = false;
    close_world();
}

Test(sim_resolve, a_commit_that_the_server_can_not_tell_of) {
    open_lossy(2);
    quring_tx *tx = open_tx(&resolved);
    int insert = ask_tx(tx, "insert", 0, NULL);
    struct ask what = {.verb = "defer", .sqlstate = "40003", .fails_with = "", .tx = tx, .in_block = true};
    int defer = world_ask(&world, &what), commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    world_finish(&world);
    expect(insert, QURING_OK, NULL);
    expect(defer, QURING_OK, NULL);
    expect(commit, QURING_SERVER_ERROR, "40003");
    cr_assert_not(took_effect(insert));
    close_world();
}

Test(sim_resolve, those_that_are_given_up_meanwhile) {
    for (int how = 0; how < 4; how++) {
        open_lossy(1);
        world.allowed |= MAY(CANCELLED) | MAY(TIMEOUT) | MAY(SHUTDOWN);
        quring_tx_options options = resolved;
        options.timeout_ns = how == 0 ? SECOND : 0;
        quring_tx *tx = open_tx(&options);
        int insert, commit = lose_commit(tx, &insert);
        world.server.refusal = "57P03";
        world.server.refusals_left = UINT32_MAX;
        world_pass(&world, 500 * MS);
        cr_assert_not(world.asked[commit].ended);
        quring_tx_release(tx);
        if (how == 1)
            cr_assert_eq(quring_cancel(world.engine, world.asked[commit].id), 0);
        if (how >= 2)
            (void)quring_shutdown(world.engine, how == 2 ? 0 : 100 * MS);
        world_pass(&world, SECOND);
        quring_status expected = how == 0 ? QURING_TIMEOUT : how == 1 ? QURING_CANCELLED : QURING_SHUTDOWN;
        expect(commit, expected, NULL);
        world.server.refusals_left = 0;
        close_world();
    }
}

Test(sim_resolve, a_begin_that_failed_leaves_no_token) {
    for (int whole = 0; whole < 2; whole++) {
        open_one(32);
        world_connect(&world, 1);
        world.allowed = MAY(SKIPPED) | MAY(SERVER_ERROR);
        world.server.begin_error = "57014";
        quring_tx *tx = open_tx(&resolved);
        int insert = ask_tx(tx, "insert", 0, NULL);
        if (!whole)
            (void)world_run(&world, 0, 0); /* BEGIN is out when COMMIT comes */
        struct ask end = {.verb = "commit", .tx = tx, .in_block = true, .warns_with = "25P01"};
        int commit = world_ask(&world, &end);
        quring_tx_release(tx);
        world_finish(&world);
        expect(insert, QURING_SKIPPED, "57014");
        expect(commit, QURING_SERVER_ERROR, "57014");
        cr_assert(list_empty(&world.server.tokens));
        world_close(&world);
    }
}

/* Of the second one the columns are known when it is sent. What is kept of them is for the sanitizer's count of leaks to say. */
Test(sim_resolve, a_server_that_describes_columns_of_a_token) {
    open_lossy(1);
    world.server.describes_token = true;
    for (int i = 0; i < 3; i++) {
        quring_tx *tx = open_tx(&resolved);
        int insert = ask_tx(tx, "insert", 0, NULL), commit = ask_tx(tx, "commit", 0, NULL);
        quring_tx_release(tx);
        world_finish(&world);
        expect(insert, QURING_OK, NULL);
        expect(commit, QURING_OK, NULL);
    }
    close_world();
}

/* ---- Seeds ---- */

Test(sim_resolve, each_commit_of_a_storm_is_certain) {
    seeds_run(300, storm_seed);
}
