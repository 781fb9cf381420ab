/* SPDX-License-Identifier: MIT */
/* Intrusive binary min-heap of deadlines: the embedder keeps the node, the heap an array of pointers to nodes. */
#ifndef QURING_BASE_HEAP_H
#define QURING_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    size_t index; /* position + 1; 0 while in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t capacity;
};

/* Frees the array; the nodes are the embedder's. */
void heap_free(struct heap *h);

/* Makes room for `capacity` nodes, so that later pushes up to that number can't fail. */
bool heap_reserve(struct heap *h, size_t capacity);

/* False when memory ran out. The node must not be in a heap. */
bool heap_push(struct heap *h, struct heap_node *node, uint64_t key);

/* Harmless for a node that is in no heap. */
void heap_remove(struct heap *h, struct heap_node *node);

/* The node with the smallest key, or NULL. */
static inline struct heap_node *heap_first(const struct heap *h) {
    return h->count ? h->nodes[0] : NULL;
}

static inline bool heap_contains(const struct heap_node *node) {
    return node->index != 0;
}

#endif
