/* SPDX-License-Identifier: MIT */
#include "cli/bench/init.h"

#include "cli/cli.h"
#include "cli/common/failure.h"
#include "cli/common/say.h"
#include "cli/common/stop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILLING_MAX = 4 }; /* inserts in flight: PostgreSQL runs them side by side */

/* The tables are pgbench's, column by column, so that each tool can run on those that the other one made. */
static const char *const MAKE_POSTGRESQL[] = {
    "drop table if exists pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
    "create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
    "create table pgbench_tellers (tid int not null, bid int, tbalance int, filler char(84)) with (fillfactor = 100)",
    "create table pgbench_accounts (aid int not null, bid int, abalance int, filler char(84)) with (fillfactor = 100)",
    "create table pgbench_branches (bid int not null, bbalance int, filler char(88)) with (fillfactor = 100)",
    NULL,
};

/* Indexes are built faster over rows that are there than row by row; pgbench makes its keys late, too. */
static const char *const KEYS_POSTGRESQL[] = {
    "alter table pgbench_branches add primary key (bid)",
    "alter table pgbench_tellers add primary key (tid)",
    "alter table pgbench_accounts add primary key (aid)",
    NULL,
};

static const char *const ANALYZE_POSTGRESQL[] = {
    "vacuum analyze pgbench_branches",
    "vacuum analyze pgbench_tellers",
    "vacuum analyze pgbench_accounts",
    "vacuum analyze pgbench_history",
    NULL,
};

#define TRIGGER_SQLITE                                                                                                 \
    "create trigger quring_tpcb_run instead of insert on quring_tpcb begin"                                            \
    " update pgbench_accounts set abalance = abalance + new.delta where aid = new.aid;"                                \
    " select abalance from pgbench_accounts where aid = new.aid;"                                                      \
    " update pgbench_tellers set tbalance = tbalance + new.delta where tid = new.tid;"                                 \
    " update pgbench_branches set bbalance = bbalance + new.delta where bid = new.bid;"                                \
    " insert into pgbench_history (tid, bid, aid, delta, mtime)"                                                       \
    " values (new.tid, new.bid, new.aid, new.delta, current_timestamp);"                                               \
    " end"

/* Keys come first in SQLite: an INTEGER PRIMARY KEY is the table's own B-tree, and ALTER TABLE cannot add one. */
static const char *const MAKE_SQLITE[] = {
    "drop view if exists quring_tpcb",
    "drop table if exists pgbench_accounts",
    "drop table if exists pgbench_branches",
    "drop table if exists pgbench_history",
    "drop table if exists pgbench_tellers",
    "create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
    "create table pgbench_tellers (tid integer not null primary key, bid integer, tbalance integer, filler char(84))",
    "create table pgbench_accounts (aid integer not null primary key, bid integer, abalance integer, filler char(84))",
    "create table pgbench_branches (bid integer not null primary key, bbalance integer, filler char(88))",
    "create view quring_tpcb as select tid, bid, aid, delta from pgbench_history",
    TRIGGER_SQLITE,
    NULL,
};

/* Rows from $1 to $2, of which $3 go to a branch. */
#define SERIES_POSTGRESQL " from generate_series(cast($1 as int), cast($2 as int)) as i"
#define SERIES_SQLITE "with recursive n(i) as (select $1 union all select i + 1 from n where i < $2) "

static const struct table {
    const char *name;
    uint32_t rows; /* to a branch */
    const char *postgresql, *sqlite;
} tables[] = {
    {"pgbench_tellers", 10,
     "insert into pgbench_tellers (tid, bid, tbalance) select i, (i - 1) / cast($3 as int) + 1, 0" SERIES_POSTGRESQL,
     SERIES_SQLITE "insert into pgbench_tellers (tid, bid, tbalance) select i, (i - 1) / $3 + 1, 0 from n"},
    {"pgbench_accounts", CLI_ACCOUNTS,
     "insert into pgbench_accounts (aid, bid, abalance, filler)"
     " select i, (i - 1) / cast($3 as int) + 1, 0, ''" SERIES_POSTGRESQL,
     SERIES_SQLITE "insert into pgbench_accounts (aid, bid, abalance, filler)" /* char(84) is as long in PostgreSQL */
                   " select i, (i - 1) / $3 + 1, 0, printf('%84s', '') from n"},
    {"pgbench_branches", 1,
     "insert into pgbench_branches (bid, bbalance) select (i - 1) / cast($3 as int) + 1, 0" SERIES_POSTGRESQL,
     SERIES_SQLITE "insert into pgbench_branches (bid, bbalance) select (i - 1) / $3 + 1, 0 from n"},
};

/* Branches, whose number tells the scale, come last: tables that were left halfway have none, and are not measured. */
enum { TABLES_COUNT = sizeof tables / sizeof *tables, TABLES_BEFORE_KEYS = TABLES_COUNT - 1 };

static int init_execute_all(struct cli_client *client, const char *const *statements) {
    int status = CLI_EXIT_OK;
    for (; *statements && status == CLI_EXIT_OK; statements++)
        status = cli_client_execute(client, *statements);
    return status;
}

/* ---- Filling ----------------------------------------------------------------------------------------------------- */

struct filling {
    struct cli_client *client;
    const struct table *table;
    bool sqlite, terminal;
    uint64_t row_count, chunk_rows;
    uint64_t next; /* row, from 1, of the next chunk */
    uint64_t done_rows;
    uint32_t inflight;
};

/*
 * An insert of many rows that the server makes itself costs next to no protocol, and runs on SQLite, too, which has no
 * COPY. EACH, so that a chunk that fails does not undo others.
 */
static int init_submit_chunk(struct filling *f) {
    uint64_t last = f->next + f->chunk_rows - 1;
    if (last > f->row_count)
        last = f->row_count;
    quring_query query = {
        .db = f->client->db,
        .sql = f->sqlite ? f->table->sqlite : f->table->postgresql,
        .params =
            QURING_PARAMS(quring_int64((int64_t)f->next), quring_int64((int64_t)last), quring_int64(f->table->rows)),
        .user_data = last - f->next + 1,
        .commit = QURING_COMMIT_EACH,
    };
    int error = quring_submit(f->client->engine, &query, NULL);
    if (error < 0) {
        cli_refusal_show(f->table->name, f->client->engine, error, NULL);
        return CLI_EXIT_FAILED;
    }
    f->next = last + 1;
    f->inflight++;
    return CLI_EXIT_OK;
}

static int init_end_chunk(struct filling *f, const quring_done *done) {
    f->inflight--;
    f->done_rows += done->user_data;
    if (done->status != QURING_OK) {
        cli_failure_say(f->table->name, done);
        return CLI_EXIT_FAILED;
    }
    if (f->terminal)
        fprintf(stderr, "\r\033[Kfilling %s: %" PRIu64 " of %" PRIu64 " rows (%d %%)", f->table->name, f->done_rows,
                f->row_count, (int)(100 * f->done_rows / f->row_count));
    return CLI_EXIT_OK;
}

static int init_fill(struct cli_client *client, const struct table *table, bool sqlite, uint32_t scale) {
    struct filling f = {
        .client = client,
        .table = table,
        .sqlite = sqlite,
        .terminal = isatty(STDERR_FILENO),
        .row_count = (uint64_t)table->rows * scale,
        .chunk_rows = CLI_ACCOUNTS,
        .next = 1,
    };
    int status = CLI_EXIT_OK;
    while (f.inflight > 0 || (status == CLI_EXIT_OK && f.next <= f.row_count)) {
        quring_done done;
        if (cli_stop_wanted())
            return cli_stop_status(); /* closing the engine ends what is out */
        while (status == CLI_EXIT_OK && f.inflight < FILLING_MAX && f.next <= f.row_count)
            status = init_submit_chunk(&f);
        if (f.inflight == 0)
            break; /* nothing could be submitted, and there is nothing to wait for */
        int error = quring_run(client->engine, 1, QURING_FOREVER);
        if (error < 0) {
            cli_refusal_show(table->name, client->engine, error, NULL);
            return CLI_EXIT_FAILED;
        }
        while (quring_reap(client->engine, &done, 1) == 1) {
            int settled = init_end_chunk(&f, &done);
            status = status == CLI_EXIT_OK ? settled : status;
            quring_release(client->engine, done.id);
        }
    }
    return status;
}

int cli_init_tables(struct cli_client *client, bool sqlite, uint32_t scale) {
    struct timespec from, to;
    bool terminal = isatty(STDERR_FILENO);

    clock_gettime(CLOCK_MONOTONIC, &from);
    int status = init_execute_all(client, sqlite ? MAKE_SQLITE : MAKE_POSTGRESQL);
    for (size_t i = 0; i < TABLES_COUNT && status == CLI_EXIT_OK; i++) {
        if (i == TABLES_BEFORE_KEYS && !sqlite)
            status = init_execute_all(client, KEYS_POSTGRESQL);
        if (status == CLI_EXIT_OK)
            status = init_fill(client, &tables[i], sqlite, scale);
    }
    if (terminal)
        fprintf(stderr, "\r\033[K");
    if (status == CLI_EXIT_OK && !sqlite)
        status = init_execute_all(client, ANALYZE_POSTGRESQL);
    if (status != CLI_EXIT_OK && cli_stop_wanted())
        cli_error("stopped before the tables were filled");
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (status == CLI_EXIT_OK && terminal)
        fprintf(stderr, "filled pgbench's tables at scale %" PRIu32 ": %" PRIu64 " accounts in %.1f s\n", scale,
                (uint64_t)scale * CLI_ACCOUNTS,
                (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    return status;
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

/* 42P01 is undefined_table, which the library gives for SQLite as well: the message can say what is to be done. */
static int init_look_up(struct cli_client *client, const char *sql, const char *what, int64_t *number) {
    char sqlstate[6];
    int status = cli_client_number(client, sql, number, sqlstate);
    if (status == CLI_EXIT_FAILED && strcmp(sqlstate, "42P01") == 0)
        cli_error("%s does not exist: run with -i first, which makes pgbench's tables", what);
    return status;
}

/* Branches are counted because pgbench makes one for each unit of scale, and there are few of them. */
int cli_init_look(struct cli_client *client, bool sqlite, bool tpcb, int64_t *scale) {
    int64_t ignored;
    int status = init_look_up(client, "select count(*) from (select aid from pgbench_accounts limit 1) as one",
                              "table pgbench_accounts", &ignored);
    if (status == CLI_EXIT_OK)
        status = init_look_up(client, "select count(*) from pgbench_branches", "table pgbench_branches", scale);
    if (status == CLI_EXIT_OK && tpcb && sqlite)
        status = init_look_up(client, "select count(*) from (select aid from quring_tpcb limit 1) as one",
                              "view quring_tpcb (pgbench's transaction as one statement)", &ignored);
    if (status == CLI_EXIT_OK && (*scale < 1 || *scale > CLI_SCALE_MAX)) {
        cli_error("pgbench_branches has %" PRId64 " rows: run with -i first, which makes pgbench's tables", *scale);
        status = CLI_EXIT_FAILED;
    }
    return status;
}
