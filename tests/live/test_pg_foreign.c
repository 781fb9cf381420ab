/* SPDX-License-Identifier: MIT */
/*
 * In a foreign event loop nothing calls the engine but what quring_fd() and quring_timeout_ns() ask for: here epoll never
 * wakes for any other reason, so whatever the engine keeps to itself shows as a loop that sleeps too long.
 */
#include "lib/live.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SLEEP_MAX_MS = 60000 }; /* by then it is stuck, on any machine */

struct loop {
    struct live live;
    int epoll;
    uint32_t turns;
};

static void loop_open_engine(struct loop *loop, const quring_options *engine, const quring_db_options *options) {
    live_open_url(&loop->live, live_url(), engine, options);
    loop->turns = 0;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    cr_assert_eq(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, quring_fd(loop->live.engine), &event), 0);
}

static void loop_open(struct loop *loop, const quring_db_options *options) {
    loop_open_engine(loop, NULL, options);
}

static void loop_close(struct loop *loop) {
    close(loop->epoll);
    live_close(&loop->live);
}

/* One sleep as the header has it. False: the engine asked for none of it, and nothing came: no event, no EINTR. */
static bool loop_turn(struct loop *loop) {
    uint64_t ns = quring_timeout_ns(loop->live.engine);
    int ms = ns > SLEEP_MAX_MS * LIVE_MS ? SLEEP_MAX_MS : (int)((ns + LIVE_MS - 1) / LIVE_MS);
    struct epoll_event event;
    int ready = epoll_wait(loop->epoll, &event, 1, ms);
    cr_assert_geq(quring_run(loop->live.engine, 0, 0), 0);
    loop->turns++;
    return ready != 0 || ms < SLEEP_MAX_MS;
}

static void loop_drain(struct loop *loop, struct ledger *ledger) {
    cr_assert_geq(quring_run(loop->live.engine, 0, 0), 0);
    while (quring_pending(loop->live.engine)) {
        live_reap(&loop->live, ledger_note, ledger);
        if (!quring_pending(loop->live.engine))
            break;
        cr_assert(loop_turn(loop), "asleep for %d ms with %u queries out after %u turns", SLEEP_MAX_MS,
                  quring_pending(loop->live.engine), loop->turns);
    }
}

static void submit_some(struct loop *loop, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        live_submit(&loop->live, &(quring_query){.sql = "select $1::int8",
                                                 .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                                 .user_data = i});
}

static void run_some(struct loop *loop, uint32_t count) {
    struct ledger ledger;
    ledger_init(&ledger, count);
    submit_some(loop, count);
    loop_drain(loop, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(ledger.by_status[QURING_OK], count);
    ledger_free(&ledger);
}

/* From the first connection on: jobs that connect end while the loop sleeps. */
Test(pg_foreign, connects_and_answers) {
    struct loop loop;
    loop_open(&loop, &(quring_db_options){.connection_count = 4, .depth = 8});
    for (uint32_t count = 1; count <= 3000; count = count * 3 + 1)
        run_some(&loop, count);
    for (int i = 0; i < 200; i++)
        run_some(&loop, 1);
    loop_close(&loop);
}

/* Without DEFER_TASKRUN completions run on the loop's own thread and interrupt its sleep. */
Test(pg_foreign, on_the_second_rung_of_the_ladder) {
    struct loop loop;
    loop_open_engine(&loop, &(quring_options){.no_defer_taskrun = true}, &(quring_db_options){.connection_count = 4});
    for (uint32_t count = 1; count <= 3000; count = count * 3 + 1)
        run_some(&loop, count);
    for (int i = 0; i < 200; i++)
        run_some(&loop, 1);
    loop_close(&loop);
}

/* It sleeps when there is nothing to do: no spinning on a descriptor or a timeout that never settles. */
Test(pg_foreign, does_not_spin) {
    struct loop loop;
    struct epoll_event event;
    loop_open(&loop, &(quring_db_options){.connection_count = 2});
    live_connect(&loop.live, 2);
    run_some(&loop, 100);
    uint32_t turns = 0;
    for (uint64_t until = live_now_ns() + 300 * LIVE_MS; live_now_ns() < until; turns++) {
        uint64_t ns = quring_timeout_ns(loop.live.engine);
        epoll_wait(loop.epoll, &event, 1, ns < 50 * LIVE_MS ? (int)(ns / LIVE_MS) : 50);
        cr_assert_eq(quring_run(loop.live.engine, 0, 0), 0);
    }
    cr_assert_lt(turns, 40, "%u turns in 300 ms with nothing to do", turns);
    cr_assert_eq(quring_timeout_ns(loop.live.engine), QURING_FOREVER);
    cr_assert_eq(epoll_wait(loop.epoll, &event, 1, 100), 0, "readable with nothing to collect");
    loop_close(&loop);
}

Test(pg_foreign, timeouts_of_queries) {
    struct loop loop;
    struct live_gate gate;
    struct ledger ledger;
    loop_open(&loop, &(quring_db_options){.connection_count = 1});
    run_some(&loop, 1);
    ledger_init(&ledger, 1);
    live_gate_close(&gate);
    live_submit(&loop.live, &(quring_query){.sql = "select " LIVE_AT_GATE, .timeout_ns = 100 * LIVE_MS});
    loop_drain(&loop, &ledger);
    cr_assert_eq(ledger.by_status[QURING_TIMEOUT], 1);
    live_gate_open(&gate);
    ledger_free(&ledger);
    loop_close(&loop);
}

static void *wake_soon(void *engine) {
    usleep(50000);
    quring_wake(engine);
    return NULL;
}

/* Each of several, with nothing else going on. */
Test(pg_foreign, wakes) {
    struct loop loop;
    loop_open(&loop, &(quring_db_options){.connection_count = 1});
    run_some(&loop, 1);
    for (int i = 0; i < 4; i++) {
        while (quring_timeout_ns(loop.live.engine) == 0)
            quring_run(loop.live.engine, 0, 0);
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, wake_soon, loop.live.engine), 0);
        struct epoll_event event;
        cr_assert_eq(epoll_wait(loop.epoll, &event, 1, SLEEP_MAX_MS), 1, "wake %d went unseen", i);
        quring_run(loop.live.engine, 0, 0);
        pthread_join(thread, NULL);
    }
    loop_close(&loop);
}
