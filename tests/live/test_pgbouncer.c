/* SPDX-License-Identifier: MIT */
/* Through a real PgBouncer in transaction mode: many clients of ours on two connections to the server. */
#include "lib/live.h"

#include <libpq-fe.h>
#include <stdlib.h>

enum { CONNECTIONS = 32, DEPTH = 8, QUERIES = 4000, QUEUED = 500, LEAVERS = 20, NEXT = 2 };

static struct live live;

static void open_through_pooler(void) {
    quring_db_options options = {
        .connection_count = CONNECTIONS, .depth = DEPTH, .prepared_statements = QURING_PREPARED_NEVER};
    live_open_url(&live, live_env("QURING_TEST_PGBOUNCER_URL"), NULL, &options);
}

static void submit_one(uint64_t identity) {
    static const char *const texts[] = {
        "select $1::int8 as identity",
        "select $1::int8, repeat('x', 200)",
        "select $1::int8 where pg_backend_pid() > 0",
        "select 1 / ($1::int8 - $1::int8)",
    };
    live_submit(&live, &(quring_query){.sql = texts[identity % 4],
                                       .params = QURING_PARAMS(quring_int64((int64_t)identity)),
                                       .user_data = identity});
}

Test(pgbouncer, every_query_gets_its_own_answer) {
    open_through_pooler();
    unsigned char *seen = calloc(QUERIES, 1);
    uint64_t submitted = 0;
    for (uint32_t ended = 0; ended < QUERIES; ended++) {
        while (submitted < QUERIES && submitted < ended + QUEUED)
            submit_one(submitted++);
        quring_done done = live_wait(&live);
        cr_assert_eq(seen[done.user_data]++, 0, "query %llu ended twice", (unsigned long long)done.user_data);
        if (done.user_data % 4 == 3) {
            live_check_error(&done, QURING_SERVER_ERROR, "22012", "division by zero");
        } else {
            int64_t identity = -1;
            live_check_ok(&done, "through the pooler");
            cr_assert_eq(quring_get_int64(done.result, 0, 0, &identity), 0);
            cr_assert_eq((uint64_t)identity, done.user_data);
        }
        live_release(&live, &done);
    }
    free(seen);
    live_close(&live);
}

Test(pgbouncer, groups_share_a_transaction) {
    open_through_pooler();
    live_exec(&live, "drop table if exists pooled");
    live_exec(&live, "create table pooled (id int8 primary key)");
    for (int64_t i = 0; i < QUEUED; i++)
        live_submit(&live, &(quring_query){.sql = "insert into pooled values ($1)",
                                           .params = QURING_PARAMS(quring_int64(i / 2)),
                                           .commit = QURING_COMMIT_GROUP});
    int ok = 0;
    for (int i = 0; i < QUEUED; i++) {
        quring_done done = live_wait(&live);
        if (done.status == QURING_OK)
            ok++;
        else
            live_check_error(&done, QURING_SERVER_ERROR, "23505", "pooled_pkey");
        live_release(&live, &done);
    }
    cr_assert_eq(ok, QUEUED / 2);
    cr_assert_eq(live_int(&live, "select count(*) from pooled"), QUEUED / 2);
    live_exec(&live, "drop table pooled");
    live_close(&live);
}

/* `table` NULL: it reads its ID instead. */
static quring_status commit_one(const char *table, quring_prepared_statements prepared) {
    quring_db_options options = {.connection_count = 2, .prepared_statements = prepared};
    quring_status status = QURING_OK;
    quring_tx *tx;
    live_open_url(&live, live_env("QURING_TEST_PGBOUNCER_URL"), NULL, &options);
    quring_tx_options resolves = {.resolve = table ? QURING_RESOLVE_TOKEN : QURING_RESOLVE_XID, .token_table = table};
    cr_assert_eq(quring_tx_open(live.db, &resolves, &tx), 0);
    live_submit(&live, &(quring_query){.tx = tx, .sql = "insert into pooled values (default)"});
    cr_assert_eq(quring_commit(tx, 0, NULL), 0);
    quring_tx_release(tx);
    for (int i = 0; i < 2; i++) {
        quring_done done = live_wait(&live);
        status = done.status;
        live_release(&live, &done);
    }
    live_close(&live);
    return status;
}

Test(pgbouncer, transactions_that_can_be_asked_for) {
    open_through_pooler();
    live_exec(&live, "drop table if exists pooled, pooled_commits");
    live_exec(&live, "create table pooled (id serial)");
    live_exec(&live, "create table pooled_commits (token uuid primary key, committed boolean not null)");
    live_close(&live);
    cr_assert_eq(commit_one("public.pooled_commits", QURING_PREPARED_DEFAULT), QURING_OK);
    cr_assert_eq(commit_one("public.pooled_commits", QURING_PREPARED_ALWAYS), QURING_OK);
    cr_assert_eq(commit_one(NULL, QURING_PREPARED_DEFAULT), QURING_OK);
    cr_assert_eq(commit_one(NULL, QURING_PREPARED_NEVER), QURING_OK);
    cr_assert_eq(commit_one("public.pooled_nowhere", QURING_PREPARED_NEVER), QURING_SERVER_ERROR);
    open_through_pooler();
    cr_assert_eq(live_int(&live, "select count(*) from pooled"), 4);
    cr_assert_eq(live_int(&live, "select count(*) from pooled_commits where committed"), 2);
    live_exec(&live, "drop table pooled, pooled_commits");
    live_close(&live);
}

/*
 * Two clients with the default options: each sends one text only, over the same two connections to the server. Neither ever
 * gets the other's answer, and nothing fails.
 */
static void check_two_clients(quring_prepared_statements prepared, uint32_t queries) {
    quring_db_options options = {.connection_count = 4, .depth = 4, .prepared_statements = prepared};
    live_open_url(&live, live_env("QURING_TEST_PGBOUNCER_URL"), NULL, &options);
    quring_db *dbs[2] = {live.db, live_open_db(&live, live_env("QURING_TEST_PGBOUNCER_URL"), &options)};
    static const char *const texts[2] = {"select 'A'", "select 'B'"};
    uint32_t submitted = 0, ok = 0;
    for (uint32_t ended = 0; ended < queries; ended++) {
        for (; submitted < queries && submitted < ended + 100; submitted++)
            live_submit(&live, &(quring_query){
                                   .db = dbs[submitted % 2], .sql = texts[submitted % 2], .user_data = submitted % 2});
        quring_done done = live_wait(&live);
        if (prepared == QURING_PREPARED_DEFAULT)
            live_check_ok(&done, "behind a pooler");
        if (done.status == QURING_OK) {
            const char *text = "";
            cr_assert_eq(quring_get_text(done.result, 0, 0, &text, NULL), 0);
            cr_assert_eq(text[0], "AB"[done.user_data], "%s got %s", texts[done.user_data], text);
            ok++;
        }
        live_release(&live, &done);
    }
    cr_assert_gt(ok, 0);
    live_close(&live);
}

Test(pgbouncer, two_clients_with_default_options) {
    check_two_clients(QURING_PREPARED_DEFAULT, LIVE_SANITIZED ? 5000 : 40000);
}

/* One that forgot what its pooler can do fails, but is never given another's statement. */
Test(pgbouncer, two_clients_that_prepare_all_the_same) {
    check_two_clients(QURING_PREPARED_ALWAYS, 5000);
}

/* ---- Who goes away ---- */

/* While the server is at the second of three; on a slow machine perhaps later, and then nothing of it is shown. */
static void leave_at_work(void) {
    static const char *const texts[] = {"select 'a1'", "select 'a2' from pg_sleep(0.1)", "select 'a3'"};
    quring_db *db =
        live_open_db(&live, live_env("QURING_TEST_PGBOUNCER_URL"), &(quring_db_options){.connection_count = 1});
    for (int i = 0; i < 3; i++)
        live_submit(&live, &(quring_query){.db = db, .sql = texts[i]});
    quring_done first = live_wait(&live);
    live_check_ok(&first, texts[0]);
    live_release(&live, &first);
    quring_db_close(db);
    live_drain(&live, NULL, NULL);
}

/* Clients of another kind, which take what they get: as many as the pooler has servers. */
static void check_the_next_ones(void) {
    PGconn *next[NEXT];
    for (int i = 0; i < NEXT; i++) {
        next[i] = PQconnectdb(live_env("QURING_TEST_PGBOUNCER_URL"));
        cr_assert_eq(PQstatus(next[i]), CONNECTION_OK, "%s", PQerrorMessage(next[i]));
        PQclear(PQexec(next[i], "begin")); /* it keeps its server */
    }
    for (int i = 0; i < NEXT; i++) {
        PGresult *result = PQexecParams(next[i], "select 'b'", 0, NULL, NULL, NULL, NULL, 0);
        cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s", PQerrorMessage(next[i]));
        cr_assert_str_eq(PQgetvalue(result, 0, 0), "b", "the answer to another client's query");
        PQclear(result);
        PQfinish(next[i]);
    }
}

/* PgBouncer up to 1.22.0 hands a server on at which another client's queries are out, unless that says Flush first. */
Test(pgbouncer, answers_on_their_way_do_not_come_to_the_next_client) {
    live_open_url(&live, live_env("QURING_TEST_PGBOUNCER_URL"), NULL, NULL);
    for (int i = 0; i < LEAVERS; i++) {
        leave_at_work();
        check_the_next_ones();
    }
    live_close(&live);
}
