/* SPDX-License-Identifier: MIT */
/*
 * Whose a thing is that belongs to one thread of one process, told by comparing two numbers and without a system call.
 * A thread's number is never another's, also not a later thread's. A mark lies in memory that reads 0 in a child process,
 * however that was forked.
 */
#ifndef QURING_BASE_OWNER_H
#define QURING_BASE_OWNER_H

#include <stdbool.h>
#include <stdint.h>

enum { OWNER_NOBODY = 1 }; /* the number of threads that have claimed nothing; no mark has it */

/* This thread's number. Initial-exec: one load to read it, in a position-independent program too. */
extern _Thread_local uint64_t owner_here __attribute__((tls_model("initial-exec")));

/* The calling thread's number, for what it makes. */
uint64_t owner_claim(void);

struct owner_mark {
    uint64_t thread; /* 0 in a child process */
};

/* A mark of the calling thread; NULL: no memory. */
struct owner_mark *owner_mark_new(void);
void owner_mark_free(struct owner_mark *mark); /* NULL is allowed */

static inline bool owner_mark_is_here(const struct owner_mark *mark) {
    return mark->thread == owner_here;
}

/* On any thread: whether this is the process that made it. */
static inline bool owner_mark_in_process(const struct owner_mark *mark) {
    return mark->thread != 0;
}

#endif
