/* SPDX-License-Identifier: MIT */
/* IDs of transactions: core/xid.h has the statements. */
#include "core/xid.h"
#include "lib/replies.h"
#include "lib/sim_server_internal.h"

#include <inttypes.h>
#include <stdlib.h>

/* The last that was given out under this number. */
static struct sim_xid *xid_find(const struct sim_server *server, uint64_t number) {
    for (struct list *node = server->xids.prev; node != &server->xids; node = node->prev)
        if (list_entry(node, struct sim_xid, link)->number == number)
            return list_entry(node, struct sim_xid, link);
    return NULL;
}

static struct sim_xid *xid_of(struct sim_conn *conn) {
    list_for_each(node, &conn->server->xids) {
        struct sim_xid *xid = list_entry(node, struct sim_xid, link);
        if (xid->writer == conn)
            return xid;
    }
    struct sim_xid *xid = calloc(1, sizeof *xid);
    list_init(&xid->link);
    xid->writer = conn;
    xid->number = conn->server->next_xid++;
    list_push_back(&conn->server->xids, &xid->link);
    return xid;
}

void sim_xids_end(struct sim_conn *conn, bool committed) {
    list_for_each(node, &conn->server->xids) {
        struct sim_xid *xid = list_entry(node, struct sim_xid, link);
        if (xid->writer != conn)
            continue;
        xid->writer = NULL;
        xid->committed = committed;
    }
}

static void xid_reply(struct sim_conn *conn, const char *text) {
    uint8_t row[6 + XID_NOTE_BYTES] = {0, 1, 0xff, 0xff, 0xff, 0xff};
    size_t size = text ? strlen(text) : 0;
    if (text) {
        row[2] = row[3] = row[4] = 0;
        row[5] = (uint8_t)size;
        memcpy(row + 6, text, size);
    }
    reply_message(&conn->out, 'D', row, 6 + size);
    sim_conn_sent(conn);
    reply_tag(&conn->out, "SELECT 1");
    sim_conn_sent(conn);
}

static void xid_note(struct sim_conn *conn) {
    char note[XID_NOTE_BYTES];
    const struct sim_server *server = conn->server;
    sim_conn_check(conn, conn->tx.state == SIM_TX_BLOCK || server->begin_error, "an ID is asked for outside a block");
    snprintf(note, sizeof note, "%" PRIu64 " %u %08X %u", server->gives_no_xids ? 0 : xid_of(conn)->number,
             server->system_number, server->timeline, server->crashes);
    xid_reply(conn, server->gives_no_xids ? NULL : note);
}

static const char *xid_status(struct sim_server *server, const struct sim_xid *xid, uint32_t crashes) {
    if (xid->writer) {
        server->progress_count++;
        return "p";
    }
    return !xid->committed ? "a" : crashes == server->crashes ? "c" : "r";
}

void sim_xid_execute(struct sim_conn *conn, const struct sim_portal *portal) {
    struct sim_server *server = conn->server;
    uint64_t number;
    unsigned system, timeline, crashes;
    if (server->xid_error) {
        sim_conn_error(conn, server->xid_error, "IDs can't be asked for here");
        return;
    }
    if (portal->statement.verb == SIM_NOTE) {
        xid_note(conn);
        return;
    }
    int count = sscanf(portal->text, "%" SCNu64 " %u %8X %u", &number, &system, &timeline, &crashes);
    sim_conn_check(conn, count == 4, "a note that nobody gave");
    const struct sim_xid *xid = xid_find(server, number);
    if (system != server->system_number || timeline != server->timeline)
        xid_reply(conn, "o");
    else if (number >= server->next_xid)
        sim_conn_error(conn, "22023", "transaction ID is in the future");
    else
        xid_reply(conn, xid ? xid_status(server, xid, crashes) : "u");
}
