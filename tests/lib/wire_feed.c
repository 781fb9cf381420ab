/* SPDX-License-Identifier: MIT */
#include "lib/wire_feed.h"

#include "base/assert.h"

void wire_feed_open(struct wire_feed *feed, uint32_t request_count_max, size_t message_limit_bytes, size_t input_max) {
    *feed = (struct wire_feed){.last = WIRE_NEED_MORE};
    PRE(wire_session_init(&feed->session, request_count_max, message_limit_bytes));
    guard_open(&feed->guard, input_max);
    buf_init(&feed->pending, SIZE_MAX);
    buf_init(&feed->log, SIZE_MAX);
}

void wire_feed_close(struct wire_feed *feed) {
    wire_session_free(&feed->session);
    guard_close(&feed->guard);
    buf_free(&feed->pending);
    buf_free(&feed->log);
}

bool wire_expect(struct wire_session *session, uint8_t steps, int32_t column_count) {
    if (wire_session_is_full(session))
        return false;
    struct buf out;
    buf_init(&out, SIZE_MAX);
    wire_session_begin(session, &out);
    if (steps & WIRE_CLOSE)
        wire_session_put_close(session, "s");
    if (steps & WIRE_PARSE)
        wire_session_put_parse(session, "s", "select 1", 8);
    if (steps & WIRE_DESCRIBE)
        wire_session_put_describe(session, "s");
    if (steps & WIRE_BIND) {
        wire_session_put_bind(session, "s", 0);
        wire_session_put_results(session, NULL, 0);
    }
    if (steps & WIRE_FETCH)
        wire_session_put_execute(session);
    if (steps & WIRE_SYNC)
        wire_session_put_sync(session);
    PRE(wire_session_end(session, column_count));
    buf_free(&out);
    return true;
}

void wire_feed_restart(struct wire_feed *feed) {
    uint32_t request_count_max = feed->session.request_count_max;
    wire_session_free(&feed->session);
    PRE(wire_session_init(&feed->session, request_count_max, feed->session.message_limit_bytes));
    buf_reset(&feed->pending, SIZE_MAX);
    buf_reset(&feed->log, SIZE_MAX);
    feed->consumed = feed->wanted = 0;
    feed->last = WIRE_NEED_MORE;
}

struct span {
    const uint8_t *at;
    const uint8_t *end;
};

static void check_inside(struct span whole, const void *at, size_t size) {
    const uint8_t *from = at;
    PRE(from >= whole.at && from <= whole.end && size <= (size_t)(whole.end - from));
}

/* Absent texts are "" of our own, so an empty one may stand anywhere. */
static void check_text(struct span whole, const char *text) {
    if (*text)
        check_inside(whole, text, strlen(text) + 1);
}

static void check_error(struct span whole, const struct wire_error *error) {
    PRE(strlen(error->sqlstate) == 5);
    check_text(whole, error->severity);
    check_text(whole, error->message);
    check_text(whole, error->detail);
    check_text(whole, error->hint);
}

static void check_event(struct span whole, const struct wire_event *event) {
    switch (event->kind) {
    case WIRE_PARAMETERS:
        check_inside(whole, event->parameters.oids, (size_t)4 * event->parameters.count);
        break;
    case WIRE_COLUMNS:
        if (event->column_count != WIRE_NO_ROWS)
            check_inside(whole, event->columns.fields.at, cursor_left(&event->columns.fields));
        break;
    case WIRE_ROW:
        check_inside(whole, event->body, event->size);
        break;
    case WIRE_COMPLETE:
        check_text(whole, event->tag);
        PRE(strlen(event->tag) == event->tag_length);
        break;
    case WIRE_ERROR:
    case WIRE_NOTICE:
    case WIRE_FATAL:
        check_error(whole, &event->error);
        break;
    case WIRE_PARAMETER_STATUS:
    case WIRE_NOTIFICATION:
        check_text(whole, event->name);
        check_text(whole, event->value);
        break;
    case WIRE_VIOLATION:
        PRE(*event->violation);
        break;
    default:
        break;
    }
}

/* Checks and logs a whole answer as the events that it stands for. */
static void feed_answer(struct wire_feed *feed, struct span whole, struct wire_event *event) {
    bool synced = event->kind == WIRE_READY;
    PRE(synced || event->kind == WIRE_COMPLETE);
    for (int kind = 0; kind < (synced ? 3 : 2); kind++) {
        event->kind = (enum wire_event_kind[]){WIRE_ROW, WIRE_COMPLETE, WIRE_READY}[kind];
        check_event(whole, event);
        wire_event_print(&feed->log, event);
    }
    feed->answer_count++;
}

static size_t feed_inserted(struct wire_feed *feed, const struct span *left) {
    uint64_t request;
    size_t used = wire_session_take_inserted(&feed->session, left->at, (size_t)(left->end - left->at), &request);
    if (!used)
        return 0;
    struct wire_event event = {.kind = WIRE_COMPLETE, .request = request, .tag = "INSERT 0 1", .tag_length = 10};
    wire_event_print(&feed->log, &event);
    feed->answer_count++;
    return used;
}

static void feed_answers(struct wire_feed *feed, struct span *left) {
    struct wire_event event;
    for (;;) {
        memset(&event, 0xa5, sizeof event);
        size_t used = wire_session_take_answer(&feed->session, left->at, (size_t)(left->end - left->at), &event);
        PRE(used <= (size_t)(left->end - left->at));
        if (used)
            feed_answer(feed, (struct span){left->at, left->at + used}, &event);
        else
            used = feed_inserted(feed, left);
        PRE(used <= (size_t)(left->end - left->at));
        if (!used)
            return;
        left->at += used;
        feed->consumed += used;
    }
}

void wire_feed_bytes(struct wire_feed *feed, const void *bytes, size_t size) {
    buf_put(&feed->pending, bytes, size);
    const uint8_t *at = guard_place(&feed->guard, buf_head(&feed->pending), buf_size(&feed->pending));
    struct span left = {at, at + buf_size(&feed->pending)};
    struct wire_event event;
    memset(&event, 0xa5, sizeof event); /* a field that is read but was not written shows */
    do {
        if (feed->takes_answers)
            feed_answers(feed, &left);
        size_t used = wire_session_next(&feed->session, left.at, (size_t)(left.end - left.at), &event);
        PRE(used <= (size_t)(left.end - left.at));
        PRE(used > 0 || event.kind == WIRE_NEED_MORE || event.kind == WIRE_VIOLATION);
        check_event((struct span){left.at, left.at + used}, &event);
        left.at += used;
        feed->consumed += used;
        if (event.kind != WIRE_NEED_MORE && (event.kind != WIRE_VIOLATION || feed->last != WIRE_VIOLATION))
            wire_event_print(&feed->log, &event);
    } while (event.kind != WIRE_NEED_MORE && event.kind != WIRE_VIOLATION);
    size_t rest = (size_t)(left.end - left.at);
    PRE(event.kind == WIRE_VIOLATION || event.size == 0 || event.size > rest);
    feed->last = event.kind;
    feed->wanted = event.kind == WIRE_NEED_MORE ? event.size : 0;
    buf_consume(&feed->pending, buf_size(&feed->pending) - rest);
}

const char *wire_feed_log(struct wire_feed *feed) {
    buf_put_u8(&feed->log, 0);
    feed->log.end--;
    PRE(!buf_failed(&feed->log));
    return (const char *)buf_head(&feed->log);
}

static void print_value(struct buf *out, const uint8_t *value, size_t length) {
    buf_put_u8(out, '\'');
    for (size_t i = 0; i < length; i++)
        buf_printf(out, value[i] >= ' ' && value[i] < 0x7f ? "%c" : "\\x%02x", value[i]);
    buf_put_u8(out, '\'');
}

static void print_row(struct buf *out, const struct wire_event *event) {
    struct cursor body = cursor_over(event->body, event->size);
    buf_printf(out, "row %d:", (int)event->request);
    uint16_t count = cursor_u16(&body);
    for (uint16_t i = 0; i < count; i++) {
        int32_t length = cursor_i32(&body);
        buf_put_u8(out, ' ');
        if (length == -1)
            buf_put(out, "NULL", 4);
        else
            print_value(out, cursor_take(&body, (size_t)length), (size_t)length);
    }
    PRE(cursor_done(&body));
}

static void print_columns(struct buf *out, const struct wire_event *event) {
    buf_printf(out, "columns %d:", (int)event->request);
    if (event->column_count == WIRE_NO_ROWS) {
        buf_printf(out, " no rows");
        return;
    }
    struct wire_columns columns = event->columns;
    struct wire_column column;
    size_t names_bytes = 0;
    int32_t count = 0;
    for (; wire_column_next(&columns, &column); count++) {
        buf_printf(out, " %s/%u/%d", column.name, column.type_oid, column.type_modifier);
        names_bytes += strlen(column.name) + 1;
    }
    PRE(count == event->column_count && count == columns.count && names_bytes == columns.names_bytes);
}

static void print_error(struct buf *out, const struct wire_error *error) {
    buf_printf(out, " %s %s '%s' detail '%s' hint '%s' position %u", error->severity, error->sqlstate, error->message,
               error->detail, error->hint, error->position);
}

static void print_parameters(struct buf *out, const struct wire_event *event) {
    buf_printf(out, "parameters %d:", (int)event->request);
    for (uint16_t i = 0; i < event->parameters.count; i++)
        buf_printf(out, " %u", wire_parameter_oid(&event->parameters, i));
}

void wire_event_print(struct buf *out, const struct wire_event *event) {
    int request = (int)event->request;
    switch (event->kind) {
    case WIRE_NEED_MORE:
        buf_printf(out, "need more");
        break;
    case WIRE_PARAMETERS:
        print_parameters(out, event);
        break;
    case WIRE_COLUMNS:
        print_columns(out, event);
        break;
    case WIRE_ROW:
        print_row(out, event);
        break;
    case WIRE_COMPLETE:
        buf_printf(out, "complete %d: %s", request, event->tag);
        break;
    case WIRE_ERROR:
        buf_printf(out, "error %d%s:", request, event->bound ? " bound" : "");
        print_error(out, &event->error);
        break;
    case WIRE_READY:
        buf_printf(out, "ready %d..%d %c", (int)event->first, request, event->transaction);
        break;
    case WIRE_NOTICE:
        buf_printf(out, "notice %d:", request);
        print_error(out, &event->error);
        break;
    case WIRE_PARAMETER_STATUS:
        buf_printf(out, "status %d: %s=%s", request, event->name, event->value);
        break;
    case WIRE_NOTIFICATION:
        buf_printf(out, "notification %d: %s=%s", request, event->name, event->value);
        break;
    case WIRE_FATAL:
        buf_printf(out, "fatal %d:", request);
        print_error(out, &event->error);
        break;
    case WIRE_COPY:
        buf_printf(out, "copy %d", request);
        break;
    case WIRE_SKIPPED:
        buf_printf(out, "skipped %d%s: %c of %zu", request, event->bound ? " bound" : "", event->type, event->size);
        break;
    case WIRE_VIOLATION:
        buf_printf(out, "violation %d: %s", request, event->violation);
        break;
    }
    buf_put_u8(out, '\n');
}
