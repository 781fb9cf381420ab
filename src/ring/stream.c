/* SPDX-License-Identifier: MIT */
#include "ring/ring_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    IN_BYTES = 16 * 1024,       /* an idle stream's receive buffer */
    IN_BYTES_BUSY = 128 * 1024, /* grows up to here while receives fill it */
    IN_FREE_MIN = 4 * 1024,     /* room that a receive is given at least */
    OUT_KEEP_BYTES = 64 * 1024,
    SMALL_RECEIVES = 64,     /* in a row, before a grown buffer shrinks */
    SEND_BYTES_MAX = 1 << 30 /* of one operation */
};

/* ---- State ---- */

static void stream_mark(struct stream *stream) {
    if (list_empty(&stream->dirty))
        list_push_back(&stream->ring->dirty, &stream->dirty);
}

int stream_open(struct stream *stream, struct ring *ring, int fd, const struct stream_events *events,
                size_t in_limit_bytes, size_t out_limit_bytes) {
    *stream = (struct stream){.ring = ring, .events = events, .fd = fd, .state = STREAM_OPEN};
    list_init(&stream->dirty);
    struct stream **slot = slots_take(&ring->streams, &stream->token);
    if (!slot)
        return QURING_EFULL;
    *slot = stream;
    buf_init(&stream->in, in_limit_bytes + IN_BYTES_BUSY);
    buf_init(&stream->out, out_limit_bytes);
    buf_init(&stream->flight, out_limit_bytes);
    stream_mark(stream);
    return 0;
}

void stream_free(struct stream *stream) {
    PRE(stream->state == STREAM_UNUSED || stream->state == STREAM_CLOSED);
    buf_free(&stream->in);
    buf_free(&stream->out);
    buf_free(&stream->flight);
    stream->state = STREAM_UNUSED;
}

void stream_dirty(struct stream *stream) {
    if (stream->state == STREAM_OPEN)
        stream_mark(stream);
}

static void drain(struct stream *stream) {
    stream->state = STREAM_DRAINING;
    stream->ring->port->methods->shutdown(stream->ring->port, stream->fd);
    stream_mark(stream);
}

void stream_send_now(struct stream *stream, const void *bytes, size_t size) {
    struct port *port = stream->ring->port;
    if (stream->state == STREAM_OPEN && !stream->sending && stream_backlog_bytes(stream) == 0)
        port->methods->send_now(port, stream->fd, bytes, size);
}

void stream_close(struct stream *stream) {
    if (stream->state == STREAM_OPEN)
        drain(stream);
}

static void lose(struct stream *stream, int error) {
    if (stream->state != STREAM_OPEN)
        return;
    drain(stream);
    stream->ring->stirred = true;
    stream->events->lost(stream, error);
}

static void finish_close(struct stream *stream) {
    struct ring *ring = stream->ring;
    ring->port->methods->close(ring->port, stream->fd);
    slots_give(&ring->streams, stream->token);
    stream->state = STREAM_CLOSED;
    stream->fd = -1;
    ring->stirred = true;
    stream->events->closed(stream);
}

/* ---- Sending ---- */

/* The kernel did not take an operation: that passes when it takes none for now; the next emit tries again. */
static void refused(struct stream *stream, int error) {
    if (error == -EBUSY || error == -EAGAIN)
        stream_mark(stream);
    else
        lose(stream, -error);
}

static void send_more(struct stream *stream) {
    size_t left = buf_size(&stream->flight);
    struct port_op op = {.token = ring_op_token(stream->token, PORT_SEND),
                         .bytes = buf_head(&stream->flight),
                         .size = (uint32_t)(left < SEND_BYTES_MAX ? left : SEND_BYTES_MAX),
                         .fd = stream->fd,
                         .kind = PORT_SEND};
    int error = stream->ring->port->methods->push(stream->ring->port, &op);
    if (error) {
        refused(stream, error);
        return;
    }
    stream->sending = true;
    stream->ring->sends_pushed++;
    stream->ring->counters.sends++;
}

static void send_start(struct stream *stream) {
    if (buf_size(&stream->flight) == 0) {
        struct buf empty = stream->flight;
        stream->flight = stream->out;
        stream->out = empty;
        stream->appended_bytes += buf_size(&stream->flight);
    }
    if (buf_size(&stream->flight))
        send_more(stream);
}

static void sent(struct stream *stream, int32_t result) {
    stream->sending = false;
    if (result > 0) {
        stream->accepted_bytes += (uint64_t)result;
        stream->ring->counters.sent_bytes += (uint64_t)result;
        buf_consume(&stream->flight, (size_t)result);
        if (result > OUT_KEEP_BYTES)
            stream->ring->stirred = true; /* its owner may have held back because of this backlog */
        if (buf_size(&stream->flight) == 0)
            buf_reset(&stream->flight, OUT_KEEP_BYTES);
    } else if (result < 0 && result != -EINTR && result != -EAGAIN && stream->state == STREAM_OPEN) {
        /* What the peer said before it went is still to be read: the receive ends the stream. */
        stream->ring->port->methods->shutdown(stream->ring->port, stream->fd);
        return;
    }
    if (stream->state == STREAM_DRAINING || buf_size(&stream->flight) || buf_size(&stream->out))
        stream_mark(stream);
}

/* ---- Receiving ---- */

/* Makes room for the next receive. False: the message that is under way does not fit the limit, or no memory. */
static bool receive_room(struct stream *stream) {
    struct buf *in = &stream->in;
    size_t have = buf_size(in);
    size_t want = IN_FREE_MIN;
    if (stream->expected_bytes > have + want)
        want = stream->expected_bytes - have;
    size_t room = in->capacity ? in->capacity : IN_BYTES;
    if (stream->filled && room < IN_BYTES_BUSY)
        room = room > IN_BYTES_BUSY / 2 ? IN_BYTES_BUSY : 2 * room;
    if (room <= IN_BYTES_BUSY && room > have + want)
        want = room - have;
    return buf_reserve(in, want) != NULL;
}

static void receive_shrink(struct stream *stream) {
    struct buf *in = &stream->in;
    if (buf_size(in) || in->capacity <= IN_BYTES)
        return;
    if (stream->small_receives >= SMALL_RECEIVES || in->capacity > 2 * IN_BYTES_BUSY) {
        buf_shrink(in, IN_BYTES);
        stream->small_receives = 0;
    }
}

static void receive_start(struct stream *stream) {
    receive_shrink(stream);
    if (!receive_room(stream)) {
        lose(stream, ENOMEM);
        return;
    }
    struct buf *in = &stream->in;
    size_t room = in->capacity - in->end;
    struct port_op op = {.token = ring_op_token(stream->token, PORT_RECV),
                         .bytes = in->data + in->end,
                         .size = (uint32_t)(room < SEND_BYTES_MAX ? room : SEND_BYTES_MAX),
                         .fd = stream->fd,
                         .kind = PORT_RECV,
                         .poll_first = !stream->more_data};
    stream->receive_bytes = op.size;
    int error = stream->ring->port->methods->push(stream->ring->port, &op);
    if (error) {
        refused(stream, error);
        return;
    }
    stream->receiving = true;
    stream->ring->counters.receives++;
}

static void received(struct stream *stream, const struct port_event *event) {
    stream->receiving = false;
    stream->more_data = event->more_data;
    if (stream->state == STREAM_DRAINING || event->result == -EINTR || event->result == -EAGAIN) {
        stream_mark(stream);
        return;
    }
    if (event->result <= 0) {
        lose(stream, -event->result);
        return;
    }
    uint32_t size = (uint32_t)event->result;
    stream->filled = size == stream->receive_bytes;
    if (stream->filled)
        stream->more_data = true;
    stream->small_receives = size < IN_BYTES ? stream->small_receives + 1 : 0;
    stream->ring->counters.received_bytes += size;
    stream->expected_bytes = 0;
    buf_commit(&stream->in, size);
    stream_mark(stream);
    stream->events->received(stream);
}

/* ---- What the ring calls ---- */

void stream_emit(struct stream *stream) {
    if (stream->state == STREAM_OPEN && !stream->sending)
        send_start(stream);
    if (stream->state == STREAM_OPEN && !stream->receiving)
        receive_start(stream);
    if (stream->state == STREAM_DRAINING && !stream->sending && !stream->receiving) {
        list_remove(&stream->dirty);
        finish_close(stream);
    }
}

void stream_event(struct stream *stream, enum port_kind kind, const struct port_event *event) {
    if (kind == PORT_SEND)
        sent(stream, event->result);
    else
        received(stream, event);
}
