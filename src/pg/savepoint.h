/* SPDX-License-Identifier: MIT */
/*
 * Where ROLLBACK TO goes back to. A query that was given up, or went over a limit, has failed its transaction for the program
 * alone: the server carries out what was sent behind it, which the program is told was SKIPPED. Where that is SAVEPOINT,
 * RELEASE or ROLLBACK TO, or such a statement was given up itself, the server's savepoints are others than the program's: by
 * the name that it gives, it would go back to one that keeps what was SKIPPED, or takes back what was OK. Such a transaction
 * is not revived, but rolled back.
 */
#ifndef QURING_PG_SAVEPOINT_H
#define QURING_PG_SAVEPOINT_H

#include "pg/tx_state.h"

/* The request is settled, and is dropped next. */
void pg_savepoint_settle(struct quring_tx *tx, const struct pg_request *request);

/* A ROLLBACK TO was carried out, and the transaction goes on from there. */
void pg_savepoint_revived(struct quring_tx *tx);

/*
 * True where the transaction's ROLLBACK TO might not go back to what stands before its failure. `goes_back` was not sent yet;
 * NULL: of those that were.
 */
bool pg_savepoint_misleads(struct quring_tx *tx, const struct query *goes_back);

/* The hint for that. */
#define PG_SAVEPOINT_MISLEADS "ROLLBACK TO was not carried out, because it might have gone back to another savepoint"

#endif
