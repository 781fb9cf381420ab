/* SPDX-License-Identifier: MIT
 *
 * One client's session with the null server, as pure bytes: what the client sent in, what to answer out.
 * It knows enough of PostgreSQL's protocol 3 for libpq and for every pipelining client:
 *
 *   - a statement answers each Execute with one row of one column: abalance int4, always 1;
 *   - a statement whose SQL begins with "select $1" answers with its own parameter (so that a client can tell
 *     whose answer it reads);
 *   - one that asks for pg_backend_pid() besides answers with two, and an empty text: what quring asks first;
 *   - a simple Query answers with one row, "1".
 *
 * Nothing the client says is trusted: lengths are checked, and what makes no sense ends the session.
 */
#ifndef QURING_BENCH_NULL_SESSION_H
#define QURING_BENCH_NULL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct null_out {
    uint8_t *bytes;
    size_t length, capacity;
};

struct null_session;

struct null_session *null_session_new(void);
void null_session_free(struct null_session *session);

/* Answers every complete message in [bytes, bytes + length) and appends the answers to `out`.
 * Returns how many bytes were taken (the rest is the head of a message: feed it again with what follows),
 * or -1 when the session is over. */
ptrdiff_t null_session_feed(struct null_session *session, const uint8_t *bytes, size_t length, struct null_out *out);

#endif
