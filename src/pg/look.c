/* SPDX-License-Identifier: MIT */
#include "pg/look.h"

#include <string.h>

/* More may be down than are wanted: see look_for_missing(). */
static void look_at_conn(const struct pg_conn *conn, quring_db_info *info) {
    switch ((enum pg_conn_state)conn->state) {
    case PG_CONN_DOWN:
        info->retrying_count += !list_empty(&conn->link);
        break;
    case PG_CONN_CONNECTING:
    case PG_CONN_BARRIER:
        info->connecting_count++;
        break;
    case PG_CONN_READY:
        info->up_count++;
        if (wire_session_outstanding(&conn->session))
            info->busy_count++;
        else
            info->idle_count++;
        break;
    case PG_CONN_RETIRING:
    case PG_CONN_DRAINING:
        info->ending_count++;
        break;
    }
}

static void look_for_missing(quring_db_info *info) {
    uint32_t there = info->up_count + info->connecting_count;
    uint32_t missing = info->wanted_count > there ? info->wanted_count - there : 0;
    if (info->retrying_count > missing)
        info->retrying_count = missing;
}

void pg_look(const struct pg_pool *pool, uint64_t now_ns, quring_db_info *info) {
    info->wanted_count = pool->wanted_count;
    for (uint32_t i = 0; i < pool->conn_count; i++)
        look_at_conn(pool->conns[i], info);
    look_for_missing(info);
    if (heap_contains(&pool->next_attempt.node))
        info->retry_ns = pool->next_attempt.node.key > now_ns ? pool->next_attempt.node.key - now_ns : 0;
    info->reason_at_ns = pool->last.at_ns;
    memcpy(info->sqlstate, pool->last.sqlstate, sizeof info->sqlstate);
    info->message = pool->last.message;
}

/*
 * Connections that are ending make room for others, and those that are made let more begin. While connections are renewed
 * one is always missing where their lifetimes are shorter than it takes to renew all.
 */
uint32_t pg_look_missing(const struct pg_pool *pool, bool *hopeless) {
    bool going_on = pool->open_count > pool->ready_count || heap_contains(&pool->next_attempt.node);
    *hopeless = !going_on;
    return !pool->complete && pool->wanted_count > pool->ready_count ? pool->wanted_count - pool->ready_count : 0;
}
