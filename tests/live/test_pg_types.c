/* SPDX-License-Identifier: MIT */
/*
 * Every type of the API as parameter and as result, at its boundaries. A statement's first execution on a connection
 * sends and receives text, later ones binary: each value runs three times and must look the same each time.
 */
#include "lib/live.h"
#include "lib/seen.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

static void open_utc(void) {
    live_open_url(&live, live_url_with("options=-c%20TimeZone%3DUTC"), NULL,
                  &(quring_db_options){.connection_count = 1});
}

static void close_it(void) {
    live_close(&live);
}

TestSuite(pg_types, .init = open_utc, .fini = close_it);

enum { RUNS = 3, SQL_BYTES = 256 };

/* The value as type `type`, and beside it the server's own text of it. */
static void check_round_trip(const char *type, const quring_param *param, quring_type kind, const char *text) {
    char sql[SQL_BYTES], seen[RUNS][SEEN_BYTES];
    snprintf(sql, sizeof sql, "select v as value, v::text as words from (select $1::%s as v) s", type);
    for (int run = 0; run < RUNS; run++) {
        quring_done done = live_run(&live, &(quring_query){.sql = sql, .params = param, .param_count = 1});
        live_check_ok(&done, sql);
        const char *own = "", *servers = "";
        cr_assert_eq(quring_get_text(done.result, 0, 0, &own, NULL), 0, "%s", quring_result_error(done.result));
        cr_assert_eq(quring_get_text(done.result, 0, 1, &servers, NULL), 0);
        cr_assert_eq(quring_column_type(done.result, 0), kind, "%s is %s", type,
                     quring_type_name(quring_column_type(done.result, 0)));
        if (text)
            cr_assert_str_eq(own, text, "run %d, %s: %s, not %s", run, type, own, text);
        else
            cr_assert_str_eq(own, servers, "run %d, %s: %.99s, not %.99s", run, type, own, servers);
        seen_value(seen[run], done.result, 0, 0);
        cr_assert_str_eq(seen[run], seen[0], "run %d, %s:\n%s\n%s", run, type, seen[run], seen[0]);
        live_release(&live, &done);
    }
}

static void check_null(const char *type, quring_type kind) {
    char sql[SQL_BYTES];
    snprintf(sql, sizeof sql, "select $1::%s as nothing, 1 as one", type);
    for (int run = 0; run < RUNS; run++) {
        quring_done done = live_query(&live, sql, quring_null());
        live_check_ok(&done, sql);
        char seen[SEEN_BYTES];
        seen_value(seen, done.result, 0, 0);
        cr_assert(strstr(seen, "null=1 bool=-10:0 int32=-10:77 int64=-10:77 float64=-10:"), "%s", seen);
        cr_assert(strstr(seen, "uuid=-10 bytes=-10 text=-10 error=column \"nothing\""), "%s", seen);
        cr_assert_eq(quring_value_type(done.result, 0, 0), QURING_NULL);
        cr_assert_eq(quring_column_type(done.result, 0), kind);
        cr_assert(!quring_is_null(done.result, 0, 1));
        live_release(&live, &done);
    }
}

static void check_integers(const char *type, quring_type kind, int64_t min, int64_t max) {
    const int64_t values[] = {0, 1, -1, 127, 128, 255, 256, min, min + 1, max, max - 1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[24];
        snprintf(text, sizeof text, "%lld", (long long)values[i]);
        quring_param params[] = {quring_int64(values[i]), quring_text(text), quring_numeric(text)};
        for (size_t p = 0; p < sizeof params / sizeof *params; p++)
            check_round_trip(type, &params[p], kind, text);
    }
    check_null(type, kind);
}

Test(pg_types, integers) {
    check_integers("int2", QURING_INT2, INT16_MIN, INT16_MAX);
    check_integers("int4", QURING_INT4, INT32_MIN, INT32_MAX);
    check_integers("int8", QURING_INT8, INT64_MIN, INT64_MAX);
    quring_param small = {.type = QURING_INT2, .value.integer = -7}, middle = quring_int32(INT32_MIN);
    check_round_trip("int2", &small, QURING_INT2, "-7");
    check_round_trip("int8", &middle, QURING_INT8, "-2147483648");
    quring_param yes = quring_bool(true), no = quring_bool(false);
    check_round_trip("bool", &yes, QURING_BOOL, "t");
    check_round_trip("bool", &no, QURING_BOOL, "f");
    check_null("bool", QURING_BOOL);
}

/* Bits must come back as they went, NaN but for its payload. */
static void check_real(const char *type, double value) {
    quring_param param = quring_float64(value);
    check_round_trip(type, &param, strcmp(type, "float4") == 0 ? QURING_FLOAT4 : QURING_FLOAT8, NULL);
    char sql[SQL_BYTES];
    snprintf(sql, sizeof sql, "select $1::%s", type);
    for (int run = 0; run < RUNS; run++) {
        quring_done done = live_run(&live, &(quring_query){.sql = sql, .params = &param, .param_count = 1});
        live_check_ok(&done, sql);
        double back = 1;
        cr_assert_eq(quring_get_float64(done.result, 0, 0, &back), 0, "%s", quring_result_error(done.result));
        cr_assert((isnan(back) && isnan(value)) || memcmp(&back, &value, sizeof back) == 0, "%a, not %a", back, value);
        live_release(&live, &done);
    }
}

Test(pg_types, floats) {
    static const double doubles[] = {0.0,    -0.0,    1.5,     0.1,      -1e22,        1e23,      123456789012345680.0,
                                     5e-324, DBL_MIN, DBL_MAX, -DBL_MAX, 1.0 / 3,      HUGE_VAL,  -HUGE_VAL,
                                     NAN,    1e15,    1e16,    1e-4,     0.0000123456, 4294967296};
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        check_real("float8", doubles[i]);
    static const float floats[] = {0.0f,        -0.0f, 1.5f, 0.1f,     -1e22f,    1e-45f,     FLT_MIN, FLT_MAX,
                                   16777216.0f, 1e6f,  1e5f, 1.0f / 3, HUGE_VALF, -HUGE_VALF, NAN};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        check_real("float4", (double)floats[i]);
    check_null("float4", QURING_FLOAT4);
    check_null("float8", QURING_FLOAT8);
}

Test(pg_types, numeric_is_exact) {
    static const char *const values[] = {
        "0",
        "0.00",
        "-0.1",
        "1e3",
        "12345678901234567890123456789012345678901234567890.000000000000000000000000000000001",
        "NaN",
        "Infinity",
        "-Infinity",
        "0.1",
        "100000000000000000000",
        "9223372036854775807",
        "-9223372036854775809",
        "42.0",
        "1.10"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        quring_param params[] = {quring_numeric(values[i]), quring_text(values[i])};
        check_round_trip("numeric", &params[0], QURING_NUMERIC, strcmp(values[i], "1e3") == 0 ? "1000" : values[i]);
        check_round_trip("numeric", &params[1], QURING_NUMERIC, NULL);
    }
    size_t digits = 100000;
    char *huge = malloc(digits + 1);
    memset(huge, '7', digits);
    huge[digits] = 0;
    huge[digits - 16001] = '.'; /* numeric takes 16383 digits behind the point */
    quring_param param = quring_numeric(huge);
    check_round_trip("numeric", &param, QURING_NUMERIC, huge);
    free(huge);
    check_null("numeric", QURING_NUMERIC);
}

static void check_text(const char *text) {
    quring_param params[] = {quring_text(text), quring_text_sized(text, strlen(text))};
    check_round_trip("text", &params[0], QURING_TEXT, text);
    check_round_trip("text", &params[1], QURING_TEXT, text);
    check_round_trip("varchar", &params[0], QURING_TEXT, text);
}

Test(pg_types, texts) {
    static const char *const texts[] = {"",   " ",    "a", "'",    "\"",           "\\",        "\\x41",
                                        "{}", "NULL", "t", "%s%n", "\x01\x1f\x7f", "héllo ☃ 𝄞", "line\nbreak\ttab\r"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(texts[i]);
    for (size_t size = 1; size <= 1 << 20; size *= 16) {
        char *text = malloc(size + 1);
        memset(text, 'x', size);
        text[size] = 0;
        check_text(text);
        free(text);
    }
    quring_param short_text = quring_text("ab");
    check_round_trip("char(5)", &short_text, QURING_TEXT, "ab   ");
    check_round_trip("name", &short_text, QURING_TEXT, "ab");
    check_null("text", QURING_TEXT);
    check_null("varchar(3)", QURING_TEXT);
}

static void check_bytes(const uint8_t *bytes, size_t size) {
    quring_param param = quring_bytes(bytes, size);
    check_round_trip("bytea", &param, QURING_BYTES, NULL);
    for (int run = 0; run < RUNS; run++) {
        quring_done done =
            live_run(&live, &(quring_query){.sql = "select $1::bytea", .params = &param, .param_count = 1});
        live_check_ok(&done, "bytea");
        const void *back = NULL;
        size_t back_size = 99;
        cr_assert_eq(quring_get_bytes(done.result, 0, 0, &back, &back_size), 0);
        cr_assert(back_size == size && memcmp(back, bytes, size) == 0);
        live_release(&live, &done);
    }
}

Test(pg_types, bytes) {
    enum { SIZE = 300000 };
    uint8_t *bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 167);
    for (size_t size = 0; size < 20; size++)
        check_bytes(bytes, size);
    check_bytes(bytes, 256);
    check_bytes(bytes, SIZE);
    free(bytes);
    check_null("bytea", QURING_BYTES);
}

Test(pg_types, uuids_and_json) {
    uint8_t uuid[16];
    char text[37];
    for (int i = 0; i < 16; i++)
        uuid[i] = (uint8_t)(i * 17);
    strcpy(text, "00112233-4455-6677-8899-aabbccddeeff");
    quring_param params[] = {quring_uuid(uuid), quring_text(text), quring_text("{00112233445566778899AABBCCDDEEFF}")};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        check_round_trip("uuid", &params[i], QURING_UUID, text);
    memset(uuid, 0xff, sizeof uuid);
    quring_param ones = quring_uuid(uuid);
    check_round_trip("uuid", &ones, QURING_UUID, "ffffffff-ffff-ffff-ffff-ffffffffffff");
    check_null("uuid", QURING_UUID);

    static const char *const documents[] = {"null", "{\"a\": [1, 2.50, \"\\u00e9\", null], \"b\": {}}", "\"\"", "[]",
                                            "12345678901234567890.1"};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        quring_param json = quring_json(documents[i]), jsonb = json;
        jsonb.type = QURING_JSONB;
        check_round_trip("json", &json, QURING_JSON, documents[i]);
        check_round_trip("jsonb", &json, QURING_JSONB, NULL);
        check_round_trip("jsonb", &jsonb, QURING_JSONB, NULL);
        check_round_trip("json", &jsonb, QURING_JSON, documents[i]);
    }
    check_null("json", QURING_JSON);
    check_null("jsonb", QURING_JSONB);
}

Test(pg_types, dates_and_times) {
    static const int32_t days[] = {0,     1,     -1,         10957,     10956,     -719162,    -719163, -2440588,
                                   11016, 19782, 2145042905, INT32_MAX, INT32_MIN, 10957 + 60, -141428};
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        quring_param date = quring_date(days[i]);
        check_round_trip("date", &date, QURING_DATE, NULL);
    }
    static const int64_t us[] = {0,
                                 1,
                                 -1,
                                 INT64_C(946684800000000),
                                 INT64_C(946684799999999),
                                 INT64_C(1709210096123456),
                                 INT64_C(1709210096100000),
                                 INT64_C(-62135596800000000),
                                 INT64_C(-62135596800000001),
                                 INT64_C(-210866803200000000),
                                 INT64_MAX - 1,
                                 QURING_INFINITY,
                                 QURING_MINUS_INFINITY};
    for (size_t i = 0; i < sizeof us / sizeof *us; i++) {
        quring_param local = quring_timestamp(us[i]), instant = quring_timestamptz(us[i]);
        check_round_trip("timestamp", &local, QURING_TIMESTAMP, NULL);
        check_round_trip("timestamptz", &instant, QURING_TIMESTAMPTZ, NULL);
    }
    check_null("date", QURING_DATE);
    check_null("timestamp", QURING_TIMESTAMP);
    check_null("timestamptz", QURING_TIMESTAMPTZ);
}

/* ---- Every parameter for every type ------------------------------------------------------------------------------ */

static const int32_t INTS[] = {1, -2, 3};
static const int64_t BIGS[] = {1, INT64_MIN, 3};
static const char *const TEXTS[] = {"a", NULL, "", "q\"\\,{}", "NULL"};
static const uint8_t UUIDS[2][16] = {{1}, {0xff}};

static uint32_t make_params(quring_param *p) {
    uint32_t n = 0;
    const double reals[] = {0.5, 42, 1e300, 0.1, NAN, -HUGE_VAL};
    const int64_t integers[] = {0, 1, -1, 42, 40000, INT64_C(3000000000), INT64_MIN};
    const char *const texts[] = {"",           "t",  "1",          "42",    " 42 ", "0.1",   "abc",
                                 "2024-02-29", "[]", "2024-02-30", "1e400", "{1}",  "\\x41", "infinity"};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        p[n++] = quring_float64(reals[i]);
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        p[n++] = quring_int64(integers[i]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        p[n++] = quring_text(texts[i]);
    p[n++] = quring_null();
    p[n++] = quring_bool(true);
    p[n++] = quring_text_sized("a\0b", 3);
    p[n++] = quring_text_sized("\xff\xfe", 2);
    p[n++] = quring_bytes("a\0b", 3);
    p[n++] = quring_bytes("", 0);
    p[n++] = quring_uuid(UUIDS[0]);
    p[n++] = quring_json("{\"a\": 1}");
    p[n++] = quring_numeric("1.50");
    p[n++] = quring_numeric("NaN");
    p[n++] = quring_date(0);
    p[n++] = quring_date(INT32_MAX);
    p[n++] = quring_date(INT32_MAX - 1);
    p[n++] = quring_timestamp(1);
    p[n++] = quring_timestamp(INT64_MIN + 1);
    p[n++] = quring_timestamptz(1709210096123456);
    p[n++] = quring_timestamptz(QURING_MINUS_INFINITY);
    p[n++] = quring_int32_array(INTS, 3);
    p[n++] = quring_int32_array(NULL, 0);
    p[n++] = quring_int64_array(BIGS, 3);
    p[n++] = quring_text_array(TEXTS, 5);
    p[n++] = quring_uuid_array(UUIDS, 2);
    return n;
}

/*
 * Whatever a caller hands to whatever type: the first execution, whose parameters are text, and the later ones, whose
 * parameters are binary where they fit, end alike, be it in a value or in the server's refusal.
 */
Test(pg_types, any_parameter_for_any_type_ends_the_same) {
    static const char *const types[] = {"bool",    "int2",   "int4",       "int8",        "float4",   "float8",
                                        "numeric", "text",   "varchar(2)", "bytea",       "uuid",     "json",
                                        "jsonb",   "date",   "timestamp",  "timestamptz", "int4[]",   "int8[]",
                                        "text[]",  "uuid[]", "varchar[]",  "name[]",      "interval", "inet",
                                        "time",    "name",   "char(3)",    "oid",         "point"};
    quring_param params[64];
    uint32_t count = make_params(params);
    cr_assert_leq(count, 64);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (uint32_t p = 0; p < count; p++) {
            char sql[SQL_BYTES], first[SEEN_BYTES], later[SEEN_BYTES];
            snprintf(sql, sizeof sql, "select $1::%s as v /* %u */", types[t], p); /* each its own statement */
            for (int run = 0; run < RUNS; run++) {
                quring_done done = live_run(&live, &(quring_query){.sql = sql, .params = &params[p], .param_count = 1});
                seen_done(run ? later : first, &done);
                cr_expect(run == 0 || strcmp(first, later) == 0, "run %d of parameter %u (%s) for %s:\n%s\n%s", run, p,
                          quring_type_name(params[p].type), types[t], first, later);
                live_release(&live, &done);
            }
        }
    }
}
