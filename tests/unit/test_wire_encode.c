/* SPDX-License-Identifier: MIT */
#include "wire/encode.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

static struct buf out;

static void setup(void) {
    buf_init(&out, 1 << 20);
}

static void teardown(void) {
    buf_free(&out);
}

TestSuite(encode, .init = setup, .fini = teardown);

/* Literals end with a NUL that is not part of them. */
#define assert_bytes(literal)                                                                                          \
    do {                                                                                                               \
        cr_assert_not(buf_failed(&out));                                                                               \
        cr_assert_eq(buf_size(&out), sizeof(literal) - 1, "%zu bytes", buf_size(&out));                                \
        cr_assert_eq(memcmp(buf_head(&out), literal, sizeof(literal) - 1), 0);                                         \
    } while (0)

Test(encode, parse) {
    wire_put_parse(&out, "s1", "select $1 -- tail", 9);
    assert_bytes("P\0\0\0\x13s1\0select $1\0\0\0");
}

Test(encode, parse_of_nothing_unnamed) {
    wire_put_parse(&out, "", NULL, 0);
    assert_bytes("P\0\0\0\x08\0\0\0\0");
}

Test(encode, messages_with_a_name) {
    wire_put_describe_statement(&out, "q7");
    wire_put_close_statement(&out, "q7");
    wire_put_describe_statement(&out, "");
    assert_bytes("D\0\0\0\x08Sq7\0"
                 "C\0\0\0\x08Sq7\0"
                 "D\0\0\0\x06S\0");
}

Test(encode, messages_that_are_always_the_same) {
    wire_put_execute(&out);
    wire_put_sync(&out);
    wire_put_terminate(&out);
    assert_bytes("E\0\0\0\x09\0\0\0\0\0"
                 "S\0\0\0\x04"
                 "X\0\0\0\x04");
}

Test(encode, bind_without_parameters_and_with_text_results) {
    struct wire_bind bind;
    wire_bind_begin(&out, &bind, "q", 0);
    wire_bind_end(&out, &bind, NULL, 0);
    assert_bytes("B\0\0\0\x0d\0q\0\0\0\0\0\0\0");
}

Test(encode, bind_with_parameters_behind_other_messages) {
    struct wire_bind bind;
    wire_put_sync(&out);
    wire_bind_begin(&out, &bind, "q12", 3);
    buf_put_u32(&out, 8);
    buf_put_u64(&out, 7);
    wire_bind_format(&out, &bind, 0, 1);
    buf_put_u32(&out, UINT32_MAX);
    wire_bind_format(&out, &bind, 1, 0);
    buf_put_u32(&out, 2);
    buf_put(&out, "ab", 2);
    wire_bind_format(&out, &bind, 2, 0x0102);
    wire_bind_end(&out, &bind, (const uint16_t[]){1, 0, 1}, 3);
    wire_put_execute(&out);
    assert_bytes("S\0\0\0\x04"
                 "B\0\0\0\x31\0q12\0"
                 "\0\3\0\1\0\0\1\2"
                 "\0\3\0\0\0\x08\0\0\0\0\0\0\0\7\xff\xff\xff\xff\0\0\0\2ab"
                 "\0\3\0\1\0\0\0\1"
                 "E\0\0\0\x09\0\0\0\0\0");
}

Test(encode, formats_not_told_of_are_text_whatever_was_in_the_buffer) {
    struct wire_bind bind;
    static const uint8_t dirt[64] = {[0 ... 63] = 0xff};
    buf_put(&out, dirt, sizeof dirt);
    buf_truncate(&out, 0);
    wire_bind_begin(&out, &bind, "q", 2);
    buf_put_u32(&out, UINT32_MAX);
    buf_put_u32(&out, UINT32_MAX);
    wire_bind_end(&out, &bind, NULL, 0);
    assert_bytes("B\0\0\0\x19\0q\0\0\2\0\0\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
}

/* Growing moves the message while it is made, and what was sent in between is gone from the front. */
Test(encode, bind_survives_a_growing_and_moving_buffer) {
    static char value[5000];
    struct wire_bind bind;
    memset(value, 'v', sizeof value);
    buf_put(&out, value, 200);
    buf_consume(&out, 150);
    wire_bind_begin(&out, &bind, "", 1);
    buf_put_u32(&out, sizeof value);
    buf_put(&out, value, sizeof value);
    wire_bind_format(&out, &bind, 0, 1);
    wire_bind_end(&out, &bind, (const uint16_t[]){1}, 1);
    cr_assert_eq(out.start, 0, "it moved");
    cr_assert_eq(buf_size(&out), 50 + 1 + 4 + 2 + 2 + 2 + 2 + 4 + sizeof value + 4);
    const uint8_t *at = buf_head(&out) + 50;
    cr_assert_eq(memcmp(at, "B\0\0\x13\x9c\0\0\0\1\0\1\0\1\0\0\x13\x88vvv", 20), 0);
    cr_assert_eq(memcmp(buf_head(&out) + buf_size(&out) - 5, "v\0\1\0\1", 5), 0);
}

Test(encode, bind_of_the_most_parameters_and_columns) {
    static uint16_t formats[WIRE_PARAMS_MAX];
    struct wire_bind bind;
    size_t first = 5 + 1 + 1; /* after the header and two empty names */
    for (size_t i = 0; i < WIRE_PARAMS_MAX; i++)
        formats[i] = (uint16_t)(i * 7);
    wire_bind_begin(&out, &bind, "", WIRE_PARAMS_MAX);
    for (size_t i = 0; i < WIRE_PARAMS_MAX; i++) {
        buf_put_u32(&out, UINT32_MAX);
        wire_bind_format(&out, &bind, (uint16_t)i, (uint16_t)i);
    }
    wire_bind_end(&out, &bind, formats, WIRE_PARAMS_MAX);
    cr_assert_not(buf_failed(&out));
    cr_assert_eq(buf_size(&out), first + 2 + 2 * 65535 + 2 + 4 * 65535 + 2 + 2 * 65535);
    const uint8_t *at = buf_head(&out);
    cr_assert_eq(bytes_load_u32(at + 1), buf_size(&out) - 1);
    cr_assert_eq(bytes_load_u16(at + first), 65535);
    cr_assert_eq(bytes_load_u16(at + first + 2 + 2 * 65535), 65535);
    for (size_t i = 0; i < WIRE_PARAMS_MAX; i++) {
        cr_assert_eq(bytes_load_u16(at + first + 2 + 2 * i), i);
        cr_assert_eq(bytes_load_u16(at + buf_size(&out) - 2 * 65535 + 2 * i), formats[i]);
    }
}

/* Every encoder, given every amount of room that is too little, fails and leaves what can be truncated away. */
static void put_request(struct buf *to) {
    struct wire_bind bind;
    wire_put_close_statement(to, "q1");
    wire_put_parse(to, "q1", "select $1", 9);
    wire_put_describe_statement(to, "q1");
    wire_bind_begin(to, &bind, "q1", 1);
    buf_put_u32(to, 1);
    buf_put_u8(to, 'x');
    wire_bind_format(to, &bind, 0, 1);
    wire_bind_end(to, &bind, (const uint16_t[]){1, 1}, 2);
    wire_put_execute(to);
    wire_put_sync(to);
}

Test(encode, too_little_room_fails_and_is_truncated_away) {
    put_request(&out);
    cr_assert_not(buf_failed(&out));
    size_t whole = buf_size(&out);
    for (size_t room = 0; room < whole; room++) {
        struct buf small;
        buf_init(&small, 5 + room);
        wire_put_sync(&small);
        size_t mark = buf_mark(&small);
        put_request(&small);
        cr_assert(buf_failed(&small), "room %zu", room);
        cr_assert_leq(buf_size(&small), 5 + room);
        buf_truncate(&small, mark);
        cr_assert_not(buf_failed(&small));
        cr_assert_eq(buf_size(&small), 5);
        cr_assert_eq(memcmp(buf_head(&small), "S\0\0\0\4", 5), 0);
        buf_free(&small);
    }
}

/* A text of any length that costs no memory: nothing of it may be read or copied. */
Test(encode, a_parse_over_the_limit_fails_before_its_first_byte) {
    const size_t most = WIRE_SEND_BYTES_MAX - 4 - 3 - 1 - 2;
    static const size_t over[] = {1, 2, 0x40000000, 0x80000000u, 0xffffffffu, SIZE_MAX / 2};
    char *sql = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    buf_free(&out);
    buf_init(&out, SIZE_MAX);
    wire_put_sync(&out);
    size_t mark = buf_mark(&out);
    for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
        wire_put_parse(&out, "q1", sql, most + over[i]);
        cr_assert(buf_failed(&out), "%zu", over[i]);
        cr_assert_eq(buf_size(&out), 5, "nothing was written");
        buf_truncate(&out, mark);
        cr_assert_not(buf_failed(&out));
    }
    munmap(sql, 4096);
}

/* The same for Bind, whose values the caller appends: pages that are never touched stand for them. */
static void pretend_to_put(struct buf *to, size_t size) {
    uint8_t *at =
        mmap(NULL, to->end + size + 64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq((void *)at, MAP_FAILED);
    memcpy(at, to->data, to->end);
    free(to->data);
    to->data = at;
    to->capacity = to->end + size + 64;
    to->end += size;
}

Test(encode, a_bind_at_the_limit_is_made_and_one_over_it_fails) {
    const size_t others = 4 + 1 + 3 + 2 + 2 + 2 + 4 + 2; /* counted by the length word, beside the value */
    for (size_t over = 0; over < 3; over++) {
        size_t size = WIRE_SEND_BYTES_MAX - others + over;
        struct wire_bind bind;
        struct buf big;
        buf_init(&big, SIZE_MAX);
        wire_put_sync(&big);
        size_t mark = buf_mark(&big);
        wire_bind_begin(&big, &bind, "q1", 1);
        buf_put_u32(&big, (uint32_t)size);
        pretend_to_put(&big, size);
        wire_bind_end(&big, &bind, NULL, 0);
        cr_assert_eq(buf_failed(&big), over > 0);
        if (over == 0)
            cr_assert_eq(bytes_load_u32(buf_head(&big) + 6), WIRE_SEND_BYTES_MAX);
        buf_truncate(&big, mark);
        cr_assert_not(buf_failed(&big));
        cr_assert_eq(memcmp(buf_head(&big), "S\0\0\0\4", 5), 0);
        munmap(big.data, big.capacity);
    }
}
