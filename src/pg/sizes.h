/* SPDX-License-Identifier: MIT */
/*
 * How many connections a pool has, and which of them end for others to take their place.
 *
 *      least  <=  wanted  <=  most
 *
 *   wanted   grows while all that are READY have queries out, and falls with each that has been idle for connection_idle_ns
 *
 *      READY --connection_lifetime_ns passed, drained--> outdated --its turn--> RETIRING --nothing is out--> DOWN
 *
 * Outdated connections serve until it is their turn. Where fewer are wanted than there may be, a successor comes up first;
 * where there is no room for it, one at a time makes room, or, in a drain, half of them, as fast as successors come up
 * (manners.h). So while a server takes no new connections the old ones go on, but for those few. There the turn of one
 * under a query that takes long (placement.h) comes when that has ended, so that it holds up no other.
 */
#ifndef QURING_PG_SIZES_H
#define QURING_PG_SIZES_H

#include "pg/pool_state.h"

/* The pool was zeroed, and has its options. It wants the least. */
void pg_sizes_init(struct pg_pool *pool);

/* There may be so many connections. False: no memory. */
bool pg_sizes_reserve(struct pg_pool *pool, uint32_t conn_count);
void pg_sizes_free(struct pg_pool *pool);

/* options.connection_count is another. pg_sizes_settle() follows. */
void pg_sizes_changed(struct pg_pool *pool);

/* All connections that there are become outdated. pg_sizes_settle() follows. */
void pg_sizes_drain(struct pg_pool *pool);

/* The connection is READY; it is READY or RETIRING, and ends. */
void pg_sizes_up(struct pg_pool *pool, struct pg_conn *conn);
void pg_sizes_lost(struct pg_pool *pool, struct pg_conn *conn);

/* Answers came on an outdated connection that is READY: it may be its turn. */
void pg_sizes_progressed(struct pg_pool *pool, struct pg_conn *conn);

/*
 * Retires connections whose turn it is, and gives back sockets that none will need. To be called when one came up or went
 * down, before pg_plan_attempts().
 */
void pg_sizes_settle(struct pg_pool *pool);

/* Queries were given away: wants more connections where all have queries out. */
void pg_sizes_grow(struct pg_pool *pool);

/* Ends the connection if it is RETIRING, and nothing is out on it. */
void pg_sizes_retiring(struct pg_conn *conn);

/* The timer of a READY connection fired. */
void pg_sizes_look(struct pg_conn *conn);

#endif
