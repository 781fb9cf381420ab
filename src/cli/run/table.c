/* SPDX-License-Identifier: MIT */
#include "cli/common/text.h"
#include "cli/run/rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct column {
    size_t width;
    bool right; /* all of its values are numbers */
};

static struct cli_cell table_get_cell(const struct cli_rows *rows, uint64_t row, uint32_t column) {
    struct cli_cell cell = {.kind = CLI_CELL_NULL};
    rows->cell(rows->source, row, column, &cell);
    if (cell.kind == CLI_CELL_NULL)
        cell = (struct cli_cell){.kind = CLI_CELL_NULL, .text = "NULL", .size = 4};
    return cell;
}

/* All rows are visited twice, since the widths are known only after the last one. The result is in memory as a whole. */
static struct column table_measure(const struct cli_rows *rows, uint32_t column) {
    const char *name = rows->name(rows->source, column);
    struct column c = {.width = cli_text_safe(NULL, name, strlen(name), 0)};
    bool texts = false;
    for (uint64_t row = 0; row < rows->row_count; row++) {
        struct cli_cell cell = table_get_cell(rows, row, column);
        size_t width = cli_text_safe(NULL, cell.text, cell.size, 0);
        if (width > c.width)
            c.width = width;
        c.right |= cell.kind == CLI_CELL_NUMBER;
        texts |= cell.kind != CLI_CELL_NUMBER && cell.kind != CLI_CELL_NULL;
    }
    c.right = c.right && !texts;
    return c;
}

static void table_put_cell(struct cli_out *out, const struct cli_cell *cell, struct column c, bool last, bool color) {
    /* The last column is not padded, so its width does not matter. */
    size_t width = c.right || !last ? cli_text_safe(NULL, cell->text, cell->size, 0) : c.width;
    bool dim = color && cell->kind == CLI_CELL_NULL;
    if (c.right)
        cli_out_repeat(out, " ", c.width - width);
    if (dim)
        cli_out_text(out, "\033[2m");
    cli_text_safe(out, cell->text, cell->size, 0);
    if (dim)
        cli_out_text(out, "\033[22m");
    if (!c.right && !last) /* no white space at the end of lines */
        cli_out_repeat(out, " ", c.width - width);
}

/* A line below the names that wraps would hide them: the one of a single column ends with the screen. */
static size_t table_line_size(const struct cli_rows *rows, const struct column *column, struct cli_table_style style) {
    size_t size = column->width + 2;
    return rows->column_count == 1 && style.screen_columns && size > style.screen_columns ? style.screen_columns : size;
}

static void table_put_header(struct cli_out *out, const struct cli_rows *rows, const struct column *columns,
                             struct cli_table_style style) {
    bool utf8 = style.utf8;
    for (uint32_t i = 0; i < rows->column_count; i++) {
        const char *name = rows->name(rows->source, i);
        struct cli_cell cell = {.kind = CLI_CELL_TEXT, .text = name, .size = strlen(name)};
        cli_out_text(out, i == 0 ? " " : utf8 ? " │ " : " | ");
        table_put_cell(out, &cell, columns[i], i + 1 == rows->column_count, false);
    }
    cli_out_char(out, '\n');
    for (uint32_t i = 0; i < rows->column_count; i++) {
        if (i > 0)
            cli_out_text(out, utf8 ? "┼" : "+");
        cli_out_repeat(out, utf8 ? "─" : "-", table_line_size(rows, &columns[i], style));
    }
    cli_out_char(out, '\n');
}

static void table_put_columns(struct cli_out *out, const struct cli_rows *rows, const struct column *columns,
                              struct cli_table_style style) {
    table_put_header(out, rows, columns, style);
    for (uint64_t row = 0; row < rows->row_count && !out->error; row++) {
        for (uint32_t i = 0; i < rows->column_count; i++) {
            struct cli_cell cell = table_get_cell(rows, row, i);
            cli_out_text(out, i == 0 ? " " : style.utf8 ? " │ " : " | ");
            table_put_cell(out, &cell, columns[i], i + 1 == rows->column_count, style.color);
        }
        cli_out_char(out, '\n');
    }
}

/* ---- Expanded ---------------------------------------------------------------------------------------------------- */

enum { SCREEN_COLUMNS = 80 }; /* of a screen that is not known: for the lines between records */

static bool table_is_expanded(const struct cli_rows *rows, const struct column *columns, struct cli_table_style style) {
    size_t width = 0;
    if (style.expanded != CLI_EXPANDED_AUTO || style.screen_columns == 0 || rows->column_count < 2)
        return style.expanded == CLI_EXPANDED_ON;
    for (uint32_t i = 0; i < rows->column_count; i++)
        width += columns[i].width + strlen(" | ");
    return width - 1 > style.screen_columns;
}

static void table_put_record_line(struct cli_out *out, uint64_t row, size_t width, bool utf8) {
    char label[48];
    size_t size = (size_t)snprintf(label, sizeof label, "[ RECORD %" PRIu64 " ]", row + 1);
    cli_out_text(out, utf8 ? "─" : "-");
    cli_out_text(out, label);
    cli_out_repeat(out, utf8 ? "─" : "-", width > size + 2 ? width - size - 1 : 1);
    cli_out_char(out, '\n');
}

static void table_put_records(struct cli_out *out, const struct cli_rows *rows, const struct column *columns,
                              struct cli_table_style style) {
    size_t names = 0, values = 0, screen = style.screen_columns ? style.screen_columns : SCREEN_COLUMNS;
    for (uint32_t i = 0; i < rows->column_count; i++) {
        const char *name = rows->name(rows->source, i);
        size_t width = cli_text_safe(NULL, name, strlen(name), 0);
        names = width > names ? width : names;
        values = columns[i].width > values ? columns[i].width : values;
    }
    size_t width = names + strlen(" | ") + values;
    for (uint64_t row = 0; row < rows->row_count && !out->error; row++) {
        table_put_record_line(out, row, width < screen ? width : screen, style.utf8);
        for (uint32_t i = 0; i < rows->column_count; i++) {
            const char *text = rows->name(rows->source, i);
            struct cli_cell name = {.kind = CLI_CELL_TEXT, .text = text, .size = strlen(text)};
            struct cli_cell value = table_get_cell(rows, row, i);
            table_put_cell(out, &name, (struct column){.width = names}, false, false);
            cli_out_text(out, style.utf8 ? " │ " : " | ");
            table_put_cell(out, &value, (struct column){0}, true, style.color);
            cli_out_char(out, '\n');
        }
    }
}

/* ---- Both -------------------------------------------------------------------------------------------------------- */

void cli_print_table(struct cli_out *out, const struct cli_rows *rows, struct cli_table_style style) {
    struct column *columns = calloc(rows->column_count ? rows->column_count : 1, sizeof *columns);
    if (!columns) {
        out->error = ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < rows->column_count; i++)
        columns[i] = table_measure(rows, i);
    if (table_is_expanded(rows, columns, style))
        table_put_records(out, rows, columns, style);
    else
        table_put_columns(out, rows, columns, style);
    cli_out_format(out, "(%" PRIu64 " row%s)\n", rows->row_count, rows->row_count == 1 ? "" : "s");
    free(columns);
}
