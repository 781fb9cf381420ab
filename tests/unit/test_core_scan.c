/* SPDX-License-Identifier: MIT */
#include "core/statement_scan.h"

#include "lib/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* "kind:text" of each token, with '+' for a string that goes on, then '!' for a comment in dispute. */
static const char *tokens(enum scan_dialect dialect, bool backslashes, const char *sql, size_t length) {
    static const char kinds[] = {[TOKEN_WORD] = 'w',  [TOKEN_STRING] = 's', [TOKEN_NAME] = 'n',     [TOKEN_OPEN] = '(',
                                 [TOKEN_CLOSE] = ')', [TOKEN_OTHER] = 'o',  [TOKEN_SEMICOLON] = ';'};
    static char line[1000];
    char *at = line;
    struct scan scan = {.at = sql, .end = sql + length, .dialect = dialect, .backslashes = backslashes};
    *at = 0;
    for (struct token token; (token = scan_next(&scan)).kind != TOKEN_END;) {
        cr_assert(token.length > 0 && token.at >= sql && token.at + token.length <= sql + length);
        at += sprintf(at, "%s%c:%.*s%s", at > line ? " " : "", kinds[token.kind], (int)token.length, token.at,
                      token.continued ? "+" : "");
    }
    cr_assert_eq(scan.at, scan.end);
    (void)strcpy(at, scan.disputed ? "!" : "");
    return line;
}

static const struct sample {
    const char *sql;
    const char *postgresql;
    const char *sqlite;
} samples[] = {
    {"", "", ""},
    {" -- x\n/* y */ ", "", ""},
    {"select a$1, _b;", "w:select w:a$1 o:, w:_b ;:;", "w:select w:a$1 o:, w:_b ;:;"},
    {"f(1)", "w:f (:( o:1 ):)", "w:f (:( o:1 ):)"},
    {"'it''s' x", "s:'it''s' w:x", "s:'it''s' w:x"},
    {"'a\\' b'", "s:'a\\' w:b s:'", "s:'a\\' w:b s:'"},
    {"\"a\"\"b\" c", "n:\"a\"\"b\" w:c", "n:\"a\"\"b\" w:c"},
    {"'a'\n 'b' c", "s:'a'\n 'b'+ w:c", "s:'a' s:'b' w:c"},
    {"e'a\\'b' c", "s:e'a\\'b' w:c", "w:e s:'a\\' w:b s:' c"},
    {"$a$ ' $a$ b", "s:$a$ ' $a$ w:b", "o:$ w:a$ s:' $a$ b"},
    {"$1 b", "o:$ o:1 w:b", "o:$ o:1 w:b"},
    {"[a b] c", "o:[ w:a w:b o:] w:c", "n:[a b] w:c"},
    {"[a]]b", "o:[ w:a o:] o:] w:b", "n:[a] o:] w:b"},
    {"`a``b` c", "o:` w:a o:` o:` w:b o:` w:c", "n:`a``b` w:c"},
    {"[a", "o:[ w:a", "n:[a"},
    {"/* /* */ a */ b", "w:b!", "w:a o:* o:/ w:b!"},
    {"-- x\r a\n b", "w:a w:b!", "w:b!"},
    {"\xef\xbb\xbf"
     "a",
     "w:a", "w:a"},
    {"'a", "s:'a", "s:'a"},
    {"/* a", "", ""},
};

Test(scan, dialects) {
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *s = &samples[i];
        const char *line = tokens(SCAN_POSTGRESQL, false, s->sql, strlen(s->sql));
        cr_expect_str_eq(line, s->postgresql, "%s: %s", s->sql, line);
        line = tokens(SCAN_SQLITE, false, s->sql, strlen(s->sql));
        cr_expect_str_eq(line, s->sqlite, "%s: %s", s->sql, line);
    }
}

Test(scan, backslashes) {
    cr_expect_str_eq(tokens(SCAN_POSTGRESQL, true, "'a\\' b' c", 9), "s:'a\\' b' w:c");
}

Test(scan, every_cut_at_a_guard_page) {
    struct guard guard;
    guard_open(&guard, 256);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (size_t length = 0; length <= strlen(samples[i].sql); length++) {
            const char *cut = (const char *)guard_place(&guard, samples[i].sql, length);
            (void)tokens(SCAN_POSTGRESQL, false, cut, length);
            (void)tokens(SCAN_POSTGRESQL, true, cut, length);
            (void)tokens(SCAN_SQLITE, false, cut, length);
        }
    guard_close(&guard);
}

Test(scan, skip_blank) {
    const char *sql = " ; -- x\n;/* y */; a";
    struct scan scan = {.at = sql, .end = sql + strlen(sql)};
    scan_skip_blank(&scan);
    cr_assert_str_eq(scan.at, "a");
}

Test(scan, words_in_any_case) {
    const char *sql = "SeLeCt";
    struct scan scan = {.at = sql, .end = sql + strlen(sql)};
    struct token token = scan_next(&scan);
    cr_assert(token_is(&token, "select") && token_is(&token, "SELECT"));
    cr_assert_not(token_is(&token, "selec"));
    cr_assert_not(token_is(&token, "selects"));
}
