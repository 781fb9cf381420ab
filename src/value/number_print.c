/* SPDX-License-Identifier: MIT */
/*
 * Integers and floats to text. number_parse.c asks whether a text is a float's own; nothing here reads by its rules.
 *
 * A float's text is the shortest decimal that reads back as the same float, closest to it among those: digit for digit
 * what PostgreSQL prints (its Ryu, src/common/d2s.c), found by printing with more and more digits.
 *
 * Three things are not obvious. The search begins at DBL_DIG digits, which every normal float keeps, so a shorter
 * decimal shows by its zeros; subnormals keep fewer, and begin at one digit. At powers of two the gap below is half the
 * gap above, so the decimal above may read back when the nearest does not. And PostgreSQL takes no decimal that lies
 * exactly between two floats, though strtod() rounds it to the even one.
 */
#include "value/convert.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The digits come out last first. The magnitude is unsigned because INT64_MIN has no positive counterpart. */
size_t value_print_integer(char *out, int64_t value) {
    char digits[20];
    size_t count = 0, size = 0;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        digits[count++] = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        out[size++] = '-';
    while (count)
        out[size++] = digits[--count];
    return size;
}

/* d.ddd… × 10^exponent */
struct decimal {
    char digits[20];
    int count;
    int exponent;
};

struct float_kind {
    int digits_min;         /* any decimal of this many digits is kept by the float */
    int digits_max;         /* any float is kept by a decimal of this many digits */
    int fixed_exponent_max; /* PostgreSQL writes 1e+15 from here on */
    double normal_min;
    double gap_exponent; /* from here on a float may have a decimal neighbour exactly half way */
};

static const struct float_kind float8_kind = {DBL_DIG, 17, 15, DBL_MIN, 0x1p53};
static const struct float_kind float4_kind = {FLT_DIG, 9, 6, FLT_MIN, 0x1p24};

/* Reads "d.ddde±xx", whatever the locale's decimal point is. */
static void decimal_print(double value, int count, struct decimal *d) {
    char text[64];
    snprintf(text, sizeof text, "%.*e", count - 1, value);
    const char *at = text;
    d->count = 0;
    for (; *at && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9' && d->count < count)
            d->digits[d->count++] = *at;
    d->exponent = *at ? atoi(at + 1) : 0;
}

static void decimal_text(const struct decimal *d, char text[40]) {
    snprintf(text, 40, "%.*se%d", d->count, d->digits, d->exponent - d->count + 1);
}

/*
 * A float4's text must read back through strtof(), as PostgreSQL's float4in() reads it: strtod() would round it twice.
 */
static bool decimal_reads_as(const struct decimal *d, double value, bool single) {
    char text[40];
    decimal_text(d, text);
    return single ? (double)strtof(text, NULL) == value : strtod(text, NULL) == value;
}

/* One more in the last digit. */
static void decimal_next(struct decimal *d) {
    int i = d->count - 1;
    for (; i >= 0 && d->digits[i] == '9'; i--)
        d->digits[i] = '0';
    if (i >= 0) {
        d->digits[i]++;
        return;
    }
    d->digits[0] = '1';
    d->exponent++;
}

/*
 * A decimal half way between the float and a neighbour reads back by strtod()'s rule for ties alone. A long double
 * holds the middle exactly, for it has 11 bits more. No middle above 2^140 is met: a decimal d * 10^p of up to 17
 * digits can equal one of 54 bits only if 5^p divides it, so p is 23 at most, and the decimal below 10^40.
 */
static bool decimal_is_halfway(const struct decimal *d, double value, bool single, const struct float_kind *kind) {
    if (value < kind->gap_exponent || value > 0x1p140)
        return false;
    char digits[96], mine[96];
    snprintf(mine, sizeof mine, "%.*s", d->count, d->digits);
    for (int side = 0; side < 2; side++) {
        double toward = side ? (double)INFINITY : 0;
        double neighbour = single ? (double)nextafterf((float)value, (float)toward) : nextafter(value, toward);
        long double middle = ((long double)value + (long double)neighbour) / 2;
        /* All of its digits, exact in glibc: integers of up to 43 digits. */
        int length = snprintf(digits, sizeof digits, "%.0Lf", middle);
        if (length - 1 != d->exponent)
            continue;
        bool same = true;
        for (int i = 0; i < length; i++)
            same &= digits[i] == (i < d->count ? mine[i] : '0');
        if (same && d->count <= length)
            return true;
    }
    return false;
}

static bool decimal_found(const struct decimal *d, double value, bool single, const struct float_kind *kind) {
    return decimal_reads_as(d, value, single) && !decimal_is_halfway(d, value, single, kind);
}

/* `value` is positive and finite. */
static void decimal_shortest(double value, bool single, const struct float_kind *kind, struct decimal *d) {
    int unused;
    bool power_of_two = frexp(value, &unused) == 0.5;
    int count = value < kind->normal_min ? 1 : kind->digits_min;
    for (;; count++) {
        decimal_print(value, count, d);
        if (count >= kind->digits_max || decimal_found(d, value, single, kind))
            break;
        if (power_of_two) {
            decimal_next(d);
            if (decimal_found(d, value, single, kind))
                break;
        }
    }
    while (d->count > 1 && d->digits[d->count - 1] == '0')
        d->count--;
}

/* PostgreSQL's choice between 0.0001 and 1e-05, and between 100000 and 1e+06 (a float4's) or 1e+15 (a float8's). */
static size_t decimal_lay_out(char *out, const struct decimal *d, const struct float_kind *kind) {
    char *at = out;
    if (d->exponent < -4 || d->exponent >= kind->fixed_exponent_max) {
        *at++ = d->digits[0];
        if (d->count > 1)
            *at++ = '.';
        for (int i = 1; i < d->count; i++)
            *at++ = d->digits[i];
        at += sprintf(at, "e%+03d", d->exponent);
        return (size_t)(at - out);
    }
    if (d->exponent < 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = -1; i > d->exponent; i--)
            *at++ = '0';
    }
    for (int i = 0; i < d->count || i <= d->exponent; i++) {
        if (i > 0 && i == d->exponent + 1)
            *at++ = '.';
        *at++ = i < d->count ? d->digits[i] : '0';
    }
    return (size_t)(at - out);
}

static size_t number_print_float(char *out, double value, bool single) {
    const struct float_kind *kind = single ? &float4_kind : &float8_kind;
    char *at = out;
    if (isnan(value))
        return (size_t)(stpcpy(out, "NaN") - out);
    if (signbit(value)) {
        *at++ = '-';
        value = -value;
    }
    if (isinf(value)) {
        at = stpcpy(at, "Infinity");
    } else if (value < (single ? 1e6 : 1e15) && value == (double)(int64_t)value) {
        /* Floats are less than 1 apart here, so each digit of an integer counts, and none takes an exponent. */
        at += value_print_integer(at, (int64_t)value);
    } else {
        struct decimal d;
        decimal_shortest(value, single, kind, &d);
        at += decimal_lay_out(at, &d, kind);
    }
    return (size_t)(at - out);
}

size_t value_print_float8(char *out, double value) {
    return number_print_float(out, value, false);
}

size_t value_print_float4(char *out, float value) {
    return number_print_float(out, (double)value, true);
}
