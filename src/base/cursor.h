/* SPDX-License-Identifier: MIT */
/*
 * The only code that moves over input bytes. Every getter goes through cursor_take(), which holds the one bounds
 * check. A cursor that was asked for more than there is has failed for good: later getters return zero and consume
 * nothing, so a decoder is a straight line that ends with cursor_done().
 */
#ifndef QURING_BASE_CURSOR_H
#define QURING_BASE_CURSOR_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

/* A cursor over bytes that stay in place as long as it is used; `bytes` may be NULL when `size` is 0. */
static inline struct cursor cursor_over(const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    return (struct cursor){.at = at, .end = size ? at + size : at, .failed = false};
}

/* The number of bytes that were not taken yet. */
static inline size_t cursor_left(const struct cursor *c) {
    return (size_t)(c->end - c->at);
}

/*
 * The next `size` bytes, or NULL once the cursor has failed. The check subtracts: at + size could wrap for a size that a
 * hostile peer chose.
 */
static inline const uint8_t *cursor_take(struct cursor *c, size_t size) {
    if (__builtin_expect(c->failed || size > cursor_left(c), 0)) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *taken = c->at;
    if (size)
        c->at += size;
    return taken;
}

/* Big-endian integers; 0 once the cursor has failed. */
static inline uint8_t cursor_u8(struct cursor *c) {
    const uint8_t *p = cursor_take(c, 1);
    return p ? *p : 0;
}

static inline uint16_t cursor_u16(struct cursor *c) {
    const uint8_t *p = cursor_take(c, 2);
    return p ? bytes_load_u16(p) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c) {
    const uint8_t *p = cursor_take(c, 4);
    return p ? bytes_load_u32(p) : 0;
}

static inline int32_t cursor_i32(struct cursor *c) {
    return (int32_t)cursor_u32(c);
}

/* A NUL-terminated string within the input; never NULL, "" once failed. `*length` may be NULL. */
static inline const char *cursor_string(struct cursor *c, size_t *length) {
    size_t left = cursor_left(c);
    const uint8_t *nul = c->failed || left == 0 ? NULL : memchr(c->at, 0, left);
    if (!nul) {
        c->failed = true;
        if (length)
            *length = 0;
        return "";
    }
    const char *text = (const char *)c->at;
    if (length)
        *length = (size_t)(nul - c->at);
    c->at = nul + 1;
    return text;
}

/* True when all of the input was read and nothing more was asked for. */
static inline bool cursor_done(const struct cursor *c) {
    return !c->failed && c->at == c->end;
}

#endif
