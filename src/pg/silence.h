/* SPDX-License-Identifier: MIT */
/*
 * Ends connections that have fallen silent: the server's process or a pooler hangs, so the kernel there still acknowledges
 * what is sent, and neither keepalive nor tcp_user_timeout ever finds out.
 *
 *   options.silence_ns         from when the oldest request out was given up; or from the last byte, if that came later
 *   options.query_silence_ns   from the last byte, or from when a request went out on an idle connection
 *
 * A connection is watched while it must be: for the first from a query that is given up to the last reply that is awaited,
 * for the second as long as it is READY. Only then is the time of each receive noted, and a timer set, so that queries on
 * other connections cost nothing. Nothing tells when a request goes out on an idle connection; so for the second bound the
 * timer looks eight times as often as that, though not more often than in 10 ms, and silence may last longer by as much, and is
 * never cut short.
 */
#ifndef QURING_PG_SILENCE_H
#define QURING_PG_SILENCE_H

#include "pg/conn_state.h"

/* The connection is READY; it is not any more. */
void pg_silence_begin(struct pg_conn *conn);
void pg_silence_end(struct pg_conn *conn);

/* The query of the request with this ordinal was given up, or it never had one: an answer must come within silence_ns. */
void pg_silence_given_up(struct pg_conn *conn, uint64_t request);

#endif
