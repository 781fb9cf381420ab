/* SPDX-License-Identifier: MIT */
/*
 * Thousands of transfers between accounts while connections, and the whole server, die: the sum stays, what was acknowledged is
 * there, and nothing else is.
 */
#include "lib/live_tx.h"

#include <stdio.h>
#include <string.h>

enum { ACCOUNTS = 20, TRANSFERS = 2000, AT_ONCE = 32, START = 1000 };

struct transfer {
    quring_tx *tx;
    uint64_t number;
    uint32_t step; /* completions so far */
    bool whole;
};

struct transfers {
    struct transfer slots[AT_ONCE];
    uint8_t ended[TRANSFERS]; /* by COMMIT's status + 1 */
    uint64_t begun;
    uint32_t out;
};

static void transfer_ask(struct transfer *transfer, uint64_t slot, const char *sql, int64_t a, int64_t b) {
    quring_query query = {.db = live.db,
                          .tx = transfer->tx,
                          .sql = sql,
                          .params = QURING_PARAMS(quring_int64(a), quring_int64(b)),
                          .user_data = slot};
    cr_assert_eq(quring_submit(live.engine, &query, NULL), 0, "%s", quring_errmsg(live.engine));
}

/* The accounts are locked in their order, so that none of them deadlocks. */
static void transfer_rest(struct transfer *transfer, uint64_t slot) {
    int64_t from = (int64_t)(live_identity(transfer->number) % ACCOUNTS), to = (from + 1) % ACCOUNTS, sign = 1;
    if (from > to) {
        int64_t swap = from;
        from = to;
        to = swap;
        sign = -1;
    }
    transfer_ask(transfer, slot, "update live_account set n = n - $2 where id = $1", from, sign);
    transfer_ask(transfer, slot, "update live_account set n = n + $2 where id = $1", to, sign);
    cr_assert_eq(quring_commit(transfer->tx, slot, NULL), 0);
    quring_tx_release(transfer->tx);
}

static void transfer_begin(struct transfers *all, uint64_t slot) {
    struct transfer *transfer = &all->slots[slot];
    *transfer = (struct transfer){.number = all->begun++, .whole = live_identity(all->begun) % 2};
    transfer->tx = begin();
    transfer_ask(transfer, slot, "insert into live_done values ($1, $2)", (int64_t)transfer->number, 0);
    if (transfer->whole)
        transfer_rest(transfer, slot);
    all->out++;
}

static void transfer_note(struct live *l, const quring_done *done, void *context) {
    struct transfers *all = context;
    struct transfer *transfer = &all->slots[done->user_data];
    (void)l;
    transfer->step++;
    if (transfer->step == 1 && !transfer->whole)
        transfer_rest(transfer, done->user_data);
    if (transfer->step < 4)
        return;
    all->ended[transfer->number] = (uint8_t)(done->status + 1);
    all->out--;
    if (all->begun < TRANSFERS)
        transfer_begin(all, done->user_data);
}

/* ---- What is done to them ---- */

struct harm {
    uint32_t count; /* of times */
    /* Returns whether it met a transaction for certain: one between two queries. Others may have ended before they are hit. */
    bool (*make)(struct live *other);
};

static void transfers_make(struct transfers *all, const struct harm *harm, struct live *other) {
    uint64_t next = TRANSFERS / (harm->count + 1);
    bool met = false;
    for (uint64_t slot = 0; slot < AT_ONCE; slot++)
        transfer_begin(all, slot);
    while (all->out) {
        cr_assert_geq(quring_run(live.engine, 1, LIVE_SECOND), 0);
        live_reap(&live, transfer_note, all);
        if (all->begun < TRANSFERS && (all->begun >= next || (!met && all->begun > TRANSFERS / 2))) {
            next += TRANSFERS / (harm->count + 1);
            met |= harm->make(other);
        }
    }
}

static void transfers_check(const struct transfers *all) {
    char sql[200];
    uint32_t by_status[QURING_SHUTDOWN + 2] = {0};
    snprintf(sql, sizeof sql, "select (sum(n) - %d)::int8 from live_account", ACCOUNTS * START);
    cr_assert_eq(live_int(&live, sql), 0, "the sum");
    for (uint64_t i = 0; i < TRANSFERS; i++) {
        by_status[all->ended[i]]++;
        snprintf(sql, sizeof sql, "select count(*) from live_done where id = %d", (int)i);
        int64_t there = all->ended[i] == QURING_IN_DOUBT + 1 ? -1 : live_int(&live, sql);
        cr_assert(there < 0 || there == (all->ended[i] == QURING_OK + 1), "transfer %d ended with %s, and is%s there",
                  (int)i, quring_status_name((quring_status)(all->ended[i] - 1)), there ? "" : " not");
    }
    cr_assert_gt(by_status[QURING_OK + 1], TRANSFERS / 2, "%u are OK", by_status[QURING_OK + 1]);
    cr_assert_lt(by_status[QURING_OK + 1], TRANSFERS, "all went through");
}

static void transfers_under(const struct harm *harm) {
    static struct transfers all;
    char sql[200];
    memset(&all, 0, sizeof all);
    live_open(&live, &(quring_db_options){.connection_count = 4, .reconnect_wait_ns = 60 * LIVE_SECOND});
    live_script(&live, "drop table if exists live_account;\ndrop table if exists live_done;\n"
                       "create table live_account (id int8 primary key, n int8 not null);\n"
                       "create table live_done (id int8 primary key, n int8)");
    snprintf(sql, sizeof sql, "insert into live_account select i, %d from generate_series(0, %d) i", START,
             ACCOUNTS - 1);
    live_exec(&live, sql);
    struct live other;
    live_open(&other, &(quring_db_options){.connection_count = 1, .reconnect_wait_ns = 60 * LIVE_SECOND});
    live_int(&other, "select 1::int8");
    transfers_make(&all, harm, &other);
    transfers_check(&all);
    live_close(&other);
    live_script(&live, "drop table live_account;\ndrop table live_done");
    live_close(&live);
}

static bool kill_a_connection(struct live *other) {
    return live_int(other,
                    "select count(*) filter (where state = 'idle in transaction' and killed) from (select state, "
                    "pg_terminate_backend(pid) as killed from (select pid, state from pg_stat_activity where "
                    "(query like '%live_account%' or state = 'idle in transaction') and pid <> pg_backend_pid() "
                    "order by random() limit 1) one) those") > 0;
}

Test(pg_transfers, while_connections_are_killed) {
    transfers_under(&(struct harm){20, kill_a_connection});
}

/* 0: the connection was lost meanwhile. */
static int64_t pid_of(struct live *other) {
    int64_t pid = 0;
    quring_done done = live_run(other, &(quring_query){.sql = "select pg_backend_pid()::int8"});
    if (done.status == QURING_OK)
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &pid), 0);
    live_release(other, &done);
    return pid;
}

/*
 * SIGKILL of one backend, its own if there is no other: the server ends them all, and recovers from its log. Returns when that is
 * so, since the next query of its own would be lost otherwise.
 */
static bool crash_the_server(struct live *other) {
    char command[64];
    bool met = live_int(other, "select count(*) from pg_stat_activity where state = 'idle in transaction'") > 0;
    int64_t before = pid_of(other), now;
    snprintf(command, sizeof command, "kill KILL %d",
             (int)live_int(other, "select pid::int8 from pg_stat_activity where backend_type = 'client backend' "
                                  "order by pid = pg_backend_pid(), random() limit 1"));
    live_ctl(command);
    do
        now = pid_of(other);
    while (!now || now == before);
    return met;
}

Test(pg_transfers, while_the_server_crashes) {
    transfers_under(&(struct harm){5, crash_the_server});
}
