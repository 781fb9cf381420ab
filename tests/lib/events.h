/* SPDX-License-Identifier: MIT */
/*
 * The oracle of a trace: takes an engine's events, now and then, and holds each against those before it and, at the end,
 * against the completions that the program reaped. Queries carry their number as user_data.
 *
 *   in order    a query is submitted, then sent, then has its first row, is retried and sent again, and done once, with
 *               times that do not go back, and each event repeats the times of those before it
 *   the truth   DONE has the status of the completion; one that is OK was sent, and one with rows had a first row
 *   reasons     a connection is lost only while it is up, is refused or retried only while it is down, each time with an
 *               SQLSTATE and words; as often as the engine's statistics say
 *   lifetimes   what events point to is the same when the next ones are taken, whatever was released or closed meanwhile
 *   whole       none is missing: the test gives the trace room enough
 */
#ifndef QURING_TESTS_EVENTS_H
#define QURING_TESTS_EVENTS_H

#include "quring/quring.h"

enum { EVENTS_CONNECTIONS = 64, EVENTS_BATCH = 32 };

struct events_query {
    quring_event_kind last; /* 0: none; but for notices */
    quring_status status;
    quring_id id;
    uint64_t at_ns, submitted_ns, sent_ns, first_row_ns;
};

struct events_conn {
    const quring_db *db;
    uint32_t connection;
    bool up;
};

struct events {
    quring_engine *engine; /* NULL: it has no trace, and nothing is done */
    bool lanes;            /* events of several queries are not in order of time, as on SQLite */
    struct events_query *queries;
    uint32_t query_count;
    struct events_conn conns[EVENTS_CONNECTIONS];
    uint32_t conn_count;
    uint64_t at_ns;
    uint64_t by_kind[QURING_EVENT_WAL_HELD + 1];
    quring_event batch[EVENTS_BATCH]; /* taken last */
    uint64_t digests[EVENTS_BATCH];   /* of their texts */
    uint32_t batch_count;
};

void events_begin(struct events *events, quring_engine *engine, uint32_t query_count, bool lanes);
/* Takes all that there are. */
void events_take(struct events *events);
/* The completion of a query was reaped. */
void events_reaped(struct events *events, const quring_done *done);
/* Before the engine is closed. Every query that was submitted has ended. */
void events_check(struct events *events);
void events_free(struct events *events);

#endif
