/* SPDX-License-Identifier: MIT */
/* How many connections there are at any time, under load, while they come and go by themselves: and no query suffers. */
#include "lib/sim_situation.h"
#include "pg/pg.h"

#include <criterion/criterion.h>

TestSuite(sim_sizes, .init = seeds_begin);

static const struct pg_pool *pool_now(void) {
    return &((const struct pg_db *)world.db)->pool;
}

/* ---- Options that contradict each other ---- */

Test(sim_sizes, options_that_contradict_each_other) {
    static const struct {
        quring_db_options options;
        const char *words;
    } rows[] = {
        {{.connection_count = 4, .connection_min_count = 5}, "connection_min_count 5 is more than connection_count 4"},
        {{.connection_min_count = 9}, "connection_min_count 9 is more than connection_count 8"},
        {{.exclusive = true, .connection_min_count = 1}, "never replaced"},
        {{.exclusive = true, .connection_idle_ns = SECOND}, "never replaced"},
        {{.exclusive = true, .connection_lifetime_ns = SECOND}, "never replaced"},
        {{.exclusive = true, .health_check_ns = SECOND}, "never replaced"},
        {{.health_check_ns = SECOND, .silence_ns = QURING_FOREVER}, "without silence_ns"},
    };
    open_one(4);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        quring_db *db = NULL;
        int error = quring_db_open(world.engine, "postgresql://x@127.0.0.1/x", &rows[i].options, &db);
        cr_assert_eq(error, QURING_EINVAL, "row %zu: %d", i, error);
        cr_assert(strstr(quring_errmsg(world.engine), rows[i].words), "%s", quring_errmsg(world.engine));
    }
    const quring_db_options never = {.connection_count = 2,
                                     .connection_idle_ns = QURING_FOREVER,
                                     .connection_lifetime_ns = QURING_FOREVER,
                                     .health_check_ns = QURING_FOREVER};
    cr_assert_eq(world_open_db(&world, &never), 0);
    world_connect(&world, 3);
    world_pass(&world, 100000 * SECOND);
    cr_assert_eq(world.server.connects, 3, "nothing comes and goes");
    world_close(&world);
}

/* ---- A model of the counts that are allowed ---- */

struct bounds {
    uint32_t least, most;
    uint32_t asked;    /* connection_min_count, which is what the least number would be if it could; 0: the most */
    bool reached;      /* the least number was up once */
    uint32_t most_was; /* until then, because what is too many ends with its queries */
    uint64_t shrunk_until, drained_until;
};

enum { LONGEST_SECONDS = 20 }; /* queries of up to 0.4 s, one behind the other, and all that waits for their place */

static quring_db_options draw_options(void) {
    quring_db_options options = {.connection_count = 1 + (uint32_t)world_below(&world, 10)};
    options.connection_min_count = (uint32_t)world_below(&world, options.connection_count + 1);
    options.depth = 1 + (uint32_t)world_below(&world, 8);
    options.connection_idle_ns = world_below(&world, 2) * (1 + world_below(&world, 5)) * SECOND;
    options.connection_lifetime_ns = world_below(&world, 4) ? (5 + world_below(&world, 15)) * SECOND : 0;
    options.health_check_ns = world_below(&world, 2) * (1 + world_below(&world, 2000)) * MS;
    return options;
}

/* What the server sees at its end may lag by connections of which one has just ended for another to begin. */
static void check(struct bounds *bounds) {
    const struct pg_pool *pool = pool_now();
    uint64_t now_ns = sim_now_ns(world.sim);
    bool drained = now_ns < bounds->drained_until;
    uint32_t there = sim_server_conn_count(&world.server), most = bounds->most;
    if (now_ns < bounds->shrunk_until && most < bounds->most_was)
        most = bounds->most_was;
    LAW(there <= most + 1 + (drained ? most / 2 : 0), "%u connections, of %u at most", there, most);
    LAW(world_stats(&world).connection_count <= most, "%u", world_stats(&world).connection_count);
    bounds->reached |= pool->ready_count >= bounds->least;
    uint32_t missing = bounds->least == bounds->most;
    if (missing && drained && bounds->most / 2 > 1)
        missing = bounds->most / 2;
    LAW(!bounds->reached || pool->ready_count + missing >= bounds->least, "%u are ready, of %u at least",
        pool->ready_count, bounds->least);
}

static void ask_some(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct ask what = {.verb = "select"};
        if (world_below(&world, 4) == 0)
            what = (struct ask){.verb = "sleep", .number = (uint32_t)world_below(&world, 400000)};
        else if (world_below(&world, 3) == 0)
            what = (struct ask){.verb = "insert", .commit = QURING_COMMIT_GROUP};
        world_ask(&world, &what);
    }
}

static void resize(struct bounds *bounds) {
    uint32_t most = 1 + (uint32_t)world_below(&world, 12), least = bounds->asked ? bounds->asked : most;
    cr_assert_eq(quring_db_resize(world.db, most), 0);
    uint32_t seen = world_stats(&world).connection_count;
    if (sim_now_ns(world.sim) >= bounds->shrunk_until || bounds->most_was < seen)
        bounds->most_was = seen;
    bounds->shrunk_until = sim_now_ns(world.sim) + LONGEST_SECONDS * SECOND;
    bounds->reached = false;
    bounds->most = most;
    bounds->least = least < most ? least : most;
}

static void drain(struct bounds *bounds) {
    cr_assert_eq(quring_db_drain(world.db), 0);
    bounds->drained_until = sim_now_ns(world.sim) + LONGEST_SECONDS * SECOND;
}

static void run_model(uint64_t seed) {
    struct sim_options sim = {.seed = seed, .latency_ns = 100000, .short_delivery = 50, .split = 50};
    quring_options engine = {.query_count = 500, .connection_count = 64};
    world_begin(&world, &sim, 4000);
    cr_assert_eq(world_open_engine(&world, &engine, NULL), 0);
    quring_db_options options = draw_options();
    cr_assert_eq(world_open_db(&world, &options), 0);
    struct bounds bounds = {.asked = options.connection_min_count, .most = options.connection_count};
    bool changes = world_below(&world, 2);
    bounds.least = bounds.asked ? bounds.asked : bounds.most;
    uint64_t until = sim_now_ns(world.sim) + 60 * SECOND;
    while (sim_now_ns(world.sim) < until) {
        if (world.accepted_count < 3900 && world.accepted_count - world.ended_count < 400)
            ask_some((uint32_t)world_below(&world, world_below(&world, 10) ? 4 : 30));
        if (changes && world_below(&world, 40) == 0)
            resize(&bounds);
        if (changes && world_below(&world, 40) == 0)
            drain(&bounds);
        world_pass(&world, world_below(&world, world_below(&world, 20) ? 200 * MS : 4 * SECOND) + 1);
        check(&bounds);
    }
    world_finish(&world);
    quring_stats stats = world_stats(&world);
    LAW(stats.connection_lost_count == 0 && stats.connect_failure_count == 0, "%lu were lost",
        (unsigned long)stats.connection_lost_count);
    if (options.connection_lifetime_ns && !changes)
        LAW(stats.connect_count >= bounds.least * (60 * SECOND / (options.connection_lifetime_ns + SECOND)),
            "%lu connections in a minute", (unsigned long)stats.connect_count);
    world_pass(&world, 30 * SECOND);
    if (options.connection_idle_ns && !options.connection_lifetime_ns)
        LAW(pool_now()->ready_count <= bounds.least + 1, "%u are up, idle", pool_now()->ready_count);
    check(&bounds);
    world_close(&world);
}

Test(sim_sizes, connections_come_and_go_within_their_bounds) {
    seeds_run(150, run_model);
}

/* ---- Drain and resize under load ---- */

/* Queries go on all the time; `happens` is called a second into it. */
static void under_load(uint32_t connections, void (*happens)(void)) {
    struct sim_options sim = {.seed = 7, .latency_ns = 100000};
    quring_options engine = {.query_count = 2000, .connection_count = 64};
    quring_db_options db = {.connection_count = connections, .depth = 4};
    world_open(&world, &sim, &engine, &db, 60000);
    world_connect(&world, connections);
    for (int i = 0; i < 500; i++) {
        if (i == 100)
            happens();
        if (world.accepted_count - world.ended_count < 100)
            ask_some(20);
        world_pass(&world, 10 * MS);
    }
    world_finish(&world);
    LAW(world.by_status[QURING_OK] == world.accepted_count && world.accepted_count > 100, "%u of %u OK",
        world.by_status[QURING_OK], world.accepted_count);
    world_pass(&world, SECOND);
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
}

static void drain_all(void) {
    cr_assert_eq(quring_db_drain(world.db), 0);
}

Test(sim_sizes, a_drain_under_load_replaces_all_and_costs_no_query) {
    for (uint32_t connections = 1; connections <= 9; connections += 2) {
        under_load(connections, drain_all);
        cr_assert_eq(world.server.connects, 2 * connections);
        cr_assert_eq(world.server.terminates, connections);
        cr_assert_eq(sim_server_conn_count(&world.server), connections);
        world_close(&world);
    }
}

/* The connections beside it are idle, or as busy with queries that are short. */
static void drain_past_a_long_query(uint32_t short_ones) {
    quring_db_options db = {.connection_count = 8, .depth = 2};
    open_world(&db);
    world_connect(&world, 8);
    ask("sleep", 60 * 1000 * 1000, NULL);
    world_pass(&world, SECOND);
    drain_all();
    for (int i = 0; i < 100; i++) {
        for (uint32_t n = world.accepted_count - world.ended_count; n < 1 + short_ones; n++)
            ask("sleep", 3000 + 100 * (n % 7), NULL);
        world_pass(&world, 10 * MS);
    }
    cr_assert_eq(world.server.connects, 15, "%u connections, all but one of which were replaced",
                 world.server.connects);
    world_finish(&world);
    world_pass(&world, SECOND);
    cr_assert_eq(world.server.connects, 16);
    cr_assert_eq(world_stats(&world).connection_lost_count, 0);
    world_close(&world);
}

Test(sim_sizes, a_drain_goes_past_a_query_that_takes_long) {
    drain_past_a_long_query(0);
    drain_past_a_long_query(7);
    drain_past_a_long_query(14);
}

static void grow(void) {
    cr_assert_eq(quring_db_resize(world.db, 20), 0);
}

static void shrink(void) {
    cr_assert_eq(quring_db_resize(world.db, 2), 0);
}

Test(sim_sizes, a_resize_under_load_costs_no_query) {
    under_load(8, grow);
    cr_assert(sim_server_conn_count(&world.server) == 20 && world.server.connects == 20);
    world_close(&world);
    under_load(8, shrink);
    cr_assert(sim_server_conn_count(&world.server) == 2 && world.server.connects == 8);
    cr_assert_eq(world.server.terminates, 6);
    world_close(&world);
}

/* Neither call sends, receives or connects. */
Test(sim_sizes, resize_and_drain_do_nothing_before_the_next_run) {
    quring_db_options db = {.connection_count = 4};
    open_world(&db);
    world_connect(&world, 4);
    world_pass(&world, SECOND);
    uint64_t enters = world_stats(&world).enter_count;
    drain_all();
    shrink();
    grow();
    sim_settle(world.sim);
    cr_assert(world.server.connects == 4 && world.server.terminates == 0);
    cr_assert_eq(world_stats(&world).enter_count, enters);
    world_pass(&world, SECOND);
    cr_assert_eq(sim_server_conn_count(&world.server), 20);
    world_close(&world);
}

/* The engine has 64 sockets: what one handle gives back another may take. */
Test(sim_sizes, resize_keeps_to_the_sockets_of_the_engine) {
    quring_db_options db = {.connection_count = 60};
    open_world(&db);
    world_connect(&world, 60);
    cr_assert_eq(quring_db_resize(world.db, 65), QURING_EFULL);
    cr_assert(strstr(quring_errmsg(world.engine), "connection_count 65"));
    cr_assert_eq(quring_db_resize(world.db, 0), QURING_EINVAL);
    cr_assert_eq(quring_db_resize(world.db, 10001), QURING_EINVAL);
    cr_assert_eq(quring_db_resize(world.db, 64), 0);
    world_connect(&world, 64);
    quring_db *first = world.db;
    const quring_db_options ten = {.connection_count = 10};
    cr_assert_eq(world_open_db(&world, &ten), QURING_EFULL);
    cr_assert_eq(quring_db_resize(first, 54), 0);
    cr_assert_eq(world_open_db(&world, &ten), QURING_EFULL, "they have not ended");
    world_pass(&world, SECOND);
    cr_assert_eq(world_open_db(&world, &ten), 0);
    world_connect(&world, 64);
    cr_assert_eq(quring_db_resize(first, 55), QURING_EFULL);
    world_close(&world);
}

/* The new password is wrong: one connection is lost for it, and the others serve on. */
Test(sim_sizes, a_drain_goes_no_further_while_no_successor_can_be_made) {
    quring_db_options db = {.connection_count = 8};
    open_world(&db);
    world_connect(&world, 8);
    world.server.refusal = "28P01";
    world.server.refusals_left = UINT32_MAX;
    drain_all();
    for (int i = 0; i < 100; i++) {
        ask("select", 0, NULL);
        world_finish(&world);
        world_pass(&world, SECOND);
    }
    cr_assert_eq(sim_server_conn_count(&world.server), 7);
    world.server.refusals_left = 0;
    drain_all(); /* what was refused for good is tried again, now */
    world_pass(&world, SECOND);
    cr_assert_eq(sim_server_conn_count(&world.server), 8);
    cr_assert_eq(world.server.connects, 16, "%u", world.server.connects);
    world_close(&world);
}

/* There may be one alone since the second was refused: that one goes on, however old, until a drain tries again. */
Test(sim_sizes, the_last_connection_stays_while_the_server_refuses) {
    quring_db_options db = {.connection_count = 2, .connection_lifetime_ns = 10 * SECOND};
    open_world(&db);
    world_connect(&world, 2);
    world.server.refusal = "28P01";
    world.server.refusals_left = UINT32_MAX;
    world_pass(&world, 15 * SECOND);
    cr_assert_eq(sim_server_conn_count(&world.server), 1);
    cr_assert_eq(quring_db_resize(world.db, 1), 0);
    for (int i = 0; i < 100; i++) {
        ask("select", 0, NULL);
        world_pass(&world, SECOND);
        quring_db_info info;
        cr_assert_eq(quring_db_status(world.db, &info), 0);
        cr_assert(info.state == QURING_DB_UP && info.up_count == 1, "%s", quring_db_state_name(info.state));
    }
    world_finish(&world);
    world.server.refusals_left = 0;
    uint32_t connects = world.server.connects;
    drain_all();
    world_pass(&world, SECOND);
    cr_assert_eq(world.server.connects, connects + 1);
    world_close(&world);
}

Test(sim_sizes, neither_resize_nor_drain_of_an_exclusive_handle_or_of_none) {
    quring_db_options db = {.exclusive = true};
    open_world(&db);
    cr_assert_eq(quring_db_resize(world.db, 1), QURING_EUNSUPPORTED);
    cr_assert_eq(quring_db_drain(world.db), QURING_EUNSUPPORTED);
    cr_assert(strstr(quring_errmsg(world.engine), "never replaced"));
    quring_db *lite;
    cr_assert_eq(quring_db_open(world.engine, "sqlite://", NULL, &lite), 0);
    cr_assert_eq(quring_db_resize(lite, 4), QURING_EUNSUPPORTED);
    cr_assert_eq(quring_db_drain(lite), QURING_EUNSUPPORTED);
    cr_assert_eq(quring_db_resize(NULL, 4), QURING_EINVAL);
    cr_assert_eq(quring_db_drain(NULL), QURING_EINVAL);
    quring_shutdown(world.engine, 0);
    cr_assert_eq(quring_db_drain(world.db), QURING_ESHUTDOWN);
    world_close(&world);
}
