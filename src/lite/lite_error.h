/* SPDX-License-Identifier: MIT */
/* SQLite's extended result codes as SQLSTATEs, so that one program can tell errors of both backends apart. */
#ifndef QURING_LITE_LITE_ERROR_H
#define QURING_LITE_LITE_ERROR_H

#include "core/error.h"

#include <stdint.h>

/* The nearest state of PostgreSQL's appendix A. SQLITE_ERROR says what it is only in its message. Static. */
const char *lite_sqlstate(int code, const char *message);

/* The remedy for an error, or NULL. Static. */
const char *lite_hint(int code, const char *message);

/* The character, from 1, at a byte offset of a UTF-8 text; 0 for a negative offset. */
uint32_t lite_position(const char *sql, size_t length, int64_t offset);

/* All of it, with the code as backend_code. `position` in characters; `detail` may be NULL. */
void lite_error_set(struct query_error *error, int code, const char *message, const char *detail, uint32_t position);

#endif
