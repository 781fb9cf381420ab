/* SPDX-License-Identifier: MIT */
#include "pg/conn_state.h"

#include "base/utf8.h"
#include "pg/tls.h"
#include "wire/encode.h"

#include <stdio.h>
#include <string.h>

enum { LAST_BYTES = 4096 };

/* The edges of the diagram in conn_state.h. */
void pg_conn_move(struct pg_conn *conn, enum pg_conn_state to) {
    static const uint8_t next[] = {
        [PG_CONN_DOWN] = 1 << PG_CONN_CONNECTING,
        [PG_CONN_CONNECTING] = 1 << PG_CONN_BARRIER | 1 << PG_CONN_DOWN,
        [PG_CONN_BARRIER] = 1 << PG_CONN_READY | 1 << PG_CONN_DRAINING,
        [PG_CONN_READY] = 1 << PG_CONN_RETIRING | 1 << PG_CONN_DRAINING,
        [PG_CONN_RETIRING] = 1 << PG_CONN_DRAINING,
        [PG_CONN_DRAINING] = 1 << PG_CONN_DOWN,
    };
    PRE(conn->state <= PG_CONN_DRAINING && (next[conn->state] >> to & 1));
    conn->state = (uint8_t)to;
}

void pg_conn_set_reason(struct pg_conn *conn, quring_status status, const char *sqlstate, const char *message) {
    PRE(status != QURING_OK);
    struct pg_reason *reason = &conn->reason;
    reason->status = status;
    memcpy(reason->sqlstate, sqlstate, sizeof reason->sqlstate);
    snprintf(reason->message, sizeof reason->message, "%s", message);
    utf8_tidy(reason->message);
}

/* ---- Last words ---- */

static void conn_put_last(struct pg_tls *tls, bool flushes, struct buf *out) {
    struct buf plain;
    buf_init(&plain, LAST_BYTES);
    buf_init(out, LAST_BYTES);
    if (flushes)
        wire_put_flush(tls ? &plain : out);
    wire_put_terminate(tls ? &plain : out);
    if (tls)
        pg_tls_end(tls, &plain, out);
    buf_free(&plain);
}

void pg_put_terminate(struct pg_tls *tls, struct buf *out) {
    conn_put_last(tls, false, out);
}

/*
 * The answers to what is out may come to another client. PgBouncer up to 1.22.0 takes a server for free at each ReadyForQuery, so
 * it gives one away whose client goes in the middle of a pipeline, with the answers that are to come. Where a message stands
 * behind that ReadyForQuery it closes the server instead, and Flush is one that asks for nothing. Terminate is sent together
 * with it, so that no ReadyForQuery comes between.
 */
static bool conn_may_pass_answers_on(const struct pg_conn *conn) {
    return conn->barrier.pooled && !pg_conn_is_settled(conn);
}

/* The server reads messages in order: it carries out the requests before Terminate, and then ends the session. */
static void conn_send_last(struct pg_conn *conn) {
    struct buf out;
    if (!socket_may_send_now(&conn->socket))
        return;
    if (conn->tls && socket_backlog_bytes(&conn->socket))
        return; /* the next record of a TLS session can't overtake one that has not gone */
    conn_put_last(conn->tls, conn_may_pass_answers_on(conn), &out);
    socket_send_now(&conn->socket, buf_head(&out), buf_size(&out));
    buf_free(&out);
}

/* ---- Ends ---- */

/* Requests that are out end when the socket is closed, because only then it is known how much of them was sent. */
static void conn_drain(struct pg_conn *conn, quring_status status, const char *sqlstate, const char *message) {
    pg_conn_set_reason(conn, status, sqlstate, message);
    timer_clear(pg_conn_ring(conn), &conn->timer);
    if (pg_conn_is_up(conn))
        conn->events->lost(conn);
    pg_conn_move(conn, PG_CONN_DRAINING);
    socket_close(&conn->socket);
}

void pg_conn_break(struct pg_conn *conn, quring_status status, const char *sqlstate, const char *message) {
    if (conn->state == PG_CONN_DRAINING)
        return;
    if (conn_may_pass_answers_on(conn))
        conn_send_last(conn);
    conn_drain(conn, status, sqlstate, message);
}

void pg_conn_end(struct pg_conn *conn, const char *why) {
    PRE(conn->state == PG_CONN_BARRIER || pg_conn_is_up(conn));
    conn_send_last(conn);
    conn_drain(conn, QURING_SHUTDOWN, "57P01", why);
}
