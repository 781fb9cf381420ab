/* SPDX-License-Identifier: MIT */
/*
 * Finding a value in the rows, and saying why an accessor could not give it. Rows were checked when they came; their lengths
 * are bounded here all the same, because the bytes are a server's and this code reads memory by them.
 */
#include "core/result_cell.h"

#include "base/utf8.h"
#include "value/convert.h"
#include "value/value.h"

#include <stdio.h>
#include <stdlib.h>

enum { CELL_EXCERPT_BYTES = 60, CELL_NAME_BYTES = 120, CELL_FAILURE_BYTES = 384 };

/*
 * The public accessors take a const result, since its values do not change. The object itself is never const, so the memory
 * of the last position and of converted texts may be written through this pointer.
 */
static struct quring_result *result_own(const quring_result *result) {
    return (struct quring_result *)(uintptr_t)result;
}

/* ---- Position ---------------------------------------------------------------------------------------------------- */

static size_t cell_row_start(const struct quring_result *result, uint64_t row) {
    uint64_t offset = 0;
    if (row)
        memcpy(&offset, result->offsets.data + (row - 1) * sizeof offset, sizeof offset);
    return (size_t)offset;
}

/* Returns where the row's last value ends, which is where its 0 stands. */
static size_t cell_row_end(const struct quring_result *result, uint64_t row) {
    return (row + 1 < result->row_count ? cell_row_start(result, row + 1) : result->rows.end) - 1;
}

/* Moves `*at` from one value's length to the next one's. */
static inline bool cell_skip(const uint8_t *data, size_t end, size_t *at) {
    if (end - *at < 4)
        return false;
    uint32_t length = bytes_load_u32(data + *at);
    *at += 4;
    if (length == UINT32_MAX)
        return true;
    if (length > end - *at)
        return false;
    *at += length;
    return true;
}

/* Takes the type from the value's first byte, as RESULT_TAGGED has it. */
static int cell_untag(struct value_cell *cell) {
    if (cell->size == 0)
        return QURING_ETYPE;
    cell->type = (quring_type)cell->bytes[0];
    cell->bytes++;
    cell->size--;
    cell->binary = true;
    bool known = cell->type == QURING_INT8 || cell->type == QURING_FLOAT8 || cell->type == QURING_TEXT ||
                 cell->type == QURING_BYTES;
    return known ? 0 : QURING_ETYPE;
}

/* Most callers read a row from left to right, so the search goes on from the last value that was found. */
int result_cell_find(const quring_result *shared, uint64_t row, uint32_t column, struct value_cell *cell) {
    struct quring_result *result = result_own(shared);
    if (row >= result->row_count || !result->has_columns || column >= result->columns->count)
        return QURING_ERANGE;
    const uint8_t *data = result->rows.data;
    size_t end = cell_row_end(result, row);
    size_t at = result->seen_offset;
    uint32_t seen = result->seen_column;
    if (row != result->seen_row || column < seen) {
        at = cell_row_start(result, row) + RESULT_ROW_HEADER_BYTES;
        seen = 0;
    }
    if (at > end)
        return QURING_ETYPE;
    for (; seen < column; seen++)
        if (!cell_skip(data, end, &at))
            return QURING_ETYPE;
    result->seen_row = row;
    result->seen_column = column;
    result->seen_offset = at;

    size_t next = at;
    if (!cell_skip(data, end, &next))
        return QURING_ETYPE;
    if (bytes_load_u32(data + at) == UINT32_MAX)
        return QURING_ENULL;
    cell->bytes = data + at + 4;
    cell->size = next - at - 4;
    if (base_unlikely(result->format == RESULT_TAGGED))
        return cell_untag(cell);
    cell->type = (quring_type)result->columns->column[column].type;
    cell->binary = result->format == RESULT_BINARY && value_has_binary(cell->type);
    return 0;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

char *result_scratch(const quring_result *shared, size_t size) {
    PRE(size > 0);
    struct quring_result *result = result_own(shared);
    struct result_block *block = result->blocks;
    if (!block || size > block->capacity - block->used) {
        size_t capacity = RESULT_KEEP_BYTES - sizeof *block;
        if (capacity < size)
            capacity = size;
        if (capacity > SIZE_MAX - sizeof *block)
            return NULL;
        block = malloc(sizeof *block + capacity);
        if (!block)
            return NULL;
        *block = (struct result_block){.next = result->blocks, .capacity = capacity};
        result->blocks = block;
    }
    char *at = block->bytes + block->used;
    block->used += size;
    return at;
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

int result_cell_fail(const quring_result *result, uint64_t row, uint32_t column, const char *wanted, int code) {
    PRE(code < 0 && wanted);
    result_own(result)->failure =
        (struct result_failure){.code = code, .column = column, .row = row, .wanted = wanted, .text = NULL};
    return code;
}

static size_t cell_cut(const char *text, size_t size, size_t max) {
    return size <= max ? size : utf8_whole(text, max);
}

/* The value's text, cut to a readable length. False: it has none, so it is its bytes in hex. */
static bool cell_excerpt(const struct value_cell *cell, char out[static 2 * VALUE_PRINT_BYTES]) {
    const char *text;
    size_t full, size = value_cell_print(cell, out);
    out[size] = 0;
    if (size > 0)
        return true;
    if (value_cell_text(cell, &text, &full)) {
        size = cell_cut(text, full, CELL_EXCERPT_BYTES);
        for (size_t i = 0; i < size; i++)
            out[i] = (uint8_t)text[i] < 0x20 || text[i] == 0x7f ? '.' : text[i];
        (void)stpcpy(out + size, size < full ? "..." : "");
        return true;
    }
    enum { SHOWN_MAX = CELL_EXCERPT_BYTES / 2 - 1 };
    size_t shown = cell->size < SHOWN_MAX ? cell->size : SHOWN_MAX;
    size = value_print_hex(out, cell->bytes, shown);
    (void)stpcpy(out + size, shown < cell->size ? "..." : "");
    return false;
}

static const char *cell_failure_words(int code) {
    switch (code) {
    case QURING_ERANGE:
        return "is out of range of";
    case QURING_ELOSSY:
        return "would lose precision as";
    case QURING_ENOMEM:
        return "finds no memory to be read as";
    default:
        return "can't be read as";
    }
}

static void cell_format_failure(const quring_result *result, const struct result_failure *failure, char *out,
                                size_t room) {
    unsigned long long row = failure->row, rows = quring_row_count(result);
    uint32_t columns = quring_column_count(result);
    if (failure->row >= rows || failure->column >= columns) {
        snprintf(out, room, "no row %llu, column %u: the result has %llu rows and %u columns, counted from 0", row,
                 failure->column, rows, columns);
        return;
    }
    const char *name = quring_column_name(result, failure->column);
    int name_size = (int)cell_cut(name, strlen(name), CELL_NAME_BYTES);
    struct value_cell cell = {.bytes = (const uint8_t *)"", .type = quring_column_type(result, failure->column)};
    int code = result_cell_find(result, failure->row, failure->column, &cell);
    if (code == QURING_ENULL) {
        snprintf(out, room, "column \"%.*s\" (%s), row %llu is NULL", name_size, name, quring_type_name(cell.type),
                 row);
        return;
    }
    char excerpt[2 * VALUE_PRINT_BYTES];
    cell.binary = cell.binary || code != 0;
    bool readable = cell_excerpt(&cell, excerpt) || cell.type == QURING_BYTES;
    snprintf(out, room, "column \"%.*s\" (%s), row %llu: %s%s %s %s", name_size, name, quring_type_name(cell.type), row,
             readable && code == 0 ? "value " : "malformed value ", excerpt, cell_failure_words(failure->code),
             failure->wanted);
}

const char *quring_result_error(const quring_result *shared) {
    struct result_failure *failure = &result_own(shared)->failure;
    if (failure->code == 0)
        return "";
    if (!failure->text) {
        char text[CELL_FAILURE_BYTES];
        cell_format_failure(shared, failure, text, sizeof text);
        utf8_tidy(text);
        size_t size = strlen(text) + 1;
        char *kept = result_scratch(shared, size);
        if (!kept)
            return "out of memory";
        failure->text = memcpy(kept, text, size);
    }
    return failure->text;
}
