/* SPDX-License-Identifier: MIT */
/*
 * libpq connects and may have read more than ReadyForQuery when the socket is taken from it; those bytes are gone. So a
 * server that puts bytes behind it, all at once or in two pieces, gives a connection that is correct, or refused. It
 * never gives one whose answers belong to the query before.
 */
#include "lib/live.h"
#include "lib/relay.h"

#include <string.h>

enum { STRAY_MAX = 40, QUERIES = 6 };

static const struct stray {
    const char *what, *bytes;
    size_t size;
} strays[] = {
#define STRAY(what, bytes)                                                                                             \
    { what, bytes, sizeof(bytes) - 1 }
    STRAY("notice", "N\0\0\0\x20SNOTICE\0VNOTICE\0C00000\0Mhello\0\0\0"),
    STRAY("parameter status", "S\0\0\0\x1a"
                              "application_name\0quring\0"
                              "S\0\0\0\x0a"
                              "a\0bcd\0"),
    STRAY("notification", "A\0\0\0\x13\0\0\0\1channel\0pay\0"
                          "A\0\0\0\x0b\0\0\0\1c\0p\0"),
    STRAY("ready again", "Z\0\0\0\5IZ\0\0\0\5IZ\0\0\0\5IZ\0\0\0\5IZ\0\0\0\5IZ\0\0\0\5IZ\0\0\0\5I"),
    STRAY("the barrier's first answers",
          "1\0\0\0\4t\0\0\0\x0e\0\2\0\0\0\x19\0\0\0\x19T\0\0\0\x1e\0\1?column?\0\0\0\0\0\0\0"),
    STRAY("a row", "D\0\0\0\x1a\0\1\0\0\0\x10"
                   "0123456789abcdefC\0\0\0\x0dSELECT 1\0"),
    STRAY("an error", "E\0\0\0\x1eSERROR\0VERROR\0C42601\0Mx\0\0E\0\0\0\x1eSERROR\0V"),
    STRAY(
        "junk",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
};

/*
 * Counts how it ended. A byte that makes the server's message long is waited behind until `timeout_ns`. Every query
 * that says OK has its own rows.
 */
static void try_connection(unsigned port, uint64_t timeout_ns, uint32_t *good, uint32_t *refused) {
    struct live live;
    struct ledger ledger;
    live_open_url(&live, live_url_by_port(port), NULL,
                  &(quring_db_options){.connection_count = 1, .connect_timeout_ns = timeout_ns});
    ledger_init(&ledger, QUERIES);
    for (uint32_t i = 0; i < QUERIES; i++)
        live_submit(&live, &(quring_query){.sql = i % 2 ? "select $1::int8" : "select $1::int8, 'two'",
                                           .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                           .user_data = i});
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    uint32_t ok = ledger.by_status[QURING_OK];
    cr_assert_eq(ok + ledger.by_status[QURING_NOT_SENT], QUERIES);
    cr_assert(ok == 0 || ok == QUERIES, "%u of %u were answered", ok, QUERIES);
    ++*(ok ? good : refused);
    ledger_free(&ledger);
    live_close(&live);
}

static void check_strays(const struct stray *stray, size_t from, size_t step) {
    struct relay *relay = relay_open(live_port());
    uint32_t good = 0, refused = 0;
    for (size_t size = from; size <= STRAY_MAX && size <= stray->size; size += step) {
        struct relay_plan plan = {.stray = stray->bytes,
                                  .stray_bytes = size,
                                  .cut_after_received = RELAY_NEVER,
                                  .cut_after_sent = RELAY_NEVER};
        relay_set(relay, &plan);
        try_connection(relay_port(relay), 300 * LIVE_MS, &good, &refused);
        plan.late = stray->bytes + size;
        plan.late_bytes = stray->size - size;
        relay_set(relay, &plan);
        try_connection(relay_port(relay), 300 * LIVE_MS, &good, &refused);
    }
    cr_assert_gt(good + refused, 4);
    relay_close(relay);
}

Test(pg_handover, nothing_behind_is_good) {
    struct relay *relay = relay_open(live_port());
    uint32_t good = 0, refused = 0;
    try_connection(relay_port(relay), LIVE_STALL_NS, &good, &refused);
    cr_assert_eq(good, 1);
    relay_close(relay);
}

#define STRAY_TEST(name, index, from, step)                                                                            \
    Test(pg_handover, name) {                                                                                          \
        check_strays(&strays[index], from, step);                                                                      \
    }

STRAY_TEST(a_notice, 0, 0, 1)
STRAY_TEST(parameter_statuses, 1, 0, 3)
STRAY_TEST(notifications, 2, 1, 3)
STRAY_TEST(ready_again, 3, 0, 3)
STRAY_TEST(the_barriers_own_answers, 4, 1, 3)
STRAY_TEST(rows, 5, 2, 3)
STRAY_TEST(errors, 6, 0, 3)
STRAY_TEST(junk, 7, 0, 5)
