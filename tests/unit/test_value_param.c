/* SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "value/oids.h"
#include "value/param.h"
#include "value/value.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { TEXT, BINARY };

static struct buf store, out;

static void setup(void) {
    buf_init(&store, 1 << 20);
    buf_init(&out, 1 << 20);
}

static void teardown(void) {
    buf_free(&store);
    buf_free(&out);
}

TestSuite(value_param, .init = setup, .fini = teardown);

/* Encodes a parameter; gives its bytes as text, or in hex, "NULL" for the length -1. Its i32 length was checked. */
static const char *encoded(quring_param param, uint32_t oid, uint16_t *format) {
    static char text[4000];
    buf_reset(&store, 4096);
    buf_reset(&out, 4096);
    const quring_param *copy = value_copy_params(&store, &param, 1);
    cr_assert_not_null(copy);
    *format = value_put_param(&out, copy, oid);
    cr_assert_not(buf_failed(&out));
    uint32_t length = bytes_load_u32(buf_head(&out));
    if (length == UINT32_MAX) {
        cr_assert_eq(buf_size(&out), 4);
        return "NULL";
    }
    cr_assert_eq(buf_size(&out), 4 + (size_t)length);
    const uint8_t *bytes = buf_head(&out) + 4;
    char *at = text;
    for (uint32_t i = 0; i < length; i++)
        at += sprintf(at, *format == BINARY ? "%02x" : "%c", bytes[i]);
    *at = 0;
    return text;
}

static void assert_encoded(quring_param param, uint32_t oid, uint16_t format, const char *wanted) {
    uint16_t got;
    const char *text = encoded(param, oid, &got);
    cr_assert_str_eq(text, wanted, "type %d for oid %u: %s, not %s", param.type, oid, text, wanted);
    cr_assert_eq(got, format, "type %d for oid %u: format %d", param.type, oid, got);
}

static const uint32_t all_oids[] = {
    0,        OID_BOOL,  OID_INT2, OID_INT4,       OID_INT8,       OID_FLOAT4,     OID_FLOAT8,     OID_NUMERIC,
    OID_TEXT, OID_BYTEA, OID_UUID, OID_JSON,       OID_JSONB,      OID_DATE,       OID_TIMESTAMP,  OID_TIMESTAMPTZ,
    26,       1083,      1186,     OID_INT4_ARRAY, OID_INT8_ARRAY, OID_TEXT_ARRAY, OID_UUID_ARRAY, OID_VARCHAR,
    1005,     99999,     1042,     OID_NAME_ARRAY, 1015,           1014,
};

/* For every type but those named, the value goes as its text. */
static void assert_text_elsewhere(quring_param param, const uint32_t *binary, size_t binary_count, const char *wanted) {
    for (size_t i = 0; i < COUNT(all_oids); i++) {
        bool own = false;
        for (size_t j = 0; j < binary_count; j++)
            own |= all_oids[i] == binary[j];
        if (!own)
            assert_encoded(param, all_oids[i], TEXT, wanted);
    }
}

#define OIDS(...) (const uint32_t[]){__VA_ARGS__}, COUNT(((const uint32_t[]){__VA_ARGS__}))

/* ---- Encoding ---------------------------------------------------------------------------------------------------- */

Test(value_param, null) {
    for (size_t i = 0; i < COUNT(all_oids); i++)
        assert_encoded(quring_null(), all_oids[i], TEXT, "NULL");
    assert_encoded(quring_text(NULL), OID_TEXT, TEXT, "NULL");
    assert_encoded(quring_json(NULL), OID_JSON, TEXT, "NULL");
    assert_encoded(quring_numeric(NULL), OID_NUMERIC, TEXT, "NULL");
}

Test(value_param, bools) {
    assert_encoded(quring_bool(true), OID_BOOL, BINARY, "01");
    assert_encoded(quring_bool(false), OID_BOOL, BINARY, "00");
    assert_text_elsewhere(quring_bool(true), OIDS(OID_BOOL), "t");
    assert_text_elsewhere(quring_bool(false), OIDS(OID_BOOL), "f");
}

Test(value_param, integers_at_the_bounds_of_each_type) {
    static const struct {
        int64_t value;
        const char *int2, *int4, *int8; /* NULL: as text */
    } cases[] = {
        {0, "0000", "00000000", "0000000000000000"},
        {7, "0007", "00000007", "0000000000000007"},
        {-1, "ffff", "ffffffff", "ffffffffffffffff"},
        {INT16_MAX, "7fff", "00007fff", "0000000000007fff"},
        {INT16_MIN, "8000", "ffff8000", "ffffffffffff8000"},
        {INT16_MAX + 1, NULL, "00008000", "0000000000008000"},
        {INT16_MIN - 1, NULL, "ffff7fff", "ffffffffffff7fff"},
        {INT32_MAX, NULL, "7fffffff", "000000007fffffff"},
        {INT32_MIN, NULL, "80000000", "ffffffff80000000"},
        {(int64_t)INT32_MAX + 1, NULL, NULL, "0000000080000000"},
        {(int64_t)INT32_MIN - 1, NULL, NULL, "ffffffff7fffffff"},
        {5000000000, NULL, NULL, "000000012a05f200"},
        {INT64_MAX, NULL, NULL, "7fffffffffffffff"},
        {INT64_MIN, NULL, NULL, "8000000000000000"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[32];
        quring_param param = quring_int64(cases[i].value);
        snprintf(text, sizeof text, "%lld", (long long)cases[i].value);
        assert_encoded(param, OID_INT2, cases[i].int2 ? BINARY : TEXT, cases[i].int2 ? cases[i].int2 : text);
        assert_encoded(param, OID_INT4, cases[i].int4 ? BINARY : TEXT, cases[i].int4 ? cases[i].int4 : text);
        assert_encoded(param, OID_INT8, BINARY, cases[i].int8);
        assert_text_elsewhere(param, OIDS(OID_INT2, OID_INT4, OID_INT8), text);
        param.type = QURING_INT2; /* whatever its name, it is an integer */
        assert_encoded(param, OID_INT8, BINARY, cases[i].int8);
    }
    assert_encoded(quring_int32(-7), OID_INT4, BINARY, "fffffff9");
}

Test(value_param, floats) {
    static const struct {
        double value;
        const char *float8, *float4, *text;
    } cases[] = {
        {0, "0000000000000000", "00000000", "0"},
        {-0.0, "8000000000000000", "80000000", "-0"},
        {1.5, "3ff8000000000000", "3fc00000", "1.5"},
        {0.1, "3fb999999999999a", NULL, "0.1"},
        {(double)0.1f, "3fb99999a0000000", "3dcccccd", "0.10000000149011612"},
        {3.4028234663852886e38, "47efffffe0000000", "7f7fffff", "3.4028234663852886e+38"},
        {3.4028236e38, "47f0000000baab4d", NULL, "3.4028236e+38"},
        {1e-46, "3662437463e6b88a", NULL, "1e-46"},
        {(double)INFINITY, "7ff0000000000000", "7f800000", "Infinity"},
        {-(double)INFINITY, "fff0000000000000", "ff800000", "-Infinity"},
        {(double)NAN, "7ff8000000000000", "7fc00000", "NaN"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint16_t format;
        quring_param param = quring_float64(cases[i].value);
        if (i != 6 && i != 7)
            assert_encoded(param, OID_FLOAT8, BINARY, cases[i].float8);
        encoded(param, OID_FLOAT8, &format);
        cr_assert_eq(format, BINARY);
        assert_encoded(param, OID_FLOAT4, cases[i].float4 ? BINARY : TEXT,
                       cases[i].float4 ? cases[i].float4 : cases[i].text);
        assert_text_elsewhere(param, OIDS(OID_FLOAT4, OID_FLOAT8), cases[i].text);
        param.type = QURING_FLOAT4;
        assert_text_elsewhere(param, OIDS(OID_FLOAT4, OID_FLOAT8), cases[i].text);
    }
}

Test(value_param, texts) {
    assert_text_elsewhere(quring_text("h\xc3\xa9llo"), NULL, 0, "h\xc3\xa9llo");
    assert_text_elsewhere(quring_text(""), NULL, 0, "");
    assert_text_elsewhere(quring_text_sized(NULL, 0), NULL, 0, "");
    assert_text_elsewhere(quring_text_sized("abc", 2), NULL, 0, "ab");
    assert_text_elsewhere(quring_numeric("-12.3400"), NULL, 0, "-12.3400");
    assert_text_elsewhere(quring_json("{\"a\": 1}"), NULL, 0, "{\"a\": 1}");
}

Test(value_param, bytes) {
    assert_encoded(quring_bytes("\0\1\xff", 3), OID_BYTEA, BINARY, "0001ff");
    assert_encoded(quring_bytes(NULL, 0), OID_BYTEA, BINARY, "");
    assert_text_elsewhere(quring_bytes("\0\1\xff", 3), OIDS(OID_BYTEA), "\\x0001ff");
}

Test(value_param, uuids) {
    static const uint8_t uuid[16] = {0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8,
                                     0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11};
    assert_encoded(quring_uuid(uuid), OID_UUID, BINARY, "a0eebc999c0b4ef8bb6d6bb9bd380a11");
    assert_text_elsewhere(quring_uuid(uuid), OIDS(OID_UUID), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
}

/* PostgreSQL counts from 2000-01-01. What would become one of its infinities by that goes as text, for it to refuse. */
Test(value_param, dates) {
    assert_encoded(quring_date(10957), OID_DATE, BINARY, "00000000");
    assert_encoded(quring_date(10958), OID_DATE, BINARY, "00000001");
    assert_encoded(quring_date(0), OID_DATE, BINARY, "ffffd533");
    assert_encoded(quring_date(INT32_MAX), OID_DATE, BINARY, "7fffffff");
    assert_encoded(quring_date(INT32_MIN), OID_DATE, BINARY, "80000000");
    assert_encoded(quring_date(INT32_MIN + 10958), OID_DATE, BINARY, "80000001");
    assert_encoded(quring_date(INT32_MIN + 10957), OID_DATE, TEXT, "5877612-06-22 BC");
    assert_encoded(quring_date(INT32_MIN + 1), OID_DATE, TEXT, "5877642-06-24 BC");
    assert_encoded(quring_date(INT32_MAX - 1), OID_DATE, BINARY, "7fffd531");
    assert_text_elsewhere(quring_date(19782), OIDS(OID_DATE), "2024-02-29");
    assert_text_elsewhere(quring_date(INT32_MAX), OIDS(OID_DATE), "infinity");
}

Test(value_param, timestamps) {
    const int64_t epoch = INT64_C(946684800000000);
    for (int i = 0; i < 2; i++) {
        uint32_t oid = i ? OID_TIMESTAMPTZ : OID_TIMESTAMP;
        quring_param (*make)(int64_t) = i ? quring_timestamptz : quring_timestamp;
        assert_encoded(make(epoch), oid, BINARY, "0000000000000000");
        assert_encoded(make(epoch + 1), oid, BINARY, "0000000000000001");
        assert_encoded(make(0), oid, BINARY, "fffca2fec4c82000");
        assert_encoded(make(QURING_INFINITY), oid, BINARY, "7fffffffffffffff");
        assert_encoded(make(QURING_MINUS_INFINITY), oid, BINARY, "8000000000000000");
        assert_encoded(make(INT64_MAX - 1), oid, BINARY, "7ffca2fec4c81ffe");
        assert_encoded(make(INT64_MIN + epoch + 1), oid, BINARY, "8000000000000001");
        assert_encoded(make(INT64_MIN + epoch), oid, TEXT,
                       i ? "290279-12-22 19:59:05.224192+00 BC" : "290279-12-22 19:59:05.224192 BC");
        assert_encoded(make(INT64_MIN + 1), oid, TEXT,
                       i ? "290309-12-21 19:59:05.224193+00 BC" : "290309-12-21 19:59:05.224193 BC");
        assert_text_elsewhere(make(1), OIDS(oid), i ? "1970-01-01 00:00:00.000001+00" : "1970-01-01 00:00:00.000001");
    }
}

Test(value_param, integer_arrays) {
    static const int32_t int4s[] = {1, -2};
    static const int64_t small[] = {1, INT32_MIN}, large[] = {1, (int64_t)INT32_MAX + 1};
#define HEADER(oid, count)                                                                                             \
    "00000001"                                                                                                         \
    "00000000"                                                                                                         \
    "000000" oid "0000000" count "00000001"
    quring_param param = quring_int32_array(int4s, 2);
    assert_encoded(param, OID_INT4_ARRAY, BINARY,
                   HEADER("17", "2") "00000004"
                                     "00000001"
                                     "00000004"
                                     "fffffffe");
    assert_encoded(param, OID_INT8_ARRAY, BINARY,
                   HEADER("14", "2") "00000008"
                                     "0000000000000001"
                                     "00000008"
                                     "fffffffffffffffe");
    assert_text_elsewhere(param, OIDS(OID_INT4_ARRAY, OID_INT8_ARRAY), "{1,-2}");
    param = quring_int64_array(small, 2);
    assert_encoded(param, OID_INT4_ARRAY, BINARY,
                   HEADER("17", "2") "00000004"
                                     "00000001"
                                     "00000004"
                                     "80000000");
    param = quring_int64_array(large, 2);
    assert_encoded(param, OID_INT8_ARRAY, BINARY,
                   HEADER("14", "2") "00000008"
                                     "0000000000000001"
                                     "00000008"
                                     "0000000080000000");
    assert_encoded(param, OID_INT4_ARRAY, TEXT, "{1,2147483648}");
    assert_text_elsewhere(param, OIDS(OID_INT8_ARRAY), "{1,2147483648}");
    assert_encoded(quring_int64_array(NULL, 0), OID_INT8_ARRAY, BINARY,
                   "00000000"
                   "00000000"
                   "00000014");
    assert_encoded(quring_int32_array(NULL, 0), OID_INT4_ARRAY, BINARY,
                   "00000000"
                   "00000000"
                   "00000017");
    assert_encoded(quring_int32_array(NULL, 0), 0, TEXT, "{}");
}

Test(value_param, text_and_uuid_arrays) {
    static const char *const texts[] = {"ab", NULL, ""};
    static const uint8_t uuids[2][16] = {{1}, {0xff}};
    quring_param param = quring_text_array(texts, 3);
    const char *const elements = "00000002"
                                 "6162"
                                 "ffffffff"
                                 "00000000";
    static const struct {
        uint32_t oid;
        const char *element;
    } kinds[] = {{OID_TEXT_ARRAY, "00000019"}, {OID_VARCHAR_ARRAY, "00000413"}, {1014, "00000412"}, {1003, "00000013"}};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char wanted[200];
        snprintf(wanted, sizeof wanted, "0000000100000001%s0000000300000001%s", kinds[i].element, elements);
        assert_encoded(param, kinds[i].oid, BINARY, wanted);
    }
    assert_text_elsewhere(param, OIDS(OID_TEXT_ARRAY, OID_VARCHAR_ARRAY, 1014, 1003), "{\"ab\",NULL,\"\"}");
    assert_encoded(quring_text_array(texts, 1), OID_TEXT_ARRAY, BINARY,
                   HEADER("19", "1") "00000002"
                                     "6162");
    assert_encoded(quring_text_array(NULL, 0), OID_TEXT_ARRAY, BINARY,
                   "00000000"
                   "00000000"
                   "00000019");

    param = quring_uuid_array(uuids, 2);
    assert_encoded(param, OID_UUID_ARRAY, BINARY,
                   "00000001"
                   "00000000"
                   "00000b86"
                   "00000002"
                   "00000001"
                   "00000010"
                   "01000000000000000000000000000000"
                   "00000010"
                   "ff000000000000000000000000000000");
    assert_text_elsewhere(param, OIDS(OID_UUID_ARRAY),
                          "{01000000-0000-0000-0000-000000000000,ff000000-0000-0000-0000-000000000000}");
    assert_encoded(quring_uuid_array(NULL, 0), OID_UUID_ARRAY, BINARY,
                   "00000000"
                   "00000000"
                   "00000b86");
}

/* Whatever does not fit the buffer makes it fail, and nothing else happens. */
Test(value_param, lack_of_room) {
    static const int32_t int4s[] = {1, -2};
    static const char *const texts[] = {"ab", NULL, ""};
    static const uint8_t uuid[16] = {1};
    const quring_param params[] = {quring_null(),
                                   quring_bool(true),
                                   quring_int64(5),
                                   quring_float64(0.1),
                                   quring_text("abcdef"),
                                   quring_bytes("abcdef", 6),
                                   quring_uuid(uuid),
                                   quring_date(1),
                                   quring_timestamptz(1),
                                   quring_json("[1,2]"),
                                   quring_numeric("1.5"),
                                   quring_int32_array(int4s, 2),
                                   quring_int32_array(0, 0),
                                   quring_text_array(texts, 3),
                                   quring_uuid_array(&uuid, 1)};
    const quring_param *copies = value_copy_params(&store, params, COUNT(params));
    for (size_t i = 0; i < COUNT(params); i++)
        for (size_t j = 0; j < COUNT(all_oids); j++) {
            buf_reset(&out, 4096);
            value_put_param(&out, &copies[i], all_oids[j]);
            size_t needed = buf_size(&out);
            for (size_t limit = 0; limit < needed; limit++) {
                struct buf tight;
                buf_init(&tight, limit);
                value_put_param(&tight, &copies[i], all_oids[j]);
                cr_assert(buf_failed(&tight), "type %d oid %u limit %zu", params[i].type, all_oids[j], limit);
                buf_free(&tight);
            }
        }
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

Test(value_param, copies_are_deep) {
    char text[] = "text", bytes[] = "bytes", element[] = "element";
    int32_t int4s[] = {1, 2, 3};
    int64_t int8s[] = {4, 5};
    uint8_t uuids[1][16] = {{6}};
    const char *texts[] = {element, NULL, ""};
    const quring_param params[] = {
        quring_int64(7),
        quring_text(text),
        quring_bytes(bytes, 5),
        quring_int32_array(int4s, 3),
        quring_int64_array(int8s, 2),
        quring_uuid_array((const uint8_t(*)[16])uuids, 1),
        quring_text_array(texts, 3),
        quring_float64(1.5),
        quring_null(),
    };
    for (size_t before = 0; before < 20; before++) { /* wherever the store's end happens to be */
        buf_reset(&store, 0);
        buf_put(&store, "0123456789012345678901234", before);
        strcpy(text, "text"), strcpy(bytes, "bytes"), strcpy(element, "element");
        int4s[2] = 3, int8s[1] = 5, uuids[0][0] = 6;
        texts[0] = element;
        const quring_param *copies = value_copy_params(&store, params, COUNT(params));
        cr_assert_not_null(copies);
        memset(text, 'x', 4), memset(bytes, 'x', 5), memset(element, 'x', 7);
        int4s[2] = int8s[1] = uuids[0][0] = 0;
        texts[0] = NULL;

        cr_assert_eq((uintptr_t)copies % _Alignof(quring_param), 0);
        cr_assert(memcmp(buf_head(&store), "0123456789012345678901234", before) == 0);
        cr_assert_eq(copies[0].value.integer, 7);
        cr_assert(memcmp(copies[1].value.bytes.data, "text", 4) == 0 && copies[1].value.bytes.size_bytes == 4);
        cr_assert(memcmp(copies[2].value.bytes.data, "bytes", 5) == 0);
        cr_assert_eq(((const int32_t *)copies[3].value.bytes.data)[2], 3);
        cr_assert_eq((uintptr_t)copies[4].value.bytes.data % 8, 0);
        cr_assert_eq(((const int64_t *)copies[4].value.bytes.data)[1], 5);
        cr_assert_eq(((const uint8_t *)copies[5].value.bytes.data)[0], 6);
        cr_assert_eq(copies[7].value.real, 1.5);
        cr_assert_eq(copies[8].type, QURING_NULL);
        for (size_t i = 0; i < COUNT(params); i++)
            cr_assert_eq(copies[i].type, params[i].type);

        const void *at = copies[6].value.bytes.data;
        const char *found;
        size_t size;
        value_text_array_next(&at, &found, &size);
        cr_assert(size == 7 && memcmp(found, "element", 7) == 0);
        value_text_array_next(&at, &found, &size);
        cr_assert(found == NULL && size == 0);
        value_text_array_next(&at, &found, &size);
        cr_assert(found != NULL && size == 0);
    }
}

Test(value_param, copies_of_nothing) {
    cr_assert_not_null(value_copy_params(&store, NULL, 0));
    const quring_param params[] = {quring_text_sized(NULL, 0), quring_bytes(NULL, 0), quring_text_array(NULL, 0)};
    const quring_param *copies = value_copy_params(&store, params, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_not_null(copies[i].value.bytes.data, "SQLite binds a NULL pointer as NULL");
}

/* Sizes whose sum would overflow, and all around the limit. */
Test(value_param, hostile_sizes) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX / 2, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(sizes); j++) {
            const quring_param params[] = {quring_text_sized("x", sizes[i]), quring_bytes("x", sizes[j]),
                                           quring_int64(1)};
            cr_assert_null(value_copy_params(&store, params, 3));
            struct buf endless;
            buf_init(&endless, SIZE_MAX);
            cr_assert_null(value_copy_params(&endless, params, 3));
            buf_free(&endless);
        }
    const quring_param array = quring_int64_array((const int64_t *)(const void *)"x", UINT32_MAX);
    cr_assert_null(value_copy_params(&store, &array, 1));
    const quring_param small = quring_int64(1);
    buf_reset(&store, 0);
    cr_assert_not_null(value_copy_params(&store, &small, 1), "a refused copy does not spoil the store");
}

Test(value_param, limit_of_the_store) {
    char text[200];
    memset(text, 'x', sizeof text);
    for (size_t size = 0; size < sizeof text; size++) {
        const quring_param param = quring_text_sized(text, size);
        struct buf tight;
        buf_init(&tight, 128);
        const quring_param *copy = value_copy_params(&tight, &param, 1);
        cr_assert_eq(copy != NULL, sizeof param + (size + 7) / 8 * 8 + 8 <= 128, "%zu", size);
        cr_assert_leq(tight.capacity, 128);
        buf_free(&tight);
    }
}

Test(value_param, validity) {
    static const uint8_t uuid[16];
    const quring_param good[] = {quring_null(),
                                 quring_bool(true),
                                 quring_int64(1),
                                 quring_float64(1),
                                 quring_text(""),
                                 quring_text(NULL),
                                 quring_text_sized(NULL, 0),
                                 quring_bytes(NULL, 0),
                                 quring_uuid(uuid),
                                 quring_json("1"),
                                 quring_numeric("1"),
                                 quring_date(INT32_MIN),
                                 quring_timestamp(INT64_MIN),
                                 quring_timestamptz(INT64_MAX),
                                 quring_int32_array(NULL, 0),
                                 quring_text_array(NULL, 0)};
    for (size_t i = 0; i < COUNT(good); i++)
        cr_assert(value_param_valid(&good[i]), "%zu", i);
    quring_param bad[] = {quring_text_sized(NULL, 1),
                          quring_bytes(NULL, 1),
                          quring_int32_array(NULL, 1),
                          quring_int64_array(NULL, 1),
                          quring_text_array(NULL, 1),
                          quring_uuid_array(NULL, 1),
                          {.type = QURING_OTHER},
                          {.type = (quring_type)99},
                          {.type = (quring_type)-1},
                          {.type = QURING_DATE, .value.integer = (int64_t)INT32_MAX + 1},
                          {.type = QURING_DATE, .value.integer = (int64_t)INT32_MIN - 1},
                          {.type = QURING_JSONB, .value.bytes = {NULL, 3}}};
    for (size_t i = 0; i < COUNT(bad); i++)
        cr_assert_not(value_param_valid(&bad[i]), "%zu", i);
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

Test(value_param, types_of_oids) {
    static const struct {
        uint32_t oid;
        quring_type type;
        bool binary;
    } cases[] = {
        {16, QURING_BOOL, true},          {21, QURING_INT2, true},          {23, QURING_INT4, true},
        {20, QURING_INT8, true},          {700, QURING_FLOAT4, true},       {701, QURING_FLOAT8, true},
        {1700, QURING_NUMERIC, false},    {25, QURING_TEXT, true},          {1043, QURING_TEXT, true},
        {1042, QURING_TEXT, true},        {19, QURING_TEXT, true},          {17, QURING_BYTES, true},
        {2950, QURING_UUID, true},        {114, QURING_JSON, true},         {3802, QURING_JSONB, true},
        {1082, QURING_DATE, true},        {1114, QURING_TIMESTAMP, true},   {1184, QURING_TIMESTAMPTZ, true},
        {1007, QURING_INT4_ARRAY, false}, {1016, QURING_INT8_ARRAY, false}, {1009, QURING_TEXT_ARRAY, false},
        {2951, QURING_UUID_ARRAY, false}, {0, QURING_OTHER, false},         {18, QURING_OTHER, false},
        {26, QURING_OTHER, false},        {1083, QURING_OTHER, false},      {1186, QURING_OTHER, false},
        {142, QURING_OTHER, false},       {790, QURING_OTHER, false},       {UINT32_MAX, QURING_OTHER, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_assert_eq(value_type_of_oid(cases[i].oid), cases[i].type, "%u", cases[i].oid);
        cr_assert_eq(value_has_binary(cases[i].type), cases[i].binary, "%u", cases[i].oid);
    }
    cr_assert_not(value_has_binary(QURING_NULL));
    cr_assert_not(value_has_binary((quring_type)200));
}
