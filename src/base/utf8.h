/* SPDX-License-Identifier: MIT */
/*
 * All text that leaves the library is UTF-8, whatever its source: a server that does not know our encoding yet, strerror()
 * in any locale, a column that was named in bytes. Valid UTF-8 is that of RFC 3629: no overlong form, no surrogate, no code
 * point over U+10FFFF.
 */
#ifndef QURING_BASE_UTF8_H
#define QURING_BASE_UTF8_H

#include <stddef.h>

/* The size of a text that may have been cut inside a character, without the rest of that character. */
size_t utf8_whole(const char *text, size_t size);

/* Replaces each byte that belongs to no valid character by '?'. The text may have NULs in it. */
void utf8_mend(char *text, size_t size);

/* utf8_whole() and utf8_mend() for a NUL-terminated text that snprintf() may have cut. */
void utf8_tidy(char *text);

#endif
