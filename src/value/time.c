/* SPDX-License-Identifier: MIT */
/*
 * Dates and times in ISO style, as PostgreSQL prints and reads them: the Gregorian calendar without beginning or end,
 * years of four digits or more, BC behind all else (1 BC is the year 0), a fraction without trailing zeros. Days and
 * civil dates: Howard Hinnant, "chrono-compatible low-level date algorithms". Years begin in March there, so that a
 * leap day is the last day of its year, and the calendar repeats after an era of 400 years.
 */
#include "value/convert.h"

#include <stdio.h>

enum { DAYS_PER_ERA = 146097, DAYS_TO_1970 = 719468 /* from 0000-03-01 */ };

#define SECOND_US INT64_C(1000000)

/* C's division rounds towards zero, but the day before 1970 is -1, and the year before 1 BC is in the era before. */
static int64_t time_floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static bool time_in_day(int64_t day_us) {
    return day_us >= 0 && day_us < VALUE_DAY_US;
}

/* The days of every type, and of all years of seven digits, which are the most that a text is read with. */
static bool time_in_calendar(int64_t days) {
    return days > 2 * (int64_t)INT32_MIN && days < 2 * (int64_t)INT32_MAX;
}

/* From March on, every five months have 153 days: (153 * month + 2) / 5 is the number of days before a month. */
static int64_t time_days_of_civil(int64_t year, int month, int day) {
    int64_t y = year - (month <= 2);
    int64_t era = time_floor_divide(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

/* Without its leap days (one in 1460 days, none in the 100th year, one in the 400th), an era has 365 days a year. */
static void time_civil_of_days(int64_t days, int64_t *year, int *month, int *day) {
    int64_t z = days + DAYS_TO_1970;
    int64_t era = time_floor_divide(z, DAYS_PER_ERA);
    int64_t doe = z - era * DAYS_PER_ERA;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t shifted = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * shifted + 2) / 5 + 1);
    *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

static int time_days_in_month(int64_t year, int month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

void value_split_us(int64_t us, int64_t epoch_days, int64_t *day, int64_t *day_us) {
    int64_t rest = us % VALUE_DAY_US;
    *day = time_floor_divide(us, VALUE_DAY_US) + epoch_days;
    *day_us = rest < 0 ? rest + VALUE_DAY_US : rest;
}

/* ---- To text ----------------------------------------------------------------------------------------------------- */

static char *time_print_padded(char *at, int64_t value, int digits) {
    char text[24];
    size_t length = value_print_integer(text, value);
    for (int i = (int)length; i < digits; i++)
        *at++ = '0';
    memcpy(at, text, length);
    return at + length;
}

/* Returns true when " BC" has to follow, which PostgreSQL prints behind the time and the zone. */
static bool time_print_civil(char **at, int64_t days) {
    int64_t year;
    int month, day;
    time_civil_of_days(days, &year, &month, &day);
    *at = time_print_padded(*at, year > 0 ? year : 1 - year, 4);
    *(*at)++ = '-';
    *at = time_print_padded(*at, month, 2);
    *(*at)++ = '-';
    *at = time_print_padded(*at, day, 2);
    return year <= 0;
}

size_t value_print_infinity(char *out, bool negative) {
    return (size_t)(stpcpy(out, negative ? "-infinity" : "infinity") - out);
}

size_t value_print_date(char *out, int64_t days_since_1970) {
    PRE(time_in_calendar(days_since_1970));
    char *at = out;
    if (time_print_civil(&at, days_since_1970))
        at = stpcpy(at, " BC");
    return (size_t)(at - out);
}

size_t value_print_timestamp(char *out, int64_t day, int64_t day_us, bool zone) {
    PRE(time_in_calendar(day));
    PRE(time_in_day(day_us));
    char *at = out;
    bool before_christ = time_print_civil(&at, day);
    int64_t seconds = day_us / SECOND_US, fraction = day_us % SECOND_US;
    *at++ = ' ';
    at = time_print_padded(at, seconds / 3600, 2);
    *at++ = ':';
    at = time_print_padded(at, seconds / 60 % 60, 2);
    *at++ = ':';
    at = time_print_padded(at, seconds % 60, 2);
    if (fraction) {
        *at++ = '.';
        at = time_print_padded(at, fraction, 6);
        while (at[-1] == '0')
            at--;
    }
    if (zone)
        at = stpcpy(at, "+00");
    if (before_christ)
        at = stpcpy(at, " BC");
    return (size_t)(at - out);
}

/* ---- From text --------------------------------------------------------------------------------------------------- */

struct reader {
    const char *at;
    const char *end;
    bool wrong; /* the text is no date or time */
    bool lossy; /* it has more digits than microseconds */
};

static bool time_read_char(struct reader *r, char c) {
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* A number of `min` to `max` digits. */
static int64_t time_read_digits(struct reader *r, int min, int max) {
    int64_t value = 0;
    int count = 0;
    for (; count < max && r->at < r->end && *r->at >= '0' && *r->at <= '9'; count++)
        value = value * 10 + (*r->at++ - '0');
    r->wrong |= count < min;
    return value;
}

/*
 * PostgreSQL rounds to microseconds; here digits behind them are read, and make the text lossy unless they are zeros.
 */
static int64_t time_read_fraction(struct reader *r) {
    int64_t us = 0, unit = SECOND_US / 10;
    const char *start = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        us += (*r->at - '0') * unit;
        r->lossy |= unit == 0 && *r->at != '0';
        unit /= 10;
    }
    r->wrong |= r->at == start;
    return us;
}

/* A year has four digits at least, and seven at most: 5874897 is the last that PostgreSQL's date holds. */
static int64_t time_read_date(struct reader *r, int64_t *year, int *month) {
    *year = time_read_digits(r, 4, 7);
    r->wrong |= !time_read_char(r, '-');
    *month = (int)time_read_digits(r, 2, 2);
    r->wrong |= !time_read_char(r, '-');
    return time_read_digits(r, 2, 2);
}

/* HH:MM[:SS[.ffffff]] in microseconds. As in PostgreSQL, 24:00 is the next day, and a leap second :60 the next minute. */
static int64_t time_read_time(struct reader *r) {
    int64_t hour = time_read_digits(r, 2, 2), second = 0, fraction = 0;
    r->wrong |= !time_read_char(r, ':');
    int64_t minute = time_read_digits(r, 2, 2);
    if (time_read_char(r, ':')) {
        second = time_read_digits(r, 2, 2);
        if (time_read_char(r, '.'))
            fraction = time_read_fraction(r);
    }
    int64_t us = ((hour * 60 + minute) * 60 + second) * SECOND_US + fraction;
    r->wrong |= minute > 59 || second > 60 || us > VALUE_DAY_US || hour > 24;
    return us;
}

/*
 * Z, UTC, ±HH, ±HHMM, ±HH:MM, ±HH:MM:SS: seconds east of UTC. False: there is no zone. A server prints seconds for
 * dates before standard time, when cities kept the time of their own longitude; 15 hours are PostgreSQL's limit
 * (MAX_TZDISP_HOUR).
 */
static bool time_read_zone(struct reader *r, int64_t *east) {
    *east = 0;
    if (time_read_char(r, 'Z') || time_read_char(r, 'z'))
        return true;
    if (r->end - r->at >= 3 && value_is_word(r->at, 3, "utc")) {
        r->at += 3;
        return true;
    }
    bool west = r->at < r->end && *r->at == '-';
    if (!time_read_char(r, '+') && !time_read_char(r, '-'))
        return false;
    int64_t hour = time_read_digits(r, 2, 2), minute = 0, second = 0;
    if (time_read_char(r, ':')) {
        minute = time_read_digits(r, 2, 2);
        if (time_read_char(r, ':'))
            second = time_read_digits(r, 2, 2);
    } else if (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        minute = time_read_digits(r, 2, 2);
    }
    r->wrong |= hour > 15 || minute > 59 || second > 59;
    *east = (hour * 60 + minute) * 60 + second;
    if (west)
        *east = -*east;
    return true;
}

static bool time_read_bc(struct reader *r) {
    const char *start = r->at;
    while (time_read_char(r, ' '))
        continue;
    if (r->at > start && r->end - r->at == 2 && value_is_word(r->at, 2, "bc")) {
        r->at += 2;
        return true;
    }
    r->at = start;
    return false;
}

/* An infinity has a zone, because it is the same moment in all of them: a timestamptz's text must convert as one. */
static int time_parse_infinity(const char *text, size_t size, struct value_moment *moment) {
    bool signed_text = size && (*text == '-' || *text == '+');
    if (!value_is_word(text + signed_text, size - signed_text, "infinity"))
        return QURING_ETYPE;
    *moment = (struct value_moment){.kind = signed_text && *text == '-' ? MOMENT_MINUS_INFINITE : MOMENT_INFINITE,
                                    .has_zone = true};
    return 0;
}

int value_parse_moment(const char *text, size_t size, struct value_moment *moment) {
    value_trim(&text, &size);
    if (time_parse_infinity(text, size, moment) == 0)
        return 0;
    struct reader r = {.at = text, .end = text + size};
    int64_t year, us = 0, east = 0;
    int month;
    int64_t day = time_read_date(&r, &year, &month);
    struct value_moment result = {.kind = MOMENT_FINITE};
    if (!r.wrong && (r.end - r.at >= 6) &&
        (*r.at == 'T' || *r.at == 't' || (*r.at == ' ' && r.at[1] >= '0' && r.at[1] <= '9'))) {
        r.at++;
        us = time_read_time(&r);
        const char *before = r.at;
        (void)time_read_char(&r, ' ');
        result.has_zone = time_read_zone(&r, &east);
        if (!result.has_zone)
            r.at = before;
    }
    bool before_christ = time_read_bc(&r);
    if (r.wrong || r.at != r.end || year == 0 || month < 1 || month > 12 || day < 1)
        return QURING_ETYPE;
    year = before_christ ? 1 - year : year;
    if (day > time_days_in_month(year, month))
        return QURING_ETYPE;
    if (r.lossy)
        return QURING_ELOSSY;
    value_split_us(us - east * SECOND_US, time_days_of_civil(year, month, (int)day), &result.day, &result.day_us);
    *moment = result;
    return 0;
}

/* 128 bits, since a date of year 5874897 has more microseconds than an int64_t; the extremes are the infinities. */
int value_moment_us(const struct value_moment *moment, int64_t *us) {
    PRE(moment->kind != MOMENT_FINITE || time_in_day(moment->day_us));
    if (moment->kind != MOMENT_FINITE) {
        *us = moment->kind == MOMENT_INFINITE ? QURING_INFINITY : QURING_MINUS_INFINITY;
        return 0;
    }
    __extension__ __int128 wide = (__int128)moment->day * VALUE_DAY_US + moment->day_us;
    if (wide >= QURING_INFINITY || wide <= QURING_MINUS_INFINITY)
        return QURING_ERANGE;
    *us = (int64_t)wide;
    return 0;
}

int value_moment_days(const struct value_moment *moment, int32_t *days) {
    PRE(moment->kind != MOMENT_FINITE || time_in_day(moment->day_us));
    if (moment->kind != MOMENT_FINITE) {
        *days = moment->kind == MOMENT_INFINITE ? INT32_MAX : INT32_MIN;
        return 0;
    }
    if (moment->day >= INT32_MAX || moment->day <= INT32_MIN)
        return QURING_ERANGE;
    if (moment->day_us != 0)
        return QURING_ELOSSY;
    *days = (int32_t)moment->day;
    return 0;
}
