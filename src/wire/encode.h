/* SPDX-License-Identifier: MIT */
/*
 * Requests of the extended query protocol (PostgreSQL 15 documentation, 55.7). Pure: appends to a buffer, which fails
 * for good when it lacks room; the caller marks before a request and truncates back to the mark when it failed. No
 * message is longer than WIRE_SEND_BYTES_MAX: one that would be makes the buffer fail.
 */
#ifndef QURING_WIRE_ENCODE_H
#define QURING_WIRE_ENCODE_H

#include "base/buf.h"

enum { WIRE_SEND_BYTES_MAX = 0x3fffffff - 1, WIRE_PARAMS_MAX = 65535 };

/* Names are NUL-terminated, of at most 255 bytes; "" is the unnamed statement. `sql` has no NUL in it. */
void wire_put_parse(struct buf *out, const char *name, const char *sql, size_t sql_length);
void wire_put_describe_statement(struct buf *out, const char *name);
void wire_put_close_statement(struct buf *out, const char *name);
void wire_put_execute(struct buf *out); /* the unnamed portal, all rows */
void wire_put_sync(struct buf *out);
void wire_put_terminate(struct buf *out);

/*
 * Bind of the unnamed portal. Between begin and end the caller appends each parameter's i32 length and bytes in
 * order, and tells its format code:
 *
 *      wire_bind_begin(out, &bind, name, count);
 *      for (i …) wire_bind_format(out, &bind, i, value_put_param(out, &params[i], oid[i]));
 *      wire_bind_end(out, &bind, formats, format_count);
 *
 * `result_formats`: none means all text, one stands for all columns, else one a column.
 */
struct wire_bind {
    size_t mark;
    size_t formats; /* offset from the mark */
};
void wire_bind_begin(struct buf *out, struct wire_bind *bind, const char *statement_name, uint16_t param_count);
void wire_bind_format(struct buf *out, const struct wire_bind *bind, uint16_t param, uint16_t format);
void wire_bind_end(struct buf *out, const struct wire_bind *bind, const uint16_t *result_formats,
                   uint16_t result_format_count);

#endif
