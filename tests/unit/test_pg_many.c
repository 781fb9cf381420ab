/* SPDX-License-Identifier: MIT */
/* A pool of a thousand: how many of its connections a turn touches. No time is measured: see lib/touch.h. */
#include "lib/pg_fixture.h"
#include "lib/touch.h"
#include "ring/ring.h"

enum { CONNS = 1000 };

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
    while (pool->ready_count < CONNS) {
        pg_bed_settle(&bed);
        for (uint32_t i = 0; i < CONNS; i++)
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

Test(pg_many, pool_check_health_touches_few_while_none_answers) {
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
