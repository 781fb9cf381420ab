/* SPDX-License-Identifier: MIT */
/* What quring_run() waits for, and what ends the wait. No test here depends on how long anything takes. */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static quring_engine *engine;
static quring_db *db;

static void begin(void) {
    cr_assert_eq(quring_engine_open(NULL, &engine), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
}

static void end(void) {
    quring_engine_close(engine);
}

TestSuite(api_wait, .init = begin, .fini = end);

static void submit(int count) {
    for (int i = 0; i < count; i++)
        cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 1"}, NULL), 0);
}

static void reap_all(void) {
    quring_done done;
    while (quring_reap(engine, &done, 1) == 1)
        cr_assert_eq(quring_release(engine, done.id), 0);
}

Test(api_wait, it_ends_with_as_many_as_asked_or_with_all) {
    submit(10);
    cr_assert_geq(quring_run(engine, 4, QURING_FOREVER), 4);
    cr_assert_eq(quring_run(engine, 64, QURING_FOREVER), 10);
    cr_assert_eq(quring_run(engine, 64, QURING_FOREVER), 10, "they still wait to be reaped");
    reap_all();
    cr_assert_eq(quring_pending(engine), 0);
}

Test(api_wait, it_never_blocks_for_nothing) {
    cr_assert_eq(quring_run(engine, 0, QURING_FOREVER), 0);
    cr_assert_eq(quring_run(engine, 7, 0), 0);
    submit(1);
    cr_assert_geq(quring_run(engine, 0, QURING_FOREVER), 0);
    while (quring_run(engine, 1, 0) == 0)
        ;
    reap_all();
}

Test(api_wait, with_nothing_pending_its_timeout_ends_it) {
    for (int i = 0; i < 3; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        cr_assert_eq(quring_run(engine, 1, 2000000), 0);
        clock_gettime(CLOCK_MONOTONIC, &to);
        cr_assert_geq((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec, 2000000);
        submit(1);
        cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 1);
        reap_all();
    }
}

/* ---- Waking ---- */

static sem_t wanted;
static atomic_int given;

static void *give_wakes(void *argument) {
    for (int i = 0; i < *(int *)argument; i++) {
        sem_wait(&wanted);
        if (i % 2) /* the other half comes as early as it may */
            usleep(200);
        atomic_fetch_add(&given, 1);
        quring_wake(engine);
    }
    return NULL;
}

/* One return for each wake, and none without. */
Test(api_wait, with_nothing_pending_a_wake_ends_it) {
    int count = 300;
    pthread_t thread;
    sem_init(&wanted, 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, give_wakes, &count), 0);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(atomic_load(&given), i);
        sem_post(&wanted);
        cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 0);
        cr_assert_eq(atomic_load(&given), i + 1, "return %d came without a wake", i);
    }
    pthread_join(thread, NULL);
}

Test(api_wait, a_wake_before_it_is_not_lost) {
    quring_wake(engine);
    quring_wake(engine);
    cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 0);
    cr_assert_eq(quring_run(engine, 1, 2000000), 0, "two wakes count as one");
    submit(3);
    quring_wake(engine);
    cr_assert_geq(quring_run(engine, 4, QURING_FOREVER), 0);
    while (quring_run(engine, 3, QURING_FOREVER) < 3)
        ;
    reap_all();
}

Test(api_wait, a_wake_outlives_shutdown) {
    submit(1);
    (void)quring_run(engine, 0, 0);
    quring_wake(engine);
    cr_assert_eq(quring_shutdown(engine, QURING_FOREVER), 1);
    reap_all();
    cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 0);
}

/* ---- Signals ---- */

static atomic_bool handled, returned;

static void handle(int signal) {
    (void)signal;
    atomic_store(&handled, true);
}

/* Again and again: the first may come before the wait has begun. */
static void *signal_until_returned(void *target) {
    while (!atomic_load(&returned)) {
        pthread_kill(*(pthread_t *)target, SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

Test(api_wait, with_nothing_pending_a_signal_ends_it) {
    pthread_t thread, self = pthread_self();
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handle}, NULL);
    cr_assert_eq(pthread_create(&thread, NULL, signal_until_returned, &self), 0);
    cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 0);
    atomic_store(&returned, true);
    pthread_join(thread, NULL);
    cr_assert(atomic_load(&handled));
}
