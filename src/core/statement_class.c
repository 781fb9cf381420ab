/* SPDX-License-Identifier: MIT */
/*
 * The kind of a statement, by the words of its text: a guard, not a parser. A text that can be read in more than one way is
 * read in each of them, and the stricter result holds:
 *
 *   class      PostgreSQL's reading and SQLite's, where they see different words
 *   the rest   PostgreSQL's reading with standard_conforming_strings on, and with it off, where a backslash escapes in '…'
 *
 * A text that cannot be followed is PLAIN, because the database has the last word, and not groupable.
 */
#include "core/statement_class.h"

#include "base/assert.h"
#include "core/statement_scan.h"

#include <string.h>

/* Returns the first token that is neither '(' nor ';': both may stand before a statement's first word. */
static struct token class_first_token(struct scan *s, bool *anything) {
    struct token token;
    do {
        token = scan_next(s);
        *anything |= token.kind == TOKEN_OPEN;
    } while (token.kind == TOKEN_OPEN || token.kind == TOKEN_SEMICOLON);
    return token;
}

/* ---- Class ---- */

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

static const char *const temporary[] = {"temp", "temporary", NULL};

/* CREATE [OR REPLACE] [GLOBAL | LOCAL] TEMP… */
static enum statement_class classify_create(struct scan *s) {
    static const char *const between[] = {"or", "replace", "global", "local", NULL};
    struct token token;
    do
        token = scan_next(s);
    while (token_is_any(&token, between));
    return token_is_any(&token, temporary) ? STATEMENT_SESSION : STATEMENT_PLAIN;
}

/* Those outside of parentheses; SQLite has EXPLAIN QUERY PLAN. */
static const char *const explain_options[] = {"analyze", "analyse", "verbose", "query", "plan", NULL};

/* EXPLAIN [ANALYZE] [VERBOSE] | (options) CREATE …; with ANALYZE it is carried out. */
static enum statement_class classify_explain(struct scan *s) {
    size_t depth = 0;
    struct token token;
    do {
        token = scan_next(s);
        depth += token.kind == TOKEN_OPEN;
        depth -= token.kind == TOKEN_CLOSE && depth > 0;
    } while (depth > 0 ? token.kind != TOKEN_END : token.kind == TOKEN_CLOSE || token_is_any(&token, explain_options));
    return token_is(&token, "create") ? classify_create(s) : STATEMENT_PLAIN;
}

/* True where letters and digits alone are those of `word`: PostgreSQL takes 'UTF-8' and utf8 for the same encoding. */
static bool class_token_spells(const struct token *token, const char *word) {
    for (size_t i = 0; i < token->length; i++) {
        char c = token->at[i];
        bool digit = c >= '0' && c <= '9', letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if ((digit || letter) && (digit ? c : (c | 0x20)) != *word++)
            return false;
    }
    return *word == 0;
}

/*
 * SET [SESSION | LOCAL] client_encoding { TO | = } … and SET NAMES … are refused unless they name UTF-8, because all results
 * are read as UTF-8.
 */
static enum statement_class classify_set(struct scan *s) {
    struct token token = scan_next(s);
    if (token_is(&token, "session") || token_is(&token, "local"))
        token = scan_next(s);
    bool names = token_is(&token, "names");
    bool quoted = token.kind == TOKEN_NAME || token.kind == TOKEN_WORD;
    if (!names && !(quoted && class_token_spells(&token, "clientencoding")))
        return STATEMENT_SESSION;
    token = scan_next(s);
    if (!names)
        token = scan_next(s); /* past TO or = */
    bool same = token.kind == TOKEN_END || token.kind == TOKEN_SEMICOLON || token_is(&token, "default") ||
                class_token_spells(&token, "utf8") || class_token_spells(&token, "unicode");
    return same ? STATEMENT_SESSION : STATEMENT_ENCODING;
}

static enum statement_class classify_as(struct scan *s) {
    static const char *const transaction[] = {"begin", "start",     "commit",  "end", "rollback",
                                              "abort", "savepoint", "release", NULL};
    static const char *const session[] = {"unlisten", "attach",  "detach",     "declare", "fetch", "move", "close",
                                          "discard",  "execute", "deallocate", "load",    "reset", NULL};
    bool anything = false;
    struct token token = class_first_token(s, &anything);
    if (token.kind == TOKEN_END)
        return anything ? STATEMENT_PLAIN : STATEMENT_EMPTY;
    if (token_is_any(&token, transaction))
        return STATEMENT_TRANSACTION;
    if (token_is_any(&token, session))
        return STATEMENT_SESSION;
    if (token_is(&token, "listen"))
        return STATEMENT_LISTEN;
    if (token_is(&token, "set"))
        return classify_set(s);
    if (token_is(&token, "copy"))
        return classify_copy(s);
    if (token_is(&token, "create"))
        return classify_create(s);
    if (token_is(&token, "explain"))
        return classify_explain(s);
    if (token_is(&token, "prepare")) {
        token = scan_next(s);
        return token_is(&token, "transaction") ? STATEMENT_TRANSACTION : STATEMENT_SESSION;
    }
    return STATEMENT_PLAIN;
}

static enum statement_class classify(const char *sql, size_t length) {
    struct scan scan = {.at = sql, .end = sql + length};
    enum statement_class class = classify_as(&scan);
    if (!scan.disputed)
        return class;
    struct scan again = {.at = sql, .end = sql + length, .dialect = SCAN_SQLITE};
    enum statement_class other = classify_as(&again);
    return class == STATEMENT_PLAIN || class == STATEMENT_EMPTY ? other : class;
}

/* ---- The body: words and literals behind the first ---- */

/* The findings of one reading of a whole text. */
struct body {
    bool into;             /* INTO, but not of a write: SELECT INTO makes a table */
    bool into_temporary;   /* likewise, a temporary one */
    bool temporary_schema; /* pg_temp */
    bool locks;            /* FOR UPDATE, FOR SHARE and their like */
    bool folds;            /* a literal such as 'now', which PostgreSQL may turn into a constant when it parses */
    bool unicode;          /* U&'…' or U&"…", whose escapes could spell any word: they are not read */
    bool unicode_name;     /* U&"…" */
    bool creates;          /* CREATE, also behind EXPLAIN */
};

static bool class_is_letter(char c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* Characters that may stand inside a word of a literal: escapes, and the quotes of an array's or a row's elements. */
static bool class_is_escape(char c) {
    return c == '\\' || c == '"';
}

/* True where `at` begins with this word, escapes apart, and no letter follows it. */
static bool class_begins_with(const char *at, const char *end, const char *word) {
    for (; at < end && *word; at++) {
        if (class_is_escape(*at))
            continue;
        if ((*at | 0x20) != *word++)
            return false;
    }
    return !*word && (at == end || !class_is_letter(*at));
}

/*
 * A literal that is cast to a date or time is read when the statement is parsed (8.5.1.4, "Special Values"), so 'now' in a
 * prepared statement stays the time of its Parse. Such a statement is parsed for each use. A literal in pieces, or one with
 * escapes by number, could spell any of the words, and counts as one that does.
 */
static bool class_literal_folds(const struct token *token) {
    static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
    const char *end = token->at + token->length;
    if (token->continued)
        return true;
    for (const char *at = token->at; at < end; at++) {
        if (*at == '\\' && at + 1 < end && strchr("0123456789xuU+", at[1]))
            return true;
        if (!class_is_letter(*at) ||
            (at > token->at && class_is_letter(at[-1]) && !(at - 1 > token->at && class_is_escape(at[-2]))))
            continue;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (class_begins_with(at, end, words[i]))
                return true;
    }
    return false;
}

static bool class_is_temporary_schema(const struct token *token) {
    static const char schema[] = "pg_temp";
    size_t skip = token->kind == TOKEN_NAME, length = sizeof schema - 1;
    if ((token->kind != TOKEN_WORD && token->kind != TOKEN_NAME) || token->length < skip + length)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = token->at[skip + i];
        if (class_is_letter(schema[i]) ? (c | 0x20) != schema[i] : c != schema[i])
            return false;
    }
    return true;
}

/*
 * The way to a statement's verb. Elsewhere PostgreSQL takes INSERT, MERGE and REPLACE for names, of columns above all:
 * "SELECT 1 insert INTO t" makes a table. Of WITH (SELECT, "WITH Clause"):
 *
 *   FIRST, EXPLAIN   WITH -> WITH, EXPLAIN -> EXPLAIN, all else -> BODY
 *   WITH             the '(' behind AS or MATERIALIZED -> QUERY
 *   QUERY            ',' or AS -> WITH, SEARCH -> SEARCH, CYCLE -> CYCLE, all else -> BODY
 *   SEARCH           BY -> COLUMN -> COLUMNS; there ',' -> COLUMN, SET -> NAME
 *   CYCLE            USING -> NAME
 *   NAME             -> QUERY
 *   all              ';' -> FIRST
 */
enum lead {
    LEAD_FIRST,   /* a statement may begin: at the start of the text, behind '(' and ';' */
    LEAD_EXPLAIN, /* likewise, behind EXPLAIN and its options */
    LEAD_WITH,    /* before the parenthesis of a query of WITH */
    LEAD_QUERY,   /* in it or behind it, where a statement may begin */
    LEAD_SEARCH,  /* DEPTH | BREADTH FIRST */
    LEAD_COLUMN,  /* a column follows, which may be called like any of these words */
    LEAD_COLUMNS, /* behind one */
    LEAD_CYCLE,   /* no name in it can be USING, which is reserved */
    LEAD_NAME,    /* the last word of SEARCH or CYCLE follows */
    LEAD_BODY     /* behind the verb */
};

/* INSERT, MERGE, REPLACE, and SQLite's INSERT OR … */
enum write_verb { WRITE_NONE, WRITE_VERB, WRITE_OR, WRITE_OR_WORD };

/* No statement is looked for in more parentheses than these. */
enum { PLACE_DEPTH = 16 };

/* How far a reading of a whole text has come. */
struct place {
    struct token before;
    size_t depth;                  /* of parentheses */
    uint8_t lead[PLACE_DEPTH + 1]; /* enum lead, of each depth */
    enum write_verb write;
};

static enum lead place_lead(const struct place *place) {
    return place->depth <= PLACE_DEPTH ? (enum lead)place->lead[place->depth] : LEAD_BODY;
}

static enum lead lead_begin(const struct token *token) {
    return token_is(token, "with") ? LEAD_WITH : token_is(token, "explain") ? LEAD_EXPLAIN : LEAD_BODY;
}

static bool lead_is_comma(const struct token *token) {
    return token->length == 1 && *token->at == ',';
}

/* Behind a query of WITH. AS follows where the parentheses were a list of columns. */
static enum lead lead_behind_query(const struct token *token) {
    if (token_is(token, "as") || lead_is_comma(token))
        return LEAD_WITH;
    if (token_is(token, "search"))
        return LEAD_SEARCH;
    return token_is(token, "cycle") ? LEAD_CYCLE : LEAD_BODY;
}

static enum lead lead_next(enum lead lead, const struct token *before, const struct token *token) {
    static const char *const opens[] = {"as", "materialized", NULL};
    if (token->kind == TOKEN_SEMICOLON)
        return LEAD_FIRST;
    switch (lead) {
    case LEAD_FIRST:
        return lead_begin(token);
    case LEAD_EXPLAIN:
        return token->kind == TOKEN_OPEN || token_is_any(token, explain_options) ? LEAD_EXPLAIN : lead_begin(token);
    case LEAD_WITH:
        return token->kind == TOKEN_OPEN && token_is_any(before, opens) ? LEAD_QUERY : LEAD_WITH;
    case LEAD_QUERY:
        return lead_behind_query(token);
    case LEAD_SEARCH:
        return token_is(token, "by") ? LEAD_COLUMN : LEAD_SEARCH;
    case LEAD_COLUMN:
        return LEAD_COLUMNS;
    case LEAD_COLUMNS:
        return lead_is_comma(token) ? LEAD_COLUMN : token_is(token, "set") ? LEAD_NAME : LEAD_COLUMNS;
    case LEAD_CYCLE:
        return token_is(token, "using") ? LEAD_NAME : LEAD_CYCLE;
    case LEAD_NAME:
        return LEAD_QUERY;
    case LEAD_BODY:
        break;
    }
    return LEAD_BODY;
}

static bool place_takes_verb(const struct place *place) {
    enum lead lead = place_lead(place);
    return lead == LEAD_FIRST || lead == LEAD_EXPLAIN || lead == LEAD_QUERY;
}

static enum write_verb write_next(const struct place *place, const struct token *token) {
    static const char *const writes[] = {"insert", "merge", "replace", NULL};
    if (place_takes_verb(place) && token_is_any(token, writes))
        return WRITE_VERB;
    if (place->write == WRITE_VERB && token_is(token, "or"))
        return WRITE_OR;
    return place->write == WRITE_OR ? WRITE_OR_WORD : WRITE_NONE;
}

static void place_pass(struct place *place, const struct token *token) {
    place->write = write_next(place, token);
    if (token->kind == TOKEN_CLOSE) {
        place->depth -= place->depth > 0;
    } else if (place->depth <= PLACE_DEPTH) {
        place->lead[place->depth] = (uint8_t)lead_next(place_lead(place), &place->before, token);
    }
    if (token->kind == TOKEN_OPEN && ++place->depth <= PLACE_DEPTH)
        place->lead[place->depth] = LEAD_FIRST;
    place->before = *token;
}

static void class_read_body(struct scan *s, struct body *body) {
    static const char *const locks[] = {"update", "no", "share", "key", NULL};
    static const char *const temporaries[] = {"temp", "temporary", "local", "global", NULL};
    struct place place = {.before = {.kind = TOKEN_END}};
    bool selects_into = false; /* by the token before */
    for (struct token token; (token = scan_next(s)).kind != TOKEN_END; place_pass(&place, &token)) {
        body->into_temporary |= selects_into && token_is_any(&token, temporaries);
        selects_into = token_is(&token, "into") && place.write != WRITE_VERB && place.write != WRITE_OR_WORD;
        body->into |= selects_into;
        body->creates |= place_takes_verb(&place) && token_is(&token, "create");
        if (token.kind == TOKEN_STRING) {
            body->folds |= class_literal_folds(&token);
        } else if (token_is(&place.before, "for")) {
            body->locks |= token_is_any(&token, locks);
        }
        if (token_is(&token, "u") && s->at + 1 < s->end && *s->at == '&') {
            body->unicode |= s->at[1] == '\'' || s->at[1] == '"';
            body->unicode_name |= s->at[1] == '"';
        }
        body->temporary_schema |= class_is_temporary_schema(&token);
    }
}

/*
 * Other statements may have a write in them whose table has one of those words for its name: a rule's or a trigger's. A name whose
 * escapes are not read may be that of the temporary schema.
 */
static bool class_makes_temporary(const struct body *body, const struct token *verb) {
    static const char *const verbs[] = {"select", "with", "explain", NULL};
    return body->temporary_schema || (body->into_temporary && token_is_any(verb, verbs)) ||
           (body->unicode_name && (body->into || body->creates));
}

/*
 * True where `part` stands anywhere in the text, literals and comments included. It is in lower case, with its first '_' at
 * `underscore`: that letter is rare, and memchr() finds it quickly.
 */
static bool class_text_mentions(const char *sql, size_t length, const char *part, size_t underscore) {
    size_t part_length = strlen(part);
    const char *end = sql + length, *at = sql;
    while ((at = memchr(at, '_', (size_t)(end - at)))) {
        const char *begin = at++;
        if ((size_t)(begin - sql) < underscore || (size_t)(end - begin) < part_length - underscore)
            continue;
        begin -= underscore;
        size_t i = 0;
        while (i < part_length && (part[i] == '_' ? begin[i] == '_' : (begin[i] | 0x20) == part[i]))
            i++;
        if (i == part_length)
            return true;
    }
    return false;
}

/*
 * True where the text names a function whose effect no rollback undoes: a member of a group that runs again would have it
 * twice. These are locks of the session, replication slots, whose changes are gone once they were read, and origins.
 */
static bool class_works_outside(const char *sql, size_t length) {
    return class_text_mentions(sql, length, "pg_advisory", 2) ||
           class_text_mentions(sql, length, "pg_try_advisory", 2) ||
           class_text_mentions(sql, length, "pg_logical_", 2) ||
           class_text_mentions(sql, length, "replication_slot", 11) ||
           class_text_mentions(sql, length, "replication_origin", 11);
}

/* ---- The effect on plans that were made earlier ---- */

static enum statement_effect class_effect_of_rollback(struct scan *s) {
    struct token token = scan_next(s);
    if (token_is(&token, "work") || token_is(&token, "transaction"))
        token = scan_next(s);
    return token_is(&token, "to") ? EFFECT_GOES_BACK : EFFECT_ENDS;
}

/* DISCARD ALL, DEALLOCATE [PREPARE] ALL; DEALLOCATE of one touches only what the caller prepared under that name. */
static enum statement_effect class_effect_of_all(struct scan *s, const struct token *verb) {
    struct token token = scan_next(s);
    if (token_is(&token, "prepare"))
        token = scan_next(s);
    if (token_is(&token, "all"))
        return EFFECT_FORGETS;
    return token_is(verb, "deallocate") ? EFFECT_NONE : EFFECT_CHANGES;
}

static enum statement_effect class_effect_of(struct scan *s, const struct token *verb) {
    static const char *const nothing[] = {"begin",   "start",  "savepoint", "release",  "show",   "close",
                                          "declare", "notify", "lock",      "unlisten", "listen", NULL};
    if (verb->kind == TOKEN_END || token_is_any(verb, nothing))
        return EFFECT_NONE;
    if (token_is(verb, "commit") || token_is(verb, "end"))
        return EFFECT_COMMITS;
    if (token_is(verb, "rollback") || token_is(verb, "abort"))
        return class_effect_of_rollback(s);
    if (token_is(verb, "discard") || token_is(verb, "deallocate"))
        return class_effect_of_all(s, verb);
    if (token_is(verb, "prepare")) {
        struct token token = scan_next(s);
        return token_is(&token, "transaction") ? EFFECT_COMMITS : EFFECT_NONE;
    }
    return EFFECT_CHANGES;
}

/* ---- The part in a transaction ---- */

/* Behind a statement's semicolon. */
static enum statement_verb class_verb_of_rest(struct scan *s, enum statement_verb verb) {
    scan_skip_blank(s);
    return s->at == s->end ? verb : VERB_AND_MORE;
}

/* Behind COMMIT, END, ROLLBACK or ABORT: [WORK | TRANSACTION] [AND [NO] CHAIN]; anything else is not understood. */
static enum statement_verb class_verb_of_end(struct scan *s, enum statement_verb verb) {
    struct token token = scan_next(s);
    if (token_is(&token, "work") || token_is(&token, "transaction"))
        token = scan_next(s);
    if (verb == VERB_ROLLS_BACK && token_is(&token, "to"))
        return VERB_GOES_BACK;
    if (token_is(&token, "and")) {
        token = scan_next(s);
        if (!token_is(&token, "no"))
            return VERB_FOREIGN;
        token = scan_next(s);
        if (!token_is(&token, "chain"))
            return VERB_FOREIGN;
        token = scan_next(s);
    }
    if (token.kind == TOKEN_SEMICOLON)
        return class_verb_of_rest(s, verb);
    return token.kind == TOKEN_END ? verb : VERB_FOREIGN;
}

static enum statement_verb class_verb_of(struct scan *s, const struct token *first) {
    if (token_is(first, "commit") || token_is(first, "end"))
        return class_verb_of_end(s, VERB_COMMITS);
    if (token_is(first, "rollback") || token_is(first, "abort"))
        return class_verb_of_end(s, VERB_ROLLS_BACK);
    if (token_is(first, "savepoint"))
        return VERB_SAVES;
    return token_is(first, "release") ? VERB_RELEASES : VERB_FOREIGN;
}

/* No '(' may stand before one of these words. */
static enum statement_verb class_verb_as(struct scan *s) {
    bool anything = false;
    struct token first = class_first_token(s, &anything);
    return anything ? VERB_FOREIGN : class_verb_of(s, &first);
}

/* A text that PostgreSQL and SQLite read as different ones, or one of them as none, is FOREIGN: the two must not disagree. */
static enum statement_verb class_verb(const char *sql, size_t length, enum statement_class class) {
    if (class != STATEMENT_TRANSACTION)
        return VERB_NONE;
    struct scan scan = {.at = sql, .end = sql + length};
    enum statement_verb verb = class_verb_as(&scan);
    if (!scan.disputed)
        return verb;
    struct scan again = {.at = sql, .end = sql + length, .dialect = SCAN_SQLITE};
    return class_verb_as(&again) == verb ? verb : VERB_FOREIGN;
}

/* Savepoints end with their transaction, and locks of rows as well. */
static bool class_leaves_nothing(const struct statement_traits *traits, bool is_plain, const char *sql, size_t length) {
    if (traits->class == STATEMENT_TRANSACTION)
        return traits->verb != VERB_FOREIGN;
    return traits->class == STATEMENT_PLAIN && is_plain && !class_works_outside(sql, length);
}

/* ---- All of it ---- */

struct statement_traits statement_traits(const char *sql, size_t length) {
    PRE(sql || length == 0);
    static const char *const plain[] = {"select", "values", "table", "with",    "insert",
                                        "update", "delete", "merge", "replace", NULL};
    static const char *const described_anew[] = {"fetch", "move", "execute", "show", "explain", "call", NULL};
    struct body body = {0};
    struct scan scan = {.at = sql, .end = sql + length};
    class_read_body(&scan, &body);
    if (scan.backslash) {
        scan = (struct scan){.at = sql, .end = sql + length, .backslashes = true};
        class_read_body(&scan, &body);
    }
    /* The view pg_settings has a rule that turns UPDATE into set_config(). */
    bool anything = false, sets = body.unicode || class_text_mentions(sql, length, "set_config", 3) ||
                                  class_text_mentions(sql, length, "pg_settings", 2);
    scan = (struct scan){.at = sql, .end = sql + length};
    struct token verb = class_first_token(&scan, &anything);
    bool is_plain = token_is_any(&verb, plain) && !sets && !body.into;
    struct statement_traits traits = {
        .class = (uint8_t)classify(sql, length),
        .effect = (uint8_t)(is_plain ? EFFECT_NONE
                            : sets   ? EFFECT_CHANGES
                                     : class_effect_of(&scan, &verb)),
        .groupable = is_plain && !body.locks && !class_works_outside(sql, length),
        .reusable = !body.folds && !body.unicode && !token_is_any(&verb, described_anew),
    };
    bool is_empty = traits.class == STATEMENT_EMPTY;
    if ((traits.class == STATEMENT_PLAIN || is_empty) && class_makes_temporary(&body, &verb))
        traits.class = STATEMENT_SESSION; /* SQLite ends no comment at a carriage return, and may see nothing else */
    traits.verb = (uint8_t)class_verb(sql, length, (enum statement_class)traits.class);
    traits.leaves_nothing = class_leaves_nothing(&traits, is_plain, sql, length);
    return traits;
}

const char *statement_refusal(enum statement_class class, bool bound) {
    PRE(class <= STATEMENT_EMPTY);
    switch (class) {
    case STATEMENT_COPY:
        return "COPY from STDIN or to STDOUT does not work through quring_submit(): use INSERT and SELECT";
    case STATEMENT_LISTEN:
        return "LISTEN does not work here: its notifications could not be handed out";
    case STATEMENT_ENCODING:
        return "all texts are UTF-8 here: client_encoding can't be changed";
    case STATEMENT_TRANSACTION:
        return bound ? NULL
                     : "this statement controls a transaction, and queries go to any of several connections: use "
                       "quring_tx_open(), or open the database with options.exclusive";
    case STATEMENT_SESSION:
        return bound ? NULL
                     : "this statement changes the state of one connection, and queries go to any of several: open "
                       "the database with options.exclusive";
    case STATEMENT_PLAIN:
    case STATEMENT_EMPTY:
        break;
    }
    return NULL;
}

const char *statement_tx_refusal(const struct statement_traits *traits) {
    PRE(traits->verb <= VERB_FOREIGN);
    if (traits->verb == VERB_FOREIGN)
        return "in a transaction of quring_tx_open() its handle says BEGIN, and it ends once: BEGIN, AND CHAIN and "
               "two-phase commit are for handles with options.exclusive";
    if (traits->verb == VERB_AND_MORE)
        return "a query is one statement, and this text goes on behind its COMMIT or ROLLBACK";
    return statement_refusal((enum statement_class)traits->class, true);
}
