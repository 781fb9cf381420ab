/* SPDX-License-Identifier: MIT */
#include "lite/tx.h"

#include "core/detach.h"
#include "lite/lanes.h"
#include "lite/snapshots.h"

static struct list *tx_last_out(struct lite_tx *lt) {
    return list_empty(&lt->out) ? NULL : lt->out.prev;
}

static struct lite_db *tx_db(const struct quring_tx *tx) {
    return base_container_of(tx->queue.db, struct lite_db, base);
}

void lite_tx_init(struct lite_db *lite) {
    list_init(&lite->tx.writers);
    list_init(&lite->tx.readers);
}

static void hold_move(struct lite_lane *lane, enum lite_hold to) {
    static const uint8_t next[] = {
        [LITE_FREE] = 1 << LITE_RESERVED | 1 << LITE_HELD,
        [LITE_RESERVED] = 1 << LITE_HELD | 1 << LITE_FREE,
        [LITE_HELD] = 1 << LITE_DOOMED | 1 << LITE_LEAVING,
        [LITE_DOOMED] = 1 << LITE_LEAVING,
        [LITE_LEAVING] = 1 << LITE_FREE,
    };
    enum lite_hold from = lane->reactor.hold;
    PRE(next[from] >> to & 1);
    lane->db->tx.held_count += from == LITE_FREE;
    lane->db->tx.held_count -= to == LITE_FREE;
    if (lane - lane->db->lanes >= lane->db->lane_count) {
        lane->db->tx.apart_count += from == LITE_FREE;
        lane->db->tx.apart_count -= to == LITE_FREE;
        atomic_store(&lane->db->wal.snapshot_count, lane->db->tx.apart_count);
    }
    lane->db->base.leaving_count += from == LITE_HELD;
    lane->db->base.leaving_count -= from == LITE_LEAVING;
    lane->reactor.hold = to;
}

/* ---- Places ---- */

static bool tx_goes_apart(const struct quring_tx *tx) {
    return tx->options.read_only && !tx_db(tx)->only_writer;
}

static bool tx_is_whole(const struct quring_tx *tx) {
    bool here = tx->end_submitted && tx->queue.waiting_count == tx->query_count;
    return here && !tx->failure.set && tx->query_count <= tx->queue.db->options.depth;
}

static void tx_place(struct quring_tx *tx, struct lane_queue *queue, struct lite_lane *lane, uint32_t *count) {
    struct lite_tx *lt = lite_tx(tx);
    uint64_t now_ns = ring_now_ns(tx->queue.db->hub->ring);
    *lt = (struct lite_tx){.queue = queue, .lane = lane, .count = count, .since_ns = now_ns};
    list_init(&lt->out);
    tx_move(tx, TX_OPEN);
}

static void tx_place_whole(struct quring_tx *tx) {
    struct lite_db *lite = tx_db(tx);
    if (tx_goes_apart(tx))
        tx_place(tx, &lite->reads, NULL, &lite->reads_count);
    else
        tx_place(tx, &lite->writes, NULL, &lite->writes_count);
}

/* `rolls_back`: its lane has not ended it. */
static void tx_leave(struct quring_tx *tx, bool rolls_back) {
    struct lite_tx *lt = lite_tx(tx);
    if (lt->lane) {
        lt->lane->reactor.tx = NULL;
        hold_move(lt->lane, rolls_back ? LITE_DOOMED : LITE_LEAVING);
        db_due(tx->queue.db);
    }
    *lt = (struct lite_tx){.queue = NULL};
}

/* ---- What is left to do for one ---- */

/* Its lane sees to the end of a whole one, even if that was given up. */
static void tx_settle_placed(struct quring_tx *tx) {
    struct lite_tx *lt = lite_tx(tx);
    bool over = lt->over || !lt->lane;
    if (!list_empty(&lt->out) || tx->queue.waiting_count)
        return;
    if (over || tx_is_doomed(tx)) {
        tx_leave(tx, !over);
        tx_end(tx);
    } else {
        tx_idle(tx, ring_now_ns(tx->queue.db->hub->ring));
    }
}

static void tx_settle(struct quring_tx *tx) {
    if (tx_db(tx)->state == LITE_CLOSING || tx->state == TX_ENDED)
        return;
    if (lite_tx(tx)->queue)
        tx_settle_placed(tx);
    else if (!tx->queue.waiting_count && tx_is_doomed(tx))
        tx_end(tx);
}

/* ---- Handing over ---- */

static void tx_put_query(struct quring_tx *tx, struct query *query, uint64_t now_ns) {
    struct lite_tx *lt = lite_tx(tx);
    struct lite_query *lite = lite_query(query);
    uint64_t left_ns = query->left_ns;
    struct query *taken = queue_take(&tx->queue);
    PRE(taken == query);
    list_push_back(&lt->out, &query->link);
    query->in_unit = !lt->lane;
    query->unit_goes_on = query->in_unit && !tx_is_end(tx_verb(query));
    lite->fate = LITE_RAN;
    lite->since_ns = left_ns ? left_ns : now_ns;
    atomic_store_explicit(&lite->abandoned_as, 0, memory_order_relaxed);
    bool put = lane_queue_put(lt->queue, query);
    PRE(put);
    ++*lt->count;
}

static void tx_hand_over(struct quring_tx *tx) {
    struct lite_tx *lt = lite_tx(tx);
    uint64_t now_ns = lite_now_ns();
    struct query *query;
    lane_queue_lock(lt->queue);
    bool room = lane_queue_reserve(lt->queue, tx->queue.waiting_count);
    while (room && (query = tx_next(tx)))
        tx_put_query(tx, query, now_ns);
    lane_queue_unlock(lt->queue);
    if (!room)
        queue_fail(&tx->queue, QURING_NOT_SENT, "53200", "out of memory");
    tx_settle_placed(tx);
}

static void tx_set_aside(struct quring_tx *tx, struct list *line) {
    queue_set_aside(&tx->queue, line, ring_now_ns(tx->queue.db->hub->ring) | 1);
}

static void tx_wait_apart(struct quring_tx *tx) {
    struct lite_db *lite = tx_db(tx);
    tx_set_aside(tx, &lite->tx.readers);
    lite->wal.wait_count += lite->wal.gate.state != LOG_GATE_OPEN;
}

void lite_tx_serve(struct quring_tx *tx) {
    struct lite_db *lite = tx_db(tx);
    if (!tx_next(tx)) {
        tx_settle(tx);
        return;
    }
    if (!lite_tx(tx)->queue && tx_is_whole(tx))
        tx_place_whole(tx);
    if (lite_tx(tx)->queue)
        tx_hand_over(tx);
    else if (tx_goes_apart(tx))
        tx_wait_apart(tx);
    else
        tx_set_aside(tx, &lite->tx.writers);
}

/* ---- Lanes for those that wait ---- */

bool lite_tx_waits(const struct lite_db *lite) {
    return !list_empty(&lite->tx.writers) || !list_empty(&lite->tx.readers);
}

/* Gives the lane to the first in line that has anything to run. One that there is no memory for has left it again. */
static void tx_grant(struct lite_lane *lane, struct list *line) {
    struct list *node;
    hold_move(lane, LITE_HELD);
    lane->handed.lease++;
    while (lane->reactor.hold == LITE_HELD && !lane->reactor.tx && (node = list_first(line))) {
        struct quring_tx *tx = list_entry(node, struct queue, ready)->tx;
        queue_bring_back(&tx->queue);
        if (!tx_next(tx)) {
            tx_settle(tx);
            continue;
        }
        lane->reactor.tx = tx;
        tx_place(tx, &lane->leased, lane, &lane->db->tx.count);
        if (line == &lane->db->tx.readers)
            lite_snapshots_watch(lane->db);
        tx_hand_over(tx);
    }
    if (!lane->reactor.tx && lane->reactor.hold == LITE_HELD)
        hold_move(lane, LITE_LEAVING);
}

/* True: the writer's lane is idle, and serves the queue of a transaction from here on. */
static bool tx_switch_writer(struct lite_lane *lane) {
    struct lane_queue *writes = &lane->db->writes;
    lane_queue_lock(writes);
    bool idle = lane->shared.phase == LANE_IDLE;
    if (idle)
        lane->queue = &lane->leased;
    atomic_store_explicit(&lane->shared.reserved, !idle, memory_order_relaxed);
    lane_queue_unlock(writes);
    return idle;
}

/* And others from here on. */
static void tx_switch_back(struct lite_lane *lane) {
    struct lite_db *lite = lane->db;
    lane_queue_lock(&lite->writes);
    lane->queue = &lite->writes;
    uint32_t count = lane_queue_count(&lite->writes), depth = lite->base.options.depth;
    lite->tx.others_turn = count > 0;
    lite->tx.turn_end = lite->writes.head + (count < depth ? count : depth);
    lane_queue_unlock(&lite->writes);
}

static bool tx_others_have_their_turn(struct lite_db *lite) {
    if (!lite->tx.others_turn)
        return false;
    lane_queue_lock(&lite->writes);
    bool waits = lane_queue_count(&lite->writes) > 0 && (int32_t)(lite->tx.turn_end - lite->writes.head) > 0;
    lane_queue_unlock(&lite->writes);
    lite->tx.others_turn = waits;
    return waits;
}

static void tx_reserve_writer(struct lite_lane *lane, bool reserved) {
    struct lane_queue *writes = &lane->db->writes;
    lane_queue_lock(writes);
    atomic_store_explicit(&lane->shared.reserved, reserved, memory_order_relaxed);
    lane_queue_unlock(writes);
    hold_move(lane, reserved ? LITE_RESERVED : LITE_FREE);
}

static void tx_grant_writer(struct lite_db *lite) {
    struct lite_lane *lane = &lite->lanes[0];
    bool waits = !list_empty(&lite->tx.writers);
    if (lane->reactor.hold == LITE_RESERVED && !waits)
        tx_reserve_writer(lane, false);
    if (!waits || lite->state != LITE_OPEN)
        return;
    if (lane->reactor.hold == LITE_FREE && !tx_others_have_their_turn(lite))
        tx_reserve_writer(lane, true);
    if (lane->reactor.hold == LITE_RESERVED && tx_switch_writer(lane))
        tx_grant(lane, &lite->tx.writers);
}

/* NULL: as many are held as may be. */
static struct lite_lane *tx_find_apart(struct lite_db *lite) {
    for (uint32_t i = lite->lane_count; i < lite->made_count; i++)
        if (lite->lanes[i].reactor.hold == LITE_FREE)
            return &lite->lanes[i];
    return lite->made_count - lite->lane_count < lite_apart_limit(lite) ? lite_add_lane_apart(lite) : NULL;
}

/*
 * A snapshot that begins while the writer waits for reads to end would keep it waiting. There is another turn when shared reads
 * are let in again.
 */
static void tx_grant_apart(struct lite_db *lite) {
    struct lite_lane *lane;
    if (lane_queue_barred(&lite->reads) || lite->wal.gate.state != LOG_GATE_OPEN)
        return;
    while (!list_empty(&lite->tx.readers) && lite->state == LITE_OPEN && (lane = tx_find_apart(lite)))
        tx_grant(lane, &lite->tx.readers);
    /* Without memory or a thread for the first one, none will come free. */
    if (lite->made_count > lite->lane_count || lite->state != LITE_OPEN)
        return;
    struct list *node;
    while ((node = list_first(&lite->tx.readers))) {
        struct quring_tx *tx = list_entry(node, struct queue, ready)->tx;
        queue_fail(&tx->queue, QURING_NOT_SENT, "53000", "no lane could be made for a transaction that only reads");
        tx_settle(tx);
    }
}

/* ---- The log ---- */

static void tx_open_gate(struct lite_db *lite) {
    timer_clear(lite->base.hub->ring, &lite->wal.timer);
    atomic_store(&lite->wal.drained, false);
    log_gate_open(&lite->wal.gate, lite->wal.page_count);
    db_due(&lite->base);
}

static void tx_gate_is_late(struct timer *timer) {
    tx_open_gate(base_container_of(timer, struct lite_db, wal.timer));
}

static void tx_close_gate(struct lite_db *lite) {
    struct ring *ring = lite->base.hub->ring;
    if (!log_gate_close(&lite->wal.gate, lite->wal.page_count, lite_snapshots_oldest_ns(lite), ring_now_ns(ring)))
        return;
    lite->wal.timer.fire = tx_gate_is_late;
    (void)timer_set(ring, &lite->wal.timer, lite->wal.gate.until_ns);
    list_for_each(node, &lite->tx.readers)
        lite->wal.wait_count++;
}

void lite_tx_look_at_log(struct lite_db *lite, bool tried) {
    struct log_gate *gate = &lite->wal.gate;
    if (lite->state == LITE_CLOSING)
        return;
    if (tried && gate->state != LOG_GATE_OPEN)
        tx_open_gate(lite);
    if (gate->state == LOG_GATE_OPEN && lite->tx.apart_count && lite->wal.page_count >= LITE_LOG_IS_LONG)
        tx_close_gate(lite);
    if (gate->state == LOG_GATE_DRAINING && !lite->tx.apart_count) {
        log_gate_drained(gate);
        atomic_store(&lite->wal.drained, true);
    }
    if (gate->state == LOG_GATE_DRAINED)
        lite_call_writer(lite, LITE_RESTARTS_LOG); /* at work, it finds out by itself, or is looked at again later */
}

/* ---- Lanes that are held ---- */

static void tx_look_after(struct lite_lane *lane) {
    struct lite_post *post = NULL;
    bool wanted = lane->reactor.hold == LITE_DOOMED;
    lane_queue_lock(&lane->leased);
    bool idle = lane->shared.phase == LANE_IDLE;
    if (wanted || (lane->reactor.hold == LITE_HELD && lane_queue_count(&lane->leased)))
        post = lite_lane_call(lane);
    lane_queue_unlock(&lane->leased);
    if (post && wanted) {
        lane->handed.chores |= LITE_ROLLS_BACK;
        hold_move(lane, LITE_LEAVING);
    } else if (idle && lane->reactor.hold == LITE_LEAVING) {
        hold_move(lane, LITE_FREE);
        if (lane == lane->db->lanes)
            tx_switch_back(lane);
        lite_tx_look_at_log(lane->db, false);
    }
    if (post)
        lite_lane_post(post);
}

static void tx_look_after_all(struct lite_db *lite) {
    for (uint32_t i = 0; i < lite->made_count; i++) {
        enum lite_hold hold = lite->lanes[i].reactor.hold;
        if (hold != LITE_FREE && hold != LITE_RESERVED)
            tx_look_after(&lite->lanes[i]);
    }
}

void lite_tx_advance(struct lite_db *lite) {
    if (base_likely(!lite->tx.held_count && !lite_tx_waits(lite)))
        return;
    tx_look_after_all(lite);
    if (!lite_tx_waits(lite) && lite->lanes[0].reactor.hold != LITE_RESERVED)
        return;
    tx_grant_writer(lite);
    tx_grant_apart(lite);
    tx_look_after_all(lite);
}

/* ---- What lanes hand back ---- */

/* Its lane had begun it when one before it was detached: it is rolled back with that. */
static bool tx_runs_in_vain(struct quring_tx *tx, const struct query *query) {
    bool doomed = atomic_load_explicit(&lite_tx(tx)->course, memory_order_relaxed) == LITE_TX_DOOMED;
    return doomed && tx_verb(query) != VERB_ROLLS_BACK && query->tx_position.number > tx->failure.first.number;
}

/* Its handle was released without an end: whatever it has done is rolled back. */
static bool tx_is_released(const struct quring_tx *tx) {
    return tx->released && tx->given_up && !tx->end_submitted;
}

static void tx_finish_query(struct quring_tx *tx, struct query *query, enum lite_fate fate) {
    const quring_error *error = &query->error.view;
    quring_status given_up =
        (quring_status)atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    if (fate == LITE_BEGIN_FAILED)
        tx_give_up(tx, QURING_SERVER_ERROR, error->sqlstate, error->message);
    bool vain = tx_runs_in_vain(tx, query) || (given_up && tx_is_released(tx));
    if (given_up == QURING_SKIPPED)
        tx_skip(tx, query);
    else if (fate == LITE_RAN && query->status == QURING_OK && query->state == QUERY_RUNNING && !vain)
        query_finish(query, QURING_OK); /* it was carried out before it was given up */
    else if (given_up)
        lite_finish_abandoned(query, given_up);
    else if (vain || fate == LITE_BEHIND || fate == LITE_BEGIN_FAILED)
        tx_finish_behind(tx, query);
    else
        query_finish(query, (quring_status)query->status);
}

void lite_tx_finish(struct query *query) {
    struct quring_tx *tx = query->queue->tx;
    struct lite_tx *lt = lite_tx(tx);
    enum statement_verb verb = tx_verb(query);
    enum lite_fate fate = (enum lite_fate)lite_query(query)->fate;
    struct tx_position position = query->tx_position;
    --*lt->count;
    query->in_unit = query->unit_goes_on = false;
    tx_finish_query(tx, query, fate);
    if (fate == LITE_TX_LOST && tx->failure.set)
        tx_doom(tx, NULL);
    if (verb == VERB_GOES_BACK && fate == LITE_RAN && query->status == QURING_OK)
        tx_revive(tx, position);
    lt->over |= tx_is_end(verb) && fate != LITE_GIVEN_UP;
    if (tx->queue.waiting_count)
        db_due(tx->queue.db);
    tx_settle(tx);
}

/* ---- Giving up ---- */

/*
 * Takes back what no lane has begun, in its order, so that tx_next() tells what becomes of it. Under the lock of its queue, which
 * it gives back: lanes take a whole transaction or nothing of it.
 */
static void tx_take_back(struct quring_tx *tx) {
    struct lite_tx *lt = lite_tx(tx);
    struct list back, *node;
    list_init(&back);
    while ((node = tx_last_out(lt)) && lane_queue_withdraw(lt->queue, list_entry(node, struct query, link))) {
        list_remove(node);
        list_push_back(&back, node);
    }
    lane_queue_unlock(lt->queue);
    while ((node = list_pop_front(&back))) {
        struct query *query = list_entry(node, struct query, link);
        --*lt->count;
        query->in_unit = query->unit_goes_on = false;
        queue_take_back(query);
    }
    if (!lt->lane && list_empty(&lt->out)) {
        tx_leave(tx, false);
        tx_move(tx, TX_WAITING);
    }
}

void lite_tx_abandon(struct query *query, quring_status status) {
    struct quring_tx *tx = query->queue->tx;
    struct lane_queue *queue = lite_tx(tx)->queue;
    lane_queue_lock(queue);
    if (lane_queue_has(queue, query)) {
        tx_take_back(tx);
        lite_finish_abandoned(query, status);
        if (status == QURING_SHUTDOWN) /* all others are to end so, too, and would wait now */
            queue_fail(&tx->queue, status, "57P01", lite_why_closed(tx->queue.db));
        tx_settle(tx);
        return;
    }
    lite_mark_abandoned(query, status);
    lane_queue_unlock(queue);
    lite_interrupt(tx_db(tx), queue, query);
}

static void tx_interrupt_one(struct quring_tx *tx, struct query *query, quring_status status) {
    struct lane_queue *queue = lite_tx(tx)->queue;
    lane_queue_lock(queue);
    lite_mark_abandoned(query, status);
    lane_queue_unlock(queue);
    lite_interrupt(tx_db(tx), queue, query);
}

/* Without memory for a stand-in it ends when its lane hands it back. */
static void tx_detach_skipped(struct quring_tx *tx, struct query *query) {
    quring_status status = QURING_SKIPPED;
    struct query *stand_in = stand_in_new(query);
    if (!stand_in)
        return;
    if (tx_verb(query) == VERB_COMMITS)
        status = tx_say_refused(tx, stand_in);
    else
        tx_say_skipped(tx, stand_in);
    stand_in->sent = status == QURING_SERVER_ERROR;
    query_detach(query, stand_in, status);
}

/*
 * What its lane has taken of a doomed transaction, from a number on, is not carried out, or is rolled back: nobody has to wait
 * until the lane says so. ROLLBACK is carried out, and what was given up by itself is watched.
 */
static void tx_detach_behind(struct quring_tx *tx, uint32_t number) {
    list_for_each(node, &lite_tx(tx)->out) {
        struct query *query = list_entry(node, struct query, link);
        bool waits = query->state == QUERY_RUNNING && tx_verb(query) != VERB_ROLLS_BACK;
        if (!waits || query->tx_position.number < number || atomic_load(&lite_query(query)->abandoned_as))
            continue;
        if (tx_verb(query) != VERB_COMMITS)
            tx_interrupt_one(tx, query, QURING_SKIPPED);
        tx_detach_skipped(tx, query);
    }
}

/*
 * The transaction fails with the query, wherever its lane is in it, since nobody will know whether that was carried out. Only
 * what its lane is about to commit was carried out for certain, and ends with the commit.
 */
void lite_tx_detach(struct query *query, struct query *stand_in) {
    struct quring_tx *tx = query->queue->tx;
    bool dooms = lite_tx_takes(tx, LITE_TX_DOOMED);
    if (!dooms && !tx_is_end(tx_verb(query))) {
        stand_in_free(stand_in);
        return;
    }
    lite_detach_with(tx_db(tx), lite_tx(tx)->queue, query, stand_in);
    if (!dooms)
        return;
    const quring_error *why = &stand_in->error.view;
    tx_give_up(tx, (quring_status)stand_in->status, why->sqlstate, why->message);
    lite_tx_changed(tx, false);
    tx_detach_behind(tx, query->tx_position.number);
}

/* COMMIT tells what became of the transaction, and ROLLBACK rolls it back. */
static void tx_interrupt(struct quring_tx *tx, quring_status status) {
    list_for_each(node, &lite_tx(tx)->out) {
        struct query *query = list_entry(node, struct query, link);
        if (tx_is_end(tx_verb(query)))
            continue;
        tx_interrupt_one(tx, query, status);
        tx->hub->watch(query);
    }
}

void lite_tx_changed(struct quring_tx *tx, bool timed_out) {
    struct lite_tx *lt = lite_tx(tx);
    if (tx_db(tx)->state == LITE_CLOSING)
        return;
    if (lt->queue && tx->given_up) {
        lane_queue_lock(lt->queue);
        tx_take_back(tx);
    }
    if (lt->queue && (timed_out || tx_is_released(tx)))
        tx_interrupt(tx, timed_out ? QURING_TIMEOUT : QURING_SKIPPED);
    (void)tx_next(tx);
    tx_settle(tx);
}
