/* SPDX-License-Identifier: MIT */
/* Transactions that have read their ID, which is asked for when their COMMIT was lost. */
#include "lib/sim_doubt.h"

#include <stdlib.h>

static void begin(void) {
    seeds_begin();
    resolved = (quring_tx_options){.resolve = QURING_RESOLVE_XID};
}

TestSuite(sim_resolve_xid, .init = begin);

enum { CONNECTION_BYTES_MAX = 6000, STEP = 17, TAIL_BYTES = 300 };

/* Each byte from COMMIT's request on, and some before it. */
Test(sim_resolve_xid, a_loss_at_each_byte) {
    for (size_t i = 0; i < SHAPES; i++) {
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

static int ask_one(int *insert) {
    quring_tx *tx = open_tx(&resolved);
    *insert = ask_tx(tx, "insert", 0, NULL);
    int commit = ask_tx(tx, "commit", 0, NULL);
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
    quring_tx *tx = open_tx(&resolved);
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
    quring_tx *tx = open_tx(&resolved);
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
        quring_tx *tx = open_tx(&resolved);
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
    quring_tx *tx = open_tx(&resolved);
    int insert, commit = lose_commit(tx, &insert);
    quring_tx_release(tx);
    world_finish(&world);
    expect(commit, QURING_IN_DOUBT, NULL);
    close_world();
}

/* The old process never ends, and the transaction with it. */
Test(sim_resolve_xid, one_that_stays_in_progress) {
    open_lossy(1);
    quring_tx_options options = resolved;
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
        quring_tx *tx = open_tx(&resolved);
        int insert = ask_tx(tx, "insert", 0, NULL);
        if (!whole)
            world_finish(&world);
        int commit = ask_tx(tx, "commit", 0, NULL);
        quring_tx_release(tx);
        world_finish(&world);
        expect(insert, QURING_OK, NULL);
        expect(commit, QURING_SERVER_ERROR, "42883");
        cr_assert_not(took_effect(insert));
        close_world();
    }
}

/* What ROLLBACK TO takes back stands before it, and the ID is read behind it. */
Test(sim_resolve_xid, an_id_that_can_not_be_read_behind_a_rollback_to_fails_the_transaction) {
    open_lossy(1);
    world.server.xid_error = "42883";
    quring_tx *tx = open_tx(&resolved);
    ask_tx(tx, "savepoint", 1, NULL);
    ask_tx(tx, "rollback to", 1, NULL);
    int commit = ask_tx(tx, "commit", 0, NULL);
    quring_tx_release(tx);
    world_connect(&world, 1);
    world_pass(&world, SECOND);
    expect(commit, QURING_SERVER_ERROR, "42883");
    close_world();
}

/* While the answer is awaited nothing of COMMIT was sent, and the transaction can still be given up. */
Test(sim_resolve_xid, those_that_are_given_up_before_their_commit) {
    for (int how = 0; how < 2; how++) {
        struct sim_options sim = {.seed = 1, .latency_ns = 100 * MS};
        world_open(&world, &sim, NULL, &(quring_db_options){.connection_count = 1}, 100);
        world.allowed = MAY(OK) | MAY(CANCELLED) | MAY(TIMEOUT) | MAY(SKIPPED) | MAY(SERVER_ERROR);
        world_connect(&world, 1);
        quring_tx_options options = resolved;
        options.timeout_ns = how ? 0 : 50 * MS;
        quring_tx *tx = open_tx(&options);
        int insert = ask_tx(tx, "insert", 0, NULL), commit = ask_tx(tx, "commit", 0, NULL);
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

Test(sim_resolve_xid, each_commit_of_a_storm_is_certain) {
    seeds_run(300, storm_seed);
}
