/* SPDX-License-Identifier: MIT */
/* Turns of the reactor over the simulated kernel: timers, jobs and wake-ups. */
#include "lib/seeds.h"
#include "ring/offload.h"
#include "ring/port_sim.h"
#include "ring/ring.h"

#include <criterion/criterion.h>
#include <errno.h>

enum { SECOND = 1000000000 };

struct world {
    struct sim *sim;
    struct ring *ring;
};

static void world_open_spinning(struct world *world, const struct sim_options *options, uint64_t spin_ns) {
    char message[256] = "";
    *world = (struct world){.sim = sim_new(options)};
    seeds_watch(world->sim);
    struct ring_options ring = {.socket_count = 4, .spin_ns = spin_ns, .port = sim_port(world->sim)};
    LAW(ring_open(&ring, &world->ring, message, sizeof message) == 0, "%s", message);
}

static void world_open(struct world *world, const struct sim_options *options) {
    world_open_spinning(world, options, 0);
}

static void world_close(struct world *world) {
    ring_close(world->ring);
    sim_free(world->sim);
    seeds_watch(NULL);
}

static void turn(struct world *world, uint64_t timeout_ns) {
    int error = ring_turn(world->ring, timeout_ns);
    LAW(error == 0 || error == -EINTR, "ring_turn: %d", error);
}

/* ---- Timers ---- */

struct alarm {
    struct timer timer;
    struct world *world;
    uint64_t at;
    uint32_t fired;
};

static void alarm_fire(struct timer *timer) {
    struct alarm *alarm = base_container_of(timer, struct alarm, timer);
    alarm->fired++;
    uint64_t now = ring_now_ns(alarm->world->ring);
    LAW(now >= alarm->at, "a timer fired %llu ns early", (unsigned long long)(alarm->at - now));
    LAW(now - alarm->at < 10000, "a timer fired %llu ns late", (unsigned long long)(now - alarm->at));
}

static void timer_seed(uint64_t seed) {
    enum { COUNT = 40 };
    struct world world;
    struct alarm alarms[COUNT] = {0};
    /* Around the wraps of milliseconds in 31 and 32 bits, too. */
    static const uint64_t starts[] = {0, 0x7fffffffull * 1000000 - SECOND, 0xffffffffull * 1000000 - SECOND,
                                      1ull << 62};
    struct sim_options options = {.seed = seed, .start_ns = starts[seed % 4], .interrupt = 100};
    world_open(&world, &options);
    struct rng *rng = sim_rng(world.sim);
    for (int i = 0; i < COUNT; i++) {
        alarms[i] = (struct alarm){.timer.fire = alarm_fire, .world = &world};
        for (uint64_t times = 1 + rng_below(rng, 2); times; times--) { /* set, and moved at times */
            alarms[i].at = sim_now_ns(world.sim) + rng_below(rng, SECOND);
            LAW(timer_set(world.ring, &alarms[i].timer, alarms[i].at), "timer_set");
        }
    }
    for (int i = 0; i < COUNT; i += 5)
        timer_clear(world.ring, &alarms[i].timer);
    while (ring_next_timer_ns(world.ring) != UINT64_MAX)
        turn(&world, UINT64_MAX);
    for (int i = 0; i < COUNT; i++)
        LAW(alarms[i].fired == (i % 5 != 0), "timer %d fired %u times", i, alarms[i].fired);
    world_close(&world);
}

Test(sim_turns, timers_fire_once_and_in_time) {
    seeds_run(40, timer_seed);
}

/* The program may do something else between two turns: that time counts. */
Test(sim_turns, a_timer_is_in_time_after_a_pause) {
    struct world world;
    struct sim_options options = {.seed = 1, .start_ns = SECOND};
    world_open(&world, &options);
    struct alarm alarm = {.timer.fire = alarm_fire, .world = &world, .at = sim_now_ns(world.sim) + 10000000};
    cr_assert(timer_set(world.ring, &alarm.timer, alarm.at));
    turn(&world, 0);
    sim_wait(world.sim, 9000000);
    turn(&world, UINT64_MAX);
    cr_assert_eq(alarm.fired, 1u);
    world_close(&world);
}

/* Looking for events without sleeping lasts as long as it should, and no longer than the caller or a timer allows. */
Test(sim_turns, spinning_keeps_to_its_time) {
    struct world world;
    struct sim_options options = {.seed = 1, .start_ns = SECOND};
    world_open_spinning(&world, &options, 1000000);
    sim_wait(world.sim, 5000000); /* the program did something else */
    uint64_t before = sim_now_ns(world.sim), enters = sim_port(world.sim)->enter_count;
    turn(&world, 3000000);
    uint64_t took = sim_now_ns(world.sim) - before;
    cr_expect(took >= 3000000 && took < 3010000, "3 ms took %llu ns", (unsigned long long)took);
    cr_expect_gt(sim_port(world.sim)->enter_count - enters, 1000u, "it slept at once");
    before = sim_now_ns(world.sim);
    turn(&world, 20000);
    took = sim_now_ns(world.sim) - before;
    cr_expect(took >= 20000 && took < 30000, "20 us took %llu ns", (unsigned long long)took);
    struct alarm alarm = {.timer.fire = alarm_fire, .world = &world, .at = sim_now_ns(world.sim) + 100000};
    cr_assert(timer_set(world.ring, &alarm.timer, alarm.at));
    turn(&world, UINT64_MAX);
    cr_expect_eq(alarm.fired, 1u);
    world_close(&world);
}

/* ---- Jobs on the reactor's own thread ---- */

struct work {
    struct job job, report;
    struct world *world;
    struct worker *worker;
    uint32_t number, runs, dones;
};

static uint32_t work_done_count, report_count;

static void work_report_done(struct job *job) {
    (void)job;
    report_count++;
}

static void work_run(struct job *job) {
    struct work *work = base_container_of(job, struct work, job);
    work->runs++;
    if (work->number % 3 == 0) {
        work->report.done = work_report_done;
        worker_report(work->worker, &work->report);
    }
}

static void work_done(struct job *job) {
    struct work *work = base_container_of(job, struct work, job);
    LAW(work->runs == ++work->dones, "done %u times after %u runs", work->dones, work->runs);
    LAW(work->dones > 1 || work->number == work_done_count, "job %u out of order", work->number);
    work_done_count++;
    if (work->dones == 1 && work->number % 2) /* may be posted again from here */
        worker_post(work->worker, job);
}

Test(sim_turns, jobs_run_in_order_and_come_back) {
    enum { COUNT = 12 };
    struct world world;
    struct work works[COUNT] = {0};
    struct sim_options options = {.seed = 1};
    struct worker *worker;
    world_open(&world, &options);
    cr_assert_eq(worker_open(world.ring, "test", &worker), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        works[i] =
            (struct work){.job = {.run = work_run, .done = work_done}, .world = &world, .worker = worker, .number = i};
        worker_post(worker, &works[i].job);
    }
    for (int i = 0; i < 3; i++)
        turn(&world, 0);
    cr_assert_eq(work_done_count, COUNT + COUNT / 2u);
    cr_assert_eq(report_count, 4 + 2); /* 0, 3, 6, 9, and the odd ones again */
    cr_assert_eq(ring_counters(world.ring)->jobs, COUNT + COUNT / 2u + 6);
    worker_close(worker);
    world_close(&world);
}

/* A turn does not sleep while a job waits to be run. */
Test(sim_turns, a_posted_job_keeps_the_turn_awake) {
    struct world world;
    struct sim_options options = {.seed = 1};
    struct worker *worker;
    world_open(&world, &options);
    cr_assert_eq(worker_open(world.ring, "test", &worker), 0);
    struct work work = {.job = {.run = work_run, .done = work_done}, .world = &world, .worker = worker, .number = 1};
    work_done_count = 1;
    worker_post(worker, &work.job);
    turn(&world, UINT64_MAX);
    cr_assert_eq(work.dones, 1);
    turn(&world, UINT64_MAX); /* it posted itself again */
    cr_assert_eq(work.dones, 2);
    worker_close(worker);
    world_close(&world);
}

/* ---- Waking ---- */

Test(sim_turns, wake_ends_a_wait_once) {
    struct world world;
    struct sim_options options = {.seed = 1};
    world_open(&world, &options);
    cr_assert_not(ring_take_wake(world.ring));
    ring_wake(world.ring);
    uint64_t before = sim_now_ns(world.sim);
    turn(&world, UINT64_MAX);
    cr_assert_lt(sim_now_ns(world.sim) - before, 10000u);
    cr_assert(ring_take_wake(world.ring));
    cr_assert_not(ring_take_wake(world.ring));
    world_close(&world);
}
