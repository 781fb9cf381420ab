/* SPDX-License-Identifier: MIT */
/*
 * SQL texts as tokens: words, quoted things, brackets. For statement_class.c, which looks at words and at what literals
 * hold, and for nothing else: no numbers, no operators.
 *
 * Whether a backslash in '…' escapes is a setting of the server's (standard_conforming_strings), and PostgreSQL and SQLite
 * disagree on where comments end (nesting; whether a carriage return ends a line). A reader says which of these it
 * assumes, and is told when the text has a place where they differ.
 */
#ifndef QURING_CORE_STATEMENT_SCAN_H
#define QURING_CORE_STATEMENT_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct scan {
    const char *at;
    const char *end;
    bool like_sqlite; /* comments do not nest, and only a newline ends a line */
    bool backslashes; /* they escape in '…' as they do in E'…' */
    /* found on the way */
    bool disputed;  /* PostgreSQL and SQLite may read this text differently */
    bool backslash; /* a literal without E has one */
};

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_STRING, /* '…', E'…', $tag$…$tag$, with all that continues it */
    TOKEN_NAME,   /* "…" */
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_SEMICOLON,
    TOKEN_OTHER
};

struct token {
    enum token_kind kind;
    bool continued; /* a string of several parts, on lines of their own */
    const char *at;
    size_t length; /* quotes included */
};

struct token scan_next(struct scan *scan);

/* `word` is in lower case letters. */
bool token_is(const struct token *token, const char *word);
/* `words` end with NULL. */
bool token_is_any(const struct token *token, const char *const *words);

#endif
