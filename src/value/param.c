/* SPDX-License-Identifier: MIT */
/*
 * Parameters as the caller makes them, and their copies in the query's store.
 *
 * A copy of a text array is flat: its elements in PostgreSQL's own binary layout, i32 length (-1: NULL) and the bytes.
 */
#include "value/param.h"

#include "value/value.h"

/* ---- Constructors ------------------------------------------------------------------------------------------------ */

static quring_param param_of_integer(quring_type type, int64_t value) {
    return (quring_param){.type = type, .value.integer = value};
}

static quring_param param_of_bytes(quring_type type, const void *data, size_t size_bytes, uint32_t count) {
    return (quring_param){.type = type, .count = count, .value.bytes = {.data = data, .size_bytes = size_bytes}};
}

static quring_param param_of_text(quring_type type, const char *text) {
    return text ? param_of_bytes(type, text, strlen(text), 0) : quring_null();
}

quring_param quring_null(void) {
    return (quring_param){.type = QURING_NULL};
}

quring_param quring_bool(bool value) {
    return param_of_integer(QURING_BOOL, value);
}

quring_param quring_int32(int32_t value) {
    return param_of_integer(QURING_INT4, value);
}

quring_param quring_int64(int64_t value) {
    return param_of_integer(QURING_INT8, value);
}

quring_param quring_float64(double value) {
    return (quring_param){.type = QURING_FLOAT8, .value.real = value};
}

quring_param quring_text(const char *text) {
    return param_of_text(QURING_TEXT, text);
}

quring_param quring_text_sized(const char *text, size_t size_bytes) {
    return param_of_bytes(QURING_TEXT, text, size_bytes, 0);
}

quring_param quring_bytes(const void *data, size_t size_bytes) {
    return param_of_bytes(QURING_BYTES, data, size_bytes, 0);
}

quring_param quring_uuid(const uint8_t uuid[16]) {
    quring_param param = {.type = QURING_UUID};
    memcpy(param.value.uuid, uuid, sizeof param.value.uuid);
    return param;
}

quring_param quring_json(const char *text) {
    return param_of_text(QURING_JSON, text);
}

quring_param quring_numeric(const char *text) {
    return param_of_text(QURING_NUMERIC, text);
}

quring_param quring_date(int32_t days) {
    return param_of_integer(QURING_DATE, days);
}

quring_param quring_timestamp(int64_t microseconds) {
    return param_of_integer(QURING_TIMESTAMP, microseconds);
}

quring_param quring_timestamptz(int64_t microseconds) {
    return param_of_integer(QURING_TIMESTAMPTZ, microseconds);
}

quring_param quring_int32_array(const int32_t *values, uint32_t count) {
    return param_of_bytes(QURING_INT4_ARRAY, values, count * sizeof *values, count);
}

quring_param quring_int64_array(const int64_t *values, uint32_t count) {
    return param_of_bytes(QURING_INT8_ARRAY, values, count * sizeof *values, count);
}

quring_param quring_text_array(const char *const *values, uint32_t count) {
    return param_of_bytes(QURING_TEXT_ARRAY, values, count * sizeof *values, count);
}

quring_param quring_uuid_array(const uint8_t (*values)[16], uint32_t count) {
    return param_of_bytes(QURING_UUID_ARRAY, values, count * sizeof *values, count);
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

/* The size of the flat copy. The sum stops where it passes the limit, since what is longer is refused anyway. */
static uint64_t param_text_array_bytes(const quring_param *param, uint64_t limit) {
    const char *const *texts = param->value.bytes.data;
    uint64_t size = 0;
    for (uint32_t i = 0; i < param->count && size <= limit; i++)
        size += 4 + (texts[i] ? strlen(texts[i]) : 0);
    return size;
}

/* The size of the copy of what a parameter points to. Past the limit it is some number past the limit. */
static uint64_t param_bytes(const quring_param *param, uint64_t limit) {
    switch (param->type) {
    case QURING_NUMERIC:
    case QURING_TEXT:
    case QURING_BYTES:
    case QURING_JSON:
    case QURING_JSONB:
        return param->value.bytes.size_bytes;
    case QURING_INT4_ARRAY:
        return (uint64_t)param->count * sizeof(int32_t);
    case QURING_INT8_ARRAY:
        return (uint64_t)param->count * sizeof(int64_t);
    case QURING_UUID_ARRAY:
        return (uint64_t)param->count * 16;
    case QURING_TEXT_ARRAY:
        return param_text_array_bytes(param, limit);
    default:
        return 0;
    }
}

/* False when a text is too long for the i32 that stands before it. */
static bool param_text_array_flatten(uint8_t *at, const quring_param *param) {
    const char *const *texts = param->value.bytes.data;
    for (uint32_t i = 0; i < param->count; i++) {
        size_t size = texts[i] ? strlen(texts[i]) : 0;
        if (size > INT32_MAX)
            return false;
        bytes_store_u32(at, texts[i] ? (uint32_t)size : UINT32_MAX);
        if (size)
            memcpy(at + 4, texts[i], size);
        at += 4 + size;
    }
    return true;
}

/*
 * Adds the room for what parameters point to. The sum is checked against the limit at each step, which keeps it from
 * overflowing: the sizes are the caller's, and may be anything.
 */
static bool params_add_size(const quring_param *params, uint32_t count, uint64_t limit, uint64_t *total) {
    for (uint32_t i = 0; i < count && *total <= limit; i++) {
        uint64_t size = param_bytes(&params[i], limit);
        if (size > limit)
            return false;
        *total += (size + PARAM_ALIGN - 1) & ~(uint64_t)(PARAM_ALIGN - 1);
    }
    return true;
}

/* Copies what parameters point to, which the copies point to from here on. Returns the end; NULL: a text is too long. */
static uint8_t *params_copy_pointed(quring_param *copies, const quring_param *params, uint32_t count, uint64_t limit,
                                    uint8_t *at) {
    for (uint32_t i = 0; i < count; i++) {
        if (!param_is_of(params[i].type, PARAM_POINTING))
            continue;
        copies[i].count = params[i].count;
        size_t size = (size_t)param_bytes(&params[i], limit);
        if (params[i].type == QURING_TEXT_ARRAY && !param_text_array_flatten(at, &params[i]))
            return NULL;
        if (params[i].type != QURING_TEXT_ARRAY && size)
            memcpy(at, params[i].value.bytes.data, size);
        copies[i].value.bytes.data = size ? (const void *)at : ""; /* SQLite binds a NULL address as SQL NULL */
        copies[i].value.bytes.size_bytes = size;
        at += (size + PARAM_ALIGN - 1) & ~(size_t)(PARAM_ALIGN - 1);
    }
    return at;
}

/*
 * One reservation holds the copies and, behind them, all that they point to: a buffer that grew in between would move
 * what the first pointers point to.
 */
const quring_param *param_copy_pointing(struct buf *store, const quring_param *params, uint32_t count) {
    uint64_t limit = param_copies_limit(store), total = (uint64_t)count * sizeof *params;
    if (!params_add_size(params, count, limit, &total) || total > limit)
        return NULL;
    quring_param *copies = param_begin_copies(store, params, count, total);
    const uint8_t *end =
        copies ? params_copy_pointed(copies, params, count, limit, (uint8_t *)(void *)(copies + count)) : NULL;
    if (!end)
        return NULL;
    param_end_copies(store, end);
    return copies;
}

void value_text_array_next(const void **at, const char **text, size_t *size) {
    const uint8_t *element = *at;
    uint32_t length = bytes_load_u32(element);
    bool null = length == UINT32_MAX;
    PRE(null || length <= INT32_MAX); /* the array is a copy of value_copy_params() */
    *text = null ? NULL : (const char *)element + 4;
    *size = null ? 0 : length;
    *at = element + 4 + *size;
}
