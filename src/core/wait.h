/* SPDX-License-Identifier: MIT */
/* Waits are counted in classes that never change: quring_db_stats.wait_count says which. */
#ifndef QURING_CORE_WAIT_H
#define QURING_CORE_WAIT_H

#include "base/assert.h"
#include "quring/quring.h"

static inline uint32_t wait_bucket(uint64_t wait_ns) {
    uint64_t us = wait_ns / 1000;
    uint32_t bits = us ? 64 - (uint32_t)__builtin_clzll(us) : 0;
    return bits < QURING_WAIT_BUCKETS ? bits : QURING_WAIT_BUCKETS - 1;
}

#endif
