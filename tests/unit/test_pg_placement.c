/* SPDX-License-Identifier: MIT */
/* Which connection takes the next queries: by requests, by how long the oldest has taken, by how recently it was used. */
#include "lib/pg_fixture.h"
#include "ring/ring.h"

enum { CONNS = 3, DEPTH = 6 };

#define ONE "select 1"

static struct pg_pool *pool;

TestSuite(pg_placement, .init = pg_setup, .fini = pg_teardown);

static void advance(void) {
    pg_pool_advance(pool);
    list_for_each_safe(node, &bed.db.base.ready)
        pg_pool_admit(pool, list_entry(node, struct queue, ready));
    pg_bed_settle(&bed);
}

static void bring_up(uint32_t conns) {
    pg_again(&(quring_db_options){.connection_count = conns, .depth = DEPTH});
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0, "%s", bed.hub.message);
    bed.pool_open = true;
    for (uint32_t round = 0; round < conns; round++) {
        pg_bed_settle(&bed);
        for (uint32_t i = 0; i < conns; i++)
            if (pool->conns[i]->state == PG_CONN_BARRIER)
                pg_bed_answer(&bed, pool->conns[i], false);
    }
    advance();
    cr_assert_eq(pool->ready_count, conns);
}

static uint32_t load_of(uint32_t conn) {
    return (uint32_t)(pool->conns[conn]->session.next - pool->conns[conn]->settled);
}

static const char *loads(void) {
    static char text[32];
    snprintf(text, sizeof text, "%u %u %u", load_of(0), load_of(1), pool->conn_count > 2 ? load_of(2) : 0);
    return text;
}

static void ask(uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        pg_bed_ask(&bed, ONE);
    advance();
}

/* The oldest request of a connection is answered: of the statement's first use there, with its description. */
static void answer(uint32_t conn) {
    struct pg_conn *on = pool->conns[conn];
    const struct pg_request *request = pg_conn_request(on, on->session.head);
    pg_bed_say(&bed, on, request->kind == PG_REQUEST_BOUND ? "2DCZ" : "1 t:0 T2DCZ");
}

/* One query after the other finds the same connection, whatever its index: the others may stay cold. */
Test(pg_placement, pg_placement_take_prefers_the_idle_one_that_was_used_last) {
    bring_up(CONNS);
    ask(3);
    pg_bed_assert_text(loads(), "1 1 1", "each its own");
    answer(0);
    answer(2);
    answer(1);
    for (int i = 0; i < 5; i++) {
        ask(1);
        pg_bed_assert_text(loads(), "0 1 0", "the one that was used last");
        answer(1);
    }
}

/* A query that takes long does not hold up those that come later, as long as any other has room for them. */
Test(pg_placement, pg_placement_take_avoids_what_takes_long) {
    bring_up(CONNS);
    for (int i = 0; i < 20; i++) { /* answers that come at once are usual */
        ask(3);
        for (uint32_t conn = 0; conn < CONNS; conn++)
            answer(conn);
    }
    ask(1);
    uint32_t slow = load_of(0) ? 0 : load_of(1) ? 1 : 2;
    pg_bed_pass(&bed, 20 * PG_BED_MS);
    ask(8);
    cr_assert_eq(load_of(slow), 1, "%s", loads());
    ask(4);
    cr_assert_eq(load_of(slow), 1, "they have room for twelve: %s", loads());
    ask(1);
    cr_assert_eq(load_of(slow), 2, "and then it is better than to wait: %s", loads());
    answer(slow);
    answer(slow);
    ask(1);
    cr_assert_eq(load_of(slow), 1, "it has answered: %s", loads());
}

static void assert_none_stands_out_after_100_ms(void) {
    ask(1);
    uint32_t older = load_of(0) ? 0 : load_of(1) ? 1 : 2;
    pg_bed_pass(&bed, 100 * PG_BED_MS);
    ask(2);
    ask(3);
    cr_assert_eq(load_of(older), 2, "%s", loads());
}

/* Where all queries take long, one that has taken a little longer than most does not stand out. */
Test(pg_placement, pg_placement_take_measures_by_what_is_usual) {
    bring_up(CONNS);
    for (int i = 0; i < 50; i++) {
        ask(3);
        pg_bed_pass(&bed, 50 * PG_BED_MS);
        for (uint32_t conn = 0; conn < CONNS; conn++)
            answer(conn);
    }
    assert_none_stands_out_after_100_ms();
}

/* Before any answer tells what is usual, none stands out that has taken a while: it may be the others' way, too. */
Test(pg_placement, pg_placement_take_knows_nothing_of_slowness_at_first) {
    bring_up(CONNS);
    assert_none_stands_out_after_100_ms();
}

/* Lost connections leave the choice, and come back to it once they are up again. */
Test(pg_placement, pg_placement_lost_takes_a_connection_out) {
    bring_up(CONNS);
    ask(3);
    pg_bed_say(&bed, pool->conns[1], "F:57P01");
    pg_bed_settle(&bed);
    ask(4);
    cr_assert_eq(load_of(0) + load_of(2), 6, "%s", loads());
    for (int i = 0; i < 50 && pool->ready_count < CONNS; i++) {
        pg_bed_pass(&bed, 100 * PG_BED_MS);
        if (pool->conns[1]->state == PG_CONN_BARRIER)
            pg_bed_answer(&bed, pool->conns[1], false);
    }
    cr_assert_eq(pool->ready_count, CONNS);
    ask(2);
    cr_assert_eq(load_of(1), 2, "%s", loads());
}

/* In a group the next request is at the head before the Sync comes: the server is at work on one that was given up. */
Test(pg_placement, pg_placement_progressed_sees_each_request_of_a_group) {
    bring_up(1);
    struct query *queries[2];
    for (int i = 0; i < 2; i++) {
        queries[i] = pg_bed_ask(&bed, ONE);
        queries[i]->commit = QURING_COMMIT_GROUP;
    }
    advance();
    cr_assert_eq(load_of(0), 2);
    pg_conn_abandon(pool->conns[0], queries[1], QURING_CANCELLED);
    ask(1);
    cr_assert_eq(load_of(0), 3, "the server is at work on the other one");
    pg_bed_say(&bed, pool->conns[0], "1 t:0 T2DC");
    ask(1);
    cr_assert_eq(load_of(0), 3, "nothing goes behind the one that was given up");
    cr_assert_eq(bed.db.base.queue.waiting_count, 1);
    pg_bed_say(&bed, pool->conns[0], "1 t:0 T2DCZ");
    advance();
    cr_assert_eq(bed.db.base.queue.waiting_count, 0);
    cr_assert_eq(load_of(0), 2);
}

static void ask_unit(uint32_t count) {
    struct list members;
    list_init(&members);
    for (uint32_t i = 0; i < count; i++)
        list_push_back(&members, &pg_bed_query(&bed, ONE)->link);
    queue_put_unit(&members);
    advance();
}

/* Six on the one that is idle, and then none over two. */
Test(pg_placement, pg_placement_take_unit_finds_room_for_all_of_it) {
    bring_up(CONNS);
    ask(2);
    uint32_t idle = load_of(0) ? load_of(1) ? 2 : 1 : 0;
    ask_unit(DEPTH);
    cr_assert_eq(load_of(idle), DEPTH, "%s", loads());
    ask_unit(DEPTH - 1);
    cr_assert_eq(load_of(0) + load_of(1) + load_of(2), 2 + DEPTH + DEPTH - 1, "%s", loads());
    cr_assert(load_of(0) == 1 || load_of(1) == 1 || load_of(2) == 1, "%s", loads());
}

/* What is behind a unit that finds no room waits as well, so that others do not take the room that answers make for it. */
Test(pg_placement, a_unit_without_room_waits_at_the_head_of_the_queue) {
    bring_up(CONNS);
    ask(3);
    ask_unit(DEPTH);
    ask(1);
    pg_bed_assert_text(loads(), "1 1 1", "none has room for six");
    cr_assert_eq(bed.db.base.queue.waiting_count, DEPTH + 1);
    answer(1);
    advance();
    pg_bed_assert_text(loads(), "2 6 1", "it came first");
    cr_assert_eq(bed.db.base.queue.waiting_count, 0);
}

/* In front of a connection that is slow the best one is waited for, however much room the slow one has. */
Test(pg_placement, pg_placement_take_unit_does_not_go_behind_what_takes_long) {
    bring_up(2);
    for (int i = 0; i < 40; i++) { /* answers that come at once are usual */
        ask(2);
        answer(0);
        answer(1);
    }
    ask(1);
    uint32_t slow = load_of(0) ? 0 : 1, quick = 1 - slow;
    pg_bed_pass(&bed, 20 * PG_BED_MS);
    ask(4);
    cr_assert_eq(load_of(quick), 4, "%s", loads());
    ask_unit(3);
    cr_assert_eq(load_of(slow), 1, "%s", loads());
    answer(quick);
    advance();
    cr_assert_eq(load_of(quick), 6, "%s", loads());
}
