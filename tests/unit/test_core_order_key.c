/* SPDX-License-Identifier: MIT */
/* The table of order keys, and queries that are parked on them. */
#include "base/rng.h"
#include "core/db.h"

#include <criterion/criterion.h>
#include <string.h>

enum { QUERIES = 6, KEYS = 2000 };

static struct order_keys keys;
static struct order_place place, other;
static int owner, another_owner;

static void setup(void) {
    keys = (struct order_keys){0};
    order_place_init(&place);
    order_place_init(&other);
}

static void teardown(void) {
    order_keys_free(&keys);
}

TestSuite(order_key, .init = setup, .fini = teardown);

static struct order_key *hold(uint64_t key) {
    struct order_key *held = order_key_hold(&keys, &owner, key);
    cr_assert_not_null(held);
    return held;
}

/* ---- The table ---- */

Test(order_key, a_key_is_one_entry_for_each_handle) {
    struct order_key *seven = hold(7);
    cr_assert_eq(hold(7), seven);
    cr_assert_neq(hold(8), seven);
    struct order_key *theirs = order_key_hold(&keys, &another_owner, 7);
    cr_assert(theirs && theirs != seven);
    cr_assert_eq(keys.count, 3);
    cr_assert_eq(order_keys_at(&keys, seven->number), seven);
    order_key_drop(seven);
    cr_assert_eq(keys.count, 3);
    order_key_drop(seven);
    cr_assert_eq(keys.count, 2);
}

/* The reference is a plain array of counts. */
Test(order_key, any_holds_and_drops_leave_what_is_held) {
    static uint32_t held[KEYS];
    static struct order_key *entries[KEYS];
    struct rng rng = {1};
    uint32_t distinct = 0;
    for (int i = 0; i < 200000; i++) {
        uint32_t key = (uint32_t)rng_below(&rng, KEYS);
        if (rng_below(&rng, 2) || !held[key]) {
            struct order_key *entry = hold(key + 1);
            cr_assert(!held[key] || entry == entries[key]);
            entries[key] = entry;
            distinct += held[key]++ == 0;
        } else {
            order_key_drop(entries[key]);
            distinct -= --held[key] == 0;
        }
        cr_assert_eq(keys.count, distinct);
        cr_assert(!held[key] || (entries[key]->key == key + 1 && entries[key]->query_count == held[key]));
    }
    cr_assert_leq(keys.block_count, KEYS / 64 + 1, "entries are used again");
}

Test(order_key, chains_are_short_whatever_the_keys) {
    for (uint64_t i = 1; i <= KEYS; i++)
        hold(i << 32);
    uint64_t before = keys.visit_count;
    for (uint64_t i = 1; i <= KEYS; i++)
        hold(i << 32);
    cr_assert_leq(keys.visit_count - before, 4 * KEYS);
}

Test(order_key, a_closed_handle_leaves_nothing_to_be_found) {
    struct order_key *mine = hold(7), *theirs = order_key_hold(&keys, &another_owner, 7);
    order_keys_forget(&keys, &owner);
    struct order_key *fresh = hold(7);
    cr_assert(fresh != mine && fresh != theirs);
    order_key_drop(mine);
    order_key_drop(fresh);
    cr_assert_eq(keys.count, 1);
    cr_assert_eq(order_key_hold(&keys, &another_owner, 7), theirs);
}

/* ---- Places ---- */

Test(order_key, it_stays_at_its_place_until_none_is_out) {
    struct order_key *key = hold(7);
    order_key_sent(key, &place, 3, 0);
    order_key_sent(key, &place, 5, 0);
    cr_assert_eq(key->state, ORDER_PLACED);
    cr_assert_null(order_place_settled(&place, 5));
    cr_assert_eq(order_place_settled(&place, 6), key);
    cr_assert(!order_key_is_out(key));
    order_key_leave(key);
    cr_assert_eq(key->state, ORDER_IDLE);
    order_key_sent(key, &other, 1, 0);
    cr_assert_eq(key->place, &other);
    order_key_leave(key);
}

Test(order_key, keys_are_settled_in_the_order_of_their_last_queries) {
    struct order_key *a = hold(1), *b = hold(2), *c = hold(3);
    order_key_sent(a, &place, 0, 0);
    order_key_sent(b, &place, 1, 0);
    order_key_sent(c, &place, 2, 0);
    order_key_sent(a, &place, 3, 0);
    cr_assert_eq(order_place_settled(&place, 3), b);
    cr_assert_eq(order_place_settled(&place, 3), c);
    cr_assert_null(order_place_settled(&place, 3));
    cr_assert_eq(order_place_settled(&place, 4), a);
    order_key_leave(a), order_key_leave(b), order_key_leave(c);
    cr_assert(!order_place_is_used(&place));
}

/* What was given up keeps its key in the table without a query. */
Test(order_key, a_key_without_queries_stays_while_one_is_out) {
    struct order_key *key = hold(7);
    order_key_sent(key, &place, 0, 0);
    order_key_drop(key);
    cr_assert_eq(keys.count, 1);
    cr_assert_eq(hold(7), key);
    order_key_drop(key);
    cr_assert_eq(order_place_settled(&place, 1), key);
    order_key_leave(key);
    cr_assert_eq(keys.count, 0);
}

Test(order_key, a_lost_key_is_closed_until_its_last_query_is_reaped) {
    struct order_key *key = hold(7);
    (void)hold(7);
    order_key_sent(key, &place, 0, 0);
    order_key_lose(key);
    cr_assert_eq(order_place_any(&place), key);
    order_key_leave(key);
    cr_assert_eq(key->state, ORDER_CLOSED);
    order_key_drop(key);
    cr_assert_eq(key->state, ORDER_CLOSED);
    (void)hold(7);
    order_key_drop(key);
    order_key_drop(key);
    cr_assert_eq(keys.count, 0);
    cr_assert_eq(hold(7)->state, ORDER_IDLE);
}

Test(order_key, a_lost_key_that_nobody_asks_for_is_forgotten) {
    struct order_key *key = hold(7);
    order_key_sent(key, &place, 0, 0);
    order_key_drop(key);
    order_key_lose(key);
    order_key_leave(key);
    cr_assert_eq(keys.count, 0);
}

/* ---- Parked queries ---- */

static struct hub hub;
static struct quring_db db;
static struct query queries[QUERIES];
static struct statement_table *statements;

static void setup_queue(void) {
    setup();
    hub = (struct hub){0};
    db = (struct quring_db){0};
    list_init(&hub.done);
    list_init(&hub.due);
    db_init(&db);
    db.hub = &hub;
    statements = statement_table_new(1, 100, NULL);
    memset(queries, 0, sizeof queries);
    for (int i = 0; i < QUERIES; i++) {
        queries[i].queue = &db.queue;
        queries[i].statement = statement_find(statements, "select 1", 8);
        queries[i].key = order_key_hold(&hub.keys, &db, 1 + (uint64_t)i / 4);
        list_init(&queries[i].link);
        error_init(&queries[i].error);
        result_init(&queries[i].result);
        result_begin(&queries[i].result, 1000, UINT64_MAX);
        queue_put(&queries[i]);
    }
}

static void teardown_queue(void) {
    for (int i = 0; i < QUERIES; i++) {
        if (queries[i].statement)
            statement_drop(queries[i].statement);
        error_free(&queries[i].error);
        result_free(&queries[i].result);
    }
    statement_table_free(statements);
    order_keys_free(&hub.keys);
    teardown();
}

TestSuite(order_parked, .init = setup_queue, .fini = teardown_queue);

static void check_counts(uint32_t waiting, uint32_t parked, uint32_t running, uint32_t done) {
    cr_assert_eq(db.queue.waiting_count, waiting);
    cr_assert_eq(db.queue.parked_count, parked);
    cr_assert_eq(db_waiting_count(&db), waiting + parked);
    cr_assert_eq(list_empty(&db.ready), waiting + parked == 0, "on the ready list while one waits, parked or not");
    cr_assert_eq(db.running_count, running);
    cr_assert_eq(hub.done_count, done);
}

/* The first four, of one key, as if the first of them was out. */
static void park_three(void) {
    (void)queue_take(&db.queue);
    order_key_sent(queries[0].key, &place, 0, 0);
    for (int i = 1; i < 4; i++)
        queue_park(queue_first(&db.queue), 10);
    check_counts(2, 3, 1, 0);
}

Test(order_parked, they_leave_the_line_and_are_taken_in_order) {
    park_three();
    cr_assert_eq(queue_first(&db.queue), &queries[4]);
    hub.noted_ns = 20;
    cr_assert_eq(queue_take_parked(queries[0].key), &queries[1]);
    cr_assert_eq(queue_take_parked(queries[0].key), &queries[2]);
    check_counts(2, 1, 3, 0);
    (void)queue_take(&db.queue), (void)queue_take(&db.queue);
    check_counts(0, 1, 5, 0);
    cr_assert_eq(queue_take_parked(queries[0].key), &queries[3]);
    check_counts(0, 0, 6, 0);
    cr_assert_null(queue_first_parked(queries[0].key));
}

Test(order_parked, what_is_put_back_comes_before_them) {
    park_three();
    queue_put_back(&queries[0]);
    check_counts(2, 4, 0, 0);
    cr_assert_eq(queue_take_parked(queries[0].key), &queries[0]);
}

Test(order_parked, they_go_back_before_all_others) {
    park_three();
    queue_put_back(&queries[0]);
    queue_unpark(queries[0].key, 30);
    order_key_leave(queries[0].key);
    check_counts(6, 0, 0, 0);
    hub.noted_ns = 30;
    for (int i = 0; i < QUERIES; i++)
        cr_assert_eq(queue_take(&db.queue), &queries[i]);
}

Test(order_parked, one_can_end_where_it_is) {
    park_three();
    query_fail(&queries[2], QURING_CANCELLED, "57014", "cancelled");
    check_counts(2, 2, 1, 1);
    hub.noted_ns = 20;
    cr_assert_eq(queue_take_parked(queries[0].key), &queries[1]);
    cr_assert_eq(queue_take_parked(queries[0].key), &queries[3]);
}

Test(order_parked, all_end_with_their_queue) {
    park_three();
    queue_fail(&db.queue, QURING_NOT_SENT, "08001", "nobody is there");
    check_counts(0, 0, 1, 5);
    for (int i = 1; i < QUERIES; i++)
        cr_assert_eq(queries[i].status, QURING_NOT_SENT);
}

Test(order_parked, those_of_one_key_end_alone) {
    park_three();
    queue_fail_parked(queries[0].key, QURING_NOT_SENT, "08006", "lost");
    check_counts(2, 0, 1, 3);
}
