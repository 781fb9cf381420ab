/* SPDX-License-Identifier: MIT */
/*
 * Transactions on a connection. What is sent of one is *segments*, each ended by one Sync, and none has anything of another
 * transaction or query in it:
 *
 *      [BEGIN q1 … qk Sync]  [q … Sync]  [ROLLBACK TO x  q … Sync]  [COMMIT Sync]  [DISCARD ALL Sync]  [settings Sync]
 *
 * A failure keeps the server from all that follows in its segment. Until BEGIN is known to have succeeded nothing crosses its
 * Sync that would commit by itself: ROLLBACK TO fails outside of a transaction, and with it all that follows up to the next
 * Sync; COMMIT and ROLLBACK do nothing there. COMMIT has a segment of its own because it is what cleans up: of a transaction
 * that failed it makes a rollback, and then the server is outside of any before it reads what comes behind.
 *
 * A token (core/token.h) is the last request before COMMIT's segment. Outside of the transaction it would commit by itself, so it is
 * in the segment of BEGIN, or waits until BEGIN is known to have succeeded, and COMMIT with it.
 *
 * A note (core/xid.h) is a request of ours in front of COMMIT, which waits for its answer:
 *
 *      [… note Sync]  --answered-->  [COMMIT Sync]
 *
 * Such a transaction always has its connection for itself, so that nobody else waits behind it.
 *
 * While a cancel holds the connection (pg/cancel.h) nothing is sent there. One that was meant for a query of the transaction may
 * have hit its COMMIT or ROLLBACK instead, before the server began with that, which leaves a failed transaction: another
 * ROLLBACK follows, and the reset that was in vain is sent again.
 *
 * A transaction has its connection for itself (pg/lease.h), or goes between others as a whole, up to its end.
 */
#ifndef QURING_PG_TX_H
#define QURING_PG_TX_H

#include "core/tx.h"
#include "pg/request.h"

struct pg_pool;

/* What is held until it is known whether a transaction committed: see resolve.h. */
struct pg_doubt {
    struct list held;     /* RUNNING queries of which nobody knows; COMMIT, if it was not given up, is the last */
    struct list link;     /* pg_resolves.waiting */
    struct heap_node due; /* in pg_resolves.due, from the loss to the end */
    struct pg_pool *pool;
    struct pg_conn *conn; /* that it is asked over; NULL: it is not being asked */
    uint64_t until_ns;    /* when it stays unknown */
    uint32_t asked_count;
    uint8_t answer; /* enum in resolve.c */
};

/* The backend's part of a transaction, from when it has a place. */
struct pg_tx {
    struct pg_request_ops ops; /* of its requests, which are known by it */
    struct pg_conn *conn;      /* NULL: it has no place */
    uint64_t begin, end, last; /* ordinals: of BEGIN; once it is ENDING, of COMMIT or ROLLBACK; of the last request */
    bool begun;                /* BEGIN was carried out */
    bool by_use;               /* settings may have changed: statements are parsed for each use, results are text */
    bool is_outside;           /* ENDING: the server said that it is outside of any transaction behind the end */
    bool resets;               /* DISCARD ALL is its last request */
    bool hit;                  /* a cancel hit its end, or what follows that, which is made up for */
    bool waited;               /* it had a place, and lost it before a byte left: it is the first to get another */
    uint8_t loss;              /* enum in tx.c */
    uint8_t note;              /* enum in tx.c */
    char sqlstate[6];          /* that a query failed with which was given up behind its COMMIT; "" */
    struct pg_doubt doubt;
};
_Static_assert(sizeof(struct pg_tx) <= TX_BACKEND_BYTES, "it has its place in struct quring_tx");

static inline struct pg_tx *pg_tx_of(struct quring_tx *tx) {
    return (struct pg_tx *)tx->backend;
}

/* As many requests as a whole one has, but for its COMMIT, for which there is room. */
static inline uint32_t pg_tx_request_count(const struct quring_tx *tx) {
    return tx->query_count + 1 + (tx->writes_token != NULL);
}

/* True: all of it is here, nothing of it has to be cleaned up after, and it is not longer than `depth` with its BEGIN. */
bool pg_tx_is_whole(const struct quring_tx *tx, uint32_t depth);

/* WAITING: gives it a connection. If it does not go as a whole, conn->tx is set, and conn->events->freed() is called later. */
void pg_tx_place(struct quring_tx *tx, struct pg_conn *conn);

/* It has a place: sends what waits, as far as there is room, and rolls back what is doomed. */
void pg_tx_serve(struct quring_tx *tx);

/*
 * It was given up: its RUNNING queries end with TIMEOUT, or SKIPPED. False: there are none. `*last` is the ordinal of the last
 * one's request.
 */
bool pg_tx_stop(struct quring_tx *tx, bool timed_out, uint64_t *last);

/* True where the connection must not be closed because of this request of a transaction. */
bool pg_tx_is_awaited(const struct pg_request *request);

/* The connection that it holds is DOWN, and none of its requests was out. */
void pg_tx_lost_idle(struct quring_tx *tx);

#endif
