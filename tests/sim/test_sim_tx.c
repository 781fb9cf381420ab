/* SPDX-License-Identifier: MIT */
/*
 * Transactions of quring_tx_open(): several at a time over few connections, beside other queries, in any weather. A model of
 * each says how its queries must end as long as its connection lives, and the server's ledger what they came to:
 *
 *   in order       the queries of one transaction were executed on one connection, in the order of their submission
 *   acknowledged   COMMIT is OK: each query that is OK and was not undone took effect, once
 *   as told        the same by what each query ended with, where something is given up and there are savepoints
 *   undone         COMMIT is not OK, nor IN_DOUBT: none took effect
 *   in doubt       all took effect, or none
 *   the culprit    SKIPPED names the query whose failure is the reason
 *   given back     in the end no connection is held, and as many are there to be held as before
 *   untouched      one of which nothing is given up is hit by no cancel, and ends as if none was
 */
#include "lib/sim_leases.h"

#include <criterion/criterion.h>

TestSuite(sim_tx, .init = seeds_begin);

enum { QUERIES = 150, SLOTS = 5, SAVEPOINTS = 3, POINTS_MAX = 64 };

enum phase { INSIDE, FAILED };

/* A transaction as its program sees it. */
struct model {
    quring_tx *handle; /* NULL: none */
    uint32_t number;
    enum phase phase;
    uint32_t asked_count;
    int culprit;    /* FAILED: its index */
    bool revivable; /* FAILED: a savepoint was set before the culprit */
    bool saved;     /* a savepoint was set */
    const char *deferred;
    struct {
        uint32_t name, from;
        const char *deferred;
    } points[POINTS_MAX];
    uint32_t point_count;
};

struct member {
    uint32_t tx; /* from 1; 0: it is outside of any */
    bool undone; /* before its transaction's end, or nothing that could be */
    int culprit; /* of a SKIPPED one; -1: it is not */
};

static struct model models[SLOTS];
static struct member members[QUERIES];
static bool given_up[QUERIES + 1]; /* of each transaction: something of it may have been */
static bool
    pointed[QUERIES + 1];     /* … it has savepoints, of which the model knows nothing where something is given up */
static int ends[QUERIES + 1]; /* of each transaction: its COMMIT or ROLLBACK; -1: none */
static bool commits[QUERIES + 1]; /* it is COMMIT */
static uint32_t tx_count;
static bool limited;  /* results have a row at most */
static bool pointing; /* few errors, and many savepoints, of few names */

static const char *const sqlstates[] = {"22012", "23505", "40001", "XX000", "57014"};

/* ---- What must become of a query ---- */

static void model_fail(struct model *model) {
    if (model->phase == FAILED)
        return;
    model->phase = FAILED;
    model->culprit = (int)world.asked_count;
    model->revivable = model->saved;
}

static void model_undo(const struct model *model, uint32_t from) {
    for (uint32_t i = from; i < world.asked_count; i++)
        if (members[i].tx == model->number)
            members[i].undone = true;
}

static void model_skip(struct model *model, struct ask *what) {
    what->skips = true;
    members[world.asked_count].culprit = model->culprit;
}

static void model_end(struct model *model, struct ask *what) {
    bool is_commit = *what->verb == 'c';
    ends[model->number] = (int)world.asked_count;
    if (is_commit && model->phase == FAILED)
        what->fails_with = world.asked[model->culprit].sqlstate;
    else if (is_commit && model->deferred)
        what->fails_with = model->deferred;
    commits[model->number] = is_commit;
}

static void model_go_back(struct model *model, struct ask *what) {
    uint32_t at = model->point_count;
    if (model->phase == FAILED && !model->revivable) {
        model_skip(model, what);
        return;
    }
    while (at && model->points[at - 1].name != what->number)
        at--;
    if (!at) {
        what->fails_with = "3B001";
        model_fail(model);
        return;
    }
    model->point_count = at;
    model->phase = INSIDE;
    model->deferred = model->points[at - 1].deferred;
    model_undo(model, model->points[at - 1].from);
}

static void model_release(struct model *model, struct ask *what) {
    uint32_t at = model->point_count;
    while (at && model->points[at - 1].name != what->number)
        at--;
    if (at) {
        model->point_count = at - 1;
        return;
    }
    what->fails_with = "3B001";
    model_fail(model);
}

static void model_save(struct model *model, const struct ask *what) {
    uint32_t at = model->point_count++;
    cr_assert_lt(at, POINTS_MAX);
    model->points[at].name = what->number;
    model->points[at].from = world.asked_count;
    model->points[at].deferred = model->deferred;
    model->saved = true;
}

static void model_statement(struct model *model, struct ask *what) {
    bool call = strcmp(what->verb, "call") == 0, defers = strcmp(what->verb, "defer") == 0;
    if (call)
        what->fails_with = "2D000";
    if (defers && !model->deferred)
        model->deferred = what->sqlstate;
    else if (defers)
        what->sqlstate = model->deferred;
    if (defers)
        what->fails_with = "";
    else if (call || what->sqlstate)
        model_fail(model);
}

static bool is_verb(const struct ask *what, const char *verb) {
    return strcmp(what->verb, verb) == 0;
}

static void model_ask(struct model *model, struct ask *what) {
    bool ends_it = is_verb(what, "commit") || is_verb(what, "rollback"), goes_back = is_verb(what, "rollback to");
    bool points = goes_back || is_verb(what, "savepoint") || is_verb(what, "release");
    struct member *member = &members[world.asked_count];
    *member = (struct member){.tx = model->number, .culprit = -1};
    if (ends_it)
        model_end(model, what);
    else if (goes_back)
        model_go_back(model, what);
    else if (model->phase == FAILED)
        model_skip(model, what);
    else if (is_verb(what, "savepoint"))
        model_save(model, what);
    else if (is_verb(what, "release"))
        model_release(model, what);
    else
        model_statement(model, what);
    bool fails = what->fails_with ? what->fails_with[0] : what->sqlstate != NULL;
    member->undone = fails || what->skips || ends_it || points;
    pointed[model->number] |= points;
    model->asked_count++;
}

/* ---- What is asked ---- */

static const char *any_of(const char *const *words, uint32_t count) {
    return words[world_below(&world, count)];
}

/* One that goes over the limit, or is given up, is all that fails. */
static struct ask any_pointing_ask(const struct model *model) {
    static const char *const verbs[] = {"savepoint", "savepoint", "rollback to", "rollback to", "release", "error",
                                        "insert",    "insert",    "insert",      "rows",        "sleep"};
    if (model->point_count + 1 == POINTS_MAX || world_below(&world, 12) == 0)
        return (struct ask){.verb = "commit"};
    struct ask ask = {.verb = any_of(verbs, 11), .number = (uint32_t)world_below(&world, 2)};
    if (is_verb(&ask, "rows"))
        ask.number = 2;
    if (is_verb(&ask, "error"))
        ask.sqlstate = any_of(sqlstates, 5);
    return ask;
}

static struct ask any_ask(const struct model *model, bool giving_up) {
    static const char *const sick[] = {"error", "late", "refuse", "bad"};
    static const char *const points[] = {"savepoint", "savepoint", "rollback to", "rollback to", "release"};
    static const char *const harmless[] = {"insert", "insert", "insert", "rows", "select", "sleep", "sleep"};
    static const char *const last[] = {"commit", "commit", "commit", "rollback"};
    uint64_t kind = world_below(&world, 100);
    struct ask ask = {.number = (uint32_t)world_below(&world, SAVEPOINTS)};
    if (kind < 20)
        ask.verb = any_of(last, 4);
    else if (kind < 38 && model->point_count + 1 < POINTS_MAX)
        ask.verb = any_of(points, 5);
    else if (kind < 46)
        return (struct ask){.verb = any_of(sick, 4), .sqlstate = any_of(sqlstates, 5), .number = 2};
    else if (kind < 49)
        return (struct ask){.verb = "defer", .sqlstate = any_of(sqlstates, 5)};
    else if (kind < 51)
        ask.verb = "call";
    else
        ask.verb = any_of(harmless, giving_up ? 7 : 5);
    if (is_verb(&ask, "sleep"))
        ask.number = (uint32_t)world_below(&world, 20000);
    return ask;
}

static void model_open(struct model *model, bool giving_up) {
    quring_tx_options options = {.lease_reset =
                                     world_below(&world, 8) ? QURING_LEASE_RESET_DEFAULT : QURING_LEASE_RESET_ALWAYS};
    options.resolve = (quring_resolve)world_below(&world, 3);
    if (options.resolve == QURING_RESOLVE_TOKEN)
        options.token_table = "public.sim_tokens";
    if (giving_up && world_below(&world, 6) == 0)
        options.timeout_ns = 1 + world_below(&world, 20 * MS);
    int error = quring_tx_open(world.db, &options, &model->handle);
    LAW(error == 0 || error == QURING_EFULL, "quring_tx_open: %s", quring_errmsg(world.engine));
    if (error)
        return;
    quring_tx *handle = model->handle;
    *model = (struct model){.handle = handle, .number = ++tx_count};
    ends[tx_count] = -1;
    commits[tx_count] = false;
    given_up[tx_count] = options.timeout_ns != 0;
    pointed[tx_count] = false;
}

/* A query of a transaction that is out, or all of a transaction. */
static void give_up_any(void) {
    uint32_t among = pointing || !world.asked_count ? 8 : world.asked_count; /* the latest */
    uint32_t index = world.asked_count - 1 - (uint32_t)world_below(&world, among);
    struct model *model = &models[world_below(&world, SLOTS)];
    if (world_below(&world, 4) == 0 && model->handle) {
        given_up[model->number] = true;
        quring_tx_release(model->handle);
        model->handle = NULL;
    } else if (index < world.asked_count && members[index].tx && !world.asked[index].ended) {
        given_up[members[index].tx] = true;
        LAW(quring_cancel(world.engine, world.asked[index].id) == 0, "quring_cancel");
    }
}

static void ask_in(struct model *model, bool giving_up) {
    struct ask what = pointing ? any_pointing_ask(model) : any_ask(model, giving_up);
    struct model before = *model;
    uint32_t index = world.asked_count;
    struct member was[QUERIES];
    memcpy(was, members, sizeof was);
    model_ask(model, &what);
    what.tx = model->handle;
    what.in_block = true;
    what.either = giving_up;
    bool slow = is_verb(&what, "sleep"), harmless = is_verb(&what, "insert") || is_verb(&what, "rows");
    bool last = ends[model->number] == (int)index;
    if (giving_up && (slow || harmless) && world_below(&world, slow ? 3 : 8) == 0)
        what.timeout_ns = 1 + world_below(&world, slow ? 20 * MS : 300000);
    int asked = world_ask(&world, &what);
    LAW(asked >= 0 || (asked == QURING_EFULL && !last), "quring_submit: %s", quring_errmsg(world.engine));
    if (asked < 0) {
        *model = before;
        memcpy(members, was, sizeof was);
        return;
    }
    given_up[model->number] |= what.timeout_ns != 0 || (limited && is_verb(&what, "rows"));
    if (!last)
        return;
    quring_tx_release(model->handle);
    model->handle = NULL;
}

static void ask_outside(void) {
    static const char *const verbs[] = {"insert", "rows", "select"};
    struct ask what = {.verb = any_of(verbs, 3),
                       .number = limited ? 1 : 2,
                       .order_key = world_below(&world, 4),
                       .commit = world_below(&world, 2) ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH};
    members[world.asked_count] = (struct member){.culprit = -1};
    (void)world_ask(&world, &what);
}

static void ask_one(bool giving_up) {
    struct model *model = &models[world_below(&world, SLOTS)];
    if (world_below(&world, 5) == 0) {
        ask_outside();
        return;
    }
    if (giving_up && world_below(&world, 4) == 0)
        give_up_any();
    if (!model->handle)
        model_open(model, giving_up);
    /* Several in a row: a transaction is often submitted as a whole. */
    for (uint64_t burst = 1 + world_below(&world, 6); burst && model->handle && world.asked_count < QUERIES; burst--)
        ask_in(model, giving_up);
}

/* ---- What it came to ---- */

static bool took_effect(uint32_t index) {
    return world.server.ledger[index].committed != 0;
}

/* The end of a transaction that tells nothing. */
static bool is_doubtful(uint8_t status) {
    return status == QURING_IN_DOUBT || status == QURING_TIMEOUT || status == QURING_CANCELLED;
}

static void check_member(uint32_t index, bool calm) {
    const struct member *member = &members[index];
    const struct asked *asked = &world.asked[index];
    int end = ends[member->tx];
    bool acknowledged = commits[member->tx] && end >= 0 && world.asked[end].status == QURING_OK;
    bool doubtful = commits[member->tx] && end >= 0 && is_doubtful(world.asked[end].status);
    if (calm)
        LAW(world.server.ledger[index].struck == 0 && world_is_natural(&world, index),
            "query %u ended with %s: nothing of its transaction was given up", index,
            quring_status_name((quring_status)asked->status));
    if (calm && member->culprit >= 0 && end >= 0)
        LAW(asked->failed_id == world.asked[member->culprit].id, "query %u names another than %d", index,
            member->culprit);
    bool known = !given_up[member->tx] || !pointed[member->tx];
    if ((member->undone && known) || !(acknowledged || doubtful)) {
        LAW(!took_effect(index), "query %u was undone, but took effect", index);
        return;
    }
    if (acknowledged && known && asked->status == QURING_OK)
        LAW(took_effect(index), "query %u is OK and committed, but has no effect", index);
    if (acknowledged && calm)
        LAW(asked->status == QURING_OK, "query %u: %s, but its transaction is committed", index,
            quring_status_name((quring_status)asked->status));
}

/* All or nothing, and in order on one connection. */
static void check_tx(uint32_t number) {
    uint32_t pid = 0;
    uint64_t at = 0;
    int whole = -1;
    for (uint32_t i = 0; i < world.asked_count; i++) {
        const struct sim_entry *entry = &world.server.ledger[i];
        if (members[i].tx != number)
            continue;
        if (entry->executed) {
            LAW(!pid || entry->pid == pid, "transaction %u ran on two connections", number);
            LAW(entry->at > at, "transaction %u ran out of order", number);
            pid = entry->pid;
            at = entry->at;
        }
        if (members[i].undone || (given_up[number] && pointed[number]) || !entry->executed ||
            world.asked[i].status != QURING_OK)
            continue;
        LAW(whole < 0 || whole == (int)took_effect(i), "transaction %u took effect in part", number);
        whole = took_effect(i);
    }
}

/* ---- What the program was told ---- */

enum word { DONE, UNDONE, UNKNOWN };

/* What a program makes of the ends of a transaction's queries, in their order. */
struct told {
    enum word words[QUERIES];
    struct {
        uint32_t name, from;
    } points[QUERIES];
    uint32_t point_count;
    bool is_lost; /* it does not know its savepoints any more: one of their statements was given up */
};

static void told_point(struct told *told, uint32_t number, uint32_t index) {
    const struct asked *asked = &world.asked[index];
    uint32_t at = told->point_count;
    if (strcmp(asked->verb, "savepoint") == 0) {
        told->points[told->point_count].name = asked->number;
        told->points[told->point_count++].from = index;
        return;
    }
    while (at && told->points[at - 1].name != asked->number)
        at--;
    LAW(at || told->is_lost, "query %u is OK, and there is no such savepoint", index);
    if (!at)
        return;
    bool goes_back = strcmp(asked->verb, "rollback to") == 0;
    for (uint32_t i = told->points[at - 1].from; goes_back && i < index; i++)
        if (members[i].tx == number)
            told->words[i] = UNDONE;
    told->point_count = goes_back ? at : at - 1;
}

static uint64_t undone_as_told;

/* A COMMIT that is OK: what is left of OK took effect, and nothing that was skipped, or undone. */
static void check_told(uint32_t number) {
    static const uint32_t unknown = MAY(CANCELLED) | MAY(TIMEOUT) | MAY(LIMIT) | MAY(IN_DOUBT);
    static struct told told;
    told.point_count = 0;
    told.is_lost = false;
    for (uint32_t i = 0; i < world.asked_count; i++) {
        const struct asked *asked = &world.asked[i];
        bool points = strcmp(asked->verb, "savepoint") == 0 || strcmp(asked->verb, "rollback to") == 0 ||
                      strcmp(asked->verb, "release") == 0;
        if (members[i].tx != number)
            continue;
        told.words[i] = asked->status == QURING_OK ? DONE : unknown >> asked->status & 1 ? UNKNOWN : UNDONE;
        told.is_lost |= points && told.words[i] == UNKNOWN;
        if (points && told.words[i] == DONE)
            told_point(&told, number, i);
        if (points)
            told.words[i] = UNKNOWN; /* the ledger has none of them */
    }
    for (uint32_t i = 0; i < world.asked_count; i++) {
        if (members[i].tx != number || (int)i == ends[number] || told.words[i] == UNKNOWN)
            continue;
        bool sure = !told.is_lost || world.asked[i].status == QURING_SKIPPED;
        LAW(!sure || took_effect(i) == (told.words[i] == DONE), "query %u ended with %s, and %s", i,
            quring_status_name((quring_status)world.asked[i].status), took_effect(i) ? "took effect" : "has no effect");
        undone_as_told += world.server.ledger[i].executed && !took_effect(i);
    }
}

static void check_all(bool calm) {
    for (uint32_t i = 0; i < world.asked_count; i++)
        if (members[i].tx)
            check_member(i, calm && !given_up[members[i].tx]);
        else if (calm)
            LAW(world.asked[i].status == QURING_OK || !world.asked[i].accepted, "query %u is outside of any", i);
    for (uint32_t number = 1; number <= tx_count; number++)
        check_tx(number);
    for (uint32_t number = 1; number <= tx_count; number++)
        if (commits[number] && ends[number] >= 0 && world.asked[ends[number]].status == QURING_OK)
            check_told(number);
}

/* ---- Seeds ---- */

static struct sim_options weather(uint64_t seed, bool losses) {
    struct rng rng = {seed * 5005};
    return (struct sim_options){.seed = seed,
                                .socket_bytes = 1u << (7 + rng_below(&rng, 10)),
                                .latency_ns = rng_below(&rng, 100000),
                                .split = (uint16_t)rng_below(&rng, 400),
                                .short_send = (uint16_t)rng_below(&rng, 300),
                                .short_delivery = (uint16_t)rng_below(&rng, 400),
                                .again = (uint16_t)rng_below(&rng, 50),
                                .reset = losses && rng_below(&rng, 2) ? 5 : 0};
}

static void release_all(void) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (!models[i].handle)
            continue;
        given_up[models[i].number] = true;
        quring_tx_release(models[i].handle);
    }
    memset(models, 0, sizeof models);
}

/* What was given up may still be at work on the server. */
static void come_to_rest(void) {
    for (uint64_t until = sim_now_ns(world.sim) + SECOND; sim_now_ns(world.sim) < until;)
        (void)world_run(&world, 1, 20 * MS);
}

static uint64_t stopped_count, struck_ends;

static void txs_run(uint64_t seed, bool losses, bool giving_up) {
    struct sim_options sim = weather(seed, losses);
    quring_options engine = {.query_count = 64};
    memset(models, 0, sizeof models);
    tx_count = 0;
    world_begin(&world, &sim, QUERIES);
    LAW(world_open_engine(&world, &engine, NULL) == 0, "quring_engine_open");
    uint32_t connections = 1 + (uint32_t)world_below(&world, 3);
    quring_db_options db = {.connection_count = connections,
                            .depth = 1 + (uint32_t)world_below(&world, 24),
                            .lease_count = (uint32_t)world_below(&world, connections + 1)};
    limited = giving_up && seed % 4 < 2;
    db.result_row_count = limited ? 1 : 0;
    world.allowed = (losses ? MAY_BE_LOST | MAY(SERVER_ERROR) | MAY(SKIPPED) : 0) | (limited ? MAY(LIMIT) : 0) |
                    (giving_up ? MAY(TIMEOUT) | MAY(CANCELLED) | MAY(SKIPPED) | MAY(SERVER_ERROR) | MAY(IN_DOUBT) : 0);
    world.server.eager = (uint16_t)world_below(&world, 300);
    world.server.kill = losses ? (uint16_t)world_below(&world, 20) : 0;
    world.server.cancels = giving_up && seed % (pointing ? 2 : 7);
    world.server.cancel_ns = world_below(&world, 4 * MS);
    world.server.end_ns = giving_up && seed % 3 ? world_below(&world, 4 * MS) : 0;
    world.server.standby = seed % 5 == 0;
    LAW(world_open_db(&world, &db) == 0, "quring_db_open: %s", quring_errmsg(world.engine));
    while (world.asked_count < QUERIES) {
        for (uint64_t burst = world_below(&world, 12); burst && world.asked_count < QUERIES; burst--)
            ask_one(giving_up);
        (void)world_run(&world, 1 + (uint32_t)world_below(&world, 8), world_below(&world, MS));
        if (losses && world_below(&world, 40) == 0)
            sim_server_kill(&world.server, world_below(&world, 2));
    }
    world_pass(&world, 20 * MS);
    world.allowed |= MAY(SKIPPED);
    release_all();
    world_finish(&world);
    come_to_rest();
    check_leases();
    uint64_t stopped = world_stats(&world).cancel_stopped_count;
    LAW(losses || world_stats(&world).connection_lost_count == 0, "a connection was lost");
    world_close_engine(&world);
    sim_settle(world.sim);
    world_check_ledger(&world);
    check_all(!losses);
    struck_ends += world.server.struck_ends;
    stopped_count += stopped;
    world_free(&world);
}

static void calm_seed(uint64_t seed) {
    txs_run(seed, false, false);
}

static void loss_seed(uint64_t seed) {
    txs_run(seed, true, false);
}

static void any_seed(uint64_t seed) {
    txs_run(seed, seed % 2, true);
}

static void pointing_seed(uint64_t seed) {
    pointing = true;
    txs_run(seed, seed % 8 == 0, true);
    pointing = false;
}

Test(sim_tx, each_query_ends_as_its_transaction_says) {
    seeds_run(200, calm_seed);
}

Test(sim_tx, transactions_of_lost_connections_are_whole_or_gone) {
    seeds_run(300, loss_seed);
}

Test(sim_tx, transactions_with_queries_that_are_given_up) {
    stopped_count = struck_ends = 0;
    seeds_run(400, any_seed);
    cr_assert_gt(stopped_count, 0u);
    cr_assert(struck_ends > 0 || stopped_count < 100, "some thirty hit a query for one that hits an end");
}

Test(sim_tx, savepoints_around_queries_that_are_given_up) {
    undone_as_told = 0;
    seeds_run(300, pointing_seed);
    cr_assert_gt(undone_as_told, 0u);
}
