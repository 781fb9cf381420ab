/* SPDX-License-Identifier: MIT */
#include "lite/lanes.h"

#include "core/detach.h"
#include "core/tx.h"

#include <stdlib.h>

enum { APART_COUNT = 8 };

/* Each further lane is woken for this much queued work: less would be done before its thread had begun. */
static const uint64_t WAKE_NS = 50000;

/* From one look at reads that wait to the next. */
static const uint64_t RELIEF_NS = 1000000;

/* From one interrupt of a statement that was given up to the next. */
static const uint64_t INTERRUPT_NS = 5000000;

/* ---- Making ---- */

void lite_free_lanes(struct lite_db *lite) {
    for (uint32_t i = 0; i < lite->made_count; i++) {
        if (lite->lanes[i].thread)
            worker_close(lite->lanes[i].thread);
        lite_lane_free(&lite->lanes[i]);
    }
    free(lite->lanes);
}

/* 0 or a QURING_E*; the lane counts as made either way. */
static int lanes_add(struct lite_db *lite, enum lite_role role, bool apart) {
    struct lite_lane *lane = &lite->lanes[lite->made_count++];
    if (!lite_lane_init(lane, lite, role, apart, lite->events))
        return QURING_ENOMEM;
    lane->conn.number = lite->made_count;
    lane->conn.trace = lite->base.hub->trace;
    return worker_open(lite->base.hub->ring, role == LITE_READER ? "quring-read" : "quring-write", &lane->thread);
}

uint32_t lite_apart_limit(const struct lite_db *lite) {
    uint32_t limit = lite->base.options.lease_count ? lite->base.options.lease_count : APART_COUNT;
    return lite->only_writer ? 0 : limit < LITE_APART_MAX ? limit : LITE_APART_MAX;
}

struct lite_lane *lite_add_lane_apart(struct lite_db *lite) {
    PRE(lite->made_count - lite->lane_count < lite_apart_limit(lite));
    if (lanes_add(lite, LITE_READER, true) == 0)
        return &lite->lanes[lite->made_count - 1];
    lite_lane_free(&lite->lanes[--lite->made_count]);
    return NULL;
}

int lite_open_lanes(struct lite_db *lite) {
    const quring_db_options *options = &lite->base.options;
    bool alone = options->exclusive || !lite->url.path;
    uint32_t count = alone ? 1 : 1 + options->connection_count;
    lite->only_writer = alone;
    lite->lane_count = count;
    lite->lanes = calloc(count + lite_apart_limit(lite), sizeof *lite->lanes);
    if (!lite->lanes)
        return QURING_ENOMEM;
    if (options->exclusive)
        lite->base.queue.bound = &lite->lanes[0];
    for (uint32_t i = 0; i < count; i++) {
        enum lite_role role = lite->base.queue.bound ? LITE_EXCLUSIVE : i == 0 ? LITE_WRITER : LITE_READER;
        int error = lanes_add(lite, role, false);
        if (error == QURING_ENOMEM)
            return error;
        if (error)
            return hub_error(lite->base.hub, error, "no thread for an SQLite lane could be started");
    }
    return 0;
}

/* ---- Waking ---- */

bool lite_wake(struct lane_queue *queue, struct lite_lane *lanes, uint32_t count, uint64_t query_ns,
               uint32_t at_least) {
    struct lite_post *posts[LITE_LANES_MAX];
    uint32_t post_count = 0, working = 0;
    lane_queue_lock(queue);
    uint64_t queued = lane_queue_count(queue);
    uint64_t wanted = lane_queue_barred(queue) ? 0 : queued ? 1 + queued * query_ns / WAKE_NS : at_least;
    for (uint32_t i = 0; i < count; i++)
        working += lanes[i].queue == queue && lite_lane_attends(&lanes[i]);
    for (uint32_t i = 0; i < count && working < wanted; i++) {
        struct lite_post *post = lanes[i].queue == queue ? lite_lane_call(&lanes[i]) : NULL;
        if (!post)
            continue;
        posts[post_count++] = post;
        working++;
    }
    lane_queue_unlock(queue);
    for (uint32_t i = 0; i < post_count; i++)
        lite_lane_post(posts[i]);
    return wanted > 0 && queued > post_count && working < count; /* a lane that was called takes one at least */
}

static void lanes_look_later(struct lite_db *lite) {
    struct ring *ring = lite->base.hub->ring;
    (void)timer_set(ring, &lite->relief.timer, ring_now_ns(ring) + RELIEF_NS);
}

static void lanes_relieve(struct timer *timer) {
    struct lite_db *lite = base_container_of(timer, struct lite_db, relief.timer);
    struct lane_queue *reads = &lite->reads;
    struct lite_post *post = NULL;
    lane_queue_lock(reads);
    bool waits = lite->state == LITE_OPEN && lane_queue_count(reads) > 0 && !lane_queue_barred(reads);
    bool stands = waits && lite->relief.looked && lite->relief.head == reads->head;
    for (uint32_t i = 1; i < lite->lane_count && stands && !post; i++)
        post = lite_lane_call(&lite->lanes[i]);
    lite->relief.looked = true;
    lite->relief.head = reads->head;
    lane_queue_unlock(reads);
    if (post)
        lite_lane_post(post);
    if (waits && (post || !stands)) /* else no lane is idle, and the next that is comes by lite_wake() */
        lanes_look_later(lite);
}

void lite_relieve_later(struct lite_db *lite) {
    if (heap_contains(&lite->relief.timer.node))
        return;
    lite->relief.timer.fire = lanes_relieve;
    lite->relief.looked = false;
    lanes_look_later(lite);
}

/* What was given up stays in the lane's hands, which hands it back. */
static uint32_t lanes_put_back(struct lite_lane *lane) {
    uint32_t before = lane->queue->held_count;
    for (uint32_t i = lane->own.taken_count; i-- > lane->own.next;) {
        struct query *query = lane->own.taken[i];
        if (!query || atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed))
            continue;
        lane_queue_give_back(lane->queue, &query, 1);
        lane->own.taken[i] = NULL;
    }
    lane->shared.held_count -= before - lane->queue->held_count;
    return before - lane->queue->held_count;
}

bool lite_lane_take_back(struct lite_lane *lane, struct query *at_work) {
    PRE(lane->queue == &lane->db->reads);
    uint32_t count = 0;
    if (!lite_conn_hold(&lane->conn, at_work))
        return false;
    lane_queue_lock(lane->queue);
    if (lite_lane_holds(lane) && !lane->own.tx.runs)
        count = lanes_put_back(lane);
    lane_queue_unlock(lane->queue);
    lite_conn_let_go(&lane->conn);
    return count > 0;
}

void lite_take_back_behind(struct lite_db *lite, struct query *query) {
    bool any = false;
    for (uint32_t i = 1; i < lite->lane_count && lite->lane_count > 2; i++)
        any |= lite_lane_take_back(&lite->lanes[i], query);
    if (any)
        lite_relieve_later(lite);
}

void lite_call_writer(struct lite_db *lite, enum lite_chore chore) {
    struct lite_lane *lane = &lite->lanes[0];
    struct lite_post *post = NULL;
    lane_queue_lock(&lite->writes);
    if (lane->queue == &lite->writes && (chore != LITE_RESTARTS_LOG || atomic_load(&lite->wal.drained)))
        post = lite_lane_call(lane);
    lane_queue_unlock(&lite->writes);
    if (!post)
        return;
    lane->handed.chores |= (uint8_t)chore;
    lite_lane_post(post);
}

/* ---- Ending queries ---- */

const char *lite_why_closed(const struct quring_db *db) {
    return db->closing ? "the database handle was closed" : "the engine was shut down";
}

void lite_say_abandoned(struct query *query, quring_status status) {
    if (status == QURING_TIMEOUT)
        error_set(&query->error, "57014", "its timeout passed", NULL, NULL, 0);
    else if (status == QURING_CANCELLED)
        error_set(&query->error, "57014", "cancelled", NULL, NULL, 0);
    else
        error_set(&query->error, "57P01", lite_why_closed(query->queue->db), NULL, NULL, 0);
}

void lite_finish_abandoned(struct query *query, quring_status status) {
    lite_say_abandoned(query, status);
    query_finish(query, status);
}

void lite_mark_abandoned(struct query *query, quring_status status) {
    PRE(status != QURING_OK);
    if (!atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed))
        atomic_store(&lite_query(query)->abandoned_as, (unsigned char)status); /* before it is looked who is at it */
}

/* The query at work on the one lane of that queue; NULL: none is known. */
static struct query *lanes_at_work(struct lite_db *lite, const struct lane_queue *queue) {
    struct query *query = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < lite->made_count; i++)
        if (lite->lanes[i].queue == queue && count++ == 0)
            query = lite_conn_at_work(&lite->lanes[i].conn);
    return count == 1 ? query : NULL;
}

/*
 * A lane works in the order of its queue, and begins nothing that was given up before. So what stands behind the query at work
 * is not begun, or was undone, and has no effect. The pointers are compared, and followed, while neither query can have ended:
 * only this thread ends them.
 */
static bool lanes_may_have_begun(struct lite_db *lite, struct lane_queue *queue, struct query *query) {
    struct query *at_work = lanes_at_work(lite, queue);
    if (!at_work || at_work == query)
        return true;
    lane_queue_lock(queue);
    bool behind = (int32_t)(lite_query(query)->position - lite_query(at_work)->position) > 0;
    lane_queue_unlock(queue);
    return !behind;
}

void lite_detach_with(struct lite_db *lite, struct lane_queue *queue, struct query *query, struct query *stand_in) {
    quring_status status = (quring_status)atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    PRE(status != QURING_OK);
    if (status == QURING_SKIPPED) { /* what it has done is rolled back */
        tx_say_skipped(query->queue->tx, stand_in);
    } else {
        lite_say_abandoned(stand_in, status);
        stand_in->sent = lanes_may_have_begun(lite, queue, query);
    }
    query_detach(query, stand_in, status);
}

static void lanes_interrupt_later(struct lite_db *lite) {
    struct ring *ring = lite->base.hub->ring;
    (void)timer_set(ring, &lite->interrupt, ring_now_ns(ring) + INTERRUPT_NS);
}

static void lanes_interrupt_again(struct timer *timer) {
    struct lite_db *lite = base_container_of(timer, struct lite_db, interrupt);
    bool at_work = false;
    for (uint32_t i = 0; i < lite->made_count; i++)
        at_work |= lite_conn_interrupt_abandoned(&lite->lanes[i].conn);
    if (at_work)
        lanes_interrupt_later(lite);
}

void lite_interrupt(struct lite_db *lite, const struct lane_queue *queue, struct query *query) {
    bool at_work = false;
    for (uint32_t i = 0; i < lite->made_count; i++) {
        if (lite->lanes[i].queue != queue)
            continue;
        atomic_store_explicit(&lite->lanes[i].shared.may_hold_abandoned, true, memory_order_release);
        at_work |= lite_conn_interrupt(&lite->lanes[i].conn, query);
    }
    lite->interrupt.fire = lanes_interrupt_again;
    if (at_work)
        lanes_interrupt_later(lite);
}
