/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* The length that a character's first byte announces; 0: no character begins with this byte. */
static size_t utf8_length_by_lead(uint8_t lead) {
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Overlong forms, surrogates and code points over U+10FFFF all show in the range of the second byte (RFC 3629, 4). */
static int utf8_second_fits(uint8_t lead, uint8_t second) {
    uint8_t from = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t to = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= from && second <= to;
}

/* The length of the valid character that `text` begins with; 0: it begins with none. */
static size_t utf8_valid_length(const uint8_t *text, size_t size) {
    size_t length = utf8_length_by_lead(text[0]);
    if (length < 2)
        return length;
    if (length > size || !utf8_second_fits(text[0], text[1]))
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* A character has four bytes at most, so its first stands among the last three of a text that ends inside it. */
size_t utf8_whole(const char *text, size_t size) {
    for (size_t back = 1; back < 4 && back <= size; back++) {
        uint8_t byte = (uint8_t)text[size - back];
        if ((byte & 0xc0) != 0x80)
            return utf8_length_by_lead(byte) > back ? size - back : size;
    }
    return size;
}

void utf8_mend(char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t length = utf8_valid_length((const uint8_t *)text + at, size - at);
        if (!length)
            text[at] = '?';
        at += length ? length : 1;
    }
}

void utf8_tidy(char *text) {
    size_t size = utf8_whole(text, strlen(text));
    text[size] = 0;
    utf8_mend(text, size);
}
