/* SPDX-License-Identifier: MIT */
/*
 * A blocking job with a thread of its own, which can be left behind: whoever is inside a call that never returns keeps
 * neither the reactor waiting nor the ring open.
 *
 *      RUNNING --run() returned--> FINISHED --a turn--> done(), on the reactor's thread
 *         \--errand_leave()------> LEFT ----run() returned--> left(), on the errand's own thread
 */
#ifndef QURING_RING_ERRAND_H
#define QURING_RING_ERRAND_H

#include "ring/offload.h"

#include <pthread.h>

struct errand {
    struct job job;
    void (*run)(struct errand *errand);  /* on its thread; may block */
    void (*done)(struct errand *errand); /* on the reactor's thread; may free the errand */
    void (*left)(struct errand *errand); /* instead: nobody waits for it any more; frees the errand and what it made */
    struct ring *ring;
    pthread_t thread;
    atomic_int state;
};

/* Starts it; `name` (up to 15 bytes) shows in ps and gdb. 0 or QURING_ESYSTEM: there is no thread to be had. */
int errand_start(struct ring *ring, const char *name, struct errand *errand);

/* True: from now on it belongs to its own thread. False: it has finished, and its done() comes in a later turn. */
bool errand_leave(struct errand *errand);

#endif
