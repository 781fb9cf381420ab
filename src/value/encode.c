/* SPDX-License-Identifier: MIT */
/*
 * Parameters for the type that the server inferred: binary where the value fits that type exactly, else text, so that
 * the server itself converts it or says what is wrong with it.
 */
#include "value/convert.h"
#include "value/oids.h"
#include "value/value.h"

#include <math.h>

/* array_send(): an empty array has no dimension, so the length and first index of one are left out. */
enum { ARRAY_HEADER_BYTES = 20, ARRAY_EMPTY_BYTES = 12 };

/* The format codes of Bind. */
enum { FORMAT_TEXT = 0, FORMAT_BINARY = 1 };

/* A length in the protocol is an i32: a longer value fails the buffer, as one does that finds no room. */
static uint16_t encode_sized(struct buf *out, const void *bytes, size_t size, uint16_t format) {
    uint8_t *at = size <= INT32_MAX ? buf_extend(out, 4 + size) : NULL;
    if (!at) {
        if (size > INT32_MAX)
            buf_fail(out);
        return format;
    }
    bytes_store_u32(at, (uint32_t)size);
    if (size)
        memcpy(at + 4, bytes, size);
    return format;
}

/* The length stands before the text, but is known only after it, and is stored then. */
static uint16_t encode_as_text(struct buf *out, const quring_param *param) {
    size_t mark = buf_mark(out);
    buf_put_u32(out, 0);
    value_put_text(out, param);
    if (buf_failed(out))
        return FORMAT_TEXT;
    size_t size = buf_mark(out) - mark - 4;
    if (size > INT32_MAX)
        buf_fail(out);
    else
        bytes_store_u32(buf_head(out) + mark, (uint32_t)size);
    return FORMAT_TEXT;
}

static uint16_t encode_u32(struct buf *out, uint32_t value) {
    uint8_t *at = buf_extend(out, 8);
    if (at) {
        bytes_store_u32(at, 4);
        bytes_store_u32(at + 4, value);
    }
    return FORMAT_BINARY;
}

static uint16_t encode_u64(struct buf *out, uint64_t value) {
    uint8_t *at = buf_extend(out, 12);
    if (at) {
        bytes_store_u32(at, 8);
        bytes_store_u64(at + 4, value);
    }
    return FORMAT_BINARY;
}

/*
 * For a type that is no integer the text goes out, and for one whose range is too small: the server then converts it by its
 * own rules, or says "out of range for type integer" itself.
 */
static uint16_t encode_integer(struct buf *out, const quring_param *param, uint32_t oid) {
    int64_t value = param->value.integer;
    if (oid == OID_INT8)
        return encode_u64(out, (uint64_t)value);
    if (oid == OID_INT4 && value == (int32_t)value)
        return encode_u32(out, (uint32_t)value);
    if (oid == OID_INT2 && value == (int16_t)value) {
        uint8_t *at = buf_extend(out, 6);
        if (at) {
            bytes_store_u32(at, 2);
            bytes_store_u16(at + 4, (uint16_t)value);
        }
        return FORMAT_BINARY;
    }
    return encode_as_text(out, param);
}

/* A float8 that a float4 column would round goes as text, for the server to round or refuse. NaN equals nothing. */
static uint16_t encode_real(struct buf *out, const quring_param *param, uint32_t oid) {
    double value = param->value.real;
    if (oid == OID_FLOAT8) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        return encode_u64(out, bits);
    }
    float single = (float)value;
    if (oid == OID_FLOAT4 && ((double)single == value || isnan(value))) {
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        return encode_u32(out, bits);
    }
    return encode_as_text(out, param);
}

/* PostgreSQL's infinities are the same numbers on its own epoch; a finite value that would become one goes as text. */
static uint16_t encode_date(struct buf *out, const quring_param *param, uint32_t oid) {
    int64_t days = param->value.integer;
    bool infinite = days == INT32_MAX || days == INT32_MIN;
    int64_t moved = infinite ? days : days - VALUE_EPOCH_DAYS;
    if (oid == OID_DATE && (infinite || moved > INT32_MIN))
        return encode_u32(out, (uint32_t)(int32_t)moved);
    return encode_as_text(out, param);
}

/*
 * A timestamp for a column with a zone goes as text, because the server reads a text without a zone in its TimeZone.
 * The reverse goes as text, too: which time the server makes of it is the server's to decide.
 */
static uint16_t encode_timestamp(struct buf *out, const quring_param *param, uint32_t oid, uint32_t own_oid) {
    int64_t us = param->value.integer;
    bool infinite = us == QURING_INFINITY || us == QURING_MINUS_INFINITY;
    bool fits = infinite || us > INT64_MIN + VALUE_EPOCH_US;
    if (oid == own_oid && fits)
        return encode_u64(out, (uint64_t)(infinite ? us : us - VALUE_EPOCH_US));
    return encode_as_text(out, param);
}

/* ---- Arrays: i32 dimensions, i32 has NULLs, i32 element type, then i32 length and i32 first index of the dimension */

/* A binary array names its elements' type, and array_recv() refuses any but the one that the statement wants. */
static uint32_t encode_element_oid(uint32_t oid) {
    switch (oid) {
    case OID_INT4_ARRAY:
        return OID_INT4;
    case OID_INT8_ARRAY:
        return OID_INT8;
    case OID_TEXT_ARRAY:
        return OID_TEXT;
    case OID_VARCHAR_ARRAY:
        return OID_VARCHAR;
    case OID_BPCHAR_ARRAY:
        return OID_BPCHAR;
    case OID_NAME_ARRAY:
        return OID_NAME;
    case OID_UUID_ARRAY:
        return OID_UUID;
    default:
        return 0;
    }
}

/* Room for the whole value, its length and header written; NULL when it can't be had, or there is nothing to follow. */
static uint8_t *encode_array_header(struct buf *out, uint32_t count, uint32_t element_oid, bool nulls, uint64_t bytes) {
    uint64_t size = count ? ARRAY_HEADER_BYTES + bytes : ARRAY_EMPTY_BYTES;
    uint8_t *at = size <= INT32_MAX ? buf_extend(out, 4 + (size_t)size) : NULL;
    if (!at) {
        if (size > INT32_MAX)
            buf_fail(out);
        return NULL;
    }
    bytes_store_u32(at, (uint32_t)size);
    bytes_store_u32(at + 4, count ? 1 : 0);
    bytes_store_u32(at + 8, nulls);
    bytes_store_u32(at + 12, element_oid);
    if (count == 0)
        return NULL;
    bytes_store_u32(at + 16, count);
    bytes_store_u32(at + 20, 1);
    return at + 4 + ARRAY_HEADER_BYTES;
}

static int64_t encode_array_integer(const quring_param *param, uint32_t i) {
    return param->type == QURING_INT4_ARRAY ? ((const int32_t *)param->value.bytes.data)[i]
                                            : ((const int64_t *)param->value.bytes.data)[i];
}

/* One element out of range makes the whole array go as text: an array has one format. */
static uint16_t encode_integers(struct buf *out, const quring_param *param, uint32_t oid) {
    bool wide = oid == OID_INT8_ARRAY;
    bool fits = wide || oid == OID_INT4_ARRAY;
    for (uint32_t i = 0; !wide && fits && i < param->count; i++)
        fits = encode_array_integer(param, i) == (int32_t)encode_array_integer(param, i);
    if (!fits)
        return encode_as_text(out, param);
    uint32_t size = wide ? 8 : 4;
    uint8_t *at =
        encode_array_header(out, param->count, encode_element_oid(oid), false, (uint64_t)param->count * (4 + size));
    for (uint32_t i = 0; at && i < param->count; i++, at += 4 + size) {
        bytes_store_u32(at, size);
        if (wide)
            bytes_store_u64(at + 4, (uint64_t)encode_array_integer(param, i));
        else
            bytes_store_u32(at + 4, (uint32_t)encode_array_integer(param, i));
    }
    return FORMAT_BINARY;
}

static uint16_t encode_uuids(struct buf *out, const quring_param *param, uint32_t oid) {
    if (oid != OID_UUID_ARRAY)
        return encode_as_text(out, param);
    const uint8_t *uuid = param->value.bytes.data;
    uint8_t *at = encode_array_header(out, param->count, OID_UUID, false, (uint64_t)param->count * 20);
    for (uint32_t i = 0; at && i < param->count; i++, at += 20, uuid += 16) {
        bytes_store_u32(at, 16);
        memcpy(at + 4, uuid, 16);
    }
    return FORMAT_BINARY;
}

/*
 * The flat copy of value_copy_params() has the layout of the wire, lengths included, so it goes out as it is. Elements
 * of all four types are the same bytes in binary as in text.
 */
static uint16_t encode_texts(struct buf *out, const quring_param *param, uint32_t oid) {
    if (oid != OID_TEXT_ARRAY && oid != OID_VARCHAR_ARRAY && oid != OID_BPCHAR_ARRAY && oid != OID_NAME_ARRAY)
        return encode_as_text(out, param);
    const void *walk = param->value.bytes.data;
    bool nulls = false;
    for (uint32_t i = 0; i < param->count; i++) {
        const char *text;
        size_t size;
        value_text_array_next(&walk, &text, &size);
        nulls |= text == NULL;
    }
    size_t size = (size_t)((const uint8_t *)walk - (const uint8_t *)param->value.bytes.data);
    uint8_t *at = encode_array_header(out, param->count, encode_element_oid(oid), nulls, size);
    if (at)
        memcpy(at, param->value.bytes.data, size);
    return FORMAT_BINARY;
}

uint16_t value_put_param(struct buf *out, const quring_param *param, uint32_t oid) {
    switch (param->type) {
    case QURING_INT2:
    case QURING_INT4:
    case QURING_INT8:
        return encode_integer(out, param, oid);
    case QURING_NUMERIC:
    case QURING_TEXT:
    case QURING_JSON:
    case QURING_JSONB: /* a text is the same bytes in both formats; numeric and jsonb would have to be converted first */
        return encode_sized(out, param->value.bytes.data, param->value.bytes.size_bytes, FORMAT_TEXT);
    case QURING_NULL:
        buf_put_u32(out, UINT32_MAX);
        return FORMAT_TEXT;
    case QURING_BOOL:
        if (oid != OID_BOOL)
            return encode_as_text(out, param);
        return encode_sized(out, param->value.integer ? "\1" : "", 1, FORMAT_BINARY);
    case QURING_FLOAT4:
    case QURING_FLOAT8:
        return encode_real(out, param, oid);
    case QURING_BYTES:
        if (oid != OID_BYTEA)
            return encode_as_text(out, param);
        return encode_sized(out, param->value.bytes.data, param->value.bytes.size_bytes, FORMAT_BINARY);
    case QURING_UUID:
        if (oid != OID_UUID)
            return encode_as_text(out, param);
        return encode_sized(out, param->value.uuid, sizeof param->value.uuid, FORMAT_BINARY);
    case QURING_DATE:
        return encode_date(out, param, oid);
    case QURING_TIMESTAMP:
        return encode_timestamp(out, param, oid, OID_TIMESTAMP);
    case QURING_TIMESTAMPTZ:
        return encode_timestamp(out, param, oid, OID_TIMESTAMPTZ);
    case QURING_INT4_ARRAY:
    case QURING_INT8_ARRAY:
        return encode_integers(out, param, oid);
    case QURING_TEXT_ARRAY:
        return encode_texts(out, param, oid);
    case QURING_UUID_ARRAY:
        return encode_uuids(out, param, oid);
    case QURING_OTHER:
        break;
    }
    UNREACHABLE("this parameter was not checked");
}
