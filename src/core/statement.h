/* SPDX-License-Identifier: MIT */
/*
 * SQL texts by content, once per database handle. A statement has a small dense index, so that each connection or lane
 * keeps what it prepared in an array; `serial` is never reused, so an array entry whose serial differs belongs to a
 * text that was evicted, and is closed when its place is needed.
 *
 *      statement_find()                    statement_drop() of the last reference
 *      new ----> referenced, cached ------------------------------> unreferenced, cached --evicted--> freed
 *       |                  ^---------------statement_find()------------------'
 *       '------> referenced, uncached ----------------------------------------------------------------> freed
 *
 * Only the reactor's thread uses the table. A lane may read sql, length, index and serial of a statement that a query
 * in its hands refers to: these never change while it is referenced.
 */
#ifndef QURING_CORE_STATEMENT_H
#define QURING_CORE_STATEMENT_H

#include "base/list.h"
#include "core/statement_class.h"
#include "quring/quring.h"

static const uint32_t STATEMENT_UNCACHED = UINT32_MAX;

struct quring_statement {
    struct list link; /* least recently used first, while nothing refers to it; of the uncached ones else */
    struct quring_statement *chain; /* of its hash bucket */
    struct statement_table *table;  /* NULL once the table was freed */
    uint64_t hash;
    uint64_t owner;      /* the thread that opened its database, also once that is gone */
    uint64_t serial;     /* from 1 */
    uint32_t index;      /* below the table's capacity, or STATEMENT_UNCACHED: prepared for one execution only */
    uint32_t references; /* queries and handles */
    struct statement_traits traits;
    uint8_t route; /* where the backend sends it; 0: not looked at yet */
    void *backend; /* for the backend; NULL at first; freed through the table's drop_backend */
    size_t length;
    char sql[]; /* NUL-terminated */
};

struct statement_table;

/* `text_limit_bytes`: longer texts are not cached. `drop_backend` is called for a non-NULL backend pointer. */
struct statement_table *statement_table_new(uint32_t capacity, size_t text_limit_bytes,
                                            void (*drop_backend)(void *backend));

/*
 * Frees the table and its unreferenced statements. A statement that is still referenced loses its backend's part now and is
 * freed with its last reference, so that handles of quring_prepare() may outlive their database. NULL is allowed.
 */
void statement_table_free(struct statement_table *table);

/* Returns the statement of this text, with a reference added. NULL: out of memory. */
struct quring_statement *statement_find(struct statement_table *table, const char *sql, size_t length);

/* References are counted without atomics: only the reactor's thread holds and drops them. */
static inline struct quring_statement *statement_hold(struct quring_statement *statement) {
    statement->references++;
    return statement;
}

/* For statement_drop(): keeps an unreferenced statement for its next use if it is cached, and frees it if not. */
void statement_retire(struct quring_statement *statement);

static inline void statement_drop(struct quring_statement *statement) {
    PRE(statement->references > 0);
    if (--statement->references == 0)
        statement_retire(statement);
}

#endif
