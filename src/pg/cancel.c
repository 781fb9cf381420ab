/* SPDX-License-Identifier: MIT */
#include "pg/cancel.h"

#include "base/hash.h"
#include "pg/conn.h"
#include "pg/request.h"
#include "pg/silence.h"
#include "pg/tx.h"
#include "ring/port.h"
#include "ring/task.h"
#include "value/value.h"
#include "wire/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CARRIERS_TRIED = 8, AGAIN_SHIFT_MAX = 6 };

static const uint64_t HEAD_NS = 2000000; /* a request that is young at the head may end before a cancel comes */
static const uint64_t AGAIN_NS =
    100000000; /* until it is asked again, since a cancel that meets no query is forgotten */
static const uint64_t CLOSE_NS = 250000000;  /* until a connection is closed, and between two that are */
static const uint64_t BOUND_NS = 5000000000; /* of one asking */

/* One asking, on a thread of its own. */
struct pg_cancel_job {
    struct task task;
    struct pg_cancels *cancels;
    struct pg_conn *conn; /* NULL: it has ended */
    struct pg_cancel_key *key;
    struct pg_hosts *hosts;     /* held */
    struct pg_trouble *trouble; /* of a detached one */
    enum pg_cancel_fate fate;
};

/* ---- State ---- */

/* The edges of the diagram in cancel.h. */
static void cancel_move(struct pg_conn *conn, enum pg_cancel_state to) {
    static const uint8_t next[] = {
        [PG_CANCEL_NONE] = 1 << PG_CANCEL_WANTED,
        [PG_CANCEL_WANTED] = 1 << PG_CANCEL_NONE | 1 << PG_CANCEL_OUT,
        [PG_CANCEL_OUT] = 1 << PG_CANCEL_NONE | 1 << PG_CANCEL_OVER,
        [PG_CANCEL_OVER] = 1 << PG_CANCEL_NONE | 1 << PG_CANCEL_OUT,
    };
    PRE(conn->cancel.state <= PG_CANCEL_OVER && (next[conn->cancel.state] >> to & 1));
    conn->cancel.state = (uint8_t)to;
    timer_clear(pg_conn_ring(conn), &conn->cancel.timer);
}

/* Nothing is out. It is no failure of the server's, for which others would have to wait, unless somebody loses by it. */
static void cancel_end_session(struct pg_conn *conn) {
    static const char why[] = "a request to cancel a query was cut off, and may come late";
    if (conn->tx || pg_conn_is_bound(conn))
        pg_conn_break(conn, QURING_IN_DOUBT, "08006", why);
    else
        pg_conn_end(conn, why);
}

static void cancel_none(struct pg_conn *conn) {
    cancel_move(conn, PG_CANCEL_NONE);
    list_remove(&conn->cancel.waiting);
    if (conn->cancel.cut)
        cancel_end_session(conn);
    else
        conn->events->let_go(conn);
}

static uint64_t cancel_now_ns(const struct pg_conn *conn) {
    struct port *port = ring_port(pg_conn_ring(conn));
    return port->methods->now_ns(port); /* the program may have been away since the last turn */
}

/* ---- The rule ---- */

static bool cancel_is_for_head(const struct pg_conn *conn) {
    return conn->session.head < conn->cancel.until && !pg_conn_is_asked(conn) &&
           (pg_conn_is_held_up(conn) || pg_conn_is_held_up_by_tx(conn));
}

/* `tx`: the transaction of the one at the head; NULL: it is of none. */
static bool cancel_may_strike(const struct pg_conn *conn, const struct quring_tx *tx,
                              const struct pg_request *request) {
    return tx ? pg_request_tx(request) == tx : pg_request_may_be_struck(conn, request);
}

/* Of an ATOMIC batch those before the head share its transaction. */
static bool cancel_strikes_no_other(const struct pg_conn *conn) {
    uint64_t head = conn->session.head;
    const struct quring_tx *tx = pg_request_tx(pg_conn_request(conn, head));
    for (uint64_t r = head - pg_conn_request(conn, head)->unit_index; r < conn->session.next; r++)
        if (!cancel_may_strike(conn, tx, pg_conn_request(conn, r)))
            return false;
    return true;
}

static bool cancel_is_awaited(const struct pg_request *request) {
    return pg_request_tx(request) ? pg_tx_is_awaited(request) : request->query || request->ops;
}

/* What is before the head was carried out, and waits for the sync point of its group. */
static bool cancel_awaits_none(const struct pg_conn *conn) {
    for (uint64_t r = conn->settled; r < conn->session.next; r++)
        if (cancel_is_awaited(pg_conn_request(conn, r)))
            return false;
    return true;
}

/* ---- The end of an asking ---- */

static void cancel_look(struct pg_conn *conn, bool fired);

/* A wait doubles each time. */
static void cancel_look_again(struct pg_conn *conn) {
    uint32_t shift = conn->cancel.asked_count < AGAIN_SHIFT_MAX ? conn->cancel.asked_count : AGAIN_SHIFT_MAX;
    (void)timer_set(pg_conn_ring(conn), &conn->cancel.timer, cancel_now_ns(conn) + (AGAIN_NS << shift));
}

static void cancel_ended(struct pg_conn *conn, bool taken) {
    conn->config->db->counters.cancel_count += taken;
    if (pg_conn_is_settled(conn)) {
        cancel_none(conn);
        return;
    }
    cancel_move(conn, PG_CANCEL_OVER);
    cancel_look_again(conn);
    cancel_look(conn, false); /* another that was given up may have come to the head */
}

/* ---- By libpq ---- */

/* Those that wait for a thread look whether they still want one. */
static void cancel_wake_waiting(struct pg_cancels *cancels) {
    struct list *node;
    while (cancels->count < PG_CANCELS_MAX && (node = list_pop_front(&cancels->waiting)))
        cancel_look(list_entry(node, struct pg_conn, cancel.waiting), true);
}

static struct pg_cancel_job *job_of(struct task *task) {
    return base_container_of(task, struct pg_cancel_job, task);
}

static uint64_t job_place(void) {
    return hash_bytes("cancel", 6, 0); /* among the addresses at which threads are stuck */
}

static void job_free(struct pg_cancel_job *job) {
    if (job->key)
        job->key->drop(job->key);
    pg_hosts_drop(job->hosts);
    free(job);
}

static void job_run(struct task *task) {
    struct pg_cancel_job *job = job_of(task);
    job->fate = job->key->ask(job->key, task);
}

static void job_done(struct task *task) {
    struct pg_cancel_job *job = job_of(task);
    struct pg_cancels *cancels = job->cancels;
    struct pg_conn *conn = job->conn;
    cancels->count--;
    db_due(cancels->db); /* its close may have waited for this */
    if (conn) {
        conn->cancel.job = NULL;
        conn->cancel.key = job->key;
        job->key = NULL;
        conn->cancel.cut |= job->fate == PG_CANCEL_CUT;
        cancel_ended(conn, job->fate == PG_CANCEL_TAKEN);
    }
    job_free(job);
    cancel_wake_waiting(cancels);
}

/* On its own thread. */
static void job_detached(struct task *task) {
    struct pg_cancel_job *job = job_of(task);
    atomic_fetch_sub(&job->trouble->stuck_count, 1);
    job_free(job);
}

/* Its connection has ended. Where it can't be detached it has just finished, and job_done() comes. */
static void job_leave(struct pg_cancel_job *job) {
    struct pg_cancels *cancels = job->cancels;
    struct pg_trouble *trouble = pg_hosts_stuck(job->hosts, job_place());
    job->conn = NULL;
    job->trouble = trouble;
    if (!task_detach(&job->task)) {
        atomic_fetch_sub(&trouble->stuck_count, 1);
        return;
    }
    cancels->count--;
    cancel_wake_waiting(cancels);
}

static struct pg_cancel_job *job_new(struct pg_conn *conn) {
    struct pg_cancels *cancels = conn->config->cancels;
    struct pg_cancel_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->task = (struct task){.run = job_run, .done = job_done, .detached = job_detached};
    job->cancels = cancels;
    job->conn = conn;
    job->key = conn->cancel.key;
    job->hosts = pg_hosts_hold(cancels->hosts);
    return job;
}

/* False: there is no memory, or no thread. */
static bool cancel_ask_by_libpq(struct pg_conn *conn) {
    struct pg_cancel_job *job = job_new(conn);
    if (!job)
        return false;
    if (task_start(pg_conn_ring(conn), "quring-cancel", &job->task)) {
        job->key = NULL;
        job_free(job);
        return false;
    }
    conn->cancel.key = NULL;
    conn->cancel.job = job;
    conn->config->cancels->count++;
    return true;
}

/* Threads that are stuck for a server that never ends the asking are not joined by ever more. */
static bool cancel_has_thread(struct pg_conn *conn) {
    struct pg_cancels *cancels = conn->config->cancels;
    if (pg_hosts_is_stuck(cancels->hosts, job_place())) {
        cancel_look_again(conn);
        return false;
    }
    if (cancels->count < PG_CANCELS_MAX)
        return true;
    if (list_empty(&conn->cancel.waiting))
        list_push_back(&cancels->waiting, &conn->cancel.waiting);
    return false;
}

/* ---- Over another connection ---- */

static const char carried_sql[] =
    "select pg_cancel_backend(pid) from pg_stat_activity where pid = $1::int4 and client_port = $2::int4";

enum { CARRIED_PARAMS = 2 };

static void carrier_row(struct pg_conn *conn, const struct wire_event *event) {
    struct cursor row = cursor_over(event->body, event->size);
    bool taken = cursor_u16(&row) == 1 && cursor_i32(&row) == 1 && cursor_u8(&row) == 't';
    if (conn->cancel.target)
        conn->cancel.target->cancel.taken |= taken;
}

/* A server without this function, or one that forbids it to us, goes on with what it is at. */
static void carrier_error(struct pg_conn *conn, const struct wire_event *event) {
    (void)conn;
    (void)event;
}

static void carrier_ready(struct pg_conn *conn, const struct wire_event *event) {
    struct pg_conn *target = conn->cancel.target;
    conn->settled = event->request + 1;
    conn->async_bytes = 0;
    conn->cancel.target = NULL;
    if (target) {
        target->cancel.carrier = NULL;
        cancel_ended(target, target->cancel.taken);
    }
    if (event->transaction != 'I')
        pg_conn_break(conn, QURING_PROTOCOL, "08P01", "an idle connection is within a transaction");
}

static const struct pg_request_ops carrier_operations = {
    .row = carrier_row, .error = carrier_error, .ready = carrier_ready};

static bool carrier_encode(struct pg_conn *conn, const struct pg_conn *target) {
    struct wire_session *session = &conn->session;
    struct buf *out = pg_conn_out(conn);
    const quring_param params[CARRIED_PARAMS] = {quring_int32(target->barrier.server_pid),
                                                 quring_int32(target->cancel.client_port)};
    *pg_conn_request(conn, session->next) = (struct pg_request){
        .ops = &carrier_operations, .param_count = CARRIED_PARAMS, .first_byte = socket_position(&conn->socket)};
    wire_session_begin(session, out);
    wire_session_put_parse(session, "", carried_sql, sizeof carried_sql - 1);
    wire_session_put_bind(session, "", CARRIED_PARAMS);
    for (uint16_t i = 0; i < (uint16_t)CARRIED_PARAMS; i++)
        wire_session_put_format(session, i, value_put_param(out, &params[i], 0));
    wire_session_put_results(session, NULL, 0);
    wire_session_put_execute(session);
    wire_session_put_sync(session);
    return wire_session_end(session, 1);
}

static bool cancel_may_carry(const struct pg_conn *conn, const struct pg_conn *target) {
    return conn->state == PG_CONN_READY && pg_conn_is_idle(conn) && !conn->barrier.pooled &&
           conn->cancel.server == target->cancel.server && !conn->cancel.target;
}

/* An idle connection to the same server, taken out of the placement, which it comes back to with the answer. */
static struct pg_conn *cancel_find_carrier(const struct pg_conn *target) {
    struct pg_placement *placement = target->config->cancels->placement;
    uint32_t tried_count = 0;
    pg_placement_begin(placement);
    list_for_each(node, &placement->idle) {
        struct pg_conn *conn = list_entry(node, struct pg_conn, place.idle);
        if (cancel_may_carry(conn, target)) {
            pg_placement_take_out(placement, conn);
            return conn;
        }
        if (++tried_count == (uint32_t)CARRIERS_TRIED)
            break;
    }
    return NULL;
}

static bool cancel_ask_over(struct pg_conn *target, struct pg_conn *conn) {
    if (!carrier_encode(conn, target)) {
        pg_conn_break(conn, QURING_NOT_SENT, "53200", "out of memory");
        return false;
    }
    conn->place.progress_ns = ring_now_ns(pg_conn_ring(conn));
    conn->cancel.target = target;
    target->cancel.carrier = conn;
    target->cancel.taken = false;
    pg_silence_given_up(conn, conn->session.next - 1);
    pg_conn_flush(conn);
    return true;
}

/* Whether its server was told will never be known: as if it was, so that another tells it again after a while. */
static void cancel_carrier_lost(struct pg_conn *target) {
    target->cancel.carrier = NULL;
    target->cancel.cut = true;
    target->cancel.taken = true;
    cancel_move(target, PG_CANCEL_OVER);
    cancel_look_again(target);
}

/* ---- By closing ---- */

/* Now and then one, since a server that is not told may go on with what it is at while another takes its place. */
static void cancel_close(struct pg_conn *conn, uint64_t now_ns) {
    struct pg_cancels *cancels = conn->config->cancels;
    uint64_t at_ns = cancels->closed_ns + CLOSE_NS;
    if (conn->cancel.closing != conn->session.head) {
        conn->cancel.closing = conn->session.head;
        at_ns = now_ns + CLOSE_NS;
    } else if (heap_contains(&conn->cancel.timer.node)) {
        return;
    }
    if (at_ns <= now_ns) {
        cancels->closed_ns = now_ns;
        pg_conn_end(conn, "a query on it was given up, and its server can't be told in any other way");
    } else {
        (void)timer_set(pg_conn_ring(conn), &conn->cancel.timer, at_ns);
    }
}

/* ---- When, and how ---- */

enum cancel_way { BY_LIBPQ, BY_ANOTHER, BY_CLOSING, BY_NONE };

static enum cancel_way cancel_way(const struct pg_conn *conn) {
    bool bound = pg_conn_is_bound(conn);
    if (conn->barrier.pooled)
        return bound ? BY_NONE : BY_CLOSING;
    if (conn->cancel.key || conn->cancel.job)
        return BY_LIBPQ;
    return conn->cancel.server && conn->cancel.client_port && !bound ? BY_ANOTHER : BY_NONE;
}

/* False: the asking could not begin. */
static bool cancel_go_out(struct pg_conn *conn, struct pg_conn *carrier, uint64_t now_ns) {
    struct pg_cancel *cancel = &conn->cancel;
    cancel->asked_count = cancel->asked == conn->session.head ? cancel->asked_count + 1 : 0;
    cancel->asked = conn->session.head;
    cancel_move(conn, PG_CANCEL_OUT);
    conn->events->gave_up(conn);
    (void)timer_set(pg_conn_ring(conn), &cancel->timer, now_ns + BOUND_NS);
    return carrier ? cancel_ask_over(conn, carrier) : cancel_ask_by_libpq(conn);
}

static void cancel_ask(struct pg_conn *conn, uint64_t now_ns) {
    enum cancel_way way = cancel_way(conn);
    bool refused = conn->cancel.asked == conn->session.head && !conn->cancel.taken;
    struct pg_conn *carrier = way == BY_ANOTHER && !refused ? cancel_find_carrier(conn) : NULL;
    bool closes = way == BY_CLOSING || (way == BY_ANOTHER && !carrier);
    if (closes && cancel_awaits_none(conn))
        cancel_close(conn, now_ns);
    else if (way == BY_ANOTHER && !carrier && !refused)
        cancel_look_again(conn); /* one may be idle by then */
    if (closes || (way == BY_LIBPQ && !cancel_has_thread(conn)))
        return;
    if (!cancel_go_out(conn, carrier, now_ns))
        cancel_ended(conn, false);
}

/* The request at the head was given up. `fired`: its wait is over. */
static void cancel_consider(struct pg_conn *conn, bool fired) {
    uint64_t now_ns = cancel_now_ns(conn), at_ns = conn->place.progress_ns + HEAD_NS;
    if (!cancel_strikes_no_other(conn))
        return;
    if (conn->cancel.state == PG_CANCEL_OVER && conn->cancel.asked == conn->session.head && !fired)
        return;
    if (!fired && at_ns > now_ns)
        (void)timer_set(pg_conn_ring(conn), &conn->cancel.timer, at_ns);
    else
        cancel_ask(conn, now_ns);
}

static void cancel_look(struct pg_conn *conn, bool fired) {
    const struct pg_cancel *cancel = &conn->cancel;
    PRE(pg_conn_is_up(conn));
    bool wants = cancel->state == PG_CANCEL_WANTED && conn->session.head < cancel->until;
    bool awaits = cancel->state == PG_CANCEL_OVER && !pg_conn_is_settled(conn);
    if (cancel->state == PG_CANCEL_NONE || cancel->state == PG_CANCEL_OUT)
        return;
    if (!wants && !awaits)
        cancel_none(conn);
    else if (cancel_is_for_head(conn))
        cancel_consider(conn, fired);
}

void pg_cancel_look(struct pg_conn *conn) {
    cancel_look(conn, false);
}

static void cancel_fired(struct timer *timer) {
    struct pg_conn *conn = base_container_of(timer, struct pg_conn, cancel.timer);
    if (conn->cancel.state != PG_CANCEL_OUT) {
        cancel_look(conn, true);
        return;
    }
    char message[PG_MESSAGE_BYTES];
    snprintf(message, sizeof message, "the server did not end a request to cancel a query within %llu s",
             (unsigned long long)(BOUND_NS / 1000000000u));
    pg_conn_break(conn, QURING_IN_DOUBT, "08006", message);
}

/* ---- Reports ---- */

void pg_cancel_given_up(struct pg_conn *conn, uint64_t request) {
    struct pg_cancel *cancel = &conn->cancel;
    if (!pg_conn_is_up(conn) || conn->config->db->closing || cancel_way(conn) == BY_NONE)
        return;
    if (cancel->until <= request)
        cancel->until = request + 1;
    if (cancel->state == PG_CANCEL_NONE) {
        cancel->timer.fire = cancel_fired;
        cancel->asked = cancel->closing = UINT64_MAX;
        cancel->asked_count = 0;
        cancel_move(conn, PG_CANCEL_WANTED);
    }
    cancel_look(conn, false);
}

void pg_cancel_end(struct pg_conn *conn) {
    struct pg_cancel *cancel = &conn->cancel;
    struct pg_cancel_job *job = cancel->job;
    if (cancel->target)
        cancel_carrier_lost(cancel->target);
    if (cancel->carrier)
        cancel->carrier->cancel.target = NULL;
    cancel->target = cancel->carrier = NULL;
    cancel->job = NULL;
    cancel->cut = false;
    cancel->until = 0;
    list_remove(&cancel->waiting);
    if (cancel->state != PG_CANCEL_NONE)
        cancel_move(conn, PG_CANCEL_NONE);
    if (job)
        job_leave(job);
}

void pg_cancels_init(struct pg_cancels *cancels, struct quring_db *db, struct pg_hosts *hosts,
                     struct pg_placement *placement) {
    PRE(db && hosts && placement);
    *cancels = (struct pg_cancels){.db = db, .hosts = hosts, .placement = placement};
    list_init(&cancels->waiting);
}
