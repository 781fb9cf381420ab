/* SPDX-License-Identifier: MIT */
#include "pg/placement.h"

#include "pg/request.h"

enum {
    BACKLOG_BYTES = 4 << 20, /* a connection takes no more queries while it has more than this to send */
    INDEX_BITS = 14          /* of connections: there are at most 10,000 */
};

enum { COST_SLOW = 1 << 16 }; /* above any number of requests */

/* A request is slow past SLOW_NS, and past SLOW_TIMES the usual time, so that long queries among their like are not. */
static const uint64_t SLOW_NS = 5000000, SLOW_TIMES = 8;

/* Taken for usual until answers tell: some 70 quick ones make it forgotten, and 400 ms are not slow before. */
static const uint64_t FIRST_USUAL_NS = 50000000;

static struct pg_conn *placement_conn(struct heap_node *node) {
    return base_container_of(node, struct pg_conn, place.node);
}

static uint64_t placement_now_ns(const struct pg_conn *conn) {
    return ring_now_ns(pg_conn_ring(conn));
}

static uint32_t placement_load(const struct pg_conn *conn) {
    return (uint32_t)(conn->session.next - conn->settled);
}

/* ---- Cost ---- */

bool pg_placement_is_crowded(const struct pg_conn *conn) {
    return socket_backlog_bytes(&conn->socket) + buf_size(&conn->plain_out) > BACKLOG_BYTES;
}

bool pg_placement_has_room(const struct pg_conn *conn) {
    return conn->state == PG_CONN_READY && placement_load(conn) < conn->depth && !pg_placement_is_crowded(conn);
}

bool pg_placement_has_room_for(const struct pg_conn *conn, uint32_t request_count) {
    PRE(request_count);
    return pg_placement_has_room(conn) && request_count <= conn->depth - placement_load(conn);
}

bool pg_placement_fits(const struct pg_conn *conn, uint32_t count) {
    return (uint64_t)placement_load(conn) + count <= conn->depth && !pg_placement_is_crowded(conn);
}

bool pg_placement_is_slow(const struct pg_placement *placement, const struct pg_conn *conn) {
    uint64_t taken_ns = placement_now_ns(conn) - conn->place.progress_ns;
    return taken_ns > SLOW_NS && taken_ns / SLOW_TIMES > placement->usual_ns;
}

static uint32_t placement_cost(const struct pg_placement *placement, const struct pg_conn *conn) {
    uint32_t load = placement_load(conn);
    return base_unlikely(pg_placement_is_slow(placement, conn)) ? load | COST_SLOW : load;
}

static uint32_t placement_cost_of_key(uint64_t key) {
    return (uint32_t)(key >> INDEX_BITS);
}

/* Those of one cost take their turns by index. */
static uint64_t placement_key(const struct pg_placement *placement, const struct pg_conn *conn) {
    return (uint64_t)placement_cost(placement, conn) << INDEX_BITS | conn->place.index;
}

/* ---- Where connections stand ---- */

void pg_placement_init(struct pg_placement *placement, uint32_t depth) {
    PRE(depth < COST_SLOW);
    *placement = (struct pg_placement){.depth = depth, .usual_ns = FIRST_USUAL_NS};
    list_init(&placement->idle);
    list_init(&placement->aside);
    list_init(&placement->changed);
    list_init(&placement->given);
}

bool pg_placement_reserve(struct pg_placement *placement, uint32_t conn_count) {
    PRE(conn_count <= 1u << INDEX_BITS);
    return heap_reserve(&placement->busy, conn_count);
}

void pg_placement_free(struct pg_placement *placement) {
    heap_free(&placement->busy);
}

static void placement_remove_idle(struct pg_placement *placement, struct pg_conn *conn) {
    list_remove(&conn->place.idle);
    placement->idle_count--;
}

static void placement_remove(struct pg_placement *placement, struct pg_conn *conn) {
    heap_remove(&placement->busy, &conn->place.node);
    if (!list_empty(&conn->place.idle))
        placement_remove_idle(placement, conn);
}

static void placement_no_longer_asked(struct pg_placement *placement, struct pg_conn *conn) {
    placement->asked_count -= conn->place.asked;
    conn->place.asked = false;
}

/* An answer to a question is no use: those that are used stay the same, so that others can be ended for being idle. */
static void placement_put_idle(struct pg_placement *placement, struct pg_conn *conn) {
    if (base_unlikely(conn->place.asked))
        list_push_back(&placement->idle, &conn->place.idle);
    else
        list_push_front(&placement->idle, &conn->place.idle);
    placement_no_longer_asked(placement, conn);
    placement->idle_count++;
}

/* A cancel may hit what is given to it, or could not be asked for because of that. */
static __attribute__((cold, noinline)) bool placement_is_barred(const struct pg_conn *conn) {
    return pg_conn_is_cancelling(conn) || pg_conn_is_held_up_by_tx(conn);
}

static void placement_put(struct pg_placement *placement, struct pg_conn *conn) {
    placement_remove(placement, conn);
    if (pg_placement_has_room(conn) && !conn->tx && !pg_conn_is_held_up(conn) &&
        (base_likely(conn->cancel.state == PG_CANCEL_NONE) || !placement_is_barred(conn))) {
        if (placement_load(conn) == 0)
            placement_put_idle(placement, conn);
        else
            (void)heap_push(&placement->busy, &conn->place.node, placement_key(placement, conn)); /* reserved for all */
    } else if (conn->state == PG_CONN_READY && pg_placement_is_crowded(conn)) {
        pg_placement_changed(placement, conn); /* no answer need come for it to have room again */
    }
}

/* Only what is there at first: crowded connections put themselves on the list again. */
void pg_placement_begin(struct pg_placement *placement) {
    struct list *last = placement->changed.prev, *node;
    while ((node = list_pop_front(&placement->changed))) {
        placement_put(placement, list_entry(node, struct pg_conn, place.changed));
        if (node == last)
            break;
    }
}

void pg_placement_lost(struct pg_placement *placement, struct pg_conn *conn) {
    placement_remove(placement, conn);
    placement_no_longer_asked(placement, conn);
    list_remove(&conn->place.changed);
    list_remove(&conn->place.given);
}

/* One query that takes long must not make all of its like usual, so it counts as a few times what was usual before. */
void pg_placement_progressed(struct pg_placement *placement, struct pg_conn *conn) {
    uint64_t now_ns = placement_now_ns(conn), took_ns = now_ns - conn->place.progress_ns;
    uint64_t most_ns = 4 * placement->usual_ns + SLOW_NS / 8;
    int64_t change = (int64_t)(took_ns < most_ns ? took_ns : most_ns) - (int64_t)placement->usual_ns;
    placement->usual_ns = (uint64_t)((int64_t)placement->usual_ns + change / 16);
    conn->place.progress_ns = now_ns;
    pg_placement_changed(placement, conn);
}

/* ---- Choice ---- */

/* The first of the heap, whose key is put right as long as time has made the first one worse. */
static inline struct pg_conn *placement_best(struct pg_placement *placement) {
    struct heap_node *first;
    while ((first = heap_first(&placement->busy))) {
        struct pg_conn *conn = placement_conn(first);
        if (base_likely(placement_key(placement, conn) == first->key))
            return conn;
        placement_put(placement, conn);
    }
    return NULL;
}

/* What a query would cost at least; `none` where no connection takes any. */
static inline uint32_t placement_least_cost(const struct pg_placement *placement, uint32_t none) {
    const struct heap_node *first = heap_first(&placement->busy);
    if (!list_empty(&placement->idle))
        return 0;
    return first ? placement_cost_of_key(first->key) : none;
}

struct pg_conn *pg_placement_idle(const struct pg_placement *placement) {
    struct list *first = list_first(&placement->idle);
    return first ? list_entry(first, struct pg_conn, place.idle) : NULL;
}

struct pg_conn *pg_placement_take(struct pg_placement *placement, uint32_t waiting_count, uint32_t *count) {
    PRE(waiting_count > 0);
    uint32_t open_count = (uint32_t)placement->busy.count, cost = 0;
    struct pg_conn *conn = pg_placement_idle(placement);
    if (conn) {
        open_count += placement->idle_count;
        placement_remove_idle(placement, conn);
        conn->place.progress_ns = placement_now_ns(conn);
    } else if ((conn = placement_best(placement))) {
        cost = placement_cost_of_key(conn->place.node.key);
        heap_remove(&placement->busy, &conn->place.node);
    } else {
        return NULL;
    }
    uint32_t second = placement_least_cost(placement, cost + placement->depth),
             share = waiting_count / (2 * open_count);
    *count = second > cost ? second - cost : 1;
    if (*count < share)
        *count = share;
    return conn;
}

void pg_placement_take_at(struct pg_placement *placement, struct pg_conn *conn) {
    PRE(pg_placement_has_room(conn));
    placement_remove(placement, conn);
    if (placement_load(conn) == 0)
        conn->place.progress_ns = placement_now_ns(conn);
}

struct pg_conn *pg_placement_take_unit(struct pg_placement *placement, uint32_t request_count) {
    PRE(request_count && request_count <= placement->depth);
    struct pg_conn *conn = pg_placement_idle(placement);
    if (!conn)
        conn = placement_best(placement);
    if (!conn || !pg_placement_has_room_for(conn, request_count))
        return NULL;
    pg_placement_take_at(placement, conn);
    return conn;
}

void pg_placement_gave(struct pg_placement *placement, struct pg_conn *conn) {
    if (conn->state != PG_CONN_READY)
        return; /* it broke while it took them, and was told to be lost */
    placement_put(placement, conn);
    if (list_empty(&conn->place.given))
        list_push_back(&placement->given, &conn->place.given);
}

struct pg_conn *pg_placement_first(struct pg_placement *placement) {
    struct pg_conn *conn = pg_placement_idle(placement);
    return conn ? conn : placement_best(placement);
}

void pg_placement_put_aside(struct pg_placement *placement) {
    list_append_all(&placement->idle, &placement->aside);
    list_append_all(&placement->aside, &placement->idle);
}

void pg_placement_take_out(struct pg_placement *placement, struct pg_conn *conn) {
    PRE(!list_empty(&conn->place.idle));
    placement_remove_idle(placement, conn);
    placement->asked_count++;
    conn->place.asked = true;
}

struct pg_conn *pg_placement_ask(struct pg_placement *placement) {
    struct list *first = list_first(&placement->aside);
    if (!first)
        return NULL;
    struct pg_conn *conn = list_entry(first, struct pg_conn, place.idle);
    pg_placement_take_out(placement, conn);
    return conn;
}

struct pg_conn *pg_placement_next_given(struct pg_placement *placement) {
    struct list *node = list_pop_front(&placement->given);
    return node ? list_entry(node, struct pg_conn, place.given) : NULL;
}
