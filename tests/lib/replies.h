/* SPDX-License-Identifier: MIT */
/* A server's messages, written byte for byte and without any help from src/wire. Shared by tests, seeds and sims. */
#ifndef QURING_TESTS_REPLIES_H
#define QURING_TESTS_REPLIES_H

#include "base/buf.h"

/* Any message: a letter, the length word that fits, the body. */
void reply_message(struct buf *out, char type, const void *body, size_t size);

/* One without a body: 1 2 3 n I s c. */
void reply_bare(struct buf *out, char type);

void reply_parameters(struct buf *out, uint16_t count, const uint32_t *oids);

struct reply_column {
    const char *name;
    uint32_t oid;
    int32_t modifier;
};
void reply_columns(struct buf *out, uint16_t count, const struct reply_column *columns);

/* Values are texts; a NULL pointer is NULL. */
void reply_row(struct buf *out, uint16_t count, const char *const *values);
void reply_tag(struct buf *out, const char *tag);
void reply_ready(struct buf *out, char transaction);

/* E or N as PostgreSQL sends it: S, V, C, M and F, L, R; `more` adds fields such as "Dtext", up to a NULL. */
void reply_report(struct buf *out, char type, const char *severity, const char *sqlstate, const char *message,
                  const char *const *more);

void reply_status(struct buf *out, const char *name, const char *value);
void reply_notification(struct buf *out, uint32_t pid, const char *channel, const char *payload);
void reply_copy(struct buf *out, char type, uint16_t column_count);

/*
 * One well-formed message for each letter of a script: the letter of any of the 24 types, or F for a FATAL
 * ErrorResponse. T describes two columns, D has two values, Z says I.
 */
void reply_script(struct buf *out, const char *script);

#endif
