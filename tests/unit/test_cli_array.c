/* SPDX-License-Identifier: MIT */
/* PostgreSQL's text of arrays. */
#include "cli/run/array.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The tokens as text: [ ] , N for NULL, 'element', ! for what is no array. */
static char *tokens(const char *text, size_t size) {
    struct cli_array array;
    struct cli_out out;
    char *copy = malloc(size ? size : 1); /* without a NUL: reading past the end shows in a sanitizer's build */
    enum cli_array_token token;
    memcpy(copy, text, size);
    cli_out_init(&out, CLI_OUT_MEMORY);
    cli_array_init(&array, copy, size);
    do {
        token = cli_array_next(&array);
        if (token == CLI_ARRAY_ELEMENT) {
            cli_out_char(&out, '\'');
            cli_out_bytes(&out, array.text, array.size);
            cli_out_char(&out, '\'');
        } else if (token != CLI_ARRAY_END) {
            cli_out_char(&out, token == CLI_ARRAY_OPEN    ? '['
                               : token == CLI_ARRAY_CLOSE ? ']'
                               : token == CLI_ARRAY_NULL  ? 'N'
                                                          : '!');
        }
    } while (token != CLI_ARRAY_END && token != CLI_ARRAY_BAD);
    cli_out_char(&out, 0);
    cli_array_free(&array);
    free(copy);
    return out.data;
}

static void expect(const char *text, const char *wanted) {
    char *got = tokens(text, strlen(text));
    cr_assert_str_eq(got, wanted, "%s gives %s, not %s", text, got, wanted);
    free(got);
}

Test(cli_array, cli_array_next_gives_elements_without_their_quotation_marks) {
    expect("{}", "[]");
    expect("{1,-2.5,NaN}", "['1''-2.5''NaN']");
    expect("{NULL,null,\"NULL\",nulls}", "[NN'NULL''nulls']");
    expect("{\"\",\" \",\"a,b\",\"{}\",a b}", "[''' ''a,b''{}''a b']");
    expect("{\"\\\"\",\"\\\\x00\",\"a\\b\"}", "['\"''\\x00''ab']");
    expect("{é,\"漢 字\"}", "['é''漢 字']");
}

Test(cli_array, cli_array_next_gives_all_dimensions) {
    expect("{{1,2},{3,NULL}}", "[['1''2']['3'N]]");
    expect("{{{{{{1}}}}}}", "[[[[[['1']]]]]]");
    expect("[0:1]={7,8}", "['7''8']");
    expect("[-1:0][2:2]={{7},{\"=\"}}", "[['7']['=']]");
}

Test(cli_array, cli_array_next_takes_nothing_else) {
    static const char *const bad[] = {
        "",       "1",        "{",        "}",        "{,}",
        "{1,}",   "{1",       "{1}}",     "{1}x",     "{\"a}",
        "{\"a\\", "{a\"b}",   "{\"a\"b}", "{a\\b}",   "{{1}{2}}",
        "{1{2}}", "[0:1]{1}", "[0:1=",    "[0:1]={1", "{{{{{{{1}}}}}}}",
        "{1};",   " {1}",     "{{}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *got = tokens(bad[i], strlen(bad[i]));
        cr_assert_eq(got[strlen(got) - 1], '!', "%s gives %s", bad[i], got);
        free(got);
    }
}

/* Every text of a few characters ends in END or BAD, within its bytes. */
Test(cli_array, cli_array_next_ends_on_any_text) {
    static const char letters[] = "{},\"\\a[=";
    char text[6];
    for (unsigned n = 0; n < 8u * 8 * 8 * 8 * 8 * 8; n++) {
        for (unsigned i = 0, rest = n; i < sizeof text; i++, rest /= 8)
            text[i] = letters[rest % 8];
        free(tokens(text, sizeof text));
    }
}
