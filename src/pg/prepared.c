/* SPDX-License-Identifier: MIT */
#include "pg/prepared.h"

#include "wire/encode.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES_MIN = 4 };

static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

/* The edges of the diagram in prepared.h, but for the end of the connection. */
static void prepared_move(struct pg_prepared *place, enum pg_prepared_state to) {
    static const uint8_t next[] = {
        [PG_PREPARED_ABSENT] = 1 << PG_PREPARED_PENDING,
        [PG_PREPARED_PENDING] = 1 << PG_PREPARED_READY | 1 << PG_PREPARED_ABSENT,
        [PG_PREPARED_READY] = 1 << PG_PREPARED_PENDING,
    };
    PRE(place->state <= PG_PREPARED_READY && (next[place->state] >> to & 1));
    place->state = (uint8_t)to;
}

void pg_prepared_init(struct pg_prepared_table *table, uint32_t place_count_max) {
    PRE(place_count_max);
    *table = (struct pg_prepared_table){.place_count_max = place_count_max};
}

void pg_prepared_free(struct pg_prepared_table *table) {
    free(table->places);
}

void pg_prepared_begin(struct pg_prepared_table *table, uint64_t nonce) {
    static const char prefix[] = "quring_";
    _Static_assert(sizeof prefix - 1 + 10 == PG_NAME_PREFIX_BYTES, "the length of the prefix");
    char *at = table->name + sizeof prefix - 1;
    memcpy(table->name, prefix, sizeof prefix - 1);
    for (int i = 0; i < 10; i++)
        *at++ = digits[nonce >> 5 * i & 31];
    table->name_count = 0;
}

/* Lets go of what a READY place holds. */
static void prepared_drop(struct pg_prepared *place) {
    PRE(place->state == PG_PREPARED_READY);
    pg_description_drop(place->description);
    free(place->bind);
    place->bind = NULL;
}

void pg_prepared_end(struct pg_prepared_table *table) {
    for (uint32_t i = 0; i < table->place_count; i++) {
        if (table->places[i].state == PG_PREPARED_ABSENT)
            continue; /* a write would make an untouched page of the table resident */
        if (table->places[i].state == PG_PREPARED_READY)
            prepared_drop(&table->places[i]);
        table->places[i] = (struct pg_prepared){.state = PG_PREPARED_ABSENT};
    }
}

const char *pg_prepared_name(struct pg_prepared_table *table, uint64_t number) {
    char *at = table->name + PG_NAME_PREFIX_BYTES;
    int shift = number ? (63 - __builtin_clzll(number)) & ~3 : 0;
    for (; shift >= 0; shift -= 4)
        *at++ = digits[number >> shift & 15];
    *at = 0;
    return table->name;
}

/* Most connections of a large pool see few statements, and an idle one none, so the table grows with their indexes. */
static __attribute__((noinline)) struct pg_prepared *prepared_grow(struct pg_prepared_table *table, uint32_t index) {
    PRE(index < table->place_count_max);
    uint32_t count = table->place_count ? table->place_count : PLACES_MIN;
    while (count <= index)
        count *= 2;
    struct pg_prepared *places = realloc(table->places, count * sizeof *places);
    if (!places)
        return NULL;
    for (uint32_t i = table->place_count; i < count; i++)
        places[i] = (struct pg_prepared){.state = PG_PREPARED_ABSENT};
    table->places = places;
    table->place_count = count;
    return &places[index];
}

struct pg_prepared *pg_prepared_of(struct pg_prepared_table *table, const struct quring_statement *statement) {
    bool kept = statement->index != STATEMENT_UNCACHED && statement->traits.reusable && !table->unnamed;
    if (!kept)
        return NULL;
    if (base_unlikely(statement->index >= table->place_count))
        return prepared_grow(table, statement->index);
    return &table->places[statement->index];
}

/*
 * On a bound connection a plan from before a SET, an ALTER and their like is not used, because its parse may have depended
 * on what they changed: the schema of a name, the time zone of a constant. A statement that the caller submits by handle is
 * an exception, as PREPARE is in PostgreSQL, as long as the server has it.
 */
static bool prepared_is_of_current_epoch(const struct pg_prepared_table *table, const struct pg_prepared *place,
                                         const struct query *query) {
    if (base_likely(place->plan_epoch == table->plan_epoch))
        return true;
    return query->by_handle && (int32_t)(place->plan_epoch - table->forgotten_epoch) >= 0;
}

/* A query that runs again because its plan was stale is parsed anew, also if another query has made a new plan meanwhile. */
bool pg_prepared_is_usable(const struct pg_prepared_table *table, const struct pg_prepared *place,
                           const struct query *query) {
    return place->state == PG_PREPARED_READY && place->serial == query->statement->serial && !query->retried &&
           prepared_is_of_current_epoch(table, place, query);
}

uint64_t pg_prepared_claim(struct pg_prepared_table *table, struct pg_prepared *place,
                           const struct quring_statement *statement) {
    uint64_t replaces = 0;
    if (place->state == PG_PREPARED_READY) {
        replaces = place->name;
        prepared_drop(place);
    }
    prepared_move(place, PG_PREPARED_PENDING);
    place->serial = statement->serial;
    place->replaces = replaces;
    place->name = ++table->name_count;
    place->plan_epoch = table->plan_epoch;
    return place->name;
}

/*
 * The statement keeps its newest description, so that connections whose servers agree share one. NULL: it is too large to be
 * kept.
 */
static struct pg_description *prepared_share_description(struct quring_statement *statement,
                                                         struct pg_description *description, uint64_t *kept_bytes) {
    struct pg_description *known = statement->backend;
    if (known && pg_description_equal(known, description))
        return pg_description_hold(known);
    pg_description_drop(known);
    statement->backend = NULL;
    if (!pg_description_keep(description, kept_bytes))
        return NULL;
    statement->backend = pg_description_hold(description);
    return pg_description_hold(description);
}

/*
 * A statement that was not described is stale, since results could not be read. So is one that was to be closed by a request
 * that failed: the server may have skipped the Close.
 */
void pg_prepared_settle(struct pg_prepared *place, struct quring_statement *statement,
                        struct pg_description *description, uint64_t *kept_bytes) {
    PRE(place->state == PG_PREPARED_PENDING);
    uint64_t replaced = place->replaces;
    prepared_move(place, description || replaced ? PG_PREPARED_READY : PG_PREPARED_ABSENT);
    place->description = description ? prepared_share_description(statement, description, kept_bytes) : NULL;
    if (!place->description)
        place->serial = 0;
    if (!description)
        place->name = replaced;
}

void pg_prepared_make_bind(struct pg_prepared_table *table, struct pg_prepared *place, bool text_only) {
    PRE(place->state == PG_PREPARED_READY && place->description && !place->bind);
    const struct pg_description *description = place->description;
    struct wire_template made;
    if (!wire_template_make(&made, pg_prepared_name(table, place->name), description->param_count,
                            text_only ? NULL : description->formats, text_only ? 0 : description->format_count))
        return;
    place->bind = malloc(sizeof made);
    if (place->bind)
        *place->bind = made;
}

void pg_prepared_refuse(struct pg_prepared *place, const struct quring_statement *statement) {
    if (place->state == PG_PREPARED_READY && place->serial == statement->serial)
        place->serial = 0;
}

void pg_prepared_outdate(struct pg_prepared_table *table) {
    table->plan_epoch++;
    table->changed = true;
}

/*
 * The end of a transaction takes back, or publishes, what was changed inside it, so plans made there are outdated if
 * anything was. The beginning is not tracked, because COMMIT AND CHAIN begins one as well and BEGIN may be a mere warning:
 * changes from before count too, until the first end.
 */
void pg_prepared_take_effect(struct pg_prepared_table *table, enum statement_effect effect) {
    switch (effect) {
    case EFFECT_NONE:
        break;
    case EFFECT_CHANGES:
    case EFFECT_FORGETS:
        pg_prepared_outdate(table);
        if (effect == EFFECT_FORGETS)
            table->forgotten_epoch = table->plan_epoch;
        break;
    case EFFECT_COMMITS:
    case EFFECT_ENDS:
        table->plan_epoch += table->changed;
        table->changed = false;
        break;
    case EFFECT_GOES_BACK:
        table->plan_epoch += table->changed;
        break;
    }
}
