/* SPDX-License-Identifier: MIT */
/* The work of `quring bench`: pgbench scripts, of which six are built in. Each runs as often as its weight says. */
#ifndef QURING_CLI_BENCH_WORKLOAD_H
#define QURING_CLI_BENCH_WORKLOAD_H

#include "cli/bench/script.h"
#include "cli/common/client.h"
#include "cli/common/out.h"

enum { CLI_WORKLOAD_MAX = 64 };

struct cli_source {
    const char *spec; /* as given: "select", "some.sql@3" */
    char *name;       /* without the weight */
    bool builtin;
    uint64_t weight;
    char *text; /* of a file */
    size_t size;
    struct cli_script script;
};

struct cli_workload {
    struct cli_source sources[CLI_WORKLOAD_MAX];
    uint32_t count;
    uint64_t weight_total;
};

/*
 * Adding a script by its "name" or "name@weight", parsing all of them, and preparing their statements, in this order.
 * Each returns an enum cli_exit; all but CLI_EXIT_OK after a message. Parsing may be done again, with another scale.
 * Statements that run on connections of their own are sent by their text, and not prepared here.
 */
int cli_workload_add(struct cli_workload *workload, const char *spec, bool builtin);
int cli_workload_parse(struct cli_workload *workload, bool sqlite, int64_t scale);
int cli_workload_prepare(struct cli_workload *workload, quring_db *db);

/* Copies scripts that were added and not parsed into a workload that is all zero. Returns CLI_EXIT_OK, or another exit status after a message. */
int cli_workload_copy(struct cli_workload *to, const struct cli_workload *from);

/* Returns whether a built-in script, which needs pgbench's tables, is among them: that of this name; NULL: any. */
bool cli_workload_has_builtin(const struct cli_workload *workload, const char *name);
/* Returns whether a script needs a connection of its own: then all of them are run so. */
bool cli_workload_is_exclusive(const struct cli_workload *workload);
/* Returns whether all statements are in transactions. */
bool cli_workload_is_all_tx(const struct cli_workload *workload);
/* Returns how many queries the largest unit of a script has (script.h). */
uint32_t cli_workload_unit_count(const struct cli_workload *workload);
/* The names with their weights: "select", "a.sql@3,b.sql". */
void cli_workload_put_name(const struct cli_workload *workload, struct cli_out *out);
void cli_workload_free(struct cli_workload *workload);

#endif
