/* SPDX-License-Identifier: MIT */
/*
 * An inbox: the way by which one other thread of the program, its *client*, has queries run by an engine. It works on one
 * structure from both sides, without locks:
 *
 *      the client's thread                                          the reactor's thread
 *      inbox_submit, inbox_cancel    --- commands, a job --------->  remote.c: into the handle's queue
 *      inbox_reap, inbox_wait        <-- completions, event_fd ----  engine_deliver: queries that ended
 *      inbox_release
 *
 * Commands and completions are rings of one writer and one reader each. They have room for all that can be on its way, so
 * neither side ever waits for the other.
 *
 * The slots of its queries are the inbox's own, and its limits bound what may be out: none of its queries takes room from
 * the engine's. A slot, with its rows, is the client's from the completion to the next submit, and the reactor's meanwhile.
 *
 * A query that is detached (core/detach.h) has its completion early. Its slot becomes the client's when the reactor has said in
 * `returned` that no other thread is at it, and is given back when that was released as well.
 *
 * Waking costs one write for many in both directions, and none while the other side is awake. The reactor is told by the
 * inbox's job `call`, which is on its way at most once; the client says by `wake_at` which completion it sleeps for. The
 * reactor's writes go with its next turn's system call, for all inboxes together, so that threads which share its core take
 * the core from it once. Thus the descriptor may be raised behind the client's back, when it has had the completions already.
 *
 * Of a transaction the client has a handle of its own, struct inbox_tx, and the engine another one; both are found by the
 * client's index. A slot is kept for its end. The engine hears of it with its first query, so that no number of handles that
 * come and go unused takes room on the way. A token is drawn by the client. Until then its row is in the slot that is kept, and
 * on its way before the text of the first query, in the slot of that.
 *
 * Client and engine each hold the inbox, and the last to let go frees it: a program may close them in either order. Once
 * the engine is `gone` both rings are the client's, which ends by itself what was not taken.
 */
#ifndef QURING_ENGINE_INBOX_H
#define QURING_ENGINE_INBOX_H

#include "base/owner.h"
#include "base/slots.h"
#include "core/tx.h"
#include "ring/offload.h"

#include <stdatomic.h>

enum { INBOX_QUERIES_MAX = 65536, INBOX_LINE_BYTES = 64 };

static const uint64_t INBOX_AWAKE = UINT64_MAX; /* of wake_at: the client sleeps for no completion */

/* REAPED is told of queries with an order key, which may be closed until then. */
enum inbox_kind {
    INBOX_SUBMIT,
    INBOX_SUBMIT_UNIT, /* of an ATOMIC batch, whose commands are sent together */
    INBOX_SUBMIT_TX,   /* of a transaction */
    INBOX_END_TX,      /* its COMMIT or ROLLBACK, without a text */
    INBOX_OPEN_TX,     /* right before the first command of a transaction, and shown with it */
    INBOX_RELEASE_TX,
    INBOX_CANCEL,
    INBOX_REAPED,
    INBOX_CLOSE
};

/* Those of quring_tx_options that a command has room for: all but the table's name. */
struct inbox_tx_options {
    uint64_t timeout_ns, idle_timeout_ns, resolve_timeout_ns;
    uint8_t isolation, lease_reset, resolve;
    bool read_only, deferrable;
};

/* One line of the cache. What it points to lies in the store of the query's slot. */
struct inbox_command {
    uint8_t kind;   /* enum inbox_kind */
    uint8_t commit; /* quring_commit_mode, as the caller has it; END_TX: enum statement_verb */
    bool by_handle; /* it names a statement, and no text */
    bool read_only;
    uint32_t param_count;
    quring_id id; /* whose lower bits are the index of the query's slot; OPEN_TX, RELEASE_TX: the transaction's index */
    quring_db *db; /* the handle may be closed by now, or freed */
    union {
        uint64_t order_key;
        uint64_t unit_count; /* SUBMIT_UNIT: members that have not been read, this one included */
        uint64_t tx;         /* SUBMIT_TX, END_TX: the transaction's index */
        uint64_t newest_db;  /* OPEN_TX: that of struct inbox_tx */
    };
    union {
        struct {
            uint64_t user_data;
            uint64_t timeout_ns;
            union {
                const char *sql; /* ends with a NUL */
                quring_statement *statement;
            };
            const quring_param *params;
        };
        struct inbox_tx_options tx_options; /* OPEN_TX */
    };
};

_Static_assert(sizeof(struct inbox_command) == INBOX_LINE_BYTES, "a command moves one line from core to core");

struct inbox_completion {
    quring_id id;
    uint64_t user_data;
    struct query *query;
    uint8_t status; /* quring_status */
    bool sent;
    bool detached; /* `query` stands in for the one in the slot */
};

/* What the client keeps of a query that is out. */
struct inbox_note {
    size_t charged_bytes;
    bool reaped;
    bool cancelled;
    bool has_key;
    bool detached; /* its completion was that of a stand-in */
    bool released; /* that was released, and the slot was not given back yet */
};

/* A transaction as the client has it. */
struct inbox_tx {
    struct tx_handle handle;
    quring_db *db;
    uint64_t newest_db; /* the number of the newest handle when it was opened: a later one at that address is another */
    struct inbox_tx_options options;
    quring_id token;                   /* in the inbox's `txs` */
    quring_id reserve;                 /* the slot that is kept for its end; 0: it was used */
    bool opened;                       /* OPEN_TX was written */
    char token_text[TOKEN_TEXT_BYTES]; /* of its token; "": it has none */
};

/* The same as the engine has it. */
struct inbox_engine_tx {
    struct quring_tx *tx; /* NULL: none is open */
    int refused;          /* the error of its opening */
    bool told;            /* a query has ended with the words of that error */
};

struct quring_inbox {
    /* Constant from open on. */
    struct ring *ring;          /* held */
    struct db_numbers *numbers; /* held */
    struct owner_mark *owner;
    struct inbox_command *commands;
    struct inbox_completion *completions;
    uint64_t command_mask, completion_mask;
    atomic_bool *returned; /* by index: set by the reactor, and cleared by the client */
    uint8_t *slots;        /* the objects of `queries`, whose own line the client writes to */
    size_t slot_bytes;
    uint64_t index_mask; /* of a query's id */
    uint32_t query_count;
    int event_fd;
    uint64_t bytes_limit;
    size_t text_limit_bytes;
    struct job call; /* on its way while `called` */
    atomic_uint owner_count;

    /* The client's. */
    _Alignas(INBOX_LINE_BYTES) struct slots queries; /* its objects are the side's that their state names */
    struct inbox_note *notes;                        /* by index */
    struct slots txs;                                /* of struct inbox_tx; there are none before the first */
    uint64_t commands_written, completions_read;
    uint64_t charged_bytes;
    uint32_t pending_count;  /* submitted, not reaped */
    uint32_t released_count; /* slots that wait to be returned */
    bool watched;            /* a foreign loop polls event_fd */
    bool orphaned;           /* it knows that the engine is gone */
    char message[256];

    /* Written by the client. */
    _Alignas(INBOX_LINE_BYTES) atomic_uint_fast64_t commands_sent;
    atomic_uint_fast64_t wake_at; /* write to event_fd once so many completions are sent; or INBOX_AWAKE */
    atomic_bool called;           /* the reactor will look at the commands */

    /* The reactor's. */
    _Alignas(INBOX_LINE_BYTES) uint64_t commands_taken;
    uint64_t completions_written;
    struct quring_engine *engine;
    struct inbox_engine_tx *engine_txs; /* by index; made by the client before the first OPEN_TX */
    struct list touched;                /* of the inboxes that this delivery has completions for */
    uint32_t running_count;             /* taken, not completed */
    uint32_t number;                    /* in the engine's table, from 1; 0: it has no place there yet */
    bool has_room;                      /* the engine's tables have room for its queries */
    bool closed;                        /* by the client, which gets no more completions */

    /* Written by the reactor. */
    _Alignas(INBOX_LINE_BYTES) atomic_uint_fast64_t completions_sent;
    atomic_bool shut; /* the engine takes no more queries */
    atomic_bool gone; /* the engine looks at nothing any more */
};

/* ---- Either side ---- */

/* The query at an index; its slot is constant. */
static inline struct query *inbox_query(const struct quring_inbox *inbox, uint32_t index) {
    return (struct query *)(void *)(inbox->slots + index * inbox->slot_bytes);
}

/* True of a command that gives the reactor a query. */
static inline bool inbox_brings_query(const struct inbox_command *command) {
    return command->kind <= INBOX_END_TX;
}

/* The query that an id names, or has named. */
static inline struct query *inbox_query_of(const struct quring_inbox *inbox, quring_id id) {
    return inbox_query(inbox, (uint32_t)(id & inbox->index_mask));
}

/* Frees the inbox once both sides have let go of it. */
void inbox_let_go(struct quring_inbox *inbox);

/* ---- The reactor ---- */

/* Writes a completion, which the client sees with the next inbox_publish(). */
static inline void inbox_complete(struct quring_inbox *inbox, struct query *query) {
    __builtin_prefetch(&inbox->completions[(inbox->completions_written + 8) & inbox->completion_mask], 1);
    inbox->completions[inbox->completions_written++ & inbox->completion_mask] =
        (struct inbox_completion){.id = query->id,
                                  .user_data = query->user_data,
                                  .query = query,
                                  .status = query->status,
                                  .sent = query->sent,
                                  .detached = query->stands_in};
}

/* A detached query has come back from its backend. */
static inline void inbox_return(struct quring_inbox *inbox, struct query *query) {
    PRE(query->state == QUERY_RETURNED);
    atomic_store_explicit(&inbox->returned[query->id & inbox->index_mask], true, memory_order_release);
}

/*
 * Shows the client all completions that were written, and wakes it if these are as many as it sleeps for: at once, or with the
 * turn that follows.
 */
void inbox_publish(struct quring_inbox *inbox, bool turn_follows);

/* Tells the client that the engine is gone, and lets go: the inbox must not be touched afterwards. */
void inbox_leave(struct quring_inbox *inbox);

/* ---- The client ---- */

struct inbox_setup {
    struct ring *ring;
    struct db_numbers *numbers;
    quring_inbox_options options;     /* defaults filled in */
    size_t text_limit_bytes;          /* of one query's text, and of its parameters */
    void (*called)(struct job *call); /* on the reactor's thread: commands are there */
};

/* Any thread, which becomes the client; inbox_call() then hands the inbox to the reactor. A QURING_E*. */
int inbox_open(const struct inbox_setup *setup, struct quring_inbox **inbox);

/* Has the reactor look at the commands. */
void inbox_call(struct quring_inbox *inbox);

/* The calls of quring.h; src/api has checked who calls and what `q` points to. */
int inbox_submit(struct quring_inbox *inbox, const quring_query *q, quring_id *id);

/*
 * The queries of one quring_inbox_submit_batch(): inbox_put() writes their commands one by one, and inbox_end_batch() shows
 * them to the reactor all at once. `error`: of the last one, which was refused; 0: none was. Returns how many are submitted,
 * or an error: of an ATOMIC batch all are, or none.
 */
struct inbox_batch {
    uint64_t start;         /* of its commands */
    uint32_t count_wanted;  /* the call has as many */
    uint32_t others_count;  /* slots that were taken before */
    uint32_t pending_count; /* queries that were pending before */
    bool atomic;
};

/* Takes a slot, which its last query may have been slow to leave; NULL: none is free. */
struct query *inbox_take_slot(struct quring_inbox *inbox, quring_id *id);

void inbox_begin_batch(struct quring_inbox *inbox, struct inbox_batch *batch, uint32_t count, bool atomic);
int inbox_put(struct quring_inbox *inbox, const quring_query *q, quring_id *id);

/* The same for the first query of a transaction, whose slot gets what `ahead` holds before its text; nobody is charged for it. */
int inbox_put_behind(struct quring_inbox *inbox, const struct buf *ahead, const quring_query *q, quring_id *id);

int inbox_put_member(struct quring_inbox *inbox, const struct inbox_batch *batch, const quring_query *q, quring_id *id);
int inbox_end_batch(struct quring_inbox *inbox, const struct inbox_batch *batch, int error);

/* inbox_tx.c: the same of its transactions. `options`: NULL is allowed. inbox_tx_put() is inbox_put() of its queries. */
int inbox_tx_open(struct quring_inbox *inbox, quring_db *db, const quring_tx_options *options, quring_tx **tx);
int inbox_tx_put(struct inbox_tx *tx, const quring_query *q, quring_id *id);
int inbox_tx_submit(struct inbox_tx *tx, const quring_query *q, quring_id *id);
int inbox_tx_end(struct inbox_tx *tx, enum statement_verb verb, uint64_t user_data, quring_id *id);
void inbox_tx_release(struct inbox_tx *tx);

int inbox_cancel(struct quring_inbox *inbox, quring_id id);
int inbox_reap(struct quring_inbox *inbox, quring_done *done, uint32_t capacity);
int inbox_release(struct quring_inbox *inbox, quring_id id);
int inbox_wait(struct quring_inbox *inbox, uint32_t min_count, uint64_t timeout_ns);
int inbox_fd(struct quring_inbox *inbox);
void inbox_close(struct quring_inbox *inbox);

/* inbox.c, for inbox_tx.c. Commands are written at `commands_written`. */
static inline struct inbox_command *inbox_command_at(struct quring_inbox *inbox, uint64_t position) {
    return &inbox->commands[position & inbox->command_mask];
}

/* Lets the reactor see all commands that were written, when it next looks. */
static inline void inbox_show(struct quring_inbox *inbox) {
    atomic_store_explicit(&inbox->commands_sent, inbox->commands_written, memory_order_release);
}

/* The same, and has it look. */
void inbox_send(struct quring_inbox *inbox);

/* The error of an engine that takes nothing more. */
int inbox_refuse_shut(struct quring_inbox *inbox);

/* Sets quring_inbox_errmsg() and returns `error`. */
__attribute__((format(printf, 3, 4))) int inbox_error(struct quring_inbox *inbox, int error, const char *format, ...);

#endif
