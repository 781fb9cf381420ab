/* SPDX-License-Identifier: MIT */
#include "cli/common/splitter.h"

#include <stdlib.h>
#include <string.h>

/* The kind of a statement as far as its first words tell: some kinds contain ';' or placeholders of their own. */
enum head {
    HEAD_START,
    HEAD_EXPLAIN,
    HEAD_CREATE,  /* CREATE, and TEMP, OR, REPLACE after it */
    HEAD_TRIGGER, /* SQLite: CREATE TRIGGER */
    HEAD_ROUTINE, /* PostgreSQL: CREATE FUNCTION, CREATE PROCEDURE */
    HEAD_PREPARE, /* PostgreSQL */
    HEAD_OTHER
};

/*
 * The position in the body of a statement that contains others. CREATE TRIGGER ends only at the ';' after an END that
 * stands alone after a ';': the rule of sqlite3_complete(), which needs no knowledge of CASE … END.
 */
enum body { BODY_NONE, BODY_BEGIN_SEEN, BODY_AFTER_SEMICOLON, BODY_AFTER_END };

void cli_splitter_init(struct cli_splitter *s, bool sqlite, size_t limit_bytes) {
    *s = (struct cli_splitter){
        .limit_bytes = limit_bytes ? limit_bytes : CLI_STATEMENT_BYTES_MAX, .line = 1, .text_line = 1};
    cli_lexer_init(&s->lexer, sqlite);
}

void cli_splitter_free(struct cli_splitter *s) {
    free(s->data);
    *s = (struct cli_splitter){0};
}

/* ---- Input ------------------------------------------------------------------------------------------------------ */

static void splitter_begin_statement(struct cli_splitter *s) {
    s->start = s->scan;
    s->text_line = s->line;
    s->first_line = 0;
    s->keep_comment = s->given = s->in_command = false;
    s->head = HEAD_START;
    s->body = BODY_NONE;
    s->nesting = s->parens = 0;
    cli_lexer_init(&s->lexer, s->lexer.sqlite);
}

static bool splitter_fail(struct cli_splitter *s, const char *error, uint64_t line) {
    if (!s->error) {
        s->error = error;
        s->line = line;
    }
    return false;
}

bool cli_splitter_feed(struct cli_splitter *s, const char *bytes, size_t size) {
    if (s->given)
        splitter_begin_statement(s);
    if (s->start > 0) {
        if (s->end > s->start)
            memmove(s->data, s->data + s->start, s->end - s->start);
        s->end -= s->start;
        s->scan -= s->start;
        s->start = 0;
    }
    if (size > s->limit_bytes || s->end > s->limit_bytes - size)
        return splitter_fail(s, "this statement is too large", s->first_line ? s->first_line : s->line);
    size_t needed = s->end + size + 1; /* room for a NUL */
    if (needed > s->capacity) {
        size_t capacity = needed > 2 * s->capacity ? needed : 2 * s->capacity;
        char *data = realloc(s->data, capacity);
        if (!data)
            return splitter_fail(s, "memory ran out", s->line);
        s->data = data;
        s->capacity = capacity;
    }
    memcpy(s->data + s->end, bytes, size);
    s->end += size;
    return true;
}

void cli_splitter_end(struct cli_splitter *s) {
    s->ended = true;
}

/* Skips a byte order mark, which is no SQL. Returns false when more input is needed to tell whether there is one. */
static bool splitter_skip_mark(struct cli_splitter *s) {
    static const char mark[] = "\xef\xbb\xbf";
    size_t size = s->end < 3 ? s->end : 3;
    if (size > 0 && memcmp(s->data, mark, size) == 0) {
        if (size < 3 && !s->ended)
            return false;
        if (size == 3)
            s->start = s->scan = 3;
    } else if (size == 0 && !s->ended) {
        return false;
    }
    return s->began = true;
}

uint64_t cli_statement_line(const struct cli_statement *statement, size_t at) {
    uint64_t line = statement->text_line;
    for (size_t i = 0; i < at && i < statement->size; i++)
        line += statement->text[i] == '\n';
    return line;
}

/* ---- Where a statement ends ------------------------------------------------------------------------------------- */

/* A statement is followed word by word only as long as it may become one whose ';' or placeholders are its own. */
static uint8_t splitter_head_after(const struct cli_splitter *s) {
    const struct cli_lexer *lexer = &s->lexer;
    switch ((enum head)s->head) {
    case HEAD_START:
        if (cli_lexer_word_is(lexer, "create"))
            return HEAD_CREATE;
        if (!lexer->sqlite && cli_lexer_word_is(lexer, "prepare"))
            return HEAD_PREPARE;
        return lexer->sqlite && cli_lexer_word_is(lexer, "explain") ? HEAD_EXPLAIN : HEAD_OTHER;
    case HEAD_EXPLAIN: /* EXPLAIN QUERY PLAN CREATE … */
        if (cli_lexer_word_is(lexer, "create"))
            return HEAD_CREATE;
        return cli_lexer_word_is(lexer, "query") || cli_lexer_word_is(lexer, "plan") ? HEAD_EXPLAIN : HEAD_OTHER;
    case HEAD_CREATE:
        if (lexer->sqlite && (cli_lexer_word_is(lexer, "temp") || cli_lexer_word_is(lexer, "temporary")))
            return HEAD_CREATE;
        if (lexer->sqlite)
            return cli_lexer_word_is(lexer, "trigger") ? HEAD_TRIGGER : HEAD_OTHER;
        if (cli_lexer_word_is(lexer, "or") || cli_lexer_word_is(lexer, "replace"))
            return HEAD_CREATE;
        return cli_lexer_word_is(lexer, "function") || cli_lexer_word_is(lexer, "procedure") ? HEAD_ROUTINE
                                                                                             : HEAD_OTHER;
    default:
        return s->head;
    }
}

/*
 * A routine's parentheses hold its arguments, whose names and defaults are no part of its body: words in them do not
 * count. CASE counts because it ends with END, as a block does, which would otherwise close BEGIN ATOMIC.
 */
static void splitter_on_word(struct cli_splitter *s) {
    const struct cli_lexer *lexer = &s->lexer;
    if (s->head == HEAD_TRIGGER) {
        bool alone = s->body == BODY_AFTER_SEMICOLON && cli_lexer_word_is(lexer, "end");
        s->body = alone ? BODY_AFTER_END : BODY_NONE;
    } else if (s->head == HEAD_ROUTINE && s->parens == 0) {
        if (s->nesting == 0 && s->body == BODY_BEGIN_SEEN && cli_lexer_word_is(lexer, "atomic"))
            s->nesting = 1;
        else if (s->nesting > 0 && cli_lexer_word_is(lexer, "case"))
            s->nesting++;
        else if (s->nesting > 0 && cli_lexer_word_is(lexer, "end"))
            s->nesting--;
        s->body = cli_lexer_word_is(lexer, "begin") ? BODY_BEGIN_SEEN : BODY_NONE;
    } else {
        s->head = splitter_head_after(s);
    }
}

static void splitter_on_token(struct cli_splitter *s, unsigned found) {
    if (s->head < HEAD_TRIGGER)
        s->head = HEAD_OTHER;
    s->body = BODY_NONE;
    if (s->lexer.sqlite)
        return;
    if (found & CLI_LEX_FOUND_OPEN)
        s->parens++;
    else if ((found & CLI_LEX_FOUND_CLOSE) && s->parens > 0)
        s->parens--;
}

/* Returns whether this ';' ends the statement. */
static bool splitter_on_semicolon(struct cli_splitter *s) {
    if (s->head == HEAD_TRIGGER) {
        if (s->body == BODY_AFTER_END)
            return true;
        s->body = BODY_AFTER_SEMICOLON;
        return false;
    }
    s->body = BODY_NONE;
    return s->nesting == 0 && s->parens == 0;
}

/* ---- Statements ------------------------------------------------------------------------------------------------- */

/* The body of PREPARE or of a routine is only stored: its $1 is for EXECUTE, or is the routine's first argument. */
static bool splitter_holds_own_params(const struct cli_splitter *s) {
    return s->head == HEAD_PREPARE || s->head == HEAD_ROUTINE;
}

/* Hands out data[start..end) without white space at its end, NUL-terminated; false when there is no word in it. */
static bool splitter_give(struct cli_splitter *s, size_t end, struct cli_statement *statement) {
    if (s->first_line == 0)
        return false;
    while (end > s->start && strchr(" \t\n\v\f\r", s->data[end - 1]))
        end--;
    s->data[end] = 0;
    s->given = true;
    *statement = (struct cli_statement){
        .text = s->data + s->start,
        .size = end - s->start,
        .line = s->first_line,
        .text_line = s->text_line,
        .param_max = splitter_holds_own_params(s) ? 0 : s->lexer.param_max,
    };
    return true;
}

/* Hands out a line that begins with a backslash. A backslash at its end joins the next line to it, as in pgbench. */
static enum cli_split splitter_take_command(struct cli_splitter *s, struct cli_statement *statement) {
    for (; s->scan < s->end; s->scan++) {
        char c = s->data[s->scan];
        if (c == 0)
            return splitter_fail(s, "a NUL byte: this is no text in UTF-8", s->line), CLI_SPLIT_ERROR;
        if (c != '\n')
            continue;
        s->line++;
        size_t before = s->scan - 1;
        if (s->data[before] == '\r' && before > s->start)
            before--;
        if (s->data[before] == '\\' && before > s->start) {
            memset(s->data + before, ' ', s->scan + 1 - before);
            continue;
        }
        splitter_give(s, s->scan, statement);
        s->scan++;
        return CLI_SPLIT_COMMAND;
    }
    if (!s->ended)
        return CLI_SPLIT_MORE;
    splitter_give(s, s->end, statement);
    return CLI_SPLIT_COMMAND;
}

static enum cli_split splitter_finish(struct cli_splitter *s, struct cli_statement *statement) {
    unsigned found = cli_lexer_step(&s->lexer, ' '); /* ends the last word */
    const char *unfinished = cli_lexer_unfinished(&s->lexer);
    if (unfinished)
        return splitter_fail(s, unfinished, s->open_line), CLI_SPLIT_ERROR;
    if ((found & (CLI_LEX_FOUND_WORD | CLI_LEX_FOUND_TOKEN)) && s->first_line == 0)
        s->first_line = s->line;
    return splitter_give(s, s->end, statement) ? CLI_SPLIT_STATEMENT : CLI_SPLIT_END;
}

/* Follows the statement by what the lexer found in a byte. Returns true at the ';' that ends the statement. */
static bool splitter_note(struct cli_splitter *s, unsigned found) {
    if (found & CLI_LEX_FOUND_WORD)
        splitter_on_word(s);
    if (found & CLI_LEX_FOUND_TOKEN)
        splitter_on_token(s, found);
    return (found & CLI_LEX_FOUND_SEMICOLON) && splitter_on_semicolon(s);
}

/* Drops white space and line comments before the first word, so that a long run of comments takes no memory. */
static void splitter_drop_leading(struct cli_splitter *s) {
    uint8_t state = s->lexer.state;
    if (state == CLI_LEX_BLOCK_COMMENT)
        s->keep_comment = true;
    if (s->keep_comment || (state != CLI_LEX_CODE && state != CLI_LEX_LINE_COMMENT))
        return;
    s->start = s->scan;
    s->text_line = s->line;
}

enum cli_split cli_splitter_next(struct cli_splitter *s, struct cli_statement *statement) {
    if (s->given)
        splitter_begin_statement(s);
    if (s->error)
        return CLI_SPLIT_ERROR;
    if (!s->began && !splitter_skip_mark(s))
        return CLI_SPLIT_MORE;
    if (s->in_command)
        return splitter_take_command(s, statement);

    while (s->scan < s->end) {
        unsigned char c = (unsigned char)s->data[s->scan];
        if (c == 0)
            return splitter_fail(s, "a NUL byte: this is no text in UTF-8", s->line), CLI_SPLIT_ERROR;
        bool was_code = cli_lexer_in_code(&s->lexer), was_plain = s->lexer.state == CLI_LEX_CODE;
        unsigned found = cli_lexer_step(&s->lexer, c);
        if (was_code && !cli_lexer_in_code(&s->lexer))
            s->open_line = s->line;
        if ((found & CLI_LEX_FOUND_BACKSLASH) && s->first_line == 0 && was_plain) {
            s->start = s->scan;
            s->text_line = s->first_line = s->line;
            s->in_command = true;
            return splitter_take_command(s, statement);
        }
        if (s->first_line == 0 && ((found & ~(unsigned)CLI_LEX_FOUND_SEMICOLON) || s->lexer.state == CLI_LEX_WORD))
            s->first_line = s->line;
        bool ends = splitter_note(s, found);
        s->scan++;
        s->line += c == '\n';
        if (ends) {
            if (splitter_give(s, s->scan - 1, statement))
                return CLI_SPLIT_STATEMENT;
            splitter_begin_statement(s);
        } else if (s->first_line == 0) {
            splitter_drop_leading(s);
        }
    }
    return s->ended ? splitter_finish(s, statement) : CLI_SPLIT_MORE;
}
