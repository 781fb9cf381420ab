/* SPDX-License-Identifier: MIT */
/*
 * Attempts to connect. manners.h says how many of a pool are under way; each visit has a thread of its own.
 *
 * A visit keeps to its time by itself unless its thread is inside a call that does not return: a name look-up, or the key
 * derivation that a server asked for. Then the reactor, which never waits for a thread, detaches it a little later and goes
 * on with the next address; the thread frees all that it has made when it ends. An address at which PG_DETACHED_MAX threads
 * are left like this is passed over, so that a dead name server can't collect threads; where one is left, those that visit it
 * meanwhile count as well. What has cost an attempt its share of time is visited after all others for a while, so that not every
 * connection of a pool pays for it.
 */
#include "pg/attempt.h"

#include "base/utf8.h"
#include "pg/barrier.h"
#include "pg/manners.h"
#include "pg/tls.h"
#include "ring/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_BYTES_MIN = 8 }; /* of a host's reason beside those of others: less would tell nothing */

static const uint64_t ATTEMPT_NS = 10000000000u; /* where nothing says how long it may take */
static const uint64_t LATE_NS = 100000000;       /* at most, from a visit's end until it is detached */
static const uint64_t BARRIER_NS = 1000000000;   /* that the first exchange has, or a quarter of all if that is less */
static const uint64_t CLOSE_NS = 300000000;      /* from the close of its handle until it is detached */

/* A host's turn. */
struct attempt_step {
    uint32_t host;
    const char *session; /* target_session_attrs; NULL: the connection string's */
    bool missed;         /* all visits so far have used up their time */
};

struct pg_attempt {
    uint64_t until_ns, step_until_ns; /* the end of all, and of the share of this step */
    uint32_t address;                 /* of `addresses`, which is empty until the step's name was looked up */
    struct pg_addresses addresses;
    bool is_final;       /* a server has refused us in a way that others need not be asked for */
    bool barrier_missed; /* the first exchange used its time up */
    char sqlstate[6];
    char message[PG_MESSAGE_BYTES];
    uint32_t step, step_count;
    struct attempt_step steps[];
};

/* ---- Detached visits ---- */

/* It is not stuck, or not any more. */
static void visit_leave(struct pg_connect *connect) {
    if (connect->trouble)
        atomic_fetch_sub(&connect->trouble->stuck_count, 1);
    connect->trouble = NULL;
}

static void visit_free(struct pg_connect *connect) {
    visit_leave(connect);
    if (connect->cancel_key)
        connect->cancel_key->drop(connect->cancel_key);
    pg_hosts_drop(connect->hosts);
    free(connect);
}

/* Closes a connection that is no longer wanted. `port` NULL: on the visit's own thread, which cannot use the ring. */
static void visit_discard(struct pg_connect *connect, struct port *port) {
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

/* The end of a detached visit, on its own thread. */
static void visit_detached(struct task *task) {
    struct pg_connect *connect = base_container_of(task, struct pg_connect, task);
    visit_discard(connect, NULL);
    visit_free(connect);
}

static bool visit_detach(struct pg_connect *connect) {
    if (!connect->trouble)
        connect->trouble = pg_hosts_stuck(connect->hosts, connect->key);
    atomic_store(&connect->abort, true);
    return task_detach(&connect->task);
}

/* ---- What became of the hosts ---- */

static const struct pg_host *attempt_host(const struct pg_conn *conn) {
    return &conn->config->attempts->hosts->hosts[conn->attempt->steps[conn->attempt->step].host];
}

/* The address that is to be visited. NULL: the name has to be looked up first. */
static const char *attempt_address(const struct pg_conn *conn) {
    const struct pg_attempt *attempt = conn->attempt;
    if (attempt->addresses.count)
        return attempt->addresses.text[attempt->address];
    return attempt_host(conn)->is_name && conn->config->attempts->look_up ? NULL : "";
}

static uint64_t attempt_key(const struct pg_conn *conn) {
    return pg_hosts_key(attempt_host(conn), attempt_address(conn));
}

/*
 * libpq's words for one of several: without the host and the port that they begin with, because ours stand before them, and
 * in one line.
 */
static const char *attempt_short(const char *message, int *size) {
    const char *reason = strncmp(message, "connection to ", 14) == 0 ? strstr(message, " failed: ") : NULL;
    reason = reason ? reason + 9 : message;
    *size = (int)strcspn(reason, "\n");
    return reason;
}

/* A line for each host or address. Where they are too many for all to have room, the first ones are left out. */
static void attempt_add_line(struct pg_conn *conn, const char *message) {
    struct pg_attempt *attempt = conn->attempt;
    const struct pg_host *host = attempt_host(conn);
    const char *name = *host->host ? host->host : host->address, *address = attempt_address(conn);
    size_t used = strlen(attempt->message), left = attempt->step_count - attempt->step;
    if (attempt->addresses.count)
        left += attempt->addresses.count - attempt->address - 1;
    size_t room = (sizeof attempt->message - used - 1) / left;
    if (room < LINE_BYTES_MIN)
        return;
    char line[PG_MESSAGE_BYTES];
    int size;
    const char *reason = attempt_short(message, &size);
    bool port = *host->port && *host->port != ',', addressed = address && *address;
    snprintf(line, room < sizeof line ? room : sizeof line, "%s%.*s%s%.*s%s%s%s: %.*s", used ? "\n" : "",
             (int)strcspn(name, ","), name, port ? ":" : "", (int)strcspn(host->port, ","), host->port,
             addressed ? " (" : "", addressed ? address : "", addressed ? ")" : "", size, reason);
    utf8_tidy(line);
    memcpy(attempt->message + used, line, strlen(line) + 1);
}

/* Keeps why the visit failed; of the SQLSTATEs the last one that a server gave. */
static void attempt_note(struct pg_conn *conn, const char *sqlstate, const char *message) {
    struct pg_attempt *attempt = conn->attempt;
    attempt->is_final = pg_manners_is_for_good(sqlstate);
    if (strcmp(sqlstate, "08001") != 0 || !attempt->sqlstate[0])
        memcpy(attempt->sqlstate, sqlstate, sizeof attempt->sqlstate);
    if (attempt->step_count == 1 && attempt->addresses.count <= 1)
        snprintf(attempt->message, sizeof attempt->message, "%s", message);
    else
        attempt_add_line(conn, message);
}

/* ---- The order of visits ---- */

static void attempt_swap(struct attempt_step *a, struct attempt_step *b) {
    struct attempt_step other = *a;
    *a = *b;
    *b = other;
}

/* Moves those that recently cost an attempt its time behind the others; both keep their order. */
static void attempt_put_last(struct pg_conn *conn, uint32_t count, uint64_t now_ns) {
    struct pg_hosts *hosts = conn->config->attempts->hosts;
    struct attempt_step *steps = conn->attempt->steps;
    uint32_t end = count;
    for (uint32_t i = 0; i < end;) {
        if (!pg_hosts_is_last(hosts, pg_hosts_key(&hosts->hosts[steps[i].host], ""), now_ns)) {
            i++;
            continue;
        }
        for (uint32_t at = i; at + 1 < count; at++)
            attempt_swap(&steps[at], &steps[at + 1]);
        end--;
    }
}

static void attempt_order_steps(struct pg_conn *conn, uint64_t now_ns) {
    struct pg_attempts *attempts = conn->config->attempts;
    struct pg_attempt *attempt = conn->attempt;
    uint32_t count = attempts->hosts->count;
    for (uint32_t i = 0; i < count; i++) {
        attempt->steps[i] = (struct attempt_step){.host = i, .missed = true};
        if (attempts->hosts->shuffled)
            attempt_swap(&attempt->steps[i], &attempt->steps[rng_below(&attempts->rng, i + 1)]);
    }
    attempt_put_last(conn, count, now_ns);
    for (uint32_t i = count; i < attempt->step_count; i++) {
        attempt->steps[i] = attempt->steps[i - count];
        attempt->steps[i].session = "any";
        attempt->steps[i - count].session = "standby";
    }
}

/* The same for the addresses of a name. */
static void attempt_order_addresses(struct pg_conn *conn, const struct pg_addresses *found, uint64_t now_ns) {
    struct pg_attempts *attempts = conn->config->attempts;
    struct pg_addresses *addresses = &conn->attempt->addresses;
    uint32_t order[PG_ADDRESSES_MAX], last[PG_ADDRESSES_MAX], last_count = 0;
    for (uint32_t i = 0; i < found->count; i++) {
        uint32_t other = attempts->hosts->shuffled ? (uint32_t)rng_below(&attempts->rng, i + 1) : i;
        order[i] = i;
        order[i] = order[other];
        order[other] = i;
    }
    addresses->count = conn->attempt->address = 0;
    for (uint32_t i = 0; i < found->count; i++) {
        const char *address = found->text[order[i]];
        if (pg_hosts_is_last(attempts->hosts, pg_hosts_key(attempt_host(conn), address), now_ns))
            last[last_count++] = order[i];
        else
            memcpy(addresses->text[addresses->count++], address, PG_ADDRESS_BYTES);
    }
    for (uint32_t i = 0; i < last_count; i++)
        memcpy(addresses->text[addresses->count++], found->text[last[i]], PG_ADDRESS_BYTES);
}

/* A host that used its time up when it was asked for a standby is not asked again. */
static bool attempt_skips(const struct pg_conn *conn, uint32_t step) {
    const struct pg_attempt *attempt = conn->attempt;
    uint32_t count = conn->config->attempts->hosts->count;
    return step >= count && step - count < attempt->step && attempt->steps[step - count].missed;
}

/* The next host's turn, if there is one, gets its share of the time that is left, and no more than libpq would give it. */
static void attempt_enter_step(struct pg_conn *conn) {
    struct pg_attempt *attempt = conn->attempt;
    struct port *port = ring_port(pg_conn_ring(conn));
    uint64_t now = port->methods->now_ns(port), left = 0;
    attempt->addresses.count = 0;
    while (attempt->step < attempt->step_count && attempt_skips(conn, attempt->step))
        attempt->step++;
    for (uint32_t i = attempt->step; i < attempt->step_count; i++)
        left += !attempt_skips(conn, i);
    if (!left)
        return;
    uint64_t share = now < attempt->until_ns ? (attempt->until_ns - now) / left : 0;
    uint64_t each = conn->config->db->options.connect_timeout_ns ? 0 : conn->config->attempts->hosts->timeout_ns;
    attempt->step_until_ns = now + (each && each < share ? each : share);
}

static void attempt_leave_step(struct pg_conn *conn) {
    struct pg_attempt *attempt = conn->attempt;
    struct pg_hosts *hosts = conn->config->attempts->hosts;
    struct port *port = ring_port(pg_conn_ring(conn));
    uint64_t key = pg_hosts_key(attempt_host(conn), "");
    if (attempt->steps[attempt->step].missed)
        pg_hosts_put_last(hosts, key, port->methods->now_ns(port));
    else
        pg_hosts_clear(hosts, key);
    attempt->step++;
    attempt_enter_step(conn);
}

/* After a visit that brought nothing: to the next address, or host. `missed`: it used its time up. */
static void attempt_advance(struct pg_conn *conn, bool missed) {
    struct pg_attempt *attempt = conn->attempt;
    struct pg_hosts *hosts = conn->config->attempts->hosts;
    struct port *port = ring_port(pg_conn_ring(conn));
    if (missed)
        pg_hosts_put_last(hosts, attempt_key(conn), port->methods->now_ns(port));
    else
        pg_hosts_clear(hosts, attempt_key(conn));
    attempt->steps[attempt->step].missed &= missed;
    if (!attempt->addresses.count || ++attempt->address == attempt->addresses.count)
        attempt_leave_step(conn);
}

/* ---- Visits ---- */

static void attempt_run(struct task *task) {
    struct pg_connect *connect = base_container_of(task, struct pg_connect, task);
    connect->run(connect);
}

static void attempt_visit_done(struct task *task);

static struct pg_connect *visit_new(struct pg_conn *conn, uint64_t until_ns) {
    const struct pg_attempts *attempts = conn->config->attempts;
    const char *address = attempt_address(conn);
    struct pg_connect *connect = calloc(1, sizeof *connect);
    if (!connect)
        return NULL;
    connect->task.run = attempt_run;
    connect->task.done = attempt_visit_done;
    connect->task.detached = visit_detached;
    connect->conn = conn;
    connect->run = address ? attempts->connector : attempts->look_up;
    connect->hosts = pg_hosts_hold(attempts->hosts);
    connect->host = attempt_host(conn);
    connect->session = conn->attempt->steps[conn->attempt->step].session;
    connect->key = attempt_key(conn);
    connect->until_ns = until_ns;
    connect->fd = -1;
    snprintf(connect->address, sizeof connect->address, "%s", address ? address : "");
    return connect;
}

/* The reactor looks at a visit a little after its time is over, because its thread, if it can, ends it by itself. */
static bool visit_begin(struct pg_conn *conn, uint64_t now_ns, uint64_t until_ns) {
    struct ring *ring = pg_conn_ring(conn);
    uint64_t late = (until_ns - now_ns) / 4;
    struct pg_connect *connect = visit_new(conn, until_ns);
    if (!connect || task_start(ring, "quring-connect", &connect->task)) {
        if (connect)
            visit_free(connect);
        return false;
    }
    connect->trouble = pg_hosts_enter(connect->hosts, connect->key);
    conn->connect = connect;
    conn->config->attempts->stepped_ns = now_ns;
    (void)timer_set(ring, &conn->timer, until_ns + (late < LATE_NS ? late : LATE_NS));
    return true;
}

/* Begins the next visit that may begin. False: none is left, or there is no memory or no thread for it. */
static bool attempt_visit(struct pg_conn *conn) {
    struct pg_attempt *attempt = conn->attempt;
    struct port *port = ring_port(pg_conn_ring(conn));
    while (attempt->step < attempt->step_count && !attempt->is_final) {
        uint64_t now = port->methods->now_ns(port), until = attempt->step_until_ns;
        if (now >= until) {
            attempt_note(conn, "08001", "timeout expired before its turn (connect_timeout_ns)");
            attempt_leave_step(conn);
        } else if (pg_hosts_is_stuck(conn->config->attempts->hosts, attempt_key(conn))) {
            attempt_note(conn, "08001",
                         "earlier attempts to connect have outlived their time, and no new one begins before one of "
                         "them ends");
            attempt_advance(conn, true);
        } else {
            if (attempt->address < attempt->addresses.count)
                until = now + (until - now) / (attempt->addresses.count - attempt->address);
            if (visit_begin(conn, now, until))
                return true;
            attempt_note(conn, "53200", "no memory, or no thread, to connect with");
            return false;
        }
    }
    return false;
}

/* ---- Life ---- */

bool pg_attempts_init(struct pg_attempts *attempts, const char *conninfo, uint64_t seed) {
    *attempts = (struct pg_attempts){.hosts = pg_hosts_new(conninfo),
                                     .connector = pg_current_connector(),
                                     .look_up = pg_current_look_up(),
                                     .rng = {.state = seed}};
    return attempts->hosts != NULL;
}

void pg_attempts_free(struct pg_attempts *attempts) {
    pg_hosts_drop(attempts->hosts);
}

/* The time is the option's, over all; or libpq's, for each host; or ours. */
static uint64_t attempt_duration_ns(const struct pg_conn *conn) {
    uint64_t timeout = conn->config->db->options.connect_timeout_ns, each = conn->config->attempts->hosts->timeout_ns;
    uint64_t most = (INT64_MAX / 2) / conn->attempt->step_count;
    return timeout ? timeout : each ? (each < most ? each : most) * conn->attempt->step_count : ATTEMPT_NS;
}

/* False: no memory. */
static bool attempt_init(struct pg_conn *conn) {
    const struct pg_hosts *hosts = conn->config->attempts->hosts;
    struct port *port = ring_port(pg_conn_ring(conn));
    uint32_t count = hosts->count * (hosts->prefer_standby ? 2 : 1);
    free(conn->attempt);
    conn->attempt = calloc(1, sizeof *conn->attempt + count * sizeof conn->attempt->steps[0]);
    if (!conn->attempt)
        return false;
    uint64_t now = port->methods->now_ns(port);
    conn->attempt->step_count = count;
    conn->attempt->until_ns = now + attempt_duration_ns(conn);
    attempt_order_steps(conn, now);
    attempt_enter_step(conn);
    return true;
}

/* CONNECTING -> DOWN. Once the handle is closing, that is the reason, whatever came of the attempt. */
static void attempt_fail(struct pg_conn *conn) {
    struct pg_attempt *attempt = conn->attempt;
    timer_clear(pg_conn_ring(conn), &conn->timer);
    conn->attempt = NULL;
    if (conn->config->db->closing)
        pg_conn_failed(conn, "57P01", "the database handle was closed while connecting");
    else
        pg_conn_failed(conn, attempt->sqlstate, attempt->message);
    free(attempt);
}

/* It has some time even where the visit's is used up: the program may have been elsewhere since its thread had connected. */
static uint64_t attempt_barrier_end(const struct pg_conn *conn, uint64_t until_ns) {
    uint64_t share_ns = attempt_duration_ns(conn) / 4, now_ns = ring_now_ns(pg_conn_ring(conn));
    uint64_t least_ns = now_ns + (share_ns < BARRIER_NS ? share_ns : BARRIER_NS);
    return until_ns > least_ns ? until_ns : least_ns;
}

static void attempt_begin_barrier(struct pg_conn *conn, uint64_t until_ns) {
    if (!pg_barrier_encode(conn)) {
        pg_conn_break(conn, QURING_NOT_SENT, "53200", "out of memory");
        return;
    }
    struct port *port = ring_port(pg_conn_ring(conn));
    conn->config->attempts->stepped_ns = port->methods->now_ns(port);
    (void)timer_set(pg_conn_ring(conn), &conn->timer, attempt_barrier_end(conn, until_ns));
    pg_conn_flush(conn);
}

static void attempt_connected(struct pg_conn *conn, struct pg_connect *connect) {
    struct pg_attempts *attempts = conn->config->attempts;
    if (pg_conn_hand_over(conn, connect, rng_next(&attempts->rng))) {
        connect->cancel_key = NULL;
        pg_hosts_clear(attempts->hosts, connect->key);
        pg_hosts_clear(attempts->hosts, pg_hosts_key(connect->host, ""));
        attempt_begin_barrier(conn, connect->until_ns);
        return;
    }
    visit_discard(connect, ring_port(pg_conn_ring(conn)));
    attempt_note(conn, "53200", "out of memory, or over the engine's connection_count");
    attempt_fail(conn);
}

/* A visit that is over has not connected. */
static void attempt_visited(struct pg_conn *conn, struct pg_connect *connect) {
    struct port *port = ring_port(pg_conn_ring(conn));
    if (connect->found.count) {
        attempt_order_addresses(conn, &connect->found, port->methods->now_ns(port));
    } else {
        attempt_note(conn, connect->sqlstate, connect->message);
        attempt_advance(conn, connect->missed);
    }
    if (!attempt_visit(conn))
        attempt_fail(conn);
}

static void attempt_visit_done(struct task *task) {
    struct pg_connect *connect = base_container_of(task, struct pg_connect, task);
    struct pg_conn *conn = connect->conn;
    visit_leave(connect);
    conn->connect = NULL;
    timer_clear(pg_conn_ring(conn), &conn->timer);
    if (conn->config->db->closing) {
        visit_discard(connect, ring_port(pg_conn_ring(conn)));
        attempt_fail(conn);
    } else if (connect->fd >= 0) {
        attempt_connected(conn, connect);
    } else {
        attempt_visited(conn, connect);
    }
    visit_free(connect);
}

void pg_attempt_start(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_DOWN && !conn->connect);
    timer_clear(pg_conn_ring(conn), &conn->timer);
    bool has_memory = attempt_init(conn);
    if (has_memory && attempt_visit(conn)) {
        pg_conn_move(conn, PG_CONN_CONNECTING);
        return;
    }
    pg_conn_set_reason(conn, QURING_NOT_SENT, has_memory ? conn->attempt->sqlstate : "53200",
                       has_memory ? conn->attempt->message : "no memory to connect with");
    free(conn->attempt);
    conn->attempt = NULL;
    conn->events->postponed(conn);
}

bool pg_attempt_goes_on(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_DOWN && !conn->connect);
    struct pg_attempt *attempt = conn->attempt;
    if (!attempt)
        return false;
    if (!conn->config->db->closing) {
        attempt_note(conn, conn->reason.sqlstate, conn->reason.message);
        attempt_advance(conn, attempt->barrier_missed);
        attempt->barrier_missed = false;
        if (attempt_visit(conn)) {
            pg_conn_move(conn, PG_CONN_CONNECTING);
            return true;
        }
        pg_conn_set_reason(conn, conn->reason.status, attempt->sqlstate, attempt->message);
    }
    free(attempt);
    conn->attempt = NULL;
    return false;
}

static void attempt_give_up_visit(struct pg_conn *conn) {
    if (!visit_detach(conn->connect))
        return; /* it has just finished */
    conn->connect = NULL;
    if (!conn->config->db->closing) {
        attempt_note(conn, "08001", "timeout expired while connecting (connect_timeout_ns)");
        attempt_advance(conn, true);
        if (attempt_visit(conn))
            return;
    }
    attempt_fail(conn);
}

void pg_attempt_end(struct pg_conn *conn) {
    PRE(conn->state == PG_CONN_CONNECTING && conn->connect);
    struct ring *ring = pg_conn_ring(conn);
    atomic_store(&conn->connect->abort, true);
    (void)timer_set(ring, &conn->timer, ring_now_ns(ring) + CLOSE_NS);
}

void pg_attempt_timer(struct timer *timer) {
    struct pg_conn *conn = base_container_of(timer, struct pg_conn, timer);
    PRE(conn->state == PG_CONN_CONNECTING || conn->state == PG_CONN_BARRIER);
    if (conn->state == PG_CONN_CONNECTING) {
        attempt_give_up_visit(conn);
    } else {
        conn->attempt->barrier_missed = true;
        pg_conn_break(conn, QURING_NOT_SENT, "08001", "the server did not answer the first query in time");
    }
}
