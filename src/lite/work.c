/* SPDX-License-Identifier: MIT */
/*
 * What a lane does with the queries at hand: run them, hand back what is finished, checkpoint between them. serve.c
 * calls it to work off a run of reads, and write.c for each query of the runs that write.
 *
 * A reader puts one transaction around each run. It begins after the run was taken, so each read sees everything that
 * was finished before it was submitted, and all reads of a run see the same. A statement that takes long (SQLite calls
 * work_pause()) must not keep its neighbours waiting: what is finished is reported, what was not begun goes back to the
 * queue for another lane, or, where there is only one, what was abandoned meanwhile is handed back.
 */
#include "lite/lane.h"

#include "lite/db.h"

#include <stdlib.h>
#include <time.h>

static const uint64_t REPORT_EVERY_NS = 200000; /* a finished query waits up to this long to go back with others */
static const long NAP_NS = 1000000;             /* from one look at the readers to the next, in work_hold_reads() */

const uint8_t lite_lane_moves[LANE_STUCK + 1] = {
    [LANE_IDLE] = 1 << LANE_CALLED,
    [LANE_CALLED] = 1 << LANE_LATE | 1 << LANE_WORKING | 1 << LANE_IDLE,
    [LANE_LATE] = 1 << LANE_WORKING | 1 << LANE_IDLE,
    [LANE_WORKING] = 1 << LANE_WORKING | 1 << LANE_STUCK | 1 << LANE_IDLE,
    [LANE_STUCK] = 1 << LANE_WORKING | 1 << LANE_IDLE,
};

static void work_pause(struct lite_watch *watch);
static void work_hold_reads(struct lite_conn *conn, bool hold);

bool lite_lane_set_up(struct lite_lane *lane, struct lite_db *db, enum lite_role role, bool apart) {
    *lane = (struct lite_lane){.db = db};
    lane->queue = apart ? &lane->leased : role == LITE_READER ? &db->reads : &db->writes;
    lite_chain_init(&lane->own.finished);
    lite_chain_init(&lane->own.moved);
    lane->own.next_checkpoint = LITE_CHECKPOINT_FRAMES;
    lane->own.next_restart = LITE_LOG_IS_LONG;
    lane->own.taken = calloc(db->base.options.depth, sizeof *lane->own.taken);
    bool ok = lane_queue_init(&lane->leased) && lite_conn_init(&lane->conn, &db->config, role);
    lane->conn.watch.pause = work_pause;
    if (role == LITE_WRITER && db->url.path)
        lane->conn.hold_reads = work_hold_reads;
    return ok && lane->own.taken;
}

void lite_lane_free(struct lite_lane *lane) {
    PRE(lane->shared.phase == LANE_IDLE);
    lane_queue_free(&lane->leased);
    free(lane->own.taken);
    lite_events_free(lane->own.news.events);
    lite_conn_free(&lane->conn);
}

/* ---- Handing back ---- */

static bool work_is_at(const struct lite_lane *lane, struct query *query) {
    return lane->conn.watch.abandoned == &lite_query(query)->abandoned_as;
}

/* Of a batch that was not begun, of which a member was given up: nothing of it will be begun. */
static void work_drop_batch(struct lite_lane *lane, uint32_t at) {
    while (at > lane->own.next && lane->own.taken[at - 1] && lane->own.taken[at - 1]->unit_goes_on)
        at--;
    uint32_t count = lite_batch_count(lane, at);
    lite_batch_end_failed(lane, at, count, lite_batch_find_given_up(lane, at, count));
}

static void work_note_next(struct lite_lane *lane) {
    bool gone = lane->own.next < lane->own.taken_count && !lane->own.taken[lane->own.next];
    atomic_store_explicit(&lane->own.next_is_gone, gone, memory_order_relaxed);
}

void lite_lane_watch_next(struct lite_lane *lane) {
    work_note_next(lane);
    lane->conn.watch.abandoned = &lane->own.next_is_gone;
}

void lite_lane_unwatch_next(struct lite_lane *lane) {
    lane->conn.watch.abandoned = NULL;
}

/*
 * Hands back those whose callers gave up and that are not yet begun, or wait for the end of their group, which may be long.
 * What becomes of such a member its caller will not hear. One with an order key stays: what comes behind it has to see it if
 * it takes effect, so the key is out until the group has ended.
 */
void lite_lane_drop_abandoned(struct lite_lane *lane) {
    if (base_likely(!atomic_load_explicit(&lane->shared.may_hold_abandoned, memory_order_relaxed)))
        return;
    atomic_exchange_explicit(&lane->shared.may_hold_abandoned, false, memory_order_acquire);
    for (uint32_t i = lane->own.in_group ? lane->own.group_first : lane->own.next; i < lane->own.taken_count; i++) {
        struct query *query = lane->own.taken[i];
        if (!query || !atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed))
            continue;
        if (query->batch) { /* its end is the others' end, too, which its run sees to once it was begun */
            if (i >= lane->own.next)
                work_drop_batch(lane, i);
            continue;
        }
        if (i < lane->own.next && query->key)
            continue;
        if (work_is_at(lane, query)) { /* it is interrupted, and looked at again then */
            atomic_store_explicit(&lane->shared.may_hold_abandoned, true, memory_order_relaxed);
            continue;
        }
        lite_query(query)->fate = LITE_GIVEN_UP;
        lite_chain_add(&lane->own.finished, query);
        lane->own.taken[i] = NULL;
    }
    work_note_next(lane);
}

/* Under the lock nothing can be abandoned, so what goes back to the queue is alive. */
void lite_lane_give_back(struct lite_lane *lane, enum lane_phase to) {
    lane_queue_lock(lane->queue);
    lite_lane_move(lane, to);
    atomic_store_explicit(&lane->shared.may_hold_abandoned, true, memory_order_relaxed);
    lite_lane_drop_abandoned(lane);
    if (!lane->own.tx.runs) {
        uint32_t before = lane->queue->held_count;
        lane_queue_give_back(lane->queue, lane->own.taken + lane->own.next, lane->own.taken_count - lane->own.next);
        lane->shared.held_count -= before - lane->queue->held_count;
        lane->own.taken_count = lane->own.next;
    }
    lane->own.news.call_count++;
    lane_queue_unlock(lane->queue);
}

/*
 * SQLite calls this from within a statement that takes long or waits for a lock. A reader beside others gives the rest
 * of its run back, for them to take. Every lane ends those that nobody waits for any more, and reports what is finished.
 */
static void work_pause(struct lite_watch *watch) {
    struct lite_conn *conn = base_container_of(watch, struct lite_conn, watch);
    struct lite_lane *lane = base_container_of(conn, struct lite_lane, conn);
    bool others = lane->queue == &lane->db->reads && lane->db->lane_count > 2;
    if (others && lite_lane_attends(lane))
        lite_lane_give_back(lane, lane->shared.phase == LANE_CALLED ? LANE_LATE : LANE_STUCK);
    if (atomic_load_explicit(&lane->shared.may_hold_abandoned, memory_order_relaxed)) {
        lane_queue_lock(lane->queue);
        lite_lane_drop_abandoned(lane);
        lane_queue_unlock(lane->queue);
    }
    lite_lane_report(lane);
}

/* ---- Working off what was taken ---- */

/* Queries that came to the queue together, and were taken together, are counted together. */
void lite_lane_note_wait(struct lite_lane *lane, struct query *query) {
    uint64_t since_ns = lite_query(query)->since_ns;
    if (base_unlikely(since_ns != lane->own.wait.since_ns)) {
        if (!since_ns)
            return; /* it runs again */
        lite_lane_count_waits(lane);
        lane->own.wait.since_ns = since_ns;
    }
    lane->own.wait.count++;
    lite_query(query)->since_ns = 0;
}

bool lite_lane_run(struct lite_lane *lane, struct query *query) {
    int outcome = atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    if (base_likely(!outcome))
        outcome = lite_conn_run(&lane->conn, query);
    if (base_unlikely(outcome == LITE_MOVED))
        return false;
    query->status = (uint8_t)outcome;
    lite_lane_note_wait(lane, query);
    return true;
}

void lite_lane_run_next(struct lite_lane *lane) {
    PRE(lane->own.next < lane->own.taken_count);
    struct query *query = lane->own.taken[lane->own.next++];
    if (query)
        lite_chain_add(lite_lane_run(lane, query) ? &lane->own.finished : &lane->own.moved, query);
}

static bool work_reads_at_work(struct lite_lane *lane) {
    struct lite_db *db = lane->db;
    bool at_work = false;
    lane_queue_lock(&db->reads);
    for (uint32_t i = 1; i < db->lane_count; i++)
        at_work |= lite_lane_holds(&db->lanes[i]);
    lane_queue_unlock(&db->reads);
    return at_work;
}

/*
 * The change to WAL mode needs the file for itself. Reads of other programs are waited for as for any lock, up to
 * busy_timeout_ns; those of this handle without a limit, since no more of them begin meanwhile. Only a file that is leaving is
 * not waited for: a reader at hand may itself wait until this lane has left it (file.h).
 */
static void work_hold_reads(struct lite_conn *conn, bool hold) {
    struct lite_lane *lane = base_container_of(conn, struct lite_lane, conn);
    lite_lane_bar_reads(lane, hold);
    while (hold && work_reads_at_work(lane) && !lite_watch_interrupted(&conn->watch) &&
           !lite_file_is_leaving(&conn->member)) {
        work_pause(&conn->watch);
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    if (!hold)
        lite_lane_report(lane);
}

static bool work_checkpoint_due(struct lite_lane *lane) {
    uint32_t frames = lane->conn.wal_frame_count;
    if (frames < lane->own.checkpointed_frames) { /* the WAL has started over */
        lane->own.next_checkpoint = LITE_CHECKPOINT_FRAMES;
        lane->own.next_restart = LITE_LOG_IS_LONG;
        lane->own.checkpointed_frames = frames;
    }
    bool due =
        frames >= lane->own.next_checkpoint || atomic_load_explicit(&lane->db->wal.drained, memory_order_relaxed);
    return base_unlikely(due) && !lite_conn_in_transaction(&lane->conn);
}

/* The clock costs a twentieth of a read, so only every eighth asks it; beside a durable write it costs nothing. */
static bool work_report_due(struct lite_lane *lane) {
    uint32_t count = lane->own.finished.count;
    bool slow = lane->conn.role != LITE_READER && lane->db->config.path;
    if (count >= LITE_REPORT_EVERY)
        return true;
    if (count == 0 || (!slow && count % 8))
        return false;
    uint64_t now = lite_now_ns();
    if (now - lane->own.reported_ns < REPORT_EVERY_NS)
        return false;
    lane->own.reported_ns = now;
    return true;
}

void lite_lane_tend(struct lite_lane *lane) {
    lite_lane_drop_abandoned(lane);
    if (work_report_due(lane))
        lite_lane_report(lane);
    if (lane->conn.wal_frame_count && work_checkpoint_due(lane)) {
        lite_lane_report(lane);
        lite_lane_checkpoint(lane);
    }
}

void lite_lane_unstick(struct lite_lane *lane) {
    PRE(lane->shared.phase == LANE_STUCK);
    lane_queue_lock(lane->queue);
    lite_lane_move(lane, LANE_WORKING);
    lane_queue_unlock(lane->queue);
}

/*
 * The reads share one transaction; after an error that ended it, the rest share another. Any query may turn out to be the
 * last of the run, because work_pause() gives the rest away while it runs.
 */
void lite_lane_read(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    bool shared = lane->own.taken_count > 1;
    while (lane->own.next < lane->own.taken_count) {
        if (base_unlikely(lane_queue_barred(lane->queue))) {
            lite_lane_give_back(lane, LANE_WORKING);
            break;
        }
        if (shared && !lite_conn_in_transaction(conn))
            (void)lite_conn_control(conn, LITE_BEGIN); /* where that fails, each read has a transaction of its own */
        lite_lane_run_next(lane);
        if (base_unlikely(lane->shared.phase == LANE_STUCK))
            lite_lane_unstick(lane);
        lite_lane_tend(lane);
    }
    if (lite_conn_in_transaction(conn) && lite_conn_control(conn, LITE_COMMIT) != SQLITE_OK)
        lite_conn_roll_back(conn);
}
