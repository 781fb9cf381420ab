/* SPDX-License-Identifier: MIT */
/*
 * A transaction on its lane's thread: a whole one, from BEGIN to its end in one run, or what has come of one that holds the
 * lane. SQLite goes on after an error, where PostgreSQL fails the transaction. Here both do the same:
 *
 *      BEGIN --> query … --> COMMIT
 *        |         |  ^         |
 *        |       fails|         +--fails: ROLLBACK
 *        |         v  |
 *        +-----> FAILED --ROLLBACK TO succeeds--> (goes on)
 *                  \--COMMIT, ROLLBACK: ROLLBACK
 *
 * In FAILED nothing else is run. A query that ended before it came here fails the transaction as well, at its place in the
 * order. What is handed back without having run says why in lite_query()->fate, and core/tx.h what the
 * caller is told. Some errors end SQLite's transaction by themselves (a full disk, an interrupted write, ON CONFLICT
 * ROLLBACK); then there is no savepoint to go back to, and ROLLBACK TO fails.
 */
#include "core/token.h"
#include "core/trace.h"
#include "core/tx.h"
#include "lite/lane.h"
#include "lite/lite_error.h"

#include <stdio.h>
#include <string.h>

static void run_end(struct lite_lane *lane) {
    lane->own.tx.begun = lane->own.tx.failed = lane->own.tx.saved = lane->own.tx.lost = false;
    lane->own.tx.number = 0;
    lane->conn.tx = LITE_NO_TX;
}

void lite_lane_roll_back(struct lite_lane *lane) {
    if (lane->own.tx.begun && lane->conn.handle)
        lite_conn_roll_back(&lane->conn);
    lite_conn_leave_line(&lane->conn);
    run_end(lane);
}

/* ---- Outcomes ---- */

static bool run_is_given_up(const struct query *query) {
    return atomic_load(&lite_query((struct query *)query)->abandoned_as) != 0;
}

/* A query that was not carried out, and makes the transaction fail unless it has. */
static void run_not(struct lite_lane *lane, struct query *query, enum lite_fate fate) {
    lite_query(query)->fate = (uint8_t)fate;
    query->status = QURING_SKIPPED;
    lane->own.tx.failed = true;
}

static void run_ok(struct query *query, const char *command, size_t length) {
    (void)result_put_command(&query->result, command, length);
    query->status = QURING_OK;
}

/* Fills the error with what SQLite says of our own BEGIN or COMMIT. */
static void run_say_why(struct lite_lane *lane, struct query *query, int code) {
    error_clear(&query->error);
    lite_conn_error(&lane->conn, code, NULL, &query->error);
}

/* ---- BEGIN ---- */

/* A file that can't be written is no reason to refuse reads: so BEGIN does not ask for its lock. */
static enum lite_control run_begin_how(const struct lite_lane *lane, bool reads_only) {
    bool can_write = sqlite3_db_readonly(lane->conn.handle, "main") == 0;
    return reads_only || !can_write ? LITE_BEGIN : LITE_BEGIN_IMMEDIATE;
}

/* Waits for locks as the query does, so it ends when that is given up. */
static int run_begin_for(struct lite_lane *lane, struct query *query) {
    struct lite_conn *conn = &lane->conn;
    bool reads_only = query->queue->tx->options.read_only;
    if (!reads_only && conn->wal == LITE_WAL_WANTED)
        lite_wal_enter(conn);
    if (!reads_only)
        lite_conn_line_up(conn);
    int code = lite_conn_control(conn, run_begin_how(lane, reads_only));
    lite_conn_leave_line(conn);
    if (code != SQLITE_OK)
        return code;
    conn->watch.locked_since_ns = 0;
    conn->tx = reads_only ? LITE_TX_READS : LITE_TX_WRITES;
    lane->own.tx.begun = true;
    return code;
}

/* False: the query is not to be run. */
static bool run_begin(struct lite_lane *lane, struct query *query) {
    if (base_likely(lane->own.tx.begun))
        return true;
    int code = SQLITE_INTERRUPT;
    lite_watch_begin(&lane->conn.watch, query);
    if (!run_is_given_up(query)) /* from here on, who gives it up interrupts it */
        code = run_begin_for(lane, query);
    lite_watch_end(&lane->conn.watch, query, lane->conn.handle);
    if (code == SQLITE_OK)
        return true;
    run_say_why(lane, query, code);
    run_not(lane, query, run_is_given_up(query) ? LITE_GIVEN_UP : LITE_BEGIN_FAILED);
    return false;
}

/* ---- Ends ---- */

static void run_rollback(struct lite_lane *lane, struct query *query) {
    lite_lane_roll_back(lane);
    run_ok(query, "ROLLBACK", 8);
}

/* What it reads of the transaction stays as it is while a query of that is out. */
static int run_write_token(struct lite_lane *lane, const struct quring_tx *tx) {
    sqlite3_stmt *statement = NULL;
    const struct quring_statement *sql = tx->writes_token;
    int code = sqlite3_prepare_v2(lane->conn.handle, sql->sql, (int)sql->length + 1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(statement, 1, tx->token_text, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    int ended = sqlite3_finalize(statement);
    return ended != SQLITE_OK || code == SQLITE_DONE ? ended : code;
}

/* As core/tx.h says it of PostgreSQL; and how the table is made, where it is missing or another one. */
static void run_say_token(struct lite_lane *lane, struct query *query, int code) {
    const char *message = sqlite3_errmsg(lane->conn.handle), *sqlstate = lite_sqlstate(code, message);
    char sql[TOKEN_SQL_BYTES], hint[TOKEN_SQL_BYTES + 64];
    token_table_sql(query->queue->tx->writes_token, sql);
    snprintf(hint, sizeof hint, "token_table is to be as this makes it: %s", sql);
    bool is_other = strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;
    error_clear(&query->error);
    error_set(&query->error, sqlstate, message, TX_TOKEN_FAILED, is_other ? hint : lite_hint(code, message), 0);
    query->error.view.backend_code = code;
}

/* One that was given up before this moment is not begun. The error is set. */
static int run_commit_for(struct lite_lane *lane, struct query *query) {
    struct quring_tx *tx = query->queue->tx;
    if (run_is_given_up(query) || !lite_tx_takes(tx, LITE_TX_COMMITS)) {
        run_say_why(lane, query, SQLITE_INTERRUPT);
        return SQLITE_INTERRUPT;
    }
    int code = tx->writes_token ? run_write_token(lane, tx) : SQLITE_OK;
    if (code != SQLITE_OK) {
        run_say_token(lane, query, code);
        return code;
    }
    query->sent = true;
    if (base_unlikely(query->traced))
        trace_note_sent(lane->conn.trace, query, lane->conn.number);
    code = lite_conn_control(&lane->conn, LITE_COMMIT);
    if (code != SQLITE_OK)
        run_say_why(lane, query, code);
    return code;
}

/*
 * One that fails has left the transaction open (a lock, a deferred foreign key) or ended it, and nothing of it takes effect, unless
 * that is in doubt.
 */
static void run_commit(struct lite_lane *lane, struct query *query) {
    struct lite_conn *conn = &lane->conn;
    if (lane->own.tx.failed || !lane->own.tx.begun) {
        bool failed = lane->own.tx.failed;
        lite_lane_roll_back(lane);
        run_ok(query, "COMMIT", 6);
        if (failed) {
            lite_query(query)->fate = LITE_BEHIND;
            query->status = QURING_SKIPPED;
        }
        return;
    }
    lite_watch_begin(&conn->watch, query);
    int code = run_commit_for(lane, query);
    if (code == SQLITE_OK)
        run_ok(query, "COMMIT", 6);
    lite_watch_end(&conn->watch, query, conn->handle);
    if (code != SQLITE_OK) {
        query->status = (uint8_t)lite_conn_failed_status(conn, code);
        query->sent = query->status == QURING_IN_DOUBT;
    }
    conn->watch.locked_since_ns = 0;
    lite_lane_roll_back(lane);
    if (conn->wal == LITE_WAL_WANTED) /* the file was empty */
        lite_wal_enter(conn);
}

/* ---- Queries ---- */

static void run_statement(struct lite_lane *lane, struct query *query, enum statement_verb verb) {
    if (!lite_lane_run(lane, query)) {
        error_set(&query->error, "25006", "a transaction that only reads can't write", NULL, NULL, 0);
        query->status = QURING_SERVER_ERROR;
        query->sent = false;
    }
    if (lane->shared.phase == LANE_STUCK)
        lite_lane_unstick(lane);
    if (query->status == QURING_OK && !lite_conn_in_transaction(&lane->conn)) {
        error_set(&query->error, "25P01", "SQLite has ended the transaction", NULL, NULL, 0);
        query->status = QURING_SERVER_ERROR;
    }
    if (query->status != QURING_OK)
        lane->own.tx.failed = true;
    else if (verb == VERB_GOES_BACK)
        lane->own.tx.failed = false;
    lane->own.tx.saved |= verb == VERB_SAVES && !lane->own.tx.failed;
}

/* In FAILED: only a savepoint from before the failure lets the transaction go on. */
static bool run_may_revive(const struct lite_lane *lane, enum statement_verb verb) {
    return verb == VERB_GOES_BACK && lane->own.tx.begun && lane->own.tx.saved;
}

static bool run_is_doomed(const struct query *query) {
    return atomic_load(&lite_tx(query->queue->tx)->course) == LITE_TX_DOOMED;
}

static void run_query(struct lite_lane *lane, struct query *query) {
    enum statement_verb verb = tx_verb(query);
    bool doomed = run_is_doomed(query);
    lane->own.tx.failed |= doomed || query->tx_position.number != lane->own.tx.number + 1;
    lane->own.tx.number = query->tx_position.number;
    if (verb == VERB_ROLLS_BACK)
        run_rollback(lane, query);
    else if (run_is_given_up(query))
        run_not(lane, query, LITE_GIVEN_UP);
    else if (verb == VERB_COMMITS)
        run_commit(lane, query);
    else if (lane->own.tx.failed && (doomed || !run_may_revive(lane, verb)))
        run_not(lane, query, LITE_BEHIND);
    else if (run_begin(lane, query))
        run_statement(lane, query, verb);
}

/* The connection is another one, or none, since BEGIN: the first query says so, and nothing revives the transaction. */
static void run_lose(struct lite_lane *lane) {
    while (lane->own.next < lane->own.taken_count && !lane->own.taken[lane->own.next])
        lane->own.next++;
    run_end(lane);
    lane->own.tx.failed = true;
    struct query *query = lane->own.next < lane->own.taken_count ? lane->own.taken[lane->own.next] : NULL;
    if (!query || tx_verb(query) == VERB_ROLLS_BACK)
        return;
    lane->own.next++;
    error_set(&query->error, "58P01", "the database's file was deleted or replaced in the middle of the transaction",
              "nothing of the transaction took effect", NULL, 0);
    query->error.view.backend_code = SQLITE_READONLY_DBMOVED;
    run_not(lane, query, LITE_TX_LOST);
    query->status = QURING_SERVER_ERROR;
    lite_chain_add(&lane->own.finished, query);
}

/* A place that is empty was a query's that was given up. */
void lite_lane_run_tx(struct lite_lane *lane) {
    PRE(lane->own.tx.runs && lane->own.next == 0);
    bool whole = lane->queue != &lane->leased;
    if (whole || lane->own.tx.lease != lane->handed.lease) {
        PRE(!lane->own.tx.begun);
        run_end(lane);
        lane->own.tx.lease = lane->handed.lease;
    }
    if (base_unlikely(lane->own.tx.lost))
        run_lose(lane);
    while (lane->own.next < lane->own.taken_count) {
        struct query *query = lane->own.taken[lane->own.next++];
        if (query) {
            run_query(lane, query);
            lite_lane_note_wait(lane, query);
            lite_chain_add(&lane->own.finished, query);
        } else {
            lane->own.tx.failed = true;
        }
        if (lane->conn.handle)
            lite_lane_tend(lane);
    }
    if (whole)
        lite_lane_roll_back(lane);
}
