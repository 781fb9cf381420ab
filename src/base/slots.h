/* SPDX-License-Identifier: MIT */
/*
 * A fixed table of objects that are named by tokens instead of pointers. A token is a generation and an index: once the
 * object is given back, its old tokens name nothing. Freed slots are reused last in, first out, so a warm program keeps
 * touching the same memory.
 *
 *      token   token_bits - 1       index_bits            0
 *              | generation (odd)   | index                |
 *
 * The index has as many bits as the table needs, the generation all others, so that a token comes again only after years:
 * with 64 bits and 4096 slots after 2^51 uses of one slot, with 1048576 slots after 2^43.
 */
#ifndef QURING_BASE_SLOTS_H
#define QURING_BASE_SLOTS_H

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slots {
    uint8_t *objects;
    uint64_t *tokens;     /* by index; the generation is odd while the slot is taken, even while it is free */
    uint64_t step;        /* from one generation to the next: a token's bits below it are the index */
    uint64_t token_mask;  /* the bits that a token may have */
    uint32_t *free_stack; /* stack of free indexes */
    uint32_t free_count;
    uint32_t count;
    size_t object_bytes;
};

/* Zeroed objects of `object_bytes` each, 64-byte aligned; tokens below 2^token_bits. False when memory ran out. */
bool slots_init(struct slots *s, uint32_t count, size_t object_bytes, uint32_t token_bits);

/* Frees the table; also after a slots_init() that failed. */
void slots_free(struct slots *s);

/* The index in a token, which may be stale or no token at all. */
static inline uint64_t slots_index(const struct slots *s, uint64_t token) {
    return token & (s->step - 1);
}

/* False when the token is stale or was never given out. */
static inline bool slots_has(const struct slots *s, uint64_t token) {
    uint64_t index = slots_index(s, token);
    return index < s->count && s->tokens[index] == token && (token & s->step);
}

/* The object that the token names; NULL: it names none. */
static inline void *slots_get(const struct slots *s, uint64_t token) {
    return slots_has(s, token) ? s->objects + slots_index(s, token) * s->object_bytes : NULL;
}

/* The object at an index, taken or not: for set-up and teardown of all of them. */
static inline void *slots_at(const struct slots *s, uint32_t index) {
    return s->objects + index * s->object_bytes;
}

/* Takes a slot; NULL when all are taken. The object keeps what its last owner left in it. */
static inline void *slots_take(struct slots *s, uint64_t *token) {
    if (s->free_count == 0)
        return NULL;
    uint32_t index = s->free_stack[--s->free_count];
    *token = s->tokens[index] += s->step;
    return slots_at(s, index);
}

/* Gives the object of a live token back. */
static inline void slots_give(struct slots *s, uint64_t token) {
    PRE(slots_has(s, token));
    uint64_t index = slots_index(s, token);
    s->tokens[index] = (token + s->step) & s->token_mask;
    s->free_stack[s->free_count++] = (uint32_t)index;
}

/* The number of slots that are taken. */
static inline uint32_t slots_taken(const struct slots *s) {
    return s->count - s->free_count;
}

#endif
