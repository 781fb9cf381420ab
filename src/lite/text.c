/* SPDX-License-Identifier: MIT */
#include "lite/text.h"

#include <string.h>
#include <strings.h>

struct reader {
    const char *at;
    const char *end;
};

struct word {
    const char *at;
    size_t length;
};

static size_t left(const struct reader *r) {
    return (size_t)(r->end - r->at);
}

static bool sees(const struct reader *r, const char *text) {
    size_t length = strlen(text);
    return left(r) >= length && memcmp(r->at, text, length) == 0;
}

static void skip_to(struct reader *r, const char *text) {
    const char *found = memmem(r->at, left(r), text, strlen(text));
    r->at = found ? found + strlen(text) : r->end;
}

/* As SQLite's tokenizer: comments do not nest, and only a newline ends a line. */
static void skip_space(struct reader *r) {
    while (r->at < r->end) {
        if (sees(r, "--"))
            skip_to(r, "\n");
        else if (sees(r, "/*")) {
            r->at += 2;
            skip_to(r, "*/");
        } else if (*r->at == ' ' || (*r->at >= '\t' && *r->at <= '\r'))
            r->at++;
        else if (sees(r, "\xef\xbb\xbf"))
            r->at += 3;
        else
            return;
    }
}

static void skip_blank(struct reader *r) {
    for (skip_space(r); r->at < r->end && *r->at == ';'; skip_space(r))
        r->at++;
}

static bool is_letter(char c) {
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (uint8_t)c >= 0x80;
}

static struct word next_word(struct reader *r) {
    skip_space(r);
    struct word word = {r->at, 0};
    while (r->at < r->end &&
           (is_letter(*r->at) || (word.length && ((*r->at >= '0' && *r->at <= '9') || *r->at == '$')))) {
        r->at++;
        word.length++;
    }
    return word;
}

static bool is(struct word word, const char *text) {
    return word.length == strlen(text) && strncasecmp(word.at, text, word.length) == 0;
}

static bool is_any(struct word word, const char *const *texts) {
    for (; *texts; texts++)
        if (is(word, *texts))
            return true;
    return false;
}

static struct reader read_text(const char *sql, size_t length) {
    struct reader r = {sql, sql + length};
    skip_blank(&r);
    return r;
}

size_t lite_text_blank(const char *sql, size_t length) {
    struct reader r = read_text(sql, length);
    return (size_t)(r.at - sql);
}

/* Past a string, a quoted name, or one other character. */
static void skip_token(struct reader *r) {
    char quote = *r->at++;
    if (quote == '[')
        quote = ']';
    else if (quote != '\'' && quote != '"' && quote != '`')
        return;
    const char *close = memchr(r->at, quote, left(r));
    r->at = close ? close + 1 : r->end; /* a doubled quote just begins another */
}

/* The statement that WITH's common tables serve: the first verb outside parentheses. */
static struct word main_verb(struct reader *r) {
    static const char *const verbs[] = {"select", "values", "insert", "update", "delete", "replace", NULL};
    size_t depth = 0;
    for (;;) {
        struct word word = next_word(r);
        if (word.length) {
            if (depth == 0 && is_any(word, verbs))
                return word;
            continue;
        }
        if (r->at == r->end)
            return word;
        depth += *r->at == '(';
        depth -= *r->at == ')' && depth > 0;
        skip_token(r);
    }
}

/* The word that says what a text does, past EXPLAIN [QUERY PLAN] and the tables of WITH. */
static struct word verb_of(struct reader *r) {
    struct word word = next_word(r);
    if (is(word, "explain")) {
        word = next_word(r);
        if (is(word, "query")) {
            next_word(r);
            word = next_word(r);
        }
    }
    return is(word, "with") ? main_verb(r) : word;
}

uint8_t lite_text_route(const char *sql, size_t length) {
    static const char *const alone[] = {"pragma", "vacuum", "attach", "detach", NULL};
    static const char *const writes[] = {"insert", "update", "delete",  "replace", "create",
                                         "drop",   "alter",  "reindex", "analyze", NULL};
    struct reader r = read_text(sql, length);
    struct word word = verb_of(&r); /* of a PRAGMA that works while it is prepared, EXPLAIN works too */
    if (is_any(word, alone))
        return LITE_TO_WRITER | LITE_ALONE;
    return is_any(word, writes) ? LITE_TO_WRITER : LITE_TO_READER;
}

bool lite_text_is_pragma(const char *sql, size_t length) {
    struct reader r = read_text(sql, length);
    return is(verb_of(&r), "pragma");
}

static const char *object_command(struct reader *r, const char *const commands[4]) {
    static const char *const between[] = {"temp", "temporary", "unique", "virtual", NULL};
    struct word word;
    do
        word = next_word(r);
    while (is_any(word, between));
    for (int i = 0; i < 4; i++)
        if (is(word, strchr(commands[i], ' ') + 1))
            return commands[i];
    return "";
}

const char *lite_text_command(const char *sql, size_t length) {
    static const char *const create[] = {"CREATE TABLE", "CREATE INDEX", "CREATE VIEW", "CREATE TRIGGER"};
    static const char *const drop[] = {"DROP TABLE", "DROP INDEX", "DROP VIEW", "DROP TRIGGER"};
    static const char *const plain[] = {"SELECT",   "INSERT",    "UPDATE",  "DELETE",  "REPLACE", "EXPLAIN",
                                        "PRAGMA",   "ANALYZE",   "VACUUM",  "REINDEX", "BEGIN",   "COMMIT",
                                        "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH",  "DETACH"};
    struct reader r = read_text(sql, length);
    struct word word = next_word(&r);
    if (is(word, "with"))
        word = main_verb(&r);
    if (is(word, "values")) /* as PostgreSQL says of it */
        return "SELECT";
    if (is(word, "end"))
        return "COMMIT";
    if (is(word, "alter"))
        return "ALTER TABLE";
    if (is(word, "create"))
        return object_command(&r, create);
    if (is(word, "drop"))
        return object_command(&r, drop);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (is(word, plain[i]))
            return plain[i];
    return "";
}

bool lite_text_ends_transaction(const char *sql, size_t length) {
    static const char *const ends[] = {"commit", "end", "rollback", NULL};
    struct reader r = read_text(sql, length);
    struct word word = next_word(&r);
    if (!is_any(word, ends))
        return false;
    word = next_word(&r);
    if (is(word, "transaction"))
        word = next_word(&r);
    return !is(word, "to");
}
