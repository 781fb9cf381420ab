/* SPDX-License-Identifier: MIT */
/* The trace by itself: order, bounds, what is dropped, and for how long its texts live. */
#include "core/trace.h"

#include "core/error.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES = 8, EVENTS = 6 };

static struct trace *trace;
static struct statement_table *statements;
static struct query queries[QUERIES];
static const struct quring_db *const db = (const struct quring_db *)&queries; /* never looked into */
static uint64_t now_ns;

static uint64_t clock_now_ns(void *context) {
    return ++*(uint64_t *)context;
}

static void setup(void) {
    now_ns = 1000;
    trace = trace_new(EVENTS, QUERIES, (struct trace_clock){clock_now_ns, &now_ns});
    cr_assert(trace);
    statements = statement_table_new(4, 100, NULL);
    for (uint32_t i = 0; i < QUERIES; i++) {
        queries[i] = (struct query){.traced = i + 1, .id = 100 + i, .user_data = i};
        error_init(&queries[i].error);
    }
}

static void teardown(void) {
    for (uint32_t i = 0; i < QUERIES; i++) {
        if (queries[i].statement)
            statement_drop(queries[i].statement);
        error_free(&queries[i].error);
    }
    statement_table_free(statements);
    trace_free(trace);
}

TestSuite(trace, .init = setup, .fini = teardown);

static struct query *submit_text(uint32_t i, const char *sql, size_t length) {
    queries[i].statement = statement_find(statements, sql, length);
    trace_submitted(trace, &queries[i], db);
    return &queries[i];
}

static struct query *submit(uint32_t i, const char *sql) {
    return submit_text(i, sql, strlen(sql));
}

static void done(struct query *query, quring_status status) {
    query->status = (uint8_t)status;
    trace_done(trace, query);
    statement_drop(query->statement);
    query->statement = NULL;
}

static uint32_t take(quring_event *events, uint32_t capacity) {
    trace_take_back(trace);
    return trace_take(trace, events, capacity);
}

static quring_event take_one(void) {
    quring_event event;
    cr_assert_eq(take(&event, 1), 1);
    return event;
}

static void expect(const quring_event *event, quring_event_kind kind, uint64_t user_data, uint64_t at_ns) {
    cr_assert_eq(event->kind, kind, "%s, not %s", quring_event_name(event->kind), quring_event_name(kind));
    cr_assert_eq(event->user_data, user_data);
    cr_assert_eq(event->at_ns, at_ns, "at %d", (int)event->at_ns);
}

/* ---- Queries ---- */

Test(trace, a_query_that_ends_well) {
    quring_event events[EVENTS];
    struct query *query = submit(3, "select 1");
    trace_sent(trace, query, 5);
    trace_row(trace, query);
    trace_row(trace, query); /* a second row is no event, and does not look at the clock */
    query->result.row_count = 2;
    done(query, QURING_OK);
    cr_assert_eq(take(events, EVENTS), 4);
    expect(&events[0], QURING_EVENT_SUBMITTED, 3, 1001);
    cr_assert_eq(events[0].connection, 0);
    cr_assert_eq(events[0].sent_at_ns, 0);
    expect(&events[1], QURING_EVENT_SENT, 3, 1002);
    cr_assert_eq(events[1].connection, 5);
    cr_assert_eq(events[1].first_row_at_ns, 0);
    expect(&events[2], QURING_EVENT_FIRST_ROW, 3, 1003);
    cr_assert_eq(events[2].row_count, 0);
    expect(&events[3], QURING_EVENT_DONE, 3, 1004);
    cr_assert_eq(events[3].row_count, 2);
    cr_assert_eq(events[3].status, QURING_OK);
    cr_assert_str_eq(events[3].message, "");
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(events[i].id, 103);
        cr_assert_eq(events[i].db, db);
        cr_assert_eq(events[i].submitted_at_ns, 1001);
        cr_assert_str_eq(events[i].sql, "select 1");
        cr_assert_eq(events[i].sql_bytes, 8);
        cr_assert_not(events[i].sql_is_cut);
    }
    cr_assert_eq(take(events, EVENTS), 0);
}

Test(trace, a_retry_has_its_reason_and_begins_anew) {
    quring_event events[EVENTS];
    struct query *query = submit(0, "select 1");
    trace_sent(trace, query, 1);
    trace_row(trace, query);
    error_set(&query->error, "0A000", "cached plan must not change result type", NULL, NULL, 0);
    trace_retried(trace, query);
    error_clear(&query->error);
    trace_sent(trace, query, 2);
    trace_row(trace, query);
    cr_assert_eq(take(events, EVENTS), 6);
    expect(&events[3], QURING_EVENT_RETRIED, 0, 1004);
    cr_assert_str_eq(events[3].sqlstate, "0A000");
    cr_assert_str_eq(events[3].message, "cached plan must not change result type");
    cr_assert_eq(events[3].sent_at_ns, 1002, "of the run that was given up");
    expect(&events[4], QURING_EVENT_SENT, 0, 1005);
    cr_assert_eq(events[4].connection, 2);
    expect(&events[5], QURING_EVENT_FIRST_ROW, 0, 1006);
    done(query, QURING_OK);
}

/* A lane's thread tells the query's times, and they become events when it is back. */
Test(trace, times_that_a_lane_noted) {
    quring_event events[EVENTS];
    struct query *query = submit(0, "select 1");
    trace_note_sent(trace, query, 2);
    trace_note_undone(trace, query);
    trace_note_sent(trace, query, 2);
    trace_note_row(trace, query);
    cr_assert_eq(take(events, EVENTS), 1, "nothing yet");
    submit(1, "select 2");
    done(query, QURING_OK);
    cr_assert_eq(take(events, EVENTS), 6);
    expect(&events[0], QURING_EVENT_SUBMITTED, 1, 1006);
    expect(&events[1], QURING_EVENT_SENT, 0, 1002);
    expect(&events[2], QURING_EVENT_RETRIED, 0, 1003);
    expect(&events[3], QURING_EVENT_SENT, 0, 1004);
    expect(&events[4], QURING_EVENT_FIRST_ROW, 0, 1005);
    expect(&events[5], QURING_EVENT_DONE, 0, 1007);
    done(&queries[1], QURING_OK);
}

Test(trace, an_error_and_one_that_was_never_sent) {
    struct query *query = submit(0, "select 1/0");
    error_set(&query->error, "22012", "division by zero", NULL, NULL, 0);
    done(query, QURING_SERVER_ERROR);
    (void)take_one();
    quring_event event = take_one();
    expect(&event, QURING_EVENT_DONE, 0, 1002);
    cr_assert_eq(event.status, QURING_SERVER_ERROR);
    cr_assert_str_eq(event.sqlstate, "22012");
    cr_assert_str_eq(event.message, "division by zero");
    cr_assert_eq(event.sent_at_ns, 0);
}

/* ---- Connections and notices ---- */

Test(trace, connections_and_notices) {
    quring_event events[EVENTS];
    struct trace_report report = {.kind = QURING_EVENT_RETRYING,
                                  .connection = 7,
                                  .wait_ns = 50,
                                  .at_ns = 12,
                                  .sqlstate = "08006",
                                  .message = "the server went away"};
    trace_connection(trace, db, &report);
    trace_connection(trace, db, &(struct trace_report){.kind = QURING_EVENT_CONNECTED, .connection = 7});
    report.connection = 8;
    trace_notice(trace, db, NULL, &report);
    trace_notice(trace, db, submit(2, "select 1"), &report);
    cr_assert_eq(take(events, EVENTS), 5);
    expect(&events[0], QURING_EVENT_RETRYING, 0, 12);
    cr_assert_eq(events[0].id, 0);
    cr_assert_eq(events[0].connection, 7);
    cr_assert_eq(events[0].wait_ns, 50);
    cr_assert_str_eq(events[0].sqlstate, "08006");
    cr_assert_str_eq(events[0].message, "the server went away");
    cr_assert_str_eq(events[0].sql, "");
    expect(&events[1], QURING_EVENT_CONNECTED, 0, 1001);
    cr_assert_str_eq(events[1].sqlstate, "");
    cr_assert_str_eq(events[1].message, "");
    expect(&events[2], QURING_EVENT_NOTICE, 0, 1002);
    cr_assert_eq(events[2].id, 0);
    expect(&events[4], QURING_EVENT_NOTICE, 2, 1004);
    cr_assert_eq(events[4].id, 102);
    cr_assert_eq(events[4].connection, 8);
    cr_assert_str_eq(events[4].sql, "select 1");
    done(&queries[2], QURING_OK);
}

/* ---- Bounds ---- */

Test(trace, the_oldest_are_dropped_and_counted) {
    quring_event events[EVENTS + 1];
    for (uint32_t i = 0; i < QUERIES; i++)
        submit(i, "select 1");
    cr_assert_eq(trace_dropped_count(trace), QUERIES - EVENTS);
    cr_assert_eq(take(events, EVENTS + 1), EVENTS);
    for (uint32_t i = 0; i < EVENTS; i++)
        expect(&events[i], QURING_EVENT_SUBMITTED, QUERIES - EVENTS + i, 1001 + QUERIES - EVENTS + i);
    done(&queries[0], QURING_OK);
    quring_event event = take_one();
    cr_assert_eq(event.submitted_at_ns, 1001, "the last event tells what those that were dropped told");
    cr_assert_eq(trace_dropped_count(trace), QUERIES - EVENTS);
    for (uint32_t i = 1; i < QUERIES; i++)
        done(&queries[i], QURING_OK);
}

Test(trace, a_few_at_a_time_around_the_ring) {
    for (uint32_t round = 0; round < 5 * EVENTS; round++) {
        struct query *query = submit(round % QUERIES, round % 3 ? "select 1" : "select 2");
        done(query, QURING_OK);
        quring_event event = take_one();
        expect(&event, QURING_EVENT_SUBMITTED, round % QUERIES, 1001 + 2 * round);
        event = take_one();
        expect(&event, QURING_EVENT_DONE, round % QUERIES, 1002 + 2 * round);
        cr_assert_str_eq(event.sql, round % 3 ? "select 1" : "select 2");
    }
    cr_assert_eq(trace_dropped_count(trace), 0);
}

/* ---- Texts ---- */

/* Its statement is evicted, its query and its events are gone: what the program was given stays until it takes more. */
Test(trace, texts_outlive_what_they_were_copied_from) {
    quring_event first[1], rest[EVENTS];
    char sql[] = "select 'once'";
    struct query *query = submit(0, sql);
    error_set(&query->error, "XX000", "gone", NULL, NULL, 0);
    done(query, QURING_SERVER_ERROR);
    statement_table_free(statements);
    statements = statement_table_new(4, 100, NULL);
    memset(sql, 'x', sizeof sql - 1);
    cr_assert_eq(take(first, 1), 1);
    for (uint32_t i = 1; i < QUERIES; i++)
        submit(i, "select 2"); /* over the rest of the ring */
    cr_assert_str_eq(first[0].sql, "select 'once'");
    cr_assert_eq(take(rest, EVENTS), EVENTS);
    for (uint32_t i = 1; i < QUERIES; i++)
        done(&queries[i], QURING_OK);
    for (uint32_t i = 0; i < EVENTS; i++)
        cr_assert_str_eq(rest[i].sql, "select 2");
}

static char *long_text(size_t length) {
    char *text = malloc(length);
    memset(text, 'a', length);
    return text;
}

Test(trace, a_long_text_is_cut_between_two_characters) {
    size_t length = TRACE_SQL_BYTES_MAX + 10;
    char *text = long_text(length);
    memcpy(text + TRACE_SQL_BYTES_MAX - 1, "é", 2);
    done(submit_text(0, text, length), QURING_OK);
    quring_event event = take_one();
    cr_assert_eq(event.sql_bytes, TRACE_SQL_BYTES_MAX - 1);
    cr_assert_eq(strlen(event.sql), event.sql_bytes);
    cr_assert(event.sql_is_cut);
    done(submit_text(1, text, TRACE_SQL_BYTES_MAX - 1), QURING_OK);
    (void)take_one();
    event = take_one();
    cr_assert_eq(event.sql_bytes, TRACE_SQL_BYTES_MAX - 1);
    cr_assert_not(event.sql_is_cut);
    free(text);
}

/* An event comes without its text where all texts together would be over their bound; and with it again once there is room. */
Test(trace, texts_are_bounded) {
    enum { MANY = 2 * TRACE_TEXT_BYTES / TRACE_SQL_BYTES_MAX };
    char *text = long_text(TRACE_SQL_BYTES_MAX);
    quring_event event;
    uint32_t whole = 0;
    teardown();
    trace = trace_new(2 * MANY, QUERIES, (struct trace_clock){clock_now_ns, &now_ns});
    statements = statement_table_new(4, 100, NULL);
    memset(queries, 0, sizeof queries);
    for (uint32_t i = 0; i < MANY; i++) {
        queries[0] = (struct query){.traced = 1, .id = 1};
        done(submit_text(0, text, TRACE_SQL_BYTES_MAX), QURING_OK);
    }
    for (uint32_t i = 0; i < 2 * MANY; i++) {
        event = take_one();
        cr_assert(event.sql_bytes == 0 || event.sql_bytes == TRACE_SQL_BYTES_MAX);
        cr_assert_eq(event.sql_is_cut, event.sql_bytes == 0);
        whole += event.sql_bytes && event.kind == QURING_EVENT_DONE;
    }
    cr_assert_eq(whole, TRACE_TEXT_BYTES / TRACE_SQL_BYTES_MAX);
    done(submit_text(0, text, TRACE_SQL_BYTES_MAX), QURING_OK);
    event = take_one();
    cr_assert_eq(event.sql_bytes, TRACE_SQL_BYTES_MAX);
    free(text);
}

Test(trace, a_text_that_is_no_utf8_is_mended) {
    done(submit(0, "select '\xff'"), QURING_OK);
    quring_event event = take_one();
    cr_assert_str_eq(event.sql, "select '?'");
    done(submit(1, "select '\xff'"), QURING_OK);
    (void)take_one();
    event = take_one();
    cr_assert_str_eq(event.sql, "select '?'");
}

Test(trace, freeing_it_frees_all_that_was_not_taken) {
    submit(0, "select 1");
    trace_sent(trace, submit(1, "select 2"), 1);
    (void)take_one();
    trace_free(trace);
    trace_free(NULL);
    trace = NULL;
}
