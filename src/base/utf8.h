/* SPDX-License-Identifier: MIT */
/*
 * What leaves the library as text is UTF-8, wherever it came from: a server before it knows our encoding, a strerror() of
 * any locale, a column that was named in bytes. Valid is what RFC 3629 says: no overlong form, surrogate, or code point
 * over U+10FFFF.
 */
#ifndef QURING_BASE_UTF8_H
#define QURING_BASE_UTF8_H

#include <stddef.h>

/* The size of the text without its last character, where only the beginning of that is there. For what was cut. */
size_t utf8_whole(const char *text, size_t size);

/* Puts '?' in the place of each byte that belongs to no valid character. NULs may be among them. */
void utf8_mend(char *text, size_t size);

/* Both, for a NUL-terminated text that may have been cut by snprintf(). */
void utf8_tidy(char *text);

#endif
