/* SPDX-License-Identifier: MIT */
#include "lite/snapshots.h"

#include "lite/lanes.h"

static const uint64_t LOOK_NS = 1000000000;

/* The transaction that holds a lane apart; NULL: none does. */
static struct quring_tx *snapshot_tx(const struct lite_db *lite, uint32_t lane) {
    PRE(lane >= lite->lane_count && lane < lite->made_count);
    return lite->lanes[lane].reactor.tx;
}

static uint64_t snapshot_age_ns(struct quring_tx *tx) {
    return ring_now_ns(tx->queue.db->hub->ring) - lite_tx(tx)->since_ns;
}

void lite_snapshots_limit(struct lite_db *lite) {
    for (uint32_t i = lite->lane_count; i < lite->made_count; i++) {
        struct quring_tx *tx = snapshot_tx(lite, i);
        if (!tx || tx->given_up || snapshot_age_ns(tx) < lite->base.options.snapshot_ns)
            continue;
        tx_time_out(tx, ring_now_ns(lite->base.hub->ring), "72000",
                    "its snapshot kept the log from starting over for too long (snapshot_ns)");
    }
}

uint64_t lite_snapshots_oldest_ns(const struct lite_db *lite) {
    uint64_t oldest_ns = 0;
    for (uint32_t i = lite->lane_count; i < lite->made_count; i++) {
        struct quring_tx *tx = snapshot_tx(lite, i);
        uint64_t age_ns = tx ? snapshot_age_ns(tx) : 0;
        if (age_ns > oldest_ns)
            oldest_ns = age_ns;
    }
    return oldest_ns;
}

/*
 * A lane at work will checkpoint if it writes, and is called again if it does not. One that has no connection is not called, since
 * that would open one, and with it the file that has the name by now.
 */
static void snapshot_look(struct timer *timer) {
    struct lite_db *lite = base_container_of(timer, struct lite_db, wal.look);
    struct ring *ring = lite->base.hub->ring;
    uint64_t oldest_ns = lite_snapshots_oldest_ns(lite), limit_ns = lite->base.options.snapshot_ns, in_ns = LOOK_NS;
    if (lite->state == LITE_CLOSING || !oldest_ns)
        return;
    if (oldest_ns < limit_ns)
        in_ns = limit_ns - oldest_ns;
    else if (lite->state == LITE_OPEN && lite->writer_is_open)
        lite_call_writer(lite, LITE_ASKS_LOG);
    (void)timer_set(ring, timer, ring_now_ns(ring) + in_ns);
}

void lite_snapshots_watch(struct lite_db *lite) {
    struct ring *ring = lite->base.hub->ring;
    uint64_t now_ns = ring_now_ns(ring), at_ns = now_ns + lite->base.options.snapshot_ns;
    if (at_ns < now_ns || heap_contains(&lite->wal.look.node))
        return; /* there is no limit, or one is older */
    lite->wal.look.fire = snapshot_look;
    (void)timer_set(ring, &lite->wal.look, at_ns);
}
