/* SPDX-License-Identifier: MIT */
/* Which savepoint ROLLBACK TO goes back to, where the server carries out what was given up. */
#include "lib/pg_tx_bed.h"

TestSuite(pg_savepoint, .init = pg_setup, .fini = pg_tx_teardown);

static struct quring_tx *tx;

static struct query *asked(const char *sql) {
    struct query *query = pg_bed_ask_tx(&bed, tx, sql);
    advance();
    return query;
}

static void give_up(struct query *query) {
    pg_backend.abandon(query, QURING_CANCELLED);
    pg_bed_settle(&bed);
}

/* There are two of the name b, one on either side of a. */
static void begin_with_savepoints(void) {
    bring_up(1, 16);
    warm();
    tx = begin(0);
    pg_bed_ask_tx(&bed, tx, "savepoint b");
    pg_bed_ask_tx(&bed, tx, PG_TX_INSERT);
    pg_bed_ask_tx(&bed, tx, "savepoint a");
    (void)asked("savepoint b");
    say(0, "12 C:BEGIN 12 C:SAVEPOINT 2 C:INSERT_0_1 12 C:SAVEPOINT 12 C:SAVEPOINT Z:T");
}

struct row {
    const char *given_up, *back;
    bool revives;
};

/* `late`: ROLLBACK TO is asked for when the server has carried out what was given up. */
static void play(const struct row *row, bool late) {
    begin_with_savepoints();
    struct query *given_up = asked(row->given_up), *back = late ? NULL : asked(row->back);
    give_up(given_up);
    say(0, row->revives ? "2 C:INSERT_0_1 Z:T" : "12 C:SAVEPOINT Z:T");
    back = late ? asked(row->back) : back;
    if (row->revives || !late)
        say(0, "12 C:ROLLBACK Z:T");
    pg_bed_assert_text(pg_bed_fate(back), row->revives ? "OK" : "SKIPPED 57014", row->given_up);
    if (!row->revives)
        say(0, "12 C:ROLLBACK Z");
    struct query *commit = asked("commit");
    if (row->revives)
        say(0, "12 C:COMMIT Z");
    pg_bed_assert_text(pg_bed_fate(commit), row->revives ? "OK" : "SERVER_ERROR 57014", row->given_up);
    for (int i = 0; i < 2 && !row->revives; i++)
        pg_bed_assert_text((i ? back : commit)->error.view.hint,
                           "ROLLBACK TO was not carried out, because it might have gone back to another savepoint",
                           "why");
    cr_assert_eq(tx->state, TX_ENDED);
    release(tx);
}

Test(pg_savepoint, is_not_gone_back_to_by_way_of_what_was_given_up) {
    static const struct row rows[] = {
        {"savepoint a", "rollback to a", false},   {"savepoint c", "rollback to a", false},
        {"release a", "rollback to b", false},     {"rollback to a", "rollback to b", false},
        {"rollback to a", "rollback to a", false}, {PG_TX_INSERT, "rollback to a", true},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++)
        play(&rows[i / 2], i % 2);
}

/* What stands behind the first ROLLBACK TO stands behind no failure any more. */
Test(pg_savepoint, may_have_its_name_anew_behind_rollback_to) {
    static const char *const texts[] = {"rollback to a", "savepoint a", PG_TX_INSERT, "rollback to a", "commit"};
    enum { COUNT = sizeof texts / sizeof *texts };
    struct query *queries[COUNT];
    begin_with_savepoints();
    give_up(asked(PG_TX_INSERT));
    say(0, "2 C:INSERT_0_1 Z:T");
    (void)got(0);
    for (int i = 0; i < COUNT; i++)
        queries[i] = pg_bed_ask_tx(&bed, tx, texts[i]);
    advance();
    got_is(0, "rollback to a | savepoint a bound | rollback to a | commit |", "at once");
    say(0, "12 C:ROLLBACK Z:T 12 C:SAVEPOINT 2 C:INSERT_0_1 Z:T 12 C:ROLLBACK Z:T 12 C:COMMIT Z");
    for (int i = 0; i < COUNT; i++)
        pg_bed_assert_text(pg_bed_fate(queries[i]), "OK", texts[i]);
    release(tx);
}

static void begin_and_fail(void) {
    begin_with_savepoints();
    struct query *fails = asked(PG_TX_INSERT);
    say(0, "2 E:23505 Z:E");
    pg_bed_assert_text(pg_bed_fate(fails), "SERVER_ERROR 23505", "the first failure");
}

/* It is known what the first ROLLBACK TO came to, though the query behind it is still at work when that is given up. */
Test(pg_savepoint, is_gone_back_to_from_a_query_behind_rollback_to) {
    begin_and_fail();
    (void)got(0);
    struct query *back = pg_bed_ask_tx(&bed, tx, "rollback to a");
    struct query *saves = pg_bed_ask_tx(&bed, tx, "savepoint c"), *slow = asked(PG_TX_INSERT);
    got_is(0, "rollback to a | savepoint c bound |", "in one flight");
    say(0, "12 C:ROLLBACK Z:T 12 C:SAVEPOINT");
    give_up(slow);
    say(0, "2 C:INSERT_0_1 Z:T");
    struct query *again = asked("rollback to c");
    say(0, "12 C:ROLLBACK Z:T");
    struct query *commit = asked("commit");
    say(0, "12 C:COMMIT Z");
    pg_bed_assert_text(pg_bed_fate(back), "OK", "back");
    pg_bed_assert_text(pg_bed_fate(saves), "OK", "savepoint");
    pg_bed_assert_text(pg_bed_fate(again), "OK", "again");
    pg_bed_assert_text(pg_bed_fate(commit), "OK", "commit");
    release(tx);
}

/* The server has failed the transaction first, and a ROLLBACK TO that was given up has revived it there. */
Test(pg_savepoint, is_not_gone_back_to_behind_an_error_and_what_was_given_up) {
    begin_and_fail();
    struct query *back = pg_bed_ask_tx(&bed, tx, "rollback to a"), *saves = asked("savepoint b");
    give_up(back);
    give_up(saves);
    say(0, "12 C:ROLLBACK Z:T 12 C:SAVEPOINT Z:T");
    struct query *again = asked("rollback to b");
    pg_bed_assert_text(pg_bed_fate(again), "SKIPPED 23505", "which b?");
    say(0, "12 C:ROLLBACK Z");
    pg_bed_assert_text(pg_bed_fate(asked("commit")), "SERVER_ERROR 23505", "rolled back");
    release(tx);
}
