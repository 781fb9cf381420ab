/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include "lib/guard.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

static void expect(const char *given, const char *mended) {
    char text[64];
    size_t size = strlen(given);
    memcpy(text, given, size + 1);
    utf8_mend(text, size);
    cr_assert_str_eq(text, mended);
}

Test(utf8, what_is_valid_stays) {
    expect("", "");
    expect("plain", "plain");
    expect("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf",
           "\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf");
}

Test(utf8, each_stray_byte_becomes_a_question_mark) {
    expect("gr\xfc\xdf"
           "e",
           "gr??e"); /* Latin-1 */
    expect("\x80", "?");
    expect("\xc0\x80 \xc1\xbf", "?? ??");                     /* overlong */
    expect("\xe0\x9f\xbf \xf0\x8f\xbf\xbf", "??? ????");      /* overlong */
    expect("\xed\xa0\x80", "???");                            /* a surrogate */
    expect("\xf4\x90\x80\x80 \xf5\x80\x80\x80", "???? ????"); /* over U+10FFFF */
    expect("\xe2\x82z \xf0\x9f\x98", "??z ???");
    expect("\xe2\xe2\x82\xac", "?\xe2\x82\xac");
}

/* An oracle by code points: encode each, and it is valid; change one byte to what no encoding has there, and it is not. */
Test(utf8, every_code_point) {
    for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
        if (c == 0xd800)
            c = 0xe000;
        char text[5] = {0}, copy[5];
        if (c < 0x800)
            text[0] = (char)(0xc0 | c >> 6), text[1] = (char)(0x80 | (c & 0x3f));
        else if (c < 0x10000)
            text[0] = (char)(0xe0 | c >> 12), text[1] = (char)(0x80 | (c >> 6 & 0x3f)),
            text[2] = (char)(0x80 | (c & 0x3f));
        else
            text[0] = (char)(0xf0 | c >> 18), text[1] = (char)(0x80 | (c >> 12 & 0x3f)),
            text[2] = (char)(0x80 | (c >> 6 & 0x3f)), text[3] = (char)(0x80 | (c & 0x3f));
        size_t size = strlen(text);
        memcpy(copy, text, sizeof copy);
        utf8_mend(copy, size);
        if (memcmp(copy, text, sizeof copy) != 0)
            cr_assert_fail("U+%04X", c);
        for (size_t cut = 1; cut < size; cut++)
            if (utf8_whole(text, cut) != 0)
                cr_assert_fail("U+%04X, cut to %zu", c, cut);
        if (utf8_whole(text, size) != size)
            cr_assert_fail("U+%04X is whole", c);
    }
}

Test(utf8, only_a_cut_end_is_taken_off) {
    cr_assert_eq(utf8_whole("", 0), 0);
    cr_assert_eq(utf8_whole("ab", 2), 2);
    cr_assert_eq(utf8_whole("a\xff", 2), 2, "that is no beginning of anything");
    cr_assert_eq(utf8_whole("\x80\x80\x80\x80", 4), 4);
    char text[] = "a\xe2\x82\xac\xff\xe2\x82";
    utf8_tidy(text);
    cr_assert_str_eq(text, "a\xe2\x82\xac?");
}

Test(utf8, nothing_past_the_end_is_looked_at) {
    static const char all[] = "\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa9";
    struct guard guard;
    guard_open(&guard, sizeof all);
    for (size_t size = 0; size < sizeof all; size++) {
        char *text = (char *)guard_place(&guard, all, size);
        cr_assert_leq(utf8_whole(text, size), size);
        utf8_mend(text, size);
    }
    guard_close(&guard);
}
