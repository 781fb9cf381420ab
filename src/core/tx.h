/* SPDX-License-Identifier: MIT */
/*
 * A transaction: a queue of its own, whose queries run in order on one connection or lane, its *place*.
 *
 *      NEW --its first query--> WAITING --a place--> OPEN --COMMIT or ROLLBACK sent--> ENDING --answered--> ENDED
 *       |                         |  ^                |                                   |                  ^ ^
 *       |                         |  +----------------+--lost before a byte left----------+                  | |
 *       |                         |                   +--------lost, or rolled back-------+------------------+ |
 *       +-------------------------+--nothing is left to be sent--------------------------------------------------+
 *
 *   NEW      no query was submitted
 *   WAITING  for a place: nothing was sent
 *   OPEN     it has one, on which BEGIN was sent, or a run of all its queries has begun
 *   ENDING   nothing is sent after what was sent
 *   ENDED    it has no place, and never gets one: whatever comes ends here
 *
 * A failed transaction keeps its place as long as ROLLBACK TO can revive it. *Failure* begins at a point in its order: the first
 * query that ended, and not with OK. What stands behind that point is not run; what stands before it runs, or has run. A
 * transaction that nothing can revive is *doomed*: its backend rolls it back as soon as nothing before the point is left.
 * Once its COMMIT or ROLLBACK was sent, only what the server says makes it fail.
 *
 * A backend whose advance() finds a queue with a transaction on db->ready
 *
 *   1  asks tx_next() for the query to be sent, until it is NULL or there is no room; tx_next() has ended what is not run
 *   2  gives the transaction a place, or parks its queue, and moves it to OPEN with the first query
 *   3  takes the query (queue_take) and sends it; COMMIT and ROLLBACK move it to ENDING
 *   4  without a query left, and tx_is_doomed(): rolls it back if it is OPEN, then says tx_end()
 *
 * finishes each by query_finish(), those that the failure of another kept from running by tx_skip(), COMMIT of a transaction
 * that failed meanwhile by tx_refuse_end(); says tx_revive() when ROLLBACK TO was carried out, tx_idle() when nothing is
 * out and nothing waits, and tx_end() when it has let go of the place. What fails without one of its queries (the connection
 * is lost, BEGIN failed) is told by tx_give_up().
 *
 * An ATOMIC batch may be such a queue, too (tx_put_batch()), without a handle of the program's. All of it waits there from the
 * beginning, its COMMIT is its backend's, and the backend ends its members all at once: after the end, or when one failed,
 * which is a failure of all, before it and behind it. While it has a place it may be run again from WAITING. tx_next() leaves
 * the members of one that failed to the backend, as long as that has a place for it.
 */
#ifndef QURING_CORE_TX_H
#define QURING_CORE_TX_H

#include "core/db.h"
#include "core/token.h"
#include "core/xid.h"

enum tx_state { TX_NEW, TX_WAITING, TX_OPEN, TX_ENDING, TX_ENDED };

enum { TX_BACKEND_BYTES = 224, TX_RESERVE_BYTES = 16, TX_BEGIN_BYTES = 64 };

/*
 * What ended, and not with OK, since the transaction began or was revived: a stretch of its order, which one ROLLBACK TO takes
 * back, or none does. The first is the reason of all that follows.
 */
struct tx_failure {
    bool set, own_will;          /* own_will: one of them was given up, or went over a limit */
    uint8_t status, last_status; /* quring_status */
    struct tx_position first, last;
    quring_id id;     /* 0: it is no query's */
    const char *hint; /* why nothing revives the transaction, where the error does not say so; NULL */
    struct query_error error;
};

/*
 * What a quring_tx begins with, whichever it is: struct quring_tx, which is the engine's, or what another thread has of one,
 * struct inbox_tx.
 */
struct tx_handle {
    struct quring_inbox
        *inbox; /* whose thread has the handle; NULL: the engine's own. Constant while the handle is valid */
};

struct quring_tx {
    struct tx_handle handle;
    struct queue queue;
    struct list link; /* db->txs; hub->tx_over once it is over; hub->tx_orphans */
    struct quring_engine *engine;
    struct hub *hub;           /* outlives queue.db, which is NULL once that is closed */
    quring_tx_options options; /* defaults filled in */
    uint8_t state;             /* enum tx_state */
    bool released;             /* the program has given the handle up */
    bool end_submitted;        /* COMMIT or ROLLBACK was submitted, and nothing is after it */
    bool given_up;             /* nothing of it is run any more, whatever its position */
    bool distrusted;           /* given up, because the server has left it by itself: what became of it nobody knows */
    bool leaves_nothing;       /* on its connection: see statement_traits */
    bool atomic;               /* its queries are the members of a batch */
    bool idle;                 /* it has a place, and neither waits for a reply nor has anything to send */
    uint32_t query_count;      /* submitted */
    uint32_t section;          /* of the last that was submitted */
    uint32_t ended_section;    /* of the last ROLLBACK TO that has ended: so have those before it */
    struct batch *batch;       /* of one that is atomic, until its last member has ended; NULL: none */
    uint32_t save_number;      /* of its first SAVEPOINT; 0: there is none */
    struct tx_failure failure;
    struct quring_statement *writes_token; /* held: carried out before its COMMIT; NULL: none is */
    uint8_t token[TOKEN_BYTES];
    char token_text[TOKEN_TEXT_BYTES]; /* "": it has none */
    char xid_note[XID_NOTE_BYTES];     /* "": it has none, or has not read it yet */
    quring_id reserve;                 /* the slot that is kept for its end; 0: it was used */
    struct heap_node deadline;         /* in hub->tx_deadlines: not later than the next two, if there are any */
    uint64_t whole_at_ns;              /* when options.timeout_ns has passed; UINT64_MAX: never */
    uint64_t idle_at_ns;               /* when it was idle for too long; UINT64_MAX: it is not */
    unsigned char backend[TX_BACKEND_BYTES] __attribute__((aligned(16))); /* from the first query on: its backend's */
};

/* Holds the statement, with which its COMMIT is to write the token. */
void tx_use_token(struct quring_tx *tx, struct quring_statement *writes_token, const uint8_t token[TOKEN_BYTES]);

/* Makes a transaction of zeroed memory, or of one that was made before, whose texts it keeps. */
void tx_init(struct quring_tx *tx, struct quring_db *db, const quring_tx_options *options);
void tx_free(struct quring_tx *tx); /* what it owns, not itself */

/* The handle is about to be freed: handles of transactions that the program still has do not lead to it any more. */
void tx_forget(struct quring_db *db);

/* The one function that changes its state, along the diagram above. */
void tx_move(struct quring_tx *tx, enum tx_state to);

/* Moves it to ENDED, and ends what waits; a backend does not look at it again. */
void tx_end(struct quring_tx *tx);

/* The program has given the handle up. A transaction that has an end goes on to it, another is given up. */
void tx_release(struct quring_tx *tx);

static inline enum statement_verb tx_verb(const struct query *query) {
    return (enum statement_verb)query->statement->traits.verb;
}

static inline bool tx_is_end(enum statement_verb verb) {
    return verb == VERB_COMMITS || verb == VERB_ROLLS_BACK;
}

/* True while it holds a connection or lane. */
static inline bool tx_has_place(const struct quring_tx *tx) {
    return tx->state == TX_OPEN || tx->state == TX_ENDING;
}

/* One that only reads has nothing to be asked for. */
static inline bool tx_wants_token(const quring_tx_options *options) {
    return options->resolve == QURING_RESOLVE_TOKEN && !options->read_only;
}

/* Its COMMIT waits until the note was read. One that only reads has nothing to be asked for. */
static inline bool tx_reads_note(const struct quring_tx *tx) {
    return tx->options.resolve == QURING_RESOLVE_XID && !tx->options.read_only;
}

/* True where somebody can be asked what became of a COMMIT that was lost. */
static inline bool tx_can_be_asked_for(const struct quring_tx *tx) {
    return tx->writes_token || tx->xid_note[0];
}

/* Puts a query that was just filled behind all others of its transaction. */
void tx_put(struct quring_tx *tx, struct query *query);

/*
 * The next query that is to be sent, which stays WAITING; NULL: none is, or a COMMIT waits until it is known what a ROLLBACK TO
 * that was sent has come to. Ends those before it that are not run.
 */
struct query *tx_next(struct quring_tx *tx);

/* True where nothing behind its failure, or nothing at all, is run any more. */
bool tx_is_doomed(const struct quring_tx *tx);

/* True where a query stands behind a failure, with no ROLLBACK TO between them that may be carried out. */
bool tx_stands_behind(const struct quring_tx *tx, const struct query *query);

/* Ends a query because another failed: SKIPPED, naming that one. The second says why alone. */
void tx_skip(struct quring_tx *tx, struct query *query);
void tx_say_skipped(const struct quring_tx *tx, struct query *query);

/* A query of it was refused after its submission, with its error, and never was in the queue: it counts as one that failed. */
void tx_note_refused(struct quring_tx *tx, struct query *query);

/*
 * Ends COMMIT of a failed transaction, or ROLLBACK of one that is distrusted, with the error of its failure. The second says that
 * alone, and returns its status.
 */
void tx_refuse_end(struct quring_tx *tx, struct query *query);
quring_status tx_say_refused(const struct quring_tx *tx, struct query *query);

/* Ends what stands behind a failure: COMMIT is refused, any other query skipped. */
void tx_finish_behind(struct quring_tx *tx, struct query *query);

/* The ROLLBACK TO at that position was carried out. */
void tx_revive(struct quring_tx *tx, struct tx_position position);

/* Fails it for good without one of its queries; an earlier failure stays the reason. `sqlstate` as in error_set(). */
void tx_give_up(struct quring_tx *tx, quring_status status, const char *sqlstate, const char *message);

/* Gives it up where the server has left it by itself: that is the reason, whatever failed before, and its end ends PROTOCOL. */
void tx_distrust(struct quring_tx *tx, const char *sqlstate, const char *message);

/*
 * The same of one that has failed: nothing revives it, and the reason stays. `hint` says why, and stays valid for good; NULL: the
 * failure does.
 */
void tx_doom(struct quring_tx *tx, const char *hint);

/*
 * The same at a position of its order, which ROLLBACK TO behind that revives it from: `id` is the query to be named, and 0 names
 * none.
 */
void tx_fail_at(struct quring_tx *tx, struct tx_position position, quring_id id, const char *sqlstate,
                const char *message);

/*
 * NEW: the members of the batch, which is not given back yet, become its queries, which the list loses. Nobody has a handle of
 * it, so that it is over with its end.
 */
void tx_put_batch(struct quring_tx *tx, struct batch *batch, struct list *members);

/*
 * Fails one that is atomic: by the member of that number, or all of it alike (0). An earlier failure stays the reason, unless
 * this one is that nobody knows: IN_DOUBT, PROTOCOL. `error` is copied.
 */
void tx_fail_batch(struct quring_tx *tx, uint32_t number, quring_status status, const quring_error *error);

/* Nothing of it took effect, and it has let go of its place: WAITING, as if it had never failed. */
void tx_run_batch_again(struct quring_tx *tx);

/* The detail of that error. */
#define TX_TOKEN_FAILED "the row of token_table could not be written"

/* Fails it behind all its queries, before its COMMIT, which was sent: its token could not be written. */
void tx_fail_token(struct quring_tx *tx, const char *sqlstate, const char *message);

/* Fails it behind all its queries, before its COMMIT, which waits: its note (core/xid.h) could not be read. */
void tx_fail_note(struct quring_tx *tx, const char *sqlstate, const char *message);

/* It has a place, and neither waits for a reply nor has anything to send: until the next tx_put(). */
void tx_idle(struct quring_tx *tx, uint64_t now_ns);

/* Its deadline has come to the head of the heap: gives it up, or sets the next one. True: it was given up. */
bool tx_expire(struct quring_tx *tx, uint64_t now_ns);

/* Its time is over for a reason of its backend's: what waits is not run, and tx_expire() sees to the rest. */
void tx_time_out(struct quring_tx *tx, uint64_t now_ns, const char *sqlstate, const char *message);

/* The first query was submitted. */
void tx_begin_time(struct quring_tx *tx, uint64_t now_ns);

/* The BEGIN of PostgreSQL that its options ask for. Returns its length. */
size_t tx_begin_sql(const struct quring_tx *tx, char sql[TX_BEGIN_BYTES]);

#endif
