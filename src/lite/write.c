/* SPDX-License-Identifier: MIT */
/*
 * The runs of the writer and of an exclusive lane.
 *
 * EACH: every query is on its own, in SQLite's autocommit.
 * ATOMIC: a batch is on its own, too: batch.c.
 * GROUP: neighbours that allow it share one BEGIN IMMEDIATE … COMMIT:
 *
 *      BEGIN IMMEDIATE --> query … --> COMMIT --> outcomes are handed out
 *             |              |            |
 *             +--- failed ---+------------+--> ROLLBACK, all of them alone
 *
 * A constraint that one member violates undoes that member only: SQLite does so by itself, within a transaction as
 * outside of one (sqlite.org/lang_conflict.html), but for what ON CONFLICT FAIL keeps. Of a statement that ends
 * otherwise, SQLite may leave within a transaction what it would undo outside of one. Some errors (disk full, a failed
 * commit, ON CONFLICT ROLLBACK) end the whole transaction. In all these cases nothing of it takes effect, no outcome was
 * handed out, and every member is run again by itself; but where a failed commit may have been carried out all the same,
 * all of them are IN_DOUBT.
 */
#include "core/trace.h"
#include "lite/lane.h"
#include "lite/lite_error.h"
#include "lite/text.h"

#include <string.h>

/* Neighbours of the run at hand that share a transaction, taken[first … first + count). */
struct lite_group {
    uint32_t first, count;
};

static inline uint32_t group_end(const struct lite_group *group) {
    return group->first + group->count;
}

/* Before a query is run again. */
static void group_forget_outcome(struct trace *trace, struct query *query) {
    if (base_unlikely(query->traced))
        trace_note_undone(trace, query);
    result_discard(&query->result);
    error_clear(&query->error);
    query->sent = false;
}

/* The file's mode can't be changed within a transaction, so until that was tried the first write is on its own. */
static inline bool group_may_take(const struct lite_lane *lane, uint32_t at) {
    struct query *query = at < lane->own.taken_count ? lane->own.taken[at] : NULL;
    return query && query->commit == QURING_COMMIT_GROUP && !query->in_unit &&
           !(lite_query(query)->route & LITE_ALONE) && lane->conn.wal != LITE_WAL_WANTED;
}

/*
 * True when nothing is left of a member that failed. SQLite writes a statement's own
 * journal only where it foresees that a constraint or a function fails: other errors (text in an INTEGER PRIMARY KEY or
 * a STRICT table, what json_each() can't read, a sum that overflows, triggers too deep, a command to FTS) leave the
 * rows before them.
 */
static bool group_member_is_undone(const struct lite_lane *lane, const struct query *query, int64_t changes_before) {
    if (sqlite3_total_changes64(lane->conn.handle) != changes_before)
        return false;
    switch (query->error.view.backend_code) {
    case SQLITE_CONSTRAINT_CHECK:
    case SQLITE_CONSTRAINT_FOREIGNKEY:
    case SQLITE_CONSTRAINT_NOTNULL:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
    case SQLITE_CONSTRAINT_TRIGGER:
    case SQLITE_CONSTRAINT_UNIQUE:
        return true;
    default:
        return !query->sent; /* it was not even prepared */
    }
}

/* Runs neighbours as long as they may join, and commits. SQLITE_ABORT: the transaction is gone, or can't stand. */
static int group_run_members(struct lite_lane *lane, struct lite_group *group) {
    lane->own.group_first = group->first;
    lane->own.in_group = true;
    while (group_may_take(lane, lane->own.next)) {
        struct query *query = lane->own.taken[lane->own.next++];
        group->count++;
        int64_t changes_before = sqlite3_total_changes64(lane->conn.handle);
        (void)lite_lane_run(lane, query); /* the writer moves nothing */
        if (!lite_conn_in_transaction(&lane->conn))
            return SQLITE_ABORT;
        if (base_unlikely(query->status == QURING_SERVER_ERROR) && !group_member_is_undone(lane, query, changes_before))
            return SQLITE_ABORT;
        lite_lane_drop_abandoned(lane);
    }
    return lite_conn_control(&lane->conn, LITE_COMMIT);
}

/* A member whose caller gave up may have been handed back. */
static void group_finish(struct lite_lane *lane, const struct lite_group *group) {
    for (uint32_t i = group->first; i < group_end(group); i++)
        if (base_likely(lane->own.taken[i] != NULL))
            lite_chain_add(&lane->own.finished, lane->own.taken[i]);
}

/* Members that run again might take effect twice. Those that failed by themselves were undone before. */
static void group_doubt(struct lite_lane *lane, const struct lite_group *group, int code) {
    for (uint32_t i = group->first; i < group_end(group); i++) {
        struct query *query = lane->own.taken[i];
        if (!query || query->status == QURING_SERVER_ERROR)
            continue;
        error_clear(&query->error);
        lite_conn_error(&lane->conn, code, NULL, &query->error);
        query->status = QURING_IN_DOUBT;
    }
    group_finish(lane, group);
    lite_conn_roll_back(&lane->conn);
}

static void group_undo(struct lite_lane *lane, const struct lite_group *group) {
    lite_conn_roll_back(&lane->conn);
    for (uint32_t i = group->first; i < group_end(group); i++) {
        if (!lane->own.taken[i])
            continue;
        group_forget_outcome(lane->conn.trace, lane->own.taken[i]);
        lane->own.news.retry_count++;
    }
}

/* Its members count as not begun again, so those whose callers gave up meanwhile are taken out. */
static void group_run_alone(struct lite_lane *lane, const struct lite_group *group) {
    lane->own.next = group->first;
    while (lane->own.next < group_end(group) && !lane->conn.unsettled) {
        lite_lane_tend(lane);
        lite_lane_run_next(lane);
    }
}

static void group_run(struct lite_lane *lane) {
    struct lite_group group = {.first = lane->own.next};
    lite_lane_watch_next(lane);
    bool began = lite_conn_control(&lane->conn, LITE_BEGIN_IMMEDIATE) == SQLITE_OK;
    lite_lane_unwatch_next(lane);
    int code = began ? group_run_members(lane, &group) : SQLITE_BUSY;
    lane->own.in_group = false;
    if (code == SQLITE_OK) {
        lane->conn.watch.locked_since_ns = 0;
        group_finish(lane, &group);
        return;
    }
    if (lite_conn_failed_status(&lane->conn, code) == QURING_IN_DOUBT) {
        group_doubt(lane, &group, code);
        return;
    }
    group_undo(lane, &group);
    while (!began && group_may_take(lane, group_end(&group))) /* all that would have joined */
        group.count++;
    group_run_alone(lane, &group);
}

static bool exclusive_ends_transaction(const struct query *query) {
    return lite_text_ends_transaction(query->statement->sql, query->statement->length);
}

static bool exclusive_commits(const struct query *query) {
    return strcmp(lite_text_command(query->statement->sql, query->statement->length), "COMMIT") == 0;
}

static void exclusive_refuse(struct query *query, const char *sqlstate, const char *message, const char *hint) {
    error_set(&query->error, sqlstate, message, NULL, hint, 0);
    query->status = QURING_SERVER_ERROR;
}

/*
 * In an exclusive handle, an error can end the transaction that the caller believes to be in (disk full, an interrupt, ON
 * CONFLICT ROLLBACK). What follows must not run as if each were alone: it is refused until the caller ends the
 * transaction. That is all right for ROLLBACK; who asks for COMMIT must learn that nothing was committed.
 */
static bool exclusive_refuses(struct lite_lane *lane, struct query *query) {
    struct lite_conn *conn = &lane->conn;
    if (base_likely(!conn->rolled_back))
        return false;
    if (!exclusive_ends_transaction(query)) {
        exclusive_refuse(query, "25P02", "an earlier error rolled the transaction back: nothing runs until it is ended",
                         "end it with ROLLBACK");
        return true;
    }
    conn->rolled_back = false;
    if (exclusive_commits(query)) {
        exclusive_refuse(query, "40000", "nothing was committed: an earlier error rolled the transaction back",
                         "begin it again, and run all of it");
    } else {
        (void)result_put_command(&query->result, "ROLLBACK", 8);
        query->status = QURING_OK;
    }
    return true;
}

static bool exclusive_detaches(struct query *query) {
    return lite_query(query)->route & LITE_ALONE &&
           strcmp(lite_text_command(query->statement->sql, query->statement->length), "DETACH") == 0;
}

/* Only a DETACH may end a log. An ATTACH that fails closes its file, too, which nobody has shown to be writable. */
static void exclusive_run_next(struct lite_lane *lane) {
    struct query *query = lane->own.taken[lane->own.next];
    bool detaches = query && base_unlikely(exclusive_detaches(query));
    if (detaches)
        lite_conn_judge_detach(&lane->conn);
    if (!lane->conn.unsettled) /* else it goes back to the queue */
        lite_lane_run_next(lane);
    if (detaches)
        lite_wal_spare(lane->conn.handle, true);
}

static bool exclusive_writes(const struct lite_conn *conn) {
    return sqlite3_txn_state(conn->handle, NULL) == SQLITE_TXN_WRITE;
}

static void exclusive_run(struct lite_lane *lane) {
    struct query *query = lane->own.taken[lane->own.next];
    if (query && exclusive_refuses(lane, query)) {
        lane->own.next++;
        lite_chain_add(&lane->own.finished, query);
        return;
    }
    struct lite_conn *conn = &lane->conn;
    bool before = lite_conn_in_transaction(conn), wrote = before && exclusive_writes(conn);
    exclusive_run_next(lane);
    if (!before || !query || query->status == QURING_OK)
        return;
    if (wrote && !exclusive_writes(conn)) /* RELEASE failed, and SQLite keeps the savepoint of what it undid */
        lite_conn_roll_back(conn);
    if (query->status != QURING_IN_DOUBT)
        conn->rolled_back = (conn->unsettled || !lite_conn_in_transaction(conn)) && !exclusive_ends_transaction(query);
}

/* The members of a batch are members of groups on PostgreSQL, and have the same mode. */
static void write_shared(struct lite_lane *lane) {
    if (lane->own.taken[lane->own.next]->batch)
        lite_lane_run_batch(lane);
    else if (group_may_take(lane, lane->own.next) && group_may_take(lane, lane->own.next + 1))
        group_run(lane);
    else
        lite_lane_run_next(lane);
}

static inline __attribute__((always_inline)) void write_next(struct lite_lane *lane) {
    const struct query *query = lane->own.taken[lane->own.next];
    if (base_unlikely(lane->conn.role == LITE_EXCLUSIVE))
        exclusive_run(lane);
    else if (query && query->commit == QURING_COMMIT_GROUP)
        write_shared(lane);
    else
        lite_lane_run_next(lane);
}

/*
 * False: it is on its own, and by its first words it reads, and never waits for those that write. That is its own route: the one of
 * its statement is the reactor's, which changes it while other queries of the text are at work.
 */
static bool write_may_lock(const struct lite_lane *lane) {
    struct query *query = lane->own.taken[lane->own.next];
    return query && (query->commit == QURING_COMMIT_GROUP || !(lite_query(query)->route & LITE_READS));
}

static void write_in_line(struct lite_lane *lane) {
    bool may_lock = write_may_lock(lane);
    if (may_lock)
        lite_conn_line_up(&lane->conn);
    write_next(lane);
    if (may_lock)
        lite_conn_leave_line(&lane->conn);
}

void lite_lane_write(struct lite_lane *lane) {
    PRE(lane->conn.handle && lane->conn.role != LITE_READER);
    while (lane->own.next < lane->own.taken_count) {
        bool reserved = atomic_load_explicit(&lane->shared.reserved, memory_order_relaxed);
        if (base_unlikely(reserved || lane->conn.unsettled)) {
            lite_lane_give_back(lane, LANE_WORKING);
            break;
        }
        if (lane->conn.member.file)
            write_in_line(lane);
        else
            write_next(lane);
        lite_lane_tend(lane);
    }
}
