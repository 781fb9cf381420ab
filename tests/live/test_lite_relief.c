/* SPDX-License-Identifier: MIT */
/*
 * Reads beside one that is within a single step of SQLite's machine, for as long as the test likes: the step calls a function that
 * waits for the test. The reads must go by over another lane, though nothing has told that the first one takes long.
 */
#include "lib/lite_files.h"

#include <semaphore.h>
#include <sqlite3.h>

enum { READS = 40 };

static struct live live;
static sem_t reached, opened;

/* A sem_wait() that a signal has ended is begun again. */
static void gate(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sem_post(&reached);
    while (sem_wait(&opened) != 0)
        continue;
    sqlite3_result_value(context, values[0]);
}

static int add_gate(sqlite3 *handle, char **message, const void *api) {
    (void)message, (void)api;
    return sqlite3_create_function_v2(handle, "gate", 1, SQLITE_UTF8, NULL, gate, NULL, NULL, NULL);
}

static void setup(void) {
    sem_init(&reached, 0, 0);
    sem_init(&opened, 0, 0);
    cr_assert_eq(sqlite3_auto_extension((void (*)(void))add_gate), SQLITE_OK);
    files_begin();
}

static void teardown(void) {
    live_close(&live);
    files_end();
}

TestSuite(lite_relief, .init = setup, .fini = teardown);

static void submit_reads(uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        live_submit(&live, &(quring_query){.sql = "select 1", .user_data = i});
}

static void await_reads(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        quring_done done = live_wait(&live);
        cr_assert(done.user_data < READS, "the read at the gate ended before it was opened");
        live_check_ok(&done, "a read that goes by");
        live_release(&live, &done);
    }
}

static void open_gate(void) {
    sem_post(&opened);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.user_data, READS);
    live_check_ok(&done, "the read at the gate");
    live_release(&live, &done);
}

static void submit_at_gate(void) {
    live_submit(&live, &(quring_query){.sql = "select gate(1)", .user_data = READS});
}

Test(lite_relief, reads_go_by_one_that_is_within_a_step) {
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 2});
    live_exec(&live, "create table t(a)");
    submit_at_gate();
    while (sem_trywait(&reached) != 0)
        quring_run(live.engine, 1, LIVE_MS);
    submit_reads(READS);
    await_reads(READS);
    open_gate();
}

/* A lane takes one at a time here, so all others are in the queue. */
Test(lite_relief, so_do_those_that_came_with_it) {
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 2, .depth = 1});
    live_exec(&live, "create table t(a)");
    submit_at_gate();
    submit_reads(READS);
    await_reads(READS);
    open_gate();
}

Test(lite_relief, lanes_are_woken_one_after_the_other) {
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 4, .depth = 1});
    live_exec(&live, "create table t(a)");
    for (int i = 0; i < 3; i++)
        submit_at_gate();
    submit_reads(READS);
    await_reads(READS);
    for (int i = 0; i < 3; i++)
        open_gate();
}

/* The lane has taken others with the one at the gate. It keeps them until it is found not to let go of that. */
Test(lite_relief, so_do_those_that_were_taken_with_one_that_is_given_up) {
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 2});
    live_exec(&live, "create table t(a)");
    quring_id id = live_submit(&live, &(quring_query){.sql = "select gate(1)", .user_data = READS});
    submit_reads(READS);
    while (sem_trywait(&reached) != 0)
        quring_run(live.engine, UINT32_MAX, LIVE_MS);
    cr_assert_eq(quring_cancel(live.engine, id), 0);
    bool given_up = false;
    for (int i = 0; i < READS + 1; i++) {
        quring_done done = live_wait(&live);
        given_up |= done.id == id;
        cr_assert_eq(done.status, done.id == id ? QURING_CANCELLED : QURING_OK, "%s", quring_status_name(done.status));
        live_release(&live, &done);
    }
    cr_assert(given_up);
    sem_post(&opened);
}
