/* SPDX-License-Identifier: MIT */
/*
 * Memory as the library asks for it: counted, and refused where a test says so. Works in programs that are linked with
 * ALLOC_WRAP (tests/sim/CMakeLists.txt), which leads our objects' malloc() and its like here, and no system library's.
 */
#ifndef QURING_TESTS_ALLOC_H
#define QURING_TESTS_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether calls count, and may be refused, from now on. */
void alloc_watch(bool on);

/* Refuses the n-th watched call from now, from 1, and those behind it up to `calls` in all. */
void alloc_fail_at(uint64_t nth, uint64_t calls);
void alloc_fail_no_more(void);
bool alloc_has_failed(void);

/* Has this block, once it was freed, be what the next calloc() of as many bytes gives, which any allocator may do. */
void alloc_reuse(void *block, size_t size);

/* Calls that were watched so far. */
uint64_t alloc_count(void);

/* Blocks that are in use, watched or not, and their bytes as malloc_usable_size(3) counts them. */
int64_t alloc_live(void);
int64_t alloc_live_bytes(void);

#endif
