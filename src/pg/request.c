/* SPDX-License-Identifier: MIT */
/*
 * A query as messages. A statement that this connection has READY takes Bind, Execute, Sync: parameters in the types the
 * server inferred, results in binary where there is a codec, and all that is the same each time copied from a template.
 * One that it has not takes Parse, Describe, Bind, Execute, Sync in one flight, parameters and results as text since the
 * types are not known yet; at its sync point it becomes READY. Queries for a statement that is PENDING use the unnamed
 * statement, so a failing Parse harms none but its own.
 */
#include "pg/request.h"

#include "value/value.h"
#include "wire/encode.h"

bool pg_conn_is_held_up_by_tx(const struct pg_conn *conn) {
    uint64_t head = conn->session.head, until = conn->cancel.until;
    const struct quring_tx *tx =
        wire_session_outstanding(&conn->session) ? pg_request_tx(pg_conn_request(conn, head)) : NULL;
    return tx && until > head && pg_request_tx(pg_conn_request(conn, until - 1)) == tx;
}

/* `description` NULL: as text. */
static void request_put_params(struct pg_conn *conn, const struct query *query,
                               const struct pg_description *description) {
    struct buf *out = pg_conn_out(conn);
    for (uint32_t i = 0; i < query->param_count; i++) {
        uint32_t oid = description && i < description->param_count ? description->param_oids[i] : 0;
        wire_session_put_format(&conn->session, (uint16_t)i, value_put_param(out, &query->params[i], oid));
    }
}

/* `description` NULL: parameters and results as text. */
static void request_put_bind(struct pg_conn *conn, const char *name, const struct query *query,
                             const struct pg_description *description, bool sync) {
    struct wire_session *session = &conn->session;
    bool binary = description && !conn->text_only;
    wire_session_put_bind(session, name, (uint16_t)query->param_count);
    request_put_params(conn, query, description);
    wire_session_put_results(session, binary ? description->formats : NULL, binary ? description->format_count : 0);
    wire_session_put_execute(session);
    if (sync)
        wire_session_put_sync(session);
}

static void request_put_bound(struct pg_conn *conn, struct query *query, const struct pg_prepared *prepared,
                              bool sync) {
    const struct wire_template *template = prepared->bind;
    if (base_likely(template && template->param_count == query->param_count)) {
        wire_session_put_bind_copy(&conn->session, template);
        request_put_params(conn, query, prepared->description);
        wire_session_put_execute_copy(&conn->session, template, sync);
    } else {
        request_put_bind(conn, pg_prepared_name(&conn->prepared, prepared->name), query, prepared->description, sync);
    }
    if (prepared->description->columns)
        result_set_columns(&query->result, prepared->description->columns,
                           conn->text_only ? RESULT_TEXT : RESULT_BINARY);
}

static void request_put_parsed(struct pg_conn *conn, const struct query *query, const char *name, bool sync) {
    wire_session_put_parse(&conn->session, name, query->statement->sql, query->statement->length);
    wire_session_put_describe(&conn->session, name);
    request_put_bind(conn, name, query, NULL, sync);
}

/* Closes the statement that has this place, then parses the new one under a new name; pg_prepared_claim() follows. */
static void request_put_named(struct pg_conn *conn, const struct query *query, const struct pg_prepared *prepared,
                              bool sync) {
    if (prepared->state == PG_PREPARED_READY)
        wire_session_put_close(&conn->session, pg_prepared_name(&conn->prepared, prepared->name));
    request_put_parsed(conn, query, pg_prepared_name(&conn->prepared, pg_prepared_next_name(&conn->prepared)), sync);
}

/* What follows when the messages of a request are there. False: they do not fit. */
static inline __attribute__((always_inline)) bool request_end(struct pg_conn *conn, const struct query *query,
                                                              struct pg_request *request, struct pg_prepared *prepared,
                                                              int32_t column_count) {
    if (base_unlikely(!wire_session_end(&conn->session, column_count)))
        return false;
    request->statement = statement_hold(query->statement);
    request->param_count = (uint16_t)query->param_count;
    if (request->kind == PG_REQUEST_NAMED) {
        request->name = pg_prepared_claim(&conn->prepared, prepared, query->statement);
        conn->config->db->counters.prepare_count++;
    }
    return true;
}

bool pg_request_encode(struct pg_conn *conn, struct query *query, struct pg_request *request, bool sync) {
    struct pg_prepared *prepared = pg_prepared_of(&conn->prepared, query->statement);
    int32_t column_count = WIRE_NO_ROWS;
    *request = (struct pg_request){.query = query, .first_byte = socket_position(&conn->socket)};
    wire_session_begin(&conn->session, pg_conn_out(conn)); /* admission keeps to the depth */
    if (prepared && pg_prepared_is_usable(&conn->prepared, prepared, query)) {
        request->kind = PG_REQUEST_BOUND;
        request_put_bound(conn, query, prepared, sync);
        column_count = prepared->description->column_count;
    } else if (prepared && prepared->state != PG_PREPARED_PENDING) {
        request->kind = PG_REQUEST_NAMED;
        request_put_named(conn, query, prepared, sync);
    } else {
        request->kind = PG_REQUEST_UNNAMED;
        request_put_parsed(conn, query, "", sync);
    }
    if (base_unlikely(!request_end(conn, query, request, prepared, column_count)))
        return false;
    if (base_unlikely(query->statement->traits.effect != EFFECT_NONE && pg_conn_is_bound(conn)))
        pg_prepared_take_effect(&conn->prepared, (enum statement_effect)query->statement->traits.effect);
    return true;
}

bool pg_request_encode_in_tx(struct pg_conn *conn, struct query *query, struct pg_request *request, bool by_name) {
    struct pg_prepared *prepared = by_name ? pg_prepared_of(&conn->prepared, query->statement) : NULL;
    int32_t column_count = WIRE_NO_ROWS;
    *request =
        (struct pg_request){.query = query, .kind = PG_REQUEST_UNNAMED, .first_byte = socket_position(&conn->socket)};
    wire_session_begin(&conn->session, pg_conn_out(conn));
    if (prepared && pg_prepared_is_usable(&conn->prepared, prepared, query)) {
        request->kind = PG_REQUEST_BOUND;
        request_put_bind(conn, pg_prepared_name(&conn->prepared, prepared->name), query, prepared->description, false);
        column_count = prepared->description->column_count;
    } else if (prepared && prepared->state != PG_PREPARED_PENDING) {
        request->kind = PG_REQUEST_NAMED;
        request_put_named(conn, query, prepared, false);
    } else {
        request_put_parsed(conn, query, "", false);
    }
    return request_end(conn, query, request, prepared, column_count);
}

void pg_request_settle(struct pg_conn *conn, struct pg_request *request) {
    struct pg_prepared *place = pg_prepared_of(&conn->prepared, request->statement);
    if (request->kind == PG_REQUEST_NAMED) {
        PRE(place && place->name == request->name);
        pg_prepared_settle(place, request->statement, request->described ? request->description : NULL,
                           conn->config->kept_bytes);
        if (place->state == PG_PREPARED_READY && place->description)
            pg_prepared_make_bind(&conn->prepared, place, conn->text_only);
    }
    if (request->plan_refused && request->kind != PG_REQUEST_UNNAMED)
        pg_prepared_refuse(place, request->statement);
}

void pg_request_undo(struct pg_conn *conn, struct pg_request *request) {
    PRE(request->outcome == PG_RUNNING && !request->described);
    pg_request_settle(conn, request);
    pg_request_drop(request);
    *request = (struct pg_request){.query = NULL};
}

void pg_query_restart(struct query *query) {
    const struct quring_db *db = query->queue->db;
    result_drop_notices(&query->result);
    result_begin(&query->result, db->options.result_bytes, db->options.result_row_count);
    queue_put_back(query); /* while its error is there, for the trace */
    if (base_unlikely(query->parked))
        queue_note_left(query, ring_now_ns(db->hub->ring) | 1);
    error_clear(&query->error);
}

void pg_query_give_up(struct query *query, quring_status status) {
    query_fail(query, status, "57014", "%s",
               status == QURING_TIMEOUT    ? "its timeout passed; the server may still carry it out"
               : status == QURING_SHUTDOWN ? "the engine was shut down; the server may still carry it out"
                                           : "cancelled; the server may still carry it out");
}
