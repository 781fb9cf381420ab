/* SPDX-License-Identifier: MIT */
/* The server's replies to users' queries. */
#ifndef QURING_PG_REPLY_H
#define QURING_PG_REPLY_H

#include "pg/request.h"

void pg_reply_row(struct pg_request *request, const struct wire_event *event);
void pg_reply_complete(struct pg_conn *conn, struct pg_request *request, const struct wire_event *event);
void pg_reply_notice(struct query *query, const struct wire_error *notice);
void pg_reply_error(struct pg_conn *conn, struct pg_request *request, const struct wire_event *event);

/* A notice came while a cancel may hit the request: its commit may be one that was cut short. */
void pg_reply_struck_at_commit(struct pg_request *request, const struct wire_error *notice);

/* Ends a query whose rows went over a limit; the other one sets its error alone. */
void pg_reply_over_limit(struct query *query, enum pg_limit limit);
void pg_reply_say_limit(struct query *query, enum pg_limit limit);
void pg_reply_ready(struct pg_conn *conn, const struct wire_event *event);

/* A row, the command's end and, after Sync, the sync point: of wire_session_take_answer(). */
void pg_reply_answer(struct pg_conn *conn, const struct wire_event *event);

/* The end of an INSERT of one row: of wire_session_take_inserted(). */
void pg_reply_inserted(struct pg_conn *conn, uint64_t request);

#endif
