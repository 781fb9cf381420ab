/* SPDX-License-Identifier: MIT */
#include "core/statement.h"
#include "core/token.h"

#include <criterion/criterion.h>
#include <string.h>

Test(core_token, names_of_tables) {
    static const char *const good[] = {"commits",         "app.commits",       "db.app.commits", "_a$1",
                                       "\"App\".commits", "\xc3\xa9t\xc3\xa9", "\"x.y;--\""};
    static const char *const bad[] = {"",       ".",       "a.",     ".a",   "a..b",    "a.b.c.d",
                                      "1a",     "a b",     "a;b",    "a(b)", "a--",     "\"a",
                                      "\"\"",   "\"a\"b",  "a\"b\"", "'a'",  "a\nb",    "u&\"\\0041\"",
                                      "\"a\".", "\"a\"\"", "a/**/",  "$1",   "select 1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(token_table_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(token_table_is_valid(bad[i]), "%s", bad[i]);
}

Test(core_token, names_that_mean_one_table) {
    static const char *const fixed[] = {"app.commits", "db.app.commits", "\"pg\".c", "pgx.c", "pg_temp.app.c"};
    static const char *const not_fixed[] = {"commits",     "\"app.commits\"", "pg_temp.c",
                                            "PG_Temp_3.c", "\"pg_temp\".c",   "db.pg_temp.c"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        cr_assert(token_table_is_fixed(fixed[i]), "%s", fixed[i]);
    for (size_t i = 0; i < sizeof not_fixed / sizeof *not_fixed; i++)
        cr_assert_not(token_table_is_fixed(not_fixed[i]), "%s", not_fixed[i]);
}

Test(core_token, a_name_has_255_bytes_at_most) {
    char name[TOKEN_TABLE_BYTES + 2], sql[TOKEN_SQL_BYTES];
    memset(name, 'a', sizeof name);
    name[TOKEN_TABLE_BYTES] = 0;
    cr_assert(token_table_is_valid(name));
    cr_assert_lt(token_write_sql(name, sql), sizeof sql);
    cr_assert_eq(strlen(sql), token_write_sql(name, sql));
    name[TOKEN_TABLE_BYTES] = 'a';
    name[TOKEN_TABLE_BYTES + 1] = 0;
    cr_assert_not(token_table_is_valid(name));
}

Test(core_token, statements) {
    struct statement_table *table = statement_table_new(4, 1000, NULL);
    static const char *const names[] = {"commits", "\"App\".\"Com\"\"mits\"", NULL};
    for (const char *const *name = names; *name; name++) {
        char sql[TOKEN_SQL_BYTES], expected[TOKEN_SQL_BYTES];
        size_t length = token_write_sql(*name, sql);
        snprintf(expected, sizeof expected, "insert into %s (token, committed) values ($1, true)", *name);
        cr_assert_str_eq(sql, expected);
        struct quring_statement *write = statement_find(table, sql, length);
        cr_assert_eq(token_claim_sql(write, sql), strlen(sql));
        snprintf(expected, sizeof expected,
                 "insert into %s (token, committed) values ($1, false) on conflict (token) do nothing", *name);
        cr_assert_str_eq(sql, expected);
        cr_assert_eq(token_read_sql(write, sql), strlen(sql));
        snprintf(expected, sizeof expected, "select committed from %s where token = $1", *name);
        cr_assert_str_eq(sql, expected);
        statement_drop(write);
    }
    statement_table_free(table);
}

Test(core_token, tokens) {
    static const uint8_t token[TOKEN_BYTES] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                               0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    char text[TOKEN_TEXT_BYTES];
    token_text(token, text);
    cr_assert_str_eq(text, "01234567-89ab-cdef-fedc-ba9876543210");
    uint8_t drawn[100][TOKEN_BYTES];
    for (int i = 0; i < 100; i++) {
        cr_assert(token_draw(drawn[i]));
        cr_assert(drawn[i][6] >> 4 == 4 && drawn[i][8] >> 6 == 2, "a UUID of version 4");
        for (int j = 0; j < i; j++)
            cr_assert_neq(memcmp(drawn[i], drawn[j], TOKEN_BYTES), 0);
    }
}
