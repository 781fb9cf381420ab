/* SPDX-License-Identifier: MIT */
/* What PostgreSQL's side knows of a transaction. */
#ifndef QURING_PG_TX_STATE_H
#define QURING_PG_TX_STATE_H

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
    bool has_row;   /* it was answered with one: there can be no other */
    uint8_t answer; /* enum in resolve.c */
};

/* Whether the note was asked for. */
enum pg_tx_note { NOTE_NONE, NOTE_OUT, NOTE_READ };

/* The backend's part of a transaction, from when it has a place, or waits for one. */
struct pg_tx {
    struct pg_request_ops ops; /* of its requests, which are known by it */
    struct pg_conn *conn;      /* NULL: it has no place */
    uint64_t since_ns; /* when it first had a place, or found none, whatever it has lost since; 0: it has yet to */
    uint64_t begin, end, last; /* ordinals: of BEGIN; once it is ENDING, of COMMIT or ROLLBACK; of the last request */
    bool begun;                /* BEGIN was carried out */
    bool by_use;               /* settings may have changed: statements are parsed for each use, results are text */
    bool is_outside;           /* ENDING: the server said that it is outside of any transaction behind the end */
    bool resets;               /* DISCARD ALL is its last request */
    bool hit;                  /* a cancel hit its end, or what follows that, which is made up for */
    uint8_t loss;              /* enum in tx.c */
    uint8_t note;              /* enum pg_tx_note */
    bool runs_again;           /* a long batch: all of it is to run again at once, for another reason than a conflict */
    bool savepoints_moved;     /* from its failure on, by what the server carried out: see savepoint.h */
    char sqlstate[6];          /* that a query of the segment failed with, which may be given up by then; "" */
    struct pg_doubt doubt;
};
_Static_assert(sizeof(struct pg_tx) <= TX_BACKEND_BYTES, "it has its place in struct quring_tx");

static inline struct pg_tx *pg_tx_of(struct quring_tx *tx) {
    return (struct pg_tx *)tx->backend;
}

/* DISCARD ALL comes behind its end. */
static inline bool pg_tx_must_reset(const struct quring_tx *tx) {
    return !tx->leaves_nothing || tx->options.lease_reset == QURING_LEASE_RESET_ALWAYS;
}

static inline bool pg_tx_commits(const struct query *query) {
    return query && tx_verb(query) == VERB_COMMITS;
}

#endif
