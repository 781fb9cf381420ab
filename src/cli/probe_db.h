/* SPDX-License-Identifier: MIT */
/* `quring probe URL`: whether a database can be reached, and if not, why. */
#ifndef QURING_CLI_PROBE_DB_H
#define QURING_CLI_PROBE_DB_H

#include "cli/common/out.h"
#include "quring/quring.h"

#include <stdint.h>

struct cli_probe_db {
    quring_db_state state; /* UP: a query was answered */
    char server[64];       /* "PostgreSQL 15.14"; "" when it was not reached */
    uint64_t took_ns;      /* from opening the handle to the answer */
    char sqlstate[6];
    char why[512];  /* of a database that can't be reached; "" otherwise */
    char hint[256]; /* what to do about it; "" when nothing is known */
};

/*
 * Opens the database of one of the library's URLs, asks for its version, and closes it. Returns CLI_EXIT_OK, or another
 * exit status after a message when there is nothing to show.
 */
int cli_probe_db_look(struct cli_probe_db *probe, const char *url);

/* Write it, for people as lines of `quring probe`, and as a JSON object. */
void cli_probe_db_put(struct cli_out *out, const struct cli_probe_db *probe);
void cli_probe_db_put_json(struct cli_out *out, const struct cli_probe_db *probe);

#endif
