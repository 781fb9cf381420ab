/* SPDX-License-Identifier: MIT */
/*
 * A lane's thread: take a run of queries from its queue, work it off, hand back what is finished, until the queue is empty.
 *
 * A reader puts one transaction around each run. It begins after the run was taken, so each read sees everything that was
 * finished before it was submitted, and all reads of a run see the same. A statement that takes long (it calls pause())
 * must not keep its neighbours waiting: what is finished is reported, what was not begun goes back to the queue for another
 * lane, or, where there is only one, what was abandoned meanwhile is handed back.
 */
#include "lite/lite.h"

#include <stdlib.h>
#include <time.h>

enum {
    CHECKPOINT_FRAMES = 1000,   /* SQLite's own default */
    WAL_FRAMES_MAX = 16 * 1000, /* from here on, reads are held back until it starts over */
    MIN_SHARE = 8
};

static const uint64_t REPORT_EVERY_NS = 200000;
static const long NAP_NS = 1000000;
static const uint64_t CHECK_FILE_NS = 100000000; /* of readers; the writer looks before each run */
static const uint64_t RESTART_WAIT_NS = 200000000, RESTART_WAIT_MAX_NS = 5000000000;

const uint8_t lite_lane_moves[LANE_STUCK + 1] = {
    [LANE_IDLE] = 1 << LANE_CALLED,
    [LANE_CALLED] = 1 << LANE_LATE | 1 << LANE_WORKING | 1 << LANE_IDLE,
    [LANE_LATE] = 1 << LANE_WORKING | 1 << LANE_IDLE,
    [LANE_WORKING] = 1 << LANE_WORKING | 1 << LANE_STUCK | 1 << LANE_IDLE,
    [LANE_STUCK] = 1 << LANE_WORKING | 1 << LANE_IDLE,
};

static void lane_serve(struct job *job);
static void lane_shut(struct job *job);
static void lane_pause(struct lite_watch *watch);
static void lane_hold_reads(struct lite_conn *conn, bool hold);

static void lane_post_init(struct lite_post *post, struct lite_lane *lane, void (*run)(struct job *),
                           void (*done)(struct job *)) {
    *post = (struct lite_post){.job = {.run = run, .done = done}, .lane = lane};
}

bool lite_lane_init(struct lite_lane *lane, struct lite_db *db, enum lite_role role,
                    const struct lite_lane_events *events) {
    PRE(db->base.options.depth > 0);
    *lane = (struct lite_lane){.db = db, .queue = role == LITE_READER ? &db->reads : &db->writes};
    for (int i = 0; i < 2; i++)
        lane_post_init(&lane->reactor.jobs[i], lane, lane_serve, events->news);
    for (int i = 0; i < LITE_REPORTS; i++)
        lane_post_init(&lane->own.reports[i], lane, NULL, events->news);
    lane_post_init(&lane->reactor.closer, lane, lane_shut, events->shut);
    lite_chain_init(&lane->own.finished);
    lite_chain_init(&lane->own.moved);
    lane->own.next_checkpoint = CHECKPOINT_FRAMES;
    lane->own.next_restart = WAL_FRAMES_MAX;
    lane->own.taken = calloc(db->base.options.depth, sizeof *lane->own.taken);
    bool ok = lite_conn_init(&lane->conn, &db->config, role);
    lane->conn.watch.pause = lane_pause;
    if (role == LITE_WRITER && db->url.path)
        lane->conn.hold_reads = lane_hold_reads;
    return ok && lane->own.taken;
}

void lite_lane_free(struct lite_lane *lane) {
    PRE(lane->shared.phase == LANE_IDLE);
    free(lane->own.taken);
    lite_conn_free(&lane->conn);
}

/* ---- Handing back ---- */

static bool lane_has_news(const struct lite_lane *lane) {
    const struct lite_news *news = &lane->own.news;
    return lane->own.finished.count || lane->own.moved.count || news->open_count || news->open_failure_count ||
           news->close_count || news->call_count;
}

/* Loads all that there is to say onto a post. */
static void lane_load_news(struct lite_lane *lane, struct lite_post *post) {
    lane->own.let_go_count += lane->own.finished.count + lane->own.moved.count;
    lane->own.news.finished = lane->own.finished.first;
    lane->own.news.moved = lane->own.moved.first;
    lane->own.news.count = lane->own.finished.count + lane->own.moved.count;
    lane->own.news.prepare_count = (uint32_t)lane->conn.prepare_count;
    post->news = lane->own.news;
    lane->own.news = (struct lite_news){0};
    lane->conn.prepare_count = 0;
    lite_chain_init(&lane->own.finished);
    lite_chain_init(&lane->own.moved);
}

/* Without a free report it is kept for the next: the reactor is behind, and would not take it sooner. */
static void lane_report(struct lite_lane *lane) {
    struct lite_post *post = &lane->own.reports[lane->own.next_report];
    if (!lane_has_news(lane) || atomic_load_explicit(&post->in_use, memory_order_acquire))
        return;
    lane->own.next_report = (lane->own.next_report + 1) % LITE_REPORTS;
    atomic_store_explicit(&post->in_use, true, memory_order_relaxed);
    lane_load_news(lane, post);
    worker_report(lane->thread, &post->job);
}

/* Hands back those not yet begun whose callers gave up. */
void lite_lane_drop_abandoned(struct lite_lane *lane) {
    if (base_likely(!atomic_load_explicit(&lane->shared.may_hold_abandoned, memory_order_relaxed)))
        return;
    atomic_exchange_explicit(&lane->shared.may_hold_abandoned, false, memory_order_acquire);
    for (uint32_t i = lane->own.next; i < lane->own.taken_count; i++) {
        struct query *query = lane->own.taken[i];
        if (!query || !atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed))
            continue;
        lite_chain_add(&lane->own.finished, query);
        lane->own.taken[i] = NULL;
    }
}

/* Under the lock nothing can be abandoned, so what goes back to the queue is alive. */
static void lane_give_back_rest(struct lite_lane *lane, enum lane_phase to) {
    lane_queue_lock(lane->queue);
    lite_lane_move(lane, to);
    atomic_store_explicit(&lane->shared.may_hold_abandoned, true, memory_order_relaxed);
    lite_lane_drop_abandoned(lane);
    lane_queue_give_back(lane->queue, lane->own.taken + lane->own.next, lane->own.taken_count - lane->own.next);
    lane->own.taken_count = lane->own.next;
    lane->own.news.call_count++;
    lane_queue_unlock(lane->queue);
}

/* From within a statement that takes long or waits for a lock. */
static void lane_pause(struct lite_watch *watch) {
    struct lite_conn *conn = base_container_of(watch, struct lite_conn, watch);
    struct lite_lane *lane = base_container_of(conn, struct lite_lane, conn);
    bool others = conn->role == LITE_READER && lane->db->lane_count > 2;
    if (others && lite_lane_attends(lane))
        lane_give_back_rest(lane, lane->shared.phase == LANE_CALLED ? LANE_LATE : LANE_STUCK);
    lite_lane_drop_abandoned(lane);
    lane_report(lane);
}

/* ---- Working off what was taken ---- */

bool lite_lane_run(struct lite_lane *lane, struct query *query) {
    int outcome = atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    if (base_likely(!outcome))
        outcome = lite_conn_run(&lane->conn, query);
    if (base_unlikely(outcome == LITE_MOVED))
        return false;
    query->status = (uint8_t)outcome;
    return true;
}

void lite_lane_run_next(struct lite_lane *lane) {
    PRE(lane->own.next < lane->own.taken_count);
    struct query *query = lane->own.taken[lane->own.next++];
    if (query)
        lite_chain_add(lite_lane_run(lane, query) ? &lane->own.finished : &lane->own.moved, query);
}

/* The longer the log, the longer are the reads that are worth waiting for. */
static uint64_t lane_restart_wait_ns(uint32_t frames) {
    uint64_t wait_ns = RESTART_WAIT_NS * (frames / WAL_FRAMES_MAX);
    return wait_ns < RESTART_WAIT_MAX_NS ? wait_ns : RESTART_WAIT_MAX_NS;
}

static void lane_bar_reads(struct lite_lane *lane, bool barred) {
    struct lane_queue *reads = &lane->db->reads;
    lane_queue_lock(reads);
    lane_queue_bar(reads, barred);
    lane->own.news.call_count += !barred;
    lane_queue_unlock(reads);
}

static bool lane_reads_at_work(struct lite_lane *lane) {
    struct lite_db *db = lane->db;
    bool at_work = false;
    lane_queue_lock(&db->reads);
    for (uint32_t i = 1; i < db->lane_count; i++)
        at_work |= lite_lane_holds(&db->lanes[i]);
    lane_queue_unlock(&db->reads);
    return at_work;
}

/*
 * The change to WAL mode needs the file for itself. Reads of other programs are waited for as for any lock; those of this
 * handle take as long as they take, and no more of them begin.
 */
static void lane_hold_reads(struct lite_conn *conn, bool hold) {
    struct lite_lane *lane = base_container_of(conn, struct lite_lane, conn);
    lane_bar_reads(lane, hold);
    while (hold && lane_reads_at_work(lane) && !lite_watch_interrupted(&conn->watch)) {
        lane_pause(&conn->watch);
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    if (!hold)
        lane_report(lane);
}

/*
 * The writer checkpoints when what it wrote was reported, instead of within a commit. Readers that overlap for ever would
 * keep the log from starting over: once it is long, no read begins until those at work have ended, for a bounded time. A
 * read that takes longer than that, or one of another process, lets the log grow by a quarter before the next try.
 */
static __attribute__((noinline)) void lane_checkpoint(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    int frames = 0, copied = 0;
    uint32_t before = conn->wal_frame_count;
    bool restart = before >= lane->own.next_restart;
    if (restart)
        lane_bar_reads(lane, true);
    conn->watch.wait_until_ns = lite_now_ns() + (restart ? lane_restart_wait_ns(before) : 0);
    int mode = restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
    int code = sqlite3_wal_checkpoint_v2(conn->handle, "main", mode, &frames, &copied);
    conn->watch.wait_until_ns = conn->watch.locked_since_ns = 0;
    if (restart) {
        lane_bar_reads(lane, false);
        lane_report(lane); /* whoever waits for a read should not wait for the next write, too */
    }
    if (restart && code != SQLITE_OK)
        lane->own.next_restart = before + before / 4;
    lane->own.next_checkpoint = before + CHECKPOINT_FRAMES;
    lane->own.checkpointed_frames = before;
    conn->wal_frame_count = 0; /* until the next commit counts them */
}

static bool lane_checkpoint_due(struct lite_lane *lane) {
    uint32_t frames = lane->conn.wal_frame_count;
    if (frames < lane->own.checkpointed_frames) { /* the WAL has started over */
        lane->own.next_checkpoint = CHECKPOINT_FRAMES;
        lane->own.next_restart = WAL_FRAMES_MAX;
        lane->own.checkpointed_frames = frames;
    }
    return base_unlikely(frames >= lane->own.next_checkpoint) && !lite_conn_in_transaction(&lane->conn);
}

/* A clock costs as much as a twentieth of a read, and nothing beside a durable write. */
static bool lane_report_due(struct lite_lane *lane) {
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
    if (lane_report_due(lane))
        lane_report(lane);
    if (lane->conn.wal_frame_count && lane_checkpoint_due(lane)) {
        lane_report(lane);
        lane_checkpoint(lane);
    }
}

static void lane_unstick(struct lite_lane *lane) {
    if (base_likely(lane->shared.phase != LANE_STUCK))
        return;
    lane_queue_lock(lane->queue);
    lite_lane_move(lane, LANE_WORKING);
    lane_queue_unlock(lane->queue);
}

/* In one transaction; after an error that ended it, the rest is in another. Each query may be the last, see pause(). */
static void lane_read(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    bool shared = lane->own.taken_count > 1;
    while (lane->own.next < lane->own.taken_count) {
        if (base_unlikely(lane_queue_barred(lane->queue))) {
            lane_give_back_rest(lane, LANE_WORKING);
            break;
        }
        if (shared && !lite_conn_in_transaction(conn))
            (void)lite_conn_control(conn, LITE_BEGIN); /* failing, each has one of its own */
        lite_lane_run_next(lane);
        lane_unstick(lane);
        lite_lane_tend(lane);
    }
    if (lite_conn_in_transaction(conn))
        (void)lite_conn_control(conn, LITE_COMMIT); /* if that fails, lane_settle() will see to it */
}

static void lane_refuse(struct lite_lane *lane) {
    const quring_error *why = &lane->conn.open_error.view;
    bool closing = atomic_load(&lane->db->closing); /* then it was not even tried */
    for (; lane->own.next < lane->own.taken_count; lane->own.next++) {
        struct query *query = lane->own.taken[lane->own.next];
        if (!query)
            continue;
        if (closing)
            error_set(&query->error, "57P01", "the database handle was closed", NULL, NULL, 0);
        else
            error_set(&query->error, why->sqlstate, why->message, why->detail, why->hint, 0);
        query->error.view.backend_code = closing ? 0 : why->backend_code;
        query->status = closing ? QURING_SHUTDOWN : QURING_NOT_SENT;
        lite_chain_add(&lane->own.finished, query);
    }
}

/* ---- Serving the queue ---- */

/* A fair share of the queue, up to the depth. Nothing there: the lane is idle from here on. */
static bool lane_take(struct lite_lane *lane) {
    struct lane_queue *queue = lane->queue;
    uint32_t lanes = lane->conn.role == LITE_READER ? lane->db->lane_count - 1 : 1;
    lane_queue_lock(queue);
    lane_queue_let_go(queue, lane->own.let_go_count);
    uint32_t share = (lane_queue_count(queue) + lanes - 1) / lanes;
    if (share < MIN_SHARE)
        share = MIN_SHARE;
    if (share > lane->db->base.options.depth)
        share = lane->db->base.options.depth;
    lane->own.taken_count = lane_queue_take(queue, lane->own.taken, share);
    lite_lane_move(lane, lane->own.taken_count > 0 ? LANE_WORKING : LANE_IDLE);
    lane_queue_unlock(queue);
    lane->own.let_go_count = 0;
    lane->own.next = 0;
    return lane->own.taken_count > 0;
}

static void lane_open_conn(struct lite_lane *lane) {
    if (lane->conn.handle || lane->own.lost || atomic_load(lane->db->config.closing))
        return;
    lane->own.file_number = atomic_load(&lane->db->file_number);
    if (lite_conn_open(&lane->conn))
        lane->own.news.open_count++;
    else
        lane->own.news.open_failure_count++;
    lane_report(lane);
}

static void lane_close_conn(struct lite_lane *lane) {
    lite_conn_close(&lane->conn);
    lane->own.news.close_count++;
}

/* Readers hear from the writer that the file lost its name, or find out by themselves where nothing is written. */
static bool lane_reader_file_is_gone(struct lite_lane *lane) {
    uint64_t now_ns = lane->conn.watch.taken_ns;
    if (base_unlikely(lane->own.file_number != atomic_load_explicit(&lane->db->file_number, memory_order_relaxed)))
        return true;
    if (now_ns - lane->own.checked_ns < CHECK_FILE_NS)
        return false;
    lane->own.checked_ns = now_ns;
    if (!lite_conn_file_is_gone(&lane->conn))
        return false;
    atomic_fetch_add(&lane->db->file_number, 1);
    return true;
}

/* What is written into a file that has lost its name is gone with the last who has it open. */
static void lane_check_file(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    if (conn->role == LITE_READER) {
        if (base_unlikely(lane_reader_file_is_gone(lane))) {
            lane_close_conn(lane);
            lane_open_conn(lane);
        }
        return;
    }
    if (base_likely(!conn->config->path || !lite_conn_file_is_gone(conn)))
        return;
    lane->own.lost = conn->role == LITE_EXCLUSIVE || conn->has_settings;
    lane_close_conn(lane);
    error_set(&conn->open_error, "58P01", "the database's file was deleted or replaced while it was open", NULL,
              lane->own.lost ? "open another handle: what was set on this one is gone"
                             : "the next query opens the file of that name",
              0);
    conn->open_error.view.backend_code = SQLITE_READONLY_DBMOVED;
    atomic_fetch_add(&lane->db->file_number, 1);
}

/* Nothing may be left of the run before: a reader that could not end its transaction would see an old snapshot for ever. */
static void lane_settle(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    if (base_unlikely(conn->wal == LITE_WAL_LATER))
        lite_wal_move(conn, LITE_WAL_WANTED);
    if (conn->role == LITE_EXCLUSIVE || !conn->handle || !lite_conn_in_transaction(conn))
        return;
    if (lite_conn_control(conn, LITE_ROLLBACK) == SQLITE_OK || !conn->config->path)
        return;
    lane->own.lost = conn->has_settings;
    lane_close_conn(lane);
    if (lane->own.lost)
        error_set(&conn->open_error, "58030", "the connection's transaction could not be ended, and it was closed",
                  NULL, "open another handle: what PRAGMAs had set on this one is gone", 0);
    lane_open_conn(lane);
}

static void lane_work(struct lite_lane *lane) {
    uint64_t began_ns = lite_now_ns();
    lane->conn.watch.taken_ns = lane->own.reported_ns = began_ns;
    lane_settle(lane);
    if (lane->conn.handle)
        lane_check_file(lane);
    if (!lane->conn.handle)
        lane_refuse(lane);
    else if (lane->conn.role == LITE_READER)
        lane_read(lane);
    else
        lite_lane_write(lane);
    if (lane->own.next == 0) /* all of it was given back */
        return;
    uint64_t query_ns = (lite_now_ns() - began_ns) / lane->own.next;
    lane->own.news.query_ns = query_ns < UINT32_MAX ? (uint32_t)query_ns : UINT32_MAX;
}

/* A job of the reactor: serves the queue until it is empty. */
static void lane_serve(struct job *job) {
    struct lite_post *post = base_container_of(job, struct lite_post, job);
    struct lite_lane *lane = post->lane;
    PRE(lane->shared.phase == LANE_CALLED);
    lane_open_conn(lane);
    while (lane_take(lane)) { /* the end of the job reports too: so what came before it, only if there is more */
        lane_report(lane);
        lane_work(lane);
    }
    lane_load_news(lane, post);
}

/* The last job: closes the connection. */
static void lane_shut(struct job *job) {
    struct lite_post *post = base_container_of(job, struct lite_post, job);
    struct lite_lane *lane = post->lane;
    PRE(lane->shared.phase == LANE_IDLE);
    if (lane->conn.handle)
        lane_close_conn(lane);
    lane_load_news(lane, post);
}
