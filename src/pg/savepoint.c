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

static bool name_is(uint32_t name, uint32_t other) {
    return name == other && name != ANY_NAME;
}

static bool name_may_be(uint32_t name, uint32_t other) {
    return name == ANY_NAME || other == ANY_NAME || name == other;
}

/* ---- What a failure hides ---- */

static enum statement_verb request_verb(const struct pg_request *request) {
    return request->statement ? (enum statement_verb)request->statement->traits.verb : VERB_NONE;
}

/*
 * True where another savepoint may have the name once the server has carried the request out. RELEASE and ROLLBACK TO take away
 * those that were set since their own, which the latter leaves; one that was not given up tells the program that it did.
 */
static bool request_hides(const struct pg_request *request, uint32_t name) {
    enum statement_verb verb = request_verb(request);
    if (verb == VERB_SAVES)
        return name_may_be(savepoint_name(request->statement), name);
    if (verb == VERB_GOES_BACK)
        return !request->query && !name_is(savepoint_name(request->statement), name);
    return verb == VERB_RELEASES;
}

static void savepoint_hide(struct pg_tx *pg, uint32_t name) {
    for (uint32_t i = 0; i < pg->hidden_count; i++)
        if (pg->hidden[i] == name)
            return;
    if (pg->hidden_count < PG_TX_HIDDEN)
        pg->hidden[pg->hidden_count++] = name;
    else
        pg->hidden[0] = ANY_NAME;
}

static void savepoint_hide_others(struct pg_tx *pg, uint32_t name) {
    pg->hidden_but = !pg->hides_others || pg->hidden_but == name ? name : ANY_NAME;
    pg->hides_others = true;
}

/* The request that failed is among them: where it was given up, the server may have carried it out. */
void pg_savepoint_settle(struct quring_tx *tx, const struct pg_request *request) {
    struct pg_tx *pg = pg_tx_of(tx);
    enum statement_verb verb = request_verb(request);
    if (!tx->first.set || request->tx_position < tx->first.position || request->outcome != PG_COMPLETED)
        return;
    if (verb == VERB_SAVES)
        savepoint_hide(pg, savepoint_name(request->statement));
    else if (verb == VERB_RELEASES)
        savepoint_hide(pg, ANY_NAME);
    else if (verb == VERB_GOES_BACK)
        savepoint_hide_others(pg, savepoint_name(request->statement));
}

void pg_savepoint_revived(struct quring_tx *tx) {
    pg_tx_of(tx)->hidden_count = 0;
    pg_tx_of(tx)->hides_others = false;
}

/* The server goes on behind it, as far as is known here. */
static bool failure_is_of_our_own(const struct tx_failure *failure) {
    return failure->set && (failure->status == QURING_CANCELLED || failure->status == QURING_TIMEOUT ||
                            failure->status == QURING_LIMIT);
}

static bool savepoint_was_hidden(const struct pg_tx *pg, uint32_t name) {
    for (uint32_t i = 0; i < pg->hidden_count; i++)
        if (name_may_be(pg->hidden[i], name))
            return true;
    return pg->hides_others && !name_is(pg->hidden_but, name);
}

/* From the failure to the request `until`. */
static bool failure_hides(struct quring_tx *tx, const struct tx_failure *failure, uint32_t name, uint64_t until) {
    const struct pg_tx *pg = pg_tx_of(tx);
    bool hides = savepoint_was_hidden(pg, name);
    for (uint64_t r = pg->conn->settled; r < until && !hides; r++) {
        const struct pg_request *request = pg_conn_request(pg->conn, r);
        hides =
            pg_request_tx(request) == tx && request->tx_position >= failure->position && request_hides(request, name);
    }
    return hides;
}

/*
 * The first ROLLBACK TO that was sent behind a failure, which decides; behind the last request: none was. One that was given up
 * counts as failed.
 */
static uint64_t failure_decider(struct quring_tx *tx, const struct tx_failure *failure) {
    const struct pg_conn *conn = pg_tx_of(tx)->conn;
    uint64_t r = conn->settled;
    for (; r < conn->session.next; r++) {
        const struct pg_request *request = pg_conn_request(conn, r);
        if (pg_request_tx(request) == tx && request->query && request->tx_position > failure->position &&
            request_verb(request) == VERB_GOES_BACK)
            break;
    }
    return r;
}

/* What stands behind one that is on its way to the server stands behind no failure, if that is carried out. */
bool pg_savepoint_misleads(struct quring_tx *tx, const struct query *goes_back) {
    const struct tx_failure *const failures[] = {&tx->first, &tx->last};
    uint32_t name = savepoint_name(goes_back->statement);
    for (int i = 0; i < 2; i++)
        if (failure_is_of_our_own(failures[i]) && failures[i]->position < goes_back->tx_position &&
            failure_hides(tx, failures[i], name, failure_decider(tx, failures[i])))
            return true;
    return false;
}

static bool failure_has_misled(struct quring_tx *tx, const struct tx_failure *failure) {
    const struct pg_conn *conn = pg_tx_of(tx)->conn;
    if (!failure_is_of_our_own(failure))
        return false;
    uint64_t r = failure_decider(tx, failure);
    return r < conn->session.next && failure_hides(tx, failure, savepoint_name(pg_conn_request(conn, r)->statement), r);
}

bool pg_savepoint_has_misled(struct quring_tx *tx) {
    return failure_has_misled(tx, &tx->first) || failure_has_misled(tx, &tx->last);
}
