/* SPDX-License-Identifier: MIT */
#include "cli/common/text.h"
#include "cli/run/rows.h"

#include <string.h>

/*
 * RFC 4180 asks for quotes around commas, quotes and line ends. Spaces at either end are quoted because some readers strip
 * them, and "\." because it would end the data of PostgreSQL's COPY FROM, which is why COPY TO quotes it as well.
 */
static bool needs_quotes(const char *text, size_t size) {
    if (size == 0 || text[0] == ' ' || text[size - 1] == ' ' || (size == 2 && memcmp(text, "\\.", 2) == 0))
        return true;
    for (size_t i = 0; i < size; i++)
        if (text[i] == ',' || text[i] == '"' || text[i] == '\n' || text[i] == '\r')
            return true;
    return false;
}

static void put_bytes(struct cli_out *out, const char *text, size_t size, bool terminal) {
    if (terminal)
        cli_text_safe(out, text, size, CLI_TEXT_KEEP_LINES);
    else
        cli_out_bytes(out, text, size);
}

/* A quote is doubled: a piece of the text ends with each, and another one follows. */
static void put_field(struct cli_out *out, const char *text, size_t size, bool terminal) {
    if (!needs_quotes(text, size)) {
        put_bytes(out, text, size, terminal);
        return;
    }
    cli_out_char(out, '"');
    for (size_t from = 0, to; from < size; from = to) {
        const char *quote = memchr(text + from, '"', size - from);
        to = quote ? (size_t)(quote - text) + 1 : size;
        put_bytes(out, text + from, to - from, terminal);
        if (quote)
            cli_out_char(out, '"');
    }
    cli_out_char(out, '"');
}

void cli_print_csv(struct cli_out *out, const struct cli_rows *rows, bool terminal) {
    for (uint32_t i = 0; i < rows->column_count; i++) {
        const char *name = rows->name(rows->source, i);
        if (i > 0)
            cli_out_char(out, ',');
        put_field(out, name, strlen(name), terminal);
    }
    cli_out_char(out, '\n');
    for (uint64_t row = 0; row < rows->row_count && !out->error; row++) {
        for (uint32_t i = 0; i < rows->column_count; i++) {
            struct cli_cell cell = {.kind = CLI_CELL_NULL};
            rows->cell(rows->source, row, i, &cell);
            if (i > 0)
                cli_out_char(out, ',');
            if (cell.kind != CLI_CELL_NULL)
                put_field(out, cell.text, cell.size, terminal);
        }
        cli_out_char(out, '\n');
    }
}
