/* SPDX-License-Identifier: MIT */
/* Contracts between our own functions. They stay on in release builds; bytes from a peer are never asserted on. */
#ifndef QURING_BASE_ASSERT_H
#define QURING_BASE_ASSERT_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define base_likely(x) __builtin_expect(!!(x), 1)
#define base_unlikely(x) __builtin_expect(!!(x), 0)

/* A function's demand on its callers. A broken one ends the process, since going on would corrupt memory. */
#define PRE(condition) ((void)(base_likely(condition) || (base_contract_broken(#condition, __FILE__, __LINE__), 0)))
#define UNREACHABLE(why) base_contract_broken(why, __FILE__, __LINE__)

_Noreturn static inline void base_contract_broken(const char *what, const char *file, int line) {
    fprintf(stderr, "quring: internal error: %s (%s:%d)\n", what, file, line);
    abort();
}

/* The structure that `pointer` is the `member` of. */
#define base_container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
