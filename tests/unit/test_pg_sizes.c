/* SPDX-License-Identifier: MIT */
/* How many connections a pool has: growth with demand, ends by idleness and age, and questions to those idle for long. */
#include "lib/pg_fixture.h"
#include "ring/ring.h"

#define ONE "select 1"
#define SECOND (1000 * PG_BED_MS)

static struct pg_pool *pool;

TestSuite(pg_sizes, .init = pg_setup, .fini = pg_teardown);

static void advance(void) {
    pg_pool_advance(pool);
    list_for_each_safe(node, &bed.db.base.ready)
        pg_pool_admit(pool, list_entry(node, struct queue, ready));
    pg_bed_settle(&bed);
}

/* Servers answer the first exchange, and nothing else. */
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

static void open_pool(const quring_db_options *options) {
    pg_again(options);
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0, "%s", bed.hub.message);
    bed.pool_open = true;
    pool->attempts.rng.state = 1;
    come_up();
    advance();
}

static void pass(uint64_t ns) {
    pg_bed_pass(&bed, ns);
    come_up();
}

static void answer(uint32_t i) {
    struct pg_conn *conn = pool->conns[i];
    const struct pg_request *request = pg_conn_request(conn, conn->session.head);
    pg_bed_say(&bed, conn, request->kind == PG_REQUEST_BOUND ? "2DCZ" : "1 t:0 T2DCZ");
}

static void answer_all(void) {
    for (uint32_t i = 0; i < pool->conn_count; i++)
        while (pg_conn_is_up(pool->conns[i]) && !pg_conn_is_idle(pool->conns[i]))
            answer(i);
}

static void ask(uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        pg_bed_ask(&bed, ONE);
    advance();
}

static uint32_t count_in(enum pg_conn_state state) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->conn_count; i++)
        count += pool->conns[i]->state == state;
    return count;
}

/* ---- Growth ---- */

Test(pg_sizes, pg_sizes_init_wants_the_least) {
    open_pool(&(quring_db_options){.connection_count = 6, .connection_min_count = 2});
    cr_assert(pool->ready_count == 2 && bed.tried_count == 2, "%u are up", pool->ready_count);
    pass(100 * SECOND);
    cr_assert_eq(pool->ready_count, 2);
}

Test(pg_sizes, pg_sizes_grow_while_all_have_queries_out) {
    open_pool(&(quring_db_options){.connection_count = 6, .connection_min_count = 2, .depth = 4});
    ask(1);
    come_up();
    cr_assert_eq(pool->ready_count, 2, "the other one is idle");
    ask(1);
    come_up();
    cr_assert_eq(pool->ready_count, 3, "both have one: one more");
    ask(1);
    come_up();
    cr_assert_eq(pool->ready_count, 4);
    answer_all();
    ask(1);
    come_up();
    cr_assert_eq(pool->ready_count, 4, "others are idle");
    ask(30);
    come_up();
    advance();
    cr_assert_eq(pool->ready_count, 6, "as many as there may be");
    ask(30);
    cr_assert_eq(bed.tried_count, 6);
}

/* ---- Idleness ---- */

Test(pg_sizes, pg_sizes_look_ends_idle_ones_down_to_the_least) {
    open_pool(&(quring_db_options){
        .connection_count = 6, .connection_min_count = 2, .connection_idle_ns = 10 * SECOND, .depth = 1});
    while (pool->ready_count < 6) {
        ask(6);
        come_up();
        advance();
    }
    pass(60 * SECOND);
    cr_assert_eq(pool->ready_count, 6, "queries are out on them");
    struct pg_conn *long_one = pool->conns[0];
    for (uint32_t i = 1; i < 6; i++)
        answer(i);
    queue_fail(&bed.db.base.queue, QURING_CANCELLED, "57014", "");
    pass(9 * SECOND);
    cr_assert_eq(pool->ready_count, 6, "not idle for long enough");
    pass(SECOND + PG_BED_MS);
    cr_assert_eq(pool->ready_count, 2);
    cr_assert_eq(long_one->state, PG_CONN_READY, "it is at work");
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 0);
    pass(100 * SECOND);
    cr_assert_eq(pool->ready_count, 2);
    cr_assert_eq(bed.tried_count, 6);
}

/* However short that time is, and whether or not it has passed. */
Test(pg_sizes, pg_sizes_look_leaves_the_least_alone_for_a_while) {
    open_pool(
        &(quring_db_options){.connection_count = 2, .connection_min_count = 1, .connection_idle_ns = 1, .depth = 1});
    come_up();
    advance();
    pass(PG_BED_MS);
    cr_assert_eq(pool->ready_count, 1);
    cr_assert_geq(pool->conns[0]->timer.node.key, ring_now_ns(bed.hub.ring) + 8 * PG_BED_MS);
}

/*
 * A query every 9 s has others asked beside the one that takes it; to be asked is no use of a connection. Where one is all
 * that there are, each query makes another.
 */
Test(pg_sizes, pg_sizes_look_ends_idle_ones_that_are_asked) {
    open_pool(&(quring_db_options){.connection_count = 6,
                                   .connection_min_count = 1,
                                   .connection_idle_ns = 20 * SECOND,
                                   .health_check_ns = 5 * SECOND,
                                   .silence_ns = 5 * SECOND,
                                   .depth = 1});
    while (pool->ready_count < 6) {
        ask(6);
        come_up();
        advance();
    }
    answer_all();
    queue_fail(&bed.db.base.queue, QURING_CANCELLED, "57014", "");
    for (int i = 0; i < 6; i++) {
        pass(9 * SECOND);
        const struct query *query = pg_bed_ask(&bed, ONE);
        advance();
        for (uint32_t c = 0; c < pool->conn_count; c++)
            if (pool->conns[c]->state == PG_CONN_READY && pg_conn_is_asked(pool->conns[c]))
                pg_bed_say(&bed, pool->conns[c], "Z");
        advance();
        answer_all();
        pg_bed_assert_text(pg_bed_fate(query), "OK", "it is served");
    }
    cr_assert_leq(pool->ready_count, 2, "%u are up", pool->ready_count);
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 0);
}

/* ---- Age ---- */

Test(pg_sizes, pg_sizes_look_ends_old_ones_one_at_a_time) {
    enum { CONNS = 4 };
    uint64_t lifetime = 100 * SECOND;
    open_pool(&(quring_db_options){.connection_count = CONNS, .connection_lifetime_ns = lifetime});
    uint64_t born[CONNS], until[CONNS], spread = 0;
    for (uint32_t i = 0; i < CONNS; i++) {
        born[i] = ring_now_ns(bed.hub.ring);
        until[i] = pool->conns[i]->until_ns;
        cr_assert(until[i] - born[i] <= lifetime && until[i] - born[i] >= lifetime - lifetime / 10);
        spread |= until[i] ^ until[0];
    }
    cr_assert(spread, "they do not end together");
    pass(89 * SECOND);
    cr_assert_eq(bed.tried_count, CONNS);
    for (int i = 0; i < 1200; i++) {
        pass(10 * PG_BED_MS);
        cr_assert_geq(pool->ready_count, CONNS - 1u);
    }
    cr_assert_eq(bed.tried_count, 2 * CONNS, "each was replaced once");
    cr_assert_eq(pool->ready_count, (uint32_t)CONNS);
}

Test(pg_sizes, an_old_one_ends_with_its_last_query) {
    open_pool(&(quring_db_options){.connection_count = 1, .connection_lifetime_ns = 10 * SECOND});
    pass(pool->conns[0]->until_ns - ring_now_ns(bed.hub.ring) - PG_BED_MS);
    ask(2);
    struct query *out = &bed.queries[1];
    pass(2 * PG_BED_MS);
    cr_assert_eq(pool->conns[0]->state, PG_CONN_RETIRING);
    const struct query *later = pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(pg_bed_fate(later), "waiting", "it takes no more");
    answer(0);
    cr_assert_eq(pool->conns[0]->state, PG_CONN_RETIRING, "one is out still");
    pg_bed_say(&bed, pool->conns[0], "1 t:0 T2DCZ");
    pg_bed_assert_text(pg_bed_fate(out), "OK", "it was answered");
    come_up();
    advance();
    pg_bed_assert_text(pg_bed_fate(later), "running", "on its successor");
    cr_assert(bed.tried_count == 2 && bed.db.base.counters.connection_lost_count == 0);
}

/* The one under a query that takes long is old before all others, and ends behind them. */
Test(pg_sizes, an_old_one_under_a_long_query_holds_up_no_other) {
    enum { CONNS = 4 };
    open_pool(&(quring_db_options){.connection_count = CONNS, .connection_lifetime_ns = 10 * SECOND});
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < CONNS; i++)
        oldest = pool->conns[i]->until_ns < pool->conns[oldest]->until_ns ? i : oldest;
    ask(CONNS);
    const struct query *query = pg_conn_request(pool->conns[oldest], pool->conns[oldest]->session.head)->query;
    for (uint32_t i = 0; i < CONNS; i++)
        if (i != oldest)
            answer(i);
    pass(12 * SECOND);
    cr_assert_eq(bed.tried_count, 2 * CONNS - 1, "%u", bed.tried_count);
    pass(12 * SECOND);
    cr_assert_eq(bed.tried_count, 3 * CONNS - 2, "%u", bed.tried_count);
    cr_assert_eq(pool->ready_count, (uint32_t)CONNS);
    pg_bed_assert_text(pg_bed_fate(query), "running", "on the first of them");
    answer(oldest);
    pg_bed_assert_text(pg_bed_fate(query), "OK", "at last");
    come_up();
    cr_assert_eq(bed.tried_count, 3 * CONNS - 1, "and its connection was replaced");
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 0);
}

/* Where there is room, the successor is there before the old one takes no more. */
Test(pg_sizes, a_successor_comes_first_where_there_is_room) {
    open_pool(
        &(quring_db_options){.connection_count = 3, .connection_min_count = 2, .connection_lifetime_ns = 10 * SECOND});
    bed.refusal = "08001";
    pass(60 * SECOND);
    cr_assert_eq(pool->ready_count, 2, "none can be made, so the old ones go on");
    bed.refusal = NULL;
    for (int i = 0; i < 100; i++) {
        pg_bed_pass(&bed, 50 * PG_BED_MS);
        cr_assert_geq(pool->ready_count, 2);
        come_up();
    }
    cr_assert_eq(pool->ready_count, 2);
    cr_assert_eq(bed.server_count, 4, "two and their successors, %u", bed.server_count);
}

Test(pg_sizes, no_second_one_is_ended_while_no_successor_can_be_made) {
    open_pool(&(quring_db_options){.connection_count = 4, .connection_lifetime_ns = 10 * SECOND});
    bed.refusal = "28P01";
    pass(3600 * SECOND);
    cr_assert_eq(pool->ready_count, 3);
}

/* What comes before what, in words: an idle one, silent for longest, else the one with the youngest answer. */
static struct pg_conn *first_to_go(const struct pg_conn *but) {
    struct pg_conn *first = NULL;
    for (uint32_t i = 0; i < pool->conn_count; i++) {
        struct pg_conn *conn = pool->conns[i];
        if (conn->state != PG_CONN_READY || !conn->outdated || conn == but)
            continue;
        bool idle = pg_conn_is_idle(conn);
        uint64_t heard_ns = conn->place.progress_ns;
        if (!first || (idle && !pg_conn_is_idle(first)) ||
            (idle == pg_conn_is_idle(first) &&
             (idle ? heard_ns < first->place.progress_ns : heard_ns > first->place.progress_ns)))
            first = conn;
    }
    return first;
}

/* Its successor may be there already. */
static bool is_gone(const struct pg_conn *conn) {
    return conn->state != PG_CONN_READY || !conn->outdated;
}

/* Gives and answers some queries, and never at the same time on two connections. */
static void stir(struct rng *rng) {
    for (int i = 0; i < 20; i++) {
        uint32_t c = (uint32_t)rng_below(rng, pool->conn_count);
        if (rng_below(rng, 2))
            ask(1);
        else if (pool->conns[c]->state == PG_CONN_READY && !pg_conn_is_idle(pool->conns[c]))
            answer(c);
        pg_bed_pass(&bed, PG_BED_MS);
    }
}

/* As a model that looks at all of them says, while queries come and go. */
Test(pg_sizes, pg_sizes_settle_retires_those_first_that_are_soon_gone) {
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rng rng = {seed};
        open_pool(&(quring_db_options){.connection_count = 8, .depth = 3});
        for (uint32_t i = 0; i < 8; i++) { /* they are told apart by their last answer */
            ask(8);
            pg_bed_pass(&bed, PG_BED_MS);
            answer(i);
        }
        answer_all();
        stir(&rng);
        bed.refusal = "08001";
        for (uint32_t i = 0; i < 8; i++)
            pool->conns[i]->outdated = true;
        const struct pg_conn *first = first_to_go(NULL);
        for (uint32_t i = 0; i < 8; i++)
            pool->conns[i]->outdated = false;
        pg_pool_drain(pool);
        pg_bed_settle(&bed);
        cr_assert_neq(first->state, PG_CONN_READY, "seed %lu", (unsigned long)seed);
        cr_assert_eq(pool->ready_count, 7, "seed %lu", (unsigned long)seed);
        bed.refusal = NULL;
        while (!count_in(PG_CONN_BARRIER)) { /* its requests are answered, and its successor is let in */
            for (uint32_t i = 0; i < 8; i++)
                while (pool->conns[i]->state == PG_CONN_RETIRING)
                    answer(i);
            pg_bed_pass(&bed, 10 * PG_BED_MS);
        }
        stir(&rng);
        cr_assert_eq(pool->ready_count, 7, "seed %lu", (unsigned long)seed);
        first = first_to_go(NULL);
        const struct pg_conn *second = first_to_go(first);
        come_up();
        cr_assert(is_gone(first) && is_gone(second), "seed %lu", (unsigned long)seed);
    }
}

/* ---- Health ---- */

static void open_checked(uint32_t count) {
    open_pool(&(quring_db_options){
        .connection_count = count, .health_check_ns = 30 * SECOND, .silence_ns = 5 * SECOND, .depth = 4});
}

Test(pg_sizes, pg_health_check_before_queries_where_nothing_was_heard) {
    open_checked(1);
    pass(29 * SECOND);
    ask(1);
    cr_assert(strstr(pg_bed_got(&bed, pool->conns[0]), "Execute"), "heard of not so long ago");
    answer(0);
    pass(29 * SECOND);
    ask(1);
    cr_assert(strstr(pg_bed_got(&bed, pool->conns[0]), "Execute"), "its answer came 29 s ago");
    answer(0);
    pass(30 * SECOND);
    const struct query *query = pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(pg_bed_got(&bed, pool->conns[0]), "Sync", "asked");
    pg_bed_assert_text(pg_bed_fate(query), "waiting", "for the answer");
    advance();
    pg_bed_assert_text(pg_bed_got(&bed, pool->conns[0]), "", "once");
    pg_bed_say(&bed, pool->conns[0], "Z");
    advance();
    pg_bed_assert_text(pg_bed_fate(query), "running", "it is there");
    answer(0);
    pg_bed_assert_text(pg_bed_fate(query), "OK", "and works");
}

Test(pg_sizes, pg_health_check_without_an_answer_replaces_the_connection) {
    open_checked(1);
    pass(60 * SECOND);
    const struct query *query = pg_bed_ask(&bed, ONE);
    advance();
    pass(4999 * PG_BED_MS);
    cr_assert_eq(pool->conns[0]->state, PG_CONN_READY);
    pass(PG_BED_MS);
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 1);
    pg_bed_assert_text(pool->last.message,
                       "no answer came from the server for 5.000 s after a health check (silence_ns)", "why");
    pass(200 * PG_BED_MS);
    advance();
    pg_bed_assert_text(pg_bed_fate(query), "running", "on another connection");
}

Test(pg_sizes, pg_health_check_is_not_answered_by_notices) {
    open_checked(1);
    pass(60 * SECOND);
    const struct query *query = pg_bed_ask(&bed, ONE);
    advance();
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(bed.db.base.counters.connection_lost_count, 0);
        pg_bed_say(&bed, pool->conns[0], "N:9");
        pass(SECOND);
    }
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 1);
    pass(200 * PG_BED_MS);
    advance();
    pg_bed_assert_text(pg_bed_fate(query), "running", "on another connection");
}

/* A pool grows for queries that no connection will take, and not for those that only wait for an answer. */
Test(pg_sizes, pg_sizes_grow_counts_those_that_are_asked) {
    open_pool(&(quring_db_options){
        .connection_count = 8, .connection_min_count = 2, .health_check_ns = 30 * SECOND, .silence_ns = 5 * SECOND});
    pass(60 * SECOND);
    ask(2);
    cr_assert_eq(pool->wanted_count, 2, "both are asked, and will do");
    advance();
    cr_assert_eq(pool->wanted_count, 2, "no answer came yet");
    ask(1);
    cr_assert_eq(pool->wanted_count, 3, "one is too many");
}

/* Whatever comes instead of ReadyForQuery ends the connection, and no query with it. */
Test(pg_sizes, pg_health_check_and_a_wrong_answer) {
    static const struct {
        const char *answer, *sqlstate;
    } rows[] = {{"E:57P05", "57P05"}, {"F:57P01", "57P01"}, {"Z:T", "08P01"}, {"D", "08P01"},
                {"C", "08P01"},       {"1", "08P01"},       {"n", "08P01"},   {"T", "08P01"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_checked(1);
        pass(60 * SECOND);
        const struct query *query = pg_bed_ask(&bed, ONE);
        advance();
        pg_bed_say(&bed, pool->conns[0], rows[i].answer);
        pg_bed_assert_text(pool->last.sqlstate, rows[i].sqlstate, rows[i].answer);
        pg_bed_assert_text(pg_bed_fate(query), "waiting", rows[i].answer);
        pass(200 * PG_BED_MS);
        advance();
        pg_bed_assert_text(pg_bed_fate(query), "running", rows[i].answer);
    }
}

/* One query does not make a big pool ask all over, and none waits for an answer where another connection was heard of. */
Test(pg_sizes, pg_health_check_asks_some_at_a_time) {
    open_checked(40);
    pass(60 * SECOND);
    const struct query *first = pg_bed_ask(&bed, ONE);
    advance();
    uint32_t asked = 40;
    for (uint32_t i = 0; i < 40; i++)
        asked -= pg_conn_is_idle(pool->conns[i]);
    cr_assert_eq(asked, 17);
    uint32_t one = 0;
    while (pg_conn_is_idle(pool->conns[one]))
        one++;
    pg_bed_say(&bed, pool->conns[one], "Z");
    advance();
    pg_bed_assert_text(pg_bed_fate(first), "running", "the first answer will do");
    const struct query *next = pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(pg_bed_fate(next), "running", "behind it");
    cr_assert_eq(pg_query((struct query *)next)->conn, pool->conns[one]);
    cr_assert_eq(count_in(PG_CONN_READY), 40);
}
