/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <sys/auxv.h>

/* Out of the random bytes that the kernel gave at exec: getauxval(3). */
uint64_t hash_seed(const void *table) {
    uint64_t random = 0;
    const void *kernel_random = (const void *)getauxval(AT_RANDOM);
    if (kernel_random)
        random = hash_bytes(kernel_random, 16, 0);
    return hash_mix(random ^ 0x9e3779b97f4a7c15u, (uintptr_t)table | 1);
}
