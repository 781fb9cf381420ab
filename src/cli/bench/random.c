/* SPDX-License-Identifier: MIT */
#include "cli/bench/random.h"

#include <math.h>

/* Returns the number at a `share`, in [0, 1), of the way from low to high. Unsigned sums hold any distance of the two. */
static int64_t random_place(int64_t low, int64_t high, double share) {
    uint64_t span = (uint64_t)high - (uint64_t)low;
    double steps = floor(share * ((double)span + 1));
    uint64_t step = steps <= 0 ? 0 : steps >= 0x1p64 ? UINT64_MAX : (uint64_t)steps;
    return (int64_t)((uint64_t)low + (step > span ? span : step));
}

/* The Box-Muller transform; a number beyond `parameter` standard deviations is drawn again. */
int64_t cli_random_gaussian(struct cli_random *r, int64_t low, int64_t high, double parameter) {
    double deviation;
    do
        deviation = sqrt(-2 * log(cli_random_real(r))) * sin(2 * M_PI * cli_random_real(r));
    while (deviation < -parameter || deviation >= parameter);
    return random_place(low, high, (deviation + parameter) / (2 * parameter));
}

int64_t cli_random_exponential(struct cli_random *r, int64_t low, int64_t high, double parameter) {
    double cut = exp(-parameter);
    return random_place(low, high, -log(cut + (1 - cut) * cli_random_real(r)) / parameter);
}

/* Rejection after Devroye, "Non-Uniform Random Variate Generation", p. 550, as in pgbench. */
int64_t cli_random_zipfian(struct cli_random *r, int64_t low, int64_t high, double parameter) {
    double count = (double)((uint64_t)high - (uint64_t)low) + 1;
    double b = pow(2, parameter - 1), x, t;
    if (high <= low)
        return low;
    do {
        double u = cli_random_real(r), v = cli_random_real(r);
        x = floor(pow(u, -1 / (parameter - 1)));
        t = pow(1 + 1 / x, parameter - 1);
        if (v * x * (t - 1) / (b - 1) <= t / b && x <= count)
            break;
    } while (1);
    return (int64_t)((uint64_t)low + (uint64_t)(x - 1));
}
