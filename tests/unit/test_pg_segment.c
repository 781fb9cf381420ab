/* SPDX-License-Identifier: MIT */
/* Transactions on PostgreSQL's connections: what is sent of them in which segment, and what the replies come to. */
#include "lib/pg_tx_bed.h"

enum { ASKED = 16 };

TestSuite(pg_segment, .init = pg_setup, .fini = pg_tx_teardown);

/* ---- Tables: queries, replies and fates ---- */

/*
 * The queries of a row, a letter each: i inserts, s sets savepoint a, b goes back to it, l releases it, c commits, r rolls
 * back, both in words of their own, for which the plain ones are sent; / is the end of a turn, ! behind a letter gives that
 * query up once all of them were sent, and ? says that a cancel may hit any of them.
 */
static const char *text_of(char letter) {
    switch (letter) {
    case 's':
        return "savepoint a";
    case 'b':
        return "rollback to a";
    case 'l':
        return "release a";
    case 'c':
        return "/* all */ End Work;";
    case 'r':
        return "abort transaction";
    default:
        return PG_TX_INSERT;
    }
}

struct row {
    const char *what;
    const char *queries;
    const char *sent;
    const char *replies; /* / : what is sent since is not looked at before here */
    const char *later;   /* what was sent behind them */
    const char *fates;
};

static const char *fates_of(struct query *const queries[], uint32_t count) {
    static char text[1000];
    char *at = text;
    for (uint32_t i = 0; i < count; i++) {
        const struct query *query = queries[i];
        at += snprintf(at, (size_t)(text + sizeof text - at), "%s%s", i ? "; " : "", pg_bed_fate(query));
        if (query->state == QUERY_DONE && query->status == QURING_SKIPPED)
            at += snprintf(at, (size_t)(text + sizeof text - at), " %u", (unsigned)query->failed_id);
    }
    return text;
}

static uint32_t ask_row(struct quring_tx *tx, const char *letters, struct query *queries[]) {
    uint32_t count = 0, first = bed.query_count;
    for (const char *at = letters; *at; at++)
        if (*at == '/')
            advance();
        else if (*at != '!' && *at != '?') {
            queries[count] = pg_bed_ask_tx(&bed, tx, text_of(*at));
            queries[count]->id -= first;
            count++;
        }
    advance();
    uint32_t index = 0;
    for (const char *at = letters; *at; at++)
        if (*at == '!')
            pg_backend.abandon(queries[index - 1], QURING_CANCELLED);
        else if (*at == '?')
            pool->conns[0]->cancel.state = PG_CANCEL_OVER;
        else
            index += *at != '/';
    pg_bed_settle(&bed);
    return count;
}

static void play(const struct row *row) {
    struct query *queries[ASKED];
    bring_up(1, 16);
    warm();
    struct quring_tx *tx = begin(0);
    uint32_t count = ask_row(tx, row->queries, queries);
    got_is(0, row->sent, row->what);
    say(0, row->replies);
    advance();
    got_is(0, row->later, row->what);
    pg_bed_assert_text(fates_of(queries, count), row->fates, row->what);
    cr_assert_eq(pool->conns[0]->state, PG_CONN_READY, "%s: %s", row->what, pool->conns[0]->reason.message);
    if (tx->state == TX_ENDED) {
        cr_assert_eq(pool->leases.count, 0, "%s: the connection is given back", row->what);
        cr_assert_null(pool->conns[0]->tx, "%s", row->what);
        cr_assert_eq(pool->conns[0]->settled, pool->conns[0]->session.next, "%s: all is settled", row->what);
    } else {
        cr_assert_eq(pool->conns[0]->tx, tx, "%s: it is held", row->what);
    }
    release(tx);
}

static void play_all(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        play(&rows[i]);
}

#define PLAY(rows) play_all(rows, sizeof(rows) / sizeof *(rows))

/* B: of BEGIN, I: of an insert, S: of a savepoint's statements, in a transaction that goes on. */
#define B "12 C:BEGIN"
#define I " 2 C:INSERT_0_1"
#define S " 12 C:SAVEPOINT"

static const struct row wholes[] = {
    {"one flight", "iic", "begin bound bound | commit |", B I I " Z:T 12 C:COMMIT Z", "", "OK; OK; OK"},
    {"rolled back", "ir", "begin bound | rollback |", B I " Z:T 12 C:ROLLBACK Z", "", "OK; OK"},
    {"savepoints", "siblic", "begin savepoint a bound | rollback to a release a bound | commit |",
     B S I " Z:T" S S I " Z:T 12 C:COMMIT Z", "", "OK; OK; OK; OK; OK; OK"},
    {"the first fails", "iic", "begin bound bound | commit |", B " 2 E:23505 Z:E 12 C:ROLLBACK Z", "",
     "SERVER_ERROR 23505; SKIPPED 23505 1; SERVER_ERROR 23505"},
    {"the last fails", "iic", "begin bound bound | commit |", B I " 2 E:23505 Z:E 12 C:ROLLBACK Z", "",
     "OK; SERVER_ERROR 23505; SERVER_ERROR 23505"},
    {"one fails that is rolled back", "ir", "begin bound | rollback |", B " 2 E:23505 Z:E 12 C:ROLLBACK Z", "",
     "SERVER_ERROR 23505; OK"},
    {"BEGIN fails", "iic", "begin bound bound | commit |", "E:25006 Z 12 C:COMMIT Z", "",
     "SKIPPED 25006 0; SKIPPED 25006 0; SERVER_ERROR 25006"},
    {"BEGIN fails before ROLLBACK TO", "sibic", "begin savepoint a bound | rollback to a bound | commit |",
     "E:57014 Z E:25P01 Z 12 C:COMMIT Z", "",
     "SKIPPED 57014 0; SKIPPED 57014 0; SKIPPED 57014 0; SKIPPED 57014 0; SERVER_ERROR 57014"},
    {"BEGIN fails before ROLLBACK", "ir", "begin bound | rollback |", "E:57014 Z 12 C:ROLLBACK Z", "",
     "SKIPPED 57014 0; OK"},
    {"COMMIT fails", "ic", "begin bound | commit |", B I " Z:T 12 E:23503 Z", "", "OK; SERVER_ERROR 23503"},
    {"COMMIT conflicts", "ic", "begin bound | commit |", B I " Z:T 12 E:40001 Z", "", "OK; SERVER_ERROR 40001"},
    {"COMMIT can't be told", "ic", "begin bound | commit |", B I " Z:T 12 E:40003 Z", "", "OK; IN_DOUBT 40003"},
    {"ROLLBACK TO revives it", "sibic", "begin savepoint a bound | rollback to a bound | commit |",
     B S " 2 E:23505 Z:E 12 C:ROLLBACK" I " Z:T 12 C:COMMIT Z", "", "OK; SERVER_ERROR 23505; OK; OK; OK"},
    {"what stands between is skipped", "siibic", "begin savepoint a bound bound | rollback to a bound | commit |",
     B S " 2 E:23505 Z:E 12 C:ROLLBACK" I " Z:T 12 C:COMMIT Z", "",
     "OK; SERVER_ERROR 23505; SKIPPED 23505 2; OK; OK; OK"},
    {"ROLLBACK TO fails", "sibic", "begin savepoint a bound | rollback to a bound | commit |",
     B S " 2 E:23505 Z:E 12 E:3B001 Z:E 12 C:ROLLBACK Z", "",
     "OK; SERVER_ERROR 23505; SERVER_ERROR 3B001; SKIPPED 23505 2; SERVER_ERROR 23505"},
    {"a plan is stale", "iic", "begin bound bound | commit |", B " E:0A000 Z:E 12 C:ROLLBACK Z", "",
     "SERVER_ERROR 0A000; SKIPPED 0A000 1; SERVER_ERROR 0A000"},
    {"one is given up", "ii!c", "begin bound bound | commit |", B I I " Z:T 12 C:COMMIT Z", "",
     "OK; CANCELLED 57014; OK"},
    {"one is given up, and fails", "ii!ic", "begin bound bound bound | commit |", B I " 2 E:23505 Z:E 12 C:ROLLBACK Z",
     "", "OK; CANCELLED 57014; SKIPPED 23505 0; SERVER_ERROR 23505"},
    {"COMMIT is given up", "ic!", "begin bound | commit |", B I " Z:T 12 C:COMMIT Z", "", "OK; CANCELLED 57014"},
};

Test(pg_segment, pg_tx_goes_whole_in_one_flight) {
    PLAY(wholes);
}

static const char in_savepoint[] = "begin savepoint a bound | rollback to a bound | commit |";

/* Once COMMIT was sent nobody can keep the server from what stands behind ROLLBACK TO. */
static const struct row revived[] = {
    {"one that was given up fails", "si!bic", in_savepoint, B S " 2 E:57014 Z:E 12 C:ROLLBACK" I " Z:T 12 C:COMMIT Z",
     "", "OK; CANCELLED 57014; OK; OK; OK"},
    {"a cancel hits one", "si?bic", in_savepoint, B S " 2 E:57014 Z:E 12 C:ROLLBACK" I " Z:T 12 C:COMMIT Z", "",
     "OK; SKIPPED 57014 0; OK; OK; OK"},
    {"ROLLBACK TO is given up, and carried out", "sib!ic", in_savepoint,
     B S " 2 E:23505 Z:E 12 C:ROLLBACK" I " Z:T 12 C:COMMIT Z", "", "OK; SERVER_ERROR 23505; CANCELLED 57014; OK; OK"},
    {"ROLLBACK TO is given up, and fails", "sib!ic", in_savepoint, B S " 2 E:23505 Z:E E:57014 Z:E 12 C:ROLLBACK Z", "",
     "OK; SERVER_ERROR 23505; CANCELLED 57014; SKIPPED 23505 2; SERVER_ERROR 23505"},
    {"a cancel hits ROLLBACK TO", "sib?ic", in_savepoint, B S " 2 E:23505 Z:E E:57014 Z:E 12 C:ROLLBACK Z", "",
     "OK; SERVER_ERROR 23505; SKIPPED 57014 2; SKIPPED 23505 2; SERVER_ERROR 23505"},
    {"one behind it was given up, and fails", "sibi!ic",
     "begin savepoint a bound | rollback to a bound bound | commit |",
     B S " 2 E:23505 Z:E 12 C:ROLLBACK 2 E:57014 Z:E 12 C:ROLLBACK Z", "",
     "OK; SERVER_ERROR 23505; OK; CANCELLED 57014; SKIPPED 57014 0; SERVER_ERROR 57014"},
    {"a cancel hits one behind it", "sibi?ic", "begin savepoint a bound | rollback to a bound bound | commit |",
     B S " 2 E:23505 Z:E 12 C:ROLLBACK 2 E:57014 Z:E 12 C:ROLLBACK Z", "",
     "OK; SERVER_ERROR 23505; OK; SKIPPED 57014 0; SKIPPED 57014 0; SERVER_ERROR 57014"},
};

Test(pg_segment, pg_tx_says_what_rollback_to_revived) {
    PLAY(revived);
}

Test(pg_segment, pg_tx_knows_of_a_failure_that_is_given_up_before_its_sync_point) {
    struct query *queries[ASKED];
    bring_up(1, 16);
    warm();
    struct quring_tx *tx = begin(0);
    uint32_t count = ask_row(tx, "siibic", queries);
    say(0, B S " 2 E:23505");
    pg_backend.abandon(queries[1], QURING_CANCELLED);
    say(0, "Z:E 12 C:ROLLBACK" I " Z:T 12 C:COMMIT Z");
    pg_bed_assert_text(fates_of(queries, count), "OK; CANCELLED 57014; SKIPPED 23505 0; OK; OK; OK", "it is revived");
    cr_assert_eq(tx->state, TX_ENDED);
}

static const struct row parts[] = {
    {"it goes on", "i/", "begin bound |", B I " Z:T", "", "OK"},
    {"nothing crosses the Sync before BEGIN is known", "i/i", "begin bound |", B I " Z:T", "bound |", "OK; running"},
    {"but COMMIT", "i/c", "begin bound | commit |", B I " Z:T 12 C:COMMIT Z", "", "OK; OK"},
    {"and ROLLBACK TO with what follows", "si/bi", "begin savepoint a bound | rollback to a bound |",
     B S I " Z:T 12 C:ROLLBACK" I " Z:T", "", "OK; OK; OK; OK"},
    {"BEGIN fails", "i/i", "begin bound |", "E:25006 Z", "rollback |", "SKIPPED 25006 0; SKIPPED 25006 0"},
    {"one fails, and nothing revives it", "ii/", "begin bound bound |", B " 2 E:23505 Z:E", "rollback |",
     "SERVER_ERROR 23505; SKIPPED 23505 1"},
    {"one fails behind a savepoint", "si/", "begin savepoint a bound |", B S " 2 E:23505 Z:E", "",
     "OK; SERVER_ERROR 23505"},
    {"one is given up", "ii!/", "begin bound bound | rollback |", B I I " Z:T 12 C:ROLLBACK Z", "",
     "OK; CANCELLED 57014"},
    {"what is behind one that is given up", "i!i/", "begin bound bound | rollback |", B I I " Z:T 12 C:ROLLBACK Z", "",
     "CANCELLED 57014; SKIPPED 57014 1"},
    {"a savepoint before one that is given up", "si!/", "begin savepoint a bound |", B S I " Z:T", "",
     "OK; CANCELLED 57014"},
};

Test(pg_segment, pg_tx_holds_a_connection_for_its_parts) {
    PLAY(parts);
}

/* ---- Neighbours ---- */

Test(pg_segment, pg_tx_whole_goes_between_others) {
    bring_up(1, 32);
    struct query *before = pg_bed_ask(&bed, "select 1");
    before->commit = QURING_COMMIT_GROUP;
    struct quring_tx *first = begin(0), *second = begin(1);
    struct query *a = pg_bed_ask_tx(&bed, first, "insert into t values (1)");
    struct query *ac = pg_bed_ask_tx(&bed, first, "commit");
    struct query *b = pg_bed_ask_tx(&bed, second, "insert into t values (2)");
    struct query *bc = pg_bed_ask_tx(&bed, second, "commit");
    struct query *after = pg_bed_ask(&bed, "select 2");
    advance();
    cr_assert_eq(pool->leases.count, 0, "none of them holds it");
    const char *sent = got(0);
    cr_assert(strstr(sent, "begin insert into t values (1)* | commit | begin insert into t values (2)* | commit |"),
              "%s", sent);
    cr_assert(strstr(sent, "select 1* select 2* |") || strstr(sent, "select 1* | select 2* |"), "%s", sent);
    (void)before, (void)a, (void)ac, (void)b, (void)bc, (void)after;
}

Test(pg_segment, pg_tx_begin_ends_an_open_group) {
    bring_up(1, 32);
    struct query *member = pg_bed_ask(&bed, "select 1");
    member->commit = QURING_COMMIT_GROUP;
    struct quring_tx *tx = begin(0);
    struct query *inside = pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    advance();
    got_is(0, "select 1* | begin insert into t values (1)* |", "a Sync before BEGIN");
    say(0, "1 t:0 T2DCZ 12 C:BEGIN 1 t:0 n2 C:INSERT_0_1 Z:T");
    pg_bed_assert_text(pg_bed_fate(member), "OK", "the group");
    pg_bed_assert_text(pg_bed_fate(inside), "OK", "the transaction");
    struct query *other = pg_bed_ask(&bed, "select 1");
    advance();
    got_is(0, "", "no other takes it while it is held");
    pg_bed_assert_text(pg_bed_fate(other), "waiting", "it is the only one");
    struct query *commit = pg_bed_ask_tx(&bed, tx, "commit");
    advance();
    got_is(0, "commit |", "alone");
    say(0, "12 C:COMMIT Z");
    advance();
    got_is(0, "bound |", "now it may");
    pg_bed_assert_text(pg_bed_fate(commit), "OK", "COMMIT");
    release(tx);
}

/* ---- What it leaves ---- */

Test(pg_segment, pg_tx_resets_what_its_texts_may_have_left) {
    static const struct {
        const char *sql;
        bool resets;
    } rows[] = {{"insert into t values (1)", false},
                {"select * from t for update", false},
                {"set local a = 1", true},
                {"select set_config('a', 'b', true)", true},
                {"select pg_advisory_lock(1)", true},
                {"create temp table x (a int)", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring_up(1, 8);
        warm();
        struct quring_tx *tx = begin(0);
        pg_bed_ask_tx(&bed, tx, rows[i].sql);
        struct query *commit = pg_bed_ask_tx(&bed, tx, "commit");
        advance();
        const char *sent = got(0);
        cr_assert_eq(strstr(sent, "| commit | discard all |") != NULL, rows[i].resets, "%s: %s", rows[i].sql, sent);
        cr_assert_eq(pool->leases.count, rows[i].resets);
        if (!rows[i].resets)
            continue;
        say(0, "12 C:BEGIN 1 t:0 n2 C:SET Z:T 12 C:COMMIT Z");
        pg_bed_assert_text(pg_bed_fate(commit), "OK", "it does not wait for the reset");
        cr_assert_eq(pool->leases.count, 1, "but the connection does");
        say(0, "12 C:DISCARD_ALL Z 12 C:SELECT_0 Z");
        cr_assert_eq(pool->leases.count, 0);
        pg_bed_ask(&bed, "insert into t values (1)");
        advance();
        got_is(0, "insert into t values (1)* |", "what was prepared is gone");
    }
}

Test(pg_segment, pg_tx_resets_always_if_asked) {
    bring_up(1, 8);
    struct quring_tx *tx = begin_with(0, &(quring_tx_options){.lease_reset = QURING_LEASE_RESET_ALWAYS});
    pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    pg_bed_ask_tx(&bed, tx, "commit");
    advance();
    got_is(0, "begin insert into t values (1)* | commit | discard all | select 1 where set_config( |", "pipelined");
}

Test(pg_segment, pg_tx_closes_a_connection_whose_reset_fails) {
    bring_up(1, 8);
    struct quring_tx *tx = begin(0);
    pg_bed_ask_tx(&bed, tx, "set a = 1");
    struct query *commit = pg_bed_ask_tx(&bed, tx, "commit");
    advance();
    bed.refusal = "08001";
    say(0, "12 C:BEGIN 1 t:0 n2 C:SET Z:T 12 C:COMMIT Z 12 E:25001 Z");
    pg_bed_assert_text(pg_bed_fate(commit), "OK", "COMMIT");
    cr_assert_neq(pool->conns[0]->state, PG_CONN_READY);
    cr_assert_eq(pool->leases.count, 0);
    cr_assert_eq(tx->state, TX_ENDED);
}

Test(pg_segment, pg_tx_parses_for_each_use_behind_a_setting) {
    bring_up(1, 16);
    warm();
    struct quring_tx *tx = begin(0);
    pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    pg_bed_ask_tx(&bed, tx, "set local search_path = x");
    pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    advance();
    got_is(0, "begin bound set local search_path = x insert into t values (1) |", "without a name");
    release(tx);
}

Test(pg_segment, pg_tx_says_begin_as_its_options_want) {
    static const struct {
        quring_tx_options options;
        const char *begin;
    } rows[] = {
        {{.isolation = QURING_ISOLATION_SERIALIZABLE, .read_only = true, .deferrable = true},
         "begin isolation level serializable read only deferrable"},
        {{.isolation = QURING_ISOLATION_REPEATABLE_READ}, "begin isolation level repeatable read"},
        {{.isolation = QURING_ISOLATION_READ_COMMITTED, .read_only = true},
         "begin isolation level read committed read only"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring_up(1, 8);
        struct quring_tx *tx = begin_with(0, &rows[i].options);
        pg_bed_ask_tx(&bed, tx, "select 1");
        advance();
        const char *sent = got(0);
        cr_assert_eq(strncmp(sent, rows[i].begin, strlen(rows[i].begin)), 0, "%s", sent);
        release(tx);
    }
}

/* ---- Release, time, loss ---- */

Test(pg_segment, pg_tx_rolls_back_when_it_is_released) {
    bring_up(1, 8);
    struct quring_tx *tx = begin(0);
    struct query *query = pg_bed_ask_tx(&bed, tx, "select 1");
    advance();
    (void)got(0);
    release(tx);
    got_is(0, "rollback |", "behind what is out");
    say(0, "12 C:BEGIN 1 t:0 T2DC Z:T 12 C:ROLLBACK Z");
    pg_bed_assert_text(fates_of(&query, 1), "SKIPPED 57014 0", "it is undone");
    cr_assert(tx->state == TX_ENDED && pool->leases.count == 0);
}

Test(pg_segment, pg_tx_rolls_back_when_its_time_has_passed) {
    bring_up(1, 8);
    struct quring_tx *tx = begin_with(0, &(quring_tx_options){.timeout_ns = PG_BED_MS});
    tx_begin_time(tx, ring_now_ns(bed.hub.ring));
    struct query *query = pg_bed_ask_tx(&bed, tx, "select 1");
    advance();
    (void)got(0);
    heap_remove(&bed.hub.tx_deadlines, &tx->deadline);
    cr_assert(tx_expire(tx, ring_now_ns(bed.hub.ring) + 2 * PG_BED_MS));
    pg_backend.tx_changed(tx, true);
    pg_bed_settle(&bed);
    pg_bed_assert_text(pg_bed_fate(query), "TIMEOUT 57014", "at once");
    got_is(0, "rollback |", "behind it");
    say(0, "12 C:BEGIN 1 t:0 T2DC Z:T 12 C:ROLLBACK Z");
    cr_assert(tx->state == TX_ENDED && pool->leases.count == 0);
    struct query *late = pg_bed_ask_tx(&bed, tx, "select 1");
    advance();
    pg_bed_assert_text(fates_of(&late, 1), "SKIPPED 25P04 0", "and what comes");
    release(tx);
}

struct loss {
    const char *what;
    const char *queries;
    const char *replies;
    const char *fates;
};

static const struct loss losses[] = {
    {"nothing was answered", "ii", "", "SERVER_ERROR 08006; SERVER_ERROR 08006"},
    {"a part was", "ii", B I, "SERVER_ERROR 08006; SERVER_ERROR 08006"},
    {"all was, and it is idle", "i", B I " Z:T", "OK"},
    {"COMMIT is out", "ic", "", "IN_DOUBT 08006; IN_DOUBT 08006"},
    {"COMMIT alone is out", "ic", B I " Z:T", "OK; IN_DOUBT 08006"},
    {"COMMIT is out, and one has failed", "iic", B " 2 E:23505 Z:E",
     "SERVER_ERROR 23505; SKIPPED 23505 1; SERVER_ERROR 23505"},
    {"COMMIT is out behind ROLLBACK TO", "sibic", B S " 2 E:23505 Z:E",
     "OK; SERVER_ERROR 23505; IN_DOUBT 08006; IN_DOUBT 08006; IN_DOUBT 08006"},
    {"COMMIT is out behind ROLLBACK TO that was given up", "sib!ic", B S " 2 E:23505 Z:E",
     "OK; SERVER_ERROR 23505; CANCELLED 57014; IN_DOUBT 08006; IN_DOUBT 08006"},
    {"COMMIT is out behind ROLLBACK TO, and one has failed again", "sibic",
     B S " 2 E:23505 Z:E 12 C:ROLLBACK 2 E:22012 Z:E",
     "OK; SERVER_ERROR 23505; OK; SERVER_ERROR 22012; SERVER_ERROR 22012"},
    {"ROLLBACK is out", "ir", B I " Z:T", "OK; SERVER_ERROR 08006"},
    {"COMMIT was answered", "ic", B I " Z:T 12 C:COMMIT Z", "OK; OK"},
    {"BEGIN failed", "ic", "E:25006 Z", "SKIPPED 25006 0; SERVER_ERROR 25006"},
};

Test(pg_segment, pg_tx_tells_what_a_loss_means) {
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct query *queries[ASKED];
        bring_up(1, 16);
        warm();
        struct quring_tx *tx = begin(0);
        uint32_t count = ask_row(tx, losses[i].queries, queries);
        if (*losses[i].replies)
            say(0, losses[i].replies);
        bed.refusal = "08001";
        pg_conn_break(pool->conns[0], QURING_IN_DOUBT, "08006", "lost");
        pg_bed_settle(&bed);
        advance();
        pg_bed_assert_text(fates_of(queries, count), losses[i].fates, losses[i].what);
        cr_assert(tx->state == TX_ENDED && pool->leases.count == 0, "%s", losses[i].what);
        if (!tx->end_submitted) {
            struct query *late[2] = {pg_bed_ask_tx(&bed, tx, "select 1"), pg_bed_ask_tx(&bed, tx, "commit")};
            advance();
            cr_assert_eq(late[0]->status, QURING_SKIPPED, "%s", losses[i].what);
            cr_assert_eq(late[1]->status, QURING_SERVER_ERROR, "%s", losses[i].what);
            cr_assert_str_eq(late[1]->error.view.sqlstate, "08006", "%s", losses[i].what);
        }
        release(tx);
    }
}

Test(pg_segment, pg_tx_goes_elsewhere_if_no_byte_of_it_left) {
    for (int whole = 0; whole < 2; whole++) {
        bring_up(2, 8);
        struct quring_tx *tx = begin(0), *later = begin(1);
        struct query *queries[2] = {pg_bed_ask_tx(&bed, tx, "select 1")};
        if (whole)
            queries[1] = pg_bed_ask_tx(&bed, tx, "commit");
        pg_backend.advance(&bed.db.base);
        struct pg_conn *conn = pg_query(queries[0])->conn;
        uint32_t other = conn == pool->conns[0];
        pg_conn_break(conn, QURING_IN_DOUBT, "08006", "lost");
        pg_bed_settle(&bed);
        pg_bed_assert_text(fates_of(queries, 1u + (uint32_t)whole), whole ? "waiting; waiting" : "waiting", "again");
        cr_assert_eq(pool->leases.count, 0);
        pg_bed_ask_tx(&bed, later, "select 1");
        advance();
        const char *sent = got(other);
        cr_assert_eq(strncmp(sent, whole ? "begin select 1* | commit |" : "begin select 1* |", 17), 0, "%s", sent);
        release(tx);
        release(later);
    }
}

Test(pg_segment, pg_tx_waits_for_a_server_as_other_queries_do) {
    bring_up(1, 8);
    bed.refusal = "28P01";
    pg_conn_break(pool->conns[0], QURING_IN_DOUBT, "08006", "lost");
    struct quring_tx *tx = begin(0);
    struct query *queries[2] = {pg_bed_ask_tx(&bed, tx, "select 1"), pg_bed_ask_tx(&bed, tx, "commit")};
    advance();
    pg_bed_pass(&bed, 500 * PG_BED_MS);
    pg_bed_assert_text(fates_of(queries, 2), "NOT_SENT 28P01; NOT_SENT 28P01", "none comes");
    cr_assert_eq(tx->state, TX_ENDED);
    release(tx);
}

Test(pg_segment, pg_tx_doubts_a_rollback_that_is_answered_as_another_statement) {
    static const char *const rows[][2] = {
        {"ROLLBACK", "OK"}, {"COMMIT", "IN_DOUBT 08P01"}, {"SELECT_1", "IN_DOUBT 08P01"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char script[80];
        bring_up(1, 8);
        struct quring_tx *tx = begin(0);
        pg_bed_ask_tx(&bed, tx, "select 1");
        struct query *end = pg_bed_ask_tx(&bed, tx, "rollback");
        advance();
        snprintf(script, sizeof script, "12 C:BEGIN 1 t:0 T2DC Z:T 12 C:%s Z", rows[i][0]);
        say(0, script);
        pg_bed_assert_text(pg_bed_fate(end), rows[i][1], rows[i][0]);
        release(tx);
    }
}

Test(pg_segment, pg_tx_closes_a_connection_that_is_in_another_state) {
    static const struct {
        const char *queries, *replies, *fates;
    } rows[] = {
        {"ic", B I " Z", "PROTOCOL 08P01; PROTOCOL 08P01"},
        {"ic", B I " Z:T 12 C:COMMIT Z:T", "OK; PROTOCOL 08P01"},
        {"i", B I " Z", "PROTOCOL 08P01"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct query *queries[ASKED];
        bring_up(1, 16);
        warm();
        struct quring_tx *tx = begin(0);
        uint32_t count = ask_row(tx, rows[i].queries, queries);
        bed.refusal = "08001";
        say(0, rows[i].replies);
        pg_bed_assert_text(fates_of(queries, count), rows[i].fates, rows[i].replies);
        cr_assert_neq(pool->conns[0]->state, PG_CONN_READY);
        cr_assert(tx->state == TX_ENDED && pool->leases.count == 0);
        release(tx);
    }
}

/* statement_timeout may stop the server before it has begun with COMMIT. It takes what stands behind all the same. */
Test(pg_segment, pg_tx_closes_a_connection_whose_commit_was_stopped_before_others) {
    bring_up(1, 16);
    struct quring_tx *tx = begin(0), *second = begin(1);
    (void)pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    struct query *commit = pg_bed_ask_tx(&bed, tx, "commit");
    struct query *behind = pg_bed_ask_tx(&bed, second, "insert into t values (2)");
    struct query *its_commit = pg_bed_ask_tx(&bed, second, "commit");
    struct query *other = pg_bed_ask(&bed, "select 1");
    advance();
    say(0, "12 C:BEGIN 1 t:0 n2 C:INSERT_0_1 Z:T 12 E:57014 Z:E E:25P02 Z:E 12 C:ROLLBACK Z");
    pg_bed_assert_text(pg_bed_fate(commit), "SERVER_ERROR 57014", "the one that was stopped");
    pg_bed_assert_text(pg_bed_fate(behind), "IN_DOUBT 57014", "what stood behind");
    pg_bed_assert_text(pg_bed_fate(its_commit), "IN_DOUBT 57014", "its COMMIT");
    pg_bed_assert_text(pg_bed_fate(other), "IN_DOUBT 57014", "what stood behind that");
    cr_assert(tx->state == TX_ENDED && second->state == TX_ENDED);
}

Test(pg_segment, pg_tx_stays_on_a_connection_that_retires) {
    bring_up(1, 8);
    struct quring_tx *tx = begin(0);
    pg_bed_ask_tx(&bed, tx, "select 1");
    advance();
    say(0, "12 C:BEGIN 1 t:0 T2DC Z:T");
    pg_pool_drain(pool);
    pg_bed_settle(&bed);
    (void)got(0);
    struct pg_conn *conn = tx->queue.waiting_count ? NULL : pool->conns[0];
    cr_assert(pg_conn_is_up(conn), "it is held");
    struct query *commit = pg_bed_ask_tx(&bed, tx, "commit");
    advance();
    got_is(0, "commit |", "and still takes its own");
    say(0, "12 C:COMMIT Z");
    pg_bed_assert_text(pg_bed_fate(commit), "OK", "COMMIT");
    cr_assert_eq(pool->leases.count, 0);
    cr_assert_neq(conn->state, PG_CONN_RETIRING, "then it ends");
    release(tx);
}

/* ---- A server that leaves a transaction by itself ---- */

/* It may have committed, and the query that it says so of is out, or is a ROLLBACK TO that was to revive the transaction. */
Test(pg_segment, the_end_of_a_transaction_that_the_server_has_left_is_unknown) {
    for (int failed = 0; failed < 2; failed++)
        for (int commits = 0; commits < 2; commits++) {
            bring_up(1, 16);
            warm();
            struct quring_tx *tx = begin(0);
            pg_bed_ask_tx(&bed, tx, "savepoint a");
            (void)pg_bed_ask_tx(&bed, tx, PG_TX_INSERT);
            advance();
            say(0, failed ? "12 C:BEGIN 12 C:SAVEPOINT 2 E:23505 Z:E" : "12 C:BEGIN 12 C:SAVEPOINT 2 C:INSERT_0_1 Z:T");
            struct query *last = pg_bed_ask_tx(&bed, tx, failed ? "rollback to a" : PG_TX_INSERT);
            advance();
            say(0, failed ? "12 C:ROLLBACK Z" : "2 C:INSERT_0_1 Z");
            struct query *end = pg_bed_ask_tx(&bed, tx, commits ? "commit" : "rollback");
            advance();
            pg_bed_assert_text(pg_bed_fate(last), "PROTOCOL 08P01", "what was out");
            pg_bed_assert_text(pg_bed_fate(end), "PROTOCOL 08P01", commits ? "commit" : "rollback");
            release(tx);
            pg_tx_teardown();
            pg_setup();
        }
}

/* Where the server was in the transaction still, it is certain that nothing took effect. */
Test(pg_segment, a_transaction_is_undone_where_the_server_breaks_the_protocol) {
    for (int commits = 0; commits < 2; commits++) {
        bring_up(1, 16);
        warm();
        struct quring_tx *tx = begin(0);
        (void)pg_bed_ask_tx(&bed, tx, PG_TX_INSERT);
        advance();
        say(0, "12 C:BEGIN 2 C:INSERT_0_1 Z:T");
        struct query *last = pg_bed_ask_tx(&bed, tx, PG_TX_INSERT);
        advance();
        pg_conn_break(pool->conns[0], QURING_PROTOCOL, "08P01", "broken");
        pg_bed_settle(&bed);
        struct query *end = pg_bed_ask_tx(&bed, tx, commits ? "commit" : "rollback");
        advance();
        pg_bed_assert_text(pg_bed_fate(last), "PROTOCOL 08P01", "what was out");
        pg_bed_assert_text(pg_bed_fate(end), commits ? "SERVER_ERROR 08P01" : "OK", "its end");
        release(tx);
        pg_tx_teardown();
        pg_setup();
    }
}

/* A shutdown looks between the error and its ReadyForQuery. */
Test(pg_segment, a_released_commit_behind_a_begin_that_failed_ends_as_that) {
    bring_up(1, 16);
    warm();
    struct quring_tx *tx = begin(0);
    struct query *insert = pg_bed_ask_tx(&bed, tx, PG_TX_INSERT), *commit = pg_bed_ask_tx(&bed, tx, "commit");
    advance();
    tx_release(tx);
    say(0, "12 E:25006");
    pg_backend.tx_changed(tx, false);
    say(0, "Z");
    pg_bed_assert_text(pg_bed_fate(insert), "SKIPPED 25006", "what stood behind BEGIN");
    pg_bed_assert_text(pg_bed_fate(commit), "SERVER_ERROR 25006", "COMMIT");
}

/* A shutdown looks at transactions while the connection is about to close. */
Test(pg_segment, what_was_sent_of_a_transaction_ends_as_its_connection_does) {
    bring_up(1, 16);
    warm();
    struct quring_tx *tx = begin(0);
    (void)pg_bed_ask_tx(&bed, tx, PG_TX_INSERT);
    advance();
    say(0, "12 C:BEGIN 2 C:INSERT_0_1 Z:T");
    struct query *commit = pg_bed_ask_tx(&bed, tx, "commit");
    advance();
    tx_release(tx);
    tx_distrust(tx, "08P01", "broken");
    pg_conn_break(pool->conns[0], QURING_PROTOCOL, "08P01", "broken");
    pg_backend.tx_changed(tx, false);
    cr_assert_eq(commit->state, QUERY_RUNNING);
    pg_bed_settle(&bed);
    pg_bed_assert_text(pg_bed_fate(commit), "PROTOCOL 08P01", "it may have taken effect");
}
