/* SPDX-License-Identifier: MIT */
/* Transactions in situations: asking for them, and what is left of them in the end. */
#ifndef QURING_TESTS_LIB_SIM_LEASES_H
#define QURING_TESTS_LIB_SIM_LEASES_H

#include "lib/sim_situation.h"
#include "pg/pg.h"

/* Of the world's inbox, where it has one. */
static inline quring_tx *open_tx(const quring_tx_options *options) {
    quring_tx *tx;
    int error = world.inbox ? quring_inbox_tx_open(world.inbox, world.db, options, &tx)
                            : quring_tx_open(world.db, options, &tx);
    LAW(error == 0, "quring_tx_open: %s", quring_errmsg(world.engine));
    return tx;
}

static inline int ask_tx(quring_tx *tx, const char *verb, uint32_t number, const char *sqlstate) {
    struct ask what = {.verb = verb, .number = number, .sqlstate = sqlstate, .tx = tx, .in_block = true};
    int index = world_ask(&world, &what);
    LAW(index >= 0, "quring_submit: %s", quring_errmsg(world.engine));
    return index;
}

/* Nothing is out. */
static inline void check_leases(void) {
    const struct pg_db *db = base_container_of(world.db, struct pg_db, base);
    const struct pg_pool *pool = &db->pool;
    LAW(pool->leases.count == 0, "%u connections are held by nobody", pool->leases.count);
    LAW(list_empty(&pool->leases.waiting) && list_empty(&pool->leases.whole), "somebody waits");
    LAW(db->base.waiting_count == 0, "%u queries wait", db->base.waiting_count);
    LAW(list_empty(&pool->resolves.waiting) && pool->resolves.due.count == 0 && pool->resolves.asking_count == 0,
        "somebody is asked for");
}

#endif
