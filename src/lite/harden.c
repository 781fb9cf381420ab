/* SPDX-License-Identifier: MIT */
/*
 * Every switch and limit that SQLite has for a connection, decided once. The texts are the caller's, but values in
 * them, the schema and the file may be anybody's: none of them may run foreign code, reach other files, or change what
 * the lanes rely on. What a PRAGMA could switch back is refused in rules.c.
 */
#include "lite/conn.h"

struct setting {
    int option, value;
};

/*
 * Left as SQLite has them: ENABLE_VIEW and ENABLE_TRIGGER (schemas need them, and without TRUSTED_SCHEMA what they call is
 * harmless), ENABLE_FKEY (the caller's PRAGMA foreign_keys), ENABLE_QPSG (plans may follow the values), LOOKASIDE,
 * MAINDBNAME, and NO_CKPT_ON_CLOSE, which open.c decides.
 */
static const struct setting switches[] = {
    {SQLITE_DBCONFIG_DEFENSIVE, 1},             /* shadow tables, writable_schema and journal_mode=off can't corrupt */
    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},        /* views, triggers, CHECKs and defaults call innocuous functions only */
    {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0}, /* calls an address out of SQL; rules.c refuses parameters as well */
    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0}, /* runs code from a file */
    {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
    {SQLITE_DBCONFIG_RESET_DATABASE, 0}, /* VACUUM would empty the file */
    {SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 0},
    {SQLITE_DBCONFIG_LEGACY_FILE_FORMAT, 0},
    {SQLITE_DBCONFIG_TRIGGER_EQP, 0},
    {SQLITE_DBCONFIG_DQS_DML,
     0}, /* a mistyped "column" is an error, as on PostgreSQL, and not its own name as a text */
    {SQLITE_DBCONFIG_DQS_DDL, 0},
};

/*
 * Left as SQLite was compiled: LENGTH (below its 10^9 bytes, rows that others stored could not be measured, changed or
 * vacuumed; what goes in is bounded by inflight_bytes, what comes out by result_bytes), SQL_LENGTH (inflight_bytes),
 * COLUMN, EXPR_DEPTH, COMPOUND_SELECT, VDBE_OP, FUNCTION_ARG and TRIGGER_DEPTH (all finite, and reached by texts alone).
 */
static const struct setting limits[] = {
    {SQLITE_LIMIT_VARIABLE_NUMBER, 65535},   /* what a query can bring */
    {SQLITE_LIMIT_WORKER_THREADS, 0},        /* lanes are the only threads */
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 4096} /* a match takes pattern x text steps, and nothing interrupts it */
};

int lite_harden(sqlite3 *handle, enum lite_role role) {
    PRE(handle);
    sqlite3_extended_result_codes(handle, 1);
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        int code = sqlite3_db_config(handle, switches[i].option, switches[i].value, NULL);
        if (code != SQLITE_OK)
            return code;
    }
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        sqlite3_limit(handle, limits[i].option, limits[i].value);
    if (role != LITE_EXCLUSIVE) /* VACUUM attaches the file that it works on */
        sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, role == LITE_WRITER);
    return SQLITE_OK;
}
