/* SPDX-License-Identifier: MIT */
/*
 * An engine belongs to one thread of one process. All others are told so, whatever they call, and what they call leaves
 * no trace: what is in flight meanwhile ends as if nothing had been.
 */
#include "base/owner.h"
#include "lib/foreign_caller.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct foreign_caller who;

static void begin(void) {
    cr_assert_eq(quring_engine_open(NULL, &who.engine), 0);
    cr_assert_eq(quring_db_open(who.engine, "sqlite://", NULL, &who.db), 0);
    cr_assert_eq(quring_prepare(who.db, "select 3", &who.statement), 0);
}

static void end(void) {
    quring_statement_release(who.statement);
    quring_engine_close(who.engine);
}

TestSuite(api_owner, .init = begin, .fini = end);

/* Some waiting to be sent, some with a lane, some done. */
static void submit_many(void) {
    for (int i = 0; i < 300; i++) {
        quring_query query = {.db = who.db, .statement = who.statement, .user_data = (uint64_t)i};
        cr_assert_eq(quring_submit(who.engine, &query, &who.id), 0);
        if (i == 100)
            cr_assert_geq(quring_run(who.engine, 0, 0), 0);
    }
}

static void expect_all(void) {
    quring_done done;
    uint64_t seen = 0;
    while (quring_pending(who.engine)) {
        cr_assert_geq(quring_run(who.engine, 1, QURING_FOREVER), 0);
        while (quring_reap(who.engine, &done, 1) == 1) {
            cr_assert_eq(done.status, QURING_OK);
            cr_assert_eq(quring_release(who.engine, done.id), 0);
            seen++;
        }
    }
    cr_assert_eq(seen, 300);
}

/* A child's own engine turns. SQLite is not for it: the parent's lane may have held one of SQLite's locks at the fork. */
static bool turns_by_itself(void) {
    quring_engine *engine;
    if (quring_engine_open(NULL, &engine))
        return false;
    bool turns = quring_run(engine, 0, 0) == 0;
    quring_engine_close(engine);
    return turns;
}

/* A thread's own engine works. */
static bool works_by_itself(void) {
    quring_engine *engine;
    quring_db *db;
    if (quring_engine_open(NULL, &engine) || quring_db_open(engine, "sqlite://", NULL, &db) ||
        quring_submit(engine, &(quring_query){.db = db, .sql = "select 1"}, NULL))
        return false;
    bool works = quring_run(engine, 1, QURING_FOREVER) == 1;
    quring_engine_close(engine);
    return works;
}

static void fork_and_call(void) {
    pid_t child = fork();
    if (child == 0) {
        who.child = true;
        const char *failed = foreign_calls(&who);
        if (!failed && !turns_by_itself())
            failed = "an engine of its own";
        if (!failed)
            failed = foreign_calls(&who); /* nor do they become one by owning another */
        if (failed)
            fprintf(stderr, "in the child: %s\n", failed);
        _exit(failed != NULL);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %d", status);
}

Test(api_owner, a_child_process_is_refused) {
    submit_many();
    fork_and_call();
    expect_all();
    submit_many();
    fork_and_call();
    expect_all();
}

static void *call_there(void *failed) {
    *(const char **)failed = foreign_calls(&who);
    if (!*(const char **)failed && !works_by_itself())
        *(const char **)failed = "an engine of its own";
    return NULL;
}

/* One after the other, so that threads get the memory of threads before. */
Test(api_owner, another_thread_is_refused) {
    submit_many();
    for (int i = 0; i < 3; i++) {
        const char *failed;
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, call_there, &failed), 0);
        pthread_join(thread, NULL);
        cr_assert(!failed, "%s", failed);
    }
    expect_all();
}

static quring_engine *orphan;

static void *open_and_leave(void *error) {
    *(int *)error = quring_engine_open(NULL, &orphan);
    return NULL;
}

static void *use_orphan(void *error) {
    *(int *)error = quring_run(orphan, 0, 0);
    return NULL;
}

/* The next thread has the stack, the thread-local memory and maybe the pthread_t of the one that ended. */
Test(api_owner, a_thread_that_ended_is_succeeded_by_none) {
    pthread_t thread;
    int error = -1;
    cr_assert_eq(pthread_create(&thread, NULL, open_and_leave, &error), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(error, 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&thread, NULL, use_orphan, &error), 0);
        pthread_join(thread, NULL);
        cr_assert_eq(error, QURING_EFORKED);
    }
}
