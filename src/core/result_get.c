/* SPDX-License-Identifier: MIT */
/*
 * The public accessors. A value comes as its text on a statement's first execution and in binary later, so both must
 * convert alike: what a conversion allows depends on the type alone.
 *
 *   from              to int32, int64   float64      bool   date      timestamp   timestamptz   uuid   bytes
 *   bool              0, 1              0, 1         yes
 *   int2 int4 int8    in range          if exact     0, 1
 *   float4 float8     if whole          yes
 *   numeric           if whole          see below
 *   date                                                    yes       midnight
 *   timestamp                                               midnight  yes
 *   timestamptz                                             midnight, in UTC      yes
 *   uuid                                                                                        yes
 *   bytea                                                                                       16     yes
 *   text other        as numeric                     PG's   if its text says so (with a zone)   PG's   its text
 *   json jsonb        as numeric                     PG's                                              its text
 *
 * A decimal goes to float64 when the float, printed with as many digits, gives it back: 0.1 does, 0.1234567890123456789
 * doesn't. Any type goes to text.
 */
#include "core/result_cell.h"
#include "value/value.h"

#include <math.h>

#define GET_FAIL(code) cell_fail(result, row, column, wanted, code)

/* ---- Metadata of one value --------------------------------------------------------------------------------------- */

quring_type quring_value_type(const quring_result *result, uint64_t row, uint32_t column) {
    struct cell cell;
    int code = cell_find(result, row, column, &cell);
    return code ? QURING_NULL : cell.type;
}

bool quring_is_null(const quring_result *result, uint64_t row, uint32_t column) {
    struct cell cell;
    int code = cell_find(result, row, column, &cell);
    return code == QURING_ENULL || code == QURING_ERANGE;
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* What has a number in its text: its own type says so, or it is a text that a caller may know to hold one. */
static bool cell_has_decimal(const struct cell *cell) {
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

static int real_of_cell(const struct cell *cell, double *value) {
    if (cell->binary)
        return cell_load_real(cell, value) ? 0 : QURING_ETYPE;
    if (cell->type == QURING_FLOAT4)
        return value_parse_float4((const char *)cell->bytes, cell->size, value);
    return value_parse_float8((const char *)cell->bytes, cell->size, value);
}

static int integer_of_real(double real, int64_t *value) {
    if (!(real >= -0x1p63 && real < 0x1p63))
        return QURING_ERANGE;
    if (real != trunc(real))
        return QURING_ELOSSY;
    *value = (int64_t)real;
    return 0;
}

/* Not hot: everything but an integer in binary. */
static int integer_of_other(const struct cell *cell, int64_t *value) {
    const char *text;
    size_t size;
    double real;
    bool truth;
    if (cell->type == QURING_FLOAT4 || cell->type == QURING_FLOAT8) {
        int code = real_of_cell(cell, &real);
        return code ? code : integer_of_real(real, value);
    }
    if (cell->type == QURING_BOOL && !cell->binary) {
        int code = value_parse_bool((const char *)cell->bytes, cell->size, &truth);
        if (code == 0)
            *value = truth;
        return code;
    }
    if (cell_has_decimal(cell) && cell_text_bytes(cell, &text, &size))
        return value_parse_integer(text, size, value);
    return QURING_ETYPE;
}

static inline int get_integer(const quring_result *result, uint64_t row, uint32_t column, const char *wanted,
                              int64_t min, int64_t max, int64_t *value) {
    struct cell cell;
    int code = cell_find(result, row, column, &cell);
    if (base_unlikely(code))
        return GET_FAIL(code);
    int64_t found = 0;
    if (!cell.binary || !cell_load_integer(&cell, &found))
        code = integer_of_other(&cell, &found);
    if (code == 0 && (found < min || found > max))
        code = QURING_ERANGE;
    if (base_unlikely(code))
        return GET_FAIL(code);
    *value = found;
    return 0;
}

int quring_get_int64(const quring_result *result, uint64_t row, uint32_t column, int64_t *value) {
    return get_integer(result, row, column, "int8", INT64_MIN, INT64_MAX, value);
}

int quring_get_int32(const quring_result *result, uint64_t row, uint32_t column, int32_t *value) {
    int64_t wide = 0;
    int code = get_integer(result, row, column, "int4", INT32_MIN, INT32_MAX, &wide);
    if (code == 0)
        *value = (int32_t)wide;
    return code;
}

static bool cell_is_integer(const struct cell *cell) {
    return cell->type == QURING_INT2 || cell->type == QURING_INT4 || cell->type == QURING_INT8 ||
           cell->type == QURING_BOOL;
}

static int bool_of_cell(const struct cell *cell, bool *value) {
    const char *text;
    size_t size;
    int64_t integer;
    if (cell_is_integer(cell)) {
        int code = 0;
        if (!cell->binary || !cell_load_integer(cell, &integer))
            code = integer_of_other(cell, &integer);
        if (code)
            return code;
        if (integer != 0 && integer != 1)
            return QURING_ERANGE;
        *value = integer == 1;
        return 0;
    }
    if (cell_has_decimal(cell) && cell->type != QURING_NUMERIC && cell_text_bytes(cell, &text, &size))
        return value_parse_bool(text, size, value);
    return QURING_ETYPE;
}

int quring_get_bool(const quring_result *result, uint64_t row, uint32_t column, bool *value) {
    const char *wanted = "bool";
    struct cell cell;
    int code = cell_find(result, row, column, &cell);
    if (code == 0)
        code = bool_of_cell(&cell, value);
    return code ? GET_FAIL(code) : 0;
}

static int real_of_integer(int64_t integer, double *value) {
    double real = (double)integer;
    if (real >= 0x1p63 || (int64_t)real != integer)
        return QURING_ELOSSY;
    *value = real;
    return 0;
}

static int real_of_any(const struct cell *cell, double *value) {
    const char *text;
    size_t size;
    int64_t integer;
    if (cell->type == QURING_FLOAT8 || cell->type == QURING_FLOAT4)
        return real_of_cell(cell, value);
    if (cell_is_integer(cell)) {
        int code = 0;
        if (!cell->binary || !cell_load_integer(cell, &integer))
            code = integer_of_other(cell, &integer);
        return code ? code : real_of_integer(integer, value);
    }
    if (cell_has_decimal(cell) && cell_text_bytes(cell, &text, &size))
        return value_parse_decimal(text, size, value);
    return QURING_ETYPE;
}

int quring_get_float64(const quring_result *result, uint64_t row, uint32_t column, double *value) {
    const char *wanted = "float8";
    struct cell cell;
    int code = cell_find(result, row, column, &cell);
    if (code == 0)
        code = real_of_any(&cell, value);
    return code ? GET_FAIL(code) : 0;
}

/* ---- Dates and times --------------------------------------------------------------------------------------------- */

static int moment_of_cell(const struct cell *cell, struct value_moment *moment) {
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
    if (code == 0 && (cell->type == QURING_DATE || cell->type == QURING_TIMESTAMP))
        moment->has_zone = false;
    return code;
}

static int get_moment(const quring_result *result, uint64_t row, uint32_t column, struct value_moment *moment) {
    struct cell cell;
    int code = cell_find(result, row, column, &cell);
    return code ? code : moment_of_cell(&cell, moment);
}

int quring_get_date(const quring_result *result, uint64_t row, uint32_t column, int32_t *days) {
    const char *wanted = "date";
    struct value_moment moment;
    int code = get_moment(result, row, column, &moment);
    if (code == 0)
        code = value_moment_days(&moment, days);
    return code ? GET_FAIL(code) : 0;
}

int quring_get_timestamp(const quring_result *result, uint64_t row, uint32_t column, int64_t *microseconds) {
    const char *wanted = "timestamp without time zone";
    struct value_moment moment;
    int code = get_moment(result, row, column, &moment);
    if (code == 0)
        code = value_moment_us(&moment, microseconds);
    return code ? GET_FAIL(code) : 0;
}

/* What has no zone names no instant; to take it for UTC would be a guess. */
int quring_get_timestamptz(const quring_result *result, uint64_t row, uint32_t column, int64_t *microseconds) {
    const char *wanted = "timestamp with time zone";
    struct value_moment moment;
    int code = get_moment(result, row, column, &moment);
    if (code == 0 && !moment.has_zone)
        code = QURING_ETYPE;
    if (code == 0)
        code = value_moment_us(&moment, microseconds);
    return code ? GET_FAIL(code) : 0;
}

/* ---- Bytes and texts --------------------------------------------------------------------------------------------- */

static int bytes_of_text(const quring_result *result, const struct cell *cell, const void **data, size_t *size) {
    char *out = cell_scratch(result, cell->size + 1);
    if (!out)
        return QURING_ENOMEM;
    int code = value_parse_bytes((const char *)cell->bytes, cell->size, (uint8_t *)out, size);
    if (code == 0)
        *data = out;
    return code;
}

static int bytes_of_cell(const quring_result *result, const struct cell *cell, const void **data, size_t *size) {
    const char *text;
    switch (cell->type) {
    case QURING_BYTES:
        if (!cell->binary)
            return bytes_of_text(result, cell, data, size);
        *data = cell->bytes;
        *size = cell->size;
        return 0;
    case QURING_TEXT:
    case QURING_JSON:
    case QURING_JSONB:
    case QURING_OTHER:
        if (!cell_text_bytes(cell, &text, size))
            return QURING_ETYPE;
        *data = text;
        return 0;
    default:
        return QURING_ETYPE;
    }
}

int quring_get_bytes(const quring_result *result, uint64_t row, uint32_t column, const void **data,
                     size_t *size_bytes) {
    const char *wanted = "bytea";
    struct cell cell;
    const void *found;
    size_t size;
    int code = cell_find(result, row, column, &cell);
    if (code == 0)
        code = bytes_of_cell(result, &cell, &found, &size);
    if (code)
        return GET_FAIL(code);
    *data = found;
    if (size_bytes)
        *size_bytes = size;
    return 0;
}

static int uuid_of_cell(const struct cell *cell, uint8_t value[16]) {
    bool raw = cell->binary && (cell->type == QURING_UUID || cell->type == QURING_BYTES);
    if (raw && cell->size == 16) {
        memcpy(value, cell->bytes, 16);
        return 0;
    }
    bool text = cell->type == QURING_TEXT || cell->type == QURING_OTHER || (cell->type == QURING_UUID && !raw);
    if (text)
        return value_parse_uuid((const char *)cell->bytes, cell->size, value);
    return QURING_ETYPE;
}

int quring_get_uuid(const quring_result *result, uint64_t row, uint32_t column, uint8_t value[16]) {
    const char *wanted = "uuid";
    struct cell cell;
    const void *data;
    size_t size;
    int code = cell_find(result, row, column, &cell);
    if (code == 0 && cell.type == QURING_BYTES && !cell.binary) {
        code = bytes_of_text(result, &cell, &data, &size);
        cell =
            (struct cell){.bytes = code ? NULL : data, .size = code ? 0 : size, .type = QURING_BYTES, .binary = true};
    }
    if (code == 0)
        code = uuid_of_cell(&cell, value);
    return code ? GET_FAIL(code) : 0;
}

/* `size` bytes, NUL-terminated: where they are when a 0 follows them there, else copied. */
static int text_terminated(const quring_result *result, const char *bytes, size_t size, const char **text) {
    if (bytes[size] == 0) {
        *text = bytes;
        return 0;
    }
    char *copy = cell_scratch(result, size + 1);
    if (!copy)
        return QURING_ENOMEM;
    memcpy(copy, bytes, size);
    copy[size] = 0;
    *text = copy;
    return 0;
}

static int text_of_hex(const quring_result *result, const uint8_t *bytes, size_t count, const char **text,
                       size_t *size) {
    char *out = cell_scratch(result, 2 * count + 3);
    if (!out)
        return QURING_ENOMEM;
    *size = value_print_hex(out, bytes, count);
    out[*size] = 0;
    *text = out;
    return 0;
}

/* Texts of a server whose settings differ from ours: bytea_output = escape, and a TimeZone other than UTC. */
static int text_of_foreign(const quring_result *result, const struct cell *cell, const char **text, size_t *size) {
    const char *own = (const char *)cell->bytes;
    struct value_moment moment;
    const void *bytes;
    size_t count;
    if (cell->type == QURING_BYTES && !(cell->size >= 2 && own[0] == '\\' && own[1] == 'x')) {
        int code = bytes_of_text(result, cell, &bytes, &count);
        if (code != QURING_ETYPE)
            return code ? code : text_of_hex(result, bytes, count, text, size);
    }
    bool local = cell->type == QURING_TIMESTAMPTZ && !(cell->size >= 3 && memcmp(own + cell->size - 3, "+00", 3) == 0);
    if (local && value_parse_moment(own, cell->size, &moment) == 0 && moment.kind == MOMENT_FINITE && moment.has_zone) {
        char *out = cell_scratch(result, VALUE_PRINT_BYTES + 1);
        if (!out)
            return QURING_ENOMEM;
        *size = value_print_timestamp(out, moment.day, moment.day_us, true);
        out[*size] = 0;
        *text = out;
        return 0;
    }
    *size = cell->size;
    return text_terminated(result, own, cell->size, text);
}

static int text_of_cell(const quring_result *result, const struct cell *cell, const char **text, size_t *size) {
    const char *bytes;
    if (!cell->binary && (cell->type == QURING_BYTES || cell->type == QURING_TIMESTAMPTZ))
        return text_of_foreign(result, cell, text, size);
    if (cell_text_bytes(cell, &bytes, size))
        return text_terminated(result, bytes, *size, text);
    if (cell->type == QURING_BYTES)
        return text_of_hex(result, cell->bytes, cell->size, text, size);
    char printed[VALUE_PRINT_BYTES + 1];
    *size = cell_print(cell, printed);
    if (*size == 0)
        return QURING_ETYPE;
    printed[*size] = 1; /* not terminated: it has to be copied */
    return text_terminated(result, printed, *size, text);
}

int quring_get_text(const quring_result *result, uint64_t row, uint32_t column, const char **text, size_t *size_bytes) {
    const char *wanted = "text";
    struct cell cell;
    size_t size = 0;
    int code = cell_find(result, row, column, &cell);
    if (code == 0)
        code = text_of_cell(result, &cell, text, &size);
    if (code)
        return GET_FAIL(code);
    if (size_bytes)
        *size_bytes = size;
    return 0;
}
