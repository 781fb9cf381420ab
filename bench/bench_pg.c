/* SPDX-License-Identifier: MIT
 *
 * See bench_pg.h.
 */
#include "bench_pg.h"

#include "bench.h"

#include <stdlib.h>

PGconn *bench_pg_open(const char *conninfo) {
    PGconn *conn = PQconnectdb(conninfo);
    if (PQstatus(conn) != CONNECTION_OK)
        bench_die("cannot connect: %s", PQerrorMessage(conn));
    if (PQsslInUse(conn) || PQgssEncInUse(conn))
        bench_die("the link is encrypted; add sslmode=disable gssencmode=disable");

    PGresult *result = PQprepare(conn, BENCH_STATEMENT, BENCH_SELECT, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        bench_die("cannot prepare: %s", PQerrorMessage(conn));
    PQclear(result);
    return conn;
}

uint32_t bench_pg_accounts(PGconn *conn) {
    PGresult *result = PQexec(conn, "select count(*) from pgbench_branches");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        bench_die("cannot count pgbench_branches: %s", PQerrorMessage(conn));
    unsigned long scale = strtoul(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    if (scale < 1 || scale > 20000)
        bench_die("pgbench_branches has %lu rows; fill it with pgbench -i", scale);
    return (uint32_t)scale * BENCH_ACCOUNTS;
}
