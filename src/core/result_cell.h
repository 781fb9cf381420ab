/* SPDX-License-Identifier: MIT */
/* One value of a result, whatever its format: what result_get.c's accessors work on. Included by result_{cell,get}.c. */
#ifndef QURING_CORE_RESULT_CELL_H
#define QURING_CORE_RESULT_CELL_H

#include "core/result.h"
#include "value/convert.h"

struct cell {
    const uint8_t *bytes; /* a byte follows them, 0 more often than not */
    size_t size;
    quring_type type;
    bool binary; /* else its text */
};

/* Returns 0, or ENULL, ERANGE (no such row or column), ETYPE (malformed), without a note of the failure. */
int cell_find(const quring_result *result, uint64_t row, uint32_t column, struct cell *cell);

/* Notes a failure for quring_result_error() and returns its code. `wanted` is static. */
int cell_fail(const quring_result *result, uint64_t row, uint32_t column, const char *wanted, int code);

/* Memory that lasts until the result's end; NULL when there is none. */
char *cell_scratch(const quring_result *result, size_t size);

/* Values in binary. False: not of the length that their type has, or of another type. */
bool cell_load_integer(const struct cell *cell, int64_t *value); /* and bool */
bool cell_load_real(const struct cell *cell, double *value);
bool cell_load_moment(const struct cell *cell, struct value_moment *moment);

/* The bytes of a value that is a text already: JSONB without its version. False for any other. */
bool cell_text_bytes(const struct cell *cell, const char **text, size_t *size);

/* The text of a binary value of fixed length, without a NUL; 0 for any other or a malformed one. */
size_t cell_print(const struct cell *cell, char out[static VALUE_PRINT_BYTES]);

#endif
