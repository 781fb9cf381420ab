/* SPDX-License-Identifier: MIT */
/* A parameter's text: what a server gets where no binary fits, and what SQLite binds for types that it lacks. */
#include "value/convert.h"
#include "value/value.h"

/* Room for any one value_print_*(), whose length is known only afterwards: the caller commits that. */
static char *text_room(struct buf *out) {
    return (char *)buf_reserve(out, VALUE_PRINT_BYTES);
}

static void text_put_integer(struct buf *out, int64_t value) {
    char *at = text_room(out);
    if (at)
        buf_commit(out, value_print_integer(at, value));
}

static void text_put_real(struct buf *out, double value) {
    char *at = text_room(out);
    if (at)
        buf_commit(out, value_print_float8(at, value));
}

static void text_put_uuid(struct buf *out, const uint8_t uuid[16]) {
    char *at = text_room(out);
    if (at)
        buf_commit(out, value_print_uuid(at, uuid));
}

/*
 * bytea's hex format, which byteain() reads whatever bytea_output is. Twice the size must not wrap on a 32-bit machine.
 */
static void text_put_hex(struct buf *out, const uint8_t *bytes, size_t size) {
    char *at = size <= (SIZE_MAX - 2) / 2 ? (char *)buf_reserve(out, 2 + 2 * size) : NULL;
    if (at)
        buf_commit(out, value_print_hex(at, bytes, size));
    else if (size > (SIZE_MAX - 2) / 2)
        buf_fail(out);
}

static void text_put_date(struct buf *out, int64_t days) {
    char *at = text_room(out);
    if (!at)
        return;
    if (days == INT32_MAX || days == INT32_MIN) /* infinities, as quring.h has them */
        buf_commit(out, value_print_infinity(at, days < 0));
    else
        buf_commit(out, value_print_date(at, days));
}

static void text_put_timestamp(struct buf *out, int64_t us, bool zone) {
    char *at = text_room(out);
    if (!at)
        return;
    if (us == QURING_INFINITY || us == QURING_MINUS_INFINITY) {
        buf_commit(out, value_print_infinity(at, us < 0));
        return;
    }
    int64_t day, day_us;
    value_split_us(us, 0, &day, &day_us);
    buf_commit(out, value_print_timestamp(at, day, day_us, zone));
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

/* In quotes, array_in() undoes backslashes and nothing else: the word NULL, commas and braces mean themselves. */
static void text_put_array_text(struct buf *out, const char *text, size_t size) {
    buf_put_u8(out, '"');
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"' || text[i] == '\\')
            buf_put_u8(out, '\\');
        buf_put_u8(out, (uint8_t)text[i]);
    }
    buf_put_u8(out, '"');
}

/* RFC 8259 wants quotes, backslashes and control characters escaped, and nothing else. */
static void text_put_json_text(struct buf *out, const char *text, size_t size) {
    static const char digits[] = "0123456789abcdef";
    buf_put_u8(out, '"');
    for (size_t i = 0; i < size; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c < 0x20) {
            char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
            buf_put(out, escape, sizeof escape);
            continue;
        }
        if (c == '"' || c == '\\')
            buf_put_u8(out, '\\');
        buf_put_u8(out, c);
    }
    buf_put_u8(out, '"');
}

/* One element at `*at`, which moves behind it. */
static void text_put_element(struct buf *out, quring_type type, const void **at, bool json) {
    const char *text = NULL;
    size_t size;
    if (type == QURING_INT4_ARRAY) {
        text_put_integer(out, *(const int32_t *)*at);
        *at = (const char *)*at + sizeof(int32_t);
    } else if (type == QURING_INT8_ARRAY) {
        text_put_integer(out, *(const int64_t *)*at);
        *at = (const char *)*at + sizeof(int64_t);
    } else if (type == QURING_UUID_ARRAY) {
        if (json)
            buf_put_u8(out, '"');
        text_put_uuid(out, *at);
        if (json)
            buf_put_u8(out, '"');
        *at = (const char *)*at + 16;
    } else {
        value_text_array_next(at, &text, &size);
        if (!text)
            buf_put(out, json ? "null" : "NULL", 4);
        else if (json)
            text_put_json_text(out, text, size);
        else
            text_put_array_text(out, text, size);
    }
}

static void text_put_array(struct buf *out, const quring_param *param, bool json) {
    const void *at = param->value.bytes.data;
    buf_put_u8(out, json ? '[' : '{');
    for (uint32_t i = 0; i < param->count && !buf_failed(out); i++) {
        if (i)
            buf_put_u8(out, ',');
        text_put_element(out, param->type, &at, json);
    }
    buf_put_u8(out, json ? ']' : '}');
}

void value_put_json_array(struct buf *out, const quring_param *param) {
    PRE(param->type >= QURING_INT4_ARRAY && param->type <= QURING_UUID_ARRAY);
    text_put_array(out, param, true);
}

void value_put_text(struct buf *out, const quring_param *param) {
    switch (param->type) {
    case QURING_BOOL:
        buf_put_u8(out, param->value.integer ? 't' : 'f');
        return;
    case QURING_INT2:
    case QURING_INT4:
    case QURING_INT8:
        text_put_integer(out, param->value.integer);
        return;
    case QURING_FLOAT4:
    case QURING_FLOAT8:
        text_put_real(out, param->value.real);
        return;
    case QURING_NUMERIC:
    case QURING_TEXT:
    case QURING_JSON:
    case QURING_JSONB:
        buf_put(out, param->value.bytes.data, param->value.bytes.size_bytes);
        return;
    case QURING_BYTES:
        text_put_hex(out, param->value.bytes.data, param->value.bytes.size_bytes);
        return;
    case QURING_UUID:
        text_put_uuid(out, param->value.uuid);
        return;
    case QURING_DATE:
        text_put_date(out, param->value.integer);
        return;
    case QURING_TIMESTAMP:
    case QURING_TIMESTAMPTZ:
        text_put_timestamp(out, param->value.integer, param->type == QURING_TIMESTAMPTZ);
        return;
    case QURING_INT4_ARRAY:
    case QURING_INT8_ARRAY:
    case QURING_TEXT_ARRAY:
    case QURING_UUID_ARRAY:
        text_put_array(out, param, false);
        return;
    case QURING_NULL:
    case QURING_OTHER:
        break;
    }
    UNREACHABLE("this parameter has no text");
}
