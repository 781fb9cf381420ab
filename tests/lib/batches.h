/* SPDX-License-Identifier: MIT */
/* ATOMIC batches in live tests: submitted together, and what became of each member in one line. */
#ifndef QURING_TESTS_LIB_BATCHES_H
#define QURING_TESTS_LIB_BATCHES_H

#include "lib/live.h"

enum { BATCH_MOST = 16 };

struct batch_run {
    quring_id ids[BATCH_MOST];
    uint32_t count;
    uint32_t first; /* user_data of the first member: the others count on */
};

/* Submits it to live->db; the members' user_data are `first`, first + 1, … */
void batch_begin(struct live *live, struct batch_run *run, const quring_query *queries, uint32_t count, uint32_t first);

/* The same with texts alone. */
void batch_begin_texts(struct live *live, struct batch_run *run, const char *const texts[], uint32_t count);

/* Waits until all members have ended: "OK; SKIPPED 23505 by 1; SERVER_ERROR 23505", by number from 1. Static. */
const char *batch_end(struct live *live, const struct batch_run *run);

/* Both. */
const char *batch_texts(struct live *live, const char *const texts[], uint32_t count);

#define batch_assert(actual, expected) batch_same(actual, expected, __LINE__)
void batch_same(const char *actual, const char *expected, int line);

#endif
