/* SPDX-License-Identifier: MIT
 *
 * The null server's two hands on bytes: a cursor over what came in, and a growing buffer of what goes out.
 */
#ifndef QURING_BENCH_NULL_WIRE_H
#define QURING_BENCH_NULL_WIRE_H

#include "null_session.h"

#include <stdlib.h>
#include <string.h>

/* ---- bytes in: a cursor that fails once and for all ------------------------------------------------------ */

struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static inline const uint8_t *take(struct cursor *cursor, size_t n) {
    if (cursor->bad || n > (size_t)(cursor->end - cursor->at)) {
        cursor->bad = true;
        return NULL;
    }
    cursor->at += n;
    return cursor->at - n;
}

static inline uint16_t take16(struct cursor *cursor) {
    const uint8_t *p = take(cursor, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t load32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t take32(struct cursor *cursor) {
    const uint8_t *p = take(cursor, 4);
    return p ? load32(p) : 0;
}

static inline const char *take_text(struct cursor *cursor) {
    const uint8_t *start = cursor->at;
    const uint8_t *nul = cursor->bad ? NULL : memchr(start, 0, (size_t)(cursor->end - start));
    if (!nul) {
        cursor->bad = true;
        return "";
    }
    return (const char *)take(cursor, (size_t)(nul - start) + 1);
}

/* ---- bytes out ------------------------------------------------------------------------------------------ */

static inline uint8_t *put(struct null_out *out, size_t n) {
    if (n > out->capacity - out->length) {
        size_t capacity = (out->capacity + n) * 2;
        uint8_t *bytes = realloc(out->bytes, capacity);
        if (!bytes)
            abort();
        out->bytes = bytes;
        out->capacity = capacity;
    }
    out->length += n;
    return out->bytes + out->length - n;
}

static inline void put_bytes(struct null_out *out, const void *bytes, size_t n) {
    memcpy(put(out, n), bytes, n);
}

/* A literal, NULs and all. */
#define PUT(out, literal) put_bytes(out, literal, sizeof(literal) - 1)

static inline void put16(struct null_out *out, unsigned n) {
    const uint8_t bytes[2] = {(uint8_t)(n >> 8), (uint8_t)n};
    put_bytes(out, bytes, 2);
}

static inline void put32(struct null_out *out, uint32_t n) {
    const uint8_t bytes[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    put_bytes(out, bytes, 4);
}

#endif
