/* SPDX-License-Identifier: MIT */
#include "wire/encode.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/mman.h>

enum { REQUESTS_MAX = 64, LIMIT = 1 << 16 };

static struct buf out;
static struct wire_session session;

static void setup(void) {
    buf_init(&out, 1 << 20);
    cr_assert(wire_session_init(&session, REQUESTS_MAX, LIMIT));
    wire_session_begin(&session, &out);
}

static void teardown(void) {
    wire_session_free(&session);
    buf_free(&out);
}

/* Ends the request that was begun, and begins the next one. */
static void next_request(void) {
    cr_assert(wire_session_end(&session, WIRE_NO_ROWS));
    wire_session_begin(&session, &out);
}

/* Ends the request that was begun, which does not fit, and begins another one. */
static void assert_taken_back(struct buf *to, uint64_t next) {
    cr_assert(buf_failed(to));
    cr_assert_not(wire_session_end(&session, WIRE_NO_ROWS));
    cr_assert_not(buf_failed(to));
    cr_assert_eq(session.next, next);
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
    wire_session_put_parse(&session, "s1", "select $1 -- tail", 9);
    assert_bytes("P\0\0\0\x13s1\0select $1\0\0\0");
}

Test(encode, parse_of_nothing_unnamed) {
    wire_session_put_parse(&session, "", NULL, 0);
    assert_bytes("P\0\0\0\x08\0\0\0\0");
}

Test(encode, messages_with_a_name) {
    wire_session_put_describe(&session, "q7");
    next_request();
    wire_session_put_close(&session, "q7");
    wire_session_put_describe(&session, "");
    assert_bytes("D\0\0\0\x08Sq7\0"
                 "C\0\0\0\x08Sq7\0"
                 "D\0\0\0\x06S\0");
}

Test(encode, messages_that_are_always_the_same) {
    wire_session_put_execute(&session);
    wire_session_put_sync(&session);
    wire_put_flush(&out);
    wire_put_terminate(&out);
    assert_bytes("E\0\0\0\x09\0\0\0\0\0"
                 "S\0\0\0\x04"
                 "H\0\0\0\x04"
                 "X\0\0\0\x04");
}

Test(encode, bind_without_parameters_and_with_text_results) {
    wire_session_put_bind(&session, "q", 0);
    wire_session_put_results(&session, NULL, 0);
    assert_bytes("B\0\0\0\x0d\0q\0\0\0\0\0\0\0");
}

Test(encode, bind_with_parameters_behind_other_messages) {
    wire_session_put_sync(&session);
    next_request();
    wire_session_put_bind(&session, "q12", 3);
    buf_put_u32(&out, 8);
    buf_put_u64(&out, 7);
    wire_session_put_format(&session, 0, 1);
    buf_put_u32(&out, UINT32_MAX);
    wire_session_put_format(&session, 1, 0);
    buf_put_u32(&out, 2);
    buf_put(&out, "ab", 2);
    wire_session_put_format(&session, 2, 0x0102);
    wire_session_put_results(&session, (const uint16_t[]){1, 0, 1}, 3);
    wire_session_put_execute(&session);
    assert_bytes("S\0\0\0\x04"
                 "B\0\0\0\x31\0q12\0"
                 "\0\3\0\1\0\0\1\2"
                 "\0\3\0\0\0\x08\0\0\0\0\0\0\0\7\xff\xff\xff\xff\0\0\0\2ab"
                 "\0\3\0\1\0\0\0\1"
                 "E\0\0\0\x09\0\0\0\0\0");
}

Test(encode, formats_not_told_of_are_text_whatever_was_in_the_buffer) {
    static const uint8_t dirt[64] = {[0 ... 63] = 0xff};
    buf_put(&out, dirt, sizeof dirt);
    buf_truncate(&out, 0);
    wire_session_put_bind(&session, "q", 2);
    buf_put_u32(&out, UINT32_MAX);
    buf_put_u32(&out, UINT32_MAX);
    wire_session_put_results(&session, NULL, 0);
    assert_bytes("B\0\0\0\x19\0q\0\0\2\0\0\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
}

/* Growing moves the message while it is made, and what was sent in between is gone from the front. */
Test(encode, bind_survives_a_growing_and_moving_buffer) {
    static char value[5000];
    memset(value, 'v', sizeof value);
    buf_put(&out, value, 200);
    buf_consume(&out, 150);
    wire_session_put_bind(&session, "", 1);
    buf_put_u32(&out, sizeof value);
    buf_put(&out, value, sizeof value);
    wire_session_put_format(&session, 0, 1);
    wire_session_put_results(&session, (const uint16_t[]){1}, 1);
    cr_assert_eq(out.start, 0, "it moved");
    cr_assert_eq(buf_size(&out), 50 + 1 + 4 + 2 + 2 + 2 + 2 + 4 + sizeof value + 4);
    const uint8_t *at = buf_head(&out) + 50;
    cr_assert_eq(memcmp(at, "B\0\0\x13\x9c\0\0\0\1\0\1\0\1\0\0\x13\x88vvv", 20), 0);
    cr_assert_eq(memcmp(buf_head(&out) + buf_size(&out) - 5, "v\0\1\0\1", 5), 0);
}

Test(encode, bind_of_the_most_parameters_and_columns) {
    static uint16_t formats[WIRE_PARAMS_MAX];
    size_t first = 5 + 1 + 1; /* after the header and two empty names */
    for (size_t i = 0; i < WIRE_PARAMS_MAX; i++)
        formats[i] = (uint16_t)(i * 7);
    wire_session_put_bind(&session, "", WIRE_PARAMS_MAX);
    for (size_t i = 0; i < WIRE_PARAMS_MAX; i++) {
        buf_put_u32(&out, UINT32_MAX);
        wire_session_put_format(&session, (uint16_t)i, (uint16_t)i);
    }
    wire_session_put_results(&session, formats, WIRE_PARAMS_MAX);
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
    wire_session_put_close(&session, "q1");
    wire_session_put_parse(&session, "q1", "select $1", 9);
    wire_session_put_describe(&session, "q1");
    wire_session_put_bind(&session, "q1", 1);
    buf_put_u32(to, 1);
    buf_put_u8(to, 'x');
    wire_session_put_format(&session, 0, 1);
    wire_session_put_results(&session, (const uint16_t[]){1, 1}, 2);
    wire_session_put_execute(&session);
    wire_session_put_sync(&session);
}

Test(encode, too_little_room_fails_and_is_truncated_away) {
    put_request(&out);
    cr_assert_not(buf_failed(&out));
    size_t whole = buf_size(&out);
    next_request();
    wire_session_put_sync(&session);
    cr_assert(wire_session_end(&session, WIRE_NO_ROWS));
    for (size_t room = 0; room < whole; room++) {
        struct buf small;
        buf_init(&small, 5 + room);
        buf_put(&small, "S\0\0\0\4", 5);
        wire_session_begin(&session, &small);
        put_request(&small);
        cr_assert_leq(buf_size(&small), 5 + room);
        assert_taken_back(&small, 2);
        cr_assert_eq(buf_size(&small), 5, "room %zu", room);
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
    wire_session_put_sync(&session);
    cr_assert(wire_session_end(&session, WIRE_NO_ROWS));
    for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
        wire_session_begin(&session, &out);
        wire_session_put_parse(&session, "q1", sql, most + over[i]);
        cr_assert_eq(buf_size(&out), 5, "nothing was written");
        assert_taken_back(&out, 1);
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
    wire_session_put_sync(&session);
    cr_assert(wire_session_end(&session, WIRE_NO_ROWS));
    for (size_t over = 0; over < 3; over++) {
        size_t size = WIRE_SEND_BYTES_MAX - others + over;
        struct buf big;
        buf_init(&big, SIZE_MAX);
        buf_put(&big, "S\0\0\0\4", 5);
        wire_session_begin(&session, &big);
        wire_session_put_bind(&session, "q1", 1);
        buf_put_u32(&big, (uint32_t)size);
        pretend_to_put(&big, size);
        wire_session_put_results(&session, NULL, 0);
        cr_assert_eq(buf_failed(&big), over > 0);
        if (over == 0)
            cr_assert_eq(bytes_load_u32(buf_head(&big) + 6), WIRE_SEND_BYTES_MAX);
        cr_assert_eq(wire_session_end(&session, WIRE_NO_ROWS), over == 0);
        cr_assert_eq(session.next, 2);
        cr_assert_not(buf_failed(&big));
        if (over > 0)
            cr_assert_eq(buf_size(&big), 5);
        cr_assert_eq(memcmp(buf_head(&big), "S\0\0\0\4", 5), 0);
        munmap(big.data, big.capacity);
    }
}

/* ---- Templates ---- */

static void put_values(struct buf *to, uint16_t count) {
    static const char bytes[] = "as many bytes as there are parameters at most";
    cr_assert_lt(count, sizeof bytes);
    for (uint16_t i = 0; i < count; i++) {
        buf_put_u32(to, i);
        buf_put(to, bytes, i);
        wire_session_put_format(&session, i, i & 1);
    }
}

/* No request was begun, and none is out. */
static void restart(void) {
    wire_session_free(&session);
    cr_assert(wire_session_init(&session, REQUESTS_MAX, LIMIT));
}

static void assert_copy_is_the_same(const char *name, uint16_t params, uint16_t format_count, bool sync) {
    static const uint16_t formats[] = {1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0};
    struct wire_template template;
    bool fits = wire_template_make(&template, name, params, formats, format_count);
    cr_assert_eq(fits, strlen(name) + 11 + (size_t)2 * params <= WIRE_TEMPLATE_BIND_BYTES &&
                           17 + (size_t)2 * format_count <= WIRE_TEMPLATE_EXECUTE_BYTES);
    if (!fits)
        return;
    struct buf generic;
    restart();
    buf_init(&generic, SIZE_MAX);
    wire_session_begin(&session, &generic);
    wire_session_put_bind(&session, name, params);
    put_values(&generic, params);
    wire_session_put_results(&session, formats, format_count);
    wire_session_put_execute(&session);
    if (sync)
        wire_session_put_sync(&session);
    cr_assert(wire_session_end(&session, 2));
    buf_reset(&out, SIZE_MAX);
    wire_session_begin(&session, &out);
    wire_session_put_bind_copy(&session, &template);
    put_values(&out, params);
    wire_session_put_execute_copy(&session, &template, sync);
    cr_assert(wire_session_end(&session, 2));
    cr_assert_eq(buf_size(&out), buf_size(&generic));
    cr_assert_eq(memcmp(buf_head(&out), buf_head(&generic), buf_size(&out)), 0);
    cr_assert_eq(wire_session_request(&session, session.next - 1)->steps,
                 WIRE_BIND | WIRE_FETCH | (sync ? WIRE_SYNC : 0));
    buf_free(&generic);
}

Test(encode, a_copy_of_a_template_is_the_same_as_what_it_was_made_of) {
    static const char *const names[] = {"", "q1", "quring_0123456789abcdef0123456789",
                                        "a name that is longer than any"};
    for (size_t name = 0; name < sizeof names / sizeof *names; name++)
        for (uint16_t params = 0; params < 30; params++)
            for (uint16_t formats = 0; formats < 20; formats++)
                for (int sync = 0; sync < 2; sync++)
                    assert_copy_is_the_same(names[name], params, formats, sync);
}

Test(encode, a_copy_without_room_is_taken_back) {
    struct wire_template template;
    cr_assert(wire_template_make(&template, "q1", 1, NULL, 0));
    size_t most = template.bind_bytes + 5 + sizeof template.execute;
    for (size_t room = 5; room < 5 + most; room++) {
        struct buf small;
        restart();
        buf_init(&small, room);
        buf_put(&small, "S\0\0\0\4", 5);
        wire_session_begin(&session, &small);
        wire_session_put_bind_copy(&session, &template);
        buf_put_u32(&small, 1);
        buf_put_u8(&small, 'x');
        wire_session_put_format(&session, 0, 1);
        wire_session_put_execute_copy(&session, &template, room % 2);
        assert_taken_back(&small, 0);
        cr_assert_eq(buf_size(&small), 5, "room %zu", room);
        buf_free(&small);
    }
}

/* ---- Bytes and steps ---- */

static void put_step(enum wire_steps step) {
    switch (step) {
    case WIRE_CLOSE:
        wire_session_put_close(&session, "q");
        break;
    case WIRE_PARSE:
        wire_session_put_parse(&session, "q", "", 0);
        break;
    case WIRE_DESCRIBE:
        wire_session_put_describe(&session, "q");
        break;
    case WIRE_BIND:
        wire_session_put_bind(&session, "q", 0);
        wire_session_put_results(&session, NULL, 0);
        break;
    case WIRE_FETCH:
        wire_session_put_execute(&session);
        break;
    default:
        wire_session_put_sync(&session);
    }
}

/* The letters of the messages from `at` on. */
static void read_letters(size_t at, char letters[8]) {
    size_t count = 0;
    for (; at < buf_size(&out); at += 1 + bytes_load_u32(buf_head(&out) + at + 1))
        letters[count++] = (char)buf_head(&out)[at];
    letters[count] = 0;
    cr_assert_eq(at, buf_size(&out));
}

Test(encode, every_request_is_expected_with_the_steps_that_were_appended) {
    static const char letter_of_step[] = "CPDBES";
    for (unsigned steps = 1; steps < WIRE_STEPS_END; steps++) {
        char wanted[8] = "", got[8];
        size_t before = buf_size(&out), count = 0;
        for (unsigned bit = 0; bit < 6; bit++) {
            if (!(steps >> bit & 1))
                continue;
            put_step((enum wire_steps)(1u << bit));
            wanted[count++] = letter_of_step[bit];
        }
        next_request();
        read_letters(before, got);
        cr_assert_str_eq(got, wanted);
        cr_assert_eq(session.next, steps);
        cr_assert_eq(wire_session_request(&session, steps - 1)->steps, steps);
    }
}

Test(encode, a_group_ends_with_a_sync_or_stays_as_it_was) {
    wire_session_put_execute(&session);
    cr_assert(wire_session_end(&session, 2));
    size_t size = buf_size(&out);
    out.limit = out.capacity = buf_size(&out);
    cr_assert_not(wire_session_end_group(&session, &out));
    cr_assert_not(buf_failed(&out));
    cr_assert_eq(buf_size(&out), size);
    cr_assert_eq(wire_session_request(&session, 0)->steps, WIRE_FETCH);
    out.limit = 1 << 20;
    cr_assert(wire_session_end_group(&session, &out));
    assert_bytes("E\0\0\0\x09\0\0\0\0\0"
                 "S\0\0\0\x04");
    cr_assert_eq(wire_session_request(&session, 0)->steps, WIRE_FETCH | WIRE_SYNC);
}

Test(encode, a_group_has_one_sync, .signal = SIGABRT) {
    wire_session_put_sync(&session);
    cr_assert(wire_session_end(&session, 2));
    wire_session_end_group(&session, &out);
}

Test(encode, a_group_does_not_end_within_a_request, .signal = SIGABRT) {
    wire_session_put_execute(&session);
    next_request();
    wire_session_put_execute(&session);
    wire_session_end_group(&session, &out);
}

Test(encode, a_step_comes_once, .signal = SIGABRT) {
    wire_session_put_parse(&session, "", "", 0);
    wire_session_put_parse(&session, "", "", 0);
}

Test(encode, a_step_comes_in_its_order, .signal = SIGABRT) {
    wire_session_put_execute(&session);
    put_step(WIRE_BIND);
}

Test(encode, a_step_belongs_to_a_request, .signal = SIGABRT) {
    wire_session_put_sync(&session);
    cr_assert(wire_session_end(&session, 2));
    put_step(WIRE_SYNC);
}

Test(encode, a_request_ends_before_the_next_begins, .signal = SIGABRT) {
    wire_session_begin(&session, &out);
}

Test(encode, a_request_has_steps, .signal = SIGABRT) {
    wire_session_end(&session, 2);
}

Test(encode, a_full_session_takes_no_request, .signal = SIGABRT) {
    for (int i = 0; i <= REQUESTS_MAX; i++) {
        wire_session_put_sync(&session);
        next_request();
    }
}
