/* SPDX-License-Identifier: MIT */
#include "wire/frame.h"

#include "lib/guard.h"
#include "lib/wire_reference.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ROOM = 40000 };

static struct guard guard;

static void setup(void) {
    guard_open(&guard, ROOM);
}

static void teardown(void) {
    guard_close(&guard);
}

TestSuite(frame, .init = setup, .fini = teardown);

static enum wire_frame_state look(int type, uint32_t length, size_t given, size_t limit, struct wire_frame *frame) {
    uint8_t header[5] = {(uint8_t)type};
    bytes_store_u32(header + 1, length);
    static const uint8_t zeroes[ROOM];
    uint8_t *at = guard_place(&guard, zeroes, given);
    memcpy(at, header, given < 5 ? given : 5);
    return wire_frame_look(cursor_over(at, given), limit, frame);
}

static const uint32_t lengths[] = {
    0,    1,          2,          3,          4,          5,          6,          7,          8,         9,     10,
    11,   12,         13,         29999,      30000,      30001,      262145,     262146,     262147,    65536, 131072,
    1000, 0x3ffffffe, 0x3fffffff, 0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};

Test(frame, law_of_every_letter_and_length) {
    struct wire_frame frame;
    for (int type = 0; type < 256; type++) {
        cr_assert_eq(wire_message_name((uint8_t)type) != NULL,
                     reference_lawful(type, 4) || reference_lawful(type, 5) || reference_lawful(type, 12));
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            uint32_t length = lengths[i];
            bool whole = reference_lawful(type, length) && length < ROOM;
            enum wire_frame_state state = look(type, length, whole ? 1 + length : 5, SIZE_MAX, &frame);
            enum wire_frame_state wanted = whole                            ? WIRE_FRAME_WHOLE
                                           : reference_lawful(type, length) ? WIRE_FRAME_BEGUN
                                                                            : WIRE_FRAME_BAD;
            cr_assert_eq(state, wanted, "type 0x%02x length %u: %d, not %d", type, length, state, wanted);
            cr_assert_eq(frame.type, type);
            cr_assert_eq(frame.size, (size_t)length + 1);
            if (whole) {
                cr_assert_eq(frame.body.end, guard.end);
                cr_assert_eq(cursor_left(&frame.body), length - 4);
            }
        }
    }
}

Test(frame, nothing_is_said_before_the_header_is_whole) {
    struct wire_frame frame;
    for (int type = 0; type < 256; type++)
        for (size_t given = 0; given < 5; given++)
            cr_assert_eq(look(type, 0xffffffff, given, 0, &frame), WIRE_FRAME_NONE);
}

Test(frame, body_is_whole_with_its_last_byte) {
    struct wire_frame frame;
    for (size_t given = 5; given < 30; given++) {
        cr_assert_eq(look('D', 28, given, 1000, &frame), given < 29 ? WIRE_FRAME_BEGUN : WIRE_FRAME_WHOLE);
        cr_assert_eq(frame.size, 29);
    }
    cr_assert_eq(look('D', 28, 30, 1000, &frame), WIRE_FRAME_WHOLE);
    cr_assert_eq(cursor_left(&frame.body), 24, "what follows is not its body");
    cr_assert_eq(frame.body.at, guard.end - 25);
}

Test(frame, limit_counts_the_whole_message) {
    struct wire_frame frame;
    cr_assert_eq(look('D', 999, 5, 1000, &frame), WIRE_FRAME_BEGUN);
    cr_assert_eq(look('D', 1000, 5, 1000, &frame), WIRE_FRAME_BAD);
    cr_assert_eq(look('C', 999, 5, 1000, &frame), WIRE_FRAME_BEGUN);
    cr_assert_eq(look('C', 1000, 5, 1000, &frame), WIRE_FRAME_BAD);
    cr_assert_eq(look('D', 0x7fffffff, 5, 0x80000000u, &frame), WIRE_FRAME_BEGUN);
    cr_assert_eq(look('D', 0x7fffffff, 5, 0x7fffffffu, &frame), WIRE_FRAME_BAD);
    cr_assert_eq(look('D', 0x80000000u, 5, SIZE_MAX, &frame), WIRE_FRAME_BAD);
}

Test(frame, complaints_name_the_message_and_the_reason) {
    static const struct {
        int type;
        uint32_t length;
        const char *complaint;
    } cases[] = {
        {'x', 4, "message of unknown type 0x78"},
        {0, 4, "message of unknown type 0x00"},
        {'Z', 4, "ReadyForQuery of length 4, below its least, 5"},
        {'D', 0, "DataRow of length 0, below its least, 6"},
        {'C', 30001, "CommandComplete of length 30001, above its most, 30000"},
        {'1', 0xffffffffu, "ParseComplete of length 4294967295, above its most, 4"},
        {'D', 5000, "DataRow of length 5000, above the limit of 1000 bytes a message"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_frame frame;
        char text[96];
        cr_assert_eq(look(cases[i].type, cases[i].length, 5, 1000, &frame), WIRE_FRAME_BAD);
        wire_frame_complaint(&frame, 1000, text, sizeof text);
        cr_assert_str_eq(text, cases[i].complaint);
    }
}
