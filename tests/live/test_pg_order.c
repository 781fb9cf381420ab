/* SPDX-License-Identifier: MIT */
/* Order keys on a real server: the rows tell in which order queries of a key were carried out. */
#include "lib/counters.h"

#include <stdio.h>

enum { COUNT = LIVE_SANITIZED ? 1500 : 5000, KEYS = 16 };

static struct live live;

static void open_conns(uint32_t depth) {
    live_open(&live, &(quring_db_options){.connection_count = 8, .depth = depth});
    live_connect(&live, 8);
}

Test(pg_order, counters_count_as_their_queries_were_submitted) {
    for (uint32_t round = 0; round < 3; round++) {
        struct counters counters = {
            .count = COUNT, .key_count = KEYS, .window = 2000, .grouped = round > 0, .seed = 1 + round};
        open_conns(round == 2 ? 4 : 64);
        counters_run(&counters, &live);
        cr_assert_eq(counters.by_status[QURING_OK], COUNT);
        live_close(&live);
    }
}

Test(pg_order, counters_with_queries_that_are_given_up) {
    struct counters counters = {
        .count = COUNT, .key_count = KEYS, .window = 500, .grouped = true, .gives_up = true, .seed = 9};
    open_conns(16);
    counters_run(&counters, &live);
    cr_assert_eq(counters.by_status[QURING_OK] + counters.by_status[QURING_TIMEOUT] +
                     counters.by_status[QURING_CANCELLED],
                 COUNT);
    live_close(&live);
}

Test(pg_order, each_sees_its_own_writes_without_waiting) {
    open_conns(64);
    counters_read_own_writes(&live, COUNT / 4);
    live_close(&live);
}

/* ---- Losses ---- */

struct killing {
    uint32_t by_status[QURING_SHUTDOWN + 1];
    uint32_t ended_count;
};

static void note_kill(struct live *of, const quring_done *done, void *context) {
    struct killing *killing = context;
    (void)of;
    killing->ended_count++;
    killing->by_status[done->status]++;
}

/* Each notes how many of its key had been before it, and the number that it was submitted with. */
static const char step[] = "with c as (update counters set n = n + 1 where key = $1 returning n) "
                           "insert into steps select $1, n, $2 from c";

static void submit_step(uint32_t number) {
    uint64_t key = 1 + live_identity(number) % KEYS;
    live_submit(&live, &(quring_query){.sql = step,
                                       .params = QURING_PARAMS(quring_int64((int64_t)key), quring_int64(number)),
                                       .user_data = number,
                                       .order_key = key,
                                       .commit = number % 3 ? QURING_COMMIT_EACH : QURING_COMMIT_GROUP});
}

static void end_some(struct live *killer) {
    live_release(killer, (quring_done[]){live_query(
                             killer,
                             "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where "
                             "application_name = 'quring' and datname = 'quring' and backend_type = 'client backend' "
                             "order by random() limit $1::int4) v",
                             quring_int32(2))});
}

/* A back end that is ended carries out nothing afterwards, so nothing at all may be out of order. */
Test(pg_order, back_ends_that_are_ended_leave_no_step_out_of_order) {
    enum { KILLS = 20 };
    struct live killer;
    struct killing killing = {{0}, 0};
    open_conns(32);
    live_open_url(&killer, live_url_with("application_name=killer"), NULL, &(quring_db_options){.connection_count = 1});
    live_script(&live, "drop table if exists counters;\n"
                       "create table counters(key bigint primary key, n bigint not null);\n"
                       "insert into counters select k, 0 from generate_series(1, 16) k;\n"
                       "drop table if exists steps;\n"
                       "create table steps(key bigint, n bigint, number bigint)");
    uint32_t submitted = 0;
    for (uint32_t kill = 1; kill <= KILLS; kill++) {
        while (submitted < COUNT / KILLS * kill) {
            submit_step(submitted++);
            if (quring_pending(live.engine) > 600)
                cr_assert_geq(quring_run(live.engine, 100, LIVE_STALL_NS), 0);
            (void)live_reap(&live, note_kill, &killing);
        }
        cr_assert_geq(quring_run(live.engine, 1, LIVE_STALL_NS), 0);
        end_some(&killer);
        if (kill % 2)
            continue; /* keys that are lost go on being asked for */
        live_drain(&live, note_kill, &killing);
        live_connect(&live, 8);
    }
    live_drain(&live, note_kill, &killing);
    cr_assert_eq(killing.ended_count, submitted);
    cr_assert_gt(killing.by_status[QURING_IN_DOUBT], 0);
    cr_assert_gt(killing.by_status[QURING_NOT_SENT], 0);
    cr_assert_gt(killing.by_status[QURING_OK], COUNT / 10);
    int64_t steps = live_int(&killer, "select count(*) from steps");
    cr_assert_geq(steps, killing.by_status[QURING_OK]);
    cr_assert_leq(steps, killing.by_status[QURING_OK] + killing.by_status[QURING_IN_DOUBT]);
    cr_assert_eq(live_int(&killer,
                          "select count(*) from (select number < lag(number) over (partition by key order by n) "
                          "as late from steps) v where late"),
                 0);
    live_close(&killer);
    live_close(&live);
}
