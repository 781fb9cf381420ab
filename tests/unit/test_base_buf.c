/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

static void assert_holds(const struct buf *b, const void *bytes, size_t size) {
    cr_assert_not(buf_failed(b));
    cr_assert_eq(buf_size(b), size);
    cr_assert(size == 0 || memcmp(buf_head(b), bytes, size) == 0);
}

Test(buf, integers_are_big_endian) {
    struct buf b;
    buf_init(&b, 1000);
    buf_put_u8(&b, 0x01);
    buf_put_u16(&b, 0x0203);
    buf_put_u32(&b, 0x04050607);
    buf_put_u64(&b, 0x08090a0b0c0d0e0fu);
    assert_holds(&b, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 15);
    buf_free(&b);
    cr_assert_eq(b.limit, 1000);
    cr_assert_null(b.data);
}

Test(buf, nothing_can_be_put_into_nothing) {
    struct buf b;
    buf_init(&b, 10);
    buf_put(&b, NULL, 0);
    assert_holds(&b, "", 0);
    cr_assert_null(buf_head(&b));
    buf_consume(&b, 0);
    buf_truncate(&b, buf_mark(&b));
    buf_shrink(&b, 0);
    buf_reset(&b, 0);
    assert_holds(&b, "", 0);
    cr_assert_eq(b.capacity, 0);
    buf_free(&b);
}

Test(buf, limit_is_reached_exactly_and_never_passed) {
    static const size_t limits[] = {1, 255, 256, 257, 1000, 70000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct buf b;
        buf_init(&b, limits[i]);
        for (size_t n = 0; n < limits[i]; n++) {
            buf_put_u8(&b, (uint8_t)n);
            cr_assert_not(buf_failed(&b), "byte %zu of %zu", n, limits[i]);
            cr_assert_leq(b.capacity, limits[i]);
        }
        buf_put_u8(&b, 0);
        cr_assert(buf_failed(&b));
        cr_assert_eq(buf_size(&b), limits[i]);
        cr_assert_leq(b.capacity, limits[i]);
        buf_free(&b);
    }
}

Test(buf, failure_stays_until_truncated) {
    struct buf b;
    buf_init(&b, 8);
    buf_put(&b, "abc", 3);
    size_t mark = buf_mark(&b);
    buf_put(&b, "def", 3);
    buf_put(&b, "too long", 8);
    cr_assert(buf_failed(&b));
    buf_put_u8(&b, 'x');
    buf_put_u16(&b, 1);
    buf_put_u32(&b, 1);
    buf_put_u64(&b, 1);
    buf_printf(&b, "x");
    cr_assert_null(buf_reserve(&b, 1));
    cr_assert_null(buf_extend(&b, 0));
    cr_assert_not(buf_grow(&b, 1));
    cr_assert_eq(buf_size(&b), 6);
    buf_truncate(&b, mark);
    assert_holds(&b, "abc", 3);
    buf_put(&b, "gh", 2);
    assert_holds(&b, "abcgh", 5);
    buf_fail(&b);
    cr_assert(buf_failed(&b));
    buf_reset(&b, 100);
    assert_holds(&b, "", 0);
    buf_free(&b);
}

Test(buf, a_mark_survives_consuming_and_growing) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put(&b, "sent, kept, ", 12);
    buf_consume(&b, 6);
    size_t mark = buf_mark(&b);
    static const char many[3000] = {'m'};
    buf_put(&b, many, sizeof many);
    cr_assert_eq(b.start, 0, "growing moves what is readable to the front");
    buf_truncate(&b, mark);
    assert_holds(&b, "kept, ", 6);
    buf_free(&b);
}

Test(buf, room_before_the_start_is_used_before_more_is_asked_for) {
    struct buf b;
    buf_init(&b, 300);
    static const uint8_t bytes[300] = {1, 2, 3};
    buf_put(&b, bytes, 300);
    buf_consume(&b, 100);
    buf_put(&b, bytes, 100);
    cr_assert_not(buf_failed(&b));
    cr_assert_eq(buf_size(&b), 300);
    cr_assert_eq(memcmp(buf_head(&b) + 200, bytes, 100), 0);
    buf_free(&b);
}

Test(buf, memory_that_cannot_be_had_is_a_failure) {
    struct buf b;
    buf_init(&b, SIZE_MAX);
    buf_put(&b, "abc", 3);
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX / 2 + 1, SIZE_MAX / 3 * 2};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert_null(buf_reserve(&b, sizes[i]));
        cr_assert(buf_failed(&b));
        cr_assert_eq(b.no_memory, sizes[i] <= SIZE_MAX - 3, "no size over the limit is one of memory");
        buf_truncate(&b, 3);
        assert_holds(&b, "abc", 3);
    }
    buf_free(&b);
}

Test(buf, reset_and_shrink_give_memory_back) {
    struct buf b;
    static const uint8_t bytes[10000] = {7};
    buf_init(&b, 1 << 20);
    buf_put(&b, bytes, sizeof bytes);
    buf_consume(&b, 9000);
    buf_shrink(&b, 100000);
    cr_assert_geq(b.capacity, sizeof bytes, "there was less than may be kept");
    buf_shrink(&b, 10);
    cr_assert_eq(b.capacity, 1000);
    assert_holds(&b, bytes + 9000, 1000);
    buf_reset(&b, 600);
    cr_assert_eq(b.capacity, 1000, "of less than twice that nothing is given back");
    buf_reset(&b, 500);
    cr_assert_eq(b.capacity, 0, "and of more all");
    buf_put(&b, "small", 5);
    buf_reset(&b, 0);
    cr_assert_eq(b.capacity, 0);
    cr_assert_null(b.data);
    buf_put(&b, "again", 5);
    assert_holds(&b, "again", 5);
    buf_free(&b);
}

Test(buf, printf_appends_without_nul) {
    struct buf b;
    buf_init(&b, 1000);
    buf_printf(&b, "%s %d", "select", 1);
    buf_printf(&b, "%s", "");
    buf_printf(&b, ";");
    assert_holds(&b, "select 1;", 9);
    buf_printf(&b, "%*d", 2000, 1);
    cr_assert(buf_failed(&b));
    buf_free(&b);
}

Test(buf, more_than_there_is_cannot_be_consumed, .signal = SIGABRT) {
    struct buf b;
    buf_init(&b, 10);
    buf_put(&b, "abc", 3);
    buf_consume(&b, 4);
}

Test(buf, more_than_was_reserved_cannot_be_committed, .signal = SIGABRT) {
    struct buf b;
    buf_init(&b, 300);
    cr_assert_not_null(buf_reserve(&b, 256));
    buf_commit(&b, 301);
}

enum { MODEL_MAX = 4000 };

struct model {
    uint8_t bytes[MODEL_MAX];
    size_t size;
};

static void step(struct buf *b, struct model *m, struct rng *rng) {
    uint8_t chunk[300];
    size_t size = rng_below(rng, sizeof chunk);
    switch (rng_below(rng, 8)) {
    case 0:
        size = rng_below(rng, m->size + 1);
        buf_consume(b, size);
        memmove(m->bytes, m->bytes + size, m->size - size);
        m->size -= size;
        break;
    case 1:
        m->size = rng_below(rng, m->size + 1);
        buf_truncate(b, m->size);
        break;
    case 2:
        buf_shrink(b, size);
        break;
    default:
        for (size_t i = 0; i < size; i++)
            chunk[i] = (uint8_t)rng_next(rng);
        buf_put(b, chunk, size);
        cr_assert_eq(buf_failed(b), m->size + size > MODEL_MAX);
        if (buf_failed(b)) {
            buf_truncate(b, m->size);
            break;
        }
        memcpy(m->bytes + m->size, chunk, size);
        m->size += size;
        break;
    }
}

Test(buf, agrees_with_a_plain_array) {
    struct rng rng = {2};
    struct buf b;
    static struct model m;
    buf_init(&b, MODEL_MAX);
    for (int i = 0; i < 50000; i++) {
        step(&b, &m, &rng);
        assert_holds(&b, m.bytes, m.size);
        cr_assert(b.start <= b.end && b.end <= b.capacity && b.capacity <= MODEL_MAX);
    }
    buf_free(&b);
}
