/* SPDX-License-Identifier: MIT */
/* A query's slot: the limits that it is taken within, what a refusal leaves, and how it is given back. */
#include "lib/fake_backend.h"

static quring_engine *engine;
static struct fake_db *db;

static void begin(const quring_options *options) {
    engine = fake_engine_open(options);
    db = fake_open(engine, "fake:a", NULL);
}

static void setup(void) {
    begin(&(quring_options){.query_count = 3});
}

static void teardown(void) {
    fake_engine_close(engine);
}

TestSuite(engine_submit, .init = setup, .fini = teardown);

static void assert_message(const char *words) {
    cr_assert(strstr(engine->hub.message, words), "\"%s\" is not in: %s", words, engine->hub.message);
}

static void run(void) {
    cr_assert_geq(engine_run(engine, 0, 0), 0);
}

/* ---- Slots ---- */

Test(engine_submit, engine_submit_takes_query_count_queries_until_one_is_released) {
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(fake_ask(db, i), 0);
    cr_assert_eq(fake_ask(db, 3), QURING_EFULL, "all wait");
    assert_message("query_count: 3");
    run();
    cr_assert_eq(fake_ask(db, 3), QURING_EFULL, "all run");
    fake_end(db, 1, QURING_OK);
    cr_assert_eq(fake_ask(db, 3), QURING_EFULL, "one is done");
    quring_done done;
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    cr_assert_eq(fake_ask(db, 3), QURING_EFULL, "one is reaped");
    cr_assert_eq(engine_release(engine, done.id), 0);
    cr_assert_eq(fake_ask(db, 3), 0, "one is released");
    cr_assert_eq(engine->pending_count, 3);
}

Test(engine_submit, engine_release_takes_what_was_reaped_once) {
    quring_done done;
    fake_ask(db, 0);
    quring_id id = fake_id(0);
    cr_assert_eq(engine_release(engine, id), QURING_ENOTREADY, "it waits");
    run();
    cr_assert_eq(engine_release(engine, id), QURING_ENOTREADY, "it runs");
    fake_end(db, 0, QURING_OK);
    cr_assert_eq(engine_release(engine, id), QURING_ENOTREADY, "it is done");
    cr_assert_eq(engine_reap(engine, &done, 1), 1);
    cr_assert_eq(done.id, id);
    cr_assert_eq(engine_release(engine, id), 0);
    cr_assert_eq(engine_release(engine, id), QURING_ESTALE);
    fake_ask(db, 1);
    cr_assert_neq(fake_id(1), id, "its slot has another name");
    cr_assert_eq(engine_release(engine, id), QURING_ESTALE);
    cr_assert_eq(engine_release(engine, 0), QURING_ESTALE);
}

/* ---- Bytes ---- */

static int ask_text(const char *sql, const quring_param *params, uint32_t count) {
    return engine_submit(engine, &(quring_query){.db = &db->base, .sql = sql, .params = params, .param_count = count},
                         NULL);
}

Test(engine_submit, engine_submit_charges_bytes_until_the_release) {
    teardown();
    begin(&(quring_options){.query_count = 10, .inflight_bytes = 20});
    cr_assert_eq(fake_ask(db, 0), 0);
    cr_assert_eq(fake_ask(db, 1), 0);
    cr_assert_eq(engine->charged_bytes, 16);
    cr_assert_eq(fake_ask(db, 2), QURING_EFULL, "24 bytes are over 20");
    assert_message("inflight_bytes");
    run();
    fake_end(db, 0, QURING_OK);
    cr_assert_eq(fake_ask(db, 2), QURING_EFULL, "not released yet");
    fake_assert_text(fake_reaped(engine), "0 OK", "and released");
    cr_assert_eq(engine->charged_bytes, 8);
    cr_assert_eq(fake_ask(db, 2), 0);
    fake_end(db, 1, QURING_OK);
    engine_cancel(engine, fake_id(2));
    fake_assert_text(fake_reaped(engine), "1 OK, 2 CANCELLED", "all");
    cr_assert_eq(engine->charged_bytes, 0);
}

Test(engine_submit, engine_submit_counts_bytes_that_servers_have_not_read) {
    teardown();
    begin(&(quring_options){.inflight_bytes = 20});
    engine->hub.unsent_bytes = 12;
    cr_assert_eq(fake_ask(db, 0), 0, "20 are not over 20");
    cr_assert_eq(fake_ask(db, 1), QURING_EFULL);
    assert_message("12 of queries that were given up");
    engine->hub.unsent_bytes = 0;
    cr_assert_eq(fake_ask(db, 1), 0);
}

Test(engine_submit, engine_submit_charges_parameters) {
    const quring_param param = quring_text("0123456789");
    cr_assert_eq(ask_text("select $1", &param, 1), 0);
    cr_assert_geq(engine->charged_bytes, 9 + sizeof param + 10);
}

/* ---- Refusals ---- */

Test(engine_submit, engine_submit_leaves_nothing_of_what_it_refuses) {
    const quring_param
        bad = {.type = (quring_type)99},
        good = quring_int64(7),
        large = quring_text(
            "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789");
    const struct {
        const char *what;
        quring_query query;
        int error;
    } rows[] = {
        {"a NUL byte", {.sql = "select\0001", .sql_bytes = 8}, QURING_EINVAL},
        {"a text over inflight_bytes",
         {.sql = "select 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25"},
         QURING_ETOOBIG},
        {"parameters over inflight_bytes", {.sql = "select $1", .params = &large, .param_count = 1}, QURING_ETOOBIG},
        {"a parameter of no type", {.sql = "select $1", .params = &bad, .param_count = 1}, QURING_EINVAL},
        {"a transaction", {.sql = "begin"}, QURING_EUNSUPPORTED},
        {"a setting", {.sql = "set a = 1"}, QURING_EUNSUPPORTED},
        {"COPY", {.sql = "copy t from stdin"}, QURING_EUNSUPPORTED},
        {"LISTEN", {.sql = "listen a"}, QURING_EUNSUPPORTED},
        {"none of these", {.sql = "select $1", .params = &good, .param_count = 1}, 0},
    };
    teardown();
    begin(&(quring_options){.query_count = 2, .inflight_bytes = 80});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        quring_query query = rows[i].query;
        query.db = &db->base;
        int error = engine_submit(engine, &query, NULL);
        cr_assert_eq(error, rows[i].error, "%s: %d, %s", rows[i].what, error, engine->hub.message);
        uint32_t taken = !rows[i].error;
        cr_assert_eq(slots_taken(&engine->queries), taken, "%s", rows[i].what);
        cr_assert_eq(engine->pending_count, taken, "%s", rows[i].what);
        cr_assert_eq(engine->charged_bytes != 0, taken, "%s", rows[i].what);
        cr_assert_eq(db->base.queue.waiting_count, taken, "%s", rows[i].what);
        cr_assert_eq(db->base.counters.submitted_count, taken, "%s", rows[i].what);
    }
}

Test(engine_submit, engine_submit_refuses_where_all_is_over) {
    struct fake_db *other = fake_open(engine, "fake:b", NULL);
    other->close_ns = FAKE_MS;
    engine_db_close(&other->base);
    cr_assert_eq(fake_ask(other, 0), QURING_ESHUTDOWN);
    assert_message("the database handle was closed");
    quring_statement *statement = NULL;
    cr_assert_eq(engine_prepare(&other->base, "select 1", &statement), QURING_ESHUTDOWN);
    cr_assert_eq(fake_ask(db, 0), 0, "the other handle goes on");
    engine_shutdown(engine, 0);
    cr_assert_eq(fake_ask(db, 1), QURING_ESHUTDOWN);
    assert_message("the engine was shut down");
    quring_db *opened;
    cr_assert_eq(engine_db_open(engine, "fake:c", NULL, &opened), QURING_ESHUTDOWN);
}

/* ---- What a query is told to be ---- */

static const struct query *waiting(const struct fake_db *of) {
    return list_entry(of->base.queue.waiting.prev, struct query, link);
}

Test(engine_submit, engine_submit_takes_the_commit_mode_of_query_or_handle) {
    static const struct {
        bool exclusive;
        quring_commit_mode handle, query, expected;
    } rows[] = {
        {false, QURING_COMMIT_DEFAULT, QURING_COMMIT_DEFAULT, QURING_COMMIT_EACH},
        {false, QURING_COMMIT_DEFAULT, QURING_COMMIT_GROUP, QURING_COMMIT_GROUP},
        {false, QURING_COMMIT_GROUP, QURING_COMMIT_DEFAULT, QURING_COMMIT_GROUP},
        {false, QURING_COMMIT_GROUP, QURING_COMMIT_EACH, QURING_COMMIT_EACH},
        {true, QURING_COMMIT_DEFAULT, QURING_COMMIT_GROUP, QURING_COMMIT_EACH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const quring_db_options options = {.exclusive = rows[i].exclusive, .commit = rows[i].handle};
        struct fake_db *handle = fake_open(engine, "fake:b", &options);
        const quring_query query = {.db = &handle->base, .sql = "select 1", .commit = rows[i].query};
        cr_assert_eq(engine_submit(engine, &query, NULL), 0);
        cr_assert_eq(waiting(handle)->commit, rows[i].expected, "row %zu", i);
        teardown();
        setup();
    }
}

Test(engine_submit, engine_submit_takes_transactions_where_the_queue_is_bound) {
    struct fake_db *bound = fake_open(engine, "fake:b", &(quring_db_options){.exclusive = true});
    cr_assert_eq(engine_submit(engine, &(quring_query){.db = &bound->base, .sql = "begin"}, NULL), 0);
    cr_assert_eq(engine_submit(engine, &(quring_query){.db = &bound->base, .sql = "copy t to stdout"}, NULL),
                 QURING_EUNSUPPORTED);
}

Test(engine_submit, engine_prepare_gives_a_handle_that_queries_share) {
    quring_statement *statement = NULL;
    cr_assert_eq(engine_prepare(&db->base, "select 1", &statement), 0);
    cr_assert_eq(engine_submit(engine, &(quring_query){.db = &db->base, .statement = statement}, NULL), 0);
    cr_assert(waiting(db)->by_handle && waiting(db)->statement == statement);
    cr_assert_eq(statement->references, 2);
    cr_assert_eq(fake_ask(db, 1), 0);
    cr_assert(!waiting(db)->by_handle && waiting(db)->statement == statement);
    engine_shutdown(engine, 0);
    cr_assert_eq(statement->references, 1, "queries that ended hold it no more");
    statement_drop(statement);
}
