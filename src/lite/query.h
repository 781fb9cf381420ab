/* SPDX-License-Identifier: MIT */
#ifndef QURING_LITE_QUERY_H
#define QURING_LITE_QUERY_H

#include "core/tx.h"

#include <stdatomic.h>

struct lane_queue;
struct lite_lane;

/* The backend's own part of a RUNNING query. */
struct lite_query {
    union {
        struct query *next; /* in a chain */
        uint64_t since_ns;  /* in a lane queue, and with a lane until it counts the wait: since when; then 0 */
    };
    uint32_t position;         /* in a lane queue, while it waits there */
    uint8_t route;             /* where it goes, of lite/text.h */
    uint8_t fate;              /* enum lite_fate, of a query of a transaction that a lane has handed back */
    atomic_uchar abandoned_as; /* the quring_status that it ends with when its lane gives it back; 0: its own */
};
_Static_assert(sizeof(struct lite_query) <= QUERY_BACKEND_BYTES, "it has its place in struct query");

/* What became of a query of a transaction on its lane. */
enum lite_fate {
    LITE_RAN,          /* query->status is its outcome */
    LITE_GIVEN_UP,     /* it was abandoned before it was begun */
    LITE_BEHIND,       /* another failed before it */
    LITE_BEGIN_FAILED, /* its error is that of BEGIN */
    LITE_TX_LOST,      /* its error says why the connection is gone, and with it what the transaction had done */
};

static inline bool lite_in_tx(const struct query *query) {
    return query->commit == QUERY_COMMIT_TX;
}

static inline struct lite_query *lite_query(struct query *query) {
    return (struct lite_query *)query->backend;
}

/*
 * Whether the transaction commits is decided once, by its lane or by the reactor:
 *
 *      OPEN --the lane is about to commit--> COMMITS
 *        \----a query is detached----------> DOOMED: the lane runs nothing of it any more, but rolls it back
 */
enum lite_tx_course { LITE_TX_OPEN, LITE_TX_COMMITS, LITE_TX_DOOMED };

/* The backend's own part of a transaction. Lanes touch `course` alone. */
struct lite_tx {
    struct lane_queue *queue; /* that its queries go to; NULL: it has no place */
    struct lite_lane *lane;   /* that it holds; NULL: it is whole */
    uint32_t *count;          /* of the handle, that counts its queries */
    struct list out;          /* its RUNNING and DETACHED queries, in order */
    uint64_t since_ns;        /* when it got its place */
    bool over;                /* its lane has carried out its end */
    atomic_uchar course;      /* enum lite_tx_course */
};
_Static_assert(sizeof(struct lite_tx) <= TX_BACKEND_BYTES, "it has its place in struct quring_tx");

static inline struct lite_tx *lite_tx(struct quring_tx *tx) {
    return (struct lite_tx *)tx->backend;
}

/* True: that is its course from here on, at the latest. */
static inline bool lite_tx_takes(struct quring_tx *tx, enum lite_tx_course course) {
    unsigned char was = LITE_TX_OPEN;
    return atomic_compare_exchange_strong(&lite_tx(tx)->course, &was, (unsigned char)course) || was == course;
}

#endif
