/* SPDX-License-Identifier: MIT */
/*
 * A query as messages. A statement that this connection has READY takes Bind, Execute, Sync: parameters in the types the
 * server inferred, results in binary where there is a codec. One that it has not takes Parse, Describe, Bind, Execute,
 * Sync in one flight, parameters and results as text since the types are not known yet; at its sync point it becomes
 * READY. Queries for a statement that is PENDING use the unnamed statement, so a failing Parse harms none but its own.
 */
#include "core/value.h"
#include "pg/pg.h"

#include <string.h>

enum { NAME_BYTES = 12 };

/* "q" and hexadecimal digits: every name is used once in a connection's life. */
static void name_format(char name[NAME_BYTES], uint32_t number) {
    static const char digits[] = "0123456789abcdef";
    char *at = name;
    *at++ = 'q';
    int shift = 28;
    while (shift && !(number >> shift & 0xf))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *at++ = digits[number >> shift & 0xf];
    *at = 0;
}

/* Where a statement's place is; NULL: it is parsed for each use. */
static struct pg_prepared *prepared_of(struct pg_conn *conn, const struct quring_statement *statement) {
    bool kept = statement->index != STATEMENT_UNCACHED && statement->traits.reusable &&
                !conn->db->base.options.no_prepared_statements;
    return kept ? &conn->prepared[statement->index] : NULL;
}

static void put_bind(struct buf *out, const char *name, const struct query *query, const struct pg_info *info) {
    struct wire_bind bind;
    uint32_t count = query->param_count;
    wire_bind_begin(out, &bind, name, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t oid = info && i < info->param_count ? info->param_oids[i] : 0;
        wire_bind_format(out, &bind, (uint16_t)i, value_put_param(out, &query->params[i], oid));
    }
    wire_bind_end(out, &bind, info ? info->formats : NULL, info ? info->format_count : 0);
    wire_put_execute(out);
}

static uint8_t put_bound(struct buf *out, struct query *query, const struct pg_prepared *prepared) {
    char name[NAME_BYTES];
    name_format(name, prepared->name);
    put_bind(out, name, query, prepared->info);
    if (prepared->info->columns)
        result_set_columns(&query->result, prepared->info->columns, RESULT_BINARY);
    return WIRE_EXECUTE;
}

static uint8_t put_parsed(struct buf *out, const struct query *query, const char *name) {
    const struct quring_statement *statement = query->statement;
    wire_put_parse(out, name, statement->sql, statement->length);
    wire_put_describe_statement(out, name);
    put_bind(out, name, query, NULL);
    return WIRE_PARSE | WIRE_DESCRIBE | WIRE_EXECUTE;
}

/* Closes what stood in the statement's place, then parses it under a new name. The place changes hands in claim(). */
static uint8_t put_named(struct pg_conn *conn, struct buf *out, const struct query *query,
                         const struct pg_prepared *prepared) {
    char name[NAME_BYTES];
    uint8_t steps = 0;
    if (prepared->state == PG_READY) {
        name_format(name, prepared->name);
        wire_put_close_statement(out, name);
        steps = WIRE_CLOSE;
    }
    name_format(name, conn->name_count + 1);
    return steps | put_parsed(out, query, name);
}

/*
 * A query that runs again because its plan was stale trusts no other connection's plan either. In an exclusive handle, where order
 * is promised and nothing can be repaired behind those that follow, plans from before an ALTER are not trusted at all.
 */
static bool is_usable(const struct pg_conn *conn, const struct pg_prepared *prepared, const struct query *query) {
    return prepared->state == PG_READY && prepared->serial == query->statement->serial && !query->retried &&
           prepared->shape == conn->shape;
}

static uint32_t claim(struct pg_conn *conn, struct pg_prepared *prepared, const struct quring_statement *statement) {
    pg_info_drop(prepared->info);
    *prepared = (struct pg_prepared){.serial = statement->serial,
                                     .name = ++conn->name_count,
                                     .replaces = prepared->state == PG_READY ? prepared->name : 0,
                                     .shape = conn->shape,
                                     .state = PG_PENDING};
    conn->db->base.host->stats.prepare_count++;
    return prepared->name;
}

bool pg_request_encode(struct pg_conn *conn, struct query *query, struct pg_flight *flight, bool sync) {
    struct buf *out = pg_conn_out(conn);
    size_t mark = buf_mark(out);
    struct pg_prepared *prepared = prepared_of(conn, query->statement);
    int32_t column_count = WIRE_NO_ROWS;
    *flight = (struct pg_flight){.query = query, .first_byte = stream_position(&conn->stream)};
    uint8_t steps;
    if (prepared && is_usable(conn, prepared, query)) {
        flight->kind = PG_BOUND;
        steps = put_bound(out, query, prepared);
        column_count = prepared->info->column_count;
    } else if (prepared && prepared->state != PG_PENDING) {
        flight->kind = PG_NAMED;
        steps = put_named(conn, out, query, prepared);
    } else {
        flight->kind = PG_UNNAMED;
        steps = put_parsed(out, query, "");
    }
    if (sync) {
        wire_put_sync(out);
        steps |= WIRE_SYNC;
    }
    if (base_unlikely(buf_failed(out))) {
        buf_truncate(out, mark);
        return false;
    }
    flight->statement = statement_hold(query->statement);
    if (flight->kind == PG_NAMED)
        flight->name = claim(conn, prepared, query->statement);
    if (base_unlikely(query->statement->traits.effect >= EFFECT_CHANGES &&
                      query->statement->traits.effect <= EFFECT_FORGETS && conn->db->base.options.exclusive))
        conn->shape++;
    bool expected = wire_session_expect(&conn->session, steps, column_count);
    PRE(expected); /* admission keeps to the depth */
    return true;
}

/* ---- What is prepared ---- */

/* The database handle keeps the newest inference of a text, so that connections that agree share one. */
static struct pg_info *share_info(struct quring_statement *statement, struct pg_info *info) {
    struct pg_info *known = statement->backend;
    if (known && pg_info_equal(known, info))
        return pg_info_hold(known);
    pg_info_drop(known);
    statement->backend = pg_info_hold(info);
    return pg_info_hold(info);
}

static void settle_named(struct pg_prepared *prepared, const struct pg_flight *flight) {
    if (prepared->state != PG_PENDING || prepared->name != flight->name)
        return; /* forgotten meanwhile: DISCARD ALL and its like */
    prepared->state = flight->described || prepared->replaces ? PG_READY : PG_ABSENT;
    if (flight->described) {
        prepared->info = share_info(flight->statement, flight->info);
    } else { /* the Close may have been skipped too: stale, so that the next request closes it */
        prepared->serial = 0;
        prepared->name = prepared->replaces;
    }
}

void pg_request_settle(struct pg_conn *conn, struct pg_flight *flight) {
    struct pg_prepared *prepared = prepared_of(conn, flight->statement);
    if (flight->kind == PG_NAMED)
        settle_named(prepared, flight);
    if (flight->stale && flight->kind != PG_UNNAMED && prepared->state == PG_READY &&
        prepared->serial == flight->statement->serial)
        prepared->serial = 0; /* the next request for it closes it and parses anew */
}

void pg_flight_drop(struct pg_flight *flight) {
    pg_info_drop(flight->info);
    flight->info = NULL;
    if (flight->statement)
        statement_drop(flight->statement);
    flight->statement = NULL;
}

void pg_prepared_forget_all(struct pg_conn *conn) {
    for (uint32_t i = 0; i < conn->db->base.options.statement_count; i++) {
        pg_info_drop(conn->prepared[i].info);
        conn->prepared[i] = (struct pg_prepared){0};
    }
}
