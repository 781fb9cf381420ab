/* SPDX-License-Identifier: MIT */
/* Counters that wake who sleeps on them: eventfd(2). */
#ifndef QURING_BASE_EVENTFD_H
#define QURING_BASE_EVENTFD_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

/* What a write adds. It has an address, for who has the kernel write it later. */
static const uint64_t EVENTFD_ONE = 1;

/* Makes it readable; any thread. The write fails only when the counter is full, and then it is readable already. Keeps errno. */
static inline void eventfd_raise(int fd) {
    int saved = errno;
    ssize_t n = write(fd, &EVENTFD_ONE, sizeof EVENTFD_ONE);
    (void)n;
    errno = saved;
}

/* Makes one that does not block unreadable, however often it was raised. */
static inline void eventfd_lower(int fd) {
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

#endif
