/* SPDX-License-Identifier: MIT */
/*
 * The public functions that need an engine: they check who calls, then the arguments, and call it.
 *
 * On another thread, or in a child process, they write nothing of the engine and ask nothing of the kernel, because the
 * ring, the sockets and the eventfd that a child inherits are its parent's too.
 */
#include "engine/engine.h"

#include "engine/inbox.h"

#include "core/stats.h"
#include "core/trace.h"
#include "ring/port.h"

#include <stdio.h>
#include <string.h>

/* ---- Structs of programs that were compiled with another version of the header ---- */

/* Copies the members that both versions know. False: a member is set that this library does not know. */
static bool api_struct_take(void *ours, size_t our_bytes, const void *theirs, size_t their_bytes) {
    memset(ours, 0, our_bytes);
    memcpy(ours, theirs, their_bytes < our_bytes ? their_bytes : our_bytes);
    for (size_t i = our_bytes; i < their_bytes; i++)
        if (((const uint8_t *)theirs)[i])
            return false;
    return true;
}

/* Fills the caller's struct; its members that this library does not know become zero. */
static void api_struct_give(void *theirs, size_t their_bytes, const void *ours, size_t our_bytes) {
    memcpy(theirs, ours, their_bytes < our_bytes ? their_bytes : our_bytes);
    if (their_bytes > our_bytes)
        memset((uint8_t *)theirs + our_bytes, 0, their_bytes - our_bytes);
}

/* ---- The caller, and what was wrong with the call ---- */

/* The message of a quring_engine_open() that failed, which leaves no engine to keep it. */
static _Thread_local char open_message[512];

/* Any thread but the one that opened the engine, and any thread of a child process. */
static bool api_is_foreign(const quring_engine *engine) {
    return base_unlikely(!owner_mark_is_here(engine->owner));
}

/* The check that every call on an engine begins with. */
static int api_refuse_caller(const quring_engine *engine) {
    if (base_unlikely(!engine))
        return QURING_EINVAL;
    return api_is_foreign(engine) ? QURING_EFORKED : 0;
}

static int api_refuse(quring_engine *engine, int error, const char *why) {
    return hub_error(&engine->hub, error, "%s", why);
}

/* For calls whose errors arise far below, where not each sets a message: the last one's must not remain. */
static void api_forget_message(quring_engine *engine) {
    engine->hub.message[0] = 0;
}

const char *quring_errmsg(const quring_engine *engine) {
    if (!engine)
        return open_message;
    return api_is_foreign(engine) ? "the engine belongs to the thread and process that opened it" : engine->hub.message;
}

static const char unknown_member[] =
    "a member is set that this version of the library does not know: the program was compiled with a newer quring.h";

/* ---- Engine ---- */

static int api_refuse_open(int error, const char *why) {
    snprintf(open_message, sizeof open_message, "%s", why);
    return error;
}

int quring_engine_open_sized(const quring_options *options, size_t options_bytes, quring_engine **engine) {
    quring_options known;
    if (!engine)
        return api_refuse_open(QURING_EINVAL, "engine is NULL: there is no place for it");
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return api_refuse_open(QURING_EINVAL, unknown_member);
    open_message[0] = 0;
    return engine_open(options ? &known : NULL, engine, open_message, sizeof open_message);
}

/* A child process inherits the pointer: to close would shut sockets down that its parent uses. */
void quring_engine_close(quring_engine *engine) {
    if (!api_refuse_caller(engine))
        engine_close(engine);
}

int quring_shutdown(quring_engine *engine, uint64_t grace_ns) {
    int error = api_refuse_caller(engine);
    return error ? error : engine_shutdown(engine, grace_ns);
}

/* Where the program comes late, a turn would send the COMMIT of a transaction whose timeout had passed, and look then. */
int quring_run(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (base_unlikely(engine->hub.tx_deadlines.count))
        engine_tx_expire(engine, engine_now_ns(engine));
    return engine_run(engine, min_count, timeout_ns);
}

uint32_t quring_pending(const quring_engine *engine) {
    return api_refuse_caller(engine) ? 0 : engine->pending_count;
}

/* Any thread of the process may call this, so it looks at the process alone. */
int quring_wake(quring_engine *engine) {
    if (!engine)
        return QURING_EINVAL;
    if (!owner_mark_in_process(engine->owner))
        return QURING_EFORKED;
    ring_wake(engine->hub.ring);
    return 0;
}

int quring_fd(const quring_engine *engine) {
    int error = api_refuse_caller(engine);
    return error ? error : ring_poll_fd(engine->hub.ring);
}

/* For a program that waits on quring_fd() itself. Timers go by the clock of the port, which a simulation replaces. */
uint64_t quring_timeout_ns(const quring_engine *engine) {
    if (api_refuse_caller(engine))
        return QURING_FOREVER;
    if (ring_wants_turn(engine->hub.ring)) /* work is left that no event of the kernel would announce */
        return 0;
    uint64_t at = ring_next_timer_ns(engine->hub.ring);
    if (at == UINT64_MAX)
        return QURING_FOREVER;
    struct port *port = ring_port(engine->hub.ring);
    uint64_t now = port->methods->now_ns(port);
    return at > now ? at - now : 0;
}

/* ---- Databases ---- */

int quring_db_open_sized(quring_engine *engine, const char *url, const quring_db_options *options, size_t options_bytes,
                         quring_db **db) {
    quring_db_options known;
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (!url || !db)
        return api_refuse(engine, QURING_EINVAL, "url or db is NULL");
    api_forget_message(engine);
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return api_refuse(engine, QURING_EINVAL, unknown_member);
    return engine_db_open(engine, url, options ? &known : NULL, db);
}

void quring_db_close(quring_db *db) {
    if (db && !api_is_foreign(db->engine))
        engine_db_close(db);
}

int quring_db_resize(quring_db *db, uint32_t connection_count) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    return error ? error : engine_db_resize(db, connection_count);
}

int quring_db_drain(quring_db *db) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    return error ? error : engine_db_drain(db);
}

/* The name is constant from open on, so no caller is refused. */
const char *quring_db_backend(const quring_db *db) {
    return db ? db->backend->name : "";
}

uint32_t quring_db_server_pid(const quring_db *db) {
    return db ? db->server_pid : 0;
}

int quring_db_status_sized(const quring_db *db, quring_db_info *info, size_t info_bytes) {
    quring_db_info known;
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    if (error)
        return error;
    if (!info)
        return api_refuse(db->engine, QURING_EINVAL, "info is NULL");
    engine_db_status(db, &known);
    api_struct_give(info, info_bytes, &known, sizeof known);
    return 0;
}

int quring_db_warm_up(quring_db *db, uint64_t timeout_ns) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    return error ? error : engine_warm_up(db, timeout_ns);
}

int quring_prepare(quring_db *db, const char *sql, quring_statement **statement) {
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL; /* no db, and so no engine to keep a message */
    if (error)
        return error;
    if (!sql || !statement)
        return api_refuse(db->engine, QURING_EINVAL, "sql or statement is NULL");
    return engine_prepare(db, sql, statement);
}

/* The statement remembers its thread, since its engine may be closed by now. */
void quring_statement_release(quring_statement *statement) {
    if (statement && statement->owner == owner_here)
        statement_drop(statement);
}

/* ---- Transactions ---- */

/* The check that every call on an inbox begins with: it is the calling thread's, whichever the engine's is. */
static int inbox_refuse_caller(const quring_inbox *inbox) {
    if (base_unlikely(!inbox))
        return QURING_EINVAL;
    return base_unlikely(!owner_mark_is_here(inbox->owner)) ? QURING_EFORKED : 0;
}

/* The inbox whose thread has this handle; NULL: the engine's own thread has it. */
static quring_inbox *tx_inbox(const quring_tx *tx) {
    return ((const struct tx_handle *)(const void *)tx)->inbox;
}

static struct inbox_tx *tx_of_inbox(quring_tx *tx) {
    return (struct inbox_tx *)(void *)tx;
}

/* They remember their engine, since their database may be closed by now. */
static int api_refuse_tx(const quring_tx *tx) {
    if (!tx)
        return QURING_EINVAL;
    return tx_inbox(tx) ? inbox_refuse_caller(tx_inbox(tx)) : api_refuse_caller(tx->engine);
}

#define TX_OPTIONS_WORDS "options.isolation is %d, lease_reset %d: at most %d and %d"

static bool api_tx_options_known(const quring_tx_options *options) {
    return options->isolation <= QURING_ISOLATION_SERIALIZABLE && options->lease_reset <= QURING_LEASE_RESET_ALWAYS;
}

static const char *api_refuse_resolve(const quring_tx_options *options) {
    if (options->resolve > QURING_RESOLVE_XID)
        return "options.resolve is none of quring_resolve";
    if ((options->resolve == QURING_RESOLVE_TOKEN) != (options->token_table != NULL))
        return "options.token_table goes with QURING_RESOLVE_TOKEN";
    if (options->token_table && !token_table_is_valid(options->token_table))
        return "options.token_table is no name of a table as SQL has it: commits, app.commits, \"App\".\"Commits\"";
    return NULL;
}

int quring_tx_open_sized(quring_db *db, const quring_tx_options *options, size_t options_bytes, quring_tx **tx) {
    quring_tx_options known;
    int error = db ? api_refuse_caller(db->engine) : QURING_EINVAL;
    if (error)
        return error;
    if (!tx)
        return api_refuse(db->engine, QURING_EINVAL, "tx is NULL: there is no place for it");
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return api_refuse(db->engine, QURING_EINVAL, unknown_member);
    if (options && !api_tx_options_known(&known))
        return hub_error(&db->engine->hub, QURING_EINVAL, TX_OPTIONS_WORDS, (int)known.isolation,
                         (int)known.lease_reset, QURING_ISOLATION_SERIALIZABLE, QURING_LEASE_RESET_ALWAYS);
    const char *why = options ? api_refuse_resolve(&known) : NULL;
    if (why)
        return api_refuse(db->engine, QURING_EINVAL, why);
    return engine_tx_open(db, options ? &known : NULL, tx);
}

const char *quring_tx_token(const quring_tx *tx) {
    if (api_refuse_tx(tx))
        return "";
    return tx_inbox(tx) ? ((const struct inbox_tx *)(const void *)tx)->token_text : tx->token_text;
}

void quring_tx_release(quring_tx *tx) {
    if (api_refuse_tx(tx))
        return;
    if (tx_inbox(tx))
        inbox_tx_release(tx_of_inbox(tx));
    else
        engine_tx_release(tx);
}

static int api_tx_end(quring_tx *tx, enum statement_verb verb, uint64_t user_data, quring_id *id) {
    int error = api_refuse_tx(tx);
    if (error)
        return error;
    return tx_inbox(tx) ? inbox_tx_end(tx_of_inbox(tx), verb, user_data, id) : engine_tx_end(tx, verb, user_data, id);
}

int quring_commit(quring_tx *tx, uint64_t user_data, quring_id *id) {
    return api_tx_end(tx, VERB_COMMITS, user_data, id);
}

int quring_rollback(quring_tx *tx, uint64_t user_data, quring_id *id) {
    return api_tx_end(tx, VERB_ROLLS_BACK, user_data, id);
}

/* ---- Queries ---- */

/* A query has either a text or a statement, which is of a handle; no `db`: it is closed, and has none any more. */
static inline int api_check_text(quring_engine *engine, const quring_query *query, const quring_db *db) {
    if (query->statement ? query->sql != NULL : !query->sql)
        return api_refuse(engine, QURING_EINVAL, "a query has either sql or a statement");
    if (query->statement && db && query->statement->table != db->statements)
        return api_refuse(engine, QURING_EINVAL, "the statement belongs to another database handle");
    return 0;
}

/* Bind has 16 bits for the number of parameters, and SQLite is given the same limit. */
static inline int api_check_values(quring_engine *engine, const quring_query *query) {
    if (base_unlikely(query->param_count > 65535 || (query->param_count && !query->params)))
        return hub_error(&engine->hub, QURING_EINVAL, "%u parameters: at most 65535, and params must name them",
                         query->param_count);
    if (base_unlikely(query->commit > QURING_COMMIT_AUTO))
        return hub_error(&engine->hub, QURING_EINVAL, "unknown commit mode %d", (int)query->commit);
    return 0;
}

/* Checks what a program can get wrong, so that the layers below may assert it. */
static inline int api_check_query(quring_engine *engine, const quring_query *query) {
    if (base_unlikely(!query->db))
        return api_refuse(engine, QURING_EINVAL, "the query has no db");
    if (base_unlikely(query->db->engine != engine))
        return api_refuse(engine, QURING_EINVAL, "the database belongs to another engine");
    int error = api_check_text(engine, query, query->db);
    return base_unlikely(error) ? error : api_check_values(engine, query);
}

static __attribute__((cold, noinline)) int api_submit_tx(quring_engine *engine, const quring_query *query,
                                                         quring_id *id) {
    const quring_tx *tx = query->tx;
    if (tx_inbox(tx))
        return api_refuse(engine, QURING_EINVAL, "the transaction is one of an inbox: quring_inbox_submit()");
    if (tx->engine != engine || (query->db && query->db != tx->queue.db))
        return api_refuse(engine, QURING_EINVAL, "the transaction belongs to another engine or database handle");
    if (query->commit == QURING_COMMIT_GROUP || query->order_key)
        return api_refuse(engine, QURING_EINVAL,
                          "a query of a transaction commits with it, in order: no GROUP, no key");
    int error = api_check_text(engine, query, tx->queue.db);
    if (!error)
        error = api_check_values(engine, query);
    if (!error)
        error = engine_tx_refuse(query->tx);
    return error ? error : engine_submit_tx(engine, query, id);
}

static inline int api_submit(quring_engine *engine, const quring_query *query, quring_id *id) {
    if (base_unlikely(query->tx != NULL))
        return api_submit_tx(engine, query, id);
    int error = api_check_query(engine, query);
    return base_unlikely(error) ? error : engine_submit(engine, query, id);
}

int quring_submit_sized(quring_engine *engine, const quring_query *query, size_t query_bytes, quring_id *id) {
    int error = api_refuse_caller(engine);
    if (base_unlikely(error))
        return error;
    if (base_unlikely(!query))
        return api_refuse(engine, QURING_EINVAL, "query is NULL");
    quring_query known; /* not filled for a program with this version's header: a copy would cost every submit */
    if (base_unlikely(query_bytes != sizeof *query)) {
        if (!api_struct_take(&known, sizeof known, query, query_bytes))
            return api_refuse(engine, QURING_EINVAL, unknown_member);
        query = &known;
    }
    return api_submit(engine, query, id);
}

/* Its queue is its own, so it need not wait for the others of the call. */
static __attribute__((cold, noinline)) int api_batch_put_tx(quring_engine *engine, struct engine_batch *batch,
                                                            const quring_query *query, quring_id *id) {
    if (batch->atomic)
        return api_refuse(engine, QURING_EINVAL, "a transaction commits by itself: its queries join no ATOMIC batch");
    int error = api_submit_tx(engine, query, id);
    batch->count += !error;
    return error;
}

static int api_batch_put(quring_engine *engine, struct engine_batch *batch, const quring_query *query,
                         size_t query_bytes, quring_id *id) {
    quring_query known;
    if (query_bytes != sizeof known) {
        if (!api_struct_take(&known, sizeof known, query, query_bytes))
            return api_refuse(engine, QURING_EINVAL, unknown_member);
        query = &known;
    }
    if (base_unlikely(query->tx != NULL))
        return api_batch_put_tx(engine, batch, query, id);
    int error = api_check_query(engine, query);
    return base_unlikely(error) ? error : engine_batch_put(engine, batch, query, id);
}

int quring_submit_batch_sized(quring_engine *engine, const quring_query *queries, size_t query_bytes, uint32_t count,
                              quring_batch_mode mode, quring_id *ids) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !queries) || mode > QURING_BATCH_ATOMIC)
        return api_refuse(engine, QURING_EINVAL, "queries is NULL, or mode is none that this library knows");
    struct engine_batch batch;
    engine_batch_begin(&batch, count, mode == QURING_BATCH_ATOMIC);
    for (uint32_t i = 0; i < count && !error; i++) {
        const uint8_t *query = (const uint8_t *)queries + i * query_bytes;
        error =
            api_batch_put(engine, &batch, (const quring_query *)(const void *)query, query_bytes, ids ? &ids[i] : NULL);
    }
    return engine_batch_end(engine, &batch, error, ids);
}

int quring_cancel(quring_engine *engine, quring_id id) {
    int error = api_refuse_caller(engine);
    return error ? error : engine_cancel(engine, id);
}

int quring_reap_sized(quring_engine *engine, quring_done *done, size_t done_bytes, uint32_t capacity) {
    int error = api_refuse_caller(engine);
    if (base_unlikely(error))
        return error;
    if (base_unlikely(!done && capacity))
        return api_refuse(engine, QURING_EINVAL, "done is NULL");
    if (base_likely(done_bytes == sizeof *done))
        return engine_reap(engine, done, capacity);
    uint32_t count = 0;
    quring_done known; /* one at a time, for a program whose struct has another size */
    for (uint8_t *at = (uint8_t *)done; count < capacity && engine_reap(engine, &known, 1); at += done_bytes, count++)
        api_struct_give(at, done_bytes, &known, sizeof known);
    return (int)count;
}

int quring_release(quring_engine *engine, quring_id id) {
    int error = api_refuse_caller(engine);
    return error ? error : engine_release(engine, id);
}

int quring_release_batch_sized(quring_engine *engine, const quring_done *done, size_t done_bytes, uint32_t count) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !done))
        return api_refuse(engine, QURING_EINVAL, "done is NULL");
    for (uint32_t i = 0; i < count; i++) {
        const quring_done *at = (const quring_done *)((const uint8_t *)done + i * done_bytes);
        error = engine_release(engine, at->id);
        if (base_unlikely(error))
            return i ? (int)i : error;
    }
    return (int)count;
}

/* ---- Inboxes ---- */

const char *quring_inbox_errmsg(const quring_inbox *inbox) {
    int error = inbox_refuse_caller(inbox);
    return error == QURING_EFORKED ? "the inbox belongs to the thread and process that opened it"
           : error                 ? ""
                                   : inbox->message;
}

/* Any thread of the process may call this, as quring_wake(). */
int quring_inbox_open_sized(quring_engine *engine, const quring_inbox_options *options, size_t options_bytes,
                            quring_inbox **inbox) {
    quring_inbox_options known;
    if (!engine || !inbox)
        return api_refuse_open(QURING_EINVAL, "engine or inbox is NULL");
    if (!owner_mark_in_process(engine->owner))
        return api_refuse_open(QURING_EFORKED, "the engine belongs to another process");
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return api_refuse_open(QURING_EINVAL, unknown_member);
    open_message[0] = 0;
    return engine_inbox_open(engine, options ? &known : NULL, inbox, open_message, sizeof open_message);
}

void quring_inbox_close(quring_inbox *inbox) {
    if (!inbox_refuse_caller(inbox))
        inbox_close(inbox);
}

static int api_check_inbox_tx(quring_inbox *inbox, const quring_query *query) {
    if (tx_inbox(query->tx) != inbox || (query->db && query->db != tx_of_inbox(query->tx)->db))
        return inbox_error(inbox, QURING_EINVAL, "the transaction belongs to another thread or database handle");
    if (query->commit == QURING_COMMIT_GROUP || query->order_key)
        return inbox_error(inbox, QURING_EINVAL,
                           "a query of a transaction commits with it, in order: no GROUP, no key");
    return 0;
}

/* Checks what can be told without the handle and the statement, which belong to the engine's thread. */
static int api_check_inbox_query(quring_inbox *inbox, const quring_query *query) {
    int error = base_unlikely(query->tx != NULL) ? api_check_inbox_tx(inbox, query) : 0;
    if (error)
        return error;
    if (!query->db && !query->tx)
        return inbox_error(inbox, QURING_EINVAL, "the query has no db");
    if (query->statement ? query->sql != NULL : !query->sql)
        return inbox_error(inbox, QURING_EINVAL, "a query has either sql or a statement");
    if (query->param_count > 65535 || (query->param_count && !query->params))
        return inbox_error(inbox, QURING_EINVAL, "%u parameters: at most 65535, and params must name them",
                           query->param_count);
    if (query->commit > QURING_COMMIT_AUTO)
        return inbox_error(inbox, QURING_EINVAL, "unknown commit mode %d", (int)query->commit);
    return 0;
}

/* `*query`: of a program whose struct has another size; `known` gets a copy, which it points to. */
static int api_take_inbox_query(quring_inbox *inbox, const quring_query **query, size_t query_bytes,
                                quring_query *known) {
    if (base_unlikely(query_bytes != sizeof *known)) {
        if (!api_struct_take(known, sizeof *known, *query, query_bytes))
            return inbox_error(inbox, QURING_EINVAL, "%s", unknown_member);
        *query = known;
    }
    return api_check_inbox_query(inbox, *query);
}

int quring_inbox_submit_sized(quring_inbox *inbox, const quring_query *query, size_t query_bytes, quring_id *id) {
    quring_query known;
    int error = inbox_refuse_caller(inbox);
    if (base_unlikely(error))
        return error;
    if (!query)
        return inbox_error(inbox, QURING_EINVAL, "query is NULL");
    error = api_take_inbox_query(inbox, &query, query_bytes, &known);
    if (base_unlikely(error))
        return error;
    return base_unlikely(query->tx != NULL) ? inbox_tx_submit(tx_of_inbox(query->tx), query, id)
                                            : inbox_submit(inbox, query, id);
}

static int api_put_inbox_query(quring_inbox *inbox, const struct inbox_batch *batch, const quring_query *query,
                               quring_id *id) {
    if (batch->atomic)
        return inbox_put_member(inbox, batch, query, id);
    return query->tx ? inbox_tx_put(tx_of_inbox(query->tx), query, id) : inbox_put(inbox, query, id);
}

int quring_inbox_submit_batch_sized(quring_inbox *inbox, const quring_query *queries, size_t query_bytes,
                                    uint32_t count, quring_batch_mode mode, quring_id *ids) {
    struct inbox_batch batch;
    quring_query known;
    int error = inbox_refuse_caller(inbox);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !queries) || mode > QURING_BATCH_ATOMIC)
        return inbox_error(inbox, QURING_EINVAL, "queries is NULL, or mode is none that this library knows");
    inbox_begin_batch(inbox, &batch, count, mode == QURING_BATCH_ATOMIC);
    for (uint32_t i = 0; i < count && !error; i++) {
        const quring_query *query = (const void *)((const uint8_t *)queries + i * query_bytes);
        quring_id *id = ids ? &ids[i] : NULL;
        error = api_take_inbox_query(inbox, &query, query_bytes, &known);
        if (!error)
            error = api_put_inbox_query(inbox, &batch, query, id);
    }
    return inbox_end_batch(inbox, &batch, error);
}

int quring_inbox_cancel(quring_inbox *inbox, quring_id id) {
    int error = inbox_refuse_caller(inbox);
    return error ? error : inbox_cancel(inbox, id);
}

int quring_inbox_reap_sized(quring_inbox *inbox, quring_done *done, size_t done_bytes, uint32_t capacity) {
    int error = inbox_refuse_caller(inbox);
    if (base_unlikely(error))
        return error;
    if (base_unlikely(!done && capacity))
        return inbox_error(inbox, QURING_EINVAL, "done is NULL");
    if (base_likely(done_bytes == sizeof *done))
        return inbox_reap(inbox, done, capacity);
    int count = 0, last = 0;
    quring_done known; /* one at a time, for a program whose struct has another size */
    for (uint8_t *at = (uint8_t *)done; (uint32_t)count < capacity && (last = inbox_reap(inbox, &known, 1)) > 0;
         at += done_bytes, count++)
        api_struct_give(at, done_bytes, &known, sizeof known);
    return count ? count : last;
}

int quring_inbox_release(quring_inbox *inbox, quring_id id) {
    int error = inbox_refuse_caller(inbox);
    return error ? error : inbox_release(inbox, id);
}

int quring_inbox_release_batch_sized(quring_inbox *inbox, const quring_done *done, size_t done_bytes, uint32_t count) {
    int error = inbox_refuse_caller(inbox);
    if (error)
        return error;
    if (count > INT32_MAX || (count && !done))
        return inbox_error(inbox, QURING_EINVAL, "done is NULL");
    for (uint32_t i = 0; i < count; i++) {
        const quring_done *at = (const quring_done *)((const uint8_t *)done + i * done_bytes);
        error = inbox_release(inbox, at->id);
        if (base_unlikely(error))
            return i ? (int)i : error;
    }
    return (int)count;
}

int quring_inbox_wait(quring_inbox *inbox, uint32_t min_count, uint64_t timeout_ns) {
    int error = inbox_refuse_caller(inbox);
    return error ? error : inbox_wait(inbox, min_count, timeout_ns);
}

int quring_inbox_fd(quring_inbox *inbox) {
    int error = inbox_refuse_caller(inbox);
    return error ? error : inbox_fd(inbox);
}

int quring_inbox_tx_open_sized(quring_inbox *inbox, quring_db *db, const quring_tx_options *options,
                               size_t options_bytes, quring_tx **tx) {
    quring_tx_options known;
    int error = inbox_refuse_caller(inbox);
    if (error)
        return error;
    if (!db || !tx)
        return inbox_error(inbox, QURING_EINVAL, "db or tx is NULL");
    if (options && !api_struct_take(&known, sizeof known, options, options_bytes))
        return inbox_error(inbox, QURING_EINVAL, "%s", unknown_member);
    if (options && !api_tx_options_known(&known))
        return inbox_error(inbox, QURING_EINVAL, TX_OPTIONS_WORDS, (int)known.isolation, (int)known.lease_reset,
                           QURING_ISOLATION_SERIALIZABLE, QURING_LEASE_RESET_ALWAYS);
    const char *why = options ? api_refuse_resolve(&known) : NULL;
    if (why)
        return inbox_error(inbox, QURING_EINVAL, "%s", why);
    return inbox_tx_open(inbox, db, options ? &known : NULL, tx);
}

uint32_t quring_inbox_pending(const quring_inbox *inbox) {
    return inbox_refuse_caller(inbox) ? 0 : inbox->pending_count;
}

/* ---- Trace ---- */

static int api_trace(struct trace *trace, quring_event *events, size_t event_bytes, uint32_t capacity) {
    trace_take_back(trace);
    if (base_likely(event_bytes == sizeof *events))
        return (int)trace_take(trace, events, capacity);
    uint32_t count = 0;
    quring_event known; /* one at a time, for a program whose struct has another size */
    for (uint8_t *at = (uint8_t *)events; count < capacity && trace_take(trace, &known, 1); at += event_bytes, count++)
        api_struct_give(at, event_bytes, &known, sizeof known);
    return (int)count;
}

int quring_trace_sized(quring_engine *engine, quring_event *events, size_t event_bytes, uint32_t capacity) {
    int error = api_refuse_caller(engine);
    if (error)
        return error;
    if (!events && capacity)
        return api_refuse(engine, QURING_EINVAL, "events is NULL");
    return engine->hub.trace ? api_trace(engine->hub.trace, events, event_bytes, capacity) : 0;
}

/* ---- Statistics ---- */

/* A caller who may not ask gets zeros: the function has no error to return, and may not leave the struct unset. */
void quring_stats_get_sized(const quring_engine *engine, quring_stats *stats, size_t stats_bytes) {
    quring_stats known = {0};
    if (!stats)
        return;
    if (!api_refuse_caller(engine))
        engine_stats(engine, &known);
    api_struct_give(stats, stats_bytes, &known, sizeof known);
}

void quring_db_stats_get_sized(const quring_db *db, quring_db_stats *stats, size_t stats_bytes) {
    quring_db_stats known = {0};
    if (!stats)
        return;
    if (db && !api_is_foreign(db->engine))
        stats_fill(db, &known);
    api_struct_give(stats, stats_bytes, &known, sizeof known);
}

/* The information is constant from open on, so no caller is refused. */
void quring_ring_info_get_sized(const quring_engine *engine, quring_ring_info *info, size_t info_bytes) {
    static const quring_ring_info none = {.setup = ""};
    if (info)
        api_struct_give(info, info_bytes, engine ? &ring_port(engine->hub.ring)->info : &none,
                        sizeof(quring_ring_info));
}
