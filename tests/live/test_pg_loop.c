/* SPDX-License-Identifier: MIT */
/* Waiting: timeouts, cancelling, waking from a thread and a signal handler, and somebody else's event loop. */
#include "lib/live.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct live live;
static struct live_gate gate;

static void open_one(void) {
    live_open(&live, &(quring_db_options){.connection_count = 1});
}

/* With queries still waiting on the server, some of them. */
static void close_one(void) {
    live_close(&live);
    if (gate.keeper.engine)
        live_gate_open(&gate);
}

TestSuite(pg_loop, .init = open_one, .fini = close_one);

/* ---- Waits ---- */

Test(pg_loop, run_without_anything_out_sleeps_for_its_timeout) {
    uint64_t start = live_now_ns();
    cr_assert_eq(quring_run(live.engine, 1, 50 * LIVE_MS), 0);
    cr_assert_geq(live_now_ns() - start, 50 * LIVE_MS);
    cr_assert_eq(quring_run(live.engine, 1, 0), 0);
    cr_assert_eq(quring_run(live.engine, 0, QURING_FOREVER), 0);
}

Test(pg_loop, run_keeps_its_own_timeout) {
    live_exec(&live, "select 1");
    live_gate_close(&gate);
    live_submit(&live, &(quring_query){.sql = "select " LIVE_AT_GATE});
    uint64_t start = live_now_ns();
    cr_assert_eq(quring_run(live.engine, 1, 50 * LIVE_MS), 0);
    cr_assert_geq(live_now_ns() - start, 50 * LIVE_MS);
    cr_assert_eq(quring_run(live.engine, 0, 0), 0);
}

Test(pg_loop, run_waits_for_as_many_as_asked) {
    for (int i = 0; i < 10; i++)
        live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.01)"});
    cr_assert_geq(quring_run(live.engine, 7, QURING_FOREVER), 7);
    cr_assert_eq(quring_pending(live.engine), 10);
    cr_assert_eq(quring_run(live.engine, 100, QURING_FOREVER), 10);
    live_drain(&live, NULL, NULL);
}

static void *run_there(void *result) {
    *(int *)result = quring_run(live.engine, 0, 0);
    return NULL;
}

/* The kernel itself keeps an engine to its thread. */
Test(pg_loop, run_on_another_thread_is_refused) {
    live_exec(&live, "select 1");
    int result = 0;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_there, &result), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(result, QURING_EFORKED, "%s", quring_strerror(result));
    cr_assert_eq(live_int(&live, "select 2"), 2);
}

/* ---- Timeouts ---- */

static void submit_numbered(const char *sql, uint64_t number, uint64_t timeout_ns) {
    live_submit(&live, &(quring_query){.sql = sql,
                                       .params = QURING_PARAMS(quring_int64((int64_t)live_identity(number))),
                                       .user_data = number,
                                       .timeout_ns = timeout_ns});
}

/* The reply that comes too late is dropped, and the neighbours on the connection get their own. */
Test(pg_loop, timeout_ends_one_and_spares_its_neighbours) {
    struct ledger ledger;
    ledger_init(&ledger, 60);
    live_exec(&live, "select 1");
    live_gate_close(&gate);
    for (uint32_t i = 0; i < 60; i++) {
        if (i % 20 == 7)
            submit_numbered("select $1::int8, " LIVE_AT_GATE, i, 100 * LIVE_MS);
        else
            submit_numbered("select $1::int8, 'fast'", i, 0);
    }
    while (ledger.by_status[QURING_TIMEOUT] < 3) {
        cr_assert_geq(quring_run(live.engine, 1, QURING_FOREVER), 0);
        live_reap(&live, ledger_note, &ledger);
    }
    live_gate_open(&gate);
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    for (uint32_t i = 0; i < 60; i++)
        cr_expect_eq(ledger.status[i], i % 20 == 7 ? QURING_TIMEOUT : QURING_OK, "%u: %s", i,
                     quring_status_name(ledger.status[i]));
    ledger_free(&ledger);
}

Test(pg_loop, timeout_comes_in_time) {
    live_exec(&live, "select 1");
    live_gate_close(&gate);
    uint64_t start = live_now_ns();
    submit_numbered("select $1::int8, " LIVE_AT_GATE, 0, 100 * LIVE_MS);
    quring_done done = live_wait(&live);
    cr_assert_geq(live_now_ns() - start, 100 * LIVE_MS);
    live_check_error(&done, QURING_TIMEOUT, "57014", "timeout");
    live_release(&live, &done);
    live_gate_open(&gate);
    cr_assert_eq(live_int(&live, "select 5"), 5);
}

/* Those in line behind a slow query pass away while they wait. */
Test(pg_loop, timeout_of_what_was_not_sent) {
    quring_db *db = live_open_db(&live, live_url(), &(quring_db_options){.connection_count = 1, .depth = 1});
    live_gate_close(&gate);
    live_submit(&live, &(quring_query){.db = db, .sql = "select " LIVE_AT_GATE});
    for (int i = 0; i < 100; i++)
        live_submit(&live, &(quring_query){.db = db, .sql = "select 1", .timeout_ns = 50 * LIVE_MS, .user_data = 1});
    quring_done done;
    for (int i = 0; i < 100; i++) {
        done = live_wait(&live);
        live_check_error(&done, QURING_TIMEOUT, "57014", "before it was sent");
        live_release(&live, &done);
    }
    live_gate_open(&gate);
    done = live_wait(&live);
    live_check_ok(&done, "the slow one");
    live_release(&live, &done);
}

/* ---- Cancelling ---- */

Test(pg_loop, cancel_before_and_after_sending) {
    quring_id slow = live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.2)"});
    cr_assert_eq(quring_cancel(live.engine, slow), 0);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, slow);
    live_check_error(&done, QURING_CANCELLED, "57014", "before it was sent");
    cr_assert_eq(quring_cancel(live.engine, slow), 0, "a query that had ended stays as it ended");
    live_release(&live, &done);
    cr_assert_eq(quring_cancel(live.engine, slow), QURING_ESTALE);

    live_exec(&live, "select 1");
    live_gate_close(&gate);
    slow = live_submit(&live, &(quring_query){.sql = "select " LIVE_AT_GATE});
    cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
    cr_assert_eq(quring_cancel(live.engine, slow), 0);
    done = live_wait(&live);
    live_check_error(&done, QURING_CANCELLED, "57014", "may still");
    live_release(&live, &done);
    live_gate_open(&gate);
    cr_assert_eq(live_int(&live, "select 6"), 6);
}

/* A tenth is given up at random moments; nobody gets another's rows. */
Test(pg_loop, cancelled_at_random_leave_the_others_alone) {
    enum { COUNT = 3000 };
    quring_id ids[COUNT];
    struct ledger ledger;
    ledger_init(&ledger, COUNT);
    uint32_t cancelled = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        ids[i] = live_submit(&live,
                             &(quring_query){.sql = "select $1::int8, repeat('x', $2::int4)",
                                             .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i)),
                                                                     quring_int32((int32_t)(live_identity(i) % 3000))),
                                             .user_data = i});
        if (i % 10 == 9) {
            uint64_t victim = i - live_identity(i) % 20;
            if (victim < COUNT && !ledger.endings[victim])
                cr_assert_geq(quring_cancel(live.engine, ids[victim]), 0);
            cancelled++;
        }
        if (i % 64 == 63)
            quring_run(live.engine, 1, 5 * LIVE_MS);
        live_reap(&live, ledger_note, &ledger);
    }
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_gt(ledger.by_status[QURING_CANCELLED], 0);
    cr_assert_eq(ledger.by_status[QURING_OK] + ledger.by_status[QURING_CANCELLED], COUNT);
    ledger_free(&ledger);
}

/* ---- Waking: nothing else ends the wait, for what is out waits itself ---- */

static void submit_endless(void) {
    live_exec(&live, "select 1");
    live_gate_close(&gate);
    live_submit(&live, &(quring_query){.sql = "select " LIVE_AT_GATE});
}

static void *wake_soon(void *engine) {
    usleep(50000);
    quring_wake(engine);
    return NULL;
}

Test(pg_loop, wake_from_another_thread) {
    submit_endless();
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, wake_soon, live.engine), 0);
        cr_assert_eq(quring_run(live.engine, 1, QURING_FOREVER), 0);
        pthread_join(thread, NULL);
    }
}

Test(pg_loop, wake_before_the_run_keeps_it_from_blocking) {
    submit_endless();
    quring_wake(live.engine);
    cr_assert_eq(quring_run(live.engine, 1, QURING_FOREVER), 0);
}

static void wake_in_handler(int signal) {
    (void)signal;
    quring_wake(live.engine);
}

static void *signal_soon(void *target) {
    usleep(50000);
    pthread_kill(*(pthread_t *)target, SIGUSR1);
    return NULL;
}

static atomic_bool victim_ready, victim_stop;

/* The handler runs on a thread that is not the engine's, so that only quring_wake() can end the wait. */
static void *be_signalled(void *unused) {
    sigset_t set;
    (void)unused;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    atomic_store(&victim_ready, true);
    while (!atomic_load(&victim_stop))
        usleep(1000);
    return NULL;
}

Test(pg_loop, wake_from_a_signal_handler) {
    sigset_t set;
    submit_endless();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = wake_in_handler}, NULL);
    pthread_t victim, sender;
    cr_assert_eq(pthread_create(&victim, NULL, be_signalled, NULL), 0);
    while (!atomic_load(&victim_ready))
        usleep(1000);
    cr_assert_eq(pthread_create(&sender, NULL, signal_soon, &victim), 0);
    cr_assert_eq(quring_run(live.engine, 1, QURING_FOREVER), 0);
    pthread_join(sender, NULL);
    atomic_store(&victim_stop, true);
    pthread_join(victim, NULL);
}

static void do_nothing(int signal) {
    (void)signal;
}

/* As poll(2) does; no SA_RESTART can hide it. Again and again, since the first may come before the wait begins. */
Test(pg_loop, a_signal_ends_the_wait) {
    submit_endless();
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = do_nothing}, NULL);
    ualarm(50000, 50000);
    cr_assert_eq(quring_run(live.engine, 1, QURING_FOREVER), 0);
    ualarm(0, 0);
}
