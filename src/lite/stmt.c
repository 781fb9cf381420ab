/* SPDX-License-Identifier: MIT */
/*
 * The statements that a connection keeps: an array with a place for each index that a quring_statement can have, so a
 * look-up is one comparison of serials. A place that holds another serial is of a text whose index was given away.
 */
#include "lite/conn.h"

#include "base/utf8.h"
#include "core/columns.h"
#include "lite/lite_error.h"
#include "lite/text.h"

#include <stdlib.h>
#include <string.h>

void lite_stmt_close(struct lite_stmt *stmt) {
    sqlite3_finalize(stmt->handle);
    columns_drop(stmt->columns);
    free(stmt->numbers);
    *stmt = (struct lite_stmt){0};
}

/* ---- Preparing ---- */

/* The n of "$n"; 0: it is something else. */
static uint32_t stmt_dollar_number(const char *name) {
    uint64_t number = 0;
    const char *at = name + 1;
    if (*name != '$' || !*at)
        return 0;
    for (; *at; at++) {
        if (*at < '0' || *at > '9' || number > UINT16_MAX)
            return 0;
        number = 10 * number + (uint64_t)(*at - '0');
    }
    return number <= UINT16_MAX ? (uint32_t)number : 0;
}

/* SQLite takes $1::int for one name, after Tcl's variables (sqlite.org/lang_expr.html), where PostgreSQL has a cast. */
static bool stmt_refuse_name(struct query_error *error, const char *name) {
    const char *cast = *name == '$' ? strstr(name, "::") : NULL;
    if (cast)
        error_format(error, "42601", "SQLite has no \"%s\": write cast(%.*s as %s)", name, (int)(cast - name), name,
                     cast + 2);
    else
        error_format(error, "42601", "parameter \"%s\": write $1, $2, … or ?", name);
    return false;
}

/*
 * Finds the $n of each index. To SQLite "$2" is a name, and its index follows from where it first stands in the text; an
 * index without such a name is a ? or ?n, whose n is the index.
 */
static bool stmt_number_parameters(struct lite_stmt *stmt, struct query_error *error) {
    int count = sqlite3_bind_parameter_count(stmt->handle);
    bool dollars = false, plain = false;
    stmt->index_count = stmt->param_count = (uint32_t)count;
    if (count == 0)
        return true;
    uint32_t *numbers = calloc((size_t)count, sizeof *numbers);
    uint32_t highest = 0;
    bool same = true;
    if (!numbers) {
        lite_error_set(error, SQLITE_NOMEM, "out of memory", NULL, 0);
        return false;
    }
    stmt->numbers = numbers;
    for (int index = 1; index <= count; index++) {
        const char *name = sqlite3_bind_parameter_name(stmt->handle, index);
        bool dollar = name && *name != '?';
        numbers[index - 1] = dollar ? stmt_dollar_number(name) : (uint32_t)index;
        if (numbers[index - 1] == 0)
            return stmt_refuse_name(error, name);
        *(dollar ? &dollars : &plain) = true;
        same &= numbers[index - 1] == (uint32_t)index;
        highest = numbers[index - 1] > highest ? numbers[index - 1] : highest;
    }
    if (dollars && plain) {
        error_format(error, "42601", "parameters are written $1, $2, … or ?, not both in one statement");
        return false;
    }
    stmt->param_count = highest;
    if (same) {
        free(numbers);
        stmt->numbers = NULL;
    }
    return true;
}

/* The length includes the NUL: SQLite would copy a text of which it is not told that it ends with one. */
static int stmt_prepare_text(struct lite_conn *conn, const char *sql, size_t length, unsigned flags,
                             sqlite3_stmt **handle, const char **tail) {
    conn->verdict = (struct lite_verdict){.preparing = true, .is_pragma = lite_text_is_pragma(sql, length)};
    conn->prepare_count++;
    int code = sqlite3_prepare_v3(conn->handle, sql, (int)(length + 1), flags, handle, tail);
    conn->verdict.preparing = false;
    return code;
}

/* The text goes on behind its first statement, from that byte on. */
static void stmt_refuse_rest(struct query_error *error, const struct quring_statement *text, size_t rest) {
    error_set(error, "42601", "a query is one statement, and this text goes on after its first", NULL,
              "submit each statement on its own", lite_position(text->sql, text->length, (int64_t)rest));
}

static bool stmt_is_control(const char *command) {
    static const char *const controls[] = {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"};
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++)
        if (strcmp(command, controls[i]) == 0)
            return true;
    return false;
}

static bool stmt_prepare(struct lite_conn *conn, struct lite_stmt *stmt, struct query *query, bool keep) {
    const struct quring_statement *text = query->statement;
    size_t blank = lite_text_blank(text->sql, text->length); /* SQLite takes a lone ';' for a whole statement */
    const char *sql = text->sql + blank, *tail = sql, *end = text->sql + text->length;
    int code =
        stmt_prepare_text(conn, sql, text->length - blank, keep ? SQLITE_PREPARE_PERSISTENT : 0, &stmt->handle, &tail);
    stmt->command = lite_text_command(sql, text->length - blank);
    stmt->command_length = strlen(stmt->command);
    stmt->controls = stmt_is_control(stmt->command);
    stmt->keep = keep && !conn->verdict.pragma;
    if (conn->verdict.to_writer)
        return false;
    if (code != SQLITE_OK) {
        lite_conn_error(conn, code, query->statement, &query->error);
        return false;
    }
    tail += lite_text_blank(tail, (size_t)(end - tail));
    if (tail < end) {
        stmt_refuse_rest(&query->error, text, (size_t)(tail - text->sql));
        return false;
    }
    if (!stmt->handle)
        return true;
    stmt->reads_only = sqlite3_stmt_readonly(stmt->handle);
    stmt->changes_rows = strcmp(stmt->command, "INSERT") == 0 || strcmp(stmt->command, "UPDATE") == 0 ||
                         strcmp(stmt->command, "DELETE") == 0 || strcmp(stmt->command, "REPLACE") == 0;
    return stmt_number_parameters(stmt, &query->error);
}

static struct lite_stmt *stmt_make(struct lite_conn *conn, struct query *query, struct lite_stmt *stmt, bool keep) {
    lite_stmt_close(stmt);
    if (!stmt_prepare(conn, stmt, query, keep)) {
        lite_stmt_close(stmt);
        return NULL;
    }
    stmt->serial = query->statement->serial;
    return stmt;
}

struct lite_stmt *lite_stmt_get(struct lite_conn *conn, struct query *query) {
    const struct quring_statement *text = query->statement;
    conn->verdict.to_writer = false;
    if (base_unlikely(text->index >= conn->config->statement_count))
        return stmt_make(conn, query, &conn->once, false);
    struct lite_stmt *stmt = &conn->cache[text->index];
    return base_likely(stmt->serial == text->serial) ? stmt : stmt_make(conn, query, stmt, true);
}

void lite_stmt_put(struct lite_stmt *stmt) {
    if (base_unlikely(!stmt->keep))
        lite_stmt_close(stmt);
}

/* ---- Columns ---- */

static struct columns *stmt_describe(sqlite3_stmt *handle, uint32_t count) {
    size_t names_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *name = sqlite3_column_name(handle, (int)i);
        if (!name)
            return NULL;
        names_bytes += strlen(name) + 1;
    }
    struct columns *columns = columns_new(count, names_bytes);
    char *at = columns ? columns->names : NULL;
    for (uint32_t i = 0; columns && i < count; i++) {
        const char *name = sqlite3_column_name(handle, (int)i);
        size_t size = strlen(name) + 1;
        memcpy(at, name, size);
        /* SQLite's values have types, its columns have none. */
        columns->column[i] = (struct column){.name = at, .modifier = -1, .type = QURING_OTHER};
        utf8_mend(at, size);
        at += size;
    }
    return columns;
}

/* A description that has not changed is kept, because the results of earlier executions hold it as well. */
bool lite_stmt_refresh_columns(struct lite_stmt *stmt) {
    PRE(stmt->handle);
    uint32_t count = (uint32_t)sqlite3_column_count(stmt->handle);
    struct columns *columns = count ? stmt_describe(stmt->handle, count) : NULL;
    if (count && !columns)
        return false;
    if (columns && stmt->columns && columns_equal(columns, stmt->columns)) {
        columns_drop(columns);
    } else {
        columns_drop(stmt->columns);
        stmt->columns = columns;
    }
    stmt->reprepare_count = sqlite3_stmt_status(stmt->handle, SQLITE_STMTSTATUS_REPREPARE, 0);
    return true;
}
