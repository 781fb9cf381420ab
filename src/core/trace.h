/* SPDX-License-Identifier: MIT */
/*
 * The trace: what happened to queries and connections, for a program that asked for it (quring_options.trace_count).
 *
 *      what happens --> | events, oldest first | --quring_trace()--> the program's array
 *                          |
 *                          +--there is no room--> the oldest is dropped, and counted
 *
 * Without a trace hub->trace is NULL and query->traced 0 in every slot, so that each place costs a comparison at most.
 *
 * Events are recorded on the reactor's thread alone. A lane notes the times of a query while that is in its hands;
 * trace_done() makes events of them when the query is back.
 *
 * A text is copied once, and shared by the events of a query; small texts of statements also by the next queries. It
 * lives until no query and no event refers to it, and those that the program was given until it asks for more. Together
 * they are bounded: where there is no room, an event has an empty text.
 */
#ifndef QURING_CORE_TRACE_H
#define QURING_CORE_TRACE_H

#include "core/query.h"
#include "quring/quring.h"

enum {
    TRACE_SQL_BYTES_MAX = 64 * 1024, /* longer ones are cut */
    TRACE_MESSAGE_BYTES_MAX = 1024,
    TRACE_TEXT_BYTES = 16 << 20, /* of all texts together */
    TRACE_BLOCK_BITS = 20,
    TRACE_BLOCKS_MAX = 1024
};

struct trace;
struct quring_db;

/* The clock of the trace; it may be asked on any thread. */
struct trace_clock {
    uint64_t (*now_ns)(void *context);
    void *context;
};

/*
 * The number of a query, its `traced`: queries are numbered by blocks, which never move, because lanes write to them. Block
 * 0 is the engine's own.
 */
static inline uint32_t trace_number(uint32_t block, uint32_t index) {
    return (block << TRACE_BLOCK_BITS) + index + 1;
}

/* Keeps up to `event_count` events, and has room for `query_count` queries of block 0. NULL: no memory. */
struct trace *trace_new(uint32_t event_count, uint32_t query_count, struct trace_clock clock);
void trace_free(struct trace *trace); /* NULL is allowed */

/* Makes room for the queries of another block. False: no memory. */
bool trace_add_block(struct trace *trace, uint32_t block, uint32_t query_count);

/* None of its queries is out. */
void trace_drop_block(struct trace *trace, uint32_t block);

/* Moves up to `capacity` events out, oldest first. Returns how many. */
uint32_t trace_take(struct trace *trace, quring_event *events, uint32_t capacity);

/* Takes back what the events of all earlier trace_take() point to. */
void trace_take_back(struct trace *trace);

uint64_t trace_dropped_count(const struct trace *trace);

/* ---- Queries whose `traced` is set ---- */

void trace_submitted(struct trace *trace, struct query *query, const struct quring_db *db);
void trace_sent(struct trace *trace, struct query *query, uint32_t connection);
/* Called for each row; the first one is an event. */
void trace_row(struct trace *trace, struct query *query);
/* It goes back to its queue. Its error, if one is set, is the reason. */
void trace_retried(struct trace *trace, struct query *query);
/* Its status, result and error are set. */
void trace_done(struct trace *trace, struct query *query);
/* The same of a stand-in (detach.h), while a lane goes on to note the times of its query. */
void trace_detached(struct trace *trace, struct query *stand_in);

/* The same on a lane's thread, for trace_done(). */
void trace_note_sent(struct trace *trace, struct query *query, uint32_t connection);
void trace_note_row(struct trace *trace, struct query *query);
void trace_note_undone(struct trace *trace, struct query *query);

/* ---- Connections ---- */

/* An event of a connection and the reason for it. */
struct trace_report {
    quring_event_kind kind;
    uint32_t connection;
    uint64_t at_ns;   /* 0: this moment */
    uint64_t wait_ns; /* RETRYING */
    const char *sqlstate, *message;
};

void trace_connection(struct trace *trace, const struct quring_db *db, const struct trace_report *report);

/* A notice of the server. `query` NULL: it belongs to none. */
void trace_notice(struct trace *trace, const struct quring_db *db, struct query *query,
                  const struct trace_report *report);

/* Any thread. */
uint64_t trace_now_ns(const struct trace *trace);

#endif
