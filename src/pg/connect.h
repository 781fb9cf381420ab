/* SPDX-License-Identifier: MIT */
/*
 * One attempt to connect, on a thread of its own: libpq connects and authenticates, and gives the socket away (connect.c).
 * The reactor decides when an attempt begins, how long it may take, and when it is detached (attempt.c).
 */
#ifndef QURING_PG_CONNECT_H
#define QURING_PG_CONNECT_H

#include "ring/task.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct pg_conn;
struct pg_detached;
struct pg_tls;

enum { PG_MESSAGE_BYTES = 512 };

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

void pg_connect_prepare(void);                   /* before any attempt; again does no harm */
void pg_connect_run(struct pg_connect *connect); /* a pg_connector: blocks */
/* For tests: databases that this thread opens next connect through `connector` instead of libpq; NULL: libpq again. */
void pg_use_connector(pg_connector connector);
pg_connector pg_current_connector(void);

#endif
