/* SPDX-License-Identifier: MIT */
/*
 * Loading many rows, in three ways that differ in how many transactions and statements they take:
 *
 *      example_bulk_load URL each      one statement and one transaction a row
 *      example_bulk_load URL group     one statement a row; neighbours share a transaction    (the default)
 *      example_bulk_load URL arrays    PostgreSQL: a thousand rows a statement, from arrays
 *
 * Each way tells of every row or chunk whether it is there, and none needs more memory for more rows.
 */
#include <quring/quring.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1000 };

static quring_engine *engine;
static quring_db *db;
static uint64_t loaded, failed;

static void check(int error, const char *what) {
    if (error >= 0)
        return;
    fprintf(stderr, "%s: %s %s\n", what, quring_strerror(error), quring_errmsg(engine));
    exit(1);
}

/* Takes what is done; with `all`, waits for all that is out. */
static void reap(bool all) {
    quring_done done[64];
    do {
        if (quring_pending(engine))
            check(quring_run(engine, 1, QURING_FOREVER), "run");
        for (int count; (count = quring_reap(engine, done, 64)) > 0;)
            for (int i = 0; i < count; i++) {
                if (done[i].status == QURING_OK)
                    loaded += quring_affected_count(done[i].result);
                else if (++failed == 1)
                    fprintf(stderr, "%s: %s\n", quring_status_name(done[i].status), done[i].error->message);
                quring_release(engine, done[i].id);
            }
    } while (all && quring_pending(engine));
}

/* The loop that every producer needs: when the engine is full, completions are reaped and released first. */
static void submit(const quring_query *query) {
    int error;
    while ((error = quring_submit(engine, query, NULL)) == QURING_EFULL)
        reap(false);
    check(error, query->sql);
}

static void execute(const char *sql) {
    submit(&(quring_query){.db = db, .sql = sql});
    reap(true);
}

/* One row a statement: the statement is prepared once, and thousands are in flight. */
static void load_rows(int64_t count, quring_commit_mode commit) {
    for (int64_t id = 1; id <= count; id++)
        submit(&(quring_query){.db = db,
                               .sql = "insert into bulk_item values ($1, $2)",
                               .params = QURING_PARAMS(quring_int64(id), quring_int64(id * id)),
                               .commit = commit});
    reap(true);
}

/* A thousand rows a statement. PostgreSQL only: SQLite, which is no round trip away, gains nothing over a group. */
static void load_arrays(int64_t count) {
    const char *sql = "insert into bulk_item select * from unnest($1::bigint[], $2::bigint[])";
    int64_t ids[CHUNK], squares[CHUNK];
    for (int64_t first = 1; first <= count; first += CHUNK) {
        uint32_t size = 0;
        for (; size < CHUNK && first + size <= count; size++) {
            ids[size] = first + size;
            squares[size] = ids[size] * ids[size];
        }
        submit(
            &(quring_query){.db = db,
                            .sql = sql,
                            .params = QURING_PARAMS(quring_int64_array(ids, size), quring_int64_array(squares, size))});
    }
    reap(true);
}

int main(int argc, char **argv) {
    const char *way = argc > 2 ? argv[2] : "group";
    int64_t count = argc > 3 ? strtoll(argv[3], NULL, 10) : 100000;
    check(quring_engine_open(NULL, &engine), "engine");
    check(quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db), "database");
    execute("drop table if exists bulk_item");
    execute("create table bulk_item (id bigint primary key, square bigint not null)");
    loaded = 0;
    if (strcmp(way, "arrays") == 0)
        load_arrays(count);
    else
        load_rows(count, strcmp(way, "group") == 0 ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH);
    printf("%" PRIu64 " rows loaded, %" PRIu64 " failed\n", loaded, failed);
    execute("drop table bulk_item");
    quring_engine_close(engine);
    return failed || loaded != (uint64_t)count;
}
