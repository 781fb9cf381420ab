/* SPDX-License-Identifier: MIT */
/*
 * COMMITs whose connection is lost, of transactions that write a token: whether they took effect is asked for afterwards. The
 * server's ledger says what became of each:
 *
 *   OK             all of it took effect, once
 *   SERVER_ERROR   nothing of it took effect, and nothing of it does later
 *   IN_DOUBT       only where the server could not be asked in time
 */
#include "lib/sim_situation.h"
#include "pg/pg.h"

#include <criterion/criterion.h>

TestSuite(sim_resolve, .init = seeds_begin);

enum { STORM_TXS = 40, INSERTS_MAX = 4, STORM_QUERIES = 400, CONNECTION_BYTES_MAX = 4000 };

static const quring_tx_options with_token = {.resolve = QURING_RESOLVE_TOKEN, .token_table = "sim_tokens"};

static quring_tx *open_tx(const quring_tx_options *options) {
    quring_tx *tx;
    LAW(quring_tx_open(world.db, options, &tx) == 0, "quring_tx_open: %s", quring_errmsg(world.engine));
    return tx;
}

static int ask_tx(quring_tx *tx, const char *verb, const char *sqlstate) {
    struct ask what = {.verb = verb, .sqlstate = sqlstate, .tx = tx, .in_block = true};
    int index = world_ask(&world, &what);
    LAW(index >= 0, "quring_submit: %s", quring_errmsg(world.engine));
    return index;
}

static quring_status status_of(int index) {
    LAW(world.asked[index].ended, "query %d has not ended", index);
    return (quring_status)world.asked[index].status;
}

static bool took_effect(int index) {
    return world.server.ledger[index].committed != 0;
}

static void check_leases(void) {
    const struct pg_db *db = base_container_of(world.db, struct pg_db, base);
    LAW(db->pool.leases.count == 0 && db->pool.resolves.asking_count == 0, "a connection is held by nobody");
    LAW(list_empty(&db->pool.resolves.waiting) && db->pool.resolves.due.count == 0, "somebody is asked for");
}

static void close_world(void) {
    world_pass(&world, 20 * MS);
    check_leases();
    world_close_engine(&world);
    sim_settle(world.sim);
    world_check_ledger(&world);
    world_free(&world);
}

static void open_lossy(uint32_t connections) {
    quring_db_options db = {.connection_count = connections, .depth = 16};
    open_world(&db);
    world.allowed = MAY(OK) | MAY_BE_LOST | MAY(SERVER_ERROR) | MAY(SKIPPED);
}

/* ---- A loss at each byte ---- */

struct shape {
    const char *name;
    bool apart;    /* COMMIT is submitted when the others have ended */
    bool received; /* the cut is in what the server says */
};

/* True: COMMIT was in doubt, and was asked for. */
static bool lose_at(const struct shape *shape, uint64_t bytes, bool *whole) {
    open_lossy(1);
    *(shape->received ? &world.server.cut_received : &world.server.cut_sent) = bytes;
    quring_tx *tx = open_tx(&with_token);
    int inserts[2] = {ask_tx(tx, "insert", NULL), ask_tx(tx, "insert", NULL)};
    if (shape->apart)
        world_finish(&world);
    int commit = ask_tx(tx, "commit", NULL);
    quring_tx_release(tx);
    world_finish(&world);
    quring_status status = status_of(commit);
    bool tried = status == QURING_NOT_SENT && world.server.connects == 1; /* it was lost while it was made */
    cr_assert(status == QURING_OK || status == QURING_SERVER_ERROR || tried, "%s, byte %d: %s", shape->name, (int)bytes,
              quring_status_name(status));
    for (int i = 0; i < 2; i++)
        cr_assert_eq(took_effect(inserts[i]), status == QURING_OK, "%s, byte %d: %s", shape->name, (int)bytes,
                     quring_status_name(status));
    bool asked = !list_empty(&world.server.tokens) && world.server.connects > 1;
    *whole = world.server.connects == 1 && status == QURING_OK;
    close_world();
    return asked;
}

Test(sim_resolve, a_loss_at_each_byte) {
    static const struct shape shapes[] = {{"whole, sent", false, false},
                                          {"whole, received", false, true},
                                          {"apart, sent", true, false},
                                          {"apart, received", true, true}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        uint32_t asked_count = 0;
        bool whole = false;
        for (uint64_t bytes = 1; !whole && bytes < CONNECTION_BYTES_MAX; bytes++)
            asked_count += lose_at(&shapes[i], bytes, &whole);
        cr_assert(whole, "%s: it was cut at %d bytes still", shapes[i].name, CONNECTION_BYTES_MAX);
        cr_assert_geq(asked_count, 10, "%s: nobody was asked", shapes[i].name);
    }
}

/* ---- Situations ---- */

/* Submits a transaction of one INSERT and COMMIT, which reaches a server that never ends it, and loses the connection. */
static int lose_commit(quring_tx *tx, int *insert) {
    world_connect(&world, 1);
    world.server.hangs_at_commit = true;
    *insert = ask_tx(tx, "insert", NULL);
    int commit = ask_tx(tx, "commit", NULL);
    world_pass(&world, MS);
    world.server.hangs_at_commit = false;
    cr_assert_not(world.asked[commit].ended);
    sim_server_kill(&world.server, true);
    return commit;
}

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
            quring_tx *tx = open_tx(&with_token);
            inserts[i] = ask_tx(tx, "insert", NULL);
            commits[i] = ask_tx(tx, "commit", NULL);
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
    quring_tx_options options = with_token;
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
    quring_tx_options options = with_token;
    options.resolve_timeout_ns = 300 * MS;
    quring_tx *lost = open_tx(&options), *tx = open_tx(&with_token);
    int insert, commit = lose_commit(lost, &insert);
    quring_tx_release(lost);
    world_pass(&world, 100 * MS);
    uint32_t connects = world.server.connects;
    struct sim_token taken = {.writer = &taken};
    snprintf(taken.text, sizeof taken.text, "%s", quring_tx_token(tx));
    list_push_back(&world.server.tokens, &taken.link);
    int member = ask_tx(tx, "insert", NULL), end = ask_tx(tx, "commit", NULL);
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
    quring_tx *tx = open_tx(&with_token);
    world.server.claim_error = "42P10";
    int insert, commit = lose_commit(tx, &insert);
    quring_tx_release(tx);
    world_pass(&world, 500 * MS);
    expect(commit, QURING_IN_DOUBT, NULL);
    close_world();
}

Test(sim_resolve, a_standby_is_asked_until_it_is_the_primary) {
    open_lossy(1);
    quring_tx *tx = open_tx(&with_token);
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
        quring_tx *tx = open_tx(&with_token);
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

Test(sim_resolve, a_commit_that_the_server_can_not_tell_of) {
    open_lossy(2);
    quring_tx *tx = open_tx(&with_token);
    int insert = ask_tx(tx, "insert", NULL);
    struct ask what = {.verb = "defer", .sqlstate = "40003", .fails_with = "", .tx = tx, .in_block = true};
    int defer = world_ask(&world, &what), commit = ask_tx(tx, "commit", NULL);
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
        quring_tx_options options = with_token;
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
        quring_tx *tx = open_tx(&with_token);
        int insert = ask_tx(tx, "insert", NULL);
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
        quring_tx *tx = open_tx(&with_token);
        int insert = ask_tx(tx, "insert", NULL), commit = ask_tx(tx, "commit", NULL);
        quring_tx_release(tx);
        world_finish(&world);
        expect(insert, QURING_OK, NULL);
        expect(commit, QURING_OK, NULL);
    }
    close_world();
}

/* ---- Seeds ---- */

struct storm_tx {
    int inserts[INSERTS_MAX], count, commit;
};

static void storm_ask(struct storm_tx *made) {
    quring_tx *tx = open_tx(&with_token);
    made->count = 1 + (int)world_below(&world, INSERTS_MAX);
    for (int i = 0; i < made->count; i++) {
        made->inserts[i] = ask_tx(tx, "insert", NULL);
        if (world_below(&world, 4) == 0)
            (void)world_run(&world, 0, 0);
    }
    if (world_below(&world, 3) == 0)
        (void)world_run(&world, 1, MS);
    made->commit = ask_tx(tx, "commit", NULL);
    quring_tx_release(tx);
}

static void storm_check(const struct storm_tx *tx) {
    quring_status status = status_of(tx->commit);
    LAW(status != QURING_IN_DOUBT, "nobody was asked");
    for (int i = 0; i < tx->count; i++) {
        LAW(took_effect(tx->inserts[i]) == (status == QURING_OK), "COMMIT: %s, and the effects are otherwise",
            quring_status_name(status));
        quring_status member = status_of(tx->inserts[i]);
        LAW(member != QURING_IN_DOUBT || status == QURING_OK, "a query is in doubt, but its COMMIT is not OK");
    }
}

static void storm_seed(uint64_t seed) {
    struct rng rng = {seed * 77};
    struct sim_options sim = {.seed = seed,
                              .latency_ns = rng_below(&rng, 100000),
                              .split = (uint16_t)rng_below(&rng, 400),
                              .short_send = (uint16_t)rng_below(&rng, 300),
                              .reset = (uint16_t)rng_below(&rng, 12)};
    struct storm_tx txs[STORM_TXS];
    quring_db_options db = {.connection_count = 1 + (uint32_t)rng_below(&rng, 4),
                            .depth = 8 + (uint32_t)rng_below(&rng, 24),
                            .reconnect_wait_ns = 1000 * SECOND};
    world_open(&world, &sim, &(quring_options){.query_count = STORM_QUERIES}, &db, STORM_QUERIES);
    world.allowed = MAY(OK) | MAY_BE_LOST | MAY(SERVER_ERROR) | MAY(SKIPPED);
    world.server.kill = (uint16_t)world_below(&world, 40);
    world.server.commit_ns = world_below(&world, 2) ? world_below(&world, 3 * MS) : 0;
    for (int i = 0; i < STORM_TXS; i++) {
        storm_ask(&txs[i]);
        if (world_below(&world, 3) == 0)
            (void)world_run(&world, 1, world_below(&world, MS));
        if (world_below(&world, 12) == 0)
            sim_server_kill(&world.server, world_below(&world, 2));
    }
    world_finish(&world);
    world_pass(&world, 100 * MS);
    for (int i = 0; i < STORM_TXS; i++)
        storm_check(&txs[i]);
    close_world();
}

Test(sim_resolve, each_commit_of_a_storm_is_certain) {
    seeds_run(300, storm_seed);
}
