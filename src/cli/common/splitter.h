/* SPDX-License-Identifier: MIT */
/*
 * Cuts a stream of SQL text into statements. It holds one statement and one piece of input at a time, and looks at each
 * byte once, however small the pieces are.
 *
 *      for (;;) {
 *          switch (cli_splitter_next(&s, &statement)) {
 *          case CLI_SPLIT_MORE:  read some; cli_splitter_feed(&s, bytes, size), or cli_splitter_end(&s)
 *          …
 *
 * A ';' ends a statement, except inside quotes, comments, and what only looks like several statements:
 *   SQLite       CREATE TRIGGER … BEGIN …; …; END
 *   PostgreSQL   (…; …) as in CREATE RULE, and BEGIN ATOMIC …; …; END in CREATE FUNCTION or PROCEDURE
 * White space and line comments before a statement are dropped; block comments stay, because extensions such as
 * pg_hint_plan read hints in them.
 */
#ifndef QURING_CLI_COMMON_SPLITTER_H
#define QURING_CLI_COMMON_SPLITTER_H

#include "cli/common/lexer.h"

#include <stddef.h>

enum { CLI_STATEMENT_BYTES_MAX = 128 << 20 };

struct cli_statement {
    char *text; /* without its ';', NUL-terminated; valid until the next call */
    size_t size;
    uint64_t line;      /* of its first word */
    uint64_t text_line; /* of text[0], which may be a comment */
    uint32_t param_max; /* 3 when $3 is the highest placeholder that a value is bound to */
};

/* The line on which text[at] stands. */
uint64_t cli_statement_line(const struct cli_statement *statement, size_t at);

enum cli_split {
    CLI_SPLIT_STATEMENT,
    CLI_SPLIT_COMMAND, /* a line that begins with a backslash; `text` is that line from the backslash on */
    CLI_SPLIT_MORE,
    CLI_SPLIT_END,
    CLI_SPLIT_ERROR /* `error` says why, `line` where; nothing can follow */
};

struct cli_splitter {
    struct cli_lexer lexer;
    size_t limit_bytes;
    char *data; /* start: the statement's first byte; scan: the next to look at */
    size_t start, scan, end, capacity;
    uint64_t line;       /* of data[scan] */
    uint64_t text_line;  /* of data[start] */
    uint64_t first_line; /* of the statement's first word, 0 before it */
    uint64_t open_line;  /* where the quote or comment that is open began */
    bool began;          /* the stream's first bytes were looked at */
    bool ended;          /* nothing more will be fed */
    bool keep_comment;   /* a block comment has begun: the text is no longer dropped */
    bool given;          /* data[start..scan) was handed out */
    bool in_command;
    uint8_t head;     /* what the first words have said so far: see splitter.c */
    uint8_t body;     /* where in a body of several statements this is */
    uint32_t nesting; /* PostgreSQL: of BEGIN ATOMIC and CASE; */
    uint32_t parens;  /* … and of parentheses */
    const char *error;
};

/* `limit_bytes` 0: CLI_STATEMENT_BYTES_MAX. */
void cli_splitter_init(struct cli_splitter *s, bool sqlite, size_t limit_bytes);
void cli_splitter_free(struct cli_splitter *s);

/*
 * Adds input, which is copied. Returns false when memory ran out or the statement is past the limit: cli_splitter_next()
 * then gives the error, so the caller need not look.
 */
bool cli_splitter_feed(struct cli_splitter *s, const char *bytes, size_t size);
/* Says that no input follows: a last statement needs no ';'. */
void cli_splitter_end(struct cli_splitter *s);

/* Gives the next statement or command; `statement` is written for these two only. */
enum cli_split cli_splitter_next(struct cli_splitter *s, struct cli_statement *statement);

#endif
