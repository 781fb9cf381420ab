/* SPDX-License-Identifier: MIT */
/*
 * A pgbench script, parsed: \set commands and statements in which :name has become $n. Commands that only pgbench has
 * (\sleep, \if, \startpipeline, …) are refused with their line: without them the script would measure something else.
 *
 * A *unit* of a script is what it has out at once: a statement, or all that stands between BEGIN and END. No statement
 * takes anything from the results of those before it, so a transaction can be sent as a whole.
 */
#ifndef QURING_CLI_BENCH_SCRIPT_H
#define QURING_CLI_BENCH_SCRIPT_H

#include "cli/bench/control.h"
#include "cli/bench/expr.h"

enum { CLI_SCRIPT_PARAM_MAX = 64, CLI_SCRIPT_BYTES_MAX = 16 << 20 };

struct cli_command {
    uint64_t line;
    char *sql;                   /* NULL: a \set */
    quring_statement *statement; /* of `sql`, once a database is open */
    uint32_t param_count;
    uint8_t params[CLI_SCRIPT_PARAM_MAX]; /* the variable that is $1, $2, … */
    uint8_t variable;                     /* of \set */
    uint8_t control;                      /* enum cli_control */
    quring_tx_options tx;                 /* of BEGIN */
    struct cli_expr expr;
};

enum { CLI_VARIABLE_CLIENT_ID = 0 }; /* every script's first variable, for whoever runs it to set */

struct cli_script {
    struct cli_variables variables;
    struct cli_command *commands;
    uint32_t command_count;
    uint32_t statement_count;
    uint32_t outside_count;  /* of the statements, those that are in no transaction */
    uint32_t unit_count;     /* queries of the largest unit; BEGIN is none */
    uint32_t last_statement; /* its command */
    bool exclusive; /* it needs a connection of its own: for settings, or transactions that quring_tx can't be */
    /* While it is parsed: a transaction is open, and so many of its statements were read. */
    bool in_tx;
    uint32_t member_count;
    /* Why it could not be parsed, and where. */
    uint64_t line;
    char why[256];
};

/* `scale` is :scale. On failure returns false with `line` and `why` set; cli_script_free() in either case. */
bool cli_script_parse(struct cli_script *script, const char *text, size_t size, bool sqlite, int64_t scale);
void cli_script_free(struct cli_script *script);

#endif
