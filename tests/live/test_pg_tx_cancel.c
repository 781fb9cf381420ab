/* SPDX-License-Identifier: MIT */
/* Queries of transactions that are given up are stopped on the server, and no other transaction comes to harm. */
#include "lib/live_tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live watcher;

static void open_all(const quring_db_options *options) {
    live_open(&live, options);
    live_connect(&live, options->connection_count);
    live_open(&watcher, &(quring_db_options){.connection_count = 1});
    live_script(&watcher, "drop table if exists live_stopped;\n"
                          "create table live_stopped (id int8 primary key, n int8 not null default 0);\n"
                          "insert into live_stopped values (-1), (-2)");
}

static void close_all(void) {
    live_close(&live); /* a transaction that was released may not have been rolled back yet */
    live_exec(&watcher, "drop table live_stopped");
    live_close(&watcher);
}

static quring_db_stats stats(void) {
    quring_db_stats stats;
    quring_db_stats_get(live.db, &stats);
    return stats;
}

/* Makes turns, and asks over a connection of its own, until the server says so. */
static void wait_for(const char *sql, int64_t count) {
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    for (int64_t seen = -1; seen != count;) {
        cr_assert_geq(quring_run(live.engine, 0, 0), 0);
        seen = live_int(&watcher, sql);
        cr_assert_lt(live_now_ns(), until, "%lld: %s", (long long)seen, sql);
    }
}

static const char at_work[] = "select count(*) from pg_stat_activity where state = 'active' and pid <> "
                              "pg_backend_pid() and query like '%pg_sleep(600)%'";
static const char in_transaction[] =
    "select count(*) from pg_stat_activity where state like 'idle in transaction%' or (state = 'active' and query like "
    "'%pg_sleep(600)%' and pid <> pg_backend_pid())";

/* ---- One at a time ---- */

enum how { BY_TX_TIMEOUT, BY_QUERY_TIMEOUT, BY_CANCEL, BY_RELEASE, HOWS };

static quring_tx *begin_for(uint64_t timeout_ns) {
    return begin_with(&(quring_tx_options){.timeout_ns = timeout_ns});
}

static quring_id ask_for(quring_tx *tx, const char *sql, uint64_t timeout_ns) {
    return live_submit(&live, &(quring_query){.tx = tx, .sql = sql, .timeout_ns = timeout_ns});
}

/* One more transaction, on the same connection, takes the same row. */
static void check_next(void) {
    quring_tx *tx = begin();
    ends(ask(tx, "update live_stopped set n = n + 1 where id = -1"), "");
    ends(commit(tx), "");
    quring_tx_release(tx);
}

/*
 * Nothing shows where the time is over before the query is sent, or the one before it has ended. Then it is tried again with
 * more time.
 */
static uint64_t time_ns = 200 * LIVE_MS;

#define TIME_MAX_NS (20 * LIVE_SECOND)

/* The next completion, which is this query's. False: its time was over too early. */
static bool ends_in_time(quring_id id, const char *expected, bool is_timed) {
    char got[64] = "";
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, id, "another query came");
    if (done.status != QURING_OK)
        snprintf(got, sizeof got, "%s %s", quring_status_name(done.status), done.error->sqlstate);
    bool as_expected = strcmp(got, expected) == 0, sent = done.sent;
    cr_assert(as_expected || (is_timed && (done.status == QURING_TIMEOUT || done.status == QURING_SKIPPED)), "%s", got);
    live_release(&live, &done);
    return as_expected && (sent || !is_timed);
}

static bool is_stopped(quring_tx *tx, enum how how, const char *work) {
    static const char *const given_up[] = {"TIMEOUT 57014", "TIMEOUT 57014", "CANCELLED 57014", "SKIPPED 57014"};
    if (!ends_in_time(ask(tx, "update live_stopped set n = n + 1000 where id = -1"), "", how == BY_TX_TIMEOUT))
        return false;
    quring_id slow = ask_for(tx, work, how == BY_QUERY_TIMEOUT ? time_ns : 0);
    if (how == BY_CANCEL || how == BY_RELEASE)
        wait_for(at_work, 1);
    if (how == BY_CANCEL)
        cr_assert_eq(quring_cancel(live.engine, slow), 0);
    if (how == BY_RELEASE)
        quring_tx_release(tx);
    return ends_in_time(slow, given_up[how], how == BY_TX_TIMEOUT || how == BY_QUERY_TIMEOUT);
}

static void check_stopped(enum how how, const char *work, const char *error) {
    quring_tx *tx = begin_for(how == BY_TX_TIMEOUT ? time_ns : 0);
    for (; !is_stopped(tx, how, work); tx = begin_for(how == BY_TX_TIMEOUT ? time_ns : 0)) {
        quring_tx_release(tx);
        time_ns *= 2;
    }
    wait_for(in_transaction, 0);
    if (how == BY_RELEASE)
        return;
    ends(commit(tx), error);
    quring_tx_release(tx);
}

/* The second leaves what has to be reset, so that the connection is not given on before. */
Test(pg_tx_cancel, stops_the_work_of_the_server_and_rolls_back) {
    static const char *const works[] = {"select pg_sleep(600)",
                                        "select set_config('a.b', 'c', false) from pg_sleep(600)"};
    static const char *const errors[] = {"SERVER_ERROR 25P04", "SERVER_ERROR 57014", "SERVER_ERROR 57014", ""};
    open_all(&(quring_db_options){.connection_count = 1});
    for (int i = 0; i < 2 * HOWS; i++) {
        check_stopped((enum how)(i % HOWS), works[i / HOWS], errors[i % HOWS]);
        check_next();
    }
    quring_db_stats now = stats();
    cr_assert_geq(now.cancel_stopped_count, 2 * HOWS);
    cr_assert_eq(now.connect_count, 1, "it was not replaced");
    cr_assert_eq(live_int(&live, "select n from live_stopped where id = -1"), 2 * HOWS);
    close_all();
}

enum { WHOLE = 3 };

/* All its queries have ended. True: each was sent. */
static bool end_all(const quring_id ids[WHOLE], char texts[WHOLE][64]) {
    bool sent = true;
    for (int i = 0; i < WHOLE; i++) {
        quring_done done = live_wait(&live);
        int which = done.id == ids[0] ? 0 : done.id == ids[1] ? 1 : 2;
        cr_assert_eq(done.id, ids[which], "another query came");
        snprintf(texts[which], 64, "%s%s%s", quring_status_name(done.status), done.error ? " " : "",
                 done.error ? done.error->sqlstate : "");
        sent &= done.sent;
        live_release(&live, &done);
    }
    return sent;
}

static bool are(char texts[WHOLE][64], const char *const expected[WHOLE]) {
    for (int i = 0; i < WHOLE; i++)
        if (strcmp(texts[i], expected[i]) != 0)
            return false;
    return true;
}

static bool stop_whole(enum how how, char texts[WHOLE][64]) {
    quring_tx *tx = begin_for(how == BY_TX_TIMEOUT ? time_ns : 0);
    quring_id ids[WHOLE];
    ids[0] = ask(tx, "update live_stopped set n = n + 1000 where id = -1");
    ids[1] = ask_for(tx, "select pg_sleep(600)", how == BY_QUERY_TIMEOUT ? time_ns : 0);
    ids[2] = commit(tx);
    quring_tx_release(tx);
    if (how == BY_CANCEL) {
        wait_for(at_work, 1);
        cr_assert_eq(quring_cancel(live.engine, ids[1]), 0);
    }
    return end_all(ids, texts);
}

/*
 * COMMIT is on its way behind it, and tells that it was rolled back. All of them wait for one Sync, so nobody knows which of
 * them a server that is slow is at.
 */
Test(pg_tx_cancel, stops_a_whole_one) {
    static const char *const expected[][WHOLE] = {
        [BY_TX_TIMEOUT] = {"TIMEOUT 57014", "TIMEOUT 57014", "TIMEOUT 57014"},
        [BY_QUERY_TIMEOUT] = {"OK", "TIMEOUT 57014", "SERVER_ERROR 57014"},
        [BY_CANCEL] = {"OK", "CANCELLED 57014", "SERVER_ERROR 57014"},
    };
    char texts[WHOLE][64];
    open_all(&(quring_db_options){.connection_count = 1});
    for (enum how how = BY_TX_TIMEOUT; how <= BY_CANCEL; how++) {
        while ((!stop_whole(how, texts) || !are(texts, expected[how])) && time_ns < TIME_MAX_NS)
            time_ns *= 2;
        for (int i = 0; i < WHOLE; i++)
            cr_assert_str_eq(texts[i], expected[how][i], "%d: query %d", how, i);
        wait_for(in_transaction, 0);
        check_next();
    }
    cr_assert_eq(stats().connect_count, 1, "it was not replaced");
    cr_assert_eq(live_int(&live, "select n from live_stopped where id = -1"), 3);
    close_all();
}

Test(pg_tx_cancel, a_savepoint_revives_it) {
    open_all(&(quring_db_options){.connection_count = 1});
    quring_tx *tx = begin();
    ends(ask(tx, "update live_stopped set n = n + 1 where id = -1"), "");
    ends(ask(tx, "savepoint a"), "");
    ends(ask_for(tx, "select pg_sleep(600)", 100 * LIVE_MS), "TIMEOUT 57014");
    ends(ask(tx, "select 1"), "SKIPPED 57014");
    ends(ask(tx, "rollback to a"), "");
    ends(ask(tx, "update live_stopped set n = n + 1 where id = -2"), "");
    ends(commit(tx), "");
    quring_tx_release(tx);
    cr_assert_eq(live_int(&live, "select sum(n)::int8 from live_stopped"), 2);
    cr_assert_eq(stats().connect_count, 1);
    close_all();
}

/*
 * With no other connection that could carry the cancel it is closed, and the server, which looks now and then whether its client
 * is there, undoes the transaction by itself.
 */
Test(pg_tx_cancel, over_tls_it_is_rolled_back) {
    for (uint32_t connections = 1; connections <= 2; connections++) {
        char url[1024];
        snprintf(url, sizeof url, "%s&options=-c%%20client_connection_check_interval%%3D100ms",
                 live_env("QURING_TEST_PG_TLS_URL"));
        live_open_url(&live, url, NULL, &(quring_db_options){.connection_count = connections});
        live_connect(&live, connections);
        live_open(&watcher, &(quring_db_options){.connection_count = 1});
        live_script(&watcher, "drop table if exists live_stopped;\n"
                              "create table live_stopped (id int8 primary key, n int8 not null default 0);\n"
                              "insert into live_stopped values (-1)");
        for (bool stopped = false; !stopped; time_ns *= 2) {
            quring_tx *tx = begin();
            ends(ask(tx, "update live_stopped set n = n + 1000 where id = -1"), "");
            stopped = ends_in_time(ask_for(tx, "select pg_sleep(600)", time_ns / 2), "TIMEOUT 57014", true);
            ends(commit(tx), "SERVER_ERROR 57014");
            quring_tx_release(tx);
        }
        check_next();
        cr_assert_eq(stats().connect_count, 2, "the only one was replaced");
        cr_assert_eq(live_int(&live, "select n from live_stopped"), 1);
        close_all();
    }
}

/* ---- Races ---- */

enum { TXS = LIVE_SANITIZED ? 300 : 1200, OPEN = 3, FIRST, SLOW, END, SHARED };

enum fate { GOES_ON, QUERY_TIMES_OUT, TX_TIMES_OUT, IS_CANCELLED, IS_RELEASED, FATES };

struct racer {
    quring_tx *tx; /* NULL: released */
    enum fate fate;
    bool whole, ended;
    quring_id slow;
    uint8_t commit; /* its status, + 1; 0: it has not ended */
};

struct race {
    struct racer racers[TXS];
    uint32_t begun, open, shared_out, shared_count;
    uint32_t by_fate[FATES], undone[FATES];
    uint64_t random;
};

static uint64_t race_random(struct race *race, uint64_t below) {
    race->random = race->random * 6364136223846793005u + 1442695040888963407u;
    return (race->random >> 33) % below;
}

static quring_id race_ask(struct race *race, uint32_t number, int role, const char *sql, uint64_t timeout_ns) {
    return live_submit(&live, &(quring_query){.tx = race->racers[number].tx,
                                              .sql = sql,
                                              .params = QURING_PARAMS(quring_int64((int64_t)live_identity(number))),
                                              .user_data = (uint64_t)number << 3 | (unsigned)role,
                                              .timeout_ns = timeout_ns});
}

static void racer_commit(struct race *race, uint32_t number) {
    struct racer *racer = &race->racers[number];
    if (!racer->tx)
        return;
    cr_assert_eq(quring_commit(racer->tx, (uint64_t)number << 3 | END, NULL), 0);
    quring_tx_release(racer->tx);
    racer->tx = NULL;
}

static void racer_go_slow(struct race *race, uint32_t number) {
    struct racer *racer = &race->racers[number];
    uint64_t timeout_ns = racer->fate == QUERY_TIMES_OUT ? 500000 + race_random(race, 8 * LIVE_MS) : 0;
    racer->slow = race_ask(race, number, SLOW, "select $1::int8 from pg_sleep(0.002 + 0.006 * random())", timeout_ns);
}

static void racer_begin(struct race *race) {
    uint32_t number = race->begun++;
    struct racer *racer = &race->racers[number];
    uint64_t timeout_ns = 2 * LIVE_MS + race_random(race, 8 * LIVE_MS);
    *racer = (struct racer){.fate = (enum fate)race_random(race, FATES), .whole = race_random(race, 2)};
    if (racer->fate == IS_RELEASED)
        racer->whole = false;
    racer->tx = begin_for(racer->fate == TX_TIMES_OUT ? timeout_ns : 0);
    race->open++;
    race->by_fate[racer->fate]++;
    race_ask(race, number, FIRST, "insert into live_stopped values ($1) returning id", 0);
    if (!racer->whole)
        return;
    racer_go_slow(race, number);
    racer_commit(race, number);
}

static void racer_ended(struct race *race, uint32_t number) {
    cr_assert_not(race->racers[number].ended);
    race->racers[number].ended = true;
    race->open--;
}

static void check_identity(const quring_done *done, uint64_t number) {
    int64_t value = 0;
    cr_assert_eq(quring_get_int64(done->result, 0, 0, &value), 0);
    cr_assert_eq((uint64_t)value, live_identity(number), "another's row");
}

static void race_note(struct live *of, const quring_done *done, void *context) {
    (void)of;
    struct race *race = context;
    uint32_t number = (uint32_t)(done->user_data >> 3);
    int role = done->user_data & 7;
    struct racer *racer = &race->racers[number];
    if (role == SHARED)
        race->shared_out--;
    if (role == SHARED || racer->fate == GOES_ON)
        live_check_ok(done, role == SHARED ? "a query beside them" : "a transaction that nobody gives up");
    if (done->status == QURING_OK && role != END)
        check_identity(done, number);
    if (role == END)
        racer->commit = (uint8_t)(done->status + 1);
    if (role == END)
        racer_ended(race, number);
    else if (role == FIRST && !racer->whole && racer->tx)
        racer_go_slow(race, number);
    else if (role == SLOW && !racer->whole && racer->fate == IS_RELEASED && !racer->tx)
        racer_ended(race, number);
    else if (role == SLOW && !racer->whole)
        racer_commit(race, number);
}

/* Cancels, or releases, one that is at it. */
static void race_strike(struct race *race) {
    for (uint32_t i = race->begun > 8 ? race->begun - 8 : 0; i < race->begun; i++) {
        struct racer *racer = &race->racers[i];
        if (racer->ended || !racer->slow || race_random(race, 3))
            continue;
        if (racer->fate == IS_CANCELLED)
            (void)quring_cancel(live.engine, racer->slow);
        if (racer->fate == IS_RELEASED && racer->tx) {
            quring_tx_release(racer->tx);
            racer->tx = NULL;
        }
    }
}

static void check_racer(struct race *race, uint32_t number) {
    const struct racer *racer = &race->racers[number];
    char sql[100];
    snprintf(sql, sizeof sql, "select count(*) from live_stopped where id = %lld", (long long)live_identity(number));
    int64_t there = live_int(&watcher, sql);
    race->undone[racer->fate] += !there;
    if (!racer->commit)
        cr_assert_eq(there, 0, "transaction %u was released, and took effect", number);
    else if (racer->commit == QURING_OK + 1)
        cr_assert_eq(there, 1, "transaction %u was committed, and has no effect", number);
    else if (racer->commit != QURING_TIMEOUT + 1)
        cr_assert_eq(there, 0, "transaction %u was rolled back, and took effect", number);
}

Test(pg_tx_cancel, hits_no_other_transaction) {
    struct race *race = calloc(1, sizeof *race);
    race->random = 42;
    open_all(&(quring_db_options){.connection_count = 1, .depth = 16});
    while (race->begun < TXS || race->open || race->shared_out) {
        while (race->begun < TXS && race->open < OPEN)
            racer_begin(race);
        for (; race->begun < TXS && race->shared_out < 2; race->shared_out++, race->shared_count++)
            (void)live_submit(&live, &(quring_query){.sql = "select $1::int8",
                                                     .params = QURING_PARAMS(quring_int64((int64_t)live_identity(7))),
                                                     .user_data = 7 << 3 | SHARED});
        cr_assert_geq(quring_run(live.engine, 1, LIVE_MS), 0);
        live_reap(&live, race_note, race);
        race_strike(race);
    }
    for (uint32_t i = 0; i < TXS; i++)
        check_racer(race, i);
    quring_db_stats now = stats();
    for (int fate = 0; fate < FATES; fate++)
        printf("%u of %u, ", race->undone[fate], race->by_fate[fate]);
    printf("%u beside them, %llu cancels, %llu stopped, %llu connections\n", race->shared_count,
           (unsigned long long)now.cancel_count, (unsigned long long)now.cancel_stopped_count,
           (unsigned long long)now.connect_count);
    cr_assert_eq(race->undone[GOES_ON], 0);
    cr_assert_gt(now.cancel_stopped_count, 0);
    cr_assert_eq(now.connect_count, 1, "the connection was lost");
    close_all();
    free(race);
}
