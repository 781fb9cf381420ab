/* SPDX-License-Identifier: MIT */
/* What quring.h says of wrong arguments, of limits, and of calls in an order that makes no sense. */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES = 4, INFLIGHT_BYTES = 1000 };

static quring_engine *engine;
static quring_db *db;

static void begin(void) {
    quring_options options = {.query_count = QUERIES, .inflight_bytes = INFLIGHT_BYTES};
    cr_assert_eq(quring_engine_open(&options, &engine), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
}

static void end(void) {
    quring_engine_close(engine);
}

TestSuite(api_contract, .init = begin, .fini = end);

/* A failure whose words must not be those of the one before. */
static void expect(int error, int expected, const char *words) {
    cr_assert_eq(error, expected, "%s: %s", quring_strerror(error), quring_errmsg(engine));
    cr_assert(strstr(quring_errmsg(engine), words), "\"%s\" is not in \"%s\"", words, quring_errmsg(engine));
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "x\0y", .sql_bytes = 3}, NULL), QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(engine), "NUL"));
}

static int submit(const char *sql) {
    return quring_submit(engine, &(quring_query){.db = db, .sql = sql}, NULL);
}

static quring_id finish_one(void) {
    quring_done done;
    while (quring_reap(engine, &done, 1) == 0)
        cr_assert_geq(quring_run(engine, 1, QURING_FOREVER), 0);
    return done.id;
}

/* ---- NULL ---- */

Test(api_contract, no_engine) {
    quring_done done;
    quring_stats stats;
    quring_ring_info info;
    quring_statement *statement;
    cr_assert_eq(quring_engine_open(NULL, NULL), QURING_EINVAL);
    cr_assert(*quring_errmsg(NULL));
    cr_assert_eq(quring_shutdown(NULL, 0), QURING_EINVAL);
    cr_assert_eq(quring_run(NULL, 1, QURING_FOREVER), QURING_EINVAL);
    cr_assert_eq(quring_pending(NULL), 0);
    cr_assert_eq(quring_wake(NULL), QURING_EINVAL);
    cr_assert_eq(quring_fd(NULL), QURING_EINVAL);
    cr_assert_eq(quring_timeout_ns(NULL), QURING_FOREVER);
    cr_assert_eq(quring_db_open(NULL, "sqlite://", NULL, &db), QURING_EINVAL);
    cr_assert_eq(quring_prepare(NULL, "select 1", &statement), QURING_EINVAL);
    cr_assert_eq(quring_submit(NULL, &(quring_query){.db = db, .sql = "select 1"}, NULL), QURING_EINVAL);
    cr_assert_eq(quring_cancel(NULL, 1), QURING_EINVAL);
    cr_assert_eq(quring_reap(NULL, &done, 1), QURING_EINVAL);
    cr_assert_eq(quring_release(NULL, 1), QURING_EINVAL);
    cr_assert_eq(quring_submit_batch(NULL, NULL, 0, QURING_BATCH_INDEPENDENT, NULL), QURING_EINVAL);
    cr_assert_eq(quring_release_batch(NULL, &done, 1), QURING_EINVAL);
    quring_stats_get(NULL, &stats);
    cr_assert_eq(stats.submitted_count, 0);
    quring_ring_info_get(NULL, &info);
    cr_assert_str_eq(info.setup, "");
    cr_assert_str_eq(quring_db_backend(NULL), "");
    quring_engine_close(NULL);
    quring_db_close(NULL);
    quring_statement_release(NULL);
    quring_stats_get(engine, NULL);
    quring_ring_info_get(engine, NULL);
}

Test(api_contract, no_other_argument) {
    quring_statement *statement;
    quring_db *other;
    expect(quring_db_open(engine, NULL, NULL, &other), QURING_EINVAL, "url");
    expect(quring_db_open(engine, "sqlite://", NULL, NULL), QURING_EINVAL, "db");
    expect(quring_prepare(db, NULL, &statement), QURING_EINVAL, "sql");
    expect(quring_prepare(db, "select 1", NULL), QURING_EINVAL, "statement");
    expect(quring_submit(engine, NULL, NULL), QURING_EINVAL, "query");
    expect(quring_submit(engine, &(quring_query){.sql = "select 1"}, NULL), QURING_EINVAL, "db");
    expect(submit(NULL), QURING_EINVAL, "sql");
    expect(quring_submit(engine, &(quring_query){.db = db, .sql = "select $1", .param_count = 1}, NULL), QURING_EINVAL,
           "params");
    expect(quring_reap(engine, NULL, 1), QURING_EINVAL, "done");
    cr_assert_eq(quring_reap(engine, NULL, 0), 0);
}

/* ---- Limits ---- */

Test(api_contract, a_full_engine_names_the_limit) {
    char sql[600];
    memset(sql, ' ', sizeof sql);
    memcpy(sql, "select 1", 8);
    sql[sizeof sql - 1] = 0;
    cr_assert_eq(submit(sql), 0);
    sql[7] = '2';
    expect(submit(sql), QURING_EFULL, "inflight_bytes");
    for (int i = 1; i < QUERIES; i++)
        cr_assert_eq(submit("select 1"), 0);
    cr_assert_eq(submit("select 1"), QURING_EFULL);
    cr_assert(strstr(quring_errmsg(engine), "query_count: 4"), "%s", quring_errmsg(engine));
    cr_assert_eq(quring_release(engine, finish_one()), 0);
    cr_assert_eq(submit("select 1"), 0);
}

Test(api_contract, what_is_over_a_limit_by_itself) {
    char *sql = malloc(INFLIGHT_BYTES + 2);
    memset(sql, ' ', INFLIGHT_BYTES + 1);
    sql[INFLIGHT_BYTES + 1] = 0;
    quring_statement *statement;
    expect(submit(sql), QURING_ETOOBIG, "1001");
    expect(quring_prepare(db, sql, &statement), QURING_ETOOBIG, "1001");
    quring_query query = {.db = db, .sql = "select $1", .params = QURING_PARAMS(quring_text(sql))};
    expect(quring_submit(engine, &query, NULL), QURING_ETOOBIG, "inflight_bytes");
    free(sql);
}

/* The table of where rows begin is what fills up when they are short. */
Test(api_contract, many_short_rows_are_over_result_bytes) {
    quring_db_options options = {.result_bytes = 64 << 10};
    quring_db *small;
    quring_done done;
    cr_assert_eq(quring_db_open(engine, "sqlite://", &options, &small), 0);
    quring_query query = {.db = small,
                          .sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 8900) "
                                 "select null from n"}; /* of 7 bytes each */
    cr_assert_eq(quring_submit(engine, &query, NULL), 0);
    cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 1);
    cr_assert_eq(quring_reap(engine, &done, 1), 1);
    cr_assert_eq(done.status, QURING_LIMIT, "%s: %s", quring_status_name(done.status), done.error->message);
    cr_assert_str_eq(done.error->sqlstate, "54000");
    cr_assert(strstr(done.error->message, "result_bytes"));
}

Test(api_contract, a_wait_that_gathers_ends_with_enough) {
    quring_engine *gathers;
    quring_db *memory;
    cr_assert_eq(quring_engine_open(&(quring_options){.gather_ns = 1000000}, &gathers), 0);
    cr_assert_eq(quring_db_open(gathers, "sqlite://", NULL, &memory), 0);
    for (int rest = 100; rest > 0; rest -= 50) {
        for (int i = 0; i < 50; i++)
            cr_assert_eq(quring_submit(gathers, &(quring_query){.db = memory, .sql = "select 1"}, NULL), 0);
        cr_assert_geq(quring_run(gathers, 20, QURING_FOREVER), 20);
        cr_assert_eq(quring_run(gathers, 1000, QURING_FOREVER), 50, "all that there are");
        quring_done done[50];
        cr_assert_eq(quring_reap(gathers, done, 50), 50);
        cr_assert_eq(quring_release_batch(gathers, done, 50), 50);
    }
    cr_assert_eq(quring_run(gathers, 2, 5000000), 0, "with nothing to wait for the time ends it");
    quring_engine_close(gathers);
}

Test(api_contract, options_out_of_range) {
    quring_engine *other;
    quring_db *another;
    quring_options options = {.query_count = UINT32_MAX};
    cr_assert_eq(quring_engine_open(&options, &other), QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(NULL), "query_count 4294967295"), "%s", quring_errmsg(NULL));
    cr_assert_eq(quring_engine_open(&(quring_options){.gather_ns = 100000001}, &other), QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(NULL), "gather_ns 100000001"), "%s", quring_errmsg(NULL));
    cr_assert_eq(quring_engine_open(NULL, NULL), QURING_EINVAL);
    cr_assert_not(strstr(quring_errmsg(NULL), "query_count"));
    quring_db_options depth = {.depth = 1000000};
    expect(quring_db_open(engine, "sqlite://", &depth, &another), QURING_EINVAL, "options.depth is 1000000");
    quring_db_options result = {.result_bytes = UINT64_MAX};
    expect(quring_db_open(engine, "sqlite://", &result, &another), QURING_EINVAL, "result_bytes");
    quring_db_options commit = {.commit = (quring_commit_mode)4};
    expect(quring_db_open(engine, "sqlite://", &commit, &another), QURING_EINVAL, "commit");
}

Test(api_contract, options_that_contradict_each_other) {
    static const char *const urls[] = {"sqlite://", "host=nowhere.invalid dbname=x"};
    quring_db *other;
    for (int i = 0; i < 2; i++) {
        quring_db_options many = {.exclusive = true, .connection_count = 4};
        expect(quring_db_open(engine, urls[i], &many, &other), QURING_EINVAL, "options.connection_count 4");
        cr_assert_eq(quring_db_open(engine, urls[i], &many, &other), QURING_EINVAL);
        cr_assert(strstr(quring_errmsg(engine), "options.exclusive"));
        quring_db_options group = {.exclusive = true, .commit = QURING_COMMIT_GROUP};
        expect(quring_db_open(engine, urls[i], &group, &other), QURING_EINVAL, "GROUP");
        quring_db_options fine = {.exclusive = true, .connection_count = 1, .commit = QURING_COMMIT_EACH};
        cr_assert_eq(quring_db_open(engine, urls[i], &fine, &other), 0);
    }
}

/* ---- Ids ---- */

Test(api_contract, ids_that_name_nothing_or_not_yet) {
    quring_id id;
    quring_query query = {.db = db, .sql = "select 1"};
    expect(quring_release(engine, 0), QURING_ESTALE, "id");
    expect(quring_cancel(engine, UINT64_MAX), QURING_ESTALE, "id");
    cr_assert_eq(quring_submit(engine, &query, &id), 0);
    expect(quring_release(engine, id), QURING_ENOTREADY, "reaped");
    cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 1);
    expect(quring_release(engine, id), QURING_ENOTREADY, "reaped");
    cr_assert_eq(quring_cancel(engine, id), 0, "it has ended, and stays as it did");
    cr_assert_eq(finish_one(), id);
    cr_assert_eq(quring_cancel(engine, id), 0);
    cr_assert_eq(quring_release(engine, id), 0);
    expect(quring_release(engine, id), QURING_ESTALE, "id");
    expect(quring_cancel(engine, id), QURING_ESTALE, "id");
}

/* ---- Texts ---- */

static void expect_utf8(const char *text, const char *with) {
    cr_assert(strstr(text, with), "\"%s\" is not in \"%s\"", with, text);
    cr_assert_not(strchr(text, '\xff'));
}

Test(api_contract, texts_are_utf8_whatever_came) {
    quring_db *other;
    quring_done done;
    cr_assert_eq(quring_db_open(engine, "nowhere://\xff", NULL, &other), QURING_EURL);
    cr_assert_not(strchr(quring_errmsg(engine), '\xff'));
    cr_assert_lt(quring_db_open(engine, "sqlite:///a?\xff=1", NULL, &other), 0);
    cr_assert_not(strchr(quring_errmsg(engine), '\xff'));
    cr_assert_eq(submit("select x\xff from t\xff"), 0);
    cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 1);
    cr_assert_eq(quring_reap(engine, &done, 1), 1);
    cr_assert_eq(done.status, QURING_SERVER_ERROR);
    expect_utf8(done.error->message, "?");
    cr_assert_eq(quring_release(engine, done.id), 0);

    cr_assert_eq(submit("select 'v\xff' as \"n\xff\""), 0);
    cr_assert_eq(quring_run(engine, 1, QURING_FOREVER), 1);
    cr_assert_eq(quring_reap(engine, &done, 1), 1);
    cr_assert_str_eq(quring_column_name(done.result, 0), "n?");
    int64_t number;
    cr_assert_eq(quring_get_int64(done.result, 0, 0, &number), QURING_ETYPE);
    expect_utf8(quring_result_error(done.result), "v?");
    cr_assert_eq(quring_release(engine, done.id), 0);
}

/* ---- Transactions ---- */

Test(api_contract, a_token_needs_a_table) {
    static const struct {
        quring_tx_options options;
        const char *says;
    } rows[] = {{{.resolve = QURING_RESOLVE_TOKEN}, "token_table"},
                {{.token_table = "commits"}, "token_table"},
                {{.resolve = QURING_RESOLVE_XID, .token_table = "commits"}, "token_table"},
                {{.resolve = QURING_RESOLVE_TOKEN, .token_table = ""}, "no name"},
                {{.resolve = QURING_RESOLVE_TOKEN, .token_table = "commits; drop table t"}, "no name"},
                {{.resolve = (quring_resolve)7, .token_table = "commits"}, "quring_resolve"}};
    quring_tx *tx = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(quring_tx_open(db, &rows[i].options, &tx), QURING_EINVAL, rows[i].says);
    expect(quring_tx_open(db, &(quring_tx_options){.resolve = QURING_RESOLVE_XID}, &tx), QURING_EUNSUPPORTED, "SQLite");
    cr_assert_null(tx);
    cr_assert_str_eq(quring_tx_token(NULL), "");
    cr_assert_eq(quring_tx_open(db, NULL, &tx), 0);
    cr_assert_str_eq(quring_tx_token(tx), "");
    quring_tx_release(tx);
    char table[] = "commits", token[37];
    cr_assert_eq(quring_tx_open(db, &(quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = table}, &tx),
                 0);
    memset(table, 0, sizeof table);
    snprintf(token, sizeof token, "%s", quring_tx_token(tx));
    cr_assert_eq(strlen(token), 36);
    quring_db_close(db);
    cr_assert_eq(quring_run(engine, 1, 1000000), 0);
    cr_assert_str_eq(quring_tx_token(tx), token);
    quring_tx_release(tx);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
}

/* ---- After the end ---- */

Test(api_contract, nothing_begins_after_shutdown) {
    quring_statement *before, *after = NULL;
    quring_db *other;
    cr_assert_eq(quring_prepare(db, "select 1", &before), 0);
    cr_assert_eq(submit("select 1"), 0);
    cr_assert_eq(quring_shutdown(engine, 0), 1);
    cr_assert_eq(submit("select 1"), QURING_ESHUTDOWN);
    cr_assert(strstr(quring_errmsg(engine), "shut down"));
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .statement = before}, NULL), QURING_ESHUTDOWN);
    cr_assert_eq(quring_prepare(db, "select 1", &after), QURING_ESHUTDOWN);
    cr_assert_eq(quring_prepare(db, "select 2", &after), QURING_ESHUTDOWN);
    cr_assert(after == NULL && strstr(quring_errmsg(engine), "shut down"));
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &other), QURING_ESHUTDOWN);
    cr_assert_eq(quring_shutdown(engine, 0), 1, "again: what waits to be reaped still does");
    cr_assert_eq(quring_release(engine, finish_one()), 0);
    cr_assert_eq(quring_shutdown(engine, QURING_FOREVER), 0);
    quring_statement_release(before);
    quring_db_close(db);
    cr_assert_eq(quring_run(engine, 1, 1000000), 0);
}

Test(api_contract, a_statement_may_outlive_its_handle_and_its_engine) {
    quring_statement *used, *unused;
    cr_assert_eq(quring_prepare(db, "select 1", &used), 0);
    cr_assert_eq(quring_prepare(db, "select 2", &unused), 0);
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .statement = used}, NULL), 0);
    cr_assert_eq(quring_release(engine, finish_one()), 0);
    quring_db_close(db);
    cr_assert_eq(quring_run(engine, 1, 1000000), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
    expect(quring_submit(engine, &(quring_query){.db = db, .statement = used}, NULL), QURING_EINVAL, "another");
    quring_engine_close(engine);
    engine = NULL;
    quring_statement_release(used);
    quring_statement_release(unused);
}
