/* SPDX-License-Identifier: MIT
 *
 * Options, latencies and the report that every baseline shares. See bench.h.
 */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void bench_die(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("error: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

/* ---- options ------------------------------------------------------------------------------------------ */

static void usage_flags(const struct bench_flag *flag) {
    for (; flag->name; flag++) {
        fprintf(stderr, "  %-14s %s", flag->name, flag->help);
        for (int i = 0; flag->kind == BENCH_WORD && flag->words[i]; i++)
            fprintf(stderr, "%s%s", i ? "|" : ": ", flag->words[i]);
        fputc('\n', stderr);
    }
}

static bool flag_number(const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && *number >= 0 && *number <= 2e9;
}

static bool flag_set(const struct bench_flag *flag, const char *text) {
    double number;
    switch (flag->kind) {
    case BENCH_BOOL:
        *(bool *)flag->value = true;
        return true;
    case BENCH_INT:
        if (!text || !flag_number(text, &number))
            return false;
        *(int *)flag->value = (int)number;
        return true;
    case BENCH_REAL:
        return text && flag_number(text, flag->value);
    case BENCH_TEXT:
        *(const char **)flag->value = text;
        return text != NULL;
    case BENCH_WORD:
        for (int i = 0; text && flag->words[i]; i++) {
            if (strcmp(text, flag->words[i]) == 0) {
                *(int *)flag->value = i;
                return true;
            }
        }
        return false;
    }
    return false;
}

static const struct bench_flag *flag_find(const struct bench_flag *flag, const char *name) {
    while (flag->name && strcmp(flag->name, name) != 0)
        flag++;
    return flag->name ? flag : NULL;
}

void bench_args_parse(int argc, char **argv, const char *what, struct bench_args *args,
                      const struct bench_flag *extra) {
    const struct bench_flag common[] = {
        {"-c", BENCH_INT, &args->connections, "connections", NULL},
        {"-d", BENCH_INT, &args->depth, "queries in flight per connection", NULL},
        {"-T", BENCH_REAL, &args->seconds, "seconds to run", NULL},
        {"-n", BENCH_INT, &args->queries, "queries to run, instead of -T", NULL},
        {"--json", BENCH_BOOL, &args->json, "print one JSON object", NULL},
        {0},
    };
    bool right = true;

    for (int i = 1; i < argc && right; i++) {
        const struct bench_flag *flag = flag_find(common, argv[i]);
        if (!flag)
            flag = flag_find(extra, argv[i]);
        if (flag) {
            const char *text = flag->kind == BENCH_BOOL || i + 1 == argc ? NULL : argv[++i];
            right = flag_set(flag, text);
        } else {
            right = argv[i][0] != '-' && !args->target;
            args->target = argv[i];
        }
    }
    right = right && args->target && args->connections >= 1 && args->connections <= 16384 && args->depth >= 1 &&
            args->depth <= 4096;
    if (right)
        return;
    fprintf(stderr, "%s: %s\nusage: %s [options] TARGET\n", argv[0], what, argv[0]);
    usage_flags(common);
    usage_flags(extra);
    exit(2);
}

/* ---- clock and latencies ------------------------------------------------------------------------------ */

uint64_t bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Below 32 ns a bucket is one nanosecond; above, each octave is cut in 32. */
static size_t latency_bucket(uint64_t ns) {
    if (ns < BENCH_LATENCY_SUB)
        return ns;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns) - 5u;
    size_t at = octave * BENCH_LATENCY_SUB + (size_t)(ns >> octave);
    return at < BENCH_LATENCY_BUCKETS ? at : BENCH_LATENCY_BUCKETS - 1;
}

static double latency_bucket_ns(size_t at) {
    if (at < 2 * BENCH_LATENCY_SUB)
        return (double)at;
    size_t octave = at / BENCH_LATENCY_SUB - 1;
    return ((double)(at % BENCH_LATENCY_SUB) + BENCH_LATENCY_SUB + 0.5) * (double)(1ull << octave);
}

void bench_latency_add(struct bench_latency *latency, uint64_t ns, uint64_t times) {
    latency->count += times;
    latency->sum_ns += ns * times;
    latency->bucket[latency_bucket(ns)] += times;
    if (ns > latency->max_ns)
        latency->max_ns = ns;
}

double bench_latency_us(const struct bench_latency *latency, double quantile) {
    uint64_t rank = (uint64_t)((double)latency->count * quantile), seen = 0;
    for (size_t i = 0; i < BENCH_LATENCY_BUCKETS; i++) {
        seen += latency->bucket[i];
        if (seen > rank)
            return latency_bucket_ns(i) / 1e3;
    }
    return (double)latency->max_ns / 1e3;
}

/* ---- one run ------------------------------------------------------------------------------------------ */

static double timeval_us(struct timeval later, struct timeval sooner) {
    return (double)(later.tv_sec - sooner.tv_sec) * 1e6 + (double)(later.tv_usec - sooner.tv_usec);
}

void bench_run_start(struct bench_run *run, const struct bench_args *args) {
    memset(run, 0, sizeof *run);
    run->left = args->queries ? (uint64_t)args->queries : UINT64_MAX;
    getrusage(RUSAGE_SELF, &run->usage);
    run->start_ns = bench_now_ns();
    run->stop_ns = args->queries ? UINT64_MAX : run->start_ns + (uint64_t)(args->seconds * 1e9);
}

void bench_run_finish(struct bench_run *run) {
    struct rusage usage;
    run->end_ns = bench_now_ns();
    getrusage(RUSAGE_SELF, &usage);
    run->user_us = timeval_us(usage.ru_utime, run->usage.ru_utime);
    run->system_us = timeval_us(usage.ru_stime, run->usage.ru_stime);
}

static void print_ratio(const char *head, double value, double per, const char *tail) {
    if (value > 0 && per > 0)
        printf("%s%.4g%s", head, value / per, tail);
    else
        printf("%snull%s", head, tail);
}

static void report_json(const struct bench_args *args, const struct bench_run *run, const struct bench_label *label,
                        double seconds, double queries) {
    const struct bench_latency *latency = &run->latency;

    printf("{\"backend\":\"%s\",\"workload\":\"%s\",\"connections\":%d,\"depth\":%d,\"commit\":\"%s\",", label->backend,
           label->workload, args->connections, args->depth, label->commit);
    printf("\"seconds\":%.3f,\"queries\":%.0f,\"errors\":%llu,\"qps\":%.0f,\"latency_us\":", seconds, queries,
           (unsigned long long)run->errors, queries / seconds);
    if (latency->count)
        printf("{\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f}",
               (double)latency->sum_ns / (double)latency->count / 1e3, bench_latency_us(latency, 0.5),
               bench_latency_us(latency, 0.9), bench_latency_us(latency, 0.99), bench_latency_us(latency, 0.999),
               (double)latency->max_ns / 1e3);
    else
        printf("null");
    printf(",\"cpu_us_per_query\":{\"user\":%.4f,\"system\":%.4f}", run->user_us / queries, run->system_us / queries);
    print_ratio(",\"enters_per_query\":", (double)run->enters, queries, "");
    print_ratio(",\"bytes_per_query\":{\"sent\":", (double)run->bytes_sent, queries, ",");
    print_ratio("\"received\":", (double)run->bytes_received, queries, "}}\n");
}

void bench_report(const struct bench_args *args, const struct bench_run *run, const struct bench_label *label) {
    double seconds = (double)(run->end_ns - run->start_ns) / 1e9;
    double queries = (double)run->queries;

    if (run->queries == 0)
        bench_die("no query ended");
    if (args->json) {
        report_json(args, run, label, seconds, queries);
        return;
    }
    printf("%s %s %dx%d commit %s: %.0f queries/s, cpu %.3f us/query (user %.3f, system %.3f)", label->backend,
           label->workload, args->connections, args->depth, label->commit, queries / seconds,
           (run->user_us + run->system_us) / queries, run->user_us / queries, run->system_us / queries);
    if (run->enters)
        printf(", %.4f enters/query", (double)run->enters / queries);
    if (run->latency.count)
        printf(", latency p50 %.1f us, p99 %.1f us", bench_latency_us(&run->latency, 0.5),
               bench_latency_us(&run->latency, 0.99));
    printf(", errors %llu\n", (unsigned long long)run->errors);
}
