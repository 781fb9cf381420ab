/* SPDX-License-Identifier: MIT */
/*
 * SQLite asks its authorizer about everything that a text will do, while it prepares it. That is the only place where a
 * PRAGMA can be stopped, since many of them work during preparation, even behind EXPLAIN. What a statement would change
 * for one connection of several is refused, as the engine does with BEGIN and ATTACH by their first word.
 */
#include "lite/conn.h"

#include <string.h>
#include <strings.h>

static const char one_of_many[] =
    "this statement changes the state of one connection, and queries go to any of several: "
    "open the database with options.exclusive";

/* Settings that are the library's own, whatever the connection. */
static const char *const library_pragmas[] = {"busy_timeout",         "soft_heap_limit",      "hard_heap_limit",
                                              "temp_store_directory", "data_store_directory", NULL};

/*
 * Settings that would make one reader answer differently from the next, or break what lanes rely on. Settings of how
 * the database is written (foreign_keys, synchronous, …) are fine: there is one writer.
 */
static const char *const lane_pragmas[] = {"query_only",
                                           "read_uncommitted",
                                           "locking_mode",
                                           "temp_store",
                                           "trusted_schema",
                                           "writable_schema",
                                           "reverse_unordered_selects",
                                           "case_sensitive_like",
                                           "full_column_names",
                                           "short_column_names",
                                           "count_changes",
                                           "empty_result_callbacks",
                                           "automatic_index",
                                           "cell_size_check",
                                           "mmap_size",
                                           "threads",
                                           "legacy_alter_table",
                                           NULL};

static bool is_any(const char *name, const char *const *names) {
    for (; *names; names++)
        if (strcasecmp(name, *names) == 0)
            return true;
    return false;
}

static const char *pragma_refusal(const struct lite_conn *conn, const char *name, const char *value) {
    if (!value)
        return NULL;
    if (is_any(name, library_pragmas))
        return strcasecmp(name, "busy_timeout") == 0 ? "quring waits for locks itself: set options.busy_timeout_ns"
                                                     : "this PRAGMA changes the whole process";
    if (conn->role == LITE_EXCLUSIVE)
        return NULL;
    if (is_any(name, lane_pragmas))
        return one_of_many;
    if (strcasecmp(name, "journal_mode") == 0 && conn->config->path && strcasecmp(value, "wal") != 0)
        return "readers and the writer work side by side in WAL mode only: change journal_mode through "
               "options.exclusive, with no other connection open";
    return NULL;
}

static const char *refusal(const struct lite_conn *conn, int action, const char *first, const char *second) {
    switch (action) {
    case SQLITE_PRAGMA:
        return pragma_refusal(conn, first, second);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
        return conn->role == LITE_EXCLUSIVE ? NULL : one_of_many;
    default:
        return NULL;
    }
}

static int authorize(void *argument, int action, const char *first, const char *second, const char *database,
                     const char *trigger) {
    (void)database;
    (void)trigger;
    struct lite_conn *conn = argument;
    struct lite_verdict *verdict = &conn->verdict;
    if (!verdict->preparing)
        return SQLITE_OK;
    if (action == SQLITE_PRAGMA) {
        verdict->pragma = true;
        verdict->to_writer |= conn->role == LITE_READER;
    }
    const char *why = refusal(conn, action, first, second);
    if (why && !verdict->refusal)
        verdict->refusal = why;
    return why || verdict->to_writer ? SQLITE_DENY : SQLITE_OK;
}

int lite_rules_install(struct lite_conn *conn) {
    return sqlite3_set_authorizer(conn->handle, authorize, conn);
}
