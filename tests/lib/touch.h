/* SPDX-License-Identifier: MIT */
/*
 * Counts the objects that the library reads or writes, whatever its own books say: those of one size stand on pages of their
 * own, which are out of reach while they are watched, so that the first touch of each is a fault. Works in programs that are
 * linked with TOUCH_WRAP (tests/unit/CMakeLists.txt), which leads our objects' calloc() and free() here.
 */
#ifndef QURING_TESTS_TOUCH_H
#define QURING_TESTS_TOUCH_H

#include <stddef.h>
#include <stdint.h>

/* The library's calloc(1, size) gives objects that can be watched, from now on. */
void touch_prepare(size_t size);

void touch_watch(void);

/* Ends the watch. Returns how many objects were touched. */
uint32_t touch_count(void);

#endif
