/* SPDX-License-Identifier: MIT */
/* The counters of a ring, from its opening on. */
#ifndef QURING_RING_COUNTERS_H
#define QURING_RING_COUNTERS_H

#include <stdint.h>

struct ring_counters {
    uint64_t completions, sends, receives, sent_bytes, received_bytes, jobs, stale;
};

#endif
