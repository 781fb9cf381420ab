/* SPDX-License-Identifier: MIT */
#include "cli/bench/histogram.h"

#include <math.h>
#include <string.h>

void cli_histogram_reset(struct cli_histogram *h) {
    memset(h, 0, sizeof *h);
}

void cli_histogram_merge(struct cli_histogram *to, const struct cli_histogram *from) {
    if (from->count == 0)
        return;
    to->count += from->count;
    to->sum += from->sum;
    if (from->max > to->max)
        to->max = from->max;
    for (uint32_t i = 0; i < CLI_HISTOGRAM_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
}

uint64_t cli_histogram_least(uint32_t index) {
    if (index < 1u << (CLI_HISTOGRAM_BITS + 1))
        return index;
    if (index >= CLI_HISTOGRAM_BUCKETS)
        return UINT64_MAX;
    unsigned shift = (index >> CLI_HISTOGRAM_BITS) - 1;
    uint64_t high = (index & ((1u << CLI_HISTOGRAM_BITS) - 1)) | 1u << CLI_HISTOGRAM_BITS;
    return high << shift;
}

/* Returns the middle of the whole numbers in a bucket, so that a bucket of one value stands for that value. */
static double bucket_middle(uint32_t index) {
    double least = (double)cli_histogram_least(index), next = (double)cli_histogram_least(index + 1);
    return next - least <= 1 ? least : (least + next - 1) / 2;
}

double cli_histogram_quantile(const struct cli_histogram *h, double q) {
    double wanted = ceil(q * (double)h->count);
    uint64_t rank = wanted < 1 ? 1 : (uint64_t)wanted, seen = 0;
    if (rank > h->count)
        rank = h->count;
    if (rank == 0)
        return 0;
    for (uint32_t i = 0; i < CLI_HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= rank)
            return fmin(bucket_middle(i), (double)h->max); /* no quantile exceeds the exact maximum */
    }
    return (double)h->max;
}

double cli_histogram_mean(const struct cli_histogram *h) {
    return h->count ? h->sum / (double)h->count : 0;
}

uint64_t cli_histogram_between(const struct cli_histogram *h, double from, double to) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < CLI_HISTOGRAM_BUCKETS; i++)
        if (h->bucket[i] && bucket_middle(i) >= from && bucket_middle(i) < to)
            count += h->bucket[i];
    return count;
}
