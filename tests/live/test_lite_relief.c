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
