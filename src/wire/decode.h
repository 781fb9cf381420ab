/* SPDX-License-Identifier: MIT */
/* Bodies of the server's messages. Everything points into the input; strings are NUL-terminated within it. */
#ifndef QURING_WIRE_DECODE_H
#define QURING_WIRE_DECODE_H

#include "base/cursor.h"

/* ParameterDescription: a checked array of big-endian OIDs. */
struct wire_parameters {
    uint16_t count;
    const uint8_t *oids;
};

static inline uint32_t wire_parameter_oid(const struct wire_parameters *parameters, uint16_t i) {
    return bytes_load_u32(parameters->oids + (size_t)4 * i);
}

/* RowDescription: checked; walk it with wire_column_next(). `names_bytes` counts all names with their NULs. */
struct wire_columns {
    uint16_t count;
    size_t names_bytes;
    struct cursor fields;
};

struct wire_column {
    const char *name;
    size_t name_length;
    uint32_t type_oid;
    int32_t type_modifier;
};

/* False past the last column. */
bool wire_column_next(struct wire_columns *columns, struct wire_column *column);

/* ErrorResponse or NoticeResponse. No pointer is NULL; absent fields are "", sqlstate "XX000". */
struct wire_error {
    char sqlstate[6];
    bool fatal;           /* FATAL or PANIC by its severity */
    uint32_t position;    /* in characters from 1; 0 for none */
    const char *severity; /* the unlocalised one (V, since PostgreSQL 9.6), else the localised one (S) */
    const char *message;
    const char *detail;
    const char *hint;
};

/*
 * Each is true when the body is well formed to its last byte: bytes that are left over mean that client and server
 * disagree about the format, and nothing that follows could be trusted.
 */
bool wire_decode_parameters(struct cursor body, struct wire_parameters *parameters);
bool wire_decode_columns(struct cursor body, struct wire_columns *columns);
bool wire_decode_error(struct cursor body, struct wire_error *error);
bool wire_decode_tag(struct cursor body, const char **tag, size_t *length);

/*
 * Checks all of a DataRow when it comes, so that a malformed one is a violation by this very message, rather than a value
 * that cannot be read later. One pass, with one bounds check for each length and one for each value. It is inline because
 * a cursor that is passed in memory is loaded by wider loads than it was just stored by, which stalls the CPU once a row.
 */
static inline bool wire_decode_row(struct cursor body, int32_t column_count) {
    if (cursor_u16(&body) != column_count)
        return false;
    for (int32_t i = 0; i < column_count; i++) {
        int32_t length = cursor_i32(&body);
        if (length >= 0 ? !cursor_take(&body, (size_t)length) : length != -1)
            return false;
    }
    return cursor_done(&body);
}

/*
 * Returns the number of rows in a command tag ("INSERT 0 5", "SELECT 2", "CREATE TABLE"), 0 when it has none. `*words` gets
 * the length of the command's words ("INSERT", "SELECT", "CREATE TABLE").
 */
uint64_t wire_tag_rows(const char *tag, size_t length, size_t *words);

#endif
