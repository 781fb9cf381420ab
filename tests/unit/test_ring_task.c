/* SPDX-License-Identifier: MIT */
#include "ring/ring.h"
#include "ring/task.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct ring *ring;
static sem_t begun, told, gone;
static sigset_t blocked;
static pthread_t reactor;
static int done_count, detached_priority;

static void setup(void) {
    char message[256] = "";
    struct ring_options options = {.socket_count = 4};
    int error = ring_open(&options, &ring, message, sizeof message);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        cr_skip_test("no io_uring here: %s", message);
    cr_assert_eq(error, 0, "%s", message);
    sem_init(&begun, 0, 0);
    sem_init(&told, 0, 0);
    sem_init(&gone, 0, 0);
    reactor = pthread_self();
    done_count = 0;
}

TestSuite(ring_task, .init = setup);

static void wait_told(struct task *task) {
    (void)task;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    sem_post(&begun);
    while (sem_wait(&told) && errno == EINTR)
        ;
}

static void on_done(struct task *task) {
    cr_assert(pthread_equal(pthread_self(), reactor));
    done_count++;
    free(task);
}

static void on_detached(struct task *task) {
    cr_assert_not(pthread_equal(pthread_self(), reactor));
    detached_priority = getpriority(PRIO_PROCESS, 0);
    free(task);
    sem_post(&gone);
}

static struct task *start(void) {
    struct task *task = calloc(1, sizeof *task);
    task->run = wait_told;
    task->done = on_done;
    task->detached = on_detached;
    cr_assert_eq(task_start(ring, "task", task), 0);
    return task;
}

Test(ring_task, comes_back_to_the_reactor) {
    for (int i = 1; i <= 200; i++) {
        (void)start();
        sem_post(&told);
        while (done_count < i)
            (void)ring_turn(ring, UINT64_MAX);
    }
    ring_close(ring);
}

Test(ring_task, detached_it_outlives_the_ring) {
    struct task *task = start();
    (void)ring_turn(ring, 0);
    cr_assert(task_detach(task));
    ring_close(ring);
    sem_post(&told);
    while (sem_wait(&gone) && errno == EINTR)
        ;
    cr_assert_eq(done_count, 0);
}

/* Its work is of no use any more, and must not keep the reactor waiting for a processor. */
Test(ring_task, detached_it_has_the_lowest_priority) {
    int before = getpriority(PRIO_PROCESS, 0);
    struct task *task = start();
    while (sem_wait(&begun) && errno == EINTR)
        ;
    cr_assert(task_detach(task));
    sem_post(&told);
    while (sem_wait(&gone) && errno == EINTR)
        ;
    cr_assert_eq(detached_priority, 19, "%d", detached_priority);
    cr_assert_eq(getpriority(PRIO_PROCESS, 0), before, "the reactor's own");
    ring_close(ring);
}

/* Told to go on and detached at once: exactly one of both ends comes. */
Test(ring_task, detaching_races_with_the_end) {
    int detached = 0;
    for (int i = 0; i < 300; i++) {
        struct task *task = start();
        sem_post(&told);
        for (volatile int spin = 0; spin < 200 * (i % 50); spin++)
            ;
        int before = done_count;
        if (task_detach(task)) {
            detached++;
            while (sem_wait(&gone) && errno == EINTR)
                ;
            continue;
        }
        while (done_count == before)
            (void)ring_turn(ring, UINT64_MAX);
    }
    cr_assert_eq(detached + done_count, 300);
    ring_close(ring);
}

/* The application's handler sees a fault that happens on a thread of ours, and that alone. */
Test(ring_task, threads_take_the_signals_of_their_own_faults_alone) {
    (void)start();
    sem_post(&told);
    while (!done_count)
        (void)ring_turn(ring, UINT64_MAX);
    for (int number = 1; number <= SIGSYS; number++) {
        bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
        bool never = number == SIGKILL || number == SIGSTOP;
        cr_expect_eq(sigismember(&blocked, number), !fault && !never, "signal %d", number);
    }
    ring_close(ring);
}
