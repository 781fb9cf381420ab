/* SPDX-License-Identifier: MIT */
#include "base/assert.h"
#include "ring/ring_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct lane {
    struct ring *ring;
    char name[16];
    bool started;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t posted;
    /* under the mutex */
    struct job *first, **last;
    bool closing;
};

/* ---- The way back: a stack that any thread pushes on and the reactor takes whole ---- */

void offload_finish(struct ring *ring, struct job *job) {
    struct job *top = atomic_load_explicit(&ring->finished, memory_order_relaxed);
    do
        job->next = top;
    while (!atomic_compare_exchange_weak(&ring->finished, &top, job));
    if (atomic_load(&ring->asleep) && atomic_exchange(&ring->asleep, false))
        ring_interrupt(ring);
}

bool offload_waiting(const struct ring *ring) {
    return ring->inline_first || atomic_load(&ring->finished);
}

static void run_inline(struct ring *ring) {
    struct job *job;
    while ((job = ring->inline_first)) {
        ring->inline_first = job->next;
        if (!ring->inline_first)
            ring->inline_last = &ring->inline_first;
        job->run(job);
        offload_finish(ring, job);
    }
}

void offload_collect(struct ring *ring) {
    run_inline(ring);
    struct job *newest = atomic_exchange(&ring->finished, NULL);
    struct job *oldest = NULL;
    while (newest) {
        struct job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct job *job = oldest;
        oldest = job->next; /* done() may free or post the job again */
        ring->counters.jobs++;
        job->done(job);
    }
}

/* ---- Lanes ---- */

static void *lane_main(void *argument) {
    struct lane *lane = argument;
    pthread_mutex_lock(&lane->mutex);
    for (;;) {
        while (!lane->first && !lane->closing)
            pthread_cond_wait(&lane->posted, &lane->mutex);
        struct job *job = lane->first;
        if (!job)
            break;
        lane->first = job->next;
        if (!lane->first)
            lane->last = &lane->first;
        pthread_mutex_unlock(&lane->mutex);
        job->run(job);
        offload_finish(lane->ring, job);
        pthread_mutex_lock(&lane->mutex);
    }
    pthread_mutex_unlock(&lane->mutex);
    return NULL;
}

/* Signals are the application's: a thread takes none but those of its own faults, which the application's handler sees. */
int offload_thread(pthread_t *thread, const char *name, void *(*entry)(void *), void *argument) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(thread, NULL, entry, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return QURING_ESYSTEM;
    pthread_setname_np(*thread, name);
    return 0;
}

static int lane_start(struct lane *lane) {
    int error = offload_thread(&lane->thread, lane->name, lane_main, lane);
    lane->started = !error;
    return error;
}

int lane_open(struct ring *ring, const char *name, struct lane **out) {
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return QURING_ENOMEM;
    lane->ring = ring;
    lane->last = &lane->first;
    snprintf(lane->name, sizeof lane->name, "%s", name);
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->posted, NULL);
    int error = ring->port->inline_jobs ? 0 : lane_start(lane);
    if (error) {
        free(lane);
        return error;
    }
    *out = lane;
    return 0;
}

void offload_post_inline(struct ring *ring, struct job *job) {
    job->next = NULL;
    *ring->inline_last = job;
    ring->inline_last = &job->next;
}

void lane_post(struct lane *lane, struct job *job) {
    job->next = NULL;
    job->lane = lane;
    if (lane->ring->port->inline_jobs) {
        offload_post_inline(lane->ring, job);
        return;
    }
    pthread_mutex_lock(&lane->mutex);
    PRE(!lane->closing);
    bool was_empty = !lane->first;
    *lane->last = job;
    lane->last = &job->next;
    pthread_mutex_unlock(&lane->mutex);
    if (was_empty)
        pthread_cond_signal(&lane->posted);
}

void lane_report(struct lane *lane, struct job *report) {
    offload_finish(lane->ring, report);
}

void lane_close(struct lane *lane) {
    if (lane->started) {
        pthread_mutex_lock(&lane->mutex);
        lane->closing = true;
        pthread_mutex_unlock(&lane->mutex);
        pthread_cond_signal(&lane->posted);
        pthread_join(lane->thread, NULL);
    }
    pthread_cond_destroy(&lane->posted);
    pthread_mutex_destroy(&lane->mutex);
    free(lane);
}
