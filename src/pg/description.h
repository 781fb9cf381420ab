/* SPDX-License-Identifier: MIT */
/* A statement's parameter types and columns, as a server inferred them. Connections whose servers agree share one. */
#ifndef QURING_PG_DESCRIPTION_H
#define QURING_PG_DESCRIPTION_H

#include "core/columns.h"
#include "wire/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_description {
    uint32_t references;
    size_t bytes;         /* of all of it, columns included */
    uint64_t *kept_bytes; /* counts them, once it is kept beyond its query; NULL before */
    uint16_t param_count;
    uint16_t format_count; /* of result formats in Bind: 0 all text, 1 for all columns, or one a column */
    int32_t column_count;  /* or WIRE_NO_ROWS */
    uint16_t *formats;
    struct columns *columns; /* held; NULL when the statement returns no rows */
    uint32_t param_oids[];
};

/* The limits of descriptions that are kept, of one and of all of a handle: a server decides how long column names are. */
enum { PG_DESCRIPTION_BYTES = 256 * 1024, PG_DESCRIPTION_KEPT_BYTES = 16 << 20 };

struct pg_description *pg_description_new(const struct wire_parameters *parameters);
/* Sets the columns that a RowDescription names; NULL for NoData. False: no memory. */
bool pg_description_set_columns(struct pg_description *description, const struct wire_columns *columns);
struct pg_description *pg_description_hold(struct pg_description *description);
void pg_description_drop(struct pg_description *description); /* NULL is allowed */
/* Counts its bytes in `kept_bytes` until it is freed. False: it is too large, or would go over PG_DESCRIPTION_KEPT_BYTES. */
bool pg_description_keep(struct pg_description *description, uint64_t *kept_bytes);
bool pg_description_equal(const struct pg_description *a, const struct pg_description *b);

#endif
