/* SPDX-License-Identifier: MIT */
#include "pg/resolve.h"

#include "pg/conn.h"
#include "pg/lease.h"
#include "pg/request.h"
#include "pg/silence.h"
#include "value/value.h"
#include "wire/encode.h"

#include <stdio.h>
#include <string.h>

/* NONE: the server has said nothing yet; AGAIN: nothing that helps, but it may later; HOPELESS: nor will it. */
enum answer { ANSWER_NONE, ANSWER_COMMITTED, ANSWER_UNDONE, ANSWER_AGAIN, ANSWER_HOPELESS };

enum { PAUSE_SHIFT_MAX = 7 };

static const uint64_t PAUSE_NS = 10000000; /* before it is asked a second time; twice as long before each further one */

static struct pg_doubt *doubt_of(struct quring_tx *tx) {
    return &pg_tx_of(tx)->doubt;
}

static struct quring_tx *doubt_tx(struct pg_doubt *doubt) {
    struct pg_tx *pg = base_container_of(doubt, struct pg_tx, doubt);
    return (struct quring_tx *)((uintptr_t)pg - offsetof(struct quring_tx, backend));
}

/* What error->detail says of the question for a token, or for an ID. */
struct words {
    const char *undone, *late, *refused, *empty;
};

static const struct words *doubt_words(const struct quring_tx *tx) {
    static const struct words by_token = {"its token tells that the transaction did not commit, and never will",
                                          "its token could not be asked for within resolve_timeout_ns",
                                          "its token could not be asked for",
                                          "no row with its token could be written or read"},
                              by_note = {"pg_xact_status() tells that the transaction was aborted",
                                         "the server could not be asked for its ID within resolve_timeout_ns",
                                         "the server could not be asked for its ID",
                                         "the server did not tell of its ID"};
    return tx->writes_token ? &by_token : &by_note;
}

/* ---- Outcomes ---- */

static struct query *doubt_last(struct pg_doubt *doubt) {
    return list_empty(&doubt->held) ? NULL : list_entry(doubt->held.prev, struct query, link);
}

/* Puts a detail behind what its error says of the loss. */
static void resolve_say(struct query *query, const char *detail) {
    char message[PG_MESSAGE_BYTES], sqlstate[6];
    snprintf(message, sizeof message, "%s", query->error.view.message);
    memcpy(sqlstate, query->error.view.sqlstate, sizeof sqlstate);
    error_set(&query->error, sqlstate, message, detail, NULL, 0);
}

static void resolve_finish_commit(struct query *query, enum answer answer) {
    if (answer == ANSWER_COMMITTED) {
        error_clear(&query->error);
        result_put_command(&query->result, "COMMIT", 6);
        query_finish(query, QURING_OK);
    } else if (answer == ANSWER_UNDONE) {
        resolve_say(query, doubt_words(query->queue->tx)->undone);
        query_finish(query, QURING_SERVER_ERROR);
    } else {
        if (!query->error.view.detail[0])
            resolve_say(query, doubt_words(query->queue->tx)->late);
        query_finish(query, QURING_IN_DOUBT);
    }
}

static void resolve_finish_member(struct query *query, enum answer answer) {
    if (answer == ANSWER_COMMITTED)
        resolve_say(query, "its transaction committed, but what it returned is lost");
    query_finish(query, answer == ANSWER_UNDONE ? QURING_SERVER_ERROR : QURING_IN_DOUBT);
}

static void resolve_finish(struct quring_tx *tx, enum answer answer) {
    struct list *node;
    while ((node = list_pop_front(&doubt_of(tx)->held))) {
        struct query *query = list_entry(node, struct query, link);
        if (tx_verb(query) == VERB_COMMITS)
            resolve_finish_commit(query, answer);
        else
            resolve_finish_member(query, answer);
    }
}

/* ---- Time ---- */

static void resolve_arm(struct pg_pool *pool) {
    const struct heap_node *first = heap_first(&pool->resolves.due);
    if (first && !pool->db->closing)
        (void)timer_set(pg_pool_ring(pool), &pool->resolves.timer, first->key); /* room was made */
    else
        timer_clear(pg_pool_ring(pool), &pool->resolves.timer);
}

static struct pg_pool *resolve_pool(struct quring_tx *tx) {
    return doubt_of(tx)->pool;
}

/* Nothing of it is held, and it holds nothing. */
static void resolve_end(struct quring_tx *tx) {
    struct pg_pool *pool = resolve_pool(tx);
    struct pg_doubt *doubt = doubt_of(tx);
    PRE(list_empty(&doubt->held) && !doubt->conn);
    list_remove(&doubt->link);
    heap_remove(&pool->resolves.due, &doubt->due);
    resolve_arm(pool);
    tx_end(tx);
}

static void resolve_look_at(struct pg_pool *pool, struct pg_doubt *doubt, uint64_t at_ns) {
    heap_remove(&pool->resolves.due, &doubt->due);
    (void)heap_push(&pool->resolves.due, &doubt->due, at_ns < doubt->until_ns ? at_ns : doubt->until_ns);
}

static const struct pg_request_ops resolve_operations;

/*
 * The server may be at work on the question for long: it is waited for as for a query that was given up. What is ahead of it on
 * the connection is others'.
 */
static void resolve_expire(struct pg_pool *pool, struct quring_tx *tx) {
    struct pg_doubt *doubt = doubt_of(tx);
    struct pg_conn *conn = doubt->conn;
    resolve_finish(tx, ANSWER_NONE);
    if (!conn) {
        resolve_end(tx);
        return;
    }
    (void)heap_push(&pool->resolves.due, &doubt->due, UINT64_MAX); /* there was room for it before */
    for (uint64_t r = conn->settled; r < conn->session.next; r++)
        if (pg_conn_request(conn, r)->ops == &resolve_operations)
            pg_conn_request(conn, r)->own = false;
    if (pg_conn_is_up(conn))
        pg_silence_given_up(conn, pg_conn_owed(conn));
}

static void resolve_fired(struct timer *timer) {
    struct pg_pool *pool = base_container_of(timer, struct pg_pool, resolves.timer);
    uint64_t now_ns = ring_now_ns(pg_pool_ring(pool));
    struct heap_node *first;
    while ((first = heap_first(&pool->resolves.due)) && first->key <= now_ns) {
        struct pg_doubt *doubt = base_container_of(first, struct pg_doubt, due);
        heap_remove(&pool->resolves.due, first);
        if (doubt->until_ns <= now_ns) {
            resolve_expire(pool, doubt_tx(doubt));
            continue;
        }
        resolve_look_at(pool, doubt, doubt->until_ns);
        list_push_back(&pool->resolves.waiting, &doubt->link);
    }
    resolve_arm(pool);
    db_due(pool->db);
}

/* ---- Answers ---- */

/* Gives the connection back. */
static void resolve_leave(struct quring_tx *tx) {
    struct pg_doubt *doubt = doubt_of(tx);
    struct pg_conn *conn = doubt->conn;
    resolve_pool(tx)->resolves.asking_count--;
    doubt->conn = NULL;
    conn->tx = NULL;
    conn->events->freed(conn);
}

static void resolve_pause(struct quring_tx *tx) {
    struct pg_pool *pool = resolve_pool(tx);
    struct pg_doubt *doubt = doubt_of(tx);
    uint32_t shift = doubt->asked_count - 1 < PAUSE_SHIFT_MAX ? doubt->asked_count - 1 : PAUSE_SHIFT_MAX;
    resolve_look_at(pool, doubt, ring_now_ns(pg_pool_ring(pool)) + (PAUSE_NS << shift));
    resolve_arm(pool);
}

static void resolve_settle(struct quring_tx *tx) {
    struct pg_doubt *doubt = doubt_of(tx);
    enum answer answer = (enum answer)doubt->answer;
    resolve_leave(tx);
    if (answer != ANSWER_NONE && answer != ANSWER_AGAIN)
        resolve_finish(tx, answer);
    if (list_empty(&doubt->held))
        resolve_end(tx);
    else
        resolve_pause(tx);
}

static enum answer resolve_read_status(struct pg_doubt *doubt, uint8_t status) {
    const char *why = status == XID_OTHER_SERVER ? "its ID is that of another server, or of another timeline"
                      : status == XID_CRASHED    ? "the server crashed meanwhile, and may have given its ID out again"
                      : status == XID_UNKNOWN    ? "the server does not know of its ID any more"
                      : status == XID_IN_PROGRESS
                          ? "the server was still at work on the transaction after resolve_timeout_ns"
                          : NULL;
    if (why && doubt_last(doubt))
        resolve_say(doubt_last(doubt), why);
    if (status == XID_COMMITTED || status == XID_ABORTED)
        return status == XID_COMMITTED ? ANSWER_COMMITTED : ANSWER_UNDONE;
    return status == XID_IN_PROGRESS ? ANSWER_AGAIN : why ? ANSWER_HOPELESS : ANSWER_NONE;
}

static void resolve_row(struct pg_conn *conn, const struct wire_event *event) {
    struct pg_doubt *doubt = doubt_of(conn->tx);
    struct cursor row = cursor_over(event->body, event->size);
    uint8_t value = cursor_u16(&row) == 1 && cursor_i32(&row) == 1 ? cursor_u8(&row) : 0;
    if (doubt->has_row) {
        doubt->answer = ANSWER_HOPELESS;
        if (doubt_last(doubt))
            resolve_say(doubt_last(doubt), "the server answered with two rows");
        return;
    }
    doubt->has_row = true;
    if (!conn->tx->writes_token)
        doubt->answer = (uint8_t)resolve_read_status(doubt, value);
    else if (value == 't' || value == 'f')
        doubt->answer = value == 't' ? ANSWER_COMMITTED : ANSWER_UNDONE;
}

/*
 * A table that is not as it must be, or is forbidden to us, will not be otherwise soon, nor will an ID that the server has not
 * given out yet (22023); a standby may become the primary.
 */
static bool resolve_is_hopeless(const struct quring_tx *tx, const char *sqlstate) {
    if (strncmp(sqlstate, "42", 2) == 0)
        return true;
    return tx->writes_token ? strcmp(sqlstate, "55000") == 0 : strncmp(sqlstate, "22", 2) == 0;
}

static void resolve_error(struct pg_conn *conn, const struct wire_event *event) {
    struct pg_doubt *doubt = doubt_of(conn->tx);
    struct query *last = doubt_last(doubt);
    char detail[PG_MESSAGE_BYTES];
    snprintf(detail, sizeof detail, "%s: %s", doubt_words(conn->tx)->refused, event->error.message);
    doubt->answer = resolve_is_hopeless(conn->tx, event->error.sqlstate) ? ANSWER_HOPELESS : ANSWER_AGAIN;
    if (last)
        resolve_say(last, detail);
}

/* What a row says holds, also where the first statement failed, as it does on a standby. */
static void resolve_ready(struct pg_conn *conn, const struct wire_event *event) {
    struct quring_tx *tx = conn->tx;
    bool last = event->request + 1 == conn->session.next;
    conn->settled = event->request + 1;
    conn->async_bytes = 0;
    if (last && doubt_of(tx)->answer == ANSWER_NONE) {
        doubt_of(tx)->answer = ANSWER_HOPELESS;
        if (doubt_last(doubt_of(tx)))
            resolve_say(doubt_last(doubt_of(tx)), doubt_words(tx)->empty);
    }
    if (event->transaction != 'I') {
        doubt_of(tx)->answer = ANSWER_NONE; /* its own row may be undone yet */
        resolve_settle(tx);
        pg_conn_break(conn, QURING_PROTOCOL, "08P01", "an idle connection is within a transaction");
    } else if (last) {
        resolve_settle(tx);
    }
}

/* See pg_request_ops.lost. */
static void resolve_lost(struct pg_conn *conn, uint64_t ordinal, bool sent) {
    (void)ordinal;
    (void)sent;
    struct quring_tx *tx = conn->tx;
    if (!tx)
        return; /* it has left with the first of its requests */
    doubt_of(tx)->answer = ANSWER_NONE;
    resolve_settle(tx);
}

static const struct pg_request_ops resolve_operations = {
    .row = resolve_row, .error = resolve_error, .ready = resolve_ready, .lost = resolve_lost};

/* ---- Asking ---- */

/* A statement with the token or the note, in a transaction of its own. */
static bool resolve_put(struct pg_conn *conn, const struct quring_tx *tx, const char *sql, size_t length,
                        int32_t column_count) {
    struct wire_session *session = &conn->session;
    const quring_param token = quring_text(tx->writes_token ? tx->token_text : tx->xid_note);
    if (!pg_conn_make_room(conn))
        return false;
    struct pg_request *request = pg_conn_request(conn, session->next);
    *request = (struct pg_request){.ops = &resolve_operations,
                                   .kind = PG_REQUEST_UNNAMED,
                                   .own = true,
                                   .param_count = 1,
                                   .first_byte = socket_position(&conn->socket)};
    wire_session_begin(session, pg_conn_out(conn));
    wire_session_put_parse(session, "", sql, length);
    wire_session_put_bind(session, "", 1);
    wire_session_put_format(session, 0, value_put_param(pg_conn_out(conn), &token, 0));
    wire_session_put_results(session, NULL, 0);
    wire_session_put_execute(session);
    wire_session_put_sync(session);
    return wire_session_end(session, column_count);
}

static bool resolve_put_question(struct pg_conn *conn, const struct quring_tx *tx) {
    static const char ask_sql[] = XID_ASK_SQL;
    char sql[TOKEN_SQL_BYTES];
    if (!tx->writes_token)
        return resolve_put(conn, tx, ask_sql, sizeof ask_sql - 1, 1);
    size_t length = token_claim_sql(tx->writes_token, sql);
    if (!resolve_put(conn, tx, sql, length, WIRE_NO_ROWS))
        return false;
    length = token_read_sql(tx->writes_token, sql);
    return resolve_put(conn, tx, sql, length, 1);
}

static void resolve_ask(struct quring_tx *tx, struct pg_conn *conn) {
    struct pg_doubt *doubt = doubt_of(tx);
    resolve_pool(tx)->resolves.asking_count++;
    list_remove(&doubt->link);
    doubt->conn = conn;
    doubt->answer = ANSWER_NONE;
    doubt->has_row = false;
    doubt->asked_count++;
    if (resolve_put_question(conn, tx)) {
        pg_conn_flush(conn);
        return;
    }
    resolve_settle(tx);
    pg_conn_break(conn, QURING_IN_DOUBT, "53200", "out of memory");
}

static uint32_t resolve_limit(const struct pg_pool *pool) {
    uint32_t count = pool->db->options.connection_count;
    return count > 1 ? count / 2 : 1;
}

void pg_resolve_admit(struct pg_pool *pool) {
    struct pg_resolves *resolves = &pool->resolves;
    PRE(pg_resolve_waits(pool));
    pg_placement_begin(&pool->placement);
    while (!list_empty(&resolves->waiting) && resolves->asking_count < resolve_limit(pool)) {
        struct pg_doubt *doubt = list_entry(list_first(&resolves->waiting), struct pg_doubt, link);
        struct pg_conn *conn = pg_lease_hold(pool, doubt_tx(doubt));
        if (!conn)
            break;
        resolve_ask(doubt_tx(doubt), conn);
    }
    if (!list_empty(&resolves->waiting))
        db_due(pool->db);
}

/* ---- Reports ---- */

void pg_resolve_begin(struct pg_conn *conn, struct quring_tx *tx) {
    struct pg_pool *pool = pg_pool_of(conn);
    struct pg_doubt *doubt = doubt_of(tx);
    struct ring *ring = pg_pool_ring(pool);
    uint64_t now_ns = ring_now_ns(ring), wait_ns = tx->options.resolve_timeout_ns;
    PRE(tx->state == TX_ENDING && tx_can_be_asked_for(tx) && !list_empty(&doubt->held));
    doubt->pool = pool;
    doubt->until_ns = wait_ns < UINT64_MAX - now_ns ? now_ns + wait_ns : UINT64_MAX;
    if (!heap_push(&pool->resolves.due, &doubt->due, doubt->until_ns)) {
        resolve_finish(tx, ANSWER_NONE);
        tx_end(tx);
        return;
    }
    list_push_back(&pool->resolves.waiting, &doubt->link);
    resolve_arm(pool);
    db_due(pool->db);
}

void pg_resolve_abandon(struct query *query, quring_status status) {
    struct quring_tx *tx = query->queue->tx;
    list_remove(&query->link);
    pg_query_give_up(query, status);
    if (pg_resolve_has(tx) && list_empty(&doubt_of(tx)->held) && !doubt_of(tx)->conn)
        resolve_end(tx);
}

void pg_resolve_time_out(struct quring_tx *tx) {
    struct list *node;
    while (pg_resolve_has(tx) && (node = list_first(&doubt_of(tx)->held)))
        pg_resolve_abandon(list_entry(node, struct query, link), QURING_TIMEOUT);
}

void pg_resolve_init(struct pg_pool *pool) {
    list_init(&pool->resolves.waiting);
    pool->resolves.timer.fire = resolve_fired;
}

void pg_resolve_free(struct pg_pool *pool) {
    heap_free(&pool->resolves.due);
}
