/* SPDX-License-Identifier: MIT */
/* Rows out of arrays, printed into memory: what the tests of the tool's printers share. */
#ifndef QURING_TESTS_CLI_ROWS_H
#define QURING_TESTS_CLI_ROWS_H

#include "cli/run/rows.h"

#include <string.h>

struct rows_source {
    const char *const *names;
    uint32_t columns;
    const struct cli_cell *cells; /* row by row */
};

/* The printers, each in every style that it has. */
enum rows_format {
    ROWS_TABLE,
    ROWS_ASCII_TABLE,
    ROWS_COLOR_TABLE,
    ROWS_CSV,
    ROWS_TERMINAL_CSV,
    ROWS_JSON,
    ROWS_NDJSON
};

/* How wide the screen of the next tables is, and whether they are expanded. */
extern uint32_t rows_screen_columns;
extern enum cli_expanded rows_expanded;

/* What is printed, NUL-terminated; the caller frees it. */
char *rows_print(enum rows_format format, const struct rows_source *source, uint64_t row_count);

/* Fails the test unless exactly this is printed. */
void rows_expect(enum rows_format format, const struct rows_source *source, uint64_t row_count, const char *wanted);

/* ---- Sources as literals ---- */

#define ROWS_NULL ((struct cli_cell){.kind = CLI_CELL_NULL})

static inline struct cli_cell rows_cell(enum cli_cell_kind kind, const char *text) {
    return (struct cli_cell){.kind = kind, .text = text, .size = strlen(text)};
}

static inline struct cli_cell rows_text(const char *text) {
    return rows_cell(CLI_CELL_TEXT, text);
}

static inline struct cli_cell rows_number(const char *text) {
    return rows_cell(CLI_CELL_NUMBER, text);
}

#define NAMES(...)                                                                                                     \
    (const char *const[]) {                                                                                            \
        __VA_ARGS__                                                                                                    \
    }
#define CELLS(...)                                                                                                     \
    (const struct cli_cell[]) {                                                                                        \
        __VA_ARGS__                                                                                                    \
    }

#endif
