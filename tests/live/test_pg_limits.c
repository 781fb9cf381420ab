/* SPDX-License-Identifier: MIT */
/* Past every limit there is a clear answer, nothing grows, and the neighbours do not notice. */
#include "lib/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

static struct live live;

static void open_with(quring_options engine, quring_db_options db) {
    live_open_url(&live, live_url(), &engine, &db);
}

static int try_submit(const char *sql, const quring_param *params, uint32_t count) {
    return quring_submit(live.engine,
                         &(quring_query){.db = live.db, .sql = sql, .params = params, .param_count = count}, NULL);
}

/* ---- Of submitting ---- */

Test(pg_limits, query_count) {
    open_with((quring_options){.query_count = 10}, (quring_db_options){.connection_count = 1});
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 10; i++)
            cr_assert_eq(try_submit("select 1", NULL, 0), 0);
        cr_assert_eq(try_submit("select 1", NULL, 0), QURING_EFULL);
        quring_done done[10];
        cr_assert_geq(quring_run(live.engine, 10, QURING_FOREVER), 10);
        cr_assert_eq(quring_reap(live.engine, done, 10), 10);
        cr_assert_eq(try_submit("select 1", NULL, 0), QURING_EFULL, "reaped is not released");
        for (int i = 0; i < 10; i++)
            live_release(&live, &done[i]);
    }
    live_close(&live);
}

Test(pg_limits, inflight_bytes) {
    open_with((quring_options){.inflight_bytes = 100000}, (quring_db_options){.connection_count = 1});
    char *text = calloc(1, 100002);
    memset(text, 'x', 100001);
    quring_param big = quring_text_sized(text, 30000), whole = quring_text_sized(text, 100000);
    for (int round = 0; round < 5; round++) {
        int submitted = 0, error;
        while ((error = try_submit("select length($1)", &big, 1)) == 0)
            submitted++;
        cr_assert_eq(error, QURING_EFULL);
        cr_assert_eq(submitted, 3);
        cr_assert_eq(try_submit("select length($1)", &whole, 1), QURING_ETOOBIG);
        cr_assert(*quring_errmsg(live.engine));
        cr_assert_eq(try_submit(text, NULL, 0), QURING_ETOOBIG);
        live_drain(&live, NULL, NULL);
    }
    cr_assert_eq(live_int(&live, "select 1"), 1);
    free(text);
    live_close(&live);
}

/* A gigabyte that is not there: refused before it is copied, and before the first byte is sent. */
Test(pg_limits, outgoing_message) {
    size_t size = (size_t)3 << 30;
    void *huge = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(huge, MAP_FAILED);
    open_with((quring_options){.inflight_bytes = UINT64_C(1) << 40}, (quring_db_options){.connection_count = 1});
    cr_assert_eq(live_int(&live, "select 1"), 1);
    quring_stats before, after;
    quring_stats_get(live.engine, &before);
    struct rusage used_before, used_after;
    getrusage(RUSAGE_SELF, &used_before);
    const size_t half = (size_t)0x20000000;
    const struct {
        quring_param params[2];
        uint32_t count;
    } cases[] = {
        {{quring_bytes(huge, 0x3fffffff)}, 1},
        {{quring_bytes(huge, 0x7fffffff)}, 1},
        {{quring_bytes(huge, 0x80000000)}, 1},
        {{quring_bytes(huge, size)}, 1},
        {{quring_bytes(huge, SIZE_MAX)}, 1},
        {{quring_bytes(huge, half), quring_bytes(huge, half)}, 2},
        {{quring_text_sized(huge, half), quring_text_sized(huge, SIZE_MAX - half)}, 2},
        {{quring_int64_array(huge, 0x10000000), quring_int32(1)}, 2},
        {{quring_int32_array(huge, UINT32_MAX / 8)}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int error = try_submit("insert into live_huge values ($1, $2)", cases[i].params, cases[i].count);
        cr_expect_eq(error, QURING_ETOOBIG, "case %zu: %s", i, quring_strerror(error));
    }
    quring_query q = {.db = live.db, .sql = huge, .sql_bytes = 0x3fffffff};
    cr_expect_eq(quring_submit(live.engine, &q, NULL), QURING_ETOOBIG);
    cr_assert_eq(quring_run(live.engine, 0, 0), 0);
    quring_stats_get(live.engine, &after);
    cr_assert_eq(after.sent_bytes, before.sent_bytes);
    cr_assert_eq(live_int(&live, "select 2"), 2);
    getrusage(RUSAGE_SELF, &used_after);
    cr_assert_lt(used_after.ru_maxrss - used_before.ru_maxrss, 256 * 1024, "gigabytes were copied");
    live_close(&live);
    munmap(huge, size);
}

/* ---- Of results ---- */

/* Every third of a pipeline is past the limit, which is the only thing that happens to it. */
static void check_third(const char *sql, const char *words) {
    for (int run = 0; run < 3; run++) {
        for (uint64_t i = 0; i < 60; i++)
            live_submit(&live, &(quring_query){.sql = i % 3 ? "select $1::int8" : sql,
                                               .params = QURING_PARAMS(quring_int64((int64_t)i)),
                                               .user_data = i});
        for (int i = 0; i < 60; i++) {
            quring_done done = live_wait(&live);
            if (done.user_data % 3 == 0) {
                live_check_error(&done, QURING_LIMIT, "54000", words);
            } else {
                live_check_ok(&done, "its neighbour");
                int64_t value = -1;
                cr_assert_eq(quring_get_int64(done.result, 0, 0, &value), 0);
                cr_assert_eq(value, (int64_t)done.user_data);
            }
            live_release(&live, &done);
        }
    }
}

Test(pg_limits, result_bytes) {
    open_with((quring_options){0}, (quring_db_options){.connection_count = 1, .result_bytes = 100000});
    check_third("select repeat('x', 1000) from generate_series(1, 1000 + $1) g", "bytes: options.result_bytes");
    check_third("select repeat('x', 100000 + $1::int4)", "bytes: options.result_bytes");
    check_third("select from generate_series(1, 20000 + $1) g", "bytes: options.result_bytes");
    quring_done done = live_run(&live, &(quring_query){.sql = "select repeat('x', 99000)"});
    live_check_ok(&done, "just below");
    live_release(&live, &done);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_eq(stats.connection_lost_count, 0);
    live_close(&live);
}

Test(pg_limits, result_row_count) {
    open_with((quring_options){0}, (quring_db_options){.connection_count = 1, .result_row_count = 100});
    check_third("select g from generate_series(1, 101 + $1) g", "more than 100 rows: options.result_row_count");
    quring_done done = live_run(&live, &(quring_query){.sql = "select generate_series(1, 100)"});
    live_check_ok(&done, "as many as allowed");
    cr_assert_eq(quring_row_count(done.result), 100);
    live_release(&live, &done);
    live_close(&live);
}

/* A statement past the limit has taken effect all the same: the header says so. */
Test(pg_limits, past_the_limit_has_taken_effect) {
    open_with((quring_options){0}, (quring_db_options){.connection_count = 1, .result_row_count = 10});
    live_script(&live, "drop table if exists live_many;\ncreate table live_many (n int8)");
    quring_done done =
        live_run(&live, &(quring_query){.sql = "insert into live_many select generate_series(1, 50) returning n"});
    live_check_error(&done, QURING_LIMIT, "54000", "");
    live_release(&live, &done);
    cr_assert_eq(live_int(&live, "select count(*) from live_many"), 50);
    live_exec(&live, "drop table live_many");
    live_close(&live);
}

/* One row past the limit is passed over, as if it had not been there, and its query ends. */
Test(pg_limits, message_bytes) {
    open_with((quring_options){0}, (quring_db_options){.connection_count = 1, .message_bytes = 65536});
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(live_int(&live, "select 1"), 1);
        quring_done done = live_run(&live, &(quring_query){.sql = "select repeat('x', 60000)"});
        live_check_ok(&done, "below");
        live_release(&live, &done);
        done = live_run(&live, &(quring_query){.sql = "select repeat('x', 70000)"});
        live_check_error(&done, QURING_LIMIT, "54000", "message_bytes");
        live_release(&live, &done);
        done = live_run(&live, &(quring_query){.sql = "do $$ begin raise exception '%', repeat('x', 70000); end $$"});
        live_check_error(&done, QURING_SERVER_ERROR, "54000", "message_bytes");
        live_release(&live, &done);
        done = live_run(&live, &(quring_query){.sql = "do $$ begin raise notice '%', repeat('x', 70000); end $$"});
        live_check_ok(&done, "a long notice");
        cr_assert_eq(quring_notice_count(done.result), 0);
        cr_assert_eq(quring_notice_dropped_count(done.result), 1);
        live_release(&live, &done);
        cr_assert_eq(live_int(&live, "select 2"), 2);
    }
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_eq(stats.connection_lost_count, 0);
    live_close(&live);
}

/* Those behind it on its connection did not break a limit. */
Test(pg_limits, message_bytes_and_the_neighbours) {
    open_with((quring_options){0}, (quring_db_options){.connection_count = 1, .message_bytes = 65536});
    cr_assert_eq(live_int(&live, "select 1"), 1);
    for (uint64_t i = 0; i < 20; i++)
        live_submit(&live, &(quring_query){.sql = i == 10 ? "select repeat('x', 70000)" : "select 5", .user_data = i});
    for (int i = 0; i < 20; i++) {
        quring_done done = live_wait(&live);
        quring_status expected = done.user_data == 10 ? QURING_LIMIT : QURING_OK;
        cr_expect_eq(done.status, expected, "%d: %s", (int)done.user_data, quring_status_name(done.status));
        live_release(&live, &done);
    }
    cr_assert_eq(live_int(&live, "select 2"), 2);
    live_close(&live);
}

/* ---- Of options ---- */

Test(pg_limits, options_out_of_range) {
    open_with((quring_options){0}, (quring_db_options){.connection_count = 1});
    const quring_db_options bad[] = {
        {.depth = 65536},
        {.statement_count = 65537},
        {.message_bytes = 0x40000000},
        {.connection_count = 10001},
        {.commit = (quring_commit_mode)5},
        {.durability = (quring_durability)9},
        {.result_bytes = UINT64_C(1) << 50},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        quring_db *db = NULL;
        cr_expect_eq(quring_db_open(live.engine, live_url(), &bad[i], &db), QURING_EINVAL, "case %zu", i);
        cr_expect(*quring_errmsg(live.engine));
    }
    quring_engine *engine = NULL;
    cr_expect_eq(quring_engine_open(&(quring_options){.query_count = (1u << 20) + 1}, &engine), QURING_EINVAL);
    cr_expect_eq(quring_engine_open(&(quring_options){.connection_count = 1u << 30}, &engine), QURING_EINVAL);
    live_close(&live);
}
