/* SPDX-License-Identifier: MIT */
/*
 * The choice of the connection that takes the next queries.
 *
 *      READY --pg_placement_changed()--> changed --next admission--> idle, busy, or nowhere while it has no room
 *                                         ^   ^                       |     |
 *                                         |   +---- given queries ----+-----+
 *                                         |                           |
 *                                         +-- asked <---- aside <-----+ was heard of too long ago
 *
 * Connections without requests stand in a list, the one that was used last first, and those with requests and room for
 * more in a heap by what a query would cost there. Those that may belong elsewhere by now are on a list that the next
 * admission works off, so admission is not slower with many connections than with few. In this order a query goes to
 *
 *   1  a connection without requests, the one that had some last: its memory is warm, and others may stay idle
 *   2  the one with the fewest requests
 *   3  one where the oldest request has taken far longer than is usual: it would hold up what comes behind it
 *
 * Where idle connections have to be asked whether they are there (health.h), all of them are put aside at once when the
 * first is one that must be: the others were used before it, so most have been silent for longer. Each comes back when it
 * was asked and has answered, behind all that were used.
 *
 * Without answers a connection only gets worse, so its age is looked at when it is about to be chosen. A connection that is
 * held up by a request that was given up takes none: a query that waits in the queue goes to the first that is free again,
 * or to the one that takes the place of a silent one.
 */
#ifndef QURING_PG_PLACEMENT_H
#define QURING_PG_PLACEMENT_H

#include "pg/conn_state.h"

struct pg_placement {
    struct list idle;     /* of pg_place.idle: the one that was used last first */
    struct list aside;    /* of pg_place.idle: those that have to be asked, likewise */
    struct heap busy;     /* of pg_place.node */
    struct list changed;  /* of pg_place.changed */
    struct list given;    /* of pg_place.given: the connections that were given queries since the last flush */
    uint64_t usual_ns;    /* from one answer of a busy connection to the next, smoothed */
    uint32_t idle_count;  /* in `idle` and `aside` */
    uint32_t asked_count; /* of which no answer has come, as far as pg_placement_begin() has looked */
    uint32_t depth;
};

void pg_placement_init(struct pg_placement *placement, uint32_t depth);
bool pg_placement_reserve(struct pg_placement *placement, uint32_t conn_count); /* false: no memory */
void pg_placement_free(struct pg_placement *placement);

/* True while the connection takes queries; so many. */
bool pg_placement_has_room(const struct pg_conn *conn);
bool pg_placement_has_room_for(const struct pg_conn *conn, uint32_t request_count);

/* It has too much to send, so no answer need come for it to have room again. */
bool pg_placement_is_crowded(const struct pg_conn *conn);

/* True while so many more may be out on the connection, whichever its state. */
bool pg_placement_fits(const struct pg_conn *conn, uint32_t count);

/* The connection may have more room than before, or less: it is READY, got answers, or one of its queries was given up. */
static inline void pg_placement_changed(struct pg_placement *placement, struct pg_conn *conn) {
    if (list_empty(&conn->place.changed))
        list_push_back(&placement->changed, &conn->place.changed);
}

/* Begins a turn's choices: looks at what has changed since the last. */
void pg_placement_begin(struct pg_placement *placement);

/* The connection is no longer READY. */
void pg_placement_lost(struct pg_placement *placement, struct pg_conn *conn);

/* The oldest of the requests that are out on the connection has taken far longer than is usual. */
bool pg_placement_is_slow(const struct pg_placement *placement, const struct pg_conn *conn);

/* Answers came on the connection. */
void pg_placement_progressed(struct pg_placement *placement, struct pg_conn *conn);

/*
 * The connection that takes the next of `waiting_count` queries, and in `*count` how many of them: up to the load of the next
 * connection, or half of its share of those that wait, so that many are spread in few rounds and the last of them one by
 * one. NULL: none has room. pg_placement_gave() follows.
 */
struct pg_conn *pg_placement_take(struct pg_placement *placement, uint32_t waiting_count, uint32_t *count);
void pg_placement_gave(struct pg_placement *placement, struct pg_conn *conn);

/*
 * The connection that takes the next query; NULL: none has room. pg_placement_take_at() when it is about to be given a
 * transaction; pg_placement_changed() once it takes other queries beside, or behind, that.
 */
struct pg_conn *pg_placement_first(struct pg_placement *placement);

/* This connection takes the next query, whatever others there are: one that has room. pg_placement_gave() follows. */
void pg_placement_take_at(struct pg_placement *placement, struct pg_conn *conn);

/*
 * The connection that takes a unit of so many requests (core/queue.h): the best one, if it has room for all of them. NULL: it
 * has not, and the unit waits for its answers; another one that has more room is slower than it. pg_placement_gave()
 * follows.
 */
struct pg_conn *pg_placement_take_unit(struct pg_placement *placement, uint32_t request_count);

/* The connection without requests that is the next to take queries, as far as pg_placement_begin() has looked; or NULL. */
struct pg_conn *pg_placement_idle(const struct pg_placement *placement);

/* No connection without requests takes queries before it was asked. */
void pg_placement_put_aside(struct pg_placement *placement);

/* The next of those that were put aside, to be asked; NULL: there is none. pg_placement_progressed() once it has answered. */
struct pg_conn *pg_placement_ask(struct pg_placement *placement);

/* A connection without requests takes none before it has answered one that is no query: pg_placement_progressed() then. */
void pg_placement_take_out(struct pg_placement *placement, struct pg_conn *conn);

/* The next connection that was given queries; NULL once all were told. */
struct pg_conn *pg_placement_next_given(struct pg_placement *placement);

#endif
