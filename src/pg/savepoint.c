/* SPDX-License-Identifier: MIT */
#include "pg/savepoint.h"

#include "base/hash.h"
#include "core/statement_scan.h"
#include "pg/conn.h"

#include <string.h>

enum { NAME_BYTES = 63 };

#define ANY_NAME 0u /* of a name whose form is not understood */

/* ---- Names ---- */

/* As PostgreSQL folds it; of bytes beyond ASCII the database's encoding decides. */
static uint32_t name_of_word(const struct token *word) {
    char folded[NAME_BYTES];
    if (word->length > sizeof folded)
        return ANY_NAME;
    for (size_t i = 0; i < word->length; i++) {
        char c = word->at[i];
        if ((unsigned char)c > 127)
            return ANY_NAME;
        folded[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return (uint32_t)hash_bytes(folded, word->length, 0) | 1;
}

static uint32_t name_in_quotes(const struct token *name) {
    size_t length = name->length - 2;
    if (length > NAME_BYTES || memchr(name->at + 1, '"', length))
        return ANY_NAME;
    return (uint32_t)hash_bytes(name->at + 1, length, 0) | 1;
}

/* The last word of SAVEPOINT and ROLLBACK TO. */
static uint32_t savepoint_name(const struct quring_statement *statement) {
    struct scan scan = {.at = statement->sql, .end = statement->sql + statement->length};
    struct token token = scan_next(&scan), last = token;
    for (; token.kind == TOKEN_WORD || token.kind == TOKEN_NAME; token = scan_next(&scan))
        last = token;
    if (token.kind != TOKEN_END && token.kind != TOKEN_SEMICOLON)
        return ANY_NAME;
    if (last.kind == TOKEN_NAME && last.length >= 2)
        return name_in_quotes(&last);
    return last.kind == TOKEN_WORD ? name_of_word(&last) : ANY_NAME;
}

/* RELEASE takes away all savepoints behind its own, so that any name may be that of an older one then. */
static uint32_t name_changed_by(const struct quring_statement *statement) {
    return statement->traits.verb == VERB_RELEASES ? ANY_NAME : savepoint_name(statement);
}

static bool name_may_be(uint32_t name, uint32_t other) {
    return name == ANY_NAME || other == ANY_NAME || name == other;
}

/* ---- What stands behind a failure ---- */

static bool request_changes_savepoints(const struct pg_request *request) {
    enum statement_verb verb = request->statement ? (enum statement_verb)request->statement->traits.verb : VERB_NONE;
    return verb == VERB_SAVES || verb == VERB_RELEASES;
}

void pg_savepoint_settle(struct quring_tx *tx, const struct pg_request *request) {
    struct pg_tx *pg = pg_tx_of(tx);
    if (!tx->first.set || request->tx_position <= tx->first.position || request->outcome != PG_COMPLETED ||
        !request_changes_savepoints(request))
        return;
    uint32_t name = name_changed_by(request->statement);
    for (uint32_t i = 0; i < pg->hidden_count; i++)
        if (pg->hidden[i] == name)
            return;
    if (pg->hidden_count < PG_TX_HIDDEN)
        pg->hidden[pg->hidden_count++] = name;
    else
        pg->hidden[0] = ANY_NAME;
}

void pg_savepoint_revived(struct quring_tx *tx) {
    pg_tx_of(tx)->hidden_count = 0;
}

/* The server goes on behind it, as far as is known here. */
static bool failure_is_of_our_own(const struct tx_failure *failure) {
    return failure->set && (failure->status == QURING_CANCELLED || failure->status == QURING_TIMEOUT ||
                            failure->status == QURING_LIMIT);
}

/* Between the failure and the request `until`, or the last one. */
static bool failure_hides(struct quring_tx *tx, const struct tx_failure *failure, uint32_t name, uint64_t until) {
    const struct pg_tx *pg = pg_tx_of(tx);
    for (uint32_t i = 0; i < pg->hidden_count; i++)
        if (name_may_be(pg->hidden[i], name))
            return true;
    for (uint64_t r = pg->conn->settled; r < until; r++) {
        const struct pg_request *request = pg_conn_request(pg->conn, r);
        if (pg_request_tx(request) == tx && request->tx_position > failure->position &&
            request_changes_savepoints(request) && name_may_be(name_changed_by(request->statement), name))
            return true;
    }
    return false;
}

bool pg_savepoint_misleads(struct quring_tx *tx, const struct query *goes_back) {
    const struct tx_failure *const failures[] = {&tx->first, &tx->last};
    for (int i = 0; i < 2; i++)
        if (failure_is_of_our_own(failures[i]) && failures[i]->position < goes_back->tx_position &&
            failure_hides(tx, failures[i], savepoint_name(goes_back->statement), pg_tx_of(tx)->conn->session.next))
            return true;
    return false;
}

/* The first ROLLBACK TO behind a failure decides. One that was given up counts as failed. */
static bool failure_has_misled(struct quring_tx *tx, const struct tx_failure *failure) {
    const struct pg_conn *conn = pg_tx_of(tx)->conn;
    for (uint64_t r = conn->settled; failure_is_of_our_own(failure) && r < conn->session.next; r++) {
        const struct pg_request *request = pg_conn_request(conn, r);
        if (pg_request_tx(request) == tx && request->query && request->tx_position > failure->position &&
            tx_verb(request->query) == VERB_GOES_BACK)
            return failure_hides(tx, failure, savepoint_name(request->statement), r);
    }
    return false;
}

bool pg_savepoint_has_misled(struct quring_tx *tx) {
    return failure_has_misled(tx, &tx->first) || failure_has_misled(tx, &tx->last);
}
