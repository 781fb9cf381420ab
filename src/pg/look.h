/* SPDX-License-Identifier: MIT */
/* A look at a pool and its connections, for quring_db_status(). */
#ifndef QURING_PG_LOOK_H
#define QURING_PG_LOOK_H

#include "pg/pool_state.h"

/* As the backend's missing(). */
uint32_t pg_look_missing(const struct pg_pool *pool, bool *hopeless);

void pg_look(const struct pg_pool *pool, uint64_t now_ns, quring_db_info *info);

#endif
