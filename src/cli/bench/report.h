/* SPDX-License-Identifier: MIT */
/* The output of `quring bench`, while it runs and at the end. */
#ifndef QURING_CLI_BENCH_REPORT_H
#define QURING_CLI_BENCH_REPORT_H

#include "cli/bench/load.h"
#include "cli/common/out.h"

struct cli_report {
    const char *backend;
    const char *server; /* its version, "" when that is not known */
    const struct cli_workload *workload;
    uint32_t connections, depth;
    uint32_t up_count;       /* of these connections, at the start */
    const char *why_missing; /* "" when all of them were, or the reason is not known */
    bool exclusive;          /* each client has a connection of its own */
    const char *commit;
    uint64_t gather_us; /* 0: not asked for */
    quring_port port;
    double rate;
    double warmup_seconds;  /* before the figures */
    bool live;              /* a line that is overwritten, rather than one a call */
    double total_seconds;   /* how long the run takes; 0: it ends with total_queries */
    uint64_t total_queries; /* 0: it ends with total_seconds */
    double last_seconds;    /* when the last line of progress was written */
};

/* Writes a line of progress to standard error: on_progress of struct cli_load, with a struct cli_report as `arg`. */
void cli_report_progress(void *arg, const struct cli_load *load, const struct cli_histogram *interval, double seconds);
/* Wipes the live line. */
void cli_report_progress_end(const struct cli_report *report);

/* Writes the figures for people, with a drawing of the latencies. */
void cli_report_summary(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures,
                        bool utf8);
/* One of several targets that were measured in turns. Its ratios are to the first, round by round. */
struct cli_compared {
    char *name; /* its URL, without a password */
    struct cli_report report;
    const struct cli_load_figures *figures; /* of all rounds */
    /* Of queries a second that succeeded: the median, and between what. NAN where no round was whole. */
    double ratio, least_ratio, greatest_ratio;
};

/* Write the figures of several targets side by side. */
void cli_report_compared(struct cli_out *out, const struct cli_compared *all, uint32_t count, uint32_t round_count,
                         bool utf8);
void cli_report_compared_json(struct cli_out *out, const struct cli_compared *all, uint32_t count,
                              uint32_t round_count);

/* Writes the figures as one JSON object on one line. */
void cli_report_json(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures);

#endif
