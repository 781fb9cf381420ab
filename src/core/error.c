/* SPDX-License-Identifier: MIT */
#include "core/error.h"

#include "base/utf8.h"

#include <stdio.h>

static const char error_no_memory[] = "out of memory while keeping the text of another error";

void error_init(struct query_error *error) {
    *error = (struct query_error){.view = {.message = "", .detail = "", .hint = "", .severity = "ERROR"}};
    buf_init(&error->text, 3 * (ERROR_TEXT_BYTES_MAX + 1));
}

void error_free(struct query_error *error) {
    buf_free(&error->text);
    error_init(error);
}

void error_reset(struct query_error *error) {
    error->view = (quring_error){.message = "", .detail = "", .hint = "", .severity = "ERROR"};
    buf_reset(&error->text, ERROR_KEEP_BYTES);
    error->set = false;
}

size_t error_text_length(const char *text) {
    size_t length = strnlen(text, ERROR_TEXT_BYTES_MAX + 1);
    return length <= ERROR_TEXT_BYTES_MAX ? length : utf8_whole(text, ERROR_TEXT_BYTES_MAX);
}

char *error_text_copy(char *to, const char *text, size_t length) {
    PRE(length <= ERROR_TEXT_BYTES_MAX);
    memcpy(to, text, length);
    to[length] = 0;
    utf8_mend(to, length);
    return to + length + 1;
}

static void error_begin(struct query_error *error, const char *sqlstate, uint32_t position) {
    error_reset(error);
    error->set = true;
    error->view.position = position;
    memcpy(error->view.sqlstate, sqlstate, strnlen(sqlstate, sizeof error->view.sqlstate - 1));
}

void error_set(struct query_error *error, const char *sqlstate, const char *message, const char *detail,
               const char *hint, uint32_t position) {
    const char *texts[3] = {message, detail, hint};
    const char **views[3] = {&error->view.message, &error->view.detail, &error->view.hint};
    size_t lengths[3], total = 0;

    error_begin(error, sqlstate, position);
    for (int i = 0; i < 3; i++) {
        lengths[i] = texts[i] ? error_text_length(texts[i]) : 0;
        total += lengths[i] ? lengths[i] + 1 : 0;
    }
    if (total == 0)
        return;
    char *at = (char *)buf_extend(&error->text, total);
    if (!at) {
        error->view.message = error_no_memory;
        return;
    }
    for (int i = 0; i < 3; i++) {
        if (lengths[i] == 0)
            continue;
        *views[i] = at;
        at = error_text_copy(at, texts[i], lengths[i]);
    }
}

void error_format_list(struct query_error *error, const char *sqlstate, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    size_t size = length < 0 ? 0 : (size_t)length;
    if (size > ERROR_TEXT_BYTES_MAX)
        size = ERROR_TEXT_BYTES_MAX;

    error_begin(error, sqlstate, 0);
    char *at = (char *)buf_extend(&error->text, size + 1);
    error->view.message = at ? at : error_no_memory;
    if (at) {
        *at = 0;
        (void)vsnprintf(at, size + 1, format, again);
        if (length > ERROR_TEXT_BYTES_MAX)
            at[utf8_whole(at, size)] = 0;
        utf8_mend(at, size);
    }
    va_end(again);
}

void error_format(struct query_error *error, const char *sqlstate, const char *format, ...) {
    va_list args;
    va_start(args, format);
    error_format_list(error, sqlstate, format, args);
    va_end(args);
}
