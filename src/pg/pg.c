/* SPDX-License-Identifier: MIT */
/*
 * Connections come and go as follows. While none is up, one of them alone tries to connect, so a server that is down or
 * starting is asked by one, not by all; its success starts the others. Failed attempts back off exponentially, with
 * jitter. Queries wait for a server that was there before up to reconnect_wait_ns; a server that never was there, or that
 * refuses us for good (wrong password, no such database), ends them with its own words.
 */
#include "pg/pg.h"
#include "pg/backend.h"
#include "pg/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CONNECTIONS = 8,
    CONNECTIONS_MAX = 10000,
    DEPTH = 64,
    STATEMENT_TEXT_BYTES = 64 * 1024, /* longer texts are parsed for each use */
    BACKLOG_BYTES = 4 << 20           /* a connection with more than this to send takes no more queries */
};

static const uint64_t CONNECT_TIMEOUT_NS = 10000000000u;
static const uint64_t BACKOFF_NS = 50000000, BACKOFF_MAX_NS = 2000000000;

static struct pg_db *pg_db_of(struct quring_db *db) {
    return base_container_of(db, struct pg_db, base);
}

/* ---- Outages ---- */

static void fail_waiting(struct pg_db *db, const struct pg_conn *why) {
    queue_fail(&db->base.queue, QURING_NOT_SENT, why->sqlstate, why->message);
}

/* Refusals that another attempt does not change: authorisation (28), no such database (3D), no privilege (42501). */
static bool is_permanent(const char *sqlstate) {
    return strncmp(sqlstate, "28", 2) == 0 || strncmp(sqlstate, "3D", 2) == 0 || strcmp(sqlstate, "42501") == 0;
}

static void outage_fired(struct timer *timer) {
    struct pg_db *db = base_container_of(timer, struct pg_db, outage);
    if (db->conns_up)
        return; /* pg_advance() is about to use it */
    db->impatient = true;
    if (db->last_down)
        fail_waiting(db, db->last_down);
}

static bool retry_later(struct pg_conn *conn) {
    struct ring *ring = conn->db->base.host->ring;
    uint32_t doublings = conn->attempts < 6 ? conn->attempts : 6;
    uint64_t backoff = BACKOFF_NS << doublings;
    if (backoff > BACKOFF_MAX_NS)
        backoff = BACKOFF_MAX_NS;
    uint64_t jittered = backoff / 2 + rng_below(&conn->db->rng, backoff / 2 + 1);
    return timer_set(ring, &conn->timer, ring_now_ns(ring) + jittered);
}

static bool is_trying(const struct pg_conn *conn) {
    return conn->state == PG_CONNECTING || conn->state == PG_BARRIER_SENT || heap_contains(&conn->timer.node);
}

/* A bound connection went, and with it what its queries rely on: no other takes its place. */
static bool is_lost(const struct pg_conn *conn) {
    return conn->state == PG_DOWN && conn->was_up && pg_conn_is_bound(conn);
}

/* Of those that wait for their next attempt only the first to come keeps it; none does while another is at it. */
static void leave_one_trying(struct pg_db *db) {
    struct pg_conn *kept = NULL;
    for (uint32_t i = 0; i < db->conn_count; i++) {
        struct pg_conn *conn = &db->conns[i];
        bool busy = conn->state == PG_CONNECTING || conn->state == PG_BARRIER_SENT;
        if (busy || (is_trying(conn) && (!kept || conn->timer.node.key < kept->timer.node.key)))
            kept = conn;
        if (busy)
            break;
    }
    for (uint32_t i = 0; i < db->conn_count; i++)
        if (&db->conns[i] != kept && db->conns[i].state == PG_DOWN)
            timer_clear(db->base.host->ring, &db->conns[i].timer);
}

/* Sees to it that those try to connect that should: all of them while one is up, else one. */
static void plan_connecting(struct pg_db *db) {
    if (!db->conns_up)
        leave_one_trying(db);
    bool trying = false;
    for (uint32_t i = 0; i < db->conn_count; i++)
        trying |= is_trying(&db->conns[i]);
    for (uint32_t i = 0; i < db->conn_count; i++) {
        struct pg_conn *conn = &db->conns[i];
        if (db->connecting_count == PG_CONNECTING_MAX)
            return;
        if (conn->state != PG_DOWN || is_lost(conn) || is_trying(conn) || (trying && !db->conns_up))
            continue;
        if (!conn->attempts || !retry_later(conn))
            pg_attempt_start(conn);
        trying = true;
    }
}

void pg_db_plan(struct pg_db *db) {
    if (!db->base.closing)
        plan_connecting(db);
}

void pg_db_conn_up(struct pg_conn *conn) {
    struct pg_db *db = conn->db;
    db->conns_up++;
    db->base.host->stats.connect_count++;
    db->base.host->stats.connection_count++;
    plan_connecting(db);
}

/*
 * A connection is up when queries can be given to it. One that came up and went down again before that has served none, and
 * those that wait for it go on waiting as long as they did.
 */
static void end_outage(struct pg_db *db) {
    db->impatient = false;
    timer_clear(db->base.host->ring, &db->outage);
}

/* With none up, waiting queries end at once, or once they have waited long enough. */
static void end_or_wait(struct pg_db *db, const struct pg_conn *why) {
    struct ring *ring = db->base.host->ring;
    if (db->conns_up)
        return;
    if (db->impatient || is_permanent(why->sqlstate))
        fail_waiting(db, why);
    else if (!heap_contains(&db->outage.node))
        (void)timer_set(ring, &db->outage, ring_now_ns(ring) + db->base.options.reconnect_wait_ns);
}

void pg_db_conn_down(struct pg_conn *conn) {
    struct pg_db *db = conn->db;
    if (conn->was_up) {
        db->base.host->stats.connection_count--;
        db->base.host->stats.connection_lost_count += !db->base.closing;
    } else {
        db->base.host->stats.connect_failure_count += !db->base.closing;
    }
    db->last_down = conn;
    if (db->base.closing)
        return;
    conn->attempts++;
    db->base.server_pid = 0;
    if (is_lost(conn))
        return; /* the rest of a transaction must not run outside it: admit_bound() ends what comes */
    end_or_wait(db, conn);
    conn->was_up = false;
    plan_connecting(db);
}

void pg_db_postponed(struct pg_conn *conn) {
    conn->db->last_down = conn;
    conn->attempts++;
    end_or_wait(conn->db, conn);
    (void)retry_later(conn);
}

/* ---- Admission ---- */

static uint32_t conn_room(const struct pg_conn *conn) {
    uint64_t load = conn->session.next - conn->settled;
    if (conn->state != PG_CONN_READY || load >= conn->db->base.options.depth ||
        stream_backlog_bytes(&conn->stream) + buf_size(&conn->plain_out) > BACKLOG_BYTES)
        return PG_LOAD_NONE;
    return (uint32_t)load;
}

/* The server works on a request that nobody waits for any more, and all that is sent now waits behind it. */
static bool is_held_up(const struct pg_conn *conn) {
    return wire_session_outstanding(&conn->session) && !pg_conn_flight(conn, conn->session.head)->query;
}

static uint32_t conn_load(const struct pg_conn *conn) {
    uint32_t load = conn_room(conn);
    bool decided = load == 0 || load == PG_LOAD_NONE;
    return decided || base_likely(!is_held_up(conn)) ? load : load | PG_LOAD_HELD_UP;
}

/* Gives a run of queries to the least loaded connection, up to the load of the next one. False: none takes any. */
static bool admit_run(struct pg_db *db) {
    uint32_t least = 0;
    uint32_t second = PG_LOAD_HELD_UP + db->base.options.depth;
    for (uint32_t i = 1; i < db->conn_count; i++) {
        if (db->loads[i] < db->loads[least]) {
            second = db->loads[least] < second ? db->loads[least] : second;
            least = i;
        } else if (db->loads[i] < second) {
            second = db->loads[i];
        }
    }
    if (db->loads[least] == PG_LOAD_NONE)
        return false;
    struct pg_conn *conn = &db->conns[least];
    uint32_t count = second > db->loads[least] ? second - db->loads[least] : 1u;
    uint32_t held = db->loads[least] & PG_LOAD_HELD_UP; /* which no query more that is sent changes */
    struct query *query;
    while (count-- && db->loads[least] != PG_LOAD_NONE && (query = queue_take(&db->base.queue))) {
        pg_conn_send(conn, query);
        db->loads[least] = conn_room(conn) | held;
    }
    return true;
}

static void flush(struct pg_conn *conn) {
    if (buf_size(pg_conn_out(conn)))
        pg_conn_flush(conn);
}

static void admit_bound(struct queue *queue, struct pg_conn *conn) {
    struct query *query;
    if (base_unlikely(is_lost(conn)))
        queue_fail(queue, QURING_NOT_SENT, conn->sqlstate, conn->message);
    while (conn_room(conn) != PG_LOAD_NONE && (query = queue_take(queue)))
        pg_conn_send(conn, query);
    flush(conn);
}

static void admit_shared(struct pg_db *db) {
    if (!db->conns_up)
        return;
    for (uint32_t i = 0; i < db->conn_count; i++)
        db->loads[i] = conn_load(&db->conns[i]);
    while (db->base.queue.waiting_count && admit_run(db))
        ;
    for (uint32_t i = 0; i < db->conn_count; i++)
        flush(&db->conns[i]);
}

static void pg_advance(struct quring_db *base) {
    struct pg_db *db = pg_db_of(base);
    if (base->closing) {
        base->closed = true;
        for (uint32_t i = 0; i < db->conn_count; i++)
            base->closed &= db->conns[i].state == PG_DOWN;
        return;
    }
    for (uint32_t i = 0; base_unlikely(base->host->unsent_bytes != 0) && i < db->conn_count; i++)
        pg_conn_settle_unsent(&db->conns[i]);
    if (base_unlikely(db->conns_up && (db->impatient || heap_contains(&db->outage.node))))
        end_outage(db);
    list_for_each_safe(node, &base->ready) {
        struct queue *queue = list_entry(node, struct queue, ready);
        if (queue->bound)
            admit_bound(queue, queue->bound);
        else
            admit_shared(db);
    }
}

static void pg_abandon(struct query *query, quring_status status) {
    pg_conn_abandon(pg_query(query)->conn, query, status);
}

/* ---- Open and close ---- */

static void drop_info(void *backend) {
    pg_info_drop(backend);
}

static void pg_destroy(struct quring_db *base) {
    struct pg_db *db = pg_db_of(base);
    pg_detached_drop(db->detached);
    for (uint32_t i = 0; db->conns && i < db->conn_count; i++)
        pg_conn_free(&db->conns[i]);
    if (base->statements)
        statement_table_free(base->statements);
    ring_sockets_give(base->host->ring, db->socket_count);
    free(db->conns);
    free(db->loads);
    free(db->conninfo);
}

static int open_parts(struct pg_db *db, const char *url) {
    const quring_db_options *options = &db->base.options;
    db->conninfo = strdup(url);
    db->conns = calloc(db->conn_count, sizeof *db->conns);
    db->loads = calloc(db->conn_count, sizeof *db->loads);
    db->base.statements = statement_table_new(options->statement_count, STATEMENT_TEXT_BYTES, drop_info);
    db->detached = pg_detached_new();
    if (!db->detached || !db->conninfo || !db->conns || !db->loads || !db->base.statements)
        return QURING_ENOMEM;
    for (uint32_t i = 0; i < db->conn_count; i++)
        if (!pg_conn_init(&db->conns[i], db))
            return QURING_ENOMEM;
    if (options->exclusive)
        db->base.queue.bound = &db->conns[0];
    return 0;
}

static int check_options(struct quring_db *base, const char *url) {
    quring_db_options *options = &base->options;
    char message[PG_MESSAGE_BYTES] = "";
    int error = pg_url_check(url, &options->connect_timeout_ns, message, sizeof message);
    if (error)
        return error == QURING_ENOMEM ? error : host_error(base->host, error, "%s", message);
    if (!options->connect_timeout_ns)
        options->connect_timeout_ns = CONNECT_TIMEOUT_NS;
    if (!options->connection_count)
        options->connection_count = CONNECTIONS;
    if (!options->depth)
        options->depth = DEPTH;
    if (options->connection_count > CONNECTIONS_MAX)
        return host_error(base->host, QURING_EINVAL, "connection_count %u: at most %d", options->connection_count,
                          CONNECTIONS_MAX);
    return 0;
}

static uint64_t seed(const struct pg_db *db) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)now.tv_sec ^ (uint64_t)(uintptr_t)db;
}

static int pg_open(struct quring_db *base, const char *url) {
    struct pg_db *db = pg_db_of(base);
    pg_connect_prepare();
    int error = check_options(base, url);
    if (error)
        return error;
    db->conn_count = base->options.connection_count;
    if (!ring_sockets_take(base->host->ring, db->conn_count))
        return host_error(base->host, QURING_EFULL,
                          "connection_count %u: the engine's own limit of sockets leaves fewer", db->conn_count);
    db->socket_count = db->conn_count;
    db->impatient = true;
    db->connector = pg_current_connector();
    db->outage.fire = outage_fired;
    db->rng.state = seed(db);
    error = open_parts(db, url);
    if (error) {
        pg_destroy(base);
        return host_error(base->host, error, "no memory for the database handle");
    }
    pg_attempt_start(&db->conns[0]);
    return 0;
}

static void pg_close(struct quring_db *base) {
    struct pg_db *db = pg_db_of(base);
    timer_clear(base->host->ring, &db->outage);
    for (uint32_t i = 0; i < db->conn_count; i++)
        pg_conn_close(&db->conns[i]);
}

const struct backend pg_backend = {
    .name = "postgresql",
    .db_bytes = sizeof(struct pg_db),
    .accepts = pg_url_accepts,
    .open = pg_open,
    .advance = pg_advance,
    .abandon = pg_abandon,
    .close = pg_close,
    .destroy = pg_destroy,
};
