/* SPDX-License-Identifier: MIT */
/* What the tests of value_print_*() and value_parse_*() share: a place to print to, and texts that end where memory does. */
#ifndef QURING_TESTS_VALUE_TEXTS_H
#define QURING_TESTS_VALUE_TEXTS_H

#include "value/convert.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The place that is printed to: as large as the contract asks for, and room for a NUL. */
extern char printed[VALUE_PRINT_BYTES + 1];

/* Ends what was printed there with a NUL, and returns it; fails the test when it took more room than promised. */
const char *ended(size_t size);

/* A copy of the text without its NUL: a parser that reads behind it is ended by a signal. It is valid until the next. */
const char *exact_copy(const char *text);

/* One of value_parse_*() on such a copy. */
#define READ(function, text, value) function(exact_copy(text), strlen(text), value)

#endif
