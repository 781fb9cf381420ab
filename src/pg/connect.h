/* SPDX-License-Identifier: MIT */
/*
 * One attempt to connect, on a thread of its own: libpq connects and authenticates, and gives the socket away (connect.c).
 * The reactor decides when an attempt begins, how long it may take, and when it is detached (attempt.c).
 */
#ifndef QURING_PG_CONNECT_H
#define QURING_PG_CONNECT_H

#include "base/rng.h"
#include "ring/task.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct pg_conn;
struct pg_tls;

enum { PG_MESSAGE_BYTES = 512, PG_ATTEMPTS_MAX = 2, PG_DETACHED_MAX = 2 };

/* The number of detached attempts that still run. Shared and counted by reference, since these may outlive the handle. */
struct pg_detached {
    atomic_uint references;
    atomic_uint count;
};

struct pg_detached *pg_detached_new(void); /* NULL: no memory */
void pg_detached_drop(struct pg_detached *detached);

/* An attempt and its outcome. Detached, it belongs to its own thread. */
struct pg_connect {
    struct task task;
    struct pg_conn *conn;
    struct pg_detached *detached; /* held */
    void (*run)(struct pg_connect *connect);
    uint64_t until_ns;  /* monotonic: the attempt's end, first exchange included */
    atomic_bool abort;  /* set by the reactor: give up soon */
    int fd;             /* -1: failed */
    int server_pid;     /* as the server named it; 0 when it did not */
    struct pg_tls *tls; /* NULL on a plain connection */
    char sqlstate[6];
    char message[PG_MESSAGE_BYTES];
    char conninfo[];
};

typedef void (*pg_connector)(struct pg_connect *connect);

/* What the attempts of one pool have in common. */
struct pg_attempts {
    char *conninfo; /* owned */
    pg_connector connector;
    struct pg_detached *detached; /* held */
    uint32_t count;               /* under way, detached ones apart: at most PG_ATTEMPTS_MAX */
    struct rng rng;
};

/* ---- connect.c ---- */

void pg_connect_prepare(void);                   /* before any attempt; again does no harm */
void pg_connect_run(struct pg_connect *connect); /* a pg_connector: blocks */
/* For tests: databases that this thread opens next connect through `connector` instead of libpq; NULL: libpq again. */
void pg_use_connector(pg_connector connector);
pg_connector pg_current_connector(void);

/* ---- attempt.c ---- */

void pg_attempt_start(struct pg_conn *conn); /* DOWN -> CONNECTING, or later */
void pg_attempt_end(struct pg_conn *conn);   /* gives it up, for good */

#endif
