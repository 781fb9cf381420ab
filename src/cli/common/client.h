/* SPDX-License-Identifier: MIT */
/* An engine with one database, and single statements on it. */
#ifndef QURING_CLI_COMMON_CLIENT_H
#define QURING_CLI_COMMON_CLIENT_H

#include "cli/common/cancel.h"
#include "cli/common/splitter.h"
#include "quring/quring.h"

struct cli_client {
    quring_engine *engine;
    quring_db *db;
    const char *url; /* the caller's */
    struct cli_cancel cancel;
};

/*
 * Opens an engine and one database on it. `url` must stay until the close, which cancelling needs it for. `command` is
 * named in messages. Returns CLI_EXIT_OK; or another exit status after a message, with everything closed.
 */
int cli_client_open(struct cli_client *client, const char *command, const char *url, const quring_options *options,
                    const quring_db_options *db_options);
void cli_client_close(struct cli_client *client);

/* Returns whether a URL has SQLite's scheme, in letters of either case, as the library takes it. Nothing is opened. */
bool cli_client_url_is_sqlite(const char *url);

/*
 * Runs one statement to its end; *done is to be released. When the user wants to stop, it is cancelled: at the server where
 * cli_cancel_ask() was called before and learned enough, and its own answer counts; else it is given up, and CANCELLED.
 * Returns 0, however it ended; the QURING_E* that refused it; or QURING_ESHUTDOWN when the user wanted to stop before.
 */
int cli_client_query(struct cli_client *client, const quring_query *query, quring_done *done);
/* Runs a statement without parameters and drops its rows. Returns CLI_EXIT_OK, or another exit status after a message. */
int cli_client_execute(struct cli_client *client, const char *sql);
/*
 * Reads the number in the first row and column. `sqlstate` becomes that of a failure, or "". Returns as the call above,
 * but without a message for 42P01 (there is no such table), which is for the caller to explain.
 */
int cli_client_number(struct cli_client *client, const char *sql, int64_t *number, char sqlstate[6]);

/* Shows the notices and warnings of a query on standard error, as psql does. */
void cli_notices_show(const quring_result *result);
/* Says on standard error why a query failed: "where: message (SQLSTATE …)", detail and hint. `where` may be NULL. */
void cli_failure_say(const char *where, const quring_done *done);
/* The same for a statement of a text: with its lines, and a caret where the database says it went wrong. */
void cli_failure_show(const char *where, const quring_done *done, const struct cli_statement *statement);
/* Returns the line of an error's position or, where the database names none, of the statement's first word. */
uint64_t cli_failure_line(const quring_done *done, const struct cli_statement *statement);
/* Says why the library refused a statement. `where` and `statement` may be NULL; the text is shown if it is given. */
void cli_refusal_show(const char *where, const quring_engine *engine, int error, const struct cli_statement *statement);

#endif
