/* SPDX-License-Identifier: MIT */
/*
 * COMMITs whose connection is lost, of transactions that have read their ID: the server's ledger says what became of each, as it
 * does in test_sim_resolve.c.
 */
#include "lib/sim_situation.h"
#include "pg/pg.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(sim_resolve_xid, .init = seeds_begin);

enum { STORM_TXS = 40, INSERTS_MAX = 4, STORM_QUERIES = 400, CONNECTION_BYTES_MAX = 6000, STEP = 17, TAIL_BYTES = 300 };

static const quring_tx_options with_xid = {.resolve = QURING_RESOLVE_XID};

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
    quring_tx *tx = open_tx(&with_xid);
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
    bool asked = !list_empty(&world.server.xids) && world.server.connects > 1;
    *whole = world.server.connects == 1 && status == QURING_OK;
    close_world();
    return asked;
}

/* Each byte from COMMIT's request on, and some before it. */
Test(sim_resolve_xid, a_loss_at_each_byte) {
    static const struct shape shapes[] = {{"whole, sent", false, false},
                                          {"whole, received", false, true},
                                          {"apart, sent", true, false},
                                          {"apart, received", true, true}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        uint32_t asked_count = 0;
        bool whole = false;
        uint64_t bytes = 1;
        for (; !whole && bytes < CONNECTION_BYTES_MAX; bytes += STEP)
            asked_count += lose_at(&shapes[i], bytes, &whole);
        cr_assert(whole, "%s: it was cut at %d bytes still", shapes[i].name, CONNECTION_BYTES_MAX);
        for (uint64_t last = bytes, at = last - TAIL_BYTES; at < last; at++)
            asked_count += lose_at(&shapes[i], at, &whole);
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

static int ask_one(int *insert) {
    quring_tx *tx = open_tx(&with_xid);
    *insert = ask_tx(tx, "insert", NULL);
    int commit = ask_tx(tx, "commit", NULL);
    quring_tx_release(tx);
    world_finish(&world);
    return commit;
}

/* What a connection says from its first exchange to COMMIT. */
static uint64_t said_bytes(void) {
    quring_stats stats;
    int insert;
    open_lossy(1);
    expect(ask_one(&insert), QURING_OK, NULL);
    quring_stats_get(world.engine, &stats);
    close_world();
    return stats.sent_bytes;
}

/* The old process is at COMMIT when the new connection asks. */
Test(sim_resolve_xid, a_commit_that_is_still_being_carried_out) {
    uint32_t progress_count = 0, by_status[QURING_SHUTDOWN + 1] = {0};
    uint64_t bytes = said_bytes();
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_options sim = {.seed = seed, .latency_ns = 10000};
        int insert;
        world_open(&world, &sim, NULL, &(quring_db_options){.connection_count = 1}, 100);
        world.allowed = MAY(OK) | MAY_BE_LOST | MAY(SERVER_ERROR) | MAY(SKIPPED);
        world.server.commit_ns = 2 * SECOND;
        world.server.cut_sent = bytes - 2; /* all but the end of the last Sync */
        quring_status status = status_of(ask_one(&insert));
        LAW(status == QURING_OK || status == QURING_SERVER_ERROR, "%s", quring_status_name(status));
        LAW(took_effect(insert) == (status == QURING_OK), "%s", quring_status_name(status));
        by_status[status]++;
        progress_count += world.server.progress_count;
        close_world();
    }
    cr_assert(progress_count > 20 && by_status[QURING_OK] && by_status[QURING_SERVER_ERROR], "%u: %u, %u",
              progress_count, by_status[QURING_OK], by_status[QURING_SERVER_ERROR]);
}

static void stays_in_doubt(void (*happens)(void)) {
    open_lossy(1);
    quring_tx *tx = open_tx(&with_xid);
    int insert, commit = lose_commit(tx, &insert);
    happens();
    quring_tx_release(tx);
    world_finish(&world);
    expect(commit, QURING_IN_DOUBT, NULL);
    close_world();
}

static void another_server(void) {
    world.server.system_number++;
}

static void a_standby_was_promoted(void) {
    world.server.timeline++;
}

/* Another transaction has the lost one's ID, and committed. */
static void a_crash(void) {
    world.server.crashes++;
    list_entry(world.server.xids.prev, struct sim_xid, link)->committed = true;
}

static void a_crash_without_others(void) {
    world.server.crashes++;
    world.server.next_xid--;
}

static void it_was_forgotten(void) {
    free(list_entry(list_pop_front(&world.server.xids), struct sim_xid, link));
}

static void it_is_forbidden(void) {
    world.server.xid_error = "42501";
}

Test(sim_resolve_xid, it_stays_unknown_where_the_id_means_nothing) {
    stays_in_doubt(another_server);
    stays_in_doubt(a_standby_was_promoted);
    stays_in_doubt(a_crash);
    stays_in_doubt(a_crash_without_others);
    stays_in_doubt(it_was_forgotten);
    stays_in_doubt(it_is_forbidden);
}

Test(sim_resolve_xid, what_was_aborted_by_a_crash_is_certain) {
    open_lossy(1);
    quring_tx *tx = open_tx(&with_xid);
    int insert, commit = lose_commit(tx, &insert);
    world.server.crashes++;
    quring_tx_release(tx);
    world_finish(&world);
    expect(commit, QURING_SERVER_ERROR, NULL);
    close_world();
}

Test(sim_resolve_xid, a_standby_is_asked_until_it_is_the_primary) {
    for (int promoted = 0; promoted < 2; promoted++) {
        open_lossy(1);
        quring_tx *tx = open_tx(&with_xid);
        int insert, commit = lose_commit(tx, &insert);
        world.server.xid_error = "55000";
        quring_tx_release(tx);
        world_pass(&world, 2 * SECOND);
        cr_assert_not(world.asked[commit].ended);
        world.server.xid_error = NULL;
        world.server.timeline += (uint32_t)promoted;
        world_finish(&world);
        expect(commit, promoted ? QURING_IN_DOUBT : QURING_SERVER_ERROR, NULL);
        close_world();
    }
}

Test(sim_resolve_xid, nobody_is_asked_for_one_without_an_id) {
    open_lossy(1);
    world.server.gives_no_xids = true;
    quring_tx *tx = open_tx(&with_xid);
    int insert, commit = lose_commit(tx, &insert);
    quring_tx_release(tx);
    world_finish(&world);
    expect(commit, QURING_IN_DOUBT, NULL);
    close_world();
}

/* The old process never ends, and the transaction with it. */
Test(sim_resolve_xid, one_that_stays_in_progress) {
    open_lossy(1);
    quring_tx_options options = with_xid;
    options.resolve_timeout_ns = 3 * SECOND;
    quring_tx *tx = open_tx(&options);
    int insert, commit = lose_commit(tx, &insert);
    list_entry(world.server.xids.prev, struct sim_xid, link)->writer = &world;
    world_pass(&world, 2900 * MS);
    cr_assert_not(world.asked[commit].ended);
    world_pass(&world, 200 * MS);
    expect(commit, QURING_IN_DOUBT, NULL);
    cr_assert(world.server.progress_count > 5 && world.server.progress_count < 15, "asked %u times",
              world.server.progress_count);
    quring_tx_release(tx);
    close_world();
}

Test(sim_resolve_xid, an_id_that_can_not_be_read_fails_the_transaction) {
    for (int whole = 0; whole < 2; whole++) {
        open_lossy(1);
        world.server.xid_error = "42883";
        quring_tx *tx = open_tx(&with_xid);
        int insert = ask_tx(tx, "insert", NULL);
        if (!whole)
            world_finish(&world);
        int commit = ask_tx(tx, "commit", NULL);
        quring_tx_release(tx);
        world_finish(&world);
        expect(insert, QURING_OK, NULL);
        expect(commit, QURING_SERVER_ERROR, "42883");
        cr_assert_not(took_effect(insert));
        close_world();
    }
}

/* While the answer is awaited nothing of COMMIT was sent, and the transaction can still be given up. */
Test(sim_resolve_xid, those_that_are_given_up_before_their_commit) {
    for (int how = 0; how < 2; how++) {
        struct sim_options sim = {.seed = 1, .latency_ns = 100 * MS};
        world_open(&world, &sim, NULL, &(quring_db_options){.connection_count = 1}, 100);
        world.allowed = MAY(OK) | MAY(CANCELLED) | MAY(TIMEOUT) | MAY(SKIPPED) | MAY(SERVER_ERROR);
        world_connect(&world, 1);
        quring_tx_options options = with_xid;
        options.timeout_ns = how ? 0 : 50 * MS;
        quring_tx *tx = open_tx(&options);
        int insert = ask_tx(tx, "insert", NULL), commit = ask_tx(tx, "commit", NULL);
        quring_tx_release(tx);
        world_pass(&world, MS);
        if (how)
            cr_assert_eq(quring_cancel(world.engine, world.asked[commit].id), 0);
        world_finish(&world);
        world_pass(&world, SECOND);
        cr_assert_neq(status_of(commit), QURING_OK);
        cr_assert_not(took_effect(insert));
        close_world();
    }
}

/* ---- Seeds ---- */

struct storm_tx {
    int inserts[INSERTS_MAX], count, commit;
};

static void storm_ask(struct storm_tx *made) {
    quring_tx *tx = open_tx(&with_xid);
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

Test(sim_resolve_xid, each_commit_of_a_storm_is_certain) {
    seeds_run(300, storm_seed);
}
