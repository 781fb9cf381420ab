/* SPDX-License-Identifier: MIT */
/* Queries that are given up are stopped on the server, and no other query comes to harm. */
#include "lib/live.h"
#include "lib/relay.h"

#include <stdio.h>
#include <stdlib.h>

static struct live live, watcher;
static struct live_gate gate;

static quring_db_stats stats(void) {
    quring_db_stats stats;
    quring_db_stats_get(live.db, &stats);
    return stats;
}

static void open_with(const char *url, const quring_db_options *options) {
    live_open_url(&live, url, NULL, options);
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
}

static void close_all(void) {
    live_close(&live);
    live_close(&watcher);
}

/* ---- The server's work ---- */

/* Makes turns, and asks over a connection of its own, until so many back ends are at queries with this mark. */
static void wait_until_at_work(const char *mark, int64_t count) {
    char sql[200];
    snprintf(sql, sizeof sql,
             "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like "
             "'%%%s%%'",
             mark);
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    for (int64_t seen = -1; seen != count;) {
        cr_assert_geq(quring_run(live.engine, 0, 0), 0);
        seen = live_int(&watcher, sql);
        cr_assert_lt(live_now_ns(), until, "%lld are at %s", (long long)seen, mark);
    }
}

static quring_id submit_at_gate(const char *mark, uint64_t timeout_ns) {
    char sql[200];
    snprintf(sql, sizeof sql, "select %s /* %s */", LIVE_AT_GATE, mark);
    return live_submit(&live, &(quring_query){.sql = sql, .timeout_ns = timeout_ns});
}

/* Returns whether it was sent. */
static bool end_with(quring_status status) {
    quring_done done = live_wait(&live);
    bool sent = done.sent;
    live_check_error(&done, status, "57014", "");
    live_release(&live, &done);
    return sent;
}

/* Where the time is over before the query was sent, the server knows nothing of it. Then it gets more of it. */
static void time_out_at_gate(const char *mark, uint64_t timeout_ns) {
    do {
        submit_at_gate(mark, timeout_ns);
        timeout_ns *= 2;
    } while (!end_with(QURING_TIMEOUT));
}

static void cancel_at_gate(const char *mark) {
    quring_id id = submit_at_gate(mark, 0);
    wait_until_at_work(mark, 1);
    cr_assert_eq(quring_cancel(live.engine, id), 0);
    end_with(QURING_CANCELLED);
}

static void wait_until_stopped(uint64_t count) {
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    while (stats().cancel_stopped_count < count) {
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
        cr_assert_lt(live_now_ns(), until, "%llu are stopped", (unsigned long long)stats().cancel_stopped_count);
    }
}

/* By a cancel while the server is at it, and by a timeout. */
static void check_both_stop(const char *mark, uint32_t connections) {
    live_gate_close(&gate);
    for (uint64_t count = 1; count <= 2; count++) {
        if (count == 1)
            cancel_at_gate(mark);
        else
            time_out_at_gate(mark, 200 * LIVE_MS);
        wait_until_stopped(count);
        wait_until_at_work(mark, 0);
        cr_assert_eq(live_int(&live, "select 7"), 7);
    }
    quring_db_stats now = stats();
    cr_assert_geq(now.cancel_count, 2);
    cr_assert_eq(now.cancel_stopped_count, 2);
    cr_assert_eq(now.connect_count, connections, "none was replaced");
    live_gate_open(&gate);
}

Test(pg_cancel, stops_the_work_of_the_server) {
    const char *const urls[] = {live_url(), live_socket_url()};
    for (int i = 0; i < 2; i++) {
        open_with(urls[i], &(quring_db_options){.connection_count = 1});
        live_connect(&live, 1);
        check_both_stop(i ? "over_a_socket" : "over_tcp", 1);
        close_all();
    }
}

/* libpq would ask in clear text, so it goes over the other connection. */
Test(pg_cancel, stops_the_work_of_the_server_over_tls) {
    open_with(live_env("QURING_TEST_PG_TLS_URL"), &(quring_db_options){.connection_count = 2});
    live_connect(&live, 2);
    check_both_stop("over_tls", 2);
    close_all();
}

/* Alone, it is closed, and its successor serves. The server finds out when it next writes to the one before. */
Test(pg_cancel, over_tls_a_connection_that_is_alone_is_replaced) {
    open_with(live_env("QURING_TEST_PG_TLS_URL"), &(quring_db_options){.connection_count = 1});
    live_gate_close(&gate);
    time_out_at_gate("alone", 100 * LIVE_MS);
    cr_assert_eq(live_int(&live, "select 7"), 7);
    cr_assert_eq(stats().connect_count, 2);
    cr_assert_eq(stats().connection_lost_count, 0);
    live_gate_open(&gate);
    close_all();
}

/* A pooler's process number is nobody's on the server, and its cancel may hit another client's query. */
Test(pg_cancel, behind_a_pooler_the_connection_is_replaced) {
    if (!getenv("QURING_TEST_PGBOUNCER_URL"))
        return;
    open_with(live_env("QURING_TEST_PGBOUNCER_URL"), &(quring_db_options){.connection_count = 1});
    live_gate_close(&gate);
    time_out_at_gate("pooled", 100 * LIVE_MS);
    cr_assert_eq(live_int(&live, "select 7"), 7);
    quring_db_stats now = stats();
    cr_assert(now.connect_count == 2 && now.connection_lost_count == 0 && now.cancel_count == 0);
    live_gate_open(&gate);
    close_all();
}

Test(pg_cancel, an_exclusive_handle_goes_on_in_its_transaction) {
    open_with(live_url(), &(quring_db_options){.exclusive = true});
    live_exec(&live, "create temp table kept (a int)");
    live_exec(&live, "begin");
    live_exec(&live, "insert into kept values (1)");
    live_exec(&live, "savepoint before");
    live_gate_close(&gate);
    quring_id id = submit_at_gate("exclusive", 0);
    wait_until_at_work("exclusive", 1);
    cr_assert_eq(quring_cancel(live.engine, id), 0);
    end_with(QURING_CANCELLED);
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    live_check_error(&done, QURING_SERVER_ERROR, "25P02", "");
    live_release(&live, &done);
    live_exec(&live, "rollback to before");
    live_exec(&live, "commit");
    cr_assert_eq(live_int(&live, "select count(*) from kept"), 1);
    live_gate_open(&gate);
    close_all();
}

/* ---- A server that hangs ---- */

/* The connection is there, and from now on nobody answers those that come: nothing waits for the cancel's end. */
Test(pg_cancel, closing_does_not_wait_for_a_server_that_hangs) {
    struct relay *relay = relay_open(live_port());
    open_with(live_url_by_port(relay_port(relay)), &(quring_db_options){.connection_count = 2});
    live_connect(&live, 2);
    uint32_t before = relay_accepted_count(relay);
    relay_set(relay, &(struct relay_plan){.mute = true});
    live_gate_close(&gate);
    time_out_at_gate("hangs", 50 * LIVE_MS);
    while (relay_accepted_count(relay) == before)
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
    cr_assert_eq(live_int(&live, "select 7"), 7, "the other connection serves");
    live_close(&live);
    live_gate_open(&gate);
    live_close(&watcher);
    relay_close(relay);
}

/* Nobody knows whether the request comes to the server yet, so no other query is sent where it may hit. It is asked again. */
Test(pg_cancel, a_request_that_is_cut_off_ends_the_connection) {
    struct relay *relay = relay_open(live_port());
    struct relay_plan plan = {.cut_after_received = RELAY_NEVER, .cut_after_sent = RELAY_NEVER, .cut_cancels = true};
    relay_set(relay, &plan);
    open_with(live_url_by_port(relay_port(relay)), &(quring_db_options){.connection_count = 1});
    live_connect(&live, 1);
    uint32_t before = relay_accepted_count(relay);
    live_gate_close(&gate);
    submit_at_gate("cut_off", 50 * LIVE_MS);
    end_with(QURING_TIMEOUT);
    while (relay_accepted_count(relay) == before)
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
    plan.cut_cancels = false;
    relay_set(relay, &plan);
    cr_assert_eq(live_int(&live, "select 7"), 7);
    quring_db_stats now = stats();
    cr_assert(now.connect_count == 2 && now.connection_lost_count == 0, "it was ended");
    cr_assert(now.cancel_count == 1 && now.cancel_stopped_count == 1, "of two that were asked");
    live_gate_open(&gate);
    close_all();
    relay_close(relay);
}

/* It is asked again, and the connection is kept: another could not be made now. */
Test(pg_cancel, a_request_that_is_refused_is_asked_again) {
    struct relay *relay = relay_open(live_port());
    struct relay_plan plan = {.cut_after_received = RELAY_NEVER, .cut_after_sent = RELAY_NEVER, .refuse_cancels = true};
    relay_set(relay, &plan);
    open_with(live_url_by_port(relay_port(relay)), &(quring_db_options){.connection_count = 1});
    live_connect(&live, 1);
    uint32_t before = relay_accepted_count(relay);
    live_gate_close(&gate);
    submit_at_gate("refused", 50 * LIVE_MS);
    end_with(QURING_TIMEOUT);
    while (relay_accepted_count(relay) == before)
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
    plan.refuse_cancels = false;
    relay_set(relay, &plan);
    cr_assert_eq(live_int(&live, "select 7"), 7);
    quring_db_stats now = stats();
    cr_assert(now.connect_count == 1 && now.connection_lost_count == 0);
    cr_assert(now.cancel_count == 1 && now.cancel_stopped_count == 1, "of two that were asked");
    live_gate_open(&gate);
    close_all();
    relay_close(relay);
}

/* ---- How often a server is told ---- */

enum { DEEP = 4, SLOW = 16, QUICK = 15 }; /* all are sent at once */

struct deep {
    struct ledger ledger;
    uint32_t unsent;
};

static void note_deep(struct live *of, const quring_done *done, void *context) {
    struct deep *deep = context;
    ledger_note(of, done, &deep->ledger);
    deep->unsent += !done->sent;
}

/* Returns false if the time of some was over before they were sent. */
static bool give_up_at_depth_64(uint64_t timeout_ns) {
    struct deep deep = {.unsent = 0};
    uint64_t stopped_before = stats().cancel_stopped_count;
    ledger_init(&deep.ledger, SLOW + SLOW * QUICK);
    for (uint32_t i = 0; i < deep.ledger.count; i++) {
        bool slow = i % (QUICK + 1) == 0;
        live_submit(&live, &(quring_query){.sql = slow ? "select $1::int8 from live_gate" : "select $1::int8",
                                           .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                           .user_data = i,
                                           .timeout_ns = slow ? timeout_ns : 0});
    }
    live_drain(&live, note_deep, &deep);
    ledger_check(&deep.ledger);
    cr_assert_eq(deep.ledger.by_status[QURING_TIMEOUT], SLOW, "%u", deep.ledger.by_status[QURING_TIMEOUT]);
    cr_assert_eq(deep.ledger.by_status[QURING_OK], SLOW * QUICK);
    ledger_free(&deep.ledger);
    if (deep.unsent)
        return false;
    quring_db_stats now = stats();
    printf("%d given up at depth 64, %llu cancels, %llu stopped\n", SLOW, (unsigned long long)now.cancel_count,
           (unsigned long long)now.cancel_stopped_count);
    cr_assert_geq(now.cancel_stopped_count - stopped_before, SLOW - DEEP);
    return true;
}

/* A slow query among quick ones on every connection, as deep as the default: most that are given up are stopped. */
Test(pg_cancel, deadlines_reach_the_server_at_depth_64) {
    open_with(live_url(), &(quring_db_options){.connection_count = DEEP, .depth = 64});
    live_connect(&live, DEEP);
    live_gate_close(&gate);
    for (uint64_t timeout_ns = 100 * LIVE_MS; !give_up_at_depth_64(timeout_ns); timeout_ns *= 2) {
    }
    live_gate_open(&gate);
    close_all();
}

/* ---- Races ---- */

enum { CONNECTIONS = 32, DEPTH = 8, OUT_COUNT = 96, RACES = LIVE_SANITIZED ? 4000 : 20000 };

struct race {
    struct ledger ledger;
    uint64_t random;
    uint32_t submitted, wanted, given_up, inserted, victims;
    bool *is_victim;
};

static uint64_t race_random(struct race *race, uint64_t below) {
    race->random = race->random * 6364136223846793005u + 1442695040888963407u;
    return (race->random >> 33) % below;
}

static quring_id ids[OUT_COUNT];

static void race_submit(struct race *race) {
    uint32_t number = race->submitted++;
    uint64_t identity = live_identity(number), kind = race_random(race, 8);
    bool victim = kind >= 5;
    race->is_victim[number] = victim;
    quring_query query = {.sql = victim      ? "select $1::int8 from pg_sleep(0.002 + 0.006 * random())"
                                 : kind == 0 ? "insert into raced values ($1) returning id"
                                             : "select $1::int8",
                          .params = QURING_PARAMS(quring_int64((int64_t)identity)),
                          .user_data = number,
                          .timeout_ns = victim && kind > 5 ? 500000 + race_random(race, 8 * LIVE_MS) : 0,
                          .commit = race_random(race, 4) == 0 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH};
    race->inserted += kind == 0;
    quring_id id = live_submit(&live, &query);
    if (victim)
        ids[race->victims++ % OUT_COUNT] = id;
}

static void race_note(struct live *of, const quring_done *done, void *context) {
    struct race *race = context;
    ledger_note(of, done, &race->ledger);
    bool given_up = done->status == QURING_TIMEOUT || done->status == QURING_CANCELLED;
    race->given_up += given_up;
    if (given_up)
        cr_assert(race->is_victim[done->user_data], "query %llu was not given up", (unsigned long long)done->user_data);
    else
        live_check_ok(done, "a query that was not given up");
}

Test(pg_cancel, hits_no_other_query) {
    const char *wanted = getenv("QURING_TEST_CANCELS");
    struct race race = {.random = 42, .wanted = wanted ? (uint32_t)strtoul(wanted, NULL, 10) : RACES};
    uint32_t most = 64 * race.wanted;
    ledger_init(&race.ledger, most);
    race.is_victim = calloc(most, sizeof *race.is_victim);
    live_open(&live, &(quring_db_options){.connection_count = CONNECTIONS, .depth = DEPTH});
    live_connect(&live, CONNECTIONS);
    live_script(&live, "drop table if exists raced;\ncreate table raced (id int8 primary key)");
    quring_db_stats before = stats();
    while (race.given_up < race.wanted && race.submitted < most) {
        while (quring_pending(live.engine) < OUT_COUNT && race.submitted < most)
            race_submit(&race);
        if (race_random(&race, 2))
            (void)quring_cancel(live.engine, ids[race_random(&race, OUT_COUNT)]);
        cr_assert_geq(quring_run(live.engine, 1, LIVE_MS), 0);
        live_reap(&live, race_note, &race);
    }
    live_drain(&live, race_note, &race);
    race.ledger.count = race.submitted;
    ledger_check(&race.ledger);
    cr_assert_geq(race.given_up, race.wanted);
    quring_db_stats after = stats();
    cr_assert_eq(live_int(&live, "select count(*) from raced"), race.inserted);
    printf("%u queries, %u given up, %llu cancels, %llu stopped, %llu ran again, %llu connections\n", race.submitted,
           race.given_up, (unsigned long long)(after.cancel_count - before.cancel_count),
           (unsigned long long)(after.cancel_stopped_count - before.cancel_stopped_count),
           (unsigned long long)(after.retry_count - before.retry_count), (unsigned long long)after.connect_count);
    cr_assert_eq(after.connect_count, CONNECTIONS, "none was lost");
    live_exec(&live, "drop table raced");
    free(race.is_victim);
    ledger_free(&race.ledger);
    live_close(&live);
}
