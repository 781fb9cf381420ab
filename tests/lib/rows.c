/* SPDX-License-Identifier: MIT */
#include "lib/rows.h"

#include "value/value.h"

#include <stdio.h>

enum { NAME_BYTES = 8 };

void rows_open(struct rows *rows, size_t room) {
    guard_open(&rows->guard, room);
    buf_init(&rows->made, room);
    result_init(&rows->result);
}

/* The rows in the result lie in the guarded memory, which is not its own. */
static void rows_detach(struct rows *rows) {
    rows->result.rows = (struct buf){.limit = SIZE_MAX};
    buf_free(&rows->result.offsets);
    result_clear_rows(&rows->result);
    buf_reset(&rows->made, SIZE_MAX);
}

void rows_close(struct rows *rows) {
    rows_detach(rows);
    result_free(&rows->result);
    buf_free(&rows->made);
    guard_close(&rows->guard);
}

void rows_begin(struct rows *rows, enum result_format format, uint32_t count, const uint32_t *oids) {
    rows_detach(rows);
    result_end(&rows->result);
    struct columns *columns = columns_new(count, (size_t)count * NAME_BYTES);
    PRE(columns != NULL);
    for (uint32_t i = 0; i < count; i++) {
        char *name = columns->names + (size_t)i * NAME_BYTES;
        snprintf(name, NAME_BYTES, "c%u", i % 100000);
        columns->column[i] =
            (struct column){.name = name, .oid = oids[i], .modifier = -1, .type = (uint8_t)value_type_of_oid(oids[i])};
    }
    result_begin(&rows->result, SIZE_MAX, UINT64_MAX);
    result_set_columns(&rows->result, columns, format);
    columns_drop(columns);
}

void rows_add(struct rows *rows, const struct rows_cell *cells) {
    struct quring_result *result = &rows->result;
    size_t start = buf_size(&rows->made);
    buf_put_u16(&rows->made, (uint16_t)result->columns->count);
    for (uint32_t i = 0; i < result->columns->count; i++) {
        buf_put_u32(&rows->made, (uint32_t)cells[i].size);
        if (cells[i].size > 0)
            buf_put(&rows->made, cells[i].bytes, (size_t)cells[i].size);
    }
    buf_put_u8(&rows->made, 0);
    PRE(!buf_failed(&rows->made));
    PRE(result->row_count == 0 || result_append_offset(result, start));
    result->row_count++;
    size_t size = buf_size(&rows->made);
    result->rows.data = guard_place(&rows->guard, buf_head(&rows->made), size);
    result->rows.end = result->rows.capacity = size;
}

const quring_result *rows_one(struct rows *rows, enum result_format format, uint32_t oid, const void *bytes,
                              size_t size) {
    rows_begin(rows, format, 1, &oid);
    rows_add(rows, &(struct rows_cell){bytes, (int32_t)size});
    return &rows->result;
}

const quring_result *rows_text(struct rows *rows, uint32_t oid, const char *text) {
    return rows_one(rows, RESULT_TEXT, oid, text, strlen(text));
}

const quring_result *rows_u16(struct rows *rows, uint32_t oid, uint16_t bits) {
    bits = __builtin_bswap16(bits);
    return rows_one(rows, RESULT_BINARY, oid, &bits, sizeof bits);
}

const quring_result *rows_u32(struct rows *rows, uint32_t oid, uint32_t bits) {
    bits = __builtin_bswap32(bits);
    return rows_one(rows, RESULT_BINARY, oid, &bits, sizeof bits);
}

const quring_result *rows_u64(struct rows *rows, uint32_t oid, uint64_t bits) {
    bits = __builtin_bswap64(bits);
    return rows_one(rows, RESULT_BINARY, oid, &bits, sizeof bits);
}

const quring_result *rows_float8(struct rows *rows, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return rows_u64(rows, 701, bits);
}

const quring_result *rows_float4(struct rows *rows, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return rows_u32(rows, 700, bits);
}
