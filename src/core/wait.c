/* SPDX-License-Identifier: MIT */
#include "core/wait.h"

/* The count of waits that lie at or before the quantile: at least one, at most all. */
static uint64_t wait_rank(uint64_t total, double quantile) {
    double rank = quantile * (double)total;
    if (!(rank > 1))
        return 1;
    if (rank >= (double)total)
        return total;
    uint64_t whole = (uint64_t)rank;
    return (double)whole < rank ? whole + 1 : whole;
}

uint64_t quring_wait_quantile_ns(const uint64_t *wait_count, double quantile) {
    uint64_t total = 0, below = 0;
    for (size_t i = 0; wait_count && i < QURING_WAIT_BUCKETS; i++)
        total += wait_count[i];
    if (!total)
        return 0;
    uint64_t rank = wait_rank(total, quantile);
    for (uint32_t i = 0; i < QURING_WAIT_BUCKETS - 1; i++) {
        below += wait_count[i];
        if (below >= rank)
            return i ? ((uint64_t)1 << i) * 1000 : 0;
    }
    return QURING_FOREVER;
}
