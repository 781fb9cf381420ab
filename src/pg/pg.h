/* SPDX-License-Identifier: MIT */
/* The PostgreSQL database handle. The map is in pg.c. */
#ifndef QURING_PG_PG_H
#define QURING_PG_PG_H

#include "pg/pool.h"

struct pg_db {
    struct quring_db base;
    struct pg_pool pool;
    uint64_t kept_bytes; /* of descriptions that are kept */
};

#endif
