/* SPDX-License-Identifier: MIT */
#include "lib/sim_threads.h"

#include "base/rng.h"
#include "lib/seeds.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    THREADS_MAX = 64, /* at one time */
    MUTEXES_MAX = 64, /* locked at one time */
    TRACE_COUNT = 1000,
    POINTS_MAX = 20000000
};

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __real_pthread_join(pthread_t, void **);
int __real_pthread_mutex_lock(pthread_mutex_t *);
int __real_pthread_mutex_trylock(pthread_mutex_t *);
int __real_pthread_mutex_unlock(pthread_mutex_t *);
int __real_pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *);
int __real_pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
int __real_pthread_cond_signal(pthread_cond_t *);
int __real_pthread_cond_broadcast(pthread_cond_t *);
int __real_clock_gettime(clockid_t, struct timespec *);
int __real_nanosleep(const struct timespec *, struct timespec *);

/*
 *      ABLE <--> WAITING (`ready` is set) --> … --> ENDED
 *
 * A thread has the baton while it runs: all that is here belongs to whoever has it.
 */
struct actor {
    pthread_t thread;
    sem_t baton;
    void *(*main)(void *); /* NULL: it began the simulation, or was joined, and its name may be another's */
    void *argument, *result;
    bool ended;
    uint32_t weight;
    bool (*ready)(const void *state); /* NULL: it can go on */
    const void *state;
    uint64_t until_ns;
    const pthread_cond_t *condition; /* that it waits for */
    bool signalled;
};

struct record {
    uint64_t at_ns;
    const char *what;
    int64_t a;
    uint32_t actor;
};

static struct {
    struct threads_options options;
    struct rng rng;
    uint64_t now_ns, point_count, digest;
    struct actor actors[THREADS_MAX];
    uint32_t actor_count;
    const pthread_mutex_t *locked[MUTEXES_MAX];
    uint32_t locked_count;
    struct record trace[TRACE_COUNT];
    uint64_t trace_next;
    cpu_set_t cpus; /* before the simulation */
} all;

static _Thread_local struct actor *self;

/* ---- Looking ---- */

bool threads_simulated(void) {
    return self != NULL;
}

uint64_t threads_now_ns(void) {
    return all.now_ns;
}

uint64_t threads_draw(uint64_t bound) {
    return rng_below(&all.rng, bound);
}

uint64_t threads_digest(void) {
    return all.digest;
}

static void record(const char *what, int64_t a) {
    uint32_t actor = (uint32_t)(self - all.actors);
    all.trace[all.trace_next++ % TRACE_COUNT] =
        (struct record){.at_ns = all.now_ns, .what = what, .a = a, .actor = actor};
    all.digest = (all.digest ^ (all.now_ns + actor)) * 0x100000001b3u;
}

void threads_print_trace(void) {
    uint64_t first = all.trace_next > TRACE_COUNT ? all.trace_next - TRACE_COUNT : 0;
    for (uint64_t i = first; i < all.trace_next; i++) {
        const struct record *r = &all.trace[i % TRACE_COUNT];
        fprintf(stderr, "%14llu ns  thread %-3u %-24s %lld\n", (unsigned long long)(r->at_ns - all.options.start_ns),
                r->actor, r->what, (long long)r->a);
    }
}

/* ---- Who goes on ---- */

static bool is_able(const struct actor *actor) {
    return !actor->ended && (!actor->ready || all.now_ns >= actor->until_ns || actor->ready(actor->state));
}

/* One of those that can go on; if none can, time passes until one does. */
static struct actor *choose(void) {
    for (;;) {
        struct actor *able[THREADS_MAX];
        uint32_t count = 0, weight = 0;
        uint64_t next_ns = UINT64_MAX;
        for (uint32_t i = 0; i < all.actor_count; i++) {
            struct actor *actor = &all.actors[i];
            if (is_able(actor)) {
                able[count++] = actor;
                weight += actor->weight;
            } else if (!actor->ended && actor->until_ns < next_ns) {
                next_ns = actor->until_ns;
            }
        }
        LAW(count || next_ns != UINT64_MAX, "all threads wait, and nothing will wake one");
        uint64_t drawn = weight ? threads_draw(weight) : 0;
        for (uint32_t i = 0; i < count; i++) {
            if (drawn < able[i]->weight)
                return able[i];
            drawn -= able[i]->weight;
        }
        all.now_ns = next_ns;
    }
}

static void take_baton(struct actor *actor) {
    while (sem_wait(&actor->baton))
        ; /* a signal came in between */
}

static void switch_thread(void) {
    struct actor *next = choose(), *me = self;
    if (next == me)
        return;
    sem_post(&next->baton);
    take_baton(me);
}

void threads_point(const char *what, int64_t a) {
    record(what, a);
    uint64_t most = all.options.point_count_max ? all.options.point_count_max : POINTS_MAX;
    LAW(++all.point_count <= most, "more than %llu points: a livelock", (unsigned long long)most);
    if (threads_draw(1000) < all.options.switch_chance)
        switch_thread();
}

void threads_work(const char *what, uint64_t ns) {
    all.now_ns += ns;
    threads_point(what, (int64_t)ns);
}

bool threads_wait(const char *what, bool (*ready)(const void *state), const void *state, uint64_t until_ns) {
    record(what, (int64_t)until_ns);
    self->ready = ready;
    self->state = state;
    self->until_ns = until_ns;
    switch_thread();
    self->ready = NULL;
    return ready(state);
}

static bool never(const void *state) {
    (void)state;
    return false;
}

/* ---- Begin and end ---- */

/* A place that none has, or has no more. */
static struct actor *actor_new(void) {
    struct actor *actor = all.actors, *end = all.actors + all.actor_count;
    while (actor < end && (actor->main || !actor->ended))
        actor++;
    LAW(actor < all.actors + THREADS_MAX, "more than %d threads", THREADS_MAX);
    if (actor == end)
        all.actor_count++;
    *actor = (struct actor){0};
    sem_init(&actor->baton, 0, 0);
    actor->weight = 1u << threads_draw(6);
    return actor;
}

/* The baton goes from thread to thread much faster on one processor. */
static void stay_on_this_cpu(void) {
    cpu_set_t here;
    sched_getaffinity(0, sizeof all.cpus, &all.cpus);
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    sched_setaffinity(0, sizeof here, &here);
}

void threads_begin(const struct threads_options *options) {
    memset(&all, 0, sizeof all);
    all.options = *options;
    all.rng.state = options->seed;
    all.now_ns = options->start_ns;
    all.digest = 0xcbf29ce484222325u;
    stay_on_this_cpu();
    self = actor_new();
}

void threads_end(void) {
    for (uint32_t i = 0; i < all.actor_count; i++) {
        struct actor *actor = &all.actors[i];
        LAW(actor == self || (actor->ended && !actor->main), "thread %u did not end, or was not joined", i);
    }
    sem_destroy(&self->baton);
    LAW(all.locked_count == 0, "%u mutexes are locked", all.locked_count);
    self = NULL;
    sched_setaffinity(0, sizeof all.cpus, &all.cpus);
}

/* ---- Threads ---- */

static void *actor_main(void *argument) {
    self = argument;
    take_baton(self);
    self->result = self->main(self->argument);
    record("thread ends", 0);
    self->ended = true;
    sem_post(&choose()->baton);
    return NULL;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*main)(void *), void *argument) {
    if (!self)
        return __real_pthread_create(thread, attributes, main, argument);
    struct actor *actor = actor_new();
    actor->main = main;
    actor->argument = argument;
    int error = __real_pthread_create(&actor->thread, attributes, actor_main, actor);
    LAW(error == 0, "pthread_create: %s", strerror(error));
    *thread = actor->thread;
    threads_point("create thread", actor - all.actors);
    return 0;
}

static bool has_ended(const void *state) {
    return ((const struct actor *)state)->ended;
}

int __wrap_pthread_join(pthread_t thread, void **result) {
    if (!self)
        return __real_pthread_join(thread, result);
    struct actor *actor = all.actors;
    while (!actor->main || !pthread_equal(actor->thread, thread))
        LAW(++actor < all.actors + all.actor_count, "a thread is joined that is not there");
    (void)threads_wait("join", has_ended, actor, UINT64_MAX);
    if (result)
        *result = actor->result;
    int error = __real_pthread_join(thread, NULL);
    actor->main = NULL;
    sem_destroy(&actor->baton);
    return error;
}

/* ---- Mutexes and conditions ---- */

static bool is_free(const void *mutex) {
    for (uint32_t i = 0; i < all.locked_count; i++)
        if (all.locked[i] == mutex)
            return false;
    return true;
}

static void lock(pthread_mutex_t *mutex) {
    if (!is_free(mutex))
        (void)threads_wait("wait for a mutex", is_free, mutex, UINT64_MAX);
    LAW(all.locked_count < MUTEXES_MAX, "more than %d mutexes are locked", MUTEXES_MAX);
    all.locked[all.locked_count++] = mutex;
    LAW(__real_pthread_mutex_lock(mutex) == 0, "pthread_mutex_lock");
}

static void unlock(pthread_mutex_t *mutex) {
    uint32_t i = 0;
    while (i < all.locked_count && all.locked[i] != mutex)
        i++;
    LAW(i < all.locked_count, "a mutex is unlocked that was not locked");
    all.locked[i] = all.locked[--all.locked_count];
    LAW(__real_pthread_mutex_unlock(mutex) == 0, "pthread_mutex_unlock");
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    if (!self)
        return __real_pthread_mutex_lock(mutex);
    threads_point("lock", 0);
    lock(mutex);
    threads_point("locked", 0);
    return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex) {
    if (!self)
        return __real_pthread_mutex_trylock(mutex);
    threads_point("try to lock", 0);
    if (!is_free(mutex))
        return EBUSY;
    lock(mutex);
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    if (!self)
        return __real_pthread_mutex_unlock(mutex);
    unlock(mutex);
    threads_point("unlocked", 0);
    return 0;
}

static bool is_signalled(const void *state) {
    return ((const struct actor *)state)->signalled;
}

/* Now and then it ends without a signal, as POSIX allows. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    if (!self)
        return __real_pthread_cond_wait(condition, mutex);
    self->condition = condition;
    self->signalled = threads_draw(20) == 0;
    unlock(mutex);
    (void)threads_wait("wait for a condition", is_signalled, self, UINT64_MAX);
    self->condition = NULL;
    lock(mutex);
    return 0;
}

/* The same, up to a time of CLOCK_MONOTONIC. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    if (!self)
        return __real_pthread_cond_timedwait(condition, mutex, until);
    uint64_t until_ns = (uint64_t)until->tv_sec * 1000000000u + (uint64_t)until->tv_nsec;
    self->condition = condition;
    self->signalled = threads_draw(20) == 0;
    unlock(mutex);
    bool signalled = threads_wait("wait for a condition", is_signalled, self, until_ns);
    self->condition = NULL;
    lock(mutex);
    return signalled ? 0 : ETIMEDOUT;
}

static void signal_one(const pthread_cond_t *condition) {
    uint32_t from = (uint32_t)threads_draw(all.actor_count);
    for (uint32_t i = 0; i < all.actor_count; i++) {
        struct actor *actor = &all.actors[(from + i) % all.actor_count];
        if (actor->condition == condition && !actor->signalled) {
            actor->signalled = true;
            return;
        }
    }
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition) {
    if (!self)
        return __real_pthread_cond_signal(condition);
    signal_one(condition);
    threads_point("signal", 0);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition) {
    if (!self)
        return __real_pthread_cond_broadcast(condition);
    for (uint32_t i = 0; i < all.actor_count; i++)
        if (all.actors[i].condition == condition)
            all.actors[i].signalled = true;
    threads_point("broadcast", 0);
    return 0;
}

/* ---- Time ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
    if (!self)
        return __real_clock_gettime(clock, now);
    threads_work("clock", 20);
    *now = (struct timespec){.tv_sec = (time_t)(all.now_ns / 1000000000u), .tv_nsec = (long)(all.now_ns % 1000000000u)};
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest) {
    if (!self)
        return __real_nanosleep(time, rest);
    uint64_t ns = (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
    (void)threads_wait("sleep", never, NULL, all.now_ns + ns);
    return 0;
}
