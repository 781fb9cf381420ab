/* SPDX-License-Identifier: MIT */
/* Servers end connections while the program is elsewhere: what it asks next is not sent into a closed socket. */
#include "lib/live.h"

#include <stdio.h>
#include <time.h>

enum { CONNECTIONS = 4, BURST = 16 };

static struct live live;

static quring_stats stats_now(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats;
}

/*
 * All connections up and used; then the program turns to something else. Returns false if the server, which ends idle ones after
 * `timeout_ms` (0: it does not), was quicker again and again.
 */
static bool warm_up(int timeout_ms) {
    for (int tries = 0; stats_now().connection_count<CONNECTIONS; tries += timeout_ms> 0) {
        if (tries == 1000)
            return false;
        live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.01)"});
        live_drain(&live, NULL, NULL);
    }
    return true;
}

/* `limit_ns`: how long a connection is left alone. Returns false if one query failed, and it took longer than that. */
static bool burst(const char *when, uint64_t limit_ns) {
    uint64_t start = live_now_ns();
    bool all_ok = true;
    for (int i = 0; i < BURST; i++)
        live_submit(&live, &(quring_query){.sql = "select 1"});
    for (int i = 0; i < BURST; i++) {
        quring_done done = live_wait(&live);
        if (live_now_ns() - start < limit_ns)
            live_check_ok(&done, when);
        all_ok &= done.status == QURING_OK;
        live_release(&live, &done);
    }
    return all_ok;
}

static void burst_is_ok(const char *when) {
    cr_assert(burst(when, UINT64_MAX));
}

static void open_live(const char *url) {
    live_open_url(
        &live, url, NULL,
        &(quring_db_options){.connection_count = CONNECTIONS, .depth = 8, .reconnect_wait_ns = 30 * LIVE_SECOND});
}

/* Counts this program's connections without the engine under test. */
static void wait_until_gone(struct live *watcher) {
    for (;;) {
        quring_done done = live_query(
            watcher, "select count(*) from pg_stat_activity where application_name = $1::text", quring_text("quiet"));
        int64_t count = -1;
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &count), 0);
        live_release(watcher, &done);
        if (count == 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

/* Returns false on a machine that is so slow that the server ends connections in the middle of it. */
static bool outlives_idle_sessions(struct live *watcher, int timeout_ms) {
    enum { ROUNDS = 5 };
    char query[100];
    snprintf(query, sizeof query, "application_name=quiet&options=-c%%20idle_session_timeout%%3D%dms", timeout_ms);
    open_live(live_url_with(query));
    int round = 0;
    while (round < ROUNDS && warm_up(timeout_ms)) {
        wait_until_gone(watcher);
        if (!burst("after idle_session_timeout", (uint64_t)timeout_ms * LIVE_MS))
            break;
        round++;
    }
    cr_assert_geq(stats_now().connection_lost_count, (uint64_t)round * CONNECTIONS);
    live_close(&live);
    return round == ROUNDS;
}

Test(pg_idle, idle_session_timeout) {
    struct live watcher;
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    for (int timeout_ms = 400; !outlives_idle_sessions(&watcher, timeout_ms); timeout_ms *= 2)
        cr_assert_lt(timeout_ms, 100000);
    live_close(&watcher);
}

/* A handle that lost its connections again and again waits longer each time: no round here is about that. */
Test(pg_idle, terminated_in_a_quiet_moment) {
    struct live watcher;
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    for (int round = 0; round < 20; round++) {
        if (round % 2 == 0)
            open_live(live_url_with("application_name=quiet"));
        warm_up(0);
        quring_done done = live_query(
            &watcher, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1::text",
            quring_text("quiet"));
        live_check_ok(&done, "pg_terminate_backend");
        live_release(&watcher, &done);
        wait_until_gone(&watcher);
        burst_is_ok("after pg_terminate_backend");
        if (round % 2 == 1)
            live_close(&live);
    }
    live_close(&watcher);
}

Test(pg_idle, restarted_in_a_quiet_moment) {
    open_live(live_url());
    for (int round = 0; round < 6; round++) {
        warm_up(0);
        live_ctl(round % 2 ? "restart -m fast" : "restart -m immediate");
        burst_is_ok("after a restart");
    }
    live_close(&live);
}
