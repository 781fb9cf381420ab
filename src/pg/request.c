/* SPDX-License-Identifier: MIT */
/*
 * A query as messages. A statement that this connection has READY takes Bind, Execute, Sync: parameters in the types the
 * server inferred, results in binary where there is a codec. One that it has not takes Parse, Describe, Bind, Execute,
 * Sync in one flight, parameters and results as text since the types are not known yet; at its sync point it becomes
 * READY. Queries for a statement that is PENDING use the unnamed statement, so a failing Parse harms none but its own.
 */
#include "pg/conn.h"
#include "value/value.h"

/* `description` NULL: parameters and results as text. */
static void put_bind(struct pg_conn *conn, const char *name, const struct query *query,
                     const struct pg_description *description) {
    struct buf *out = pg_conn_out(conn);
    struct wire_bind bind;
    uint32_t count = query->param_count;
    wire_bind_begin(out, &bind, name, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t oid = description && i < description->param_count ? description->param_oids[i] : 0;
        wire_bind_format(out, &bind, (uint16_t)i, value_put_param(out, &query->params[i], oid));
    }
    wire_bind_end(out, &bind, description ? description->formats : NULL,
                  description && !conn->text_only ? description->format_count : 0);
    wire_put_execute(out);
}

static uint8_t put_bound(struct pg_conn *conn, struct query *query, const struct pg_prepared *prepared) {
    put_bind(conn, pg_prepared_name(&conn->prepared, prepared->name), query, prepared->description);
    if (prepared->description->columns)
        result_set_columns(&query->result, prepared->description->columns,
                           conn->text_only ? RESULT_TEXT : RESULT_BINARY);
    return WIRE_BIND | WIRE_FETCH;
}

static uint8_t put_parsed(struct pg_conn *conn, const struct query *query, const char *name) {
    struct buf *out = pg_conn_out(conn);
    wire_put_parse(out, name, query->statement->sql, query->statement->length);
    wire_put_describe_statement(out, name);
    put_bind(conn, name, query, NULL);
    return WIRE_PARSE | WIRE_DESCRIBE | WIRE_BIND | WIRE_FETCH;
}

/* Closes what stood in the statement's place, then parses it under a new name. The place changes hands in pg_prepared_claim(). */
static uint8_t put_named(struct pg_conn *conn, const struct query *query, const struct pg_prepared *prepared) {
    uint8_t steps = 0;
    if (prepared->state == PG_PREPARED_READY) {
        wire_put_close_statement(pg_conn_out(conn), pg_prepared_name(&conn->prepared, prepared->name));
        steps = WIRE_CLOSE;
    }
    return steps | put_parsed(conn, query, pg_prepared_name(&conn->prepared, pg_prepared_next_name(&conn->prepared)));
}

bool pg_request_encode(struct pg_conn *conn, struct query *query, struct pg_request *request, bool sync) {
    struct buf *out = pg_conn_out(conn);
    size_t mark = buf_mark(out);
    struct pg_prepared *prepared = pg_prepared_of(&conn->prepared, query->statement);
    int32_t column_count = WIRE_NO_ROWS;
    *request = (struct pg_request){.query = query, .first_byte = socket_position(&conn->socket)};
    uint8_t steps;
    if (prepared && pg_prepared_is_usable(&conn->prepared, prepared, query)) {
        request->kind = PG_REQUEST_BOUND;
        steps = put_bound(conn, query, prepared);
        column_count = prepared->description->column_count;
    } else if (prepared && prepared->state != PG_PREPARED_PENDING) {
        request->kind = PG_REQUEST_NAMED;
        steps = put_named(conn, query, prepared);
    } else {
        request->kind = PG_REQUEST_UNNAMED;
        steps = put_parsed(conn, query, "");
    }
    if (sync) {
        wire_put_sync(out);
        steps |= WIRE_SYNC;
    }
    if (base_unlikely(buf_failed(out))) {
        buf_truncate(out, mark);
        return false;
    }
    request->statement = statement_hold(query->statement);
    request->param_count = (uint16_t)query->param_count;
    if (request->kind == PG_REQUEST_NAMED) {
        request->name = pg_prepared_claim(&conn->prepared, prepared, query->statement);
        conn->config->db->counters.prepare_count++;
    }
    if (base_unlikely(query->statement->traits.effect != EFFECT_NONE && pg_conn_is_bound(conn)))
        pg_prepared_take_effect(&conn->prepared, (enum statement_effect)query->statement->traits.effect);
    bool expected = wire_session_expect(&conn->session, steps, column_count);
    PRE(expected); /* admission keeps to the depth */
    return true;
}

void pg_request_settle(struct pg_conn *conn, struct pg_request *request) {
    struct pg_prepared *place = pg_prepared_of(&conn->prepared, request->statement);
    if (request->kind == PG_REQUEST_NAMED) {
        PRE(place->name == request->name);
        pg_prepared_settle(place, request->statement, request->described ? request->description : NULL,
                           conn->config->kept_bytes);
    }
    if (request->plan_refused && request->kind != PG_REQUEST_UNNAMED)
        pg_prepared_refuse(place, request->statement);
}

void pg_request_drop(struct pg_request *request) {
    pg_description_drop(request->description);
    request->description = NULL;
    if (request->statement)
        statement_drop(request->statement);
    request->statement = NULL;
}
