/* SPDX-License-Identifier: MIT */
#include "lib/value_texts.h"

#include "lib/guard.h"

#include <criterion/criterion.h>

enum { TEXT_MAX = 1 << 16 };

char printed[VALUE_PRINT_BYTES + 1];

const char *ended(size_t size) {
    cr_assert_lt(size, VALUE_PRINT_BYTES);
    printed[size] = 0;
    return printed;
}

const char *exact_copy(const char *text) {
    static struct guard guard;
    if (!guard.map)
        guard_open(&guard, TEXT_MAX);
    size_t size = strlen(text);
    cr_assert_leq(size, TEXT_MAX);
    return (const char *)guard_place(&guard, text, size);
}
