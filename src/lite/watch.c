/* SPDX-License-Identifier: MIT */
#include "lite/conn.h"

#include <time.h>

static const uint64_t LONG_STATEMENT_NS = 1000000;
static const uint64_t NAP_MAX_NS = 10000000; /* for who stands in line */

uint64_t lite_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool lite_watch_interrupted(const struct lite_watch *watch) {
    return atomic_load_explicit(watch->closing, memory_order_relaxed) ||
           (watch->abandoned && atomic_load_explicit(watch->abandoned, memory_order_relaxed));
}

/*
 * SQLite's progress handler: anything but 0 interrupts. A statement's steps are counted over all its executions, so now and then
 * it is called behind the last step: a COMMIT would be told as interrupted that was carried out. Such statements take few steps.
 */
static int watch_progress(void *argument) {
    struct lite_watch *watch = argument;
    if (!watch->abandoned || watch->in_control)
        return 0;
    if (lite_watch_interrupted(watch))
        return 1;
    uint64_t now = lite_now_ns();
    if (!watch->statement_ns)
        watch->statement_ns = now;
    else if (watch->pause && now - watch->statement_ns > LONG_STATEMENT_NS)
        watch->pause(watch);
    return 0;
}

/* A sum that wraps is of a timeout without end. */
static uint64_t watch_deadline(const struct lite_watch *watch) {
    if (watch->wait_until_ns)
        return watch->wait_until_ns;
    uint64_t from = watch->taken_ns > watch->locked_since_ns ? watch->taken_ns : watch->locked_since_ns;
    uint64_t until = from + watch->busy_timeout_ns;
    return until < from ? UINT64_MAX : until;
}

/*
 * Naps, and stays in line until it is the first, or need not wait any more. Who is not tries now and then all the same: it may wait
 * for reads, or for another file, and hold what the first in line waits for.
 */
static void watch_stand(struct lite_conn *conn, uint64_t nap_ns, uint64_t deadline) {
    struct lite_watch *watch = &conn->watch;
    struct lite_line *line = &conn->member.file->line;
    uint64_t now = lite_now_ns(), until = now + NAP_MAX_NS < deadline ? now + NAP_MAX_NS : deadline;
    lite_line_join(line, &conn->place, now);
    while (!lite_line_wait(line, &conn->place, nap_ns) && !lite_watch_interrupted(watch) && lite_now_ns() < until)
        if (watch->pause)
            watch->pause(watch);
}

static void watch_let_pass(struct lite_conn *conn) {
    uint64_t now = lite_now_ns();
    if (!lite_line_is_due(&conn->member.file->line, now))
        return;
    if (!conn->watch.locked_since_ns)
        conn->watch.locked_since_ns = now;
    watch_stand(conn, NAP_MAX_NS, watch_deadline(&conn->watch));
}

static bool watch_is_alone(const struct lite_conn *conn) {
    return !conn->member.file || lite_line_is_empty(&conn->member.file->line);
}

void lite_conn_line_up(struct lite_conn *conn) {
    conn->lines_up = true;
    if (base_unlikely(!watch_is_alone(conn)) && !lite_conn_in_transaction(conn))
        watch_let_pass(conn);
}

void lite_conn_leave_line(struct lite_conn *conn) {
    conn->lines_up = false;
    if (base_unlikely(!watch_is_alone(conn)))
        lite_line_leave(&conn->member.file->line, &conn->place);
}

static void watch_nap(struct lite_watch *watch, uint64_t nap_ns, uint64_t deadline) {
    struct lite_conn *conn = base_container_of(watch, struct lite_conn, watch);
    if (conn->lines_up && conn->member.file)
        watch_stand(conn, nap_ns, deadline);
    else
        nanosleep(&(struct timespec){.tv_nsec = (long)nap_ns}, NULL);
}

/*
 * SQLite's busy handler, for the n-th time in one wait: 0 gives up. SQLite's own would sleep through a close and an
 * abandoned query. Naps are short at first, because most locks are held for one small commit.
 */
static int watch_busy(void *argument, int n) {
    static const uint32_t naps_us[] = {50, 100, 200, 500, 1000, 2000, 5000, 10000};
    struct lite_watch *watch = argument;
    if (lite_watch_interrupted(watch))
        return 0;
    if (watch->pause)
        watch->pause(watch);
    uint64_t now = lite_now_ns();
    if (!watch->locked_since_ns)
        watch->locked_since_ns = now;
    uint64_t deadline = watch_deadline(watch);
    if (now >= deadline)
        return 0;
    size_t last = sizeof naps_us / sizeof *naps_us - 1;
    uint64_t nap_ns = naps_us[(size_t)n < last ? (size_t)n : last] * (uint64_t)1000;
    if (nap_ns > deadline - now)
        nap_ns = deadline - now;
    watch_nap(watch, nap_ns, deadline);
    return 1;
}

void lite_watch_install(struct lite_watch *watch, sqlite3 *handle) {
    PRE(handle && watch->closing && watch->step_count > 0);
    sqlite3_progress_handler(handle, watch->step_count, watch_progress, watch);
    sqlite3_busy_handler(handle, watch_busy, watch);
}

/* ---- Interrupting from another thread ---- */

static const uintptr_t INTERRUPTED = 1; /* in the address of what was interrupted */

void lite_watch_begin(struct lite_watch *watch, struct query *query) {
    watch->statement_ns = 0;
    watch->abandoned = &lite_query(query)->abandoned_as;
    /* lite_abandon() stores abandoned_as and then reads at_work; here at_work is stored before abandoned_as is read.
       All of it is sequentially consistent, so one of the two threads sees the other's store. */
    atomic_exchange(&watch->at_work, (uintptr_t)query);
}

/* SQLite forgets an interrupt with the next statement that begins, but a checkpoint is none. */
static void watch_end_interrupted(struct lite_watch *watch, sqlite3 *handle) {
    pthread_mutex_lock(&watch->interrupting);
    atomic_store(&watch->at_work, 0);
    pthread_mutex_unlock(&watch->interrupting);
    (void)lite_execute(handle, "select 1");
}

void lite_watch_end(struct lite_watch *watch, struct query *query, sqlite3 *handle) {
    uintptr_t at_work = (uintptr_t)query;
    watch->abandoned = NULL;
    if (base_unlikely(!atomic_compare_exchange_strong(&watch->at_work, &at_work, 0)))
        watch_end_interrupted(watch, handle);
}

/* Who ends a query that was marked waits for the mutex first. */
bool lite_conn_hold(struct lite_conn *conn, struct query *query) {
    PRE(query);
    struct lite_watch *watch = &conn->watch;
    uintptr_t at_work = (uintptr_t)query;
    if ((atomic_load(&watch->at_work) & ~INTERRUPTED) != at_work)
        return false;
    pthread_mutex_lock(&watch->interrupting);
    if (atomic_compare_exchange_strong(&watch->at_work, &at_work, (uintptr_t)query | INTERRUPTED) ||
        at_work == ((uintptr_t)query | INTERRUPTED))
        return true;
    pthread_mutex_unlock(&watch->interrupting);
    return false;
}

void lite_conn_let_go(struct lite_conn *conn) {
    pthread_mutex_unlock(&conn->watch.interrupting);
}

bool lite_conn_interrupt(struct lite_conn *conn, struct query *query) {
    if (!lite_conn_hold(conn, query))
        return false;
    sqlite3_interrupt(conn->handle); /* open, since a query is at work, which can't end meanwhile */
    lite_conn_let_go(conn);
    return true;
}

struct query *lite_conn_at_work(struct lite_conn *conn) {
    return (struct query *)(atomic_load(&conn->watch.at_work) & ~INTERRUPTED);
}

bool lite_conn_interrupt_abandoned(struct lite_conn *conn) {
    struct query *query = lite_conn_at_work(conn);
    return query && atomic_load(&lite_query(query)->abandoned_as) && lite_conn_interrupt(conn, query);
}
