/* SPDX-License-Identifier: MIT */
#include "core/stats.h"

#include <string.h>

/* Of all that were given away, those that no turn had left behind are what remains when the others are taken off. */
static void stats_count_waits(const struct quring_db *db, uint64_t *wait_count) {
    const struct db_counters *counters = &db->counters;
    memcpy(wait_count, db->wait_count, sizeof db->wait_count);
    wait_count[0] = counters->submitted_count + counters->retry_count - db_waiting_count(db) - db->ended_waiting_count;
    for (size_t i = 1; i < QURING_WAIT_BUCKETS; i++)
        wait_count[0] -= wait_count[i];
}

void stats_fill(const struct quring_db *db, quring_db_stats *stats) {
    const struct db_counters *counters = &db->counters;
    *stats = (quring_db_stats){
        .submitted_count = counters->submitted_count,
        .row_count = counters->row_count,
        .retry_count = counters->retry_count,
        .connect_count = counters->connect_count,
        .connect_failure_count = counters->connect_failure_count,
        .connection_lost_count = counters->connection_lost_count,
        .prepare_count = counters->prepare_count,
        .notice_count = counters->notice_count,
        .waiting_count = db_waiting_count(db),
        .inflight_count = db->running_count,
        .waiting_peak_count = db->waiting_peak_count,
        .cancel_count = counters->cancel_count,
        .cancel_stopped_count = counters->cancel_stopped_count,
    };
    memcpy(stats->done_count, counters->done_count, sizeof stats->done_count);
    if (db->backend->fill_stats)
        db->backend->fill_stats(db, stats);
    else
        stats_count_waits(db, stats->wait_count);
}
