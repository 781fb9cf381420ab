/* SPDX-License-Identifier: MIT */
#include "wire/decode.h"

#include "base/buf.h"
#include "base/rng.h"
#include "lib/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ROOM = 1 << 20 };

static struct guard guard;
static struct buf body;

static void setup(void) {
    guard_open(&guard, ROOM);
    buf_init(&body, ROOM);
}

static void teardown(void) {
    guard_close(&guard);
    buf_free(&body);
}

TestSuite(decode, .init = setup, .fini = teardown);

static struct cursor placed(const void *bytes, size_t size) {
    return cursor_over(guard_place(&guard, bytes, size), size);
}

#define literal(text) placed(text, sizeof(text) - 1)

/* The body so far, without its last `less` bytes. */
static struct cursor made(size_t less) {
    return placed(buf_head(&body), buf_size(&body) - less);
}

Test(decode, parameters) {
    struct wire_parameters p;
    cr_assert(wire_decode_parameters(literal("\0\0"), &p));
    cr_assert_eq(p.count, 0);
    cr_assert(wire_decode_parameters(literal("\0\2\0\0\0\x17\xff\0\0\1"), &p));
    cr_assert_eq(p.count, 2);
    cr_assert_eq(wire_parameter_oid(&p, 0), 23);
    cr_assert_eq(wire_parameter_oid(&p, 1), 0xff000001u);
    cr_assert_not(wire_decode_parameters(literal("\0\2\0\0\0\x17\xff\0\0\1\0"), &p));
    cr_assert_not(wire_decode_parameters(literal("\0\2\0\0\0\x17\xff\0\0"), &p));
    cr_assert_not(wire_decode_parameters(literal("\xff\xff"), &p));
    cr_assert_not(wire_decode_parameters(literal("\0"), &p));
    buf_put_u16(&body, 65535);
    for (uint32_t i = 0; i < 65535; i++)
        buf_put_u32(&body, i * 3);
    cr_assert(wire_decode_parameters(made(0), &p));
    for (uint32_t i = 0; i < 65535; i++)
        cr_assert_eq(wire_parameter_oid(&p, (uint16_t)i), i * 3);
}

static void put_column(const char *name, uint32_t oid, int32_t modifier) {
    buf_put(&body, name, strlen(name) + 1);
    buf_put(&body, "\0\0\1\2\0\7", 6);
    buf_put_u32(&body, oid);
    buf_put_u16(&body, 8);
    buf_put_u32(&body, (uint32_t)modifier);
    buf_put_u16(&body, 0);
}

Test(decode, columns) {
    struct wire_columns columns;
    struct wire_column column;
    buf_put_u16(&body, 3);
    put_column("id", 20, -1);
    put_column("", 25, -2);
    put_column("caf\xc3\xa9", 0xffffffffu, 0x7fffffff);
    cr_assert(wire_decode_columns(made(0), &columns));
    cr_assert_eq(columns.count, 3);
    cr_assert_eq(columns.names_bytes, 3 + 1 + 6);
    cr_assert(wire_column_next(&columns, &column));
    cr_assert_str_eq(column.name, "id");
    cr_assert_eq(column.name_length, 2);
    cr_assert(column.type_oid == 20 && column.type_modifier == -1);
    cr_assert(wire_column_next(&columns, &column));
    cr_assert(*column.name == 0 && column.name_length == 0);
    cr_assert(column.type_oid == 25 && column.type_modifier == -2);
    cr_assert(wire_column_next(&columns, &column));
    cr_assert_str_eq(column.name, "caf\xc3\xa9");
    cr_assert(column.type_oid == 0xffffffffu && column.type_modifier == 0x7fffffff);
    cr_assert_not(wire_column_next(&columns, &column));
    cr_assert_not(wire_column_next(&columns, &column));
}

Test(decode, columns_that_are_cut_or_followed_by_more_are_refused) {
    struct wire_columns columns;
    buf_put_u16(&body, 2);
    put_column("a", 20, -1);
    put_column("long_name", 20, -1);
    for (size_t less = 1; less <= buf_size(&body); less++)
        cr_assert_not(wire_decode_columns(made(less), &columns), "without the last %zu", less);
    buf_put_u8(&body, 0);
    cr_assert_not(wire_decode_columns(made(0), &columns));
    cr_assert_not(wire_decode_columns(literal("\xff\xff"), &columns));
    cr_assert_not(wire_decode_columns(literal("\0\1name without its end.................."), &columns));
}

Test(decode, sixty_five_thousand_columns) {
    struct wire_columns columns;
    struct wire_column column;
    buf_free(&body);
    buf_init(&body, 4 * ROOM);
    guard_close(&guard);
    guard_open(&guard, 4 * ROOM);
    buf_put_u16(&body, 65535);
    for (uint32_t i = 0; i < 65535; i++)
        put_column("c", i, 0);
    cr_assert(wire_decode_columns(made(0), &columns));
    cr_assert_eq(columns.names_bytes, 2 * 65535);
    for (uint32_t i = 0; i < 65535; i++)
        cr_assert(wire_column_next(&columns, &column) && column.type_oid == i);
    cr_assert_not(wire_column_next(&columns, &column));
}

Test(decode, rows) {
    cr_assert(wire_decode_row(literal("\0\0"), 0));
    cr_assert(wire_decode_row(literal("\0\1\xff\xff\xff\xff"), 1));
    cr_assert(wire_decode_row(literal("\0\1\0\0\0\0"), 1));
    cr_assert(wire_decode_row(literal("\0\2\0\0\0\3abc\0\0\0\1d"), 2));
    cr_assert_not(wire_decode_row(literal("\0\2\0\0\0\3abc\0\0\0\1d"), 1));
    cr_assert_not(wire_decode_row(literal("\0\2\0\0\0\3abc\0\0\0\1d"), 3));
    cr_assert_not(wire_decode_row(literal("\0\2\0\0\0\3abc\0\0\0\1d"), -1));
    cr_assert_not(wire_decode_row(literal("\0\2\0\0\0\3abc\0\0\0\1de"), 2));
    cr_assert_not(wire_decode_row(literal("\xff\xff"), -1), "65535 is not NoData");
    cr_assert_not(wire_decode_row(literal("\xff\xff"), 65535));
    cr_assert_not(wire_decode_row(literal("\0\0\0"), 0));
    cr_assert_not(wire_decode_row(literal("\0"), 0));
    cr_assert_not(wire_decode_row(literal(""), 0));
}

/* One value of `length`, where 4 bytes follow: before a NULL, alone, and last. */
Test(decode, every_length_of_a_value_that_lies_is_refused) {
    static const int64_t lengths[] = {INT32_MIN, INT32_MIN + 1, -65536, -256,       -3,       -2, -1, 0, 1, 2, 3, 4, 5,
                                      6,         255,           0x7fff, 0x3fffffff, INT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t row[10] = {0, 1};
        bytes_store_u32(row + 2, (uint32_t)lengths[i]);
        cr_assert_eq(wire_decode_row(placed(row, 10), 1), lengths[i] == 4, "%ld", (long)lengths[i]);
        cr_assert_eq(wire_decode_row(placed(row, 6), 1), lengths[i] == 0 || lengths[i] == -1);
        row[1] = 2;
        memset(row + 6, 0xff, 4);
        cr_assert_eq(wire_decode_row(placed(row, 10), 2), lengths[i] == 0 || lengths[i] == -1);
    }
}

Test(decode, rows_of_the_most_values) {
    buf_put_u16(&body, 65535);
    for (int i = 0; i < 65535; i++) {
        buf_put_u32(&body, i % 3 ? 1 : UINT32_MAX);
        buf_put(&body, "x", i % 3 ? 1 : 0);
    }
    cr_assert(wire_decode_row(made(0), 65535));
    cr_assert_not(wire_decode_row(made(0), 65534));
    cr_assert_not(wire_decode_row(made(1), 65535));
    cr_assert_not(wire_decode_row(made(6), 65535));
    buf_put_u8(&body, 0);
    cr_assert_not(wire_decode_row(made(0), 65535));
}

Test(decode, tags) {
    const char *tag;
    size_t length;
    cr_assert(wire_decode_tag(literal("SELECT 5\0"), &tag, &length));
    cr_assert_str_eq(tag, "SELECT 5");
    cr_assert_eq(length, 8);
    cr_assert(wire_decode_tag(literal("\0"), &tag, &length));
    cr_assert_eq(length, 0);
    cr_assert_not(wire_decode_tag(literal("SELECT 5"), &tag, &length));
    cr_assert_not(wire_decode_tag(literal("SELECT\0 5\0"), &tag, &length));
    cr_assert_not(wire_decode_tag(literal(""), &tag, &length));
}

Test(decode, rows_and_words_of_a_tag) {
    static const struct {
        const char *tag;
        uint64_t rows;
        size_t words;
    } cases[] = {
        {"SELECT 2", 2, 6},
        {"INSERT 0 5", 5, 6},
        {"INSERT 16401 1", 1, 6},
        {"UPDATE 0", 0, 6},
        {"CREATE TABLE", 0, 12},
        {"REFRESH MATERIALIZED VIEW", 0, 25},
        {"MERGE 123456789012", 123456789012, 5},
        {"COPY 18446744073709551615", UINT64_MAX, 4},
        {"COPY 18446744073709551616", 0, 4},
        {"COPY 18446744073709551619", 0, 4},
        {"COPY 99999999999999999999999", 0, 4},
        {"", 0, 0},
        {" ", 0, 1},
        {"SELECT ", 0, 7},
        {"SELECT 1x", 0, 6},
        {"SELECT 1 x", 0, 6},
        {"SELECT 1 ", 0, 6},
        {"TYPE2", 0, 5},
        {"7", 0, 1},
        {" 7", 7, 0},
        {"SELECT -7", 0, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t words = 99;
        uint64_t rows = wire_tag_rows(cases[i].tag, strlen(cases[i].tag), &words);
        cr_assert(rows == cases[i].rows && words == cases[i].words, "'%s': %lu rows, %zu", cases[i].tag,
                  (unsigned long)rows, words);
    }
}

static const char *const fields[] = {"SFEHLER", "VERROR", "C22012", "Mdivision by zero", "D42 is it", "H42 is not",
                                     "P42",     "Wwhere", "ff.c",   "xunknown"};
enum { FIELDS = sizeof fields / sizeof *fields };

static void put_fields(unsigned subset) {
    buf_reset(&body, ROOM);
    for (int i = 0; i < FIELDS; i++)
        if (subset >> i & 1)
            buf_put(&body, fields[i], strlen(fields[i]) + 1);
    buf_put_u8(&body, 0);
}

Test(decode, errors_with_every_subset_of_fields) {
    for (unsigned subset = 0; subset < 1u << FIELDS; subset++) {
        struct wire_error e;
        put_fields(subset);
        cr_assert(wire_decode_error(made(0), &e), "subset %x", subset);
        cr_assert_str_eq(e.severity, subset & 2 ? "ERROR" : subset & 1 ? "FEHLER" : "");
        cr_assert_str_eq(e.sqlstate, subset & 4 ? "22012" : "XX000");
        cr_assert_str_eq(e.message, subset & 8 ? "division by zero" : "");
        cr_assert_str_eq(e.detail, subset & 16 ? "42 is it" : "");
        cr_assert_str_eq(e.hint, subset & 32 ? "42 is not" : "");
        cr_assert_eq(e.position, subset & 64 ? 42 : 0);
        cr_assert_not(e.fatal);
    }
}

Test(decode, errors_that_are_cut_or_followed_by_more_are_refused) {
    struct wire_error e;
    for (unsigned subset = 0; subset < 1u << FIELDS; subset++) {
        put_fields(subset);
        for (size_t less = 1; less <= buf_size(&body); less++)
            cr_assert_not(wire_decode_error(made(less), &e), "subset %x without the last %zu", subset, less);
        buf_put_u8(&body, 0);
        cr_assert_not(wire_decode_error(made(0), &e));
    }
}

Test(decode, the_last_of_a_duplicate_field_counts) {
    struct wire_error e;
    cr_assert(wire_decode_error(literal("Mfirst\0C22012\0P1\0Msecond\0C23505\0P2\0\0"), &e));
    cr_assert_str_eq(e.message, "second");
    cr_assert_str_eq(e.sqlstate, "23505");
    cr_assert_eq(e.position, 2);
    cr_assert(wire_decode_error(literal("VFATAL\0VERROR\0SFATAL\0\0"), &e));
    cr_assert_not(e.fatal);
}

Test(decode, unlocalised_severity_decides_what_is_fatal) {
    static const struct {
        const char *s, *v;
        bool fatal;
    } cases[] = {{"FATAL", "FATAL", true},  {"FATAL", "", true},       {"PANIC", "", true},
                 {"FATAL", "ERROR", false}, {"FEHLER", "FATAL", true}, {"FEHLER", "PANIC", true},
                 {"FATALE", "", false},     {"", "fatal", false},      {"ERROR", "", false},
                 {"", "", false},           {"ERROR", "LOG", false},   {"", "FATAL", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_error e;
        buf_reset(&body, ROOM);
        if (*cases[i].s)
            buf_printf(&body, "S%s%c", cases[i].s, 0);
        if (*cases[i].v)
            buf_printf(&body, "V%s%c", cases[i].v, 0);
        buf_put_u8(&body, 0);
        cr_assert(wire_decode_error(made(0), &e));
        cr_assert_eq(e.fatal, cases[i].fatal, "S %s V %s", cases[i].s, cases[i].v);
    }
}

Test(decode, sqlstate_is_five_digits_and_capitals_or_xx000) {
    static const char *const wrong[] = {"", "2201", "220123", "22 12", "2201\x80", "abcde", "2201\n"};
    struct wire_error e;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        buf_reset(&body, ROOM);
        buf_printf(&body, "C%s%c%c", wrong[i], 0, 0);
        cr_assert(wire_decode_error(made(0), &e));
        cr_assert_str_eq(e.sqlstate, "XX000", "'%s'", wrong[i]);
    }
    cr_assert(wire_decode_error(literal("CXXZ09\0\0"), &e));
    cr_assert_str_eq(e.sqlstate, "XXZ09");
}

Test(decode, a_position_that_is_no_number_is_none) {
    static const char *const wrong[] = {
        "", "0", "-1", "+1", "1x", " 1", "4294967296", "4294967299", "99999999999999999999"};
    struct wire_error e;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        buf_reset(&body, ROOM);
        buf_printf(&body, "P%s%c%c", wrong[i], 0, 0);
        cr_assert(wire_decode_error(made(0), &e));
        cr_assert_eq(e.position, 0, "'%s'", wrong[i]);
    }
    cr_assert(wire_decode_error(literal("P4294967295\0\0"), &e));
    cr_assert_eq(e.position, UINT32_MAX);
}

Test(decode, errors_of_any_bytes_are_bounded) {
    struct rng rng = {6};
    struct wire_error e;
    uint8_t bytes[40];
    int good = 0;
    for (int round = 0; round < 100000; round++) {
        size_t size = rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = "\0\0\0SVCMDHPx\xff\x80"[rng_below(&rng, 13)];
        bool whole = wire_decode_error(placed(bytes, size), &e);
        cr_assert_eq(strlen(e.sqlstate), 5);
        cr_assert(strlen(e.severity) + strlen(e.message) + strlen(e.detail) + strlen(e.hint) <= size);
        good += whole;
    }
    cr_assert_gt(good, 1000, "the test meets good ones too: %d", good);
}
