/* SPDX-License-Identifier: MIT */
/* Rows as aligned tables. */
#include "lib/cli_rows.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(cli_table, cli_print_table_aligns_columns_and_puts_numbers_right) {
    struct rows_source s = {NAMES("id", "name", "n"), 3,
                            CELLS(rows_number("1"), rows_text("ann"), rows_number("1.5"), rows_number("100"),
                                  rows_text("Bartholomew"), ROWS_NULL)};
    rows_expect(ROWS_TABLE, &s, 2,
                "  id │ name        │    n\n"
                "─────┼─────────────┼──────\n"
                "   1 │ ann         │  1.5\n"
                " 100 │ Bartholomew │ NULL\n"
                "(2 rows)\n");
    rows_expect(ROWS_ASCII_TABLE, &s, 1,
                " id | name |   n\n"
                "----+------+-----\n"
                "  1 | ann  | 1.5\n"
                "(1 row)\n");
    rows_expect(ROWS_ASCII_TABLE, &s, 0,
                " id | name | n\n"
                "----+------+---\n"
                "(0 rows)\n");
}

Test(cli_table, cli_print_table_takes_widths_of_the_screen_not_of_bytes) {
    struct rows_source s = {NAMES("ä", "b"), 2,
                            CELLS(rows_text("漢字"), rows_text("x"), rows_text("e\xcc\x81"), rows_text("x"),
                                  rows_text("ab"), rows_text("x"))};
    rows_expect(ROWS_ASCII_TABLE, &s, 3,
                " ä    | b\n"
                "------+---\n"
                " 漢字 | x\n"
                " e\xcc\x81    | x\n"
                " ab   | x\n"
                "(3 rows)\n");
}

Test(cli_table, cli_print_table_puts_mixed_values_left) {
    struct rows_source s = {NAMES("v"), 1, CELLS(rows_number("1"), rows_text("two"))};
    rows_expect(ROWS_ASCII_TABLE, &s, 2, " v\n-----\n 1\n two\n(2 rows)\n");
}

Test(cli_table, cli_print_table_gives_null_its_own_tone) {
    struct rows_source s = {NAMES("v"), 1, CELLS(ROWS_NULL, rows_text("NULL"))};
    rows_expect(ROWS_COLOR_TABLE, &s, 2, " v\n──────\n \033[2mNULL\033[22m\n NULL\n(2 rows)\n");
}

Test(cli_table, cli_print_table_keeps_hostile_text_from_the_terminal) {
    struct rows_source s = {NAMES("\033[2J"), 1,
                            CELLS(rows_text("a\033[31m"), rows_text("line\nfeed\ttab\r"), rows_text("\xc2\x9b\x31m"),
                                  rows_text("\xff\xfe"), rows_text("\xe2\x80\xae"), rows_text("\x7f"))};
    char *got = rows_print(ROWS_ASCII_TABLE, &s, 6);
    for (const char *c = got; *c; c++)
        cr_assert((*c >= 0x20 && *c < 0x7f) || *c == '\n', "byte %02x in %s", (unsigned char)*c, got);
    cr_assert_not_null(strstr(got, "a\\x1b[31m"));
    cr_assert_not_null(strstr(got, "line\\nfeed\\ttab\\r"));
    cr_assert_not_null(strstr(got, "\\u{9b}1m"));
    cr_assert_not_null(strstr(got, "\\xff\\xfe"));
    cr_assert_not_null(strstr(got, "\\u{202e}"));
    free(got);
}

/* The lines between the columns are 3 wide: 3 + 11 + 4 of the columns, 6 between them, and a space at either end. */
Test(cli_table, cli_print_table_is_expanded_where_it_is_wider_than_the_screen) {
    struct rows_source s = {NAMES("id", "ä", "n"), 3,
                            CELLS(rows_number("1"), rows_text("ann"), rows_number("1.5"), rows_number("100"),
                                  rows_text("Bartholomew"), ROWS_NULL)};
    static const char columns[] = "  id │ ä           │    n\n"
                                  "─────┼─────────────┼──────\n"
                                  "   1 │ ann         │  1.5\n"
                                  " 100 │ Bartholomew │ NULL\n"
                                  "(2 rows)\n";
    static const char expanded[] = "─[ RECORD 1 ]───\n"
                                   "id │ 1\n"
                                   "ä  │ ann\n"
                                   "n  │ 1.5\n"
                                   "─[ RECORD 2 ]───\n"
                                   "id │ 100\n"
                                   "ä  │ Bartholomew\n"
                                   "n  │ NULL\n"
                                   "(2 rows)\n";
    rows_screen_columns = 26;
    rows_expect(ROWS_TABLE, &s, 2, columns);
    rows_screen_columns = 25;
    rows_expect(ROWS_TABLE, &s, 2, expanded);
    rows_expanded = CLI_EXPANDED_OFF;
    rows_expect(ROWS_TABLE, &s, 2, columns);
    rows_screen_columns = 26;
    rows_expanded = CLI_EXPANDED_ON;
    rows_expect(ROWS_TABLE, &s, 2, expanded);
    rows_expect(ROWS_COLOR_TABLE, &s, 0, "(0 rows)\n");
    rows_screen_columns = 0; /* not known */
    rows_expect(ROWS_TABLE, &s, 2, expanded);
    rows_expanded = CLI_EXPANDED_AUTO;
    rows_expect(ROWS_TABLE, &s, 2, columns);
}

Test(cli_table, cli_print_table_expanded_keeps_to_the_screen_and_escapes) {
    struct rows_source s = {NAMES("a\nb", "v"), 2, CELLS(rows_text("x\033y\n"), rows_text("a value of some length"))};
    struct rows_source one = {NAMES("v"), 1, CELLS(rows_text("a value of some length"))};
    rows_screen_columns = 20;
    rows_expect(ROWS_ASCII_TABLE, &s, 1,
                "-[ RECORD 1 ]-------\n"
                "a\\nb | x\\x1by\\n\n"
                "v    | a value of some length\n"
                "(1 row)\n");
    rows_expect(ROWS_ASCII_TABLE, &one, 1, " v\n--------------------\n a value of some length\n(1 row)\n");
}

Test(cli_table, cli_print_table_and_json_go_on_behind_a_nul_byte) {
    struct rows_source s = {NAMES("v"), 1, CELLS({.kind = CLI_CELL_TEXT, .text = "a\0b", .size = 3})};
    rows_expect(ROWS_ASCII_TABLE, &s, 1, " v\n--------\n a\\x00b\n(1 row)\n");
    rows_expect(ROWS_JSON, &s, 1, "[\n{\"v\": \"a\\u0000b\"}\n]");
}
