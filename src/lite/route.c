/* SPDX-License-Identifier: MIT */
#include "lite/route.h"

#include "lite/lanes.h"
#include "lite/tx.h"

void lite_finish(struct query *query) {
    quring_status abandoned =
        (quring_status)atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    if (base_unlikely(abandoned))
        lite_finish_abandoned(query, abandoned);
    else
        query_finish(query, (quring_status)query->status);
}

static uint8_t route_of(const struct lite_db *lite, struct quring_statement *statement) {
    if (base_unlikely(!statement->route))
        statement->route = lite_text_route(statement->sql, statement->length);
    uint8_t route = statement->route;
    if (lite->only_writer && route & LITE_TO_READER)
        route = LITE_TO_WRITER | LITE_READS;
    return route;
}

/* All members of a unit go to one lane, and most units write. */
static uint8_t route_unit(struct query *query, uint8_t route) {
    PRE(!query->batch || query->commit == QURING_COMMIT_GROUP); /* by that its lane knows it */
    return route & (LITE_TO_READER | LITE_READS) ? LITE_TO_WRITER | LITE_READS : LITE_TO_WRITER;
}

static uint32_t route_longest_unit(const struct lite_chain *chain) {
    uint32_t most = 1, count = 0;
    for (struct query *query = chain->first; query; query = lite_query(query)->next) {
        count = query->in_unit ? count + 1 : 0;
        most = count > most ? count : most;
        if (!query->unit_goes_on)
            count = 0;
    }
    return most;
}

/* False: there is no memory for all members of the units of a chain, so that a part of one could be all that goes to a lane. */
static __attribute__((noinline)) bool route_reserve_units(struct lane_queue *queue, const struct lite_chain *chain) {
    uint32_t most = route_longest_unit(chain);
    lane_queue_lock(queue);
    bool ok = !chain->count || (lane_queue_reserve(queue, chain->count) && lane_queue_reserve_unit(queue, most));
    lane_queue_unlock(queue);
    return ok;
}

static void route_refuse(struct lite_db *lite, struct query *query) {
    for (struct query *next; query; query = next) {
        next = lite_query(query)->next;
        ++*lite_count_of(lite, query);
        lite_left(lite, query);
        query_fail(query, QURING_NOT_SENT, "53200", "out of memory");
    }
}

/* Puts a chain into one lane queue, under one lock. */
static void route_enqueue(struct lite_db *lite, struct lane_queue *queue, struct lite_chain *chain) {
    if (!chain->count)
        return;
    uint64_t now_ns = lite_now_ns();
    struct query *query, *next;
    lane_queue_lock(queue);
    for (query = chain->first; query && lane_queue_put(queue, query); query = next) {
        next = lite_query(query)->next;
        lite_query(query)->since_ns = now_ns;
        ++*lite_count_of(lite, query);
    }
    lane_queue_unlock(queue);
    route_refuse(lite, query);
}

static inline void route_admit(struct lite_db *lite, struct lite_chain *to, struct query *query, uint8_t route) {
    lite_query(query)->route = route;
    atomic_store_explicit(&lite_query(query)->abandoned_as, 0, memory_order_relaxed);
    lite_chain_add(to, query);
    if (base_unlikely(query->key != NULL))
        lite_order_began(lite, query);
}

/* Those that had to wait for reads of their keys. */
static __attribute__((cold, noinline)) void route_admit_parked(struct lite_db *lite, struct lite_chain *reads,
                                                               struct lite_chain *writes) {
    struct order_key *key;
    while ((key = order_place_next(&lite->order))) {
        struct query *query;
        while ((query = queue_first_parked(key))) {
            uint8_t route = route_of(lite, query->statement);
            if (!lite_order_may_run(key, &route))
                break;
            route_admit(lite, route & LITE_TO_READER ? reads : writes, queue_take_parked(key), route);
        }
        lite_order_looked(key);
    }
}

/* True: the query, which has a key, has to wait for reads of that, or is behind one that has to. */
static __attribute__((cold, noinline)) bool route_parks(struct lite_db *lite, struct query *query, uint8_t *route) {
    if (list_empty(&query->key->parked) && lite_order_may_run(query->key, route))
        return false;
    queue_park(query, ring_now_ns(lite->base.hub->ring) | 1);
    return true;
}

void lite_admit(struct lite_db *lite) {
    struct lite_chain reads, writes;
    lite_chain_init(&reads);
    lite_chain_init(&writes);
    if (base_unlikely(!list_empty(&lite->order.waiting)))
        route_admit_parked(lite, &reads, &writes);
    bool units = lite->base.queue.unit_waiting_count != 0;
    struct query *query;
    list_for_each_safe(node, &lite->base.ready)
        if (list_entry(node, struct queue, ready)->tx)
            lite_tx_serve(list_entry(node, struct queue, ready)->tx);
    while ((query = queue_first(&lite->base.queue))) {
        uint8_t route = route_of(lite, query->statement);
        if (base_unlikely(query->key != NULL) && route_parks(lite, query, &route))
            continue;
        if (base_unlikely(query->in_unit))
            route = route_unit(query, route);
        route_admit(lite, route & LITE_TO_READER ? &reads : &writes, queue_take(&lite->base.queue), route);
    }
    route_enqueue(lite, &lite->reads, &reads);
    if (base_unlikely(units) && !route_reserve_units(&lite->writes, &writes))
        route_refuse(lite, writes.first);
    else
        route_enqueue(lite, &lite->writes, &writes);
}

void lite_move_to_writer(struct lite_db *lite, struct query *query) {
    lite->reads_count--;
    if (base_unlikely(query->key != NULL))
        lite_order_moved(query);
    struct quring_statement *statement = query->statement;
    statement->route = LITE_TO_WRITER | (lite_text_route(statement->sql, statement->length) & LITE_ALONE);
    lite_query(query)->route = statement->route;
    if (atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed)) {
        if (query->key)
            lite_order_ended(query);
        lite_finish(query);
        return;
    }
    struct lite_chain chain;
    lite_chain_init(&chain);
    lite_chain_add(&chain, query);
    route_enqueue(lite, &lite->writes, &chain);
}
