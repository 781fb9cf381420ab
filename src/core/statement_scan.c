/* SPDX-License-Identifier: MIT */
#include "core/statement_scan.h"

#include "base/assert.h"

#include <stdint.h>
#include <string.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";

static size_t scan_left(const struct scan *s) {
    return (size_t)(s->end - s->at);
}

static bool scan_sees(const struct scan *s, const char *text) {
    size_t length = strlen(text);
    return scan_left(s) >= length && memcmp(s->at, text, length) == 0;
}

/* PostgreSQL ends a line comment at \r as well, SQLite at \n alone: a text with \r in a comment has two readings. */
static void scan_line_comment(struct scan *s) {
    while (s->at < s->end && *s->at != '\n') {
        s->disputed |= *s->at == '\r';
        if (*s->at == '\r' && s->dialect == SCAN_POSTGRESQL)
            return;
        s->at++;
    }
}

/* PostgreSQL's comments nest, SQLite's do not, so one that opens another has two readings. */
static void scan_block_comment(struct scan *s) {
    size_t depth = 1;
    s->at += 2;
    while (s->at < s->end && depth > 0) {
        if (scan_sees(s, "*/")) {
            depth--;
            s->at += 2;
        } else if (scan_sees(s, "/*")) {
            s->disputed = true;
            bool nests = s->dialect == SCAN_POSTGRESQL;
            depth += nests;
            s->at += nests ? 2 : 1; /* SQLite sees an end in the characters of "/ * /" */
        } else {
            s->at++;
        }
    }
}

static bool scan_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void scan_space(struct scan *s) {
    while (s->at < s->end) {
        if (scan_sees(s, "--"))
            scan_line_comment(s);
        else if (scan_sees(s, "/*"))
            scan_block_comment(s);
        else if (scan_is_space(*s->at))
            s->at++;
        else if (scan_sees(s, byte_order_mark) && (s->dialect == SCAN_SQLITE || !s->begun)) /* first, it is a file's */
            s->at += 3;
        else
            return;
    }
}

/* Moves past the closing quote. A doubled quote stands for itself, and so does one behind a backslash that escapes. */
static void scan_quoted(struct scan *s, bool backslashes) {
    char quote = *s->at++;
    while (s->at < s->end) {
        char c = *s->at++;
        s->backslash |= c == '\\' && quote == '\'';
        if (c == '\\' && backslashes && s->at < s->end) {
            s->at++;
        } else if (c == quote) {
            if (s->at == s->end || *s->at != quote)
                return;
            s->at++;
        }
    }
}

/*
 * True, and the scan stands at the quote, where a literal continues: PostgreSQL joins literals that only white space with an
 * end of line, and line comments, part (4.1.2.1).
 */
static bool scan_continues(struct scan *s) {
    struct scan ahead = *s;
    bool line = false;
    while (ahead.at < ahead.end && *ahead.at != '\'') {
        line |= *ahead.at == '\n' || *ahead.at == '\r';
        if (scan_sees(&ahead, "--"))
            scan_line_comment(&ahead);
        else if (scan_is_space(*ahead.at))
            ahead.at++;
        else
            return false;
    }
    if (!line || ahead.at == ahead.end || ahead.dialect == SCAN_SQLITE)
        return false;
    s->at = ahead.at;
    return true;
}

static void scan_string(struct scan *s, struct token *token, bool backslashes) {
    token->kind = TOKEN_STRING;
    scan_quoted(s, backslashes);
    for (; scan_continues(s); token->continued = true)
        scan_quoted(s, backslashes);
}

/* […] cannot contain a ']': SQLite has no way to write one in it. */
static void scan_bracketed(struct scan *s) {
    const char *close = memchr(s->at, ']', scan_left(s));
    s->at = close ? close + 1 : s->end;
}

static bool scan_is_letter(char c) {
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (uint8_t)c >= 0x80;
}

static bool scan_is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool scan_is_word(char c) {
    return scan_is_letter(c) || scan_is_digit(c) || c == '$';
}

/* $tag$ … $tag$. A tag does not begin with a digit, so $1 is no quote; a '$' without a tag is a character of its own. */
static void scan_dollar_quoted(struct scan *s, struct token *token) {
    const char *tag = s->at++, *at = s->at;
    if (at < s->end && scan_is_digit(*at))
        return;
    while (at < s->end && scan_is_word(*at) && *at != '$')
        at++;
    if (at == s->end || *at != '$')
        return;
    at++;
    size_t length = (size_t)(at - tag);
    const char *close = memmem(at, (size_t)(s->end - at), tag, length);
    s->at = close ? close + length : s->end;
    token->kind = TOKEN_STRING;
}

static void scan_word(struct scan *s, struct token *token) {
    token->kind = TOKEN_WORD;
    s->disputed |= scan_sees(s, byte_order_mark);
    while (s->at < s->end && scan_is_word(*s->at))
        s->at++;
    bool quoted = s->at < s->end && *s->at == '\'' && s->at - token->at == 1;
    if (quoted && s->dialect == SCAN_POSTGRESQL && (*token->at | 0x20) == 'e')
        scan_string(s, token, true);
}

/* Up to PostgreSQL 14 a word may follow without white space: 1e5into is 1e5 and INTO. */
static void scan_number(struct scan *s) {
    while (s->at < s->end && (scan_is_digit(*s->at) || *s->at == '.'))
        s->at++;
    const char *at = s->at;
    if (at < s->end && (*at | 0x20) == 'e')
        at++;
    if (at > s->at && at < s->end && (*at == '+' || *at == '-'))
        at++;
    if (at > s->at && at < s->end && scan_is_digit(*at))
        s->at = at;
    while (s->at < s->end && scan_is_digit(*s->at))
        s->at++;
}

struct token scan_next(struct scan *s) {
    PRE(s->at <= s->end);
    scan_space(s);
    s->begun = true;
    struct token token = {.kind = TOKEN_END, .at = s->at};
    if (s->at == s->end)
        return token;
    char c = *s->at;
    bool sqlite = s->dialect == SCAN_SQLITE;
    token.kind = c == '(' ? TOKEN_OPEN : c == ')' ? TOKEN_CLOSE : c == ';' ? TOKEN_SEMICOLON : TOKEN_OTHER;
    if (scan_is_letter(c)) {
        scan_word(s, &token);
    } else if (scan_is_digit(c)) {
        scan_number(s);
    } else if (c == '\'') {
        scan_string(s, &token, s->backslashes);
    } else if (c == '"' || (c == '`' && sqlite)) {
        token.kind = TOKEN_NAME;
        scan_quoted(s, false);
    } else if (c == '[' && sqlite) {
        token.kind = TOKEN_NAME;
        scan_bracketed(s);
    } else if (c == '$' && !sqlite) {
        scan_dollar_quoted(s, &token);
    } else {
        s->at++;
    }
    token.length = (size_t)(s->at - token.at);
    return token;
}

void scan_skip_blank(struct scan *s) {
    PRE(s->at <= s->end);
    for (scan_space(s); s->at < s->end && *s->at == ';'; scan_space(s))
        s->at++;
}

/* strcasecmp() depends on the locale: in a Turkish one BEGIN is not "begin". */
bool token_is(const struct token *token, const char *word) {
    if (token->kind != TOKEN_WORD || token->length != strlen(word))
        return false;
    for (size_t i = 0; i < token->length; i++)
        if ((token->at[i] | 0x20) != (word[i] | 0x20))
            return false;
    return true;
}

bool token_is_any(const struct token *token, const char *const *words) {
    for (; *words; words++)
        if (token_is(token, *words))
            return true;
    return false;
}
