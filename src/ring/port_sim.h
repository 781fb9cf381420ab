/* SPDX-License-Identifier: MIT */
/*
 * The port answered from a seed: sockets, a clock and faults that exist in memory only. For tests: the same engine runs
 * on it, and what it does is the same again for the same seed.
 *
 *   port_sim.c          operations, events, time, the port's methods, the trace
 *   port_sim_socket.c   sockets: a pair of bounded pipes between the engine's descriptor and a peer with callbacks
 *
 *      engine --push, enter--> send --> to_peer (bounded) ----deliver---> peer's received()
 *      engine <--collect------ recv <-- to_engine (bounded) <- backlog <- sim_peer_write()
 *
 * The clock moves only in enter() and sim_wait(). Everything that happens has a time of its own, drawn from the seed, so
 * completions come delayed and in any order across sockets, but never out of order within one direction of one.
 *
 * The simulation ends the process (sim_fail) where the engine breaks one of these rules: at most one receive and one send
 * in flight on a socket; no operation on a descriptor that is not open; no close() while an operation's event has not been
 * collected; memory given to an operation neither read before nor written by anyone else until then; no sleep without an
 * end.
 */
#ifndef QURING_RING_PORT_SIM_H
#define QURING_RING_PORT_SIM_H

#include "base/heap.h"
#include "base/rng.h"
#include "ring/port.h"

/* Chances are in thousandths; zeroed options are a kernel that does everything at once and never fails. */
struct sim_options {
    uint64_t seed;
    uint64_t start_ns;       /* of the clock */
    uint32_t socket_bytes;   /* each direction of a socket holds at most this                            (64 KiB) */
    uint32_t queue_count;    /* pushed and not entered, at most; then push() says -EBUSY                 (1024) */
    uint64_t latency_ns;     /* of an operation or a delivery: up to this, by chance                     (0: none) */
    uint32_t batch;          /* events that an enter() makes, unless it waits for more                   (0: all) */
    uint64_t step_count_max; /* more steps than this are a livelock                                      (10 million) */
    bool bytewise;           /* receives give one byte at a time */
    uint16_t split;          /* a receive gives fewer bytes than there are */
    uint16_t short_send;     /* a send ends before all its bytes are taken */
    uint16_t short_delivery; /* the peer gets fewer bytes than there are */
    uint16_t again;          /* an operation ends with -EINTR or -EAGAIN and did nothing */
    uint16_t reset;          /* an operation finds the connection reset */
    uint16_t cancelled;      /* after shutdown() operations end with -ECANCELED instead of 0 or -EPIPE */
    uint16_t busy;           /* push() says -EBUSY */
    uint16_t interrupt;      /* enter() returns -EINTR or -ETIME too early */
    uint16_t withhold;       /* collect() hands out only some of the events */
};

/* One failure at the n-th call of its kind, from 1. */
enum sim_point { SIM_NOWHERE, SIM_PUSH, SIM_ENTER, SIM_RECV, SIM_SEND };

struct sim_fault {
    enum sim_point point;
    uint64_t nth;
    int error; /* negative errno */
    bool hit;  /* it came to that */
};

struct sim;

struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);

/* The engine destroys it; sim_free() comes after that, and complains of descriptors left open. */
struct port *sim_port(struct sim *sim);

/* From now on these chances hold; seed, clock, latency and sizes stay. */
void sim_set_chances(struct sim *sim, const struct sim_options *options);
void sim_set_fault(struct sim *sim, const struct sim_fault *fault);
const struct sim_fault *sim_fault(const struct sim *sim);

struct rng *sim_rng(struct sim *sim);
bool sim_chance(struct sim *sim, uint16_t thousandths);
uint64_t sim_now_ns(const struct sim *sim);
uint64_t sim_open_count(const struct sim *sim);

/* As poll(2) on the port's descriptor would: true when there are events; lets up to `timeout_ns` pass. */
bool sim_wait(struct sim *sim, uint64_t timeout_ns);

/* Lets everything happen that still would without the engine. */
void sim_settle(struct sim *sim);

/* Prints the seed, `format` and, with QURING_SIM_TRACE set, the last operations; then aborts. */
__attribute__((format(printf, 2, 3))) _Noreturn void sim_fail(struct sim *sim, const char *format, ...);
void sim_trace(struct sim *sim, const char *what, int fd, int64_t a, int64_t b);
void sim_print_trace(const struct sim *sim);

/* ---- Timers of the simulated world ---- */

struct sim_timer {
    struct heap_node node;
    void (*fire)(struct sim_timer *timer);
};

void sim_timer_set(struct sim *sim, struct sim_timer *timer, uint64_t after_ns);
void sim_timer_clear(struct sim *sim, struct sim_timer *timer);

/* ---- Peers (port_sim_socket.c) ---- */

struct sim_peer;

struct sim_peer_events {
    /* In order, in pieces of any size. */
    void (*received)(struct sim_peer *peer, const uint8_t *bytes, size_t size);
    /* All that was written has gone into the socket. May be NULL. */
    void (*writable)(struct sim_peer *peer);
    /* Nothing more comes: the engine ended the connection (after all its bytes were received), or it was reset. */
    void (*ended)(struct sim_peer *peer, bool reset);
};

/* A connected pair. Returns the engine's descriptor. The peer is freed with its simulation. */
int sim_connect(struct sim *sim, const struct sim_peer_events *events, void *user, struct sim_peer **peer);

void *sim_peer_user(const struct sim_peer *peer);
struct sim *sim_peer_sim(const struct sim_peer *peer);
void sim_peer_write(struct sim_peer *peer, const void *bytes, size_t size); /* never blocks: see the backlog */
size_t sim_peer_backlog_bytes(const struct sim_peer *peer);
void sim_peer_end(struct sim_peer *peer);             /* FIN, after what was written */
void sim_peer_reset(struct sim_peer *peer);           /* RST, now */
void sim_peer_listen(struct sim_peer *peer, bool on); /* whether it reads; at first it does */
bool sim_peer_over(const struct sim_peer *peer);      /* reset, or ended by the engine */

/* Reset once the kernel has taken this many bytes from the engine, or given it this many; UINT64_MAX: never. */
void sim_peer_reset_at(struct sim_peer *peer, uint64_t sent_bytes, uint64_t received_bytes);

/* Bytes that the kernel took from the engine and that it gave to the engine, so far. */
uint64_t sim_peer_taken_bytes(const struct sim_peer *peer);
uint64_t sim_peer_given_bytes(const struct sim_peer *peer);

#endif
