/* SPDX-License-Identifier: MIT
 *
 * What the baselines share: options, clock, random numbers, latencies, and the one line of figures that
 * each of them prints. Nothing here is on the path of a single query, except a clock read per batch.
 *
 *   struct bench_args args = BENCH_ARGS;
 *   bench_args_parse(argc, argv, "what it measures", &args, flags);
 *   bench_run_start(&run, &args);
 *   while (...) {
 *       n = bench_run_take(&run, room);     how many queries may be issued now
 *       ...                                 issue them, count run.queries as they end
 *       bench_run_tick(&run, bench_now_ns());
 *   }
 *   bench_run_finish(&run);
 *   bench_report(&args, &run, &(struct bench_label){ ... });
 */
#ifndef QURING_BENCH_H
#define QURING_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* ---- options ------------------------------------------------------------------------------------------ */

struct bench_args {
    int connections;
    int depth;      /* queries in flight per connection */
    double seconds; /* how long, unless queries > 0 */
    int queries;    /* or how many in all */
    bool json;
    const char *target; /* conninfo, URL or path: the one positional argument */
};

#define BENCH_ARGS                                                                                                     \
    { .connections = 8, .depth = 16, .seconds = 3.0 }

enum bench_kind { BENCH_BOOL, BENCH_INT, BENCH_REAL, BENCH_TEXT, BENCH_WORD };

/* One option. A WORD is stored as its index in `words`, which a NULL ends. A table of flags ends with {0}. */
struct bench_flag {
    const char *name; /* "-c" or "--sync-every" */
    enum bench_kind kind;
    void *value; /* bool, int, double, const char *, or int for a word */
    const char *help;
    const char *const *words;
};

/* Fills `args` and the program's own `extra` flags; prints the usage and exits with 2 when they are wrong. */
void bench_args_parse(int argc, char **argv, const char *what, struct bench_args *args, const struct bench_flag *extra);

/* Says why and exits with 1: a baseline that met an error has no figure to print. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- clock, random numbers ---------------------------------------------------------------------------- */

uint64_t bench_now_ns(void);

struct bench_rng {
    uint64_t state;
};

/* Uniform in [1, n]: a row's key. */
static inline int32_t bench_rng_key(struct bench_rng *rng, uint32_t n) {
    rng->state ^= rng->state << 13;
    rng->state ^= rng->state >> 7;
    rng->state ^= rng->state << 17;
    return (int32_t)(((rng->state >> 32) * n) >> 32) + 1;
}

/* ---- latencies: 32 buckets to the octave, so within 3 % ------------------------------------------------ */

enum { BENCH_LATENCY_SUB = 32, BENCH_LATENCY_BUCKETS = 40 * BENCH_LATENCY_SUB };

struct bench_latency {
    uint64_t count, sum_ns, max_ns;
    uint64_t bucket[BENCH_LATENCY_BUCKETS];
};

void bench_latency_add(struct bench_latency *latency, uint64_t ns, uint64_t times);
double bench_latency_us(const struct bench_latency *latency, double quantile);

/* ---- one run ------------------------------------------------------------------------------------------ */

struct bench_run {
    uint64_t start_ns, end_ns, stop_ns;
    uint64_t left;            /* queries that may still be issued */
    uint64_t queries, errors; /* queries that ended */
    uint64_t enters;          /* io_uring_enter calls; 0 prints as null */
    uint64_t bytes_sent, bytes_received;
    double user_us, system_us;
    struct rusage usage; /* at the start */
    struct bench_latency latency;
};

void bench_run_start(struct bench_run *run, const struct bench_args *args);
void bench_run_finish(struct bench_run *run);

/* Time is up: nothing more may be issued, what is out is awaited. */
static inline void bench_run_tick(struct bench_run *run, uint64_t now_ns) {
    if (now_ns >= run->stop_ns)
        run->left = 0;
}

static inline unsigned bench_run_take(struct bench_run *run, unsigned want) {
    if (want > run->left)
        want = (unsigned)run->left;
    run->left -= want;
    return want;
}

struct bench_label {
    const char *backend, *workload, *commit;
};

/* One JSON object, or one readable line. */
void bench_report(const struct bench_args *args, const struct bench_run *run, const struct bench_label *label);

#endif
