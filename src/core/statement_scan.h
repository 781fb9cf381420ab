/* SPDX-License-Identifier: MIT */
/*
 * SQL texts as tokens: words, quoted strings and names, parentheses. The library has no other scanner: statement_class.c and
 * SQLite's lite/text.c look at words and at the contents of literals, so numbers and operators are no tokens of their own.
 *
 * The server's setting standard_conforming_strings decides if a backslash in '…' escapes, and PostgreSQL and SQLite disagree
 * on the end of comments (nesting; a carriage return as the end of a line), on what quotes, and on a byte order mark, which is
 * white space to SQLite and letters of a name to PostgreSQL; at a text's start it is skipped in both. A reader says which of
 * these it assumes, and is told when the text has a comment that they end differently, or a word that begins with such a mark.
 */
#ifndef QURING_CORE_STATEMENT_SCAN_H
#define QURING_CORE_STATEMENT_SCAN_H

#include <stdbool.h>
#include <stddef.h>

enum scan_dialect {
    SCAN_POSTGRESQL,
    SCAN_SQLITE /* comments do not nest, only a newline ends a line; […] and `…` are names; no E'…' and no $tag$…$tag$ */
};

struct scan {
    const char *at;
    const char *end;
    enum scan_dialect dialect;
    bool backslashes; /* they escape in '…' as they do in E'…' */
    bool begun;       /* a token was read */
    /* found on the way */
    bool disputed;  /* PostgreSQL and SQLite may see different words, above all where a comment ends differently */
    bool backslash; /* a literal without E has one */
};

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_STRING, /* '…', E'…', $tag$…$tag$, with all that continues it */
    TOKEN_NAME,   /* "…"; SQLite: […] and `…` */
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

/* Moves past white space, comments and semicolons. */
void scan_skip_blank(struct scan *scan);

/* In any case, in every locale. `word` is of letters. */
bool token_is(const struct token *token, const char *word);
/* `words` end with NULL. */
bool token_is_any(const struct token *token, const char *const *words);

#endif
