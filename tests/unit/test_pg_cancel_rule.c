/* SPDX-License-Identifier: MIT */
/* The rule for cancels, whom a hit may meet, and cancels that go over another connection. */
#include "lib/pg_fixture.h"
#include "pg/backend.h"
#include "pg/health.h"
#include "ring/ring.h"

#define READ "select 1"
#define SECOND (1000 * PG_BED_MS)

static struct pg_pool *pool;
static struct pg_conn *target, *other;

TestSuite(pg_cancel_rule, .init = pg_setup, .fini = pg_teardown);

static void advance(void) {
    pg_pool_advance(pool);
    list_for_each_safe(node, &bed.db.base.ready)
        pg_pool_admit(pool, list_entry(node, struct queue, ready));
    pg_bed_settle(&bed);
}

static void come_up(void) {
    for (bool any = true; any;) {
        any = false;
        pg_bed_settle(&bed);
        for (uint32_t i = 0; i < pool->conn_count; i++)
            if (pool->conns[i]->state == PG_CONN_BARRIER) {
                pg_bed_answer(&bed, pool->conns[i], false);
                (void)pg_bed_got(&bed, pool->conns[i]);
                any = true;
            }
    }
}

static uint64_t silence_ns = QURING_FOREVER;

static void open_pool(uint32_t count) {
    pg_again(&(quring_db_options){.connection_count = count, .depth = 8, .silence_ns = silence_ns});
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0, "%s", bed.hub.message);
    bed.pool_open = true;
    pool->attempts.rng.state = 1;
    come_up();
    advance();
}

static struct query *ask(const char *sql, quring_commit_mode commit) {
    struct query *query = pg_bed_ask(&bed, sql);
    query->commit = (uint8_t)commit;
    return query;
}

static void give_up(struct query *query) {
    pg_backend.abandon(query, QURING_TIMEOUT);
    pg_bed_settle(&bed);
}

/* ---- A server that is asked as libpq does it ---- */

static uint32_t asked_count;
static enum pg_cancel_fate asked_fate;

static enum pg_cancel_fate key_ask(struct pg_cancel_key *key, struct task *task) {
    (void)key, (void)task;
    asked_count++;
    return asked_fate;
}

static void key_drop(struct pg_cancel_key *key) {
    (void)key;
}

static struct pg_cancel_key key = {key_ask, key_drop};

static void open_keyed(void) {
    open_pool(1);
    target = pool->conns[0];
    target->cancel.key = &key;
    asked_count = 0;
    asked_fate = PG_CANCEL_TAKEN;
}

/* ---- The rule ---- */

static bool is_asked_with(const char *behind, bool struck) {
    open_keyed();
    struct query *late = ask(READ, QURING_COMMIT_EACH), *next = behind ? ask(behind, QURING_COMMIT_EACH) : NULL;
    if (next)
        next->struck = struck;
    advance();
    give_up(late);
    pg_bed_pass(&bed, SECOND);
    return asked_count != 0;
}

Test(pg_cancel_rule, pg_request_may_be_struck_only_if_it_can_be_run_again_unseen) {
    static const struct {
        const char *behind;
        bool struck, asked;
    } rows[] = {
        {NULL, false, true},
        {"select 1", false, true},
        {"select 1", true, false},
        {"insert into t values (1)", false, true},
        {"with x as (delete from t returning a) select a from x", false, true},
        {"select 1 for update", false, false},
        {"select set_config('a', 'b', false)", false, false},
        {"select pg_advisory_lock(1)", false, false},
        {"call p()", false, false},
        {"do 'begin end'", false, false},
        {"vacuum t", false, false},
        {"create table t (a int)", false, false},
        {"explain analyze delete from t", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(is_asked_with(rows[i].behind, rows[i].struck), rows[i].asked, "%s", rows[i].behind);
}

Test(pg_cancel_rule, a_health_check_is_not_given_up) {
    open_keyed();
    for (int i = 0; i < 2; i++) {
        pg_placement_begin(&pool->placement);
        pg_health_check(&pool->placement, 0);
        cr_assert_eq(pg_conn_is_asked(target), i == 1, "once its first answer is old");
        pg_bed_pass(&bed, i ? 0 : SECOND);
    }
    pg_bed_pass(&bed, SECOND);
    cr_assert_eq(asked_count, 0);
    cr_assert_eq(target->cancel.state, PG_CANCEL_NONE);
}

/* Nobody knows when it comes to the server. What was sent before can run again if it is hit; nothing is sent behind that. */
Test(pg_cancel_rule, a_request_that_is_cut_off_ends_the_connection) {
    open_keyed();
    asked_fate = PG_CANCEL_CUT;
    struct query *late = ask(READ, QURING_COMMIT_EACH), *next = ask(READ, QURING_COMMIT_EACH);
    advance();
    give_up(late);
    pg_bed_pass(&bed, 10 * PG_BED_MS);
    cr_assert_eq(asked_count, 1);
    pg_bed_say(&bed, target, "1 t:0 T2DCZ");
    struct query *last = ask(READ, QURING_COMMIT_EACH);
    advance();
    pg_bed_assert_text(pg_bed_fate(last), "waiting", "it could be hit");
    cr_assert_eq(target->state, PG_CONN_READY, "the one before is awaited");
    uint32_t tried = bed.tried_count;
    pg_bed_say(&bed, target, "1 t:0 T2DCZ");
    pg_bed_assert_text(pg_bed_fate(next), "OK", "it was not hit");
    pg_bed_assert_text(pg_bed_fate(last), "waiting", "for another connection");
    pg_bed_settle(&bed);
    cr_assert_neq(target->state, PG_CONN_READY);
    cr_assert_eq(bed.tried_count, tried + 1, "which is made at once");
    cr_assert_eq(bed.db.base.counters.cancel_count, 0);
}

/* The engine is closed around it: the connection goes, and with it what the server has to say. */
Test(pg_cancel_rule, shutdown_asks_no_server) {
    open_keyed();
    struct query *query = ask(READ, QURING_COMMIT_EACH);
    advance();
    pg_backend.abandon(query, QURING_SHUTDOWN);
    pg_bed_pass(&bed, SECOND);
    cr_assert_eq(asked_count, 0);
}

/* ---- What a hit makes of the replies ---- */

struct reply_row {
    quring_commit_mode commit;
    const char *says, *first, *second, *what;
};

static void check_replies(const struct reply_row *row) {
    open_keyed();
    struct query *late = ask(READ, row->commit), *first = ask(READ, row->commit), *second = ask(READ, row->commit);
    advance();
    (void)pg_bed_got(&bed, target);
    give_up(late);
    pg_bed_pass(&bed, 10 * PG_BED_MS);
    cr_assert_eq(asked_count, 1);
    cr_assert(pg_conn_is_cancelling(target));
    pg_bed_say(&bed, target, row->says);
    pg_bed_assert_text(pg_bed_fate(first), row->first, row->what);
    pg_bed_assert_text(pg_bed_fate(second), row->second, row->what);
    cr_assert_eq(target->cancel.state, PG_CANCEL_NONE, "%s", row->what);
}

Test(pg_cancel_rule, pg_reply_error_of_one_that_is_hit) {
    static const struct reply_row rows[] = {
        {QURING_COMMIT_EACH, "E:57014 Z 1 t:0 T2DCZ 1 t:0 T2DCZ", "OK", "OK", "the one that was given up"},
        {QURING_COMMIT_EACH, "1 t:0 T2DCZ E:57014 Z 1 t:0 T2DCZ", "waiting", "OK", "the one behind it"},
        {QURING_COMMIT_EACH, "1 t:0 T2DCZ 1 t:0 T2D E:57014 Z 1 t:0 T2DCZ", "waiting", "OK", "while it runs"},
        {QURING_COMMIT_EACH, "1 t:0 T2DCZ 1 t:0 T2DC E:57014 Z 1 t:0 T2DCZ", "waiting", "OK", "at its commit"},
        {QURING_COMMIT_EACH, "1 t:0 T2DCZ E:57014 Z E:57014 Z", "waiting", "waiting", "both"},
        {QURING_COMMIT_EACH, "1 t:0 T2DCZ E:22012 Z E:57014 Z", "SERVER_ERROR 22012", "waiting", "another's error"},
        {QURING_COMMIT_EACH, "1 t:0 T2DCZ 1 t:0 T2D W:01000 CZ 1 t:0 T2DCZ", "OK", "OK", "a warning before its end"},
        {QURING_COMMIT_EACH, "1 t:0 T2DCZ 1 t:0 T2DC W:01000 Z 1 t:0 T2DCZ", "IN_DOUBT 40003", "OK",
         "its commit did not wait for a standby"},
        {QURING_COMMIT_GROUP, "1 t:0 T2DC E:57014 Z", "waiting", "waiting", "a member of its group"},
        {QURING_COMMIT_GROUP, "E:57014 Z", "waiting", "waiting", "the given-up member undoes its group"},
        {QURING_COMMIT_GROUP, "1 t:0 T2DC 1 t:0 T2DC 1 t:0 T2DC E:57014 Z", "waiting", "waiting", "the group's commit"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_replies(&rows[i]);
}

/* The commit is that of the whole group, and the member that runs into the warning may be the one that was given up. */
Test(pg_cancel_rule, pg_reply_struck_at_commit_of_a_given_up_member) {
    open_keyed();
    struct query *first = ask(READ, QURING_COMMIT_GROUP), *late = ask(READ, QURING_COMMIT_GROUP);
    advance();
    pg_bed_say(&bed, target, "1 t:0 T2DC 1 t:0 T2DC");
    give_up(late);
    pg_bed_pass(&bed, 10 * PG_BED_MS);
    cr_assert_eq(asked_count, 1);
    pg_bed_say(&bed, target, "W:01000 Z");
    pg_bed_assert_text(pg_bed_fate(first), "IN_DOUBT 40003", "its commit did not wait for a standby");
}

/* Without a cancel that may hit it, 57014 is the server's own: statement_timeout. */
Test(pg_cancel_rule, pg_reply_error_without_a_cancel) {
    open_keyed();
    struct query *query = ask(READ, QURING_COMMIT_EACH);
    advance();
    pg_bed_say(&bed, target, "E:57014 Z");
    pg_bed_assert_text(pg_bed_fate(query), "SERVER_ERROR 57014", "its own");
}

/* ---- Over another connection ---- */

static void know(struct pg_conn *conn, uint64_t server) {
    conn->cancel.server = server;
    conn->cancel.client_port = 5000;
}

/* Two connections on TLS, the first of which has a query out that was given up `ns` ago. */
static void open_two(uint64_t first_server, uint64_t second_server, uint64_t ns) {
    open_pool(2);
    struct query *late = ask(READ, QURING_COMMIT_EACH);
    advance();
    target = pg_query(late)->conn;
    other = pool->conns[target == pool->conns[0]];
    know(target, first_server);
    know(other, second_server);
    (void)pg_bed_got(&bed, other);
    give_up(late);
    pg_bed_pass(&bed, ns);
}

static void expect_carried(void) {
    pg_bed_assert_text(pg_bed_got(&bed, other),
                       "Parse - 'select pg_cancel_backend(pid) from pg_stat_activity where pid = $1::int4 and "
                       "client_port = $2::int4', Bind - (0 0) -> , Execute, Sync",
                       "the server is asked");
}

Test(pg_cancel_rule, over_another_connection) {
    open_two(7, 7, 3 * PG_BED_MS);
    expect_carried();
    struct query *next = ask(READ, QURING_COMMIT_EACH);
    advance();
    pg_bed_assert_text(pg_bed_fate(next), "waiting", "nothing goes to either");
    pg_bed_say(&bed, other, "12 R:t CZ");
    advance();
    cr_assert_eq(pg_query(next)->conn, other, "the one that carried it is free");
    cr_assert_eq(bed.db.base.counters.cancel_count, 1);
    pg_bed_say(&bed, target, "E:57014 Z");
    cr_assert_eq(bed.db.base.counters.cancel_stopped_count, 1);
    cr_assert(target->cancel.state == PG_CANCEL_NONE && pg_conn_is_idle(target));
}

/* The hit may come before the answer to the one that carries it. */
Test(pg_cancel_rule, over_another_connection_that_answers_late) {
    open_two(7, 7, 3 * PG_BED_MS);
    pg_bed_say(&bed, target, "E:57014 Z");
    cr_assert(pg_conn_is_idle(target) && pg_conn_is_cancelling(target));
    struct query *next = ask(READ, QURING_COMMIT_EACH);
    advance();
    pg_bed_assert_text(pg_bed_fate(next), "waiting", "nothing goes to either");
    pg_bed_say(&bed, other, "12 R:t CZ");
    advance();
    pg_bed_assert_text(pg_bed_fate(next), "running", "both are free");
    cr_assert_eq(target->cancel.state, PG_CANCEL_NONE);
}

/* Its process number may be another's there; and one that is unknown to us, or closed to us, can't be asked. */
Test(pg_cancel_rule, the_connection_is_closed_where_no_other_can_carry_it) {
    open_two(7, 8, 100 * PG_BED_MS);
    pg_bed_assert_text(pg_bed_got(&bed, other), "", "another server");
    cr_assert_eq(target->state, PG_CONN_READY, "it may answer yet");
    pg_bed_pass(&bed, 200 * PG_BED_MS);
    come_up();
    cr_assert_eq(bed.server_count, 3, "it was replaced");
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 0);
}

/* A member of the same group was carried out, but is not committed. */
Test(pg_cancel_rule, the_connection_is_not_closed_before_the_end_of_a_group) {
    open_pool(1);
    target = pool->conns[0];
    know(target, 7);
    struct query *first = ask(READ, QURING_COMMIT_GROUP), *late = ask(READ, QURING_COMMIT_GROUP);
    advance();
    pg_bed_say(&bed, target, "1 t:0 T2DC");
    give_up(late);
    pg_bed_pass(&bed, SECOND);
    cr_assert_eq(target->state, PG_CONN_READY);
    pg_bed_say(&bed, target, "1 t:0 T2DC Z");
    pg_bed_assert_text(pg_bed_fate(first), "OK", "it is awaited");
}

Test(pg_cancel_rule, over_another_connection_that_is_idle_later) {
    open_pool(2);
    struct query *late = ask(READ, QURING_COMMIT_EACH);
    (void)ask(READ, QURING_COMMIT_EACH);
    advance();
    target = pg_query(late)->conn;
    other = pool->conns[target == pool->conns[0]];
    know(target, 7);
    know(other, 7);
    (void)ask(READ, QURING_COMMIT_EACH);
    (void)ask(READ, QURING_COMMIT_EACH);
    advance();
    cr_assert(target->session.next - target->settled == 2 && other->session.next - other->settled == 2);
    give_up(late);
    pg_bed_pass(&bed, 50 * PG_BED_MS);
    pg_bed_say(&bed, other, "1 t:0 T2DCZ 1 t:0 T2DCZ");
    (void)pg_bed_got(&bed, other);
    pg_bed_pass(&bed, SECOND);
    expect_carried();
}

Test(pg_cancel_rule, over_another_connection_that_is_refused) {
    static const char *const answers[] = {"E:42501 Z", "1 E:42883 Z", "12 R:f CZ", "12CZ"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        open_two(7, 7, 3 * PG_BED_MS);
        expect_carried();
        pg_bed_say(&bed, other, answers[i]);
        cr_assert(other->state == PG_CONN_READY && target->state == PG_CONN_READY);
        pg_bed_pass(&bed, SECOND);
        come_up();
        cr_assert_eq(bed.server_count, 3, "%s: it was closed and replaced", answers[i]);
        cr_assert_eq(bed.db.base.counters.cancel_count, 0);
        cr_assert_eq(bed.db.base.counters.connection_lost_count, 0);
    }
}

/* Whether the server has read it, or ever will, nobody knows: it may hit what comes later. */
Test(pg_cancel_rule, over_another_connection_that_is_lost) {
    open_two(7, 7, 3 * PG_BED_MS);
    expect_carried();
    pg_bed_say(&bed, other, "F:57P01");
    cr_assert(pg_conn_is_cancelling(target));
    pg_bed_pass(&bed, SECOND);
    come_up();
    cr_assert_eq(bed.server_count, 4, "both were replaced");
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 1, "the server's own end");
}

Test(pg_cancel_rule, over_a_third_connection_where_the_second_is_lost) {
    open_pool(3);
    struct query *late = ask(READ, QURING_COMMIT_EACH);
    advance();
    target = pg_query(late)->conn;
    struct query *behind = ask(READ, QURING_COMMIT_EACH);
    pg_conn_send(target, queue_take(&bed.db.base.queue));
    pg_conn_flush(target);
    for (uint32_t i = 0; i < 3; i++) {
        know(pool->conns[i], 7);
        (void)pg_bed_got(&bed, pool->conns[i]);
    }
    give_up(late);
    pg_bed_pass(&bed, 3 * PG_BED_MS);
    other = target->cancel.carrier;
    expect_carried();
    pg_bed_say(&bed, other, "F:57P01");
    pg_bed_pass(&bed, 200 * PG_BED_MS);
    cr_assert(target->cancel.carrier && target->cancel.carrier != other);
    other = target->cancel.carrier;
    expect_carried();
    pg_bed_say(&bed, other, "12 R:t CZ");
    pg_bed_say(&bed, target, "E:57014 Z 1 t:0 T2DCZ");
    pg_bed_assert_text(pg_bed_fate(behind), "OK", "nobody gave it up");
    pg_bed_pass(&bed, 200 * PG_BED_MS);
    come_up();
    cr_assert_eq(bed.server_count, 5, "a late one may come to either");
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 1, "the server's own end");
}

/* Both are silent, and both are replaced. */
Test(pg_cancel_rule, over_another_connection_that_never_answers) {
    silence_ns = 4 * SECOND;
    open_two(7, 7, 3 * PG_BED_MS);
    expect_carried();
    pg_bed_pass(&bed, 6 * SECOND);
    come_up();
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 2);
    cr_assert_eq(pool->ready_count, 2);
}

Test(pg_cancel_rule, over_another_connection_and_lost_meanwhile) {
    open_two(7, 7, 3 * PG_BED_MS);
    pg_bed_say(&bed, target, "F:57P01");
    pg_bed_say(&bed, other, "12 R:t CZ");
    cr_assert_eq(other->state, PG_CONN_READY);
    pg_bed_pass(&bed, SECOND);
    come_up();
    struct query *next = ask(READ, QURING_COMMIT_EACH);
    advance();
    pg_bed_assert_text(pg_bed_fate(next), "running", "it goes on");
}
