/* SPDX-License-Identifier: MIT */
/*
 * What is sent of a transaction is *segments*, each ended by one Sync, and none has anything of another transaction or query
 * in it:
 *
 *      [BEGIN q1 … qk Sync]  [q … Sync]  [ROLLBACK TO x  q … Sync]  [COMMIT Sync]  [DISCARD ALL Sync]  [settings Sync]
 *
 * A failure keeps the server from all that follows in its segment. Until BEGIN is known to have succeeded nothing crosses its
 * Sync that would commit by itself: ROLLBACK TO fails outside of a transaction, and with it all that follows up to the next
 * Sync; COMMIT and ROLLBACK do nothing there. COMMIT has a segment of its own because it is what cleans up: of a transaction
 * that failed it makes a rollback, and then the server is outside of any before it reads what comes behind.
 *
 * A token (core/token.h) is the last request before COMMIT's segment. Outside of the transaction it would commit by itself, so it is
 * in the segment of BEGIN, or waits until BEGIN is known to have succeeded, and COMMIT with it.
 *
 * A note (core/xid.h) is a request of ours in front of COMMIT, which waits for its answer:
 *
 *      [… note Sync]  --answered-->  [COMMIT Sync]
 *
 * Such a transaction always has its connection for itself, so that nobody else waits behind it.
 *
 * Each of these functions encodes one of those parts on the transaction's connection. False: there was no memory, and the
 * connection is broken.
 */
#ifndef QURING_PG_TX_PUT_H
#define QURING_PG_TX_PUT_H

#include "pg/tx_state.h"

/* WAITING -> OPEN */
bool pg_tx_put_begin(struct quring_tx *tx);

/*
 * A statement that controls the transaction, on the unnamed statement, and without a Describe, since none has parameters or
 * rows. `query` NULL: it is ours.
 */
bool pg_tx_put_control(struct quring_tx *tx, struct query *query, const char *sql, size_t length);

/* A query that controls nothing. One that does not fit ends here, and makes the transaction fail. */
void pg_tx_put_member(struct quring_tx *tx, struct query *query);

bool pg_tx_put_note(struct quring_tx *tx);

/*
 * COMMIT or ROLLBACK, in a segment of its own, with the token before it and the reset behind it; `query` NULL: our ROLLBACK.
 * The words are ours, since a text that the server can't read would clean up nothing. OPEN -> ENDING
 */
bool pg_tx_put_end(struct quring_tx *tx, struct query *query);

/* COMMIT of an ATOMIC batch, which nobody has submitted, in a segment of its own. OPEN -> ENDING */
bool pg_tx_put_commit(struct quring_tx *tx);

/* DISCARD ALL takes back what quring has set there as well. */
bool pg_tx_put_reset(struct quring_tx *tx);

#endif
