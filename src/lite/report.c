/* SPDX-License-Identifier: MIT */
/* What a lane tells the reactor, from its thread. */
#include "lite/lane.h"

#include "core/wait.h"
#include "lite/db.h"

#include <stdio.h>
#include <stdlib.h>

static bool report_has_news(const struct lite_lane *lane) {
    const struct lite_news *news = &lane->own.news;
    return lane->own.finished.count || lane->own.moved.count || news->open_count || news->open_failure_count ||
           news->close_count || news->call_count || news->wal_held_count || news->wal_tried;
}

void lite_lane_tell(struct lite_lane *lane, quring_event_kind kind, const char *sqlstate, const char *message) {
    const struct trace *trace = lane->conn.trace;
    struct lite_event **end = &lane->own.news.events;
    struct lite_event *event = trace || *message ? malloc(sizeof *event) : NULL;
    if (!event)
        return;
    event->next = NULL;
    event->report = (struct trace_report){.kind = kind,
                                          .connection = lane->conn.number,
                                          .at_ns = trace ? trace_now_ns(trace) : lite_now_ns(),
                                          .sqlstate = event->sqlstate,
                                          .message = event->message};
    snprintf(event->sqlstate, sizeof event->sqlstate, "%s", sqlstate);
    snprintf(event->message, sizeof event->message, "%s", message);
    while (*end)
        end = &(*end)->next;
    *end = event;
}

void lite_events_free(struct lite_event *events) {
    while (events) {
        struct lite_event *next = events->next;
        free(events);
        events = next;
    }
}

void lite_lane_count_waits(struct lite_lane *lane) {
    uint64_t since_ns = lane->own.wait.since_ns, taken_ns = lane->conn.watch.taken_ns;
    atomic_uint_least64_t *counted = &lane->wait_count[wait_bucket(taken_ns > since_ns ? taken_ns - since_ns : 0)];
    uint64_t sum = atomic_load_explicit(counted, memory_order_relaxed) + lane->own.wait.count;
    atomic_store_explicit(counted, sum, memory_order_relaxed);
    lane->own.wait.count = 0;
}

void lite_lane_load_news(struct lite_lane *lane, struct lite_post *post) {
    lite_lane_count_waits(lane);
    lane->own.news.finished = lane->own.finished.first;
    lane->own.news.moved = lane->own.moved.first;
    lane->own.news.count = lane->own.finished.count + lane->own.moved.count;
    lane->own.news.prepare_count = (uint32_t)lane->conn.prepare_count;
    lane->own.news.lost = lane->own.lost;
    if (lane->conn.wal_frame_count)
        lane->own.news.wal_seen = lane->conn.wal_frame_count + 1;
    post->news = lane->own.news;
    lane->own.news = (struct lite_news){0};
    lane->conn.prepare_count = 0;
    lite_chain_init(&lane->own.finished);
    lite_chain_init(&lane->own.moved);
}

/* With all reports on their way the reactor is behind, and would not take another sooner. */
void lite_lane_report(struct lite_lane *lane) {
    struct lite_post *post = &lane->own.reports[lane->own.next_report];
    if (!report_has_news(lane) || atomic_load_explicit(&post->in_use, memory_order_acquire))
        return;
    lane->own.next_report = (lane->own.next_report + 1) % LITE_REPORTS;
    atomic_store_explicit(&post->in_use, true, memory_order_relaxed);
    lite_lane_load_news(lane, post);
    worker_report(lane->thread, &post->job);
}
