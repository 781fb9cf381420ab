/* SPDX-License-Identifier: MIT */
#include "lib/touch.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096, OBJECTS_MAX = 2048 };

/* Of the linker, for --wrap. */
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);

static char *objects;
static size_t object_bytes, stride;
static uint32_t object_count;
static volatile sig_atomic_t touched_count;

static bool is_object(const void *at) {
    return objects && (const char *)at >= objects && (const char *)at < objects + OBJECTS_MAX * stride;
}

/* Another fault is the test's own: it happens again, and ends the program. */
static void touched(int number, siginfo_t *info, void *context) {
    (void)context;
    if (!is_object(info->si_addr)) {
        signal(number, SIG_DFL);
        return;
    }
    char *object = objects + (size_t)((char *)info->si_addr - objects) / stride * stride;
    mprotect(object, stride, PROT_READ | PROT_WRITE);
    touched_count = touched_count + 1;
}

void touch_prepare(size_t size) {
    object_bytes = size;
    stride = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    objects = mmap(NULL, OBJECTS_MAX * stride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(objects != MAP_FAILED);
    struct sigaction action = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO};
    cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
}

void touch_watch(void) {
    touched_count = 0;
    cr_assert_eq(mprotect(objects, OBJECTS_MAX * stride, PROT_NONE), 0);
}

uint32_t touch_count(void) {
    cr_assert_eq(mprotect(objects, OBJECTS_MAX * stride, PROT_READ | PROT_WRITE), 0);
    return (uint32_t)touched_count;
}

void *__wrap_calloc(size_t count, size_t size) {
    if (!objects || count != 1 || size != object_bytes)
        return __real_calloc(count, size);
    cr_assert_lt(object_count, OBJECTS_MAX);
    return objects + stride * object_count++;
}

void __wrap_free(void *block) {
    if (!is_object(block))
        __real_free(block);
}
