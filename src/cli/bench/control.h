/* SPDX-License-Identifier: MIT */
/* The part of a script's statement in transactions, told from its first words. */
#ifndef QURING_CLI_BENCH_CONTROL_H
#define QURING_CLI_BENCH_CONTROL_H

#include "quring/quring.h"

enum cli_control {
    CLI_CONTROL_NONE,
    CLI_CONTROL_BEGIN,     /* a transaction that quring_tx_options can tell of */
    CLI_CONTROL_COMMIT,    /* COMMIT, END */
    CLI_CONTROL_ROLLBACK,  /* ROLLBACK, ABORT */
    CLI_CONTROL_INSIDE,    /* it has its place in a transaction: SAVEPOINT, ROLLBACK TO, LOCK, SET LOCAL */
    CLI_CONTROL_EXCLUSIVE, /* it needs a connection of its own: SET, COMMIT AND CHAIN, PREPARE TRANSACTION */
    CLI_CONTROL_REFUSED    /* COPY, LISTEN, UNLISTEN */
};

/* `options` is written for CLI_CONTROL_BEGIN alone. */
enum cli_control cli_control_of(const char *text, size_t size, bool sqlite, quring_tx_options *options);

#endif
