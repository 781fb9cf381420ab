/* SPDX-License-Identifier: MIT */
#include "cli/common/text.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

static bool locale_is_utf8;

void cli_text_locale(void) {
    locale_is_utf8 = setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (!locale_is_utf8)
        setlocale(LC_CTYPE, "C.UTF-8");
}

bool cli_text_is_utf8(void) {
    return locale_is_utf8;
}

/*
 * The table of RFC 3629: bytes 0xc0 and 0xc1 could only begin overlong forms, those from 0xf5 on only characters above
 * U+10FFFF. An overlong form is refused because it would carry a control character past whoever looks for its one byte.
 */
size_t cli_utf8_decode(const char *text, size_t size, uint32_t *character) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;

    if (size == 0)
        return 0;
    size_t length = byte[0] < 0x80   ? 1
                    : byte[0] < 0xc2 ? 0
                    : byte[0] < 0xe0 ? 2
                    : byte[0] < 0xf0 ? 3
                    : byte[0] < 0xf5 ? 4
                                     : 0;
    if (length == 0 || length > size)
        return 0;
    uint32_t value = length == 1 ? byte[0] : byte[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (byte[i] & 0x3fu);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *character = value;
    return length;
}

/*
 * Returns whether a terminal may be given this character as it is. False for those that move its cursor, change its
 * state, or change the order in which their neighbours show: control characters of ASCII and Unicode, line and paragraph
 * separators, bidirectional and deprecated format controls. All functions of this file ask here, so that the printers agree.
 */
static bool character_is_safe(uint32_t c) {
    if (c < 0x7f)
        return c >= 0x20;
    bool control = c <= 0x9f;
    bool separator = c == 0x2028 || c == 0x2029;
    bool direction =
        c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x206f);
    return !control && !separator && !direction;
}

static size_t put_escape(struct cli_out *out, const char *format, uint32_t value) {
    char escape[16];
    int size = snprintf(escape, sizeof escape, format, value);
    if (out)
        cli_out_bytes(out, escape, (size_t)size);
    return (size_t)size;
}

/* Writes one character that is not plain ASCII, and returns its columns. */
static size_t put_character(struct cli_out *out, const char *text, size_t length, uint32_t c, unsigned flags) {
    if (c == '\n' || c == '\t') {
        if (!(flags & CLI_TEXT_KEEP_LINES))
            return put_escape(out, c == '\n' ? "\\n" : "\\t", c);
        if (out)
            cli_out_bytes(out, text, 1);
        return c == '\t' ? 8 : 0; /* at most: where the next tab stop is, is not known here */
    }
    if (c == '\r')
        return put_escape(out, "\\r", c);
    if (c < 0x20 || c == 0x7f)
        return put_escape(out, "\\x%02x", c);
    int width = character_is_safe(c) ? wcwidth((wchar_t)c) : -1;
    if (width < 0)
        return put_escape(out, "\\u{%x}", c);
    if (out)
        cli_out_bytes(out, text, length);
    return (size_t)width;
}

size_t cli_text_safe(struct cli_out *out, const char *text, size_t size, unsigned flags) {
    size_t columns = 0;
    for (size_t at = 0; at < size;) {
        size_t plain = at;
        while (plain < size && text[plain] >= 0x20 && text[plain] < 0x7f)
            plain++;
        if (out && plain > at)
            cli_out_bytes(out, text + at, plain - at);
        columns += plain - at;
        at = plain;
        if (at == size)
            break;
        uint32_t c;
        size_t length = cli_utf8_decode(text + at, size - at, &c);
        if (length > 0)
            columns += put_character(out, text + at, length, c, flags);
        else
            columns += put_escape(out, "\\x%02x", (unsigned char)text[at]);
        at += length > 0 ? length : 1;
    }
    return columns;
}

static void put_json_escape(struct cli_out *out, uint32_t c) {
    static const char names[] = "btn\0fr"; /* 8 to 13; 11 has none */
    if (c == '"' || c == '\\')
        cli_out_format(out, "\\%c", (char)c);
    else if (c >= 8 && c <= 13 && names[c - 8])
        cli_out_format(out, "\\%c", names[c - 8]);
    else
        cli_out_format(out, "\\u%04x", c); /* unsafe characters are all below U+10000: none takes a surrogate pair */
}

/* Returns how many bytes from `at` on are safe and need no escape in JSON. */
static size_t json_plain(const char *text, size_t size, size_t at, bool in_string) {
    size_t from = at;
    while (at < size) {
        uint32_t c = (unsigned char)text[at];
        size_t length = c < 0x80 ? 1 : cli_utf8_decode(text + at, size - at, &c);
        if (length == 0 || !character_is_safe(c) || (in_string && (c == '"' || c == '\\')))
            break;
        at += length;
    }
    return at - from;
}

void cli_text_json_inside(struct cli_out *out, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        uint32_t c;
        size_t plain = json_plain(text, size, at, true);
        cli_out_bytes(out, text + at, plain);
        at += plain;
        if (at == size)
            break;
        size_t length = cli_utf8_decode(text + at, size - at, &c);
        if (length > 0)
            put_json_escape(out, c);
        else
            cli_out_text(out, "\xef\xbf\xbd");
        at += length > 0 ? length : 1;
    }
}

void cli_text_json_value(struct cli_out *out, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        uint32_t c = ' ';
        size_t plain = json_plain(text, size, at, false);
        cli_out_bytes(out, text + at, plain);
        at += plain;
        if (at == size)
            break;
        size_t length = cli_utf8_decode(text + at, size - at, &c);
        if (c < 0x20)
            cli_out_char(out, ' '); /* white space between tokens: RFC 8259 has these escaped in strings */
        else
            put_json_escape(out, c);
        at += length > 0 ? length : 1;
    }
}

void cli_text_json(struct cli_out *out, const char *text, size_t size) {
    cli_out_char(out, '"');
    cli_text_json_inside(out, text, size);
    cli_out_char(out, '"');
}
