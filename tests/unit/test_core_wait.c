/* SPDX-License-Identifier: MIT */
#include "core/wait.h"

#include <criterion/criterion.h>
#include <math.h>

/* The edges as the header has them, counted up. */
Test(wait, wait_bucket_has_the_edges_of_the_header) {
    cr_assert_eq(wait_bucket(0), 0);
    cr_assert_eq(wait_bucket(999), 0);
    uint64_t edge_ns = 1000;
    for (uint32_t bucket = 1; bucket < QURING_WAIT_BUCKETS; bucket++, edge_ns *= 2) {
        cr_assert_eq(wait_bucket(edge_ns), bucket, "%lu ns", (unsigned long)edge_ns);
        cr_assert_eq(wait_bucket(edge_ns - 1), bucket - 1, "%lu ns", (unsigned long)edge_ns - 1);
    }
    cr_assert_gt(edge_ns / 2, UINT64_C(3) * 24 * 3600 * 1000000000);
    cr_assert_eq(wait_bucket(edge_ns), QURING_WAIT_BUCKETS - 1);
    cr_assert_eq(wait_bucket(UINT64_MAX), QURING_WAIT_BUCKETS - 1);
}

Test(wait, quring_wait_quantile_ns_is_the_upper_edge) {
    uint64_t wait_count[QURING_WAIT_BUCKETS] = {0};
    cr_assert_eq(quring_wait_quantile_ns(wait_count, 0.5), 0, "none");
    cr_assert_eq(quring_wait_quantile_ns(NULL, 0.5), 0);
    wait_count[0] = 90;
    wait_count[3] = 9;
    wait_count[11] = 1;
    static const struct {
        double quantile;
        uint64_t most_ns;
    } rows[] = {{0, 0},           {0.5, 0},     {0.9, 0},       {0.91, 8000}, {0.99, 8000},
                {0.991, 2048000}, {1, 2048000}, {1.5, 2048000}, {-1, 0},      {NAN, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(quring_wait_quantile_ns(wait_count, rows[i].quantile), rows[i].most_ns, "%g: %lu",
                     rows[i].quantile, (unsigned long)quring_wait_quantile_ns(wait_count, rows[i].quantile));
    wait_count[QURING_WAIT_BUCKETS - 1] = 1;
    cr_assert_eq(quring_wait_quantile_ns(wait_count, 1), QURING_FOREVER);
}
