/* SPDX-License-Identifier: MIT */
/* Transactions of an inbox whose COMMIT was lost, and is asked for. */
#include "lib/sim_doubt.h"

static void begin(void) {
    seeds_begin();
    by_inbox = true;
}

TestSuite(sim_resolve_remote, .init = begin);

static const quring_tx_options with_token = {.resolve = QURING_RESOLVE_TOKEN, .token_table = "public.sim_tokens"};
static const quring_tx_options with_xid = {.resolve = QURING_RESOLVE_XID};

enum { CONNECTION_BYTES_MAX = 6000, STEP = 17 };

static void lose_anywhere(const struct shape *shape) {
    uint32_t asked_count = 0;
    bool whole = false;
    for (uint64_t bytes = 1; !whole && bytes < CONNECTION_BYTES_MAX; bytes += STEP)
        asked_count += lose_at(shape, bytes, &whole);
    cr_assert(whole, "%s: it was cut at %d bytes still", shape->name, CONNECTION_BYTES_MAX);
    cr_assert_gt(asked_count, 0, "%s: nobody was asked", shape->name);
}

Test(sim_resolve_remote, a_loss_anywhere) {
    for (size_t i = 0; i < SHAPES; i++) {
        resolved = with_token;
        lose_anywhere(&shapes[i]);
        resolved = with_xid;
        lose_anywhere(&shapes[i]);
    }
}

/* What the client knows from its open on is what the server has in the end. */
Test(sim_resolve_remote, the_token_is_the_one_that_is_written) {
    char text[40];
    resolved = with_token;
    open_lossy(1);
    quring_tx *tx = open_tx(&resolved);
    snprintf(text, sizeof text, "%s", quring_tx_token(tx));
    int insert = ask_tx(tx, "insert", 0, NULL), commit = ask_tx(tx, "commit", 0, NULL);
    world_finish(&world);
    expect(insert, QURING_OK, NULL);
    expect(commit, QURING_OK, NULL);
    cr_assert_str_eq(list_entry(list_first(&world.server.tokens), struct sim_token, link)->text, text);
    quring_tx_release(tx);
    close_world();
}

Test(sim_resolve_remote, it_stays_unknown_where_nobody_answers_in_time) {
    for (int how = 0; how < 2; how++) {
        resolved = how ? with_xid : with_token;
        resolved.resolve_timeout_ns = 3 * SECOND;
        open_lossy(1);
        quring_tx *tx = open_tx(&resolved);
        int insert, commit = lose_commit(tx, &insert);
        quring_tx_release(tx);
        world.server.refusal = "57P03";
        world.server.refusals_left = UINT32_MAX;
        world_pass(&world, 2900 * MS);
        cr_assert_not(world.asked[commit].ended);
        world_pass(&world, 200 * MS);
        expect(commit, QURING_IN_DOUBT, NULL);
        world.server.refusals_left = 0;
        close_world();
    }
}

Test(sim_resolve_remote, each_commit_of_a_storm_is_certain) {
    resolved = with_token;
    seeds_run(200, storm_seed);
    resolved = with_xid;
    seeds_run(200, storm_seed);
}
