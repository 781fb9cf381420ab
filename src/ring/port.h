/* SPDX-License-Identifier: MIT */
/*
 * The kernel as the ring sees it: port_uring.c is Linux by io_uring, port_epoll.c Linux by epoll where io_uring is
 * forbidden, port_sim.c a simulation that answers from a seed, for tests.
 *
 * Operations are named by the caller's token, which comes back in exactly one event. Memory named by an operation belongs
 * to the kernel from push() until that event.
 */
#ifndef QURING_RING_PORT_H
#define QURING_RING_PORT_H

#include "quring/quring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RAISE is of ports that say so, see below. */
enum port_kind { PORT_RECV, PORT_SEND, PORT_READ, PORT_RAISE };

struct port_op {
    uint64_t token;
    void *bytes;
    uint32_t size;
    int fd;
    uint8_t kind;    /* enum port_kind */
    bool poll_first; /* RECV: nothing is expected to be there yet */
};

struct port_event {
    uint64_t token;
    int32_t result; /* bytes, or a negative errno */
    bool more_data; /* RECV: more was waiting in the socket when this was filled */
};

struct port;

struct port_methods {
    /* Queues an operation; goes to the kernel by itself when the queue is full. 0, or a negative errno. */
    int (*push)(struct port *port, const struct port_op *op);

    /*
     * Submits what was pushed, then waits for `wait_count` events (0: does not wait) or until `timeout_ns` passed
     * (UINT64_MAX: no limit). 0, -ETIME, -EINTR, or another negative errno when the kernel refuses to go on. A kernel may
     * make some of the events that are due only when it is asked for as many, so with `timeout_ns` 0 and a `wait_count`
     * above what is in flight all of them are made, and nothing is waited for.
     */
    int (*enter)(struct port *port, uint32_t wait_count, uint64_t timeout_ns);

    /* Takes up to `capacity` events that are there; never blocks. */
    uint32_t (*collect)(struct port *port, struct port_event *events, uint32_t capacity);

    /* Monotonic time; in a simulation the simulated one. */
    uint64_t (*now_ns)(struct port *port);

    /* Gives the socket these few bytes if it takes them at once, while no send is in flight on it. */
    void (*send_now)(struct port *port, int fd, const void *bytes, size_t size);

    /* Ends both directions of a socket, so that operations in flight complete; then, once none are, closes it. */
    void (*shutdown)(struct port *port, int fd);
    void (*close)(struct port *port, int fd);

    /* Makes a descriptor that polls readable while there may be events: 0 and poll_fd, or a QURING_E*. NULL: has none. */
    int (*watch)(struct port *port);

    void (*destroy)(struct port *port);
};

struct port {
    const struct port_methods *methods;
    int poll_fd;      /* of watch(); -1 before */
    bool inline_jobs; /* run blocking jobs on the reactor's thread, in order: simulation */
    /*
     * It takes RAISE, which makes an eventfd readable by the end of the next enter(), whatever that returns. Its event comes
     * only if there was no memory for it: then the descriptor has to be raised by hand.
     */
    bool raises;
    uint64_t enter_count;
    uint64_t
        gather_ns; /* once there are events enough, enter() may sleep on for others, so long in all; 0: it does not */
    quring_ring_info info;
};

/* 0, or a QURING_E* with the remedy in quring_strerror(); `message` gets the system's words. */
int port_uring_open(uint32_t socket_count, bool no_defer_taskrun, struct port **port, char *message,
                    size_t message_bytes);

int port_epoll_open(struct port **port, char *message, size_t message_bytes);

#endif
