/* SPDX-License-Identifier: MIT */
/* An SQL text's kind by its first words, without preparing it. These are guesses where only SQLite can know for sure. */
#ifndef QURING_LITE_TEXT_H
#define QURING_LITE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The route of a text, as bits. quring_statement.route keeps it, and is 0 until the text was looked at. */
enum {
    LITE_TO_READER = 1,
    LITE_TO_WRITER = 2,
    LITE_ALONE = 4, /* not inside a transaction: PRAGMA, VACUUM, ATTACH, DETACH */
    LITE_READS = 8  /* a query's: work for a reader, but for its unit or its key, or since there is none */
};

/*
 * The first guess: what begins like a write, or like WITH for one, goes to the writer, all else to a reader, which sends it
 * on when SQLite says that it writes. So CREATE and INSERT that were submitted in this order run in this order. What begins or
 * ends a transaction, which an exclusive handle alone takes, may take the lock of the file, or leave it to others.
 */
uint8_t lite_text_route(const char *sql, size_t length);

/* True for PRAGMA and EXPLAIN [QUERY PLAN] PRAGMA. */
bool lite_text_is_pragma(const char *sql, size_t length);

/* The words for quring_command(), static: "INSERT", "CREATE TABLE"; for WITH those of its main statement. */
const char *lite_text_command(const char *sql, size_t length);

/* The number of bytes at `sql` that are white space, comments and semicolons. */
size_t lite_text_blank(const char *sql, size_t length);

/* True for a text that ends a whole transaction: COMMIT, END, ROLLBACK without TO. */
bool lite_text_ends_transaction(const char *sql, size_t length);

#endif
