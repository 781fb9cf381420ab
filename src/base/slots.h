/* SPDX-License-Identifier: MIT */
/*
 * A fixed table of objects that are named by tokens instead of pointers. A token is a generation and an index: once the
 * object is given back, its old tokens name nothing. Freed slots are reused last in, first out, so a warm program keeps
 * touching the same memory.
 *
 *      token   63                  32 31                    0
 *              | generation (>= 1)   | index                |
 */
#ifndef QURING_BASE_SLOTS_H
#define QURING_BASE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slots {
    uint8_t *objects;
    uint32_t *generations; /* odd while taken, even while free */
    uint32_t *free_stack;  /* stack of free indexes */
    uint32_t free_count;
    uint32_t count;
    size_t object_bytes;
};

/* Zeroed objects of `object_bytes` each, 64-byte aligned. False when memory ran out. */
bool slots_init(struct slots *s, uint32_t count, size_t object_bytes);
void slots_free(struct slots *s);

/* Takes a slot; NULL when all are taken. The object keeps what its last owner left in it. */
void *slots_take(struct slots *s, uint64_t *token);

/* Gives the object of a live token back. */
void slots_give(struct slots *s, uint64_t token);

/* The object that the token names, or NULL when the token is stale or was never given out. */
static inline void *slots_get(const struct slots *s, uint64_t token) {
    uint32_t index = (uint32_t)token;
    uint32_t generation = (uint32_t)(token >> 32);
    if (index >= s->count || (generation & 1) == 0 || s->generations[index] != generation)
        return NULL;
    return s->objects + index * s->object_bytes;
}

/* The object at an index, taken or not: for set-up and teardown of all of them. */
static inline void *slots_at(const struct slots *s, uint32_t index) {
    return s->objects + index * s->object_bytes;
}

static inline uint32_t slots_taken(const struct slots *s) {
    return s->count - s->free_count;
}

#endif
