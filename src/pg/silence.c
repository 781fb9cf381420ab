/* SPDX-License-Identifier: MIT */
#include "pg/silence.h"

#include "pg/request.h"
#include "ring/port.h"

#include <stdio.h>

enum { LOOKS = 8 }; /* in query_silence_ns */

static const uint64_t LOOK_NS_MIN = 10000000;

static struct pg_conn *silence_conn(struct socket *socket) {
    return base_container_of(socket, struct pg_conn, socket);
}

static uint64_t silence_after(uint64_t at_ns, uint64_t wait_ns) {
    return wait_ns < UINT64_MAX - at_ns ? at_ns + wait_ns : UINT64_MAX;
}

static bool silence_bounds_all(const struct pg_conn *conn) {
    return conn->config->db->options.query_silence_ns != QURING_FOREVER;
}

static bool silence_is_out(const struct pg_conn *conn) {
    return wire_session_outstanding(&conn->session) != 0;
}

/* ---- Watching ---- */

/* These stand before the connection's own handlers while it is watched. */
static void silence_received(struct socket *socket) {
    struct pg_conn *conn = silence_conn(socket);
    conn->silence.heard_ns = ring_now_ns(pg_conn_ring(conn));
    conn->silence.events->received(socket);
    conn->silence.idle = !silence_is_out(conn);
    if (pg_conn_is_up(conn) && conn->silence.idle && !silence_bounds_all(conn))
        pg_silence_end(conn);
}

static void silence_lost(struct socket *socket, int error) {
    silence_conn(socket)->silence.events->lost(socket, error);
}

static void silence_closed(struct socket *socket) {
    silence_conn(socket)->silence.events->closed(socket);
}

static const struct socket_events silence_events = {
    .received = silence_received, .lost = silence_lost, .closed = silence_closed};

static void silence_watch(struct pg_conn *conn) {
    if (conn->socket.events == &silence_events)
        return;
    conn->silence.events = conn->socket.events;
    conn->socket.events = &silence_events;
}

void pg_silence_end(struct pg_conn *conn) {
    timer_clear(pg_conn_ring(conn), &conn->silence.timer);
    if (conn->socket.events == &silence_events)
        conn->socket.events = conn->silence.events;
}

/* ---- Time ---- */

/* When the silence is too long that began with `event_ns`, or with the last bytes if these came later. */
static uint64_t silence_end(const struct pg_conn *conn, uint64_t event_ns, uint64_t bound_ns) {
    uint64_t heard_ns = conn->silence.heard_ns;
    return silence_after(heard_ns > event_ns ? heard_ns : event_ns, bound_ns);
}

/* Whoever is asked has to answer, whatever else it says meanwhile: no server is at work for a Sync. */
static uint64_t silence_held_up_end(const struct pg_conn *conn) {
    uint64_t bound_ns = conn->config->db->options.silence_ns, given_up_ns = conn->silence.given_up_ns;
    return pg_conn_is_asked(conn) ? silence_after(given_up_ns, bound_ns) : silence_end(conn, given_up_ns, bound_ns);
}

static bool silence_awaits_given_up(const struct pg_conn *conn) {
    for (uint64_t r = conn->session.head; r < conn->session.next; r++)
        if (pg_request_is_given_up(pg_conn_request(conn, r)))
            return true;
    return false;
}

static void silence_look_at(struct pg_conn *conn, uint64_t at_ns) {
    if (at_ns == UINT64_MAX)
        pg_silence_end(conn);
    else
        (void)timer_set(pg_conn_ring(conn), &conn->silence.timer, at_ns);
}

/* Sets the timer for when the silence would have lasted too long, or has to be measured from. */
static void silence_plan(struct pg_conn *conn, uint64_t now_ns) {
    const quring_db_options *options = &conn->config->db->options;
    uint64_t at_ns = UINT64_MAX;
    if (pg_conn_is_held_up(conn))
        at_ns = silence_held_up_end(conn);
    else if (silence_awaits_given_up(conn))
        at_ns = silence_after(now_ns, options->silence_ns);
    if (silence_bounds_all(conn)) {
        uint64_t look_ns = options->query_silence_ns / LOOKS;
        uint64_t tick_ns = silence_after(now_ns, look_ns > LOOK_NS_MIN ? look_ns : LOOK_NS_MIN);
        uint64_t end_ns = silence_end(conn, conn->silence.busy_ns, options->query_silence_ns);
        uint64_t next_ns = conn->silence.idle || tick_ns < end_ns ? tick_ns : end_ns;
        at_ns = next_ns < at_ns ? next_ns : at_ns;
    }
    silence_look_at(conn, at_ns);
}

static void silence_break(struct pg_conn *conn, uint64_t bound_ns, const char *what, const char *since,
                          const char *option) {
    char message[PG_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s came from the server for %.3f s %s (%s)", what, (double)bound_ns / 1e9, since,
             option);
    pg_conn_break(conn, QURING_IN_DOUBT, "08006", message);
}

static void silence_break_held_up(struct pg_conn *conn) {
    uint64_t bound_ns = conn->config->db->options.silence_ns;
    if (pg_conn_is_asked(conn) && conn->cancel.target)
        silence_break(conn, bound_ns, "no answer", "after it was asked to cancel a query", "silence_ns");
    else if (pg_conn_is_asked(conn))
        silence_break(conn, bound_ns, "no answer", "after a health check", "silence_ns");
    else
        silence_break(conn, bound_ns, "nothing", "after a query was given up", "silence_ns");
}

/* Whatever the kernel held by now was collected before: the silence is the server's, and not this program's. */
static void silence_fired(struct timer *timer) {
    struct pg_conn *conn = base_container_of(timer, struct pg_conn, silence.timer);
    PRE(pg_conn_is_up(conn));
    struct pg_silence *silence = &conn->silence;
    const quring_db_options *options = &conn->config->db->options;
    uint64_t now_ns = ring_now_ns(pg_conn_ring(conn));
    if (silence->idle && silence_is_out(conn)) {
        silence->idle = false;
        silence->busy_ns = now_ns;
    }
    if (pg_conn_is_held_up(conn) && silence_held_up_end(conn) <= now_ns)
        silence_break_held_up(conn);
    else if (!silence->idle && silence_end(conn, silence->busy_ns, options->query_silence_ns) <= now_ns)
        silence_break(conn, options->query_silence_ns, "nothing", "while a query was out", "query_silence_ns");
    else
        silence_plan(conn, now_ns);
}

/* ---- Reports ---- */

void pg_silence_begin(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_READY && !silence_is_out(conn));
    conn->silence = (struct pg_silence){.timer = {.fire = silence_fired}, .idle = true};
    if (!silence_bounds_all(conn))
        return;
    silence_watch(conn);
    silence_plan(conn, ring_now_ns(pg_conn_ring(conn)));
}

void pg_silence_given_up(struct pg_conn *conn, uint64_t request) {
    uint64_t bound_ns = conn->config->db->options.silence_ns;
    if (!pg_conn_is_up(conn) || bound_ns == QURING_FOREVER)
        return;
    struct ring *ring = pg_conn_ring(conn);
    struct port *port = ring_port(ring);
    uint64_t now_ns = port->methods->now_ns(port); /* the program may have been away since the last turn */
    if (request == pg_conn_owed(conn))
        conn->silence.given_up_ns = now_ns;
    silence_watch(conn);
    uint64_t at_ns = silence_after(now_ns, bound_ns);
    if (!heap_contains(&conn->silence.timer.node) || conn->silence.timer.node.key > at_ns)
        silence_look_at(conn, at_ns);
}
