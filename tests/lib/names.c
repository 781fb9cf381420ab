/* SPDX-License-Identifier: MIT */
#include "lib/names.h"

#include "base/assert.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool held = true;
static uint32_t held_count;

static void hold_set(bool on) {
    pthread_mutex_lock(&mutex);
    held = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void names_hold(void) {
    hold_set(true);
}

void names_let_go(void) {
    hold_set(false);
}

uint32_t names_held_count(void) {
    pthread_mutex_lock(&mutex);
    uint32_t count = held_count;
    pthread_mutex_unlock(&mutex);
    return count;
}

static void wait_while_held(void) {
    pthread_mutex_lock(&mutex);
    held_count++;
    while (held)
        pthread_cond_wait(&changed, &mutex);
    held_count--;
    pthread_mutex_unlock(&mutex);
}

typedef int look_up(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    look_up *real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    PRE(real);
    if (!name || !strstr(name, ".test"))
        return real(name, service, hints, found);
    if (strcmp(name, "gone.test") == 0)
        return EAI_NONAME;
    if (strcmp(name, "held.test") == 0)
        wait_while_held();
    if (strcmp(name, "slow.test") == 0)
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    if (strcmp(name, "two.test") != 0)
        return real("127.0.0.1", service, hints, found);
    int error = real("127.0.0.2", service, hints, found);
    return error ? error : real("127.0.0.1", service, hints, &(*found)->ai_next);
}
