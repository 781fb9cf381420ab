/* SPDX-License-Identifier: MIT */
/*
 * One visit of an attempt to connect, on a thread of its own: a name is looked up, or libpq connects to one address,
 * authenticates, and gives the socket away (connect.c). The reactor decides when a visit begins, how long it may take, and
 * when it is detached (attempt.c).
 */
#ifndef QURING_PG_CONNECT_H
#define QURING_PG_CONNECT_H

#include "pg/hosts.h"
#include "ring/task.h"

struct buf;
struct pg_conn;
struct pg_tls;

enum { PG_MESSAGE_BYTES = 512 };

/* How a request to cancel ended. */
enum pg_cancel_fate {
    PG_CANCEL_UNHEARD, /* the server has not heard of it, and never will */
    PG_CANCEL_TAKEN,   /* the server has ended it: it hits no query that is sent from now on */
    PG_CANCEL_CUT      /* it was cut off, and may come to the server at any time */
};

/* What has the query cancelled that a session is at. It outlives libpq's part of the session, and the session itself. */
struct pg_cancel_key {
    enum pg_cancel_fate (*ask)(struct pg_cancel_key *key, struct task *task); /* blocks, in `task` */
    void (*drop)(struct pg_cancel_key *key);
};

/* BackendKeyData: what the server wants to see in a request to cancel. */
struct pg_backend_key {
    uint32_t pid, secret;
};

/* A visit and its outcome. Detached, it belongs to its own thread. */
struct pg_connect {
    struct task task;
    struct pg_conn *conn;
    struct pg_hosts *hosts; /* held */
    const struct pg_host *host;
    const char *session;        /* target_session_attrs; NULL: the connection string's */
    uint64_t key;               /* of what is visited: pg_hosts_key() */
    struct pg_trouble *trouble; /* where it counts: a detached one, and pg_hosts_enter() */
    void (*run)(struct pg_connect *connect);
    uint64_t until_ns;                /* monotonic: the visit's end, first exchange included */
    atomic_bool abort;                /* set by the reactor: give up soon */
    bool missed;                      /* its time was over */
    int fd;                           /* -1: failed, or a look-up */
    int server_pid;                   /* as the server named it; 0 when it did not */
    struct pg_backend_key backend;    /* zero: it was not seen */
    struct pg_tls *tls;               /* NULL on a plain connection */
    struct pg_cancel_key *cancel_key; /* NULL on TLS, where libpq would send it in clear text, and without memory */
    uint64_t server;                  /* on TLS: names the address that was connected to; 0: unknown */
    uint16_t client_port;             /* on TLS: ours */
    char sqlstate[6];
    char message[PG_MESSAGE_BYTES];
    char address[PG_ADDRESS_BYTES]; /* of a name; "" where `host` has all */
    struct pg_addresses found;      /* by a look-up; none: it failed */
};

typedef void (*pg_connector)(struct pg_connect *connect);

void pg_connect_prepare(void);                       /* before any attempt; again does no harm */
void pg_connect_run(struct pg_connect *connect);     /* a pg_connector: blocks */
void pg_connect_look_up(struct pg_connect *connect); /* a pg_connector: blocks */

/*
 * For tests: databases that this thread opens next connect through `connector` instead of libpq, and names are looked up by
 * `look_up`, or not at all where it is NULL. `connector` NULL: libpq again.
 */
void pg_use_connector(pg_connector connector, pg_connector look_up);
pg_connector pg_current_connector(void);
pg_connector pg_current_look_up(void);

#endif
