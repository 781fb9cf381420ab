/* SPDX-License-Identifier: MIT */
/* Tokens of transactions, in a table with a unique key. */
#include "lib/replies.h"
#include "lib/sim_server_internal.h"

#include <stdlib.h>

enum { LOOK_AGAIN_NS = 20000 };

static struct sim_token *token_find(const struct sim_server *server, const char *text) {
    list_for_each(node, &server->tokens) {
        struct sim_token *token = list_entry(node, struct sim_token, link);
        if (strcmp(token->text, text) == 0)
            return token;
    }
    return NULL;
}

void sim_tokens_end(struct sim_conn *conn, bool committed) {
    list_for_each_safe(node, &conn->server->tokens) {
        struct sim_token *token = list_entry(node, struct sim_token, link);
        if (token->writer != conn)
            continue;
        token->writer = NULL;
        if (committed)
            continue;
        list_remove(node);
        free(token);
    }
}

static void token_write(struct sim_conn *conn, const char *text, bool committed) {
    struct sim_token *token = calloc(1, sizeof *token);
    list_init(&token->link);
    token->writer = conn;
    token->committed = committed;
    snprintf(token->text, sizeof token->text, "%s", text);
    list_push_back(&conn->server->tokens, &token->link);
}

static void token_tell(struct sim_conn *conn, const struct sim_token *token) {
    static const uint8_t rows[2][7] = {{0, 1, 0, 0, 0, 1, 'f'}, {0, 1, 0, 0, 0, 1, 't'}};
    if (conn->server->told_in_block)
        sim_tx_begin(conn);
    conn->server->told_in_block = false;
    bool known = token && !token->writer;
    if (known && conn->server->told_both)
        reply_message(&conn->out, 'D', rows[!token->committed], sizeof rows[0]);
    if (known)
        reply_message(&conn->out, 'D', rows[token->committed], sizeof rows[0]);
    sim_conn_sent(conn);
    reply_tag(&conn->out, known ? "SELECT 1" : "SELECT 0");
    sim_conn_sent(conn);
}

void sim_token_execute(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit) {
    struct sim_server *server = conn->server;
    const struct sim_token *token = token_find(server, portal->text);
    enum sim_verb verb = portal->statement.verb;
    if (verb == SIM_TOLD) {
        token_tell(conn, token);
        return;
    }
    if (verb == SIM_CLAIM && server->claim_error) {
        sim_conn_error(conn, server->claim_error, "tokens can't be asked for here");
        return;
    }
    if (token && token->writer && token->writer != conn) {
        server->token_waits++;
        sim_conn_run(conn, portal, limit);
        sim_conn_nap(conn, LOOK_AGAIN_NS);
        return;
    }
    if (token && verb == SIM_TOKEN) {
        sim_conn_error(conn, "23505", "duplicate key value violates a unique constraint");
        return;
    }
    if (!token)
        token_write(conn, portal->text, verb == SIM_TOKEN);
    reply_tag(&conn->out, token ? "INSERT 0 0" : "INSERT 0 1");
    sim_conn_sent(conn);
}
