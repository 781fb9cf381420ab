/* SPDX-License-Identifier: MIT */
/* Attempts to connect: how long they may take, and when they are detached. */
#ifndef QURING_PG_ATTEMPT_H
#define QURING_PG_ATTEMPT_H

#include "base/rng.h"
#include "pg/conn.h"

enum { PG_ATTEMPTS_MAX = 64, PG_DETACHED_MAX = 2 };

/* The number of detached attempts that still run. Shared and counted by reference, since these may outlive the handle. */
struct pg_detached {
    atomic_uint references;
    atomic_uint count;
};

struct pg_detached *pg_detached_new(void); /* NULL: no memory */
void pg_detached_drop(struct pg_detached *detached);

/* The part that the attempts of one pool share. */
struct pg_attempts {
    char *conninfo; /* owned */
    pg_connector connector;
    struct pg_detached *detached; /* held */
    uint32_t count;               /* under way, detached ones apart: at most PG_ATTEMPTS_MAX */
    struct rng rng;
};

void pg_attempt_start(struct pg_conn *conn); /* DOWN -> CONNECTING, or later */
void pg_attempt_end(struct pg_conn *conn);   /* gives it up, for good */

/* The handler of pg_conn.timer. */
void pg_attempt_timer(struct timer *timer);

#endif
