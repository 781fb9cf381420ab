/* SPDX-License-Identifier: MIT */
/* Servers end connections while the program is elsewhere: what it asks next is not sent into a closed socket. */
#include "lib/live.h"

#include <time.h>

enum { CONNECTIONS = 4, BURST = 16 };

static struct live live;

static quring_stats stats_now(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats;
}

/* All connections up and used; then the program turns to something else. */
static void warm_up(void) {
    while (stats_now().connection_count < CONNECTIONS) {
        live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.01)"});
        live_drain(&live, NULL, NULL);
    }
}

static void burst_is_ok(const char *when) {
    for (int i = 0; i < BURST; i++)
        live_submit(&live, &(quring_query){.sql = "select 1"});
    for (int i = 0; i < BURST; i++) {
        quring_done done = live_wait(&live);
        live_check_ok(&done, when);
        live_release(&live, &done);
    }
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

Test(pg_idle, idle_session_timeout) {
    struct live watcher;
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    open_live(live_url_with("application_name=quiet&options=-c%20idle_session_timeout%3D400ms"));
    for (int round = 0; round < 5; round++) {
        warm_up();
        wait_until_gone(&watcher);
        burst_is_ok("after idle_session_timeout");
    }
    cr_assert_geq(stats_now().connection_lost_count, 5 * CONNECTIONS);
    live_close(&live);
    live_close(&watcher);
}

/* A handle that lost its connections again and again waits longer each time: no round here is about that. */
Test(pg_idle, terminated_in_a_quiet_moment) {
    struct live watcher;
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    for (int round = 0; round < 20; round++) {
        if (round % 2 == 0)
            open_live(live_url_with("application_name=quiet"));
        warm_up();
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
        warm_up();
        live_ctl(round % 2 ? "restart -m fast" : "restart -m immediate");
        burst_is_ok("after a restart");
    }
    live_close(&live);
}
