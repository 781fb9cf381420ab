/* SPDX-License-Identifier: MIT */
#include "pg/tx.h"

#include "pg/bulk.h"
#include "pg/conn.h"
#include "pg/placement.h"
#include "pg/reply.h"
#include "pg/savepoint.h"
#include "pg/silence.h"
#include "pg/tx_put.h"

#include <string.h>

/* What the loss of its connection means for a transaction; NONE: nobody has looked yet. */
enum tx_loss { LOSS_NONE, LOSS_IN_DOUBT, LOSS_ASKED, LOSS_CERTAIN, LOSS_AFTER_FAILURE };

bool pg_tx_is_whole(const struct quring_tx *tx, uint32_t depth) {
    bool here = tx->end_submitted && tx->queue.waiting_count == tx->query_count;
    bool clean = tx->leaves_nothing && tx->options.lease_reset != QURING_LEASE_RESET_ALWAYS;
    return here && clean && !tx->failure.set && !tx_reads_note(tx) && pg_tx_request_count(tx) <= depth;
}

/* ---- Sending ---- */

/* Lets go of the connection. */
static void tx_leave(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    struct pg_conn *conn = pg->conn;
    pg->conn = NULL;
    if (conn->tx != tx)
        return;
    conn->tx = NULL;
    conn->events->freed(conn);
}

static bool tx_needs_note(struct quring_tx *tx, const struct query *query) {
    return pg_tx_commits(query) && tx_reads_note(tx) && pg_tx_of(tx)->note != NOTE_READ;
}

/*
 * The query that tx_next() has given, or the note that it needs first. False: the connection is broken, and the query waits
 * again.
 */
static bool tx_send(struct quring_tx *tx, struct query *query) {
    struct pg_tx *pg = pg_tx_of(tx);
    enum statement_verb verb = tx_verb(query);
    if (tx->state == TX_WAITING && !pg_tx_put_begin(tx)) {
        tx_leave(tx); /* it waits for another connection */
        return false;
    }
    if (tx_needs_note(tx, query))
        return pg_tx_put_note(tx);
    struct query *taken = queue_take(&tx->queue);
    PRE(taken == query);
    if (verb == VERB_NONE) {
        pg_tx_put_member(tx, query);
    } else {
        bool well = tx_is_end(verb) ? pg_tx_put_end(tx, query)
                                    : (verb != VERB_GOES_BACK || pg_conn_sync(pg->conn)) &&
                                          pg_tx_put_control(tx, query, query->statement->sql, query->statement->length);
        if (!well && !query->sent)
            queue_put_back(query);
        else if (verb == VERB_GOES_BACK && tx->failure.set && pg->begun)
            (void)pg_conn_sync(pg->conn); /* what it came to is not to wait for what stands behind it */
    }
    return pg_conn_is_up(pg->conn);
}

/* A cancel may hit what is sent behind the query that it is for, and the transaction has the connection for itself. */
static bool tx_is_held(const struct quring_tx *tx) {
    const struct pg_tx *pg = (const struct pg_tx *)tx->backend;
    const struct pg_conn *conn = pg->conn;
    bool wanted = conn->cancel.state == PG_CANCEL_WANTED && tx->state != TX_WAITING && conn->cancel.until > pg->begin;
    return conn->tx == tx && (wanted || pg_conn_is_cancelling(conn));
}

/* True where the query may follow what was sent of its transaction; `open`: its segment has no Sync yet. */
static bool tx_may_send(struct quring_tx *tx, const struct query *query, bool open) {
    const struct pg_tx *pg = pg_tx_of(tx);
    enum statement_verb verb = tx_verb(query);
    bool needs_note = tx_needs_note(tx, query), first = needs_note || (verb == VERB_COMMITS && tx->writes_token);
    if (!pg_conn_is_up(pg->conn) || tx_is_held(tx) || (needs_note && pg->note == NOTE_OUT))
        return false;
    if ((tx_is_end(verb) && !first) || pg->conn->tx != tx)
        return true; /* room is kept for an end, and was looked for before all of a whole one */
    bool safe = tx->state == TX_WAITING || pg->begun || open || verb == VERB_GOES_BACK;
    return safe && (tx_is_end(verb) || pg_placement_fits(pg->conn, 1));
}

static void tx_after_loss(struct quring_tx *tx);

/*
 * The server was kept from its COMMIT or ROLLBACK, and is at what others have sent behind that: within a transaction that has
 * failed, up to the next COMMIT.
 */
static void tx_break_before_others(struct quring_tx *tx) {
    pg_conn_break(pg_tx_of(tx)->conn, QURING_IN_DOUBT, "57014",
                  "the server was stopped before it ended a transaction, and others stood behind it");
    tx_after_loss(tx);
}

/* Our ROLLBACK, or a reset that was in vain: nobody else awaits the answer. */
static void tx_clean_up(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    struct pg_conn *conn = pg->conn;
    if (tx->state == TX_ENDING && !pg_conn_is_settled(conn)) {
        tx_break_before_others(tx);
        return;
    }
    bool resets = tx->state == TX_ENDING && pg->is_outside;
    uint64_t first = conn->session.next;
    if (resets ? pg_tx_put_reset(tx) : pg_tx_put_end(tx, NULL))
        pg_silence_given_up(conn, first);
    else if (conn->tx != tx && pg->last < conn->settled)
        tx_after_loss(tx); /* the connection is broken, and will not find it by what is out, nor by who holds it */
}

/* Nothing of it waits. */
static void tx_go_on(struct quring_tx *tx) {
    const struct pg_tx *pg = pg_tx_of(tx);
    struct pg_conn *conn = pg->conn;
    bool is_answered = pg->last < conn->settled;
    if (!pg_conn_is_up(conn) || tx_is_held(tx))
        return;
    if (tx->state == TX_OPEN && tx->atomic && !tx_is_doomed(tx))
        (void)pg_tx_put_commit(tx);
    else if (tx->state == TX_OPEN ? tx_is_doomed(tx) : tx->state == TX_ENDING && is_answered)
        tx_clean_up(tx);
    else if (tx->state == TX_OPEN && is_answered)
        tx_idle(tx, ring_now_ns(pg_conn_ring(conn)));
}

/* A batch has two segments out: while the server is at one, the answers of the other make room for the next. */
static bool tx_ends_segment(struct quring_tx *tx, uint64_t first) {
    const struct pg_tx *pg = pg_tx_of(tx);
    return tx->atomic && pg->begun && 2 * (pg->conn->session.next - first) >= pg->conn->depth;
}

/* Its COMMIT is not to be sent yet, and others come next on the connection, which it shares. */
static void tx_end_here(struct quring_tx *tx) {
    PRE(!pg_tx_of(tx)->begun);
    tx_doom(tx, "COMMIT had to wait for a ROLLBACK TO, and the transaction shared a connection with others");
    struct query *left = tx_next(tx);
    PRE(!left);
}

void pg_tx_serve(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    struct pg_conn *conn = pg->conn;
    struct query *query;
    PRE(conn);
    uint64_t first = conn->session.next;
    bool open = false;
    if (tx->failure.set && tx->state == TX_OPEN && pg_savepoint_misleads(tx, NULL))
        tx_doom(tx, PG_SAVEPOINT_MISLEADS);
    while ((query = tx_next(tx)) && tx_may_send(tx, query, open)) {
        if (tx->failure.set && tx_verb(query) == VERB_GOES_BACK && pg_savepoint_misleads(tx, query)) {
            tx_doom(tx, PG_SAVEPOINT_MISLEADS);
            continue;
        }
        if (!tx_send(tx, query))
            return;
        if (tx_ends_segment(tx, first)) {
            if (!pg_conn_sync(conn))
                return;
            first = conn->session.next;
        }
        open = conn->group_open;
    }
    if (!query && tx->queue.waiting_count && conn->tx != tx)
        tx_end_here(tx);
    if (!query)
        tx_go_on(tx);
    if (pg_conn_is_up(conn) && pg_conn_sync(conn))
        pg_conn_flush(conn);
}

static void tx_stop_query(struct quring_tx *tx, struct query *query, bool timed_out) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    if (timed_out) {
        pg_conn_abandon(conn, query, QURING_TIMEOUT);
    } else {
        pg_conn_let_go(conn, query);
        tx_finish_behind(tx, query);
    }
}

bool pg_tx_stop(struct quring_tx *tx, bool timed_out, uint64_t *last) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    bool any = false;
    if (!conn || (!timed_out && !pg_conn_is_up(conn))) /* what is out of it ends as its connection does */
        return false;
    for (uint64_t r = conn->settled; r < conn->session.next; r++) {
        struct pg_request *request = pg_conn_request(conn, r);
        if (pg_request_tx(request) != tx || !request->query)
            continue;
        tx_stop_query(tx, request->query, timed_out);
        pg_silence_given_up(conn, r);
        *last = r;
        any = true;
    }
    return any;
}

/* A transaction that can be revived would be lost with the connection. */
bool pg_tx_is_awaited(const struct pg_request *request) {
    const struct quring_tx *tx = pg_request_tx(request);
    PRE(tx);
    if (tx->state != TX_OPEN)
        return request->query || tx->batch;
    return !tx_is_doomed(tx) || (request->query && !tx_stands_behind(tx, request->query));
}

/* ---- Replies ---- */

/* NULL is no note, nor is what is longer than the server's can be. */
static void tx_take_note(struct quring_tx *tx, const struct wire_event *event) {
    struct cursor row = cursor_over(event->body, event->size);
    int32_t size = cursor_u16(&row) == 1 ? cursor_i32(&row) : -1;
    const uint8_t *bytes = size > 0 && size < XID_NOTE_BYTES ? cursor_take(&row, (size_t)size) : NULL;
    if (!bytes)
        return;
    memcpy(tx->xid_note, bytes, (size_t)size);
    tx->xid_note[size] = 0;
}

static void tx_row(struct pg_conn *conn, const struct wire_event *event) {
    struct pg_request *request = pg_conn_request(conn, event->request);
    if (request->own && tx_reads_note(pg_request_tx(request)))
        tx_take_note(pg_request_tx(request), event);
    else
        pg_reply_row(request, event);
}

static bool tx_is_cancel(const struct pg_conn *conn, const struct wire_event *event) {
    return pg_conn_is_cancelling(conn) && strcmp(event->error.sqlstate, "57014") == 0;
}

/* True where the end, or the reset behind it, was hit by a cancel, or fails because the end was. */
static bool tx_end_is_hit(struct quring_tx *tx, const struct wire_event *event) {
    struct pg_tx *pg = pg_tx_of(tx);
    if (tx->state != TX_ENDING || event->request < pg->end)
        return false;
    bool once = pg_conn_request(pg->conn, event->request)->statement != NULL; /* ours come again, and not for ever */
    pg->hit |= tx_is_cancel(pg->conn, event) || (once && strcmp(event->error.sqlstate, "57014") == 0);
    return pg->hit;
}

static void tx_error(struct pg_conn *conn, const struct wire_event *event) {
    struct pg_request *request = pg_conn_request(conn, event->request);
    struct quring_tx *tx = pg_request_tx(request);
    const struct wire_error *error = &event->error;
    pg_reply_error(conn, request, event);
    if (tx->atomic && tx->state == TX_ENDING && request->own)
        pg_bulk_commit_failed(tx, request, error);
    if (tx_end_is_hit(tx, event)) {
        pg_tx_of(tx)->resets &= event->request == pg_tx_of(tx)->end;
        return;
    }
    if (request->query && tx_is_cancel(conn, event))
        request->outcome = PG_FAILED_BY_CANCEL;
    if (request->statement && !request->own) /* it may be given up before its sync point */
        memcpy(pg_tx_of(tx)->sqlstate, error->sqlstate, strnlen(error->sqlstate, 5));
    if (request->query || (tx->atomic && request->own))
        return;
    if (request->own && tx_reads_note(tx))
        tx_fail_note(tx, error->sqlstate, error->message);
    else if (request->own)
        tx_fail_token(tx, error->sqlstate, error->message);
    else if (request->opens)
        tx_give_up(tx, QURING_SERVER_ERROR, error->sqlstate, error->message);
    else if (!request->statement)
        pg_conn_break(conn, QURING_IN_DOUBT, error->sqlstate, error->message);
}

/* It ends when it is known whether the transaction committed: see resolve.h. */
static void tx_hold(struct quring_tx *tx, struct query *query) {
    pg_query(query)->conn = NULL;
    list_push_back(&pg_tx_of(tx)->doubt.held, &query->link);
}

/*
 * True where the server says two things of the end: that COMMIT was carried out, and then an error; or by its command tag what does
 * not fit what was asked for, or what became of the transaction. Where there was no BEGIN it has done nothing, whatever its tag.
 * What was given up last may have been carried out, and been a ROLLBACK TO: there COMMIT fits as well.
 */
static bool tx_end_is_doubtful(struct quring_tx *tx, struct query *query, const struct pg_request *request) {
    const struct tx_failure *failure = &tx->failure;
    bool commits = pg_tx_commits(query), failed = failure->set && failure->last_status == QURING_SERVER_ERROR;
    bool fits = strcmp(query->result.command, commits ? "COMMIT" : "ROLLBACK") == 0 && !(commits && failed);
    if (commits && !failure->set && (request->outcome == PG_FAILED_IN_DOUBT || request->outcome == PG_FAILED_AT_COMMIT))
        return true;
    if (request->outcome != PG_COMPLETED || (failure->set && !pg_tx_of(tx)->begun) || fits)
        return false;
    error_set(&query->error, "08P01", "COMMIT or ROLLBACK was answered with a command tag that does not belong there",
              NULL, NULL, 0);
    return true;
}

/* COMMIT of a transaction whose failure is known rolled it back, unless its tag says otherwise. */
static void tx_finish_end(struct quring_tx *tx, struct query *query, const struct pg_request *request) {
    bool commits = pg_tx_commits(query), doubtful = tx_end_is_doubtful(tx, query, request);
    bool committed = pg_tx_of(tx)->begun && request->outcome == PG_COMPLETED;
    if (doubtful && commits && tx_can_be_asked_for(tx))
        tx_hold(tx, query);
    else if (doubtful || request->unreplicated)
        query_finish(query, QURING_IN_DOUBT);
    else if (commits && tx->failure.set && !committed)
        tx_refuse_end(tx, query);
    else
        query_finish(query, pg_request_failed(request) ? QURING_SERVER_ERROR : QURING_OK);
}

/* The server's words for what stands behind a failure, which says nothing of what failed. */
static bool tx_is_consequence(const struct query *query, const struct pg_request *request) {
    return request->outcome == PG_RUNNING ||
           (pg_request_failed(request) && strcmp(query->error.view.sqlstate, "25P02") == 0);
}

/*
 * A cancel that was meant for another query of its transaction. The server fails the transaction here, and a ROLLBACK TO that
 * was sent behind it may have revived it since.
 */
static void tx_finish_struck(struct quring_tx *tx, struct query *query) {
    static const char why[] = "stopped together with another query of its transaction, which was given up";
    quring_id id = tx->failure.set ? tx->failure.id : 0;
    tx_fail_at(tx, query->tx_position, id, "57014", why);
    query_fail(query, QURING_SKIPPED, "57014", "%s", why);
    query->failed_id = id;
}

static void tx_finish_member(struct quring_tx *tx, struct query *query, const struct pg_request *request) {
    bool goes_back = tx_verb(query) == VERB_GOES_BACK && !tx_is_doomed(tx);
    struct tx_position position = query->tx_position;
    bool follows = !goes_back && tx_stands_behind(tx, query);
    if (tx_is_consequence(query, request) && !(tx->failure.set && (follows || goes_back)))
        tx_give_up(tx, QURING_SERVER_ERROR, "25P02", "the server had failed the transaction");
    if (!goes_back && tx_stands_behind(tx, query))
        tx_skip(tx, query);
    else if (request->outcome == PG_FAILED_BY_CANCEL)
        tx_finish_struck(tx, query);
    else if (goes_back && request->outcome == PG_RUNNING)
        tx_skip(tx, query);
    else if (pg_request_failed(request))
        query_finish(query, QURING_SERVER_ERROR);
    else if (request->limit)
        pg_reply_over_limit(query, (enum pg_limit)request->limit);
    else
        query_finish(query, QURING_OK);
    if (goes_back && request->outcome == PG_COMPLETED) {
        tx_revive(tx, position);
        pg_savepoint_revived(tx);
    }
}

/*
 * A request without a query. What became of one that was given up decides on what was sent behind it. A ROLLBACK TO that was
 * given up before the end was sent counts as failed, whatever the server says.
 */
static void tx_settle_given_up(struct quring_tx *tx, const struct pg_request *request) {
    struct pg_tx *pg = pg_tx_of(tx);
    bool goes_back = request->statement && request->statement->traits.verb == VERB_GOES_BACK;
    if (pg_request_failed(request) && pg->sqlstate[0])
        tx_fail_at(tx, request->tx_position, 0, pg->sqlstate, "a query of it that was given up had failed");
    else if (goes_back && request->outcome == PG_COMPLETED && tx->state == TX_ENDING)
        tx_revive(tx, request->tx_position);
}

static void tx_settle(struct quring_tx *tx, struct pg_conn *conn, struct pg_request *request) {
    struct query *query = request->query;
    request->query = NULL;
    if (request->kind == PG_REQUEST_NAMED || request->plan_refused)
        pg_request_settle(conn, request);
    if (request->opens)
        pg_tx_of(tx)->begun = request->outcome == PG_COMPLETED;
    if (request->own && request->outcome == PG_COMPLETED && pg_tx_of(tx)->note == NOTE_OUT)
        pg_tx_of(tx)->note = NOTE_READ;
    if (query && tx_is_end(tx_verb(query)))
        tx_finish_end(tx, query, request);
    else if (query)
        tx_finish_member(tx, query, request);
    else
        tx_settle_given_up(tx, request);
    pg_savepoint_settle(tx, request);
    pg_request_drop(request);
}

/* True where the server is as it must be at this sync point: within the transaction up to its end, and behind it outside. */
static bool tx_is_where_it_belongs(struct quring_tx *tx, const struct wire_event *ready) {
    const struct pg_tx *pg = pg_tx_of(tx);
    bool is_over = tx->state == TX_ENDING && ready->request >= pg->end;
    if (is_over && pg->hit)
        return ready->transaction != 'T';
    bool began = ready->first > pg->begin ? pg->begun : !pg_request_failed(pg_conn_request(pg->conn, pg->begin));
    return (ready->transaction == 'I') == (is_over || !began);
}

/* It has let go of its connection, and nothing of it is out. */
static void tx_end_or_ask(struct quring_tx *tx, struct pg_conn *conn) {
    if (tx->atomic)
        pg_bulk_end(tx, conn);
    else if (list_empty(&pg_tx_of(tx)->doubt.held))
        tx_end(tx);
    else
        conn->events->doubtful(conn, tx);
}

/* All of it was answered, and the connection is what it was before. */
static void tx_over(struct quring_tx *tx) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    if (pg_tx_of(tx)->resets)
        pg_prepared_end(&conn->prepared);
    else if (pg_tx_of(tx)->by_use)
        pg_prepared_outdate(&conn->prepared);
    tx_leave(tx);
    tx_end_or_ask(tx, conn);
}

static void tx_ready(struct pg_conn *conn, const struct wire_event *ready) {
    struct quring_tx *tx = pg_request_tx(pg_conn_request(conn, ready->request));
    struct pg_tx *pg = pg_tx_of(tx);
    if (!tx_is_where_it_belongs(tx, ready)) {
        static const char message[] = "ReadyForQuery tells of another transaction's state";
        pg->loss = LOSS_IN_DOUBT;
        if (!tx->atomic)
            tx_distrust(tx, "08P01", message);
        pg_conn_break(conn, QURING_PROTOCOL, "08P01", message);
        return;
    }
    if (tx->atomic)
        pg_bulk_settle(tx, ready);
    for (uint64_t r = ready->first; r <= ready->request && !tx->atomic; r++)
        tx_settle(tx, conn, pg_conn_request(conn, r));
    pg->sqlstate[0] = 0;
    conn->settled = ready->request + 1;
    conn->async_bytes = 0;
    pg->is_outside = ready->transaction == 'I';
    bool is_clean = pg->is_outside && (pg->resets || !pg_tx_must_reset(tx));
    if (tx->state == TX_ENDING && ready->request == pg->last && is_clean)
        tx_over(tx);
    else
        pg_tx_serve(tx);
}

/* ---- Loss ---- */

/* A ROLLBACK TO is out behind the failure, given up or not, and the server may have carried it out. */
static bool tx_may_have_gone_back(struct quring_tx *tx) {
    const struct pg_tx *pg = pg_tx_of(tx);
    uint64_t first = pg->begin < pg->conn->settled ? pg->conn->settled : pg->begin;
    for (uint64_t r = first; r <= pg->last && !tx->given_up; r++) {
        const struct pg_request *request = pg_conn_request(pg->conn, r);
        bool goes_back = request->statement && request->statement->traits.verb == VERB_GOES_BACK;
        if (goes_back && request->tx_position.number > tx->failure.first.number)
            return true;
    }
    return false;
}

/*
 * Once COMMIT left, nobody knows. Before that it is certain that nothing took effect, as it is behind a failure that the
 * server told of and that nothing has revived, unless it breaks the protocol.
 */
static enum tx_loss tx_loss_of(struct quring_tx *tx) {
    struct pg_tx *pg = pg_tx_of(tx);
    struct pg_conn *conn = pg->conn;
    if (tx->failure.set && conn->reason.status != QURING_PROTOCOL && !tx_may_have_gone_back(tx))
        return LOSS_AFTER_FAILURE;
    if (tx->state != TX_ENDING || pg->end < conn->settled)
        return LOSS_CERTAIN;
    const struct pg_request *end = pg_conn_request(conn, pg->end);
    bool commits = end->statement && end->statement->traits.verb == VERB_COMMITS;
    bool asks = tx_can_be_asked_for(tx) && conn->reason.status == QURING_IN_DOUBT && !conn->config->db->closing;
    if (!commits || end->first_byte >= conn->socket.accepted_bytes)
        return LOSS_CERTAIN;
    return asks ? LOSS_ASKED : LOSS_IN_DOUBT;
}

/* COMMIT was lost, and nobody can be asked. */
static void tx_say_why_unknown(struct quring_tx *tx, struct query *query, const struct pg_reason *reason) {
    const char *detail =
        tx_reads_note(tx) && !tx->xid_note[0] ? "the transaction had no ID that could be asked for" : NULL;
    error_set(&query->error, reason->sqlstate, reason->message, detail, NULL, 0);
    query_finish(query, QURING_IN_DOUBT);
}

static void tx_finish_lost(struct quring_tx *tx, struct pg_request *request, bool sent) {
    const struct pg_reason *reason = &pg_tx_of(tx)->conn->reason;
    struct query *query = request->query;
    bool cut_off = request->limit == PG_LIMIT_CUT_OFF;
    bool certain = pg_tx_of(tx)->loss > LOSS_ASKED;
    request->query = NULL;
    result_clear_rows(&query->result);
    if (pg_tx_of(tx)->loss == LOSS_ASKED && !cut_off) {
        error_set(&query->error, reason->sqlstate, reason->message, NULL, NULL, 0);
        tx_hold(tx, query);
        return;
    }
    if (pg_tx_of(tx)->loss == LOSS_IN_DOUBT && reason->status == QURING_IN_DOUBT && !cut_off) {
        tx_say_why_unknown(tx, query, reason);
        return;
    }
    bool behind = pg_tx_of(tx)->loss == LOSS_AFTER_FAILURE && tx_stands_behind(tx, query);
    if (certain && tx->failure.set && (behind || !sent)) {
        tx_finish_behind(tx, query);
        return;
    }
    quring_status status = cut_off                                        ? QURING_LIMIT
                           : certain && reason->status == QURING_IN_DOUBT ? QURING_SERVER_ERROR
                                                                          : reason->status;
    query_fail(query, status, reason->sqlstate, "%s", reason->message);
}

/* It has no connection any more. */
static void tx_after_loss(struct quring_tx *tx) {
    struct pg_conn *conn = pg_tx_of(tx)->conn;
    const struct pg_reason *reason = &conn->reason;
    if (tx->atomic)
        pg_bulk_note_loss(tx, pg_tx_of(tx)->loss == LOSS_IN_DOUBT);
    else if (list_empty(&pg_tx_of(tx)->doubt.held))
        tx_give_up(tx, reason->status == QURING_IN_DOUBT ? QURING_SERVER_ERROR : reason->status, reason->sqlstate,
                   reason->message);
    tx_leave(tx);
    tx_end_or_ask(tx, conn);
}

/* Without a query that was given up meanwhile, the rest of it would commit alone. */
static bool tx_is_complete(struct quring_tx *tx) {
    const struct pg_tx *pg = pg_tx_of(tx);
    for (uint64_t r = pg->begin; r <= pg->last; r++) {
        const struct pg_request *request = pg_conn_request(pg->conn, r);
        if (request->statement && !request->query && !request->own)
            return false;
    }
    return true;
}

static bool tx_may_wait_again(struct quring_tx *tx) {
    return !tx_is_doomed(tx) && tx_is_complete(tx) && !pg_tx_of(tx)->conn->config->db->closing;
}

/* No byte of its BEGIN left, so another connection can take all of it. */
static void tx_wait_again(struct quring_tx *tx) {
    tx_leave(tx);
    tx_move(tx, TX_WAITING);
}

/* See pg_request_ops.lost. A transaction that waits again has given its connection back with its first request. */
static void tx_lost(struct pg_conn *conn, uint64_t ordinal, bool sent) {
    struct pg_request *request = pg_conn_request(conn, ordinal);
    struct quring_tx *tx = pg_request_tx(request);
    struct pg_tx *pg = pg_tx_of(tx);
    if (ordinal == pg->begin && !sent && tx_may_wait_again(tx))
        tx_wait_again(tx);
    if (tx->state == TX_WAITING)
        return;
    if (pg->loss == LOSS_NONE)
        pg->loss = (uint8_t)tx_loss_of(tx);
    if (tx->atomic)
        pg_bulk_lost(tx, ordinal, sent);
    else if (!sent && pg->loss == LOSS_CERTAIN)
        tx_give_up(tx, QURING_SERVER_ERROR, conn->reason.sqlstate, conn->reason.message);
    if (request->query) /* and it is none of a batch */
        tx_finish_lost(tx, request, sent);
    if (ordinal == pg->last)
        tx_after_loss(tx);
}

void pg_tx_lost_idle(struct quring_tx *tx) {
    PRE(pg_tx_of(tx)->conn && pg_tx_of(tx)->conn->state == PG_CONN_DOWN);
    tx_after_loss(tx);
}

/* ---- Places ---- */

void pg_tx_place(struct quring_tx *tx, struct pg_conn *conn) {
    PRE(tx->state == TX_WAITING && pg_conn_is_up(conn));
    struct pg_tx *pg = pg_tx_of(tx);
    *pg = (struct pg_tx){.ops = {.row = tx_row, .error = tx_error, .ready = tx_ready, .lost = tx_lost, .tx = tx},
                         .conn = conn,
                         .since_ns = pg->since_ns ? pg->since_ns : ring_now_ns(pg_conn_ring(conn)) | 1};
    list_init(&pg->doubt.held);
    list_init(&pg->doubt.link);
}
