/* SPDX-License-Identifier: MIT */
/*
 * The description of a result's columns: immutable once published, and shared by every result of a statement. References
 * are counted atomically, because SQLite's lanes hold and drop descriptions on their own threads.
 */
#ifndef QURING_CORE_COLUMNS_H
#define QURING_CORE_COLUMNS_H

#include "quring/quring.h"

#include <stdatomic.h>
#include <stddef.h>

struct column {
    const char *name; /* NUL-terminated, inside `names` */
    uint32_t oid;     /* PostgreSQL's type; 0 on SQLite */
    int32_t modifier; /* atttypmod; -1 for none */
    uint8_t type;     /* quring_type; QURING_OTHER on SQLite */
};

struct columns {
    atomic_uint references;
    uint32_t count;
    size_t bytes; /* all that this takes */
    char *names;
    struct column column[];
};

/*
 * Makes `count` zeroed columns named "", with `names_bytes` of room for names (their NULs included). The one reference is
 * the caller's. NULL: no memory.
 */
struct columns *columns_new(uint32_t count, size_t names_bytes);
struct columns *columns_hold(struct columns *columns);
void columns_drop(struct columns *columns); /* NULL is allowed */

/* True where names, types and OIDs are the same, in the same order. */
bool columns_equal(const struct columns *a, const struct columns *b);

#endif
