/* SPDX-License-Identifier: MIT */
#include "lib/pg_tx_bed.h"

#include "pg/backend.h"

struct pg_pool *pool;
struct quring_tx txs[PG_TXS];

void pg_tx_teardown(void) {
    pg_teardown();
    for (uint32_t i = 0; i < PG_TXS; i++)
        tx_free(&txs[i]);
    memset(txs, 0, sizeof txs);
}

void advance(void) {
    pg_backend.advance(&bed.db.base);
    db_leave_behind(&bed.db.base, ring_now_ns(bed.hub.ring) | 1);
    pg_bed_settle(&bed);
}

void bring_up_with(const quring_db_options *options) {
    pg_again(options);
    pool = &bed.db.pool;
    bed.db.base.backend = &pg_backend;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0);
    bed.pool_open = true;
    while (pool->ready_count < options->connection_count) {
        pg_bed_settle(&bed);
        for (uint32_t i = 0; i < pool->conn_count; i++)
            if (pool->conns[i]->state == PG_CONN_BARRIER)
                pg_bed_answer(&bed, pool->conns[i], false);
    }
    bed.hub.noted_ns = UINT64_MAX; /* no engine notes the time that a turn begins at */
    advance();
    for (uint32_t i = 0; i < pool->conn_count; i++)
        (void)pg_bed_got(&bed, pool->conns[i]);
}

void bring_up(uint32_t connections, uint32_t depth) {
    bring_up_with(&(quring_db_options){.connection_count = connections, .depth = depth, .statement_count = 16});
}

struct quring_tx *begin_with(uint32_t i, const quring_tx_options *options) {
    quring_tx_options filled = *options;
    if (!filled.timeout_ns)
        filled.timeout_ns = QURING_FOREVER;
    if (!filled.idle_timeout_ns)
        filled.idle_timeout_ns = QURING_FOREVER;
    tx_free(&txs[i]);
    memset(&txs[i], 0, sizeof txs[i]);
    tx_init(&txs[i], &bed.db.base, &filled);
    return &txs[i];
}

struct quring_tx *begin(uint32_t i) {
    return begin_with(i, &(quring_tx_options){0});
}

void release(struct quring_tx *tx) {
    tx_release(tx);
    if (tx->state != TX_ENDED)
        pg_backend.tx_changed(tx, false);
    pg_bed_settle(&bed);
}

const char *got(uint32_t conn) {
    return pg_bed_got_short(&bed, pool->conns[conn]);
}

void got_is(uint32_t conn, const char *expected, const char *what) {
    pg_bed_assert_text(got(conn), expected, what);
}

void say(uint32_t conn, const char *script) {
    pg_bed_say(&bed, pool->conns[conn], script);
}

void warm(void) {
    struct query *query = pg_bed_ask(&bed, PG_TX_INSERT);
    advance();
    say(0, "1 t:0 n2 C:INSERT_0_1 Z");
    pg_bed_assert_text(pg_bed_fate(query), "OK", "the first insert");
    (void)got(0);
}
