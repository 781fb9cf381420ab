/* SPDX-License-Identifier: MIT */
/*
 * The structures that the engine shares with its backends; this layer knows neither sockets nor SQLite.
 *
 *   db          the hub and the database handle
 *   queue       queries that wait, in which units they are taken, and how they come back from a backend
 *   batch       queries that commit together or not at all: who is told what
 *   tx          a transaction: its state, its failure, and which of its queries that ends
 *   token       the row by which a transaction is asked for whose COMMIT was lost; xid: its ID, by which it is, too
 *   query       one submitted query and its state
 *   detach      queries that end for their callers before another thread has let go of them
 *   order_key   keys whose queries run in order
 *   status      the state of a handle
 *   stats       a handle's statistics; wait: the classes that waits are counted in
 *   result      its rows            columns   their description, shared by all results of a statement
 *   error       why it failed       notice    notices and warnings of the server
 *   names       QURING_E*, statuses, types and events in words
 *   trace       what happened to queries and connections, for a program that asked for it
 *   statement   SQL texts by content; statement_class: what kind of statement they are; statement_scan: their tokens, as
 *               PostgreSQL or SQLite reads them
 *   result_get  the public accessors of a result's values; result_cell: where a value stands
 *   backend     the contract of a backend
 */
#include "core/db.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct db_numbers *db_numbers_new(void) {
    struct db_numbers *numbers = calloc(1, sizeof *numbers);
    if (numbers)
        atomic_init(&numbers->holder_count, 1);
    return numbers;
}

struct db_numbers *db_numbers_hold(struct db_numbers *numbers) {
    atomic_fetch_add(&numbers->holder_count, 1);
    return numbers;
}

void db_numbers_drop(struct db_numbers *numbers) {
    if (numbers && atomic_fetch_sub(&numbers->holder_count, 1) == 1)
        free(numbers);
}

void db_init(struct quring_db *db) {
    list_init(&db->link);
    list_init(&db->due);
    list_init(&db->ready);
    list_init(&db->txs);
    list_init(&db->joined);
    queue_init(&db->queue, db);
}

void db_counters_add(struct db_counters *sum, const struct db_counters *counters) {
    sum->submitted_count += counters->submitted_count;
    for (size_t i = 0; i < sizeof sum->done_count / sizeof sum->done_count[0]; i++)
        sum->done_count[i] += counters->done_count[i];
    sum->row_count += counters->row_count;
    sum->connect_count += counters->connect_count;
    sum->connect_failure_count += counters->connect_failure_count;
    sum->connection_lost_count += counters->connection_lost_count;
    sum->prepare_count += counters->prepare_count;
    sum->notice_count += counters->notice_count;
    sum->retry_count += counters->retry_count;
    sum->cancel_count += counters->cancel_count;
    sum->cancel_stopped_count += counters->cancel_stopped_count;
    sum->connection_count += counters->connection_count;
}

void db_leave_behind(struct quring_db *db, uint64_t now_ns) {
    if (db->waiting_peak_count < db->waiting_count)
        db->waiting_peak_count = db->waiting_count;
    list_for_each(node, &db->ready)
        queue_leave_behind(list_entry(node, struct queue, ready), now_ns);
    struct list *node;
    while ((node = list_pop_front(&db->joined)))
        queue_leave_behind(list_entry(node, struct queue, joined), now_ns);
}

int hub_error(struct hub *hub, int error, const char *format, ...) {
    PRE(error < 0);
    va_list args;
    va_start(args, format);
    vsnprintf(hub->message, sizeof hub->message, format, args);
    utf8_tidy(hub->message);
    va_end(args);
    return error;
}
