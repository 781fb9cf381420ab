/* SPDX-License-Identifier: MIT */
#include "base/cursor.h"

#include "base/rng.h"
#include "lib/guard.h"

#include <criterion/criterion.h>

static const uint8_t digits[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x80, 0xff, 0xff, 0xff, 0xfe};

Test(cursor, integers_are_big_endian_and_in_order) {
    struct cursor c = cursor_over(digits, sizeof digits);
    cr_assert_eq(cursor_u8(&c), 0x01);
    cr_assert_eq(cursor_u16(&c), 0x0203);
    cr_assert_eq(cursor_u32(&c), 0x04050607u);
    cr_assert_eq(cursor_left(&c), 5);
    cr_assert_not(cursor_done(&c));
    cr_assert_eq(cursor_u8(&c), 0x80);
    cr_assert_eq(cursor_i32(&c), -2);
    cr_assert(cursor_done(&c));
}

Test(cursor, what_is_not_there_fails_for_good_and_consumes_nothing) {
    struct guard guard;
    guard_open(&guard, 16);
    for (size_t size = 0; size < 4; size++) {
        struct cursor c = cursor_over(guard_place(&guard, digits, size), size);
        cr_assert_eq(cursor_u32(&c), 0);
        cr_assert(c.failed);
        cr_assert_eq(cursor_left(&c), size);
        cr_assert_eq(cursor_u8(&c), 0, "a failed cursor gives nothing, even where there is something");
        cr_assert_eq(cursor_u16(&c), 0);
        cr_assert_null(cursor_take(&c, 0));
        cr_assert_str_eq(cursor_string(&c, NULL), "");
        cr_assert_eq(cursor_left(&c), size);
        cr_assert_not(cursor_done(&c));
    }
    guard_close(&guard);
}

Test(cursor, a_failed_cursor_gives_no_string_that_is_there) {
    struct cursor c = cursor_over("ab\0", 3);
    cr_assert_eq(cursor_u32(&c), 0);
    cr_assert_str_eq(cursor_string(&c, NULL), "");
    cr_assert_eq(cursor_left(&c), 3);
}

Test(cursor, huge_sizes_do_not_wrap) {
    static const size_t sizes[] = {13, 0x7fffffff, 0x80000000u, 0xffffffffu, SIZE_MAX / 2, SIZE_MAX - 11, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct cursor c = cursor_over(digits, sizeof digits);
        cr_assert_null(cursor_take(&c, sizes[i]), "%zu", sizes[i]);
        cr_assert(c.failed);
        cr_assert_eq(c.at, digits);
    }
}

Test(cursor, take_up_to_the_last_byte) {
    struct cursor c = cursor_over(digits, sizeof digits);
    cr_assert_eq(cursor_take(&c, sizeof digits), digits);
    cr_assert(cursor_done(&c));
    cr_assert_eq(cursor_take(&c, 0), digits + sizeof digits, "nothing is there at the end too");
    cr_assert(cursor_done(&c));
    cr_assert_null(cursor_take(&c, 1));
}

Test(cursor, no_input_is_an_input) {
    struct cursor c = cursor_over(NULL, 0);
    cr_assert_eq(cursor_left(&c), 0);
    cr_assert(cursor_done(&c));
    size_t length = 9;
    cr_assert_str_eq(cursor_string(&c, &length), "");
    cr_assert_eq(length, 0);
    cr_assert(c.failed);
}

Test(cursor, strings_end_at_their_nul) {
    struct guard guard;
    guard_open(&guard, 16);
    const uint8_t *at = guard_place(&guard, "ab\0\0c", 5); /* the last one has no NUL within the input */
    struct cursor c = cursor_over(at, 5);
    size_t length;
    cr_assert_eq(cursor_string(&c, &length), (const char *)at);
    cr_assert_eq(length, 2);
    cr_assert_str_eq(cursor_string(&c, &length), "");
    cr_assert_eq(length, 0);
    cr_assert_not(c.failed);
    cr_assert_str_eq(cursor_string(&c, &length), "");
    cr_assert_eq(length, 0);
    cr_assert(c.failed);
    cr_assert_eq(cursor_left(&c), 1);
    guard_close(&guard);
}

/* The same reads by index, without any cleverness. */
struct slow {
    const uint8_t *bytes;
    size_t size, at;
    bool failed;
};

static uint32_t slow_integer(struct slow *s, size_t width) {
    uint32_t value = 0;
    if (s->failed || s->size - s->at < width) {
        s->failed = true;
        return 0;
    }
    for (size_t i = 0; i < width; i++)
        value = value << 8 | s->bytes[s->at++];
    return value;
}

Test(cursor, agrees_with_reading_by_index) {
    struct rng rng = {1};
    struct guard guard;
    uint8_t bytes[24];
    guard_open(&guard, sizeof bytes);
    for (int round = 0; round < 20000; round++) {
        size_t size = rng_below(&rng, sizeof bytes + 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)rng_next(&rng);
        struct slow s = {.bytes = bytes, .size = size};
        struct cursor c = cursor_over(guard_place(&guard, bytes, size), size);
        for (int step = 0; step < 10; step++) {
            size_t width = (size_t)1 << rng_below(&rng, 3);
            uint32_t got = width == 1 ? cursor_u8(&c) : width == 2 ? cursor_u16(&c) : cursor_u32(&c);
            cr_assert_eq(got, slow_integer(&s, width));
            cr_assert_eq(c.failed, s.failed);
            cr_assert_eq(cursor_left(&c), s.size - s.at);
            cr_assert_eq(cursor_done(&c), !s.failed && s.at == s.size);
        }
    }
    guard_close(&guard);
}
