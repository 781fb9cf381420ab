/* SPDX-License-Identifier: MIT */
/*
 * The messages that may come now. The session stands at the head: the oldest request whose replies have not all come, and
 * within it at a phase, which is what the next reply may be. A request has the phases of its steps, left to right:
 *
 *      step      CLOSE     PARSE     DESCRIBE                  BIND     FETCH          SYNC
 *      phase     CLOSE     PARSE     PARAMETERS     COLUMNS    BIND     ROWS           SYNC
 *      replies     3         1           t           T | n       2      D* (C | I)       Z
 *
 * and after its last one the next request begins; IDLE while there is none. These ways lead off that line:
 *
 *      any of these --E--> SKIP --Z--> the request after the next one with WIRE_SYNC, which may be encoded later
 *      any at all   --fatal E--> ENDED      ROWS --G H W--> ENDED      any at all --anything else--> VIOLATED
 *      any at all   --D, N, S, A over the limit--> PASSING --its last byte--> the phase before
 *      any of these --E over the limit-----------> PASSING --its last byte--> SKIP
 *
 * N, S and A may stand anywhere but at the end. A whole usual answer takes all of its steps at once:
 *
 *      BIND --2 D C (Z)--> the next request
 *
 * Invariants:
 *   - first <= head <= next; requests[head .. next) hold what was encoded, and none before head is looked at again
 *   - IDLE if and only if head == next, as long as the session has not ended and is not PASSING
 *   - in SKIP head is the request that failed, whose group's sync point is at head or after it
 *   - session_move() alone sets the phase, along `edges`
 * The order of checks is: header (frame.h), phase by the letter, then the whole body. So the answer to a message does
 * not depend on how its bytes were split, and a message that may not come is refused before its body is waited for.
 */
#include "wire/session.h"

#include "base/assert.h"
#include "wire/frame.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 4 }; /* of the ring of requests: a power of two */

enum phase { IDLE, CLOSE, PARSE, PARAMETERS, COLUMNS, BIND, ROWS, SYNC, SKIP, PASSING, ENDED, VIOLATED };

static const char *const waiting_for[] = {
    [IDLE] = "no request",
    [CLOSE] = "CloseComplete",
    [PARSE] = "ParseComplete",
    [PARAMETERS] = "ParameterDescription",
    [COLUMNS] = "RowDescription or NoData",
    [BIND] = "BindComplete",
    [ROWS] = "DataRow or CommandComplete",
    [SYNC] = "ReadyForQuery",
    [SKIP] = "ReadyForQuery after an error",
    [PASSING] = "the rest of a message over the limit",
    [ENDED] = "nothing",
    [VIOLATED] = "nothing",
};

#define IN(phase) (1u << (phase))
#define FIRST_OF_STEP_OR_IDLE (IN(CLOSE) | IN(PARSE) | IN(PARAMETERS) | IN(BIND) | IN(ROWS) | IN(SYNC) | IN(IDLE))
#define OFF_THE_LINE (IN(SKIP) | IN(PASSING) | IN(ENDED) | IN(VIOLATED))
#define ACCEPTING (FIRST_OF_STEP_OR_IDLE | IN(COLUMNS) | IN(SKIP))

/* The phases that session_move() may go to, from each. */
static const uint16_t edges[] = {
    [IDLE] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [CLOSE] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [PARSE] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [PARAMETERS] = IN(COLUMNS) | OFF_THE_LINE,
    [COLUMNS] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [BIND] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [ROWS] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [SYNC] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [SKIP] = FIRST_OF_STEP_OR_IDLE | OFF_THE_LINE,
    [PASSING] = ACCEPTING,
    [ENDED] = 0,
    [VIOLATED] = 0,
};

/* The phases in which a message may come, by its letter; a letter that is not here never may. */
static const uint16_t may_come[256] = {
    [WIRE_MSG_CLOSE_COMPLETE] = IN(CLOSE),
    [WIRE_MSG_PARSE_COMPLETE] = IN(PARSE),
    [WIRE_MSG_PARAMETER_DESCRIPTION] = IN(PARAMETERS),
    [WIRE_MSG_ROW_DESCRIPTION] = IN(COLUMNS),
    [WIRE_MSG_NO_DATA] = IN(COLUMNS),
    [WIRE_MSG_BIND_COMPLETE] = IN(BIND),
    [WIRE_MSG_DATA_ROW] = IN(ROWS),
    [WIRE_MSG_COMMAND_COMPLETE] = IN(ROWS),
    [WIRE_MSG_EMPTY_QUERY_RESPONSE] = IN(ROWS),
    [WIRE_MSG_COPY_IN_RESPONSE] = IN(ROWS),
    [WIRE_MSG_COPY_OUT_RESPONSE] = IN(ROWS),
    [WIRE_MSG_COPY_BOTH_RESPONSE] = IN(ROWS),
    [WIRE_MSG_READY_FOR_QUERY] = IN(SYNC) | IN(SKIP),
    [WIRE_MSG_ERROR_RESPONSE] = ACCEPTING,
    [WIRE_MSG_NOTICE_RESPONSE] = ACCEPTING,
    [WIRE_MSG_PARAMETER_STATUS] = ACCEPTING,
    [WIRE_MSG_NOTIFICATION_RESPONSE] = ACCEPTING,
};

/* The phase that each step begins with, in the order of the bits of enum wire_steps. */
static const uint8_t phase_of_step[] = {CLOSE, PARSE, PARAMETERS, BIND, ROWS, SYNC};

static void session_move(struct wire_session *session, enum phase to) {
    PRE(edges[session->phase] >> to & 1);
    session->phase = (uint8_t)to;
}

/* Makes a request the head, if there is one. */
static void session_set_head(struct wire_session *session, uint64_t ordinal) {
    session->head = ordinal;
    session->bound = false;
    if (ordinal == session->next) {
        session_move(session, IDLE);
        return;
    }
    const struct wire_request *request = wire_session_request(session, ordinal);
    session->column_count = request->column_count;
    session_move(session, phase_of_step[__builtin_ctz(request->steps)]);
}

/* The last reply to this step of the head has come. */
static void session_step_done(struct wire_session *session, enum wire_steps step) {
    unsigned left = wire_session_request(session, session->head)->steps & ~(2u * step - 1);
    if (left)
        session_move(session, phase_of_step[__builtin_ctz(left)]);
    else
        session_set_head(session, session->head + 1);
}

/*
 * Ends the session for good: once one message did not belong, the client no longer knows which request the next one
 * answers. Returns true, because a violation is an event.
 */
static bool session_violate(struct wire_session *session, struct wire_event *event, const char *format, ...)
    __attribute__((cold, noinline, format(printf, 3, 4)));

static bool session_violate(struct wire_session *session, struct wire_event *event, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(session->violation, sizeof session->violation, format, args);
    va_end(args);
    session_move(session, VIOLATED);
    event->kind = WIRE_VIOLATION;
    event->request = session->head;
    event->violation = session->violation;
    event->over_limit = false;
    return true;
}

static bool violate_body(struct wire_session *session, struct wire_event *event, const struct wire_frame *frame) {
    return session_violate(session, event, "%s whose body is malformed", wire_message_name(frame->type));
}

/* Finds out what is wrong with a row that did not pass, so that the check itself only says yes or no. */
static bool violate_row(struct wire_session *session, struct wire_event *event, const struct wire_frame *frame) {
    struct cursor body = frame->body;
    int32_t count = cursor_u16(&body);
    if (session->column_count == WIRE_NO_ROWS)
        return session_violate(session, event, "DataRow of a statement that returns no rows");
    if (count != session->column_count)
        return session_violate(session, event, "DataRow with %d values for %d columns", count, session->column_count);
    return session_violate(session, event, "DataRow whose values do not fill its %zu bytes", cursor_left(&frame->body));
}

static bool accept_error(struct wire_session *session, const struct wire_frame *frame, struct wire_event *event) {
    if (!wire_decode_error(frame->body, &event->error))
        return violate_body(session, event, frame);
    if (event->error.fatal) { /* also unasked: a shutdown or idle_session_timeout ends a session that waits */
        event->kind = WIRE_FATAL;
        session_move(session, ENDED);
        return true;
    }
    if (session->phase == IDLE || session->phase == SKIP)
        return session_violate(session, event, "ErrorResponse (%s) while waiting for %s", event->error.sqlstate,
                               waiting_for[session->phase]);
    event->kind = WIRE_ERROR;
    event->bound = session->bound;
    session_move(session, SKIP);
    return true;
}

/*
 * ReadyForQuery answers the first Sync at or after the head: after an error the server reads and drops all messages up to
 * that Sync (PostgreSQL 15 documentation, 55.2.3), so the requests between end with it.
 */
static bool accept_ready(struct wire_session *session, const struct wire_frame *frame, struct wire_event *event) {
    struct cursor body = frame->body;
    char transaction = (char)cursor_u8(&body);
    if (transaction != 'I' && transaction != 'T' && transaction != 'E')
        return session_violate(session, event, "ReadyForQuery with transaction status 0x%02x", (uint8_t)transaction);
    uint64_t sync = session->head;
    while (sync < session->next && !(wire_session_request(session, sync)->steps & WIRE_SYNC))
        sync++;
    if (sync == session->next)
        return session_violate(session, event, "ReadyForQuery while no Sync is outstanding");
    event->kind = WIRE_READY;
    event->transaction = transaction;
    event->first = session->first;
    event->request = sync;
    session->first = sync + 1;
    session_set_head(session, sync + 1);
    return true;
}

static bool accept_complete(struct wire_session *session, const struct wire_frame *frame, struct wire_event *event) {
    if (frame->type == WIRE_MSG_COMMAND_COMPLETE) {
        if (!wire_decode_tag(frame->body, &event->tag, &event->tag_length))
            return violate_body(session, event, frame);
    } else {
        if (session->column_count != WIRE_NO_ROWS) /* an empty query was described as NoData */
            return session_violate(session, event, "EmptyQueryResponse to a statement of %d columns",
                                   session->column_count);
        event->tag = "";
        event->tag_length = 0;
    }
    event->kind = WIRE_COMPLETE;
    session_step_done(session, WIRE_FETCH);
    return true;
}

static bool accept_parameters(struct wire_session *session, const struct wire_frame *frame, struct wire_event *event) {
    if (!wire_decode_parameters(frame->body, &event->parameters))
        return violate_body(session, event, frame);
    event->kind = WIRE_PARAMETERS;
    session_move(session, COLUMNS);
    return true;
}

static bool accept_columns(struct wire_session *session, const struct wire_frame *frame, struct wire_event *event) {
    session->column_count = WIRE_NO_ROWS;
    if (frame->type == WIRE_MSG_ROW_DESCRIPTION) {
        if (!wire_decode_columns(frame->body, &event->columns))
            return violate_body(session, event, frame);
        session->column_count = event->columns.count;
    }
    event->kind = WIRE_COLUMNS;
    event->column_count = session->column_count;
    session_step_done(session, WIRE_DESCRIBE);
    return true;
}

/*
 * Copy…Response: u8 overall format, u16 count, a u16 format for each column. The session ends here, because this library
 * has no COPY, and the protocol has no message that refuses CopyOut.
 */
static bool accept_copy(struct wire_session *session, const struct wire_frame *frame, struct wire_event *event) {
    struct cursor body = frame->body;
    (void)cursor_u8(&body);
    uint16_t count = cursor_u16(&body);
    (void)cursor_take(&body, (size_t)2 * count);
    if (!cursor_done(&body))
        return violate_body(session, event, frame);
    event->kind = WIRE_COPY;
    session_move(session, ENDED);
    return true;
}

/* Notice, parameter status and notification may come at any time (55.2.7) and answer no request: the phase stays. */
static bool accept_asynchronous(struct wire_session *session, const struct wire_frame *frame,
                                struct wire_event *event) {
    struct cursor body = frame->body;
    if (frame->type == WIRE_MSG_NOTICE_RESPONSE) {
        event->kind = WIRE_NOTICE;
        return wire_decode_error(body, &event->error) || violate_body(session, event, frame);
    }
    event->kind = WIRE_PARAMETER_STATUS;
    if (frame->type == WIRE_MSG_NOTIFICATION_RESPONSE) {
        event->kind = WIRE_NOTIFICATION;
        (void)cursor_u32(&body); /* the notifying backend's process */
    }
    event->name = cursor_string(&body, NULL);
    event->value = cursor_string(&body, NULL);
    return cursor_done(&body) || violate_body(session, event, frame);
}

/* Takes a whole message that may come in this phase; true when it makes an event, a violation included. */
static inline bool session_accept(struct wire_session *session, const struct wire_frame *frame,
                                  struct wire_event *event) {
    event->request = session->head;
    switch (frame->type) {
    case WIRE_MSG_DATA_ROW:
        if (base_unlikely(!wire_decode_row(frame->body, session->column_count)))
            return violate_row(session, event, frame);
        event->kind = WIRE_ROW;
        event->body = frame->body.at;
        event->size = cursor_left(&frame->body);
        return true;
    case WIRE_MSG_BIND_COMPLETE:
        session->bound = true;
        session_step_done(session, WIRE_BIND);
        return false;
    case WIRE_MSG_COMMAND_COMPLETE:
    case WIRE_MSG_EMPTY_QUERY_RESPONSE:
        return accept_complete(session, frame, event);
    case WIRE_MSG_READY_FOR_QUERY:
        return accept_ready(session, frame, event);
    case WIRE_MSG_CLOSE_COMPLETE:
        session_step_done(session, WIRE_CLOSE);
        return false;
    case WIRE_MSG_PARSE_COMPLETE:
        session_step_done(session, WIRE_PARSE);
        return false;
    case WIRE_MSG_PARAMETER_DESCRIPTION:
        return accept_parameters(session, frame, event);
    case WIRE_MSG_ROW_DESCRIPTION:
    case WIRE_MSG_NO_DATA:
        return accept_columns(session, frame, event);
    case WIRE_MSG_ERROR_RESPONSE:
        return accept_error(session, frame, event);
    case WIRE_MSG_COPY_IN_RESPONSE:
    case WIRE_MSG_COPY_OUT_RESPONSE:
    case WIRE_MSG_COPY_BOTH_RESPONSE:
        return accept_copy(session, frame, event);
    default:
        return accept_asynchronous(session, frame, event);
    }
}

/*
 * The body of a row, an error or an asynchronous message has nothing that the session needs to go on, so one that is too
 * long costs its query the answer, and not all queries their connection.
 */
static bool session_may_skip(const struct wire_session *session, uint8_t type) {
    switch (type) {
    case WIRE_MSG_DATA_ROW:
        return session->column_count != WIRE_NO_ROWS;
    case WIRE_MSG_ERROR_RESPONSE: /* FATAL or not: if it is, the end of the stream follows */
        return session->phase != IDLE && session->phase != SKIP;
    case WIRE_MSG_NOTICE_RESPONSE:
    case WIRE_MSG_PARAMETER_STATUS:
    case WIRE_MSG_NOTIFICATION_RESPONSE:
        return true;
    default:
        return false;
    }
}

static void session_skip(struct wire_session *session, const struct wire_frame *frame, struct wire_event *event) {
    event->kind = WIRE_SKIPPED;
    event->request = session->head;
    event->type = frame->type;
    event->size = frame->size;
    event->bound = session->bound;
    session->resume = frame->type == WIRE_MSG_ERROR_RESPONSE ? SKIP : session->phase;
    session->skip_bytes = frame->size;
    session_move(session, PASSING);
}

/* Consumes as much of the message that is passed over as there is. */
static size_t session_pass(struct wire_session *session, size_t size) {
    size_t taken = size < session->skip_bytes ? size : session->skip_bytes;
    session->skip_bytes -= taken;
    if (session->skip_bytes)
        return taken;
    session_move(session, (enum phase)session->resume);
    if (session->phase == IDLE) /* a request that was encoded meanwhile has not become the head */
        session_set_head(session, session->head);
    return taken;
}

/*
 * Refuses a message whose header is whole. `lawful`: its length is within bounds, but it may not come in this phase;
 * otherwise a length out of bounds is told from one that is only over the session's own limit.
 */
static bool session_refuse(struct wire_session *session, const struct wire_frame *frame, bool lawful,
                           struct wire_event *event) {
    if (lawful)
        return session_violate(session, event, "%s while waiting for %s", wire_message_name(frame->type),
                               waiting_for[session->phase]);
    char complaint[sizeof session->violation];
    wire_frame_complaint(frame, session->message_limit_bytes, complaint, sizeof complaint);
    const struct wire_law *law = &wire_laws[frame->type];
    bool over_limit =
        frame->size > law->least && frame->size <= law->end && (may_come[frame->type] >> session->phase & 1);
    if (over_limit && session_may_skip(session, frame->type)) {
        session_skip(session, frame, event);
        return true;
    }
    session_violate(session, event, "%s", complaint);
    event->over_limit = over_limit;
    return true;
}

/*
 * While no request is outstanding, the letter alone is judged: a header that is never completed would otherwise stay in
 * front of the replies to the next request.
 */
static bool is_stray(const struct cursor *in, struct wire_frame *frame) {
    if (cursor_left(in) == 0)
        return false;
    *frame = (struct wire_frame){.type = *in->at};
    return !(may_come[frame->type] >> IDLE & 1);
}

static bool is_accepting(const struct wire_session *session) {
    return IN(session->phase) & ACCEPTING;
}

/*
 * Consumes what is no message to look at: the rest of one that is passed over, after which the session may accept again,
 * and all that follows a FATAL error or a COPY. A violation stays one.
 */
static size_t session_not_accepting(struct wire_session *session, size_t size, struct wire_event *event) {
    size_t passed = session->phase == PASSING ? session_pass(session, size) : 0;
    if (is_accepting(session))
        return passed;
    event->request = session->head;
    event->kind = WIRE_NEED_MORE;
    event->size = 0;
    if (session->phase != VIOLATED)
        return size;
    event->kind = WIRE_VIOLATION;
    event->violation = session->violation;
    event->over_limit = false;
    return 0;
}

size_t wire_session_next(struct wire_session *session, const uint8_t *bytes, size_t size, struct wire_event *event) {
    size_t passed = 0;
    if (base_unlikely(!is_accepting(session))) {
        passed = session_not_accepting(session, size, event);
        if (!is_accepting(session))
            return passed;
    }
    struct cursor in = cursor_over(bytes + passed, size - passed);
    for (bool event_made = false; !event_made;) {
        struct wire_frame frame;
        if (base_unlikely(session->phase == IDLE && is_stray(&in, &frame))) {
            session_refuse(session, &frame, wire_message_name(frame.type) != NULL, event);
            break;
        }
        enum wire_frame_state state = wire_frame_look(in, session->message_limit_bytes, &frame);
        if (state == WIRE_FRAME_NONE) {
            event->kind = WIRE_NEED_MORE;
            event->size = 0;
            break;
        }
        if (base_unlikely(state == WIRE_FRAME_BAD || !(may_come[frame.type] >> session->phase & 1))) {
            session_refuse(session, &frame, state != WIRE_FRAME_BAD, event);
            if (session->phase == PASSING)
                cursor_take(&in, session_pass(session, cursor_left(&in)));
            break;
        }
        if (base_unlikely(state == WIRE_FRAME_BEGUN)) {
            event->kind = WIRE_NEED_MORE;
            event->size = frame.size;
            break;
        }
        event_made = session_accept(session, &frame, event);
        if (base_unlikely(session->phase == VIOLATED))
            break;
        cursor_take(&in, frame.size);
    }
    return size - cursor_left(&in);
}

/*
 * All messages of the usual answer but its row have the same bytes each time, so comparing them takes the place of
 * decoding: a point query is one comparison before its row, and one or two after it.
 */
static const char answer_begin[] = "2\0\0\0\4";
static const char answer_complete[] = "C\0\0\0\x0dSELECT 1\0";
static const char answer_ready[] = "Z\0\0\0\5I";
enum {
    ANSWER_BEGIN_BYTES = sizeof answer_begin - 1,
    ANSWER_COMPLETE_BYTES = sizeof answer_complete - 1,
    ANSWER_READY_BYTES = sizeof answer_ready - 1
};

/* Returns the size of the whole answer that the bytes begin with, and its row; 0 when they begin with anything else. */
static size_t session_find_answer(const struct wire_session *session, bool synced, const uint8_t *bytes, size_t size,
                                  struct wire_frame *row) {
    if (size < ANSWER_BEGIN_BYTES || memcmp(bytes, answer_begin, ANSWER_BEGIN_BYTES) != 0)
        return 0;
    struct cursor rest = cursor_over(bytes + ANSWER_BEGIN_BYTES, size - ANSWER_BEGIN_BYTES);
    if (wire_frame_look(rest, session->message_limit_bytes, row) != WIRE_FRAME_WHOLE || row->type != WIRE_MSG_DATA_ROW)
        return 0;
    cursor_take(&rest, row->size);
    const uint8_t *complete = cursor_take(&rest, ANSWER_COMPLETE_BYTES);
    const uint8_t *ready = cursor_take(&rest, synced ? ANSWER_READY_BYTES : 0);
    if (!ready || memcmp(complete, answer_complete, ANSWER_COMPLETE_BYTES) != 0 ||
        session->message_limit_bytes < ANSWER_COMPLETE_BYTES ||
        (synced && memcmp(ready, answer_ready, ANSWER_READY_BYTES) != 0) ||
        !wire_decode_row(row->body, session->column_count))
        return 0;
    return size - cursor_left(&rest);
}

size_t wire_session_take_answer(struct wire_session *session, const uint8_t *bytes, size_t size,
                                struct wire_event *event) {
    if (session->phase != BIND)
        return 0;
    uint8_t steps = wire_session_request(session, session->head)->steps;
    bool synced = steps & WIRE_SYNC;
    struct wire_frame row;
    if ((steps | WIRE_SYNC) != (WIRE_BIND | WIRE_FETCH | WIRE_SYNC))
        return 0;
    size_t taken = session_find_answer(session, synced, bytes, size, &row);
    if (taken == 0)
        return 0;
    event->kind = WIRE_COMPLETE;
    event->request = session->head;
    event->body = row.body.at;
    event->size = cursor_left(&row.body);
    event->tag = (const char *)row.body.end + WIRE_HEADER_BYTES;
    event->tag_length = strlen("SELECT 1");
    if (synced) {
        event->kind = WIRE_READY;
        event->transaction = 'I';
        event->first = session->first;
        session->first = session->head + 1;
    }
    session_set_head(session, session->head + 1);
    return taken;
}

static const char answer_inserted[] = "2\0\0\0\4"
                                      "C\0\0\0\x0fINSERT 0 1\0";
enum {
    ANSWER_INSERTED_BYTES = sizeof answer_inserted - 1,
    INSERTED_BYTES = ANSWER_INSERTED_BYTES - ANSWER_BEGIN_BYTES
};

size_t wire_session_take_inserted(struct wire_session *session, const uint8_t *bytes, size_t size, uint64_t *request) {
    if (session->phase != BIND || size < ANSWER_INSERTED_BYTES || session->message_limit_bytes < INSERTED_BYTES ||
        memcmp(bytes, answer_inserted, ANSWER_INSERTED_BYTES) != 0)
        return 0;
    uint8_t steps = wire_session_request(session, session->head)->steps;
    if ((steps | WIRE_SYNC) != (WIRE_BIND | WIRE_FETCH | WIRE_SYNC))
        return 0;
    *request = session->head;
    session->bound = true;
    session_step_done(session, WIRE_FETCH);
    return ANSWER_INSERTED_BYTES;
}

static uint32_t session_room(uint32_t capacity, uint32_t request_count_max) {
    return capacity < request_count_max ? capacity : request_count_max;
}

/* Requests that are outstanding keep their ordinals, and so get other places. */
static __attribute__((noinline)) bool session_grow(struct wire_session *session) {
    PRE(!wire_session_is_full(session));
    uint32_t capacity = 2 * session->capacity;
    struct wire_request *requests = calloc(capacity, sizeof *requests);
    if (!requests)
        return false;
    for (uint64_t r = session->head; r < session->next; r++)
        requests[r & (capacity - 1)] = *wire_session_request(session, r);
    free(session->requests);
    session->requests = requests;
    session->capacity = capacity;
    session->room = session_room(capacity, session->request_count_max);
    return true;
}

void wire_session_begin(struct wire_session *session, struct buf *out) {
    PRE(session->draft.steps == WIRE_STEPS_END);
    session->draft.out = out;
    session->draft.mark = buf_mark(out);
    session->draft.steps = 0;
    if (base_unlikely(wire_session_outstanding(session) >= session->room) && !session_grow(session))
        buf_fail(out);
}

bool wire_session_end(struct wire_session *session, int32_t column_count) {
    struct wire_draft *draft = &session->draft;
    uint8_t steps = draft->steps;
    PRE(steps != 0 && steps < WIRE_STEPS_END);
    PRE(column_count >= WIRE_NO_ROWS && column_count <= UINT16_MAX);
    draft->steps = WIRE_STEPS_END;
    if (base_unlikely(buf_failed(draft->out))) {
        buf_truncate(draft->out, draft->mark);
        return false;
    }
    *wire_session_request(session, session->next) = (struct wire_request){.steps = steps, .column_count = column_count};
    session->next++;
    if (session->phase == IDLE)
        session_set_head(session, session->head);
    return true;
}

void wire_session_undo(struct wire_session *session, struct buf *out, uint64_t ordinal, size_t mark) {
    PRE(session->draft.steps == WIRE_STEPS_END);
    PRE(session->head <= ordinal && ordinal <= session->next);
    session->next = ordinal;
    buf_truncate(out, mark);
    if (session->head == ordinal && (FIRST_OF_STEP_OR_IDLE >> session->phase & 1))
        session_set_head(session, ordinal);
}

bool wire_session_init(struct wire_session *session, uint32_t request_count_max, size_t message_limit_bytes) {
    PRE(request_count_max > 0 && request_count_max <= 1u << 30);
    *session = (struct wire_session){
        .capacity = CAPACITY_MIN,
        .room = session_room(CAPACITY_MIN, request_count_max),
        .request_count_max = request_count_max,
        .message_limit_bytes = message_limit_bytes,
        .phase = IDLE,
        .draft = {.steps = WIRE_STEPS_END},
        .column_count = WIRE_NO_ROWS,
        .requests = calloc(CAPACITY_MIN, sizeof *session->requests),
    };
    return session->requests != NULL;
}

void wire_session_free(struct wire_session *session) {
    free(session->requests);
    session->requests = NULL;
}
