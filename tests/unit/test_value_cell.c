/* SPDX-License-Identifier: MIT */
/* What one value converts to, by type and format; tests/unit/test_core_result_get.c has the same through a result. */
#include "value/cell.h"

#include "lib/guard.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

enum { OK, TYPE = QURING_ETYPE, RANGE = QURING_ERANGE, LOSSY = QURING_ELOSSY };

static size_t unhex(const char *hex, uint8_t *bytes) {
    size_t size = 0;
    for (unsigned byte; sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        bytes[size] = (uint8_t)byte;
    return size;
}

static const struct sample {
    quring_type type;
    bool binary;
    const char *bytes; /* its text, or its binary form in hex */
    int integer, real, truth, moment, uuid;
    int64_t value; /* where `integer` is OK */
    double number; /* where `real` is */
} samples[] = {
    {QURING_BOOL, true, "01", OK, OK, OK, TYPE, TYPE, 1, 1},
    {QURING_BOOL, true, "02", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_BOOL, false, "t", OK, OK, OK, TYPE, TYPE, 1, 1},
    {QURING_INT2, true, "fffe", OK, OK, RANGE, TYPE, TYPE, -2, -2},
    {QURING_INT2, true, "fe", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_INT4, true, "00000001", OK, OK, OK, TYPE, TYPE, 1, 1},
    {QURING_INT4, true, "0000000001", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_INT4, false, "0", OK, OK, OK, TYPE, TYPE, 0, 0},
    {QURING_INT8, true, "8000000000000000", OK, OK, RANGE, TYPE, TYPE, INT64_MIN, -0x1p63},
    {QURING_INT8, true, "0020000000000001", OK, LOSSY, RANGE, TYPE, TYPE, 9007199254740993, 0},
    {QURING_INT8, true, "", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_INT8, false, "9223372036854775808", RANGE, RANGE, RANGE, TYPE, TYPE, 0, 0},
    {QURING_FLOAT4, true, "3fc00000", LOSSY, OK, TYPE, TYPE, TYPE, 0, 1.5},
    {QURING_FLOAT8, true, "4010000000000000", OK, OK, TYPE, TYPE, TYPE, 4, 4},
    {QURING_FLOAT8, true, "7ff0000000000000", RANGE, OK, TYPE, TYPE, TYPE, 0, HUGE_VAL},
    {QURING_FLOAT8, false, "1e300", RANGE, OK, TYPE, TYPE, TYPE, 0, 1e300},
    {QURING_NUMERIC, false, "1.0", OK, OK, TYPE, TYPE, TYPE, 1, 1},
    {QURING_NUMERIC, false, "0.1234567890123456789", LOSSY, LOSSY, TYPE, TYPE, TYPE, 0, 0},
    {QURING_TEXT, true, "31", OK, OK, OK, TYPE, TYPE, 1, 1},
    {QURING_TEXT, false, "2024-02-29", TYPE, TYPE, TYPE, OK, TYPE, 0, 0},
    {QURING_TEXT, false, "00112233-4455-6677-8899-aabbccddeeff", TYPE, TYPE, TYPE, TYPE, OK, 0, 0},
    {QURING_JSON, false, "7", OK, OK, TYPE, TYPE, TYPE, 7, 7},
    {QURING_JSONB, true, "0137", OK, OK, TYPE, TYPE, TYPE, 7, 7},
    {QURING_JSONB, true, "0237", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_DATE, true, "00000000", TYPE, TYPE, TYPE, OK, TYPE, 0, 0},
    {QURING_DATE, true, "000000", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_TIMESTAMP, true, "7fffffffffffffff", TYPE, TYPE, TYPE, OK, TYPE, 0, 0},
    {QURING_TIMESTAMPTZ, false, "2024-02-30 00:00:00+00", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_UUID, true, "00112233445566778899aabbccddeeff", TYPE, TYPE, TYPE, TYPE, OK, 0, 0},
    {QURING_UUID, true, "00112233445566778899aabbccddee", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_BYTES, true, "00112233445566778899aabbccddeeff", TYPE, TYPE, TYPE, TYPE, OK, 0, 0},
    {QURING_BYTES, false, "\\x00112233445566778899aabbccddeeff", TYPE, TYPE, TYPE, TYPE, OK, 0, 0},
    {QURING_BYTES, false, "\\000\\021\"3DUfw\\210\\231\\252\\273\\314\\335\\356\\377", TYPE, TYPE, TYPE, TYPE, OK, 0,
     0},
    {QURING_BYTES, false, "\\x0011", TYPE, TYPE, TYPE, TYPE, TYPE, 0, 0},
    {QURING_OTHER, false, "infinity", RANGE, OK, TYPE, OK, TYPE, 0, HUGE_VAL},
};

#define UNTOUCHED 0x5a

/* The value in memory that ends at a guard page. */
static struct value_cell cell_of(struct guard *guard, const struct sample *sample) {
    uint8_t bytes[100];
    size_t size = strlen(sample->bytes);
    if (sample->binary)
        size = unhex(sample->bytes, bytes);
    else
        memcpy(bytes, sample->bytes, size);
    return (struct value_cell){
        .bytes = guard_place(guard, bytes, size), .size = size, .type = sample->type, .binary = sample->binary};
}

/* The code is the one wanted, and after a failure the value is as it was. */
static void check(const struct sample *sample, const char *what, int code, int wanted, const void *value, size_t size) {
    uint8_t untouched[sizeof(struct value_moment)];
    memset(untouched, UNTOUCHED, sizeof untouched);
    cr_expect_eq(code, wanted, "type %d, %s as %s: %d, not %d", sample->type, sample->bytes, what, code, wanted);
    cr_expect(code == 0 || memcmp(value, untouched, size) == 0, "type %d, %s as %s: the value was touched",
              sample->type, sample->bytes, what);
}

Test(value_cell, conversions) {
    static const uint8_t uuid_wanted[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                            0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    struct guard guard;
    guard_open(&guard, 256);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *s = &samples[i];
        struct value_cell cell = cell_of(&guard, s);
        struct value_moment moment;
        int64_t integer;
        double real;
        uint8_t truth = UNTOUCHED, uuid[16];
        memset(&integer, UNTOUCHED, sizeof integer);
        memset(&real, UNTOUCHED, sizeof real);
        memset(uuid, UNTOUCHED, sizeof uuid);
        memset(&moment, UNTOUCHED, sizeof moment);
        check(s, "integer", value_cell_integer(&cell, &integer), s->integer, &integer, sizeof integer);
        cr_expect(s->integer != OK || integer == s->value, "%s: %lld", s->bytes, (long long)integer);
        check(s, "real", value_cell_real(&cell, &real), s->real, &real, sizeof real);
        cr_expect(s->real != OK || real == s->number, "%s: %g", s->bytes, real);
        check(s, "bool", value_cell_bool(&cell, (bool *)&truth), s->truth, &truth, sizeof truth);
        check(s, "moment", value_cell_moment(&cell, &moment), s->moment, &moment, sizeof moment);
        check(s, "uuid", value_cell_uuid(&cell, uuid), s->uuid, uuid, sizeof uuid);
        cr_expect(s->uuid != OK || memcmp(uuid, uuid_wanted, sizeof uuid) == 0, "%s", s->bytes);
    }
    guard_close(&guard);
}

static const struct {
    quring_type type;
    bool binary;
    const char *bytes;
    const char *text; /* NULL: the value is no text as it stands */
    const char *printed;
} texts[] = {
    {QURING_INT4, false, "12", "12", ""},
    {QURING_INT4, true, "0000000c", NULL, "12"},
    {QURING_BOOL, true, "00", NULL, "f"},
    {QURING_FLOAT4, true, "3dcccccd", NULL, "0.1"},
    {QURING_DATE, true, "00000000", NULL, "2000-01-01"},
    {QURING_TIMESTAMPTZ, true, "0000000000000001", NULL, "2000-01-01 00:00:00.000001+00"},
    {QURING_TIMESTAMP, true, "8000000000000000", NULL, "-infinity"},
    {QURING_UUID, true, "00112233445566778899aabbccddeeff", NULL, "00112233-4455-6677-8899-aabbccddeeff"},
    {QURING_UUID, true, "00", NULL, ""},
    {QURING_JSONB, true, "017b7d", "{}", ""},
    {QURING_JSONB, true, "", NULL, ""},
    {QURING_TEXT, true, "6162", "ab", ""},
    {QURING_BYTES, true, "6162", NULL, ""},
};

Test(value_cell, texts) {
    struct guard guard;
    guard_open(&guard, 256);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sample sample = {.type = texts[i].type, .binary = texts[i].binary, .bytes = texts[i].bytes};
        struct value_cell cell = cell_of(&guard, &sample);
        const char *text = NULL;
        size_t size = 0;
        cr_expect_eq(value_cell_text(&cell, &text, &size), texts[i].text != NULL, "%s", texts[i].bytes);
        cr_expect(texts[i].text ? size == strlen(texts[i].text) && memcmp(text, texts[i].text, size) == 0 : !text, "%s",
                  texts[i].bytes);
        char printed[VALUE_PRINT_BYTES + 1];
        printed[value_cell_print(&cell, printed)] = 0;
        cr_expect_str_eq(printed, texts[i].printed, "%s: %s", texts[i].bytes, printed);
    }
    guard_close(&guard);
}
