/* SPDX-License-Identifier: MIT */
/* The error of a query. Owned by the query's slot; its texts are bounded, and none of them is ever NULL. */
#ifndef QURING_CORE_ERROR_H
#define QURING_CORE_ERROR_H

#include "base/buf.h"
#include "quring/quring.h"

#include <stdarg.h>
#include <string.h>

/* A server may quote a whole value in its message. Up to ERROR_KEEP_BYTES stay allocated in a slot between errors. */
enum { ERROR_TEXT_BYTES_MAX = 30000, ERROR_KEEP_BYTES = 1024 };

struct query_error {
    quring_error view;
    struct buf text; /* message, detail and hint, each with its NUL */
    bool set;
};

/* Returns the length of a text once it is cut at ERROR_TEXT_BYTES_MAX, never within a UTF-8 character. */
size_t error_text_length(const char *text);

/* Copies that much of it and a NUL, as UTF-8. Returns where the next one may begin. */
char *error_text_copy(char *to, const char *text, size_t length);

/* An error of these texts, which it points to, without a hint. `sqlstate`: as in error_set(). */
static inline quring_error error_view(const char *sqlstate, const char *message, const char *detail) {
    quring_error view = {.message = message, .detail = detail, .hint = ""};
    memcpy(view.sqlstate, sqlstate, strnlen(sqlstate, sizeof view.sqlstate - 1));
    return view;
}

void error_init(struct query_error *error);
void error_free(struct query_error *error);
void error_reset(struct query_error *error);

/* Most queries do not fail, so clearing their error costs one comparison. */
static inline void error_clear(struct query_error *error) {
    if (base_unlikely(error->set))
        error_reset(error);
}

/*
 * Copies everything as UTF-8, cutting each text at ERROR_TEXT_BYTES_MAX. NULL texts count as ""; none may be one of the
 * error's own. `sqlstate` is five characters, or "" for none. backend_code becomes 0. On no memory: a static message.
 */
void error_set(struct query_error *error, const char *sqlstate, const char *message, const char *detail,
               const char *hint, uint32_t position);

__attribute__((format(printf, 3, 4))) void error_format(struct query_error *error, const char *sqlstate,
                                                        const char *format, ...);
__attribute__((format(printf, 3, 0))) void error_format_list(struct query_error *error, const char *sqlstate,
                                                             const char *format, va_list args);

#endif
