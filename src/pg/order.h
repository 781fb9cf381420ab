/* SPDX-License-Identifier: MIT */
/*
 * Queries with an order key on a pool (core/order_key.h). Where a key is PLACED its queries follow each other on that connection,
 * which carries them out in order, up to the sync point of the last one, also where that was given up.
 *
 * What is run again must not fall behind what was sent after it, so
 *   - while a query of the key is in a group of several, which would be undone together, only members of the same group follow
 *     it; others wait for its sync point
 *   - a query whose plan is stale is not run again if others of its key were sent after it (reply.c)
 *   - no cancel that may hit a query with others of its key behind it is asked for (pg_request_may_be_struck)
 *
 * A connection without room is no reason to go elsewhere: its keys wait, and take turns when it has room, before queries of
 * the queue are given to it. One that takes no more queries (it is RETIRING, or has another source) keeps its keys until
 * none of their queries is out there.
 */
#ifndef QURING_PG_ORDER_H
#define QURING_PG_ORDER_H

#include "pg/pool_state.h"

/*
 * Gives the first query of the queue, which has a key, to the connection where this is placed, and to `conn` if it is at none;
 * or parks it.
 */
void pg_order_admit(struct pg_pool *pool, struct pg_conn *conn);

/* Gives parked queries to connections that may have room for them since the last time. */
void pg_order_admit_parked(struct pg_pool *pool);

/* Sync points came on the connection. */
void pg_order_settle(struct pg_pool *pool, struct pg_conn *conn);

#endif
