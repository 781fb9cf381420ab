/* SPDX-License-Identifier: MIT */
#include "pg/atomic.h"

#include "core/batch.h"

#include <string.h>

/* ---- Running again ---- */

static void atomic_run_again(struct pg_conn *conn, const struct wire_event *ready, struct batch *batch, bool wait) {
    for (uint64_t r = ready->first; r <= ready->request; r++) {
        struct query *query = pg_conn_request(conn, r)->query;
        pg_conn_request(conn, r)->query = NULL;
        query->sent = false;
        list_push_back(&batch->members, &query->link);
    }
    conn->events->undone(conn, batch, wait);
}

/* ---- Ends ---- */

static const char atomic_lost_error[] =
    "its commit failed, or a query of it that was given up: nothing of it took effect";

static void atomic_end_skipped(struct pg_conn *conn, const struct wire_event *ready, uint64_t failed) {
    const struct query *culprit = pg_conn_request(conn, failed)->query;
    struct batch_failure why = {(uint32_t)(failed - ready->first) + 1, "40000", atomic_lost_error};
    if (culprit) {
        why.sqlstate = culprit->error.view.sqlstate;
        why.message = culprit->error.view.message;
    }
    for (uint64_t r = ready->first; r <= ready->request; r++) {
        struct query *query = pg_conn_request(conn, r)->query;
        pg_conn_request(conn, r)->query = NULL;
        if (query && r == failed)
            query_finish(query, QURING_SERVER_ERROR);
        else if (query)
            batch_skip(query, &why);
    }
}

/* The last request alone has the error, since the Sync is its. */
static void atomic_end_at_commit(struct pg_conn *conn, const struct wire_event *ready) {
    const struct query *last = pg_conn_request(conn, ready->request)->query;
    const quring_error *why = last ? &last->error.view : NULL;
    for (uint64_t r = ready->first; r <= ready->request; r++) {
        struct query *query = pg_conn_request(conn, r)->query;
        pg_conn_request(conn, r)->query = NULL;
        if (!query)
            continue;
        if (!why)
            error_set(&query->error, "40000", atomic_lost_error, NULL, NULL, 0);
        else if (query != last)
            error_set(&query->error, why->sqlstate, why->message, why->detail, why->hint, 0);
        query_finish(query, QURING_SERVER_ERROR);
    }
}

/* The batch, if all members are there and it may run again at all. */
static struct batch *atomic_whole(const struct pg_conn *conn, const struct wire_event *ready) {
    for (uint64_t r = ready->first; r <= ready->request; r++)
        if (!pg_conn_request(conn, r)->query)
            return NULL;
    return conn->config->db->closing ? NULL : pg_conn_request(conn, ready->first)->query->batch;
}

void pg_atomic_settle(struct pg_conn *conn, const struct wire_event *ready) {
    uint64_t failed = ready->first;
    while (failed <= ready->request && !pg_request_failed(pg_conn_request(conn, failed)))
        failed++;
    if (failed > ready->request)
        return;
    const struct pg_request *culprit = pg_conn_request(conn, failed);
    struct batch *batch = atomic_whole(conn, ready);
    bool stale = batch && culprit->outcome == PG_FAILED_STALE && !culprit->query->retried;
    bool struck = batch && culprit->outcome == PG_FAILED_BY_CANCEL;
    bool conflict =
        batch && pg_is_conflict(culprit->query->error.view.sqlstate) && batch->rerun_count < BATCH_RERUNS_MAX;
    if (stale)
        culprit->query->retried = true; /* its plan is not used any more: see pg_prepared_is_usable() */
    if (struck)
        culprit->query->struck = true; /* and no batch with it may be again: see pg_request_may_be_struck() */
    if (conflict)
        batch->rerun_count++;
    if (stale || struck || conflict)
        atomic_run_again(conn, ready, batch, conflict);
    else if (culprit->outcome == PG_FAILED_AT_COMMIT)
        atomic_end_at_commit(conn, ready);
    else
        atomic_end_skipped(conn, ready, failed);
}
