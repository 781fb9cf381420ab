/* SPDX-License-Identifier: MIT */
/*
 * An ATOMIC batch on the writer's lane:
 *
 *      BEGIN IMMEDIATE --> member … --> COMMIT --> outcomes are handed out
 *             |               |            |
 *             |               |            +--failed--> ROLLBACK, all with its error
 *             |               +--failed, given up ----> ROLLBACK, it with its error, the others SKIPPED
 *             +--failed-------------------------------> all with its error
 *
 * No other connection can write between BEGIN IMMEDIATE and COMMIT, so there is no conflict to run it again for: only the
 * lock has to be waited for, as long as busy_timeout_ns. SQLite goes on with a transaction after most errors; here the first
 * one ends the batch, as it does on PostgreSQL.
 */
#include "core/batch.h"
#include "core/trace.h"
#include "lite/lane.h"
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
    struct query *query;
    *run = (struct lite_batch){.first = lane->own.next};
    do {
        PRE(lane->own.next + run->count < lane->own.taken_count); /* units are taken whole */
        query = lane->own.taken[run->first + run->count++];
        run->writes |= !(lite_query(query)->route & LITE_READS);
    } while (query->unit_goes_on);
}

static bool batch_is_given_up(struct query *query) {
    return atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed) != 0;
}

/* Nothing of a batch that was undone is handed out, but the error of the member that failed. */
static void batch_forget(struct lite_lane *lane, struct query *query) {
    if (base_unlikely(query->traced && query->sent))
        trace_note_undone(lane->conn.trace, query);
    result_discard(&query->result);
    query->sent = false;
}

/* It has an error of its own, or was given up, or has ended the transaction that all share. */
static void batch_blame(struct query *query) {
    if (batch_is_given_up(query))
        error_set(&query->error, "57014", "it was given up", NULL, NULL, 0);
    else if (!query->error.set)
        error_set(&query->error, "40000", "it ended the transaction of its batch", NULL, NULL, 0);
    query->status = QURING_SERVER_ERROR;
}

/* The reactor says so of a member that was given up, and what became of the others: see lite_finish(). */
static void batch_end_failed(struct lite_lane *lane, const struct lite_batch *run, uint32_t failed) {
    struct query *culprit = batch_member(lane, run, failed);
    batch_blame(culprit);
    struct batch_failure why = {failed + 1, culprit->error.view.sqlstate, culprit->error.view.message};
    for (uint32_t i = 0; i < run->count; i++) {
        struct query *query = batch_member(lane, run, i);
        batch_forget(lane, query);
        if (i != failed) {
            batch_say_skipped(query, &why);
            query->status = QURING_SKIPPED;
        }
        lite_chain_add(&lane->own.finished, query);
    }
}

/* BEGIN or COMMIT failed, which is no member's error. */
static void batch_end_all(struct lite_lane *lane, const struct lite_batch *run, int code) {
    struct query *first = batch_member(lane, run, 0);
    error_clear(&first->error);
    lite_conn_error(&lane->conn, code, NULL, &first->error);
    const quring_error *why = &first->error.view;
    for (uint32_t i = 0; i < run->count; i++) {
        struct query *query = batch_member(lane, run, i);
        batch_forget(lane, query);
        query->status = QURING_SERVER_ERROR;
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

static uint32_t batch_find_given_up(const struct lite_lane *lane, const struct lite_batch *run) {
    uint32_t i = 0;
    while (i < run->count && !batch_is_given_up(batch_member(lane, run, i)))
        i++;
    return i;
}

static void batch_roll_back(struct lite_lane *lane) {
    if (lite_conn_in_transaction(&lane->conn))
        (void)lite_conn_control(&lane->conn, LITE_ROLLBACK); /* if that fails, serve_settle() will see to it */
}

static void batch_run(struct lite_lane *lane, const struct lite_batch *run) {
    uint32_t failed = batch_find_given_up(lane, run);
    if (failed < run->count) {
        batch_end_failed(lane, run, failed);
        return;
    }
    batch_enter_wal(lane, run);
    int code = lite_conn_control(&lane->conn, run->writes ? LITE_BEGIN_IMMEDIATE : LITE_BEGIN);
    if (code != SQLITE_OK) {
        batch_end_all(lane, run, code);
        return;
    }
    lane->conn.watch.locked_since_ns = 0;
    failed = batch_run_members(lane, run);
    if (failed < run->count) {
        batch_roll_back(lane);
        batch_end_failed(lane, run, failed);
        return;
    }
    code = lite_conn_control(&lane->conn, LITE_COMMIT);
    if (code != SQLITE_OK) {
        batch_end_all(lane, run, code);
        batch_roll_back(lane);
        return;
    }
    for (uint32_t i = 0; i < run->count; i++)
        lite_chain_add(&lane->own.finished, batch_member(lane, run, i));
    batch_enter_wal(lane, run);
}

void lite_lane_run_batch(struct lite_lane *lane) {
    struct lite_batch run;
    batch_look(lane, &run);
    PRE(lane->conn.role == LITE_WRITER);
    lane->own.next += run.count;
    batch_run(lane, &run);
}
