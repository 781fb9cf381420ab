/* SPDX-License-Identifier: MIT */
/*
 * A lane's thread: take a run of queries from its queue, work it off, hand back what is finished, until the queue is
 * empty. Before each run the connection is brought into order: open, outside of any transaction, and to the file that
 * has the name.
 */
#include "lite/db.h"
#include "lite/lane.h"

#include <stdlib.h>

enum { MIN_SHARE = 8 };

static const uint64_t CHECK_FILE_NS = 100000000; /* of readers; the writer looks before each run */

/* A longer unit waits than any before. Nothing of the run before is at hand any more. */
static __attribute__((cold, noinline)) void serve_take_room(struct lite_lane *lane) {
    free(lane->own.taken);
    lane->own.taken = lane->queue->room;
    lane->queue->room = NULL;
}

/*
 * Takes a fair share of the queue, up to the depth: small enough to leave work to other lanes, large enough that the lock
 * and the transaction cost little beside the reads. False: nothing is there, and the lane is idle from here on.
 */
static bool serve_take(struct lite_lane *lane) {
    struct lane_queue *queue = lane->queue;
    uint32_t lanes = queue == &lane->db->reads ? lane->db->lane_count - 1 : 1;
    lane_queue_lock(queue);
    lane_queue_let_go(queue, lane->shared.held_count);
    if (base_unlikely(queue->room != NULL))
        serve_take_room(lane);
    uint32_t share = (lane_queue_count(queue) + lanes - 1) / lanes;
    if (share < MIN_SHARE)
        share = MIN_SHARE;
    if (share > lane->db->base.options.depth)
        share = lane->db->base.options.depth;
    bool reserved = atomic_load_explicit(&lane->shared.reserved, memory_order_relaxed);
    lane->own.taken_count = base_likely(!reserved) ? lane_queue_take(queue, lane->own.taken, share) : 0;
    lane->own.tx.runs = lane->own.taken_count > 0 && lite_in_tx(lane->own.taken[0]);
    lite_lane_move(lane, lane->own.taken_count > 0 ? LANE_WORKING : LANE_IDLE);
    lane->shared.held_count = lane->own.taken_count;
    lane_queue_unlock(queue);
    lane->own.next = 0;
    return lane->own.taken_count > 0;
}

static void serve_open_conn(struct lite_lane *lane) {
    if (lane->conn.handle || lane->own.lost || atomic_load(lane->db->config.closing))
        return;
    lane->own.news.tried_at_ns = lite_now_ns();
    if (lite_conn_open(&lane->conn)) {
        lane->own.news.open_count++;
        lite_lane_tell(lane, QURING_EVENT_CONNECTED, "", "");
    } else {
        const quring_error *why = &lane->conn.open_error.view;
        lane->own.news.open_failure_count++;
        lite_lane_tell(lane, QURING_EVENT_REFUSED, why->sqlstate, why->message);
    }
    lite_lane_report(lane);
}

static void serve_note_end(struct lite_lane *lane, const char *sqlstate, const char *message) {
    bool closing = atomic_load(&lane->db->closing);
    lane->own.news.close_count++;
    lane->own.tx.lost |= lane->own.tx.begun;
    lite_lane_tell(lane, closing ? QURING_EVENT_CLOSED : QURING_EVENT_LOST, sqlstate, message);
}

static void serve_close_conn(struct lite_lane *lane, const char *sqlstate, const char *message) {
    lite_conn_close(&lane->conn);
    serve_note_end(lane, sqlstate, message);
}

static const char serve_file_is_gone[] = "the database's file was deleted or replaced while it was open";
static const char serve_memory_is_read_only[] =
    "the memory beside the file, which WAL mode shares, could not be opened for writing";
static const char serve_transaction_is_stuck[] = "the connection's transaction could not be ended";

/* Readers hear from others that the file lost its name, or find out by themselves where nothing is written. */
static bool serve_reader_file_is_gone(struct lite_lane *lane) {
    uint64_t now_ns = lane->conn.watch.taken_ns;
    if (base_unlikely(lite_file_is_leaving(&lane->conn.member)))
        return true;
    if (now_ns - lane->own.checked_ns < CHECK_FILE_NS)
        return false;
    lane->own.checked_ns = now_ns;
    if (!lite_conn_file_is_gone(&lane->conn))
        return false;
    lite_file_condemn(&lane->conn.member);
    return true;
}

/* `hint` says what to do where the connection can be opened again; NULL: it is opened at once. */
static void serve_note_loss(struct lite_lane *lane, const char *sqlstate, const char *message, const char *hint) {
    struct lite_conn *conn = &lane->conn;
    lane->own.lost = conn->role == LITE_EXCLUSIVE || conn->has_settings;
    error_set(&conn->open_error, sqlstate, message, NULL,
              lane->own.lost ? "open another handle: what was set on this one is gone" : hint, 0);
}

/* A file without a name is gone with the last process that has it open, and with it all that was written there. */
static void serve_note_gone(struct lite_lane *lane) {
    serve_note_loss(lane, "58P01", serve_file_is_gone, "the next query opens the file of that name");
    lane->conn.open_error.view.backend_code = SQLITE_READONLY_DBMOVED;
}

static void serve_check_file(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    if (conn->role == LITE_READER) {
        if (base_unlikely(serve_reader_file_is_gone(lane))) {
            serve_close_conn(lane, "58P01", serve_file_is_gone);
            serve_open_conn(lane);
        }
        return;
    }
    if (!conn->config->path)
        return;
    if (base_unlikely(lite_conn_file_is_gone(conn))) {
        lite_file_condemn(&conn->member);
        serve_close_conn(lane, "58P01", serve_file_is_gone);
        serve_note_gone(lane);
    } else if (base_unlikely(lite_file_is_leaving(&conn->member))) {
        serve_note_loss(lane, "58030", serve_memory_is_read_only, NULL);
        serve_close_conn(lane, "58030", serve_memory_is_read_only);
        serve_open_conn(lane);
    }
}

/* True: the queries at hand are refused for it. */
static bool serve_was_evicted(struct lite_lane *lane) {
    if (base_likely(!lane->conn.member.evicted))
        return false;
    lane->conn.member.evicted = false;
    serve_note_end(lane, "58P01", serve_file_is_gone);
    if (lane->conn.role == LITE_READER)
        return false;
    serve_note_gone(lane);
    return true;
}

/*
 * Nothing may be left of the run before: a reader that could not end its transaction would see an old snapshot for ever, and what
 * a writer ran in it would end well and be gone. False: the connection can't be used now, nor be closed without its database.
 */
static bool serve_settle(struct lite_lane *lane) {
    struct lite_conn *conn = &lane->conn;
    bool keeps = conn->role == LITE_EXCLUSIVE || lane->own.tx.begun;
    if (!conn->handle || (base_likely(!conn->unsettled) && (keeps || !lite_conn_in_transaction(conn))))
        return true;
    lite_conn_roll_back(conn);
    if (!conn->unsettled)
        return true;
    if (!conn->config->path) {
        error_set(&conn->open_error, "58030", serve_transaction_is_stuck, NULL, "submit it again", 0);
        return false;
    }
    serve_note_loss(lane, "58030", serve_transaction_is_stuck, NULL);
    serve_close_conn(lane, "58030", serve_transaction_is_stuck);
    serve_open_conn(lane);
    return true;
}

/* No query of the run can have had an effect, so all of them are NOT_SENT, with the reason why there is no connection. */
static void serve_refuse(struct lite_lane *lane) {
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

static void serve_work(struct lite_lane *lane) {
    uint64_t began_ns = lite_now_ns();
    lite_lane_count_waits(lane);
    lane->conn.watch.taken_ns = lane->own.reported_ns = began_ns;
    if (base_unlikely(lane->conn.wal == LITE_WAL_LATER))
        lite_wal_move(&lane->conn, LITE_WAL_WANTED);
    bool settled = serve_settle(lane);
    if (lane->conn.handle)
        serve_check_file(lane);
    bool usable = settled && lane->conn.handle;
    if (lane->own.tx.runs && (usable || lane->own.tx.lost))
        lite_lane_run_tx(lane);
    else if (!usable)
        serve_refuse(lane);
    else if (lane->conn.role == LITE_READER)
        lite_lane_read(lane);
    else
        lite_lane_write(lane);
    if (base_unlikely(lane->conn.unsettled)) /* it would hold up other connections while nothing comes */
        (void)serve_settle(lane);
    if (lane->own.next == 0) /* all of it was given back */
        return;
    uint64_t query_ns = (lite_now_ns() - began_ns) / lane->own.next;
    lane->own.news.query_ns = query_ns < UINT32_MAX ? (uint32_t)query_ns : UINT32_MAX;
}

static void serve_do_chores(struct lite_lane *lane) {
    uint8_t chores = lane->handed.chores;
    lane->handed.chores = 0;
    if (chores & LITE_ROLLS_BACK) {
        lite_lane_roll_back(lane);
        (void)serve_settle(lane);
    }
    if (chores & LITE_ASKS_LOG && lane->conn.handle && !lite_conn_in_transaction(&lane->conn))
        lite_lane_ask_log(lane);
    if (!(chores & LITE_RESTARTS_LOG))
        return;
    if (lane->conn.handle && !lite_conn_in_transaction(&lane->conn) && atomic_load(&lane->db->wal.drained))
        lite_lane_checkpoint(lane);
    lane->own.news.wal_tried = true; /* also where it could not be, so that nothing goes on waiting for it */
}

/* A job of the reactor: serves the queue until it is empty. */
static void serve_queue(struct job *job) {
    struct lite_post *post = base_container_of(job, struct lite_post, job);
    struct lite_lane *lane = post->lane;
    PRE(lane->shared.phase == LANE_CALLED);
    lite_member_enter(&lane->conn.member);
    bool evicted = serve_was_evicted(lane);
    if (base_unlikely(lane->handed.chores))
        serve_do_chores(lane);
    if (!evicted)
        serve_open_conn(lane);
    while (serve_take(lane)) {  /* the end of the job reports too: so what came before it, only if there is more */
        if (!lane->own.tx.runs) /* these are short runs, of one transaction each, which report when it is due */
            lite_lane_report(lane);
        serve_work(lane);
    }
    lite_lane_load_news(lane, post);
    lite_member_leave(&lane->conn.member);
}

/* The last job: closes the connection. */
static void serve_shut(struct job *job) {
    struct lite_post *post = base_container_of(job, struct lite_post, job);
    struct lite_lane *lane = post->lane;
    PRE(lane->shared.phase == LANE_IDLE);
    lite_member_enter(&lane->conn.member);
    (void)serve_was_evicted(lane);
    if (lane->conn.handle)
        serve_close_conn(lane, "57P01", "the database handle was closed");
    lite_lane_load_news(lane, post);
    lite_member_leave(&lane->conn.member);
}

static void serve_post_init(struct lite_post *post, struct lite_lane *lane, void (*run)(struct job *),
                            void (*done)(struct job *)) {
    *post = (struct lite_post){.job = {.run = run, .done = done}, .lane = lane};
}

bool lite_lane_init(struct lite_lane *lane, struct lite_db *db, enum lite_role role, bool apart,
                    const struct lite_lane_events *events) {
    PRE(db->base.options.depth > 0);
    bool ok = lite_lane_set_up(lane, db, role, apart);
    for (int i = 0; i < 2; i++)
        serve_post_init(&lane->reactor.jobs[i], lane, serve_queue, events->news);
    for (int i = 0; i < LITE_REPORTS; i++)
        serve_post_init(&lane->own.reports[i], lane, NULL, events->news);
    serve_post_init(&lane->reactor.closer, lane, serve_shut, events->shut);
    return ok;
}

/* ---- Calling it, on the reactor's thread ---- */

static struct lite_post *serve_unused_job(struct lite_lane *lane) {
    for (int i = 0; i < 2; i++)
        if (!atomic_load_explicit(&lane->reactor.jobs[i].in_use, memory_order_relaxed))
            return &lane->reactor.jobs[i];
    return NULL; /* both are on their way back, and when they come there is another turn */
}

struct lite_post *lite_lane_call(struct lite_lane *lane) {
    struct lite_post *post = lane->shared.phase == LANE_IDLE ? serve_unused_job(lane) : NULL;
    if (post)
        lite_lane_move(lane, LANE_CALLED);
    return post;
}

void lite_lane_post(struct lite_post *post) {
    PRE(post->lane->shared.phase == LANE_CALLED);
    atomic_store_explicit(&post->in_use, true, memory_order_relaxed);
    worker_post(post->lane->thread, &post->job);
}
