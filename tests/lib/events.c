/* SPDX-License-Identifier: MIT */
#include "lib/events.h"

#include "base/hash.h"
#include "lib/seeds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void events_begin(struct events *events, quring_engine *engine, uint32_t query_count, bool lanes) {
    *events = (struct events){.engine = engine, .query_count = query_count, .lanes = lanes};
    events->queries = calloc(query_count, sizeof *events->queries);
}

void events_free(struct events *events) {
    free(events->queries);
    *events = (struct events){0};
}

/* A handle may have the address of one that was closed: then the connections of that one are down. */
static bool *events_up(struct events *events, const quring_event *event) {
    for (uint32_t i = 0; i < events->conn_count; i++)
        if (events->conns[i].db == event->db && events->conns[i].connection == event->connection)
            return &events->conns[i].up;
    LAW(event->connection, "%s on no connection", quring_event_name(event->kind));
    LAW(events->conn_count < EVENTS_CONNECTIONS, "the test has more connections than it said");
    struct events_conn *conn = &events->conns[events->conn_count++];
    *conn = (struct events_conn){.db = event->db, .connection = event->connection};
    return &conn->up;
}

/* ---- Queries ---- */

#define AFTER(kind) (1u << QURING_EVENT_##kind)

/* For each kind the set of those that may have been the query's last; bit 0: none. */
static const uint32_t may_follow[] = {
    [QURING_EVENT_SUBMITTED] = 1,
    [QURING_EVENT_SENT] = AFTER(SUBMITTED) | AFTER(RETRIED),
    [QURING_EVENT_FIRST_ROW] = AFTER(SENT),
    [QURING_EVENT_NOTICE] = AFTER(SENT) | AFTER(FIRST_ROW),
    [QURING_EVENT_RETRIED] = AFTER(SUBMITTED) | AFTER(SENT) | AFTER(FIRST_ROW) | AFTER(RETRIED),
    [QURING_EVENT_DONE] = AFTER(SUBMITTED) | AFTER(SENT) | AFTER(FIRST_ROW) | AFTER(RETRIED),
};

static void events_move(struct events_query *query, const quring_event *event) {
    query->at_ns = event->at_ns;
    if (event->kind == QURING_EVENT_NOTICE)
        return;
    query->last = event->kind;
    if (event->kind == QURING_EVENT_SUBMITTED)
        query->submitted_ns = event->at_ns;
    if (event->kind == QURING_EVENT_SENT)
        query->sent_ns = event->at_ns;
    if (event->kind == QURING_EVENT_FIRST_ROW)
        query->first_row_ns = event->at_ns;
}

static void events_check_times(const struct events_query *query, const quring_event *event) {
    LAW(event->submitted_at_ns == query->submitted_ns, "another time of its submit");
    LAW(event->sent_at_ns == query->sent_ns, "sent at %" PRIu64 ", not %" PRIu64, event->sent_at_ns, query->sent_ns);
    LAW(event->first_row_at_ns == query->first_row_ns, "another time of its first row");
}

static void events_take_query(struct events *events, const quring_event *event) {
    LAW(event->user_data < events->query_count, "query %" PRIu64, event->user_data);
    struct events_query *query = &events->queries[event->user_data];
    const char *name = quring_event_name(event->kind);
    LAW(event->kind <= QURING_EVENT_DONE && (may_follow[event->kind] >> query->last & 1),
        "query %" PRIu64 " is %s after %s", event->user_data, name, quring_event_name(query->last));
    LAW(!query->id || query->id == event->id, "another's id");
    LAW(event->at_ns >= query->at_ns, "%s: the time goes back by %" PRIu64 " ns", name, query->at_ns - event->at_ns);
    LAW(event->sql[0] && strlen(event->sql) == event->sql_bytes && !event->sql_is_cut, "%s: \"%s\"", name, event->sql);
    query->id = event->id;
    events_move(query, event);
    events_check_times(query, event);
    bool out = query->last == QURING_EVENT_SENT || query->last == QURING_EVENT_FIRST_ROW;
    LAW(!out || *events_up(events, event) || events->lanes, "%s on a connection that is down", name);
    if (event->kind == QURING_EVENT_RETRIED)
        query->sent_ns = query->first_row_ns = 0;
    if (event->kind != QURING_EVENT_DONE)
        return;
    query->status = event->status;
    LAW(event->status != QURING_OK || query->sent_ns, "OK, and never sent");
    LAW(!event->row_count || query->first_row_ns, "rows, and no first row");
    LAW((event->status == QURING_OK) == (event->message[0] == 0), "%s: \"%s\"", quring_status_name(event->status),
        event->message);
}

/* ---- Connections ---- */

static void events_take_connection(struct events *events, const quring_event *event) {
    const char *name = quring_event_name(event->kind);
    bool *up = events_up(events, event);
    bool was_up = event->kind == QURING_EVENT_LOST || event->kind == QURING_EVENT_CLOSED;
    LAW(event->kind > QURING_EVENT_DONE && event->kind <= QURING_EVENT_WAL_HELD, "%s without a query", name);
    if (event->kind == QURING_EVENT_WAL_HELD) {
        LAW(*up && event->message[0], "%s while it is %s", name, *up ? "up" : "down");
        return;
    }
    LAW(*up == was_up, "%s while it is %s", name, *up ? "up" : "down");
    *up = event->kind == QURING_EVENT_CONNECTED;
    LAW(!event->sql[0] && !event->sql_bytes && !event->user_data, "%s: with a query's text", name);
    LAW(*up || (strlen(event->sqlstate) == 5 && event->message[0]), "%s without a reason", name);
    LAW((event->kind == QURING_EVENT_RETRYING) == (event->wait_ns != 0), "%s in %" PRIu64 " ns", name, event->wait_ns);
}

/* ---- All ---- */

static uint64_t events_digest(const quring_event *event) {
    return hash_bytes(event->sql, strlen(event->sql), 1) ^ hash_bytes(event->message, strlen(event->message), 2);
}

static void events_take_one(struct events *events, const quring_event *event) {
    LAW(event->kind >= QURING_EVENT_SUBMITTED && event->kind <= QURING_EVENT_WAL_HELD, "an event of kind %d",
        event->kind);
    LAW(event->db && event->at_ns, "%s: without a handle or a time", quring_event_name(event->kind));
    LAW(events->lanes || event->at_ns >= events->at_ns, "%s: the time goes back", quring_event_name(event->kind));
    events->at_ns = event->at_ns;
    events->by_kind[event->kind]++;
    if (event->id)
        events_take_query(events, event);
    else if (event->kind != QURING_EVENT_NOTICE)
        events_take_connection(events, event);
}

void events_take(struct events *events) {
    if (!events->engine)
        return;
    do {
        for (uint32_t i = 0; i < events->batch_count; i++)
            LAW(events_digest(&events->batch[i]) == events->digests[i], "a text has changed since it was given");
        int count = quring_trace(events->engine, events->batch, EVENTS_BATCH);
        LAW(count >= 0, "quring_trace: %s", quring_strerror(count));
        events->batch_count = (uint32_t)count;
        for (uint32_t i = 0; i < events->batch_count; i++) {
            events_take_one(events, &events->batch[i]);
            events->digests[i] = events_digest(&events->batch[i]);
        }
    } while (events->batch_count == EVENTS_BATCH);
}

void events_reaped(struct events *events, const quring_done *done) {
    if (!events->engine)
        return;
    events_take(events);
    const struct events_query *query = &events->queries[done->user_data];
    LAW(query->last == QURING_EVENT_DONE && query->status == done->status && query->id == done->id,
        "query %" PRIu64 " was reaped as %s, and is %s in the trace", done->user_data, quring_status_name(done->status),
        quring_event_name(query->last));
}

void events_check(struct events *events) {
    if (!events->engine)
        return;
    quring_stats stats;
    events_take(events);
    quring_stats_get(events->engine, &stats);
    LAW(stats.trace_dropped_count == 0, "%" PRIu64 " events had no room", stats.trace_dropped_count);
    const uint64_t *counts = events->by_kind;
    LAW(counts[QURING_EVENT_SUBMITTED] == stats.submitted_count, "submitted");
    LAW(counts[QURING_EVENT_DONE] == stats.submitted_count, "%" PRIu64 " of %" PRIu64 " done",
        counts[QURING_EVENT_DONE], stats.submitted_count);
    LAW(counts[QURING_EVENT_CONNECTED] == stats.connect_count, "connected");
    LAW(counts[QURING_EVENT_REFUSED] == stats.connect_failure_count, "refused");
    LAW(events->lanes || counts[QURING_EVENT_LOST] >= stats.connection_lost_count, "%" PRIu64 " lost, of %" PRIu64,
        counts[QURING_EVENT_LOST], stats.connection_lost_count);
}
