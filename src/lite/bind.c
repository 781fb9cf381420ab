/* SPDX-License-Identifier: MIT */
#include "lite/conn.h"

#include "lite/lite_error.h"
#include "value/value.h"

#include <math.h>
#include <string.h>

enum { SCRATCH_KEEP_BYTES = 1 << 16 };

/* SQLite takes a NULL address for SQL NULL, which an empty text or blob is not. */
static const void *bind_address(const quring_param *param) {
    return param->value.bytes.data ? param->value.bytes.data : "";
}

/* SQLITE_TRANSIENT: SQLite copies the text, since the next parameter is printed to the same place. */
static int bind_text_of(struct lite_conn *conn, sqlite3_stmt *handle, int index, const quring_param *param,
                        void (*put)(struct buf *out, const quring_param *param)) {
    buf_reset(&conn->scratch, SCRATCH_KEEP_BYTES);
    put(&conn->scratch, param);
    if (buf_failed(&conn->scratch))
        return SQLITE_NOMEM;
    return sqlite3_bind_text64(handle, index, (const char *)buf_head(&conn->scratch), buf_size(&conn->scratch),
                               SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* ISO 8601 as SQLite's date functions read it: they know +00:00, and not PostgreSQL's +00. */
static void bind_put_zoned_time(struct buf *out, const quring_param *param) {
    value_put_text(out, param);
    size_t size = buf_size(out);
    if (size > 3 && memcmp(buf_head(out) + size - 3, "+00", 3) == 0)
        buf_put(out, ":00", 3);
}

/*
 * SQLITE_STATIC: the query's bytes stay where they are until lite_unbind(), so SQLite needs no copy. Types that SQLite does
 * not have become texts in the form that its functions take: ISO 8601 for dates and times, JSON for arrays.
 */
static int bind_memory(struct lite_conn *conn, struct lite_stmt *stmt, int index, const quring_param *param) {
    sqlite3_stmt *handle = stmt->handle;
    stmt->bound_memory = true;
    switch (param->type) {
    case QURING_BYTES:
        return sqlite3_bind_blob64(handle, index, bind_address(param), param->value.bytes.size_bytes, SQLITE_STATIC);
    case QURING_UUID:
    case QURING_DATE:
    case QURING_TIMESTAMP:
        return bind_text_of(conn, handle, index, param, value_put_text);
    case QURING_TIMESTAMPTZ:
        return bind_text_of(conn, handle, index, param, bind_put_zoned_time);
    case QURING_INT4_ARRAY:
    case QURING_INT8_ARRAY:
    case QURING_TEXT_ARRAY:
    case QURING_UUID_ARRAY:
        return bind_text_of(conn, handle, index, param, value_put_json_array);
    default:
        return sqlite3_bind_text64(handle, index, bind_address(param), param->value.bytes.size_bytes, SQLITE_STATIC,
                                   SQLITE_UTF8);
    }
}

static int bind_one(struct lite_conn *conn, struct lite_stmt *stmt, int index, const quring_param *param) {
    sqlite3_stmt *handle = stmt->handle;
    switch (param->type) {
    case QURING_NULL:
        return sqlite3_bind_null(handle, index);
    case QURING_BOOL:
    case QURING_INT2:
    case QURING_INT4:
    case QURING_INT8:
        return sqlite3_bind_int64(handle, index, param->value.integer);
    case QURING_FLOAT4:
    case QURING_FLOAT8:
        return sqlite3_bind_double(handle, index, param->value.real);
    case QURING_NUMERIC:
    case QURING_TEXT:
    case QURING_BYTES:
    case QURING_UUID:
    case QURING_JSON:
    case QURING_JSONB:
    case QURING_DATE:
    case QURING_TIMESTAMP:
    case QURING_TIMESTAMPTZ:
    case QURING_INT4_ARRAY:
    case QURING_INT8_ARRAY:
    case QURING_TEXT_ARRAY:
    case QURING_UUID_ARRAY:
    case QURING_OTHER:
        return bind_memory(conn, stmt, index, param);
    }
    return SQLITE_MISMATCH; /* value_param_valid() lets no such type pass */
}

void lite_unbind(struct lite_conn *conn, struct lite_stmt *stmt) {
    if (base_likely(!stmt->bound_memory))
        return;
    sqlite3_clear_bindings(stmt->handle);
    stmt->bound_memory = false;
    buf_reset(&conn->scratch, SCRATCH_KEEP_BYTES);
}

static bool bind_is_nan(const quring_param *param) {
    return (param->type == QURING_FLOAT8 || param->type == QURING_FLOAT4) && isnan(param->value.real);
}

static bool bind_failed(struct lite_conn *conn, struct query *query, uint32_t number, int code) {
    const quring_param *param = &query->params[number - 1];
    if (bind_is_nan(param)) {
        error_format(&query->error, "22003", "parameter $%u is NaN, which SQLite would store as NULL", number);
        return false;
    }
    lite_conn_error(conn, code, NULL, &query->error);
    return false;
}

bool lite_bind(struct lite_conn *conn, struct lite_stmt *stmt, struct query *query) {
    if (base_unlikely(query->param_count != stmt->param_count)) {
        /* PostgreSQL's SQLSTATE for a Bind with the wrong number of parameters. */
        error_format(&query->error, "08P01", "the statement wants %u parameter%s, and %u %s given", stmt->param_count,
                     stmt->param_count == 1 ? "" : "s", query->param_count, query->param_count == 1 ? "was" : "were");
        return false;
    }
    for (uint32_t i = 0; i < stmt->index_count; i++) {
        uint32_t number = stmt->numbers ? stmt->numbers[i] : i + 1;
        const quring_param *param = &query->params[number - 1];
        int code = base_unlikely(bind_is_nan(param)) ? SQLITE_MISMATCH : bind_one(conn, stmt, (int)i + 1, param);
        if (base_unlikely(code != SQLITE_OK))
            return bind_failed(conn, query, number, code);
    }
    return true;
}
