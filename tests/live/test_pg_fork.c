/* SPDX-License-Identifier: MIT */
/* A child process shares its parent's sockets. Whatever it calls, the server and the parent see nothing of it. */
#include "lib/foreign_caller.h"
#include "lib/live.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct live live;

static void open_two(void) {
    live_open(&live, &(quring_db_options){.connection_count = 2});
}

static void close_both(void) {
    live_close(&live);
}

TestSuite(pg_fork, .init = open_two, .fini = close_both);

static void fork_and_call(quring_statement *statement, quring_id id) {
    struct foreign_caller who = {live.engine, live.db, statement, id, true};
    pid_t child = fork();
    if (child == 0) {
        const char *failed = foreign_calls(&who);
        if (failed)
            fprintf(stderr, "in the child: %s\n", failed);
        _exit(failed != NULL);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %d", status);
}

Test(pg_fork, a_child_leaves_what_is_in_flight_alone) {
    struct ledger ledger;
    quring_statement *statement;
    quring_id id = 0;
    ledger_init(&ledger, 300);
    cr_assert_eq(quring_prepare(live.db, "select $1::int8, pg_sleep(0.001)", &statement), 0);
    for (uint64_t i = 0; i < 300; i++) {
        quring_query query = {
            .statement = statement, .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))), .user_data = i};
        id = live_submit(&live, &query);
        if (i == 200)
            cr_assert_geq(quring_run(live.engine, 1, QURING_FOREVER), 0);
    }
    fork_and_call(statement, id);
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(ledger.by_status[QURING_OK], 300);
    quring_statement_release(statement);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_eq(stats.connection_lost_count, 0);
    ledger_free(&ledger);
}
