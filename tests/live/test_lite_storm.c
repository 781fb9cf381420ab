/* SPDX-License-Identifier: MIT */
/*
 * Storms on one SQLite handle with its threads: shared reads and writes, ATOMIC batches, order keys, transactions whole and
 * step by step, snapshots, cancels and timeouts. The oracle is what the program was told, replayed, against what another
 * connection finds in the file:
 *
 *   writes      each has a number of its own: there if its end was acknowledged, not there if it failed, was skipped or was
 *               never begun
 *   all or none of a batch, and of a transaction what it had not taken back when its COMMIT was acknowledged
 *   failure     behind a query that failed nothing of its transaction is OK until a ROLLBACK TO is, and SKIPPED names one
 *   snapshot    all reads of a transaction that only reads find the same
 *   order       queries of one key find what those before them left
 *   once        each query ends once
 */
#include "lib/lite_files.h"
#include "lib/seeds.h"

#include "base/rng.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 6000, UNITS_MAX = 4000, OPEN_MAX = 8, KEYS = 5, OUT_MAX = 80, NONE = UINT32_MAX };

static const uint64_t STALL_NS = LIVE_STALL_NS;

enum verb { WRITE, FAIL, READ, SLOW, SAVE, BACK, COMMIT, ROLLBACK, KEYED };

struct op {
    quring_id id, failed_id;
    uint32_t unit, next; /* the next of its unit, in the order of submission; NONE: it is the last */
    int64_t expected;    /* KEYED: what it has to find */
    uint8_t verb, status;
    bool ended, sent, undone; /* `undone`: by a ROLLBACK TO */
};

enum kind { SINGLE, BATCH, TX };

struct unit {
    enum kind kind;
    uint32_t first, last;
    bool read_only, has_seen;
    int64_t seen; /* of one that only reads */
};

struct open_tx {
    quring_tx *handle; /* NULL: the place is free */
    uint32_t unit;
    bool saved;
};

static struct storm {
    struct live live;
    struct rng rng;
    struct op ops[OPS_MAX];
    struct unit units[UNITS_MAX];
    uint32_t op_count, unit_count, out;
    struct open_tx open[OPEN_MAX];
    int64_t keys[KEYS];
} storm;

static uint64_t draw(uint64_t below) {
    return rng_below(&storm.rng, below);
}

/* ---- Submitting ---- */

static uint32_t new_unit(enum kind kind) {
    LAW(storm.unit_count < UNITS_MAX, "too many units");
    storm.units[storm.unit_count] = (struct unit){.kind = kind, .first = NONE, .last = NONE};
    return storm.unit_count++;
}

static uint32_t new_op(uint32_t unit, enum verb verb) {
    uint32_t number = storm.op_count++;
    struct unit *of = &storm.units[unit];
    storm.ops[number] = (struct op){.unit = unit, .next = NONE, .verb = (uint8_t)verb};
    if (of->last == NONE)
        of->first = number;
    else
        storm.ops[of->last].next = number;
    of->last = number;
    storm.out++;
    return number;
}

static const char *sql_of(enum verb verb) {
    static const char *const texts[] = {
        [WRITE] = "insert into log(id) values($1)",
        [FAIL] = "insert into log(id) select -1",
        [READ] = "select count(*) * 1000003 + sum(id) from log",
        [SLOW] =
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000) select count(*) from n",
        [SAVE] = "savepoint a",
        [BACK] = "rollback to a",
        [COMMIT] = "commit",
        [ROLLBACK] = "rollback",
    };
    return texts[verb];
}

/* `param`: room for one, since a batch is submitted later. */
static quring_query query_of(uint32_t number, quring_param *param) {
    const struct op *op = &storm.ops[number];
    *param = quring_int64(number);
    return (quring_query){.db = storm.live.db,
                          .sql = sql_of((enum verb)op->verb),
                          .params = param,
                          .param_count = op->verb == WRITE,
                          .user_data = number,
                          .timeout_ns = draw(12) ? 0 : 1 + draw(20 * LIVE_MS)};
}

static void submit(const quring_query *query) {
    int error = quring_submit(storm.live.engine, query, &storm.ops[query->user_data].id);
    LAW(error == 0, "%s: %s", query->sql, quring_errmsg(storm.live.engine));
}

static void ask_single(void) {
    static const uint8_t verbs[] = {WRITE, WRITE, WRITE, WRITE, WRITE, FAIL, READ, READ, READ, SLOW};
    quring_param param;
    uint32_t number = new_op(new_unit(SINGLE), (enum verb)verbs[draw(sizeof verbs)]);
    quring_query query = query_of(number, &param);
    query.commit = draw(2) ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH;
    submit(&query);
}

/* They are not given up, so that the numbers go on without a gap. */
static void ask_keyed(void) {
    uint32_t number = new_op(new_unit(SINGLE), KEYED), key = (uint32_t)draw(KEYS);
    bool writes = draw(2);
    storm.ops[number].expected = storm.keys[key] += writes;
    submit(&(quring_query){.db = storm.live.db,
                           .sql = writes ? "update counter set n = n + 1 where id = $1 returning n"
                                         : "select n from counter where id = $1",
                           .params = QURING_PARAMS(quring_int64(key)),
                           .commit = draw(2) ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH,
                           .order_key = 1 + key,
                           .user_data = number});
}

static void ask_batch(void) {
    enum { MOST = 6 };
    quring_query queries[MOST] = {{0}};
    quring_param params[MOST];
    quring_id ids[MOST];
    uint32_t count = 1 + (uint32_t)draw(MOST), unit = new_unit(BATCH), first = storm.op_count;
    bool fails = draw(5) == 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = new_op(unit, fails && i == count / 2 ? FAIL : draw(6) ? WRITE : READ);
        queries[i] = query_of(number, &params[i]);
    }
    int taken = quring_submit_batch(storm.live.engine, queries, count, QURING_BATCH_ATOMIC, ids);
    LAW(taken == (int)count, "a batch of %u: %s", count, quring_errmsg(storm.live.engine));
    for (uint32_t i = 0; i < count; i++)
        storm.ops[first + i].id = ids[i];
}

static void ask_in(struct open_tx *tx, enum verb verb) {
    quring_param param;
    uint32_t number = new_op(tx->unit, verb);
    quring_query query = query_of(number, &param);
    query.tx = tx->handle;
    if (verb != COMMIT && verb != ROLLBACK && verb != SAVE && verb != BACK)
        submit(&query);
    else if ((verb == COMMIT || verb == ROLLBACK) && draw(2)) {
        int error = verb == COMMIT ? quring_commit(tx->handle, number, &storm.ops[number].id)
                                   : quring_rollback(tx->handle, number, &storm.ops[number].id);
        LAW(error == 0, "%s", quring_errmsg(storm.live.engine));
    } else {
        query.timeout_ns = 0;
        submit(&query);
    }
}

static void step_tx(struct open_tx *tx) {
    static const uint8_t writing[] = {WRITE, WRITE, WRITE, WRITE, WRITE, WRITE, READ, SLOW, SAVE, BACK, FAIL},
                         reading[] = {READ, READ, READ, READ, READ, READ, READ, SLOW};
    bool read_only = storm.units[tx->unit].read_only;
    enum verb verb = (enum verb)(read_only ? reading[draw(sizeof reading)] : writing[draw(sizeof writing)]);
    if (verb == SAVE && tx->saved)
        verb = BACK;
    if (verb == BACK && !tx->saved)
        verb = SAVE;
    tx->saved |= verb == SAVE;
    ask_in(tx, verb);
}

static void end_tx(struct open_tx *tx) {
    uint64_t how = draw(8);
    if (how > 0)
        ask_in(tx, how < 7 ? COMMIT : ROLLBACK);
    quring_tx_release(tx->handle);
    tx->handle = NULL;
}

static struct open_tx *begin_tx(void) {
    for (int i = 0; i < OPEN_MAX; i++) {
        struct open_tx *tx = &storm.open[i];
        if (tx->handle)
            continue;
        *tx = (struct open_tx){.unit = new_unit(TX)};
        storm.units[tx->unit].read_only = draw(3) == 0;
        quring_tx_options options = {.read_only = storm.units[tx->unit].read_only,
                                     .timeout_ns = draw(8) ? 0 : 1 + draw(30 * LIVE_MS),
                                     .idle_timeout_ns = draw(8) ? 200 * LIVE_MS : 1 + draw(10 * LIVE_MS)};
        int error = quring_tx_open(storm.live.db, &options, &tx->handle);
        LAW(error == 0, "%s", quring_errmsg(storm.live.engine));
        return tx;
    }
    return NULL;
}

static void ask_whole(void) {
    struct open_tx *tx = begin_tx();
    for (uint64_t steps = tx ? 1 + draw(6) : 0; steps; steps--)
        step_tx(tx);
    if (tx)
        end_tx(tx);
}

static void ask_leased(void) {
    struct open_tx *tx = &storm.open[draw(OPEN_MAX)];
    if (!tx->handle)
        tx = begin_tx();
    if (tx && draw(5))
        step_tx(tx);
    else if (tx)
        end_tx(tx);
}

static void cancel_one(void) {
    uint32_t number =
        storm.op_count ? storm.op_count - 1 - (uint32_t)draw(storm.op_count < 60 ? storm.op_count : 60) : 0;
    if (storm.op_count && !storm.ops[number].ended && storm.ops[number].verb != KEYED)
        (void)quring_cancel(storm.live.engine, storm.ops[number].id);
}

/* ---- Completions ---- */

static void take_value(struct op *op, const quring_done *done) {
    struct unit *unit = &storm.units[op->unit];
    int64_t value = 0;
    if (op->verb != KEYED && !(op->verb == READ && unit->read_only))
        return;
    LAW(quring_get_int64(done->result, 0, 0, &value) == 0, "%s", quring_result_error(done->result));
    if (op->verb == KEYED)
        LAW(value == op->expected, "a key has %d, and not %d", (int)value, (int)op->expected);
    else if (unit->has_seen)
        LAW(value == unit->seen, "a snapshot changed");
    unit->has_seen = true;
    unit->seen = value;
}

static void take(const quring_done *done) {
    struct op *op = &storm.ops[done->user_data];
    LAW(done->user_data < storm.op_count && op->id == done->id && !op->ended, "a query ends twice");
    op->ended = true;
    op->status = (uint8_t)done->status;
    op->sent = done->sent;
    op->failed_id = done->failed_id;
    storm.out--;
    LAW(op->verb != KEYED || done->status == QURING_OK || done->status == QURING_SHUTDOWN, "a key's query: %s",
        done->error ? done->error->message : "");
    if (done->status == QURING_OK)
        take_value(op, done);
    LAW(quring_release(storm.live.engine, done->id) == 0, "%s", quring_errmsg(storm.live.engine));
}

static void print_out(void) {
    static const char *const kinds[] = {"single", "batch", "transaction"};
    for (uint32_t i = 0; i < storm.op_count; i++)
        if (!storm.ops[i].ended)
            fprintf(stderr, "op %u of a %s is out: verb %u\n", i, kinds[storm.units[storm.ops[i].unit].kind],
                    storm.ops[i].verb);
}

/* A machine that stood still for that long is given a second chance. */
static void turn(uint32_t min_count) {
    quring_done done[16];
    int count = 0;
    for (int tries = 0; count == 0 && tries < (min_count ? 2 : 1); tries++)
        count = quring_run(storm.live.engine, min_count, min_count ? STALL_NS : 0);
    if (count == 0 && min_count)
        print_out();
    LAW(count > 0 || (count == 0 && !min_count), "nothing comes of %u that are out", storm.out);
    while ((count = quring_reap(storm.live.engine, done, 16)) > 0)
        for (int i = 0; i < count; i++)
            take(&done[i]);
}

/* ---- The oracle ---- */

enum fate { ABSENT, PRESENT, EITHER }; /* EITHER: all of the unit, or none */

static bool is_given_up(const struct op *op) {
    return op->status == QURING_CANCELLED || op->status == QURING_TIMEOUT || op->status == QURING_SHUTDOWN;
}

static enum fate fate_of(const struct op *op) {
    return op->status == QURING_OK ? PRESENT : is_given_up(op) && op->sent ? EITHER : ABSENT;
}

static enum fate fate_of_batch(const struct unit *unit) {
    uint32_t ok = 0, failed = 0, sent = 0;
    for (uint32_t i = unit->first; i != NONE; i = storm.ops[i].next) {
        const struct op *op = &storm.ops[i];
        ok += op->status == QURING_OK;
        failed += op->status != QURING_OK && !is_given_up(op);
        sent += op->sent;
    }
    LAW(!ok || !failed, "a batch of which some failed, and others did not");
    return ok ? PRESENT : failed || !sent ? ABSENT : EITHER;
}

static bool is_control(const struct op *op) {
    return op->verb == COMMIT || op->verb == ROLLBACK;
}

/* It may stand behind, where a timeout of the transaction came to that. */
static bool has_failed(const struct unit *unit, quring_id id) {
    for (uint32_t i = unit->first; i != NONE; i = storm.ops[i].next)
        if (storm.ops[i].id == id)
            return storm.ops[i].status != QURING_OK && storm.ops[i].status != QURING_SKIPPED &&
                   !is_control(&storm.ops[i]);
    return false;
}

/* Marks what a transaction had taken back when it ended; returns what became of the rest. */
static enum fate replay_tx(struct unit *unit) {
    bool failed = false;
    uint32_t saved_at = NONE;
    enum fate fate = ABSENT;
    for (uint32_t i = unit->first; i != NONE; i = storm.ops[i].next) {
        struct op *op = &storm.ops[i];
        bool ok = op->status == QURING_OK;
        LAW(!failed || !ok || op->verb == BACK || op->verb == ROLLBACK, "op %u is OK behind a failure", i);
        LAW(op->status != QURING_SKIPPED || !op->failed_id || has_failed(unit, op->failed_id),
            "op %u names a query that did not fail", i);
        failed = op->verb == BACK && ok ? false : failed || !ok;
        if (op->verb == SAVE && ok)
            saved_at = i;
        for (uint32_t undone = saved_at; op->verb == BACK && ok && undone != i; undone = storm.ops[undone].next)
            storm.ops[undone].undone = true;
        if (op->verb == COMMIT)
            fate = fate_of(op);
    }
    return fate;
}

static bool *load_present(void) {
    bool *present = calloc(OPS_MAX, sizeof *present);
    sqlite3 *handle;
    sqlite3_stmt *statement;
    LAW(present && sqlite3_open(files_path("a.db"), &handle) == SQLITE_OK, "the file");
    LAW(sqlite3_prepare_v2(handle, "select id from log where id >= 0", -1, &statement, NULL) == SQLITE_OK, "%s",
        sqlite3_errmsg(handle));
    while (sqlite3_step(statement) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(statement, 0);
        LAW(id < storm.op_count && storm.ops[id].verb == WRITE, "a row that nobody wrote");
        present[id] = true;
    }
    LAW(sqlite3_finalize(statement) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
    sqlite3_close(handle);
    return present;
}

/* `how` EITHER: the first write tells of the others. Members of a batch take effect even if they were given up. */
static void check_unit(const struct unit *unit, enum fate how, const bool *present) {
    static const char *const kinds[] = {"single", "batch", "transaction"};
    bool known = how != EITHER, all = how == PRESENT;
    for (uint32_t i = unit->first; i != NONE; i = storm.ops[i].next) {
        const struct op *op = &storm.ops[i];
        bool counts = unit->kind != TX || (op->status == QURING_OK && !op->undone);
        if (op->verb != WRITE)
            continue;
        if (!known && counts)
            all = present[i];
        known |= counts;
        LAW(present[i] == (counts && all), "write %u of a %s: %s, and is%s there", i, kinds[unit->kind],
            quring_status_name((quring_status)op->status), present[i] ? "" : " not");
    }
}

static void check_all(void) {
    bool *present = load_present();
    for (uint32_t i = 0; i < storm.op_count; i++)
        LAW(storm.ops[i].ended, "op %u did not end", i);
    for (uint32_t i = 0; i < storm.unit_count; i++) {
        struct unit *unit = &storm.units[i];
        if (unit->first == NONE)
            continue;
        enum fate fate = unit->kind == SINGLE  ? fate_of(&storm.ops[unit->first])
                         : unit->kind == BATCH ? fate_of_batch(unit)
                                               : replay_tx(unit);
        check_unit(unit, fate, present);
    }
    free(present);
}

/* ---- Storms ---- */

static void storm_open(uint64_t seed) {
    static const uint32_t depths[] = {0, 6, 20, 0};
    memset(&storm, 0, sizeof storm);
    storm.rng.state = seed;
    files_begin();
    files_open(&storm.live, "a.db",
               &(quring_db_options){.connection_count = 1 + (uint32_t)draw(4),
                                    .depth = depths[draw(4)],
                                    .lease_count = (uint32_t)draw(4),
                                    .durability = QURING_DURABILITY_OFF});
    live_exec(&storm.live, "create table log(id integer primary key)");
    live_exec(&storm.live, "insert into log values(-1)");
    live_exec(&storm.live, "create table counter(id integer primary key, n integer not null)");
    live_exec(&storm.live, "insert into counter values(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)");
}

static void act(void) {
    switch (draw(12)) {
    case 0:
    case 1:
    case 2:
        ask_single();
        break;
    case 3:
    case 4:
        ask_keyed();
        break;
    case 5:
        ask_batch();
        break;
    case 6:
    case 7:
        ask_whole();
        break;
    case 8:
        cancel_one();
        break;
    default:
        ask_leased();
    }
}

/* Either all goes on to its end, or the handle is closed in the middle. */
static void storm_end(bool at_once) {
    if (at_once)
        quring_db_close(storm.live.db);
    for (int i = 0; i < OPEN_MAX; i++)
        if (storm.open[i].handle && (at_once || draw(2)))
            quring_tx_release(storm.open[i].handle);
        else if (storm.open[i].handle)
            end_tx(&storm.open[i]);
    while (storm.out)
        turn(1);
    live_close(&storm.live);
}

static void blow(uint64_t seed) {
    enum { STEPS = 1500 };
    storm_open(seed);
    for (int i = 0; i < STEPS && storm.op_count < OPS_MAX - 100 && storm.unit_count < UNITS_MAX - 1; i++) {
        act();
        if (storm.out > OUT_MAX)
            turn(1);
        else if (draw(4) == 0)
            turn(0);
    }
    storm_end(draw(4) == 0);
    check_all();
    files_end();
}

Test(lite_storm, all_kinds_of_work_on_one_handle) {
    seeds_run(10, blow);
}
