/* SPDX-License-Identifier: MIT */
/*
 * Transactions of another thread: one flight, what makes them fail, what is kept for their end, and every order of closing.
 * Both sides are on one thread.
 */
#include "lib/alloc.h"
#include "lib/inbox_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static quring_tx *tx;

static quring_tx *open_tx(const quring_tx_options *options) {
    quring_tx *other;
    cr_assert_eq(quring_inbox_tx_open(inbox, &a->base, options, &other), 0, "%s", quring_inbox_errmsg(inbox));
    return other;
}

static void setup(void) {
    inbox_setup();
    close_inbox();
    open_inbox(6, 1000);
    tx = open_tx(NULL);
}

TestSuite(api_remote_tx, .init = setup, .fini = inbox_teardown);

static int ask_sql(quring_tx *of, uint32_t number, const char *sql) {
    const quring_query query = {.tx = of, .sql = sql, .user_data = number};
    return quring_inbox_submit(inbox, &query, &inbox_ids[number]);
}

static int ask_tx(quring_tx *of, uint32_t number) {
    return ask_sql(of, number, "insert into t values (1)");
}

static int commit(quring_tx *of, uint32_t number) {
    return quring_commit(of, number, &inbox_ids[number]);
}

/* The first turn takes commands, and the second gives their queries to the backend. */
static void run(void) {
    engine_turn();
    engine_turn();
}

static void log_is(const char *expected, const char *what) {
    fake_assert_text(fake_log(), expected, what);
}

static void reaped_are(const char *expected, const char *what) {
    engine_turn();
    fake_assert_text(reaped(), expected, what);
}

/* Neither side keeps anything. A release behind an end wakes nobody, so the engine is made to look. */
static void assert_nothing_left(int line) {
    engine_inboxes_read(engine);
    cr_assert_eq(slots_taken(&inbox->queries), 0, "line %d", line);
    cr_assert_eq(slots_taken(&inbox->txs), 0, "line %d", line);
    cr_assert_eq(inbox->charged_bytes, 0, "line %d", line);
    cr_assert_eq(slots_taken(&engine->queries), 0, "line %d", line);
    cr_assert_eq(engine->charged_bytes, 0, "line %d", line);
    cr_assert_eq(engine->pending_count, 0, "line %d", line);
    cr_assert(list_empty(&a->base.txs), "line %d", line);
}

/* ---- From open to end ---- */

Test(api_remote_tx, what_is_submitted_before_the_engine_looks_goes_in_one_flight) {
    cr_assert_eq(ask_tx(tx, 1), 0);
    cr_assert_eq(ask_tx(tx, 2), 0);
    cr_assert_eq(commit(tx, 3), 0);
    quring_tx_release(tx);
    run();
    log_is("begin, send 1, send 2, send 3", "all of it");
    for (uint32_t i = 1; i <= 3; i++)
        fake_end(a, i, QURING_OK);
    reaped_are("1 OK, 2 OK, 3 OK", "and ends");
    assert_nothing_left(__LINE__);
}

Test(api_remote_tx, many_run_at_once_beside_other_queries) {
    a->place_count = 2;
    quring_tx *other = open_tx(NULL);
    ask_tx(tx, 1);
    ask_tx(other, 2);
    ask(a, 3);
    run();
    log_is("begin, send 1, begin, send 2", "each has a place");
    cr_assert_eq(commit(other, 4), 0);
    cr_assert_eq(quring_rollback(tx, 5, &inbox_ids[5]), 0);
    run();
    log_is("send 4, send 5", "in the order of the inbox");
    for (uint32_t i = 1; i <= 5; i++)
        fake_end(a, i, QURING_OK);
    reaped_are("1 OK, 2 OK, 3 OK, 4 OK, 5 OK", "all");
    quring_tx_release(tx);
    quring_tx_release(other);
    assert_nothing_left(__LINE__);
}

Test(api_remote_tx, a_batch_shows_all_of_a_transaction_at_once) {
    const quring_query queries[] = {{.tx = tx, .sql = "insert into t values (1)", .user_data = 1},
                                    {.db = &a->base, .sql = "select 1", .user_data = 2},
                                    {.tx = tx, .sql = "commit", .user_data = 3}};
    cr_assert_eq(quring_inbox_submit_batch(inbox, queries, 3, QURING_BATCH_INDEPENDENT, &inbox_ids[1]), 3);
    run();
    log_is("begin, send 1, send 3", "COMMIT goes with it");
    for (uint32_t i = 1; i <= 3; i++)
        fake_end(a, i, QURING_OK);
    reaped_are("1 OK, 2 OK, 3 OK", "all");
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
}

Test(api_remote_tx, options_reach_the_engine) {
    const quring_tx_options options = {.isolation = QURING_ISOLATION_SERIALIZABLE,
                                       .read_only = true,
                                       .deferrable = true,
                                       .timeout_ns = 7 * FAKE_MS,
                                       .idle_timeout_ns = 3 * FAKE_MS,
                                       .lease_reset = QURING_LEASE_RESET_ALWAYS};
    quring_tx *other = open_tx(&options);
    ask_tx(other, 1);
    run();
    const quring_tx *at_engine = list_entry(list_first(&a->base.txs), struct quring_tx, link);
    cr_assert_eq(at_engine->options.isolation, QURING_ISOLATION_SERIALIZABLE);
    cr_assert_eq(at_engine->options.lease_reset, QURING_LEASE_RESET_ALWAYS);
    cr_assert(at_engine->options.read_only && at_engine->options.deferrable);
    cr_assert_eq(at_engine->options.timeout_ns, 7 * FAKE_MS);
    cr_assert_eq(at_engine->options.idle_timeout_ns, 3 * FAKE_MS);
    engine_run(engine, 1, 10 * FAKE_MS);
    reaped_are("1 TIMEOUT", "its time has passed");
    cr_assert_eq(commit(other, 2), 0);
    run();
    reaped_are("2 SERVER_ERROR", "and COMMIT says so");
}

Test(api_remote_tx, an_end_without_queries_does_no_io) {
    cr_assert_eq(commit(tx, 1), 0);
    run();
    reaped_are("1 OK", "nothing was to be committed");
    quring_tx_release(tx);
    tx = open_tx(NULL);
    quring_tx_release(tx);
    log_is("", "nothing was sent");
    assert_nothing_left(__LINE__);
}

/* ---- What is asked for where COMMIT was lost ---- */

static const quring_tx_options with_token = {.resolve = QURING_RESOLVE_TOKEN, .token_table = "commits"};

/* What the engine has of the transaction that it heard of last. */
static const quring_tx *newest(void) {
    return list_entry(a->base.txs.prev, struct quring_tx, link);
}

Test(api_remote_tx, a_token_is_known_before_the_engine_has_heard_of_it) {
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

Test(api_remote_tx, a_first_query_with_parameters_or_by_handle_has_its_token_too) {
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
Test(api_remote_tx, a_token_stays_that_of_its_own_transaction) {
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

Test(api_remote_tx, a_query_that_does_not_fit_leaves_the_token_to_the_next_one) {
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

Test(api_remote_tx, there_is_no_token_where_none_is_written) {
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
Test(api_remote_tx, an_id_is_asked_for_where_there_is_one) {
    quring_tx *other = open_tx(&(quring_tx_options){.resolve = QURING_RESOLVE_XID});
    cr_assert_str_eq(quring_tx_token(other), "");
    ask_tx(other, 1);
    engine_turn();
    cr_assert_str_eq(inbox_query_of(inbox, inbox_ids[1])->error.view.sqlstate, "0A000");
    reaped_are("1 SERVER_ERROR unsent", "it has none");
    quring_tx_release(other);
}

/* ---- Failure ---- */

Test(api_remote_tx, a_failure_skips_what_stands_behind_it_and_is_named) {
    ask_tx(tx, 1);
    ask_tx(tx, 2);
    ask_tx(tx, 3);
    run();
    fake_end(a, 1, QURING_OK);
    fake_end(a, 2, QURING_SERVER_ERROR);
    fake_end(a, 3, QURING_OK);
    reaped_are("1 OK, 2 SERVER_ERROR, 3 SKIPPED unsent by 2", "what was out");
    ask_tx(tx, 4);
    commit(tx, 5);
    run();
    reaped_are("4 SKIPPED unsent by 2, 5 SERVER_ERROR", "what came later");
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
}

/* It was submitted, and others may stand behind it: unlike a call that fails on the engine's own thread. */
Test(api_remote_tx, what_the_engine_refuses_makes_it_fail) {
    static const char *const refused[] = {"begin", "commit and chain", "commit; select 1", "copy t from stdin",
                                          "listen a"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        ask_tx(tx, 1);
        ask_sql(tx, 2, refused[i]);
        ask_tx(tx, 3);
        commit(tx, 4);
        quring_tx_release(tx);
        run();
        cr_assert_str_eq(inbox_query_of(inbox, inbox_ids[2])->error.view.sqlstate, "0A000");
        log_is("begin, send 1", refused[i]);
        fake_end(a, 1, QURING_OK);
        log_is("roll back", refused[i]);
        reaped_are("2 SERVER_ERROR unsent, 3 SKIPPED unsent by 2, 4 SERVER_ERROR, 1 OK", refused[i]);
        tx = open_tx(NULL);
    }
}

Test(api_remote_tx, one_that_is_cancelled_makes_it_fail) {
    ask_tx(tx, 1);
    ask_tx(tx, 2);
    ask_tx(tx, 3);
    cr_assert_eq(quring_inbox_cancel(inbox, inbox_ids[2]), 0);
    run();
    log_is("begin, send 1", "it stops there");
    fake_end(a, 1, QURING_OK);
    log_is("roll back", "as nothing can revive it");
    reaped_are("2 CANCELLED unsent, 3 SKIPPED unsent by 2, 1 OK", "all");
}

Test(api_remote_tx, a_transaction_that_the_engine_refuses_says_so_with_each_query) {
    struct fake_db *bound = fake_open(engine, "fake:c", &(quring_db_options){.exclusive = true});
    quring_tx *other;
    cr_assert_eq(quring_inbox_tx_open(inbox, &bound->base, NULL, &other), 0, "this thread can't tell");
    ask_tx(other, 1);
    ask_tx(other, 2);
    cr_assert_eq(commit(other, 3), 0);
    run();
    cr_assert(strstr(inbox_query_of(inbox, inbox_ids[1])->error.view.message, "an exclusive handle"));
    for (uint32_t i = 1; i <= 3; i++)
        cr_assert_str_eq(inbox_query_of(inbox, inbox_ids[i])->error.view.sqlstate, "0A000");
    cr_assert_str_eq(engine->hub.message, "", "the engine's own calls have not failed");
    reaped_are("1 SERVER_ERROR unsent, 2 SERVER_ERROR unsent, 3 SERVER_ERROR unsent", "COMMIT as well");
    quring_tx_release(other);
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
}

Test(api_remote_tx, nothing_follows_its_end) {
    ask_tx(tx, 1);
    commit(tx, 2);
    cr_assert_eq(ask_tx(tx, 3), QURING_EINVAL);
    cr_assert_eq(commit(tx, 3), QURING_EINVAL);
    cr_assert_eq(quring_rollback(tx, 3, NULL), QURING_EINVAL);
    cr_assert(strstr(quring_inbox_errmsg(inbox), "was submitted"));
    quring_tx *other = open_tx(NULL);
    ask_sql(other, 3, "Commit;");
    cr_assert_eq(ask_tx(other, 4), 0, "this thread has not read the text");
    cr_assert_eq(commit(other, 5), 0);
    engine_turn();
    cr_assert_str_eq(inbox_query_of(inbox, inbox_ids[4])->error.view.sqlstate, "25000");
    engine_turn();
    fake_end(a, 1, QURING_OK);
    fake_end(a, 2, QURING_OK);
    reaped_are("4 SERVER_ERROR unsent, 5 SERVER_ERROR unsent, 3 OK, 1 OK, 2 OK", "the end holds");
}

/* ---- The end is never refused ---- */

Test(api_remote_tx, its_end_has_a_slot_when_all_others_are_taken) {
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(ask_tx(tx, i), 0);
    cr_assert_eq(ask_tx(tx, 5), QURING_EFULL);
    cr_assert(strstr(quring_inbox_errmsg(inbox), "query_count"));
    quring_tx *other;
    cr_assert_eq(quring_inbox_tx_open(inbox, &a->base, NULL, &other), QURING_EFULL);
    cr_assert_eq(commit(tx, 5), 0);
    quring_tx_release(tx);
    run();
    log_is("begin, send 0, send 1, send 2, send 3, send 4, send 5", "whole");
    for (uint32_t i = 0; i <= 5; i++)
        fake_end(a, i, QURING_OK);
    reaped_are("0 OK, 1 OK, 2 OK, 3 OK, 4 OK, 5 OK", "all");
    assert_nothing_left(__LINE__);
}

/* A first query that is refused leaves nothing of the transaction on its way. */
Test(api_remote_tx, a_query_that_does_not_fit_opens_nothing) {
    quring_tx *many[5];
    for (int i = 0; i < 5; i++)
        many[i] = open_tx(NULL);
    uint64_t written = inbox->commands_written;
    cr_assert_eq(ask_tx(many[0], 1), QURING_EFULL, "all slots are kept for ends");
    cr_assert_eq(inbox->commands_written, written);
    quring_tx_release(many[4]);
    cr_assert_eq(inbox->commands_written, written, "nobody has heard of it");
    cr_assert_eq(ask_tx(many[0], 1), 0);
    cr_assert_eq(commit(many[0], 2), 0);
    run();
    log_is("begin, send 1, send 2", "it works");
}

/* Handles come and go, and all of their commands lie unread: none overwrites another. */
Test(api_remote_tx, commands_have_room_for_all_that_can_be_on_its_way) {
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 100; i++)
            quring_tx_release(open_tx(NULL));
        quring_tx_release(tx);
        for (uint32_t i = 0; i < 6; i++) {
            tx = open_tx(NULL);
            cr_assert_eq(commit(tx, i), 0);
            cr_assert_eq(quring_inbox_cancel(inbox, inbox_ids[i]), 0);
            quring_tx_release(tx);
        }
        cr_assert_leq(inbox->commands_written - inbox->commands_taken, 7 * 6);
        run();
        reaped_are(
            "0 CANCELLED unsent, 1 CANCELLED unsent, 2 CANCELLED unsent, 3 CANCELLED unsent, 4 CANCELLED unsent, "
            "5 CANCELLED unsent",
            "each");
        tx = open_tx(NULL);
    }
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
}

/* ---- Handles of databases that come and go ---- */

Test(api_remote_tx, a_handle_at_the_address_of_a_closed_one_is_another) {
    struct fake_db *closed = a;
    quring_tx *named = open_tx(NULL);
    cr_assert_eq(ask_tx(tx, 1), 0);
    run();
    fake_end(a, 1, QURING_OK);
    engine_turn();
    alloc_reuse(closed, sizeof *closed);
    engine_db_close(&a->base);
    run();
    a = fake_open(engine, "fake:c", NULL);
    cr_assert_eq(a, closed, "the test needs the same address");
    (void)reaped();
    ask_tx(named, 2);
    ask_tx(tx, 3);
    commit(named, 4);
    run();
    reaped_are("2 SHUTDOWN unsent, 3 SHUTDOWN unsent, 4 SHUTDOWN unsent", "they are of the closed one");
    quring_tx_release(named);
    quring_tx_release(tx);
    tx = open_tx(NULL);
    ask_tx(tx, 5);
    run();
    fake_end(a, 5, QURING_OK);
    reaped_are("5 OK", "and this one of the other");
    quring_tx_release(tx);
    run();
    assert_nothing_left(__LINE__);
    close_inbox();
    close_engine();
    alloc_reuse(NULL, 0);
    free(closed);
}

/* ---- Release, and closing ---- */

Test(api_remote_tx, a_release_rolls_back_what_is_open) {
    ask_tx(tx, 1);
    run();
    fake_end(a, 1, QURING_OK);
    engine_turn();
    (void)fake_log();
    ask_tx(tx, 2);
    quring_tx_release(tx);
    run();
    log_is("roll back", "at once");
    reaped_are("1 OK, 2 SKIPPED unsent", "what has not ended is skipped");
    assert_nothing_left(__LINE__);
}

Test(api_remote_tx, an_inbox_that_is_closed_rolls_back_what_is_open) {
    ask_tx(tx, 1);
    run();
    fake_end(a, 1, QURING_OK);
    engine_turn();
    (void)fake_log();
    close_inbox();
    engine_turn();
    log_is("roll back", "nobody has the handle any more");
    cr_assert(list_empty(&a->base.txs));
    cr_assert_eq(atomic_load(&engine->inbox_count), 0);
}

Test(api_remote_tx, a_handle_of_a_database_that_is_closed_ends_its_queries) {
    ask_tx(tx, 1);
    run();
    ask_tx(tx, 2);
    engine_db_close(&a->base);
    run();
    reaped_are("1 SHUTDOWN, 2 SHUTDOWN unsent", "what was out, and what came later");
    cr_assert_eq(ask_tx(tx, 3), 0);
    cr_assert_eq(commit(tx, 4), 0);
    run();
    reaped_are("3 SHUTDOWN unsent, 4 SHUTDOWN unsent", "there is no such handle");
    quring_tx_release(tx);
    engine_turn();
    a = fake_open(engine, "fake:a", NULL);
    assert_nothing_left(__LINE__);
}

Test(api_remote_tx, an_engine_that_is_closed_ends_them) {
    ask_tx(tx, 1);
    run();
    ask_tx(tx, 2);
    close_engine();
    cr_assert_eq(commit(tx, 3), QURING_ESHUTDOWN);
    quring_tx *other;
    cr_assert_eq(quring_inbox_tx_open(inbox, &a->base, NULL, &other), QURING_ESHUTDOWN);
    quring_tx_release(tx);
    fake_assert_text(reaped(), "2 SHUTDOWN unsent, 1 SHUTDOWN", "all have an end");
}

Test(api_remote_tx, both_close_in_every_order_at_every_moment) {
    for (int order = 0; order < 2; order++)
        for (int moment = 0; moment < 7; moment++) {
            inbox_teardown();
            setup();
            a->close_ns = FAKE_MS;
            a->let_go_ns = moment == 6 ? FAKE_MS : 0;
            if (moment > 0)
                ask_tx(tx, 0);
            if (moment > 1)
                run();
            if (moment > 2)
                commit(tx, 1);
            if (moment > 3)
                run();
            if (moment == 5) {
                fake_end(a, 0, QURING_OK);
                fake_end(a, 1, QURING_OK);
                engine_turn();
            }
            if (order == 0)
                close_inbox();
            close_engine();
            if (order == 1) {
                quring_tx_release(tx);
                close_inbox();
            }
        }
    setup();
}

/* ---- Who may call ---- */

Test(api_remote_tx, wrong_calls_are_told_apart) {
    quring_tx *own, *none;
    cr_assert_eq(quring_inbox_tx_open(NULL, &a->base, NULL, &none), QURING_EINVAL);
    cr_assert_eq(quring_inbox_tx_open(inbox, NULL, NULL, &none), QURING_EINVAL);
    cr_assert_eq(quring_inbox_tx_open(inbox, &a->base, NULL, NULL), QURING_EINVAL);
    const quring_tx_options bad = {.isolation = (quring_isolation)9};
    cr_assert_eq(quring_inbox_tx_open(inbox, &a->base, &bad, &none), QURING_EINVAL);
    const quring_tx_options unresolved[] = {{.resolve = QURING_RESOLVE_TOKEN},
                                            {.token_table = "commits"},
                                            {.resolve = QURING_RESOLVE_XID, .token_table = "commits"},
                                            {.resolve = QURING_RESOLVE_TOKEN, .token_table = "a; b"},
                                            {.resolve = (quring_resolve)3}};
    for (size_t i = 0; i < sizeof unresolved / sizeof *unresolved; i++) {
        cr_assert_eq(quring_inbox_tx_open(inbox, &a->base, &unresolved[i], &none), QURING_EINVAL, "options %zu", i);
        cr_assert(*quring_inbox_errmsg(inbox));
    }
    cr_assert_eq(quring_tx_open(&a->base, NULL, &own), 0);
    cr_assert_eq(ask_tx(own, 1), QURING_EINVAL, "it is the engine's");
    const quring_query ours = {.tx = tx, .sql = "select 1"};
    cr_assert_eq(quring_submit(engine, &ours, NULL), QURING_EINVAL, "it is the inbox's");
    quring_inbox *first = inbox;
    open_inbox(2, 100);
    cr_assert_eq(ask_tx(tx, 1), QURING_EINVAL, "it is another inbox's");
    close_inbox();
    inbox = first;
    const quring_query wrong[] = {{.tx = tx, .db = &b->base, .sql = "select 1"},
                                  {.tx = tx, .sql = "select 1", .order_key = 1},
                                  {.tx = tx, .sql = "select 1", .commit = QURING_COMMIT_GROUP},
                                  {.tx = tx}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(quring_inbox_submit(inbox, &wrong[i], NULL), QURING_EINVAL, "query %zu", i);
        cr_assert(*quring_inbox_errmsg(inbox));
    }
    cr_assert_eq(quring_inbox_submit_batch(inbox, &ours, 1, QURING_BATCH_ATOMIC, NULL), QURING_EINVAL);
    cr_assert_eq(inbox->pending_count, 0);
    cr_assert_eq(slots_taken(&inbox->queries), 1, "for the end");
    quring_tx_release(own);
    quring_tx_release(tx);
    assert_nothing_left(__LINE__);
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

Test(api_remote_tx, a_warm_transaction_allocates_nothing) {
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

Test(api_remote_tx, no_allocation_that_fails_commits_a_part) {
    commits_no_part(NULL);
    commits_no_part(&with_token);
}
