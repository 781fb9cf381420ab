/* SPDX-License-Identifier: MIT */
/*
 * The connections to one server. The pool decides which of them try to connect and when, how long queries wait for one, and
 * which one a query is given to.
 */
#ifndef QURING_PG_POOL_H
#define QURING_PG_POOL_H

#include "pg/pool_state.h"

/* Takes sockets from the ring, and begins to connect. A QURING_E* with hub_error() set: nothing of it is left. */
int pg_pool_open(struct pg_pool *pool, struct quring_db *db, const char *url, uint64_t *kept_bytes);

/* Sets how many connections there may be: those that are too many end once nothing is out on them. 0 or a QURING_E*. */
int pg_pool_resize(struct pg_pool *pool, uint32_t connection_count);

/* Has every connection that there is replaced. */
void pg_pool_drain(struct pg_pool *pool);

/* Begins to close its connections. */
void pg_pool_close(struct pg_pool *pool);
bool pg_pool_is_closed(const struct pg_pool *pool); /* all are DOWN */
void pg_pool_free(struct pg_pool *pool);

/* Once a turn, before queries are admitted. */
void pg_pool_advance(struct pg_pool *pool);

/*
 * True while queries wait for the connections that the pool begins with. No more do so once an attempt has failed or a
 * connection was lost, for then some may never come.
 */
bool pg_pool_holds(struct pg_pool *pool);

/* Gives waiting queries to connections, and hands what was encoded to the ring. */
void pg_pool_admit(struct pg_pool *pool, struct queue *queue);

/* The same for what has waited for longer than the first shared query, while transactions wait in line (lease.h). */
void pg_pool_admit_older(struct pg_pool *pool);

#endif
