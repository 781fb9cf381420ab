/* SPDX-License-Identifier: MIT */
/* splitmix64, for jitter, simulation and workloads. Any seed is good. Its output is predictable, so it is for no secret. */
#ifndef QURING_BASE_RNG_H
#define QURING_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [0, bound); bound > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t bound) {
    __extension__ unsigned __int128 product = (unsigned __int128)rng_next(r) * bound;
    return (uint64_t)(product >> 64);
}

#endif
