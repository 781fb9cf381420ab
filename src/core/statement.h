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
#include "quring/quring.h"

enum statement_class {
    STATEMENT_PLAIN,
    STATEMENT_TRANSACTION, /* BEGIN, COMMIT, SAVEPOINT, …: refused outside an exclusive handle */
    STATEMENT_SESSION,     /* SET, CREATE TEMP TABLE, SELECT INTO TEMP, pg_temp, and SQLite's ATTACH: likewise */
    STATEMENT_COPY,        /* COPY … FROM STDIN / TO STDOUT: refused */
    STATEMENT_LISTEN,      /* refused */
    STATEMENT_ENCODING,    /* SET client_encoding to anything but UTF8: refused */
    STATEMENT_EMPTY        /* nothing but white space, comments and semicolons */
};

/* On what PostgreSQL saw when it parsed earlier statements on the same connection. Matters in an exclusive handle. */
enum statement_effect {
    EFFECT_NONE,      /* SELECT, INSERT, BEGIN, SAVEPOINT, … */
    EFFECT_CHANGES,   /* SET, ALTER, DO, … */
    EFFECT_FORGETS,   /* DISCARD ALL, DEALLOCATE ALL: what was prepared is gone */
    EFFECT_COMMITS,   /* COMMIT, END, PREPARE TRANSACTION: SET LOCAL ends */
    EFFECT_ENDS,      /* ROLLBACK, ABORT: takes back what CHANGES in its transaction did */
    EFFECT_GOES_BACK, /* ROLLBACK TO: likewise, and the transaction goes on */
};

/* What is known of a statement from its text alone. */
struct statement_traits {
    uint8_t class;  /* enum statement_class */
    uint8_t effect; /* enum statement_effect */
    bool groupable; /* may share a transaction: can't end it, and its neighbours see nothing of it but its rows */
    bool reusable;  /* its plan and description hold for later uses: no utility statement with rows, whose description
                       PostgreSQL does not check again, and no 'now' that it turned into a constant */
};

enum { STATEMENT_UNCACHED = UINT32_MAX };

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
    uint8_t hint;  /* for the backend; 0 at first */
    void *backend; /* for the backend; NULL at first; freed through the table's drop_backend */
    size_t length;
    char sql[]; /* NUL-terminated */
};

struct statement_table;

/* `text_limit_bytes`: longer texts are not cached. `drop_backend` is called for a non-NULL backend pointer. */
struct statement_table *statement_table_new(uint32_t capacity, size_t text_limit_bytes,
                                            void (*drop_backend)(void *backend));

/*
 * Frees the table and all that nothing refers to. What is still referenced loses its backend's part now and is freed with
 * its last reference, so that handles may outlive their database. NULL is allowed.
 */
void statement_table_free(struct statement_table *table);

/* The statement of this text, with a reference added. NULL: out of memory. */
struct quring_statement *statement_find(struct statement_table *table, const char *sql, size_t length);

static inline struct quring_statement *statement_hold(struct quring_statement *statement) {
    statement->references++;
    return statement;
}

void statement_retire(struct quring_statement *statement);

static inline void statement_drop(struct quring_statement *statement) {
    PRE(statement->references > 0);
    if (--statement->references == 0)
        statement_retire(statement);
}

struct statement_traits statement_traits(const char *sql, size_t length);

/* Why a handle does not take statements of this class, and what to do; NULL: it takes them. Static. */
const char *statement_refusal(enum statement_class class, bool bound);

#endif
