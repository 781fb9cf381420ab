/* SPDX-License-Identifier: MIT */
#include "pg/conn_state.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

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

/* Requests that are out end when the socket is closed, because only then it is known how much of them was sent. */
void pg_conn_break(struct pg_conn *conn, quring_status status, const char *sqlstate, const char *message) {
    if (conn->state == PG_CONN_DRAINING)
        return;
    pg_conn_set_reason(conn, status, sqlstate, message);
    timer_clear(pg_conn_ring(conn), &conn->timer);
    if (pg_conn_is_up(conn))
        conn->events->lost(conn);
    pg_conn_move(conn, PG_CONN_DRAINING);
    socket_close(&conn->socket);
}
