/* SPDX-License-Identifier: MIT */
#include "core/result.h"

#include "base/utf8.h"

#include <stdlib.h>

enum { TAGGED_NUMBER_BYTES = 1 + 8 };

void result_init(struct quring_result *result) {
    *result = (struct quring_result){.row_limit = UINT64_MAX};
    buf_init(&result->rows, SIZE_MAX);
    buf_init(&result->offsets, SIZE_MAX);
    result_clear_rows(result);
}

/* Frees the blocks of converted texts except one of the usual size, which is kept empty for the slot's next query. */
static void result_free_blocks(struct quring_result *result, size_t keep_bytes) {
    struct result_block *kept = NULL;
    for (struct result_block *block = result->blocks, *next; block; block = next) {
        next = block->next;
        if (!kept && block->capacity <= keep_bytes) {
            kept = block;
            kept->next = NULL;
            kept->used = 0;
        } else {
            free(block);
        }
    }
    result->blocks = kept;
}

void result_free(struct quring_result *result) {
    columns_drop(result->columns);
    buf_free(&result->rows);
    buf_free(&result->offsets);
    result_free_blocks(result, 0);
    result_drop_notices(result);
    result_init(result);
}

void result_drop_notices(struct quring_result *result) {
    notices_free(result->notices);
    result->notices = NULL;
}

void result_trim(struct quring_result *result) {
    result_drop_notices(result);
    result_clear_rows(result);
    buf_shrink(&result->rows, RESULT_KEEP_BYTES);
    buf_reset(&result->offsets, RESULT_KEEP_BYTES);
    result_free_blocks(result, RESULT_KEEP_BYTES);
    result->failure.code = 0;
    result->is_large = false;
    if (result->columns && result->columns->bytes > RESULT_KEEP_BYTES) {
        columns_drop(result->columns);
        result->columns = NULL;
        result->has_columns = false;
    }
}

void result_discard(struct quring_result *result) {
    result_clear_rows(result);
    result->has_columns = false;
    result->affected_count = 0;
    result->command[0] = 0;
}

void result_change_columns(struct quring_result *result, struct columns *columns) {
    PRE(columns);
    columns_drop(result->columns);
    result->columns = columns_hold(columns);
    result->is_large |= columns->bytes > RESULT_KEEP_BYTES;
}

/* The table of offsets may have a little more than the rows, so that a small limit is one of the rows alone. */
static size_t result_offsets_limit(const struct quring_result *result) {
    size_t limit = result->rows.limit;
    return limit > SIZE_MAX - RESULT_KEEP_BYTES ? SIZE_MAX : limit + RESULT_KEEP_BYTES;
}

/* The second row begins the table: until then it is whatever an earlier query left. */
bool result_append_offset(struct quring_result *result, uint64_t offset) {
    PRE(result->row_count > 0 && offset <= result->rows.end);
    struct buf *offsets = &result->offsets;
    if (result->row_count == 1) {
        offsets->end = 0;
        offsets->failed = false;
        offsets->limit = result_offsets_limit(result);
    }
    uint8_t *at = buf_extend(offsets, sizeof offset);
    if (!at)
        return false;
    memcpy(at, &offset, sizeof offset);
    result->is_large |= offsets->capacity > RESULT_KEEP_BYTES;
    return true;
}

bool result_is_full(const struct quring_result *result, size_t size) {
    const struct buf *rows = &result->rows;
    return result->row_count >= result->row_limit || size >= rows->limit || rows->end >= rows->limit - size ||
           result->row_count * sizeof(uint64_t) > result_offsets_limit(result);
}

/* Drops the unfinished row, and leaves the buffer failed, so that the cells that its caller still adds do nothing. */
static bool result_row_drop(struct quring_result *result) {
    result->rows.end = result->row_start;
    result->rows.failed = true;
    return false;
}

bool result_row_begin(struct quring_result *result, uint16_t column_count) {
    result->row_start = result->rows.end;
    uint8_t *at = result->row_count < result->row_limit ? buf_extend(&result->rows, RESULT_ROW_HEADER_BYTES) : NULL;
    if (!at)
        return result_row_drop(result);
    bytes_store_u16(at, column_count);
    return true;
}

bool result_row_null(struct quring_result *result) {
    uint8_t *at = buf_extend(&result->rows, 4);
    if (!at)
        return result_row_drop(result);
    bytes_store_u32(at, UINT32_MAX);
    return true;
}

static bool result_row_number(struct quring_result *result, quring_type type, uint64_t bits) {
    uint8_t *at = buf_extend(&result->rows, 4 + TAGGED_NUMBER_BYTES);
    if (!at)
        return result_row_drop(result);
    bytes_store_u32(at, TAGGED_NUMBER_BYTES);
    at[4] = (uint8_t)type;
    bytes_store_u64(at + 5, bits);
    return true;
}

bool result_row_tagged_int8(struct quring_result *result, int64_t value) {
    return result_row_number(result, QURING_INT8, (uint64_t)value);
}

bool result_row_tagged_float8(struct quring_result *result, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return result_row_number(result, QURING_FLOAT8, bits);
}

bool result_row_tagged(struct quring_result *result, quring_type type, const void *bytes, size_t size) {
    PRE(type == QURING_TEXT || type == QURING_BYTES);
    PRE(bytes || size == 0);
    uint8_t *at = size < INT32_MAX ? buf_extend(&result->rows, 4 + 1 + size) : NULL;
    if (!at)
        return result_row_drop(result);
    bytes_store_u32(at, (uint32_t)size + 1);
    at[4] = (uint8_t)type;
    if (size)
        memcpy(at + 5, bytes, size);
    return true;
}

/* The first row begins at 0, and no offset is kept of it: a result of one row, the usual one, takes one buffer. */
bool result_row_end(struct quring_result *result) {
    uint8_t *at = buf_extend(&result->rows, 1);
    if (!at || (result->row_count && !result_append_offset(result, result->row_start)))
        return result_row_drop(result);
    *at = 0;
    result->row_count++;
    return true;
}

void result_tidy_command(struct quring_result *result) {
    utf8_tidy(result->command);
}

/* ---- The public functions about a whole result ------------------------------------------------------------------- */

uint64_t quring_row_count(const quring_result *result) {
    return result->row_count;
}

uint32_t quring_column_count(const quring_result *result) {
    return result->has_columns ? result->columns->count : 0;
}

uint64_t quring_affected_count(const quring_result *result) {
    return result->affected_count;
}

const char *quring_command(const quring_result *result) {
    return result->command;
}

static const struct column *result_column(const struct quring_result *result, uint32_t column) {
    static const struct column none = {.name = "", .type = QURING_NULL};
    return column < quring_column_count(result) ? &result->columns->column[column] : &none;
}

const char *quring_column_name(const quring_result *result, uint32_t column) {
    return result_column(result, column)->name;
}

quring_type quring_column_type(const quring_result *result, uint32_t column) {
    return (quring_type)result_column(result, column)->type;
}

uint32_t quring_column_oid(const quring_result *result, uint32_t column) {
    return result_column(result, column)->oid;
}

int quring_column_index(const quring_result *result, const char *name) {
    uint32_t count = name ? quring_column_count(result) : 0;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(result->columns->column[i].name, name) == 0)
            return (int)i;
    return QURING_ERANGE;
}

uint32_t quring_notice_count(const quring_result *result) {
    return notices_count(result->notices);
}

uint64_t quring_notice_dropped_count(const quring_result *result) {
    return notices_dropped_count(result->notices);
}

const quring_error *quring_notice(const quring_result *result, uint32_t index) {
    return notices_view(result->notices, index);
}
