/* SPDX-License-Identifier: MIT */
/*
 * One program on both databases, with batches that go out at once and with such as are longer than the depth: what
 * PostgreSQL makes of each query of a short ATOMIC batch is what all others have to make of it, as status, SQLSTATE, the query
 * that is named as the reason, and what is found afterwards.
 */
#include "lib/alike.h"

#include <stdio.h>
#include <string.h>

enum { MEMBERS = 8, SHORT_DEPTH = 3 };

static struct live live;

/* A text with '?' before it is given up before anything was sent. */
struct scenario {
    const char *name;
    const char *members[MEMBERS];
};

#define INSERT(id) ALIKE_INSERT(id)

static const struct scenario scenarios[] = {
    {"all is well",
     {INSERT(1), "update alike set n = n + 1 where id = 1", "select n from alike where id = 1", INSERT(2), INSERT(3),
      "delete from alike where id = 2", "select count(*) from alike"}},
    {"reads alone", {"select 1", "select 2", "select count(*) from alike", "select 4", "select 5"}},
    {"one alone", {INSERT(1)}},
    {"one alone that fails", {"select nope"}},
    {"the first fails", {"select nope", INSERT(1), INSERT(2), INSERT(3), INSERT(4)}},
    {"one in the middle fails", {INSERT(1), INSERT(2), INSERT(3), INSERT(1), INSERT(5), INSERT(6)}},
    {"the last fails", {INSERT(1), INSERT(2), INSERT(3), INSERT(4), "insert into alike values (5, 200)"}},
    {"two fail", {INSERT(1), "insert into alike values (1, 0)", INSERT(2), INSERT(3), "select nope", INSERT(4)}},
    {"no such table", {INSERT(1), INSERT(2), INSERT(3), "select * from alike_none"}},
    {"syntax", {INSERT(1), INSERT(2), INSERT(3), INSERT(4), "select from where"}},
    {"not null", {INSERT(1), INSERT(2), INSERT(3), INSERT(4), "insert into alike values (5, null)"}},
    {"deferred", {INSERT(1), "insert into alike_child values (77)", INSERT(2), INSERT(3), INSERT(4)}},
    {"deferred, mended", {"insert into alike_child values (5)", INSERT(1), INSERT(2), INSERT(3), INSERT(5)}},
    {"over the limit", {INSERT(1), "select id from alike_many", INSERT(2), INSERT(3), INSERT(4), INSERT(5)}},
    {"over the limit, and one fails", {"select id from alike_many", INSERT(1), INSERT(2), INSERT(3), INSERT(1)}},
    {"the first is given up", {"?" INSERT(1), INSERT(2), INSERT(3), INSERT(4), INSERT(5)}},
    {"the last is given up", {INSERT(1), INSERT(2), INSERT(3), INSERT(4), "?" INSERT(5)}},
    {"parameters that are missing", {INSERT(1), INSERT(2), INSERT(3), INSERT(4), "select $1"}},
};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

typedef char lines[MEMBERS + 1][ALIKE_LINE];

static int number_of(const quring_id *ids, uint32_t count, quring_id id) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return (int)i + 1;
    return 0;
}

static uint32_t submit(const struct scenario *scenario, quring_id *ids) {
    quring_query queries[MEMBERS];
    uint32_t count = 0;
    for (; count < MEMBERS && scenario->members[count]; count++) {
        const char *text = scenario->members[count];
        queries[count] = (quring_query){.db = live.db, .sql = text + (*text == '?'), .user_data = count};
    }
    int taken = quring_submit_batch(live.engine, queries, count, QURING_BATCH_ATOMIC, ids);
    cr_assert_eq(taken, (int)count, "%s: %s", scenario->name, quring_errmsg(live.engine));
    for (uint32_t i = 0; i < count; i++)
        if (*scenario->members[i] == '?')
            cr_assert_eq(quring_cancel(live.engine, ids[i]), 0);
    return count;
}

static void play_one(const struct scenario *scenario, lines to) {
    quring_id ids[MEMBERS];
    memset(to, 0, sizeof(lines));
    uint32_t count = submit(scenario, ids);
    for (uint32_t i = 0; i < count; i++) {
        quring_done done = live_wait(&live);
        alike_describe(to[done.user_data], &done, number_of(ids, count, done.failed_id));
        live_release(&live, &done);
    }
    alike_describe_tables(to[MEMBERS], &live);
}

static void play_all(lines to[SCENARIOS]) {
    alike_make_tables(&live);
    for (int i = 0; i < SCENARIOS; i++)
        play_one(&scenarios[i], to[i]);
    alike_drop_tables(&live);
}

static void play_on_pg(uint32_t depth, lines to[SCENARIOS]) {
    live_open(&live, &(quring_db_options){.connection_count = 2, .depth = depth, .result_row_count = 5});
    play_all(to);
    live_close(&live);
}

static void play_on_lite(uint32_t depth, lines to[SCENARIOS]) {
    alike_open_lite(&live, &(quring_db_options){.depth = depth, .result_row_count = 5});
    play_all(to);
    alike_close_lite(&live);
}

static uint32_t compare(const char *what, lines expected[SCENARIOS], lines actual[SCENARIOS]) {
    uint32_t differences = 0;
    for (int s = 0; s < SCENARIOS; s++)
        for (int i = 0; i <= MEMBERS; i++) {
            if (strcmp(expected[s][i], actual[s][i]) == 0)
                continue;
            differences++;
            fprintf(stderr, "%s: %s\n    short on postgresql %s\n    %s %s\n", scenarios[s].name,
                    i < MEMBERS ? scenarios[s].members[i] : "afterwards", expected[s][i], what, actual[s][i]);
        }
    return differences;
}

Test(batch_alike, short_and_long_on_both) {
    static lines on_pg[SCENARIOS], long_on_pg[SCENARIOS], on_lite[SCENARIOS], long_on_lite[SCENARIOS];
    play_on_pg(0, on_pg);
    play_on_pg(SHORT_DEPTH, long_on_pg);
    play_on_lite(0, on_lite);
    play_on_lite(SHORT_DEPTH, long_on_lite);
    for (int i = 0; i < SCENARIOS; i++)
        cr_assert(on_pg[i][0][0] && on_pg[i][MEMBERS][0], "%s", scenarios[i].name);
    uint32_t differences = compare("long on postgresql", on_pg, long_on_pg);
    differences += compare("short on sqlite", on_pg, on_lite);
    differences += compare("long on sqlite", on_pg, long_on_lite);
    cr_assert_eq(differences, 0);
}
