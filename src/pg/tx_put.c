/* SPDX-License-Identifier: MIT */
#include "pg/tx_put.h"

#include "pg/conn.h"
#include "pg/silence.h"
#include "wire/encode.h"

#include <string.h>

static const char tx_reset_sql[] = "discard all";

/* What the first exchange on a connection sets (barrier.c), without a row. */
static const char tx_settings_sql[] =
    "select 1 where set_config('datestyle', 'iso', false) is null or set_config('extra_float_digits', "
    "greatest(current_setting('extra_float_digits')::int4, 1)::text, false) is null";

static void tx_break_for_memory(struct pg_conn *conn) {
    pg_conn_break(conn, QURING_IN_DOUBT, "53200", "out of memory");
}

/* Begins a request of the transaction. NULL: there is no memory, and the connection is broken. */
static struct pg_request *tx_new_request(struct quring_tx *tx, struct query *query) {
    struct pg_tx *pg = pg_tx_of(tx);
    struct pg_conn *conn = pg->conn;
    if (!pg_conn_make_room(conn)) {
        tx_break_for_memory(conn);
        return NULL;
    }
    if (pg_conn_is_settled(conn))
        conn->place.progress_ns = ring_now_ns(pg_conn_ring(conn));
    struct pg_request *request = pg_conn_request(conn, conn->session.next);
    *request = (struct pg_request){
        .query = query, .ops = &pg->ops, .kind = PG_REQUEST_UNNAMED, .first_byte = socket_position(&conn->socket)};
    if (query)
        request->tx_position = query->tx_position;
    return request;
}

/* The request was encoded. */
static void tx_sent(struct quring_tx *tx, struct query *query) {
    struct pg_tx *pg = pg_tx_of(tx);
    pg->last = pg->conn->session.next - 1;
    pg->conn->group_open = true;
    if (!query)
        return;
    query->sent = true;
    pg_query(query)->conn = pg->conn;
    pg_query(query)->request = pg->last;
}

bool pg_tx_put_control(struct quring_tx *tx, struct query *query, const char *sql, size_t length) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    PRE(conn);
    struct wire_session *session = &conn->session;
    struct pg_request *request = tx_new_request(tx, query);
    if (!request)
        return false;
    wire_session_begin(session, pg_conn_out(conn));
    wire_session_put_parse(session, "", sql, length);
    wire_session_put_bind(session, "", 0);
    wire_session_put_results(session, NULL, 0);
    wire_session_put_execute(session);
    if (!wire_session_end(session, WIRE_NO_ROWS)) {
        *request = (struct pg_request){.query = NULL};
        tx_break_for_memory(conn);
        return false;
    }
    if (query)
        request->statement = statement_hold(query->statement);
    tx_sent(tx, query);
    return true;
}

bool pg_tx_put_begin(struct quring_tx *tx) {
    char sql[TX_BEGIN_BYTES];
    struct pg_tx *pg = pg_tx_of(tx);
    PRE(tx->state == TX_WAITING);
    size_t length = tx_begin_sql(tx, sql);
    if (!pg_conn_sync(pg->conn) || !pg_tx_put_control(tx, NULL, sql, length))
        return false;
    pg->begin = pg->last;
    pg_conn_request(pg->conn, pg->begin)->opens = true;
    tx_move(tx, TX_OPEN);
    return true;
}

/* As a query that nobody waits for. */
static bool tx_put_token(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    const quring_param token = quring_uuid(tx->token);
    struct query query = {.statement = tx->writes_token, .params = &token, .param_count = 1, .queue = &tx->queue};
    struct pg_request *request = tx_new_request(tx, NULL);
    if (!request)
        return false;
    if (!pg_request_encode_in_tx(pg->conn, &query, request, !pg->by_use && !pg->conn->settings_changed)) {
        *request = (struct pg_request){.query = NULL};
        tx_break_for_memory(pg->conn);
        return false;
    }
    request->query = NULL;
    request->ops = &pg->ops;
    request->own = true;
    tx_sent(tx, NULL);
    return true;
}

bool pg_tx_put_note(struct quring_tx *tx) {
    static const char sql[] = XID_NOTE_SQL;
    struct pg_tx *pg = pg_tx_of(tx);
    PRE(tx_reads_note(tx) && pg->note == NOTE_NONE);
    struct wire_session *session = &pg->conn->session;
    struct pg_request *request = tx_new_request(tx, NULL);
    if (!request)
        return false;
    request->own = true;
    wire_session_begin(session, pg_conn_out(pg->conn));
    wire_session_put_parse(session, "", sql, sizeof sql - 1);
    wire_session_put_bind(session, "", 0);
    wire_session_put_results(session, NULL, 0);
    wire_session_put_execute(session);
    if (!wire_session_end(session, 1)) {
        *request = (struct pg_request){.query = NULL};
        tx_break_for_memory(pg->conn);
        return false;
    }
    tx_sent(tx, NULL);
    pg->note = NOTE_OUT;
    return true;
}

bool pg_tx_put_reset(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    PRE(tx->state == TX_ENDING);
    pg->hit = false;
    pg->resets = pg_tx_put_control(tx, NULL, tx_reset_sql, sizeof tx_reset_sql - 1);
    if (!pg->resets || !pg_conn_sync(pg->conn))
        return false;
    if (!pg->conn->barrier.pooled &&
        (!pg_tx_put_control(tx, NULL, tx_settings_sql, sizeof tx_settings_sql - 1) || !pg_conn_sync(pg->conn)))
        return false;
    pg_silence_given_up(pg->conn, pg->last);
    return true;
}

bool pg_tx_put_end(struct quring_tx *tx, struct query *query) {
    struct pg_tx *pg = pg_tx_of(tx);
    PRE(tx_has_place(tx));
    const char *sql = pg_tx_commits(query) ? "commit" : "rollback";
    if (tx->writes_token && pg_tx_commits(query) && !tx_put_token(tx))
        return false;
    if (!pg_conn_sync(pg->conn) || !pg_tx_put_control(tx, query, sql, strlen(sql)))
        return false;
    pg->end = pg->last;
    pg->hit = false;
    if (tx->state == TX_OPEN)
        tx_move(tx, TX_ENDING);
    return pg_conn_sync(pg->conn) && (!pg_tx_must_reset(tx) || pg_tx_put_reset(tx));
}

bool pg_tx_put_commit(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    struct quring_statement *commit = tx->queue.db->tx_ends[0];
    PRE(tx->state == TX_OPEN && tx->atomic);
    if (!pg_conn_sync(pg->conn) || !pg_tx_put_control(tx, NULL, commit->sql, commit->length))
        return false;
    struct pg_request *request = pg_conn_request(pg->conn, pg->last);
    request->own = true;
    request->statement = statement_hold(commit);
    pg->end = pg->last;
    tx_move(tx, TX_ENDING);
    return pg_conn_sync(pg->conn);
}

/* Parsed for this use alone, because settings or temporary tables decide what it means. */
static void tx_put_unnamed(struct quring_tx *tx, struct query *query) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    struct pg_request *request = tx_new_request(tx, query);
    if (!request) {
        queue_put_back(query);
        return;
    }
    if (!pg_request_encode_in_tx(conn, query, request, false)) {
        *request = (struct pg_request){.query = NULL};
        pg_conn_refuse_query(conn, query);
        return;
    }
    tx_sent(tx, query);
}

void pg_tx_put_member(struct quring_tx *tx, struct query *query) {
    struct pg_tx *pg = pg_tx_of(tx);
    struct pg_conn *conn = pg->conn;
    PRE(tx_has_place(tx) && tx_verb(query) == VERB_NONE);
    const struct statement_traits *traits = &query->statement->traits;
    uint64_t ordinal = conn->session.next;
    pg->by_use |= conn->settings_changed;
    if (pg->by_use || !traits->leaves_nothing)
        tx_put_unnamed(tx, query);
    else
        pg_conn_send(conn, query);
    if (conn->session.next == ordinal)
        return;
    pg_conn_request(conn, ordinal)->ops = &pg->ops;
    pg_conn_request(conn, ordinal)->tx_position = query->tx_position;
    pg->last = ordinal;
    pg->by_use |= traits->effect != EFFECT_NONE;
}
