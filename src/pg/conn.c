/* SPDX-License-Identifier: MIT */
#include "pg/conn.h"

#include "core/batch.h"
#include "core/trace.h"
#include "pg/reply.h"
#include "pg/tls.h"
#include "ring/port.h"
#include "wire/encode.h"
#include "wire/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REQUESTS_MIN = 4,                                   /* of the ring of requests: a power of two */
    OUT_LIMIT_BYTES = WIRE_SEND_BYTES_MAX + (16 << 20), /* the longest message behind what waits before it */
    PLAIN_KEEP_BYTES = 64 * 1024,
    CONTROL_REQUESTS = 5,      /* of a transaction beside its queries: BEGIN, the token, the end, the reset, settings */
    ASYNC_BYTES_MAX = 16 << 20 /* of asynchronous messages before one reply: a server that sends more may never end */
};

/* ---- Replies ---- */

static bool conn_on_describe(struct pg_request *request, const struct wire_event *event) {
    if (event->kind == WIRE_PARAMETERS) {
        request->description = pg_description_new(&event->parameters);
        return request->description != NULL;
    }
    bool rows = event->column_count != WIRE_NO_ROWS;
    if (!request->description || !pg_description_set_columns(request->description, rows ? &event->columns : NULL))
        return false;
    request->described = true;
    if (rows && request->query)
        result_set_columns(&request->query->result, request->description->columns, RESULT_TEXT);
    return true;
}

/* ---- Events ---- */

/* A lawful message over message_bytes that cannot be skipped: its query ends with LIMIT, others that were sent IN_DOUBT. */
static void conn_on_message_over_limit(struct pg_conn *conn, struct pg_request *request,
                                       const struct wire_event *event) {
    char message[PG_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s (message_bytes)", event->violation);
    request->limit = PG_LIMIT_CUT_OFF;
    pg_conn_break(conn, QURING_IN_DOUBT, "54000", message);
}

static void conn_on_notice(struct pg_conn *conn, const struct wire_event *event) {
    conn->config->db->counters.notice_count++;
    bool asked = wire_session_outstanding(&conn->session) != 0;
    struct query *query = asked ? pg_conn_request(conn, event->request)->query : NULL;
    if (base_unlikely(conn->trace != NULL) && event->kind != WIRE_SKIPPED) {
        struct trace_report notice = {
            .connection = conn->number, .sqlstate = event->error.sqlstate, .message = event->error.message};
        trace_notice(conn->trace, conn->config->db, query, &notice);
    }
    if (base_unlikely(asked && pg_conn_is_cancelling(conn)) && event->kind != WIRE_SKIPPED)
        pg_reply_struck_at_commit(pg_conn_request(conn, event->request), &event->error);
    if (query && event->kind == WIRE_SKIPPED)
        notices_omit(&query->result.notices);
    else if (query)
        pg_reply_notice(query, &event->error);
}

/*
 * The server reports a setting whichever way it was changed, a function included. Plans of a bound connection may depend on
 * it; a client_encoding other than UTF8 ends the connection. False: the connection takes nothing more.
 */
static bool conn_on_parameter_status(struct pg_conn *conn, const struct wire_event *status) {
    if (strcmp(status->name, "client_encoding") != 0 || strcmp(status->value, "UTF8") == 0) {
        if (pg_conn_is_bound(conn))
            pg_prepared_outdate(&conn->prepared);
        conn->settings_changed = true;
        return true;
    }
    pg_conn_break(conn, QURING_IN_DOUBT, "22021", "client_encoding was changed, but all texts are UTF-8 here");
    return false;
}

/*
 * Messages that the server may send at any time. While a request is out their bytes are bounded, because a server that goes
 * on sending them keeps the reply away for ever.
 */
static bool conn_on_asynchronous(struct pg_conn *conn, const struct wire_event *event, size_t bytes) {
    if (event->kind == WIRE_NOTICE || (event->kind == WIRE_SKIPPED && event->type == WIRE_MSG_NOTICE_RESPONSE))
        conn_on_notice(conn, event);
    if (event->kind == WIRE_PARAMETER_STATUS && !conn_on_parameter_status(conn, event))
        return false;
    if (!wire_session_outstanding(&conn->session))
        return true;
    conn->async_bytes += bytes;
    if (conn->async_bytes <= ASYNC_BYTES_MAX)
        return true;
    pg_conn_request(conn, event->request)->limit = PG_LIMIT_CUT_OFF;
    pg_conn_break(conn, QURING_IN_DOUBT, "54000", "a query got more than 16 MiB of notices");
    return false;
}

static void conn_on_barrier_violation(struct pg_conn *conn, const struct wire_event *event) {
    char message[PG_MESSAGE_BYTES];
    snprintf(message, sizeof message,
             "the server's first answer on the new connection was not what belongs there (%s): it had said more while "
             "libpq connected, and a part of that was read already",
             event->violation);
    pg_conn_break(conn, QURING_NOT_SENT, "08P01", message);
}

static void conn_on_error(struct pg_conn *conn, struct pg_request *request, const struct wire_event *event) {
    if (request->ops)
        request->ops->error(conn, event);
    else
        pg_reply_error(conn, request, event);
}

/* A message over message_bytes was skipped: its own query loses the answer, and the connection goes on. */
static bool conn_on_skipped(struct pg_conn *conn, struct pg_request *request, const struct wire_event *event) {
    if (event->type == WIRE_MSG_ERROR_RESPONSE) {
        char message[PG_MESSAGE_BYTES];
        snprintf(message, sizeof message, "the server's error has %zu bytes, over message_bytes, so it was left out",
                 event->size);
        struct wire_event error = {.bound = event->bound, .request = event->request};
        error.error = (struct wire_error){.sqlstate = "54000", .message = message, .detail = "", .hint = ""};
        conn_on_error(conn, request, &error);
    } else if (event->type == WIRE_MSG_DATA_ROW) {
        request->limit = PG_LIMIT_MESSAGE_BYTES;
        if (request->query)
            result_clear_rows(&request->query->result);
    } else {
        return conn_on_asynchronous(conn, event, event->size);
    }
    return conn->state != PG_CONN_DRAINING;
}

/* False: the connection takes nothing more. */
static bool conn_on_event(struct pg_conn *conn, const struct wire_event *event) {
    struct pg_request *request = pg_conn_request(conn, event->request);
    switch (event->kind) {
    case WIRE_ROW:
        if (base_unlikely(request->ops != NULL))
            request->ops->row(conn, event);
        else
            pg_reply_row(request, event);
        return true;
    case WIRE_COMPLETE:
        pg_reply_complete(conn, request, event);
        return conn->state != PG_CONN_DRAINING;
    case WIRE_READY:
        if (base_unlikely(request->ops != NULL))
            request->ops->ready(conn, event);
        else
            pg_reply_ready(conn, event);
        return conn->state != PG_CONN_DRAINING;
    case WIRE_PARAMETERS:
    case WIRE_COLUMNS:
        if (conn_on_describe(request, event))
            return true;
        pg_conn_break(conn, QURING_IN_DOUBT, "53200", "out of memory while reading a statement's description");
        return false;
    case WIRE_ERROR:
        conn_on_error(conn, request, event);
        return conn->state != PG_CONN_DRAINING;
    case WIRE_FATAL:
        pg_conn_break(conn, QURING_IN_DOUBT, event->error.sqlstate, event->error.message);
        return false;
    case WIRE_COPY:
        pg_conn_break(conn, QURING_IN_DOUBT, "0A000", "a query began a COPY, which can't be carried out here");
        return false;
    case WIRE_SKIPPED:
        return conn_on_skipped(conn, request, event);
    case WIRE_VIOLATION:
        if (conn->state == PG_CONN_BARRIER)
            conn_on_barrier_violation(conn, event);
        else if (event->over_limit)
            conn_on_message_over_limit(conn, request, event);
        else
            pg_conn_break(conn, QURING_PROTOCOL, "08P01", event->violation);
        return false;
    case WIRE_NOTICE:
    case WIRE_PARAMETER_STATUS:
    case WIRE_NOTIFICATION:
    case WIRE_NEED_MORE:
        break;
    }
    UNREACHABLE("an event that is none of a request's");
}

static struct pg_conn *conn_of(struct socket *socket) {
    return base_container_of(socket, struct pg_conn, socket);
}

/* Consumes the whole messages in `in`. Returns the size of the message that is cut by the end of `in`, or 0. */
static size_t conn_consume(struct pg_conn *conn, struct buf *in) {
    const uint8_t *bytes = buf_head(in);
    size_t size = buf_size(in), used = 0;
    struct wire_event event;
    for (;;) {
        size_t taken = wire_session_take_answer(&conn->session, bytes + used, size - used, &event);
        if (base_likely(taken)) {
            used += taken;
            pg_reply_answer(conn, &event);
            continue;
        }
        taken = wire_session_take_inserted(&conn->session, bytes + used, size - used, &event.request);
        if (taken) {
            used += taken;
            pg_reply_inserted(conn, event.request);
            continue;
        }
        taken = wire_session_next(&conn->session, bytes + used, size - used, &event);
        used += taken;
        bool asynchronous =
            event.kind == WIRE_NOTICE || event.kind == WIRE_PARAMETER_STATUS || event.kind == WIRE_NOTIFICATION;
        if (event.kind == WIRE_NEED_MORE ||
            !(asynchronous ? conn_on_asynchronous(conn, &event, taken) : conn_on_event(conn, &event)))
            break;
    }
    buf_consume(in, used);
    return event.kind == WIRE_NEED_MORE ? event.size : 0;
}

/* As conn_consume(); the owner hears once of all requests that came to the head. */
static inline size_t conn_take_replies(struct pg_conn *conn, struct buf *in) {
    uint64_t head = conn->session.head;
    bool was_ready = conn->state == PG_CONN_READY;
    size_t expected = conn_consume(conn, in);
    if (base_likely(was_ready && conn->state == PG_CONN_READY && conn->session.head != head))
        conn->events->progressed(conn);
    else if (base_unlikely(conn->state == PG_CONN_RETIRING))
        conn->events->retiring(conn);
    return expected;
}

static __attribute__((noinline)) void conn_received_sealed(struct pg_conn *conn, struct socket *socket) {
    const char *why = NULL;
    bool alive = pg_tls_receive(conn->tls, buf_head(&socket->in), buf_size(&socket->in), &conn->plain_in, &why);
    buf_consume(&socket->in, buf_size(&socket->in));
    (void)conn_take_replies(conn, &conn->plain_in);
    if (buf_size(&conn->plain_in) == 0)
        buf_reset(&conn->plain_in, PLAIN_KEEP_BYTES);
    if (!alive)
        pg_conn_break(conn, QURING_IN_DOUBT, "08006", why);
    else if (conn->state != PG_CONN_DRAINING && pg_tls_has_output(conn->tls))
        pg_conn_flush(conn);
}

static void conn_received(struct socket *socket) {
    struct pg_conn *conn = conn_of(socket);
    if (base_unlikely(conn->tls != NULL))
        conn_received_sealed(conn, socket);
    else
        socket_expect(socket, conn_take_replies(conn, &socket->in));
}

static void conn_lost(struct socket *socket, int error) {
    struct pg_conn *conn = conn_of(socket);
    if (error)
        pg_conn_break(conn, QURING_IN_DOUBT, "08006", strerror(error));
    else
        pg_conn_break(conn, QURING_IN_DOUBT, "08006", "the server closed the connection without saying why");
}

/* ---- The end of a connection ---- */

/* A key of which anything was sent closes: where the server is with that, nobody knows. */
static void conn_lose_key(struct pg_conn *conn, const struct pg_request *request) {
    if (base_unlikely(request->order_key != 0))
        order_key_lose(order_keys_at(&conn->config->db->hub->keys, request->order_key));
    else if (request->query && base_unlikely(request->query->key != NULL))
        order_key_lose(request->query->key);
}

/*
 * Another connection can take the query: of a batch, all of it. Requests that were not sent are behind all that were, also
 * those of its key.
 */
static bool conn_may_put_back(const struct pg_conn *conn, const struct query *query) {
    bool whole = !query->batch || batch_is_whole(query->batch);
    return whole && !pg_conn_is_bound(conn) && !conn->config->db->closing && !(query->key && query->key->lost);
}

static void conn_end_request(struct pg_conn *conn, uint64_t ordinal) {
    struct pg_request *request = pg_conn_request(conn, ordinal);
    struct query *query = request->query;
    const struct pg_reason *reason = &conn->reason;
    if (request->ops && request->ops->lost) {
        request->ops->lost(conn, ordinal, request->first_byte < conn->socket.accepted_bytes);
        return;
    }
    bool sent = pg_conn_unit_first(conn, ordinal)->first_byte < conn->socket.accepted_bytes;
    if (sent)
        conn_lose_key(conn, request);
    if (query && !sent && conn_may_put_back(conn, query))
        return; /* conn_closed() puts it back */
    request->query = NULL;
    if (!query)
        return;
    result_clear_rows(&query->result);
    bool cut_off = request->limit == PG_LIMIT_CUT_OFF;
    quring_status status = cut_off ? QURING_LIMIT : sent ? reason->status : QURING_NOT_SENT;
    query_fail(query, status, reason->sqlstate, "%s", reason->message);
}

/* No query of a key is out here any more. Those that are parked may go elsewhere, unless the key is lost. */
static void conn_leave_keys(struct pg_conn *conn) {
    struct order_key *key;
    while ((key = order_place_any(&conn->order))) {
        if (key->lost)
            queue_fail_parked(key, QURING_NOT_SENT, conn->reason.sqlstate, conn->reason.message);
        else
            queue_unpark(key, ring_now_ns(pg_conn_ring(conn)) | 1);
        order_key_leave(key);
    }
}

static void conn_closed(struct socket *socket) {
    struct pg_conn *conn = conn_of(socket);
    for (uint64_t r = conn->settled; r < conn->session.next; r++) {
        conn_end_request(conn, r);
        pg_request_drop(pg_conn_request(conn, r));
    }
    /* Queries that no byte was sent of go to the front of their queue, so they go in backwards to keep their order. */
    for (uint64_t r = conn->session.next; r-- > conn->settled;) {
        struct query *query = pg_conn_request(conn, r)->query;
        if (query)
            pg_query_restart(query);
    }
    conn_leave_keys(conn);
    wire_session_free(&conn->session);
    socket_free(&conn->socket);
    pg_tls_close(conn->tls);
    conn->tls = NULL;
    buf_free(&conn->plain_in);
    buf_free(&conn->plain_out);
    pg_prepared_end(&conn->prepared);
    if (conn->cancel.key)
        conn->cancel.key->drop(conn->cancel.key);
    conn->cancel.key = NULL;
    pg_conn_move(conn, PG_CONN_DOWN);
    (void)pg_conn_credit_unsent(conn);
    conn->events->down(conn);
}

static const struct socket_events conn_events = {.received = conn_received, .lost = conn_lost, .closed = conn_closed};

/* ---- Connecting ---- */

void pg_conn_failed(struct pg_conn *conn, const char *sqlstate, const char *message) {
    PRE(conn->state == PG_CONN_CONNECTING && !conn->connect);
    pg_conn_set_reason(conn, QURING_NOT_SENT, sqlstate, message);
    pg_conn_move(conn, PG_CONN_DOWN);
    conn->events->down(conn);
}

/*
 * Makes room for so many requests, a power of two. Those that are out keep their ordinals, and so get other places. An idle
 * connection needs room for the first exchange alone. False: no memory.
 */
static __attribute__((noinline)) bool conn_reserve_requests(struct pg_conn *conn, uint64_t capacity) {
    if (conn->requests && conn->request_mask >= capacity - 1)
        return true;
    struct pg_request *requests = calloc(capacity, sizeof *requests);
    if (!requests)
        return false;
    for (uint64_t r = conn->settled; conn->requests && r < conn->session.next; r++)
        requests[r & (capacity - 1)] = *pg_conn_request(conn, r);
    free(conn->requests);
    conn->requests = requests;
    conn->request_mask = capacity - 1;
    return true;
}

bool pg_conn_hand_over(struct pg_conn *conn, const struct pg_connect *connect, uint64_t nonce) {
    PRE(conn->state == PG_CONN_CONNECTING && connect->fd >= 0);
    struct quring_db *db = conn->config->db;
    if (!conn_reserve_requests(conn, REQUESTS_MIN) ||
        !wire_session_init(&conn->session, db->options.depth + CONTROL_REQUESTS, db->options.message_bytes))
        return false;
    if (socket_open(&conn->socket, db->hub->ring, connect->fd, &conn_events, db->options.message_bytes,
                    OUT_LIMIT_BYTES)) {
        wire_session_free(&conn->session);
        return false;
    }
    conn->tls = connect->tls;
    db->server_pid = pg_conn_is_bound(conn) ? (uint32_t)connect->server_pid : 0;
    buf_init(&conn->plain_in, db->options.message_bytes + 4 * PLAIN_KEEP_BYTES);
    buf_init(&conn->plain_out, OUT_LIMIT_BYTES);
    conn->settled = conn->told = 0;
    conn->group_open = false;
    conn->barrier = (struct pg_barrier){.nonce = nonce, .server_pid = connect->server_pid};
    pg_prepared_begin(&conn->prepared, nonce);
    conn->cancel.key = connect->cancel_key;
    conn->cancel.server = connect->server;
    conn->cancel.client_port = connect->client_port;
    conn->async_bytes = 0;
    pg_conn_move(conn, PG_CONN_BARRIER);
    return true;
}

void pg_conn_close(struct pg_conn *conn) {
    PRE(conn->config->db->closing && conn->state != PG_CONN_CONNECTING);
    timer_clear(pg_conn_ring(conn), &conn->timer);
    if (conn->state == PG_CONN_BARRIER || pg_conn_is_up(conn))
        pg_conn_end(conn, "the database handle was closed");
}

void pg_conn_init(struct pg_conn *conn, const struct pg_conn_config *config, const struct pg_conn_events *events,
                  struct queue *source, uint32_t index) {
    PRE(config->db->options.depth);
    *conn = (struct pg_conn){
        .config = config, .events = events, .source = source, .place.index = index, .depth = config->db->options.depth};
    conn->trace = config->db->hub->trace;
    conn->timer.fire = events->timer;
    list_init(&conn->link);
    list_init(&conn->unsent.link);
    list_init(&conn->place.idle);
    list_init(&conn->place.changed);
    list_init(&conn->place.given);
    list_init(&conn->cancel.waiting);
    order_place_init(&conn->order);
    pg_prepared_init(&conn->prepared, config->db->options.statement_count);
}

void pg_conn_free(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_DOWN && !conn->connect);
    free(conn->attempt);
    free(conn->requests);
    pg_prepared_free(&conn->prepared);
}

/* ---- Queries ---- */

/* Members of a group are sent without a Sync, so that they share a transaction, and end at the one that is added here. */
bool pg_conn_sync(struct pg_conn *conn) {
    if (!conn->group_open)
        return true;
    conn->group_open = false;
    conn->group_count++;
    if (base_likely(wire_session_end_group(&conn->session, pg_conn_out(conn))))
        return true;
    pg_conn_break(conn, QURING_IN_DOUBT, "53200", "out of memory");
    return false;
}

static void conn_trace_sent(struct pg_conn *conn) {
    for (uint64_t r = conn->told; r < conn->session.next; r++) {
        struct pg_request *request = pg_conn_request(conn, r);
        if (!request->query)
            continue;
        trace_sent(conn->trace, request->query, conn->number);
        request->traced = true;
    }
    conn->told = conn->session.next;
}

/* The part for TLS and for the trace. */
static __attribute__((noinline)) void conn_flush_specially(struct pg_conn *conn) {
    if (conn->tls && !pg_tls_seal(conn->tls, &conn->plain_out, socket_out(&conn->socket)))
        pg_conn_break(conn, QURING_IN_DOUBT, "08006", "the TLS session broke while sending, or memory ran out");
    if (conn->trace && conn->state != PG_CONN_DRAINING)
        conn_trace_sent(conn);
    socket_dirty(&conn->socket);
}

void pg_conn_flush(struct pg_conn *conn) {
    if (base_likely(!conn->tls && !conn->trace))
        socket_dirty(&conn->socket);
    else
        conn_flush_specially(conn);
}

static inline bool conn_make_room(struct pg_conn *conn) {
    return base_likely(conn->session.next - conn->settled <= conn->request_mask) ||
           conn_reserve_requests(conn, 2 * (conn->request_mask + 1));
}

bool pg_conn_make_room(struct pg_conn *conn) {
    return conn_make_room(conn);
}

void pg_conn_refuse_query(struct pg_conn *conn, struct query *query) {
    if (pg_conn_out(conn)->no_memory)
        query_fail(query, QURING_NOT_SENT, "53200", "out of memory for the query's message");
    else
        query_fail(query, QURING_NOT_SENT, "54000", "the query does not fit a message of %d bytes",
                   WIRE_SEND_BYTES_MAX);
}

void pg_conn_send(struct pg_conn *conn, struct query *query) {
    bool alone = !pg_conn_groups(query);
    if (alone && !pg_conn_sync(conn)) {
        queue_put_back(query);
        return;
    }
    uint64_t ordinal = conn->session.next;
    if (base_unlikely(!conn_make_room(conn))) {
        query_fail(query, QURING_NOT_SENT, "53200", "out of memory");
        return;
    }
    struct pg_request *request = pg_conn_request(conn, ordinal);
    if (base_unlikely(!pg_request_encode(conn, query, request, alone))) {
        *request = (struct pg_request){.query = NULL};
        pg_conn_refuse_query(conn, query);
        return;
    }
    query->sent = true; /* from here on only the loss of the connection keeps its bytes from going out */
    pg_query(query)->conn = conn;
    pg_query(query)->request = ordinal;
    conn->group_open = !alone;
}

/*
 * The bytes of a query that was given up stay in the send buffer until the server reads them. The caller may release the
 * query before that, so they are charged to the hub, or a server that reads nothing would let memory grow without bound.
 */
static void conn_charge_unsent(struct pg_conn *conn, struct query *query) {
    uint64_t ordinal = pg_query(query)->request, end = socket_position(&conn->socket);
    size_t size = query->charged_bytes;
    if (!conn->tls && ordinal + 1 < conn->session.next) /* under TLS the requests of a turn share their place */
        end = pg_conn_request(conn, ordinal + 1)->first_byte;
    if (!conn->tls)
        size = (size_t)(end - pg_conn_request(conn, ordinal)->first_byte);
    if (end <= conn->socket.accepted_bytes)
        return;
    if (list_empty(&conn->unsent.link))
        list_push_back(conn->config->owing, &conn->unsent.link);
    conn->unsent.bytes += size;
    conn->config->db->hub->unsent_bytes += size;
    if (conn->unsent.until < end)
        conn->unsent.until = end;
    db_due(conn->config->db);
}

bool pg_conn_credit_unsent(struct pg_conn *conn) {
    PRE(conn->unsent.bytes <= conn->config->db->hub->unsent_bytes);
    if (conn->state != PG_CONN_DOWN && conn->socket.accepted_bytes < conn->unsent.until)
        return false;
    conn->config->db->hub->unsent_bytes -= conn->unsent.bytes;
    conn->unsent.bytes = 0;
    conn->unsent.until = 0;
    list_remove(&conn->unsent.link);
    return true;
}

void pg_conn_let_go(struct pg_conn *conn, struct query *query) {
    struct pg_request *request = pg_conn_request(conn, pg_query(query)->request);
    PRE(request->query == query);
    conn_charge_unsent(conn, query);
    request->query = NULL;
    if (query->key)
        request->order_key = query->key->number;
    result_clear_rows(&query->result);
}

void pg_conn_abandon(struct pg_conn *conn, struct query *query, quring_status status) {
    pg_conn_let_go(conn, query);
    pg_query_give_up(query, status);
    conn->events->gave_up(conn);
}
