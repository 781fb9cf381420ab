/* SPDX-License-Identifier: MIT */
/* Units of several queries: they are put, taken and counted together, and their members lose their marks with their end. */
#include "core/db.h"

#include <criterion/criterion.h>

enum { QUERIES = 6 };

static struct hub hub;
static struct quring_db db;
static struct query queries[QUERIES];
static struct statement_table *statements;
static struct quring_statement *statement;

static void setup(void) {
    list_init(&hub.done);
    list_init(&hub.due);
    db_init(&db);
    db.hub = &hub;
    statements = statement_table_new(1, 100, NULL);
    statement = statement_find(statements, "select 1", 8);
    for (int i = 0; i < QUERIES; i++) {
        queries[i].queue = &db.queue;
        queries[i].statement = statement_hold(statement);
        list_init(&queries[i].link);
        error_init(&queries[i].error);
        result_init(&queries[i].result);
        result_begin(&queries[i].result, 1000, UINT64_MAX);
    }
}

static void teardown(void) {
    for (int i = 0; i < QUERIES; i++) {
        if (queries[i].statement)
            statement_drop(queries[i].statement);
        error_free(&queries[i].error);
        result_free(&queries[i].result);
    }
    statement_drop(statement);
    statement_table_free(statements);
}

TestSuite(queue, .init = setup, .fini = teardown);

static void put_unit(int first, int count) {
    struct list members;
    list_init(&members);
    for (int i = first; i < first + count; i++)
        list_push_back(&members, &queries[i].link);
    queue_put_unit(&members);
    cr_assert(list_empty(&members));
}

/* "2 of 5, 3 in units" waiting in the queue: the oldest unit, all, and those in units. */
static void assert_waiting(uint32_t oldest, uint32_t all, uint32_t in_units, int line) {
    cr_assert_eq(queue_unit_count(&db.queue), oldest, "line %d: %u", line, queue_unit_count(&db.queue));
    cr_assert_eq(db.queue.waiting_count, all, "line %d: %u", line, db.queue.waiting_count);
    cr_assert_eq(db.queue.unit_waiting_count, in_units, "line %d: %u", line, db.queue.unit_waiting_count);
}

Test(queue, queue_put_unit_keeps_neighbours_in_order) {
    assert_waiting(0, 0, 0, __LINE__);
    queue_put(&queries[0]);
    put_unit(1, 3);
    queue_put(&queries[4]);
    put_unit(5, 1);
    assert_waiting(1, 6, 4, __LINE__);
    cr_assert_eq(queue_take(&db.queue), &queries[0]);
    assert_waiting(3, 5, 4, __LINE__);
    for (int i = 1; i < 4; i++)
        cr_assert_eq(queue_take(&db.queue), &queries[i]);
    assert_waiting(1, 2, 1, __LINE__);
    cr_assert_eq(queue_take(&db.queue), &queries[4]);
    cr_assert_eq(queue_take(&db.queue), &queries[5]);
    assert_waiting(0, 0, 0, __LINE__);
}

Test(queue, queue_put_back_makes_the_unit_whole_again) {
    put_unit(0, 3);
    queue_put(&queries[3]);
    for (int i = 0; i < 3; i++)
        (void)queue_take(&db.queue);
    assert_waiting(1, 1, 0, __LINE__);
    for (int i = 3; i-- > 0;)
        queue_put_back(&queries[i]);
    assert_waiting(3, 4, 3, __LINE__);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(queue_take(&db.queue), &queries[i]);
}

/* What its backend had not begun was never given away: that is no retry. */
Test(queue, queue_take_back_counts_nothing) {
    put_unit(0, 2);
    for (int i = 0; i < 2; i++)
        (void)queue_take(&db.queue);
    queue_take_back(&queries[1]);
    queue_take_back(&queries[0]);
    assert_waiting(2, 2, 2, __LINE__);
    cr_assert_eq(db.counters.retry_count, 0);
    cr_assert_eq(queue_take(&db.queue), &queries[0]);
    queue_put_back(&queries[0]);
    cr_assert_eq(db.counters.retry_count, 1);
}

Test(queue, query_finish_ends_membership) {
    put_unit(0, 2);
    put_unit(2, 2);
    (void)queue_take(&db.queue);
    (void)queue_take(&db.queue);
    query_finish(&queries[0], QURING_OK);
    query_fail(&queries[1], QURING_SERVER_ERROR, "22012", "division by zero");
    cr_assert_not(queries[0].in_unit || queries[0].unit_goes_on || queries[1].in_unit);
    queue_fail(&db.queue, QURING_NOT_SENT, "08006", "lost");
    assert_waiting(0, 0, 0, __LINE__);
    cr_assert_eq(hub.done_count, 4);
    for (int i = 0; i < QUERIES; i++)
        cr_assert_not(queries[i].in_unit || queries[i].unit_goes_on);
}
