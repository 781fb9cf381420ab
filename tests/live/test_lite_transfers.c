/* SPDX-License-Identifier: MIT */
/* Transfers between accounts of an SQLite file, whole and step by step among other writes, and a program that is killed. */
#include "lib/lite_files.h"
#include "lib/live_tx.h"

#include "base/rng.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void teardown(void) {
    files_close(&live);
}

TestSuite(lite_transfers, .init = files_begin, .fini = teardown);

enum { ACCOUNTS = 50, TRANSFERS = 3000, START = 1000, OTHERS = 4 * TRANSFERS };

/* Of a transfer: how it goes, and what the program was told. */
struct transfer {
    quring_tx *tx;
    uint32_t number;
    int64_t from, to;
    uint32_t step; /* of one that is not submitted whole */
};

/* Shared with the parent: what was acknowledged before the kill. */
struct acknowledged {
    uint32_t count;
    bool is[TRANSFERS];
};

static void ask_step(struct transfer *transfer) {
    static const char *const sql[] = {"update account set n = n - 1 where id = $1",
                                      "update account set n = n + 1 where id = $1",
                                      "insert into done(number) values ($1)"};
    quring_param params[] = {quring_int64(transfer->from), quring_int64(transfer->to), quring_int64(transfer->number)};
    uint32_t step = transfer->step++;
    if (step == 3) {
        cr_assert_eq(quring_commit(transfer->tx, transfer->number * 4 + 3, NULL), 0);
        quring_tx_release(transfer->tx);
        return;
    }
    quring_query query = {.tx = transfer->tx,
                          .sql = sql[step],
                          .params = &params[step],
                          .param_count = 1,
                          .user_data = transfer->number * 4 + step};
    cr_assert_eq(quring_submit(live.engine, &query, NULL), 0, "%s", quring_errmsg(live.engine));
}

static void begin_transfer(struct rng *rng, struct transfer *transfer, uint32_t number) {
    *transfer = (struct transfer){.tx = begin(), .number = number, .from = 1 + (int64_t)rng_below(rng, ACCOUNTS)};
    transfer->to = 1 + (transfer->from + (int64_t)rng_below(rng, ACCOUNTS - 1)) % ACCOUNTS;
    bool whole = rng_below(rng, 3);
    do
        ask_step(transfer);
    while (whole && transfer->step < 4);
}

static void open_accounts(void) {
    files_open(&live, "a.db", &(quring_db_options){.durability = QURING_DURABILITY_OFF});
    live_exec(&live, "create table if not exists account(id integer primary key, n integer not null)");
    live_exec(&live, "create table if not exists done(number integer primary key)");
    live_exec(&live, "with recursive i(i) as (select 1 union all select i + 1 from i where i < 50) "
                     "insert or ignore into account select i, 1000 from i");
}

static void transfer_on(struct acknowledged *acknowledged) {
    static struct transfer transfers[TRANSFERS];
    struct rng rng = {17};
    uint32_t begun = 0, ended = 0;
    while (ended < TRANSFERS) {
        quring_done done;
        while (begun < TRANSFERS && begun - ended < 20)
            begin_transfer(&rng, &transfers[begun], begun), begun++;
        cr_assert_geq(quring_run(live.engine, 1, LIVE_SECOND), 0);
        while (quring_reap(live.engine, &done, 1) == 1) {
            live_check_ok(&done, "a transfer");
            live_release(&live, &done);
            if (done.user_data == OTHERS)
                continue;
            struct transfer *transfer = &transfers[done.user_data / 4];
            if (done.user_data % 4 == 3) {
                acknowledged->is[transfer->number] = true;
                __atomic_store_n(&acknowledged->count, ++ended, __ATOMIC_RELEASE);
            } else if (transfer->step < 4) {
                ask_step(transfer);
            }
            if (rng_below(&rng, 8) == 0)
                live_submit(&live, &(quring_query){.sql = "update account set n = n where id = 3",
                                                   .commit = QURING_COMMIT_GROUP,
                                                   .user_data = OTHERS});
        }
    }
}

static void check_accounts(const struct acknowledged *acknowledged) {
    cr_assert_eq(live_int(&live, "select sum(n) from account"), ACCOUNTS * START);
    for (uint32_t i = 0; i < TRANSFERS; i++) {
        if (!acknowledged->is[i])
            continue;
        quring_done done = live_query(&live, "select count(*) from done where number = $1", quring_int64(i));
        int64_t count = 0;
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &count), 0);
        cr_assert_eq(count, 1, "transfer %u was acknowledged, and is lost", i);
        live_release(&live, &done);
    }
}

Test(lite_transfers, of_a_program_that_is_killed) {
    struct acknowledged *acknowledged =
        mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(acknowledged, MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        open_accounts();
        transfer_on(acknowledged);
        for (;;)
            pause();
    }
    while (__atomic_load_n(&acknowledged->count, __ATOMIC_ACQUIRE) < TRANSFERS / 2)
        usleep(100);
    int status;
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, &status, 0), child);
    open_accounts();
    check_accounts(acknowledged);
    munmap(acknowledged, sizeof *acknowledged);
}

Test(lite_transfers, to_their_end) {
    static struct acknowledged acknowledged;
    open_accounts();
    transfer_on(&acknowledged);
    live_drain(&live, NULL, NULL);
    check_accounts(&acknowledged);
    cr_assert_eq(live_int(&live, "select count(*) from done"), TRANSFERS);
}
