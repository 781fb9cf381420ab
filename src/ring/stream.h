/* SPDX-License-Identifier: MIT */
/*
 * One connected socket.
 *
 *      OPEN --stream_close() or loss--> DRAINING --no operation left in the kernel--> CLOSED
 *
 * A receive is armed at all times while OPEN, whatever the sending side does: reads never wait for writes. At most one
 * send is in flight; what is appended meanwhile goes out with the next. Buffers belong to the kernel until their event,
 * so DRAINING shuts the socket down, reaps to zero, and only then closes it and calls closed().
 */
#ifndef QURING_RING_STREAM_H
#define QURING_RING_STREAM_H

#include "base/buf.h"
#include "base/list.h"
#include "ring/ring.h"

struct stream_events {
    /* Bytes came into `in`; consume what makes whole messages. stream_expect() if a large one is under way. */
    void (*received)(struct stream *stream);
    /* The peer ended it (error 0) or it failed (errno). Called at most once; the stream is DRAINING by then. */
    void (*lost)(struct stream *stream, int error);
    /* Nothing of it is left in the kernel, `accepted_bytes` is final; the owner may free it. */
    void (*closed)(struct stream *stream);
};

enum stream_state { STREAM_UNUSED, STREAM_OPEN, STREAM_DRAINING, STREAM_CLOSED };

struct stream {
    struct ring *ring;
    const struct stream_events *events;
    struct list dirty;
    uint64_t token;
    int fd;
    uint8_t state;           /* enum stream_state */
    bool receiving, sending; /* operations in the kernel */
    bool more_data;          /* the last receive left something in the socket */
    bool filled;             /* the last receive filled what it was given */
    uint32_t receive_bytes;  /* what the present receive was given */
    uint32_t small_receives; /* in a row */
    struct buf in;           /* received, not consumed */
    struct buf out;          /* appended, not yet in the kernel's hands */
    struct buf flight;       /* in the kernel's hands */
    size_t expected_bytes;   /* size of the message that begins at in's head, when larger than what is there */
    uint64_t appended_bytes; /* moved to `flight` in the stream's life */
    uint64_t accepted_bytes; /* by the kernel */
};

/* Takes over a connected socket. `in_limit_bytes` bounds one message. 0, or a QURING_E*; the fd stays the caller's then. */
int stream_open(struct stream *stream, struct ring *ring, int fd, const struct stream_events *events,
                size_t in_limit_bytes, size_t out_limit_bytes);

/* The buffer to append requests to; call stream_dirty() after. Appended bytes go out at the next emit. */
static inline struct buf *stream_out(struct stream *stream) {
    return &stream->out;
}
void stream_dirty(struct stream *stream);

/* The position in the stream's life of the next byte to be appended. */
static inline uint64_t stream_position(const struct stream *stream) {
    return stream->appended_bytes + buf_size(&stream->out);
}

/* Appended, not yet accepted by the kernel. */
static inline size_t stream_backlog_bytes(const struct stream *stream) {
    return (size_t)(stream_position(stream) - stream->accepted_bytes);
}

/* The message at in's head is this long: make room for it before the next receive. */
static inline void stream_expect(struct stream *stream, size_t message_bytes) {
    stream->expected_bytes = message_bytes;
}

/*
 * Just before stream_close(): a few bytes that the peer gets if its socket takes them at once. They are left out when not
 * all that was appended has gone, for they would stand within a message.
 */
void stream_send_now(struct stream *stream, const void *bytes, size_t size);

/* Ends it from our side: closed() follows, in a later turn; lost() does not. What was appended may not go out. */
void stream_close(struct stream *stream);

/* Frees the buffers of a stream that is CLOSED or was never opened. */
void stream_free(struct stream *stream);

#endif
