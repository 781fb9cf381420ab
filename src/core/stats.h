/* SPDX-License-Identifier: MIT */
/* The statistics of one handle: its counters, and what its queues and its backend tell of waiting. */
#ifndef QURING_CORE_STATS_H
#define QURING_CORE_STATS_H

#include "core/backend.h"

void stats_fill(const struct quring_db *db, quring_db_stats *stats);

#endif
