/* SPDX-License-Identifier: MIT */
/*
 * Attempts to connect. Each has a thread of its own, and no more than PG_ATTEMPTS_MAX of a pool are under way. An attempt
 * keeps to its deadline unless its thread is inside a call that does not return: a name look-up, or the key derivation that
 * a server asked for. Such an attempt is detached a little later, and its thread frees all that it has made. While
 * PG_DETACHED_MAX threads are left like this no new attempt begins, so that a dead name server can't collect threads.
 */
#include "pg/attempt.h"

#include "pg/barrier.h"
#include "pg/tls.h"
#include "ring/port.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t LATE_NS = 100000000;  /* from an attempt's deadline until it is detached */
static const uint64_t CLOSE_NS = 300000000; /* from the close of its handle until it is detached */

/* ---- Detached attempts ---- */

struct pg_detached *pg_detached_new(void) {
    struct pg_detached *detached = calloc(1, sizeof *detached);
    if (detached)
        atomic_init(&detached->references, 1);
    return detached;
}

void pg_detached_drop(struct pg_detached *detached) {
    if (detached && atomic_fetch_sub(&detached->references, 1) == 1)
        free(detached);
}

static void attempt_free(struct pg_connect *connect) {
    pg_detached_drop(connect->detached);
    free(connect);
}

/* Closes a connection that is no longer wanted. `port` NULL: on the attempt's own thread, which cannot use the ring. */
static void attempt_discard(struct pg_connect *connect, struct port *port) {
    struct buf out;
    if (connect->fd < 0)
        return;
    pg_put_terminate(connect->tls, &out);
    if (port) {
        port->methods->send_now(port, connect->fd, buf_head(&out), buf_size(&out));
        port->methods->close(port, connect->fd);
    } else {
        (void)!send(connect->fd, buf_head(&out), buf_size(&out), MSG_DONTWAIT | MSG_NOSIGNAL);
        close(connect->fd);
    }
    buf_free(&out);
    pg_tls_close(connect->tls);
}

/* The end of a detached attempt, on its own thread. */
static void attempt_detached(struct task *task) {
    struct pg_connect *connect = base_container_of(task, struct pg_connect, task);
    attempt_discard(connect, NULL);
    atomic_fetch_sub(&connect->detached->count, 1);
    attempt_free(connect);
}

static bool attempt_detach(struct pg_connect *connect) {
    struct pg_detached *detached = connect->detached;
    atomic_store(&connect->abort, true);
    atomic_fetch_add(&detached->count, 1);
    if (task_detach(&connect->task))
        return true;
    atomic_fetch_sub(&detached->count, 1);
    return false;
}

/* ---- Life ---- */

static void attempt_over(struct pg_conn *conn) {
    conn->connect = NULL;
    conn->config->attempts->count--;
    timer_clear(pg_conn_ring(conn), &conn->timer);
}

/* Once the handle is closing, that is the reason, whatever came of the attempt. */
static void attempt_failed(struct pg_conn *conn, const char *sqlstate, const char *message) {
    if (conn->config->db->closing)
        pg_conn_failed(conn, "57P01", "the database handle was closed while connecting");
    else
        pg_conn_failed(conn, sqlstate, message);
}

static void attempt_begin_barrier(struct pg_conn *conn, uint64_t until_ns) {
    if (!pg_barrier_encode(conn) || !timer_set(pg_conn_ring(conn), &conn->timer, until_ns))
        pg_conn_break(conn, QURING_NOT_SENT, "53200", "out of memory");
    else
        pg_conn_flush(conn);
}

static void attempt_done(struct task *task) {
    struct pg_connect *connect = base_container_of(task, struct pg_connect, task);
    struct pg_conn *conn = connect->conn;
    struct port *port = ring_port(pg_conn_ring(conn));
    attempt_over(conn);
    if (connect->fd < 0) {
        attempt_failed(conn, connect->sqlstate, connect->message);
    } else if (conn->config->db->closing || !pg_conn_hand_over(conn, connect, rng_next(&conn->config->attempts->rng))) {
        attempt_discard(connect, port);
        attempt_failed(conn, "53200", "out of memory, or over the engine's connection_count");
    } else {
        attempt_begin_barrier(conn, connect->until_ns);
    }
    attempt_free(connect);
}

static void attempt_run(struct task *task) {
    struct pg_connect *connect = base_container_of(task, struct pg_connect, task);
    connect->run(connect);
}

static struct pg_connect *attempt_new(struct pg_conn *conn) {
    struct pg_attempts *attempts = conn->config->attempts;
    struct port *port = ring_port(pg_conn_ring(conn));
    size_t size = strlen(attempts->conninfo) + 1;
    struct pg_connect *connect = calloc(1, sizeof *connect + size);
    if (!connect)
        return NULL;
    connect->task.run = attempt_run;
    connect->task.done = attempt_done;
    connect->task.detached = attempt_detached;
    connect->conn = conn;
    connect->run = attempts->connector;
    connect->detached = attempts->detached;
    atomic_fetch_add(&attempts->detached->references, 1);
    connect->until_ns = port->methods->now_ns(port) + conn->config->db->options.connect_timeout_ns;
    connect->fd = -1;
    memcpy(connect->conninfo, attempts->conninfo, size);
    return connect;
}

static void attempt_postpone(struct pg_conn *conn, const char *sqlstate, const char *message) {
    pg_conn_set_reason(conn, QURING_NOT_SENT, sqlstate, message);
    conn->events->postponed(conn);
}

void pg_attempt_start(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_DOWN && !conn->connect);
    struct pg_attempts *attempts = conn->config->attempts;
    struct ring *ring = pg_conn_ring(conn);
    timer_clear(ring, &conn->timer);
    if (attempts->count == PG_ATTEMPTS_MAX)
        return; /* the owner has a later one begin */
    if (atomic_load(&attempts->detached->count) >= PG_DETACHED_MAX) {
        attempt_postpone(conn, "08001",
                         "earlier attempts to connect have outlived their time, and no new one begins before one "
                         "of them ends");
        return;
    }
    struct pg_connect *connect = attempt_new(conn);
    if (!connect || task_start(ring, "quring-connect", &connect->task)) {
        if (connect)
            attempt_free(connect);
        attempt_postpone(conn, "53200", "no memory, or no thread, to connect with");
        return;
    }
    pg_conn_move(conn, PG_CONN_CONNECTING);
    conn->connect = connect;
    attempts->count++;
    (void)timer_set(ring, &conn->timer, connect->until_ns + LATE_NS);
}

static void attempt_give_up(struct pg_conn *conn) {
    if (!attempt_detach(conn->connect))
        return; /* it has just finished */
    attempt_over(conn);
    attempt_failed(conn, "08001", "timeout expired while connecting (connect_timeout_ns)");
}

void pg_attempt_end(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_CONNECTING && conn->connect);
    struct ring *ring = pg_conn_ring(conn);
    atomic_store(&conn->connect->abort, true);
    if (!timer_set(ring, &conn->timer, ring_now_ns(ring) + CLOSE_NS))
        attempt_give_up(conn);
}

void pg_attempt_timer(struct timer *timer) {
    struct pg_conn *conn = base_container_of(timer, struct pg_conn, timer);
    PRE(conn->state == PG_CONN_CONNECTING || conn->state == PG_CONN_BARRIER);
    if (conn->state == PG_CONN_CONNECTING)
        attempt_give_up(conn);
    else
        pg_conn_break(conn, QURING_NOT_SENT, "08001", "the server did not answer the first query in time");
}
