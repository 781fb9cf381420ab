/* SPDX-License-Identifier: MIT */
/*
 * The PostgreSQL backend: libpq connects, then the ring carries the bytes.
 *
 *   pg.c          the database handle: URL, options, the pool of its server
 *   pool.c        connections to one server: outages, admission of queries
 *   look.c        how many of them are in which state
 *   sizes.c       how many connections there are, and which end for others to take their place
 *   plan.c        which of them try to connect
 *   order.c       queries with an order key: where they go, and which of them wait
 *   cancel.c      tells the server to stop what was given up
 *   rerun.c       ATOMIC batches that a conflict undid, until they run again
 *   resolve.c     asks whether transactions committed whose COMMIT was lost
 *   lease.c       which transaction holds which connection, and who waits for one
 *   tx.c          when which part of a transaction is sent, what its replies mean, and the loss of its connection
 *   tx_put.c      its parts as protocol messages: BEGIN, queries, token or note, the end and the reset
 *   savepoint.c   which savepoint of a transaction ROLLBACK TO goes back to
 *   bulk.c        ATOMIC batches of more members than depth, as transactions: who is told what, or that all runs again
 *   health.c      asks connections that were idle for long whether they are there
 *   placement.c   the choice of the connection that takes the next queries
 *   attempt.c     attempts to connect: which hosts they visit, how long that may take, which visits are detached
 *   manners.c     when attempts may begin, and how many at once; which refusals are for good
 *   batch.c       sends an ATOMIC batch on a connection
 *   conn.c        one connection: what is sent, what arrives on it, what it leaves behind when it is lost
 *   barrier.c     the first exchange on it
 *   reply.c       what replies mean for their queries
 *   atomic.c      the end of an ATOMIC batch: who is told what, or that it runs again
 *   silence.c     the end of connections on which nothing comes any more
 *   request.c     a query as protocol messages
 *   conn_state.c  what a connection consists of, its states, and why it ends
 *   prepared.c    what is prepared on a connection, under which name
 *   description.c what the server inferred of a statement
 *   connect.c     a blocking job: libpq connects, authenticates, and gives the socket away
 *   hosts.c       the hosts of a connection string, and what is known of those that cost attempts their time
 *   url.c         connection strings, of which no message quotes anything
 *   tls.c         between the socket's bytes and the protocol's, on an encrypted connection
 *
 * Headers and calls point down this list, and an owner hears from what it owns by tables: pg_conn_events of a connection,
 * pg_request_ops of the barrier, of a health check, of a transaction, and of a cancel that another connection carries.
 */
#include "pg/pg.h"

#include "pg/backend.h"
#include "pg/bulk.h"
#include "pg/lease.h"
#include "pg/look.h"
#include "pg/plan.h"
#include "pg/rerun.h"
#include "pg/resolve.h"
#include "pg/silence.h"
#include "pg/sizes.h"
#include "pg/tx.h"
#include "pg/url.h"

enum {
    CONNECTIONS = 8,
    CONNECTIONS_MAX = 10000,
    DEPTH = 64,
    STATEMENT_TEXT_BYTES = 64 * 1024 /* longer texts are parsed for each use */
};

static const uint64_t SILENCE_NS = 5000000000u;
static const uint64_t TIME_MAX_NS = (uint64_t)1 << 62; /* times are added to the clock */

static struct pg_db *pg_db_of(struct quring_db *db) {
    return base_container_of(db, struct pg_db, base);
}

static void pg_advance(struct quring_db *base) {
    struct pg_pool *pool = &pg_db_of(base)->pool;
    if (base->closing) {
        base->closed = pg_pool_is_closed(pool);
        return;
    }
    pg_pool_advance(pool);
    if (base_unlikely(base->warming) && pg_pool_holds(pool))
        return;
    if (base_unlikely(pg_resolve_waits(pool)))
        pg_resolve_admit(pool);
    if (base_unlikely(pg_lease_has_parked(pool))) {
        pg_lease_joined(pool);
        pg_pool_admit_older(pool);
    }
    list_for_each_safe(node, &base->ready)
        pg_pool_admit(pool, list_entry(node, struct queue, ready));
    pg_lease_admit_parked(pool, UINT64_MAX);
    if (base_unlikely(pool->wanted_count < pool->most_count && (pg_lease_has_parked(pool) || pg_resolve_waits(pool))))
        pg_sizes_grow(pool);
}

/* Nobody waits for the batch any more. */
static void pg_abandon_bulk(struct quring_tx *tx, quring_status status) {
    static const quring_error why = {"57014", 0, 0, "all queries of the batch were given up", "", "", ""};
    const struct pg_tx *pg = pg_tx_of(tx);
    if (tx->state == TX_ENDING) {
        if (pg_bulk_give_up_end(tx) && status != QURING_SHUTDOWN)
            pg_cancel_given_up(pg->conn, pg->end);
        return;
    }
    tx_fail_batch(tx, 0, status, &why);
    if (pg->conn && status != QURING_SHUTDOWN && pg->last >= pg->conn->settled)
        pg_cancel_given_up(pg->conn, pg->last);
    pg_lease_changed(tx);
}

/* Of an ATOMIC batch that is a transaction. The others go on, if it was sent, and was not undone to be run again. */
static void pg_abandon_member(struct query *query, quring_status status) {
    struct pg_query at = *pg_query(query);
    struct quring_tx *tx = query->queue->tx;
    if (at.conn) {
        pg_conn_abandon(at.conn, query, status);
        pg_silence_given_up(at.conn, at.request);
    } else if (query->sent) {
        pg_query_give_up(query, status);
    } else {
        pg_rerun_abandon(&pg_db_of(query->queue->db)->pool, query, status);
    }
    if (!tx->batch)
        pg_abandon_bulk(tx, status);
}

static void pg_abandon(struct query *query, quring_status status) {
    struct pg_query at = *pg_query(query);
    struct quring_tx *tx = query->queue->tx;
    if (tx && tx->atomic) {
        pg_abandon_member(query, status);
        return;
    }
    if (tx && !at.conn) {
        pg_resolve_abandon(query, status);
        return;
    }
    if (base_unlikely(pg_rerun_has(query))) {
        pg_rerun_abandon(&pg_db_of(query->queue->db)->pool, query, status);
        return;
    }
    pg_conn_abandon(at.conn, query, status);
    pg_silence_given_up(at.conn, at.request);
    if (status != QURING_SHUTDOWN)
        pg_cancel_given_up(at.conn, at.request);
    if (tx)
        pg_lease_changed(tx);
}

static void pg_tx_changed(struct quring_tx *tx, bool timed_out) {
    uint64_t last;
    bool stops = timed_out || (tx->released && tx->given_up);
    if (pg_resolve_has(tx)) {
        if (timed_out)
            pg_resolve_time_out(tx);
        return;
    }
    if (stops && (tx->atomic ? pg_bulk_stop(tx, &last) : pg_tx_stop(tx, timed_out, &last)))
        pg_cancel_given_up(pg_tx_of(tx)->conn, last);
    pg_lease_changed(tx);
}

/* ---- Open and close ---- */

static void pg_drop_description(void *backend) {
    pg_description_drop(backend);
}

/* Zero is no limit, and so is a time that never comes. */
static void pg_fill_sizes(quring_db_options *options) {
    uint64_t *const times[] = {&options->connection_idle_ns, &options->connection_lifetime_ns,
                               &options->health_check_ns};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (*times[i] > TIME_MAX_NS)
            *times[i] = 0;
}

static int pg_check_sizes(struct quring_db *base) {
    quring_db_options *options = &base->options;
    bool sizes = options->connection_min_count || options->connection_idle_ns || options->connection_lifetime_ns;
    if (options->connection_count > CONNECTIONS_MAX)
        return hub_error(base->hub, QURING_EINVAL, "connection_count %u: at most %d", options->connection_count,
                         CONNECTIONS_MAX);
    if (options->connection_min_count > options->connection_count)
        return hub_error(base->hub, QURING_EINVAL, "connection_min_count %u is more than connection_count %u",
                         options->connection_min_count, options->connection_count);
    if (options->exclusive && (sizes || options->health_check_ns))
        return hub_error(base->hub, QURING_EINVAL,
                         "options.exclusive and connection_min_count, connection_idle_ns, connection_lifetime_ns or "
                         "health_check_ns: the one connection of an exclusive handle is never replaced");
    if (options->health_check_ns && options->silence_ns == QURING_FOREVER)
        return hub_error(base->hub, QURING_EINVAL,
                         "health_check_ns without silence_ns: that is the time for the answer");
    pg_fill_sizes(options);
    return 0;
}

static int pg_check_options(struct quring_db *base, const char *url) {
    quring_db_options *options = &base->options;
    char message[PG_MESSAGE_BYTES] = "";
    int error = pg_url_check(url, message, sizeof message);
    if (error)
        return error == QURING_ENOMEM ? error : hub_error(base->hub, error, "%s", message);
    if (!options->silence_ns) /* of an exclusive handle the connection can't be replaced */
        options->silence_ns = options->exclusive ? QURING_FOREVER : SILENCE_NS;
    if (!options->query_silence_ns)
        options->query_silence_ns = QURING_FOREVER;
    if (!options->connection_count)
        options->connection_count = CONNECTIONS;
    if (!options->depth)
        options->depth = DEPTH;
    return pg_check_sizes(base);
}

static int pg_open(struct quring_db *base, const char *url) {
    struct pg_db *db = pg_db_of(base);
    pg_connect_prepare();
    int error = pg_check_options(base, url);
    if (error)
        return error;
    base->statements = statement_table_new(base->options.statement_count, STATEMENT_TEXT_BYTES, pg_drop_description);
    if (!base->statements)
        return hub_error(base->hub, QURING_ENOMEM, "no memory for the database handle");
    base->warming = base->options.warm_up;
    error = pg_pool_open(&db->pool, base, url, &db->kept_bytes);
    if (error)
        statement_table_free(base->statements);
    return error;
}

static int pg_resize(struct quring_db *base, uint32_t connection_count) {
    if (base->options.exclusive)
        return hub_error(base->hub, QURING_EUNSUPPORTED, "an exclusive handle has one connection");
    if (!connection_count || connection_count > CONNECTIONS_MAX)
        return hub_error(base->hub, QURING_EINVAL, "connection_count %u: from 1 to %d", connection_count,
                         CONNECTIONS_MAX);
    return pg_pool_resize(&pg_db_of(base)->pool, connection_count);
}

static int pg_drain(struct quring_db *base) {
    if (base->options.exclusive)
        return hub_error(base->hub, QURING_EUNSUPPORTED,
                         "the connection of an exclusive handle is never replaced, because its state is the caller's");
    pg_pool_drain(&pg_db_of(base)->pool);
    return 0;
}

static void pg_close(struct quring_db *base) {
    pg_pool_close(&pg_db_of(base)->pool);
}

static void pg_destroy(struct quring_db *base) {
    pg_pool_free(&pg_db_of(base)->pool);
    statement_table_free(base->statements);
}

static void pg_warm_up(struct quring_db *base) {
    pg_plan_attempts_asked(&pg_db_of(base)->pool);
}

static uint32_t pg_missing(const struct quring_db *base, bool *hopeless) {
    return pg_look_missing(&base_container_of(base, const struct pg_db, base)->pool, hopeless);
}

static void pg_db_look(const struct quring_db *base, uint64_t now_ns, quring_db_info *info) {
    pg_look(&base_container_of(base, const struct pg_db, base)->pool, now_ns, info);
}

const struct backend pg_backend = {
    .name = "postgresql",
    .db_bytes = sizeof(struct pg_db),
    .timer_count = PG_POOL_TIMERS,
    .knows_xids = true,
    .has_search_path = true,
    .parts_batches = true,
    .accepts = pg_url_accepts,
    .open = pg_open,
    .advance = pg_advance,
    .abandon = pg_abandon,
    .tx_changed = pg_tx_changed,
    .resize = pg_resize,
    .drain = pg_drain,
    .close = pg_close,
    .warm_up = pg_warm_up,
    .missing = pg_missing,
    .look = pg_db_look,
    .destroy = pg_destroy,
};
