/* SPDX-License-Identifier: MIT */
/*
 * The contract between the engine and a backend. All calls come on the reactor's thread, none from within another, and none
 * blocks except `destroy`.
 */
#ifndef QURING_CORE_BACKEND_H
#define QURING_CORE_BACKEND_H

#include "core/tx.h"

struct backend {
    const char *name;
    size_t db_bytes;      /* the size of the backend's own handle, which begins with struct quring_db */
    uint32_t timer_count; /* of the handle's own, beside those of its sockets: the ring has room for them */
    bool knows_xids;      /* a transaction has an ID that it is asked for by: QURING_RESOLVE_XID */
    bool has_search_path; /* what a table's name without its schema means may change within a transaction */
    bool parts_batches;   /* an ATOMIC batch of more than options.depth comes by tx_put_batch(); else all are units */

    /* True when a URL is of the backend's form: the first backend that accepts it opens it, and reports what is wrong. */
    bool (*accepts)(const char *url);

    /*
     * Checks the URL, and begins to connect in the background. The engine has zeroed `db`, called db_init(), and set hub,
     * engine, backend, and options, with defaults where it knows them. After a QURING_E*, with hub_error() set, the backend
     * has left nothing behind, and the engine frees the memory.
     */
    int (*open)(struct quring_db *db, const char *url);

    /*
     * Called in each turn for which the database is due (db_due), before the ring enters the kernel. Takes whole units from
     * the queues on db->ready as far as depth and bytes allow (queue_take), encodes or batches them, and hands them to the
     * ring or to a worker.
     */
    void (*advance)(struct quring_db *db);

    /*
     * The engine gives up this RUNNING query: `status` is TIMEOUT, CANCELLED or SHUTDOWN. The backend finishes it with
     * query_fail(), and keeps what it needs to consume and drop a late reply. A query that another thread works on is
     * interrupted, and finished in a later turn, once that thread has let go of it; until then it may be abandoned again,
     * and the first status holds.
     */
    void (*abandon)(struct query *query, quring_status status);

    /*
     * A query that was abandoned some time ago is still RUNNING. The backend may end it for its caller, by query_detach(), and
     * finish it later; or let it be. NULL: abandon() ends all queries at once.
     */
    void (*detach)(struct query *query);

    /*
     * Called when a transaction was given up, or one of its queries ended while it was WAITING, though nothing of it may
     * wait any more; core/tx.h says what advance() does with the queues of transactions. The backend ends what is not run
     * (tx_next), and rolls back, or ends, what is doomed. `timed_out`: its RUNNING queries end with TIMEOUT, as by abandon().
     * What it gives up so and does not end at once it tells hub->watch(), which calls detach() later.
     */
    void (*tx_changed)(struct quring_tx *tx, bool timed_out);

    /*
     * Sets how many connections there are at most; has each that there is replaced. Both do no I/O: later turns do. 0 or a
     * QURING_E* with hub_error() set. NULL: the backend can do neither.
     */
    int (*resize)(struct quring_db *db, uint32_t connection_count);
    int (*drain)(struct quring_db *db);

    /*
     * Begins to close connections and to interrupt lanes. Queries that are still RUNNING end with SHUTDOWN. Sets db->closed
     * once nothing of the handle is left in the ring or on another thread, which may be turns later.
     */
    void (*close)(struct quring_db *db);

    /* Begins to make what is wanted and missing of connections or lanes, as if a query asked for each. */
    void (*warm_up)(struct quring_db *db);

    /* Returns how many are missing. `*hopeless`: without another query or another warm_up() none will come. */
    uint32_t (*missing)(const struct quring_db *db, bool *hopeless);

    /*
     * Fills how many connections or lanes there are in which state, when one tries next, and why one was lost, or could not
     * be made, last: members of a `*info` that says of none. What it points to is constant until the next turn.
     */
    void (*look)(const struct quring_db *db, uint64_t now_ns, quring_db_info *info);

    /*
     * Fills what it has counted by itself: how long queries waited until a lane took them, and what a database has that is a
     * file. NULL: queries that are taken from the database's queues wait nowhere else, and the queues have counted.
     */
    void (*fill_stats)(const struct quring_db *db, quring_db_stats *stats);

    /* Frees what a handle owns whose `closed` is set. The handle's own memory is the engine's. */
    void (*destroy)(struct quring_db *db);
};

#endif
