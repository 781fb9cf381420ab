/* SPDX-License-Identifier: MIT */
/* What the server's replies mean for their queries: whether they ended well, failed, or run again with their group. */
#include "pg/pg.h"

#include <string.h>

static bool is_tag(const struct wire_event *event, const char *tag) {
    size_t length = strlen(tag);
    return event->tag_length == length && memcmp(event->tag, tag, length) == 0;
}

/* INSERT, UPDATE, DELETE and MERGE; SELECT, FETCH, MOVE and COPY count rows too, but change none. */
static bool tag_changes(const char *tag, size_t words) {
    return (words == 6 && tag[0] != 'S') || (words == 5 && tag[0] == 'M');
}

void pg_reply_complete(struct pg_conn *conn, struct pg_flight *flight, const struct wire_event *event) {
    flight->completed = true;
    if (event->tag_length && event->tag[0] == 'D' &&
        (is_tag(event, "DEALLOCATE") || is_tag(event, "DEALLOCATE ALL") || is_tag(event, "DISCARD ALL")))
        pg_prepared_forget_all(conn);
    if (!flight->query)
        return;
    struct quring_result *result = &flight->query->result;
    size_t words;
    uint64_t rows = wire_tag_rows(event->tag, event->tag_length, &words);
    result_set_command(result, event->tag, words);
    if (rows && tag_changes(event->tag, words))
        result->affected_count = rows;
}

/* Wants no transaction around it (VACUUM); or was chosen to resolve a deadlock or conflict that its group ran into. */
static bool is_of_company(const char *sqlstate) {
    return strcmp(sqlstate, "25001") == 0 || strncmp(sqlstate, "40", 2) == 0;
}

void pg_reply_error(struct pg_conn *conn, struct pg_flight *flight, const struct wire_event *event) {
    const struct wire_error *error = &event->error;
    flight->failed = true;
    flight->blameless = flight->completed || is_of_company(error->sqlstate);
    /* At Bind, that is. Even a statement described in this very request may have gone stale since: ALTER TABLE. */
    if ((flight->kind == PG_BOUND || flight->described) && !event->bound)
        flight->stale = strcmp(error->sqlstate, "0A000") == 0 || strcmp(error->sqlstate, "26000") == 0;
    if (flight->kind == PG_BARRIER)
        pg_conn_break(conn, QURING_NOT_SENT, error->sqlstate, error->message);
    if (!flight->query)
        return;
    result_clear_rows(&flight->query->result);
    error_set(&flight->query->error, error->sqlstate, error->message, error->detail, error->hint, error->position);
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

void pg_query_restart(struct query *query) {
    struct quring_db *db = query->db;
    result_begin(&query->result, db->options.result_bytes, db->options.result_row_count);
    error_clear(&query->error);
    db_query_requeue(query);
}

/*
 * Whether this member runs again: its plan went stale, or all of its group was undone and it was not to blame.
 * `followed`: others of an exclusive handle were sent behind it, and it may not fall behind them.
 */
static bool runs_again(const struct pg_flight *flight, bool undone, bool followed, char transaction) {
    if (!flight->query)
        return false;
    if (flight->stale)
        return !flight->query->retried && !followed && (undone || transaction == 'I');
    return undone && (!flight->failed || flight->blameless);
}

static void finish_flight(struct pg_flight *flight) {
    struct query *query = flight->query;
    flight->query = NULL;
    if (!query)
        return;
    if (base_likely(!flight->failed && !flight->over_limit && !flight->no_memory))
        db_query_finish(query, QURING_OK);
    else if (flight->failed)
        db_query_finish(query, QURING_SERVER_ERROR);
    else if (flight->no_memory)
        db_query_fail(query, QURING_LIMIT, "53200", "out of memory for the result's rows");
    else
        db_query_fail(query, QURING_LIMIT, "54000",
                      "the result has more than result_bytes (%llu) or result_row_count allows",
                      (unsigned long long)query->db->options.result_bytes);
}

/* True when nothing of the group took effect: one failed, or left a transaction open that ends with the connection. */
static bool settle_group(struct pg_conn *conn, const struct wire_event *event) {
    bool undone = event->transaction != 'I';
    for (uint64_t r = event->first; r <= event->request; r++) {
        struct pg_flight *flight = pg_conn_flight(conn, r);
        pg_request_settle(conn, flight);
        undone |= flight->failed;
    }
    return undone && event->request > event->first;
}

void pg_reply_ready(struct pg_conn *conn, const struct wire_event *event) {
    bool undone = settle_group(conn, event);
    bool followed = conn->db->base.options.exclusive && conn->session.next > event->request + 1;
    for (uint64_t r = event->first; r <= event->request; r++) {
        struct pg_flight *flight = pg_conn_flight(conn, r);
        if (base_likely(!runs_again(flight, undone, followed, event->transaction)))
            finish_flight(flight);
        pg_flight_drop(flight);
    }
    /* Backwards, for each goes to the front of the line. */
    for (uint64_t r = event->request + 1; r-- > event->first;) {
        struct query *query = pg_conn_flight(conn, r)->query;
        if (!query)
            continue;
        query->retried = pg_conn_flight(conn, r)->stale;
        query->commit = QURING_COMMIT_EACH;
        pg_query_restart(query);
    }
    conn->settled = event->request + 1;
    conn->unasked_bytes = 0;
    if (event->transaction != 'I' && !conn->db->base.options.exclusive)
        pg_conn_break(conn, QURING_IN_DOUBT, "25001", "a query left a transaction open on a shared connection");
}
