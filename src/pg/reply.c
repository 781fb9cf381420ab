/* SPDX-License-Identifier: MIT */
/* The server's replies to users' queries, and the outcome of a group at its sync point: done, failed, or to be run again. */
#include "pg/reply.h"

#include "core/trace.h"
#include "pg/atomic.h"

#include <string.h>

/* ---- Replies ---- */

/* False: the row is dropped, because its query is over a limit already. */
static __attribute__((cold, noinline)) bool reply_row_is_wanted(struct pg_request *request) {
    if (request->traced)
        trace_row(request->query->queue->db->hub->trace, request->query);
    request->traced = false;
    return !request->limit;
}

void pg_reply_row(struct pg_request *request, const struct wire_event *event) {
    if (base_unlikely(!request->query))
        return;
    struct quring_result *result = &request->query->result;
    if (base_unlikely(request->limit | request->traced) && !reply_row_is_wanted(request))
        return;
    if (base_likely(result_append_row(result, event->body, event->size)))
        return;
    request->limit = result->row_count >= result->row_limit ? PG_LIMIT_ROW_COUNT
                     : result_is_full(result, event->size)  ? PG_LIMIT_RESULT_BYTES
                                                            : PG_LIMIT_MEMORY;
    result_clear_rows(result);
}

/* INSERT, UPDATE, DELETE and MERGE; SELECT, FETCH, MOVE and COPY count rows too, but change none. */
static bool reply_tag_changes(const char *tag, size_t words) {
    return (words == 6 && tag[0] != 'S') || (words == 5 && tag[0] == 'M');
}

/* True for the tags of statements that cannot end a transaction. Four letters are compared as one number, for speed. */
static bool reply_tag_is_plain(const struct wire_event *event) {
    if (event->tag_length < 4)
        return false;
    switch (bytes_load_u32((const uint8_t *)event->tag)) {
    case 0x53454c45: /* SELE */
    case 0x494e5345: /* INSE */
    case 0x55504441: /* UPDA */
    case 0x44454c45: /* DELE */
    case 0x4d455247: /* MERG */
    case 0x56414c55: /* VALU: what PostgreSQL calls SELECT, others may not */
    case 0x5441424c: /* TABL */
    case 0x57495448: /* WITH */
        return true;
    default:
        return false;
    }
}

/* PostgreSQL answers COMMIT of a failed transaction with the tag ROLLBACK and no error, and a caller must not see OK. */
static void reply_check_commit(struct pg_request *request, const struct wire_event *event) {
    bool rolled_back = event->tag_length == 8 && memcmp(event->tag, "ROLLBACK", 8) == 0;
    if (!rolled_back || request->statement->traits.effect != EFFECT_COMMITS)
        return;
    request->outcome = PG_FAILED;
    if (request->query)
        error_set(&request->query->error, "40000",
                  "the transaction was rolled back, not committed: a statement in it had failed", NULL, NULL, 0);
}

/* A server refuses a wrong count of parameters at Bind, so one that carries the statement out breaks the protocol. */
static bool reply_took_its_parameters(struct pg_conn *conn, const struct pg_request *request) {
    if (base_likely(!request->described || request->description->param_count == request->param_count))
        return true;
    pg_conn_break(conn, QURING_PROTOCOL, "08P01",
                  "a statement was carried out whose ParameterDescription has another count than its parameters");
    return false;
}

void pg_reply_complete(struct pg_conn *conn, struct pg_request *request, const struct wire_event *event) {
    if (!reply_took_its_parameters(conn, request))
        return;
    request->outcome = PG_COMPLETED;
    if (base_unlikely(!reply_tag_is_plain(event))) {
        request->may_have_ended = true;
        if (request->statement)
            reply_check_commit(request, event);
    }
    if (!request->query)
        return;
    struct quring_result *result = &request->query->result;
    size_t words;
    uint64_t rows = wire_tag_rows(event->tag, event->tag_length, &words);
    result_set_command(result, event->tag, words);
    if (rows && reply_tag_changes(event->tag, words))
        result->affected_count = rows;
}

static bool reply_is_sqlstate(const struct wire_error *error, const char *sqlstate) {
    return strcmp(error->sqlstate, sqlstate) == 0;
}

static bool reply_is_class(const struct wire_error *error, const char *class) {
    return strncmp(error->sqlstate, class, 2) == 0;
}

/*
 * True if a fresh parse may succeed. An ALTER TABLE may have changed the result's type since the parse (0A000), even between
 * Parse and Bind of one request, and the server may have forgotten the statement (26000). A kept statement has the parameter
 * types of its parse: a type may have been dropped (XX000), may refuse this value (22), or may not fit the column (42). A
 * constant of a dropped type fails only during execution.
 */
static bool reply_is_stale(const struct pg_request *request, const struct wire_event *event) {
    const struct wire_error *error = &event->error;
    bool kept = request->kind == PG_REQUEST_BOUND, gone = reply_is_sqlstate(error, "XX000");
    if (event->bound)
        return kept && gone;
    if (reply_is_sqlstate(error, "0A000") || reply_is_sqlstate(error, "26000"))
        return kept || request->described;
    return kept && (gone || reply_is_class(error, "22") || reply_is_class(error, "42"));
}

static enum pg_outcome reply_failure(const struct pg_request *request, const struct wire_event *event) {
    const struct wire_error *error = &event->error;
    if (reply_is_sqlstate(error, "40003") ||
        reply_is_sqlstate(error, "08007")) /* statement completion, transaction resolution unknown */
        return PG_FAILED_IN_DOUBT;
    if (request->outcome == PG_COMPLETED)
        return PG_FAILED_AT_COMMIT;
    if (pg_is_conflict(error->sqlstate))
        return PG_FAILED_IN_CONFLICT;
    return request->plan_refused && !event->bound ? PG_FAILED_STALE : PG_FAILED;
}

/*
 * The server's own statement_timeout says the same as a cancel, in other words, but words are in the server's language. One
 * that is taken for a cancel's hit comes again when the query has run again, and then it is the query's own.
 */
static bool reply_is_struck(struct pg_conn *conn, const struct pg_request *request, const struct wire_error *error) {
    if (!pg_conn_is_cancelling(conn) || !reply_is_sqlstate(error, "57014"))
        return false;
    if (!request->query)
        conn->config->db->counters.cancel_stopped_count++;
    return request->query && pg_request_may_be_struck(conn, request);
}

void pg_reply_error(struct pg_conn *conn, struct pg_request *request, const struct wire_event *event) {
    const struct wire_error *error = &event->error;
    request->plan_refused = reply_is_stale(request, event);
    request->outcome =
        reply_is_struck(conn, request, error) ? (uint8_t)PG_FAILED_BY_CANCEL : (uint8_t)reply_failure(request, event);
    if (!request->query)
        return;
    result_clear_rows(&request->query->result);
    error_set(&request->query->error, error->sqlstate, error->message, error->detail, error->hint, error->position);
}

/*
 * A cancel ends the wait of a commit for a synchronous standby, which the server tells by a warning, with a detail, behind
 * CommandComplete, or before that of a COMMIT: the commit stands on the one server alone. Whoever runs into that for another's
 * sake must not take it for OK.
 */
void pg_reply_struck_at_commit(struct pg_request *request, const struct wire_error *notice) {
    bool ends = pg_request_tx(request) && request->statement && request->statement->traits.verb == VERB_COMMITS;
    if (!(ends || request->outcome == PG_COMPLETED) || strcmp(notice->severity, "WARNING") != 0 || !notice->detail[0])
        return;
    if (ends)
        request->unreplicated = true; /* CommandComplete follows */
    else
        request->outcome = PG_FAILED_IN_DOUBT; /* given up or not: others of its group share the commit */
    if (request->query)
        error_set(&request->query->error, "40003", notice->message, notice->detail, notice->hint, 0);
}

void pg_reply_notice(struct query *query, const struct wire_error *notice) {
    quring_error view = {.position = notice->position,
                         .message = notice->message,
                         .detail = notice->detail,
                         .hint = notice->hint,
                         .severity = notice->severity};
    memcpy(view.sqlstate, notice->sqlstate, sizeof view.sqlstate);
    notices_add(&query->result.notices, &view);
}

/* ---- Sync points ---- */

/*
 * The outcome of the requests up to one Sync. They were one transaction, unless a statement among them ended it; only
 * statements that can't end one share it (statement_traits), so:
 *
 *   DONE      each ended as its own reply said
 *   UNDONE    one of several failed, or a cancel meant for another hit: the transaction was rolled back, and nothing took
 *             effect
 *
 * or nobody can tell:
 *
 *   UNKNOWN   the server says so: 40003, 08007
 *   ENDED     a reply's tag is of a statement that may have ended the transaction in the middle of its group
 *   OPEN      ReadyForQuery says that the transaction goes on, and it ends with this shared connection
 */
enum group_outcome { GROUP_DONE, GROUP_UNDONE, GROUP_UNKNOWN, GROUP_ENDED, GROUP_OPEN };

static const char *const reply_doubts[][2] = {
    [GROUP_UNKNOWN] = {"40003", "the server can't tell whether the transaction that this statement shared took effect"},
    [GROUP_ENDED] = {"40003", "another statement may have ended the transaction that this one shared"},
    [GROUP_OPEN] = {"25001", "a transaction was left open on a shared connection, and is rolled back with all in it "
                             "as that is closed"},
};

static bool reply_has_successors(const struct pg_conn *conn, const struct wire_event *ready,
                                 const struct pg_request *request) {
    const struct order_key *key = request->query->key;
    if (pg_conn_is_bound(conn))
        return conn->session.next > ready->request + 1;
    return key && key->last > ready->request;
}

/*
 * A member runs again if its plan was stale before anything of it ran, or if its group was undone through no fault of its
 * own. Not where it would fall behind what was sent after it: on a bound connection any later request, on another one a later
 * query of its order key. (Admission sends no other query of a key behind a group of several: pg/order.h.)
 */
static bool reply_must_rerun(const struct pg_conn *conn, const struct wire_event *ready, enum group_outcome outcome,
                             const struct pg_request *request) {
    if (!request->query || outcome >= GROUP_UNKNOWN)
        return false;
    if (request->outcome != PG_FAILED_STALE)
        return outcome == GROUP_UNDONE && request->outcome != PG_FAILED && request->outcome != PG_FAILED_IN_DOUBT;
    return !request->query->retried && ready->transaction == 'I' && !reply_has_successors(conn, ready, request);
}

static void reply_finish_in_doubt(struct query *query, const struct pg_request *request, enum group_outcome outcome) {
    if (request->outcome == PG_FAILED_AT_COMMIT || request->outcome == PG_FAILED_IN_DOUBT)
        query_finish(query, QURING_IN_DOUBT);
    else if (pg_request_failed(request))
        query_finish(query, QURING_SERVER_ERROR); /* its own failure is certain, though the others' fate is not */
    else
        query_fail(query, QURING_IN_DOUBT, reply_doubts[outcome][0], "%s", reply_doubts[outcome][1]);
}

/* The texts are those of SQLite's queries. PG_LIMIT_CUT_OFF does not come here: it ends the connection. */
__attribute__((cold, noinline)) void pg_reply_say_limit(struct query *query, enum pg_limit limit) {
    const quring_db_options *options = &query->queue->db->options;
    struct query_error *error = &query->error;
    if (limit == PG_LIMIT_MEMORY)
        error_format(error, "53200", "out of memory for the result's rows");
    else if (limit == PG_LIMIT_MESSAGE_BYTES)
        error_format(error, "54000", "a row of the result has more than message_bytes (%llu)",
                     (unsigned long long)options->message_bytes);
    else if (limit == PG_LIMIT_ROW_COUNT)
        error_format(error, "54000", "the result has more than %llu rows: options.result_row_count",
                     (unsigned long long)options->result_row_count);
    else
        error_format(error, "54000", "the result has more than %llu bytes: options.result_bytes",
                     (unsigned long long)options->result_bytes);
}

__attribute__((cold, noinline)) void pg_reply_over_limit(struct query *query, enum pg_limit limit) {
    pg_reply_say_limit(query, limit);
    query_finish(query, QURING_LIMIT);
}

static void reply_finish(struct pg_request *request, enum group_outcome outcome) {
    struct query *query = request->query;
    request->query = NULL;
    if (!query)
        return;
    if (base_unlikely(outcome >= GROUP_UNKNOWN))
        reply_finish_in_doubt(query, request, outcome);
    else if (base_likely(!pg_request_failed(request) && !request->limit))
        query_finish(query, QURING_OK);
    else if (pg_request_failed(request))
        query_finish(query, QURING_SERVER_ERROR);
    else
        pg_reply_over_limit(query, (enum pg_limit)request->limit);
}

static enum group_outcome reply_settle_members(struct pg_conn *conn, const struct wire_event *ready) {
    bool several = ready->request > ready->first;
    enum group_outcome outcome = GROUP_DONE;
    for (uint64_t r = ready->first; r <= ready->request; r++) {
        struct pg_request *request = pg_conn_request(conn, r);
        if (base_unlikely(request->kind == PG_REQUEST_NAMED || request->plan_refused))
            pg_request_settle(conn, request);
        if (base_likely(!pg_request_failed(request) && !request->may_have_ended))
            continue;
        if (request->outcome == PG_FAILED_IN_DOUBT)
            outcome = GROUP_UNKNOWN;
        else if (several && request->may_have_ended)
            outcome = GROUP_ENDED;
        else if ((several || request->outcome == PG_FAILED_BY_CANCEL) && outcome == GROUP_DONE)
            outcome = GROUP_UNDONE;
    }
    bool open = ready->transaction != 'I' && !pg_conn_is_bound(conn);
    return base_unlikely(open) ? GROUP_OPEN : outcome;
}

/* Each query goes to the front of its queue, so they go in backwards to keep their order. */
static void reply_rerun_members(struct pg_conn *conn, const struct wire_event *ready) {
    for (uint64_t r = ready->request + 1; r-- > ready->first;) {
        struct query *query = pg_conn_request(conn, r)->query;
        if (!query)
            continue;
        query->retried = pg_conn_request(conn, r)->plan_refused;
        query->struck |= pg_conn_request(conn, r)->outcome == PG_FAILED_BY_CANCEL;
        query->commit = QURING_COMMIT_EACH;
        pg_query_restart(query);
    }
}

void pg_reply_ready(struct pg_conn *conn, const struct wire_event *ready) {
    enum group_outcome outcome = reply_settle_members(conn, ready);
    bool again = false;
    if (base_unlikely(pg_conn_request(conn, ready->first)->atomic) && outcome <= GROUP_UNDONE)
        pg_atomic_settle(conn, ready);
    for (uint64_t r = ready->first; r <= ready->request; r++) {
        struct pg_request *request = pg_conn_request(conn, r);
        bool well = outcome == GROUP_DONE && !request->plan_refused;
        if (base_likely(well || !reply_must_rerun(conn, ready, outcome, request)))
            reply_finish(request, outcome);
        else
            again = true;
        pg_request_drop(request);
    }
    if (base_unlikely(again))
        reply_rerun_members(conn, ready);
    conn->settled = ready->request + 1;
    conn->async_bytes = 0;
    if (base_unlikely(outcome == GROUP_OPEN))
        pg_conn_break(conn, QURING_IN_DOUBT, "25001", "a query left a transaction open on a shared connection");
}

static void reply_ready_of_many(struct pg_conn *conn, struct pg_request *request, const struct wire_event *ready) {
    if (request->ops)
        request->ops->ready(conn, ready);
    else
        pg_reply_ready(conn, ready);
}

/* Does all that the functions of its three events would do: the answer is whole, so its request has not failed. */
void pg_reply_answer(struct pg_conn *conn, const struct wire_event *event) {
    struct pg_request *request = pg_conn_request(conn, event->request);
    PRE(request->kind == PG_REQUEST_BOUND);
    pg_reply_row(request, event);
    request->outcome = PG_COMPLETED;
    if (base_likely(request->query != NULL))
        result_put_command(&request->query->result, "SELECT", strlen("SELECT"));
    if (event->kind != WIRE_READY)
        return;
    if (event->first != event->request || request->ops) {
        reply_ready_of_many(conn, request, event);
        return;
    }
    reply_finish(request, GROUP_DONE);
    pg_request_drop(request);
    conn->settled = event->request + 1;
    conn->async_bytes = 0;
}

/* Does what pg_reply_complete() would do. */
void pg_reply_inserted(struct pg_conn *conn, uint64_t ordinal) {
    struct pg_request *request = pg_conn_request(conn, ordinal);
    PRE(request->kind == PG_REQUEST_BOUND);
    request->outcome = PG_COMPLETED;
    if (!request->query)
        return;
    result_put_command(&request->query->result, "INSERT", strlen("INSERT"));
    request->query->result.affected_count = 1;
}
