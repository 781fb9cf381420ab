/* SPDX-License-Identifier: MIT */
#include "ring/ring_internal.h"

#include <errno.h>
#include <unistd.h>

/* The write fails only when the counter is full, and then the descriptor is readable already. */
static void wake_raise(int fd) {
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n;
}

/*
 * A write to a foreign loop's descriptor wakes that loop where it is an eventfd, on io_uring; epoll's own refuses it, and
 * shows the edge of wake_fd instead. The completion of the read on wake_fd would be signalled too, but
 * once only: Linux (6.18 at least) puts off a registered eventfd's signal that another eventfd causes, and never does so a
 * second time.
 */
void ring_interrupt(struct ring *ring) {
    int saved = errno;
    wake_raise(ring->wake_fd);
    int poll_fd = atomic_load_explicit(&ring->foreign_fd, memory_order_relaxed);
    if (poll_fd >= 0)
        wake_raise(poll_fd);
    errno = saved;
}
