/* SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "lib/rows.h"
#include "value/convert.h"
#include "value/oids.h"
#include "value/value.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct rows rows;

static void setup(void) {
    rows_open(&rows, 1 << 20);
}

static void teardown(void) {
    rows_close(&rows);
}

TestSuite(result_get, .init = setup, .fini = teardown);

/* ---- Everything that a value converts to, in one line ------------------------------------------------------------ */

static char *add(char *at, int code, const char *name, const char *format, ...) {
    va_list args;
    if (code == QURING_ETYPE)
        return at;
    at += sprintf(at, "%s=", name);
    if (code == QURING_ERANGE || code == QURING_ELOSSY)
        return at + sprintf(at, code == QURING_ERANGE ? "RANGE " : "LOSSY ");
    cr_assert_eq(code, 0, "%s: %d", name, code);
    va_start(args, format);
    at += vsprintf(at, format, args);
    va_end(args);
    *at++ = ' ';
    *at = 0;
    return at;
}

#define UNTOUCHED 0x5a

#define GET(type, function)                                                                                            \
    type value;                                                                                                        \
    memset(&value, UNTOUCHED, sizeof value);                                                                           \
    type before = value;                                                                                               \
    int code = function(result, row, column, (void *)&value);                                                          \
    cr_assert(code == 0 || memcmp(&before, &value, sizeof value) == 0)

static char *add_numbers(char *at, const quring_result *result, uint64_t row, uint32_t column) {
    {
        uint8_t value = UNTOUCHED;
        int code = quring_get_bool(result, row, column, (bool *)&value);
        cr_assert(code ? value == UNTOUCHED : value <= 1);
        at = add(at, code, "bool", "%d", value);
    }
    {
        GET(int32_t, quring_get_int32);
        at = add(at, code, "int32", "%d", value);
    }
    {
        GET(int64_t, quring_get_int64);
        at = add(at, code, "int64", "%lld", (long long)value);
    }
    {
        GET(double, quring_get_float64);
        at = add(at, code, "float64", isnan(value) ? "NaN" : "%.17g", value);
    }
    return at;
}

static char *add_times(char *at, const quring_result *result, uint64_t row, uint32_t column) {
    {
        GET(int32_t, quring_get_date);
        at = add(at, code, "date", "%d", value);
    }
    {
        GET(int64_t, quring_get_timestamp);
        at = add(at, code, "timestamp", "%lld", (long long)value);
    }
    {
        GET(int64_t, quring_get_timestamptz);
        at = add(at, code, "timestamptz", "%lld", (long long)value);
    }
    return at;
}

/* Each conversion but to text, in the order of the header; those that fail with ETYPE are left out. */
static const char *converted(const quring_result *result, uint64_t row, uint32_t column) {
    static char line[2000];
    char *at = line;
    *at = 0;
    at = add_numbers(at, result, row, column);
    {
        typedef struct {
            uint8_t bytes[16];
        } uuid;
        GET(uuid, quring_get_uuid);
        at = add(at, code, "uuid", "%02x..%02x", value.bytes[0], value.bytes[15]);
    }
    at = add_times(at, result, row, column);
    const void *data = "untouched";
    size_t size = 99;
    int code = quring_get_bytes(result, row, column, &data, &size);
    cr_assert(code == 0 || (size == 99 && strcmp(data, "untouched") == 0));
    at = add(at, code, "bytes", "%zu", size);
    if (at > line)
        at[-1] = 0;
    return line;
}

static const char *text_of(const quring_result *result, uint64_t row, uint32_t column) {
    const char *text = NULL;
    size_t size = 0;
    int code = quring_get_text(result, row, column, &text, &size);
    cr_assert_eq(code, 0, "%s", quring_result_error(result));
    cr_assert_eq(text[size], 0, "terminated");
    return text;
}

struct value_case {
    const char *text; /* what PostgreSQL prints, and quring_get_text() gives */
    const char *hex;  /* in binary; NULL: this type comes as text only */
    const char *wanted;
};

static size_t unhex(const char *hex, uint8_t *bytes) {
    size_t size = 0;
    for (unsigned byte; sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        bytes[size] = (uint8_t)byte;
    return size;
}

/* The same from text and from binary. */
static void check(uint32_t oid, const struct value_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[100];
        const char *line;
        const quring_result *result = rows_text(&rows, oid, cases[i].text);
        cr_assert_eq(quring_value_type(result, 0, 0), value_type_of_oid(oid));
        cr_assert_str_eq(text_of(result, 0, 0), cases[i].text);
        line = converted(result, 0, 0);
        cr_assert_str_eq(line, cases[i].wanted, "oid %u text %s:\n%s, not\n%s", oid, cases[i].text, line,
                         cases[i].wanted);
        if (!cases[i].hex)
            continue;
        result = rows_one(&rows, RESULT_BINARY, oid, bytes, unhex(cases[i].hex, bytes));
        cr_assert_eq(quring_value_type(result, 0, 0), value_type_of_oid(oid));
        cr_assert_str_eq(text_of(result, 0, 0), cases[i].text, "oid %u: %s", oid, text_of(result, 0, 0));
        line = converted(result, 0, 0);
        cr_assert_str_eq(line, cases[i].wanted, "oid %u binary %s:\n%s, not\n%s", oid, cases[i].hex, line,
                         cases[i].wanted);
    }
}

#define CHECK(oid, ...)                                                                                                \
    check(oid, (const struct value_case[]){__VA_ARGS__}, COUNT(((const struct value_case[]){__VA_ARGS__})))

/* ---- Type by type ------------------------------------------------------------------------------------------------ */

Test(result_get, bools) {
    CHECK(OID_BOOL, {"t", "01", "bool=1 int32=1 int64=1 float64=1"}, {"f", "00", "bool=0 int32=0 int64=0 float64=0"});
}

Test(result_get, integers) {
    CHECK(OID_INT2, {"0", "0000", "bool=0 int32=0 int64=0 float64=0"},
          {"1", "0001", "bool=1 int32=1 int64=1 float64=1"}, {"-1", "ffff", "bool=RANGE int32=-1 int64=-1 float64=-1"},
          {"32767", "7fff", "bool=RANGE int32=32767 int64=32767 float64=32767"},
          {"-32768", "8000", "bool=RANGE int32=-32768 int64=-32768 float64=-32768"});
    CHECK(OID_INT4, {"7", "00000007", "bool=RANGE int32=7 int64=7 float64=7"},
          {"2147483647", "7fffffff", "bool=RANGE int32=2147483647 int64=2147483647 float64=2147483647"},
          {"-2147483648", "80000000", "bool=RANGE int32=-2147483648 int64=-2147483648 float64=-2147483648"});
    CHECK(OID_INT8, {"1", "0000000000000001", "bool=1 int32=1 int64=1 float64=1"},
          {"2147483648", "0000000080000000", "bool=RANGE int32=RANGE int64=2147483648 float64=2147483648"},
          {"-2147483649", "ffffffff7fffffff", "bool=RANGE int32=RANGE int64=-2147483649 float64=-2147483649"},
          {"9007199254740992", "0020000000000000",
           "bool=RANGE int32=RANGE int64=9007199254740992 float64=9007199254740992"},
          {"9007199254740993", "0020000000000001", "bool=RANGE int32=RANGE int64=9007199254740993 float64=LOSSY"},
          {"-9007199254740993", "ffdfffffffffffff", "bool=RANGE int32=RANGE int64=-9007199254740993 float64=LOSSY"},
          {"1152921504606846976", "1000000000000000",
           "bool=RANGE int32=RANGE int64=1152921504606846976 float64=1.152921504606847e+18"},
          {"9223372036854775807", "7fffffffffffffff", "bool=RANGE int32=RANGE int64=9223372036854775807 float64=LOSSY"},
          {"-9223372036854775808", "8000000000000000",
           "bool=RANGE int32=RANGE int64=-9223372036854775808 float64=-9.2233720368547758e+18"});
}

Test(result_get, floats) {
    CHECK(OID_FLOAT8, {"0", "0000000000000000", "int32=0 int64=0 float64=0"},
          {"-0", "8000000000000000", "int32=0 int64=0 float64=-0"},
          {"1", "3ff0000000000000", "int32=1 int64=1 float64=1"},
          {"1.5", "3ff8000000000000", "int32=LOSSY int64=LOSSY float64=1.5"},
          {"2147483648", "41e0000000000000", "int32=RANGE int64=2147483648 float64=2147483648"},
          {"9.223372036854775e+18", "43dfffffffffffff",
           "int32=RANGE int64=9223372036854774784 float64=9.2233720368547748e+18"},
          {"9.223372036854776e+18", "43e0000000000000", "int32=RANGE int64=RANGE float64=9.2233720368547758e+18"},
          {"-9.223372036854776e+18", "c3e0000000000000",
           "int32=RANGE int64=-9223372036854775808 float64=-9.2233720368547758e+18"},
          {"1e+300", "7e37e43c8800759c", "int32=RANGE int64=RANGE float64=1.0000000000000001e+300"},
          {"5e-324", "0000000000000001", "int32=LOSSY int64=LOSSY float64=4.9406564584124654e-324"},
          {"NaN", "7ff8000000000000", "int32=RANGE int64=RANGE float64=NaN"},
          {"Infinity", "7ff0000000000000", "int32=RANGE int64=RANGE float64=inf"},
          {"-Infinity", "fff0000000000000", "int32=RANGE int64=RANGE float64=-inf"});
    /* A float4's text stands for the nearest float4, not for the decimal. */
    CHECK(OID_FLOAT4, {"0.1", "3dcccccd", "int32=LOSSY int64=LOSSY float64=0.10000000149011612"},
          {"1.2345679e+09", "4e932c06", "int32=1234567936 int64=1234567936 float64=1234567936"},
          {"3.4028235e+38", "7f7fffff", "int32=RANGE int64=RANGE float64=3.4028234663852886e+38"},
          {"NaN", "7fc00000", "int32=RANGE int64=RANGE float64=NaN"},
          {"-Infinity", "ff800000", "int32=RANGE int64=RANGE float64=-inf"});
}

Test(result_get, numerics) {
    CHECK(OID_NUMERIC, {"0", NULL, "int32=0 int64=0 float64=0"}, {"42.000", NULL, "int32=42 int64=42 float64=42"},
          {"-1.50", NULL, "int32=LOSSY int64=LOSSY float64=-1.5"},
          {"0.1", NULL, "int32=LOSSY int64=LOSSY float64=0.10000000000000001"},
          {"0.12345678901234567890", NULL, "int32=LOSSY int64=LOSSY float64=LOSSY"},
          {"9223372036854775808", NULL, "int32=RANGE int64=RANGE float64=9.2233720368547758e+18"},
          {"2147483648", NULL, "int32=RANGE int64=2147483648 float64=2147483648"},
          {"NaN", NULL, "int32=RANGE int64=RANGE float64=NaN"},
          {"Infinity", NULL, "int32=RANGE int64=RANGE float64=inf"},
          {"-Infinity", NULL, "int32=RANGE int64=RANGE float64=-inf"});
    /* Asked for in binary or not, a numeric is text. */
    const quring_result *result = rows_one(&rows, RESULT_BINARY, OID_NUMERIC, "12.340", 6);
    cr_assert_str_eq(text_of(result, 0, 0), "12.340");
    cr_assert_str_eq(converted(result, 0, 0), "int32=LOSSY int64=LOSSY float64=12.34");
}

Test(result_get, texts) {
    CHECK(OID_TEXT, {"", "", "bytes=0"}, {"abc", "616263", "bytes=3"},
          {"42", "3432", "int32=42 int64=42 float64=42 bytes=2"},
          {" 1 ", "203120", "bool=1 int32=1 int64=1 float64=1 bytes=3"}, {"t", "74", "bool=1 bytes=1"},
          {"FALSE", "46414c5345", "bool=0 bytes=5"}, {"1.5", "312e35", "int32=LOSSY int64=LOSSY float64=1.5 bytes=3"},
          {"1e400", "3165343030", "int32=RANGE int64=RANGE float64=RANGE bytes=5"},
          {"2024-02-29", "323032342d30322d3239", "date=19782 timestamp=1709164800000000 bytes=10"},
          {"2024-02-29 12:00:00", "323032342d30322d32392031323a30303a3030",
           "date=LOSSY timestamp=1709208000000000 bytes=19"},
          {"2024-02-29T00:00+01:00", "323032342d30322d32395430303a30302b30313a3030",
           "date=LOSSY timestamp=1709161200000000 timestamptz=1709161200000000 bytes=22"},
          {"infinity", "696e66696e697479",
           "int32=RANGE int64=RANGE float64=inf date=2147483647 timestamp=9223372036854775807 "
           "timestamptz=9223372036854775807 bytes=8"},
          {"A0EEBC999C0B4EF8BB6D6BB9BD380A11", "4130454542433939394330423445463842423644364242394244333830413131",
           "uuid=a0..11 bytes=32"});
    static const uint32_t kinds[] = {OID_VARCHAR, OID_BPCHAR, OID_NAME};
    for (size_t i = 0; i < COUNT(kinds); i++)
        CHECK(kinds[i], {"7", "37", "int32=7 int64=7 float64=7 bytes=1"});
}

Test(result_get, json) {
    CHECK(OID_JSON, {"{\"a\": 1}", "7b2261223a20317d", "bytes=8"},
          {"42", "3432", "int32=42 int64=42 float64=42 bytes=2"}, {"true", "74727565", "bool=1 bytes=4"},
          {"\"2024-01-01\"", "22323032342d30312d303122", "bytes=12"});
    CHECK(OID_JSONB, {"{\"a\": 1}", "017b2261223a20317d", "bytes=8"},
          {"42", "013432", "int32=42 int64=42 float64=42 bytes=2"}, {"false", "0166616c7365", "bool=0 bytes=5"});
}

Test(result_get, bytea) {
    CHECK(OID_BYTEA, {"\\x", "", "bytes=0"}, {"\\x00ff5c", "00ff5c", "bytes=3"},
          {"\\x0102030405060708090a0b0c0d0e0f10", "0102030405060708090a0b0c0d0e0f10", "uuid=01..10 bytes=16"});
    /* bytea_output = escape comes out the same. */
    const quring_result *result = rows_text(&rows, OID_BYTEA, "a\\\\b\\000\\377");
    cr_assert_str_eq(text_of(result, 0, 0), "\\x615c6200ff");
    const void *data;
    size_t size;
    cr_assert_eq(quring_get_bytes(result, 0, 0, &data, &size), 0);
    cr_assert(size == 5 && memcmp(data, "a\\b\0\xff", 5) == 0);
    result = rows_text(&rows, OID_BYTEA, "\\x0");
    cr_assert_eq(quring_get_bytes(result, 0, 0, &data, &size), QURING_ETYPE);
    cr_assert_eq(quring_get_bytes(result, 0, 0, &data, NULL), QURING_ETYPE);
}

Test(result_get, uuids) {
    CHECK(OID_UUID, {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "uuid=a0..11"});
}

Test(result_get, dates_and_times) {
    CHECK(OID_DATE, {"1970-01-01", "ffffd533", "date=0 timestamp=0"},
          {"2000-01-01", "00000000", "date=10957 timestamp=946684800000000"},
          {"2024-02-29", "00002279", "date=19782 timestamp=1709164800000000"},
          {"0001-12-31 BC", "fff4dbf8", "date=-719163 timestamp=-62135683200000000"},
          {"4713-01-01 BC", "ffda97cd", "date=-2440550 timestamp=-210863520000000000"},
          {"5874897-12-31", "7fda970c", "date=2145042905 timestamp=RANGE"},
          {"infinity", "7fffffff", "date=2147483647 timestamp=9223372036854775807"},
          {"-infinity", "80000000", "date=-2147483648 timestamp=-9223372036854775808"});
    CHECK(OID_TIMESTAMP, {"2000-01-01 00:00:00", "0000000000000000", "date=10957 timestamp=946684800000000"},
          {"1999-12-31 23:59:59.999999", "ffffffffffffffff", "date=LOSSY timestamp=946684799999999"},
          {"2024-02-29 12:34:56.7", "0002b58341712a60", "date=LOSSY timestamp=1709210096700000"},
          {"0044-03-15 12:00:00 BC", "ff1af9e8fb46d000", "date=LOSSY timestamp=-63517780800000000"},
          {"294276-12-31 23:59:59.999999", "7fffff5bb3b29fff", "date=LOSSY timestamp=RANGE"},
          {"infinity", "7fffffffffffffff", "date=2147483647 timestamp=9223372036854775807"},
          {"-infinity", "8000000000000000", "date=-2147483648 timestamp=-9223372036854775808"});
    CHECK(OID_TIMESTAMPTZ,
          {"2000-01-01 00:00:00+00", "0000000000000000",
           "date=10957 timestamp=946684800000000 timestamptz=946684800000000"},
          {"2000-01-01 00:00:00.000001+00", "0000000000000001",
           "date=LOSSY timestamp=946684800000001 timestamptz=946684800000001"},
          {"0001-12-31 23:59:59.999999+00 BC", "ff1fe2ffc59c5fff",
           "date=LOSSY timestamp=-62135596800000001 timestamptz=-62135596800000001"},
          {"-infinity", "8000000000000000",
           "date=-2147483648 timestamp=-9223372036854775808 timestamptz=-9223372036854775808"});
}

/* A session in another zone prints other texts for the same instants: they come out in UTC, as they do from binary. */
Test(result_get, timestamptz_of_other_zones) {
    static const struct {
        const char *text, *utc;
    } cases[] = {
        {"2024-01-01 05:30:00+05:30", "2024-01-01 00:00:00+00"},
        {"2024-01-01 00:00:00.5-05", "2024-01-01 05:00:00.5+00"},
        {"1883-11-18 12:03:57-04:56:02", "1883-11-18 16:59:59+00"},
        {"0001-01-01 00:00:00+01", "0001-12-31 23:00:00+00 BC"},
        {"0001-12-31 23:00:00-01 BC", "0001-01-01 00:00:00+00"},
        {"infinity", "infinity"},
        {"Mon Jan 01 00:00:00 2024 UTC", "Mon Jan 01 00:00:00 2024 UTC"}, /* DateStyle is not ISO: as it is */
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_assert_str_eq(text_of(rows_text(&rows, OID_TIMESTAMPTZ, cases[i].text), 0, 0), cases[i].utc);
}

Test(result_get, all_other_types_are_their_text) {
    CHECK(1186, {"1 day 02:00:00", NULL, "bytes=14"});
    CHECK(26, {"16384", NULL, "int32=16384 int64=16384 float64=16384 bytes=5"});
    CHECK(1083, {"12:00:00", NULL, "bytes=8"});
    CHECK(OID_INT4_ARRAY, {"{1,2}", NULL, ""});
    CHECK(OID_TEXT_ARRAY, {"{a,NULL}", NULL, ""});
    const quring_result *result = rows_one(&rows, RESULT_BINARY, 1186, "01:00:00", 8);
    cr_assert_str_eq(text_of(result, 0, 0), "01:00:00", "text among binary columns");
}

/* ---- Tagged values ----------------------------------------------------------------------------------------------- */

Test(result_get, tagged) {
    static const struct {
        const char *hex;
        quring_type type;
        const char *text, *wanted;
    } cases[] = {
        {"040000000000000007", QURING_INT8, "7", "bool=RANGE int32=7 int64=7 float64=7"},
        {"063ff8000000000000", QURING_FLOAT8, "1.5", "int32=LOSSY int64=LOSSY float64=1.5"},
        {"063ff0000000000000", QURING_FLOAT8, "1", "int32=1 int64=1 float64=1"},
        {"083432", QURING_TEXT, "42", "int32=42 int64=42 float64=42 bytes=2"},
        {"08", QURING_TEXT, "", "bytes=0"},
        {"0900ff", QURING_BYTES, "\\x00ff", "bytes=2"},
        {"09", QURING_BYTES, "\\x", "bytes=0"},
        {"08323032342d30312d30312031303a30303a30302b3030", QURING_TEXT, "2024-01-01 10:00:00+00",
         "date=LOSSY timestamp=1704103200000000 timestamptz=1704103200000000 bytes=22"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t bytes[100];
        const quring_result *result = rows_one(&rows, RESULT_TAGGED, 0, bytes, unhex(cases[i].hex, bytes));
        cr_assert_eq(quring_value_type(result, 0, 0), cases[i].type, "%s", cases[i].hex);
        cr_assert_str_eq(text_of(result, 0, 0), cases[i].text);
        cr_assert_str_eq(converted(result, 0, 0), cases[i].wanted, "%s: %s", cases[i].hex, converted(result, 0, 0));
    }
}

/* ---- What a hostile server may send ------------------------------------------------------------------------------ */

static void assert_malformed(const quring_result *result) {
    const char *text = "untouched";
    size_t size = 99;
    cr_assert_str_eq(converted(result, 0, 0), "");
    cr_assert_eq(quring_get_text(result, 0, 0, &text, &size), QURING_ETYPE);
    cr_assert(size == 99 && strcmp(text, "untouched") == 0);
    cr_assert_not_null(strstr(quring_result_error(result), "malformed"), "%s", quring_result_error(result));
    cr_assert_not(quring_is_null(result, 0, 0));
}

/* Each binary type at every length that is not its own. */
Test(result_get, wrong_lengths) {
    static const struct {
        uint32_t oid;
        size_t size;
    } types[] = {{OID_BOOL, 1},   {OID_INT2, 2},  {OID_INT4, 4}, {OID_INT8, 8},      {OID_FLOAT4, 4},
                 {OID_FLOAT8, 8}, {OID_UUID, 16}, {OID_DATE, 4}, {OID_TIMESTAMP, 8}, {OID_TIMESTAMPTZ, 8}};
    static const uint8_t fills[] = {0, 1, 0x31, 0x7f, 0xff};
    uint8_t bytes[64];
    for (size_t i = 0; i < COUNT(types); i++)
        for (size_t size = 0; size <= sizeof bytes; size++)
            for (size_t j = 0; j < COUNT(fills); j++) {
                memset(bytes, fills[j], size);
                if (size != types[i].size)
                    assert_malformed(rows_one(&rows, RESULT_BINARY, types[i].oid, bytes, size));
            }
}

Test(result_get, wrong_contents) {
    for (int value = 2; value < 256; value++)
        assert_malformed(rows_one(&rows, RESULT_BINARY, OID_BOOL, &(uint8_t){(uint8_t)value}, 1));
    assert_malformed(rows_one(&rows, RESULT_BINARY, OID_JSONB, "", 0));
    for (int version = 0; version < 256; version++)
        if (version != 1)
            assert_malformed(rows_one(&rows, RESULT_BINARY, OID_JSONB, (uint8_t[]){(uint8_t)version, '1'}, 2));
    assert_malformed(rows_one(&rows, RESULT_TAGGED, 0, "", 0));
    for (int tag = 0; tag < 256; tag++)
        for (size_t size = 0; size < 12; size++) {
            uint8_t bytes[12] = {(uint8_t)tag, 1};
            bool number = tag == QURING_INT8 || tag == QURING_FLOAT8;
            if (tag == QURING_TEXT || tag == QURING_BYTES || (number && size == 8))
                continue;
            assert_malformed(rows_one(&rows, RESULT_TAGGED, 0, bytes, 1 + size));
        }
}

/* Texts of a type that are none: every accessor says so, and the text itself is still to be had. */
Test(result_get, texts_that_do_not_fit_their_type) {
    static const uint32_t oids[] = {OID_BOOL,    OID_INT2, OID_INT4, OID_INT8,      OID_FLOAT4,     OID_FLOAT8,
                                    OID_NUMERIC, OID_UUID, OID_DATE, OID_TIMESTAMP, OID_TIMESTAMPTZ};
    static const char *const texts[] = {"", "x", "\xff", "tt", "1.2.3", "2024-02-30"};
    for (size_t i = 0; i < COUNT(oids); i++)
        for (size_t j = 0; j < COUNT(texts); j++) {
            const quring_result *result = rows_text(&rows, oids[i], texts[j]);
            cr_assert_str_eq(converted(result, 0, 0), "", "%u %s: %s", oids[i], texts[j], converted(result, 0, 0));
            cr_assert_str_eq(text_of(result, 0, 0), texts[j]);
        }
}

/* ---- Both formats agree ------------------------------------------------------------------------------------------ */

static void assert_agree(uint32_t oid, const void *bytes, size_t size) {
    char text[100], line[2000];
    const quring_result *result = rows_one(&rows, RESULT_BINARY, oid, bytes, size);
    snprintf(text, sizeof text, "%s", text_of(result, 0, 0));
    snprintf(line, sizeof line, "%s", converted(result, 0, 0));
    result = rows_text(&rows, oid, text);
    cr_assert_str_eq(text_of(result, 0, 0), text);
    cr_assert_str_eq(converted(result, 0, 0), line, "%u %s:\n%s, not\n%s", oid, text, converted(result, 0, 0), line);
}

Test(result_get, random_values_agree_in_both_formats) {
    static const struct {
        uint32_t oid;
        size_t size;
    } types[] = {{OID_INT2, 2},   {OID_INT4, 4},  {OID_INT8, 8}, {OID_FLOAT4, 4},    {OID_FLOAT8, 8},
                 {OID_BYTEA, 20}, {OID_UUID, 16}, {OID_DATE, 4}, {OID_TIMESTAMP, 8}, {OID_TIMESTAMPTZ, 8}};
    struct rng rng = {5};
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[24];
        uint64_t bits = rng_next(&rng) >> (rng_below(&rng, 2) ? 0 : rng_below(&rng, 64));
        if (i % 3 == 0)
            bits = -bits;
        size_t t = rng_below(&rng, COUNT(types));
        /* Days and microseconds that PostgreSQL has; it would print others of a hostile server too. */
        if (types[t].oid == OID_DATE)
            bits = (uint64_t)((int64_t)rng_below(&rng, 2147483493) - 2451545);
        if (types[t].oid == OID_TIMESTAMP || types[t].oid == OID_TIMESTAMPTZ)
            bits =
                rng_next(&rng) % UINT64_C(9223371331200000000) - (i % 4 ? UINT64_C(0) : UINT64_C(211813488000000000));
        for (int j = 0; j < 24; j += 8)
            bytes_store_u64(bytes + j, bits * (uint64_t)(j + 1));
        bytes_store_u64(bytes, bits);
        assert_agree(types[t].oid, bytes + (types[t].size < 8 ? 8 - types[t].size : 0), types[t].size);
    }
}

/* ---- NUL-termination --------------------------------------------------------------------------------------------- */

Test(result_get, texts_are_terminated_wherever_they_stand) {
    static char huge[17 << 20];
    struct rows wide;
    rows_open(&wide, 40 << 20);
    rows_begin(&wide, RESULT_TEXT, 5, (const uint32_t[]){25, 25, 25, 25, 25});
    memset(huge, 'x', sizeof huge);
    rows_add(&wide,
             (const struct rows_cell[]){
                 {"first", 5}, {"before NULL", 11}, ROWS_NULL, {"before huge", 11}, {huge, (int32_t)sizeof huge}});
    rows_add(&wide, (const struct rows_cell[]){{"", 0}, {"", 0}, ROWS_NULL, {"", 0}, {"last", 4}});
    const quring_result *result = &wide.result;
    static const struct {
        uint64_t row;
        uint32_t column;
        const char *text;
        bool in_place;
    } cases[] = {{0, 0, "first", true},
                 {0, 1, "before NULL", false},
                 {0, 3, "before huge", false},
                 {1, 0, "", true},
                 {1, 1, "", false},
                 {1, 3, "", true},
                 {1, 4, "last", true}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = text_of(result, cases[i].row, cases[i].column);
        const char *start = (const char *)result->rows.data;
        cr_assert_str_eq(text, cases[i].text);
        cr_assert_eq(text >= start && text < start + result->rows.end, cases[i].in_place, "%zu", i);
    }
    cr_assert_eq(strlen(text_of(result, 0, 4)), sizeof huge);
    rows_close(&wide);
}

Test(result_get, jsonb_is_terminated_too) {
    rows_begin(&rows, RESULT_BINARY, 2, (const uint32_t[]){OID_JSONB, OID_JSONB});
    rows_add(&rows, (const struct rows_cell[]){{"\1[1]", 4}, ROWS_NULL});
    cr_assert_str_eq(text_of(&rows.result, 0, 0), "[1]");
}

/* ---- What went wrong --------------------------------------------------------------------------------------------- */

static void assert_error(const quring_result *result, const char *wanted) {
    cr_assert_str_eq(quring_result_error(result), wanted, "%s", quring_result_error(result));
    cr_assert_eq(quring_result_error(result), quring_result_error(result), "made once");
}

Test(result_get, failures_are_explained) {
    bool truth;
    int32_t integer;
    double real;
    const void *data;
    const quring_result *result = rows_u64(&rows, OID_INT8, 5000000000);
    assert_error(result, "");
    cr_assert_eq(quring_get_int32(result, 0, 0, &integer), QURING_ERANGE);
    assert_error(result, "column \"c0\" (int8), row 0: value 5000000000 is out of range of int4");
    cr_assert_eq(quring_get_bool(result, 0, 0, &truth), QURING_ERANGE);
    assert_error(result, "column \"c0\" (int8), row 0: value 5000000000 is out of range of bool");
    cr_assert_eq(quring_get_bytes(result, 0, 0, &data, NULL), QURING_ETYPE);
    assert_error(result, "column \"c0\" (int8), row 0: value 5000000000 can't be read as bytea");
    cr_assert_eq(quring_get_int32(result, 1, 0, &integer), QURING_ERANGE);
    assert_error(result, "no row 1, column 0: the result has 1 rows and 1 columns, counted from 0");
    cr_assert_eq(quring_get_int32(result, 0, 1, &integer), QURING_ERANGE);
    assert_error(result, "no row 0, column 1: the result has 1 rows and 1 columns, counted from 0");

    result = rows_u64(&rows, OID_INT8, 9007199254740993);
    cr_assert_eq(quring_get_float64(result, 0, 0, &real), QURING_ELOSSY);
    assert_error(result, "column \"c0\" (int8), row 0: value 9007199254740993 would lose precision as float8");
    result = rows_one(&rows, RESULT_BINARY, OID_INT4, "\0\0\7", 3);
    cr_assert_eq(quring_get_int32(result, 0, 0, &integer), QURING_ETYPE);
    assert_error(result, "column \"c0\" (int4), row 0: malformed value \\x000007 can't be read as int4");
    result = rows_text(&rows, OID_TEXT, "tab\tand\nline");
    cr_assert_eq(quring_get_int32(result, 0, 0, &integer), QURING_ETYPE);
    assert_error(result, "column \"c0\" (text), row 0: value tab.and.line can't be read as int4");

    rows_begin(&rows, RESULT_TEXT, 2, (const uint32_t[]){25, 23});
    rows_add(&rows, (const struct rows_cell[]){ROWS_NULL, ROWS_NULL});
    rows_add(&rows, (const struct rows_cell[]){ROWS_NULL, ROWS_NULL});
    cr_assert_eq(quring_get_int32(&rows.result, 1, 1, &integer), QURING_ENULL);
    assert_error(&rows.result, "column \"c1\" (int4), row 1 is NULL");
    cr_assert(quring_is_null(&rows.result, 0, 0));
    assert_error(&rows.result, "column \"c1\" (int4), row 1 is NULL");
}

Test(result_get, long_values_are_cut_in_what_is_said_of_them) {
    int32_t integer;
    char text[400], wanted[200];
    for (size_t before = 55; before <= 60; before++) { /* never within a character */
        memset(text, 'x', before);
        strcpy(text + before, "€€€€€€€€€€");
        const quring_result *result = rows_text(&rows, OID_TEXT, text);
        cr_assert_eq(quring_get_int32(result, 0, 0, &integer), QURING_ETYPE);
        size_t kept = before + (60 - before) / 3 * 3;
        snprintf(wanted, sizeof wanted, "value %.*s... can't", (int)kept, text);
        cr_assert_not_null(strstr(quring_result_error(result), wanted), "%s", quring_result_error(result));
    }
    memset(text, 0xab, sizeof text);
    const quring_result *result = rows_one(&rows, RESULT_BINARY, OID_BYTEA, text, sizeof text);
    cr_assert_eq(quring_get_int32(result, 0, 0, &integer), QURING_ETYPE);
    cr_assert_not_null(strstr(quring_result_error(result), "abab... can't be read as int4"));
    cr_assert_null(strstr(quring_result_error(result), "malformed"));
}

Test(result_get, a_long_column_name_is_cut) {
    int32_t integer;
    static char name[1000];
    memset(name, 'n', sizeof name - 1);
    rows_text(&rows, OID_TEXT, "x");
    rows.result.columns->column[0].name = name;
    cr_assert_eq(quring_get_int32(&rows.result, 0, 0, &integer), QURING_ETYPE);
    cr_assert_lt(strlen(quring_result_error(&rows.result)), 300);
    cr_assert_not_null(strstr(quring_result_error(&rows.result), "value x can't"));
}

Test(result_get, indexes_out_of_range) {
    static const uint64_t bad_rows[] = {1, 2, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
    static const uint32_t bad_columns[] = {1, 2, UINT32_MAX};
    const char *text = "untouched";
    const quring_result *result = rows_text(&rows, OID_TEXT, "x");
    for (size_t i = 0; i < COUNT(bad_rows); i++)
        cr_assert_eq(quring_get_text(result, bad_rows[i], 0, &text, NULL), QURING_ERANGE);
    for (size_t i = 0; i < COUNT(bad_columns); i++)
        cr_assert_eq(quring_get_text(result, 0, bad_columns[i], &text, NULL), QURING_ERANGE);
    cr_assert_str_eq(text, "untouched");
    cr_assert(quring_is_null(result, 1, 0));
    cr_assert_eq(quring_value_type(result, 0, 1), QURING_NULL);
    cr_assert_str_eq(text_of(result, 0, 0), "x");
}
