/* SPDX-License-Identifier: MIT */
/* Inboxes over a real PostgreSQL: eight threads, whose queries one engine pipelines over its connections. */
#include "lib/live.h"
#include "lib/remote_tx.h"

#include <string.h>
#include <unistd.h>

enum { THREADS = REMOTE_CLIENTS, QUERIES = 1500 };

static struct remote_host host;

static void prepare(const quring_db_options *options) {
    host = (struct remote_host){.url = live_url_with("application_name=test_remote")};
    if (options)
        host.options = *options;
}

static void start(const quring_db_options *options) {
    prepare(options);
    remote_host_start(&host);
}

static void expect_all_ok(const quring_db_options *options) {
    struct remote_client clients[THREADS];
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    start(options);
    remote_clients_start(&host, clients, &(struct remote_client){.query_count = QUERIES});
    remote_clients_join(clients, by_status);
    cr_assert_eq(by_status[QURING_OK], THREADS * QUERIES);
    remote_host_stop(&host);
}

Test(pg_remote, eight_threads_get_the_rows_of_their_own_queries) {
    expect_all_ok(NULL);
    expect_all_ok(&(quring_db_options){.commit = QURING_COMMIT_GROUP});
    expect_all_ok(&(quring_db_options){.exclusive = true});
}

Test(pg_remote, eight_threads_cancel_some) {
    struct remote_client clients[THREADS];
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    start(NULL);
    remote_clients_start(&host, clients, &(struct remote_client){.query_count = QUERIES, .cancel_each = 3});
    remote_clients_join(clients, by_status);
    cr_assert_eq(by_status[QURING_OK] + by_status[QURING_CANCELLED], THREADS * QUERIES);
    cr_assert_geq(by_status[QURING_OK], THREADS * (QUERIES - QUERIES / 3));
    remote_host_stop(&host);
}

/* Whatever becomes of the queries, each has one end, and no rows but its own. */
Test(pg_remote, eight_threads_meet_lost_connections) {
    struct remote_client clients[THREADS];
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0}, total = 0;
    struct live killer;
    start(NULL);
    live_open(&killer, NULL);
    remote_clients_start(&host, clients, &(struct remote_client){.query_count = 4 * QUERIES});
    for (int i = 0; i < 10; i++) {
        live_int(&killer, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                          " where application_name = 'test_remote'");
        usleep(10000);
    }
    remote_clients_join(clients, by_status);
    for (int status = 0; status <= QURING_SHUTDOWN; status++)
        total += by_status[status];
    cr_assert_eq(total, THREADS * 4 * QUERIES);
    cr_assert_gt(by_status[QURING_OK], 0);
    live_close(&killer);
    remote_host_stop(&host);
}

Test(pg_remote, eight_threads_outlive_the_engine) {
    prepare(NULL);
    remote_clients_outlive(&host, 4, 20000);
}

/* ---- Transactions and batches ---- */

enum { MOVES = 120 };

static void expect_moves(const quring_db_options *options) {
    const struct remote_mover like = {.move_count = MOVES, .window = 4};
    start(options);
    cr_assert_geq(remote_move_money(&host, &like), THREADS * MOVES / 2, "transactions, whole ones, and ATOMIC batches");
    remote_host_stop(&host);
}

Test(pg_remote, eight_threads_move_money) {
    expect_moves(NULL);
    expect_moves(&(quring_db_options){.connection_count = 1});
    expect_moves(&(quring_db_options){.connection_count = 3, .depth = 1}); /* where two are a long batch */
}

/* What a COMMIT or a batch said before or after a connection was lost holds. */
Test(pg_remote, eight_threads_move_money_over_lost_connections) {
    struct remote_mover movers[THREADS];
    struct live killer;
    start(NULL);
    live_open(&killer, NULL);
    remote_make_accounts(&host);
    remote_movers_start(&host, movers, &(struct remote_mover){.move_count = 300, .window = 4});
    for (int i = 0; i < 10; i++) {
        live_int(&killer, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                          " where application_name = 'test_remote'");
        usleep(10000);
    }
    remote_movers_join(movers);
    remote_check_moves(&host, movers);
    live_close(&killer);
    remote_host_stop(&host);
}

Test(pg_remote, eight_threads_move_money_until_the_engine_is_closed) {
    prepare(NULL);
    remote_move_until_closed(&host, 4, 20000, true);
}

static quring_done end_of(quring_inbox *inbox) {
    quring_done done;
    cr_assert_eq(quring_inbox_wait(inbox, 1, QURING_FOREVER), 1);
    cr_assert_eq(quring_inbox_reap(inbox, &done, 1), 1);
    return done;
}

/* Only the engine's thread knows when the time has passed, so the query is asked again until it has. */
Test(pg_remote, a_transaction_that_was_idle_for_too_long_says_so_where_it_was_opened) {
    quring_inbox *inbox;
    quring_tx *tx;
    quring_done done;
    start(NULL);
    cr_assert_eq(quring_inbox_open(host.engine, NULL, &inbox), 0);
    cr_assert_eq(quring_inbox_tx_open(inbox, host.db, &(quring_tx_options){.idle_timeout_ns = 20 * LIVE_MS}, &tx), 0);
    for (unsigned pause_us = 0;; pause_us = 2 * pause_us + 1000) {
        usleep(pause_us);
        cr_assert_eq(quring_inbox_submit(inbox, &(quring_query){.tx = tx, .sql = "select 1"}, NULL), 0);
        done = end_of(inbox);
        if (done.status != QURING_OK)
            break;
        cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    }
    live_check_error(&done, QURING_SKIPPED, "25P03", "idle_timeout_ns");
    cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    cr_assert_eq(quring_commit(tx, 0, NULL), 0);
    done = end_of(inbox);
    live_check_error(&done, QURING_SERVER_ERROR, "25P03", "idle_timeout_ns");
    quring_tx_release(tx);
    quring_inbox_close(inbox);
    remote_host_stop(&host);
}

/* ---- Rows and errors ---- */

static quring_done ask(quring_inbox *inbox, const char *sql, uint64_t timeout_ns) {
    quring_done done;
    const quring_query query = {.db = host.db, .sql = sql, .timeout_ns = timeout_ns};
    cr_assert_eq(quring_inbox_submit(inbox, &query, NULL), 0, "%s", quring_inbox_errmsg(inbox));
    cr_assert_eq(quring_inbox_wait(inbox, 1, QURING_FOREVER), 1);
    cr_assert_eq(quring_inbox_reap(inbox, &done, 1), 1);
    return done;
}

Test(pg_remote, rows_errors_and_notices_are_read_on_the_thread_that_asked) {
    quring_inbox *inbox;
    int64_t value;
    const char *text;
    start(NULL);
    cr_assert_eq(quring_inbox_open(host.engine, NULL, &inbox), 0);
    quring_done done = ask(inbox, "select nothing from nowhere", 0);
    live_check_error(&done, QURING_SERVER_ERROR, "42P01", "nowhere");
    cr_assert(done.sent);
    cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    done = ask(inbox, "begin", 0);
    live_check_error(&done, QURING_SERVER_ERROR, "0A000", "exclusive");
    cr_assert_not(done.sent);
    cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    done = ask(inbox, "select pg_sleep(100)", 20 * LIVE_MS);
    cr_assert_eq(done.status, QURING_TIMEOUT);
    cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    done = ask(inbox, "do $$ begin raise notice 'look'; end $$", 0);
    live_check_ok(&done, "do");
    cr_assert_eq(quring_notice_count(done.result), 1);
    cr_assert_str_eq(quring_notice(done.result, 0)->message, "look");
    cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    done = ask(inbox, "select i, repeat('x', 1000), 1.5::numeric from generate_series(1, 5000) i", 0);
    live_check_ok(&done, "many rows");
    remote_host_stop(&host); /* what was reaped stays */
    for (uint64_t row = 0; row < 5000; row++) {
        cr_assert_eq(quring_get_int64(done.result, row, 0, &value), 0);
        cr_assert_eq(value, (int64_t)row + 1);
        cr_assert_eq(quring_get_text(done.result, row, 2, &text, NULL), 0);
        cr_assert_str_eq(text, "1.5");
    }
    cr_assert_str_eq(quring_column_name(done.result, 0), "i");
    cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    cr_assert_eq(quring_inbox_wait(inbox, 1, QURING_FOREVER), QURING_ESHUTDOWN);
    quring_inbox_close(inbox);
}

Test(pg_remote, an_engine_has_queries_of_its_own_beside_those_of_threads) {
    struct live live;
    struct remote_client clients[THREADS];
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    live_open(&live, NULL);
    host = (struct remote_host){.engine = live.engine, .db = live.db}; /* its thread is this one */
    remote_clients_start(&host, clients, &(struct remote_client){.query_count = QUERIES});
    for (uint32_t ended = 0; ended < QUERIES;) {
        quring_done done[16];
        while (quring_pending(live.engine) < 20)
            live_submit(&live, &(quring_query){.sql = "select 3"});
        cr_assert_geq(quring_run(live.engine, 1, QURING_FOREVER), 1);
        int count = quring_reap(live.engine, done, 16);
        for (int i = 0; i < count; i++, ended++) {
            live_check_ok(&done[i], "the engine's own");
            live_release(&live, &done[i]);
        }
    }
    while (atomic_load(&host.ended_count) < THREADS)
        cr_assert_geq(quring_run(live.engine, 1, LIVE_MS), 0);
    remote_clients_join(clients, by_status);
    cr_assert_eq(by_status[QURING_OK], THREADS * QUERIES);
    live_close(&live);
}
