/* SPDX-License-Identifier: MIT */
/* The parts of the simulation that port_sim.c and port_sim_socket.c share. */
#ifndef QURING_RING_PORT_SIM_INTERNAL_H
#define QURING_RING_PORT_SIM_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "ring/port_sim.h"

/*
 *      NONE --push--> QUEUED --enter--> FLYING --done--> READY --collect--> NONE
 *
 * The memory is the kernel's in every state but NONE.
 */
enum sim_op_state { SIM_OP_NONE, SIM_OP_QUEUED, SIM_OP_FLYING, SIM_OP_READY };

struct sim_op {
    enum sim_op_state state;
    uint64_t token;
    uint8_t *bytes;
    uint32_t size;
    uint32_t progress; /* SEND: taken so far */
    int32_t result;
    bool more_data;
    int error;        /* the fault that was set for it; 0: none */
    struct buf copy;  /* SEND: what the memory held when it was pushed */
    struct list link; /* queued, or ready */
    struct sim_timer due;
    struct sim_peer *peer;
};

struct sim_peer {
    struct sim *sim;
    struct list link; /* all of the simulation */
    const struct sim_peer_events *events;
    void *user;
    int fd; /* -1: closed */
    struct sim_op recv, send;
    struct buf to_peer, to_engine, backlog, delivered;
    struct sim_timer delivery;
    uint64_t taken_bytes, given_bytes;
    uint64_t reset_at_taken, reset_at_given;
    bool listening; /* the peer reads */
    bool ending;    /* the peer has half-closed: FIN behind the backlog */
    bool shut;      /* the engine has shut it down */
    bool reset;
    bool told; /* the peer knows of the end */
};

enum { SIM_TRACE_COUNT = 512 };

struct sim_record {
    uint64_t at_ns;
    const char *what;
    int64_t a, b;
    int fd;
};

enum { SIM_RAISED = 16 };

struct sim {
    struct port port;
    struct sim_options options;
    struct sim_fault fault;
    uint64_t fault_count;
    struct rng rng;
    uint64_t now_ns;
    uint64_t step_count;
    struct heap timers;
    struct list queued, ready; /* of sim_op */
    uint32_t queued_count, ready_count;
    uint32_t made_count; /* of those that are ready: events that an enter made, where there is a batch */
    struct list peers;
    struct sim_peer **by_fd; /* from SIM_FD_FIRST */
    uint32_t fd_count;
    uint32_t open_count;
    bool destroyed;
    int raised[SIM_RAISED]; /* eventfds of the system, until the next enter */
    uint32_t raised_count;
    uint64_t trace_next;
    struct sim_record trace[SIM_TRACE_COUNT];
};

enum { SIM_FD_FIRST = 1000000 };

/* port_sim.c */
uint64_t sim_delay(struct sim *sim);
int sim_take_fault(struct sim *sim, enum sim_point point); /* 0, or the error that this call must end with */
void sim_op_done(struct sim_op *op, int32_t result);
void *sim_memory(void *memory); /* as it is; ends the process when it is NULL */

/* port_sim_socket.c */
struct sim_peer *sim_peer_of(struct sim *sim, int fd); /* open, or the process ends */
void sim_peer_submit(struct sim_op *op);
void sim_peer_send_now(struct sim_peer *peer, const void *bytes, size_t size);
void sim_peer_shutdown(struct sim_peer *peer);
void sim_peer_close(struct sim_peer *peer);
void sim_peer_free(struct sim_peer *peer);

#endif
