/* SPDX-License-Identifier: MIT */
/* Many queries in one call: independent ones up to the first that is refused, ATOMIC ones all or none. */
#include "lib/fake_backend.h"

#include "core/batch.h"

enum { DEPTH = 4 };

#define ONE "select 1"

static quring_engine *engine;
static struct fake_db *db;

static void begin(const quring_options *options) {
    engine = fake_engine_open(options);
    db = fake_open(engine, "fake:a", &(quring_db_options){.depth = DEPTH});
}

static void setup(void) {
    begin(&(quring_options){.query_count = 6});
}

static void teardown(void) {
    fake_engine_close(engine);
}

TestSuite(api_batch, .init = setup, .fini = teardown);

static void fill(quring_query *queries, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        queries[i] = (quring_query){.db = &db->base, .sql = ONE, .user_data = i};
}

static int submit_ones(uint32_t count, quring_batch_mode mode, quring_id *ids) {
    quring_query queries[16];
    fill(queries, count);
    return quring_submit_batch(engine, queries, count, mode, ids);
}

static void turn(void) {
    cr_assert_geq(engine_run(engine, 0, 0), 0);
}

/* Nothing is left of a call that was refused. */
static void assert_untouched(uint32_t taken, int line) {
    cr_assert_eq(slots_taken(&engine->queries), taken, "line %d", line);
    cr_assert_eq(engine->pending_count, taken, "line %d", line);
    cr_assert_eq(engine->charged_bytes, taken * strlen(ONE), "line %d", line);
    cr_assert_eq(db->base.queue.waiting_count, taken, "line %d", line);
    cr_assert_eq(db->base.counters.submitted_count, taken, "line %d", line);
    cr_assert_null(heap_first(&engine->deadlines), "line %d", line);
}

static void assert_message(const char *words) {
    cr_assert(strstr(quring_errmsg(engine), words), "\"%s\" is not in: %s", words, quring_errmsg(engine));
}

/* "0 OK, 1 SKIPPED by 2": all that is done, by user_data, with the query that is named as the reason. */
static const char *reaped(const quring_id *ids, uint32_t id_count) {
    static char text[1000];
    quring_done done[16];
    int count = quring_reap(engine, done, 16);
    text[0] = 0;
    for (int i = 0; i < count; i++) {
        size_t length = strlen(text);
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%u %s", length ? ", " : "",
                                   (unsigned)done[i].user_data, quring_status_name(done[i].status));
        for (uint32_t at = 0; at < id_count; at++)
            if (done[i].failed_id == ids[at])
                snprintf(text + length, sizeof text - length, " by %u", at);
        cr_assert(done[i].status == QURING_SKIPPED || !done[i].failed_id);
        cr_assert(done[i].status != QURING_SKIPPED || !done[i].sent);
    }
    cr_assert_eq(quring_release_batch(engine, done, (uint32_t)count), count);
    return text;
}

/* ---- Independent ---- */

Test(api_batch, independent_queries_are_taken_until_one_is_refused) {
    quring_id ids[8] = {0};
    cr_assert_eq(submit_ones(4, QURING_BATCH_INDEPENDENT, ids), 4);
    cr_assert_eq(submit_ones(4, QURING_BATCH_INDEPENDENT, ids + 4), 2, "query_count is 6");
    assert_message("query_count: 6");
    cr_assert_eq(submit_ones(1, QURING_BATCH_INDEPENDENT, NULL), QURING_EFULL);
    cr_assert_eq(submit_ones(0, QURING_BATCH_INDEPENDENT, NULL), 0);
    cr_assert_eq(ids[6], 0);
    turn();
    for (uint32_t i = 0; i < 4; i++)
        fake_end(db, i, QURING_OK);
    fake_end(db, 0, QURING_OK);
    fake_end(db, 1, QURING_SERVER_ERROR);
    fake_assert_text(reaped(ids, 6), "0 OK, 1 OK, 2 OK, 3 OK, 0 OK, 1 SERVER_ERROR", "each by itself");
    cr_assert_eq(submit_ones(6, QURING_BATCH_INDEPENDENT, NULL), 6);
}

/* Of one text at one place the statement is looked up once, and a different one between them is not taken for it. */
Test(api_batch, neighbours_share_their_statement) {
    static const char two[] = "select 2, 2";
    quring_query queries[5];
    fill(queries, 5);
    queries[2].sql = two;
    queries[2].sql_bytes = 8; /* "select 2" */
    queries[3].sql = two;
    cr_assert_eq(quring_submit_batch(engine, queries, 5, QURING_BATCH_INDEPENDENT, NULL), 5);
    const char *const expected[] = {ONE, ONE, "select 2", "select 2, 2", ONE};
    int i = 0;
    list_for_each(node, &db->base.queue.waiting) {
        const struct quring_statement *statement = list_entry(node, struct query, link)->statement;
        cr_assert_str_eq(statement->sql, expected[i++]);
        cr_assert_eq(statement->references, strcmp(statement->sql, ONE) == 0 ? 3 : 1);
    }
}

Test(api_batch, what_a_program_gets_wrong_is_refused_where_it_stands) {
    struct fake_db *exclusive = fake_open(engine, "fake:b", &(quring_db_options){.exclusive = true, .depth = DEPTH});
    quring_query queries[3];
    fill(queries, 3);
    queries[1].sql = "begin";
    cr_assert_eq(quring_submit_batch(engine, queries, 3, QURING_BATCH_INDEPENDENT, NULL), 1);
    assert_message("options.exclusive");
    queries[0].db = NULL;
    cr_assert_eq(quring_submit_batch(engine, queries, 3, QURING_BATCH_INDEPENDENT, NULL), QURING_EINVAL);
    cr_assert_eq(quring_submit_batch(engine, NULL, 3, QURING_BATCH_INDEPENDENT, NULL), QURING_EINVAL);
    cr_assert_eq(quring_submit_batch(engine, queries, 3, (quring_batch_mode)2, NULL), QURING_EINVAL);
    cr_assert_eq(quring_submit_batch(NULL, queries, 3, QURING_BATCH_ATOMIC, NULL), QURING_EINVAL);
    queries[0].db = queries[1].db = &exclusive->base;
    cr_assert_eq(quring_submit_batch(engine, queries, 2, QURING_BATCH_INDEPENDENT, NULL), 2);
}

/* A program that was compiled with an older header has smaller structs, in arrays too. */
Test(api_batch, structs_of_another_size_are_read_at_their_own_stride) {
    enum { OLD_BYTES = offsetof(quring_query, read_only) };
    char old[3][OLD_BYTES] = {{0}}, newer[2][sizeof(quring_query) + 8] = {{0}};
    for (unsigned i = 0; i < 3; i++) {
        quring_query query = {.db = &db->base, .sql = ONE, .user_data = i};
        memcpy(old[i], &query, OLD_BYTES);
    }
    quring_id ids[3];
    cr_assert_eq(
        quring_submit_batch_sized(engine, (const quring_query *)old, sizeof old[0], 3, QURING_BATCH_ATOMIC, ids), 3);
    turn();
    for (uint32_t i = 0; i < 3; i++)
        fake_end(db, i, QURING_OK);
    fake_assert_text(reaped(ids, 3), "0 OK, 1 OK, 2 OK", "in order");
    memcpy(newer[0], old[0], OLD_BYTES);
    memcpy(newer[1], old[1], OLD_BYTES);
    newer[1][sizeof(quring_query)] = 1;
    cr_assert_eq(quring_submit_batch_sized(engine, (const quring_query *)newer, sizeof newer[0], 2,
                                           QURING_BATCH_INDEPENDENT, NULL),
                 1, "a member of the second is set that this version does not know");
}

Test(api_batch, quring_release_batch_stops_at_what_is_not_to_be_released) {
    quring_done done[3];
    quring_id ids[3];
    cr_assert_eq(submit_ones(3, QURING_BATCH_INDEPENDENT, ids), 3);
    turn();
    fake_end(db, 0, QURING_OK);
    fake_end(db, 2, QURING_OK);
    cr_assert_eq(quring_reap(engine, done, 3), 2);
    done[2] = (quring_done){.id = ids[1]};
    cr_assert_eq(quring_release_batch(engine, done, 3), 2);
    assert_message("not reaped");
    cr_assert_eq(quring_release_batch(engine, done + 2, 1), QURING_ENOTREADY);
    cr_assert_eq(quring_release_batch(engine, done, 1), QURING_ESTALE);
    cr_assert_eq(quring_release_batch(engine, done, 0), 0);
    cr_assert_eq(quring_release_batch(engine, NULL, 1), QURING_EINVAL);
}

Test(api_batch, queries_of_transactions_go_to_them) {
    quring_tx *tx, *other;
    quring_id ids[6] = {0};
    db->place_count = 2;
    cr_assert_eq(quring_tx_open(&db->base, NULL, &tx), 0);
    cr_assert_eq(quring_tx_open(&db->base, NULL, &other), 0);
    const quring_query queries[] = {{.db = &db->base, .sql = ONE, .user_data = 1},
                                    {.tx = tx, .sql = ONE, .user_data = 2},
                                    {.tx = other, .sql = ONE, .user_data = 3},
                                    {.tx = tx, .sql = "commit", .user_data = 4},
                                    {.tx = tx, .sql = ONE, .user_data = 5}};
    cr_assert_eq(quring_submit_batch(engine, queries, 5, QURING_BATCH_INDEPENDENT, ids), 4);
    assert_message("was submitted");
    cr_assert(ids[0] && ids[1] && ids[2] && ids[3] && !ids[4]);
    cr_assert_eq(quring_submit_batch(engine, &queries[4], 1, QURING_BATCH_INDEPENDENT, NULL), QURING_EINVAL);
    cr_assert_eq(quring_submit_batch(engine, &queries[2], 1, QURING_BATCH_ATOMIC, NULL), QURING_EINVAL);
    assert_message("no ATOMIC batch");
    turn();
    fake_assert_text(fake_log(), "begin, send 2, send 4, begin, send 3", "COMMIT goes with the first");
    for (uint32_t i = 1; i < 5; i++)
        fake_end(db, i, QURING_OK);
    fake_assert_text(reaped(ids, 4), "1 OK, 2 OK, 3 OK, 4 OK", "all");
    quring_tx_release(tx);
    quring_tx_release(other);
}

/* ---- ATOMIC ---- */

Test(api_batch, an_atomic_batch_is_one_unit) {
    quring_id ids[3];
    cr_assert_eq(submit_ones(1, QURING_BATCH_INDEPENDENT, NULL), 1);
    cr_assert_eq(submit_ones(3, QURING_BATCH_ATOMIC, ids), 3);
    cr_assert_eq(db->base.queue.unit_waiting_count, 3);
    (void)queue_take(&db->base.queue);
    cr_assert_eq(queue_unit_count(&db->base.queue), 3);
    for (int i = 0; i < 3; i++) {
        const struct query *query = slots_get(&engine->queries, ids[i]);
        cr_assert(query && query->batch && query->user_data == (uint64_t)i);
        cr_assert_eq(query->commit, QURING_COMMIT_GROUP);
    }
    cr_assert_eq(submit_ones(0, QURING_BATCH_ATOMIC, NULL), 0);
}

Test(api_batch, an_atomic_batch_that_is_refused_leaves_nothing) {
    struct fake_db *other = fake_open(engine, "fake:b", &(quring_db_options){.depth = DEPTH});
    struct fake_db *exclusive = fake_open(engine, "fake:c", &(quring_db_options){.exclusive = true, .depth = DEPTH});
    const struct {
        const char *what;
        quring_query last;
        uint32_t count;
        int error;
        const char *words;
    } rows[] = {
        {"more than query_count", {.db = &db->base, .sql = ONE}, 7, QURING_ETOOBIG, "query_count is 6"},
        {"not groupable", {.db = &db->base, .sql = "create table t (a int)"}, 3, QURING_EUNSUPPORTED, "quring_tx_open"},
        {"locks", {.db = &db->base, .sql = "select 1 for update"}, 3, QURING_EUNSUPPORTED, "query 3 of"},
        {"two databases", {.db = &other->base, .sql = ONE}, 2, QURING_EINVAL, "several databases"},
        {"an exclusive handle", {.db = &exclusive->base, .sql = ONE}, 1, QURING_EUNSUPPORTED, "exclusive"},
        {"an order key", {.db = &db->base, .sql = ONE, .order_key = 7}, 2, QURING_EINVAL, "order_key"},
        {"no SQL", {.db = &db->base}, 2, QURING_EINVAL, "either sql or"},
        {"a NUL byte", {.db = &db->base, .sql = "\0", .sql_bytes = 1}, 4, QURING_EINVAL, "NUL"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        quring_query queries[16];
        fill(queries, rows[i].count);
        queries[0].timeout_ns = FAKE_MS;
        queries[rows[i].count - 1] = rows[i].last;
        cr_assert_eq(quring_submit_batch(engine, queries, rows[i].count, QURING_BATCH_ATOMIC, NULL), rows[i].error,
                     "%s: %s", rows[i].what, quring_errmsg(engine));
        assert_message(rows[i].words);
        assert_untouched(0, __LINE__);
    }
    cr_assert_eq(submit_ones(3, QURING_BATCH_INDEPENDENT, NULL), 3);
    cr_assert_eq(submit_ones(4, QURING_BATCH_ATOMIC, NULL), QURING_EFULL, "three slots are left");
    assert_untouched(3, __LINE__);
    cr_assert_eq(submit_ones(3, QURING_BATCH_ATOMIC, NULL), 3);
}

Test(api_batch, bytes_that_never_fit_are_too_big) {
    teardown();
    begin(&(quring_options){.inflight_bytes = 20});
    cr_assert_eq(submit_ones(3, QURING_BATCH_ATOMIC, NULL), QURING_ETOOBIG, "24 bytes");
    assert_untouched(0, __LINE__);
    cr_assert_eq(submit_ones(1, QURING_BATCH_ATOMIC, NULL), 1);
    cr_assert_eq(submit_ones(2, QURING_BATCH_ATOMIC, NULL), QURING_EFULL, "16 bytes fit later");
    assert_untouched(1, __LINE__);
}

static const char *ends_of_waiting(uint32_t given_up, uint64_t timeout_ns) {
    quring_id ids[3];
    quring_query queries[3];
    fill(queries, 3);
    queries[given_up].timeout_ns = timeout_ns;
    db->depth = 0; /* nothing is admitted */
    cr_assert_eq(submit_ones(1, QURING_BATCH_ATOMIC, NULL), 1);
    cr_assert_eq(quring_submit_batch(engine, queries, 3, QURING_BATCH_ATOMIC, ids), 3);
    cr_assert_eq(submit_ones(1, QURING_BATCH_ATOMIC, NULL), 1);
    if (timeout_ns)
        cr_assert_geq(engine_run(engine, 3, 10 * FAKE_MS), 0);
    else
        cr_assert_eq(quring_cancel(engine, ids[given_up]), 0);
    cr_assert_eq(db->base.queue.waiting_count, 2, "its neighbours wait on");
    return reaped(ids, 3);
}

Test(api_batch, one_that_is_given_up_before_it_was_sent_ends_all) {
    fake_assert_text(ends_of_waiting(0, 0), "0 CANCELLED, 1 SKIPPED by 0, 2 SKIPPED by 0", "the first");
    teardown();
    setup();
    fake_assert_text(ends_of_waiting(2, 0), "0 SKIPPED by 2, 1 SKIPPED by 2, 2 CANCELLED", "the last");
    teardown();
    setup();
    fake_assert_text(ends_of_waiting(1, FAKE_MS), "0 SKIPPED by 1, 1 TIMEOUT, 2 SKIPPED by 1", "a timeout");
}

Test(api_batch, a_skipped_query_quotes_the_one_that_failed) {
    quring_id ids[2];
    quring_done done[2];
    cr_assert_eq(submit_ones(2, QURING_BATCH_ATOMIC, ids), 2);
    cr_assert_eq(quring_cancel(engine, ids[1]), 0);
    cr_assert_eq(quring_reap(engine, done, 2), 2);
    cr_assert_eq(done[0].status, QURING_SKIPPED);
    cr_assert_str_eq(done[0].error->sqlstate, "57014");
    cr_assert_str_eq(done[0].error->message,
                     "skipped, because query 2 of its batch failed with 57014: cancelled before it was sent");
    cr_assert(!done[0].sent && !done[1].sent);
    cr_assert_eq(quring_release_batch(engine, done, 2), 2);
}

Test(api_batch, shutdown_ends_each_of_them) {
    quring_id ids[3];
    cr_assert_eq(submit_ones(3, QURING_BATCH_ATOMIC, ids), 3);
    engine_shutdown(engine, 0);
    fake_assert_text(reaped(ids, 3), "0 SHUTDOWN, 1 SHUTDOWN, 2 SHUTDOWN", "all");
}

/* The same memory serves batch after batch. */
Test(api_batch, a_batch_is_used_again) {
    struct batch *used = NULL;
    for (int round = 0; round < 5; round++) {
        quring_id ids[3];
        cr_assert_eq(submit_ones(3, QURING_BATCH_ATOMIC, ids), 3);
        struct batch *batch = ((struct query *)slots_get(&engine->queries, ids[0]))->batch;
        cr_assert(!used || batch == used);
        used = batch;
        turn();
        for (uint32_t i = 0; i < 3; i++)
            fake_end(db, i, QURING_OK);
        cr_assert_eq(engine->hub.batches, batch);
        fake_assert_text(reaped(ids, 3), "0 OK, 1 OK, 2 OK", "round");
    }
}

/* ---- Long ones ---- */

/* Its members wait in the queue of a transaction that nobody has a handle of. */
static void submit_long(quring_id ids[6]) {
    db->place_count = 0; /* nothing is sent */
    cr_assert_eq(submit_ones(6, QURING_BATCH_ATOMIC, ids), 6);
    const struct quring_tx *tx = ((struct query *)slots_get(&engine->queries, ids[0]))->queue->tx;
    cr_assert(tx && tx->atomic && tx->released && tx->state == TX_WAITING);
    cr_assert_eq(tx->queue.waiting_count, 6);
    cr_assert_eq(slots_taken(&engine->queries), 6, "its end needs no slot");
    for (uint32_t i = 0; i < 6; i++) {
        const struct query *query = slots_get(&engine->queries, ids[i]);
        cr_assert(query->queue == &tx->queue && query->batch == tx->batch);
        cr_assert_eq(query->tx_position.number, i + 1);
    }
    turn();
}

static void assert_gone(void) {
    cr_assert(list_empty(&db->base.txs));
    cr_assert(!list_empty(&engine->hub.tx_over));
    cr_assert_not_null(engine->hub.batches);
    cr_assert_eq(db->base.waiting_count, 0);
}

Test(api_batch, a_long_one_is_a_transaction_where_its_backend_parts_it) {
    quring_id ids[6];
    quring_done done[6];
    submit_long(ids);
    cr_assert_eq(quring_cancel(engine, ids[2]), 0);
    cr_assert_eq(quring_reap(engine, done, 6), 6);
    cr_assert_eq(done[0].status, QURING_CANCELLED);
    for (int i = 1; i < 6; i++) {
        cr_assert_eq(done[i].status, QURING_SKIPPED);
        cr_assert_eq(done[i].failed_id, ids[2]);
        cr_assert_str_eq(done[i].error->message,
                         "skipped, because query 3 of its batch failed with 57014: cancelled before it was sent");
    }
    cr_assert_eq(quring_release_batch(engine, done, 6), 6);
    assert_gone();
    submit_long(ids);
    engine_shutdown(engine, 0);
    fake_assert_text(reaped(ids, 6), "0 SHUTDOWN, 1 SHUTDOWN, 2 SHUTDOWN, 3 SHUTDOWN, 4 SHUTDOWN, 5 SHUTDOWN", "all");
}

Test(api_batch, a_timeout_while_a_long_one_waits_for_its_place_ends_it) {
    quring_query queries[6];
    quring_id ids[6];
    db->place_count = 0;
    fill(queries, 6);
    queries[5].timeout_ns = FAKE_MS;
    cr_assert_eq(quring_submit_batch(engine, queries, 6, QURING_BATCH_ATOMIC, ids), 6);
    cr_assert_geq(engine_run(engine, 6, 10 * FAKE_MS), 0);
    fake_assert_text(reaped(ids, 6),
                     "5 TIMEOUT, 0 SKIPPED by 5, 1 SKIPPED by 5, 2 SKIPPED by 5, 3 SKIPPED by 5, 4 SKIPPED by 5",
                     "a timeout");
    assert_gone();
}

/* ---- AUTO ---- */

Test(api_batch, auto_is_group_for_what_only_reads) {
    struct fake_db *handle = fake_open(engine, "fake:b", &(quring_db_options){.commit = QURING_COMMIT_AUTO});
    static const struct {
        quring_commit_mode mode;
        bool read_only;
        quring_commit_mode expected;
    } rows[] = {
        {QURING_COMMIT_DEFAULT, true, QURING_COMMIT_GROUP}, {QURING_COMMIT_DEFAULT, false, QURING_COMMIT_EACH},
        {QURING_COMMIT_AUTO, true, QURING_COMMIT_GROUP},    {QURING_COMMIT_EACH, true, QURING_COMMIT_EACH},
        {QURING_COMMIT_GROUP, false, QURING_COMMIT_GROUP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const quring_query query = {
            .db = &handle->base, .sql = ONE, .commit = rows[i].mode, .read_only = rows[i].read_only};
        cr_assert_eq(quring_submit(engine, &query, NULL), 0);
        const struct list *last = handle->base.queue.waiting.prev;
        cr_assert_eq(list_entry(last, const struct query, link)->commit, rows[i].expected, "row %zu", i);
    }
}

Test(api_batch, auto_is_each_on_an_exclusive_handle) {
    const quring_db_options options = {.exclusive = true, .commit = QURING_COMMIT_AUTO};
    struct fake_db *handle = fake_open(engine, "fake:b", &options);
    const quring_query query = {.db = &handle->base, .sql = ONE, .read_only = true};
    cr_assert_eq(quring_submit(engine, &query, NULL), 0);
    cr_assert_eq(list_entry(handle->base.queue.waiting.prev, struct query, link)->commit, QURING_COMMIT_EACH);
}
