/* SPDX-License-Identifier: MIT */
/*
 * A socket's two ends. Code that changes what an operation could do calls sim_rouse(), which sets the time at which the
 * operation looks again; an operation that finds nothing to do then stays in flight until the next sim_rouse().
 */
#include "ring/port_sim_internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- What is due ---- */

static void sim_due_in(struct sim_peer *peer, struct sim_timer *timer) {
    if (!heap_contains(&timer->node))
        sim_timer_set(peer->sim, timer, sim_delay(peer->sim));
}

static size_t sim_room(const struct sim_peer *peer, const struct buf *pipe) {
    size_t size = buf_size(pipe);
    return size < peer->sim->options.socket_bytes ? peer->sim->options.socket_bytes - size : 0;
}

static bool sim_fin_arrived(const struct sim_peer *peer) {
    return peer->ending && buf_size(&peer->backlog) == 0;
}

static void sim_rouse(struct sim_peer *peer) {
    bool over = peer->reset || peer->shut;
    if (peer->recv.state == SIM_OP_FLYING &&
        (over || peer->recv.error || buf_size(&peer->to_engine) || sim_fin_arrived(peer)))
        sim_due_in(peer, &peer->recv.due);
    if (peer->send.state == SIM_OP_FLYING && (over || peer->send.error || sim_room(peer, &peer->to_peer)))
        sim_due_in(peer, &peer->send.due);
    bool delivers = peer->listening && (buf_size(&peer->to_peer) || peer->shut);
    if (!peer->told && (delivers || peer->reset))
        sim_due_in(peer, &peer->delivery);
}

void sim_peer_submit(struct sim_op *op) {
    sim_rouse(op->peer);
}

static void sim_reset_socket(struct sim_peer *peer) {
    if (peer->reset)
        return;
    sim_trace(peer->sim, "reset", peer->fd, (int64_t)peer->taken_bytes, (int64_t)peer->given_bytes);
    peer->reset = true;
    buf_reset(&peer->to_peer, SIZE_MAX);
    buf_reset(&peer->backlog, SIZE_MAX);
    if (rng_next(&peer->sim->rng) & 1) /* what had arrived may still be read, or not */
        buf_reset(&peer->to_engine, SIZE_MAX);
    sim_rouse(peer);
}

/* Bytes from the peer's memory into the socket, as far as there is room. */
static void sim_refill(struct sim_peer *peer) {
    size_t had = buf_size(&peer->backlog), n = sim_room(peer, &peer->to_engine);
    n = had < n ? had : n;
    if (n) {
        buf_put(&peer->to_engine, buf_head(&peer->backlog), n);
        buf_consume(&peer->backlog, n);
        if (n == had && peer->events->writable)
            peer->events->writable(peer);
    }
    sim_rouse(peer);
}

/* ---- Operations ---- */

/* An error that was drawn or set for this operation, before it did anything. 0: none. */
static int sim_op_error(struct sim_op *op) {
    struct sim *sim = op->peer->sim;
    int error = op->error;
    op->error = 0;
    if (!error && sim_chance(sim, sim->options.again))
        error = rng_next(&sim->rng) & 1 ? -EINTR : -EAGAIN;
    if (!error && sim_chance(sim, sim->options.reset)) {
        sim_reset_socket(op->peer);
        error = op == &op->peer->recv || rng_next(&sim->rng) & 1 ? -ECONNRESET : -EPIPE;
    }
    if (error == -ECONNRESET || error == -EPIPE || error == -ETIMEDOUT)
        sim_reset_socket(op->peer);
    return error;
}

static size_t sim_piece(struct sim *sim, size_t size, uint16_t chance) {
    return size > 1 && sim_chance(sim, chance) ? 1 + rng_below(&sim->rng, size - 1) : size;
}

/* Cuts a piece so that the reset happens exactly at its byte. */
static size_t sim_until_reset(uint64_t at, uint64_t done, size_t size) {
    return at - done < size ? (size_t)(at - done) : size;
}

static void sim_recv_fire(struct sim_timer *timer) {
    struct sim_op *op = base_container_of(timer, struct sim_op, due);
    struct sim_peer *peer = op->peer;
    struct sim *sim = peer->sim;
    int error = sim_op_error(op);
    size_t size = buf_size(&peer->to_engine);
    size = sim_until_reset(peer->reset_at_given, peer->given_bytes, size < op->size ? size : op->size);
    if (error) {
        sim_op_done(op, error);
    } else if (size) {
        size = sim->options.bytewise ? 1 : sim_piece(sim, size, sim->options.split);
        memcpy(op->bytes, buf_head(&peer->to_engine), size);
        buf_consume(&peer->to_engine, size);
        peer->given_bytes += size;
        op->more_data = buf_size(&peer->to_engine) != 0;
        sim_op_done(op, (int32_t)size);
        sim_refill(peer);
    } else if (peer->given_bytes == peer->reset_at_given || peer->reset) {
        sim_reset_socket(peer);
        sim_op_done(op, -ECONNRESET);
    } else if (peer->shut) {
        sim_op_done(op, sim_chance(sim, sim->options.cancelled) ? -ECANCELED : 0);
    } else if (sim_fin_arrived(peer)) {
        sim_op_done(op, 0);
    }
}

static void sim_send_end(struct sim_op *op, int error) {
    sim_op_done(op, op->progress ? (int32_t)op->progress : error);
}

static void sim_send_fire(struct sim_timer *timer) {
    struct sim_op *op = base_container_of(timer, struct sim_op, due);
    struct sim_peer *peer = op->peer;
    struct sim *sim = peer->sim;
    int error = sim_op_error(op);
    if (!error && peer->taken_bytes == peer->reset_at_taken)
        sim_reset_socket(peer);
    if (!error && peer->reset)
        error = rng_next(&sim->rng) & 1 ? -EPIPE : -ECONNRESET;
    else if (!error && peer->shut)
        error = sim_chance(sim, sim->options.cancelled) ? -ECANCELED : -EPIPE;
    if (error) {
        sim_send_end(op, error);
        return;
    }
    size_t size = op->size - op->progress, free_bytes = sim_room(peer, &peer->to_peer);
    size = sim_until_reset(peer->reset_at_taken, peer->taken_bytes, size < free_bytes ? size : free_bytes);
    size = sim_piece(sim, size, sim->options.short_send);
    buf_put(&peer->to_peer, op->bytes + op->progress, size);
    op->progress += (uint32_t)size;
    peer->taken_bytes += size;
    /* A blocked send goes on by itself (WAITALL), or comes back with what was taken. */
    if (op->progress == op->size || (op->progress && sim_chance(sim, sim->options.short_send)))
        sim_send_end(op, 0);
    sim_rouse(peer);
}

/* ---- The peer's end ---- */

static void sim_tell_end(struct sim_peer *peer) {
    peer->told = true;
    sim_trace(peer->sim, "peer ended", peer->fd, peer->reset, 0);
    peer->events->ended(peer, peer->reset);
}

static void sim_delivery_fire(struct sim_timer *timer) {
    struct sim_peer *peer = base_container_of(timer, struct sim_peer, delivery);
    size_t size = buf_size(&peer->to_peer);
    if (peer->told)
        return;
    if (peer->reset || (peer->shut && size == 0)) {
        sim_tell_end(peer);
        return;
    }
    size = sim_piece(peer->sim, size, peer->sim->options.short_delivery);
    if (!size || !peer->listening)
        return;
    sim_trace(peer->sim, "deliver", peer->fd, (int64_t)size, 0);
    /* A copy, because the peer may cause a reset, which empties the pipe. */
    buf_reset(&peer->delivered, SIZE_MAX);
    buf_put(&peer->delivered, buf_head(&peer->to_peer), size);
    buf_consume(&peer->to_peer, size);
    peer->events->received(peer, peer->delivered.data, size);
    sim_rouse(peer);
}

void *sim_peer_user(const struct sim_peer *peer) {
    return peer->user;
}

struct sim *sim_peer_sim(const struct sim_peer *peer) {
    return peer->sim;
}

bool sim_peer_over(const struct sim_peer *peer) {
    return peer->reset || peer->told;
}

void sim_peer_write(struct sim_peer *peer, const void *bytes, size_t size) {
    if (peer->ending)
        sim_fail(peer->sim, "the peer writes after its end");
    if (peer->fd < 0)
        sim_reset_socket(peer); /* nobody is there any more */
    if (peer->reset || !size)
        return;
    buf_put(&peer->backlog, bytes, size);
    sim_memory(buf_failed(&peer->backlog) ? NULL : peer);
    sim_refill(peer);
}

size_t sim_peer_backlog_bytes(const struct sim_peer *peer) {
    return buf_size(&peer->backlog);
}

void sim_peer_end(struct sim_peer *peer) {
    peer->ending = true;
    sim_rouse(peer);
}

void sim_peer_reset(struct sim_peer *peer) {
    sim_reset_socket(peer);
}

void sim_peer_listen(struct sim_peer *peer, bool on) {
    peer->listening = on;
    sim_rouse(peer);
}

void sim_peer_reset_at(struct sim_peer *peer, uint64_t sent_bytes, uint64_t received_bytes) {
    peer->reset_at_taken = sent_bytes;
    peer->reset_at_given = received_bytes;
}

uint64_t sim_peer_taken_bytes(const struct sim_peer *peer) {
    return peer->taken_bytes;
}

uint64_t sim_peer_given_bytes(const struct sim_peer *peer) {
    return peer->given_bytes;
}

/* ---- Descriptors ---- */

struct sim_peer *sim_peer_of(struct sim *sim, int fd) {
    int64_t index = (int64_t)fd - SIM_FD_FIRST;
    if (index < 0 || index >= sim->fd_count || !sim->by_fd[index])
        sim_fail(sim, "fd %d is not open", fd);
    return sim->by_fd[index];
}

void sim_peer_send_now(struct sim_peer *peer, const void *bytes, size_t size) {
    if (peer->send.state != SIM_OP_NONE || peer->shut)
        sim_fail(peer->sim, "bytes sent past the ring on fd %d with a send in flight, or after the end", peer->fd);
    if (peer->reset || sim_room(peer, &peer->to_peer) < size)
        return;
    buf_put(&peer->to_peer, bytes, size);
    peer->taken_bytes += size;
    sim_rouse(peer);
}

void sim_peer_shutdown(struct sim_peer *peer) {
    peer->shut = true;
    sim_rouse(peer);
}

void sim_peer_close(struct sim_peer *peer) {
    if (peer->recv.state != SIM_OP_NONE || peer->send.state != SIM_OP_NONE)
        sim_fail(peer->sim, "fd %d is closed with operations in flight", peer->fd);
    peer->sim->by_fd[peer->fd - SIM_FD_FIRST] = NULL;
    peer->sim->open_count--;
    peer->fd = -1;
    peer->shut = true;
    buf_reset(&peer->to_engine, 0);
    buf_reset(&peer->backlog, 0);
    sim_rouse(peer);
}

/* As the system does it: the lowest number that is free. */
static int sim_fd_take(struct sim *sim, struct sim_peer *peer) {
    uint32_t i = 0;
    while (i < sim->fd_count && sim->by_fd[i])
        i++;
    if (i == sim->fd_count) {
        uint32_t count = sim->fd_count ? 2 * sim->fd_count : 16;
        sim->by_fd = sim_memory(realloc(sim->by_fd, count * sizeof(struct sim_peer *)));
        memset(sim->by_fd + sim->fd_count, 0, (count - sim->fd_count) * sizeof(struct sim_peer *));
        sim->fd_count = count;
    }
    sim->by_fd[i] = peer;
    sim->open_count++;
    return (int)(SIM_FD_FIRST + i);
}

static void sim_op_init(struct sim_op *op, struct sim_peer *peer, void (*fire)(struct sim_timer *)) {
    op->peer = peer;
    op->due.fire = fire;
    list_init(&op->link);
    buf_init(&op->copy, SIZE_MAX);
}

int sim_connect(struct sim *sim, const struct sim_peer_events *events, void *user, struct sim_peer **out) {
    struct sim_peer *peer = sim_memory(calloc(1, sizeof *peer));
    peer->sim = sim;
    peer->events = events;
    peer->user = user;
    peer->listening = true;
    peer->reset_at_taken = peer->reset_at_given = UINT64_MAX;
    peer->delivery.fire = sim_delivery_fire;
    sim_op_init(&peer->recv, peer, sim_recv_fire);
    sim_op_init(&peer->send, peer, sim_send_fire);
    buf_init(&peer->to_peer, SIZE_MAX);
    buf_init(&peer->to_engine, SIZE_MAX);
    buf_init(&peer->backlog, SIZE_MAX);
    buf_init(&peer->delivered, SIZE_MAX);
    list_push_back(&sim->peers, &peer->link);
    peer->fd = sim_fd_take(sim, peer);
    *out = peer;
    sim_trace(sim, "connect", peer->fd, 0, 0);
    return peer->fd;
}

void sim_peer_free(struct sim_peer *peer) {
    buf_free(&peer->recv.copy);
    buf_free(&peer->send.copy);
    buf_free(&peer->to_peer);
    buf_free(&peer->to_engine);
    buf_free(&peer->backlog);
    buf_free(&peer->delivered);
    free(peer);
}
