/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_CAPACITY_MIN = 256 };

void buf_init(struct buf *b, size_t limit_bytes) {
    *b = (struct buf){.limit = limit_bytes};
}

void buf_free(struct buf *b) {
    free(b->data);
    *b = (struct buf){.limit = b->limit};
}

static bool buf_resize(struct buf *b, size_t capacity) {
    PRE(capacity >= b->end);
    uint8_t *data = realloc(b->data, capacity);
    if (!data)
        return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

bool buf_grow(struct buf *b, size_t size) {
    if (b->failed)
        return false;
    size_t used = buf_size(b);
    /* Subtracting, since used + size could wrap: a peer may have chosen the size. */
    if (size > b->limit || used > b->limit - size) {
        buf_fail(b);
        return false;
    }
    if (b->start) {
        memmove(b->data, b->data + b->start, used);
        b->start = 0;
        b->end = used;
    }
    size_t needed = used + size;
    if (needed <= b->capacity)
        return true;
    /* Growth by half keeps the cost of appending constant and wastes about a third at most. */
    size_t capacity = b->capacity + (b->capacity / 2 > BUF_CAPACITY_MIN ? b->capacity / 2 : BUF_CAPACITY_MIN);
    if (capacity > b->limit)
        capacity = b->limit;
    if (capacity < needed)
        capacity = needed;
    if (!buf_resize(b, capacity)) {
        b->failed = b->no_memory = true;
        return false;
    }
    return true;
}

void buf_give_back(struct buf *b, size_t keep_bytes) {
    size_t used = buf_size(b);
    size_t target = used > keep_bytes ? used : keep_bytes;
    if (b->capacity <= target)
        return;
    if (used == 0) {
        b->start = b->end = 0;
        if (b->capacity / 2 < target)
            return; /* growth by half may have led here from a size that may be kept */
        free(b->data);
        b->data = NULL;
        b->capacity = 0;
        return;
    }
    if (b->start) {
        memmove(b->data, b->data + b->start, used);
        b->start = 0;
        b->end = used;
    }
    (void)buf_resize(b, target);
}

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* vsnprintf() writes a NUL behind the text: it is reserved for and not committed. */
    uint8_t *at = length < 0 ? NULL : buf_reserve(b, (size_t)length + 1);
    if (at) {
        vsnprintf((char *)at, (size_t)length + 1, format, again);
        buf_commit(b, (size_t)length);
    }
    va_end(again);
}
