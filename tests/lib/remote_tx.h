/* SPDX-License-Identifier: MIT */
/*
 * Threads that move money between accounts by their inboxes: in transactions and in ATOMIC batches, some of which they cancel,
 * roll back or leave to their release. Each keeps what it was told of each move, and the tables are the witness: what was
 * said to be committed is there, what was said not to be is not, and no money was made or lost. Where transactions have tokens,
 * each of those that took effect has left the token that its thread knew beforehand.
 */
#ifndef QURING_TESTS_LIB_REMOTE_TX_H
#define QURING_TESTS_LIB_REMOTE_TX_H

#include "lib/remote.h"

enum { REMOTE_ACCOUNTS = 20, REMOTE_BALANCE = 1000 };

enum remote_fate { FATE_UNKNOWN, FATE_COMMITTED, FATE_NOT };

struct remote_mover {
    struct remote_host *host;
    pthread_t thread;
    uint32_t number;                  /* of the thread, in the table `moves` */
    uint32_t move_count;              /* room for fates */
    uint32_t window;                  /* moves that are out at most */
    bool until_shut;                  /* submits until it is told ESHUTDOWN, and no more than move_count */
    bool leaves;                      /* closes its inbox halfway, with moves out */
    sem_t *opened;                    /* posted once its inbox is open; may be NULL */
    const quring_tx_options *options; /* of transactions; NULL: all defaults */
    /* What became of them. */
    uint8_t *fates; /* enum remote_fate, by number */
    uint32_t begun_count, ended_count, committed_count, wrong_count;
    uint32_t doubt_count; /* of transactions of which COMMIT could not tell what became */
    int error;            /* of a call that should not have failed */
};

/* The table that options.token_table is to name. */
#define REMOTE_TOKENS "move_tokens"

/* Makes the tables, on any thread but the engine's. */
void remote_make_accounts(struct remote_host *host);

/* `like`: but for the numbers and the fates. */
void remote_movers_start(struct remote_host *host, struct remote_mover movers[REMOTE_CLIENTS],
                         const struct remote_mover *like);

/* Waits for all, and fails the test if a query had no end, or two. */
void remote_movers_join(struct remote_mover movers[REMOTE_CLIENTS]);

/* Fails the test if the tables say otherwise than the threads were told. Frees the fates. */
void remote_check_moves(struct remote_host *host, struct remote_mover movers[REMOTE_CLIENTS]);

/* All of it on a host that is up. Returns how many moves took effect. */
uint32_t remote_move_money(struct remote_host *host, const struct remote_mover *like);

/*
 * Starts a host that is not up, and closes its engine while all move money, `rounds` times, each time `pause_us` later. `stays`:
 * the tables are there with the next engine, and are checked.
 */
void remote_move_until_closed(struct remote_host *host, unsigned rounds, unsigned pause_us, bool stays);

#endif
