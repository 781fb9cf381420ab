/* SPDX-License-Identifier: MIT */
/* The writer's lane copies the log into the file, and has it start over, between two transactions. */
#include "lite/db.h"
#include "lite/lane.h"

#include <stdio.h>

static const uint64_t RESTART_WAIT_NS = 200000000; /* for each LITE_LOG_IS_LONG of the log */
static const uint64_t RESTART_WAIT_MAX_NS = 5000000000;

/* As SQLite counts them. */
struct checkpoint_log {
    int frames, copied;
};

/* The longer the log, the longer are the reads that are worth waiting for. */
static uint64_t checkpoint_restart_wait_ns(uint32_t frames) {
    uint64_t wait_ns = RESTART_WAIT_NS * (frames < LITE_LOG_IS_LONG ? 1 : frames / LITE_LOG_IS_LONG);
    return wait_ns < RESTART_WAIT_MAX_NS ? wait_ns : RESTART_WAIT_MAX_NS;
}

void lite_lane_bar_reads(struct lite_lane *lane, bool barred) {
    struct lane_queue *reads = &lane->db->reads;
    lane_queue_lock(reads);
    lane_queue_bar(reads, barred);
    lane->own.news.call_count += !barred;
    lane_queue_unlock(reads);
}

/* A read that is longer than the wait, or a snapshot that is held: of this handle, or of another. */
static void checkpoint_tell_held(struct lite_lane *lane, const struct checkpoint_log *log) {
    char message[200];
    lane->own.news.wal_held_count++;
    if (!lane->conn.trace)
        return;
    snprintf(
        message, sizeof message,
        "the log has %d pages, and can't start over: a read that goes on needs it, and keeps %d of them from the file",
        log->frames, log->frames - log->copied);
    lite_lane_tell(lane, QURING_EVENT_WAL_HELD, "", message);
}

static int checkpoint_run(struct lite_conn *conn, int mode, uint64_t wait_ns, struct checkpoint_log *log) {
    conn->watch.wait_until_ns = lite_now_ns() + wait_ns;
    int code = sqlite3_wal_checkpoint_v2(conn->handle, "main", mode, &log->frames, &log->copied);
    conn->watch.wait_until_ns = conn->watch.locked_since_ns = 0;
    return code;
}

/* Whoever waits for a read should not wait for the next write, too. */
static int checkpoint_restart(struct lite_lane *lane, uint32_t before, struct checkpoint_log *log) {
    lite_lane_bar_reads(lane, true);
    int code = checkpoint_run(&lane->conn, SQLITE_CHECKPOINT_RESTART, checkpoint_restart_wait_ns(before), log);
    lite_lane_bar_reads(lane, false);
    lite_conn_leave_line(&lane->conn); /* it had the write lock */
    if (code != SQLITE_OK)
        lane->own.next_restart = before + before / 4;
    return code;
}

/*
 * The writer checkpoints when what it wrote was reported, instead of within a commit. Readers that overlap for ever would
 * keep the log from starting over: once it is long, no read begins until those at work have ended, for a bounded time. A
 * read that takes longer than that, or one of another process, lets the log grow by a quarter before the next try.
 * Snapshots of this handle are not waited for here, but by the reactor (log_gate.h), which calls when they have ended.
 */
void lite_lane_checkpoint(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    struct checkpoint_log log = {0};
    uint32_t before = conn->wal_frame_count ? conn->wal_frame_count : lane->own.checkpointed_frames;
    bool drained = atomic_exchange(&lane->db->wal.drained, false);
    bool is_long = before >= lane->own.next_restart && !atomic_load(&lane->db->wal.snapshot_count);
    bool restart = drained || is_long;
    int code = checkpoint_run(conn, SQLITE_CHECKPOINT_PASSIVE, 0, &log);
    if (restart)
        code = checkpoint_restart(lane, before, &log);
    bool all = code == SQLITE_OK && log.copied == log.frames;
    bool counted = log.frames >= 0; /* not where another connection is at a checkpoint */
    lane->own.news.wal_seen = restart && all ? 1 : before + 1;
    lane->own.news.wal_tried |= drained;
    if (before >= LITE_LOG_IS_LONG && !all && counted)
        checkpoint_tell_held(lane, &log);
    lane->own.next_checkpoint = before + LITE_CHECKPOINT_FRAMES;
    lane->own.checkpointed_frames = before;
    conn->wal_frame_count = 0; /* until the next commit counts them */
    if (restart)
        lite_lane_report(lane);
}

void lite_lane_ask_log(struct lite_lane *lane) {
    struct checkpoint_log log = {0};
    int code = checkpoint_run(&lane->conn, SQLITE_CHECKPOINT_PASSIVE, 0, &log);
    if (code == SQLITE_OK && log.frames >= LITE_LOG_IS_LONG && log.copied < log.frames)
        checkpoint_tell_held(lane, &log);
}
