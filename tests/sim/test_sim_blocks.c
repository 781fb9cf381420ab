/* SPDX-License-Identifier: MIT */
/*
 * Transaction blocks on exclusive handles. Situations first, each held against the server's ledger; then seeds: random
 * blocks, with savepoints, errors, queries that are given up, and connections lost at any moment. A model of the blocks
 * says how each query must end if its connection lives, and at the end:
 *
 *   acknowledged   COMMIT is OK: each member that was not undone before took effect, once
 *   undone         rolled back, by ROLLBACK, ROLLBACK TO, an error, or with its connection: no effect
 *   in doubt       COMMIT is IN_DOUBT: all of its members took effect, or none
 */
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

TestSuite(sim_blocks, .init = seeds_begin);

/* ---- Situations ---- */

static void open_exclusive(uint32_t depth) {
    quring_db_options db = {.exclusive = true, .depth = depth};
    open_world(&db);
    world_connect(&world, 1);
}

static int ask_inside(const char *verb, uint32_t number, const char *sqlstate, const char *fails_with) {
    struct ask what = {
        .verb = verb, .number = number, .sqlstate = sqlstate, .in_block = true, .fails_with = fails_with};
    int index = world_ask(&world, &what);
    LAW(index >= 0, "quring_submit: %s %s", quring_strerror(index), quring_errmsg(world.engine));
    return index;
}

static uint32_t committed(int index) {
    return world.server.ledger[index].committed;
}

Test(sim_blocks, writes_show_when_their_block_commits) {
    open_exclusive(8);
    ask("start transaction", 0, NULL);
    int first = ask_inside("insert", 0, NULL, NULL), second = ask_inside("insert", 0, NULL, NULL);
    world_finish(&world);
    expect(second, QURING_OK, NULL);
    cr_assert(world.server.ledger[second].executed == 1 && committed(first) == 0 && committed(second) == 0);
    ask("end", 0, NULL);
    world_finish(&world);
    cr_assert(committed(first) == 1 && committed(second) == 1);
    int after = ask("insert", 0, NULL);
    world_finish(&world);
    cr_assert_eq(committed(after), 1);
    world_close(&world);
}

Test(sim_blocks, a_block_that_is_rolled_back_leaves_nothing) {
    open_exclusive(8);
    ask("begin", 0, NULL);
    int inside = ask_inside("insert", 0, NULL, NULL);
    ask("rollback", 0, NULL);
    int after = ask("insert", 0, NULL);
    world_finish(&world);
    cr_assert(committed(inside) == 0 && committed(after) == 1);
    world_close(&world);
}

Test(sim_blocks, a_failed_block_refuses_all_but_its_end) {
    open_exclusive(16);
    ask("begin", 0, NULL);
    int before = ask_inside("insert", 0, NULL, NULL), sick = ask_inside("error", 0, "22012", NULL);
    int refused = ask_inside("insert", 0, NULL, "25P02"), read = ask_inside("rows", 3, NULL, "25P02");
    int commit = ask_inside("commit", 0, NULL, "40000");
    int after = ask("insert", 0, NULL);
    world_finish(&world);
    expect(sick, QURING_SERVER_ERROR, "22012");
    expect(read, QURING_SERVER_ERROR, "25P02");
    expect(commit, QURING_SERVER_ERROR, "40000");
    expect(after, QURING_OK, NULL);
    cr_assert(world.server.ledger[refused].executed == 0);
    cr_assert(committed(before) == 0 && committed(refused) == 0 && committed(after) == 1);
    world_close(&world);
}

Test(sim_blocks, savepoints_nest) {
    open_exclusive(32);
    ask("begin", 0, NULL);
    int kept = ask_inside("insert", 0, NULL, NULL);
    ask("savepoint", 1, NULL);
    int outer = ask_inside("insert", 0, NULL, NULL);
    ask("savepoint", 2, NULL);
    int inner = ask_inside("insert", 0, NULL, NULL);
    ask_inside("error", 0, "22012", NULL);
    ask_inside("release", 2, NULL, "25P02");
    ask("rollback to", 2, NULL);
    int second = ask_inside("insert", 0, NULL, NULL);
    ask("release", 2, NULL);
    ask_inside("rollback to", 2, NULL, "3B001"); /* it is gone, and the block has failed again */
    ask("rollback to", 1, NULL);
    int last = ask_inside("insert", 0, NULL, NULL);
    ask("commit", 0, NULL);
    world_finish(&world);
    cr_assert(committed(kept) == 1 && committed(last) == 1);
    cr_assert(committed(outer) == 0 && committed(inner) == 0 && committed(second) == 0);
    world_close(&world);
}

Test(sim_blocks, a_commit_that_fails_leaves_nothing) {
    open_exclusive(16);
    ask("begin", 0, NULL);
    int inside = ask_inside("insert", 0, NULL, NULL), deferred = ask_inside("defer", 0, "23503", "");
    int commit = ask_inside("commit", 0, NULL, "23503"), after = ask("insert", 0, NULL);
    world_finish(&world);
    expect(deferred, QURING_OK, NULL);
    expect(commit, QURING_SERVER_ERROR, "23503");
    cr_assert(committed(inside) == 0 && committed(deferred) == 0 && committed(after) == 1);
    world_close(&world);
}

Test(sim_blocks, a_block_ends_with_its_connection) {
    for (int reset = 0; reset < 2; reset++) {
        open_exclusive(16);
        ask("begin", 0, NULL);
        int inside = ask_inside("insert", 0, NULL, NULL);
        world_finish(&world);
        sim_server_kill(&world.server, reset);
        world_pass(&world, MS);
        world.allowed = MAY_BE_LOST;
        int rest = ask_inside("insert", 0, NULL, NULL), commit = ask("commit", 0, NULL);
        world_finish(&world);
        expect(rest, QURING_NOT_SENT, NULL);
        expect(commit, QURING_NOT_SENT, NULL);
        cr_assert(committed(inside) == 0 && committed(rest) == 0);
        world_close(&world);
    }
}

/* ---- Seeds ---- */

enum { QUERIES = 100, SAVEPOINTS = 4 };

enum phase { OUTSIDE, INSIDE, FAILED };

struct member {
    uint32_t block; /* from 1; 0: it is outside of any */
    bool undone;    /* before its block's end, or nothing that could be: COMMIT and its like */
};

static struct model {
    enum phase phase;
    uint32_t block;
    int commit[QUERIES + 1]; /* of each block: the COMMIT that makes it take effect, or -1 */
    struct member members[QUERIES];
    struct {
        uint32_t name, from; /* queries from here on are undone by going back to it */
        const char *deferred;
    } savepoints[QUERIES];
    uint32_t savepoint_count;
    const char *deferred; /* SQLSTATE that a COMMIT fails with, or NULL */
} model;

static const char *const states[] = {"22012", "23505", "40001", "XX000", "57014"};

static void model_undo(uint32_t from) {
    for (uint32_t i = from; i < world.asked_count; i++)
        if (model.members[i].block == model.block)
            model.members[i].undone = true;
}

static void model_end(void) {
    model.phase = OUTSIDE;
    model.savepoint_count = 0;
    model.deferred = NULL;
}

static void model_begin(struct ask *what) {
    if (model.phase == FAILED)
        return;
    if (model.phase == INSIDE) {
        what->warns_with = "25001";
        return;
    }
    model.phase = INSIDE;
    model.commit[++model.block] = -1;
}

static void model_finish(struct ask *what, bool commits) {
    if (model.phase == OUTSIDE)
        what->warns_with = "25P01";
    else if (commits && model.phase == FAILED)
        what->fails_with = "40000";
    else if (commits && model.deferred)
        what->fails_with = model.deferred;
    else if (commits)
        model.commit[model.block] = (int)world.asked_count;
    model_end();
}

static void model_savepoint(struct ask *what, bool sets, bool goes_back) {
    uint32_t at = model.savepoint_count;
    if (model.phase == OUTSIDE) {
        what->fails_with = "25P01";
        return;
    }
    if (model.phase == FAILED && !goes_back)
        return;
    if (sets) {
        model.savepoints[at].name = what->number;
        model.savepoints[at].from = world.asked_count;
        model.savepoints[at].deferred = model.deferred;
        model.savepoint_count++;
        return;
    }
    while (at && model.savepoints[at - 1].name != what->number)
        at--;
    if (!at) {
        what->fails_with = "3B001";
        model.phase = FAILED;
        return;
    }
    model.savepoint_count = goes_back ? at : at - 1;
    if (goes_back) {
        model_undo(model.savepoints[at - 1].from);
        model.deferred = model.savepoints[at - 1].deferred;
        model.phase = INSIDE;
    }
}

static void model_statement(struct ask *what) {
    bool call = strcmp(what->verb, "call") == 0, defers = strcmp(what->verb, "defer") == 0;
    if (model.phase != INSIDE)
        return;
    if (call)
        what->fails_with = "2D000";
    if (defers && !model.deferred)
        model.deferred = what->sqlstate;
    else if (defers)
        what->sqlstate = model.deferred;
    if (defers)
        what->fails_with = "";
    else if (call || what->sqlstate)
        model.phase = FAILED;
}

/* What becomes of the query that is asked next. */
static void model_ask(struct ask *what) {
    const char *verb = what->verb;
    bool sets = strcmp(verb, "savepoint") == 0, goes_back = strcmp(verb, "rollback to") == 0;
    bool ends = strcmp(verb, "commit") == 0 || strcmp(verb, "rollback") == 0;
    bool begins = strcmp(verb, "begin") == 0, points = sets || goes_back || strcmp(verb, "release") == 0;
    bool runs = !begins && !ends && !points;
    enum phase before = model.phase;
    if (before == FAILED && !ends && !goes_back)
        what->fails_with = "25P02";
    if (begins)
        model_begin(what);
    else if (ends)
        model_finish(what, *verb == 'c');
    else if (points)
        model_savepoint(what, sets, goes_back);
    else
        model_statement(what);
    what->in_block = before != OUTSIDE;
    bool fails = what->fails_with ? what->fails_with[0] : what->sqlstate != NULL;
    model.members[world.asked_count] =
        (struct member){.block = what->in_block ? model.block : 0, .undone = fails || !runs};
}

static const char *any_of(const char *const *words, uint32_t count) {
    return words[world_below(&world, count)];
}

static struct ask any_sick(void) {
    static const char *const words[] = {"error", "late", "refuse", "bad"};
    return (struct ask){.verb = any_of(words, 4), .sqlstate = any_of(states, 5), .number = 2};
}

static struct ask any_ask(void) {
    static const char *const words[][6] = {
        [OUTSIDE] = {"begin", "begin", "insert", "rows", "commit", "rollback"},
        [INSIDE] = {"commit", "commit", "rollback", "begin", "call", "release"},
        [FAILED] = {"commit", "rollback", "rollback to", "rollback to", "savepoint", "insert"}};
    static const char *const points[] = {"savepoint", "savepoint", "rollback to"};
    static const char *const harmless[] = {"insert", "insert", "rows", "select"};
    uint64_t kind = world_below(&world, 100);
    struct ask ask = {.number = (uint32_t)world_below(&world, SAVEPOINTS)};
    if (kind < (model.phase == INSIDE ? 20 : 80))
        ask.verb = any_of(words[model.phase], 6);
    else if (kind < 30)
        ask.verb = any_of(points, 3);
    else if (kind < 36)
        return any_sick();
    else if (kind < 39 && model.phase == INSIDE)
        return (struct ask){.verb = "defer", .sqlstate = any_of(states, 5)};
    else
        ask.verb = any_of(harmless, 4);
    return ask;
}

static void ask_one(bool giving_up) {
    struct ask what = any_ask();
    struct model before = model;
    model_ask(&what);
    bool harmless = strcmp(what.verb, "insert") == 0 || strcmp(what.verb, "rows") == 0;
    if (giving_up && harmless && world_below(&world, 6) == 0)
        what.timeout_ns = 1 + world_below(&world, 300000);
    int index = world_ask(&world, &what);
    LAW(index >= 0 || index == QURING_EFULL, "quring_submit: %s", quring_strerror(index));
    if (index < 0)
        model = before;
}

static void handle_open(void) {
    quring_db_options db = {.exclusive = true, .depth = 1 + (uint32_t)world_below(&world, 24)};
    LAW(world_open_db(&world, &db) == 0, "quring_db_open: %s", quring_errmsg(world.engine));
    uint64_t lost = world_stats(&world).connection_lost_count;
    while (world_stats(&world).connection_count == 0 && world_stats(&world).connection_lost_count == lost) {
        (void)sim_wait(world.sim, MS);
        (void)world_run(&world, 0, 0);
    }
}

/* A handle that has lost its connection ends all that comes: the next block takes another. */
static void handle_renew(void) {
    world_finish(&world);
    quring_db_close(world.db);
    model_end();
    handle_open();
}

static bool is_lost(void) {
    return world_stats(&world).connection_count == 0;
}

static void something_happens(bool losses) {
    if (losses && world_below(&world, 40) == 0)
        sim_server_kill(&world.server, world_below(&world, 2));
    if (is_lost())
        handle_renew();
}

static void check_member(uint32_t index) {
    const struct member *member = &model.members[index];
    int commit = model.commit[member->block];
    uint32_t effect = world.server.ledger[index].committed;
    const struct asked *asked = &world.asked[index];
    if (member->undone || commit < 0 || world.asked[commit].status == QURING_NOT_SENT) {
        LAW(effect == 0, "query %u was undone, but took effect", index);
        return;
    }
    if (world.asked[commit].status != QURING_OK)
        return;
    bool given_up = asked->status == QURING_TIMEOUT;
    LAW(asked->status == QURING_OK || given_up, "query %u: %s, but its block is committed", index,
        quring_status_name((quring_status)asked->status));
    LAW(effect == (!given_up || asked->sent), "query %u took effect %u times in a block that is committed", index,
        effect);
}

/* All or nothing, whatever the COMMIT ended with. */
static void check_block(uint32_t block) {
    uint32_t least = 1, most = 0;
    for (uint32_t i = 0; i < world.asked_count; i++) {
        const struct member *member = &model.members[i];
        if (member->block != block || member->undone || !world.asked[i].sent)
            continue;
        uint32_t effect = world.server.ledger[i].committed;
        least = effect < least ? effect : least;
        most = effect > most ? effect : most;
    }
    LAW(least >= most, "block %u took effect in part", block);
}

static void check_blocks(void) {
    for (uint32_t i = 0; i < world.asked_count; i++)
        if (model.members[i].block)
            check_member(i);
    for (uint32_t block = 1; block <= model.block; block++)
        check_block(block);
}

static struct sim_options weather(uint64_t seed, bool losses) {
    struct rng rng = {seed * 3003};
    return (struct sim_options){.seed = seed,
                                .socket_bytes = 1u << (7 + rng_below(&rng, 10)),
                                .latency_ns = rng_below(&rng, 100000),
                                .split = (uint16_t)rng_below(&rng, 400),
                                .short_send = (uint16_t)rng_below(&rng, 300),
                                .short_delivery = (uint16_t)rng_below(&rng, 400),
                                .again = (uint16_t)rng_below(&rng, 50),
                                .reset = losses && rng_below(&rng, 2) ? 5 : 0};
}

static void blocks_run(uint64_t seed, bool losses, bool giving_up) {
    struct sim_options sim = weather(seed, losses);
    quring_options engine = {.query_count = 64};
    model = (struct model){0};
    world_begin(&world, &sim, QUERIES);
    LAW(world_open_engine(&world, &engine, NULL) == 0, "quring_engine_open");
    world.allowed = (losses ? MAY_BE_LOST : 0) | (giving_up ? MAY(TIMEOUT) : 0);
    world.server.in_order = true;
    world.server.eager = (uint16_t)world_below(&world, 300);
    world.server.kill = losses ? (uint16_t)world_below(&world, 20) : 0;
    handle_open();
    while (world.asked_count < QUERIES) {
        for (uint64_t burst = world_below(&world, 20); burst && world.asked_count < QUERIES; burst--)
            ask_one(giving_up);
        (void)world_run(&world, (uint32_t)world_below(&world, 10), world_below(&world, MS));
        something_happens(losses);
    }
    world_finish(&world);
    world_close_engine(&world);
    sim_settle(world.sim);
    world_check_ledger(&world);
    check_blocks();
    world_free(&world);
}

static void calm_seed(uint64_t seed) {
    blocks_run(seed, false, false);
}

static void loss_seed(uint64_t seed) {
    blocks_run(seed, true, false);
}

static void any_seed(uint64_t seed) {
    blocks_run(seed, seed % 2, true);
}

Test(sim_blocks, each_query_ends_as_its_block_says) {
    seeds_run(100, calm_seed);
}

Test(sim_blocks, blocks_of_lost_connections_are_whole_or_gone) {
    seeds_run(300, loss_seed);
}

Test(sim_blocks, blocks_with_queries_that_are_given_up) {
    seeds_run(200, any_seed);
}
