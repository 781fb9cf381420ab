/* SPDX-License-Identifier: MIT */
/* UTF-8, how wide it shows, and untrusted text made harmless for a terminal. */
#ifndef QURING_CLI_COMMON_TEXT_H
#define QURING_CLI_COMMON_TEXT_H

#include "cli/common/out.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Takes the user's locale; where that is not UTF-8, widths come from C.UTF-8 and drawing falls back to ASCII. Widths are
 * those of wcwidth(): terminals use the same data, and it tells characters that are not assigned, which have no width.
 */
void cli_text_locale(void);
/* Returns whether the user's locale says that the terminal shows UTF-8. */
bool cli_text_is_utf8(void);

/*
 * Returns how many bytes the character at `text` takes, 0 when they are ill-formed (overlong, surrogate, cut short). It
 * does not depend on the locale, as mbrtowc() does: JSON is UTF-8 in all of them.
 */
size_t cli_utf8_decode(const char *text, size_t size, uint32_t *character);

enum { CLI_TEXT_KEEP_LINES = 1 /* line feeds and tabs stay */ };

/*
 * Writes text with what is not safe made visible: control characters as \n \t \x1b, ill-formed bytes as \xff, the others,
 * and characters whose width is not known, as \u{202e}. Returns how many columns it takes. `out` may be NULL, to measure.
 */
size_t cli_text_safe(struct cli_out *out, const char *text, size_t size, unsigned flags);

/* Writes a JSON string with its quotes. What is not safe is escaped as \u202e; ill-formed bytes become U+FFFD. */
void cli_text_json(struct cli_out *out, const char *text, size_t size);
/* The same without the quotes. */
void cli_text_json_inside(struct cli_out *out, const char *text, size_t size);
/* Writes a text that is one JSON value: the same value on one line, with what is not safe escaped. */
void cli_text_json_value(struct cli_out *out, const char *text, size_t size);

#endif
