/* SPDX-License-Identifier: MIT */
/*
 * One program text for both databases: a table, rows, NULLs, errors, counts of changed rows. Only the URL differs, and
 * what is printed does not.
 *
 *      example_basics 'sqlite:///planets.db?mode=rwc'
 *      example_basics postgresql://app@localhost/app
 */
#include <quring/quring.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static quring_engine *engine;
static quring_db *db;

static void check(int error, const char *what) {
    if (error >= 0)
        return;
    fprintf(stderr, "%s: %s %s\n", what, quring_strerror(error), quring_errmsg(engine));
    exit(1);
}

/* One query to its end. Many at once is what quring is for: see insert_many(). */
static quring_done execute(const quring_query *query) {
    quring_done done;
    check(quring_submit(engine, query, NULL), query->sql);
    while (quring_reap(engine, &done, 1) == 0)
        check(quring_run(engine, 1, QURING_FOREVER), "run");
    return done;
}

static void print_rows(const quring_result *result) {
    for (uint32_t c = 0; c < quring_column_count(result); c++)
        printf("%s%s", c ? " | " : "  ", quring_column_name(result, c));
    printf("\n");
    for (uint64_t r = 0; r < quring_row_count(result); r++) {
        for (uint32_t c = 0; c < quring_column_count(result); c++) {
            const char *text;
            int error = quring_get_text(result, r, c, &text, NULL);
            printf("%s%s", c ? " | " : "  ", error == QURING_ENULL ? "NULL" : error ? "?" : text);
        }
        printf("\n");
    }
}

/* Runs a query and prints what became of it. A server's message is its own; what it means is in the SQLSTATE. */
static void show(const quring_query *query) {
    quring_done done = execute(query);
    printf("%s\n", query->sql);
    if (done.status != QURING_OK)
        printf("  %s, SQLSTATE %s\n", quring_status_name(done.status), done.error->sqlstate);
    else if (quring_column_count(done.result))
        print_rows(done.result);
    else
        printf("  %s: %" PRIu64 " rows changed\n", quring_command(done.result), quring_affected_count(done.result));
    quring_release(engine, done.id);
}

#define SHOW(text, ...) show(&(quring_query){.db = db, .sql = (text), .params = QURING_PARAMS(__VA_ARGS__)})

static void create(void) {
    show(&(quring_query){.db = db, .sql = "drop table if exists planet"});
    show(&(quring_query){.db = db,
                         .sql = "create table planet (id bigint primary key, name text not null, "
                                "moons bigint, mass double precision, seen date)"});
}

/* A thousand rows without waiting for any: they are sent together, and each has its own outcome. */
static void insert_many(void) {
    quring_done done[64];
    uint64_t changed = 0;
    for (int64_t i = 1001; i <= 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "exo-%" PRId64, i);
        quring_query q = {.db = db,
                          .sql = "insert into planet (id, name) values ($1, $2)",
                          .params = QURING_PARAMS(quring_int64(i), quring_text(name))};
        check(quring_submit(engine, &q, NULL), q.sql);
    }
    while (quring_pending(engine)) {
        check(quring_run(engine, 1, QURING_FOREVER), "run");
        int n = quring_reap(engine, done, 64);
        for (int i = 0; i < n; i++) {
            changed += done[i].status == QURING_OK ? quring_affected_count(done[i].result) : 0;
            quring_release(engine, done[i].id);
        }
    }
    printf("a thousand inserts at once\n  %" PRIu64 " rows changed\n", changed);
}

/* Values come out as C types. Where one can't, the accessor says so instead of making something up. */
static void typed_values(void) {
    quring_query q = {.db = db,
                      .sql = "select name, moons, mass, seen from planet where id < $1 order by id",
                      .params = QURING_PARAMS(quring_int64(100))};
    quring_done done = execute(&q);
    for (uint64_t r = 0; done.status == QURING_OK && r < quring_row_count(done.result); r++) {
        const char *name = "";
        int64_t moons = -1;
        double mass = 0;
        int32_t days = 0;
        quring_get_text(done.result, r, 0, &name, NULL);
        int error = quring_get_int64(done.result, r, 1, &moons);
        quring_get_float64(done.result, r, 2, &mass);
        quring_get_date(done.result, r, 3, &days);
        printf("  %s: %" PRId64 " moons (%s), %.3g kg, day %d\n", name, moons,
               error == QURING_ENULL ? "NULL" : quring_type_name(quring_value_type(done.result, r, 1)), mass,
               (int)days);
        if (quring_get_int64(done.result, r, 0, &moons) != QURING_ETYPE)
            printf("  a name that is a number\n");
    }
    quring_release(engine, done.id);
}

int main(int argc, char **argv) {
    check(quring_engine_open(NULL, &engine), "engine");
    check(quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db), "database");

    create();
    const char *insert = "insert into planet values ($1, $2, $3, $4, $5)";
    SHOW(insert, quring_int64(3), quring_text("Earth"), quring_int64(1), quring_float64(5.972e24), quring_date(0));
    SHOW(insert, quring_int64(8), quring_text("Neptune"), quring_int64(16), quring_float64(1.024e26),
         quring_date(-45025));
    SHOW(insert, quring_int64(9), quring_text("Vulkan?"), quring_null(), quring_null(), quring_null());
    SHOW(insert, quring_int64(9), quring_text("Pluto"), quring_int64(5), quring_null(), quring_null());
    SHOW(insert, quring_int64(10), quring_null(), quring_null(), quring_null(), quring_null());
    SHOW("select id, name, moons, seen from planet where id < $1 order by id", quring_int64(100));
    typed_values();

    insert_many();
    SHOW("update planet set moons = moons + $1 where moons is not null", quring_int64(1));
    SHOW("delete from planet where id > $2 and id <= $1", quring_int64(1500), quring_int64(1000));
    SHOW("select count(*) as left_over, max(name) as last_name from planet where id > $1", quring_int64(0));
    show(&(quring_query){.db = db, .sql = "select name from plant"});
    show(&(quring_query){.db = db, .sql = "select nam from planet"});
    show(&(quring_query){.db = db, .sql = "selekt name from planet"});
    show(&(quring_query){.db = db, .sql = "drop table planet"});

    quring_engine_close(engine);
    return 0;
}
