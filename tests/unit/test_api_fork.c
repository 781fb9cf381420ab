/* SPDX-License-Identifier: MIT */
/* A child process has the engine's memory, but not its ring: it is told so, and the parent's engine goes on. */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_one(quring_engine *engine, quring_db *db) {
    quring_done done;
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 1"}, NULL), 0);
    while (quring_reap(engine, &done, 1) == 0)
        cr_assert_geq(quring_run(engine, 1, QURING_FOREVER), 0);
    cr_assert_eq(done.status, QURING_OK);
    cr_assert_eq(quring_release(engine, done.id), 0);
}

Test(api_fork, the_child_is_refused) {
    quring_engine *engine;
    quring_db *db;
    cr_assert_eq(quring_engine_open(NULL, &engine), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
    run_one(engine, db);
    pid_t child = fork();
    if (child == 0) {
        bool refused = quring_run(engine, 1, 1000) == QURING_EFORKED && quring_shutdown(engine, 0) == QURING_EFORKED;
        quring_engine_close(engine);
        _exit(refused ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %d", status);
    run_one(engine, db);
    quring_engine_close(engine);
}
