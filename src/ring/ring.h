/* SPDX-License-Identifier: MIT */
/*
 * The reactor: sockets, bytes, time and blocking jobs of one thread. It has never heard of SQL.
 *
 *   port.h                 the kernel: port_uring.c, port_epoll.c where that is forbidden, port_os.c for both;
 *                          port_sim.c, port_sim_socket.c simulate one for tests
 *   ring.c                 turns, timers, waking, tokens
 *   socket.h, socket.c     one socket: ordered send, receive into a growable buffer, close without losing a completion
 *   offload.h, offload.c   workers of blocking jobs on threads, and their way back
 *   task.h, task.c         one blocking job on a thread of its own, which can be detached
 *   wake.c                 the end of the reactor's sleep, from another thread
 *   ring_internal.h        struct ring, which all of these work on
 *
 * A turn is emit (one send per dirty socket) -> submit and wait (one io_uring_enter) -> collect (events, finished jobs,
 * timers), and never nests: handlers called in collect may queue work for the next emit, and nothing else.
 */
#ifndef QURING_RING_RING_H
#define QURING_RING_RING_H

#include "base/heap.h"
#include "base/list.h"
#include "base/slots.h"
#include "quring/quring.h"
#include "ring/counters.h"

#include <stdatomic.h>

struct port;
struct socket;
struct job;

struct ring_options {
    uint32_t socket_count;
    uint32_t timer_count; /* room for so many from the beginning, beside those of each socket */
    uint64_t spin_ns;
    bool no_defer_taskrun;
    quring_port choice;
    struct port *port; /* simulation; NULL: Linux by `choice`. Owned by the ring from then on */
};

struct ring;

int ring_open(const struct ring_options *options, struct ring **ring, char *message, size_t message_bytes);

/* No socket, worker or timer may be left. Frees the ring, or the last ring_drop() does. */
void ring_close(struct ring *ring);

/*
 * Keeps the ring's memory and the descriptors that wake it, so that another thread which has ring_post() and does not know
 * when the ring is closed may still call it then. Any thread; the ring is open at ring_hold().
 */
struct ring *ring_hold(struct ring *ring);
void ring_drop(struct ring *ring);

/*
 * One turn. Waits up to `timeout_ns` for something to happen. Timers that are due fire once all has been collected that the
 * kernel holds by then. 0, -EINTR when a signal came, or another negative errno that ends the ring's life.
 */
int ring_turn(struct ring *ring, uint64_t timeout_ns);

/* From here on, a turn that waits may sleep on for so long after something has happened, and find more then. */
void ring_gather_for(struct ring *ring, uint64_t gather_ns);

/*
 * Collects what has arrived at the sockets while the program was elsewhere. To be called before new requests are appended,
 * so that none is sent on a connection that has ended meanwhile, or whose unread bytes would be taken for its reply. Never
 * sleeps. `idle`: no reply is awaited on any socket; else it does nothing within AWAY_NS of the last turn, since the turns
 * of a busy loop look often enough. 0, -EINTR when a signal came, or another negative errno that ends the ring's life.
 */
int ring_look(struct ring *ring, bool idle);

/*
 * Between two turns: hands what sockets have to send to the kernel, as the next turn would. Whoever asked waits by the clock, which
 * does not stand still while the program is elsewhere.
 */
void ring_push(struct ring *ring);

/* What happened between two turns needs one: see ring_wants_turn(). */
void ring_want_turn(struct ring *ring);

/* Sets sockets aside for an owner, whose socket_open() then finds room. False: there are not as many left. */
bool ring_sockets_take(struct ring *ring, uint32_t count);
void ring_sockets_give(struct ring *ring, uint32_t count);

/* The clock as it was last read: by each turn and look, so that all handlers of events see one time, and with the end of a socket. */
uint64_t ring_now_ns(const struct ring *ring);

/* Before work that counts from now: between two turns the time stands still. */
void ring_read_clock(struct ring *ring);

/* Returns when a timer needs ring_turn() at the latest; UINT64_MAX: there is no timer. */
uint64_t ring_next_timer_ns(const struct ring *ring);

/* The descriptor on which a foreign loop sleeps between turns: it shows completions and jobs from now on. Or a QURING_E*. */
int ring_poll_fd(struct ring *ring);

/* True if a foreign loop must call ring_turn() before it sleeps: the last turn left something for the next one to emit. */
bool ring_wants_turn(const struct ring *ring);

/* Ends a wait, from any thread or signal handler. */
void ring_wake(struct ring *ring);

/*
 * Makes an eventfd that does not block readable, at the latest by the next turn, of whose system call it is a part. A turn
 * follows, and the descriptor is open until then.
 */
void ring_raise(struct ring *ring, int event_fd);

/* True if ring_wake() has ended a wait since the last call. */
bool ring_take_wake(struct ring *ring);

struct port *ring_port(struct ring *ring);
const struct ring_counters *ring_counters(const struct ring *ring);

/* ---- Timers: owned by whoever embeds them ---- */

struct timer {
    struct heap_node node;
    void (*fire)(struct timer *timer);
};

/*
 * Makes room for timers of an owner, for which timer_set() can't fail then. Each socket comes with room for two. False: no
 * memory.
 */
bool ring_timers_take(struct ring *ring, uint32_t count);
void ring_timers_give(struct ring *ring, uint32_t count);

/* Sets or moves it. False: no memory, and no room was made for it. */
bool timer_set(struct ring *ring, struct timer *timer, uint64_t at_ns);
void timer_clear(struct ring *ring, struct timer *timer);

#endif
