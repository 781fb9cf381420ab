/* SPDX-License-Identifier: MIT */
#include "lib/counters.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>

static void counters_make_table(const struct counters *counters, struct live *live) {
    live_exec(live, "drop table if exists counters");
    live_exec(live, "create table counters(key bigint primary key, n bigint not null)");
    for (uint32_t key = 1; key <= counters->key_count; key++) {
        quring_done done = live_query(live, "insert into counters values($1, 0)", quring_int64(key));
        live_check_ok(&done, "insert");
        live_release(live, &done);
    }
}

static void counters_submit(struct counters *counters, struct live *live, struct rng *rng, uint32_t number) {
    uint64_t key = 1 + rng_below(rng, rng_below(rng, 2) ? 1 + counters->key_count / 8 : counters->key_count);
    bool writes = counters->gives_up || rng_below(rng, 2);
    quring_query query = {.sql = writes ? "update counters set n = n + 1 where key = $1 returning n"
                                        : "select n from counters where key = $1",
                          .params = QURING_PARAMS(quring_int64((int64_t)key)),
                          .user_data = number,
                          .order_key = key,
                          .commit = counters->grouped && rng_below(rng, 2) ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH};
    counters->increments[key - 1] += writes;
    counters->expected[number] = counters->increments[key - 1];
    if (counters->gives_up && rng_below(rng, 20) == 0)
        query.timeout_ns = 1 + rng_below(rng, 2 * LIVE_MS);
    quring_id id = live_submit(live, &query);
    if (counters->gives_up && rng_below(rng, 20) == 0)
        cr_assert_eq(quring_cancel(live->engine, id), 0);
}

static void counters_note(struct live *live, const quring_done *done, void *context) {
    struct counters *counters = context;
    int64_t n = 0;
    (void)live;
    counters->ended_count++;
    counters->by_status[done->status]++;
    if (done->status != QURING_OK)
        return;
    cr_assert_eq(quring_row_count(done->result), 1);
    cr_assert_eq(quring_get_int64(done->result, 0, 0, &n), 0);
    uint64_t expected = counters->expected[done->user_data];
    bool well = counters->gives_up ? (uint64_t)n <= expected : (uint64_t)n == expected;
    cr_assert(well, "query %llu found %lld, not %llu", (unsigned long long)done->user_data, (long long)n,
              (unsigned long long)expected);
}

void counters_run(struct counters *counters, struct live *live) {
    struct rng rng = {counters->seed};
    counters->expected = calloc(counters->count, sizeof *counters->expected);
    counters->increments = calloc(counters->key_count, sizeof *counters->increments);
    counters_make_table(counters, live);
    for (uint32_t number = 0; number < counters->count;) {
        for (uint64_t burst = 1 + rng_below(&rng, 200); burst && number < counters->count; burst--)
            if (quring_pending(live->engine) < counters->window)
                counters_submit(counters, live, &rng, number++);
        cr_assert_geq(quring_run(live->engine, quring_pending(live->engine) < counters->window ? 0 : 1, LIVE_STALL_NS),
                      0);
        (void)live_reap(live, counters_note, counters);
    }
    live_drain(live, counters_note, counters);
    cr_assert_eq(counters->ended_count, counters->count);
    free(counters->expected);
    free(counters->increments);
}

static void counters_note_own(struct live *live, const quring_done *done, void *context) {
    int64_t n = 0;
    (void)live;
    (void)context;
    live_check_ok(done, "one of a pair");
    if (done->user_data % 2 == 0)
        return;
    cr_assert_eq(quring_get_int64(done->result, 0, 0, &n), 0);
    cr_assert_eq(n, 1, "pair %llu: its row was not seen", (unsigned long long)done->user_data / 2);
}

void counters_read_own_writes(struct live *live, uint32_t pairs) {
    live_exec(live, "drop table if exists own_writes");
    live_exec(live, "create table own_writes(id bigint primary key)");
    for (uint32_t i = 0; i < pairs; i++) {
        quring_param id = quring_int64(i);
        live_submit(live, &(quring_query){.sql = "insert into own_writes values($1)",
                                          .params = &id,
                                          .param_count = 1,
                                          .user_data = 2 * i,
                                          .order_key = 1 + i});
        live_submit(live, &(quring_query){.sql = "select count(*) from own_writes where id = $1",
                                          .params = &id,
                                          .param_count = 1,
                                          .user_data = 2 * i + 1,
                                          .order_key = 1 + i});
        if (quring_pending(live->engine) > 1000) {
            cr_assert_geq(quring_run(live->engine, 1, LIVE_STALL_NS), 0);
            (void)live_reap(live, counters_note_own, NULL);
        }
    }
    live_drain(live, counters_note_own, NULL);
}
