/* SPDX-License-Identifier: MIT */
/*
 * Parameters as the caller makes them, and their copies in the query's store.
 *
 * A copy of a text array is flat: its elements in PostgreSQL's own binary layout, i32 length (-1: NULL) and the bytes.
 */
#include "value/value.h"

enum { PARAM_ALIGN = 8 }; /* copies of parameters, and integers of copied arrays, are read where they lie */

_Static_assert(_Alignof(quring_param) <= PARAM_ALIGN && _Alignof(int64_t) <= PARAM_ALIGN, "copies are aligned to 8");

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

/* Types whose values are right whatever their bits are, and types whose values point to what has to be copied. */
static const uint32_t param_plain = 1u << QURING_NULL | 1u << QURING_BOOL | 1u << QURING_INT2 | 1u << QURING_INT4 |
                                    1u << QURING_INT8 | 1u << QURING_FLOAT4 | 1u << QURING_FLOAT8 | 1u << QURING_UUID |
                                    1u << QURING_TIMESTAMP | 1u << QURING_TIMESTAMPTZ,
                      param_pointing = 1u << QURING_NUMERIC | 1u << QURING_TEXT | 1u << QURING_BYTES |
                                       1u << QURING_JSON | 1u << QURING_JSONB | 1u << QURING_INT4_ARRAY |
                                       1u << QURING_INT8_ARRAY | 1u << QURING_TEXT_ARRAY | 1u << QURING_UUID_ARRAY;

/* One shift answers what is asked for every parameter of every query. */
static inline bool param_is_of(quring_type type, uint32_t types) {
    return types >> type & 1;
}

/*
 * Constructors cannot fail, and a caller may fill a quring_param by hand, so a query checks its parameters. The check
 * of DATE keeps PostgreSQL's i32 from wrapping, and value_print_date() within its calendar.
 */
bool value_param_valid(const quring_param *param) {
    if (base_unlikely(param->type >= QURING_OTHER))
        return false;
    if (base_likely(param_is_of(param->type, param_plain)))
        return true;
    if (param->type == QURING_DATE)
        return param->value.integer >= INT32_MIN && param->value.integer <= INT32_MAX;
    bool is_array = param->type >= QURING_INT4_ARRAY;
    return param->value.bytes.data || (is_array ? param->count : param->value.bytes.size_bytes) == 0;
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

static inline bool params_point(const quring_param *params, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (param_is_of(params[i].type, param_pointing))
            return true;
    return false;
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
static __attribute__((noinline)) uint8_t *params_copy_pointed(quring_param *copies, const quring_param *params,
                                                              uint32_t count, uint64_t limit, uint8_t *at) {
    for (uint32_t i = 0; i < count; i++) {
        if (!param_is_of(params[i].type, param_pointing))
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
 * The copy of a value that points nowhere, member by member, as callers store it: a wider load of what was just stored in
 * parts waits until the stores have left the CPU's store buffer.
 */
static inline void param_copy_plain(quring_param *to, const quring_param *from) {
    if (from->type == QURING_UUID)
        memcpy(to->value.uuid, from->value.uuid, sizeof to->value.uuid);
    else
        to->value.integer = from->value.integer; /* or the bits of `real` */
}

/*
 * One reservation holds the copies and, behind them, all that they point to: a buffer that grew in between would move
 * what the first pointers point to. A limit of SIZE_MAX / 4 keeps all sums of sizes from overflowing.
 */
const quring_param *value_copy_params(struct buf *store, const quring_param *params, uint32_t count) {
    uint64_t limit = store->limit < SIZE_MAX / 4 ? store->limit : SIZE_MAX / 4;
    uint64_t total = (uint64_t)count * sizeof *params;
    bool point = params_point(params, count);
    if ((point && !params_add_size(params, count, limit, &total)) || total > limit)
        return NULL;
    uint8_t *room = buf_reserve(store, (size_t)total + PARAM_ALIGN);
    if (!room)
        return NULL;
    size_t pad = -(uintptr_t)room & (PARAM_ALIGN - 1);
    quring_param *copies = (quring_param *)(void *)(room + pad);
    uint8_t *at = room + pad + (size_t)count * sizeof *params;
    for (uint32_t i = 0; i < count; i++) {
        copies[i].type = params[i].type;
        copies[i].count = 0;
        param_copy_plain(&copies[i], &params[i]);
    }
    if (point && !(at = params_copy_pointed(copies, params, count, limit, at)))
        return NULL;
    buf_commit(store, (size_t)(at - room));
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
