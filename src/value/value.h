/* SPDX-License-Identifier: MIT */
/*
 * Values between the caller's C types, PostgreSQL's text and binary formats, and SQLite's: pure functions. Chapter 8 of
 * PostgreSQL's manual says what texts look like; binary formats stand in no manual, but in each type's send and receive
 * functions (int4send(), timestamptz_recv(), …), and OIDs in pg_type.dat.
 *
 *   type.c      a type by its OID
 *   encode.c    a parameter for the type the server inferred: binary where it fits exactly, else text
 *   text.c      a parameter's text, arrays as {…} and as JSON
 *   param.c     parameters: constructors, checks and copies; what every query pays for is in param.h
 *   cell.c      a value as a database gave it, and what it converts to
 *   convert.h   conversions they all use: time.c, number_parse.c, number_print.c, bytes.c
 *   oids.h      PostgreSQL's types
 *
 * A file calls only files that stand behind it here. This layer knows neither queries nor results: core/result_get.c
 * has the accessors of a result's values.
 */
#ifndef QURING_VALUE_VALUE_H
#define QURING_VALUE_VALUE_H

#include "base/buf.h"
#include "quring/quring.h"

/* PostgreSQL's type as ours. varchar, bpchar and name are TEXT, since their bytes are alike; QURING_OTHER has no codec. */
quring_type value_type_of_oid(uint32_t oid);

/*
 * True when results of this type are asked for in binary. numeric is not, because its text is exact and is what callers
 * want; arrays are not, because they are parameters only. The test relies on the order of quring_type, where arrays
 * come last.
 */
static inline bool value_has_binary(quring_type type) {
    return type > QURING_NULL && type < QURING_INT4_ARRAY && type != QURING_NUMERIC;
}

/*
 * Appends one Bind parameter of the server's type `oid`: i32 length and the bytes (length -1 for NULL), in binary when
 * the value fits that type exactly, else as its text. Returns the format code used (0 text, 1 binary).
 * `oid` 0 means that the type is not known yet: text. The buffer's own failure tells of lack of room.
 */
uint16_t value_put_param(struct buf *out, const quring_param *param, uint32_t oid);

/*
 * Appends a parameter's text (not NUL-terminated). For arrays PostgreSQL's {…} syntax. Not for QURING_NULL. A text
 * array must be a copy of value_copy_params(), here and in all functions that append.
 */
void value_put_text(struct buf *out, const quring_param *param);

/* Appends an array parameter as a JSON array: SQLite has no arrays, but json_each() makes one into a table. */
void value_put_json_array(struct buf *out, const quring_param *param);

/* Walks a copied QURING_TEXT_ARRAY, for `count` steps. `*at` starts at value.bytes.data. *text is NULL for SQL NULL. */
void value_text_array_next(const void **at, const char **text, size_t *size);

#endif
