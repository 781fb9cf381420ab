/* SPDX-License-Identifier: MIT */
/* Rows as JSON, and which texts are JSON. */
#include "lib/cli_rows.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(cli_json, cli_print_json_keeps_the_kind_of_values) {
    struct rows_source s = {NAMES("n", "b", "t", "j", "z"), 5,
                            CELLS(rows_number("12345678901234567890.10"), rows_cell(CLI_CELL_BOOL, "t"), rows_text("1"),
                                  rows_cell(CLI_CELL_JSON, "{\"a\": [1, 2]}"), ROWS_NULL, rows_number("NaN"),
                                  rows_cell(CLI_CELL_BOOL, "false"), rows_text("a\"\\\n\x01é\xff/"),
                                  rows_cell(CLI_CELL_JSON, "{oops"), rows_text(""))};
    rows_expect(ROWS_JSON, &s, 2,
                "[\n{\"n\": 12345678901234567890.10, \"b\": true, \"t\": \"1\", \"j\": {\"a\": [1, 2]}, \"z\": null},\n"
                "{\"n\": \"NaN\", \"b\": false, \"t\": \"a\\\"\\\\\\n\\u0001é\xef\xbf\xbd/\", \"j\": \"{oops\", \"z\": "
                "\"\"}\n]");
    rows_expect(ROWS_JSON, &s, 0, "[]");
}

Test(cli_json, cli_print_json_gives_columns_of_one_name_keys_of_their_own) {
    struct rows_source s = {NAMES("a", "a", "a_2", "a"), 4,
                            CELLS(rows_number("1"), rows_number("2"), rows_number("3"), rows_number("4"))};
    rows_expect(ROWS_JSON, &s, 1, "[\n{\"a\": 1, \"a_2\": 2, \"a_2_2\": 3, \"a_3\": 4}\n]");
}

static struct cli_cell array(const char *text, enum cli_cell_kind element) {
    struct cli_cell cell = rows_cell(CLI_CELL_ARRAY, text);
    cell.element = element;
    return cell;
}

Test(cli_json, cli_print_json_gives_arrays_whose_elements_keep_their_kind) {
    struct rows_source s = {NAMES("n", "t", "b", "j", "d"), 5,
                            CELLS(array("{1,NULL,12345678901234567890.10,NaN}", CLI_CELL_NUMBER),
                                  array("{a,\"b\\\"c\",\"NULL\",1}", CLI_CELL_TEXT), array("{t,f,NULL}", CLI_CELL_BOOL),
                                  array("{\"{\\\"k\\\": [1]}\",1,oops}", CLI_CELL_JSON),
                                  array("[0:1][1:1]={{1},{2}}", CLI_CELL_NUMBER), array("{}", CLI_CELL_NUMBER),
                                  array("{", CLI_CELL_TEXT), array("{t", CLI_CELL_BOOL), ROWS_NULL, rows_text("{1}"))};
    rows_expect(ROWS_JSON, &s, 2,
                "[\n{\"n\": [1, null, 12345678901234567890.10, \"NaN\"], \"t\": [\"a\", \"b\\\"c\", \"NULL\", \"1\"], "
                "\"b\": [true, false, null], \"j\": [{\"k\": [1]}, 1, \"oops\"], \"d\": [[1], [2]]},\n"
                "{\"n\": [], \"t\": \"{\", \"b\": \"{t\", \"j\": null, \"d\": \"{1}\"}\n]");
}

Test(cli_json, cli_print_ndjson_gives_a_line_a_row) {
    struct rows_source s = {
        NAMES("a", "j"), 2,
        CELLS(rows_text("x\ny"), rows_cell(CLI_CELL_JSON, "{\n\"k\":\n1}"), rows_number("2"), ROWS_NULL)};
    rows_expect(ROWS_NDJSON, &s, 2, "{\"a\": \"x\\ny\", \"j\": { \"k\": 1}}\n{\"a\": 2, \"j\": null}\n");
    rows_expect(ROWS_NDJSON, &s, 0, "");
}

Test(cli_json, cli_json_is_value_takes_json_and_nothing_else) {
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
Test(cli_json, cli_print_json_keeps_values_that_no_c_type_holds) {
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
        struct rows_source s = {NAMES("j"), 1, CELLS(rows_cell(CLI_CELL_JSON, values[i]))};
        snprintf(wanted, sizeof wanted, "[\n{\"j\": %s}\n]", values[i]);
        rows_expect(ROWS_JSON, &s, 1, wanted);
    }
}

Test(cli_json, cli_json_is_value_takes_no_stack_for_deep_nesting) {
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
Test(cli_json, cli_print_json_tells_sixty_thousand_columns_of_one_name_apart) {
    enum { COLUMNS = 60000 };
    const char **names = calloc(COLUMNS, sizeof *names);
    struct cli_cell *cells = calloc(COLUMNS, sizeof *cells);
    for (size_t i = 0; i < COLUMNS; i++) {
        names[i] = i % 3 == 0 ? "?column?_7" : "?column?";
        cells[i] = rows_number("1");
    }
    struct rows_source s = {names, COLUMNS, cells};
    char *got = rows_print(ROWS_JSON, &s, 1);
    cr_assert(strncmp(got, "[\n{\"?column?_7\": 1, \"?column?\": 1, \"?column?_2\": 1, \"?column?_7_2\": 1, ", 70) ==
              0);
    cr_assert_not_null(strstr(got, ", \"?column?_6\": 1, "));
    cr_assert_not_null(strstr(got, ", \"?column?_8\": 1, ")); /* _7 is there */
    cr_assert_not_null(strstr(got, ", \"?column?_7_20000\": 1, "));
    cr_assert_not_null(strstr(got, ", \"?column?_40001\": 1}\n]"));
    free(got);
    free(cells);
    free(names);
}

Test(cli_json, cli_print_json_tells_names_apart_that_are_printed_alike) {
    struct rows_source s = {NAMES("\xff", "\xfe", "\xef\xbf\xbd_2"), 3,
                            CELLS(rows_number("1"), rows_number("2"), rows_number("3"))};
    rows_expect(ROWS_JSON, &s, 1, "[\n{\"\xef\xbf\xbd\": 1, \"\xef\xbf\xbd_2\": 2, \"\xef\xbf\xbd_2_2\": 3}\n]");
}
