/* SPDX-License-Identifier: MIT */
/*
 * A session fed as a connection feeds it: bytes come in pieces, what it does not consume is kept for the next piece.
 * Every piece ends at a guard page, and every answer is held against the session's own promises: it consumes no more
 * than was given, points only into what it consumed, and comes to an end. What it says is logged as text, one event a
 * line, except WIRE_NEED_MORE, which depends on the pieces. A broken promise aborts, so that fuzz targets can use
 * this too.
 */
#ifndef QURING_TESTS_WIRE_FEED_H
#define QURING_TESTS_WIRE_FEED_H

#include "base/buf.h"
#include "lib/guard.h"
#include "wire/encode.h"

struct wire_feed {
    struct wire_session session;
    struct guard guard;
    struct buf pending;
    struct buf log;
    bool takes_answers;        /* by wire_session_take_answer(), which must make no difference */
    size_t answer_count;       /* that it took */
    size_t consumed;           /* in all */
    size_t wanted;             /* the size of the last WIRE_NEED_MORE */
    enum wire_event_kind last; /* WIRE_NEED_MORE, or WIRE_VIOLATION */
};

void wire_feed_open(struct wire_feed *feed, uint32_t request_count_max, size_t message_limit_bytes, size_t input_max);
void wire_feed_close(struct wire_feed *feed);

/*
 * Encodes a request of these steps, whose bytes go nowhere, so that the session waits for its replies. False, and nothing
 * is encoded: the session is full.
 */
bool wire_expect(struct wire_session *session, uint8_t steps, int32_t column_count);

/* Everything is forgotten, as after opening anew. */
void wire_feed_restart(struct wire_feed *feed);
void wire_feed_bytes(struct wire_feed *feed, const void *bytes, size_t size);

/* The log so far, as a string. */
const char *wire_feed_log(struct wire_feed *feed);

/* One line that tells all that the event's kind has. */
void wire_event_print(struct buf *out, const struct wire_event *event);

#endif
