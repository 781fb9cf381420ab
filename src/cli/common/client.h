/* SPDX-License-Identifier: MIT */
/* An engine with one database, and single statements on it. */
#ifndef QURING_CLI_COMMON_CLIENT_H
#define QURING_CLI_COMMON_CLIENT_H

#include "cli/common/cancel.h"
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

#endif
