/* SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "lib/value_texts.h"
#include "value/param.h"
#include "value/value.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Numbers to text --------------------------------------------------------------------------------------------- */

Test(value_text, integers) {
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {7, "7"},
        {-1, "-1"},
        {10, "10"},
        {INT32_MIN, "-2147483648"},
        {INT64_MAX, "9223372036854775807"},
        {INT64_MIN, "-9223372036854775808"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_assert_str_eq(ended(value_print_integer(printed, cases[i].value)), cases[i].text);
}

/* What PostgreSQL 15 prints, digit for digit. */
Test(value_text, float8) {
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {100, "100"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {0.00012345, "0.00012345"},
        {123456789012345, "123456789012345"},
        {999999999999999, "999999999999999"},
        {1e15, "1e+15"},
        {1234567890123456, "1.234567890123456e+15"},
        {9007199254740993.0, "9.007199254740992e+15"},
        {1e22, "1e+22"},
        {1e23, "9.999999999999999e+22"}, /* 1e+23 lies half way to the next one */
        {1e100, "1e+100"},
        {123456.789e-10, "1.23456789e-05"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {DBL_TRUE_MIN, "5e-324"},
        {-2 * DBL_TRUE_MIN, "-1e-323"},
        {0x1p-44, "5.684341886080802e-14"}, /* the gap below a power of two is the smaller one */
        {0x1p-1022, "2.2250738585072014e-308"},
        {18014398509482008.0, "1.8014398509482008e+16"}, /* 16 digits end half way to the next one */
        {(double)INFINITY, "Infinity"},
        {-(double)INFINITY, "-Infinity"},
        {(double)NAN, "NaN"},
        {-(double)NAN, "NaN"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = ended(value_print_float8(printed, cases[i].value));
        cr_assert_str_eq(text, cases[i].text, "%a: %s", cases[i].value, text);
    }
}

Test(value_text, float4) {
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {0.1f, "0.1"},
        {1e5f, "100000"},
        {123456, "123456"},
        {1e6f, "1e+06"},
        {1234567, "1.234567e+06"},
        {16777216, "1.6777216e+07"},
        {FLT_MAX, "3.4028235e+38"},
        {FLT_MIN, "1.1754944e-38"},
        {FLT_TRUE_MIN, "1e-45"},
        {0.0001f, "0.0001"},
        {0.00001f, "1e-05"},
        {-0.0f, "-0"},
        {(float)INFINITY, "Infinity"},
        {(float)NAN, "NaN"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = ended(value_print_float4(printed, cases[i].value));
        cr_assert_str_eq(text, cases[i].text, "%a: %s", (double)cases[i].value, text);
    }
}

static double any_double(struct rng *rng) {
    uint64_t bits = rng_next(rng) >> (rng_below(rng, 4) ? 0 : rng_below(rng, 64));
    double value;
    memcpy(&value, &bits, sizeof value);
    return rng_below(rng, 8) ? value : ldexp(1, (int)rng_below(rng, 2098) - 1074);
}

/* Reads back as the same, and no shorter text of printf() does. */
Test(value_text, random_floats_round_trip) {
    struct rng rng = {1};
    for (int i = 0; i < 20000; i++) {
        double value = any_double(&rng), back;
        const char *text = ended(value_print_float8(printed, value));
        cr_assert_eq(READ(value_parse_float8, text, &back), 0, "%s", text);
        cr_assert(isnan(value) ? isnan(back) : memcmp(&value, &back, sizeof value) == 0, "%a %s", value, text);
        char shorter[64];
        int digits = 0;
        for (const char *at = text; *at && *at != 'e'; at++)
            digits += *at >= '0' && *at <= '9' && (digits || *at != '0');
        bool half_way = fabs(value) > 0x1p53 && fabs(value) < 0x1p140; /* where a shorter text may be ambiguous */
        if (isfinite(value) && !half_way && strchr(text, 'e') && digits > 1) {
            snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value);
            cr_assert(strtod(shorter, NULL) != value, "%s and %s", text, shorter);
        }
    }
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)rng_next(&rng);
        float value;
        double back;
        memcpy(&value, &bits, sizeof value);
        const char *text = ended(value_print_float4(printed, value));
        cr_assert_eq(READ(value_parse_float4, text, &back), 0, "%s", text);
        cr_assert(isnan(value) ? isnan(back) : (double)value == back, "%a %s", (double)value, text);
    }
}

/* ---- Text to numbers --------------------------------------------------------------------------------------------- */

Test(value_text, integer_texts) {
    static const struct {
        const char *text;
        int code;
        int64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"42", 0, 42},
        {" \t+42\n", 0, 42},
        {"-42", 0, -42},
        {"0042", 0, 42},
        {"42.", 0, 42},
        {"42.000", 0, 42},
        {"4.2e1", 0, 42},
        {"420e-1", 0, 42},
        {"0.00042E5", 0, 42},
        {"0e99999999999999999999", 0, 0},
        {"0.000", 0, 0},
        {"1e18", 0, INT64_C(1000000000000000000)},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", QURING_ERANGE, 0},
        {"-9223372036854775809", QURING_ERANGE, 0},
        {"9999999999999999999", QURING_ERANGE, 0},
        {"10000000000000000000", QURING_ERANGE, 0},
        {"99999999999999999999.5", QURING_ERANGE, 0},
        {"1e19", QURING_ERANGE, 0},
        {"1e999999999999999999999", QURING_ERANGE, 0},
        {"NaN", QURING_ERANGE, 0},
        {"Infinity", QURING_ERANGE, 0},
        {"-inf", QURING_ERANGE, 0},
        {"1.5", QURING_ELOSSY, 0},
        {"-0.1", QURING_ELOSSY, 0},
        {"1e-1", QURING_ELOSSY, 0},
        {"1e-99999999999999999999", QURING_ELOSSY, 0},
        {"9223372036854775807.5", QURING_ELOSSY, 0},
        {"", QURING_ETYPE, 0},
        {" ", QURING_ETYPE, 0},
        {"-", QURING_ETYPE, 0},
        {".", QURING_ETYPE, 0},
        {"e5", QURING_ETYPE, 0},
        {"1e", QURING_ETYPE, 0},
        {"1e+", QURING_ETYPE, 0},
        {"1e5x", QURING_ETYPE, 0},
        {"1.2.3", QURING_ETYPE, 0},
        {"1 2", QURING_ETYPE, 0},
        {"--1", QURING_ETYPE, 0},
        {"0x10", QURING_ETYPE, 0},
        {"1,5", QURING_ETYPE, 0},
        {"$1.00", QURING_ETYPE, 0},
        {"abc", QURING_ETYPE, 0},
        {"infini", QURING_ETYPE, 0},
        {"nano", QURING_ETYPE, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 0x5a5a5a5a;
        int code = READ(value_parse_integer, cases[i].text, &value);
        cr_assert_eq(code, cases[i].code, "'%s': %d", cases[i].text, code);
        cr_assert_eq(value, code ? 0x5a5a5a5a : cases[i].value, "'%s'", cases[i].text);
    }
}

Test(value_text, decimal_texts) {
    static const struct {
        const char *text;
        int code;
        double value;
    } cases[] = {
        {"0", 0, 0},
        {"0.0000", 0, 0},
        {"-0", 0, -0.0},
        {"0.1", 0, 0.1},
        {"0.10000", 0, 0.1},
        {"123456789.012345", 0, 123456789.012345},
        {"0.1000000000000000055511151231257827021181583404541015625", 0, 0.1}, /* all digits of that float */
        {"9007199254740992", 0, 0x1p53},
        {"1152921504606846976", 0, 0x1p60},
        {"1267650600228229401496703205376", 0, 0x1p100},
        {"1e22", 0, 1e22},
        {"1.7976931348623157e308", 0, DBL_MAX},
        {"5e-324", 0, DBL_TRUE_MIN},
        {"2.2250738585072014e-308", 0, DBL_MIN},
        {"Infinity", 0, (double)INFINITY},
        {"-Infinity", 0, -(double)INFINITY},
        {"9007199254740993", QURING_ELOSSY, 0},
        {"1152921504606846977", QURING_ELOSSY, 0},
        {"0.1234567890123456789", QURING_ELOSSY, 0},
        {"0.30000000000000001", QURING_ELOSSY, 0}, /* 0.3 itself is …29999 */
        {"1.2345e-320", QURING_ELOSSY, 0},
        {"1e309", QURING_ERANGE, 0},
        {"-1e309", QURING_ERANGE, 0},
        {"1e-400", QURING_ERANGE, 0},
        {"1e99999999999999999999", QURING_ERANGE, 0},
        {"", QURING_ETYPE, 0},
        {"1,5", QURING_ETYPE, 0},
        {"0x1p3", QURING_ETYPE, 0},
        {"nan(1)", QURING_ETYPE, 0},
        {"x", QURING_ETYPE, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double value = 77;
        int code = READ(value_parse_decimal, cases[i].text, &value);
        cr_assert_eq(code, cases[i].code, "'%s': %d", cases[i].text, code);
        double wanted = code ? 77 : cases[i].value;
        cr_assert(memcmp(&value, &wanted, sizeof value) == 0, "'%s': %.17g", cases[i].text, value);
    }
}

Test(value_text, very_long_decimals) {
    enum { LENGTH = 20000 };
    static char text[LENGTH + 32];
    double value;
    for (int digits = 780; digits <= LENGTH; digits += digits < 820 ? 1 : 3000) {
        memset(text, '3', (size_t)digits);
        memcpy(text, "0.", 2);
        text[digits] = 0;
        cr_assert_eq(READ(value_parse_decimal, text, &value), QURING_ELOSSY);
        cr_assert_eq(READ(value_parse_float8, text, &value), 0);
        cr_assert_eq(value, 1.0 / 3);
        memset(text + 3, '0', (size_t)digits - 3); /* 0.3000… */
        cr_assert_eq(READ(value_parse_decimal, text, &value), 0);
        cr_assert_eq(value, 0.3);
        memset(text, '9', (size_t)digits);
        cr_assert_eq(READ(value_parse_decimal, text, &value), QURING_ERANGE);
        int64_t integer;
        cr_assert_eq(READ(value_parse_integer, text, &integer), QURING_ERANGE);
    }
}

/* Any float's shortest text, and any integer that a float can hold, is lossless. */
Test(value_text, random_decimals_that_survive) {
    struct rng rng = {2};
    for (int i = 0; i < 20000; i++) {
        double value = any_double(&rng), back;
        if (!isfinite(value))
            continue;
        const char *text = ended(value_print_float8(printed, value));
        cr_assert_eq(READ(value_parse_decimal, text, &back), 0, "%s", text);
        cr_assert(memcmp(&value, &back, sizeof value) == 0);
        int64_t integer = (int64_t)(rng_next(&rng) >> rng_below(&rng, 64)), again;
        text = ended(value_print_integer(printed, integer));
        cr_assert_eq(READ(value_parse_integer, text, &again), 0);
        cr_assert_eq(integer, again);
        bool exact = (double)integer < 0x1p63 && (int64_t)(double)integer == integer;
        if (exact || integer % 10 != 0) /* zeros at the end are no digits that could be lost */
            cr_assert_eq(READ(value_parse_decimal, text, &back), exact ? 0 : QURING_ELOSSY, "%s", text);
    }
}

Test(value_text, bool_texts) {
    static const char *const yes[] = {"t",  "true", "T",  "TRUE", "tr", "tru",   "y",
                                      "ye", "yes",  "on", "On",   "1",  " true "};
    static const char *const no[] = {"f", "false", "F", "fa", "fals", "n", "no", "NO", "of", "off", "0", "\tf\n"};
    static const char *const neither[] = {"",   " ",    "o",    "truee", "x",  "2", "10",
                                          "00", "yess", "offf", "nope",  "tf", "-1"};
    bool value;
    for (size_t i = 0; i < COUNT(yes); i++) {
        value = false;
        cr_assert_eq(READ(value_parse_bool, yes[i], &value), 0, "%s", yes[i]);
        cr_assert(value);
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        value = true;
        cr_assert_eq(READ(value_parse_bool, no[i], &value), 0, "%s", no[i]);
        cr_assert_not(value);
    }
    for (size_t i = 0; i < COUNT(neither); i++)
        cr_assert_eq(READ(value_parse_bool, neither[i], &value), QURING_ETYPE, "%s", neither[i]);
}

/* ---- bytea and uuid ---------------------------------------------------------------------------------------------- */

Test(value_text, bytes_round_trip) {
    struct rng rng = {4};
    uint8_t bytes[64], back[200];
    char text[200];
    for (int i = 0; i < 5000; i++) {
        size_t size = rng_below(&rng, sizeof bytes), back_size = 999, at = 0;
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)rng_next(&rng);
        size_t length = value_print_hex(text, bytes, size);
        cr_assert_eq(length, 2 + 2 * size);
        cr_assert_eq(value_parse_bytes(text, length, back, &back_size), 0);
        cr_assert(back_size == size && memcmp(bytes, back, size) == 0);
        for (size_t j = 0; j < size && j < 40; j++) /* bytea_output = escape */
            if (bytes[j] < 0x20 || bytes[j] > 0x7e)
                at += (size_t)sprintf(text + at, "\\%03o", bytes[j]);
            else
                at += (size_t)sprintf(text + at, bytes[j] == '\\' ? "\\\\" : "%c", bytes[j]);
        cr_assert_eq(value_parse_bytes(text, at, back, &back_size), 0);
        cr_assert(back_size == (size < 40 ? size : 40) && memcmp(bytes, back, back_size) == 0);
    }
}

static int parse_bytes(const char *text, size_t size, void *unused) {
    uint8_t out[64];
    size_t out_size;
    (void)unused;
    return value_parse_bytes(text, size, out, &out_size);
}

Test(value_text, what_is_no_bytea) {
    static const char *const texts[] = {"\\x0", "\\xg0", "\\x0 0", "\\",  "\\1",
                                        "\\12", "\\400", "\\18\\", "a\\", "\\012\\"};
    for (size_t i = 0; i < COUNT(texts); i++)
        cr_assert_eq(READ(parse_bytes, texts[i], NULL), QURING_ETYPE, "%s", texts[i]);
    cr_assert_eq(READ(parse_bytes, "", NULL), 0);
    cr_assert_eq(READ(parse_bytes, "\\x", NULL), 0);
    cr_assert_eq(READ(parse_bytes, "\\xFFaa", NULL), 0);
}

Test(value_text, uuids) {
    static const uint8_t uuid[16] = {0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8,
                                     0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11};
    static const char *const same[] = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                                       "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
                                       "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11"};
    static const char *const wrong[] = {"",
                                        "{}",
                                        "{",
                                        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
                                        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
                                        "a0eebc99--9c0b4ef8bb6d6bb9bd380a11",
                                        "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                        "a-0eebc999c0b4ef8bb6d6bb9bd380a11",
                                        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-"};
    cr_assert_str_eq(ended(value_print_uuid(printed, uuid)), same[0]);
    uint8_t value[16];
    for (size_t i = 0; i < COUNT(same); i++) {
        memset(value, 0, sizeof value);
        cr_assert_eq(READ(value_parse_uuid, same[i], value), 0, "%s", same[i]);
        cr_assert(memcmp(value, uuid, sizeof uuid) == 0);
    }
    memset(value, 7, sizeof value);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        cr_assert_eq(READ(value_parse_uuid, wrong[i], value), QURING_ETYPE, "%s", wrong[i]);
        cr_assert(value[0] == 7 && value[15] == 7);
    }
}

/* ---- Texts of parameters ----------------------------------------------------------------------------------------- */

static void assert_texts(quring_param param, const char *text, const char *json) {
    struct buf store, out;
    buf_init(&store, 10000);
    buf_init(&out, 10000);
    const quring_param *copy = value_copy_params(&store, &param, 1);
    cr_assert_not_null(copy);
    if (text) {
        value_put_text(&out, copy);
        buf_put_u8(&out, 0);
        cr_assert_str_eq((char *)buf_head(&out), text);
    }
    if (json) {
        buf_reset(&out, 0);
        value_put_json_array(&out, copy);
        buf_put_u8(&out, 0);
        cr_assert_str_eq((char *)buf_head(&out), json);
    }
    for (size_t limit = 0; text && limit < strlen(text); limit++) { /* lack of room shows as failure, nothing else */
        buf_free(&out);
        buf_init(&out, limit);
        value_put_text(&out, copy);
        cr_assert(buf_failed(&out));
    }
    buf_free(&store);
    buf_free(&out);
}

Test(value_text, texts_of_parameters) {
    static const uint8_t uuid[16] = {1, 2, 3};
    static const int32_t int4s[] = {1, -2, INT32_MIN};
    static const int64_t int8s[] = {INT64_MAX, 0};
    static const char *const texts[] = {"a", NULL, "", "NULL", "q\"u\\o{ne},'", "é\n\x01 "};
    assert_texts(quring_bool(true), "t", NULL);
    assert_texts(quring_bool(false), "f", NULL);
    assert_texts(quring_int64(INT64_MIN), "-9223372036854775808", NULL);
    assert_texts(quring_int32(5), "5", NULL);
    assert_texts(quring_float64(0.1), "0.1", NULL);
    assert_texts(quring_text("text"), "text", NULL);
    assert_texts(quring_text(""), "", NULL);
    assert_texts(quring_bytes("\0\xff", 2), "\\x00ff", NULL);
    assert_texts(quring_bytes(NULL, 0), "\\x", NULL);
    assert_texts(quring_uuid(uuid), "01020300-0000-0000-0000-000000000000", NULL);
    assert_texts(quring_json("{}"), "{}", NULL);
    assert_texts(quring_numeric("1.50"), "1.50", NULL);
    assert_texts(quring_date(0), "1970-01-01", NULL);
    assert_texts(quring_date(INT32_MAX), "infinity", NULL);
    assert_texts(quring_date(INT32_MIN), "-infinity", NULL);
    assert_texts(quring_date(INT32_MIN + 1), "5877642-06-24 BC", NULL);
    assert_texts(quring_timestamp(1), "1970-01-01 00:00:00.000001", NULL);
    assert_texts(quring_timestamptz(-1), "1969-12-31 23:59:59.999999+00", NULL);
    assert_texts(quring_timestamptz(QURING_INFINITY), "infinity", NULL);
    assert_texts(quring_timestamp(QURING_MINUS_INFINITY), "-infinity", NULL);
    assert_texts(quring_int32_array(int4s, 3), "{1,-2,-2147483648}", "[1,-2,-2147483648]");
    assert_texts(quring_int32_array(NULL, 0), "{}", "[]");
    assert_texts(quring_int64_array(int8s, 2), "{9223372036854775807,0}", "[9223372036854775807,0]");
    assert_texts(quring_uuid_array(&uuid, 1), "{01020300-0000-0000-0000-000000000000}",
                 "[\"01020300-0000-0000-0000-000000000000\"]");
    assert_texts(quring_text_array(texts, 6), "{\"a\",NULL,\"\",\"NULL\",\"q\\\"u\\\\o{ne},'\",\"é\n\x01 \"}",
                 "[\"a\",null,\"\",\"NULL\",\"q\\\"u\\\\o{ne},'\",\"é\\u000a\\u0001 \"]");
    assert_texts(quring_text_array(texts, 0), "{}", "[]");
}
