/* SPDX-License-Identifier: MIT */
#include "base/list.h"

#include <criterion/criterion.h>

struct item {
    int number;
    struct list link;
};

enum { ITEMS = 6 };
static struct item items[ITEMS];
static struct list list;

static void setup(void) {
    list_init(&list);
    for (int i = 0; i < ITEMS; i++) {
        items[i].number = i;
        list_init(&items[i].link);
    }
}

TestSuite(list, .init = setup);

/* Both directions must tell the same. */
static void assert_order(const struct list *l, const char *numbers) {
    size_t count = strlen(numbers), at = 0;
    list_for_each(node, l)
        cr_assert(at < count && list_entry(node, struct item, link)->number == numbers[at++] - '0', "%s", numbers);
    cr_assert_eq(at, count);
    for (struct list *node = l->prev; node != l; node = node->prev)
        cr_assert_eq(list_entry(node, struct item, link)->number, numbers[--at] - '0');
    cr_assert_eq(at, 0);
    cr_assert_eq(list_empty(l), count == 0);
}

Test(list, keeps_the_order_of_pushes) {
    assert_order(&list, "");
    cr_assert_null(list_first(&list));
    list_push_back(&list, &items[1].link);
    list_push_back(&list, &items[2].link);
    list_push_front(&list, &items[0].link);
    list_insert_after(&items[1].link, &items[5].link);
    assert_order(&list, "0152");
    cr_assert_eq(list_first(&list), &items[0].link);
}

Test(list, a_node_in_no_list_can_be_removed_again) {
    list_remove(&items[3].link);
    cr_assert(list_empty(&items[3].link));
    for (int i = 0; i < 3; i++)
        list_push_back(&list, &items[i].link);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    cr_assert(list_empty(&items[1].link));
    assert_order(&list, "02");
    list_remove(&items[0].link);
    list_remove(&items[2].link);
    assert_order(&list, "");
}

Test(list, pops_in_order_until_empty) {
    for (int i = 0; i < 3; i++)
        list_push_back(&list, &items[i].link);
    for (int i = 0; i < 3; i++) {
        struct list *node = list_pop_front(&list);
        cr_assert_eq(node, &items[i].link);
        cr_assert(list_empty(node), "what was popped is in no list");
    }
    cr_assert_null(list_pop_front(&list));
}

Test(list, a_node_moves_behind_the_last_wherever_it_is) {
    struct list other;
    list_init(&other);
    for (int i = 0; i < 3; i++)
        list_push_back(&other, &items[i].link);
    list_move_back(&list, &items[3].link);
    list_move_back(&list, &items[1].link);
    assert_order(&list, "31");
    assert_order(&other, "02");
    list_move_back(&list, &items[3].link);
    list_move_back(&list, &items[3].link);
    assert_order(&list, "13");
}

Test(list, appends_another_and_leaves_it_empty) {
    struct list other;
    list_init(&other);
    list_append_all(&list, &other);
    assert_order(&list, "");
    list_push_back(&other, &items[0].link);
    list_push_back(&other, &items[1].link);
    list_append_all(&list, &other);
    assert_order(&list, "01");
    assert_order(&other, "");
    list_push_back(&other, &items[2].link);
    list_append_all(&list, &other);
    list_append_all(&list, &other);
    assert_order(&list, "012");
    assert_order(&other, "");
}

Test(list, the_safe_walk_may_remove_and_move_its_node) {
    struct list odd;
    list_init(&odd);
    for (int i = 0; i < ITEMS; i++)
        list_push_back(&list, &items[i].link);
    list_for_each_safe(node, &list) {
        if (list_entry(node, struct item, link)->number % 2) {
            list_remove(node);
            list_push_back(&odd, node);
        }
    }
    assert_order(&list, "024");
    assert_order(&odd, "135");
}
