/* SPDX-License-Identifier: MIT */
/* Every printer keeps from a terminal what would move its cursor or change its state. */
#include "cli/common/text.h"
#include "lib/cli_rows.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

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

Test(cli_terminal, cli_print_gives_a_terminal_no_character_that_moves_it) {
    static const enum rows_format formats[] = {ROWS_TABLE, ROWS_ASCII_TABLE, ROWS_TERMINAL_CSV, ROWS_JSON};
    for (uint32_t c = 1; c<0x10ffff; c += c> 0x3000 ? 251 : 1) {
        char value[8] = {0}, name[8] = "n", json[16] = "\"";
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        encode(c, value);
        memcpy(name + 1, value, 5);
        size_t end = 1 + encode(c, json + 1);
        json[end] = '"';
        struct rows_source s = {NAMES(name, "j"), 2, CELLS(rows_text(value), rows_cell(CLI_CELL_JSON, json))};
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
            char *got = rows_print(formats[i], &s, 1);
            expect_safe(got, formats[i] == ROWS_TERMINAL_CSV ? "\n\t" : "\n", c);
            free(got);
        }
        char *got = rows_print(ROWS_CSV, &s, 1);
        cr_assert_not_null(strstr(got, value), "CSV keeps U+%04X", c);
        free(got);
    }
}

Test(cli_terminal, cli_print_gives_a_terminal_no_ill_formed_bytes) {
    static const char *const bytes[] = {"\xff",     "\x9b",         "\xc2",     "\xed\xa0\x80",     "\xed\xbf\xbf",
                                        "\xc0\x9b", "\xe0\x82\x9b", "\xf0\x9f", "\xf4\x90\x80\x80", "a\xe2\x80"};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        struct rows_source s = {NAMES(bytes[i]), 1, CELLS(rows_text(bytes[i]))};
        char *table = rows_print(ROWS_TABLE, &s, 1), *csv = rows_print(ROWS_TERMINAL_CSV, &s, 1),
             *json = rows_print(ROWS_JSON, &s, 1);
        expect_safe(table, "\n", 0);
        expect_safe(csv, "\n", 0);
        expect_safe(json, "\n", 0);
        free(table);
        free(csv);
        free(json);
    }
}

Test(cli_terminal, cli_print_json_escapes_and_keeps_the_value) {
    struct rows_source s = {NAMES("k\x7f"), 1,
                            CELLS(rows_text("a\x7f\xc2\x9b\xe2\x80\xaez\xe2\x80\x8dy\xf0\x9f\x98\x80"),
                                  rows_cell(CLI_CELL_JSON, "{\"\xc2\x85\":\r\n\t[1, \"\xe2\x81\xa6\\n\\\"é\"]}"))};
    rows_expect(ROWS_JSON, &s, 2,
                "[\n{\"k\\u007f\": \"a\\u007f\\u009b\\u202ez\xe2\x80\x8dy\xf0\x9f\x98\x80\"},\n"
                "{\"k\\u007f\": {\"\\u0085\":   [1, \"\\u2066\\n\\\"é\"]}}\n]");
}

Test(cli_terminal, cli_print_csv_shows_what_is_not_safe_on_a_terminal) {
    struct rows_source s = {NAMES("\033c"), 1, CELLS(rows_text("say \"\033[2J\"\nand\tmore"), rows_text("\r"))};
    rows_expect(ROWS_TERMINAL_CSV, &s, 2, "\\x1bc\n\"say \"\"\\x1b[2J\"\"\nand\tmore\"\n\"\\r\"\n");
    rows_expect(ROWS_CSV, &s, 2, "\033c\n\"say \"\"\033[2J\"\"\nand\tmore\"\n\"\r\"\n");
}
