/* SPDX-License-Identifier: MIT */
/*
 * Asks connections on which nothing was heard for options.health_check_ns whether they are there, before queries go to
 * them: firewalls and balancers forget connections that are idle, and tell nobody. A Sync is out on such a connection, and
 * no query behind it; the answer has silence_ns, and what is lost with the connection is that Sync alone.
 */
#ifndef QURING_PG_HEALTH_H
#define QURING_PG_HEALTH_H

#include "pg/conn_state.h"

/* The connection is idle: true where it has been so for too long. */
bool pg_health_is_due(const struct pg_conn *conn);

/* Asks it. It may break. */
void pg_health_ask(struct pg_conn *conn);

/* The connection is READY, and was not asked yet. */
void pg_health_begin(struct pg_conn *conn);

/* Nothing is out on the connection: since when no query has been, whether or not it was asked meanwhile. */
uint64_t pg_health_unused_ns(const struct pg_conn *conn);

#endif
