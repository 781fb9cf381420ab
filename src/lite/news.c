/* SPDX-License-Identifier: MIT */
#include "lite/news.h"

#include "core/status.h"
#include "lite/route.h"
#include "lite/snapshots.h"
#include "lite/tx.h"

#include <string.h>

/* An attempt that failed beside others that succeeded is told first, since what is up at the end counts. */
static void news_note_status(struct lite_db *lite, const struct lite_news *news) {
    struct quring_db *db = &lite->base;
    uint64_t now_ns = ring_now_ns(db->hub->ring);
    for (uint32_t i = 0; i < news->open_failure_count; i++)
        status_failed(db, db->counters.connection_count != 0, false, now_ns);
    if (news->open_count && db->counters.connection_count)
        status_up(db, now_ns);
    if (news->lost || (news->close_count && !db->counters.connection_count))
        status_none_up(db, news->lost, now_ns);
}

static void news_count(struct lite_db *lite, struct lite_lane *lane, const struct lite_news *news) {
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
    news_note_status(lite, news);
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
    if (base_unlikely(news->wal_tried || lite->wal.page_count >= LITE_LOG_IS_LONG))
        lite_tx_look_at_log(lite, news->wal_tried);
    if (base_unlikely(news->wal_held_count)) {
        lite->wal.held_count += news->wal_held_count;
        lite_snapshots_limit(lite);
    }
}

static void news_keep_reason(struct lite_reason *last, const struct lite_event *event) {
    last->at_ns = event->report.at_ns;
    memcpy(last->sqlstate, event->sqlstate, sizeof last->sqlstate);
    memcpy(last->message, event->message, sizeof last->message);
}

static void news_take_events(struct lite_db *lite, struct lite_event *events) {
    for (const struct lite_event *event = events; event; event = event->next) {
        if (lite->base.hub->trace)
            trace_connection(lite->base.hub->trace, &lite->base, &event->report);
        if (*event->message && event->report.kind != QURING_EVENT_WAL_HELD)
            news_keep_reason(&lite->last, event);
    }
    lite_events_free(events);
}

void lite_take_news(struct lite_post *post) {
    struct lite_lane *lane = post->lane;
    struct lite_db *lite = lane->db;
    struct query *query, *next;
    news_count(lite, lane, &post->news);
    if (base_unlikely(post->news.events != NULL))
        news_take_events(lite, post->news.events);
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
