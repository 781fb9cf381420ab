/* SPDX-License-Identifier: MIT */
#include "ring/errand.h"

#include "ring/ring_internal.h"

enum { ERRAND_RUNNING, ERRAND_FINISHED, ERRAND_LEFT };

static struct errand *errand_of(struct job *job) {
    return base_container_of(job, struct errand, job);
}

static bool errand_move(struct errand *errand, int to) {
    int from = ERRAND_RUNNING;
    return atomic_compare_exchange_strong(&errand->state, &from, to);
}

/* Once it is FINISHED the ring can't be closed before the job came back, for its owner waits for that. */
static void *errand_main(void *argument) {
    struct errand *errand = argument;
    errand->run(errand);
    if (errand_move(errand, ERRAND_FINISHED))
        offload_finish(errand->ring, &errand->job);
    else
        errand->left(errand);
    return NULL;
}

/* The thread has nothing left to do but to end; until it has, it may still look at the ring. */
static void errand_collect(struct job *job) {
    struct errand *errand = errand_of(job);
    pthread_join(errand->thread, NULL);
    errand->done(errand);
}

static void errand_run_inline(struct job *job) {
    struct errand *errand = errand_of(job);
    errand->run(errand);
}

static void errand_done_inline(struct job *job) {
    struct errand *errand = errand_of(job);
    errand->done(errand);
}

int errand_start(struct ring *ring, const char *name, struct errand *errand) {
    errand->ring = ring;
    atomic_init(&errand->state, ERRAND_RUNNING);
    errand->job.done = errand_collect;
    if (!ring->port->inline_jobs)
        return offload_thread(&errand->thread, name, errand_main, errand);
    atomic_init(&errand->state, ERRAND_FINISHED); /* it comes back by itself: nothing blocks in a simulation */
    errand->job.run = errand_run_inline;
    errand->job.done = errand_done_inline;
    offload_post_inline(ring, &errand->job);
    return 0;
}

bool errand_leave(struct errand *errand) {
    pthread_t thread = errand->thread; /* once it is LEFT, the errand may be gone */
    if (!errand_move(errand, ERRAND_LEFT))
        return false;
    pthread_detach(thread);
    return true;
}
