/* SPDX-License-Identifier: MIT */
/*
 * Tells code, quoted text and comments apart in SQL, by the rules of PostgreSQL or SQLite. The lexer takes one byte at a
 * time and looks ahead at none, so that text may come in any pieces, and keeps no text but the start of a word.
 *
 *   PostgreSQL   '…'  E'…\'…'  "…"  $$…$$  $tag$…$tag$  -- …  and nested comments
 *   SQLite       '…'  "…"  `…`  […]  -- …  and comments
 *
 * A doubled quote needs no rule: '' ends one string and begins the next, and the text is cut at neither.
 * Strings follow standard_conforming_strings = on, PostgreSQL's default since 9.1. The rules are those of PostgreSQL's
 * documentation, 4.1 "Lexical Structure", and of SQLite's sqlite3GetToken().
 */
#ifndef QURING_CLI_COMMON_LEXER_H
#define QURING_CLI_COMMON_LEXER_H

#include <stdbool.h>
#include <stdint.h>

enum cli_lex_state {
    CLI_LEX_CODE,
    CLI_LEX_WORD,
    CLI_LEX_NUMBER,
    CLI_LEX_DASH,       /* one '-': a comment if another comes */
    CLI_LEX_SLASH,      /* one '/' */
    CLI_LEX_DOLLAR,     /* one '$' */
    CLI_LEX_PARAM,      /* $1 */
    CLI_LEX_DOLLAR_TAG, /* $ta: a quote if a '$' ends it */
    CLI_LEX_LINE_COMMENT,
    /* From here on text is missing if it ends here. */
    CLI_LEX_BLOCK_COMMENT,
    CLI_LEX_STRING,
    CLI_LEX_ESCAPE_STRING,
    CLI_LEX_NAME,
    CLI_LEX_DOLLAR_STRING
};

/* The findings of a step, as bits. */
enum {
    CLI_LEX_FOUND_WORD = 1,      /* a word ended just before this byte: `word` */
    CLI_LEX_FOUND_TOKEN = 2,     /* this byte belongs to something that is neither word, comment nor white space */
    CLI_LEX_FOUND_SEMICOLON = 4, /* these four: in code, as this byte */
    CLI_LEX_FOUND_OPEN = 8,
    CLI_LEX_FOUND_CLOSE = 16,
    CLI_LEX_FOUND_COLON = 32,
    CLI_LEX_FOUND_BACKSLASH = 64
};

enum { CLI_LEX_WORD_BYTES = 16 };

struct cli_lexer {
    bool sqlite;
    uint8_t state;
    char quote;        /* what ends a NAME */
    char previous;     /* the byte before, in comments and escape strings; 0 where it has been used up */
    bool continues;    /* an escape string ended: a string that follows, at once or on a new line, goes on */
    uint8_t word_size; /* CLI_LEX_WORD_BYTES + 1: longer than any keyword */
    char word[CLI_LEX_WORD_BYTES]; /* the last word, in lower case */
    uint32_t depth;                /* of nested comments */
    uint32_t param;                /* the number after '$' so far */
    uint32_t param_max;            /* the greatest so far */
    bool tag_open;                 /* inside a dollar string: a '$' came, and what follows may be its end */
    uint64_t tag_hash, tag_size, end_hash, end_size;
};

void cli_lexer_init(struct cli_lexer *lexer, bool sqlite);

/* Takes one byte and returns findings. At the end of the text a space as the last byte ends a word that is open. */
unsigned cli_lexer_step(struct cli_lexer *lexer, unsigned char c);

/* Returns whether the last word is this one, which is given in lower case and has at most CLI_LEX_WORD_BYTES. */
bool cli_lexer_word_is(const struct cli_lexer *lexer, const char *word);

/* Returns a message about a quote or comment that is open, "a quoted string begins here and never ends"; else NULL. */
const char *cli_lexer_unfinished(const struct cli_lexer *lexer);

/* Returns whether text can be cut here without cutting a quoted piece or a comment in two. */
static inline bool cli_lexer_in_code(const struct cli_lexer *lexer) {
    return lexer->state < CLI_LEX_LINE_COMMENT;
}

#endif
