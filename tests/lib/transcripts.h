/* SPDX-License-Identifier: MIT */
/*
 * Recorded sessions: what was asked, what PostgreSQL 15 answered, and the events that it means. The bytes have the
 * shape of real ones, but are built by hand (replies.h), so that they do not depend on what is tested.
 */
#ifndef QURING_TESTS_TRANSCRIPTS_H
#define QURING_TESTS_TRANSCRIPTS_H

#include "base/buf.h"
#include "wire/session.h"

enum { TRANSCRIPT_REQUESTS_MAX = 6 };

struct transcript {
    const char *name;
    size_t request_count;
    struct wire_request requests[TRANSCRIPT_REQUESTS_MAX];
    void (*build)(struct buf *out);
    const char *events; /* a line each, as wire_event_print() writes them */
};

extern const struct transcript transcripts[];
extern const size_t transcript_count;

/* Tells the session of all that was asked. */
void transcript_expect(const struct transcript *transcript, struct wire_session *session);

/* The size of the message that begins at `offset`. */
size_t transcript_message_size(const struct buf *bytes, size_t offset);

#endif
