/* SPDX-License-Identifier: MIT */
#include "base/slots.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

bool slots_init(struct slots *s, uint32_t count, size_t object_bytes, uint32_t token_bits) {
    /* Whole cache lines, so that no two objects share one; aligned_alloc() wants a multiple of 64, too. */
    *s = (struct slots){.object_bytes = (object_bytes + 63) & ~(size_t)63, .count = count};
    for (s->step = 1; s->step < count;)
        s->step *= 2;
    PRE(token_bits <= 64);
    s->token_mask = UINT64_MAX >> (64 - token_bits);
    PRE(s->token_mask / s->step >= UINT32_MAX); /* fewer generations would come again too soon */
    s->objects = aligned_alloc(64, s->object_bytes * count);
    s->tokens = calloc(count, sizeof *s->tokens);
    s->free_stack = calloc(count, sizeof *s->free_stack);
    if (!s->objects || !s->tokens || !s->free_stack) {
        slots_free(s);
        return false;
    }
    memset(s->objects, 0, s->object_bytes * count);
    /* The lowest index is on top, so that a program with few queries stays within few pages. */
    for (uint32_t i = 0; i < count; i++) {
        s->tokens[i] = i;
        s->free_stack[i] = count - 1 - i;
    }
    s->free_count = count;
    return true;
}

void slots_free(struct slots *s) {
    free(s->objects);
    free(s->tokens);
    free(s->free_stack);
    *s = (struct slots){0};
}
