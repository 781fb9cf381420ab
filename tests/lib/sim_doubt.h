/* SPDX-License-Identifier: MIT */
/*
 * COMMITs whose connection is lost, of transactions that can be asked for afterwards. The server's ledger says what became of
 * each:
 *
 *   OK             all of it took effect, once
 *   SERVER_ERROR   nothing of it took effect, and nothing of it does later
 *   IN_DOUBT       only where the server could not be asked in time
 *
 * How they are asked for is what the suite's init has put into `resolved`, and `by_inbox`: the transactions are an inbox's.
 */
#ifndef QURING_TESTS_LIB_SIM_DOUBT_H
#define QURING_TESTS_LIB_SIM_DOUBT_H

#include "lib/sim_leases.h"

#include <criterion/criterion.h>

enum { STORM_TXS = 40, INSERTS_MAX = 4, STORM_QUERIES = 400 };

static quring_tx_options resolved;
static bool by_inbox;

static inline quring_status status_of(int index) {
    LAW(world.asked[index].ended, "query %d has not ended", index);
    return (quring_status)world.asked[index].status;
}

static inline bool took_effect(int index) {
    return world.server.ledger[index].committed != 0;
}

static inline void close_world(void) {
    world_pass(&world, 20 * MS);
    check_leases();
    world_close_engine(&world);
    sim_settle(world.sim);
    world_check_ledger(&world);
    world_free(&world);
}

static inline void open_lossy(uint32_t connections) {
    quring_db_options db = {.connection_count = connections, .depth = 16};
    open_world(&db);
    world.allowed = MAY(OK) | MAY_BE_LOST | MAY(SERVER_ERROR) | MAY(SKIPPED);
    if (by_inbox)
        world_open_inbox(&world);
}

/* ---- A loss at each byte ---- */

struct shape {
    const char *name;
    bool apart;    /* COMMIT is submitted when the others have ended */
    bool received; /* the cut is in what the server says */
};

enum { SHAPES = 4 };

static const struct shape shapes[SHAPES] = {{"whole, sent", false, false},
                                            {"whole, received", false, true},
                                            {"apart, sent", true, false},
                                            {"apart, received", true, true}};

/* True: COMMIT was in doubt, and was asked for. */
static inline bool lose_at(const struct shape *shape, uint64_t bytes, bool *whole) {
    open_lossy(1);
    *(shape->received ? &world.server.cut_received : &world.server.cut_sent) = bytes;
    quring_tx *tx = open_tx(&resolved);
    int inserts[2] = {ask_tx(tx, "insert", 0, NULL), ask_tx(tx, "insert", 0, NULL)};
    if (shape->apart)
        world_finish(&world);
    int commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    world_finish(&world);
    quring_status status = status_of(commit);
    bool tried = status == QURING_NOT_SENT && world.server.connects == 1; /* it was lost while it was made */
    cr_assert(status == QURING_OK || status == QURING_SERVER_ERROR || tried, "%s, byte %d: %s", shape->name, (int)bytes,
              quring_status_name(status));
    for (int i = 0; i < 2; i++)
        cr_assert_eq(took_effect(inserts[i]), status == QURING_OK, "%s, byte %d: %s", shape->name, (int)bytes,
                     quring_status_name(status));
    bool asked = (!list_empty(&world.server.tokens) || !list_empty(&world.server.xids)) && world.server.connects > 1;
    *whole = world.server.connects == 1 && status == QURING_OK;
    close_world();
    return asked;
}

/* Submits a transaction of one INSERT and COMMIT, which reaches a server that never ends it, and loses the connection. */
static inline int lose_commit(quring_tx *tx, int *insert) {
    world_connect(&world, 1);
    world.server.hangs_at_commit = true;
    *insert = ask_tx(tx, "insert", 0, NULL);
    int commit = ask_tx(tx, "commit", 0, NULL);
    world_pass(&world, MS);
    world.server.hangs_at_commit = false;
    cr_assert_not(world.asked[commit].ended);
    sim_server_kill(&world.server, true);
    return commit;
}

/* ---- Storms ---- */

struct storm_tx {
    int inserts[INSERTS_MAX], count, commit;
};

static inline void storm_ask(struct storm_tx *made) {
    quring_tx *tx = open_tx(&resolved);
    made->count = 1 + (int)world_below(&world, INSERTS_MAX);
    for (int i = 0; i < made->count; i++) {
        made->inserts[i] = ask_tx(tx, "insert", 0, NULL);
        if (world_below(&world, 4) == 0)
            (void)world_run(&world, 0, 0);
    }
    if (world_below(&world, 3) == 0)
        (void)world_run(&world, 1, MS);
    made->commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
}

static inline void storm_check(const struct storm_tx *tx) {
    quring_status status = status_of(tx->commit);
    LAW(status != QURING_IN_DOUBT, "nobody was asked");
    for (int i = 0; i < tx->count; i++) {
        LAW(took_effect(tx->inserts[i]) == (status == QURING_OK), "COMMIT: %s, and the effects are otherwise",
            quring_status_name(status));
        quring_status member = status_of(tx->inserts[i]);
        LAW(member != QURING_IN_DOUBT || status == QURING_OK, "a query is in doubt, but its COMMIT is not OK");
    }
}

static inline void storm_seed(uint64_t seed) {
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
    if (by_inbox)
        world_open_inbox(&world);
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

#endif
