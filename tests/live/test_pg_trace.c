/* SPDX-License-Identifier: MIT */
/* The trace of a real server's connections and queries. */
#include "lib/live.h"

#include <stdio.h>
#include <string.h>

enum { EVENTS = 500 };

static struct live live;
static quring_event events[EVENTS];
static int event_count;

static void begin(const char *url, const quring_db_options *options) {
    live_open_url(&live, url, &(quring_options){.trace_count = EVENTS}, options);
}

static void end(void) {
    live_close(&live);
}

TestSuite(pg_trace, .fini = end);

static void take(void) {
    event_count = quring_trace(live.engine, events, EVENTS);
    cr_assert_geq(event_count, 0);
}

/* The first event of that kind from `from` on; the test fails where there is none. */
static const quring_event *find_from(const quring_event *from, quring_event_kind kind) {
    while (from < events + event_count && from->kind != kind)
        from++;
    cr_assert_lt(from, events + event_count, "there is no \"%s\"", quring_event_name(kind));
    return from;
}

static const quring_event *find(quring_event_kind kind) {
    return find_from(events, kind);
}

Test(pg_trace, a_query_takes_as_long_as_the_server_sleeps) {
    begin(live_url(), &(quring_db_options){.connection_count = 1});
    live_connect(&live, 1);
    take();
    cr_assert_eq(find(QURING_EVENT_CONNECTED)->connection, 1);
    quring_done done = live_query(&live, "select pg_sleep(0.05), $1::int4", quring_int32(1));
    live_check_ok(&done, "pg_sleep");
    live_release(&live, &done);
    take();
    cr_assert_eq(event_count, 4);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(events[i].kind, QURING_EVENT_SUBMITTED + i + (i == 3) * 2, "%s",
                     quring_event_name(events[i].kind));
        cr_assert_str_eq(events[i].sql, "select pg_sleep(0.05), $1::int4");
        cr_assert_eq(events[i].id, done.id);
    }
    cr_assert_geq(events[2].at_ns - events[1].at_ns, 50 * LIVE_MS, "the row came before the server could have slept");
    cr_assert_eq(events[3].connection, 1);
    cr_assert_eq(events[3].row_count, 1);
    cr_assert_leq(events[3].at_ns, live_now_ns());
}

Test(pg_trace, notices_and_errors) {
    begin(live_url(), &(quring_db_options){.connection_count = 1});
    live_exec(&live, "do $$ begin raise warning 'mind the gap'; end $$");
    take();
    const quring_event *notice = find(QURING_EVENT_NOTICE);
    cr_assert_str_eq(notice->message, "mind the gap");
    cr_assert_str_eq(notice->sqlstate, "01000");
    cr_assert(strstr(notice->sql, "raise warning"));
    quring_done done = live_query(&live, "select 1 / $1::int4", quring_int32(0));
    live_release(&live, &done);
    take();
    const quring_event *ended = find(QURING_EVENT_DONE);
    cr_assert_eq(ended->status, QURING_SERVER_ERROR);
    cr_assert_str_eq(ended->sqlstate, "22012");
    cr_assert_str_eq(ended->message, "division by zero");
}

/* The member that fails undoes its group; the others are retried, and end well. */
Test(pg_trace, a_group_that_is_undone) {
    begin(live_url(), &(quring_db_options){.connection_count = 1});
    live_connect(&live, 1);
    take();
    for (uint64_t i = 0; i < 3; i++)
        live_submit(&live, &(quring_query){.sql = i == 1 ? "select 1 / 0" : "select 2",
                                           .user_data = i,
                                           .commit = QURING_COMMIT_GROUP});
    live_drain(&live, NULL, NULL);
    take();
    int retried = 0;
    for (int i = 0; i < event_count; i++) {
        retried += events[i].kind == QURING_EVENT_RETRIED;
        cr_assert(events[i].kind != QURING_EVENT_RETRIED || events[i].user_data != 1);
        if (events[i].kind == QURING_EVENT_DONE)
            cr_assert_eq(events[i].status, events[i].user_data == 1 ? QURING_SERVER_ERROR : QURING_OK);
    }
    cr_assert_eq(retried, 2);
}

/* A backend that is ended has its reason in the trace before the queries that it takes along. */
Test(pg_trace, a_connection_that_is_lost) {
    begin(live_url(), &(quring_db_options){.connection_count = 1});
    quring_done done = live_run(&live, &(quring_query){.sql = "select pg_terminate_backend(pg_backend_pid())"});
    cr_assert_neq(done.status, QURING_OK);
    live_release(&live, &done);
    cr_assert_eq(live_int(&live, "select 5"), 5);
    take();
    const quring_event *lost = find(QURING_EVENT_LOST);
    cr_assert_str_eq(lost->sqlstate, "57P01");
    cr_assert(strstr(lost->message, "terminating connection"), "%s", lost->message);
    const quring_event *ended = find(QURING_EVENT_DONE);
    cr_assert_gt(ended, lost);
    cr_assert_str_eq(ended->sqlstate, "57P01");
    cr_assert_gt(find_from(lost, QURING_EVENT_CONNECTED), lost);
}

Test(pg_trace, a_server_that_refuses) {
    begin(live_url_with("dbname=there_is_no_such_database"), &(quring_db_options){.connection_count = 1});
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    live_check_error(&done, QURING_NOT_SENT, "3D000", "there_is_no_such_database");
    live_release(&live, &done);
    take();
    const quring_event *refused = find(QURING_EVENT_REFUSED);
    cr_assert_str_eq(refused->sqlstate, "3D000");
    cr_assert(strstr(refused->message, "there_is_no_such_database"));
    for (int i = 0; i < event_count; i++)
        cr_assert_neq(events[i].kind, QURING_EVENT_RETRYING, "only a query makes it try again");
}

/* A statement whose plan went stale is parsed again, for the reason that the server gave. */
Test(pg_trace, a_plan_that_is_stale) {
    begin(live_url(), &(quring_db_options){.connection_count = 1});
    live_script(
        &live, "drop table if exists trace_plan;\ncreate table trace_plan(a int4);\ninsert into trace_plan values (1)");
    for (int i = 0; i < 2; i++)
        cr_assert_eq(live_int(&live, "select * from trace_plan"), 1);
    live_exec(&live, "alter table trace_plan alter a type int8");
    take();
    cr_assert_eq(live_int(&live, "select * from trace_plan"), 1);
    take();
    const quring_event *retried = find(QURING_EVENT_RETRIED);
    cr_assert_str_eq(retried->sqlstate, "0A000");
    cr_assert(strstr(retried->message, "cached plan"), "%s", retried->message);
    live_exec(&live, "drop table trace_plan");
}
