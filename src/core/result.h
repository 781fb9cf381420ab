/* SPDX-License-Identifier: MIT */
/*
 * The rows of one query. Each row is stored as PostgreSQL's DataRow body, so that receiving one is a check and one copy:
 *
 *      u16 count   { i32 length (-1: NULL)   bytes }*   0
 *
 * The byte after each row is 0, and lengths below 16 MiB begin with a 0 byte, so nearly every value is followed by a NUL
 * and can be handed out as a C string in place.
 *
 *   RESULT_TEXT    every value is its text (a statement's first execution on a connection)
 *   RESULT_BINARY  values of a type with a codec (value_has_binary()) are in binary, all others text
 *   RESULT_TAGGED  each value's first byte is its quring_type, then INT8 and FLOAT8 in binary, TEXT and BYTES as they
 *                  are (SQLite, where types belong to values)
 *
 * A result belongs to its query's slot and keeps its memory for the next one. Written by one thread at a time: a lane
 * while it runs the query, else the reactor's. A query with one small row costs no allocation and touches one buffer.
 */
#ifndef QURING_CORE_RESULT_H
#define QURING_CORE_RESULT_H

#include "base/buf.h"
#include "base/bytes.h"
#include "core/columns.h"
#include "core/notice.h"
#include "quring/quring.h"

enum result_format { RESULT_TEXT, RESULT_BINARY, RESULT_TAGGED };

enum { RESULT_KEEP_BYTES = 4096, RESULT_COMMAND_BYTES = 64 }; /* PostgreSQL makes its tags in as many */

/* A run of converted texts. Blocks are never moved, because pointers into them were handed to the caller. */
struct result_block {
    struct result_block *next;
    size_t used;
    size_t capacity;
    char bytes[];
};

/* The last accessor that failed. Its text is made only when asked for, since callers may probe values by failing. */
struct result_failure {
    int code; /* QURING_E*; 0: none has failed */
    uint32_t column;
    uint64_t row;
    const char *wanted; /* static: what it was to be read as */
    const char *text;   /* NULL until asked for */
};

/* The members that every query touches stand first and together: cache lines are what a query costs most. */
struct quring_result {
    struct columns *columns; /* held; stays for the next query, which is often of the same statement */
    bool has_columns;        /* whether `columns` describes the present query */
    bool is_large;           /* `columns` or `offsets` may take more memory than a free slot may keep */
    uint8_t format;          /* enum result_format */
    uint32_t seen_column;
    uint64_t seen_row;  /* the cell that was accessed last: from there a walk in order finds the next in O(1) */
    size_t seen_offset; /* of that cell's length */
    uint64_t row_count;
    uint64_t row_limit;
    uint64_t affected_count;
    struct buf rows; /* its limit is the query's result_bytes */
    struct result_block *blocks;
    struct notices *notices; /* NULL while there are none; stay when the query fails */
    struct result_failure failure;
    char command[RESULT_COMMAND_BYTES];
    struct buf offsets; /* uint64_t per row but the first: where rows 1, 2, … start in `rows`; stale with fewer rows */
    size_t row_start;   /* of the row between result_row_begin() and result_row_end() */
};

enum { RESULT_ROW_HEADER_BYTES = 2 };

/* Prepares a slot's result for its first query. */
void result_init(struct quring_result *result);

/* Gives all memory back. */
void result_free(struct quring_result *result);

/* Frees the notices; of a query that runs again, those of its earlier run. */
void result_drop_notices(struct quring_result *result);

/* The slow parts of the inline functions below. */
void result_trim(struct quring_result *result);
void result_change_columns(struct quring_result *result, struct columns *columns);
bool result_append_offset(struct quring_result *result, uint64_t offset);

/* Drops the rows, as after an error in the middle of them. */
static inline void result_clear_rows(struct quring_result *result) {
    result->rows.end = 0;
    result->rows.failed = false;
    result->row_count = 0;
    result->seen_row = 0;
    result->seen_column = 0;
    result->seen_offset = RESULT_ROW_HEADER_BYTES;
}

/* Prepares for the next query, which begins without notices: result_end() dropped them. */
static inline void result_begin(struct quring_result *result, uint64_t result_bytes, uint64_t row_limit) {
    result_clear_rows(result);
    if (base_unlikely(result->rows.capacity > result_bytes))
        buf_free(&result->rows);
    result->rows.limit = result_bytes;
    result->row_limit = row_limit;
    result->affected_count = 0;
    result->has_columns = false;
    result->format = RESULT_TEXT;
    result->command[0] = 0;
    result->failure.code = 0;
}

/* Ends a query: gives memory over RESULT_KEEP_BYTES back, large columns, and all converted texts. */
static inline void result_end(struct quring_result *result) {
    if (base_unlikely(result->rows.capacity > RESULT_KEEP_BYTES || result->blocks || result->notices ||
                      result->is_large))
        result_trim(result);
}

/* Empties the result of a query that failed; notices stay. */
void result_discard(struct quring_result *result);

/* Holds `columns`. A result keeps them from query to query, so that the usual case is one comparison. */
static inline void result_set_columns(struct quring_result *result, struct columns *columns,
                                      enum result_format format) {
    if (base_unlikely(result->columns != columns))
        result_change_columns(result, columns);
    result->has_columns = true;
    result->format = (uint8_t)format;
}

/* Appends a row that the caller has checked, in the layout above without its last 0. False: over a limit, or no memory. */
static inline bool result_append_row(struct quring_result *result, const uint8_t *body, size_t size) {
    if (base_unlikely(result->row_count >= result->row_limit))
        return false;
    uint8_t *at = buf_reserve(&result->rows, size + 1);
    if (base_unlikely(!at) || (result->row_count && !result_append_offset(result, result->rows.end)))
        return false;
    memcpy(at, body, size);
    at[size] = 0;
    result->rows.end += size + 1;
    result->row_count++;
    return true;
}

/*
 * Tells why a row of `size` bytes found no place: true for a limit of the query, false when memory ran out. The table of
 * offsets counts too, because with rows of less than eight bytes it fills first.
 */
bool result_is_full(const struct quring_result *result, size_t size);

/* A producer may make a row cell by cell: begin, add each, end. False as above, and the row is dropped. */
bool result_row_begin(struct quring_result *result, uint16_t column_count);
bool result_row_null(struct quring_result *result);
bool result_row_tagged_int8(struct quring_result *result, int64_t value);
bool result_row_tagged_float8(struct quring_result *result, double value);
bool result_row_tagged(struct quring_result *result, quring_type type, const void *bytes, size_t size);
bool result_row_end(struct quring_result *result);

void result_tidy_command(struct quring_result *result);

/* Sets the command to words of this library, which are ASCII; they are cut where there is no more room. */
static inline size_t result_put_command(struct quring_result *result, const char *words, size_t length) {
    size_t size = length < RESULT_COMMAND_BYTES ? length : RESULT_COMMAND_BYTES - 1;
    if (size)
        memcpy(result->command, words, size);
    result->command[size] = 0;
    return size;
}

/*
 * Sets the command to a server's words, which are mended if they are not ASCII. The check reads them where they came from:
 * eight bytes of the copy could not be loaded at once before the shorter stores have left the CPU's store buffer.
 */
static inline void result_set_command(struct quring_result *result, const char *words, size_t length) {
    size_t size = result_put_command(result, words, length);
    uint8_t bits = 0;
    for (size_t i = 0; i < size; i++)
        bits |= (uint8_t)words[i];
    if (base_unlikely(bits & 0x80))
        result_tidy_command(result);
}

#endif
