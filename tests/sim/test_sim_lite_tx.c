/* SPDX-License-Identifier: MIT */
/*
 * Storms of transactions over SQLite's lanes: the whole engine on real files, with threads and time from a seed
 * (lib/sim_threads.h). The oracle replays what the program was told, and compares it with what another connection finds:
 *
 *   failure     behind a query that did not end OK nothing of its transaction does, until a ROLLBACK TO that does
 *   its own     a transaction sees what it wrote and did not take back
 *   all or none a transaction whose COMMIT is OK left exactly that, one whose COMMIT was begun and then given up, or overtaken
 *               by the end of its handle, that or nothing, and any other nothing
 *   snapshot    all reads of a transaction that only reads see the same
 *   once        every query that was accepted ends exactly once
 *   rest        in the end no lane is held, reserved or in a transaction, and nothing is counted that is not there
 */
#include "lib/sim_lite.h"

#include "base/owner.h"
#include "base/rng.h"
#include "core/wait.h"
#include "engine/engine.h"
#include "lib/seeds.h"
#include "lite/db.h"
#include "lite/lane.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { MS = 1000000, QUERIES_MAX = 300, TXS_MAX = 60, OPEN_MAX = 8, DEPTH_MAX = 8 };

/* What a storm has in it besides statements that fail, and savepoints. */
enum {
    TIMES = 1, /* timeouts of queries and transactions */
    CANCELS = 2,
    RELEASES = 4, /* of transactions that have no end */
    ANYTHING = 8
};

enum kind {
    WRITE,
    OWN_COUNT,
    ALL_COUNT,
    FAILS,
    FATAL,
    SLOW,
    SAVE,
    BACK,
    DROP,
    COMMIT,
    ROLLBACK,
    LONE_WRITE,
    LONE_READ
};

struct asked {
    enum kind kind;
    uint32_t tx;    /* TXS_MAX: none */
    uint32_t depth; /* SAVE, BACK, DROP: which savepoint */
    quring_id id;
    bool ended, cancelled, unsent;
    uint8_t status;
    int64_t number; /* a count's */
};

struct program_tx {
    quring_tx *handle;
    bool read_only;
    uint32_t savepoints; /* in its submissions: names are s0, s1, … */
};

static struct world {
    uint32_t in_it;
    quring_engine *engine;
    quring_db *db;
    struct asked asked[QUERIES_MAX];
    uint32_t asked_count, ended_count;
    struct program_tx txs[TXS_MAX];
    uint32_t tx_count;
    bool closed;
} world;

static char directory[64], path[96], url[112];

static bool chance(uint64_t of) {
    return threads_draw(of) == 0;
}

/* ---- Begin ---- */

static void make_file(void) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
    sqlite3 *handle;
    LAW(sqlite3_open(path, &handle) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
    int code = sqlite3_exec(handle,
                            "pragma synchronous = off; pragma journal_mode = wal; begin;"
                            "create table log(who integer primary key, tx integer, lone integer unique);"
                            "create index log_tx on log(tx); insert into log values (-1, -1, 1); commit",
                            NULL, NULL, NULL);
    LAW(code == SQLITE_OK, "%s", sqlite3_errmsg(handle));
    sqlite3_close(handle);
}

static void open_handle(void) {
    static const uint32_t depths[] = {1, 3, 12, 0};
    quring_db_options options = {.connection_count = 1 + (uint32_t)threads_draw(3),
                                 .depth = depths[threads_draw(4)],
                                 .lease_count = (uint32_t)threads_draw(4),
                                 .durability = QURING_DURABILITY_OFF,
                                 .busy_timeout_ns = (uint64_t)5000 * MS};
    int error = quring_db_open(world.engine, url, &options, &world.db);
    LAW(error == 0, "quring_db_open: %s", quring_errmsg(world.engine));
}

static void world_open(uint64_t seed, uint32_t in_it) {
    struct rng rng = {seed * 3003};
    memset(&world, 0, sizeof world);
    (void)owner_claim();
    threads_begin(&(struct threads_options){.seed = seed,
                                            .start_ns = 1000000000u + rng_next(&rng) % 1000000007u,
                                            .switch_chance = (uint16_t)(1u << (3 + rng_below(&rng, 7)))});
    sim_lite_begin(&(struct sim_lite_options){.look_steps = 10 + (int)rng_below(&rng, 50),
                                              .frame_factor = (int[]){1, 30, 400, 4000}[rng_below(&rng, 4)],
                                              .deaf_steps = in_it & (TIMES | CANCELS) && rng_below(&rng, 2) ? 20 : 0,
                                              .commit_refusals = rng_below(&rng, 2) ? 100 : 0});
    world.in_it = in_it;
    make_file();
    engine_use_port(sim_lite_port());
    quring_options options = {.query_count = 40 + (uint32_t)threads_draw(QUERIES_MAX)};
    int error = quring_engine_open(&options, &world.engine);
    LAW(error == 0, "quring_engine_open: %s", quring_strerror(error));
    open_handle();
}

/* ---- Asking ---- */

static const char *sql_of(const struct asked *asked, char text[32]) {
    static const char *const names[] = {[SAVE] = "savepoint", [BACK] = "rollback to", [DROP] = "release"};
    switch (asked->kind) {
    case WRITE:
    case LONE_WRITE:
        return "insert into log(who, tx) values ($1, $2)";
    case OWN_COUNT:
        return "select count(*), $1 from log where tx = $2";
    case ALL_COUNT:
    case LONE_READ:
        return "select count(*), $1, $2 from log";
    case FAILS:
        return "insert into log(who, tx, lone) values ($1, $2, 1)";
    case FATAL:
        return "insert or rollback into log(who, tx, lone) values ($1, $2, 1)";
    case SLOW:
        return "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) select count(*), $1, $2 "
               "from n";
    default:
        snprintf(text, 32, "%s s%u", names[asked->kind], asked->depth);
        return text;
    }
}

static bool note_asked(struct asked *asked, int error) {
    LAW(error == 0 || (error == QURING_EFULL && asked->kind < COMMIT) ||
            (error == QURING_EFULL && asked->tx == TXS_MAX),
        "refused: %s: %s", quring_strerror(error), quring_errmsg(world.engine));
    world.asked_count += error == 0;
    return error == 0;
}

static bool ask(enum kind kind, uint32_t tx, uint32_t depth) {
    uint32_t index = world.asked_count;
    struct asked *asked = &world.asked[index];
    struct program_tx *program = tx < TXS_MAX ? &world.txs[tx] : NULL;
    char text[32];
    *asked = (struct asked){.kind = kind, .tx = tx, .depth = depth};
    if (kind == COMMIT)
        return note_asked(asked, quring_commit(program->handle, index, &asked->id));
    if (kind == ROLLBACK)
        return note_asked(asked, quring_rollback(program->handle, index, &asked->id));
    quring_param params[] = {quring_int64(index), quring_int64(tx)};
    bool bare = kind == SAVE || kind == BACK || kind == DROP;
    quring_query query = {.db = program ? NULL : world.db,
                          .tx = program ? program->handle : NULL,
                          .sql = sql_of(asked, text),
                          .params = params,
                          .param_count = bare ? 0 : 2,
                          .user_data = index};
    if (world.in_it & TIMES && chance(10))
        query.timeout_ns = 1 + threads_draw(5 * MS);
    asked->cancelled = query.timeout_ns > 0;
    if (!program && chance(2))
        query.commit = QURING_COMMIT_GROUP;
    return note_asked(asked, quring_submit(world.engine, &query, &asked->id));
}

static void ask_in_tx(uint32_t tx) {
    struct program_tx *program = &world.txs[tx];
    uint64_t drawn = threads_draw(100);
    if (drawn < 12 && program->savepoints < DEPTH_MAX) {
        if (ask(SAVE, tx, program->savepoints))
            program->savepoints++;
    } else if (drawn < 24 && program->savepoints) {
        uint32_t depth = (uint32_t)threads_draw(program->savepoints);
        if (ask(BACK, tx, depth))
            program->savepoints = depth + 1;
    } else if (drawn < 30 && program->savepoints) {
        uint32_t depth = (uint32_t)threads_draw(program->savepoints);
        if (ask(DROP, tx, depth))
            program->savepoints = depth;
    } else if (drawn < 50) {
        ask(OWN_COUNT, tx, 0);
    } else if (drawn < 58) {
        ask(ALL_COUNT, tx, 0);
    } else if (drawn < 63) {
        ask(chance(4) ? FATAL : FAILS, tx, 0);
    } else if (drawn < 68) {
        ask(SLOW, tx, 0);
    } else {
        ask(program->read_only ? ALL_COUNT : WRITE, tx, 0);
    }
}

static void end_tx(uint32_t tx) {
    struct program_tx *program = &world.txs[tx];
    bool none = world.in_it & RELEASES && chance(4);
    if (!none)
        ask(chance(4) ? ROLLBACK : COMMIT, tx, 0);
    quring_tx_release(program->handle);
    program->handle = NULL;
}

static void open_tx(void) {
    struct program_tx *program = &world.txs[world.tx_count];
    *program = (struct program_tx){.read_only = chance(4)};
    quring_tx_options options = {.read_only = program->read_only};
    if (world.in_it & TIMES && chance(4))
        options.timeout_ns = 1 + threads_draw(20 * MS);
    options.idle_timeout_ns = world.in_it & TIMES ? 1 + threads_draw(20 * MS) : QURING_FOREVER;
    int error = quring_tx_open(world.db, &options, &program->handle);
    LAW(error == 0 || error == QURING_EFULL, "quring_tx_open: %s", quring_errmsg(world.engine));
    if (error)
        return;
    world.tx_count++;
    for (uint64_t n = chance(2) ? 1 + threads_draw(6) : 0; n && world.asked_count < QUERIES_MAX - 20; n--)
        ask_in_tx(world.tx_count - 1);
    if (chance(3))
        end_tx(world.tx_count - 1);
}

/* ---- What was answered ---- */

static void check_done(const quring_done *done) {
    uint32_t index = (uint32_t)done->user_data;
    LAW(index < world.asked_count, "query %u was never asked", index);
    struct asked *asked = &world.asked[index];
    LAW(!asked->ended && done->id == asked->id, "query %u ended twice", index);
    asked->ended = true;
    asked->status = (uint8_t)done->status;
    asked->unsent = done->status != QURING_OK && !done->sent;
    world.ended_count++;
    bool counts = asked->kind == OWN_COUNT || asked->kind == ALL_COUNT || asked->kind == LONE_READ;
    if (done->status == QURING_OK && counts)
        LAW(quring_get_int64(done->result, 0, 0, &asked->number) == 0, "a count");
    if (asked->tx == TXS_MAX && !asked->cancelled && !world.closed)
        LAW(done->status == QURING_OK, "query %u: %s %s", index, quring_status_name(done->status),
            done->error->message);
    LAW(quring_release(world.engine, done->id) == 0, "quring_release");
}

static void run(uint32_t min_count, uint64_t timeout_ns) {
    quring_done done[16];
    int ready = quring_run(world.engine, min_count, timeout_ns), count;
    LAW(ready >= 0, "quring_run: %s", quring_errmsg(world.engine));
    while ((count = quring_reap(world.engine, done, 1 + (uint32_t)threads_draw(16))) > 0)
        for (int i = 0; i < count; i++)
            check_done(&done[i]);
}

/* ---- A storm ---- */

static uint32_t any_open_tx(void) {
    uint32_t open[TXS_MAX], count = 0;
    for (uint32_t i = 0; i < world.tx_count; i++)
        if (world.txs[i].handle)
            open[count++] = i;
    return count ? open[threads_draw(count)] : TXS_MAX;
}

static uint32_t open_count(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < world.tx_count; i++)
        count += world.txs[i].handle != NULL;
    return count;
}

static void something_happens(void) {
    uint32_t tx = any_open_tx();
    if (world.tx_count < TXS_MAX && open_count() < OPEN_MAX && chance(2))
        open_tx();
    else if (tx < TXS_MAX && chance(4))
        end_tx(tx);
    else if (tx < TXS_MAX && !chance(4))
        ask_in_tx(tx);
    else
        ask(chance(2) ? LONE_WRITE : LONE_READ, TXS_MAX, 0);
    if (world.in_it & CANCELS && world.asked_count && chance(5)) {
        struct asked *asked = &world.asked[threads_draw(world.asked_count)];
        if (quring_cancel(world.engine, asked->id) == 0)
            asked->cancelled = true;
    }
}

static void blow(uint32_t query_count) {
    uint64_t burst_most = 1 + threads_draw(12);
    while (world.asked_count < query_count) {
        for (uint64_t burst = threads_draw(burst_most + 1); burst && world.asked_count < query_count; burst--)
            something_happens();
        run((uint32_t)threads_draw(4), chance(3) ? 0 : threads_draw(chance(2) ? 3 * MS : MS / 10));
    }
}

static void finish(void) {
    for (uint32_t i = 0; i < world.tx_count; i++)
        if (world.txs[i].handle)
            end_tx(i);
    while (world.ended_count < world.asked_count)
        run(1, QURING_FOREVER);
}

/* ---- The end ---- */

static void check_rest(void) {
    struct lite_db *lite = base_container_of(world.db, struct lite_db, base);
    LAW(lite->reads_count == 0 && lite->writes_count == 0 && lite->tx.count == 0,
        "%u reads, %u writes and %u of "
        "transactions are left",
        lite->reads_count, lite->writes_count, lite->tx.count);
    LAW(lite->tx.held_count == 0, "%u lanes are held", lite->tx.held_count);
    LAW(list_empty(&lite->tx.writers) && list_empty(&lite->tx.readers), "a transaction waits for ever");
    LAW(list_empty(&lite->base.txs), "a transaction is left");
    LAW(lite->lanes[0].queue == &lite->writes, "the writer serves a transaction");
    for (uint32_t i = 0; i < lite->made_count; i++) {
        const struct lite_lane *lane = &lite->lanes[i];
        LAW(lane->shared.phase == LANE_IDLE && !lane->shared.reserved, "lane %u is busy", i);
        LAW(!lane->conn.handle || !lite_conn_in_transaction(&lane->conn), "lane %u is in a transaction", i);
        LAW(lane->leased.held_count == 0 && lane_queue_count(&lane->leased) == 0, "lane %u holds queries", i);
        LAW(!lane->own.tx.begun && !lane->conn.tx, "lane %u has a transaction", i);
    }
}

/* What a transaction must have left, from what the program was told. */
struct replay {
    uint32_t written[QUERIES_MAX], count;
    uint32_t marks[DEPTH_MAX], names[DEPTH_MAX], depth; /* the count at each savepoint */
    bool failed, committed;
    bool doubtful; /* its COMMIT was begun, and ended before it was known whether it took effect */
    int64_t snapshot;
};

static uint32_t find_savepoint(const struct replay *replay, uint32_t name) {
    uint32_t at = replay->depth;
    while (at && replay->names[at - 1] != name)
        at--;
    return at;
}

static void replay_savepoint(struct replay *replay, const struct asked *asked, uint32_t index) {
    uint32_t at = find_savepoint(replay, asked->depth);
    if (asked->kind == SAVE) {
        replay->names[replay->depth] = asked->depth;
        replay->marks[replay->depth++] = replay->count;
        return;
    }
    LAW(at, "query %u: OK for a savepoint that is not there", index);
    if (asked->kind == DROP) {
        replay->depth = at - 1;
        return;
    }
    replay->depth = at;
    replay->count = replay->marks[at - 1];
    replay->failed = false;
}

/* These say nothing of what became of a query that was begun. */
static bool is_doubtful(const struct asked *asked) {
    uint8_t status = asked->status;
    return !asked->unsent && (status == QURING_CANCELLED || status == QURING_TIMEOUT || status == QURING_SHUTDOWN);
}

static void replay_query(struct replay *replay, const struct asked *asked, uint32_t index, bool read_only) {
    if (asked->status != QURING_OK) {
        replay->doubtful |= asked->kind == COMMIT && !replay->failed && is_doubtful(asked);
        replay->failed = true;
        return;
    }
    LAW(!replay->failed || asked->kind == BACK || asked->kind == ROLLBACK, "query %u is OK behind a failure", index);
    LAW(asked->kind != FAILS && asked->kind != FATAL, "query %u is OK", index);
    if (asked->kind == WRITE)
        replay->written[replay->count++] = index;
    else if (asked->kind == OWN_COUNT)
        LAW(asked->number == replay->count, "query %u sees %d of its rows, not %u", index, (int)asked->number,
            replay->count);
    else if (asked->kind == ALL_COUNT && read_only)
        LAW(replay->snapshot < 0 || replay->snapshot == asked->number, "query %u sees another snapshot", index);
    else if (asked->kind == COMMIT)
        replay->committed = true;
    if (asked->kind == ALL_COUNT)
        replay->snapshot = asked->number;
    if (asked->kind >= SAVE && asked->kind <= DROP)
        replay_savepoint(replay, asked, index);
}

static int64_t count_rows(sqlite3 *handle, const char *where, uint32_t number) {
    char sql[100];
    sqlite3_stmt *statement;
    snprintf(sql, sizeof sql, "select count(*) from log where %s = %u", where, number);
    LAW(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
    LAW(sqlite3_step(statement) == SQLITE_ROW, "%s", sqlite3_errmsg(handle));
    int64_t count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return count;
}

static void check_tx(sqlite3 *handle, uint32_t tx, bool seen) {
    struct replay replay = {.snapshot = -1};
    for (uint32_t i = 0; i < world.asked_count; i++)
        if (world.asked[i].tx == tx && (seen || world.asked[i].ended))
            replay_query(&replay, &world.asked[i], i, world.txs[tx].read_only);
    int64_t found = count_rows(handle, "tx", tx);
    if (!seen) { /* nobody was told how it ended */
        LAW(replay.committed ? found == replay.count : true, "transaction %u left %d rows", tx, (int)found);
        return;
    }
    bool committed = replay.committed || (replay.doubtful && found);
    uint32_t expected = committed ? replay.count : 0;
    LAW(found == expected, "transaction %u left %d rows, not %u", tx, (int)found, expected);
    for (uint32_t i = 0; i < expected; i++)
        LAW(count_rows(handle, "who", replay.written[i]) == 1, "row %u is lost", replay.written[i]);
}

static void check_rows(bool seen) {
    sqlite3 *handle;
    LAW(sqlite3_open(path, &handle) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
    for (uint32_t i = 0; i < world.tx_count; i++)
        check_tx(handle, i, seen);
    for (uint32_t i = 0; i < world.asked_count; i++)
        if (world.asked[i].kind == LONE_WRITE && world.asked[i].ended && world.asked[i].status == QURING_OK)
            LAW(count_rows(handle, "who", i) == 1, "write %u is lost", i);
        else if (world.asked[i].unsent && world.asked[i].kind <= LONE_WRITE)
            LAW(count_rows(handle, "who", i) == 0, "query %u took effect, and was not sent", i);
    sqlite3_close(handle);
}

static void world_close(void) {
    bool seen = world.engine != NULL;
    if (seen && !world.closed) {
        for (int i = 0; i < 5; i++) { /* a lane that was released rolls back, and is taken back a turn later */
            nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
            run(0, 0);
        }
        check_rest();
    }
    check_rows(seen);
    if (world.engine)
        quring_engine_close(world.engine);
    threads_end();
}

static void storm(uint64_t seed, uint32_t in_it) {
    world_open(seed, in_it);
    blow(QUERIES_MAX - 30);
    finish();
    world_close();
}

/* ---- The tests ---- */

static void begin(void) {
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; /* no disk to wait for */
    snprintf(directory, sizeof directory, "%s/quring-lite-tx-XXXXXX", where);
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/a.db", directory);
    snprintf(url, sizeof url, "sqlite:///%s", path);
    seeds_watch_trace(threads_print_trace);
}

static void end(void) {
    unlink(path);
    rmdir(directory);
}

TestSuite(sim_lite_tx, .init = begin, .fini = end);

static void calm_seed(uint64_t seed) {
    storm(seed, 0);
}

Test(sim_lite_tx, each_ends_as_its_statements_say) {
    seeds_run(40, calm_seed);
}

static void any_seed(uint64_t seed) {
    storm(seed, (uint32_t)seed % ANYTHING);
}

Test(sim_lite_tx, all_at_once) {
    seeds_run(192, any_seed);
}

static void ending_seed(uint64_t seed) {
    world_open(seed, (uint32_t)(seed / 3) % ANYTHING);
    blow(20 + (uint32_t)threads_draw(QUERIES_MAX - 60));
    world.closed = true;
    if (seed % 3 == 0) {
        quring_db_close(world.db);
        while (world.ended_count < world.asked_count)
            run(1, QURING_FOREVER);
    } else if (seed % 3 == 1) {
        (void)quring_shutdown(world.engine, chance(2) ? threads_draw(20 * MS) : 0);
        while (world.ended_count < world.asked_count)
            run(1, QURING_FOREVER);
    } else {
        quring_engine_close(world.engine);
        world.engine = NULL;
    }
    world_close();
}

Test(sim_lite_tx, an_end_in_mid_flight_ends_each_query_once) {
    seeds_run(96, ending_seed);
}

/* A handle is closed while its lane is in a COMMIT: that ends with SHUTDOWN, and takes effect. */
Test(sim_lite_tx, a_commit_that_its_handles_end_overtakes_may_take_effect) {
    seeds_replay(0x1b9, ending_seed);
}

/* ---- A program that was elsewhere ---- */

static quring_db_stats stats_of(void) {
    quring_db_stats stats;
    quring_db_stats_get(world.db, &stats);
    return stats;
}

/* Neither the age of a snapshot nor a wait begins before the program asked for it. */
static void away_seed(uint64_t seed) {
    world_open(seed, 0);
    ask(LONE_READ, TXS_MAX, 0);
    finish();
    quring_db_stats before = stats_of();
    nanosleep(&(struct timespec){.tv_sec = 3600}, NULL);
    uint64_t asked_ns = threads_now_ns();
    world.txs[world.tx_count] = (struct program_tx){.read_only = true};
    quring_tx_options options = {.read_only = true, .idle_timeout_ns = QURING_FOREVER};
    LAW(quring_tx_open(world.db, &options, &world.txs[world.tx_count++].handle) == 0, "quring_tx_open");
    ask(ALL_COUNT, 0, 0);
    while (world.ended_count < world.asked_count)
        run(1, QURING_FOREVER);
    quring_db_stats after = stats_of();
    uint64_t since_ns = threads_now_ns() - asked_ns;
    LAW(after.snapshot_ns <= since_ns, "a snapshot of %lu ns is %lu ns old", since_ns, after.snapshot_ns);
    for (uint32_t i = wait_bucket(since_ns) + 1; i < QURING_WAIT_BUCKETS; i++)
        LAW(after.wait_count[i] == before.wait_count[i], "a query of %lu ns waited for 2^%u us", since_ns, i);
    finish();
    world_close();
}

Test(sim_lite_tx, the_time_that_the_program_was_elsewhere_is_nobodys) {
    seeds_run(8, away_seed);
}
