/* SPDX-License-Identifier: MIT */
/* Transactions of an inbox on the client's thread: their handles, and the slot that is kept for their end. */
#include "engine/inbox.h"

#include <stdlib.h>

/* ---- Open ---- */

/* The tables are there once a thread has use for them; each transaction keeps one of the inbox's slots, so these are enough. */
static bool tx_make_tables(struct quring_inbox *inbox) {
    if (inbox->engine_txs)
        return true;
    struct slots txs;
    struct inbox_engine_tx *engine_txs = calloc(inbox->query_count, sizeof *engine_txs);
    if (!engine_txs || !slots_init(&txs, inbox->query_count, sizeof(struct inbox_tx), 64)) {
        free(engine_txs);
        return false;
    }
    inbox->txs = txs;
    inbox->engine_txs = engine_txs;
    return true;
}

static int tx_refuse_full(struct quring_inbox *inbox) {
    return inbox_error(
        inbox, QURING_EFULL,
        "query_count: %u queries are submitted and not yet released, or kept for the end of transactions",
        inbox->query_count);
}

/*
 * Draws its token, and puts the row into the slot that is kept for its end. None is written where COMMIT comes first, because
 * there is nothing to commit.
 */
static int tx_draw_token(struct inbox_tx *tx, const quring_tx_options *options) {
    struct quring_inbox *inbox = tx->handle.inbox;
    struct buf *store = &inbox_query_of(inbox, tx->reserve)->store;
    struct token_row row;
    size_t size = token_make_row(options->token_table, &row);
    if (!size)
        return inbox_error(inbox, QURING_ESYSTEM, TOKEN_NOT_DRAWN);
    buf_put(store, &row, size);
    if (buf_failed(store))
        return inbox_error(inbox, QURING_ENOMEM, "no memory for a token");
    token_text(row.token, tx->token_text);
    return 0;
}

/* Gives the slot back that was kept for its end. */
static void tx_give_reserve(struct inbox_tx *tx) {
    struct quring_inbox *inbox = tx->handle.inbox;
    buf_reset(&inbox_query_of(inbox, tx->reserve)->store, QUERY_KEEP_BYTES);
    slots_give(&inbox->queries, tx->reserve);
}

static int tx_take_options(struct inbox_tx *tx, const quring_tx_options *options) {
    tx->options = (struct inbox_tx_options){.timeout_ns = options->timeout_ns,
                                            .idle_timeout_ns = options->idle_timeout_ns,
                                            .resolve_timeout_ns = options->resolve_timeout_ns,
                                            .isolation = (uint8_t)options->isolation,
                                            .lease_reset = (uint8_t)options->lease_reset,
                                            .resolve = (uint8_t)options->resolve,
                                            .read_only = options->read_only,
                                            .deferrable = options->deferrable};
    return tx_wants_token(options) ? tx_draw_token(tx, options) : 0;
}

int inbox_tx_open(struct quring_inbox *inbox, quring_db *db, const quring_tx_options *options, quring_tx **out) {
    PRE(db && out);
    uint64_t token, reserve;
    if (base_unlikely(atomic_load_explicit(&inbox->shut, memory_order_relaxed)))
        return inbox_refuse_shut(inbox);
    if (base_unlikely(!tx_make_tables(inbox)))
        return inbox_error(inbox, QURING_ENOMEM, "no memory for transactions");
    if (!inbox_take_slot(inbox, &reserve))
        return tx_refuse_full(inbox);
    struct inbox_tx *tx = slots_take(&inbox->txs, &token);
    if (!tx) {
        slots_give(&inbox->queries, reserve);
        return tx_refuse_full(inbox);
    }
    *tx = (struct inbox_tx){.handle.inbox = inbox,
                            .db = db,
                            .newest_db = atomic_load(&inbox->numbers->newest),
                            .token = token,
                            .reserve = reserve};
    int error = options ? tx_take_options(tx, options) : 0;
    if (error) {
        tx_give_reserve(tx);
        slots_give(&inbox->txs, token);
        return error;
    }
    *out = (quring_tx *)(void *)tx;
    return 0;
}

/* ---- Queries ---- */

static int tx_refuse_ended(struct quring_inbox *inbox) {
    return inbox_error(inbox, QURING_EINVAL, "COMMIT or ROLLBACK of this transaction was submitted");
}

/* Writes OPEN_TX, unless it was written; a command of the transaction follows. Returns whether it wrote it. */
static bool tx_write_open(struct inbox_tx *tx) {
    struct quring_inbox *inbox = tx->handle.inbox;
    if (tx->opened)
        return false;
    *inbox_command_at(inbox, inbox->commands_written++) =
        (struct inbox_command){.kind = INBOX_OPEN_TX,
                               .id = slots_index(&inbox->txs, tx->token),
                               .db = tx->db,
                               .newest_db = tx->newest_db,
                               .tx_options = tx->options};
    tx->opened = true;
    return true;
}

int inbox_tx_put(struct inbox_tx *tx, const quring_query *q, quring_id *id) {
    struct quring_inbox *inbox = tx->handle.inbox;
    if (base_unlikely(tx->reserve == 0))
        return tx_refuse_ended(inbox);
    bool opens = tx_write_open(tx);
    quring_query query = *q;
    query.db = tx->db;
    struct inbox_command *command = inbox_command_at(inbox, inbox->commands_written);
    int error = opens && tx->token_text[0]
                    ? inbox_put_behind(inbox, &inbox_query_of(inbox, tx->reserve)->store, &query, id)
                    : inbox_put(inbox, &query, id);
    if (base_unlikely(error)) {
        inbox->commands_written -= opens;
        tx->opened = !opens;
        return error;
    }
    command->kind = INBOX_SUBMIT_TX;
    command->tx = slots_index(&inbox->txs, tx->token);
    return 0;
}

int inbox_tx_submit(struct inbox_tx *tx, const quring_query *q, quring_id *id) {
    int error = inbox_tx_put(tx, q, id);
    if (!error)
        inbox_send(tx->handle.inbox);
    return error;
}

/* ---- Its end ---- */

int inbox_tx_end(struct inbox_tx *tx, enum statement_verb verb, uint64_t user_data, quring_id *id) {
    PRE(tx_is_end(verb));
    struct quring_inbox *inbox = tx->handle.inbox;
    if (base_unlikely(atomic_load_explicit(&inbox->shut, memory_order_relaxed)))
        return inbox_refuse_shut(inbox);
    if (tx->reserve == 0)
        return tx_refuse_ended(inbox);
    quring_id end = tx->reserve;
    tx->reserve = 0;
    tx_write_open(tx);
    *inbox_command_at(inbox, inbox->commands_written++) =
        (struct inbox_command){.kind = INBOX_END_TX,
                               .commit = (uint8_t)verb,
                               .id = end,
                               .db = tx->db,
                               .tx = slots_index(&inbox->txs, tx->token),
                               .user_data = user_data};
    inbox->notes[end & inbox->index_mask] = (struct inbox_note){0};
    inbox->pending_count++;
    inbox_send(inbox);
    if (id)
        *id = end;
    return 0;
}

/* One whose end was submitted has nothing to be rolled back: the engine may let go of it whenever it next looks. */
void inbox_tx_release(struct inbox_tx *tx) {
    struct quring_inbox *inbox = tx->handle.inbox;
    uint64_t token = tx->token;
    if (tx->opened) {
        *inbox_command_at(inbox, inbox->commands_written++) =
            (struct inbox_command){.kind = INBOX_RELEASE_TX, .id = slots_index(&inbox->txs, token)};
        if (tx->reserve)
            inbox_send(inbox);
        else
            inbox_show(inbox);
    }
    if (tx->reserve)
        tx_give_reserve(tx);
    slots_give(&inbox->txs, token);
}
