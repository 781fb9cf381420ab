/* SPDX-License-Identifier: MIT */
/*
 * Asks connections on which nothing was heard for options.health_check_ns whether they are there, before queries go to
 * them: firewalls and balancers forget connections that are idle, and tell nobody. A Sync is out on such a connection, and
 * no query behind it; the answer has silence_ns, and what is lost with the connection is that Sync alone.
 */
#ifndef QURING_PG_HEALTH_H
#define QURING_PG_HEALTH_H

#include "pg/placement.h"

/*
 * Has idle connections asked whether they are there, where none of them was heard of for a while. More than there are
 * queries, because some may not be: but one query must not make a big pool ask all over. The next is asked when an answer
 * has come, or one that gave none was lost. Connections that are asked may break.
 */
void pg_health_check(struct pg_placement *placement, uint32_t waiting_count);

/* The connection is READY, and was not asked yet. */
void pg_health_begin(struct pg_conn *conn);

/* Nothing is out on the connection: since when no query has been, whether or not it was asked meanwhile. */
uint64_t pg_health_unused_ns(const struct pg_conn *conn);

#endif
