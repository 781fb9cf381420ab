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

static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

/*
 * Names on the server are "quring_", ten digits of the connection's nonce, and a number that is used once in its life. So a
 * name means the same on every connection, or nothing: behind a pooler that hands one client's statements to another, a
 * wrong one does not exist, or exists already; it never is another statement.
 */
void pg_names_begin(struct pg_conn *conn) {
    static const char prefix[] = "quring_";
    _Static_assert(sizeof prefix - 1 + 10 == PG_NAME_PREFIX_BYTES, "the length of the prefix");
    char *at = conn->name + sizeof prefix - 1;
    memcpy(conn->name, prefix, sizeof prefix - 1);
    for (int i = 0; i < 10; i++)
        *at++ = digits[conn->nonce >> 5 * i & 31];
    conn->name_count = 0;
}

/* Valid until the next call. */
static const char *name_of(struct pg_conn *conn, uint64_t number) {
    char *at = conn->name + PG_NAME_PREFIX_BYTES;
    int shift = number ? (63 - __builtin_clzll(number)) & ~3 : 0;
    for (; shift >= 0; shift -= 4)
        *at++ = digits[number >> shift & 15];
    *at = 0;
    return conn->name;
}

/* Where a statement's place is; NULL: it is parsed for each use. */
static struct pg_prepared *prepared_of(struct pg_conn *conn, const struct quring_statement *statement) {
    bool kept = statement->index != STATEMENT_UNCACHED && statement->traits.reusable && !conn->unnamed;
    return kept ? &conn->prepared[statement->index] : NULL;
}

/* `info` NULL: parameters and results as text. */
static void put_bind(struct pg_conn *conn, const char *name, const struct query *query, const struct pg_info *info) {
    struct buf *out = pg_conn_out(conn);
    struct wire_bind bind;
    uint32_t count = query->param_count;
    wire_bind_begin(out, &bind, name, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t oid = info && i < info->param_count ? info->param_oids[i] : 0;
        wire_bind_format(out, &bind, (uint16_t)i, value_put_param(out, &query->params[i], oid));
    }
    wire_bind_end(out, &bind, info ? info->formats : NULL, info && !conn->text_only ? info->format_count : 0);
    wire_put_execute(out);
}

static uint8_t put_bound(struct pg_conn *conn, struct query *query, const struct pg_prepared *prepared) {
    put_bind(conn, name_of(conn, prepared->name), query, prepared->info);
    if (prepared->info->columns)
        result_set_columns(&query->result, prepared->info->columns, conn->text_only ? RESULT_TEXT : RESULT_BINARY);
    return WIRE_EXECUTE;
}

static uint8_t put_parsed(struct pg_conn *conn, const struct query *query, const char *name) {
    struct buf *out = pg_conn_out(conn);
    wire_put_parse(out, name, query->statement->sql, query->statement->length);
    wire_put_describe_statement(out, name);
    put_bind(conn, name, query, NULL);
    return WIRE_PARSE | WIRE_DESCRIBE | WIRE_EXECUTE;
}

/* Closes what stood in the statement's place, then parses it under a new name. The place changes hands in claim(). */
static uint8_t put_named(struct pg_conn *conn, const struct query *query, const struct pg_prepared *prepared) {
    uint8_t steps = 0;
    if (prepared->state == PG_READY) {
        wire_put_close_statement(pg_conn_out(conn), name_of(conn, prepared->name));
        steps = WIRE_CLOSE;
    }
    return steps | put_parsed(conn, query, name_of(conn, conn->name_count + 1));
}

/*
 * On a bound connection a plan from before a SET, an ALTER and their like is not used, for what PostgreSQL saw when it
 * parsed may have changed: a schema, a time zone in a constant. One that the caller prepared by hand is, as long as it
 * is there.
 */
static bool has_shape(const struct pg_conn *conn, const struct pg_prepared *prepared, const struct query *query) {
    if (base_likely(prepared->shape == conn->shape))
        return true;
    return query->by_handle && (int32_t)(prepared->shape - conn->forgotten) >= 0;
}

/* A query that runs again because its plan was stale trusts no other query's plan either. */
static bool is_usable(const struct pg_conn *conn, const struct pg_prepared *prepared, const struct query *query) {
    return prepared->state == PG_READY && prepared->serial == query->statement->serial && !query->retried &&
           has_shape(conn, prepared, query);
}

static uint64_t claim(struct pg_conn *conn, struct pg_prepared *prepared, const struct quring_statement *statement) {
    uint64_t replaces = 0;
    if (prepared->state == PG_READY) {
        replaces = prepared->name;
        pg_info_drop(prepared->info);
    }
    *prepared = (struct pg_prepared){.serial = statement->serial,
                                     .replaces = replaces,
                                     .name = ++conn->name_count,
                                     .shape = conn->shape,
                                     .state = PG_PENDING};
    conn->db->base.host->stats.prepare_count++;
    return prepared->name;
}

void pg_prepared_outdate(struct pg_conn *conn) {
    if (!pg_conn_is_bound(conn))
        return;
    conn->shape++;
    conn->changed = true;
}

/*
 * What this statement does to plans from before it, on a bound connection. A transaction's end changes what was seen inside
 * it if anything was changed there. When it began is not looked at, for COMMIT AND CHAIN begins one, too, and BEGIN may be a
 * warning: what was changed before it counts as well, until the first end.
 */
static void take_effect(struct pg_conn *conn, enum statement_effect effect) {
    switch (effect) {
    case EFFECT_NONE:
        break;
    case EFFECT_CHANGES:
    case EFFECT_FORGETS:
        pg_prepared_outdate(conn);
        if (effect == EFFECT_FORGETS)
            conn->forgotten = conn->shape;
        break;
    case EFFECT_COMMITS:
    case EFFECT_ENDS:
        conn->shape += conn->changed;
        conn->changed = false;
        break;
    case EFFECT_GOES_BACK:
        conn->shape += conn->changed;
        break;
    }
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
        steps = put_bound(conn, query, prepared);
        column_count = prepared->info->column_count;
    } else if (prepared && prepared->state != PG_PENDING) {
        flight->kind = PG_NAMED;
        steps = put_named(conn, query, prepared);
    } else {
        flight->kind = PG_UNNAMED;
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
    flight->statement = statement_hold(query->statement);
    flight->param_count = (uint16_t)query->param_count;
    if (flight->kind == PG_NAMED)
        flight->name = claim(conn, prepared, query->statement);
    if (base_unlikely(query->statement->traits.effect != EFFECT_NONE && pg_conn_is_bound(conn)))
        take_effect(conn, (enum statement_effect)query->statement->traits.effect);
    bool expected = wire_session_expect(&conn->session, steps, column_count);
    PRE(expected); /* admission keeps to the depth */
    return true;
}

/* ---- What is prepared ---- */

/*
 * The database handle keeps the newest inference of a text, so that connections that agree share one. NULL: this one is too
 * large to be kept.
 */
static struct pg_info *share_info(struct pg_db *db, struct quring_statement *statement, struct pg_info *info) {
    struct pg_info *known = statement->backend;
    if (known && pg_info_equal(known, info))
        return pg_info_hold(known);
    pg_info_drop(known);
    statement->backend = NULL;
    if (!pg_info_keep(info, &db->info_bytes))
        return NULL;
    statement->backend = pg_info_hold(info);
    return pg_info_hold(info);
}

/*
 * What has no description is stale: the next request closes it. So is what was to be closed, when that may have been
 * skipped.
 */
static void settle_named(struct pg_db *db, struct pg_prepared *prepared, const struct pg_flight *flight) {
    PRE(prepared->state == PG_PENDING && prepared->name == flight->name);
    uint64_t replaced = prepared->replaces;
    prepared->state = flight->described || replaced ? PG_READY : PG_ABSENT;
    prepared->info = flight->described ? share_info(db, flight->statement, flight->info) : NULL;
    if (!prepared->info)
        prepared->serial = 0;
    if (!flight->described)
        prepared->name = replaced;
}

void pg_request_settle(struct pg_conn *conn, struct pg_flight *flight) {
    struct pg_prepared *prepared = prepared_of(conn, flight->statement);
    if (flight->kind == PG_NAMED)
        settle_named(conn->db, prepared, flight);
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
        if (conn->prepared[i].state == PG_ABSENT)
            continue; /* writing would make the page resident */
        if (conn->prepared[i].state == PG_READY)
            pg_info_drop(conn->prepared[i].info);
        conn->prepared[i] = (struct pg_prepared){0};
    }
}
