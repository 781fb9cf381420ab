/* SPDX-License-Identifier: MIT */
/*
 * ATOMIC batches that a conflict undid, between one run and the next. Their members are RUNNING, in the pool's hands and on
 * no connection, until they are put back to the front of their queue.
 */
#ifndef QURING_PG_RERUN_H
#define QURING_PG_RERUN_H

#include "pg/pool_state.h"

struct batch;

void pg_rerun_init(struct pg_pool *pool);
void pg_rerun_free(struct pg_pool *pool);

/* Takes a batch whose members are in batch->members: puts them back, or does so after a random time. */
void pg_rerun_batch(struct pg_pool *pool, struct batch *batch, bool wait);

/* The query waits to be run again with its batch. */
static inline bool pg_rerun_has(struct query *query) {
    return !pg_query(query)->conn;
}

/* Ends such a query with `status`, and its batch with it. */
void pg_rerun_abandon(struct pg_pool *pool, struct query *query, quring_status status);

#endif
