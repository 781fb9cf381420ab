/* SPDX-License-Identifier: MIT */
/*
 * Blocking work on threads. A worker is one thread that runs its jobs in the order they were posted, so data that only one
 * worker touches needs no lock. A job has two halves: run() on the worker, then done() on the reactor's thread, in a turn.
 * A worker may post partial results before its job is finished by giving them a job of their own (worker_report()).
 *
 * Locking: a worker's mutex guards its queue alone; finished jobs travel on a lock-free stack; no lock is held while a
 * job runs. Waking the reactor costs one eventfd write per batch, and none while it is awake.
 */
#ifndef QURING_RING_OFFLOAD_H
#define QURING_RING_OFFLOAD_H

#include <stdbool.h>

struct ring;

struct job {
    struct job *next;
    bool posted;                   /* by ring_post() */
    void (*run)(struct job *job);  /* on the worker's thread; may block */
    void (*done)(struct job *job); /* on the reactor's thread; may free the job */
    struct worker *worker;
};

struct worker;

/* Starts a thread; `name` (up to 15 bytes) shows in ps and gdb. 0 or a QURING_E*. */
int worker_open(struct ring *ring, const char *name, struct worker **worker);

/* Hands a job to the worker; it may be freed or posted again from its done(). Reactor's thread only. */
void worker_post(struct worker *worker, struct job *job);

/* From a running job: hands another job's done() half to the reactor now, before this one is finished. */
void worker_report(struct worker *worker, struct job *report);

/*
 * From any thread: has job->done() called on the reactor's thread, in a turn. No worker has part in it. The job may be
 * posted again from its done() on.
 */
void ring_post(struct ring *ring, struct job *job);

/* Calls done() of all jobs that have come back, outside of a turn: for what was posted before the ring is closed. */
void ring_collect_posts(struct ring *ring);

/* Lets the posted jobs finish, joins the thread and frees the worker. Their done() halves still come, in later turns. */
void worker_close(struct worker *worker);

#endif
