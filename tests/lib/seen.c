/* SPDX-License-Identifier: MIT */
#include "lib/seen.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct writer {
    char *at;
    size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->at, w->left, format, args);
    va_end(args);
    size_t used = (size_t)n < w->left ? (size_t)n : w->left - 1;
    w->at += used;
    w->left -= used;
}

static uint64_t digest(const uint8_t *bytes, size_t size) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

/* Long ones by length and digest. */
static void put_bytes(struct writer *w, const char *name, int code, const void *bytes, size_t size) {
    if (code)
        put(w, " %s=%d", name, code);
    else if (size <= 200)
        put(w, " %s=[%.*s]%zu#%" PRIx64, name, (int)size, (const char *)bytes, size, digest(bytes, size));
    else
        put(w, " %s=%zu#%" PRIx64, name, size, digest(bytes, size));
}

static void put_numbers(struct writer *w, const quring_result *result, uint64_t row, uint32_t column) {
    bool truth = false;
    int32_t small = 77;
    int64_t big = 77;
    double real = 77;
    int code = quring_get_bool(result, row, column, &truth);
    put(w, " bool=%d:%d", code, truth);
    code = quring_get_int32(result, row, column, &small);
    put(w, " int32=%d:%" PRId32, code, small);
    code = quring_get_int64(result, row, column, &big);
    put(w, " int64=%d:%" PRId64, code, big);
    code = quring_get_float64(result, row, column, &real);
    put(w, " float64=%d:%a", code, real);
}

static void put_moments(struct writer *w, const quring_result *result, uint64_t row, uint32_t column) {
    int32_t days = 77;
    int64_t us = 77;
    int code = quring_get_date(result, row, column, &days);
    put(w, " date=%d:%" PRId32, code, days);
    code = quring_get_timestamp(result, row, column, &us);
    put(w, " timestamp=%d:%" PRId64, code, us);
    us = 77;
    code = quring_get_timestamptz(result, row, column, &us);
    put(w, " timestamptz=%d:%" PRId64, code, us);
}

void seen_value(char out[SEEN_BYTES], const quring_result *result, uint64_t row, uint32_t column) {
    struct writer w = {out, SEEN_BYTES};
    put(&w, "%s %u %s null=%d", quring_type_name(quring_column_type(result, column)), quring_column_oid(result, column),
        quring_type_name(quring_value_type(result, row, column)), quring_is_null(result, row, column));
    put_numbers(&w, result, row, column);
    put_moments(&w, result, row, column);
    uint8_t uuid[16] = {0};
    int code = quring_get_uuid(result, row, column, uuid);
    put_bytes(&w, "uuid", code, uuid, sizeof uuid);
    const void *bytes = NULL;
    size_t size = 0;
    code = quring_get_bytes(result, row, column, &bytes, &size);
    put_bytes(&w, "bytes", code, bytes, size);
    const char *text = NULL;
    code = quring_get_text(result, row, column, &text, &size);
    put_bytes(&w, "text", code, text, size);
    if (code == 0 && text[size] != 0)
        put(&w, " NOT TERMINATED");
    put(&w, " error=%s", quring_result_error(result));
}

void seen_done(char out[SEEN_BYTES], const quring_done *done) {
    if (done->status == QURING_OK)
        seen_value(out, done->result, 0, 0);
    else
        snprintf(out, SEEN_BYTES, "%s %s", quring_status_name(done->status), done->error->sqlstate);
}
