/* SPDX-License-Identifier: MIT */
#include "value/cell.h"

#include <math.h>

enum {
    JSONB_VERSION = 1,             /* jsonb_send() puts this byte before the text */
    UUID_BYTEA_TEXT_BYTES = 4 * 16 /* the longest text of 16 bytes: each one as \ooo */
};

/* ---- Binary: false for a length that the type does not have, and for any other type ------------------------------ */

static inline bool cell_load_integer(const struct value_cell *cell, int64_t *value) {
    switch (cell->type) {
    case QURING_INT8:
        if (cell->size != 8)
            return false;
        *value = (int64_t)bytes_load_u64(cell->bytes);
        return true;
    case QURING_INT4:
        if (cell->size != 4)
            return false;
        *value = (int32_t)bytes_load_u32(cell->bytes);
        return true;
    case QURING_INT2:
        if (cell->size != 2)
            return false;
        *value = (int16_t)bytes_load_u16(cell->bytes);
        return true;
    case QURING_BOOL:
        if (cell->size != 1 || cell->bytes[0] > 1) /* boolsend() sends 0 or 1 */
            return false;
        *value = cell->bytes[0];
        return true;
    default:
        return false;
    }
}

static bool cell_load_real(const struct value_cell *cell, double *value) {
    if (cell->type == QURING_FLOAT8 && cell->size == 8) {
        uint64_t bits = bytes_load_u64(cell->bytes);
        memcpy(value, &bits, sizeof bits);
        return true;
    }
    if (cell->type == QURING_FLOAT4 && cell->size == 4) {
        uint32_t bits = bytes_load_u32(cell->bytes);
        float single;
        memcpy(&single, &bits, sizeof bits);
        *value = (double)single;
        return true;
    }
    return false;
}

/*
 * date_send() sends days, timestamp_send() and timestamptz_send() microseconds, all since 2000-01-01, and the extremes
 * of the integer stand for the infinities. A timestamptz is UTC whatever the server's TimeZone is.
 */
static bool cell_load_moment(const struct value_cell *cell, struct value_moment *moment) {
    struct value_moment found = {.kind = MOMENT_FINITE, .has_zone = cell->type == QURING_TIMESTAMPTZ};
    if (cell->type == QURING_DATE && cell->size == 4) {
        int32_t days = (int32_t)bytes_load_u32(cell->bytes);
        if (days == INT32_MAX || days == INT32_MIN)
            found.kind = days < 0 ? MOMENT_MINUS_INFINITE : MOMENT_INFINITE;
        else
            found.day = (int64_t)days + VALUE_EPOCH_DAYS;
    } else if ((cell->type == QURING_TIMESTAMP || cell->type == QURING_TIMESTAMPTZ) && cell->size == 8) {
        int64_t us = (int64_t)bytes_load_u64(cell->bytes);
        if (us == INT64_MAX || us == INT64_MIN)
            found.kind = us < 0 ? MOMENT_MINUS_INFINITE : MOMENT_INFINITE;
        else
            value_split_us(us, VALUE_EPOCH_DAYS, &found.day, &found.day_us);
    } else {
        return false;
    }
    *moment = found;
    return true;
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* A bool counts as an integer: it converts as 0 or 1, and those two alone convert to it. */
static bool cell_is_integer(const struct value_cell *cell) {
    return cell->type == QURING_INT2 || cell->type == QURING_INT4 || cell->type == QURING_INT8 ||
           cell->type == QURING_BOOL;
}

/* A number stands in the value's text: its own type says so, or it is a text that a caller may know to hold one. */
static bool cell_has_decimal(const struct value_cell *cell) {
    switch (cell->type) {
    case QURING_INT2:
    case QURING_INT4:
    case QURING_INT8:
        return !cell->binary;
    case QURING_NUMERIC:
    case QURING_TEXT:
    case QURING_JSON:
    case QURING_JSONB:
    case QURING_OTHER:
        return true;
    default:
        return false;
    }
}

/* A float4's text is read as a float4, so that it gives the same double as the four bytes of its binary form. */
static int cell_real_of_float(const struct value_cell *cell, double *value) {
    if (cell->binary)
        return cell_load_real(cell, value) ? 0 : QURING_ETYPE;
    if (cell->type == QURING_FLOAT4)
        return value_parse_float4((const char *)cell->bytes, cell->size, value);
    return value_parse_float8((const char *)cell->bytes, cell->size, value);
}

/* (double)INT64_MAX is 2^63, which no int64_t holds: converting that back is undefined, so it is caught before. */
static int cell_real_of_integer(int64_t integer, double *value) {
    double real = (double)integer;
    if (real >= 0x1p63 || (int64_t)real != integer)
        return QURING_ELOSSY;
    *value = real;
    return 0;
}

/*
 * The bounds are -2^63 and 2^63 because both are floats, and INT64_MAX is not. The comparison is written so that it is
 * false for NaN, too.
 */
static int cell_integer_of_real(double real, int64_t *value) {
    if (!(real >= -0x1p63 && real < 0x1p63))
        return QURING_ERANGE;
    if (real != trunc(real))
        return QURING_ELOSSY;
    *value = (int64_t)real;
    return 0;
}

/* Converts all but integers in binary, which are the usual columns: value_cell_integer() does these by itself. */
static int cell_integer_of_other(const struct value_cell *cell, int64_t *value) {
    const char *text;
    size_t size;
    double real;
    bool truth;
    if (cell->type == QURING_FLOAT4 || cell->type == QURING_FLOAT8) {
        int code = cell_real_of_float(cell, &real);
        return code ? code : cell_integer_of_real(real, value);
    }
    if (cell->type == QURING_BOOL && !cell->binary) {
        int code = value_parse_bool((const char *)cell->bytes, cell->size, &truth);
        if (code == 0)
            *value = truth;
        return code;
    }
    if (cell_has_decimal(cell) && value_cell_text(cell, &text, &size))
        return value_parse_integer(text, size, value);
    return QURING_ETYPE;
}

int value_cell_integer(const struct value_cell *cell, int64_t *value) {
    if (base_likely(cell->binary && cell_load_integer(cell, value)))
        return 0;
    return cell_integer_of_other(cell, value);
}

int value_cell_real(const struct value_cell *cell, double *value) {
    PRE(cell->bytes);
    const char *text;
    size_t size;
    int64_t integer;
    if (cell->type == QURING_FLOAT8 || cell->type == QURING_FLOAT4)
        return cell_real_of_float(cell, value);
    if (cell_is_integer(cell)) {
        int code = value_cell_integer(cell, &integer);
        return code ? code : cell_real_of_integer(integer, value);
    }
    if (cell_has_decimal(cell) && value_cell_text(cell, &text, &size))
        return value_parse_decimal(text, size, value);
    return QURING_ETYPE;
}

int value_cell_bool(const struct value_cell *cell, bool *value) {
    PRE(cell->bytes);
    const char *text;
    size_t size;
    int64_t integer;
    if (cell_is_integer(cell)) {
        int code = value_cell_integer(cell, &integer);
        if (code)
            return code;
        if (integer != 0 && integer != 1)
            return QURING_ERANGE;
        *value = integer == 1;
        return 0;
    }
    /* PostgreSQL casts int4 to bool, and text by boolin(), but has no cast from numeric. */
    if (cell_has_decimal(cell) && cell->type != QURING_NUMERIC && value_cell_text(cell, &text, &size))
        return value_parse_bool(text, size, value);
    return QURING_ETYPE;
}

/* ---- All other types --------------------------------------------------------------------------------------------- */

int value_cell_moment(const struct value_cell *cell, struct value_moment *moment) {
    PRE(cell->bytes);
    switch (cell->type) {
    case QURING_DATE:
    case QURING_TIMESTAMP:
    case QURING_TIMESTAMPTZ:
        if (cell->binary)
            return cell_load_moment(cell, moment) ? 0 : QURING_ETYPE;
        break;
    case QURING_TEXT:
    case QURING_OTHER:
        break;
    default:
        return QURING_ETYPE;
    }
    int code = value_parse_moment((const char *)cell->bytes, cell->size, moment);
    /* A type without a zone has none in binary either, whatever its text looks like. */
    if (code == 0 && (cell->type == QURING_DATE || cell->type == QURING_TIMESTAMP))
        moment->has_zone = false;
    return code;
}

static int cell_uuid_of_bytes(const uint8_t *bytes, size_t size, uint8_t uuid[16]) {
    if (size != 16)
        return QURING_ETYPE;
    memcpy(uuid, bytes, 16);
    return 0;
}

/* A bytea on a statement's first execution. The size is checked first, because the text may be of any length. */
static int cell_uuid_of_bytea_text(const struct value_cell *cell, uint8_t uuid[16]) {
    uint8_t bytes[UUID_BYTEA_TEXT_BYTES];
    size_t size;
    if (cell->size > sizeof bytes)
        return QURING_ETYPE;
    int code = value_parse_bytes((const char *)cell->bytes, cell->size, bytes, &size);
    return code ? code : cell_uuid_of_bytes(bytes, size, uuid);
}

int value_cell_uuid(const struct value_cell *cell, uint8_t uuid[16]) {
    PRE(cell->bytes);
    switch (cell->type) {
    case QURING_BYTES:
        return cell->binary ? cell_uuid_of_bytes(cell->bytes, cell->size, uuid) : cell_uuid_of_bytea_text(cell, uuid);
    case QURING_UUID:
        if (cell->binary)
            return cell_uuid_of_bytes(cell->bytes, cell->size, uuid);
        break;
    case QURING_TEXT:
    case QURING_OTHER:
        break;
    default:
        return QURING_ETYPE;
    }
    return value_parse_uuid((const char *)cell->bytes, cell->size, uuid);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

bool value_cell_text(const struct value_cell *cell, const char **text, size_t *size) {
    PRE(cell->bytes);
    const char *own = (const char *)cell->bytes;
    if (!cell->binary || cell->type == QURING_TEXT || cell->type == QURING_JSON) {
        *text = own;
        *size = cell->size;
        return true;
    }
    if (cell->type != QURING_JSONB || cell->size == 0 || cell->bytes[0] != JSONB_VERSION)
        return false;
    *text = own + 1;
    *size = cell->size - 1;
    return true;
}

size_t value_cell_print(const struct value_cell *cell, char out[static VALUE_PRINT_BYTES]) {
    PRE(cell->bytes);
    int64_t integer;
    double real;
    struct value_moment moment;
    if (!cell->binary)
        return 0;
    if (cell_load_integer(cell, &integer)) {
        if (cell->type != QURING_BOOL)
            return value_print_integer(out, integer);
        out[0] = integer ? 't' : 'f';
        return 1;
    }
    if (cell_load_real(cell, &real))
        return cell->type == QURING_FLOAT4 ? value_print_float4(out, (float)real) : value_print_float8(out, real);
    if (cell_load_moment(cell, &moment)) {
        if (moment.kind != MOMENT_FINITE)
            return value_print_infinity(out, moment.kind == MOMENT_MINUS_INFINITE);
        if (cell->type == QURING_DATE)
            return value_print_date(out, moment.day);
        return value_print_timestamp(out, moment.day, moment.day_us, moment.has_zone);
    }
    if (cell->type == QURING_UUID && cell->size == 16)
        return value_print_uuid(out, cell->bytes);
    return 0;
}
