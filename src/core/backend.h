/* SPDX-License-Identifier: MIT */
/*
 * What the engine asks of a backend. All calls come on the reactor's thread, none from within another, and none blocks
 * except `destroy`.
 */
#ifndef QURING_CORE_BACKEND_H
#define QURING_CORE_BACKEND_H

#include "core/db.h"

struct backend {
    const char *name;

    /* Whether this URL is the backend's. */
    bool (*accepts)(const char *url);

    /*
     * Makes a handle for the URL, checks the URL, and begins whatever it does in the background. The engine fills the
     * base's fields from `base` (host, engine, backend, options with defaults where the engine knows them) before.
     * Returns 0 and the handle, or a QURING_E* with host_error() set.
     */
    int (*open)(const struct quring_db *base, const char *url, struct quring_db **db);

    /*
     * Once a turn, before the ring goes to the kernel: admits waiting queries as far as depth and bytes allow
     * (db_query_admit), encodes or batches them, and hands what is ready to the ring.
     */
    void (*advance)(struct quring_db *db);

    /*
     * The engine gives this RUNNING query up: `status` is TIMEOUT, CANCELLED or SHUTDOWN. The backend finishes it with
     * db_query_fail(), and keeps what it needs to consume and drop a late reply. When another thread works on it, it is
     * interrupted, and finished in a later turn, when that thread has let go of it; until then it may be abandoned again,
     * and the first status holds.
     */
    void (*abandon)(struct query *query, quring_status status);

    /*
     * Begins to let go of everything: closes connections, interrupts lanes. What is still RUNNING ends with SHUTDOWN.
     * Sets db->closed once nothing of it is left in the ring or on a lane, maybe turns later.
     */
    void (*close)(struct quring_db *db);

    /* Frees a handle whose `closed` is set. */
    void (*destroy)(struct quring_db *db);
};

extern const struct backend pg_backend;
extern const struct backend lite_backend;

#endif
