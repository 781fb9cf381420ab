/* SPDX-License-Identifier: MIT */
/* Has connections of a pool try, as many as it wants and as manners.h allows, in O(1) for each that begins or ends. */
#ifndef QURING_PG_PLAN_H
#define QURING_PG_PLAN_H

#include "pg/pool_state.h"

/* All connections are DOWN. */
void pg_plan_init(struct pg_pool *pool);

/* Begins attempts, or sets the time for the next one. To be called whenever one ended, or the pool may want more. */
void pg_plan_attempts(struct pg_pool *pool);

/* The same, where a query waits: only for one does a server that has refused for good get another attempt. */
void pg_plan_attempts_asked(struct pg_pool *pool);

/* The attempt of the connection succeeded. */
void pg_plan_succeeded(struct pg_pool *pool, const struct pg_conn *conn);

/*
 * The connection is DOWN for conn->reason, or its attempt could not begin, and it may try again. Returns the wait before the
 * next attempt, if it begins with this failure; else 0. pg_plan_attempts() follows.
 */
uint64_t pg_plan_failed(struct pg_pool *pool, struct pg_conn *conn);

#endif
