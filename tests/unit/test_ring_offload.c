/* SPDX-License-Identifier: MIT */
/* Workers on threads, and waking the reactor: from other threads, from signal handlers, and inside a foreign loop. */
#include "ring/offload.h"
#include "ring/port.h"
#include "ring/ring.h"
#include "ring/ring_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
/* What wakes nobody would end the test's own time: no test says how soon it has to. */
#define FOREVER UINT64_MAX

static struct ring *ring;
static quring_port choice;

/* Two tests of one body. */
#define RING_TEST(name)                                                                                                \
    static void name(void);                                                                                            \
    Test(ring_offload_uring, name) {                                                                                   \
        choice = QURING_PORT_URING;                                                                                    \
        name();                                                                                                        \
    }                                                                                                                  \
    Test(ring_offload_epoll, name) {                                                                                   \
        choice = QURING_PORT_EPOLL;                                                                                    \
        name();                                                                                                        \
    }                                                                                                                  \
    static void name(void)

static void open_ring(void) {
    char message[256] = "";
    struct ring_options options = {.socket_count = 4, .choice = choice};
    int error = ring_open(&options, &ring, message, sizeof message);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        cr_skip_test("no io_uring here: %s", message);
    cr_assert_eq(error, 0, "%s", message);
}

static void turn(uint64_t timeout_ns) {
    int error = ring_turn(ring, timeout_ns);
    cr_assert(error == 0 || error == -EINTR, "ring_turn: %d", error);
}

static uint64_t now(void) {
    struct port *port = ring_port(ring);
    return port->methods->now_ns(port);
}

static void nap(uint64_t ns) {
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* ---- Jobs ---- */

struct work {
    struct job job, report;
    uint32_t number;
    uint64_t nap_ns;
    bool reports, ran, done;
};

static uint32_t run_order, done_order, report_count; /* run_order: by one worker alone */
static pthread_t reactor;

static void on_report(struct job *job) {
    struct work *work = base_container_of(job, struct work, report);
    cr_assert(pthread_equal(pthread_self(), reactor) && !work->done);
    report_count++;
}

static void work_run(struct job *job) {
    struct work *work = base_container_of(job, struct work, job);
    cr_assert(!pthread_equal(pthread_self(), reactor), "a job ran on the reactor's thread");
    cr_assert_eq(work->number, run_order++, "job %u ran out of order", work->number);
    if (work->reports)
        worker_report(job->worker, &work->report);
    if (work->nap_ns)
        nap(work->nap_ns);
    work->ran = true;
}

static void work_done(struct job *job) {
    struct work *work = base_container_of(job, struct work, job);
    cr_assert(pthread_equal(pthread_self(), reactor), "done() came on another thread");
    cr_assert(work->ran && !work->done);
    cr_assert_eq(work->number, done_order++, "job %u came back out of order", work->number);
    work->done = true;
}

static void post(struct worker *worker, struct work *works, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        works[i].number = i;
        works[i].job = (struct job){.run = work_run, .done = work_done};
        works[i].report = (struct job){.done = on_report};
        worker_post(worker, &works[i].job);
    }
}

RING_TEST(jobs_run_and_come_back_in_order) {
    enum { COUNT = 20000 };
    static struct work works[COUNT];
    struct worker *worker;
    open_ring();
    reactor = pthread_self();
    cr_assert_eq(worker_open(ring, "test", &worker), 0);
    for (uint32_t i = 0; i < COUNT; i += 7)
        works[i].reports = true;
    post(worker, works, COUNT);
    while (done_order < COUNT)
        turn(10 * SECOND);
    cr_assert_eq(report_count, (COUNT + 6) / 7);
    cr_assert_eq(ring_counters(ring)->jobs, COUNT + report_count);
    worker_close(worker);
    ring_close(ring);
}

RING_TEST(a_finished_job_ends_a_long_sleep) {
    static struct work work = {.nap_ns = 30 * MS};
    struct worker *worker;
    open_ring();
    reactor = pthread_self();
    cr_assert_eq(worker_open(ring, "test", &worker), 0);
    post(worker, &work, 1);
    while (!work.done)
        turn(FOREVER);
    worker_close(worker);
    ring_close(ring);
}

/* Each job posts itself again from its done(): every finish races with the reactor going to sleep. */
static uint32_t rounds;

static void again_run(struct job *job) {
    (void)job;
}

static void again_done(struct job *job) {
    if (++rounds < 20000)
        worker_post(job->worker, job);
}

RING_TEST(no_finish_is_missed) {
    struct job job = {.run = again_run, .done = again_done};
    struct worker *worker;
    open_ring();
    cr_assert_eq(worker_open(ring, "test", &worker), 0);
    worker_post(worker, &job);
    while (rounds < 20000)
        turn(FOREVER);
    worker_close(worker);
    ring_close(ring);
}

RING_TEST(closing_a_worker_lets_its_jobs_finish) {
    enum { COUNT = 50 };
    static struct work works[COUNT];
    struct worker *worker;
    open_ring();
    reactor = pthread_self();
    cr_assert_eq(worker_open(ring, "test", &worker), 0);
    works[0].nap_ns = 20 * MS;
    post(worker, works, COUNT);
    worker_close(worker);
    for (int i = 0; i < COUNT; i++)
        cr_assert(works[i].ran && !works[i].done);
    while (done_order < COUNT)
        turn(SECOND);
    ring_close(ring);
}

struct tally {
    struct job job;
    atomic_uint *count;
};

static void tally_run(struct job *job) {
    atomic_fetch_add(base_container_of(job, struct tally, job)->count, 1);
}

static uint32_t tally_dones;

static void tally_done(struct job *job) {
    (void)job;
    tally_dones++;
}

RING_TEST(many_workers_share_the_way_back) {
    enum { WORKERS = 4, JOBS = 5000 };
    static struct tally tallies[WORKERS][JOBS];
    struct worker *workers[WORKERS];
    atomic_uint count = 0;
    open_ring();
    for (int l = 0; l < WORKERS; l++)
        cr_assert_eq(worker_open(ring, "test", &workers[l]), 0);
    for (int i = 0; i < JOBS; i++)
        for (int l = 0; l < WORKERS; l++) {
            tallies[l][i] = (struct tally){.job = {.run = tally_run, .done = tally_done}, .count = &count};
            worker_post(workers[l], &tallies[l][i].job);
            if (i % 500 == 0)
                turn(0);
        }
    while (tally_dones < WORKERS * JOBS)
        turn(10 * SECOND);
    cr_assert_eq(atomic_load(&count), WORKERS * JOBS);
    for (int l = 0; l < WORKERS; l++)
        worker_close(workers[l]);
    ring_close(ring);
}

/* ---- Waking ---- */

static void *wake_main(void *argument) {
    (void)argument;
    nap(30 * MS);
    ring_wake(ring);
    return NULL;
}

RING_TEST(another_thread_wakes_it) {
    pthread_t thread;
    open_ring();
    for (int i = 0; i < 5; i++) {
        pthread_create(&thread, NULL, wake_main, NULL);
        while (!ring_take_wake(ring))
            turn(FOREVER);
        pthread_join(thread, NULL);
        cr_assert_not(ring_take_wake(ring));
    }
    ring_close(ring);
}

static void on_alarm(int number) {
    (void)number;
    ring_wake(ring);
}

RING_TEST(a_signal_handler_wakes_it) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval soon = {.it_value.tv_usec = 30000};
    open_ring();
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    while (!ring_take_wake(ring))
        turn(FOREVER);
    ring_close(ring);
}

RING_TEST(a_wake_that_came_first_keeps_the_next_turn_awake) {
    open_ring();
    turn(0);
    ring_wake(ring);
    turn(FOREVER);
    cr_assert(ring_take_wake(ring));
    ring_close(ring);
}

/* With the wake-up's read in flight, and with one that was never collected. */
RING_TEST(closing_takes_the_wake_up_back) {
    for (int i = 0; i < 50; i++) {
        open_ring();
        if (i % 3)
            turn(0);
        if (i % 2)
            ring_wake(ring);
        ring_close(ring);
    }
}

/* ---- Timers ---- */

struct alarm {
    struct timer timer;
    uint64_t at;
    uint32_t number;
};

static uint32_t alarm_count;

static void alarm_fire(struct timer *timer) {
    struct alarm *alarm = base_container_of(timer, struct alarm, timer);
    cr_assert_geq(ring_now_ns(ring), alarm->at);
    cr_assert_eq(alarm->number, alarm_count++, "alarm %u fired out of order", alarm->number);
}

RING_TEST(timers_fire_in_order_and_in_time) {
    enum { COUNT = 20 };
    static struct alarm alarms[COUNT];
    open_ring();
    uint64_t start = now();
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t number = i * 7 % COUNT;
        alarms[number] = (struct alarm){.timer.fire = alarm_fire, .at = start + number * 2 * MS, .number = number};
        cr_assert(timer_set(ring, &alarms[number].timer, alarms[number].at));
    }
    while (alarm_count < COUNT)
        turn(FOREVER);
    cr_assert_eq(ring_next_timer_ns(ring), UINT64_MAX);
    ring_close(ring);
}

/* ---- A foreign loop: poll(2) on the descriptor, turns that do not wait ---- */

static bool poll_and_turn(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int ready = ring_wants_turn(ring) ? 1 : poll(&poll_fd, 1, -1);
    turn(0);
    return ready == 1;
}

RING_TEST(a_foreign_loop_sees_every_job) {
    struct job job = {.run = again_run, .done = again_done};
    struct worker *worker;
    open_ring();
    int fd = ring_poll_fd(ring);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ring_poll_fd(ring), fd);
    cr_assert_eq(worker_open(ring, "test", &worker), 0);
    rounds = 15000;
    worker_post(worker, &job);
    while (rounds < 20000)
        cr_assert(poll_and_turn(fd), "a finished job did not show");
    worker_close(worker);
    ring_close(ring);
}

RING_TEST(a_foreign_loop_sees_a_wake) {
    pthread_t thread;
    open_ring();
    int fd = ring_poll_fd(ring);
    cr_assert_geq(fd, 0);
    for (int i = 0; i < 5; i++) {
        pthread_create(&thread, NULL, wake_main, NULL);
        while (!ring_take_wake(ring))
            cr_assert(poll_and_turn(fd), "a wake did not show");
        pthread_join(thread, NULL);
    }
    ring_close(ring);
}

/* All that a loop needs to know of a job that was posted before the loop asked for the descriptor. */
static void expect_late_watcher_sees(bool finished) {
    static struct work work;
    struct worker *worker;
    work.nap_ns = finished ? 0 : 50 * MS;
    open_ring();
    reactor = pthread_self();
    cr_assert_eq(worker_open(ring, "test", &worker), 0);
    turn(0);
    post(worker, &work, 1);
    while (finished && !offload_waiting(ring))
        nap(MS);
    int fd = ring_poll_fd(ring);
    cr_assert_geq(fd, 0);
    while (!work.done)
        cr_assert(poll_and_turn(fd), "a finished job did not show");
    while (ring_wants_turn(ring) || poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1)
        turn(0); /* there is an end to it */
    worker_close(worker);
    ring_close(ring);
}

RING_TEST(a_foreign_loop_that_comes_late_sees_a_finished_job) {
    expect_late_watcher_sees(true);
}

RING_TEST(a_foreign_loop_that_comes_late_sees_a_job_at_work) {
    expect_late_watcher_sees(false);
}

RING_TEST(a_wake_before_the_first_turn_shows_in_a_foreign_loop) {
    open_ring();
    struct pollfd poll_fd = {.fd = ring_poll_fd(ring), .events = POLLIN};
    cr_assert_geq(poll_fd.fd, 0);
    ring_wake(ring);
    cr_assert_eq(poll(&poll_fd, 1, -1), 1);
    cr_assert(ring_take_wake(ring));
    ring_close(ring);
}
