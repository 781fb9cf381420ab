/* SPDX-License-Identifier: MIT */
#include "cli/run/result.h"

#include "cli/common/text.h"

#include <inttypes.h>
#include <string.h>

struct source {
    const quring_result *result;
    char *real; /* REAL_BYTES for a cell's text */
};

enum { REAL_BYTES = 32, OID_OF_OID = 26 };

static bool result_oid_is_in(const uint16_t *oids, uint32_t oid) {
    while (*oids && *oids != oid)
        oids++;
    return *oids != 0;
}

/*
 * The array types of PostgreSQL's own types by their OIDs, which pg_type.dat fixes for ever; and what their elements are.
 * Those of other types, as of enums, are known to the server alone; box[] has semicolons between its elements.
 */
static bool result_is_array(uint32_t oid, enum cli_cell_kind *element) {
    static const uint16_t bools[] = {1000, 0}, jsons[] = {199, 3807, 0};
    static const uint16_t numbers[] = {1005, 1007, 1016, 1021, 1022, 1028, 1231, 0}; /* with oid[] */
    static const uint16_t texts[] = {143,  271,  629,  651,  719,  775,  791,  1001, 1002, 1003, 1006, 1008, 1009, 1010,
                                     1011, 1012, 1013, 1014, 1015, 1017, 1018, 1019, 1027, 1034, 1040, 1041, 1115, 1182,
                                     1183, 1185, 1187, 1263, 1270, 1561, 1563, 2201, 2207, 2208, 2209, 2210, 2211, 2287,
                                     2949, 2951, 3221, 3643, 3644, 3645, 3735, 3770, 3905, 3907, 3909, 3911, 3913, 3927,
                                     4073, 4090, 4097, 4192, 5039, 6150, 6151, 6152, 6153, 6155, 6157, 0};
    *element = result_oid_is_in(numbers, oid) ? CLI_CELL_NUMBER
               : result_oid_is_in(texts, oid) ? CLI_CELL_TEXT
               : result_oid_is_in(bools, oid) ? CLI_CELL_BOOL
               : result_oid_is_in(jsons, oid) ? CLI_CELL_JSON
                                              : CLI_CELL_NULL;
    return *element != CLI_CELL_NULL;
}

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
        if (quring_column_oid(result, column) == OID_OF_OID)
            cell->kind = CLI_CELL_NUMBER;
        if (result_is_array(quring_column_oid(result, column), &cell->element))
            cell->kind = CLI_CELL_ARRAY;
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
static bool result_changes_rows(const quring_result *result) {
    static const char *const commands[] = {"INSERT", "UPDATE", "DELETE", "MERGE"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(quring_command(result), commands[i]) == 0)
            return true;
    return quring_affected_count(result) > 0;
}

static void result_print_tag(struct cli_out *out, const quring_result *result) {
    const char *command = quring_command(result);
    cli_text_safe(out, command, strlen(command), 0);
    if (result_changes_rows(result))
        cli_out_format(out, " %" PRIu64, quring_affected_count(result));
    cli_out_char(out, '\n');
}

/* An object a statement, so that what has no rows can be told from what found none. */
static void result_print_member(struct cli_printer *printer, const quring_result *result, const struct cli_rows *rows) {
    struct cli_out *out = printer->out;
    const char *command = quring_command(result);
    cli_out_text(out, printer->printed ? ",\n{\"command\": " : "[\n{\"command\": ");
    cli_text_json(out, command, strlen(command));
    if (result_changes_rows(result))
        cli_out_format(out, ", \"affected\": %" PRIu64, quring_affected_count(result));
    if (rows->column_count > 0) {
        cli_out_text(out, ", \"rows\": ");
        cli_print_json(out, rows);
    }
    cli_out_char(out, '}');
    printer->printed = true;
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
        if (has_rows) {
            cli_print_json(out, &rows);
            cli_out_char(out, '\n');
        }
        break;
    case CLI_FORMAT_NDJSON:
        if (has_rows)
            cli_print_ndjson(out, &rows);
        break;
    case CLI_FORMAT_DOCUMENT:
        result_print_member(printer, result, &rows);
        return;
    }
    printer->printed |= has_rows;
}

void cli_result_end(struct cli_printer *printer) {
    if (printer->format == CLI_FORMAT_DOCUMENT)
        cli_out_text(printer->out, printer->printed ? "\n]\n" : "[]\n");
}
