/* SPDX-License-Identifier: MIT */
/*
 * Transactions of another thread: one flight, what makes them fail, what is kept for their end, and every order of closing.
 * Both sides are on one thread.
 */
#include "lib/alloc.h"
#include "lib/inbox_tx_fixture.h"

#include <stdio.h>
#include <stdlib.h>

TestSuite(api_remote_tx, .init = inbox_tx_setup, .fini = inbox_teardown);

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
            inbox_tx_setup();
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
    inbox_tx_setup();
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
