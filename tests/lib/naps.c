/* SPDX-License-Identifier: MIT */
#include "lib/naps.h"

#include <stdatomic.h>
#include <time.h>

int __real_nanosleep(const struct timespec *nap, struct timespec *left);
int __wrap_nanosleep(const struct timespec *nap, struct timespec *left);

static atomic_uint_least64_t total_ns;

int __wrap_nanosleep(const struct timespec *nap, struct timespec *left) {
    atomic_fetch_add(&total_ns, (uint64_t)nap->tv_sec * 1000000000u + (uint64_t)nap->tv_nsec);
    return __real_nanosleep(nap, left);
}

uint64_t naps_ns(void) {
    return atomic_load(&total_ns);
}
