/* SPDX-License-Identifier: MIT */
/* Which transaction holds which of PostgreSQL's connections, and who waits for one, and for room. */
#include "lib/pg_tx_bed.h"

#include "pg/backend.h"

TestSuite(pg_lease, .init = pg_setup, .fini = pg_tx_teardown);

Test(pg_lease, keeps_to_its_limit_and_its_order) {
    bring_up(2, 8);
    for (uint32_t i = 0; i < 3; i++)
        pg_bed_ask_tx(&bed, begin(i), "insert into t values (1)");
    advance();
    cr_assert_eq(pool->leases.count, 2, "three quarters of two, rounded up");
    cr_assert_eq(txs[2].state, TX_WAITING);
    cr_assert(list_empty(&bed.db.base.ready), "no turn visits what waits");
    struct query *late = pg_bed_ask_tx(&bed, begin(3), "insert into t values (1)");
    advance();
    uint32_t of_first = pool->conns[0]->tx == &txs[0] ? 0 : 1;
    pg_bed_ask_tx(&bed, &txs[0], "commit");
    advance();
    say(of_first, "12 C:BEGIN 1 t:0 n2 C:INSERT_0_1 Z:T 12 C:COMMIT Z");
    advance();
    cr_assert_eq(pool->conns[of_first]->tx, &txs[2], "it came first");
    pg_bed_assert_text(pg_bed_fate(late), "waiting", "the fourth");
    cr_assert_eq(pool->leases.count, 2);
    for (uint32_t i = 0; i < 4; i++)
        release(&txs[i]);
}

/* A connection that was put aside for a query, and not asked since others answered, is asked when it is to be leased. */
Test(pg_lease, asks_what_was_silent_for_too_long) {
    bring_up_with(&(quring_db_options){
        .connection_count = PG_TXS, .lease_count = PG_TXS, .depth = 4, .health_check_ns = 30 * 1000 * PG_BED_MS});
    pg_bed_pass(&bed, 60 * 1000 * PG_BED_MS);
    struct query *query = pg_bed_ask(&bed, "select 1");
    advance();
    uint32_t silent = PG_TXS;
    for (uint32_t i = 0; i < PG_TXS; i++)
        if (pg_conn_is_asked(pool->conns[i]))
            say(i, "Z");
        else
            silent = i;
    cr_assert_neq(silent, PG_TXS);
    advance();
    pg_bed_say(&bed, pg_query(query)->conn, "1 t:0 T2DCZ");
    pg_bed_assert_text(pg_bed_fate(query), "OK", "another connection will do");
    struct query *first[PG_TXS];
    for (uint32_t i = 0; i < PG_TXS; i++) {
        first[i] = pg_bed_ask_tx(&bed, begin(i), "select 1");
        advance();
    }
    pg_bed_assert_text(pg_bed_fate(first[PG_TXS - 1]), "waiting", "for an answer");
    cr_assert(pg_conn_is_asked(pool->conns[silent]));
    say(silent, "Z");
    advance();
    for (uint32_t i = 0; i < PG_TXS; i++) {
        pg_bed_assert_text(pg_bed_fate(first[i]), "running", "each on a connection of its own");
        release(&txs[i]);
    }
}

Test(pg_lease, waits_in_line_for_room) {
    bring_up(1, 4);
    struct quring_tx *first = begin(0), *second = begin(1);
    for (uint32_t i = 0; i < 2; i++) {
        pg_bed_ask_tx(&bed, &txs[i], "insert into t values (1)");
        pg_bed_ask_tx(&bed, &txs[i], "commit");
    }
    advance();
    cr_assert(first->state == TX_ENDING && second->state == TX_WAITING, "there is room for four");
    cr_assert(list_empty(&bed.db.base.ready));
    say(0, "12 C:BEGIN 1 t:0 n2 C:INSERT_0_1 Z:T 12 C:COMMIT Z");
    advance();
    cr_assert(first->state == TX_ENDED && second->state == TX_ENDING);
}

Test(pg_lease, is_taken_by_what_others_outrun) {
    bring_up(1, 8);
    pg_bed_ask(&bed, "select 1");
    advance();
    say(0, "1 t:0 T2DCZ");
    for (uint32_t i = 0; i < 8; i++)
        pg_bed_ask(&bed, "select 1");
    advance();
    struct quring_tx *tx = begin(0);
    pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    struct query *commit = pg_bed_ask_tx(&bed, tx, "commit"), *late = NULL;
    for (uint32_t answered = 0; tx->state == TX_WAITING; answered++) {
        cr_assert_lt(answered, 20, "others take each place that becomes free");
        late = pg_bed_ask(&bed, "select 1");
        advance();
        pg_bed_pass(&bed, PG_BED_MS);
        say(0, "2DCZ");
        advance();
    }
    cr_assert_eq(pool->conns[0]->tx, tx, "it has the connection for itself");
    pg_bed_assert_text(pg_bed_fate(late), "waiting", "whoever came later");
    while (pool->conns[0]->settled < pg_tx_of(tx)->begin)
        say(0, "2DCZ");
    say(0, "12 C:BEGIN 1 t:0 n2 C:INSERT_0_1 Z:T 12 C:COMMIT Z");
    advance();
    pg_bed_assert_text(pg_bed_fate(commit), "OK", "COMMIT");
    pg_bed_assert_text(pg_bed_fate(late), "running", "its turn");
}

static void ask_whole(uint32_t i, uint32_t inserts) {
    for (uint32_t k = 0; k < inserts; k++)
        pg_bed_ask_tx(&bed, &txs[i], PG_TX_INSERT);
    pg_bed_ask_tx(&bed, &txs[i], "commit");
}

static void ask_some(uint32_t count) {
    while (count--)
        pg_bed_ask(&bed, PG_TX_INSERT);
}

/* The server answers so many shared queries, and as many others come. */
static void go_on(uint32_t conn, uint32_t count) {
    ask_some(count);
    pg_bed_pass(&bed, PG_BED_MS);
    while (count--)
        say(conn, "2 C:INSERT_0_1 Z");
    advance();
}

/* Turns that have room for one query alternate with turns that have room for more, whichever of them is the first. */
Test(pg_lease, comes_before_shared_queries_that_came_later) {
    for (uint32_t offset = 0; offset < 2; offset++) {
        bring_up_with(&(quring_db_options){.connection_count = 2, .lease_count = 1, .depth = 6, .statement_count = 16});
        pg_bed_ask_tx(&bed, begin(0), PG_TX_INSERT);
        advance();
        uint32_t shared = pool->conns[0]->tx != NULL;
        ask_some(1);
        advance();
        say(shared, "1 t:0 n2 C:INSERT_0_1 Z");
        ask_some(12);
        advance();
        pg_bed_pass(&bed, 20 * PG_BED_MS);
        begin(1);
        ask_whole(1, 1);
        advance();
        for (uint32_t turns = offset; txs[1].state == TX_WAITING; turns++) {
            cr_assert_lt(turns, 10, "others take all room, turn by turn");
            go_on(shared, turns % 2 ? 4 : 1);
        }
        release(&txs[0]);
        release(&txs[1]);
    }
}

Test(pg_lease, comes_behind_shared_queries_that_came_before_it) {
    bring_up(1, 3);
    warm();
    for (uint32_t i = 0; i < 3; i++) {
        begin(i);
        ask_whole(i, 1);
    }
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    struct query *query = pg_bed_ask(&bed, PG_TX_INSERT);
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    for (uint32_t i = 3; i < 8; i++) {
        begin(i);
        ask_whole(i, 1);
    }
    for (uint32_t i = 0; i < 3; i++) {
        advance();
        cr_assert_eq(txs[i].state, TX_ENDING, "it came before the query");
        say(0, "12 C:BEGIN 2 C:INSERT_0_1 Z:T 12 C:COMMIT Z");
    }
    advance();
    pg_bed_assert_text(pg_bed_fate(query), "running", "it came before the rest");
    cr_assert_eq(txs[3].state, TX_WAITING);
}

static struct query *ask_with_key(void) {
    struct query *query = pg_bed_query(&bed, PG_TX_INSERT);
    query->key = order_key_hold(&bed.hub.keys, &bed.db.base, 7);
    queue_put(query);
    return query;
}

/* The other connection has room for one query, which the transaction can't use, and the one that is parked may not. */
static void check_that_a_parked_query_comes_first(uint32_t turns) {
    enum { KEYED = 5 };
    struct query *keyed[KEYED] = {0};
    bring_up_with(&(quring_db_options){.connection_count = 2, .depth = 3, .statement_count = 16});
    keyed[0] = ask_with_key();
    advance();
    const struct pg_conn *conn = pg_query(keyed[0])->conn;
    pg_bed_say(&bed, conn, "1 t:0 n2 C:INSERT_0_1 Z");
    for (uint32_t i = 1; i < KEYED - 1; i++)
        keyed[i] = ask_with_key();
    ask_some(2);
    advance();
    keyed[KEYED - 1] = ask_with_key();
    begin(0);
    ask_whole(0, 1);
    while (turns--)
        advance();
    cr_assert(keyed[KEYED - 1]->parked && txs[0].state == TX_WAITING, "there is no room for either");
    for (uint32_t i = 1; i < KEYED - 1; i++)
        pg_bed_say(&bed, conn, "2 C:INSERT_0_1 Z");
    advance();
    pg_bed_assert_text(pg_bed_fate(keyed[KEYED - 1]), "running", "it stood in the queue before");
    pg_bed_say(&bed, conn, "2 C:INSERT_0_1 Z");
    advance();
    cr_assert_eq(pg_tx_of(&txs[0])->conn, conn, "nobody is parked any more");
    for (uint32_t i = 0; i < KEYED; i++)
        order_key_drop(keyed[i]->key);
    order_keys_free(&bed.hub.keys);
}

Test(pg_lease, comes_behind_queries_that_are_parked_on_their_keys) {
    check_that_a_parked_query_comes_first(2);
    check_that_a_parked_query_comes_first(3);
}

/* One that waits for a connection for itself has it before one that takes it because others outrun it, if that came later. */
Test(pg_lease, is_not_taken_before_who_waits_for_it) {
    bring_up(1, 8);
    warm();
    struct quring_tx *holder = begin(0), *first = begin(1), *outrun = begin(2);
    pg_bed_ask_tx(&bed, holder, PG_TX_INSERT);
    advance();
    ask_some(9);
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    pg_bed_ask_tx(&bed, first, PG_TX_INSERT);
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    ask_whole(2, 6);
    ask_some(1);
    advance();
    pg_bed_pass(&bed, 20 * PG_BED_MS);
    pg_bed_ask_tx(&bed, holder, "commit");
    advance();
    say(0, "12 C:BEGIN 2 C:INSERT_0_1 Z:T 12 C:COMMIT Z");
    advance();
    cr_assert(first->state == TX_WAITING && outrun->state == TX_WAITING, "there is no room for more");
    say(0, "2 C:INSERT_0_1 Z");
    advance();
    cr_assert(first->state == TX_WAITING && outrun->state == TX_WAITING, "a query was there before");
    say(0, "2 C:INSERT_0_1 Z");
    advance();
    cr_assert_eq(pool->conns[0]->tx, first, "it came first");
    cr_assert_eq(outrun->state, TX_WAITING);
    for (uint32_t i = 0; i < 3; i++)
        release(&txs[i]);
}

/* All of it came while it waited for a connection, others leave no room for that, and one came behind it at the same time. */
Test(pg_lease, is_taken_by_what_has_become_whole_in_line) {
    bring_up(1, 8);
    warm();
    pg_bed_ask_tx(&bed, begin(0), PG_TX_INSERT);
    advance();
    ask_some(10);
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    for (uint32_t i = 1; i < 3; i++)
        pg_bed_ask_tx(&bed, begin(i), PG_TX_INSERT);
    advance();
    struct quring_tx *first = &txs[1];
    ask_whole(1, 5);
    ask_whole(0, 0);
    advance();
    say(0, "12 C:BEGIN 2 C:INSERT_0_1 Z:T 12 C:COMMIT Z");
    advance();
    for (uint32_t turns = 0; first->state == TX_WAITING; turns++) {
        cr_assert_lt(turns, 10, "others take each place that becomes free");
        pg_bed_pass(&bed, 20 * PG_BED_MS);
        go_on(0, 1);
    }
    cr_assert_eq(pool->conns[0]->tx, first);
    cr_assert_eq(txs[2].state, TX_WAITING);
    for (uint32_t i = 0; i < 3; i++)
        release(&txs[i]);
}

/* The others have waited for longer, and leave no room for it. */
Test(pg_lease, is_not_needed_by_what_has_become_whole_in_line) {
    bring_up(1, 8);
    warm();
    pg_bed_ask_tx(&bed, begin(0), PG_TX_INSERT);
    advance();
    for (uint32_t i = 1; i < 3; i++) {
        begin(i);
        ask_whole(i, 1);
    }
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    pg_bed_ask_tx(&bed, begin(3), PG_TX_INSERT);
    advance();
    ask_whole(3, 4);
    ask_whole(0, 0);
    advance();
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(txs[3].state, TX_WAITING, "there is no room for all of it");
        say(0, "12 C:BEGIN 2 C:INSERT_0_1 Z:T 12 C:COMMIT Z");
        advance();
        cr_assert_eq(txs[i].state, TX_ENDED);
    }
    cr_assert_eq(txs[3].state, TX_ENDING);
    cr_assert_eq(pool->leases.count, 0);
}

Test(pg_lease, is_waited_for_in_the_same_order_after_a_loss) {
    bring_up(1, 12);
    for (uint32_t i = 0; i < 3; i++) {
        begin(i);
        ask_whole(i, 1);
    }
    pg_backend.advance(&bed.db.base); /* the socket has not taken what is sent */
    cr_assert_eq(txs[2].state, TX_ENDING, "there is room for each");
    pg_conn_break(pool->conns[0], QURING_IN_DOUBT, "08006", "lost");
    pg_bed_settle(&bed);
    advance();
    uint32_t i = 0;
    list_for_each(node, &pool->leases.whole)
        cr_assert_eq(list_entry(node, struct queue, ready)->tx, &txs[i++]);
    cr_assert_eq(i, 3, "all of them wait");
    for (i = 0; i < 3; i++)
        release(&txs[i]);
}

static struct query *ask_unit(uint32_t count) {
    struct list unit;
    list_init(&unit);
    while (count--)
        list_push_back(&unit, &pg_bed_query(&bed, PG_TX_INSERT)->link);
    struct query *first = list_entry(unit.next, struct query, link);
    queue_put_unit(&unit);
    return first;
}

/* Both transactions run, and each is followed by another one as it ends; txs[next] is the next. */
static void run_two_whole(uint32_t next) {
    for (uint32_t i = next; i < next + 2; i++) {
        begin(i);
        ask_whole(i, 1);
    }
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
}

static const char tx_answers[] = "12 C:BEGIN 2 C:INSERT_0_1 Z:T 12 C:COMMIT Z";

/* Two transactions have taken a part of the room. */
static struct query *unit_that_waits_for_room(void) {
    bring_up(1, 8);
    warm();
    run_two_whole(0);
    struct query *unit = ask_unit(6);
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    return unit;
}

/* There would never be room for all of a unit. */
Test(pg_lease, leaves_room_to_a_unit_that_waits_for_it) {
    bring_up(1, 8);
    warm();
    run_two_whole(0);
    struct query *unit = ask_unit(6), *behind = pg_bed_ask(&bed, PG_TX_INSERT);
    advance();
    for (uint32_t i = 0; unit->state == QUERY_WAITING; i++) {
        cr_assert_lt(i, 10, "transactions take all room that there is");
        begin(i + 2);
        ask_whole(i + 2, 1);
        pg_bed_pass(&bed, PG_BED_MS);
        say(0, tx_answers);
        advance();
    }
    pg_bed_assert_text(pg_bed_fate(behind), "running", "the query behind it");
    cr_assert_eq(txs[2].state, TX_WAITING, "it came later");
    for (uint32_t i = 0; i < 7; i++)
        say(0, "2 C:INSERT_0_1 Z");
    advance();
    cr_assert(txs[2].state == TX_ENDING && txs[3].state == TX_ENDING, "those that came later have their turn");
}

Test(pg_lease, is_not_taken_before_a_unit_that_waits_for_room) {
    struct query *unit = unit_that_waits_for_room();
    begin(2);
    ask_whole(2, 1);
    advance();
    pg_bed_pass(&bed, 11 * PG_BED_MS);
    advance();
    cr_assert_eq(txs[2].state, TX_WAITING, "it came later");
    say(0, tx_answers);
    say(0, tx_answers);
    advance();
    pg_bed_assert_text(pg_bed_fate(unit), "running", "it came first");
    for (uint32_t i = 0; i < 6; i++)
        say(0, "2 C:INSERT_0_1 Z");
    advance();
    cr_assert_eq(txs[2].state, TX_ENDING);
}

Test(pg_lease, is_not_outrun_by_units) {
    bring_up(1, 8);
    warm();
    ask_unit(8);
    ask_unit(8);
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    begin(0);
    ask_whole(0, 5);
    advance();
    pg_bed_pass(&bed, PG_BED_MS);
    pg_bed_ask_tx(&bed, begin(1), PG_TX_INSERT);
    advance();
    for (uint32_t turns = 0; txs[0].state == TX_WAITING || txs[1].state == TX_WAITING; turns++) {
        cr_assert_lt(turns, 3, "units take all room that there is");
        ask_unit(8);
        pg_bed_pass(&bed, PG_BED_MS);
        for (uint32_t i = 0; i < 8; i++)
            say(0, "2 C:INSERT_0_1 Z");
        advance();
    }
    release(&txs[0]);
    release(&txs[1]);
}

/* All connections may be held, and each that is given back is asked for. */
Test(pg_lease, is_given_to_a_unit_that_came_before) {
    struct query *unit = unit_that_waits_for_room();
    for (uint32_t i = 2; i < 5; i++)
        pg_bed_ask_tx(&bed, begin(i), PG_TX_INSERT);
    advance();
    cr_assert_eq(pool->conns[0]->tx, &txs[2], "there is room for its first request, and not for the unit");
    say(0, tx_answers);
    say(0, tx_answers);
    pg_bed_ask_tx(&bed, &txs[2], "commit");
    advance();
    pg_bed_assert_text(pg_bed_fate(unit), "waiting", "for the connection");
    say(0, tx_answers);
    advance();
    pg_bed_assert_text(pg_bed_fate(unit), "running", "it came first");
    for (uint32_t i = 2; i < 5; i++)
        release(&txs[i]);
}

/* The time that it came at may be noted a nanosecond late, as it is where the clock is even. */
Test(pg_lease, is_not_taken_in_the_turn_that_looked_for_room) {
    struct list unit;
    bring_up(1, 8);
    for (uint32_t i = 0; i < 5; i++)
        pg_bed_ask(&bed, "select 1");
    advance();
    list_init(&unit);
    for (uint32_t i = 0; i < 5; i++)
        list_push_back(&unit, &pg_bed_query(&bed, "select 1")->link);
    queue_put_unit(&unit);
    struct quring_tx *tx = begin(0);
    for (uint32_t i = 0; i < 3; i++)
        pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    pg_bed_ask_tx(&bed, tx, "commit");
    while (ring_now_ns(bed.hub.ring) & 1)
        pg_bed_pass(&bed, 1);
    advance();
    cr_assert_eq(tx->state, TX_WAITING, "there is room for three, which neither the unit nor the transaction takes");
    pg_bed_pass(&bed, 11 * PG_BED_MS);
    advance();
    cr_assert_eq(pool->conns[0]->tx, tx, "it has waited for long enough");
}

/* Those behind it fill the connection that comes before the slow one, and then this is the first, which has room for it. */
Test(pg_lease, may_be_found_in_the_turn_that_has_parked_it) {
    bring_up(2, 8);
    struct query *slow = pg_bed_ask(&bed, "select 1");
    advance();
    pg_bed_pass(&bed, 500 * PG_BED_MS);
    for (uint32_t i = 0; i < 6; i++)
        pg_bed_ask(&bed, "select 1");
    advance();
    struct quring_tx *tx = begin(0);
    for (uint32_t i = 0; i < 3; i++)
        pg_bed_ask_tx(&bed, tx, "insert into t values (1)");
    struct query *commit = pg_bed_ask_tx(&bed, tx, "commit");
    pg_bed_ask(&bed, "select 1");
    pg_bed_ask(&bed, "select 1");
    advance();
    cr_assert_eq(pg_tx_of(tx)->conn, pg_query(slow)->conn, "there was room on it all the time");
    pg_bed_assert_text(pg_bed_fate(commit), "running", "COMMIT");
}

Test(pg_lease, is_for_transactions_that_are_longer_than_the_depth) {
    bring_up(1, 4);
    struct quring_tx *tx = begin(0);
    struct query *queries[7];
    for (uint32_t i = 0; i < 6; i++)
        queries[i] = pg_bed_ask_tx(&bed, tx, "select 1");
    queries[6] = pg_bed_ask_tx(&bed, tx, "commit");
    advance();
    cr_assert_eq(pool->conns[0]->tx, tx);
    got_is(0, "begin select 1* select 1 select 1 |", "as many as fit");
    say(0, "12 C:BEGIN 1 t:0 T2DC 1 t:0 T2DC 1 t:0 T2DC Z:T");
    got_is(0, "bound bound bound | commit |", "the rest, and the end has its own room");
    say(0, "2DC2DC2DC Z:T 12 C:COMMIT Z");
    pg_bed_assert_text(pg_bed_fate(queries[6]), "OK", "COMMIT");
    cr_assert_eq(tx->state, TX_ENDED);
}

/* A transaction holds a connection, which queries of others fill; `other` is the one that is left. */
static uint32_t hold_one_and_fill_the_other(void) {
    bring_up_with(&(quring_db_options){.connection_count = 2, .lease_count = 1, .depth = 8, .statement_count = 16});
    pg_bed_ask_tx(&bed, begin(0), PG_TX_INSERT);
    advance();
    uint32_t other = pool->conns[0]->tx != NULL;
    pg_bed_ask(&bed, "select 1");
    advance();
    say(other, "1 t:0 T2DCZ");
    for (uint32_t i = 0; i < 8; i++)
        pg_bed_ask(&bed, "select 1");
    advance();
    return other;
}

/* Where the queries of others have ended; the first waits for the connection that is held. */
static void check_that_the_second_has_room(uint32_t other) {
    for (uint32_t i = 0; i < 8; i++)
        say(other, "2DCZ");
    advance();
    cr_assert_eq(txs[1].state, TX_WAITING);
    cr_assert_eq(txs[2].state, TX_ENDING);
    for (uint32_t i = 0; i < 3; i++)
        release(&txs[i]);
}

/* No connection may be held, and queries that came later take each place that becomes free. */
Test(pg_lease, is_one_more_for_what_others_outrun) {
    uint32_t other = hold_one_and_fill_the_other();
    for (uint32_t i = 1; i < 3; i++) {
        begin(i);
        ask_whole(i, 1);
    }
    for (uint32_t turns = 0; txs[1].state == TX_WAITING; turns++) {
        cr_assert_lt(turns, 20, "others take all room, turn by turn");
        pg_bed_ask(&bed, "select 1");
        pg_bed_pass(&bed, PG_BED_MS);
        say(other, "2DCZ");
        advance();
    }
    cr_assert(pool->leases.count == 2 && txs[2].state == TX_WAITING, "one at a time");
    for (uint32_t i = 0; i < 3; i++)
        release(&txs[i]);
}

/* It needs a connection for itself then, of which there is none, and others do not. */
Test(pg_lease, is_waited_for_aside_by_what_has_ceased_to_be_whole) {
    uint32_t other = hold_one_and_fill_the_other();
    begin(1);
    pg_bed_ask_tx(&bed, &txs[1], PG_TX_INSERT);
    struct query *given_up = pg_bed_ask_tx(&bed, &txs[1], PG_TX_INSERT);
    ask_whole(1, 1);
    begin(2);
    ask_whole(2, 1);
    advance();
    query_fail(given_up, QURING_TIMEOUT, "57014", "in line");
    pg_backend.tx_changed(&txs[1], false);
    check_that_the_second_has_room(other);
}

/* They keep the order in which they came, whichever became whole first. */
Test(pg_lease, is_not_waited_for_by_several_that_have_become_whole) {
    uint32_t other = hold_one_and_fill_the_other();
    for (uint32_t i = 1; i < 4; i++) {
        pg_bed_ask_tx(&bed, begin(i), PG_TX_INSERT);
        advance();
        pg_bed_pass(&bed, PG_BED_MS);
    }
    for (uint32_t i = 3; i > 0; i--)
        ask_whole(i, 0);
    for (uint32_t i = 0; i < 3; i++)
        say(other, "2DCZ");
    advance();
    cr_assert_eq(txs[1].state, TX_ENDING);
    cr_assert(txs[2].state == TX_WAITING && txs[3].state == TX_WAITING, "there is room for one");
    for (uint32_t i = 0; i < 3; i++)
        say(other, "2DCZ");
    advance();
    cr_assert(txs[2].state == TX_ENDING && txs[3].state == TX_WAITING);
    for (uint32_t i = 0; i < 4; i++)
        release(&txs[i]);
}

/* Another that waits for one stood before it. */
Test(pg_lease, is_not_waited_for_by_what_has_become_whole) {
    uint32_t other = hold_one_and_fill_the_other();
    for (uint32_t i = 1; i < 3; i++) {
        pg_bed_ask_tx(&bed, begin(i), PG_TX_INSERT);
        advance();
    }
    ask_whole(2, 1);
    check_that_the_second_has_room(other);
}
