/* SPDX-License-Identifier: MIT */
#include "lib/sim_world.h"

#include "engine/engine.h"
#include "pg/pg.h"

#include <inttypes.h>
#include <stdlib.h>

enum { IDLE_TURNS_MAX = 200000, INBOX_QUERIES = 400 };

/* ---- Open and close ---- */

uint64_t world_below(struct world *world, uint64_t bound) {
    return rng_below(sim_rng(world->sim), bound);
}

/* Calls of the library, seen by whoever watches it. */
#define CALL(result, call) (sim_library_hook(true), (result) = (call), sim_library_hook(false))

void world_begin(struct world *world, const struct sim_options *sim, uint32_t query_count) {
    *world = (struct world){.sim = sim_new(sim), .query_count = query_count};
    seeds_watch(world->sim);
    sim_server_init(&world->server, world->sim, query_count);
    world->asked = calloc(query_count, sizeof *world->asked);
}

int world_open_engine(struct world *world, const quring_options *options, struct port *port) {
    int error;
    engine_use_port(port ? port : sim_port(world->sim));
    CALL(error, quring_engine_open(options, &world->engine));
    if (!error && options && options->trace_count)
        events_begin(&world->events, world->engine, world->query_count, false);
    return error;
}

int world_open_db(struct world *world, const quring_db_options *options) {
    int error;
    sim_server_use(&world->server);
    quring_db *db = NULL;
    CALL(error, quring_db_open(world->engine, "host=sim dbname=sim", options, &db));
    if (error)
        return error;
    base_container_of(db, struct pg_db, base)->pool.attempts.rng =
        *sim_rng(world->sim); /* jitter must be the same again */
    world->db = db;
    return 0;
}

void world_open(struct world *world, const struct sim_options *sim, const quring_options *engine,
                const quring_db_options *db, uint32_t query_count) {
    world_begin(world, sim, query_count);
    int error = world_open_engine(world, engine, NULL);
    LAW(error == 0, "quring_engine_open: %s", quring_strerror(error));
    LAW(world_open_db(world, db) == 0, "quring_db_open: %s", quring_errmsg(world->engine));
}

void world_open_inbox(struct world *world) {
    const quring_inbox_options options = {.query_count = INBOX_QUERIES};
    int error;
    CALL(error, quring_inbox_open(world->engine, &options, &world->inbox));
    LAW(error == 0, "quring_inbox_open: %s", quring_errmsg(NULL));
}

void world_close_engine(struct world *world) {
    quring_stats stats;
    quring_inbox_close(world->inbox);
    world->inbox = NULL;
    quring_stats_get(world->engine, &stats);
    LAW(stats.stale_count == 0, "%" PRIu64 " stale completions", stats.stale_count);
    sim_library_hook(true);
    quring_engine_close(world->engine);
    sim_library_hook(false);
    world->engine = NULL;
}

void world_free(struct world *world) {
    sim_settle(world->sim);
    sim_server_free(&world->server);
    sim_free(world->sim);
    seeds_watch(NULL);
    free(world->asked);
    events_free(&world->events);
}

/* What the engine counted is what happened. */
static void check_stats(const struct world *world) {
    quring_stats stats = world_stats(world);
    LAW(stats.submitted_count == world->accepted_count, "%" PRIu64 " submitted", stats.submitted_count);
    LAW(stats.waiting_count == 0 && stats.inflight_count == 0, "%u waiting, %u in flight", stats.waiting_count,
        stats.inflight_count);
    for (int i = 0; i <= QURING_SHUTDOWN; i++)
        LAW(stats.done_count[i] == world->by_status[i], "%" PRIu64 " counted as %s, not %u", stats.done_count[i],
            quring_status_name((quring_status)i), world->by_status[i]);
}

void world_close(struct world *world) {
    LAW(world->ended_count == world->accepted_count, "%u of %u queries ended", world->ended_count,
        world->accepted_count);
    if (quring_pending(world->engine) == 0) {
        check_stats(world);
        events_check(&world->events);
    }
    world_close_engine(world);
    sim_settle(world->sim);
    world_check_ledger(world);
    world_free(world);
}

/* ---- Asking ---- */

static int submit(struct world *world, quring_query *query, bool by_handle, quring_id *id) {
    quring_statement *statement = NULL;
    int error = 0;
    if (by_handle) {
        CALL(error, quring_prepare(query->db, query->sql, &statement));
        query->sql = NULL;
        query->statement = statement;
    }
    if (!error && world->inbox)
        CALL(error, quring_inbox_submit(world->inbox, query, id));
    else if (!error)
        CALL(error, quring_submit(world->engine, query, id));
    quring_statement_release(statement); /* the query holds it by itself */
    return error;
}

/* Statements without a parameter, and the commands of their tags. */
static const char *const bare[][2] = {
    {"discard all", "DISCARD ALL"}, {"begin", "BEGIN"},          {"start transaction", "START TRANSACTION"},
    {"commit", "COMMIT"},           {"end", "COMMIT"},           {"rollback", "ROLLBACK"},
    {"savepoint", "SAVEPOINT"},     {"rollback to", "ROLLBACK"}, {"release", "RELEASE"}};

static bool is_one_of(const char *verb, const char *const *verbs) {
    while (*verbs && strcmp(verb, *verbs) != 0)
        verbs++;
    return *verbs != NULL;
}

/* NULL: the verb takes a parameter. */
static const char *bare_command(const char *verb) {
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
        if (strcmp(verb, bare[i][0]) == 0)
            return bare[i][1];
    return NULL;
}

static void ask_text(const struct ask *ask, char *sql, size_t sql_bytes) {
    static const char *const counted[] = {"rows",    "big",       "sleep",       "notice",  "late",
                                          "hostile", "savepoint", "rollback to", "release", NULL};
    static const char *const writes[] = {"insert", "call", NULL};
    char number[16] = "", sqlstate[8] = "";
    if (is_one_of(ask->verb, counted))
        snprintf(number, sizeof number, " %u", ask->number);
    if (ask->sqlstate)
        snprintf(sqlstate, sizeof sqlstate, " %s", ask->sqlstate);
    bool is_bare = bare_command(ask->verb) != NULL;
    snprintf(sql, sql_bytes, "%s%s%s%s%s", is_bare || is_one_of(ask->verb, writes) ? "" : "select ",
             strcmp(ask->verb, "select") == 0 ? "id" : ask->verb, number, sqlstate, is_bare ? "" : " $1");
}

/* What is known of the next one that is asked. */
static struct asked *world_note(struct world *world, const struct ask *ask, uint32_t index) {
    LAW(index < world->query_count, "the test asks more than it said");
    struct asked *asked = &world->asked[index];
    *asked =
        (struct asked){.verb = ask->verb,
                       .number = ask->number,
                       .warning = ask->warns_with,
                       .in_block = ask->in_block,
                       .in_tx = ask->tx != NULL,
                       .skips = ask->skips,
                       .either = ask->either,
                       .grouped = ask->commit == QURING_COMMIT_GROUP || (!ask->commit && world->grouped_by_default)};
    const char *sqlstate = ask->fails_with ? ask->fails_with : ask->sqlstate;
    snprintf(asked->sqlstate, sizeof asked->sqlstate, "%s", sqlstate ? sqlstate : "");
    return asked;
}

int world_ask(struct world *world, const struct ask *ask) {
    uint32_t index = world->asked_count;
    struct asked *asked = world_note(world, ask, index);
    char sql[80];
    ask_text(ask, sql, sizeof sql);
    quring_query query = {.db = world->db,
                          .sql = sql,
                          .params = QURING_PARAMS(quring_int64(sim_server_identity(&world->server, index))),
                          .user_data = index,
                          .commit = ask->commit,
                          .timeout_ns = ask->timeout_ns,
                          .order_key = ask->order_key,
                          .tx = ask->tx};
    if (bare_command(ask->verb))
        query.param_count = 0;
    int error = submit(world, &query, ask->by_handle, &asked->id);
    if (error)
        return error;
    world->asked_count++;
    world->accepted_count++;
    asked->accepted = true;
    return (int)index;
}

int world_ask_batch(struct world *world, const struct ask *asks, uint32_t count) {
    enum { MOST = 64 };
    static char sql[MOST][80];
    quring_query queries[MOST];
    quring_param params[MOST];
    quring_id ids[MOST];
    uint32_t first = world->asked_count;
    LAW(count <= MOST, "a batch of %u", count);
    for (uint32_t i = 0; i < count; i++) {
        struct asked *asked = world_note(world, &asks[i], first + i);
        asked->grouped = true;
        asked->batch = world->batch_count + 1;
        ask_text(&asks[i], sql[i], sizeof sql[i]);
        params[i] = quring_int64(sim_server_identity(&world->server, first + i));
        queries[i] = (quring_query){.db = world->db,
                                    .sql = sql[i],
                                    .params = &params[i],
                                    .param_count = 1,
                                    .user_data = first + i,
                                    .timeout_ns = asks[i].timeout_ns};
    }
    int taken;
    CALL(taken, quring_submit_batch(world->engine, queries, count, QURING_BATCH_ATOMIC, ids));
    if (taken < 0)
        return taken;
    LAW((uint32_t)taken == count, "%d of %u were taken", taken, count);
    for (uint32_t i = 0; i < count; i++) {
        world->asked[first + i].id = ids[i];
        world->asked[first + i].accepted = true;
    }
    world->batch_count++;
    world->asked_count += count;
    world->accepted_count += count;
    return (int)first;
}

int world_query(struct world *world, const char *verb, uint32_t number, const char *sqlstate) {
    struct ask ask = {.verb = verb, .number = number, .sqlstate = sqlstate};
    int index = world_ask(world, &ask);
    LAW(index >= 0, "quring_submit: %s %s", quring_strerror(index), quring_errmsg(world->engine));
    return index;
}

/* ---- Checking ---- */

static bool is_verb(const struct asked *asked, const char *verb) {
    return strcmp(asked->verb, verb) == 0;
}

static void check_text(const struct quring_result *result, uint64_t row, uint32_t column, uint64_t size,
                       int64_t identity) {
    char name[24];
    const char *text;
    size_t size_bytes, length = (size_t)snprintf(name, sizeof name, "%" PRId64 ".", identity);
    LAW(quring_get_text(result, row, column, &text, &size_bytes) == 0 && size_bytes == size, "text of %zu bytes",
        size_bytes);
    for (size_t i = 0; i < size; i++)
        LAW(text[i] == name[i % length], "byte %zu of a text is another's", i);
}

static void check_rows(const struct world *world, uint32_t index, const quring_result *result) {
    const struct asked *asked = &world->asked[index];
    int64_t identity = sim_server_identity(&world->server, index);
    bool many = is_verb(asked, "rows"), insert = is_verb(asked, "insert") || is_verb(asked, "defer");
    bool none = insert || is_verb(asked, "call") || is_verb(asked, "tag");
    const char *command = bare_command(asked->verb);
    if (command) {
        LAW(quring_column_count(result) == 0 && strcmp(quring_command(result), command) == 0, "%s", command);
        return;
    }
    uint64_t rows = none ? 0 : many ? asked->number : 1;
    LAW(quring_row_count(result) == rows, "%s: %" PRIu64 " rows", asked->verb, quring_row_count(result));
    LAW(quring_column_count(result) == (none                                              ? 0u
                                        : many                                            ? 3u
                                        : is_verb(asked, "big") || is_verb(asked, "null") ? 2u
                                                                                          : 1u),
        "%s: %u columns", asked->verb, quring_column_count(result));
    LAW(quring_affected_count(result) == insert, "%s: affected %" PRIu64, asked->verb, quring_affected_count(result));
    LAW(strcmp(quring_command(result), insert ? "INSERT"
                                       : none ? "CALL"
                                              : "SELECT") == 0,
        "command %s", quring_command(result));
    for (uint64_t row = 0; row < rows; row++) {
        int64_t id = 0;
        int32_t n = -1;
        LAW(quring_get_int64(result, row, 0, &id) == 0 && id == identity, "query %u got %#" PRIx64, index, id);
        if (many) {
            LAW(quring_get_int32(result, row, 1, &n) == 0 && n == (int32_t)row, "row %" PRIu64 " has number %d", row,
                n);
            check_text(result, row, 2, row % 50, identity);
        }
    }
    if (is_verb(asked, "big"))
        check_text(result, 0, 1, asked->number, identity);
    if (is_verb(asked, "null"))
        LAW(quring_is_null(result, 0, 1), "not NULL");
}

/* What the statement itself ends with, when nothing else happens to it. */
static uint32_t natural_statuses(const struct asked *asked) {
    if (asked->skips)
        return MAY(SKIPPED);
    if (asked->batch) /* check_batch() knows more */
        return MAY(SKIPPED) | MAY(SERVER_ERROR) | (asked->sqlstate[0] ? 0 : MAY(OK));
    if (is_verb(asked, "fatal") || is_verb(asked, "farewell") || is_verb(asked, "copy"))
        return MAY(IN_DOUBT);
    if (is_verb(asked, "hostile"))
        return asked->number >= 24 ? MAY(OK) | MAY(PROTOCOL) : MAY(PROTOCOL);
    if (is_verb(asked, "flood"))
        return MAY(LIMIT);
    if (strcmp(asked->sqlstate, "40003") == 0 || strcmp(asked->sqlstate, "08007") == 0)
        return MAY(IN_DOUBT);
    return asked->sqlstate[0] ? MAY(SERVER_ERROR) : MAY(OK);
}

bool world_is_natural(const struct world *world, uint32_t index) {
    const struct asked *asked = &world->asked[index];
    bool same = asked->status != QURING_SERVER_ERROR || strcmp(asked->got_sqlstate, asked->sqlstate) == 0;
    return same && (natural_statuses(asked) >> asked->status & 1);
}

static void check_error(const struct world *world, uint32_t index, const quring_done *done) {
    const struct asked *asked = &world->asked[index];
    LAW(done->error && done->error->message && done->error->detail && done->error->hint, "an error without its parts");
    LAW(quring_row_count(done->result) == 0, "a query that failed has rows");
    LAW(!world->poor || done->status != QURING_NOT_SENT || strcmp(done->error->sqlstate, "54000") != 0,
        "want of memory was taken for a limit");
    if (done->status != QURING_SERVER_ERROR || asked->batch)
        return;
    const char *sqlstate = done->error->sqlstate;
    if (asked->in_tx &&
        world->allowed & MAY(SERVER_ERROR)) /* of the failure that the test has foreseen, or of a loss */
        return;
    bool stale = strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "26000") == 0;
    uint32_t refused = world->server.ledger[index].refused;
    if (stale && (refused == 2 || (world->lenient && refused == 1))) /* it is repaired once */
        return;
    LAW(strcmp(sqlstate, asked->sqlstate) == 0, "query %u (%s): SQLSTATE %s, not %s", index, asked->verb, sqlstate,
        asked->sqlstate);
    bool own_words = bare_command(asked->verb) && strcmp(sqlstate, "40000") == 0; /* the library's, not the server's */
    LAW(done->error->message[0] && (world->poor || own_words || strcmp(done->error->hint, "read the manual") == 0),
        "the error's words are lost");
}

/* Those of the statement, and with `async` what the server slips in anywhere. */
static void check_notices(const struct world *world, const struct asked *asked, const quring_done *done) {
    uint32_t count = quring_notice_count(done->result);
    uint64_t all = count + quring_notice_dropped_count(done->result);
    uint32_t wanted = done->status != QURING_OK ? 0 : is_verb(asked, "notice") ? asked->number : asked->warning != NULL;
    LAW(count <= 64 && (count == all || count == 64 || world->poor), "%u of %" PRIu64 " notices", count, all);
    LAW(all >= wanted || world->poor, "%" PRIu64 " notices, not %u", all, wanted);
    LAW(all == wanted || done->status != QURING_OK || world->server.async, "%" PRIu64 " notices, not %u", all, wanted);
    for (uint32_t i = 0; i < count; i++) {
        const quring_error *notice = quring_notice(done->result, i);
        bool said = strcmp(notice->severity, "NOTICE") == 0 && strcmp(notice->sqlstate, "00000") == 0;
        bool slipped = strcmp(notice->severity, "WARNING") == 0 && strcmp(notice->sqlstate, "01000") == 0;
        slipped |= asked->warning && strcmp(notice->sqlstate, asked->warning) == 0;
        bool detail =
            notice->detail[0] && done->status != QURING_IN_DOUBT; /* a commit that did not wait for a standby */
        LAW((said || slipped) && notice->message[0] && !detail && !notice->hint[0], "a wrong notice");
    }
    LAW(quring_notice(done->result, count) == NULL, "a notice too many");
}

static void check_done(struct world *world, const quring_done *done) {
    uint32_t index = (uint32_t)done->user_data;
    LAW(index < world->asked_count && world->asked[index].accepted, "query %u was never asked", index);
    struct asked *asked = &world->asked[index];
    LAW(!asked->ended, "query %u ended twice", index);
    LAW(done->id == asked->id, "query %u has another's id", index);
    asked->ended = true;
    asked->status = (uint8_t)done->status;
    asked->sent = done->sent;
    asked->seen_at = world->asked_count;
    asked->failed_id = done->failed_id;
    LAW(!done->failed_id || done->status == QURING_SKIPPED, "failed_id, and not SKIPPED");
    events_reaped(&world->events, done);
    LAW(done->sent || (done->status != QURING_OK && done->status != QURING_IN_DOUBT), "%s, and not sent",
        quring_status_name(done->status));
    LAW(!done->sent || done->status != QURING_NOT_SENT, "NOT_SENT, and sent");
    world->ended_count++;
    world->by_status[done->status]++;
    if (world->rogue)
        return;
    bool stale = done->status == QURING_SERVER_ERROR && world->server.ledger[index].refused > 1;
    uint32_t may = world->allowed | natural_statuses(asked) | (asked->either ? MAY(OK) : 0);
    LAW(may >> done->status & 1 || stale, "query %u (%s %u %s) ended with %s: %s", index, asked->verb, asked->number,
        asked->sqlstate, quring_status_name(done->status), done->error ? done->error->message : "");
    check_notices(world, asked, done);
    if (done->status == QURING_OK) {
        LAW(!done->error, "an error with OK");
        LAW(!asked->sqlstate[0] || asked->either, "query %u (%s) ended with OK", index, asked->verb);
        check_rows(world, index, done->result);
        return;
    }
    check_error(world, index, done);
    memcpy(asked->got_sqlstate, done->error->sqlstate, sizeof asked->got_sqlstate);
}

static int try_release(struct world *world, quring_id id) {
    int error;
    if (world->inbox)
        CALL(error, quring_inbox_release(world->inbox, id));
    else
        CALL(error, quring_release(world->engine, id));
    return error;
}

static void release(struct world *world, struct asked *asked) {
    int error = try_release(world, asked->id);
    LAW(error == 0, "quring_release: %s", quring_strerror(error));
    LAW(try_release(world, asked->id) == QURING_ESTALE, "released twice");
    asked->released = true;
}

static int reap(struct world *world, quring_done *done, uint32_t capacity) {
    int count;
    if (world->inbox)
        CALL(count, quring_inbox_reap(world->inbox, done, capacity));
    else
        CALL(count, quring_reap(world->engine, done, capacity));
    return count;
}

static uint32_t pending(const struct world *world) {
    return world->inbox ? quring_inbox_pending(world->inbox) : quring_pending(world->engine);
}

void world_reap(struct world *world) {
    quring_done done[16];
    int count;
    while ((count = reap(world, done, 1 + (uint32_t)world_below(world, 16))) > 0)
        for (int i = 0; i < count; i++) {
            check_done(world, &done[i]);
            if (!world->late_release)
                release(world, &world->asked[done[i].user_data]);
        }
    for (uint32_t i = 0; world->late_release && i < world->asked_count; i++)
        if (world->asked[i].ended && !world->asked[i].released && world_below(world, 3) == 0)
            release(world, &world->asked[i]);
}

static int run_once(struct world *world, uint32_t min_count, uint64_t timeout_ns) {
    const struct sim_fault *fault = sim_fault(world->sim);
    bool was_hit = fault->hit;
    int ready;
    CALL(ready, quring_run(world->engine, min_count, timeout_ns));
    bool refused = !was_hit && fault->hit && fault->point == SIM_ENTER;
    LAW(ready >= 0 || (refused && ready == QURING_ESYSTEM), "quring_run: %s", quring_errmsg(world->engine));
    world_reap(world);
    LAW(pending(world) == world->accepted_count - world->ended_count, "pending: %u, not %u", pending(world),
        world->accepted_count - world->ended_count);
    return ready;
}

/* quring_run() does not return for completions of inboxes, so time passes between calls of it that do not sleep. */
static int run_inbox(struct world *world, uint32_t min_count, uint64_t timeout_ns) {
    uint64_t now = sim_now_ns(world->sim), until = now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
    uint32_t ended = world->ended_count;
    int ready = run_once(world, 0, 0);
    while (min_count && ready >= 0 && world->ended_count == ended && pending(world) && now < until) {
        uint64_t timer = quring_timeout_ns(world->engine);
        if (timer)
            (void)sim_wait(world->sim, until - now < timer ? until - now : timer);
        ready = run_once(world, 0, 0);
        now = sim_now_ns(world->sim);
    }
    return ready;
}

int world_run(struct world *world, uint32_t min_count, uint64_t timeout_ns) {
    return world->inbox ? run_inbox(world, min_count, timeout_ns) : run_once(world, min_count, timeout_ns);
}

void world_finish(struct world *world) {
    for (uint32_t turns = 0; world->ended_count < world->accepted_count; turns++) {
        LAW(turns < IDLE_TURNS_MAX, "%u of %u queries ended, and no more do", world->ended_count,
            world->accepted_count);
        (void)world_run(world, 1, QURING_FOREVER);
    }
}

void world_connect(struct world *world, uint32_t count) {
    quring_stats stats;
    for (uint32_t turns = 0;; turns++) {
        quring_stats_get(world->engine, &stats);
        if (stats.connection_count >= count)
            return;
        LAW(turns < IDLE_TURNS_MAX, "%u of %u connections", stats.connection_count, count);
        (void)sim_wait(world->sim, 1000000);
        (void)quring_run(world->engine, 0, 0);
    }
}

void world_pass(struct world *world, uint64_t ns) {
    uint64_t until = sim_now_ns(world->sim) + ns;
    while (sim_now_ns(world->sim) < until) {
        uint64_t left = until - sim_now_ns(world->sim), timer = quring_timeout_ns(world->engine);
        if (timer)
            (void)sim_wait(world->sim, left < timer ? left : timer);
        (void)world_run(world, 0, 0);
    }
}

static void world_back(struct sim_timer *timer) {
    (void)timer;
}

void world_stay_away(struct world *world, uint64_t ns) {
    struct sim_timer timer = {.fire = world_back};
    sim_timer_set(world->sim, &timer, ns);
    sim_settle(world->sim);
}

void world_expect(struct world *world, int index, quring_status status, const char *sqlstate) {
    const struct asked *asked = &world->asked[index];
    LAW(asked->ended, "query %d (%s) has not ended", index, asked->verb);
    LAW(asked->status == status, "query %d (%s) ended with %s, not %s", index, asked->verb,
        quring_status_name((quring_status)asked->status), quring_status_name(status));
    if (sqlstate)
        LAW(strcmp(asked->got_sqlstate, sqlstate) == 0, "query %d (%s): SQLSTATE %s, not %s", index, asked->verb,
            asked->got_sqlstate, sqlstate);
}

quring_stats world_stats(const struct world *world) {
    quring_stats stats;
    quring_stats_get(world->engine, &stats);
    return stats;
}

/* How often it may have come again: as often as a cancel hit it, or what was taken for one. */
static uint32_t struck_count(const struct world *world, uint32_t index) {
    bool alike = world->server.cancels && strcmp(world->asked[index].sqlstate, "57014") == 0;
    return world->server.ledger[index].struck + alike;
}

static const struct asked *batch_member(const struct world *world, uint32_t first, quring_id id) {
    for (uint32_t i = first; i < world->asked_count && world->asked[i].batch == world->asked[first].batch; i++)
        if (world->asked[i].id == id)
            return &world->asked[i];
    return NULL;
}

/* The batch whose first member this is. */
static void check_batch(const struct world *world, uint32_t first) {
    uint32_t number = world->asked[first].batch, committed = world->server.ledger[first].committed;
    for (uint32_t i = first; i < world->asked_count && world->asked[i].batch == number; i++) {
        const struct asked *asked = &world->asked[i];
        const char *status = quring_status_name((quring_status)asked->status);
        LAW(world->server.ledger[i].committed == committed, "batch %u: of query %u another thing became", number, i);
        if (!asked->ended)
            continue;
        bool took_effect = asked->status == QURING_OK || asked->status == QURING_LIMIT;
        bool took_none =
            asked->status == QURING_SERVER_ERROR || asked->status == QURING_SKIPPED || asked->status == QURING_NOT_SENT;
        LAW(!took_effect || committed == 1, "batch %u has no effect, and query %u ended with %s", number, i, status);
        LAW(!took_none || committed == 0, "batch %u took effect, and query %u ended with %s", number, i, status);
        if (asked->status != QURING_SKIPPED)
            continue;
        const struct asked *reason = batch_member(world, first, asked->failed_id);
        LAW(reason && reason != asked, "query %u names no other of its batch", i);
        LAW(reason->status != QURING_OK && reason->status != QURING_SKIPPED, "query %u names one that did not fail", i);
    }
}

void world_check_ledger(struct world *world) {
    for (uint32_t i = 0; i < world->asked_count; i++)
        if (world->asked[i].batch && (i == 0 || world->asked[i - 1].batch != world->asked[i].batch))
            check_batch(world, i);
    for (uint32_t i = 0; i < world->asked_count; i++) {
        const struct asked *asked = &world->asked[i];
        const struct sim_entry *entry = &world->server.ledger[i];
        const char *status = quring_status_name((quring_status)asked->status);
        LAW(entry->committed <= 1, "query %u (%s) took effect %u times", i, status, entry->committed);
        LAW(asked->grouped || entry->executed <= 1 + struck_count(world, i), "query %u (%s) was executed %u times", i,
            status, entry->executed);
        LAW(entry->refused <= 2, "query %u (%s) was refused %u times", i, status, entry->refused);
        if (asked->status == QURING_OK && !asked->in_block && !bare_command(asked->verb))
            LAW(entry->committed == 1, "query %u is OK, but has no effect", i);
        /* With rows alone; "flood" has the connection closed. */
        if (asked->status == QURING_LIMIT && asked->sent && !asked->in_block && strcmp(asked->verb, "rows") == 0)
            LAW(entry->committed == 1, "query %u is over a limit, and has no effect", i);
        bool certain = asked->status == QURING_SERVER_ERROR || asked->status == QURING_NOT_SENT;
        if (certain || asked->status == QURING_SKIPPED)
            LAW(entry->committed == 0, "query %u took effect, but ended with %s", i, status);
        if (asked->status == QURING_NOT_SENT && !asked->grouped)
            LAW(entry->bound <= struck_count(world, i), "query %u was sent, but ended with %s", i, status);
        if (!asked->ended || asked->sent)
            continue;
        LAW(entry->committed == 0, "query %u took effect, but its completion says that it was not sent", i);
        LAW(asked->grouped || asked->in_tx || entry->bound <= struck_count(world, i),
            "query %u came, but its completion says that it was not sent", i);
    }
}
