/* SPDX-License-Identifier: MIT */
/*
 * The transfer between accounts: either both of its updates take effect, or none. All of it is submitted at once, so it takes
 * one round trip, and any number of transfers go together. Only the URL differs between the databases.
 *
 *      example_transfer 'sqlite:///bank.db?mode=rwc'
 *      example_transfer postgresql://app@localhost/app
 */
#include <quring/quring.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static quring_engine *engine;
static quring_db *db;

static void check(int error, const char *what) {
    if (error >= 0)
        return;
    fprintf(stderr, "%s: %s %s\n", what, quring_strerror(error), quring_errmsg(engine));
    exit(1);
}

static void ask(quring_tx *tx, const char *sql, int64_t a, int64_t b) {
    quring_query query = {.tx = tx, .sql = sql, .params = QURING_PARAMS(quring_int64(a), quring_int64(b))};
    check(quring_submit(engine, &query, NULL), sql);
}

static void transfer(int64_t from, int64_t to, int64_t amount, uint64_t number) {
    quring_tx *tx;
    check(quring_tx_open(db, NULL, &tx), "open a transaction");
    ask(tx, "update account set balance = balance - $1 where id = $2", amount, from);
    ask(tx, "update account set balance = balance + $1 where id = $2", amount, to);
    check(quring_commit(tx, number, NULL), "commit");
    quring_tx_release(tx);
}

/* The outcome of each transfer is that of its COMMIT: the others have user_data 0. */
static void finish(const char *const what[]) {
    quring_done done[16];
    while (quring_pending(engine)) {
        check(quring_run(engine, 1, QURING_FOREVER), "run");
        for (int i = 0, count = quring_reap(engine, done, 16); i < count; i++) {
            if (done[i].user_data && done[i].status == QURING_OK)
                printf("%s: done\n", what[done[i].user_data]);
            else if (done[i].user_data)
                printf("%s: not done, SQLSTATE %s\n", what[done[i].user_data], done[i].error->sqlstate);
            quring_release(engine, done[i].id);
        }
    }
}

static void execute(const char *sql, bool shows) {
    quring_done done;
    check(quring_submit(engine, &(quring_query){.db = db, .sql = sql}, NULL), sql);
    while (quring_reap(engine, &done, 1) == 0)
        check(quring_run(engine, 1, QURING_FOREVER), "run");
    if (done.status != QURING_OK) {
        fprintf(stderr, "%s: %s\n", sql, done.error->message);
        exit(1);
    }
    for (uint64_t row = 0; shows && row < quring_row_count(done.result); row++) {
        int64_t id, balance;
        check(quring_get_int64(done.result, row, 0, &id), "id");
        check(quring_get_int64(done.result, row, 1, &balance), "balance");
        printf("account %" PRId64 " has %" PRId64 "\n", id, balance);
    }
    quring_release(engine, done.id);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s URL\n", argv[0]);
        return 2;
    }
    check(quring_engine_open(NULL, &engine), "open an engine");
    check(quring_db_open(engine, argv[1], NULL, &db), argv[1]);
    execute("drop table if exists account", false);
    execute("create table account (id bigint primary key, balance bigint not null check (balance >= 0))", false);
    execute("insert into account values (1, 100), (2, 0), (3, 50)", false);
    static const char *const what[] = {"", "30 from 1 to 2", "500 from 3 to 1", "20 from 1 to 3"};
    transfer(1, 2, 30, 1);
    finish(what);
    transfer(3, 1, 500, 2);
    finish(what);
    transfer(1, 3, 20, 3);
    finish(what);
    execute("select id, balance from account order by id", true);
    execute("drop table account", false);
    quring_engine_close(engine);
    return 0;
}
