/* SPDX-License-Identifier: MIT */
/*
 * The parts of a pool, and its states.
 *
 *      TRYING --a connection can be given queries--> UP --the last is lost--> OUTAGE --reconnect_wait_ns--> TRYING
 *                                                    ^                          |
 *                                                    +--a connection can be ----+
 *
 *   TRYING   no connection was ever made, or queries have waited long enough for one: a failed attempt ends those that wait
 *   UP       connections are up, or the last was just lost: the next one that is reported down begins the outage
 *   OUTAGE   the server was there and is not, and queries wait for it up to reconnect_wait_ns
 *
 * A server that refuses us for good (wrong password, no such database) ends waiting queries with its own words in any state.
 */
#ifndef QURING_PG_POOL_STATE_H
#define QURING_PG_POOL_STATE_H

#include "pg/attempt.h"
#include "pg/cancel.h"
#include "pg/manners.h"
#include "pg/placement.h"

enum pg_pool_state { PG_POOL_TRYING, PG_POOL_UP, PG_POOL_OUTAGE };

/* Why a connection went down, or an attempt failed. It outlives the connection, whose next attempt has its own reason. */
struct pg_last_reason {
    uint64_t at_ns; /* 0: there is none */
    char sqlstate[6];
    char message[PG_MESSAGE_BYTES];
};

/* There is room for these in the ring, and for the two of each connection: setting them can't fail. */
enum { PG_POOL_TIMERS = 5 };

/* Transactions and the connections that they hold: see lease.h. */
struct pg_leases {
    struct list waiting;   /* queues of those that wait for a connection to hold; the first comes first */
    struct list whole;     /* queues of those that wait for room among others */
    uint32_t count;        /* connections that are held, also … */
    struct pg_conn *apart; /* … by one that was outrun, beside as many as may be; NULL: none is */
};

/* Transactions of which nobody knows whether they committed: see resolve.h. */
struct pg_resolves {
    struct list waiting; /* those that are to be asked for, the first first */
    struct heap due;     /* all of them, by when they are to be looked at */
    struct timer timer;  /* set for the first of these */
    uint32_t asking_count;
};

struct pg_pool {
    struct quring_db *db;
    struct pg_conn_config config;
    struct pg_attempts attempts;
    struct pg_manners manners;
    struct timer next_attempt;                      /* set while a connection is wanted that may not try yet */
    struct pg_conn **conns;                         /* each stays where it is */
    uint32_t conn_count;                            /* in `conns`, in whatever state */
    uint32_t socket_count;                          /* set aside in the ring */
    uint32_t least_count, wanted_count, most_count; /* see sizes.h */
    struct heap outdated;  /* of pg_conn.turn: those in PG_CONN_READY that others take the place of */
    struct list owing;     /* see pg_conn_config */
    bool draining;         /* until none is outdated */
    bool complete;         /* all that are wanted were up at once, and of those others have only been renewed since */
    struct timer settle;   /* set for the next turn, because the program has changed what is wanted */
    uint32_t trying_count; /* in PG_CONN_CONNECTING, PG_CONN_BARRIER, or broken before they were up */
    uint32_t ready_count;  /* in PG_CONN_READY */
    uint32_t open_count;   /* in any state but PG_CONN_DOWN */
    struct list down;      /* those in PG_CONN_DOWN that may try: the next to do so first */
    struct pg_placement placement;
    struct pg_cancels cancels;
    struct list ordered; /* of order_place.link: connections that may have room for queries that are parked */
    struct pg_leases leases;
    struct pg_resolves resolves;
    uint8_t state;               /* enum pg_pool_state */
    struct heap reruns;          /* of batch.again: batches that wait to be run again after a conflict */
    struct timer rerun;          /* set for the first of them, one of PG_POOL_TIMERS */
    struct pg_last_reason last;  /* whatever it was */
    struct pg_last_reason final; /* of the last refusal for good */
    struct timer outage;         /* set in OUTAGE: when queries have waited long enough */
};

static inline struct ring *pg_pool_ring(const struct pg_pool *pool) {
    return pool->db->hub->ring;
}

static inline struct pg_pool *pg_pool_of(const struct pg_conn *conn) {
    return base_container_of(conn->config, struct pg_pool, config);
}

#endif
