/* SPDX-License-Identifier: MIT */
#include "lib/sim_server_internal.h"

#include "lib/replies.h"
#include "pg/connect.h"

#include <inttypes.h>
#include <stdlib.h>

enum { FLUSH_BYTES = 8192, FLOOD_BATCH = 50 };

static _Thread_local struct sim_server *server_in_use;

static void no_hook(bool inside) {
    (void)inside;
}

void (*sim_library_hook)(bool inside) = no_hook;

static struct sim *sim_of(const struct sim_conn *conn) {
    return conn->server->sim;
}

/* ---- Output ---- */

static void listen_again(struct sim_conn *conn) {
    bool blocked = sim_peer_backlog_bytes(conn->peer) != 0;
    sim_peer_listen(conn->peer, !blocked);
}

void sim_conn_flush(struct sim_conn *conn) {
    size_t size = buf_size(&conn->out);
    if (!size)
        return;
    if (size > conn->words_left)
        size = (size_t)conn->words_left;
    conn->words_left -= size;
    if (!conn->over)
        sim_peer_write(conn->peer, buf_head(&conn->out), size);
    buf_reset(&conn->out, SIZE_MAX);
    listen_again(conn);
}

/* Notices and their like may stand between any two messages. */
static void slip_in(struct sim_conn *conn) {
    switch (rng_below(sim_rng(sim_of(conn)), 3)) {
    case 0:
        reply_report(&conn->out, 'N', "WARNING", "01000", "this may stand anywhere", NULL);
        break;
    case 1:
        reply_status(&conn->out, "application_name", "sim");
        break;
    default:
        reply_notification(&conn->out, 4711, "channel", "payload");
    }
}

void sim_conn_sent(struct sim_conn *conn) {
    if (sim_chance(sim_of(conn), conn->server->async))
        slip_in(conn);
    if (buf_size(&conn->out) > FLUSH_BYTES || sim_chance(sim_of(conn), conn->server->eager))
        sim_conn_flush(conn);
}

/* ---- Errors ---- */

void sim_conn_error(struct sim_conn *conn, const char *sqlstate, const char *message) {
    reply_report(&conn->out, 'E', "ERROR", sqlstate, message, (const char *const[]){"Hread the manual", NULL});
    sim_tx_fail(conn); /* not before: the text may be a portal's */
    conn->skipping = true;
    sim_conn_sent(conn);
}

void sim_conn_fatal(struct sim_conn *conn, const char *sqlstate) {
    reply_report(&conn->out, 'E', "FATAL", sqlstate, "the server ends the connection", NULL);
    sim_tx_end(conn);
    sim_conn_flush(conn);
    conn->over = true;
    sim_peer_end(conn->peer);
}

/* ---- Messages ---- */

void sim_conn_check(struct sim_conn *conn, bool well, const char *what) {
    if (!well)
        sim_fail(sim_of(conn), "the server got a wrong message: %s", what);
}

bool sim_conn_may(struct sim_conn *conn, bool well, const char *sqlstate, const char *what) {
    if (!conn->is_of_test)
        sim_conn_check(conn, well, what);
    else if (!well)
        sim_conn_error(conn, sqlstate, what);
    return well;
}

struct sim_statement *sim_conn_statement(struct sim_conn *conn, const char *name) {
    list_for_each(node, &conn->statements) {
        struct sim_statement *statement = list_entry(node, struct sim_statement, link);
        if (strcmp(statement->name, name) == 0)
            return statement;
    }
    return NULL;
}

static void forget(struct sim_statement *statement) {
    list_remove(&statement->link);
    free(statement);
}

/* No other connection has one that begins like it. */
static bool is_own_name(struct sim_conn *conn, const char *name) {
    if (strncmp(name, "quring_", 7) != 0 || strlen(name) < 18)
        return false;
    list_for_each(other, &conn->server->conns) {
        struct sim_conn *its = list_entry(other, struct sim_conn, link);
        list_for_each(node, &its->statements) {
            const char *theirs = list_entry(node, struct sim_statement, link)->name;
            if (its != conn && strncmp(theirs, name, 17) == 0)
                return false;
        }
    }
    return true;
}

static void on_parse(struct sim_conn *conn, struct cursor *body) {
    size_t length;
    const char *name = cursor_string(body, &length), *sql = cursor_string(body, NULL);
    sim_conn_check(conn,
                   cursor_u16(body) == 0 && cursor_done(body) && length < sizeof((struct sim_statement *)NULL)->name,
                   "Parse");
    conn->server->parses++;
    struct sim_statement *before = sim_conn_statement(conn, name);
    if (!sim_conn_may(conn, !before || !*name, "42P05", "Parse under a name that is taken"))
        return;
    sim_conn_check(conn, !*name || conn->is_of_test || is_own_name(conn, name),
                   "Parse under a name that is not this connection's alone");
    if (before)
        forget(before);
    struct sim_statement *statement = calloc(1, sizeof *statement);
    list_init(&statement->link);
    memcpy(statement->name, name, length);
    statement->schema = conn->server->schema;
    statement->sync = conn->syncs;
    if (!sim_sql_read(statement, sql))
        sim_fail(sim_of(conn), "the server got SQL that is none of ours: %s", sql);
    bool refused = sim_tx_refuses(conn, statement);
    if (!refused && statement->verb == SIM_BAD)
        sim_conn_error(conn, statement->sqlstate, "an error of Parse");
    if (refused || statement->verb == SIM_BAD) {
        free(statement);
        return;
    }
    list_push_back(&conn->statements, &statement->link);
    uint32_t count = 0;
    list_for_each(node, &conn->statements)
        count += !list_entry(node, struct sim_statement, link)->forgotten;
    if (count > conn->server->prepared_most)
        conn->server->prepared_most = count;
    reply_bare(&conn->out, '1');
    sim_conn_sent(conn);
}

static void on_describe(struct sim_conn *conn, struct cursor *body) {
    char kind = (char)cursor_u8(body);
    const char *name = cursor_string(body, NULL);
    sim_conn_check(conn, (kind == 'S' || (kind == 'P' && conn->is_of_test)) && cursor_done(body), "Describe");
    const struct sim_portal *portal = kind == 'P' ? sim_portal_find(conn, name) : NULL;
    const struct sim_statement *statement = kind == 'S' ? sim_conn_statement(conn, name) : NULL;
    if (!sim_conn_may(conn, portal || statement, kind == 'P' ? "34000" : "26000", "Describe of what is not there"))
        return;
    const struct sim_statement *described = portal ? &portal->statement : statement;
    if (sim_sql_returns_rows(described) && sim_tx_refuses(conn, described))
        return;
    if (!portal)
        sim_sql_describe_parameters(conn, statement);
    sim_sql_describe_columns(conn, described);
}

static void on_close(struct sim_conn *conn, struct cursor *body) {
    char kind = (char)cursor_u8(body);
    const char *name = cursor_string(body, NULL);
    sim_conn_check(conn, (kind == 'S' || (kind == 'P' && conn->is_of_test)) && cursor_done(body), "Close");
    struct sim_portal *portal = kind == 'P' ? sim_portal_find(conn, name) : NULL;
    struct sim_statement *statement = kind == 'S' ? sim_conn_statement(conn, name) : NULL;
    if (portal)
        sim_portal_drop(portal);
    if (statement) {
        sim_portals_close(conn, statement);
        forget(statement);
    }
    reply_bare(&conn->out, '3');
    sim_conn_sent(conn);
}

static void on_sync(struct sim_conn *conn, struct cursor *body) {
    struct sim_server *server = conn->server;
    sim_conn_check(conn, cursor_done(body), "Sync");
    conn->syncs++;
    server->syncs++;
    bool killed = sim_chance(server->sim, server->kill);
    if (conn->farewell[0] || (killed && rng_next(sim_rng(server->sim)) & 1)) {
        sim_conn_fatal(conn, conn->farewell[0] ? conn->farewell : "57P01");
        return;
    }
    sim_tx_sync(conn);
    conn->skipping = false;
    if (killed) { /* committed, but nobody will know */
        sim_conn_fatal(conn, "57P01");
        return;
    }
    reply_ready(&conn->out, sim_tx_status(conn));
    if (server->barrier_fatal && conn->last_verb == SIM_BARRIER) {
        sim_conn_fatal(conn, server->barrier_fatal);
        return;
    }
    sim_sql_after_ready(conn);
    conn->last_verb = SIM_SELECT;
    sim_conn_flush(conn);
}

static void on_terminate(struct sim_conn *conn) {
    conn->server->terminates++;
    conn->over = true;
    sim_tx_end(conn);
}

/* The library says it behind a pooler alone, and nothing but Terminate after it. */
static void on_flush(struct sim_conn *conn, struct cursor *body) {
    sim_conn_check(conn, cursor_done(body) && (conn->is_of_test || conn->server->pooled), "Flush");
    conn->server->flushes++;
    conn->flushed = true;
    sim_conn_flush(conn);
}

static void on_message(struct sim_conn *conn, uint8_t type, struct cursor *body) {
    conn->server->messages++;
    sim_conn_check(conn, !conn->flushed || conn->is_of_test || type == 'X', "something behind Flush");
    if (type == 'S')
        on_sync(conn, body);
    else if (type == 'X')
        on_terminate(conn);
    else if (type == 'H')
        on_flush(conn, body);
    else if (conn->skipping)
        sim_conn_check(conn, strchr("PBDEC", type), "its type");
    else if (type == 'P')
        on_parse(conn, body);
    else if (type == 'B')
        sim_portal_bind(conn, body);
    else if (type == 'D')
        on_describe(conn, body);
    else if (type == 'E')
        sim_portal_execute(conn, body);
    else if (type == 'C')
        on_close(conn, body);
    else
        sim_conn_check(conn, false, "its type");
}

static bool flood(struct sim_conn *conn) {
    if (!conn->flood_left || sim_peer_over(conn->peer))
        return false;
    for (int i = 0; i < FLOOD_BATCH; i++)
        reply_report(&conn->out, 'N', "NOTICE", "00000", "there is no end to this", NULL);
    sim_conn_flush(conn);
    return true;
}

static void start(struct sim_conn *conn) {
    uint8_t key_data[8];
    bytes_store_u32(key_data, conn->pid);
    bytes_store_u32(key_data + 4, conn->key);
    reply_message(&conn->out, 'R', "\0\0\0", 4);
    reply_message(&conn->out, 'K', key_data, sizeof key_data);
    reply_ready(&conn->out, 'I');
    sim_conn_flush(conn);
}

/* The first packet of a test's own client, which has no letter. False: it is not whole. */
static bool on_first_packet(struct sim_conn *conn) {
    enum { PROTOCOL_3 = 196608, CANCEL_REQUEST = 80877102 };
    struct cursor in = cursor_over(buf_head(&conn->in), buf_size(&conn->in));
    uint32_t length = cursor_u32(&in), code = cursor_u32(&in);
    if (in.failed || buf_size(&conn->in) < length)
        return false;
    conn->starting = false;
    if (code == CANCEL_REQUEST) {
        uint32_t pid = cursor_u32(&in), key = cursor_u32(&in);
        sim_conn_check(conn, cursor_done(&in) && length == 16, "CancelRequest");
        conn->over = true;
        sim_peer_end(conn->peer);
        sim_server_cancel(conn->server, pid, key);
        return false;
    }
    sim_conn_check(conn, code == PROTOCOL_3, "start-up packet");
    buf_consume(&conn->in, length);
    start(conn);
    return true;
}

/* Works off what has come, until the output is full, something takes time, or it is over. */
static void work_off(struct sim_conn *conn) {
    while (!conn->napping && !conn->silent && !conn->over && !sim_peer_backlog_bytes(conn->peer)) {
        if (!conn->quiet && flood(conn))
            continue;
        if (conn->starting && !on_first_packet(conn))
            return;
        size_t size = buf_size(&conn->in);
        const uint8_t *at = buf_head(&conn->in);
        if (size < 5)
            return;
        uint32_t length = bytes_load_u32(at + 1);
        if (length < 4 || length > 1u << 30)
            sim_fail(sim_of(conn), "the server got a message '%c' of length %u", *at, length);
        if (size - 1 < length)
            return;
        struct cursor body = cursor_over(at + 5, length - 4);
        on_message(conn, *at, &body);
        buf_consume(&conn->in, (size_t)length + 1);
    }
}

/* When nothing is left of what a client has sent that went away, its transaction is undone. */
static void work(struct sim_conn *conn) {
    work_off(conn);
    if (conn->quiet && !conn->napping && !conn->silent && !conn->over && !sim_peer_backlog_bytes(conn->peer))
        sim_tx_end(conn);
}

/* ---- Connections ---- */

void sim_conn_run(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit) {
    conn->running = portal;
    conn->running_limit = limit;
}

static void nap_over(struct sim_timer *timer) {
    struct sim_conn *conn = base_container_of(timer, struct sim_conn, nap);
    struct sim_portal *slept = conn->over || conn->silent || conn->flood_left ? NULL : conn->running;
    conn->napping = false;
    if (slept) {
        conn->running = NULL;
        sim_sql_execute(conn, slept, conn->running_limit, true);
    }
    work(conn);
}

void sim_conn_nap(struct sim_conn *conn, uint64_t ns) {
    conn->napping = true;
    sim_timer_set(sim_of(conn), &conn->nap, ns);
}

static void peer_received(struct sim_peer *peer, const uint8_t *bytes, size_t size) {
    struct sim_conn *conn = sim_peer_user(peer);
    buf_put(&conn->in, bytes, size);
    work(conn);
}

static void peer_writable(struct sim_peer *peer) {
    struct sim_conn *conn = sim_peer_user(peer);
    listen_again(conn);
    if (!conn->napping) {
        conn->napping = true; /* not from within its own write */
        sim_timer_set(conn->server->sim, &conn->nap, 0);
    }
}

/* A backend whose client is gone carries out what it has got, or dies first. */
static void peer_ended(struct sim_peer *peer, bool reset) {
    struct sim_conn *conn = sim_peer_user(peer);
    conn->quiet = true;
    if (reset && rng_next(sim_rng(conn->server->sim)) & 1) {
        conn->over = true;
        sim_tx_end(conn);
    }
    work(conn);
}

static const struct sim_peer_events peer_events = {peer_received, peer_writable, peer_ended};

static struct sim_conn *accept_conn(struct sim_server *server, int *fd) {
    struct sim_conn *conn = calloc(1, sizeof *conn);
    conn->server = server;
    conn->nap.fire = nap_over;
    buf_init(&conn->in, SIZE_MAX);
    buf_init(&conn->out, SIZE_MAX);
    list_init(&conn->statements);
    list_init(&conn->portals);
    conn->last_verb = SIM_SELECT;
    conn->pid = SIM_BACKEND_PID + server->backends++;
    conn->key = server->salt ^ conn->pid * 2654435761u;
    list_push_back(&server->conns, &conn->link);
    *fd = sim_connect(server->sim, &peer_events, conn, &conn->peer);
    server->connects++;
    if (server->cut_sent || server->cut_received)
        sim_peer_reset_at(conn->peer, server->cut_sent ? server->cut_sent : UINT64_MAX,
                          server->cut_received ? server->cut_received : UINT64_MAX);
    server->cut_sent = server->cut_received = 0;
    conn->words_left = server->hush_received ? server->hush_received : UINT64_MAX;
    server->hush_received = 0;
    sim_peer_write(conn->peer, server->stray, server->stray_bytes);
    return conn;
}

int sim_server_connect(struct sim_server *server) {
    int fd;
    struct sim_conn *conn = accept_conn(server, &fd);
    conn->starting = conn->is_of_test = true;
    return fd;
}

static void count_starting(struct sim_server *server) {
    uint32_t count = 0;
    list_for_each(node, &server->conns) {
        const struct sim_conn *conn = list_entry(node, struct sim_conn, link);
        count += !conn->over && !conn->quiet && !conn->syncs;
    }
    if (server->starting_most < count)
        server->starting_most = count;
}

static void refuse(struct pg_connect *connect, const char *sqlstate) {
    snprintf(connect->sqlstate, sizeof connect->sqlstate, "%s", sqlstate);
    snprintf(connect->message, sizeof connect->message, "the simulated server refuses");
}

static void take_connect(struct pg_connect *connect) {
    struct sim_server *server = server_in_use;
    server->attempts++;
    connect->fd = -1;
    connect->tls = NULL;
    if (strncmp(connect->host->host, "hang", 4) == 0) {
        connect->task.hangs = true;
    } else if (strncmp(connect->host->host, "down", 4) == 0) {
        refuse(connect, "08001");
    } else if (server->refusal && server->refusals_left) {
        server->refusals_left -= server->refusals_left != UINT32_MAX;
        refuse(connect, server->refusal);
    } else if (server->places && sim_server_conn_count(server) >= server->places) {
        refuse(connect, "53300");
    } else {
        struct sim_conn *conn = accept_conn(server, &connect->fd);
        connect->server_pid = (int)conn->pid;
        connect->cancel_key = server->cancels ? sim_cancel_key(server, conn->pid, conn->key) : NULL;
        count_starting(server);
    }
}

static void connector(struct pg_connect *connect) {
    sim_library_hook(false);
    take_connect(connect);
    sim_library_hook(true);
}

void sim_server_use(struct sim_server *server) {
    server_in_use = server;
    pg_use_connector(server ? connector : NULL, NULL);
}

void sim_server_init(struct sim_server *server, struct sim *sim, uint32_t query_count) {
    *server = (struct sim_server){.sim = sim, .query_count = query_count};
    server->salt = 1 + (uint32_t)rng_below(sim_rng(sim), 0x7ffffff0);
    server->ledger = calloc(query_count, sizeof *server->ledger);
    list_init(&server->conns);
    list_init(&server->tokens);
    list_init(&server->xids);
    server->next_xid = 700;
    server->system_number = server->timeline = 1;
}

static void conn_free(struct sim_conn *conn) {
    struct list *node;
    sim_portals_end(conn, 0);
    while ((node = list_first(&conn->statements)))
        forget(list_entry(node, struct sim_statement, link));
    sim_timer_clear(sim_of(conn), &conn->nap);
    buf_free(&conn->in);
    buf_free(&conn->out);
    free(conn->tx.members);
    free(conn);
}

void sim_server_free(struct sim_server *server) {
    struct list *node;
    while ((node = list_pop_front(&server->conns)))
        conn_free(list_entry(node, struct sim_conn, link));
    while ((node = list_pop_front(&server->tokens)))
        free(list_entry(node, struct sim_token, link));
    while ((node = list_pop_front(&server->xids)))
        free(list_entry(node, struct sim_xid, link));
    free(server->ledger);
}

void sim_server_kill(struct sim_server *server, bool reset) {
    list_for_each(node, &server->conns) {
        struct sim_conn *conn = list_entry(node, struct sim_conn, link);
        if (conn->over || conn->quiet)
            continue;
        conn->over = true;
        sim_tx_end(conn);
        if (reset)
            sim_peer_reset(conn->peer);
        else
            sim_peer_end(conn->peer);
    }
}

static void conn_cancel(struct sim_conn *conn) {
    struct sim_portal *running = conn->running;
    if (!running || conn->over)
        return;
    sim_timer_clear(sim_of(conn), &conn->nap);
    conn->running = NULL;
    conn->napping = conn->silent = false;
    conn->flood_left = 0;
    if (sim_sql_has_token(&running->statement)) {
        sim_conn_error(conn, "57014", "canceling statement due to user request");
    } else if (sim_sql_param_count(&running->statement)) {
        conn->server->ledger[running->index].struck++;
        sim_conn_error(conn, "57014", "canceling statement due to user request");
    } else {
        sim_tx_strike(conn, running);
    }
    sim_conn_flush(conn);
    work(conn);
}

void sim_server_cancel(struct sim_server *server, uint32_t pid, uint32_t key) {
    list_for_each(node, &server->conns) {
        struct sim_conn *conn = list_entry(node, struct sim_conn, link);
        if (conn->pid == pid && conn->key == key)
            conn_cancel(conn);
    }
}

static struct sim_conn *nth_conn(const struct sim_server *server, uint32_t nth) {
    list_for_each(node, &server->conns) {
        struct sim_conn *conn = list_entry(node, struct sim_conn, link);
        if (!conn->over && !conn->quiet && !nth--)
            return conn;
    }
    return NULL;
}

void sim_server_cancel_nth(struct sim_server *server, uint32_t nth) {
    struct sim_conn *conn = nth_conn(server, nth);
    if (conn)
        conn_cancel(conn);
}

void sim_server_deafen(struct sim_server *server) {
    list_for_each(node, &server->conns)
        sim_peer_listen(list_entry(node, struct sim_conn, link)->peer, false);
}

void sim_server_go_rogue(struct sim_server *server, uint32_t nth, const void *bytes, size_t size) {
    struct sim_conn *conn = nth_conn(server, nth);
    if (!conn)
        return;
    conn->silent = true;
    conn->running = NULL;
    sim_peer_write(conn->peer, bytes, size);
}

void sim_server_say(struct sim_server *server, const void *bytes, size_t size) {
    list_for_each(node, &server->conns) {
        struct sim_conn *conn = list_entry(node, struct sim_conn, link);
        if (!conn->over && !conn->quiet)
            sim_peer_write(conn->peer, bytes, size);
    }
}

uint32_t sim_server_conn_count(const struct sim_server *server) {
    uint32_t count = 0;
    list_for_each(node, &server->conns)
        count += !list_entry(node, struct sim_conn, link)->over && !list_entry(node, struct sim_conn, link)->quiet;
    return count;
}
