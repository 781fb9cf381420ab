/* SPDX-License-Identifier: MIT */
#include "base/owner.h"

#include "base/hash.h"

#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Thread_local uint64_t owner_here = OWNER_NOBODY;

/* The kernel gives a thread's id to another only after the first has ended, and time has passed by then. */
uint64_t owner_claim(void) {
    struct timespec now;
    while (owner_here <= OWNER_NOBODY) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t who_and_when[3] = {now.tv_sec, now.tv_nsec, gettid()};
        owner_here = hash_bytes(who_and_when, sizeof who_and_when, 0);
    }
    return owner_here;
}

struct owner_mark *owner_mark_new(void) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    struct owner_mark *mark = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mark == MAP_FAILED)
        return NULL;
    if (madvise(mark, size, MADV_WIPEONFORK)) {
        (void)munmap(mark, size);
        return NULL;
    }
    mark->thread = owner_claim();
    return mark;
}

void owner_mark_free(struct owner_mark *mark) {
    if (mark)
        (void)munmap(mark, (size_t)sysconf(_SC_PAGESIZE));
}
