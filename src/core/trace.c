/* SPDX-License-Identifier: MIT */
#include "core/trace.h"

#include "base/assert.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { KNOWN_COUNT = 64, KNOWN_BYTES_MAX = 4096 };

struct trace_text {
    struct trace_text *next; /* of those that the program was given */
    size_t length;
    uint32_t references;
    bool given;
    bool cut;
    char bytes[]; /* NUL-terminated */
};

/* The trace's own part of a query. A lane that has the query in its hands writes the times. */
struct trace_query {
    const struct quring_db *db;
    struct trace_text *sql; /* held, from submitted until done */
    uint64_t submitted_ns, sent_ns, first_row_ns;
    uint64_t undone_sent_ns, undone_ns; /* of a run on a lane that was undone */
    uint32_t connection;
    bool sent_told, row_told; /* there are events for these times */
};

struct trace_event {
    quring_event view;
    struct trace_text *sql, *message; /* held */
};

struct trace {
    struct trace_clock clock;
    struct trace_event *events; /* a ring */
    uint32_t capacity, first, count;
    uint64_t dropped_count;
    size_t text_bytes;
    struct trace_query *queries[TRACE_BLOCKS_MAX]; /* see trace_number() */
    uint32_t query_counts[TRACE_BLOCKS_MAX];
    struct trace_text *given;              /* held for the program */
    struct trace_text *known[KNOWN_COUNT]; /* held, by the hash of a statement's text */
};

/* ---- Texts ---- */

static struct trace_text *trace_text_new(struct trace *trace, const char *bytes, size_t length, size_t most) {
    size_t size = length < most ? length : utf8_whole(bytes, most);
    if (size > TRACE_TEXT_BYTES - trace->text_bytes)
        return NULL;
    struct trace_text *text = malloc(sizeof *text + size + 1);
    if (!text)
        return NULL;
    *text = (struct trace_text){.length = size, .references = 1, .cut = size < length};
    if (size)
        memcpy(text->bytes, bytes, size);
    text->bytes[size] = 0;
    utf8_mend(text->bytes, size);
    trace->text_bytes += size;
    return text;
}

static struct trace_text *trace_text_hold(struct trace_text *text) {
    if (text)
        text->references++;
    return text;
}

static void trace_text_drop(struct trace *trace, struct trace_text *text) {
    if (!text || --text->references)
        return;
    PRE(trace->text_bytes >= text->length);
    trace->text_bytes -= text->length;
    free(text);
}

/* One reference serves all events that were given with it. */
static void trace_text_give(struct trace *trace, struct trace_text *text) {
    if (!text)
        return;
    if (text->given) {
        trace_text_drop(trace, text);
        return;
    }
    text->given = true;
    text->next = trace->given;
    trace->given = text;
}

void trace_take_back(struct trace *trace) {
    while (trace->given) {
        struct trace_text *text = trace->given;
        trace->given = text->next;
        text->given = false;
        trace_text_drop(trace, text);
    }
}

/* Programs send few texts many times: one that was copied lately is found by its statement's hash. */
static struct trace_text *trace_text_of(struct trace *trace, const struct quring_statement *statement) {
    struct trace_text **known = &trace->known[statement->hash % KNOWN_COUNT];
    if (statement->length > KNOWN_BYTES_MAX)
        return trace_text_new(trace, statement->sql, statement->length, TRACE_SQL_BYTES_MAX);
    if (*known && (*known)->length == statement->length &&
        memcmp((*known)->bytes, statement->sql, statement->length) == 0)
        return trace_text_hold(*known);
    struct trace_text *text = trace_text_new(trace, statement->sql, statement->length, TRACE_SQL_BYTES_MAX);
    trace_text_drop(trace, *known);
    *known = trace_text_hold(text);
    return text;
}

/* ---- The ring ---- */

struct trace *trace_new(uint32_t event_count, uint32_t query_count, struct trace_clock clock) {
    PRE(event_count && clock.now_ns);
    struct trace *trace = calloc(1, sizeof *trace);
    if (!trace)
        return NULL;
    trace->clock = clock;
    trace->capacity = event_count;
    trace->events = calloc(event_count, sizeof *trace->events);
    if (trace->events && trace_add_block(trace, 0, query_count))
        return trace;
    trace_free(trace);
    return NULL;
}

bool trace_add_block(struct trace *trace, uint32_t block, uint32_t query_count) {
    PRE(block < TRACE_BLOCKS_MAX && !trace->queries[block] && query_count <= 1u << TRACE_BLOCK_BITS);
    trace->queries[block] = calloc(query_count, sizeof *trace->queries[block]);
    trace->query_counts[block] = trace->queries[block] ? query_count : 0;
    return trace->queries[block] != NULL;
}

static void trace_drop_oldest(struct trace *trace) {
    struct trace_event *event = &trace->events[trace->first];
    trace_text_drop(trace, event->sql);
    trace_text_drop(trace, event->message);
    trace->first = (trace->first + 1) % trace->capacity;
    trace->count--;
}

void trace_drop_block(struct trace *trace, uint32_t block) {
    PRE(block < TRACE_BLOCKS_MAX);
    for (uint32_t i = 0; i < trace->query_counts[block]; i++)
        trace_text_drop(trace, trace->queries[block][i].sql);
    free(trace->queries[block]);
    trace->queries[block] = NULL;
    trace->query_counts[block] = 0;
}

void trace_free(struct trace *trace) {
    if (!trace)
        return;
    while (trace->count)
        trace_drop_oldest(trace);
    trace_take_back(trace);
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        trace_text_drop(trace, trace->known[i]);
    for (uint32_t block = 0; block < TRACE_BLOCKS_MAX; block++)
        trace_drop_block(trace, block);
    PRE(trace->text_bytes == 0);
    free(trace->events);
    free(trace);
}

uint32_t trace_take(struct trace *trace, quring_event *events, uint32_t capacity) {
    PRE(events || !capacity);
    uint32_t count = 0;
    for (; count < capacity && trace->count; count++) {
        struct trace_event *event = &trace->events[trace->first];
        events[count] = event->view;
        trace_text_give(trace, event->sql);
        trace_text_give(trace, event->message);
        trace->first = (trace->first + 1) % trace->capacity;
        trace->count--;
    }
    return count;
}

uint64_t trace_dropped_count(const struct trace *trace) {
    return trace ? trace->dropped_count : 0;
}

uint64_t trace_now_ns(const struct trace *trace) {
    return trace->clock.now_ns(trace->clock.context);
}

static struct trace_event *trace_add(struct trace *trace, quring_event_kind kind, uint64_t at_ns) {
    if (trace->count == trace->capacity) {
        trace_drop_oldest(trace);
        trace->dropped_count++;
    }
    struct trace_event *event = &trace->events[(trace->first + trace->count++) % trace->capacity];
    *event = (struct trace_event){.view = {.kind = kind, .at_ns = at_ns, .sql = "", .message = ""}};
    return event;
}

/* `sqlstate` and `message` may be NULL, or "" for none. */
static void trace_add_reason(struct trace *trace, struct trace_event *event, const char *sqlstate,
                             const char *message) {
    if (sqlstate)
        memcpy(event->view.sqlstate, sqlstate, strnlen(sqlstate, sizeof event->view.sqlstate - 1));
    if (message && *message)
        event->message = trace_text_new(trace, message, strlen(message), TRACE_MESSAGE_BYTES_MAX);
    if (event->message)
        event->view.message = event->message->bytes;
}

/* ---- Queries ---- */

static struct trace_query *trace_query_of(struct trace *trace, const struct query *query) {
    uint32_t number = query->traced - 1;
    uint32_t block = number >> TRACE_BLOCK_BITS, index = number & ((1u << TRACE_BLOCK_BITS) - 1);
    PRE(trace && query->traced && block < TRACE_BLOCKS_MAX && index < trace->query_counts[block]);
    return &trace->queries[block][index];
}

/* With what the reactor knows of the query, whoever has it in hand. */
static struct trace_event *trace_add_submitted(struct trace *trace, struct query *query, quring_event_kind kind,
                                               uint64_t at_ns) {
    const struct trace_query *own = trace_query_of(trace, query);
    struct trace_event *event = trace_add(trace, kind, at_ns);
    quring_event *view = &event->view;
    view->id = query->id;
    view->user_data = query->user_data;
    view->db = own->db;
    view->submitted_at_ns = own->submitted_ns;
    event->sql = trace_text_hold(own->sql);
    if (event->sql) {
        view->sql = event->sql->bytes;
        view->sql_bytes = event->sql->length;
    }
    view->sql_is_cut = !event->sql || event->sql->cut;
    return event;
}

static struct trace_event *trace_add_query(struct trace *trace, struct query *query, quring_event_kind kind,
                                           uint64_t at_ns) {
    const struct trace_query *own = trace_query_of(trace, query);
    struct trace_event *event = trace_add_submitted(trace, query, kind, at_ns);
    event->view.connection = own->connection;
    event->view.sent_at_ns = own->sent_ns;
    event->view.first_row_at_ns = own->first_row_ns;
    return event;
}

void trace_submitted(struct trace *trace, struct query *query, const struct quring_db *db) {
    struct trace_query *own = trace_query_of(trace, query);
    PRE(!own->sql);
    *own = (struct trace_query){
        .db = db, .sql = trace_text_of(trace, query->statement), .submitted_ns = trace_now_ns(trace)};
    trace_add_query(trace, query, QURING_EVENT_SUBMITTED, own->submitted_ns);
}

/* The event's times are those up to its own. */
static void trace_tell_sent(struct trace *trace, struct query *query) {
    struct trace_query *own = trace_query_of(trace, query);
    own->sent_told = true;
    trace_add_query(trace, query, QURING_EVENT_SENT, own->sent_ns)->view.first_row_at_ns = 0;
}

static void trace_tell_row(struct trace *trace, struct query *query) {
    struct trace_query *own = trace_query_of(trace, query);
    own->row_told = true;
    trace_add_query(trace, query, QURING_EVENT_FIRST_ROW, own->first_row_ns);
}

void trace_note_sent(struct trace *trace, struct query *query, uint32_t connection) {
    struct trace_query *own = trace_query_of(trace, query);
    own->connection = connection;
    own->sent_ns = trace_now_ns(trace);
}

void trace_note_row(struct trace *trace, struct query *query) {
    trace_query_of(trace, query)->first_row_ns = trace_now_ns(trace);
}

void trace_note_undone(struct trace *trace, struct query *query) {
    struct trace_query *own = trace_query_of(trace, query);
    own->undone_sent_ns = own->sent_ns;
    own->undone_ns = trace_now_ns(trace);
    own->sent_ns = own->first_row_ns = 0;
}

void trace_sent(struct trace *trace, struct query *query, uint32_t connection) {
    trace_note_sent(trace, query, connection);
    trace_tell_sent(trace, query);
}

void trace_row(struct trace *trace, struct query *query) {
    if (trace_query_of(trace, query)->row_told)
        return;
    trace_note_row(trace, query);
    trace_tell_row(trace, query);
}

void trace_retried(struct trace *trace, struct query *query) {
    struct trace_query *own = trace_query_of(trace, query);
    struct trace_event *event = trace_add_query(trace, query, QURING_EVENT_RETRIED, trace_now_ns(trace));
    if (query->error.set)
        trace_add_reason(trace, event, query->error.view.sqlstate, query->error.view.message);
    own->sent_ns = own->first_row_ns = 0;
    own->connection = 0;
    own->sent_told = own->row_told = false;
}

/* A run on a lane whose effects were undone: it was sent, and is run again at once. */
static void trace_tell_undone(struct trace *trace, struct query *query) {
    struct trace_query *own = trace_query_of(trace, query);
    const struct trace_query again = *own;
    own->sent_ns = own->undone_sent_ns;
    own->first_row_ns = 0;
    if (own->sent_ns)
        trace_tell_sent(trace, query);
    trace_add_query(trace, query, QURING_EVENT_RETRIED, own->undone_ns);
    *own = again;
}

static void trace_add_done(struct trace *trace, struct trace_event *event, const struct query *query) {
    event->view.status = (quring_status)query->status;
    event->view.row_count = query->result.row_count;
    if (query->status != QURING_OK)
        trace_add_reason(trace, event, query->error.view.sqlstate, query->error.view.message);
}

static void trace_drop_sql(struct trace *trace, struct trace_query *own) {
    trace_text_drop(trace, own->sql);
    own->sql = NULL;
}

void trace_done(struct trace *trace, struct query *query) {
    struct trace_query *own = trace_query_of(trace, query);
    if (own->undone_ns)
        trace_tell_undone(trace, query);
    if (own->sent_ns && !own->sent_told)
        trace_tell_sent(trace, query);
    if (own->first_row_ns && !own->row_told)
        trace_tell_row(trace, query);
    trace_add_done(trace, trace_add_query(trace, query, QURING_EVENT_DONE, trace_now_ns(trace)), query);
    trace_drop_sql(trace, own);
}

/* What the lane notes is its own until it hands the query back, and nobody asks for it then. */
void trace_detached(struct trace *trace, struct query *stand_in) {
    struct trace_query *own = trace_query_of(trace, stand_in);
    trace_add_done(trace, trace_add_submitted(trace, stand_in, QURING_EVENT_DONE, trace_now_ns(trace)), stand_in);
    trace_drop_sql(trace, own);
}

/* ---- Connections ---- */

static void trace_add_report(struct trace *trace, struct trace_event *event, const struct quring_db *db,
                             const struct trace_report *report) {
    event->view.db = db;
    event->view.connection = report->connection;
    event->view.wait_ns = report->wait_ns;
    trace_add_reason(trace, event, report->sqlstate, report->message);
}

void trace_connection(struct trace *trace, const struct quring_db *db, const struct trace_report *report) {
    PRE(report->connection);
    uint64_t at_ns = report->at_ns ? report->at_ns : trace_now_ns(trace);
    trace_add_report(trace, trace_add(trace, report->kind, at_ns), db, report);
}

void trace_notice(struct trace *trace, const struct quring_db *db, struct query *query,
                  const struct trace_report *report) {
    PRE(report->connection);
    uint64_t at_ns = trace_now_ns(trace);
    struct trace_event *event = query ? trace_add_query(trace, query, QURING_EVENT_NOTICE, at_ns)
                                      : trace_add(trace, QURING_EVENT_NOTICE, at_ns);
    trace_add_report(trace, event, db, report);
}
