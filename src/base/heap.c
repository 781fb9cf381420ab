/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "base/assert.h"

#include <stdlib.h>

void heap_free(struct heap *h) {
    free(h->nodes);
    *h = (struct heap){0};
}

bool heap_reserve(struct heap *h, size_t capacity) {
    if (capacity <= h->capacity)
        return true;
    if (capacity > SIZE_MAX / sizeof *h->nodes)
        return false;
    struct heap_node **nodes = realloc(h->nodes, capacity * sizeof *nodes);
    if (!nodes)
        return false;
    h->nodes = nodes;
    h->capacity = capacity;
    return true;
}

static void heap_place(struct heap *h, size_t at, struct heap_node *node) {
    h->nodes[at] = node;
    node->index = at + 1;
}

/* Sifting moves a hole and places the node once at its end: half the stores of swapping. */
static void heap_sift_up(struct heap *h, size_t at, struct heap_node *node) {
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (h->nodes[parent]->key <= node->key)
            break;
        heap_place(h, at, h->nodes[parent]);
        at = parent;
    }
    heap_place(h, at, node);
}

static void heap_sift_down(struct heap *h, size_t at, struct heap_node *node) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (node->key <= h->nodes[child]->key)
            break;
        heap_place(h, at, h->nodes[child]);
        at = child;
    }
    heap_place(h, at, node);
}

bool heap_push(struct heap *h, struct heap_node *node, uint64_t key) {
    PRE(!heap_contains(node));
    if (h->count == h->capacity && !heap_reserve(h, h->capacity ? 2 * h->capacity : 16))
        return false;
    node->key = key;
    heap_sift_up(h, h->count++, node);
    return true;
}

void heap_remove(struct heap *h, struct heap_node *node) {
    if (!heap_contains(node))
        return;
    size_t at = node->index - 1;
    PRE(at < h->count && h->nodes[at] == node);
    node->index = 0;
    struct heap_node *last = h->nodes[--h->count];
    if (last == node)
        return;
    /* The last node may come from another branch, and then belong above the gap. */
    if (at > 0 && last->key < h->nodes[(at - 1) / 2]->key)
        heap_sift_up(h, at, last);
    else
        heap_sift_down(h, at, last);
}
