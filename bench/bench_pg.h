/* SPDX-License-Identifier: MIT
 *
 * Connecting, as both PostgreSQL baselines do it: through libpq, not timed, in clear text, and with pgbench's
 * point select prepared.
 */
#ifndef QURING_BENCH_PG_H
#define QURING_BENCH_PG_H

#include <libpq-fe.h>
#include <stdint.h>

#define BENCH_SELECT "select abalance from pgbench_accounts where aid = $1"
#define BENCH_STATEMENT "s" /* its name, once prepared */
#define BENCH_INSERT                                                                                                   \
    "insert into pgbench_history(tid, bid, aid, delta, mtime) values ($1, $2, $3, $4, current_timestamp)"

enum { BENCH_ACCOUNTS = 100000 }; /* to each unit of pgbench's scale */

/* Exits when it cannot connect or prepare. */
PGconn *bench_pg_open(const char *conninfo);

/* How many accounts there are, from the number of pgbench_branches. */
uint32_t bench_pg_accounts(PGconn *conn);

#endif
