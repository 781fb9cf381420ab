/* SPDX-License-Identifier: MIT */
#include "cli/common/lexer.h"

#include <string.h>

void cli_lexer_init(struct cli_lexer *lexer, bool sqlite) {
    *lexer = (struct cli_lexer){.sqlite = sqlite};
}

bool cli_lexer_word_is(const struct cli_lexer *lexer, const char *word) {
    size_t size = strlen(word);
    return lexer->word_size == size && memcmp(lexer->word, word, size) == 0;
}

const char *cli_lexer_unfinished(const struct cli_lexer *lexer) {
    switch (lexer->state) {
    case CLI_LEX_BLOCK_COMMENT:
        /* In SQLite the end of the text ends a comment, too ("SQL Comment Syntax" in its documentation). */
        return lexer->sqlite ? NULL : "a comment begins here and never ends";
    case CLI_LEX_STRING:
    case CLI_LEX_ESCAPE_STRING:
        return "a quoted string begins here and never ends";
    case CLI_LEX_NAME:
        return "a quoted name begins here and never ends";
    case CLI_LEX_DOLLAR_STRING:
        return "a dollar-quoted string begins here and never ends";
    default:
        return NULL;
    }
}

static bool lexer_is_space(unsigned char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool lexer_is_digit(unsigned char c) {
    return c >= '0' && c <= '9';
}

static bool lexer_is_word_start(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static void word_put(struct cli_lexer *lexer, unsigned char c) {
    if (lexer->word_size < CLI_LEX_WORD_BYTES)
        lexer->word[lexer->word_size++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    else
        lexer->word_size = CLI_LEX_WORD_BYTES + 1;
}

/* FNV-1a: tags are compared by hash and length, so that a tag of any length takes no memory. */
static uint64_t hash_put(uint64_t hash, unsigned char c) {
    return (hash ^ c) * 0x100000001b3u;
}

static const uint32_t HASH_START = 0x811c9dc5;

/* A string that continues another one (4.1.2.1) is of its kind: E'…' makes the escapes of the next piece count, too. */
static void begin_string(struct cli_lexer *lexer, bool after_e) {
    bool escapes = !lexer->sqlite && (after_e || lexer->continues);
    lexer->state = escapes ? CLI_LEX_ESCAPE_STRING : CLI_LEX_STRING;
    lexer->previous = 0;
}

static unsigned begin_quoted(struct cli_lexer *lexer, unsigned char c, bool after_e) {
    if (c == '\'') {
        begin_string(lexer, after_e);
    } else {
        lexer->state = CLI_LEX_NAME;
        lexer->quote = (char)(c == '[' ? ']' : c);
    }
    return CLI_LEX_FOUND_TOKEN;
}

static unsigned found_punctuation(unsigned char c) {
    switch (c) {
    case ';':
        return CLI_LEX_FOUND_SEMICOLON;
    case '(':
        return CLI_LEX_FOUND_TOKEN | CLI_LEX_FOUND_OPEN;
    case ')':
        return CLI_LEX_FOUND_TOKEN | CLI_LEX_FOUND_CLOSE;
    case ':':
        return CLI_LEX_FOUND_TOKEN | CLI_LEX_FOUND_COLON;
    case '\\':
        return CLI_LEX_FOUND_TOKEN | CLI_LEX_FOUND_BACKSLASH;
    default:
        return CLI_LEX_FOUND_TOKEN;
    }
}

/* A byte where no token is open: `after_e` when the word just before it was E. */
static unsigned step_code(struct cli_lexer *lexer, unsigned char c, bool after_e) {
    unsigned found = 0;
    lexer->state = CLI_LEX_CODE;
    if (lexer_is_space(c))
        return 0;
    if (c == '-' || c == '/') { /* perhaps a comment, which does not part the pieces of a string */
        lexer->state = c == '-' ? CLI_LEX_DASH : CLI_LEX_SLASH;
        return 0;
    }
    if (c == '\'' || c == '"' || (lexer->sqlite && (c == '`' || c == '['))) {
        found = begin_quoted(lexer, c, after_e);
    } else if (lexer_is_word_start(c)) {
        lexer->state = CLI_LEX_WORD;
        lexer->word_size = 0;
        word_put(lexer, c);
    } else if (lexer_is_digit(c)) {
        lexer->state = CLI_LEX_NUMBER;
        found = CLI_LEX_FOUND_TOKEN;
    } else if (c == '$') {
        lexer->state = CLI_LEX_DOLLAR;
        found = CLI_LEX_FOUND_TOKEN;
    } else {
        found = found_punctuation(c);
    }
    lexer->continues = false;
    return found;
}

static unsigned step_word(struct cli_lexer *lexer, unsigned char c) {
    if (lexer_is_word_start(c) || lexer_is_digit(c) || c == '$') {
        word_put(lexer, c);
        return 0;
    }
    return CLI_LEX_FOUND_WORD | step_code(lexer, c, cli_lexer_word_is(lexer, "e"));
}

/* Letters that follow digits are part of the number, as in 1e5 and 0x1f: they begin no word. */
static unsigned step_number(struct cli_lexer *lexer, unsigned char c) {
    if (lexer_is_word_start(c) || lexer_is_digit(c) || c == '.')
        return CLI_LEX_FOUND_TOKEN;
    return step_code(lexer, c, false);
}

/* After '-' or '/'. */
static unsigned step_comment_start(struct cli_lexer *lexer, unsigned char c) {
    if (lexer->state == CLI_LEX_DASH && c == '-') {
        lexer->state = CLI_LEX_LINE_COMMENT;
        return 0;
    }
    if (lexer->state == CLI_LEX_SLASH && c == '*') {
        lexer->state = CLI_LEX_BLOCK_COMMENT;
        lexer->depth = 1;
        lexer->previous = 0;
        return 0;
    }
    lexer->continues = false;
    return CLI_LEX_FOUND_TOKEN | step_code(lexer, c, false); /* it was an operator */
}

static unsigned step_dollar(struct cli_lexer *lexer, unsigned char c) {
    if (lexer_is_digit(c)) {
        lexer->state = CLI_LEX_PARAM;
        lexer->param = 0;
        return cli_lexer_step(lexer, c);
    }
    if (lexer->sqlite || (c != '$' && !lexer_is_word_start(c)))
        return step_code(lexer, c, false);
    lexer->state = CLI_LEX_DOLLAR_TAG;
    lexer->tag_hash = HASH_START;
    lexer->tag_size = 0;
    return cli_lexer_step(lexer, c);
}

static unsigned step_param(struct cli_lexer *lexer, unsigned char c) {
    if (!lexer_is_digit(c))
        return step_code(lexer, c, false);
    if (lexer->param <= 1000000) /* far above what a statement may have, and far below an overflow */
        lexer->param = lexer->param * 10 + (c - '0');
    if (lexer->param > lexer->param_max)
        lexer->param_max = lexer->param;
    return CLI_LEX_FOUND_TOKEN;
}

static unsigned step_dollar_tag(struct cli_lexer *lexer, unsigned char c) {
    if (lexer_is_word_start(c) || lexer_is_digit(c)) {
        lexer->tag_hash = hash_put(lexer->tag_hash, c);
        lexer->tag_size++;
        return CLI_LEX_FOUND_TOKEN;
    }
    if (c != '$')
        return step_code(lexer, c, false);
    lexer->state = CLI_LEX_DOLLAR_STRING;
    lexer->tag_open = false;
    return CLI_LEX_FOUND_TOKEN;
}

static void step_dollar_string(struct cli_lexer *lexer, unsigned char c) {
    if (c == '$') {
        if (lexer->tag_open && lexer->end_size == lexer->tag_size && lexer->end_hash == lexer->tag_hash)
            lexer->state = CLI_LEX_CODE;
        lexer->tag_open = true; /* in $a$…$b$a$ the '$' that ends $b$ begins $a$ */
        lexer->end_hash = HASH_START;
        lexer->end_size = 0;
    } else if (lexer_is_word_start(c) || lexer_is_digit(c)) {
        lexer->end_hash = hash_put(lexer->end_hash, c);
        lexer->end_size++;
    } else {
        lexer->tag_open = false;
    }
}

/* PostgreSQL's comments nest, as the SQL standard has it; SQLite's and C's do not. */
static void step_block_comment(struct cli_lexer *lexer, unsigned char c) {
    if (lexer->previous == '*' && c == '/') {
        lexer->depth--;
        c = 0;
    } else if (lexer->previous == '/' && c == '*' && !lexer->sqlite) {
        lexer->depth++;
        c = 0;
    }
    lexer->previous = (char)c;
    if (lexer->depth == 0)
        lexer->state = CLI_LEX_CODE;
}

/* The byte that a backslash escapes is forgotten, so that it neither ends the string nor escapes the next one. */
static void step_escape_string(struct cli_lexer *lexer, unsigned char c) {
    if (lexer->previous == '\\') {
        c = 0;
    } else if (c == '\'') {
        lexer->state = CLI_LEX_CODE;
        lexer->continues = true;
    }
    lexer->previous = (char)c;
}

unsigned cli_lexer_step(struct cli_lexer *lexer, unsigned char c) {
    switch ((enum cli_lex_state)lexer->state) {
    case CLI_LEX_CODE:
        return step_code(lexer, c, false);
    case CLI_LEX_WORD:
        return step_word(lexer, c);
    case CLI_LEX_NUMBER:
        return step_number(lexer, c);
    case CLI_LEX_DASH:
    case CLI_LEX_SLASH:
        return step_comment_start(lexer, c);
    case CLI_LEX_DOLLAR:
        return step_dollar(lexer, c);
    case CLI_LEX_PARAM:
        return step_param(lexer, c);
    case CLI_LEX_DOLLAR_TAG:
        return step_dollar_tag(lexer, c);
    case CLI_LEX_LINE_COMMENT:
        if (c == '\n' || (c == '\r' && !lexer->sqlite)) /* psqlscan.l and tokenize.c differ in this */
            lexer->state = CLI_LEX_CODE;
        return 0;
    case CLI_LEX_BLOCK_COMMENT:
        step_block_comment(lexer, c);
        return 0;
    case CLI_LEX_STRING:
        if (c == '\'')
            lexer->state = CLI_LEX_CODE;
        return CLI_LEX_FOUND_TOKEN;
    case CLI_LEX_ESCAPE_STRING:
        step_escape_string(lexer, c);
        return CLI_LEX_FOUND_TOKEN;
    case CLI_LEX_NAME:
        if (c == (unsigned char)lexer->quote)
            lexer->state = CLI_LEX_CODE;
        return CLI_LEX_FOUND_TOKEN;
    case CLI_LEX_DOLLAR_STRING:
        step_dollar_string(lexer, c);
        return CLI_LEX_FOUND_TOKEN;
    }
    return 0;
}
