/* SPDX-License-Identifier: MIT */
/*
 * The public accessors: value/cell.h says what converts to what. Texts and bytes that do not stand in the row as they are
 * wanted need memory besides, which lasts as long as the result.
 */
#include "core/result_cell.h"
#include "value/convert.h"

/* Converts a value. `*out`, of the accessor's own type, is written on success alone. */
typedef int get_convert(const quring_result *result, const struct value_cell *cell, void *out);

/* Always inlined, with `convert` a constant: no accessor makes a call through a pointer. */
static inline __attribute__((always_inline)) int get_value(const quring_result *result, uint64_t row, uint32_t column,
                                                           const char *wanted, get_convert *convert, void *out) {
    struct value_cell cell;
    int code = result_cell_find(result, row, column, &cell);
    if (base_likely(code == 0))
        code = convert(result, &cell, out);
    return base_likely(code == 0) ? 0 : result_cell_fail(result, row, column, wanted, code);
}

/* ---- Metadata of one value --------------------------------------------------------------------------------------- */

quring_type quring_value_type(const quring_result *result, uint64_t row, uint32_t column) {
    struct value_cell cell;
    int code = result_cell_find(result, row, column, &cell);
    return code ? QURING_NULL : cell.type;
}

bool quring_is_null(const quring_result *result, uint64_t row, uint32_t column) {
    struct value_cell cell;
    int code = result_cell_find(result, row, column, &cell);
    return code == QURING_ENULL || code == QURING_ERANGE;
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static int get_as_int64(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    return value_cell_integer(cell, out);
}

int quring_get_int64(const quring_result *result, uint64_t row, uint32_t column, int64_t *value) {
    return get_value(result, row, column, "int8", get_as_int64, value);
}

static int get_as_int32(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    int64_t wide;
    int code = value_cell_integer(cell, &wide);
    if (code)
        return code;
    if (wide < INT32_MIN || wide > INT32_MAX)
        return QURING_ERANGE;
    *(int32_t *)out = (int32_t)wide;
    return 0;
}

int quring_get_int32(const quring_result *result, uint64_t row, uint32_t column, int32_t *value) {
    return get_value(result, row, column, "int4", get_as_int32, value);
}

static int get_as_bool(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    return value_cell_bool(cell, out);
}

int quring_get_bool(const quring_result *result, uint64_t row, uint32_t column, bool *value) {
    return get_value(result, row, column, "bool", get_as_bool, value);
}

static int get_as_float64(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    return value_cell_real(cell, out);
}

int quring_get_float64(const quring_result *result, uint64_t row, uint32_t column, double *value) {
    return get_value(result, row, column, "float8", get_as_float64, value);
}

/* ---- Dates, times and UUIDs -------------------------------------------------------------------------------------- */

static int get_as_date(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    struct value_moment moment;
    int code = value_cell_moment(cell, &moment);
    return code ? code : value_moment_days(&moment, out);
}

int quring_get_date(const quring_result *result, uint64_t row, uint32_t column, int32_t *days) {
    return get_value(result, row, column, "date", get_as_date, days);
}

static int get_as_timestamp(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    struct value_moment moment;
    int code = value_cell_moment(cell, &moment);
    return code ? code : value_moment_us(&moment, out);
}

int quring_get_timestamp(const quring_result *result, uint64_t row, uint32_t column, int64_t *microseconds) {
    return get_value(result, row, column, "timestamp without time zone", get_as_timestamp, microseconds);
}

/* A timestamp without a zone names no instant, and taking it for UTC would be a guess: ETYPE. */
static int get_as_timestamptz(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    struct value_moment moment;
    int code = value_cell_moment(cell, &moment);
    if (code == 0 && !moment.has_zone)
        code = QURING_ETYPE;
    return code ? code : value_moment_us(&moment, out);
}

int quring_get_timestamptz(const quring_result *result, uint64_t row, uint32_t column, int64_t *microseconds) {
    return get_value(result, row, column, "timestamp with time zone", get_as_timestamptz, microseconds);
}

static int get_as_uuid(const quring_result *result, const struct value_cell *cell, void *out) {
    (void)result;
    return value_cell_uuid(cell, out);
}

int quring_get_uuid(const quring_result *result, uint64_t row, uint32_t column, uint8_t value[16]) {
    return get_value(result, row, column, "uuid", get_as_uuid, value);
}

/* ---- Bytes and texts --------------------------------------------------------------------------------------------- */

struct span {
    const void *data;
    size_t size;
};

static int get_span_of_bytea_text(const quring_result *result, const struct value_cell *cell, struct span *span) {
    char *out = result_scratch(result, cell->size + 1);
    size_t size;
    if (!out)
        return QURING_ENOMEM;
    int code = value_parse_bytes((const char *)cell->bytes, cell->size, (uint8_t *)out, &size);
    if (code == 0)
        *span = (struct span){out, size};
    return code;
}

static int get_as_bytes(const quring_result *result, const struct value_cell *cell, void *out) {
    struct span *span = out;
    const char *text;
    size_t size;
    switch (cell->type) {
    case QURING_BYTES:
        if (!cell->binary)
            return get_span_of_bytea_text(result, cell, span);
        *span = (struct span){cell->bytes, cell->size};
        return 0;
    case QURING_TEXT:
    case QURING_JSON:
    case QURING_JSONB:
    case QURING_OTHER:
        if (!value_cell_text(cell, &text, &size))
            return QURING_ETYPE;
        *span = (struct span){text, size};
        return 0;
    default:
        return QURING_ETYPE;
    }
}

int quring_get_bytes(const quring_result *result, uint64_t row, uint32_t column, const void **data,
                     size_t *size_bytes) {
    struct span span = {0};
    int code = get_value(result, row, column, "bytea", get_as_bytes, &span);
    if (code)
        return code;
    *data = span.data;
    if (size_bytes)
        *size_bytes = span.size;
    return 0;
}

/* Gives `size` bytes with a NUL behind them: in place where a 0 follows them, as it nearly always does, else a copy. */
static int get_text_terminated(const quring_result *result, const char *bytes, size_t size, struct span *span) {
    if (bytes[size] == 0) {
        *span = (struct span){bytes, size};
        return 0;
    }
    char *copy = result_scratch(result, size + 1);
    if (!copy)
        return QURING_ENOMEM;
    memcpy(copy, bytes, size);
    copy[size] = 0;
    *span = (struct span){copy, size};
    return 0;
}

static int get_text_of_hex(const quring_result *result, const uint8_t *bytes, size_t count, struct span *span) {
    char *out = result_scratch(result, 2 * count + 3);
    if (!out)
        return QURING_ENOMEM;
    size_t size = value_print_hex(out, bytes, count);
    out[size] = 0;
    *span = (struct span){out, size};
    return 0;
}

/*
 * Rewrites texts of a server with other settings than this library asks for, bytea_output = escape or a TimeZone other than
 * UTC: the same value has the same text whichever way it came.
 */
static int get_text_of_foreign(const quring_result *result, const struct value_cell *cell, struct span *span) {
    const char *own = (const char *)cell->bytes;
    struct value_moment moment;
    struct span bytes;
    if (cell->type == QURING_BYTES && !(cell->size >= 2 && own[0] == '\\' && own[1] == 'x')) {
        int code = get_span_of_bytea_text(result, cell, &bytes);
        if (code != QURING_ETYPE)
            return code ? code : get_text_of_hex(result, bytes.data, bytes.size, span);
    }
    bool local = cell->type == QURING_TIMESTAMPTZ && !(cell->size >= 3 && memcmp(own + cell->size - 3, "+00", 3) == 0);
    if (local && value_parse_moment(own, cell->size, &moment) == 0 && moment.kind == MOMENT_FINITE && moment.has_zone) {
        char printed[VALUE_PRINT_BYTES + 1];
        size_t size = value_print_timestamp(printed, moment.day, moment.day_us, true);
        printed[size] = 1; /* not terminated: it has to be copied */
        return get_text_terminated(result, printed, size, span);
    }
    return get_text_terminated(result, own, cell->size, span);
}

static int get_as_text(const quring_result *result, const struct value_cell *cell, void *out) {
    struct span *span = out;
    const char *text;
    size_t size;
    if (!cell->binary && (cell->type == QURING_BYTES || cell->type == QURING_TIMESTAMPTZ))
        return get_text_of_foreign(result, cell, span);
    if (value_cell_text(cell, &text, &size))
        return get_text_terminated(result, text, size, span);
    if (cell->type == QURING_BYTES)
        return get_text_of_hex(result, cell->bytes, cell->size, span);
    char printed[VALUE_PRINT_BYTES + 1];
    size = value_cell_print(cell, printed);
    if (size == 0)
        return QURING_ETYPE;
    printed[size] = 1; /* not terminated: it has to be copied */
    return get_text_terminated(result, printed, size, span);
}

int quring_get_text(const quring_result *result, uint64_t row, uint32_t column, const char **text, size_t *size_bytes) {
    struct span span = {0};
    int code = get_value(result, row, column, "text", get_as_text, &span);
    if (code)
        return code;
    *text = span.data;
    if (size_bytes)
        *size_bytes = span.size;
    return 0;
}
