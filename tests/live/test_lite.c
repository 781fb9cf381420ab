/* SPDX-License-Identifier: MIT */
/* SQLite over the public API, with its threads: values, many at once, transactions, order, schema changes, memory. */
#include "lib/lite_files.h"
#include "lib/lite_gate.h"

#include "base/rng.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct live live;

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite, .init = files_begin, .fini = teardown);

/* ---- Values ---- */

Test(lite, types_round_trip) {
    static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255};
    files_open(&live, "a.db", NULL);
    live_exec(&live, "create table v(i, f, t, b, u, n, j, d, ts, tz, o, z)");
    quring_done done = live_query(
        &live, "insert into v values($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", quring_int64(INT64_MIN),
        quring_float64(M_PI), quring_text("na\xc3\xafve"), quring_bytes("\0\1\xff", 3), quring_uuid(uuid),
        quring_numeric("12345678901234567890.123"), quring_json("[1]"), quring_date(-719162),
        quring_timestamp(INT64_C(1700000000123456)), quring_timestamptz(INT64_C(-1)), quring_bool(true), quring_null());
    live_check_ok(&done, "insert");
    cr_assert_eq(quring_affected_count(done.result), 1);
    live_release(&live, &done);
    done = live_run(&live, &(quring_query){.sql = "select * from v"});
    live_check_ok(&done, "select");
    const quring_result *r = done.result;
    int64_t integer;
    double real;
    const char *text;
    const void *data;
    size_t size;
    uint8_t id[16];
    int32_t days;
    bool flag;
    cr_assert(quring_get_int64(r, 0, 0, &integer) == 0 && integer == INT64_MIN);
    cr_assert(quring_get_float64(r, 0, 1, &real) == 0 && real == M_PI);
    cr_assert(quring_get_text(r, 0, 2, &text, NULL) == 0 && strcmp(text, "na\xc3\xafve") == 0);
    cr_assert(quring_get_bytes(r, 0, 3, &data, &size) == 0 && size == 3 && memcmp(data, "\0\1\xff", 3) == 0);
    cr_assert(quring_get_uuid(r, 0, 4, id) == 0 && memcmp(id, uuid, 16) == 0);
    cr_assert(quring_get_text(r, 0, 5, &text, NULL) == 0 && strcmp(text, "12345678901234567890.123") == 0);
    cr_assert(quring_get_text(r, 0, 6, &text, NULL) == 0 && strcmp(text, "[1]") == 0);
    cr_assert(quring_get_date(r, 0, 7, &days) == 0 && days == -719162);
    cr_assert(quring_get_timestamp(r, 0, 8, &integer) == 0 && integer == INT64_C(1700000000123456));
    cr_assert(quring_get_timestamptz(r, 0, 9, &integer) == 0 && integer == -1, "%s", quring_result_error(r));
    cr_assert(quring_get_bool(r, 0, 10, &flag) == 0 && flag);
    cr_assert_eq(quring_get_int64(r, 0, 11, &integer), QURING_ENULL);
    cr_assert_eq(quring_get_int64(r, 0, 2, &integer), QURING_ETYPE);
    live_release(&live, &done);
}

Test(lite, errors_and_counts) {
    files_open(&live, "a.db", NULL);
    live_exec(&live, "create table t(id integer primary key, a text not null)");
    cr_assert_eq(live_exec(&live, "insert into t values(1, 'x'), (2, 'y')"), 2);
    quring_done done = live_run(&live, &(quring_query){.sql = "insert into t values(1, 'z')"});
    live_check_error(&done, QURING_SERVER_ERROR, "23505", "t.id");
    cr_assert_eq(done.error->backend_code, 1555);
    live_release(&live, &done);
    done = live_run(&live, &(quring_query){.sql = "select nope from t"});
    live_check_error(&done, QURING_SERVER_ERROR, "42703", "nope");
    cr_assert_eq(done.error->position, 8);
    live_release(&live, &done);
    done = live_query(&live, "update t set a = $1 where id = $2 returning id, a", quring_text("new"), quring_int64(2));
    live_check_ok(&done, "returning");
    cr_assert_eq(quring_affected_count(done.result), 1);
    cr_assert_eq(quring_row_count(done.result), 1);
    cr_assert_str_eq(quring_command(done.result), "UPDATE");
    live_release(&live, &done);
    cr_assert_eq(live_exec(&live, "delete from t"), 2);
    quring_id id;
    cr_assert_eq(quring_submit(live.engine, &(quring_query){.db = live.db, .sql = "begin"}, &id), QURING_EUNSUPPORTED);
}

/* ---- Many at once ---- */

enum { MANY = 20000 };

static const char *const READS[] = {
    "select $1",
    "select $1 from t where id = 1 + abs($1 % 100)",
    "with recursive n(i) as (values(1) union all select i + 1 from n where i < 50) select $1 from n",
};

static void submit_one(struct rng *rng, uint64_t number) {
    quring_param identity = quring_int64((int64_t)live_identity(number));
    quring_query query = {.params = &identity, .param_count = 1, .user_data = number};
    uint64_t kind = rng_below(rng, 100);
    if (kind < 70)
        query.sql = READS[rng_below(rng, 3)];
    else if (kind < 96)
        query.sql = "insert into w values($1) returning x";
    else if (kind < 98)
        query.sql = "insert into t values(5, $1)"; /* is there already */
    else
        query.sql = "select abs(-9223372036854775808 + ($1 & 0))";
    query.commit = rng_below(rng, 4) ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH;
    if (rng_below(rng, 50) == 0)
        query.timeout_ns = 1 + rng_below(rng, 2 * LIVE_MS);
    quring_id id = live_submit(&live, &query);
    if (rng_below(rng, 50) == 0)
        cr_assert_eq(quring_cancel(live.engine, id), 0);
}

static bool in_table(uint64_t number) {
    quring_done done =
        live_query(&live, "select count(*) from w where x = $1", quring_int64((int64_t)live_identity(number)));
    int64_t count = -1;
    quring_get_int64(done.result, 0, 0, &count);
    live_release(&live, &done);
    cr_assert(count == 0 || count == 1, "%llu is there %lld times", (unsigned long long)number, (long long)count);
    return count == 1;
}

/* Readers, single writes, groups, errors, timeouts and cancels: each ends once, as itself, and takes effect once. */
Test(lite, thousands_keep_their_identity) {
    struct ledger ledger;
    struct rng rng = {11};
    static bool writes[MANY];
    uint32_t total = LIVE_SANITIZED ? MANY / 4 : MANY;
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 3, .durability = QURING_DURABILITY_OFF});
    live_exec(&live, "create table w(x integer)");
    live_exec(&live, "create index w_x on w(x)");
    live_exec(&live, "create table t(id integer primary key, a)");
    live_exec(&live, "with recursive n(i) as (values(1) union all select i + 1 from n where i < 101) "
                     "insert into t select i, i from n");
    ledger_init(&ledger, total);
    for (uint32_t number = 0; number < total; number++) {
        struct rng before = rng;
        submit_one(&rng, number);
        uint64_t kind = rng_below(&before, 100);
        writes[number] = kind >= 70 && kind < 96;
        while (quring_pending(live.engine) > 3000 || (number % 64 == 0 && quring_run(live.engine, 0, 0) > 0)) {
            cr_assert_geq(quring_run(live.engine, 1, LIVE_SECOND), 0);
            live_reap(&live, ledger_note, &ledger);
        }
    }
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_gt(ledger.by_status[QURING_OK], total / 2);
    cr_assert_gt(ledger.by_status[QURING_SERVER_ERROR], 0);
    cr_assert_gt(ledger.by_status[QURING_CANCELLED], 0);
    for (uint32_t number = 0; number < total; number++) {
        if (!writes[number])
            continue;
        bool there = in_table(number);
        if (ledger.status[number] == QURING_OK)
            cr_assert(there, "%u was said to be written", number);
    }
    ledger_free(&ledger);
}

enum { BESIDE = LIVE_SANITIZED ? 2500 : 10000, BEHIND = 40 };

/* Long and short ones on three lanes, each fifth cancelled a little later. Returns how many had not ended before. */
static uint32_t cancel_some(struct rng *rng) {
    static quring_id ids[BESIDE];
    static const char *const texts[] = {
        "select $1 from (select count(*) as n from t)", "select $1",
        "select $1 from (select group_concat(integrity_check) from pragma_integrity_check)",
        "insert into w values($1) returning x"};
    struct ledger ledger;
    ledger_init(&ledger, BESIDE);
    for (uint32_t number = 0; number < BESIDE; number++) {
        uint64_t kind = rng_below(rng, 100);
        quring_param identity = quring_int64((int64_t)live_identity(number));
        ids[number] =
            live_submit(&live, &(quring_query){.sql = texts[kind < 40   ? 0
                                                            : kind < 70 ? 1
                                                            : kind < 75 ? 2
                                                                        : 3],
                                               .params = &identity,
                                               .param_count = 1,
                                               .user_data = number,
                                               .commit = kind % 2 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH});
        quring_run(live.engine, 0, 0);
        if (number >= BEHIND && number % 5 == 0)
            (void)quring_cancel(live.engine, ids[number - rng_below(rng, BEHIND) / 5 * 5]);
        if (quring_pending(live.engine) > 100)
            quring_run(live.engine, 1, LIVE_SECOND);
        live_reap(&live, ledger_note, &ledger);
    }
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    for (uint32_t number = 0; number < BESIDE; number++)
        if (number % 5)
            cr_assert_eq(ledger.status[number], QURING_OK, "%u, which nobody cancelled, ended with %d", number,
                         ledger.status[number]);
    ledger_free(&ledger);
    return ledger.by_status[QURING_CANCELLED];
}

/* Nobody else feels anything of it. */
Test(lite, a_cancel_hits_nobody_else) {
    struct rng rng = {17};
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 2, .durability = QURING_DURABILITY_OFF});
    live_exec(&live, "create table t(a)");
    live_exec(&live, "create table w(x integer)");
    live_exec(&live, "with recursive n(i) as (values(1) union all select i + 1 from n where i < 20000) "
                     "insert into t select i from n");
    for (uint32_t cancelled = 0; cancelled <= BESIDE / 100; cancelled += cancel_some(&rng)) {
    }
}

/* ---- Order and visibility ---- */

Test(lite, a_write_that_was_reaped_is_seen_by_every_later_read) {
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 3, .durability = QURING_DURABILITY_OFF});
    live_exec(&live, "create table t(a)");
    live_exec(&live, "insert into t values(0)");
    for (int i = 1; i <= (LIVE_SANITIZED ? 200 : 2000); i++) {
        quring_done done = live_query(&live, "update t set a = $1", quring_int64(i));
        live_check_ok(&done, "update");
        live_release(&live, &done);
        for (int k = 0; k < 3; k++)
            live_submit(&live, &(quring_query){.sql = "select a from t"});
        for (int k = 0; k < 3; k++) {
            int64_t seen = 0;
            done = live_wait(&live);
            cr_assert(quring_get_int64(done.result, 0, 0, &seen) == 0 && seen == i, "%lld after %d", (long long)seen,
                      i);
            live_release(&live, &done);
        }
    }
}

static void note_order(struct live *l, const quring_done *done, void *context) {
    uint64_t *next = context;
    (void)l;
    live_check_ok(done, "in a session");
    cr_assert_eq(done->user_data, (*next)++);
}

Test(lite, a_session_runs_in_order) {
    uint64_t next = 0;
    files_open(&live, "a.db", &(quring_db_options){.exclusive = true});
    live_exec(&live, "create table t(a)");
    for (uint64_t i = 0; i < 7 * 400; i++) {
        static const char *const cycle[] = {"begin",    "insert into t values(1)", "insert into t values(2)",
                                            "rollback", "begin immediate",         "insert into t values(3)",
                                            "commit"};
        live_submit(&live, &(quring_query){.sql = cycle[i % 7], .user_data = i});
    }
    live_drain(&live, note_order, &next);
    cr_assert_eq(next, 7 * 400);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 400);
}

/* ---- Schema changes ---- */

static void check_row(struct live *l, const quring_done *done, void *context) {
    uint64_t *rows = context;
    (void)l;
    if (done->user_data == 1) {
        live_check_ok(done, "alter");
        return;
    }
    live_check_ok(done, "select *");
    uint32_t columns = quring_column_count(done->result);
    cr_assert_geq(columns, 1);
    for (uint32_t i = 1; i < columns; i++) {
        int64_t value;
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        cr_assert_str_eq(quring_column_name(done->result, i), name);
        cr_assert(quring_get_int64(done->result, 0, i, &value) == 0 && value == (int64_t)i);
    }
    *rows += quring_row_count(done->result);
}

Test(lite, the_schema_changes_under_cached_statements) {
    uint64_t rows = 0;
    files_open(&live, "a.db", &(quring_db_options){.connection_count = 2, .durability = QURING_DURABILITY_OFF});
    live_exec(&live, "create table t(c0 integer)");
    live_exec(&live, "insert into t values(0)");
    for (int i = 1; i < 40; i++) {
        char sql[96];
        snprintf(sql, sizeof sql, "alter table t add column c%d integer default %d", i, i);
        for (int k = 0; k < 100; k++) {
            if (k == 50)
                live_submit(&live, &(quring_query){.sql = sql, .user_data = 1});
            live_submit(&live, &(quring_query){.sql = "select * from t"});
        }
        if (i % 5 == 0)
            live_drain(&live, check_row, &rows);
    }
    live_drain(&live, check_row, &rows);
    cr_assert_eq(rows, 3900);
}

/* ---- The log ---- */

struct overlap {
    uint32_t written, reads_done;
    const char *name;
    off_t log_bytes; /* the most that was seen */
};

static void note_overlap(struct live *l, const quring_done *done, void *context) {
    struct overlap *seen = context;
    struct stat status;
    char log[100];
    (void)l;
    snprintf(log, sizeof log, "%s-wal", seen->name);
    if (done->user_data == 1)
        live_check_ok(done, "update");
    else
        live_check_error(done, QURING_TIMEOUT, "57014", "timeout");
    seen->written += done->user_data == 1;
    seen->reads_done += done->user_data == 0;
    if (stat(files_path(log), &status) == 0 && status.st_size > seen->log_bytes)
        seen->log_bytes = status.st_size;
}

/* A read that takes as long as its timeout, on any machine. */
static void read_for(uint64_t ns) {
    live_submit(&live, &(quring_query){.sql = "with recursive n(i) as (select length(a) from t union all "
                                              "select i + 1 from n) select count(*) from n",
                                       .timeout_ns = ns});
}

/* There is always another read at work. Returns how long the log was. */
static off_t write_beside_reads(const char *name) {
    enum { WRITES = 500 };
    struct overlap seen = {.name = name};
    uint32_t submitted = 0, reads = 0;
    files_open(&live, name, &(quring_db_options){.connection_count = 3, .durability = QURING_DURABILITY_OFF});
    live_exec(&live, "create table t(a)");
    live_exec(&live, "insert into t values(1)");
    while (seen.written < WRITES || seen.reads_done <= 8) {
        for (; reads - seen.reads_done < 3; reads++)
            read_for((40 + 17 * (reads % 3)) * LIVE_MS);
        for (; submitted < WRITES && submitted - seen.written < 4; submitted++)
            live_submit(&live, &(quring_query){.sql = "update t set a = randomblob(1000000)", .user_data = 1});
        quring_run(live.engine, 1, LIVE_SECOND);
        live_reap(&live, note_overlap, &seen);
    }
    live_drain(&live, note_overlap, &seen);
    live_close(&live);
    return seen.log_bytes;
}

/* A log that waited for a gap would grow to 500 MB each time; one that waits for a lane without a processor does now and then. */
Test(lite, the_log_stays_bounded_while_reads_overlap) {
    off_t least = write_beside_reads("a.db");
    for (int tries = 1; least >= 250 << 20 && tries < 5; tries++) {
        off_t bytes = write_beside_reads((const char *[]){"b.db", "c.db", "d.db", "e.db"}[tries - 1]);
        least = bytes < least ? bytes : least;
    }
    cr_assert_lt(least, 250 << 20, "%llu MB", (unsigned long long)least >> 20);
}

/* ---- Memory ---- */

Test(lite, memory) {
    live_open_url(&live, "sqlite://", NULL, NULL);
    live_exec(&live, "create table t(a)");
    for (int i = 0; i < 1000; i++)
        live_submit(&live,
                    &(quring_query){.sql = "insert into t values(1)", .commit = i % 2 ? QURING_COMMIT_GROUP : 0});
    live_drain(&live, NULL, NULL);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 1000);
    struct live other = {.engine = live.engine, .db = live_open_db(&live, "sqlite:///:memory:", NULL)};
    cr_assert_eq(live_int(&other, "select count(*) from sqlite_schema"), 0, "another handle, another database");
    quring_db_close(other.db);
}

Test(lite, two_handles_on_one_file) {
    files_open(&live, "a.db", &(quring_db_options){.durability = QURING_DURABILITY_OFF});
    struct live session = {.engine = live.engine,
                           .db = live_open_db(&live, files_url("a.db"), &(quring_db_options){.exclusive = true})};
    live_exec(&live, "create table t(a)");
    live_exec(&session, "begin");
    live_exec(&session, "insert into t values(1)");
    cr_assert_eq(live_int(&live, "select count(*) from t"), 0);
    live_submit(&live, &(quring_query){.sql = "insert into t values(2)", .user_data = 2});
    quring_run(live.engine, 1, 20 * LIVE_MS);
    cr_assert_eq(quring_pending(live.engine), 1, "it waits for the session's lock");
    live_submit(&session, &(quring_query){.sql = "commit", .user_data = 3});
    live_drain(&live, NULL, NULL);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 2);
}

static void status_is_user_data(struct live *l, const quring_done *done, void *context) {
    (void)l;
    (void)context;
    cr_expect_eq(done->status, (quring_status)done->user_data, "%s", done->error ? done->error->message : "OK");
}

/*
 * Before its first write a file is not in WAL mode, and reads keep writes out: those of the same handle for as long as
 * it takes.
 */
Test(lite, the_first_write_waits_for_the_handle_s_own_reads) {
    sqlite3 *other;
    lite_gate_install();
    cr_assert_eq(sqlite3_open(files_path("a.db"), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "create table t(a); insert into t values(1)", NULL, NULL, NULL), SQLITE_OK);
    files_open(&live, "a.db", &(quring_db_options){.busy_timeout_ns = 20 * LIVE_MS});
    cr_assert_eq(live_int(&live, "select count(*) from t"), 1);
    lite_gate_close(GATE_SQL);
    live_submit(&live, &(quring_query){.sql = "select gate(a) from t"});
    while (!lite_gate_is_reached())
        quring_run(live.engine, 1, LIVE_MS);
    live_submit(&live, &(quring_query){.sql = "insert into t values(2)"});
    live_submit(&live, &(quring_query){.sql = "insert into t values(3)", .commit = QURING_COMMIT_GROUP});
    quring_run(live.engine, 1, 100 * LIVE_MS);
    for (int i = 0; i < 3; i++)
        live_submit(&live, &(quring_query){.sql = "select a from t"});
    quring_run(live.engine, 1, 100 * LIVE_MS);
    cr_assert_eq(quring_pending(live.engine), 6, "none has ended, for none has met a lock of others");
    lite_gate_open();
    live_drain(&live, status_is_user_data, NULL);
    cr_assert_eq(live_int(&live, "select count(*) from t"), 3);
    sqlite3_close(other);
}

/* ---- URLs and options ---- */

static int open_error(const char *url, const quring_db_options *options) {
    quring_db *db;
    return quring_db_open(live.engine, url, options, &db);
}

Test(lite, what_can_t_be_opened) {
    live_open_url(&live, "sqlite://", NULL, NULL);
    cr_assert_eq(open_error("sqlite:///a.db?cache=shared", NULL), QURING_EURL);
    cr_assert(strstr(quring_errmsg(live.engine), "cache"), "%s", quring_errmsg(live.engine));
    cr_assert_eq(open_error("sqlite://host/a.db", NULL), QURING_EURL);
    cr_assert_eq(open_error("sqlite:///a.db", &(quring_db_options){.connection_count = 64}), QURING_EINVAL);
    cr_assert_str_eq(quring_db_backend(live.db), "sqlite");
}

/* Alone or in a group: too many rows come back, and what was written stands. */
Test(lite, a_write_over_its_limit_stands) {
    files_open(&live, "a.db", &(quring_db_options){.result_row_count = 2});
    live_exec(&live, "create table t(a)");
    for (int group = 0; group < 2; group++) {
        live_exec(&live, "delete from t");
        for (int i = 0; i < 5; i++)
            live_submit(&live, &(quring_query){.sql = i == 2 ? "insert into t values(1), (2), (3) returning a"
                                                             : "insert into t values(7)",
                                               .commit = group ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH,
                                               .user_data = i == 2 ? QURING_LIMIT : QURING_OK});
        live_drain(&live, status_is_user_data, NULL);
        cr_assert_eq(live_int(&live, "select count(*) from t"), 7, "group %d", group);
    }
}

/* ---- Conflicts ---- */

static const char *const schema[] = {
    "create table u(a integer primary key, b unique, c check(c < 100))",
    "create table f(a unique on conflict fail, b unique on conflict rollback)",
    "create virtual table r using rtree(id, low, high)",
    "create trigger guard before insert on u when new.a between 50 and 53 begin select case new.a "
    "when 50 then raise(fail, 'fail') when 51 then raise(abort, 'abort') when 52 then raise(rollback, 'rollback') "
    "else raise(ignore) end; end",
    "create table k(id integer primary key, v int) strict",
    "create table old(id integer primary key, v)",
    "create virtual table found using fts5(v, content=old, content_rowid=id)",
    "insert into found(rowid, v) values(1, 'word')",
    "alter table old rename to gone"};

/* Each has rows that stand before the one that is in conflict. */
static const char *const conflicts[] = {
    "insert into u values(1, 1, 1), (2, 2, 2)",
    "insert into u values(3, 3, 3), (1, 4, 4), (5, 5, 5)",
    "insert or fail into u values(6, 6, 6), (1, 7, 7), (8, 8, 8)",
    "insert or ignore into u values(9, 9, 9), (1, 7, 7), (10, 10, 10)",
    "insert or replace into u values(11, 2, 11), (12, 12, 12)",
    "insert or rollback into u values(13, 13, 13), (1, 0, 0)",
    "insert or fail into u values(14, 14, 14), (15, 15, 100)",
    "update or fail u set b = b + 1 where a >= 9",
    "update u set b = 12",
    "insert into u values(20, 20, 20), (50, 50, 50), (21, 21, 21)",
    "insert into u values(22, 22, 22), (51, 51, 51)",
    "insert into u values(23, 23, 23), (52, 52, 52)",
    "insert into u values(24, 24, 24), (53, 53, 53), (25, 25, 25)",
    "insert into f values(1, 1), (2, 2), (1, 3), (4, 4)",
    "insert into f values(5, 5), (6, 1)",
    "insert into r values(1, 1, 2), (2, 2, 1), (3, 1, 2)",
    "insert into r values(4, 1, 2), (1, 3, 4)",
    "insert into f select a, a from u where a > 2 returning a",
    /* For these SQLite writes no journal of the statement. */
    "insert into k(v) values(1), ('text')",
    "insert or ignore into k values(2, 2), ('text', 3)",
    "insert into k values(4, 4), ('text', 5) on conflict do nothing",
    "insert into k(v) select value from (select '[6]' as j union all select '[7'), json_each(j)",
    "insert into k(v) select sum(b) from (select 8 as a, 8 as b "
    "union all select 9, 0x7fffffffffffffff union all select 9, 1) group by a",
    "insert into k(v) values(10) returning (select 1 from json_each('['))",
    "insert into found(found) values('rebuild')",
    "insert into k values(11, 11)",
};

static const char *const standing =
    "select (select group_concat(a || ':' || b || ':' || c) from (select * from u order by a)) "
    "|| '/' || (select group_concat(a || ':' || b) from (select * from f order by a)) "
    "|| '/' || (select group_concat(id || ':' || low) from (select * from r order by id))"
    "|| '/' || (select group_concat(id || ':' || v) from k) "
    "|| '/' || (select count(*) from found_docsize)";

static void bare_conflicts(char *text, size_t size) {
    sqlite3 *bare;
    sqlite3_stmt *statement;
    cr_assert_eq(sqlite3_open(":memory:", &bare), SQLITE_OK);
    for (size_t i = 0; i < sizeof schema / sizeof *schema; i++)
        cr_assert_eq(sqlite3_exec(bare, schema[i], NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(bare));
    for (size_t i = 0; i < sizeof conflicts / sizeof *conflicts; i++)
        (void)sqlite3_exec(bare, conflicts[i], NULL, NULL, NULL);
    cr_assert_eq(sqlite3_prepare_v2(bare, standing, -1, &statement, NULL), SQLITE_OK, "%s", sqlite3_errmsg(bare));
    cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
    snprintf(text, size, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(bare);
}

/* Alone or in a group, what a conflict leaves is what it leaves in SQLite's own autocommit. */
Test(lite, a_conflict_keeps_what_sqlite_keeps) {
    char expected[1024];
    bare_conflicts(expected, sizeof expected);
    cr_assert(strstr(expected, "6:6:6") && strstr(expected, "20:20:20"), "FAIL keeps nothing in %s", expected);
    cr_assert(strstr(expected, "/11:11/1"), "all else is undone in %s", expected);
    files_open(&live, "a.db", NULL);
    for (int group = 0; group < 2; group++) {
        static const char *const drops[] = {"drop table if exists u",     "drop table if exists f",
                                            "drop table if exists r",     "drop table if exists k",
                                            "drop table if exists found", "drop table if exists gone"};
        for (size_t i = 0; i < sizeof drops / sizeof *drops; i++)
            live_exec(&live, drops[i]);
        for (size_t i = 0; i < sizeof schema / sizeof *schema; i++)
            live_exec(&live, schema[i]);
        for (size_t i = 0; i < sizeof conflicts / sizeof *conflicts; i++)
            live_submit(&live, &(quring_query){.sql = conflicts[i],
                                               .commit = group ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH});
        live_drain(&live, NULL, NULL);
        quring_done done = live_run(&live, &(quring_query){.sql = standing});
        live_check_ok(&done, standing);
        const char *text;
        cr_assert_eq(quring_get_text(done.result, 0, 0, &text, NULL), 0);
        cr_assert_str_eq(text, expected, "group %d", group);
        live_release(&live, &done);
    }
}

Test(lite, limits_name_themselves) {
    files_open(&live, "a.db", &(quring_db_options){.result_bytes = 10000, .result_row_count = 10});
    static const char *const sql = "with recursive n(i) as (values(1) union all select i + 1 from n) select i from n";
    quring_done done = live_run(&live, &(quring_query){.sql = sql});
    live_check_error(&done, QURING_LIMIT, "54000", "result_row_count");
    live_release(&live, &done);
    done = live_run(&live, &(quring_query){.sql = "select zeroblob(20000)"});
    live_check_error(&done, QURING_LIMIT, "54000", "result_bytes");
    live_release(&live, &done);
    cr_assert_eq(live_int(&live, "select 7"), 7);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* these keep freed memory for a while */
static size_t resident_bytes(void) {
    size_t total, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_eq(fscanf(file, "%zu %zu", &total, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* One in every slot, each released as it ends. */
Test(lite, large_results_leave_no_memory_in_their_slots) {
    enum { COUNT = 2000 };
    live_open_url(&live, "sqlite://", &(quring_options){.query_count = COUNT}, NULL);
    size_t before = resident_bytes();
    for (int i = 0; i < COUNT; i++)
        live_submit(&live, &(quring_query){.sql = "select zeroblob(140000)"});
    live_drain(&live, NULL, NULL);
    size_t after = resident_bytes();
    cr_assert_lt(after, before + (32 << 20), "%zu KiB", (after - before) / 1024);
}
#endif
