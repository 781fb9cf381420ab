/* SPDX-License-Identifier: MIT */
/*
 * Storms over SQLite's lanes: the whole engine on real files, with threads and time from a seed (lib/sim_threads.h). The
 * oracle is the test's own: what it asked for, what it was told, and what another connection finds in the file.
 *
 *   once        every query that was accepted ends exactly once; a read runs once
 *   its own     an OK brings the query's own number
 *   the truth   a write that is OK is in the table once; one that failed, or was not sent, is not; any other once at most
 *   order       the writes of one handle took effect in the order in which they were submitted
 *   seen        a read sees every write that ended OK, and all that an earlier read saw, before it was submitted
 *   snapshot    all reads of one transaction see the same
 *   work        no read waits for a lane in a long statement while another lane is idle and the reactor sleeps
 *   its events  of every second seed: see events.h
 *   rest        in the end no lane is busy or in a transaction, no queue holds anything, nothing is counted that is not there
 */
#include "lib/sim_lite.h"

#include "base/owner.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "lib/events.h"
#include "lib/seeds.h"
#include "lite/db.h"
#include "lite/lane.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { MS = 1000000, QUERIES_MAX = 100, ROOM = 2 };

/* What a storm has in it besides reads and writes of any length. */
enum {
    GROUPS = 1,    /* members of groups */
    ERRORS = 2,    /* statements that fail, and that end a group's transaction */
    GIVING_UP = 4, /* timeouts and cancels */
    CLOSING = 8,   /* a handle is closed in the middle of it, and another opened */
    LOCKS = 16,    /* somebody else writes to the file, and holds a snapshot of it, for long */
    SIBLINGS = 32, /* two handles on the same file */
    ALONE = 64,    /* exclusive handles: one lane for all */
    ANYTHING = 128
};

/* ---- What is asked ---- */

#define ROWS "with recursive n(i) as (select 1 union all select i + 1 from n where i < $2) "

enum kind { READ, WRITE, SLY_WRITE, PRAGMA, FAILING_READ, NO_STATEMENT, FAILING_WRITE, FATAL_WRITE, KINDS };

static const struct {
    const char *sql;
    uint32_t param_count;
    bool writes;
    const char *sqlstate; /* that it ends with; NULL: it is OK */
} kinds[KINDS] = {
    [READ] = {ROWS "select $1, (select count(*) from log), (select count(*) from log where who = $3), count(*) from n",
              3, false, NULL},
    [WRITE] = {"insert into log(who, n) " ROWS "select $1, count(*) from n returning who", 2, true, NULL},
    /* sim_lite.h has it taken for a read. */
    [SLY_WRITE] = {ROWS "insert into log(who, n) select $1, count(*) from n returning who", 2, true, NULL},
    [PRAGMA] = {"pragma user_version", 0, false, NULL},
    [FAILING_READ] = {"select abs(-9223372036854775808), $1", 1, false, "22003"},
    [NO_STATEMENT] = {"select nope", 0, false, "42703"},
    [FAILING_WRITE] = {"insert into log(who, lone) values ($1, 1)", 1, true, "23505"},
    [FATAL_WRITE] = {"insert or rollback into log(who, lone) values ($1, 1)", 1, true, "23505"},
};

struct asked {
    enum kind kind;
    uint32_t rows;    /* what it costs */
    uint32_t witness; /* READ: a write that had ended OK; its own number: none had */
    int64_t floor;    /* READ: so many rows it must see */
    quring_db *db;
    quring_id id;
    bool cancelled, timed, closed; /* what may have ended it */
    bool ended;
    bool unsent;
    uint8_t status;
    uint32_t ran_count; /* READ: executions that came to a row */
};

/* Fits on no stack of a test's. */
static struct world {
    uint32_t in_it;
    quring_engine *engine;
    struct events events;
    quring_db_options options;
    quring_db *handles[ROOM];
    struct asked asked[QUERIES_MAX];
    uint32_t asked_count, ended_count;
    uint32_t acked[QUERIES_MAX]; /* writes that ended OK */
    uint32_t acked_count, write_count;
    int64_t seen; /* by any read so far */
    bool was_wal; /* the file, before the first query */
    uint32_t costs[4];
    pthread_t foreigner;
    bool foreigner_stops;
} world;

static char directory[64], path[96], url[112];

static bool chance(uint64_t of) {
    return threads_draw(of) == 0;
}

/* ---- Looking over SQLite's shoulder ---- */

bool __real_offload_waiting(const struct ring *ring); /* sim_lite.c has made the other one a point */

/* A read's row. memo: the transaction that was last seen, and what it saw. */
static void stepped(const struct sim_lite_step *step) {
    sqlite3_stmt *statement = step->statement;
    if (step->code != SQLITE_ROW || strncmp(sqlite3_sql(statement), kinds[READ].sql, strlen(kinds[READ].sql)) != 0)
        return;
    int64_t who = sqlite3_column_int64(statement, 0), count = sqlite3_column_int64(statement, 1);
    LAW(who >= 0 && who < world.asked_count, "nobody asked for %lld", (long long)who);
    LAW(++world.asked[who].ran_count == 1, "read %lld ran %u times", (long long)who, world.asked[who].ran_count);
    if (sqlite3_get_autocommit(sqlite3_db_handle(statement)))
        return;
    if (step->memo[0] == (int64_t)step->begun_count)
        LAW(step->memo[1] == count, "in one transaction a read saw %lld rows, and read %lld sees %lld",
            (long long)step->memo[1], (long long)who, (long long)count);
    step->memo[0] = (int64_t)step->begun_count;
    step->memo[1] = count;
}

static void check_work(quring_db *db) {
    struct lite_db *lite = base_container_of(db, struct lite_db, base);
    uint32_t working = 0, idle = 0;
    for (uint32_t i = 1; i < lite->lane_count; i++) {
        const struct lite_lane *lane = &lite->lanes[i];
        bool calls = lane->shared.phase != LANE_IDLE && lane->own.news.call_count; /* is about to call the others */
        working += lite_lane_attends(lane) || calls;
        idle += lane->shared.phase == LANE_IDLE;
    }
    bool barred = lane_queue_barred(&lite->reads) || lite->lanes[0].own.news.call_count;
    LAW(lite->state != LITE_OPEN || !lane_queue_count(&lite->reads) || working || !idle || barred,
        "%u reads wait, %u lanes are idle, and the reactor sleeps", lane_queue_count(&lite->reads), idle);
}

static void looked(void) {
    bool asleep = sim_lite_asleep() && !__real_offload_waiting(world.engine->hub.ring);
    for (uint32_t i = 0; asleep && i < ROOM && world.handles[i]; i++)
        check_work(world.handles[i]);
}

/* ---- Another program with the same file ---- */

static int foreign_nap(void *argument, int n) {
    (void)argument;
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    return n < 100000;
}

static void foreign_exec(sqlite3 *handle, const char *sql) {
    int code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    LAW(code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY, "%s: %s", sql, sqlite3_errmsg(handle));
}

static sqlite3 *foreign_open(void) {
    sqlite3 *handle;
    LAW(sqlite3_open(path, &handle) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
    sqlite3_busy_handler(handle, foreign_nap, NULL);
    return handle;
}

static void *foreigner_main(void *argument) {
    (void)argument;
    sqlite3 *handle = foreign_open();
    while (!world.foreigner_stops) {
        foreign_exec(handle,
                     chance(2) ? "begin immediate; insert into other values (1)" : "begin; select * from other");
        nanosleep(&(struct timespec){.tv_nsec = (long)threads_draw(chance(3) ? 30 * MS : MS)}, NULL);
        foreign_exec(handle, chance(4) ? "rollback" : "commit");
        nanosleep(&(struct timespec){.tv_nsec = (long)threads_draw(4 * MS)}, NULL);
    }
    sqlite3_close(handle);
    return NULL;
}

static void make_file(void) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
    sqlite3 *handle = foreign_open();
    foreign_exec(handle, "pragma synchronous = off");
    foreign_exec(handle, "begin; create table log(id integer primary key, who integer, n integer, lone integer unique);"
                         "create index log_who on log(who); create table other(a);"
                         "insert into log(who, lone) values (-1, 1); commit");
    world.was_wal = chance(2);
    if (world.was_wal)
        foreign_exec(handle, "pragma journal_mode = wal");
    sqlite3_close(handle);
}

/* ---- Begin ---- */

static void open_handle(uint32_t i) {
    int error = quring_db_open(world.engine, url, &world.options, &world.handles[i]);
    LAW(error == 0, "quring_db_open: %s", quring_errmsg(world.engine));
}

static void draw_options(void) {
    static const uint64_t busy_ns[] = {2 * MS, 60 * MS, (uint64_t)5000 * MS};
    static const uint32_t depths[] = {1, 3, 12, 0};
    world.options = (quring_db_options){
        .connection_count = 1 + (uint32_t)threads_draw(chance(3) ? 8 : 3),
        .depth = depths[threads_draw(4)],
        .exclusive = world.in_it & ALONE,
        .statement_count = chance(4) ? 1 + (uint32_t)threads_draw(4) : 0,
        .commit = world.in_it & GROUPS && chance(2) ? QURING_COMMIT_GROUP : QURING_COMMIT_DEFAULT,
        .durability = QURING_DURABILITY_OFF,
        .busy_timeout_ns = busy_ns[threads_draw(3)],
    };
    if (world.options.exclusive) { /* which goes with neither */
        world.options.connection_count = 0;
        world.options.commit = QURING_COMMIT_DEFAULT;
    }
    for (int i = 0; i < 4; i++) /* of nothing, 0.1, 1 and 10 milliseconds */
        world.costs[i] = (uint32_t)threads_draw(i == 3 ? 3 : 10);
    world.costs[0]++;
}

static void world_open(uint64_t seed, uint32_t in_it) {
    struct rng rng = {seed * 3003};
    memset(&world, 0, sizeof world);
    (void)owner_claim(); /* looks at the clock when this thread first needs it, in the first seed alone */
    threads_begin(&(struct threads_options){.seed = seed,
                                            .start_ns = 1000000000u + rng_next(&rng) % 1000000007u,
                                            .switch_chance = (uint16_t)(1u << (3 + rng_below(&rng, 7)))});
    sim_lite_begin(&(struct sim_lite_options){.look_steps = 10 + (int)rng_below(&rng, 50),
                                              .frame_factor = (int[]){1, 30, 400, 4000}[rng_below(&rng, 4)],
                                              .commit_refusals = rng_below(&rng, 2) ? 200 : 0,
                                              .deaf_steps = in_it & GIVING_UP && rng_below(&rng, 2) ? 20 : 0,
                                              .stepped = stepped,
                                              .looked = looked});
    world.in_it = in_it;
    make_file();
    draw_options();
    engine_use_port(sim_lite_port());
    quring_options options = {.query_count = 8 + (uint32_t)threads_draw(QUERIES_MAX),
                              .spin_ns = chance(4) ? threads_draw(100000) : 0,
                              .trace_count = seed % 2 ? 20000 : 0};
    int error = quring_engine_open(&options, &world.engine);
    LAW(error == 0, "quring_engine_open: %s", quring_strerror(error));
    if (options.trace_count)
        events_begin(&world.events, world.engine, QUERIES_MAX, true);
    for (uint32_t i = 0; i < (in_it & SIBLINGS ? ROOM : 1); i++)
        open_handle(i);
    if (in_it & LOCKS)
        pthread_create(&world.foreigner, NULL, foreigner_main, NULL);
}

/* ---- Asking ---- */

static uint32_t any_cost(void) {
    static const uint32_t rows[] = {1, 8, 80, 800};
    uint64_t drawn = threads_draw(world.costs[0] + world.costs[1] + world.costs[2] + world.costs[3]);
    for (int i = 0; i < 3; i++) {
        if (drawn < world.costs[i])
            return rows[i];
        drawn -= world.costs[i];
    }
    return rows[3];
}

static enum kind any_kind(void) {
    uint64_t drawn = threads_draw(100);
    if (world.in_it & ERRORS && drawn < 15)
        return FAILING_READ + (enum kind)(drawn % 4);
    return drawn < 65 ? READ : drawn < 90 ? WRITE : drawn < 98 ? SLY_WRITE : PRAGMA;
}

static bool ask(void) {
    struct asked *asked = &world.asked[world.asked_count];
    *asked = (struct asked){.kind = any_kind(), .rows = any_cost(), .witness = world.asked_count};
    asked->db = world.handles[world.in_it & SIBLINGS ? threads_draw(ROOM) : 0];
    asked->floor = world.seen > world.acked_count ? world.seen : world.acked_count;
    if (world.acked_count)
        asked->witness = world.acked[threads_draw(world.acked_count)];
    char sql[320];
    /* A text moves from a reader to the writer once: so each is another. */
    snprintf(sql, sizeof sql, asked->kind == SLY_WRITE ? "%s -- %u" : "%s", kinds[asked->kind].sql, world.asked_count);
    quring_param params[] = {quring_int64(world.asked_count), quring_int64(asked->rows), quring_int64(asked->witness)};
    quring_query query = {.db = asked->db,
                          .sql = sql,
                          .params = params,
                          .param_count = kinds[asked->kind].param_count,
                          .user_data = world.asked_count};
    if (world.in_it & GROUPS)
        query.commit = (quring_commit_mode)threads_draw(3);
    if (world.in_it & GIVING_UP && chance(4))
        query.timeout_ns = 1 + threads_draw(chance(2) ? 20 * MS : MS);
    asked->timed = query.timeout_ns > 0;
    int error = quring_submit(world.engine, &query, &asked->id);
    LAW(error == 0 || error == QURING_EFULL, "quring_submit: %s", quring_strerror(error));
    if (error)
        return false;
    world.write_count += kinds[asked->kind].writes;
    world.asked_count++;
    return true;
}

/* ---- What was answered ---- */

static int64_t number(const quring_result *result, uint32_t column) {
    int64_t value;
    LAW(quring_row_count(result) == 1, "%d rows", (int)quring_row_count(result));
    int error = quring_get_int64(result, 0, column, &value);
    LAW(error == 0, "column %u: %s", column, quring_strerror(error));
    return value;
}

static void check_read(uint32_t index, const quring_result *result) {
    struct asked *asked = &world.asked[index];
    int64_t count = number(result, 1) - 1; /* one was there before */
    LAW(number(result, 3) == asked->rows, "read %u has the rows of another", index);
    LAW(asked->ran_count == 1, "read %u ran %u times", index, asked->ran_count);
    LAW(asked->witness == index || number(result, 2) == 1, "read %u does not see write %u, which had ended", index,
        asked->witness);
    LAW(count >= asked->floor && count <= world.write_count, "read %u sees %lld rows, not %lld to %u", index,
        (long long)count, (long long)asked->floor, world.write_count);
    if (count > world.seen)
        world.seen = count;
}

static void check_ok(uint32_t index, const quring_result *result) {
    enum kind kind = world.asked[index].kind;
    LAW(!kinds[kind].sqlstate, "query %u is OK", index);
    if (kind == READ || kinds[kind].writes)
        LAW(number(result, 0) == index, "query %u has the answer of %lld", index, (long long)number(result, 0));
    if (kind == READ)
        check_read(index, result);
    if (kinds[kind].writes) {
        LAW(quring_affected_count(result) == 1, "write %u changed %d rows", index, (int)quring_affected_count(result));
        world.acked[world.acked_count++] = index;
    }
}

static bool may_end_so(const struct asked *asked, quring_status status, const char *sqlstate) {
    /* For locks of others, and never for those of the handle's own reads. */
    bool waits = world.in_it & (LOCKS | SIBLINGS | CLOSING);
    switch (status) {
    case QURING_NOT_SENT: /* the file could not be opened */
        return waits && strcmp(sqlstate, "55P03") == 0;
    case QURING_SERVER_ERROR:
        return (kinds[asked->kind].sqlstate && strcmp(kinds[asked->kind].sqlstate, sqlstate) == 0) ||
               (waits && strcmp(sqlstate, "55P03") == 0);
    case QURING_CANCELLED:
        return asked->cancelled;
    case QURING_TIMEOUT:
        return asked->timed;
    case QURING_SHUTDOWN:
        return asked->closed;
    default:
        return false;
    }
}

static void check_done(const quring_done *done) {
    uint32_t index = (uint32_t)done->user_data;
    LAW(index < world.asked_count, "query %u was never asked", index);
    struct asked *asked = &world.asked[index];
    LAW(!asked->ended && done->id == asked->id, "query %u ended twice", index);
    asked->ended = true;
    asked->status = (uint8_t)done->status;
    asked->unsent = done->status != QURING_OK && !done->sent;
    events_reaped(&world.events, done);
    world.ended_count++;
    if (done->status == QURING_OK)
        check_ok(index, done->result);
    else
        LAW(may_end_so(asked, done->status, done->error->sqlstate), "query %u (%s) ended with %s: %s %s", index,
            kinds[asked->kind].sql, quring_status_name(done->status), done->error->sqlstate, done->error->message);
    LAW(quring_release(world.engine, done->id) == 0, "quring_release");
}

static void reap(void) {
    quring_done done[16];
    int count;
    while ((count = quring_reap(world.engine, done, 1 + (uint32_t)threads_draw(16))) > 0)
        for (int i = 0; i < count; i++)
            check_done(&done[i]);
}

static void run(uint32_t min_count, uint64_t timeout_ns) {
    int ready = quring_run(world.engine, min_count, timeout_ns);
    LAW(ready >= 0, "quring_run: %s", quring_errmsg(world.engine));
    reap();
    LAW(quring_pending(world.engine) == world.asked_count - world.ended_count, "%u are pending, not %u",
        quring_pending(world.engine), world.asked_count - world.ended_count);
}

/* ---- A storm ---- */

static void close_and_open(uint32_t i) {
    for (uint32_t n = 0; n < world.asked_count; n++)
        if (world.asked[n].db == world.handles[i])
            world.asked[n].closed = true;
    quring_db_close(world.handles[i]);
    open_handle(i);
}

static void something_happens(void) {
    if (world.in_it & GIVING_UP && world.asked_count && chance(3)) {
        struct asked *asked = &world.asked[threads_draw(world.asked_count)];
        if (quring_cancel(world.engine, asked->id) == 0)
            asked->cancelled = true;
    }
    if (world.in_it & CLOSING && chance(12))
        close_and_open(world.in_it & SIBLINGS ? (uint32_t)threads_draw(ROOM) : 0);
    if (chance(30))
        quring_wake(world.engine);
}

static void blow(uint32_t query_count) {
    uint64_t burst_most = 1 + threads_draw(30);
    while (world.asked_count < query_count) {
        for (uint64_t burst = threads_draw(burst_most + 1); burst && world.asked_count < query_count; burst--)
            if (!ask())
                break;
        something_happens();
        run((uint32_t)threads_draw(20), chance(3) ? 0 : threads_draw(chance(2) ? 5 * MS : MS / 10));
    }
}

static void finish(void) {
    while (world.ended_count < world.asked_count)
        run(1, QURING_FOREVER);
}

/* Of all handles, in the middle of it. */
static void end_engine(bool by_shutdown) {
    for (uint32_t i = 0; i < world.asked_count; i++)
        world.asked[i].closed = true;
    if (by_shutdown) {
        int ready = quring_shutdown(world.engine, chance(2) ? threads_draw(20 * MS) : 0);
        LAW(ready == (int)quring_pending(world.engine), "%d ready of %u pending", ready, quring_pending(world.engine));
        finish();
        return;
    }
    quring_engine_close(world.engine); /* with its queries out: nobody sees how they end */
    world.engine = NULL;
    for (uint32_t i = 0; i < world.asked_count; i++)
        if (!world.asked[i].ended)
            world.asked[i].status = QURING_SHUTDOWN;
}

/* ---- The end ---- */

static void check_lane_queue(const struct lane_queue *queue) {
    LAW(lane_queue_count(queue) == 0, "%u places of a queue are in use", lane_queue_count(queue));
    LAW(queue->held_count == 0, "%u queries are held", queue->held_count);
}

static void check_rest(quring_db *db) {
    struct lite_db *lite = base_container_of(db, struct lite_db, base);
    LAW(lite->reads_count == 0 && lite->writes_count == 0, "%u reads and %u writes are left", lite->reads_count,
        lite->writes_count);
    check_lane_queue(&lite->reads);
    check_lane_queue(&lite->writes);
    for (uint32_t i = 0; i < lite->lane_count; i++) {
        const struct lite_lane *lane = &lite->lanes[i];
        LAW(lane->shared.phase == LANE_IDLE, "lane %u is busy", i);
        LAW(!lane->conn.handle || !lite_conn_in_transaction(&lane->conn), "lane %u is in a transaction", i);
        LAW(!lane->reactor.jobs[0].in_use && !lane->reactor.jobs[1].in_use, "a job of lane %u never came back", i);
    }
}

static void check_rows(void) {
    sqlite3 *handle = foreign_open();
    sqlite3_stmt *rows;
    uint32_t found[QUERIES_MAX] = {0};
    int64_t last[ROOM] = {-1, -1};
    sqlite3_prepare_v2(handle, "select who from log where who >= 0 order by id", -1, &rows, NULL);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        int64_t who = sqlite3_column_int64(rows, 0);
        LAW(who < world.asked_count && ++found[who] == 1, "row %lld is there twice", (long long)who);
        const struct asked *asked = &world.asked[who];
        for (uint32_t i = 0; i < ROOM; i++) {
            if (asked->kind != WRITE || asked->db != world.handles[i])
                continue;
            LAW(who > last[i], "write %lld came behind write %lld", (long long)who, (long long)last[i]);
            last[i] = who;
        }
    }
    LAW(sqlite3_finalize(rows) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
    for (uint32_t i = 0; i < world.asked_count; i++) {
        const struct asked *asked = &world.asked[i];
        const char *status = quring_status_name((quring_status)asked->status);
        LAW(!kinds[asked->kind].writes || asked->status != QURING_OK || found[i], "write %u is lost", i);
        LAW(!asked->unsent || !found[i], "write %u took effect, and was not sent", i);
        LAW((asked->status != QURING_SERVER_ERROR && asked->status != QURING_NOT_SENT) || !found[i],
            "write %u took effect, but ended with %s", i, status);
    }
    sqlite3_close(handle);
}

static void world_close(void) {
    world.foreigner_stops = true;
    if (world.in_it & LOCKS)
        pthread_join(world.foreigner, NULL);
    if (world.engine) {
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL); /* lanes look at an empty queue, and checkpoint */
        run(0, 0);
        for (uint32_t i = 0; i < ROOM && world.handles[i]; i++)
            check_rest(world.handles[i]);
        events_check(&world.events);
    }
    events_free(&world.events);
    check_rows();
    if (world.engine)
        quring_engine_close(world.engine);
    threads_end();
}

static void storm(uint64_t seed, uint32_t in_it, uint32_t query_count) {
    world_open(seed, in_it);
    blow(query_count);
    finish();
    world_close();
}

/* ---- The tests ---- */

static void begin(void) {
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; /* no disk to wait for */
    snprintf(directory, sizeof directory, "%s/quring-lanes-XXXXXX", where);
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/a.db", directory);
    snprintf(url, sizeof url, "sqlite:///%s", path);
    seeds_watch_trace(threads_print_trace);
}

static void end(void) {
    unlink(path);
    rmdir(directory);
}

TestSuite(sim_lanes, .init = begin, .fini = end);

static void replay_seed(uint64_t seed) {
    uint64_t digests[2];
    for (int i = 0; i < 2; i++) {
        storm(seed, (uint32_t)seed % ANYTHING, 40);
        digests[i] = threads_digest();
    }
    LAW(digests[0] == digests[1], "the same seed does something else when it runs again");
}

Test(sim_lanes, a_seed_replays) {
    seeds_run(10, replay_seed);
}

static void calm_seed(uint64_t seed) {
    storm(seed, 0, QUERIES_MAX);
}

Test(sim_lanes, each_query_ends_as_its_statement_says) {
    seeds_run(40, calm_seed);
}

static void any_seed(uint64_t seed) {
    storm(seed, (uint32_t)seed % ANYTHING, QUERIES_MAX);
}

Test(sim_lanes, all_at_once) {
    seeds_run(192, any_seed);
}

static void ending_seed(uint64_t seed) {
    world_open(seed, (uint32_t)(seed / 2) % ANYTHING);
    blow(1 + (uint32_t)threads_draw(QUERIES_MAX - 1));
    end_engine(seed % 2);
    world_close();
}

Test(sim_lanes, an_end_in_mid_flight_ends_each_query_once) {
    seeds_run(64, ending_seed);
}
