/* SPDX-License-Identifier: MIT */
/* Inboxes, with both of their sides on one thread: what a query becomes, the limits, and every order of closing. */
#include "core/trace.h"
#include "lib/alloc.h"
#include "lib/inbox_fixture.h"

#include <stdlib.h>

TestSuite(engine_remote, .init = inbox_setup, .fini = inbox_teardown);

/* ---- From submit to release ---- */

Test(engine_remote, queries_reach_their_queue_in_order_and_come_back) {
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(ask(a, i), 0);
    cr_assert_eq(a->base.queue.waiting_count, 0, "nothing is done for it but in a turn");
    engine_turn(); /* takes the commands */
    engine_turn(); /* gives the queries to the backend */
    uint64_t next = 0;
    list_for_each(node, &a->running)
        cr_assert_eq(list_entry(node, struct query, link)->user_data, next++);
    cr_assert_eq(next, 4);
    fake_assert_text(reaped(), "", "none has ended");
    fake_end(a, 2, QURING_OK);
    fake_end(a, 0, QURING_OK);
    engine_turn();
    fake_assert_text(reaped(), "2 OK, 0 OK", "as they ended");
    fake_end(a, 1, QURING_SERVER_ERROR);
    fake_end(a, 3, QURING_IN_DOUBT);
    engine_turn();
    fake_assert_text(reaped(), "1 SERVER_ERROR, 3 IN_DOUBT", "as they ended");
    cr_assert_eq(inbox->pending_count, 0);
    cr_assert_eq(inbox->charged_bytes, 0);
}

Test(engine_remote, the_engine_neither_counts_nor_reaps_them) {
    quring_done done;
    fake_ask(a, 9);
    ask(a, 0);
    engine_turn();
    engine_turn();
    cr_assert_eq(engine->pending_count, 1);
    fake_end(a, 0, QURING_OK);
    cr_assert_eq(engine_run(engine, 0, 0), 0);
    cr_assert_eq(engine_reap(engine, &done, 1), 0);
    cr_assert_eq(engine_cancel(engine, inbox_ids[0]), QURING_ESTALE, "its ids are its own");
    fake_end(a, 9, QURING_OK);
    fake_assert_text(fake_reaped(engine), "9 OK", "the engine's own");
    fake_assert_text(reaped(), "0 OK", "the inbox's own");
    quring_stats stats;
    engine_stats(engine, &stats);
    cr_assert_eq(stats.submitted_count, 2);
    cr_assert_eq(stats.done_count[QURING_OK], 2);
}

/* Nothing of the engine's own is pending, so only the time ends the run, although a query ends meanwhile. */
Test(engine_remote, a_run_sleeps_on_while_queries_of_inboxes_come_and_go) {
    a->work_ns = 5 * FAKE_MS;
    ask(a, 0);
    uint64_t start = sim_now_ns(fake_sim());
    cr_assert_eq(engine_run(engine, 1, 20 * FAKE_MS), 0);
    cr_assert_geq(sim_now_ns(fake_sim()) - start, 20 * FAKE_MS);
    fake_assert_text(reaped(), "0 OK", "and was delivered");
}

Test(engine_remote, parameters_and_texts_are_copied) {
    char text[] = "select $1", value[] = "abc";
    quring_param param = quring_text(value);
    ask_query(0, &(quring_query){.db = &a->base, .sql = text, .params = &param, .param_count = 1});
    memset(text, 'x', sizeof text - 1);
    memset(value, 'x', sizeof value - 1);
    param = quring_null();
    engine_turn();
    engine_turn();
    const struct query *query = list_entry(list_first(&a->running), struct query, link);
    cr_assert_str_eq(query->statement->sql, "select $1");
    cr_assert_eq(query->param_count, 1);
    cr_assert_eq(query->params[0].type, QURING_TEXT);
    cr_assert_eq(memcmp(query->params[0].value.bytes.data, "abc", 3), 0);
    fake_end(a, 0, QURING_OK);
}

Test(engine_remote, a_statement_is_named_by_its_handle) {
    quring_statement *statement;
    cr_assert_eq(engine_prepare(&a->base, "select 1", &statement), 0);
    ask_query(0, &(quring_query){.db = &a->base, .statement = statement});
    ask_query(1, &(quring_query){.db = &b->base, .statement = statement});
    engine_turn();
    engine_turn();
    const struct query *query = list_entry(list_first(&a->running), struct query, link);
    cr_assert(query->statement == statement && query->by_handle);
    fake_assert_text(reaped(), "1 SERVER_ERROR unsent", "it is another handle's");
    fake_end(a, 0, QURING_OK);
    engine_turn();
    cr_assert_eq(statement->references, 1);
    statement_drop(statement);
}

Test(engine_remote, the_commit_mode_is_that_of_the_query_or_its_handle) {
    struct fake_db *bound = fake_open(engine, "fake:c", &(quring_db_options){.exclusive = true});
    ask_query(0, &(quring_query){.db = &a->base, .sql = "select 1", .commit = QURING_COMMIT_GROUP});
    ask_query(1, &(quring_query){.db = &bound->base, .sql = "begin", .commit = QURING_COMMIT_GROUP});
    engine_turn();
    engine_turn();
    cr_assert_eq(list_entry(list_first(&a->running), struct query, link)->commit, QURING_COMMIT_GROUP);
    cr_assert_eq(list_entry(list_first(&bound->running), struct query, link)->commit, QURING_COMMIT_EACH);
}

/* ---- Limits ---- */

Test(engine_remote, query_count_bounds_what_is_not_released) {
    quring_done done;
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(ask(a, i), 0);
    cr_assert_eq(ask(a, 4), QURING_EFULL, "they are on their way");
    cr_assert(strstr(inbox->message, "query_count: 4"));
    cr_assert_eq(fake_ask(a, 5), 0, "the engine has its own");
    engine_turn();
    engine_turn();
    fake_end(a, 3, QURING_OK);
    cr_assert_eq(ask(a, 4), QURING_EFULL, "one is done");
    engine_turn();
    cr_assert_eq(inbox_reap(inbox, &done, 1), 1);
    cr_assert_eq(ask(a, 4), QURING_EFULL, "one is reaped");
    cr_assert_eq(inbox_release(inbox, done.id), 0);
    cr_assert_eq(ask(a, 4), 0, "one is released");
}

Test(engine_remote, bytes_are_charged_until_the_release) {
    close_inbox();
    open_inbox(4, 30);
    cr_assert_eq(ask(a, 0), 0);
    cr_assert_eq(ask(a, 1), 0);
    cr_assert_eq(ask(a, 2), 0);
    cr_assert_eq(ask(a, 3), QURING_EFULL);
    cr_assert(strstr(inbox->message, "options.bytes"));
    engine_turn();
    inbox_cancel(inbox, inbox_ids[1]);
    engine_turn();
    cr_assert_eq(ask(a, 3), QURING_EFULL, "not released yet");
    fake_assert_text(reaped(), "1 CANCELLED", "and released");
    cr_assert_eq(ask(a, 3), 0);
}

Test(engine_remote, what_is_wrong_with_a_call_leaves_nothing) {
    const quring_param
        bad = {.type = (quring_type)99},
        large = quring_text(
            "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789");
    const struct {
        const char *what;
        quring_query query;
        int error;
    } rows[] = {
        {"a NUL byte", {.sql = "select\0001", .sql_bytes = 8}, QURING_EINVAL},
        {"a long text",
         {.sql = "select 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25"},
         QURING_ETOOBIG},
        {"long parameters", {.sql = "select $1", .params = &large, .param_count = 1}, QURING_ETOOBIG},
        {"a parameter of no type", {.sql = "select $1", .params = &bad, .param_count = 1}, QURING_EINVAL},
    };
    close_inbox();
    open_inbox(2, 80);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        quring_query query = rows[i].query;
        query.db = &a->base;
        cr_assert_eq(inbox_submit(inbox, &query, NULL), rows[i].error, "%s: %s", rows[i].what, inbox->message);
        cr_assert_eq(inbox->pending_count, 0);
        cr_assert_eq(inbox->charged_bytes, 0);
        cr_assert_eq(slots_taken(&inbox->queries), 0);
    }
    cr_assert_eq(ask(a, 0), 0);
    cr_assert_eq(ask(a, 1), 0);
}

Test(engine_remote, an_engine_has_so_many_inboxes) {
    static quring_inbox *many[ENGINE_INBOXES_MAX];
    const quring_inbox_options options = {.query_count = 1, .bytes = 100};
    char message[200] = "";
    for (int i = 0; i < ENGINE_INBOXES_MAX - 1; i++)
        cr_assert_eq(engine_inbox_open(engine, &options, &many[i], message, sizeof message), 0);
    cr_assert_eq(engine_inbox_open(engine, &options, &many[0], message, sizeof message), QURING_EFULL);
    cr_assert(strstr(message, "1023"));
    for (int i = 0; i < ENGINE_INBOXES_MAX - 1; i++)
        inbox_close(many[i]);
    engine_turn();
    cr_assert_eq(atomic_load(&engine->inbox_count), 1);
    cr_assert_eq(engine_inbox_open(engine, &options, &many[0], message, sizeof message), 0);
    inbox_close(many[0]);
}

/* ---- Ids ---- */

Test(engine_remote, an_id_names_its_query_until_the_release) {
    quring_done done;
    ask(a, 0);
    cr_assert_eq(inbox_release(inbox, inbox_ids[0]), QURING_ENOTREADY, "it is on its way");
    engine_turn();
    engine_turn();
    fake_end(a, 0, QURING_OK);
    engine_turn();
    cr_assert_eq(inbox_release(inbox, inbox_ids[0]), QURING_ENOTREADY, "it is done");
    cr_assert_eq(inbox_reap(inbox, &done, 1), 1);
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[0]), 0, "it stays as it ended");
    cr_assert_eq(inbox_release(inbox, inbox_ids[0]), 0);
    cr_assert_eq(inbox_release(inbox, inbox_ids[0]), QURING_ESTALE);
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[0]), QURING_ESTALE);
    cr_assert_eq(inbox_release(inbox, 0), QURING_ESTALE);
    ask(a, 1);
    cr_assert_neq(inbox_ids[1], inbox_ids[0]);
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[0]), QURING_ESTALE);
    engine_turn();
    engine_turn();
    fake_assert_text(fake_log(), "", "no cancel came through");
}

/* ---- Order keys ---- */

/* A key is held until the thread has reaped, of which the engine hears by the thread's next commands. */
Test(engine_remote, a_key_is_held_until_the_thread_has_reaped) {
    const quring_query query = {.db = &a->base, .sql = "select 1", .order_key = 7};
    ask_query(0, &query);
    ask_query(1, &query);
    engine_turn();
    engine_turn();
    cr_assert_eq(engine->hub.keys.count, 1);
    fake_end(a, 0, QURING_OK);
    fake_end(a, 1, QURING_OK);
    engine_turn();
    cr_assert_eq(engine->hub.keys.count, 1, "delivered, and not reaped");
    fake_assert_text(reaped(), "0 OK, 1 OK", "both");
    ask_query(2, &query);
    engine_turn();
    cr_assert_eq(engine->hub.keys.count, 1, "the next one has it");
    engine_turn();
    fake_end(a, 2, QURING_OK);
    engine_turn();
    fake_assert_text(reaped(), "2 OK", "the last");
    engine_turn();
    cr_assert_eq(engine->hub.keys.count, 0);
    ask_query(0, &query);
    ask_query(1, &query);
    engine_turn();
    engine_turn();
    fake_end(a, 0, QURING_OK);
    engine_turn();
    close_inbox();
    engine_turn();
    cr_assert_eq(engine->hub.keys.count, 0, "an inbox that is closed holds none");
}

/* ---- Ends before their time ---- */

Test(engine_remote, a_cancel_ends_what_has_not_ended) {
    a->depth = 1;
    ask(a, 0);
    ask(a, 1);
    ask(a, 2);
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[2]), 0, "it is on its way");
    engine_turn();
    engine_turn();
    fake_assert_text(reaped(), "2 CANCELLED unsent", "the commands are read in order");
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[1]), 0, "it waits");
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[1]), 0, "once is enough");
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[0]), 0, "it runs");
    engine_turn();
    fake_assert_text(fake_log(), "abandon 0 CANCELLED", "the backend ends it");
    fake_assert_text(reaped(), "1 CANCELLED unsent, 0 CANCELLED", "both");
}

/* Each slot's commands at their most: nothing is read while all are cancelled, and the reactor is away for a whole round. */
Test(engine_remote, commands_have_room_for_all_that_can_be_on_its_way) {
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 4; i++)
            cr_assert_eq(ask(a, i), 0);
        engine_turn();
        engine_turn();
        for (uint32_t i = 0; i < 4; i++)
            fake_end(a, i, QURING_OK);
        engine_turn();
        for (uint32_t i = 0; i < 4; i++) {
            cr_assert_eq(inbox_cancel(inbox, inbox_ids[i]), 0);
            inbox->notes[i].cancelled = true;
        }
        fake_assert_text(reaped(), "0 OK, 1 OK, 2 OK, 3 OK", "before their cancels were read");
        for (uint32_t i = 0; i < 4; i++)
            cr_assert_eq(ask(b, i), 0);
        for (uint32_t i = 0; i < 4; i++)
            cr_assert_eq(inbox_cancel(inbox, inbox_ids[i]), 0);
        cr_assert_leq(inbox->commands_written - inbox->commands_taken, inbox->command_mask + 1);
        engine_turn();
        fake_assert_text(reaped(), "0 CANCELLED unsent, 1 CANCELLED unsent, 2 CANCELLED unsent, 3 CANCELLED unsent",
                         "the later ones by their own cancels");
    }
}

Test(engine_remote, a_timeout_ends_a_query_on_either_side_of_the_backend) {
    a->depth = 1;
    ask_query(0, &(quring_query){.db = &a->base, .sql = "select 1", .timeout_ns = 5 * FAKE_MS});
    ask_query(1, &(quring_query){.db = &a->base, .sql = "select 1", .timeout_ns = 2 * FAKE_MS});
    ask_query(2, &(quring_query){.db = &b->base, .sql = "select 1", .timeout_ns = 50 * FAKE_MS});
    engine_turn();
    engine_turn();
    fake_end(b, 2, QURING_OK);
    engine_run(engine, 1, 10 * FAKE_MS);
    fake_assert_text(reaped(), "2 OK, 1 TIMEOUT unsent, 0 TIMEOUT", "in their order");
    cr_assert_eq(engine->deadlines.count, 0);
}

Test(engine_remote, a_handle_that_is_closed_ends_its_queries) {
    a->depth = 1;
    ask(a, 0);
    ask(a, 1);
    engine_turn();
    engine_turn();
    ask(a, 2); /* not read yet */
    engine_db_close(&a->base);
    fake_assert_text(reaped(), "1 SHUTDOWN unsent, 0 SHUTDOWN", "at once");
    engine_turn();
    engine_turn();
    fake_assert_text(reaped(), "2 SHUTDOWN unsent", "the handle is freed by now");
    ask(a, 3);
    ask(b, 4);
    engine_turn();
    engine_turn();
    fake_assert_text(reaped(), "3 SHUTDOWN unsent", "its address names nothing");
    fake_end(b, 4, QURING_OK);
    engine_turn();
    fake_assert_text(reaped(), "4 OK", "others go on");
    a = fake_open(engine, "fake:a", NULL);
}

Test(engine_remote, a_handle_at_the_address_of_a_closed_one_is_another) {
    struct fake_db *closed = a;
    alloc_reuse(a, sizeof *a);
    engine_turn();
    ask(a, 0); /* not read yet */
    engine_db_close(&a->base);
    engine_advance(engine); /* frees it */
    a = fake_open(engine, "fake:a", NULL);
    cr_assert_eq(a, closed, "the test shows something");
    engine_turn();
    cr_assert_eq(a->base.counters.submitted_count, 0);
    fake_assert_text(reaped(), "0 SHUTDOWN unsent", "it named the other one");
    cr_assert_eq(ask(a, 0), 0);
    engine_turn();
    cr_assert_eq(a->base.counters.submitted_count, 1);
    close_inbox();
    close_engine();
    alloc_reuse(NULL, 0);
    free(closed);
}

Test(engine_remote, refusals_of_the_engine_are_outcomes) {
    static const struct {
        const char *sql, *sqlstate;
    } rows[] = {{"begin", "0A000"}, {"copy t from stdin", "0A000"}, {"listen a", "0A000"}};
    quring_done done;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_eq(ask_query(0, &(quring_query){.db = &a->base, .sql = rows[i].sql}), 0);
        engine_turn();
        cr_assert_eq(inbox_reap(inbox, &done, 1), 1);
        cr_assert_eq(done.status, QURING_SERVER_ERROR);
        cr_assert_not(done.sent);
        cr_assert_str_eq(done.error->sqlstate, rows[i].sqlstate);
        cr_assert(*done.error->message);
        cr_assert_eq(quring_row_count(done.result), 0);
        cr_assert_eq(inbox_release(inbox, done.id), 0);
    }
    cr_assert_str_eq(engine->hub.message, "", "the engine's own calls have not failed");
}

/* ---- The descriptor ---- */

Test(engine_remote, a_wait_sleeps_no_longer_than_it_is_told) {
    cr_assert_eq(inbox_wait(inbox, 1, QURING_FOREVER), 0, "nothing is pending");
    ask(a, 0);
    cr_assert_eq(inbox_wait(inbox, 1, 0), 0);
    cr_assert_eq(inbox_wait(inbox, 0, QURING_FOREVER), 0);
    cr_assert_eq(inbox_wait(inbox, 1, FAKE_MS), 0);
    engine_turn();
    engine_turn();
    fake_end(a, 0, QURING_OK);
    engine_turn();
    cr_assert_eq(inbox_wait(inbox, 64, QURING_FOREVER), 1, "all that is pending is done");
}

/* ---- Shutting down, and closing in every order ---- */

Test(engine_remote, a_shutdown_ends_all_and_refuses_more) {
    a->depth = 1;
    ask(a, 0);
    ask(a, 1);
    engine_turn();
    engine_turn();
    ask(a, 2);
    engine_shutdown(engine, 0);
    cr_assert_eq(ask(a, 3), QURING_ESHUTDOWN);
    fake_assert_text(reaped(), "2 SHUTDOWN unsent, 1 SHUTDOWN unsent, 0 SHUTDOWN", "all");
    fake_assert_text(reaped(), "", "the engine is there still");
    close_engine();
    fake_assert_text(reaped(), quring_strerror(QURING_ESHUTDOWN), "and is no more");
}

Test(engine_remote, a_shutdown_gives_queries_their_grace) {
    a->work_ns = 5 * FAKE_MS;
    ask(a, 0);
    engine_turn();
    engine_turn();
    engine_shutdown(engine, 50 * FAKE_MS);
    fake_assert_text(reaped(), "0 OK", "in time");
}

Test(engine_remote, an_inbox_outlives_its_engine) {
    quring_done done[4];
    ask(a, 0);
    ask(a, 1);
    engine_turn();
    engine_turn();
    fake_end(a, 0, QURING_OK);
    engine_turn();
    cr_assert_eq(inbox_reap(inbox, done, 1), 1);
    ask(a, 2); /* on its way */
    close_engine();
    cr_assert_eq(quring_row_count(done[0].result), 0, "results stay");
    cr_assert_eq(ask(a, 3), QURING_ESHUTDOWN);
    cr_assert_eq(inbox_wait(inbox, 9, QURING_FOREVER), 2);
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[2]), 0, "nobody hears it");
    cr_assert_eq(inbox_release(inbox, done[0].id), 0);
    fake_assert_text(reaped(), "2 SHUTDOWN unsent, 1 SHUTDOWN", "all have an end");
    cr_assert_eq(inbox_wait(inbox, 1, QURING_FOREVER), QURING_ESHUTDOWN);
    fake_assert_text(reaped(), quring_strerror(QURING_ESHUTDOWN), "none will come");
}

/* As when the command is written after the engine's last look, which no test on one thread can bring about by calls alone. */
Test(engine_remote, commands_that_nobody_reads_end_on_their_own_side) {
    ask(a, 0);
    ask(a, 1);
    inbox_cancel(inbox, inbox_ids[1]);
    uint64_t written = inbox->commands_written;
    atomic_store(&inbox->commands_sent, written - 2); /* the engine sees the first alone */
    close_engine();
    fake_assert_text(reaped(), "0 SHUTDOWN unsent, 1 SHUTDOWN unsent", "each once");
    fake_assert_text(reaped(), quring_strerror(QURING_ESHUTDOWN), "and no more");
}

Test(engine_remote, what_is_closed_is_cancelled_and_forgotten) {
    a->let_go_ns = 5 * FAKE_MS; /* as on a lane */
    a->depth = 1;
    ask(a, 0);
    ask(a, 1);
    ask(b, 2);
    engine_turn();
    engine_turn();
    ask(b, 3); /* on its way */
    (void)fake_log();
    uint32_t room = engine->inbox_room;
    close_inbox();
    engine_turn();
    cr_assert_eq(atomic_load(&engine->inbox_count), 1, "a lane has a query of it");
    engine_run(engine, 1, 10 * FAKE_MS);
    cr_assert_eq(atomic_load(&engine->inbox_count), 0);
    cr_assert_eq(engine->remote_count, 0);
    cr_assert_eq(room - engine->inbox_room, 4);
    cr_assert_null(engine->inboxes[1]);
    open_inbox(4, 1000);
    ask(b, 0);
    engine_turn();
    engine_turn();
    cr_assert_eq(engine->inboxes[1], inbox, "its number is given again");
    fake_end(b, 0, QURING_OK);
    engine_turn();
    fake_assert_text(reaped(), "0 OK", "and it works");
}

Test(engine_remote, both_close_in_every_order_at_every_moment) {
    for (int order = 0; order < 2; order++)
        for (int moment = 0; moment < 6; moment++) {
            inbox_teardown();
            inbox_setup();
            a->close_ns = FAKE_MS;
            a->let_go_ns = moment == 5 ? FAKE_MS : 0;
            if (moment > 0)
                ask(a, 0);
            if (moment > 1)
                engine_turn();
            if (moment > 2)
                engine_turn();
            if (moment == 4) {
                fake_end(a, 0, QURING_OK);
                engine_turn();
            }
            if (order == 0) {
                close_inbox();
                close_engine();
            } else {
                close_engine();
                close_inbox();
            }
        }
    inbox_setup();
}

Test(engine_remote, an_inbox_may_be_opened_on_an_engine_that_was_shut_down) {
    close_inbox();
    engine_shutdown(engine, 0);
    open_inbox(4, 1000);
    (void)ask(a, 0);
    engine_turn();
    fake_assert_text(reaped(), "0 SHUTDOWN unsent", "it was not known yet");
    cr_assert_eq(ask(a, 1), QURING_ESHUTDOWN);
}

/* ---- The trace ---- */

Test(engine_remote, the_trace_has_them) {
    close_inbox();
    engine_teardown();
    engine = fake_engine_open(&(quring_options){.trace_count = 10, .query_count = 2});
    a = fake_open(engine, "fake:a", NULL);
    b = a;
    open_inbox(4, 1000);
    ask(a, 3);
    engine_turn();
    engine_turn();
    fake_end(a, 3, QURING_OK);
    quring_event events[10];
    cr_assert_eq(trace_take(engine->hub.trace, events, 10), 2);
    cr_assert_eq(events[0].kind, QURING_EVENT_SUBMITTED);
    cr_assert_eq(events[1].kind, QURING_EVENT_DONE);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(events[i].id, inbox_ids[3]);
        cr_assert_eq(events[i].user_data, 3);
        cr_assert_str_eq(events[i].sql, "select 1");
    }
    close_inbox();
    engine_turn();
}

/* ---- No memory ---- */

static void once_through(uint32_t n) {
    char message[200];
    const quring_inbox_options options = {.query_count = 4, .bytes = 4000};
    const quring_param param = quring_text("some text");
    quring_inbox *other;
    alloc_watch(true);
    alloc_fail_at(n, 1);
    int error = engine_inbox_open(engine, &options, &other, message, sizeof message);
    alloc_watch(false);
    if (error) {
        cr_assert_eq(error, QURING_ENOMEM);
        cr_assert_eq(atomic_load(&engine->inbox_count), 0);
        return;
    }
    const quring_query query = {.db = &a->base, .sql = "select $1, 'once'", .params = &param, .param_count = 1};
    quring_done done;
    uint32_t asked = 0;
    alloc_watch(true);
    for (int i = 0; i < 3; i++) {
        error = inbox_submit(other, &query, NULL);
        cr_assert(error == 0 || error == QURING_ENOMEM);
        asked += !error;
        engine_turn();
    }
    alloc_watch(false);
    alloc_fail_no_more();
    engine_turn();
    list_for_each_safe(node, &a->running)
        query_finish(list_entry(node, struct query, link), QURING_OK);
    engine_turn();
    while (inbox_reap(other, &done, 1) == 1) {
        cr_assert(done.status == QURING_OK || strcmp(done.error->sqlstate, "53200") == 0);
        cr_assert_eq(inbox_release(other, done.id), 0);
        asked--;
    }
    cr_assert_eq(asked, 0, "each has ended");
    inbox_close(other);
    engine_turn();
}

Test(engine_remote, no_allocation_that_fails_loses_a_query) {
    close_inbox();
    engine_turn();
    uint32_t n = 1;
    for (;; n++) {
        engine_again();
        once_through(n);
        if (!alloc_has_failed())
            break;
    }
    cr_assert_gt(n, 8, "the loop met the allocations of an inbox");
    engine_again();
    open_inbox(4, 1000);
}

/* ---- Allocations ---- */

Test(engine_remote, a_warm_query_allocates_nothing) {
    const quring_param param = quring_text("some text");
    const quring_query query = {.db = &a->base, .sql = "select $1", .params = &param, .param_count = 1};
    uint64_t before = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 10)
            before = alloc_count();
        alloc_watch(true);
        for (uint32_t i = 0; i < 4; i++)
            cr_assert_eq(ask_query(i, &query), 0);
        engine_turn();
        engine_turn();
        for (uint32_t i = 0; i < 4; i++)
            fake_end(a, i, QURING_OK);
        engine_turn();
        alloc_watch(false);
        fake_assert_text(reaped(), "0 OK, 1 OK, 2 OK, 3 OK", "all");
    }
    cr_assert_eq(alloc_count(), before);
}
