/* SPDX-License-Identifier: MIT */
#include "core/queue.h"

#include "core/batch.h"
#include "core/trace.h"
#include "core/wait.h"

#include <stdarg.h>

void queue_init(struct queue *queue, struct quring_db *db) {
    PRE(db);
    *queue = (struct queue){.db = db};
    list_init(&queue->waiting);
    list_init(&queue->ready);
    list_init(&queue->joined);
}

/* The first query that waits puts its queue on the list that a turn visits; see queue_left(). */
static inline void queue_joined(struct queue *queue) {
    queue->db->waiting_count++;
    if (queue->waiting_count++ || queue->parked_count)
        return;
    list_push_back(&queue->db->ready, &queue->ready);
    db_due(queue->db);
}

/* The same for those that are parked. */
static void queue_joined_parked(struct query *query) {
    struct queue *queue = query->queue;
    query->parked = true;
    queue->db->waiting_count++;
    if (queue->parked_count++ || queue->waiting_count)
        return;
    list_push_back(&queue->db->ready, &queue->ready);
    db_due(queue->db);
}

static void queue_left_parked(struct query *query) {
    struct queue *queue = query->queue;
    PRE(query->parked && queue->parked_count > 0);
    query->parked = false;
    queue->db->waiting_count--;
    if (--queue->parked_count == 0 && !queue->waiting_count)
        list_remove(&queue->ready);
}

/* The compiler makes it a part of the calls that put a single query. */
static inline void queue_append(struct query *query) {
    struct queue *queue = query->queue;
    query_move(query, QUERY_WAITING);
    query->left_ns = 0;
    list_push_back(&queue->waiting, &query->link);
    queue_joined(queue);
}

void queue_put(struct query *query) {
    queue_append(query);
}

void queue_put_all(struct list *queries) {
    struct list *node;
    while ((node = list_pop_front(queries)))
        queue_append(list_entry(node, struct query, link));
}

void queue_put_unit(struct list *members) {
    PRE(!list_empty(members));
    struct list *node;
    while ((node = list_pop_front(members))) {
        struct query *query = list_entry(node, struct query, link);
        query->in_unit = true;
        query->unit_goes_on = !list_empty(members);
        query->queue->unit_waiting_count++;
        queue_append(query);
    }
}

uint32_t queue_unit_count(const struct queue *queue) {
    uint32_t count = 0;
    list_for_each(node, &queue->waiting) {
        count++;
        if (!list_entry(node, struct query, link)->unit_goes_on)
            break;
    }
    return count;
}

__attribute__((cold, noinline)) void queue_count_wait(const struct query *query) {
    struct quring_db *db = query->queue->db;
    PRE(query->left_ns && db->hub->noted_ns >= query->left_ns);
    db->wait_count[wait_bucket(db->hub->noted_ns - query->left_ns)]++;
}

/* No query is left behind after the time that the hub knows: it may be given away in the same turn, or between two. */
static void queue_note_time(struct queue *queue, uint64_t now_ns) {
    struct hub *hub = queue->db->hub;
    hub->left_behind = true;
    if (hub->noted_ns < now_ns)
        hub->noted_ns = now_ns;
}

/* Queries that came since the last turn are behind all others, and those that were put back before them. */
void queue_leave_behind(struct queue *queue, uint64_t now_ns) {
    PRE(now_ns);
    queue_note_time(queue, now_ns);
    struct list *node = queue->waiting.prev;
    for (; node != &queue->waiting && !list_entry(node, struct query, link)->left_ns; node = node->prev)
        list_entry(node, struct query, link)->left_ns = now_ns;
    node = queue->waiting.next;
    for (; node != &queue->waiting && !list_entry(node, struct query, link)->left_ns; node = node->next)
        list_entry(node, struct query, link)->left_ns = now_ns;
}

void queue_set_aside(struct queue *queue, struct list *before, uint64_t now_ns) {
    PRE(queue->waiting_count);
    queue_leave_behind(queue, now_ns);
    list_move_back(before, &queue->ready);
}

void queue_bring_back(struct queue *queue) {
    PRE(queue->waiting_count);
    list_move_back(&queue->db->ready, &queue->ready);
    db_due(queue->db);
}

void queue_take_back(struct query *query) {
    PRE(query->state == QUERY_RUNNING && !query->sent);
    PRE(query->queue->db->running_count > 0);
    struct queue *queue = query->queue;
    query_move(query, QUERY_WAITING);
    query->left_ns = 0;
    list_remove(&query->link);
    queue->db->running_count--;
    if (query->key && (query->key->state == ORDER_PLACED || !list_empty(&query->key->parked))) {
        list_push_front(&query->key->parked, &query->link);
        queue_joined_parked(query);
        return;
    }
    list_push_front(&queue->waiting, &query->link);
    queue_joined(queue);
    queue->unit_waiting_count += query->in_unit;
}

void queue_put_back(struct query *query) {
    struct quring_db *db = query->queue->db;
    if (base_unlikely(query->traced))
        trace_retried(db->hub->trace, query);
    query->sent = false;
    db->counters.retry_count++;
    queue_take_back(query);
}

/* ---- Parked on an order key ---- */

void queue_note_left(struct query *query, uint64_t now_ns) {
    PRE(now_ns);
    if (query->left_ns)
        return;
    query->left_ns = now_ns;
    queue_note_time(query->queue, now_ns);
}

void queue_park(struct query *query, uint64_t now_ns) {
    PRE(query->state == QUERY_WAITING && query->key && !query->parked);
    queue_note_left(query, now_ns);
    list_move_back(&query->key->parked, &query->link);
    queue_joined_parked(query);
    queue_left(query->queue);
}

struct query *queue_take_parked(struct order_key *key) {
    struct query *query = queue_first_parked(key);
    PRE(query != NULL);
    list_remove(&query->link);
    query_move(query, QUERY_RUNNING);
    queue_left_parked(query);
    query->queue->db->running_count++;
    if (query->left_ns)
        queue_count_wait(query);
    return query;
}

/*
 * Where queries come before others, these are noted as left behind as well, because queue_leave_behind() would not find them
 * any more.
 */
void queue_unpark(struct order_key *key, uint64_t now_ns) {
    struct list *node = key->parked.prev;
    if (node == &key->parked)
        return;
    struct queue *queue = list_entry(node, struct query, link)->queue;
    list_for_each(waiting, &queue->waiting) {
        if (list_entry(waiting, struct query, link)->left_ns)
            break;
        queue_note_left(list_entry(waiting, struct query, link), now_ns);
    }
    while ((node = key->parked.prev) != &key->parked) {
        struct query *query = list_entry(node, struct query, link);
        queue_note_left(query, now_ns);
        list_remove(node);
        list_push_front(&queue->waiting, node);
        queue_joined(queue);
        queue_left_parked(query);
    }
}

void queue_fail_parked(struct order_key *key, quring_status status, const char *sqlstate, const char *message) {
    PRE(status != QURING_OK);
    struct list *node;
    while ((node = list_first(&key->parked)))
        query_fail(list_entry(node, struct query, link), status, sqlstate, "%s", message);
}

/*
 * Most statuses say by themselves whether the query was sent. Those that the engine may give at any moment do not, so for
 * them it is what the backend has noted in `sent`.
 */
static bool query_was_sent(const struct query *query, quring_status status) {
    switch (status) {
    case QURING_OK:
    case QURING_SERVER_ERROR:
    case QURING_IN_DOUBT:
    case QURING_PROTOCOL:
        return true;
    case QURING_SKIPPED:
    case QURING_NOT_SENT:
        return false;
    case QURING_CANCELLED:
    case QURING_TIMEOUT:
    case QURING_LIMIT:
    case QURING_SHUTDOWN:
        return query->sent;
    }
    UNREACHABLE("a status that is none");
}

/* The part for a failure, for a member of a unit, and for a query that is traced: most are none of these. */
static __attribute__((cold, noinline)) void query_finish_rarer(struct trace *trace, struct query *query) {
    query->sent = query_was_sent(query, (quring_status)query->status);
    if (query->status != QURING_OK)
        result_discard(&query->result);
    if (query->traced)
        trace_done(trace, query);
    query->in_unit = query->unit_goes_on = false;
    if (query->batch)
        batch_leave(query);
    if (query->status != QURING_OK && query->queue->failed)
        query->queue->failed(query);
}

/* Its caller was told before. The engine has yet to give its slot back, and the rest ends here. */
static void query_finish_detached(struct query *query, quring_status status) {
    struct queue *queue = query->queue;
    query_move(query, QUERY_RETURNED);
    query->status = (uint8_t)status;
    queue->db->running_count--;
    query->in_unit = query->unit_goes_on = false;
    if (query->batch)
        batch_leave(query);
    statement_drop(query->statement);
    query->statement = NULL;
    error_clear(&query->error);
    result_discard(&query->result);
    result_end(&query->result);
    list_remove(&query->link);
    list_push_back(&queue->db->hub->remote_done, &query->link);
}

static void query_finish_waiting(struct query *query) {
    struct queue *queue = query->queue;
    queue->db->ended_waiting_count++;
    queue->unit_waiting_count -= query->in_unit;
    if (base_unlikely(query->parked))
        queue_left_parked(query);
    else
        queue_left(queue);
}

/* False: that was all. */
static __attribute__((noinline)) bool query_finish_not_running(struct query *query, quring_status status) {
    if (query->state == QUERY_DETACHED) {
        query_finish_detached(query, status);
        return false;
    }
    PRE(query->state == QUERY_WAITING);
    query_finish_waiting(query);
    return true;
}

void query_finish(struct query *query, quring_status status) {
    struct queue *queue = query->queue;
    struct hub *hub = queue->db->hub;

    if (base_likely(query->state == QUERY_RUNNING))
        queue->db->running_count--;
    else if (!query_finish_not_running(query, status))
        return;
    query_move(query, QUERY_DONE);
    query->status = (uint8_t)status;
    if (base_unlikely((uint32_t)status | query->traced | query->in_unit))
        query_finish_rarer(hub->trace, query);
    else
        query->sent = true;

    /* The statement's table belongs to the handle, which may be closed before the query is released. */
    statement_drop(query->statement);
    query->statement = NULL;
    queue->db->counters.done_count[status]++;
    queue->db->counters.row_count += query->result.row_count;
    if (base_unlikely(query->inbox)) {
        list_move_back(&hub->remote_done, &query->link);
        return;
    }
    list_move_back(&hub->done, &query->link);
    hub->done_count++;
}

void query_fail(struct query *query, quring_status status, const char *sqlstate, const char *format, ...) {
    PRE(status != QURING_OK);
    va_list args;
    va_start(args, format);
    error_format_list(&query->error, sqlstate, format, args);
    va_end(args);
    query_finish(query, status);
}

void queue_fail(struct queue *queue, quring_status status, const char *sqlstate, const char *message) {
    PRE(status != QURING_OK);
    struct list *node;
    while ((node = list_first(&queue->waiting)))
        query_fail(list_entry(node, struct query, link), status, sqlstate, "%s", message);
    struct order_key *key;
    for (uint32_t number = 0; queue->parked_count && (key = order_keys_next_parked(&queue->db->hub->keys, &number));)
        if (list_entry(key->parked.next, struct query, link)->queue == queue)
            queue_fail_parked(key, status, sqlstate, message);
}
