/* SPDX-License-Identifier: MIT */
/* The server stops, crashes and comes back, with thousands of queries out; the handle is the same before and after. */
#include "lib/load.h"

#include <stdio.h>
#include <string.h>

static struct live live;

static quring_db_options patient(uint32_t depth) {
    return (quring_db_options){.connection_count = 8, .depth = depth, .reconnect_wait_ns = 60 * LIVE_SECOND};
}

static quring_stats stats_now(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats;
}

/*
 * The load goes on until the server is back and has answered a good many more. Queries wait through a restart that is
 * shorter than reconnect_wait_ns: none of them ends NOT_SENT.
 */
static void restart_under(const char *arguments, struct load load, quring_db_options options) {
    load.count = 1000000;
    live_open(&live, &options);
    load_open(&load, &live);
    while (stats_now().connection_count < options.connection_count)
        load_step(&load, &live, 10 * LIVE_MS);
    pid_t ctl = live_ctl_start(arguments);
    while (!live_ctl_done(ctl))
        load_step(&load, &live, 20 * LIVE_MS);
    load_until(&load, &live, load.ledger.ended_count + 2 * load.window);
    load.closed = true;
    load_finish(&load, &live);
    cr_assert_geq(stats_now().connection_lost_count, options.connection_count);
    cr_assert_eq(load.ledger.by_status[QURING_OK] + load.ledger.by_status[QURING_IN_DOUBT], load.submitted,
                 "%u not sent", load.ledger.by_status[QURING_NOT_SENT]);
    cr_assert_leq(load.ledger.by_status[QURING_IN_DOUBT], options.connection_count * options.depth);
    if (load.inserts)
        load_check_inserts(&load, &live);
    load_close(&load);
    live_close(&live);
}

Test(pg_restart, fast) {
    restart_under("restart -m fast", (struct load){.window = 3000}, patient(64));
}

Test(pg_restart, immediate_with_inserts) {
    restart_under("restart -m immediate", (struct load){.window = 1500, .inserts = true}, patient(64));
}

Test(pg_restart, fast_with_inserts_in_groups) {
    restart_under("restart -m fast", (struct load){.window = 1500, .inserts = true, .commit = QURING_COMMIT_GROUP},
                  patient(32));
}

/* A backend dies of SIGKILL: the server ends all others and recovers. */
Test(pg_restart, crash_of_a_backend) {
    struct load load = {.count = 1000000, .window = 1500, .inserts = true};
    char command[64];
    quring_db_options options = patient(64);
    live_open(&live, &options);
    load_open(&load, &live);
    int pid = (int)live_int(&live, "select pg_backend_pid()");
    while (stats_now().connection_count < options.connection_count)
        load_step(&load, &live, 10 * LIVE_MS);
    snprintf(command, sizeof command, "kill KILL %d", pid);
    live_ctl(command);
    while (stats_now().connection_lost_count < options.connection_count)
        load_step(&load, &live, 20 * LIVE_MS);
    load_until(&load, &live, load.ledger.ended_count + 2 * load.window);
    load.closed = true;
    load_finish(&load, &live);
    cr_assert_eq(load.ledger.by_status[QURING_OK] + load.ledger.by_status[QURING_IN_DOUBT], load.submitted);
    load_check_inserts(&load, &live);
    load_close(&load);
    live_close(&live);
}

/* It stays away for longer than reconnect_wait_ns; then it comes back. */
Test(pg_restart, gone_for_too_long) {
    live_open(&live, &(quring_db_options){.connection_count = 4, .reconnect_wait_ns = 500 * LIVE_MS});
    cr_assert_eq(live_int(&live, "select 1"), 1); /* no server has gone away yet, so nothing bounds this wait */
    live_ctl("stop -m fast");
    for (int i = 0; i < 300; i++)
        live_submit(&live, &(quring_query){.sql = "select 1"});
    for (int i = 0; i < 300; i++) {
        quring_done done = live_wait(&live);
        cr_assert(done.status == QURING_NOT_SENT || done.status == QURING_IN_DOUBT, "%s",
                  quring_status_name(done.status));
        cr_assert(*done.error->message);
        live_release(&live, &done);
    }
    quring_done done = live_run(&live, &(quring_query){.sql = "select 2"});
    live_check_error(&done, QURING_NOT_SENT, "08001", "refused");
    live_release(&live, &done);
    live_ctl("start");
    for (uint64_t until = live_now_ns() + LIVE_STALL_NS;;) {
        done = live_run(&live, &(quring_query){.sql = "select 3"});
        quring_status status = done.status;
        live_release(&live, &done);
        if (status == QURING_OK)
            break;
        cr_assert_eq(status, QURING_NOT_SENT);
        cr_assert_lt(live_now_ns(), until, "the handle did not come back");
        quring_run(live.engine, 0, 50 * LIVE_MS);
    }
    live_close(&live);
}
