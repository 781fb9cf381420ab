/* SPDX-License-Identifier: MIT */
/*
 * Requests of the extended query protocol (PostgreSQL 15 documentation, 55.7). Each function appends a message to the
 * request that the session has begun and adds its step to the replies that the session will accept: what is sent and what
 * is waited for cannot differ. A request takes any of the steps, each at most once and in the order of enum wire_steps:
 *
 *      wire_session_begin(session, out);
 *      wire_session_put_close(session, name);
 *      wire_session_put_parse(session, name, sql, sql_length);
 *      wire_session_put_describe(session, name);
 *      wire_session_put_bind(session, name, param_count);
 *      for (i …) wire_session_put_format(session, i, value_put_param(out, &params[i], oid[i]));
 *      wire_session_put_results(session, formats, format_count);
 *      wire_session_put_execute(session);
 *      wire_session_put_sync(session);
 *      if (!wire_session_end(session, column_count)) …
 *
 * The buffer fails for good when it lacks room, and when a message would be longer than WIRE_SEND_BYTES_MAX;
 * wire_session_end() then takes the request back as a whole.
 */
#ifndef QURING_WIRE_ENCODE_H
#define QURING_WIRE_ENCODE_H

#include "wire/session.h"

enum { WIRE_SEND_BYTES_MAX = 0x3fffffff - 1, WIRE_PARAMS_MAX = 65535 };

/* Of a prepared statement. Names are NUL-terminated, of at most 9000 bytes; "" is the unnamed statement. */
void wire_session_put_close(struct wire_session *session, const char *name);

/* `sql` has no NUL in it. The server infers the types of all parameters. */
void wire_session_put_parse(struct wire_session *session, const char *name, const char *sql, size_t sql_length);

/* Of a statement: its parameters and its columns. */
void wire_session_put_describe(struct wire_session *session, const char *name);

/*
 * Bind of the unnamed portal. The caller appends each parameter's i32 length and bytes to the buffer, in order, and tells
 * its format code, which is text unless told.
 */
void wire_session_put_bind(struct wire_session *session, const char *statement_name, uint16_t param_count);

static inline void wire_session_put_format(struct wire_session *session, uint16_t param, uint16_t format) {
    const struct wire_draft *draft = &session->draft;
    PRE(draft->steps & WIRE_BIND);
    if (base_likely(!buf_failed(draft->out)))
        bytes_store_u16(buf_head(draft->out) + draft->bind_formats + (size_t)2 * param, format);
}

/* The end of the Bind. No format code means text for all columns, one stands for all columns, else one a column. */
void wire_session_put_results(struct wire_session *session, const uint16_t *formats, uint16_t format_count);

/* Of the unnamed portal, all its rows. */
void wire_session_put_execute(struct wire_session *session);

void wire_session_put_sync(struct wire_session *session);

/*
 * Appends Sync to the newest request, which has ended without one and whose replies cannot have begun: its messages were
 * appended, but not sent. False: `out` failed and is what it was, and the request has no Sync.
 */
bool wire_session_end_group(struct wire_session *session, struct buf *out);

/*
 * All of a Bind and Execute of a prepared statement that is the same each time: everything but the parameters' values and
 * formats.
 *
 *      wire_session_put_bind_copy(session, template);
 *      for (i …) wire_session_put_format(session, i, value_put_param(out, &params[i], oid[i]));
 *      wire_session_put_execute_copy(session, template, sync);
 */
enum { WIRE_TEMPLATE_BIND_BYTES = 64, WIRE_TEMPLATE_EXECUTE_BYTES = 48 };

struct wire_template {
    uint8_t bind[WIRE_TEMPLATE_BIND_BYTES]; /* up to the values */
    uint8_t
        execute[WIRE_TEMPLATE_EXECUTE_BYTES]; /* the formats of the results, which end the Bind, Execute, and Sync */
    uint16_t param_count;
    uint8_t bind_bytes;
    uint8_t execute_bytes; /* without Sync */
};

/* False: the messages are too long for a template, or there was no memory. */
bool wire_template_make(struct wire_template *template, const char *statement_name, uint16_t param_count,
                        const uint16_t *formats, uint16_t format_count);

void wire_session_put_bind_copy(struct wire_session *session, const struct wire_template *template);
void wire_session_put_execute_copy(struct wire_session *session, const struct wire_template *template, bool sync);

/* Flush and Terminate belong to no request, and neither has an answer: the server closes the connection at the second. */
void wire_put_flush(struct buf *out);
void wire_put_terminate(struct buf *out);

#endif
