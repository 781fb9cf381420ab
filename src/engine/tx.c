/* SPDX-License-Identifier: MIT */
/* Transactions: how their handles are made and given back. */
#include "engine/engine.h"

#include <stdlib.h>

static const uint64_t TX_IDLE_NS = 10000000000u, TX_RESOLVE_NS = 30000000000u;

/* ---- Memory ---- */

/* The memory of one that is over, or new; the heap of deadlines has room for all. NULL: no memory. */
static struct quring_tx *tx_take(quring_engine *engine) {
    struct list *node = list_pop_front(&engine->hub.tx_over);
    if (node)
        return list_entry(node, struct quring_tx, link);
    if (!heap_reserve(&engine->hub.tx_deadlines, engine->tx_count + 1))
        return NULL;
    struct quring_tx *tx = calloc(1, sizeof *tx);
    engine->tx_count += tx != NULL;
    return tx;
}

static void tx_destroy_all(struct list *txs) {
    list_for_each_safe(node, txs) {
        struct quring_tx *tx = list_entry(node, struct quring_tx, link);
        list_remove(&tx->link);
        tx_free(tx);
        free(tx);
    }
}

void engine_tx_free(quring_engine *engine) {
    tx_destroy_all(&engine->hub.tx_over);
    tx_destroy_all(&engine->hub.tx_orphans);
    heap_free(&engine->hub.tx_deadlines);
}

/* ---- Open ---- */

static int tx_check(const quring_db *db, const quring_tx_options *options) {
    struct hub *hub = db->hub;
    if (db->engine->shutting_down || db->closing)
        return engine_refuse_closed(db->engine);
    if (db->options.exclusive)
        return hub_error(hub, QURING_EUNSUPPORTED,
                         "an exclusive handle has no other transactions than its BEGIN and COMMIT");
    if (options->resolve == QURING_RESOLVE_XID && !db->backend->knows_xids)
        return hub_error(hub, QURING_EUNSUPPORTED, "SQLite's transactions have no ID: options.resolve");
    return 0;
}

/* Their texts are found once, because an end must not be refused for lack of memory. */
static int tx_find_ends(quring_db *db) {
    static const char *const texts[] = {"commit", "rollback"};
    int error = 0;
    for (int i = 0; i < 2 && !error; i++)
        if (!db->tx_ends[i])
            error = engine_find_text(db, texts[i], 0, &db->tx_ends[i]);
    return error;
}

/* A slot and bytes are kept for the end, so that it is never refused. */
static int tx_reserve(quring_engine *engine, quring_id *reserve) {
    uint64_t used = engine->charged_bytes + engine->hub.unsent_bytes;
    if (used + TX_RESERVE_BYTES > engine->options.inflight_bytes)
        return hub_error(&engine->hub, QURING_EFULL, "inflight_bytes: no %d bytes are left for the transaction's end",
                         TX_RESERVE_BYTES);
    if (!slots_take(&engine->queries, reserve))
        return hub_error(&engine->hub, QURING_EFULL, "query_count: %u queries are submitted and not yet released",
                         engine->options.query_count);
    engine->charged_bytes += TX_RESERVE_BYTES;
    return 0;
}

static void tx_fill_times(quring_tx_options *options) {
    if (!options->timeout_ns)
        options->timeout_ns = QURING_FOREVER;
    if (!options->idle_timeout_ns)
        options->idle_timeout_ns = TX_IDLE_NS;
    if (!options->resolve_timeout_ns)
        options->resolve_timeout_ns = TX_RESOLVE_NS;
}

static int tx_make_bare(quring_db *db, const quring_tx_options *options, quring_tx **out) {
    *out = tx_take(db->engine);
    if (!*out)
        return hub_error(db->hub, QURING_ENOMEM, "no memory for a transaction");
    tx_init(*out, db, options);
    return 0;
}

static int tx_make(quring_db *db, const quring_tx_options *options, quring_tx **out) {
    quring_engine *engine = db->engine;
    quring_id reserve = 0;
    int error = tx_reserve(engine, &reserve);
    if (error)
        return error;
    error = tx_make_bare(db, options, out);
    if (error) {
        slots_give(&engine->queries, reserve);
        engine->charged_bytes -= TX_RESERVE_BYTES;
        return error;
    }
    (*out)->reserve = reserve;
    return 0;
}

/* `reserves`: a slot and bytes of the engine's are kept for its end. `row`: of its token; NULL: it has none. */
static int tx_open(quring_db *db, const quring_tx_options *options, const struct token_row *row, bool reserves,
                   quring_tx **out) {
    quring_tx_options filled = *options;
    struct quring_statement *writes_token = NULL;
    int error = tx_check(db, &filled);
    if (!error)
        error = tx_find_ends(db);
    if (!error && row)
        error = engine_find_text(db, row->sql, 0, &writes_token);
    if (error)
        return error;
    tx_fill_times(&filled);
    filled.token_table = NULL; /* it is the caller's, and is part of the statement */
    error = reserves ? tx_make(db, &filled, out) : tx_make_bare(db, &filled, out);
    if (!error && writes_token)
        tx_use_token(*out, writes_token, row->token);
    else if (writes_token)
        statement_drop(writes_token);
    return error;
}

int engine_tx_open_bare(quring_db *db, const quring_tx_options *options, const struct token_row *row, quring_tx **out) {
    PRE(!row || tx_wants_token(options));
    return tx_open(db, options, row, false, out);
}

int engine_tx_open(quring_db *db, const quring_tx_options *options, quring_tx **out) {
    static const quring_tx_options defaults;
    struct token_row row;
    bool has_token = options && tx_wants_token(options);
    if (has_token && !token_make_row(options->token_table, &row))
        return hub_error(db->hub, QURING_ESYSTEM, TOKEN_NOT_DRAWN);
    return tx_open(db, options ? options : &defaults, has_token ? &row : NULL, true, out);
}

/* ---- Queries ---- */

int engine_tx_refuse(struct quring_tx *tx) {
    struct hub *hub = &tx->engine->hub;
    if (!tx->queue.db || tx->engine->shutting_down || tx->queue.db->closing)
        return hub_error(hub, QURING_ESHUTDOWN, "the engine or the database handle was closed");
    return tx->end_submitted ? hub_error(hub, QURING_EINVAL, "COMMIT or ROLLBACK of this transaction was submitted")
                             : 0;
}

int engine_tx_end(struct quring_tx *tx, enum statement_verb verb, uint64_t user_data, quring_id *id) {
    PRE(tx_is_end(verb));
    const quring_query q = {.tx = tx, .user_data = user_data};
    int error = engine_tx_refuse(tx);
    return error ? error : engine_submit_tx_end(tx, tx->queue.db->tx_ends[verb != VERB_COMMITS], &q, id);
}

/* ---- Release ---- */

void engine_tx_leave(struct quring_tx *tx) {
    PRE(!tx->released);
    engine_tx_drop_reserve(tx);
    bool goes_on = tx->end_submitted;
    tx_release(tx);
    if (!goes_on)
        engine_tx_changed(tx, false);
}

void engine_tx_release(struct quring_tx *tx) {
    struct ring *ring = tx->hub->ring;
    engine_tx_leave(tx);
    engine_push(ring);
}

/* ---- The end of a database ---- */

void engine_tx_close(struct quring_db *db) {
    list_for_each(node, &db->txs)
        engine_tx_drop_reserve(list_entry(node, struct quring_tx, link));
}
