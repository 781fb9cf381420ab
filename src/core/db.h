/* SPDX-License-Identifier: MIT */
/*
 * What engine and backends share: the host (one per engine) and the database handle (one per URL).
 * A backend embeds struct quring_db as the first member of its own.
 */
#ifndef QURING_CORE_DB_H
#define QURING_CORE_DB_H

#include "base/list.h"
#include "core/query.h"
#include "quring/quring.h"

struct ring;
struct backend;

/* One per engine. */
struct host {
    struct ring *ring;
    struct list done; /* queries in DONE, oldest first */
    uint32_t done_count;
    struct list databases;
    size_t unsent_bytes; /* of given-up requests that lie in send buffers still: count against inflight_bytes */
    quring_stats stats;
    char message[512]; /* quring_errmsg() */
};

struct quring_db {
    struct list link; /* host->databases */
    struct host *host;
    struct quring_engine *engine;
    const struct backend *backend;
    struct statement_table *statements;
    struct list waiting; /* queries in WAITING, oldest first */
    uint32_t waiting_count;
    uint32_t running_count;
    bool closing;              /* takes no new queries */
    bool closed;               /* the backend has let go of everything: may be freed */
    uint32_t server_pid;       /* as the server named it; 0 but for a connected exclusive handle */
    quring_db_options options; /* defaults filled in */
};

/*
 * The one way for a query to end, from WAITING or RUNNING. Its error must be set, its result too when the status is OK;
 * any other status empties it. Drops its statement, and counts it in the host's done_count and row_count.
 */
void db_query_finish(struct query *query, quring_status status);

/* The same, with error text; `sqlstate` as in error_set(). */
__attribute__((format(printf, 4, 5))) void db_query_fail(struct query *query, quring_status status,
                                                         const char *sqlstate, const char *format, ...);

/* Takes the oldest waiting query for running; NULL when none waits. */
struct query *db_query_admit(struct quring_db *db);

/* Puts a running query back to the front of the waiting ones: no byte of it was sent, or all of it was undone. */
void db_query_requeue(struct query *query);

/* Sets quring_errmsg() and returns `error`. */
__attribute__((format(printf, 3, 4))) int host_error(struct host *host, int error, const char *format, ...);

#endif
