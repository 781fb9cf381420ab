/* SPDX-License-Identifier: MIT */
#include "lib/pg_batches.h"

#include <stdio.h>

enum { FIRST_ROW = 1000 };

struct live live, other;

void open_both(const char *url, const quring_db_options *options) {
    char own[400];
    snprintf(own, sizeof own, "%s", url); /* live_url_with() has one text for all calls */
    live_open(&other, &(quring_db_options){.exclusive = true});
    live_open_url(&live, own, &(quring_options){.query_count = 20000}, options);
    live_script(&other, "drop table if exists live_child, live_batch cascade;\n"
                        "create table live_batch (id int8 primary key, n int8 not null default 0);\n"
                        "insert into live_batch values (1, 0), (2, 0)");
}

void close_both(void) {
    live_exec(&other, "drop table if exists live_child, live_batch cascade");
    live_close(&live);
    live_close(&other);
}

int64_t rows(void) {
    return live_int(&other, "select count(*) from live_batch where id > 2");
}

uint64_t retry_count(void) {
    quring_db_stats stats;
    quring_db_stats_get(live.db, &stats);
    return stats.retry_count;
}

void run_until_blocked(int64_t count) {
    while (live_int(&other, "select count(*) from pg_locks where not granted") < count)
        cr_assert_geq(quring_run(live.engine, 0, LIVE_MS), 0);
}

/* ---- Many ---- */

void note_fate(struct live *l, const quring_done *done, void *context) {
    struct fates *fates = context;
    uint64_t batch = (done->user_data - FIRST_ROW) / fates->member_count;
    (void)l;
    cr_assert_lt(batch, fates->batch_count);
    fates->ended[batch]++;
    fates->ok[batch] += done->status == QURING_OK;
    fates->doubtful[batch] += done->status == QURING_IN_DOUBT;
    fates->by_status[done->status]++;
}

static int64_t rows_of(const struct fates *fates, uint32_t batch) {
    int64_t count = -1, first = FIRST_ROW + (int64_t)batch * fates->member_count;
    quring_done done = live_query(&other, "select count(*) from live_batch where id >= $1 and id < $2",
                                  quring_int64(first), quring_int64(first + fates->member_count));
    live_check_ok(&done, "count");
    cr_assert_eq(quring_get_int64(done.result, 0, 0, &count), 0);
    live_release(&other, &done);
    return count;
}

void check_fates(const struct fates *fates) {
    for (uint32_t batch = 0; batch < fates->batch_count; batch++) {
        uint32_t all = fates->member_count;
        int64_t count = rows_of(fates, batch);
        cr_assert_eq(fates->ended[batch], all, "batch %u", batch);
        cr_assert(count == 0 || count == all, "batch %u has %lld rows", batch, (long long)count);
        cr_assert(fates->ok[batch] == 0 || fates->ok[batch] == all, "batch %u", batch);
        if (fates->ok[batch])
            cr_assert_eq(count, all, "batch %u was acknowledged", batch);
        else if (!fates->doubtful[batch])
            cr_assert_eq(count, 0, "batch %u took no effect, it was said", batch);
    }
}
