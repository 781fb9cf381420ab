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
    size_t db_bytes; /* of its own handle, which begins with struct quring_db */

    /* Whether this URL is the backend's. */
    bool (*accepts)(const char *url);

    /*
     * Checks the URL, and begins whatever it does in the background. All of `db` is zero but for db_init(), hub, engine,
     * backend, and options with defaults where the engine knows them. A QURING_E* with hub_error() set: nothing of it is left,
     * and the engine frees the memory.
     */
    int (*open)(struct quring_db *db, const char *url);

    /*
     * In a turn that it is due in (db_due), before the ring goes to the kernel: takes queries from the queues on db->ready as far as depth and
     * bytes allow (queue_take), encodes or batches them, and hands what is ready to the ring.
     */
    void (*advance)(struct quring_db *db);

    /*
     * The engine gives this RUNNING query up: `status` is TIMEOUT, CANCELLED or SHUTDOWN. The backend finishes it with
     * query_fail(), and keeps what it needs to consume and drop a late reply. When another thread works on it, it is
     * interrupted, and finished in a later turn, when that thread has let go of it; until then it may be abandoned again,
     * and the first status holds.
     */
    void (*abandon)(struct query *query, quring_status status);

    /*
     * Begins to let go of everything: closes connections, interrupts lanes. What is still RUNNING ends with SHUTDOWN.
     * Sets db->closed once nothing of it is left in the ring or on a lane, maybe turns later.
     */
    void (*close)(struct quring_db *db);

    /* Lets go of what a handle has whose `closed` is set; its memory is the engine's. */
    void (*destroy)(struct quring_db *db);
};

#endif
