/* SPDX-License-Identifier: MIT */
/*
 * The words that engine and backends share; this layer knows neither sockets nor SQLite.
 *
 *   db          the host and the database handle, and how queries move between their lists
 *   query       one submitted query and its state
 *   result      its rows            columns   their description, shared by all results of a statement
 *   error       why it failed       notice    what else the server had to say of it
 *   names       QURING_E*, statuses and types in words
 *   statement   SQL texts by content; statement_class: what kind of statement they are; statement_scan: their tokens
 *   value       types, texts, parameters and the public accessors: see value.h
 *   backend     what the engine asks of PostgreSQL and SQLite alike
 */
#include "core/db.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

/* Some failures tell by themselves; for those that the engine gives, the backend kept count. */
static bool was_sent(const struct query *query, quring_status status) {
    switch (status) {
    case QURING_OK:
    case QURING_SERVER_ERROR:
    case QURING_IN_DOUBT:
    case QURING_PROTOCOL:
        return true;
    case QURING_SKIPPED:
    case QURING_NOT_SENT:
        return false;
    case QURING_CANCELLED:
    case QURING_TIMEOUT:
    case QURING_LIMIT:
    case QURING_SHUTDOWN:
        return query->sent;
    }
    UNREACHABLE("a status that is none");
}

void db_query_finish(struct query *query, quring_status status) {
    struct quring_db *db = query->db;
    struct host *host = db->host;

    if (query->state == QUERY_WAITING)
        db->waiting_count--;
    else
        db->running_count--;
    query_move(query, QUERY_DONE);
    query->status = (uint8_t)status;
    query->sent = base_likely(status == QURING_OK) || was_sent(query, status);
    if (base_unlikely(status != QURING_OK))
        result_discard(&query->result);

    /* The text's table belongs to the handle, which may be gone before the query is released. */
    statement_drop(query->statement);
    query->statement = NULL;
    list_remove(&query->link);
    list_push_back(&host->done, &query->link);
    host->done_count++;
    host->stats.done_count[status]++;
    host->stats.row_count += query->result.row_count;
}

void db_query_fail(struct query *query, quring_status status, const char *sqlstate, const char *format, ...) {
    PRE(status != QURING_OK);
    va_list args;
    va_start(args, format);
    error_format_list(&query->error, sqlstate, format, args);
    va_end(args);
    db_query_finish(query, status);
}

struct query *db_query_admit(struct quring_db *db) {
    struct list *node = list_pop_front(&db->waiting);
    if (!node)
        return NULL;
    struct query *query = list_entry(node, struct query, link);
    query_move(query, QUERY_RUNNING);
    db->waiting_count--;
    db->running_count++;
    return query;
}

void db_query_requeue(struct query *query) {
    struct quring_db *db = query->db;
    query_move(query, QUERY_WAITING);
    query->sent = false;
    list_remove(&query->link);
    list_push_front(&db->waiting, &query->link);
    db->running_count--;
    db->waiting_count++;
}

int host_error(struct host *host, int error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(host->message, sizeof host->message, format, args);
    utf8_tidy(host->message);
    va_end(args);
    return error;
}
