/* SPDX-License-Identifier: MIT */
#include "lite/lite_error.h"

#include <fnmatch.h>
#include <sqlite3.h>
#include <string.h>

struct code_state {
    int code;
    const char *sqlstate;
};

/* An extended code is looked up first, then its primary code. */
static const struct code_state states[] = {
    {SQLITE_INTERNAL, "XX000"},
    {SQLITE_PERM, "42501"},
    {SQLITE_ABORT, "57014"},
    {SQLITE_BUSY, "55P03"},
    {SQLITE_BUSY_SNAPSHOT, "40001"}, /* only the whole transaction can be tried again */
    {SQLITE_LOCKED, "55006"},
    {SQLITE_NOMEM, "53200"},
    {SQLITE_READONLY, "25006"},
    {SQLITE_INTERRUPT, "57014"},
    {SQLITE_IOERR, "58030"},
    {SQLITE_IOERR_NOMEM, "53200"},
    {SQLITE_CORRUPT, "XX001"},
    {SQLITE_CORRUPT_INDEX, "XX002"},
    {SQLITE_FULL, "53100"},
    {SQLITE_CANTOPEN, "08001"},
    {SQLITE_PROTOCOL, "55P03"},
    {SQLITE_TOOBIG, "54000"},
    {SQLITE_CONSTRAINT, "23000"},
    {SQLITE_CONSTRAINT_CHECK, "23514"},
    {SQLITE_CONSTRAINT_FOREIGNKEY, "23503"},
    {SQLITE_CONSTRAINT_NOTNULL, "23502"},
    {SQLITE_CONSTRAINT_PRIMARYKEY, "23505"},
    {SQLITE_CONSTRAINT_UNIQUE, "23505"},
    {SQLITE_CONSTRAINT_ROWID, "23505"},
    {SQLITE_CONSTRAINT_TRIGGER, "P0001"}, /* RAISE(), as PL/pgSQL's */
    {SQLITE_CONSTRAINT_DATATYPE, "42804"},
    {SQLITE_MISMATCH, "42804"},
    {SQLITE_MISUSE, "XX000"},
    {SQLITE_NOLFS, "54000"},
    {SQLITE_AUTH, "42501"},
    {SQLITE_RANGE, "42P02"},
    {SQLITE_NOTADB, "XX001"},
};

struct message_state {
    const char *pattern; /* of fnmatch(3) */
    const char *sqlstate;
};

/*
 * SQLITE_ERROR and SQLITE_SCHEMA, by what SQLite 3.40 says. The first that fits holds. SQLITE_SCHEMA comes with the words
 * of a mistake, too: after VACUUM each text that names no table and has one gets it.
 */
static const struct message_state message_states[] = {
    {"database schema has changed", "40001"},
    {"*: syntax error", "42601"},
    {"incomplete input*", "42601"},
    {"unrecognized token*", "42601"},
    {"* values for * columns", "42601"},
    {"table * has * columns but * values were supplied", "42601"},
    {"all VALUES must have the same number of terms", "42601"},
    {"SELECTs to the left and right of * do not have the same number of result columns", "42601"},
    {"sub-select returns * columns*", "42601"},
    {"near *", "42601"},
    {"no such table*", "42P01"},
    {"no such column*", "42703"},
    {"table * has no column named *", "42703"},
    {"no such function*", "42883"},
    {"unknown function*", "42883"},
    {"wrong number of arguments to function*", "42883"},
    {"unable to use function*", "42883"},
    {"ambiguous column name*", "42702"},
    {"duplicate column name*", "42701"},
    {"*already exists", "42P07"},
    {"there is already *", "42P07"},
    {"no such savepoint*", "3B001"},
    {"no such *", "42704"}, /* index, view, trigger, collation sequence, module, … */
    {"cannot start a transaction within a transaction", "25001"},
    {"cannot * from within a transaction", "25001"},
    {"*may not be changed inside a transaction", "25001"},
    {"cannot commit transaction - SQL statements in progress", "25001"},
    {"cannot commit*no transaction is active", "25P01"},
    {"cannot rollback*no transaction is active", "25P01"},
    {"misuse of aggregate*", "42803"},
    {"misuse of window function*", "42P20"},
    {"cannot modify * because it is a view", "42809"},
    {"*may not be modified", "42809"},
    {"*may not be dropped", "42809"},
    {"*may not be indexed", "42809"},
    {"use DROP * to delete *", "42809"},
    {"foreign key mismatch*", "42830"},
    {"integer overflow", "22003"},
    {"malformed JSON*", "22P02"},
    {"JSON path error*", "22P02"},
    {"ESCAPE expression must be a single character", "22019"},
    {"LIKE or GLOB pattern too complex", "54000"},
    {"string or blob too big", "54000"},
    {"too many *", "54000"},
    {"at most *", "54000"},
    {"Expression tree is too large*", "54001"},
    {"parser stack overflow", "54001"},
    {"database * is locked", "55006"},
    {"not authorized*", "42501"},
};

static const char *sqlstate_of_code(int code) {
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (states[i].code == code)
            return states[i].sqlstate;
    return NULL;
}

static const char *sqlstate_of_message(const char *message) {
    for (size_t i = 0; i < sizeof message_states / sizeof *message_states; i++)
        if (fnmatch(message_states[i].pattern, message, 0) == 0)
            return message_states[i].sqlstate;
    return "42000";
}

/*
 * Said as an error of the statement, of a part of the schema that it uses, and, where an index has the function, of the whole schema,
 * which is then called corrupt.
 */
static bool is_unsafe_use(int code, const char *message) {
    static const char *const patterns[] = {"unsafe use of *", "error in *: unsafe use of *",
                                           "malformed database schema (*) - unsafe use of *"};
    if (code != SQLITE_ERROR && code != SQLITE_CORRUPT)
        return false;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (fnmatch(patterns[i], message, 0) == 0)
            return true;
    return false;
}

const char *lite_sqlstate(int code, const char *message) {
    PRE(code != SQLITE_OK && message);
    if (is_unsafe_use(code, message))
        return "42501";
    const char *sqlstate = sqlstate_of_code(code);
    if (!sqlstate)
        sqlstate = sqlstate_of_code(code & 0xff);
    return sqlstate ? sqlstate : sqlstate_of_message(message);
}

const char *lite_hint(int code, const char *message) {
    if (is_unsafe_use(code, message))
        return "views, triggers, CHECKs, generated columns and indexes may call only what SQLite marks as harmless, "
               "and 3.40 does not mark the functions of JSON: call them in queries";
    if (code == SQLITE_BUSY_SNAPSHOT)
        return "another connection wrote since this transaction began to read: roll back and run all of it again, "
               "or begin it with BEGIN IMMEDIATE";
    switch (code & 0xff) {
    case SQLITE_BUSY:
        return "another process or database handle held the lock for longer than options.busy_timeout_ns";
    case SQLITE_READONLY:
        return "the file or its directory is not writable for this process, or the URL says mode=ro";
    case SQLITE_CANTOPEN:
        return "check the path, that its directory exists, and the permissions of both";
    case SQLITE_NOTADB:
        return "the file is not an SQLite database, or it is encrypted";
    case SQLITE_CORRUPT:
        return "run PRAGMA integrity_check, and restore the file from a backup";
    default:
        return NULL;
    }
}

uint32_t lite_position(const char *sql, size_t length, int64_t offset) {
    if (offset < 0 || (uint64_t)offset > length)
        return 0;
    uint32_t characters = 1;
    for (int64_t i = 0; i < offset; i++)
        characters += ((uint8_t)sql[i] & 0xc0) != 0x80;
    return characters;
}

void lite_error_set(struct query_error *error, int code, const char *message, const char *detail, uint32_t position) {
    error_set(error, lite_sqlstate(code, message), message, detail, lite_hint(code, message), position);
    error->view.backend_code = code;
}
