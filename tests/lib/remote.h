/* SPDX-License-Identifier: MIT */
/*
 * An engine on a thread of its own, and threads that have queries run there by inboxes. Each query carries its number, and
 * its one row must hold it: a row of another query is found, as is a query that ends twice or never.
 */
#ifndef QURING_TESTS_LIB_REMOTE_H
#define QURING_TESTS_LIB_REMOTE_H

#include "quring/quring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* ---- The engine's thread ---- */

struct remote_host {
    const char *url;
    quring_db_options options;
    quring_engine *engine;
    quring_db *db;
    pthread_t thread;
    sem_t ready;
    atomic_bool stop;
    bool is_foreign;         /* the engine's thread sleeps in poll(2) on quring_fd() */
    atomic_uint ended_count; /* clients that have closed their inboxes */
    uint64_t grace_ns;       /* of the quring_shutdown() that ends it; 0: quring_engine_close() alone */
};

/* Starts it, and waits until its engine and handle are open. The caller has set url and options. */
void remote_host_start(struct remote_host *host);

/* Has it close its engine, and waits for that. */
void remote_host_stop(struct remote_host *host);

/* ---- One query of the calling thread ---- */

/* By an inbox of its own; it has to be OK. Its rows are there until the caller closes the inbox. */
quring_done remote_ask(struct remote_host *host, const char *sql, quring_inbox **inbox);

/* The same for one whose rows do not matter, and for one that gives a number. */
void remote_tell(struct remote_host *host, const char *sql);
int64_t remote_int(struct remote_host *host, const char *sql);

/* ---- Threads with queries ---- */

struct remote_client {
    struct remote_host *host;
    pthread_t thread;
    uint32_t query_count; /* that it submits; UINT32_MAX: until it is told ESHUTDOWN */
    uint32_t window;      /* out at most */
    uint32_t cancel_each; /* every n-th is cancelled; 0: none */
    bool polls;           /* waits by poll(2) on its descriptor, instead of quring_inbox_wait() */
    bool leaves;          /* closes its inbox with queries out */
    sem_t *opened;        /* posted once its inbox is open; may be NULL */
    /* What became of them. */
    uint32_t submitted_count, ended_count, wrong_count;
    uint32_t by_status[QURING_SHUTDOWN + 1];
    int error; /* of a call that should not have failed */
};

void remote_client_start(struct remote_client *client);

/* Waits for its end, and fails the test if anything was lost, doubled or mixed up. */
void remote_client_join(struct remote_client *client);

/* The same for eight, which are like that one but for their windows and the way in which they wait. */
enum { REMOTE_CLIENTS = 8 };

void remote_clients_start(struct remote_host *host, struct remote_client clients[REMOTE_CLIENTS],
                          const struct remote_client *like);

/* Adds up what became of their queries; `by_status`: NULL is allowed. */
void remote_clients_join(struct remote_client clients[REMOTE_CLIENTS], uint32_t *by_status);

/*
 * Starts a host that is not up, and closes its engine while all submit, `rounds` times, each time `pause_us` later: each query has
 * an end, and each thread is told.
 */
void remote_clients_outlive(struct remote_host *host, unsigned rounds, unsigned pause_us);

#endif
