/* SPDX-License-Identifier: MIT */
#include "ring/task.h"

#include "ring/ring_internal.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TASK_RUNNING, TASK_FINISHED, TASK_DETACHED };
enum { LOWEST_PRIORITY = 19 };

static struct task *task_of(struct job *job) {
    return base_container_of(job, struct task, job);
}

/* The end of run() and task_detach() race for the task on two threads; the one that moves it first decides. */
static bool task_move(struct task *task, int to) {
    int from = TASK_RUNNING;
    return atomic_compare_exchange_strong(&task->state, &from, to);
}

/* The ring outlives a FINISHED task's way back, because the task's owner closes the ring only after done(). */
static void *task_main(void *argument) {
    struct task *task = argument;
    atomic_store(&task->id, gettid());
    task->run(task);
    if (task_move(task, TASK_FINISHED))
        offload_finish(task->ring, &task->job);
    else
        task->detached(task);
    return NULL;
}

/* The thread is about to end, but may still look at the ring until it has, so done() waits for it. */
static void task_collect(struct job *job) {
    struct task *task = task_of(job);
    pthread_join(task->thread, NULL);
    task->done(task);
}

static void task_run_inline(struct job *job) {
    struct task *task = task_of(job);
    task->run(task);
}

static void task_done_inline(struct job *job) {
    struct task *task = task_of(job);
    if (!task->hangs)
        task->done(task);
}

int task_start(struct ring *ring, const char *name, struct task *task) {
    task->ring = ring;
    atomic_init(&task->state, TASK_RUNNING);
    atomic_init(&task->id, 0);
    task->job.done = task_collect;
    if (!ring->port->inline_jobs)
        return offload_thread(&task->thread, name, task_main, task);
    atomic_init(&task->state, TASK_FINISHED); /* it comes back by itself: nothing blocks in a simulation */
    task->job.run = task_run_inline;
    task->job.done = task_done_inline;
    offload_post_inline(ring, &task->job);
    return 0;
}

void task_resume(struct task *task) {
    PRE(task->hangs && task->ring->port->inline_jobs);
    task->hangs = false;
    offload_finish(task->ring, &task->job);
}

/*
 * Keeps the shared object that holds this library, if one does, loaded from here on: a detached thread still returns into
 * its code, perhaps after the program has closed the engine and unloaded the object. Nothing else could be done if dlopen()
 * failed, so a failure is no error.
 */
static void task_keep_loaded(void) {
    Dl_info info;
    struct link_map *object = NULL;
    if (dladdr1((void *)(uintptr_t)task_main, &info, (void **)&object, RTLD_DL_LINKMAP) && object && *object->l_name)
        (void)dlopen(object->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

/*
 * A detached thread may be busy for long, with a key derivation that a server has asked for, and nobody waits for it: it
 * takes what processors the reactor and others leave. `id` 0: run() has not begun.
 */
static void task_yield_processor(int id) {
    if (id)
        (void)setpriority(PRIO_PROCESS, (id_t)id, LOWEST_PRIORITY);
}

bool task_detach(struct task *task) {
    if (task->hangs) {
        task->detached(task);
        return true;
    }
    pthread_t thread = task->thread; /* once it is DETACHED, the task may be gone */
    int id = atomic_load(&task->id);
    task_keep_loaded();
    if (!task_move(task, TASK_DETACHED))
        return false;
    pthread_detach(thread);
    task_yield_processor(id);
    return true;
}
