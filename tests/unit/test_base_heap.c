/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <signal.h>

enum { NODES = 200 };

static struct heap heap;
static struct heap_node nodes[NODES];

/* Every node is where it says, and none is smaller than its parent. */
static void assert_sound(void) {
    for (size_t i = 0; i < heap.count; i++) {
        cr_assert_eq(heap.nodes[i]->index, i + 1);
        cr_assert(i == 0 || heap.nodes[(i - 1) / 2]->key <= heap.nodes[i]->key);
    }
}

Test(heap, gives_keys_in_order) {
    struct rng rng = {3};
    for (int i = 0; i < NODES; i++)
        cr_assert(heap_push(&heap, &nodes[i], rng_below(&rng, 50))); /* many are equal */
    assert_sound();
    uint64_t last = 0;
    for (size_t left = NODES; left > 0; left--) {
        struct heap_node *first = heap_first(&heap);
        cr_assert_eq(heap.count, left);
        cr_assert_geq(first->key, last);
        last = first->key;
        heap_remove(&heap, first);
        cr_assert_not(heap_contains(first));
    }
    cr_assert_null(heap_first(&heap));
    heap_free(&heap);
}

Test(heap, agrees_with_a_linear_search) {
    struct rng rng = {4};
    for (int round = 0; round < 20000; round++) {
        struct heap_node *node = &nodes[rng_below(&rng, NODES)];
        if (heap_contains(node))
            heap_remove(&heap, node);
        else
            cr_assert(heap_push(&heap, node, rng_next(&rng) >> rng_below(&rng, 64)));
        uint64_t least = UINT64_MAX;
        size_t count = 0;
        for (int i = 0; i < NODES; i++) {
            if (heap_contains(&nodes[i])) {
                least = nodes[i].key < least ? nodes[i].key : least;
                count++;
            }
        }
        cr_assert_eq(heap.count, count);
        cr_assert(count ? heap_first(&heap)->key == least : heap_first(&heap) == NULL);
        if (round % 100 == 0)
            assert_sound();
    }
    heap_free(&heap);
}

Test(heap, a_node_in_no_heap_can_be_removed) {
    heap_remove(&heap, &nodes[0]);
    cr_assert(heap_push(&heap, &nodes[0], UINT64_MAX));
    cr_assert(heap_push(&heap, &nodes[1], 0));
    heap_remove(&heap, &nodes[0]);
    heap_remove(&heap, &nodes[0]);
    cr_assert_eq(heap.count, 1);
    cr_assert_eq(heap_first(&heap), &nodes[1]);
    heap_free(&heap);
}

Test(heap, what_was_reserved_is_not_allocated_again) {
    cr_assert(heap_reserve(&heap, NODES));
    struct heap_node **memory = heap.nodes;
    for (int i = 0; i < NODES; i++)
        cr_assert(heap_push(&heap, &nodes[i], (uint64_t)(NODES - i)));
    cr_assert_eq(heap.nodes, memory);
    cr_assert(heap_reserve(&heap, 1));
    cr_assert_eq(heap.nodes, memory);
    assert_sound();
    heap_free(&heap);
    cr_assert_eq(heap.count, 0);
}

Test(heap, memory_that_cannot_be_had_is_a_failure) {
    cr_assert(heap_push(&heap, &nodes[0], 1));
    cr_assert_not(heap_reserve(&heap, SIZE_MAX));
    cr_assert_not(heap_reserve(&heap, SIZE_MAX / sizeof(void *) + 1));
    cr_assert_not(heap_reserve(&heap, SIZE_MAX / 64));
    cr_assert_eq(heap_first(&heap), &nodes[0]);
    heap_free(&heap);
}

Test(heap, a_node_is_in_one_heap_once, .signal = SIGABRT) {
    heap_push(&heap, &nodes[0], 1);
    heap_push(&heap, &nodes[0], 2);
}
