/* SPDX-License-Identifier: MIT */
/* What quring_db_status() and quring_db_stats_get() say of handles on a real server, which goes away and comes back. */
#include "lib/live.h"

#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS = 4 };

static struct live live;

static void end(void) {
    live_close(&live);
}

TestSuite(pg_status, .fini = end);

static quring_db_info look(void) {
    quring_db_info info;
    cr_assert_eq(quring_db_status(live.db, &info), 0);
    cr_assert_eq(info.up_count, info.idle_count + info.busy_count);
    return info;
}

/* Runs until the handle is in that state, so many connections are up, and so many attempts failed since. */
static quring_db_info wait_for_failures(quring_db_state state, uint32_t up_count, uint32_t failure_count) {
    for (uint64_t until = live_now_ns() + LIVE_STALL_NS;;) {
        quring_db_info info = look();
        if (info.state == state && info.up_count == up_count && info.ending_count == 0 &&
            info.failure_count >= failure_count)
            return info;
        cr_assert_lt(live_now_ns(), until, "it stays %s with %u of %u up: %s", quring_db_state_name(info.state),
                     info.up_count, up_count, info.message);
        quring_run(live.engine, 0, 10 * LIVE_MS);
        live_reap(&live, NULL, NULL);
    }
}

static quring_db_info wait_for(quring_db_state state, uint32_t up_count) {
    return wait_for_failures(state, up_count, 0);
}

Test(pg_status, a_server_that_goes_away_and_comes_back) {
    live_open(&live, &(quring_db_options){.connection_count = CONNECTIONS});
    cr_assert_eq(look().state, QURING_DB_TRYING);
    cr_assert_eq(look().wanted_count, CONNECTIONS);
    quring_db_info info = wait_for(QURING_DB_UP, CONNECTIONS);
    cr_assert_eq(info.idle_count, CONNECTIONS);
    cr_assert_eq(info.reason_at_ns, 0);
    uint64_t before_ns = live_now_ns();
    live_ctl("stop -m fast");
    info = wait_for_failures(QURING_DB_OUTAGE, 0, 2); /* the reason is the attempts' then */
    cr_assert_geq(info.state_at_ns, before_ns);
    cr_assert_str_eq(info.sqlstate, "08001");
    cr_assert(strstr(info.message, "refused"), "%s", info.message);
    cr_assert_geq(info.reason_at_ns, info.state_at_ns);
    cr_assert(info.retrying_count + info.connecting_count == CONNECTIONS);
    live_ctl("start");
    info = wait_for(QURING_DB_UP, CONNECTIONS);
    cr_assert_eq(info.failure_count, 0);
    cr_assert_eq(info.retry_ns, QURING_FOREVER);
    quring_db_stats stats;
    quring_db_stats_get(live.db, &stats);
    cr_assert_eq(stats.connection_lost_count, CONNECTIONS);
    cr_assert_eq(stats.connect_count, 2 * CONNECTIONS);
    cr_assert_geq(stats.connect_failure_count, 2);
}

Test(pg_status, quring_db_warm_up_waits_for_the_server) {
    live_open(&live, &(quring_db_options){.connection_count = CONNECTIONS});
    cr_assert_eq(quring_db_warm_up(live.db, LIVE_STALL_NS), 0);
    cr_assert_eq(look().idle_count, CONNECTIONS);
    live_ctl("stop -m fast");
    cr_assert_eq(quring_db_warm_up(live.db, 200 * LIVE_MS), CONNECTIONS);
    cr_assert_eq(look().state, QURING_DB_OUTAGE);
    live_ctl("start");
    cr_assert_eq(quring_db_warm_up(live.db, LIVE_STALL_NS), 0);
    cr_assert_eq(look().idle_count, CONNECTIONS);
    quring_db *wrong = live_open_db(&live, live_url_with("dbname=there_is_no_such_database"), NULL);
    cr_assert_eq(quring_db_warm_up(wrong, QURING_FOREVER), 8);
}

Test(pg_status, a_server_that_refuses_for_good) {
    live_open_url(&live, live_url_with("dbname=there_is_no_such_database"), NULL, NULL);
    quring_db_info info = wait_for(QURING_DB_REFUSED, 0);
    cr_assert_str_eq(info.sqlstate, "3D000");
    cr_assert(strstr(info.message, "there_is_no_such_database"));
    cr_assert_eq(info.retry_ns, QURING_FOREVER, "only a query asks again");
    cr_assert_eq(info.connecting_count, 0);
}

Test(pg_status, an_exclusive_connection_that_is_lost) {
    live_open(&live, &(quring_db_options){.exclusive = true});
    quring_done done = live_run(&live, &(quring_query){.sql = "select pg_terminate_backend(pg_backend_pid())"});
    live_release(&live, &done);
    quring_db_info info = wait_for(QURING_DB_LOST, 0);
    cr_assert_str_eq(info.sqlstate, "57P01");
    cr_assert_eq(info.retry_ns, QURING_FOREVER);
}

/* Queries wait behind one that is held at a gate: the counts are exact, the times at least as long as the gate was shut. */
Test(pg_status, waits_behind_a_slow_query) {
    struct live_gate gate;
    uint64_t longer = 0;
    quring_db_stats stats;
    live_open(&live, &(quring_db_options){.connection_count = 1, .depth = 1});
    wait_for(QURING_DB_UP, 1);
    live_gate_close(&gate);
    live_submit(&live, &(quring_query){.sql = "select " LIVE_AT_GATE});
    for (int i = 0; i < 10; i++)
        live_submit(&live, &(quring_query){.sql = "select 1"});
    quring_run(live.engine, 0, 0);
    cr_assert(look().busy_count == 1 && look().idle_count == 0);
    for (uint64_t until = live_now_ns() + 70 * LIVE_MS; live_now_ns() < until;)
        quring_run(live.engine, 1, 10 * LIVE_MS);
    quring_db_stats_get(live.db, &stats);
    cr_assert(stats.waiting_count == 10 && stats.waiting_peak_count == 10 && stats.inflight_count == 1);
    cr_assert_eq(stats.wait_count[0], 1, "the first was sent at once");
    live_gate_open(&gate);
    live_drain(&live, NULL, NULL);
    quring_db_stats_get(live.db, &stats);
    cr_assert_eq(stats.wait_count[0], 1);
    for (uint32_t i = 17; i < QURING_WAIT_BUCKETS; i++) /* from 65.5 ms */
        longer += stats.wait_count[i];
    cr_assert_eq(longer, 10, "they waited 70 ms at least, and %lu did", (unsigned long)longer);
    cr_assert_geq(quring_wait_quantile_ns(stats.wait_count, 0.5), 131072000);
    cr_assert_eq(stats.done_count[QURING_OK], 11);
    cr_assert_eq(look().idle_count, 1);
}

/* None waited longer than from its submission to its sending, as the trace has it. */
Test(pg_status, waits_beside_the_trace) {
    enum { QUERIES = 3000 };
    static uint64_t shown[QURING_WAIT_BUCKETS];
    live_open_url(&live, live_url(), &(quring_options){.trace_count = 5 * QUERIES},
                  &(quring_db_options){.connection_count = 2, .depth = 3});
    for (int i = 0; i < QUERIES; i++)
        live_submit(&live, &(quring_query){.sql = "select 1"});
    live_drain(&live, NULL, NULL);
    quring_event event;
    quring_db_stats stats;
    uint64_t sent = 0, longer = 0;
    while (quring_trace(live.engine, &event, 1) == 1) {
        if (event.kind != QURING_EVENT_SENT)
            continue;
        sent++;
        for (uint32_t i = 0; i < QURING_WAIT_BUCKETS; i++)
            shown[i] += event.at_ns - event.submitted_at_ns >= (i ? UINT64_C(500) << i : 0);
    }
    quring_db_stats_get(live.db, &stats);
    for (uint32_t i = QURING_WAIT_BUCKETS; i-- > 0;) {
        longer += stats.wait_count[i];
        cr_assert_leq(longer, shown[i], "class %u and above: %lu, and the trace has %lu", i, (unsigned long)longer,
                      (unsigned long)shown[i]);
    }
    cr_assert_eq(longer, QUERIES);
    cr_assert_eq(sent, QUERIES);
}
