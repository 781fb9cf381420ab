/* SPDX-License-Identifier: MIT */
/* One database that is measured: its connections, its scripts, and the load on it. */
#ifndef QURING_CLI_BENCH_TARGET_H
#define QURING_CLI_BENCH_TARGET_H

#include "cli/bench/load.h"
#include "cli/bench/workload.h"
#include "cli/common/client.h"

struct cli_target_options {
    bool init;                   /* make and fill the tables */
    uint64_t connections, depth; /* 0: what suits the backend */
    uint64_t scale;
    bool group; /* commit */
    double rate;
    double slow_ms;     /* 0: none */
    uint64_t gather_us; /* 0: the load wakes for each reply */
};

struct cli_target {
    const struct cli_target_options *options;
    char *url; /* of the library */
    bool sqlite;
    uint64_t connections, depth; /* scripts in flight per connection */
    uint32_t unit;               /* the most queries that one of them has out (script.h) */
    struct cli_workload workload;
    struct cli_client client;
    quring_db **clients; /* exclusive handles, for scripts that need them; else NULL */
    char server[64];     /* its version */
    uint64_t up_count;   /* of `connections`, when the load was prepared */
    char why_missing[400];
    struct cli_load load;
};

/*
 * Fills in the defaults of a target that is all zero, and parses the scripts, which are copied. `url` is handed over, also
 * when this fails. Returns CLI_EXIT_OK, or CLI_EXIT_USAGE after a message: nothing was opened then.
 */
int cli_target_settle(struct cli_target *target, const struct cli_target_options *options,
                      const struct cli_workload *workload, char *url);

/*
 * Open the database; then fill it where that was asked for, and prepare the load, whose time and progress are the caller's
 * to set. Each returns an enum cli_exit, all but CLI_EXIT_OK after a message.
 */
int cli_target_open(struct cli_target *target);
int cli_target_prepare(struct cli_target *target);

/*
 * Runs the load before it is measured: statements are then prepared, and caches filled. Returns false when there is nothing
 * to measure, since nothing succeeded or the user wants to stop; failures alone show in *status.
 */
bool cli_target_warm_up(struct cli_target *target, double seconds, int *status);

/* Closes what is open. Legal in any state but before settling. */
void cli_target_close(struct cli_target *target);

#endif
