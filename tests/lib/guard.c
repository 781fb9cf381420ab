/* SPDX-License-Identifier: MIT */
#include "lib/guard.h"

#include "base/assert.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void guard_open(struct guard *guard, size_t room) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guard->room = (room + page - 1) / page * page;
    guard->map = mmap(NULL, guard->room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PRE(guard->map != MAP_FAILED);
    guard->end = guard->map + guard->room;
    PRE(mprotect(guard->end, page, PROT_NONE) == 0);
}

void guard_close(struct guard *guard) {
    munmap(guard->map, guard->room + (size_t)sysconf(_SC_PAGESIZE));
}

uint8_t *guard_place(struct guard *guard, const void *bytes, size_t size) {
    PRE(size <= guard->room);
    if (size)
        memmove(guard->end - size, bytes, size);
    return guard->end - size;
}
