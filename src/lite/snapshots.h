/* SPDX-License-Identifier: MIT */
/*
 * How long transactions that only read may keep their snapshots, which keep the log from starting over. The writer's lane
 * finds out that they do, with a checkpoint between two writes of this handle. Of the writes of others it hears nothing: so
 * once a snapshot is too old for a long log, the lane is called each second to ask how long the log is.
 */
#ifndef QURING_LITE_SNAPSHOTS_H
#define QURING_LITE_SNAPSHOTS_H

#include "lite/db.h"

/* A transaction that only reads was given a lane. */
void lite_snapshots_watch(struct lite_db *lite);

/* The log can't start over: ends those that only read and have had their snapshots for too long. */
void lite_snapshots_limit(struct lite_db *lite);

/* How long the oldest of those has had its snapshot; 0: there is none. */
uint64_t lite_snapshots_oldest_ns(const struct lite_db *lite);

#endif
