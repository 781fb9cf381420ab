/* SPDX-License-Identifier: MIT */
#include "core/error.h"

#include <criterion/criterion.h>
#include <string.h>

static struct query_error error;

static void setup(void) {
    error_init(&error);
}

static void teardown(void) {
    error_free(&error);
}

TestSuite(error, .init = setup, .fini = teardown);

static void assert_texts(const char *sqlstate, const char *message, const char *detail, const char *hint) {
    cr_assert_str_eq(error.view.sqlstate, sqlstate);
    cr_assert_str_eq(error.view.message, message);
    cr_assert_str_eq(error.view.detail, detail);
    cr_assert_str_eq(error.view.hint, hint);
}

Test(error, is_empty_at_first_and_once_cleared) {
    assert_texts("", "", "", "");
    error_clear(&error);
    error_set(&error, "22P02", "m", "d", "h", 7);
    error.view.backend_code = 5;
    error_clear(&error);
    assert_texts("", "", "", "");
    cr_assert_eq(error.view.position, 0);
    cr_assert_eq(error.view.backend_code, 0);
}

Test(error, keeps_all_parts) {
    error_set(&error, "23505", "duplicate key", "Key (id)=(1) already exists.", "try another", 12);
    assert_texts("23505", "duplicate key", "Key (id)=(1) already exists.", "try another");
    cr_assert_eq(error.view.position, 12);
    error.view.backend_code = 2067;
    error_set(&error, "42601", "short", NULL, "", 0);
    assert_texts("42601", "short", "", "");
    cr_assert_eq(error.view.position, 0);
    cr_assert_eq(error.view.backend_code, 0);
}

Test(error, texts_are_utf8_whatever_came) {
    char before[] = "gr\xfc\xdf", detail[] = "\xed\xa0\x80";
    error_set(&error, "XX000", before, detail, "\xe2\x82\xac\xe2\x82", 0);
    assert_texts("XX000", "gr??", "???", "\xe2\x82\xac??");
    error_format(&error, "XX000", "%s: %s",
                 "Stra\xc3\x9f"
                 "e",
                 before);
    assert_texts("XX000",
                 "Stra\xc3\x9f"
                 "e: gr??",
                 "", "");
}

/* At each place that a character of three bytes can have at the limit. */
Test(error, a_formatted_text_is_cut_between_characters) {
    static char text[ERROR_TEXT_BYTES_MAX + 10];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t at = shift; at + 3 < sizeof text; at += 3)
            memcpy(text + at, "\xe2\x82\xac", 4);
        size_t whole = shift + (ERROR_TEXT_BYTES_MAX - shift) / 3 * 3;
        error_format(&error, "XX000", "%s", text);
        cr_assert_eq(strlen(error.view.message), whole);
        cr_assert_eq(memcmp(error.view.message, text, whole), 0);
        error_set(&error, "XX000", text, NULL, text, 0);
        cr_assert_eq(strlen(error.view.message), whole);
        cr_assert_str_eq(error.view.hint, error.view.message);
    }
}

Test(error, all_texts_may_be_absent) {
    error_set(&error, "XX000", NULL, NULL, NULL, 0);
    assert_texts("XX000", "", "", "");
    cr_assert(error.set);
}

Test(error, sqlstate_is_cut_and_may_be_absent) {
    error_set(&error, "", "m", NULL, NULL, 0);
    assert_texts("", "m", "", "");
    error_set(&error, "0123456789", "m", NULL, NULL, 0);
    assert_texts("01234", "m", "", "");
    error_set(&error, "01", "m", NULL, NULL, 0);
    assert_texts("01", "m", "", "");
}

Test(error, formats) {
    error_format(&error, "08006", "connection %d lost: %s", 3, "reset by peer");
    assert_texts("08006", "connection 3 lost: reset by peer", "", "");
    error_format(&error, "08006", "%s", "");
    assert_texts("08006", "", "", "");
}

/* For lengths around the limit, the texts are cut to it and no further. */
Test(error, long_texts_are_cut) {
    static char text[ERROR_TEXT_BYTES_MAX + 100];
    for (int past = -2; past <= 2; past++) {
        size_t length = (size_t)(ERROR_TEXT_BYTES_MAX + past);
        size_t kept = past > 0 ? ERROR_TEXT_BYTES_MAX : length;
        memset(text, 'x', length);
        text[length] = 0;
        error_set(&error, "00000", text, text, text, 0);
        cr_assert_eq(strlen(error.view.message), kept);
        cr_assert_eq(strlen(error.view.detail), kept);
        cr_assert_eq(strlen(error.view.hint), kept);
        error_format(&error, "00000", "%s", text);
        cr_assert_eq(strlen(error.view.message), kept);
    }
}

/* A character of 1 to 4 bytes that the limit would split is left out whole. */
Test(error, cuts_between_characters) {
    static const char *const characters[] = {"a", "é", "€", "😀"};
    static char text[ERROR_TEXT_BYTES_MAX + 10];
    for (int i = 0; i < 4; i++)
        for (size_t before = 0; before <= 4; before++) {
            size_t start = ERROR_TEXT_BYTES_MAX - before, size = strlen(characters[i]);
            memset(text, 'x', sizeof text - 1);
            memcpy(text + start, characters[i], size);
            error_set(&error, "00000", text, NULL, NULL, 0);
            size_t wanted = start + size > ERROR_TEXT_BYTES_MAX ? start : ERROR_TEXT_BYTES_MAX;
            cr_assert_eq(strlen(error.view.message), wanted, "%zu bytes before: %zu", before,
                         strlen(error.view.message));
        }
}

Test(error, without_memory_there_is_still_a_message) {
    error.text.limit = 3;
    error_set(&error, "53200", "long", "long", NULL, 9);
    cr_assert_str_eq(error.view.sqlstate, "53200");
    cr_assert_neq(error.view.message[0], 0);
    cr_assert_str_eq(error.view.detail, "");
    error_format(&error, "53200", "%s", "long");
    cr_assert_neq(error.view.message[0], 0);
    error_format(&error, "53200", "%s", "ok");
    assert_texts("53200", "ok", "", "");
}

Test(error, large_memory_is_given_back) {
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    error_set(&error, "00000", text, NULL, NULL, 0);
    error_clear(&error);
    cr_assert_leq(error.text.capacity, ERROR_KEEP_BYTES);
}
