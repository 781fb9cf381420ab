/* SPDX-License-Identifier: MIT */
/* Failures of queries, and notices, as text for people on standard error. */
#ifndef QURING_CLI_COMMON_FAILURE_H
#define QURING_CLI_COMMON_FAILURE_H

#include "cli/common/splitter.h"
#include "quring/quring.h"

/* Shows the notices and warnings of a query on standard error, as psql does. */
void cli_notices_show(const quring_result *result);
/* Says on standard error why a query failed: "where: message (SQLSTATE …)", detail and hint. `where` may be NULL. */
void cli_failure_say(const char *where, const quring_done *done);
/* The same for a statement of a text: with its lines, and a caret where the database says it went wrong. */
void cli_failure_show(const char *where, const quring_done *done, const struct cli_statement *statement);
/* Returns the line of an error's position or, where the database names none, of the statement's first word. */
uint64_t cli_failure_line(const quring_done *done, const struct cli_statement *statement);
/* Returns why a call on this engine returned `error`: its own words, or the general ones. Valid until the next call. */
const char *cli_refusal_text(const quring_engine *engine, int error);
/* Says why the library refused a statement. `where` and `statement` may be NULL; the text is shown if it is given. */
void cli_refusal_show(const char *where, const quring_engine *engine, int error, const struct cli_statement *statement);

#endif
