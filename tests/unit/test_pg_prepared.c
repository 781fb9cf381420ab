/* SPDX-License-Identifier: MIT */
/* What is prepared on one connection: every edge of the diagram in prepared.h, its names, and what makes plans old. */
#include "pg/prepared.h"

#include "wire/encode.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 2 };

static struct pg_prepared_table table;
static struct statement_table *statements;
static struct quring_statement *statement, *other;
static struct pg_prepared *place;
static uint64_t kept_bytes;

static void drop_description(void *description) {
    pg_description_drop(description);
}

static void setup(void) {
    statements = statement_table_new(PLACES, 100, drop_description);
    statement = statement_find(statements, "select 1", 8);
    other = statement_find(statements, "select 2", 8);
    pg_prepared_init(&table, PLACES);
    pg_prepared_begin(&table, 0);
    place = pg_prepared_of(&table, statement);
    kept_bytes = 0;
}

static void teardown(void) {
    pg_prepared_end(&table);
    pg_prepared_free(&table);
    statement_drop(statement);
    statement_drop(other);
    statement_table_free(statements);
    cr_assert_eq(kept_bytes, 0, "descriptions are let go of with what they belong to");
}

TestSuite(pg_prepared, .init = setup, .fini = teardown);

/* ---- How a place comes into a state ---- */

static void parse(const struct quring_statement *what) {
    pg_prepared_claim(&table, place, what);
}

/* Descriptions of different sizes differ. `bytes` 0: it was not described. */
static void settle(struct quring_statement *what, size_t bytes) {
    struct pg_description *description = bytes ? pg_description_new(&(struct wire_parameters){0}) : NULL;
    if (description) {
        description->bytes = bytes;
        description->column_count = (int32_t)bytes;
    }
    pg_prepared_settle(place, what, description, &kept_bytes);
    pg_description_drop(description);
}

enum { DESCRIBED = 100, TOO_LARGE = PG_DESCRIPTION_BYTES + 1, NOT_DESCRIBED = 0 };

/* R a READY one, S a stale one, P a PENDING one that replaces none, Q a PENDING one that replaces a READY one. */
static void bring(char state) {
    if (state == 'A')
        return;
    parse(statement);
    if (state == 'P')
        return;
    settle(statement, state == 'S' ? TOO_LARGE : DESCRIBED);
    if (state == 'Q')
        parse(statement);
}

static void assert_place(enum pg_prepared_state state, uint64_t serial, uint64_t name, bool described,
                         const char *what) {
    cr_assert_eq(place->state, state, "%s: state %d", what, place->state);
    cr_assert_eq(place->serial, serial, "%s: serial %lu", what, (unsigned long)place->serial);
    cr_assert_eq(place->name, name, "%s: name %lu", what, (unsigned long)place->name);
    if (state == PG_PREPARED_READY)
        cr_assert_eq(place->description != NULL, described, "%s", what);
}

/* ---- Edges ---- */

Test(pg_prepared, pg_prepared_claim_makes_a_place_pending_under_a_new_name) {
    static const struct {
        char before;
        uint64_t name, replaces;
    } rows[] = {{'A', 1, 0}, {'R', 2, 1}, {'S', 2, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring(rows[i].before);
        uint64_t next = pg_prepared_next_name(&table);
        cr_assert_eq(pg_prepared_claim(&table, place, other), next);
        assert_place(PG_PREPARED_PENDING, other->serial, rows[i].name, false, (char[]){rows[i].before, 0});
        cr_assert_eq(place->replaces, rows[i].replaces, "%c", rows[i].before);
        pg_prepared_end(&table);
        pg_prepared_begin(&table, 0);
    }
}

Test(pg_prepared, pg_prepared_settle_takes_every_edge_out_of_pending) {
    static const struct {
        const char *what;
        char before;
        size_t bytes;
        enum pg_prepared_state state;
        bool stale, described;
        uint64_t name;
    } rows[] = {
        {"the first one was described", 'P', DESCRIBED, PG_PREPARED_READY, false, true, 1},
        {"one that replaces another was described", 'Q', DESCRIBED, PG_PREPARED_READY, false, true, 2},
        {"its description is too large to be kept", 'P', TOO_LARGE, PG_PREPARED_READY, true, false, 1},
        {"the same, of one that replaces another", 'Q', TOO_LARGE, PG_PREPARED_READY, true, false, 2},
        {"the first one failed", 'P', NOT_DESCRIBED, PG_PREPARED_ABSENT, true, false, 0},
        {"one that replaces another failed, whose Close may have been skipped", 'Q', NOT_DESCRIBED, PG_PREPARED_READY,
         true, false, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring(rows[i].before);
        settle(statement, rows[i].bytes);
        assert_place(rows[i].state, rows[i].stale ? 0 : statement->serial, rows[i].name, rows[i].described,
                     rows[i].what);
        pg_prepared_end(&table);
        assert_place(PG_PREPARED_ABSENT, 0, 0, false, "after the end");
        pg_prepared_begin(&table, 0);
    }
}

Test(pg_prepared, pg_prepared_refuse_makes_stale_what_is_ready_and_its_own) {
    static const struct {
        char before;
        bool others;
        bool stale;
    } rows[] = {{'R', false, true}, {'R', true, false}, {'P', false, false}, {'Q', false, false}, {'S', false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring(rows[i].before);
        pg_prepared_refuse(place, rows[i].others ? other : statement);
        cr_assert_eq(place->serial, rows[i].stale ? 0 : statement->serial, "%c", rows[i].before);
        pg_prepared_end(&table);
    }
}

Test(pg_prepared, pg_prepared_end_leaves_all_places_absent) {
    for (const char *state = "ARSPQ"; *state; state++) {
        bring(*state);
        pg_prepared_end(&table);
        assert_place(PG_PREPARED_ABSENT, 0, 0, false, (char[]){*state, 0});
    }
}

Test(pg_prepared, pg_prepared_settle_of_what_is_ready_is_a_broken_contract, .signal = SIGABRT) {
    bring('R');
    settle(statement, DESCRIBED);
}

Test(pg_prepared, pg_prepared_claim_of_what_is_pending_is_a_broken_contract, .signal = SIGABRT) {
    bring('P');
    parse(statement);
}

/* ---- Which statements have a place ---- */

Test(pg_prepared, pg_prepared_of_gives_a_place_to_what_may_be_kept) {
    cr_assert_neq(place, pg_prepared_of(&table, other));
    cr_assert_neq(place, NULL);
    struct quring_statement *uncached = statement_find(statements, "select 3", 8); /* PLACES are taken */
    cr_assert_eq(uncached->index, STATEMENT_UNCACHED);
    cr_assert_null(pg_prepared_of(&table, uncached));
    statement_drop(uncached);
    statement->traits.reusable = false;
    cr_assert_null(pg_prepared_of(&table, statement));
    statement->traits.reusable = true;
    table.unnamed = true;
    cr_assert_null(pg_prepared_of(&table, statement));
}

/* The table grows with the indexes of statements, and what stands in it moves along. */
Test(pg_prepared, pg_prepared_of_keeps_what_stands_there_while_it_grows) {
    enum { MANY = 100 };
    struct pg_prepared_table large;
    struct quring_statement made[MANY];
    pg_prepared_init(&large, MANY);
    pg_prepared_begin(&large, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        made[i] = *statement;
        made[i].index = i * 37 % MANY;
        made[i].serial = 1000 + i;
        cr_assert_eq(pg_prepared_claim(&large, pg_prepared_of(&large, &made[i]), &made[i]), i + 1);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        const struct pg_prepared *found = pg_prepared_of(&large, &made[i]);
        cr_assert(found->state == PG_PREPARED_PENDING && found->serial == 1000 + i && found->name == i + 1);
    }
    pg_prepared_end(&large);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(pg_prepared_of(&large, &made[i])->state, PG_PREPARED_ABSENT);
    pg_prepared_free(&large);
}

/* ---- Descriptions ---- */

Test(pg_prepared, pg_prepared_settle_shares_the_description_of_connections_that_agree) {
    struct pg_prepared first = {0}, second = {0}, *const places[] = {&first, &second};
    for (int i = 0; i < 2; i++) {
        place = places[i];
        bring('R');
    }
    cr_assert_eq(first.description, second.description);
    cr_assert_eq(first.description, statement->backend);
    cr_assert_eq(kept_bytes, DESCRIBED);
    struct pg_description *changed = pg_description_new(&(struct wire_parameters){0});
    changed->column_count = 3;
    pg_prepared_claim(&table, &second, statement);
    pg_prepared_settle(&second, statement, changed, &kept_bytes);
    cr_assert_neq(first.description, second.description);
    cr_assert_eq(second.description, changed, "the newest one is kept");
    cr_assert_eq(statement->backend, changed);
    cr_assert_eq(kept_bytes, DESCRIBED + changed->bytes, "both, while a connection uses the older one");
    pg_description_drop(first.description);
    pg_description_drop(second.description);
    pg_description_drop(changed);
}

Test(pg_prepared, pg_prepared_settle_keeps_no_more_descriptions_than_a_handle_may) {
    kept_bytes = PG_DESCRIPTION_KEPT_BYTES - DESCRIBED + 1;
    bring('R');
    cr_assert(place->state == PG_PREPARED_READY && place->serial == 0 && !place->description);
    kept_bytes = PG_DESCRIPTION_KEPT_BYTES - DESCRIBED;
    bring('R');
    cr_assert(place->serial == statement->serial && place->description);
    kept_bytes = DESCRIBED;
}

/* ---- The template for requests ---- */

enum { PARAMS = 2, FORMATS = 3, ROOM = 1000 };

/* The place becomes READY with a description of PARAMS parameters and FORMATS columns, of which one is text. */
static void settle_described(void) {
    static const uint8_t oids[4 * PARAMS] = {0};
    struct pg_description *description = pg_description_new(&(struct wire_parameters){PARAMS, oids});
    description->formats = malloc(FORMATS * sizeof *description->formats);
    memcpy(description->formats, (const uint16_t[FORMATS]){1, 0, 1}, FORMATS * sizeof *description->formats);
    description->format_count = FORMATS;
    parse(statement);
    pg_prepared_settle(place, statement, description, &kept_bytes);
    pg_description_drop(description);
}

struct values {
    const char *text[PARAMS]; /* NULL is NULL */
    uint16_t format[PARAMS];
};

static void put_values(struct wire_session *session, struct buf *out, const struct values *values) {
    for (uint16_t i = 0; i < PARAMS; i++) {
        size_t length = values->text[i] ? strlen(values->text[i]) : 0;
        buf_put_u32(out, values->text[i] ? (uint32_t)length : UINT32_MAX);
        buf_put(out, values->text[i], length);
        wire_session_put_format(session, i, values->format[i]);
    }
}

/* The request as the template of the place makes it, and as it is made without one. */
static void put_request(struct buf *out, const struct values *values, bool copied, bool text_only) {
    static const uint16_t formats[FORMATS] = {1, 0, 1};
    struct wire_session session;
    cr_assert(wire_session_init(&session, 1, ROOM));
    buf_init(out, ROOM);
    wire_session_begin(&session, out);
    if (copied) {
        wire_session_put_bind_copy(&session, place->bind);
        put_values(&session, out, values);
        wire_session_put_execute_copy(&session, place->bind, false);
    } else {
        wire_session_put_bind(&session, pg_prepared_name(&table, place->name), PARAMS);
        put_values(&session, out, values);
        wire_session_put_results(&session, formats, text_only ? 0 : FORMATS);
        wire_session_put_execute(&session);
    }
    cr_assert(wire_session_end(&session, FORMATS));
    wire_session_free(&session);
}

Test(pg_prepared, pg_prepared_make_bind_makes_requests_of_any_parameters) {
    static const struct values rows[] = {
        {{"1", "two"}, {0, 0}},   {{"", "a longer one, of 34 bytes in all"}, {0, 1}},
        {{NULL, NULL}, {0, 0}},   {{"\1\2\3\4", NULL}, {1, 0}},
        {{NULL, "last"}, {1, 1}}, {{"1", "two"}, {0, 0}},
    };
    for (int text_only = 0; text_only < 2; text_only++) {
        settle_described();
        pg_prepared_make_bind(&table, place, text_only);
        cr_assert(place->bind && place->bind->param_count == PARAMS);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct buf copied, whole;
            put_request(&copied, &rows[i], true, text_only);
            put_request(&whole, &rows[i], false, text_only);
            cr_assert_eq(buf_size(&copied), buf_size(&whole), "row %zu", i);
            cr_assert_eq(memcmp(buf_head(&copied), buf_head(&whole), buf_size(&whole)), 0, "row %zu", i);
            buf_free(&copied);
            buf_free(&whole);
        }
        pg_prepared_end(&table);
    }
}

Test(pg_prepared, pg_prepared_claim_and_end_drop_the_template) {
    settle_described();
    cr_assert_null(place->bind, "it is made when it is asked for");
    pg_prepared_make_bind(&table, place, false);
    pg_prepared_refuse(place, statement);
    cr_assert(place->bind, "a stale statement keeps it until its place is claimed");
    parse(statement);
    cr_assert_null(place->bind);
    settle(statement, NOT_DESCRIBED);
    cr_assert(place->state == PG_PREPARED_READY && !place->bind, "what comes back without a description has none");
    settle_described();
    pg_prepared_make_bind(&table, place, false);
    cr_assert(place->bind);
    pg_prepared_end(&table);
    cr_assert_null(place->bind);
}

Test(pg_prepared, pg_prepared_make_bind_makes_none_that_would_not_fit) {
    struct pg_description *description = pg_description_new(&(struct wire_parameters){0});
    description->param_count = WIRE_TEMPLATE_BIND_BYTES;
    parse(statement);
    pg_prepared_settle(place, statement, description, &kept_bytes);
    pg_description_drop(description);
    pg_prepared_make_bind(&table, place, false);
    cr_assert(place->state == PG_PREPARED_READY && !place->bind);
}

Test(pg_prepared, pg_prepared_make_bind_twice_is_a_broken_contract, .signal = SIGABRT) {
    settle_described();
    pg_prepared_make_bind(&table, place, false);
    pg_prepared_make_bind(&table, place, false);
}

/* ---- Names ---- */

Test(pg_prepared, pg_prepared_name_is_the_nonce_and_a_number) {
    static const struct {
        uint64_t nonce, number;
        const char *name;
    } rows[] = {{0, 0, "quring_00000000000"},
                {0, 1, "quring_00000000001"},
                {0, 255, "quring_0000000000ff"},
                {0, 256, "quring_0000000000100"},
                {31, 16, "quring_v00000000010"},
                {32, 1, "quring_01000000001"},
                {UINT64_MAX, UINT64_MAX, "quring_vvvvvvvvvvffffffffffffffff"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_prepared_begin(&table, rows[i].nonce);
        cr_assert_str_eq(pg_prepared_name(&table, rows[i].number), rows[i].name);
    }
}

Test(pg_prepared, pg_prepared_begin_counts_names_from_one) {
    bring('Q');
    cr_assert_eq(pg_prepared_next_name(&table), 3);
    pg_prepared_end(&table);
    pg_prepared_begin(&table, 7);
    cr_assert_eq(pg_prepared_next_name(&table), 1);
}

/* ---- Use ---- */

Test(pg_prepared, pg_prepared_is_usable_while_ready_of_its_text_and_epoch) {
    static const struct {
        const char *what;
        char state;
        bool others, retried, by_handle, outdated, forgotten;
        bool usable;
    } rows[] = {
        {"absent", 'A', false, false, false, false, false, false},
        {"ready", 'R', false, false, false, false, false, true},
        {"stale", 'S', false, false, false, false, false, false},
        {"pending", 'P', false, false, false, false, false, false},
        {"pending again", 'Q', false, false, false, false, false, false},
        {"of another text", 'R', true, false, false, false, false, false},
        {"run again, since a plan was stale", 'R', false, true, false, false, false, false},
        {"from before a SET", 'R', false, false, false, true, false, false},
        {"the same, prepared by hand", 'R', false, false, true, true, false, true},
        {"from before DISCARD ALL", 'R', false, false, false, false, true, false},
        {"the same, prepared by hand", 'R', false, false, true, false, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring(rows[i].state);
        if (rows[i].outdated)
            pg_prepared_outdate(&table);
        if (rows[i].forgotten)
            pg_prepared_take_effect(&table, EFFECT_FORGETS);
        struct query query = {.statement = rows[i].others ? other : statement,
                              .retried = rows[i].retried,
                              .by_handle = rows[i].by_handle};
        cr_assert_eq(pg_prepared_is_usable(&table, place, &query), rows[i].usable, "%s", rows[i].what);
        pg_prepared_end(&table);
    }
}

Test(pg_prepared, pg_prepared_is_usable_for_what_was_parsed_since_all_was_forgotten) {
    struct query query = {.statement = statement, .by_handle = true};
    pg_prepared_take_effect(&table, EFFECT_FORGETS);
    bring('R');
    pg_prepared_outdate(&table);
    cr_assert(pg_prepared_is_usable(&table, place, &query));
    table.forgotten_epoch = table.plan_epoch = UINT32_MAX; /* the count wraps */
    place->plan_epoch = UINT32_MAX;
    pg_prepared_outdate(&table);
    cr_assert_eq(table.plan_epoch, 0);
    cr_assert(pg_prepared_is_usable(&table, place, &query));
}

/* ---- Effects ---- */

Test(pg_prepared, pg_prepared_take_effect_outdates_what_was_changed) {
    static const struct {
        enum statement_effect effect;
        bool before; /* something was changed since the last transaction's end */
        bool outdates, after, forgets;
    } rows[] = {
        {EFFECT_NONE, false, false, false, false},      {EFFECT_NONE, true, false, true, false},
        {EFFECT_CHANGES, false, true, true, false},     {EFFECT_CHANGES, true, true, true, false},
        {EFFECT_FORGETS, false, true, true, true},      {EFFECT_FORGETS, true, true, true, true},
        {EFFECT_COMMITS, false, false, false, false},   {EFFECT_COMMITS, true, true, false, false},
        {EFFECT_ENDS, false, false, false, false},      {EFFECT_ENDS, true, true, false, false},
        {EFFECT_GOES_BACK, false, false, false, false}, {EFFECT_GOES_BACK, true, true, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        table.plan_epoch = 10;
        table.forgotten_epoch = 3;
        table.changed = rows[i].before;
        pg_prepared_take_effect(&table, rows[i].effect);
        cr_assert_eq(table.plan_epoch, rows[i].outdates ? 11 : 10, "row %zu", i);
        cr_assert_eq(table.changed, rows[i].after, "row %zu", i);
        cr_assert_eq(table.forgotten_epoch, rows[i].forgets ? 11 : 3, "row %zu", i);
    }
}
