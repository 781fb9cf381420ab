/* SPDX-License-Identifier: MIT */
/*
 * The connections to one server. The pool decides which of them try to connect and when, how long queries wait for one, and
 * which one a query is given to.
 *
 *      TRYING --a connection can be given queries--> UP --the last is lost--> OUTAGE --reconnect_wait_ns--> TRYING
 *                                                    ^                          |
 *                                                    +--a connection can be ----+
 *
 *   TRYING   no connection was ever made, or queries have waited long enough for one: a failed attempt ends those that wait
 *   UP       connections are up, or the last was just lost: the next one that is reported down begins the outage
 *   OUTAGE   the server was there and is not, and queries wait for it up to reconnect_wait_ns
 *
 * While none is up, one connection alone tries, so a server that is down or starting is asked by one, not by all; its
 * success starts the others. Failed attempts back off exponentially, with jitter. A server that refuses us for good
 * (wrong password, no such database) ends waiting queries with its own words in any state.
 */
#ifndef QURING_PG_POOL_H
#define QURING_PG_POOL_H

#include "pg/attempt.h"
#include "pg/placement.h"

enum pg_pool_state { PG_POOL_TRYING, PG_POOL_UP, PG_POOL_OUTAGE };

struct pg_pool {
    struct quring_db *db;
    struct pg_conn_config config;
    struct pg_attempts attempts;
    struct pg_conn **conns; /* each stays where it is */
    uint32_t conn_count;    /* as many sockets are set aside in the ring */
    uint32_t ready_count;   /* in PG_CONN_READY */
    struct pg_placement placement;
    uint8_t state; /* enum pg_pool_state */
    const struct pg_conn *last_down;
    struct timer outage; /* set in OUTAGE: when queries have waited long enough */
};

/* Takes sockets from the ring, and begins to connect. A QURING_E* with hub_error() set: nothing of it is left. */
int pg_pool_open(struct pg_pool *pool, struct quring_db *db, const char *url, uint64_t *kept_bytes);

/* Begins to close its connections. */
void pg_pool_close(struct pg_pool *pool);
bool pg_pool_is_closed(const struct pg_pool *pool); /* all are DOWN */
void pg_pool_free(struct pg_pool *pool);

/* Once a turn, before queries are admitted. */
void pg_pool_advance(struct pg_pool *pool);

/* Gives waiting queries to connections, and hands what was encoded to the ring. */
void pg_pool_admit(struct pg_pool *pool, struct queue *queue);

#endif
