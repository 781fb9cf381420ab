/* SPDX-License-Identifier: MIT */
/* The writer's lane copies the log into the file, and has it start over, between two transactions. */
#include "lite/db.h"
#include "lite/lane.h"

#include <stdio.h>

static const uint64_t RESTART_WAIT_NS = 200000000; /* for each LITE_WAL_FRAMES_MAX of the log */
static const uint64_t RESTART_WAIT_MAX_NS = 5000000000;

/* The longer the log, the longer are the reads that are worth waiting for. */
static uint64_t checkpoint_restart_wait_ns(uint32_t frames) {
    uint64_t wait_ns = RESTART_WAIT_NS * (frames / LITE_WAL_FRAMES_MAX);
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
static void checkpoint_tell_held(struct lite_lane *lane, int frames, int copied) {
    char message[200];
    lane->own.news.wal_held_count++;
    if (!lane->conn.trace)
        return;
    snprintf(
        message, sizeof message,
        "the log has %d pages, and can't start over: a read that goes on needs it, and keeps %d of them from the file",
        frames, frames - copied);
    lite_lane_tell(lane, QURING_EVENT_WAL_HELD, "", message);
}

/*
 * The writer checkpoints when what it wrote was reported, instead of within a commit. Readers that overlap for ever would
 * keep the log from starting over: once it is long, no read begins until those at work have ended, for a bounded time. A
 * read that takes longer than that, or one of another process, lets the log grow by a quarter before the next try.
 */
void lite_lane_checkpoint(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    int frames = 0, copied = 0;
    uint32_t before = conn->wal_frame_count;
    bool restart = before >= lane->own.next_restart;
    if (restart)
        lite_lane_bar_reads(lane, true);
    conn->watch.wait_until_ns = lite_now_ns() + (restart ? checkpoint_restart_wait_ns(before) : 0);
    int mode = restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
    int code = sqlite3_wal_checkpoint_v2(conn->handle, "main", mode, &frames, &copied);
    conn->watch.wait_until_ns = conn->watch.locked_since_ns = 0;
    bool all = code == SQLITE_OK && copied == frames;
    bool counted = frames >= 0; /* not where another connection is at a checkpoint */
    lane->own.news.wal_seen = restart && all ? 1 : before + 1;
    if (before >= LITE_WAL_FRAMES_MAX && !all && counted)
        checkpoint_tell_held(lane, frames, copied);
    if (restart) {
        lite_lane_bar_reads(lane, false);
        lite_lane_report(lane); /* whoever waits for a read should not wait for the next write, too */
    }
    if (restart && code != SQLITE_OK)
        lane->own.next_restart = before + before / 4;
    lane->own.next_checkpoint = before + LITE_CHECKPOINT_FRAMES;
    lane->own.checkpointed_frames = before;
    conn->wal_frame_count = 0; /* until the next commit counts them */
}
