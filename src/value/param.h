/* SPDX-License-Identifier: MIT */
/*
 * The check and the copy of parameters. Every query pays for both, so what most of them need is inline here; param.c has
 * the rest.
 */
#ifndef QURING_VALUE_PARAM_H
#define QURING_VALUE_PARAM_H

#include "base/buf.h"
#include "quring/quring.h"

enum {
    PARAM_ALIGN = 8, /* copies of parameters, and integers of copied arrays, are read where they lie */

    /* Types whose values are right whatever their bits are, and types whose values point to what has to be copied. */
    PARAM_PLAIN = 1 << QURING_NULL | 1 << QURING_BOOL | 1 << QURING_INT2 | 1 << QURING_INT4 | 1 << QURING_INT8 |
                  1 << QURING_FLOAT4 | 1 << QURING_FLOAT8 | 1 << QURING_UUID | 1 << QURING_TIMESTAMP |
                  1 << QURING_TIMESTAMPTZ,
    PARAM_POINTING = 1 << QURING_NUMERIC | 1 << QURING_TEXT | 1 << QURING_BYTES | 1 << QURING_JSON | 1 << QURING_JSONB |
                     1 << QURING_INT4_ARRAY | 1 << QURING_INT8_ARRAY | 1 << QURING_TEXT_ARRAY | 1 << QURING_UUID_ARRAY
};

_Static_assert(_Alignof(quring_param) <= PARAM_ALIGN && _Alignof(int64_t) <= PARAM_ALIGN, "copies are aligned to 8");

/* One shift answers what is asked for every parameter of every query. */
static inline bool param_is_of(quring_type type, uint32_t types) {
    return types >> type & 1;
}

/*
 * Constructors cannot fail, and a caller may fill a quring_param by hand, so a query checks its parameters. False: it is
 * not well formed, as an unknown type, or a NULL pointer with a size.
 */
static inline bool value_param_valid(const quring_param *param) {
    if (base_unlikely(param->type >= QURING_OTHER))
        return false;
    if (base_likely(param_is_of(param->type, PARAM_PLAIN)))
        return true;
    /* This keeps PostgreSQL's i32 from wrapping, and value_print_date() within its calendar. */
    if (param->type == QURING_DATE)
        return param->value.integer >= INT32_MIN && param->value.integer <= INT32_MAX;
    bool is_array = param->type >= QURING_INT4_ARRAY;
    return param->value.bytes.data || (is_array ? param->count : param->value.bytes.size_bytes) == 0;
}

/* What copies may take. A limit of SIZE_MAX / 4 keeps all sums of sizes from overflowing. */
static inline uint64_t param_copies_limit(const struct buf *store) {
    return store->limit < SIZE_MAX / 4 ? store->limit : SIZE_MAX / 4;
}

/*
 * Reserves `total` bytes and copies, at their beginning, what points nowhere; buf_commit() is for the caller. Values are
 * copied member by member, as callers store them: a wider load of what was just stored in parts waits until the stores have
 * left the CPU's store buffer. NULL: out of memory, or past the store's limit.
 */
static inline quring_param *param_begin_copies(struct buf *store, const quring_param *params, uint32_t count,
                                               uint64_t total) {
    uint8_t *room = buf_reserve(store, (size_t)total + PARAM_ALIGN);
    if (!room)
        return NULL;
    quring_param *copies = (quring_param *)(void *)(room + (-(uintptr_t)room & (PARAM_ALIGN - 1)));
    for (uint32_t i = 0; i < count; i++) {
        copies[i].type = params[i].type;
        copies[i].count = 0;
        if (params[i].type == QURING_UUID)
            memcpy(copies[i].value.uuid, params[i].value.uuid, sizeof copies[i].value.uuid);
        else
            copies[i].value.integer = params[i].value.integer; /* or the bits of `real` */
    }
    return copies;
}

static inline void param_end_copies(struct buf *store, const void *end) {
    buf_commit(store, (size_t)((const uint8_t *)end - (store->data + store->end)));
}

/* As value_copy_params(), where one of them points to anything. */
const quring_param *param_copy_pointing(struct buf *store, const quring_param *params, uint32_t count);

/*
 * Copies parameters with all that they point to into `store`, and gives the array of copies, aligned, whose pointers
 * point into `store`; arrays of texts are flattened (see value_text_array_next()). NULL: out of memory, or past the
 * store's limit. The copies are valid until `store` changes.
 */
static inline const quring_param *value_copy_params(struct buf *store, const quring_param *params, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (param_is_of(params[i].type, PARAM_POINTING))
            return param_copy_pointing(store, params, count);
    uint64_t total = (uint64_t)count * sizeof *params;
    quring_param *copies =
        base_likely(total <= param_copies_limit(store)) ? param_begin_copies(store, params, count, total) : NULL;
    if (base_likely(copies != NULL))
        param_end_copies(store, copies + count);
    return copies;
}

#endif
