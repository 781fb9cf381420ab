/* SPDX-License-Identifier: MIT */
/*
 * Where ROLLBACK TO goes back to. A query that was given up, or went over a limit, has failed its transaction for the program
 * alone: the server carries out what was sent behind it, which the program is told was SKIPPED. A savepoint that was set
 * there under the same name is the one that the server goes back to, and what stands before that would stay. And where a
 * RELEASE stands there, it may go back to an older one, and take back what was told as OK. So it is where such a statement,
 * or a ROLLBACK TO, was given up itself. Such a transaction is not revived, but rolled back.
 */
#ifndef QURING_PG_SAVEPOINT_H
#define QURING_PG_SAVEPOINT_H

#include "pg/tx_state.h"

/* The request is settled, and is dropped next. */
void pg_savepoint_settle(struct quring_tx *tx, const struct pg_request *request);

/* A ROLLBACK TO was carried out, and the transaction goes on from there. */
void pg_savepoint_revived(struct quring_tx *tx);

/* True: the ROLLBACK TO, which was not sent, might go back to what stands behind a failure. */
bool pg_savepoint_misleads(struct quring_tx *tx, const struct query *goes_back);

/* The same of those that were sent. */
bool pg_savepoint_has_misled(struct quring_tx *tx);

#endif
