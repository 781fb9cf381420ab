/* SPDX-License-Identifier: MIT */
/*
 * What the library asks of the allocator: nothing at all for a query once it is warm; and when the n-th request is
 * refused, for each n, no query is lost, no block is leaked, and all works again after.
 */
#include "lib/alloc.h"
#include "lib/sim_world.h"

#include <criterion/criterion.h>

static struct world world;

/* ---- The simulation's own memory does not count ---- */

static struct port outer;

static struct port *leave(void) {
    sim_library_hook(false);
    return sim_port(world.sim);
}

static int outer_push(struct port *port, const struct port_op *op) {
    (void)port;
    struct port *inner = leave();
    int result = inner->methods->push(inner, op);
    sim_library_hook(true);
    return result;
}

static int outer_enter(struct port *port, uint32_t wait_count, uint64_t timeout_ns) {
    (void)port;
    struct port *inner = leave();
    int result = inner->methods->enter(inner, wait_count, timeout_ns);
    sim_library_hook(true);
    return result;
}

static uint32_t outer_collect(struct port *port, struct port_event *events, uint32_t capacity) {
    (void)port;
    struct port *inner = leave();
    uint32_t result = inner->methods->collect(inner, events, capacity);
    sim_library_hook(true);
    return result;
}

static uint64_t outer_now_ns(struct port *port) {
    (void)port;
    return sim_now_ns(world.sim);
}

static void outer_send_now(struct port *port, int fd, const void *bytes, size_t size) {
    (void)port;
    struct port *inner = leave();
    inner->methods->send_now(inner, fd, bytes, size);
    sim_library_hook(true);
}

static void outer_shutdown(struct port *port, int fd) {
    (void)port;
    struct port *inner = leave();
    inner->methods->shutdown(inner, fd);
    sim_library_hook(true);
}

static void outer_close(struct port *port, int fd) {
    (void)port;
    struct port *inner = leave();
    inner->methods->close(inner, fd);
    sim_library_hook(true);
}

static void outer_destroy(struct port *port) {
    (void)port;
    struct port *inner = leave();
    inner->methods->destroy(inner);
    sim_library_hook(true);
}

static const struct port_methods outer_methods = {
    .push = outer_push,
    .enter = outer_enter,
    .collect = outer_collect,
    .now_ns = outer_now_ns,
    .send_now = outer_send_now,
    .shutdown = outer_shutdown,
    .close = outer_close,
    .destroy = outer_destroy,
};

static void begin(const struct sim_options *sim) {
    outer = (struct port){.methods = &outer_methods, .poll_fd = -1, .inline_jobs = true, .info.setup = "simulated"};
    sim_library_hook = alloc_watch;
    world_begin(&world, sim, 4000);
}

TestSuite(sim_memory, .init = seeds_begin);

/* ---- Warm queries ask for nothing ---- */

/* Point selects in bursts, as a caller that keeps the connections busy sends them. */
static void selects(uint32_t count, uint32_t burst, uint32_t key_count) {
    for (uint32_t i = 0; i < count; i++) {
        struct ask ask = {.verb = i % 3 ? "select" : "null", .order_key = key_count ? 1 + i % key_count : 0};
        LAW(world_ask(&world, &ask) >= 0, "quring_submit: %s", quring_errmsg(world.engine));
        if ((i + 1) % burst == 0)
            world_finish(&world);
    }
    world_finish(&world);
}

static void expect_none(const struct sim_options *sim, const quring_db_options *db, uint32_t key_count) {
    quring_options engine = {.query_count = 256};
    begin(sim);
    LAW(world_open_engine(&world, &engine, &outer) == 0 && world_open_db(&world, db) == 0, "open");
    world_connect(&world, db->connection_count);
    selects(1500, 250, key_count); /* warms connections and slots up with more than they will have to do */
    uint64_t before = alloc_count();
    selects(2000, 128, key_count);
    cr_expect_eq(alloc_count(), before, "%llu allocations", (unsigned long long)(alloc_count() - before));
    world_close(&world);
}

Test(sim_memory, a_warm_query_allocates_nothing) {
    struct sim_options calm = {.seed = 1, .latency_ns = 1000};
    quring_db_options each = {.connection_count = 8, .depth = 16};
    quring_db_options group = {.connection_count = 8, .depth = 16, .commit = QURING_COMMIT_GROUP};
    quring_db_options one_by_one = {.connection_count = 8, .depth = 1};
    expect_none(&calm, &each, 0);
    expect_none(&calm, &each, 100);
    expect_none(&calm, &group, 0);
    expect_none(&calm, &group, 100);
    expect_none(&calm, &one_by_one, 0);
    expect_none(&calm, &one_by_one, 100);
}

static void batches(uint32_t count, uint32_t members) {
    struct ask asks[40];
    for (uint32_t i = 0; i < members; i++)
        asks[i] = (struct ask){.verb = i % 3 ? "select" : "null"};
    while (count--) {
        LAW(world_ask_batch(&world, asks, members) >= 0, "quring_submit_batch: %s", quring_errmsg(world.engine));
        if (count % 3 == 0)
            world_finish(&world);
    }
}

/* Batches that go at once, and such as are longer than the depth. */
Test(sim_memory, a_warm_batch_allocates_nothing) {
    struct sim_options calm = {.seed = 1, .latency_ns = 1000};
    quring_options engine = {.query_count = 256};
    quring_db_options db = {.connection_count = 4, .depth = 16};
    begin(&calm);
    LAW(world_open_engine(&world, &engine, &outer) == 0 && world_open_db(&world, &db) == 0, "open");
    world_connect(&world, db.connection_count);
    batches(40, 10);
    batches(40, 40);
    uint64_t before = alloc_count();
    batches(20, 10);
    batches(20, 40);
    cr_expect_eq(alloc_count(), before, "%llu allocations", (unsigned long long)(alloc_count() - before));
    world_close(&world);
}

Test(sim_memory, nor_does_it_in_bad_weather) {
    struct sim_options bad = {.seed = 1, .latency_ns = 5000, .split = 500, .short_send = 300, .again = 50, .busy = 30};
    quring_db_options db = {.connection_count = 8, .depth = 16};
    expect_none(&bad, &db, 0);
}

static void lite_queries(quring_db *db, const char *sql, uint32_t count) {
    quring_done done[64];
    for (uint32_t submitted = 0, ended = 0; ended < count;) {
        sim_library_hook(true);
        for (uint32_t i = 0; i < 64 && submitted < count; i++, submitted++) {
            quring_query query = {.db = db, .sql = sql, .params = QURING_PARAMS(quring_int64(submitted % 100))};
            LAW(quring_submit(world.engine, &query, NULL) == 0, "quring_submit: %s", quring_errmsg(world.engine));
        }
        LAW(quring_run(world.engine, 1, QURING_FOREVER) >= 0, "quring_run");
        int reaped = quring_reap(world.engine, done, 64);
        for (int i = 0; i < reaped; i++) {
            LAW(done[i].status == QURING_OK, "%s", done[i].error->message);
            quring_release(world.engine, done[i].id);
        }
        sim_library_hook(false);
        ended += (uint32_t)reaped;
    }
}

/* SQLite's own memory is its own affair. */
Test(sim_memory, a_warm_query_on_sqlite_allocates_nothing) {
    struct sim_options calm = {.seed = 1};
    quring_options engine = {.query_count = 256};
    quring_db *db;
    begin(&calm);
    LAW(world_open_engine(&world, &engine, &outer) == 0, "open");
    LAW(quring_db_open(world.engine, "sqlite://", NULL, &db) == 0, "%s", quring_errmsg(world.engine));
    lite_queries(db, "create table t as select cast($1 as integer) as id, 'a name' as name", 1);
    lite_queries(db, "insert into t values ($1, 'a name')", 300);
    lite_queries(db, "select * from t where id = $1 limit 1", 1000);
    uint64_t before = alloc_count();
    lite_queries(db, "select * from t where id = $1 limit 1", 2000);
    cr_expect_eq(alloc_count(), before, "reading: %llu allocations", (unsigned long long)(alloc_count() - before));
    before = alloc_count();
    lite_queries(db, "insert into t values ($1, 'a name')", 300);
    cr_expect_eq(alloc_count(), before, "writing: %llu allocations", (unsigned long long)(alloc_count() - before));
    world_close_engine(&world);
    world_free(&world);
}

/* ---- Each request in turn is refused ---- */

static void ask(const char *verb, uint32_t number, const char *sqlstate, quring_commit_mode commit) {
    struct ask what = {
        .verb = verb, .number = number, .sqlstate = sqlstate, .commit = commit, .timeout_ns = UINT64_C(60000000000)};
    int error = world_ask(&world, &what);
    LAW(error >= 0 || (error == QURING_ENOMEM && alloc_has_failed()), "quring_submit: %s", quring_strerror(error));
}

static void ask_for(const char *verb, uint64_t timeout_ns) {
    cr_assert_geq(world_ask(&world, &(struct ask){.verb = verb, .timeout_ns = timeout_ns}), 0);
}

/* Longer than the depth: a transaction. */
static void ask_long(void) {
    struct ask asks[10];
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
        asks[i] = (struct ask){.verb = i % 2 ? "insert" : "select", .timeout_ns = UINT64_C(60000000000)};
    int error = world_ask_batch(&world, asks, sizeof asks / sizeof *asks);
    LAW(error >= 0 || (error == QURING_ENOMEM && alloc_has_failed()), "quring_submit_batch: %s",
        quring_strerror(error));
    world_finish(&world);
}

static void ask_all(void) {
    ask("select", 0, NULL, QURING_COMMIT_EACH), ask("rows", 40, NULL, QURING_COMMIT_EACH);
    ask("error", 0, "22012", QURING_COMMIT_EACH), ask("big", 20000, NULL, QURING_COMMIT_EACH);
    for (int i = 0; i < 3; i++)
        ask("insert", 0, NULL, QURING_COMMIT_GROUP);
    ask("refuse", 0, "23505", QURING_COMMIT_GROUP), ask("select", 0, NULL, QURING_COMMIT_GROUP);
    world_finish(&world);
    ask_long();
}

static void use(void) {
    quring_db_options db = {.connection_count = 2, .depth = 4, .statement_count = 3};
    int error = world_open_db(&world, &db);
    if (error) {
        LAW(error == QURING_ENOMEM && alloc_has_failed(), "quring_db_open: %s", quring_strerror(error));
        return;
    }
    ask_all();
    sim_server_kill(&world.server, true);
    ask_all();
    if (!alloc_has_failed())
        return;
    alloc_fail_no_more();
    ask("select", 0, NULL, QURING_COMMIT_EACH);
    world_finish(&world);
    world_expect(&world, (int)world.asked_count - 1, QURING_OK, NULL);
}

static bool refuse_at(uint64_t nth, uint64_t calls) {
    struct sim_options sim = {.seed = nth, .latency_ns = 3000, .split = 100};
    int64_t live = alloc_live();
    begin(&sim);
    world.allowed = MAY_BE_LOST | MAY(LIMIT);
    world.poor = true;
    alloc_fail_at(nth, calls);
    quring_options options = {.query_count = 16};
    int error = world_open_engine(&world, &options, &outer);
    LAW(error == 0 || (error == QURING_ENOMEM && alloc_has_failed()), "quring_engine_open: %s", quring_strerror(error));
    if (!error) {
        use();
        world_close_engine(&world);
        sim_settle(world.sim);
        world_check_ledger(&world);
    }
    bool failed = alloc_has_failed();
    world_free(&world);
    LAW(alloc_live() == live, "%lld blocks leaked", (long long)(alloc_live() - live));
    return failed;
}

Test(sim_memory, each_allocation_in_turn_is_refused) {
    static const uint64_t calls[] = {1, 2, 7, 30};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        uint64_t nth = 1;
        while (refuse_at(nth, calls[i]))
            nth++;
        cr_assert_gt(nth, 100u);
    }
}

/* ---- What ends by time ends without memory ---- */

/* All connections fall silent, with every timer of theirs set, so that their queries, they and the outage end by time. */
Test(sim_memory, time_passes_without_memory) {
    enum { CONNS = 100 };
    const uint64_t second = UINT64_C(1000000000);
    struct sim_options calm = {.seed = 1};
    quring_options engine = {.query_count = 2 * CONNS, .connection_count = CONNS};
    quring_db_options db = {.connection_count = CONNS,
                            .depth = 1,
                            .connection_lifetime_ns = 100 * 3600 * second,
                            .silence_ns = 5 * second,
                            .reconnect_wait_ns = 10 * second};
    begin(&calm);
    world.allowed = MAY(TIMEOUT) | MAY_BE_LOST;
    world.poor = true;
    cr_assert(world_open_engine(&world, &engine, &outer) == 0 && world_open_db(&world, &db) == 0);
    world_connect(&world, CONNS);
    for (int i = 0; i < CONNS; i++)
        ask_for("silent", second);
    ask_for("select", 3600 * second);
    world_run(&world, 0, 0);
    alloc_fail_at(1, UINT32_MAX);
    world_pass(&world, 2 * second);
    cr_assert_eq(world.by_status[QURING_TIMEOUT], CONNS, "%u passed their timeout", world.by_status[QURING_TIMEOUT]);
    world_pass(&world, 5 * second);
    cr_assert_eq(world_stats(&world).connection_lost_count, CONNS, "%llu were lost",
                 (unsigned long long)world_stats(&world).connection_lost_count);
    world_pass(&world, 11 * second);
    world_expect(&world, CONNS, QURING_NOT_SENT, "53200");
    cr_assert(alloc_has_failed());
    alloc_fail_no_more();
    world_pass(&world, 2 * second);
    ask_for("select", 3600 * second);
    world_finish(&world);
    world_expect(&world, CONNS + 1, QURING_OK, NULL);
    world_close(&world);
}

static quring_done lite_run(quring_db *db, const char *sql) {
    quring_done done = {.status = QURING_NOT_SENT};
    sim_library_hook(true);
    LAW(quring_submit(world.engine, &(quring_query){.db = db, .sql = sql}, NULL) == 0 || alloc_has_failed(), "submit");
    while (quring_reap(world.engine, &done, 1) == 0 && quring_pending(world.engine))
        LAW(quring_run(world.engine, 1, QURING_FOREVER) >= 0, "quring_run");
    sim_library_hook(false);
    return done;
}

static int64_t lite_count(quring_db *db) {
    int64_t count;
    quring_done done = lite_run(db, "select count(*) from t");
    LAW(done.status == QURING_OK && quring_get_int64(done.result, 0, 0, &count) == 0, "%s", done.error->message);
    quring_release(world.engine, done.id);
    return count;
}

/* A write whose rows had no memory: its status is true to what became of it. */
static bool refuse_write_at(uint64_t nth) {
    static const char *const write = "insert into t values(1), (2), (3) returning a, printf('%.*c', 50000, 'x')";
    struct sim_options calm = {.seed = 1};
    quring_options engine = {.query_count = 16};
    quring_db *db;
    begin(&calm);
    LAW(world_open_engine(&world, &engine, &outer) == 0, "open");
    LAW(quring_db_open(world.engine, "sqlite://", NULL, &db) == 0, "%s", quring_errmsg(world.engine));
    lite_queries(db, "create table t as select $1 as a where false", 1);
    alloc_fail_at(nth, 1);
    quring_done done = lite_run(db, write);
    bool failed = alloc_has_failed();
    alloc_fail_no_more();
    int64_t written = done.status == QURING_OK || done.status == QURING_LIMIT ? 3 : 0;
    cr_expect_eq(lite_count(db), written, "request %llu refused: %s", (unsigned long long)nth,
                 quring_status_name(done.status));
    world_close_engine(&world);
    world_free(&world);
    return failed;
}

Test(sim_memory, a_write_without_memory_for_its_rows_says_whether_it_took_effect) {
    uint64_t nth = 1;
    while (refuse_write_at(nth))
        nth++;
    cr_assert_gt(nth, 3u);
}
