/* SPDX-License-Identifier: MIT */
#include "pg/lease.h"

#include "pg/health.h"
#include "pg/tx.h"

static const uint64_t OUTRUN_NS = 10000000; /* until the first in line for room is not passed by any more */

void pg_lease_init(struct pg_pool *pool) {
    list_init(&pool->leases.waiting);
    list_init(&pool->leases.whole);
}

static uint32_t lease_limit(const struct pg_pool *pool) {
    const quring_db_options *options = &pool->db->options;
    uint32_t count = options->connection_count, limit = options->lease_count;
    if (!limit)
        limit = count - count / 4;
    return limit < count ? limit : count;
}

/* ---- Places ---- */

static struct pg_conn *lease_first(struct pg_pool *pool) {
    if (pool->db->options.health_check_ns)
        pg_health_check(&pool->placement, pool->db->queue.waiting_count);
    return pg_placement_first(&pool->placement);
}

static struct quring_tx *lease_of(const struct list *node) {
    return list_entry(node, struct queue, ready)->tx;
}

/* The one that stands first in a line; NULL: none does. */
static struct quring_tx *lease_head(const struct list *line) {
    const struct list *node = list_first(line);
    return node ? lease_of(node) : NULL;
}

/* 0: no turn has looked at it yet. */
static uint64_t lease_waits_since_ns(const struct quring_tx *tx) {
    return ((const struct pg_tx *)tx->backend)->since_ns;
}

/*
 * A unit needs room for all of it on one connection, which there never was if those that came later shared what becomes free.
 * Shared queries behind it wait, too. The first in their queue stands for it: that came no later.
 */
static bool lease_is_behind_unit(const struct pg_pool *pool, const struct quring_tx *tx) {
    const struct queue *others = &pool->db->queue;
    if (base_likely(!others->unit_waiting_count) || !others->waiting_count)
        return false;
    uint64_t since_ns = lease_waits_since_ns(tx), unit_ns = queue_first(others)->left_ns;
    return unit_ns && (!since_ns || unit_ns < since_ns);
}

/* False: none has room for all of it, or a unit that came before it waits for room. */
static bool lease_share(struct pg_pool *pool, struct quring_tx *tx) {
    if (lease_is_behind_unit(pool, tx))
        return false;
    struct pg_conn *conn = lease_first(pool);
    if (!conn || !pg_placement_fits(conn, pg_tx_request_count(tx)))
        return false;
    pg_placement_take_at(&pool->placement, conn);
    conn->settings_changed = false; /* as other queries do, it takes the connection as it is */
    pg_tx_place(tx, conn);
    pg_tx_serve(tx);
    if (conn->state == PG_CONN_READY)
        pg_placement_changed(&pool->placement, conn);
    pg_placement_begin(&pool->placement);
    return true;
}

struct pg_conn *pg_lease_hold(struct pg_pool *pool, struct quring_tx *tx) {
    struct pg_conn *conn = lease_first(pool);
    if (!conn)
        return NULL;
    pg_placement_take_at(&pool->placement, conn);
    conn->tx = tx;
    conn->settings_changed = false;
    pool->leases.count++;
    return conn;
}

static bool lease_may_hold(const struct pg_pool *pool) {
    return pool->leases.count - (pool->leases.apart != NULL) < lease_limit(pool);
}

/*
 * False: none is free, or as many as may be are held. One of those that were outrun holds one apart from these: it is whole, and so
 * gives it back soon.
 */
static bool lease_take(struct pg_pool *pool, struct quring_tx *tx, bool outrun) {
    bool apart = !lease_may_hold(pool);
    if (apart && (!outrun || pool->leases.apart))
        return false;
    struct pg_conn *conn = pg_lease_hold(pool, tx);
    if (!conn)
        return false;
    if (apart)
        pool->leases.apart = conn;
    pg_tx_place(tx, conn);
    pg_tx_serve(tx);
    return true;
}

/*
 * A line is in the order in which those in it began to wait, whatever place one has had and lost since. `young`: it belongs to the
 * end, as most of those that become whole do, and new ones. Others belong to the front, and those that a loss brings back come in
 * their order, the last one first.
 */
static void lease_park(struct pg_pool *pool, struct quring_tx *tx, struct list *line, bool young) {
    uint64_t now_ns = ring_now_ns(pg_pool_ring(pool)) | 1, *since_ns = &pg_tx_of(tx)->since_ns;
    struct list *before = young ? line : line->next;
    if (!*since_ns)
        *since_ns = now_ns;
    if (young)
        while (before->prev != line && lease_waits_since_ns(lease_of(before->prev)) > *since_ns)
            before = before->prev;
    else
        while (before != line && lease_waits_since_ns(lease_of(before)) < *since_ns)
            before = before->next;
    queue_set_aside(&tx->queue, before, now_ns);
}

static bool lease_is_whole(const struct pg_pool *pool, const struct quring_tx *tx) {
    return pg_tx_is_whole(tx, pool->db->options.depth);
}

/* Those that came before it have their turn first. */
static void lease_place(struct pg_pool *pool, struct quring_tx *tx) {
    bool whole = lease_is_whole(pool, tx);
    struct list *line = whole ? &pool->leases.whole : &pool->leases.waiting;
    const struct quring_tx *head = lease_head(line);
    uint64_t since_ns = lease_waits_since_ns(tx);
    bool has_turn = !head || (since_ns && since_ns <= lease_waits_since_ns(head));
    if (!has_turn || !(whole ? lease_share(pool, tx) : lease_take(pool, tx, false)))
        lease_park(pool, tx, line, !since_ns);
}

/* ---- Admission ---- */

/* True: nothing of it is to be sent. It ends if nothing more is to come. */
static bool lease_has_nothing(struct quring_tx *tx) {
    if (tx_next(tx))
        return false;
    if (tx->state == TX_WAITING && tx_is_doomed(tx))
        tx_end(tx);
    return true;
}

void pg_lease_admit(struct pg_pool *pool, struct quring_tx *tx) {
    if (pg_tx_of(tx)->conn) {
        pg_tx_serve(tx);
    } else if (!lease_has_nothing(tx)) {
        pg_placement_begin(&pool->placement);
        lease_place(pool, tx);
    }
}

void pg_lease_changed(struct quring_tx *tx) {
    if (pg_tx_of(tx)->conn)
        pg_tx_serve(tx);
    else
        (void)lease_has_nothing(tx);
}

/*
 * Queries of others take each place as it becomes free, so that there is never room for all of a long one. It gets a connection
 * for itself then, which takes no others meanwhile, unless one that came before it waits for that, and may have it, or a unit that
 * came before it waits for room.
 */
static bool lease_is_outrun(const struct pg_pool *pool, const struct quring_tx *tx) {
    if (lease_is_behind_unit(pool, tx))
        return false;
    const struct queue *others = &pool->db->queue;
    const struct quring_tx *rival = lease_head(&pool->leases.waiting);
    uint64_t now_ns = ring_now_ns(pg_pool_ring(pool)), since_ns = lease_waits_since_ns(tx);
    bool has_turn = !rival || !lease_may_hold(pool) || lease_waits_since_ns(rival) >= since_ns;
    return has_turn && (others->waiting_count || others->parked_count) && now_ns > since_ns + OUTRUN_NS;
}

static bool lease_place_first(struct pg_pool *pool, struct quring_tx *tx, const struct list *line) {
    if (line == &pool->leases.waiting)
        return lease_take(pool, tx, false);
    return lease_share(pool, tx) || (lease_is_outrun(pool, tx) && lease_take(pool, tx, true));
}

/* The first in line may have ceased to be whole, or have nothing left that is to be sent. */
static bool lease_admit_first(struct pg_pool *pool, struct list *line, uint64_t before_ns) {
    struct quring_tx *tx = lease_head(line);
    if (!tx || lease_waits_since_ns(tx) >= before_ns)
        return false;
    queue_bring_back(&tx->queue);
    if (lease_has_nothing(tx))
        return true;
    if (line == &pool->leases.whole && !lease_is_whole(pool, tx)) {
        lease_park(pool, tx, &pool->leases.waiting, false);
        return true;
    }
    bool placed = lease_place_first(pool, tx, line);
    if (!placed)
        lease_park(pool, tx, line, false);
    return placed;
}

/* Of the first ones of both lines the one that has waited for longer, or else the other. False: neither left its line. */
static bool lease_admit_one(struct pg_pool *pool, uint64_t before_ns) {
    struct list *whole = &pool->leases.whole, *waiting = &pool->leases.waiting;
    const struct quring_tx *a = lease_head(whole), *b = lease_head(waiting);
    bool whole_first = !b || (a && lease_waits_since_ns(a) <= lease_waits_since_ns(b));
    return lease_admit_first(pool, whole_first ? whole : waiting, before_ns) ||
           lease_admit_first(pool, whole_first ? waiting : whole, before_ns);
}

void pg_lease_admit_parked(struct pg_pool *pool, uint64_t before_ns) {
    if (base_likely(!pg_lease_has_parked(pool)))
        return;
    pg_placement_begin(&pool->placement);
    while (lease_admit_one(pool, before_ns))
        ;
}

void pg_lease_joined(struct pg_pool *pool) {
    list_for_each(node, &pool->db->joined) {
        struct quring_tx *tx = list_entry(node, struct queue, joined)->tx;
        if (!lease_waits_since_ns(tx) || pg_tx_of(tx)->conn || !tx->queue.waiting_count || !lease_is_whole(pool, tx))
            continue;
        queue_bring_back(&tx->queue);
        lease_park(pool, tx, &pool->leases.whole, true);
    }
}

void pg_lease_freed(struct pg_conn *conn) {
    struct pg_pool *pool = pg_pool_of(conn);
    PRE(pool->leases.count > 0 && !conn->tx);
    pool->leases.count--;
    if (pool->leases.apart == conn)
        pool->leases.apart = NULL;
    if (conn->state == PG_CONN_READY)
        pg_placement_changed(&pool->placement, conn);
    db_due(pool->db);
}

void pg_lease_fail_waiting(struct pg_pool *pool, const char *sqlstate, const char *message) {
    list_for_each_safe(node, &pool->db->txs) {
        struct quring_tx *tx = list_entry(node, struct quring_tx, link);
        if (tx->state != TX_WAITING || pg_tx_of(tx)->conn)
            continue;
        queue_fail(&tx->queue, QURING_NOT_SENT, sqlstate, message);
        if (tx_is_doomed(tx))
            tx_end(tx);
    }
}
