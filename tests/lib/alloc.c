/* SPDX-License-Identifier: MIT */
#include "lib/alloc.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Of the linker, for --wrap. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

static _Thread_local bool watching;
static atomic_uint_fast64_t count, fail_from, fail_end;
static atomic_bool failed;
static atomic_int_fast64_t live, live_bytes;

void alloc_watch(bool on) {
    watching = on;
}

void alloc_fail_at(uint64_t nth, uint64_t calls) {
    atomic_store(&failed, false);
    atomic_store(&fail_from, atomic_load(&count) + nth);
    atomic_store(&fail_end, atomic_load(&count) + nth + calls);
}

static struct {
    void *block;
    size_t size;
    bool is_free;
} reused;

void alloc_reuse(void *block, size_t size) {
    reused.block = block;
    reused.size = size;
    reused.is_free = false;
}

void alloc_fail_no_more(void) {
    atomic_store(&fail_end, 0);
}

bool alloc_has_failed(void) {
    return atomic_load(&failed);
}

uint64_t alloc_count(void) {
    return atomic_load(&count);
}

int64_t alloc_live(void) {
    return atomic_load(&live);
}

int64_t alloc_live_bytes(void) {
    return atomic_load(&live_bytes);
}

static bool refused(void) {
    uint64_t number = watching ? atomic_fetch_add(&count, 1) + 1 : 0;
    if (number == 0 || number < atomic_load(&fail_from) || number >= atomic_load(&fail_end))
        return false;
    atomic_store(&failed, true);
    errno = ENOMEM;
    return true;
}

static void *counted(void *block) {
    if (block) {
        atomic_fetch_add(&live, 1);
        atomic_fetch_add(&live_bytes, (int64_t)malloc_usable_size(block));
    }
    return block;
}

void *__wrap_malloc(size_t size) {
    return refused() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t number, size_t size) {
    if (reused.is_free && number * size == reused.size) {
        reused.is_free = false;
        return counted(memset(reused.block, 0, reused.size));
    }
    return refused() ? NULL : counted(__real_calloc(number, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return refused() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void *__wrap_realloc(void *block, size_t size) {
    if (refused())
        return NULL;
    if (!block)
        return counted(__real_realloc(NULL, size));
    size_t before = malloc_usable_size(block);
    void *moved = __real_realloc(block, size);
    if (moved)
        atomic_fetch_add(&live_bytes, (int64_t)malloc_usable_size(moved) - (int64_t)before);
    return moved;
}

char *__wrap_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void __wrap_free(void *block) {
    if (block) {
        atomic_fetch_sub(&live, 1);
        atomic_fetch_sub(&live_bytes, (int64_t)malloc_usable_size(block));
    }
    if (block && block == reused.block)
        reused.is_free = true;
    else
        __real_free(block);
}
