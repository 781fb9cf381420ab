/* SPDX-License-Identifier: MIT */
/* Inboxes with their threads, over SQLite in memory: what ThreadSanitizer is to see, and who may call what. */
#include "lib/remote_tx.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = REMOTE_CLIENTS, QUERIES = 1500 };

static struct remote_host host;

static void start(const quring_db_options *options) {
    host = (struct remote_host){.url = "sqlite://"};
    if (options)
        host.options = *options;
    remote_host_start(&host);
}

static void start_default(void) {
    start(NULL);
}

TestSuite(api_remote, .init = start_default);

/* ---- Many threads ---- */

Test(api_remote, eight_threads_get_the_rows_of_their_own_queries) {
    struct remote_client clients[THREADS];
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    remote_clients_start(&host, clients, &(struct remote_client){.query_count = QUERIES});
    remote_clients_join(clients, by_status);
    cr_assert_eq(by_status[QURING_OK], THREADS * QUERIES);
    remote_host_stop(&host);
}

Test(api_remote, eight_threads_wake_a_foreign_loop) {
    struct remote_client clients[THREADS];
    remote_host_stop(&host);
    host.is_foreign = true;
    remote_host_start(&host);
    remote_clients_start(&host, clients, &(struct remote_client){.query_count = QUERIES});
    remote_clients_join(clients, NULL);
    remote_host_stop(&host);
}

Test(api_remote, eight_threads_cancel_some) {
    struct remote_client clients[THREADS];
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    remote_clients_start(&host, clients, &(struct remote_client){.query_count = QUERIES, .cancel_each = 3});
    remote_clients_join(clients, by_status);
    cr_assert_eq(by_status[QURING_OK] + by_status[QURING_CANCELLED], THREADS * QUERIES);
    cr_assert_geq(by_status[QURING_OK], THREADS * (QUERIES - QUERIES / 3));
    remote_host_stop(&host);
}

Test(api_remote, eight_threads_outlive_the_engine) {
    remote_host_stop(&host);
    remote_clients_outlive(&host, 6, 1000);
}

Test(api_remote, eight_threads_leave_while_their_queries_are_out) {
    for (int round = 0; round < 4; round++) {
        struct remote_client clients[THREADS];
        sem_t opened;
        if (round)
            start_default();
        sem_init(&opened, 0, 0);
        remote_clients_start(&host, clients,
                             &(struct remote_client){.query_count = 200, .leaves = true, .opened = &opened});
        for (int i = 0; i < THREADS; i++)
            sem_wait(&opened);
        if (round % 2)
            remote_host_stop(&host);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(clients[i].thread, NULL);
            cr_assert_eq(clients[i].wrong_count, 0);
        }
        if (round % 2 == 0)
            remote_host_stop(&host);
        sem_destroy(&opened);
    }
}

static void *open_and_close(void *argument) {
    (void)argument;
    for (int i = 0; i < 100; i++) {
        quring_inbox *inbox;
        cr_assert_eq(quring_inbox_open(host.engine, &(quring_inbox_options){.query_count = 3}, &inbox), 0);
        for (int k = 0; k < i % 4; k++)
            cr_assert_eq(quring_inbox_submit(inbox, &(quring_query){.db = host.db, .sql = "select 1"}, NULL), 0);
        if (i % 3 == 0)
            cr_assert_eq(quring_inbox_wait(inbox, 3, QURING_FOREVER), i % 4);
        quring_inbox_close(inbox);
    }
    return NULL;
}

Test(api_remote, inboxes_come_and_go) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    remote_host_stop(&host);
}

/* ---- Transactions and batches ---- */

enum { MOVES = 150 };

static void expect_moves(const quring_tx_options *options) {
    const struct remote_mover like = {.move_count = MOVES, .window = 4, .options = options};
    cr_assert_geq(remote_move_money(&host, &like), THREADS * MOVES / 2, "transactions, whole ones, and ATOMIC batches");
    remote_host_stop(&host);
}

Test(api_remote, eight_threads_move_money) {
    expect_moves(NULL);
}

Test(api_remote, eight_threads_move_money_and_leave_tokens) {
    expect_moves(&(quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = REMOTE_TOKENS});
}

Test(api_remote, eight_threads_move_money_until_the_engine_is_closed) {
    remote_host_stop(&host);
    remote_move_until_closed(&host, 6, 1000, false);
}

Test(api_remote, eight_threads_leave_while_they_move_money) {
    struct remote_mover movers[THREADS];
    remote_make_accounts(&host);
    remote_movers_start(&host, movers, &(struct remote_mover){.move_count = 60, .window = 4, .leaves = true});
    remote_movers_join(movers);
    remote_check_moves(&host, movers);
    remote_host_stop(&host);
}

/* ---- Order ---- */

struct writer {
    pthread_t thread;
    int64_t number;
};

static void *write_numbers(void *argument) {
    const struct writer *writer = argument;
    quring_inbox *inbox;
    quring_done done;
    cr_assert_eq(quring_inbox_open(host.engine, NULL, &inbox), 0);
    for (int64_t i = 0; i < 200; i++) {
        const quring_param params[] = {quring_int64(writer->number), quring_int64(i)};
        cr_assert_eq(quring_inbox_submit(inbox,
                                         &(quring_query){.db = host.db,
                                                         .sql = "insert into t (writer, number) values ($1, $2)",
                                                         .params = params,
                                                         .param_count = 2,
                                                         .user_data = (uint64_t)i},
                                         NULL),
                     0);
    }
    for (uint64_t i = 0; i < 200; i++) {
        cr_assert_geq(quring_inbox_wait(inbox, 1, QURING_FOREVER), 1);
        cr_assert_eq(quring_inbox_reap(inbox, &done, 1), 1);
        cr_assert_eq(done.status, QURING_OK);
        cr_assert_eq(done.user_data, i, "an exclusive handle ends its queries in order");
        cr_assert_eq(quring_inbox_release(inbox, done.id), 0);
    }
    quring_inbox_close(inbox);
    return NULL;
}

Test(api_remote, an_exclusive_handle_has_the_order_of_each_thread) {
    struct writer writers[THREADS];
    remote_host_stop(&host);
    start(&(quring_db_options){.exclusive = true});
    remote_tell(&host, "create table t (row integer primary key autoincrement, writer int, number int)");
    for (int i = 0; i < THREADS; i++) {
        writers[i].number = i;
        cr_assert_eq(pthread_create(&writers[i].thread, NULL, write_numbers, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(writers[i].thread, NULL);
    cr_assert_eq(remote_int(&host, "select count(*) from t"), THREADS * 200);
    cr_assert_eq(remote_int(&host, "select count(*) from t a join t b on a.writer = b.writer and a.row < b.row"
                                   " where a.number >= b.number"),
                 0);
    remote_host_stop(&host);
}

/* ---- Who may call ---- */

static void *call_foreign(void *argument) {
    quring_inbox *inbox = argument;
    quring_done done;
    cr_assert_eq(quring_inbox_submit(inbox, &(quring_query){.db = host.db, .sql = "select 1"}, NULL), QURING_EFORKED);
    cr_assert_eq(quring_inbox_cancel(inbox, 1), QURING_EFORKED);
    cr_assert_eq(quring_inbox_reap(inbox, &done, 1), QURING_EFORKED);
    cr_assert_eq(quring_inbox_release(inbox, 1), QURING_EFORKED);
    cr_assert_eq(quring_inbox_wait(inbox, 1, QURING_FOREVER), QURING_EFORKED);
    cr_assert_eq(quring_inbox_fd(inbox), QURING_EFORKED);
    cr_assert_eq(quring_inbox_pending(inbox), 0);
    cr_assert(strstr(quring_inbox_errmsg(inbox), "thread and process"));
    quring_inbox_close(inbox);
    return NULL;
}

Test(api_remote, an_inbox_is_its_threads_own) {
    quring_inbox *inbox;
    quring_done done;
    pthread_t thread;
    cr_assert_eq(quring_inbox_open(host.engine, NULL, &inbox), 0);
    cr_assert_eq(quring_inbox_submit(inbox, &(quring_query){.db = host.db, .sql = "select 7"}, NULL), 0);
    cr_assert_eq(pthread_create(&thread, NULL, call_foreign, inbox), 0);
    pthread_join(thread, NULL);
    pid_t child = fork();
    if (child == 0) {
        bool refused = quring_inbox_reap(inbox, &done, 1) == QURING_EFORKED &&
                       quring_inbox_wait(inbox, 1, 0) == QURING_EFORKED &&
                       quring_inbox_open(host.engine, NULL, &inbox) == QURING_EFORKED;
        quring_inbox_close(inbox);
        _exit(!refused);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(quring_inbox_wait(inbox, 1, QURING_FOREVER), 1);
    cr_assert_eq(quring_inbox_reap(inbox, &done, 1), 1);
    remote_host_stop(&host);
    int64_t value;
    cr_assert_eq(quring_get_int64(done.result, 0, 0, &value), 0);
    cr_assert_eq(value, 7, "rows stay when the engine is closed");
    quring_inbox_close(inbox);
}

Test(api_remote, wrong_calls_are_told_apart) {
    quring_inbox *inbox = NULL;
    quring_done done;
    const quring_param param = quring_int64(1);
    cr_assert_eq(quring_inbox_open(NULL, NULL, &inbox), QURING_EINVAL);
    cr_assert_eq(quring_inbox_open(host.engine, NULL, NULL), QURING_EINVAL);
    cr_assert_eq(quring_inbox_open(host.engine, &(quring_inbox_options){.query_count = 65537}, &inbox), QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(NULL), "65536"));
    cr_assert_null(inbox);
    cr_assert_eq(quring_inbox_submit(NULL, &(quring_query){.sql = "select 1"}, NULL), QURING_EINVAL);
    cr_assert_eq(quring_inbox_reap(NULL, &done, 1), QURING_EINVAL);
    cr_assert_eq(quring_inbox_wait(NULL, 1, 1), QURING_EINVAL);
    cr_assert_eq(quring_inbox_fd(NULL), QURING_EINVAL);
    cr_assert_eq(quring_inbox_pending(NULL), 0);
    cr_assert_str_eq(quring_inbox_errmsg(NULL), "");
    quring_inbox_close(NULL);
    cr_assert_eq(quring_inbox_open(host.engine, NULL, &inbox), 0);
    const quring_query wrong[] = {
        {.sql = "select 1"},
        {.db = host.db},
        {.db = host.db, .sql = "select 1", .statement = (quring_statement *)&done},
        {.db = host.db, .sql = "select $1", .param_count = 1},
        {.db = host.db, .sql = "select $1", .params = &param, .param_count = 65536},
        {.db = host.db, .sql = "select 1", .commit = (quring_commit_mode)9},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(quring_inbox_submit(inbox, &wrong[i], NULL), QURING_EINVAL, "query %zu", i);
        cr_assert(*quring_inbox_errmsg(inbox));
    }
    cr_assert_eq(quring_inbox_submit(inbox, NULL, NULL), QURING_EINVAL);
    cr_assert_eq(quring_inbox_reap(inbox, NULL, 1), QURING_EINVAL);
    cr_assert_eq(quring_inbox_pending(inbox), 0);
    quring_inbox_close(inbox);
    remote_host_stop(&host);
}

/* ---- Programs with another header ---- */

Test(api_remote, structs_of_other_sizes_are_taken) {
    struct {
        quring_done known;
        uint8_t unknown[24];
    } done[3];
    struct {
        quring_inbox_options known;
        uint8_t unknown[24];
    } options = {.unknown = {1}};
    quring_inbox *inbox;
    cr_assert_eq(quring_inbox_open_sized(host.engine, &options.known, sizeof options, &inbox), QURING_EINVAL);
    options.unknown[0] = 0;
    cr_assert_eq(quring_inbox_open_sized(host.engine, &options.known, sizeof options, &inbox), 0);
    const quring_query query = {.db = host.db, .sql = "select 1", .user_data = 5, .commit = (quring_commit_mode)9};
    for (int i = 0; i < 2; i++)
        cr_assert_eq(quring_inbox_submit_sized(inbox, &query, offsetof(quring_query, user_data), NULL), 0);
    cr_assert_eq(quring_inbox_wait(inbox, 2, QURING_FOREVER), 2);
    memset(done, 0x5a, sizeof done);
    cr_assert_eq(quring_inbox_reap_sized(inbox, &done[0].known, sizeof done[0], 3), 2);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(done[i].known.status, QURING_OK);
        cr_assert_eq(done[i].known.user_data, 0);
        cr_assert_eq(done[i].unknown[0], 0);
    }
    cr_assert_eq(done[2].unknown[0], 0x5a);
    quring_inbox_close(inbox);
    remote_host_stop(&host);
}
