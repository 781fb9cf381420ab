/* SPDX-License-Identifier: MIT */
/*
 * The engine's side of inboxes. A thread's first call brings its inbox here, which gets a number and its queries their room
 * in the engine's tables; each call then has the commands read that came until then.
 */
#include "engine/engine.h"

#include "engine/inbox.h"

#include "core/order_key.h"
#include "core/trace.h"

#include <stdio.h>
#include <string.h>

enum { REMOTE_QUERIES = 1024, REMOTE_AHEAD = 8 };

static const uint64_t REMOTE_BYTES = 16 << 20;

/* ---- Its place in the engine ---- */

static uint32_t remote_free_number(const quring_engine *engine) {
    for (uint32_t number = 1; number <= ENGINE_INBOXES_MAX; number++)
        if (!engine->inboxes[number])
            return number;
    UNREACHABLE("inbox_count bounds what is opened");
}

/*
 * The engine's tables grow here, on its own thread. Where there is no memory, queries are refused until there is: their
 * thread was told at open that it has an inbox, and may submit later.
 */
static bool remote_make_room(quring_engine *engine, struct quring_inbox *inbox) {
    struct trace *trace = engine->hub.trace;
    size_t room = (size_t)engine->options.query_count + engine->inbox_room + inbox->query_count;
    if (!heap_reserve(&engine->deadlines, room) ||
        (trace && !trace_add_block(trace, inbox->number, inbox->query_count)))
        return false;
    engine->inbox_room += inbox->query_count;
    for (uint32_t i = 0; i < inbox->query_count; i++) {
        inbox_query(inbox, i)->inbox = (uint16_t)inbox->number;
        inbox_query(inbox, i)->traced = trace ? trace_number(inbox->number, i) : 0;
    }
    return true;
}

static void remote_attach(quring_engine *engine, struct quring_inbox *inbox) {
    if (!inbox->number) {
        inbox->number = remote_free_number(engine);
        engine->inboxes[inbox->number] = inbox;
    }
    inbox->has_room = remote_make_room(engine, inbox);
    if (engine->shutting_down)
        atomic_store(&inbox->shut, true);
}

/* ---- Commands ---- */

/* True if the engine has this handle. The pointer may be one that was freed, so it is compared before it is followed. */
static bool remote_knows(quring_engine *engine, const quring_db *db) {
    if (base_likely(engine->known_db == db))
        return true;
    list_for_each(node, &engine->hub.databases) {
        if (list_entry(node, struct quring_db, link) != db)
            continue;
        engine->known_db = list_entry(node, struct quring_db, link);
        return true;
    }
    return false;
}

/* Each member is named, because gcc would clear one of this size by "rep stos", which takes as long as all the rest of it. */
static inline quring_query remote_query(const struct inbox_command *command) {
    return (quring_query){.db = command->db,
                          .sql = command->by_handle ? NULL : command->sql,
                          .statement = command->by_handle ? command->statement : NULL,
                          .sql_bytes = 0,
                          .params = command->params,
                          .param_count = command->param_count,
                          .user_data = command->user_data,
                          .timeout_ns = command->timeout_ns,
                          .commit = (quring_commit_mode)command->commit,
                          .order_key = command->kind == INBOX_SUBMIT ? command->order_key : 0,
                          .read_only = command->read_only,
                          .tx = NULL};
}

static int remote_refuse_room(quring_engine *engine) {
    return hub_error(&engine->hub, QURING_ENOMEM, "no memory for the queries of this inbox");
}

static int remote_check_statement(const struct quring_db *db, const quring_query *q) {
    if (base_unlikely(q->statement && q->statement->table != db->statements))
        return hub_error(db->hub, QURING_EINVAL, "the statement belongs to another database handle");
    return 0;
}

/*
 * What src/api asks of the engine's own queries, and can't of these: handle and statement are of this thread. `batch`: the one
 * that it is of; or NULL.
 */
static int remote_try(quring_engine *engine, struct quring_inbox *inbox, struct engine_batch *batch,
                      struct query *query, const struct inbox_command *command) {
    quring_query q = remote_query(command);
    if (base_unlikely(!inbox->has_room))
        return remote_refuse_room(engine);
    if (base_unlikely(!remote_knows(engine, q.db)))
        return hub_error(&engine->hub, QURING_ESHUTDOWN, "the database handle was closed, or is another engine's");
    int error = remote_check_statement(q.db, &q);
    if (base_unlikely(error))
        return error;
    return base_unlikely(batch != NULL) ? engine_batch_put_slot(engine, batch, &q, query, command->id)
                                        : engine_submit_slot(engine, &q, query, command->id);
}

/* How a query ends that quring_submit() would have refused. */
struct remote_refusal {
    quring_status status;
    const char *sqlstate;
};

static struct remote_refusal remote_refusal_of(int error) {
    switch (error) {
    case QURING_ESHUTDOWN:
        return (struct remote_refusal){QURING_SHUTDOWN, "57P01"};
    case QURING_ETOOBIG:
        return (struct remote_refusal){QURING_LIMIT, "54000"};
    case QURING_EUNSUPPORTED:
        return (struct remote_refusal){QURING_SERVER_ERROR, "0A000"};
    case QURING_ENOMEM:
        return (struct remote_refusal){QURING_SERVER_ERROR, "53200"};
    default:
        return (struct remote_refusal){QURING_SERVER_ERROR, "26000"};
    }
}

/* The query was never in a queue; its error is set. */
static void remote_end(quring_engine *engine, struct query *query, const struct inbox_command *command,
                       quring_status status) {
    query->id = command->id;
    query->user_data = command->user_data;
    query_move(query, QUERY_WAITING);
    query_move(query, QUERY_DONE);
    query->status = (uint8_t)status;
    query->sent = false;
    result_begin(&query->result, query->result.rows.limit, UINT64_MAX);
    list_push_back(&engine->hub.remote_done, &query->link);
}

/* A refusal that the thread was not there to hear becomes the outcome, with the words of quring_errmsg(). */
static void remote_refuse(quring_engine *engine, struct query *query, const struct inbox_command *command, int error) {
    struct remote_refusal refusal = remote_refusal_of(error);
    error_set(&query->error, refusal.sqlstate, engine->hub.message, NULL, NULL, 0);
    remote_end(engine, query, command, refusal.status);
}

/* No call of the engine's own thread has failed. */
static void remote_forget_message(quring_engine *engine) {
    engine->hub.message[0] = 0;
}

/* The slot's last query was reaped, and released by its thread, which tells nobody. */
static inline struct query *remote_accept(quring_engine *engine, struct quring_inbox *inbox,
                                          const struct inbox_command *command) {
    struct query *query = inbox_query_of(inbox, command->id);
    query->inbox = (uint16_t)inbox->number;
    if (base_likely(query->state != QUERY_FREE))
        query_move(query, QUERY_FREE);
    __builtin_prefetch(query->result.rows.data, 1);
    inbox->running_count++;
    engine->remote_count++;
    return query;
}

static void remote_submit(quring_engine *engine, struct quring_inbox *inbox, const struct inbox_command *command) {
    struct query *query = remote_accept(engine, inbox, command);
    int error = remote_try(engine, inbox, NULL, query, command);
    if (base_unlikely(error)) {
        remote_refuse(engine, query, command, error);
        remote_forget_message(engine);
    }
}

/* ---- Batches ---- */

/* The member at fault ends as it would by itself, and skips the others; a handle that is closed is no member's fault. */
static void remote_refuse_unit(quring_engine *engine, struct quring_inbox *inbox, uint64_t start, uint32_t count,
                               uint32_t culprit, int error) {
    struct remote_refusal refusal = remote_refusal_of(error);
    for (uint32_t i = 0; i < count; i++) {
        const struct inbox_command *command = &inbox->commands[(start + i) & inbox->command_mask];
        struct query *query = inbox_query_of(inbox, command->id);
        if (i == culprit || error == QURING_ESHUTDOWN) {
            remote_refuse(engine, query, command, error);
            continue;
        }
        error_format(&query->error, refusal.sqlstate, "skipped, because query %u of its batch was refused: %s",
                     culprit + 1, engine->hub.message);
        remote_end(engine, query, command, QURING_SKIPPED);
        query->failed_id = inbox->commands[(start + culprit) & inbox->command_mask].id;
    }
    remote_forget_message(engine);
}

/* All commands of a batch are there with the first, which was read. */
static __attribute__((cold, noinline)) void remote_submit_unit(quring_engine *engine, struct quring_inbox *inbox,
                                                               const struct inbox_command *first) {
    uint64_t start = inbox->commands_taken - 1;
    uint32_t count = (uint32_t)first->unit_count, tried = 0;
    struct engine_batch batch;
    int error = 0;
    engine_batch_begin(&batch, count, true);
    for (uint32_t i = 0; i < count; i++) {
        const struct inbox_command *command = &inbox->commands[(start + i) & inbox->command_mask];
        struct query *query = remote_accept(engine, inbox, command);
        if (!error) {
            error = remote_try(engine, inbox, &batch, query, command);
            tried = i;
        }
    }
    inbox->commands_taken = start + count;
    error = engine_batch_end(engine, &batch, error, NULL);
    if (error < 0)
        remote_refuse_unit(engine, inbox, start, count, tried, error);
}

/* ---- Transactions ---- */

/* The row of its token, which is in the slot of its first query; NULL: it has none. */
static const struct token_row *remote_token_row(struct quring_inbox *inbox, const quring_tx_options *options) {
    const struct inbox_command *first = &inbox->commands[inbox->commands_taken & inbox->command_mask];
    if (!tx_wants_token(options) || first->kind != INBOX_SUBMIT_TX)
        return NULL;
    return (const struct token_row *)(const void *)buf_head(&inbox_query_of(inbox, first->id)->store);
}

/* Its first query tells of a failure. */
static void remote_tx_open(quring_engine *engine, struct quring_inbox *inbox, const struct inbox_command *command) {
    struct inbox_engine_tx *opened = &inbox->engine_txs[command->id];
    const struct inbox_tx_options *asked = &command->tx_options;
    quring_tx_options options = {.timeout_ns = asked->timeout_ns,
                                 .idle_timeout_ns = asked->idle_timeout_ns,
                                 .resolve_timeout_ns = asked->resolve_timeout_ns,
                                 .isolation = (quring_isolation)asked->isolation,
                                 .lease_reset = (quring_lease_reset)asked->lease_reset,
                                 .resolve = (quring_resolve)asked->resolve,
                                 .read_only = asked->read_only,
                                 .deferrable = asked->deferrable};
    *opened = (struct inbox_engine_tx){0};
    if (remote_knows(engine, command->db) && command->db->number <= command->newest_db)
        opened->refused = engine_tx_open_bare(command->db, &options, remote_token_row(inbox, &options), &opened->tx);
    else
        opened->refused =
            hub_error(&engine->hub, QURING_ESHUTDOWN, "the database handle was closed, or is another engine's");
}

static int remote_refuse_unopened(quring_engine *engine, struct inbox_engine_tx *opened) {
    if (opened->told)
        return hub_error(&engine->hub, opened->refused, "the transaction was refused with its first query");
    opened->told = true;
    return opened->refused; /* the words are there still: that command came right before this one */
}

static int remote_try_tx(quring_engine *engine, struct quring_inbox *inbox, struct query *query,
                         const struct inbox_command *command) {
    struct quring_tx *tx = inbox->engine_txs[command->tx].tx;
    if (!tx)
        return remote_refuse_unopened(engine, &inbox->engine_txs[command->tx]);
    if (base_unlikely(!inbox->has_room))
        return remote_refuse_room(engine);
    int error = engine_tx_refuse(tx);
    if (error)
        return error;
    struct quring_db *db = tx->queue.db;
    quring_query q = {.user_data = command->user_data};
    if (command->kind == INBOX_END_TX)
        q.statement = db->tx_ends[command->commit != VERB_COMMITS];
    else {
        q = remote_query(command);
        error = remote_check_statement(db, &q);
    }
    q.db = db;
    q.tx = tx;
    return error ? error : engine_submit_tx_slot(engine, &q, query, command->id);
}

/*
 * A query that is refused here was submitted, and others may stand behind it, so it makes the transaction fail. One behind the
 * end of its transaction, which may have been a text, changes nothing.
 */
static __attribute__((cold, noinline)) void remote_submit_tx(quring_engine *engine, struct quring_inbox *inbox,
                                                             const struct inbox_command *command) {
    struct query *query = remote_accept(engine, inbox, command);
    struct quring_tx *tx = inbox->engine_txs[command->tx].tx;
    bool ended = tx && tx->end_submitted;
    int error = remote_try_tx(engine, inbox, query, command);
    if (!error)
        return;
    remote_refuse(engine, query, command, error);
    if (ended && error == QURING_EINVAL)
        memcpy(query->error.view.sqlstate, "25000", sizeof "25000");
    if (tx && !ended && error != QURING_ESHUTDOWN) {
        tx_note_refused(tx, query);
        engine_tx_changed(tx, false);
    }
    remote_forget_message(engine);
}

static void remote_tx_release(struct inbox_engine_tx *opened) {
    if (opened->tx)
        engine_tx_leave(opened->tx);
    *opened = (struct inbox_engine_tx){0};
}

/* ---- Cancels and the end ---- */

static void remote_cancel(struct quring_inbox *inbox, const struct inbox_command *command) {
    struct query *query = inbox_query_of(inbox, command->id);
    if (query->id == command->id)
        engine_give_up(query, QURING_CANCELLED, "cancelled");
}

/* That of a detached query is dropped when it comes back. */
static void remote_drop_key(struct query *query) {
    if (!query->key || query->state == QUERY_DETACHED)
        return;
    order_key_drop(query->key);
    query->key = NULL;
}

/* Nobody is there to have the completions of what is still out. */
static void remote_close(struct quring_inbox *inbox) {
    inbox->closed = true;
    for (uint32_t i = 0; i < inbox->query_count; i++)
        if (inbox_query(inbox, i)->state == QUERY_REAPED)
            remote_drop_key(inbox_query(inbox, i));
    for (uint32_t i = 0; inbox->running_count && i < inbox->query_count; i++)
        engine_give_up(inbox_query(inbox, i), QURING_CANCELLED, "its inbox was closed");
    for (uint32_t i = 0; inbox->engine_txs && i < inbox->query_count; i++)
        remote_tx_release(&inbox->engine_txs[i]);
}

static void remote_carry_out(quring_engine *engine, struct quring_inbox *inbox, const struct inbox_command *command) {
    switch ((enum inbox_kind)command->kind) {
    case INBOX_SUBMIT:
        remote_submit(engine, inbox, command);
        break;
    case INBOX_SUBMIT_UNIT:
        remote_submit_unit(engine, inbox, command);
        break;
    case INBOX_SUBMIT_TX:
    case INBOX_END_TX:
        remote_submit_tx(engine, inbox, command);
        break;
    case INBOX_OPEN_TX:
        remote_tx_open(engine, inbox, command);
        break;
    case INBOX_RELEASE_TX:
        remote_tx_release(&inbox->engine_txs[command->id]);
        break;
    case INBOX_CANCEL:
        remote_cancel(inbox, command);
        break;
    case INBOX_REAPED:
        remote_drop_key(inbox_query_of(inbox, command->id));
        break;
    case INBOX_CLOSE:
        remote_close(inbox);
        break;
    }
}

/*
 * Begins to move what a command is about from the other core: several such moves take as long as one. Of a slot it is all that
 * the reactor writes, because its thread has read the rows of the last query there.
 */
static inline void remote_fetch(const struct quring_inbox *inbox, const struct inbox_command *command) {
    const uint8_t *slot = (const uint8_t *)inbox_query_of(inbox, command->id);
    for (size_t at = 0; at < offsetof(struct query, error); at += INBOX_LINE_BYTES)
        __builtin_prefetch(slot + at, 1);
    __builtin_prefetch(command->params);
    if (!command->by_handle)
        __builtin_prefetch(command->sql);
}

/* A unit is read as one, so that `fetched` may fall behind. */
static void remote_take(quring_engine *engine, struct quring_inbox *inbox) {
    if (base_unlikely(!inbox->has_room))
        remote_attach(engine, inbox);
    uint64_t sent = atomic_load_explicit(&inbox->commands_sent, memory_order_acquire);
    uint64_t fetched = inbox->commands_taken;
    while (inbox->commands_taken != sent) {
        for (; fetched != sent && fetched < inbox->commands_taken + REMOTE_AHEAD; fetched++) {
            __builtin_prefetch(&inbox->commands[(fetched + REMOTE_AHEAD) & inbox->command_mask]);
            remote_fetch(inbox, &inbox->commands[fetched & inbox->command_mask]);
        }
        remote_carry_out(engine, inbox, &inbox->commands[inbox->commands_taken++ & inbox->command_mask]);
    }
}

/* Commands that come from here on bring another call. */
static void remote_called(struct job *call) {
    struct quring_inbox *inbox = base_container_of(call, struct quring_inbox, call);
    atomic_exchange(&inbox->called, false);
    remote_take(inbox->engine, inbox);
    if (base_unlikely(inbox->closed) && inbox->running_count == 0)
        engine_forget_inbox(inbox->engine, inbox);
}

/* ---- Open, shut, leave ---- */

int engine_inbox_open(quring_engine *engine, const quring_inbox_options *options, struct quring_inbox **out,
                      char *message, size_t message_bytes) {
    struct inbox_setup setup = {.ring = engine->hub.ring, .numbers = engine->hub.numbers, .called = remote_called};
    if (options)
        setup.options = *options;
    if (!setup.options.query_count)
        setup.options.query_count = REMOTE_QUERIES;
    if (!setup.options.bytes)
        setup.options.bytes = REMOTE_BYTES;
    setup.text_limit_bytes = ENGINE_MESSAGE_BYTES_MAX;
    if (setup.options.bytes < setup.text_limit_bytes)
        setup.text_limit_bytes = (size_t)setup.options.bytes;
    if (setup.options.query_count > INBOX_QUERIES_MAX) {
        snprintf(message, message_bytes, "query_count %u: at most %d", setup.options.query_count, INBOX_QUERIES_MAX);
        return QURING_EINVAL;
    }
    if (atomic_fetch_add(&engine->inbox_count, 1) >= ENGINE_INBOXES_MAX) {
        atomic_fetch_sub(&engine->inbox_count, 1);
        snprintf(message, message_bytes, "an engine has %d inboxes at most", ENGINE_INBOXES_MAX);
        return QURING_EFULL;
    }
    struct quring_inbox *inbox;
    int error = inbox_open(&setup, &inbox);
    if (error) {
        atomic_fetch_sub(&engine->inbox_count, 1);
        snprintf(message, message_bytes, "no memory or no descriptor for an inbox of %u queries",
                 setup.options.query_count);
        return error;
    }
    inbox->engine = engine;
    inbox_call(inbox);
    *out = inbox;
    return 0;
}

void engine_inboxes_shut(quring_engine *engine) {
    ring_collect_posts(engine->hub.ring);
    for (uint32_t number = 1; number <= ENGINE_INBOXES_MAX; number++)
        if (engine->inboxes[number])
            atomic_store(&engine->inboxes[number]->shut, true);
}

void engine_inboxes_read(quring_engine *engine) {
    if (!atomic_load(&engine->inbox_count))
        return;
    ring_collect_posts(engine->hub.ring);
    for (uint32_t number = 1; number <= ENGINE_INBOXES_MAX; number++) {
        struct quring_inbox *inbox = engine->inboxes[number];
        if (inbox)
            remote_take(engine, inbox);
    }
    engine_deliver(engine, false);
}

/*
 * Commands that come later than the last look here find the engine gone, and are the inbox's own to end. Where the kernel has
 * refused to end what is in a backend's hands, the inbox is leaked, as the engine is.
 */
void engine_inboxes_leave(quring_engine *engine) {
    engine_inboxes_read(engine);
    for (uint32_t number = 1; number <= ENGINE_INBOXES_MAX; number++) {
        struct quring_inbox *inbox = engine->inboxes[number];
        if (!inbox)
            continue;
        if (base_unlikely(inbox->running_count))
            atomic_fetch_add(&inbox->owner_count, 1);
        inbox_leave(inbox);
        engine->inboxes[number] = NULL;
    }
}
