/* SPDX-License-Identifier: MIT */
#include "pg/bulk.h"

#include "core/batch.h"
#include "pg/conn.h"
#include "pg/reply.h"
#include "pg/silence.h"
#include "pg/tx_state.h"

#include <string.h>

/* The next one is held, behind those before it. */
static void bulk_hold(struct quring_tx *tx, struct query *query) {
    pg_query(query)->conn = NULL;
    list_push_back(&tx->batch->members, &query->link);
}

/* Members have the ordinals behind BEGIN's, in their order. */
static uint32_t bulk_position(struct quring_tx *tx, uint64_t ordinal) {
    PRE(ordinal > pg_tx_of(tx)->begin && ordinal - pg_tx_of(tx)->begin <= tx->query_count);
    return (uint32_t)(ordinal - pg_tx_of(tx)->begin);
}

static void bulk_fail(struct quring_tx *tx, uint32_t position, quring_status status, const char *sqlstate,
                      const char *message) {
    quring_error error = error_view(sqlstate, message, "");
    tx_fail_batch(tx, position, status, &error);
}

/* ---- Replies ---- */

static void bulk_member_failed(struct quring_tx *tx, uint32_t position, struct query *query, bool stale) {
    if (!query) {
        bulk_fail(tx, position, QURING_SERVER_ERROR, "40000",
                  "a query of it failed that was given up: nothing of it took effect");
        return;
    }
    tx_fail_batch(tx, position, QURING_SERVER_ERROR, &query->error.view);
    if (!stale || query->retried)
        return;
    query->retried = true; /* its plan is not used any more: see pg_prepared_is_usable() */
    pg_tx_of(tx)->runs_again = true;
}

static void bulk_settle_member(struct quring_tx *tx, uint64_t ordinal, struct pg_request *request) {
    struct query *query = request->query;
    bool failed = pg_request_failed(request);
    request->query = NULL;
    if (query && !failed && request->limit)
        pg_reply_say_limit(query, (enum pg_limit)request->limit);
    if (query)
        bulk_hold(tx, query);
    if (failed && !tx->failure.set)
        bulk_member_failed(tx, bulk_position(tx, ordinal), query, request->outcome == PG_FAILED_STALE);
}

/*
 * Where the failure of a member, or of BEGIN, is known, COMMIT is answered with the tag ROLLBACK, which counts as a failure. Where
 * there was no BEGIN it has done nothing, whatever its tag.
 */
static void bulk_settle_commit(struct quring_tx *tx, const struct pg_request *request) {
    bool completed = request->outcome == PG_COMPLETED, begun = pg_tx_of(tx)->begun;
    if (request->unreplicated)
        bulk_fail(tx, 0, QURING_IN_DOUBT, "40003", "committed on one server alone: its wait for a standby was ended");
    else if (completed && begun && (tx->failure.set || !request->may_have_ended))
        bulk_fail(tx, 0, QURING_IN_DOUBT, "08P01", "COMMIT was answered with a command tag that does not belong there");
    else if (!completed)
        bulk_fail(tx, 0, QURING_SERVER_ERROR, "40000",
                  "COMMIT was answered with ROLLBACK, for no reason that is known");
}

void pg_bulk_settle(struct quring_tx *tx, const struct wire_event *ready) {
    struct pg_tx *pg = pg_tx_of(tx);
    for (uint64_t r = ready->first; r <= ready->request; r++) {
        struct pg_request *request = pg_conn_request(pg->conn, r);
        bool ends = tx->state == TX_ENDING && r >= pg->end;
        if (request->kind == PG_REQUEST_NAMED || request->plan_refused)
            pg_request_settle(pg->conn, request);
        if (request->opens)
            pg->begun = request->outcome == PG_COMPLETED;
        else if (ends && request->own)
            bulk_settle_commit(tx, request);
        else if (!ends)
            bulk_settle_member(tx, r, request);
        pg_request_drop(request);
    }
}

void pg_bulk_commit_failed(struct quring_tx *tx, const struct pg_request *request, const struct wire_error *error) {
    bool unknown = request->outcome == PG_FAILED_IN_DOUBT || request->outcome == PG_FAILED_AT_COMMIT;
    quring_error why = error_view(error->sqlstate, error->message, error->detail);
    why.hint = error->hint;
    tx_fail_batch(tx, 0, unknown ? QURING_IN_DOUBT : QURING_SERVER_ERROR, &why);
}

/* ---- Outcomes ---- */

/* Sets the error of a member that has one, and returns its status. */
static quring_status bulk_judge(struct quring_tx *tx, struct query *query) {
    const struct tx_failure *failure = &tx->failure;
    const quring_error *why = &failure->error.view;
    bool culprit = query->tx_position.number == failure->first.number;
    if (!failure->set)
        return query->error.set ? QURING_LIMIT : QURING_OK;
    if (failure->first.number && !culprit) {
        tx_say_skipped(tx, query);
        return QURING_SKIPPED;
    }
    if (!culprit || !query->error.set)
        error_set(&query->error, why->sqlstate, why->message, why->detail, why->hint, 0);
    return (quring_status)failure->status;
}

/* Nothing of it is out. */
static void bulk_tell(struct quring_tx *tx) {
    while (tx->batch) {
        struct list *held = list_first(&tx->batch->members);
        struct query *query = held ? list_entry(held, struct query, link) : queue_first(&tx->queue);
        PRE(query != NULL);
        query_finish(query, bulk_judge(tx, query));
    }
}

/* It is certain that nothing of it took effect, and all of it is there. */
static bool bulk_may_run_again(const struct quring_tx *tx) {
    bool undone = tx->failure.set && tx->failure.status == QURING_SERVER_ERROR;
    return undone && tx->batch && batch_is_whole(tx->batch) && !tx->queue.db->closing;
}

/* Those that still wait are behind those that were sent. */
static void bulk_run_again(struct quring_tx *tx, struct pg_conn *conn, bool wait) {
    struct batch *batch = tx->batch;
    struct query *query;
    while ((query = queue_take(&tx->queue)))
        bulk_hold(tx, query);
    list_for_each(node, &batch->members)
        list_entry(node, struct query, link)->sent = false;
    batch->rerun_count += wait;
    tx_run_batch_again(tx);
    conn->events->undone(conn, batch, wait);
}

void pg_bulk_end(struct quring_tx *tx, struct pg_conn *conn) {
    bool may = bulk_may_run_again(tx), at_once = may && pg_tx_of(tx)->runs_again;
    bool conflict = may && pg_is_conflict(tx->failure.error.view.sqlstate) && tx->batch->rerun_count < BATCH_RERUNS_MAX;
    if (at_once || conflict) {
        bulk_run_again(tx, conn, !at_once);
        return;
    }
    bulk_tell(tx);
    tx_end(tx);
}

bool pg_bulk_stop(struct quring_tx *tx, uint64_t *last) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    bool any = false;
    if (tx->state != TX_OPEN)
        return false;
    for (uint64_t r = conn->settled; r < conn->session.next; r++) {
        struct pg_request *request = pg_conn_request(conn, r);
        if (pg_request_tx(request) != tx || !request->query)
            continue;
        struct query *query = request->query;
        pg_conn_let_go(conn, query);
        bulk_hold(tx, query);
        pg_silence_given_up(conn, r);
        *last = r;
        any = true;
    }
    bulk_tell(tx);
    return any;
}

bool pg_bulk_give_up_end(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    PRE(tx->state == TX_ENDING && !tx->batch);
    if (pg->end < pg->conn->settled)
        return false;
    pg_conn_request(pg->conn, pg->end)->own = false;
    pg_silence_given_up(pg->conn, pg->end);
    return true;
}

/* ---- Loss ---- */

void pg_bulk_lost(struct quring_tx *tx, uint64_t ordinal, bool sent) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    struct pg_request *request = pg_conn_request(conn, ordinal);
    struct query *query = request->query;
    const struct pg_reason *reason = &conn->reason;
    if (request->opens && !sent)
        bulk_fail(tx, 0, QURING_NOT_SENT, reason->sqlstate, reason->message);
    if (!query)
        return;
    request->query = NULL;
    result_clear_rows(&query->result);
    if (request->limit == PG_LIMIT_CUT_OFF)
        bulk_fail(tx, bulk_position(tx, ordinal), QURING_LIMIT, reason->sqlstate, reason->message);
    bulk_hold(tx, query);
}

/* A query that is the server's end each time must not be sent for ever, so that one loss is made good, and no more. */
void pg_bulk_note_loss(struct quring_tx *tx, bool in_doubt) {
    const struct pg_reason *reason = &pg_tx_of(tx)->conn->reason;
    bool lost = reason->status == QURING_IN_DOUBT;
    if (in_doubt)
        bulk_fail(tx, 0, reason->status, reason->sqlstate, reason->message);
    if (in_doubt || tx->failure.set)
        return;
    bulk_fail(tx, 0, lost ? QURING_SERVER_ERROR : reason->status, reason->sqlstate, reason->message);
    if (!lost || !tx->batch || tx->batch->lost)
        return;
    tx->batch->lost = true;
    pg_tx_of(tx)->runs_again = true;
}
