/* SPDX-License-Identifier: MIT */
/* splitmix64 and pgbench's distributions. Not for secrets. */
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

/* low + [0, span]. */
static inline int64_t cli_random_range(struct cli_random *r, int64_t low, uint64_t span) {
    uint64_t next = cli_random_next(r);
    if (span != UINT64_MAX) {
        __extension__ unsigned __int128 product = (unsigned __int128)next * (span + 1);
        next = (uint64_t)(product >> 64);
    }
    return (int64_t)((uint64_t)low + next);
}

/* In (0, 1]: fit for a logarithm. */
static inline double cli_random_real(struct cli_random *r) {
    return (double)((cli_random_next(r) >> 11) + 1) * 0x1p-53;
}

/* pgbench's: within [low, high]; see its documentation for `parameter`, and for its bounds. */
int64_t cli_random_gaussian(struct cli_random *r, int64_t low, int64_t high, double parameter);
int64_t cli_random_exponential(struct cli_random *r, int64_t low, int64_t high, double parameter);
int64_t cli_random_zipfian(struct cli_random *r, int64_t low, int64_t high, double parameter);

#endif
