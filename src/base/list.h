/* SPDX-License-Identifier: MIT */
/* Intrusive doubly linked list. A node that is in no list points to itself, so removing it twice is harmless. */
#ifndef QURING_BASE_LIST_H
#define QURING_BASE_LIST_H

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define list_entry(node, type, member) base_container_of(node, type, member)

static inline void list_init(struct list *l) {
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l) {
    return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *node) {
    node->prev = at;
    node->next = at->next;
    at->next->prev = node;
    at->next = node;
}

/* A node that is pushed must be in no list. */
static inline void list_push_back(struct list *l, struct list *node) {
    struct list *last = l->prev;
    node->prev = last;
    node->next = l;
    last->next = node;
    l->prev = node;
}

static inline void list_push_front(struct list *l, struct list *node) {
    list_insert_after(l, node);
}

static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves a node behind the last, from the list that it is in, or from none. */
static inline void list_move_back(struct list *l, struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_push_back(l, node);
}

/* NULL when the list is empty. */
static inline struct list *list_first(const struct list *l) {
    return list_empty(l) ? NULL : l->next;
}

static inline struct list *list_pop_front(struct list *l) {
    struct list *node = l->next;
    if (node == l)
        return NULL;
    list_remove(node);
    return node;
}

/* Moves all of `from` behind the last node of `to`. */
static inline void list_append_all(struct list *to, struct list *from) {
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_for_each(node, l) for (struct list *node = (l)->next; node != (l); node = node->next)

/* The body may remove `node`. */
#define list_for_each_safe(node, l)                                                                                    \
    for (struct list *node = (l)->next, *node##_next = node->next; node != (l);                                        \
         node = node##_next, node##_next = node->next)

#endif
