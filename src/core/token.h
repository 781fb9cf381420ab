/* SPDX-License-Identifier: MIT */
/*
 * The row by which a transaction whose COMMIT was lost is asked for: quring_tx_options.token_table. The transaction writes it
 * last, and who asks for it writes another one with the same token, unless one is there:
 *
 *      the transaction    insert … ($1, true)
 *      who asks           insert … ($1, false) on conflict (token) do nothing
 *                         select committed … where token = $1
 *
 * The unique key has only one of the two come to be. It makes who asks wait as long as the transaction may still commit, and
 * the transaction fail once it was found missing. So the row that is there in the end tells what became of the transaction for
 * good, to each who asks, also to one who lost his connection while he did, and may find what he wrote himself.
 */
#ifndef QURING_CORE_TOKEN_H
#define QURING_CORE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quring_statement;

enum { TOKEN_BYTES = 16, TOKEN_TEXT_BYTES = 37, TOKEN_TABLE_BYTES = 255, TOKEN_SQL_BYTES = 384 };

/* True for a table's name as SQL has it: commits, app.commits, "App"."Commits"; up to three parts, and no other characters. */
bool token_table_is_valid(const char *table);

/*
 * True if a valid name has its schema, and that is not the one of a session's temporary tables. One without may mean another table
 * within the transaction, whose search_path may have changed, or which may have made a temporary table, than to who asks: the
 * answer would be of the wrong table.
 */
bool token_table_is_fixed(const char *table);

/* The statements for that table, or for the one of the first. Return the length. */
size_t token_write_sql(const char *table, char sql[TOKEN_SQL_BYTES]);
size_t token_claim_sql(const struct quring_statement *write, char sql[TOKEN_SQL_BYTES]);
size_t token_read_sql(const struct quring_statement *write, char sql[TOKEN_SQL_BYTES]);

/* How the table is made on SQLite. */
size_t token_table_sql(const struct quring_statement *write, char sql[TOKEN_SQL_BYTES]);

/* A random UUID. False: the system has no randomness to give. */
bool token_draw(uint8_t token[TOKEN_BYTES]);

/* A token, and the statement that writes it: what the thread that draws it gives to the engine. Its text ends with a NUL. */
struct token_row {
    uint8_t token[TOKEN_BYTES];
    char sql[TOKEN_SQL_BYTES];
};

#define TOKEN_NOT_DRAWN "getrandom() gives no random bytes for a token"

/* Draws a token for that table. Returns how many bytes of the row are in use; 0: the system has no randomness to give. */
size_t token_make_row(const char *table, struct token_row *row);
void token_text(const uint8_t token[TOKEN_BYTES], char text[TOKEN_TEXT_BYTES]);

#endif
