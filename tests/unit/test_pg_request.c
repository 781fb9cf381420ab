/* SPDX-License-Identifier: MIT */
/* A query as protocol messages: what is encoded for it by what is prepared, and what is left when it does not fit. */
#include "lib/pg_fixture.h"
#include "value/param.h"
#include "value/value.h"
#include "wire/encode.h"

TestSuite(pg_request, .init = pg_setup, .fini = pg_teardown);

#define ONE "select $1"
#define NONE "select 1"
#define FETCH "fetch 1 from c"

static struct pg_prepared *place_of(const struct query *query) {
    return pg_prepared_of(&bed.conn.prepared, query->statement);
}

static void refuse_plan(const char *sql) {
    struct quring_statement *statement = statement_find(bed.db.base.statements, sql, strlen(sql));
    pg_prepared_refuse(pg_prepared_of(&bed.conn.prepared, statement), statement);
    statement_drop(statement);
}

/* R is prepared, S was prepared and is stale, P is being prepared, - is neither. */
static void bring(const char *sql, char state) {
    bool param = strstr(sql, "$1") != NULL;
    if (state == '-')
        return;
    pg_conn_send(&bed.conn, pg_bed_take(&bed, sql));
    pg_conn_flush(&bed.conn);
    if (state != 'P')
        pg_bed_say(&bed, &bed.conn, param ? "1tT2DCZ" : "1 t:0 T2DCZ");
    pg_bed_settle(&bed);
    if (state == 'S')
        refuse_plan(sql);
}

/* ---- What is encoded ---- */

static const struct encoding {
    const char *what;
    const char *sql;
    char before;
    bool bound, sync;
    enum pg_request_kind kind;
    const char *messages;
} encodings[] = {
    {"nothing is prepared", ONE, '-', false, true, PG_REQUEST_NAMED,
     "Parse 1 'select $1', Describe 1, Bind 1 (0) -> , Execute, Sync"},
    {"without parameters", NONE, '-', false, true, PG_REQUEST_NAMED,
     "Parse 1 'select 1', Describe 1, Bind 1 () -> , Execute, Sync"},
    {"in a group that goes on", ONE, '-', false, false, PG_REQUEST_NAMED,
     "Parse 1 'select $1', Describe 1, Bind 1 (0) -> , Execute"},
    {"it is prepared", ONE, 'R', false, true, PG_REQUEST_BOUND, "Bind 1 (1) -> 1, Execute, Sync"},
    {"it is prepared, without parameters", NONE, 'R', false, true, PG_REQUEST_BOUND, "Bind 1 () -> 1, Execute, Sync"},
    {"it is prepared, in a group that goes on", ONE, 'R', false, false, PG_REQUEST_BOUND, "Bind 1 (1) -> 1, Execute"},
    {"it is prepared, on a bound connection", ONE, 'R', true, true, PG_REQUEST_BOUND, "Bind 1 (1) -> , Execute, Sync"},
    {"it is being prepared", ONE, 'P', false, true, PG_REQUEST_UNNAMED,
     "Parse - 'select $1', Describe -, Bind - (0) -> , Execute, Sync"},
    {"it is being prepared, in a group that goes on", ONE, 'P', false, false, PG_REQUEST_UNNAMED,
     "Parse - 'select $1', Describe -, Bind - (0) -> , Execute"},
    {"its plan is stale", ONE, 'S', false, true, PG_REQUEST_NAMED,
     "Close 1, Parse 2 'select $1', Describe 2, Bind 2 (0) -> , Execute, Sync"},
    {"its plan is stale, in a group that goes on", ONE, 'S', false, false, PG_REQUEST_NAMED,
     "Close 1, Parse 2 'select $1', Describe 2, Bind 2 (0) -> , Execute"},
    {"its plan does not hold for later uses", FETCH, '-', true, true, PG_REQUEST_UNNAMED,
     "Parse - 'fetch 1 from c', Describe -, Bind - () -> , Execute, Sync"},
};

static void assert_request(const struct pg_request *request, struct query *query, const struct encoding *row) {
    cr_assert_eq(request->kind, row->kind, "%s: kind %d", row->what, request->kind);
    cr_assert_eq(request->query, query);
    cr_assert_eq(request->statement, query->statement);
    cr_assert_eq(request->param_count, query->param_count);
    cr_assert(!request->ops && !request->description && !request->described && !request->plan_refused);
    cr_assert(request->outcome == PG_RUNNING && request->limit == PG_LIMIT_NONE);
}

Test(pg_request, pg_request_encode_writes_what_the_statement_needs) {
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
        const struct encoding *row = &encodings[i];
        pg_again(NULL);
        pg_bed_open_conn(&bed, row->bound);
        bring(row->sql, row->before);
        struct query *query = pg_bed_query(&bed, row->sql);
        uint64_t prepared = bed.db.base.counters.prepare_count, ordinal = bed.conn.session.next;
        uint64_t position = socket_position(&bed.conn.socket);
        struct pg_request *request = pg_conn_request(&bed.conn, ordinal);
        uint32_t references = query->statement->references;
        cr_assert(pg_request_encode(&bed.conn, query, request, row->sync));
        cr_assert_eq(query->statement->references, references + 1, "%s: held by its request", row->what);
        pg_bed_assert_text(pg_bed_encoded(&bed.conn), row->messages, row->what);
        assert_request(request, query, row);
        cr_assert_eq(request->first_byte, position, "%s", row->what);
        cr_assert_eq(bed.conn.session.next, ordinal + 1, "%s: the session awaits its replies", row->what);
        cr_assert_eq(bed.db.base.counters.prepare_count, prepared + (row->kind == PG_REQUEST_NAMED), "%s", row->what);
        if (row->kind == PG_REQUEST_NAMED)
            cr_assert(place_of(query)->state == PG_PREPARED_PENDING && place_of(query)->name == request->name);
        request->query = NULL; /* it was never submitted */
    }
}

Test(pg_request, pg_request_encode_gives_a_bound_one_its_columns) {
    pg_bed_open_conn(&bed, false);
    bring(ONE, 'R');
    struct query *query = pg_bed_query(&bed, ONE), *fresh = pg_bed_query(&bed, NONE);
    cr_assert(pg_request_encode(&bed.conn, query, pg_conn_request(&bed.conn, bed.conn.session.next), true));
    cr_assert(query->result.has_columns && query->result.format == RESULT_BINARY);
    cr_assert(pg_request_encode(&bed.conn, fresh, pg_conn_request(&bed.conn, bed.conn.session.next), true));
    cr_assert_not(fresh->result.has_columns, "those of a new statement come with its replies");
    pg_conn_request(&bed.conn, bed.conn.session.next - 1)->query = NULL;
    pg_conn_request(&bed.conn, bed.conn.session.next - 2)->query = NULL;
}

static void encode_next(struct query *query) {
    struct pg_request *request = pg_conn_request(&bed.conn, bed.conn.session.next);
    cr_assert(pg_request_encode(&bed.conn, query, request, true));
    request->query = NULL; /* it was never submitted */
}

/* The template was made when the statement was described. The bytes are the same without it. */
Test(pg_request, pg_request_encode_copies_the_template_at_later_uses) {
    static const quring_param values[] = {{.type = QURING_INT4, .value.integer = 8},
                                          {.type = QURING_NULL},
                                          {.type = QURING_INT8, .value.integer = INT64_MAX}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        pg_again(NULL);
        pg_bed_open_conn(&bed, false);
        bring(ONE, 'R');
        struct query *query = pg_bed_query(&bed, ONE);
        struct pg_prepared *place = place_of(query);
        struct wire_template *template = place->bind;
        query->params = value_copy_params(&query->store, &values[i], 1);
        cr_assert_not_null(template);
        struct buf *out = pg_conn_out(&bed.conn);
        encode_next(query);
        size_t size = buf_size(out);
        cr_assert_eq(place->bind, template, "it stays for the next use");
        place->bind = NULL;
        encode_next(query);
        place->bind = template;
        cr_assert_eq(buf_size(out), 2 * size, "row %zu", i);
        cr_assert_eq(memcmp(buf_head(out), buf_head(out) + size, size), 0, "row %zu", i);
        template->execute[1] ^= 1; /* the count of result formats, so that a copy shows */
        encode_next(query);
        cr_assert_neq(memcmp(buf_head(out), buf_head(out) + 2 * size, size), 0, "it is the template that is used");
    }
}

Test(pg_request, pg_request_encode_without_the_template_where_counts_differ) {
    pg_bed_open_conn(&bed, false);
    bring(ONE, 'R');
    struct query *query = pg_bed_query(&bed, ONE);
    query->param_count = 0;
    encode_next(query);
    pg_bed_assert_text(pg_bed_encoded(&bed.conn), "Bind 1 () -> 1, Execute, Sync", "the server says what is wrong");
}

Test(pg_request, pg_request_encode_prepares_nothing_where_names_mean_nothing) {
    pg_bed_open_conn(&bed, false);
    bed.conn.prepared.unnamed = true;
    bring(ONE, 'R');
    pg_bed_assert_text(pg_bed_got(&bed, &bed.conn), "Parse - 'select $1', Describe -, Bind - (0) -> , Execute, Sync",
                       "the first");
    bring(ONE, 'R');
    pg_bed_assert_text(pg_bed_got(&bed, &bed.conn), "Parse - 'select $1', Describe -, Bind - (0) -> , Execute, Sync",
                       "the second");
}

/* A text has an effect where those that come after it are sent, and there alone. */
Test(pg_request, pg_request_encode_takes_effects_on_a_bound_connection_alone) {
    for (int bound = 0; bound < 2; bound++) {
        pg_again(NULL);
        pg_bed_open_conn(&bed, bound);
        uint32_t epoch = bed.conn.prepared.plan_epoch;
        struct pg_request *request = pg_conn_request(&bed.conn, bed.conn.session.next);
        cr_assert(pg_request_encode(&bed.conn, pg_bed_query(&bed, "set a = 1"), request, true));
        cr_assert_eq(bed.conn.prepared.plan_epoch, epoch + (uint32_t)bound);
        request->query = NULL;
    }
}

/* ---- Without room ---- */

/* For each size of the buffer that is too small for it. */
static void encode_in_each_room(const struct encoding *row, struct query *query) {
    struct buf *out = pg_conn_out(&bed.conn);
    const struct pg_prepared *place = place_of(query);
    struct pg_prepared before = place ? *place : (struct pg_prepared){0};
    uint64_t ordinal = bed.conn.session.next, named = bed.conn.prepared.name_count;
    uint32_t references = query->statement->references, epoch = bed.conn.prepared.plan_epoch;
    struct pg_request request;
    size_t room = 0;
    for (buf_free(out), out->limit = room; !pg_request_encode(&bed.conn, query, &request, row->sync);
         buf_free(out), out->limit = ++room) {
        cr_assert(buf_size(out) == 0 && !buf_failed(out), "%s: %zu bytes are left", row->what, buf_size(out));
        cr_assert_eq(bed.conn.session.next, ordinal, "%s", row->what);
        cr_assert_eq(bed.conn.prepared.name_count, named, "%s", row->what);
        cr_assert_eq(bed.conn.prepared.plan_epoch, epoch, "%s", row->what);
        cr_assert_eq(query->statement->references, references, "%s", row->what);
        cr_assert(!place || memcmp(&before, place, sizeof before) == 0, "%s", row->what);
        cr_assert_lt(room, 1000);
    }
    cr_assert_leq(room, buf_size(out) + 64, "%s: it fits where there is room for it", row->what);
    pg_bed_assert_text(pg_bed_encoded(&bed.conn), row->messages, row->what);
    cr_assert_eq(bed.conn.session.next, ordinal + 1, "%s", row->what);
    *pg_conn_request(&bed.conn, ordinal) = request;
    pg_conn_request(&bed.conn, ordinal)->query = NULL;
}

Test(pg_request, pg_request_encode_is_undone_as_a_whole_where_it_does_not_fit) {
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
        const struct encoding *row = &encodings[i];
        pg_again(NULL);
        pg_bed_open_conn(&bed, row->bound);
        bring(row->sql, row->before);
        encode_in_each_room(row, pg_bed_query(&bed, row->sql));
    }
}

/* What was encoded before it stays. */
Test(pg_request, pg_request_encode_leaves_its_neighbours_when_it_does_not_fit) {
    pg_bed_open_conn(&bed, false);
    pg_conn_send(&bed.conn, pg_bed_take(&bed, NONE));
    struct buf *out = pg_conn_out(&bed.conn);
    static const char large[4000] = "";
    struct query *query = pg_bed_query(&bed, ONE);
    const quring_param param = quring_bytes(large, sizeof large);
    query->params = value_copy_params(&query->store, &param, 1);
    size_t limit = out->limit;
    out->limit = buf_size(out) + sizeof large;
    struct pg_request request;
    cr_assert_not(pg_request_encode(&bed.conn, query, &request, true));
    out->limit = limit;
    pg_bed_assert_text(pg_bed_encoded(&bed.conn), encodings[1].messages, "the first one");
    cr_assert_not(buf_failed(out));
}

/* ---- Settled ---- */

Test(pg_request, pg_request_settle_tells_what_becomes_of_its_statement) {
    static const struct {
        const char *what;
        char before;
        bool described, refused;
        enum pg_prepared_state state;
        bool stale, template;
    } rows[] = {
        {"new, and described", '-', true, false, PG_PREPARED_READY, false, true},
        {"new, and failed", '-', false, false, PG_PREPARED_ABSENT, true, false},
        {"new, described, and stale by its Bind", '-', true, true, PG_PREPARED_READY, true, true},
        {"known, and its plan is refused", 'R', false, true, PG_PREPARED_READY, true, true},
        {"known, and all is well", 'R', false, false, PG_PREPARED_READY, false, true},
        {"in the place of a stale one, and described", 'S', true, false, PG_PREPARED_READY, false, true},
        {"in the place of a stale one, and failed", 'S', false, false, PG_PREPARED_READY, true, false},
        {"without a name, and refused", 'P', true, true, PG_PREPARED_PENDING, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_again(NULL);
        pg_bed_open_conn(&bed, false);
        bring(ONE, rows[i].before);
        struct query *query = pg_bed_query(&bed, ONE);
        struct pg_request *request = pg_conn_request(&bed.conn, bed.conn.session.next);
        cr_assert(pg_request_encode(&bed.conn, query, request, true));
        request->query = NULL;
        request->described = rows[i].described;
        request->plan_refused = rows[i].refused;
        request->description = rows[i].described ? pg_description_new(&(struct wire_parameters){0}) : NULL;
        pg_request_settle(&bed.conn, request);
        cr_assert_eq(place_of(query)->state, rows[i].state, "%s", rows[i].what);
        cr_assert_eq(place_of(query)->serial, rows[i].stale ? 0 : query->statement->serial, "%s", rows[i].what);
        cr_assert_eq(place_of(query)->bind != NULL, rows[i].template, "%s", rows[i].what);
        pg_request_drop(request);
        cr_assert(!request->description && !request->statement, "nothing is held any more");
    }
}
