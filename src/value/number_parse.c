/* SPDX-License-Identifier: MIT */
/* Decimal text (of numeric, of text columns, of a statement's first execution) to numbers, and words to bools. */
#include "value/convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NUMBER_DIGITS_MAX = 800, /* a float8's exact decimal has at most 767 digits: with more, digits are lost for sure */
    NUMBER_DIGITS_SAFE = 15, /* DBL_DIG: a float8 keeps any decimal of 15 digits */
    NUMBER_EXPONENT_MAX = 1000000000 /* no float reaches this far, and sums of it and a text's length do not overflow */
};

/* 0.DDD… × 10^point: the digits lie between first and end, with a decimal point perhaps among them. */
struct number {
    enum { NUMBER_FINITE, NUMBER_INFINITE, NUMBER_NAN } kind;
    bool negative;
    size_t count; /* of digits from the first to the last that is not 0; none: zero */
    int64_t point;
    const char *first;
    const char *end;
};

static bool number_is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* [eE][+-]ddd up to the end of the text. */
static bool number_exponent(const char *at, const char *end, int64_t *exponent) {
    *exponent = 0;
    if (at == end)
        return true;
    if ((*at++ | 0x20) != 'e')
        return false;
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (at == end)
        return false;
    for (; at < end; at++) {
        if (!number_is_digit(*at))
            return false;
        if (*exponent < NUMBER_EXPONENT_MAX)
            *exponent = *exponent * 10 + (*at - '0');
    }
    if (negative)
        *exponent = -*exponent;
    return true;
}

/*
 * Leading and trailing zeros are not counted, so that 1.50 and 0015e-1 are the same two digits. `point` moves right
 * with each digit before the decimal point, and left with each zero behind it that no other digit precedes.
 */
static bool number_digits(struct number *n, const char *at, const char *end) {
    size_t seen = 0, since_first = 0;
    bool fraction = false;
    for (; at < end; at++) {
        if (*at == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!number_is_digit(*at))
            break;
        seen++;
        if (*at != '0' && !n->first)
            n->first = at;
        if (n->first)
            since_first++;
        if (*at != '0') {
            n->count = since_first;
            n->end = at + 1;
        }
        if (!fraction)
            n->point += n->first != NULL;
        else
            n->point -= n->first == NULL;
    }
    int64_t exponent;
    if (seen == 0 || !number_exponent(at, end, &exponent))
        return false;
    n->point += exponent;
    return true;
}

/* Spaces, a sign, then a decimal or one of float8in()'s words. False: the text is no number. */
static bool number_parse(const char *text, size_t size, struct number *n) {
    *n = (struct number){.kind = NUMBER_FINITE};
    value_trim(&text, &size);
    if (size && (*text == '-' || *text == '+')) {
        n->negative = *text == '-';
        text++;
        size--;
    }
    if (value_is_word(text, size, "infinity") || value_is_word(text, size, "inf")) {
        n->kind = NUMBER_INFINITE;
        return true;
    }
    if (value_is_word(text, size, "nan")) {
        n->kind = NUMBER_NAN;
        return true;
    }
    return number_digits(n, text, text + size);
}

int value_parse_integer(const char *text, size_t size, int64_t *value) {
    PRE(text || size == 0);
    struct number n;
    if (!number_parse(text, size, &n))
        return QURING_ETYPE;
    if (n.kind != NUMBER_FINITE || (n.count && n.point > 19)) /* 2^63 has 19 digits */
        return QURING_ERANGE;
    if ((int64_t)n.count > n.point && n.count) /* a digit that is not 0 stands behind the decimal point */
        return QURING_ELOSSY;
    /* At most 19 digits are left, and any number of 19 digits fits an unsigned 64-bit integer. */
    uint64_t sum = 0;
    int64_t digits = 0;
    for (const char *at = n.first; n.count && at < n.end; at++)
        if (*at != '.') {
            sum = sum * 10 + (uint64_t)(*at - '0');
            digits++;
        }
    for (; n.count && digits < n.point; digits++)
        sum *= 10;
    if (sum > (uint64_t)INT64_MAX + n.negative) /* INT64_MIN's magnitude is one more than INT64_MAX */
        return QURING_ERANGE;
    *value = n.negative ? (int64_t)-sum : (int64_t)sum;
    return 0;
}

/* Copies the digits and gives "DDDe-5": no decimal point, so that strtod() reads it the same in every locale. */
static void number_text(const struct number *n, char *out, size_t room) {
    size_t size = 0;
    for (const char *at = n->first; at < n->end; at++)
        if (*at != '.')
            out[size++] = *at;
    snprintf(out + size, room - size, "e%lld", (long long)(n->point - (int64_t)n->count));
}

/* Compares the number in a text, printed as d.ddde±xx, with one whose digits are given without a decimal point. */
static bool number_is(const char *text, const struct number *n, const char *digits) {
    size_t i = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++)
        if (number_is_digit(*at) && (i >= n->count || *at != digits[i++]))
            return false;
    return *at && i == n->count && atoi(at + 1) == n->point - 1;
}

/*
 * Printed with as many digits as the text has, the float gives the text's number again; or the text is the float's
 * shortest, which at powers of two need not be the nearest of its length.
 */
static bool number_survives(const struct number *n, const char *digits, double value) {
    char text[NUMBER_DIGITS_MAX + 32];
    snprintf(text, sizeof text, "%.*e", (int)n->count - 1, value);
    if (number_is(text, n, digits))
        return true;
    struct number shortest;
    size_t size = value_print_float8(text, value);
    if (!number_parse(text, size, &shortest) || shortest.point != n->point || shortest.count != n->count)
        return false;
    size_t i = 0;
    for (const char *at = shortest.first; at < shortest.end; at++)
        if (*at != '.' && *at != digits[i++])
            return false;
    return true;
}

/*
 * A number too long to keep is cut where no float's decimal nor the middle between two has digits any more. The last
 * digit, a 1, stands for what was cut, so that a number just above such a middle is still rounded up.
 */
static void number_cut(const struct number *n, char *out, size_t room) {
    size_t size = 0;
    for (const char *at = n->first; size < NUMBER_DIGITS_MAX - 1; at++)
        if (*at != '.')
            out[size++] = *at;
    out[size++] = '1';
    snprintf(out + size, room - size, "e%lld", (long long)(n->point - (int64_t)size));
}

/*
 * strtod() and strtof() round correctly in glibc, so the digits are handed to them rather than multiplied here. A
 * float4 is read by strtof(): rounding to a float8 first and then to a float4 could give a neighbour.
 */
static int number_to_float(const char *text, size_t size, bool single, bool exact, double *value) {
    struct number n;
    if (!number_parse(text, size, &n))
        return QURING_ETYPE;
    double result = 0;
    if (n.kind != NUMBER_FINITE) {
        result = n.kind == NUMBER_NAN ? (double)NAN : (double)INFINITY;
    } else if (n.count > 0) {
        char digits[NUMBER_DIGITS_MAX + 32];
        bool cut = n.count > NUMBER_DIGITS_MAX;
        if (cut)
            number_cut(&n, digits, sizeof digits);
        else
            number_text(&n, digits, sizeof digits);
        result = single ? (double)strtof(digits, NULL) : strtod(digits, NULL);
        /* Zero is not among the numbers that come here, so either is out of range, as it is to PostgreSQL. */
        if (isinf(result) || result == 0)
            return QURING_ERANGE;
        /* DBL_DIG holds within the range of normal floats; a number near its ends is printed and compared. */
        bool safe = n.count <= NUMBER_DIGITS_SAFE && n.point > -290 && n.point < 290;
        if (exact && !safe && (cut || !number_survives(&n, digits, result)))
            return QURING_ELOSSY;
    }
    *value = n.negative ? -result : result;
    return 0;
}

int value_parse_decimal(const char *text, size_t size, double *value) {
    return number_to_float(text, size, false, true, value);
}

int value_parse_float8(const char *text, size_t size, double *value) {
    return number_to_float(text, size, false, false, value);
}

int value_parse_float4(const char *text, size_t size, double *value) {
    return number_to_float(text, size, true, false, value);
}

/*
 * boolin()'s rule: 1, 0, or any beginning of true, false, yes, no, on, off, in any case. "o" alone could be on or off.
 */
int value_parse_bool(const char *text, size_t size, bool *value) {
    static const struct {
        const char *word;
        uint8_t size_min;
        bool value;
    } words[] = {
        {"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false}, {"on", 2, true}, {"off", 2, false},
    };
    value_trim(&text, &size);
    if (size == 1 && (*text == '0' || *text == '1')) {
        *value = *text == '1';
        return 0;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word), at = 0;
        while (at < size && at < length && (text[at] | 0x20) == words[i].word[at])
            at++;
        if (at == size && at >= words[i].size_min) {
            *value = words[i].value;
            return 0;
        }
    }
    return QURING_ETYPE;
}
