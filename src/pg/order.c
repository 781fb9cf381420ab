/* SPDX-License-Identifier: MIT */
#include "pg/order.h"

#include "pg/conn.h"
#include "pg/request.h"

static uint64_t order_now_ns(const struct pg_conn *conn) {
    return ring_now_ns(pg_conn_ring(conn)) | 1;
}

static struct pg_conn *order_conn(struct order_place *place) {
    return base_container_of(place, struct pg_conn, order);
}

/* ---- What may run ---- */

/* The connection serves the queue that keys have their queries from: no transaction holds it. */
static bool order_conn_serves(const struct pg_conn *conn) {
    return conn->state == PG_CONN_READY && conn->source == &conn->config->db->queue && !conn->tx;
}

static bool order_conn_takes(const struct pg_conn *conn) {
    return order_conn_serves(conn) && pg_placement_has_room(conn) && !pg_conn_is_held_up(conn) &&
           !pg_conn_is_cancelling(conn) && !pg_conn_is_held_up_by_tx(conn);
}

/* A request of which all replies but ReadyForQuery came had no Sync. */
static bool order_has_sync(const struct wire_session *session, uint64_t ordinal) {
    return ordinal >= session->head && wire_session_request(session, ordinal)->steps & WIRE_SYNC;
}

/* The key's last query is in a group by itself, or will be if the next one ends it: nothing else is undone with it. */
static bool order_is_alone(const struct pg_conn *conn, const struct order_key *key) {
    const struct wire_session *session = &conn->session;
    bool begins = key->last == conn->settled || order_has_sync(session, key->last - 1);
    return begins && (key->last + 1 == session->next || order_has_sync(session, key->last));
}

static bool order_may_follow(const struct pg_conn *conn, const struct order_key *key, const struct query *query) {
    if (!order_key_is_out(key) || key->last < conn->settled || !key->group)
        return true;
    bool joins = conn->group_open && key->group == conn->group_count + 1 && pg_conn_groups(query);
    return joins || order_is_alone(conn, key);
}

/* ---- Giving queries to a connection ---- */

/* A query that was not sent has ended, or is put back since the connection broke. */
static void order_send(struct pg_conn *conn, struct query *query) {
    struct order_key *key = query->key;
    uint64_t ordinal = conn->session.next;
    pg_conn_send(conn, query);
    if (conn->session.next != ordinal)
        order_key_sent(key, &conn->order, ordinal, conn->group_open ? conn->group_count + 1 : 0);
}

static void order_park(struct query *query, bool for_room) {
    struct order_key *key = query->key;
    queue_park(query, order_now_ns(order_conn(key->place)));
    if (for_room)
        order_key_wait(key);
}

/* The key is placed: its next query follows the others there, or is parked behind those that could not. */
static void order_follow(struct pg_pool *pool, struct query *query, struct pg_conn *conn) {
    const struct order_key *key = query->key;
    struct pg_conn *at = order_conn(key->place);
    bool may = list_empty(&key->parked) && order_may_follow(at, key, query);
    if (!may || !order_conn_takes(at)) {
        order_park(query, may);
        return;
    }
    (void)queue_take(query->queue);
    if (at != conn)
        pg_placement_take_at(&pool->placement, at);
    order_send(at, query);
    if (at != conn)
        pg_placement_gave(&pool->placement, at);
}

void pg_order_admit(struct pg_pool *pool, struct pg_conn *conn) {
    struct query *query = queue_first(&pool->db->queue);
    PRE(query && query->key);
    switch ((enum order_state)query->key->state) {
    case ORDER_IDLE:
        order_send(conn, queue_take(query->queue));
        return;
    case ORDER_PLACED:
        order_follow(pool, query, conn);
        return;
    case ORDER_CLOSED:
        query_fail(
            query, QURING_NOT_SENT, "08006",
            "an earlier query with its order_key was lost with its connection, and the program had not reaped all "
            "of that key by then");
        return;
    }
    UNREACHABLE("a key in no state");
}

/* ---- Queries that are parked ---- */

/* Has the connection looked at when queries are given away next. */
static void order_look(struct pg_pool *pool, struct pg_conn *conn) {
    if (list_empty(&conn->order.link))
        list_push_back(&pool->ordered, &conn->order.link);
}

/* The oldest query of the key, or none if it has to wait for a sync point: pg_order_settle() has it wait for room again. */
static void order_serve_key(struct pg_conn *conn, struct order_key *key) {
    const struct query *query = queue_first_parked(key);
    if (query && !order_may_follow(conn, key, query))
        return;
    if (query)
        order_send(conn, queue_take_parked(key));
    if (!list_empty(&key->parked))
        order_key_wait(key);
    else if (!order_key_is_out(key))
        order_key_leave(key);
}

static void order_serve(struct pg_pool *pool, struct pg_conn *conn) {
    struct order_key *key;
    if (!order_conn_takes(conn) || list_empty(&conn->order.waiting))
        return;
    pg_placement_take_at(&pool->placement, conn);
    while (order_conn_takes(conn) && (key = order_place_next(&conn->order)))
        order_serve_key(conn, key);
    pg_placement_gave(&pool->placement, conn);
}

/* Keys of which nothing is out leave a connection that will not take their queries. */
static void order_leave(struct pg_conn *conn) {
    struct order_key *key;
    while ((key = order_place_next(&conn->order))) {
        if (order_key_is_out(key))
            continue; /* pg_order_settle() has it wait again */
        queue_unpark(key, order_now_ns(conn));
        order_key_leave(key);
    }
}

void pg_order_admit_parked(struct pg_pool *pool) {
    struct list todo, *node;
    list_init(&todo);
    list_append_all(&todo, &pool->ordered);
    while ((node = list_pop_front(&todo))) {
        struct pg_conn *conn = order_conn(list_entry(node, struct order_place, link));
        if (pg_conn_is_up(conn) && !order_conn_serves(conn))
            order_leave(conn);
        else
            order_serve(pool, conn);
        if (!list_empty(&conn->order.waiting) && pg_placement_is_crowded(conn))
            order_look(pool, conn);
    }
}

/* ---- Sync points ---- */

void pg_order_settle(struct pg_pool *pool, struct pg_conn *conn) {
    struct order_key *key;
    while ((key = order_place_settled(&conn->order, conn->settled))) {
        if (list_empty(&key->parked))
            order_key_leave(key);
        else
            order_key_wait(key);
    }
    if (!list_empty(&conn->order.waiting))
        order_look(pool, conn);
}
