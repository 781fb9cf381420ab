/* SPDX-License-Identifier: MIT */
/* pgbench's tables: made and filled, or looked at. Each returns an exit status; all but CLI_EXIT_OK after a message. */
#ifndef QURING_CLI_BENCH_INIT_H
#define QURING_CLI_BENCH_INIT_H

#include "cli/common/client.h"

enum { CLI_SCALE_MAX = 20000, CLI_ACCOUNTS = 100000 /* and 10 tellers and one branch, at scale 1 */ };

/* Replaces pgbench's tables, as `pgbench -i` does. On SQLite also the view quring_tpcb and its trigger. */
int cli_init_tables(struct cli_client *client, bool sqlite, uint32_t scale);

/* Reads the scale of the tables that are there. With `tpcb` on SQLite, that view must be there as well. */
int cli_init_look(struct cli_client *client, bool sqlite, bool tpcb, int64_t *scale);

#endif
