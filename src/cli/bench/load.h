/* SPDX-License-Identifier: MIT */
/*
 * The load generator. Every script in flight has a slot, with its variables, and one of its units out (script.h).
 *
 *   closed loop   every slot starts its next query when its last one ends: as fast as the database answers
 *   open loop     queries start by a schedule (a Poisson process), and latency counts from there. A query that finds no
 *                 free slot waits, and its lag is reported. A closed loop submits less while the database is slow, and
 *                 so leaves out the very queries that would have been slow ("coordinated omission")
 *
 * With exclusive handles a slot is a client with a connection of its own, as in pgbench: a transaction that has begun is
 * brought to its end when the time is over, since others may wait for its locks, and rolled back when a statement fails.
 * A client whose connection was lost starts no more scripts.
 *
 * The clock is read once for a batch of completions, not once a query.
 */
#ifndef QURING_CLI_BENCH_LOAD_H
#define QURING_CLI_BENCH_LOAD_H

#include "cli/bench/histogram.h"
#include "cli/bench/workload.h"
#include "cli/common/client.h"

enum { CLI_FAILURE_KINDS = 12 };

/* One way in which queries failed, and how often. `name` is an SQLSTATE, or the status where there is none. */
struct cli_failure_kind {
    char name[16];
    uint64_t count;
};

struct cli_script_figures {
    uint64_t run_count;               /* from its first statement to its last */
    struct cli_histogram run_latency; /* of those, where it has several statements */
    uint64_t error_count;
    struct cli_histogram latency; /* of several scripts; of one alone it is that of all */
};

struct cli_load_figures {
    struct cli_histogram latency;       /* ns, of queries that succeeded */
    struct cli_script_figures *scripts; /* as many as the workload has */
    uint64_t error_count;
    struct cli_failure_kind failures[CLI_FAILURE_KINDS]; /* in order of appearance; the last counts all further kinds */
    double seconds;
    double cpu_user_seconds, cpu_system_seconds; /* of all threads */
    uint64_t enter_count, sent_bytes, received_bytes;
    uint64_t wait_count[QURING_WAIT_BUCKETS]; /* of quring_db_stats: queries by how long they waited for a connection */
    double lag_sum_ns;                        /* open loop: how long after its time a query started */
    uint64_t lag_max_ns, lag_count;
    uint64_t unfinished_count; /* given up at the end */
    bool over;                 /* the engine was shut down for these, or refused to go on: no other run can follow */
};

struct cli_load_options {
    uint32_t slot_count;     /* scripts in flight */
    double seconds;          /* 0: by query_limit */
    uint64_t query_limit;    /* 0: by time */
    double rate;             /* queries a second in an open loop; 0: closed */
    double progress_seconds; /* between calls of on_progress; 0: never */
    bool gathers;            /* sleeps until half of what is in flight has ended; not with exclusive handles */
    double slow_ms;          /* queries that took as long are shown, by the engine's trace; 0: none */
};

struct cli_load {
    struct cli_load_options options;
    struct cli_client *client;
    quring_db **dbs; /* an exclusive handle for each slot; NULL: all share the client's */
    const struct cli_workload *workload;
    /* `interval` holds the latencies since the last call; `seconds` is the time since the start. */
    void (*on_progress)(void *arg, const struct cli_load *load, const struct cli_histogram *interval, double seconds);
    void *arg;
    struct cli_load_figures figures;
};

/* Return the latencies of one of the workload's scripts: of its statements, and of its runs from begin to end. */
const struct cli_histogram *cli_load_latency(const struct cli_load_figures *figures,
                                             const struct cli_workload *workload, uint32_t script);
const struct cli_histogram *cli_load_run_latency(const struct cli_load_figures *figures,
                                                 const struct cli_workload *workload, uint32_t script);
/* Adds the figures of another run of the same scripts. */
void cli_load_add(struct cli_load_figures *to, const struct cli_load_figures *from, uint32_t script_count);
/* Frees what the figures of a load hold. */
void cli_load_free(struct cli_load *load);

/*
 * Returns an enum cli_exit; the figures are valid with each. CLI_EXIT_FAILED, after a message, also when queries failed or
 * had no answer at the end; cli_stop_status() when the user wanted to stop before anything succeeded.
 */
int cli_load_run(struct cli_load *load);

#endif
