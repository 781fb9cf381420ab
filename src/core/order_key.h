/* SPDX-License-Identifier: MIT */
/*
 * Order keys: queries of a handle with one key run in the order of their submission. Here is the table of the keys that are
 * in use, and how each of them stands; queries and their queues are queue.h's, and what may run when is a backend's.
 *
 * While queries of a key are out, all of them are at one *place*: a connection, or the lanes of an SQLite handle. The next
 * ones follow them there, and are parked on the key while they may not.
 *
 *      IDLE --the first is sent--> PLACED --none is out or parked; or those that are parked may go elsewhere--> IDLE
 *                                     |
 *                                     +--its place was lost with some that were sent--> CLOSED --all were reaped--> IDLE
 *
 *   IDLE     its next query may go to any place
 *   PLACED   its next query goes to `place`, or is parked
 *   CLOSED   nobody knows how far the server came: whatever else there is of the key ends NOT_SENT, until the program has
 *            seen all of it, because what it submitted before relies on what was lost
 *
 * A key is in the table as long as a query of it is not reaped, or it is PLACED. What keeps it there without a query is a
 * request that was given up and still is out, so keys take memory for query_count queries and for what connections carry.
 */
#ifndef QURING_CORE_ORDER_KEY_H
#define QURING_CORE_ORDER_KEY_H

#include "base/list.h"

#include <stdint.h>

enum order_state { ORDER_IDLE, ORDER_PLACED, ORDER_CLOSED };

/* The keys that are at one place. Zeroed memory is none: order_place_init(). */
struct order_place {
    struct list out; /* keys with queries out, by order_key.last: the one whose last query was sent longest ago first */
    struct list waiting; /* keys with parked queries that there was no room for, in turns */
    struct list link;    /* the backend's: while it is to look at those that wait */
};

struct order_key {
    struct list out, waiting; /* of its place */
    struct list parked;       /* queries, oldest first */
    struct order_key *chain;  /* of its bucket, or of those that are free */
    struct order_keys *keys;
    const void *owner; /* the database handle; NULL once it is closed */
    uint64_t key;
    uint64_t last;  /* PLACED: the ordinal of its last query there */
    uint64_t group; /* the group that this one joined; 0: none */
    struct order_place *place;
    uint32_t number;                  /* from 1, the key's as long as it is in the table */
    uint32_t query_count;             /* not reaped yet */
    uint32_t read_count, write_count; /* of SQLite: out on readers, and on the writer */
    uint8_t state;                    /* enum order_state */
    bool lost;                        /* PLACED: a byte was sent of one that is lost with its place */
};

/* One an engine. Zeroed memory is an empty table. */
struct order_keys {
    struct order_key **buckets;
    struct order_key **blocks; /* of entries, which never move */
    struct order_key *free;
    uint32_t bucket_count; /* a power of two, or 0 */
    uint32_t block_count;
    uint32_t count; /* of keys that are in the table */
    uint64_t seed;
    uint64_t visit_count; /* keys that were looked at: what they cost, whatever the machine */
};

/* For each state the set of states that may follow it, as bits. */
extern const uint8_t order_moves[ORDER_CLOSED + 1];

/* All queries are gone. */
void order_keys_free(struct order_keys *keys);

/* The key of a query that is submitted, until order_key_drop(). NULL: no memory. */
struct order_key *order_key_hold(struct order_keys *keys, const void *owner, uint64_t key);

/* The query was reaped, or was not submitted after all. */
void order_key_drop(struct order_key *key);

/* The handle is freed, and no key of it is PLACED: another one at the same address must not meet what is left of them. */
void order_keys_forget(struct order_keys *keys, const void *owner);

/* The key of that number; it has to be in the table. */
struct order_key *order_keys_at(const struct order_keys *keys, uint32_t number);

/* The next key with parked queries behind the number, which it sets; NULL: there is no other. */
struct order_key *order_keys_next_parked(const struct order_keys *keys, uint32_t *number);

/* ---- Places ---- */

void order_place_init(struct order_place *place);

/* False for a place without keys, which is what most are. */
static inline bool order_place_is_used(const struct order_place *place) {
    return !list_empty(&place->out) || !list_empty(&place->waiting);
}

/* A query of the key was sent to the place, with that ordinal and in that group. */
void order_key_sent(struct order_key *key, struct order_place *place, uint64_t ordinal, uint64_t group);

static inline bool order_key_is_out(const struct order_key *key) {
    return !list_empty(&key->out);
}

/*
 * The next key of the place whose last query has an ordinal below `settled`: it has none out from here on. It is for the
 * caller to have it wait, or leave. NULL: there is no other.
 */
struct order_key *order_place_settled(struct order_place *place, uint64_t settled);

/* No query of it is out any more: of a backend that counts them, and has no use for ordinals. */
void order_key_ended(struct order_key *key);

/* Has the key wait behind the others of its place, unless it does already. */
void order_key_wait(struct order_key *key);

/* The key that waits for longest, which does not from here on; NULL: none does. */
struct order_key *order_place_next(struct order_place *place);

/* Of a place that is lost: any key of it, whether it has queries out or waits. */
struct order_key *order_place_any(const struct order_place *place);

/* A byte was sent of a query that is lost with its place. */
static inline void order_key_lose(struct order_key *key) {
    key->lost = true;
}

/* PLACED -> IDLE, or CLOSED if it is lost. No query of it is parked; it may be freed. */
void order_key_leave(struct order_key *key);

#endif
