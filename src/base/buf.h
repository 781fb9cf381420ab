/* SPDX-License-Identifier: MIT */
/*
 * A growable run of bytes, written at the end and consumed at the start.
 *
 *      data            start               end                 capacity
 *      | consumed      | readable          | free              |
 *
 * Writers mirror the cursor: a failed allocation, or growth past `limit`, makes the buffer fail for good until
 * buf_reset(); puts on a failed buffer do nothing, so an encoder is a straight line that ends with buf_failed().
 * What does not fit is rolled back with buf_truncate() to a mark taken before.
 */
#ifndef QURING_BASE_BUF_H
#define QURING_BASE_BUF_H

#include "base/assert.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    uint8_t *data;
    size_t start;
    size_t end;
    size_t capacity;
    size_t limit; /* capacity never grows past this many bytes */
    bool failed;
    bool no_memory; /* the last failure was that of an allocation, and not of room within the limit */
};

/* An empty buffer owns no memory, so buf_init() can't fail. */
void buf_init(struct buf *b, size_t limit_bytes);

/* Gives the memory back; the buffer is empty, keeps its limit, and can be written again. */
void buf_free(struct buf *b);

/*
 * Makes room for `size` more bytes: moves the readable bytes to the front, and reallocates if that is not enough. False,
 * with the buffer failed: the limit is reached, or memory ran out.
 */
bool buf_grow(struct buf *b, size_t size);

/* The slow half of buf_shrink(). */
void buf_give_back(struct buf *b, size_t keep_bytes);

/*
 * Gives back memory above what is readable and `keep_bytes`. An empty buffer of twice that or more goes back as a whole,
 * and a smaller one stays as it is: the stub of a large block would lie in the way of the next large one for ever.
 */
static inline void buf_shrink(struct buf *b, size_t keep_bytes) {
    if (base_unlikely(b->capacity > keep_bytes))
        buf_give_back(b, keep_bytes);
}

/* Empties the buffer, and shrinks it. */
static inline void buf_reset(struct buf *b, size_t keep_bytes) {
    b->start = b->end = 0;
    b->failed = false;
    buf_shrink(b, keep_bytes);
}

/* The number of readable bytes. */
static inline size_t buf_size(const struct buf *b) {
    return b->end - b->start;
}

/* The first readable byte. An empty buffer's data may be NULL, and NULL + 0 is undefined. */
static inline uint8_t *buf_head(const struct buf *b) {
    return b->start ? b->data + b->start : b->data;
}

static inline bool buf_failed(const struct buf *b) {
    return b->failed;
}

/* Fails the buffer as if there were no room: for a writer whose input turns out to be invalid half way. */
static inline void buf_fail(struct buf *b) {
    b->failed = true;
    b->no_memory = false;
}

/* Room for `size` bytes at the end, or NULL. They count only after buf_commit(). */
static inline uint8_t *buf_reserve(struct buf *b, size_t size) {
    if (base_unlikely(b->failed))
        return NULL;
    if (base_unlikely(size > b->capacity - b->end) && !buf_grow(b, size))
        return NULL;
    return b->end ? b->data + b->end : b->data;
}

/* Makes the first `size` bytes of what was reserved readable. */
static inline void buf_commit(struct buf *b, size_t size) {
    PRE(size <= b->capacity - b->end);
    b->end += size;
}

/* Reserve and commit in one step. */
static inline uint8_t *buf_extend(struct buf *b, size_t size) {
    uint8_t *at = buf_reserve(b, size);
    if (at)
        b->end += size;
    return at;
}

/* Drops the first `size` readable bytes. An emptied buffer starts at the front again, which saves buf_grow() a move. */
static inline void buf_consume(struct buf *b, size_t size) {
    PRE(size <= buf_size(b));
    b->start += size;
    if (b->start == b->end)
        b->start = b->end = 0;
}

/* A mark is an offset from the first readable byte. */
static inline size_t buf_mark(const struct buf *b) {
    return buf_size(b);
}

/* Drops what was written since the mark, and the failure with it: what stands before the mark is whole. */
static inline void buf_truncate(struct buf *b, size_t mark) {
    PRE(mark <= buf_size(b));
    b->end = b->start + mark;
    b->failed = false;
}

/* Puts append at the end, integers in big-endian order. */
static inline void buf_put(struct buf *b, const void *bytes, size_t size) {
    uint8_t *at = buf_extend(b, size);
    if (at && size)
        memcpy(at, bytes, size);
}

static inline void buf_put_u8(struct buf *b, uint8_t v) {
    uint8_t *at = buf_extend(b, 1);
    if (at)
        *at = v;
}

static inline void buf_put_u16(struct buf *b, uint16_t v) {
    uint8_t *at = buf_extend(b, 2);
    if (at)
        bytes_store_u16(at, v);
}

static inline void buf_put_u32(struct buf *b, uint32_t v) {
    uint8_t *at = buf_extend(b, 4);
    if (at)
        bytes_store_u32(at, v);
}

static inline void buf_put_u64(struct buf *b, uint64_t v) {
    uint8_t *at = buf_extend(b, 8);
    if (at)
        bytes_store_u64(at, v);
}

/* Appends printf-formatted text without its NUL. */
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *format, ...);

#endif
