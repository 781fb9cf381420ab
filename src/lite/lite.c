/* SPDX-License-Identifier: MIT */
/*
 * The SQLite backend: blocking work on a few threads, in runs of many queries.
 *
 *   lite.c        the database handle (db.h), on the reactor's thread: routing, completions, abandoning queries, closing
 *   tx.c          transactions on the reactor's thread: who has which lane, and what became of them
 *   lanes.c       makes lanes, wakes and interrupts them
 *   order.c       queries with an order key: which lane they go to, and when
 *   serve.c       a lane's thread: takes queries, and keeps its connection open and in order
 *   write.c       runs of the writer and of exclusive lanes: groups, and transactions that an error ended
 *   batch.c       ATOMIC batches
 *   tx_run.c      runs of queries of one transaction
 *   lane.c        runs of readers, and for all lanes: running a query, handing back, checkpoints
 *   lane_queue.c  queries that wait for a lane; the only thing that both sides touch, under a lock
 *   file.c        which files the process has open, so that no two are under one name
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
#include "core/batch.h"
#include "core/detach.h"
#include "core/status.h"
#include "lite/backend.h"
#include "lite/db.h"
#include "lite/lanes.h"
#include "lite/order.h"
#include "lite/text.h"
#include "lite/tx.h"

#include <stdlib.h>
#include <string.h>

enum { READER_COUNT = 2, DEPTH = 256, STATEMENT_TEXT_MAX = 65536 };

static const uint64_t SNAPSHOT_NS = 60000000000;

static void lite_warm_up(struct quring_db *db);
static void lite_news_arrived(struct job *job);
static void lite_shut_arrived(struct job *job);

static const struct lite_lane_events lane_events = {.news = lite_news_arrived, .shut = lite_shut_arrived};

/* For each state the set of states that may follow it, as bits. */
static const uint8_t lite_moves[LITE_CLOSING + 1] = {
    [LITE_COLD] = 1 << LITE_OPENING | 1 << LITE_CLOSING,
    [LITE_OPENING] = 1 << LITE_OPEN | 1 << LITE_CLOSING,
    [LITE_OPEN] = 1 << LITE_COLD | 1 << LITE_CLOSING,
};

static void lite_move(struct lite_db *lite, enum lite_state to) {
    PRE(lite_moves[lite->state] >> to & 1);
    lite->state = to;
}

static struct lite_db *lite_of(struct quring_db *db) {
    return base_container_of(db, struct lite_db, base);
}

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

/* ---- Ending queries ---- */

static void lite_finish(struct query *query) {
    quring_status abandoned =
        (quring_status)atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    if (base_unlikely(abandoned))
        lite_finish_abandoned(query, abandoned);
    else
        query_finish(query, (quring_status)query->status);
}

/* ---- Routing ---- */

static struct lane_queue *lite_queue_of(struct lite_db *lite, struct query *query) {
    return lite_query(query)->route & LITE_TO_READER ? &lite->reads : &lite->writes;
}

static uint32_t *lite_count_of(struct lite_db *lite, struct query *query) {
    return lite_query(query)->route & LITE_TO_READER ? &lite->reads_count : &lite->writes_count;
}

/* A query is in no queue and with no lane any more. */
static inline void lite_left(struct lite_db *lite, struct query *query) {
    --*lite_count_of(lite, query);
    if (base_unlikely(query->key != NULL))
        lite_order_ended(query);
}

static uint8_t lite_route_of(const struct lite_db *lite, struct quring_statement *statement) {
    if (base_unlikely(!statement->route))
        statement->route = lite_text_route(statement->sql, statement->length);
    uint8_t route = statement->route;
    if (lite->only_writer && route & LITE_TO_READER)
        route = LITE_TO_WRITER;
    return route;
}

/* All members of a unit go to one lane, and most units write. */
static uint8_t lite_route_unit(struct query *query, uint8_t route) {
    lite_query(query)->reads = route & LITE_TO_READER;
    return LITE_TO_WRITER;
}

/* False: there is no memory for all members of the units of a chain, so that a part of one could be all that goes to a lane. */
static __attribute__((noinline)) bool lite_reserve_units(struct lane_queue *queue, const struct lite_chain *chain) {
    lane_queue_lock(queue);
    bool ok = lane_queue_reserve(queue, chain->count);
    lane_queue_unlock(queue);
    return ok;
}

static void lite_refuse_chain(struct lite_db *lite, struct query *query) {
    for (struct query *next; query; query = next) {
        next = lite_query(query)->next;
        ++*lite_count_of(lite, query);
        lite_left(lite, query);
        query_fail(query, QURING_NOT_SENT, "53200", "out of memory");
    }
}

/* Puts a chain into one lane queue, under one lock. */
static void lite_enqueue(struct lite_db *lite, struct lane_queue *queue, struct lite_chain *chain) {
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
    lite_refuse_chain(lite, query);
}

static inline void lite_admit_one(struct lite_db *lite, struct lite_chain *to, struct query *query, uint8_t route) {
    lite_query(query)->route = route;
    atomic_store_explicit(&lite_query(query)->abandoned_as, 0, memory_order_relaxed);
    lite_chain_add(to, query);
    if (base_unlikely(query->key != NULL))
        lite_order_began(lite, query);
}

/* Those that had to wait for reads of their keys. */
static __attribute__((cold, noinline)) void lite_admit_parked(struct lite_db *lite, struct lite_chain *reads,
                                                              struct lite_chain *writes) {
    struct order_key *key;
    while ((key = order_place_next(&lite->order))) {
        struct query *query;
        while ((query = queue_first_parked(key))) {
            uint8_t route = lite_route_of(lite, query->statement);
            if (!lite_order_may_run(key, &route))
                break;
            lite_admit_one(lite, route & LITE_TO_READER ? reads : writes, queue_take_parked(key), route);
        }
        lite_order_looked(key);
    }
}

/* True: the query, which has a key, has to wait for reads of that, or is behind one that has to. */
static __attribute__((cold, noinline)) bool lite_parks(struct lite_db *lite, struct query *query, uint8_t *route) {
    if (list_empty(&query->key->parked) && lite_order_may_run(query->key, route))
        return false;
    queue_park(query, ring_now_ns(lite->base.hub->ring) | 1);
    return true;
}

static void lite_admit(struct lite_db *lite) {
    struct lite_chain reads, writes;
    lite_chain_init(&reads);
    lite_chain_init(&writes);
    if (base_unlikely(!list_empty(&lite->order.waiting)))
        lite_admit_parked(lite, &reads, &writes);
    bool units = lite->base.queue.unit_waiting_count != 0;
    struct query *query;
    list_for_each_safe(node, &lite->base.ready)
        if (list_entry(node, struct queue, ready)->tx)
            lite_tx_serve(list_entry(node, struct queue, ready)->tx);
    while ((query = queue_first(&lite->base.queue))) {
        uint8_t route = lite_route_of(lite, query->statement);
        if (base_unlikely(query->key != NULL) && lite_parks(lite, query, &route))
            continue;
        if (base_unlikely(query->in_unit))
            route = lite_route_unit(query, route);
        lite_admit_one(lite, route & LITE_TO_READER ? &reads : &writes, queue_take(&lite->base.queue), route);
    }
    lite_enqueue(lite, &lite->reads, &reads);
    if (base_unlikely(units) && !lite_reserve_units(&lite->writes, &writes))
        lite_refuse_chain(lite, writes.first);
    else
        lite_enqueue(lite, &lite->writes, &writes);
}

/* A reader found that the statement writes. It goes straight to the writer from then on. */
static void lite_move_to_writer(struct lite_db *lite, struct query *query) {
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
    lite_enqueue(lite, &lite->writes, &chain);
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

static void lite_advance(struct quring_db *db) {
    struct lite_db *lite = lite_of(db);
    if (lite->state == LITE_CLOSING)
        return;
    bool is_new = !list_empty(&db->ready);
    if (is_new)
        lite_admit(lite);
    lite_tx_advance(lite);
    if (!lite->reads_count && !lite->writes_count && !lite_is_warming(lite) && !lite_tx_waits(lite))
        return;
    if (is_new && lite->state == LITE_OPEN && !lite->writer_is_open)
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

/* ---- News from lanes ---- */

/* An attempt that failed beside others that succeeded is told first, since what is up at the end counts. */
static void lite_note_status(struct lite_db *lite, const struct lite_news *news) {
    struct quring_db *db = &lite->base;
    uint64_t now_ns = ring_now_ns(db->hub->ring);
    for (uint32_t i = 0; i < news->open_failure_count; i++)
        status_failed(db, db->counters.connection_count != 0, false, now_ns);
    if (news->open_count && db->counters.connection_count)
        status_up(db, now_ns);
    if (news->lost || (news->close_count && !db->counters.connection_count))
        status_none_up(db, news->lost, now_ns);
}

static void lite_count_news(struct lite_db *lite, struct lite_lane *lane, const struct lite_news *news) {
    struct db_counters *counters = &lite->base.counters;
    counters->prepare_count += news->prepare_count;
    counters->retry_count += news->retry_count;
    counters->connect_count += news->open_count;
    counters->connect_failure_count += news->open_failure_count;
    counters->connection_count += news->open_count - news->close_count;
    bool was_open = lane->reactor.is_open;
    bool tried = news->open_count || news->open_failure_count || news->lost;
    lane->reactor.tried |= news->lost || (tried && news->tried_at_ns >= lite->warm_at_ns);
    lane->reactor.is_open = was_open + news->open_count - news->close_count > 0;
    lite->only_writer |= news->lost;
    lite_note_status(lite, news);
    if ((tried || news->close_count) && lane == lite->lanes) {
        lite->writer_is_open = news->open_count > 0;
        if (lite->writer_is_open)
            atomic_store(&lite->open_from_ns, 0);
        if (lite->state == LITE_OPENING)
            lite_move(lite, LITE_OPEN);
    }
    if (news->query_ns && lane->queue == &lite->reads)
        lite->read_ns = (7 * lite->read_ns + news->query_ns) / 8;
    if (news->wal_seen)
        lite->wal.page_count = news->wal_seen - 1;
    if (base_unlikely(news->wal_held_count)) {
        lite->wal.held_count += news->wal_held_count;
        lite_tx_limit_snapshots(lite);
    }
}

static void lite_keep_reason(struct lite_reason *last, const struct lite_event *event) {
    last->at_ns = event->report.at_ns;
    memcpy(last->sqlstate, event->sqlstate, sizeof last->sqlstate);
    memcpy(last->message, event->message, sizeof last->message);
}

static void lite_take_events(struct lite_db *lite, struct lite_event *events) {
    for (const struct lite_event *event = events; event; event = event->next) {
        if (lite->base.hub->trace)
            trace_connection(lite->base.hub->trace, &lite->base, &event->report);
        if (*event->message && event->report.kind != QURING_EVENT_WAL_HELD)
            lite_keep_reason(&lite->last, event);
    }
    lite_events_free(events);
}

static void lite_take_news(struct lite_post *post) {
    struct lite_lane *lane = post->lane;
    struct lite_db *lite = lane->db;
    struct query *query, *next;
    lite_count_news(lite, lane, &post->news);
    if (base_unlikely(post->news.events != NULL))
        lite_take_events(lite, post->news.events);
    for (query = post->news.moved; query; query = next) {
        next = lite_query(query)->next;
        lite_move_to_writer(lite, query);
    }
    for (query = post->news.finished; query; query = next) {
        next = lite_query(query)->next;
        __builtin_prefetch(next); /* the lane's thread wrote it last, so it is in another core's cache */
        if (base_unlikely(lite_in_tx(query))) {
            lite_tx_finish(query);
            continue;
        }
        lite_left(lite, query);
        lite_finish(query);
    }
}

/* The next advance() wakes a lane for what a stuck one gave back to the queue, or for reads that were held back. */
static void lite_news_arrived(struct job *job) {
    struct lite_post *post = base_container_of(job, struct lite_post, job);
    PRE(atomic_load_explicit(&post->in_use, memory_order_relaxed));
    lite_take_news(post);
    db_due(&post->lane->db->base);
    atomic_store_explicit(&post->in_use, false, memory_order_release);
}

/* ---- Abandoning and closing ---- */

/* Takes the batch of a query out of its lane queue, if no lane has taken it, and puts its members into a list. */
static bool lite_withdraw_batch(struct lane_queue *queue, struct query *query, struct list *members) {
    list_init(members);
    struct query *first = lane_queue_unit_first(queue, query);
    for (struct query *member = first, *next; member; member = next) {
        next = lane_queue_unit_next(queue, member);
        (void)lane_queue_withdraw(queue, member);
        list_push_back(members, &member->link);
    }
    return first != NULL;
}

/* What no lane has taken was not begun, so the whole batch ends without an effect. */
static bool lite_abandon_batch(struct lite_db *lite, struct query *query, quring_status status) {
    struct lane_queue *queue = lite_queue_of(lite, query);
    struct list members;
    lane_queue_lock(queue);
    bool queued = lite_withdraw_batch(queue, query, &members);
    lane_queue_unlock(queue);
    if (!queued)
        return false;
    *lite_count_of(lite, query) -= query->batch->open_count;
    if (status == QURING_SHUTDOWN) { /* it is said to all of them */
        struct list *node;
        while ((node = list_pop_front(&members)))
            lite_finish_abandoned(list_entry(node, struct query, link), status);
        return true;
    }
    lite_say_abandoned(query, status);
    batch_end_unsent(query, &members, status);
    return true;
}

static void lite_abandon(struct query *query, quring_status status) {
    PRE(query->state == QUERY_RUNNING && status != QURING_OK);
    struct lite_db *lite = lite_of(query->queue->db);
    if (base_unlikely(lite_in_tx(query))) {
        lite_tx_abandon(query, status);
        return;
    }
    struct lane_queue *queue = lite_queue_of(lite, query);
    if (base_unlikely(query->batch != NULL) && lite_abandon_batch(lite, query, status))
        return;
    lane_queue_lock(queue);
    bool queued = !query->in_unit && lane_queue_withdraw(queue, query);
    if (!queued)
        lite_mark_abandoned(query, status);
    lane_queue_unlock(queue);
    if (queued) {
        lite_left(lite, query);
        lite_finish_abandoned(query, status);
        if (lite_tx_waits(lite)) /* for the end of its turn */
            db_due(&lite->base);
    } else {
        lite_interrupt(lite, queue, query);
    }
}

/*
 * A batch that its lane has put back into the queue has had no effect, and ends at once. Without memory for a stand-in the
 * query ends when its lane hands it back.
 */
static void lite_detach(struct query *query) {
    struct lite_db *lite = lite_of(query->queue->db);
    quring_status status = (quring_status)atomic_load_explicit(&lite_query(query)->abandoned_as, memory_order_relaxed);
    if (!status || (query->batch && lite_abandon_batch(lite, query, status)))
        return;
    struct query *stand_in = stand_in_new(query);
    if (!stand_in)
        return;
    if (lite_in_tx(query))
        lite_tx_detach(query, stand_in);
    else
        lite_detach_with(lite, lite_queue_of(lite, query), query, stand_in);
}

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
        lite->base.closed = true;
        db_due(&lite->base);
    }
}

static void lite_fill_stats(const struct quring_db *db, quring_db_stats *stats) {
    const struct lite_db *lite = base_container_of(db, struct lite_db, base);
    stats->wal_held_count = lite->wal.held_count;
    stats->wal_page_count = lite->wal.page_count;
    stats->snapshot_ns = lite_tx_oldest_ns(lite);
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
    .timer_count = 2,
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
