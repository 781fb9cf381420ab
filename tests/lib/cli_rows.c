/* SPDX-License-Identifier: MIT */
#include "lib/cli_rows.h"

#include "cli/common/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>

uint32_t rows_screen_columns;
enum cli_expanded rows_expanded;

static const char *source_name(const void *source, uint32_t column) {
    return ((const struct rows_source *)source)->names[column];
}

static void source_cell(const void *source, uint64_t row, uint32_t column, struct cli_cell *out) {
    const struct rows_source *s = source;
    *out = s->cells[row * s->columns + column];
}

char *rows_print(enum rows_format format, const struct rows_source *source, uint64_t row_count) {
    struct cli_rows rows = {
        .source = source,
        .column_count = source->columns,
        .row_count = row_count,
        .name = source_name,
        .cell = source_cell,
    };
    struct cli_out out;
    cli_text_locale();
    cli_out_init(&out, CLI_OUT_MEMORY);
    if (format == ROWS_CSV || format == ROWS_TERMINAL_CSV)
        cli_print_csv(&out, &rows, format == ROWS_TERMINAL_CSV);
    else if (format == ROWS_JSON)
        cli_print_json(&out, &rows);
    else if (format == ROWS_NDJSON)
        cli_print_ndjson(&out, &rows);
    else
        cli_print_table(&out, &rows,
                        (struct cli_table_style){.utf8 = format != ROWS_ASCII_TABLE,
                                                 .color = format == ROWS_COLOR_TABLE,
                                                 .expanded = (uint8_t)rows_expanded,
                                                 .screen_columns = rows_screen_columns});
    cli_out_char(&out, 0);
    cr_assert_eq(out.error, 0);
    return out.data;
}

void rows_expect(enum rows_format format, const struct rows_source *source, uint64_t row_count, const char *wanted) {
    char *got = rows_print(format, source, row_count);
    cr_assert_str_eq(got, wanted, "\n%s\nis not\n%s", got, wanted);
    free(got);
}
