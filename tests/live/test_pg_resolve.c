/* SPDX-License-Identifier: MIT */
/*
 * COMMITs whose connection to the real server is lost, of transactions that write a token, or have read their ID. What the table has in the end says
 * whether the outcome was true.
 */
#include "lib/live_tx.h"
#include "lib/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const quring_tx_options with_token = {.resolve = QURING_RESOLVE_TOKEN, .token_table = "public.live_commits"};

static void make_tables(const char *token_type) {
    char sql[400];
    snprintf(sql, sizeof sql,
             "drop table if exists live_row, live_commits;\n"
             "create table live_row (id int8 primary key);\n"
             "create table live_commits (token %s primary key, committed boolean not null,\n"
             "at timestamptz not null default now())",
             token_type);
    live_script(&live, sql);
}

static void drop_tables(void) {
    live_exec(&live, "drop table live_row, live_commits");
}

static int64_t count_of(const char *what) {
    char sql[200];
    snprintf(sql, sizeof sql, "select count(*) from %s", what);
    return live_int(&live, sql);
}

static void open_one(void) {
    live_open(&live, &(quring_db_options){.connection_count = 1});
}

/* ---- Without a loss ---- */

Test(pg_resolve, the_token_is_in_the_table) {
    static const char *const types[] = {"uuid", "text"};
    for (int i = 0; i < 2; i++) {
        open_one();
        make_tables(types[i]);
        for (int again = 0; again < 3; again++) {
            quring_tx *tx = begin_with(&with_token);
            char sql[200];
            snprintf(sql, sizeof sql, "live_commits where committed and token = '%s'", quring_tx_token(tx));
            cr_assert_eq(strlen(quring_tx_token(tx)), 36);
            quring_id ids[2] = {ask(tx, "insert into live_row select count(*) from live_row"), 0};
            if (again == 1)
                ends(ids[0], "");
            ids[1] = commit(tx);
            quring_tx_release(tx);
            if (again != 1)
                ends(ids[0], "");
            ends(ids[1], "");
            cr_assert_eq(count_of(sql), 1);
        }
        cr_assert(count_of("live_row") == 3 && count_of("live_commits") == 3);
        drop_tables();
        live_close(&live);
    }
}

Test(pg_resolve, none_is_written_where_nothing_is_committed) {
    open_one();
    make_tables("uuid");
    quring_tx *tx = begin_with(&with_token);
    end_with_commit(tx, "");
    tx = begin_with(&with_token);
    ends_as(tx, "insert into live_row values (1)", "");
    quring_id id;
    cr_assert_eq(quring_rollback(tx, 0, &id), 0);
    quring_tx_release(tx);
    ends(id, "");
    quring_tx_options reads = with_token;
    reads.read_only = true;
    tx = begin_with(&reads);
    cr_assert_str_eq(quring_tx_token(tx), "");
    ends_as(tx, "select count(*) from live_row", "");
    end_with_commit(tx, "");
    tx = begin_with(&with_token);
    ends_as(tx, "select 1/0", "SERVER_ERROR 22012");
    end_with_commit(tx, "SERVER_ERROR 22012");
    cr_assert(count_of("live_row") == 0 && count_of("live_commits") == 0);
    drop_tables();
    live_close(&live);
}

Test(pg_resolve, a_token_that_can_not_be_written_fails_the_transaction) {
    open_one();
    make_tables("uuid");
    live_exec(&live, "create table \"Odd \"\"one\" (token uuid primary key, committed bool)");
    static const struct {
        const char *table, *ends;
    } rows[] = {{"public.live_nowhere", "SERVER_ERROR 42P01"},
                {"public.live_row", "SERVER_ERROR 42703"},
                {"pg_catalog.pg_class", "SERVER_ERROR 42703"},
                {"public.\"Odd \"\"one\"", ""}};
    int64_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int whole = 0; whole < 2; whole++) {
            quring_tx *tx =
                begin_with(&(quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = rows[i].table});
            quring_id id = ask(tx, "insert into live_row select count(*) from live_row");
            if (!whole)
                ends(id, "");
            quring_id end = commit(tx);
            quring_tx_release(tx);
            if (whole)
                ends(id, "");
            ends(end, rows[i].ends);
            count += !rows[i].ends[0];
            cr_assert_eq(count_of("live_row"), count);
        }
    live_exec(&live, "drop table \"Odd \"\"one\"");
    drop_tables();
    live_close(&live);
}

Test(pg_resolve, with_a_token_it_takes_one_round_trip) {
    struct relay *relay = relay_open(live_port());
    live_open_url(&live, live_url_by_port(relay_port(relay)), NULL, &(quring_db_options){.connection_count = 1});
    make_tables("uuid");
    for (int i = 0; i < 3; i++) {
        uint32_t before = relay_flight_count(relay);
        quring_tx *tx = begin_with(&with_token);
        quring_id ids[2] = {ask(tx, "insert into live_row select count(*) from live_row"), commit(tx)};
        quring_tx_release(tx);
        ends(ids[0], "");
        ends(ids[1], "");
        cr_assert_eq(relay_flight_count(relay), before + 1);
    }
    drop_tables();
    live_close(&live);
    relay_close(relay);
}

/* ---- A link that is cut ---- */

enum { FLIGHT_BYTES_MAX = 6000, STEP = 13, STEP_WIDE = 97 };

static const quring_tx_options with_xid = {.resolve = QURING_RESOLVE_XID}, *how = &with_token;

static const char *first; /* query of each transaction; NULL: it has one alone */

static struct live other; /* not over the relay */

/* Of a transaction with this query. Returns COMMIT's status; true in `*whole`: the connection outlived it. */
static quring_status cut_at(struct relay *relay, const char *sql, uint64_t bytes, bool received, bool *whole) {
    struct relay_plan cut = {.cut_after_sent = received ? RELAY_NEVER : bytes,
                             .cut_after_received = received ? bytes : RELAY_NEVER,
                             .reset = bytes % 2};
    uint32_t accepted = relay_accepted_count(relay);
    relay_set(relay, &cut);
    live_open_url(&live, live_url_by_port(relay_port(relay)), NULL, &(quring_db_options){.connection_count = 1});
    quring_tx *tx = begin_with(how);
    if (first)
        ask(tx, first);
    ask(tx, sql);
    commit(tx);
    quring_tx_release(tx);
    while (relay_accepted_count(relay) == accepted)
        cr_assert_geq(quring_run(live.engine, 1, LIVE_MS), 0);
    relay_set(relay, &(struct relay_plan){.cut_after_sent = RELAY_NEVER, .cut_after_received = RELAY_NEVER});
    quring_status status = QURING_OK;
    for (int i = first ? -1 : 0; i < 2; i++) {
        quring_done done = live_wait(&live);
        status = done.status;
        if (i == 1 && status == QURING_IN_DOUBT)
            cr_assert(strstr(done.error->detail, "had no ID"), "%s", done.error->detail);
        live_release(&live, &done);
    }
    *whole = relay_accepted_count(relay) == accepted + 1 && status == QURING_OK;
    live_close(&live);
    return status;
}

static void cut_anywhere(void) {
    struct relay *relay = relay_open(live_port());
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    live_open(&other, &(quring_db_options){.connection_count = 1});
    live = other;
    make_tables("uuid");
    int64_t id = 0;
    for (int received = 0; received < 2; received++) {
        bool whole = false;
        for (uint64_t bytes = 1; !whole && bytes < FLIGHT_BYTES_MAX; bytes += first ? STEP_WIDE : STEP) {
            char row[64], sql[80];
            snprintf(sql, sizeof sql, "insert into public.live_row values (%d)", (int)++id);
            quring_status status = cut_at(relay, sql, bytes, received, &whole);
            snprintf(row, sizeof row, "live_row where id = %d", (int)id);
            live = other;
            cr_assert_eq(count_of(row), status == QURING_OK, "byte %d: %s", (int)bytes, quring_status_name(status));
            cr_assert_neq(status, QURING_IN_DOUBT);
            by_status[status] += !whole;
        }
        cr_assert(whole);
    }
    uint32_t least = first || how == &with_xid ? 0 : 5;
    cr_assert(by_status[QURING_OK] > least && by_status[QURING_SERVER_ERROR] > least, "%u, %u", by_status[QURING_OK],
              by_status[QURING_SERVER_ERROR]);
    live = other;
    drop_tables();
    live_close(&live);
    relay_close(relay);
}

Test(pg_resolve, a_link_that_is_cut_anywhere) {
    cut_anywhere();
    how = &with_xid;
    cut_anywhere();
}

/* The row is written, and asked for, in one table, whatever a bare name means within the transaction. */
Test(pg_resolve, another_table_of_that_name_in_the_transaction) {
    static const char *const firsts[] = {
        "set local search_path = live_other", "select set_config('search_path', 'live_other', true)",
        "create temporary table live_commits (token uuid primary key, committed boolean not null) on commit drop"};
    open_one();
    live_script(&live, "drop schema if exists live_other cascade;\n"
                       "create schema live_other;\n"
                       "create table live_other.live_commits (token uuid primary key, committed boolean not null)");
    live_close(&live);
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        first = firsts[i];
        cut_anywhere();
    }
    open_one();
    cr_assert_eq(count_of("live_other.live_commits"), 0);
    live_exec(&live, "drop schema live_other cascade");
    live_close(&live);
}

/* COMMIT may have had an effect all the same. */
Test(pg_resolve, nobody_is_asked_for_one_without_an_id) {
    struct relay *relay = relay_open(live_port());
    uint32_t by_status[QURING_SHUTDOWN + 1] = {0};
    bool whole = false;
    how = &with_xid;
    for (uint64_t bytes = 1; !whole && bytes < FLIGHT_BYTES_MAX; bytes += STEP)
        by_status[cut_at(relay, "select 1", bytes, true, &whole)]++;
    cr_assert(whole && by_status[QURING_OK] == 1 && by_status[QURING_IN_DOUBT] > 0, "%u, %u", by_status[QURING_OK],
              by_status[QURING_IN_DOUBT]);
    relay_close(relay);
}

/* ---- A COMMIT that takes long ---- */

/* Two sessions of the test's own: one has the lock that COMMIT waits for, one looks. */
struct slow {
    struct live holder, looker;
    struct relay *relay;
    quring_tx *tx;
    quring_id commit;
};

static int64_t look_at(struct slow *slow, const char *what) {
    char sql[300];
    snprintf(sql, sizeof sql, "select count(*) from %s", what);
    return live_int(&slow->looker, sql);
}

/* Lets the engine go on until the server says so. */
static void until_there(struct slow *slow, const char *what) {
    uint64_t end_ns = live_now_ns() + LIVE_STALL_NS;
    while (look_at(slow, what) == 0) {
        cr_assert_geq(quring_run(live.engine, 1, 5 * LIVE_MS), 0);
        cr_assert_lt(live_now_ns(), end_ns, "%s", what);
    }
}

#define OLD_ONE "pg_stat_activity where wait_event = 'advisory' and datname = current_database()"
#define ASKER "pg_stat_activity where wait_event = 'transactionid' and query like 'insert into public.live_commits%'"

static void slow_insert(struct slow *slow, const quring_tx_options *options) {
    slow->tx = begin_with(options);
    ends_as(slow->tx, "insert into live_slow values (1)", "");
}

/* What a connection says from its first exchange to the COMMIT. */
static uint64_t slow_said_bytes(struct slow *slow) {
    quring_stats stats;
    open_one();
    slow_insert(slow, how);
    end_with_commit(slow->tx, "");
    quring_stats_get(live.engine, &stats);
    live_exec(&live, "delete from live_slow");
    live_exec(&live, "delete from live_commits");
    live_close(&live);
    return stats.sent_bytes;
}

/* COMMIT is out, its process waits for the lock, and the link is cut behind it. */
static void slow_begin(struct slow *slow, uint64_t resolve_timeout_ns) {
    quring_tx_options options = *how;
    options.resolve_timeout_ns = resolve_timeout_ns;
    live_open(&slow->looker, &(quring_db_options){.connection_count = 1});
    live = slow->looker;
    make_tables("uuid");
    live_script(&live, "drop table if exists live_slow;\n"
                       "create table live_slow (id int8 primary key)");
    live_exec(&live, "create or replace function live_waits() returns trigger language plpgsql as "
                     "$$ begin perform pg_advisory_xact_lock_shared(4711); return null; end $$");
    live_exec(&live, "create constraint trigger slow after insert on live_slow deferrable initially deferred "
                     "for each row execute function live_waits()");
    uint64_t bytes = slow_said_bytes(slow);
    live_open(&slow->holder, &(quring_db_options){.exclusive = true});
    live_int(&slow->holder, "select count(*) from (select pg_advisory_lock(4711)) l");
    slow->relay = relay_open(live_port());
    /* All but the end of the last Sync: the server is at COMMIT by then. */
    relay_set(slow->relay, &(struct relay_plan){.cut_after_sent = bytes - 2, .cut_after_received = RELAY_NEVER});
    live_open_url(&live, live_url_by_port(relay_port(slow->relay)), NULL, &(quring_db_options){.connection_count = 1});
    slow_insert(slow, &options);
    slow->commit = commit(slow->tx);
    relay_set(slow->relay, &(struct relay_plan){.cut_after_sent = RELAY_NEVER, .cut_after_received = RELAY_NEVER});
    until_there(slow, OLD_ONE);
}

static void slow_end(struct slow *slow) {
    quring_tx_release(slow->tx);
    live_close(&live);
    live_close(&slow->holder);
    live = slow->looker;
    live_exec(&live, "drop table live_slow");
    live_exec(&live, "drop function live_waits()");
    drop_tables();
    live_close(&live);
    relay_close(slow->relay);
}

Test(pg_resolve, who_asks_waits_for_a_slow_commit) {
    struct slow slow;
    slow_begin(&slow, 0);
    until_there(&slow, ASKER);
    cr_assert_eq(quring_run(live.engine, 1, 50 * LIVE_MS), 0, "nobody knows yet");
    live_int(&slow.holder, "select count(*) from (select pg_advisory_unlock(4711)) l");
    ends(slow.commit, "");
    cr_assert_eq(look_at(&slow, "live_slow"), 1);
    cr_assert_eq(look_at(&slow, "live_commits where committed"), 1);
    slow_end(&slow);
}

Test(pg_resolve, who_asks_waits_for_a_slow_commit_that_fails) {
    struct slow slow;
    slow_begin(&slow, 0);
    until_there(&slow, ASKER);
    live_int(&slow.looker, "select count(*) from (select pg_terminate_backend(pid) from " OLD_ONE ") l");
    ends(slow.commit, "SERVER_ERROR 08006");
    cr_assert_eq(look_at(&slow, "live_slow"), 0);
    cr_assert(look_at(&slow, "live_commits where not committed") == 1 && look_at(&slow, "live_commits") == 1);
    slow_end(&slow);
}

static void too_slow(void) {
    struct slow slow;
    slow_begin(&slow, 300 * LIVE_MS);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, slow.commit);
    cr_assert_eq(done.status, QURING_IN_DOUBT);
    cr_assert(strstr(done.error->detail, "resolve_timeout_ns"), "%s", done.error->detail);
    live_release(&live, &done);
    live_int(&slow.holder, "select count(*) from (select pg_advisory_unlock(4711)) l");
    cr_assert_eq(live_int(&live, "select 1::int8"), 1, "the connection is there for others");
    slow_end(&slow);
}

Test(pg_resolve, a_commit_that_is_too_slow_stays_in_doubt) {
    too_slow();
    how = &with_xid;
    too_slow();
}

/* One that is asked for by its ID is in progress until its process has ended. */
Test(pg_resolve, who_asks_for_an_id_asks_until_a_slow_commit_has_ended) {
    for (int fails = 0; fails < 2; fails++) {
        struct slow slow;
        how = &with_xid;
        slow_begin(&slow, 0);
        until_there(&slow, "pg_stat_activity where query like '%pg_xact_status(n.note%' and state = 'idle'");
        cr_assert_eq(quring_run(live.engine, 1, 50 * LIVE_MS), 0, "nobody knows yet");
        if (fails)
            live_int(&slow.looker, "select count(*) from (select pg_terminate_backend(pid) from " OLD_ONE ") l");
        else
            live_int(&slow.holder, "select count(*) from (select pg_advisory_unlock(4711)) l");
        ends(slow.commit, fails ? "SERVER_ERROR 08006" : "");
        cr_assert_eq(look_at(&slow, "live_slow"), !fails);
        slow_end(&slow);
    }
}

/* ---- A crash ---- */

#define RESET_NS "pg_stat_get_bgwriter_stat_reset_time()"

/* SIGKILL of the process that is at COMMIT: the server ends all others, and recovers from its log. */
static void crash(struct slow *slow) {
    char command[64], recovered[160];
    int64_t pid = live_int(&slow->looker, "select pid::int8 from " OLD_ONE);
    int64_t before = live_int(&slow->looker, "select (extract(epoch from " RESET_NS ") * 1000)::int8");
    snprintf(command, sizeof command, "kill KILL %d", (int)pid);
    snprintf(recovered, sizeof recovered, "select 1 where (extract(epoch from " RESET_NS ") * 1000)::int8 > %lld",
             (long long)before);
    live_ctl(command);
    live_close(&slow->holder);
    live_close(&slow->looker);
    live_open(&slow->looker, &(quring_db_options){.connection_count = 1, .reconnect_wait_ns = 60 * LIVE_SECOND});
    uint64_t end_ns = live_now_ns() + LIVE_STALL_NS;
    for (bool there = false; !there;) {
        live_submit(&slow->looker, &(quring_query){.sql = recovered});
        quring_done done = live_wait(&slow->looker);
        there = done.status == QURING_OK && quring_row_count(done.result) == 1;
        live_release(&slow->looker, &done);
        cr_assert_lt(live_now_ns(), end_ns, "the server does not come back");
    }
    live_open(&slow->holder, &(quring_db_options){.connection_count = 1});
}

/* IDs that were not on the disk are given out again, to transactions that commit. */
Test(pg_resolve, an_id_from_before_a_crash) {
    struct slow slow;
    how = &with_xid;
    slow_begin(&slow, 60 * LIVE_SECOND);
    relay_hold(slow.relay, true);
    crash(&slow);
    for (int i = 0; i < 30; i++)
        live_exec(&slow.looker, "insert into live_row select count(*) from live_row");
    relay_hold(slow.relay, false);
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, slow.commit);
    cr_assert(done.status == QURING_IN_DOUBT || done.status == QURING_SERVER_ERROR, "%s",
              quring_status_name(done.status));
    live_release(&live, &done);
    cr_assert_eq(look_at(&slow, "live_slow"), 0);
    slow_end(&slow);
}

/* ---- A storm ---- */

enum { TRANSFERS = 2000, AT_ONCE = 32, CONNECTIONS = 4, KILLS = 25 };

struct storm {
    struct {
        quring_tx *tx;
        int64_t number;
        uint32_t step;
        bool whole;
    } slots[AT_ONCE];
    uint8_t ended[TRANSFERS]; /* by COMMIT's status + 1 */
    int64_t begun;
    uint32_t out, by_status[QURING_SHUTDOWN + 1], lost_results;
};

static void storm_ask(struct storm *storm, uint64_t slot, const char *sql) {
    quring_query query = {.tx = storm->slots[slot].tx,
                          .sql = sql,
                          .params = QURING_PARAMS(quring_int64(storm->slots[slot].number)),
                          .user_data = slot};
    cr_assert_eq(quring_submit(live.engine, &query, NULL), 0, "%s", quring_errmsg(live.engine));
}

static void storm_rest(struct storm *storm, uint64_t slot) {
    storm_ask(storm, slot, "insert into live_row values ($1 + 1000000)");
    cr_assert_eq(quring_commit(storm->slots[slot].tx, slot, NULL), 0);
    quring_tx_release(storm->slots[slot].tx);
}

static void storm_begin(struct storm *storm, uint64_t slot) {
    storm->slots[slot].number = storm->begun++;
    storm->slots[slot].step = 0;
    storm->slots[slot].whole = live_identity((uint64_t)storm->begun) % 2;
    storm->slots[slot].tx = begin_with(how);
    storm_ask(storm, slot, "insert into live_row values ($1)");
    if (storm->slots[slot].whole)
        storm_rest(storm, slot);
    storm->out++;
}

static void storm_note(struct live *l, const quring_done *done, void *context) {
    struct storm *storm = context;
    uint64_t slot = done->user_data;
    (void)l;
    storm->slots[slot].step++;
    if (storm->slots[slot].step == 1 && !storm->slots[slot].whole)
        storm_rest(storm, slot);
    storm->lost_results += storm->slots[slot].step < 3 && done->status == QURING_IN_DOUBT;
    if (storm->slots[slot].step < 3)
        return;
    storm->ended[storm->slots[slot].number] = (uint8_t)(done->status + 1);
    storm->by_status[done->status]++;
    storm->out--;
    if (storm->begun < TRANSFERS)
        storm_begin(storm, slot);
}

static void storm_kill(struct live *killer) {
    live_exec(killer,
              "select pg_terminate_backend(pid) from pg_stat_activity where (query like '%live_row%' "
              "or query like '%live_commits%' or query like '%xid%' or query = 'commit') and pid <> pg_backend_pid() "
              "order by random() limit 2");
}

static void storm_check(const struct storm *storm) {
    uint8_t *there = calloc(TRANSFERS, 1);
    live_submit(&live, &(quring_query){.sql = "select id % 1000000 from live_row"});
    quring_done done = live_wait(&live);
    live_check_ok(&done, "what is there");
    for (uint64_t row = 0; row < quring_row_count(done.result); row++) {
        int64_t id = -1;
        cr_assert_eq(quring_get_int64(done.result, row, 0, &id), 0);
        there[id]++;
    }
    live_release(&live, &done);
    for (int i = 0; i < TRANSFERS; i++)
        cr_assert_eq(there[i], storm->ended[i] == QURING_OK + 1 ? 2 : 0, "transaction %d: %s, and %d rows", i,
                     quring_status_name((quring_status)(storm->ended[i] - 1)), there[i]);
    free(there);
}

/* Of the connections that are made next, each is cut somewhere: mostly behind a COMMIT that has taken effect. */
static void storm_cut(struct relay *relay, uint64_t number) {
    relay_set(relay, &(struct relay_plan){.cut_after_sent = RELAY_NEVER,
                                          .cut_after_received = 500 + live_identity(number) % 20000});
}

static void storm_of_losses(void) {
    static struct storm storm;
    struct live killer;
    struct relay *relay = relay_open(live_port());
    storm_cut(relay, 0);
    setenv("PGOPTIONS", "-c synchronous_commit=off", 1); /* the server itself stays up */
    memset(&storm, 0, sizeof storm);
    quring_db_options options = {
        .connection_count = CONNECTIONS, .lease_count = CONNECTIONS, .reconnect_wait_ns = 60 * LIVE_SECOND};
    live_open(&live, NULL);
    make_tables("uuid");
    live_close(&live);
    live_open_url(&live, live_url_by_port(relay_port(relay)), NULL, &options);
    live_open(&killer, &(quring_db_options){.connection_count = 1});
    live_int(&killer, "select 1::int8");
    for (uint64_t slot = 0; slot < AT_ONCE; slot++)
        storm_begin(&storm, slot);
    int64_t killed_at = 0;
    while (storm.out) {
        cr_assert_geq(quring_run(live.engine, 1, LIVE_SECOND), 0);
        live_reap(&live, storm_note, &storm);
        storm_cut(relay, (uint64_t)storm.begun);
        if (storm.begun <= killed_at + TRANSFERS / KILLS || storm.begun == TRANSFERS)
            continue;
        killed_at = storm.begun;
        storm_kill(&killer);
    }
    live_close(&live);
    live = killer;
    storm_check(&storm);
    cr_assert_eq(storm.by_status[QURING_IN_DOUBT], 0);
    cr_assert_gt(storm.by_status[QURING_OK], TRANSFERS / 2);
    cr_assert(how == &with_xid || storm.lost_results > 0, "no COMMIT took effect whose answer was lost");
    drop_tables();
    live_close(&live);
    relay_close(relay);
}

Test(pg_resolve, a_storm_of_losses_leaves_none_in_doubt) {
    storm_of_losses();
}

Test(pg_resolve, a_storm_of_losses_with_ids_leaves_none_in_doubt) {
    how = &with_xid;
    storm_of_losses();
}
