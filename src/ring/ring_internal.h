/* SPDX-License-Identifier: MIT */
/* struct ring, and the calls that the files of the ring make to each other. */
#ifndef QURING_RING_RING_INTERNAL_H
#define QURING_RING_RING_INTERNAL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/slots.h"
#include "ring/counters.h"
#include "ring/port.h"

#include <pthread.h>
#include <stdatomic.h>

struct job;
struct socket;

struct ring {
    struct port *port;
    atomic_uint references; /* the reactor's, and those of ring_hold() */
    uint64_t now_ns;
    uint64_t spin_ns;
    struct slots sockets;    /* of struct socket * */
    uint32_t reserved_count; /* of sockets, set aside for their owners */
    struct list dirty;       /* sockets with something to do in the next emit */
    bool unsent;             /* one of them has had bytes to send since the last emit began */
    uint32_t sends_pushed;   /* in this emit */
    uint64_t sends_ended;    /* of counters.sends */
    bool turn_wanted; /* a handler ran since the last emit began, and its owner may have to act before the next sleep */
    struct heap timers;
    uint32_t timer_count; /* that room was made for */
    struct ring_counters counters;
    /* waking */
    int wake_fd;
    uint64_t wake_bytes; /* the kernel writes here */
    bool wake_armed;
    atomic_int foreign_fd; /* a duplicate of what a foreign loop sleeps on, instead of in ring_turn(); -1 without one */
    atomic_bool wake_asked;
    atomic_bool asleep; /* the reactor is, or is about to be, blocked: a finished job must wake it */
    /* offload */
    _Atomic(struct job *) finished;          /* newest first */
    struct job *inline_first, **inline_last; /* with port->inline_jobs: posted, not run */
};

/* An operation's token is that of its socket's slot, shifted by one byte for the kind of operation. */
enum { RING_SLOT_BITS = 64 - 8 };

static inline uint64_t ring_op_token(uint64_t slot_token, enum port_kind kind) {
    return slot_token << 8 | (uint64_t)kind;
}

static inline uint64_t ring_slot_token(uint64_t op_token) {
    return op_token >> 8;
}

/* wake.c */
void ring_interrupt(struct ring *ring); /* any thread: makes a blocked wait return */

/* socket.c */
void socket_emit(struct socket *socket);
void socket_event(struct socket *socket, enum port_kind kind, const struct port_event *event);

/* offload.c */
/* Starts a thread that takes no signals of the application. 0 or QURING_ESYSTEM. */
int offload_thread(pthread_t *thread, const char *name, void *(*entry)(void *), void *argument);
void offload_post_inline(struct ring *ring, struct job *job);
void offload_finish(struct ring *ring, struct job *job); /* any thread */
bool offload_waiting(const struct ring *ring);           /* a job is there to collect */
void offload_collect(struct ring *ring);

#endif
