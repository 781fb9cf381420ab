/* SPDX-License-Identifier: MIT */
/* UTF-8 as the tool decodes it. */
#include "cli/common/text.h"

#include <criterion/criterion.h>

Test(cli_text, cli_utf8_decode_takes_only_well_formed_characters) {
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
