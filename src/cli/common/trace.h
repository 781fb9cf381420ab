/* SPDX-License-Identifier: MIT */
/* What the engine's trace tells of queries and connections, in words of one line. */
#ifndef QURING_CLI_COMMON_TRACE_H
#define QURING_CLI_COMMON_TRACE_H

#include "cli/common/out.h"
#include "quring/quring.h"

/* Takes all events that there are, and calls `show` for each, oldest first. */
void cli_trace_drain(quring_engine *engine, void (*show)(void *arg, const quring_event *event), void *arg);

/*
 * Writes what became of a query: "OK, 1 row, connection 1, sent after 0.012 ms, first row after 0.312 ms, done after
 * 0.401 ms". Of a failure the status has its SQLSTATE behind it. The times count from the submission.
 */
void cli_trace_put_done(struct cli_out *out, const quring_event *event);

/* Writes what became of a connection: "connection 1: lost: server closed the connection (SQLSTATE 08006)", "connection 1:
   retrying in 0.1 s". */
void cli_trace_put_connection(struct cli_out *out, const quring_event *event);

/* Writes the query's text on one line, safe for a terminal: line feeds are \n. */
void cli_trace_put_sql(struct cli_out *out, const quring_event *event);

#endif
