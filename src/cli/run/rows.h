/* SPDX-License-Identifier: MIT */
/*
 * Printers of rows: as an aligned table, CSV or JSON. They ask for cells one by one and do not know quring_result, so that
 * tests can feed them arrays.
 */
#ifndef QURING_CLI_RUN_ROWS_H
#define QURING_CLI_RUN_ROWS_H

#include "cli/common/out.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_cell_kind {
    CLI_CELL_NULL,
    CLI_CELL_BOOL,   /* text "t" or "f", or "true" or "false" */
    CLI_CELL_NUMBER, /* text of a number, exact; or NaN, Infinity */
    CLI_CELL_JSON,   /* text that claims to be JSON */
    CLI_CELL_ARRAY,  /* text that claims to be a PostgreSQL array */
    CLI_CELL_TEXT
};

struct cli_cell {
    enum cli_cell_kind kind;
    const char *text;
    size_t size;
    enum cli_cell_kind element; /* of an ARRAY */
};

struct cli_rows {
    const void *source;
    uint32_t column_count;
    uint64_t row_count;
    const char *(*name)(const void *source, uint32_t column);
    /* The text is valid until the next call. */
    void (*cell)(const void *source, uint64_t row, uint32_t column, struct cli_cell *cell);
};

/* Whether a table is expanded: a line for each value, below a line for each row. */
enum cli_expanded { CLI_EXPANDED_AUTO, CLI_EXPANDED_ON, CLI_EXPANDED_OFF };

struct cli_table_style {
    bool utf8;               /* draw lines with box characters */
    bool color;              /* NULL in another tone */
    uint8_t expanded;        /* AUTO: where several columns are wider than the screen, as with psql's \x auto */
    uint32_t screen_columns; /* 0: not known, so nothing is too wide */
};

enum cli_format { CLI_FORMAT_TABLE, CLI_FORMAT_CSV, CLI_FORMAT_JSON, CLI_FORMAT_NDJSON, CLI_FORMAT_DOCUMENT };

/* Prints columns as wide as their widest cell, numbers to the right; or expanded. NULL is NULL; the number of rows is last. */
void cli_print_table(struct cli_out *out, const struct cli_rows *rows, struct cli_table_style style);

/*
 * Prints RFC 4180 with line feeds and a header: NULL is empty, an empty string is "". The bytes are those of the values,
 * except on a terminal, which gets safe characters.
 */
void cli_print_csv(struct cli_out *out, const struct cli_rows *rows, bool terminal);

/*
 * Prints one array with an object per row, each on its own line, and no line feed at the end. Numbers keep all their
 * digits; arrays are arrays, of as many dimensions. Columns of one name get "_2", "_3" … appended, since an object with
 * equal keys loses values in most readers.
 */
void cli_print_json(struct cli_out *out, const struct cli_rows *rows);
/* Prints these objects alone, one a line. */
void cli_print_ndjson(struct cli_out *out, const struct cli_rows *rows);

/* Return whether the text is exactly one JSON value, nested at most 512 deep, or one JSON number. */
bool cli_json_is_value(const char *text, size_t size);
bool cli_json_is_number(const char *text, size_t size);

#endif
