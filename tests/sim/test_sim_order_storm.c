/* SPDX-License-Identifier: MIT */
/*
 * Order keys on the whole engine over the scripted server. What ran in which order is not what the engine says: the server
 * keeps a list for each key, of the queries that took effect, and each statement notes how much of that list it saw:
 *
 *   order   of two queries of a key the one that was asked first takes effect first
 *   view    each sees all inserts of its key that were asked before it and took effect, and none that was asked after it
 *   closed  behind a query that was lost none of its key runs that was asked before the program knew
 *
 * Not bound by the first two is what was lost, or given up on a connection that is lost later: nobody knows when the server
 * carries that out. But what was asked before the program had heard of it has to come after it.
 */
#include "engine/engine.h"
#include "lib/sim_situation.h"

#include <criterion/criterion.h>

enum { QUERIES = 200, KEYS = 6, INSERTS_MAX = 3000 };

/* What a storm has in it. */
enum { GROUPS = 1, STALE = 2, LOSSES = 4, GIVING_UP = 8, CHANGES = 16, EVERYTHING = 31 };

/* ---- The server's lists ---- */

struct member {
    uint64_t key; /* 0: none */
    bool is_insert;
    const void *pending; /* the connection in whose transaction it was inserted; NULL: it is in none */
    uint32_t view_count; /* inserts of its key that it saw, when it ran last */
    int64_t view_last;   /* the last of them; -1: none */
};

static struct {
    struct member members[INSERTS_MAX];
    uint32_t list[INSERTS_MAX]; /* of all keys, in the order in which they took effect */
    uint32_t list_count;
    bool losses;
} model;

static struct asked *asked_of(uint32_t index) {
    return &world.asked[index];
}

/* The server may carry the query out at any time, and the program knew before it asked the other. */
static bool is_free(uint32_t index, uint32_t other) {
    const struct asked *asked = asked_of(index);
    return model.losses && asked->ended && asked->status != QURING_OK && asked->seen_at <= other;
}

static void see(struct member *viewer, uint32_t index) {
    viewer->view_count++;
    if (viewer->view_last < index)
        viewer->view_last = index;
}

static void on_executed(const void *conn, uint32_t index) {
    struct member *member = &model.members[index];
    if (!member->key)
        return;
    member->view_count = 0;
    member->view_last = -1;
    for (uint32_t i = 0; i < model.list_count; i++)
        if (model.members[model.list[i]].key == member->key && model.members[model.list[i]].is_insert)
            see(member, model.list[i]);
    for (uint32_t i = 0; i < world.asked_count; i++)
        if (model.members[i].key == member->key && model.members[i].pending == conn)
            see(member, i);
    member->pending = member->is_insert ? conn : NULL;
}

static void on_ended(uint32_t index, bool committed) {
    struct member *member = &model.members[index];
    member->pending = NULL;
    if (!member->key || !committed)
        return;
    for (uint32_t i = 0; i < model.list_count; i++) {
        uint32_t before = model.list[i];
        LAW(model.members[before].key != member->key || before < index || is_free(index, before),
            "query %u took effect before query %u of its key %d", before, index, (int)member->key);
    }
    model.list[model.list_count++] = index;
}

static const struct sim_watcher watcher = {.executed = on_executed, .ended = on_ended};

static void check_view(uint32_t index) {
    const struct member *member = &model.members[index];
    uint32_t must = 0, may = 0;
    if (member->view_last > index && is_free(index, (uint32_t)member->view_last))
        return;
    for (uint32_t i = 0; i < index; i++) {
        if (model.members[i].key != member->key || !model.members[i].is_insert || !world.server.ledger[i].committed)
            continue;
        if (is_free(i, index))
            may++;
        else
            must++;
    }
    LAW(member->view_last < index, "query %u saw query %d, which was asked later", index, (int)member->view_last);
    LAW(member->view_count >= must && member->view_count <= must + may, "query %u saw %u inserts, not %u to %u", index,
        member->view_count, must, must + may);
}

static bool was_lost(const struct asked *asked) {
    return asked->status == QURING_IN_DOUBT;
}

/* A member of its group that failed by itself has ended before it ran again, and was lost. */
static bool may_fail_behind(const struct asked *lost, const struct asked *asked) {
    return asked->status == QURING_SERVER_ERROR && lost->grouped && asked->grouped;
}

static void check_closed(uint32_t index) {
    const struct asked *asked = asked_of(index);
    for (uint32_t i = 0; i < index; i++) {
        const struct asked *before = asked_of(i);
        if (model.members[i].key != model.members[index].key || !was_lost(before) || before->seen_at <= index)
            continue;
        bool ran = asked->status == QURING_OK || asked->status == QURING_SERVER_ERROR;
        LAW(!ran || may_fail_behind(before, asked), "query %u ended with %s behind query %u, which was lost", index,
            quring_status_name((quring_status)asked->status), i);
    }
}

static void check_orders(void) {
    for (uint32_t i = 0; i < world.asked_count; i++) {
        if (!model.members[i].key)
            continue;
        check_closed(i);
        if (world.server.ledger[i].committed)
            check_view(i);
    }
}

/* ---- Asking ---- */

static void begin(bool losses) {
    model.list_count = 0;
    model.losses = losses;
    memset(model.members, 0, sizeof model.members);
    world.server.watcher = &watcher;
}

static int ask_keyed(const struct ask *what) {
    model.members[world.asked_count] =
        (struct member){.key = what->order_key, .is_insert = strcmp(what->verb, "insert") == 0};
    int index = world_ask(&world, what);
    LAW(index >= 0 || index == QURING_EFULL, "quring_submit: %s", quring_strerror(index));
    return index;
}

/* ---- Storms ---- */

static struct sim_options weather(uint64_t seed, uint32_t in_it) {
    struct rng rng = {seed * 5005};
    return (struct sim_options){.seed = seed,
                                .start_ns = rng_next(&rng) >> (1 + rng_below(&rng, 40)),
                                .socket_bytes = 1u << (7 + rng_below(&rng, 10)),
                                .queue_count = 8 + (uint32_t)rng_below(&rng, 40),
                                .latency_ns = rng_below(&rng, 4) ? rng_below(&rng, 200000) : 0,
                                .split = (uint16_t)rng_below(&rng, 400),
                                .short_send = (uint16_t)rng_below(&rng, 300),
                                .short_delivery = (uint16_t)rng_below(&rng, 400),
                                .again = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 50)),
                                .withhold = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 200)),
                                .reset = in_it & LOSSES && rng_below(&rng, 2) ? 3 : 0};
}

static uint32_t allowed(uint32_t in_it) {
    uint32_t may = 0;
    if (in_it & LOSSES)
        may |= MAY_BE_LOST;
    if (in_it & GIVING_UP)
        may |= MAY(TIMEOUT) | MAY(CANCELLED);
    if (in_it & STALE)
        may |= MAY(SERVER_ERROR);
    return may;
}

static void storm_open(uint64_t seed, uint32_t in_it) {
    struct rng rng = {seed * 6006};
    struct sim_options sim = weather(seed, in_it);
    quring_options engine = {.query_count = 16 + (uint32_t)rng_below(&rng, 200), .connection_count = 16};
    quring_db_options db = {
        .connection_count = 1 + (uint32_t)rng_below(&rng, 5),
        .depth = 1 + (uint32_t)rng_below(&rng, rng_below(&rng, 2) ? 4 : 40),
        .statement_count = 1 + (uint32_t)rng_below(&rng, 8),
        .connection_lifetime_ns = in_it & CHANGES && rng_below(&rng, 2) ? MS + rng_below(&rng, 5 * MS) : 0,
        .health_check_ns = in_it & CHANGES && rng_below(&rng, 2) ? 1 + rng_below(&rng, MS) : 0,
    };
    world_open(&world, &sim, &engine, &db, QUERIES);
    begin(in_it & LOSSES);
    world.allowed = allowed(in_it);
    world.lenient = in_it & STALE; /* what has others of its key behind it is not repaired */
    world.late_release = seed % 3 == 0;
    struct sim_server *server = &world.server;
    server->cancels = in_it & GIVING_UP;
    server->cancel_ns = rng_below(&rng, 12) * MS;
    server->eager = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 300));
    if (in_it & STALE) {
        server->stale = (uint16_t)rng_below(&rng, 60);
        server->forget = (uint16_t)rng_below(&rng, 60);
    }
    if (in_it & LOSSES)
        server->kill = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 30));
}

static struct ask any_ask(uint32_t in_it) {
    static const char *const states[] = {"22012", "23505", "40001", "XX000", "57014"};
    struct ask ask = {.verb = "insert", .by_handle = world_below(&world, 5) == 0};
    uint64_t kind = world_below(&world, 100);
    uint32_t small = (uint32_t)world_below(&world, 5);
    if (kind < 30) {
        ask.verb = "select";
    } else if (kind < 40) {
        ask.verb = kind % 2 ? "rows" : "sleep";
        ask.number =
            kind % 2 ? small : (in_it & GIVING_UP ? 1000 : 100) * small * small; /* time for a cancel to come */
    } else if (kind < 55) {
        ask.verb = (const char *[]){"error", "late", "refuse", "bad", "defer"}[kind % 5];
        ask.number = small;
        ask.sqlstate = states[small];
    } else if (kind < 57) {
        ask.verb = "call";
    }
    if (in_it & GROUPS && world_below(&world, 2))
        ask.commit = QURING_COMMIT_GROUP;
    if (in_it & GIVING_UP && world_below(&world, 8) == 0)
        ask.timeout_ns = 1 + world_below(&world, MS);
    if (world_below(&world, 5))
        ask.order_key = 1 + world_below(&world, world_below(&world, 2) ? 2 : KEYS);
    return ask;
}

static void something_happens(uint32_t in_it) {
    uint64_t what = world_below(&world, 200);
    if (in_it & LOSSES && what == 0)
        sim_server_kill(&world.server, world_below(&world, 2));
    if (in_it & GIVING_UP && what < 60 && world.asked_count)
        (void)quring_cancel(world.engine, world.asked[world_below(&world, world.asked_count)].id);
    if (in_it & CHANGES && what == 199)
        (void)quring_db_drain(world.db);
    if (in_it & CHANGES && what > 195)
        (void)quring_db_resize(world.db, 1 + (uint32_t)world_below(&world, 5));
}

static void storm_run(uint64_t seed, uint32_t in_it) {
    storm_open(seed, in_it);
    while (world.asked_count < QUERIES) {
        for (uint64_t burst = world_below(&world, 40); burst && world.asked_count < QUERIES; burst--) {
            struct ask what = any_ask(in_it);
            if (ask_keyed(&what) < 0)
                break;
        }
        something_happens(in_it);
        (void)world_run(&world, (uint32_t)world_below(&world, 20),
                        world_below(&world, 3) ? world_below(&world, MS) : 0);
    }
    world_finish(&world);
    LAW(world.engine->hub.keys.count <= QUERIES, "%u keys", world.engine->hub.keys.count);
    world_close_engine(&world);
    sim_settle(world.sim);
    world_check_ledger(&world);
    check_orders();
    world_free(&world);
}

static void calm_seed(uint64_t seed) {
    storm_run(seed, 0);
}

static void group_seed(uint64_t seed) {
    storm_run(seed, GROUPS);
}

static void stale_seed(uint64_t seed) {
    storm_run(seed, STALE | (seed % 2 ? GROUPS : 0));
}

static void giving_up_seed(uint64_t seed) {
    storm_run(seed, GIVING_UP | (seed % 2 ? GROUPS : 0));
}

static void loss_seed(uint64_t seed) {
    storm_run(seed, LOSSES | (seed % 2 ? GIVING_UP : 0));
}

static void change_seed(uint64_t seed) {
    storm_run(seed, CHANGES | (seed % 2 ? GROUPS : 0));
}

static void any_seed(uint64_t seed) {
    storm_run(seed, (uint32_t)seed % (EVERYTHING + 1));
}

Test(sim_order_storm, queries_of_a_key_run_in_order) {
    seeds_run(50, calm_seed);
}

Test(sim_order_storm, groups_that_are_undone_keep_it) {
    seeds_run(100, group_seed);
}

Test(sim_order_storm, plans_that_are_stale_keep_it) {
    seeds_run(100, stale_seed);
}

Test(sim_order_storm, queries_that_are_given_up_keep_it) {
    seeds_run(100, giving_up_seed);
}

Test(sim_order_storm, a_lost_connection_closes_its_keys) {
    seeds_run(100, loss_seed);
}

Test(sim_order_storm, connections_that_are_replaced_keep_it) {
    seeds_run(100, change_seed);
}

Test(sim_order_storm, all_at_once) {
    seeds_run(300, any_seed);
}
