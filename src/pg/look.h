/* SPDX-License-Identifier: MIT */
/* A look at a pool and its connections, for quring_db_status(). */
#ifndef QURING_PG_LOOK_H
#define QURING_PG_LOOK_H

#include "pg/pool_state.h"

void pg_look(const struct pg_pool *pool, uint64_t now_ns, quring_db_info *info);

#endif
