/* SPDX-License-Identifier: MIT */
/*
 * What kind of statement a text is, by its first keywords: a guard against statements that would change the state of one
 * connection out of many, not a parser. A text that it cannot follow is PLAIN, and the database has the last word.
 *
 * PostgreSQL and SQLite disagree on where comments end (nesting; whether a carriage return ends a line), so what is a
 * comment to one can be a BEGIN to the other. A text with such a place is read both ways, and the stricter class holds.
 */
#include "core/statement.h"

#include <stdint.h>
#include <string.h>

struct scan {
    const char *at;
    const char *end;
    bool like_sqlite; /* comments do not nest, and only a newline ends a line */
    bool disputed;    /* the two dialects may read this text differently */
};

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_SEMICOLON, TOKEN_OTHER };

struct token {
    enum token_kind kind;
    const char *at;
    size_t length;
};

static size_t scan_left(const struct scan *s) {
    return (size_t)(s->end - s->at);
}

static bool scan_sees(const struct scan *s, const char *text) {
    size_t length = strlen(text);
    return scan_left(s) >= length && memcmp(s->at, text, length) == 0;
}

static void scan_line_comment(struct scan *s) {
    while (s->at < s->end && *s->at != '\n') {
        s->disputed |= *s->at == '\r';
        if (*s->at == '\r' && !s->like_sqlite)
            return;
        s->at++;
    }
}

static void scan_block_comment(struct scan *s) {
    size_t depth = 1;
    s->at += 2;
    while (s->at < s->end && depth > 0) {
        if (scan_sees(s, "*/")) {
            depth--;
            s->at += 2;
        } else if (scan_sees(s, "/*")) {
            s->disputed = true;
            depth += !s->like_sqlite;
            s->at += s->like_sqlite ? 1 : 2; /* SQLite sees an end in the characters of "/ * /" */
        } else {
            s->at++;
        }
    }
}

static void scan_space(struct scan *s) {
    while (s->at < s->end) {
        if (scan_sees(s, "--"))
            scan_line_comment(s);
        else if (scan_sees(s, "/*"))
            scan_block_comment(s);
        else if (*s->at == ' ' || (*s->at >= '\t' && *s->at <= '\r'))
            s->at++;
        else if (scan_sees(s, "\xef\xbb\xbf")) /* a byte order mark: white space to SQLite */
            s->at += 3;
        else
            return;
    }
}

/* Past the closing quote; a doubled one stands for itself, and so does one behind a backslash where these escape. */
static void scan_quoted(struct scan *s, bool backslashes) {
    char quote = *s->at++;
    while (s->at < s->end) {
        char c = *s->at++;
        if (c == '\\' && backslashes && s->at < s->end) {
            s->at++;
        } else if (c == quote) {
            if (s->at == s->end || *s->at != quote)
                return;
            s->at++;
        }
    }
}

static bool scan_is_letter(char c) {
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (uint8_t)c >= 0x80;
}

static bool scan_is_word(char c) {
    return scan_is_letter(c) || (c >= '0' && c <= '9') || c == '$';
}

/* $tag$ … $tag$; a lone $ is an ordinary character. */
static void scan_dollar_quoted(struct scan *s) {
    const char *tag = s->at++;
    while (s->at < s->end && scan_is_word(*s->at) && *s->at != '$')
        s->at++;
    if (s->at == s->end || *s->at != '$')
        return;
    s->at++;
    size_t length = (size_t)(s->at - tag);
    const char *close = memmem(s->at, scan_left(s), tag, length);
    s->at = close ? close + length : s->end;
}

static struct token scan_next(struct scan *s) {
    scan_space(s);
    struct token token = {.kind = TOKEN_END, .at = s->at};
    if (s->at == s->end)
        return token;
    char c = *s->at;
    token.kind = c == '(' ? TOKEN_OPEN : c == ')' ? TOKEN_CLOSE : c == ';' ? TOKEN_SEMICOLON : TOKEN_OTHER;
    if (scan_is_letter(c)) {
        token.kind = TOKEN_WORD;
        while (s->at < s->end && scan_is_word(*s->at))
            s->at++;
        token.length = (size_t)(s->at - token.at);
        if (token.length == 1 && (c | 0x20) == 'e' && s->at < s->end && *s->at == '\'') {
            token.kind = TOKEN_OTHER;
            scan_quoted(s, true);
        }
    } else if (c == '\'' || c == '"') {
        scan_quoted(s, false);
    } else if (c == '$') {
        scan_dollar_quoted(s);
    } else {
        s->at++;
    }
    return token;
}

/* `word` is in lower case letters. Not strcasecmp(), for which BEGIN is not begin in Turkey. */
static bool token_is(const struct token *token, const char *word) {
    if (token->kind != TOKEN_WORD || token->length != strlen(word))
        return false;
    for (size_t i = 0; i < token->length; i++)
        if ((token->at[i] | 0x20) != word[i])
            return false;
    return true;
}

static bool token_is_any(const struct token *token, const char *const *words) {
    for (; *words; words++)
        if (token_is(token, *words))
            return true;
    return false;
}

/* COPY … FROM STDIN | TO STDOUT, outside the parentheses of a query or column list (either word goes with either). */
static enum statement_class classify_copy(struct scan *s) {
    size_t depth = 0;
    bool target = false;
    for (;;) {
        struct token token = scan_next(s);
        if (token.kind == TOKEN_END)
            return STATEMENT_PLAIN;
        if (target && (token_is(&token, "stdin") || token_is(&token, "stdout")))
            return STATEMENT_COPY;
        depth += token.kind == TOKEN_OPEN;
        depth -= token.kind == TOKEN_CLOSE && depth > 0;
        target = depth == 0 && (token_is(&token, "from") || token_is(&token, "to"));
    }
}

/* CREATE [OR REPLACE] [GLOBAL | LOCAL] TEMP… */
static enum statement_class classify_create(struct scan *s) {
    static const char *const between[] = {"or", "replace", "global", "local", NULL};
    static const char *const temporary[] = {"temp", "temporary", NULL};
    struct token token;
    do
        token = scan_next(s);
    while (token_is_any(&token, between));
    return token_is_any(&token, temporary) ? STATEMENT_SESSION : STATEMENT_PLAIN;
}

static enum statement_class classify_as(struct scan *s) {
    static const char *const transaction[] = {"begin", "start",     "commit",  "end", "rollback",
                                              "abort", "savepoint", "release", NULL};
    static const char *const session[] = {"listen",  "unlisten", "attach", "detach",  "declare",
                                          "fetch",   "move",     "close",  "discard", "deallocate",
                                          "execute", "load",     "set",    "reset",   NULL};
    struct token token;
    bool anything = false;
    for (;;) {
        token = scan_next(s);
        if (token.kind != TOKEN_OPEN && token.kind != TOKEN_SEMICOLON)
            break;
        anything |= token.kind == TOKEN_OPEN;
    }
    if (token.kind == TOKEN_END)
        return anything ? STATEMENT_PLAIN : STATEMENT_EMPTY;
    if (token_is_any(&token, transaction))
        return STATEMENT_TRANSACTION;
    if (token_is_any(&token, session))
        return STATEMENT_SESSION;
    if (token_is(&token, "copy"))
        return classify_copy(s);
    if (token_is(&token, "create"))
        return classify_create(s);
    if (token_is(&token, "prepare")) {
        token = scan_next(s);
        return token_is(&token, "transaction") ? STATEMENT_TRANSACTION : STATEMENT_SESSION;
    }
    return STATEMENT_PLAIN;
}

enum statement_class statement_classify(const char *sql, size_t length) {
    struct scan scan = {.at = sql, .end = sql + length};
    enum statement_class class = classify_as(&scan);
    if (!scan.disputed)
        return class;
    struct scan again = {.at = sql, .end = sql + length, .like_sqlite = true};
    enum statement_class other = classify_as(&again);
    return class == STATEMENT_PLAIN || class == STATEMENT_EMPTY ? other : class;
}

bool statement_reshapes(const char *sql, size_t length) {
    static const char *const words[] = {"alter", "drop", "discard", "deallocate", NULL};
    struct scan scan = {.at = sql, .end = sql + length};
    struct token token;
    do
        token = scan_next(&scan);
    while (token.kind == TOKEN_SEMICOLON);
    return token_is_any(&token, words);
}
