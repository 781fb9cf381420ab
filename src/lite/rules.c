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

/*
 * Settings that decide what is written, and how safely. They are lost when the writer's connection is closed, so a
 * handle on which one was set does not open its file again by itself.
 */
static const char *const writer_pragmas[] = {"foreign_keys", "recursive_triggers", "ignore_check_constraints",
                                             "synchronous",  "secure_delete",      NULL};

/*
 * What a PRAGMA may be given a value for within a transaction: to ask about something, or to change what ends with the
 * transaction, or is undone with it. Anything else would be the next user's of the lane as well.
 */
static const char *const tx_pragmas[] = {
    "table_info",         "table_xinfo",        "table_list",      "index_info",  "index_xinfo",  "index_list",
    "foreign_key_list",   "foreign_key_check",  "integrity_check", "quick_check", "user_version", "application_id",
    "defer_foreign_keys", "incremental_vacuum", "optimize",        NULL};

static bool rules_is_any(const char *name, const char *const *names) {
    for (; *names; names++)
        if (strcasecmp(name, *names) == 0)
            return true;
    return false;
}

static const char *rules_pragma_refusal(const struct lite_conn *conn, const char *name, const char *value) {
    if (!value)
        return NULL;
    if (rules_is_any(name, library_pragmas))
        return strcasecmp(name, "busy_timeout") == 0 ? "quring waits for locks itself: set options.busy_timeout_ns"
                                                     : "this PRAGMA changes the whole process";
    if (conn->role == LITE_EXCLUSIVE)
        return NULL;
    if (rules_is_any(name, lane_pragmas))
        return one_of_many;
    if (conn->tx && !rules_is_any(name, tx_pragmas))
        return "this setting would outlive the transaction: set it outside of transactions";
    if (strcasecmp(name, "wal_autocheckpoint") == 0)
        return "the writer checkpoints by itself: run PRAGMA wal_checkpoint for one more, or open the database with "
               "options.exclusive";
    if (strcasecmp(name, "journal_mode") == 0 && conn->config->path && strcasecmp(value, "wal") != 0)
        return "readers and the writer work side by side in WAL mode only: change journal_mode through "
               "options.exclusive, with no other connection open";
    return NULL;
}

/*
 * True when a statement would make or change something in the schema "temp", which each connection has of its own, however
 * it is spelled. ALTER TABLE updates the (empty) table of temporary objects along with main's, and all may read.
 */
static bool rules_changes_temp(int action, const char *database) {
    return database && strcmp(database, "temp") == 0 && action != SQLITE_READ && action != SQLITE_UPDATE;
}

static const char *rules_shared_refusal(const struct lite_conn *conn, int action, const char *database) {
    switch (action) {
    case SQLITE_SAVEPOINT:
        return conn->tx ? NULL : one_of_many;
    case SQLITE_TRANSACTION:
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return one_of_many;
    default:
        return rules_changes_temp(action, database) ? one_of_many : NULL;
    }
}

static const char *rules_refusal(const struct lite_conn *conn, int action, const char *first, const char *second,
                                 const char *database) {
    const char *why = NULL;
    if (action == SQLITE_FUNCTION && strcmp(second, "fts3_tokenizer") == 0)
        return "fts3_tokenizer() would run code at an address that SQL gives: name a tokenizer in CREATE VIRTUAL TABLE";
    if (action == SQLITE_PRAGMA && (why = rules_pragma_refusal(conn, first, second)))
        return why;
    bool reads = action == SQLITE_PRAGMA && !second;
    return conn->role == LITE_EXCLUSIVE || reads ? NULL : rules_shared_refusal(conn, action, database);
}

/*
 * Statements of SQLite's own, which run within one of the user's, may do all but one thing: VACUUM works on an attached
 * file, and with INTO that file stays.
 */
static const char *rules_inner_refusal(const struct lite_conn *conn, int action, const char *first) {
    if (action == SQLITE_ATTACH && first && *first && conn->role != LITE_EXCLUSIVE)
        return "VACUUM INTO writes another file, and keeps all writes waiting: open the database with "
               "options.exclusive";
    return NULL;
}

/* With locks that it keeps, a connection would wait for itself while another one changes the file's mode. */
static bool rules_settles_mode(const char *name, const char *value) {
    return strcasecmp(name, "journal_mode") == 0 ||
           (strcasecmp(name, "locking_mode") == 0 && strcasecmp(value, "exclusive") == 0);
}

/*
 * A PRAGMA that a text names works while it is prepared: on the writer, each time anew. Virtual tables (FTS3, FTS5, R-Tree)
 * prepare PRAGMAs of their own along with any SELECT; these only ask.
 */
static void rules_note_pragma(struct lite_conn *conn, const char *name, const char *value) {
    struct lite_verdict *verdict = &conn->verdict;
    if (!verdict->is_pragma && !value)
        return;
    if (value && conn->role == LITE_EXCLUSIVE && rules_settles_mode(name, value))
        lite_wal_move(conn, LITE_WAL_NOT_WANTED);
    if (value && conn->role == LITE_WRITER && rules_is_any(name, writer_pragmas))
        conn->has_settings = true;
    verdict->pragma = true;
    verdict->to_writer |= conn->role == LITE_READER && !conn->tx;
}

static int rules_authorize(void *argument, int action, const char *first, const char *second, const char *database,
                           const char *trigger) {
    (void)trigger;
    struct lite_conn *conn = argument;
    struct lite_verdict *verdict = &conn->verdict;
    const char *why = verdict->preparing ? rules_refusal(conn, action, first, second, database)
                                         : rules_inner_refusal(conn, action, first);
    if (verdict->preparing && action == SQLITE_PRAGMA)
        rules_note_pragma(conn, first, second);
    if (why && !verdict->refusal)
        verdict->refusal = why;
    return why || verdict->to_writer ? SQLITE_DENY : SQLITE_OK;
}

int lite_rules_install(struct lite_conn *conn) {
    PRE(conn->handle);
    return sqlite3_set_authorizer(conn->handle, rules_authorize, conn);
}
