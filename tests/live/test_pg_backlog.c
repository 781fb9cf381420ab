/* SPDX-License-Identifier: MIT */
/* The program is away while the server answers, or goes, on more connections than the kernel reports of at once. */
#include "lib/live.h"

#include <time.h>

enum { CONNECTIONS = 190 }; /* of the 200 that the server takes */

static struct live live;
static struct ledger ledger;

static void open_live(void) {
    live_open_url(
        &live, live_url_with("application_name=backlog"), NULL,
        &(quring_db_options){.connection_count = CONNECTIONS, .depth = 1, .reconnect_wait_ns = 60 * LIVE_SECOND});
    live_connect(&live, CONNECTIONS);
    ledger_init(&ledger, CONNECTIONS);
}

static void close_live(void) {
    ledger_check(&ledger);
    ledger_free(&ledger);
    live_close(&live);
}

static void submit(const char *sql, uint64_t timeout_ns) {
    for (uint64_t i = 0; i < CONNECTIONS; i++)
        live_submit(&live, &(quring_query){.sql = sql,
                                           .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                           .user_data = i,
                                           .timeout_ns = timeout_ns});
}

/* Until the server waits for this many connections' next queries, and has sent all that it had to say before. */
static void wait_for_answers(struct live *watcher, int64_t count) {
    static const char sql[] = "select count(*) from pg_stat_activity where application_name = 'backlog' and "
                              "state = 'idle' and wait_event = 'ClientRead'";
    while (live_int(watcher, sql) < count)
        nanosleep(&(struct timespec){.tv_nsec = 10 * LIVE_MS}, NULL);
}

static void nap_until(uint64_t at_ns) {
    while (live_now_ns() <= at_ns)
        nanosleep(&(struct timespec){.tv_nsec = LIVE_MS}, NULL);
}

/*
 * Sends a query to each connection, lets the server answer them all, and comes back when their time has passed. False: the
 * machine was too slow to send them in their time.
 */
static bool stall_past_timeouts(uint64_t timeout_ns) {
    struct live_gate gate;
    struct live watcher;
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    live_gate_close(&gate);
    uint64_t first = live_now_ns() + timeout_ns; /* no query's time is over before */
    submit("select $1::int8, " LIVE_AT_GATE, timeout_ns);
    uint64_t last = live_now_ns() + timeout_ns;
    quring_stats stats = {.waiting_count = 1};
    while (stats.waiting_count && live_now_ns() < first) {
        cr_assert_geq(quring_run(live.engine, 0, 0), 0);
        quring_stats_get(live.engine, &stats);
    }
    bool sent = live_now_ns() < first;
    live_gate_open(&gate);
    wait_for_answers(&watcher, sent ? CONNECTIONS : 0);
    live_close(&watcher);
    nap_until(last + 10 * LIVE_MS);
    return sent;
}

Test(pg_backlog, answers_that_are_there_count_after_their_timeout) {
    bool sent = false;
    for (uint64_t timeout_ns = LIVE_SECOND; !sent; timeout_ns *= 2) {
        open_live();
        sent = stall_past_timeouts(timeout_ns);
        live_drain(&live, ledger_note, &ledger);
        cr_assert(!sent || ledger.by_status[QURING_OK] == CONNECTIONS, "%u ended TIMEOUT, though they were answered",
                  ledger.by_status[QURING_TIMEOUT]);
        close_live();
    }
}

Test(pg_backlog, nothing_is_sent_to_connections_that_ended_meanwhile) {
    static const char *const ends[] = {"restart -m fast", "restart -m immediate"};
    for (int i = 0; i < 2; i++) {
        open_live();
        live_ctl(ends[i]);
        submit("select $1::int8", 0);
        live_drain(&live, ledger_note, &ledger);
        cr_assert_eq(ledger.by_status[QURING_OK], CONNECTIONS, "%s: %u IN_DOUBT", ends[i],
                     ledger.by_status[QURING_IN_DOUBT]);
        close_live();
    }
}
