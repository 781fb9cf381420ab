/* SPDX-License-Identifier: MIT */
#include "lite/conn.h"

#include "lite/lite_error.h"
#include "lite/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WATCH_STEPS = 1000 }; /* some 20 microseconds */

bool lite_conn_init(struct lite_conn *conn, const struct lite_config *config, enum lite_role role) {
    PRE(config->closing && config->statement_count > 0);
    *conn = (struct lite_conn){.config = config, .role = role};
    conn->watch.closing = config->closing;
    conn->watch.step_count = WATCH_STEPS;
    conn->watch.busy_timeout_ns = config->busy_timeout_ns;
    buf_init(&conn->scratch, SIZE_MAX);
    error_init(&conn->open_error);
    pthread_mutex_init(&conn->watch.interrupting, NULL);
    lite_member_init(&conn->member);
    conn->cache = calloc(config->statement_count, sizeof *conn->cache);
    return conn->cache != NULL;
}

void lite_conn_free(struct lite_conn *conn) {
    PRE(!conn->handle);
    free(conn->cache);
    buf_free(&conn->scratch);
    error_free(&conn->open_error);
    pthread_mutex_destroy(&conn->watch.interrupting);
    lite_member_free(&conn->member);
}

/* SQLite counts bytes from where the text that it was given begins; blank text before that is ours. */
static uint32_t conn_error_position(struct lite_conn *conn, const struct quring_statement *text) {
    int offset = text ? sqlite3_error_offset(conn->handle) : -1;
    if (offset < 0)
        return 0;
    return lite_position(text->sql, text->length, (int64_t)lite_text_blank(text->sql, text->length) + offset);
}

/* Reads keep who writes such a file waiting, and SQLite's own words say nothing of that. */
static void conn_say_not_wal(int code, struct query_error *error) {
    error_set(error, lite_sqlstate(code, ""),
              "database is locked: it is not in WAL mode, where a read keeps writes waiting", NULL,
              "end what reads the file, transactions with read_only of this handle among them: the next write then "
              "changes the "
              "file to WAL mode, which lets reads and writes go on beside each other",
              0);
    error->view.backend_code = code;
}

void lite_conn_error(struct lite_conn *conn, int code, const struct quring_statement *text, struct query_error *error) {
    PRE(code != SQLITE_OK);
    if (!conn->handle) { /* SQLite had no memory for one, so only the code tells anything */
        lite_error_set(error, code, sqlite3_errstr(code), NULL, 0);
        return;
    }
    if (conn->verdict.refusal) { /* SQLite's own words would be "not authorized" */
        error_set(error, "0A000", conn->verdict.refusal, NULL, NULL, 0);
        error->view.backend_code = code;
        conn->verdict.refusal = NULL;
        return;
    }
    if ((code & 0xff) == SQLITE_BUSY && conn->wal != LITE_WAL_NOT_WANTED) {
        conn_say_not_wal(code, error);
        return;
    }
    int primary = code & 0xff, cause = sqlite3_system_errno(conn->handle);
    bool has_cause = cause && (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_FULL);
    char detail[128];
    if (has_cause)
        snprintf(detail, sizeof detail, "%s: %s", sqlite3_errstr(code), strerrordesc_np(cause));
    lite_error_set(error, code, sqlite3_errmsg(conn->handle), has_cause ? detail : NULL,
                   conn_error_position(conn, text));
}

int lite_execute(sqlite3 *handle, const char *sql) {
    PRE(handle);
    return sqlite3_exec(handle, sql, NULL, NULL, NULL);
}

/* SQLite compares the inode of the open file with that of the name. */
bool lite_handle_is_gone(sqlite3 *handle) {
    PRE(handle);
    int moved = 0;
    return sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

bool lite_conn_file_is_gone(struct lite_conn *conn) {
    PRE(conn->handle && conn->config->path);
    return lite_handle_is_gone(conn->handle);
}

/*
 * What writes a commit's pages, and what reads them for that, comes before the last frame of the log, and before the journal is
 * ended (but by a write, where the program has chosen journal_mode=persist). Behind that come syncs, the memory beside the log, and
 * locks that are given back.
 */
quring_status lite_conn_failed_status(const struct lite_conn *conn, int code) {
    if (!conn->commit_begun || code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_READ ||
        code == SQLITE_IOERR_SHORT_READ)
        return QURING_SERVER_ERROR;
    return (code & 0xff) == SQLITE_IOERR || code == SQLITE_NOMEM ? QURING_IN_DOUBT : QURING_SERVER_ERROR;
}

/* sqlite3_reset() returns the error of the step before it. */
int lite_conn_control(struct lite_conn *conn, enum lite_control control) {
    PRE(conn->control[control]);
    conn->commit_begun = false;
    conn->watch.in_control = true;
    sqlite3_step(conn->control[control]);
    int code = sqlite3_reset(conn->control[control]);
    conn->watch.in_control = false;
    return code;
}

void lite_conn_roll_back(struct lite_conn *conn) {
    if (lite_conn_in_transaction(conn))
        (void)lite_conn_control(conn, LITE_ROLLBACK);
    conn->unsettled = lite_conn_in_transaction(conn);
}
