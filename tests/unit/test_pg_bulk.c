/* SPDX-License-Identifier: MIT */
/* ATOMIC batches of more members than depth on PostgreSQL's connections: their segments, what is held, and their ends. */
#include "core/batch.h"
#include "lib/pg_tx_bed.h"
#include "pg/rerun.h"

enum { DEPTH = 4, MOST = 8 };

/* The COMMIT that an engine finds for its handles. */
static void drop_commit(void) {
    if (bed.db.base.tx_ends[0])
        statement_drop(bed.db.base.tx_ends[0]);
    bed.db.base.tx_ends[0] = NULL;
}

static void bulk_teardown(void) {
    drop_commit();
    pg_tx_teardown();
}

TestSuite(pg_bulk, .init = pg_setup, .fini = bulk_teardown);

static void come_up(uint32_t conn) {
    while (pool->conns[conn]->state != PG_CONN_READY) {
        pg_bed_settle(&bed);
        if (pool->conns[conn]->state == PG_CONN_BARRIER)
            pg_bed_answer(&bed, pool->conns[conn], false);
        else
            pg_bed_pass(&bed, 100 * PG_BED_MS);
    }
    (void)pg_bed_got(&bed, pool->conns[conn]);
}

/* PG_TX_INSERT is prepared on the first connection. `silence_ns` 0: none is too long. */
static void begin_watched(uint32_t conns, uint64_t silence_ns) {
    drop_commit();
    bring_up_with(&(quring_db_options){.connection_count = conns,
                                       .depth = DEPTH,
                                       .reconnect_wait_ns = 1000000 * PG_BED_MS,
                                       .silence_ns = silence_ns,
                                       .lease_count = 1});
    bed.db.base.tx_ends[0] = statement_find(bed.db.base.statements, "commit", 6);
    warm();
}

static void begin_warm(uint32_t conns) {
    begin_watched(conns, 0);
}

static void submit_as(uint32_t place, struct query *queries[], uint32_t count) {
    struct quring_tx *tx = begin(place);
    struct batch *batch = batch_take(&bed.hub, count);
    struct list members;
    list_init(&members);
    for (uint32_t i = 0; i < count; i++) {
        queries[i] = pg_bed_query(&bed, PG_TX_INSERT);
        queries[i]->id = 100 + i;
        batch_join(batch, queries[i]);
        list_push_back(&members, &queries[i]->link);
    }
    tx_put_batch(tx, batch, &members);
}

static void submit(struct query *queries[], uint32_t count) {
    submit_as(0, queries, count);
}

static void all_are(struct query *const queries[], uint32_t count, const char *fate, const char *what) {
    for (uint32_t i = 0; i < count; i++)
        pg_bed_assert_text(pg_bed_fate(queries[i]), fate, what);
}

static void is_over(const char *what) {
    cr_assert_eq(txs[0].state, TX_ENDED, "%s", what);
    cr_assert_eq(pool->leases.count, 0, "%s: the connection is given back", what);
    cr_assert_not_null(bed.hub.batches, "%s", what);
    list_remove(&txs[0].link); /* it is not the hub's to free */
    list_init(&txs[0].link);
}

static void give_up(struct query *const queries[], const char *numbers) {
    for (const char *at = numbers; *at; at++) {
        struct query *query = queries[*at - '1'];
        if (query->state == QUERY_RUNNING) {
            pg_backend.abandon(query, QURING_CANCELLED);
        } else if (query->state == QUERY_WAITING) {
            query_fail(query, QURING_CANCELLED, "57014", "as the engine does");
            pg_backend.tx_changed(query->queue->tx, false);
        }
    }
    pg_bed_settle(&bed);
}

/* B: of BEGIN, I: of an insert, C: of COMMIT, R: of ROLLBACK. */
#define B "12 C:BEGIN"
#define I " 2 C:INSERT_0_1"
#define C " 12 C:COMMIT Z"
#define R " 12 C:ROLLBACK Z"

/* ---- Segments ---- */

/* Nothing crosses BEGIN's Sync before it is known; then two segments are out, and COMMIT goes with the last. */
Test(pg_bulk, it_is_sent_in_parts_and_told_at_the_end) {
    struct query *queries[MOST];
    begin_warm(1);
    submit(queries, MOST);
    advance();
    got_is(0, "begin bound bound bound |", "as many as the depth has room for");
    say(0, B I I I " Z:T");
    got_is(0, "bound bound | bound bound |", "two segments");
    say(0, I I " Z:T");
    got_is(0, "bound | commit |", "the answers of one make room for the rest");
    say(0, I I " Z:T");
    say(0, I " Z:T");
    all_are(queries, MOST, "running", "nothing is told before COMMIT is answered");
    struct query *other = pg_bed_ask(&bed, PG_TX_INSERT);
    advance();
    got_is(0, "", "others wait while it has the only connection");
    say(0, C);
    all_are(queries, MOST, "OK", "all");
    is_over("at the end");
    advance();
    got_is(0, "bound |", "and go on then");
    say(0, I " Z");
    pg_bed_assert_text(pg_bed_fate(other), "OK", "the other");
}

Test(pg_bulk, a_depth_of_one_suffices) {
    struct query *queries[3];
    begin_warm(1);
    pool->conns[0]->depth = 1;
    submit(queries, 3);
    advance();
    got_is(0, "begin bound |", "BEGIN goes with the first");
    say(0, B I " Z:T");
    got_is(0, "bound |", "the second");
    say(0, I " Z:T");
    got_is(0, "bound | commit |", "the last");
    say(0, I " Z:T" C);
    all_are(queries, 3, "OK", "all");
    is_over("a depth of one");
}

/* The second gets the first one's connection, and a loss of the first leaves the second its turn. */
Test(pg_bulk, two_have_their_turns_on_the_connections_that_may_be_held) {
    struct query *first[MOST], *second[MOST];
    begin_warm(1);
    submit_as(1, first, MOST);
    submit(second, 5);
    advance();
    got_is(0, "begin bound bound bound |", "the first");
    all_are(second, 5, "waiting", "the second");
    pg_conn_break(pool->conns[0], QURING_PROTOCOL, "08P01", "enough");
    pg_bed_settle(&bed);
    all_are(first, MOST, "PROTOCOL 08P01", "a server that breaks the protocol is not asked again");
    cr_assert_eq(txs[1].state, TX_ENDED);
    list_remove(&txs[1].link);
    come_up(0);
    advance();
    pg_bed_assert_text(pg_bed_got_short(&bed, pool->conns[0]),
                       "begin insert into t values (1)* insert into t values (1) insert into t values (1) |",
                       "the second");
    give_up(second, "5");
    say(0, B " E:57014 Z:E" R);
    pg_bed_assert_text(
        pg_bed_fates(second, 5),
        "SKIPPED 57014 by 104; SKIPPED 57014 by 104; SKIPPED 57014 by 104; SKIPPED 57014 by 104; CANCELLED 57014",
        "given up");
    is_over("the second");
}

/* ---- Ends ---- */

static const struct row {
    const char *what;
    const char *given_up; /* members, by number from 1, that are given up behind the first segment's sending … */
    const char *first;    /* … and its replies */
    const char *given_up_later;
    const char *rest;
    const char *fates; /* of 5 members: three are in the first segment */
} rows[] = {
    {"all commit", "", B I I I " Z:T", "", I I " Z:T" C, "OK; OK; OK; OK; OK"},
    {"BEGIN fails", "", "E:53200 Z", "", R,
     "SERVER_ERROR 53200; SERVER_ERROR 53200; SERVER_ERROR 53200; SERVER_ERROR 53200; SERVER_ERROR 53200"},
    {"one in the first segment fails", "", B I " 2 E:23505 Z:E", "", R,
     "SKIPPED 23505 by 101; SERVER_ERROR 23505; SKIPPED 23505 by 101; SKIPPED 23505 by 101; SKIPPED 23505 by 101"},
    {"the last fails", "", B I I I " Z:T", "", I " 2 E:23505 Z:E" R,
     "SKIPPED 23505 by 104; SKIPPED 23505 by 104; SKIPPED 23505 by 104; SKIPPED 23505 by 104; SERVER_ERROR 23505"},
    {"the commit fails", "", B I I I " Z:T", "", I I " Z:T 12 E:23503 Z",
     "SERVER_ERROR 23503; SERVER_ERROR 23503; SERVER_ERROR 23503; SERVER_ERROR 23503; SERVER_ERROR 23503"},
    {"the commit can't be told", "", B I I I " Z:T", "", I I " Z:T 12 E:40003 Z",
     "IN_DOUBT 40003; IN_DOUBT 40003; IN_DOUBT 40003; IN_DOUBT 40003; IN_DOUBT 40003"},
    {"an error comes behind the commit", "", B I I I " Z:T", "", I I " Z:T 12 C:COMMIT E:XX000 Z",
     "IN_DOUBT XX000; IN_DOUBT XX000; IN_DOUBT XX000; IN_DOUBT XX000; IN_DOUBT XX000"},
    {"the server rolled back without a word", "", B I I I " Z:T", "", I I " Z:T" R,
     "SERVER_ERROR 40000; SERVER_ERROR 40000; SERVER_ERROR 40000; SERVER_ERROR 40000; SERVER_ERROR 40000"},
    {"the commit has a foreign tag", "", B I I I " Z:T", "", I I " Z:T 12 C:SELECT_1 Z",
     "IN_DOUBT 08P01; IN_DOUBT 08P01; IN_DOUBT 08P01; IN_DOUBT 08P01; IN_DOUBT 08P01"},
    {"it commits in spite of a failure", "", B I I I " Z:T", "", I " 2 E:23505 Z:E 12 C:COMMIT Z",
     "IN_DOUBT 08P01; IN_DOUBT 08P01; IN_DOUBT 08P01; IN_DOUBT 08P01; IN_DOUBT 08P01"},
    {"one that was sent is given up", "2", B I I I " Z:T", "", I I " Z:T" C, "OK; CANCELLED 57014; OK; OK; OK"},
    {"one that is held is given up", "", B I I I " Z:T", "2", I I " Z:T" C, "OK; CANCELLED 57014; OK; OK; OK"},
    {"one that was given up fails", "2", B I " 2 E:23505 Z:E", "", R,
     "SKIPPED 40000 by 101; CANCELLED 57014; SKIPPED 40000 by 101; SKIPPED 40000 by 101; SKIPPED 40000 by 101"},
    {"a conflict, and one was given up", "1", B I " 2 E:40001 Z:E", "", R,
     "CANCELLED 57014; SERVER_ERROR 40001; SKIPPED 40001 by 101; SKIPPED 40001 by 101; SKIPPED 40001 by 101"},
    {"one that waits is given up", "5", B I I I " Z:T", "", R,
     "SKIPPED 57014 by 104; SKIPPED 57014 by 104; SKIPPED 57014 by 104; SKIPPED 57014 by 104; CANCELLED 57014"},
    {"all are given up, the last of them unsent", "1234", B I I I " Z:T", "5", R,
     "CANCELLED 57014; CANCELLED 57014; CANCELLED 57014; CANCELLED 57014; SKIPPED 57014 by 103"},
    {"all are given up behind COMMIT", "", B I I I " Z:T", "12345", I I " Z:T" C,
     "CANCELLED 57014; CANCELLED 57014; CANCELLED 57014; CANCELLED 57014; CANCELLED 57014"},
};

Test(pg_bulk, what_replies_mean_for_it) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct query *queries[5], *behind;
        begin_warm(1);
        submit(queries, 5);
        advance();
        give_up(queries, row->given_up);
        say(0, row->first);
        give_up(queries, row->given_up_later);
        say(0, row->rest);
        advance();
        pg_bed_assert_text(pg_bed_fates(queries, 5), row->fates, row->what);
        cr_assert_eq(pool->conns[0]->state, PG_CONN_READY, "%s: %s", row->what, pool->conns[0]->reason.message);
        is_over(row->what);
        behind = pg_bed_ask(&bed, PG_TX_INSERT);
        advance();
        say(0, I " Z");
        pg_bed_assert_text(pg_bed_fate(behind), "OK", row->what);
    }
}

Test(pg_bulk, one_that_is_given_up_before_it_has_a_place_ends_it) {
    struct query *queries[5];
    begin_warm(1);
    submit(queries, 5);
    give_up(queries, "3");
    pg_bed_assert_text(
        pg_bed_fates(queries, 5),
        "SKIPPED 57014 by 102; SKIPPED 57014 by 102; CANCELLED 57014; SKIPPED 57014 by 102; SKIPPED 57014 by 102",
        "nothing was sent");
    is_over("before it has a place");
    advance();
    got_is(0, "", "nor is it now");
}

/* ---- Again ---- */

/* A pool's waits are drawn from a seed of its own: here the next is longer than the bed takes to settle. */
static void make_wait_long(void) {
    struct rng next = pool->attempts.rng;
    while (rng_below(&next, PG_BED_MS) < PG_BED_MS * 9 / 10) {
        (void)rng_next(&pool->attempts.rng);
        next = pool->attempts.rng;
    }
}

static void run_to_the_end(struct query *const queries[], const char *what) {
    got_is(0, "begin bound bound bound |", what);
    say(0, B I I I " Z:T");
    got_is(0, "bound bound | commit |", what);
    say(0, I I " Z:T" C);
    all_are(queries, 5, "OK", what);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(queries[i]->result.affected_count, 1, "of its last run alone");
    is_over(what);
}

static void assert_run_again(const char *first, const char *rest) {
    struct query *queries[5];
    begin_warm(1);
    make_wait_long();
    submit(queries, 5);
    advance();
    (void)pg_bed_got(&bed, pool->conns[0]);
    say(0, first);
    (void)pg_bed_got(&bed, pool->conns[0]);
    all_are(queries, 5, "running", rest);
    say(0, rest);
    cr_assert_eq(pool->leases.count, 0, "the connection is given back");
    for (int i = 0; i < 5; i++)
        cr_assert(!queries[i]->sent && pg_rerun_has(queries[i]), "it was undone");
    advance();
    got_is(0, "", "not at once");
    pg_bed_pass(&bed, 100 * PG_BED_MS);
    advance();
    run_to_the_end(queries, rest);
}

Test(pg_bulk, a_conflict_runs_all_of_it_again) {
    assert_run_again(B I I I " Z:T", I " 2 E:40P01 Z:E" R);
    assert_run_again(B I I I " Z:T", I I " Z:T 12 E:40001 Z");
}

/* What was not sent yet waits behind what was. */
Test(pg_bulk, a_conflict_in_the_first_segment_runs_it_again) {
    struct query *queries[5];
    begin_warm(1);
    submit(queries, 5);
    advance();
    (void)pg_bed_got(&bed, pool->conns[0]);
    say(0, B I " 2 E:40001 Z:E");
    got_is(0, "rollback |", "it is rolled back first");
    say(0, R);
    pg_bed_pass(&bed, 100 * PG_BED_MS);
    advance();
    run_to_the_end(queries, "in its order");
}

Test(pg_bulk, conflicts_run_it_again_a_bounded_number_of_times) {
    struct query *queries[5];
    uint32_t runs = 0;
    begin_warm(1);
    submit(queries, 5);
    for (; queries[0]->state != QUERY_DONE && runs < 100; runs++) {
        pg_bed_pass(&bed, 100 * PG_BED_MS);
        advance();
        say(0, B I " 2 E:40001 Z:E");
        say(0, R);
    }
    cr_assert_eq(runs, 21);
    pg_bed_assert_text(
        pg_bed_fates(queries, 5),
        "SKIPPED 40001 by 101; SERVER_ERROR 40001; SKIPPED 40001 by 101; SKIPPED 40001 by 101; SKIPPED 40001 by 101",
        "the error stands");
    is_over("bounded");
}

Test(pg_bulk, a_stale_plan_runs_all_of_it_again_at_once) {
    struct query *queries[5];
    begin_warm(1);
    submit(queries, 5);
    advance();
    (void)pg_bed_got(&bed, pool->conns[0]);
    say(0, B I " E:0A000 Z:E");
    got_is(0, "rollback |", "first");
    say(0, R);
    advance();
    got_is(0, "begin insert into t values (1)* insert into t values (1) insert into t values (1) |", "parsed anew");
    say(0, B " 31 t:0 n2 C:INSERT_0_1 1 t:0 n2 C:INSERT_0_1 1 t:0 n2 C:INSERT_0_1 Z:T");
    say(0, I I " Z:T" C);
    all_are(queries, 5, "OK", "stale");
    is_over("stale");
}

/* What may have committed is not run again, whatever else there is to be mended. */
Test(pg_bulk, a_stale_plan_does_not_run_again_what_the_server_says_it_committed) {
    struct query *queries[5];
    begin_warm(1);
    submit(queries, 5);
    advance();
    say(0, B I I I " Z:T");
    say(0, I " E:0A000 Z:E 12 C:COMMIT Z");
    all_are(queries, 5, "IN_DOUBT 08P01", "the server contradicts itself");
    is_over("in doubt");
}

Test(pg_bulk, one_that_is_given_up_while_it_waits_to_run_again_ends_it) {
    for (int how = 0; how < 2; how++) {
        struct query *queries[5];
        begin_warm(1);
        make_wait_long();
        submit(queries, 5);
        advance();
        say(0, B I " 2 E:40001 Z:E");
        say(0, R);
        if (how == 0) {
            pg_backend.abandon(queries[4], QURING_TIMEOUT);
            pg_bed_assert_text(pg_bed_fates(queries, 5),
                               "SKIPPED 57014 by 104; SKIPPED 57014 by 104; SKIPPED 57014 by 104; SKIPPED 57014 by "
                               "104; TIMEOUT 57014",
                               "nothing of it took effect");
        } else {
            for (int i = 0; i < 5; i++)
                pg_backend.abandon(queries[i], QURING_SHUTDOWN);
            all_are(queries, 5, "SHUTDOWN 57P01", "each is told so");
        }
        is_over("while it waits");
        pg_bed_pass(&bed, 100 * PG_BED_MS);
        advance();
        got_is(0, "begin bound bound bound | rollback |", "nothing more is sent");
    }
}

/* ---- Losses ---- */

static void lose_after(struct query *queries[], const char *first) {
    submit(queries, 5);
    advance();
    say(0, first);
    pg_bed_say(&bed, pool->conns[0], "F:57P01");
    pg_bed_settle(&bed);
}

Test(pg_bulk, a_loss_before_commit_runs_it_again_once) {
    struct query *queries[5];
    begin_warm(1);
    lose_after(queries, B I);
    all_are(queries, 5, "waiting", "it waits for a connection");
    come_up(0);
    advance();
    say(0, B);
    pg_bed_say(&bed, pool->conns[0], "F:57P01");
    pg_bed_settle(&bed);
    all_are(queries, 5, "SERVER_ERROR 57P01", "a second time is too many");
    is_over("lost twice");
}

Test(pg_bulk, a_loss_with_commit_out_is_in_doubt) {
    struct query *queries[5];
    begin_warm(1);
    lose_after(queries, B I I I " Z:T" I I " Z:T");
    all_are(queries, 5, "IN_DOUBT 57P01", "COMMIT was sent");
    is_over("in doubt");
}

Test(pg_bulk, a_loss_behind_a_failure_is_that_failure) {
    struct query *queries[5];
    begin_warm(1);
    lose_after(queries, B I I I " Z:T" I " 2 E:23505 Z:E");
    pg_bed_assert_text(
        pg_bed_fates(queries, 5),
        "SKIPPED 23505 by 104; SKIPPED 23505 by 104; SKIPPED 23505 by 104; SKIPPED 23505 by 104; SERVER_ERROR 23505",
        "the server told of it");
    is_over("behind a failure");
}

/* It would go over the limit again. */
Test(pg_bulk, a_loss_for_too_many_notices_is_the_limit_of_the_one_that_got_them) {
    struct query *queries[5];
    begin_warm(1);
    submit(queries, 5);
    advance();
    say(0, B I);
    for (int i = 0; i < 17 * 16 && pool->conns[0]->state == PG_CONN_READY; i++)
        say(0, "N:65000");
    pg_bed_assert_text(
        pg_bed_fates(queries, 5),
        "SKIPPED 54000 by 101; LIMIT 54000; SKIPPED 54000 by 101; SKIPPED 54000 by 101; SKIPPED 54000 by 101",
        "more than 16 MiB");
    is_over("over the limit");
}

Test(pg_bulk, a_loss_with_one_given_up_ends_the_others) {
    struct query *queries[5];
    begin_warm(1);
    submit(queries, 5);
    advance();
    give_up(queries, "1");
    say(0, B I);
    pg_bed_say(&bed, pool->conns[0], "F:57P01");
    pg_bed_settle(&bed);
    pg_bed_assert_text(
        pg_bed_fates(queries, 5),
        "CANCELLED 57014; SERVER_ERROR 57P01; SERVER_ERROR 57P01; SERVER_ERROR 57P01; SERVER_ERROR 57P01",
        "nothing took effect, and it can't run again");
    is_over("one given up");
}

/* Its members have their answers, so that none of them is out there when it is given up. */
Test(pg_bulk, a_server_that_falls_silent_at_commit_keeps_no_connection_of_what_was_given_up) {
    struct query *queries[5];
    begin_watched(1, 1000 * PG_BED_MS);
    submit(queries, 5);
    advance();
    say(0, B I I I " Z:T");
    say(0, I I " Z:T");
    give_up(queries, "12345");
    all_are(queries, 5, "CANCELLED 57014", "at once");
    pg_bed_pass(&bed, 900 * PG_BED_MS);
    cr_assert_eq(txs[0].state, TX_ENDING, "COMMIT takes its course");
    pg_bed_pass(&bed, 200 * PG_BED_MS);
    is_over("silent for silence_ns");
    come_up(0);
}

static uint32_t asked_count;

static enum pg_cancel_fate key_ask(struct pg_cancel_key *key, struct task *task) {
    (void)key, (void)task;
    asked_count++;
    return PG_CANCEL_TAKEN;
}

static void key_drop(struct pg_cancel_key *key) {
    (void)key;
}

/* The server is told to stop, and is by then at COMMIT, or about to begin with it. */
Test(pg_bulk, commit_of_what_was_given_up_is_stopped) {
    static struct pg_cancel_key key = {key_ask, key_drop};
    static const char *const hits[][2] = {{"12 E:57014 Z", ""}, {"E:57014 Z:E", R}, {C, ""}};
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++) {
        struct query *queries[5];
        begin_warm(1);
        pool->conns[0]->cancel.key = &key;
        asked_count = 0;
        submit(queries, 5);
        advance();
        say(0, B I I I " Z:T");
        say(0, I I " Z:T");
        (void)got(0);
        give_up(queries, "12345");
        all_are(queries, 5, "CANCELLED 57014", "at once");
        pg_bed_pass(&bed, 50 * PG_BED_MS);
        cr_assert_eq(asked_count, 1);
        say(0, hits[i][0]);
        got_is(0, *hits[i][1] ? "rollback |" : "", "a transaction that has failed is ended");
        say(0, hits[i][1]);
        is_over(hits[i][0]);
        struct query *behind = pg_bed_ask(&bed, PG_TX_INSERT);
        advance();
        say(0, I " Z");
        pg_bed_assert_text(pg_bed_fate(behind), "OK", "behind it");
    }
}

/* What is behind a large request has not left when the connection goes. */
Test(pg_bulk, a_loss_before_a_byte_left_costs_nothing) {
    for (int given_up = 0; given_up < 2; given_up++) {
        struct query *queries[5];
        begin_warm(1);
        submit(queries, 5);
        pg_backend.advance(&bed.db.base);
        if (given_up)
            give_up(queries, "1");
        else
            all_are(queries, 3, "running", "encoded");
        pg_conn_break(pool->conns[0], QURING_IN_DOUBT, "08006", "lost");
        pg_bed_settle(&bed);
        if (given_up)
            continue; /* whether a byte left is the bed's to say */
        all_are(queries, 5, "waiting", "another connection can take it");
        cr_assert_eq(txs[0].state, TX_WAITING);
    }
}
