/* SPDX-License-Identifier: MIT */
#include "lite/text.h"

#include "base/assert.h"
#include "core/statement_scan.h"

#include <string.h>

/* A text as SQLite reads it, at its first token. */
static struct scan text_scan(const char *sql, size_t length) {
    PRE(sql || length == 0);
    struct scan scan = {.at = sql, .end = sql + length, .dialect = SCAN_SQLITE};
    scan_skip_blank(&scan);
    return scan;
}

size_t lite_text_blank(const char *sql, size_t length) {
    struct scan scan = text_scan(sql, length);
    return (size_t)(scan.at - sql);
}

/* The statement that WITH's common tables serve: the first verb outside parentheses. */
static struct token text_main_verb(struct scan *scan) {
    static const char *const verbs[] = {"select", "values", "insert", "update", "delete", "replace", NULL};
    size_t depth = 0;
    for (;;) {
        struct token token = scan_next(scan);
        if (token.kind == TOKEN_END || (depth == 0 && token_is_any(&token, verbs)))
            return token;
        depth += token.kind == TOKEN_OPEN;
        depth -= token.kind == TOKEN_CLOSE && depth > 0;
    }
}

/* The word that says what a text does, past EXPLAIN [QUERY PLAN] and the tables of WITH. */
static struct token text_verb(struct scan *scan) {
    struct token token = scan_next(scan);
    if (token_is(&token, "explain")) {
        token = scan_next(scan);
        if (token_is(&token, "query")) {
            token = scan_next(scan);
            if (token.kind == TOKEN_WORD) /* PLAN */
                token = scan_next(scan);
        }
    }
    return token_is(&token, "with") ? text_main_verb(scan) : token;
}

uint8_t lite_text_route(const char *sql, size_t length) {
    static const char *const alone[] = {"pragma", "vacuum", "attach", "detach", NULL};
    static const char *const writes[] = {"insert",   "update",    "delete",  "replace", "create", "drop",
                                         "alter",    "reindex",   "analyze", "begin",   "commit", "end",
                                         "rollback", "savepoint", "release", NULL};
    struct scan scan = text_scan(sql, length);
    struct token verb = text_verb(&scan); /* of a PRAGMA that works while it is prepared, EXPLAIN works too */
    if (token_is_any(&verb, alone))
        return LITE_TO_WRITER | LITE_ALONE;
    return token_is_any(&verb, writes) ? LITE_TO_WRITER : LITE_TO_READER;
}

bool lite_text_is_pragma(const char *sql, size_t length) {
    struct scan scan = text_scan(sql, length);
    struct token verb = text_verb(&scan);
    return token_is(&verb, "pragma");
}

static const char *text_object_command(struct scan *scan, const char *const commands[4]) {
    static const char *const between[] = {"temp", "temporary", "unique", "virtual", NULL};
    struct token token;
    do
        token = scan_next(scan);
    while (token_is_any(&token, between));
    for (int i = 0; i < 4; i++)
        if (token_is(&token, strchr(commands[i], ' ') + 1))
            return commands[i];
    return "";
}

const char *lite_text_command(const char *sql, size_t length) {
    static const char *const create[] = {"CREATE TABLE", "CREATE INDEX", "CREATE VIEW", "CREATE TRIGGER"};
    static const char *const drop[] = {"DROP TABLE", "DROP INDEX", "DROP VIEW", "DROP TRIGGER"};
    static const char *const plain[] = {"SELECT",   "INSERT",    "UPDATE",  "DELETE",  "REPLACE", "EXPLAIN",
                                        "PRAGMA",   "ANALYZE",   "VACUUM",  "REINDEX", "BEGIN",   "COMMIT",
                                        "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH",  "DETACH"};
    struct scan scan = text_scan(sql, length);
    struct token verb = scan_next(&scan);
    if (token_is(&verb, "with"))
        verb = text_main_verb(&scan);
    if (token_is(&verb, "values")) /* PostgreSQL's command tags of VALUES and END are these, too */
        return "SELECT";
    if (token_is(&verb, "end"))
        return "COMMIT";
    if (token_is(&verb, "alter"))
        return "ALTER TABLE";
    if (token_is(&verb, "create"))
        return text_object_command(&scan, create);
    if (token_is(&verb, "drop"))
        return text_object_command(&scan, drop);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (token_is(&verb, plain[i]))
            return plain[i];
    return "";
}

bool lite_text_ends_transaction(const char *sql, size_t length) {
    static const char *const ends[] = {"commit", "end", "rollback", NULL};
    struct scan scan = text_scan(sql, length);
    struct token token = scan_next(&scan);
    if (!token_is_any(&token, ends))
        return false;
    token = scan_next(&scan);
    if (token_is(&token, "transaction"))
        token = scan_next(&scan);
    return !token_is(&token, "to");
}
