/* SPDX-License-Identifier: MIT */
/*
 * An ATOMIC batch of more members than a connection takes at once (options.depth). It is a transaction (tx.h) with a connection
 * of its own, and COMMIT goes right behind the last member:
 *
 *      [BEGIN m1 … mk Sync]  [… Sync]  …  [… mn Sync]  [COMMIT Sync]
 *
 * What was answered is held, in the batch's list and in its order, and so are the requests of it that a failure has kept
 * from running. The end tells them all, once the connection is outside of the transaction again, or is lost:
 *
 *   committed  each ends as its own reply said
 *   conflict   40001 or 40P01, of a member or of COMMIT: all of it runs again, after a moment
 *   stale      a plan was out of date before its query ran: the same, at once
 *   lost       before COMMIT left: the same, once; a second time all end with SERVER_ERROR, since nothing took effect
 *   in doubt   lost with COMMIT, or the server can't tell: all end so
 *   failed     the member that failed ends with its error, the others SKIPPED; of BEGIN and COMMIT, all with the error
 *
 * It runs again only with all of its members. A member that is given up after it was sent leaves it; one that waits to be sent
 * is its failure, and then the others end at once, and the server is told to stop.
 */
#ifndef QURING_PG_BULK_H
#define QURING_PG_BULK_H

#include "core/tx.h"
#include "pg/request.h"

/* The sync point of a segment: its requests are settled, and dropped. */
void pg_bulk_settle(struct quring_tx *tx, const struct wire_event *ready);

/* The server refused COMMIT, or said more behind it. */
void pg_bulk_commit_failed(struct quring_tx *tx, const struct pg_request *request, const struct wire_error *error);

/* As pg_request_ops.lost, of each request that was out; then, before it lets go of its connection, what the loss means. */
void pg_bulk_lost(struct quring_tx *tx, uint64_t ordinal, bool sent);
void pg_bulk_note_loss(struct quring_tx *tx, bool in_doubt);

/* It has let go of this connection, and nothing of it is out: has it run again, or tells its members and ends it. */
void pg_bulk_end(struct quring_tx *tx, struct pg_conn *conn);

/*
 * It was given up before its COMMIT was sent: its members end. False: none was out. `*last` is the ordinal of the last one's
 * request.
 */
bool pg_bulk_stop(struct quring_tx *tx, uint64_t *last);

/* ENDING, and its members were given up: its COMMIT is, too. False: that was answered. */
bool pg_bulk_give_up_end(struct quring_tx *tx);

#endif
