/* SPDX-License-Identifier: MIT */
/* The messages of the tool on standard error, and the end of its output, which may be one. */
#ifndef QURING_CLI_COMMON_SAY_H
#define QURING_CLI_COMMON_SAY_H

#include "cli/common/out.h"

#include <stdbool.h>

/* Says "PREFIX…" on standard error, made safe for a terminal and without passwords; line feeds stay. */
void cli_say(const char *prefix, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says "quring: …". */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says what is in memory as it is, passwords and all, and frees it: SQL that the user asked to see. It must be safe. */
void cli_say_out(struct cli_out *text);
/* Says that memory ran out. Returns CLI_EXIT_FAILED. */
int cli_no_memory(void);
/* Says "quring COMMAND: …" of wrong usage. Returns CLI_EXIT_USAGE. */
int cli_wrong(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* While a live line stands on the terminal, each message wipes it first. */
void cli_error_wipes_line(bool wipes);

/*
 * Flushes and closes standard output, and gives the command's exit status: `status` when all was written. A pipe whose
 * reader left ends the process quietly, by SIGPIPE, as it would any other tool; output that was stopped gives `status`;
 * other failures are said, and give CLI_EXIT_FAILED.
 */
int cli_finish(struct cli_out *out, int status);

#endif
