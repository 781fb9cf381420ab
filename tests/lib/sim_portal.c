/* SPDX-License-Identifier: MIT */
/* Portals of the simulated server: Bind, Execute, and how long they live (sim_server.h). */
#include "core/token.h"
#include "lib/sim_server_internal.h"

#include "lib/replies.h"

#include <stdlib.h>

/* ---- Life ---- */

struct sim_portal *sim_portal_find(struct sim_conn *conn, const char *name) {
    list_for_each(node, &conn->portals) {
        struct sim_portal *portal = list_entry(node, struct sim_portal, link);
        if (strcmp(portal->name, name) == 0)
            return portal;
    }
    return NULL;
}

void sim_portal_drop(struct sim_portal *portal) {
    list_remove(&portal->link);
    free(portal);
}

static void portals_drop(struct sim_conn *conn, uint32_t level, const char *statement) {
    struct list kept;
    list_init(&kept);
    struct list *node;
    while ((node = list_pop_front(&conn->portals))) {
        struct sim_portal *portal = list_entry(node, struct sim_portal, link);
        if (portal->level < level || (statement && strcmp(portal->statement.name, statement) != 0)) {
            list_push_back(&kept, node);
            continue;
        }
        if (conn->running == portal)
            conn->running = NULL;
        free(portal);
    }
    while ((node = list_pop_front(&kept)))
        list_push_back(&conn->portals, node);
}

void sim_portals_end(struct sim_conn *conn, uint32_t level) {
    portals_drop(conn, level, NULL);
}

void sim_portals_rise(struct sim_conn *conn, uint32_t level) {
    list_for_each(node, &conn->portals) {
        struct sim_portal *portal = list_entry(node, struct sim_portal, link);
        portal->level = portal->level < level ? portal->level : level;
    }
}

void sim_portals_close(struct sim_conn *conn, const struct sim_statement *statement) {
    portals_drop(conn, 0, statement->name);
}

/* ---- Bind ---- */

uint16_t sim_conn_formats(struct sim_conn *conn, struct cursor *body, uint16_t *formats, uint16_t most) {
    uint16_t count = cursor_u16(body);
    sim_conn_check(conn, count <= most, "number of format codes");
    for (uint16_t i = 0; i < count; i++) {
        formats[i] = cursor_u16(body);
        sim_conn_check(conn, formats[i] <= 1, "format code");
    }
    return count;
}

static void read_barrier(struct sim_conn *conn, struct sim_portal *portal, struct cursor *body, bool binary) {
    char pid[16];
    int length = snprintf(pid, sizeof pid, "%u", conn->pid);
    sim_conn_check(conn, !binary, "binary barrier");
    sim_conn_check(conn,
                   cursor_i32(body) == length && memcmp(cursor_take(body, (size_t)length), pid, (size_t)length) == 0,
                   "the process in the barrier");
    if (conn->server->wrong_nonce)
        portal->text[0] ^= 1;
}

static void read_identity(struct sim_conn *conn, struct sim_portal *portal, struct cursor *body, bool binary) {
    int32_t size = cursor_i32(body);
    sim_conn_check(conn, size > 0 && size < (int32_t)sizeof portal->text, "parameter");
    const uint8_t *bytes = cursor_take(body, (size_t)size);
    sim_conn_check(conn, bytes != NULL, "parameter past its message");
    memcpy(portal->text, bytes, (size_t)size);
    portal->text[size] = 0;
    if (portal->statement.verb == SIM_BARRIER) {
        read_barrier(conn, portal, body, binary);
        return;
    }
    if (sim_sql_has_note(&portal->statement))
        return;
    if (sim_sql_has_token(&portal->statement)) {
        sim_conn_check(conn, size == (binary ? 16 : 36), "token");
        if (binary)
            token_text(bytes, portal->text);
        return;
    }
    sim_conn_check(conn, !binary || size == 8, "binary int8");
    portal->identity = binary ? (int64_t)bytes_load_u64(bytes) : strtoll(portal->text, NULL, 10);
    portal->index = (uint32_t)portal->identity;
    bool ours = (uint64_t)portal->identity >> 32 == conn->server->salt && portal->index < conn->server->query_count;
    sim_conn_check(conn, ours, "an identity that nobody sent");
}

/* Whether Bind is refused for a plan that went stale; only statements of an earlier transaction can be. */
static bool refuse_stale(struct sim_conn *conn, struct sim_statement *statement, const struct sim_portal *portal) {
    struct sim_server *server = conn->server;
    if (*statement->name && statement->sync != conn->syncs) {
        if (sim_chance(server->sim, server->stale))
            server->schema++;
        if (sim_chance(server->sim, server->forget))
            statement->forgotten = true;
    }
    bool changed = statement->schema != server->schema && sim_sql_returns_rows(statement) && *statement->name;
    changed |= server->ever_stale && sim_sql_returns_rows(statement);
    if (!statement->forgotten && !changed)
        return false;
    if (sim_sql_has_identity(statement))
        server->ledger[portal->index].refused++;
    sim_conn_error(conn, statement->forgotten ? "26000" : "0A000",
                   statement->forgotten ? "prepared statement does not exist"
                                        : "cached plan must not change result type");
    return true;
}

/* True: without BindComplete. */
static bool refuse_bind(struct sim_conn *conn, struct sim_statement *statement, const struct sim_portal *portal) {
    struct sim_server *server = conn->server;
    if (statement->verb == SIM_BARRIER && server->mute) {
        conn->silent = true;
        return true;
    }
    if (statement->verb == SIM_BARRIER && server->barrier_error) {
        sim_conn_error(conn, server->barrier_error, "not today");
        return true;
    }
    if (sim_tx_refuses(conn, statement))
        return true;
    if (statement->verb != SIM_BARRIER && refuse_stale(conn, statement, portal))
        return true;
    if (statement->verb == SIM_REFUSE) {
        sim_conn_error(conn, statement->sqlstate, "an error of Bind");
        return true;
    }
    bool taken = *portal->name && sim_portal_find(conn, portal->name);
    return !sim_conn_may(conn, !taken, "42P03", "Bind under the name of a portal that is open");
}

static void portal_add(struct sim_conn *conn, const struct sim_portal *made) {
    struct sim_portal *before = sim_portal_find(conn, made->name), *portal = malloc(sizeof *portal);
    if (before)
        sim_portal_drop(before);
    *portal = *made;
    portal->level = conn->tx.savepoint_count;
    list_init(&portal->link);
    list_push_back(&conn->portals, &portal->link);
}

void sim_portal_bind(struct sim_conn *conn, struct cursor *body) {
    uint16_t formats[2] = {0};
    size_t length;
    const char *name = cursor_string(body, &length), *statement_name = cursor_string(body, NULL);
    struct sim_statement *statement = sim_conn_statement(conn, statement_name);
    struct sim_portal portal = {0};
    sim_conn_check(conn, length < sizeof portal.name && (!length || conn->is_of_test), "portal's name");
    if (!sim_conn_may(conn, statement != NULL, "26000", "Bind of a statement that was never prepared"))
        return;
    memcpy(portal.name, name, length);
    portal.statement = *statement;
    conn->last_verb = statement->verb;
    conn->last_number = statement->number;
    uint16_t count = sim_conn_formats(conn, body, formats, 2);
    uint16_t params = cursor_u16(body);
    sim_conn_check(conn, params == sim_sql_param_count(statement), "number of parameters");
    if (params)
        read_identity(conn, &portal, body, count && formats[0]);
    portal.format_count = sim_conn_formats(conn, body, portal.formats, 8);
    sim_conn_check(conn, cursor_done(body), "Bind");
    if (refuse_bind(conn, statement, &portal))
        return;
    portal_add(conn, &portal);
    if (sim_sql_has_identity(statement))
        conn->server->ledger[portal.index].bound++;
    reply_bare(&conn->out, '2');
    sim_conn_sent(conn);
}

/* ---- Execute ---- */

static void portal_begin(struct sim_conn *conn, const struct sim_portal *portal) {
    struct sim_server *server = conn->server;
    if (!sim_sql_has_identity(&portal->statement))
        return;
    sim_conn_check(conn, !server->in_order || portal->index >= server->last_index, "Execute out of order");
    server->last_index = portal->index;
    server->ledger[portal->index].executed++;
    server->ledger[portal->index].pid = conn->pid;
    server->ledger[portal->index].at = ++server->executes;
    sim_tx_join(conn, portal->index);
}

void sim_portal_execute(struct sim_conn *conn, struct cursor *body) {
    size_t length;
    const char *name = cursor_string(body, &length);
    uint32_t limit = cursor_u32(body);
    sim_conn_check(conn, cursor_done(body) && (conn->is_of_test || (!length && !limit)), "Execute");
    struct sim_portal *portal = sim_portal_find(conn, name);
    if (!sim_conn_may(conn, portal != NULL, "34000", "Execute without a portal"))
        return;
    if (sim_tx_refuses(conn, &portal->statement))
        return;
    bool again = portal->has_begun;
    if (again && !sim_conn_may(conn, sim_sql_returns_rows(&portal->statement), "55000", "portal cannot be run"))
        return;
    portal->has_begun = true;
    if (!again)
        portal_begin(conn, portal);
    sim_sql_execute(conn, portal, limit, again); /* which may have ended the portal */
}
