/* SPDX-License-Identifier: MIT */
/* Pools that grow, shrink and renew themselves under load, as the server sees them: and no query suffers from it. */
#include "lib/load.h"
#include "lib/relay.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIDS = 64 };

static struct live live, watcher;

static quring_stats stats_now(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats;
}

static void open_pool(const quring_db_options *options) {
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    live_open_url(&live, live_url_with("application_name=pooled"), NULL, options);
}

static void close_pool(void) {
    live_close(&live);
    live_close(&watcher);
}

/* The server's processes for the pool. */
static int pids_now(int64_t *pids) {
    quring_done done = live_query(&watcher, "select pid from pg_stat_activity where application_name = $1::text",
                                  quring_text("pooled"));
    live_check_ok(&done, "pg_stat_activity");
    int count = (int)quring_row_count(done.result);
    cr_assert_leq(count, PIDS);
    for (int i = 0; i < count; i++)
        cr_assert_eq(quring_get_int64(done.result, (uint64_t)i, 0, &pids[i]), 0);
    live_release(&watcher, &done);
    return count;
}

static int count_now(void) {
    int64_t pids[PIDS];
    return pids_now(pids);
}

static bool any_of_them(const int64_t *before, int before_count) {
    int64_t now[PIDS];
    int count = pids_now(now);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < before_count; j++)
            if (now[i] == before[j])
                return true;
    return false;
}

static void load_until_count(struct load *load, int count) {
    for (uint64_t until = live_now_ns() + LIVE_STALL_NS; count_now() != count;) {
        cr_assert(load_step(load, &live, 5 * LIVE_MS));
        cr_assert_lt(live_now_ns(), until, "%d connections, not %d", count_now(), count);
    }
}

static void run_until_count(int count) {
    for (uint64_t until = live_now_ns() + LIVE_STALL_NS; count_now() != count;) {
        cr_assert_geq(quring_run(live.engine, 0, 10 * LIVE_MS), 0);
        cr_assert_lt(live_now_ns(), until, "%d connections, not %d", count_now(), count);
    }
}

static void finish_all_ok(struct load *load) {
    load->closed = true;
    load_finish(load, &live);
    cr_assert_eq(load->ledger.by_status[QURING_OK], load->submitted, "%u lost, %u in doubt",
                 load->ledger.by_status[QURING_NOT_SENT], load->ledger.by_status[QURING_IN_DOUBT]);
    cr_assert_eq(stats_now().connection_lost_count, 0);
    if (load->inserts)
        load_check_inserts(load, &live);
    load_close(load);
}

static struct load some_load(quring_commit_mode commit) {
    return (struct load){.count = 1000000, .window = 300, .inserts = true, .commit = commit};
}

Test(pg_pools, drain_under_load) {
    for (int round = 0; round < 2; round++) {
        struct load load = some_load(round ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH);
        int64_t before[PIDS];
        open_pool(&(quring_db_options){.connection_count = 8, .depth = 16});
        load_open(&load, &live);
        load_until_count(&load, 8);
        for (int drains = 0; drains < 3; drains++) {
            int count = pids_now(before);
            cr_assert_eq(quring_db_drain(live.db), 0);
            while (any_of_them(before, count))
                cr_assert(load_step(&load, &live, 5 * LIVE_MS));
            load_until_count(&load, 8);
        }
        while (stats_now().connect_count < 8 + 3 * 8) /* the server sees them before their first exchange is over */
            cr_assert(load_step(&load, &live, 5 * LIVE_MS));
        finish_all_ok(&load);
        close_pool();
    }
}

Test(pg_pools, resize_up_and_down_under_load) {
    struct load load = some_load(QURING_COMMIT_EACH);
    open_pool(&(quring_db_options){.connection_count = 4, .depth = 16});
    load_open(&load, &live);
    static const uint32_t sizes[] = {4, 16, 3, 1, 12, 8};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert_eq(quring_db_resize(live.db, sizes[i]), 0);
        load_until_count(&load, (int)sizes[i]);
    }
    finish_all_ok(&load);
    close_pool();
}

Test(pg_pools, grows_with_demand_and_shrinks_when_idle) {
    struct load load = some_load(QURING_COMMIT_EACH);
    open_pool(&(quring_db_options){
        .connection_count = 6, .connection_min_count = 2, .connection_idle_ns = 200 * LIVE_MS, .depth = 16});
    live_connect(&live, 2);
    run_until_count(2); /* what came at once may have wanted more */
    for (int i = 0; i < 10; i++)
        cr_assert_eq(live_int(&live, "select 1"), 1);
    cr_assert_eq(count_now(), 2, "one query at a time needs no more");
    load_open(&load, &live);
    load_until_count(&load, 6);
    finish_all_ok(&load);
    run_until_count(2);
    cr_assert_eq(live_int(&live, "select 2"), 2);
    close_pool();
}

Test(pg_pools, none_gets_older_than_its_lifetime_by_much) {
    struct load load = some_load(QURING_COMMIT_EACH);
    open_pool(&(quring_db_options){.connection_count = 4, .connection_lifetime_ns = 300 * LIVE_MS, .depth = 16});
    load_open(&load, &live);
    while (stats_now().connect_count < 20)
        cr_assert(load_step(&load, &live, 10 * LIVE_MS));
    finish_all_ok(&load);
    close_pool();
}

/* The server has place for five of twelve. Those serve, and the others try less and less often. */
Test(pg_pools, surplus_connections_wait_for_a_place) {
    char url[100];
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    live_script(&watcher, "drop role if exists pool_limited;\n"
                          "create role pool_limited login password 'secret' connection limit 5");
    snprintf(url, sizeof url, "postgresql://pool_limited:secret@127.0.0.1:%u/quring", live_port());
    live_open_url(&live, url, NULL, &(quring_db_options){.connection_count = 12});
    while (stats_now().connect_failure_count < 6 || stats_now().connection_count < 5) {
        quring_done done = live_query(&live, "select pg_sleep(0.001)");
        if (stats_now().connection_count >= 5)
            live_check_ok(&done, "while others find no place");
        live_release(&live, &done);
        cr_assert_leq(stats_now().connection_count, 5);
    }
    live_script(&watcher, "alter role pool_limited connection limit -1");
    live_connect(&live, 12);
    live_close(&live);
    while (live_int(&watcher, "select count(*) from pg_stat_activity where usename = 'pool_limited'"))
        ;
    live_script(&watcher, "drop role pool_limited");
    live_close(&watcher);
}

static void rest_for(uint64_t ns) {
    for (uint64_t until = live_now_ns() + ns; live_now_ns() < until;)
        cr_assert_geq(quring_run(live.engine, 0, 10 * LIVE_MS), 0);
}

/* The answer comes in a turn before the one that gives the query to the connection. */
Test(pg_pools, health_check_of_connections_that_were_quiet_for_a_moment) {
    live_open(&live, &(quring_db_options){.connection_count = 2, .health_check_ns = 1});
    for (int i = 0; i < 100; i++)
        cr_assert_eq(live_int(&live, "select 1"), 1);
    live_close(&live);
}

/* Returns false if a machine that is slow was taken for a connection that hangs. */
static bool asks_those_that_are_there(struct relay *relay, uint64_t silence_ns) {
    live_open_url(
        &live, live_url_by_port(relay_port(relay)), NULL,
        &(quring_db_options){.connection_count = 4, .health_check_ns = 100 * LIVE_MS, .silence_ns = silence_ns});
    live_connect(&live, 4);
    cr_assert_eq(live_int(&live, "select 1"), 1);
    rest_for(150 * LIVE_MS);
    cr_assert_eq(live_int(&live, "select 2"), 2, "asked, and there");
    return stats_now().connection_lost_count == 0;
}

/* All that is idle hangs by the time that queries come: none is in doubt, and all are served in the end. */
Test(pg_pools, health_check_of_connections_that_hang) {
    struct relay *relay = relay_open(live_port());
    for (uint64_t silence_ns = 300 * LIVE_MS; !asks_those_that_are_there(relay, silence_ns); silence_ns *= 2) {
        cr_assert_lt(silence_ns, LIVE_STALL_NS, "those that are there are taken for some that hang");
        live_close(&live);
    }
    rest_for(150 * LIVE_MS);
    relay_hold(relay, true);
    for (int i = 0; i < 20; i++)
        live_submit(&live, &(quring_query){.sql = "select 3"});
    while (stats_now().connection_lost_count < 4)
        cr_assert_eq(quring_run(live.engine, 0, 10 * LIVE_MS), 0, "none has ended");
    relay_hold(relay, false);
    for (int i = 0; i < 20; i++) {
        quring_done done = live_wait(&live);
        live_check_ok(&done, "it was never sent to one that hung");
        live_release(&live, &done);
    }
    live_close(&live);
    relay_close(relay);
}
