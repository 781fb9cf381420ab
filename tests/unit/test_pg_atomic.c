/* SPDX-License-Identifier: MIT */
/* ATOMIC batches on PostgreSQL's connections: how they are sent, what replies mean for them, and what a loss does. */
#include "core/batch.h"
#include "lib/pg_fixture.h"
#include "pg/batch.h"
#include "pg/rerun.h"
#include "ring/ring.h"
#include "value/param.h"
#include "value/value.h"

enum { DEPTH = 6, MOST = 4 };

#define ONE "select 1"
#define TWO "select 2"
#define PARAM "select $1"

static struct pg_pool *pool;

TestSuite(pg_atomic, .init = pg_setup, .fini = pg_teardown);

static void advance(void) {
    pg_pool_advance(pool);
    list_for_each_safe(node, &bed.db.base.ready)
        pg_pool_admit(pool, list_entry(node, struct queue, ready));
    pg_bed_settle(&bed);
}

static void answer(const char *script) {
    pg_bed_say(&bed, pool->conns[0], script);
}

static const char *got(void) {
    return pg_bed_got(&bed, pool->conns[0]);
}

/* Connections, on the first of which ONE is prepared. */
static void bring_up(uint32_t conns) {
    pg_again(&(quring_db_options){.connection_count = conns, .depth = DEPTH});
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), 0, "%s", bed.hub.message);
    bed.pool_open = true;
    for (uint32_t round = 0; round < conns; round++) {
        pg_bed_settle(&bed);
        for (uint32_t i = 0; i < conns; i++)
            if (pool->conns[i]->state == PG_CONN_BARRIER)
                pg_bed_answer(&bed, pool->conns[i], false);
    }
    advance();
    (void)pg_bed_ask(&bed, ONE);
    advance();
    answer("1 t:0 T2DCZ");
    (void)got();
}

static void submit(struct query *queries[], uint32_t count, const char *const texts[]) {
    struct batch *batch = batch_take(&bed.hub, count);
    struct list members;
    list_init(&members);
    for (uint32_t i = 0; i < count; i++) {
        queries[i] = pg_bed_query(&bed, texts[i]);
        queries[i]->id = 100 + i;
        queries[i]->commit = QURING_COMMIT_GROUP;
        batch_join(batch, queries[i]);
        list_push_back(&members, &queries[i]->link);
    }
    queue_put_unit(&members);
}

static void submit_ones(struct query *queries[], uint32_t count) {
    static const char *const texts[MOST] = {ONE, ONE, ONE, ONE};
    cr_assert_leq(count, MOST);
    submit(queries, count, texts);
}

/* ---- Sending ---- */

Test(pg_atomic, a_batch_is_a_segment_with_one_sync) {
    static const char *const texts[] = {ONE, TWO, ONE};
    struct query *queries[3], *before, *behind;
    bring_up(1);
    before = pg_bed_ask(&bed, ONE);
    before->commit = QURING_COMMIT_GROUP;
    submit(queries, 3, texts);
    behind = pg_bed_ask(&bed, ONE);
    behind->commit = QURING_COMMIT_GROUP;
    advance();
    pg_bed_assert_text(got(),
                       "Bind 1 () -> 1, Execute, Sync, "
                       "Bind 1 () -> 1, Execute, "
                       "Parse 2 'select 2', Describe 2, Bind 2 () -> , Execute, "
                       "Bind 1 () -> 1, Execute, Sync, "
                       "Bind 1 () -> 1, Execute, Sync",
                       "neighbours that may join a group do not join it");
    answer("2DCZ");
    cr_assert_eq(before->state, QUERY_DONE);
    answer("2DC1 t:0 T2DC2DC");
    pg_bed_assert_text(pg_bed_fates(queries, 3), "running; running; running", "nothing is told before the commit");
    answer("Z");
    pg_bed_assert_text(pg_bed_fates(queries, 3), "OK; OK; OK", "all");
    cr_assert_eq(behind->state, QUERY_RUNNING);
    answer("2DCZ");
    cr_assert_eq(behind->state, QUERY_DONE);
}

Test(pg_atomic, a_batch_waits_for_room_for_all_of_it) {
    struct query *queries[MOST];
    bring_up(1);
    for (int i = 0; i < 3; i++)
        pg_bed_ask(&bed, ONE);
    advance();
    submit_ones(queries, MOST);
    advance();
    pg_bed_assert_text(pg_bed_fates(queries, MOST), "waiting; waiting; waiting; waiting", "three of six are taken");
    answer("2DCZ");
    advance();
    pg_bed_assert_text(pg_bed_fates(queries, MOST), "running; running; running; running", "there is room for four");
}

/* Its parameter has more bytes than a connection's buffer has at first. */
static void enlarge(struct query *query) {
    static char text[1 << 19];
    memset(text, 'x', sizeof text);
    const quring_param param = quring_text_sized(text, sizeof text);
    query->params = value_copy_params(&query->store, &param, 1);
    cr_assert(query->params);
}

/* The requests before the one that can't be encoded are taken back, with the names that they had claimed. */
Test(pg_atomic, one_that_cannot_be_encoded_ends_all) {
    static const char *const texts[] = {ONE, TWO, PARAM, ONE};
    struct query *queries[4], *before, *behind;
    bring_up(1);
    before = pg_bed_ask(&bed, ONE);
    submit(queries, 4, texts);
    behind = pg_bed_ask(&bed, TWO);
    struct buf *out = pg_conn_out(pool->conns[0]);
    size_t limit = out->limit;
    out->limit = out->capacity;
    enlarge(queries[2]);
    advance();
    out->limit = limit;
    pg_bed_assert_text(pg_bed_fates(queries, 4),
                       "SKIPPED 54000 by 102; SKIPPED 54000 by 102; NOT_SENT 54000; SKIPPED 54000 by 102",
                       "none is sent");
    for (int i = 0; i < 4; i++)
        cr_assert_not(queries[i]->sent);
    pg_bed_assert_text(got(),
                       "Bind 1 () -> 1, Execute, Sync, "
                       "Parse 3 'select 2', Describe 3, Bind 3 () -> , Execute, Sync",
                       "nothing of them is left");
    answer("2DCZ1 t:0 T2DCZ");
    cr_assert(before->state == QUERY_DONE && behind->state == QUERY_DONE && behind->status == QURING_OK);
    submit(queries, 2, texts);
    advance();
    pg_bed_assert_text(got(), "Bind 1 () -> 1, Execute, Bind 3 () -> 1, Execute, Sync", "the session is in order");
    answer("2DC2DCZ");
    pg_bed_assert_text(pg_bed_fates(queries, 2), "OK; OK", "both");
}

/* ---- Ends ---- */

static const struct row {
    const char *what;
    uint32_t count;
    const char *given_up; /* members, by number from 1, that are given up once the batch was sent */
    const char *replies;
    const char *fates;
} rows[] = {
    {"alone", 1, "", "2DCZ", "OK"},
    {"alone, it fails", 1, "", "2 E:22012 Z", "SERVER_ERROR 22012"},
    {"alone, its commit fails", 1, "", "2DC E:23503 Z", "SERVER_ERROR 23503"},
    {"the first fails", 3, "", "2 E:22012 Z", "SERVER_ERROR 22012; SKIPPED 22012 by 100; SKIPPED 22012 by 100"},
    {"one in the middle fails", 3, "", "2DC2 E:23505 Z",
     "SKIPPED 23505 by 101; SERVER_ERROR 23505; SKIPPED 23505 by 101"},
    {"the last fails", 2, "", "2DC2D E:23505 Z", "SKIPPED 23505 by 101; SERVER_ERROR 23505"},
    {"the commit fails", 3, "", "2DC2DC2DC E:23503 Z", "SERVER_ERROR 23503; SERVER_ERROR 23503; SERVER_ERROR 23503"},
    {"the server can't tell", 2, "", "2DC2DC E:40003 Z", "IN_DOUBT 40003; IN_DOUBT 40003"},
    {"one is given up", 3, "2", "2DC2DC2DCZ", "OK; CANCELLED 57014; OK"},
    {"one is given up, another fails", 3, "1", "2DC2DC2 E:22012 Z",
     "CANCELLED 57014; SKIPPED 22012 by 102; SERVER_ERROR 22012"},
    {"the one that fails was given up", 3, "2", "2DC2 E:22012 Z",
     "SKIPPED 40000 by 101; CANCELLED 57014; SKIPPED 40000 by 101"},
    {"the last was given up, and the commit fails", 2, "2", "2DC2DC E:23503 Z", "SERVER_ERROR 40000; CANCELLED 57014"},
    {"a conflict, and one was given up", 2, "1", "2DC2 E:40001 Z", "CANCELLED 57014; SERVER_ERROR 40001"},
    {"all were given up", 2, "12", "2DC2 E:40001 Z", "CANCELLED 57014; CANCELLED 57014"},
    {"one has a state of its own", 2, "", "2DC2 E:42501 Z", "SKIPPED 42501 by 101; SERVER_ERROR 42501"},
};

Test(pg_atomic, what_replies_mean_for_a_batch) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct query *queries[MOST], *behind;
        bring_up(1);
        submit_ones(queries, row->count);
        behind = pg_bed_ask(&bed, ONE);
        advance();
        for (const char *at = row->given_up; *at; at++)
            pg_conn_abandon(pool->conns[0], queries[*at - '1'], QURING_CANCELLED);
        answer(row->replies);
        pg_bed_assert_text(pg_bed_fates(queries, row->count), row->fates, row->what);
        answer("2DCZ");
        pg_bed_assert_text(pg_bed_fate(behind), "OK", row->what);
        cr_assert_not_null(bed.hub.batches, "%s", row->what);
    }
}

Test(pg_atomic, the_error_of_a_failed_commit_is_everybody_s) {
    struct query *queries[2];
    bring_up(1);
    submit_ones(queries, 2);
    advance();
    answer("2DC2DC E:23503 Z");
    for (int i = 0; i < 2; i++)
        cr_assert_str_eq(queries[i]->error.view.message, "the server's words");
}

Test(pg_atomic, a_transaction_that_is_left_open_is_in_doubt) {
    struct query *queries[2];
    bring_up(1);
    submit_ones(queries, 2);
    advance();
    answer("2DC2DC Z:T");
    pg_bed_assert_text(pg_bed_fates(queries, 2), "IN_DOUBT 25001; IN_DOUBT 25001", "and the connection is closed");
    cr_assert_neq(pool->conns[0]->state, PG_CONN_READY);
}

/* ---- Again ---- */

/* A pool's waits are drawn from a seed of its own: here the next is longer than the bed takes to settle. */
static void make_wait_long(void) {
    struct rng next = pool->attempts.rng;
    while (rng_below(&next, PG_BED_MS) < PG_BED_MS * 9 / 10) {
        (void)rng_next(&pool->attempts.rng);
        next = pool->attempts.rng;
    }
}

static void assert_run_again(const char *replies) {
    struct query *queries[3];
    bring_up(1);
    make_wait_long();
    submit_ones(queries, 3);
    advance();
    (void)got();
    answer(replies);
    pg_bed_assert_text(pg_bed_fates(queries, 3), "running; running; running", replies);
    for (int i = 0; i < 3; i++)
        cr_assert(!queries[i]->sent && pg_rerun_has(queries[i]), "it was undone");
    advance();
    pg_bed_assert_text(got(), "", "not at once");
    pg_bed_pass(&bed, 100 * PG_BED_MS);
    advance();
    pg_bed_assert_text(got(), "Bind 1 () -> 1, Execute, Bind 1 () -> 1, Execute, Bind 1 () -> 1, Execute, Sync",
                       replies);
    answer("2DC2DC2DCZ");
    pg_bed_assert_text(pg_bed_fates(queries, 3), "OK; OK; OK", replies);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(quring_row_count(&queries[i]->result), 1, "of its last run alone");
}

Test(pg_atomic, a_conflict_runs_all_of_it_again) {
    assert_run_again("2DC2 E:40001 Z");
    assert_run_again("2DC2DC2D E:40P01 Z");
    assert_run_again("2DC2DC2DC E:40001 Z");
}

Test(pg_atomic, conflicts_run_it_again_a_bounded_number_of_times) {
    struct query *queries[2];
    uint32_t runs = 0;
    bring_up(1);
    submit_ones(queries, 2);
    for (; queries[0]->state != QUERY_DONE && runs < 100; runs++) {
        pg_bed_pass(&bed, 100 * PG_BED_MS);
        advance();
        answer("2DC2 E:40001 Z");
    }
    cr_assert_eq(runs, 21);
    pg_bed_assert_text(pg_bed_fates(queries, 2), "SKIPPED 40001 by 101; SERVER_ERROR 40001", "the error stands");
}

Test(pg_atomic, others_go_on_while_a_batch_waits_to_be_run_again) {
    struct query *queries[2], *other;
    bring_up(1);
    make_wait_long();
    submit_ones(queries, 2);
    advance();
    answer("2DC2 E:40001 Z");
    other = pg_bed_ask(&bed, ONE);
    advance();
    answer("2DCZ");
    cr_assert_eq(other->state, QUERY_DONE);
    pg_rerun_abandon(pool, queries[1], QURING_TIMEOUT);
    pg_bed_assert_text(pg_bed_fates(queries, 2), "SKIPPED 57014 by 101; TIMEOUT 57014", "nothing of it took effect");
    cr_assert(!queries[0]->sent && !queries[1]->sent);
    pg_bed_pass(&bed, 100 * PG_BED_MS);
    cr_assert_eq(bed.db.base.queue.waiting_count, 0);
    make_wait_long();
    submit_ones(queries, 2);
    advance();
    answer("2DC2 E:40001 Z");
    pg_rerun_abandon(pool, queries[0], QURING_SHUTDOWN);
    pg_rerun_abandon(pool, queries[1], QURING_SHUTDOWN);
    pg_bed_assert_text(pg_bed_fates(queries, 2), "SHUTDOWN 57P01; SHUTDOWN 57P01", "each is told so");
}

/* A plan that is out of date harms nobody: all of it runs again at once, and the one whose plan it was is parsed anew. */
Test(pg_atomic, a_stale_plan_runs_all_of_it_again_at_once) {
    static const char *const texts[] = {TWO, ONE};
    struct query *queries[2];
    bring_up(1);
    submit(queries, 2, texts);
    advance();
    (void)got();
    answer("1 t:0 T2DC E:0A000 Z");
    pg_bed_assert_text(pg_bed_fates(queries, 2), "waiting; waiting, retried", "both");
    advance();
    pg_bed_assert_text(got(),
                       "Bind 2 () -> 1, Execute, "
                       "Close 1, Parse 3 'select 1', Describe 3, Bind 3 () -> , Execute, Sync",
                       "one of them is parsed");
    answer("2DC31 t:0 E:0A000 Z");
    pg_bed_assert_text(pg_bed_fates(queries, 2), "SKIPPED 0A000 by 101; SERVER_ERROR 0A000",
                       "a second time is too many");
}

/* ---- Losses ---- */

Test(pg_atomic, a_loss_leaves_all_that_was_sent_in_doubt) {
    struct query *queries[3];
    bring_up(1);
    submit_ones(queries, 3);
    advance();
    answer("2DC2DC F:57P01");
    pg_bed_settle(&bed);
    pg_bed_assert_text(pg_bed_fates(queries, 3), "IN_DOUBT 57P01; IN_DOUBT 57P01; IN_DOUBT 57P01", "all");
}

/* What is behind a large request has not left when the connection goes: none of the batch, or a part. */
static void lose_unsent(struct query *queries[], uint32_t count, bool give_up) {
    struct pg_conn *conn = pool->conns[0];
    submit_ones(queries, count);
    for (struct list *node; (node = list_first(&bed.db.base.ready));)
        pg_batch_send(conn, list_entry(node, struct queue, ready), count); /* and not handed to the socket */
    if (give_up)
        pg_conn_abandon(conn, queries[0], QURING_CANCELLED);
    pg_conn_break(conn, QURING_IN_DOUBT, "08006", "lost");
    pg_bed_settle(&bed);
}

Test(pg_atomic, a_loss_puts_back_whole_what_was_not_sent) {
    struct query *queries[3];
    bring_up(1);
    lose_unsent(queries, 3, false);
    pg_bed_assert_text(pg_bed_fates(queries, 3), "waiting; waiting; waiting", "another connection can take it");
    cr_assert_eq(queue_unit_count(&bed.db.base.queue), 3);
    cr_assert_eq(queue_take(&bed.db.base.queue), queries[0], "in order");
}

Test(pg_atomic, a_part_of_a_batch_is_never_put_back) {
    struct query *queries[3];
    bring_up(1);
    lose_unsent(queries, 3, true);
    pg_bed_assert_text(pg_bed_fates(queries, 3), "CANCELLED 57014; NOT_SENT 08006; NOT_SENT 08006", "one was given up");
}
