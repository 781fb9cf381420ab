/* SPDX-License-Identifier: MIT */
/*
 * How long a program meant to sleep, whatever the machine made of it: each of its nanosleep()s is noted. Link
 * with -Wl,--wrap=nanosleep.
 */
#ifndef QURING_TESTS_NAPS_H
#define QURING_TESTS_NAPS_H

#include <stdint.h>

/* The sum of all naps so far, in every thread. */
uint64_t naps_ns(void);

#endif
