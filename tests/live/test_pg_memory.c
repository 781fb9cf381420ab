/* SPDX-License-Identifier: MIT */
/* The memory that connections hold while nothing is asked of them. Counts what is allocated, not what is resident. */
#include "lib/alloc.h"
#include "lib/live.h"

enum { FEW = 10, MANY = 110, BYTES_MAX = 8192 };

static struct live live;

static uint32_t connections(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats.connection_count;
}

/* Bytes that the library holds with so many connections up, after a number of queries that does not depend on it. */
static int64_t bytes_of(uint32_t count, uint32_t used) {
    int64_t before = alloc_live_bytes();
    live_open(&live, &(quring_db_options){.connection_count = count});
    while (connections() < count)
        cr_assert_geq(quring_run(live.engine, 1, 10 * LIVE_MS), 0);
    for (uint32_t i = 0; i < used * MANY; i++)
        live_submit(&live, &(quring_query){.sql = "select $1::int8", .params = QURING_PARAMS(quring_int64(i))});
    live_drain(&live, NULL, NULL);
    int64_t bytes = alloc_live_bytes() - before;
    live_close(&live);
    cr_assert_eq(alloc_live_bytes(), before);
    return bytes;
}

static void check_connection(uint32_t used) {
    int64_t each = (bytes_of(MANY, used) - bytes_of(FEW, used)) / (MANY - FEW);
    cr_assert(each > 0 && each <= BYTES_MAX, "%lld bytes a connection", (long long)each);
}

Test(pg_memory, of_a_connection_that_was_never_used) {
    check_connection(0);
}

Test(pg_memory, of_a_connection_that_answered_a_few_queries) {
    check_connection(4);
}
