/* SPDX-License-Identifier: MIT */
#include "core/columns.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static struct columns *made(uint32_t count, const char *const *names, uint32_t oid) {
    struct columns *columns = columns_new(count, 100);
    char *at = columns->names;
    for (uint32_t i = 0; i < count; i++) {
        columns->column[i] = (struct column){.name = at, .oid = oid + i, .modifier = -1, .type = QURING_INT4};
        at = stpcpy(at, names[i]) + 1;
    }
    return columns;
}

Test(columns, are_empty_at_first) {
    struct columns *columns = columns_new(3, 10);
    cr_assert_eq(columns->count, 3);
    for (int i = 0; i < 3; i++) {
        cr_assert_str_eq(columns->column[i].name, "");
        cr_assert_eq(columns->column[i].oid, 0);
        cr_assert_eq(columns->column[i].type, QURING_NULL);
    }
    memset(columns->names, 'x', 10); /* all of it is there */
    columns_drop(columns);
}

Test(columns, may_be_none) {
    struct columns *columns = columns_new(0, 0);
    cr_assert_not_null(columns);
    cr_assert_eq(columns->count, 0);
    columns_drop(columns);
    columns_drop(NULL);
}

Test(columns, too_large_names_are_refused) {
    cr_assert_null(columns_new(1, SIZE_MAX));
    cr_assert_null(columns_new(UINT32_MAX, SIZE_MAX - 100));
}

Test(columns, equality) {
    static const char *const ab[] = {"a", "b"}, *const ac[] = {"a", "c"};
    struct columns *x = made(2, ab, 23), *same = made(2, ab, 23), *fewer = made(1, ab, 23);
    struct columns *other_oid = made(2, ab, 25), *other_name = made(2, ac, 23), *other_type = made(2, ab, 23);
    other_type->column[1].type = QURING_INT8;
    cr_assert(columns_equal(x, x));
    cr_assert(columns_equal(x, same));
    cr_assert_not(columns_equal(x, fewer));
    cr_assert_not(columns_equal(fewer, x));
    cr_assert_not(columns_equal(x, other_oid));
    cr_assert_not(columns_equal(x, other_name));
    cr_assert_not(columns_equal(x, other_type));
    columns_drop(x), columns_drop(same), columns_drop(fewer);
    columns_drop(other_oid), columns_drop(other_name), columns_drop(other_type);
}

static void *hold_and_drop(void *columns) {
    for (int i = 0; i < 20000; i++)
        columns_drop(columns_hold(columns));
    columns_drop(columns);
    return NULL;
}

Test(columns, are_counted_across_threads) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct columns *columns = columns_new(1, 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, hold_and_drop, columns_hold(columns)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&columns->references), 1);
    columns_drop(columns);
}
