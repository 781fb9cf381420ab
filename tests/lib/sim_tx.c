/* SPDX-License-Identifier: MIT */
/* Transactions of the simulated server. Their machine is drawn in sim_server.h. */
#include "lib/sim_server_internal.h"

#include "lib/replies.h"

#include <stdlib.h>

static void tx_move(struct sim_conn *conn, enum sim_tx_state state) {
    static const bool may[3][3] = {
        [SIM_TX_IMPLICIT] = {[SIM_TX_BLOCK] = true},
        [SIM_TX_BLOCK] = {[SIM_TX_IMPLICIT] = true, [SIM_TX_FAILED] = true},
        [SIM_TX_FAILED] = {[SIM_TX_IMPLICIT] = true, [SIM_TX_BLOCK] = true},
    };
    if (!may[conn->tx.state][state])
        sim_fail(conn->server->sim, "the server's transaction went from state %d to %d", conn->tx.state, state);
    conn->tx.state = state;
}

char sim_tx_status(const struct sim_conn *conn) {
    return "ITE"[conn->tx.state];
}

/* ---- Members ---- */

void sim_tx_join(struct sim_conn *conn, uint32_t index) {
    struct sim_tx *tx = &conn->tx;
    if (tx->member_count == tx->member_room) {
        tx->member_room = tx->member_room ? 2 * tx->member_room : 16;
        tx->members = realloc(tx->members, tx->member_room * sizeof *tx->members);
    }
    tx->members[tx->member_count++] = index;
    if (conn->server->watcher)
        conn->server->watcher->executed(conn, index);
}

/* Its members from this one on. */
static void tx_tell_end(struct sim_conn *conn, uint32_t first, bool committed) {
    for (uint32_t i = first; conn->server->watcher && i < conn->tx.member_count; i++)
        conn->server->watcher->ended(conn->tx.members[i], committed);
}

void sim_tx_end(struct sim_conn *conn) {
    struct sim_tx *tx = &conn->tx;
    sim_portals_end(conn, 0);
    tx_tell_end(conn, 0, false);
    sim_tokens_end(conn, false);
    sim_xids_end(conn, false);
    tx->member_count = tx->savepoint_count = 0;
    tx->deferred[0] = 0;
    if (tx->state != SIM_TX_IMPLICIT)
        tx_move(conn, SIM_TX_IMPLICIT);
}

/* False: a deferred error, which undid it instead. */
static bool tx_commit(struct sim_conn *conn) {
    struct sim_tx *tx = &conn->tx;
    char sqlstate[6];
    memcpy(sqlstate, tx->deferred, sizeof sqlstate);
    for (uint32_t i = 0; !sqlstate[0] && i < tx->member_count; i++)
        conn->server->ledger[tx->members[i]].committed++;
    if (!sqlstate[0]) {
        tx_tell_end(conn, 0, true);
        sim_tokens_end(conn, true);
        sim_xids_end(conn, true);
        tx->member_count = 0;
    }
    sim_tx_end(conn);
    if (sqlstate[0])
        sim_conn_error(conn, sqlstate, "an error of the commit");
    return !sqlstate[0];
}

void sim_tx_fail(struct sim_conn *conn) {
    if (conn->tx.state == SIM_TX_IMPLICIT)
        sim_tx_end(conn);
    else if (conn->tx.state == SIM_TX_BLOCK)
        tx_move(conn, SIM_TX_FAILED);
}

void sim_tx_sync(struct sim_conn *conn) {
    if (conn->tx.state == SIM_TX_IMPLICIT)
        (void)tx_commit(conn);
}

void sim_tx_keep_last(struct sim_conn *conn) {
    struct sim_tx *tx = &conn->tx;
    uint32_t last = tx->members[--tx->member_count];
    tx_tell_end(conn, 0, false);
    tx->members[0] = last;
    tx->member_count = 1;
}

bool sim_tx_refuses(struct sim_conn *conn, const struct sim_statement *statement) {
    enum sim_verb verb = statement->verb;
    bool ends = verb == SIM_COMMIT || verb == SIM_END || verb == SIM_ROLLBACK || verb == SIM_ROLLBACK_TO;
    if (conn->tx.state != SIM_TX_FAILED || ends)
        return false;
    sim_conn_error(conn, "25P02", "current transaction is aborted, commands ignored until end of transaction block");
    return true;
}

/* ---- Statements ---- */

static void tx_warn(struct sim_conn *conn, const char *sqlstate, const char *message) {
    reply_report(&conn->out, 'N', "WARNING", sqlstate, message, NULL);
    sim_conn_sent(conn);
}

void sim_tx_begin(struct sim_conn *conn) {
    if (conn->tx.state == SIM_TX_IMPLICIT) /* what ran before it since the last Sync is of the block, too */
        tx_move(conn, SIM_TX_BLOCK);
    else
        tx_warn(conn, "25001", "there is already a transaction in progress");
}

/* COMMIT and ROLLBACK; false: an error. */
static bool tx_finish(struct sim_conn *conn, bool commits, const char **tag) {
    if (conn->tx.state == SIM_TX_IMPLICIT)
        tx_warn(conn, "25P01", "there is no transaction in progress");
    commits = commits && conn->tx.state != SIM_TX_FAILED;
    *tag = commits ? "COMMIT" : "ROLLBACK";
    if (commits)
        return tx_commit(conn);
    sim_tx_end(conn);
    return true;
}

static void savepoint_set(struct sim_conn *conn, uint32_t name) {
    struct sim_tx *tx = &conn->tx;
    if (tx->savepoint_count == SIM_SAVEPOINT_COUNT)
        sim_fail(conn->server->sim, "the test sets more savepoints than the server has room for");
    struct sim_savepoint *savepoint = &tx->savepoints[tx->savepoint_count++];
    *savepoint = (struct sim_savepoint){.name = name, .member_count = tx->member_count};
    memcpy(savepoint->deferred, tx->deferred, sizeof savepoint->deferred);
}

/* Back to what was when it was set; those that were set after it are gone. */
static void savepoint_restore(struct sim_conn *conn, const struct sim_savepoint *savepoint) {
    struct sim_tx *tx = &conn->tx;
    tx->savepoint_count = (uint32_t)(savepoint - tx->savepoints) + 1;
    sim_portals_end(conn, tx->savepoint_count);
    tx_tell_end(conn, savepoint->member_count, false);
    tx->member_count = savepoint->member_count;
    memcpy(tx->deferred, savepoint->deferred, sizeof tx->deferred);
    if (tx->state == SIM_TX_FAILED)
        tx_move(conn, SIM_TX_BLOCK);
}

static bool tx_savepoint(struct sim_conn *conn, enum sim_verb verb, uint32_t name) {
    struct sim_tx *tx = &conn->tx;
    if (tx->state == SIM_TX_IMPLICIT) {
        sim_conn_error(conn, "25P01", "savepoints can only be used in transaction blocks");
        return false;
    }
    if (verb == SIM_SAVEPOINT) {
        savepoint_set(conn, name);
        return true;
    }
    uint32_t at = tx->savepoint_count;
    while (at && tx->savepoints[at - 1].name != name)
        at--;
    if (!at) {
        sim_conn_error(conn, "3B001", "savepoint does not exist");
        return false;
    }
    if (verb == SIM_ROLLBACK_TO)
        savepoint_restore(conn, &tx->savepoints[at - 1]);
    else
        sim_portals_rise(conn, tx->savepoint_count = at - 1);
    return true;
}

void sim_tx_strike(struct sim_conn *conn, struct sim_portal *portal) {
    struct sim_server *server = conn->server;
    bool commits = portal->statement.verb == SIM_COMMIT && conn->tx.state == SIM_TX_BLOCK;
    server->struck_ends += portal->statement.verb != SIM_DISCARD;
    if (commits && server->standby && !conn->tx.deferred[0]) {
        reply_report(&conn->out, 'N', "WARNING", "01000", "canceling wait for synchronous replication",
                     (const char *const[]){"Dcommitted locally", NULL});
        sim_sql_execute(conn, portal, 0, true);
        return;
    }
    if (commits && sim_chance(server->sim, 500))
        sim_tx_end(conn);
    sim_conn_error(conn, "57014", "canceling statement due to user request");
}

void sim_tx_execute(struct sim_conn *conn, enum sim_verb verb, uint32_t savepoint) {
    const char *tag = "";
    bool well = true;
    switch (verb) {
    case SIM_BEGIN:
    case SIM_START:
        if (conn->server->begin_error) {
            sim_conn_error(conn, conn->server->begin_error, "no transaction begins here");
            return;
        }
        sim_tx_begin(conn);
        tag = verb == SIM_BEGIN ? "BEGIN" : "START TRANSACTION";
        break;
    case SIM_COMMIT:
    case SIM_END:
    case SIM_ROLLBACK:
        well = tx_finish(conn, verb != SIM_ROLLBACK, &tag);
        break;
    default:
        well = tx_savepoint(conn, verb, savepoint);
        tag = verb == SIM_SAVEPOINT ? "SAVEPOINT" : verb == SIM_RELEASE ? "RELEASE" : "ROLLBACK";
    }
    if (!well)
        return;
    bool commits = verb == SIM_COMMIT || verb == SIM_END;
    reply_tag(&conn->out, commits && conn->server->commit_tag ? conn->server->commit_tag : tag);
    sim_conn_sent(conn);
    if (commits && conn->server->late_error)
        sim_conn_error(conn, conn->server->late_error, "behind the command tag");
}
