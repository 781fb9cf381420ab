/* SPDX-License-Identifier: MIT */
/*
 * Cancelling a statement at a PostgreSQL server, over a second connection, where it is certain that nobody else's is hit:
 * pg_backend_pid() and what the server named when it was connected to agree (no pooler stands between), and the second
 * connection sees that very process, by its number and the time of its start (it reached the same server).
 *
 *   OFF ──ask──► ASKED ──the process──► KNOWN ──send──► SENT ──done──► DELIVERED
 *                  └──not certain──► FAILED ◄──not done───┘
 */
#ifndef QURING_CLI_COMMON_CANCEL_H
#define QURING_CLI_COMMON_CANCEL_H

#include "quring/quring.h"

#include <stdbool.h>

enum cli_cancel_state {
    CLI_CANCEL_OFF,
    CLI_CANCEL_ASKED,
    CLI_CANCEL_KNOWN,
    CLI_CANCEL_SENT,
    CLI_CANCEL_DELIVERED,
    CLI_CANCEL_FAILED
};

struct cli_cancel {
    uint8_t state; /* enum cli_cancel_state, moved by cancel_move() */
    quring_id id;  /* of the query of its own that is out */
    int64_t pid, started_us;
    quring_db *other; /* the second connection, once one is needed */
    const char *why;  /* FAILED: a clause */
};

/* Asks which process is behind an exclusive handle, in one flight with the statement that is submitted next. */
void cli_cancel_ask(struct cli_cancel *cancel, quring_engine *engine, quring_db *db);

/* Takes a completion that is its own, which the caller releases; false: it is somebody else's. `db` as for ask. */
bool cli_cancel_take(struct cli_cancel *cancel, const quring_db *db, const quring_done *done);

/* KNOWN: sends the cancel. SENT or FAILED afterwards. */
void cli_cancel_send(struct cli_cancel *cancel, quring_engine *engine, const char *url);

void cli_cancel_close(struct cli_cancel *cancel);

#endif
