/* SPDX-License-Identifier: MIT */
#include "base/eventfd.h"
#include "ring/ring_internal.h"

/*
 * A write to a foreign loop's descriptor wakes that loop where it is an eventfd, on io_uring; epoll's own refuses it, and
 * shows the edge of wake_fd instead. The completion of the read on wake_fd would be signalled too, but
 * once only: Linux (6.18 at least) puts off a registered eventfd's signal that another eventfd causes, and never does so a
 * second time.
 */
void ring_interrupt(struct ring *ring) {
    eventfd_raise(ring->wake_fd);
    int poll_fd = atomic_load_explicit(&ring->foreign_fd, memory_order_relaxed);
    if (poll_fd >= 0)
        eventfd_raise(poll_fd);
}
