/* SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "lib/value_texts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const char *print_us(int64_t us, bool zone) {
    int64_t day, day_us;
    value_split_us(us, 0, &day, &day_us);
    return ended(value_print_timestamp(printed, day, day_us, zone));
}

static int parse_us(const char *text, int64_t *us) {
    struct value_moment moment;
    int code = READ(value_parse_moment, text, &moment);
    return code ? code : value_moment_us(&moment, us);
}

static const struct {
    int64_t us;
    const char *text;
} timestamps[] = {
    {0, "1970-01-01 00:00:00"},
    {-1, "1969-12-31 23:59:59.999999"},
    {1, "1970-01-01 00:00:00.000001"},
    {100000, "1970-01-01 00:00:00.1"},
    {120000, "1970-01-01 00:00:00.12"},
    {INT64_C(1709164800000000), "2024-02-29 00:00:00"},
    {INT64_C(951782400000000), "2000-02-29 00:00:00"},
    {INT64_C(-2203977600000000), "1900-02-28 00:00:00"},
    {INT64_C(-2203891200000000), "1900-03-01 00:00:00"},
    {INT64_C(946684800000000), "2000-01-01 00:00:00"},
    {INT64_C(253402300799999999), "9999-12-31 23:59:59.999999"},
    {INT64_C(253402300800000000), "10000-01-01 00:00:00"},
    {INT64_C(-62135596800000000), "0001-01-01 00:00:00"},
    {INT64_C(-62135596800000001), "0001-12-31 23:59:59.999999 BC"},
    {INT64_C(-62162121600000000), "0001-02-29 00:00:00 BC"},
    {INT64_C(-63612518400000000), "0047-03-15 00:00:00 BC"},
    {INT64_C(-210866803200000000), "4714-11-24 00:00:00 BC"},
    {INT64_MAX - 1, "294247-01-10 04:00:54.775806"},
};

Test(value_time, timestamps) {
    for (size_t i = 0; i < COUNT(timestamps); i++) {
        int64_t us = 5;
        const char *text = print_us(timestamps[i].us, false);
        cr_assert_str_eq(text, timestamps[i].text, "%lld: %s", (long long)timestamps[i].us, text);
        cr_assert_eq(parse_us(timestamps[i].text, &us), 0, "%s", timestamps[i].text);
        cr_assert_eq(us, timestamps[i].us, "%s: %lld", timestamps[i].text, (long long)us);
    }
    cr_assert_str_eq(print_us(0, true), "1970-01-01 00:00:00+00");
    cr_assert_str_eq(print_us(-62135596800000001, true), "0001-12-31 23:59:59.999999+00 BC");
}

Test(value_time, every_day_of_some_thousand_years) {
    char wanted[32];
    int64_t day = 0;
    for (int year = 1970; year < 2500; year++)
        for (int month = 1; month <= 12; month++) {
            static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            for (int d = 1; d <= days[month - 1] + (month == 2 && leap); d++, day++) {
                snprintf(wanted, sizeof wanted, "%04d-%02d-%02d", year, month, d);
                cr_assert_str_eq(ended(value_print_date(printed, day)), wanted);
            }
        }
    for (day = -3000000; day < 3000000; day += 13) {
        int64_t us = 0;
        cr_assert_eq(parse_us(ended(value_print_date(printed, day)), &us), 0, "%s", printed);
        cr_assert_eq(us, day * VALUE_DAY_US, "%s", printed);
    }
}

Test(value_time, random_timestamps_round_trip) {
    struct rng rng = {3};
    for (int i = 0; i < 50000; i++) {
        int64_t us = (int64_t)rng_next(&rng) / (int64_t)(1 + rng_below(&rng, 1000)), back = 0;
        const char *text = print_us(us, i % 2);
        int code = parse_us(text, &back);
        cr_assert_eq(code, 0, "%s: %d", text, code);
        cr_assert_eq(us, back, "%s", text);
    }
}

Test(value_time, other_forms_of_timestamps) {
    static const struct {
        const char *text;
        int64_t us;
        bool zone;
    } cases[] = {
        {"2024-01-01", 1704067200000000, false},
        {" 2024-01-01 ", 1704067200000000, false},
        {"2024-01-01 00:00", 1704067200000000, false},
        {"2024-01-01T12:00:00", 1704110400000000, false},
        {"2024-01-01t12:00:00.5z", 1704110400500000, true},
        {"2024-01-01 12:00:00.1234560000", 1704110400123456, false},
        {"2024-01-01 12:00:00.123456+05:30", 1704090600123456, true},
        {"2024-01-01 12:00:00+0530", 1704090600000000, true},
        {"2024-01-01 12:00:00 +05:30", 1704090600000000, true},
        {"2024-01-01 12:00:00-05", 1704128400000000, true},
        {"2024-01-01 12:00:00-04:56:02", 1704128162000000, true},
        {"2024-01-01 12:00:00 UTC", 1704110400000000, true},
        {"2024-01-01 24:00:00", 1704153600000000, false},
        {"2023-12-31 23:59:60", 1704067200000000, false},
        {"2024-01-01 00:30:00+01", 1704065400000000, true},
        {"0001-01-01 00:00:00+15:59", -62135654340000000, true},
        {"0001-12-31 23:59:59.999999 BC", -62135596800000001, false},
        {"0001-12-31 23:59:59.999999+00 BC", -62135596800000001, true},
        {"0001-12-31 bc", -62135683200000000, false},
        {"002024-01-01", 1704067200000000, false},
        {"infinity", INT64_MAX, true},
        {"-infinity", INT64_MIN, true},
        {" Infinity", INT64_MAX, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct value_moment moment;
        int64_t us = 0;
        cr_assert_eq(READ(value_parse_moment, cases[i].text, &moment), 0, "%s", cases[i].text);
        cr_assert_eq(moment.has_zone, cases[i].zone, "%s", cases[i].text);
        cr_assert_eq(value_moment_us(&moment, &us), 0);
        cr_assert_eq(us, cases[i].us, "%s: %lld", cases[i].text, (long long)us);
    }
}

Test(value_time, what_is_no_timestamp) {
    static const char *const texts[] = {"",
                                        " ",
                                        "x",
                                        "2024",
                                        "2024-01",
                                        "2024-01-",
                                        "2024-1-1",
                                        "24-01-01",
                                        "2024/01/01",
                                        "01-01-2024",
                                        "2024-13-01",
                                        "2024-00-01",
                                        "2024-01-00",
                                        "2024-01-32",
                                        "2023-02-29",
                                        "1900-02-29",
                                        "2024-02-30",
                                        "2024-04-31",
                                        "0000-01-01",
                                        "0000-01-01 BC",
                                        "0002-02-29 BC",
                                        "12345678-01-01",
                                        "-2024-01-01",
                                        "2024-01-01 ",
                                        "2024-01-01T",
                                        "2024-01-01 1",
                                        "2024-01-01 12",
                                        "2024-01-01 12:",
                                        "2024-01-01 12:0",
                                        "2024-01-01 1:00",
                                        "2024-01-01 25:00",
                                        "2024-01-01 24:00:01",
                                        "2024-01-01 12:60",
                                        "2024-01-01 12:00:61",
                                        "2024-01-01 12:00:",
                                        "2024-01-01 12:00:00.",
                                        "2024-01-01 12:00:00,5",
                                        "2024-01-01 12:00:00+",
                                        "2024-01-01 12:00:00+5",
                                        "2024-01-01 12:00:00+16",
                                        "2024-01-01 12:00:00+05:",
                                        "2024-01-01 12:00:00+05:60",
                                        "2024-01-01 12:00:00 CET",
                                        "2024-01-01 12:00:00Zx",
                                        "2024-01-01 12:00:00 BCE",
                                        "2024-01-01BC x",
                                        "2024-01-01BC",
                                        "2024-01-01 12:00ZBC",
                                        "2024-01-01 AD",
                                        "2024-01-01 12:00:00 PM",
                                        "--infinity",
                                        "infinity BC",
                                        "infini",
                                        "now",
                                        "Mon Jan 01 12:00:00 2024",
                                        "01/02/2024 12:00:00"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct value_moment moment;
        int code = READ(value_parse_moment, texts[i], &moment);
        if (strcmp(texts[i], "2024-01-01 ") == 0)
            cr_assert_eq(code, 0, "spaces around it are allowed");
        else
            cr_assert_eq(code, QURING_ETYPE, "'%s': %d", texts[i], code);
    }
    struct value_moment moment;
    cr_assert_eq(READ(value_parse_moment, "2024-01-01 12:00:00.1234567", &moment), QURING_ELOSSY);
}

Test(value_time, moments_that_do_not_fit) {
    struct value_moment moment;
    int64_t us = 1;
    int32_t days = 1;
    cr_assert_eq(READ(value_parse_moment, "294247-01-10 04:00:54.775807", &moment), 0);
    cr_assert_eq(value_moment_us(&moment, &us), QURING_ERANGE, "that would be infinity");
    cr_assert_eq(value_moment_days(&moment, &days), QURING_ELOSSY);
    cr_assert_eq(READ(value_parse_moment, "9999999-12-31", &moment), 0);
    cr_assert_eq(value_moment_us(&moment, &us), QURING_ERANGE);
    cr_assert_eq(value_moment_days(&moment, &days), QURING_ERANGE);
    cr_assert_eq(READ(value_parse_moment, "9999999-12-31 BC", &moment), 0);
    cr_assert_eq(value_moment_us(&moment, &us), QURING_ERANGE);
    cr_assert_eq(value_moment_days(&moment, &days), QURING_ERANGE);
    cr_assert(us == 1 && days == 1);
    cr_assert_eq(READ(value_parse_moment, "5874897-12-31", &moment), 0);
    cr_assert_eq(value_moment_days(&moment, &days), 0);
    cr_assert_eq(days, 2145042905);
}
