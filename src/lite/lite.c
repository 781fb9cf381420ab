/* SPDX-License-Identifier: MIT */
/*
 * The SQLite backend: blocking work on a few threads, in runs of many queries.
 *
 *   lite.c        the database handle (db.h), on the reactor's thread: opening, turns, closing
 *   news.c        what lanes tell the handle: queries that ended, connections, the log
 *   abandon.c     queries that are given up
 *   route.c       which queue a query goes to
 *   tx.c          transactions on the reactor's thread: who has which lane, and what became of them
 *   snapshots.c   how long transactions that only read may keep their snapshots
 *   log_gate.c    when transactions that only read wait for the log to start over
 *   lanes.c       makes lanes, wakes and interrupts them
 *   order.c       queries with an order key: which lane they go to, and when
 *   serve.c       a lane's thread: takes queries, and keeps its connection open and in order
 *   write.c       runs of the writer and of exclusive lanes: groups, and transactions that an error ended
 *   batch.c       ATOMIC batches
 *   tx_run.c      runs of queries of one transaction
 *   work.c        runs of readers, and for all lanes: running a query, giving back what was not begun
 *   batch_end.c   ends of ATOMIC batches that failed
 *   checkpoint.c  copies the log into the file, and has it start over
 *   report.c      what a lane tells the reactor
 *   lane_queue.c  queries that wait for a lane; the only thing that both sides touch, under a lock
 *   file.c        which files the process has open, so that no two are under one name
 *   line.c        those that want to write one file, of all handles of the process
 *   conn.h        one connection: open.c, exec.c, rules.c, stmt.c, bind.c, wal.c, watch.c, harden.c, conn.c
 *   url.c  text.c  lite_error.c    pure parts: URLs, first words of a statement, SQLSTATEs
 *
 * A file calls only files that stand behind it here. A lane tells its handle by jobs (struct lite_lane_events).
 *
 *      advance() --route--> lane queue "reads"  --> reader lane 1 … n --+--> news --> query_finish()
 *                   |                                 | it writes       |
 *                   +-----> lane queue "writes" <-----+                 |
 *                                 +--> the writer lane -----------------+
 *
 * A file has one writer lane, the only connection that writes or checkpoints, and options.connection_count readers, in
 * WAL mode from its first write on. A database in memory and an exclusive handle have one lane, which does everything. What
 * a transaction adds to that is in tx.h.
 * Which statements write is what SQLite says (sqlite3_stmt_readonly): a reader that meets one sends it on, and the
 * statement's route remembers.
 *
 * Invariants
 *   A RUNNING query is in exactly one of: a lane queue, a lane's hands, a post on its way back. Only in the first case
 *   may the reactor touch more of it than `abandoned_as` and the list links; withdrawing and taking are under one lock.
 *   What was abandoned in a lane's hands ends when the lane gives it back, as what the engine said first.
 *   A lane's connection is only ever touched on its thread, also when it is closed; but once its file lost the name, a thread
 *   that waits for the name closes it while the lane is idle.
 *
 * A file that can't be opened is tried again with every job, and the queries at hand end with NOT_SENT and SQLite's own
 * message: nothing of them ran. So does a file that is no database, or a corrupt header. Corruption that a query meets
 * later is that query's SERVER_ERROR. The writer looks before each run whether the file still has its name: if not, the run
 * ends with NOT_SENT, too, and all lanes open what has the name then; a lane on which the caller had set something is lost.
 * Readers look ten times a second, for themselves and the others, and go on with what has the name then. It is not opened
 * before the process's last connection to the old file is closed (file.h), so what was begun there ends first.
 */
#include "lite/abandon.h"
#include "lite/backend.h"
#include "lite/db.h"
#include "lite/lanes.h"
#include "lite/news.h"
#include "lite/order.h"
#include "lite/route.h"
#include "lite/snapshots.h"
#include "lite/tx.h"

#include <stdlib.h>
#include <string.h>

enum { READER_COUNT = 2, DEPTH = 256, STATEMENT_TEXT_MAX = 65536 };

static const uint64_t SNAPSHOT_NS = 60000000000;

static void lite_warm_up(struct quring_db *db);
static void lite_news_arrived(struct job *job);
static void lite_shut_arrived(struct job *job);

static const struct lite_lane_events lane_events = {.news = lite_news_arrived, .shut = lite_shut_arrived};

/* ---- Opening ---- */

static void lite_free(struct lite_db *lite) {
    lite_free_lanes(lite);
    lane_queue_free(&lite->reads);
    lane_queue_free(&lite->writes);
    statement_table_free(lite->base.statements);
    free(lite->url.path);
}

static int lite_check_options(struct lite_db *lite) {
    quring_db_options *options = &lite->base.options;
    if (!options->connection_count)
        options->connection_count = READER_COUNT;
    if (!options->depth)
        options->depth = DEPTH;
    if (!options->snapshot_ns)
        options->snapshot_ns = SNAPSHOT_NS;
    if (options->connection_count >= LITE_LANES_MAX)
        return hub_error(lite->base.hub, QURING_EINVAL, "options.connection_count: at most %d SQLite readers",
                         LITE_LANES_MAX - 1);
    if (!sqlite3_threadsafe()) /* then not even connections of their own may be used by several threads */
        return hub_error(lite->base.hub, QURING_EUNSUPPORTED, "this SQLite was compiled without support for threads");
    if (sqlite3_initialize() != SQLITE_OK)
        return hub_error(lite->base.hub, QURING_ESYSTEM, "SQLite could not be initialised");
    return 0;
}

static int lite_set_up(struct lite_db *lite, const char *url) {
    struct hub *hub = lite->base.hub;
    int error = lite_check_options(lite);
    if (!error)
        error = lite_url_parse(url, &lite->url, hub->message, sizeof hub->message);
    if (error)
        return error;
    lite->config = (struct lite_config){.path = lite->url.path,
                                        .mode = lite->url.mode,
                                        .immutable = lite->url.immutable,
                                        .durability = lite->base.options.durability,
                                        .busy_timeout_ns = lite->base.options.busy_timeout_ns,
                                        .statement_count = lite->base.options.statement_count,
                                        .closing = &lite->closing,
                                        .open_from_ns = &lite->open_from_ns};
    lite->writes.unit_most = lite->base.options.depth;
    lite->base.statements = statement_table_new(lite->config.statement_count, STATEMENT_TEXT_MAX, NULL);
    return lite->base.statements ? lite_open_lanes(lite) : QURING_ENOMEM;
}

static int lite_open(struct quring_db *db, const char *url) {
    struct lite_db *lite = lite_of(db);
    order_place_init(&lite->order);
    lite->events = &lane_events;
    lite_tx_init(lite);
    if (!lane_queue_init(&lite->reads))
        return QURING_ENOMEM;
    if (!lane_queue_init(&lite->writes)) {
        lane_queue_free(&lite->reads);
        return QURING_ENOMEM;
    }
    int error = lite_set_up(lite, url);
    if (error)
        lite_free(lite);
    else if (db->options.warm_up)
        lite_warm_up(db);
    return error;
}

/* ---- Waking ---- */

static bool lite_lane_is_cold(const struct lite_lane *lane) {
    return !lane->reactor.is_open && !lane->reactor.tried;
}

static bool lite_is_warming(struct lite_db *lite) {
    bool cold = false;
    for (uint32_t i = 0; lite->warming && i < lite->lane_count; i++)
        cold |= lite_lane_is_cold(&lite->lanes[i]);
    lite->warming = cold;
    return cold;
}

/* Each lane that has no connection tries once more, the writer first. */
static void lite_warm_up(struct quring_db *db) {
    struct lite_db *lite = lite_of(db);
    lite->warming = true;
    lite->warm_at_ns = lite_now_ns();
    for (uint32_t i = 0; i < lite->lane_count; i++)
        lite->lanes[i].reactor.tried = false;
    if (lite->state == LITE_OPEN && !lite->writer_is_open)
        lite_move(lite, LITE_COLD);
    db_due(db);
}

static uint32_t lite_missing(const struct quring_db *db, bool *hopeless) {
    const struct lite_db *lite = base_container_of(db, struct lite_db, base);
    uint32_t missing = 0;
    *hopeless = true;
    for (uint32_t i = 0; i < lite->lane_count; i++) {
        missing += !lite->lanes[i].reactor.is_open;
        *hopeless &= !lite_lane_is_cold(&lite->lanes[i]);
    }
    return missing;
}

/* Those that wait for others of their key (order.h) have been looked at before. */
static bool lite_has_new(const struct lite_db *lite) {
    list_for_each(node, &lite->base.ready)
        if (list_entry(node, struct queue, ready)->waiting_count)
            return true;
    return false;
}

static void lite_advance(struct quring_db *db) {
    struct lite_db *lite = lite_of(db);
    if (lite->state == LITE_CLOSING)
        return;
    bool is_new = !lite->writer_is_open && lite_has_new(lite);
    if (!list_empty(&db->ready))
        lite_admit(lite);
    lite_tx_advance(lite);
    if (!lite->reads_count && !lite->writes_count && !lite_is_warming(lite) && !lite_tx_waits(lite))
        return;
    if (is_new && lite->state == LITE_OPEN)
        lite_move(lite, LITE_COLD); /* not before there is work, for which the writer's lane is called */
    if (lite->state == LITE_COLD) {
        lite_move(lite, LITE_OPENING);
        atomic_store(&lite->open_from_ns, lite_now_ns());
    }
    if (lite->writes_count || lite->state == LITE_OPENING)
        (void)lite_wake(&lite->writes, lite->lanes, 1, 0, lite->state == LITE_OPENING);
    if (lite->state == LITE_OPEN && lite->reads_count &&
        lite_wake(&lite->reads, lite->lanes + 1, lite->lane_count - 1, lite->read_ns, 0))
        lite_relieve_later(lite);
    for (uint32_t i = 1; lite->warming && lite->state == LITE_OPEN && i < lite->lane_count; i++)
        if (lite_lane_is_cold(&lite->lanes[i]))
            (void)lite_wake(&lite->reads, &lite->lanes[i], 1, 0, 1);
}

/* ---- What lanes hand back ---- */

/* The next advance() wakes a lane for what a stuck one gave back to the queue, or for reads that were held back. */
static void lite_news_arrived(struct job *job) {
    struct lite_post *post = base_container_of(job, struct lite_post, job);
    PRE(atomic_load_explicit(&post->in_use, memory_order_relaxed));
    lite_take_news(post);
    db_due(&post->lane->db->base);
    atomic_store_explicit(&post->in_use, false, memory_order_release);
}

/* ---- Closing ---- */

static void lite_post_closer(struct lite_lane *lane) {
    worker_post(lane->thread, &lane->reactor.closer.job);
}

/* Readers close first, so that the last connection, whose closing checkpoints, is the writer's. */
static void lite_close(struct quring_db *db) {
    struct lite_db *lite = lite_of(db);
    PRE(list_empty(&db->ready));
    lite_move(lite, LITE_CLOSING);
    db->leaving_count = 0; /* a lane that closes leaves nothing behind */
    atomic_store(&lite->closing, true);
    lite->open_lane_count = lite->made_count;
    for (uint32_t i = 1; i < lite->made_count; i++)
        lite_post_closer(&lite->lanes[i]);
    if (lite->made_count == 1)
        lite_post_closer(&lite->lanes[0]);
}

/* All lanes are shut, so what is still queued ends here. */
static void lite_drop_queue(struct lite_db *lite, struct lane_queue *queue) {
    struct query *query;
    lane_queue_lock(queue);
    while ((query = lane_queue_take_one(queue))) {
        lane_queue_let_go(queue, 1);
        if (base_unlikely(lite_in_tx(query)))
            --*lite_tx(query->queue->tx)->count;
        else
            lite_left(lite, query);
        lite_finish_abandoned(query, QURING_SHUTDOWN);
    }
    lane_queue_unlock(queue);
}

static void lite_shut_arrived(struct job *job) {
    struct lite_post *post = base_container_of(job, struct lite_post, job);
    struct lite_db *lite = post->lane->db;
    PRE(lite->state == LITE_CLOSING && lite->open_lane_count > 0);
    lite_take_news(post);
    lite->open_lane_count--;
    if (lite->open_lane_count == 1 && lite->made_count > 1)
        lite_post_closer(&lite->lanes[0]);
    if (lite->open_lane_count == 0) {
        lite_drop_queue(lite, &lite->reads);
        lite_drop_queue(lite, &lite->writes);
        for (uint32_t i = 0; i < lite->made_count; i++)
            lite_drop_queue(lite, &lite->lanes[i].leased);
        timer_clear(lite->base.hub->ring, &lite->interrupt);
        timer_clear(lite->base.hub->ring, &lite->relief.timer);
        timer_clear(lite->base.hub->ring, &lite->wal.timer);
        timer_clear(lite->base.hub->ring, &lite->wal.look);
        lite->base.closed = true;
        db_due(&lite->base);
    }
}

static void lite_fill_stats(const struct quring_db *db, quring_db_stats *stats) {
    const struct lite_db *lite = base_container_of(db, struct lite_db, base);
    stats->wal_held_count = lite->wal.held_count;
    stats->wal_page_count = lite->wal.page_count;
    stats->wal_wait_count = lite->wal.wait_count;
    stats->snapshot_ns = lite_snapshots_oldest_ns(lite);
    for (uint32_t i = 0; i < lite->made_count; i++)
        for (size_t bucket = 0; bucket < QURING_WAIT_BUCKETS; bucket++)
            stats->wait_count[bucket] += atomic_load_explicit(&lite->lanes[i].wait_count[bucket], memory_order_relaxed);
}

static void lite_look_at_lane(struct lite_lane *lane, quring_db_info *info) {
    lane_queue_lock(lane->queue);
    bool idle = lane->shared.phase == LANE_IDLE;
    lane_queue_unlock(lane->queue);
    if (lane->reactor.is_open) {
        info->up_count++;
        info->idle_count += idle;
        info->busy_count += !idle;
    } else {
        info->connecting_count += !idle;
    }
}

static void lite_look(const struct quring_db *db, uint64_t now_ns, quring_db_info *info) {
    const struct lite_db *lite = base_container_of(db, struct lite_db, base);
    (void)now_ns;
    info->wanted_count = lite->made_count;
    for (uint32_t i = 0; i < lite->made_count; i++)
        lite_look_at_lane(&lite->lanes[i], info);
    info->reason_at_ns = lite->last.at_ns;
    memcpy(info->sqlstate, lite->last.sqlstate, sizeof info->sqlstate);
    info->message = lite->last.message;
}

static void lite_destroy(struct quring_db *db) {
    PRE(db->closed);
    lite_order_close(lite_of(db));
    lite_free(lite_of(db));
}

const struct backend lite_backend = {
    .name = "sqlite",
    .db_bytes = sizeof(struct lite_db),
    .timer_count = 4,
    .accepts = lite_url_accepts,
    .open = lite_open,
    .advance = lite_advance,
    .abandon = lite_abandon,
    .detach = lite_detach,
    .tx_changed = lite_tx_changed,
    .close = lite_close,
    .warm_up = lite_warm_up,
    .missing = lite_missing,
    .look = lite_look,
    .fill_stats = lite_fill_stats,
    .destroy = lite_destroy,
};
