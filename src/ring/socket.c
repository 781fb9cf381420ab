/* SPDX-License-Identifier: MIT */
#include "ring/socket.h"

#include "ring/ring_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    IN_BYTES_FIRST = 2 * 1024,  /* a receive buffer begins with this: most sockets of a large pool get no more */
    IN_BYTES = 16 * 1024,       /* a buffer up to this size is kept */
    IN_BYTES_BUSY = 128 * 1024, /* grows up to here while receives fill it */
    IN_FREE_MIN = 256,          /* room that a receive is given at least */
    OUT_KEEP_BYTES = 64 * 1024,
    SMALL_RECEIVES = 64,     /* in a row, before a grown buffer shrinks */
    SEND_BYTES_MAX = 1 << 30 /* of one operation */
};

/* ---- State ---- */

/* The edges of the diagram in socket.h. */
static void socket_move(struct socket *socket, enum socket_state to) {
    static const uint8_t next[] = {
        [SOCKET_UNUSED] = 1 << SOCKET_OPEN,
        [SOCKET_OPEN] = 1 << SOCKET_DRAINING,
        [SOCKET_DRAINING] = 1 << SOCKET_CLOSED,
        [SOCKET_CLOSED] = 1 << SOCKET_UNUSED,
    };
    PRE(next[socket->state] >> to & 1);
    socket->state = (uint8_t)to;
}

/* Has the next emit visit the socket. */
static void socket_mark(struct socket *socket) {
    if (list_empty(&socket->dirty))
        list_push_back(&socket->ring->dirty, &socket->dirty);
}

int socket_open(struct socket *socket, struct ring *ring, int fd, const struct socket_events *events,
                size_t in_limit_bytes, size_t out_limit_bytes) {
    *socket = (struct socket){.ring = ring, .events = events, .fd = fd};
    list_init(&socket->dirty);
    struct socket **slot = slots_take(&ring->sockets, &socket->token);
    if (!slot)
        return QURING_EFULL;
    *slot = socket;
    socket_move(socket, SOCKET_OPEN);
    buf_init(&socket->in, in_limit_bytes + IN_BYTES_BUSY);
    buf_init(&socket->out, out_limit_bytes);
    buf_init(&socket->flight, out_limit_bytes);
    socket_mark(socket);
    return 0;
}

void socket_free(struct socket *socket) {
    PRE(socket->state == SOCKET_UNUSED || socket->state == SOCKET_CLOSED);
    buf_free(&socket->in);
    buf_free(&socket->out);
    buf_free(&socket->flight);
    if (socket->state == SOCKET_CLOSED)
        socket_move(socket, SOCKET_UNUSED);
}

void socket_dirty(struct socket *socket) {
    if (socket->state != SOCKET_OPEN)
        return;
    socket->ring->unsent |= buf_size(&socket->out) != 0;
    socket_mark(socket);
}

static void socket_drain(struct socket *socket) {
    socket_move(socket, SOCKET_DRAINING);
    socket->ring->port->methods->shutdown(socket->ring->port, socket->fd);
    socket_mark(socket);
}

void socket_send_now(struct socket *socket, const void *bytes, size_t size) {
    struct port *port = socket->ring->port;
    if (socket_may_send_now(socket))
        port->methods->send_now(port, socket->fd, bytes, size);
}

void socket_close(struct socket *socket) {
    if (socket->state == SOCKET_OPEN)
        socket_drain(socket);
}

static void socket_lose(struct socket *socket, int error) {
    if (socket->state != SOCKET_OPEN)
        return;
    socket_drain(socket);
    socket->ring->turn_wanted = true;
    socket->events->lost(socket, error);
}

static void socket_finish_close(struct socket *socket) {
    struct ring *ring = socket->ring;
    ring->port->methods->close(ring->port, socket->fd);
    slots_give(&ring->sockets, socket->token);
    socket_move(socket, SOCKET_CLOSED);
    socket->fd = -1;
    ring->turn_wanted = true;
    ring->now_ns = ring->port->methods->now_ns(ring->port); /* a turn reads it behind its emit */
    socket->events->closed(socket);
}

/* ---- Sending ---- */

/* The kernel refused an operation. EBUSY and EAGAIN pass, so the next emit tries again; other errors end the socket. */
static void socket_refused(struct socket *socket, int error) {
    if (error == -EBUSY || error == -EAGAIN)
        socket_dirty(socket);
    else
        socket_lose(socket, -error);
}

static void socket_push_send(struct socket *socket) {
    size_t left = buf_size(&socket->flight);
    struct port_op op = {.token = ring_op_token(socket->token, PORT_SEND),
                         .bytes = buf_head(&socket->flight),
                         .size = (uint32_t)(left < SEND_BYTES_MAX ? left : SEND_BYTES_MAX),
                         .fd = socket->fd,
                         .kind = PORT_SEND};
    int error = socket->ring->port->methods->push(socket->ring->port, &op);
    if (error) {
        socket_refused(socket, error);
        return;
    }
    socket->sending = true;
    socket->ring->sends_pushed++;
    socket->ring->counters.sends++;
}

/* Swapping the two buffers hands everything that was appended to the kernel without a copy. */
static void socket_start_send(struct socket *socket) {
    if (buf_size(&socket->flight) == 0) {
        struct buf empty = socket->flight;
        socket->flight = socket->out;
        socket->out = empty;
        socket->appended_bytes += buf_size(&socket->flight);
    }
    if (buf_size(&socket->flight))
        socket_push_send(socket);
}

static void socket_sent(struct socket *socket, int32_t result) {
    socket->sending = false;
    socket->ring->sends_ended++;
    if (result > 0) {
        socket->accepted_bytes += (uint64_t)result;
        socket->ring->counters.sent_bytes += (uint64_t)result;
        buf_consume(&socket->flight, (size_t)result);
        if (result > OUT_KEEP_BYTES)
            socket->ring->turn_wanted = true; /* the owner may have held queries back because of this backlog */
        if (buf_size(&socket->flight) == 0)
            buf_reset(&socket->flight, OUT_KEEP_BYTES);
    } else if (result < 0 && result != -EINTR && result != -EAGAIN && socket->state == SOCKET_OPEN) {
        /* The peer's last words may still wait to be read, so the receive, and not this send, reports the loss. */
        socket->ring->port->methods->shutdown(socket->ring->port, socket->fd);
        return;
    }
    if (socket->state == SOCKET_DRAINING)
        socket_mark(socket);
    else if (buf_size(&socket->flight) || buf_size(&socket->out))
        socket_dirty(socket);
}

/* ---- Receiving ---- */

/*
 * Makes room for the next receive: for the whole of a message that is under way, and for more while receives fill what they
 * are given. False: the message does not fit the limit, or memory ran out.
 */
static bool socket_reserve_in(struct socket *socket) {
    struct buf *in = &socket->in;
    size_t have = buf_size(in);
    size_t want = IN_FREE_MIN;
    if (socket->expected_bytes > have + want)
        want = socket->expected_bytes - have;
    size_t room = in->capacity ? in->capacity : IN_BYTES_FIRST;
    if (socket->filled && room < IN_BYTES_BUSY)
        room = room > IN_BYTES_BUSY / 2 ? IN_BYTES_BUSY : 2 * room;
    if (room <= IN_BYTES_BUSY && room > have + want)
        want = room - have;
    return buf_reserve(in, want) != NULL;
}

/* A buffer that grew for a burst shrinks after a run of small receives, so that idle connections hold little memory. */
static void socket_shrink_in(struct socket *socket) {
    struct buf *in = &socket->in;
    if (buf_size(in) || in->capacity <= IN_BYTES)
        return;
    if (socket->small_receives >= SMALL_RECEIVES || in->capacity > 2 * IN_BYTES_BUSY) {
        buf_shrink(in, IN_BYTES);
        socket->small_receives = 0;
    }
}

static void socket_push_receive(struct socket *socket) {
    socket_shrink_in(socket);
    if (!socket_reserve_in(socket)) {
        socket_lose(socket, ENOMEM);
        return;
    }
    struct buf *in = &socket->in;
    size_t room = in->capacity - in->end;
    struct port_op op = {.token = ring_op_token(socket->token, PORT_RECV),
                         .bytes = in->data + in->end,
                         .size = (uint32_t)(room < SEND_BYTES_MAX ? room : SEND_BYTES_MAX),
                         .fd = socket->fd,
                         .kind = PORT_RECV,
                         .poll_first = !socket->more_data};
    socket->receive_bytes = op.size;
    int error = socket->ring->port->methods->push(socket->ring->port, &op);
    if (error) {
        socket_refused(socket, error);
        return;
    }
    socket->receiving = true;
    socket->ring->counters.receives++;
}

static void socket_received(struct socket *socket, const struct port_event *event) {
    socket->receiving = false;
    socket->more_data = event->more_data;
    if (socket->state == SOCKET_DRAINING || event->result == -EINTR || event->result == -EAGAIN) {
        socket_mark(socket);
        return;
    }
    if (event->result <= 0) {
        socket_lose(socket, -event->result);
        return;
    }
    uint32_t size = (uint32_t)event->result;
    /* A receive that filled its room has probably left bytes behind, even where the kernel does not say so. */
    socket->filled = size == socket->receive_bytes;
    if (socket->filled)
        socket->more_data = true;
    socket->small_receives = size < IN_BYTES ? socket->small_receives + 1 : 0;
    socket->ring->counters.received_bytes += size;
    socket->expected_bytes = 0;
    buf_commit(&socket->in, size);
    socket_mark(socket);
    socket->events->received(socket);
}

/* ---- Calls from the ring ---- */

/* The state is asked for again at each step, because a push that the kernel refuses may end the socket. */
void socket_emit(struct socket *socket) {
    if (socket->state == SOCKET_OPEN && !socket->sending)
        socket_start_send(socket);
    if (socket->state == SOCKET_OPEN && !socket->receiving)
        socket_push_receive(socket);
    if (socket->state == SOCKET_DRAINING && !socket->sending && !socket->receiving) {
        list_remove(&socket->dirty);
        socket_finish_close(socket);
    }
}

void socket_event(struct socket *socket, enum port_kind kind, const struct port_event *event) {
    if (kind == PORT_SEND)
        socket_sent(socket, event->result);
    else
        socket_received(socket, event);
}
