/* SPDX-License-Identifier: MIT */
#include "cli/common/splitter.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What came out, as one text: "3:select 1|" for a statement whose first word is on line 3, "3:select $2 [2]|" with its
 * highest placeholder, "3>\set x|" for a command, "3!why" for an error.
 */
struct result {
    char *text;
    size_t size;
};

static void note(FILE *out, enum cli_split split, const struct cli_statement *s, const struct cli_splitter *splitter) {
    if (split == CLI_SPLIT_ERROR) {
        fprintf(out, "%d!%s", (int)splitter->line, splitter->error);
        return;
    }
    cr_assert_eq(strlen(s->text), s->size);
    fprintf(out, "%d%c%s", (int)s->line, split == CLI_SPLIT_COMMAND ? '>' : ':', s->text);
    if (s->param_max)
        fprintf(out, " [%u]", s->param_max);
    fputc('|', out);
}

/* Feeds pieces: the first `first` bytes, then `step` at a time. */
static char *split_pieces(const char *text, size_t size, bool sqlite, size_t first, size_t step) {
    struct cli_splitter splitter;
    struct cli_statement statement;
    struct result result = {0};
    FILE *out = open_memstream(&result.text, &result.size);
    size_t at = 0, piece = first;

    cli_splitter_init(&splitter, sqlite, 0);
    for (;;) {
        enum cli_split split = cli_splitter_next(&splitter, &statement);
        if (split == CLI_SPLIT_MORE) {
            piece = piece < size - at ? piece : size - at;
            if (at == size)
                cli_splitter_end(&splitter);
            else
                cli_splitter_feed(&splitter, text + at, piece);
            at += piece;
            piece = step;
            continue;
        }
        if (split == CLI_SPLIT_END)
            break;
        note(out, split, &statement, &splitter);
        if (split == CLI_SPLIT_ERROR)
            break;
    }
    cli_splitter_free(&splitter);
    fclose(out);
    return result.text;
}

static void expect_sized(bool sqlite, const char *text, size_t size, const char *wanted) {
    for (size_t first = 1; first <= size + 1; first++) { /* every two-way split, the last of which is none */
        char *got = split_pieces(text, size, sqlite, first, size);
        cr_assert_str_eq(got, wanted, "%s\nsplit at %zu gives\n%s\nnot\n%s", text, first, got, wanted);
        free(got);
    }
    char *got = split_pieces(text, size, sqlite, 1, 1);
    cr_assert_str_eq(got, wanted, "byte by byte: %s", got);
    free(got);
}

static void expect(bool sqlite, const char *text, const char *wanted) {
    expect_sized(sqlite, text, strlen(text), wanted);
}

static void expect_both(const char *text, const char *wanted) {
    expect(false, text, wanted);
    expect(true, text, wanted);
}

Test(splitter, cli_splitter_next_ends_statements_at_semicolons_or_the_end) {
    expect_both("select 1", "1:select 1|");
    expect_both("select 1;select 2;", "1:select 1|1:select 2|");
    expect_both(" select 1 ;\n\n  select\n2\n;\nselect 3\n", "1:select 1|3:select\n2|6:select 3|");
}

Test(splitter, cli_splitter_next_gives_nothing_without_a_word) {
    expect_both("", "");
    expect_both(" \n\t\r\n ", "");
    expect_both(";;; ;\n;", "");
    expect_both("-- nothing\n/* at all */ ; -- more", "");
    expect_both("select 1;;; -- end\n", "1:select 1|");
}

Test(splitter, cli_splitter_next_keeps_semicolons_in_quotes) {
    expect_both("select 'a;b', \";\" from \"x;y\"; select 2", "1:select 'a;b', \";\" from \"x;y\"|1:select 2|");
    expect_both("select 'it''s; fine';x", "1:select 'it''s; fine'|1:x|");
    expect_both("select \"a\"\"b;\";x", "1:select \"a\"\"b;\"|1:x|");
    expect_both("select '\\'; x", "1:select '\\'|1:x|"); /* no escape outside E'' */
    expect_both("select 'two\nlines;';\nx", "1:select 'two\nlines;'|3:x|");
}

Test(splitter, cli_splitter_next_knows_escape_strings_of_postgresql) {
    expect(false, "select E'a\\';b'; x", "1:select E'a\\';b'|1:x|");
    expect(false, "select e'\\\\'; x", "1:select e'\\\\'|1:x|");
    expect(false, "select e'a''b\\';'; x", "1:select e'a''b\\';'|1:x|");
    expect(false, "select e'a'\n -- why not\n 'b\\';'; x", "1:select e'a'\n -- why not\n 'b\\';'|3:x|");
    expect(false, "select e'a', 'b\\'; x", "1:select e'a', 'b\\'|1:x|");
    expect(false, "select the'a\\'; x", "1:select the'a\\'|1:x|"); /* a word that only ends with e */
    expect(true, "select e'a\\'; x", "1:select e'a\\'|1:x|");
}

Test(splitter, cli_splitter_next_knows_dollar_quotes_of_postgresql) {
    expect(false, "do $$ begin; end $$; x", "1:do $$ begin; end $$|1:x|");
    expect(false, "do $a$ ; $$ ; $b$ ; $a$; x", "1:do $a$ ; $$ ; $b$ ; $a$|1:x|");
    expect(false, "do $a$ ; $a $a$; x", "1:do $a$ ; $a $a$|1:x|");
    expect(false, "do $a$ ; $b$a$; x", "1:do $a$ ; $b$a$|1:x|"); /* the $ that ends $b begins $a$ */
    expect(false, "do $a$ ;$A$ $aa$ $a$; x", "1:do $a$ ;$A$ $aa$ $a$|1:x|");
    expect(false, "select $1; select $1$2; x", "1:select $1 [1]|1:select $1$2 [2]|1:x|");
    expect(false, "select a$b$ ; x", "1:select a$b$|1:x|"); /* a name, not a quote */
    expect(false, "do $ä_1$;$ä_1$;x", "1:do $ä_1$;$ä_1$|1:x|");
    expect(true, "select $$;x", "1:select $$|1:x|");
}

Test(splitter, cli_splitter_next_knows_comments) {
    expect_both("select 1 -- ;'\n; x", "1:select 1 -- ;'|2:x|");
    expect_both("select 1 /* ; ' */; x", "1:select 1 /* ; ' */|1:x|");
    expect_both("select 1 /**/;/***/x", "1:select 1 /**/|1:/***/x|");
    expect_both("select 2 - 1; select 2 / 1; x", "1:select 2 - 1|1:select 2 / 1|1:x|");
    expect_both("select 2-1;select 2/1;x", "1:select 2-1|1:select 2/1|1:x|");
    expect(false, "select /* a /* b; */ ; */ 1; x", "1:select /* a /* b; */ ; */ 1|1:x|");
    expect(true, "select /* a /* b; */ 1; x", "1:select /* a /* b; */ 1|1:x|");
    expect(false, "select 1 -- a\r, ';'; x", "1:select 1 -- a\r, ';'|1:x|");       /* ends the line there, … */
    expect(true, "select 1 -- a\r, ';'; x\n;y", "1:select 1 -- a\r, ';'; x|2:y|"); /* … not here */
    expect(true, "select 1; /* no end", "1:select 1|");
    expect(true, "select 1 /* no end", "1:select 1 /* no end|");
}

Test(splitter, cli_splitter_next_drops_leading_line_comments_and_keeps_block_comments) {
    expect_both("-- one\n  -- two\nselect 1;\n\n-- three\nx", "3:select 1|6:x|");
    expect_both("/*+ hint */ -- c\nselect 1", "2:/*+ hint */ -- c\nselect 1|");
}

Test(splitter, cli_splitter_next_knows_names_of_sqlite) {
    expect(true, "select [a;b], `c;d`; x", "1:select [a;b], `c;d`|1:x|");
    expect(false, "select a[1], '['; x", "1:select a[1], '['|1:x|");
}

Test(splitter, cli_splitter_next_knows_triggers_of_sqlite) {
    expect(true, "create trigger t after insert on a begin update b set c = 1; delete from d; end; x",
           "1:create trigger t after insert on a begin update b set c = 1; delete from d; end|1:x|");
    expect(true, "CREATE TEMP TRIGGER t BEGIN select case when 1 then 2 end; select 'end;'; END;x",
           "1:CREATE TEMP TRIGGER t BEGIN select case when 1 then 2 end; select 'end;'; END|1:x|");
    expect(true, "explain query plan create trigger t begin select 1; end ; x",
           "1:explain query plan create trigger t begin select 1; end|1:x|");
    expect(true, "create trigger t begin select 1;\n-- c\nend\n;x",
           "1:create trigger t begin select 1;\n-- c\nend|4:x|");
    expect(true, "create table trigger_log(a); x", "1:create table trigger_log(a)|1:x|");
    expect(true, "create trigger t begin select 1;", "1:create trigger t begin select 1;|");
    expect(false, "create trigger t execute function f(); x", "1:create trigger t execute function f()|1:x|");
}

Test(splitter, cli_splitter_next_knows_routines_and_rules_of_postgresql) {
    expect(false, "create function f() returns int language sql begin atomic select 1; select 2; end; x",
           "1:create function f() returns int language sql begin atomic select 1; select 2; end|1:x|");
    expect(false, "create or replace procedure p() begin atomic select case when a then 1 else 2 end; end; x",
           "1:create or replace procedure p() begin atomic select case when a then 1 else 2 end; end|1:x|");
    expect(false, "create function f() language sql as 'select 1; select 2'; x",
           "1:create function f() language sql as 'select 1; select 2'|1:x|");
    expect(false, "create rule r as on insert to a do also (insert into b values (1); delete from c); x",
           "1:create rule r as on insert to a do also (insert into b values (1); delete from c)|1:x|");
    expect(false, "begin; select 1; end; x", "1:begin|1:select 1|1:end|1:x|");
    expect(false, "create function begin() returns int as 'x'; y", "1:create function begin() returns int as 'x'|1:y|");
}

Test(splitter, cli_splitter_next_counts_placeholders) {
    expect_both("select $2, $11, $3", "1:select $2, $11, $3 [11]|");
    expect_both("select '$9', \"$8\" /* $7 */ -- $6\n, $1", "1:select '$9', \"$8\" /* $7 */ -- $6\n, $1 [1]|");
    expect_both("select $1; select 2", "1:select $1 [1]|1:select 2|");
    expect(false, "prepare s as select $1; select $2; prepare(a); x",
           "1:prepare s as select $1|1:select $2 [2]|1:prepare(a)|1:x|");
    expect(false, "/* c */ PREPARE s (int) as insert into t values ($1); x",
           "1:/* c */ PREPARE s (int) as insert into t values ($1)|1:x|");
    expect(false, "create function f(int) returns int language sql begin atomic select $1; end; select $1",
           "1:create function f(int) returns int language sql begin atomic select $1; end|1:select $1 [1]|");
    expect(false, "create function f(int) returns int language sql return $1 + 1", /* no body of several statements */
           "1:create function f(int) returns int language sql return $1 + 1|");
    expect(false, "explain select $1; create table prepare as select $2",
           "1:explain select $1 [1]|1:create table prepare as select $2 [2]|");
    expect(true, "prepare s as select $1", "1:prepare s as select $1 [1]|"); /* SQLite has none */
    expect_both("select $99999999999999999999", "1:select $99999999999999999999 [9999999]|");
}

Test(splitter, cli_splitter_next_takes_backslash_commands_as_lines) {
    expect_both("\\set x 1\nselect 1;\n  \\d\\\n t\nx", "1>\\set x 1|2:select 1|3>\\d   t|5:x|");
    expect_both("\\d", "1>\\d|");
    expect_both("\\a\r\n\\b\r\n", "1>\\a|2>\\b|");
    expect_both("select 1 \\g\n;", "1:select 1 \\g|");
    expect_both("\\a;b;c\nx", "1>\\a;b;c|2:x|");
}

Test(splitter, cli_splitter_next_skips_a_byte_order_mark_once) {
    expect_both("\xef\xbb\xbfselect 1;", "1:select 1|");
    expect_both("\xef\xbb\xbf", "");
}

Test(splitter, cli_splitter_next_says_where_an_error_is) {
    expect_both("select 1;\nselect\n 'abc;\n", "1:select 1|3!a quoted string begins here and never ends");
    expect_both("select \"abc", "1!a quoted name begins here and never ends");
    expect(false, "\n/* /* */\nselect 1;", "2!a comment begins here and never ends");
    expect(false, "do\n$x$ $y$", "2!a dollar-quoted string begins here and never ends");
    expect(false, "do e'\\'", "1!a quoted string begins here and never ends");
    expect_sized(false, "select 1;\nsel\0ect", 17, "1:select 1|2!a NUL byte: this is no text in UTF-8");
    expect_sized(true, "\\set\n\\se\0t", 10, "1>\\set|2!a NUL byte: this is no text in UTF-8");
}

Test(splitter, cli_splitter_feed_refuses_a_statement_past_the_limit) {
    struct cli_splitter splitter;
    struct cli_statement statement;
    cli_splitter_init(&splitter, true, 100);
    cr_assert(cli_splitter_feed(&splitter, "select 1;\nselect '", 18));
    cr_assert_eq(cli_splitter_next(&splitter, &statement), CLI_SPLIT_STATEMENT);
    cr_assert_eq(cli_splitter_next(&splitter, &statement), CLI_SPLIT_MORE);
    bool fits = true;
    for (int i = 0; i < 100 && fits; i++) {
        fits = cli_splitter_feed(&splitter, "x", 1);
        cr_assert_eq(cli_splitter_next(&splitter, &statement), fits ? CLI_SPLIT_MORE : CLI_SPLIT_ERROR);
    }
    cr_assert_not(fits);
    cr_assert_eq(splitter.line, 2);
    cli_splitter_free(&splitter);
}

Test(splitter, cli_splitter_feed_holds_one_statement) {
    struct cli_splitter splitter;
    struct cli_statement statement;
    char piece[4096];
    uint64_t statements = 0;

    for (size_t i = 0; i + 8 <= sizeof piece; i += 8)
        memcpy(piece + i, "-- abc\nx", 8);
    for (size_t i = 7; i < sizeof piece; i += 64)
        piece[i] = ';';
    cli_splitter_init(&splitter, false, 0);
    for (int i = 0; i < 10000; i++) {
        cr_assert(cli_splitter_feed(&splitter, piece, sizeof piece));
        enum cli_split split;
        while ((split = cli_splitter_next(&splitter, &statement)) == CLI_SPLIT_STATEMENT)
            statements++;
        cr_assert_eq(split, CLI_SPLIT_MORE);
    }
    cr_assert_gt(statements, 10000);
    cr_assert_lt(splitter.capacity, 4 * sizeof piece);
    cli_splitter_free(&splitter);
}
