/* SPDX-License-Identifier: MIT */
/* bytea and uuid, to text and back. */
#include "value/convert.h"

size_t value_print_hex(char *out, const uint8_t *bytes, size_t size) {
    PRE(size <= (SIZE_MAX - 2) / 2);
    static const char digits[] = "0123456789abcdef";
    *out++ = '\\';
    *out++ = 'x';
    for (size_t i = 0; i < size; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    return 2 + 2 * size;
}

size_t value_print_uuid(char *out, const uint8_t uuid[16]) {
    static const char digits[] = "0123456789abcdef";
    char *at = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[uuid[i] >> 4];
        *at++ = digits[uuid[i] & 15];
    }
    return VALUE_UUID_TEXT_BYTES;
}

/* The digit's value, -1 for any other character. */
static int bytes_hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* As PostgreSQL's uuid_in(): braces around it, and a hyphen after each two bytes, may be there or not. */
int value_parse_uuid(const char *text, size_t size, uint8_t uuid[16]) {
    uint8_t parsed[16]; /* the contract leaves the caller's alone on failure */
    value_trim(&text, &size);
    if (size >= 2 && *text == '{' && text[size - 1] == '}') {
        text++;
        size -= 2;
    }
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        int high = at + 2 <= size ? bytes_hex_digit(text[at]) : -1;
        int low = at + 2 <= size ? bytes_hex_digit(text[at + 1]) : -1;
        if (high < 0 || low < 0)
            return QURING_ETYPE;
        parsed[i] = (uint8_t)(high << 4 | low);
        at += 2;
        if (i % 2 == 1 && i < 15 && at < size && text[at] == '-')
            at++;
    }
    if (at != size)
        return QURING_ETYPE;
    memcpy(uuid, parsed, sizeof parsed);
    return 0;
}

static int bytes_parse_hex(const char *text, size_t size, uint8_t *out, size_t *out_size) {
    size_t count = 0;
    if (size % 2)
        return QURING_ETYPE;
    for (size_t at = 0; at < size; at += 2) {
        int high = bytes_hex_digit(text[at]), low = bytes_hex_digit(text[at + 1]);
        if (high < 0 || low < 0)
            return QURING_ETYPE;
        out[count++] = (uint8_t)(high << 4 | low);
    }
    *out_size = count;
    return 0;
}

/* The first of three digits is 3 at most: \377 is the largest byte. */
static bool bytes_is_octal(char c, char max) {
    return c >= '0' && c <= max;
}

/*
 * bytea_output = escape, which a server may have set: \\ is a backslash, \ooo a byte, any other character itself. No
 * text gets longer by this, so `size` bytes are room enough.
 */
static int bytes_parse_escaped(const char *text, size_t size, uint8_t *out, size_t *out_size) {
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        if (text[at] != '\\') {
            out[count++] = (uint8_t)text[at++];
        } else if (size - at >= 2 && text[at + 1] == '\\') {
            out[count++] = '\\';
            at += 2;
        } else if (size - at >= 4 && bytes_is_octal(text[at + 1], '3') && bytes_is_octal(text[at + 2], '7') &&
                   bytes_is_octal(text[at + 3], '7')) {
            out[count++] = (uint8_t)((text[at + 1] - '0') << 6 | (text[at + 2] - '0') << 3 | (text[at + 3] - '0'));
            at += 4;
        } else {
            return QURING_ETYPE;
        }
    }
    *out_size = count;
    return 0;
}

int value_parse_bytes(const char *text, size_t size, uint8_t *out, size_t *out_size) {
    /* The escape format writes a backslash as two, so that a text in it never begins with \x. */
    if (size >= 2 && text[0] == '\\' && text[1] == 'x')
        return bytes_parse_hex(text + 2, size - 2, out, out_size);
    return bytes_parse_escaped(text, size, out, out_size);
}
