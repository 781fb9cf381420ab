/* SPDX-License-Identifier: MIT */
#include "base/slots.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

bool slots_init(struct slots *s, uint32_t count, size_t object_bytes, uint32_t token_bits) {
    *s = (struct slots){.object_bytes = (object_bytes + 63) & ~(size_t)63, .count = count};
    while ((uint64_t)1 << s->index_bits < count)
        s->index_bits++;
    PRE(token_bits <= 64 && token_bits >= s->index_bits + 32);
    s->generation_mask = UINT64_MAX >> (64 - token_bits + s->index_bits);
    s->objects = aligned_alloc(64, s->object_bytes * count);
    s->generations = calloc(count, sizeof *s->generations);
    s->free_stack = calloc(count, sizeof *s->free_stack);
    if (!s->objects || !s->generations || !s->free_stack) {
        slots_free(s);
        return false;
    }
    memset(s->objects, 0, s->object_bytes * count);
    for (uint32_t i = 0; i < count; i++)
        s->free_stack[i] = count - 1 - i;
    s->free_count = count;
    return true;
}

void slots_free(struct slots *s) {
    free(s->objects);
    free(s->generations);
    free(s->free_stack);
    *s = (struct slots){0};
}

void *slots_take(struct slots *s, uint64_t *token) {
    if (s->free_count == 0)
        return NULL;
    uint32_t index = s->free_stack[--s->free_count];
    uint64_t generation = ++s->generations[index];
    *token = generation << s->index_bits | index;
    return slots_at(s, index);
}

void slots_give(struct slots *s, uint64_t token) {
    PRE(slots_get(s, token) != NULL);
    uint32_t index = slots_index(s, token);
    s->generations[index] = (s->generations[index] + 1) & s->generation_mask;
    s->free_stack[s->free_count++] = index;
}
