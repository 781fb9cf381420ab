/* SPDX-License-Identifier: MIT */
#include "core/result.h"

#include "base/rng.h"
#include "lib/rows.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static struct quring_result result;

static void setup(void) {
    result_init(&result);
    result_begin(&result, 1 << 20, UINT64_MAX);
}

static void teardown(void) {
    result_free(&result);
}

TestSuite(result, .init = setup, .fini = teardown);

static void set_columns(uint32_t count, enum result_format format) {
    struct columns *columns = columns_new(count, 0);
    for (uint32_t i = 0; i < count; i++)
        columns->column[i].type = format == RESULT_TAGGED ? QURING_OTHER : QURING_TEXT;
    result_set_columns(&result, columns, format);
    columns_drop(columns);
}

/* A row of one text of `size` characters. */
static bool append_text(size_t size, char fill) {
    static uint8_t body[100000];
    bytes_store_u16(body, 1);
    bytes_store_u32(body + 2, (uint32_t)size);
    memset(body + 6, fill, size);
    return result_append_row(&result, body, 6 + size);
}

static void assert_text(uint64_t row, uint32_t column, const char *wanted) {
    const char *text = NULL;
    size_t size = 0;
    cr_assert_eq(quring_get_text(&result, row, column, &text, &size), 0, "%s", quring_result_error(&result));
    cr_assert_str_eq(text, wanted);
    cr_assert_eq(size, strlen(wanted));
}

Test(result, is_empty_at_first) {
    cr_assert_eq(quring_row_count(&result), 0);
    cr_assert_eq(quring_column_count(&result), 0);
    cr_assert_eq(quring_affected_count(&result), 0);
    cr_assert_str_eq(quring_command(&result), "");
    cr_assert_str_eq(quring_column_name(&result, 0), "");
    cr_assert_eq(quring_column_type(&result, 0), QURING_NULL);
    cr_assert_eq(quring_column_oid(&result, 0), 0);
    cr_assert_eq(quring_column_index(&result, "a"), QURING_ERANGE);
    cr_assert_str_eq(quring_result_error(&result), "");
    cr_assert_null(result.offsets.data);
}

Test(result, describes_its_columns) {
    struct columns *columns = columns_new(3, 10);
    strcpy(columns->names, "a");
    strcpy(columns->names + 2, "b");
    columns->column[0] = (struct column){.name = columns->names, .oid = 23, .type = QURING_INT4};
    columns->column[1] = (struct column){.name = columns->names + 2, .oid = 25, .type = QURING_TEXT};
    columns->column[2] = (struct column){.name = columns->names + 2, .oid = 17, .type = QURING_BYTES};
    result_set_columns(&result, columns, RESULT_BINARY);
    columns_drop(columns);
    cr_assert_eq(quring_column_count(&result), 3);
    cr_assert_str_eq(quring_column_name(&result, 1), "b");
    cr_assert_eq(quring_column_type(&result, 2), QURING_BYTES);
    cr_assert_eq(quring_column_oid(&result, 0), 23);
    cr_assert_eq(quring_column_index(&result, "a"), 0);
    cr_assert_eq(quring_column_index(&result, "b"), 1, "the first of several");
    cr_assert_eq(quring_column_index(&result, "B"), QURING_ERANGE);
    cr_assert_eq(quring_column_index(&result, ""), QURING_ERANGE);
    cr_assert_eq(quring_column_index(&result, NULL), QURING_ERANGE);
    cr_assert_str_eq(quring_column_name(&result, 3), "");
    cr_assert_str_eq(quring_column_name(&result, UINT32_MAX), "");
}

Test(result, keeps_columns_from_one_query_to_the_next) {
    struct columns *columns = columns_new(1, 0);
    for (int i = 0; i < 3; i++) {
        result_begin(&result, 1000, UINT64_MAX);
        cr_assert_eq(quring_column_count(&result), 0, "another query's columns are not this one's");
        result_set_columns(&result, columns, RESULT_TEXT);
        cr_assert_eq(atomic_load(&columns->references), 2);
        result_end(&result);
    }
    struct columns *others = columns_new(2, 0);
    result_set_columns(&result, others, RESULT_TEXT);
    cr_assert_eq(atomic_load(&columns->references), 1);
    cr_assert_eq(quring_column_count(&result), 2);
    columns_drop(columns);
    columns_drop(others);
}

Test(result, rows_come_back_in_any_order) {
    enum { ROWS = 300, COLUMNS = 7 };
    struct rng rng = {7};
    static char wanted[ROWS][COLUMNS][32];
    set_columns(COLUMNS, RESULT_TEXT);
    struct buf body;
    buf_init(&body, SIZE_MAX);
    for (int r = 0; r < ROWS; r++) {
        buf_reset(&body, SIZE_MAX);
        buf_put_u16(&body, COLUMNS);
        for (int c = 0; c < COLUMNS; c++) {
            bool null = rng_below(&rng, 5) == 0;
            snprintf(wanted[r][c], sizeof wanted[r][c], null ? "-" : "%d/%d/%.*s", r, c, (int)rng_below(&rng, 9),
                     "xxxxxxxxx");
            buf_put_u32(&body, null ? UINT32_MAX : (uint32_t)strlen(wanted[r][c]));
            buf_put(&body, wanted[r][c], null ? 0 : strlen(wanted[r][c]));
        }
        cr_assert(result_append_row(&result, buf_head(&body), buf_size(&body)));
    }
    buf_free(&body);
    for (int i = 0; i < 20000; i++) {
        uint32_t r = (uint32_t)rng_below(&rng, ROWS), c = (uint32_t)rng_below(&rng, COLUMNS);
        if (i < ROWS * COLUMNS) /* first a walk */
            r = (uint32_t)i / COLUMNS, c = (uint32_t)i % COLUMNS;
        bool null = wanted[r][c][0] == '-';
        cr_assert_eq(quring_is_null(&result, r, c), null);
        cr_assert_eq(quring_value_type(&result, r, c), null ? QURING_NULL : QURING_TEXT);
        const char *text = "untouched";
        if (null)
            cr_assert_eq(quring_get_text(&result, r, c, &text, NULL), QURING_ENULL);
        cr_assert_str_eq(text, "untouched");
        if (!null)
            assert_text(r, c, wanted[r][c]);
    }
}

Test(result, a_row_of_no_columns) {
    set_columns(0, RESULT_TEXT);
    for (int i = 0; i < 1000; i++)
        cr_assert(result_append_row(&result, (const uint8_t *)"\0\0", 2));
    cr_assert_eq(quring_row_count(&result), 1000);
    const char *text;
    cr_assert_eq(quring_get_text(&result, 0, 0, &text, NULL), QURING_ERANGE);
}

Test(result, row_limit) {
    result_begin(&result, 1 << 20, 3);
    set_columns(1, RESULT_TEXT);
    for (int i = 0; i < 3; i++)
        cr_assert(append_text(1, (char)('a' + i)));
    cr_assert_not(append_text(1, 'd'));
    cr_assert_not(result_row_begin(&result, 1));
    cr_assert_not(result_row_null(&result), "nothing of a refused row is kept");
    cr_assert_eq(quring_row_count(&result), 3);
    assert_text(2, 0, "c");
}

/* For every limit around the size of one and two rows, a row is in whole or not at all. */
Test(result, byte_limit) {
    enum { ROW = 2 + 4 + 10 + 1 };
    for (size_t limit = 0; limit <= 3 * ROW; limit++) {
        result_end(&result);
        result_begin(&result, limit, UINT64_MAX);
        set_columns(1, RESULT_TEXT);
        size_t count = 0;
        while (append_text(10, 'x') && count < 10)
            count++;
        cr_assert_eq(count, limit / ROW, "limit %zu: %zu rows", limit, count);
        cr_assert_eq(quring_row_count(&result), count);
        for (size_t i = 0; i < count; i++)
            assert_text(i, 0, "xxxxxxxxxx");
        cr_assert_leq(result.rows.capacity, limit);
    }
}

/* What the last query left must not let the next one past a smaller limit. */
Test(result, byte_limit_holds_for_a_warm_buffer) {
    set_columns(1, RESULT_TEXT);
    cr_assert(append_text(3000, 'x'));
    result_end(&result);
    result_begin(&result, 100, UINT64_MAX);
    set_columns(1, RESULT_TEXT);
    cr_assert_not(append_text(200, 'x'));
    cr_assert_eq(quring_row_count(&result), 0);
    result_begin(&result, 1000, UINT64_MAX);
    set_columns(1, RESULT_TEXT);
    cr_assert(append_text(200, 'x'), "a failed query does not spoil the next");
}

/* A table of many columns would stay with every slot that its rows ever were in. */
Test(result, large_columns_go_with_their_query) {
    struct columns *columns = columns_new(1600, 16000);
    for (int i = 0; i < 3; i++) {
        result_begin(&result, 1000, UINT64_MAX);
        result_set_columns(&result, columns, RESULT_TEXT);
        cr_assert_eq(atomic_load(&columns->references), 2);
        cr_assert_eq(quring_column_count(&result), 1600);
        result_end(&result);
        cr_assert_eq(atomic_load(&columns->references), 1);
        cr_assert_eq(quring_column_count(&result), 0);
    }
    columns_drop(columns);
}

Test(result, offsets_count_too) {
    result_begin(&result, 1 << 12, UINT64_MAX);
    set_columns(0, RESULT_TEXT);
    uint64_t count = 0;
    while (result_append_row(&result, (const uint8_t *)"\0\0", 2))
        count++;
    cr_assert_gt(count, 500);
    cr_assert(result_is_full(&result, 2));
    cr_assert_lt(result.rows.end + 3, result.rows.limit, "which it is for the offsets alone");
    cr_assert_leq(result.offsets.capacity, (1 << 12) + RESULT_KEEP_BYTES);
    cr_assert_eq(quring_row_count(&result), count);
}

Test(result, offsets_begin_anew_after_a_table_that_was_full) {
    result_begin(&result, 1 << 12, UINT64_MAX);
    set_columns(0, RESULT_TEXT);
    while (result_append_row(&result, (const uint8_t *)"\0\0", 2))
        ;
    cr_assert(result.offsets.failed);
    for (int again = 0; again < 2; again++) {
        if (again)
            result_end(&result);
        result_begin(&result, 1 << 20, UINT64_MAX);
        set_columns(1, RESULT_TEXT);
        cr_assert(append_text(0, 'x'));
        assert_text(0, 0, "");
        for (size_t size = 1; size < 1500; size++)
            cr_assert(append_text(size % 50, (char)('a' + size % 26)), "row %zu", size);
        assert_text(1, 0, "b");
        assert_text(1402, 0, "yy");
    }
}

Test(result, warm_memory_stays_and_large_memory_goes) {
    set_columns(1, RESULT_TEXT);
    for (int i = 0; i < 10; i++)
        append_text(30, 'x');
    uint8_t *rows = result.rows.data, *offsets = result.offsets.data;
    for (int i = 0; i < 10; i++) {
        result_end(&result);
        result_begin(&result, 1 << 20, UINT64_MAX);
        set_columns(1, RESULT_TEXT);
        for (int j = 0; j < 10; j++)
            append_text(30, 'x');
        cr_assert_eq(result.rows.data, rows);
        cr_assert_eq(result.offsets.data, offsets);
    }
    append_text(90000, 'x');
    for (int i = 0; i < 2000; i++)
        append_text(1, 'x');
    result_end(&result);
    cr_assert_leq(result.rows.capacity, RESULT_KEEP_BYTES);
    cr_assert_leq(result.offsets.capacity, RESULT_KEEP_BYTES);
}

Test(result, cleared_rows_are_gone) {
    set_columns(1, RESULT_TEXT);
    append_text(1, 'a');
    append_text(1, 'b');
    assert_text(1, 0, "b");
    result_clear_rows(&result);
    cr_assert_eq(quring_row_count(&result), 0);
    const char *text;
    cr_assert_eq(quring_get_text(&result, 1, 0, &text, NULL), QURING_ERANGE);
    append_text(1, 'c');
    assert_text(0, 0, "c");
}

Test(result, command_is_cut) {
    result_set_command(&result, "CREATE TABLE x", 12);
    cr_assert_str_eq(quring_command(&result), "CREATE TABLE");
    result_set_command(&result, "CREATE TEXT SEARCH CONFIGURATION", 32); /* PostgreSQL's longest */
    cr_assert_str_eq(quring_command(&result), "CREATE TEXT SEARCH CONFIGURATION");
    char longest[64 + 1];
    memset(longest, 'x', 64);
    longest[64] = 0;
    result_set_command(&result, longest, 64);
    cr_assert_str_eq(quring_command(&result), longest + 1);
    result_set_command(&result, "DO\xffIT", 5);
    cr_assert_str_eq(quring_command(&result), "DO?IT");
    result_set_command(&result, NULL, 0);
    cr_assert_str_eq(quring_command(&result), "");
}

/* ---- Rows made cell by cell -------------------------------------------------------------------------------------- */

static bool make_row(int64_t integer, double real, const char *text) {
    return result_row_begin(&result, 5) && result_row_tagged_int8(&result, integer) &&
           result_row_tagged_float8(&result, real) && result_row_tagged(&result, QURING_TEXT, text, strlen(text)) &&
           result_row_null(&result) && result_row_tagged(&result, QURING_BYTES, "\0\xff", 2) && result_row_end(&result);
}

Test(result, tagged_rows) {
    set_columns(5, RESULT_TAGGED);
    for (int i = 0; i < 100; i++)
        cr_assert(make_row(i * INT64_C(100000000000), i / 8.0, i % 2 ? "odd" : ""));
    for (uint64_t i = 100; i-- > 0;) {
        int64_t integer;
        double real;
        const void *bytes;
        size_t size;
        cr_assert_eq(quring_get_int64(&result, i, 0, &integer), 0);
        cr_assert_eq(integer, (int64_t)i * INT64_C(100000000000));
        cr_assert_eq(quring_get_float64(&result, i, 1, &real), 0);
        cr_assert_eq(real, (double)i / 8.0);
        assert_text(i, 2, i % 2 ? "odd" : "");
        cr_assert(quring_is_null(&result, i, 3));
        cr_assert_eq(quring_get_bytes(&result, i, 4, &bytes, &size), 0);
        cr_assert(size == 2 && memcmp(bytes, "\0\xff", 2) == 0);
        assert_text(i, 4, "\\x00ff");
        cr_assert_eq(quring_value_type(&result, i, 0), QURING_INT8);
        cr_assert_eq(quring_value_type(&result, i, 1), QURING_FLOAT8);
        cr_assert_eq(quring_value_type(&result, i, 2), QURING_TEXT);
        cr_assert_eq(quring_value_type(&result, i, 3), QURING_NULL);
        cr_assert_eq(quring_value_type(&result, i, 4), QURING_BYTES);
        cr_assert_eq(quring_column_type(&result, 0), QURING_OTHER);
    }
}

/* Whichever part of a row comes to the limit, the rows before stay as they are and the row is dropped whole. */
Test(result, tagged_rows_at_every_limit) {
    enum { ROW = 2 + (4 + 9) + (4 + 9) + (4 + 1 + 3) + 4 + (4 + 1 + 2) + 1 };
    for (size_t limit = 0; limit <= 3 * ROW; limit++) {
        result_end(&result);
        result_begin(&result, limit, UINT64_MAX);
        set_columns(5, RESULT_TAGGED);
        size_t count = 0;
        while (make_row(5, 5, "abc") && count < 10)
            count++;
        cr_assert_eq(count, limit / ROW);
        cr_assert_eq(quring_row_count(&result), count);
        cr_assert_eq(result.rows.end, count * ROW);
        if (count)
            assert_text(count - 1, 2, "abc");
    }
}

Test(result, tagged_values_longer_than_a_length_can_say_are_refused) {
    result_begin(&result, SIZE_MAX, UINT64_MAX);
    set_columns(1, RESULT_TAGGED);
    cr_assert(result_row_begin(&result, 1));
    cr_assert_not(result_row_tagged(&result, QURING_TEXT, "", (size_t)INT32_MAX));
    cr_assert_not(result_row_end(&result));
    cr_assert_eq(quring_row_count(&result), 0);
}

Test(result, texts_stay_where_they_are_until_the_end) {
    enum { ROWS = 3000 };
    static const char *texts[ROWS];
    set_columns(5, RESULT_TAGGED);
    for (int i = 0; i < ROWS; i++)
        cr_assert(make_row(i, 0.5, "x"));
    for (uint64_t i = 0; i < ROWS; i++)
        cr_assert_eq(quring_get_text(&result, i, 0, &texts[i], NULL), 0);
    for (int i = 0; i < ROWS; i++)
        cr_assert_eq(atoi(texts[i]), i);
    result_end(&result);
    cr_assert_not_null(result.blocks, "one block stays warm");
    cr_assert_null(result.blocks->next);
    cr_assert_eq(result.blocks->used, 0);
    result_begin(&result, 1000, UINT64_MAX);
    cr_assert_str_eq(quring_result_error(&result), "");
}

/* ---- Rows that no server should send, though their frame is right ------------------------------------------------ */

Test(result, rows_with_another_number_of_values_than_columns) {
    set_columns(2, RESULT_TEXT);
    cr_assert(append_text(1, 'a'));
    const char *text = "untouched";
    assert_text(0, 0, "a");
    cr_assert_eq(quring_get_text(&result, 0, 1, &text, NULL), QURING_ETYPE);
    cr_assert_str_eq(text, "untouched");
    cr_assert_neq(quring_result_error(&result)[0], 0);
    cr_assert_not(quring_is_null(&result, 0, 1));
    assert_text(0, 0, "a");
}
