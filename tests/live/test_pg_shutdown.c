/* SPDX-License-Identifier: MIT */
/* Shutting down and closing with thousands of queries out: each ends once, with SHUTDOWN or its real outcome. */
#include "lib/load.h"

#include <stdio.h>

static struct live live;

enum { COUNT = 50000 };

static void start_load(struct load *load, uint32_t ended_count) {
    *load = (struct load){.count = COUNT, .window = 3000, .inserts = true};
    live_open_url(&live, live_url_with("application_name=live_shutdown"), NULL,
                  &(quring_db_options){.connection_count = 4, .depth = 64});
    load_open(load, &live);
    load_until(load, &live, ended_count);
    quring_stats stats = {0};
    while (load->submitted < ended_count + load->window || !stats.inflight_count) {
        cr_assert_lt(load->submitted, load->count, "all that is sent is answered in the same turn");
        load_step(load, &live, 0);
        quring_stats_get(live.engine, &stats);
    }
    load->closed = true;
}

static void check_inserts_of(const struct load *load) {
    struct live observer;
    live_open(&observer, &(quring_db_options){.connection_count = 1});
    for (uint64_t until = live_now_ns() + LIVE_STALL_NS;;) { /* what was sent may still be carried out */
        if (live_int(&observer, "select count(*) from pg_stat_activity where application_name = 'live_shutdown'") == 0)
            break;
        cr_assert_lt(live_now_ns(), until);
    }
    load_check_inserts(load, &observer);
    live_close(&observer);
}

static void check_refuses(void) {
    cr_assert_eq(quring_submit(live.engine, &(quring_query){.db = live.db, .sql = "select 1"}, NULL), QURING_ESHUTDOWN);
    quring_db *db;
    cr_assert_eq(quring_db_open(live.engine, live_url(), NULL, &db), QURING_ESHUTDOWN);
}

Test(pg_shutdown, without_grace) {
    struct load load;
    start_load(&load, 500);
    uint32_t pending = quring_pending(live.engine);
    cr_assert_gt(pending, 1000);
    cr_assert_eq(quring_shutdown(live.engine, 0), (int)pending);
    check_refuses();
    load_finish(&load, &live);
    cr_assert_gt(load.ledger.by_status[QURING_SHUTDOWN], 1000);
    cr_assert_eq(load.ledger.by_status[QURING_OK] + load.ledger.by_status[QURING_SHUTDOWN], load.submitted);
    live_close(&live);
    check_inserts_of(&load);
    load_close(&load);
}

/* With grace, what was sent ends as it would have; only what was not sent ends with SHUTDOWN, and had no effect. */
Test(pg_shutdown, with_grace) {
    struct load load;
    start_load(&load, 500);
    quring_stats before, after;
    quring_stats_get(live.engine, &before);
    cr_assert_gt(before.inflight_count, 0);
    cr_assert_gt(before.waiting_count, 0);
    cr_assert_geq(quring_shutdown(live.engine, LIVE_STALL_NS), 0);
    check_refuses();
    quring_stats_get(live.engine, &after);
    cr_assert_eq(after.waiting_count + after.inflight_count, 0);
    load_finish(&load, &live);
    cr_assert_eq(after.done_count[QURING_SHUTDOWN], before.waiting_count);
    cr_assert_eq(load.ledger.by_status[QURING_SHUTDOWN], before.waiting_count);
    for (uint32_t i = 1; i < load.submitted; i += 2)
        if (load.ledger.status[i] == QURING_SHUTDOWN)
            load.ledger.status[i] = QURING_NOT_SENT; /* which load_check_inserts() holds to be absent */
    live_close(&live);
    check_inserts_of(&load);
    load_close(&load);
}

Test(pg_shutdown, grace_is_kept) {
    live_open(&live, &(quring_db_options){.connection_count = 2});
    live_exec(&live, "select 1");
    struct live_gate gate;
    live_gate_close(&gate);
    live_submit(&live, &(quring_query){.sql = "select " LIVE_AT_GATE});
    quring_run(live.engine, 1, 20 * LIVE_MS);
    uint64_t start = live_now_ns();
    cr_assert_eq(quring_shutdown(live.engine, 200 * LIVE_MS), 1);
    cr_assert_geq(live_now_ns() - start, 200 * LIVE_MS);
    quring_done done = live_wait(&live);
    live_check_error(&done, QURING_SHUTDOWN, "57014", "may still");
    live_release(&live, &done);
    live_close(&live);
    live_gate_open(&gate);
}

/* Nothing was reaped, nothing released: closing takes it all, and does not wait for the server. */
Test(pg_shutdown, close_in_mid_flight) {
    struct live_gate gate;
    live_gate_close(&gate);
    for (uint32_t turns = 0; turns < 6; turns++) {
        live_open(&live, &(quring_db_options){.connection_count = 4});
        live_exec(&live, "select 1");
        for (int i = 0; i < 2000; i++)
            live_submit(&live, &(quring_query){.sql = i % 3 ? "select " LIVE_AT_GATE : "select repeat('x', 10000)"});
        for (uint32_t t = 0; t < turns; t++)
            quring_run(live.engine, 0, 0);
        quring_done done[10];
        quring_reap(live.engine, done, turns); /* reaped, and never released */
        live_close(&live);
    }
    live_gate_open(&gate);
}

/* One handle goes; another on the same engine goes on. */
Test(pg_shutdown, close_of_one_database) {
    live_open(&live, &(quring_db_options){.connection_count = 2});
    for (int round = 0; round < 3; round++) {
        struct ledger ledger;
        quring_db *other = live_open_db(&live, live_url(), &(quring_db_options){.connection_count = 2});
        ledger_init(&ledger, 2000);
        for (uint32_t i = 0; i < 2000; i++)
            live_submit(&live, &(quring_query){.db = i % 2 ? other : live.db,
                                               .sql = "select $1::int8, pg_sleep(0.0001)",
                                               .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                               .user_data = i});
        for (int t = 0; t < 20 * round; t++)
            quring_run(live.engine, 0, LIVE_MS);
        quring_statement *statement;
        cr_assert_eq(quring_prepare(other, "select 1", &statement), 0);
        quring_statement_release(statement);
        quring_db_close(other);
        cr_assert_eq(quring_submit(live.engine, &(quring_query){.db = other, .sql = "select 1"}, NULL),
                     QURING_ESHUTDOWN);
        live_drain(&live, ledger_note, &ledger);
        ledger_check(&ledger);
        for (uint32_t i = 0; i < 2000; i++)
            cr_assert(ledger.status[i] == QURING_OK || (i % 2 && ledger.status[i] == QURING_SHUTDOWN), "%u: %s", i,
                      quring_status_name(ledger.status[i]));
        ledger_free(&ledger);
    }
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_leq(stats.connection_count, 2);
    live_close(&live);
}

/* A server that was not told logs that it lost the connection. */
Test(pg_shutdown, the_server_is_told_of_the_end) {
    static const char LOGGED[] = "select count(*) from regexp_matches(pg_read_file('server.log'), "
                                 "'unexpected EOF|could not receive data|could not accept SSL', 'g')";
    struct live observer;
    live_open(&observer, &(quring_db_options){.connection_count = 1});
    int64_t before = live_int(&observer, LOGGED);
    for (int i = 0; i < 20; i++) {
        live_open_url(&live, live_url_with("application_name=live_told"), NULL,
                      &(quring_db_options){.connection_count = 3});
        cr_assert_eq(live_int(&live, "select 1"), 1);
        for (quring_stats stats = {0}; stats.connection_count < 3; quring_stats_get(live.engine, &stats)) {
            live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.001)"});
            live_drain(&live, NULL, NULL);
        }
        if (i % 2)
            quring_db_close(live.db);
        live_close(&live);
    }
    while (live_int(&observer, "select count(*) from pg_stat_activity where application_name = 'live_told'"))
        ;
    cr_assert_eq(live_int(&observer, LOGGED) - before, 0);
    live_close(&observer);
}
