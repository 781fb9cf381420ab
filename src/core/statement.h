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

/*
 * What a statement does to plans that were made earlier on the same connection. Only an exclusive handle, where settings and
 * open transactions are the caller's, has to know.
 */
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
    /* It may share a transaction: it can't end one, and its neighbours see nothing of it but its rows. */
    bool groupable;
    /* Its plan and description hold for later uses. False for utility statements with rows, whose description PostgreSQL
       does not check again, and for literals such as 'now', which it turns into constants when it parses. */
    bool reusable;
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

/* The statement of this text, with a reference added. NULL: out of memory. */
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

/* Reads the whole text, so it is called once per statement of a table. */
struct statement_traits statement_traits(const char *sql, size_t length);

/* Why a handle does not take statements of this class, and what to do; NULL: it takes them. Static. */
const char *statement_refusal(enum statement_class class, bool bound);

#endif
