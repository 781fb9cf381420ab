/* SPDX-License-Identifier: MIT */
/* When a connection is watched for silence, and what is said of one that was silent for too long. */
#include "lib/pg_fixture.h"
#include "pg/silence.h"
#include "ring/ring.h"

static struct pg_pool *pool;

TestSuite(pg_silence_watch, .init = pg_setup, .fini = pg_teardown);

#define ONE "select 1"

static void open_conn(uint64_t silence_ns, uint64_t query_silence_ns) {
    pg_again(&(quring_db_options){
        .connection_count = 1, .depth = 8, .silence_ns = silence_ns, .query_silence_ns = query_silence_ns});
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0);
    bed.pool_open = true;
    pg_bed_settle(&bed);
    pg_bed_answer(&bed, pool->conns[0], false);
    cr_assert_eq(pool->ready_count, 1);
}

static struct query *send_off(void) {
    struct query *query = pg_bed_take(&bed, ONE);
    pg_conn_send(pool->conns[0], query);
    pg_conn_flush(pool->conns[0]);
    pg_bed_settle(&bed);
    return query;
}

static void give_up(struct query *query) {
    uint64_t request = pg_query(query)->request;
    pg_conn_abandon(pool->conns[0], query, QURING_TIMEOUT);
    pg_silence_given_up(pool->conns[0], request);
}

/* What makes a receive cost more, and what would wake a program that sleeps. */
static const char *watch_now(const struct socket_events *own) {
    const struct pg_conn *conn = pool->conns[0];
    bool watched = conn->socket.events != own, timed = heap_contains(&conn->silence.timer.node);
    cr_assert_eq(watched, timed);
    return watched ? "watched" : "left alone";
}

Test(pg_silence_watch, pg_silence_given_up_watches_until_nothing_is_awaited) {
    open_conn(1000 * PG_BED_MS, QURING_FOREVER);
    const struct socket_events *own = pool->conns[0]->socket.events;
    pg_bed_assert_text(watch_now(own), "left alone", "READY");
    struct query *first = send_off();
    pg_bed_say(&bed, pool->conns[0], "1 t:0 T2DCZ");
    pg_bed_assert_text(pg_bed_fate(first), "OK", "answered");
    pg_bed_assert_text(watch_now(own), "left alone", "queries come and go");
    struct query *second = send_off();
    give_up(send_off());
    pg_bed_assert_text(watch_now(own), "watched", "the last one was given up");
    pg_bed_say(&bed, pool->conns[0], "2DCZ");
    pg_bed_assert_text(pg_bed_fate(second), "OK", "it was the head");
    pg_bed_assert_text(watch_now(own), "watched", "an answer is awaited still");
    pg_bed_say(&bed, pool->conns[0], "2DCZ");
    pg_bed_assert_text(watch_now(own), "left alone", "all have come");
}

Test(pg_silence_watch, pg_silence_begin_watches_for_query_silence) {
    open_conn(QURING_FOREVER, 1000 * PG_BED_MS);
    const struct pg_conn *conn = pool->conns[0];
    cr_assert(heap_contains(&conn->silence.timer.node));
    send_off();
    pg_bed_say(&bed, conn, "1 t:0 T2DCZ");
    cr_assert(heap_contains(&conn->silence.timer.node), "for as long as it is READY");
}

Test(pg_silence_watch, pg_silence_given_up_without_a_bound_watches_nothing) {
    open_conn(QURING_FOREVER, QURING_FOREVER);
    const struct socket_events *own = pool->conns[0]->socket.events;
    give_up(send_off());
    pg_bed_assert_text(watch_now(own), "left alone", "silence_ns is QURING_FOREVER");
}

Test(pg_silence_watch, silence_fired_names_the_bound) {
    static const struct {
        uint64_t silence_ns, query_silence_ns;
        bool gives_up;
        const char *reason;
    } rows[] = {
        {1500, 0, true, "nothing came from the server for 1.500 s after a query was given up (silence_ns)"},
        {0, 4000, false, "nothing came from the server for 4.000 s while a query was out (query_silence_ns)"},
        {1500, 4000, true, "nothing came from the server for 1.500 s after a query was given up (silence_ns)"},
        {1500, 4000, false, "nothing came from the server for 4.000 s while a query was out (query_silence_ns)"},
        {4000, 1500, true, "nothing came from the server for 1.500 s while a query was out (query_silence_ns)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_conn(rows[i].silence_ns * PG_BED_MS, rows[i].query_silence_ns * PG_BED_MS);
        struct query *first = send_off(), *behind = send_off();
        if (rows[i].gives_up)
            give_up(first);
        pg_bed_pass(&bed, 1499 * PG_BED_MS);
        cr_assert_eq(bed.db.base.counters.connection_lost_count, 0);
        bed.refusal = "08001";
        pg_bed_pass(&bed, 3100 * PG_BED_MS);
        cr_assert_eq(bed.db.base.counters.connection_lost_count, 1);
        pg_bed_assert_text(behind->error.view.message, rows[i].reason, "the query behind it");
        pg_bed_assert_text(pg_bed_fate(behind), "IN_DOUBT 08006", "it was sent");
        pg_bed_assert_text(pg_bed_fate(first), rows[i].gives_up ? "TIMEOUT 57014" : "IN_DOUBT 08006", "and the first");
    }
}

/* The timer goes with the connection: a later one has its own bound. */
Test(pg_silence_watch, pg_silence_end_with_the_connection) {
    open_conn(1000 * PG_BED_MS, 1000 * PG_BED_MS);
    struct pg_conn *conn = pool->conns[0];
    give_up(send_off());
    pg_conn_break(conn, QURING_IN_DOUBT, "08006", "lost");
    cr_assert_not(heap_contains(&conn->silence.timer.node));
    pg_bed_pass(&bed, 200 * PG_BED_MS);
    pg_bed_answer(&bed, conn, false);
    cr_assert_eq(pool->ready_count, 1);
    pg_bed_pass(&bed, 5000 * PG_BED_MS);
    cr_assert_eq(bed.db.base.counters.connection_lost_count, 1);
}
