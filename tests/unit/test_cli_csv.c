/* SPDX-License-Identifier: MIT */
/* Rows as CSV. */
#include "lib/cli_rows.h"

#include <criterion/criterion.h>

Test(cli_csv, cli_print_csv_leaves_null_empty_and_quotes_an_empty_string) {
    struct rows_source s = {NAMES("a", "b", "c"), 3, CELLS(ROWS_NULL, rows_text(""), rows_number("1"))};
    rows_expect(ROWS_CSV, &s, 1, "a,b,c\n,\"\",1\n");
}

Test(cli_csv, cli_print_csv_quotes_only_what_needs_it) {
    struct rows_source s = {NAMES("plain", "a,b", "say \"x\"", ""), 4,
                            CELLS(rows_text("two words"), rows_text("l1\nl2"), rows_text("\""), rows_text("cr\r"),
                                  rows_text(" lead"), rows_text("trail "), rows_text("\\."), rows_text("é\033"))};
    rows_expect(ROWS_CSV, &s, 2,
                "plain,\"a,b\",\"say \"\"x\"\"\",\"\"\n"
                "two words,\"l1\nl2\",\"\"\"\",\"cr\r\"\n"
                "\" lead\",\"trail \",\"\\.\",é\033\n");
    rows_expect(ROWS_CSV, &s, 0, "plain,\"a,b\",\"say \"\"x\"\"\",\"\"\n");
}
