/* SPDX-License-Identifier: MIT */
/* For tests that set one situation up by hand: one calm world, and short names for asking and expecting. */
#ifndef QURING_TESTS_LIB_SIM_SITUATION_H
#define QURING_TESTS_LIB_SIM_SITUATION_H

#include "lib/sim_world.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static struct world world;

static inline void open_world(const quring_db_options *db) {
    struct sim_options sim = {.seed = 1, .latency_ns = 10000};
    quring_options engine = {.query_count = 2000, .connection_count = 64};
    world_open(&world, &sim, &engine, db, 3000);
}

static inline void open_one(uint32_t depth) {
    quring_db_options db = {.connection_count = 1, .depth = depth};
    open_world(&db);
}

static inline int ask(const char *verb, uint32_t number, const char *sqlstate) {
    return world_query(&world, verb, number, sqlstate);
}

static inline void expect(int index, quring_status status, const char *sqlstate) {
    world_expect(&world, index, status, sqlstate);
}

#endif
