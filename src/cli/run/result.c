/* SPDX-License-Identifier: MIT */
#include "cli/run/result.h"

#include "cli/common/text.h"

#include <inttypes.h>
#include <string.h>

struct source {
    const quring_result *result;
    char *real; /* REAL_BYTES for a cell's text */
};

enum { REAL_BYTES = 32 };

static const char *result_name(const void *source, uint32_t column) {
    return quring_column_name(((const struct source *)source)->result, column);
}

/* Appends ".0" to a real that looks like an integer: a column of SQLite has no type, so its values must show theirs. */
static void result_mark_real(const struct source *source, struct cli_cell *cell) {
    if (cell->size + sizeof ".0" > REAL_BYTES || strspn(cell->text, "-0123456789") != cell->size)
        return;
    memcpy(source->real, cell->text, cell->size);
    memcpy(source->real + cell->size, ".0", sizeof ".0");
    cell->text = source->real;
    cell->size += strlen(".0");
}

/*
 * Types without a kind of their own (dates, uuid, bytea, …) are text in all formats. A value that has no text, which only a
 * broken server sends, shows why in its place, since the rows before it may be printed already.
 */
static void result_cell(const void *arg, uint64_t row, uint32_t column, struct cli_cell *cell) {
    const struct source *source = arg;
    const quring_result *result = source->result;
    quring_type type = quring_value_type(result, row, column);
    switch (type) {
    case QURING_NULL:
        cell->kind = CLI_CELL_NULL;
        return;
    case QURING_BOOL:
        cell->kind = CLI_CELL_BOOL;
        break;
    case QURING_INT2:
    case QURING_INT4:
    case QURING_INT8:
    case QURING_FLOAT4:
    case QURING_FLOAT8:
    case QURING_NUMERIC:
        cell->kind = CLI_CELL_NUMBER;
        break;
    case QURING_JSON:
    case QURING_JSONB:
        cell->kind = CLI_CELL_JSON;
        break;
    default:
        cell->kind = CLI_CELL_TEXT;
    }
    if (quring_get_text(result, row, column, &cell->text, &cell->size) < 0) {
        cell->kind = CLI_CELL_TEXT;
        cell->text = quring_result_error(result);
        cell->size = strlen(cell->text);
    } else if (type == QURING_FLOAT8 && quring_column_type(result, column) == QURING_OTHER) {
        result_mark_real(source, cell);
    }
}

/* Of a statement that changes rows the count is shown even if it is 0: that none was found is an answer. */
static void result_print_tag(struct cli_out *out, const quring_result *result) {
    const char *command = quring_command(result);
    cli_text_safe(out, command, strlen(command), 0);
    if (quring_affected_count(result) > 0 || strcmp(command, "INSERT") == 0 || strcmp(command, "UPDATE") == 0 ||
        strcmp(command, "DELETE") == 0 || strcmp(command, "MERGE") == 0)
        cli_out_format(out, " %" PRIu64, quring_affected_count(result));
    cli_out_char(out, '\n');
}

void cli_result_print(struct cli_printer *printer, const quring_result *result) {
    struct cli_out *out = printer->out;
    char real[REAL_BYTES];
    struct cli_rows rows = {
        .source = &(struct source){.result = result, .real = real},
        .column_count = quring_column_count(result),
        .row_count = quring_row_count(result),
        .name = result_name,
        .cell = result_cell,
    };
    bool has_rows = rows.column_count > 0;
    switch (printer->format) {
    case CLI_FORMAT_TABLE:
        if (has_rows)
            cli_print_table(out, &rows, printer->style);
        if (!has_rows || quring_affected_count(result) > 0)
            result_print_tag(out, result);
        break;
    case CLI_FORMAT_CSV:
        if (has_rows && printer->printed)
            cli_out_char(out, '\n');
        if (has_rows)
            cli_print_csv(out, &rows, printer->terminal);
        break;
    case CLI_FORMAT_JSON:
        if (has_rows)
            cli_print_json(out, &rows);
        break;
    }
    printer->printed |= has_rows;
}
