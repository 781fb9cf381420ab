/* SPDX-License-Identifier: MIT */
#include "pg/health.h"

#include "pg/conn.h"
#include "pg/request.h"
#include "pg/silence.h"
#include "wire/encode.h"

enum { HEALTH_CHECKS = 16 }; /* out at a time, and one more for each query that waits */

/* Else no answer would do where a turn takes longer than options.health_check_ns. */
static const uint64_t ANSWER_HOLDS_NS = 100000000;

static void health_row(struct pg_conn *conn, const struct wire_event *event) {
    (void)conn;
    (void)event;
    UNREACHABLE("a row in answer to Sync: the session knows of none");
}

static void health_error(struct pg_conn *conn, const struct wire_event *event) {
    pg_conn_break(conn, QURING_NOT_SENT, event->error.sqlstate, event->error.message);
}

static void health_ready(struct pg_conn *conn, const struct wire_event *event) {
    conn->settled = event->request + 1;
    if (event->transaction != 'I')
        pg_conn_break(conn, QURING_PROTOCOL, "08P01", "an idle connection is within a transaction");
}

static const struct pg_request_ops health_operations = {
    .row = health_row, .error = health_error, .ready = health_ready, .asks = true};

/* The last that was out on it was the question, or the first exchange, which says as much. */
static bool health_was_asked(const struct pg_conn *conn) {
    return conn->health.next == conn->session.next;
}

static bool health_is_due(const struct pg_conn *conn) {
    uint64_t limit_ns = conn->config->db->options.health_check_ns;
    uint64_t quiet_ns = ring_now_ns(pg_conn_ring(conn)) - conn->place.progress_ns;
    return quiet_ns >= limit_ns && !(health_was_asked(conn) && quiet_ns < ANSWER_HOLDS_NS);
}

static void health_ask(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_READY && pg_conn_is_idle(conn));
    struct wire_session *session = &conn->session;
    uint64_t ordinal = session->next;
    *pg_conn_request(conn, ordinal) =
        (struct pg_request){.ops = &health_operations, .first_byte = socket_position(&conn->socket)};
    conn->health = (struct pg_health){.next = ordinal + 1, .unused_ns = pg_health_unused_ns(conn)};
    conn->place.progress_ns = ring_now_ns(pg_conn_ring(conn));
    wire_session_begin(session, pg_conn_out(conn));
    wire_session_put_sync(session);
    if (!wire_session_end(session, WIRE_NO_ROWS)) {
        pg_conn_break(conn, QURING_NOT_SENT, "53200", "out of memory");
        return;
    }
    pg_silence_given_up(conn, ordinal);
    pg_conn_flush(conn);
}

void pg_health_check(struct pg_placement *placement, uint32_t waiting_count) {
    struct pg_conn *conn = pg_placement_idle(placement);
    if (conn && !health_is_due(conn))
        return;
    pg_placement_put_aside(placement);
    while (placement->asked_count < HEALTH_CHECKS + waiting_count && (conn = pg_placement_ask(placement)))
        health_ask(conn);
}

void pg_health_begin(struct pg_conn *conn) {
    conn->health = (struct pg_health){.next = conn->session.next, .unused_ns = ring_now_ns(pg_conn_ring(conn))};
}

uint64_t pg_health_unused_ns(const struct pg_conn *conn) {
    return health_was_asked(conn) ? conn->health.unused_ns : conn->place.progress_ns;
}
