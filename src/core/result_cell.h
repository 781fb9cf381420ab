/* SPDX-License-Identifier: MIT */
/* The place of a value in a result, for the accessors in result_get.c. */
#ifndef QURING_CORE_RESULT_CELL_H
#define QURING_CORE_RESULT_CELL_H

#include "core/result.h"
#include "value/cell.h"

/*
 * Finds a value, behind whose bytes one more may be read. Returns 0, or ENULL, ERANGE (no such row or column), ETYPE
 * (malformed), without a note of the failure.
 */
int result_cell_find(const quring_result *result, uint64_t row, uint32_t column, struct value_cell *cell);

/* Notes a failure for quring_result_error() and returns its code. `wanted` is static. */
int result_cell_fail(const quring_result *result, uint64_t row, uint32_t column, const char *wanted, int code);

/* Memory that lasts until the result's end; NULL when there is none. */
char *result_scratch(const quring_result *result, size_t size);

#endif
