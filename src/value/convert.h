/* SPDX-License-Identifier: MIT */
/*
 * Conversions between C values and texts, which parameters and the accessors of results share. None depends on the
 * process's locale: a decimal comma must not reach a server, nor a Turkish i a keyword.
 *
 *   number_print.c  integers, and floats as shortest text    number_parse.c  text to integer, float, bool
 *   time.c          dates and times, both ways               bytes.c         bytea and uuid, both ways
 */
#ifndef QURING_VALUE_CONVERT_H
#define QURING_VALUE_CONVERT_H

#include "base/buf.h"
#include "quring/quring.h"

enum {
    VALUE_PRINT_BYTES = 64, /* room for any value_print_*() but bytea */
    VALUE_UUID_TEXT_BYTES = 36,
    VALUE_EPOCH_DAYS = 10957 /* from 1970-01-01 to PostgreSQL's 2000-01-01 */
};

#define VALUE_DAY_US INT64_C(86400000000)
#define VALUE_EPOCH_US (VALUE_EPOCH_DAYS * VALUE_DAY_US)

/*
 * Each writes a value's text, exactly as PostgreSQL prints it, and returns its length. No NUL follows. `out` has room
 * for VALUE_PRINT_BYTES, but for value_print_hex(). A float's text is the shortest that reads back as the same float.
 */
size_t value_print_integer(char *out, int64_t value);
size_t value_print_float8(char *out, double value);
size_t value_print_float4(char *out, float value);
size_t value_print_uuid(char *out, const uint8_t uuid[16]);
size_t value_print_hex(char *out, const uint8_t *bytes, size_t size); /* \x and 2 * size characters */
size_t value_print_date(char *out, int64_t days_since_1970);
/* `day` since 1970 and the microseconds within it; `zone`: with +00 behind. */
size_t value_print_timestamp(char *out, int64_t day, int64_t day_us, bool zone);
size_t value_print_infinity(char *out, bool negative);

/* Splits microseconds since the day `epoch_days` after 1970-01-01 into days since 1970 and the rest of the day. */
void value_split_us(int64_t us, int64_t epoch_days, int64_t *day, int64_t *day_us);

/*
 * Each reads a whole text (spaces around it allowed), and returns 0 or, with the value left alone: ETYPE for what is no
 * such text, ERANGE for what does not fit, ELOSSY for what would lose digits.
 */
int value_parse_integer(const char *text, size_t size, int64_t *value);
/* ELOSSY unless the float, printed with as many digits as the text has, is the text's number again. */
int value_parse_decimal(const char *text, size_t size, double *value);
/* The nearest float: PostgreSQL's text of a float stands for no other, so no digit of it is lost. */
int value_parse_float8(const char *text, size_t size, double *value);
int value_parse_float4(const char *text, size_t size, double *value);
int value_parse_bool(const char *text, size_t size, bool *value);
int value_parse_uuid(const char *text, size_t size, uint8_t uuid[16]);
/* bytea's hex and escape formats; `out` has room for `size` bytes. */
int value_parse_bytes(const char *text, size_t size, uint8_t *out, size_t *out_size);

enum value_moment_kind { MOMENT_FINITE, MOMENT_INFINITE, MOMENT_MINUS_INFINITE };

struct value_moment {
    enum value_moment_kind kind;
    bool has_zone;
    int64_t day;    /* since 1970, in UTC when it has a zone */
    int64_t day_us; /* 0 … VALUE_DAY_US - 1 */
};

/* YYYY-MM-DD[( |T)HH:MM[:SS[.ffffff]][ ][zone]][ BC], infinity, -infinity. */
int value_parse_moment(const char *text, size_t size, struct value_moment *moment);

/* Microseconds since 1970, days since 1970: ERANGE or ELOSSY where these cannot hold the moment. */
int value_moment_us(const struct value_moment *moment, int64_t *us);
int value_moment_days(const struct value_moment *moment, int32_t *days);

/* Narrows a text to what stands between its white space, which is isspace()'s of the C locale. */
static inline void value_trim(const char **text, size_t *size) {
    while (*size && (**text == ' ' || (**text >= '\t' && **text <= '\r')))
        (*text)++, (*size)--;
    while (*size && ((*text)[*size - 1] == ' ' || ((*text)[*size - 1] >= '\t' && (*text)[*size - 1] <= '\r')))
        (*size)--;
}

/* Compares without regard to case. `word` is in lower case letters; tolower() would follow the locale. */
static inline bool value_is_word(const char *text, size_t size, const char *word) {
    for (size_t i = 0; i < size; i++)
        if (!word[i] || (text[i] | 0x20) != word[i])
            return false;
    return word[size] == 0;
}

#endif
