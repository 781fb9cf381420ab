/* SPDX-License-Identifier: MIT */
/*
 * What every accessor says of one value, as one text: two values are alike to a caller exactly when these texts are.
 * PostgreSQL's first execution of a statement gives text and later ones binary, which must not be seen.
 */
#ifndef QURING_TESTS_LIB_SEEN_H
#define QURING_TESTS_LIB_SEEN_H

#include "quring/quring.h"

enum { SEEN_BYTES = 2048 };

/* Column `column` of row `row`: type, every accessor's code and value, and the words for the last failure. */
void seen_value(char out[SEEN_BYTES], const quring_result *result, uint64_t row, uint32_t column);

/* What became of a query: its status and SQLSTATE, or the first value of the first row. */
void seen_done(char out[SEEN_BYTES], const quring_done *done);

#endif
