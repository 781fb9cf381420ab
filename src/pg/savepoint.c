/* SPDX-License-Identifier: MIT */
#include "pg/savepoint.h"

#include "pg/conn.h"

static enum statement_verb request_verb(const struct pg_request *request) {
    return request->statement ? (enum statement_verb)request->statement->traits.verb : VERB_NONE;
}

static bool request_moves_savepoints(const struct pg_request *request) {
    enum statement_verb verb = request_verb(request);
    return verb == VERB_SAVES || verb == VERB_RELEASES || verb == VERB_GOES_BACK;
}

/* The request that failed is among them: where it was given up, the server may have carried it out. */
void pg_savepoint_settle(struct quring_tx *tx, const struct pg_request *request) {
    bool behind = tx->failure.set && request->tx_position.number >= tx->failure.first.number;
    if (behind && request->outcome == PG_COMPLETED && request_moves_savepoints(request))
        pg_tx_of(tx)->savepoints_moved = true;
}

void pg_savepoint_revived(struct quring_tx *tx) {
    pg_tx_of(tx)->savepoints_moved = false;
}

/*
 * Savepoints count as moved from the failure on, up to the first ROLLBACK TO that was sent behind it, which decides. One that was
 * given up counts as failed, and decides nothing. What stands behind the one that does stands behind no failure, if that is
 * carried out.
 */
bool pg_savepoint_misleads(struct quring_tx *tx, const struct query *goes_back) {
    const struct tx_failure *failure = &tx->failure;
    const struct pg_conn *conn = pg_tx_of(tx)->conn;
    bool moved = pg_tx_of(tx)->savepoints_moved, decided = false;
    if (!failure->set || !failure->own_will || (goes_back && goes_back->tx_position.number < failure->first.number))
        return false;
    for (uint64_t r = conn->settled; r < conn->session.next && !decided; r++) {
        const struct pg_request *request = pg_conn_request(conn, r);
        if (pg_request_tx(request) != tx || request->tx_position.number < failure->first.number)
            continue;
        decided = request->query && request->tx_position.number > failure->first.number &&
                  request_verb(request) == VERB_GOES_BACK;
        moved |= !decided && request_moves_savepoints(request);
    }
    return moved && (decided || goes_back);
}
