/* SPDX-License-Identifier: MIT */
/*
 * Threads that move money between accounts by their inboxes: in transactions and in ATOMIC batches, some of which they cancel,
 * roll back or leave to their release. Each keeps what it was told of each move, and the tables are the witness: what was
 * said to be committed is there, what was said not to be is not, and no money was made or lost.
 */
#ifndef QURING_TESTS_LIB_REMOTE_TX_H
#define QURING_TESTS_LIB_REMOTE_TX_H

#include "lib/remote.h"

enum { REMOTE_ACCOUNTS = 20, REMOTE_BALANCE = 1000 };

enum remote_fate { FATE_UNKNOWN, FATE_COMMITTED, FATE_NOT };

struct remote_mover {
    struct remote_host *host;
    pthread_t thread;
    uint32_t number;     /* of the thread, in the table `moves` */
    uint32_t move_count; /* room for fates */
    uint32_t window;     /* moves that are out at most */
    bool until_shut;     /* submits until it is told ESHUTDOWN, and no more than move_count */
    bool leaves;         /* closes its inbox halfway, with moves out */
    sem_t *opened;       /* posted once its inbox is open; may be NULL */
    /* What became of them. */
    uint8_t *fates; /* enum remote_fate, by number */
    uint32_t begun_count, ended_count, committed_count, wrong_count;
    int error; /* of a call that should not have failed */
};

/* Makes the tables, on any thread but the engine's. */
void remote_make_accounts(struct remote_host *host);

/* `like`: but for the numbers and the fates. */
void remote_movers_start(struct remote_host *host, struct remote_mover movers[REMOTE_CLIENTS],
                         const struct remote_mover *like);

/* Waits for all, and fails the test if a query had no end, or two. */
void remote_movers_join(struct remote_mover movers[REMOTE_CLIENTS]);

/* Fails the test if the tables say otherwise than the threads were told. Frees the fates. */
void remote_check_moves(struct remote_host *host, struct remote_mover movers[REMOTE_CLIENTS]);

#endif
