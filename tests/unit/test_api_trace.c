/* SPDX-License-Identifier: MIT */
/* quring_trace() as a program uses it, over SQLite. */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVENTS = 100 };

static quring_engine *engine;
static quring_db *db;
static quring_event events[EVENTS];
static char path[64], url[96];

static void begin(uint32_t trace_count) {
    cr_assert_eq(quring_engine_open(&(quring_options){.trace_count = trace_count}, &engine), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
}

static void end(void) {
    quring_engine_close(engine);
    engine = NULL;
}

TestSuite(api_trace, .fini = end);

static void ask(const char *sql, uint64_t number, quring_commit_mode commit) {
    const quring_query query = {.db = db, .sql = sql, .user_data = number, .commit = commit};
    cr_assert_eq(quring_submit(engine, &query, NULL), 0, "%s", quring_errmsg(engine));
}

/* Runs until all ended, and releases them. */
static void finish(void) {
    quring_done done;
    while (quring_pending(engine)) {
        cr_assert_geq(quring_run(engine, 1, QURING_FOREVER), 0);
        while (quring_reap(engine, &done, 1) == 1)
            cr_assert_eq(quring_release(engine, done.id), 0);
    }
}

/* "done 0, submitted 1, …" of queries, "connected #1, …" of connections. */
static const char *story(int count) {
    static char text[2000];
    size_t length = 0;
    text[0] = 0;
    for (int i = 0; i < count; i++) {
        const quring_event *event = &events[i];
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s %s%d%s%s", i ? ", " : "",
                                   quring_event_name(event->kind), event->id ? "" : "#",
                                   event->id ? (int)event->user_data : (int)event->connection,
                                   event->sqlstate[0] ? " " : "", event->sqlstate);
    }
    return text;
}

static void expect_story(const char *expected) {
    const char *told = story(quring_trace(engine, events, EVENTS));
    cr_assert_str_eq(told, expected, "\n%s\ninstead of\n%s", told, expected);
}

/* ---- The call ---- */

Test(api_trace, there_is_none_unless_the_program_asks_for_it) {
    begin(0);
    ask("select 1", 0, 0);
    finish();
    cr_assert_eq(quring_trace(engine, events, EVENTS), 0);
}

Test(api_trace, arguments) {
    cr_assert_eq(quring_engine_open(&(quring_options){.trace_count = (1 << 20) + 1}, &engine), QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(NULL), "trace_count"));
    begin(EVENTS);
    ask("select 1", 0, 0);
    cr_assert_eq(quring_trace(NULL, events, EVENTS), QURING_EINVAL);
    cr_assert_eq(quring_trace(engine, NULL, 1), QURING_EINVAL);
    cr_assert_eq(quring_trace(engine, NULL, 0), 0);
    cr_assert_eq(quring_trace(engine, events, EVENTS), 1, "what was refused has taken nothing");
    finish();
}

Test(api_trace, statistics_count_what_was_dropped) {
    quring_stats stats;
    begin(5);
    for (uint64_t i = 0; i < 10; i++)
        ask("select 1", i, 0);
    quring_stats_get(engine, &stats);
    cr_assert_eq(stats.trace_dropped_count, 5);
    expect_story("submitted 5, submitted 6, submitted 7, submitted 8, submitted 9");
    finish();
}

/* ---- SQLite ---- */

Test(api_trace, a_query_of_sqlite) {
    begin(EVENTS);
    ask("select 1 union all select 2", 7, 0);
    finish();
    expect_story("submitted 7, connected #1, sent 7, first row 7, done 7");
    cr_assert_eq(events[4].row_count, 2);
    cr_assert_eq(events[4].connection, 1);
    cr_assert_str_eq(events[4].sql, "select 1 union all select 2");
    cr_assert(events[4].submitted_at_ns <= events[4].sent_at_ns && events[4].sent_at_ns <= events[4].first_row_at_ns &&
              events[4].first_row_at_ns <= events[4].at_ns);
}

Test(api_trace, errors_have_their_words) {
    begin(EVENTS);
    ask("select * from nowhere", 1, 0);
    finish();
    expect_story("submitted 1, connected #1, done 1 42P01");
    cr_assert(strstr(events[2].message, "nowhere"), "%s", events[2].message);
    cr_assert_eq(events[2].status, QURING_SERVER_ERROR);
    ask("create table t(a integer primary key)", 2, 0);
    ask("insert into t values (1), (1) returning a", 3, 0);
    finish();
    expect_story("submitted 2, submitted 3, sent 2, done 2, sent 3, done 3 23505");
}

/* The statement that fails ends the transaction of its group, so each of them is run again. */
Test(api_trace, members_of_a_group_are_retried) {
    begin(EVENTS);
    ask("create table t(a unique)", 0, 0);
    finish();
    (void)quring_trace(engine, events, EVENTS);
    ask("insert into t values (1)", 1, QURING_COMMIT_GROUP);
    ask("insert or rollback into t values (1)", 2, QURING_COMMIT_GROUP);
    finish();
    expect_story(
        "submitted 1, submitted 2, sent 1, retried 1, sent 1, done 1, sent 2, retried 2, sent 2, done 2 23505");
    for (int i = 2; i < 5; i++)
        cr_assert_leq(events[i].at_ns, events[i + 1].at_ns);
}

Test(api_trace, a_query_that_is_given_up_before_it_runs) {
    quring_id id;
    begin(EVENTS);
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 1"}, &id), 0);
    cr_assert_eq(quring_cancel(engine, id), 0);
    expect_story("submitted 0, done 0 57014");
    cr_assert_eq(events[1].status, QURING_CANCELLED);
    cr_assert_eq(events[1].sent_at_ns, 0);
    finish();
}

/* ---- Lives ---- */

Test(api_trace, events_outlive_the_handle_and_the_query) {
    begin(EVENTS);
    ask("select 'kept'", 4, 0);
    finish();
    quring_db_close(db);
    for (quring_stats stats = {.connection_count = 1}; stats.connection_count; quring_stats_get(engine, &stats))
        cr_assert_geq(quring_run(engine, 0, 1000000), 0);
    expect_story("submitted 4, connected #1, sent 4, first row 4, done 4, closed #1 57P01");
    cr_assert_str_eq(events[4].sql, "select 'kept'");
    cr_assert_eq(events[4].db, db);
    cr_assert_str_eq(events[5].message, "the database handle was closed");
}

/* ---- Files ---- */

static void make_file(void) {
    snprintf(path, sizeof path, "/tmp/quring-trace-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    snprintf(url, sizeof url, "sqlite:///%s?mode=rwc", path);
}

Test(api_trace, a_file_that_can_not_be_opened) {
    cr_assert_eq(quring_engine_open(&(quring_options){.trace_count = EVENTS}, &engine), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite:////nowhere/at/all.db", NULL, &db), 0);
    ask("insert into t values (1)", 1, 0);
    finish();
    int count = quring_trace(engine, events, EVENTS);
    cr_assert_geq(count, 3, "%s", story(count));
    cr_assert_eq(events[1].kind, QURING_EVENT_REFUSED, "%s", story(count));
    cr_assert_eq(strlen(events[1].sqlstate), 5);
    cr_assert(events[1].message[0]);
    cr_assert_eq(events[count - 1].status, QURING_NOT_SENT);
    cr_assert_str_eq(events[count - 1].sqlstate, events[1].sqlstate);
}

Test(api_trace, a_file_that_is_replaced_is_a_lost_connection) {
    make_file();
    cr_assert_eq(quring_engine_open(&(quring_options){.trace_count = EVENTS}, &engine), 0);
    cr_assert_eq(quring_db_open(engine, url, &(quring_db_options){.connection_count = 1}, &db), 0);
    ask("create table t(a)", 0, 0);
    finish();
    (void)quring_trace(engine, events, EVENTS);
    unlink(path);
    ask("insert into t values (1)", 1, 0);
    finish();
    expect_story("submitted 1, lost #1 58P01, done 1 58P01");
    cr_assert(strstr(events[1].message, "deleted or replaced"));
    cr_assert_eq(events[2].status, QURING_NOT_SENT);
    ask("create table t(a)", 2, 0);
    finish();
    int count = quring_trace(engine, events, EVENTS);
    cr_assert_eq(events[1].kind, QURING_EVENT_CONNECTED, "%s", story(count));
    end();
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}
