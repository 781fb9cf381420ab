/* SPDX-License-Identifier: MIT */
#include "core/tx.h"

#include "core/batch.h"

#include <string.h>

/* ---- State ---- */

void tx_move(struct quring_tx *tx, enum tx_state to) {
    static const uint8_t next[] = {
        [TX_NEW] = 1 << TX_WAITING | 1 << TX_ENDED,
        [TX_WAITING] = 1 << TX_OPEN | 1 << TX_ENDED,
        [TX_OPEN] = 1 << TX_ENDING | 1 << TX_WAITING | 1 << TX_ENDED,
        [TX_ENDING] = 1 << TX_WAITING | 1 << TX_ENDED,
    };
    PRE(tx->state < TX_ENDED && (next[tx->state] >> to & 1));
    tx->state = (uint8_t)to;
    list_remove(&tx->queue.joined);
}

/* ---- Order ---- */

static struct tx_position tx_append(struct quring_tx *tx, enum statement_verb verb) {
    uint32_t next = tx->section + 1;
    tx->section = verb == VERB_GOES_BACK ? next | 1 : next & ~1u;
    return (struct tx_position){.number = ++tx->query_count, .section = tx->section};
}

/* The section of the first ROLLBACK TO behind this section that has not ended, or of the next one that will be submitted. */
static uint32_t tx_open_back(const struct quring_tx *tx, uint32_t section) {
    return ((section > tx->ended_section ? section : tx->ended_section) + 1) | 1;
}

/*
 * They end in their order, but for those that are given up: one that ends before an earlier one counts as open until a later one
 * ends.
 */
static void tx_back_ended(struct quring_tx *tx, uint32_t section, bool in_order) {
    if (in_order ? section > tx->ended_section : section == tx_open_back(tx, 0))
        tx->ended_section = section;
}

/* ---- Failure ---- */

static void tx_failure_set(struct tx_failure *failure, struct tx_position position, quring_id id, quring_status status,
                           const quring_error *error) {
    failure->set = true;
    failure->first = position;
    failure->id = id;
    failure->status = (uint8_t)status;
    error_set(&failure->error, error->sqlstate, error->message, error->detail, error->hint, 0);
}

static bool status_is_own_will(quring_status status) {
    return status == QURING_CANCELLED || status == QURING_TIMEOUT || status == QURING_LIMIT;
}

/*
 * A ROLLBACK TO between the first that failed and the last would take back the one, and not the other: what stands between them is
 * to be run or not by what becomes of it, which nobody knows yet. Once COMMIT was sent there is none: see tx_commit_waits().
 */
static void tx_fail(struct quring_tx *tx, struct tx_position position, quring_id id, quring_status status,
                    const quring_error *error) {
    struct tx_failure *failure = &tx->failure;
    failure->own_will = (failure->set && failure->own_will) || status_is_own_will(status);
    if (!failure->set || position.number > failure->last.number) {
        failure->last = position;
        failure->last_status = (uint8_t)status;
    }
    if (!failure->set || position.number < failure->first.number)
        tx_failure_set(failure, position, id, status, error);
    if (tx->state != TX_ENDING && tx_open_back(tx, failure->first.section) < failure->last.section)
        tx_doom(tx, "queries failed before and behind a ROLLBACK TO that was still to be carried out");
}

static void tx_failure_clear(struct tx_failure *failure) {
    failure->set = false;
    failure->hint = NULL;
    error_clear(&failure->error);
}

/* A query of the transaction ended, and not with OK. COMMIT and ROLLBACK have none behind them that could be skipped. */
static void tx_query_failed(struct query *query) {
    struct quring_tx *tx = query->queue->tx;
    quring_status status = (quring_status)query->status;
    bool own_will = status_is_own_will(status);
    if (tx_verb(query) == VERB_GOES_BACK)
        tx_back_ended(tx, query->tx_position.section, !own_will);
    if (status == QURING_SKIPPED || tx_is_end(tx_verb(query)) || (own_will && tx->state == TX_ENDING))
        return;
    tx_fail(tx, query->tx_position, query->id, status, &query->error.view);
}

void tx_note_refused(struct quring_tx *tx, struct query *query) {
    PRE(query->state == QUERY_DONE && query->status != QURING_OK && !tx->end_submitted);
    query->tx_position = tx_append(tx, VERB_NONE);
    tx_fail(tx, query->tx_position, query->id, (quring_status)query->status, &query->error.view);
}

void tx_give_up(struct quring_tx *tx, quring_status status, const char *sqlstate, const char *message) {
    PRE(status != QURING_OK);
    quring_error error = error_view(sqlstate, message, "");
    if (!tx->failure.set)
        tx_fail(tx, (struct tx_position){0}, 0, status, &error);
    tx->given_up = true;
}

void tx_distrust(struct quring_tx *tx, const char *sqlstate, const char *message) {
    tx_failure_clear(&tx->failure);
    tx_give_up(tx, QURING_PROTOCOL, sqlstate, message);
    tx->distrusted = true;
}

void tx_doom(struct quring_tx *tx, const char *hint) {
    PRE(tx->failure.set);
    if (!tx->failure.hint)
        tx->failure.hint = hint;
    tx->given_up = true;
}

void tx_fail_at(struct quring_tx *tx, struct tx_position position, quring_id id, const char *sqlstate,
                const char *message) {
    PRE(position.number && position.number <= tx->query_count);
    quring_error error = error_view(sqlstate, message, "");
    tx_fail(tx, position, id, QURING_SERVER_ERROR, &error);
}

void tx_fail_token(struct quring_tx *tx, const char *sqlstate, const char *message) {
    PRE(tx->writes_token && tx->end_submitted);
    quring_error error = error_view(sqlstate, message, TX_TOKEN_FAILED);
    tx_fail(tx, (struct tx_position){tx->query_count, tx->section}, 0, QURING_SERVER_ERROR, &error);
}

void tx_fail_note(struct quring_tx *tx, const char *sqlstate, const char *message) {
    PRE(tx_reads_note(tx) && tx->end_submitted);
    quring_error error = error_view(sqlstate, message, "the transaction's ID could not be read");
    tx_fail(tx, (struct tx_position){tx->query_count - 1, tx->section}, 0, QURING_SERVER_ERROR, &error);
}

/* Only a savepoint from before the failure lets a transaction go on behind it. */
static bool tx_may_revive(const struct quring_tx *tx) {
    return !tx->given_up && tx->save_number && tx->save_number < tx->failure.first.number;
}

/* An end that was submitted, neither waits nor was sent, ended here: it was refused, or the program gave it up. */
static bool tx_has_lost_its_end(const struct quring_tx *tx) {
    return tx->end_submitted && tx->queue.waiting_count == 0 && tx->state < TX_ENDING;
}

bool tx_is_doomed(const struct quring_tx *tx) {
    return tx->given_up || tx_has_lost_its_end(tx) || (tx->failure.set && !tx_may_revive(tx));
}

void tx_revive(struct quring_tx *tx, struct tx_position position) {
    tx_back_ended(tx, position.section, true);
    if (tx->failure.set && !tx->given_up && tx->failure.last.section <= position.section)
        tx_failure_clear(&tx->failure);
}

bool tx_stands_behind(const struct quring_tx *tx, const struct query *query) {
    const struct tx_failure *failure = &tx->failure;
    struct tx_position position = query->tx_position;
    bool goes_on = tx_may_revive(tx) && tx_open_back(tx, failure->last.section) < position.section;
    return tx->given_up || (failure->set && position.number > failure->first.number && !goes_on);
}

/* ---- Ends ---- */

void tx_say_skipped(const struct quring_tx *tx, struct query *query) {
    const struct tx_failure *failure = &tx->failure;
    PRE(failure->set);
    if (query->batch) {
        struct batch_failure why = {failure->first.number, failure->error.view.sqlstate, failure->error.view.message};
        batch_say_skipped(query, &why);
        return;
    }
    error_format(&query->error, failure->error.view.sqlstate, "%s%s",
                 failure->id ? "not run, because a query before it in its transaction failed: "
                             : "not run, because its transaction failed: ",
                 failure->error.view.message);
    query->failed_id = failure->id;
    if (failure->hint)
        query->error.view.hint = failure->hint;
}

void tx_skip(struct quring_tx *tx, struct query *query) {
    tx_say_skipped(tx, query);
    query_finish(query, QURING_SKIPPED);
}

/*
 * Where the failure says that no byte left, that is true of COMMIT as well; and where the server left the transaction by itself
 * nobody knows what became of it.
 */
quring_status tx_say_refused(const struct quring_tx *tx, struct query *query) {
    const struct tx_failure *failure = &tx->failure;
    const quring_error *error = &failure->error.view;
    PRE(failure->set);
    bool says_it = tx->distrusted || failure->status == QURING_NOT_SENT || failure->status == QURING_SHUTDOWN;
    const char *hint = failure->hint ? failure->hint : error->hint;
    error_set(&query->error, error->sqlstate, error->message, error->detail, hint, 0);
    return says_it ? (quring_status)failure->status : QURING_SERVER_ERROR;
}

void tx_refuse_end(struct quring_tx *tx, struct query *query) {
    query_finish(query, tx_say_refused(tx, query));
}

void tx_finish_behind(struct quring_tx *tx, struct query *query) {
    if (tx_verb(query) == VERB_COMMITS)
        tx_refuse_end(tx, query);
    else
        tx_skip(tx, query);
}

static void tx_finish_unsent_end(struct query *query, const char *command) {
    result_put_command(&query->result, command, strlen(command));
    query_finish(query, QURING_OK);
}

/* True: the query was ended, because it is not run, or because there is nothing to be ended by it. */
static bool tx_ends_unsent(struct quring_tx *tx, struct query *query) {
    enum statement_verb verb = tx_verb(query);
    if (verb == VERB_GOES_BACK && tx_may_revive(tx))
        return false;
    if (!tx_stands_behind(tx, query)) {
        if (!tx_is_end(verb) || tx_has_place(tx))
            return false;
        tx_finish_unsent_end(query, verb == VERB_COMMITS ? "COMMIT" : "ROLLBACK");
        return true;
    }
    if (verb == VERB_ROLLS_BACK && tx->state == TX_OPEN)
        return false;
    if (verb == VERB_ROLLS_BACK && !tx->distrusted)
        tx_finish_unsent_end(query, "ROLLBACK");
    else if (tx_is_end(verb))
        tx_refuse_end(tx, query);
    else
        tx_skip(tx, query);
    return true;
}

/*
 * Once COMMIT was sent, what fails does so in its order, behind all that failed before. So it is not sent behind a failure while
 * a ROLLBACK TO before that may still be carried out.
 */
static bool tx_commit_waits(const struct quring_tx *tx, const struct query *query) {
    return tx_verb(query) == VERB_COMMITS && tx->state == TX_OPEN && tx->failure.set &&
           tx_open_back(tx, 0) < tx->failure.first.section && !tx_stands_behind(tx, query);
}

struct query *tx_next(struct quring_tx *tx) {
    struct list *node;
    if (base_unlikely(tx->batch != NULL) && tx->given_up && tx_has_place(tx))
        return NULL;
    while ((node = list_first(&tx->queue.waiting))) {
        struct query *query = list_entry(node, struct query, link);
        if (!tx_ends_unsent(tx, query))
            return tx_commit_waits(tx, query) ? NULL : query;
    }
    return NULL;
}

/* Its memory is used again by a later quring_tx_open() only, because its backend may be about to look at it once more. */
static void tx_be_over(struct quring_tx *tx) {
    PRE(tx->released && tx->state == TX_ENDED && tx->queue.waiting_count == 0);
    list_remove(&tx->link);
    list_push_front(&tx->hub->tx_over, &tx->link);
}

static void tx_drop_token(struct quring_tx *tx) {
    if (tx->writes_token)
        statement_drop(tx->writes_token);
    tx->writes_token = NULL;
}

void tx_end(struct quring_tx *tx) {
    tx_move(tx, TX_ENDED);
    tx_drop_token(tx);
    heap_remove(&tx->hub->tx_deadlines, &tx->deadline);
    struct query *left = tx_next(tx);
    PRE(!left);
    if (tx->released)
        tx_be_over(tx);
}

void tx_release(struct quring_tx *tx) {
    PRE(!tx->released);
    tx->released = true;
    if (tx->state == TX_NEW) {
        tx_end(tx);
    } else if (tx->state == TX_ENDED) {
        (void)tx_next(tx); /* what was submitted since the last turn */
        tx_be_over(tx);
    } else if (!tx->end_submitted) {
        tx_give_up(tx, QURING_CANCELLED, "57014", "the transaction's handle was released before its COMMIT");
    }
}

/* ---- Submission ---- */

void tx_put(struct quring_tx *tx, struct query *query) {
    PRE(!tx->released && !tx->end_submitted && query->queue == &tx->queue);
    const struct statement_traits *traits = &query->statement->traits;
    enum statement_verb verb = tx_verb(query);
    query->tx_position = tx_append(tx, verb);
    tx->leaves_nothing &= traits->leaves_nothing;
    tx->end_submitted = tx_is_end(verb);
    if (verb == VERB_SAVES && !tx->save_number)
        tx->save_number = query->tx_position.number;
    tx->idle_at_ns = UINT64_MAX;
    tx->idle = false;
    if (tx->state == TX_NEW)
        tx_move(tx, TX_WAITING);
    if (tx->state == TX_WAITING && list_empty(&tx->queue.joined))
        list_push_back(&tx->queue.db->joined, &tx->queue.joined);
    queue_put(query);
}

/* ---- ATOMIC batches ---- */

void tx_fail_batch(struct quring_tx *tx, uint32_t number, quring_status status, const quring_error *error) {
    PRE(tx->atomic && number <= tx->query_count);
    bool certain = status != QURING_IN_DOUBT && status != QURING_PROTOCOL;
    if (!tx->failure.set || !certain)
        tx_failure_set(&tx->failure, (struct tx_position){.number = number}, 0, status, error);
    tx->given_up = true;
}

/* A member that ended was sent, and the others go on without it; or its backend has ended it, and knows why. */
static void tx_member_failed(struct query *query) {
    if (query->status != QURING_SKIPPED && !query->sent)
        tx_fail_batch(query->queue->tx, query->tx_position.number, (quring_status)query->status, &query->error.view);
}

void tx_put_batch(struct quring_tx *tx, struct batch *batch, struct list *members) {
    PRE(tx->state == TX_NEW && !list_empty(members));
    tx->atomic = tx->released = true;
    tx->batch = batch;
    batch->holder = &tx->batch;
    tx->queue.failed = tx_member_failed;
    list_for_each(node, members) {
        struct query *query = list_entry(node, struct query, link);
        query->queue = &tx->queue;
        query->commit = QUERY_COMMIT_TX;
        query->tx_position = tx_append(tx, VERB_NONE);
    }
    tx_move(tx, TX_WAITING);
    list_push_back(&tx->queue.db->joined, &tx->queue.joined);
    queue_put_unit(members);
}

void tx_run_batch_again(struct quring_tx *tx) {
    PRE(tx->batch && batch_is_whole(tx->batch));
    tx_failure_clear(&tx->failure);
    tx->given_up = false;
    tx_move(tx, TX_WAITING);
}

/* ---- Time ---- */

static void tx_set_deadline(struct quring_tx *tx) {
    uint64_t at_ns = tx->idle_at_ns < tx->whole_at_ns ? tx->idle_at_ns : tx->whole_at_ns;
    if (at_ns == UINT64_MAX || (heap_contains(&tx->deadline) && tx->deadline.key <= at_ns))
        return; /* what is in the heap comes first, and tx_expire() looks again */
    heap_remove(&tx->hub->tx_deadlines, &tx->deadline);
    (void)heap_push(&tx->hub->tx_deadlines, &tx->deadline, at_ns); /* reserved for each transaction */
}

static uint64_t tx_after(uint64_t now_ns, uint64_t wait_ns) {
    return wait_ns < UINT64_MAX - now_ns ? now_ns + wait_ns : UINT64_MAX;
}

void tx_begin_time(struct quring_tx *tx, uint64_t now_ns) {
    tx->whole_at_ns = tx_after(now_ns, tx->options.timeout_ns);
    tx_set_deadline(tx);
}

void tx_idle(struct quring_tx *tx, uint64_t now_ns) {
    PRE(tx->state == TX_OPEN && tx->queue.waiting_count == 0);
    tx->idle = true;
    tx->idle_at_ns = tx_after(now_ns, tx->options.idle_timeout_ns);
    tx_set_deadline(tx);
}

bool tx_expire(struct quring_tx *tx, uint64_t now_ns) {
    PRE(!heap_contains(&tx->deadline));
    bool whole = tx->whole_at_ns <= now_ns, idle = tx->idle_at_ns <= now_ns;
    if (whole)
        tx_give_up(tx, QURING_TIMEOUT, "25P04", "the transaction's timeout passed (timeout_ns)");
    else if (idle)
        tx_give_up(tx, QURING_TIMEOUT, "25P03", "the transaction was idle for too long (idle_timeout_ns)");
    else
        tx_set_deadline(tx);
    return whole || idle;
}

void tx_time_out(struct quring_tx *tx, uint64_t now_ns, const char *sqlstate, const char *message) {
    PRE(tx->state < TX_ENDED);
    tx_give_up(tx, QURING_TIMEOUT, sqlstate, message);
    tx->whole_at_ns = now_ns;
    tx_set_deadline(tx);
}

/* ---- BEGIN ---- */

static size_t tx_put_words(char sql[TX_BEGIN_BYTES], size_t length, const char *words) {
    size_t size = strlen(words);
    PRE(length + size < TX_BEGIN_BYTES);
    memcpy(sql + length, words, size + 1);
    return length + size;
}

/* Each transaction needs it, so it is not left to snprintf(). */
size_t tx_begin_sql(const struct quring_tx *tx, char sql[TX_BEGIN_BYTES]) {
    static const char *const levels[] = {
        [QURING_ISOLATION_DEFAULT] = "",
        [QURING_ISOLATION_READ_COMMITTED] = " isolation level read committed",
        [QURING_ISOLATION_REPEATABLE_READ] = " isolation level repeatable read",
        [QURING_ISOLATION_SERIALIZABLE] = " isolation level serializable",
    };
    PRE(tx->options.isolation <= QURING_ISOLATION_SERIALIZABLE);
    size_t length = tx_put_words(sql, 0, "begin");
    length = tx_put_words(sql, length, levels[tx->options.isolation]);
    if (tx->options.read_only)
        length = tx_put_words(sql, length, " read only");
    if (tx->options.deferrable)
        length = tx_put_words(sql, length, " deferrable");
    return length;
}

/* ---- Memory ---- */

void tx_init(struct quring_tx *tx, struct quring_db *db, const quring_tx_options *options) {
    struct query_error error = tx->failure.error;
    bool used = tx->engine != NULL;
    *tx = (struct quring_tx){.engine = db->engine, .hub = db->hub, .options = *options, .leaves_nothing = true};
    if (used) {
        tx->failure.error = error;
        error_clear(&tx->failure.error);
    } else {
        error_init(&tx->failure.error);
    }
    queue_init(&tx->queue, db);
    tx->queue.tx = tx;
    tx->queue.failed = tx_query_failed;
    tx->whole_at_ns = tx->idle_at_ns = UINT64_MAX;
    list_push_back(&db->txs, &tx->link);
}

void tx_use_token(struct quring_tx *tx, struct quring_statement *writes_token, const uint8_t token[TOKEN_BYTES]) {
    PRE(tx->state == TX_NEW && !tx->writes_token);
    tx->writes_token = writes_token;
    memcpy(tx->token, token, sizeof tx->token);
    token_text(token, tx->token_text);
}

void tx_free(struct quring_tx *tx) {
    error_free(&tx->failure.error);
}

void tx_forget(struct quring_db *db) {
    list_for_each_safe(node, &db->txs) {
        struct quring_tx *tx = list_entry(node, struct quring_tx, link);
        if (tx->state != TX_ENDED)
            tx_move(tx, TX_ENDED);
        tx_drop_token(tx);
        heap_remove(&tx->hub->tx_deadlines, &tx->deadline);
        tx->queue.db = NULL;
        list_remove(&tx->link);
        list_push_back(tx->released ? &tx->hub->tx_over : &tx->hub->tx_orphans, &tx->link);
    }
    for (int i = 0; i < 2; i++)
        if (db->tx_ends[i])
            statement_drop(db->tx_ends[i]);
}
