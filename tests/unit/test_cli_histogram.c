/* SPDX-License-Identifier: MIT */
#include "cli/bench/histogram.h"

#include "cli/bench/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static struct cli_histogram *new_histogram(void) {
    struct cli_histogram *h = calloc(1, sizeof *h);
    cr_assert_not_null(h);
    return h;
}

Test(histogram, cli_histogram_index_adjoins_and_grows_by_less_than_one_percent) {
    for (uint32_t i = 0; i < CLI_HISTOGRAM_BUCKETS; i++) {
        uint64_t least = cli_histogram_least(i), next = cli_histogram_least(i + 1);
        cr_assert_eq(cli_histogram_index(least), i);
        cr_assert_lt(least, next);
        if (i + 1 < CLI_HISTOGRAM_BUCKETS)
            cr_assert_eq(cli_histogram_index(next - 1), i);
        if (least >= 256)
            cr_assert_leq((double)(next - least), (double)least / 128);
    }
    cr_assert_eq(cli_histogram_index(0), 0);
    cr_assert_eq(cli_histogram_index(UINT64_MAX), CLI_HISTOGRAM_BUCKETS - 1);
}

Test(histogram, cli_histogram_quantile_of_nothing_is_zero) {
    struct cli_histogram *h = new_histogram();
    cr_assert_eq(cli_histogram_quantile(h, 0.5), 0);
    cr_assert_eq(cli_histogram_mean(h), 0);
    cr_assert_eq(cli_histogram_between(h, 0, INFINITY), 0);
    free(h);
}

Test(histogram, cli_histogram_quantile_of_one_value_is_that_value) {
    static const uint64_t values[] = {0, 1, 255, 256, 257, 999983, 1ull << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct cli_histogram *h = new_histogram();
        cli_histogram_add(h, values[i]);
        for (double q = 0; q <= 1; q += 0.25)
            cr_assert_leq(fabs(cli_histogram_quantile(h, q) - (double)values[i]), 0.004 * (double)values[i]);
        cr_assert_eq(h->max, values[i]);
        free(h);
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

Test(histogram, cli_histogram_quantile_is_within_half_a_percent_of_sorting) {
    enum { COUNT = 100000 };
    static const double quantiles[] = {0.0001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    static uint64_t values[COUNT];
    struct cli_random random = {42};
    struct cli_histogram *h = new_histogram();
    double sum = 0;

    for (int i = 0; i < COUNT; i++) { /* over nine decades */
        values[i] = (uint64_t)exp(20.7 * cli_random_real(&random));
        cli_histogram_add(h, values[i]);
        sum += (double)values[i];
    }
    qsort(values, COUNT, sizeof *values, compare);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double exact = (double)values[(size_t)ceil(quantiles[i] * COUNT) - 1];
        cr_assert_leq(fabs(cli_histogram_quantile(h, quantiles[i]) - exact), 0.005 * exact, "%g", quantiles[i]);
    }
    cr_assert_float_eq(cli_histogram_mean(h), sum / COUNT, 1);
    cr_assert_eq(cli_histogram_between(h, 0, INFINITY), COUNT);
    cr_assert_eq(cli_histogram_between(h, 0, 1000) + cli_histogram_between(h, 1000, INFINITY), COUNT);
    free(h);
}

Test(histogram, cli_histogram_merge_adds_up_to_the_whole) {
    struct cli_histogram *whole = new_histogram(), *sum = new_histogram(), *part = new_histogram();
    struct cli_random random = {7};

    for (int i = 0; i < 10; i++) {
        cli_histogram_reset(part);
        for (int j = 0; j < 1000 * i; j++) {
            uint64_t value = cli_random_next(&random) >> (j % 64);
            cli_histogram_add(part, value);
            cli_histogram_add(whole, value);
        }
        cli_histogram_merge(sum, part);
    }
    cr_assert_eq(sum->count, whole->count);
    cr_assert_eq(sum->max, whole->max);
    for (double q = 0; q <= 1; q += 0.01)
        cr_assert_eq(cli_histogram_quantile(sum, q), cli_histogram_quantile(whole, q));
    free(whole);
    free(sum);
    free(part);
}
