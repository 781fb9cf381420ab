/* SPDX-License-Identifier: MIT */
/*
 * One program on both databases: what PostgreSQL makes of each step of a transaction is what SQLite has to make of it, as
 * status, SQLSTATE, the query that is named as the reason, and what is found afterwards.
 */
#include "lib/alike.h"
#include "lib/live_tx.h"

#include <stdio.h>
#include <string.h>

enum { STEPS = 14 };

/*
 * How the steps are submitted: each when the one before it has ended, all at once, in two halves, or all at once in as few
 * INDEPENDENT batches as can be, which has to be the same as a call for each.
 */
enum { ONE_BY_ONE, AT_ONCE, IN_HALVES, IN_BATCHES, WAYS };

/*
 * A text, or with a mark before it: '?' is given up before anything was sent; "!commit", "!rollback" and "!release" are the
 * calls. Without an end it is released. One whose name begins with "read only" is opened so.
 */
struct scenario {
    const char *name;
    const char *steps[STEPS];
};

#define INSERT(id) ALIKE_INSERT(id)

static const struct scenario scenarios[] = {
    {"commit", {INSERT(1), "update alike set n = n + 1", "select n from alike where id = 1", "!commit"}},
    {"rollback", {INSERT(1), "select count(*) from alike", "!rollback"}},
    {"ends in words", {INSERT(1), " /* all */ COMMIT TRANSACTION ; "}},
    {"end", {INSERT(1), "END"}},
    {"rollback in words", {INSERT(1), "Rollback Transaction"}},
    {"released", {INSERT(1), INSERT(2)}},
    {"released at once", {INSERT(1), "!release"}},
    {"commit of nothing", {"!commit"}},
    {"rollback of nothing", {"!rollback"}},
    {"nothing after the end", {INSERT(1), "!commit", INSERT(2), "!commit", "!rollback"}},
    {"duplicate", {INSERT(1), INSERT(1), INSERT(2), "select 1", "!commit"}},
    {"not null", {"insert into alike values (1, null)", "!commit"}},
    {"check", {"insert into alike values (1, 200)", "!commit"}},
    {"no such column", {INSERT(1), "select nope from alike", INSERT(2), "!rollback"}},
    {"no such table", {"select * from alike_none", INSERT(2), "COMMIT"}},
    {"syntax", {INSERT(1), "selec 1", "!commit"}},
    {"first fails", {"select nope", INSERT(1), INSERT(2), "!commit"}},
    {"last fails", {INSERT(1), "select nope", "!commit"}},
    {"two fail", {INSERT(1), "select nope", INSERT(1), "select * from alike_none", "!commit"}},
    {"fails, released", {INSERT(1), "select nope", INSERT(2)}},
    {"fails, rolled back", {INSERT(1), "select nope", INSERT(2), "ROLLBACK"}},
    {"deferred", {"insert into alike_child values (77)", "select count(*) from alike_child", "!commit"}},
    {"deferred, in words", {"insert into alike_child values (77)", "commit"}},
    {"deferred, mended", {"insert into alike_child values (5)", INSERT(5), "!commit"}},
    {"deferred, rolled back", {"insert into alike_child values (77)", "!rollback"}},
    {"savepoint", {INSERT(1), "savepoint a", INSERT(2), "rollback to a", INSERT(3), "!commit"}},
    {"release savepoint", {"savepoint a", INSERT(1), "release savepoint a", INSERT(2), "!commit"}},
    {"rollback to, twice",
     {"savepoint a", INSERT(1), "rollback to a", INSERT(1), "ROLLBACK TO SAVEPOINT a", INSERT(2), "!commit"}},
    {"nested",
     {INSERT(1), "savepoint a", INSERT(2), "savepoint b", INSERT(3), "rollback to b", "release a", INSERT(4),
      "!commit"}},
    {"of one name",
     {"savepoint a", INSERT(1), "savepoint a", INSERT(2), "rollback to a", "release a", INSERT(3), "rollback to a",
      INSERT(4), "!commit"}},
    {"names in quotes", {"savepoint \"a b\"", INSERT(1), "rollback to \"a b\"", "release \"a b\"", "!commit"}},
    {"revived", {INSERT(1), "savepoint a", INSERT(1), INSERT(2), "rollback to a", INSERT(3), "!commit"}},
    {"revived twice",
     {"savepoint a", "select nope", "rollback to a", INSERT(1), "savepoint b", INSERT(1), "rollback to b", INSERT(2),
      "!commit"}},
    {"revived by the outer one",
     {"savepoint a", INSERT(1), "savepoint b", INSERT(1), "rollback to a", INSERT(1), "!commit"}},
    {"no such savepoint", {INSERT(1), "rollback to a", INSERT(2), "!commit"}},
    {"no such savepoint to release", {"savepoint a", INSERT(1), "release b", "rollback to a", INSERT(2), "!commit"}},
    {"to one that was released", {"savepoint a", INSERT(1), "release a", "rollback to a", INSERT(2), "!commit"}},
    {"to one that came later", {INSERT(1), "select nope", "savepoint a", "rollback to a", INSERT(2), "!commit"}},
    {"to one of before, and to none",
     {"savepoint a", "select nope", "rollback to b", "rollback to a", INSERT(2), "!commit"}},
    {"release behind a failure", {"savepoint a", "select nope", "release a", "rollback to a", INSERT(1), "!commit"}},
    {"fails behind the revival",
     {"savepoint a", "select nope", "rollback to a", "select * from alike_none", INSERT(1), "!commit"}},
    {"given up", {INSERT(1), "?" INSERT(2), INSERT(3), "!commit"}},
    {"first given up", {"?" INSERT(1), INSERT(2), "!commit"}},
    {"given up, revived", {INSERT(1), "savepoint a", "?" INSERT(2), INSERT(3), "rollback to a", INSERT(4), "!commit"}},
    {"savepoint given up", {INSERT(1), "?savepoint a", INSERT(2), "rollback to a", "!commit"}},
    {"rollback to given up", {"savepoint a", INSERT(1), "?rollback to a", INSERT(2), "rollback to a", "!commit"}},
    {"commit given up", {INSERT(1), "?commit"}},
    {"rollback given up", {INSERT(1), "?rollback"}},
    {"tables",
     {"create table alike_new (a integer)", "insert into alike_new values (1)", "select a from alike_new",
      "!rollback"}},
    {"tables that are there", {"create table alike (a integer)", "!commit"}},
    {"over the limit", {INSERT(1), "select id from alike_many", INSERT(2), "!commit"}},
    {"over the limit, revived", {"savepoint a", "select id from alike_many", "rollback to a", INSERT(2), "!commit"}},
    {"refused", {INSERT(1), "begin", "start transaction", "begin immediate", "", "!commit"}},
    {"refused words", {INSERT(1), "prepare transaction 'a'", "commit and chain", "rollback and chain", "!commit"}},
    {"two statements", {INSERT(1), "select 1; select 2", "!commit"}},
    {"more behind the end", {INSERT(1), "commit; select 1", "rollback; select 1", "END;;"}},
    {"more behind the end of nothing", {"commit; select 1", "rollback; select 1", "commit; commit", "Commit ; ;"}},
    {"more behind the end of a failed one", {"select nope", "rollback; select 1", "commit; select 1", "!commit"}},
    {"an end among signs", {INSERT(1), "(commit", "commit)", "; ;COMMIT /* */ and no chain -- x"}},
    {"savepoints and more", {"savepoint a; select 1", INSERT(1), "!commit"}},
    {"back to a savepoint and more", {"savepoint a", INSERT(1), "rollback to a; select 1", INSERT(2), "!commit"}},
    {"parameters that are missing", {INSERT(1), "select $1", "!commit"}},
    {"read only", {"select count(*) from alike_many", "!commit"}},
    {"read only, writes", {"select 1", INSERT(1), "select 2", "!commit"}},
    {"read only, revived", {"savepoint a", INSERT(1), "rollback to a", "select 2", "!commit"}},
};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

typedef char lines[STEPS + 1][ALIKE_LINE];

struct play {
    const struct scenario *scenario;
    quring_tx *tx; /* NULL: it was released */
    quring_id ids[STEPS];
    char (*lines)[ALIKE_LINE];
    uint32_t out;
};

static int step_of(const struct play *play, quring_id id) {
    for (int i = 0; id && i < STEPS; i++)
        if (play->ids[i] == id)
            return i + 1;
    return 0;
}

static void describe(struct play *play, const quring_done *done) {
    int step = step_of(play, done->id);
    cr_assert_gt(step, 0);
    alike_describe(play->lines[step - 1], done, step_of(play, done->failed_id));
}

static void play_wait(struct play *play) {
    for (; play->out; play->out--) {
        quring_done done = live_wait(&live);
        describe(play, &done);
        live_release(&live, &done);
    }
}

static int play_call(struct play *play, const char *step, quring_id *id) {
    bool given_up = *step == '?';
    if (strcmp(step, "!commit") == 0)
        return quring_commit(play->tx, 0, id);
    if (strcmp(step, "!rollback") == 0)
        return quring_rollback(play->tx, 0, id);
    int error = quring_submit(live.engine, &(quring_query){.tx = play->tx, .sql = step + given_up}, id);
    if (!error && given_up)
        cr_assert_eq(quring_cancel(live.engine, *id), 0);
    return error;
}

static void play_step(struct play *play, int i) {
    const char *step = play->scenario->steps[i];
    if (strcmp(step, "!release") == 0) {
        quring_tx_release(play->tx);
        play->tx = NULL;
        return;
    }
    int error = play_call(play, step, &play->ids[i]);
    play->out += error == 0;
    if (error)
        snprintf(play->lines[i], ALIKE_LINE, "refused %d", error);
}

/* The texts from there on that stand together. Returns how many. */
static int play_batch(struct play *play, int first) {
    quring_query queries[STEPS];
    int count = 0, taken;
    for (; first + count < STEPS && play->scenario->steps[first + count]; count++) {
        const char *step = play->scenario->steps[first + count];
        if (*step == '!' || *step == '?')
            break;
        queries[count] = (quring_query){.tx = play->tx, .sql = step};
    }
    for (int i = 0; i<count; i += taken> 0 ? taken : 1) {
        taken = quring_submit_batch(live.engine, &queries[i], (uint32_t)(count - i), QURING_BATCH_INDEPENDENT,
                                    &play->ids[first + i]);
        if (taken > 0)
            play->out += (uint32_t)taken;
        else
            snprintf(play->lines[first + i], ALIKE_LINE, "refused %d", taken);
    }
    return count;
}

static void play_one(const struct scenario *scenario, int way, lines to) {
    struct play play = {.scenario = scenario, .lines = to};
    int count = 0;
    while (count < STEPS && scenario->steps[count])
        count++;
    memset(to, 0, sizeof(lines));
    play.tx = begin_with(&(quring_tx_options){.read_only = strncmp(scenario->name, "read only", 9) == 0});
    for (int i = 0; i < count; i++) {
        if (way == IN_BATCHES && (i += play_batch(&play, i)) == count)
            break;
        play_step(&play, i);
        if (way == ONE_BY_ONE || (way == IN_HALVES && i == count / 2))
            play_wait(&play);
    }
    play_wait(&play);
    quring_tx_release(play.tx);
    alike_describe_tables(to[STEPS], &live);
}

static void play_all(lines to[SCENARIOS][WAYS]) {
    alike_make_tables(&live);
    for (int i = 0; i < SCENARIOS; i++) {
        for (int way = 0; way < WAYS; way++)
            play_one(&scenarios[i], way, to[i][way]);
        for (int step = 0; step <= STEPS; step++)
            cr_assert_str_eq(to[i][IN_BATCHES][step], to[i][AT_ONCE][step], "%s", scenarios[i].name);
    }
}

/* PostgreSQL has the COMMIT already when the rows that are too many come, and SQLite's lane has not carried it out. */
static bool may_differ(const struct scenario *scenario, int way) {
    return (way == AT_ONCE || way == IN_BATCHES) && strcmp(scenario->name, "over the limit") == 0;
}

static uint32_t compare(const struct scenario *scenario, int way, lines pg, lines lite) {
    static const char *const ways[] = {"one by one", "at once", "in halves", "in batches"};
    uint32_t differences = 0;
    for (int i = 0; i <= STEPS; i++) {
        if (strcmp(pg[i], lite[i]) == 0 || may_differ(scenario, way))
            continue;
        differences++;
        fprintf(stderr, "%s, %s: %s\n    postgresql %s\n    sqlite     %s\n", scenario->name, ways[way],
                i < STEPS ? scenario->steps[i] : "afterwards", pg[i], lite[i]);
    }
    return differences;
}

Test(tx_alike, the_same_program_on_both) {
    static lines on_pg[SCENARIOS][WAYS], on_lite[SCENARIOS][WAYS];
    quring_db_options options = {.connection_count = 2, .result_row_count = 5};
    live_open(&live, &options);
    play_all(on_pg);
    alike_drop_tables(&live);
    live_close(&live);
    alike_open_lite(&live, &options);
    play_all(on_lite);
    alike_close_lite(&live);
    uint32_t differences = 0;
    for (int i = 0; i < SCENARIOS; i++)
        for (int way = 0; way < WAYS; way++)
            differences += compare(&scenarios[i], way, on_pg[i][way], on_lite[i][way]);
    cr_assert_eq(differences, 0, "%u differences", differences);
}
