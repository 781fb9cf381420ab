/* SPDX-License-Identifier: MIT */
/*
 * An ATOMIC batch on the writer's lane:
 *
 *      BEGIN IMMEDIATE --> member … --> COMMIT --> outcomes are handed out
 *             |               |            |
 *             |               |            +--failed--> ROLLBACK, all with its error, or IN_DOUBT with it
 *             |               +--failed, given up ----> ROLLBACK, it with its error, the others SKIPPED
 *             +--failed-------------------------------> all with its error
 *
 * No other connection can write between BEGIN IMMEDIATE and COMMIT, so there is no conflict to run it again for: only the
 * lock has to be waited for, as long as busy_timeout_ns. SQLite goes on with a transaction after most errors; here the first
 * one ends the batch, as it does on PostgreSQL.
 */
#include "lite/lane.h"
#include "lite/lite_error.h"
#include "lite/text.h"

/* The members at hand: taken[first … first + count). */
struct lite_batch {
    uint32_t first, count;
    bool writes; /* one of them may */
};

static struct query *batch_member(const struct lite_lane *lane, const struct lite_batch *run, uint32_t at) {
    PRE(at < run->count);
    return lane->own.taken[run->first + at];
}

static void batch_look(const struct lite_lane *lane, struct lite_batch *run) {
    uint32_t first = lane->own.next;
    *run = (struct lite_batch){.first = first, .count = lite_batch_count(lane, first)};
    for (uint32_t i = 0; i < run->count; i++)
        run->writes |= !(lite_query(batch_member(lane, run, i))->route & LITE_READS);
}

/* BEGIN or COMMIT failed, which is no member's error. */
static void batch_end_all(struct lite_lane *lane, const struct lite_batch *run, int code) {
    quring_status status = lite_conn_failed_status(&lane->conn, code);
    struct query *first = batch_member(lane, run, 0);
    error_clear(&first->error);
    lite_conn_error(&lane->conn, code, NULL, &first->error);
    const quring_error *why = &first->error.view;
    for (uint32_t i = 0; i < run->count; i++) {
        struct query *query = batch_member(lane, run, i);
        if (status != QURING_IN_DOUBT)
            lite_batch_forget(lane, query);
        query->status = (uint8_t)status;
        if (i > 0) {
            error_set(&query->error, why->sqlstate, why->message, why->detail, why->hint, 0);
            query->error.view.backend_code = why->backend_code;
        }
        lite_chain_add(&lane->own.finished, query);
    }
}

/* The file's mode can't be changed within a transaction; that of a new file not before it was written. */
static void batch_enter_wal(struct lite_lane *lane, const struct lite_batch *run) {
    if (base_unlikely(run->writes && lane->conn.wal == LITE_WAL_WANTED))
        lite_wal_enter(&lane->conn);
}

/* Returns the number of the member that failed or was given up, from 0; or how many there are. */
static uint32_t batch_run_members(struct lite_lane *lane, const struct lite_batch *run) {
    for (uint32_t i = 0; i < run->count; i++) {
        struct query *query = batch_member(lane, run, i);
        (void)lite_lane_run(lane, query); /* the writer moves nothing */
        bool stands = query->status == QURING_OK || query->status == QURING_LIMIT;
        if (!stands || !lite_conn_in_transaction(&lane->conn))
            return i;
    }
    return run->count;
}

/* Until it is begun all of it may be handed back, whenever the lane looks for queries that were given up. */
static bool batch_is_gone(const struct lite_lane *lane, const struct lite_batch *run) {
    return !batch_member(lane, run, 0);
}

static int batch_begin(struct lite_lane *lane, const struct lite_batch *run) {
    int code = SQLITE_OK;
    lite_lane_drop_abandoned(lane);
    lite_lane_watch_next(lane);
    if (!batch_is_gone(lane, run))
        batch_enter_wal(lane, run);
    if (!batch_is_gone(lane, run))
        code = lite_conn_control(&lane->conn, run->writes ? LITE_BEGIN_IMMEDIATE : LITE_BEGIN);
    lite_lane_unwatch_next(lane);
    if (batch_is_gone(lane, run))
        return SQLITE_INTERRUPT;
    if (code == SQLITE_OK)
        lane->conn.watch.locked_since_ns = 0;
    return code;
}

static void batch_run(struct lite_lane *lane, const struct lite_batch *run) {
    uint32_t failed = batch_run_members(lane, run);
    if (failed < run->count) {
        lite_conn_roll_back(&lane->conn);
        lite_batch_end_failed(lane, run->first, run->count, failed);
        return;
    }
    int code = lite_conn_control(&lane->conn, LITE_COMMIT);
    if (code != SQLITE_OK) {
        batch_end_all(lane, run, code);
        lite_conn_roll_back(&lane->conn);
        return;
    }
    for (uint32_t i = 0; i < run->count; i++)
        lite_chain_add(&lane->own.finished, batch_member(lane, run, i));
    batch_enter_wal(lane, run);
}

void lite_lane_run_batch(struct lite_lane *lane) {
    PRE(lane->conn.role == LITE_WRITER);
    struct lite_batch run;
    batch_look(lane, &run);
    int code = batch_begin(lane, &run);
    lane->own.next += run.count;
    if (code == SQLITE_OK) {
        batch_run(lane, &run);
        return;
    }
    if (!batch_is_gone(lane, &run))
        batch_end_all(lane, &run, code);
    lite_conn_roll_back(&lane->conn);
}
