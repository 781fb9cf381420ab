/* SPDX-License-Identifier: MIT */
/*
 * SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) and pgbench's distributions. A
 * number takes a few instructions, so that the load generator is not what is measured. Not for secrets.
 */
#ifndef QURING_CLI_BENCH_RANDOM_H
#define QURING_CLI_BENCH_RANDOM_H

#include <stdint.h>

struct cli_random {
    uint64_t state;
};

static inline uint64_t cli_random_next(struct cli_random *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/*
 * Returns a number from `low` to `low + span`: the high half of a product instead of a remainder, as a division takes
 * longer than all the rest (Lemire, "Fast random integer generation in an interval"). Its bias is below 2^-64 * span, which
 * no benchmark shows.
 */
static inline int64_t cli_random_range(struct cli_random *r, int64_t low, uint64_t span) {
    uint64_t next = cli_random_next(r);
    if (span != UINT64_MAX) {
        __extension__ unsigned __int128 product = (unsigned __int128)next * (span + 1);
        next = (uint64_t)(product >> 64);
    }
    return (int64_t)((uint64_t)low + next);
}

/* Returns a number in (0, 1]: never 0, whose logarithm is infinite. */
static inline double cli_random_real(struct cli_random *r) {
    return (double)((cli_random_next(r) >> 11) + 1) * 0x1p-53;
}

/* pgbench's: within [low, high]; see its documentation for `parameter`, and for its bounds. */
int64_t cli_random_gaussian(struct cli_random *r, int64_t low, int64_t high, double parameter);
int64_t cli_random_exponential(struct cli_random *r, int64_t low, int64_t high, double parameter);
int64_t cli_random_zipfian(struct cli_random *r, int64_t low, int64_t high, double parameter);

#endif
