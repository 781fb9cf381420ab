/* SPDX-License-Identifier: MIT */
#include "core/token.h"

#include "core/statement.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { TABLE_PARTS_MAX = 3 };

static const char token_before[] = "insert into ", token_behind[] = " (token, committed) values ($1, true)";

/* ---- Names ---- */

static bool token_is_letter(unsigned char c) {
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c >= 0x80;
}

/* Returns what follows the name that stands here; NULL: none does. */
static const char *token_skip_name(const char *at) {
    if (*at != '"') {
        if (!token_is_letter((unsigned char)*at))
            return NULL;
        while (token_is_letter((unsigned char)*at) || (*at >= '0' && *at <= '9') || *at == '$')
            at++;
        return at;
    }
    const char *first = ++at;
    while (*at && (*at != '"' || at[1] == '"'))
        at += *at == '"' ? 2 : 1;
    return *at && at > first ? at + 1 : NULL;
}

/* Where the last part begins, and the one before it, which is NULL if there is none. False: it is no name of a table. */
static bool token_split(const char *table, const char **schema, const char **name) {
    const char *at = table;
    *schema = *name = NULL;
    for (int part = 0; part < TABLE_PARTS_MAX; part++) {
        *schema = *name;
        *name = at;
        at = token_skip_name(at);
        if (!at || !*at)
            return at && at - table <= TOKEN_TABLE_BYTES;
        if (*at++ != '.')
            return false;
    }
    return false;
}

bool token_table_is_valid(const char *table) {
    PRE(table);
    const char *schema, *name;
    return token_split(table, &schema, &name);
}

bool token_table_is_fixed(const char *table) {
    static const char temporary[] = "pg_temp";
    const char *schema, *name;
    if (!token_split(table, &schema, &name) || !schema)
        return false;
    schema += *schema == '"';
    return strncasecmp(schema, temporary, sizeof temporary - 1) != 0;
}

/* ---- Statements ---- */

size_t token_write_sql(const char *table, char sql[TOKEN_SQL_BYTES]) {
    PRE(token_table_is_valid(table));
    return (size_t)snprintf(sql, TOKEN_SQL_BYTES, "%s%s%s", token_before, table, token_behind);
}

static int token_table(const struct quring_statement *write, const char **table) {
    size_t around = sizeof token_before - 1 + sizeof token_behind - 1;
    PRE(write->length > around && write->length <= around + TOKEN_TABLE_BYTES);
    *table = write->sql + sizeof token_before - 1;
    return (int)(write->length - around);
}

size_t token_claim_sql(const struct quring_statement *write, char sql[TOKEN_SQL_BYTES]) {
    const char *table;
    int length = token_table(write, &table);
    return (size_t)snprintf(sql, TOKEN_SQL_BYTES,
                            "insert into %.*s (token, committed) values ($1, false) on conflict (token) do nothing",
                            length, table);
}

size_t token_read_sql(const struct quring_statement *write, char sql[TOKEN_SQL_BYTES]) {
    const char *table;
    int length = token_table(write, &table);
    return (size_t)snprintf(sql, TOKEN_SQL_BYTES, "select committed from %.*s where token = $1", length, table);
}

size_t token_table_sql(const struct quring_statement *write, char sql[TOKEN_SQL_BYTES]) {
    const char *table;
    int length = token_table(write, &table);
    return (size_t)snprintf(
        sql, TOKEN_SQL_BYTES,
        "create table %.*s (token text primary key, committed boolean not null, at text default current_timestamp)",
        length, table);
}

/* ---- Tokens ---- */

bool token_draw(uint8_t token[TOKEN_BYTES]) {
    ssize_t size;
    do
        size = getrandom(token, TOKEN_BYTES, 0);
    while (size < 0 && errno == EINTR);
    token[6] = (uint8_t)(0x40 | (token[6] & 0x0f)); /* version 4, as RFC 9562 has it */
    token[8] = (uint8_t)(0x80 | (token[8] & 0x3f));
    return size == TOKEN_BYTES;
}

size_t token_make_row(const char *table, struct token_row *row) {
    size_t length = token_write_sql(table, row->sql);
    return token_draw(row->token) ? offsetof(struct token_row, sql) + length + 1 : 0;
}

void token_text(const uint8_t token[TOKEN_BYTES], char text[TOKEN_TEXT_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    char *to = text;
    for (int i = 0; i < TOKEN_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = digits[token[i] >> 4];
        *to++ = digits[token[i] & 15];
    }
    *to = 0;
}
