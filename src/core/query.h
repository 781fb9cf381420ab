/* SPDX-License-Identifier: MIT */
/*
 * One submitted query, from admission to release. It lives in a slot of the engine and is moved by query_move() alone:
 *
 *      FREE --submit--> WAITING --admit--> RUNNING --finish--> DONE --reap--> REAPED --release--> FREE
 *                          |  ^               |                 ^
 *                          |  +---requeue-----+                 |
 *                          +---------finish (not sent)----------+
 *
 *      RUNNING --query_detach--> DETACHED --finish--> RETURNED --its stand-in is released--> FREE
 *
 *   WAITING  in its queue; no byte has left
 *   RUNNING  in the hands of a backend: encoded on a connection, or in a lane's batch
 *   DONE     its outcome is known and waits in the hub's done list
 *   REAPED   the caller has seen it and may read its result
 *
 * A query of an inbox, which another thread submits, is REAPED once that thread has the answer, and FREE when the thread
 * submits the next one in its slot.
 *
 *   DETACHED its caller was told that it was given up, by a stand-in (detach.h), and another thread still works on it
 *   RETURNED it does not any more, and the slot waits until the stand-in is released
 *
 * A RUNNING query that ends early (timeout, cancel, shutdown) is abandoned: its backend consumes and drops what still comes
 * for it. See backend.h.
 */
#ifndef QURING_CORE_QUERY_H
#define QURING_CORE_QUERY_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "core/error.h"
#include "core/result.h"
#include "core/statement.h"
#include "quring/quring.h"

struct batch;
struct order_key;
struct queue;

enum query_state { QUERY_FREE, QUERY_WAITING, QUERY_RUNNING, QUERY_DONE, QUERY_REAPED, QUERY_DETACHED, QUERY_RETURNED };

enum { QUERY_KEEP_BYTES = 1024, QUERY_BACKEND_BYTES = 16 };

/* The commit mode of a query of a transaction, beside those of quring_commit_mode. */
enum { QUERY_COMMIT_TX = 255 };

/*
 * Where a query stands in its transaction. The ROLLBACK TOs part that into sections: each is one by itself, with an odd number,
 * and what stands between two of them is another, with an even one, which may be empty.
 */
struct tx_position {
    uint32_t number; /* from 1; 0: of what is no query's */
    uint32_t section;
};

struct query {
    struct list link;  /* of the list that its state names */
    uint8_t state;     /* enum query_state */
    uint8_t status;    /* quring_status, from DONE on */
    uint8_t commit;    /* quring_commit_mode, never DEFAULT, or QUERY_COMMIT_TX */
    bool by_handle;    /* submitted by a handle of quring_prepare() */
    bool retried;      /* it runs again since its plan was stale, and a second time is one too many */
    bool struck;       /* it runs again since a cancel meant for another hit it, which must not happen twice */
    bool sent;         /* a byte of it may have reached the database, and it is not proved to have been undone */
    bool parked;       /* WAITING on its order key, and not in its queue */
    bool in_unit;      /* it never parts from its neighbours, until DONE: see queue.h */
    bool unit_goes_on; /* the query behind it in its queue is of the same unit */
    bool given_up;     /* while it has a deadline: its backend was told so, and did not end it at once */
    bool stands_in;    /* it is what the caller of a detached query has: see detach.h */
    uint16_t inbox;    /* the number of the inbox that its slot belongs to; 0: the engine's own */
    uint16_t param_count;
    uint32_t traced; /* its number in the trace, from 1, constant while the engine lives; 0: there is no trace */
    const quring_param *params; /* in `store` */
    struct queue *queue;
    struct quring_statement *statement; /* held, until DONE */
    quring_id id;
    uint64_t user_data;
    struct heap_node deadline; /* in the engine's heap while it has one */
    size_t charged_bytes;      /* against inflight_bytes */
    union {
        uint64_t left_ns;                           /* WAITING: when a turn first left it behind; 0: none did */
        unsigned char backend[QUERY_BACKEND_BYTES]; /* RUNNING: what its backend keeps of it */
        quring_id failed_id;                        /* SKIPPED, from DONE on: quring_done.failed_id */
    };
    struct buf store;
    struct quring_result result;
    struct order_key *key; /* held, until REAPED; NULL: it has no order */
    /* What follows is behind what every query touches. */
    struct query_error error;
    struct batch *batch;            /* of an ATOMIC batch, until DONE; NULL: of none */
    struct tx_position tx_position; /* meaningless outside of a transaction */
    struct query *stand_in;         /* DETACHED, RETURNED: what its caller has of it, until that is released */
};

/* The arrows of the diagram. Callers name `to`, so that the compiler leaves one comparison of it. */
static inline bool query_may_move(enum query_state from, enum query_state to) {
    switch (to) {
    case QUERY_WAITING:
        return from == QUERY_FREE || from == QUERY_RUNNING;
    case QUERY_RUNNING:
        return from == QUERY_WAITING;
    case QUERY_DONE:
        return from == QUERY_WAITING || from == QUERY_RUNNING;
    case QUERY_REAPED:
        return from == QUERY_DONE;
    case QUERY_FREE:
        return from == QUERY_REAPED || from == QUERY_RETURNED;
    case QUERY_DETACHED:
        return from == QUERY_RUNNING;
    case QUERY_RETURNED:
        return from == QUERY_DETACHED;
    }
    return false;
}

/* Moves a query along the diagram; any other move is a broken contract. */
static inline void query_move(struct query *query, enum query_state to) {
    PRE(query_may_move((enum query_state)query->state, to));
    query->state = (uint8_t)to;
}

#endif
