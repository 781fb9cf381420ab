/* SPDX-License-Identifier: MIT */
/*
 * The prepared statements of one connection: their names on the server, and whether they may still be used.
 *
 * The place of a statement's index moves along:
 *
 *      ABSENT, READY --Parse sent--> PENDING --described, sync point--> READY
 *                                       |-----too large to keep------> READY, stale
 *                                       |-----failed-----------------> ABSENT
 *                                       \-----failed, it replaced----> READY, stale: its Close may have been skipped too
 *      READY --refused: its plan is to blame--> READY, stale
 *      any   --connection lost--> ABSENT
 *
 * A stale statement (serial 0, or another text's) is closed by the request that takes its place.
 */
#ifndef QURING_PG_PREPARED_H
#define QURING_PG_PREPARED_H

#include "core/query.h"
#include "pg/description.h"

struct wire_template;

enum pg_prepared_state { PG_PREPARED_ABSENT, PG_PREPARED_PENDING, PG_PREPARED_READY };

struct pg_prepared {
    uint64_t serial;
    union {
        struct pg_description *description; /* held, while READY; may be NULL when it is stale */
        uint64_t replaces;                  /* the name that this one's request closes, while PENDING; 0: none */
    };
    struct wire_template *bind; /* owned, while READY: of its requests; NULL: none, and each is encoded anew */
    uint64_t name;              /* on the server: see pg_prepared_begin() */
    uint32_t plan_epoch;        /* the connection's when it was parsed */
    uint8_t state;              /* enum pg_prepared_state */
};

enum { PG_NAME_PREFIX_BYTES = 17, PG_NAME_BYTES = PG_NAME_PREFIX_BYTES + 16 + 1 };

struct pg_prepared_table {
    struct pg_prepared *places; /* by statement index: as many as statements came to need */
    uint32_t place_count, place_count_max;
    bool unnamed;             /* nothing is prepared by name: options.prepared_statements, or a pooler */
    char name[PG_NAME_BYTES]; /* begins with what all names of this connection begin with */
    uint64_t name_count;      /* given out on this connection */
    /* of a bound connection, as told by the texts of what was sent, and by ParameterStatus */
    uint32_t plan_epoch;      /* counts what may change what Parse sees: plans of earlier epochs are not used */
    uint32_t forgotten_epoch; /* the plan_epoch at which the server last forgot all that was prepared */
    bool changed;             /* something did, since the last transaction's end */
};

void pg_prepared_init(struct pg_prepared_table *table, uint32_t place_count_max);
void pg_prepared_free(struct pg_prepared_table *table);

/*
 * Begins a new connection. A name on the server is "quring_", ten digits of the connection's nonce, and a number that is
 * used once in its life, so no other connection has that name for another statement. Behind a pooler that hands one
 * client's statements to another, a name is unknown (26000) or taken (42P05), and never another statement.
 */
void pg_prepared_begin(struct pg_prepared_table *table, uint64_t nonce);

/* Ends a connection: all places are ABSENT. */
void pg_prepared_end(struct pg_prepared_table *table);

/* Valid until the next call. */
const char *pg_prepared_name(struct pg_prepared_table *table, uint64_t number);

/*
 * Returns the place of a statement, until the next call for another one. NULL: the statement is parsed for each use, because
 * it is not kept or there is no memory for its place.
 */
struct pg_prepared *pg_prepared_of(struct pg_prepared_table *table, const struct quring_statement *statement);

/* True if a query may Bind to the prepared statement in this place of the table. */
bool pg_prepared_is_usable(const struct pg_prepared_table *table, const struct pg_prepared *place,
                           const struct query *query);

/* The name that the next pg_prepared_claim() gives out. */
static inline uint64_t pg_prepared_next_name(const struct pg_prepared_table *table) {
    return table->name_count + 1;
}

/* ABSENT, READY -> PENDING, once its Parse was encoded; what stood there is closed by that request. Returns its name. */
uint64_t pg_prepared_claim(struct pg_prepared_table *table, struct pg_prepared *place,
                           const struct quring_statement *statement);

/*
 * PENDING -> READY or ABSENT, at the sync point of the request that parsed it. `description` NULL: it was not described.
 * A description that is kept counts in `kept_bytes`.
 */
void pg_prepared_settle(struct pg_prepared *place, struct quring_statement *statement,
                        struct pg_description *description, uint64_t *kept_bytes);

/* Makes the template for requests of a READY statement with a description. `text_only`: all its results are text. */
void pg_prepared_make_bind(struct pg_prepared_table *table, struct pg_prepared *place, bool text_only);

/* Makes a statement stale whose plan the server refused: the next request for it closes it and parses anew. */
void pg_prepared_refuse(struct pg_prepared *place, const struct quring_statement *statement);

/* On a bound connection: begins a new epoch, because something has changed that a parse depends on. */
void pg_prepared_outdate(struct pg_prepared_table *table);

/* On a bound connection: a statement with this effect was sent, which may begin a new epoch. */
void pg_prepared_take_effect(struct pg_prepared_table *table, enum statement_effect effect);

#endif
