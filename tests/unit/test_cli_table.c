/* SPDX-License-Identifier: MIT */
/* Rows as tables, CSV and JSON, and the text in them. */
#include "cli/common/text.h"
#include "cli/run/rows.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_cell null = {.kind = CLI_CELL_NULL};

static struct cli_cell cell(enum cli_cell_kind kind, const char *text) {
    return (struct cli_cell){.kind = kind, .text = text, .size = strlen(text)};
}

static struct cli_cell text(const char *s) {
    return cell(CLI_CELL_TEXT, s);
}

static struct cli_cell number(const char *s) {
    return cell(CLI_CELL_NUMBER, s);
}

struct source {
    const char *const *names;
    uint32_t columns;
    const struct cli_cell *cells;
};

static const char *source_name(const void *source, uint32_t column) {
    return ((const struct source *)source)->names[column];
}

static void source_cell(const void *source, uint64_t row, uint32_t column, struct cli_cell *out) {
    const struct source *s = source;
    *out = s->cells[row * s->columns + column];
}

enum format { TABLE, ASCII_TABLE, COLOR_TABLE, CSV, TERMINAL_CSV, JSON };

static char *print(enum format format, const struct source *source, uint64_t row_count) {
    struct cli_rows rows = {
        .source = source,
        .column_count = source->columns,
        .row_count = row_count,
        .name = source_name,
        .cell = source_cell,
    };
    struct cli_out out;
    cli_text_locale();
    cli_out_init(&out, CLI_OUT_MEMORY);
    if (format == CSV || format == TERMINAL_CSV)
        cli_print_csv(&out, &rows, format == TERMINAL_CSV);
    else if (format == JSON)
        cli_print_json(&out, &rows);
    else
        cli_print_table(&out, &rows,
                        (struct cli_table_style){.utf8 = format != ASCII_TABLE, .color = format == COLOR_TABLE});
    cli_out_char(&out, 0);
    cr_assert_eq(out.error, 0);
    return out.data;
}

static void expect(enum format format, const struct source *source, uint64_t row_count, const char *wanted) {
    char *got = print(format, source, row_count);
    cr_assert_str_eq(got, wanted, "\n%s\nis not\n%s", got, wanted);
    free(got);
}

#define NAMES(...)                                                                                                     \
    (const char *const[]) {                                                                                            \
        __VA_ARGS__                                                                                                    \
    }
#define CELLS(...)                                                                                                     \
    (const struct cli_cell[]) {                                                                                        \
        __VA_ARGS__                                                                                                    \
    }

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

Test(table, columns_are_aligned_and_numbers_stand_right) {
    struct source s = {NAMES("id", "name", "n"), 3,
                       CELLS(number("1"), text("ann"), number("1.5"), number("100"), text("Bartholomew"), null)};
    expect(TABLE, &s, 2,
           "  id │ name        │    n\n"
           "─────┼─────────────┼──────\n"
           "   1 │ ann         │  1.5\n"
           " 100 │ Bartholomew │ NULL\n"
           "(2 rows)\n");
    expect(ASCII_TABLE, &s, 1,
           " id | name |   n\n"
           "----+------+-----\n"
           "  1 | ann  | 1.5\n"
           "(1 row)\n");
    expect(ASCII_TABLE, &s, 0,
           " id | name | n\n"
           "----+------+---\n"
           "(0 rows)\n");
}

Test(table, width_is_that_of_the_screen_not_of_bytes) {
    struct source s = {NAMES("ä", "b"), 2,
                       CELLS(text("漢字"), text("x"), text("e\xcc\x81"), text("x"), text("ab"), text("x"))};
    expect(ASCII_TABLE, &s, 3,
           " ä    | b\n"
           "------+---\n"
           " 漢字 | x\n"
           " e\xcc\x81    | x\n"
           " ab   | x\n"
           "(3 rows)\n");
}

Test(table, mixed_values_stand_left) {
    struct source s = {NAMES("v"), 1, CELLS(number("1"), text("two"))};
    expect(ASCII_TABLE, &s, 2, " v\n-----\n 1\n two\n(2 rows)\n");
}

Test(table, null_has_its_own_tone) {
    struct source s = {NAMES("v"), 1, CELLS(null, text("NULL"))};
    expect(COLOR_TABLE, &s, 2, " v\n──────\n \033[2mNULL\033[22m\n NULL\n(2 rows)\n");
}

Test(table, hostile_text_cannot_move_the_terminal) {
    struct source s = {NAMES("\033[2J"), 1,
                       CELLS(text("a\033[31m"), text("line\nfeed\ttab\r"), text("\xc2\x9b\x31m"), text("\xff\xfe"),
                             text("\xe2\x80\xae"), text("\x7f"))};
    char *got = print(ASCII_TABLE, &s, 6);
    for (const char *c = got; *c; c++)
        cr_assert((*c >= 0x20 && *c < 0x7f) || *c == '\n', "byte %02x in %s", (unsigned char)*c, got);
    cr_assert_not_null(strstr(got, "a\\x1b[31m"));
    cr_assert_not_null(strstr(got, "line\\nfeed\\ttab\\r"));
    cr_assert_not_null(strstr(got, "\\u{9b}1m"));
    cr_assert_not_null(strstr(got, "\\xff\\xfe"));
    cr_assert_not_null(strstr(got, "\\u{202e}"));
    free(got);
}

Test(table, nul_bytes_do_not_end_a_cell) {
    struct source s = {NAMES("v"), 1, CELLS({CLI_CELL_TEXT, "a\0b", 3})};
    expect(ASCII_TABLE, &s, 1, " v\n--------\n a\\x00b\n(1 row)\n");
    expect(JSON, &s, 1, "[\n{\"v\": \"a\\u0000b\"}\n]\n");
}

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------- */

Test(utf8, only_well_formed_characters_are_taken) {
    static const struct {
        const char *bytes;
        size_t size, length;
        uint32_t character;
    } cases[] = {
        {"a", 1, 1, 'a'},
        {"\xc2\x80", 2, 2, 0x80},
        {"\xe0\xa0\x80", 3, 3, 0x800},
        {"\xf0\x90\x80\x80", 4, 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
        {"\xed\x9f\xbf", 3, 3, 0xd7ff},
        {"\xed\xa0\x80", 3, 0, 0}, /* a surrogate */
        {"\xc0\x80", 2, 0, 0},     /* overlong */
        {"\xc1\xbf", 2, 0, 0},
        {"\xe0\x9f\xbf", 3, 0, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0, 0},
        {"\xf4\x90\x80\x80", 4, 0, 0},
        {"\xf5\x80\x80\x80", 4, 0, 0},
        {"\x80", 1, 0, 0},
        {"\xc3", 1, 0, 0}, /* cut short */
        {"\xe2\x82", 2, 0, 0},
        {"\xc3\x28", 2, 0, 0},
        {"", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t c = 0;
        cr_assert_eq(cli_utf8_decode(cases[i].bytes, cases[i].size, &c), cases[i].length, "case %zu", i);
        cr_assert_eq(c, cases[i].character, "case %zu", i);
    }
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

Test(csv, null_is_empty_and_an_empty_string_is_quoted) {
    struct source s = {NAMES("a", "b", "c"), 3, CELLS(null, text(""), number("1"))};
    expect(CSV, &s, 1, "a,b,c\n,\"\",1\n");
}

Test(csv, quotes_only_what_needs_it) {
    struct source s = {NAMES("plain", "a,b", "say \"x\"", ""), 4,
                       CELLS(text("two words"), text("l1\nl2"), text("\""), text("cr\r"), text(" lead"), text("trail "),
                             text("\\."), text("é\033"))};
    expect(CSV, &s, 2,
           "plain,\"a,b\",\"say \"\"x\"\"\",\"\"\n"
           "two words,\"l1\nl2\",\"\"\"\",\"cr\r\"\n"
           "\" lead\",\"trail \",\"\\.\",é\033\n");
    expect(CSV, &s, 0, "plain,\"a,b\",\"say \"\"x\"\"\",\"\"\n");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

Test(json, values_keep_their_kind) {
    struct source s = {NAMES("n", "b", "t", "j", "z"), 5,
                       CELLS(number("12345678901234567890.10"), cell(CLI_CELL_BOOL, "t"), text("1"),
                             cell(CLI_CELL_JSON, "{\"a\": [1, 2]}"), null, number("NaN"), cell(CLI_CELL_BOOL, "false"),
                             text("a\"\\\n\x01é\xff/"), cell(CLI_CELL_JSON, "{oops"), text(""))};
    expect(JSON, &s, 2,
           "[\n{\"n\": 12345678901234567890.10, \"b\": true, \"t\": \"1\", \"j\": {\"a\": [1, 2]}, \"z\": null},\n"
           "{\"n\": \"NaN\", \"b\": false, \"t\": \"a\\\"\\\\\\n\\u0001é\xef\xbf\xbd/\", \"j\": \"{oops\", \"z\": "
           "\"\"}\n]\n");
    expect(JSON, &s, 0, "[]\n");
}

Test(json, columns_of_one_name_get_keys_of_their_own) {
    struct source s = {NAMES("a", "a", "a_2", "a"), 4, CELLS(number("1"), number("2"), number("3"), number("4"))};
    expect(JSON, &s, 1, "[\n{\"a\": 1, \"a_2\": 2, \"a_2_2\": 3, \"a_3\": 4}\n]\n");
}

Test(json, knows_json_when_it_sees_it) {
    static const char *const good[] = {"1",
                                       "-0.5e+10",
                                       "0",
                                       "\"\"",
                                       "\"a\\u00e9\\n\"",
                                       "true",
                                       " null ",
                                       "[]",
                                       "{}",
                                       "[1,[2,{}]]",
                                       "{\"a\":{\"b\":[]},\"c\":1}",
                                       "[ 1 , 2 ]",
                                       "{ \"a\" : 1 }",
                                       "\"é\""};
    static const char *const bad[] = {
        "",       "01",       "+1",    ".5",      "1.",       "1e",         "nul", "truex",   "[1,]",        "[",
        "[1",     "{",        "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "1 2", "\"\\x\"", "\"\\u12g4\"", "\"a",
        "\"\n\"", "\"\xff\"", "]",     "}",       "[}",       "{]",         "NaN", "-",       "--1",         "\"\\"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(cli_json_is_value(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(cli_json_is_value(bad[i], strlen(bad[i])), "%s", bad[i]);
    cr_assert_not(cli_json_is_value("1\0", 2));
    cr_assert(cli_json_is_number("-12.5e3", 7));
    cr_assert_not(cli_json_is_number("Infinity", 8));
    cr_assert_not(cli_json_is_number("1 ", 2));
}

/* Parsers of JSON refuse or change these, and PostgreSQL's json and jsonb have them. */
Test(json, values_that_no_c_type_holds_are_printed_as_they_are) {
    static const char *const values[] = {
        "1e400",
        "-12345678901234567890123456789012345678901234567890.10",
        "[1e-400, 1E+2, -0, 0.30]",
        "{\"\\u0000\": \"\\u0000\"}",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "{\"b\": 1, \"a\": 2, \"b\": 3}",
    };
    char wanted[256];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct source s = {NAMES("j"), 1, CELLS(cell(CLI_CELL_JSON, values[i]))};
        snprintf(wanted, sizeof wanted, "[\n{\"j\": %s}\n]\n", values[i]);
        expect(JSON, &s, 1, wanted);
    }
}

Test(json, deep_nesting_takes_no_stack) {
    enum { DEPTH = 1000000 };
    char *deep = malloc(DEPTH);
    memset(deep, '[', DEPTH);
    cr_assert_not(cli_json_is_value(deep, DEPTH));
    memset(deep, '[', 500);
    memset(deep + 500, ']', 500);
    cr_assert(cli_json_is_value(deep, 1000));
    free(deep);
}

/* A search of all earlier keys, or of all suffixes, for each column would take hours. */
Test(json, sixty_thousand_columns_of_one_name_are_told_apart) {
    enum { COLUMNS = 60000 };
    const char **names = calloc(COLUMNS, sizeof *names);
    struct cli_cell *cells = calloc(COLUMNS, sizeof *cells);
    for (size_t i = 0; i < COLUMNS; i++) {
        names[i] = i % 3 == 0 ? "?column?_7" : "?column?";
        cells[i] = number("1");
    }
    struct source s = {names, COLUMNS, cells};
    char *got = print(JSON, &s, 1);
    cr_assert(strncmp(got, "[\n{\"?column?_7\": 1, \"?column?\": 1, \"?column?_2\": 1, \"?column?_7_2\": 1, ", 70) ==
              0);
    cr_assert_not_null(strstr(got, ", \"?column?_6\": 1, "));
    cr_assert_not_null(strstr(got, ", \"?column?_8\": 1, ")); /* _7 is there */
    cr_assert_not_null(strstr(got, ", \"?column?_7_20000\": 1, "));
    cr_assert_not_null(strstr(got, ", \"?column?_40001\": 1}\n]\n"));
    free(got);
    free(cells);
    free(names);
}

Test(json, names_that_are_printed_alike_are_told_apart) {
    struct source s = {NAMES("\xff", "\xfe", "\xef\xbf\xbd_2"), 3, CELLS(number("1"), number("2"), number("3"))};
    expect(JSON, &s, 1, "[\n{\"\xef\xbf\xbd\": 1, \"\xef\xbf\xbd_2\": 2, \"\xef\xbf\xbd_2_2\": 3}\n]\n");
}

/* ---- What a terminal is given ------------------------------------------------------------------------------------ */

/* Unicode's general categories Cc, Zl and Zp, its property Bidi_Control, and the format characters it deprecates. */
static bool is_dangerous(uint32_t c) {
    static const uint32_t ranges[][2] = {{0, 0x1f},        {0x7f, 0x9f},     {0x061c, 0x061c}, {0x200e, 0x200f},
                                         {0x2028, 0x2029}, {0x202a, 0x202e}, {0x2066, 0x2069}, {0x206a, 0x206f}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

static size_t encode(uint32_t c, char bytes[4]) {
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size; i > 1; i--, c >>= 6)
        bytes[i - 1] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(size == 1 ? c : (0xf00u >> size & 0xff) | c);
    return size;
}

/* `kept`: white space that may stand as it is. */
static void expect_safe(const char *text, const char *kept, uint32_t c) {
    for (size_t at = 0, size = strlen(text), length; at < size; at += length) {
        uint32_t shown = 0;
        length = cli_utf8_decode(text + at, size - at, &shown);
        cr_assert(length > 0 && ((shown < 0x80 && strchr(kept, (int)shown)) || !is_dangerous(shown)),
                  "U+%04X in a text with U+%04X", shown, c);
    }
}

Test(terminal, gets_no_character_that_moves_it_in_any_format) {
    static const enum format formats[] = {TABLE, ASCII_TABLE, TERMINAL_CSV, JSON};
    for (uint32_t c = 1; c<0x10ffff; c += c> 0x3000 ? 251 : 1) {
        char value[8] = {0}, name[8] = "n", json[16] = "\"";
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        encode(c, value);
        memcpy(name + 1, value, 5);
        size_t end = 1 + encode(c, json + 1);
        json[end] = '"';
        struct source s = {NAMES(name, "j"), 2, CELLS(text(value), cell(CLI_CELL_JSON, json))};
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
            char *got = print(formats[i], &s, 1);
            expect_safe(got, formats[i] == TERMINAL_CSV ? "\n\t" : "\n", c);
            free(got);
        }
        char *got = print(CSV, &s, 1);
        cr_assert_not_null(strstr(got, value), "CSV keeps U+%04X", c);
        free(got);
    }
}

Test(terminal, gets_no_ill_formed_bytes) {
    static const char *const bytes[] = {"\xff",     "\x9b",         "\xc2",     "\xed\xa0\x80",     "\xed\xbf\xbf",
                                        "\xc0\x9b", "\xe0\x82\x9b", "\xf0\x9f", "\xf4\x90\x80\x80", "a\xe2\x80"};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        struct source s = {NAMES(bytes[i]), 1, CELLS(text(bytes[i]))};
        char *table = print(TABLE, &s, 1), *csv = print(TERMINAL_CSV, &s, 1), *json = print(JSON, &s, 1);
        expect_safe(table, "\n", 0);
        expect_safe(csv, "\n", 0);
        expect_safe(json, "\n", 0);
        free(table);
        free(csv);
        free(json);
    }
}

Test(terminal, json_is_the_same_value_with_escapes) {
    struct source s = {NAMES("k\x7f"), 1,
                       CELLS(text("a\x7f\xc2\x9b\xe2\x80\xaez\xe2\x80\x8dy\xf0\x9f\x98\x80"),
                             cell(CLI_CELL_JSON, "{\"\xc2\x85\":\r\n\t[1, \"\xe2\x81\xa6\\n\\\"é\"]}"))};
    expect(JSON, &s, 2,
           "[\n{\"k\\u007f\": \"a\\u007f\\u009b\\u202ez\xe2\x80\x8dy\xf0\x9f\x98\x80\"},\n"
           "{\"k\\u007f\": {\"\\u0085\":   [1, \"\\u2066\\n\\\"é\"]}}\n]\n");
}

Test(terminal, csv_shows_what_is_not_safe) {
    struct source s = {NAMES("\033c"), 1, CELLS(text("say \"\033[2J\"\nand\tmore"), text("\r"))};
    expect(TERMINAL_CSV, &s, 2, "\\x1bc\n\"say \"\"\\x1b[2J\"\"\nand\tmore\"\n\"\\r\"\n");
    expect(CSV, &s, 2, "\033c\n\"say \"\"\033[2J\"\"\nand\tmore\"\n\"\r\"\n");
}

/* ---- Output ------------------------------------------------------------------------------------------------------ */

Test(out, failures_are_remembered_and_end_it) {
    struct cli_out out;
    cli_out_init(&out, 12345); /* no such descriptor */
    cli_out_text(&out, "text");
    cr_assert_eq(out.error, 0);
    cr_assert_eq(cli_out_flush(&out), -1);
    cr_assert_eq(out.error, EBADF);
    cli_out_repeat(&out, "x", 1000000);
    cr_assert_eq(out.size, 0);
    cr_assert_eq(cli_out_flush(&out), -1);
    cli_out_free(&out);
}
