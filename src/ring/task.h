/* SPDX-License-Identifier: MIT */
/*
 * A blocking job with a thread of its own, which can be detached: one that is inside a call that never returns keeps
 * neither the reactor waiting nor the ring open.
 *
 *      RUNNING --run() returned--> FINISHED --a turn--> done(), on the reactor's thread
 *         \--task_detach()-------> DETACHED --run() returned--> detached(), on the task's own thread
 */
#ifndef QURING_RING_TASK_H
#define QURING_RING_TASK_H

#include "ring/offload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct task {
    struct job job;
    void (*run)(struct task *task);      /* on its thread; may block */
    void (*done)(struct task *task);     /* on the reactor's thread; may free the task */
    void (*detached)(struct task *task); /* instead: nobody waits for it any more; frees the task and what it made */
    struct ring *ring;
    pthread_t thread;
    atomic_int state;
    atomic_int id; /* the kernel's, of its thread; 0: run() has not begun */
    bool hangs;    /* set by a simulation's run(), which can't block: it goes on until it is resumed or detached */
};

/* Starts it; `name` (up to 15 bytes) shows in ps and gdb. 0 or QURING_ESYSTEM: there is no thread to be had. */
int task_start(struct ring *ring, const char *name, struct task *task);

/* For simulations: the run() of a task that hangs returns after all. */
void task_resume(struct task *task);

/* True: from now on it belongs to its own thread. False: it has finished, and its done() comes in a later turn. */
bool task_detach(struct task *task);

#endif
