/* SPDX-License-Identifier: MIT */
/*
 * Results made of given bytes, for tests of what reads them. Rows end at a guard page, so that an accessor that reads one
 * byte too far is a SIGSEGV.
 */
#ifndef QURING_TESTS_ROWS_H
#define QURING_TESTS_ROWS_H

#include "core/result.h"
#include "lib/guard.h"

struct rows {
    struct quring_result result;
    struct guard guard;
    struct buf made; /* rows so far, each with its 0 */
};

struct rows_cell {
    const void *bytes;
    int32_t size; /* -1: NULL */
};

#define ROWS_NULL ((struct rows_cell){NULL, -1})

void rows_open(struct rows *rows, size_t room);
void rows_close(struct rows *rows);

/* Begins anew, with columns named "c0", "c1", … of these types of PostgreSQL. */
void rows_begin(struct rows *rows, enum result_format format, uint32_t count, const uint32_t *oids);

/* One more row of as many cells as there are columns. */
void rows_add(struct rows *rows, const struct rows_cell *cells);

/* Begins anew with one row of one value. */
const quring_result *rows_one(struct rows *rows, enum result_format format, uint32_t oid, const void *bytes,
                              size_t size);

/* The same in text and, big-endian, in binary. */
const quring_result *rows_text(struct rows *rows, uint32_t oid, const char *text);
const quring_result *rows_u16(struct rows *rows, uint32_t oid, uint16_t bits);
const quring_result *rows_u32(struct rows *rows, uint32_t oid, uint32_t bits);
const quring_result *rows_u64(struct rows *rows, uint32_t oid, uint64_t bits);
const quring_result *rows_float8(struct rows *rows, double value);
const quring_result *rows_float4(struct rows *rows, float value);

#endif
