/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL's protocol 3 after start-up, from the client's side: bytes in, events out, no I/O. It allocates only while
 * more requests are outstanding than ever before.
 *
 *   messages.def   the 24 message types: letter, name, bounds of length
 *   frame.h        one message's type and body out of bytes, with the law of its length
 *   decode.h       bodies: descriptions, rows, errors, command tags
 *   session.h      which message may come now
 *   encode.h       requests: a message is appended and its replies are expected in one step
 *
 * The session accepts exactly the replies that the protocol allows to the requests that were encoded, in order;
 * asynchronous messages (notice, parameter status, notification) may stand anywhere. Anything else is a WIRE_VIOLATION,
 * after which the session accepts nothing more. Bytes of the server are never trusted and never asserted on.
 *
 *      request's steps     CLOSE      PARSE     DESCRIBE     BIND     FETCH          SYNC
 *      its messages        Close      Parse     Describe     Bind     Execute        Sync
 *      its replies         3          1         t (T | n)    2        D* (C | I)     Z
 *      or at any point     E, then nothing more up to the next SYNC's Z: requests between are skipped
 */
#ifndef QURING_WIRE_SESSION_H
#define QURING_WIRE_SESSION_H

#include "base/buf.h"
#include "wire/decode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The steps of a request, in the order of its messages. Bits, so that the lowest of those left is the next one. */
enum wire_steps {
    WIRE_CLOSE = 1, /* of a prepared statement */
    WIRE_PARSE = 2,
    WIRE_DESCRIBE = 4, /* of a statement */
    WIRE_BIND = 8,     /* of the unnamed portal */
    WIRE_FETCH = 16,   /* Execute of the unnamed portal: its rows */
    WIRE_SYNC = 32,
    WIRE_STEPS_END = 64
};

enum { WIRE_NO_ROWS = -1 }; /* as a column count: a statement that returns no rows */

enum wire_event_kind {
    WIRE_NEED_MORE,        /* the bytes end within a message: of `size` bytes in all, 0 when its header is not whole */
    WIRE_PARAMETERS,       /* `parameters` of a Describe */
    WIRE_COLUMNS,          /* `columns` of a Describe; column_count WIRE_NO_ROWS for NoData */
    WIRE_ROW,              /* `body`, `size`: a DataRow body whose count and lengths were checked */
    WIRE_COMPLETE,         /* `tag`: the command is carried out, but nothing is settled before WIRE_READY */
    WIRE_ERROR,            /* `error` ends this request; `bound`: whether its Bind had been accepted */
    WIRE_READY,            /* the sync point of requests `first`..`request` came; `transaction` is I, T or E */
    WIRE_NOTICE,           /* `error` holds the notice */
    WIRE_PARAMETER_STATUS, /* `name`, `value` */
    WIRE_NOTIFICATION,     /* `name` the channel, `value` the payload */
    WIRE_FATAL,            /* `error`: the server ends the session, whatever was under way; nothing follows */
    WIRE_COPY,             /* a COPY was started; nothing here can go on with it: the connection must be closed */
    WIRE_SKIPPED, /* a message of `type`, lawful but for its `size`, which is over the limit: its body is passed over */
    WIRE_VIOLATION /* `violation` says what was wrong with which message */
};

struct wire_event {
    enum wire_event_kind kind;
    char transaction;
    uint8_t type;
    bool bound;
    int32_t column_count;
    uint64_t request; /* ordinal of the request that the event belongs to, from 0, in order of their encoding */
    uint64_t first;
    const uint8_t *body;
    size_t size;
    struct wire_parameters parameters;
    struct wire_columns columns;
    struct wire_error error;
    const char *tag;
    size_t tag_length;
    const char *name;
    const char *value;
    const char *violation;
    bool over_limit; /* of a violation: the message may come, but not at this length: it is the session's own limit */
};

struct wire_request {
    uint8_t steps;
    int32_t column_count;
};

/* The request that is being encoded. While there is none, `steps` is WIRE_STEPS_END, which no step is above. */
struct wire_draft {
    struct buf *out;
    size_t mark;         /* where its messages begin in `out` */
    size_t bind;         /* where its Bind begins */
    size_t bind_formats; /* where the format codes of its Bind's parameters begin */
    uint8_t steps;       /* that were appended */
};

struct wire_session {
    struct wire_request *requests; /* ring of `capacity`, a power of two, which grows up to request_count_max */
    uint32_t capacity;
    uint32_t room; /* outstanding requests before the ring has to grow, or the session is full */
    uint32_t request_count_max;
    uint64_t next;        /* ordinal of the next request to be encoded */
    uint64_t head;        /* ordinal of the request that replies belong to now */
    uint64_t first;       /* ordinal of the first request since the last sync point: what fails or commits together */
    uint8_t phase;        /* enum in session.c: what the head's next reply may be */
    uint8_t resume;       /* the phase to go back to once skip_bytes have passed */
    bool bound;           /* of the head: its Bind was accepted */
    int32_t column_count; /* of the head's statement, or WIRE_NO_ROWS: what each DataRow is checked against */
    size_t message_limit_bytes;
    size_t skip_bytes; /* of a message over the limit, still to come */
    struct wire_draft draft;
    char violation[96]; /* its text, for all later calls */
};

/* False: out of memory. `message_limit_bytes` bounds every message, on top of its type's own law (messages.def). */
bool wire_session_init(struct wire_session *session, uint32_t request_count_max, size_t message_limit_bytes);
void wire_session_free(struct wire_session *session);

/*
 * Begins a request, whose messages are appended to `out` by the functions of encode.h. The session must not be full, and
 * the request before must have ended. Where there is no memory for it, `out` fails.
 */
void wire_session_begin(struct wire_session *session, struct buf *out);

/*
 * Ends the request that was begun: from here on the session accepts its replies. `column_count` is what the statement is
 * known to return (WIRE_NO_ROWS: none); with WIRE_DESCRIBE the server says. False: `out` failed, and is what it was at
 * wire_session_begin(), as is the session.
 */
bool wire_session_end(struct wire_session *session, int32_t column_count);

/*
 * Takes the newest requests back, from this ordinal on: their messages were appended to `out` behind `mark`, and nothing of
 * them was sent.
 */
void wire_session_undo(struct wire_session *session, struct buf *out, uint64_t ordinal, size_t mark);

/*
 * Looks at the bytes for the next event and returns how many of them it consumed: those of the event's message and of
 * any silent ones before it. Pointers in the event point into these bytes. With WIRE_NEED_MORE it may have consumed
 * silent messages too; call again with the rest and more. A message that is a violation is not consumed, and every
 * later call says the same. The body of a row, an error or an asynchronous message over the limit is consumed as it
 * comes, and the session goes on; any other message over the limit is a violation. After WIRE_FATAL and WIRE_COPY all
 * further bytes are consumed in silence: WIRE_NEED_MORE.
 */
size_t wire_session_next(struct wire_session *session, const uint8_t *bytes, size_t size, struct wire_event *event);

/*
 * A shortcut for point queries, which makes one call of three. Where the bytes begin with the whole reply to a request of
 * Bind, Execute and perhaps Sync,
 *
 *      BindComplete    one DataRow    CommandComplete "SELECT 1"    ReadyForQuery with status I, after Sync
 *
 * and wire_session_next() would make WIRE_ROW, WIRE_COMPLETE and, after Sync, WIRE_READY of them, it consumes them all and
 * returns how many they are; the event has the members of each, and the kind of the last. In all other cases it returns 0
 * and nothing has happened: that includes a reply that is not whole yet, or is a violation.
 */
size_t wire_session_take_answer(struct wire_session *session, const uint8_t *bytes, size_t size,
                                struct wire_event *event);

/*
 * The same for an INSERT of one row: BindComplete and CommandComplete "INSERT 0 1", for which wire_session_next() would make
 * WIRE_COMPLETE of `*request`.
 */
size_t wire_session_take_inserted(struct wire_session *session, const uint8_t *bytes, size_t size, uint64_t *request);

static inline struct wire_request *wire_session_request(const struct wire_session *session, uint64_t ordinal) {
    return &session->requests[ordinal & (session->capacity - 1)];
}

/* Requests whose replies have not all come. */
static inline uint64_t wire_session_outstanding(const struct wire_session *session) {
    return session->next - session->head;
}

/* True while request_count_max requests are outstanding: none may be encoded. */
static inline bool wire_session_is_full(const struct wire_session *session) {
    return wire_session_outstanding(session) >= session->request_count_max;
}

#endif
