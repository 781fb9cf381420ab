/* SPDX-License-Identifier: MIT */
/*
 * The SQLite backend without an engine: queries made by hand, run straight on a connection, or through the backend on a
 * port that runs lanes' jobs on the calling thread, in order.
 */
#ifndef QURING_TESTS_LITE_BED_H
#define QURING_TESTS_LITE_BED_H

#include "lite/backend.h"
#include "lite/db.h"
#include "lite/lane.h"

#include <criterion/criterion.h>

enum { BED_QUERIES = 512, BED_URL_BYTES = 256 };

struct lite_bed {
    char directory[64];
    struct hub hub;
    struct quring_db *db;   /* of bed_open() */
    struct quring_db plain; /* owns the queries of a bare connection */
    struct statement_table *statements;
    struct query queries[BED_QUERIES];
    uint32_t query_count;
    struct lite_conn conn; /* of bed_open_conn() */
    struct lite_config config;
    atomic_bool closing;
};

/* A directory of its own, which bed_end() removes with all that is in it. */
void bed_begin(struct lite_bed *bed);
void bed_end(struct lite_bed *bed);
/* "<directory>/<name>", and "sqlite:///<directory>/<name>" with ?mode=rwc or others. Static, overwritten by the next call. */
const char *bed_path(const struct lite_bed *bed, const char *name);
const char *bed_url(const struct lite_bed *bed, const char *name);
const char *bed_url_with(const struct lite_bed *bed, const char *name, const char *parameters);

/* A new query, not submitted anywhere. */
struct query *bed_query(struct lite_bed *bed, const char *sql, const quring_param *params, uint32_t count);
#define bed_ask(bed, sql, ...)                                                                                         \
    bed_query(bed, sql, (const quring_param[]){__VA_ARGS__},                                                           \
              sizeof((const quring_param[]){__VA_ARGS__}) / sizeof(quring_param))

/* Gives back all queries but the first `kept`; they have ended. */
void bed_reuse(struct lite_bed *bed, uint32_t kept);

/* ---- A bare connection ---- */

/* To `name` in the directory; NULL: in memory. */
void bed_open_conn(struct lite_bed *bed, const char *name, enum lite_role role);
/* Runs a query on it; its outcome as lite_conn_run() gives it. The query is the bed's until its end. */
int bed_run(struct lite_bed *bed, struct query *query);
/* The same with a text that must end OK; its result. */
const quring_result *bed_exec(struct lite_bed *bed, const char *sql);

/* ---- The backend ---- */

/* The options' zeroes get the engine's defaults. */
void bed_open(struct lite_bed *bed, const char *url, const quring_db_options *options);
void bed_close(struct lite_bed *bed);
/* Onto the waiting list. */
struct query *bed_submit(struct lite_bed *bed, struct query *query);
/* An ATOMIC batch of these texts; its members are put into `queries`. */
void bed_submit_batch(struct lite_bed *bed, struct query *queries[], const char *const texts[], uint32_t count);
/* Turns until all that was submitted is done. */
void bed_drain(struct lite_bed *bed);
void bed_turn(struct lite_bed *bed);

/* ---- Looking ---- */

int64_t bed_int(const struct query *query, uint64_t row, uint32_t column);
const char *bed_text(const struct query *query, uint64_t row, uint32_t column);
/* Fails the test unless the query ended so. `words` must be in the message. */
void bed_check(const struct query *query, int status, const char *sqlstate, const char *words);

#endif
