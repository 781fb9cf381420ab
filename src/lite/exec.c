/* SPDX-License-Identifier: MIT */
/*
 * One query from its text to its result. A statement is stepped to its end at once, and its rows are copied: one that
 * stayed open between two turns would keep its snapshot, and with it the log from starting over.
 */
#include "lite/conn.h"

#include "core/trace.h"
#include "lite/lite_error.h"

#include <string.h>

/* A blob's size is asked before its address: SQLite may have to make a zeroblob(n) real for the latter. */
static bool exec_put_value(struct quring_result *result, sqlite3_stmt *handle, int column) {
    switch (sqlite3_column_type(handle, column)) {
    case SQLITE_INTEGER:
        return result_row_tagged_int8(result, sqlite3_column_int64(handle, column));
    case SQLITE_FLOAT:
        return result_row_tagged_float8(result, sqlite3_column_double(handle, column));
    case SQLITE_TEXT: {
        const unsigned char *text = sqlite3_column_text(handle, column);
        /* NULL: SQLite had no memory to convert the text, or to end it with a NUL. */
        return text && result_row_tagged(result, QURING_TEXT, text, (size_t)sqlite3_column_bytes(handle, column));
    }
    case SQLITE_BLOB: {
        size_t size = (size_t)sqlite3_column_bytes(handle, column);
        if (size > result->rows.limit - buf_size(&result->rows))
            return false;
        const void *data = sqlite3_column_blob(handle, column);
        return (data || size == 0) && result_row_tagged(result, QURING_BYTES, data, size);
    }
    default:
        return result_row_null(result);
    }
}

static bool exec_put_row(struct quring_result *result, sqlite3_stmt *handle) {
    int count = sqlite3_data_count(handle);
    if (!result_row_begin(result, (uint16_t)count))
        return false;
    for (int i = 0; i < count; i++)
        if (!exec_put_value(result, handle, i))
            return false;
    return result_row_end(result);
}

/* The size of the present row, at least. */
static size_t exec_row_bytes(sqlite3_stmt *handle) {
    size_t bytes = RESULT_ROW_HEADER_BYTES;
    for (int i = 0; i < sqlite3_data_count(handle); i++) {
        int type = sqlite3_column_type(handle, i);
        bool number = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
        size_t value = type == SQLITE_NULL ? 0 : number ? 9 : 1 + (size_t)sqlite3_column_bytes(handle, i);
        bytes += 4 + value;
    }
    return bytes;
}

/* LIMIT and no SERVER_ERROR, because a write took effect with its first step, before it had a row to keep. */
static __attribute__((cold, noinline)) int exec_no_memory(struct query *query) {
    lite_error_set(&query->error, SQLITE_NOMEM, "out of memory for the result's rows", NULL, 0);
    return QURING_LIMIT;
}

/* Tells which limit left no place for a row, or that memory did. */
static __attribute__((cold, noinline)) int exec_row_refused(struct query *query, sqlite3_stmt *handle) {
    struct quring_result *result = &query->result;
    if (result->row_count >= result->row_limit) {
        error_format(&query->error, "54000", "the result has more than %llu rows: options.result_row_count",
                     (unsigned long long)result->row_limit);
        return QURING_LIMIT;
    }
    if (result_is_full(result, exec_row_bytes(handle))) {
        error_format(&query->error, "54000", "the result has more than %zu bytes: options.result_bytes",
                     result->rows.limit);
        return QURING_LIMIT;
    }
    return exec_no_memory(query);
}

static __attribute__((cold, noinline)) int exec_step_failed(struct lite_conn *conn, struct query *query, int code) {
    lite_conn_error(conn, code, query->statement, &query->error);
    return QURING_SERVER_ERROR;
}

/* SQLite prepares a statement anew by itself when the schema has changed, and counts how often it did. */
static bool exec_columns_stale(const struct lite_stmt *stmt) {
    if (!stmt->columns)
        return sqlite3_column_count(stmt->handle) > 0;
    return sqlite3_stmt_status(stmt->handle, SQLITE_STMTSTATUS_REPREPARE, 0) != stmt->reprepare_count;
}

/* The first step, with the times before it and behind it. */
static __attribute__((cold, noinline)) int exec_step_traced(struct lite_conn *conn, struct lite_stmt *stmt,
                                                            struct query *query) {
    trace_note_sent(conn->trace, query, conn->number);
    int code = sqlite3_step(stmt->handle);
    if (code == SQLITE_ROW)
        trace_note_row(conn->trace, query);
    return code;
}

/* Steps to the end, or to the first row that is too many. */
static int exec_step(struct lite_conn *conn, struct lite_stmt *stmt, struct query *query) {
    struct quring_result *result = &query->result;
    query->sent = true;
    int code = base_unlikely(query->traced) ? exec_step_traced(conn, stmt, query) : sqlite3_step(stmt->handle);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return exec_step_failed(conn, query, code);
    /* Only the first step prepares anew after the schema changed, so what it leaves holds for all rows. */
    if (base_unlikely(exec_columns_stale(stmt)) && !lite_stmt_refresh_columns(stmt))
        return exec_no_memory(query);
    if (stmt->columns)
        result_set_columns(result, stmt->columns, RESULT_TAGGED);
    for (; code == SQLITE_ROW; code = sqlite3_step(stmt->handle))
        if (base_unlikely(!exec_put_row(result, stmt->handle)))
            return exec_row_refused(query, stmt->handle);
    if (code != SQLITE_DONE)
        return exec_step_failed(conn, query, code);
    (void)result_put_command(result, stmt->command, stmt->command_length);
    if (stmt->changes_rows)
        result->affected_count = (uint64_t)sqlite3_changes64(conn->handle);
    return QURING_OK;
}

/*
 * Ends an execution. A write that was left halfway, because it returns more rows than a limit allows, has taken effect all
 * the same, unless its end fails.
 */
static int exec_finish(struct lite_conn *conn, struct lite_stmt *stmt, struct query *query, int outcome) {
    int code = sqlite3_reset(stmt->handle);
    return base_unlikely(outcome == QURING_LIMIT && code != SQLITE_OK) ? exec_step_failed(conn, query, code) : outcome;
}

/* EXPLAIN of a write counts as one to SQLite. A PRAGMA that writes is content with any mode. */
static bool exec_changes_file(const struct lite_stmt *stmt) {
    return !stmt->reads_only && !sqlite3_stmt_isexplain(stmt->handle) && strcmp(stmt->command, "PRAGMA") != 0;
}

static int exec_run_prepared(struct lite_conn *conn, struct lite_stmt *stmt, struct query *query) {
    if (!stmt->handle) { /* nothing but comments; it can't want parameters, so none may be given */
        (void)result_put_command(&query->result, "", 0);
        return lite_bind(conn, stmt, query) ? QURING_OK : QURING_SERVER_ERROR;
    }
    if (base_unlikely(!stmt->reads_only && (conn->role == LITE_READER || conn->tx == LITE_TX_READS)))
        return LITE_MOVED;
    bool enters = base_unlikely(conn->wal == LITE_WAL_WANTED) && exec_changes_file(stmt);
    if (enters)
        lite_wal_enter(conn);
    int outcome = QURING_SERVER_ERROR;
    conn->commit_begun = false;
    conn->watch.in_control = stmt->controls;
    if (lite_bind(conn, stmt, query))
        outcome = exec_finish(conn, stmt, query, exec_step(conn, stmt, query));
    conn->watch.in_control = false;
    if (base_unlikely(outcome == QURING_SERVER_ERROR))
        outcome = (int)lite_conn_failed_status(conn, query->error.view.backend_code);
    lite_unbind(conn, stmt);
    if (enters && conn->wal == LITE_WAL_WANTED) /* the file was empty */
        lite_wal_enter(conn);
    return outcome;
}

static int exec_run_query(struct lite_conn *conn, struct query *query) {
    if (base_unlikely(atomic_load(&lite_query(query)->abandoned_as))) {
        /* It was abandoned before it was `at_work`, so nothing would interrupt it. */
        lite_error_set(&query->error, SQLITE_INTERRUPT, "interrupted", NULL, 0);
        return QURING_SERVER_ERROR;
    }
    struct lite_stmt *stmt = lite_stmt_get(conn, query);
    if (base_unlikely(!stmt))
        return conn->verdict.to_writer ? LITE_MOVED : QURING_SERVER_ERROR;
    int outcome = exec_run_prepared(conn, stmt, query);
    lite_stmt_put(stmt);
    return outcome;
}

int lite_conn_run(struct lite_conn *conn, struct query *query) {
    lite_watch_begin(&conn->watch, query);
    int outcome = exec_run_query(conn, query);
    lite_watch_end(&conn->watch, query, conn->handle);
    if (outcome == QURING_OK || (query->error.view.backend_code & 0xff) != SQLITE_BUSY)
        conn->watch.locked_since_ns = 0; /* no lock, or it was got: the next wait begins anew */
    return outcome;
}
