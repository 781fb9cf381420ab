/* SPDX-License-Identifier: MIT */
/* A pool of a thousand: how many of its connections a turn touches. No time is measured: see lib/touch.h. */
#include "lib/pg_fixture.h"
#include "lib/touch.h"
#include "ring/ring.h"

enum { CONNS = 1000, BUSY = 250 };

#define ONE "select 1"
#define SECOND (1000 * PG_BED_MS)

static struct pg_pool *pool;

static void begin(void) {
    touch_prepare(sizeof(struct pg_conn));
    pg_setup();
}

TestSuite(pg_many, .init = begin, .fini = pg_teardown);

static void advance(void) {
    pg_pool_advance(pool);
    list_for_each_safe(node, &bed.db.base.ready)
        pg_pool_admit(pool, list_entry(node, struct queue, ready));
    pg_bed_settle(&bed);
}

static void answer(struct pg_conn *conn) {
    const struct pg_request *request = pg_conn_request(conn, conn->session.head);
    pg_bed_say(&bed, conn, request->kind == PG_REQUEST_BOUND ? "2DCZ" : "1 t:0 T2DCZ");
}

/* All are up, and an admission has seen it. */
static void open_pool(const quring_db_options *options) {
    pg_again(options);
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0, "%s", bed.hub.message);
    bed.pool_open = true;
    while (pool->ready_count < pool->conn_count) {
        pg_bed_settle(&bed);
        for (uint32_t i = 0; i < pool->conn_count; i++)
            if (pool->conns[i]->state == PG_CONN_BARRIER)
                pg_bed_answer(&bed, pool->conns[i], false);
    }
    struct query *query = pg_bed_ask(&bed, ONE);
    advance();
    answer(pg_query(query)->conn);
}

static bool is_asked(const struct pg_conn *conn) {
    return conn->state == PG_CONN_READY && pg_conn_is_asked(conn);
}

static uint32_t asked_count(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < CONNS; i++)
        count += is_asked(pool->conns[i]);
    return count;
}

static struct pg_conn *any_asked(void) {
    for (uint32_t i = 0; i < CONNS; i++)
        if (is_asked(pool->conns[i]))
            return pool->conns[i];
    cr_assert_fail("none is asked");
    return NULL;
}

/* ---- Health ---- */

/* The neighbours in a list of those that are asked are touched as well. */
enum { ASKED = 16 + 1, TOUCHED = 2 * ASKED + 6 };

Test(pg_many, pg_health_check_touches_few_while_none_answers) {
    open_pool(&(quring_db_options){
        .connection_count = CONNS, .health_check_ns = 30 * SECOND, .silence_ns = 3600 * SECOND, .depth = 4});
    pg_bed_pass(&bed, 60 * SECOND);
    const struct query *first = pg_bed_ask(&bed, ONE);
    for (int turn = 0; turn < 100; turn++) {
        touch_watch();
        advance();
        uint32_t touched = touch_count();
        cr_assert_leq(touched, TOUCHED, "turn %d: %u", turn, touched);
        cr_assert_eq(asked_count(), ASKED, "turn %d: no place is free", turn);
    }
    for (int turn = 0; turn < 10; turn++) { /* one lost makes room for one more to be asked */
        pg_bed_say(&bed, any_asked(), "F:57P01");
        touch_watch();
        advance();
        uint32_t touched = touch_count();
        cr_assert_leq(touched, TOUCHED, "loss %d: %u", turn, touched);
        cr_assert_eq(asked_count(), ASKED);
    }
    pg_bed_assert_text(pg_bed_fate(first), "waiting", "no answer came");
    pg_bed_say(&bed, any_asked(), "Z");
    advance();
    pg_bed_assert_text(pg_bed_fate(first), "running", "the first answer will do");
}

/* ---- Drain ---- */

/* A connection's way through a heap of all of them, with what it meets there, for each that is retired in a step. */
enum { STEP = 30 };

static struct pg_conn *any_in(enum pg_conn_state state) {
    for (uint32_t i = 0; i < pool->conn_count; i++)
        if (pool->conns[i]->state == state)
            return pool->conns[i];
    return NULL;
}

static void assert_touched_few(const char *what, uint32_t ready_before) {
    uint32_t touched = touch_count();
    uint32_t retired = ready_before > pool->ready_count ? ready_before - pool->ready_count : 0;
    cr_assert_leq(touched, STEP * (1 + retired), "%s: %u, of which %u retired", what, touched, retired);
}

/* One query after the other was given away, so the last of them is the first to be waited for. */
Test(pg_many, a_step_of_a_drain_touches_few) {
    open_pool(&(quring_db_options){.connection_count = BUSY, .depth = 4});
    struct query *queries[BUSY];
    for (uint32_t i = 0; i < BUSY; i++) {
        queries[i] = pg_bed_ask(&bed, ONE);
        advance();
        pg_bed_pass(&bed, PG_BED_MS);
    }
    pg_pool_drain(pool);
    touch_watch();
    pg_bed_settle(&bed);
    assert_touched_few("the first", BUSY);
    cr_assert_eq(pg_query(queries[BUSY - 1])->conn->state, PG_CONN_RETIRING);
    for (uint32_t ended = 0; ended < BUSY;) {
        struct pg_conn *conn = any_in(PG_CONN_BARRIER);
        bool comes_up = conn != NULL;
        if (!conn)
            conn = any_in(PG_CONN_RETIRING);
        ended += !comes_up;
        cr_assert(conn);
        uint32_t ready = pool->ready_count + comes_up;
        touch_watch();
        if (comes_up)
            pg_bed_answer(&bed, conn, false);
        else
            answer(conn);
        assert_touched_few(comes_up ? "a successor" : "an end", ready);
    }
    cr_assert_eq(pool->outdated.count, 0);
    for (uint32_t i = 0; i < BUSY; i++)
        pg_bed_assert_text(pg_bed_fate(queries[i]), "OK", "no query suffers");
}

/* ---- What was given up and is not sent ---- */

Test(pg_many, pg_pool_advance_touches_none_while_another_handle_owes) {
    open_pool(&(quring_db_options){.connection_count = CONNS, .depth = 4});
    bed.hub.unsent_bytes = 1;
    touch_watch();
    pg_pool_advance(pool);
    cr_assert_eq(touch_count(), 0);
    bed.hub.unsent_bytes = 0;
}
