/* SPDX-License-Identifier: MIT */
/* Connections counted by what their servers and the network have seen of them. */
#include "lib/pg_fixture.h"
#include "pg/look.h"
#include "pg/pool.h"
#include "ring/ring.h"

#include <stdio.h>

static struct pg_pool *pool;

TestSuite(pg_look, .init = pg_setup, .fini = pg_teardown);

static void open_with(const quring_db_options *options) {
    pg_again(options);
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0);
    bed.pool_open = true;
}

static void open_pool(uint32_t count) {
    open_with(&(quring_db_options){.connection_count = count, .depth = 4});
}

static quring_db_info look(void) {
    quring_db_info info = {.retry_ns = QURING_FOREVER};
    pg_look(pool, ring_now_ns(bed.hub.ring), &info);
    cr_assert_eq(info.wanted_count, pool->conn_count);
    cr_assert_eq(info.up_count, info.idle_count + info.busy_count);
    cr_assert_eq(info.up_count + info.connecting_count + info.ending_count + info.retrying_count, info.wanted_count,
                 "each is in one state");
    return info;
}

/* "connecting 1, idle 2, …": those that there are. */
static const char *counts(void) {
    static char text[200];
    quring_db_info info = look();
    const struct {
        const char *name;
        uint32_t count;
    } parts[] = {{"connecting", info.connecting_count},
                 {"idle", info.idle_count},
                 {"busy", info.busy_count},
                 {"ending", info.ending_count},
                 {"retrying", info.retrying_count}};
    size_t length = 0;
    text[0] = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].count)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s %u", length ? ", " : "",
                                       parts[i].name, parts[i].count);
    return text;
}

static void answer_all(void) {
    pg_bed_settle(&bed);
    for (uint32_t i = 0; i < pool->conn_count; i++)
        if (pool->conns[i]->state == PG_CONN_BARRIER)
            pg_bed_answer(&bed, pool->conns[i], false);
}

static void bring_up(uint32_t count) {
    open_pool(count);
    for (uint32_t i = 0; i < count; i++)
        answer_all();
    pg_bed_assert_text(counts(), count == 1 ? "idle 1" : count == 2 ? "idle 2" : "idle 3", "all are up");
}

Test(pg_look, a_pool_that_comes_up) {
    open_pool(3);
    pg_bed_settle(&bed);
    pg_bed_assert_text(counts(), "connecting 1, retrying 2", "one alone asks a server that may be down");
    cr_assert_eq(look().retry_ns, QURING_FOREVER, "the others wait for its success");
    cr_assert_eq(look().reason_at_ns, 0);
    for (int i = 0; i < 3; i++)
        answer_all();
    pg_bed_assert_text(counts(), "idle 3", "its success starts them");
}

Test(pg_look, connections_with_requests_are_busy) {
    bring_up(3);
    struct query *query = pg_bed_take(&bed, "select 1");
    pg_conn_send(pool->conns[1], query);
    pg_conn_flush(pool->conns[1]);
    pg_bed_settle(&bed);
    pg_bed_assert_text(counts(), "idle 2, busy 1", "one has a request");
    pg_bed_say(&bed, pool->conns[1], "1 t:0 T2DCZ");
    pg_bed_assert_text(counts(), "idle 3", "it was answered");
}

Test(pg_look, a_connection_that_is_lost) {
    bring_up(1);
    bed.refusal = "57P03";
    pg_conn_break(pool->conns[0], QURING_IN_DOUBT, "08006", "the cable was pulled");
    pg_bed_assert_text(counts(), "ending 1", "the kernel has its buffers yet");
    quring_db_info info = look();
    pg_bed_assert_text(info.sqlstate, "08006", "its reason");
    pg_bed_assert_text(info.message, "the cable was pulled", "its reason");
    cr_assert_eq(info.reason_at_ns, ring_now_ns(bed.hub.ring));
    pg_bed_pass(&bed, 1000 * PG_BED_MS);
    pg_bed_assert_text(counts(), "retrying 1", "attempts fail");
    info = look();
    pg_bed_assert_text(info.sqlstate, "57P03", "the reason of the last");
    pg_bed_assert_text(info.message, "refused", "the reason of the last");
}

/* The time that it says passes, and not before that does an attempt begin. */
Test(pg_look, retry_ns_is_when_the_next_attempt_begins) {
    bring_up(2);
    bed.refusal = "57P03";
    for (uint32_t i = 0; i < 2; i++)
        pg_conn_break(pool->conns[i], QURING_IN_DOUBT, "08006", "lost");
    pg_bed_pass(&bed, 100 * PG_BED_MS);
    for (int i = 0; i < 8; i++) {
        uint32_t tried = bed.tried_count;
        uint64_t retry_ns = look().retry_ns;
        cr_assert(retry_ns > 0 && retry_ns < 60000 * PG_BED_MS, "%lu", (unsigned long)retry_ns);
        if (retry_ns > 2 * PG_BED_MS) {
            pg_bed_pass(&bed, retry_ns - 2 * PG_BED_MS);
            cr_assert_eq(bed.tried_count, tried, "too early");
        }
        pg_bed_pass(&bed, 3 * PG_BED_MS);
        cr_assert_eq(bed.tried_count, tried + 1, "attempt %d", i);
    }
}

Test(pg_look, a_server_that_refuses_for_good_is_asked_again_with_a_query_only) {
    open_pool(2);
    bed.refusal = "28P01";
    pg_bed_settle(&bed);
    pg_bed_assert_text(counts(), "retrying 2", "it is refused");
    cr_assert_eq(look().retry_ns, QURING_FOREVER);
    pg_bed_assert_text(look().sqlstate, "28P01", "its reason");
}

static quring_db_state state(void) {
    return (quring_db_state)bed.db.base.status.state;
}

/* To end the only connection for another to take its place is no outage, but where the other can't be made. */
Test(pg_look, the_only_connection_is_renewed) {
    open_with(&(quring_db_options){.connection_count = 1, .depth = 4, .connection_lifetime_ns = 100 * PG_BED_MS});
    answer_all();
    for (int renewed = 1; renewed <= 3; renewed++) {
        cr_assert_eq(state(), QURING_DB_UP);
        pg_bed_assert_text(counts(), "idle 1", "it is up");
        pg_bed_pass(&bed, 100 * PG_BED_MS);
        cr_assert_eq(state(), QURING_DB_UP);
        pg_bed_assert_text(counts(), "connecting 1", "its successor");
        answer_all();
    }
    cr_assert_eq(look().reason_at_ns, 0);
    bed.refusal = "57P03";
    pg_bed_pass(&bed, 200 * PG_BED_MS);
    cr_assert_eq(state(), QURING_DB_OUTAGE);
    pg_bed_assert_text(look().sqlstate, "57P03", "its reason");
}
