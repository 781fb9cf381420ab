/* SPDX-License-Identifier: MIT */
/*
 * Queries that were given up, and that another thread is in the middle of for longer than their callers are to wait, are
 * *detached*. The caller gets a *stand-in*, which goes the way of any query that ended; the query itself stays in its backend's
 * hands:
 *
 *      the query   RUNNING --query_detach--> DETACHED --query_finish, by its backend--> RETURNED --> FREE
 *      its stand-in            DONE --reap--> REAPED --release--> freed                     both must have come to pass
 *
 * The other thread goes on to write the query's result, error, status and what its backend keeps, and to read its parameters
 * and its statement; so all of that stays as it is, with its slot and what it is charged for. What it takes part in does not
 * end with the caller's part either: its batch, its order key, its transaction's queue. query_finish() ends all of these, and
 * tells nobody.
 */
#ifndef QURING_CORE_DETACH_H
#define QURING_CORE_DETACH_H

#include "core/db.h"

/* A stand-in for the query, whose error and `sent` are for the caller to set. NULL: no memory. */
struct query *stand_in_new(const struct query *query);
void stand_in_free(struct query *stand_in);

/*
 * Ends a RUNNING query for its caller, with that status. `sent` has to be true unless it is certain that the query took no
 * effect and will take none.
 */
void query_detach(struct query *query, struct query *stand_in, quring_status status);

#endif
