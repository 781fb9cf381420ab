/* SPDX-License-Identifier: MIT */
/*
 * An object that belongs to one thread of one process carries a mark; whether the caller is that thread is told by
 * comparing two numbers, without a system call. No two threads have the same number, nor has a later thread that of an
 * earlier one. A mark lies in memory that the kernel clears in a child process (MADV_WIPEONFORK), so a child is told apart
 * however it was forked: pthread_atfork() would miss clone().
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

/* True in the process that made the mark, on any of its threads. */
static inline bool owner_mark_in_process(const struct owner_mark *mark) {
    return mark->thread != 0;
}

#endif
