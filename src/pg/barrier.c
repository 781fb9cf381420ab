/* SPDX-License-Identifier: MIT */
/*
 * The first exchange on a connection that was taken over from libpq: a nonce comes back, or what libpq had read ahead is
 * lost and the replies are not ours.
 */
#include "core/value.h"
#include "pg/pg.h"

#include <stdio.h>
#include <string.h>

enum { NONCE_BYTES = 16 };

bool pg_barrier_encode(struct pg_conn *conn) {
    struct buf *out = pg_conn_out(conn);
    char nonce[20];
    int length = snprintf(nonce, sizeof nonce, "%016llx", (unsigned long long)conn->nonce);
    quring_param param = quring_text_sized(nonce, (size_t)length);
    static const char sql[] = "select $1";
    struct wire_bind bind;
    *pg_conn_flight(conn, conn->session.next) =
        (struct pg_flight){.kind = PG_BARRIER, .first_byte = stream_position(&conn->stream)};
    wire_put_parse(out, "", sql, sizeof sql - 1);
    wire_put_describe_statement(out, "");
    wire_bind_begin(out, &bind, "", 1);
    wire_bind_format(out, &bind, 0, value_put_param(out, &param, 0));
    wire_bind_end(out, &bind, NULL, 0);
    wire_put_execute(out);
    wire_put_sync(out);
    return !buf_failed(out) &&
           wire_session_expect(&conn->session, WIRE_PARSE | WIRE_DESCRIBE | WIRE_EXECUTE | WIRE_SYNC, WIRE_NO_ROWS);
}

void pg_barrier_row(struct pg_conn *conn, const struct wire_event *event) {
    char nonce[NONCE_BYTES + 1];
    snprintf(nonce, sizeof nonce, "%016llx", (unsigned long long)conn->nonce);
    conn->nonce_seen =
        !conn->nonce_seen && event->size == 6 + NONCE_BYTES && memcmp(event->body + 6, nonce, NONCE_BYTES) == 0;
}

void pg_barrier_ready(struct pg_conn *conn, const struct wire_event *event) {
    pg_flight_drop(pg_conn_flight(conn, event->request));
    conn->settled = event->request + 1;
    if (!conn->nonce_seen || event->transaction != 'I') {
        pg_conn_break(conn, QURING_PROTOCOL, "08P01",
                      "the first exchange on the new connection got another one's answer");
    } else {
        timer_clear(conn->db->base.host->ring, &conn->timer);
        pg_conn_move(conn, PG_CONN_READY);
        conn->attempts = 0;
        conn->was_up = true;
        pg_db_conn_up(conn);
    }
}
