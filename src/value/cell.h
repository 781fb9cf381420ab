/* SPDX-License-Identifier: MIT */
/*
 * One value as a database gave it, and what it converts to. PostgreSQL sends a value as its text on a statement's first
 * execution and in binary later, so both must convert alike: what a conversion allows depends on the type alone.
 *
 *   from              to integer    real        bool   moment                     uuid   bytes
 *   bool              0, 1          0, 1        yes
 *   int2 int4 int8    yes           if exact    0, 1
 *   float4 float8     if whole      yes
 *   numeric           if whole      see below
 *   date                                               midnight
 *   timestamp                                          yes
 *   timestamptz                                        yes, with a zone
 *   uuid                                                                          yes
 *   bytea                                                                         16     yes
 *   text other        as numeric                PG's   if its text says so        PG's   its text
 *   json jsonb        as numeric                PG's                                     its text
 *
 * A decimal converts to a real when the float, printed with as many digits, gives it back: 0.1 does,
 * 0.1234567890123456789 doesn't. Any type has a text.
 *
 * Neither the length nor the contents are trusted: a malformed value is ETYPE.
 */
#ifndef QURING_VALUE_CELL_H
#define QURING_VALUE_CELL_H

#include "value/convert.h"

struct value_cell {
    const uint8_t *bytes;
    size_t size;
    quring_type type;
    bool binary; /* else its text */
};

/*
 * Each returns 0 or, with the value left alone: ETYPE for a value that is malformed or of a type that is not converted,
 * ERANGE for what does not fit, ELOSSY for what would lose digits.
 */
int value_cell_integer(const struct value_cell *cell, int64_t *value);
int value_cell_real(const struct value_cell *cell, double *value);
int value_cell_bool(const struct value_cell *cell, bool *value);
int value_cell_moment(const struct value_cell *cell, struct value_moment *moment);
int value_cell_uuid(const struct value_cell *cell, uint8_t uuid[16]);

/* The bytes of a value that is a text already: JSONB without its version. False for any other. */
bool value_cell_text(const struct value_cell *cell, const char **text, size_t *size);

/* The text of a binary value of fixed length, without a NUL; 0 for any other or a malformed one. */
size_t value_cell_print(const struct value_cell *cell, char out[static VALUE_PRINT_BYTES]);

#endif
