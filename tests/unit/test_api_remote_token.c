/* SPDX-License-Identifier: MIT */
/*
 * What is asked for where COMMIT of another thread's transaction was lost: who has drawn the token, and when it is known; and what
 * such a transaction allocates, with a token and without.
 */
#include "lib/alloc.h"
#include "lib/inbox_tx_fixture.h"

#include <stdio.h>
#include <string.h>

TestSuite(api_remote_token, .init = inbox_tx_setup, .fini = inbox_teardown);

static const quring_tx_options with_token = {.resolve = QURING_RESOLVE_TOKEN, .token_table = "commits"};

/* What the engine has of the transaction that it heard of last. */
static const quring_tx *newest(void) {
    return list_entry(a->base.txs.prev, struct quring_tx, link);
}

Test(api_remote_token, a_token_is_known_before_the_engine_has_heard_of_it) {
    char table[] = "app.commits", text[TOKEN_TEXT_BYTES];
    quring_tx *other = open_tx(
        &(quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = table, .resolve_timeout_ns = 7 * FAKE_MS});
    memset(table, 'x', sizeof table - 1);
    snprintf(text, sizeof text, "%s", quring_tx_token(other));
    cr_assert_eq(strlen(text), TOKEN_TEXT_BYTES - 1);
    for (uint32_t i = 1; i < 4; i++)
        cr_assert_eq(ask_tx(other, i), 0);
    run();
    const quring_tx *at_engine = newest();
    cr_assert_str_eq(at_engine->token_text, text);
    cr_assert_str_eq(at_engine->writes_token->sql, "insert into app.commits (token, committed) values ($1, true)");
    cr_assert_eq(at_engine->options.resolve_timeout_ns, 7 * FAKE_MS);
    cr_assert_null(at_engine->options.token_table, "it was the caller's");
    const struct query *first = inbox_query_of(inbox, inbox_ids[1]);
    cr_assert_str_eq(first->statement->sql, "insert into t values (1)");
    cr_assert_eq(commit(other, 4), 0);
    cr_assert_str_eq(quring_tx_token(other), text);
    run();
    for (uint32_t i = 1; i < 5; i++)
        fake_end(a, i, QURING_OK);
    reaped_are("1 OK, 2 OK, 3 OK, 4 OK", "all");
    cr_assert_str_eq(quring_tx_token(other), text, "until its release");
    quring_tx_release(other);
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
}

Test(api_remote_token, a_first_query_with_parameters_or_by_handle_has_its_token_too) {
    quring_statement *statement;
    cr_assert_eq(quring_prepare(&a->base, "insert into t values (2)", &statement), 0);
    char bytes[200];
    memset(bytes, 'b', sizeof bytes);
    const quring_param params[] = {quring_int64(7), quring_text_sized(bytes, sizeof bytes)};
    const quring_query queries[] = {
        {.sql = "insert into t values ($1, $2)", .params = params, .param_count = 2, .user_data = 1},
        {.statement = statement, .user_data = 2},
        {.sql = "insert into t values (3)--", .sql_bytes = 24, .user_data = 3}};
    a->place_count = 3;
    for (uint32_t i = 0; i < 3; i++) {
        quring_tx *other = open_tx(&with_token);
        quring_query query = queries[i];
        query.tx = other;
        cr_assert_eq(quring_inbox_submit(inbox, &query, &inbox_ids[i + 1]), 0, "%s", quring_inbox_errmsg(inbox));
        run();
        cr_assert_str_eq(newest()->token_text, quring_tx_token(other));
        const struct query *first = inbox_query_of(inbox, inbox_ids[i + 1]);
        cr_assert_str_eq(first->statement->sql, i == 0   ? "insert into t values ($1, $2)"
                                                : i == 1 ? "insert into t values (2)"
                                                         : "insert into t values (3)");
        cr_assert_eq(first->param_count, i == 0 ? 2 : 0);
        if (i == 0) {
            cr_assert_eq(first->params[0].value.integer, 7);
            cr_assert_eq(first->params[1].value.bytes.size_bytes, sizeof bytes);
            cr_assert_eq(memcmp(first->params[1].value.bytes.data, bytes, sizeof bytes), 0);
        }
        fake_end(a, i + 1, QURING_OK);
        engine_turn();
        (void)reaped();
        quring_tx_release(other);
        run();
    }
    quring_statement_release(statement);
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
}

/* Its slot may be another query's before the engine looks. */
Test(api_remote_token, a_token_stays_that_of_its_own_transaction) {
    char texts[3][TOKEN_TEXT_BYTES];
    a->place_count = 3;
    quring_tx_release(tx);
    for (uint32_t i = 0; i < 3; i++) {
        quring_tx *other = open_tx(&with_token);
        snprintf(texts[i], sizeof texts[i], "%s", quring_tx_token(other));
        cr_assert_eq(ask_tx(other, i), 0);
        quring_tx_release(other);
    }
    cr_assert(strcmp(texts[0], texts[1]) && strcmp(texts[1], texts[2]));
    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t *row = buf_head(&inbox_query_of(inbox, inbox_ids[i])->store);
        char text[TOKEN_TEXT_BYTES];
        token_text(row, text);
        cr_assert_str_eq(text, texts[i]);
    }
    run();
    run();
    reaped_are("0 SKIPPED unsent, 1 SKIPPED unsent, 2 SKIPPED unsent", "nobody commits them");
    assert_nothing_left(__LINE__);
}

Test(api_remote_token, a_query_that_does_not_fit_leaves_the_token_to_the_next_one) {
    quring_tx *other = open_tx(&with_token);
    const quring_query with_nul = {.tx = other, .sql = "select\0001", .sql_bytes = 8};
    cr_assert_eq(quring_inbox_submit(inbox, &with_nul, NULL), QURING_EINVAL);
    static char large[1001];
    memset(large, ' ', sizeof large - 1);
    cr_assert_eq(ask_sql(other, 1, large), QURING_ETOOBIG);
    large[999] = 0; /* with its NUL as many bytes as options.bytes */
    cr_assert_eq(ask_sql(other, 1, large), 0, "the token is not charged for: %s", quring_inbox_errmsg(inbox));
    run();
    cr_assert_str_eq(newest()->token_text, quring_tx_token(other));
}

Test(api_remote_token, there_is_no_token_where_none_is_written) {
    quring_tx_options reads = with_token;
    reads.read_only = true;
    quring_tx *other = open_tx(&reads), *empty = open_tx(&with_token);
    cr_assert_str_eq(quring_tx_token(tx), "");
    cr_assert_str_eq(quring_tx_token(other), "");
    cr_assert_str_neq(quring_tx_token(empty), "");
    ask_tx(other, 1);
    run();
    cr_assert_null(newest()->writes_token);
    cr_assert_eq(commit(empty, 2), 0);
    run();
    fake_end(a, 1, QURING_OK);
    reaped_are("2 OK, 1 OK", "nothing was to be committed");
    quring_tx_release(empty);
    quring_tx_release(other);
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
}

/* The fake backend has no IDs, as SQLite, and only its thread knows. */
Test(api_remote_token, an_id_is_asked_for_where_there_is_one) {
    quring_tx *other = open_tx(&(quring_tx_options){.resolve = QURING_RESOLVE_XID});
    cr_assert_str_eq(quring_tx_token(other), "");
    ask_tx(other, 1);
    engine_turn();
    cr_assert_str_eq(inbox_query_of(inbox, inbox_ids[1])->error.view.sqlstate, "0A000");
    reaped_are("1 SERVER_ERROR unsent", "it has none");
    quring_tx_release(other);
}

/* ---- Allocations ---- */

static void allocates_nothing(const quring_tx_options *options) {
    uint64_t before = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 10)
            before = alloc_count();
        alloc_watch(true);
        tx = open_tx(options);
        ask_tx(tx, 1);
        ask_tx(tx, 2);
        commit(tx, 3);
        quring_tx_release(tx);
        run();
        for (uint32_t i = 1; i <= 3; i++)
            fake_end(a, i, QURING_OK);
        engine_turn();
        alloc_watch(false);
        fake_assert_text(reaped(), "1 OK, 2 OK, 3 OK", "all");
    }
    cr_assert_eq(alloc_count(), before);
}

Test(api_remote_token, a_warm_transaction_allocates_nothing) {
    quring_tx_release(tx);
    allocates_nothing(NULL);
    allocates_nothing(&with_token);
}

/* Whichever allocation fails: COMMIT is OK exactly where all queries were. */
static void commits_no_part(const quring_tx_options *options) {
    bool failed = true;
    for (uint32_t n = 1; failed; n++) {
        uint32_t ok_count = 0, asked = 0, ended = 0;
        quring_status committed = QURING_SHUTDOWN;
        inbox_teardown();
        inbox_setup();
        alloc_watch(true);
        alloc_fail_at(n, 1);
        int error = quring_inbox_tx_open(inbox, &a->base, options, &tx);
        cr_assert(error == 0 || error == QURING_ENOMEM);
        for (uint32_t i = 0; i < 2 && !error; i++)
            asked += ask_sql(tx, i, i ? "insert into t values (2)" : "insert into t values (1)") == 0;
        if (!error)
            cr_assert_eq(commit(tx, 2), 0, "never refused");
        for (uint32_t turn = 0; turn < 6; turn++) {
            engine_turn();
            list_for_each_safe(node, &a->running)
                fake_end(a, (uint32_t)list_entry(node, struct query, link)->user_data, QURING_OK);
        }
        alloc_watch(false);
        failed = alloc_has_failed();
        alloc_fail_no_more();
        quring_done done;
        while (quring_inbox_reap(inbox, &done, 1) == 1) {
            ended++;
            ok_count += done.user_data < 2 && done.status == QURING_OK;
            committed = done.user_data == 2 ? done.status : committed;
            cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
        }
        cr_assert_eq(ended, error ? 0 : asked + 1, "allocation %u", n);
        if (!error && asked == 2)
            cr_assert_eq(committed == QURING_OK, ok_count == 2, "allocation %u", n);
        if (!error)
            quring_tx_release(tx);
    }
}

Test(api_remote_token, no_allocation_that_fails_commits_a_part) {
    commits_no_part(NULL);
    commits_no_part(&with_token);
}
