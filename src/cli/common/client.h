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

/* Returns CLI_EXIT_OK; or another exit status after a message, and all is closed. */
int cli_client_open(struct cli_client *client, const char *command, const char *url, const quring_options *options,
                    const quring_db_options *db_options);
void cli_client_close(struct cli_client *client);

/* Whether this URL is SQLite's, as far as its text tells. */
bool cli_client_url_is_sqlite(const char *url);

/*
 * Runs one statement to its end; *done is to be released. When the user wants to stop, it is cancelled: at the server where
 * cli_cancel_ask() was called before and learned enough, and its own answer counts; else it is given up, and CANCELLED.
 * Returns 0, however it ended; the QURING_E* that refused it; or QURING_ESHUTDOWN when the user wanted to stop before.
 */
int cli_client_query(struct cli_client *client, const quring_query *query, quring_done *done);
/* The same for text without parameters or rows. Returns CLI_EXIT_OK, or another exit status after a message. */
int cli_client_execute(struct cli_client *client, const char *sql);
/* Reads one number. `sqlstate` becomes that of a failure, or "". Of 42P01 (no such table) the caller is to tell. */
int cli_client_number(struct cli_client *client, const char *sql, int64_t *number, char sqlstate[6]);

/* The notices and warnings of a query, on standard error, as psql shows them. */
void cli_notices_show(const quring_result *result);
/* Why a query failed, on standard error: "where: message (SQLSTATE …)", detail and hint. */
void cli_failure_say(const char *where, const quring_done *done);
/* The same for a statement of a text: with its lines, and a caret where the database says it went wrong. */
void cli_failure_show(const char *where, const quring_done *done, const struct cli_statement *statement);
/* The line that an error is on: that of its position or, where the database names none, of the statement's first word. */
uint64_t cli_failure_line(const quring_done *done, const struct cli_statement *statement);
/* A statement that was refused before it was sent. */
void cli_refusal_show(const char *where, const quring_engine *engine, int error, const struct cli_statement *statement);

#endif
