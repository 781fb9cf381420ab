/* SPDX-License-Identifier: MIT */
/*
 * One connected socket.
 *
 *      UNUSED --socket_open()--> OPEN --socket_close() or loss--> DRAINING --no operation left in the kernel--> CLOSED
 *         ^                                                                                                      |
 *         +--------------------------------------------socket_free()---------------------------------------------+
 *
 * A receive is armed at all times while OPEN, whatever the sending side does: reads never wait for writes. At most one
 * send is in flight; what is appended meanwhile goes out with the next. Buffers belong to the kernel until their event,
 * so DRAINING shuts the socket down, reaps to zero, and only then closes it and calls closed().
 */
#ifndef QURING_RING_SOCKET_H
#define QURING_RING_SOCKET_H

#include "base/buf.h"
#include "base/list.h"

struct ring;
struct socket;

struct socket_events {
    /* Bytes came into `in`: the owner consumes whole messages, and calls socket_expect() if a large one is under way. */
    void (*received)(struct socket *socket);
    /* The peer ended the connection (error 0) or it failed (errno). At most once; the socket is DRAINING by then. */
    void (*lost)(struct socket *socket, int error);
    /* No operation of the socket is left in the kernel, and `accepted_bytes` is final. The owner may free it. */
    void (*closed)(struct socket *socket);
};

enum socket_state { SOCKET_UNUSED, SOCKET_OPEN, SOCKET_DRAINING, SOCKET_CLOSED };

struct socket {
    struct ring *ring;
    const struct socket_events *events;
    struct list dirty;
    uint64_t token;
    int fd;
    uint8_t state;           /* enum socket_state */
    bool receiving, sending; /* operations in the kernel */
    bool more_data;          /* the last receive left something in the socket */
    bool filled;             /* the last receive filled what it was given */
    uint32_t receive_bytes;  /* what the present receive was given */
    uint32_t small_receives; /* in a row */
    struct buf in;           /* received, not consumed */
    struct buf out;          /* appended, not yet in the kernel's hands */
    struct buf flight;       /* in the kernel's hands */
    size_t expected_bytes;   /* size of the message that begins at in's head, when larger than what is there */
    uint64_t appended_bytes; /* moved to `flight` in the socket's life */
    uint64_t accepted_bytes; /* by the kernel */
};

/* Takes over a connected socket. `in_limit_bytes` bounds one message. 0, or a QURING_E*; the fd stays the caller's then. */
int socket_open(struct socket *socket, struct ring *ring, int fd, const struct socket_events *events,
                size_t in_limit_bytes, size_t out_limit_bytes);

/* The buffer to append requests to; call socket_dirty() after. Appended bytes go out at the next emit. */
static inline struct buf *socket_out(struct socket *socket) {
    return &socket->out;
}
void socket_dirty(struct socket *socket);

/* The position in the socket's life of the next byte to be appended. */
static inline uint64_t socket_position(const struct socket *socket) {
    return socket->appended_bytes + buf_size(&socket->out);
}

/* The number of bytes that were appended and that the kernel has not accepted yet. */
static inline size_t socket_backlog_bytes(const struct socket *socket) {
    return (size_t)(socket_position(socket) - socket->accepted_bytes);
}

/* The message at in's head is this long: make room for it before the next receive. */
static inline void socket_expect(struct socket *socket, size_t message_bytes) {
    socket->expected_bytes = message_bytes;
}

/*
 * True where last bytes would come behind a whole message: what has begun to go has gone. What was appended behind that never
 * goes, once they have.
 */
static inline bool socket_may_send_now(const struct socket *socket) {
    return socket->state == SOCKET_OPEN && !socket->sending && buf_size(&socket->flight) == 0;
}

/* Sends a few last bytes before socket_close(), if they may be sent and the kernel takes them at once. */
void socket_send_now(struct socket *socket, const void *bytes, size_t size);

/* Ends the connection from our side. closed() follows in a later turn, lost() does not. Appended bytes may not go out. */
void socket_close(struct socket *socket);

/* Frees the buffers of a socket that is CLOSED or was never opened. */
void socket_free(struct socket *socket);

#endif
