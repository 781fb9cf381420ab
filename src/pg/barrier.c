/* SPDX-License-Identifier: MIT */
/*
 * The first exchange on a connection that was taken over from libpq, before any query:
 *
 *   - a nonce must come back. If it does not, libpq had read ahead, and the replies are not to our requests
 *   - the process that answers is compared with the one that libpq was connected to. If they differ, a pooler is between,
 *     the next transaction may be another process's, and nothing is prepared by name (options.prepared_statements)
 *   - unless a pooler would pass the settings on to its other clients, dates in text keep their ISO style and floating-point
 *     numbers get all their digits, so that a statement's first execution (text) and later ones (binary) give the same.
 *     Both are set even where they are so already, because a value set in the session outlives a reload of the server's
 *     configuration
 *
 * The statement uses only words that relatives of PostgreSQL know too, and gives each parameter its type.
 */
#include "pg/barrier.h"

#include "pg/request.h"
#include "value/value.h"
#include "wire/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char barrier_sql[] =
    "select $1::text, pg_backend_pid()::text, case when pg_backend_pid()::text = $2::text then "
    "set_config('datestyle', current_setting('datestyle'), false) || set_config('extra_float_digits', "
    "greatest(current_setting('extra_float_digits')::int4, 1)::text, false) else '' end";

enum { NUMBER_BYTES = 24, PARAMS = 2 };

static quring_param barrier_nonce_param(const struct pg_conn *conn, char text[NUMBER_BYTES]) {
    int length = snprintf(text, NUMBER_BYTES, "%016llx", (unsigned long long)conn->barrier.nonce);
    return quring_text_sized(text, (size_t)length);
}

static quring_param barrier_pid_param(const struct pg_conn *conn, char text[NUMBER_BYTES]) {
    int length = snprintf(text, NUMBER_BYTES, "%d", conn->barrier.server_pid);
    return quring_text_sized(text, (size_t)length);
}

/* Takes the row's next value. True: it is the expected text. */
static bool barrier_takes_text(struct cursor *row, const quring_param *expected) {
    int32_t size = cursor_i32(row);
    const uint8_t *bytes = size >= 0 ? cursor_take(row, (size_t)size) : NULL;
    return bytes && (size_t)size == expected->value.bytes.size_bytes &&
           memcmp(bytes, expected->value.bytes.data, (size_t)size) == 0;
}

/* The session has checked the row's form. A second row is not one of this statement's, so the nonce no longer counts. */
static void barrier_row(struct pg_conn *conn, const struct wire_event *event) {
    char nonce[NUMBER_BYTES], pid[NUMBER_BYTES];
    const quring_param expected[PARAMS] = {barrier_nonce_param(conn, nonce), barrier_pid_param(conn, pid)};
    struct cursor row = cursor_over(event->body, event->size);
    conn->barrier.nonce_seen =
        conn->barrier.row_count++ == 0 && cursor_u16(&row) == 3 && barrier_takes_text(&row, &expected[0]);
    conn->barrier.pooled = conn->barrier.nonce_seen && !barrier_takes_text(&row, &expected[1]);
}

static void barrier_take_up(struct pg_conn *conn) {
    const quring_db_options *options = &conn->config->db->options;
    conn->prepared.unnamed = options->prepared_statements == QURING_PREPARED_NEVER ||
                             (conn->barrier.pooled && options->prepared_statements != QURING_PREPARED_ALWAYS);
    if (conn->barrier.pooled)
        conn->config->db->server_pid = 0; /* the pooler made this number up */
    conn->text_only = pg_conn_is_bound(conn) || conn->barrier.pooled;
    timer_clear(pg_conn_ring(conn), &conn->timer);
    free(conn->attempt);
    conn->attempt = NULL;
    pg_conn_move(conn, PG_CONN_READY);
    conn->was_up = true;
    conn->events->up(conn);
}

static void barrier_ready(struct pg_conn *conn, const struct wire_event *event) {
    pg_request_drop(pg_conn_request(conn, event->request));
    conn->settled = event->request + 1;
    if (conn->barrier.nonce_seen && event->transaction == 'I')
        barrier_take_up(conn);
    else
        pg_conn_break(conn, QURING_PROTOCOL, "08P01",
                      "the first exchange on the new connection got another one's answer");
}

static void barrier_error(struct pg_conn *conn, const struct wire_event *event) {
    pg_conn_break(conn, QURING_NOT_SENT, event->error.sqlstate, event->error.message);
}

static const struct pg_request_ops barrier_operations = {
    .row = barrier_row, .error = barrier_error, .ready = barrier_ready, .asks = true};

bool pg_barrier_encode(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_BARRIER && conn->session.next == 0);
    struct buf *out = pg_conn_out(conn);
    char nonce[NUMBER_BYTES], pid[NUMBER_BYTES];
    const quring_param params[PARAMS] = {barrier_nonce_param(conn, nonce), barrier_pid_param(conn, pid)};
    struct wire_session *session = &conn->session;
    *pg_conn_request(conn, session->next) = (struct pg_request){
        .ops = &barrier_operations, .param_count = PARAMS, .first_byte = socket_position(&conn->socket)};
    wire_session_begin(session, out);
    wire_session_put_parse(session, "", barrier_sql, sizeof barrier_sql - 1);
    wire_session_put_describe(session, "");
    wire_session_put_bind(session, "", PARAMS);
    for (uint16_t i = 0; i < (uint16_t)PARAMS; i++)
        wire_session_put_format(session, i, value_put_param(out, &params[i], 0));
    wire_session_put_results(session, NULL, 0);
    wire_session_put_execute(session);
    wire_session_put_sync(session);
    return wire_session_end(session, WIRE_NO_ROWS);
}
