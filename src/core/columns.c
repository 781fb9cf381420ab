/* SPDX-License-Identifier: MIT */
#include "core/columns.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

struct columns *columns_new(uint32_t count, size_t names_bytes) {
    size_t fixed = sizeof(struct columns) + (size_t)count * sizeof(struct column);
    if (names_bytes > SIZE_MAX - fixed)
        return NULL;
    struct columns *columns = calloc(1, fixed + names_bytes);
    if (!columns)
        return NULL;
    atomic_init(&columns->references, 1);
    columns->count = count;
    columns->bytes = fixed + names_bytes;
    columns->names = (char *)columns + fixed;
    for (uint32_t i = 0; i < count; i++)
        columns->column[i].name = "";
    return columns;
}

/* Relaxed, since whoever adds a reference holds one, and nothing is read or written by virtue of the new one alone. */
struct columns *columns_hold(struct columns *columns) {
    unsigned before = atomic_fetch_add_explicit(&columns->references, 1, memory_order_relaxed);
    PRE(before > 0);
    return columns;
}

void columns_drop(struct columns *columns) {
    if (!columns)
        return;
    /* Acquire and release: the thread that frees sees all that others did with the columns before they dropped them. */
    unsigned before = atomic_fetch_sub_explicit(&columns->references, 1, memory_order_acq_rel);
    PRE(before > 0);
    if (before == 1)
        free(columns);
}

bool columns_equal(const struct columns *a, const struct columns *b) {
    if (a == b)
        return true;
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct column *x = &a->column[i], *y = &b->column[i];
        if (x->oid != y->oid || x->type != y->type || strcmp(x->name, y->name) != 0)
            return false;
    }
    return true;
}
