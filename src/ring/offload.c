/* SPDX-License-Identifier: MIT */
#include "ring/offload.h"

#include "base/assert.h"
#include "ring/ring_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct worker {
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

/* Many threads may push; the eventfd is written by the one that takes `asleep` down, so once a sleep. */
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

/* A simulation runs jobs on the reactor's thread, in order, so that a seed gives the same run every time. */
static void offload_run_inline(struct ring *ring) {
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
    offload_run_inline(ring);
    /* The stack is newest first; done() is called in the order in which jobs finished. */
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
        ring->counters.jobs += !job->posted;
        job->done(job);
    }
}

void ring_post(struct ring *ring, struct job *job) {
    job->posted = true;
    offload_finish(ring, job);
}

void ring_collect_posts(struct ring *ring) {
    if (!offload_waiting(ring))
        return;
    ring->turn_wanted = true;
    offload_collect(ring);
}

/* ---- Workers ---- */

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        while (!worker->first && !worker->closing)
            pthread_cond_wait(&worker->posted, &worker->mutex);
        struct job *job = worker->first;
        if (!job)
            break;
        worker->first = job->next;
        if (!worker->first)
            worker->last = &worker->first;
        pthread_mutex_unlock(&worker->mutex);
        job->run(job);
        offload_finish(worker->ring, job);
        pthread_mutex_lock(&worker->mutex);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/*
 * Signals belong to the application, whose threads expect to handle them. Faults stay unblocked: they are raised on the
 * thread that caused them, and the application's handler has to see them.
 */
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

static int worker_start(struct worker *worker) {
    int error = offload_thread(&worker->thread, worker->name, worker_main, worker);
    worker->started = !error;
    return error;
}

int worker_open(struct ring *ring, const char *name, struct worker **out) {
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return QURING_ENOMEM;
    worker->ring = ring;
    worker->last = &worker->first;
    snprintf(worker->name, sizeof worker->name, "%s", name);
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->posted, NULL);
    int error = ring->port->inline_jobs ? 0 : worker_start(worker);
    if (error) {
        free(worker);
        return error;
    }
    *out = worker;
    return 0;
}

void offload_post_inline(struct ring *ring, struct job *job) {
    job->next = NULL;
    *ring->inline_last = job;
    ring->inline_last = &job->next;
}

void worker_post(struct worker *worker, struct job *job) {
    job->next = NULL;
    job->worker = worker;
    if (worker->ring->port->inline_jobs) {
        offload_post_inline(worker->ring, job);
        return;
    }
    pthread_mutex_lock(&worker->mutex);
    PRE(!worker->closing);
    bool was_empty = !worker->first;
    *worker->last = job;
    worker->last = &job->next;
    pthread_mutex_unlock(&worker->mutex);
    if (was_empty) /* else the worker is awake, or was signalled for the first */
        pthread_cond_signal(&worker->posted);
}

void worker_report(struct worker *worker, struct job *report) {
    offload_finish(worker->ring, report);
}

void worker_close(struct worker *worker) {
    if (worker->started) {
        pthread_mutex_lock(&worker->mutex);
        worker->closing = true;
        pthread_mutex_unlock(&worker->mutex);
        pthread_cond_signal(&worker->posted);
        pthread_join(worker->thread, NULL);
    }
    pthread_cond_destroy(&worker->posted);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}
