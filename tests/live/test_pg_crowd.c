/* SPDX-License-Identifier: MIT */
/* A thousand connections of one handle, whose server restarts. Needs no server: one here lets clients in, and counts. */
#include "lib/crowd.h"
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum { CONNECTIONS = 1000, AT_ONCE = 64 };

static quring_engine *engine;

static uint32_t up_count(void) {
    quring_stats stats;
    quring_stats_get(engine, &stats);
    return stats.connection_count;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Returns how long it took, which is for whoever reads the log: no test depends on it. */
static double run_until_up(uint32_t count) {
    double start = seconds_now();
    while (up_count() != count)
        cr_assert_geq(quring_run(engine, 0, 10000000), 0);
    return seconds_now() - start;
}

Test(pg_crowd, a_restart_with_a_thousand_connections) {
    struct rlimit files = {8192, 8192};
    (void)setrlimit(RLIMIT_NOFILE, &files);
    char url[100];
    quring_db *db;
    struct crowd *crowd = crowd_open(CONNECTIONS + AT_ONCE);
    snprintf(url, sizeof url, "postgresql://x@127.0.0.1:%u/x?sslmode=disable", crowd_port(crowd));
    cr_assert_eq(quring_engine_open(&(quring_options){.connection_count = CONNECTIONS}, &engine), 0);
    cr_assert_eq(quring_db_open(engine, url, &(quring_db_options){.connection_count = CONNECTIONS}, &db), 0);
    double first = run_until_up(CONNECTIONS);
    cr_assert_leq(crowd_waiting_most(crowd), AT_ONCE);
    crowd_go_away(crowd, true);
    (void)run_until_up(0);
    for (int i = 0; i < 100; i++)
        cr_assert_geq(quring_run(engine, 0, 10000000), 0);
    crowd_go_away(crowd, false);
    double again = run_until_up(CONNECTIONS);
    printf("%d connections: up in %.2f s, back in %.2f s; %u at once\n", CONNECTIONS, first, again,
           crowd_waiting_most(crowd));
    cr_assert(crowd_waiting_most(crowd) <= AT_ONCE && crowd_waiting_most(crowd) > 1, "%u at once",
              crowd_waiting_most(crowd));
    cr_assert_geq(crowd_accepted_count(crowd), 2 * CONNECTIONS);
    quring_engine_close(engine);
    crowd_close(crowd);
}
