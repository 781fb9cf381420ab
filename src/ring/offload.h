/* SPDX-License-Identifier: MIT */
/*
 * Blocking work on threads. A lane is one thread that runs its jobs in the order they were posted; so whatever only one
 * lane touches needs no lock. A job has two halves: run() on the lane, then done() on the reactor's thread, in a turn.
 * A lane may post partial results before its job is finished by giving them a job of their own (lane_report()).
 *
 * Locking: a lane's mutex guards its queue alone; finished jobs travel on a lock-free stack; no lock is held while a
 * job runs. Waking the reactor costs one eventfd write per batch, and none while it is awake.
 */
#ifndef QURING_RING_OFFLOAD_H
#define QURING_RING_OFFLOAD_H

#include "ring/ring.h"

struct job {
    struct job *next;
    void (*run)(struct job *job);  /* on the lane's thread; may block */
    void (*done)(struct job *job); /* on the reactor's thread; may free the job */
    struct lane *lane;
};

struct lane;

/* Starts a thread; `name` (up to 15 bytes) shows in ps and gdb. 0 or a QURING_E*. */
int lane_open(struct ring *ring, const char *name, struct lane **lane);

/* Hands a job to the lane; it may be freed or posted again from its done(). Reactor's thread only. */
void lane_post(struct lane *lane, struct job *job);

/* From a running job: hands another job's done() half to the reactor now, before this one is finished. */
void lane_report(struct lane *lane, struct job *report);

/* Lets the posted jobs finish, joins the thread and frees the lane. Their done() halves still come, in later turns. */
void lane_close(struct lane *lane);

#endif
