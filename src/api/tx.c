/* SPDX-License-Identifier: MIT */
/* Transactions: those of inboxes, too, once they are open. */
#include "api/api.h"

/* They remember their engine, since their database may be closed by now. */
static int api_refuse_tx(const quring_tx *tx) {
    if (!tx)
        return QURING_EINVAL;
    return api_tx_inbox(tx) ? api_refuse_inbox_caller(api_tx_inbox(tx)) : api_refuse_caller(tx->engine);
}

bool api_tx_options_known(const quring_tx_options *options) {
    return options->isolation <= QURING_ISOLATION_SERIALIZABLE && options->lease_reset <= QURING_LEASE_RESET_ALWAYS;
}

const char *api_refuse_resolve(const quring_db *db, const quring_tx_options *options) {
    if (options->resolve > QURING_RESOLVE_XID)
        return "options.resolve is none of quring_resolve";
    if ((options->resolve == QURING_RESOLVE_TOKEN) != (options->token_table != NULL))
        return "options.token_table goes with QURING_RESOLVE_TOKEN";
    if (options->token_table && !token_table_is_valid(options->token_table))
        return "options.token_table is no name of a table as SQL has it: commits, app.commits, \"App\".\"Commits\"";
    if (options->token_table && db->backend->has_search_path && !token_table_is_fixed(options->token_table))
        return "options.token_table needs its schema on PostgreSQL, and not pg_temp: app.commits, \"App\".\"Commits\"; "
               "else the transaction and who asks for it may find different tables";
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
        return api_refuse(db->engine, QURING_EINVAL, api_unknown_member);
    if (options && !api_tx_options_known(&known))
        return hub_error(&db->engine->hub, QURING_EINVAL, API_TX_OPTIONS_WORDS, (int)known.isolation,
                         (int)known.lease_reset, QURING_ISOLATION_SERIALIZABLE, QURING_LEASE_RESET_ALWAYS);
    const char *why = options ? api_refuse_resolve(db, &known) : NULL;
    if (why)
        return api_refuse(db->engine, QURING_EINVAL, why);
    return engine_tx_open(db, options ? &known : NULL, tx);
}

const char *quring_tx_token(const quring_tx *tx) {
    if (api_refuse_tx(tx))
        return "";
    return api_tx_inbox(tx) ? ((const struct inbox_tx *)(const void *)tx)->token_text : tx->token_text;
}

void quring_tx_release(quring_tx *tx) {
    if (api_refuse_tx(tx))
        return;
    if (api_tx_inbox(tx))
        inbox_tx_release(api_inbox_tx(tx));
    else
        engine_tx_release(tx);
}

static int api_tx_end(quring_tx *tx, enum statement_verb verb, uint64_t user_data, quring_id *id) {
    int error = api_refuse_tx(tx);
    if (error)
        return error;
    return api_tx_inbox(tx) ? inbox_tx_end(api_inbox_tx(tx), verb, user_data, id)
                            : engine_tx_end(tx, verb, user_data, id);
}

int quring_commit(quring_tx *tx, uint64_t user_data, quring_id *id) {
    return api_tx_end(tx, VERB_COMMITS, user_data, id);
}

int quring_rollback(quring_tx *tx, uint64_t user_data, quring_id *id) {
    return api_tx_end(tx, VERB_ROLLS_BACK, user_data, id);
}
