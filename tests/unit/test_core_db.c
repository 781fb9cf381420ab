/* SPDX-License-Identifier: MIT */
#include "core/db.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

enum { QUERIES = 5 };

static struct hub hub;
static struct quring_db db;
static struct query queries[QUERIES];
static struct statement_table *statements;
static struct quring_statement *statement; /* held here too */

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
        queue_put(&queries[i]);
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

TestSuite(db, .init = setup, .fini = teardown);

static void assert_counts(uint32_t waiting, uint32_t running, uint32_t done) {
    cr_assert_eq(db.queue.waiting_count, waiting);
    cr_assert_eq(db_waiting_count(&db), waiting);
    cr_assert_eq(list_empty(&db.ready), waiting == 0, "on the ready list while one waits");
    cr_assert_eq(db.running_count, running);
    cr_assert_eq(hub.done_count, done);
    uint32_t waiting_nodes = 0, done_nodes = 0;
    list_for_each(node, &db.queue.waiting)
        waiting_nodes++;
    list_for_each(node, &hub.done)
        done_nodes++;
    cr_assert_eq(waiting_nodes, waiting);
    cr_assert_eq(done_nodes, done);
}

Test(db, admits_in_order) {
    for (uint32_t i = 0; i < QUERIES; i++) {
        cr_assert_eq(queue_take(&db.queue), &queries[i]);
        cr_assert_eq(queries[i].state, QUERY_RUNNING);
        assert_counts(QUERIES - 1 - i, i + 1, 0);
    }
    cr_assert_null(queue_take(&db.queue));
    assert_counts(0, QUERIES, 0);
}

Test(db, queue_take_and_put_back_keep_the_list_of_ready_queues) {
    struct queue bound;
    queue_init(&bound, &db);
    queries[4].queue = &bound;
    list_remove(&queries[4].link);
    db.queue.waiting_count--;
    db.waiting_count--;
    queries[4].state = QUERY_FREE;
    queue_put(&queries[4]);
    cr_assert_eq(db_waiting_count(&db), QUERIES);
    struct query *query = queue_take(&bound);
    cr_assert_eq(query, &queries[4]);
    cr_assert(list_empty(&bound.ready));
    queue_put_back(query);
    cr_assert_not(list_empty(&bound.ready));
    queue_fail(&bound, QURING_NOT_SENT, "08006", "100 % lost");
    cr_assert_str_eq(queries[4].error.view.message, "100 % lost");
    cr_assert(list_empty(&bound.ready));
    cr_assert_eq(db_waiting_count(&db), QUERIES - 1, "what is bound goes nowhere else, nor do others end with it");
}

Test(db, queue_park_takes_a_queue_off_the_list_that_turns_visit) {
    struct list parked;
    list_init(&parked);
    queue_set_aside(&db.queue, &parked, 5);
    cr_assert(list_empty(&db.ready));
    cr_assert_eq(list_first(&parked), &db.queue.ready);
    cr_assert_eq(db_waiting_count(&db), QUERIES, "they still wait");
    queue_bring_back(&db.queue);
    cr_assert_eq(list_first(&db.ready), &db.queue.ready);
    queue_set_aside(&db.queue, parked.next, 5);
    queue_fail(&db.queue, QURING_NOT_SENT, "08006", "lost");
    cr_assert(list_empty(&parked), "nothing waits in it");
    cr_assert_eq(db_waiting_count(&db), 0);
}

Test(db, db_due_once_and_as_a_query_waits) {
    cr_assert_eq(list_first(&hub.due), &db.due, "for queries wait");
    list_remove(&db.due);
    db_due(&db);
    db_due(&db);
    list_pop_front(&hub.due);
    cr_assert(list_empty(&hub.due));
    while (queue_take(&db.queue))
        ;
    queue_put_back(&queries[0]);
    cr_assert_eq(list_first(&hub.due), &db.due);
}

Test(db, requeued_queries_come_first_again) {
    struct query *first = queue_take(&db.queue), *second = queue_take(&db.queue);
    queue_put_back(second);
    queue_put_back(first);
    assert_counts(QUERIES, 0, 0);
    for (int i = 0; i < QUERIES; i++)
        cr_assert_eq(queue_take(&db.queue), &queries[i]);
}

Test(db, finishes_from_running_and_from_waiting) {
    struct query *running = queue_take(&db.queue);
    result_append_row(&running->result, (const uint8_t *)"\0\0", 2);
    result_append_row(&running->result, (const uint8_t *)"\0\0", 2);
    query_finish(running, QURING_OK);
    assert_counts(QUERIES - 1, 0, 1);
    query_fail(&queries[3], QURING_NOT_SENT, "08001", "no server at %s", "here");
    assert_counts(QUERIES - 2, 0, 2);

    cr_assert_eq(list_first(&hub.done), &running->link, "oldest first");
    cr_assert_eq(running->state, QUERY_DONE);
    cr_assert_null(running->statement);
    cr_assert_eq(statement->references, 1 + QUERIES - 2);
    cr_assert_eq(running->status, QURING_OK);
    cr_assert_eq(running->result.row_count, 2);
    cr_assert_eq(queries[3].status, QURING_NOT_SENT);
    cr_assert_str_eq(queries[3].error.view.message, "no server at here");
    cr_assert_str_eq(queries[3].error.view.sqlstate, "08001");
    cr_assert_eq(db.counters.done_count[QURING_OK], 1);
    cr_assert_eq(db.counters.done_count[QURING_NOT_SENT], 1);
    cr_assert_eq(db.counters.row_count, 2);
    cr_assert_eq(queue_take(&db.queue), &queries[1]);
    cr_assert_eq(queue_take(&db.queue), &queries[2]);
    cr_assert_eq(queue_take(&db.queue), &queries[4]);
}

Test(db, a_backend_may_keep_running_queries_in_a_list_of_its_own) {
    struct list own;
    list_init(&own);
    list_push_back(&own, &queue_take(&db.queue)->link);
    list_push_back(&own, &queue_take(&db.queue)->link);
    query_finish(&queries[0], QURING_OK);
    queue_put_back(&queries[1]);
    cr_assert(list_empty(&own));
    assert_counts(QUERIES - 1, 0, 1);
}

Test(db, a_failed_query_has_no_rows) {
    struct query *query = queue_take(&db.queue);
    struct columns *columns = columns_new(1, 0);
    result_set_columns(&query->result, columns, RESULT_BINARY);
    columns_drop(columns);
    result_append_row(&query->result, (const uint8_t *)"\0\1\xff\xff\xff\xff", 6);
    result_set_command(&query->result, "SELECT", 6);
    query->result.affected_count = 7;
    query_fail(query, QURING_LIMIT, "53400", "too much");
    cr_assert_eq(quring_row_count(&query->result), 0);
    cr_assert_eq(quring_column_count(&query->result), 0);
    cr_assert_eq(quring_affected_count(&query->result), 0);
    cr_assert_str_eq(quring_command(&query->result), "");
    cr_assert_eq(db.counters.row_count, 0);
}

Test(db, a_query_ends_once, .signal = SIGABRT) {
    query_finish(&queries[0], QURING_OK);
    query_finish(&queries[0], QURING_OK);
}

Test(db, a_failure_is_not_ok, .signal = SIGABRT) {
    query_fail(&queries[0], QURING_OK, "00000", "fine");
}

Test(db, a_waiting_query_cannot_be_requeued, .signal = SIGABRT) {
    queue_put_back(&queries[0]);
}

Test(db, host_error_formats_and_cuts) {
    static char text[2000];
    cr_assert_eq(hub_error(&hub, QURING_EURL, "%s:%d", "x", 5), QURING_EURL);
    cr_assert_str_eq(hub.message, "x:5");
    memset(text, 'x', sizeof text - 1);
    cr_assert_eq(hub_error(&hub, QURING_EINVAL, "%s", text), QURING_EINVAL);
    cr_assert_eq(strlen(hub.message), sizeof hub.message - 1);
}
