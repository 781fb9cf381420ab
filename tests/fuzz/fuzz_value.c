/* SPDX-License-Identifier: MIT */
/*
 * Whatever a server puts into rows goes through every accessor.
 *
 *      input   u8 format (0..2; + 4: rows are not framed)   u8 columns   per column: u8 type   the rest: rows
 *
 * Framed, each value is u8 length (0xff: NULL) and its bytes, and rows are made of as many values as there are columns, as
 * the wire layer promises; not framed, the rest is one row's bytes as they are, which no caller should let through, but
 * which must not be read past its end either. A binary value's text, taken for the value of a text column, must convert as
 * the binary value does.
 */
#include "base/cursor.h"
#include "lib/rows.h"
#include "value/value.h"

#include <math.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { ROOM = 1 << 16, COLUMNS_MAX = 8, ROWS_MAX = 64 };

static const uint32_t oids[] = {16,  17,   18,   19,   20,   21,   23,   25,   26,   114,  700,  701, 1,
                                142, 1007, 1009, 1042, 1043, 1082, 1114, 1184, 1186, 1700, 2950, 0,   3802};

/* All that one value converts to. */
struct converted {
    int codes[9];
    bool truth;
    int32_t integer, days;
    int64_t wide, us, instant;
    double real;
    uint8_t uuid[16];
    const void *data;
    size_t data_size;
};

static void convert(const quring_result *result, uint64_t row, uint32_t column, struct converted *c) {
    *c = (struct converted){.data = ""};
    c->codes[0] = quring_get_bool(result, row, column, &c->truth);
    c->codes[1] = quring_get_int32(result, row, column, &c->integer);
    c->codes[2] = quring_get_int64(result, row, column, &c->wide);
    c->codes[3] = quring_get_float64(result, row, column, &c->real);
    c->codes[4] = quring_get_uuid(result, row, column, c->uuid);
    c->codes[5] = quring_get_date(result, row, column, &c->days);
    c->codes[6] = quring_get_timestamp(result, row, column, &c->us);
    c->codes[7] = quring_get_timestamptz(result, row, column, &c->instant);
    c->codes[8] = quring_get_bytes(result, row, column, &c->data, &c->data_size);
    for (size_t i = 0; i < sizeof c->codes / sizeof *c->codes; i++)
        PRE(c->codes[i] == 0 || c->codes[i] == QURING_ENULL || c->codes[i] == QURING_ETYPE ||
            c->codes[i] == QURING_ERANGE || c->codes[i] == QURING_ELOSSY);
    PRE(strlen(quring_result_error(result)) < 1000);
}

static bool same(const struct converted *a, const struct converted *b) {
    bool reals = (isnan(a->real) && isnan(b->real)) || memcmp(&a->real, &b->real, sizeof a->real) == 0;
    return memcmp(a->codes, b->codes, sizeof a->codes) == 0 && a->truth == b->truth && a->integer == b->integer &&
           a->days == b->days && a->wide == b->wide && a->us == b->us && a->instant == b->instant && reals &&
           memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 && a->data_size == b->data_size &&
           memcmp(a->data, b->data, a->data_size) == 0;
}

static void look(struct rows *rows, struct rows *again, uint64_t row, uint32_t column) {
    const quring_result *result = &rows->result;
    struct converted first, second;
    const char *text = NULL;
    size_t size = 0;
    convert(result, row, column, &first);
    (void)quring_is_null(result, row, column);
    int code = quring_get_text(result, row, column, &text, &size);
    if (code) {
        PRE(code == QURING_ENULL || code == QURING_ETYPE || code == QURING_ERANGE);
        PRE(quring_result_error(result)[0] != 0);
        return;
    }
    PRE(text[size] == 0);
    PRE(quring_value_type(result, row, column) != QURING_NULL);
    if (rows->result.format != RESULT_BINARY)
        return;
    convert(rows_one(again, RESULT_TEXT, quring_column_oid(result, column), text, size), 0, 0, &second);
    PRE(same(&first, &second));
}

static void frame(struct rows *rows, struct cursor *input, uint32_t count) {
    struct rows_cell cells[COLUMNS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        cells[i] = ROWS_NULL;
        uint8_t length = cursor_u8(input);
        if (length == 0xff)
            continue;
        size_t left = cursor_left(input);
        cells[i].size = (int32_t)(length < left ? length : left);
        cells[i].bytes = cursor_take(input, (size_t)cells[i].size);
    }
    rows_add(rows, cells);
}

static void take_whole(struct rows *rows, struct cursor *input) {
    size_t size = cursor_left(input);
    if (size < RESULT_ROW_HEADER_BYTES || size >= ROOM)
        return;
    buf_put(&rows->made, input->at, size);
    buf_put_u8(&rows->made, 0);
    rows->result.rows.data = guard_place(&rows->guard, buf_head(&rows->made), size + 1);
    rows->result.rows.end = rows->result.rows.capacity = size + 1;
    rows->result.row_count = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct rows rows, again;
    if (!rows.guard.map) {
        rows_open(&rows, 4 * ROOM);
        rows_open(&again, 4 * ROOM);
    }
    struct cursor input = cursor_over(bytes, size < ROOM ? size : ROOM);
    uint8_t mode = cursor_u8(&input);
    uint32_t count = cursor_u8(&input) % (COLUMNS_MAX + 1);
    uint32_t types[COLUMNS_MAX] = {0};
    for (uint32_t i = 0; i < count; i++)
        types[i] = oids[cursor_u8(&input) % (sizeof oids / sizeof *oids)];
    rows_begin(&rows, (enum result_format)((mode & 3) % 3), count, types);
    if (mode & 4)
        take_whole(&rows, &input);
    else
        while (!input.failed && cursor_left(&input) && count && rows.result.row_count < ROWS_MAX)
            frame(&rows, &input, count);
    for (uint64_t row = 0; row <= rows.result.row_count; row++)
        for (uint32_t column = 0; column <= count; column++)
            look(&rows, &again, row, column);
    for (uint64_t i = rows.result.row_count * count; i > 0; i--) /* and backwards */
        look(&rows, &again, (i - 1) / count, (uint32_t)((i - 1) % count));
    return 0;
}
