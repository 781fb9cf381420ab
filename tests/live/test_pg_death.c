/* SPDX-License-Identifier: MIT */
/*
 * Backends and links die in mid-flight. Every query ends exactly once and none with another's rows; an insert that says
 * OK is there, one that says NOT_SENT is not, and none is carried out twice.
 */
#include "lib/load.h"
#include "lib/relay.h"

#include <stdio.h>

static struct live live;

static const char *const KILL =
    "select count(pg_terminate_backend(pid, $2::int4)) from (select pid from pg_stat_activity where "
    "application_name = 'quring' and pid <> pg_backend_pid() and datname = 'quring' and "
    "backend_type = 'client backend' order by random() limit $1::int4) v";

/* Waits so long for them to be gone. */
static void kill_some(struct live *killer, int count, int wait_ms) {
    quring_done done = live_query(killer, KILL, quring_int32(count), quring_int32(wait_ms));
    live_check_ok(&done, "pg_terminate_backend");
    live_release(killer, &done);
}

/* The killer has an engine and a name of its own. */
static void open_killer(struct live *killer) {
    live_open_url(killer, live_url_with("application_name=killer"), NULL, &(quring_db_options){.connection_count = 1});
}

static void check_works_again(void) {
    for (int i = 0; i < 20; i++)
        cr_assert_eq(live_int(&live, "select 11"), 11);
}

/* ---- Backends ---- */

/* So often, and on until one was in the middle of something: a back end may have answered all that it was sent. */
static void terminate_at_random(struct load load, const quring_db_options *options, int at_once, uint32_t kills) {
    struct live killer;
    uint32_t step = load.count / (kills + 1);
    load.count = 1000000;
    open_killer(&killer);
    live_open(&live, options);
    load_open(&load, &live);
    for (uint32_t k = 1; k <= kills || !load.ledger.by_status[QURING_IN_DOUBT]; k++) {
        load_until(&load, &live, step * k + (uint32_t)(live_identity(k) % 50));
        for (uint32_t i = 0; i < live_identity(k) % 4; i++) /* at another point of the flight each time */
            load_step(&load, &live, 0);
        kill_some(&killer, at_once, 0);
    }
    load_until(&load, &live, load.ledger.ended_count + step);
    load.closed = true;
    load_finish(&load, &live);
    cr_assert_eq(load.ledger.by_status[QURING_OK] + load.ledger.by_status[QURING_IN_DOUBT], load.submitted);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_geq(stats.connection_lost_count, kills / 2, "%llu", (unsigned long long)stats.connection_lost_count);
    check_works_again();
    if (load.inserts)
        load_check_inserts(&load, &killer);
    load_close(&load);
    live_close(&live);
    live_close(&killer);
}

Test(pg_death, one_backend_after_the_other) {
    terminate_at_random((struct load){.count = LIVE_SANITIZED ? 10000 : 30000, .window = 3000},
                        &(quring_db_options){.connection_count = 8, .depth = 64}, 1, 40);
}

Test(pg_death, all_backends_at_once) {
    terminate_at_random((struct load){.count = 12000, .window = 2000},
                        &(quring_db_options){.connection_count = 8, .depth = 64}, 100, 10);
}

Test(pg_death, backends_that_insert) {
    terminate_at_random((struct load){.count = 8000, .window = 2000, .inserts = true},
                        &(quring_db_options){.connection_count = 8, .depth = 32}, 2, 20);
}

Test(pg_death, backends_that_insert_in_groups) {
    terminate_at_random((struct load){.count = 8000, .window = 2000, .inserts = true, .commit = QURING_COMMIT_GROUP},
                        &(quring_db_options){.connection_count = 4, .depth = 64}, 2, 20);
}

Test(pg_death, the_only_backend) {
    terminate_at_random((struct load){.count = 2400, .window = 500, .inserts = true},
                        &(quring_db_options){.connection_count = 1, .depth = 128}, 1, 6);
}

/* The server's own words arrive before the link ends, and are the reason given. */
Test(pg_death, in_doubt_gives_the_servers_reason) {
    struct live killer;
    open_killer(&killer);
    live_open(&live, &(quring_db_options){.connection_count = 1});
    live_exec(&live, "select 1");
    live_submit(&live, &(quring_query){.sql = "select pg_sleep(600)"});
    cr_assert_eq(quring_run(live.engine, 1, 50 * LIVE_MS), 0);
    kill_some(&killer, 1, 0);
    quring_done done = live_wait(&live);
    live_check_error(&done, QURING_IN_DOUBT, "57P01", "terminating connection due to administrator command");
    live_release(&live, &done);
    check_works_again();
    live_close(&killer);
    live_close(&live);
}

/* What dies while idle is seen by the next turns, and replaced: no query is given to it. */
Test(pg_death, idle_connections) {
    struct live killer;
    open_killer(&killer);
    live_open(&live, &(quring_db_options){.connection_count = 4});
    for (int i = 0; i < 5; i++) {
        check_works_again();
        kill_some(&killer, 100, 600000);
        for (int turn = 0; turn < 5; turn++)
            cr_assert_eq(quring_run(live.engine, 0, 0), 0);
    }
    check_works_again();
    live_close(&killer);
    live_close(&live);
}

/* ---- Links that are cut after so many bytes ---- */

static void cut_link(struct live *observer, struct relay *relay, const struct relay_plan *plan, uint32_t round) {
    enum { COUNT = 8 };
    struct ledger ledger;
    relay_set(relay, plan);
    live_open_url(&live, live_url_by_port(relay_port(relay)), NULL,
                  &(quring_db_options){.connection_count = 1, .reconnect_wait_ns = 200 * LIVE_MS});
    ledger_init(&ledger, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        quring_query q = {.user_data = i};
        q.sql = i % 2 ? "insert into live_cut values ($1)" : "select $1::int8";
        q.param_count = 1;
        q.params = &(quring_param){.type = QURING_INT8,
                                   .value.integer = (int64_t)(i % 2 ? round * COUNT + i : live_identity(i))};
        live_submit(&live, &q);
    }
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    live_close(&live);
    for (uint32_t i = 1; i < COUNT; i += 2) {
        quring_done done = live_query(observer, "select count(*) from live_cut where id = $1",
                                      quring_int64((int64_t)(round * COUNT + i)));
        int64_t present = -1;
        quring_get_int64(done.result, 0, 0, &present);
        live_release(observer, &done);
        if (ledger.status[i] == QURING_OK)
            cr_assert_eq(present, 1);
        else if (ledger.status[i] == QURING_NOT_SENT)
            cr_assert_eq(present, 0);
        else
            cr_assert_eq(ledger.status[i], QURING_IN_DOUBT, "%s", quring_status_name(ledger.status[i]));
    }
    ledger_free(&ledger);
}

static void cut_everywhere(bool received, bool reset, uint64_t to, uint64_t step) {
    struct live observer;
    struct relay *relay = relay_open(live_port());
    live_open(&observer, &(quring_db_options){.connection_count = 1});
    live_script(&observer, "drop table if exists live_cut;\ncreate table live_cut (id int8 primary key)");
    uint32_t round = 0;
    for (uint64_t cut = 1; cut < to; cut += step)
        cut_link(&observer, relay,
                 &(struct relay_plan){.cut_after_received = received ? cut : RELAY_NEVER,
                                      .cut_after_sent = received ? RELAY_NEVER : cut,
                                      .reset = reset},
                 round++);
    live_exec(&observer, "drop table live_cut");
    live_close(&observer);
    relay_close(relay);
}

Test(pg_death, replies_cut_at_any_byte) {
    cut_everywhere(true, false, 700, 23);
}

Test(pg_death, replies_cut_with_a_reset) {
    cut_everywhere(true, true, 700, 37);
}

Test(pg_death, requests_cut_at_any_byte) {
    cut_everywhere(false, false, 900, 31);
}
